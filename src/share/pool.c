#include "share/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "share/wire.h"

/* Frames of one bucket; 16 at most on average. Contents whose hashes fall into one bucket can be made: looking for them must not take ever longer. */
#define CHAIN_MAX 64u

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

static enum status failed(struct pool *p, struct error *e, const char *what)
{
    p->error = errno;
    return error_errno(e, "%s", what);
}

static enum status make_memory(struct pool *p, struct error *e)
{
    u64 bytes = (u64)p->frames << PAGE_SHIFT;
    p->fd = memfd_create("trine-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (p->fd < 0 || ftruncate(p->fd, (off_t)bytes) < 0)
        return failed(p, e, "shared pages");
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, p->fd, 0);
    if (base == MAP_FAILED)
        return failed(p, e, "shared pages");
    p->base = base;
    madvise(base, bytes, MADV_DONTDUMP);
    if (fcntl(p->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return failed(p, e, "shared pages: cannot be sealed");
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
    enum status s = p->hash && p->refs && p->next && p->bucket ? make_memory(p, e) : failed(p, e, "shared pages");
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
    *p = (struct pool){.fd = -1, .error = p->error};
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

static bool crowded(const struct pool *p, u32 at)
{
    u32 n = 0;
    for (; at && n < CHAIN_MAX; at = p->next[at - 1])
        n++;
    return n == CHAIN_MAX;
}

/* Memory for the next frame. A write to a page for which the host has none (vm.overcommit_memory 2, a hole) would end in SIGBUS. */
static bool take_memory(struct pool *p)
{
    p->error = 0;
    if (p->used == p->frames)
        p->error = ENOSPC;
    else if (fallocate(p->fd, 0, (off_t)((u64)p->used << PAGE_SHIFT), PAGE_SIZE) < 0)
        p->error = errno;
    return !p->error;
}

u32 pool_add(struct pool *p, u64 hash, const u8 *page)
{
    u32 frame, *bucket = bucket_of(p, hash);
    if (crowded(p, *bucket))
        return FRAME_UNKNOWN;
    if (p->free) {
        frame = p->free - 1;
        p->free = p->next[frame];
        p->error = 0;
    } else if (take_memory(p)) {
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

void pool_release(struct pool *p, u32 frame, u32 n)
{
    p->holders -= n;
    p->refs[frame] -= n;
    if (p->refs[frame])
        return;
    u32 *at = bucket_of(p, p->hash[frame]);
    while (*at != frame + 1)
        at = &p->next[*at - 1];
    *at = p->next[frame];
    p->next[frame] = p->free;
    p->free = frame + 1;
    p->live--;
}
