/* The block device. See virtio_blk.c. */
#ifndef DEV_VIRTIO_VIRTIO_BLK_H
#define DEV_VIRTIO_VIRTIO_BLK_H

#include "dev/block.h"
#include "dev/virtio/virtio.h"

#define VIRTIO_BLK_REQUESTS 32 /* in flight */

struct virtio_blk;

struct blk_request {
    struct virtio_blk *blk;
    struct blk_request *next_free;
    u64 epoch; /* in which it was taken from the queue */
    struct block_request io;
    struct virtq_chain chain;
    u8 *buf;
    u64 at, end; /* READ, WRITE: what of the data is done, and how much there is */
    u64 disk;    /* where it begins on the disk */
    bool submitting, done;
};

struct virtio_blk {
    struct virtio v;
    struct virtio_type type;
    struct block *disk;
    char serial[21];
    u64 epoch; /* of the driver: a reset begins a new one */
    struct blk_request requests[VIRTIO_BLK_REQUESTS];
    struct blk_request *free;
    bool starved; /* a request waits in the queue for a free one */
};

void virtio_blk_init(struct virtio_blk *b, const struct virtio_wires *wires, struct block *disk,
                     const char *serial);
void virtio_blk_destroy(struct virtio_blk *b);

#endif
