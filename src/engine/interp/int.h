/* The integer families' files and what they share. */
#ifndef ENGINE_INTERP_INT_H
#define ENGINE_INTERP_INT_H

#include "engine/interp/operand.h"
#include "engine/interp/state.h"

typedef const struct insn *handler(struct cpu *c, const struct insn *i);

static inline unsigned size_index(unsigned size)
{
    return size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
}

/* BT and its like: the linear address of the word that holds the bit, and the bit in it; what they make of the word. */
bool bit_address(struct cpu *c, const struct insn *i, bool write, u64 *lin, unsigned *bit) MUST_CHECK;
INLINE u64 bit_change(u16 op, u64 v, unsigned bit)
{
    return op == OP_BTS ? v | 1ull << bit : op == OP_BTR ? v & ~(1ull << bit) : v ^ 1ull << bit;
}

/* Each gives the handler for a record of its operations, or null. PLAIN: see mem_is_plain. */
insn_fn bind_alu(const struct insn *i, bool plain);
insn_fn bind_mov(const struct insn *i, bool plain);
insn_fn bind_shift(const struct insn *i, bool plain);
insn_fn bind_muldiv(const struct insn *i);
insn_fn bind_bits(const struct insn *i);
insn_fn bind_stack(const struct insn *i, unsigned code_size, bool flat);
insn_fn bind_misc(const struct insn *i, unsigned code_size);

#endif
