/* Translations by (gpa, mode), the links between them, and what happens when their bytes change. A dropped
 * block's code stays where it is until its region is evicted, for it may be running; nothing leads to it
 * any more, unless its bytes come back (dormant.c).
 *
 * Several vCPUs have a cache each. Another one's thread may drop blocks here, at this one's safe points alone
 * (engine/engine.h); then this one serializes before it enters the cache again. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "engine/bt/emit.h"

static u32 hash_frame(u64 gpa)
{
    return (u32)((gpa >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 50) & (BT_FRAME_HASH - 1);
}

/* Block N, 0 for none, becomes the first of list K. */
static void hash_head(struct bt *b, u32 k, u32 n)
{
    const struct bt_block *t = &b->blocks[n];
    b->hash[k].name = n ? bt_block_name(t->gpa, t->mode) : 0;
    b->hash[k].n = n;
    b->hash[k].code = n ? t->code : 0;
}

u32 *bt_frame_list(struct bt *b, u64 gpa)
{
    return &b->frames[hash_frame(gpa)];
}

u64 bt_block_span(const struct bt_block *t, unsigned which, u64 *gpa)
{
    u64 left = PAGE_SIZE - (t->gpa & ~PAGE_MASK), first = t->bytes < left ? t->bytes : left;
    *gpa = which ? t->gpa2 : t->gpa;
    return which ? t->bytes - first : first;
}

static void frame_enter(struct bt *b, u32 n, unsigned which)
{
    struct bt_block *t = &b->blocks[n];
    u64 frame = bt_frame_of(t, which);
    u32 *head = bt_frame_list(b, frame);
    u64 gpa, bytes = bt_block_span(t, which, &gpa);
    mem_code_mark(b->cpu->wires.mem, gpa, bytes); /* before it may be dropped */
    t->frame_next[which] = *head;
    *head = 2 * n + which;
    frame_mark_code(b->cpu, frame, FRAME_TRANSLATED);
}

static void frame_leave(struct bt *b, u32 n, unsigned which)
{
    u32 *p = bt_frame_list(b, bt_frame_of(&b->blocks[n], which));
    while (*p != 2 * n + which)
        p = &b->blocks[*p / 2].frame_next[*p & 1];
    *p = b->blocks[n].frame_next[which];
}

static void perf_map_line(const struct bt *b, const struct bt_block *t)
{
    const char *ring = t->mode & BT_MODE_USER ? "u" : "k";
    fprintf(b->perf_map, "%" PRIxPTR " %x trine:%" PRIx64 "%s\n", (uintptr_t)(b->code + t->code), t->code_len, t->gpa, ring);
    fprintf(b->perf_map, "%" PRIxPTR " %x trine:%" PRIx64 "%s cold\n", (uintptr_t)(b->code + t->cold), t->cold_len, t->gpa,
            ring);
}

void bt_block_enter(struct bt *b, u32 n)
{
    struct bt_block *t = &b->blocks[n];
    u32 k = bt_block_hash(bt_block_name(t->gpa, t->mode));
    t->hash_next = b->hash[k].n;
    hash_head(b, k, n);
    frame_enter(b, n, 0);
    if (t->gpa2 != BT_NO_PAGE)
        frame_enter(b, n, 1);
}

void bt_block_commit(struct bt *b, u32 n)
{
    bt_block_enter(b, n);
    b->translated++;
    if (UNLIKELY(b->perf_map))
        perf_map_line(b, &b->blocks[n]);
}

/* With other vCPUs, which may have translated the same frames, the flags stay until somebody writes there. */
void bt_frame_release(struct bt *b, u32 n)
{
    if (b->cpu->company != CPU_ALONE)
        return;
    for (unsigned k = 0; k < (b->blocks[n].gpa2 != BT_NO_PAGE ? 2 : 1); k++) {
        u64 frame = bt_frame_of(&b->blocks[n], k);
        u32 ref = b->frames[hash_frame(frame)];
        while (ref && bt_frame_of(&b->blocks[ref / 2], ref & 1) != frame)
            ref = b->blocks[ref / 2].frame_next[ref & 1];
        if (!ref)
            mem_frame_clear(b->cpu->wires.mem, frame, FRAME_TRANSLATED);
    }
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
void bt_serialize(void)
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
    const struct bt_block *t = &b->blocks[n];
    u32 k = bt_block_hash(bt_block_name(t->gpa, t->mode));
    if (b->hash[k].n == n) {
        hash_head(b, k, t->hash_next);
        return;
    }
    u32 *p = &b->blocks[b->hash[k].n].hash_next;
    while (*p != n)
        p = &b->blocks[*p].hash_next;
    *p = t->hash_next;
}

