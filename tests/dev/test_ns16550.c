/* The 16550A by its datasheet and as drivers probe it; slow back ends; input that is held back. */
#include "bench.h"
#include "dev/ns16550.h"

enum { COM = 0x3f8, IRQ = 4 };

struct uart_bench {
    struct bench b;
    struct ns16550 uart;
    u8 sent[4096];
    size_t count, room; /* of the back end */
    unsigned drained;
};

static size_t on_write(void *opaque, const u8 *data, size_t n)
{
    struct uart_bench *t = opaque;
    if (n > t->room)
        n = t->room;
    memcpy(t->sent + t->count, data, n);
    t->count += n;
    t->room -= n;
    return n;
}

static void on_drained(void *opaque)
{
    ((struct uart_bench *)opaque)->drained++;
}

static void start(struct uart_bench *t)
{
    memset(t, 0, sizeof *t);
    t->room = sizeof t->sent;
    bench_init(&t->b);
    ns16550_init(&t->uart, &t->b.clock, bench_wire(&t->b, IRQ),
                 (struct char_backend){.write = on_write, .drained = on_drained, .opaque = t});
    bench_map(&t->b, &t->b.pio, "uart", COM, 8, &ns16550_bus, &t->uart);
}

static u8 rd(struct uart_bench *t, unsigned reg)
{
    return in8(&t->b, (u16)(COM + reg));
}

static void wr(struct uart_bench *t, unsigned reg, u8 v)
{
    out8(&t->b, (u16)(COM + reg), v);
}

static bool irq(const struct uart_bench *t)
{
    return t->b.wires[IRQ].level;
}

/* What Linux's 8250 driver looks at before it says "16550A". */
static void test_probe(struct uart_bench *t)
{
    struct bench *b = &t->b;
    CHECK_EQ(b, rd(t, 5), 0x60);
    CHECK_EQ(b, rd(t, 6), 0xb0);
    wr(t, 1, 0xff);
    CHECK_EQ(b, rd(t, 1), 0x0f);
    wr(t, 1, 0);
    wr(t, 4, 0x1a); /* loop, RTS, OUT2 */
    CHECK_EQ(b, rd(t, 6) & 0xf0, 0x90);
    wr(t, 4, 0);
    wr(t, 7, 0x5a);
    CHECK_EQ(b, rd(t, 7), 0x5a);
    CHECK_EQ(b, rd(t, 2) & 0xc0, 0);
    wr(t, 2, 1);
    CHECK_EQ(b, rd(t, 2) & 0xc0, 0xc0);
    wr(t, 3, 0x83);
    wr(t, 0, 1);
    wr(t, 1, 0);
    CHECK_EQ(b, rd(t, 0), 1);
    CHECK_EQ(b, rd(t, 1), 0);
    wr(t, 3, 3);
    CHECK_EQ(b, rd(t, 3), 3);
    wr(t, 2, 7);
    wr(t, 4, 0x13); /* size of the FIFO: 20 bytes into the loop */
    for (unsigned n = 0; n < 20; n++)
        wr(t, 0, (u8)n);
    CHECK_EQ(b, rd(t, 5) & 0x03, 0x03); /* overrun */
    CHECK_EQ(b, rd(t, 5) & 0x03, 0x01);
    for (unsigned n = 0; n < 16; n++)
        CHECK_EQ(b, rd(t, 0), n);
    CHECK_EQ(b, rd(t, 5) & 0x01, 0);
    CHECK_EQ(b, t->count, 0);
    wr(t, 4, 0);
    rd(t, 6);
}

