/* The group's pages: frames in one sealed memfd that only the broker can write to, found by the hash of their contents, counted by holders.
 *
 * F_SEAL_FUTURE_WRITE refuses every new writable shared mapping and every write, through any descriptor; the broker's own mapping is older.
 * It refuses punching holes too, so a frame that nobody holds is kept for the next page: the pool is as large as it ever was, until
 * the last member leaves and it goes as a whole. */
#ifndef SHARE_POOL_H
#define SHARE_POOL_H

#include "base/error.h"
#include "base/types.h"

struct pool {
    int fd; /* memfd; -1: none */
    u8 *base;
    u32 frames;  /* room */
    u32 used;    /* frames below this were taken at some time */
    u32 live;    /* frames with holders */
    u64 holders; /* of all frames together */
    u64 *hash;   /* by frame */
    u32 *refs;
    u32 *next;   /* frame + 1 behind this one in its bucket, or in the free list; 0: none */
    u32 *bucket; /* frame + 1; 0: none */
    u32 buckets; /* a power of two */
    u32 free;    /* frame + 1 */
    int error;   /* errno of what failed last; 0: it did not */
};

enum status pool_init(struct pool *p, u32 frames, struct error *e);
void pool_destroy(struct pool *p);
/* A frame with these contents (PAGE null: with this hash), or FRAME_UNKNOWN. */
u32 pool_find(const struct pool *p, u64 hash, const u8 *page);
/* A frame that takes the contents and has one holder; FRAME_UNKNOWN: no room (`error` says why), or CHAIN_MAX of one bucket already. */
u32 pool_add(struct pool *p, u64 hash, const u8 *page);
void pool_hold(struct pool *p, u32 frame);
/* N of the frame's holders are less. */
void pool_release(struct pool *p, u32 frame, u32 n);

#endif
