/* The page walk: SDM vol. 3, 5.3 (32-bit), 5.4 (PAE), 5.5 (4-level), 5.6 (access rights), 5.7 (error
 * codes), 5.8 (accessed and dirty). Not modelled: 5-level paging, supervisor protection keys, shadow stacks.
 * Paging-structure caches are not modelled: every walk reads memory. */
#include "cpu/walk.h"

#include "base/bits.h"
#include "base/le.h"
#include "cpu/smm.h"
#include "cpu/system.h"
#include "cpu/tlb.h"

enum {
    PTE_P = 1 << 0,
    PTE_RW = 1 << 1,
    PTE_US = 1 << 2,
    PTE_A = 1 << 5,
    PTE_D = 1 << 6,
    PTE_PS = 1 << 7,
    PTE_G = 1 << 8,
};
#define PTE_NX     BIT(63)
#define PHYS_MASK  ((BIT(MEM_PHYS_BITS) - 1) & PAGE_MASK)
#define PHYS_RSVD  (BIT(52) - BIT(MEM_PHYS_BITS))
#define MAX_LEVELS 4

/* What the A20 gate leaves of a physical address. */
static u64 gate(const struct cpu *c, u64 gpa)
{
    return gpa & atomic_load_explicit(&c->wires.mem->a20, memory_order_relaxed);
}

/* The entries met on the way, so that A and D are set only once the access is known to be allowed. */
struct path {
    u64 gpa[MAX_LEVELS];
    u64 value[MAX_LEVELS];
    unsigned count;
    unsigned width; /* 4 or 8 bytes an entry */
};

static u64 pte_load(const struct cpu *c, u64 gpa, unsigned width)
{
    /* Outside RAM the bus would answer all ones or device registers; page tables there are taken as all ones:
     * reserved bits fault. */
    u8 *hva = cpu_ram(c, gpa, width, ACC_READ);
    if (!hva)
        return width == 4 ? 0xffffffff : ~0ull;
    return width == 4 ? __atomic_load_n((u32 *)(void *)hva, __ATOMIC_RELAXED)
                      : __atomic_load_n((u64 *)(void *)hva, __ATOMIC_RELAXED);
}

