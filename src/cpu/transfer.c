/* Far JMP, CALL and RET, and what they share with gates and IRET. Task switches are in task.c.
 * SDM vol. 2, JMP, CALL, RET; vol. 3, 5.8 (privilege level checking when transferring control), 6.8.8. Not
 * modelled: CET. */
#include "cpu/segment.h"

bool target_ok(struct cpu *c, const struct seg *cs, u64 *rip, u32 ext)
{
    if (LIKELY(attr_code64(c, cs->attr)))
        return LIKELY(cpu_canonical(*rip)) || cpu_raise_gp(c, ext);
    *rip = (u32)*rip; /* on the way to compatibility mode; silicon does */
    return *rip <= cs->limit || cpu_raise_gp(c, ext);
}

static u64 cut(u64 v, unsigned size)
{
    return size == 8 ? v : size == 4 ? (u32)v : (u16)v;
}

unsigned seg_code_size(const struct cpu *c, const struct seg *cs)
{
    return attr_code64(c, cs->attr) ? 8 : cs->attr & SEG_DB ? 4 : 2;
}

/* L and D both set: reserved in IA-32e mode. */
static bool attr_reserved(const struct cpu *c, u16 attr)
{
    return cpu_long_mode(c) && (attr & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB);
}

void compat_cut(struct cpu *c)
{
    if (cpu_long_mode(c) && !(c->seg[SEG_CS].attr & SEG_L))
        c->gpr[RSP].q = c->gpr[RSP].d;
}

void code_enter(struct cpu *c, const struct seg *cs, unsigned cpl, u64 rip)
{
    c->seg[SEG_CS] = *cs;
    c->seg[SEG_CS].sel = (u16)((cs->sel & ~SEL_RPL) | cpl);
    c->seg[SEG_CS].attr |= SEG_ACCESSED;
    c->rip = rip;
    compat_cut(c);
    cpu_update_mode(c);
}

/* --- real and virtual-8086 mode */

static bool jump_real(struct cpu *c, u16 sel, u64 off)
{
    if (off > (cpu_v86(c) ? 0xffff : c->seg[SEG_CS].limit))
        return cpu_raise_gp(c, 0);
    seg_load_real(c, SEG_CS, sel);
    c->rip = off;
    cpu_update_mode(c);
    return true;
}

static bool call_real(struct cpu *c, u16 sel, u64 off, unsigned size, u64 next)
{
    struct stack s = stack_current(c);
    u64 frame[] = {c->seg[SEG_CS].sel, next};
    if (!stack_room(c, &s, size, 2))
        return false;
    if (off > (cpu_v86(c) ? 0xffff : c->seg[SEG_CS].limit))
        return cpu_raise_gp(c, 0);
    if (!stack_put(c, &s, c->cpl, c->code_size, size, frame, 2))
        return false;
    stack_commit(c, s.sp, s.width);
    return jump_real(c, sel, off);
}

/* --- straight to a code segment */

static bool direct_code_segment(struct cpu *c, u16 sel, const struct desc *d, struct seg *cs)
{
    u16 attr = desc_attr(d);
    unsigned dpl = attr_dpl(attr);
    bool reachable = attr_conforming(attr) ? dpl <= c->cpl : (sel & SEL_RPL) <= c->cpl && dpl == c->cpl;
    if (attr_reserved(c, attr) || !reachable)
        return cpu_raise_gp(c, sel_error(sel, 0));
    if (!(attr & SEG_P))
        return cpu_raise_error(c, VEC_NP, sel_error(sel, 0));
    *cs = desc_seg(sel, d);
    return true;
}

static bool jump_code(struct cpu *c, u16 sel, const struct desc *d, u64 off)
{
    struct seg cs;
    if (!direct_code_segment(c, sel, d, &cs) || !target_ok(c, &cs, &off, 0) ||
        !desc_set_accessed(c, sel, cs.attr))
        return false;
    code_enter(c, &cs, c->cpl, off);
    return true;
}

/* Silicon pushes onto the stack as the target mode sees it (width of SP, base and limit of SS), and looks at
 * the target's offset only after that: tests/isa/segments_host.c. */
static bool call_code(struct cpu *c, u16 sel, const struct desc *d, u64 off, unsigned size, u64 next)
{
    struct seg cs;
    struct stack s = stack_current(c);
    u64 frame[] = {c->seg[SEG_CS].sel, next};
    if (!direct_code_segment(c, sel, d, &cs))
        return false;
    unsigned code_size = seg_code_size(c, &cs);
    if (code_size != c->code_size && (code_size == 8 || c->code_size == 8)) {
        s.width = code_size == 8 ? 8 : s.ss.attr & SEG_DB ? 4 : 2;
        s.sp = (u32)s.sp;
    }
    if (!stack_room(c, &s, size, 2) || !stack_put(c, &s, c->cpl, code_size, size, frame, 2) ||
        !target_ok(c, &cs, &off, 0) || !desc_set_accessed(c, sel, cs.attr))
        return false;
    stack_commit(c, s.sp, s.width);
    code_enter(c, &cs, c->cpl, off);
    return true;
}

