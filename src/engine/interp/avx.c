/* What only AVX and AVX2 have: operations across the two halves, broadcasts, and the zeroing instructions.
 * SDM vol. 1, chapter 14; vol. 2. In-lane AVX forms stand with their legacy ones. */
#include "engine/interp/simd.h"

/* Broadcasts of N bytes. */
INLINE void fill(union xmm r[2], const void *from, unsigned n)
{
    for (unsigned k = 0; k < 32; k += n)
        memcpy((u8 *)r + k, from, n);
}
#define BROADCAST(N)                                                                                         \
    SIMD_HANDLER(broadcast##N##_rr)                                                                          \
    {                                                                                                        \
        union xmm r[2];                                                                                      \
        CHECK(avx);                                                                                          \
        fill(r, XMM(c, i->rs), N);                                                                           \
        vex_put(c, i, r, vex_wide(i));                                                                       \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(broadcast##N##_rm)                                                                          \
    {                                                                                                        \
        union xmm r[2], m;                                                                                   \
        CHECK(avx);                                                                                          \
        TRY(c, i, simd_load(c, i, &m, N));                                                                   \
        fill(r, &m, N);                                                                                      \
        vex_put(c, i, r, vex_wide(i));                                                                       \
        NEXT(c, i);                                                                                          \
    }
BROADCAST(1)
BROADCAST(2)
BROADCAST(4)
BROADCAST(8)
BROADCAST(16)
SIMD_ROW(VPBROADCASTB, {broadcast1_rr, broadcast1_rm})
SIMD_ROW(VPBROADCASTW, {broadcast2_rr, broadcast2_rm})
SIMD_ROW(VPBROADCASTD, {broadcast4_rr, broadcast4_rm})
SIMD_ROW(VPBROADCASTQ, {broadcast8_rr, broadcast8_rm})
SIMD_ROW(VBROADCASTSS, {broadcast4_rr, broadcast4_rm})
SIMD_ROW(VBROADCASTSD, {broadcast8_rr, broadcast8_rm})
SIMD_ROW(VBROADCASTF128, {broadcast16_rr, broadcast16_rm})
SIMD_ROW(VBROADCASTI128, {broadcast16_rr, broadcast16_rm})

/* Halves. */
SIMD_HANDLER(extract128_rr)
{
    CHECK(avx);
    union xmm r = *(i->imm & 1 ? YMMH(c, i->rs) : XMM(c, i->rs));
    vex_put(c, i, &r, false);
    NEXT(c, i);
}
SIMD_HANDLER(extract128_mr)
{
    CHECK(avx);
    TRY(c, i, simd_store(c, i, i->imm & 1 ? YMMH(c, i->rs) : XMM(c, i->rs), 16));
    NEXT(c, i);
}
INLINE void insert128(struct cpu *c, const struct insn *i, const union xmm *v)
{
    union xmm r[2] = {*XMM(c, i->rv), *YMMH(c, i->rv)};
    r[i->imm & 1] = *v;
    vex_put(c, i, r, true);
}
SIMD_HANDLER(insert128_rr)
{
    CHECK(avx);
    insert128(c, i, XMM(c, i->rs));
    NEXT(c, i);
}
SIMD_HANDLER(insert128_rm)
{
    union xmm m;
    CHECK(avx);
    TRY(c, i, simd_load(c, i, &m, 16));
    insert128(c, i, &m);
    NEXT(c, i);
}
SIMD_ROW(VEXTRACTF128, {extract128_rr, NULL, extract128_mr})
SIMD_ROW(VEXTRACTI128, {extract128_rr, NULL, extract128_mr})
SIMD_ROW(VINSERTF128, {insert128_rr, insert128_rm})
SIMD_ROW(VINSERTI128, {insert128_rr, insert128_rm})

/* Permutations of the whole register: F(r, a, b, imm) on two halves each. */
#define PERMUTE(name, f)                                                                                     \
    SIMD_HANDLER(name##_rr)                                                                                  \
    {                                                                                                        \
        union xmm r[2];                                                                                      \
        CHECK(avx);                                                                                          \
        f(r, XMM(c, i->rv), XMM(c, i->rs), (u8)i->imm);                                                      \
        vex_put(c, i, r, true);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##_rm)                                                                                  \
    {                                                                                                        \
        union xmm r[2], m[2];                                                                                \
        CHECK(avx);                                                                                          \
        TRY(c, i, simd_load(c, i, m, 32));                                                                   \
        f(r, XMM(c, i->rv), m, (u8)i->imm);                                                                  \
        vex_put(c, i, r, true);                                                                              \
        NEXT(c, i);                                                                                          \
    }
/* Each half: imm 1..0 and 5..4 choose a half of A, then of B; bits 3 and 7 clear. */
INLINE void f_perm128(union xmm r[2], const union xmm *a, const union xmm *b, unsigned imm)
{
    for (unsigned h = 0; h < 2; h++, imm >>= 4)
        r[h] = imm & 8 ? (union xmm){{0}} : (imm & 2 ? b : a)[imm & 1];
}
INLINE void f_permq(union xmm r[2], const union xmm *a UNUSED, const union xmm *b, unsigned imm)
{
    xmm_set(&r[0], b[imm >> 1 & 1].q[imm & 1], b[imm >> 3 & 1].q[imm >> 2 & 1]);
    xmm_set(&r[1], b[imm >> 5 & 1].q[imm >> 4 & 1], b[imm >> 7].q[imm >> 6 & 1]);
}
INLINE void f_permd(union xmm r[2], const union xmm *a, const union xmm *b, unsigned imm UNUSED)
{
    u64 q[4];
    for (unsigned k = 0; k < 4; k++) {
        u32 low = a[k >> 1].d[2 * k & 3] & 7, high = a[k >> 1].d[(2 * k & 3) + 1] & 7;
        q[k] = b[low >> 2].d[low & 3] | (u64)b[high >> 2].d[high & 3] << 32;
    }
    xmm_set(&r[0], q[0], q[1]);
    xmm_set(&r[1], q[2], q[3]);
}
PERMUTE(perm128, f_perm128)
PERMUTE(permq, f_permq)
PERMUTE(permd, f_permd)
SIMD_ROW(VPERM2F128, {perm128_rr, perm128_rm})
SIMD_ROW(VPERM2I128, {perm128_rr, perm128_rm})
SIMD_ROW(VPERMQ, {permq_rr, permq_rm})
SIMD_ROW(VPERMPD, {permq_rr, permq_rm})
SIMD_ROW(VPERMD, {permd_rr, permd_rm})
SIMD_ROW(VPERMPS, {permd_rr, permd_rm})

/* Outside 64-bit mode registers 8 to 15 are left alone. */
SIMD_HANDLER(vzeroupper)
{
    CHECK(avx);
    for (unsigned n = 0; n < (c->code_size == 8 ? 16 : 8); n++)
        avx_zero_upper(c, n);
    NEXT(c, i);
}
SIMD_HANDLER(vzeroall)
{
    CHECK(avx);
    memset(c->fpu.ymm, 0, c->code_size == 8 ? 16 * 32 : 8 * 32);
    NEXT(c, i);
}
SIMD_ROW(VZEROUPPER, {vzeroupper})
SIMD_ROW(VZEROALL, {vzeroall})
