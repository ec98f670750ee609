/* isa/fp.h in integers: IEEE 754 single, double and half precision as x86 has them (SDM vol. 1, 4.8.3
 * and 11.5): tininess after rounding, denormal-operand exception, DAZ, FTZ, the first source's NaN first, and
 * the responses to unmasked exceptions, where the result does not matter and the flags do. */
#include "base/bits.h"
#include "isa/fp.h"

struct format {
    u8 mant;  /* stored fraction bits */
    i16 emax; /* greatest unbiased exponent: the bias */
};
static const struct format f16 = {10, 15}, f32 = {23, 127}, f64 = {52, 1023};

#define TOP BIT(63)

/* A number taken apart: sig * 2^(exp - 63), sig's top bit set; ZERO has sig 0. */
struct num {
    enum { ZERO, FINITE, INF, QNAN, SNAN } kind;
    bool sign;
    i32 exp;
    u64 sig; /* NaN: fraction, left-aligned below the top bit */
};

static u64 sign_bit(const struct format *f)
{
    return BIT(f->mant) * 2 * (u64)(f->emax + 1);
}

static u64 inf_bits(const struct format *f, bool sign)
{
    return ((u64)(2 * f->emax + 1) << f->mant) | (sign ? sign_bit(f) : 0);
}

static u64 nan_default(const struct format *f)
{
    return inf_bits(f, true) | BIT(f->mant - 1);
}

/* DE is raised by the operation, after NaNs had their say: *DENORMAL. */
static struct num unpack(const struct fp_env *e, const struct format *f, u64 v, bool *denormal)
{
    u64 frac = v & ones(f->mant);
    i32 biased = (i32)(v >> f->mant & (u64)(2 * f->emax + 1));
    struct num n = {.sign = v & sign_bit(f)};
    if (biased == 2 * f->emax + 1) {
        n.kind = !frac ? INF : frac >> (f->mant - 1) ? QNAN : SNAN;
        n.sig = frac << (63 - f->mant);
    } else if (biased) {
        n.kind = FINITE;
        n.exp = biased - f->emax;
        n.sig = TOP | frac << (63 - f->mant);
    } else if (frac && (f == &f16 || !(e->csr & MXCSR_DAZ))) {
        int lead = __builtin_clzll(frac);
        n.kind = FINITE;
        n.exp = 63 - lead - f->mant - (f->emax - 1);
        n.sig = frac << lead;
        *denormal |= f != &f16;
    }
    return n;
}

static bool is_nan(const struct num *n)
{
    return n->kind >= QNAN;
}

/* The quieted NaN N in format F (of which it came, or to which it is converted). */
static u64 pack_nan(const struct format *f, const struct num *n)
{
    return inf_bits(f, n->sign) | BIT(f->mant - 1) | n->sig >> (63 - f->mant);
}

static u64 invalid(struct fp_env *e, const struct format *f)
{
    e->raised |= MXCSR_IE;
    return nan_default(f);
}

/* One of two operands is a NaN: the first NaN, quieted. */
static u64 nan_of(struct fp_env *e, const struct format *f, const struct num *a, const struct num *b)
{
    if (a->kind == SNAN || b->kind == SNAN)
        e->raised |= MXCSR_IE;
    return pack_nan(f, is_nan(a) ? a : b);
}

/* SIG without its low DROP bits, rounded; *LOST when something was dropped. May carry out into 0 when DROP <
 * 64 bits are dropped of all ones. */
static u64 round_sig(u64 sig, unsigned drop, bool sticky, bool sign, unsigned rc, bool *lost)
{
    u64 kept = drop >= 64 ? 0 : sig >> drop;
    u64 rest = drop > 64 ? 0 : drop == 64 ? sig : sig & ones(drop);
    bool half = drop <= 64 && rest >> (drop - 1) & 1;
    bool below = sticky || (drop > 64 ? sig != 0 : (rest & ones(drop - 1)) != 0);
    *lost = half || below;
    bool up = rc == 0   ? half && (below || kept & 1)
              : rc == 1 ? *lost && sign
              : rc == 2 ? *lost && !sign
                        : false;
    return kept + up;
}

