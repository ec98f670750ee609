/* Rearranging: shuffles, unpacking, packing with saturation, alignment, blends, insertion and extraction,
 * sign and zero extension. SDM vol. 2, chapter 4. */
#include "engine/interp/simd.h"

/* Shuffles. Two lanes of 32, four of 16 bits, chosen by the immediate. */
INLINE u64 two_of(const union xmm *s, unsigned imm)
{
    return s->d[imm & 3] | (u64)s->d[imm >> 2 & 3] << 32;
}
INLINE u64 four_of(const u16 *w, unsigned imm)
{
    return w[imm & 3] | (u64)w[imm >> 2 & 3] << 16 | (u64)w[imm >> 4 & 3] << 32 | (u64)w[imm >> 6 & 3] << 48;
}
KERNEL(pshufd)
{
    xmm_set(r, two_of(b, imm), two_of(b, imm >> 4));
}
KERNEL(pshufw)
{
    r->q[0] = four_of(b->w, imm);
}
KERNEL(pshuflw)
{
    xmm_set(r, four_of(b->w, imm), b->q[1]);
}
KERNEL(pshufhw)
{
    xmm_set(r, b->q[0], four_of(b->w + 4, imm));
}
KERNEL(pshufb)
{
    if (n == 16 && HOST_HAS("ssse3")) {
        HOST_BINARY(pshufb);
        return;
    }
    for (unsigned k = 0; k < n; k++)
        r->b[k] = b->b[k] & 0x80 ? 0 : a->b[b->b[k] & (n - 1)];
}
KERNEL(shufps)
{
    xmm_set(r, two_of(a, imm), two_of(b, imm >> 4));
}
KERNEL(shufpd)
{
    xmm_set(r, a->q[imm & 1], b->q[imm >> 1 & 1]);
}
SIMD_OP(PSHUFD, pshufd)
SIMD_OP(PSHUFLW, pshuflw)
SIMD_OP(PSHUFHW, pshufhw)
SIMD_OP_MMX(PSHUFB, pshufb, 8)
SIMD_OP(SHUFPS, shufps)
SIMD_OP_IMM(SHUFPD, shufpd, 2)
MMX_RR(pshufw_rr, pshufw)
MMX_RM(pshufw_rm, pshufw, 8)
SIMD_ROW(PSHUFW, {NULL}, {pshufw_rr, pshufw_rm})

/* VPERMILPS, VPERMILPD by immediate are unary; by register the control is the second source. */
KERNEL(permilpd_imm)
{
    xmm_set(r, b->q[imm & 1], b->q[imm >> 1 & 1]);
}
KERNEL(permilps)
{
    xmm_set(r, a->d[b->d[0] & 3] | (u64)a->d[b->d[1] & 3] << 32,
            a->d[b->d[2] & 3] | (u64)a->d[b->d[3] & 3] << 32);
}
KERNEL(permilpd)
{
    xmm_set(r, a->q[b->q[0] >> 1 & 1], a->q[b->q[1] >> 1 & 1]);
}
VEX_RR_IMM(vpermilps_rri, pshufd, 0)
VEX_RM_IMM(vpermilps_rmi, pshufd, 0)
VEX_RR_IMM(vpermilpd_rri, permilpd_imm, 2)
VEX_RM_IMM(vpermilpd_rmi, permilpd_imm, 2)
VEX_RR(vpermilps_rr, permilps)
VEX_RM(vpermilps_rm, permilps)
VEX_RR(vpermilpd_rr, permilpd)
VEX_RM(vpermilpd_rm, permilpd)
#define BIND_PERMIL(OP, h)                                                                                   \
    static insn_fn bind_##OP(const struct insn *i, bool plain)                                               \
    {                                                                                                        \
        if (i->form == FORM_RRI || i->form == FORM_RR)                                                       \
            return i->form == FORM_RRI ? h##_rri : h##_rr;                                                   \
        if (i->form == FORM_RMI)                                                                             \
            return plain ? h##_rmip : h##_rmi;                                                               \
        return plain ? h##_rmp : h##_rm;                                                                     \
    }                                                                                                        \
    const struct simd_row simd_row_##OP = {.bind = bind_##OP};
