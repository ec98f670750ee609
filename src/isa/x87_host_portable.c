/* x87 arithmetic for hosts that have none, in integers: exact results and flags for everything that IEEE 754
 * or the manual defines (SDM vol. 1, 4.8, 4.9 and 8.5). Transcendental functions go through the host's long
 * double: within an ulp or two of silicon's 64 bits, PE always set, C1 from nothing: a deviation that docs/
 * names. */
#include <math.h>

#include "base/bits.h"
#include "isa/x87_host.h"

#define EXP_MIN  (1 - F80_BIAS)
#define EXP_MAX  F80_BIAS
#define EXP_WRAP 24576 /* what an unmasked overflow or underflow takes off or adds */

/* A finite number: man * 2^(exp - 63), bit 63 of man set unless it is zero. */
struct num {
    enum f80_class class;
    bool negative;
    int exp;
    u64 man;
};

static struct num unpack(const struct f80 *a)
{
    struct num n = {.class = f80_classify(a),
                    .negative = a->se & F80_SIGN,
                    .exp = (a->se & F80_EXP) - F80_BIAS,
                    .man = a->man};
    if (n.class == F80_DENORMAL) {
        int shift = __builtin_clzll(n.man);
        n.man <<= shift;
        n.exp = EXP_MIN - shift;
    }
    return n;
}

static u16 set_special(struct f80 *r, bool negative, u64 man, unsigned exp, u16 sw)
{
    f80_set(r, man, exp | (negative ? F80_SIGN : 0));
    return sw;
}

static u16 set_zero(struct f80 *r, bool negative, u16 sw)
{
    return set_special(r, negative, 0, 0, sw);
}

static u16 set_infinity(struct f80 *r, bool negative, u16 sw)
{
    return set_special(r, negative, F80_INTEGER, F80_EXP, sw);
}

static u16 set_invalid(struct f80 *r)
{
    return set_special(r, true, F80_INDEFINITE_MAN, F80_EXP, FSW_IE);
}

/* The operand as the result; a pseudo-denormal gets the exponent that it means. */
static u16 set_unchanged(struct f80 *r, const struct f80 *a, u16 sw)
{
    bool pseudo = !(a->se & F80_EXP) && a->man & F80_INTEGER;
    f80_set(r, a->man, a->se | pseudo);
    return sw;
}

static u16 denormal_flag(const struct num *a)
{
    return a->class == F80_DENORMAL ? FSW_DE : 0;
}

/* --- rounding */

static bool round_up(u16 cw, bool negative, bool odd, bool half, bool below)
{
    switch ((cw & FCW_RC) >> 10) {
    case 0: return half && (odd || below);
    case 1: return negative && (half || below);
    case 2: return !negative && (half || below);
    default: return false;
    }
}

struct rounded {
    u128 man; /* of KEEP bits, or one more after a carry */
    bool inexact, up;
};

/* The top bits of a 128-bit fraction, LOST bits dropped; STICKY: more ones below. */
static struct rounded round_man(u16 cw, bool negative, u128 man, unsigned lost, bool sticky)
{
    struct rounded r = {.man = lost >= 128 ? 0 : man >> lost};
    bool half = lost && lost <= 128 && man >> (lost - 1) & 1;
    bool below = sticky || (lost > 128 ? man != 0 : lost > 1 && (man & (((u128)1 << (lost - 1)) - 1)));
    r.inexact = half || below;
    r.up = round_up(cw, negative, r.man & 1, half, below);
    r.man += r.up;
    return r;
}

/* Where the result goes: significand bits and exponent range. */
struct target {
    unsigned bits;
    int exp_min, exp_max, wrap;
};

struct result {
    int exp; /* of bit 63 */
    u64 man; /* bit 63 clear: denormal, exp is exp_min */
    u16 sw;
    bool overflow;
};