/* --- gates */

bool gate_code_segment(struct cpu *c, u16 sel, bool inwards, u32 ext, struct seg *cs)
{
    struct desc d;
    if (sel_null(sel))
        return cpu_raise_gp(c, ext);
    if (!desc_fetch(c, sel, VEC_GP, ext, &d))
        return false;
    u16 attr = desc_attr(&d);
    bool bad_size = cpu_long_mode(c) && (attr & (SEG_L | SEG_DB)) != SEG_L;
    bool bad_level =
        attr_dpl(attr) > c->cpl || (!inwards && !attr_conforming(attr) && attr_dpl(attr) != c->cpl);
    if (!attr_code(attr) || bad_level || bad_size)
        return cpu_raise_gp(c, sel_error(sel, ext));
    if (!(attr & SEG_P))
        return cpu_raise_error(c, VEC_NP, sel_error(sel, ext));
    *cs = desc_seg(sel, &d);
    return true;
}

struct call_gate {
    u16 sel;
    u64 off;
    unsigned size;   /* of what it pushes: 2, 4 or 8 */
    unsigned params; /* words or doublewords to copy */
};

static bool gate_allowed(struct cpu *c, u16 sel, u16 attr)
{
    if (attr_dpl(attr) < c->cpl || (sel & SEL_RPL) > attr_dpl(attr))
        return cpu_raise_gp(c, sel_error(sel, 0));
    return attr & SEG_P || cpu_raise_error(c, VEC_NP, sel_error(sel, 0));
}

static bool call_gate_read(struct cpu *c, u16 sel, struct desc *d, struct call_gate *g)
{
    u16 attr = desc_attr(d);
    g->sel = (u16)(d->low >> 16);
    g->off = (d->low & 0xffff) | (attr & TYPE_WIDE ? d->low >> 32 & 0xffff0000 : 0);
    g->size = attr & TYPE_WIDE ? 4 : 2;
    g->params = d->low >> 32 & 0x1f;
    if (!cpu_long_mode(c))
        return gate_allowed(c, sel, attr);
    if (!desc_fetch_high(c, sel, VEC_GP, 0, d))
        return false;
    if (d->high >> 40 & 0x1f)
        return cpu_raise_gp(c, sel_error(sel, 0));
    g->off |= d->high << 32;
    g->size = 8;
    g->params = 0;
    return gate_allowed(c, sel, attr);
}

static bool jump_gate(struct cpu *c, u16 sel, struct desc *d)
{
    struct call_gate g;
    struct seg cs;
    if (!call_gate_read(c, sel, d, &g) || !gate_code_segment(c, g.sel, false, 0, &cs) ||
        !target_ok(c, &cs, &g.off, 0) || !desc_set_accessed(c, g.sel, cs.attr))
        return false;
    code_enter(c, &cs, c->cpl, g.off);
    return true;
}

static bool call_gate_same(struct cpu *c, struct call_gate *g, const struct seg *cs, u64 next)
{
    struct stack s = stack_current(c);
    u64 frame[] = {c->seg[SEG_CS].sel, next};
    if (cpu_long_mode(c))
        s.width = 8;
    if (!stack_room(c, &s, g->size, 2) || !target_ok(c, cs, &g->off, 0) ||
        !desc_set_accessed(c, g->sel, cs->attr) ||
        !stack_put(c, &s, c->cpl, seg_code_size(c, cs), g->size, frame, 2))
        return false;
    stack_commit(c, s.sp, s.width);
    code_enter(c, cs, c->cpl, g->off);
    return true;
}

static bool call_gate_inner(struct cpu *c, struct call_gate *g, const struct seg *cs, u64 next)
{
    unsigned dpl = attr_dpl(cs->attr), n = g->params;
    struct stack old = stack_current(c), s;
    u64 frame[2 + 31 + 2] = {old.ss.sel, c->gpr[RSP].q}, params[31];
    if (cpu_long_mode(c)) {
        s = (struct stack){.ss = seg_null((u16)dpl, dpl, 0), .width = 8};
        if (!tss_rsp(c, dpl, 0, 0, &s.sp))
            return false;
    } else if (!tss_stack(c, dpl, 0, &s)) {
        return false;
    }
    if (!stack_room(c, &s, g->size, n + 4) || !target_ok(c, cs, &g->off, 0) ||
        !stack_get(c, &old, 0, g->size, params, n))
        return false;
    for (unsigned k = 0; k < n; k++)
        frame[2 + k] = params[n - 1 - k]; /* the lowest stays lowest */
    frame[2 + n] = c->seg[SEG_CS].sel;
    frame[3 + n] = next;
    if (!desc_set_accessed(c, g->sel, cs->attr) ||
        !stack_put(c, &s, dpl, seg_code_size(c, cs), g->size, frame, n + 4))
        return false;
    c->seg[SEG_SS] = s.ss;
    stack_commit(c, s.sp, s.width);
    code_enter(c, cs, dpl, g->off);
    return true;
}

