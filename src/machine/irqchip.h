/* Local APICs that the engine keeps while the guest runs (engine/engine.h, struct engine_apic; KVM's, in the host's kernel). The IOAPIC, the 8259s and
 * all that pulls their wires stay the machine's, and reach them by messages. All under the big lock. */
#ifndef MACHINE_IRQCHIP_H
#define MACHINE_IRQCHIP_H

#include "engine/engine.h"
#include "irq/apic_bus.h"

struct vm;
struct vcpu;

struct irqchip {
    struct apic_keeper keeper;
    bool failed; /* said once */
};

/* What config.irqchip comes to on ENGINE. */
enum status irqchip_check(const struct vm *vm, const struct engine_ops *engine, struct error *e);
enum engine_irqchip irqchip_choice(const struct vm *vm);
/* The engine is open, or the machine has been reset: it gets them, if it keeps any. No vCPU runs. */
void irqchip_give(struct vm *vm);
/* Before the engine is closed: they come back. No vCPU runs, and pull has been called. */
void irqchip_take(struct vm *vm);
/* For an access of software's to the local APIC of V, by its own thread: struct lapic has what the engine has, and then the engine what
 * struct lapic has, with what came in between. Nothing where the machine has them anyway. */
void irqchip_borrow(struct vcpu *v);
void irqchip_give_back(struct vcpu *v);
static inline bool irqchip_kept(const struct apic_bus *b)
{
    return b->keeper;
}

#endif
