/* Conversions between floating-point and integer formats. SDM vol. 1, 11.5.2 and appendix E; vol. 2. */
#include "engine/interp/simd_fp.h"

#define HOST(name)                                                                                           \
    INLINE void f_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b,             \
                         unsigned imm UNUSED)                                                                \
    {                                                                                                        \
        fp_##name(e, r, a, b);                                                                               \
    }
HOST(cvtdq2ps)
HOST(cvtps2dq)
HOST(cvttps2dq)
HOST(cvtss2sd)
HOST(cvtsd2ss)
HOST(cvtdq2pd)
HOST(cvtps2pd)
HOST(cvtpd2dq)
HOST(cvttpd2dq)
HOST(cvtpd2ps)
FP_PACKED(CVTDQ2PS, HARD, f_cvtdq2ps)
FP_PACKED(CVTPS2DQ, HARD, f_cvtps2dq)
FP_PACKED(CVTTPS2DQ, HARD, f_cvttps2dq)
FP_SCALAR(CVTSS2SD, HARD, f_cvtss2sd, 4)
FP_SCALAR(CVTSD2SS, HARD, f_cvtsd2ss, 8)

/* From half as many bytes: the 256-bit form takes 128 bits. */
#define WIDENING(OP, f)                                                                                      \
    FP_SSE(OP, HARD, f_##f, 8)                                                                               \
    INLINE bool widen_##f(struct cpu *c, union xmm r[2], const union xmm *s, bool wide)                      \
    {                                                                                                        \
        struct fp_env e;                                                                                     \
        union xmm high = {.q = {s->q[1]}};                                                                   \
        fp_begin(&e, c->fpu.mxcsr);                                                                          \
        fp_##f(&e, &r[0], s, s);                                                                             \
        if (wide)                                                                                            \
            fp_##f(&e, &r[1], &high, &high);                                                                 \
        return fp_commit(c, &e);                                                                             \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rr)                                                                               \
    {                                                                                                        \
        union xmm r[2];                                                                                      \
        CHECK(avx);                                                                                          \
        TRY(c, i, widen_##f(c, r, XMM(c, i->rs), vex_wide(i)));                                              \
        vex_put(c, i, r, vex_wide(i));                                                                       \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rm)                                                                               \
    {                                                                                                        \
        union xmm r[2], m = {{0}};                                                                           \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        TRY(c, i, (wide ? simd_load(c, i, &m, 16) : simd_load(c, i, &m, 8)));                                \
        TRY(c, i, widen_##f(c, r, &m, wide));                                                                \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(V##OP, {h_V##OP##_rr, h_V##OP##_rm})
WIDENING(CVTPS2PD, cvtps2pd)
WIDENING(CVTDQ2PD, cvtdq2pd)

/* To half as many: the 256-bit form leaves 128 bits. */
#define NARROWING(OP, f)                                                                                     \
    FP_SSE(OP, HARD, f_##f, 16)                                                                              \
    INLINE bool narrow_##f(struct cpu *c, union xmm *r, const union xmm *low, const union xmm *high,         \
                           bool wide)                                                                        \
    {                                                                                                        \
        struct fp_env e;                                                                                     \
        union xmm t;                                                                                         \
        fp_begin(&e, c->fpu.mxcsr);                                                                          \
        fp_##f(&e, r, low, low);                                                                             \
        if (wide) {                                                                                          \
            fp_##f(&e, &t, high, high);                                                                      \
            r->q[1] = t.q[0];                                                                                \
        }                                                                                                    \
        return fp_commit(c, &e);                                                                             \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rr)                                                                               \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(avx);                                                                                          \
        TRY(c, i, narrow_##f(c, &r, XMM(c, i->rs), YMMH(c, i->rs), vex_wide(i)));                            \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rm)                                                                               \
    {                                                                                                        \
        union xmm r, m[2];                                                                                   \
        CHECK(avx);                                                                                          \
        TRY(c, i, vex_source(c, i, m, vex_wide(i)));                                                         \
        TRY(c, i, narrow_##f(c, &r, &m[0], &m[1], vex_wide(i)));                                             \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(V##OP, {h_V##OP##_rr, h_V##OP##_rm})
NARROWING(CVTPD2DQ, cvtpd2dq)
NARROWING(CVTTPD2DQ, cvttpd2dq)
NARROWING(CVTPD2PS, cvtpd2ps)

/* GPR or memory integers to a scalar. REX.W: 64 bits. */
#define FROM_INT(OP, op)                                                                                     \
    INLINE bool from_##op(struct cpu *c, union xmm *r, const union xmm *a, u64 v, bool is64)                 \
    {                                                                                                        \
        struct fp_env e;                                                                                     \
        fp_begin(&e, c->fpu.mxcsr);                                                                          \
        if (is64)                                                                                            \
            fp_##op##64(&e, r, a, (i64)v);                                                                   \
        else                                                                                                 \
            fp_##op##32(&e, r, a, (i32)v);                                                                   \
        return fp_commit(c, &e);                                                                             \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(sse);                                                                                          \
        TRY(c, i, from_##op(c, &r, XMM(c, i->rd), c->gpr[i->rs].q, i->flags &INSN_REX_W));                   \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        union xmm r;                                                                                         \
        u64 v = 0;                                                                                           \
        bool is64 = i->flags & INSN_REX_W;                                                                   \
        CHECK(sse);                                                                                          \
        TRY(c, i, (is64 ? simd_load(c, i, &v, 8) : simd_load(c, i, &v, 4)));                                 \
        TRY(c, i, from_##op(c, &r, XMM(c, i->rd), v, is64));                                                 \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rr)                                                                               \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(avx);                                                                                          \
        TRY(c, i, from_##op(c, &r, XMM(c, i->rv), c->gpr[i->rs].q, i->flags &INSN_REX_W));                   \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP##_rm)                                                                               \
    {                                                                                                        \
        union xmm r;                                                                                         \
        u64 v = 0;                                                                                           \
        bool is64 = i->flags & INSN_REX_W;                                                                   \
        CHECK(avx);                                                                                          \
        TRY(c, i, (is64 ? simd_load(c, i, &v, 8) : simd_load(c, i, &v, 4)));                                 \
        TRY(c, i, from_##op(c, &r, XMM(c, i->rv), v, is64));                                                 \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm})                                                                 \
    SIMD_ROW(V##OP, {h_V##OP##_rr, h_V##OP##_rm})
FROM_INT(CVTSI2SS, cvtsi2ss)
FROM_INT(CVTSI2SD, cvtsi2sd)

/* A scalar to a GPR. */
#define TO_INT(OP, check, op, LEN)                                                                           \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        struct fp_env e;                                                                                     \
        u64 v;                                                                                               \
        CHECK(check);                                                                                        \
        FP_RUN_HARD(c, i,                                                                                    \
                    v = i->flags & INSN_REX_W ? fp_##op##64(&e, XMM(c, i->rs))                               \
                                              : fp_##op##32(&e, XMM(c, i->rs)));                             \
        simd_put_gpr(c, i, v);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        struct fp_env e;                                                                                     \
        union xmm m;                                                                                         \
        u64 v;                                                                                               \
        CHECK(check);                                                                                        \
        TRY(c, i, simd_load(c, i, &m, LEN));                                                                 \
        FP_RUN_HARD(c, i, v = i->flags & INSN_REX_W ? fp_##op##64(&e, &m) : fp_##op##32(&e, &m));            \
        simd_put_gpr(c, i, v);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm})
TO_INT(CVTSS2SI, sse, cvtss2si, 4)
TO_INT(CVTSD2SI, sse, cvtsd2si, 8)
TO_INT(CVTTSS2SI, sse, cvttss2si, 4)
TO_INT(CVTTSD2SI, sse, cvttsd2si, 8)
TO_INT(VCVTSS2SI, avx, cvtss2si, 4)
TO_INT(VCVTSD2SI, avx, cvtsd2si, 8)
TO_INT(VCVTTSS2SI, avx, cvttss2si, 4)
TO_INT(VCVTTSD2SI, avx, cvttsd2si, 8)

/* MMX registers and XMM. To MMX: the rest of the source must not raise anything; the x87 state has become MMX
 * state when a floating-point exception comes. */
#define TO_MMX(OP, f, LEN, part)                                                                             \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        struct fp_env e;                                                                                     \
        union xmm r;                                                                                         \
        CHECK(sse);                                                                                          \
        CHECK(mmx);                                                                                          \
        union xmm s = *XMM(c, i->rs);                                                                        \
        part;                                                                                                \
        mmx_enter(c);                                                                                        \
        FP_RUN_HARD(c, i, fp_##f(&e, &r, &s, &s));                                                           \
        mmx_put(c, i->rd, r.q[0]);                                                                           \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        struct fp_env e;                                                                                     \
        union xmm r, s = {{0}};                                                                              \
        CHECK(sse);                                                                                          \
        CHECK(mmx);                                                                                          \
        TRY(c, i, sse_source(c, i, &s, LEN));                                                                \
        mmx_enter(c);                                                                                        \
        FP_RUN_HARD(c, i, fp_##f(&e, &r, &s, &s));                                                           \
        mmx_put(c, i->rd, r.q[0]);                                                                           \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm}, {h_##OP##_rr, h_##OP##_rm})
TO_MMX(CVTPS2PI, cvtps2dq, 8, s.q[1] = 0)
TO_MMX(CVTTPS2PI, cvttps2dq, 8, s.q[1] = 0)
TO_MMX(CVTPD2PI, cvtpd2dq, 16, (void)0)
TO_MMX(CVTTPD2PI, cvttpd2dq, 16, (void)0)

/* From MMX: two integers; CVTPI2PS leaves the upper half alone. A memory source leaves the x87 state alone.
 */
INLINE bool from_pi(struct cpu *c, const struct insn *i, u64 v, bool to_double)
{
    struct fp_env e;
    union xmm s = {.q = {v}}, r;
    fp_begin(&e, c->fpu.mxcsr);
    if (to_double)
        fp_cvtdq2pd(&e, &r, &s, &s);
    else
        fp_cvtdq2ps(&e, &r, &s, &s);
    if (!fp_commit(c, &e))
        return false;
    XMM(c, i->rd)->q[0] = r.q[0];
    if (to_double)
        XMM(c, i->rd)->q[1] = r.q[1];
    return true;
}
#define FROM_PI(name, to_double)                                                                             \
    SIMD_HANDLER(name##_rr)                                                                                  \
    {                                                                                                        \
        CHECK(sse);                                                                                          \
        CHECK(mmx);                                                                                          \
        mmx_enter(c);                                                                                        \
        TRY(c, i, from_pi(c, i, MM(c, i->rs)->q[0], to_double));                                             \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##_rm)                                                                                  \
    {                                                                                                        \
        u64 v;                                                                                               \
        CHECK(sse);                                                                                          \
        TRY(c, i, simd_load(c, i, &v, 8) && from_pi(c, i, v, to_double));                                    \
        NEXT(c, i);                                                                                          \
    }
FROM_PI(cvtpi2ps, false)
FROM_PI(cvtpi2pd, true)
SIMD_ROW(CVTPI2PS, {cvtpi2ps_rr, cvtpi2ps_rm}, {cvtpi2ps_rr, cvtpi2ps_rm})
SIMD_ROW(CVTPI2PD, {cvtpi2pd_rr, cvtpi2pd_rm}, {cvtpi2pd_rr, cvtpi2pd_rm})

/* Half precision. The rounding mode of VCVTPS2PH is imm 1..0, or MXCSR's. With underflow unmasked, Intel's silicon still reports the inexactness of the denormal. */
INLINE bool half_to_single(struct cpu *c, union xmm r[2], const union xmm *s, unsigned lanes)
{
    struct fp_env e;
    fp_begin_soft(&e, c->fpu.mxcsr);
    for (unsigned k = 0; k < lanes; k++)
        r[k / 4].d[k % 4] = fps_half_to_single(&e, s->w[k]);
    return fp_commit(c, &e);
}
INLINE bool single_to_half(struct cpu *c, const struct insn *i, union xmm *r)
{
    struct fp_env e;
    unsigned lanes = vex_wide(i) ? 8 : 4;
    fp_begin_soft(&e, c->fpu.mxcsr);
    e.unbounded_half = interp_amd(c);
    unsigned rc = i->imm & 4 ? (e.csr & MXCSR_RC) >> MXCSR_RC_SHIFT : i->imm & 3;
    *r = (union xmm){{0}};
    for (unsigned k = 0; k < lanes; k++)
        r->w[k] = fps_single_to_half(&e, XMM(c, i->rs)[k / 4].d[k % 4], rc);
    return fp_commit(c, &e);
}
SIMD_HANDLER(vcvtph2ps_rr)
{
    union xmm r[2];
    bool wide = vex_wide(i);
    CHECK(avx);
    TRY(c, i, half_to_single(c, r, XMM(c, i->rs), wide ? 8 : 4));
    vex_put(c, i, r, wide);
    NEXT(c, i);
}
SIMD_HANDLER(vcvtph2ps_rm)
{
    union xmm r[2], m;
    bool wide = vex_wide(i);
    CHECK(avx);
    TRY(c, i, (wide ? simd_load(c, i, &m, 16) : simd_load(c, i, &m, 8)));
    TRY(c, i, half_to_single(c, r, &m, wide ? 8 : 4));
    vex_put(c, i, r, wide);
    NEXT(c, i);
}
SIMD_HANDLER(vcvtps2ph_rr)
{
    union xmm r;
    CHECK(avx);
    TRY(c, i, single_to_half(c, i, &r));
    vex_put(c, i, &r, false);
    NEXT(c, i);
}
/* Where the store comes last, MXCSR has its flags even when it faults. */
SIMD_HANDLER(vcvtps2ph_mr)
{
    union xmm r;
    u64 lin;
    unsigned len = vex_wide(i) ? 16 : 8;
    CHECK(avx);
    if (!interp_store_last(c))
        TRY(c, i, mem_address(c, i, len, true, &lin) && mem_write_probe(c, i, lin, len));
    TRY(c, i, single_to_half(c, i, &r));
    TRY(c, i, vex_wide(i) ? simd_store(c, i, &r, 16) : simd_store(c, i, &r, 8));
    NEXT(c, i);
}
SIMD_ROW(VCVTPH2PS, {vcvtph2ps_rr, vcvtph2ps_rm})
SIMD_ROW(VCVTPS2PH, {vcvtps2ph_rr, NULL, vcvtps2ph_mr})