/* The number man * 2^(exp - 127), bit 127 set, rounded to T. */
static struct result round_number(u16 cw, const struct target *t, bool negative, int exp, u128 man,
                                  bool sticky)
{
    unsigned lost = 128 - t->bits;
    struct result r = {.exp = exp};
    struct rounded k = round_man(cw, negative, man, lost, sticky);
    if (k.man >> t->bits) {
        k.man >>= 1;
        r.exp++;
    }
    if (r.exp < t->exp_min && !(cw & FSW_UE)) {
        r.sw = FSW_UE;
        r.exp += t->wrap;
    } else if (r.exp < t->exp_min) {
        u64 shift = (u64)(t->exp_min - exp);
        k = round_man(cw, negative, man, shift > 200 ? 200 : lost + (unsigned)shift, sticky);
        r.exp = t->exp_min;
        r.sw = k.inexact ? FSW_UE : 0;
    } else if (r.exp > t->exp_max) {
        r.overflow = cw & FSW_OE;
        r.sw = FSW_OE;
        if (!r.overflow)
            r.exp -= t->wrap;
    }
    r.man = (u64)(k.man << (64 - t->bits));
    r.sw |= (u16)((k.inexact ? FSW_PE : 0) | (k.up ? FSW_C1 : 0));
    return r;
}

/* After a masked overflow: infinity or the largest number, by the rounding mode; true: infinity. */
static bool overflow_to_infinity(u16 cw, bool negative)
{
    unsigned rc = (cw & FCW_RC) >> 10;
    return rc == 0 || (rc == 1 && negative) || (rc == 2 && !negative);
}

static unsigned precision(u16 cw)
{
    static const u8 bits[4] = {24, 64, 53, 64};
    return bits[(cw & FCW_PC) >> 8];
}

static u16 pack(u16 cw, unsigned bits, struct f80 *r, bool negative, int exp, u128 man, bool sticky)
{
    if (!man)
        return set_zero(r, negative, 0);
    int shift = man >> 64 ? __builtin_clzll((u64)(man >> 64)) : 64 + __builtin_clzll((u64)man);
    const struct target t = {bits, EXP_MIN, EXP_MAX, EXP_WRAP};
    struct result k = round_number(cw, &t, negative, exp - shift, man << shift, sticky);
    if (k.overflow) {
        bool infinity = overflow_to_infinity(cw, negative);
        u64 largest = ~0ull << (64 - bits);
        return set_special(r, negative, infinity ? F80_INTEGER : largest, infinity ? F80_EXP : F80_EXP - 1,
                           FSW_OE | FSW_PE | (infinity ? FSW_C1 : 0));
    }
    unsigned biased = k.man & F80_INTEGER ? (unsigned)(k.exp + F80_BIAS) & F80_EXP : 0;
    return set_special(r, negative, k.man, biased, k.sw);
}

/* --- NaNs */

static bool not_number(const struct num *a)
{
    return a->class >= F80_QNAN;
}

/* The result of an operation with a NaN or unsupported operand: a quiet NaN goes before a signalling one,
 * then the larger significand. */
static u16 propagate(struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    enum f80_class ka = f80_classify(a), kb = f80_classify(b);
    if (ka == F80_UNSUPPORTED || kb == F80_UNSUPPORTED)
        return set_invalid(r);
    u16 sw = ka == F80_SNAN || kb == F80_SNAN ? FSW_IE : 0;
    const struct f80 *pick = a;
    if (ka < F80_QNAN)
        pick = b;
    else if (kb < F80_QNAN)
        pick = a;
    else if (ka != kb)
        pick = ka == F80_QNAN ? a : b;
    else if (a->man != b->man)
        pick = a->man > b->man ? a : b;
    else
        pick = a->se < b->se ? a : b;
    f80_set(r, pick->man | F80_QUIET, pick->se);
    return sw;
}

/* --- the four operations and the root */

static u128 shift_right_sticky(u128 v, unsigned n)
{
    if (n > 127)
        return v != 0;
    return v >> n | (n && (v & (((u128)1 << n) - 1)) != 0);
}

