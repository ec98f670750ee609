/* First-fit placement in RAM below 4 GiB, and checked copying into it. */
#include "machine/boot/boot_space.h"

#include <stdlib.h>

#include "base/bits.h"
#include "machine/pc_map.h"

#define COPY_CHUNK 65536u

/* RANGE's first overlap with what is used; null: free RAM. */
static const struct boot_range *boot_space_hit(const struct boot_space *s, u64 base, u64 len)
{
    for (size_t i = 0; i < s->count; i++)
        if (ranges_overlap(base, len, s->used[i].base, s->used[i].len))
            return &s->used[i];
    return NULL;
}

static bool boot_space_add(struct boot_space *s, u64 base, u64 len)
{
    if (s->count == BOOT_SPACE_MAX)
        return false;
    s->used[s->count++] = (struct boot_range){base, len};
    return true;
}

void boot_space_init(struct boot_space *s, struct mem *m)
{
    *s = (struct boot_space){.mem = m, .count = 2};
    s->used[0] = (struct boot_range){PC_IVT, PC_BDA + 0x100};
    s->used[1] = (struct boot_range){PC_EBDA, PC_BIOS_END - PC_EBDA};
}

enum status boot_space_claim(struct boot_space *s, const struct file *f, const char *what, u64 base, u64 len,
                             struct error *e)
{
    unsigned long long from = base, size = len;
    if (!len)
        return STATUS_OK;
    if (!range_ok(base, len, s->mem->low_size))
        return error_set(e, STATUS_HOST,
                         "%s: %s needs 0x%llx bytes at 0x%llx, the guest's memory below 4G ends at 0x%llx",
                         f->name, what, size, from, (unsigned long long)s->mem->low_size);
    const struct boot_range *r = boot_space_hit(s, base, len);
    if (r)
        return error_set(e, STATUS_HOST, "%s: %s at 0x%llx (0x%llx bytes) overlaps what is at 0x%llx",
                         f->name, what, from, size, (unsigned long long)r->base);
    if (!boot_space_add(s, base, len))
        return error_set(e, STATUS_HOST, "%s: has more than %d parts", f->name, BOOT_SPACE_MAX);
    return STATUS_OK;
}

bool boot_space_low(struct boot_space *s, u64 len, u64 align, u64 max, u64 *base)
{
    if (max > s->mem->low_size)
        max = s->mem->low_size;
    u64 at = align_up(PAGE_SIZE, align);
    while (range_ok(at, len, max)) {
        const struct boot_range *r = boot_space_hit(s, at, len);
        if (!r) {
            *base = at;
            return boot_space_add(s, at, len);
        }
        at = align_up(r->base + r->len, align);
    }
    return false;
}

bool boot_space_high(struct boot_space *s, u64 len, u64 align, u64 max, u64 *base)
{
    if (max > s->mem->low_size)
        max = s->mem->low_size;
    while (len <= max) {
        u64 at = align_down(max - len, align);
        if (at < PAGE_SIZE)
            return false;
        const struct boot_range *r = boot_space_hit(s, at, len);
        if (!r) {
            *base = at;
            return boot_space_add(s, at, len);
        }
        max = r->base;
    }
    return false;
}

enum status boot_copy(struct mem *m, const struct file *f, u64 off, u64 gpa, u64 len, struct error *e)
{
    u8 *chunk = malloc(COPY_CHUNK);
    if (!chunk)
        return error_errno(e, "%s", f->name);
    enum status s = STATUS_OK;
    while (len && s == STATUS_OK) {
        u64 n = len < COPY_CHUNK ? len : COPY_CHUNK;
        s = file_read(f, off, chunk, n, e);
        if (s == STATUS_OK && !mem_write(m, gpa, chunk, n))
            s = error_set(e, STATUS_HOST, "%s: no memory at 0x%llx", f->name, (unsigned long long)gpa);
        off += n;
        gpa += n;
        len -= n;
    }
    free(chunk);
    return s;
}
