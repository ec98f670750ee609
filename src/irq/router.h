/* Where interrupt wires go: ISA IRQ n to pin n of the 8259 pair and of the IOAPIC (IRQ 0 to pin 2), the
 * 8259's INT to LINT0 of every processor and to the IOAPIC's pin 0. Several sources may share a wire: it is
 * high while one of them is. */
#ifndef IRQ_ROUTER_H
#define IRQ_ROUTER_H

#include "irq/i8259.h"
#include "irq/ioapic.h"

#define ROUTER_SOURCES 32

struct irq_router {
    struct i8259 *pic;
    struct ioapic *ioapic;
    struct apic_bus *bus;
    u32 sources[IOAPIC_PINS]; /* per global interrupt: which of its sources pull it */
};

extern const struct device_ops irq_router_ops;

/* Initialises PIC and IOAPIC, and connects them to the bus, which was initialised before. */
void irq_router_init(struct irq_router *r, struct i8259 *pic, struct ioapic *ioapic, struct apic_bus *bus);
/* The wire of source SOURCE (< ROUTER_SOURCES; 0 where nobody shares) to ISA IRQ or global interrupt GSI
 * (0..23). */
struct irq_line irq_router_line(struct irq_router *r, unsigned gsi, unsigned source);

#endif
