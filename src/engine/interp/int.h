/* The integer families' files and what they share. */
#ifndef ENGINE_INTERP_INT_H
#define ENGINE_INTERP_INT_H

#include "engine/interp/operand.h"
#include "engine/interp/state.h"
#include "cpu/silicon.h"

typedef const struct insn *handler(struct cpu *c, const struct insn *i);

static inline unsigned size_index(unsigned size)
{
    return size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
}

/* Each gives the handler for a record of its operations, or null. PLAIN: see mem_is_plain. */
insn_fn bind_alu(const struct insn *i, bool plain);
insn_fn bind_mov(const struct insn *i, bool plain);
insn_fn bind_shift(const struct insn *i, enum silicon silicon);
insn_fn bind_muldiv(const struct insn *i, enum silicon silicon);
insn_fn bind_bits(const struct insn *i, enum silicon silicon);
insn_fn bind_stack(const struct insn *i, unsigned code_size, bool flat);
insn_fn bind_misc(const struct insn *i, enum silicon silicon);

#endif
