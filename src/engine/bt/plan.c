/* What is known of a block before its first byte is emitted: where flags are dead, and which memory operands
 * lie so near to each other that one look into the soft TLB answers for all of them.
 *
 * Flags may be given up where the next instruction that touches them writes all of them whatever they were,
 * and where the ways out until then (a miss, a fault, the budget) can make them again from registers.
 *
 * Operands are compared by value numbers: registers that hold the same value at a constant distance. The
 * first access of a group tests the whole span and keeps the host's address of its operand in the scratch
 * page; the others are one load away. No other access comes of it: where the span leaves the page, the block
 * goes on in its careful variant, which has no groups. */
#include <string.h>

#include "engine/bt/tr.h"

#define SPAN_MAX 512

/* ---- flags ---- */

static bool writes_gpr(const struct dec *d, unsigned want)
{
    unsigned g;
    bool high;
    switch (d->kind) {
    case K_PUSH:
        return want == RSP;
    case K_POP:
        return want == RSP || want == d->i.rd;
    case K_LEAVE:
        return want == RSP || want == RBP;
    case K_LEA:
        return want == d->i.rd;
    case K_JCC:
    case K_NOP:
        return false;
    default:
        break;
    }
    for (unsigned k = 0; k < d->z.operand_count; k++)
        if (d->ops[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE && operand_gpr(&d->ops[k], &g, &high) && g == want)
            return true;
    return false;
}

u32 plan_recovery(const struct dec *d)
{
    const struct insn *i = &d->i;
    if (d->kind != K_GENERIC || i->flags & INSN_HIGH8)
        return 0;
    bool wide = i->size >= 4, rr = i->form == FORM_RR, ri = i->form == FORM_RI;
    switch (i->op) {
    case OP_CMP:
    case OP_TEST:
        if (i->size == 1)
            return rr ? 1u << i->rd / 8 | 1u << i->rs / 8 : ri ? 1u << i->rd / 8 : 0;
        return rr ? 1u << i->rd | 1u << i->rs : ri ? 1u << i->rd : 0;
    case OP_AND:
    case OP_OR:
    case OP_XOR: return wide && (rr || ri || i->form == FORM_RM) ? 1u << i->rd : 0;
    case OP_ADD:
    case OP_SUB:
        if (!wide || (rr && i->rd == i->rs))
            return 0;
        return rr ? 1u << i->rd | 1u << i->rs : ri ? 1u << i->rd : 0;
    default: return 0;
    }
}

static void plan_flags(struct tr *t)
{
    bool dead = false;
    u16 next = 0;
    for (unsigned k = t->n_insns; k--;) {
        const struct dec *d = &t->d[k];
        if (d->kind >= K_SENSITIVE || d->kind == K_STEP || d->reads_flags)
            dead = false;
        else if (d->full)
            dead = true, next = (u16)k;
        else if (d->touches_flags)
            dead = false;
        t->plan[k].dead = dead;
        t->plan[k].next_full = next;
    }
}

static bool kept_until(const struct tr *t, int writer, unsigned end, u32 gprs)
{
    for (unsigned k = (unsigned)writer + 1; k < end; k++)
        for (unsigned g = 0; g < 16; g++)
            if (gprs >> g & 1 && writes_gpr(&t->d[k], g))
                return false;
    return true;
}

bool plan_may_lose(const struct tr *t, int writer)
{
    const struct plan *p = &t->plan[t->index];
    u32 needs;
    return writer >= 0 && p->dead &&
           (t->d[writer].replays || ((needs = plan_recovery(&t->d[writer])) != 0 && kept_until(t, writer, p->next_full, needs)));
}

/* Does anything from the next instruction to number END look into memory by itself? */
static bool looks_until(const struct tr *t, unsigned end)
{
    for (unsigned k = t->index + 1u; k <= end; k++) {
        const struct touch *x = t->plan[k].touch;
        if (touches_memory(&t->d[k]) && !(x[0].slot && !x[0].leads && !(x[1].known && (!x[1].slot || x[1].leads))))
            return true;
    }
    return false;
}

/* One register and an immediate, or another register, that can be encoded as any. */
static bool can_replay(const struct dec *d)
{
    const struct insn *i = &d->i;
    bool rr = i->form == FORM_RR && i->rs != i->rd;
    if (d->kind != K_GENERIC || !d->full || d->reads_flags || i->size < 4 || !(d->z.attributes & ZYDIS_ATTRIB_HAS_MODRM) ||
        !(rr || i->form == FORM_RI || i->form == FORM_R) || host_reg(i->rd) == NO_REG)
        return false;
    switch (i->op) {
    case OP_ADD:
    case OP_SUB:
    case OP_AND:
    case OP_OR:
    case OP_XOR:
    case OP_SHL:
    case OP_SHR:
    case OP_SAR: return true;
    default: return false;
    }
}

bool plan_wants_input(const struct tr *t)
{
    const struct dec *d = &t->d[t->index];
    const struct plan *p = &t->plan[t->index + 1];
    u32 needs = plan_recovery(d);
    return t->index + 1u < t->n_insns && p->dead && can_replay(d) && looks_until(t, p->next_full) &&
           !(needs && kept_until(t, t->index, p->next_full, needs)) &&
           (d->i.form != FORM_RR || kept_until(t, t->index, p->next_full, 1u << d->i.rs));
}

bool plan_kept(const struct tr *t, int writer, u32 gprs)
{
    return kept_until(t, writer, t->index, gprs);
}

bool plan_in_the_way(const struct tr *t)
{
    for (unsigned k = t->index + 1u; k < t->n_insns; k++) {
        const struct dec *d = &t->d[k];
        if (d->kind >= K_SENSITIVE || d->reads_flags)
            return false;
        if (d->full || touches_memory(d))
            return true;
        if (d->touches_flags)
            return false;
    }
    return false;
}

/* ---- memory operands ---- */

struct value {
    u16 number;
    i32 delta;
};
struct numbering {
    struct value gpr[16];
    u16 next;
};

static void fresh(struct numbering *v, unsigned g)
{
    v->gpr[g] = (struct value){.number = v->next++};
}

static void shift(struct numbering *v, unsigned to, unsigned from, i64 by)
{
    i64 delta = v->gpr[from].delta + by;
    if (delta != (i32)delta || delta > 1 << 20 || delta < -(1 << 20))
        fresh(v, to);
    else
        v->gpr[to] = (struct value){v->gpr[from].number, (i32)delta};
}

static void all_fresh(struct numbering *v)
{
    for (unsigned g = 0; g < 16; g++)
        fresh(v, g);
}

static void after(struct numbering *v, const struct dec *d)
{
    const struct insn *i = &d->i;
    unsigned g, word = d->code32 ? 4 : 8;
    bool high;
    switch (d->kind) {
    case K_NOP:
    case K_JCC: return;
    case K_PUSH: shift(v, RSP, RSP, -(i64)word); return;
    case K_POP:
        shift(v, RSP, RSP, word);
        if (i->form == FORM_R)
            fresh(v, i->rd);
        return;
    case K_LEAVE:
        shift(v, RSP, RBP, word);
        fresh(v, RBP);
        return;
    case K_LEA:
        if (i->size == word && i->asize == word && i->base < 16 && i->index == GPR_ZERO)
            shift(v, i->rd, i->base, i->disp);
        else
            fresh(v, i->rd);
        return;
    case K_STRING:
        fresh(v, RAX), fresh(v, RCX), fresh(v, RSI), fresh(v, RDI);
        return;
    case K_GENERIC: break;
    default: all_fresh(v); return;
    }
    if (i->size == word && i->form == FORM_RI && (i->op == OP_ADD || i->op == OP_SUB)) {
        shift(v, i->rd, i->rd, i->op == OP_ADD ? i->imm : -(i64)i->imm);
        return;
    }
    if (i->size == word && i->form == FORM_RR && i->op == OP_MOV && !(i->flags & INSN_HIGH8)) {
        shift(v, i->rd, i->rs, 0);
        return;
    }
    for (unsigned k = 0; k < d->z.operand_count; k++)
        if (d->ops[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE && operand_gpr(&d->ops[k], &g, &high))
            fresh(v, g);
}

struct touched {
    struct ea ea;
    u8 size, acc;
};

/* D's accesses in the order in which its emitter makes them. */
static unsigned accesses_of(const struct tr *t, const struct dec *d, struct touched a[2])
{
    const struct ea top = ea_at(t, RSP, 0), below = ea_at(t, RSP, -t->word), frame = ea_at(t, RBP, 0);
    unsigned n = 0;
    bool memory = d->i.form == FORM_M;
    switch (d->kind) {
    case K_PUSH:
        if (d->i.form != FORM_I && d->i.form != FORM_R)
            a[n++] = (struct touched){ea_of(d, t->page_off), t->word, ACC_READ};
        a[n++] = (struct touched){below, t->word, ACC_WRITE};
        return n;
    case K_CALL:
        if (memory)
            a[n++] = (struct touched){ea_of(d, t->page_off), t->word, ACC_READ};
        a[n++] = (struct touched){below, t->word, ACC_WRITE};
        return n;
    case K_JMP:
        if (memory)
            a[n++] = (struct touched){ea_of(d, t->page_off), t->word, ACC_READ};
        return n;
    case K_POP:
        a[n++] = (struct touched){top, t->word, ACC_READ};
        if (memory)
            a[n++] = (struct touched){pop_target(t, d), t->word, ACC_WRITE};
        return n;
    case K_RET: a[n++] = (struct touched){top, t->word, ACC_READ}; return n;
    case K_LEAVE: a[n++] = (struct touched){frame, t->word, ACC_READ}; return n;
    case K_GENERIC: {
        const ZydisDecodedOperand *m = generic_memory(d);
        if (m)
            a[n++] = (struct touched){ea_of(d, t->page_off), d->i.msize,
                                     m->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? ACC_WRITE : ACC_READ};
        return n;
    }
    default: return 0;
    }
}

struct group {
    u16 base, index;
    u8 scale, seg, acc;
    u32 members;
    i64 first, lo, hi;  /* offsets from the base's value */
    struct touch *lead; /* its first access */
};

/* RIP-relative: where it lies in its page is known. */
#define BASE_RIP UINT16_MAX
static bool by_rip(const struct group *g)
{
    return g->base == BASE_RIP && !g->seg;
}

static bool same_place(const struct group *g, const struct group *w)
{
    if (by_rip(g) && g->first >> PAGE_SHIFT != w->first >> PAGE_SHIFT)
        return false;
    return g->base == w->base && g->index == w->index && g->scale == w->scale && g->seg == w->seg &&
           (g->acc & ACC_WRITE || !(w->acc & ACC_WRITE));
}

/* Enters one access; the newest fitting group takes it. */
static void place(struct tr *t, struct group *list, unsigned *n, struct touch *x, const struct group *w, unsigned size)
{
    if (by_rip(w) && (u64)(w->first & (i64)(PAGE_SIZE - 1)) + size > PAGE_SIZE)
        return;
    for (unsigned k = *n; k--;) {
        struct group *g = &list[k];
        i64 lo = w->first < g->lo ? w->first : g->lo, hi = w->first + size > g->hi ? w->first + size : g->hi;
        if (!same_place(g, w) || (!by_rip(g) && hi - lo > SPAN_MAX))
            continue;
        if (g->members == 1) {
            if (t->slots == BT_SLOT_SOURCE - 1)
                return;
            g->lead->slot = (u8)++t->slots;
            g->lead->leads = true;
        }
        g->members++;
        g->lo = lo, g->hi = hi;
        g->lead->lo = (i16)(lo - g->first), g->lead->hi = (i16)(hi - g->first);
        x->slot = g->lead->slot;
        x->off = (i16)(w->first - g->first);
        return;
    }
    if (*n < GROUPS_MAX) {
        list[*n] = *w;
        list[*n].lead = x;
        list[*n].members = 1;
        list[*n].lo = w->first, list[*n].hi = w->first + size;
        (*n)++;
    }
}

static void plan_accesses(struct tr *t)
{
    struct numbering v = {.next = 1};
    struct group list[GROUPS_MAX];
    unsigned n = 0;
    all_fresh(&v);
    for (unsigned k = 0; k < t->n_insns; k++) {
        const struct dec *d = &t->d[k];
        struct touched a[2];
        unsigned count = accesses_of(t, d, a);
        for (unsigned j = 0; j < count; j++) {
            struct touch *x = &t->plan[k].touch[j];
            const struct ea *ea = &a[j].ea;
            x->known = true;
            x->hi = a[j].size;
            if (ea->a32)
                continue;
            struct group w = {.seg = ea->seg, .acc = a[j].acc, .scale = ea->scale, .first = ea->disp};
            if (ea->base < 16) /* 0: none; RIP is far from all registers */
                w.base = v.gpr[ea->base].number, w.first += v.gpr[ea->base].delta;
            else if (ea->base == GPR_RIP)
                w.base = BASE_RIP;
            if (ea->index < 16)
                w.index = v.gpr[ea->index].number, w.first += (i64)v.gpr[ea->index].delta * (1 << ea->scale);
            place(t, list, &n, x, &w, a[j].size);
        }
        if (d->kind == K_SENSITIVE)
            n = 0;
        after(&v, d);
    }
}

void plan_block(struct tr *t, u32 mode)
{
    memset(t->plan, 0, (t->n_insns + 1u) * sizeof *t->plan);
    t->slots = 0;
    plan_flags(t);
    if (!(mode & BT_MODE_CAREFUL))
        plan_accesses(t);
}
