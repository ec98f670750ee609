#include "cpu/tlb.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "cpu/walk.h"

static struct tlb_entry no_entry(unsigned k)
{
    u64 no = tlb_no_tag(k);
    return (struct tlb_entry){no, no, no, 0};
}

static void table_make(struct tlb_table *t)
{
    for (unsigned k = 0; k < TLB_SLOTS; k++)
        t->entry[k] = no_entry(k);
    memset(t->kind, 0, sizeof t->kind);
    memset(t->filled, 0, sizeof t->filled);
    t->second_hits = 0;
    t->removed = 0;
}

void tlb_context_make(struct tlb_context *x)
{
    if (x->made)
        return;
    for (unsigned v = 0; v < TLB_VIEWS; v++)
        table_make(&x->view[v]);
    x->made = true;
}

/* K runs over the entries of T that may hold something. */
#define FILLED(t, k)                                                                                         \
    for (unsigned word_ = 0, k; word_ < TLB_SLOTS / 64; word_++)                                           \
        for (u64 bits_ = (t)->filled[word_]; bits_ && (k = word_ * 64 + (unsigned)__builtin_ctzll(bits_), true); \
             bits_ &= bits_ - 1)

static void slot_clear(struct tlb_table *t, unsigned k)
{
    t->entry[k] = no_entry(k);
    t->kind[k] = 0;
    t->filled[k / 64] &= ~(1ull << k % 64);
    t->removed++;
}

static void table_clear(struct tlb_table *t)
{
    FILLED(t, k)
    {
        slot_clear(t, k);
    }
}

/* What was looked up in this context is void from now on. */
static void context_renew(struct tlb *t, struct tlb_context *x)
{
    x->generation = ++t->stamp;
    t->generation = t->context[t->active].generation;
    t->flushes++;
}

static void code_renew(struct tlb *t, struct tlb_context *x, unsigned k)
{
    if (!x->code[k].any)
        return;
    x->code[k] = (struct tlb_code){.generation = ++t->stamp, .epoch = t->stamp};
    if (k)
        t->kernel_generation = t->kernel_epoch = ++t->stamp;
}

/* After the flush of a small page; the epoch stays. */
static void code_renew_generation(struct tlb *t, struct tlb_context *x, unsigned k)
{
    memset(x->code[k].pages, 0, sizeof x->code[k].pages);
    x->code[k].generation = ++t->stamp;
    if (k)
        t->kernel_generation = ++t->stamp;
}

