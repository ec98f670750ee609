/* Model-specific registers. KVM keeps those that the processor itself works with; reads and writes of all
 * others leave to cpu/msr.c by a filter ([api] 4.97, 7.21), so that every engine has the same registers with
 * the same reserved bits. The filter has no say over the x2APIC's: without a LAPIC in the kernel KVM finds
 * them invalid, and that leaves too. With it they are KVM's, as are IA32_APIC_BASE and IA32_TSC_DEADLINE. */
#include <sys/ioctl.h>

#include "cpu/model.h"
#include "cpu/msr.h"
#include "engine/kvm/kvm.h"

/* KVM's own. Field: where struct cpu has it; TSC and EFER go other ways. */
static const struct {
    u32 msr;
    u32 offset, size;
} natives[KVM_NATIVE_MSRS] = {
#define F(m) offsetof(struct cpu, m), sizeof(((struct cpu *)0)->m)
    {IA32_SYSENTER_CS, F(sysenter_cs)},
    {IA32_SYSENTER_ESP, F(sysenter_esp)},
    {IA32_SYSENTER_EIP, F(sysenter_eip)},
    {IA32_PAT, F(pat)},
    {IA32_STAR, F(star)},
    {IA32_LSTAR, F(lstar)},
    {IA32_CSTAR, F(cstar)},
    {IA32_FMASK, F(sfmask)},
    {IA32_KERNEL_GS_BASE, F(kernel_gs_base)},
    {IA32_TSC_AUX, F(tsc_aux)},
    {IA32_TSC_ADJUST, F(tsc_adjust)},
    {IA32_DEBUGCTL, F(debugctl)},
#undef F
};
static const u32 natives_besides[] = {IA32_TIME_STAMP_COUNTER, IA32_EFER, IA32_FS_BASE, IA32_GS_BASE};

static bool is_native(const struct kvm_vm *vm, u32 msr)
{
    if (vm->irqchip && (msr == IA32_APIC_BASE || msr == IA32_TSC_DEADLINE))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(natives); i++)
        if (natives[i].msr == msr)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(natives_besides); i++)
        if (natives_besides[i] == msr)
            return true;
    return false;
}

/* KVM has the counter, but who writes it moves what depends on it: the LAPIC's deadline, KVM's clock page. */
static bool moves_tsc(u32 msr)
{
    return msr == IA32_TIME_STAMP_COUNTER || msr == IA32_TSC_ADJUST;
}

#define RANGE_MSRS 0x800u

bool kvm_filter_msrs(struct kvm_vm *vm)
{
    static const u32 bases[] = {0, 0xc0000000};
    static const u32 bits[] = {KVM_MSR_FILTER_READ, KVM_MSR_FILTER_WRITE};
    u8 bitmap[ARRAY_LEN(bases) * ARRAY_LEN(bits)][RANGE_MSRS / 8] = {{0}};
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_X86_USER_SPACE_MSR,
        .args = {KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER}};
    struct kvm_msr_filter f = {.flags = KVM_MSR_FILTER_DEFAULT_DENY};
    for (unsigned r = 0; r < ARRAY_LEN(bitmap); r++) {
        u32 base = bases[r / ARRAY_LEN(bits)], access = bits[r % ARRAY_LEN(bits)];
        for (u32 i = 0; i < RANGE_MSRS; i++)
            if (is_native(vm, base + i) && !(access == KVM_MSR_FILTER_WRITE && moves_tsc(base + i)))
                bitmap[r][i / 8] |= (u8)(1u << i % 8);
        f.ranges[r] = (struct kvm_msr_filter_range){
            .flags = access, .base = base, .nmsrs = RANGE_MSRS, .bitmap = bitmap[r]};
    }
    return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) == 0 && ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f) == 0;
}

struct msr_list {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[ARRAY_LEN(natives) + 1];
};

