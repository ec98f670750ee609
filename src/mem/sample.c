#include "mem/sample.h"

#include <sys/mman.h>
#include <unistd.h>

#include "mem/foreign.h"

#define PAGEMAP_PRESENT (1ull << 63) /* Documentation/admin-guide/mm/pagemap.rst */

bool mem_sample_hide(const struct mem *m, u64 gpa)
{
    unsigned char has = 0;
    if (mem_foreign_at(m, gpa) || mincore(m->base + gpa, PAGE_SIZE, &has) < 0 || !(has & 1))
        return false;
    return madvise(m->base + gpa, PAGE_SIZE, MADV_DONTNEED) == 0;
}

bool mem_sample_back(const struct mem *m, u64 gpa)
{
    u64 word = 0;
    ssize_t got = pread(m->foreign.pagemap, &word, sizeof word, (off_t)(((u64)(uintptr_t)(m->base + gpa) >> PAGE_SHIFT) * sizeof word));
    return got == sizeof word && word & PAGEMAP_PRESENT;
}
