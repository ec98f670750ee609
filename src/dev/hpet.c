/* IA-PC HPET (specification 1.0a): a 64-bit counter of 10 ns and three comparators of 64 bits, the first of them periodic too; legacy
 * replacement (2.3.4 bit 1): timer 0 is IRQ 0, timer 1 IRQ 8, and PIT and RTC are cut off.
 *
 *   tick     n = floor(clock / 10 ns), for ever
 *   counter    = tick - base while it counts, held while it is halted
 *   due[n]     = the tick at which the counter next equals comparator n; a comparator behind the counter waits for the wrap
 *
 * An edge is a line that falls and rises again; it stays high until the next, so that the 8259A's IR is still there when it is
 * acknowledged. While nobody enabled a timer's interrupt its matches wake nobody: they are caught up with at the next access.
 * Not modelled: FSB delivery. */
#include "dev/hpet.h"

#include "base/bits.h"
#include "base/le.h"

enum {
    GCAP_ID = 0x00,
    GEN_CONF = 0x10,
    GINTR_STA = 0x20,
    MAIN_CNT = 0xf0,
    TIMER_0 = 0x100, /* and on, 0x20 each */
    TN_CONF = 0x00,
    TN_COMP = 0x08,

    ENABLE_CNF = 0x01,
    LEG_RT_CNF = 0x02,

    INT_TYPE = 0x002, /* level */
    INT_ENB = 0x004,
    TYPE_CNF = 0x008, /* periodic */
    PER_INT_CAP = 0x010,
    SIZE_CAP = 0x020,
    VAL_SET_CNF = 0x040,
    MODE32_CNF = 0x100,
    INT_ROUTE = 0x3e00,
    ROUTE_SHIFT = 9,
    TN_KEPT = INT_TYPE | INT_ENB | TYPE_CNF | MODE32_CNF | INT_ROUTE,

    TICK_NS = 10,
};

u32 hpet_id(void)
{
    enum { REVISION = 1, COUNT_SIZE = 1 << 13, LEG_RT_CAP = 1 << 15 };
    return 0x80860000u | LEG_RT_CAP | COUNT_SIZE | (HPET_TIMERS - 1) << 8 | REVISION;
}

static u64 now_tick(const struct hpet *h)
{
    return clock_now(h->clock) / TICK_NS;
}

static u64 counter(const struct hpet *h)
{
    return h->conf & ENABLE_CNF ? now_tick(h) - h->base : h->counter;
}

static u64 width(const struct hpet *h, unsigned n)
{
    return h->config[n] & MODE32_CNF ? UINT32_MAX : UINT64_MAX;
}

static u64 kept_bits(unsigned n)
{
    return n ? TN_KEPT & ~TYPE_CNF : TN_KEPT;
}

/* --- interrupts */

static bool is_legacy(const struct hpet *h)
{
    return h->conf & ENABLE_CNF && h->conf & LEG_RT_CNF;
}

static u8 pin_of(const struct hpet *h, unsigned n)
{
    static const u8 irqs[] = {0, 8};
    unsigned route = (unsigned)(h->config[n] & INT_ROUTE) >> ROUTE_SHIFT;
    if (is_legacy(h) && n < ARRAY_LEN(irqs))
        return irqs[n];
    return h->routes >> route & 1 ? (u8)route : HPET_NO_PIN;
}

static void line(struct hpet *h, unsigned n, bool level)
{
    h->high[n] = level;
    if (h->pin[n] != HPET_NO_PIN)
        h->set(h->opaque, n, h->pin[n], level);
}

/* After what a line leads to or how it is triggered may have changed. */
static void follow_lines(struct hpet *h)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        u8 pin = pin_of(h, n);
        bool level = h->config[n] & INT_TYPE;
        if (pin != h->pin[n] || !(h->config[n] & INT_ENB)) {
            line(h, n, false);
            h->pin[n] = pin;
        }
        if (level)
            line(h, n, h->config[n] & INT_ENB && h->isr >> n & 1);
    }
    for (unsigned n = 0; n < ARRAY_LEN(h->in); n++)
        irq_set(&h->legacy[n], h->in[n] && !is_legacy(h));
}

