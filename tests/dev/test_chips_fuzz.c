/* Every chip under a storm of random accesses, clock steps and wires, and restored from mutated images of
 * itself. Nothing is asserted about what the chips answer: that nothing crashes, spins or trips a sanitizer
 * is the test. The seed is fixed. */
#include <stdlib.h>

#include "bench.h"
#include "dev/cf9.h"
#include "dev/fw_cfg.h"
#include "dev/hpet.h"
#include "dev/i8042.h"
#include "dev/i8254.h"
#include "dev/mc146818.h"
#include "dev/ns16550.h"
#include "dev/piix4_pm.h"
#include "dev/port80.h"
#include "dev/port92.h"
#include "irq/lapic.h"
#include "irq/router.h"

enum { CPUS = 2, DEVICES = 15, LAPIC = 0xfee00000, HPET = 0xfed00000, IOAPIC = 0xfec00000 };

struct zoo {
    struct bench b;
    u64 seed;
    struct mem mem;
    struct machine_lines lines;
    struct apic_bus bus;
    struct lapic lapic[CPUS];
    struct irq_router router;
    struct i8259 pic;
    struct ioapic ioapic;
    struct hpet hpet;
    struct i8254 pit;
    struct mc146818 rtc;
    struct ns16550 uart;
    struct i8042 kbd;
    struct piix4_pm pm;
    struct port80 port80;
    struct port92 port92;
    struct cf9 cf9;
    struct fw_cfg fw;
    struct device devices[DEVICES];
    unsigned taken, refused;
};

static u64 rnd(struct zoo *z)
{
    z->seed ^= z->seed << 13;
    z->seed ^= z->seed >> 7;
    return z->seed ^= z->seed << 17;
}

static i64 on_wall(void *opaque)
{
    return 1000000000ll * (i64)NS_PER_S + (i64)((struct zoo *)opaque)->b.now;
}

static u64 on_tsc(void *opaque, unsigned cpu, u64 tsc)
{
    (void)opaque;
    return tsc + cpu;
}

static size_t on_write(void *opaque, const u8 *data, size_t n)
{
    (void)data;
    return rnd(opaque) % (n + 1);
}

static void on_hpet(void *opaque, unsigned n, unsigned gsi, bool level)
{
    struct irq_line line = irq_router_line(opaque, gsi, 2 + n);
    irq_set(&line, level);
}

