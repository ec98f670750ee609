/* Translations by (gpa, mode), the links between them, and what happens when their bytes change. A dropped
 * block's code stays where it is until the whole cache is flushed, for it may be running; nothing leads to it
 * any more. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "engine/bt/emit.h"

static u32 hash_block(u64 gpa, u32 mode)
{
    return (u32)((gpa ^ (u64)mode << 44) * 0x9e3779b97f4a7c15ull >> 48) & (BT_HASH - 1);
}

static u32 hash_frame(u64 gpa)
{
    return (u32)((gpa >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 50) & (BT_FRAME_HASH - 1);
}

u32 bt_block_find(const struct bt *b, u64 gpa, u32 mode)
{
    u32 n = b->hash[hash_block(gpa, mode)];
    while (n && (b->blocks[n].gpa != gpa || b->blocks[n].mode != mode))
        n = b->blocks[n].hash_next;
    return n;
}

void bt_cache_flush(struct bt *b)
{
    struct mem *m = b->cpu->wires.mem;
    for (u32 n = 1; n < b->blocks_n; n++)
        mem_frame_clear(m, b->blocks[n].gpa, FRAME_TRANSLATED);
    b->cache_flushes++;
    b->flushed += b->blocks_n > 1 ? b->blocks_n - 1 : 0;
    memset(b->hash, 0, sizeof b->hash);
    memset(b->frames, 0, sizeof b->frames);
    memset(b->jumps, 0, BT_JUMPS * sizeof *b->jumps);
    memset(b->tags, 0, b->links_n * sizeof *b->tags);
    b->blocks_n = b->links_n = 1;
    b->sites_n = SITE_FIRST;
    b->maps_n = 0;
    b->used = b->stubs_end;
    b->cold_used = BT_COLD_AT;
}

void bt_cache_make_room(struct bt *b)
{
    if (BT_COLD_AT - b->used < BT_BLOCK_CODE || BT_CODE_BYTES - b->cold_used < BT_BLOCK_CODE || BT_BLOCKS - b->blocks_n < 2 ||
        BT_LINKS - b->links_n < 4 || BT_SITES - b->sites_n < 4 * BT_BLOCK_MAX ||
        BT_MAPS - b->maps_n < 2 * BT_BLOCK_MAX)
        bt_cache_flush(b);
}

static void perf_map_line(const struct bt *b, const struct bt_block *t)
{
    const char *ring = t->mode & BT_MODE_USER ? "u" : "k";
    fprintf(b->perf_map, "%" PRIxPTR " %x trine:%" PRIx64 "%s\n", (uintptr_t)(b->code + t->code), t->code_len, t->gpa, ring);
    fprintf(b->perf_map, "%" PRIxPTR " %x trine:%" PRIx64 "%s cold\n", (uintptr_t)(b->code + t->cold), t->cold_len, t->gpa,
            ring);
}

void bt_block_commit(struct bt *b, u32 n)
{
    struct bt_block *t = &b->blocks[n];
    u32 *head = &b->hash[hash_block(t->gpa, t->mode)];
    t->hash_next = *head;
    *head = n;
    head = &b->frames[hash_frame(t->gpa)];
    t->frame_next = *head;
    *head = n;
    frame_mark_code(b->cpu, t->gpa, FRAME_TRANSLATED);
    b->translated++;
    if (UNLIKELY(b->perf_map))
        perf_map_line(b, t);
}

void bt_link_set(struct bt *b, u32 link, u32 to)
{
    struct bt_link *l = &b->links[link];
    if (l->to == to)
        return;
    if (l->to) { /* leaves the other list */
        u32 *p = &b->blocks[l->to].links_in;
        while (*p != link)
            p = &b->links[*p].next;
        *p = l->next;
    }
    l->to = to;
    if (to) {
        l->next = b->blocks[to].links_in;
        b->blocks[to].links_in = link;
    }
    e_patch(b, l->at, to ? b->blocks[to].code : l->stub);
}

/* Code was written through the other mapping: before it runs, the processor must be made to look (AMD APM
 * vol. 2, 7.6.1; SDM vol. 3, 9.1.3). IRETQ serializes, and is not intercepted where this host is a guest
 * itself, as CPUID is. */
static void serialize(void)
{
#if defined(__x86_64__)
    u64 a, b;
    __asm__ volatile("mov %%rsp, %1\n\tsub $128, %%rsp\n\tmov %%ss, %k0\n\tpush %0\n\tpush %1\n\tpushfq\n\t"
                     "mov %%cs, %k0\n\tpush %0\n\tlea 1f(%%rip), %0\n\tpush %0\n\tiretq\n1:"
                     : "=&r"(a), "=&r"(b)
                     :
                     : "memory", "cc");
#endif
}

static void unhash(struct bt *b, u32 n)
{
    u32 *p = &b->hash[hash_block(b->blocks[n].gpa, b->blocks[n].mode)];
    while (*p != n)
        p = &b->blocks[*p].hash_next;
    *p = b->blocks[n].hash_next;
}

static void block_drop(struct bt *b, u32 n)
{
    struct bt_block *t = &b->blocks[n];
    unhash(b, n);
    t->dead = true;
    for (u32 l = t->links_in, next; l; l = next) {
        next = b->links[l].next;
        b->tags[l] = 0;
        bt_link_set(b, l, 0);
    }
    for (u32 k = 0; k < t->link_count; k++)
        bt_link_set(b, t->link_first + k, 0);
    /* Who still finds it in the jump table leaves at its first instruction. */
    b->write[t->code] = 0xe9;
    e_patch(b, t->code + 1, t->stale);
    serialize();
    b->flushed++;
}

void bt_cache_invalidate(struct bt *b, u64 gpa, u64 len)
{
    u64 frame = gpa & PAGE_MASK;
    bool left = false;
    u32 *p = &b->frames[hash_frame(gpa)];
    while (*p) {
        u32 n = *p;
        struct bt_block *t = &b->blocks[n];
        if ((t->gpa & PAGE_MASK) != frame) {
            p = &t->frame_next;
        } else if (ranges_overlap(t->gpa, t->bytes, gpa, len)) {
            *p = t->frame_next;
            block_drop(b, n);
        } else {
            left = true;
            p = &t->frame_next;
        }
    }
    if (!left)
        mem_frame_clear(b->cpu->wires.mem, frame, FRAME_TRANSLATED);
}

u32 bt_block_at(const struct bt *b, u64 pc, u32 *index)
{
    u64 off = pc - (u64)(uintptr_t)b->code;
    if (off >= b->used || off < b->stubs_end)
        return 0;
    u32 low = 1, high = b->blocks_n; /* blocks lie in the order of their numbers */
    while (high - low > 1) {
        u32 mid = low + (high - low) / 2;
        if (b->blocks[mid].code <= off)
            low = mid;
        else
            high = mid;
    }
    const struct bt_block *t = &b->blocks[low];
    if (b->blocks_n < 2 || off < t->code || off >= t->code + t->code_len)
        return 0;
    u32 k = 0;
    while (k + 1 < t->count && t->code + b->maps[t->map + k + 1].host <= off)
        k++;
    *index = k;
    return low;
}
