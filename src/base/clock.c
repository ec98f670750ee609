#include "base/clock.h"

void timer_init(struct timer *t, void (*fire)(void *opaque), void *opaque)
{
    *t = (struct timer){.fire = fire, .opaque = opaque, .deadline_ns = TIME_NEVER};
}

void timer_disarm(struct clock *c, struct timer *t)
{
    if (!t->armed)
        return;
    struct timer **p = &c->head;
    while (*p != t)
        p = &(*p)->next;
    *p = t->next;
    t->armed = false;
    t->deadline_ns = TIME_NEVER;
}

void timer_arm(struct clock *c, struct timer *t, u64 deadline_ns)
{
    timer_disarm(c, t);
    if (deadline_ns == TIME_NEVER)
        return;
    struct timer **p = &c->head;
    while (*p && (*p)->deadline_ns <= deadline_ns)
        p = &(*p)->next;
    t->deadline_ns = deadline_ns;
    t->armed = true;
    t->next = *p;
    *p = t;
    if (c->head == t && c->earlier)
        c->earlier(c->opaque);
}

u64 clock_next(const struct clock *c)
{
    return c->head ? c->head->deadline_ns : TIME_NEVER;
}

void clock_run(struct clock *c)
{
    u64 now = clock_now(c);
    unsigned due = 0;
    for (struct timer *t = c->head; t && t->deadline_ns <= now; t = t->next)
        due++;
    while (due-- && c->head && c->head->deadline_ns <= now) {
        struct timer *t = c->head;
        timer_disarm(c, t);
        t->fire(t->opaque);
    }
}

u64 muldiv64(u64 a, u64 b, u64 c)
{
    u128 r = (u128)a * b / c;
    return r > UINT64_MAX ? UINT64_MAX : (u64)r;
}