static void build(struct zoo *z)
{
    struct bench *b = &z->b;
    struct irq_router *r = &z->router;
    bench_init(b);
    b->clock.min_period_ns = 20000;
    apic_bus_init(&z->bus, &b->clock, &(struct apic_wires){.tsc_ns = on_tsc, .opaque = z}, true);
    for (unsigned n = 0; n < CPUS; n++)
        lapic_init(&z->lapic[n], &z->bus);
    irq_router_init(r, &z->pic, &z->ioapic, &z->bus);
    const struct irq_line legacy[] = {irq_router_line(r, 0, 0), irq_router_line(r, 8, 0)};
    hpet_init(&z->hpet, &b->clock, on_hpet, r, legacy, 0xf00000);
    i8254_init(&z->pit, &b->clock, hpet_legacy_line(&z->hpet, 0));
    mc146818_init(&z->rtc, &b->clock, (struct rtc_source){on_wall, z}, hpet_legacy_line(&z->hpet, 1));
    ns16550_init(&z->uart, &b->clock, irq_router_line(r, 4, 0),
                 (struct char_backend){.write = on_write, .opaque = z});
    i8042_init(&z->kbd, irq_router_line(r, 1, 0), irq_router_line(r, 12, 0), &z->lines);
    piix4_pm_init(&z->pm, &b->clock, irq_router_line(r, 9, 0), &z->lines);
    port92_init(&z->port92, &z->lines);
    cf9_init(&z->cf9, &z->lines);
    fw_cfg_init(&z->fw, &z->mem);
    if (!fw_cfg_add_file(&z->fw, "etc/x", "0123456789", 10))
        b->failures++;
    const struct device devices[DEVICES] = {
        {&lapic_ops, &z->lapic[0]}, {&lapic_ops, &z->lapic[1]}, {&irq_router_ops, r},
        {&i8259_ops, &z->pic},      {&ioapic_ops, &z->ioapic},  {&i8254_ops, &z->pit},
        {&mc146818_ops, &z->rtc},   {&ns16550_ops, &z->uart},   {&i8042_ops, &z->kbd},
        {&piix4_pm_ops, &z->pm},    {&port80_ops, &z->port80},  {&port92_ops, &z->port92},
        {&cf9_ops, &z->cf9},        {&fw_cfg_ops, &z->fw},  {&hpet_ops, &z->hpet},
    };
    memcpy(z->devices, devices, sizeof devices);
    bench_map(b, &b->pio, "master", 0x20, 2, &i8259_master_bus, &z->pic);
    bench_map(b, &b->pio, "slave", 0xa0, 2, &i8259_slave_bus, &z->pic);
    bench_map(b, &b->pio, "elcr", 0x4d0, 2, &i8259_elcr_bus, &z->pic);
    bench_map(b, &b->pio, "pit", 0x40, 4, &i8254_bus, &z->pit);
    bench_map(b, &b->pio, "port61", 0x61, 1, &i8254_port61_bus, &z->pit);
    bench_map(b, &b->pio, "rtc", 0x70, 2, &mc146818_bus, &z->rtc);
    bench_map(b, &b->pio, "uart", 0x3f8, 8, &ns16550_bus, &z->uart);
    bench_map(b, &b->pio, "kbd data", 0x60, 1, &i8042_data_bus, &z->kbd);
    bench_map(b, &b->pio, "kbd command", 0x64, 1, &i8042_command_bus, &z->kbd);
    bench_map(b, &b->pio, "pm", 0x600, PIIX4_PM_LEN, &piix4_pm_bus, &z->pm);
    bench_map(b, &b->pio, "gpe", 0xafe0, PIIX4_GPE_LEN, &piix4_gpe_bus, &z->pm);
    bench_map(b, &b->pio, "apm", 0xb2, 2, &piix4_apm_bus, &z->pm);
    bench_map(b, &b->pio, "port80", 0x80, 1, &port80_bus, &z->port80);
    bench_map(b, &b->pio, "port92", 0x92, 1, &port92_bus, &z->port92);
    bench_map(b, &b->pio, "cf9", 0xcf9, 1, &cf9_bus, &z->cf9);
    bench_map(b, &b->pio, "fw_cfg", 0x510, 2, &fw_cfg_bus, &z->fw);
    bench_map(b, &b->pio, "fw_cfg DMA", 0x514, 8, &fw_cfg_dma_bus, &z->fw);
    bench_map(b, &b->mmio, "hpet", HPET, HPET_LEN, &hpet_bus, &z->hpet);
    bench_map(b, &b->mmio, "ioapic", IOAPIC, 4096, &ioapic_bus, &z->ioapic);
}

static void random_port(struct zoo *z)
{
    struct bus *pio = &z->b.pio;
    const struct bus_region *r = &pio->regions[rnd(z) % pio->count];
    u64 port = r->base + rnd(z) % r->len;
    unsigned size = 1u << rnd(z) % 3;
    u64 value = rnd(z) % 4 ? rnd(z) : rnd(z) % 8;
    if (rnd(z) % 3)
        bus_write(pio, port, size, value);
    else
        bus_read(pio, port, size);
}

static void random_hpet(struct zoo *z)
{
    static const u16 regs[] = {0x00, 0x10, 0x20, 0xf0, 0x100, 0x108, 0x120, 0x128, 0x140, 0x148, 0x110, 0x160};
    u64 at = HPET + regs[rnd(z) % ARRAY_LEN(regs)] + (rnd(z) % 4 ? 0 : 4), value = rnd(z) >> rnd(z) % 64;
    unsigned size = at & 4 || rnd(z) % 2 ? 4 : 8;
    if (rnd(z) % 4)
        bus_write(&z->b.mmio, at, size, value);
    else
        bus_read(&z->b.mmio, at, size);
}

