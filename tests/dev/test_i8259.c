/* The 8259A pair by its datasheet: priorities, EOIs, rotation, special modes, polling, edge and level,
 * spurious interrupts. */
#include "bench.h"
#include "irq/i8259.h"

enum { M0 = 0x20, M1 = 0x21, S0 = 0xa0, S1 = 0xa1, ELCR = 0x4d0, INTR = 31 };

struct pic_bench {
    struct bench b;
    struct i8259 pic;
};

static void initialise(struct bench *b, u8 icw4_master, u8 icw4_slave)
{
    static const u16 ports[2] = {M0, S0};
    const u8 last[2] = {icw4_master, icw4_slave};
    for (unsigned n = 0; n < 2; n++) {
        out8(b, ports[n], 0x11);
        out8(b, ports[n] + 1, n ? 0x28 : 0x20);
        out8(b, ports[n] + 1, n ? 2 : 4);
        out8(b, ports[n] + 1, last[n]);
        out8(b, ports[n] + 1, 0);
    }
}

static void lower_all(struct pic_bench *t)
{
    for (unsigned n = 0; n < 16; n++)
        i8259_set(&t->pic, n, false);
}

static void pulse(struct pic_bench *t, unsigned n)
{
    i8259_set(&t->pic, n, false);
    i8259_set(&t->pic, n, true);
}

static bool intr(struct pic_bench *t)
{
    return t->b.wires[INTR].level;
}

static u8 isr(struct bench *b, u16 port)
{
    out8(b, port, 0x0b);
    return in8(b, port);
}

static u8 irr(struct bench *b, u16 port)
{
    out8(b, port, 0x0a);
    return in8(b, port);
}

static void test_priority(struct pic_bench *t)
{
    struct bench *b = &t->b;
    initialise(b, 1, 1);
    lower_all(t);
    pulse(t, 5);
    pulse(t, 3);
    CHECK(b, intr(t));
    CHECK_EQ(b, irr(b, M0), 0x28);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x23);
    CHECK_EQ(b, isr(b, M0), 0x08);
    CHECK(b, !intr(t)); /* 5 is below 3 */
    pulse(t, 1);
    CHECK(b, intr(t));
    CHECK_EQ(b, i8259_ack(&t->pic), 0x21);
    out8(b, M0, 0x20); /* non-specific: the highest in service */
    CHECK_EQ(b, isr(b, M0), 0x08);
    out8(b, M0, 0x63); /* specific */
    CHECK_EQ(b, isr(b, M0), 0);
    CHECK(b, intr(t));
    CHECK_EQ(b, i8259_ack(&t->pic), 0x25);
    out8(b, M0, 0x20);
    CHECK(b, !intr(t));
    pulse(t, 4);
    out8(b, M1, 0x10);
    CHECK(b, !intr(t));
    CHECK_EQ(b, in8(b, M1), 0x10);
    out8(b, M1, 0);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x24);
    out8(b, M0, 0x20);
}

static void test_cascade(struct pic_bench *t)
{
    struct bench *b = &t->b;
    initialise(b, 1, 1);
    lower_all(t);
    pulse(t, 14);
    pulse(t, 3);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x2e);
    CHECK_EQ(b, isr(b, M0), 0x04);
    CHECK_EQ(b, isr(b, S0), 0x40);
    pulse(t, 8); /* higher on the slave, but the master's IR2 is in service */
    CHECK(b, !intr(t));
    out8(b, S0, 0x20);
    out8(b, M0, 0x20);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x28);
    out8(b, S0, 0x20);
    out8(b, M0, 0x20);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x23);
    out8(b, M0, 0x20);
    CHECK(b, !intr(t));

    initialise(b, 0x11, 1); /* special fully nested: the slave's higher one comes through */
    lower_all(t);
    pulse(t, 14);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x2e);
    pulse(t, 8);
    CHECK(b, intr(t));
    CHECK_EQ(b, i8259_ack(&t->pic), 0x28);
}

