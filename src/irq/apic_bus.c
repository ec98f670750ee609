/* Delivery of interrupt messages to local APICs (SDM vol. 3, 11.6.2 "Determining IPI Destination", 11.11
 * "Message Signalled Interrupts"). Lowest priority: the matching processor with the lowest processor
 * priority, the first of equals. */
#include "irq/apic_bus.h"

#include "base/bits.h"
#include "irq/lapic.h"

void apic_bus_init(struct apic_bus *b, struct clock *clock, const struct apic_wires *wires, bool x2apic)
{
    *b = (struct apic_bus){.clock = clock, .wires = *wires, .x2apic = x2apic};
}

void apic_bus_deliver(struct apic_bus *b, const struct apic_message *m)
{
    struct lapic *lowest = NULL;
    if (b->keeper && m->delivery != APIC_DM_SMI) { /* system management mode is software's on every engine */
        b->keeper->message(b->keeper->opaque, m);
        return;
    }
    for (unsigned i = 0; i < b->count; i++) {
        struct lapic *l = b->lapics[i];
        if (!lapic_matches(l, m))
            continue;
        if (m->delivery != APIC_DM_LOWEST)
            lapic_receive(l, m);
        else if (!lowest || lapic_ppr(l) < lapic_ppr(lowest))
            lowest = l;
    }
    if (lowest)
        lapic_receive(lowest, m);
}

void apic_bus_keep(struct apic_bus *b, const struct apic_keeper *keeper)
{
    b->keeper = keeper;
    for (unsigned i = 0; i < b->count; i++)
        if (keeper)
            timer_disarm(b->clock, &b->lapics[i]->timer);
        else
            lapic_resume(b->lapics[i]);
}

/* Address: 19..12 destination | 3 redirection hint | 2 logical. Data: 15 level-triggered | 10..8 delivery
 * mode | 7..0 vector. */
void apic_bus_msi(struct apic_bus *b, u64 addr, u32 data)
{
    struct apic_message m = {
        .dest = (u32)bits_get(addr, 19, 12),
        .logical = addr & BIT(2),
        .level = data & BIT(15),
        .delivery = (u8)bits_get(data, 10, 8),
        .vector = (u8)data,
    };
    if (addr & BIT(3) && m.delivery == APIC_DM_FIXED && m.logical)
        m.delivery = APIC_DM_LOWEST;
    apic_bus_deliver(b, &m);
}

void apic_bus_lint(struct apic_bus *b, unsigned pin, bool level)
{
    for (unsigned i = 0; i < b->count; i++)
        lapic_set_lint(b->lapics[i], pin, level);
}