static void random_apic(struct zoo *z)
{
    static const u32 msrs[] = {IA32_APIC_BASE, IA32_TSC_DEADLINE};
    struct lapic *l = &z->lapic[rnd(z) % CPUS];
    u64 value = rnd(z) >> rnd(z) % 64;
    u32 msr = rnd(z) % 4 ? 0x800 + (u32)(rnd(z) % 0x40) : msrs[rnd(z) % 2];
    switch (rnd(z) % 8) {
    case 0: lapic_mmio_read(l, (u32)(rnd(z) % 0x400), 4); break;
    case 1:
    case 2: lapic_mmio_write(l, (u32)(rnd(z) % 0x40) << 4, 4, value); break;
    case 3: lapic_msr_write(l, msr, msr == IA32_APIC_BASE ? 0xfee00000 | (value & 0xd00) : value); break;
    case 4: lapic_msr_read(l, msr, &value); break;
    case 5: lapic_ack(l); break;
    case 6:
        bus_write(&z->b.mmio, IOAPIC, 4, rnd(z) % 0x48);
        bus_write(&z->b.mmio, IOAPIC + 0x10, 4, value);
        break;
    default: apic_bus_msi(&z->bus, 0xfee00000 | (value & 0xfffff), (u32)rnd(z));
    }
}

static void storm(struct zoo *z, unsigned rounds)
{
    struct bench *b = &z->b;
    u8 keys[8];
    while (rounds--) {
        if (!(rnd(z) % 4))
            random_hpet(z);
        switch (rnd(z) % 8) {
        case 0: {
            u64 ns = rnd(z) % 1000000 >> rnd(z) % 20;
            b->wakes = 0;
            bench_step(b, ns);
            /* What any guest can make the host do: the periodic timers of two LAPICs, PIT and RTC, the HPET, and a
             * few single shots. */
            if (b->wakes > 16 + 5 * (ns / 20000 + 1))
                CHECK_EQ(b, b->wakes, 0);
            break;
        }
        case 1:
            memset(keys, (int)rnd(z), sizeof keys);
            i8042_send_keys(&z->kbd, keys, rnd(z) % sizeof keys);
            ns16550_receive(&z->uart, keys, rnd(z) % sizeof keys);
            break;
        case 2: {
            struct irq_line line = irq_router_line(&z->router, (unsigned)(rnd(z) % 24), 1);
            irq_set(&line, rnd(z) & 1);
            break;
        }
        case 3:
            ns16550_writable(&z->uart);
            if (!(rnd(z) % 8))
                ns16550_receive_break(&z->uart);
            break;
        case 4:
        case 5: random_apic(z); break;
        default: random_port(z);
        }
    }
}

/* Saves device D, spoils some bytes, restores. A refused image leaves a device that a machine would throw
 * away: it is reset here. */
static void mutate(struct zoo *z, const struct device *d)
{
    struct buffer image = {0};
    struct error e;
    if (fields_save(d->ops->fields, d->instance, &image, &e)) {
        z->b.failures++;
        return;
    }
    for (u64 n = rnd(z) % 8; n; n--)
        image.data[rnd(z) % image.len] = rnd(z) % 2 ? (u8)rnd(z) : 0xff;
    if (!(rnd(z) % 16))
        image.len = rnd(z) % image.len;
    bool ok = !fields_restore(d->ops->fields, d->instance, &image, &e);
    if (ok && d->ops->after_restore)
        ok = d->ops->after_restore(d->instance);
    if (!ok)
        device_reset(d);
    z->taken += ok;
    z->refused += !ok;
    buffer_free(&image);
}

int main(void)
{
    static struct zoo z = {.seed = 0x9e3779b97f4a7c15};
    struct error e;
    if (mem_init(&z.mem, MIB(4), &e)) {
        printf("%s\n", e.text);
        return 1;
    }
    build(&z);
    storm(&z, 100000);
    for (unsigned n = 0; n < 20000; n++) {
        mutate(&z, &z.devices[rnd(&z) % DEVICES]);
        storm(&z, 20);
    }
    CHECK(&z.b, z.taken > 1000);
    CHECK(&z.b, z.refused > 1000);
    mem_destroy(&z.mem);
    return bench_end(&z.b);
}
