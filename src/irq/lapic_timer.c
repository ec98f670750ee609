/* The local APIC's timer (SDM vol. 3, 11.5.4): one-shot, periodic, TSC deadline. One tick before the divider
 * is 1 ns of the clock.
 *
 * The count is never stored: it follows from the time at which it reaches zero. A periodic timer keeps its
 * phase for ever; when the monitor wakes late, or the period is shorter than the clock's min_period_ns, the
 * interrupts in between are lost, as they are on silicon when IRR is still set. */
#include "base/bits.h"
#include "irq/lapic.h"

enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

static unsigned timer_mode(u32 lvt)
{
    return (unsigned)bits_get(lvt, 18, 17);
}

/* DCR bits 3, 1, 0: 000 is 2, 001 is 4, ..., 110 is 128, 111 is 1. */
static u64 timer_divider(const struct lapic *l)
{
    unsigned n = (l->timer_dcr >> 1 & 4) | (l->timer_dcr & 3);
    return n == 7 ? 1 : 2ull << n;
}

static u64 timer_period(const struct lapic *l)
{
    return l->timer_init * timer_divider(l);
}

/* The first end of the count after NOW, for a timer that counts for ever. */
static u64 next_expiry(const struct lapic *l, u64 now)
{
    u64 period = timer_period(l);
    return l->timer_ns > now || !period ? l->timer_ns
                                        : l->timer_ns + period * (1 + (now - l->timer_ns) / period);
}

u32 lapic_timer_count(const struct lapic *l)
{
    u64 now = clock_now(l->bus->clock), div = timer_divider(l), end = l->timer_ns;
    if (end == TIME_NEVER || timer_mode(l->lvt[LVT_TIMER]) == TIMER_TSC_DEADLINE)
        return 0;
    if (timer_mode(l->lvt[LVT_TIMER]) == TIMER_PERIODIC)
        end = next_expiry(l, now);
    return end <= now ? 0 : (u32)((end - now + div - 1) / div);
}

u64 lapic_timer_deadline(const struct lapic *l)
{
    return timer_mode(l->lvt[LVT_TIMER]) == TIMER_TSC_DEADLINE ? l->tsc_deadline : 0;
}

/* When the TSC reaches the deadline. */
static u64 deadline_ns(const struct lapic *l)
{
    const struct apic_wires *w = &l->bus->wires;
    return l->tsc_deadline && w->tsc_ns ? w->tsc_ns(w->opaque, l->index, l->tsc_deadline) : TIME_NEVER;
}

void lapic_timer_arm(struct lapic *l)
{
    struct clock *c = l->bus->clock;
    u64 at = l->timer_ns;
    if (l->bus->keeper)
        return;
    if (timer_mode(l->lvt[LVT_TIMER]) == TIMER_TSC_DEADLINE)
        at = deadline_ns(l);
    else if (timer_mode(l->lvt[LVT_TIMER]) == TIMER_PERIODIC && at != TIME_NEVER)
        at = clock_pace(c, at);
    timer_arm(c, &l->timer, at);
}

void lapic_timer_fire(void *opaque)
{
    struct lapic *l = opaque;
    u64 now = clock_now(l->bus->clock);
    switch (timer_mode(l->lvt[LVT_TIMER])) {
    case TIMER_TSC_DEADLINE: l->tsc_deadline = 0; break;
    case TIMER_PERIODIC:
        if (timer_period(l)) {
            l->timer_ns = next_expiry(l, now);
            break;
        }
        /* fall through */
    default: l->timer_ns = TIME_NEVER;
    }
    lapic_timer_arm(l);
    lapic_lvt_deliver(l, LVT_TIMER);
}

void lapic_timer_write_lvt(struct lapic *l, u32 value)
{
    unsigned old = timer_mode(l->lvt[LVT_TIMER]), new = timer_mode(value);
    if (old == TIMER_PERIODIC && l->timer_ns != TIME_NEVER)
        l->timer_ns = next_expiry(l, clock_now(l->bus->clock));
    if (old != new && (old == TIMER_TSC_DEADLINE || new == TIMER_TSC_DEADLINE)) {
        l->timer_ns = TIME_NEVER;
        l->tsc_deadline = 0;
    }
    l->lvt[LVT_TIMER] = value;
    if (old != new)
        lapic_timer_arm(l);
}

void lapic_timer_write_init(struct lapic *l, u32 value)
{
    if (timer_mode(l->lvt[LVT_TIMER]) == TIMER_TSC_DEADLINE)
        return;
    l->timer_init = value;
    l->timer_ns = value ? clock_now(l->bus->clock) + timer_period(l) : TIME_NEVER;
    lapic_timer_arm(l);
}

void lapic_timer_write_dcr(struct lapic *l, u32 value)
{
    u32 left = lapic_timer_count(l);
    l->timer_dcr = value;
    if (!left)
        return;
    l->timer_ns = clock_now(l->bus->clock) + left * timer_divider(l);
    lapic_timer_arm(l);
}

void lapic_timer_write_deadline(struct lapic *l, u64 tsc)
{
    if (timer_mode(l->lvt[LVT_TIMER]) != TIMER_TSC_DEADLINE)
        return;
    l->tsc_deadline = tsc;
    lapic_timer_arm(l);
}

/* A one-shot that has run out shows the last tick once more: whether its interrupt was seen, a keeper does not say, and one too many is better
 * than one too few. */
u32 lapic_timer_remaining(const struct lapic *l)
{
    u32 count = lapic_timer_count(l);
    bool runs = l->timer_ns != TIME_NEVER && timer_mode(l->lvt[LVT_TIMER]) != TIMER_TSC_DEADLINE;
    return runs && !count ? 1 : count;
}

void lapic_timer_resume(struct lapic *l, u32 init, u32 remaining)
{
    bool periodic = timer_mode(l->lvt[LVT_TIMER]) == TIMER_PERIODIC;
    l->timer_ns = TIME_NEVER;
    if (timer_mode(l->lvt[LVT_TIMER]) == TIMER_TSC_DEADLINE || !init)
        return;
    l->timer_init = init;
    l->timer_ns = clock_now(l->bus->clock) + (periodic && !remaining ? init : remaining) * timer_divider(l);
}

void lapic_tsc_moved(struct lapic *l)
{
    if (l->tsc_deadline)
        lapic_timer_arm(l);
}
