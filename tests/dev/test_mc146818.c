/* The real-time clock: calendar, formats, setting, alarms, periodic and update interrupts, memory. */
#include "bench.h"
#include "dev/mc146818.h"

enum { IRQ = 8 };
#define START_S 951782399ll /* 2000-02-28 23:59:59 */

struct rtc_bench {
    struct bench b;
    struct mc146818 rtc;
    i64 wall_s;
};

static i64 on_wall(void *opaque)
{
    const struct rtc_bench *t = opaque;
    return t->wall_s * (i64)NS_PER_S + (i64)t->b.now;
}

static u8 rd(struct rtc_bench *t, u8 reg)
{
    out8(&t->b, 0x70, reg);
    return in8(&t->b, 0x71);
}

static void wr(struct rtc_bench *t, u8 reg, u8 v)
{
    out8(&t->b, 0x70, reg);
    out8(&t->b, 0x71, v);
}

static bool irq(const struct rtc_bench *t)
{
    return t->b.wires[IRQ].level;
}

/* YYYYMMDDhhmmss as the registers spell it, in hexadecimal. */
static u64 now_bcd(struct rtc_bench *t)
{
    static const u8 regs[] = {0x32, 9, 8, 7, 4, 2, 0};
    u64 v = 0;
    for (unsigned n = 0; n < ARRAY_LEN(regs); n++)
        v = v << 8 | rd(t, regs[n]);
    return v;
}

static void test_calendar(struct rtc_bench *t)
{
    struct bench *b = &t->b;
    CHECK_EQ(b, now_bcd(t), 0x20000228235959);
    CHECK_EQ(b, rd(t, 6), 2); /* Monday */
    bench_step(b, NS_PER_S - 244142);
    CHECK_EQ(b, rd(t, 10), 0x26);
    bench_step(b, 1);
    CHECK_EQ(b, rd(t, 10), 0xa6); /* UIP */
    bench_step(b, 244141);
    CHECK_EQ(b, rd(t, 10), 0x26);
    CHECK_EQ(b, now_bcd(t), 0x20000229000000);
    CHECK_EQ(b, rd(t, 6), 3);
    CHECK_EQ(b, rd(t, 13), 0x80);
    /* Days of 290 years through registers and back. */
    unsigned bad = 0;
    for (i64 day = -3653; day < 102000; day += 13) {
        t->wall_s = day * 86400 + 43200 - (i64)(b->now / NS_PER_S);
        u64 shown = now_bcd(t);
        wr(t, 11, 0x82);
        wr(t, 11, 0x02);
        bad += now_bcd(t) != shown || t->rtc.offset_s || t->rtc.offset_ns;
    }
    CHECK_EQ(b, bad, 0);
    t->wall_s = START_S + 1 - (i64)(b->now / NS_PER_S);
}

static void test_formats(struct rtc_bench *t)
{
    struct bench *b = &t->b;
    CHECK_EQ(b, now_bcd(t), 0x20000229000000);
    wr(t, 11, 0x00);
    CHECK_EQ(b, rd(t, 4), 0x12); /* midnight on the 12-hour clock */
    bench_step(b, 12 * 3600 * NS_PER_S);
    CHECK_EQ(b, rd(t, 4), 0x92);
    bench_step(b, 3600 * NS_PER_S);
    CHECK_EQ(b, rd(t, 4), 0x81);
    wr(t, 4, 0x91);  /* 11 pm */
    wr(t, 11, 0x06); /* binary, 24 hours */
    CHECK_EQ(b, rd(t, 4), 23);
    CHECK_EQ(b, rd(t, 7), 29);
    CHECK_EQ(b, rd(t, 0x32), 20);
    wr(t, 11, 0x02);
}

static void test_setting(struct rtc_bench *t)
{
    struct bench *b = &t->b;
    wr(t, 11, 0x82); /* SET */
    static const u8 date[][2] = {{0, 0x58}, {2, 0x59}, {4, 0x23},   {7, 0x31},
                                 {8, 0x12}, {9, 0x99}, {0x32, 0x19}};
    for (unsigned n = 0; n < ARRAY_LEN(date); n++)
        wr(t, date[n][0], date[n][1]);
    bench_step(b, 10 * NS_PER_S);
    CHECK_EQ(b, now_bcd(t), 0x19991231235958); /* it stands */
    wr(t, 11, 0x02);
    CHECK_EQ(b, now_bcd(t), 0x19991231235958);
    bench_step(b, 2 * NS_PER_S);
    CHECK_EQ(b, now_bcd(t), 0x20000101000000);
    wr(t, 10, 0x76); /* divider held in reset; released: half a second to the first update */
    bench_step(b, 5 * NS_PER_S);
    CHECK_EQ(b, now_bcd(t), 0x20000101000000);
    wr(t, 10, 0x26);
    bench_step(b, NS_PER_S / 2 - 1);
    CHECK_EQ(b, rd(t, 0), 0);
    bench_step(b, 1);
    CHECK_EQ(b, rd(t, 0), 1);
    for (unsigned n = 0; n < 10; n++) /* nonsense is survived, and normalised */
        wr(t, (u8)n, 0xff);
    wr(t, 0x32, 0xff);
    CHECK(b, rd(t, 8) >= 1 && rd(t, 8) <= 0x12);
    CHECK(b, rd(t, 0) <= 0x59);
}