/* Sets BITS in the entry if it still is what the walk saw; false: it changed, walk again. */
static bool pte_update(struct mem *m, u64 gpa, u64 old, u64 bits, unsigned width)
{
    u32 old32 = (u32)old;
    if (!mem_is_writable(m, gpa, width) && !mem_is_smram(m, gpa, width))
        return true;
    bool done = width == 4 ? __atomic_compare_exchange_n((u32 *)(void *)(m->base + gpa), &old32, old32 | (u32)bits, false,
                                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
                           : __atomic_compare_exchange_n((u64 *)(void *)(m->base + gpa), &old, old | bits, false,
                                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    if (done && mem_frame_flags(m, gpa) & FRAME_CODE && m->code_write)
        m->code_write(m->code_opaque, gpa, width);
    return done;
}

static bool walk_user(const struct cpu *c, unsigned acc)
{
    return !(acc & ACC_IMPLICIT) && (c->cpl == 3 || acc & ACC_USER);
}

static u32 pf_code(const struct cpu *c, unsigned acc, u32 cause)
{
    bool fetch_bit = c->efer & EFER_NXE || c->cr4 & CR4_SMEP;
    return cause | (acc & ACC_WRITE ? PF_W : 0) | (walk_user(c, acc) ? PF_U : 0) |
           (acc & ACC_FETCH && fetch_bit ? PF_I : 0);
}

/* One level of a hierarchical table. */
struct level {
    u64 rsvd;      /* reserved bits of an entry that points to a table */
    u64 leaf_rsvd; /* of an entry that maps a page (PS = 1, or the last level) */
    u8 shift;      /* of the linear address */
    u8 index_bits;
    bool may_leaf; /* PS is honoured */
};

enum walk_result { WALK_OK, WALK_NOT_PRESENT, WALK_RESERVED };

static enum walk_result walk_levels(const struct cpu *c, u64 table, u64 lin, const struct level *lv,
                                    unsigned n, struct path *p, struct walk *w)
{
    u64 nx_rsvd = p->width == 8 && !(c->efer & EFER_NXE) ? PTE_NX : 0;
    for (unsigned k = 0; k < n; k++) {
        u64 gpa = gate(c, table + (lin >> lv[k].shift & ones(lv[k].index_bits)) * p->width);
        u64 e = pte_load(c, gpa, p->width);
        if (!(e & PTE_P))
            return WALK_NOT_PRESENT;
        bool last = k == n - 1;
        bool leaf = last || (lv[k].may_leaf && e & PTE_PS);
        if (e & ((leaf ? lv[k].leaf_rsvd : lv[k].rsvd) | nx_rsvd))
            return WALK_RESERVED;
        p->gpa[p->count] = gpa;
        p->value[p->count++] = e;
        w->user &= (bool)(e & PTE_US);
        w->writable &= (bool)(e & PTE_RW);
        w->nx |= p->width == 8 && e & PTE_NX;
        if (!leaf) {
            table = p->width == 8 ? e & PHYS_MASK : e & 0xfffff000;
            continue;
        }
        w->page_size = BIT(lv[k].shift);
        u64 frame = p->width == 8 ? e & PHYS_MASK : e & 0xfffff000;
        if (p->width == 4 && !last) /* 4 MiB: PSE-36 carries bits 39..32 in 20..13 */
            frame = (e & 0xffc00000) | bits_get(e, 20, 13) << 32;
        w->gpa = gate(c, (frame & ~(w->page_size - 1)) | (lin & (w->page_size - 1)));
        w->global = e & PTE_G && c->cr4 & CR4_PGE;
        w->dirty = e & PTE_D;
        w->pkey = p->width == 8 ? (u8)bits_get(e, 62, 59) : 0;
        return WALK_OK;
    }
    return WALK_NOT_PRESENT;
}

static enum walk_result walk_tables(const struct cpu *c, u64 lin, struct path *p, struct walk *w)
{
    *w = (struct walk){.user = true, .writable = true};
    p->count = 0;
    if (c->efer & EFER_LMA) {
        static const struct level four[] = {
            {PHYS_RSVD | PTE_PS, 0, 39, 9, false},
            {PHYS_RSVD, PHYS_RSVD | 0x3fffe000, 30, 9, true},
            {PHYS_RSVD, PHYS_RSVD | 0x1fe000, 21, 9, true},
            {0, PHYS_RSVD, 12, 9, false},
        };
        p->width = 8;
        return walk_levels(c, c->cr3 & PHYS_MASK, lin, four, 4, p, w);
    }
    if (c->cr4 & CR4_PAE) {
        /* Bits 62..52 are reserved outside 4-level paging (SDM table 5-9 ff.). */
        static const struct level pae[] = {
            {PHYS_RSVD | 0x7ff0000000000000, PHYS_RSVD | 0x7ff0000000000000 | 0x1fe000, 21, 9, true},
            {0, PHYS_RSVD | 0x7ff0000000000000, 12, 9, false},
        };
        u64 pdpte = c->pdpte[lin >> 30 & 3];
        if (!(pdpte & PTE_P))
            return WALK_NOT_PRESENT;
        p->width = 8;
        return walk_levels(c, pdpte & PHYS_MASK, lin, pae, 2, p, w);
    }
    static const struct level pse[] = {{0, 0x200000, 22, 10, true}, {0, 0, 12, 10, false}};
    static const struct level two[] = {{0, 0, 22, 10, false}, {0, 0, 12, 10, false}};
    p->width = 4;
    return walk_levels(c, c->cr3 & 0xfffff000, lin, c->cr4 & CR4_PSE ? pse : two, 2, p, w);
}

/* SDM 5.6.2. */
static bool key_refuses(const struct cpu *c, bool user, bool write, const struct walk *w)
{
    if (!w->user || !(c->cr4 & CR4_PKE) || !(c->efer & EFER_LMA))
        return false;
    u32 pk = c->pkru >> (2 * w->pkey) & 3;
    return pk & 1 || (pk & 2 && write && (user || c->cr0 & CR0_WP));
}

/* SDM 5.6.1. */
static bool mode_refuses(const struct cpu *c, unsigned acc, const struct walk *w)
{
    bool user = walk_user(c, acc), write = acc & ACC_WRITE;
    if (user && !w->user)
        return true;
    if (acc & ACC_FETCH)
        return w->nx || (!user && w->user && c->cr4 & CR4_SMEP);
    if (!user && w->user && c->cr4 & CR4_SMAP && (acc & ACC_IMPLICIT || !(c->rflags_sys & RFLAGS_AC)))
        return true;
    return write && !w->writable && (user || c->cr0 & CR0_WP);
}

/* 0: allowed; else the cause bits of the error code. PK does not depend on what else refuses (5.7; so does silicon). */
static u32 walk_refused(const struct cpu *c, unsigned acc, const struct walk *w)
{
    bool key = !(acc & ACC_FETCH) && key_refuses(c, walk_user(c, acc), acc & ACC_WRITE, w);
    if (key)
        return PF_P | PF_PK;
    return mode_refuses(c, acc, w) ? PF_P : 0;
}

bool page_walk(struct cpu *c, u64 lin, unsigned acc, struct walk *w)
{
    if (!(c->cr0 & CR0_PG)) {
        *w = (struct walk){
            .gpa = gate(c, lin & 0xffffffff), .page_size = PAGE_SIZE, .user = true, .writable = true, .dirty = true};
        return true;
    }
    c->tlb->walks++;
    struct path p;
    for (;;) {
        enum walk_result r = walk_tables(c, lin, &p, w);
        if (r == WALK_NOT_PRESENT)
            return cpu_raise_pf(c, lin, pf_code(c, acc, 0));
        if (r == WALK_RESERVED)
            return cpu_raise_pf(c, lin, pf_code(c, acc, PF_P | PF_RSVD));
        u32 cause = walk_refused(c, acc, w);
        if (cause)
            return cpu_raise_pf(c, lin, pf_code(c, acc, cause));
        bool again = false;
        for (unsigned k = 0; k < p.count && !again; k++) {
            u64 want = PTE_A | (acc & ACC_WRITE && k == p.count - 1 ? PTE_D : 0);
            if ((p.value[k] & want) != want)
                again = !pte_update(c->wires.mem, p.gpa[k], p.value[k], want, p.width);
        }
        if (!again)
            break;
    }
    w->dirty |= (bool)(acc & ACC_WRITE);
    return true;
}

bool page_peek(const struct cpu *c, u64 lin, struct walk *w)
{
    if (!(c->cr0 & CR0_PG)) {
        *w = (struct walk){
            .gpa = gate(c, lin & 0xffffffff), .page_size = PAGE_SIZE, .user = true, .writable = true, .dirty = true};
        return true;
    }
    struct path p;
    return walk_tables(c, lin, &p, w) == WALK_OK;
}

bool pdpte_load(struct cpu *c, u64 cr3)
{
    u64 e[4];
    for (unsigned k = 0; k < 4; k++) {
        e[k] = pte_load(c, gate(c, (cr3 & 0xffffffe0) + 8 * k), 8);
        if (e[k] & PTE_P && e[k] & (PHYS_RSVD | 0xfff00000000001e6))
            return cpu_raise_gp(c, 0);
    }
    for (unsigned k = 0; k < 4; k++)
        c->pdpte[k] = e[k];
    return true;
}
