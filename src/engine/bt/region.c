/* The code cache is bounded: regions, each with its part of the code and of every table, are filled one after the other, and evicted as
 * a whole when there is no room. Nothing is measured in translated code. Instead, as in Johnson and Shasha's 2Q (VLDB 1994), what is evicted is
 * remembered for a while, by address and mode alone: a block that is translated again goes to the regions of those that came back, and what runs
 * once streams through a quarter of the cache beside them.
 *
 * A block's links lie in its region. What leads into a region when it is evicted is undone as for blocks that are dropped one by one
 * (cache.c), and its code is taken out of the jump table. */
#include <string.h>

#include "base/bits.h"
#include "engine/bt/bt.h"

static size_t code_share(const struct bt *b)
{
    return align_down(b->capacity / 16 * 9 / b->regions, 64);
}

static size_t cold_share(const struct bt *b)
{
    return align_down(b->capacity / 16 * 7 / b->regions, 64);
}

/* The first link of region R; number 0 is none. */
static u32 first_link(const struct bt *b, unsigned r)
{
    return r ? r * (BT_LINKS / b->regions) : 1;
}

static void forget_tags(struct bt *b, unsigned r)
{
    u32 first = first_link(b, r);
    memset(b->tags + first, 0, (b->region[r].links_n - first) * sizeof *b->tags);
}

/* Nothing is in region R. */
static void empty(struct bt *b, unsigned r)
{
    struct bt_region *x = &b->region[r];
    u32 n = b->regions;
    *x = (struct bt_region){.used = r ? r * code_share(b) : b->stubs_end,
                            .cold_used = BT_COLD_AT + r * cold_share(b),
                            .first = r ? r * (BT_BLOCKS / n) : 1, /* number 0 is none */
                            .links_n = first_link(b, r),
                            .sites_n = r ? r * (BT_SITES / n) : SITE_FIRST,
                            .maps_n = r * (BT_MAPS / n),
                            .origins_n = r * (BT_ORIGINS / n)};
    x->blocks_n = x->first;
}

static bool has_room(const struct bt *b, const struct bt_region *x)
{
    u32 r = (u32)(x - b->region) + 1, n = b->regions; /* where the next one begins */
    return r * code_share(b) - x->used >= BT_BLOCK_CODE && BT_COLD_AT + r * cold_share(b) - x->cold_used >= BT_BLOCK_CODE &&
           r * (BT_BLOCKS / n) - x->blocks_n >= 2 && r * (BT_LINKS / n) - x->links_n >= 4 * BT_BLOCK_MAX &&
           r * (BT_SITES / n) - x->sites_n >= 8 * BT_BLOCK_MAX && r * (BT_MAPS / n) - x->maps_n >= 2 * BT_BLOCK_MAX &&
           r * (BT_ORIGINS / n) - x->origins_n >= BT_ORIGIN_MOST;
}

const struct bt_region *bt_region_of(const struct bt *b, u64 off)
{
    u64 r = off / code_share(b);
    return r < b->regions && off >= b->stubs_end && off < b->region[r].used ? &b->region[r] : NULL;
}

u64 bt_region_bytes(const struct bt *b, bool in_pages)
{
    u64 sum = 0, unit = in_pages ? PAGE_SIZE : 1;
    for (unsigned r = 0; r < b->regions; r++)
        sum += align_up(b->region[r].used - r * code_share(b), unit) + align_up(b->region[r].cold_used - BT_COLD_AT - r * cold_share(b), unit);
    return sum;
}

void bt_region_forget_checks(struct bt *b)
{
    memset(b->jumps, 0, BT_JUMPS * sizeof *b->jumps);
    for (unsigned r = 0; r < b->regions; r++)
        forget_tags(b, r);
}

static u64 *memory_of(struct bt *b, u64 name)
{
    return &b->evicted_block[(name * 0x9e3779b97f4a7c15ull >> 40) & (BT_EVICTED - 1)];
}