static void test_interrupts(struct rtc_bench *t)
{
    struct bench *b = &t->b;
    wr(t, 11, 0x82);
    static const u8 date[][2] = {{0, 0}, {2, 0}, {4, 0}, {7, 1}, {8, 1}, {9, 0x23}, {0x32, 0x20}};
    for (unsigned n = 0; n < ARRAY_LEN(date); n++)
        wr(t, date[n][0], date[n][1]);
    for (unsigned n = 1; n < 6; n += 2)
        wr(t, (u8)n, 0x99); /* never */
    wr(t, 11, 0x02);
    rd(t, 12);
    bench_step(b, 3 * NS_PER_S);
    CHECK_EQ(b, b->wakes, 0);     /* nothing enabled: nobody is woken */
    CHECK_EQ(b, rd(t, 12), 0x50); /* but the flags tell */
    CHECK_EQ(b, rd(t, 12), 0);

    wr(t, 11, 0x12); /* update-ended */
    unsigned n = 0;
    for (unsigned i = 0; i < 100; i++) {
        bench_step(b, NS_PER_S / 10);
        if (irq(t)) {
            n++;
            CHECK_EQ(b, rd(t, 12) & 0x90, 0x90);
            CHECK(b, !irq(t));
        }
    }
    CHECK_EQ(b, n, 10);
    wr(t, 11, 0x92); /* SET clears UIE */
    CHECK_EQ(b, rd(t, 11), 0x82);
    wr(t, 11, 0x02);

    static const struct {
        u8 rate;
        u32 hz;
    } rates[] = {{1, 256}, {2, 128}, {3, 8192}, {6, 1024}, {15, 2}};
    for (unsigned r = 0; r < ARRAY_LEN(rates); r++) {
        wr(t, 10, 0x20 | rates[r].rate);
        wr(t, 11, 0x42);
        rd(t, 12);
        n = 0;
        u64 end = b->now + 2 * NS_PER_S;
        while (clock_next(&b->clock) <= end) {
            bench_step(b, clock_next(&b->clock) - b->now);
            n += irq(t);
            rd(t, 12);
        }
        bench_step(b, end - b->now);
        CHECK(b, n >= 2 * rates[r].hz - 1 && n <= 2 * rates[r].hz);
    }
    b->wakes = 0;
    wr(t, 10, 0x23);
    bench_step(b, NS_PER_S);
    CHECK(b, b->wakes <= 1); /* nobody reads register C: merged */
    wr(t, 11, 0x02);
    rd(t, 12);
    wr(t, 10, 0x26);
}

/* Whoever reads register C may be so slow that the next period is over before its interrupt is looked for: an edge each, none is lost. */
static void test_slow_reader(struct rtc_bench *t)
{
    struct bench *b = &t->b;
    wr(t, 11, 0x42);
    bench_step(b, NS_PER_S / 512);
    b->drift = NS_PER_S / 1000;
    for (unsigned n = 0; n < 8; n++) {
        unsigned rises = b->wires[IRQ].rises;
        CHECK(b, irq(t) && rd(t, 12) == 0xc0);
        bench_step(b, 2 * b->drift);
        CHECK(b, b->wires[IRQ].rises > rises);
    }
    b->drift = 0;
    wr(t, 11, 0x02);
    rd(t, 12);
}

static void alarm_at(struct rtc_bench *t, u8 h, u8 m, u8 s)
{
    wr(t, 5, h);
    wr(t, 3, m);
    wr(t, 1, s);
}

/* Seconds until the alarm's interrupt. */
static u64 wait_alarm(struct rtc_bench *t)
{
    u64 from = t->b.now;
    rd(t, 12);
    u64 next = clock_next(&t->b.clock);
    if (next == TIME_NEVER)
        return 0;
    bench_step(&t->b, next - from);
    return irq(t) && rd(t, 12) & 0x20 ? (next - from + NS_PER_S / 2) / NS_PER_S : 0;
}

