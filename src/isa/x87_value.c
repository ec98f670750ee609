#include "isa/x87_value.h"

#include "base/bits.h"

static void set_normal(struct f80 *r, bool negative, int exponent, u64 man)
{
    f80_set(r, man, (negative ? F80_SIGN : 0u) | (unsigned)(exponent + F80_BIAS));
}

void f80_from_i64(struct f80 *r, i64 v)
{
    if (!v) {
        f80_set(r, 0, 0);
        return;
    }
    u64 m = v < 0 ? 0 - (u64)v : (u64)v;
    int shift = __builtin_clzll(m);
    set_normal(r, v < 0, 63 - shift, m << shift);
}

bool f80_widen(struct f80 *r, bool negative, unsigned exp, unsigned exp_max, int bias, u64 frac,
               unsigned fbits)
{
    unsigned sign = negative ? F80_SIGN : 0;
    u64 man = frac << (63 - fbits);
    if (exp == exp_max) {
        f80_set(r, man | F80_INTEGER, sign | F80_EXP);
    } else if (exp) {
        set_normal(r, negative, (int)exp - bias, man | F80_INTEGER);
    } else if (!man) {
        f80_set(r, 0, sign);
    } else {
        int shift = __builtin_clzll(man);
        set_normal(r, negative, 1 - bias - shift, man << shift);
        return true;
    }
    return false;
}

void f80_from_bcd(struct f80 *r, const u8 *bcd)
{
    u64 v = 0;
    for (int k = 8; k >= 0; k--)
        v = v * 100 + (unsigned)(bcd[k] >> 4) * 10 + (bcd[k] & 15);
    f80_from_i64(r, (i64)v);
    r->se |= bcd[9] & 0x80 ? F80_SIGN : 0;
}

void f80_to_bcd(u64 v, bool negative, u8 *bcd)
{
    for (unsigned k = 0; k < 9; k++, v /= 100)
        bcd[k] = (u8)(v % 100 / 10 << 4 | v % 10);
    bcd[9] = negative ? 0x80 : 0;
}

static bool magnitude_less(const struct f80 *a, const struct f80 *b)
{
    /* A pseudo-denormal has the value of exponent 1. */
    unsigned ea = a->se & F80_EXP, eb = b->se & F80_EXP;
    ea += !ea && a->man & F80_INTEGER;
    eb += !eb && b->man & F80_INTEGER;
    return ea != eb ? ea < eb : a->man < b->man;
}

u16 f80_compare(const struct f80 *a, const struct f80 *b, bool quiet)
{
    enum f80_class ka = f80_classify(a), kb = f80_classify(b);
    const u16 unordered = FSW_C3 | FSW_C2 | FSW_C0;
    if (ka >= F80_QNAN || kb >= F80_QNAN) {
        bool invalid = !quiet || ka > F80_QNAN || kb > F80_QNAN;
        return unordered | (invalid ? FSW_IE : 0);
    }
    u16 flags = ka == F80_DENORMAL || kb == F80_DENORMAL ? FSW_DE : 0;
    if (ka == F80_ZERO && kb == F80_ZERO)
        return flags | FSW_C3;
    bool na = a->se & F80_SIGN, nb = b->se & F80_SIGN;
    bool less = na != nb ? na : na ? magnitude_less(b, a) : magnitude_less(a, b);
    bool greater = na != nb ? nb : na ? magnitude_less(a, b) : magnitude_less(b, a);
    return flags | (less ? FSW_C0 : greater ? 0 : FSW_C3);
}

u16 f80_examine(const struct f80 *a)
{
    static const u16 code[] = {
        [F80_ZERO] = FSW_C3,
        [F80_NORMAL] = FSW_C2,
        [F80_DENORMAL] = FSW_C3 | FSW_C2,
        [F80_INFINITY] = FSW_C2 | FSW_C0,
        [F80_QNAN] = FSW_C0,
        [F80_SNAN] = FSW_C0,
        [F80_UNSUPPORTED] = 0,
    };
    return (u16)(code[f80_classify(a)] | (a->se & F80_SIGN ? FSW_C1 : 0));
}

u16 f80_extract(const struct f80 *a, struct f80 *exponent, struct f80 *significand)
{
    bool negative = a->se & F80_SIGN;
    int shift = 0;
    switch (f80_classify(a)) {
    case F80_ZERO:
        f80_copy(significand, a);
        f80_set(exponent, F80_INTEGER, 0xffff);
        return FSW_ZE;
    case F80_INFINITY:
        f80_copy(significand, a);
        f80_set(exponent, F80_INTEGER, F80_EXP);
        return 0;
    case F80_QNAN:
    case F80_SNAN:
        f80_set(significand, a->man | F80_QUIET, a->se);
        f80_copy(exponent, significand);
        return a->man & F80_QUIET ? 0 : FSW_IE;
    case F80_UNSUPPORTED:
        f80_set(significand, F80_INDEFINITE_MAN, F80_INDEFINITE_SE);
        f80_copy(exponent, significand);
        return FSW_IE;
    case F80_DENORMAL:
        shift = __builtin_clzll(a->man);
        set_normal(significand, negative, 0, a->man << shift);
        f80_from_i64(exponent, 1 - F80_BIAS - shift);
        return FSW_DE;
    default:
        set_normal(significand, negative, 0, a->man);
        f80_from_i64(exponent, (a->se & F80_EXP) - F80_BIAS);
        return 0;
    }
}

unsigned f80_tag(const struct f80 *a)
{
    enum f80_class k = f80_classify(a);
    return k == F80_ZERO ? 1 : k == F80_NORMAL ? 0 : 2;
}

void f80_constant(struct f80 *r, enum x87_constant k, u16 cw)
{
    /* Correctly rounded to nearest; whether that was upwards. Precision control does not apply. */
    static const struct {
        u64 man;
        u16 se;
        bool exact, rounded_up;
    } table[] = {
        [X87_ONE] = {F80_INTEGER, 0x3fff, true, false},
        [X87_L2T] = {0xd49a784bcd1b8afe, 0x4000, false, false},
        [X87_L2E] = {0xb8aa3b295c17f0bc, 0x3fff, false, true},
        [X87_PI] = {0xc90fdaa22168c235, 0x4000, false, true},
        [X87_LG2] = {0x9a209a84fbcff799, 0x3ffd, false, true},
        [X87_LN2] = {0xb17217f7d1cf79ac, 0x3ffe, false, true},
        [X87_ZERO] = {0, 0, true, false},
    };
    unsigned rc = (cw & FCW_RC) >> 10;
    u64 man = table[k].man;
    if (!table[k].exact && rc == 2)
        man += !table[k].rounded_up;
    else if (!table[k].exact && rc != 0)
        man -= table[k].rounded_up;
    f80_set(r, man, table[k].se);
}
