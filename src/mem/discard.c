/* Giving frames back to the host, and taking them ahead of time. Both work on the memfd, so that every mapping of it follows: the
 * engines', and KVM's memory slots. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "mem/foreign.h"
#include "mem/mem.h"

/* Soft TLBs keep their entries: the address stays, and the next access through it takes a new frame. A device that writes here later (a
 * request that was under way) takes one too. Whoever fails to punch the hole still leaves zeros: under virtual time the contents may not
 * depend on the host. */
bool mem_discard(struct mem *m, u64 gpa, u64 len)
{
    if ((gpa | len) & ~PAGE_MASK || !mem_is_writable(m, gpa, len))
        return false;
    if (!len)
        return true;
    mem_foreign_drop(m, gpa, len);
    if (fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)gpa, (off_t)len) < 0)
        memset(m->base + gpa, 0, len);
    mem_written(m, gpa, len);
    return true;
}

/* A host without them says no, and nothing is lost. */
void mem_huge(struct mem *m)
{
    madvise(m->base, m->span, MADV_HUGEPAGE);
}

static enum status take(const struct mem *m, u64 at, u64 len, struct error *e)
{
    while (len && fallocate(m->fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len) < 0)
        if (errno != EINTR)
            return error_errno(e, "guest memory: %llu MiB ahead of time", (unsigned long long)(m->size >> 20));
    return STATUS_OK;
}

enum status mem_prealloc(struct mem *m, struct error *e)
{
    enum status s = take(m, 0, m->low_size, e);
    return s == STATUS_OK ? take(m, MEM_HIGH_BASE, m->high_size, e) : s;
}
