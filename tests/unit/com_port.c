/* The serial line that waits until somebody listens: closed after reset, opened by the receive interrupt
 * after a pause or by polling, closed again by a change of the settings, saved and restored. */
#include "machine/console/com_port.h"
#include "base/fields.h"
#include "check.h"

struct bench {
    struct clock clock;
    u64 now;
    struct com_port port;
    unsigned drained;
};

static u64 bench_now(void *opaque)
{
    const struct bench *b = opaque;
    return b->now;
}

static void bench_drained(void *opaque)
{
    struct bench *b = opaque;
    b->drained++;
}

static size_t bench_write(void *opaque, const u8 *data, size_t n)
{
    (void)opaque, (void)data;
    return n;
}

static void bench_init(struct bench *b)
{
    *b = (struct bench){.clock = {.now = bench_now, .opaque = b}};
    com_port_init(&b->port, &b->clock, (struct irq_line){0},
                  (struct char_backend){.write = bench_write, .drained = bench_drained, .opaque = b});
    device_reset(&(struct device){&ns16550_ops, &b->port.uart});
    device_reset(&(struct device){&com_port_ops, &b->port});
}

static void out(struct bench *b, u64 off, u64 value)
{
    com_port_bus.write(&b->port, off, 1, value);
}

static u64 in(struct bench *b, u64 off)
{
    return com_port_bus.read(&b->port, off, 1);
}

static void step(struct bench *b, u64 ns)
{
    b->now += ns;
    clock_run(&b->clock);
}

static void test_interrupt(void)
{
    struct bench b;
    bench_init(&b);
    CHECK_EQ(com_port_room(&b.port), 0);
    step(&b, 1000000000);
    CHECK_EQ(com_port_room(&b.port), 0);
    out(&b, 1, 0x01); /* IER: receive interrupt */
    step(&b, 1000000);
    out(&b, 2, 0x81); /* FCR: clears nothing that the line brought, for it brings nothing yet */
    step(&b, 19999999);
    CHECK_EQ(com_port_room(&b.port), 0);
    CHECK_EQ(b.drained, 0);
    step(&b, 1);
    CHECK_EQ(com_port_room(&b.port), 16);
    CHECK_EQ(b.drained, 1);
    out(&b, 0, 'x'); /* neither output nor reading closes it */
    in(&b, 5);
    in(&b, 0);
    CHECK_EQ(com_port_room(&b.port), 16);
    out(&b, 1, 0);
    CHECK_EQ(com_port_room(&b.port), 0);
    step(&b, 1000000000);
    CHECK_EQ(com_port_room(&b.port), 0);
}

static void test_polling(void)
{
    struct bench b;
    bench_init(&b);
    out(&b, 2, 0x01);
    for (unsigned i = 0; i < 200; i++) { /* an output loop: one look at LSR per byte */
        in(&b, 5);
        out(&b, 0, 'x');
    }
    CHECK_EQ(com_port_room(&b.port), 0);
    for (unsigned i = 0; i < 31; i++)
        in(&b, 5);
    in(&b, 0);
    for (unsigned i = 0; i < 31; i++) {
        in(&b, 5);
        in(&b, 4); /* the modem's registers count as nothing */
        in(&b, 6);
    }
    CHECK_EQ(com_port_room(&b.port), 0);
    in(&b, 5);
    CHECK_EQ(com_port_room(&b.port), 16);
    CHECK_EQ(b.drained, 1);
    out(&b, 3, 3); /* LCR */
    CHECK_EQ(com_port_room(&b.port), 0);
}

static void test_restore(void)
{
    struct bench a, b;
    struct buffer image = {0};
    struct error e;
    bench_init(&a);
    out(&a, 1, 0x01);
    step(&a, 500000);
    CHECK_EQ(fields_save(com_port_ops.fields, &a.port, &image, &e), STATUS_OK);
    CHECK_EQ(fields_save(ns16550_ops.fields, &a.port.uart, &image, &e), STATUS_OK);
    bench_init(&b);
    b.now = a.now;
    CHECK_EQ(fields_restore(com_port_ops.fields, &b.port, &image, &e), STATUS_OK);
    CHECK_EQ(fields_restore(ns16550_ops.fields, &b.port.uart, &image, &e), STATUS_OK);
    CHECK(com_port_ops.after_restore(&b.port));
    step(&b, 19499999);
    CHECK_EQ(com_port_room(&b.port), 0);
    step(&b, 1);
    CHECK(com_port_room(&b.port) > 0);
    buffer_free(&image);
}

int main(void)
{
    test_interrupt();
    test_polling();
    test_restore();
    return check_done();
}