static u16 add_signed(u16 cw, struct f80 *r, const struct f80 *a, const struct f80 *b, bool subtract)
{
    struct num x = unpack(a), y = unpack(b);
    if (not_number(&x) || not_number(&y))
        return propagate(r, a, b);
    y.negative ^= subtract;
    if (x.class == F80_INFINITY && y.class == F80_INFINITY && x.negative != y.negative)
        return set_invalid(r);
    u16 de = denormal_flag(&x) | denormal_flag(&y);
    if (x.class == F80_INFINITY)
        return set_infinity(r, x.negative, de);
    if (y.class == F80_INFINITY)
        return set_infinity(r, y.negative, de);
    bool down = (cw & FCW_RC) >> 10 == 1;
    if (x.class == F80_ZERO && y.class == F80_ZERO)
        return set_zero(r, x.negative == y.negative ? x.negative : down, 0);
    if (x.class == F80_ZERO)
        x.exp = y.exp;
    if (y.class == F80_ZERO)
        y.exp = x.exp;
    if (x.exp < y.exp || (x.exp == y.exp && x.man < y.man)) {
        struct num t = x;
        x = y;
        y = t;
    }
    u128 big = (u128)x.man << 62, small = shift_right_sticky((u128)y.man << 62, (unsigned)(x.exp - y.exp));
    u128 sum = x.negative == y.negative ? big + small : big - small;
    if (!sum)
        return set_zero(r, down, de);
    return de | pack(cw, precision(cw), r, x.negative, x.exp + 2, sum, false);
}

u16 x87_add(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    (void)sticky;
    return add_signed(cw, r, a, b, false);
}

u16 x87_sub(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    (void)sticky;
    return add_signed(cw, r, a, b, true);
}

u16 x87_mul(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    (void)sticky;
    struct num x = unpack(a), y = unpack(b);
    bool negative = x.negative ^ y.negative;
    if (not_number(&x) || not_number(&y))
        return propagate(r, a, b);
    if ((x.class == F80_INFINITY && y.class == F80_ZERO) || (x.class == F80_ZERO && y.class == F80_INFINITY))
        return set_invalid(r);
    u16 de = denormal_flag(&x) | denormal_flag(&y);
    if (x.class == F80_INFINITY || y.class == F80_INFINITY)
        return set_infinity(r, negative, de);
    if (x.class == F80_ZERO || y.class == F80_ZERO)
        return set_zero(r, negative, de);
    return de | pack(cw, precision(cw), r, negative, x.exp + y.exp + 1, (u128)x.man * y.man, false);
}

u16 x87_div(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    (void)sticky;
    struct num x = unpack(a), y = unpack(b);
    bool negative = x.negative ^ y.negative;
    if (not_number(&x) || not_number(&y))
        return propagate(r, a, b);
    if (x.class == y.class && (x.class == F80_INFINITY || x.class == F80_ZERO))
        return set_invalid(r);
    u16 de = denormal_flag(&x) | denormal_flag(&y);
    if (x.class == F80_INFINITY)
        return set_infinity(r, negative, de);
    if (y.class == F80_ZERO)
        return set_infinity(r, negative, FSW_ZE);
    if (y.class == F80_INFINITY || x.class == F80_ZERO)
        return set_zero(r, negative, de);
    u128 n = (u128)x.man << 63;
    u64 high = (u64)(n / y.man), rest = (u64)(n % y.man);
    u128 m = (u128)rest << 64;
    u64 low = (u64)(m / y.man);
    return de | pack(cw, precision(cw), r, negative, x.exp - y.exp, (u128)high << 64 | low, m % y.man != 0);
}