static void test_alarms(struct rtc_bench *t)
{
    struct bench *b = &t->b;
    wr(t, 11, 0x82);
    static const u8 date[][2] = {{0, 0x30}, {2, 0x15}, {4, 0x10},   {7, 0x31},
                                 {8, 0x12}, {9, 0x23}, {0x32, 0x20}};
    for (unsigned n = 0; n < ARRAY_LEN(date); n++)
        wr(t, date[n][0], date[n][1]);
    wr(t, 11, 0x22);
    alarm_at(t, 0x10, 0x15, 0x31);
    CHECK_EQ(b, wait_alarm(t), 1);
    CHECK_EQ(b, wait_alarm(t), 86400); /* the next day, the next year */
    CHECK_EQ(b, now_bcd(t), 0x20240101101531);
    alarm_at(t, 0xff, 0xff, 0xc0); /* every second */
    CHECK_EQ(b, wait_alarm(t), 1);
    CHECK_EQ(b, wait_alarm(t), 1);
    alarm_at(t, 0xff, 0xff, 0x00);
    CHECK_EQ(b, wait_alarm(t), 27);
    CHECK_EQ(b, wait_alarm(t), 60);
    alarm_at(t, 0xff, 0x16, 0x00);
    CHECK_EQ(b, wait_alarm(t), 59 * 60);
    alarm_at(t, 0x10, 0xff, 0x59);
    CHECK_EQ(b, wait_alarm(t), 22 * 3600 + 44 * 60 + 59);
    alarm_at(t, 0x24, 0xff, 0xff); /* no such hour */
    CHECK_EQ(b, wait_alarm(t), 0);
    wr(t, 11, 0x20);               /* 12 hours */
    alarm_at(t, 0x81, 0x00, 0x00); /* 1 pm */
    CHECK_EQ(b, wait_alarm(t), 2 * 3600 + 59 * 60 + 1);
    wr(t, 11, 0x02);
}

static void test_memory(struct rtc_bench *t)
{
    struct bench *b = &t->b;
    struct mc146818 other;
    wr(t, 0x40, 0xab);
    CHECK_EQ(b, rd(t, 0x40), 0xab);
    mc146818_set(&t->rtc, 0x15, 0x80);
    mc146818_set(&t->rtc, 0x00, 0x77); /* refused */
    CHECK_EQ(b, rd(t, 0x15), 0x80);
    CHECK(b, rd(t, 0) != 0x77);
    CHECK(b, !mc146818_nmi_masked(&t->rtc));
    CHECK_EQ(b, rd(t, 0x80 | 0x40), 0xab);
    CHECK(b, mc146818_nmi_masked(&t->rtc));
    wr(t, 11, 0x72);
    bench_step(b, 2 * NS_PER_S);
    CHECK(b, irq(t));

    u64 shown = now_bcd(t);
    mc146818_init(&other, &b->clock, t->rtc.source, bench_wire(b, 9));
    CHECK(b, bench_copy(b, &mc146818_ops, &t->rtc, &other));
    CHECK(b, b->wires[9].level);
    bus_remove(&b->pio, 0x70);
    timer_disarm(&b->clock, &t->rtc.timer);
    bench_map(b, &b->pio, "rtc", 0x70, 2, &mc146818_bus, &other);
    CHECK_EQ(b, now_bcd(t), shown);
    CHECK_EQ(b, rd(t, 12) & 0xd0, 0xd0);
    CHECK(b, !b->wires[9].level);
    bench_step(b, NS_PER_S);
    CHECK(b, b->wires[9].level);
    device_reset(&(struct device){&mc146818_ops, &other});
    CHECK(b, !b->wires[9].level);
    CHECK_EQ(b, rd(t, 11), 0x02);
    CHECK_EQ(b, rd(t, 0x40), 0xab);
}

int main(void)
{
    struct rtc_bench t = {.wall_s = START_S};
    bench_init(&t.b);
    mc146818_init(&t.rtc, &t.b.clock, (struct rtc_source){on_wall, &t}, bench_wire(&t.b, IRQ));
    bench_map(&t.b, &t.b.pio, "rtc", 0x70, 2, &mc146818_bus, &t.rtc);
    test_calendar(&t);
    test_formats(&t);
    test_setting(&t);
    test_interrupts(&t);
    test_slow_reader(&t);
    test_alarms(&t);
    test_memory(&t);
    return bench_end(&t.b);
}
