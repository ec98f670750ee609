/* ACPI power management, and the small ports: debug exit, POST code, pc-testdev. */
#include "bench.h"
#include "dev/debug_exit.h"
#include "dev/pc_testdev.h"
#include "dev/piix4_pm.h"
#include "dev/port80.h"

enum { PM = 0x600, GPE = 0xafe0, APM = 0xb2, SCI = 9, TESTDEV = 0xff000000 };

struct pm_bench {
    struct bench b;
    struct piix4_pm pm;
    struct pc_testdev testdev;
    struct port80 post;
    struct machine_lines lines;
    unsigned poweroffs, exits;
    u32 exit_value;
};

static void on_poweroff(void *opaque)
{
    ((struct pm_bench *)opaque)->poweroffs++;
}

static void on_exit_value(void *opaque, u32 value)
{
    struct pm_bench *t = opaque;
    t->exits++;
    t->exit_value = value;
}

static u64 in(struct bench *b, u16 port, unsigned size)
{
    return bus_read(&b->pio, port, size);
}

static void out(struct bench *b, u16 port, unsigned size, u64 v)
{
    bus_write(&b->pio, port, size, v);
}

static void test_timer(struct pm_bench *t)
{
    struct bench *b = &t->b;
    u64 first = in(b, PM + 8, 4);
    bench_step(b, NS_PER_S);
    CHECK_EQ(b, in(b, PM + 8, 4) - first, PM_TIMER_HZ);
    CHECK_EQ(b, in(b, PM + 10, 2), in(b, PM + 8, 4) >> 16);
    CHECK_EQ(b, in(b, PM + 9, 1), in(b, PM + 8, 4) >> 8 & 0xff);
    b->wakes = 0;
    bench_step(b, 2 * NS_PER_S);
    CHECK_EQ(b, in(b, PM + 8, 4) >> 24, 0); /* 24 bits */
    CHECK_EQ(b, in(b, PM, 2), 1);           /* TMR_STS: bit 23 changed */
    CHECK_EQ(b, b->wakes, 0);
    out(b, PM, 2, 1);
    CHECK_EQ(b, in(b, PM, 2), 0);
    out(b, PM + 2, 2, 1);
    CHECK(b, !b->wires[SCI].level);
    out(b, APM, 1, PIIX4_ACPI_ENABLE);
    CHECK_EQ(b, in(b, PM + 4, 2), 1);
    unsigned n = 0;
    for (unsigned i = 0; i < 2400; i++) {
        bench_step(b, NS_PER_S / 100);
        if (b->wires[SCI].level) {
            n++;
            out(b, PM, 2, 1);
            CHECK(b, !b->wires[SCI].level);
        }
    }
    CHECK(b, n == 10 || n == 11); /* every 2.34 s */
    out(b, PM + 2, 2, 0);
}

static void test_events(struct pm_bench *t)
{
    struct bench *b = &t->b;
    out(b, PM, 2, 0xffff);
    out(b, PM + 2, 2, 0xffff);
    CHECK_EQ(b, in(b, PM + 2, 2), 0x0521);
    out(b, PM + 2, 2, 0x0100);
    piix4_pm_power_button(&t->pm);
    CHECK(b, b->wires[SCI].level);
    CHECK_EQ(b, in(b, PM, 4), 0x01000100);
    out(b, PM + 1, 1, 0x01); /* bytes do too */
    CHECK(b, !b->wires[SCI].level);
    piix4_pm_gpe(&t->pm, 1);
    CHECK(b, !b->wires[SCI].level);
    out(b, GPE + 2, 1, 0x02);
    CHECK(b, b->wires[SCI].level);
    CHECK_EQ(b, in(b, GPE, 4), 0x00020002);
    out(b, APM, 1, PIIX4_ACPI_DISABLE);
    CHECK(b, !b->wires[SCI].level);
    out(b, APM, 1, PIIX4_ACPI_ENABLE);
    CHECK(b, b->wires[SCI].level);
    out(b, GPE, 1, 0x02);
    CHECK(b, !b->wires[SCI].level);
    out(b, APM + 1, 1, 0x77);
    CHECK_EQ(b, in(b, APM, 2), 0x77f1);

    struct piix4_pm other;
    piix4_pm_power_button(&t->pm);
    piix4_pm_init(&other, &b->clock, bench_wire(b, 10), &t->lines);
    CHECK(b, bench_copy(b, &piix4_pm_ops, &t->pm, &other));
    CHECK(b, b->wires[10].level);
    device_reset(&(struct device){&piix4_pm_ops, &other});
    CHECK(b, !b->wires[10].level);
}

