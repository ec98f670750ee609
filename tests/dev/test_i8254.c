/* The 8254 by its datasheet: every mode, gate, latches, read-back, BCD; IRQ0 edges, pacing, save and restore.
 */
#include "bench.h"
#include "dev/i8254.h"

enum { PIT = 0x40, CONTROL = 0x43, PORT61 = 0x61 };

struct pit_bench {
    struct bench b;
    struct i8254 pit;
};

static void start(struct pit_bench *t)
{
    bench_init(&t->b);
    i8254_init(&t->pit, &t->b.clock, bench_wire(&t->b, 0));
    bench_map(&t->b, &t->b.pio, "pit", PIT, 4, &i8254_bus, &t->pit);
    bench_map(&t->b, &t->b.pio, "port61", PORT61, 1, &i8254_port61_bus, &t->pit);
}

/* Steps to the first nanosecond of the tick that is N after the present one. */
static void ticks(struct bench *b, u64 n)
{
    u64 tick = muldiv64(b->now, I8254_HZ, NS_PER_S) + n;
    u64 ns = (tick * NS_PER_S + I8254_HZ - 1) / I8254_HZ;
    bench_step(b, ns - b->now);
}

static void program(struct bench *b, unsigned channel, unsigned mode, unsigned count, bool bcd)
{
    out8(b, CONTROL, (u8)(channel << 6 | 0x30 | mode << 1 | bcd));
    out8(b, (u16)(PIT + channel), (u8)count);
    out8(b, (u16)(PIT + channel), (u8)(count >> 8));
}

static u16 count(struct bench *b, unsigned channel)
{
    out8(b, CONTROL, (u8)(channel << 6));
    u8 low = in8(b, (u16)(PIT + channel));
    return (u16)(low | in8(b, (u16)(PIT + channel)) << 8);
}

static u8 status(struct bench *b, unsigned channel)
{
    out8(b, CONTROL, (u8)(0xe0 | 2u << channel));
    return in8(b, (u16)(PIT + channel));
}

static bool out2(struct bench *b)
{
    return in8(b, PORT61) & 0x20;
}

static void gate2(struct bench *b, bool on)
{
    out8(b, PORT61, on);
}

static void test_mode0(struct bench *b)
{
    gate2(b, true);
    program(b, 2, 0, 100, false);
    CHECK_EQ(b, status(b, 2), 0x70); /* OUT low, null count */
    ticks(b, 1);
    CHECK_EQ(b, status(b, 2), 0x30);
    CHECK_EQ(b, count(b, 2), 100);
    ticks(b, 99);
    CHECK_EQ(b, count(b, 2), 1);
    CHECK(b, !out2(b));
    ticks(b, 1);
    CHECK(b, out2(b));
    CHECK_EQ(b, count(b, 2), 0);
    ticks(b, 1);
    CHECK_EQ(b, count(b, 2), 0xffff); /* it counts on */
    CHECK(b, out2(b));
    out8(b, PIT + 2, 50); /* the first byte of a new count stops it and lowers OUT */
    CHECK(b, !out2(b));
    ticks(b, 500);
    CHECK(b, !out2(b));
    out8(b, PIT + 2, 0);
    ticks(b, 21);
    CHECK_EQ(b, count(b, 2), 30);
    gate2(b, false);
    ticks(b, 1000);
    CHECK_EQ(b, count(b, 2), 30);
    CHECK(b, !out2(b));
    gate2(b, true);
    ticks(b, 29);
    CHECK(b, !out2(b));
    ticks(b, 1);
    CHECK(b, out2(b));
}

static void test_mode1(struct bench *b)
{
    gate2(b, false);
    program(b, 2, 1, 20, false);
    CHECK(b, out2(b));
    ticks(b, 100);
    CHECK(b, out2(b));
    CHECK_EQ(b, status(b, 2), 0xf2); /* OUT high, null: nothing loaded yet */
    gate2(b, true);
    CHECK(b, out2(b));
    ticks(b, 1);
    CHECK(b, !out2(b));
    CHECK_EQ(b, status(b, 2), 0x32);
    ticks(b, 10);
    CHECK_EQ(b, count(b, 2), 10);
    gate2(b, false); /* GATE low does not stop it */
    ticks(b, 5);
    gate2(b, true); /* but its rise starts anew, OUT staying low */
    CHECK(b, !out2(b));
    ticks(b, 20);
    CHECK(b, !out2(b));
    ticks(b, 1);
    CHECK(b, out2(b));
}