void bt_block_drop(struct bt *b, u32 n)
{
    struct bt_block *t = &b->blocks[n];
    unhash(b, n);
    frame_leave(b, n, 0);
    if (t->gpa2 != BT_NO_PAGE)
        frame_leave(b, n, 1);
    t->dead = true;
    for (u32 l = t->links_in, next; l; l = next) {
        next = b->links[l].next;
        b->tags[l] = 0;
        bt_link_set(b, l, 0);
    }
    for (u32 k = t->link_first; k < t->link_first + t->link_count; k++) {
        b->tags[k] = 0; /* a link that its tag lets through has gone to the other page already */
        bt_link_set(b, k, 0);
    }
    /* Who still finds it in the jump table leaves at its first instruction. */
    if (t->origin != BT_NO_ORIGIN)
        memcpy(b->origins + t->origin + t->bytes, b->write + t->code, BT_HEAD);
    b->write[t->code] = 0xe9;
    e_patch(b, t->code + 1, t->stale);
    b->patched = true;
    b->flushed++;
}

/* Does it translate a byte of [gpa, gpa + len)? Either part may: a page and the one behind it may be the same frame. */
static bool covers(const struct bt_block *t, u64 gpa, u64 len)
{
    u64 at, n = bt_block_span(t, 0, &at);
    bool first = ranges_overlap(at, n, gpa, len);
    if (first || t->gpa2 == BT_NO_PAGE)
        return first;
    n = bt_block_span(t, 1, &at);
    return ranges_overlap(at, n, gpa, len);
}

/* The marks of its bytes in this frame. */
static u64 marks_of(const struct bt_block *t, u64 frame)
{
    u64 at, n, marks = 0;
    for (unsigned k = 0; k < (t->gpa2 != BT_NO_PAGE ? 2 : 1); k++)
        if (n = bt_block_span(t, k, &at), (at & PAGE_MASK) == frame)
            marks |= mem_granules(at, n);
    return marks;
}

u64 bt_cache_invalidate(struct bt *b, u64 gpa, u64 len)
{
    u64 frame = gpa & PAGE_MASK, left = 0;
    u32 next;
    if (!mem_code_marked(b->cpu->wires.mem, gpa, len))
        return mem_code_marks(b->cpu->wires.mem, gpa);
    for (u32 ref = b->frames[hash_frame(gpa)]; ref; ref = next) {
        struct bt_block *t = &b->blocks[ref / 2];
        next = t->frame_next[ref & 1];
        if (next / 2 == ref / 2) /* one that crosses may stand here twice */
            next = t->frame_next[next & 1];
        if (bt_frame_of(t, ref & 1) != frame)
            continue;
        if (!covers(t, gpa, len)) {
            left |= marks_of(t, frame);
            continue;
        }
        bt_block_drop(b, ref / 2);
        bt_dormant_keep(b, ref / 2);
    }
    if (!left && b->cpu->company == CPU_ALONE)
        mem_frame_clear(b->cpu->wires.mem, frame, FRAME_TRANSLATED);
    return left;
}

u32 bt_block_at(const struct bt *b, u64 pc, u32 *index)
{
    u64 off = pc - (u64)(uintptr_t)b->code;
    const struct bt_region *r = bt_region_of(b, off);
    if (!r || r->blocks_n == r->first)
        return 0;
    u32 low = r->first, high = r->blocks_n; /* a region's blocks lie in the order of their numbers */
    while (high - low > 1) {
        u32 mid = low + (high - low) / 2;
        if (b->blocks[mid].code <= off)
            low = mid;
        else
            high = mid;
    }
    const struct bt_block *t = &b->blocks[low];
    if (off < t->code || off >= t->code + t->code_len)
        return 0;
    u32 k = 0;
    /* The last entry is that of an instruction executed alone behind the others, which may trap (trap.c), or the end. */
    while (k < t->count && b->maps[t->map + k + 1].host <= off - t->code)
        k++;
    *index = k;
    return low;
}
