/* What looks at all of RAM without allocating it: the holes of the memfd are found by SEEK_DATA, the rest is
 * read by pread. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/le.h"
#include "mem/mem.h"

u64 mem_resident(const struct mem *m)
{
    struct stat st;
    return fstat(m->fd, &st) == 0 ? (u64)st.st_blocks * 512 : 0;
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

u64 mem_digest(const struct mem *m, u64 seed)
{
    enum { CHUNK = 64 * 4096 };
    u8 *buf = malloc(CHUNK);
    u64 h = mix(seed, m->size);
    off_t at = 0;
    while (buf && (at = lseek(m->fd, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(m->fd, at, SEEK_HOLE);
        for (off_t o = at; o < end;) {
            size_t want = end - o < CHUNK ? (size_t)(end - o) : CHUNK;
            ssize_t got = pread(m->fd, buf, want, o);
            if (got < (ssize_t)PAGE_SIZE)
                break;
            for (ssize_t k = 0; k + (ssize_t)PAGE_SIZE <= got; k += (ssize_t)PAGE_SIZE)
                h = digest_page(h, (u64)(o + k), buf + k);
            o += got & ~(ssize_t)(PAGE_SIZE - 1);
        }
        at = end;
    }
    free(buf);
    return h;
}
