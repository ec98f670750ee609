/* The interpreter as another software engine's fallback: "execute exactly one instruction". The engine
 * attaches engine_interp to the same struct cpu; cpu->engine stays the interpreter's. */
#ifndef ENGINE_INTERP_INNER_H
#define ENGINE_INTERP_INNER_H

#include "isa/insn.h"

/* Executes the one instruction at c->rip, or delivers its fault; of a REP instruction as many iterations as
 * BUDGET (1 or more) allows. Neither debug breakpoints nor TF: for those there is engine_interp.step. */
void interp_one(void *state, u64 budget);
/* A run of MOVS or STOS, as far as N elements and plain pages go, by memory functions of the host; I needs op, size, asize and flags.
 * The number of elements done; 0: none that way. */
u64 interp_string_bulk(struct cpu *c, const struct insn *i, u64 n);
/* TF, RF, breakpoints or an interrupt shadow: only single steps are exact now. */
bool interp_needs_step(const struct cpu *c, u32 attention);
/* Does this vCPU offer the operation? Turns LZCNT and TZCNT into what older CPUs make of them. */
bool interp_offered(const struct cpu *c, struct insn *i);

#endif
