/* Raw mode, and the way back from it on every path, signals and crashes included.
 *
 * A process has one controlling terminal and signal handlers get no argument: so the one record of it is a
 * static, the only mutable one of the tree. `state` is what makes it safe in a handler: the rest is written
 * before state says so, and not again until it is TTY_FREE. */
#include "host/tty.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { TTY_FREE, TTY_BUSY, TTY_RAW, TTY_SUSPENDED };

static struct {
    _Atomic int state;
    int fd;
    struct termios saved, raw;
} terminal;

static void tty_set(const struct termios *t)
{
    int err = errno;
    while (tcsetattr(terminal.fd, TCSANOW, t) < 0 && errno == EINTR)
        ;
    errno = err;
}

/* A background job must not touch the terminal's modes: it would be stopped, and the shell has set its own.
 */
static bool tty_foreground(void)
{
    int err = errno;
    pid_t group = tcgetpgrp(terminal.fd);
    errno = err;
    return group < 0 || group == getpgrp();
}

bool tty_raw(int fd)
{
    int expected = TTY_FREE;
    if (!atomic_compare_exchange_strong(&terminal.state, &expected, TTY_BUSY))
        return false;
    if (tcgetattr(fd, &terminal.saved) < 0) {
        atomic_store(&terminal.state, TTY_FREE);
        return false;
    }
    terminal.fd = fd;
    terminal.raw = terminal.saved;
    cfmakeraw(&terminal.raw);
    terminal.raw.c_cc[VMIN] = 1;
    terminal.raw.c_cc[VTIME] = 0;
    atomic_store(&terminal.state, TTY_SUSPENDED);
    tty_resume();
    return true;
}

void tty_suspend(void)
{
    int expected = TTY_RAW;
    if (atomic_compare_exchange_strong(&terminal.state, &expected, TTY_SUSPENDED) && tty_foreground())
        tty_set(&terminal.saved);
}

void tty_resume(void)
{
    int state = atomic_load(&terminal.state);
    if ((state != TTY_SUSPENDED && state != TTY_RAW) || !tty_foreground())
        return;
    /* State first: a handler that comes in between restores once too often rather than never. */
    if (state == TTY_RAW || atomic_compare_exchange_strong(&terminal.state, &state, TTY_RAW))
        tty_set(&terminal.raw);
}

void tty_release(void)
{
    tty_suspend();
    int expected = TTY_SUSPENDED;
    atomic_compare_exchange_strong(&terminal.state, &expected, TTY_FREE);
}

bool tty_size(u16 *cols, u16 *rows)
{
    struct winsize w;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_col || !w.ws_row)
        return false;
    *cols = w.ws_col;
    *rows = w.ws_row;
    return true;
}

void tty_log_sink(void *opaque, const char *line)
{
    (void)opaque;
    bool raw = atomic_load(&terminal.state) == TTY_RAW && isatty(STDERR_FILENO);
    fprintf(stderr, "trine: %s%s", line, raw ? "\r\n" : "\n");
}
