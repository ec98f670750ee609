/* Local APICs, IOAPIC and the wires between them and the 8259 pair. */
#include "bench.h"
#include "irq/lapic.h"
#include "irq/router.h"

enum {
    CPUS = 3,
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR2 = 0x310,
    LVT_TIMER_REG = 0x320,
    LVT_LINT0_REG = 0x350,
    LVT_LINT1_REG = 0x360,
    LVT_ERROR_REG = 0x370,
    INIT_COUNT = 0x380,
    COUNT = 0x390,
    DIVIDE = 0x3e0,
    MASKED = 0x10000,
    IOAPIC = 0xfec00000,
};

struct apic_bench {
    struct bench b;
    struct apic_bus bus;
    struct lapic lapic[CPUS];
    struct i8259 pic;
    struct ioapic ioapic;
    struct irq_router router;
    unsigned signals[CPUS][5];
    u8 sipi[CPUS];
    u64 tsc_offset;
};

static void on_signal(void *opaque, unsigned cpu, enum apic_signal s, u8 vector)
{
    struct apic_bench *t = opaque;
    t->signals[cpu][s]++;
    if (s == APIC_SIGNAL_STARTUP)
        t->sipi[cpu] = vector;
}

static u64 on_tsc(void *opaque, unsigned cpu, u64 tsc)
{
    const struct apic_bench *t = opaque;
    (void)cpu;
    u64 now_tsc = t->b.now + t->tsc_offset;
    return tsc <= now_tsc ? t->b.now : tsc - t->tsc_offset;
}

static void start(struct apic_bench *t)
{
    memset(t, 0, sizeof *t);
    bench_init(&t->b);
    apic_bus_init(&t->bus, &t->b.clock,
                  &(struct apic_wires){.signal = on_signal, .tsc_ns = on_tsc, .opaque = t}, true);
    for (unsigned n = 0; n < CPUS; n++)
        lapic_init(&t->lapic[n], &t->bus);
    irq_router_init(&t->router, &t->pic, &t->ioapic, &t->bus);
    bench_map(&t->b, &t->b.mmio, "ioapic", IOAPIC, 4096, &ioapic_bus, &t->ioapic);
    bench_map(&t->b, &t->b.pio, "master", 0x20, 2, &i8259_master_bus, &t->pic);
    bench_map(&t->b, &t->b.pio, "slave", 0xa0, 2, &i8259_slave_bus, &t->pic);
    for (unsigned n = 0; n < CPUS; n++)
        lapic_mmio_write(&t->lapic[n], SVR, 4, 0x1ff);
}

static u32 rd(struct apic_bench *t, unsigned cpu, u32 reg)
{
    return (u32)lapic_mmio_read(&t->lapic[cpu], reg, 4);
}

static void wr(struct apic_bench *t, unsigned cpu, u32 reg, u32 v)
{
    lapic_mmio_write(&t->lapic[cpu], reg, 4, v);
}

static void send(struct apic_bench *t, unsigned cpu, u8 dest, u32 low)
{
    wr(t, cpu, ICR2, (u32)dest << 24);
    wr(t, cpu, ICR, low);
}

static void io_write(struct apic_bench *t, unsigned reg, u32 v)
{
    bus_write(&t->b.mmio, IOAPIC, 4, reg);
    bus_write(&t->b.mmio, IOAPIC + 0x10, 4, v);
}

static u32 io_read(struct apic_bench *t, unsigned reg)
{
    bus_write(&t->b.mmio, IOAPIC, 4, reg);
    return (u32)bus_read(&t->b.mmio, IOAPIC + 0x10, 4);
}

static void redirect(struct apic_bench *t, unsigned pin, u8 dest, u32 low)
{
    io_write(t, 0x11 + 2 * pin, (u32)dest << 24);
    io_write(t, 0x10 + 2 * pin, low);
}

/* Takes and ends everything that waits at CPU; how many there were. */
static unsigned drain(struct apic_bench *t, unsigned cpu)
{
    unsigned n = 0;
    for (; n < 300 && lapic_has_interrupt(&t->lapic[cpu]); n++) {
        lapic_ack(&t->lapic[cpu]);
        wr(t, cpu, EOI, 0);
    }
    return n;
}

