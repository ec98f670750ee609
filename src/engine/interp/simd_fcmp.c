/* Floating-point comparison: CMPxx, COMISx, UCOMISx, MINxx, MAXxx. In integers: the relation of two numbers
 * needs no arithmetic, and the flags are two (IE, DE). SDM vol. 2, table 3-1 (predicates); vol. 1, 11.5.2. */
#include "engine/interp/simd_fp.h"

enum relation { LESS, EQUAL, GREATER, UNORDERED };

/* How X stands to Y. SIGNAL: a quiet NaN raises IE too. A denormal raises DE, or is zero when DAZ is set. */
#define RELATION(name, T, S, MANT, EXP)                                                                      \
    INLINE enum relation name(struct fp_env *e, T x, T y, bool signal)                                       \
    {                                                                                                        \
        const T inf = (T)(EXP) << (MANT), sign = (T)1 << (8 * sizeof(T) - 1), quiet = (T)1 << ((MANT)-1);    \
        T ax = x & ~sign, ay = y & ~sign;                                                                    \
        if (UNLIKELY(ax > inf || ay > inf)) {                                                                \
            if (signal || (ax > inf && !(x & quiet)) || (ay > inf && !(y & quiet)))                          \
                e->raised |= MXCSR_IE;                                                                       \
            return UNORDERED;                                                                                \
        }                                                                                                    \
        const T least = (T)1 << (MANT);                                                                      \
        if (UNLIKELY((T)(ax - 1) < least - 1 || (T)(ay - 1) < least - 1)) {                                  \
            if (e->csr & MXCSR_DAZ) {                                                                        \
                ax = ax < least ? 0 : ax;                                                                    \
                ay = ay < least ? 0 : ay;                                                                    \
            } else {                                                                                         \
                e->raised |= MXCSR_DE;                                                                       \
            }                                                                                                \
        }                                                                                                    \
        S sx = x & sign ? -(S)ax : (S)ax, sy = y & sign ? -(S)ay : (S)ay;                                    \
        return sx < sy ? LESS : sx > sy ? GREATER : EQUAL;                                                   \
    }
RELATION(relation32, u32, i32, 23, 0xff)
RELATION(relation64, u64, i64, 52, 0x7ff)

/* The 32 predicates: for which relations they hold (bit: enum relation), bit 4: quiet NaNs signal. */
#define S                 16
#define HOLDS(l, e, g, u) ((l) | (e) << 1 | (g) << 2 | (u) << 3)
static const u8 predicates[32] = {
    HOLDS(0, 1, 0, 0),     HOLDS(1, 0, 0, 0) | S, HOLDS(1, 1, 0, 0) | S,
    HOLDS(0, 0, 0, 1), /* EQ LT LE UNORD */
    HOLDS(1, 0, 1, 1),     HOLDS(0, 1, 1, 1) | S, HOLDS(0, 0, 1, 1) | S,
    HOLDS(1, 1, 1, 0), /* NEQ NLT NLE ORD */
    HOLDS(0, 1, 0, 1),     HOLDS(1, 0, 0, 1) | S, HOLDS(1, 1, 0, 1) | S,
    HOLDS(0, 0, 0, 0), /* EQ_UQ NGE NGT FALSE */
    HOLDS(1, 0, 1, 0),     HOLDS(0, 1, 1, 0) | S, HOLDS(0, 0, 1, 0) | S,
    HOLDS(1, 1, 1, 1), /* NEQ_OQ GE GT TRUE */
    HOLDS(0, 1, 0, 0) | S, HOLDS(1, 0, 0, 0),     HOLDS(1, 1, 0, 0),
    HOLDS(0, 0, 0, 1) | S, /* the same, signalling turned round */
    HOLDS(1, 0, 1, 1) | S, HOLDS(0, 1, 1, 1),     HOLDS(0, 0, 1, 1),
    HOLDS(1, 1, 1, 0) | S, HOLDS(0, 1, 0, 1) | S, HOLDS(1, 0, 0, 1),
    HOLDS(1, 1, 0, 1),     HOLDS(0, 0, 0, 0) | S, HOLDS(1, 0, 1, 0) | S,
    HOLDS(0, 1, 1, 0),     HOLDS(0, 0, 1, 0),     HOLDS(1, 1, 1, 1) | S,
};

INLINE bool holds(unsigned p, enum relation rel)
{
    return p >> rel & 1;
}
INLINE void cmp32(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b, unsigned p,
                  unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        r->d[k] = 0 - (u32)holds(p, relation32(e, a->d[k], b->d[k], p & S));
}
INLINE void cmp64(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b, unsigned p,
                  unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        r->q[k] = 0 - (u64)holds(p, relation64(e, a->q[k], b->q[k], p & S));
}
/* Legacy forms know eight predicates. */
#define COMPARE(name, width, lanes)                                                                          \
    INLINE void f_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b,             \
                         unsigned imm)                                                                       \
    {                                                                                                        \
        *r = *a;                                                                                             \
        cmp##width(e, r, a, b, predicates[imm & 7], lanes);                                                  \
    }                                                                                                        \
    INLINE void f_v##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b,            \
                          unsigned imm)                                                                      \
    {                                                                                                        \
        *r = *a;                                                                                             \
        cmp##width(e, r, a, b, predicates[imm & 31], lanes);                                                 \
    }
