/* x87 data transfer: loads, stores, conversions, exchange, conditional moves, constants (SDM vol. 1, 8.3.3
 * and 8.3.4). */
#include "base/le.h"
#include "engine/interp/x87.h"

/* --- loads */

/* SW: exceptions of the conversion. IE, unmasked, refuses; a denormal is loaded before DE is flagged. */
INLINE enum x87_end push(struct cpu *c, const struct insn *i, const struct f80 *v, unsigned sw)
{
    x87_note(c, i);
    if (UNLIKELY(!x87_empty(c, 7))) {
        if (x87_overflow(c, i)) {
            x87_push(c);
            x87_set_indefinite(c, 0);
        }
    } else if (!x87_refused(c, i, sw & FSW_IE)) {
        x87_push(c);
        f80_copy(x87_st(c, 0), v);
        x87_status(c, i, sw, FSW_C1);
    }
    return X87_DONE;
}

/* A single or double quietens a signalling NaN on its way in. */
INLINE unsigned narrow_flags(struct f80 *v, bool denormal)
{
    if (LIKELY((v->se & F80_EXP) != F80_EXP) || f80_classify(v) != F80_SNAN)
        return denormal ? FSW_DE : 0;
    v->man |= F80_QUIET;
    return FSW_IE;
}

INLINE enum x87_end load_f32(struct cpu *c, const struct insn *i)
{
    u32 raw;
    struct f80 v;
    X87_TRY(x87_ready(c, i));
    X87_MEM(op_load(c, i, &raw, 4));
    bool denormal = f80_from_f32(&v, raw);
    return push(c, i, &v, narrow_flags(&v, denormal));
}

INLINE enum x87_end load_f64(struct cpu *c, const struct insn *i)
{
    u64 raw;
    struct f80 v;
    X87_TRY(x87_ready(c, i));
    X87_MEM(op_load(c, i, &raw, 8));
    bool denormal = f80_from_f64(&v, raw);
    return push(c, i, &v, narrow_flags(&v, denormal));
}

INLINE enum x87_end load_f80(struct cpu *c, const struct insn *i)
{
    u8 raw[10];
    struct f80 v;
    X87_TRY(x87_ready(c, i));
    X87_MEM(op_load(c, i, raw, 10));
    f80_set(&v, ld64(raw), ld16(raw + 8));
    return push(c, i, &v, 0);
}

INLINE enum x87_end load_int(struct cpu *c, const struct insn *i, unsigned size)
{
    u8 raw[8];
    struct f80 v;
    X87_TRY(x87_ready(c, i));
    X87_MEM(op_load(c, i, raw, size));
    f80_from_i64(&v, size == 2 ? (i16)ld16(raw) : size == 4 ? (i32)ld32(raw) : (i64)ld64(raw));
    return push(c, i, &v, 0);
}

INLINE enum x87_end load_bcd(struct cpu *c, const struct insn *i)
{
    u8 raw[10];
    struct f80 v;
    X87_TRY(x87_ready(c, i));
    X87_MEM(op_load(c, i, raw, 10));
    f80_from_bcd(&v, raw);
    return push(c, i, &v, 0);
}

INLINE enum x87_end load_reg(struct cpu *c, const struct insn *i)
{
    struct f80 v;
    X87_TRY(x87_ready(c, i));
    if (UNLIKELY(x87_empty(c, i->rd))) {
        x87_note(c, i);
        if (x87_underflow(c, i)) {
            x87_push(c);
            x87_set_indefinite(c, 0);
        }
        return X87_DONE;
    }
    f80_copy(&v, x87_st(c, i->rd));
    return push(c, i, &v, 0);
}

INLINE enum x87_end load_constant(struct cpu *c, const struct insn *i, enum x87_constant k)
{
    struct f80 v;
    X87_TRY(x87_ready(c, i));
    f80_constant(&v, k, c->fpu.fcw);
    return push(c, i, &v, 0);
}

X87_WORK(fld_m32, load_f32(c, i))
X87_WORK(fld_m64, load_f64(c, i))
X87_WORK(fld_m80, load_f80(c, i))
X87_WORK(fld, load_reg(c, i))
X87_WORK(fild_m16, load_int(c, i, 2))
X87_WORK(fild_m32, load_int(c, i, 4))
X87_WORK(fild_m64, load_int(c, i, 8))
X87_WORK(fbld, load_bcd(c, i))
X87_WORK(fld1, load_constant(c, i, X87_ONE))
X87_WORK(fldl2t, load_constant(c, i, X87_L2T))
X87_WORK(fldl2e, load_constant(c, i, X87_L2E))
X87_WORK(fldpi, load_constant(c, i, X87_PI))
X87_WORK(fldlg2, load_constant(c, i, X87_LG2))
X87_WORK(fldln2, load_constant(c, i, X87_LN2))
X87_WORK(fldz, load_constant(c, i, X87_ZERO))