static void test_transmit(struct uart_bench *t)
{
    struct bench *b = &t->b;
    wr(t, 1, 2); /* THRE interrupts: THR is empty, so at once */
    CHECK(b, irq(t));
    CHECK_EQ(b, rd(t, 2), 0xc2);
    CHECK(b, !irq(t)); /* reading IIR took it */
    CHECK_EQ(b, rd(t, 2), 0xc1);
    wr(t, 0, 'a');
    CHECK(b, irq(t));
    CHECK_EQ(b, t->sent[0], 'a');
    wr(t, 1, 0);
    CHECK(b, !irq(t));
    wr(t, 1, 2);
    CHECK(b, irq(t)); /* Linux's test for UART_BUG_THRE */
    wr(t, 1, 3);
    ns16550_receive(&t->uart, (const u8 *)"x", 1);
    CHECK_EQ(b, rd(t, 2), 0xc4); /* an IIR that tells of something else leaves THRE pending */
    rd(t, 0);
    wr(t, 1, 2);
    CHECK_EQ(b, rd(t, 2), 0xc2);

    t->room = 2;
    t->count = 0;
    for (unsigned n = 0; n < 10; n++)
        wr(t, 0, (u8)('0' + n));
    CHECK_EQ(b, t->count, 2);
    CHECK_EQ(b, rd(t, 5) & 0x60, 0); /* neither THRE nor TEMT */
    CHECK(b, !irq(t));
    t->room = 3;
    ns16550_writable(&t->uart);
    CHECK_EQ(b, t->count, 5);
    CHECK_EQ(b, rd(t, 5) & 0x60, 0);
    t->room = 100;
    ns16550_writable(&t->uart);
    CHECK_EQ(b, t->count, 10);
    CHECK_EQ(b, rd(t, 5) & 0x60, 0x60);
    CHECK(b, irq(t));
    CHECK_EQ(b, memcmp(t->sent, "0123456789", 10), 0);
    t->room = sizeof t->sent;
    wr(t, 1, 0);

    /* A driver that writes 16 bytes whenever THRE is set loses nothing, however slow the reader. */
    u8 next = 0;
    t->count = t->room = 0;
    for (unsigned turn = 0; turn < 2000 && t->count < 512; turn++) {
        if (rd(t, 5) & 0x20)
            for (unsigned n = 0; n < 16; n++)
                wr(t, 0, next++);
        t->room = turn % 5;
        ns16550_writable(&t->uart);
    }
    CHECK(b, t->count >= 512);
    for (unsigned n = 0; n < 512; n++)
        if (t->sent[n] != (u8)n)
            CHECK_EQ(b, t->sent[n], (u8)n);
    t->room = sizeof t->sent - t->count;
    ns16550_writable(&t->uart);
    t->count = 0;
    t->room = sizeof t->sent;
}

static void test_receive(struct uart_bench *t)
{
    struct bench *b = &t->b;
    u8 data[100];
    for (unsigned n = 0; n < sizeof data; n++)
        data[n] = (u8)(n + 1);
    wr(t, 2, 0x87); /* trigger at 8 */
    wr(t, 1, 5);
    t->drained = 0;
    CHECK_EQ(b, ns16550_can_receive(&t->uart), 16);
    CHECK_EQ(b, ns16550_receive(&t->uart, data, 7), 7);
    CHECK(b, !irq(t));
    CHECK_EQ(b, ns16550_receive(&t->uart, data + 7, 93), 9);
    CHECK_EQ(b, ns16550_receive(&t->uart, data, 1), 0);
    CHECK(b, irq(t));
    CHECK_EQ(b, rd(t, 2), 0xc4);
    CHECK_EQ(b, t->drained, 0);
    CHECK_EQ(b, rd(t, 0), 1);
    CHECK_EQ(b, t->drained, 1);
    for (unsigned n = 2; n <= 8; n++)
        CHECK_EQ(b, rd(t, 0), n);
    CHECK_EQ(b, t->drained, 1);
    CHECK(b, irq(t)); /* 8 left */
    CHECK_EQ(b, rd(t, 0), 9);
    CHECK(b, !irq(t));
    /* Character timeout: 4 characters of 10 bits at 115200 baud. */
    u64 timeout = 4 * (10 * NS_PER_S / 115200);
    bench_step(b, timeout - 1000);
    CHECK(b, !irq(t));
    bench_step(b, 2000);
    CHECK(b, irq(t));
    CHECK_EQ(b, rd(t, 2), 0xcc);
    CHECK(b, irq(t));
    CHECK_EQ(b, rd(t, 0), 10);
    CHECK(b, !irq(t));
    bench_step(b, 2 * timeout);
    CHECK_EQ(b, rd(t, 2), 0xcc);
    for (unsigned n = 11; n <= 16; n++)
        CHECK_EQ(b, rd(t, 0), n);
    bench_step(b, 2 * timeout);
    CHECK(b, !irq(t));
    CHECK_EQ(b, rd(t, 5), 0x60);

    static const u8 levels[] = {1, 4, 8, 14};
    for (unsigned n = 0; n < 4; n++) {
        wr(t, 2, (u8)(n << 6 | 3));
        CHECK_EQ(b, ns16550_receive(&t->uart, data, levels[n] - 1u), levels[n] - 1u);
        CHECK(b, !irq(t));
        ns16550_receive(&t->uart, data, 1);
        CHECK(b, irq(t));
    }
    wr(t, 2, 0); /* 16450 mode: one byte */
    CHECK(b, !irq(t));
    CHECK_EQ(b, ns16550_receive(&t->uart, data, 5), 1);
    CHECK_EQ(b, rd(t, 2), 0x04);
    wr(t, 4, 0x10); /* in loop-back mode input waits outside */
    rd(t, 0);
    CHECK_EQ(b, ns16550_can_receive(&t->uart), 0);
    t->drained = 0;
    wr(t, 4, 0);
    CHECK_EQ(b, t->drained, 1);
    CHECK_EQ(b, ns16550_can_receive(&t->uart), 1);
}

