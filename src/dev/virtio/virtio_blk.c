/* Block device (virtio 1.2, 5.2): read, write, flush, discard, write zeroes, identification; up to
 * VIRTIO_BLK_REQUESTS in flight, which may be done in any order. A request moves its data in pieces through a
 * buffer of our own, so that what it costs the host does not depend on the guest, and guest memory is written
 * under the big lock alone.
 *
 * A driver that has not negotiated FLUSH counts on every write being durable (5.2.6.2): then each write is
 * followed by a flush before it is done. Requests that are in flight when the driver resets the device end in
 * nothing. Not modelled: CONFIG_WCE, topology, secure erase, lifetime, zones. */
#include "dev/virtio/virtio_blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

/* Features. */
#define BLK_F_SEG_MAX  BIT(2)
#define BLK_F_RO       BIT(5)
#define BLK_F_BLK_SIZE BIT(6)
#define BLK_F_FLUSH    BIT(9)
#define BLK_F_DISCARD  BIT(13)
#define BLK_F_ZEROES   BIT(14)

enum {
    BLK_T_IN = 0,
    BLK_T_OUT = 1,
    BLK_T_FLUSH = 4,
    BLK_T_GET_ID = 8,
    BLK_T_DISCARD = 11,
    BLK_T_ZEROES = 13
};
enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

enum {
    SECTOR = 512,
    HEADER = 16,
    ID_LEN = 20,
    RANGE_LEN = 16, /* of a discard or write-zeroes: sector, number, flags */
    RANGE_UNMAP = 1,
    PIECE = 256 << 10,
    SEG_MAX = VIRTQ_MAX - 2,
    RANGE_SECTORS_MAX = 1 << 22,
    CONFIG_LEN = 60,
};

/* --- the end of a request */

static void request_free(struct blk_request *r)
{
    struct virtio_blk *b = r->blk;
    free(r->buf);
    r->buf = NULL;
    r->next_free = b->free;
    b->free = r;
    if (b->starved) {
        b->starved = false;
        virtio_again(&b->v, 0);
    }
}

/* STATUS goes into the last byte that the device may write; WRITTEN data bytes stand before it. */
static void request_end(struct blk_request *r, u8 status, u64 written)
{
    struct virtio_blk *b = r->blk;
    if (r->epoch == b->epoch) {
        (void)chain_write(&r->chain, b->v.wires.mem, r->chain.in_len - 1, &status, 1);
        virtio_push(&b->v, 0, r->chain.head, (u32)written + 1);
        virtio_flush(&b->v, 0);
    }
    request_free(r);
}

static u8 status_of(int error)
{
    return error == 0 ? BLK_S_OK : error == ENOTSUP ? BLK_S_UNSUPP : BLK_S_IOERR;
}

static void simple_done(struct block_request *io)
{
    struct blk_request *r = io->opaque;
    request_end(r, status_of(io->error), 0);
}

static void flush_submit(struct blk_request *r)
{
    r->io.op = BLOCK_FLUSH;
    r->io.off = r->io.len = 0;
    r->io.done = simple_done;
    block_submit(r->blk->disk, &r->io);
}

/* --- reads and writes, piece by piece */

/* A piece is done. True: there is another to submit. */
static bool data_step(struct blk_request *r)
{
    struct virtio_blk *b = r->blk;
    struct block_request *io = &r->io;
    if (io->error || r->epoch != b->epoch) {
        request_end(r, status_of(io->error), 0);
        return false;
    }
    if (io->op == BLOCK_READ)
        (void)chain_write(&r->chain, b->v.wires.mem, r->at, r->buf, io->len);
    r->at += io->len;
    if (r->at < r->end)
        return true;
    if (io->op == BLOCK_WRITE && !virtio_has(&b->v, BLK_F_FLUSH))
        flush_submit(r);
    else
        request_end(r, BLK_S_OK, io->op == BLOCK_READ ? r->end : 0);
    return false;
}

static void data_pump(struct blk_request *r);

static void data_done(struct block_request *io)
{
    struct blk_request *r = io->opaque;
    r->done = true;
    if (!r->submitting && data_step(r))
        data_pump(r);
}

/* A back end may be done inside submit (virtual time): then the loop here goes on, and nothing nests. */
static void data_pump(struct blk_request *r)
{
    struct virtio_blk *b = r->blk;
    do {
        u64 n = r->end - r->at < PIECE ? r->end - r->at : PIECE;
        r->io.off = r->disk + r->at;
        r->io.len = n;
        r->io.data = r->buf;
        r->io.done = data_done;
        if (r->io.op == BLOCK_WRITE &&
            chain_read(&r->chain, b->v.wires.mem, HEADER + r->at, r->buf, n) != n) {
            request_end(r, BLK_S_IOERR, 0);
            return;
        }
        r->done = false;
        r->submitting = true;
        block_submit(b->disk, &r->io);
        r->submitting = false;
    } while (r->done && data_step(r));
}

static void data_start(struct blk_request *r, u64 sector, bool write)
{
    struct virtio_blk *b = r->blk;
    r->end = write ? r->chain.out_len - HEADER : r->chain.in_len - 1;
    r->at = 0;
    r->disk = sector * SECTOR;
    r->io.op = write ? BLOCK_WRITE : BLOCK_READ;
    if (r->end % SECTOR || sector > b->disk->size / SECTOR || !range_ok(r->disk, r->end, b->disk->size) ||
        (write && b->disk->readonly)) {
        request_end(r, BLK_S_IOERR, 0);
        return;
    }
    if (!r->end) {
        request_end(r, BLK_S_OK, 0);
        return;
    }
    r->buf = malloc(r->end < PIECE ? r->end : PIECE);
    if (r->buf)
        data_pump(r);
    else
        request_end(r, BLK_S_IOERR, 0);
}

