#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* SUFFIX: `: why`, or empty. A long text (a name may have 4096 bytes) loses its middle: both what and why stay. */
static void error_format(struct error *e, const char *suffix, const char *fmt, va_list ap)
{
    char full[6000];
    const size_t room = sizeof e->text - 1, head = room / 3;
    vsnprintf(full, sizeof full - 200, fmt ? fmt : "", ap);
    strncat(full, suffix, 199);
    size_t n = strlen(full);
    if (n <= room)
        memcpy(e->text, full, n + 1);
    else
        snprintf(e->text, sizeof e->text, "%.*s...%s", (int)head, full, full + n - (room - head - 3));
    for (char *p = e->text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
}

enum status error_set(struct error *e, enum status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    error_format(e, "", fmt, ap);
    va_end(ap);
    return e->status = status;
}

enum status error_errno(struct error *e, const char *fmt, ...)
{
    char why[200];
    snprintf(why, sizeof why, ": %s", strerror(errno));
    va_list ap;
    va_start(ap, fmt);
    error_format(e, why, fmt, ap);
    va_end(ap);
    return e->status = STATUS_HOST;
}
