/* Address space of one vCPU's translations. The code cache is never writable and executable at one address:
 * two mappings of the same shared memory, which has no name, so that perf takes it for generated code. */
#include <sys/mman.h>

#include "base/bits.h"
#include "engine/bt/bt.h"

#define TAG_BYTES (BT_LINKS * sizeof(u64))

static void *room(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool map_code(struct bt *b, size_t data)
{
    b->bytes = data + BT_CODE_BYTES;
    void *p = mmap(NULL, b->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    b->base = p;
    if (mprotect(b->base, data, PROT_READ | PROT_WRITE) < 0)
        return false;
    void *w = mmap(NULL, BT_CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w == MAP_FAILED)
        return false;
    b->write = w;
    /* An old size of 0 maps shared pages a second time (mremap(2)). */
    b->code = mremap(w, 0, BT_CODE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, b->base + data);
    return b->code != MAP_FAILED && mprotect(b->code, BT_CODE_BYTES, PROT_READ | PROT_EXEC) == 0;
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
    b->blocks = room(BT_BLOCKS * sizeof *b->blocks);
    b->links = room(BT_LINKS * sizeof *b->links);
    b->sites = room(BT_SITES * sizeof *b->sites);
    b->maps = room(BT_MAPS * sizeof *b->maps);
    if (!b->blocks || !b->links || !b->sites || !b->maps)
        return error_set(e, STATUS_HOST, "bt: out of memory");
    return STATUS_OK;
}

void bt_arena_destroy(struct bt *b)
{
    if (b->blocks)
        munmap(b->blocks, BT_BLOCKS * sizeof *b->blocks);
    if (b->links)
        munmap(b->links, BT_LINKS * sizeof *b->links);
    if (b->sites)
        munmap(b->sites, BT_SITES * sizeof *b->sites);
    if (b->maps)
        munmap(b->maps, BT_MAPS * sizeof *b->maps);
    if (b->write)
        munmap(b->write, BT_CODE_BYTES);
    if (b->base)
        munmap(b->base, b->bytes);
}
