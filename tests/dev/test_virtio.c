/* virtio devices under a driver of our own: what a good driver sees, and that each breach of the rules sets
 * DEVICE_NEEDS_RESET and nothing else. */
#include "virtio_rig.h"

#include <errno.h>
#include <stdlib.h>

#include "dev/virtio/virtio_blk.h"
#include "dev/virtio/virtio_net.h"
#include "dev/virtio/virtio_rng.h"

#define INDIRECT BIT(28)
#define EVENT    BIT(29)
#define MODERN   BIT(32)
#define FLUSH    BIT(9)

enum { DISK = 64 << 10, NEEDS_RESET = 0x40 };

/* A disk that keeps requests until it is told to do them. */
struct fake_disk {
    struct block b;
    u8 bytes[DISK];
    struct block_request *held[64];
    unsigned n, flushes, writes;
    bool hold;
    int error;
};

static void fake_do(struct fake_disk *d, struct block_request *r)
{
    d->flushes += r->op == BLOCK_FLUSH;
    d->writes += r->op == BLOCK_WRITE;
    if (r->op == BLOCK_READ)
        memcpy(r->data, d->bytes + r->off, r->len);
    if (r->op == BLOCK_WRITE)
        memcpy(d->bytes + r->off, r->data, r->len);
    if (r->op == BLOCK_ZERO)
        memset(d->bytes + r->off, 0, r->len);
    r->error = d->error;
    r->done(r);
}

static void fake_submit(struct block *b, struct block_request *r)
{
    struct fake_disk *d = (struct fake_disk *)b;
    if (d->hold)
        d->held[d->n++] = r;
    else
        fake_do(d, r);
}

static const struct block_ops fake_ops = {.submit = fake_submit};

struct test {
    struct virtio_rig r;
    struct fake_disk disk;
    struct virtio_blk blk;
};

static void blk_header(struct test *t, u64 at, u32 type, u64 sector)
{
    rig_st(&t->r, at, type, 8);
    rig_st(&t->r, at + 8, sector, 8);
}

/* A request in descriptors 3 * SLOT...: header, LEN bytes of data at RIG_DATA + SLOT * 64 KiB, status. */
static u64 blk_request(struct test *t, unsigned slot, u32 type, u64 sector, u32 len)
{
    struct virtio_rig *r = &t->r;
    u64 data = RIG_DATA + slot * 0x10000, header = 0x80000 + 32 * slot, table = rig_queue(0);
    u16 d = (u16)(3 * slot);
    bool in = type == 0 || type == 8;
    blk_header(t, header, type, sector);
    rig_st(r, header + 16, 0xee, 1);
    rig_desc(r, table, d, header, 16, RIG_NEXT, len ? d + 1 : d + 2);
    rig_desc(r, table, d + 1u, data, len, RIG_NEXT | (in ? RIG_WRITE : 0), d + 2);
    rig_desc(r, table, d + 2u, header + 16, 1, RIG_WRITE, 0);
    rig_offer(r, 0, d);
    return data;
}

static u8 blk_status(struct test *t, unsigned slot)
{
    return (u8)rig_ld(&t->r, 0x80000 + 32 * slot + 16, 1);
}

static void blk_fresh(struct test *t, u64 features)
{
    rig_restart(&t->r, features, 1, 64);
    t->disk.hold = false;
    t->disk.n = 0;
    t->disk.error = 0;
}

static void test_registers(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    CHECK_EQ(b, rig_read(r, 0), 0x74726976);
    CHECK_EQ(b, rig_read(r, 4), 2);
    CHECK_EQ(b, rig_read(r, 8), 2);
    CHECK_EQ(b, rig_read(r, RIG_STATUS), 15);
    CHECK_EQ(b, rig_read(r, 0x34), 256);
    CHECK_EQ(b, rig_read(r, 0x100), DISK / 512);
    CHECK_EQ(b, virtio_mmio_bus.read(&r->slot, 0x101, 1), 0);
    CHECK_EQ(b, virtio_mmio_bus.read(&r->slot, 0x1ff, 4), 0); /* past its configuration */
    rig_reg(r, 0x14, 1);
    CHECK_EQ(b, rig_read(r, 0x10), 1); /* VERSION_1 */
    rig_reg(r, RIG_SELECT, 1);
    CHECK_EQ(b, rig_read(r, 0x34), 0);
    rig_reg(r, RIG_SELECT, 0);
    rig_reg(r, 0x80, 0x1234000); /* a queue in use does not move */
    CHECK_EQ(b, t->blk.v.queues[0].desc, rig_queue(0));
    CHECK(b, t->blk.v.acknowledged == (MODERN | FLUSH | INDIRECT));
}

