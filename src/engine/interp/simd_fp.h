/* Handlers out of floating-point operations: the same shapes as simd.h's, with MXCSR around them (SDM vol.
 * 1, 11.5). */
#ifndef ENGINE_INTERP_SIMD_FP_H
#define ENGINE_INTERP_SIMD_FP_H

#include "engine/interp/simd.h"
#include "isa/fp.h"

/* With an exception unmasked: MXCSR takes the flags; false: #XM, or #UD without CR4.OSXMMEXCPT. */
bool fp_settle(struct cpu *c, u32 raised) COLD;

/* Commits the flags of what E ran. False: an unmasked exception; nothing may be committed then. */
INLINE MUST_CHECK bool fp_commit(struct cpu *c, struct fp_env *e)
{
    u32 raised = fp_end(e);
    if (LIKELY((c->fpu.mxcsr & MXCSR_MASKS) == MXCSR_MASKS)) {
        c->fpu.mxcsr |= raised;
        return true;
    }
    return fp_settle(c, raised);
}

/* F(e, r, a, b) under the guest's MXCSR, or #XM. HARD: by the host's instructions when that is possible;
 * SOFT: in integers always. */
#define FP_RUN_HARD(c, i, statement)                                                                         \
    do {                                                                                                     \
        fp_begin(&e, (c)->fpu.mxcsr);                                                                        \
        statement;                                                                                           \
        TRY(c, i, fp_commit(c, &e));                                                                         \
    } while (0)
#define FP_RUN_SOFT(c, i, statement)                                                                         \
    do {                                                                                                     \
        fp_begin_soft(&e, (c)->fpu.mxcsr);                                                                   \
        statement;                                                                                           \
        TRY(c, i, fp_commit(c, &e));                                                                         \
    } while (0)
/* The same when fp_fast: nothing can fail, and E stays out of memory. */
#define FP_FAST_HARD(c, statement)                                                                           \
    do {                                                                                                     \
        e = (struct fp_env){.csr = (c)->fpu.mxcsr, .hard = FP_HOST};                                         \
        fp_enter(&e);                                                                                        \
        statement;                                                                                           \
        (c)->fpu.mxcsr |= fp_end(&e);                                                                        \
    } while (0)
#define FP_FAST_SOFT(c, statement)                                                                           \
    do {                                                                                                     \
        fp_begin_soft(&e, (c)->fpu.mxcsr);                                                                   \
        statement;                                                                                           \
        (c)->fpu.mxcsr |= e.raised;                                                                          \
    } while (0)

INLINE bool fp_fast(const struct cpu *c)
{
    return FP_HOST && (c->fpu.mxcsr & MXCSR_MASKS) == MXCSR_MASKS;
}

/* RUN: HARD or SOFT. F(e, r, a, b, imm). LEN: bytes of a memory operand; 16 in packed ones, which alone have
 * 256-bit forms. Each form has a general handler, and a fast one (NAMEp) that calls it when something is out
 * of the ordinary. */