static void test_status(struct uart_bench *t)
{
    struct bench *b = &t->b;
    wr(t, 2, 0x07);
    wr(t, 1, 0x0f);
    rd(t, 6);
    rd(t, 2);
    ns16550_receive(&t->uart, (const u8 *)"x", 1);
    ns16550_receive_break(&t->uart);
    wr(t, 4, 0x10);              /* all modem lines fall */
    CHECK_EQ(b, rd(t, 2), 0xc4); /* receive before THRE and modem status; the break is not on top yet */
    CHECK_EQ(b, rd(t, 5), 0xe1); /* ... but somewhere in the FIFO */
    CHECK_EQ(b, rd(t, 0), 'x');
    CHECK_EQ(b, rd(t, 2), 0xc6);
    CHECK_EQ(b, rd(t, 5), 0xf1);
    CHECK_EQ(b, rd(t, 5), 0x61);
    CHECK_EQ(b, rd(t, 0), 0);
    CHECK_EQ(b, rd(t, 2), 0xc0);
    CHECK(b, irq(t));
    CHECK_EQ(b, rd(t, 6), 0x0b);
    CHECK(b, !irq(t));
    CHECK_EQ(b, rd(t, 6), 0x00);
    wr(t, 4, 0x14); /* RI on, off: trailing edge only */
    CHECK_EQ(b, rd(t, 6), 0x40);
    wr(t, 4, 0x10);
    CHECK_EQ(b, rd(t, 6), 0x04);
    wr(t, 3, 0x43); /* break in the loop */
    CHECK_EQ(b, rd(t, 5) & 0x11, 0x11);
    CHECK_EQ(b, rd(t, 0), 0);
    wr(t, 3, 3);
    wr(t, 4, 0);
    rd(t, 6);
    wr(t, 5, 0xff);
    wr(t, 6, 0xff);
    CHECK_EQ(b, rd(t, 5), 0x60);
    CHECK_EQ(b, rd(t, 6), 0xb0);
}

static void test_restore(struct uart_bench *t)
{
    struct bench *b = &t->b;
    struct ns16550 other;
    wr(t, 1, 1);
    wr(t, 2, 0xc7);
    ns16550_receive(&t->uart, (const u8 *)"hello", 5);
    t->room = 0;
    t->count = 0;
    wr(t, 0, 'q');
    bench_step(b, 1000);
    ns16550_init(&other, &b->clock, bench_wire(b, 5), t->uart.backend);
    CHECK(b, bench_copy(b, &ns16550_ops, &t->uart, &other));
    timer_disarm(&b->clock, &t->uart.timeout);
    bus_remove(&b->pio, COM);
    bench_map(b, &b->pio, "uart", COM, 8, &ns16550_bus, &other);
    CHECK(b, !b->wires[5].level);
    bench_step(b, 1000000);
    CHECK(b, b->wires[5].level);
    CHECK_EQ(b, rd(t, 2), 0xcc);
    CHECK_EQ(b, rd(t, 0), 'h');
    CHECK_EQ(b, rd(t, 5), 0x01);
    t->room = 10;
    ns16550_writable(&other);
    CHECK_EQ(b, rd(t, 5), 0x61);
    CHECK_EQ(b, t->count, 1);
    device_reset(&(struct device){&ns16550_ops, &other});
    CHECK_EQ(b, rd(t, 5), 0x60);
    CHECK_EQ(b, clock_next(&b->clock), TIME_NEVER);
}

int main(void)
{
    static struct uart_bench t;
    start(&t);
    test_probe(&t);
    test_transmit(&t);
    test_receive(&t);
    test_status(&t);
    test_restore(&t);
    return bench_end(&t.b);
}