static void legacy_set(void *opaque, unsigned n, bool level)
{
    struct hpet *h = opaque;
    h->in[n] = level;
    if (!is_legacy(h))
        irq_set(&h->legacy[n], level);
}

struct irq_line hpet_legacy_line(struct hpet *h, unsigned n)
{
    return (struct irq_line){.set = legacy_set, .opaque = h, .n = n};
}

static void match(struct hpet *h, unsigned n)
{
    if (!(h->config[n] & INT_ENB))
        return;
    if (h->config[n] & INT_TYPE)
        h->isr |= (u8)(1u << n);
    else
        line(h, n, false);
    line(h, n, true);
}

/* --- matches */

static void schedule(struct hpet *h, unsigned n)
{
    u64 tick = now_tick(h), ahead = (h->comparator[n] - counter(h)) & width(h, n);
    if (!ahead)
        ahead = h->config[n] & MODE32_CNF ? 1ull << 32 : UINT64_MAX;
    h->due[n] = h->conf & ENABLE_CNF && ahead < TIME_NEVER - tick ? tick + ahead : TIME_NEVER;
}

static void arm(struct hpet *h)
{
    u64 at = TIME_NEVER;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        if (!(h->config[n] & INT_ENB) || h->due[n] > TIME_NEVER / TICK_NS)
            continue;
        u64 ns = h->due[n] * TICK_NS;
        if (h->config[n] & TYPE_CNF)
            ns = clock_pace(h->clock, ns);
        if (ns < at)
            at = ns;
    }
    timer_arm(h->clock, &h->timer, at);
}

/* Takes the matches up to now, several of one timer as one; true when there were any. */
static bool settle(struct hpet *h)
{
    u64 tick = now_tick(h);
    bool any = false;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        if (h->due[n] == TIME_NEVER || h->due[n] > tick)
            continue;
        bool periodic = h->config[n] & TYPE_CNF && h->period[n] & width(h, n);
        u64 step = periodic ? h->period[n] & width(h, n) : 1ull << 32, late = (tick - h->due[n]) % step;
        if (periodic)
            h->comparator[n] = (h->comparator[n] + (tick - h->due[n]) - late + step) & width(h, n);
        bool again = (periodic || h->config[n] & MODE32_CNF) && step - late < TIME_NEVER - tick;
        h->due[n] = again ? tick + (step - late) : TIME_NEVER;
        match(h, n);
        any = true;
    }
    return any;
}

static void hpet_fire(void *opaque)
{
    settle(opaque);
    arm(opaque);
}

/* --- registers */

static u64 register_read(struct hpet *h, unsigned off)
{
    unsigned n = (off - TIMER_0) / 0x20;
    switch (off) {
    case GCAP_ID: return (u64)TICK_NS * 1000000 << 32 | hpet_id();
    case GEN_CONF: return h->conf;
    case GINTR_STA: return h->isr;
    case MAIN_CNT: return counter(h);
    default: break;
    }
    if (off < TIMER_0 || n >= HPET_TIMERS)
        return 0;
    switch (off % 0x20) {
    case TN_CONF: return (u64)h->routes << 32 | h->config[n] | SIZE_CAP | (n ? 0 : PER_INT_CAP);
    case TN_COMP: return h->comparator[n];
    default: return 0;
    }
}

static void write_general(struct hpet *h, u8 v)
{
    u64 at = counter(h);
    v &= ENABLE_CNF | LEG_RT_CNF;
    if (v & ~h->conf & ENABLE_CNF)
        h->base = now_tick(h) - at;
    h->counter = at;
    bool turned = (v ^ h->conf) & ENABLE_CNF;
    h->conf = v;
    for (unsigned n = 0; turned && n < HPET_TIMERS; n++)
        schedule(h, n);
}

static void write_config(struct hpet *h, unsigned n, u64 v)
{
    u64 before = h->config[n];
    h->config[n] = v & kept_bits(n);
    h->set_value[n] = v & VAL_SET_CNF && h->config[n] & TYPE_CNF;
    if (!(before & INT_TYPE) != !(v & INT_TYPE))
        h->isr &= (u8) ~(1u << n);
    if (v & MODE32_CNF) {
        h->comparator[n] &= UINT32_MAX;
        h->period[n] &= UINT32_MAX;
    }
    if ((before ^ v) & (MODE32_CNF | TYPE_CNF))
        schedule(h, n);
}

