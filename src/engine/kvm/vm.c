/* The device, the VM and its memory slots ([api] 4.2, 4.35): guest-physical memory is the same memfd mapping
 * that every engine uses, so KVM allocates a page when the guest first touches it, and nothing before. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cpu/model.h"
#include "engine/kvm/kvm.h"

/* What the engine cannot do without. */
static const struct {
    int cap;
    const char *name;
} needs[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
    {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    {KVM_CAP_XCRS, "KVM_CAP_XCRS"},
    {KVM_CAP_SREGS2, "KVM_CAP_SREGS2"},
    {KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR"},
    {KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER"},
    {KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
};

int kvm_device(char *why, size_t size)
{
    int fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        snprintf(why, size, "%s: %s", KVM_DEVICE, strerror(errno));
        return -1;
    }
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION) {
        snprintf(why, size, "%s: API version %d, not %d", KVM_DEVICE, version, KVM_API_VERSION);
        close(fd);
        return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(needs); i++)
        if (ioctl(fd, KVM_CHECK_EXTENSION, needs[i].cap) <= 0) {
            snprintf(why, size, "%s: the kernel lacks %s", KVM_DEVICE, needs[i].name);
            close(fd);
            return -1;
        }
    return fd;
}

static bool slot_set(struct kvm_vm *vm, unsigned n, struct kvm_slot s)
{
    struct kvm_slot *old = &vm->slots[n];
    struct kvm_userspace_memory_region r = {.slot = n};
    if (old->gpa == s.gpa && old->len == s.len && old->readonly == s.readonly)
        return true;
    if (old->len &&
        ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) < 0) /* only deleting makes room for another size */
        return false;
    *old = (struct kvm_slot){0};
    if (!s.len)
        return true;
    r.flags = s.readonly ? KVM_MEM_READONLY : 0;
    r.guest_phys_addr = s.gpa;
    r.memory_size = s.len;
    r.userspace_addr = (u64)(uintptr_t)(vm->mem->base + s.gpa);
    if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
        return false;
    *old = s;
    return true;
}

static struct kvm_slot slot_between(u64 from, u64 to, bool readonly)
{
    return from < to ? (struct kvm_slot){from, to - from, readonly} : (struct kvm_slot){0};
}

/* A block of [0xc0000, 1 MiB): RAM, write-protected RAM, or the bus, and then no slot. */
static struct kvm_slot slot_shadow(const struct mem *m, unsigned block)
{
    u64 gpa = MEM_SHADOW_BASE + block * MEM_SHADOW_BLOCK;
    if (!mem_is_ram(m, gpa, MEM_SHADOW_BLOCK))
        return (struct kvm_slot){0};
    return slot_between(gpa, gpa + MEM_SHADOW_BLOCK, !mem_is_writable(m, gpa, MEM_SHADOW_BLOCK));
}

bool kvm_slots_update(struct kvm_vm *vm)
{
    const struct mem *m = vm->mem;
    bool ok = true;
    pthread_mutex_lock(&vm->lock);
    vm->shadow = atomic_load(&m->shadow);
    vm->flash_answers = atomic_load(&m->flash_answers);
    for (unsigned n = 0; n < SLOT_SHADOWS; n++)
        ok = ok && slot_set(vm, SLOT_SHADOW + n, slot_shadow(m, n));
    ok = ok && slot_set(vm, SLOT_FLASH, slot_between(m->flash_base + (vm->flash_answers ? m->flash_chip : 0), MEM_HIGH_BASE, true));
    pthread_mutex_unlock(&vm->lock);
    return ok;
}

/* What never moves, and then the rest. */
static bool slots_make(struct kvm_vm *vm)
{
    const struct mem *m = vm->mem;
    u64 low = m->low_size < MEM_VGA_BASE ? m->low_size : MEM_VGA_BASE;
    return slot_set(vm, SLOT_LOW, slot_between(0, low, false)) &&
           slot_set(vm, SLOT_MAIN, slot_between(MIB(1), m->low_size, false)) &&
           slot_set(vm, SLOT_HIGH, slot_between(MEM_HIGH_BASE, MEM_HIGH_BASE + m->high_size, false)) &&
           kvm_slots_update(vm);
}

/* Where KVM by default departs from the processor, and its kernel lets it be told not to: MONITOR and MWAIT are #UD, as CPUID does
 * not offer them; and for a guest without hypercalls (--pv none) the instruction of the other vendor's processors is #UD
 * again, which KVM else rewrites in the guest's code. The processor's own one is KVM's to answer, whatever CPUID says. */
static void quirks_disable(struct kvm_vm *vm)
{
    u64 quirks = KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS;
    int known = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_DISABLE_QUIRKS2);
    if (!(vm->model->features >> FEAT_VMCALL & 1))
        quirks |= KVM_X86_QUIRK_FIX_HYPERCALL_INSN;
    if (known > 0)
        (void)ioctl(vm->fd, KVM_ENABLE_CAP, &(struct kvm_enable_cap){.cap = KVM_CAP_DISABLE_QUIRKS2, .args = {quirks & (u64)known}});
}

