/* Floating point in integers (isa/fp_soft.c) against the host's instructions (isa/fp_host_x86.h): every
 * operation, under all rounding modes with and without DAZ and FTZ, on random and boundary operands; results
 * and flags. FMA and half precision against the host's own too, where it has them.
 *
 *     fp_soft [rounds [seed]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa/fp.h"

static u64 next(u64 *s)
{
    u64 z = *s += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Exponents near each other, near the ends, or anywhere; fractions sparse or full. */
static u64 number(u64 *s, unsigned mant, unsigned exps)
{
    u64 r = next(s), frac = next(s) & ((1ull << mant) - 1), exp;
    u64 last = (1ull << exps) - 1;
    switch (r & 7) {
    case 0: exp = 0; break;
    case 1: exp = last; break;
    case 2: exp = 1 + (r >> 8) % 3; break;
    case 3: exp = last - 1 - (r >> 8) % 3; break;
    case 4: exp = (r >> 8) & last; break;
    default: exp = last / 2 + (r >> 8) % 70 - 35; break;
    }
    switch (r >> 3 & 7) {
    case 0: frac = 0; break;
    case 1: frac = (1ull << mant) - 1; break;
    case 2: frac &= frac << 1 & frac << 7; break;
    case 3: frac &= ~0ull << (mant / 2); break;
    case 4: frac = r & 64 ? 1 : 1ull << (mant - 1); break;
    default: break;
    }
    return (r >> 63) << (mant + exps) | exp << mant | frac;
}

static u64 single_pair(u64 *s)
{
    u64 low = number(s, 23, 8);
    return low | number(s, 23, 8) << 32;
}

static unsigned failures;

static void differ(const char *name, u32 csr, const union xmm *a, const union xmm *b, const union xmm *soft,
                   u32 soft_flags, const union xmm *hard, u32 hard_flags)
{
    if (failures++ > 20)
        return;
    printf("%s, mxcsr %#x: a %016llx_%016llx b %016llx_%016llx\n  soft %016llx_%016llx flags %#x\n  hard "
           "%016llx_%016llx flags %#x\n",
           name, csr, (unsigned long long)a->q[1], (unsigned long long)a->q[0], (unsigned long long)b->q[1],
           (unsigned long long)b->q[0], (unsigned long long)soft->q[1], (unsigned long long)soft->q[0],
           soft_flags, (unsigned long long)hard->q[1], (unsigned long long)hard->q[0], hard_flags);
}

static void compare(const char *name, u32 csr, const union xmm *a, const union xmm *b, const union xmm *soft,
                    u32 soft_flags, const union xmm *hard, u32 hard_flags)
{
    if (soft_flags != hard_flags || memcmp(soft, hard, 16) != 0)
        differ(name, csr, a, b, soft, soft_flags, hard, hard_flags);
}

#if FP_HOST
static void each_operation(u32 csr, const union xmm *a, const union xmm *b)
{
    union xmm soft, hard;
    struct fp_env e;
    u32 flags;
#define RUN(name, soft_call, hard_call)                                                                      \
    soft = hard = (union xmm){{0}};                                                                          \
    e = (struct fp_env){.csr = csr};                                                                         \
    soft_call;                                                                                               \
    fph_enter(csr);                                                                                          \
    hard_call;                                                                                               \
    flags = fph_leave();                                                                                     \
    compare(name, csr, a, b, &soft, e.raised, &hard, flags);
#define TWO(name) RUN(#name, fps_##name(&e, &soft, a, b), fph_##name(&hard, a, b))
    FP_OPS(TWO)
#define FROM(name, T) RUN(#name, fps_##name(&e, &soft, a, (T)b->q[0]), fph_##name(&hard, a, (T)b->q[0]))
    FP_FROM_INT(FROM)
#define TO(name, T) RUN(#name, soft.q[0] = fps_##name(&e, b), hard.q[0] = fph_##name(b))
    FP_TO_INT(TO)
}

#define FMA(name, insn, width, f, lanes, order, np, na)                                                      \
    static void name(u32 csr, const union xmm *d, const union xmm *s2, const union xmm *s3)                  \
    {                                                                                                        \
        union xmm soft = *d, hard = *d;                                                                      \
        struct fp_env e = {.csr = csr};                                                                      \
        const union xmm *r = d;                                                                              \
        for (unsigned k = 0; k < (lanes); k++)                                                               \
            fps_fma##width(&e, &soft.f[k], order(f, k), np, na);                                             \
        fph_enter(csr);                                                                                      \
        fph_vector v = *(const fph_vector *)d, w = *(const fph_vector *)s2;                                  \
        __asm__ volatile(insn " %2, %1, %0" : "+x"(v) : "x"(w), "m"(*s3));                                   \
        *(fph_vector *)&hard = v;                                                                            \
        u32 flags = fph_leave();                                                                             \
        compare(insn, csr, d, s3, &soft, e.raised, &hard, flags);                                            \
    }
