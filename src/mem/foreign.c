/* The file for paging is the same again with a file of ours instead of the pool: what is not written to the host may drop from its cache, and reads again when it is
 * touched. */
#include "mem/foreign.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"

/* A page's word in /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGEMAP_FILE    BIT(61) /* of a file, or shared */
#define PAGEMAP_SWAPPED BIT(62)
#define PAGEMAP_PRESENT BIT(63)

#define BLOCK_BYTES ((u64)FOREIGN_BLOCK << PAGE_SHIFT)

/* A record a page, and then a count a block. */
static u64 records_bytes(const struct mem *m)
{
    return ((m->span >> PAGE_SHIFT) + m->span / BLOCK_BYTES + 1) * sizeof *m->foreign.frame;
}

static u32 *in_block(const struct mem *m, u64 gpa)
{
    return m->foreign.frame + (m->span >> PAGE_SHIFT) + gpa / BLOCK_BYTES;
}

enum status mem_foreign_init(struct mem *m, int fd, struct error *e)
{
    void *p = mmap(NULL, records_bytes(m), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return error_errno(e, "guest memory: records of shared pages");
    m->foreign = (struct mem_foreign){.fd = fd, .page_fd = -1, .frame = p, .pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
    return STATUS_OK;
}

enum status mem_foreign_paging(struct mem *m, int fd, struct error *e)
{
    m->foreign.page_fd = fd;
    void *p = ftruncate(fd, (off_t)m->span) < 0 ? MAP_FAILED : mmap(NULL, m->span, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED)
        return error_errno(e, "guest memory: the file for paging");
    m->foreign.page_map = p;
    return STATUS_OK;
}

void mem_foreign_destroy(struct mem *m)
{
    if (!m->foreign.frame)
        return;
    if (m->foreign.page_map)
        munmap((void *)(uintptr_t)m->foreign.page_map, m->span);
    if (m->foreign.page_fd >= 0)
        close(m->foreign.page_fd);
    if (m->foreign.pagemap >= 0)
        close(m->foreign.pagemap);
    munmap(m->foreign.frame, records_bytes(m));
    m->foreign.frame = NULL;
}

u64 mem_foreign_next(const struct mem *m, u64 at)
{
    while (m->foreign.frame && at < m->span && !__atomic_load_n(in_block(m, at), __ATOMIC_RELAXED))
        at = (at / BLOCK_BYTES + 1) * BLOCK_BYTES;
    return m->foreign.frame && at < m->span ? at : m->span;
}

/* The page before GPA and the one with GPA do not continue each other. */
static bool seam(const struct mem *m, u64 gpa)
{
    if (!gpa || gpa >= m->span)
        return false;
    bool a = mem_foreign_at(m, gpa - PAGE_SIZE), b = mem_foreign_at(m, gpa);
    u32 before = mem_foreign_record(m, gpa - PAGE_SIZE), here = mem_foreign_record(m, gpa);
    return a != b || (a && here != before + !(here & FOREIGN_PAGED));
}

static u64 seams(const struct mem *m, u64 gpa, u64 n)
{
    u64 count = 0;
    for (u64 i = 0; i <= n; i++)
        count += seam(m, gpa + i * PAGE_SIZE);
    return count;
}

static void record(struct mem *m, u64 gpa, u32 value)
{
    u32 was = __atomic_exchange_n(&m->foreign.frame[gpa >> PAGE_SHIFT], value, __ATOMIC_RELAXED);
    if (!was != !value)
        __atomic_fetch_add(in_block(m, gpa), value ? 1 : (u32)-1, __ATOMIC_RELAXED);
}

static bool map(const struct mem *m, u64 gpa, u64 n, int flags, int fd, u64 off)
{
    u64 bytes = n << PAGE_SHIFT;
    /* The host looks at its limit of mappings before it takes the old ones away: what fails leaves them as they were. */
    return mmap(m->base + gpa, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED | MAP_NORESERVE, fd, (off_t)off) != MAP_FAILED;
}

bool mem_foreign_map(struct mem *m, u64 gpa, u32 frame, u32 n)
{
    if (!map(m, gpa, n, MAP_PRIVATE, m->foreign.fd, (u64)frame << PAGE_SHIFT))
        return false;
    u64 before = seams(m, gpa, n);
    for (u32 i = 0; i < n; i++)
        record(m, gpa + i * PAGE_SIZE, frame + i + 1);
    m->foreign.seams += seams(m, gpa, n) - before;
    atomic_fetch_add(&m->foreign.pages, n);
    return true;
}

bool mem_foreign_save(const struct mem *m, u64 gpa, u32 n)
{
    u64 bytes = (u64)n << PAGE_SHIFT;
    return pwrite(m->foreign.page_fd, m->base + gpa, bytes, (off_t)gpa) == (ssize_t)bytes;
}

bool mem_foreign_page(struct mem *m, u64 gpa, u32 n)
{
    if (!map(m, gpa, n, MAP_PRIVATE, m->foreign.page_fd, gpa))
        return false;
    u64 before = seams(m, gpa, n);
    for (u32 i = 0; i < n; i++)
        record(m, gpa + i * PAGE_SIZE, FOREIGN_PAGED);
    m->foreign.seams += seams(m, gpa, n) - before;
    atomic_fetch_add(&m->foreign.pages, n);
    atomic_fetch_add(&m->foreign.paged, n);
    return true;
}

void mem_foreign_forget(const struct mem *m, u64 gpa, u32 n)
{
    madvise((u8 *)(uintptr_t)m->foreign.page_map + gpa, (u64)n << PAGE_SHIFT, MADV_DONTNEED);
    (void)posix_fadvise(m->foreign.page_fd, (off_t)gpa, (off_t)((u64)n << PAGE_SHIFT), POSIX_FADV_DONTNEED);
}

void mem_foreign_settle(struct mem *m, u64 gpa, u32 n)
{
    (void)fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)gpa, (off_t)((u64)n << PAGE_SHIFT));
    madvise(m->base + gpa, (u64)n << PAGE_SHIFT, MADV_DONTDUMP);
}

