/* The I/O APIC. See ioapic.c. */
#ifndef IRQ_IOAPIC_H
#define IRQ_IOAPIC_H

#include "dev/device.h"
#include "irq/apic_bus.h"

#define IOAPIC_PINS 24

struct ioapic {
    struct apic_bus *bus;
    u8 id, index;
    u32 pins; /* levels */
    u64 redir[IOAPIC_PINS];
};

extern const struct device_ops ioapic_ops;
extern const struct bus_ops ioapic_bus; /* 4 KiB of MMIO */

void ioapic_init(struct ioapic *io, struct apic_bus *bus);
/* Pin N; as irq_line.set. */
void ioapic_set(void *opaque, unsigned n, bool level);
/* A level-triggered VECTOR was ended. */
void ioapic_eoi(struct ioapic *io, u8 vector);
/* Tells the bus's keeper of all pins. */
void ioapic_tell(const struct ioapic *io);

#endif
