#include "share/pool.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "share/wire.h"

/* Zeros that cost nothing until they are touched. */
static void *table(u64 bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void untable(void *p, u64 bytes)
{
    if (p)
        munmap(p, bytes);
}

static enum status make_memory(struct pool *p, struct error *e)
{
    u64 bytes = (u64)p->frames << PAGE_SHIFT;
    p->fd = memfd_create("trine-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (p->fd < 0 || ftruncate(p->fd, (off_t)bytes) < 0)
        return error_errno(e, "shared pages");
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, p->fd, 0);
    if (base == MAP_FAILED)
        return error_errno(e, "shared pages");
    p->base = base;
    madvise(base, bytes, MADV_DONTDUMP);
    if (fcntl(p->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return error_errno(e, "shared pages: cannot be sealed");
    return STATUS_OK;
}

enum status pool_init(struct pool *p, u32 frames, struct error *e)
{
    *p = (struct pool){.fd = -1, .frames = frames, .buckets = 256};
    if (!frames || frames > FRAMES_MAX)
        return error_set(e, STATUS_USAGE, "shared pages: no such size of a pool");
    while (p->buckets < frames / 16) /* few, so that what is touched of them is */
        p->buckets *= 2;
    p->hash = table((u64)frames * sizeof *p->hash);
    p->refs = table((u64)frames * sizeof *p->refs);
    p->next = table((u64)frames * sizeof *p->next);
    p->bucket = table((u64)p->buckets * sizeof *p->bucket);
    enum status s = p->hash && p->refs && p->next && p->bucket ? make_memory(p, e)
                                                               : error_set(e, STATUS_HOST, "shared pages: out of memory");
    if (s != STATUS_OK)
        pool_destroy(p);
    return s;
}

void pool_destroy(struct pool *p)
{
    untable(p->hash, (u64)p->frames * sizeof *p->hash);
    untable(p->refs, (u64)p->frames * sizeof *p->refs);
    untable(p->next, (u64)p->frames * sizeof *p->next);
    untable(p->bucket, (u64)p->buckets * sizeof *p->bucket);
    untable(p->base, (u64)p->frames << PAGE_SHIFT);
    if (p->fd >= 0)
        close(p->fd);
    *p = (struct pool){.fd = -1};
}

static u32 *bucket_of(const struct pool *p, u64 hash)
{
    return &p->bucket[hash & (p->buckets - 1)];
}

static u8 *frame_at(const struct pool *p, u32 frame)
{
    return p->base + ((u64)frame << PAGE_SHIFT);
}

u32 pool_find(const struct pool *p, u64 hash, const u8 *page)
{
    for (u32 at = *bucket_of(p, hash); at; at = p->next[at - 1])
        if (p->hash[at - 1] == hash && (!page || !memcmp(frame_at(p, at - 1), page, PAGE_SIZE)))
            return at - 1;
    return FRAME_UNKNOWN;
}

u32 pool_add(struct pool *p, u64 hash, const u8 *page)
{
    u32 frame, *bucket = bucket_of(p, hash);
    if (p->free) {
        frame = p->free - 1;
        p->free = p->next[frame];
    } else if (p->used < p->frames) {
        frame = p->used++;
    } else {
        return FRAME_UNKNOWN;
    }
    memcpy(frame_at(p, frame), page, PAGE_SIZE);
    p->hash[frame] = hash;
    p->refs[frame] = 1;
    p->next[frame] = *bucket;
    *bucket = frame + 1;
    p->live++;
    p->holders++;
    return frame;
}

void pool_hold(struct pool *p, u32 frame)
{
    p->refs[frame]++;
    p->holders++;
}

void pool_release(struct pool *p, u32 frame)
{
    p->holders--;
    if (--p->refs[frame])
        return;
    u32 *at = bucket_of(p, p->hash[frame]);
    while (*at != frame + 1)
        at = &p->next[*at - 1];
    *at = p->next[frame];
    p->next[frame] = p->free;
    p->free = frame + 1;
    p->live--;
}
