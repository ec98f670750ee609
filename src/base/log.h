/* Log channels, always compiled, filtered at run time. One `struct log` per VM; no globals.
 * Audiences: OPERATOR (who runs the VM), GUEST (who writes the guest: unbuilt or odd things it did), DEV (who
 * works on Trine). GUEST messages are rate-limited, because the guest decides how many there are. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/types.h"

enum log_audience { LOG_OPERATOR, LOG_GUEST, LOG_DEV, LOG_AUDIENCES };

struct log {
    u32 mask;                                     /* bit per audience */
    void (*sink)(void *opaque, const char *line); /* gets one line without newline */
    void *opaque;
    u32 guest_burst; /* GUEST lines still allowed; refilled by log_refill */
    u64 suppressed;
};

#define LOG_GUEST_BURST 64

/* A log that writes `trine: LINE` to standard error, OPERATOR only. */
void log_init(struct log *l);
void log_refill(struct log *l);
void log_write(struct log *l, enum log_audience a, const char *fmt, ...) PRINTF(3, 4);

#define log_operator(l, ...) log_write(l, LOG_OPERATOR, __VA_ARGS__)
#define log_guest(l, ...)    log_write(l, LOG_GUEST, __VA_ARGS__)
#define log_dev(l, ...)      log_write(l, LOG_DEV, __VA_ARGS__)

#endif
