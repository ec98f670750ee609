/* The host's end of a serial line: standard input and output, a file, or a Unix socket. Nothing here blocks,
 * and nobody's descriptor is left with O_NONBLOCK set (an open file description is shared with the shell and
 * with other programs).
 *
 * The loop that owns it polls char_in_fd for POLLIN while the chip can take input, and char_out_fd for
 * POLLOUT; all calls come from one thread or under one lock.
 *
 *   output: char_write queues up to CHAR_BUFFER bytes and sends what the host takes; it returns fewer than it
 * was given when the queue is full: then the chip keeps the rest, and offers it again when char_writable says
 * that there is room. input:  char_read gives at most the bytes asked for, and nothing is read that cannot be
 * kept: nothing is ever lost. The end of the input is not the end of the VM. A reader that went away (EPIPE)
 * turns the output into a bottomless one; the process is expected to ignore SIGPIPE. A Unix socket has one
 * client at a time; while there is none, the newest CHAR_BUFFER bytes wait for it. */
#ifndef HOST_CHAR_H
#define HOST_CHAR_H

#include "base/error.h"
#include "base/types.h"
#include "host/unix_listen.h"

#define CHAR_BUFFER 65536u
#define CHAR_AHEAD  4096u
#define CHAR_LINE   128u
#define CHAR_PROMPT "(trine) "

enum char_kind { CHAR_NONE, CHAR_STDIO, CHAR_FILE, CHAR_UNIX };

struct char_dev {
    enum char_kind kind;
    int in, out;  /* -1: none (end of input, reader gone) */
    struct unix_listener listener; /* CHAR_UNIX: waits for a client; one at a time */
    bool own_in, own_out;
    bool socket_in, socket_out;   /* MSG_DONTWAIT serves instead of O_NONBLOCK */
    bool careful_in, careful_out; /* blocking, and could not be opened again: one byte per poll */
    const char *name;             /* for messages */
    bool terminal; /* input is a terminal: it is raw between char_start and char_stop, and Ctrl-A is a prefix
                    */
    bool prefix;   /* Ctrl-A was the last byte */
    bool quit;
    bool prompt; /* Ctrl-A c: what is typed makes up lines for the monitor, not for the guest */
    bool clears; /* the guest's is a whole screen: prompt and list of keys begin with clearing it, and the list stays until the next key */
    bool help;   /* the list of keys is there */
    u32 interludes; /* how often prompt or list of keys were begun */
    bool line_ready;
    char line[CHAR_LINE];
    size_t line_used;
    bool raw;             /* we made the terminal raw */
    u8 ahead[CHAR_AHEAD]; /* typed, but the chip has no room yet */
    size_t ahead_used;
    u8 *queue; /* ring of CHAR_BUFFER bytes */
    size_t head, used;
};

/* Opens and checks. INPUT false: nothing is read, and a terminal is left alone. PATH is that of CHAR_FILE
 * (created or truncated) or CHAR_UNIX (a socket is made and listened on). */
enum status char_open(struct char_dev *c, enum char_kind kind, const char *path, bool input, struct error *e);
/* Restores the terminal if need be, closes, frees. Fine on a zeroed or closed struct. */
void char_close(struct char_dev *c);

/* Around the time in which the guest runs: makes the terminal raw; sends once more what the host takes
 * without waiting, and restores it. */
void char_start(struct char_dev *c);
void char_stop(struct char_dev *c);

/* Descriptor to poll for POLLIN, and for POLLOUT; -1: none now. Ask before each poll: they come and go. ROOM:
 * the chip can take input; a terminal is read a little ahead even when it cannot, because Ctrl-A x has to
 * work while a guest hangs. */
int char_in_fd(const struct char_dev *c, bool room);
int char_out_fd(const struct char_dev *c);

/* Queues and sends; returns how many of N bytes were taken. */
size_t char_write(struct char_dev *c, const u8 *data, size_t n);
/* How many bytes char_write takes now. */
static inline size_t char_room(const struct char_dev *c)
{
    return CHAR_BUFFER - c->used;
}
/* To be called when char_out_fd is ready: sends. True: there is room in the queue. */
bool char_writable(struct char_dev *c);
/* To be called when char_in_fd is ready (POLLIN, POLLHUP or POLLERR): up to N bytes for the guest, after
 * Ctrl-A's commands were taken out. N may be 0. A result of 0 is no error. */
size_t char_read(struct char_dev *c, u8 *buf, size_t n);
/* char_read has something to give without polling. */
static inline bool char_pending(const struct char_dev *c)
{
    return c->ahead_used;
}
/* A line that was typed behind Ctrl-A c, without its end. */
bool char_take_line(struct char_dev *c, char line[CHAR_LINE]);
/* Ctrl-A x was typed. */
static inline bool char_quit(const struct char_dev *c)
{
    return c->quit;
}

#endif