BIND_PERMIL(VPERMILPS, vpermilps)
BIND_PERMIL(VPERMILPD, vpermilpd)

/* Interleaving the low or high halves of both sources. MMX low forms read 4 bytes of memory. */
#define UNPACK(low, high, f, T)                                                                              \
    KERNEL(low)                                                                                              \
    {                                                                                                        \
        for (unsigned k = 0; k < n / sizeof(T) / 2; k++) {                                                   \
            r->f[2 * k] = a->f[k];                                                                           \
            r->f[2 * k + 1] = b->f[k];                                                                       \
        }                                                                                                    \
    }                                                                                                        \
    KERNEL(high)                                                                                             \
    {                                                                                                        \
        unsigned half = n / sizeof(T) / 2;                                                                   \
        for (unsigned k = 0; k < half; k++) {                                                                \
            r->f[2 * k] = a->f[half + k];                                                                    \
            r->f[2 * k + 1] = b->f[half + k];                                                                \
        }                                                                                                    \
    }
UNPACK(punpcklbw, punpckhbw, b, u8)
UNPACK(punpcklwd, punpckhwd, w, u16)
UNPACK(punpckldq, punpckhdq, d, u32)
UNPACK(punpcklqdq, punpckhqdq, q, u64)
SIMD_OP_MMX(PUNPCKLBW, punpcklbw, 4)
SIMD_OP_MMX(PUNPCKLWD, punpcklwd, 4)
SIMD_OP_MMX(PUNPCKLDQ, punpckldq, 4)
SIMD_OP(PUNPCKLQDQ, punpcklqdq)
SIMD_OP_MMX(PUNPCKHBW, punpckhbw, 8)
SIMD_OP_MMX(PUNPCKHWD, punpckhwd, 8)
SIMD_OP_MMX(PUNPCKHDQ, punpckhdq, 8)
SIMD_OP(PUNPCKHQDQ, punpckhqdq)
SIMD_OP(UNPCKLPS, punpckldq)
SIMD_OP(UNPCKHPS, punpckhdq)
SIMD_OP(UNPCKLPD, punpcklqdq)
SIMD_OP(UNPCKHPD, punpckhqdq)

/* Half as wide, with saturation: A's lanes, then B's. */
#define PACK(name, from, to, T, low, high)                                                                   \
    KERNEL(name)                                                                                             \
    {                                                                                                        \
        unsigned half = n / sizeof(T) / 2;                                                                   \
        for (unsigned k = 0; k < half; k++) {                                                                \
            i32 x = a->from[k], y = b->from[k];                                                              \
            r->to[k] = (T)(x < (low) ? (low) : x > (high) ? (high) : x);                                     \
            r->to[half + k] = (T)(y < (low) ? (low) : y > (high) ? (high) : y);                              \
        }                                                                                                    \
    }
PACK(packsswb, sw, sb, i8, -0x80, 0x7f)
PACK(packuswb, sw, b, u8, 0, 0xff)
PACK(packssdw, sd, sw, i16, -0x8000, 0x7fff)
PACK(packusdw, sd, w, u16, 0, 0xffff)
SIMD_OP_MMX(PACKSSWB, packsswb, 8)
SIMD_OP_MMX(PACKUSWB, packuswb, 8)
SIMD_OP_MMX(PACKSSDW, packssdw, 8)
SIMD_OP(PACKUSDW, packusdw)

