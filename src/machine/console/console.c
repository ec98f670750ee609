/* The console's two directions, and its two kinds of time. */
#include "machine/console/console.h"

#include <stdatomic.h>
#include <string.h>

#include "host/clock.h"

/* How long a slow reader may keep back the end of a VM that was told to stop. */
#define LAST_WORDS_NS 1000000000u

/* Moves what the ring holds to the host, as far as it takes it without waiting. */
static void console_drain(struct console *c)
{
    while (c->used) {
        size_t n = CONSOLE_RING - c->head;
        if (n > c->used)
            n = c->used;
        if (c->output)
            c->output(c->output_opaque, c->ring + c->head, n);
        else
            n = char_write(&c->host, c->ring + c->head, n);
        if (!n)
            return;
        c->head = (c->head + n) % CONSOLE_RING;
        c->used -= n;
    }
}

/* As console_drain, and lets the chip go on that had no room. */
static void console_move(struct console *c)
{
    console_drain(c);
    while (c->blocked && c->used < CONSOLE_RING) {
        c->blocked = false;
        c->chip.writable(c->chip.opaque);
        console_drain(c);
    }
}

/* Waits for the host to take what is queued there and here. WAIT_FOR_ROOM: only until the ring has room. Ends
 * early at DEADLINE, or when STOP (null: nobody) becomes true. */
static void console_wait(struct console *c, bool wait_for_room, u64 deadline_ns, const _Atomic bool *stop)
{
    for (;;) {
        if (wait_for_room)
            console_drain(c); /* the chip is in the middle of a write */
        else
            console_move(c);
        int out = c->output ? -1 : char_out_fd(&c->host);
        bool done = wait_for_room ? c->used < CONSOLE_RING : !c->used && out < 0;
        if (done || out < 0 || (stop && atomic_load(stop)) || host_ns() >= deadline_ns)
            return;
        struct loop_fd fds[] = {{.fd = c->wake->fd, .in = true}, {.fd = out, .out = true}};
        loop_wait(fds, ARRAY_LEN(fds), deadline_ns);
        if (fds[0].ready)
            wake_drain(c->wake);
        if (fds[1].ready)
            char_writable(&c->host);
    }
}

static size_t console_append(struct console *c, const u8 *data, size_t n)
{
    size_t room = CONSOLE_RING - c->used, tail = (c->head + c->used) % CONSOLE_RING;
    if (n > room)
        n = room;
    size_t first = n < CONSOLE_RING - tail ? n : CONSOLE_RING - tail;
    memcpy(c->ring + tail, data, first);
    memcpy(c->ring, data + first, n - first);
    c->used += n;
    return n;
}

static size_t console_write(void *opaque, const u8 *data, size_t n)
{
    struct console *c = opaque;
    bool was_empty = !c->used;
    size_t taken = console_append(c, data, n);
    if (!c->is_virtual) {
        if (was_empty)
            wake_post(c->wake);
    } else {
        while (taken < n) {
            console_wait(c, true, c->deadline_ns, c->stop);
            if (c->used == CONSOLE_RING)
                break;
            taken += console_append(c, data + taken, n - taken);
        }
    }
    if (taken < n)
        c->blocked = true;
    if (c->seen)
        c->seen(c->seen_opaque, data, taken);
    return taken;
}

/* Gives bytes to the chip, which has room for them, and writes them down. */
static void console_receive(struct console *c, const u8 *data, size_t n)
{
    if (c->record && !c->record_failed)
        c->record_failed = !input_log_record(c->record, clock_now(c->clock), data, n);
    c->chip.receive(c->chip.opaque, data, n);
}

/* Virtual time: hands over what is due of the log; the rest waits for its time, or for the chip to have room.
 */
static void console_input_due(void *opaque)
{
    struct console *c = opaque;
    u64 now = clock_now(c->clock);
    while (c->piece < c->log.n && c->log.pieces[c->piece].count <= now) {
        const struct input_piece *p = &c->log.pieces[c->piece];
        size_t room = c->chip.room(c->chip.opaque), n = p->len - c->at;
        if (!room)
            return;
        if (n > room)
            n = room;
        console_receive(c, c->log.bytes + p->start + c->at, n);
        c->at += n;
        if (c->at == p->len) {
            c->piece++;
            c->at = 0;
        }
    }
    if (c->piece < c->log.n)
        timer_arm(c->clock, &c->input_due, c->log.pieces[c->piece].count);
}