static void test_sleep(struct pm_bench *t)
{
    struct bench *b = &t->b;
    out(b, PM + 4, 2, 0x0401); /* SLP_TYP alone */
    CHECK_EQ(b, in(b, PM + 4, 2), 0x0401);
    out(b, PM + 4, 2, 0x2401); /* S3 is not offered */
    CHECK_EQ(b, t->poweroffs, 0);
    out(b, PM + 4, 2, 0x2001);
    CHECK_EQ(b, t->poweroffs, 1);
    CHECK_EQ(b, in(b, PM + 4, 2), 0x0001); /* SLP_EN reads 0 */
    out(b, PM + 5, 1, 0x20);
    CHECK_EQ(b, t->poweroffs, 2);
}

static void test_ports(struct pm_bench *t)
{
    struct bench *b = &t->b;
    out(b, 0xf4, 1, 0x10);
    CHECK_EQ(b, t->exit_value, 0x10);
    out(b, 0xf4, 4, 0x12345678);
    CHECK_EQ(b, t->exit_value, 0x12345678);
    CHECK_EQ(b, t->exits, 2);
    CHECK_EQ(b, in(b, 0xf4, 1), 0);
    out(b, 0x80, 1, 0x42);
    CHECK_EQ(b, in(b, 0x80, 1), 0x42);

    out(b, 0xe0, 4, 0x12345678);
    CHECK_EQ(b, in(b, 0xe0, 4), 0x12345678);
    CHECK_EQ(b, in(b, 0xe0, 1), 0x78);
    CHECK_EQ(b, in(b, 0xe2, 2), 0x1234);
    out(b, 0xe1, 1, 0xaa);
    out(b, 0xe2, 2, 0xbbcc);
    CHECK_EQ(b, in(b, 0xe0, 4), 0xbbccaa78);
    out(b, 0xe4, 4, 0x1000);
    out(b, 0x2000 + 14, 1, 1);
    CHECK(b, b->wires[14].level);
    out(b, 0x2000 + 14, 1, 0);
    CHECK(b, !b->wires[14].level);
    bus_write(&b->mmio, TESTDEV + 0xfff8, 8, 0x1122334455667788);
    CHECK_EQ(b, bus_read(&b->mmio, TESTDEV + 0xfff9, 4), 0x44556677);
    CHECK_EQ(b, bus_read(&b->mmio, TESTDEV + 0xfffe, 4), 0xffff1122);
    CHECK_EQ(b, in(b, 0x2120, 4), (u32)clock_now(&b->clock));
    static struct pc_testdev other;
    struct irq_line none[PC_TESTDEV_IRQS] = {0};
    pc_testdev_init(&other, &b->clock, none);
    CHECK(b, bench_copy(b, &pc_testdev_ops, &t->testdev, &other));
    CHECK_EQ(b, memcmp(other.mmio, t->testdev.mmio, sizeof other.mmio), 0);
}

int main(void)
{
    static struct pm_bench t;
    bench_init(&t.b);
    t.lines = (struct machine_lines){.poweroff = on_poweroff, .debug_exit = on_exit_value, .opaque = &t};
    struct irq_line irqs[PC_TESTDEV_IRQS];
    for (unsigned n = 0; n < PC_TESTDEV_IRQS; n++)
        irqs[n] = bench_wire(&t.b, n);
    piix4_pm_init(&t.pm, &t.b.clock, bench_wire(&t.b, SCI), &t.lines);
    pc_testdev_init(&t.testdev, &t.b.clock, irqs);
    bench_map(&t.b, &t.b.pio, "pm", PM, PIIX4_PM_LEN, &piix4_pm_bus, &t.pm);
    bench_map(&t.b, &t.b.pio, "gpe", GPE, PIIX4_GPE_LEN, &piix4_gpe_bus, &t.pm);
    bench_map(&t.b, &t.b.pio, "apm", APM, 2, &piix4_apm_bus, &t.pm);
    bench_map(&t.b, &t.b.pio, "stamp", 0x2120, PC_TESTDEV_STAMP_LEN, &pc_testdev_stamp_bus, &t.testdev);
    bench_map(&t.b, &t.b.pio, "exit", 0xf4, 4, &debug_exit_bus, &t.lines);
    bench_map(&t.b, &t.b.pio, "post", 0x80, 1, &port80_bus, &t.post);
    bench_map(&t.b, &t.b.pio, "latch", 0xe0, 4, &pc_testdev_latch_bus, &t.testdev);
    bench_map(&t.b, &t.b.pio, "flush", 0xe4, 4, &pc_testdev_flush_bus, &t.testdev);
    bench_map(&t.b, &t.b.pio, "irqs", 0x2000, PC_TESTDEV_IRQS, &pc_testdev_irq_bus, &t.testdev);
    bench_map(&t.b, &t.b.mmio, "scratch", TESTDEV, PC_TESTDEV_MMIO_LEN, &pc_testdev_mmio_bus, &t.testdev);
    test_timer(&t);
    test_events(&t);
    test_sleep(&t);
    test_ports(&t);
    return bench_end(&t.b);
}
