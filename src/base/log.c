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

void log_refill(struct log *l)
{
    l->guest_burst = LOG_GUEST_BURST;
}

void log_write(struct log *l, enum log_audience a, const char *fmt, ...)
{
    if (!(l->mask & 1u << a))
        return;
    if (a == LOG_GUEST) {
        if (!l->guest_burst) {
            l->suppressed++;
            return;
        }
        l->guest_burst--;
    }
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    l->sink(l->opaque, line);
}
