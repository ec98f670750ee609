/* Inside the x87 family: the register stack, the status word, and the shape of handlers (SDM vol. 1, chapter
 * 8).
 *
 * The work of an instruction is a function that returns an enum x87_end; X87_HANDLER makes the handler of it,
 * which has no locals and so goes on by a tail call. It commits registers and status only when memory
 * operands are done with. */
#ifndef ENGINE_INTERP_X87_H
#define ENGINE_INTERP_X87_H

#include "engine/interp/operand.h"
#include "isa/x87_host.h"

enum x87_end {
    X87_DONE,
    X87_FAULT, /* c->fault is recorded */
    X87_AGAIN, /* leave at this very instruction: an interrupt comes first */
};
typedef enum x87_end x87_work(struct cpu *c, const struct insn *i);

const struct insn *x87_way_out(struct cpu *c, const struct insn *i, enum x87_end end) COLD;

#define X87_HANDLER(name)                                                                                    \
    static const struct insn *h_##name(struct cpu *c, const struct insn *i)                                  \
    {                                                                                                        \
        enum x87_end end = name(c, i);                                                                       \
        if (UNLIKELY(end != X87_DONE))                                                                       \
            return x87_way_out(c, i, end);                                                                   \
        NEXT(c, i);                                                                                          \
    }

/* A work function that is one expression, and its handler. */
#define X87_WORK(name, expr)                                                                                 \
    static NOINLINE enum x87_end name(struct cpu *c, const struct insn *i)                                   \
    {                                                                                                        \
        return expr;                                                                                         \
    }                                                                                                        \
    X87_HANDLER(name)

/* The handlers of one operation by the memory operand's bytes; the last is for environments. Null: there is
 * no such form. */
enum { X87_M16, X87_M32, X87_M64, X87_M80, X87_ENV, X87_MEMORY_FORMS };
struct x87_row {
    insn_fn reg;
    insn_fn mem[X87_MEMORY_FORMS];
};
#define OPX(...)
#define OP(name, ...) extern const struct x87_row x87_row_##name;
#include "isa/ops_x87.def"
#undef OP
#undef OPX

/* Every escape instruction: #NM. Returns X87_DONE when it may run. */
INLINE enum x87_end x87_available(struct cpu *c)
{
    if (LIKELY(!(c->cr0 & (CR0_EM | CR0_TS))))
        return X87_DONE;
    cpu_raise(c, VEC_NM);
    return X87_FAULT;
}

enum x87_end x87_pending(struct cpu *c, const struct insn *i) COLD;

/* Waiting ones: #MF too. */
INLINE enum x87_end x87_ready(struct cpu *c, const struct insn *i)
{
    if (LIKELY(!(c->cr0 & (CR0_EM | CR0_TS)) && !(c->fpu.fsw & FSW_ES)))
        return X87_DONE;
    enum x87_end end = x87_available(c);
    return end != X87_DONE ? end : x87_pending(c, i);
}

#define X87_TRY(expr)                                                                                        \
    do {                                                                                                     \
        enum x87_end end_ = (expr);                                                                          \
        if (UNLIKELY(end_ != X87_DONE))                                                                      \
            return end_;                                                                                     \
    } while (0)
#define X87_MEM(expr)                                                                                        \
    do {                                                                                                     \
        if (UNLIKELY(!(expr)))                                                                               \
            return X87_FAULT;                                                                                \
    } while (0)

INLINE unsigned x87_physical(const struct cpu *c, unsigned n)
{
    return ((c->fpu.fsw >> 11) + n) & 7;
}

/* ST(N). */
INLINE struct f80 *x87_st(struct cpu *c, unsigned n)
{
    return (struct f80 *)(void *)c->fpu.st[x87_physical(c, n)];
}

INLINE bool x87_empty(const struct cpu *c, unsigned n)
{
    return !(c->fpu.ftw >> x87_physical(c, n) & 1);
}

INLINE void x87_set_top(struct cpu *c, unsigned top)
{
    c->fpu.fsw = (u16)((c->fpu.fsw & ~FSW_TOP) | (top & 7) << 11);
}

INLINE void x87_pop(struct cpu *c)
{
    c->fpu.ftw &= (u8) ~(1u << x87_physical(c, 0));
    x87_set_top(c, x87_physical(c, 1));
}

/* Makes room for a new ST(0), whose contents are the caller's. */
INLINE void x87_push(struct cpu *c)
{
    x87_set_top(c, x87_physical(c, 7));
    c->fpu.ftw |= (u8)(1u << x87_physical(c, 0));
}

INLINE void x87_fill(struct cpu *c, unsigned n)
{
    c->fpu.ftw |= (u8)(1u << x87_physical(c, n));
}

/* An unmasked exception is flagged: ES, B, and the pointers that an exception handler reads. */
void x87_unmasked(struct cpu *c, const struct insn *i) COLD;

/* Takes exceptions and the condition bits in CC from SW. */
INLINE void x87_status(struct cpu *c, const struct insn *i, unsigned sw, unsigned cc)
{
    c->fpu.fsw = (u16)((c->fpu.fsw & ~cc) | (sw & (cc | FSW_EXCEPTIONS | FSW_SF)));
    if (UNLIKELY(sw & ~c->fpu.fcw & FSW_EXCEPTIONS))
        x87_unmasked(c, i);
}

/* The condition bits in CC alone. */
INLINE void x87_condition(struct cpu *c, unsigned sw, unsigned cc)
{
    c->fpu.fsw = (u16)((c->fpu.fsw & ~cc) | (sw & cc));
}

/* IE, DE and ZE are found before anything is computed: unmasked, they leave operands and stack alone. True:
 * so it is, and the status is set. */
bool x87_refuse(struct cpu *c, const struct insn *i, unsigned sw) COLD;
INLINE bool x87_refused(struct cpu *c, const struct insn *i, unsigned sw)
{
    return UNLIKELY(sw & ~c->fpu.fcw & (FSW_IE | FSW_DE | FSW_ZE)) && x87_refuse(c, i, sw);
}

/* Stack faults: set the status; true when the masked response is due. */
bool x87_underflow(struct cpu *c, const struct insn *i) COLD;
bool x87_overflow(struct cpu *c, const struct insn *i) COLD;

/* Masked response of an instruction whose result goes to ST(N): the real indefinite. */
void x87_set_indefinite(struct cpu *c, unsigned n) COLD;

/* FIP of a non-control instruction; the record's imm is its distance from the block's start. FDP and FOP are
 * kept for unmasked exceptions only, FCS and FDS not at all, as CPUID says. */
INLINE void x87_note(struct cpu *c, const struct insn *i)
{
    u64 rip = c->gpr[GPR_RIP].q + (u64)(i64)i->imm;
    c->fpu.fip = cpu_code64(c) ? rip : (u32)rip;
}

#endif