static bool call_gate(struct cpu *c, u16 sel, struct desc *d, u64 next)
{
    struct call_gate g;
    struct seg cs;
    if (!call_gate_read(c, sel, d, &g) || !gate_code_segment(c, g.sel, true, 0, &cs))
        return false;
    if (attr_conforming(cs.attr) || attr_dpl(cs.attr) == c->cpl)
        return call_gate_same(c, &g, &cs, next);
    return call_gate_inner(c, &g, &cs, next);
}

/* --- JMP and CALL */

/* A TSS, or a task gate: both end in a task switch. */
static bool transfer_task(struct cpu *c, u16 sel, const struct desc *d, enum task_switch_kind kind, u64 next)
{
    u16 attr = desc_attr(d), tss = sel;
    struct desc t = *d;
    if (cpu_long_mode(c))
        return cpu_raise_gp(c, sel_error(sel, 0));
    if (attr_system(attr, TYPE_TASK_GATE)) {
        if (!gate_allowed(c, sel, attr))
            return false;
        tss = (u16)(d->low >> 16);
        if (sel_null(tss) || tss & SEL_TI)
            return cpu_raise_gp(c, sel_error(tss, 0));
        if (!desc_fetch(c, tss, VEC_GP, 0, &t))
            return false;
        attr = desc_attr(&t);
        if (!attr_system(attr, TYPE_TSS) && !attr_system(attr, TYPE_TSS16))
            return cpu_raise_gp(c, sel_error(tss, 0));
        if (!(attr & SEG_P))
            return cpu_raise_error(c, VEC_NP, sel_error(tss, 0));
    } else {
        if (attr_dpl(attr) < c->cpl || (sel & SEL_RPL) > attr_dpl(attr) || sel & SEL_TI ||
            attr & 2 /* busy */)
            return cpu_raise_gp(c, sel_error(sel, 0));
        if (!(attr & SEG_P))
            return cpu_raise_error(c, VEC_NP, sel_error(sel, 0));
    }
    return task_enter_insn(c, tss, kind, next);
}

static bool transfer_system(struct cpu *c, u16 sel, struct desc *d, bool call, u64 next)
{
    switch (desc_attr(d) & SEG_TYPE) {
    case TYPE_CALL16:
        if (cpu_long_mode(c))
            break;
        /* fall through */
    case TYPE_CALL: return call ? call_gate(c, sel, d, next) : jump_gate(c, sel, d);
    case TYPE_TASK_GATE:
    case TYPE_TSS16:
    case TYPE_TSS16_BUSY:
    case TYPE_TSS:
    case TYPE_TSS_BUSY: return transfer_task(c, sel, d, call ? TASK_CALL : TASK_JMP, next);
    default: break;
    }
    return cpu_raise_gp(c, sel_error(sel, 0));
}

bool op_jmp_far(struct cpu *c, u16 sel, u64 off, unsigned size, u64 next)
{
    struct desc d;
    off = cut(off, size);
    if (!cpu_protected(c) || cpu_v86(c))
        return jump_real(c, sel, off);
    if (sel_null(sel))
        return cpu_raise_gp(c, 0);
    if (!desc_fetch(c, sel, VEC_GP, 0, &d))
        return false;
    if (attr_code(desc_attr(&d)))
        return jump_code(c, sel, &d, off);
    if (desc_attr(&d) & SEG_S)
        return cpu_raise_gp(c, sel_error(sel, 0));
    return transfer_system(c, sel, &d, false, next);
}

bool op_call_far(struct cpu *c, u16 sel, u64 off, unsigned size, u64 next)
{
    struct desc d;
    off = cut(off, size);
    if (!cpu_protected(c) || cpu_v86(c))
        return call_real(c, sel, off, size, next);
    if (sel_null(sel))
        return cpu_raise_gp(c, 0);
    if (!desc_fetch(c, sel, VEC_GP, 0, &d))
        return false;
    if (attr_code(desc_attr(&d)))
        return call_code(c, sel, &d, off, size, next);
    if (desc_attr(&d) & SEG_S)
        return cpu_raise_gp(c, sel_error(sel, 0));
    return transfer_system(c, sel, &d, true, next);
}