u16 x87_sqrt(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a)
{
    (void)sticky;
    struct num x = unpack(a);
    if (not_number(&x))
        return propagate(r, a, a);
    if (x.class == F80_ZERO)
        return set_zero(r, x.negative, 0);
    if (x.negative)
        return set_invalid(r);
    if (x.class == F80_INFINITY)
        return set_infinity(r, false, 0);
    /* Digit by digit: 66 bits of the root, then a remainder. The radicand has its point behind bit 127 or
     * 126. */
    bool odd = x.exp & 1;
    u128 radicand = (u128)x.man << (odd ? 64 : 63), root = 0, rest = 0;
    for (unsigned k = 0; k < 66; k++) {
        rest = rest << 2 | (radicand >> 126);
        radicand <<= 2;
        u128 trial = root << 2 | 1;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1;
        }
    }
    return denormal_flag(&x) | pack(cw, precision(cw), r, false, (x.exp - odd) / 2, root << 62, rest != 0);
}

/* --- integers */

/* |x| as an integer by CW's rounding; x.exp < 64. */
static struct rounded to_integer(u16 cw, const struct num *x)
{
    if (x->exp < 0) {
        bool half = x->exp == -1;
        return round_man(cw, x->negative, half ? x->man : 1, half ? 64 : 2, false);
    }
    return round_man(cw, x->negative, x->man, (unsigned)(63 - x->exp), false);
}

u16 x87_rndint(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a)
{
    (void)sticky;
    struct num x = unpack(a);
    if (not_number(&x))
        return propagate(r, a, a);
    u16 de = denormal_flag(&x);
    if (x.class == F80_ZERO || x.class == F80_INFINITY || x.exp >= 63) {
        f80_copy(r, a);
        return 0;
    }
    struct rounded k = to_integer(cw, &x);
    u16 sw = (u16)(de | (k.inexact ? FSW_PE : 0) | (k.up ? FSW_C1 : 0));
    if (!k.man)
        return set_zero(r, x.negative, sw);
    int shift = __builtin_clzll((u64)k.man);
    return set_special(r, x.negative, (u64)k.man << shift, (unsigned)(63 - shift + F80_BIAS), sw);
}

u16 x87_to_i64(u16 cw, u16 sticky, i64 *r, const struct f80 *a)
{
    (void)sticky;
    struct num x = unpack(a);
    *r = 0;
    if (x.class == F80_ZERO)
        return 0;
    *r = INT64_MIN;
    if (x.class >= F80_INFINITY || x.exp >= 64)
        return FSW_IE;
    struct rounded k = to_integer(cw, &x);
    if (k.man > (u128)INT64_MAX + x.negative)
        return FSW_IE;
    *r = (i64)(x.negative ? 0 - (u64)k.man : (u64)k.man);
    return (u16)((k.inexact ? FSW_PE : 0) | (k.up ? FSW_C1 : 0));
}

/* --- narrow formats: FBITS of fraction, the exponent above them */

static u16 narrow(u16 cw, u64 *r, const struct f80 *a, unsigned fbits, int bias, int wrap)
{
    struct num x = unpack(a);
    unsigned ebits = fbits == 23 ? 8 : 11;
    u64 sign = (u64)x.negative << (fbits + ebits), top = ones(ebits) << fbits;
    if (x.class == F80_UNSUPPORTED) {
        *r = 1ull << (fbits + ebits) | top | 1ull << (fbits - 1);
        return FSW_IE;
    }
    if (not_number(&x)) {
        *r = sign | top | 1ull << (fbits - 1) | (x.man << 1 >> (64 - fbits));
        return x.class == F80_SNAN ? FSW_IE : 0;
    }
    if (x.class == F80_ZERO || x.class == F80_INFINITY) {
        *r = sign | (x.class == F80_ZERO ? 0 : top);
        return 0;
    }
    const struct target t = {fbits + 1, 1 - bias, bias, wrap};
    struct result k = round_number(cw, &t, x.negative, x.exp, (u128)x.man << 64, false);
    if (k.overflow) {
        bool infinity = overflow_to_infinity(cw, x.negative);
        *r = sign | (infinity ? top : top - 1);
        return FSW_OE | FSW_PE | (infinity ? FSW_C1 : 0);
    }
    u16 refused = k.sw & ~cw & (FSW_OE | FSW_UE);
    if (refused)
        return refused; /* nothing is stored, so nothing was rounded */
    u64 fraction = k.man << 1 >> (64 - fbits);
    *r = sign | fraction | (k.man & F80_INTEGER ? (u64)(k.exp + bias) << fbits : 0);
    return k.sw;
}

