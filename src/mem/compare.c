/* Two machines' RAM side by side, without allocating what either has not touched. */
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "mem/mem.h"

/* The page at or behind AT that may hold data, or the end. */
static u64 data_at(const struct mem *m, u64 at)
{
    off_t found = at < m->span ? lseek(m->fd, (off_t)at, SEEK_DATA) : -1;
    return found < 0 || (u64)found > m->span ? m->span : (u64)found & PAGE_MASK;
}

static u64 hole_at(const struct mem *m, u64 at)
{
    off_t found = lseek(m->fd, (off_t)at, SEEK_HOLE);
    return found < 0 || (u64)found > m->span ? m->span : (u64)found & PAGE_MASK;
}

/* AT is inside data of A (and of B, if BOTH): the first page in [at, end) that differs, or END. */
static u64 first_difference(const struct mem *a, const struct mem *b, bool both, u64 at, u64 end)
{
    for (; at < end; at += PAGE_SIZE)
        if (both ? memcmp(a->base + at, b->base + at, PAGE_SIZE) != 0 : !bytes_are_zero(a->base + at, PAGE_SIZE))
            return at;
    return end;
}

bool mem_compare(const struct mem *a, const struct mem *b, u64 *gpa)
{
    u64 at = *gpa & PAGE_MASK;
    while (at < a->span && a->span == b->span) {
        u64 da = data_at(a, at), db = data_at(b, at), from = da < db ? da : db, end, found;
        if (from == a->span)
            break;
        if (da == db) {
            u64 ha = hole_at(a, da), hb = hole_at(b, db);
            end = ha < hb ? ha : hb;
        } else {
            u64 hole = hole_at(da < db ? a : b, from), next = da < db ? db : da;
            end = hole < next ? hole : next;
        }
        if (end <= from)
            end = from + PAGE_SIZE; /* another thread's doing: cannot happen while both machines stand */
        found = first_difference(da <= db ? a : b, da <= db ? b : a, da == db, from, end);
        if (found < end) {
            *gpa = found;
            return false;
        }
        at = end;
    }
    return true;
}