static unsigned rounding(const struct fp_env *e)
{
    return (e->csr & MXCSR_RC) >> MXCSR_RC_SHIFT;
}

/* Rounds and packs sig * 2^(exp - 63), sig's top bit set, STICKY for bits below; RC: rounding mode. */
static u64 pack_rc(struct fp_env *e, const struct format *f, bool sign, i32 exp, u64 sig, bool sticky,
                   unsigned rc)
{
    u64 s = sign ? sign_bit(f) : 0;
    unsigned drop = 63u - f->mant;
    bool lost, ftz = e->csr & MXCSR_FTZ && f != &f16;
    u64 kept = round_sig(sig, drop, sticky, sign, rc, &lost);
    i32 rounded = exp + (i32)(kept >> (f->mant + 1));
    if (rounded > f->emax) {
        e->raised |= MXCSR_OE | (lost || e->csr & MXCSR_OM ? MXCSR_PE : 0);
        bool to_inf = rc == 0 || rc == (sign ? 1 : 2);
        return to_inf ? inf_bits(f, sign) : inf_bits(f, sign) - 1;
    }
    if (rounded >= 1 - f->emax) {
        e->raised |= lost ? MXCSR_PE : 0;
        /* The leading one adds 1 to the exponent, and a carry does so again. */
        return s | (((u64)(exp + f->emax - 1) << f->mant) + kept);
    }
    bool unmasked = !(e->csr & MXCSR_UM);
    if (unmasked && (f != &f16 || e->unbounded_half)) {
        e->raised |= MXCSR_UE | (lost ? MXCSR_PE : 0);
        return s;
    }
    if (ftz) {
        e->raised |= MXCSR_UE | MXCSR_PE;
        return s;
    }
    kept = round_sig(sig, drop + (unsigned)(1 - f->emax - exp), sticky, sign, rc, &lost);
    e->raised |= (lost || unmasked ? MXCSR_UE : 0) | (lost ? MXCSR_PE : 0);
    return s | kept;
}

static u64 pack(struct fp_env *e, const struct format *f, bool sign, i32 exp, u64 sig, bool sticky)
{
    return pack_rc(e, f, sign, exp, sig, sticky, rounding(e));
}

/* As pack, from 128 bits (not 0) of value wide * 2^(exp - 127). */
static u64 pack_wide(struct fp_env *e, const struct format *f, bool sign, i32 exp, u128 wide, bool sticky)
{
    u64 high = (u64)(wide >> 64), low = (u64)wide;
    int lead = high ? __builtin_clzll(high) : 64 + __builtin_clzll(low);
    wide <<= lead;
    return pack(e, f, sign, exp - lead, (u64)(wide >> 64), sticky || (u64)wide);
}

static u64 zero(const struct format *f, bool sign)
{
    return sign ? sign_bit(f) : 0;
}

/* The sum of two finite numbers or zeros whose significands have 128 bits, value sig * 2^(exp - 125), the
 * leading one at bit 125 or 0; 20 low bits at least are 0. */
struct wide {
    bool sign;
    i32 exp;
    u128 sig;
};
static u64 sum(struct fp_env *e, const struct format *f, struct wide a, struct wide b)
{
    if (!a.sig && !b.sig)
        return zero(f, a.sign == b.sign ? a.sign : rounding(e) == 1);
    if (!b.sig || (a.sig && (a.exp > b.exp || (a.exp == b.exp && a.sig > b.sig)))) {
        struct wide t = a;
        a = b;
        b = t;
    }
    /* Now B is the greater, or the only one. */
    bool sticky = false;
    if (a.sig) {
        u32 d = (u32)(b.exp - a.exp);
        u128 shifted = d < 126 ? a.sig >> d : 0;
        sticky = d < 126 ? shifted << d != a.sig : true;
        b.sig = a.sign == b.sign ? b.sig + shifted : b.sig - shifted - sticky;
        if (!b.sig)
            return zero(f, rounding(e) == 1);
    }
    return pack_wide(e, f, b.sign, b.exp + 2, b.sig, sticky);
}

