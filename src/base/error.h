/* A host-side failure on its way up to the person who reads it: one line, `what: why`. Guest faults never
 * take this way. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/types.h"

enum status {
    STATUS_OK = 0,
    STATUS_USAGE = 2,       /* wrong usage: option or value */
    STATUS_HOST = 3,        /* the host failed: file, memory, permission */
    STATUS_UNSUPPORTED = 4, /* the engine cannot run here */
};

struct error {
    enum status status;
    char text[512];
};

/* Records STATUS and the formatted text (control characters become '?'); returns STATUS, so that callers can
 * `return error_set(...)`. */
enum status error_set(struct error *e, enum status status, const char *fmt, ...) PRINTF(3, 4);

/* As error_set with STATUS_HOST, and `: strerror(errno)` appended. */
enum status error_errno(struct error *e, const char *fmt, ...) PRINTF(2, 3);

#endif