static void out_of_jumps(struct bt *b, unsigned r)
{
    u64 base = (u64)(uintptr_t)b->code + r * code_share(b);
    for (u32 k = 0; k < BT_JUMPS; k++)
        if ((u64)(uintptr_t)b->jumps[k].code - base < code_share(b))
            b->jumps[k] = (struct bt_jump){0};
}

/* How many blocks went. */
static u32 evict(struct bt *b, unsigned r)
{
    struct bt_region *x = &b->region[r];
    u32 gone = 0;
    for (u32 n = x->first; n < x->blocks_n; n++) {
        const struct bt_block *t = &b->blocks[n];
        if (t->dormant)
            bt_dormant_forget(b, n);
        if (t->dead)
            continue;
        u64 name = bt_block_name(t->gpa, t->mode);
        *memory_of(b, name) = name;
        bt_block_drop(b, n);
        bt_frame_release(b, n);
        gone++;
    }
    forget_tags(b, r);
    out_of_jumps(b, r);
    empty(b, r);
    b->patched = true;
    return gone;
}

static void open(struct bt *b, unsigned r, enum bt_age age)
{
    b->region[r].open = true;
    b->region[r].kept = age == BT_KEPT;
    b->region[r].since = b->openings++;
    b->filling[age] = &b->region[r];
}

/* The region of these ages (a bit each) that was opened first, and is full. */
static unsigned oldest(const struct bt *b, unsigned ages)
{
    unsigned best = BT_REGIONS;
    for (unsigned r = 0; r < b->regions; r++) {
        const struct bt_region *x = &b->region[r];
        if (x->open && ages & 1u << x->kept && x != b->filling[BT_NEW] && x != b->filling[BT_KEPT] &&
            (best == BT_REGIONS || x->since < b->region[best].since))
            best = r;
    }
    return best;
}

/* A region for blocks of AGE, whose last one is full. Those that came back have three quarters, of four regions at the least: there is always
 * a full one to evict. */
static void next_region(struct bt *b, enum bt_age age)
{
    unsigned fresh = 0, quarter = b->regions / 4;
    b->filling[age] = NULL;
    for (unsigned r = 0; r < b->regions; r++) {
        if (!b->region[r].open) {
            open(b, r, age);
            return;
        }
        fresh += !b->region[r].kept;
    }
    unsigned ages = age == BT_KEPT ? 1 << BT_NEW | 1 << BT_KEPT : fresh >= quarter ? 1 << BT_NEW : 1 << BT_KEPT;
    unsigned r = oldest(b, ages);
    b->evicted += evict(b, r);
    b->evictions++;
    open(b, r, age);
}

void bt_region_make_room(struct bt *b, u64 gpa, u32 mode)
{
    u64 name = bt_block_name(gpa, mode), *remembered = memory_of(b, name);
    enum bt_age age = *remembered == name ? BT_KEPT : BT_NEW;
    if (age == BT_KEPT) {
        *remembered = 0;
        b->again++;
    }
    if (!b->filling[age] || !has_room(b, b->filling[age]))
        next_region(b, age);
    b->at = b->filling[age];
    if (UNLIKELY(b->at->used >= b->huge_end + BT_HUGE / 2 || b->at->cold_used >= b->huge_cold + BT_HUGE / 2))
        bt_arena_huge(b, b->at->used, b->at->cold_used);
}

void bt_region_init(struct bt *b, size_t capacity)
{
    bt_cache_flush(b);
    b->capacity = capacity;
    size_t n = capacity >> 20;
    b->regions = n < BT_REGIONS_LEAST ? BT_REGIONS_LEAST : n > BT_REGIONS ? BT_REGIONS : (unsigned)n;
    for (unsigned r = 0; r < b->regions; r++)
        empty(b, r);
    b->filling[BT_KEPT] = NULL;
    open(b, 0, BT_NEW);
    b->at = b->filling[BT_NEW];
}

void bt_cache_flush(struct bt *b)
{
    for (unsigned r = 0; r < b->regions; r++)
        if (b->region[r].open)
            evict(b, r);
    b->cache_flushes++;
}
