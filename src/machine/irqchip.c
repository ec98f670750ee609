#include "machine/irqchip.h"

#include "base/bits.h"
#include "base/le.h"
#include "irq/lapic_registers.h"
#include "machine/vm.h"

_Static_assert(ENGINE_APIC_BYTES == LAPIC_IMAGE_BYTES, "one page of registers");
_Static_assert(ENGINE_APIC_PINS == IOAPIC_PINS, "all pins of the IOAPIC");

#define MSI_BASE 0xfee00000ull
/* Offsets of IRR and TMR, 8 registers each, in the image. */
enum { IMAGE_TMR = 16 * APIC_TMR, IMAGE_IRR = 16 * APIC_IRR };

static void failed(struct vm *vm, const char *what)
{
    if (!vm->irqchip.failed)
        log_operator(&vm->log, "engine %s: the local APICs cannot be %s", vm->engine->name, what);
    vm->irqchip.failed = true;
}

/* Bits as in an MSI (apic_bus.c). */
static u64 message_address(const struct apic_message *m)
{
    u32 dest = m->wide && m->dest == 0xffffffff ? 0xff : m->dest; /* both mean everybody */
    return MSI_BASE | (u64)(dest & 0xff) << 12 | (u64)(dest >> 8) << 40 | (m->logical ? BIT(2) : 0);
}

static u32 message_data(const struct apic_message *m)
{
    return (u32)(m->level ? BIT(15) | BIT(14) : 0) | (u32)(m->delivery & 7) << 8 | m->vector;
}

static void keeper_message(void *opaque, const struct apic_message *m)
{
    struct vm *vm = opaque;
    vm->engine->apic->message(vm->engine_shared, message_address(m), message_data(m));
}

static void keeper_pin(void *opaque, unsigned n, const struct apic_message *m)
{
    struct vm *vm = opaque;
    vm->engine->apic->pin(vm->engine_shared, n, message_address(m), message_data(m));
}

enum status irqchip_check(const struct vm *vm, const struct engine_ops *engine, struct error *e)
{
    const struct trine_config *cfg = &vm->config;
    if (cfg->irqchip != TRINE_IRQCHIP_KERNEL)
        return STATUS_OK;
    bool any = engine->apic;
    for (unsigned i = 0; i < vm->switches.n; i++)
        any |= vm->switches.to[i]->apic != NULL;
    if (!any)
        return error_set(e, STATUS_USAGE, "irqchip kernel: engine %s has none", engine->name);
    if (cfg->gdb || cfg->trace)
        return error_set(e, STATUS_USAGE, "irqchip kernel: %s executes on the interpreter, which needs --irqchip user", cfg->gdb ? "gdb" : "trace");
    return STATUS_OK;
}

enum engine_irqchip irqchip_choice(const struct vm *vm)
{
    const struct trine_config *cfg = &vm->config;
    if (cfg->irqchip == TRINE_IRQCHIP_KERNEL)
        return IRQCHIP_KERNEL;
    return cfg->irqchip == TRINE_IRQCHIP_USER || cfg->gdb || cfg->trace ? IRQCHIP_USER : IRQCHIP_AUTO;
}

static bool engine_keeps(const struct vm *vm)
{
    return vm->engine->apic && vm->engine_shared && vm->engine->apic->kept(vm->engine_shared);
}

/* Deadlines are compared with the vCPU's counter, which struct cpu has when it does not run. */
static u64 tsc_of(const struct vm *vm, u32 n)
{
    return clock_now(&vm->clock) + vm->vcpus[n].cpu.tsc_offset;
}

static void state_of(struct vm *vm, u32 n, struct engine_apic_state *s)
{
    const struct lapic *l = &vm->pc.lapics[n];
    u64 deadline = lapic_timer_deadline(l), tsc = tsc_of(vm, n);
    lapic_image_get(l, s->image);
    s->base = l->apic_base;
    s->deadline_ns = !deadline ? UINT64_MAX : deadline > tsc ? deadline - tsc : 0;
}

static void state_to(struct vm *vm, u32 n, const struct engine_apic_state *s)
{
    struct lapic *l = &vm->pc.lapics[n];
    u64 tsc = tsc_of(vm, n);
    l->apic_base = s->base;
    lapic_image_put(l, s->image);
    u64 deadline = s->deadline_ns > UINT64_MAX - tsc ? UINT64_MAX : tsc + s->deadline_ns;
    l->tsc_deadline = s->deadline_ns == UINT64_MAX ? 0 : deadline ? deadline : 1;
}

static void give(struct vm *vm, u32 n)
{
    struct engine_apic_state s;
    state_of(vm, n, &s);
    if (!vm->engine->apic->put(vm->engine_shared, n, &s))
        failed(vm, "written");
}

static void take(struct vm *vm, u32 n)
{
    struct engine_apic_state s;
    if (vm->engine->apic->get(vm->engine_shared, n, &s))
        state_to(vm, n, &s);
    else
        failed(vm, "read");
}

void irqchip_give(struct vm *vm)
{
    if (!engine_keeps(vm))
        return;
    vm->irqchip.keeper = (struct apic_keeper){.message = keeper_message, .pin = keeper_pin, .opaque = vm};
    apic_bus_keep(&vm->pc.apic, &vm->irqchip.keeper);
    ioapic_tell(&vm->pc.ioapic);
    for (u32 n = 0; n < vm->config.cpus; n++)
        give(vm, n);
}

void irqchip_take(struct vm *vm)
{
    if (!irqchip_kept(&vm->pc.apic))
        return;
    for (u32 n = 0; n < vm->config.cpus; n++)
        take(vm, n);
    apic_bus_keep(&vm->pc.apic, NULL);
}

/* What this access sent to its own processor by a message is in NOW alone. */
static void merge_requests(struct engine_apic_state *s, const struct engine_apic_state *now)
{
    for (unsigned i = 0; i < 8; i++) {
        u8 *irr = s->image + IMAGE_IRR + 16 * i, *tmr = s->image + IMAGE_TMR + 16 * i;
        u32 came = ld32(now->image + IMAGE_IRR + 16 * i) & ~ld32(irr);
        st32(irr, ld32(irr) | came);
        st32(tmr, (ld32(tmr) & ~came) | (ld32(now->image + IMAGE_TMR + 16 * i) & came));
    }
}

void irqchip_borrow(struct vcpu *v)
{
    struct vm *vm = v->vm;
    if (!irqchip_kept(&vm->pc.apic))
        return;
    exclusive_begin(vm); /* the other processors send to it without us */
    take(vm, v->cpu.index);
}

void irqchip_give_back(struct vcpu *v)
{
    struct vm *vm = v->vm;
    struct engine_apic_state now, s;
    u32 n = v->cpu.index;
    if (!irqchip_kept(&vm->pc.apic))
        return;
    state_of(vm, n, &s);
    if (vm->engine->apic->get(vm->engine_shared, n, &now))
        merge_requests(&s, &now);
    if (!vm->engine->apic->put(vm->engine_shared, n, &s))
        failed(vm, "written");
    exclusive_end(vm);
}
