/* The HPET by its specification: capabilities, the counter started, halted, written; one-shot and periodic matches, edges and levels, 32-bit
 * mode and its wrap, legacy replacement of PIT and RTC, no wake-ups for nobody, saved state. */
#include "bench.h"
#include "dev/hpet.h"

enum { BASE = 0xfed00000, CONF = 0x10, STATUS = 0x20, COUNT = 0xf0, T0 = 0x100, T1 = 0x120, T2 = 0x140, COMP = 8 };
enum { LEVEL = 2, ENABLED = 4, PERIODIC = 8, SET = 0x40, WIDTH32 = 0x100, PIN21 = 21 << 9, PIN22 = 22 << 9 };

struct rig {
    struct bench b;
    struct hpet h, copy;
    bool lines[HPET_TIMERS][24];
    unsigned rises[24];
};

static void on_line(void *opaque, unsigned n, unsigned gsi, bool level)
{
    struct rig *r = opaque;
    r->rises[gsi] += level && !r->lines[n][gsi];
    r->lines[n][gsi] = level;
}

static u64 get(struct rig *r, u64 reg)
{
    return bus_read(&r->b.mmio, BASE + reg, 8);
}

static void put(struct rig *r, u64 reg, u64 v)
{
    bus_write(&r->b.mmio, BASE + reg, 8, v);
}

static void start(struct rig *r)
{
    const struct irq_line legacy[] = {bench_wire(&r->b, 0), bench_wire(&r->b, 8)};
    memset(r, 0, sizeof *r);
    bench_init(&r->b);
    hpet_init(&r->h, &r->b.clock, on_line, r, legacy, 0xf00000);
    bench_map(&r->b, &r->b.mmio, "hpet", BASE, HPET_LEN, &hpet_bus, &r->h);
    device_reset(&(struct device){&hpet_ops, &r->h});
    r->b.now = 12345678905;
}

static void test_counter(struct rig *r)
{
    struct bench *b = &r->b;
    CHECK_EQ(b, get(r, 0), 10000000ull << 32 | 0x8086a201);
    CHECK_EQ(b, bus_read(&b->mmio, BASE + 4, 4), 10000000);
    CHECK_EQ(b, get(r, T0), 0x00f0000000000030);
    CHECK_EQ(b, get(r, T1), 0x00f0000000000020);
    bench_step(b, 1000000);
    CHECK_EQ(b, get(r, COUNT), 0);
    put(r, COUNT, 0xfffffff0);
    put(r, CONF, 1);
    bench_step(b, 1000);
    CHECK_EQ(b, get(r, COUNT), 0xfffffff0ull + 100);
    CHECK_EQ(b, bus_read(&b->mmio, BASE + COUNT + 4, 4), 1);
    put(r, COUNT, 7); /* not while it counts */
    CHECK_EQ(b, get(r, COUNT), 0xfffffff0ull + 100);
    put(r, CONF, 0);
    bench_step(b, 1000);
    CHECK_EQ(b, get(r, COUNT), 0xfffffff0ull + 100);
    bus_write(&b->mmio, BASE + COUNT + 4, 4, 5);
    CHECK_EQ(b, get(r, COUNT), 0x500000000ull + 84);
    put(r, CONF, 1);
    bench_step(b, 20);
    CHECK_EQ(b, get(r, COUNT), 0x500000000ull + 86);
}

static void test_shot(struct rig *r)
{
    struct bench *b = &r->b;
    put(r, T1, PIN21 | ENABLED);
    put(r, T1 + COMP, 1000);
    put(r, T2, PIN22 | ENABLED | LEVEL);
    put(r, T2 + COMP, 2000);
    bench_step(b, 100000);
    CHECK_EQ(b, r->rises[21] + b->wakes, 0); /* halted */
    put(r, CONF, 1);
    bench_step(b, 9985);
    CHECK_EQ(b, r->rises[21], 0);
    bench_step(b, 15);
    CHECK_EQ(b, r->rises[21], 1);
    bench_step(b, 10000);
    CHECK(b, r->rises[22] == 1 && r->lines[2][22]);
    CHECK_EQ(b, get(r, STATUS), 4);
    put(r, STATUS, 3);
    CHECK(b, r->lines[2][22]);
    put(r, STATUS, 4);
    CHECK(b, !r->lines[2][22]);
    bench_step(b, NS_PER_S);
    CHECK_EQ(b, r->rises[21] + r->rises[22], 2);
    CHECK_EQ(b, b->wakes, 2);
    put(r, T1, PIN21 | ENABLED | WIDTH32); /* a comparator behind the counter: at the wrap */
    put(r, T1 + COMP, 1000);
    bench_step(b, 43 * NS_PER_S);
    CHECK_EQ(b, r->rises[21], 2);
    put(r, T1, 5 << 9 | ENABLED); /* a pin that it has not */
    put(r, T1 + COMP, get(r, COUNT) + 10);
    bench_step(b, 1000);
    CHECK_EQ(b, r->rises[5], 0);
}

