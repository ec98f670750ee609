/* Delivery through the IDT in protected and IA-32e mode: task, interrupt and trap gates, stack switches, IST.
 * SDM vol. 2, INT n (pseudocode); vol. 3, 6.10 to 6.14. Vector by vector rules and double faults are in
 * event.c. Not modelled: CET, UINTR. */
#include "base/le.h"
#include "cpu/segment.h"

struct gate {
    u16 attr, sel;
    u8 ist;
    u64 off;
};

static bool gate_raise(struct cpu *c, const struct interrupt *n, u8 vector)
{
    return cpu_raise_error(c, vector, (u32)n->vector << 3 | ERROR_IDT | n->ext);
}

static bool gate_type_ok(const struct cpu *c, u16 attr)
{
    switch (attr & (SEG_S | SEG_TYPE)) {
    case TYPE_INT:
    case TYPE_TRAP: return true;
    case TYPE_TASK_GATE:
    case TYPE_INT16:
    case TYPE_TRAP16: return !cpu_long_mode(c);
    default: return false;
    }
}

static bool gate_read(struct cpu *c, const struct interrupt *n, struct gate *g)
{
    bool wide = cpu_long_mode(c);
    unsigned len = wide ? 16 : 8, at = n->vector * len;
    u8 raw[16] = {0};
    if (UNLIKELY(at + len - 1 > c->idt.limit))
        return gate_raise(c, n, VEC_GP);
    if (!lin_read(c, system_linear(c, c->idt.base + at), raw, len, ACC_IMPLICIT))
        return false;
    struct desc d = {.low = ld64(raw), .high = ld64(raw + 8)};
    g->attr = desc_attr(&d);
    g->sel = (u16)(d.low >> 16);
    g->ist = wide ? d.low >> 32 & 7 : 0;
    g->off = (d.low & 0xffff) | (g->attr & TYPE_WIDE ? d.low >> 32 & 0xffff0000 : 0) | d.high << 32;
    if (UNLIKELY(!gate_type_ok(c, g->attr) || (n->soft && attr_dpl(g->attr) < c->cpl)))
        return gate_raise(c, n, VEC_GP);
    return LIKELY(g->attr & SEG_P) || gate_raise(c, n, VEC_NP);
}

static u64 pushed_flags(const struct cpu *c, const struct interrupt *n)
{
    return cpu_rflags(c) | (n->rf ? RFLAGS_RF : 0);
}

static void gate_enter(struct cpu *c, const struct gate *g, const struct seg *cs, unsigned cpl)
{
    u64 clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM;
    if (!(g->attr & 1)) /* interrupt gate */
        clear |= RFLAGS_IF;
    c->rflags_sys &= ~clear;
    code_enter(c, cs, cpl, g->off);
}

static bool enter_long(struct cpu *c, const struct interrupt *n, struct gate *g, const struct seg *cs)
{
    unsigned cpl = attr_conforming(cs->attr) ? c->cpl : attr_dpl(cs->attr);
    bool inner = cpl != c->cpl;
    struct stack s = {.ss = c->seg[SEG_SS], .sp = c->gpr[RSP].q, .width = 8, .error = n->ext};
    u64 frame[] = {s.ss.sel, s.sp, pushed_flags(c, n), c->seg[SEG_CS].sel, n->rip, n->error};
    if ((inner || g->ist) && !tss_rsp(c, cpl, g->ist, n->ext, &s.sp))
        return false;
    s.sp &= ~15ull;
    unsigned count = n->has_error ? 6 : 5;
    if (!stack_room(c, &s, 8, count) || !target_ok(c, cs, &g->off, n->ext) ||
        !desc_set_accessed(c, g->sel, cs->attr) || !stack_put(c, &s, cpl, 8, 8, frame, count))
        return false;
    if (inner)
        c->seg[SEG_SS] = seg_null((u16)cpl, cpl, 0);
    c->gpr[RSP].q = s.sp;
    gate_enter(c, g, cs, cpl);
    return true;
}

/* What a 16- or 32-bit gate pushes: the segments of virtual-8086 mode, the old stack, flags, CS, IP, error
 * code. */
