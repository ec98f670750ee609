/* Data beside code. A frame that holds code has no write tags, so a store there misses; but where it touches no granule that code was made of, it concerns
 * nobody: it gets an entry of its own, that is in no table, and the block goes on. Here alone may a store reach such a frame without a look at what it
 * overlaps, so the entry is for this one access: what is kept of it is only what saves the next one its page walk, for as long as the table loses
 * nothing. While the block runs nothing is decoded or translated, so that what its group of operands covers stays data until it ends.
 *
 * With vCPUs that run at once another may make code of these bytes meanwhile; there each such store is the interpreter's.
 *
 * Compiled for general registers alone: the guest's vector registers stay where they are. */
#include "engine/bt/bt.h"

/* [lin + lo, lin + hi) of the site's group, as far as it lies in LIN's page. */
static bool holds_code(const struct bt *b, const struct bt_site *s, u64 lin, u64 gpa)
{
    i64 off = (i64)(lin & ~PAGE_MASK), from = off + s->lo, to = off + s->hi;
    from = from < 0 ? 0 : from;
    to = to > (i64)PAGE_SIZE ? (i64)PAGE_SIZE : to;
    return mem_code_marked(b->cpu->wires.mem, (gpa & PAGE_MASK) + (u64)from, (u64)(to - from));
}

struct tlb_entry *bt_find_write(struct bt *b, u64 lin, u32 site_size)
{
    struct tlb_table *t = b->scratch->tlb;
    unsigned size = site_size >> BT_SITE_BITS;
    const struct bt_site *s = &b->sites[site_size & ((1u << BT_SITE_BITS) - 1)];
    struct tlb_entry *e = tlb_find(t, lin, size, ACC_WRITE);
    struct bt_beside *k = &b->beside;
    if (LIKELY(e) || k->entry.write != (lin & PAGE_MASK) || k->table != t || k->removed != t->removed || (lin & ~PAGE_MASK) + size > PAGE_SIZE ||
        holds_code(b, s, lin, k->frame))
        return e;
    b->beside_n++;
    return &k->entry;
}

struct tlb_entry *bt_beside(struct bt *b, const struct bt_site *s, u64 lin, const struct place *p)
{
    struct cpu *c = b->cpu;
    struct mem *m = c->wires.mem;
    u64 page = lin & PAGE_MASK, no = tlb_no_tag(tlb_first(lin));
    if (!(s->acc & ACC_WRITE) || !p->hva || c->company == CPU_CONCURRENT || !(mem_frame_flags(m, p->gpa) & FRAME_CODE) ||
        !mem_is_writable(m, p->gpa & PAGE_MASK, PAGE_SIZE))
        return NULL;
    b->beside = (struct bt_beside){.entry = {.read = no, .write = page, .exec = no, .addend = (u64)(uintptr_t)p->hva - lin},
                                   .frame = p->gpa & PAGE_MASK,
                                   .table = c->tlb->current,
                                   .removed = c->tlb->current->removed};
    if (holds_code(b, s, lin, p->gpa))
        return NULL;
    b->beside_n++;
    return &b->beside.entry;
}
