/* Real mode's interrupts, and virtual-8086 mode's software interrupts.
 * SDM vol. 3, 21.1.4 (interrupt and exception handling in real mode), 21.3 (virtual-8086 mode), table 21-2
 * (methods of INT n). */
#include "base/le.h"
#include "cpu/segment.h"

bool interrupt_real(struct cpu *c, const struct interrupt *n)
{
    struct stack s = stack_current(c);
    u64 frame[] = {cpu_rflags(c), c->seg[SEG_CS].sel, n->rip};
    u8 raw[4];
    if (n->vector * 4u + 3 > c->idt.limit)
        return cpu_raise_gp(c, (u32)n->vector << 3 | ERROR_IDT | n->ext);
    if (!stack_room(c, &s, 2, 3) || !lin_read(c, (u32)(c->idt.base + n->vector * 4u), raw, 4, ACC_IMPLICIT) ||
        !stack_put(c, &s, 0, c->code_size, 2, frame, 3))
        return false;
    stack_commit(c, s.sp, s.width);
    c->rflags_sys &= ~(u64)(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
    seg_load_real(c, SEG_CS, ld16(raw + 2));
    c->rip = ld16(raw);
    cpu_update_mode(c);
    return true;
}

/* The redirection bitmap lies in the 32 bytes below the I/O bitmap; a set bit keeps the interrupt for the
 * IDT. */
static bool redirected(struct cpu *c, u8 vector, bool *yes)
{
    const struct seg *tr = &c->seg[SEG_TR];
    u8 raw[2], byte;
    *yes = false;
    if (!attr_system(tr->attr, TYPE_TSS_BUSY) || tr->limit < 103)
        return true;
    if (!lin_read(c, (u32)(tr->base + 102), raw, 2, ACC_IMPLICIT))
        return false;
    u32 at = ld16(raw);
    if (at < 32 || at - 32 + vector / 8 > tr->limit)
        return true;
    if (!lin_read(c, (u32)(tr->base + at - 32 + vector / 8), &byte, 1, ACC_IMPLICIT))
        return false;
    *yes = !(byte >> (vector & 7) & 1);
    return true;
}

bool interrupt_redirect(struct cpu *c, const struct interrupt *n, bool *done)
{
    bool yes = false, own_if = cpu_iopl(c) == 3;
    *done = false;
    if (c->cr4 & CR4_VME && !redirected(c, n->vector, &yes))
        return false;
    if (!yes)
        return own_if || cpu_raise_gp(c, 0);

    struct stack s = stack_current(c);
    u64 flags = cpu_rflags(c);
    u8 raw[4];
    if (!own_if) {
        flags = (flags & ~(u64)RFLAGS_IF) | RFLAGS_IOPL;
        flags |= flags & RFLAGS_VIF ? RFLAGS_IF : 0;
    }
    u64 frame[] = {flags, c->seg[SEG_CS].sel, n->rip};
    if (!stack_room(c, &s, 2, 3) || !lin_read(c, n->vector * 4u, raw, 4, 0) ||
        !stack_put(c, &s, 3, c->code_size, 2, frame, 3))
        return false;
    stack_commit(c, s.sp, s.width);
    c->rflags_sys &= ~(u64)(RFLAGS_TF | RFLAGS_RF | RFLAGS_NT | (own_if ? RFLAGS_IF : RFLAGS_VIF));
    seg_load_real(c, SEG_CS, ld16(raw + 2));
    c->rip = ld16(raw);
    cpu_update_mode(c);
    *done = true;
    return true;
}
