/* Console input with the time at which the guest got it, so that a run can repeat it.
 *
 *     COUNT HEXBYTES        e.g.   2500000000 6c730a
 *
 * One line per piece of input; counts never fall. Under --time virtual COUNT is an instruction count, as
 * DESIGN section 9 counts virtual time: instructions retired plus what HLT skipped. Under --time real it is
 * nanoseconds since the VM began to run. */
#ifndef MACHINE_CONSOLE_INPUT_LOG_H
#define MACHINE_CONSOLE_INPUT_LOG_H

#include <stdio.h>

#include "base/error.h"

struct input_piece {
    u64 count;
    size_t start, len; /* in bytes[] */
};

struct input_log {
    struct input_piece *pieces;
    size_t n;
    u8 *bytes;
};

/* Reads all of PATH. Errors name the line (`PATH:LINE: why`); nothing is kept then. */
enum status input_log_load(struct input_log *l, const char *path, struct error *e);
void input_log_free(struct input_log *l);

/* Appends one line to F; false when that failed. */
bool input_log_record(FILE *f, u64 count, const u8 *data, size_t n) MUST_CHECK;

#endif