static void test_blk(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    u64 data;
    for (unsigned i = 0; i < DISK; i++)
        t->disk.bytes[i] = (u8)(i / 512 + 1);
    data = blk_request(t, 0, 0, 3, 1024);
    rig_kick(r, 0);
    CHECK_EQ(b, blk_status(t, 0), 0);
    CHECK_EQ(b, rig_ld(r, data, 1), 4);
    CHECK_EQ(b, rig_ld(r, data + 1023, 1), 5);
    CHECK_EQ(b, rig_used(r, 0), 1);
    CHECK_EQ(b, rig_used_len(r, 0, 0), 1025);
    CHECK(b, b->wires[0].level);
    CHECK_EQ(b, rig_read(r, 0x60), 1);
    rig_reg(r, 0x64, 1);
    CHECK(b, !b->wires[0].level);
    data = blk_request(t, 1, 1, 10, 512);
    rig_st(r, data, 0x77, 1);
    rig_kick(r, 0);
    CHECK_EQ(b, blk_status(t, 1), 0);
    CHECK_EQ(b, t->disk.bytes[5120], 0x77);
    CHECK_EQ(b, t->disk.flushes, 0);
    blk_request(t, 2, 4, 0, 0);
    rig_kick(r, 0);
    CHECK_EQ(b, blk_status(t, 2), 0);
    CHECK_EQ(b, t->disk.flushes, 1);
    /* Past the end, not whole sectors, an overflowing sector, an unknown type, a failing disk. */
    const struct {
        u32 type;
        u64 sector;
        u32 len;
        u8 status;
    } bad[] = {{0, DISK / 512, 512, 1},  {0, DISK / 512 - 1, 1024, 1}, {1, 0, 100, 1}, {0, ~0ull, 512, 1},
               {1, 1ull << 55, 512, 1}, {99, 0, 512, 2},              {11, 0, 15, 2}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        blk_request(t, 3, bad[i].type, bad[i].sector, bad[i].len);
        rig_kick(r, 0);
        CHECK_EQ(b, blk_status(t, 3), bad[i].status);
    }
    t->disk.error = ENOSPC;
    blk_request(t, 4, 1, 0, 512);
    rig_kick(r, 0);
    CHECK_EQ(b, blk_status(t, 4), 1);
    t->disk.error = 0;
    data = blk_request(t, 5, 8, 0, 20);
    rig_kick(r, 0);
    CHECK_EQ(b, rig_ld(r, data, 4), ld32("disk"));
    /* Zeroes, and a range past the end. */
    for (unsigned i = 0; i < 2; i++) {
        data = blk_request(t, 6, 13, 0, 16);
        rig_st(r, data, 20, 8);
        rig_st(r, data + 8, i ? 2000 : 2, 8);
        rig_kick(r, 0);
        CHECK_EQ(b, blk_status(t, 6), i);
    }
    CHECK_EQ(b, t->disk.bytes[20 * 512 + 700], 0);
    CHECK_EQ(b, t->disk.bytes[22 * 512], 23);
    CHECK_EQ(b, rig_read(r, RIG_STATUS), 15);
}

