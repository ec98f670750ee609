/* Standard input and output as a serial line. To be able to read and write without waiting, each is opened
 * once more through /proc/self/fd with O_NONBLOCK: the flag belongs to the open file description, and ours is
 * shared with whoever started us. Regular files need no such thing, sockets cannot be reopened and have
 * MSG_DONTWAIT; where neither works, one byte goes per poll. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/char_impl.h"
#include "host/tty.h"

#define CTRL_A 0x01

struct stream {
    int fd;
    bool own, socket, careful;
};

/* A way to use standard descriptor FD in direction FLAGS (O_RDONLY, O_WRONLY); fd -1: it is closed or goes
 * the other way. */
static struct stream stream_open(int fd, int flags)
{
    struct stream s = {.fd = -1};
    struct stat st;
    int mode = fcntl(fd, F_GETFL);
    if (mode < 0 || fstat(fd, &st) < 0 || ((mode & O_ACCMODE) != O_RDWR && (mode & O_ACCMODE) != flags))
        return s;
    s.fd = fd;
    s.socket = S_ISSOCK(st.st_mode);
    if (s.socket || S_ISREG(st.st_mode))
        return s;
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    s.own = again >= 0;
    s.careful = again < 0;
    if (s.own)
        s.fd = again;
    return s;
}

enum status char_stdio_open(struct char_dev *c, bool input, struct error *e)
{
    (void)e;
    struct stream out = stream_open(STDOUT_FILENO, O_WRONLY);
    c->name = "standard output";
    c->out = out.fd;
    c->own_out = out.own;
    c->socket_out = out.socket;
    c->careful_out = out.careful;
    if (!input)
        return STATUS_OK;
    struct stream in = stream_open(STDIN_FILENO, O_RDONLY);
    c->in = in.fd;
    c->own_in = in.own;
    c->socket_in = in.socket;
    c->careful_in = in.careful;
    c->terminal = in.fd >= 0 && isatty(in.fd);
    return STATUS_OK;
}

static void say(struct char_dev *c, const char *text, size_t n)
{
    char_write(c, (const u8 *)text, n);
}

/* Something that is not the guest's comes onto the terminal. */
static void interlude(struct char_dev *c)
{
    static const char clear[] = "\033[0m\033[2J\033[H\033[?25h";
    c->interludes++;
    if (c->clears)
        say(c, clear, sizeof clear - 1);
}

static void char_help(struct char_dev *c)
{
    static const char text[] = "\r\nCtrl-A x       end the virtual machine\r\n"
                               "Ctrl-A c       the monitor's prompt, and back to the guest\r\n"
                               "Ctrl-A h       this list\r\n"
                               "Ctrl-A Ctrl-A  send Ctrl-A\r\n";
    interlude(c);
    c->help = c->clears;
    if (c->clears)
        say(c, text, sizeof text - 1);
    else if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        return; /* nobody to tell */
}

/* A key at the prompt; while a line waits to be carried out, keys are dropped. */
static void prompt_key(struct char_dev *c, u8 b)
{
    if (c->line_ready)
        return;
    if (b == '\r' || b == '\n') {
        say(c, "\r\n", 2);
        c->line_ready = true;
    } else if ((b == 0x7f || b == '\b') && c->line_used) {
        say(c, "\b \b", 3);
        c->line_used--;
    } else if (b >= ' ' && b < 0x7f && c->line_used < CHAR_LINE - 1) {
        say(c, (const char *)&b, 1);
        c->line[c->line_used++] = (char)b;
    }
}

static void prompt_toggle(struct char_dev *c)
{
    c->prompt = !c->prompt;
    c->help = false;
    c->line_used = 0;
    c->line_ready = false;
    if (c->prompt)
        interlude(c);
    if (c->prompt)
        say(c, "\r\n" CHAR_PROMPT, sizeof "\r\n" CHAR_PROMPT - 1);
    else
        say(c, "\r\n", 2);
}

bool char_take_line(struct char_dev *c, char line[CHAR_LINE])
{
    if (!c->line_ready)
        return false;
    memcpy(line, c->line, c->line_used);
    line[c->line_used] = 0;
    c->line_used = 0;
    c->line_ready = false;
    return true;
}

size_t char_stdio_filter(struct char_dev *c, u8 *buf, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        u8 b = buf[i];
        if (!c->prefix && b != CTRL_A) {
            if (c->prompt)
                prompt_key(c, b);
            else if (!c->help)
                buf[kept++] = b;
            c->help = false;
            continue;
        }
        if (c->prefix && b == CTRL_A)
            buf[kept++] = b;
        else if (c->prefix && b == 'x')
            c->quit = true;
        else if (c->prefix && b == 'c')
            prompt_toggle(c);
        else if (c->prefix && b == 'h')
            char_help(c);
        c->prefix = !c->prefix;
    }
    return kept;
}

void char_start(struct char_dev *c)
{
    if (c->terminal)
        c->raw = tty_raw(c->in);
}

void char_stop(struct char_dev *c)
{
    if (c->used)
        char_writable(c);
    if (c->raw)
        tty_release();
    c->raw = false;
}
