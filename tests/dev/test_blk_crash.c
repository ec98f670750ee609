/* Data that was acknowledged after a flush is never lost. A driver writes records through the virtio block device and the host's
 * queue to a disk with a volatile cache; at a random moment the power goes: any subset of the writes that the disk had not yet
 * flushed is lost, each in whole or by sectors. Then every record that was acknowledged before a flush which was acknowledged
 * must be there, and a sector never holds anything that was not written to it.
 *
 * The same test with a queue that drops the flush must find losses: else it could not fail.
 *
 * usage: test_blk_crash [CUTS [SEED]] */
#include <poll.h>
#include <stdlib.h>

#include "dev/virtio/virtio_blk.h"
#include "host/block_image.h"
#include "virtio_rig.h"

enum { SECTORS = 256, SLOTS = 16, LOG = 1 << 12 };
#define FLUSH  BIT(9)
#define MODERN BIT(32)

/* A disk whose writes stay in its cache until a flush. */
struct cached_disk {
    struct image image;
    u32 durable[SECTORS]; /* version that survives */
    struct {
        u32 sector, version;
    } cache[LOG];
    unsigned cached;
    bool forgets; /* the planted fault: a flush does nothing */
};

struct crash {
    struct virtio_rig r;
    struct virtio_blk blk;
    struct cached_disk disk;
    struct host_block *host;
    u64 seed;
    u32 next_version;
    u32 written[SECTORS]; /* newest version sent to a sector */
    u32 acked[SECTORS];   /* newest version whose write was acknowledged */
    u32 promised[SECTORS]; /* newest version that a flush covers */
    struct {
        bool busy, flush;
        u32 sector, version;
        u32 covers[SECTORS]; /* flush: what was acknowledged when it was sent */
    } slot[SLOTS];
    u64 losses;
};

static u32 rnd(struct crash *c, u32 n)
{
    c->seed ^= c->seed << 13;
    c->seed ^= c->seed >> 7;
    c->seed ^= c->seed << 17;
    return (u32)(c->seed >> 20) % n;
}

static int disk_run(struct image *i, const struct block_request *r)
{
    struct cached_disk *d = (struct cached_disk *)i;
    if (r->op == BLOCK_WRITE) {
        d->cache[d->cached].sector = (u32)(r->off / 512);
        d->cache[d->cached++ % LOG].version = ld32(r->data);
    } else if (r->op == BLOCK_FLUSH && !d->forgets) {
        for (unsigned k = 0; k < d->cached; k++)
            d->durable[d->cache[k].sector] = d->cache[k].version;
        d->cached = 0;
    }
    return 0;
}

static void disk_close(struct image *i)
{
    (void)i;
}

static const struct image_ops disk_ops = {.run = disk_run, .close = disk_close};

/* --- the driver */

static void send(struct crash *c, unsigned s)
{
    struct virtio_rig *r = &c->r;
    u64 header = 0x80000 + 32 * s, data = RIG_DATA + 512 * s, q = rig_queue(0);
    u16 d = (u16)(3 * s);
    bool flush = rnd(c, 6) == 0;
    c->slot[s].busy = true;
    c->slot[s].flush = flush;
    rig_st(r, header, flush ? 4 : 1, 8);
    if (flush) {
        memcpy(c->slot[s].covers, c->acked, sizeof c->acked);
        rig_st(r, header + 8, 0, 8);
    } else {
        /* Two writes to one sector in flight may land in either order: a driver does not do that. */
        u32 sector;
        bool taken;
        do {
            taken = false;
            sector = rnd(c, SECTORS);
            for (unsigned k = 0; k < SLOTS; k++)
                taken |= k != s && c->slot[k].busy && !c->slot[k].flush && c->slot[k].sector == sector;
        } while (taken);
        c->slot[s].sector = sector;
        c->slot[s].version = ++c->next_version;
        c->written[sector] = c->next_version;
        rig_st(r, header + 8, sector, 8);
        rig_st(r, data, c->next_version, 4);
    }
    rig_desc(r, q, d, header, 16, RIG_NEXT, flush ? d + 2 : d + 1);
    rig_desc(r, q, d + 1u, data, 512, RIG_NEXT, d + 2);
    rig_desc(r, q, d + 2u, header + 16, 1, RIG_WRITE, 0);
    rig_offer(r, 0, d);
    rig_kick(r, 0);
}

