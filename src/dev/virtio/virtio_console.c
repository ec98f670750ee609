/* Console device (virtio 1.2, 5.3): one port, its size, the emergency write. Output that the back end does not take stays in the driver's
 * request; input for which the driver has no buffers stays with the back end. Linux' driver throws away what comes between its first buffers and the
 * end of its start, so the line brings nothing for SETTLE_NS from DRIVER_OK on. Not modelled: several ports (VIRTIO_CONSOLE_F_MULTIPORT). */
#include "dev/virtio/virtio_console.h"

#include "base/le.h"

#define CONSOLE_F_SIZE      BIT(0)
#define CONSOLE_F_EMERGENCY BIT(2)

enum { RX = 0, TX = 1 };
enum { ROWS = 2, PORTS = 4, EMERGENCY = 8, CONFIG_LEN = 12 }; /* in the configuration space */
#define SETTLE_NS 20000000u

enum { ROOM_MAX = 4096, TURN_BYTES = 65536, TURN_MAX = 64 };

/* Sends what is left of request R, at most *BUDGET bytes. False: some of it stays. */
static bool send(struct virtio_console *c, const struct virtq_chain *r, u32 *budget)
{
    u8 buf[1024];
    while (c->sent < r->out_len) {
        u64 want = *budget < sizeof buf ? *budget : sizeof buf;
        u64 n = chain_read(r, c->v.wires.mem, c->sent, buf, want);
        size_t taken = n ? c->backend.write(c->backend.opaque, buf, n) : 0;
        c->sent += (u32)taken;
        *budget -= (u32)taken;
        if (!taken || taken < n)
            return false;
    }
    return true;
}

/* True: the turn's share was used up; false: all is sent, or the back end is full, which tells when it no longer is. */
static bool serve_output(struct virtio_console *c)
{
    struct virtq_chain r;
    u32 budget = TURN_BYTES;
    bool more = true;
    for (unsigned i = 0; i < TURN_MAX && more; i++) {
        if (!virtio_pop(&c->v, TX, &r)) {
            more = false;
            break;
        }
        if (!send(c, &r, &budget)) {
            virtio_unpop(&c->v, TX);
            more = !budget;
            break;
        }
        c->sent = 0;
        virtio_push(&c->v, TX, r.head, 0);
    }
    virtio_flush(&c->v, TX);
    return more;
}

static bool console_serve(struct virtio *v, unsigned n)
{
    struct virtio_console *c = (struct virtio_console *)v;
    if (n == TX)
        return serve_output(c);
    c->backend.drained(c->backend.opaque);
    return false;
}

void virtio_console_writable(struct virtio_console *c)
{
    if (virtio_running(&c->v, TX))
        virtio_again(&c->v, TX);
}

/* --- input */

/* The next request with room in it; those without are given back. */
static bool next_input(struct virtio_console *c, struct virtq_chain *r)
{
    for (unsigned i = 0; i < VIRTQ_MAX && virtio_pop(&c->v, RX, r); i++) {
        if (r->in_len)
            return true;
        virtio_push(&c->v, RX, r->head, 0);
    }
    return false;
}

size_t virtio_console_room(struct virtio_console *c)
{
    struct virtq_chain r;
    if (!c->open || !virtio_running(&c->v, RX) || !next_input(c, &r))
        return 0;
    virtio_unpop(&c->v, RX);
    return r.in_len < ROOM_MAX ? (size_t)r.in_len : ROOM_MAX;
}

void virtio_console_receive(struct virtio_console *c, const u8 *data, size_t n)
{
    struct virtq_chain r;
    while (n && next_input(c, &r)) {
        u64 len = chain_write(&r, c->v.wires.mem, 0, data, n);
        virtio_push(&c->v, RX, r.head, (u32)len);
        data += len;
        n -= len;
    }
    virtio_flush(&c->v, RX);
}

/* --- configuration space */

void virtio_console_resize(struct virtio_console *c, u16 cols, u16 rows)
{
    if (!c->sized || (cols == c->cols && rows == c->rows))
        return;
    c->cols = cols;
    c->rows = rows;
    virtio_config_changed(&c->v);
}

static unsigned console_config(const struct virtio *v, u8 config[VIRTIO_CONFIG_MAX])
{
    const struct virtio_console *c = (const struct virtio_console *)v;
    st16(config, c->cols);
    st16(config + ROWS, c->rows);
    st32(config + PORTS, 1);
    st32(config + EMERGENCY, 0);
    return CONFIG_LEN;
}

/* A byte that goes out whatever state the device is in (5.3.4); a full back end loses it. */
static void console_config_write(struct virtio *v, u64 off, unsigned size, u32 value)
{
    struct virtio_console *c = (struct virtio_console *)v;
    u8 byte = (u8)value;
    (void)size;
    if (off == EMERGENCY)
        c->backend.write(c->backend.opaque, &byte, 1);
}

static void console_open(void *opaque)
{
    struct virtio_console *c = opaque;
    c->open = true;
    c->open_ns = TIME_NEVER;
    c->backend.drained(c->backend.opaque);
    if (c->sized) /* Linux looks at the size when it is said to have changed, and not before */
        virtio_config_changed(&c->v);
}

static void console_start(struct virtio *v)
{
    struct virtio_console *c = (struct virtio_console *)v;
    c->open_ns = clock_now(v->wires.clock) + SETTLE_NS;
    timer_arm(v->wires.clock, &c->opens, c->open_ns);
}

static void console_stop(struct virtio *v)
{
    struct virtio_console *c = (struct virtio_console *)v;
    c->sent = 0;
    c->open = false;
    c->open_ns = TIME_NEVER;
    timer_disarm(v->wires.clock, &c->opens);
}

void virtio_console_init(struct virtio_console *c, const struct virtio_wires *wires, struct char_backend backend, bool sized)
{
    *c = (struct virtio_console){.backend = backend, .sized = sized, .open_ns = TIME_NEVER};
    c->type = (struct virtio_type){.name = "virtio-console",
                                   .id = VIRTIO_CONSOLE,
                                   .pci_class = 0x078000,
                                   .queues = 2,
                                   .features = CONSOLE_F_EMERGENCY | (sized ? CONSOLE_F_SIZE : 0),
                                   .serve = console_serve,
                                   .config = console_config,
                                   .config_write = console_config_write,
                                   .start = console_start,
                                   .stop = console_stop};
    timer_init(&c->opens, console_open, c);
    virtio_init(&c->v, &c->type, wires);
}

static bool console_after_restore(void *instance)
{
    struct virtio_console *c = instance;
    timer_arm(c->v.wires.clock, &c->opens, c->open_ns);
    return true;
}

static const struct field console_fields[] = {
    FIELD(virtio_console, sent, 0),
    FIELD(virtio_console, open, false),
    FIELD(virtio_console, open_ns, TIME_NEVER),
};
static const struct field_table console_table = {"virtio_console", 1, console_fields, ARRAY_LEN(console_fields)};
const struct device_ops virtio_console_ops = {.fields = &console_table, .after_restore = console_after_restore};