/* Several in flight, done in another order; a driver that knows no flush; a reset meanwhile. */
static void test_flight(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    blk_fresh(t, MODERN | FLUSH);
    t->disk.hold = true;
    for (unsigned i = 0; i < 3; i++)
        blk_request(t, i, 0, i, 512);
    rig_kick(r, 0);
    CHECK_EQ(b, t->disk.n, 3);
    CHECK_EQ(b, rig_used(r, 0), 0);
    for (unsigned i = 3; i--;)
        fake_do(&t->disk, t->disk.held[i]);
    CHECK_EQ(b, rig_used(r, 0), 3);
    CHECK_EQ(b, rig_used_id(r, 0, 0), 6);
    CHECK_EQ(b, rig_used_id(r, 0, 2), 0);

    blk_fresh(t, MODERN);
    t->disk.flushes = 0;
    blk_request(t, 0, 1, 0, 512);
    rig_kick(r, 0);
    CHECK_EQ(b, t->disk.flushes, 1); /* write through */
    CHECK_EQ(b, rig_used(r, 0), 1);

    blk_fresh(t, MODERN | FLUSH);
    t->disk.hold = true;
    u64 data = blk_request(t, 0, 0, 0, 512);
    rig_st(r, data, 0xabcd, 2);
    rig_kick(r, 0);
    CHECK_EQ(b, t->disk.n, 1);
    struct block_request *orphan = t->disk.held[0];
    blk_fresh(t, MODERN | FLUSH);
    fake_do(&t->disk, orphan);
    CHECK_EQ(b, rig_used(r, 0), 0);
    CHECK_EQ(b, rig_ld(r, data, 2), 0xabcd);
    CHECK_EQ(b, blk_status(t, 0), 0xee);
    /* More than the device takes at a time: the rest follows. */
    t->disk.hold = true;
    rig_restart(r, MODERN | FLUSH, 1, 256);
    for (unsigned i = 0; i < 40; i++)
        blk_request(t, i, 4, 0, 0);
    rig_kick(r, 0);
    CHECK_EQ(b, t->disk.n, VIRTIO_BLK_REQUESTS);
    for (unsigned i = 0; i < t->disk.n; i++)
        fake_do(&t->disk, t->disk.held[i]);
    bench_step(b, 1000000);
    t->disk.hold = false;
    for (unsigned i = VIRTIO_BLK_REQUESTS; i < t->disk.n; i++)
        fake_do(&t->disk, t->disk.held[i]);
    CHECK_EQ(b, rig_used(r, 0), 40);
}

static void test_indirect(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    u64 table = 0x90000;
    blk_fresh(t, MODERN | FLUSH | INDIRECT);
    blk_header(t, 0x80000, 0, 1);
    rig_desc(r, table, 0, 0x80000, 16, RIG_NEXT, 1);
    rig_desc(r, table, 1, RIG_DATA, 512, RIG_NEXT | RIG_WRITE, 2);
    rig_desc(r, table, 2, 0x80010, 1, RIG_WRITE, 0);
    rig_desc(r, rig_queue(0), 5, table, 48, RIG_INDIRECT, 0);
    rig_offer(r, 0, 5);
    rig_kick(r, 0);
    CHECK_EQ(b, rig_used(r, 0), 1);
    CHECK_EQ(b, rig_used_id(r, 0, 0), 5);
    CHECK_EQ(b, rig_ld(r, RIG_DATA, 1), 2);
    CHECK_EQ(b, rig_read(r, RIG_STATUS), 15);

    /* As many pieces as SEG_MAX says, header and status beside them; then one more. */
    u32 most = (u32)virtio_mmio_bus.read(&r->slot, 0x100 + 12, 4);
    CHECK_EQ(b, most, 254);
    for (u32 n = most; n <= most + 1; n++) {
        blk_fresh(t, MODERN | FLUSH | INDIRECT);
        rig_desc(r, table, 0, 0x80000, 16, RIG_NEXT, 1);
        for (u32 i = 0; i < n; i++)
            rig_desc(r, table, 1 + i, RIG_DATA + 512 * i, 256, RIG_NEXT | RIG_WRITE, (u16)(2 + i));
        rig_desc(r, table, 1 + n, 0x80010, 1, RIG_WRITE, 0);
        rig_desc(r, rig_queue(0), 5, table, 16 * (n + 2), RIG_INDIRECT, 0);
        rig_offer(r, 0, 5);
        rig_kick(r, 0);
        CHECK_EQ(b, rig_used(r, 0), n == most);
        CHECK_EQ(b, rig_read(r, RIG_STATUS), n == most ? 15 : 15 | NEEDS_RESET);
    }
    CHECK_EQ(b, rig_ld(r, RIG_DATA + 512 * 253, 1), 1 + (512 + 253 * 256) / 512);
}

