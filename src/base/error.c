#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void error_format(struct error *e, const char *fmt, va_list ap)
{
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    for (char *p = e->text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
}

enum status error_set(struct error *e, enum status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    error_format(e, fmt, ap);
    va_end(ap);
    return e->status = status;
}

enum status error_errno(struct error *e, const char *fmt, ...)
{
    int err = errno;
    va_list ap;
    va_start(ap, fmt);
    error_format(e, fmt, ap);
    va_end(ap);
    size_t n = strlen(e->text);
    snprintf(e->text + n, sizeof e->text - n, ": %s", strerror(err));
    return e->status = STATUS_HOST;
}
