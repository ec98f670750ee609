/* Packed shifts, by a count in a register, in memory or in an immediate; byte shifts; per-lane counts (AVX2).
 * A count of the lane's width or more gives zero, or copies of the sign. SDM vol. 2, chapter 4. */
#include "engine/interp/simd.h"

/* One count for all lanes. */
#define SHIFT(name, T, f, over, expr)                                                                        \
    INLINE void s_##name(union xmm *r, const union xmm *a, u64 count, unsigned n)                            \
    {                                                                                                        \
        const unsigned bits = 8 * sizeof(T);                                                                 \
        unsigned s = count < bits ? (unsigned)count : bits - 1;                                              \
        bool out = count >= bits;                                                                            \
        for (unsigned k = 0; k < n / sizeof(T); k++) {                                                       \
            T x = a->f[k];                                                                                   \
            r->f[k] = (T)(out ? (over) : (expr));                                                            \
        }                                                                                                    \
    }                                                                                                        \
    KERNEL(name)                                                                                             \
    {                                                                                                        \
        s_##name(r, a, b->q[0], n);                                                                          \
    }
SHIFT(psllw, u16, w, 0, (u32)x << s)
SHIFT(pslld, u32, d, 0, x << s)
SHIFT(psllq, u64, q, 0, x << s)
SHIFT(psrlw, u16, w, 0, x >> s)
SHIFT(psrld, u32, d, 0, x >> s)
SHIFT(psrlq, u64, q, 0, x >> s)
SHIFT(psraw, i16, sw, x >> s, x >> s)
SHIFT(psrad, i32, sd, x >> s, x >> s)

/* The legacy form by immediate is RI, rd = rd << imm; VEX's is RRI, rd = rs << imm; the VEX source count is
 * always 128 bits. */
#define SHIFT_OPS(OP, K)                                                                                     \
    SSE_RR(h_##OP##_rr, K)                                                                                   \
    SSE_RM(h_##OP##_rm, K, 16)                                                                               \
    MMX_RR(h_##OP##_mm_rr, K)                                                                                \
    MMX_RM(h_##OP##_mm_rm, K, 8)                                                                             \
    SIMD_HANDLER(h_##OP##_ri)                                                                                \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(sse);                                                                                          \
        s_##K(&r, XMM(c, i->rd), (u8)i->imm, 16);                                                            \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_mm_ri)                                                                             \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(mmx);                                                                                          \
        s_##K(&r, MM(c, i->rd), (u8)i->imm, 8);                                                              \
        mmx_enter(c);                                                                                        \
        mmx_put(c, i->rd, r.q[0]);                                                                           \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    const struct simd_row simd_row_##OP = {                                                                  \
        .fn = {{h_##OP##_rr, LOADS(h_##OP##_rm)}, {h_##OP##_mm_rr, LOAD(h_##OP##_mm_rm)}},                   \
        .ri = {h_##OP##_ri, h_##OP##_mm_ri}};                                                                \
    INLINE void vex_##OP(struct cpu *c, const struct insn *i, unsigned from, u64 count)                      \
    {                                                                                                        \
        union xmm r[2];                                                                                      \
        bool wide = vex_wide(i);                                                                             \
        s_##K(&r[0], XMM(c, from), count, 16);                                                               \
        if (wide)                                                                                            \
            s_##K(&r[1], YMMH(c, from), count, 16);                                                          \
        vex_put(c, i, r, wide);                                                                              \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rr)                                                                               \
    {                                                                                                        \
        CHECK(avx);                                                                                          \
        vex_##OP(c, i, i->rv, XMM(c, i->rs)->q[0]);                                                          \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rm)                                                                               \
    {                                                                                                        \
        union xmm m;                                                                                         \
        CHECK(avx);                                                                                          \
        TRY(c, i, simd_load(c, i, &m, 16));                                                                  \
        vex_##OP(c, i, i->rv, m.q[0]);                                                                       \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_ri)                                                                               \
    {                                                                                                        \
        CHECK(avx);                                                                                          \
        vex_##OP(c, i, i->rs, (u8)i->imm);                                                                   \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    const struct simd_row simd_row_V##OP = {.fn = {{h_V##OP##_rr, LOAD(h_V##OP##_rm)}}, .ri = {h_V##OP##_ri}};
SHIFT_OPS(PSLLW, psllw)
SHIFT_OPS(PSLLD, pslld)
SHIFT_OPS(PSLLQ, psllq)
SHIFT_OPS(PSRLW, psrlw)
SHIFT_OPS(PSRLD, psrld)
SHIFT_OPS(PSRLQ, psrlq)
SHIFT_OPS(PSRAW, psraw)
SHIFT_OPS(PSRAD, psrad)

/* Bytes. The source is A for the legacy form (rd), B for VEX's (rs). */
INLINE void shift_bytes(union xmm *r, const union xmm *s, unsigned count, bool left)
{
    u128 v = count > 15 ? 0 : left ? xmm_wide(s) << 8 * count : xmm_wide(s) >> 8 * count;
    xmm_set(r, (u64)v, (u64)(v >> 64));
}
KERNEL(pslldq)
{
    shift_bytes(r, a, imm, true);
}
KERNEL(psrldq)
{
    shift_bytes(r, a, imm, false);
}
KERNEL(vpslldq)
{
    shift_bytes(r, b, imm, true);
}
KERNEL(vpsrldq)
{
    shift_bytes(r, b, imm, false);
}
SSE_RR(pslldq_ri, pslldq)
SSE_RR(psrldq_ri, psrldq)
VEX_RR(vpslldq_ri, vpslldq)
VEX_RR(vpsrldq_ri, vpsrldq)
SIMD_ROW(PSLLDQ, {pslldq_ri})
SIMD_ROW(PSRLDQ, {psrldq_ri})
SIMD_ROW(VPSLLDQ, {vpslldq_ri})
SIMD_ROW(VPSRLDQ, {vpsrldq_ri})

LANES(vpsllvd, u32, d, y < 32 ? x << (y & 31) : 0)
LANES(vpsllvq, u64, q, y < 64 ? x << (y & 63) : 0)
LANES(vpsrlvd, u32, d, y < 32 ? x >> (y & 31) : 0)
LANES(vpsrlvq, u64, q, y < 64 ? x >> (y & 63) : 0)
LANES(vpsravd, u32, d, (u32)((i32)x >> (y < 32 ? y : 31)))
SIMD_VEX_OP(VPSLLVD, vpsllvd)
SIMD_VEX_OP(VPSLLVQ, vpsllvq)
SIMD_VEX_OP(VPSRLVD, vpsrlvd)
SIMD_VEX_OP(VPSRLVQ, vpsrlvq)
SIMD_VEX_OP(VPSRAVD, vpsravd)
