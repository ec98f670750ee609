/* RCPPS and RSQRTPS. Their results are the processor's own (relative error below 1.5 * 2^-12): on x86-64 the
 * host's instruction; elsewhere the quotient in double precision cut to 12 bits. No flags; a denormal source
 * counts as zero, a denormal result is zero. */
#include "isa/fp.h"

#if FP_HOST
void fp_rcpps(union xmm *r, const union xmm *b)
{
    fph_vector v;
    __asm__("rcpps %1, %0" : "=x"(v) : "m"(*b));
    *(fph_vector *)r = v;
}

void fp_rsqrtps(union xmm *r, const union xmm *b)
{
    fph_vector v;
    __asm__("rsqrtps %1, %0" : "=x"(v) : "m"(*b));
    *(fph_vector *)r = v;
}
#else
#define SIGN  0x80000000u
#define INF   0x7f800000u
#define QUIET 0x00400000u
#define LEAST 0x00800000u

/* The bits of X / Y with 12 bits of fraction, by the exact division and root of fp_soft.c. */
static u32 quotient(u32 x, u32 y)
{
    struct fp_env e = {.csr = MXCSR_DEFAULT | MXCSR_FTZ};
    union xmm r, a = {.d = {x}}, b = {.d = {y}};
    fps_divss(&e, &r, &a, &b);
    return (r.d[0] + 0x400) & ~0x7ffu;
}

static u32 reciprocal(u32 v)
{
    u32 m = v & ~SIGN;
    if (m > INF)
        return v | QUIET;
    if (m < LEAST)
        return (v & SIGN) | INF;
    return m == INF ? v & SIGN : quotient(0x3f800000, v);
}

static u32 reciprocal_root(u32 v)
{
    u32 m = v & ~SIGN;
    if (m > INF)
        return v | QUIET;
    if (m < LEAST)
        return (v & SIGN) | INF;
    if (v & SIGN)
        return SIGN | INF | QUIET;
    if (m == INF)
        return 0;
    struct fp_env e = {.csr = MXCSR_DEFAULT};
    union xmm r, b = {.d = {v}};
    fps_sqrtss(&e, &r, &b, &b);
    return quotient(0x3f800000, r.d[0]);
}

void fp_rcpps(union xmm *r, const union xmm *b)
{
    for (unsigned k = 0; k < 4; k++)
        r->d[k] = reciprocal(b->d[k]);
}

void fp_rsqrtps(union xmm *r, const union xmm *b)
{
    for (unsigned k = 0; k < 4; k++)
        r->d[k] = reciprocal_root(b->d[k]);
}
#endif
