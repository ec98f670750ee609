/* The two cascaded 8259A interrupt controllers. See i8259.c. */
#ifndef IRQ_I8259_H
#define IRQ_I8259_H

#include "dev/device.h"

struct i8259_chip {
    u8 lines; /* levels of IR0..IR7 */
    u8 irr, imr, isr;
    u8 elcr;     /* level-triggered inputs */
    u8 base;     /* ICW2 */
    u8 lowest;   /* the input of lowest priority */
    u8 icw_next; /* 0: initialised; else the ICW that is expected, 2..4 */
    u8 icw1, icw4;
    bool special_mask, poll, read_isr, rotate_aeoi;
};

struct i8259 {
    struct i8259_chip chip[2]; /* master, slave on its IR2 */
    struct irq_line intr;      /* INT of the master */
};

extern const struct device_ops i8259_ops;
/* Opaque is the struct i8259. Two ports each; the third region is ELCR1 and ELCR2. */
extern const struct bus_ops i8259_master_bus, i8259_slave_bus, i8259_elcr_bus;

void i8259_init(struct i8259 *p, struct irq_line intr);
/* Input N, 0..15; as irq_line.set. */
void i8259_set(void *opaque, unsigned n, bool level);
/* INTA: the vector; IR7's of the chip in question when nothing waits any more (spurious). */
u8 i8259_ack(void *opaque);

#endif
