/* x87 arithmetic by the host's x87: each function runs the very instruction under the guest's rounding,
 * precision, and overflow and underflow masks. An unmasked exception only becomes a trap at the next waiting
 * instruction: FNCLEX comes first. Between functions the host's stack is empty and its control word is the
 * ABI's.
 *
 * FNSTSW followed by FNCLEX costs 100 ns and more, so exception flags stay set in the host's FPU as long as
 * the guest has them set too: one that the guest has not is cleared before the next operation. */
#include "isa/x87_host.h"

#define MASKED 0x67 /* IM DM ZM PM, and the bit that is always one */

static inline u16 x87_enter(u16 cw, u16 sticky)
{
    u16 sw;
    __asm__ volatile("fnstsw %0" : "=a"(sw));
    if (UNLIKELY(sw & ~sticky & FSW_EXCEPTIONS))
        __asm__ volatile("fnclex");
    cw |= MASKED;
    if (UNLIKELY(cw != FCW_INIT))
        __asm__ volatile("fldcw %0" : : "m"(cw));
    return cw;
}

static inline void x87_leave(u16 cw)
{
    static const u16 init = FCW_INIT;
    if (UNLIKELY(cw != FCW_INIT))
        __asm__ volatile("fldcw %0" : : "m"(init));
}

/* Leaves the status word in AX, and no unmasked exception in the FPU. */
#define STATUS                                                                                               \
    "fnstsw %%ax\n\t"                                                                                        \
    "testb %%al, %%al\n\t" /* ES */                                                                          \
    "jns 1f\n\t"                                                                                             \
    "fnclex\n"                                                                                               \
    "1:\n\t"

#define BINARY(name, insn)                                                                                   \
    u16 x87_##name(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)              \
    {                                                                                                        \
        u16 sw, in = x87_enter(cw, sticky);                                                                  \
        __asm__ volatile("fldt %3\n\tfldt %2\n\t" insn "\n\t" STATUS "fstpt %1\n\tfstp %%st(0)"              \
                         : "=&a"(sw), "=m"(*r)                                                               \
                         : "m"(*a), "m"(*b)                                                                  \
                         : "st", "st(1)", "cc");                                                             \
        x87_leave(in);                                                                                       \
        return sw;                                                                                           \
    }

/* Two operands, ST(1) replaced and ST(0) popped. */
#define BINARY_POP(name, insn)                                                                               \
    u16 x87_##name(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)              \
    {                                                                                                        \
        u16 sw, in = x87_enter(cw, sticky);                                                                  \
        __asm__ volatile("fldt %3\n\tfldt %2\n\t" insn "\n\t" STATUS "fstpt %1"                              \
                         : "=&a"(sw), "=m"(*r)                                                               \
                         : "m"(*a), "m"(*b)                                                                  \
                         : "st", "st(1)", "cc");                                                             \
        x87_leave(in);                                                                                       \
        return sw;                                                                                           \
    }

#define UNARY(name, insn)                                                                                    \
    u16 x87_##name(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a)                                   \
    {                                                                                                        \
        u16 sw, in = x87_enter(cw, sticky);                                                                  \
        __asm__ volatile("fldt %2\n\t" insn "\n\t" STATUS "fstpt %1"                                         \
                         : "=&a"(sw), "=m"(*r)                                                               \
                         : "m"(*a)                                                                           \
                         : "st", "cc");                                                                      \
        x87_leave(in);                                                                                       \
        return sw;                                                                                           \
    }

/* Pushes unless C2 says that the argument is out of range. */
#define UNARY_PUSH(name, insn)                                                                               \
    u16 x87_##name(u16 cw, u16 sticky, struct f80 *r, struct f80 *top, const struct f80 *a)                  \
    {                                                                                                        \
        u16 sw, in = x87_enter(cw, sticky);                                                                  \
        __asm__ volatile("fldt %3\n\t" insn "\n\t" STATUS "testb $4, %%ah\n\t"                               \
                         "jnz 2f\n\t"                                                                        \
                         "fstpt %2\n"                                                                        \
                         "2:\n\t"                                                                            \
                         "fstpt %1"                                                                          \
                         : "=&a"(sw), "=m"(*r), "+m"(*top)                                                   \
                         : "m"(*a)                                                                           \
                         : "st", "st(1)", "cc");                                                             \
        x87_leave(in);                                                                                       \
        return sw;                                                                                           \
    }

/* Stores in the instruction itself, before the status is read. POP: what takes the operand off where the
 * store does not. */
#define STORE(name, type, insn, pop)                                                                         \
    u16 x87_##name(u16 cw, u16 sticky, type *r, const struct f80 *a)                                         \
    {                                                                                                        \
        u16 sw, in = x87_enter(cw, sticky);                                                                  \
        __asm__ volatile("fldt %2\n\t" insn " %1\n\t" STATUS pop                                             \
                         : "=&a"(sw), "+m"(*r)                                                               \
                         : "m"(*a)                                                                           \
                         : "st", "cc");                                                                      \
        x87_leave(in);                                                                                       \
        return sw;                                                                                           \
    }

BINARY(add, "fadd %%st(1), %%st")
BINARY(sub, "fsub %%st(1), %%st")
BINARY(mul, "fmul %%st(1), %%st")
BINARY(div, "fdiv %%st(1), %%st")
BINARY(scale, "fscale")
BINARY(prem, "fprem")
BINARY(prem1, "fprem1")
BINARY_POP(patan, "fpatan")
BINARY_POP(yl2x, "fyl2x")
BINARY_POP(yl2xp1, "fyl2xp1")
UNARY(sqrt, "fsqrt")
UNARY(rndint, "frndint")
UNARY(2xm1, "f2xm1")
UNARY(sin, "fsin")
UNARY(cos, "fcos")
UNARY_PUSH(ptan, "fptan")
UNARY_PUSH(sincos, "fsincos")
STORE(to_f32, u32, "fsts", "fstp %%st(0)")
STORE(to_f64, u64, "fstl", "fstp %%st(0)")
STORE(to_i64, i64, "fistpll", "")