bool kvm_msr_get(int fd, u32 msr, u64 *v)
{
    struct msr_list l = {.head.nmsrs = 1, .entry[0].index = msr};
    if (ioctl(fd, KVM_GET_MSRS, &l) != 1)
        return false;
    *v = l.entry[0].data;
    return true;
}

bool kvm_msr_put(int fd, u32 msr, u64 v)
{
    struct msr_list l = {.head.nmsrs = 1, .entry[0] = {.index = msr, .data = v}};
    return ioctl(fd, KVM_SET_MSRS, &l) == 1;
}

static bool one_get(const struct kvm_cpu *k, u32 msr, u64 *v)
{
    return kvm_msr_get(k->fd, msr, v);
}

static bool one_put(const struct kvm_cpu *k, u32 msr, u64 v)
{
    return kvm_msr_put(k->fd, msr, v);
}

u64 kvm_tsc(const struct kvm_cpu *k)
{
    u64 v;
    return one_get(k, IA32_TIME_STAMP_COUNTER, &v) ? v : 0;
}

static u64 clock_now_of(const struct cpu *c)
{
    return c->wires.tsc(c->wires.opaque, c);
}

/* The clock is read behind the counter: what software answers to a RDTSC until registers are put back, and writes into a clock page, is then
 * never behind what the guest has seen, and never ahead of what it will see, however long the host takes between the two. */
static void tsc_get(struct kvm_cpu *k)
{
    u64 tsc = kvm_tsc(k);
    k->c->tsc_offset = k->tsc_offset = tsc - clock_now_of(k->c);
}

static void tsc_put(struct kvm_cpu *k)
{
    if (k->c->tsc_offset != k->tsc_offset &&
        one_put(k, IA32_TIME_STAMP_COUNTER, clock_now_of(k->c) + k->c->tsc_offset))
        k->tsc_offset = k->c->tsc_offset;
}

void kvm_msrs_know(struct kvm_cpu *k)
{
    for (size_t i = 0; i < ARRAY_LEN(natives); i++)
        if (!one_get(k, natives[i].msr, &k->native[i]))
            k->native[i] = 0;
}

static u8 *field_of(struct cpu *c, size_t i)
{
    return (u8 *)c + natives[i].offset;
}

/* The kernel stops at one that it refuses (TSC_AUX without RDTSCP, DEBUGCTL on some processors): the others
 * count. */
static void list_run(const struct kvm_cpu *k, unsigned long request, struct msr_list *all, u32 n)
{
    for (u32 at = 0; at < n;) {
        struct msr_list l = {.head.nmsrs = n - at};
        memcpy(l.entry, all->entry + at, (n - at) * sizeof *l.entry);
        int done = ioctl(k->fd, request, &l);
        u32 good = done > 0 ? (u32)done : 0;
        memcpy(all->entry + at, l.entry, good * sizeof *l.entry);
        at += good + 1;
    }
}

void kvm_msrs_get(struct kvm_cpu *k)
{
    struct msr_list l = {.head.nmsrs = 0};
    for (u32 i = 0; i < ARRAY_LEN(natives); i++)
        l.entry[i] = (struct kvm_msr_entry){.index = natives[i].msr, .data = k->native[i]};
    list_run(k, KVM_GET_MSRS, &l, ARRAY_LEN(natives));
    for (size_t i = 0; i < ARRAY_LEN(natives); i++) {
        k->native[i] = l.entry[i].data;
        memcpy(field_of(k->c, i), &k->native[i], natives[i].size);
    }
    tsc_get(k);
}

/* Only those that have changed. */
void kvm_msrs_put(struct kvm_cpu *k)
{
    struct msr_list l = {.head.nmsrs = 0};
    u32 n = 0;
    for (size_t i = 0; i < ARRAY_LEN(natives); i++) {
        u64 v = 0;
        memcpy(&v, field_of(k->c, i), natives[i].size);
        if (v != k->native[i])
            l.entry[n++] = (struct kvm_msr_entry){.index = natives[i].msr, .data = v};
        k->native[i] = v;
    }
    if (n)
        list_run(k, KVM_SET_MSRS, &l, n);
    tsc_put(k);
    if (k->vm->irqchip) {
        kvm_deadline_put(k);
        kvm_steal_put(k);
    }
}