/* The orders of avx_fma.c. */
#define ORDER_132(f, k) r->f[k], s3->f[k], s2->f[k]
#define ORDER_213(f, k) s2->f[k], r->f[k], s3->f[k]
#define ORDER_231(f, k) s2->f[k], s3->f[k], r->f[k]
FMA(fma_132ps, "vfmadd132ps", 32, d, 4, ORDER_132, false, false)
FMA(fma_213ps, "vfnmadd213ps", 32, d, 4, ORDER_213, true, false)
FMA(fma_231ps, "vfmsub231ps", 32, d, 4, ORDER_231, false, true)
FMA(fma_132pd, "vfnmsub132pd", 64, q, 2, ORDER_132, true, true)
FMA(fma_213pd, "vfmadd213pd", 64, q, 2, ORDER_213, false, false)
FMA(fma_231pd, "vfmaddsub231pd", 64, q, 2, ORDER_231, false, !(k & 1))

static void halves(u32 csr, const union xmm *a, const union xmm *b)
{
    union xmm soft = {{0}}, hard;
    struct fp_env e = {.csr = csr};
    for (unsigned k = 0; k < 4; k++)
        soft.d[k] = fps_half_to_single(&e, b->w[k]);
    fph_enter(csr);
    fph_vector v;
    __asm__ volatile("vcvtph2ps %1, %0" : "=x"(v) : "m"(b->q[0]));
    *(fph_vector *)&hard = v;
    u32 flags = fph_leave();
    compare("vcvtph2ps", csr, a, b, &soft, e.raised, &hard, flags);

    soft = (union xmm){{0}};
    e = (struct fp_env){.csr = csr};
    for (unsigned k = 0; k < 4; k++)
        soft.w[k] = fps_single_to_half(&e, a->d[k], (csr & MXCSR_RC) >> MXCSR_RC_SHIFT);
    fph_enter(csr);
    v = *(const fph_vector *)a;
    __asm__ volatile("vcvtps2ph $4, %0, %0" : "+x"(v));
    *(fph_vector *)&hard = v;
    flags = fph_leave();
    compare("vcvtps2ph", csr, a, b, &soft, e.raised, &hard, flags);
}

static void rounding(u32 csr, const union xmm *a, const union xmm *b)
{
    union xmm soft, hard;
    struct fp_env e = {.csr = csr};
    unsigned rc = (csr & MXCSR_RC) >> MXCSR_RC_SHIFT;
    for (unsigned k = 0; k < 4; k++)
        soft.d[k] = fps_round32(&e, b->d[k], rc, false);
    fph_enter(csr);
    fph_vector v;
    __asm__ volatile("roundps $4, %1, %0" : "=x"(v) : "m"(*b));
    *(fph_vector *)&hard = v;
    u32 flags = fph_leave();
    compare("roundps", csr, a, b, &soft, e.raised, &hard, flags);
    e = (struct fp_env){.csr = csr};
    for (unsigned k = 0; k < 2; k++)
        soft.q[k] = fps_round64(&e, b->q[k], rc, true);
    fph_enter(csr);
    __asm__ volatile("roundpd $12, %1, %0" : "=x"(v) : "m"(*b));
    *(fph_vector *)&hard = v;
    flags = fph_leave();
    compare("roundpd", csr, a, b, &soft, e.raised, &hard, flags);
}

int main(int argc, char **argv)
{
    u64 rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000, s = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    bool fma = __builtin_cpu_supports("fma"),
         f16c = __builtin_cpu_supports("avx2"); /* F16C came with or before AVX2 */
    for (u64 k = 0; k < rounds; k++) {
        union xmm v[3];
        for (unsigned j = 0; j < 3; j++)
            for (unsigned h = 0; h < 2; h++)
                v[j].q[h] = k & 1 ? number(&s, 52, 11) : single_pair(&s);
        u32 csr = MXCSR_MASKS | (u32)(k >> 1 & 7) << 13 | (k >> 4 & 1 ? MXCSR_DAZ : 0);
        each_operation(csr, &v[0], &v[1]);
        if (fma && k & 1) {
            fma_132pd(csr, &v[0], &v[1], &v[2]);
            fma_213pd(csr, &v[0], &v[1], &v[2]);
            fma_231pd(csr, &v[0], &v[1], &v[2]);
        } else if (fma) {
            fma_132ps(csr, &v[0], &v[1], &v[2]);
            fma_213ps(csr, &v[0], &v[1], &v[2]);
            fma_231ps(csr, &v[0], &v[1], &v[2]);
        }
        if (f16c)
            halves(csr, &v[0], &v[1]);
        if (__builtin_cpu_supports("sse4.1"))
            rounding(csr, &v[0], &v[1]);
    }
    printf("%llu rounds, %u differences%s\n", (unsigned long long)rounds, failures,
           fma ? "" : ", FMA skipped");
    return failures != 0;
}
#else
int main(void)
{
    printf("no host arithmetic to compare with\n");
    return 77;
}
#endif
