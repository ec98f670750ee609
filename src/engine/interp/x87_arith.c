/* x87 arithmetic and comparison (SDM vol. 1, 8.3.5 and 8.3.6). What rounds is isa/x87_host.h's; here are
 * operands, stack and status. */
#include "base/le.h"
#include "engine/interp/x87.h"

/* --- ST(rd) <- ST(rd) op ST(rs), reversed, with pop */

/* The masked result goes to ST(D); then pop. */
static enum x87_end arith_underflow(struct cpu *c, const struct insn *i, unsigned d, bool pop)
{
    if (x87_underflow(c, i)) {
        x87_set_indefinite(c, d);
        if (pop)
            x87_pop(c);
    }
    x87_note(c, i);
    return X87_DONE;
}

INLINE enum x87_end arith(struct cpu *c, const struct insn *i, x87_binary *fn, unsigned d,
                          const struct f80 *b, unsigned operand_flags, bool reversed, bool pop)
{
    struct f80 r;
    struct f80 *a = x87_st(c, d);
    u16 cw = c->fpu.fcw, sticky = c->fpu.fsw;
    unsigned sw = reversed ? fn(cw, sticky, &r, b, a) : fn(cw, sticky, &r, a, b);
    /* NaNs, and division by zero, come before denormals. */
    if (UNLIKELY(operand_flags) && f80_classify(a) < F80_QNAN &&
        !(fn == x87_div && reversed && f80_classify(a) == F80_ZERO))
        sw |= operand_flags;
    if (!x87_refused(c, i, sw)) {
        f80_copy(a, &r);
        x87_status(c, i, sw, FSW_C1);
        if (pop)
            x87_pop(c);
    }
    x87_note(c, i);
    return X87_DONE;
}

INLINE enum x87_end arith_reg(struct cpu *c, const struct insn *i, x87_binary *fn, bool reversed, bool pop)
{
    X87_TRY(x87_ready(c, i));
    if (UNLIKELY(x87_empty(c, i->rd) || x87_empty(c, i->rs)))
        return arith_underflow(c, i, i->rd, pop);
    return arith(c, i, fn, i->rd, x87_st(c, i->rs), 0, reversed, pop);
}

/* --- memory operands */

enum kind { KIND_F32, KIND_F64, KIND_I16, KIND_I32 };

/* Loads an operand; *flags gets DE for a denormal. */
INLINE bool operand_load(struct cpu *c, const struct insn *i, enum kind kind, struct f80 *b, unsigned *flags)
{
    u8 raw[8];
    *flags = 0;
    switch (kind) {
    case KIND_F32:
        if (!op_load(c, i, raw, 4))
            return false;
        *flags = f80_from_f32(b, ld32(raw)) ? FSW_DE : 0;
        return true;
    case KIND_F64:
        if (!op_load(c, i, raw, 8))
            return false;
        *flags = f80_from_f64(b, ld64(raw)) ? FSW_DE : 0;
        return true;
    case KIND_I16:
        if (!op_load(c, i, raw, 2))
            return false;
        f80_from_i64(b, (i16)ld16(raw));
        return true;
    default:
        if (!op_load(c, i, raw, 4))
            return false;
        f80_from_i64(b, (i32)ld32(raw));
        return true;
    }
}

INLINE enum x87_end arith_mem(struct cpu *c, const struct insn *i, x87_binary *fn, enum kind kind,
                              bool reversed)
{
    struct f80 b;
    unsigned flags;
    X87_TRY(x87_ready(c, i));
    X87_MEM(operand_load(c, i, kind, &b, &flags));
    if (UNLIKELY(x87_empty(c, 0)))
        return arith_underflow(c, i, 0, false);
    return arith(c, i, fn, 0, &b, flags, reversed, false);
}

