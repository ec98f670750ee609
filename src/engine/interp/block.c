#include "engine/interp/block.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"

static unsigned hash_block(u64 gpa, u32 mode)
{
    u64 h = (gpa ^ (u64)mode << 40) * 0x9e3779b97f4a7c15ull;
    return (unsigned)(h >> 50) & (BLOCK_HASH - 1);
}

static unsigned hash_frame(u64 gpa)
{
    return (unsigned)((gpa >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 52) & (FRAME_HASH - 1);
}

bool block_cache_init(struct block_cache *bc)
{
    memset(bc, 0, sizeof *bc);
    void *p = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    bc->arena = p;
    return true;
}

void block_cache_destroy(struct block_cache *bc)
{
    if (bc->arena)
        munmap(bc->arena, ARENA_BYTES);
    bc->arena = NULL;
}

void block_cache_flush(struct block_cache *bc)
{
    for (unsigned k = 0; k < BLOCK_HASH; k++)
        for (const struct block *b = bc->hash[k]; b; b = b->hash_next)
            bc->flushed++;
    memset(bc->hash, 0, sizeof bc->hash);
    memset(bc->frames, 0, sizeof bc->frames);
    memset(bc->jump, 0, sizeof bc->jump);
    bc->used = 0;
}

struct block *block_find(struct block_cache *bc, u64 gpa, u32 mode)
{
    struct block *b = bc->hash[hash_block(gpa, mode)];
    while (b && (b->gpa != gpa || b->mode != mode))
        b = b->hash_next;
    return b;
}

static size_t block_bytes(unsigned n)
{
    return align_up(sizeof(struct block), 32) + (n + 3) * sizeof(struct insn);
}

struct block *block_reserve(struct block_cache *bc, unsigned n)
{
    size_t need = block_bytes(n);
    if (need > ARENA_BYTES - bc->used)
        return NULL;
    struct block *b = (void *)(bc->arena + bc->used);
    memset(b, 0, sizeof *b);
    b->page2 = BLOCK_NO_PAGE;
    b->entry = (void *)((u8 *)b + align_up(sizeof *b, 32));
    return b;
}

static void frame_add(struct block_cache *bc, struct block *b, struct frame_ref *r, u64 frame)
{
    struct frame_ref **head = &bc->frames[hash_frame(frame)];
    *r = (struct frame_ref){.next = *head, .block = b, .frame = frame};
    *head = r;
}

static bool crosses(const struct block *b)
{
    return b->page2 != BLOCK_NO_PAGE && b->page2 != (b->gpa & PAGE_MASK);
}

/* The block's bytes in its first and in its SECOND frame; 0: none there. */
static u64 block_span(const struct block *b, bool second, u64 *gpa)
{
    u64 left = PAGE_SIZE - (b->gpa & ~PAGE_MASK), first = b->bytes < left ? b->bytes : left;
    *gpa = second ? b->page2 : b->gpa;
    return second ? b->bytes - first : first;
}

void block_commit(struct block_cache *bc, struct block *b, struct mem *m)
{
    u64 gpa, n;
    for (unsigned k = 0; k < 2; k++)
        if ((n = block_span(b, k, &gpa)))
            mem_code_mark(m, gpa, n);
    bc->used += block_bytes(b->count);
    bc->translated++;
    struct block **head = &bc->hash[hash_block(b->gpa, b->mode)];
    b->hash_next = *head;
    *head = b;
    frame_add(bc, b, &b->ref[0], b->gpa & PAGE_MASK);
    if (crosses(b))
        frame_add(bc, b, &b->ref[1], b->page2);
}

static void unhash(struct block_cache *bc, struct block *b)
{
    struct block **p = &bc->hash[hash_block(b->gpa, b->mode)];
    while (*p != b)
        p = &(*p)->hash_next;
    *p = b->hash_next;
}

static void unframe(struct block_cache *bc, struct frame_ref *r)
{
    struct frame_ref **p = &bc->frames[hash_frame(r->frame)];
    while (*p != r)
        p = &(*p)->next;
    *p = r->next;
}

/* Does the block decode a byte of [gpa, gpa + len)? */
static bool block_covers(const struct block *b, u64 gpa, u64 len)
{
    u64 at, n;
    bool covers = false;
    for (unsigned k = 0; k < 2; k++)
        covers |= (n = block_span(b, k, &at)) && ranges_overlap(at, n, gpa, len);
    return covers;
}

/* The marks of the block's bytes in this frame. */
static u64 block_marks(const struct block *b, u64 frame)
{
    u64 at, n, marks = 0;
    for (unsigned k = 0; k < 2; k++)
        if ((n = block_span(b, k, &at)) && (at & PAGE_MASK) == frame)
            marks |= mem_granules(at, n);
    return marks;
}

void block_drop(struct block_cache *bc, struct block *b, insn_fn stale)
{
    unhash(bc, b);
    unframe(bc, &b->ref[0]);
    if (crosses(b))
        unframe(bc, &b->ref[1]);
    for (unsigned k = 0; k < b->count + 2u; k++)
        b->entry[k].fn = stale;
    bc->flushed++;
}

u64 block_invalidate(struct block_cache *bc, u64 gpa, u64 len, insn_fn stale)
{
    u64 frame = gpa & PAGE_MASK, left = 0;
    struct frame_ref *next;
    for (struct frame_ref *r = bc->frames[hash_frame(frame)]; r; r = next) {
        /* A block that crosses may stand in this very list twice. */
        next = r->next;
        if (next && next->block == r->block)
            next = next->next;
        if (r->frame != frame)
            continue;
        if (block_covers(r->block, gpa, len))
            block_drop(bc, r->block, stale);
        else
            left |= block_marks(r->block, frame);
    }
    return left;
}
