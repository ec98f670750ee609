/* Compares two images that field tables wrote, field by field, without knowing the tables. */
#include <string.h>

#include "base/fields.h"
#include "base/le.h"

struct cursor {
    const u8 *p;
    size_t left;
};

static bool take(struct cursor *c, const u8 **p, size_t n)
{
    if (n > c->left)
        return false;
    *p = c->p;
    c->p += n;
    c->left -= n;
    return true;
}

/* Moves both by N bytes; false: the images have not that many, or they differ where they must not. */
static bool take_same(struct cursor *a, struct cursor *b, const u8 **p, size_t n)
{
    const u8 *other;
    return take(a, p, n) && take(b, &other, n) && !memcmp(*p, other, n);
}

static bool take_name(struct cursor *a, struct cursor *b, char name[256])
{
    const u8 *p;
    if (!take_same(a, b, &p, 1))
        return false;
    size_t n = *p;
    if (!take_same(a, b, &p, n))
        return false;
    memcpy(name, p, n);
    name[n] = 0;
    return true;
}

static bool diff_field(struct fields_diff *d, struct cursor *a, struct cursor *b)
{
    const u8 *head, *x, *y;
    if (!take_name(a, b, d->field) || !take_same(a, b, &head, 5))
        return false;
    u8 size = head[0];
    u32 count = ld32(head + 1);
    if (!size || size > 8)
        return false;
    for (u32 i = 0; i < count; i++) {
        if (!take(a, &x, size) || !take(b, &y, size))
            return false;
        if (memcmp(x, y, size)) {
            d->index = i;
            d->count = count;
            d->size = size;
            d->found(d, ld_n(x, size), ld_n(y, size));
        }
    }
    return true;
}

bool fields_compare(struct fields_diff *d, const u8 *a, const u8 *b, size_t len)
{
    struct cursor ca = {a, len}, cb = {b, len};
    for (d->device = 0; ca.left; d->device++) {
        const u8 *head;
        if (!take_name(&ca, &cb, d->name) || !take_same(&ca, &cb, &head, 4))
            return false;
        for (u16 n = ld16(head + 2); n; n--)
            if (!diff_field(d, &ca, &cb))
                return false;
    }
    return true;
}
