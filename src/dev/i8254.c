/* 8254 programmable interval timer (Intel 8254 datasheet, 231164), and the bits of port 0x61 that belong to
 * it (82371SB "NMI Status and Control"): GATE2, speaker enable, refresh toggle, OUT2. All six modes, binary
 * and BCD, counter latch, read-back, GATE, the CLK pulse that loads the counter.
 *
 * Nothing ticks: a channel keeps the CLK tick at which its counter was loaded, and count and OUT follow from
 * the clock. OUT0's changes are driven onto IRQ0 by one timer. Coalescing: when the monitor wakes late, or
 * the guest asks for a rate above 1 / min_period_ns of the clock, IRQ0 gets one edge for all the cycles that
 * have passed. The low pulse of one CLK in modes 2 and 4 is driven at its end, low and high at once. Not
 * modelled: what the datasheet forbids (a count of 1 in modes 2 and 3 leaves OUT high), port 0x61's parity
 * and channel check. */
#include "dev/i8254.h"

#include "base/bits.h"

enum {
    CONTROL_READ_BACK = 3,
    READ_BACK_NO_COUNT = 0x20,
    READ_BACK_NO_STATUS = 0x10,
    STATUS_OUT = 0x80,
    STATUS_NULL = 0x40,
    PORT61_GATE2 = 0x01,
    PORT61_WRITABLE = 0x0f,
    PORT61_REFRESH = 0x10,
    PORT61_OUT2 = 0x20,
    REFRESH_CLKS = 18, /* channel 1's usual count */
};

static u64 tick_at(u64 ns)
{
    return muldiv64(ns, I8254_HZ, NS_PER_S);
}

/* The first nanosecond that belongs to TICK. */
static u64 tick_ns(u64 tick)
{
    u128 t = (u128)tick * NS_PER_S + I8254_HZ - 1;
    u128 ns = t / I8254_HZ;
    return ns >= TIME_NEVER ? TIME_NEVER : (u64)ns;
}

static u64 now_tick(const struct i8254 *p)
{
    return tick_at(clock_now(p->clock));
}