static void collect(struct crash *c)
{
    struct virtio_rig *r = &c->r;
    struct pollfd p = {.fd = block_fd(c->host), .events = POLLIN};
    (void)poll(&p, 1, 5);
    block_serve(c->host);
    for (; r->seen[0] != rig_used(r, 0); r->seen[0]++) {
        unsigned s = rig_used_id(r, 0, r->seen[0]) / 3;
        CHECK(&r->b, s < SLOTS && c->slot[s].busy);
        CHECK_EQ(&r->b, rig_ld(r, 0x80000 + 32 * s + 16, 1), 0);
        c->slot[s].busy = false;
        if (!c->slot[s].flush)
            c->acked[c->slot[s].sector] = c->slot[s].version;
        for (unsigned k = 0; c->slot[s].flush && k < SECTORS; k++)
            if (c->slot[s].covers[k] > c->promised[k])
                c->promised[k] = c->slot[s].covers[k];
    }
}

/* The power goes: what is in the cache survives or not, each write for itself, in any order. */
static void cut(struct crash *c)
{
    struct cached_disk *d = &c->disk;
    for (unsigned k = 0; k < d->cached; k++)
        if (rnd(c, 2))
            d->durable[d->cache[k].sector] = d->cache[k].version;
    for (unsigned k = 0; k < SECTORS; k++) {
        c->losses += d->durable[k] < c->promised[k];
        if (d->durable[k] > c->written[k])
            c->r.b.failures++;
    }
}

static void one_life(struct crash *c, bool forgets)
{
    struct error e;
    memset(&c->disk, 0, sizeof c->disk);
    memset(c->written, 0, sizeof c->written);
    memset(c->acked, 0, sizeof c->acked);
    memset(c->promised, 0, sizeof c->promised);
    memset(c->slot, 0, sizeof c->slot);
    c->next_version = 0;
    c->disk.image = (struct image){.ops = &disk_ops, .size = SECTORS * 512, .fd = -1};
    c->disk.forgets = forgets;
    if (block_over(&c->host, &c->disk.image, &(struct block_config){.no_io_uring = true}, &e) != STATUS_OK) {
        printf("%s\n", e.text);
        c->r.b.failures++;
        return;
    }
    virtio_blk_init(&c->blk, &c->r.wires, block_disk(c->host), "crash");
    rig_start(&c->r, &c->blk.v, MODERN | FLUSH, 1, 64);
    for (unsigned steps = 20 + rnd(c, 200); steps; steps--) {
        unsigned s = rnd(c, SLOTS);
        if (!c->slot[s].busy)
            send(c, s);
        if (rnd(c, 3))
            collect(c);
    }
    /* No request may run any more while we look; what ends now is acknowledged to nobody. */
    rig_reg(&c->r, RIG_STATUS, 0);
    bool forgot = c->disk.forgets;
    c->disk.forgets = true;
    block_close(c->host);
    c->disk.forgets = forgot;
    cut(c);
    virtio_blk_destroy(&c->blk);
}

int main(int argc, char **argv)
{
    static struct crash c;
    unsigned cuts = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    c.seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 88172645463325252ull;
    rig_init(&c.r);
    for (unsigned i = 0; i < cuts; i++)
        one_life(&c, false);
    printf("%u cuts, %llu acknowledged sectors lost\n", cuts, (unsigned long long)c.losses);
    CHECK_EQ(&c.r.b, c.losses, 0);
    c.losses = 0;
    for (unsigned i = 0; i < cuts / 10 + 1; i++)
        one_life(&c, true);
    printf("without the flush: %llu lost\n", (unsigned long long)c.losses);
    CHECK(&c.r.b, c.losses > 0);
    mem_destroy(&c.r.mem);
    return bench_end(&c.r.b);
}
