/* The screen is looked at every 40 ms while the guest runs, and what differs is sent. While the prompt or the list of keys is on the terminal nothing
 * is drawn; char_dev counts how often such a thing was begun, so that even one that came and went between two looks has the screen drawn afresh. */
#include "machine/console/text_display.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/clock.h"
#include "host/tty.h"
#include "machine/console/text_keys.h"
#include "machine/console/text_screen.h"
#include "machine/vm.h"

#define LOOK_NS     40000000u
#define PATIENCE_NS NS_PER_S /* a key that the guest does not take for so long is lost, as on a PC */

struct text_display {
    struct char_dev host;
    struct text_screen screen;
    u32 interludes; /* of `host`, when the screen was drawn */
    u64 next_ns;
    u8 typed[64]; /* keys that the keyboard has not taken */
    size_t typed_n;
    u64 typed_ns; /* when the first of them came to be the first */
};

enum status text_display_create(struct vm *vm, struct error *e)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return error_set(e, STATUS_USAGE, "display text: standard input and output are no terminal");
    struct text_display *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(e, STATUS_HOST, "display text: out of memory");
    vm->text_display = d;
    enum status s = char_open(&d->host, CHAR_STDIO, NULL, true, e);
    d->host.clears = true;
    return s;
}

void text_display_destroy(struct vm *vm)
{
    if (!vm->text_display)
        return;
    char_close(&vm->text_display->host);
    free(vm->text_display);
    vm->text_display = NULL;
}

struct char_dev *text_display_terminal(struct text_display *d)
{
    return &d->host;
}

void text_display_start(struct vm *vm)
{
    if (vm->text_display)
        char_start(&vm->text_display->host);
}

static struct vga_size terminal_size(void)
{
    u16 cols, rows;
    return tty_size(&cols, &rows) ? (struct vga_size){cols, rows} : (struct vga_size){80, 25};
}

static void draw(struct vm *vm, struct text_display *d)
{
    if (d->host.prompt || d->host.help)
        return;
    if (d->interludes != d->host.interludes)
        d->screen.drawn = false;
    d->interludes = d->host.interludes;
    text_screen_draw(&d->screen, vm->devices.vga, terminal_size(), &d->host);
}

void text_display_stop(struct vm *vm)
{
    struct text_display *d = vm->text_display;
    if (!d)
        return;
    d->host.prompt = d->host.help = false;
    draw(vm, d);
    text_screen_leave(&d->screen, &d->host);
    char_stop(&d->host);
}

void text_display_prepare(struct vm *vm, struct loop_fd fds[TEXT_DISPLAY_FDS])
{
    struct text_display *d = vm->text_display;
    fds[0] = (struct loop_fd){.fd = d ? char_in_fd(&d->host, d->typed_n < sizeof d->typed) : -1, .in = true};
    fds[1] = (struct loop_fd){.fd = d ? char_out_fd(&d->host) : -1, .out = true};
}

u64 text_display_next(const struct vm *vm)
{
    return vm->text_display ? vm->text_display->next_ns : UINT64_MAX;
}

/* Hands over what the keyboard has room for. LAST: nothing followed what is there for a look's time. */
static void type(struct vm *vm, struct text_display *d, bool last, u64 now)
{
    struct key_stroke k;
    size_t n;
    while ((n = text_key(d->typed, d->typed_n, last && now - d->typed_ns >= LOOK_NS, &k))) {
        bool taken = !k.n || i8042_send_keys(&vm->pc.kbd, k.codes, k.n);
        if (!taken && vm->pc.kbd.scanning && now - d->typed_ns < PATIENCE_NS)
            return;
        d->typed_n -= n;
        memmove(d->typed, d->typed + n, d->typed_n);
        d->typed_ns = now;
    }
}

bool text_display_serve(struct vm *vm, const struct loop_fd fds[TEXT_DISPLAY_FDS])
{
    struct text_display *d = vm->text_display;
    if (!d)
        return false;
    u64 now = host_ns();
    if (fds[1].ready)
        char_writable(&d->host);
    bool due = now >= d->next_ns;
    if (fds[0].ready || char_pending(&d->host)) {
        if (!d->typed_n)
            d->typed_ns = now;
        d->typed_n += char_read(&d->host, d->typed + d->typed_n, sizeof d->typed - d->typed_n);
        type(vm, d, false, now);
    }
    if (due) {
        type(vm, d, true, now);
        draw(vm, d);
        d->next_ns = now + LOOK_NS;
    }
    return char_quit(&d->host);
}
