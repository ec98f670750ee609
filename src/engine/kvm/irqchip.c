/* Local APICs in the host's kernel ([api] 7.5 KVM_CAP_SPLIT_IRQCHIP; 4.57 KVM_GET_LAPIC; 4.38 KVM_GET_MP_STATE): theirs are then IPIs, timers, INIT,
 * SIPI and HLT, without an exit. IOAPIC and 8259s stay the machine's; KVM gets their messages (4.71 KVM_SIGNAL_MSI), and the routes of the
 * IOAPIC's pins (4.52), from which it learns whose EOI it must report. The 8259's INT is injected as without
 * (KVM_INTERRUPT), when LVT_LINT0 lets it in, which KVM says in ready_for_interrupt_injection.
 *
 * Not as in the machine's own: SMIs that the guest sends by ICR, ExtINT messages from the IOAPIC, LINT0 in other modes than ExtINT, and
 * bits for suppression of EOI broadcasts, which KVM's has. While the interpreter executes (system management mode, a closed A20 gate), interrupts
 * of the local APIC wait. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cpu/msr.h"
#include "cpu/system.h"
#include "engine/kvm/kvm.h"

#define DEADLINE_NONE UINT64_MAX

static const struct {
    int cap;
    const char *name;
} needs[] = {
    {KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
    {KVM_CAP_X2APIC_API, "KVM_CAP_X2APIC_API"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_TSC_DEADLINE_TIMER, "KVM_CAP_TSC_DEADLINE_TIMER"},
};

/* What the kernel lacks, or null. */
static const char *lacking(const struct kvm_vm *vm)
{
    for (size_t i = 0; i < ARRAY_LEN(needs); i++)
        if (ioctl(vm->device, KVM_CHECK_EXTENSION, needs[i].cap) <= 0)
            return needs[i].name;
    return NULL;
}

static bool create(struct kvm_vm *vm)
{
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {ENGINE_APIC_PINS}};
    struct kvm_enable_cap ids = {.cap = KVM_CAP_X2APIC_API,
                                 .args = {KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK}};
    return ioctl(vm->fd, KVM_ENABLE_CAP, &split) == 0 && ioctl(vm->fd, KVM_ENABLE_CAP, &ids) == 0;
}

enum status kvm_irqchip_make(struct kvm_vm *vm, const struct engine_machine *m, struct error *e)
{
    if (m->irqchip == IRQCHIP_USER)
        return STATUS_OK;
    const char *lack = lacking(vm);
    if (lack && m->irqchip == IRQCHIP_KERNEL)
        return error_set(e, STATUS_UNSUPPORTED, "engine kvm: irqchip kernel: %s: the kernel lacks %s", KVM_DEVICE, lack);
    if (lack) {
        log_operator(m->log, "engine kvm: irqchip user: %s: the kernel lacks %s", KVM_DEVICE, lack);
        return STATUS_OK;
    }
    vm->routes = calloc(1, sizeof *vm->routes + ENGINE_APIC_PINS * sizeof *vm->routes->entries);
    if (!vm->routes)
        return error_set(e, STATUS_HOST, "engine kvm: out of memory");
    if (!create(vm))
        return error_errno(e, "engine kvm: irqchip kernel: KVM_CAP_SPLIT_IRQCHIP");
    vm->irqchip = true;
    return STATUS_OK;
}

/* --- what the machine asks for (engine_apic) */

static bool apic_kept(const void *shared)
{
    return ((const struct kvm_vm *)shared)->irqchip;
}

static u64 ticks_to_ns(u64 ticks, u32 khz)
{
    unsigned __int128 ns = (unsigned __int128)ticks * 1000000 / khz;
    return ns < DEADLINE_NONE ? (u64)ns : DEADLINE_NONE - 1;
}

static bool apic_get(void *shared, u32 n, struct engine_apic_state *s)
{
    const struct kvm_vcpu *v = &((struct kvm_vm *)shared)->cpu[n];
    struct kvm_lapic_state l;
    u64 deadline, tsc;
    if (ioctl(v->fd, KVM_GET_LAPIC, &l) < 0 || !kvm_msr_get(v->fd, IA32_APIC_BASE, &s->base) ||
        !kvm_msr_get(v->fd, IA32_TSC_DEADLINE, &deadline) || !kvm_msr_get(v->fd, IA32_TIME_STAMP_COUNTER, &tsc))
        return false;
    memcpy(s->image, l.regs, sizeof s->image);
    if (v->deadline_due) /* it never ran */
        s->deadline_ns = v->deadline_ns;
    else
        s->deadline_ns = !deadline ? DEADLINE_NONE : deadline > tsc ? ticks_to_ns(deadline - tsc, v->tsc_khz) : 0;
    return true;
}
_Static_assert(sizeof((struct kvm_lapic_state *)0)->regs == ENGINE_APIC_BYTES, "the page as KVM has it");

