/* The output queue and the reading and writing that all kinds of serial back ends share. */
#include "host/char.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/char_impl.h"
#include "host/tty.h"

static enum status char_file_open(struct char_dev *c, const char *path, struct error *e)
{
    c->name = path;
    c->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    c->own_out = true;
    return c->out < 0 ? error_errno(e, "%s", path) : STATUS_OK;
}

enum status char_open(struct char_dev *c, enum char_kind kind, const char *path, bool input, struct error *e)
{
    enum status s = STATUS_OK;
    *c = (struct char_dev){.kind = kind, .in = -1, .out = -1, .listener.fd = -1};
    if (kind == CHAR_NONE)
        return s;
    if (!(c->queue = malloc(CHAR_BUFFER)))
        return error_errno(e, "serial line");
    if ((kind == CHAR_FILE || kind == CHAR_UNIX) && (!path || !*path))
        s = error_set(e, STATUS_USAGE, "serial line: no path given");
    else if (kind == CHAR_STDIO)
        s = char_stdio_open(c, input, e);
    else if (kind == CHAR_FILE)
        s = char_file_open(c, path, e);
    else
        s = char_unix_open(c, path, e);
    if (s != STATUS_OK)
        char_close(c);
    return s;
}

static void close_own(int *fd, bool own)
{
    if (*fd >= 0 && own)
        close(*fd);
    *fd = -1;
}

void char_close(struct char_dev *c)
{
    if (c->kind == CHAR_NONE) /* a zeroed struct: its descriptors are none of ours */
        return;
    char_stop(c);
    if (c->kind == CHAR_UNIX) {
        char_unix_hang_up(c);
        unix_listener_close(&c->listener);
    }
    close_own(&c->in, c->own_in);
    close_own(&c->out, c->own_out);
    free(c->queue);
    *c = (struct char_dev){.in = -1, .out = -1, .listener.fd = -1};
}

int char_in_fd(const struct char_dev *c, bool room)
{
    if (c->kind == CHAR_NONE || !(room || (c->terminal && c->ahead_used < CHAR_AHEAD)))
        return -1;
    return c->in >= 0 ? c->in : c->listener.fd;
}

int char_out_fd(const struct char_dev *c)
{
    return c->kind != CHAR_NONE && c->used ? c->out : -1;
}

/* --- output */

/* Nobody takes the output any more: it is thrown away from now on. A reader who just left is no news; other
 * reasons are told once. */
static void char_out_lost(struct char_dev *c)
{
    if (c->kind == CHAR_UNIX) {
        char_unix_hang_up(c);
        return;
    }
    if (errno != EPIPE) {
        char line[300];
        snprintf(line, sizeof line, "%s: %s: the guest's output is lost from here", c->name, strerror(errno));
        tty_log_sink(NULL, line);
    }
    close_own(&c->out, c->own_out);
    c->used = 0;
}

/* Sends up to N bytes without waiting; 0: not now. */
static size_t char_send(struct char_dev *c, const u8 *p, size_t n)
{
    ssize_t r;
    do {
        struct pollfd ready = {.fd = c->out, .events = POLLOUT};
        if (c->careful_out && poll(&ready, 1, 0) != 1)
            return 0;
        r = c->socket_out ? send(c->out, p, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                          : write(c->out, p, c->careful_out ? 1 : n);
    } while (r < 0 && errno == EINTR);
    if (r >= 0)
        return (size_t)r;
    if (errno != EAGAIN)
        char_out_lost(c);
    return 0;
}

bool char_writable(struct char_dev *c)
{
    if (c->kind == CHAR_UNIX && c->out < 0)
        char_unix_accept(c);
    while (c->used && c->out >= 0) {
        size_t run = CHAR_BUFFER - c->head;
        size_t sent = char_send(c, c->queue + c->head, c->used < run ? c->used : run);
        if (!sent)
            break;
        c->head = (c->head + sent) % CHAR_BUFFER;
        c->used -= sent;
    }
    return c->used < CHAR_BUFFER;
}

static void char_queue(struct char_dev *c, const u8 *data, size_t n)
{
    size_t tail = (c->head + c->used) % CHAR_BUFFER, run = CHAR_BUFFER - tail;
    size_t first = n < run ? n : run;
    memcpy(c->queue + tail, data, first);
    memcpy(c->queue, data + first, n - first);
    c->used += n;
}

size_t char_write(struct char_dev *c, const u8 *data, size_t n)
{
    bool waits = c->kind == CHAR_UNIX;
    if (c->kind == CHAR_NONE || (c->out < 0 && !waits))
        return n;
    if (n > CHAR_BUFFER)
        n = CHAR_BUFFER;
    if (n > CHAR_BUFFER - c->used && waits && c->out < 0) { /* no client: the oldest go */
        size_t drop = n - (CHAR_BUFFER - c->used);
        c->head = (c->head + drop) % CHAR_BUFFER;
        c->used -= drop;
    }
    if (n > CHAR_BUFFER - c->used)
        n = CHAR_BUFFER - c->used;
    char_queue(c, data, n);
    char_writable(c);
    return n;
}

/* --- input */

static void char_in_ended(struct char_dev *c)
{
    if (c->kind != CHAR_UNIX)
        close_own(&c->in, c->own_in);
    c->in = -1; /* a socket's client may still listen */
}

/* Reads up to N bytes without waiting; 0: none now, or never again. */
static size_t char_receive(struct char_dev *c, u8 *buf, size_t n)
{
    struct pollfd ready = {.fd = c->in, .events = POLLIN};
    if (c->careful_in && poll(&ready, 1, 0) != 1)
        return 0;
    ssize_t r = c->socket_in ? recv(c->in, buf, n, MSG_DONTWAIT) : read(c->in, buf, c->careful_in ? 1 : n);
    if (r > 0)
        return (size_t)r;
    if (r == 0 || (errno != EAGAIN && errno != EINTR))
        char_in_ended(c);
    return 0;
}

static size_t char_read_terminal(struct char_dev *c, u8 *buf, size_t n)
{
    u8 *end = c->ahead + c->ahead_used;
    if (c->in >= 0 && c->ahead_used < CHAR_AHEAD)
        c->ahead_used += char_stdio_filter(c, end, char_receive(c, end, CHAR_AHEAD - c->ahead_used));
    if (n > c->ahead_used)
        n = c->ahead_used;
    memcpy(buf, c->ahead, n);
    c->ahead_used -= n;
    memmove(c->ahead, c->ahead + n, c->ahead_used);
    return n;
}

size_t char_read(struct char_dev *c, u8 *buf, size_t n)
{
    if (c->kind == CHAR_NONE)
        return 0;
    if (c->terminal)
        return char_read_terminal(c, buf, n);
    if (c->in < 0 && c->listener.fd >= 0)
        char_unix_accept(c);
    return n && c->in >= 0 ? char_receive(c, buf, n) : 0;
}
