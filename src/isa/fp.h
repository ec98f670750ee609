/* SSE floating point: arithmetic under the guest's MXCSR, exact in results and flags (SDM vol.
 * 1, 4.8, 10.2.3, 11.5).
 *
 *     struct fp_env e;
 *     fp_begin(&e, mxcsr);
 *     fp_addpd(&e, &r, a, b);             any number of operations
 *     u32 raised = fp_end(&e);            the exception flags that they raised, as the masks in MXCSR make
 * them
 *
 * There are two implementations with one interface. fph_: the host's own instructions, on x86-64 hosts, when
 * every exception is masked. fps_: integers only (fp_soft.c), on other hosts, and everywhere when an
 * exception is unmasked, because flags then differ (underflow without loss is reported, inexactness is that
 * of the unbounded result), and no host signal is wanted. */
#ifndef ISA_FP_H
#define ISA_FP_H

#include "isa/xmm.h"

enum {
    MXCSR_IE = 1 << 0,
    MXCSR_DE = 1 << 1,
    MXCSR_ZE = 1 << 2,
    MXCSR_OE = 1 << 3,
    MXCSR_UE = 1 << 4,
    MXCSR_PE = 1 << 5,
    MXCSR_FLAGS = 0x3f,
    MXCSR_DAZ = 1 << 6,
    MXCSR_IM = 1 << 7,
    MXCSR_DM = 1 << 8,
    MXCSR_ZM = 1 << 9,
    MXCSR_OM = 1 << 10,
    MXCSR_UM = 1 << 11,
    MXCSR_PM = 1 << 12,
    MXCSR_MASKS = 0x1f80,
    MXCSR_RC_SHIFT = 13,
    MXCSR_RC = 3 << 13, /* 0 nearest even, 1 down, 2 up, 3 to zero */
    MXCSR_FTZ = 1 << 15,
    MXCSR_DEFAULT = 0x1f80,
    MXCSR_MASK = 0xffff, /* what LDMXCSR may set */
};

struct fp_env {
    u32 csr;    /* the guest's MXCSR */
    u32 raised; /* flags raised in software */
    bool hard;  /* the host's MXCSR stands for the guest's */
    bool unbounded_half; /* underflow unmasked: PE of a half is that of the unbounded result, as in other formats */
};

/* r = f(a, b): packed operations on the whole register, scalar ones on the low lane with the rest from a.
 * Unary ones take b. */
#define FP_OPS(X)                                                                                            \
    X(addps)                                                                                                 \
    X(addpd)                                                                                                 \
    X(addss)                                                                                                 \
    X(addsd) X(subps) X(subpd) X(subss) X(subsd) X(mulps) X(mulpd) X(mulss) X(mulsd) X(divps) X(divpd)       \
        X(divss) X(divsd) X(sqrtps) X(sqrtpd) X(sqrtss) X(sqrtsd) X(haddps) X(haddpd) X(hsubps) X(hsubpd)    \
            X(addsubps) X(addsubpd) X(cvtdq2ps) X(cvtps2dq) X(cvttps2dq) X(cvtdq2pd) X(cvtpd2dq)             \
                X(cvttpd2dq) X(cvtps2pd) X(cvtpd2ps) X(cvtss2sd) X(cvtsd2ss)
/* Integer to the low lane, the rest from a; the low lane to an integer. */
#define FP_FROM_INT(X) X(cvtsi2ss32, i32) X(cvtsi2ss64, i64) X(cvtsi2sd32, i32) X(cvtsi2sd64, i64)
#define FP_TO_INT(X)                                                                                         \
    X(cvtss2si32, u32)                                                                                       \
    X(cvtss2si64, u64)                                                                                       \
    X(cvtsd2si32, u32)                                                                                       \
    X(cvtsd2si64, u64) X(cvttss2si32, u32) X(cvttss2si64, u64) X(cvttsd2si32, u32) X(cvttsd2si64, u64)

#define FP_DECLARE(name)                                                                                     \
    void fps_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b);