const struct x87_row x87_row_FLD = {h_fld,
                                    {[X87_M32] = h_fld_m32, [X87_M64] = h_fld_m64, [X87_M80] = h_fld_m80}};
const struct x87_row x87_row_FILD = {
    NULL, {[X87_M16] = h_fild_m16, [X87_M32] = h_fild_m32, [X87_M64] = h_fild_m64}};
const struct x87_row x87_row_FBLD = {NULL, {[X87_M80] = h_fbld}};
const struct x87_row x87_row_FLD1 = {.reg = h_fld1};
const struct x87_row x87_row_FLDL2T = {.reg = h_fldl2t};
const struct x87_row x87_row_FLDL2E = {.reg = h_fldl2e};
const struct x87_row x87_row_FLDPI = {.reg = h_fldpi};
const struct x87_row x87_row_FLDLG2 = {.reg = h_fldlg2};
const struct x87_row x87_row_FLDLN2 = {.reg = h_fldln2};
const struct x87_row x87_row_FLDZ = {.reg = h_fldz};

/* --- stores: convert, write memory, then status and pop. A store that is refused writes nothing. */

struct store {
    u8 raw[10];
    unsigned sw;
};

/* Overflow and underflow of a store are found before memory is written, too. */
#define STORE_REFUSALS (FSW_IE | FSW_OE | FSW_UE)

INLINE void convert_f32(struct cpu *c, struct store *s)
{
    u32 v = 0;
    s->sw = x87_to_f32(c->fpu.fcw, c->fpu.fsw, &v, x87_st(c, 0));
    st32(s->raw, v);
}

INLINE void convert_f64(struct cpu *c, struct store *s)
{
    u64 v = 0;
    s->sw = x87_to_f64(c->fpu.fcw, c->fpu.fsw, &v, x87_st(c, 0));
    st64(s->raw, v);
}

INLINE void convert_f80(struct cpu *c, struct store *s)
{
    const struct f80 *a = x87_st(c, 0);
    st64(s->raw, a->man);
    st16(s->raw + 8, a->se);
    s->sw = 0;
}

/* Integers: what does not fit gives IE alone and the integer indefinite. */
static void convert_int(struct cpu *c, struct store *s, unsigned size, bool truncate)
{
    i64 v = 0, least = size == 2 ? INT16_MIN : size == 4 ? INT32_MIN : INT64_MIN;
    u16 cw = (u16)(c->fpu.fcw | (truncate ? FCW_RC : 0));
    s->sw = x87_to_i64(cw, c->fpu.fsw, &v, x87_st(c, 0));
    if (v < least || v > -(least + 1)) {
        v = least;
        s->sw = FSW_IE;
    }
    if (truncate)
        s->sw &= ~(unsigned)FSW_C1;
    st64(s->raw, (u64)v);
}

#define BCD_LIMIT 1000000000000000000

static void bcd_indefinite(struct store *s)
{
    static const u8 image[10] = {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff};
    memcpy(s->raw, image, sizeof image);
}

static void convert_bcd(struct cpu *c, struct store *s)
{
    i64 v = 0;
    const struct f80 *a = x87_st(c, 0);
    s->sw = x87_to_i64(c->fpu.fcw, c->fpu.fsw, &v, a);
    if (v <= -BCD_LIMIT || v >= BCD_LIMIT) {
        s->sw = FSW_IE;
        bcd_indefinite(s);
        return;
    }
    f80_to_bcd((u64)(v < 0 ? -v : v), a->se & F80_SIGN, s->raw);
}

/* The masked answer to an empty ST(0). */
static void store_indefinite(struct store *s, enum op op, unsigned size)
{
    if (op == OP_FBSTP) {
        bcd_indefinite(s);
    } else if (op == OP_FIST || op == OP_FISTP || op == OP_FISTTP) {
        st64(s->raw, 1ull << (8 * size - 1));
    } else if (size == 4) {
        st32(s->raw, 0xffc00000);
    } else if (size == 8) {
        st64(s->raw, 0xfff8000000000000);
    } else {
        st64(s->raw, F80_INDEFINITE_MAN);
        st16(s->raw + 8, F80_INDEFINITE_SE);
    }
}