static bool is_periodic(const struct i8254_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static u32 modulus(const struct i8254_channel *c)
{
    return c->bcd ? 10000 : 0x10000;
}

/* Mode 3: CLKs of the half cycle that began at `start`. */
static u32 half_length(const struct i8254_channel *c)
{
    return c->half_low ? c->count / 2 : c->count - c->count / 2;
}

/* CLKs counted at tick T; negative before the loading pulse. */
static i64 elapsed(const struct i8254_channel *c, u64 t)
{
    return (i64)(c->paused ? c->start : t - c->start);
}

/* Modes 2 and 3: moves `start` to the beginning of the (half) cycle that holds tick T, taking over a pending
 * count where the datasheet does. */
static void advance(struct i8254_channel *c, u64 t)
{
    if (!is_periodic(c) || !c->loaded || c->paused)
        return;
    for (unsigned step = 0; step < 4; step++) {
        i64 e = elapsed(c, t);
        u32 len = c->mode == 2 ? c->count : half_length(c);
        if (e < (i64)len)
            return;
        if (c->pending) {
            c->start += len;
            c->half_low = c->mode == 3 && !c->half_low;
            c->count = c->reload;
            c->pending = false;
        } else if ((u64)e >= c->count) {
            c->start += (u64)e / c->count * c->count;
        } else {
            c->start += len;
            c->half_low = !c->half_low;
        }
    }
}

static bool out_at(struct i8254_channel *c, u64 t)
{
    advance(c, t);
    i64 e = elapsed(c, t);
    if (!c->loaded)
        return c->mode != 0;
    switch (c->mode) {
    case 0: return e >= (i64)c->count;
    case 1: return e < 0 ? !c->half_low : e >= (i64)c->count;
    case 2: return c->paused || c->count == 1 || e != (i64)c->count - 1;
    case 3: return c->paused || c->count == 1 || !c->half_low;
    default: return e != (i64)c->count;
    }
}

/* The counting element as a guest reads it, before BCD. */
static u32 count_at(struct i8254_channel *c, u64 t)
{
    advance(c, t);
    if (!c->loaded)
        return c->count % modulus(c);
    i64 e = elapsed(c, t);
    if (e < 0)
        e = 0;
    u64 m = modulus(c);
    if (c->mode == 3)
        return (u32)(((c->count & ~1u) - 2 * (u64)e) % m);
    return (u32)((c->count + m - (u64)e % m) % m);
}

static u16 to_bcd(u32 v)
{
    return (u16)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static u32 from_bcd(u16 v)
{
    return (v & 15u) + 10 * (v >> 4 & 15u) + 100 * (v >> 8 & 15u) + 1000 * (v >> 12 & 15u);
}

/* The tick of the next change of OUT after tick T that IRQ0 should see; TIME_NEVER: none. */
static u64 next_change(struct i8254_channel *c, u64 t)
{
    advance(c, t);
    if (!c->loaded || c->paused)
        return TIME_NEVER;
    switch (c->mode) {
    case 0:
    case 1: return elapsed(c, t) < (i64)c->count ? c->start + c->count : TIME_NEVER;
    case 2: return c->count == 1 && !c->pending ? TIME_NEVER : c->start + c->count;
    case 3: return c->count == 1 && !c->pending ? TIME_NEVER : c->start + half_length(c);
    default: return elapsed(c, t) <= (i64)c->count ? c->start + c->count + 1 : TIME_NEVER;
    }
}

/* When to wake for the change at tick NEXT of channel 0: then, or if that is sooner than the host allows, at
 * a later rise of OUT. */
static u64 wake_ns(const struct i8254 *p, u64 next)
{
    struct i8254_channel c = p->ch[0];
    if (next == TIME_NEVER)
        return TIME_NEVER;
    u64 at = tick_ns(next), paced = clock_pace(p->clock, at);
    if (!is_periodic(&c) || paced == at)
        return at;
    u64 t = tick_at(paced);
    next = next_change(&c, t);
    if (c.mode == 3 && next != TIME_NEVER && !c.half_low)
        next = next_change(&c, next);
    return next == TIME_NEVER ? TIME_NEVER : tick_ns(next);
}

/* Drives IRQ0 up to the present, and arms the timer for what comes next. */
static void update_irq0(struct i8254 *p)
{
    struct i8254_channel *c = &p->ch[0];
    u64 now = now_tick(p);
    u64 change = next_change(c, p->fired_tick);
    bool out = out_at(c, now) || c->mode == 2 || c->mode >= 4;
    /* A pulse, or whole cycles, came and went: one edge. */
    if (change <= now && out && p->out0)
        irq_set(&p->irq0, false);
    p->out0 = out;
    irq_set(&p->irq0, out);
    p->fired_tick = now;
    timer_arm(p->clock, &p->timer, wake_ns(p, next_change(c, now)));
}

static void i8254_fire(void *opaque)
{
    update_irq0(opaque);
}

/* The counter is loaded by the CLK pulse after TICK. */
static void load(struct i8254_channel *c, u64 tick)
{
    c->half_low = c->mode == 1 && !out_at(c, tick);
    c->count = c->reload;
    c->loaded = true;
    c->pending = false;
    c->paused = !c->gate && c->mode != 1 && c->mode != 5;
    c->start = c->paused ? 0 : tick + 1;
}

static void count_written(struct i8254_channel *c, u16 raw, u64 tick)
{
    advance(c, tick);
    u32 n = c->bcd ? from_bcd(raw) : raw;
    c->reload = n ? n : modulus(c);
    c->written = true;
    /* GATE's rise, or the end of the (half) cycle, takes it over. */
    c->pending = c->mode == 1 || c->mode == 5 || (is_periodic(c) && c->loaded);
    if (!c->pending)
        load(c, tick);
}

static void write_counter(struct i8254_channel *c, u8 v, u64 tick)
{
    switch (c->access) {
    case 1: count_written(c, v, tick); return;
    case 2: count_written(c, (u16)(v << 8), tick); return;
    default:
        if (c->write_msb) {
            c->write_msb = false;
            count_written(c, (u16)(v << 8 | c->write_lsb), tick);
            return;
        }
        c->write_msb = true;
        c->write_lsb = v;
        if (c->mode == 0) /* the first byte stops the count and lowers OUT */
            c->loaded = false;
    }
}

static void set_gate(struct i8254_channel *c, bool gate, u64 tick)
{
    bool rise = gate && !c->gate;
    advance(c, tick);
    if (c->gate == gate)
        return;
    c->gate = gate;
    switch (c->mode) {
    case 1:
    case 5:
        if (rise && c->written)
            load(c, tick);
        return;
    default:
        if (!c->loaded)
            return;
        if (!rise) {
            i64 e = elapsed(c, tick);
            c->start = e < 0 ? 0 : (u64)e;
        } else if (is_periodic(c)) {
            load(c, tick);
        } else {
            c->start = tick - c->start;
        }
        c->paused = !rise;
    }
}

static void latch_count(struct i8254_channel *c, u64 tick)
{
    if (c->count_latched)
        return;
    u32 v = count_at(c, tick);
    c->latch = c->bcd ? to_bcd(v) : (u16)v;
    c->count_latched = true;
}

static void latch_status(struct i8254_channel *c, u64 tick)
{
    if (c->status_latched)
        return;
    bool out = out_at(c, tick);
    bool null = !c->written || !c->loaded || c->pending || elapsed(c, tick) < 0;
    c->status =
        (u8)((out ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0) | c->access << 4 | c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static u8 read_counter(struct i8254_channel *c, u64 tick)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    u16 v = c->latch;
    if (!c->count_latched) {
        u32 n = count_at(c, tick);
        v = c->bcd ? to_bcd(n) : (u16)n;
    }
    bool msb = c->access == 2 || (c->access == 3 && c->read_msb);
    if (c->access == 3)
        c->read_msb = !c->read_msb;
    if (c->access != 3 || msb)
        c->count_latched = false;
    return (u8)(msb ? v >> 8 : v);
}

static void write_control(struct i8254 *p, u8 v, u64 tick)
{
    unsigned select = v >> 6;
    if (select == CONTROL_READ_BACK) {
        for (unsigned n = 0; n < 3; n++) {
            if (!(v >> (n + 1) & 1))
                continue;
            if (!(v & READ_BACK_NO_COUNT))
                latch_count(&p->ch[n], tick);
            if (!(v & READ_BACK_NO_STATUS))
                latch_status(&p->ch[n], tick);
        }
        return;
    }
    struct i8254_channel *c = &p->ch[select];
    unsigned access = v >> 4 & 3;
    if (!access) {
        latch_count(c, tick);
        return;
    }
    u32 count = count_at(c, tick);
    *c = (struct i8254_channel){.gate = c->gate, .reload = 1, .count = count ? count : modulus(c)};
    c->access = (u8)access;
    c->mode = v >> 1 & 7;
    if (c->mode > 5)
        c->mode -= 4;
    c->bcd = v & 1;
}

static u64 i8254_read(void *opaque, u64 off, unsigned size)
{
    struct i8254 *p = opaque;
    (void)size;
    if (off > 2)
        return 0xff; /* the control word cannot be read */
    if (!off)
        update_irq0(p);
    return read_counter(&p->ch[off], now_tick(p));
}

static void i8254_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct i8254 *p = opaque;
    (void)size;
    update_irq0(p);
    if (off == 3)
        write_control(p, (u8)value, now_tick(p));
    else if (off < 3)
        write_counter(&p->ch[off], (u8)value, now_tick(p));
    update_irq0(p);
}

static u64 port61_read(void *opaque, u64 off, unsigned size)
{
    struct i8254 *p = opaque;
    (void)off, (void)size;
    u64 t = now_tick(p);
    return p->port61 | (t / REFRESH_CLKS & 1 ? PORT61_REFRESH : 0) | (out_at(&p->ch[2], t) ? PORT61_OUT2 : 0);
}

static void port61_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct i8254 *p = opaque;
    (void)off, (void)size;
    p->port61 = (u8)value & PORT61_WRITABLE;
    set_gate(&p->ch[2], value & PORT61_GATE2, now_tick(p));
}

const struct bus_ops i8254_bus = {.read = i8254_read, .write = i8254_write, .min_size = 1, .max_size = 1};
const struct bus_ops i8254_port61_bus = {
    .read = port61_read, .write = port61_write, .min_size = 1, .max_size = 1};

void i8254_init(struct i8254 *p, struct clock *clock, struct irq_line irq0)
{
    *p = (struct i8254){.clock = clock, .irq0 = irq0};
    timer_init(&p->timer, i8254_fire, p);
    fields_reset(i8254_ops.fields, p);
}

static void i8254_reset(void *instance)
{
    struct i8254 *p = instance;
    timer_disarm(p->clock, &p->timer);
    p->fired_tick = now_tick(p);
    irq_set(&p->irq0, false);
}

static void i8254_before_save(void *instance)
{
    update_irq0(instance);
}

static bool i8254_after_restore(void *instance)
{
    struct i8254 *p = instance;
    u64 now = now_tick(p);
    for (unsigned n = 0; n < 3; n++) {
        const struct i8254_channel *c = &p->ch[n];
        if (!c->count || !c->reload || !c->access || c->start > now + 1)
            return false;
    }
    if (p->fired_tick > now)
        return false;
    irq_set(&p->irq0, p->out0);
    update_irq0(p);
    return true;
}

#define CHANNEL_FIELDS(n, g)                                                                                 \
    FIELD_MAX(i8254, ch[n].mode, 3, 5), FIELD_MAX(i8254, ch[n].access, 3, 3), FIELD(i8254, ch[n].bcd, 0),    \
        FIELD(i8254, ch[n].gate, g), FIELD(i8254, ch[n].write_msb, 0), FIELD(i8254, ch[n].read_msb, 0),      \
        FIELD(i8254, ch[n].write_lsb, 0), FIELD(i8254, ch[n].count_latched, 0),                              \
        FIELD(i8254, ch[n].status_latched, 0), FIELD(i8254, ch[n].latch, 0), FIELD(i8254, ch[n].status, 0),  \
        FIELD_MAX(i8254, ch[n].reload, 0x10000, 0x10000), FIELD(i8254, ch[n].written, 0),                    \
        FIELD(i8254, ch[n].pending, 0), FIELD(i8254, ch[n].loaded, 0), FIELD(i8254, ch[n].paused, 0),        \
        FIELD(i8254, ch[n].half_low, 0), FIELD_MAX(i8254, ch[n].count, 0x10000, 0x10000),                    \
        FIELD(i8254, ch[n].start, 0)

static const struct field i8254_fields[] = {
    CHANNEL_FIELDS(0, 1),  CHANNEL_FIELDS(1, 1),        CHANNEL_FIELDS(2, 0),
    FIELD(i8254, out0, 0), FIELD(i8254, fired_tick, 0), FIELD_MAX(i8254, port61, 0, PORT61_WRITABLE),
};
static const struct field_table i8254_table = {
    .name = "i8254", .version = 1, .fields = i8254_fields, .count = ARRAY_LEN(i8254_fields)};

const struct device_ops i8254_ops = {
    .fields = &i8254_table, .reset = i8254_reset, .before_save = i8254_before_save, .after_restore = i8254_after_restore};
