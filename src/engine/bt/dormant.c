/* Content checks. A write to code makes its blocks void, but often the bytes come back: a patch site has a few versions, a kernel's page gets the same
 * code again. So a block that is dropped for a write lies dormant: it keeps its place in its region, and a copy of the bytes that it was made of (what is
 * beside them in bt->origins, bt.h has it). It has no claim on memory: its granules are not marked, nobody looks at it when something is written. When its
 * address is looked up in its mode and not translated, the bytes that stand there are compared, all of them; if they are the same, it is a block as any
 * other again. What a translation depends on besides is in the mode.
 *
 * Where nothing differs but immediates that are copied into the translation (bt_point), the new ones are copied there: a JIT's constants. One that is used
 * otherwise too, for a flag or a length, makes all of the block's fixed.
 *
 * What a block was made of is kept only where a block at its address was dropped before: little code is ever written to.
 *
 * At most BT_DORMANT_KINDS of one address and mode; an evicted region takes its own. Nothing leads to a dormant block, the jump table neither: it is not among
 * its frame's blocks, which a flush of a page takes out (pages.c). */
#include <string.h>

#include "base/bits.h"
#include "engine/bt/emit.h"

static u32 *chain(struct bt *b, u64 gpa, u32 mode)
{
    return &b->dormant.hash[(bt_block_name(gpa, mode) * 0x9e3779b97f4a7c15ull >> 50) & (BT_DORMANT_HASH - 1)];
}

static bool named(const struct bt_block *t, u64 gpa, u32 mode)
{
    return t->gpa == gpa && t->mode == mode;
}

void bt_dormant_forget(struct bt *b, u32 n)
{
    struct bt_block *t = &b->blocks[n];
    u32 *p = chain(b, t->gpa, t->mode);
    while (*p != n)
        p = &b->blocks[*p].hash_next;
    *p = t->hash_next;
    t->dormant = false;
}

/* At whichever pages it was found: their addresses end as its own does. */
static void out_of_jumps(struct bt *b, const struct bt_block *t)
{
    const void *code = b->code + t->code;
    for (u64 rip = t->gpa & ~PAGE_MASK; rip < BT_JUMPS; rip += PAGE_SIZE)
        for (unsigned way = 0; way < 2; way++)
            if (bt_jump_entry(b, rip, way)->code == code)
                bt_jump_entry(b, rip, way)->key = 0;
}

/* The word and bit of the address. */
static u64 *rewritten(struct bt *b, u64 gpa, u64 *bit)
{
    u64 k = gpa * 0x9e3779b97f4a7c15ull >> 46 & (BT_REWRITTEN - 1);
    *bit = 1ull << (k & 63);
    return &b->dormant.rewritten[k / 64];
}

bool bt_dormant_wants(struct bt *b, u64 gpa)
{
    u64 bit;
    return *rewritten(b, gpa, &bit) & bit;
}

void bt_dormant_keep(struct bt *b, u32 n)
{
    struct bt_block *t = &b->blocks[n];
    u64 bit;
    *rewritten(b, t->gpa, &bit) |= bit;
    if (t->origin == BT_NO_ORIGIN)
        return;
    u32 *head = chain(b, t->gpa, t->mode), kinds = 0, oldest = 0;
    for (u32 k = *head; k; k = b->blocks[k].hash_next)
        if (named(&b->blocks[k], t->gpa, t->mode))
            kinds++, oldest = k;
    if (kinds == BT_DORMANT_KINDS)
        bt_dormant_forget(b, oldest);
    t->hash_next = *head;
    *head = n;
    t->dormant = true;
    out_of_jumps(b, t);
}

/* Reads the block's bytes as they are in memory now, the second page's from NEXT. */
static void fetch(const struct bt_block *t, const u8 *bytes, const u8 *next, u8 *now)
{
    u64 gpa, first = bt_block_span(t, 0, &gpa);
    memcpy(now, bytes, first);
    if (t->gpa2 != BT_NO_PAGE)
        memcpy(now + first, next, t->bytes - first);
}

static struct bt_point point(const struct bt *b, const struct bt_block *t, unsigned k)
{
    struct bt_point p;
    memcpy(&p, b->origins + t->origin + t->bytes + BT_HEAD + k * sizeof p, sizeof p);
    return p;
}

/* Is NOW what it was made of, but for immediates that can be exchanged? */
static bool differs_by_points(const struct bt *b, const struct bt_block *t, const u8 *now)
{
    u8 was[BT_ORIGIN];
    memcpy(was, b->origins + t->origin, t->bytes);
    for (unsigned k = 0; k < t->points; k++) {
        struct bt_point p = point(b, t, k);
        memcpy(was + p.guest, now + p.guest, p.bytes);
    }
    return t->points && memcmp(was, now, t->bytes) == 0;
}

static void revive(struct bt *b, u32 n, const u8 *now)
{
    struct bt_block *t = &b->blocks[n];
    u8 *origin = b->origins + t->origin;
    bt_dormant_forget(b, n);
    memcpy(b->write + t->code, origin + t->bytes, BT_HEAD);
    if (memcmp(origin, now, t->bytes)) {
        for (unsigned k = 0; k < t->points; k++) {
            struct bt_point p = point(b, t, k);
            memcpy(b->write + p.host, now + p.guest, p.bytes);
        }
        memcpy(origin, now, t->bytes);
        b->repatched++;
    }
    t->dead = false;
    bt_block_enter(b, n);
    b->patched = true;
    b->revived++;
}

u32 bt_dormant_find(struct bt *b, u64 gpa, u32 mode, const u8 *bytes, u64 rip)
{
    u8 now[BT_ORIGIN];
    struct place next = {.hva = NULL};
    u32 close = 0, n;
    for (n = *chain(b, gpa, mode); n && !(named(&b->blocks[n], gpa, mode) && b->blocks[n].gpa2 != BT_NO_PAGE);)
        n = b->blocks[n].hash_next;
    /* What stands here now may end before the page does: then the next one is not to be looked at, which would show in its entry's A bit. */
    if (n && bt_cut_off(b, bytes, (unsigned)(PAGE_SIZE - (gpa & ~PAGE_MASK))) &&
        !bt_next_page(b, rip, gpa, &next)) /* a safe point: nothing that was looked up before counts */
        return 0;
    for (n = *chain(b, gpa, mode); n; n = b->blocks[n].hash_next) {
        const struct bt_block *t = &b->blocks[n];
        if (!named(t, gpa, mode) || (t->gpa2 != BT_NO_PAGE && (!next.hva || (next.gpa & PAGE_MASK) != t->gpa2)))
            continue;
        fetch(t, bytes, next.hva, now);
        if (memcmp(b->origins + t->origin, now, t->bytes) == 0)
            break;
        if (!close && differs_by_points(b, t, now))
            close = n;
    }
    if (!n && (n = close))
        fetch(&b->blocks[n], bytes, next.hva, now);
    if (n)
        revive(b, n, now);
    return n;
}