static unsigned legacy_frame(const struct cpu *c, const struct interrupt *n, bool inner, u64 frame[10])
{
    static const u8 v86_order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
    unsigned k = 0;
    if (cpu_v86(c))
        for (; k < ARRAY_LEN(v86_order); k++)
            frame[k] = c->seg[v86_order[k]].sel;
    if (inner) {
        frame[k++] = c->seg[SEG_SS].sel;
        frame[k++] = c->gpr[RSP].q;
    }
    frame[k++] = pushed_flags(c, n);
    frame[k++] = c->seg[SEG_CS].sel;
    frame[k++] = n->rip;
    if (n->has_error)
        frame[k++] = n->error;
    return k;
}

static bool enter_legacy(struct cpu *c, const struct interrupt *n, struct gate *g, const struct seg *cs)
{
    unsigned dpl = attr_dpl(cs->attr), size = g->attr & TYPE_WIDE ? 4 : 2;
    bool same = attr_conforming(cs->attr) || dpl == c->cpl, v86 = cpu_v86(c);
    unsigned cpl = same ? c->cpl : dpl;
    struct stack s = stack_current(c);
    u64 frame[10];
    if (v86 && (same || dpl != 0))
        return cpu_raise_gp(c, sel_error(g->sel, n->ext));
    s.error = n->ext;
    if (!same && !tss_stack(c, dpl, n->ext, &s))
        return false;
    unsigned count = legacy_frame(c, n, !same, frame);
    if (!stack_room(c, &s, size, count) || !target_ok(c, cs, &g->off, n->ext) ||
        !desc_set_accessed(c, g->sel, cs->attr) ||
        !stack_put(c, &s, cpl, seg_code_size(c, cs), size, frame, count))
        return false;
    if (v86) {
        c->seg[SEG_ES] = c->seg[SEG_DS] = c->seg[SEG_FS] = c->seg[SEG_GS] = seg_null(0, 0, 0);
    }
    if (!same)
        c->seg[SEG_SS] = s.ss;
    stack_commit(c, s.sp, s.width);
    gate_enter(c, g, cs, cpl);
    return true;
}

/* The error code goes onto the new task's stack, in its size. */
static bool push_task_error(struct cpu *c, const struct interrupt *n)
{
    struct stack s = stack_current(c);
    unsigned size = c->seg[SEG_TR].attr & TYPE_WIDE ? 4 : 2;
    u64 error = n->error;
    s.error = n->ext;
    if (!stack_room(c, &s, size, 1) || !stack_put(c, &s, c->cpl, c->code_size, size, &error, 1))
        return false;
    stack_commit(c, s.sp, s.width);
    return true;
}

static enum transfer enter_task(struct cpu *c, const struct interrupt *n, u16 tss)
{
    struct desc d;
    if (sel_null(tss) || tss & SEL_TI)
        cpu_raise_gp(c, sel_error(tss, n->ext));
    else if (desc_fetch(c, tss, VEC_GP, n->ext, &d)) {
        u16 attr = desc_attr(&d);
        if (!attr_system(attr, TYPE_TSS) && !attr_system(attr, TYPE_TSS16))
            cpu_raise_gp(c, sel_error(tss, n->ext));
        else if (!(attr & SEG_P))
            cpu_raise_error(c, VEC_NP, sel_error(tss, n->ext));
        else {
            enum transfer t = task_enter(c, tss, TASK_INT, n->rip, n->rf, n->ext);
            if (t == TRANSFER_DONE && n->has_error && !push_task_error(c, n))
                return TRANSFER_FAULT_NEW_TASK;
            return t;
        }
    }
    return TRANSFER_FAULT;
}

enum transfer interrupt_enter(struct cpu *c, const struct interrupt *n)
{
    struct gate g = {0};
    struct seg cs;
    if (!cpu_protected(c))
        return interrupt_real(c, n) ? TRANSFER_DONE : TRANSFER_FAULT;
    if (!gate_read(c, n, &g))
        return TRANSFER_FAULT;
    if (attr_system(g.attr, TYPE_TASK_GATE))
        return enter_task(c, n, g.sel);
    if (!gate_code_segment(c, g.sel, true, n->ext, &cs))
        return TRANSFER_FAULT;
    bool ok = cpu_long_mode(c) ? enter_long(c, n, &g, &cs) : enter_legacy(c, n, &g, &cs);
    return ok ? TRANSFER_DONE : TRANSFER_FAULT;
}