static void test_reset_state(struct apic_bench *t)
{
    struct bench *b = &t->b;
    u64 v;
    struct lapic *l = &t->lapic[1];
    device_reset(&(struct device){&lapic_ops, l});
    CHECK_EQ(b, rd(t, 1, ID), 1u << 24);
    CHECK_EQ(b, rd(t, 1, VERSION), 0x50014);
    CHECK_EQ(b, rd(t, 1, SVR), 0xff);
    CHECK_EQ(b, rd(t, 1, DFR), 0xffffffff);
    CHECK_EQ(b, rd(t, 1, LVT_LINT0_REG), MASKED);
    CHECK(b, lapic_msr_read(l, IA32_APIC_BASE, &v));
    CHECK_EQ(b, v, 0xfee00800);
    CHECK(b, lapic_msr_read(&t->lapic[0], IA32_APIC_BASE, &v));
    CHECK_EQ(b, v, 0xfee00900);
    wr(t, 1, LVT_TIMER_REG, 0x40); /* software-disabled: the mask stays */
    CHECK_EQ(b, rd(t, 1, LVT_TIMER_REG), MASKED | 0x40);
    wr(t, 1, SVR, 0x1ff);
    wr(t, 1, LVT_TIMER_REG, 0x40);
    CHECK_EQ(b, rd(t, 1, LVT_TIMER_REG), 0x40);
    wr(t, 1, SVR, 0xff);
    CHECK_EQ(b, rd(t, 1, LVT_TIMER_REG), MASKED | 0x40);
    wr(t, 1, SVR, 0x1ff);
    CHECK(b, lapic_claims(l, 0xfee00fff));
    CHECK(b, !lapic_claims(l, 0xfee01000));
    CHECK_EQ(b, lapic_mmio_read(l, ID, 1), 0);
    CHECK_EQ(b, lapic_mmio_read(l, ID + 4, 4), 0);
}

static void test_priorities(struct apic_bench *t)
{
    struct bench *b = &t->b;
    struct lapic *l = &t->lapic[0];
    send(t, 0, 0, 0x4051);
    send(t, 0, 0, 0x40000 | 0x63); /* self */
    CHECK_EQ(b, rd(t, 0, IRR + 0x20), 1u << 17);
    CHECK_EQ(b, rd(t, 0, IRR + 0x30), 1u << 3);
    CHECK(b, t->signals[0][APIC_SIGNAL_INTR] > 0);
    CHECK_EQ(b, lapic_ack(l), 0x63);
    CHECK_EQ(b, rd(t, 0, ISR + 0x30), 1u << 3);
    CHECK_EQ(b, rd(t, 0, PPR), 0x60);
    CHECK(b, !lapic_has_interrupt(l));
    CHECK_EQ(b, lapic_ack(l), -1);
    send(t, 0, 0, 0x4068); /* the same class waits too */
    CHECK(b, !lapic_has_interrupt(l));
    send(t, 0, 0, 0x4071);
    CHECK_EQ(b, lapic_ack(l), 0x71);
    wr(t, 0, EOI, 0);
    wr(t, 0, EOI, 0);
    CHECK_EQ(b, lapic_ack(l), 0x68);
    wr(t, 0, EOI, 0);
    wr(t, 0, TPR, 0x50); /* class 5 is masked */
    CHECK(b, !lapic_has_interrupt(l));
    CHECK_EQ(b, lapic_cr8_read(l), 5);
    unsigned before = t->signals[0][APIC_SIGNAL_INTR];
    lapic_cr8_write(l, 4);
    CHECK(b, t->signals[0][APIC_SIGNAL_INTR] > before);
    CHECK_EQ(b, rd(t, 0, TPR), 0x40);
    CHECK_EQ(b, lapic_ack(l), 0x51);
    wr(t, 0, EOI, 0);
    lapic_cr8_write(l, 0);
    wr(t, 0, EOI, 0); /* nothing in service: harmless */
}

static void test_errors(struct apic_bench *t)
{
    struct bench *b = &t->b;
    wr(t, 0, LVT_ERROR_REG, 0xfe);
    wr(t, 0, ESR, 0);
    send(t, 0, 1, 0x4005); /* illegal vector */
    CHECK_EQ(b, lapic_ack(&t->lapic[0]), 0xfe);
    wr(t, 0, EOI, 0);
    CHECK_EQ(b, rd(t, 0, ESR), 0);
    wr(t, 0, ESR, 0);
    CHECK_EQ(b, rd(t, 0, ESR), 0x20);
    rd(t, 0, 0x3f0); /* no such register */
    wr(t, 0, ESR, 0);
    CHECK_EQ(b, rd(t, 0, ESR), 0x80);
    CHECK_EQ(b, drain(t, 0), 1);
    wr(t, 0, LVT_ERROR_REG, 0x03); /* the error interrupt itself is in error: no recursion */
    rd(t, 0, 0x3f0);
    wr(t, 0, ESR, 0);
    CHECK_EQ(b, rd(t, 0, ESR), 0xc0);
    wr(t, 0, LVT_ERROR_REG, MASKED);
}