u16 x87_to_f32(u16 cw, u16 sticky, u32 *r, const struct f80 *a)
{
    (void)sticky;
    u64 v = *r;
    u16 sw = narrow(cw, &v, a, 23, 127, 192);
    *r = (u32)v;
    return sw;
}

u16 x87_to_f64(u16 cw, u16 sticky, u64 *r, const struct f80 *a)
{
    (void)sticky;
    return narrow(cw, r, a, 52, 1023, 1536);
}

/* --- scaling and remainders */

u16 x87_scale(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    struct num x = unpack(a), y = unpack(b);
    if (not_number(&x) || not_number(&y))
        return propagate(r, a, b);
    u16 de = denormal_flag(&x) | denormal_flag(&y);
    if (y.class == F80_INFINITY) {
        if (y.negative ? x.class == F80_INFINITY : x.class == F80_ZERO)
            return set_invalid(r);
        return y.negative ? set_zero(r, x.negative, de) : set_infinity(r, x.negative, de);
    }
    if (x.class == F80_INFINITY)
        return set_infinity(r, x.negative, de);
    if (x.class == F80_ZERO)
        return set_zero(r, x.negative, de);
    if (y.class == F80_ZERO)
        return set_unchanged(r, a, de);
    i64 n = 0;
    if (y.exp > 16)
        n = y.negative ? -0x20000 : 0x20000;
    else
        x87_to_i64(cw | FCW_RC, sticky, &n, b);
    i64 exp = x.exp + n;
    /* So far out that even the scaled exponent of an unmasked exception does not help. */
    if (exp > EXP_MAX + EXP_WRAP && !(cw & FSW_OE))
        return set_infinity(r, x.negative, de | FSW_OE | FSW_PE | FSW_C1);
    if (exp < EXP_MIN - EXP_WRAP && !(cw & FSW_UE))
        return set_zero(r, x.negative, de | FSW_UE | FSW_PE);
    return de | pack(cw, 64, r, x.negative, (int)exp, (u128)x.man << 64, false);
}

/* Subtracts Q * y from x, Q being x / y cut (NEAREST: rounded to nearest even), when they are less than 64
 * binary places apart; else takes a part of the way and sets C2. */
static u16 remainder_of(u16 cw, struct f80 *r, const struct f80 *a, const struct f80 *b, bool nearest)
{
    struct num x = unpack(a), y = unpack(b);
    if (not_number(&x) || not_number(&y))
        return propagate(r, a, b);
    if (x.class == F80_INFINITY || y.class == F80_ZERO)
        return set_invalid(r);
    u16 de = denormal_flag(&x) | denormal_flag(&y);
    int d = x.exp - y.exp;
    if (x.class == F80_ZERO)
        return set_zero(r, x.negative, de);
    if (y.class == F80_INFINITY)
        return set_unchanged(r, a, de);
    if (d < -1)
        return de | pack(cw, 64, r, x.negative, x.exp, (u128)x.man << 64, false);
    if (d >= 64) {
        int n = (d & 0x1f) | 0x20;
        u128 rest = x.man;
        for (int k = 0; k < n; k++)
            rest = (rest >= y.man ? rest - y.man : rest) << 1;
        rest = rest >= y.man ? rest - y.man : rest;
        return de | FSW_C2 | pack(cw, 64, r, x.negative, x.exp - n + 64, rest, false);
    }
    u64 q = 0;
    u128 rest = x.man, unit = y.man;
    bool negative = x.negative;
    int exp = x.exp;
    for (int k = d; k >= 0; k--) {
        q <<= 1;
        if (rest >= unit) {
            rest -= unit;
            q |= 1;
        }
        if (k)
            rest <<= 1, exp--;
    }
    if (nearest) {
        u128 twice = d < 0 ? rest : rest << 1; /* with d = -1, rest counts halves of the unit */
        if (twice > unit || (twice == unit && q & 1)) {
            rest = (d < 0 ? unit << 1 : unit) - rest;
            negative = !negative;
            q++;
        }
    }
    u16 cc = (u16)((q & 1 ? FSW_C1 : 0) | (q & 2 ? FSW_C3 : 0) | (q & 4 ? FSW_C0 : 0));
    if (!rest)
        return set_zero(r, x.negative, de | cc);
    return de | cc | (pack(cw, 64, r, negative, exp + 64, rest, false) & ~FSW_C1);
}

