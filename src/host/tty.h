/* The controlling terminal of the process: raw while a guest runs, as it was at every other time. */
#ifndef HOST_TTY_H
#define HOST_TTY_H

#include "base/types.h"

/* Makes terminal FD raw and remembers how it was; false when it is no terminal or another VM of the process
 * has one already. */
bool tty_raw(int fd);
/* Gives the terminal back for good: restores it and forgets it. */
void tty_release(void);
/* Async-signal-safe, any thread: restores the terminal, and makes it raw again (if it is ours still, and we
 * are in the foreground). No-ops when nothing is raw. */
void tty_suspend(void);
void tty_resume(void);

/* Characters in a line, and lines, of the terminal on standard output; false: there is none, or it has no size. */
bool tty_size(u16 *cols, u16 *rows);

/* A log sink: writes `trine: LINE` to standard error, with the carriage return that a raw terminal needs.
 * OPAQUE is unused. */
void tty_log_sink(void *opaque, const char *line);

#endif