/* Where an exception refuses the store, a fault of its address still comes first, unless addresses come last: then memory is not looked at. */
static bool store_probe(struct cpu *c, const struct insn *i, unsigned size)
{
    u64 lin;
    return interp_store_last(c) || (mem_address(c, i, size, true, &lin) && mem_write_probe(c, i, lin, size));
}

/* Ten bytes are two stores on Intel's silicon: the first may be done when the second faults (SDM vol. 3, 9.1.1). */
static NOINLINE bool store_ten(struct cpu *c, const struct insn *i, const u8 *raw)
{
    u64 lin;
    if (!mem_address(c, i, 10, true, &lin))
        return false;
    if (interp_amd(c))
        return lin_store(c, i, lin, raw, 10);
    u64 rest = c->code_size == 8 ? lin + 8 : (u32)(lin + 8);
    return lin_store(c, i, lin, raw, 8) && lin_store(c, i, rest, raw + 8, 2);
}

INLINE bool store_put(struct cpu *c, const struct insn *i, const struct store *s, unsigned size)
{
    return size == 10 ? store_ten(c, i, s->raw) : op_store(c, i, s->raw, size);
}

static NOINLINE enum x87_end store_empty(struct cpu *c, const struct insn *i, unsigned size, bool pop)
{
    struct store s;
    if (c->fpu.fcw & FSW_IE) {
        store_indefinite(&s, i->op, size);
        X87_MEM(store_put(c, i, &s, size));
    } else {
        X87_MEM(store_probe(c, i, size));
    }
    x87_note(c, i);
    if (x87_underflow(c, i) && pop)
        x87_pop(c);
    return X87_DONE;
}

INLINE enum x87_end store_finish(struct cpu *c, const struct insn *i, const struct store *s, unsigned size,
                                 bool pop)
{
    if (UNLIKELY(s->sw & ~c->fpu.fcw & STORE_REFUSALS)) {
        X87_MEM(store_probe(c, i, size));
        x87_note(c, i);
        x87_status(c, i, s->sw & (STORE_REFUSALS | (s->sw & FSW_IE ? 0 : FSW_PE)), FSW_C1);
        return X87_DONE;
    }
    X87_MEM(store_put(c, i, s, size));
    x87_note(c, i);
    x87_status(c, i, s->sw, FSW_C1);
    if (pop)
        x87_pop(c);
    return X87_DONE;
}

#define STORE(name, size, pop, convert)                                                                      \
    static NOINLINE enum x87_end name(struct cpu *c, const struct insn *i)                                   \
    {                                                                                                        \
        struct store s;                                                                                      \
        X87_TRY(x87_ready(c, i));                                                                            \
        if (UNLIKELY(x87_empty(c, 0)))                                                                       \
            return store_empty(c, i, size, pop);                                                             \
        convert;                                                                                             \
        return store_finish(c, i, &s, size, pop);                                                            \
    }                                                                                                        \
    X87_HANDLER(name)

STORE(fst_m32, 4, false, convert_f32(c, &s))
STORE(fst_m64, 8, false, convert_f64(c, &s))
STORE(fstp_m32, 4, true, convert_f32(c, &s))
STORE(fstp_m64, 8, true, convert_f64(c, &s))
STORE(fstp_m80, 10, true, convert_f80(c, &s))
STORE(fist_m16, 2, false, convert_int(c, &s, 2, false))
STORE(fist_m32, 4, false, convert_int(c, &s, 4, false))
STORE(fistp_m16, 2, true, convert_int(c, &s, 2, false))
STORE(fistp_m32, 4, true, convert_int(c, &s, 4, false))
STORE(fistp_m64, 8, true, convert_int(c, &s, 8, false))
STORE(fisttp_m16, 2, true, convert_int(c, &s, 2, true))
STORE(fisttp_m32, 4, true, convert_int(c, &s, 4, true))
STORE(fisttp_m64, 8, true, convert_int(c, &s, 8, true))
STORE(fbstp, 10, true, convert_bcd(c, &s))