/* An instruction that KVM starts to emulate and cannot (SYSENTER in 64-bit mode on a processor of AMD's) comes here and goes to the
 * interpreter, whatever its CPL; else KVM raises #UD ([api] 7.28). */
static void failures_exit(const struct kvm_vm *vm)
{
    if (ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0)
        (void)ioctl(vm->fd, KVM_ENABLE_CAP, &(struct kvm_enable_cap){.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}});
}

/* ([api] 4.59) */
bool kvm_doorbell(void *shared, const struct engine_doorbell *d, bool on)
{
    const struct kvm_vm *vm = shared;
    struct kvm_ioeventfd f = {.addr = d->gpa, .len = d->len, .fd = d->fd, .datamatch = d->len ? d->value : 0};
    f.flags = (d->len ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) | (on ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN);
    if (!d->len && ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH) <= 0)
        return false;
    return ioctl(vm->fd, KVM_IOEVENTFD, &f) == 0;
}

/* One tick of the guest's counter is one of the machine's nanoseconds where KVM can scale it. */
static void tsc_rate(struct kvm_vm *vm, struct kvm_vcpu *v)
{
    if (ioctl(vm->device, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) > 0)
        (void)ioctl(v->fd, KVM_SET_TSC_KHZ, TSC_HZ / 1000);
    int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
    v->tsc_khz = khz > 0 ? (u32)khz : TSC_HZ / 1000;
}

static enum status cpus_make(struct kvm_vm *vm, u32 n, struct error *e)
{
    vm->cpu = calloc(n, sizeof *vm->cpu);
    if (!vm->cpu)
        return error_set(e, STATUS_HOST, "engine kvm: out of memory");
    for (; vm->cpus < n; vm->cpus++) {
        struct kvm_vcpu *v = &vm->cpu[vm->cpus];
        v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, vm->cpus);
        if (v->fd < 0)
            return error_errno(e, "engine kvm: KVM_CREATE_VCPU");
        tsc_rate(vm, v);
        if (!kvm_set_cpuid(vm, vm->cpus)) {
            close(v->fd);
            return error_errno(e, "engine kvm: KVM_SET_CPUID2");
        }
    }
    return STATUS_OK;
}

/* QEMU's TCG as the host's processor (CPUID leaf 0x40000000). */
static bool host_is_tcg(void)
{
    u32 reg[4];
    __cpuid(0x40000000, reg[0], reg[1], reg[2], reg[3]);
    return !memcmp(reg + 1, "TCGTCGTCGTCG", 12);
}

static enum status vm_make(struct kvm_vm *vm, const struct engine_machine *m, struct error *e)
{
    char why[200];
    vm->device = kvm_device(why, sizeof why);
    if (vm->device < 0)
        return error_set(e, STATUS_UNSUPPORTED, "engine kvm: %s", why);
    vm->fd = ioctl(vm->device, KVM_CREATE_VM, 0);
    if (vm->fd < 0)
        return error_errno(e, "engine kvm: KVM_CREATE_VM");
    int size = ioctl(vm->device, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof(struct kvm_run))
        return error_set(e, STATUS_HOST, "engine kvm: KVM_GET_VCPU_MMAP_SIZE: %d bytes", size);
    vm->run_size = (size_t)size;
    if (kvm_irqchip_make(vm, m, e) != STATUS_OK)
        return e->status;
    if (!kvm_filter_msrs(vm))
        return error_errno(e, "engine kvm: KVM_X86_SET_MSR_FILTER");
    quirks_disable(vm);
    failures_exit(vm);
    if (!slots_make(vm))
        return error_errno(e, "engine kvm: guest memory: KVM_SET_USER_MEMORY_REGION");
    return cpus_make(vm, m->cpus, e);
}

enum status kvm_open(const struct engine_machine *m, void **shared, struct error *e)
{
    struct kvm_vm *vm = calloc(1, sizeof *vm);
    if (!vm)
        return error_set(e, STATUS_HOST, "engine kvm: out of memory");
    vm->device = vm->fd = -1;
    vm->mem = m->mem;
    vm->model = m->model;
    vm->tr_available = host_is_tcg();
    pthread_mutex_init(&vm->lock, NULL);
    enum status s = vm_make(vm, m, e);
    if (s != STATUS_OK) {
        kvm_close(vm);
        return s;
    }
    *shared = vm;
    return STATUS_OK;
}

void kvm_close(void *shared)
{
    struct kvm_vm *vm = shared;
    for (u32 i = 0; i < vm->cpus; i++)
        close(vm->cpu[i].fd);
    free(vm->cpu);
    free(vm->routes);
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->device >= 0)
        close(vm->device);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}
