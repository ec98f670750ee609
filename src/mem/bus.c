/* The register buses: finding a region, and cutting an access into pieces that its chip declared.
 * A piece is naturally aligned within its region, so that a chip never sees an access that straddles its
 * registers' words. */
#include "mem/bus.h"

#include <string.h>

#include "base/bits.h"

void bus_init(struct bus *b, const char *name, u64 size)
{
    *b = (struct bus){.name = name, .size = size};
}

static bool is_width(unsigned w)
{
    return w == 1 || w == 2 || w == 4 || w == 8;
}

enum status bus_add(struct bus *b, const char *name, u64 base, u64 len, const struct bus_ops *ops,
                    void *opaque, struct error *e)
{
    if (!len || !range_ok(base, len, b->size) || !is_width(ops->min_size) || !is_width(ops->max_size) ||
        ops->min_size > ops->max_size || len % ops->min_size)
        return error_set(e, STATUS_HOST, "%s: %s: impossible region of %#llx bytes at %#llx", b->name, name,
                         (unsigned long long)len, (unsigned long long)base);
    if (b->count == BUS_MAX_REGIONS)
        return error_set(e, STATUS_HOST, "%s: %s: no room for another region", b->name, name);
    size_t i = 0;
    for (; i < b->count && b->regions[i].base < base; i++)
        ;
    for (size_t n = i ? i - 1 : 0; n < b->count && n <= i; n++)
        if (ranges_overlap(base, len, b->regions[n].base, b->regions[n].len))
            return error_set(e, STATUS_HOST, "%s: %s: overlaps %s at %#llx", b->name, name,
                             b->regions[n].name, (unsigned long long)base);
    memmove(&b->regions[i + 1], &b->regions[i], (b->count - i) * sizeof b->regions[0]);
    b->regions[i] = (struct bus_region){.base = base, .len = len, .ops = ops, .opaque = opaque, .name = name};
    b->count++;
    return STATUS_OK;
}

void bus_remove(struct bus *b, u64 base)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->regions[i].base != base)
            continue;
        b->count--;
        memmove(&b->regions[i], &b->regions[i + 1], (b->count - i) * sizeof b->regions[0]);
        return;
    }
}

static const struct bus_region *bus_find(const struct bus *b, u64 addr)
{
    size_t lo = 0, hi = b->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const struct bus_region *r = &b->regions[mid];
        if (addr < r->base)
            hi = mid;
        else if (addr - r->base >= r->len)
            lo = mid + 1;
        else
            return r;
    }
    return NULL;
}

/* The widest piece at OFF of region R that has at most LEFT bytes. */
static unsigned piece_size(const struct bus_region *r, u64 off, unsigned left)
{
    unsigned n = r->ops->max_size;
    while (n > left || off & (n - 1) || n > r->len - off)
        n /= 2;
    return n;
}

static u64 region_read(const struct bus_region *r, u64 off, unsigned n)
{
    unsigned min = r->ops->min_size;
    if (n >= min)
        return r->ops->read(r->opaque, off, n) & ones(8 * n);
    u64 word = align_down(off, min);
    return r->ops->read(r->opaque, word, min) >> (8 * (off - word)) & ones(8 * n);
}

u64 bus_read(struct bus *b, u64 addr, unsigned size)
{
    u64 value = 0;
    bool hole = false;
    for (unsigned i = 0, n; i < size; i += n) {
        u64 at = addr + i;
        const struct bus_region *r = at >= addr ? bus_find(b, at) : NULL;
        u64 v = 0xff;
        n = 1;
        if (r) {
            n = piece_size(r, at - r->base, size - i);
            v = region_read(r, at - r->base, n);
        } else {
            hole = true;
        }
        value |= v << (8 * i);
    }
    b->holes += hole;
    return value;
}

void bus_write(struct bus *b, u64 addr, unsigned size, u64 value)
{
    bool hole = false;
    for (unsigned i = 0, n; i < size; i += n) {
        u64 at = addr + i;
        const struct bus_region *r = at >= addr ? bus_find(b, at) : NULL;
        n = r ? piece_size(r, at - r->base, size - i) : 1;
        if (r && n >= r->ops->min_size)
            r->ops->write(r->opaque, at - r->base, n, value >> (8 * i) & ones(8 * n));
        else
            hole = true;
    }
    b->holes += hole;
}
