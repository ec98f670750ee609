/* Floating-point arithmetic: add, subtract, multiply, divide, square root, horizontal forms, dot products,
 * approximations, rounding to integral values; MXCSR itself. SDM vol. 1, chapters 10 to 12; vol. 2. */
#include "engine/interp/simd_fp.h"

/* The precomputation exceptions of all lanes come first: with one of them unmasked the others are never
 * looked at. */
bool fp_settle(struct cpu *c, u32 raised)
{
    const u32 pre = MXCSR_IE | MXCSR_DE | MXCSR_ZE;
    u32 unmasked = ~(c->fpu.mxcsr >> 7) & MXCSR_FLAGS;
    if (raised & pre & unmasked)
        raised &= pre;
    c->fpu.mxcsr |= raised;
    if (!(raised & unmasked))
        return true;
    return c->cr4 & CR4_OSXMMEXCPT ? cpu_raise(c, VEC_XM) : cpu_raise_ud(c);
}

#define HOST(name)                                                                                           \
    INLINE void f_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b,             \
                         unsigned imm UNUSED)                                                                \
    {                                                                                                        \
        fp_##name(e, r, a, b);                                                                               \
    }
#define ARITHMETIC(OP, op)                                                                                   \
    HOST(op##ps)                                                                                             \
    HOST(op##pd)                                                                                             \
    HOST(op##ss)                                                                                             \
    HOST(op##sd)                                                                                             \
    FP_PACKED(OP##PS, HARD, f_##op##ps)                                                                      \
    FP_PACKED(OP##PD, HARD, f_##op##pd)                                                                      \
    FP_SCALAR(OP##SS, HARD, f_##op##ss, 4)                                                                   \
    FP_SCALAR(OP##SD, HARD, f_##op##sd, 8)
ARITHMETIC(ADD, add)
ARITHMETIC(SUB, sub)
ARITHMETIC(MUL, mul)
ARITHMETIC(DIV, div)
ARITHMETIC(SQRT, sqrt)
#define PACKED_ONLY(OP, op)                                                                                  \
    HOST(op##ps)                                                                                             \
    HOST(op##pd)                                                                                             \
    FP_PACKED(OP##PS, HARD, f_##op##ps)                                                                      \
    FP_PACKED(OP##PD, HARD, f_##op##pd)
PACKED_ONLY(HADD, hadd)
PACKED_ONLY(HSUB, hsub)
PACKED_ONLY(ADDSUB, addsub)

/* Approximations: no exceptions. */
KERNEL(rcpps)
{
    fp_rcpps(r, b);
}
KERNEL(rsqrtps)
{
    fp_rsqrtps(r, b);
}
KERNEL(rcpss)
{
    union xmm t;
    fp_rcpps(&t, b);
    *r = *a;
    r->d[0] = t.d[0];
}
KERNEL(rsqrtss)
{
    union xmm t;
    fp_rsqrtps(&t, b);
    *r = *a;
    r->d[0] = t.d[0];
}
SIMD_OP(RCPPS, rcpps)
SIMD_OP(RSQRTPS, rsqrtps)
#define APPROXIMATE_SCALAR(OP, K)                                                                            \
    SSE_RR(h_##OP##_rr, K)                                                                                   \
    SSE_RM(h_##OP##_rm, K, 4)                                                                                \
    VEX_RR_PART(h_V##OP##_rr, K)                                                                             \
    VEX_RM_PART(h_V##OP##_rm, K, 4)                                                                          \
    SIMD_ROW(OP, {h_##OP##_rr, LOADS(h_##OP##_rm)})                                                          \
    SIMD_ROW(V##OP, {h_V##OP##_rr, h_V##OP##_rm})
APPROXIMATE_SCALAR(RCPSS, rcpss)
APPROXIMATE_SCALAR(RSQRTSS, rsqrtss)

/* imm 1..0: rounding mode unless bit 2 says MXCSR's; bit 3: no precision exception. */
INLINE unsigned round_mode(const struct fp_env *e, unsigned imm)
{
    return imm & 4 ? (e->csr & MXCSR_RC) >> MXCSR_RC_SHIFT : imm & 3;
}
INLINE void f_roundps(struct fp_env *e, union xmm *r, const union xmm *a UNUSED, const union xmm *b,
                      unsigned imm)
{
    for (unsigned k = 0; k < 4; k++)
        r->d[k] = fps_round32(e, b->d[k], round_mode(e, imm), imm & 8);
}
INLINE void f_roundpd(struct fp_env *e, union xmm *r, const union xmm *a UNUSED, const union xmm *b,
                      unsigned imm)
{
    for (unsigned k = 0; k < 2; k++)
        r->q[k] = fps_round64(e, b->q[k], round_mode(e, imm), imm & 8);
}
INLINE void f_roundss(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b, unsigned imm)
{
    *r = *a;
    r->d[0] = fps_round32(e, b->d[0], round_mode(e, imm), imm & 8);
}
INLINE void f_roundsd(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b, unsigned imm)
{
    *r = *a;
    r->q[0] = fps_round64(e, b->q[0], round_mode(e, imm), imm & 8);
}
FP_PACKED(ROUNDPS, SOFT, f_roundps)
FP_PACKED(ROUNDPD, SOFT, f_roundpd)
FP_SCALAR(ROUNDSS, SOFT, f_roundss, 4)
FP_SCALAR(ROUNDSD, SOFT, f_roundsd, 8)

SIMD_HANDLER(ldmxcsr)
{
    u32 v;
    CHECK(sse);
    TRY(c, i, simd_load(c, i, &v, 4));
    TRY(c, i, !(v & ~(u32)MXCSR_MASK) || cpu_raise_gp(c, 0));
    c->fpu.mxcsr = v;
    NEXT(c, i);
}
SIMD_HANDLER(stmxcsr)
{
    CHECK(sse);
    TRY(c, i, simd_store(c, i, &c->fpu.mxcsr, 4));
    NEXT(c, i);
}
SIMD_HANDLER(vldmxcsr)
{
    u32 v;
    CHECK(avx);
    TRY(c, i, simd_load(c, i, &v, 4));
    TRY(c, i, !(v & ~(u32)MXCSR_MASK) || cpu_raise_gp(c, 0));
    c->fpu.mxcsr = v;
    NEXT(c, i);
}
SIMD_HANDLER(vstmxcsr)
{
    CHECK(avx);
    TRY(c, i, simd_store(c, i, &c->fpu.mxcsr, 4));
    NEXT(c, i);
}
SIMD_ROW(LDMXCSR, {NULL, ldmxcsr})
SIMD_ROW(STMXCSR, {NULL, stmxcsr})
SIMD_ROW(VLDMXCSR, {NULL, vldmxcsr})
SIMD_ROW(VSTMXCSR, {NULL, vstmxcsr})

/* Dot products, in steps as the manual has them: products of the lanes that imm 7..4 selects, sums of pairs,
 * their sum; into the lanes that imm 3..0 selects. Each step has its own exceptions. Where two NaNs meet,
 * Intel's silicon takes the neighbour's in DPPS' first sum (each lane adds itself to its neighbour), and its own in
 * the others; AMD's the lower lane's in all of them. */
INLINE void select_lanes(union xmm *r, const union xmm *s, unsigned lanes)
{
    for (unsigned k = 0; k < 4; k++)
        r->d[k] = lanes >> k & 1 ? s->d[k] : 0;
}
#define FP_STEP(call)                                                                                        \
    do {                                                                                                     \
        fp_begin(&e, c->fpu.mxcsr);                                                                          \
        for (unsigned h = 0; h < halves; h++)                                                                \
            call;                                                                                            \
        if (!fp_commit(c, &e))                                                                               \
            return false;                                                                                    \
    } while (0)
/* A and B hold the same lanes, B's with bit SWAP of the lane number inverted, or the other way round: the lower one to A. */
static void lower_first(union xmm *a, union xmm *b, unsigned swap, unsigned halves)
{
    for (unsigned h = 0; h < halves; h++)
        for (unsigned k = 0; k < 4; k++) {
            bool exchange = swap == 1 ? !(k & swap) : k & swap;
            u32 v = a[h].d[k];
            if (exchange) {
                a[h].d[k] = b[h].d[k];
                b[h].d[k] = v;
            }
        }
}
static bool dot_ps(struct cpu *c, union xmm *r, const union xmm *a, const union xmm *b, unsigned imm,
                   unsigned halves)
{
    struct fp_env e;
    union xmm x[2], y[2], t[2];
    for (unsigned h = 0; h < halves; h++) {
        select_lanes(&x[h], &a[h], imm >> 4);
        select_lanes(&y[h], &b[h], imm >> 4);
    }
    FP_STEP(fp_mulps(&e, &t[h], &x[h], &y[h]));
    for (unsigned h = 0; h < halves; h++)
        for (unsigned k = 0; k < 4; k++)
            x[h].d[k] = t[h].d[k ^ 1];
    if (interp_amd(c))
        lower_first(x, t, 1, halves);
    FP_STEP(fp_addps(&e, &y[h], &x[h], &t[h]));
    for (unsigned h = 0; h < halves; h++)
        for (unsigned k = 0; k < 4; k++)
            x[h].d[k] = y[h].d[k ^ 2];
    if (interp_amd(c))
        lower_first(y, x, 2, halves);
    FP_STEP(fp_addps(&e, &t[h], &y[h], &x[h]));
    for (unsigned h = 0; h < halves; h++)
        select_lanes(&r[h], &t[h], imm);
    return true;
}
static bool dot_pd(struct cpu *c, union xmm *r, const union xmm *a, const union xmm *b, unsigned imm,
                   unsigned halves)
{
    struct fp_env e;
    union xmm x[1], y[1], t[1];
    unsigned lanes = (imm >> 4 & 1) * 3 | (imm >> 5 & 1) * 12;
    select_lanes(x, a, lanes);
    select_lanes(y, b, lanes);
    FP_STEP(fp_mulpd(&e, &t[h], &x[h], &y[h]));
    y->q[0] = t->q[1];
    y->q[1] = t->q[0];
    if (interp_amd(c)) {
        t->q[1] = y->q[1];
        y->q[1] = y->q[0];
    }
    FP_STEP(fp_addpd(&e, &x[h], &t[h], &y[h]));
    select_lanes(r, x, (imm & 1) * 3 | (imm >> 1 & 1) * 12);
    return true;
}
#define DOT(OP, dot)                                                                                         \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(sse);                                                                                          \
        TRY(c, i, dot(c, &r, XMM(c, i->rd), XMM(c, i->rs), (u8)i->imm, 1));                                  \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        CHECK(sse);                                                                                          \
        TRY(c, i, sse_source(c, i, &m, 16));                                                                 \
        TRY(c, i, dot(c, &r, XMM(c, i->rd), &m, (u8)i->imm, 1));                                             \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rr)                                                                               \
    {                                                                                                        \
        union xmm r[2];                                                                                      \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        TRY(c, i, dot(c, r, XMM(c, i->rv), XMM(c, i->rs), (u8)i->imm, wide ? 2 : 1));                        \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rm)                                                                               \
    {                                                                                                        \
        union xmm r[2], m[2];                                                                                \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        TRY(c, i, vex_source(c, i, m, wide));                                                                \
        TRY(c, i, dot(c, r, XMM(c, i->rv), m, (u8)i->imm, wide ? 2 : 1));                                    \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm})                                                                 \
    SIMD_ROW(V##OP, {h_V##OP##_rr, h_V##OP##_rm})
DOT(DPPS, dot_ps)
DOT(DPPD, dot_pd)
