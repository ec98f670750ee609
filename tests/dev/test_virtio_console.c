/* The virtio console under a driver of our own: output that its other end takes in pieces, input with and without buffers, size, the emergency
 * write, what a reset and a saved state keep. */
#include "virtio_rig.h"

#include "dev/virtio/virtio_console.h"

#define SIZE      BIT(0)
#define EMERGENCY BIT(2)
#define MODERN    BIT(32)

enum { RX = 0, TX = 1, CONFIG = 0x100, SETTLED_NS = 20000000, BIG = 200000 };

/* The other end: takes at most ROOM bytes in all. */
struct end {
    u8 got[BIG + 16];
    size_t n, room;
    unsigned drained;
};

struct test {
    struct virtio_rig r;
    struct end end;
    struct virtio_console c;
};

static size_t end_write(void *opaque, const u8 *data, size_t n)
{
    struct end *d = opaque;
    if (n > d->room)
        n = d->room;
    if (n > sizeof d->got - d->n)
        n = sizeof d->got - d->n;
    memcpy(d->got + d->n, data, n);
    d->n += n;
    d->room -= n;
    return n;
}

static void end_drained(void *opaque)
{
    ((struct end *)opaque)->drained++;
}

static void fresh(struct test *t)
{
    rig_restart(&t->r, SIZE | EMERGENCY | MODERN, 2, 16);
    t->end = (struct end){.room = SIZE_MAX};
}

static void output(struct test *t, u16 head, u64 at, u32 len)
{
    rig_desc(&t->r, rig_queue(TX), head, at, len, 0, 0);
    rig_offer(&t->r, TX, head);
}

static void test_output(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    fresh(t);
    rig_put(r, RIG_DATA, "hello, world", 12);
    output(t, 0, RIG_DATA, 5);
    output(t, 1, RIG_DATA + 5, 7);
    output(t, 2, RIG_DATA, 0);
    rig_kick(r, TX);
    CHECK_EQ(b, rig_used(r, TX), 3);
    CHECK_EQ(b, rig_used_len(r, TX, 0), 0); /* the device wrote nothing */
    CHECK_EQ(b, t->end.n, 12);
    CHECK(b, !memcmp(t->end.got, "hello, world", 12));

    /* The other end is full in the middle of a request: it goes on where it stopped, and the request is the driver's only then. */
    t->end = (struct end){.room = 3};
    output(t, 3, RIG_DATA, 5);
    output(t, 4, RIG_DATA + 5, 7);
    rig_kick(r, TX);
    CHECK_EQ(b, rig_used(r, TX), 3);
    rig_kick(r, TX); /* asked again, it is no less full */
    CHECK_EQ(b, t->end.n, 3);
    t->end.room = 4;
    virtio_console_writable(&t->c);
    bench_step(b, 1000);
    CHECK_EQ(b, rig_used(r, TX), 4);
    t->end.room = SIZE_MAX;
    virtio_console_writable(&t->c);
    bench_step(b, 1000);
    CHECK_EQ(b, rig_used(r, TX), 5);
    CHECK_EQ(b, t->end.n, 12);
    CHECK(b, !memcmp(t->end.got, "hello, world", 12));
}

/* A turn has an end, whatever is asked for; the rest comes in the next ones. */
static void test_turns(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    t->c.v.wires.latency_ns = 10;
    fresh(t);
    for (unsigned i = 0; i < BIG; i++)
        rig_st(r, RIG_DATA + i, i * 7 >> 3, 1);
    output(t, 0, RIG_DATA, BIG);
    bench_step(b, 11); /* the turn that every start brings */
    CHECK_EQ(b, t->end.n, 65536);
    CHECK_EQ(b, rig_used(r, TX), 0);
    bench_step(b, 1000);
    t->c.v.wires.latency_ns = 0;
    CHECK_EQ(b, t->end.n, BIG);
    CHECK_EQ(b, rig_used(r, TX), 1);
    unsigned wrong = 0;
    for (unsigned i = 0; i < BIG; i++)
        wrong += t->end.got[i] != (u8)(i * 7 >> 3);
    CHECK_EQ(b, wrong, 0);
}

