/* CPUID for KVM ([api] 4.20, 4.46): the model's own table. KVM keeps up to date what depends on the vCPU's
 * state (OSXSAVE, APIC, OSPKE, sizes of leaf 0xD). */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bits.h"
#include "cpu/feature_bits.h"
#include "cpu/model.h"
#include "engine/kvm/kvm.h"
#include "engine/kvm/tsc_ratio.h"

/* XSAVE, and what is nothing without it. */
#define XSAVE_FEATURES                                                                                       \
    (BIT(FEAT_XSAVE) | BIT(FEAT_XSAVEOPT) | BIT(FEAT_XSAVEC) | BIT(FEAT_PKU) | BIT(FEAT_AVX) | BIT(FEAT_AVX2) | \
     BIT(FEAT_FMA) | BIT(FEAT_F16C))

struct cpuid_table {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entry[KVM_CPUID_MAX];
};

static bool table_find(void *opaque, u32 leaf, u32 subleaf, u32 reg[4])
{
    const struct cpuid_table *t = opaque;
    for (u32 i = 0; i < t->head.nent; i++) {
        const struct kvm_cpuid_entry2 *e = &t->entry[i];
        if (e->function != leaf || (e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX && e->index != subleaf))
            continue;
        reg[0] = e->eax, reg[1] = e->ebx, reg[2] = e->ecx, reg[3] = e->edx;
        return true;
    }
    return false;
}

/* The LAPIC is ours, with its x2APIC mode and its deadline. XSAVE areas are laid out by the processor itself:
 * where it has PKRU at another place than the model says, there are no keys. */
u64 kvm_features(void)
{
    char why[200];
    u32 reg[4];
    u64 have = 0;
    struct cpuid_table *t = calloc(1, sizeof *t);
    int fd = t ? kvm_device(why, sizeof why) : -1;
    if (fd >= 0) {
        t->head.nent = KVM_CPUID_MAX;
        if (ioctl(fd, KVM_GET_SUPPORTED_CPUID, &t->head) == 0) {
            u64 xcr0 = table_find(t, 0xd, 0, reg) ? reg[0] : 0;
            have = cpu_features_found(table_find, t, xcr0) | BIT(FEAT_X2APIC) | BIT(FEAT_TSC_DEADLINE);
            if (!table_find(t, 0xd, 9, reg) || reg[1] != XSAVE_PKRU_OFFSET)
                have &= ~BIT(FEAT_PKU);
            if (have & BIT(FEAT_XSAVE) && !kvm_sees_xsetbv())
                have &= ~XSAVE_FEATURES;
        }
        close(fd);
    }
    free(t);
    return have;
}

bool kvm_give_cpuid(int device, int cpu)
{
    struct cpuid_table *t = calloc(1, sizeof *t);
    bool ok = false;
    if (t) {
        t->head.nent = KVM_CPUID_MAX;
        ok = ioctl(device, KVM_GET_SUPPORTED_CPUID, &t->head) == 0 && ioctl(cpu, KVM_SET_CPUID2, &t->head) == 0;
    }
    free(t);
    return ok;
}

static void per_cpu(u32 id, u32 tsc_khz, struct kvm_cpuid_entry2 *e)
{
    switch (e->function) {
    case 1: e->ebx |= (id & 0xff) << 24; break;
    case 0xb: e->edx = id; break;
    case 0x15: tsc_ratio(tsc_khz, &e->eax, &e->ebx); break;
    case 0x16: e->eax = e->ebx = tsc_khz / 1000; break;
    default: break;
    }
}

bool kvm_set_cpuid(const struct kvm_vm *vm, u32 index)
{
    const struct cpu_model *m = vm->model;
    struct cpuid_table *t = calloc(1, sizeof *t);
    if (!t)
        return false;
    for (size_t i = 0; i < m->count && i < KVM_CPUID_MAX; i++) {
        const struct cpuid_leaf *l = &m->leaf[i];
        struct kvm_cpuid_entry2 *e = &t->entry[t->head.nent++];
        bool any = l->subleaf == CPUID_ANY;
        *e = (struct kvm_cpuid_entry2){.function = l->leaf,
                                       .index = any ? 0 : l->subleaf,
                                       .flags = any ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                       .eax = l->eax,
                                       .ebx = l->ebx,
                                       .ecx = l->ecx,
                                       .edx = l->edx};
        per_cpu(index, vm->cpu[index].tsc_khz, e);
    }
    bool ok = ioctl(vm->cpu[index].fd, KVM_SET_CPUID2, &t->head) == 0;
    free(t);
    return ok;
}