u16 x87_prem(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    (void)sticky;
    return remainder_of(cw, r, a, b, false);
}

u16 x87_prem1(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    (void)sticky;
    return remainder_of(cw, r, a, b, true);
}

/* --- transcendental functions */

static long double to_host(const struct num *x)
{
    long double v = x->class == F80_ZERO ? 0 : ldexpl((long double)x->man, x->exp - 63);
    return x->negative ? -v : v;
}

/* A finite result; never exact but for zero. */
static u16 from_host(u16 cw, struct f80 *r, long double v)
{
    bool negative = signbit(v);
    int exp;
    long double m = frexpl(fabsl(v), &exp); /* [0.5, 1) */
    if (m == 0)
        return set_zero(r, negative, 0);
    long double high = ldexpl(m, 64), whole = floorl(high);
    u128 man = (u128)(u64)whole << 64 | (u64)ldexpl(high - whole, 63) << 1;
    return pack(cw, 64, r, negative, exp - 1, man, true);
}

u16 x87_2xm1(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a)
{
    (void)sticky;
    struct num x = unpack(a);
    if (not_number(&x))
        return propagate(r, a, a);
    if (x.class == F80_INFINITY)
        return x.negative ? set_special(r, true, F80_INTEGER, F80_BIAS, 0) : set_infinity(r, false, 0);
    return denormal_flag(&x) |
           from_host(cw, r, expm1l(to_host(&x) * 0.693147180559945309417232121458176568L));
}

/* What the functions of an angle have in common. True: *sw is the answer. */
static bool angle_special(struct f80 *r, const struct f80 *a, const struct num *x, u16 *sw)
{
    if (not_number(x))
        *sw = propagate(r, a, a);
    else if (x->class == F80_INFINITY)
        *sw = set_invalid(r);
    else if (x->class != F80_ZERO && x->exp >= 63)
        *sw = FSW_C2;
    else
        return false;
    if (*sw & FSW_C2)
        f80_copy(r, a);
    return true;
}

/* X = v + n * pi / 2, v within pi / 4 of zero; returns v, and n modulo 4. Pi has 66 bits, as on silicon. */
static long double reduce_angle(const struct num *x, unsigned *n)
{
    const u128 quarter = (u128)3 << 64 | 0x243f6a8885a308d3; /* in units of 2^-65, and so is the rest */
    unsigned q = 0;
    *n = 0;
    if (x->class == F80_ZERO || x->exp < -1)
        return to_host(x);
    u128 rest = x->man;
    for (int k = 0; k < x->exp + 2; k++) {
        rest <<= 1;
        q <<= 1;
        if (rest >= quarter) {
            rest -= quarter;
            q |= 1;
        }
    }
    bool beyond = rest > quarter / 2;
    q += beyond;
    *n = (x->negative ? 0 - q : q) & 3;
    long double v = ldexpl((long double)(beyond ? quarter - rest : rest), -65);
    return x->negative ^ beyond ? -v : v;
}

/* The sine of X + quarters * pi / 2. */
static long double sine(const struct num *x, unsigned quarters)
{
    unsigned n;
    long double v = reduce_angle(x, &n);
    n += quarters;
    v = n & 1 ? cosl(v) : sinl(v);
    return n & 2 ? -v : v;
}

u16 x87_sin(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a)
{
    (void)sticky;
    struct num x = unpack(a);
    u16 sw;
    if (angle_special(r, a, &x, &sw))
        return sw;
    return denormal_flag(&x) | from_host(cw, r, sine(&x, 0));
}

