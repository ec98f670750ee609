/* Memory and register operands. */
#ifndef ENGINE_INTERP_OPERAND_H
#define ENGINE_INTERP_OPERAND_H

#include <string.h>

#include "engine/interp/interp.h"

/* The slow ends of the in-line accesses: any memory, any size up to 64 bytes. */
bool mem_read_slow(struct cpu *c, const struct insn *i, u64 lin, void *buf, unsigned len) NOINLINE MUST_CHECK;
bool mem_write_slow(struct cpu *c, const struct insn *i, u64 lin, const void *buf,
                    unsigned len) NOINLINE MUST_CHECK;
/* The elements of masked moves and gathers: never #AC (SDM vol. 2, VMASKMOV, VGATHER). */
bool mem_read_element(struct cpu *c, const struct insn *i, u64 lin, void *buf, unsigned len) MUST_CHECK;
bool mem_write_element(struct cpu *c, const struct insn *i, u64 lin, const void *buf, unsigned len) MUST_CHECK;

/* Canonical form, which the in-line paths leave to the slow ones. */
bool mem_address_ok(struct cpu *c, const struct insn *i, u64 lin, unsigned len) MUST_CHECK;

/* The soft-TLB hit alone: where the bytes are, or null. Hot handlers use these and tail-call their general twin on a miss, which keeps them free of stack frames. */
INLINE u8 *hit_read(const struct cpu *c, u64 lin, unsigned len)
{
    const struct tlb_entry *t = tlb_slot(c->tlb->current, lin);
    return LIKELY(t->read == ((lin + len - 1) & PAGE_MASK)) ? (u8 *)(uintptr_t)(lin + t->addend) : NULL;
}

INLINE u8 *hit_write(const struct cpu *c, u64 lin, unsigned len)
{
    const struct tlb_entry *t = tlb_slot(c->tlb->current, lin);
    return LIKELY(t->write == ((lin + len - 1) & PAGE_MASK)) ? (u8 *)(uintptr_t)(lin + t->addend) : NULL;
}

/* The address of a plain memory operand. */
INLINE u64 ea_plain(const struct cpu *c, const struct insn *i)
{
    return c->gpr[i->base].q + (c->gpr[i->index].q << i->scale) + (u64)(i64)i->disp;
}

/* Ordinary data access of LEN bytes (a constant) at a linear address: soft-TLB hit in line. */
INLINE MUST_CHECK bool lin_load(struct cpu *c, const struct insn *i, u64 lin, void *buf, unsigned len)
{
    const struct tlb_entry *t = tlb_slot(c->tlb->current, lin);
    if (LIKELY(t->read == ((lin + len - 1) & PAGE_MASK))) {
        ram_get(buf, (const u8 *)(uintptr_t)(lin + t->addend), len);
        return true;
    }
    return mem_read_slow(c, i, lin, buf, len);
}

INLINE MUST_CHECK bool lin_store(struct cpu *c, const struct insn *i, u64 lin, const void *buf, unsigned len)
{
    const struct tlb_entry *t = tlb_slot(c->tlb->current, lin);
    if (LIKELY(t->write == ((lin + len - 1) & PAGE_MASK))) {
        ram_put((u8 *)(uintptr_t)(lin + t->addend), buf, len);
        return true;
    }
    return mem_write_slow(c, i, lin, buf, len);
}

/* Read-modify-write: *P is where the LEN bytes are: guest memory itself, or TMP with a copy when they do not lie in one plain page; then
 * rmw_end(), which cannot fail, writes TMP back. Faults as a write does. */
bool rmw_slow(struct cpu *c, const struct insn *i, u64 lin, unsigned len, u8 **p, u8 *tmp) NOINLINE MUST_CHECK;
void rmw_end(struct cpu *c, u64 lin, const u8 *tmp, unsigned len) NOINLINE;

INLINE MUST_CHECK bool rmw_begin(struct cpu *c, const struct insn *i, u64 lin, unsigned len, u8 **p, u8 *tmp)
{
    const struct tlb_entry *t = tlb_slot(c->tlb->current, lin);
    if (LIKELY(t->write == ((lin + len - 1) & PAGE_MASK))) {
        *p = (u8 *)(uintptr_t)(lin + t->addend);
        return true;
    }
    return rmw_slow(c, i, lin, len, p, tmp);
}

/* The linear address of a memory operand: the easy cases in line. */
INLINE MUST_CHECK bool mem_address(struct cpu *c, const struct insn *i, unsigned len, bool write, u64 *lin)
{
    u64 a = ea_plain(c, i);
    if (i->asize != 8)
        a = i->asize == 4 ? (u32)a : (u16)a;
    if (LIKELY(c->code_size == 8)) {
        *lin = i->flags & INSN_SEG_PLAIN ? a : a + c->seg[i->seg].base;
        return true;
    }
    if (c->flat && i->flags & INSN_SEG_PLAIN && !(write && i->seg == SEG_CS)) {
        *lin = a;
        return true;
    }
    return seg_linear(c, i->seg, a, len, write, lin);
}

INLINE MUST_CHECK bool mem_linear(struct cpu *c, const struct insn *i, unsigned len, bool write, u64 *lin)
{
    return mem_address(c, i, len, write, lin);
}

/* The effective address alone: LEA, and handlers that add to it. */
INLINE u64 ea(const struct cpu *c, const struct insn *i)
{
    u64 a = ea_plain(c, i);
    return i->asize == 8 ? a : i->asize == 4 ? (u32)a : (u16)a;
}

/* May the handler for a record be one that takes `plain` for granted? */
static inline bool mem_is_plain(const struct insn *i, unsigned code_size, bool flat)
{
    return code_size == 8 && flat && i->asize == 8 && i->flags & INSN_SEG_PLAIN;
}

INLINE u64 reg_get(const struct cpu *c, unsigned n, unsigned size)
{
    return size == 8   ? c->gpr[n].q
           : size == 4 ? c->gpr[n].d
           : size == 2 ? c->gpr[n].w
                       : ((const u8 *)c->gpr)[n];
}

/* 32-bit results clear the upper half. */
INLINE void reg_set(struct cpu *c, unsigned n, u64 v, unsigned size)
{
    if (size == 8)
        c->gpr[n].q = v;
    else if (size == 4)
        c->gpr[n].q = (u32)v;
    else if (size == 2)
        c->gpr[n].w = (u16)v;
    else
        ((u8 *)c->gpr)[n] = (u8)v;
}

INLINE u64 host_get(const u8 *p, unsigned size)
{
    u64 v = 0;
    ram_get(&v, p, size);
    return v;
}

INLINE void host_put(u8 *p, u64 v, unsigned size)
{
    ram_put(p, &v, size);
}

/* Loads and stores the instruction's memory operand; the plain, always right way for families that are not
 * hot. */
INLINE MUST_CHECK bool op_load(struct cpu *c, const struct insn *i, void *buf, unsigned len)
{
    u64 lin;
    return mem_address(c, i, len, false, &lin) && lin_load(c, i, lin, buf, len);
}

INLINE MUST_CHECK bool op_store(struct cpu *c, const struct insn *i, const void *buf, unsigned len)
{
    u64 lin;
    return mem_address(c, i, len, true, &lin) && lin_store(c, i, lin, buf, len);
}

#endif