static void test_mode2(struct bench *b)
{
    gate2(b, true);
    program(b, 2, 2, 10, false);
    CHECK(b, out2(b));
    ticks(b, 1);
    for (unsigned cycle = 0; cycle < 3; cycle++) {
        for (unsigned n = 10; n > 0; n--) {
            CHECK_EQ(b, count(b, 2), n);
            CHECK_EQ(b, out2(b), n != 1);
            ticks(b, 1);
        }
    }
    out8(b, PIT + 2, 4); /* a new count waits for the end of the cycle */
    out8(b, PIT + 2, 0);
    CHECK_EQ(b, status(b, 2), 0xf4);
    ticks(b, 9);
    CHECK_EQ(b, count(b, 2), 1);
    ticks(b, 1);
    CHECK_EQ(b, count(b, 2), 4);
    CHECK_EQ(b, status(b, 2), 0xb4);
    ticks(b, 3);
    CHECK(b, !out2(b));
    gate2(b, false);
    CHECK(b, out2(b));
    ticks(b, 50);
    CHECK_EQ(b, count(b, 2), 1);
    gate2(b, true);
    ticks(b, 1);
    CHECK_EQ(b, count(b, 2), 4);
    ticks(b, 4000001);
    CHECK_EQ(b, count(b, 2), 3);
}

static void test_mode3(struct bench *b)
{
    gate2(b, true);
    program(b, 2, 3, 6, false);
    ticks(b, 1);
    static const u8 even[] = {6, 4, 2, 6, 4, 2}, odd[] = {6, 4, 2, 0, 6, 4, 2};
    for (unsigned n = 0; n < 30; n++) {
        CHECK_EQ(b, count(b, 2), even[n % 6]);
        CHECK_EQ(b, out2(b), n % 6 < 3);
        ticks(b, 1);
    }
    program(b, 2, 3, 7, false);
    ticks(b, 1);
    for (unsigned n = 0; n < 35; n++) {
        CHECK_EQ(b, count(b, 2), odd[n % 7]);
        CHECK_EQ(b, out2(b), n % 7 < 4);
        ticks(b, 1);
    }
    ticks(b, 2);
    out8(b, PIT + 2, 100); /* takes effect at the end of the half cycle */
    out8(b, PIT + 2, 0);
    ticks(b, 2);
    CHECK(b, !out2(b));
    CHECK_EQ(b, count(b, 2), 100);
    ticks(b, 49);
    CHECK(b, !out2(b));
    ticks(b, 1);
    CHECK(b, out2(b));
    gate2(b, false);
    ticks(b, 77);
    CHECK(b, out2(b));
    gate2(b, true);
    ticks(b, 50);
    CHECK(b, out2(b));
    ticks(b, 1);
    CHECK(b, !out2(b));
}

static void test_mode4(struct bench *b)
{
    gate2(b, true);
    program(b, 2, 4, 10, false);
    ticks(b, 10);
    CHECK(b, out2(b));
    ticks(b, 1);
    CHECK(b, !out2(b)); /* one CLK, N + 1 after the write */
    ticks(b, 1);
    CHECK(b, out2(b));
    ticks(b, 0x10000 - 1);
    CHECK(b, out2(b)); /* once only */
}

static void test_mode5(struct bench *b)
{
    gate2(b, false);
    program(b, 2, 5, 10, false);
    ticks(b, 40);
    CHECK(b, out2(b));
    gate2(b, true);
    ticks(b, 10);
    CHECK(b, out2(b));
    ticks(b, 1);
    CHECK(b, !out2(b));
    ticks(b, 1);
    CHECK(b, out2(b));
    gate2(b, false);
    gate2(b, true);
    ticks(b, 11);
    CHECK(b, !out2(b));
}

static void test_formats(struct bench *b)
{
    gate2(b, true);
    program(b, 2, 2, 0x1000, true); /* BCD */
    ticks(b, 2);
    CHECK_EQ(b, count(b, 2), 0x999);
    program(b, 2, 0, 0, true);
    ticks(b, 1);
    CHECK_EQ(b, count(b, 2), 0);
    ticks(b, 1);
    CHECK_EQ(b, count(b, 2), 0x9999);
    program(b, 2, 0, 0xffff, true); /* not BCD at all */
    ticks(b, 3);
    count(b, 2);

    out8(b, CONTROL, 0x94); /* LSB only, mode 2 */
    out8(b, PIT + 2, 200);
    ticks(b, 1);
    CHECK_EQ(b, in8(b, PIT + 2), 200);
    CHECK_EQ(b, in8(b, PIT + 2), 200);
    out8(b, CONTROL, 0xa4); /* MSB only */
    out8(b, PIT + 2, 2);
    ticks(b, 1);
    CHECK_EQ(b, in8(b, PIT + 2), 2);
    ticks(b, 1);
    CHECK_EQ(b, in8(b, PIT + 2), 1);

    program(b, 2, 2, 1000, false);
    ticks(b, 1);
    out8(b, CONTROL, 0xc8); /* read-back: status and count of channel 2 */
    ticks(b, 500);
    out8(b, CONTROL, 0xd8); /* a second latch of the count is ignored */
    CHECK_EQ(b, in8(b, PIT + 2), 0xb4);
    CHECK_EQ(b, in8(b, PIT + 2), 1000 & 0xff);
    CHECK_EQ(b, in8(b, PIT + 2), 1000 >> 8);
    CHECK_EQ(b, in8(b, PIT + 2), 500 & 0xff);
    CHECK_EQ(b, in8(b, PIT + 2), 500 >> 8);
    CHECK_EQ(b, in8(b, CONTROL), 0xff);

    out8(b, CONTROL, 0xbe); /* modes 6 and 7 are 2 and 3 */
    CHECK_EQ(b, status(b, 2) & 0xf, 3 << 1);
}