FP_OPS(FP_DECLARE)
#undef FP_DECLARE
#define FP_DECLARE(name, T) void fps_##name(struct fp_env *e, union xmm *r, const union xmm *a, T v);
FP_FROM_INT(FP_DECLARE)
#undef FP_DECLARE
#define FP_DECLARE(name, T) T fps_##name(struct fp_env *e, const union xmm *b);
FP_TO_INT(FP_DECLARE)
#undef FP_DECLARE

/* r = ±(x * y) ± z, lane by lane. A lane whose bit is set in NEG_PRODUCT or NEG_ADDEND negates that. The
 * first NaN in the order x, y, z decides. */
enum { FMA_X = 0, FMA_Y = 1, FMA_Z = 2 };
void fps_fma32(struct fp_env *e, u32 *r, u32 x, u32 y, u32 z, bool neg_product, bool neg_addend);
void fps_fma64(struct fp_env *e, u64 *r, u64 x, u64 y, u64 z, bool neg_product, bool neg_addend);

/* Rounds to an integral value: RC is the rounding mode, QUIET leaves PE alone (ROUNDPS and its like). */
u32 fps_round32(struct fp_env *e, u32 v, unsigned rc, bool quiet);
u64 fps_round64(struct fp_env *e, u64 v, unsigned rc, bool quiet);
/* Half precision. RC as above. DAZ does not apply to halves, FTZ not to results. */
u32 fps_half_to_single(struct fp_env *e, u16 v);
u16 fps_single_to_half(struct fp_env *e, u32 v, unsigned rc);

#if defined(__x86_64__) && !defined(TRINE_PORTABLE) /* a test builds the portable way on x86-64 */
#include "isa/fp_host_x86.h"
#define FP_HOST 1
#else
#define FP_HOST 0
#endif

/* Part of fp_begin. */
INLINE void fp_enter(const struct fp_env *e)
{
#if FP_HOST
    if (LIKELY(e->hard))
        fph_enter(e->csr);
#else
    (void)e;
#endif
}

INLINE void fp_begin(struct fp_env *e, u32 mxcsr)
{
    *e = (struct fp_env){.csr = mxcsr, .hard = FP_HOST && (mxcsr & MXCSR_MASKS) == MXCSR_MASKS};
    fp_enter(e);
}

/* For operations that only exist in software. */
INLINE void fp_begin_soft(struct fp_env *e, u32 mxcsr)
{
    *e = (struct fp_env){.csr = mxcsr};
}

/* The flags raised. In hard mode the sticky ones of before are among them. */
INLINE u32 fp_end(struct fp_env *e)
{
#if FP_HOST
    if (LIKELY(e->hard))
        return e->raised | fph_leave();
#endif
    return e->raised;
}

#if FP_HOST
#define FP_CALL(e, name, ...) (LIKELY((e)->hard) ? fph_##name(__VA_ARGS__) : fps_##name(e, __VA_ARGS__))
#else
#define FP_CALL(e, name, ...) fps_##name(e, __VA_ARGS__)
#endif
#define FP_DEFINE(name)                                                                                      \
    INLINE void fp_##name(struct fp_env *e, union xmm *r, const union xmm *a, const union xmm *b)            \
    {                                                                                                        \
        FP_CALL(e, name, r, a, b);                                                                           \
    }
FP_OPS(FP_DEFINE)
#undef FP_DEFINE
#define FP_DEFINE(name, T)                                                                                   \
    INLINE void fp_##name(struct fp_env *e, union xmm *r, const union xmm *a, T v)                           \
    {                                                                                                        \
        FP_CALL(e, name, r, a, v);                                                                           \
    }
FP_FROM_INT(FP_DEFINE)
#undef FP_DEFINE
#define FP_DEFINE(name, T)                                                                                   \
    INLINE T fp_##name(struct fp_env *e, const union xmm *b)                                                 \
    {                                                                                                        \
        return FP_CALL(e, name, b);                                                                          \
    }
FP_TO_INT(FP_DEFINE)
#undef FP_DEFINE

/* Approximations: no flags, DAZ and rounding have no effect. The host's own on x86-64; elsewhere correctly
 * rounded to 12 bits. */
void fp_rcpps(union xmm *r, const union xmm *b);
void fp_rsqrtps(union xmm *r, const union xmm *b);

#endif
