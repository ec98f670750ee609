/* A few random pages that the host has frames for are hidden from the process for a period; what has come back at its end was accessed. The part of them counts for all that is
 * resident. Three views of it, of which the largest counts, as in ESX: a slow average, a fast one, and the period under way, so that a guest that wakes is believed
 * at once and one that falls asleep is doubted for a while. */
#include "machine/working_set.h"

#include <stdlib.h>

#include "mem/sample.h"

#define PERIOD_NS (10 * 1000000000ull)
#define LEAST     16u   /* samples that say something */
#define TRIES     4096u /* most of a large guest may be holes */
#define ONE       65536u

static u64 random_next(struct working_set *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static int ascending(const void *a, const void *b)
{
    const u64 *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

bool working_set_has(const struct working_set *w, u64 gpa)
{
    return bsearch(&gpa, w->gpa, w->n, sizeof gpa, ascending);
}

static void begin(struct working_set *w, const struct mem *m, u64 now)
{
    u64 low = (m->low_size - MIB(1)) >> PAGE_SHIFT, pages = low + (m->high_size >> PAGE_SHIFT);
    w->n = w->back = 0;
    w->begun = now;
    for (unsigned tries = 0; tries < TRIES && w->n < WORKING_SET_SAMPLES; tries++) {
        u64 page = random_next(w) % pages, gpa = page < low ? MIB(1) + (page << PAGE_SHIFT) : MEM_HIGH_BASE + ((page - low) << PAGE_SHIFT);
        if (mem_sample_hide(m, gpa))
            w->gpa[w->n++] = gpa;
    }
    qsort(w->gpa, w->n, sizeof *w->gpa, ascending);
}

static void end(struct working_set *w)
{
    u32 part = w->n >= LEAST ? (u32)((u64)w->back * ONE / w->n) : ONE;
    w->slow = w->known ? (u32)(((u64)w->slow * 3 + part) / 4) : part;
    w->fast = w->known ? (w->fast + part) / 2 : part;
    w->known = true;
}

void working_set_look(struct working_set *w, const struct mem *m, u64 now)
{
    if (m->foreign.pagemap < 0 || m->low_size <= MIB(1))
        return;
    w->back = 0;
    for (u32 i = 0; i < w->n; i++)
        w->back += mem_sample_back(m, w->gpa[i]);
    if (w->begun && now - w->begun < PERIOD_NS)
        return;
    if (w->begun)
        end(w);
    else
        w->random = now | 1;
    begin(w, m, now);
}

u64 working_set_bytes(const struct working_set *w, u64 resident)
{
    if (!w->known)
        return resident;
    u32 now = w->n >= LEAST ? (u32)((u64)w->back * ONE / w->n) : 0, most = w->slow > w->fast ? w->slow : w->fast;
    return (u64)((u128)resident * (most > now ? most : now) / ONE);
}
