/* Time as devices see it: handed in, never asked of the host (DESIGN section 9).
 * `now_ns` is virtual nanoseconds since the machine was created; under --time real it follows the host's
 * monotonic clock, under --time virtual it is the count of retired instructions. Everything here runs under
 * the VM's big lock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/types.h"

#define NS_PER_S   1000000000ull
#define TIME_NEVER UINT64_MAX

struct timer {
    u64 deadline_ns;
    void (*fire)(void *opaque); /* may re-arm its own timer */
    void *opaque;
    struct timer *next;
    bool armed;
};

struct clock {
    u64 (*now)(void *opaque);
    void (*earlier)(void *opaque); /* called when the earliest deadline moved forward; may be null */
    void *opaque;
    struct timer *head; /* sorted by deadline, first armed first among equals */
    u64 min_period_ns;  /* floor between two wake-ups of one periodic timer; 0, as under --time virtual: none */
};

static inline u64 clock_now(const struct clock *c)
{
    return c->now(c->opaque);
}

/* When to wake, now, for a periodic event that is due at DEADLINE_NS: a guest must not be able to make the host spin. Counters stay exact;
 * the events in between are the device's to merge. */
static inline u64 clock_pace(const struct clock *c, u64 deadline_ns)
{
    u64 floor_ns = clock_now(c) + c->min_period_ns;
    return deadline_ns < floor_ns ? floor_ns : deadline_ns;
}

void timer_init(struct timer *t, void (*fire)(void *opaque), void *opaque);
/* Arms T for an absolute time, moving it when it was armed already; TIME_NEVER disarms. */
void timer_arm(struct clock *c, struct timer *t, u64 deadline_ns);
void timer_disarm(struct clock *c, struct timer *t);
/* The earliest deadline, or TIME_NEVER. */
u64 clock_next(const struct clock *c);
/* Fires what is due, in order of deadlines. Timers armed meanwhile for a time already past fire in the next
 * call, so that a guest cannot keep it busy for ever. */
void clock_run(struct clock *c);

/* floor(a * b / c) without overflow in between; saturates at UINT64_MAX. c != 0. */
u64 muldiv64(u64 a, u64 b, u64 c);

#endif