COMPARE(cmpps, 32, 4)
COMPARE(cmppd, 64, 2)
COMPARE(cmpss, 32, 1)
COMPARE(cmpsd, 64, 1)
FP_SSE(CMPPS, SOFT, f_cmpps, 16)
FP_SSE(CMPPD, SOFT, f_cmppd, 16)
FP_SSE(CMPSS, SOFT, f_cmpss, 4)
FP_SSE(CMPSD, SOFT, f_cmpsd, 8)
FP_VEX_PACKED(VCMPPS, SOFT, f_vcmpps)
FP_VEX_PACKED(VCMPPD, SOFT, f_vcmppd)
FP_VEX_SCALAR(VCMPSS, SOFT, f_vcmpss, 4)
FP_VEX_SCALAR(VCMPSD, SOFT, f_vcmpsd, 8)

/* MIN and MAX: the second source unless the first is certainly less (greater); any NaN raises IE. Under DAZ a
 * denormal comes out as zero. */
INLINE u32 flush32(const struct fp_env *e, u32 v)
{
    return e->csr & MXCSR_DAZ && !(v & 0x7f800000) ? v & 0x80000000 : v;
}
INLINE u64 flush64(const struct fp_env *e, u64 v)
{
    return e->csr & MXCSR_DAZ && !(v & 0x7ff0000000000000) ? v & 0x8000000000000000 : v;
}
#define MINMAX(name, width, f, lanes, win)                                                                   \
    INLINE void f_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b,             \
                         unsigned imm UNUSED)                                                                \
    {                                                                                                        \
        *r = *a;                                                                                             \
        for (unsigned k = 0; k < (lanes); k++)                                                               \
            r->f[k] =                                                                                        \
                flush##width(e, relation##width(e, a->f[k], b->f[k], true) == (win) ? a->f[k] : b->f[k]);    \
    }
MINMAX(minps, 32, d, 4, LESS)
MINMAX(minpd, 64, q, 2, LESS)
MINMAX(minss, 32, d, 1, LESS)
MINMAX(minsd, 64, q, 1, LESS)
MINMAX(maxps, 32, d, 4, GREATER)
MINMAX(maxpd, 64, q, 2, GREATER)
MINMAX(maxss, 32, d, 1, GREATER)
MINMAX(maxsd, 64, q, 1, GREATER)
FP_PACKED(MINPS, SOFT, f_minps)
FP_PACKED(MINPD, SOFT, f_minpd)
FP_SCALAR(MINSS, SOFT, f_minss, 4)
FP_SCALAR(MINSD, SOFT, f_minsd, 8)
FP_PACKED(MAXPS, SOFT, f_maxps)
FP_PACKED(MAXPD, SOFT, f_maxpd)
FP_SCALAR(MAXSS, SOFT, f_maxss, 4)
FP_SCALAR(MAXSD, SOFT, f_maxsd, 8)

/* ZF, PF, CF as the lazy flags hold them (cpu/flags.h): less 001, equal 100, greater 000, unordered 111; OF,
 * SF, AF are 0. */
#define CARRY (3ull << 62)
static const struct flags comis_flags[] = {
    [LESS] = {1, CARRY, 0},
    [EQUAL] = {0, 0, FLAGS_FIX_PF},
    [GREATER] = {1, 0, 0},
    [UNORDERED] = {0, CARRY, 0},
};
#define COMIS(OP, check, width, f, signal)                                                                   \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        struct fp_env e;                                                                                     \
        enum relation rel;                                                                                   \
        CHECK(check);                                                                                        \
        FP_RUN_SOFT(c, i, rel = relation##width(&e, XMM(c, i->rd)->f[0], XMM(c, i->rs)->f[0], signal));      \
        c->fl = comis_flags[rel];                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        struct fp_env e;                                                                                     \
        enum relation rel;                                                                                   \
        union xmm m;                                                                                         \
        CHECK(check);                                                                                        \
        TRY(c, i, simd_load(c, i, &m, (width) / 8));                                                         \
        FP_RUN_SOFT(c, i, rel = relation##width(&e, XMM(c, i->rd)->f[0], m.f[0], signal));                   \
        c->fl = comis_flags[rel];                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm})
COMIS(COMISS, sse, 32, d, true)
COMIS(COMISD, sse, 64, q, true)
COMIS(UCOMISS, sse, 32, d, false)
COMIS(UCOMISD, sse, 64, q, false)
COMIS(VCOMISS, avx, 32, d, true)
COMIS(VCOMISD, avx, 64, q, true)
COMIS(VUCOMISS, avx, 32, d, false)
COMIS(VUCOMISD, avx, 64, q, false)
