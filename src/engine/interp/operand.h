/* Memory and register operands. */
#ifndef ENGINE_INTERP_OPERAND_H
#define ENGINE_INTERP_OPERAND_H

#include <string.h>

#include "engine/interp/interp.h"

/* The effective address, before segmentation, cut to the address size. */
INLINE u64 ea(const struct cpu *c, const struct insn *i)
{
    u64 a = c->gpr[i->base].q + (c->gpr[i->index].q << i->scale) + (u64)(i64)i->disp;
    return i->asize == 8 ? a : i->asize == 4 ? (u32)a : (u16)a;
}

/* The linear address of a memory operand of LEN bytes in any mode; false: #GP or #SS recorded. */
INLINE bool mem_linear(struct cpu *c, const struct insn *i, unsigned len, bool write, u64 *lin)
{
    return seg_linear(c, i->seg, ea(c, i), len, write, lin);
}

/* The slow ends of the in-line accesses: any memory, any size up to 64 bytes. */
bool mem_read_slow(struct cpu *c, const struct insn *i, u64 lin, void *buf, unsigned len) NOINLINE MUST_CHECK;
bool mem_write_slow(struct cpu *c, const struct insn *i, u64 lin, const void *buf,
                    unsigned len) NOINLINE MUST_CHECK;

/* Ordinary data access of LEN bytes (a constant) at a linear address: soft-TLB hit in line. */
INLINE MUST_CHECK bool lin_load(struct cpu *c, const struct insn *i, u64 lin, void *buf, unsigned len)
{
    const struct tlb_entry *t = tlb_slot(c->tlb->current, lin);
    if (LIKELY(t->read == ((lin + len - 1) & PAGE_MASK))) {
        memcpy(buf, (const void *)(uintptr_t)(lin + t->addend), len);
        return true;
    }
    return mem_read_slow(c, i, lin, buf, len);
}

INLINE MUST_CHECK bool lin_store(struct cpu *c, const struct insn *i, u64 lin, const void *buf, unsigned len)
{
    const struct tlb_entry *t = tlb_slot(c->tlb->current, lin);
    if (LIKELY(t->write == ((lin + len - 1) & PAGE_MASK))) {
        memcpy((void *)(uintptr_t)(lin + t->addend), buf, len);
        return true;
    }
    return mem_write_slow(c, i, lin, buf, len);
}

/* Loads and stores the instruction's memory operand; the plain, always right way for families that are not
 * hot. */
INLINE MUST_CHECK bool op_load(struct cpu *c, const struct insn *i, void *buf, unsigned len)
{
    u64 lin;
    return mem_linear(c, i, len, false, &lin) && lin_load(c, i, lin, buf, len);
}

INLINE MUST_CHECK bool op_store(struct cpu *c, const struct insn *i, const void *buf, unsigned len)
{
    u64 lin;
    return mem_linear(c, i, len, true, &lin) && lin_store(c, i, lin, buf, len);
}

#endif