static void test_periodic(struct rig *r)
{
    struct bench *b = &r->b;
    put(r, T0, PIN21 | ENABLED | PERIODIC | SET);
    put(r, T0 + COMP, 500);  /* the first match, */
    put(r, T0 + COMP, 1000); /* and from there on */
    put(r, CONF, 1);
    bench_step(b, 5000);
    CHECK_EQ(b, r->rises[21], 1);
    CHECK_EQ(b, get(r, T0 + COMP), 1500);
    bench_step(b, 100000);
    CHECK_EQ(b, r->rises[21], 11);
    CHECK_EQ(b, get(r, T0 + COMP), 11500);
    put(r, T0, PIN21 | PERIODIC); /* nobody listens: nobody wakes, the accumulator goes on */
    b->wakes = 0;
    bench_step(b, NS_PER_S);
    CHECK_EQ(b, get(r, T0 + COMP), 11500 + 100000000);
    CHECK_EQ(b, b->wakes, 0);
    put(r, T1, PERIODIC); /* only timer 0 has it */
    CHECK_EQ(b, get(r, T1) & PERIODIC, 0);
    b->clock.min_period_ns = 20000; /* a period of one tick does not keep the host busy */
    put(r, T0, PIN21 | ENABLED | PERIODIC | SET);
    put(r, T0 + COMP, get(r, COUNT) + 1);
    put(r, T0 + COMP, 1);
    b->wakes = 0;
    bench_step(b, 1000000);
    CHECK(b, b->wakes > 40 && b->wakes < 60);
}

static void test_legacy(struct rig *r)
{
    struct bench *b = &r->b;
    struct irq_line pit = hpet_legacy_line(&r->h, 0), rtc = hpet_legacy_line(&r->h, 1);
    irq_set(&pit, true);
    CHECK(b, b->wires[0].level);
    put(r, T0, ENABLED);
    put(r, T0 + COMP, 100);
    put(r, CONF, 3);
    irq_set(&rtc, true);
    CHECK(b, !b->wires[0].level && !b->wires[8].level);
    bench_step(b, 1000);
    CHECK_EQ(b, r->rises[0], 1);
    put(r, CONF, 1);
    CHECK(b, b->wires[0].level && b->wires[8].level && !r->lines[0][0]);
}

static void test_saved(struct rig *r)
{
    struct bench *b = &r->b;
    const struct irq_line legacy[] = {bench_wire(b, 0), bench_wire(b, 8)};
    put(r, T0, PIN21 | ENABLED | PERIODIC | SET);
    put(r, T0 + COMP, 1000);
    put(r, T2, PIN22 | ENABLED | LEVEL);
    put(r, T2 + COMP, 10);
    put(r, CONF, 1);
    bench_step(b, 5000);
    hpet_init(&r->copy, &b->clock, on_line, r, legacy, 0xf00000);
    CHECK(b, bench_copy(b, &hpet_ops, &r->h, &r->copy));
    timer_disarm(&b->clock, &r->h.timer);
    CHECK(b, r->lines[2][22]);
    unsigned before = r->rises[21];
    bench_step(b, 25000);
    CHECK_EQ(b, r->rises[21] - before, 3);
    r->copy.config[1] = PERIODIC;
    CHECK(b, !hpet_ops.after_restore(&r->copy));
}

int main(void)
{
    static struct rig r;
    static void (*const tests[])(struct rig *) = {test_counter, test_shot, test_periodic, test_legacy, test_saved};
    unsigned checks = 0, failures = 0;
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        start(&r);
        tests[i](&r);
        checks += r.b.checks;
        failures += r.b.failures;
    }
    r.b.checks = checks;
    r.b.failures = failures;
    return bench_end(&r.b);
}