/* N bytes of A:B from byte imm on. */
KERNEL(palignr)
{
    if (n == 8) {
        u128 both = (u128)a->q[0] << 64 | b->q[0];
        r->q[0] = imm < 16 ? (u64)(both >> 8 * imm) : 0;
    } else if (imm < 16) {
        u128 low = xmm_wide(b) >> 8 * imm, high = imm ? xmm_wide(a) << (128 - 8 * imm) : 0;
        xmm_set(r, (u64)(low | high), (u64)((low | high) >> 64));
    } else {
        u128 v = imm < 32 ? xmm_wide(a) >> 8 * (imm - 16) : 0;
        xmm_set(r, (u64)v, (u64)(v >> 64));
    }
}
SIMD_OP_MMX(PALIGNR, palignr, 8)

/* Blends by immediate, a bit per lane: set takes B. */
#define BLEND(name, f, T)                                                                                    \
    KERNEL(name)                                                                                             \
    {                                                                                                        \
        for (unsigned k = 0; k < n / sizeof(T); k++)                                                         \
            r->f[k] = imm >> k & 1 ? b->f[k] : a->f[k];                                                      \
    }
BLEND(blendps, d, u32)
BLEND(blendpd, q, u64)
BLEND(pblendw, w, u16)
SIMD_OP_IMM(BLENDPS, blendps, 4)
SIMD_OP_IMM(BLENDPD, blendpd, 2)
SIMD_OP(PBLENDW, pblendw)
SIMD_VEX_OP_IMM(VPBLENDD, blendps, 4)