static void test_event_index(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    u64 used_event = rig_queue(0) + RIG_AVAIL + 4 + 2 * 64, avail_event = rig_queue(0) + RIG_USED + 4 + 8 * 64;
    blk_fresh(t, MODERN | FLUSH | EVENT);
    rig_st(r, used_event, 1, 2); /* tell me after the second */
    for (unsigned i = 0; i < 3; i++) {
        unsigned before = b->wires[0].rises;
        blk_request(t, i, 4, 0, 0);
        rig_kick(r, 0);
        CHECK_EQ(b, b->wires[0].rises - before, i == 1);
        CHECK_EQ(b, rig_ld(r, avail_event, 2), i + 1);
        rig_reg(r, 0x64, 3);
    }
    blk_fresh(t, MODERN | FLUSH);
    rig_st(r, rig_queue(0) + RIG_AVAIL, 1, 2); /* NO_INTERRUPT */
    unsigned before = b->wires[0].rises;
    blk_request(t, 0, 4, 0, 0);
    rig_kick(r, 0);
    CHECK_EQ(b, rig_used(r, 0), 1);
    CHECK_EQ(b, b->wires[0].rises, before);
}

/* --- breaches */

static void breach_begin(struct test *t)
{
    blk_fresh(t, MODERN | FLUSH | INDIRECT);
    blk_header(t, 0x80000, 0, 0);
}

static void breach_end(struct test *t, int line, bool broken)
{
    struct virtio_rig *r = &t->r;
    rig_kick(r, 0);
    bench_check(&r->b, __FILE__, line, "needs reset", rig_read(r, RIG_STATUS), broken ? 15 | NEEDS_RESET : 15);
    if (!broken)
        return;
    bench_check(&r->b, __FILE__, line, "used", rig_used(r, 0), 0);
    bench_check(&r->b, __FILE__, line, "configuration interrupt", rig_read(r, 0x60), 2);
    rig_kick(r, 0); /* deaf until it is reset */
    blk_fresh(t, MODERN | FLUSH);
    blk_request(t, 0, 4, 0, 0);
    rig_kick(r, 0);
    bench_check(&r->b, __FILE__, line, "works again", rig_used(r, 0), 1);
}