static void console_drained(void *opaque)
{
    struct console *c = opaque;
    if (!c->is_virtual)
        wake_post(c->wake);
    else if (c->piece < c->log.n && !c->input_due.armed)
        timer_arm(c->clock, &c->input_due, clock_now(c->clock));
}

struct char_backend console_backend(struct console *c)
{
    return (struct char_backend){.write = console_write, .drained = console_drained, .opaque = c};
}

void console_prepare(struct console *c, struct loop_fd fds[CONSOLE_FDS])
{
    bool room = c->chip.room(c->chip.opaque) > 0;
    int out = c->output ? -1 : char_out_fd(&c->host);
    fds[0] = (struct loop_fd){.fd = c->output ? -1 : char_in_fd(&c->host, room), .in = true};
    fds[1] = (struct loop_fd){.fd = out, .out = true};
}

bool console_serve(struct console *c, const struct loop_fd fds[CONSOLE_FDS])
{
    if (fds[1].ready)
        char_writable(&c->host);
    console_drain(c);
    if (c->blocked && c->used < CONSOLE_RING) {
        c->blocked = false;
        c->chip.writable(c->chip.opaque);
        console_drain(c);
    }
    for (bool more = fds[0].ready || char_pending(&c->host); more; more = more && char_pending(&c->host)) {
        u8 buf[256];
        size_t room = c->chip.room(c->chip.opaque);
        size_t n = char_read(&c->host, buf, room < sizeof buf ? room : sizeof buf);
        if (n)
            console_receive(c, buf, n);
        more = n;
    }
    return char_quit(&c->host);
}

void console_flush(struct console *c)
{
    if (!c->output && char_out_fd(&c->host) >= 0)
        char_writable(&c->host);
    console_drain(c);
}

static enum status console_open_host(struct console *c, const struct trine_config *cfg, const struct console_end *end, struct error *e)
{
    static const enum char_kind kinds[] = {
        [TRINE_SERIAL_STDIO] = CHAR_STDIO,   [TRINE_SERIAL_NONE] = CHAR_NONE,
        [TRINE_SERIAL_FILE] = CHAR_FILE,     [TRINE_SERIAL_UNIX] = CHAR_UNIX,
        [TRINE_SERIAL_CALLBACK] = CHAR_NONE,
    };
    if ((unsigned)end->kind >= ARRAY_LEN(kinds))
        return error_set(e, STATUS_USAGE, "%s: no such kind", end->name);
    if (end->kind == TRINE_SERIAL_CALLBACK) {
        if (!cfg->serial_output)
            return error_set(e, STATUS_USAGE, "%s: no function to call", end->name);
        c->output = cfg->serial_output;
        c->output_opaque = cfg->serial_opaque;
    }
    return char_open(&c->host, kinds[end->kind], end->path, !c->is_virtual, e);
}

static size_t no_room(void *opaque)
{
    (void)opaque;
    return 0;
}

enum status console_init(struct console *c, const struct trine_config *cfg, const struct console_end *end, struct clock *clock,
                         const struct wake *wake, const _Atomic bool *stop, struct error *e)
{
    *c = (struct console){.chip = {.room = no_room},
                          .clock = clock,
                          .wake = wake,
                          .stop = stop,
                          .is_virtual = cfg->time == TRINE_TIME_VIRTUAL,
                          .deadline_ns = UINT64_MAX};
    timer_init(&c->input_due, console_input_due, c);
    if (end->logs && cfg->input_log && !c->is_virtual)
        return error_set(e, STATUS_USAGE, "%s: an input log needs --time virtual", cfg->input_log);
    if (end->logs && cfg->input_log && input_log_load(&c->log, cfg->input_log, e) != STATUS_OK)
        return e->status;
    if (end->logs && cfg->record_input && !(c->record = fopen(cfg->record_input, "we")))
        return error_errno(e, "%s", cfg->record_input);
    return console_open_host(c, cfg, end, e);
}

void console_destroy(struct console *c)
{
    char_close(&c->host);
    input_log_free(&c->log);
    if (c->record)
        fclose(c->record);
    c->record = NULL;
}

void console_start(struct console *c, u64 deadline_ns)
{
    c->deadline_ns = deadline_ns;
    if (c->piece < c->log.n)
        timer_arm(c->clock, &c->input_due, c->log.pieces[c->piece].count);
    char_start(&c->host);
}

void console_stop(struct console *c, bool patient)
{
    if (patient)
        console_wait(c, false, c->deadline_ns, c->stop);
    console_wait(c, false, host_ns() + LAST_WORDS_NS, NULL);
    char_stop(&c->host);
}
