/* FMA: one rounding of x * y + z. The digits name the operands: 132 is r1 * r3 + r2, 213 is r2 * r1 + r3, 231
 * is r2 * r3 + r1. SDM vol. 1, 14.5 and table 14-17 (NaNs); vol. 2. */
#include "engine/interp/simd_fp.h"

/* In software: X, Y, Z in the order in which a NaN is looked for. */
#define ORDER_132(f, k) r->f[k], s3->f[k], s2->f[k]
#define ORDER_213(f, k) s2->f[k], r->f[k], s3->f[k]
#define ORDER_231(f, k) s2->f[k], s3->f[k], r->f[k]

#if FP_HOST
#define FMA_HOST(mnem)                                                                                       \
    if (LIKELY(e->hard && __builtin_cpu_supports("fma"))) {                                                  \
        fph_vector v = *(const fph_vector *)r, w = *(const fph_vector *)s2;                                  \
        __asm__ volatile(#mnem " %2, %1, %0" : "+x"(v) : "x"(w), "m"(*s3));                                  \
        *(fph_vector *)r = v;                                                                                \
        return;                                                                                              \
    }
#else
#define FMA_HOST(mnem)
#endif

/* R is the first operand and the result. NP, NA: whether product, addend of lane k are negated. */
#define FMA_KERNEL(mnem, order, width, f, lanes, NP, NA)                                                     \
    INLINE void f_##mnem(struct fp_env *e, union xmm *r, const union xmm *s2, const union xmm *s3)           \
    {                                                                                                        \
        FMA_HOST(mnem)                                                                                       \
        for (unsigned k = 0; k < (lanes); k++)                                                               \
            fps_fma##width(e, &r->f[k], ORDER_##order(f, k), NP, NA);                                        \
    }
#define FMA_PACKED(OP, mnem)                                                                                 \
    INLINE bool run_##mnem(struct cpu *c, const struct insn *i, const union xmm *s3)                         \
    {                                                                                                        \
        union xmm r[2] = {*XMM(c, i->rd), *YMMH(c, i->rd)};                                                  \
        struct fp_env e;                                                                                     \
        fp_begin(&e, c->fpu.mxcsr);                                                                          \
        f_##mnem(&e, &r[0], XMM(c, i->rv), s3);                                                              \
        if (vex_wide(i))                                                                                     \
            f_##mnem(&e, &r[1], YMMH(c, i->rv), s3 + 1);                                                     \
        if (!fp_commit(c, &e))                                                                               \
            return false;                                                                                    \
        vex_put(c, i, r, vex_wide(i));                                                                       \
        return true;                                                                                         \
    }                                                                                                        \
    FMA_HANDLERS(OP, mnem, vex_source(c, i, m, vex_wide(i)))
#define FMA_SCALAR(OP, mnem, LEN)                                                                            \
    INLINE bool run_##mnem(struct cpu *c, const struct insn *i, const union xmm *s3)                         \
    {                                                                                                        \
        union xmm r = *XMM(c, i->rd);                                                                        \
        struct fp_env e;                                                                                     \
        fp_begin(&e, c->fpu.mxcsr);                                                                          \
        f_##mnem(&e, &r, XMM(c, i->rv), s3);                                                                 \
        if (!fp_commit(c, &e))                                                                               \
            return false;                                                                                    \
        vex_put(c, i, &r, false);                                                                            \
        return true;                                                                                         \
    }                                                                                                        \
    FMA_HANDLERS(OP, mnem, simd_load(c, i, m, LEN))
#define FMA_HANDLERS(OP, mnem, load)                                                                         \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        CHECK(avx);                                                                                          \
        TRY(c, i, run_##mnem(c, i, XMM(c, i->rs)));                                                          \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        union xmm m[2];                                                                                      \
        CHECK(avx);                                                                                          \
        TRY(c, i, load &&run_##mnem(c, i, m));                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm})

#define FMA_ORDERS(X, ...) X(132, __VA_ARGS__) X(213, __VA_ARGS__) X(231, __VA_ARGS__)
#define FMA_ALL(order, OP, mnem, NP, NA)                                                                     \
    FMA_KERNEL(mnem##order##ps, order, 32, d, 4, NP, NA)                                                     \
    FMA_KERNEL(mnem##order##pd, order, 64, q, 2, NP, NA)                                                     \
    FMA_KERNEL(mnem##order##ss, order, 32, d, 1, NP, NA)                                                     \
    FMA_KERNEL(mnem##order##sd, order, 64, q, 1, NP, NA)                                                     \
    FMA_PACKED(OP##order##PS, mnem##order##ps)                                                               \
    FMA_PACKED(OP##order##PD, mnem##order##pd)                                                               \
    FMA_SCALAR(OP##order##SS, mnem##order##ss, 4)                                                            \
    FMA_SCALAR(OP##order##SD, mnem##order##sd, 8)
#define FMA_MIXED(order, OP, mnem, NP, NA)                                                                   \
    FMA_KERNEL(mnem##order##ps, order, 32, d, 4, NP, NA)                                                     \
    FMA_KERNEL(mnem##order##pd, order, 64, q, 2, NP, NA)                                                     \
    FMA_PACKED(OP##order##PS, mnem##order##ps)                                                               \
    FMA_PACKED(OP##order##PD, mnem##order##pd)
FMA_ORDERS(FMA_ALL, VFMADD, vfmadd, false, false)
FMA_ORDERS(FMA_ALL, VFMSUB, vfmsub, false, true)
FMA_ORDERS(FMA_ALL, VFNMADD, vfnmadd, true, false)
FMA_ORDERS(FMA_ALL, VFNMSUB, vfnmsub, true, true)
FMA_ORDERS(FMA_MIXED, VFMADDSUB, vfmaddsub, false, !(k & 1))
FMA_ORDERS(FMA_MIXED, VFMSUBADD, vfmsubadd, false, k & 1)
