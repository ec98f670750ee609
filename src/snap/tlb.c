/* The soft TLB as bytes:
 *
 *     active context u32, use clock u64
 *     8 times: PCID u16, used u8, large u8, 4 touched u8, last use u64, then for each touched view its
 * entries: slot u16, kind u8, valid tags u8 (1 read, 2 write, 4 execute), linear page u64, guest-physical
 * page u64 and slot 0xffff behind the last
 *
 * An entry's valid tags all name the same page (tlb_fill). Generations are not kept: they tell decoded code
 * what is stale, and none is kept either. */
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "cpu/tlb.h"
#include "mem/mem.h"
#include "snap/snap.h"

enum { TAG_READ = 1, TAG_WRITE = 2, TAG_EXEC = 4, TAG_ALL = 7 };

#define LAST_SLOT 0xffffu
#define PCID_MAX  0xfffu

static bool save_table(const struct mem *m, const struct tlb_table *t, struct buffer *out)
{
    for (unsigned k = 0; k < TLB_SLOTS; k++) {
        const struct tlb_entry *e = &t->entry[k];
        unsigned tags = (tlb_is_tag(e->read) ? TAG_READ : 0u) | (tlb_is_tag(e->write) ? TAG_WRITE : 0u) |
                        (tlb_is_tag(e->exec) ? TAG_EXEC : 0u);
        u64 page = tags & TAG_READ ? e->read : tags & TAG_EXEC ? e->exec : e->write;
        if (tags &&
            !(buffer_put_n(out, k, 2) && buffer_put_n(out, t->kind[k], 1) && buffer_put_n(out, tags, 1) &&
              buffer_put_n(out, page, 8) && buffer_put_n(out, page + e->addend - (u64)(uintptr_t)m->base, 8)))
            return false;
    }
    return buffer_put_n(out, LAST_SLOT, 2);
}

bool snap_save_tlb(const struct cpu *c, struct buffer *out)
{
    const struct tlb *t = c->tlb;
    bool ok = buffer_put_n(out, t->active, 4) && buffer_put_n(out, t->use_clock, 8);
    for (unsigned k = 0; ok && k < TLB_CONTEXTS; k++) {
        const struct tlb_context *x = &t->context[k];
        ok = buffer_put_n(out, x->pcid, 2) && buffer_put_n(out, x->used, 1) && buffer_put_n(out, x->large, 1);
        for (unsigned v = 0; ok && v < TLB_VIEWS; v++)
            ok = buffer_put_n(out, x->touched[v], 1);
        ok = ok && buffer_put_n(out, x->last_use, 8);
        for (unsigned v = 0; ok && v < TLB_VIEWS; v++)
            if (x->touched[v])
                ok = save_table(c->wires.mem, &x->view[v], out);
    }
    return ok;
}

static bool take_entry(struct mem *m, struct tlb_table *t, unsigned slot, struct buffer *in)
{
    u64 kind, tags, page, gpa;
    if (slot >= TLB_SLOTS || !buffer_get_n(in, &kind, 1) || !buffer_get_n(in, &tags, 1) ||
        !buffer_get_n(in, &page, 8) || !buffer_get_n(in, &gpa, 8))
        return false;
    if (kind & ~(u64)(TLB_GLOBAL | TLB_SIZE) || !tags || tags & ~(u64)TAG_ALL || (page | gpa) & ~PAGE_MASK ||
        !cpu_canonical(page) || slot != (slot < TLB_ENTRIES ? tlb_first(page) : tlb_second(page)) ||
        !mem_is_ram(m, gpa, PAGE_SIZE))
        return false;
    if (tags & TAG_WRITE) {
        if (!mem_is_writable(m, gpa, PAGE_SIZE))
            return false;
        mem_frame_set(m, gpa, FRAME_WTAG);
    }
    tlb_mark_filled(t, slot);
    t->kind[slot] = (u8)kind;
    u64 no = tlb_no_tag(tlb_first(page));
    t->entry[slot] = (struct tlb_entry){
        .read = tags & TAG_READ ? page : no,
        .write = tags & TAG_WRITE ? page : no,
        .exec = tags & TAG_EXEC ? page : no,
        .addend = (u64)(uintptr_t)m->base + gpa - page,
    };
    return true;
}

static bool take_table(struct mem *m, struct tlb_table *t, struct buffer *in)
{
    u64 slot;
    while (buffer_get_n(in, &slot, 2)) {
        if (slot == LAST_SLOT)
            return true;
        if (!take_entry(m, t, (unsigned)slot, in))
            return false;
    }
    return false;
}

static bool take_context(struct mem *m, struct tlb_context *x, struct buffer *in)
{
    u64 pcid, used, large, touched;
    if (!buffer_get_n(in, &pcid, 2) || !buffer_get_n(in, &used, 1) || !buffer_get_n(in, &large, 1) ||
        pcid > PCID_MAX || used > 1 || large > 1)
        return false;
    x->pcid = (u16)pcid;
    x->used = used;
    tlb_context_make(x);
    x->large = large;
    memset(x->large_at, large ? 0xff : 0, sizeof x->large_at); /* where is not saved: anywhere */
    for (unsigned v = 0; v < TLB_VIEWS; v++) {
        if (!buffer_get_n(in, &touched, 1) || touched > 1)
            return false;
        x->touched[v] = touched;
    }
    if (!buffer_get_n(in, &x->last_use, 8))
        return false;
    for (unsigned v = 0; v < TLB_VIEWS; v++)
        if (x->touched[v] && !take_table(m, &x->view[v], in))
            return false;
    return true;
}

bool snap_take_tlb(struct cpu *c, const struct snap_record *rec)
{
    struct tlb *t = c->tlb;
    struct buffer in = {.data = (u8 *)(uintptr_t)rec->data, .len = rec->len};
    u64 active;
    tlb_flush_all(c);
    if (!buffer_get_n(&in, &active, 4) || active >= TLB_CONTEXTS || !buffer_get_n(&in, &t->use_clock, 8))
        return false;
    for (unsigned k = 0; k < TLB_CONTEXTS; k++)
        if (!take_context(c->wires.mem, &t->context[k], &in))
            return false;
    if (in.pos != in.len || !t->context[active].used)
        return false;
    t->active = (u32)active;
    t->generation = t->context[active].generation;
    tlb_select_view(c);
    return true;
}
