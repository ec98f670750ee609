/* What looks at all of RAM without allocating it: the holes of the memfd are found by SEEK_DATA, the rest is
 * read by pread. */
#include <stdlib.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/le.h"
#include "mem/foreign.h"
#include "mem/mem.h"

u64 mem_resident(const struct mem *m)
{
    return mem_use(m).resident;
}

static u64 mix(u64 h, u64 v)
{
    h ^= v;
    h *= 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

/* A page of zeros leaves H alone, so that a hole and a page that was written with zeros are alike. */
static u64 digest_page(u64 h, u64 gpa, const u8 *page)
{
    u64 lanes[4] = {1, 2, 3, 4}, any = 0;
    for (unsigned i = 0; i < PAGE_SIZE; i += 32)
        for (unsigned k = 0; k < 4; k++) {
            u64 v = ld64(page + i + 8 * k);
            any |= v;
            lanes[k] = mix(lanes[k], v);
        }
    if (!any)
        return h;
    h = mix(h, gpa);
    for (unsigned k = 0; k < 4; k++)
        h = mix(h, lanes[k]);
    return h;
}

/* The first page at or behind AT that shows the pool, or the end. */
static u64 next_foreign(const struct mem *m, u64 at)
{
    if (!atomic_load_explicit(&m->foreign.pages, memory_order_relaxed))
        return m->span;
    for (at = mem_foreign_next(m, at & PAGE_MASK); at < m->span && !mem_foreign_at(m, at); at = mem_foreign_next(m, at + PAGE_SIZE))
        ;
    return at < m->span ? at : m->span;
}

bool mem_data(const struct mem *m, u64 *at, u64 *end, bool *foreign)
{
    off_t own = *at < m->span ? lseek(m->fd, (off_t)*at, SEEK_DATA) : -1;
    u64 from = own < 0 || (u64)own > m->span ? m->span : (u64)own, pool = next_foreign(m, *at);
    *foreign = pool <= from && pool < m->span;
    if (*foreign) {
        for (*at = *end = pool; *end < m->span && mem_foreign_at(m, *end); *end += PAGE_SIZE)
            ;
        return true;
    }
    off_t hole = from < m->span ? lseek(m->fd, (off_t)from, SEEK_HOLE) : -1;
    if (hole <= (off_t)from)
        return false;
    *at = from;
    *end = (u64)hole < pool ? (u64)hole : pool;
    return true;
}

u64 mem_digest(const struct mem *m, u64 seed)
{
    enum { CHUNK = 64 * 4096 };
    u8 *buf = malloc(CHUNK);
    u64 h = mix(seed, m->size), at = 0, end;
    bool foreign;
    for (; buf && mem_data(m, &at, &end, &foreign); at = end)
        for (u64 o = at, n; o < end; o += n) {
            n = end - o < CHUNK ? end - o : CHUNK;
            if (!foreign && pread(m->fd, buf, n, (off_t)o) != (ssize_t)n)
                break;
            for (u64 k = 0; k + PAGE_SIZE <= n; k += PAGE_SIZE)
                h = digest_page(h, o + k, foreign ? m->base + o + k : buf + k);
        }
    free(buf);
    return h;
}