/* --- the others */

static void range_start(struct blk_request *r, bool zeroes)
{
    struct virtio_blk *b = r->blk;
    u8 range[RANGE_LEN];
    if (r->chain.out_len != HEADER + RANGE_LEN ||
        chain_read(&r->chain, b->v.wires.mem, HEADER, range, RANGE_LEN) != RANGE_LEN) {
        request_end(r, BLK_S_UNSUPP, 0); /* one range at a time was offered */
        return;
    }
    u64 sector = ld64(range), sectors = ld32(range + 8);
    u32 flags = ld32(range + 12);
    if (flags & ~(zeroes ? (u32)RANGE_UNMAP : 0)) {
        request_end(r, BLK_S_UNSUPP, 0);
        return;
    }
    if (b->disk->readonly || sectors > RANGE_SECTORS_MAX ||
        !range_ok(sector, sectors, b->disk->size / SECTOR)) {
        request_end(r, BLK_S_IOERR, 0);
        return;
    }
    r->io.op = zeroes ? BLOCK_ZERO : BLOCK_DISCARD;
    r->io.unmap = flags & RANGE_UNMAP;
    r->io.off = sector * SECTOR;
    r->io.len = sectors * SECTOR;
    r->io.done = simple_done;
    block_submit(b->disk, &r->io);
}

static void id_start(struct blk_request *r)
{
    struct virtio_blk *b = r->blk;
    u64 room = r->chain.in_len - 1, n = room < ID_LEN ? room : ID_LEN;
    request_end(r, BLK_S_OK, chain_write(&r->chain, b->v.wires.mem, 0, b->serial, n));
}

static void request_start(struct blk_request *r)
{
    struct virtio_blk *b = r->blk;
    u8 header[HEADER];
    if (r->chain.out_len < HEADER || !r->chain.in_len ||
        chain_read(&r->chain, b->v.wires.mem, 0, header, HEADER) != HEADER) {
        virtio_break(&b->v, "a request without its header or status");
        request_free(r);
        return;
    }
    u64 sector = ld64(header + 8);
    switch (ld32(header)) {
    case BLK_T_IN: data_start(r, sector, false); break;
    case BLK_T_OUT: data_start(r, sector, true); break;
    case BLK_T_FLUSH: flush_submit(r); break;
    case BLK_T_GET_ID: id_start(r); break;
    case BLK_T_DISCARD: range_start(r, false); break;
    case BLK_T_ZEROES: range_start(r, true); break;
    default: request_end(r, BLK_S_UNSUPP, 0); break;
    }
}

/* Under virtual time one request each turn, so that each has its latency; else as many as are free. */
static bool blk_serve(struct virtio *v, unsigned n)
{
    struct virtio_blk *b = (struct virtio_blk *)v;
    unsigned turn = v->wires.latency_ns ? 1 : VIRTIO_BLK_REQUESTS;
    for (unsigned i = 0; i < turn; i++) {
        struct blk_request *r = b->free;
        if (!r) {
            b->starved = true;
            return false;
        }
        if (!virtio_pop(v, n, &r->chain))
            return false;
        b->free = r->next_free;
        r->epoch = b->epoch;
        request_start(r);
    }
    return true;
}

static void blk_stop(struct virtio *v)
{
    struct virtio_blk *b = (struct virtio_blk *)v;
    b->epoch++;
    b->starved = false;
}

static unsigned blk_config(const struct virtio *v, u8 config[VIRTIO_CONFIG_MAX])
{
    const struct virtio_blk *b = (const struct virtio_blk *)v;
    st64(config, b->disk->size / SECTOR);
    st32(config + 12, SEG_MAX);
    st32(config + 20, SECTOR);
    config[32] = 1;                       /* writeback */
    st32(config + 36, RANGE_SECTORS_MAX); /* discard: sectors, ranges, alignment */
    st32(config + 40, 1);
    st32(config + 44, 4096 / SECTOR);
    st32(config + 48, RANGE_SECTORS_MAX); /* write zeroes: sectors, ranges, may unmap */
    st32(config + 52, 1);
    config[56] = 1;
    return CONFIG_LEN;
}

void virtio_blk_init(struct virtio_blk *b, const struct virtio_wires *wires, struct block *disk,
                     const char *serial)
{
    *b = (struct virtio_blk){.type = {.name = "virtio-blk",
                                      .id = VIRTIO_BLK,
                                      .pci_class = 0x010000,
                                      .queues = 1,
                                      .features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH |
                                                  BLK_F_DISCARD | BLK_F_ZEROES |
                                                  (disk->readonly ? BLK_F_RO : 0),
                                      .serve = blk_serve,
                                      .config = blk_config,
                                      .stop = blk_stop},
                             .disk = disk};
    strncpy(b->serial, serial, sizeof b->serial - 1);
    for (unsigned i = 0; i < VIRTIO_BLK_REQUESTS; i++) {
        struct blk_request *r = &b->requests[i];
        *r = (struct blk_request){.blk = b, .io.opaque = r, .next_free = b->free};
        b->free = r;
    }
    virtio_init(&b->v, &b->type, wires);
}

void virtio_blk_destroy(struct virtio_blk *b)
{
    for (unsigned i = 0; i < VIRTIO_BLK_REQUESTS; i++)
        free(b->requests[i].buf);
}