static struct wide widen(const struct num *n, bool negate)
{
    return (struct wide){n->sign ^ negate, n->exp, n->kind == ZERO ? 0 : (u128)n->sig << 62};
}

static void denormals(struct fp_env *e, bool denormal)
{
    e->raised |= denormal ? MXCSR_DE : 0;
}

static u64 add(struct fp_env *e, const struct format *f, u64 x, u64 y, bool subtract)
{
    bool denormal = false;
    struct num a = unpack(e, f, x, &denormal), b = unpack(e, f, y, &denormal);
    if (is_nan(&a) || is_nan(&b))
        return nan_of(e, f, &a, &b);
    bool bs = b.sign ^ subtract;
    if (a.kind == INF && b.kind == INF && a.sign != bs)
        return invalid(e, f);
    denormals(e, denormal);
    if (a.kind == INF || b.kind == INF)
        return inf_bits(f, a.kind == INF ? a.sign : bs);
    return sum(e, f, widen(&a, false), widen(&b, subtract));
}

static u64 mul(struct fp_env *e, const struct format *f, u64 x, u64 y)
{
    bool denormal = false;
    struct num a = unpack(e, f, x, &denormal), b = unpack(e, f, y, &denormal);
    bool sign = a.sign ^ b.sign;
    if (is_nan(&a) || is_nan(&b))
        return nan_of(e, f, &a, &b);
    if ((a.kind == INF && b.kind == ZERO) || (a.kind == ZERO && b.kind == INF))
        return invalid(e, f);
    denormals(e, denormal);
    if (a.kind == INF || b.kind == INF)
        return inf_bits(f, sign);
    if (a.kind == ZERO || b.kind == ZERO)
        return zero(f, sign);
    return pack_wide(e, f, sign, a.exp + b.exp + 1, (u128)a.sig * b.sig, false);
}

static u64 divide(struct fp_env *e, const struct format *f, u64 x, u64 y)
{
    bool denormal = false;
    struct num a = unpack(e, f, x, &denormal), b = unpack(e, f, y, &denormal);
    bool sign = a.sign ^ b.sign;
    if (is_nan(&a) || is_nan(&b))
        return nan_of(e, f, &a, &b);
    if (a.kind == b.kind && (a.kind == INF || a.kind == ZERO))
        return invalid(e, f);
    if (b.kind == ZERO && a.kind == FINITE)
        e->raised |= MXCSR_ZE;
    else
        denormals(e, denormal);
    if (a.kind == INF || b.kind == ZERO)
        return inf_bits(f, sign);
    if (a.kind == ZERO || b.kind == INF)
        return zero(f, sign);
    u128 n = (u128)a.sig << 63;
    return pack_wide(e, f, sign, a.exp - b.exp, n / b.sig << 64, n % b.sig);
}

static u64 root(struct fp_env *e, const struct format *f, u64 y)
{
    bool denormal = false;
    struct num b = unpack(e, f, y, &denormal);
    if (is_nan(&b))
        return nan_of(e, f, &b, &b);
    if (b.sign && b.kind != ZERO)
        return invalid(e, f);
    denormals(e, denormal);
    if (b.kind != FINITE)
        return b.kind == INF ? inf_bits(f, false) : zero(f, b.sign);
    /* An even exponent; then 64 bits of root, from the top. */
    u128 v = (u128)b.sig << (b.exp & 1 ? 64 : 63), rest = v;
    u64 q = 0;
    for (u64 bit = TOP; bit; bit >>= 1) {
        u128 t = (u128)(q | bit) * (q | bit);
        if (t <= v)
            q |= bit;
    }
    rest -= (u128)q * q;
    return pack(e, f, false, (b.exp - (b.exp & 1)) / 2, q, rest != 0);
}