#define ARITH(name, fn, rev)                                                                                 \
    X87_WORK(f##name, arith_reg(c, i, fn, rev, false))                                                       \
    X87_WORK(f##name##_m32, arith_mem(c, i, fn, KIND_F32, rev))                                              \
    X87_WORK(f##name##_m64, arith_mem(c, i, fn, KIND_F64, rev))                                              \
    X87_WORK(f##name##p, arith_reg(c, i, fn, rev, true))                                                     \
    X87_WORK(fi##name##_m16, arith_mem(c, i, fn, KIND_I16, rev))                                             \
    X87_WORK(fi##name##_m32, arith_mem(c, i, fn, KIND_I32, rev))

ARITH(add, x87_add, false)
ARITH(mul, x87_mul, false)
ARITH(sub, x87_sub, false)
ARITH(subr, x87_sub, true)
ARITH(div, x87_div, false)
ARITH(divr, x87_div, true)

#define ARITH_ROWS(NAME, name)                                                                               \
    const struct x87_row x87_row_F##NAME = {h_f##name,                                                       \
                                            {[X87_M32] = h_f##name##_m32, [X87_M64] = h_f##name##_m64}};     \
    const struct x87_row x87_row_F##NAME##P = {.reg = h_f##name##p};                                         \
    const struct x87_row x87_row_FI##NAME = {NULL,                                                           \
                                             {[X87_M16] = h_fi##name##_m16, [X87_M32] = h_fi##name##_m32}};

ARITH_ROWS(ADD, add)
ARITH_ROWS(MUL, mul)
ARITH_ROWS(SUB, sub)
ARITH_ROWS(SUBR, subr)
ARITH_ROWS(DIV, div)
ARITH_ROWS(DIVR, divr)

/* --- comparison: C3 C2 C0 of the status word, or ZF PF CF */

#define UNORDERED (FSW_C3 | FSW_C2 | FSW_C0)

INLINE void pops(struct cpu *c, unsigned n)
{
    for (; n; n--)
        x87_pop(c);
}

/* The condition is set even where an unmasked exception keeps the operands on the stack. */
INLINE enum x87_end compare(struct cpu *c, const struct insn *i, const struct f80 *b, unsigned operand_flags,
                            bool quiet, unsigned pop)
{
    unsigned sw = f80_compare(x87_st(c, 0), b, quiet);
    if (!(sw & FSW_C2)) /* NaNs come before denormals */
        sw |= operand_flags;
    if (LIKELY(!x87_refused(c, i, sw))) {
        x87_status(c, i, sw, FSW_CC);
        pops(c, pop);
    }
    x87_condition(c, sw, FSW_CC);
    x87_note(c, i);
    return X87_DONE;
}

static enum x87_end compare_underflow(struct cpu *c, const struct insn *i, unsigned pop)
{
    if (x87_underflow(c, i))
        pops(c, pop);
    x87_condition(c, UNORDERED, FSW_CC);
    x87_note(c, i);
    return X87_DONE;
}

INLINE unsigned source(const struct insn *i)
{
    return i->form == FORM_RR ? i->rs : i->form == FORM_R ? i->rd : 1; /* FCOMPP, FUCOMPP: ST(1) */
}

INLINE enum x87_end compare_reg(struct cpu *c, const struct insn *i, bool quiet, unsigned pop)
{
    X87_TRY(x87_ready(c, i));
    if (UNLIKELY(x87_empty(c, 0) || x87_empty(c, source(i))))
        return compare_underflow(c, i, pop);
    return compare(c, i, x87_st(c, source(i)), 0, quiet, pop);
}

INLINE enum x87_end compare_mem(struct cpu *c, const struct insn *i, enum kind kind, unsigned pop)
{
    struct f80 b;
    unsigned flags;
    X87_TRY(x87_ready(c, i));
    X87_MEM(operand_load(c, i, kind, &b, &flags));
    if (UNLIKELY(x87_empty(c, 0)))
        return compare_underflow(c, i, pop);
    return compare(c, i, &b, flags, false, pop);
}

/* OF, SF and AF are cleared. */
static void flags_from_cc(struct cpu *c, unsigned cc)
{
    flags_load(&c->fl,
               (cc & FSW_C3 ? RFLAGS_ZF : 0) | (cc & FSW_C2 ? RFLAGS_PF : 0) | (cc & FSW_C0 ? RFLAGS_CF : 0));
}

/* As with the condition codes, the flags are set in every case. */
INLINE enum x87_end compare_flags(struct cpu *c, const struct insn *i, bool quiet, bool pop)
{
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    bool done;
    unsigned sw = UNORDERED;
    if (UNLIKELY(x87_empty(c, 0) || x87_empty(c, i->rs))) {
        done = x87_underflow(c, i);
    } else {
        sw = f80_compare(x87_st(c, 0), x87_st(c, i->rs), quiet);
        done = !(sw & ~c->fpu.fcw & FSW_EXCEPTIONS);
        x87_status(c, i, sw & FSW_EXCEPTIONS, 0); /* C1 stays */
    }
    flags_from_cc(c, sw);
    if (pop && done)
        x87_pop(c);
    return X87_DONE;
}

static enum x87_end test_zero(struct cpu *c, const struct insn *i)
{
    static const struct f80 zero;
    X87_TRY(x87_ready(c, i));
    if (UNLIKELY(x87_empty(c, 0)))
        return compare_underflow(c, i, 0);
    return compare(c, i, &zero, 0, false, 0);
}

X87_WORK(fcom, compare_reg(c, i, false, 0))
X87_WORK(fcomp, compare_reg(c, i, false, 1))
X87_WORK(fcompp, compare_reg(c, i, false, 2))
X87_WORK(fucom, compare_reg(c, i, true, 0))
X87_WORK(fucomp, compare_reg(c, i, true, 1))
X87_WORK(fucompp, compare_reg(c, i, true, 2))
X87_WORK(fcom_m32, compare_mem(c, i, KIND_F32, 0))
X87_WORK(fcom_m64, compare_mem(c, i, KIND_F64, 0))
X87_WORK(fcomp_m32, compare_mem(c, i, KIND_F32, 1))
X87_WORK(fcomp_m64, compare_mem(c, i, KIND_F64, 1))
X87_WORK(ficom_m16, compare_mem(c, i, KIND_I16, 0))
X87_WORK(ficom_m32, compare_mem(c, i, KIND_I32, 0))
X87_WORK(ficomp_m16, compare_mem(c, i, KIND_I16, 1))
X87_WORK(ficomp_m32, compare_mem(c, i, KIND_I32, 1))
X87_WORK(fcomi, compare_flags(c, i, false, false))
X87_WORK(fcomip, compare_flags(c, i, false, true))
X87_WORK(fucomi, compare_flags(c, i, true, false))
X87_WORK(fucomip, compare_flags(c, i, true, true))
X87_WORK(ftst, test_zero(c, i))

const struct x87_row x87_row_FCOM = {h_fcom, {[X87_M32] = h_fcom_m32, [X87_M64] = h_fcom_m64}};
const struct x87_row x87_row_FCOMP = {h_fcomp, {[X87_M32] = h_fcomp_m32, [X87_M64] = h_fcomp_m64}};
const struct x87_row x87_row_FCOMPP = {.reg = h_fcompp};
const struct x87_row x87_row_FUCOM = {.reg = h_fucom};
const struct x87_row x87_row_FUCOMP = {.reg = h_fucomp};
const struct x87_row x87_row_FUCOMPP = {.reg = h_fucompp};
const struct x87_row x87_row_FICOM = {NULL, {[X87_M16] = h_ficom_m16, [X87_M32] = h_ficom_m32}};
const struct x87_row x87_row_FICOMP = {NULL, {[X87_M16] = h_ficomp_m16, [X87_M32] = h_ficomp_m32}};
const struct x87_row x87_row_FCOMI = {.reg = h_fcomi};
const struct x87_row x87_row_FCOMIP = {.reg = h_fcomip};
const struct x87_row x87_row_FUCOMI = {.reg = h_fucomi};
const struct x87_row x87_row_FUCOMIP = {.reg = h_fucomip};
const struct x87_row x87_row_FTST = {.reg = h_ftst};
