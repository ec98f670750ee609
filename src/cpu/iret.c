/* IRET, IRETD, IRETQ in every mode. SDM vol. 2, IRET; vol. 3, 6.7.1 (NMI blocking), 21.2 (virtual-8086 mode).
 * IRET ends NMI blocking even when it faults. */
#include "cpu/segment.h"

#define FLAGS_ALL16 (RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT)

static void flags_merge(struct cpu *c, u64 v, u64 mask)
{
    cpu_set_rflags(c, (cpu_rflags(c) & ~mask) | (v & mask));
}

/* F: IP, CS and FLAGS, checked; of the flags those in MASK change. */
static bool iret_land(struct cpu *c, const struct stack *s, unsigned size, const u64 *f, u64 mask)
{
    if (size == 4)
        mask |= RFLAGS_RF | RFLAGS_AC | RFLAGS_ID;
    seg_load_real(c, SEG_CS, (u16)f[1]);
    c->rip = f[0];
    stack_commit(c, s->sp + 3 * size, s->width);
    flags_merge(c, f[2], mask);
    cpu_update_mode(c);
    return true;
}

static bool iret_real(struct cpu *c, unsigned size)
{
    struct stack s = stack_current(c);
    u64 f[3], mask = FLAGS_ALL16 | RFLAGS_IF | RFLAGS_IOPL;
    if (!stack_get(c, &s, 0, size, f, 3))
        return false;
    if (f[0] > c->seg[SEG_CS].limit)
        return cpu_raise_gp(c, 0);
    return iret_land(c, &s, size, f, mask);
}

static bool iret_v86(struct cpu *c, unsigned size)
{
    struct stack s = stack_current(c);
    u64 f[3], mask = FLAGS_ALL16 | RFLAGS_IF;
    bool virtual_if = cpu_iopl(c) < 3;
    if (virtual_if && (size != 2 || !(c->cr4 & CR4_VME)))
        return cpu_raise_gp(c, 0);
    if (!stack_get(c, &s, 0, size, f, 3))
        return false;
    if (f[0] > 0xffff)
        return cpu_raise_gp(c, 0);
    if (virtual_if) {
        if (f[2] & RFLAGS_TF || (f[2] & RFLAGS_IF && c->rflags_sys & RFLAGS_VIP))
            return cpu_raise_gp(c, 0);
        f[2] |= f[2] & RFLAGS_IF ? RFLAGS_VIF : 0;
        mask ^= RFLAGS_IF | RFLAGS_VIF;
    }
    return iret_land(c, &s, size, f, mask);
}

/* F: EIP, CS, EFLAGS with VM set, popped at CPL 0. */
static bool iret_to_v86(struct cpu *c, const struct stack *s, u64 *f)
{
    static const u8 order[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    if (!stack_get(c, s, 12, 4, f + 3, 6))
        return false;
    if ((u32)f[0] > 0xffff)
        return cpu_raise_gp(c, 0);
    cpu_set_rflags(c, f[2]);
    c->seg[SEG_CS] = seg_v86((u16)f[1]);
    c->seg[SEG_SS] = seg_v86((u16)f[4]);
    for (unsigned k = 0; k < ARRAY_LEN(order); k++)
        c->seg[order[k]] = seg_v86((u16)f[5 + k]);
    c->rip = f[0];
    c->gpr[RSP].q = f[3];
    cpu_update_mode(c);
    return true;
}

static u64 iret_flags_mask(const struct cpu *c, unsigned size)
{
    u64 mask = FLAGS_ALL16;
    if (size >= 4)
        mask |= RFLAGS_RF | RFLAGS_AC | RFLAGS_ID;
    if (c->cpl <= cpu_iopl(c))
        mask |= RFLAGS_IF;
    if (c->cpl == 0)
        mask |= RFLAGS_IOPL | (size >= 4 ? RFLAGS_VIF | RFLAGS_VIP : 0);
    return mask;
}

/* From 64-bit mode SS:RSP is always popped, elsewhere only on the way to an outer level. */
static bool iret_protected(struct cpu *c, unsigned size)
{
    struct stack s = stack_current(c);
    struct seg cs, ss = s.ss;
    bool full = cpu_code64(c);
    u64 f[9];
    if (!stack_get(c, &s, 0, size, f, full ? 5 : 3))
        return false;
    if (size == 4 && f[2] & RFLAGS_VM && c->cpl == 0 && !cpu_long_mode(c))
        return iret_to_v86(c, &s, f);
    if (!return_code_segment(c, (u16)f[1], &cs))
        return false;
    unsigned cpl = cs.sel & SEL_RPL;
    bool outer = cpl > c->cpl;
    if (outer && !full && !stack_get(c, &s, 3 * size, size, f + 3, 2))
        return false;
    if ((outer || full) && !return_stack_segment(c, (u16)f[4], &cs, &ss))
        return false;
    if (!target_ok(c, &cs, &f[0], 0) || !desc_set_accessed(c, cs.sel, cs.attr))
        return false;

    flags_merge(c, f[2], iret_flags_mask(c, size));
    c->seg[SEG_CS] = cs;
    c->seg[SEG_CS].attr |= SEG_ACCESSED;
    c->seg[SEG_SS] = ss;
    c->rip = f[0];
    cpu_update_mode(c);
    if (outer || full)
        return_stack_pointer(c, f[3]);
    else
        stack_commit(c, s.sp + 3 * size, s.width);
    compat_cut(c);
    if (outer) {
        return_drop_data(c);
        cpu_update_mode(c);
    }
    return true;
}

/* NT: back to the task that the link names. */
static bool iret_task(struct cpu *c, u64 next)
{
    const struct seg *tr = &c->seg[SEG_TR];
    struct desc d;
    u8 raw[2];
    if (cpu_long_mode(c))
        return cpu_raise_gp(c, 0);
    if (!lin_read(c, (u32)tr->base, raw, 2, ACC_IMPLICIT))
        return false;
    u16 sel = (u16)(raw[0] | raw[1] << 8);
    if (sel & SEL_TI || sel_null(sel))
        return cpu_raise_error(c, VEC_TS, sel_error(sel, 0));
    if (!desc_fetch(c, sel, VEC_TS, 0, &d))
        return false;
    u16 attr = desc_attr(&d);
    if (!attr_system(attr, TYPE_TSS_BUSY) && !attr_system(attr, TYPE_TSS16_BUSY))
        return cpu_raise_error(c, VEC_TS, sel_error(sel, 0));
    if (!(attr & SEG_P))
        return cpu_raise_error(c, VEC_NP, sel_error(sel, 0));
    return task_enter_insn(c, sel, TASK_IRET, next);
}

bool op_iret(struct cpu *c, unsigned size, u64 next)
{
    c->nmi_blocked = false;
    if (!cpu_protected(c))
        return iret_real(c, size);
    if (cpu_v86(c))
        return iret_v86(c, size);
    if (c->rflags_sys & RFLAGS_NT)
        return iret_task(c, next);
    return iret_protected(c, size);
}