/* To ST(rd): a copy of any bits. NO_EXCEPTION: an empty ST(0) is popped without further ado. */
INLINE enum x87_end store_reg(struct cpu *c, const struct insn *i, bool pop, bool no_exception)
{
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    if (LIKELY(!x87_empty(c, 0))) {
        f80_copy(x87_st(c, i->rd), x87_st(c, 0));
        x87_fill(c, i->rd);
        x87_condition(c, 0, FSW_C1);
    } else if (no_exception) {
        x87_condition(c, 0, FSW_C1);
    } else {
        if (!x87_underflow(c, i))
            return X87_DONE;
        x87_set_indefinite(c, i->rd);
    }
    if (pop)
        x87_pop(c);
    return X87_DONE;
}

X87_WORK(fst, store_reg(c, i, false, false))
X87_WORK(fstp, store_reg(c, i, true, false))
X87_WORK(fstpnce, store_reg(c, i, true, true))

const struct x87_row x87_row_FST = {h_fst, {[X87_M32] = h_fst_m32, [X87_M64] = h_fst_m64}};
const struct x87_row x87_row_FSTP = {
    h_fstp, {[X87_M32] = h_fstp_m32, [X87_M64] = h_fstp_m64, [X87_M80] = h_fstp_m80}};
const struct x87_row x87_row_FSTPNCE = {.reg = h_fstpnce};
const struct x87_row x87_row_FIST = {NULL, {[X87_M16] = h_fist_m16, [X87_M32] = h_fist_m32}};
const struct x87_row x87_row_FISTP = {
    NULL, {[X87_M16] = h_fistp_m16, [X87_M32] = h_fistp_m32, [X87_M64] = h_fistp_m64}};
const struct x87_row x87_row_FISTTP = {
    NULL, {[X87_M16] = h_fisttp_m16, [X87_M32] = h_fisttp_m32, [X87_M64] = h_fisttp_m64}};
const struct x87_row x87_row_FBSTP = {NULL, {[X87_M80] = h_fbstp}};

/* --- register moves */

static enum x87_end exchange(struct cpu *c, const struct insn *i)
{
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    if (UNLIKELY(x87_empty(c, 0) || x87_empty(c, i->rd))) {
        if (!x87_underflow(c, i))
            return X87_DONE;
        if (x87_empty(c, 0))
            x87_set_indefinite(c, 0);
        if (x87_empty(c, i->rd))
            x87_set_indefinite(c, i->rd);
    } else {
        x87_status(c, i, 0, FSW_C1);
    }
    struct f80 *a = x87_st(c, 0), *b = x87_st(c, i->rd), t;
    f80_copy(&t, a);
    f80_copy(a, b);
    f80_copy(b, &t);
    return X87_DONE;
}

X87_WORK(fxch, exchange(c, i))
const struct x87_row x87_row_FXCH = {.reg = h_fxch};

INLINE enum x87_end move_if(struct cpu *c, const struct insn *i, bool condition)
{
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    if (UNLIKELY(x87_empty(c, 0) || x87_empty(c, i->rs))) {
        if (x87_underflow(c, i))
            x87_set_indefinite(c, 0);
        return X87_DONE;
    }
    if (condition)
        f80_copy(x87_st(c, 0), x87_st(c, i->rs));
    return X87_DONE;
}

X87_WORK(fcmovb, move_if(c, i, flag_cf(&c->fl)))
X87_WORK(fcmove, move_if(c, i, flag_zf(&c->fl)))
X87_WORK(fcmovbe, move_if(c, i, flag_cf(&c->fl) || flag_zf(&c->fl)))
X87_WORK(fcmovu, move_if(c, i, flag_pf(&c->fl)))
X87_WORK(fcmovnb, move_if(c, i, !flag_cf(&c->fl)))
X87_WORK(fcmovne, move_if(c, i, !flag_zf(&c->fl)))
X87_WORK(fcmovnbe, move_if(c, i, !flag_cf(&c->fl) && !flag_zf(&c->fl)))
X87_WORK(fcmovnu, move_if(c, i, !flag_pf(&c->fl)))

const struct x87_row x87_row_FCMOVB = {.reg = h_fcmovb};
const struct x87_row x87_row_FCMOVE = {.reg = h_fcmove};
const struct x87_row x87_row_FCMOVBE = {.reg = h_fcmovbe};
const struct x87_row x87_row_FCMOVU = {.reg = h_fcmovu};
const struct x87_row x87_row_FCMOVNB = {.reg = h_fcmovnb};
const struct x87_row x87_row_FCMOVNE = {.reg = h_fcmovne};
const struct x87_row x87_row_FCMOVNBE = {.reg = h_fcmovnbe};
const struct x87_row x87_row_FCMOVNU = {.reg = h_fcmovnu};
