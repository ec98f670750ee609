/* Bitwise logic, on integers and on floating-point registers alike, and the tests that set flags from it. */
#include "engine/interp/simd.h"

LANES(and, u64, q, x &y)
LANES(andn, u64, q, ~x &y)
LANES(or, u64, q, x | y)
LANES(xor, u64, q, x ^ y)

SIMD_OP_MMX(PAND, and, 8)
SIMD_OP_MMX(PANDN, andn, 8)
SIMD_OP_MMX(POR, or, 8)
SIMD_OP_MMX(PXOR, xor, 8)

/* The same handlers under other names. */
#define ALIAS(OP, AS)                                                                                        \
    SIMD_ROW(OP, {h_##AS##_rr, LOADS(h_##AS##_rm)})                                                          \
    SIMD_ROW(V##OP, {h_V##AS##_rr, LOADS(h_V##AS##_rm)})
ALIAS(ANDPS, PAND)
ALIAS(ANDPD, PAND)
ALIAS(ANDNPS, PANDN)
ALIAS(ANDNPD, PANDN)
ALIAS(ORPS, POR)
ALIAS(ORPD, POR)
ALIAS(XORPS, PXOR)
ALIAS(XORPD, PXOR)

/* ZF: no bit of MASK in a & b; CF: none in ~a & b; the others 0. */
INLINE void test_flags(struct cpu *c, const union xmm *a, const union xmm *b, unsigned halves, u64 mask)
{
    u64 both = 0, only = 0;
    for (unsigned h = 0; h < halves; h++)
        for (unsigned k = 0; k < 2; k++) {
            both |= a[h].q[k] & b[h].q[k];
            only |= ~a[h].q[k] & b[h].q[k];
        }
    flags_load(&c->fl, (both & mask ? 0 : RFLAGS_ZF) | (only & mask ? 0 : RFLAGS_CF));
}

#define VEX_TEST(OP, mask)                                                                                   \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        CHECK(avx);                                                                                          \
        test_flags(c, XMM(c, i->rd), XMM(c, i->rs), vex_wide(i) ? 2 : 1, mask);                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        union xmm m[2];                                                                                      \
        CHECK(avx);                                                                                          \
        TRY(c, i, vex_source(c, i, m, vex_wide(i)));                                                         \
        test_flags(c, XMM(c, i->rd), m, vex_wide(i) ? 2 : 1, mask);                                          \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm})
VEX_TEST(VPTEST, ~0ull)
VEX_TEST(VTESTPS, 0x8000000080000000ull)
VEX_TEST(VTESTPD, 0x8000000000000000ull)

SIMD_HANDLER(ptest_rr)
{
    CHECK(sse);
    test_flags(c, XMM(c, i->rd), XMM(c, i->rs), 1, ~0ull);
    NEXT(c, i);
}

SIMD_HANDLER(ptest_rm)
{
    union xmm m;
    CHECK(sse);
    TRY(c, i, sse_source(c, i, &m, 16));
    test_flags(c, XMM(c, i->rd), &m, 1, ~0ull);
    NEXT(c, i);
}
SIMD_ROW(PTEST, {ptest_rr, ptest_rm})