static u64 fma_bits(struct fp_env *e, const struct format *f, u64 x, u64 y, u64 z, bool neg_product,
                    bool neg_addend)
{
    bool denormal = false;
    struct num a = unpack(e, f, x, &denormal), b = unpack(e, f, y, &denormal), d = unpack(e, f, z, &denormal);
    bool sign = a.sign ^ b.sign ^ neg_product, ds = d.sign ^ neg_addend;
    bool inf_zero = (a.kind == INF && b.kind == ZERO) || (a.kind == ZERO && b.kind == INF);
    if (is_nan(&a) || is_nan(&b) || is_nan(&d)) {
        if (a.kind == SNAN || b.kind == SNAN || d.kind == SNAN)
            e->raised |= MXCSR_IE;
        return pack_nan(f, is_nan(&a) ? &a : is_nan(&b) ? &b : &d);
    }
    bool inf = a.kind == INF || b.kind == INF;
    if (inf_zero || (inf && d.kind == INF && sign != ds))
        return invalid(e, f);
    denormals(e, denormal);
    if (inf || d.kind == INF)
        return inf_bits(f, inf ? sign : ds);
    struct wide p = {sign, 0, 0};
    if (a.kind == FINITE && b.kind == FINITE) {
        p.sig = (u128)a.sig * b.sig >> 1; /* the low bits are 0 */
        p.exp = a.exp + b.exp + 1;
        if (p.sig >> 126)
            p.sig >>= 1;
        else
            p.exp--;
    }
    return sum(e, f, p, widen(&d, neg_addend));
}

/* Between formats. */
static u64 convert(struct fp_env *e, const struct format *from, const struct format *to, u64 v, unsigned rc)
{
    bool denormal = false;
    struct num n = unpack(e, from, v, &denormal);
    if (is_nan(&n)) {
        e->raised |= n.kind == SNAN ? MXCSR_IE : 0;
        return pack_nan(to, &n);
    }
    denormals(e, denormal);
    if (n.kind != FINITE)
        return n.kind == INF ? inf_bits(to, n.sign) : zero(to, n.sign);
    return pack_rc(e, to, n.sign, n.exp, n.sig, false, rc);
}

static u64 from_int(struct fp_env *e, const struct format *f, i64 v)
{
    if (!v)
        return 0;
    u64 m = v < 0 ? 0 - (u64)v : (u64)v;
    int lead = __builtin_clzll(m);
    return pack(e, f, v < 0, 63 - lead, m << lead, false);
}

/* To a signed integer of BITS bits; the integer indefinite where it does not fit. */
static u64 to_int(struct fp_env *e, const struct format *f, u64 v, unsigned bits, unsigned rc)
{
    bool denormal = false, lost = false;
    struct num n = unpack(e, f, v, &denormal);
    u64 m = 0;
    if (n.kind == ZERO)
        return 0;
    if (n.kind == FINITE && n.exp < 63) {
        m = round_sig(n.sig, n.exp >= -1 ? 63u - (unsigned)n.exp : 65, false, n.sign, rc, &lost);
        if (m <= BIT(bits - 1) - !n.sign) {
            e->raised |= lost ? MXCSR_PE : 0;
            return n.sign ? 0 - m : m;
        }
    } else if (n.kind == FINITE && n.exp == 63 && n.sign && n.sig == TOP && bits == 64) {
        return TOP;
    }
    e->raised |= MXCSR_IE;
    return BIT(bits - 1);
}

static u64 round_bits(struct fp_env *e, const struct format *f, u64 v, unsigned rc, bool quiet)
{
    bool denormal = false, lost;
    struct num n = unpack(e, f, v, &denormal);
    if (is_nan(&n)) {
        e->raised |= n.kind == SNAN ? MXCSR_IE : 0;
        return pack_nan(f, &n);
    }
    if (n.kind == ZERO)
        return zero(f, n.sign);
    if (n.kind == INF || n.exp >= f->mant)
        return v;
    u64 m = round_sig(n.sig, n.exp >= -1 ? 63u - (unsigned)n.exp : 65, false, n.sign, rc, &lost);
    e->raised |= lost && !quiet ? MXCSR_PE : 0;
    if (!m)
        return zero(f, n.sign);
    int lead = __builtin_clzll(m);
    return pack(e, f, n.sign, 63 - lead, m << lead, false);
}

