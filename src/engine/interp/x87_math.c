/* x87 operations on ST(0) and ST(1): basic and transcendental functions, remainders, scaling (SDM vol.
 * 1, 8.3.5 and 8.3.7). */
#include "engine/interp/x87.h"

/* CC: condition bits that the operation sets besides C1. */
INLINE enum x87_end unary(struct cpu *c, const struct insn *i, x87_unary *fn, unsigned cc)
{
    struct f80 r;
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    if (UNLIKELY(x87_empty(c, 0))) {
        x87_condition(c, 0, cc);
        if (x87_underflow(c, i))
            x87_set_indefinite(c, 0);
        return X87_DONE;
    }
    unsigned sw = fn(c->fpu.fcw, c->fpu.fsw, &r, x87_st(c, 0));
    if (!x87_refused(c, i, sw)) {
        f80_copy(x87_st(c, 0), &r);
        x87_status(c, i, sw, FSW_C1 | cc);
    } else {
        x87_condition(c, 0, cc);
    }
    return X87_DONE;
}

/* The result replaces ST(0), or ST(1) and pops. */
INLINE enum x87_end binary(struct cpu *c, const struct insn *i, x87_binary *fn, bool pop)
{
    struct f80 r;
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    if (UNLIKELY(x87_empty(c, 0) || x87_empty(c, 1))) {
        if (x87_underflow(c, i)) {
            x87_set_indefinite(c, pop);
            if (pop)
                x87_pop(c);
        }
        return X87_DONE;
    }
    unsigned sw = fn(c->fpu.fcw, c->fpu.fsw, &r, x87_st(c, 0), x87_st(c, 1));
    if (!x87_refused(c, i, sw)) {
        f80_copy(x87_st(c, pop), &r);
        x87_status(c, i, sw, FSW_C1);
        if (pop)
            x87_pop(c);
    }
    return X87_DONE;
}

/* FPREM, FPREM1. Without a quotient (NaN, invalid operands) C2 is cleared and C3 and C0 stay. */
INLINE enum x87_end remainder_of(struct cpu *c, const struct insn *i, x87_binary *fn)
{
    struct f80 r;
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    x87_condition(c, 0, FSW_C2);
    if (UNLIKELY(x87_empty(c, 0) || x87_empty(c, 1))) {
        if (x87_underflow(c, i))
            x87_set_indefinite(c, 0);
        return X87_DONE;
    }
    struct f80 *a = x87_st(c, 0), *b = x87_st(c, 1);
    enum f80_class ka = f80_classify(a), kb = f80_classify(b);
    bool quotient = ka < F80_INFINITY && kb < F80_QNAN && kb != F80_ZERO;
    unsigned sw = fn(c->fpu.fcw, c->fpu.fsw, &r, a, b);
    if (!x87_refused(c, i, sw)) {
        f80_copy(a, &r);
        x87_status(c, i, sw, quotient ? FSW_CC : FSW_C1);
    }
    return X87_DONE;
}

/* Stack faults of those that replace ST(0) and push. */
static enum x87_end push_fault(struct cpu *c, const struct insn *i, unsigned cc)
{
    x87_condition(c, 0, cc);
    if (x87_empty(c, 0) ? x87_underflow(c, i) : x87_overflow(c, i)) {
        x87_set_indefinite(c, 0);
        x87_push(c);
        x87_set_indefinite(c, 0);
    }
    return X87_DONE;
}

typedef u16 push_fn(u16 cw, u16 sticky, struct f80 *r, struct f80 *top, const struct f80 *a);

INLINE enum x87_end unary_push(struct cpu *c, const struct insn *i, push_fn *fn, unsigned cc)
{
    struct f80 r, top = {0};
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    if (UNLIKELY(x87_empty(c, 0) || !x87_empty(c, 7)))
        return push_fault(c, i, cc);
    unsigned sw = fn(c->fpu.fcw, c->fpu.fsw, &r, &top, x87_st(c, 0));
    if (x87_refused(c, i, sw)) {
        x87_condition(c, 0, cc);
        return X87_DONE;
    }
    x87_status(c, i, sw, FSW_C1 | cc);
    if (sw & cc & FSW_C2)
        return X87_DONE;
    f80_copy(x87_st(c, 0), &r);
    x87_push(c);
    f80_copy(x87_st(c, 0), &top);
    return X87_DONE;
}

