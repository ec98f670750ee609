/* QEMU's pc-testdev (hw/misc/pc-testdev.c), which the field's test kernels use: a latch of 32 bits at four
 * ports, accessible in every width; a "flush" register that on QEMU unmaps and remaps a page (invisible to a
 * guest: writes do nothing); ports that drive interrupt lines; and scratch memory behind MMIO. Trine's own is
 * a place to inject machine checks: 32-bit ports STATUS, ADDR, MISC of the bank (low half first), and at
 * +0x1c a trigger: 31..24 CPU | 17..16 EIPV RIPV | 7..0 bank; and a stamp, at a port and in memory: the machine's clock in
 * nanoseconds, 32 bits, as it was while the monitor served the read (the TSC, unless the guest has moved that). */
#include "dev/pc_testdev.h"

#include <string.h>

#include "base/bits.h"
#include "base/le.h"

static u64 latch_read(void *opaque, u64 off, unsigned size)
{
    const struct pc_testdev *t = opaque;
    return range_ok(off, size, sizeof t->latch) ? ld_n(t->latch + off, size) : ~0ull;
}

static void latch_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct pc_testdev *t = opaque;
    if (range_ok(off, size, sizeof t->latch))
        st_n(t->latch + off, value, size);
}

static u64 zero_read(void *opaque, u64 off, unsigned size)
{
    (void)opaque, (void)off, (void)size;
    return 0;
}

static void nothing_write(void *opaque, u64 off, unsigned size, u64 value)
{
    (void)opaque, (void)off, (void)size, (void)value;
}

static void irq_write(void *opaque, u64 off, unsigned size, u64 value)
{
    const struct pc_testdev *t = opaque;
    (void)size;
    if (off < PC_TESTDEV_IRQS)
        irq_set(&t->irq[off], value);
}

static u64 mmio_read(void *opaque, u64 off, unsigned size)
{
    const struct pc_testdev *t = opaque;
    return range_ok(off, size, sizeof t->mmio) ? ld_n(t->mmio + off, size) : ~0ull;
}

static void mmio_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct pc_testdev *t = opaque;
    if (range_ok(off, size, sizeof t->mmio))
        st_n(t->mmio + off, value, size);
}

enum { MC_TRIGGER = 7 };

static u64 mc_read(void *opaque, u64 off, unsigned size)
{
    const struct pc_testdev *t = opaque;
    (void)size;
    return off / 4 < ARRAY_LEN(t->mc) ? t->mc[off / 4] : 0;
}

static void mc_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct pc_testdev *t = opaque;
    u32 v = (u32)value;
    (void)size;
    if (off / 4 < MC_TRIGGER) {
        t->mc[off / 4] = v;
        return;
    }
    const u64 regs[3] = {t->mc[0] | (u64)t->mc[1] << 32, t->mc[2] | (u64)t->mc[3] << 32,
                         t->mc[4] | (u64)t->mc[5] << 32};
    if (t->machine_check)
        t->machine_check(t->mc_opaque, v >> 24, v & 0xff, v >> 16 & 3, regs);
}

static u64 stamp_read(void *opaque, u64 off, unsigned size)
{
    const struct pc_testdev *t = opaque;
    (void)off, (void)size;
    return (u32)clock_now(t->clock);
}

const struct bus_ops pc_testdev_stamp_bus = {
    .read = stamp_read, .write = nothing_write, .min_size = 4, .max_size = 4};
const struct bus_ops pc_testdev_mc_bus = {.read = mc_read, .write = mc_write, .min_size = 4, .max_size = 4};
const struct bus_ops pc_testdev_latch_bus = {
    .read = latch_read, .write = latch_write, .min_size = 1, .max_size = 4};
const struct bus_ops pc_testdev_flush_bus = {
    .read = zero_read, .write = nothing_write, .min_size = 1, .max_size = 4};
const struct bus_ops pc_testdev_irq_bus = {
    .read = zero_read, .write = irq_write, .min_size = 1, .max_size = 1};
const struct bus_ops pc_testdev_mmio_bus = {
    .read = mmio_read, .write = mmio_write, .min_size = 1, .max_size = 8};

void pc_testdev_init(struct pc_testdev *t, const struct clock *clock, const struct irq_line *irqs)
{
    memset(t, 0, sizeof *t);
    t->clock = clock;
    memcpy(t->irq, irqs, sizeof t->irq);
}

static void pc_testdev_reset(void *instance)
{
    const struct pc_testdev *t = instance;
    for (unsigned n = 0; n < PC_TESTDEV_IRQS; n++)
        irq_set(&t->irq[n], false);
}

static const struct field pc_testdev_fields[] = {FIELD_ARRAY(pc_testdev, latch, 0),
                                                 FIELD_ARRAY(pc_testdev, mmio, 0),
                                                 FIELD_ARRAY_SINCE(pc_testdev, mc, 0, 2)};
static const struct field_table pc_testdev_table = {
    .name = "pc-testdev", .version = 2, .fields = pc_testdev_fields, .count = ARRAY_LEN(pc_testdev_fields)};
const struct device_ops pc_testdev_ops = {.fields = &pc_testdev_table, .reset = pc_testdev_reset};