static void test_port61(struct bench *b)
{
    u8 first = in8(b, PORT61) & 0x10;
    ticks(b, 18);
    CHECK_EQ(b, in8(b, PORT61) & 0x10, first ^ 0x10);
    ticks(b, 18);
    CHECK_EQ(b, in8(b, PORT61) & 0x10, first);
    out8(b, PORT61, 0xfe);
    CHECK_EQ(b, in8(b, PORT61) & 0x0f, 0x0e);
}

static void test_irq0(struct bench *b)
{
    struct wire *w = &b->wires[0];
    program(b, 0, 2, 11932, false); /* 100 Hz */
    unsigned before = w->rises;
    bench_step(b, NS_PER_S);
    CHECK_EQ(b, w->rises - before, 99); /* 99.998 cycles and the loading CLK */
    program(b, 0, 3, 0, false);
    before = w->rises;
    bench_step(b, NS_PER_S + 1000000);
    CHECK_EQ(b, w->rises - before, 18);
    program(b, 0, 0, 1000, false);
    CHECK(b, !w->level);
    ticks(b, 1000);
    CHECK(b, !w->level);
    ticks(b, 1);
    CHECK(b, w->level);
    program(b, 0, 4, 1000, false);
    before = w->rises;
    ticks(b, 1001);
    CHECK_EQ(b, w->rises - before, 0);
    ticks(b, 1);
    CHECK_EQ(b, w->rises - before, 1);
    ticks(b, 200000);
    CHECK_EQ(b, w->rises - before, 1);

    /* A late wake-up merges cycles into one edge and keeps the phase. */
    program(b, 0, 2, 1000, false);
    ticks(b, 1);
    before = w->rises;
    u64 tick = muldiv64(b->now, I8254_HZ, NS_PER_S) + 10500;
    b->now = tick * NS_PER_S / I8254_HZ + 1;
    clock_run(&b->clock);
    CHECK_EQ(b, w->rises - before, 1);
    CHECK_EQ(b, count(b, 0), 500);
    ticks(b, 500);
    CHECK_EQ(b, w->rises - before, 2);
}

/* A guest that asks for the highest rate wakes the host no more than the clock allows. */
static void test_pacing(struct bench *b)
{
    b->clock.min_period_ns = 20000;
    for (unsigned mode = 2; mode < 4; mode++) {
        for (unsigned n = 1; n < 5; n++) {
            program(b, 0, mode, n, false);
            unsigned before = b->wires[0].rises;
            b->wakes = 0;
            bench_step(b, 10000000);
            CHECK(b, b->wakes <= 501);
            CHECK_EQ(b, b->wires[0].rises - before > 400, n > 1);
        }
    }
    b->clock.min_period_ns = 0;
}

static void test_restore(struct pit_bench *t)
{
    struct bench *b = &t->b;
    struct i8254 other;
    program(b, 0, 2, 5000, false);
    program(b, 2, 3, 999, false);
    ticks(b, 1234);
    i8254_init(&other, &b->clock, bench_wire(b, 1));
    CHECK(b, bench_copy(b, &i8254_ops, &t->pit, &other));
    b->wires[0] = b->wires[1] = (struct wire){.level = true};
    ticks(b, 100000);
    CHECK_EQ(b, b->wires[0].rises, 20);
    CHECK_EQ(b, b->wires[1].rises, 20);
    u16 c0 = count(b, 0), c2 = count(b, 2);
    bus_remove(&b->pio, PIT);
    bench_map(b, &b->pio, "pit", PIT, 4, &i8254_bus, &other);
    CHECK_EQ(b, count(b, 0), c0);
    CHECK_EQ(b, count(b, 2), c2);
    device_reset(&(struct device){&i8254_ops, &other});
    CHECK(b, !b->wires[1].level);
    unsigned rises = b->wires[1].rises;
    ticks(b, 1000000);
    CHECK_EQ(b, b->wires[1].rises, rises);
    timer_disarm(&b->clock, &other.timer);
}

int main(void)
{
    struct pit_bench t;
    start(&t);
    test_mode0(&t.b);
    test_mode1(&t.b);
    test_mode2(&t.b);
    test_mode3(&t.b);
    test_mode4(&t.b);
    test_mode5(&t.b);
    test_formats(&t.b);
    test_port61(&t.b);
    test_irq0(&t.b);
    test_pacing(&t.b);
    test_restore(&t);
    return bench_end(&t.b);
}