/* A deadline counts in the guest's ticks, the LAPIC in the machine's: they differ where KVM cannot scale the
 * counter. */
static u64 deadline_scaled(const struct kvm_cpu *k, u64 deadline)
{
    u64 now = kvm_tsc(k), machine = clock_now_of(k->c) + k->c->tsc_offset;
    if (k->tsc_khz == TSC_HZ / 1000 || !deadline)
        return deadline;
    if (deadline <= now)
        return machine ? machine : 1;
    unsigned __int128 ns = (unsigned __int128)(deadline - now) * (TSC_HZ / 1000) / k->tsc_khz;
    return ns > UINT64_MAX - machine ? UINT64_MAX : machine + (u64)ns;
}

static bool serve_write(struct kvm_cpu *k, u32 msr, u64 v);

static bool serve_read(struct kvm_cpu *k, u32 msr, u64 *v)
{
    bool ok = msr_read(k->c, msr, v);
    if (ok && msr == IA32_TSC_DEADLINE && *v && k->tsc_khz != TSC_HZ / 1000)
        *v = k->deadline;
    return ok;
}

static bool tsc_write(struct kvm_cpu *k, u32 msr, u64 v)
{
    u64 tsc = kvm_tsc(k), adjust = 0, deadline = 0;
    if (!one_get(k, IA32_TSC_ADJUST, &adjust))
        return false;
    u64 by = v - (msr == IA32_TSC_ADJUST ? adjust : tsc);
    if (!one_put(k, IA32_TIME_STAMP_COUNTER, tsc + by) || !one_put(k, IA32_TSC_ADJUST, adjust + by))
        return false;
    tsc_get(k);
    if (k->vm->irqchip)
        (void)(one_get(k, IA32_TSC_DEADLINE, &deadline) && deadline && one_put(k, IA32_TSC_DEADLINE, deadline));
    else if (serve_read(k, IA32_TSC_DEADLINE, &deadline) && deadline)
        (void)!serve_write(k, IA32_TSC_DEADLINE, deadline);
    msr_tsc_moved(k->c);
    return true;
}

static bool serve_write(struct kvm_cpu *k, u32 msr, u64 v)
{
    if (moves_tsc(msr))
        return tsc_write(k, msr, v);
    tsc_get(k); /* for what is computed from the counter */
    if (msr != IA32_TSC_DEADLINE) {
        bool ok = msr_write(k->c, msr, v);
        if (ok && msr == MSR_KVM_STEAL_TIME)
            kvm_steal_put(k);
        return ok;
    }
    k->deadline = v;
    return msr_write(k->c, msr, deadline_scaled(k, v));
}

/* A native one comes here when KVM finds the value invalid. */
void kvm_serve_msr(struct kvm_cpu *k, bool write)
{
    u32 msr = k->run->msr.index;
    u64 v = write ? k->run->msr.data : 0;
    bool ok = (!is_native(k->vm, msr) || (write && moves_tsc(msr))) &&
              (write ? serve_write(k, msr, v) : serve_read(k, msr, &v));
    k->run->msr.data = v;
    k->run->msr.error = !ok;
    k->repush |= write && msr == IA32_APIC_BASE;
    k->tpr_unsure |= write;
    /* KVM raises the #GP when it is entered again, and an interrupt that was injected before is lost over it, acknowledged. */
    if (!ok) {
        k->run->ready_for_interrupt_injection = 0;
        log_guest(k->c->wires.log, "%s of %#x to %#llx is refused: #GP", write ? "WRMSR" : "RDMSR", msr,
                  (unsigned long long)v);
    }
}