static void page_bits(u64 lin, unsigned bit[2])
{
    u64 h = (lin >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull;
    bit[0] = (unsigned)(h >> (64 - TLB_CODE_BITS));
    bit[1] = (unsigned)(h >> (64 - 2 * TLB_CODE_BITS)) & ((1u << TLB_CODE_BITS) - 1);
}

static bool large_known(const struct tlb_code *k, u64 lin)
{
    for (unsigned n = 0; n < k->large_n; n++)
        if (k->large[n] == lin >> 21)
            return true;
    return false;
}

/* Was there code in what a flush of LIN's page drops: in this page? */
static bool code_in_page(const struct tlb_code *k, u64 lin)
{
    unsigned b[2];
    page_bits(lin, b);
    return k->half[lin >> 63] && k->pages[b[0] / 64] >> b[0] % 64 & k->pages[b[1] / 64] >> b[1] % 64 & 1;
}

/* In a large page that it lies in? */
static bool code_in_large(const struct tlb_code *k, u64 lin)
{
    return k->half[lin >> 63] && (k->all || large_known(k, lin));
}

static void large_mark(struct tlb_code *k, u64 lin, u8 size)
{
    if (large_known(k, lin))
        return;
    k->all |= size > TLB_SIZE_2M || k->large_n == TLB_CODE_LARGE;
    if (!k->all)
        k->large[k->large_n++] = lin >> 21;
}

/* Of the 2 MiB, or with WIDE the 1 GiB, that LIN lies in. */
static unsigned region_bit(u64 lin, bool wide)
{
    return (unsigned)((lin >> (wide ? 30 : 21)) * 0x9e3779b97f4a7c15ull >> 55);
}

/* May there be a piece of a large page that LIN lies in? */
static bool context_may_split(const struct tlb_context *x, u64 lin)
{
    unsigned a = region_bit(lin, false), b = region_bit(lin, true);
    return x->large && (x->large_at[a / 64] >> a % 64 & 1 || x->large_at[b / 64] >> b % 64 & 1);
}

void tlb_mark_code(struct cpu *c, u64 lin, u8 kind)
{
    struct tlb *t = c->tlb;
    unsigned v = c->cpl != 3, b[2];
    struct tlb_code *k = &t->context[t->active].code[v];
    k->any = true;
    k->half[lin >> 63] = true;
    if (kind & TLB_SIZE) {
        large_mark(k, lin, kind & TLB_SIZE);
    } else {
        page_bits(lin, b);
        k->pages[b[0] / 64] |= 1ull << b[0] % 64;
        k->pages[b[1] / 64] |= 1ull << b[1] % 64;
    }
    if (!(kind & TLB_GLOBAL)) {
        k->nonglobal = true;
        t->kernel_mixed |= v;
    }
}

u64 tlb_code_generation(const struct cpu *c)
{
    const struct tlb *t = c->tlb;
    unsigned v = c->cpl != 3;
    return v && !t->kernel_mixed ? t->kernel_generation : t->context[t->active].code[v].generation;
}

u64 tlb_code_epoch(const struct cpu *c)
{
    const struct tlb *t = c->tlb;
    unsigned v = c->cpl != 3;
    return v && !t->kernel_mixed ? t->kernel_epoch : t->context[t->active].code[v].epoch;
}

static void context_clear(struct tlb *t, struct tlb_context *x)
{
    code_renew(t, x, 0);
    code_renew(t, x, 1);
    for (unsigned v = 0; v < TLB_VIEWS; v++)
        if (x->touched[v]) {
            table_clear(&x->view[v]);
            x->touched[v] = false;
        }
    x->large = false;
    memset(x->large_at, 0, sizeof x->large_at);
    context_renew(t, x);
}

static void context_clear_nonglobal(struct tlb *t, struct tlb_context *x)
{
    for (unsigned k = 0; k < 2; k++)
        if (x->code[k].nonglobal)
            code_renew(t, x, k);
    for (unsigned v = 0; v < TLB_VIEWS; v++)
        if (x->touched[v])
            FILLED(&x->view[v], k)
            {
                if (!(x->view[v].kind[k] & TLB_GLOBAL))
                    slot_clear(&x->view[v], k);
            }
    context_renew(t, x);
}

struct tlb *tlb_create(void)
{
    struct tlb *t = aligned_alloc(64, align_up(sizeof *t, 64));
    if (!t)
        return NULL;
    memset(t, 0, offsetof(struct tlb, context));
    table_make(&t->none);
    for (unsigned k = 0; k < TLB_CONTEXTS; k++) {
        memset(&t->context[k], 0, offsetof(struct tlb_context, view));
        for (unsigned v = 0; v < 2; v++)
            t->context[k].code[v].generation = t->context[k].code[v].epoch = ++t->stamp;
        context_clear(t, &t->context[k]);
    }
    tlb_context_make(&t->context[0]);
    t->context[0].used = true;
    t->current = &t->none;
    return t;
}

void tlb_destroy(struct tlb *t)
{
    free(t);
}

u64 tlb_second_hits(const struct tlb *t)
{
    u64 n = 0;
    for (unsigned k = 0; k < TLB_CONTEXTS; k++)
        for (unsigned v = 0; v < TLB_VIEWS && t->context[k].made; v++)
            n += t->context[k].view[v].second_hits;
    return n;
}

void tlb_select_view(struct cpu *c)
{
    struct tlb *t = c->tlb;
    t->current = c->view == TLB_VIEW_NONE ? &t->none : &t->context[t->active].view[c->view];
}

static unsigned view_for(const struct cpu *c, unsigned acc)
{
    return acc & ACC_IMPLICIT ? TLB_VIEW_IMPLICIT : acc & ACC_USER ? TLB_VIEW_USER : c->view;
}

struct tlb_table *tlb_table_for(struct cpu *c, unsigned acc)
{
    struct tlb *t = c->tlb;
    /* Fetches know neither AC nor data breakpoints. */
    unsigned v = acc & ACC_FETCH ? (c->cpl == 3 ? TLB_VIEW_USER : TLB_VIEW_KERNEL) : view_for(c, acc);
    return v == TLB_VIEW_NONE ? &t->none : &t->context[t->active].view[v];
}

static u8 size_kind(u64 size)
{
    return size == MIB(2) ? TLB_SIZE_2M : size == MIB(4) ? TLB_SIZE_4M : size == GIB(1) ? TLB_SIZE_1G : 0;
}

u8 tlb_kind(const struct walk *w)
{
    return (u8)(size_kind(w->page_size) | (w->global ? TLB_GLOBAL : 0));
}

static u64 entry_page(const struct tlb_entry *e)
{
    return tlb_is_tag(e->read)    ? e->read
           : tlb_is_tag(e->exec)  ? e->exec
           : tlb_is_tag(e->write) ? e->write
                                  : TLB_INVALID;
}

static void slot_set(struct tlb_table *t, unsigned k, struct tlb_entry e, u8 kind)
{
    t->entry[k] = e;
    t->kind[k] = kind;
    tlb_mark_filled(t, k);
}

static void slot_move(struct tlb_table *t, unsigned to, unsigned from)
{
    slot_set(t, to, t->entry[from], t->kind[from]);
    slot_clear(t, from);
}

/* Makes PAGE's first slot its own, with what either way knows of it under this addend. The slot. */
static unsigned slot_take(struct tlb_table *t, u64 page, u64 addend)
{
    unsigned k = tlb_first(page), second = tlb_second(page);
    u64 old = entry_page(&t->entry[k]);
    if (old == page) {
        if (t->entry[k].addend != addend)
            slot_clear(t, k);
        return k;
    }
    bool there = entry_page(&t->entry[second]) == page;
    struct tlb_entry e = t->entry[second];
    u8 kind = t->kind[second];
    if (there)
        slot_clear(t, second);
    if (old != TLB_INVALID)
        slot_move(t, tlb_second(old), k);
    if (there && e.addend == addend)
        slot_set(t, k, e, kind);
    return k;
}

static bool answers(const struct tlb_entry *e, u64 page, unsigned acc)
{
    return (acc & ACC_FETCH ? e->exec : acc & ACC_WRITE ? e->write : e->read) == page;
}

struct tlb_entry *tlb_find(struct tlb_table *t, u64 lin, unsigned size, unsigned acc)
{
    u64 page = lin & PAGE_MASK;
    unsigned second = tlb_second(lin);
    if (lin - page + size > PAGE_SIZE)
        return NULL;
    if (!answers(tlb_slot(t, lin), page, acc)) {
        if (!answers(&t->entry[second], page, acc))
            return NULL;
        slot_take(t, page, t->entry[second].addend);
        t->second_hits++;
    }
    return tlb_slot(t, lin);
}

void tlb_fill(struct cpu *c, u64 lin, unsigned acc, const struct walk *w)
{
    struct tlb *t = c->tlb;
    struct mem *m = c->wires.mem;
    struct tlb_table *table = tlb_table_for(c, acc);
    t->misses++;
    if (table == &t->none || !mem_is_ram(m, w->gpa & PAGE_MASK, PAGE_SIZE))
        return;
    struct tlb_context *x = &t->context[t->active];
    u64 page = lin & PAGE_MASK, addend = (u64)(uintptr_t)m->base + (w->gpa & PAGE_MASK) - page;
    unsigned k = slot_take(table, page, addend);
    struct tlb_entry *e = &table->entry[k];
    u8 kind = tlb_kind(w);
    tlb_mark_filled(table, k);
    e->addend = addend;
    table->kind[k] = kind;
    if (kind & TLB_SIZE) {
        unsigned r = region_bit(lin, (kind & TLB_SIZE) > TLB_SIZE_2M);
        x->large = true;
        x->large_at[r / 64] |= 1ull << r % 64;
    }
    x->touched[table - x->view] = true;
    if (acc & ACC_FETCH) {
        e->exec = page;
        return;
    }
    e->read = page;
    u8 flags = mem_frame_flags(m, w->gpa);
    if (acc & ACC_WRITE && !(flags & FRAME_CODE) && mem_is_writable(m, w->gpa & PAGE_MASK, PAGE_SIZE)) {
        e->write = page;
        if (!(flags & FRAME_WTAG))
            mem_frame_set(m, w->gpa, FRAME_WTAG);
    }
}

void tlb_flush_all(struct cpu *c)
{
    for (unsigned k = 0; k < TLB_CONTEXTS; k++)
        context_clear(c->tlb, &c->tlb->context[k]);
    c->tlb->kernel_generation = c->tlb->kernel_epoch = ++c->tlb->stamp;
    c->tlb->kernel_mixed = false;
}

void tlb_flush_nonglobal(struct cpu *c)
{
    for (unsigned k = 0; k < TLB_CONTEXTS; k++)
        context_clear_nonglobal(c->tlb, &c->tlb->context[k]);
}

static struct tlb_context *context_find(struct tlb *t, u16 pcid)
{
    for (unsigned k = 0; k < TLB_CONTEXTS; k++)
        if (t->context[k].used && t->context[k].pcid == pcid)
            return &t->context[k];
    return NULL;
}

void tlb_load_cr3(struct cpu *c, u16 pcid, bool keep)
{
    struct tlb *t = c->tlb;
    struct tlb_context *x = context_find(t, pcid);
    if (!x) {
        x = &t->context[0];
        for (unsigned k = 1; k < TLB_CONTEXTS; k++)
            if (!t->context[k].used || (x->used && t->context[k].last_use < x->last_use))
                x = &t->context[k];
        context_clear(t, x);
        tlb_context_make(x);
        x->used = true;
        x->pcid = pcid;
    } else if (!keep) {
        context_clear_nonglobal(t, x);
    }
    x->last_use = ++t->use_clock;
    t->active = (u32)(x - t->context);
    t->generation = x->generation;
    tlb_select_view(c);
}

void tlb_flush_pcid(struct cpu *c, u16 pcid)
{
    struct tlb_context *x = context_find(c->tlb, pcid);
    if (x)
        context_clear_nonglobal(c->tlb, x);
}

static void slot_drop(struct tlb_table *table, unsigned k, u64 lin, bool only_global)
{
    static const u64 span[4] = {PAGE_SIZE, MIB(2), MIB(4), GIB(1)};
    const struct tlb_entry *e = &table->entry[k];
    u64 mask = ~(span[(table->kind[k] & TLB_SIZE) >> 1] - 1);
    u64 at = entry_page(e);
    if (at != TLB_INVALID && (at & mask) == (lin & mask) && (!only_global || table->kind[k] & TLB_GLOBAL))
        slot_clear(table, k);
}

/* Drops LIN's page from one context; ONLY_GLOBAL spares the others. */
static void context_drop(struct tlb *t, struct tlb_context *x, u64 lin, bool only_global)
{
    for (unsigned k = 0; k < 2; k++)
        if (code_in_large(&x->code[k], lin))
            code_renew(t, x, k);
        else if (code_in_page(&x->code[k], lin))
            code_renew_generation(t, x, k);
    bool pieces = context_may_split(x, lin);
    for (unsigned v = 0; v < TLB_VIEWS; v++) {
        if (!x->touched[v])
            continue;
        struct tlb_table *table = &x->view[v];
        if (!pieces) {
            slot_drop(table, tlb_first(lin), lin, only_global);
            slot_drop(table, tlb_second(lin), lin, only_global);
            continue;
        }
        FILLED(table, k)
        {
            slot_drop(table, k, lin, only_global);
        }
    }
    context_renew(t, x);
}

static void note_dropped(struct tlb *t, u64 lin)
{
    t->dropped[t->dropped_n++ % TLB_DROPPED] = lin & PAGE_MASK;
}

void tlb_invlpg(struct cpu *c, u64 lin)
{
    struct tlb *t = c->tlb;
    note_dropped(t, lin);
    for (unsigned k = 0; k < TLB_CONTEXTS; k++)
        if (t->context[k].used)
            context_drop(t, &t->context[k], lin, k != t->active);
}

void tlb_invpcid_page(struct cpu *c, u16 pcid, u64 lin)
{
    struct tlb_context *x = context_find(c->tlb, pcid);
    note_dropped(c->tlb, lin);
    if (x)
        context_drop(c->tlb, x, lin, false);
}

void tlb_flush_pkru(struct cpu *c)
{
    struct tlb *t = c->tlb;
    /* Keys bind every data access to user pages, the kernel's and implicit ones too; not fetches, whose
     * generation stays. A context that sleeps would wake up with what the old keys allowed. */
    for (unsigned n = 0; n < TLB_CONTEXTS; n++)
        for (unsigned v = 0; v < TLB_VIEWS; v++)
            if (t->context[n].touched[v]) {
                table_clear(&t->context[n].view[v]);
                t->context[n].touched[v] = false;
            }
}

void tlb_protect_frame(struct cpu *c, u64 gpa)
{
    struct tlb *t = c->tlb;
    struct mem *m = c->wires.mem;
    u64 hva = (u64)(uintptr_t)m->base + (gpa & PAGE_MASK);
    t->protects++;
    for (unsigned x = 0; x < TLB_CONTEXTS; x++)
        for (unsigned v = 0; v < TLB_VIEWS; v++) {
            if (!t->context[x].touched[v])
                continue;
            struct tlb_table *table = &t->context[x].view[v];
            struct tlb_entry *e = table->entry;
            FILLED(table, k)
            {
                if (tlb_is_tag(e[k].write) && e[k].write + e[k].addend == hva)
                    e[k].write = tlb_no_tag(tlb_first(e[k].write)), table->removed++;
            }
        }
}

void frame_mark_code(struct cpu *c, u64 gpa, u8 flag)
{
    struct mem *m = c->wires.mem;
    u8 flags = mem_frame_flags(m, gpa);
    if (LIKELY(flags & flag))
        return;
    if (c->company != CPU_ALONE) {
        c->wires.code_mark(c->wires.opaque, gpa, flag);
        return;
    }
    mem_frame_set(m, gpa, flag);
    if (flags & FRAME_WTAG && !(flags & FRAME_CODE)) {
        mem_frame_clear(m, gpa, FRAME_WTAG);
        tlb_protect_frame(c, gpa);
    }
}