#define FP_SSE(OP, RUN, F, LEN)                                                                              \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        union xmm r;                                                                                         \
        struct fp_env e;                                                                                     \
        CHECK(sse);                                                                                          \
        FP_RUN_##RUN(c, i, F(&e, &r, XMM(c, i->rd), XMM(c, i->rs), (u8)i->imm));                             \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rrp)                                                                               \
    {                                                                                                        \
        union xmm r;                                                                                         \
        struct fp_env e;                                                                                     \
        if (UNLIKELY(!sse_ok(c) || !fp_fast(c)))                                                             \
            return h_##OP##_rr(c, i);                                                                        \
        FP_FAST_##RUN(c, F(&e, &r, XMM(c, i->rd), XMM(c, i->rs), (u8)i->imm));                               \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        struct fp_env e;                                                                                     \
        CHECK(sse);                                                                                          \
        TRY(c, i, sse_source(c, i, &m, LEN));                                                                \
        FP_RUN_##RUN(c, i, F(&e, &r, XMM(c, i->rd), &m, (u8)i->imm));                                        \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rmp)                                                                               \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        struct fp_env e;                                                                                     \
        const u8 *p = sse_hit(c, i, LEN);                                                                    \
        if (UNLIKELY(!p || !sse_ok(c) || !fp_fast(c)))                                                       \
            return h_##OP##_rm(c, i);                                                                        \
        memcpy(&m, p, LEN);                                                                                  \
        FP_FAST_##RUN(c, F(&e, &r, XMM(c, i->rd), &m, (u8)i->imm));                                          \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rrp, LOADS(h_##OP##_rm)})
#define FP_VEX_PACKED(OP, RUN, F)                                                                            \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        union xmm r[2];                                                                                      \
        struct fp_env e;                                                                                     \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        FP_RUN_##RUN(c, i, {                                                                                 \
            F(&e, &r[0], XMM(c, i->rv), XMM(c, i->rs), (u8)i->imm);                                          \
            if (wide)                                                                                        \
                F(&e, &r[1], YMMH(c, i->rv), YMMH(c, i->rs), (u8)i->imm);                                    \
        });                                                                                                  \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        union xmm r[2], m[2];                                                                                \
        struct fp_env e;                                                                                     \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        TRY(c, i, vex_source(c, i, m, wide));                                                                \
        FP_RUN_##RUN(c, i, {                                                                                 \
            F(&e, &r[0], XMM(c, i->rv), &m[0], (u8)i->imm);                                                  \
            if (wide)                                                                                        \
                F(&e, &r[1], YMMH(c, i->rv), &m[1], (u8)i->imm);                                             \
        });                                                                                                  \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, LOAD(h_##OP##_rm)})
#define FP_VEX_SCALAR(OP, RUN, F, LEN)                                                                       \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        union xmm r;                                                                                         \
        struct fp_env e;                                                                                     \
        CHECK(avx);                                                                                          \
        FP_RUN_##RUN(c, i, F(&e, &r, XMM(c, i->rv), XMM(c, i->rs), (u8)i->imm));                             \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rrp)                                                                               \
    {                                                                                                        \
        union xmm r;                                                                                         \
        struct fp_env e;                                                                                     \
        if (UNLIKELY(!avx_ok(c) || !fp_fast(c)))                                                             \
            return h_##OP##_rr(c, i);                                                                        \
        FP_FAST_##RUN(c, F(&e, &r, XMM(c, i->rv), XMM(c, i->rs), (u8)i->imm));                               \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        struct fp_env e;                                                                                     \
        CHECK(avx);                                                                                          \
        TRY(c, i, simd_load(c, i, &m, LEN));                                                                 \
        FP_RUN_##RUN(c, i, F(&e, &r, XMM(c, i->rv), &m, (u8)i->imm));                                        \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rmp)                                                                               \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        struct fp_env e;                                                                                     \
        const u8 *p = hit_read(c, ea_plain(c, i), LEN);                                                      \
        if (UNLIKELY(!p || !avx_ok(c) || !fp_fast(c)))                                                       \
            return h_##OP##_rm(c, i);                                                                        \
        memcpy(&m, p, LEN);                                                                                  \
        FP_FAST_##RUN(c, F(&e, &r, XMM(c, i->rv), &m, (u8)i->imm));                                          \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rrp, LOADS(h_##OP##_rm)})
#define FP_PACKED(OP, RUN, F)                                                                                \
    FP_SSE(OP, RUN, F, 16)                                                                                   \
    FP_VEX_PACKED(V##OP, RUN, F)
#define FP_SCALAR(OP, RUN, F, LEN)                                                                           \
    FP_SSE(OP, RUN, F, LEN)                                                                                  \
    FP_VEX_SCALAR(V##OP, RUN, F, LEN)

#endif
