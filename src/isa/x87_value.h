/* The 80-bit extended format (SDM vol. 1, 4.2 and 8.2) and what x87 does with it exactly in plain C:
 * conversions that never round, comparison, classification, constants. Functions return exception flags as
 * they stand in the status word. */
#ifndef ISA_X87_VALUE_H
#define ISA_X87_VALUE_H

#include "base/types.h"

/* A data register. The unused bytes are kept zero. */
struct f80 {
    u64 man; /* bit 63: the integer bit */
    u16 se;  /* 15: sign, 14..0: exponent, biased by 16383 */
    u16 zero[3];
};
_Static_assert(sizeof(struct f80) == 16, "a slot of struct fpu's register file");

/* Status word and control word bits. */
enum {
    FSW_IE = 1 << 0,
    FSW_DE = 1 << 1,
    FSW_ZE = 1 << 2,
    FSW_OE = 1 << 3,
    FSW_UE = 1 << 4,
    FSW_PE = 1 << 5,
    FSW_SF = 1 << 6,
    FSW_ES = 1 << 7,
    FSW_C0 = 1 << 8,
    FSW_C1 = 1 << 9,
    FSW_C2 = 1 << 10,
    FSW_TOP = 7 << 11,
    FSW_C3 = 1 << 14,
    FSW_B = 1 << 15,
    FSW_EXCEPTIONS = 0x3f,
    FSW_CC = FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3,
    FCW_RC = 3 << 10, /* rounding: 0 nearest, 1 down, 2 up, 3 to zero */
    FCW_PC = 3 << 8,  /* precision: 0 24 bits, 2 53, 3 64 */
    FCW_INIT = 0x37f,
};

enum f80_class { F80_ZERO, F80_NORMAL, F80_DENORMAL, F80_INFINITY, F80_QNAN, F80_SNAN, F80_UNSUPPORTED };

#define F80_EXP            0x7fff
#define F80_SIGN           0x8000
#define F80_BIAS           16383
#define F80_INTEGER        0x8000000000000000ull
#define F80_QUIET          0x4000000000000000ull
#define F80_INDEFINITE_MAN 0xc000000000000000ull
#define F80_INDEFINITE_SE  0xffffu

static inline enum f80_class f80_classify(const struct f80 *a)
{
    unsigned e = a->se & F80_EXP;
    if (e == 0)
        return a->man ? F80_DENORMAL : F80_ZERO;
    if (!(a->man & F80_INTEGER))
        return F80_UNSUPPORTED;
    if (e < F80_EXP)
        return F80_NORMAL;
    return a->man == F80_INTEGER ? F80_INFINITY : a->man & F80_QUIET ? F80_QNAN : F80_SNAN;
}

static inline bool f80_is_nan(const struct f80 *a)
{
    enum f80_class k = f80_classify(a);
    return k == F80_QNAN || k == F80_SNAN;
}

/* Field by field: a copy of all 16 bytes right behind a store of 10 would stall the host's store forwarding.
 */
static inline void f80_set(struct f80 *r, u64 man, unsigned se)
{
    r->man = man;
    r->se = (u16)se;
}

static inline void f80_copy(struct f80 *r, const struct f80 *a)
{
    f80_set(r, a->man, a->se);
}

void f80_from_i64(struct f80 *r, i64 v);

/* The fields of a narrower format: exponent EXP (at most EXP_MAX, biased by BIAS), fraction FRAC of FBITS
 * bits. True when it was denormal. A signalling NaN stays signalling. */
bool f80_widen(struct f80 *r, bool negative, unsigned exp, unsigned exp_max, int bias, u64 frac,
               unsigned fbits);

/* A single or double as the operand of an operation; true when it was denormal. */
static inline bool f80_from_f32(struct f80 *r, u32 v)
{
    unsigned e = v >> 23 & 0xff;
    if (UNLIKELY(e == 0 || e == 0xff))
        return f80_widen(r, v >> 31, e, 0xff, 127, v & 0x7fffff, 23);
    f80_set(r, F80_INTEGER | (u64)v << 40, (v >> 16 & F80_SIGN) | (e + F80_BIAS - 127));
    return false;
}

static inline bool f80_from_f64(struct f80 *r, u64 v)
{
    unsigned e = (unsigned)(v >> 52 & 0x7ff);
    if (UNLIKELY(e == 0 || e == 0x7ff))
        return f80_widen(r, v >> 63, e, 0x7ff, 1023, v & 0xfffffffffffffull, 52);
    f80_set(r, F80_INTEGER | v << 11, (unsigned)(v >> 48 & F80_SIGN) | (e + F80_BIAS - 1023));
    return false;
}

/* Ten bytes of packed BCD: 18 digits and a sign. */
void f80_from_bcd(struct f80 *r, const u8 *bcd);
/* V, less than 10^18, as packed BCD. */
void f80_to_bcd(u64 v, bool negative, u8 *bcd);

/* Compares: the result as C3 (equal), C0 (less), C3 | C2 | C0 (unordered), with IE and DE. QUIET: quiet NaNs
 * are no error (FUCOM). */
u16 f80_compare(const struct f80 *a, const struct f80 *b, bool quiet);

/* FXAM's C3, C2, C0, C1 for a register that is not empty. */
u16 f80_examine(const struct f80 *a);

/* FXTRACT: exponent and significand; returns IE, DE or ZE. */
u16 f80_extract(const struct f80 *a, struct f80 *exponent, struct f80 *significand);

/* Tag of a register's contents that is not empty: 0 valid, 1 zero, 2 special. */
unsigned f80_tag(const struct f80 *a);

enum x87_constant { X87_ONE, X87_L2T, X87_L2E, X87_PI, X87_LG2, X87_LN2, X87_ZERO };
void f80_constant(struct f80 *r, enum x87_constant k, u16 cw);

#endif
