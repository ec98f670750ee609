/* Implicit stack accesses: the address is cut to the stack's size, SS gives base, limit and the fault's name. */
#ifndef ENGINE_INTERP_STACK_H
#define ENGINE_INTERP_STACK_H

#include "engine/interp/operand.h"

INLINE u64 sp_add(const struct cpu *c, u64 sp, i64 n)
{
    u64 r = sp + (u64)n;
    return c->stack_size == 8 ? r : c->stack_size == 4 ? (u32)r : (u16)r;
}

/* Writes as much of RSP as the stack's size has. */
INLINE void sp_set(struct cpu *c, u64 sp)
{
    reg_set(c, RSP, sp, c->stack_size);
}

/* Like the slow accesses, but the record's segment does not count: SS does. */
INLINE MUST_CHECK bool stack_linear(struct cpu *c, u64 sp, unsigned len, bool write, u64 *lin)
{
    if (LIKELY(c->code_size == 8 && cpu_canonical(sp) && cpu_canonical(sp + len - 1))) {
        *lin = sp;
        return true;
    }
    return seg_linear(c, SEG_SS, sp, len, write, lin);
}

INLINE MUST_CHECK bool stack_load(struct cpu *c, const struct insn *i, u64 sp, void *v, unsigned len)
{
    u64 lin;
    return stack_linear(c, sp, len, false, &lin) && lin_load(c, i, lin, v, len);
}

INLINE MUST_CHECK bool stack_store(struct cpu *c, const struct insn *i, u64 sp, const void *v, unsigned len)
{
    u64 lin;
    return stack_linear(c, sp, len, true, &lin) && lin_store(c, i, lin, v, len);
}

INLINE MUST_CHECK bool stack_probe(struct cpu *c, u64 sp, unsigned len)
{
    u64 lin;
    return stack_linear(c, sp, len, true, &lin) && lin_probe(c, lin, len, ACC_WRITE);
}

#endif