static bool apic_put(void *shared, u32 n, const struct engine_apic_state *s)
{
    struct kvm_vcpu *v = &((struct kvm_vm *)shared)->cpu[n];
    struct kvm_lapic_state l;
    memcpy(l.regs, s->image, sizeof l.regs);
    v->deadline_ns = s->deadline_ns;
    v->deadline_due = true; /* SET_LAPIC stops the timer */
    return kvm_msr_put(v->fd, IA32_APIC_BASE, s->base) && ioctl(v->fd, KVM_SET_LAPIC, &l) == 0;
}

static void apic_message(void *shared, u64 addr, u32 data)
{
    const struct kvm_vm *vm = shared;
    struct kvm_msi m = {.address_lo = (u32)addr, .address_hi = (u32)(addr >> 32), .data = data};
    (void)ioctl(vm->fd, KVM_SIGNAL_MSI, &m); /* fails where no local APIC takes it, as a message may */
}

static void apic_pin(void *shared, unsigned pin, u64 addr, u32 data)
{
    struct kvm_vm *vm = shared;
    struct kvm_irq_routing_entry e = {.gsi = pin,
                                      .type = KVM_IRQ_ROUTING_MSI,
                                      .u.msi = {.address_lo = (u32)addr, .address_hi = (u32)(addr >> 32), .data = data}};
    if (pin >= ENGINE_APIC_PINS || (pin < vm->routes->nr && !memcmp(&vm->routes->entries[pin], &e, sizeof e)))
        return;
    vm->routes->entries[pin] = e;
    if (pin >= vm->routes->nr) { /* the first round tells of all, in order */
        vm->routes->nr = pin + 1;
        if (vm->routes->nr < ENGINE_APIC_PINS)
            return;
    }
    (void)ioctl(vm->fd, KVM_SET_GSI_ROUTING, vm->routes);
}

const struct engine_apic kvm_apic = {
    .kept = apic_kept, .get = apic_get, .put = apic_put, .message = apic_message, .pin = apic_pin};

/* --- with the vCPU's registers */

/* Of states that are KVM's alone: INIT or SIPI in hand is settled by KVM_GET_MP_STATE itself. */
bool kvm_activity_get(struct kvm_cpu *k)
{
    struct kvm_mp_state s;
    if (!k->vm->irqchip)
        return true;
    if (ioctl(k->fd, KVM_GET_MP_STATE, &s) < 0)
        return false;
    k->c->activity = s.mp_state == KVM_MP_STATE_RUNNABLE ? ACTIVITY_RUNNING
                     : s.mp_state == KVM_MP_STATE_HALTED ? ACTIVITY_HALTED
                                                         : ACTIVITY_WAIT_SIPI;
    return true;
}

bool kvm_activity_put(const struct kvm_cpu *k)
{
    struct kvm_mp_state s = {.mp_state = k->c->activity == ACTIVITY_HALTED      ? KVM_MP_STATE_HALTED
                                         : k->c->activity == ACTIVITY_WAIT_SIPI ? KVM_MP_STATE_INIT_RECEIVED
                                                                                : KVM_MP_STATE_RUNNABLE};
    return !k->vm->irqchip || ioctl(k->fd, KVM_SET_MP_STATE, &s) == 0;
}

void kvm_deadline_put(struct kvm_cpu *k)
{
    struct kvm_vcpu *v = k->own;
    if (!v->deadline_due)
        return;
    v->deadline_due = false;
    u64 tsc = kvm_tsc(k);
    unsigned __int128 at = tsc + (unsigned __int128)v->deadline_ns * v->tsc_khz / 1000000;
    if (v->deadline_ns != DEADLINE_NONE)
        (void)kvm_msr_put(k->fd, IA32_TSC_DEADLINE, at > UINT64_MAX ? UINT64_MAX : at ? (u64)at : 1);
}

void kvm_steal_put(struct kvm_cpu *k)
{
    u64 v = 0;
    if (!k->vm->irqchip || !msr_read(k->c, MSR_KVM_STEAL_TIME, &v) || v == k->steal)
        return;
    if (kvm_msr_put(k->fd, MSR_KVM_STEAL_TIME, v))
        k->steal = v;
}