static u16 extract(u16 cw, u16 sticky, struct f80 *r, struct f80 *top, const struct f80 *a)
{
    (void)cw, (void)sticky;
    return f80_extract(a, r, top);
}

/* FABS and FCHS: any bits, no exception. */
INLINE enum x87_end sign(struct cpu *c, const struct insn *i, unsigned keep, unsigned flip)
{
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    if (UNLIKELY(x87_empty(c, 0))) {
        if (x87_underflow(c, i))
            x87_set_indefinite(c, 0);
        return X87_DONE;
    }
    struct f80 *a = x87_st(c, 0);
    a->se = (u16)((a->se & keep) ^ flip);
    x87_status(c, i, 0, FSW_C1);
    return X87_DONE;
}

static enum x87_end examine(struct cpu *c, const struct insn *i)
{
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    const struct f80 *a = x87_st(c, 0);
    unsigned cc = f80_examine(a);
    if (x87_empty(c, 0))
        cc = (cc & FSW_C1) | FSW_C3 | FSW_C0;
    x87_status(c, i, cc, FSW_CC);
    return X87_DONE;
}

X87_WORK(fsqrt, unary(c, i, x87_sqrt, 0))
X87_WORK(frndint, unary(c, i, x87_rndint, 0))
X87_WORK(f2xm1, unary(c, i, x87_2xm1, 0))
X87_WORK(fsin, unary(c, i, x87_sin, FSW_C2))
X87_WORK(fcos, unary(c, i, x87_cos, FSW_C2))
X87_WORK(fscale, binary(c, i, x87_scale, false))
X87_WORK(fprem, remainder_of(c, i, x87_prem))
X87_WORK(fprem1, remainder_of(c, i, x87_prem1))
X87_WORK(fpatan, binary(c, i, x87_patan, true))
X87_WORK(fyl2x, binary(c, i, x87_yl2x, true))
X87_WORK(fyl2xp1, binary(c, i, x87_yl2xp1, true))
X87_WORK(fptan, unary_push(c, i, x87_ptan, FSW_C2))
X87_WORK(fsincos, unary_push(c, i, x87_sincos, FSW_C2))
X87_WORK(fxtract, unary_push(c, i, extract, 0))
X87_WORK(fabs_, sign(c, i, F80_EXP, 0))
X87_WORK(fchs, sign(c, i, 0xffff, F80_SIGN))
X87_WORK(fxam, examine(c, i))

const struct x87_row x87_row_FSQRT = {.reg = h_fsqrt};
const struct x87_row x87_row_FRNDINT = {.reg = h_frndint};
const struct x87_row x87_row_F2XM1 = {.reg = h_f2xm1};
const struct x87_row x87_row_FSIN = {.reg = h_fsin};
const struct x87_row x87_row_FCOS = {.reg = h_fcos};
const struct x87_row x87_row_FSCALE = {.reg = h_fscale};
const struct x87_row x87_row_FPREM = {.reg = h_fprem};
const struct x87_row x87_row_FPREM1 = {.reg = h_fprem1};
const struct x87_row x87_row_FPATAN = {.reg = h_fpatan};
const struct x87_row x87_row_FYL2X = {.reg = h_fyl2x};
const struct x87_row x87_row_FYL2XP1 = {.reg = h_fyl2xp1};
const struct x87_row x87_row_FPTAN = {.reg = h_fptan};
const struct x87_row x87_row_FSINCOS = {.reg = h_fsincos};
const struct x87_row x87_row_FXTRACT = {.reg = h_fxtract};
const struct x87_row x87_row_FABS = {.reg = h_fabs_};
const struct x87_row x87_row_FCHS = {.reg = h_fchs};
const struct x87_row x87_row_FXAM = {.reg = h_fxam};
