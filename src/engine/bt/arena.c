/* Address space of one vCPU's translations. The code cache is never writable and executable at one address:
 * two mappings of the same shared memory, which has no name, so that perf takes it for generated code. Every
 * region has a page before and a page behind it that nobody may touch. */
#include <sys/mman.h>

#include "base/bits.h"
#include "engine/bt/bt.h"

#define TAG_BYTES (BT_LINKS * sizeof(u64))

/* Address space between two guard pages, whose byte AT begins a huge page; its first OPEN bytes can be written. */
static void *room_at(size_t bytes, size_t open, size_t at)
{
    size_t whole = align_up(bytes, PAGE_SIZE) + 2 * PAGE_SIZE;
    u8 *got = mmap(NULL, whole + BT_HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got == MAP_FAILED)
        return NULL;
    size_t skip = align_up((uintptr_t)got + PAGE_SIZE + at, BT_HUGE) - ((uintptr_t)got + PAGE_SIZE + at);
    u8 *p = got + skip;
    if (skip)
        munmap(got, skip);
    munmap(p + whole, BT_HUGE - skip);
    if (!open || mprotect(p + PAGE_SIZE, align_up(open, PAGE_SIZE), PROT_READ | PROT_WRITE) == 0)
        return p + PAGE_SIZE;
    munmap(p, whole);
    return NULL;
}

static void *room(size_t bytes, size_t open)
{
    return room_at(bytes, open, 0);
}

static void give_back(void *p, size_t bytes)
{
    if (p)
        munmap((u8 *)p - PAGE_SIZE, align_up(bytes, PAGE_SIZE) + 2 * PAGE_SIZE);
}

static bool map_code(struct bt *b, size_t data)
{
    b->bytes = data + BT_CODE_BYTES;
    b->base = room_at(b->bytes, data, data);
    b->write = room(BT_CODE_BYTES, 0);
    if (!b->base || !b->write)
        return false;
    void *w = mmap(b->write, BT_CODE_BYTES, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (w == MAP_FAILED)
        return false;
    /* An old size of 0 maps shared pages a second time (mremap(2)). */
    b->code = mremap(w, 0, BT_CODE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, b->base + data);
    return b->code != MAP_FAILED && mprotect(b->code, BT_CODE_BYTES, PROT_READ | PROT_EXEC) == 0;
}

#define COLLAPSE 25 /* MADV_COLLAPSE of Linux 6.1, whatever shmem_enabled says; older ones refuse it */

/* Huge pages of the code up to USED, the last when half of it is written. */
static void code_huge(struct bt *b, size_t *end, size_t used)
{
    for (; *end + BT_HUGE / 2 <= used; *end += BT_HUGE)
        if (madvise(b->write + *end, BT_HUGE, COLLAPSE) == 0)
            madvise(b->code + *end, BT_HUGE, COLLAPSE);
}

void bt_arena_huge(struct bt *b, size_t used, size_t cold_used)
{
    if (!b->huge_end) { /* the guest is not a small one */
        madvise(b->jumps, BT_JUMPS * sizeof *b->jumps, COLLAPSE);
        madvise(b->tags, TAG_BYTES, MADV_HUGEPAGE);
        madvise(b->blocks, BT_BLOCKS * sizeof *b->blocks, MADV_HUGEPAGE);
        madvise(b->links, BT_LINKS * sizeof *b->links, MADV_HUGEPAGE);
        madvise(b->sites, BT_SITES * sizeof *b->sites, MADV_HUGEPAGE);
        madvise(b->maps, BT_MAPS * sizeof *b->maps, MADV_HUGEPAGE);
    }
    code_huge(b, &b->huge_end, used);
    code_huge(b, &b->huge_cold, cold_used);
}

enum status bt_arena_init(struct bt *b, struct error *e)
{
    size_t data = BT_TAGS_AT + TAG_BYTES;
    _Static_assert(sizeof(struct bt_scratch) <= BT_SCRATCH_BYTES, "the scratch page is one page");
    if (!map_code(b, data))
        return error_errno(e, "bt: code cache");
    b->scratch = (void *)b->base;
    b->jumps = (void *)(b->base + BT_SCRATCH_BYTES);
    b->tags = (void *)(b->base + BT_TAGS_AT);
    b->blocks = room(BT_BLOCKS * sizeof *b->blocks, BT_BLOCKS * sizeof *b->blocks);
    b->links = room(BT_LINKS * sizeof *b->links, BT_LINKS * sizeof *b->links);
    b->sites = room(BT_SITES * sizeof *b->sites, BT_SITES * sizeof *b->sites);
    b->maps = room(BT_MAPS * sizeof *b->maps, BT_MAPS * sizeof *b->maps);
    b->origins = room(BT_ORIGINS, BT_ORIGINS);
    if (!b->blocks || !b->links || !b->sites || !b->maps || !b->origins)
        return error_set(e, STATUS_HOST, "bt: out of memory");
    return STATUS_OK;
}

void bt_arena_destroy(struct bt *b)
{
    give_back(b->blocks, BT_BLOCKS * sizeof *b->blocks);
    give_back(b->links, BT_LINKS * sizeof *b->links);
    give_back(b->sites, BT_SITES * sizeof *b->sites);
    give_back(b->maps, BT_MAPS * sizeof *b->maps);
    give_back(b->origins, BT_ORIGINS);
    give_back(b->write, BT_CODE_BYTES);
    give_back(b->base, b->bytes);
}
