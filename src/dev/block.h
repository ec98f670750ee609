/* A disk as a controller sees it. The host's side implements it (host/block.h); all calls run under the VM's
 * big lock. */
#ifndef DEV_BLOCK_H
#define DEV_BLOCK_H

#include "base/types.h"

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_ZERO };

struct block_request {
    enum block_op op;
    u64 off, len; /* bytes, inside the disk; for BLOCK_FLUSH 0 */
    u8 *data;     /* READ, WRITE: stays valid until done */
    bool unmap;   /* ZERO: the place may be given back */
    int error;    /* an errno value, 0: it worked */
    /* Under the big lock, on the loop's thread or inside submit. May submit again. */
    void (*done)(struct block_request *r);
    void *opaque;
    struct block_request *next; /* these are the back end's */
    void *owner;
    u64 progress;
};

struct block;

struct block_ops {
    /* Never waits, but under virtual time, where the vCPU waits for the host. A flush covers every write that
     * was done before it was submitted; when it is done without an error, they are on the host's disk. */
    void (*submit)(struct block *b, struct block_request *r);
};

struct block {
    const struct block_ops *ops;
    u64 size; /* bytes, a multiple of 512 */
    bool readonly;
};

static inline void block_submit(struct block *b, struct block_request *r)
{
    b->ops->submit(b, r);
}

static inline void block_done_nothing(struct block_request *r)
{
    (void)r;
}

/* One request to a disk that does them inside submit; an errno value, 0: it worked. */
static inline int block_at_once(struct block *b, enum block_op op, u64 off, u64 len, u8 *data)
{
    struct block_request r = {.op = op, .off = off, .len = len, .data = data, .done = block_done_nothing};
    block_submit(b, &r);
    return r.error;
}

#endif
