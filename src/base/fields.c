/* Reset, save and restore of an instance struct from its field table. The image is data from outside: it is
 * checked as a whole before the first byte of the instance changes. */
#include "base/fields.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/le.h"

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

bool buffer_put(struct buffer *b, const void *p, size_t len)
{
    if (len > b->cap - b->len) {
        if (len > SIZE_MAX / 4 || b->cap > SIZE_MAX / 4)
            return false;
        size_t cap = b->cap * 2 > b->len + len ? b->cap * 2 : b->len + len + 256;
        u8 *data = realloc(b->data, cap);
        if (!data)
            return false;
        b->data = data;
        b->cap = cap;
    }
    if (len)
        memcpy(b->data + b->len, p, len);
    b->len += len;
    return true;
}

bool buffer_get(struct buffer *b, void *p, size_t len)
{
    if (!range_ok(b->pos, len, b->len))
        return false;
    if (len)
        memcpy(p, b->data + b->pos, len);
    b->pos += len;
    return true;
}

static void element_set(void *instance, const struct field *f, u32 i, u64 v)
{
    u8 *p = (u8 *)instance + f->offset + (size_t)i * f->size;
    switch (f->size) {
    case 1: *p = (u8)v; break;
    case 2: memcpy(p, &(u16){(u16)v}, 2); break;
    case 4: memcpy(p, &(u32){(u32)v}, 4); break;
    default: memcpy(p, &v, 8); break;
    }
}

static u64 element_get(const void *instance, const struct field *f, u32 i)
{
    const u8 *p = (const u8 *)instance + f->offset + (size_t)i * f->size;
    u16 v16;
    u32 v32;
    u64 v64;
    switch (f->size) {
    case 1: return *p;
    case 2: memcpy(&v16, p, 2); return v16;
    case 4: memcpy(&v32, p, 4); return v32;
    default: memcpy(&v64, p, 8); return v64;
    }
}

static void field_reset(const struct field *f, void *instance)
{
    for (u32 i = 0; i < f->count; i++)
        element_set(instance, f, i, f->reset);
}

void fields_reset(const struct field_table *t, void *instance)
{
    for (size_t n = 0; n < t->count; n++)
        if (!t->fields[n].keep)
            field_reset(&t->fields[n], instance);
}

bool buffer_put_n(struct buffer *b, u64 v, unsigned size)
{
    u8 raw[8];
    st_n(raw, v, size);
    return buffer_put(b, raw, size);
}

bool buffer_get_n(struct buffer *b, u64 *v, unsigned size)
{
    u8 raw[8];
    if (!buffer_get(b, raw, size))
        return false;
    *v = ld_n(raw, size);
    return true;
}

static bool put_name(struct buffer *b, const char *name)
{
    size_t len = strlen(name);
    return len <= UINT8_MAX && buffer_put_n(b, len, 1) && buffer_put(b, name, len);
}

static bool get_name(struct buffer *b, char name[256])
{
    u64 len;
    if (!buffer_get_n(b, &len, 1) || !buffer_get(b, name, (size_t)len))
        return false;
    name[len] = 0;
    return strlen(name) == len;
}

static bool field_save(const struct field *f, const void *instance, struct buffer *out)
{
    if (!put_name(out, f->name) || !buffer_put_n(out, f->size, 1) || !buffer_put_n(out, f->count, 4))
        return false;
    for (u32 i = 0; i < f->count; i++)
        if (!buffer_put_n(out, element_get(instance, f, i), f->size))
            return false;
    return true;
}

enum status fields_save(const struct field_table *t, const void *instance, struct buffer *out,
                        struct error *e)
{
    size_t start = out->len;
    bool ok = put_name(out, t->name) && buffer_put_n(out, t->version, 2) && buffer_put_n(out, t->count, 2);
    for (size_t n = 0; ok && n < t->count; n++)
        ok = field_save(&t->fields[n], instance, out);
    if (ok)
        return STATUS_OK;
    out->len = start;
    return error_set(e, STATUS_HOST, "%s: saving: out of memory", t->name);
}

static const struct field *field_find(const struct field_table *t, const char *name)
{
    for (size_t n = 0; n < t->count; n++)
        if (!strcmp(t->fields[n].name, name))
            return &t->fields[n];
    return NULL;
}

/* Reads one field's elements; with an instance it also stores them. */
static enum status field_restore(const struct field_table *t, const struct field *f, void *instance,
                                 struct buffer *in, struct error *e)
{
    u64 size, count;
    if (!buffer_get_n(in, &size, 1) || !buffer_get_n(in, &count, 4))
        return error_set(e, STATUS_HOST, "%s.%s: truncated", t->name, f->name);
    if (size != f->size || count != f->count)
        return error_set(e, STATUS_HOST, "%s.%s: has the wrong size", t->name, f->name);
    for (u32 i = 0; i < f->count; i++) {
        u64 v;
        if (!buffer_get_n(in, &v, f->size))
            return error_set(e, STATUS_HOST, "%s.%s: truncated", t->name, f->name);
        if ((f->is_bool && v > 1) || (f->max && v > f->max))
            return error_set(e, STATUS_HOST, "%s.%s: value out of range", t->name, f->name);
        if (instance)
            element_set(instance, f, i, v);
    }
    return STATUS_OK;
}

/* One pass over the COUNT fields of an image; marks what it met in SEEN, one byte per field of the table. */
static enum status fields_pass(const struct field_table *t, u64 count, void *instance, u8 *seen,
                               struct buffer *in, struct error *e)
{
    for (u64 n = 0; n < count; n++) {
        char name[256];
        if (!get_name(in, name))
            return error_set(e, STATUS_HOST, "%s: truncated", t->name);
        const struct field *f = field_find(t, name);
        if (!f)
            return error_set(e, STATUS_HOST, "%s.%s: unknown field", t->name, name);
        if (seen[f - t->fields]++)
            return error_set(e, STATUS_HOST, "%s.%s: present twice", t->name, name);
        if (field_restore(t, f, instance, in, e))
            return e->status;
    }
    return STATUS_OK;
}

enum status fields_restore(const struct field_table *t, void *instance, struct buffer *in, struct error *e)
{
    char name[256];
    u64 version, count;
    if (!get_name(in, name) || !buffer_get_n(in, &version, 2) || !buffer_get_n(in, &count, 2))
        return error_set(e, STATUS_HOST, "%s: truncated", t->name);
    if (strcmp(name, t->name))
        return error_set(e, STATUS_HOST, "%s: found '%s' in its place", t->name, name);
    if (!version || version > t->version)
        return error_set(e, STATUS_HOST, "%s: version %u is not known", t->name, (unsigned)version);
    u8 *seen = calloc(t->count + 1, 1);
    if (!seen)
        return error_set(e, STATUS_HOST, "%s: restoring: out of memory", t->name);
    size_t start = in->pos;
    enum status st = fields_pass(t, count, NULL, seen, in, e);
    for (size_t n = 0; !st && n < t->count; n++)
        if (!seen[n] && t->fields[n].since <= version)
            st = error_set(e, STATUS_HOST, "%s.%s: missing", t->name, t->fields[n].name);
    if (!st) {
        for (size_t n = 0; n < t->count; n++)
            if (!seen[n])
                field_reset(&t->fields[n], instance);
        memset(seen, 0, t->count);
        in->pos = start;
        st = fields_pass(t, count, instance, seen, in, e);
    }
    free(seen);
    return st;
}
