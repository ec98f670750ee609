/* How insn_decode is to read the code that a vCPU runs. */
#ifndef ISA_DECODE_MODE_H
#define ISA_DECODE_MODE_H

#include "cpu/model.h"
#include "isa/insn.h"

static inline unsigned cpu_decode_mode(const struct cpu *c)
{
    return c->code_size | (silicon_is_amd(c->wires.model->silicon) ? DECODE_AMD : 0);
}

#endif