/* --- RET, and what IRET shares with it */

bool return_code_segment(struct cpu *c, u16 sel, struct seg *cs)
{
    struct desc d;
    unsigned rpl = sel & SEL_RPL;
    if (sel_null(sel))
        return cpu_raise_gp(c, 0);
    if (!desc_fetch(c, sel, VEC_GP, 0, &d))
        return false;
    u16 attr = desc_attr(&d);
    unsigned dpl = attr_dpl(attr);
    if (!attr_code(attr) || rpl < c->cpl || attr_reserved(c, attr) ||
        (attr_conforming(attr) ? dpl > rpl : dpl != rpl))
        return cpu_raise_gp(c, sel_error(sel, 0));
    if (!(attr & SEG_P))
        return cpu_raise_error(c, VEC_NP, sel_error(sel, 0));
    *cs = desc_seg(sel, &d);
    return true;
}

bool return_stack_segment(struct cpu *c, u16 sel, const struct seg *cs, struct seg *ss)
{
    struct desc d;
    unsigned rpl = cs->sel & SEL_RPL;
    if (sel_null(sel)) {
        if (!attr_code64(c, cs->attr) || rpl == 3)
            return cpu_raise_gp(c, 0);
        *ss = seg_null(sel, rpl, 0);
        return true;
    }
    if (!desc_fetch(c, sel, VEC_GP, 0, &d))
        return false;
    u16 attr = desc_attr(&d);
    if ((sel & SEL_RPL) != rpl || !attr_writable(attr) || attr_dpl(attr) != rpl)
        return cpu_raise_gp(c, sel_error(sel, 0));
    /* IRET's list of exceptions says #NP, its pseudocode and silicon #SS. */
    if (!(attr & SEG_P))
        return cpu_raise_error(c, VEC_SS, sel_error(sel, 0));
    if (!desc_set_accessed(c, sel, attr))
        return false;
    *ss = desc_seg(sel, &d);
    ss->attr |= SEG_ACCESSED;
    return true;
}

void return_stack_pointer(struct cpu *c, u64 sp)
{
    stack_commit(c, sp, attr_code64(c, c->seg[SEG_CS].attr) ? 8 : c->seg[SEG_SS].attr & SEG_DB ? 4 : 2);
}

void return_drop_data(struct cpu *c)
{
    static const u8 data[] = {SEG_ES, SEG_FS, SEG_GS, SEG_DS};
    for (unsigned k = 0; k < ARRAY_LEN(data); k++) {
        struct seg *s = &c->seg[data[k]];
        bool any_level = attr_code(s->attr) && attr_conforming(s->attr);
        /* A null selector loses its RPL; the base of FS and GS stays. */
        if (s->attr & SEG_UNUSABLE || (!any_level && attr_dpl(s->attr) < c->cpl))
            *s = seg_null(0, 0, s->base);
    }
}

static bool ret_real(struct cpu *c, unsigned size, u16 release)
{
    struct stack s = stack_current(c);
    u64 f[2];
    if (!stack_get(c, &s, 0, size, f, 2) || !jump_real(c, (u16)f[1], f[0]))
        return false;
    stack_commit(c, s.sp + 2 * size + release, s.width);
    return true;
}

bool op_ret_far(struct cpu *c, unsigned size, u16 release)
{
    if (!cpu_protected(c) || cpu_v86(c))
        return ret_real(c, size, release);
    struct stack s = stack_current(c);
    struct seg cs, ss = s.ss;
    u64 f[2], o[2] = {0};
    unsigned cpl = c->cpl;
    if (!stack_get(c, &s, 0, size, f, 2) || !return_code_segment(c, (u16)f[1], &cs))
        return false;
    bool outer = (cs.sel & SEL_RPL) > cpl;
    if (outer && (!stack_get(c, &s, 2 * size + (u64)release, size, o, 2) ||
                  !return_stack_segment(c, (u16)o[1], &cs, &ss)))
        return false;
    if (!target_ok(c, &cs, &f[0], 0) || !desc_set_accessed(c, cs.sel, cs.attr))
        return false;
    if (outer) {
        c->seg[SEG_SS] = ss;
        code_enter(c, &cs, cs.sel & SEL_RPL, f[0]);
        return_stack_pointer(c, o[0] + release);
        return_drop_data(c);
        cpu_update_mode(c);
    } else {
        stack_commit(c, s.sp + 2 * size + release, s.width);
        code_enter(c, &cs, cpl, f[0]);
    }
    return true;
}