static const struct f80 one = {.man = F80_INTEGER, .se = F80_BIAS};

u16 x87_cos(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a)
{
    (void)sticky;
    struct num x = unpack(a);
    u16 sw;
    if (angle_special(r, a, &x, &sw))
        return sw;
    if (x.class == F80_ZERO) {
        f80_copy(r, &one);
        return 0;
    }
    return denormal_flag(&x) | from_host(cw, r, sine(&x, 1));
}

u16 x87_sincos(u16 cw, u16 sticky, struct f80 *r, struct f80 *top, const struct f80 *a)
{
    u16 sw = x87_sin(cw, sticky, r, a);
    return sw | x87_cos(cw, sticky, top, a);
}

u16 x87_ptan(u16 cw, u16 sticky, struct f80 *r, struct f80 *top, const struct f80 *a)
{
    (void)sticky;
    struct num x = unpack(a);
    u16 sw;
    if (angle_special(r, a, &x, &sw)) {
        f80_copy(top, r);
        return sw;
    }
    f80_copy(top, &one);
    return denormal_flag(&x) | from_host(cw, r, sine(&x, 0) / sine(&x, 1));
}

static long double to_host_or_infinity(const struct num *x)
{
    return x->class == F80_INFINITY ? (x->negative ? -INFINITY : INFINITY) : to_host(x);
}

u16 x87_patan(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    (void)sticky;
    struct num x = unpack(a), y = unpack(b);
    if (not_number(&x) || not_number(&y))
        return propagate(r, a, b);
    return denormal_flag(&x) | denormal_flag(&y) |
           from_host(cw, r, atan2l(to_host_or_infinity(&y), to_host_or_infinity(&x)));
}

/* y * log2x * 2^scale; no NaNs. */
static u16 times_log(u16 cw, struct f80 *r, const struct num *y, long double log2x, int scale, u16 de)
{
    bool negative = y->negative ^ (bool)signbit(log2x);
    if (isinf(log2x) || y->class == F80_INFINITY) {
        if (log2x == 0 || y->class == F80_ZERO)
            return set_invalid(r);
        return set_infinity(r, negative, de);
    }
    if (y->class == F80_ZERO || log2x == 0)
        return set_zero(r, negative, de);
    struct f80 packed;
    from_host(FCW_INIT, &packed, log2x);
    struct num l = unpack(&packed);
    return de | pack(cw, 64, r, negative, l.exp + scale + y->exp + 1, (u128)l.man * y->man, true);
}

u16 x87_yl2x(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    (void)sticky;
    struct num x = unpack(a), y = unpack(b);
    if (not_number(&x) || not_number(&y))
        return propagate(r, a, b);
    u16 de = denormal_flag(&x) | denormal_flag(&y);
    if (x.class == F80_ZERO) {
        if (y.class == F80_ZERO)
            return set_invalid(r);
        return set_infinity(r, !y.negative, y.class == F80_INFINITY ? 0 : FSW_ZE);
    }
    if (x.negative)
        return set_invalid(r);
    return times_log(cw, r, &y, log2l(to_host_or_infinity(&x)), 0, de);
}

u16 x87_yl2xp1(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b)
{
    (void)sticky;
    struct num x = unpack(a), y = unpack(b);
    if (not_number(&x) || not_number(&y))
        return propagate(r, a, b);
    u16 de = denormal_flag(&x) | denormal_flag(&y);
    long double v = to_host_or_infinity(&x);
    if (v <= -1)
        return set_invalid(r); /* beyond the range that the manual defines */
    const long double log2e = 1.442695040888963407359924681001892137L;
    if (x.class == F80_INFINITY || x.class == F80_ZERO || x.exp > -70)
        return times_log(cw, r, &y, log1pl(v) * log2e, 0, de);
    int scale = x.exp; /* log(1 + x) is x, and the host's denormals are not touched */
    x.exp = 0;
    return times_log(cw, r, &y, to_host(&x) * log2e, scale, de);
}