static void test_input(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    fresh(t);
    rig_desc(r, rig_queue(RX), 0, RIG_DATA, 4, RIG_WRITE, 0);
    rig_offer(r, RX, 0);
    rig_kick(r, RX);
    CHECK_EQ(b, virtio_console_room(&t->c), 0); /* the driver is still starting */
    bench_step(b, SETTLED_NS - 2000000);
    CHECK_EQ(b, virtio_console_room(&t->c), 0);
    unsigned before = t->end.drained;
    bench_step(b, 2000000);
    CHECK_EQ(b, t->end.drained, before + 1);
    CHECK_EQ(b, rig_read(r, 0x60) & 2, 2); /* and Linux asks for the size */
    CHECK_EQ(b, virtio_console_room(&t->c), 4);
    virtio_console_receive(&t->c, (const u8 *)"ab", 2); /* a buffer is the driver's with what there is */
    CHECK_EQ(b, rig_used(r, RX), 1);
    CHECK_EQ(b, rig_used_len(r, RX, 0), 2);
    CHECK_EQ(b, rig_ld(r, RIG_DATA, 2), 'a' | 'b' << 8);
    CHECK_EQ(b, virtio_console_room(&t->c), 0);

    /* A buffer without room goes back, and the next is looked at. */
    rig_desc(r, rig_queue(RX), 1, RIG_DATA, 4, 0, 0);
    rig_offer(r, RX, 1);
    rig_desc(r, rig_queue(RX), 2, RIG_DATA + 16, 100000, RIG_WRITE, 0);
    rig_offer(r, RX, 2);
    before = t->end.drained;
    rig_kick(r, RX);
    CHECK_EQ(b, t->end.drained, before + 1);
    CHECK_EQ(b, virtio_console_room(&t->c), 4096);
    CHECK_EQ(b, rig_used(r, RX), 2);
    CHECK_EQ(b, rig_used_len(r, RX, 1), 0);
    virtio_console_receive(&t->c, (const u8 *)"xyz", 3);
    CHECK_EQ(b, rig_used_id(r, RX, 2), 2);
    CHECK_EQ(b, rig_used_len(r, RX, 2), 3);

    rig_desc(r, rig_queue(RX), 3, RIG_DATA, 4, RIG_WRITE, 0); /* what is typed goes over two */
    rig_offer(r, RX, 3);
    rig_desc(r, rig_queue(RX), 4, RIG_DATA + 16, 4, RIG_WRITE, 0);
    rig_offer(r, RX, 4);
    virtio_console_receive(&t->c, (const u8 *)"123456", 6);
    CHECK_EQ(b, rig_used_len(r, RX, 3), 4);
    CHECK_EQ(b, rig_used_len(r, RX, 4), 2);
    CHECK_EQ(b, rig_ld(r, RIG_DATA + 16, 2), '5' | '6' << 8);

    rig_reg(r, RIG_STATUS, 0); /* a new driver starts anew */
    CHECK_EQ(b, virtio_console_room(&t->c), 0);
    fresh(t);
    rig_desc(r, rig_queue(RX), 0, RIG_DATA, 4, RIG_WRITE, 0);
    rig_offer(r, RX, 0);
    bench_step(b, 1000);
    CHECK_EQ(b, virtio_console_room(&t->c), 0);
}

static void test_config(struct test *t)
{
    static struct virtio_console plain;
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    fresh(t);
    u32 generation = rig_read(r, 0xfc);
    virtio_console_resize(&t->c, 132, 43);
    CHECK_EQ(b, rig_read(r, CONFIG), 132 | 43 << 16);
    CHECK(b, rig_read(r, 0xfc) != generation);
    CHECK_EQ(b, rig_read(r, 0x60) & 2, 2); /* an interrupt of configuration */
    generation = rig_read(r, 0xfc);
    virtio_console_resize(&t->c, 132, 43);
    CHECK_EQ(b, rig_read(r, 0xfc), generation);
    CHECK_EQ(b, rig_read(r, CONFIG + 4), 1);

    rig_reg(r, RIG_STATUS, 0); /* the emergency write goes out whatever the state is */
    virtio_mmio_bus.write(&r->slot, CONFIG + 8, 4, 0x12345600 | 'E');
    virtio_mmio_bus.write(&r->slot, CONFIG + 8, 1, 'F');
    virtio_mmio_bus.write(&r->slot, CONFIG, 4, 'G');
    CHECK_EQ(b, t->end.n, 2);
    CHECK(b, !memcmp(t->end.got, "EF", 2));
    CHECK_EQ(b, rig_read(r, CONFIG), 132 | 43 << 16); /* the size is the host's */

    rig_reg(r, 0x14, 0);
    CHECK_EQ(b, rig_read(r, 0x10) & 7, SIZE | EMERGENCY);
    virtio_console_init(&plain, &r->wires, t->c.backend, false);
    CHECK_EQ(b, plain.v.features & 7, EMERGENCY); /* no terminal, no size */
    virtio_console_resize(&plain, 80, 25);
    CHECK_EQ(b, plain.cols, 0);
}

/* In the middle of a request, before the line opens. */
static void test_saved(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    static struct virtio_console other;
    fresh(t);
    t->end.room = 3;
    rig_put(r, RIG_DATA, "hello", 5);
    output(t, 0, RIG_DATA, 5);
    rig_desc(r, rig_queue(RX), 0, RIG_DATA + 16, 9, RIG_WRITE, 0);
    rig_offer(r, RX, 0);
    rig_kick(r, TX);
    virtio_console_init(&other, &r->wires, t->c.backend, true);
    CHECK(b, bench_copy(b, &virtio_ops, &t->c.v, &other.v));
    for (unsigned q = 0; q < 2; q++)
        CHECK(b, bench_copy(b, &virtq_ops, &t->c.v.queues[q], &other.v.queues[q]));
    CHECK(b, bench_copy(b, &virtio_console_ops, &t->c, &other));
    rig_reg(r, RIG_STATUS, 0);
    CHECK_EQ(b, t->c.sent, 0);
    t->end.room = SIZE_MAX;
    virtio_console_writable(&other);
    bench_step(b, SETTLED_NS);
    CHECK(b, t->end.n == 5 && !memcmp(t->end.got, "hello", 5));
    CHECK_EQ(b, virtio_console_room(&other), 9);
}

int main(void)
{
    static struct test t;
    rig_init(&t.r);
    t.end.room = SIZE_MAX;
    virtio_console_init(&t.c, &t.r.wires, (struct char_backend){.write = end_write, .drained = end_drained, .opaque = &t.end}, true);
    rig_start(&t.r, &t.c.v, SIZE | EMERGENCY | MODERN, 2, 16);
    test_output(&t);
    test_turns(&t);
    test_input(&t);
    test_config(&t);
    test_saved(&t);
    mem_destroy(&t.r.mem);
    return bench_end(&t.r.b);
}