/* Blends by the sign bits of a third register: XMM0, or VEX's is4. */
#define BLENDV(OP, name, f, T)                                                                               \
    INLINE void v_##name(union xmm *r, const union xmm *a, const union xmm *b, const union xmm *mask)        \
    {                                                                                                        \
        for (unsigned k = 0; k < 16 / sizeof(T); k++)                                                        \
            r->f[k] = mask->f[k] < 0 ? b->f[k] : a->f[k];                                                    \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(sse);                                                                                          \
        v_##name(&r, XMM(c, i->rd), XMM(c, i->rs), XMM(c, 0));                                               \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        CHECK(sse);                                                                                          \
        TRY(c, i, sse_source(c, i, &m, 16));                                                                 \
        v_##name(&r, XMM(c, i->rd), &m, XMM(c, 0));                                                          \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rr)                                                                               \
    {                                                                                                        \
        union xmm r[2];                                                                                      \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        v_##name(&r[0], XMM(c, i->rv), XMM(c, i->rs), XMM(c, i->imm & 15));                                  \
        if (wide)                                                                                            \
            v_##name(&r[1], YMMH(c, i->rv), YMMH(c, i->rs), YMMH(c, i->imm & 15));                           \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rm)                                                                               \
    {                                                                                                        \
        union xmm r[2], m[2];                                                                                \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        TRY(c, i, vex_source(c, i, m, wide));                                                                \
        v_##name(&r[0], XMM(c, i->rv), &m[0], XMM(c, i->imm & 15));                                          \
        if (wide)                                                                                            \
            v_##name(&r[1], YMMH(c, i->rv), &m[1], YMMH(c, i->imm & 15));                                    \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm})                                                                 \
    SIMD_ROW(V##OP, {h_V##OP##_rr, h_V##OP##_rm})
BLENDV(PBLENDVB, pblendvb, sb, i8)
BLENDV(BLENDVPS, blendvps, sd, i32)
BLENDV(BLENDVPD, blendvpd, sq, i64)

/* Insertion of a lane from a GPR or memory, and extraction. */
#define INSERT(OP, f, T)                                                                                     \
    INLINE void put_##OP(union xmm *r, const union xmm *a, T v, unsigned imm)                                \
    {                                                                                                        \
        *r = *a;                                                                                             \
        r->f[imm & (16 / sizeof(T) - 1)] = v;                                                                \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        CHECK(sse);                                                                                          \
        XMM(c, i->rd)->f[(u8)i->imm & (16 / sizeof(T) - 1)] = (T)c->gpr[i->rs].q;                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        T v;                                                                                                 \
        CHECK(sse);                                                                                          \
        TRY(c, i, simd_load(c, i, &v, sizeof v));                                                            \
        XMM(c, i->rd)->f[(u8)i->imm & (16 / sizeof(T) - 1)] = v;                                             \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rr)                                                                               \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(avx);                                                                                          \
        put_##OP(&r, XMM(c, i->rv), (T)c->gpr[i->rs].q, (u8)i->imm);                                         \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rm)                                                                               \
    {                                                                                                        \
        union xmm r;                                                                                         \
        T v;                                                                                                 \
        CHECK(avx);                                                                                          \
        TRY(c, i, simd_load(c, i, &v, sizeof v));                                                            \
        put_##OP(&r, XMM(c, i->rv), v, (u8)i->imm);                                                          \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }
INSERT(PINSRB, b, u8)
INSERT(PINSRW, w, u16)
INSERT(PINSRD, d, u32)
INSERT(PINSRQ, q, u64)

SIMD_HANDLER(pinsrw_mm_rr)
{
    CHECK(mmx);
    union xmm r = *MM(c, i->rd);
    r.w[i->imm & 3] = c->gpr[i->rs].w;
    mmx_enter(c);
    mmx_put(c, i->rd, r.q[0]);
    NEXT(c, i);
}

SIMD_HANDLER(pinsrw_mm_rm)
{
    u16 v;
    CHECK(mmx);
    TRY(c, i, simd_load(c, i, &v, 2));
    union xmm r = *MM(c, i->rd);
    r.w[i->imm & 3] = v;
    mmx_enter(c);
    mmx_put(c, i->rd, r.q[0]);
    NEXT(c, i);
}
#define INSERT_ROWS(OP, ...)                                                                                 \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm}, __VA_ARGS__)                                                    \
    SIMD_ROW(V##OP, {h_V##OP##_rr, h_V##OP##_rm})
INSERT_ROWS(PINSRB, {NULL})
INSERT_ROWS(PINSRW, {pinsrw_mm_rr, pinsrw_mm_rm})
INSERT_ROWS(PINSRD, {NULL})
INSERT_ROWS(PINSRQ, {NULL})

#define EXTRACT(OP, f, T, check)                                                                             \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        CHECK(check);                                                                                        \
        simd_put_gpr(c, i, XMM(c, i->rs)->f[(u8)i->imm & (16 / sizeof(T) - 1)]);                             \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_mr)                                                                                \
    {                                                                                                        \
        CHECK(check);                                                                                        \
        T v = XMM(c, i->rs)->f[(u8)i->imm & (16 / sizeof(T) - 1)];                                           \
        TRY(c, i, simd_store(c, i, &v, sizeof v));                                                           \
        NEXT(c, i);                                                                                          \
    }
SIMD_HANDLER(pextrw_mm)
{
    CHECK(mmx);
    mmx_enter(c);
    simd_put_gpr(c, i, MM(c, i->rs)->w[i->imm & 3]);
    NEXT(c, i);
}
#define EXTRACT_OPS(OP, f, T, ...)                                                                           \
    EXTRACT(OP, f, T, sse)                                                                                   \
    EXTRACT(V##OP, f, T, avx)                                                                                \
    SIMD_ROW(OP, {h_##OP##_rr, NULL, h_##OP##_mr}, __VA_ARGS__)                                              \
    SIMD_ROW(V##OP, {h_V##OP##_rr, NULL, h_V##OP##_mr})
EXTRACT_OPS(PEXTRB, b, u8, {NULL})
EXTRACT_OPS(PEXTRW, w, u16, {pextrw_mm})
EXTRACT_OPS(PEXTRD, d, u32, {NULL})
EXTRACT_OPS(PEXTRQ, q, u64, {NULL})
EXTRACT_OPS(EXTRACTPS, d, u32, {NULL})

/* imm 7..6: lane of the source register, 5..4: lane of the destination, 3..0: lanes to clear. From memory:
 * its only lane. */
INLINE void insertps(union xmm *r, const union xmm *a, u32 v, unsigned imm)
{
    for (unsigned k = 0; k < 4; k++)
        r->d[k] = imm >> k & 1 ? 0 : k == (imm >> 4 & 3) ? v : a->d[k];
}
KERNEL(insertps_reg)
{
    insertps(r, a, b->d[imm >> 6], imm);
}
KERNEL(insertps_mem)
{
    insertps(r, a, b->d[0], imm);
}
SSE_RR(insertps_rr, insertps_reg)
SSE_RM(insertps_rm, insertps_mem, 4)
VEX_RR_PART(vinsertps_rr, insertps_reg)
VEX_RM_PART(vinsertps_rm, insertps_mem, 4)
SIMD_ROW(INSERTPS, {insertps_rr, LOADS(insertps_rm)})
SIMD_ROW(VINSERTPS, {vinsertps_rr, vinsertps_rm})

/* Widening: the low lanes of the source. 256-bit forms take twice as many, so that the upper half starts in
 * the middle of what was loaded. */
#define WIDEN(OP, name, from, FT, to, TT)                                                                    \
    INLINE void w_##name(union xmm *r, const union xmm *s, unsigned first)                                   \
    {                                                                                                        \
        for (unsigned k = 0; k < 16 / sizeof(TT); k++)                                                       \
            r->to[k] = (TT)s->from[first + k];                                                               \
    }                                                                                                        \
    KERNEL(name)                                                                                             \
    {                                                                                                        \
        w_##name(r, b, 0);                                                                                   \
    }                                                                                                        \
    SSE_RR(h_##OP##_rr, name)                                                                                \
    SSE_RM(h_##OP##_rm, name, 16 * sizeof(FT) / sizeof(TT))                                                  \
    SIMD_ROW(OP, {h_##OP##_rr, LOADS(h_##OP##_rm)})                                                          \
    SIMD_HANDLER(h_V##OP##_rr)                                                                               \
    {                                                                                                        \
        union xmm r[2];                                                                                      \
        CHECK(avx);                                                                                          \
        w_##name(&r[0], XMM(c, i->rs), 0);                                                                   \
        w_##name(&r[1], XMM(c, i->rs), 16 / sizeof(TT));                                                     \
        vex_put(c, i, r, vex_wide(i));                                                                       \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rm)                                                                               \
    {                                                                                                        \
        union xmm r[2], m = {{0}};                                                                           \
        bool wide = vex_wide(i);                                                                             \
        const unsigned len = 16 * sizeof(FT) / sizeof(TT);                                                   \
        CHECK(avx);                                                                                          \
        TRY(c, i, (wide ? simd_load(c, i, &m, 2 * len) : simd_load(c, i, &m, len)));                         \
        w_##name(&r[0], &m, 0);                                                                              \
        w_##name(&r[1], &m, 16 / sizeof(TT));                                                                \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(V##OP, {h_V##OP##_rr, h_V##OP##_rm})
WIDEN(PMOVSXBW, pmovsxbw, sb, i8, sw, i16)
WIDEN(PMOVSXBD, pmovsxbd, sb, i8, sd, i32)
WIDEN(PMOVSXBQ, pmovsxbq, sb, i8, sq, i64)
WIDEN(PMOVSXWD, pmovsxwd, sw, i16, sd, i32)
WIDEN(PMOVSXWQ, pmovsxwq, sw, i16, sq, i64)
WIDEN(PMOVSXDQ, pmovsxdq, sd, i32, sq, i64)
WIDEN(PMOVZXBW, pmovzxbw, b, u8, w, u16)
WIDEN(PMOVZXBD, pmovzxbd, b, u8, d, u32)
WIDEN(PMOVZXBQ, pmovzxbq, b, u8, q, u64)
WIDEN(PMOVZXWD, pmovzxwd, w, u16, d, u32)
WIDEN(PMOVZXWQ, pmovzxwq, w, u16, q, u64)
WIDEN(PMOVZXDQ, pmovzxdq, d, u32, q, u64)