/* The operations of FP_OPS, lane by lane. */
#define LANES_4(name, expr)                                                                                  \
    void fps_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)                  \
    {                                                                                                        \
        union xmm t;                                                                                         \
        for (unsigned k = 0; k < 4; k++) {                                                                   \
            u32 x = a->d[k], y = b->d[k];                                                                    \
            (void)x;                                                                                         \
            t.d[k] = (u32)(expr);                                                                            \
        }                                                                                                    \
        *r = t;                                                                                              \
    }
#define LANES_2(name, expr)                                                                                  \
    void fps_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)                  \
    {                                                                                                        \
        union xmm t;                                                                                         \
        for (unsigned k = 0; k < 2; k++) {                                                                   \
            u64 x = a->q[k], y = b->q[k];                                                                    \
            (void)x;                                                                                         \
            t.q[k] = (expr);                                                                                 \
        }                                                                                                    \
        *r = t;                                                                                              \
    }
#define SCALAR_4(name, expr)                                                                                 \
    void fps_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)                  \
    {                                                                                                        \
        u32 x = a->d[0], y = b->d[0];                                                                        \
        (void)x;                                                                                             \
        u32 v = (u32)(expr);                                                                                 \
        *r = *a;                                                                                             \
        r->d[0] = v;                                                                                         \
    }
#define SCALAR_8(name, expr)                                                                                 \
    void fps_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)                  \
    {                                                                                                        \
        u64 x = a->q[0], y = b->q[0];                                                                        \
        (void)x;                                                                                             \
        u64 v = (expr);                                                                                      \
        *r = *a;                                                                                             \
        r->q[0] = v;                                                                                         \
    }
#define ARITHMETIC(op, single, twice)                                                                        \
    LANES_4(op##ps, single) SCALAR_4(op##ss, single) LANES_2(op##pd, twice) SCALAR_8(op##sd, twice)
ARITHMETIC(add, add(e, &f32, x, y, false), add(e, &f64, x, y, false))
ARITHMETIC(sub, add(e, &f32, x, y, true), add(e, &f64, x, y, true))
ARITHMETIC(mul, mul(e, &f32, x, y), mul(e, &f64, x, y))
ARITHMETIC(div, divide(e, &f32, x, y), divide(e, &f64, x, y))
ARITHMETIC(sqrt, root(e, &f32, y), root(e, &f64, y))
LANES_4(addsubps, add(e, &f32, x, y, !(k & 1)))
LANES_2(addsubpd, add(e, &f64, x, y, !(k & 1)))
LANES_4(cvtdq2ps, from_int(e, &f32, (i32)y))
LANES_4(cvtps2dq, to_int(e, &f32, y, 32, rounding(e)))
LANES_4(cvttps2dq, to_int(e, &f32, y, 32, 3))

/* Sums or differences of neighbours. */
#define HORIZONTAL(op, subtract)                                                                             \
    void fps_##op##ps(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)                \
    {                                                                                                        \
        union xmm t;                                                                                         \
        for (unsigned k = 0; k < 4; k++) {                                                                   \
            const u32 *s = (k < 2 ? a : b)->d + 2 * (k & 1);                                                 \
            t.d[k] = (u32)add(e, &f32, s[0], s[1], subtract);                                                \
        }                                                                                                    \
        *r = t;                                                                                              \
    }                                                                                                        \
    void fps_##op##pd(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)                \
    {                                                                                                        \
        u64 low = add(e, &f64, a->q[0], a->q[1], subtract);                                                  \
        r->q[1] = add(e, &f64, b->q[0], b->q[1], subtract);                                                  \
        r->q[0] = low;                                                                                       \
    }
HORIZONTAL(hadd, false)
HORIZONTAL(hsub, true)

/* Conversions between lanes of different widths. */
#define NARROW(name, expr)                                                                                   \
    void fps_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)                  \
    {                                                                                                        \
        u64 low = (u32)(expr(b->q[0])), high = (u32)(expr(b->q[1]));                                         \
        (void)a;                                                                                             \
        r->q[0] = low | high << 32;                                                                          \
        r->q[1] = 0;                                                                                         \
    }
