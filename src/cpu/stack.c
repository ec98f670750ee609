/* Frames on the stack: room first, then all or nothing (SDM vol. 3, 6.12; vol. 2, CALL, INT, IRET, RET).
 * A frame is one access where it lies in one piece, so that a page fault finds nothing written; else every
 * item is probed before the first is written. */
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "cpu/segment.h"
#include "cpu/tlb.h"

struct stack stack_current(const struct cpu *c)
{
    return (struct stack){.ss = c->seg[SEG_SS], .sp = c->gpr[RSP].q, .width = c->stack_size};
}

void stack_commit(struct cpu *c, u64 sp, unsigned width)
{
    if (width == 2)
        c->gpr[RSP].w = (u16)sp;
    else
        c->gpr[RSP].q = width == 4 ? (u32)sp : sp;
}

static u64 sp_cut(const struct stack *s, u64 sp)
{
    return sp & ones(8 * s->width);
}

static u64 stack_linear(const struct stack *s, u64 off)
{
    return s->width == 8 ? off : (u32)(s->ss.base + off);
}

static bool item_inside(const struct stack *s, u64 off, unsigned size)
{
    if (s->width == 8)
        return cpu_canonical(off) && cpu_canonical(off + size - 1);
    return !(s->ss.attr & SEG_UNUSABLE) && seg_inside(&s->ss, off, size);
}

bool stack_room(struct cpu *c, const struct stack *s, unsigned size, unsigned n)
{
    if (LIKELY(s->width == 8)) {
        if (cpu_canonical(s->sp - (u64)size * n) && cpu_canonical(s->sp - 1))
            return true;
        return cpu_raise_error(c, VEC_SS, s->error);
    }
    for (unsigned k = 1; k <= n; k++)
        if (!item_inside(s, sp_cut(s, s->sp - (u64)size * k), size))
            return cpu_raise_error(c, VEC_SS, s->error);
    return true;
}

/* True when N items from OFF upwards are one piece of at most 64 bytes that one access may cover: alignment
 * checks and data breakpoints look at every item. */
static bool one_piece(const struct cpu *c, const struct stack *s, u64 off, unsigned bytes)
{
    return bytes <= 64 && c->view != TLB_VIEW_NONE &&
           (s->width == 8 || off + bytes - 1 <= ones(8 * s->width));
}

static void item_store(u8 *p, u64 v, unsigned size)
{
    if (LIKELY(size == 8))
        st64(p, v);
    else if (size == 4)
        st32(p, (u32)v);
    else
        st16(p, (u16)v);
}

static u64 item_load(const u8 *p, unsigned size)
{
    return LIKELY(size == 8) ? ld64(p) : size == 4 ? ld32(p) : ld16(p);
}

static bool put_items(struct cpu *c, const struct stack *s, unsigned size, const u64 *v, unsigned n)
{
    u8 raw[64];
    u64 low = sp_cut(s, s->sp - (u64)size * n);
    if (LIKELY(one_piece(c, s, low, size * n))) {
        for (unsigned k = 0; k < n; k++)
            item_store(raw + (n - 1 - k) * size, v[k], size);
        return lin_write(c, stack_linear(s, low), raw, size * n, 0);
    }
    for (unsigned k = 1; k <= n; k++)
        if (!lin_probe(c, stack_linear(s, sp_cut(s, s->sp - (u64)size * k)), size, ACC_WRITE))
            return false;
    for (unsigned k = 1; k <= n; k++) {
        item_store(raw, v[k - 1], size);
        /* Only alignment can fail now, and then it fails for the first. */
        if (!lin_write(c, stack_linear(s, sp_cut(s, s->sp - (u64)size * k)), raw, size, 0))
            return false;
    }
    return true;
}

bool stack_put(struct cpu *c, struct stack *s, unsigned cpl, unsigned code_size, unsigned size, const u64 *v,
               unsigned n)
{
    bool ok;
    if (cpl == c->cpl && code_size == c->code_size) {
        ok = put_items(c, s, size, v, n);
    } else {
        cpu_assume(c, cpl, code_size);
        ok = put_items(c, s, size, v, n);
        cpu_update_mode(c);
    }
    s->sp = sp_cut(s, s->sp - (u64)size * n);
    return ok;
}

bool stack_get(struct cpu *c, const struct stack *s, u64 at, unsigned size, u64 *v, unsigned n)
{
    u8 raw[64];
    u64 low = sp_cut(s, s->sp + at);
    if (!n)
        return true;
    for (unsigned k = 0; k < n; k++)
        if (!item_inside(s, sp_cut(s, low + (u64)size * k), size))
            return cpu_raise_error(c, VEC_SS, s->error);
    if (LIKELY(one_piece(c, s, low, size * n))) {
        if (!lin_read(c, stack_linear(s, low), raw, size * n, 0))
            return false;
        for (unsigned k = 0; k < n; k++)
            v[k] = item_load(raw + k * size, size);
        return true;
    }
    for (unsigned k = 0; k < n; k++) {
        if (!lin_read(c, stack_linear(s, sp_cut(s, low + (u64)size * k)), raw, size, 0))
            return false;
        v[k] = item_load(raw, size);
    }
    return true;
}

bool stack_push(struct cpu *c, u64 v, unsigned size)
{
    struct stack s = stack_current(c);
    if (!stack_room(c, &s, size, 1) || !stack_put(c, &s, c->cpl, c->code_size, size, &v, 1))
        return false;
    stack_commit(c, s.sp, s.width);
    return true;
}
