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

void bt_arena_huge(struct bt *b)
{
    enum { COLLAPSE = 25 }; /* MADV_COLLAPSE of Linux 6.1, whatever shmem_enabled says; older ones refuse it */
    for (; b->huge_end + BT_HUGE / 2 <= b->used && b->huge_end < BT_COLD_AT; b->huge_end += BT_HUGE) {
        b->write[b->huge_end + BT_HUGE - 1] = 0xcc; /* a page at least is there */
        if (madvise(b->write + b->huge_end, BT_HUGE, COLLAPSE) == 0)
            madvise(b->code + b->huge_end, BT_HUGE, COLLAPSE);
    }
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
    if (!b->blocks || !b->links || !b->sites || !b->maps)
        return error_set(e, STATUS_HOST, "bt: out of memory");
    return STATUS_OK;
}

void bt_arena_destroy(struct bt *b)
{
    give_back(b->blocks, BT_BLOCKS * sizeof *b->blocks);
    give_back(b->links, BT_LINKS * sizeof *b->links);
    give_back(b->sites, BT_SITES * sizeof *b->sites);
    give_back(b->maps, BT_MAPS * sizeof *b->maps);
    give_back(b->write, BT_CODE_BYTES);
    give_back(b->base, b->bytes);
}