void mem_foreign_clear(const struct mem *m, u64 gpa, u64 n)
{
    if (m->foreign.page_fd >= 0)
        (void)fallocate(m->foreign.page_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)gpa, (off_t)(n << PAGE_SHIFT));
}

static bool leave(struct mem *m, u64 gpa, u64 n)
{
    if (!map(m, gpa, n, MAP_SHARED, m->fd, gpa))
        return false;
    u64 before = seams(m, gpa, n);
    for (u64 i = 0; i < n; i++) {
        u32 was = mem_foreign_record(m, gpa + i * PAGE_SIZE);
        record(m, gpa + i * PAGE_SIZE, was & FOREIGN_PAGED ? 0 : was | FOREIGN_LEFT);
        atomic_fetch_sub(&m->foreign.paged, was & FOREIGN_PAGED ? 1 : 0);
    }
    m->foreign.seams += seams(m, gpa, n) - before;
    atomic_fetch_sub(&m->foreign.pages, n);
    madvise(m->base + gpa, n << PAGE_SHIFT, MADV_DONTDUMP);
    return true;
}

bool mem_foreign_home(struct mem *m, u64 gpa, u32 n)
{
    u64 bytes = (u64)n << PAGE_SHIFT;
    if (pwrite(m->fd, m->base + gpa, bytes, (off_t)gpa) != (ssize_t)bytes)
        return false; /* no memory: they stay copies, and are right */
    return leave(m, gpa, n);
}

/* Pages that cannot be mapped back keep their contents, which is as good to the guest: it gave them up. They are cleared, as contents may not depend on the host. */
void mem_foreign_drop(struct mem *m, u64 gpa, u64 len)
{
    if (!atomic_load_explicit(&m->foreign.pages, memory_order_relaxed))
        return;
    for (u64 end = gpa + len, n; gpa < end; gpa += n) {
        bool there = mem_foreign_at(m, gpa), paged = atomic_load(&m->foreign.paged);
        for (n = PAGE_SIZE; gpa + n < end && mem_foreign_at(m, gpa + n) == there; n += PAGE_SIZE)
            ;
        if (there && !leave(m, gpa, n >> PAGE_SHIFT))
            memset(m->base + gpa, 0, n);
        else if (there && paged)
            mem_foreign_clear(m, gpa, n >> PAGE_SHIFT);
    }
}

void mem_foreign_told(struct mem *m, u64 gpa)
{
    record(m, gpa, 0);
}

static bool is_copy(u64 word)
{
    return word & PAGEMAP_SWAPPED || (word & PAGEMAP_PRESENT && !(word & PAGEMAP_FILE));
}

void mem_foreign_written(const struct mem *m, u64 gpa, u32 n, bool *written)
{
    u64 word[FOREIGN_BLOCK], at = ((u64)(uintptr_t)(m->base + gpa) >> PAGE_SHIFT) * sizeof *word;
    ssize_t got = m->foreign.pagemap >= 0 ? pread(m->foreign.pagemap, word, n * sizeof *word, (off_t)at) : -1;
    for (u32 i = 0; i < n; i++)
        written[i] = mem_foreign_at(m, gpa + i * PAGE_SIZE) && (size_t)(got < 0 ? 0 : got) >= (i + 1) * sizeof *word && is_copy(word[i]);
}

u64 mem_foreign_copies(const struct mem *m)
{
    u64 count = 0;
    bool written[FOREIGN_BLOCK];
    if (!atomic_load_explicit(&m->foreign.pages, memory_order_relaxed))
        return 0;
    for (u64 gpa = 0, n; (gpa = mem_foreign_next(m, gpa)) < m->span; gpa += n << PAGE_SHIFT) {
        n = (m->span - gpa) >> PAGE_SHIFT < FOREIGN_BLOCK ? (m->span - gpa) >> PAGE_SHIFT : FOREIGN_BLOCK;
        mem_foreign_written(m, gpa, (u32)n, written);
        for (u64 i = 0; i < n; i++)
            count += written[i];
    }
    return count;
}

struct mem_use mem_use(const struct mem *m)
{
    struct stat st;
    u64 pages = atomic_load(&m->foreign.pages), paged = atomic_load(&m->foreign.paged), copies = mem_foreign_copies(m);
    u64 own = fstat(m->fd, &st) == 0 ? (u64)st.st_blocks * 512 : 0;
    return (struct mem_use){
        .resident = own + (copies << PAGE_SHIFT),
        .copies = copies << PAGE_SHIFT,
        .paged = paged << PAGE_SHIFT,
        .shared = (pages > copies + paged ? pages - copies - paged : 0) << PAGE_SHIFT,
    };
}