static void test_breaches(struct test *t)
{
    struct virtio_rig *r = &t->r;
    u64 q = rig_queue(0), table = 0x90000;
    const struct {
        int line;
        u64 addr;
        u32 len;
        u16 flags, next;
    } second[] = {
        {__LINE__, RIG_DATA, 512, RIG_NEXT, 0},              /* a loop */
        {__LINE__, RIG_DATA, 512, RIG_NEXT, 64},             /* past the table */
        {__LINE__, RIG_DATA, 512, RIG_NEXT, 0xffff},
        {__LINE__, MIB(4) - 1, 512, RIG_WRITE, 0},           /* past RAM */
        {__LINE__, 0x9ff00, 512, RIG_WRITE, 0},              /* into video memory */
        {__LINE__, ~0ull - 100, 512, RIG_WRITE, 0},          /* wraps */
        {__LINE__, RIG_DATA, 0xffffffff, RIG_WRITE, 0},
        {__LINE__, 0xfee00000, 4, 0, 0},
        {__LINE__, table, 40, RIG_INDIRECT, 0},              /* odd table */
        {__LINE__, table, 0, RIG_INDIRECT, 0},
        {__LINE__, table, 32, RIG_INDIRECT | RIG_NEXT, 2},   /* chained on */
        {__LINE__, MIB(4) - 16, 32, RIG_INDIRECT, 0},        /* a table that leaves RAM */
        {__LINE__, ~0ull - 15, 16, RIG_INDIRECT, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(second); i++) {
        breach_begin(t);
        rig_desc(r, table, 0, RIG_DATA, 16, RIG_NEXT, 1); /* the odd table's entries are sound */
        rig_desc(r, table, 1, MIB(5), 16, RIG_WRITE, 0);
        rig_desc(r, q, 0, 0x80000, 16, RIG_NEXT, 1);
        rig_desc(r, q, 1, second[i].addr, second[i].len, second[i].flags, second[i].next);
        rig_offer(r, 0, 0);
        breach_end(t, second[i].line, true);
    }
    breach_begin(t); /* a table in a table */
    rig_desc(r, table, 0, table, 16, RIG_INDIRECT, 0);
    rig_desc(r, q, 0, table, 16, RIG_INDIRECT, 0);
    rig_offer(r, 0, 0);
    breach_end(t, __LINE__, true);
    breach_begin(t); /* a table that loops */
    rig_desc(r, table, 0, RIG_DATA, 16, RIG_NEXT, 0);
    rig_desc(r, q, 0, table, 16, RIG_INDIRECT, 0);
    rig_offer(r, 0, 0);
    breach_end(t, __LINE__, true);
    breach_begin(t); /* readable behind writable */
    rig_desc(r, q, 0, RIG_DATA, 16, RIG_NEXT | RIG_WRITE, 1);
    rig_desc(r, q, 1, RIG_DATA, 16, 0, 0);
    rig_offer(r, 0, 0);
    breach_end(t, __LINE__, true);
    breach_begin(t); /* a head past the table */
    rig_offer(r, 0, 64);
    breach_end(t, __LINE__, true);
    breach_begin(t); /* the index runs ahead */
    rig_st(r, q + RIG_AVAIL + 2, 65, 2);
    breach_end(t, __LINE__, true);
    breach_begin(t); /* no room for a status; a header cut short */
    rig_desc(r, q, 0, 0x80000, 16, 0, 0);
    rig_offer(r, 0, 0);
    breach_end(t, __LINE__, true);
    breach_begin(t);
    rig_desc(r, q, 0, 0x80000, 15, RIG_NEXT, 1);
    rig_desc(r, q, 1, 0x80010, 1, RIG_WRITE, 0);
    rig_offer(r, 0, 0);
    breach_end(t, __LINE__, true);
    breach_begin(t); /* an empty descriptor is none of them */
    rig_desc(r, q, 0, 0x80000, 16, RIG_NEXT, 1);
    rig_desc(r, q, 1, MIB(9), 0, RIG_NEXT, 2);
    rig_desc(r, q, 2, 0x80010, 1, RIG_WRITE, 0);
    rig_offer(r, 0, 0);
    breach_end(t, __LINE__, false);
    /* Indirect without having asked for it; rings outside RAM. */
    blk_fresh(t, MODERN | FLUSH);
    rig_desc(r, q, 0, table, 16, RIG_INDIRECT, 0);
    rig_offer(r, 0, 0);
    breach_end(t, __LINE__, true);
    for (unsigned ring = 0x80; ring <= 0xa0; ring += 0x10) {
        rig_reg(r, RIG_STATUS, 0);
        rig_restart(r, MODERN | FLUSH, 1, 64);
        rig_reg(r, RIG_STATUS, 0);
        rig_reg(r, RIG_STATUS, 11);
        rig_reg(r, 0x80, (u32)q), rig_reg(r, 0x90, (u32)q + RIG_AVAIL), rig_reg(r, 0xa0, (u32)q + RIG_USED);
        rig_reg(r, ring + 4, 0x7fffffff);
        rig_reg(r, RIG_READY, 1);
        blk_request(t, 0, 4, 0, 0);
        rig_reg(r, RIG_STATUS, 15);
        bench_step(&r->b, 1000000);
        bench_check(&r->b, __FILE__, (int)ring, "ring outside RAM", rig_read(r, RIG_STATUS), 15 | NEEDS_RESET);
    }
}

/* --- network */

struct fake_net {
    struct net n;
    u8 sent[4096];
    size_t sent_len;
    unsigned frames, rooms;
};

static void net_send(struct net *n, const u8 *frame, size_t len)
{
    struct fake_net *f = (struct fake_net *)n;
    memcpy(f->sent, frame, len < sizeof f->sent ? len : sizeof f->sent);
    f->sent_len = len;
    f->frames++;
}

static void net_room(struct net *n)
{
    ((struct fake_net *)n)->rooms++;
}

static const struct net_ops net_ops = {.send = net_send, .room = net_room};

static void test_net(struct virtio_rig *r)
{
    static struct fake_net f = {.n = {.ops = &net_ops, .offloads = NET_CHECKSUM | NET_SEGMENT}};
    static struct virtio_net n;
    struct bench *b = &r->b;
    u8 frame[NET_HEADER + 1500];
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = (u8)(i < NET_HEADER ? 0 : i);
    virtio_net_init(&n, &r->wires, &f.n, (const u8[]){2, 0, 0, 0, 0, 9});
    rig_start(r, &n.v, MODERN | BIT(15) | BIT(0), 2, 64);
    CHECK_EQ(b, virtio_mmio_bus.read(&r->slot, 0x105, 1), 9);
    /* Nothing offered: it has to wait; two small buffers: not enough; a third: merged. */
    CHECK(b, !f.n.port.receive(f.n.port.opaque, frame, sizeof frame));
    for (u16 i = 0; i < 3; i++) {
        rig_desc(r, rig_queue(0), i, RIG_DATA + i * 0x1000, 600, RIG_WRITE, 0);
        rig_offer(r, 0, i);
        rig_kick(r, 0);
        CHECK_EQ(b, f.n.port.receive(f.n.port.opaque, frame, sizeof frame), i == 2);
    }
    CHECK(b, f.rooms >= 3);
    CHECK_EQ(b, rig_used(r, 0), 3);
    CHECK_EQ(b, rig_used_len(r, 0, 0), 600);
    CHECK_EQ(b, rig_used_len(r, 0, 2), 312);
    CHECK_EQ(b, rig_ld(r, RIG_DATA + 10, 2), 3);
    CHECK_EQ(b, rig_ld(r, RIG_DATA + 12, 1), frame[NET_HEADER]);
    CHECK_EQ(b, rig_ld(r, RIG_DATA + 0x1000, 1), frame[600]);
    CHECK_EQ(b, rig_ld(r, RIG_DATA + 0x2000 + 311, 1), frame[1511]);
    /* A buffer smaller than the header: the header goes on in the next. */
    rig_restart(r, MODERN | BIT(15) | BIT(0), 2, 64);
    rig_desc(r, rig_queue(0), 0, RIG_DATA, 5, RIG_WRITE, 0);
    rig_desc(r, rig_queue(0), 1, RIG_DATA + 0x1000, 2000, RIG_WRITE, 0);
    rig_offer(r, 0, 0);
    rig_offer(r, 0, 1);
    CHECK(b, f.n.port.receive(f.n.port.opaque, frame, sizeof frame));
    CHECK_EQ(b, rig_used_len(r, 0, 0), 5);
    CHECK_EQ(b, rig_used_len(r, 0, 1), sizeof frame - 5);
    CHECK_EQ(b, rig_ld(r, RIG_DATA + 0x1000 + 5, 2), 2); /* number of buffers */
    CHECK_EQ(b, rig_ld(r, RIG_DATA + 0x1000 + 7, 1), frame[NET_HEADER]);
    /* Sent in two pieces, the header cut in the middle. */
    rig_put(r, RIG_DATA, frame, sizeof frame);
    rig_st(r, RIG_DATA, 1, 1); /* NEEDS_CSUM */
    rig_desc(r, rig_queue(1), 0, RIG_DATA, 5, RIG_NEXT, 1);
    rig_desc(r, rig_queue(1), 1, RIG_DATA + 5, sizeof frame - 5, 0, 0);
    rig_offer(r, 1, 0);
    rig_kick(r, 1);
    CHECK_EQ(b, f.frames, 1);
    CHECK_EQ(b, f.sent_len, sizeof frame);
    CHECK_EQ(b, f.sent[0], 1);
    CHECK_EQ(b, memcmp(f.sent + 1, frame + 1, sizeof frame - 1), 0);
    CHECK_EQ(b, rig_used(r, 1), 1);
    /* Too short, too long: dropped, given back. */
    rig_desc(r, rig_queue(1), 0, RIG_DATA, 11, 0, 0);
    rig_offer(r, 1, 0);
    rig_desc(r, rig_queue(1), 1, RIG_DATA, 70000, 0, 0);
    rig_offer(r, 1, 1);
    rig_kick(r, 1);
    CHECK_EQ(b, f.frames, 1);
    CHECK_EQ(b, rig_used(r, 1), 3);
    /* Without mergeable buffers a frame that does not fit is dropped. */
    rig_restart(r, MODERN, 2, 64);
    rig_desc(r, rig_queue(0), 0, RIG_DATA, 600, RIG_WRITE, 0);
    rig_offer(r, 0, 0);
    (void)f.n.port.receive(f.n.port.opaque, frame, sizeof frame);
    CHECK(b, rig_used(r, 0) <= 1);
    CHECK_EQ(b, rig_read(r, RIG_STATUS), 15);
}

static u64 on_random(void *opaque)
{
    return *(u64 *)opaque += 0x0101010101010101;
}

static void test_rng(struct virtio_rig *r)
{
    static struct virtio_rng n;
    static u64 state;
    struct bench *b = &r->b;
    virtio_rng_init(&n, &r->wires, on_random, &state);
    rig_start(r, &n.v, MODERN, 1, 64);
    rig_st(r, RIG_DATA + 10, 0, 8);
    rig_desc(r, rig_queue(0), 0, RIG_DATA, 10, RIG_WRITE, 0);
    rig_offer(r, 0, 0);
    rig_desc(r, rig_queue(0), 1, RIG_DATA + 0x1000, 100000, RIG_WRITE, 0);
    rig_offer(r, 0, 1);
    rig_kick(r, 0);
    CHECK_EQ(b, rig_used(r, 0), 2);
    CHECK_EQ(b, rig_used_len(r, 0, 0), 10);
    CHECK_EQ(b, rig_ld(r, RIG_DATA, 8), 0x0101010101010101);
    CHECK_EQ(b, rig_ld(r, RIG_DATA + 10, 8), 0);
    CHECK(b, rig_used_len(r, 0, 1) <= 1024 && rig_used_len(r, 0, 1) > 0);
}

/* A device in the middle of its work, saved and restored into another. */
static void test_saved(struct test *t)
{
    struct virtio_rig *r = &t->r;
    struct bench *b = &r->b;
    static struct virtio_blk other;
    blk_fresh(t, MODERN | FLUSH);
    bench_step(b, 1000); /* the turn that every start brings */
    t->blk.v.wires.latency_ns = 5000;
    blk_request(t, 0, 4, 0, 0);
    rig_reg(r, RIG_NOTIFY, 0);
    virtio_blk_init(&other, &r->wires, &t->disk.b, "other");
    CHECK(b, bench_copy(b, &virtio_ops, &t->blk.v, &other.v));
    CHECK(b, bench_copy(b, &virtq_ops, &t->blk.v.queues[0], &other.v.queues[0]));
    rig_reg(r, RIG_STATUS, 0);
    t->blk.v.wires.latency_ns = 0;
    CHECK_EQ(b, other.v.turn.deadline_ns, b->now + 5000);
    bench_step(b, 6000);
    CHECK_EQ(b, rig_used(r, 0), 1);
    other.v.queues[0].size = 48; /* no size of a queue */
    CHECK(b, !virtq_ops.after_restore(&other.v.queues[0]));
}

int main(void)
{
    static struct test t;
    rig_init(&t.r);
    t.disk.b = (struct block){.ops = &fake_ops, .size = DISK};
    virtio_blk_init(&t.blk, &t.r.wires, &t.disk.b, "disk0");
    rig_start(&t.r, &t.blk.v, MODERN | FLUSH | INDIRECT | BIT(40), 1, 64);
    test_registers(&t);
    test_blk(&t);
    test_flight(&t);
    test_indirect(&t);
    test_event_index(&t);
    test_breaches(&t);
    test_saved(&t);
    test_net(&t.r);
    test_rng(&t.r);
    virtio_blk_destroy(&t.blk);
    mem_destroy(&t.r.mem);
    return bench_end(&t.r.b);
}