#define PD2DQ(v)  to_int(e, &f64, v, 32, rounding(e))
#define TPD2DQ(v) to_int(e, &f64, v, 32, 3)
#define PD2PS(v)  convert(e, &f64, &f32, v, rounding(e))
NARROW(cvtpd2dq, PD2DQ)
NARROW(cvttpd2dq, TPD2DQ)
NARROW(cvtpd2ps, PD2PS)
#define WIDEN(name, expr)                                                                                    \
    void fps_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)                  \
    {                                                                                                        \
        u32 low = b->d[0], high = b->d[1];                                                                   \
        (void)a;                                                                                             \
        r->q[0] = expr(low);                                                                                 \
        r->q[1] = expr(high);                                                                                \
    }
#define PS2PD(v) convert(e, &f32, &f64, v, rounding(e))
#define DQ2PD(v) from_int(e, &f64, (i32)(v))
WIDEN(cvtps2pd, PS2PD)
WIDEN(cvtdq2pd, DQ2PD)
void fps_cvtsd2ss(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)
{
    u32 v = (u32)PD2PS(b->q[0]);
    *r = *a;
    r->d[0] = v;
}
SCALAR_8(cvtss2sd, convert(e, &f32, &f64, (u32)y, rounding(e)))

#define FROM_INT(name, T, f, lane)                                                                           \
    void fps_##name(struct fp_env *e, union xmm *r, const union xmm *a, T v)                                 \
    {                                                                                                        \
        *r = *a;                                                                                             \
        r->lane[0] = (__typeof__(r->lane[0]))from_int(e, &f, v);                                             \
    }
FROM_INT(cvtsi2ss32, i32, f32, d)
FROM_INT(cvtsi2ss64, i64, f32, d)
FROM_INT(cvtsi2sd32, i32, f64, q)
FROM_INT(cvtsi2sd64, i64, f64, q)

#define TO_INT(name, T, f, lane, rc)                                                                         \
    T fps_##name(struct fp_env *e, const union xmm *b)                                                       \
    {                                                                                                        \
        return (T)to_int(e, &f, b->lane[0], 8 * sizeof(T), rc);                                              \
    }
TO_INT(cvtss2si32, u32, f32, d, rounding(e))
TO_INT(cvtss2si64, u64, f32, d, rounding(e))
TO_INT(cvtsd2si32, u32, f64, q, rounding(e))
TO_INT(cvtsd2si64, u64, f64, q, rounding(e))
TO_INT(cvttss2si32, u32, f32, d, 3)
TO_INT(cvttss2si64, u64, f32, d, 3)
TO_INT(cvttsd2si32, u32, f64, q, 3)
TO_INT(cvttsd2si64, u64, f64, q, 3)

void fps_fma32(struct fp_env *e, u32 *r, u32 x, u32 y, u32 z, bool neg_product, bool neg_addend)
{
    *r = (u32)fma_bits(e, &f32, x, y, z, neg_product, neg_addend);
}

void fps_fma64(struct fp_env *e, u64 *r, u64 x, u64 y, u64 z, bool neg_product, bool neg_addend)
{
    *r = fma_bits(e, &f64, x, y, z, neg_product, neg_addend);
}

u32 fps_round32(struct fp_env *e, u32 v, unsigned rc, bool quiet)
{
    return (u32)round_bits(e, &f32, v, rc, quiet);
}

u64 fps_round64(struct fp_env *e, u64 v, unsigned rc, bool quiet)
{
    return round_bits(e, &f64, v, rc, quiet);
}

u32 fps_half_to_single(struct fp_env *e, u16 v)
{
    return (u32)convert(e, &f16, &f32, v, 0);
}

u16 fps_single_to_half(struct fp_env *e, u32 v, unsigned rc)
{
    return (u16)convert(e, &f32, &f16, v, rc);
}
