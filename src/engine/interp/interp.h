/* Inside the interpreter: what every instruction family's file needs.
 *
 * A handler executes one instruction and goes on to the next record. It computes everything first and commits
 * only when nothing can fail any more:
 *
 *     const struct insn *h_bswap(struct cpu *c, const struct insn *i)
 *     {
 *         ... commit ...
 *         NEXT(c, i);
 *     }
 *
 * Ways out:
 *     NEXT(c, i)              done, next record
 *     FAULT(c, i)             c->fault is recorded and nothing is committed
 *     return interp_leave(c, i)     done, but leave the block: something changed that decoded code depends on
 * (mode, mapping, IF, ...) return interp_leave_rip(c, i) done, and c->rip is already set RIP is not kept up
 * to date in between: interp_rip(c, i) computes it. */
#ifndef ENGINE_INTERP_INTERP_H
#define ENGINE_INTERP_INTERP_H

#include "cpu/access.h"
#include "cpu/system.h"
#include "cpu/tlb.h"
#include "isa/insn.h"

#ifdef TRINE_TRAMPOLINE
#define NEXT(c, i) return (i) + 1
#else
#define NEXT(c, i) return (i)[1].fn((c), (i) + 1)
#endif
#define FAULT(c, i) return interp_fault((c), (i))
/* An access or operation that records a fault when it returns false. */
#define TRY(c, i, expr)                                                                                      \
    do {                                                                                                     \
        if (UNLIKELY(!(expr)))                                                                               \
            FAULT(c, i);                                                                                     \
    } while (0)

const struct insn *interp_fault(struct cpu *c, const struct insn *i) COLD;
const struct insn *interp_leave(struct cpu *c, const struct insn *i);
const struct insn *interp_leave_rip(struct cpu *c, const struct insn *i);

/* AMD's silicon profile (cpu/silicon.h), for paths that are not hot. */
bool interp_amd(const struct cpu *c);
/* As silicon_store_last. */
bool interp_store_last(const struct cpu *c);

/* RIP of the instruction at I, and of the one behind it. */
u64 interp_rip(const struct cpu *c, const struct insn *i);
u64 interp_next_rip(const struct cpu *c, const struct insn *i);

/* One per family: the handler for a decoded record, or null when this family has none for its form (then it
 * is DECODE_UNBUILT). `flat` says that the code segment's world is cpu->flat: memory operands whose flags
 * have INSN_SEG_PLAIN need no segmentation. */
insn_fn interp_bind_INT(const struct insn *i, unsigned code_size, bool flat);
insn_fn interp_bind_STRING(const struct insn *i, unsigned code_size, bool flat);
insn_fn interp_bind_FLOW(const struct insn *i, unsigned code_size, bool flat);
insn_fn interp_bind_SYSTEM(const struct insn *i, unsigned code_size, bool flat);
insn_fn interp_bind_X87(const struct insn *i, unsigned code_size, bool flat);
insn_fn interp_bind_SIMD(const struct insn *i, unsigned code_size, bool flat);
insn_fn interp_bind_AVX(const struct insn *i, unsigned code_size, bool flat);
/* What stands in their place when the vCPU has company; null: the usual one. */
insn_fn interp_bind_company(const struct insn *i, enum cpu_company company);
/* Of an operation whose feature is AVX: does this form need AVX2? */
bool interp_needs_avx2(const struct insn *i);

#endif
