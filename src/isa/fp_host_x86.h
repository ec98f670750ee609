/* isa/fp.h on x86-64: the very instruction that the guest asked for, in inline assembly, so that the compiler
 * can neither swap operands nor fold constants. Runs with every exception masked. Needs SSE3, which every
 * x86-64 host of the last twenty years has. */
#ifndef ISA_FP_HOST_X86_H
#define ISA_FP_HOST_X86_H

typedef float fph_vector __attribute__((vector_size(16), may_alias));

/* Makes MXCSR the host's, sticky flags included. STMXCSR and a compare are cheaper than an LDMXCSR that the
 * next STMXCSR waits for. */
INLINE void fph_enter(u32 csr)
{
    u32 now;
    csr &= MXCSR_MASK; /* a snapshot could hold anything; LDMXCSR would fault */
    __asm__ volatile("stmxcsr %0" : "=m"(now));
    if (UNLIKELY(now != csr))
        __asm__ volatile("ldmxcsr %0" : : "m"(csr));
}

/* The flags; the monitor's own code goes on with rounding, FTZ and DAZ as C wants them. */
INLINE u32 fph_leave(void)
{
    u32 now;
    __asm__ volatile("stmxcsr %0" : "=m"(now));
    if (UNLIKELY(now & (MXCSR_RC | MXCSR_FTZ | MXCSR_DAZ))) {
        u32 host = MXCSR_DEFAULT;
        __asm__ volatile("ldmxcsr %0" : : "m"(host));
    }
    return now & MXCSR_FLAGS;
}

/* PART: the operand that the instruction reads. */
#define FPH(name, part)                                                                                      \
    INLINE void fph_##name(union xmm *r, const union xmm *a, const union xmm *b)                             \
    {                                                                                                        \
        fph_vector v = *(const fph_vector *)a;                                                               \
        __asm__ volatile(#name " %1, %0" : "+x"(v) : "m"(part));                                             \
        *(fph_vector *)r = v;                                                                                \
    }
#define FPH_PACKED(name) FPH(name, *b)
#define FPH_4(name)      FPH(name, b->d[0])
#define FPH_8(name)      FPH(name, b->q[0])
FPH_PACKED(addps)
FPH_PACKED(addpd)
FPH_4(addss)
FPH_8(addsd)
FPH_PACKED(subps) FPH_PACKED(subpd) FPH_4(subss) FPH_8(subsd) FPH_PACKED(mulps) FPH_PACKED(mulpd) FPH_4(mulss)
    FPH_8(mulsd) FPH_PACKED(divps) FPH_PACKED(divpd) FPH_4(divss) FPH_8(divsd) FPH_PACKED(sqrtps) FPH_PACKED(
        sqrtpd) FPH_4(sqrtss) FPH_8(sqrtsd) FPH_PACKED(haddps) FPH_PACKED(haddpd) FPH_PACKED(hsubps)
        FPH_PACKED(hsubpd) FPH_PACKED(addsubps) FPH_PACKED(addsubpd) FPH_PACKED(cvtdq2ps) FPH_PACKED(cvtps2dq)
            FPH_PACKED(cvttps2dq) FPH_8(cvtdq2pd) FPH_PACKED(cvtpd2dq) FPH_PACKED(cvttpd2dq) FPH_8(cvtps2pd)
                FPH_PACKED(cvtpd2ps) FPH_4(cvtss2sd) FPH_8(cvtsd2ss)

#define FPH_FROM_INT(name, insn, T)                                                                          \
    INLINE void fph_##name(union xmm *r, const union xmm *a, T i)                                            \
    {                                                                                                        \
        fph_vector v = *(const fph_vector *)a;                                                               \
        __asm__ volatile(insn " %1, %0" : "+x"(v) : "r"(i));                                                 \
        *(fph_vector *)r = v;                                                                                \
    }
                    FPH_FROM_INT(cvtsi2ss32, "cvtsi2ssl", i32) FPH_FROM_INT(cvtsi2ss64, "cvtsi2ssq", i64)
                        FPH_FROM_INT(cvtsi2sd32, "cvtsi2sdl", i32) FPH_FROM_INT(cvtsi2sd64, "cvtsi2sdq", i64)

#define FPH_TO_INT(name, insn, T, part)                                                                      \
    INLINE T fph_##name(const union xmm *b)                                                                  \
    {                                                                                                        \
        T v;                                                                                                 \
        __asm__ volatile(insn " %1, %0" : "=r"(v) : "m"(part));                                              \
        return v;                                                                                            \
    }
                            FPH_TO_INT(cvtss2si32, "cvtss2si", u32, b->d[0])
                                FPH_TO_INT(cvtss2si64, "cvtss2si", u64, b->d[0])
                                    FPH_TO_INT(cvtsd2si32, "cvtsd2si", u32, b->q[0])
                                        FPH_TO_INT(cvtsd2si64, "cvtsd2si", u64, b->q[0])
                                            FPH_TO_INT(cvttss2si32, "cvttss2si", u32, b->d[0])
                                                FPH_TO_INT(cvttss2si64, "cvttss2si", u64, b->d[0])
                                                    FPH_TO_INT(cvttsd2si32, "cvttsd2si", u32, b->q[0])
                                                        FPH_TO_INT(cvttsd2si64, "cvttsd2si", u64, b->q[0])

#endif
