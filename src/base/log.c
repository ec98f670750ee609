#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static void log_sink_stderr(void *opaque, const char *line)
{
    (void)opaque;
    fprintf(stderr, "trine: %s\n", line);
}

void log_init(struct log *l)
{
    *l = (struct log){.mask = 1u << LOG_OPERATOR, .sink = log_sink_stderr, .guest_burst = LOG_GUEST_BURST};
}

/* The counters belong to no thread: vCPUs write while the loop refills. */
void log_refill(struct log *l)
{
    __atomic_store_n(&l->guest_burst, LOG_GUEST_BURST, __ATOMIC_RELAXED);
}

static bool guest_line_left(struct log *l)
{
    u32 left = __atomic_load_n(&l->guest_burst, __ATOMIC_RELAXED);
    while (left && !__atomic_compare_exchange_n(&l->guest_burst, &left, left - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (!left)
        __atomic_fetch_add(&l->suppressed, 1, __ATOMIC_RELAXED);
    return left;
}

void log_write(struct log *l, enum log_audience a, const char *fmt, ...)
{
    if (!(l->mask & 1u << a))
        return;
    if (a == LOG_GUEST && !guest_line_left(l))
        return;
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    l->sink(l->opaque, line);
}