static void test_edge_level(struct pic_bench *t)
{
    struct bench *b = &t->b;
    initialise(b, 1, 1);
    lower_all(t);
    pulse(t, 5);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x25);
    out8(b, M0, 0x20);
    CHECK(b, !intr(t)); /* still high, but no new edge */
    pulse(t, 5);
    i8259_set(&t->pic, 5, false); /* withdrawn before INTA */
    CHECK(b, !intr(t));
    CHECK_EQ(b, i8259_ack(&t->pic), 0x27); /* spurious */
    CHECK_EQ(b, isr(b, M0), 0);

    out8(b, ELCR, 0xff);
    out8(b, ELCR + 1, 0xff);
    CHECK_EQ(b, in8(b, ELCR), 0xf8);
    CHECK_EQ(b, in8(b, ELCR + 1), 0xde);
    lower_all(t);
    i8259_set(&t->pic, 5, true);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x25);
    CHECK(b, !intr(t));
    out8(b, M0, 0x20);
    CHECK(b, intr(t)); /* asserted still */
    i8259_set(&t->pic, 5, false);
    CHECK(b, !intr(t));
    i8259_set(&t->pic, 10, true);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x2a);
    i8259_set(&t->pic, 10, false);
    out8(b, S0, 0x20);
    out8(b, M0, 0x20);
    CHECK(b, !intr(t));
    out8(b, ELCR, 0);
    out8(b, ELCR + 1, 0);
}

static void test_automatic(struct pic_bench *t)
{
    struct bench *b = &t->b;
    initialise(b, 3, 1);
    lower_all(t);
    pulse(t, 4);
    pulse(t, 6);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x24);
    CHECK_EQ(b, isr(b, M0), 0);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x26);
    CHECK(b, !intr(t));
    out8(b, M0, 0x80); /* rotate in automatic EOI mode */
    pulse(t, 0);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x20);
    pulse(t, 0);
    pulse(t, 7);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x27); /* 0 is the lowest now */
    CHECK_EQ(b, i8259_ack(&t->pic), 0x20);
    out8(b, M0, 0x00);
}

static void test_rotation(struct pic_bench *t)
{
    struct bench *b = &t->b;
    initialise(b, 1, 1);
    lower_all(t);
    pulse(t, 3);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x23);
    out8(b, M0, 0xa0); /* rotate on non-specific EOI: 3 becomes the lowest */
    pulse(t, 3);
    pulse(t, 4);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x24);
    out8(b, M0, 0xe4); /* rotate on specific EOI */
    CHECK_EQ(b, isr(b, M0), 0);
    pulse(t, 4);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x23);
    out8(b, M0, 0x20);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x24);
    out8(b, M0, 0x20);
    out8(b, M0, 0xc6); /* set priority: 7 is the highest */
    pulse(t, 0);
    pulse(t, 7);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x27);
    CHECK(b, !intr(t));
    out8(b, M0, 0x20);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x20);
    out8(b, M0, 0x20);
}

static void test_special_mask(struct pic_bench *t)
{
    struct bench *b = &t->b;
    initialise(b, 1, 1);
    lower_all(t);
    pulse(t, 1);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x21);
    pulse(t, 6);
    CHECK(b, !intr(t));
    out8(b, M0, 0x68); /* special mask mode */
    CHECK(b, !intr(t));
    out8(b, M1, 0x02);
    CHECK(b, intr(t)); /* 1 is in service and masked: lower ones come through */
    CHECK_EQ(b, i8259_ack(&t->pic), 0x26);
    out8(b, M0, 0x20); /* leaves the masked one alone */
    CHECK_EQ(b, isr(b, M0), 0x02);
    out8(b, M0, 0x48);
    out8(b, M0, 0x20);
    CHECK_EQ(b, isr(b, M0), 0);
    out8(b, M1, 0);
}