/* 2.3.9.1: of a periodic timer the period is written, and the accumulator too after VAL_SET_CNF. */
static void write_comparator(struct hpet *h, unsigned n, u64 v)
{
    v &= width(h, n);
    h->period[n] = v;
    if (!(h->config[n] & TYPE_CNF) || h->set_value[n]) {
        h->comparator[n] = v;
        schedule(h, n);
    }
    h->set_value[n] = false;
}

static void register_write(struct hpet *h, unsigned off, u64 v)
{
    unsigned n = (off - TIMER_0) / 0x20;
    if (off == GEN_CONF)
        write_general(h, (u8)v);
    if (off == GINTR_STA)
        h->isr &= (u8)~v;
    if (off == MAIN_CNT && !(h->conf & ENABLE_CNF))
        h->counter = v;
    if (off < TIMER_0 || n >= HPET_TIMERS)
        return;
    if (off % 0x20 == TN_CONF)
        write_config(h, n, v);
    if (off % 0x20 == TN_COMP)
        write_comparator(h, n, v);
}

static u64 hpet_read(void *opaque, u64 off, unsigned size)
{
    struct hpet *h = opaque;
    if (settle(h))
        arm(h);
    u64 v = register_read(h, (unsigned)off & ~7u);
    return size == 8 ? v : v >> 8 * (off & 4) & UINT32_MAX;
}

static void hpet_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct hpet *h = opaque;
    unsigned reg = (unsigned)off & ~7u, shift = off & 4 ? 32 : 0;
    settle(h);
    if (size == 4) { /* the other half stays; of the status, where ones clear, it is 0 */
        u64 old = reg == GINTR_STA ? 0 : register_read(h, reg);
        value = (old & ~((u64)UINT32_MAX << shift)) | (value & UINT32_MAX) << shift;
    }
    register_write(h, reg, value);
    follow_lines(h);
    arm(h);
}

const struct bus_ops hpet_bus = {.read = hpet_read, .write = hpet_write, .min_size = 4, .max_size = 8};

void hpet_init(struct hpet *h, struct clock *clock, void (*set)(void *opaque, unsigned n, unsigned gsi, bool level), void *opaque,
               const struct irq_line legacy[2], u32 routes)
{
    *h = (struct hpet){.clock = clock, .set = set, .opaque = opaque, .legacy = {legacy[0], legacy[1]}, .routes = routes};
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        h->pin[n] = HPET_NO_PIN;
    timer_init(&h->timer, hpet_fire, h);
    fields_reset(hpet_ops.fields, h);
}

static void hpet_reset(void *instance)
{
    struct hpet *h = instance;
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        line(h, n, false);
    follow_lines(h);
    timer_disarm(h->clock, &h->timer);
}

static bool hpet_after_restore(void *instance)
{
    struct hpet *h = instance;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        bool high = h->high[n];
        if (h->config[n] & ~kept_bits(n) || h->comparator[n] & ~width(h, n) || h->period[n] & ~width(h, n))
            return false;
        if (h->pin[n] != HPET_NO_PIN)
            h->set(h->opaque, n, h->pin[n], false);
        h->pin[n] = pin_of(h, n);
        line(h, n, high);
    }
    follow_lines(h);
    arm(h);
    return true;
}

static const struct field hpet_fields[] = {
    FIELD_MAX(hpet, conf, 0, ENABLE_CNF | LEG_RT_CNF),
    FIELD_MAX(hpet, isr, 0, (1 << HPET_TIMERS) - 1),
    FIELD(hpet, counter, 0),
    FIELD(hpet, base, 0),
    FIELD_ARRAY(hpet, config, 0),
    FIELD_ARRAY(hpet, comparator, UINT64_MAX),
    FIELD_ARRAY(hpet, period, 0),
    FIELD_ARRAY(hpet, due, TIME_NEVER),
    FIELD_ARRAY(hpet, set_value, false),
    FIELD_ARRAY(hpet, high, false),
};
static const struct field_table hpet_table = {.name = "hpet", .version = 1, .fields = hpet_fields, .count = ARRAY_LEN(hpet_fields)};

const struct device_ops hpet_ops = {.fields = &hpet_table, .reset = hpet_reset, .after_restore = hpet_after_restore};