static void test_ipi(struct apic_bench *t)
{
    struct bench *b = &t->b;
    send(t, 0, 2, 0x4080);
    CHECK_EQ(b, drain(t, 2), 1);
    CHECK_EQ(b, drain(t, 1), 0);
    send(t, 0, 0, 0xc4080); /* all but self */
    CHECK_EQ(b, drain(t, 0), 0);
    CHECK_EQ(b, drain(t, 1) + drain(t, 2), 2);
    send(t, 0, 0, 0x84080); /* all */
    CHECK_EQ(b, drain(t, 0) + drain(t, 1) + drain(t, 2), 3);
    send(t, 0, 0xff, 0x4080);
    CHECK_EQ(b, drain(t, 0) + drain(t, 1) + drain(t, 2), 3);

    for (unsigned n = 0; n < CPUS; n++)
        wr(t, n, LDR, 0x01000000u << n);
    send(t, 0, 0x05, 0x4880); /* flat logical */
    CHECK_EQ(b, drain(t, 0), 1);
    CHECK_EQ(b, drain(t, 1), 0);
    CHECK_EQ(b, drain(t, 2), 1);
    for (unsigned n = 0; n < CPUS; n++) {
        wr(t, n, DFR, 0);
        wr(t, n, LDR, n == 2 ? 0x21000000 : 0x11000000u << n);
    }
    wr(t, 1, LDR, 0x12000000);
    send(t, 0, 0x13, 0x4880); /* cluster 1, both members */
    CHECK_EQ(b, drain(t, 0) + drain(t, 1), 2);
    CHECK_EQ(b, drain(t, 2), 0);
    send(t, 0, 0x21, 0x4880);
    CHECK_EQ(b, drain(t, 2), 1);
    send(t, 0, 0xf1, 0x4880); /* member 0 of every cluster */
    CHECK_EQ(b, drain(t, 0) * 100 + drain(t, 1) * 10 + drain(t, 2), 101);
    for (unsigned n = 0; n < CPUS; n++) {
        wr(t, n, DFR, 0xffffffff);
        wr(t, n, LDR, 0x01000000u << n);
    }

    wr(t, 0, TPR, 0x30);
    wr(t, 1, TPR, 0x20);
    wr(t, 2, TPR, 0x40);
    send(t, 0, 0x07, 0x4980); /* lowest priority */
    CHECK_EQ(b, drain(t, 1), 1);
    CHECK_EQ(b, drain(t, 0) + drain(t, 2), 0);
    for (unsigned n = 0; n < CPUS; n++)
        wr(t, n, TPR, 0);

    memset(t->signals, 0, sizeof t->signals);
    send(t, 0, 1, 0x4400);
    CHECK_EQ(b, t->signals[1][APIC_SIGNAL_NMI], 1);
    send(t, 0, 1, 0x4200);
    CHECK_EQ(b, t->signals[1][APIC_SIGNAL_SMI], 1);
    send(t, 0, 1, 0x8500); /* INIT level de-assert */
    CHECK_EQ(b, t->signals[1][APIC_SIGNAL_INIT], 0);
    send(t, 0, 0, 0xc4500);
    CHECK_EQ(b, t->signals[0][APIC_SIGNAL_INIT], 0);
    CHECK_EQ(b, t->signals[1][APIC_SIGNAL_INIT] + t->signals[2][APIC_SIGNAL_INIT], 2);
    CHECK_EQ(b, rd(t, 1, SVR), 0xff);
    CHECK_EQ(b, rd(t, 1, ID), 1u << 24);
    send(t, 0, 1, 0x469a);
    CHECK_EQ(b, t->signals[1][APIC_SIGNAL_STARTUP], 1);
    CHECK_EQ(b, t->sipi[1], 0x9a);
    send(t, 0, 1, 0x4080); /* software-disabled: refused */
    CHECK_EQ(b, drain(t, 1), 0);
    for (unsigned n = 1; n < CPUS; n++)
        wr(t, n, SVR, 0x1ff);
}