static void test_poll(struct pic_bench *t)
{
    struct bench *b = &t->b;
    initialise(b, 1, 1);
    lower_all(t);
    out8(b, M0, 0x0c);
    CHECK_EQ(b, in8(b, M0) & 0x80, 0);
    pulse(t, 6);
    pulse(t, 12);
    out8(b, M0, 0x0c);
    CHECK_EQ(b, in8(b, M0), 0x82);
    CHECK_EQ(b, isr(b, M0), 0x04);
    out8(b, S0, 0x0c);
    CHECK_EQ(b, in8(b, S0), 0x84);
    CHECK_EQ(b, isr(b, S0), 0x10);
    out8(b, S0, 0x20);
    out8(b, M0, 0x20);
    out8(b, M0, 0x0c);
    CHECK_EQ(b, in8(b, M1), 0x86);
    CHECK_EQ(b, in8(b, M1), 0); /* IMR again */
    out8(b, M0, 0x20);
    CHECK(b, !intr(t));
}

static void test_initialisation(struct pic_bench *t)
{
    struct bench *b = &t->b;
    initialise(b, 1, 1);
    lower_all(t);
    out8(b, M1, 0xff);
    pulse(t, 3);
    out8(b, M0, 0x11); /* forgets requests, IMR and priorities, and is deaf until ICW4 */
    CHECK(b, !intr(t));
    CHECK_EQ(b, in8(b, M0), 0);
    pulse(t, 4);
    out8(b, M1, 0x47); /* only the upper five bits count */
    out8(b, M1, 4);
    CHECK(b, !intr(t));
    out8(b, M1, 1);
    CHECK(b, intr(t));
    CHECK_EQ(b, i8259_ack(&t->pic), 0x44);
    out8(b, M0, 0x20);
    out8(b, M0, 0x12); /* single, no ICW4 */
    out8(b, M1, 0x50);
    pulse(t, 0);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x50);
    out8(b, M0, 0x20);
    out8(b, M0, 0x19); /* LTIM: all inputs level-triggered */
    out8(b, M1, 0x20);
    out8(b, M1, 4);
    out8(b, M1, 1);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x20);
    out8(b, M0, 0x20);
    CHECK(b, intr(t));
}

static void test_restore(struct pic_bench *t)
{
    struct bench *b = &t->b;
    struct i8259 other;
    initialise(b, 1, 1);
    lower_all(t);
    pulse(t, 9);
    pulse(t, 6);
    CHECK_EQ(b, i8259_ack(&t->pic), 0x29);
    i8259_init(&other, bench_wire(b, 30));
    CHECK(b, bench_copy(b, &i8259_ops, &t->pic, &other));
    CHECK(b, !b->wires[30].level);
    bus_remove(&b->pio, M0);
    bus_remove(&b->pio, S0);
    bench_map(b, &b->pio, "master", M0, 2, &i8259_master_bus, &other);
    bench_map(b, &b->pio, "slave", S0, 2, &i8259_slave_bus, &other);
    out8(b, S0, 0x20);
    out8(b, M0, 0x20);
    CHECK(b, b->wires[30].level);
    CHECK_EQ(b, i8259_ack(&other), 0x26);
    device_reset(&(struct device){&i8259_ops, &other});
    CHECK(b, !b->wires[30].level);
    CHECK_EQ(b, isr(b, M0), 0);
}

int main(void)
{
    struct pic_bench t;
    bench_init(&t.b);
    i8259_init(&t.pic, bench_wire(&t.b, INTR));
    bench_map(&t.b, &t.b.pio, "master", M0, 2, &i8259_master_bus, &t.pic);
    bench_map(&t.b, &t.b.pio, "slave", S0, 2, &i8259_slave_bus, &t.pic);
    bench_map(&t.b, &t.b.pio, "elcr", ELCR, 2, &i8259_elcr_bus, &t.pic);
    test_priority(&t);
    test_cascade(&t);
    test_edge_level(&t);
    test_automatic(&t);
    test_rotation(&t);
    test_special_mask(&t);
    test_poll(&t);
    test_initialisation(&t);
    test_restore(&t);
    return bench_end(&t.b);
}