static void test_timer(struct apic_bench *t)
{
    struct bench *b = &t->b;
    struct lapic *l = &t->lapic[0];
    wr(t, 0, DIVIDE, 0xb);
    wr(t, 0, LVT_TIMER_REG, 0x40);
    wr(t, 0, INIT_COUNT, 1000);
    bench_step(b, 400);
    CHECK_EQ(b, rd(t, 0, COUNT), 600);
    bench_step(b, 599);
    CHECK_EQ(b, rd(t, 0, COUNT), 1);
    CHECK(b, !lapic_has_interrupt(l));
    bench_step(b, 1);
    CHECK_EQ(b, rd(t, 0, COUNT), 0);
    CHECK_EQ(b, lapic_ack(l), 0x40);
    wr(t, 0, EOI, 0);
    bench_step(b, 100000);
    CHECK_EQ(b, drain(t, 0), 0);

    static const struct {
        u8 dcr;
        u32 divider;
    } dividers[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
    for (unsigned n = 0; n < ARRAY_LEN(dividers); n++) {
        wr(t, 0, DIVIDE, dividers[n].dcr);
        wr(t, 0, INIT_COUNT, 50);
        bench_step(b, 50 * dividers[n].divider - 1);
        CHECK_EQ(b, rd(t, 0, COUNT), 1);
        CHECK_EQ(b, drain(t, 0), 0);
        bench_step(b, 1);
        CHECK_EQ(b, drain(t, 0), 1);
    }

    wr(t, 0, LVT_TIMER_REG, 0x20040); /* periodic */
    wr(t, 0, DIVIDE, 0);
    wr(t, 0, INIT_COUNT, 100);
    unsigned n = 0;
    for (unsigned i = 0; i < 1000; i++) {
        bench_step(b, 10);
        n += drain(t, 0);
    }
    CHECK_EQ(b, n, 50);
    CHECK_EQ(b, rd(t, 0, COUNT), 100);
    bench_step(b, 20);
    CHECK_EQ(b, rd(t, 0, COUNT), 90);
    b->now += 1010; /* late: one interrupt, phase kept */
    CHECK_EQ(b, rd(t, 0, COUNT), 85);
    clock_run(&b->clock);
    CHECK_EQ(b, drain(t, 0), 1);
    CHECK_EQ(b, rd(t, 0, COUNT), 85);
    wr(t, 0, LVT_TIMER_REG, 0x40); /* to one-shot on the way: this cycle ends it */
    bench_step(b, 10000);
    CHECK_EQ(b, drain(t, 0), 1);
    wr(t, 0, LVT_TIMER_REG, MASKED | 0x20040);
    wr(t, 0, INIT_COUNT, 10);
    bench_step(b, 1000);
    CHECK_EQ(b, drain(t, 0), 0);
    wr(t, 0, INIT_COUNT, 0);
    b->wakes = 0;
    bench_step(b, 1000);
    CHECK_EQ(b, b->wakes, 0);

    b->clock.min_period_ns = 20000; /* pacing */
    wr(t, 0, LVT_TIMER_REG, 0x20040);
    wr(t, 0, INIT_COUNT, 1);
    b->wakes = 0;
    bench_step(b, 1000000);
    CHECK(b, b->wakes >= 49 && b->wakes <= 51);
    wr(t, 0, INIT_COUNT, 0);
    b->clock.min_period_ns = 0;
    drain(t, 0);
}

static void test_deadline(struct apic_bench *t)
{
    struct bench *b = &t->b;
    struct lapic *l = &t->lapic[0];
    u64 v;
    t->tsc_offset = 1000000;
    lapic_msr_write(l, IA32_TSC_DEADLINE, b->now + t->tsc_offset + 50);
    CHECK(b, lapic_msr_read(l, IA32_TSC_DEADLINE, &v) && !v); /* another mode: ignored */
    wr(t, 0, LVT_TIMER_REG, 0x40041);
    u64 deadline = b->now + t->tsc_offset + 500;
    CHECK(b, lapic_msr_write(l, IA32_TSC_DEADLINE, deadline));
    CHECK(b, lapic_msr_read(l, IA32_TSC_DEADLINE, &v) && v == deadline);
    CHECK_EQ(b, rd(t, 0, COUNT), 0);
    bench_step(b, 499);
    CHECK(b, !lapic_has_interrupt(l));
    bench_step(b, 1);
    CHECK_EQ(b, lapic_ack(l), 0x41);
    wr(t, 0, EOI, 0);
    CHECK(b, lapic_msr_read(l, IA32_TSC_DEADLINE, &v) && !v);
    lapic_msr_write(l, IA32_TSC_DEADLINE, 1); /* past */
    bench_step(b, 0);
    CHECK_EQ(b, drain(t, 0), 1);
    lapic_msr_write(l, IA32_TSC_DEADLINE, b->now + t->tsc_offset + 500);
    t->tsc_offset += 400; /* the guest moves its TSC */
    lapic_tsc_moved(l);
    bench_step(b, 100);
    CHECK_EQ(b, drain(t, 0), 1);
    lapic_msr_write(l, IA32_TSC_DEADLINE, b->now + t->tsc_offset + 500);
    t->tsc_offset -= 300;
    lapic_tsc_moved(l);
    bench_step(b, 799);
    CHECK_EQ(b, drain(t, 0), 0);
    bench_step(b, 1);
    CHECK_EQ(b, drain(t, 0), 1);
    lapic_msr_write(l, IA32_TSC_DEADLINE, b->now + t->tsc_offset + 500);
    lapic_msr_write(l, IA32_TSC_DEADLINE, 0);
    bench_step(b, 1000);
    CHECK_EQ(b, drain(t, 0), 0);
    lapic_msr_write(l, IA32_TSC_DEADLINE, b->now + t->tsc_offset + 500);
    wr(t, 0, LVT_TIMER_REG, 0x41); /* leaving the mode disarms */
    bench_step(b, 1000);
    CHECK_EQ(b, drain(t, 0), 0);
}

static void test_modes(struct apic_bench *t)
{
    struct bench *b = &t->b;
    struct lapic *l = &t->lapic[2];
    u64 v, base = 0xfee00000;
    CHECK(b, !lapic_msr_read(l, 0x802, &v));
    CHECK(b, !lapic_msr_write(l, IA32_APIC_BASE, base | APIC_BASE_EXTD));
    CHECK(b, !lapic_msr_write(l, IA32_APIC_BASE, base | APIC_BASE_EN | 1));
    CHECK(b, !lapic_msr_write(l, IA32_APIC_BASE, 1ull << 46 | APIC_BASE_EN));
    wr(t, 2, TPR, 0x20);
    send(t, 0, 2, 0x4080);
    CHECK(b, lapic_msr_write(l, IA32_APIC_BASE, base | APIC_BASE_EN | APIC_BASE_EXTD));
    CHECK(b, !lapic_claims(l, base));
    CHECK(b, lapic_msr_read(l, 0x802, &v) && v == 2);
    CHECK(b, lapic_msr_read(l, 0x808, &v) && v == 0x20); /* kept */
    CHECK(b, lapic_msr_read(l, 0x80d, &v) && v == 4);
    CHECK(b, !lapic_msr_write(l, 0x802, 5));
    CHECK(b, !lapic_msr_read(l, 0x80e, &v));
    CHECK(b, !lapic_msr_read(l, 0x80b, &v));
    CHECK(b, !lapic_msr_read(l, 0x831, &v));
    CHECK(b, !lapic_msr_read(l, 0x83f, &v));
    CHECK(b, !lapic_msr_read(l, 0x8ff, &v));
    CHECK(b, !lapic_msr_write(l, 0x80b, 1));
    CHECK(b, !lapic_msr_write(l, 0x828, 1));
    CHECK(b, !lapic_msr_write(l, 0x808, 0x100));
    CHECK(b, !lapic_msr_write(l, 0x832, 1u << 19));
    CHECK(b, !lapic_msr_write(l, 0x83f, 0x100));
    CHECK_EQ(b, lapic_ack(l), 0x80);
    CHECK(b, lapic_msr_write(l, 0x80b, 0));
    CHECK(b, lapic_msr_write(l, 0x83f, 0x55)); /* self IPI */
    CHECK_EQ(b, lapic_ack(l), 0x55);
    CHECK(b, lapic_msr_write(l, 0x80b, 0));
    CHECK(b, lapic_msr_write(l, 0x830, 1ull << 32 | 0x4090)); /* physical, 32-bit destination */
    CHECK_EQ(b, drain(t, 1), 1);
    CHECK(b, lapic_msr_write(l, 0x830, 0xff00000000ull | 0x4090)); /* 0xff is no broadcast here */
    CHECK_EQ(b, drain(t, 0) + drain(t, 1), 0);
    CHECK(b, lapic_msr_write(l, 0x830, 0xffffffff00000000ull | 0x4090));
    CHECK_EQ(b, drain(t, 0) + drain(t, 1), 2);
    CHECK_EQ(b, lapic_ack(l), 0x90);
    CHECK(b, lapic_msr_write(l, 0x80b, 0));
    CHECK(b, lapic_msr_write(l, 0x830, 4ull << 32 | 0x4890)); /* logical, itself */
    CHECK_EQ(b, lapic_ack(l), 0x90);
    CHECK(b, lapic_msr_read(l, 0x830, &v) && v == (4ull << 32 | 0x4890));
    CHECK(b, lapic_msr_write(l, 0x80b, 0));
    CHECK(b, !lapic_msr_write(l, IA32_APIC_BASE, base | APIC_BASE_EN)); /* x2APIC to xAPIC */
    CHECK(b, lapic_msr_write(l, IA32_APIC_BASE, base));                 /* off */
    CHECK(b, !lapic_claims(l, base));
    CHECK(b, !lapic_msr_write(l, IA32_APIC_BASE, base | APIC_BASE_EN | APIC_BASE_EXTD));
    send(t, 0, 2, 0x4080);
    CHECK(b, !lapic_has_interrupt(l));
    CHECK(b, lapic_msr_write(l, IA32_APIC_BASE, 0xfed00000ull | APIC_BASE_EN)); /* on again, elsewhere */
    CHECK(b, lapic_claims(l, 0xfed00000));
    CHECK_EQ(b, rd(t, 2, SVR), 0xff);
    CHECK_EQ(b, rd(t, 2, TPR), 0);
    CHECK_EQ(b, rd(t, 2, ID), 2u << 24);
    CHECK(b, lapic_msr_write(l, IA32_APIC_BASE, base | APIC_BASE_EN));
    wr(t, 2, SVR, 0x1ff);
}

static void test_ioapic(struct apic_bench *t)
{
    struct bench *b = &t->b;
    struct irq_line line = irq_router_line(&t->router, 10, 0), shared = irq_router_line(&t->router, 10, 1);
    CHECK_EQ(b, io_read(t, 1), 0x170020);
    io_write(t, 0, 0x5000000);
    CHECK_EQ(b, io_read(t, 0), 0x5000000);
    CHECK_EQ(b, io_read(t, 0x10), MASKED);
    redirect(t, 10, 1, 0x61); /* edge */
    CHECK_EQ(b, io_read(t, 0x25), 1u << 24);
    irq_set(&line, true);
    CHECK_EQ(b, drain(t, 1), 1);
    irq_set(&line, false);
    CHECK_EQ(b, drain(t, 1), 0);
    redirect(t, 10, 1, MASKED | 0x61); /* an edge at a masked pin is ignored */
    irq_set(&line, true);
    redirect(t, 10, 1, 0x61);
    CHECK_EQ(b, drain(t, 1), 0);
    irq_set(&line, false);

    redirect(t, 10, 1, 0x8061); /* level */
    irq_set(&line, true);
    irq_set(&shared, true);
    CHECK_EQ(b, io_read(t, 0x24), 0xc061); /* remote IRR */
    CHECK_EQ(b, lapic_ack(&t->lapic[1]), 0x61);
    CHECK_EQ(b, rd(t, 1, TMR + 0x30), 2);
    irq_set(&line, false);
    wr(t, 1, EOI, 0); /* the other source still pulls */
    CHECK_EQ(b, lapic_ack(&t->lapic[1]), 0x61);
    irq_set(&shared, false);
    wr(t, 1, EOI, 0);
    CHECK_EQ(b, io_read(t, 0x24), 0x8061);
    CHECK_EQ(b, drain(t, 1), 0);
    irq_set(&line, true); /* switched to edge and back, as Linux does to lose a remote IRR */
    CHECK_EQ(b, lapic_ack(&t->lapic[1]), 0x61);
    io_write(t, 0x24, MASKED | 0x0061);
    CHECK_EQ(b, io_read(t, 0x24), MASKED | 0x0061);
    irq_set(&line, false);
    io_write(t, 0x24, 0x8061);
    wr(t, 1, EOI, 0);
    irq_set(&line, true);
    CHECK_EQ(b, lapic_ack(&t->lapic[1]), 0x61);
    irq_set(&line, false);
    bus_write(&b->mmio, IOAPIC + 0x40, 4, 0x61); /* directed EOI */
    CHECK_EQ(b, io_read(t, 0x24), 0x8061);
    wr(t, 1, EOI, 0);

    wr(t, 1, LDR, 0x02000000);
    wr(t, 2, LDR, 0x04000000);
    redirect(t, 10, 0x06, 0x0962); /* logical, lowest priority */
    wr(t, 1, TPR, 0x10);
    irq_set(&line, true);
    CHECK_EQ(b, drain(t, 1), 0);
    CHECK_EQ(b, drain(t, 2), 1);
    wr(t, 1, TPR, 0);
    irq_set(&line, false);
    memset(t->signals, 0, sizeof t->signals);
    redirect(t, 10, 2, 0x0400);
    irq_set(&line, true);
    CHECK_EQ(b, t->signals[2][APIC_SIGNAL_NMI], 1);
    irq_set(&line, false);
    redirect(t, 10, 2, MASKED);

    struct irq_line timer = irq_router_line(&t->router, 0, 0);
    redirect(t, 2, 0, 0x33); /* IRQ 0 is pin 2 */
    irq_set(&timer, true);
    CHECK_EQ(b, drain(t, 0), 1);
    irq_set(&timer, false);
    redirect(t, 2, 0, MASKED);

    apic_bus_msi(&t->bus, 0xfee01000, 0x4077);
    CHECK_EQ(b, lapic_ack(&t->lapic[1]), 0x77);
    wr(t, 1, EOI, 0);
}

static void test_virtual_wire(struct apic_bench *t)
{
    struct bench *b = &t->b;
    struct lapic *l = &t->lapic[0];
    struct irq_line line = irq_router_line(&t->router, 4, 0);
    static const u8 icws[] = {0x11, 0x20, 4, 1, 0};
    for (unsigned n = 0; n < ARRAY_LEN(icws); n++)
        out8(b, n ? 0x21 : 0x20, icws[n]);
    irq_set(&line, true);
    CHECK(b, !lapic_has_interrupt(l)); /* LINT0 is masked */
    lapic_enter_virtual_wire(l);
    CHECK(b, lapic_has_interrupt(l));
    CHECK(b, !lapic_has_interrupt(&t->lapic[1]));
    wr(t, 0, TPR, 0xff); /* ExtINT knows no priority */
    CHECK_EQ(b, lapic_ack(l), 0x24);
    CHECK(b, !lapic_has_interrupt(l));
    wr(t, 0, TPR, 0);
    irq_set(&line, false);
    out8(b, 0x20, 0x20);

    /* The same with the APIC off, and on again. */
    u64 base;
    CHECK(b, lapic_msr_read(l, IA32_APIC_BASE, &base));
    CHECK(b, lapic_msr_write(l, IA32_APIC_BASE, base & ~(u64)APIC_BASE_EN));
    irq_set(&line, true);
    CHECK_EQ(b, lapic_ack(l), 0x24);
    irq_set(&line, false);
    out8(b, 0x20, 0x20);
    CHECK(b, lapic_msr_write(l, IA32_APIC_BASE, base));
    wr(t, 0, SVR, 0x1ff);

    /* Through the IOAPIC's pin 0 in ExtINT mode. */
    redirect(t, 0, 0, 0x0700);
    irq_set(&line, true);
    CHECK_EQ(b, lapic_ack(l), 0x24);
    CHECK(b, !lapic_has_interrupt(l));
    irq_set(&line, false);
    out8(b, 0x20, 0x20);
    redirect(t, 0, 0, MASKED);

    wr(t, 0, LVT_LINT1_REG, 0x400);
    memset(t->signals, 0, sizeof t->signals);
    apic_bus_lint(&t->bus, 1, true);
    apic_bus_lint(&t->bus, 1, false);
    CHECK_EQ(b, t->signals[0][APIC_SIGNAL_NMI], 1);
    CHECK_EQ(b, t->signals[1][APIC_SIGNAL_NMI], 0);

    wr(t, 0, LVT_LINT1_REG, 0x8045); /* fixed, level */
    apic_bus_lint(&t->bus, 1, true);
    CHECK_EQ(b, lapic_ack(l), 0x45);
    CHECK_EQ(b, rd(t, 0, LVT_LINT1_REG), 0xc045);
    wr(t, 0, EOI, 0);
    CHECK_EQ(b, lapic_ack(l), 0x45);
    apic_bus_lint(&t->bus, 1, false);
    wr(t, 0, EOI, 0);
    CHECK_EQ(b, rd(t, 0, LVT_LINT1_REG), 0x8045);
    CHECK(b, !lapic_has_interrupt(l));
}

static void test_restore(struct apic_bench *t)
{
    struct bench *b = &t->b;
    static struct apic_bench u;
    wr(t, 0, DIVIDE, 0xb);
    wr(t, 0, LVT_TIMER_REG, 0x20040);
    wr(t, 0, INIT_COUNT, 1000);
    redirect(t, 11, 0, 0x8066);
    irq_set(&(struct irq_line){ioapic_set, &t->ioapic, 11}, true);
    CHECK_EQ(b, lapic_ack(&t->lapic[0]), 0x66);
    bench_step(b, 300);
    start(&u);
    u.b.now = b->now;
    CHECK(b, bench_copy(b, &lapic_ops, &t->lapic[0], &u.lapic[0]));
    CHECK(b, bench_copy(b, &ioapic_ops, &t->ioapic, &u.ioapic));
    CHECK(b, bench_copy(b, &i8259_ops, &t->pic, &u.pic));
    CHECK(b, bench_copy(b, &irq_router_ops, &t->router, &u.router));
    CHECK_EQ(b, rd(&u, 0, COUNT), 700);
    bench_step(&u.b, 700);
    CHECK_EQ(b, rd(&u, 0, IRR + 0x20), 1);
    wr(&u, 0, EOI, 0);
    CHECK_EQ(b, lapic_ack(&u.lapic[0]), 0x66); /* pin 11 is still high */
}

static struct kept {
    unsigned messages, pins;
    struct apic_message last, pin[IOAPIC_PINS];
} kept;

static void on_message(void *opaque, const struct apic_message *m)
{
    struct kept *k = opaque;
    k->messages++;
    k->last = *m;
}

static void on_pin(void *opaque, unsigned n, const struct apic_message *m)
{
    struct kept *k = opaque;
    k->pins++;
    k->pin[n] = *m;
}

/* Somebody else has the local APICs: the registers go there and back by their image, messages and pins are told, nothing is signalled here and no
 * timer runs, until they are back. */
static void test_keeper(struct apic_bench *all)
{
    static const struct apic_keeper keeper = {.message = on_message, .pin = on_pin, .opaque = &kept};
    struct bench *b = &all->b;
    static struct apic_bench kept_here, u;
    struct apic_bench *t = &kept_here;
    u8 image[LAPIC_IMAGE_BYTES];
    start(t);
    wr(t, 0, DIVIDE, 0xb);
    wr(t, 0, LVT_TIMER_REG, 0x20040);
    wr(t, 0, INIT_COUNT, 1000);
    wr(t, 0, TPR, 0x10);
    redirect(t, 11, 0, 0x8066);
    send(t, 1, 0, 0x4071);
    bench_step(&t->b, 300);
    apic_bus_keep(&t->bus, &keeper);
    ioapic_tell(&t->ioapic);
    CHECK_EQ(b, kept.pins, IOAPIC_PINS);
    CHECK(b, kept.pin[11].level && kept.pin[11].vector == 0x66);
    lapic_image_get(&t->lapic[0], image);
    wr(t, 0, INIT_COUNT, 100);
    bench_step(&t->b, 5000);
    CHECK_EQ(b, rd(t, 0, IRR + 0x20), 0); /* the timer is elsewhere */
    unsigned signals = t->signals[0][APIC_SIGNAL_INTR];
    wr(t, 0, ICR, 0x44073); /* itself: nobody is told */
    CHECK_EQ(b, t->signals[0][APIC_SIGNAL_INTR], signals);
    irq_set(&(struct irq_line){ioapic_set, &t->ioapic, 11}, true);
    CHECK_EQ(b, kept.messages, 1);
    CHECK(b, kept.last.level && kept.last.vector == 0x66);
    CHECK_EQ(b, t->signals[0][APIC_SIGNAL_INTR], signals);
    apic_bus_lint(&t->bus, 0, true);
    CHECK_EQ(b, t->signals[0][APIC_SIGNAL_INTR], signals + 1);
    wr(t, 0, ICR, 0xc4072); /* all but itself: a message to each */
    CHECK_EQ(b, kept.messages, CPUS);
    redirect(t, 11, 0, 0x18067);
    CHECK_EQ(b, kept.pin[11].vector, 0x67);

    start(&u);
    u.b.now = t->b.now;
    apic_bus_keep(&u.bus, &keeper);
    lapic_image_put(&u.lapic[0], image);
    apic_bus_keep(&u.bus, NULL);
    CHECK_EQ(b, u.signals[0][APIC_SIGNAL_INTR], 1); /* 0x71 waited */
    CHECK_EQ(b, rd(&u, 0, TPR), 0x10);
    CHECK_EQ(b, rd(&u, 0, COUNT), 700);
    CHECK_EQ(b, lapic_ack(&u.lapic[0]), 0x71);
    bench_step(&u.b, 700);
    CHECK_EQ(b, rd(&u, 0, IRR + 0x20), 1);
}

int main(void)
{
    static struct apic_bench t;
    start(&t);
    test_reset_state(&t);
    test_priorities(&t);
    test_errors(&t);
    test_ipi(&t);
    test_timer(&t);
    test_deadline(&t);
    test_modes(&t);
    test_ioapic(&t);
    test_virtual_wire(&t);
    test_restore(&t);
    test_keeper(&t);
    return bench_end(&t.b);
}
