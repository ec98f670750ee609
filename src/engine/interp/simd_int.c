/* Packed integer arithmetic and comparison: add, subtract, saturate, average, minimum, maximum, absolute
 * value, sign, multiply, sums. SDM vol. 2, chapter 4. */
#include "engine/interp/simd.h"

INLINE i32 clamp(i32 v, i32 low, i32 high)
{
    return v < low ? low : v > high ? high : v;
}
INLINE i32 sat8(i32 v)
{
    return clamp(v, -0x80, 0x7f);
}
INLINE i32 sat16(i32 v)
{
    return clamp(v, -0x8000, 0x7fff);
}
INLINE i32 satu8(i32 v)
{
    return clamp(v, 0, 0xff);
}
INLINE i32 satu16(i32 v)
{
    return clamp(v, 0, 0xffff);
}

LANES(paddb, u8, b, x + y)
LANES(paddw, u16, w, x + y)
LANES(paddd, u32, d, x + y)
LANES(paddq, u64, q, x + y)
LANES(psubb, u8, b, x - y)
LANES(psubw, u16, w, x - y)
LANES(psubd, u32, d, x - y)
LANES(psubq, u64, q, x - y)
LANES(paddsb, i8, sb, sat8(x + y))
LANES(paddsw, i16, sw, sat16(x + y))
LANES(paddusb, u8, b, satu8(x + y))
LANES(paddusw, u16, w, satu16(x + y))
LANES(psubsb, i8, sb, sat8(x - y))
LANES(psubsw, i16, sw, sat16(x - y))
LANES(psubusb, u8, b, satu8(x - y))
LANES(psubusw, u16, w, satu16(x - y))
SIMD_OP_MMX(PADDB, paddb, 8)
SIMD_OP_MMX(PADDW, paddw, 8)
SIMD_OP_MMX(PADDD, paddd, 8)
SIMD_OP_MMX(PADDQ, paddq, 8)
SIMD_OP_MMX(PSUBB, psubb, 8)
SIMD_OP_MMX(PSUBW, psubw, 8)
SIMD_OP_MMX(PSUBD, psubd, 8)
SIMD_OP_MMX(PSUBQ, psubq, 8)
SIMD_OP_MMX(PADDSB, paddsb, 8)
SIMD_OP_MMX(PADDSW, paddsw, 8)
SIMD_OP_MMX(PADDUSB, paddusb, 8)
SIMD_OP_MMX(PADDUSW, paddusw, 8)
SIMD_OP_MMX(PSUBSB, psubsb, 8)
SIMD_OP_MMX(PSUBSW, psubsw, 8)
SIMD_OP_MMX(PSUBUSB, psubusb, 8)
SIMD_OP_MMX(PSUBUSW, psubusw, 8)

LANES(pcmpeqb, u8, b, -(x == y))
LANES(pcmpeqw, u16, w, -(x == y))
LANES(pcmpeqd, u32, d, -(x == y))
LANES(pcmpeqq, u64, q, -(u64)(x == y))
LANES(pcmpgtb, i8, sb, -(x > y))
LANES(pcmpgtw, i16, sw, -(x > y))
LANES(pcmpgtd, i32, sd, -(x > y))
LANES(pcmpgtq, i64, sq, -(i64)(x > y))
SIMD_OP_MMX(PCMPEQB, pcmpeqb, 8)
SIMD_OP_MMX(PCMPEQW, pcmpeqw, 8)
SIMD_OP_MMX(PCMPEQD, pcmpeqd, 8)
SIMD_OP(PCMPEQQ, pcmpeqq)
SIMD_OP_MMX(PCMPGTB, pcmpgtb, 8)
SIMD_OP_MMX(PCMPGTW, pcmpgtw, 8)
SIMD_OP_MMX(PCMPGTD, pcmpgtd, 8)
SIMD_OP(PCMPGTQ, pcmpgtq)

LANES(pavgb, u8, b, (x + y + 1) >> 1)
LANES(pavgw, u16, w, (x + y + 1) >> 1)
LANES(pminub, u8, b, x < y ? x : y)
LANES(pminuw, u16, w, x < y ? x : y)
LANES(pminud, u32, d, x < y ? x : y)
LANES(pminsb, i8, sb, x < y ? x : y)
LANES(pminsw, i16, sw, x < y ? x : y)
LANES(pminsd, i32, sd, x < y ? x : y)
LANES(pmaxub, u8, b, x > y ? x : y)
LANES(pmaxuw, u16, w, x > y ? x : y)
LANES(pmaxud, u32, d, x > y ? x : y)
LANES(pmaxsb, i8, sb, x > y ? x : y)
LANES(pmaxsw, i16, sw, x > y ? x : y)
LANES(pmaxsd, i32, sd, x > y ? x : y)
SIMD_OP_MMX(PAVGB, pavgb, 8)
SIMD_OP_MMX(PAVGW, pavgw, 8)
SIMD_OP_MMX(PMINUB, pminub, 8)
SIMD_OP(PMINUW, pminuw)
SIMD_OP(PMINUD, pminud)
SIMD_OP(PMINSB, pminsb)
SIMD_OP_MMX(PMINSW, pminsw, 8)
SIMD_OP(PMINSD, pminsd)
SIMD_OP_MMX(PMAXUB, pmaxub, 8)
SIMD_OP(PMAXUW, pmaxuw)
SIMD_OP(PMAXUD, pmaxud)
SIMD_OP(PMAXSB, pmaxsb)
SIMD_OP_MMX(PMAXSW, pmaxsw, 8)
SIMD_OP(PMAXSD, pmaxsd)

LANES(pabsb, u8, b, y & 0x80 ? 0 - y : y)
LANES(pabsw, u16, w, y & 0x8000 ? 0 - y : y)
LANES(pabsd, u32, d, y & 0x80000000 ? 0 - y : y)
LANES(psignb, u8, b, (i8)y < 0 ? 0 - x : y ? x : 0)
LANES(psignw, u16, w, (i16)y < 0 ? 0 - x : y ? x : 0)
LANES(psignd, u32, d, (i32)y < 0 ? 0 - x : y ? x : 0)
SIMD_OP_MMX(PABSB, pabsb, 8)
SIMD_OP_MMX(PABSW, pabsw, 8)
SIMD_OP_MMX(PABSD, pabsd, 8)
SIMD_OP_MMX(PSIGNB, psignb, 8)
SIMD_OP_MMX(PSIGNW, psignw, 8)
SIMD_OP_MMX(PSIGND, psignd, 8)

/* Multiplication. */
LANES(pmullw, u16, w, x *(u32)y)
LANES(pmulhw, i16, sw, (x * y) >> 16)
LANES(pmulhuw, u16, w, ((u32)x * y) >> 16)
LANES(pmulhrsw, i16, sw, ((x * y >> 14) + 1) >> 1)
LANES(pmulld, u32, d, (x) * (y))
LANES(pmuludq, u64, q, (u64)(u32)x *(u32)y)
LANES(pmuldq, i64, sq, (i64)(i32)x *(i32)y)
SIMD_OP_MMX(PMULLW, pmullw, 8)
SIMD_OP_MMX(PMULHW, pmulhw, 8)
SIMD_OP_MMX(PMULHUW, pmulhuw, 8)
SIMD_OP_MMX(PMULHRSW, pmulhrsw, 8)
SIMD_OP(PMULLD, pmulld)
SIMD_OP_MMX(PMULUDQ, pmuludq, 8)
SIMD_OP(PMULDQ, pmuldq)

/* The sum of both products wraps in one case only: all four factors -0x8000. */
KERNEL(pmaddwd)
{
    for (unsigned k = 0; k < n / 4; k++)
        r->d[k] = (u32)(a->sw[2 * k] * b->sw[2 * k]) + (u32)(a->sw[2 * k + 1] * b->sw[2 * k + 1]);
}
SIMD_OP_MMX(PMADDWD, pmaddwd, 8)

KERNEL(pmaddubsw)
{
    for (unsigned k = 0; k < n / 2; k++)
        r->sw[k] = (i16)sat16(a->b[2 * k] * b->sb[2 * k] + a->b[2 * k + 1] * b->sb[2 * k + 1]);
}
SIMD_OP_MMX(PMADDUBSW, pmaddubsw, 8)

KERNEL(psadbw)
{
    for (unsigned h = 0; h < n / 8; h++) {
        u32 sum = 0;
        for (unsigned k = 8 * h; k < 8 * h + 8; k++)
            sum += (u32)(a->b[k] > b->b[k] ? a->b[k] - b->b[k] : b->b[k] - a->b[k]);
        r->q[h] = sum;
    }
}
SIMD_OP_MMX(PSADBW, psadbw, 8)

/* Sums of absolute differences of one block of four bytes of B with eight sliding ones of A; imm 1..0: B's
 * block, 2: A's offset. */
KERNEL(mpsadbw)
{
    unsigned block = 4 * (imm & 3), off = imm & 4;
    for (unsigned k = 0; k < 8; k++) {
        u32 sum = 0;
        for (unsigned j = 0; j < 4; j++) {
            i32 d = a->b[off + k + j] - b->b[block + j];
            sum += (u32)(d < 0 ? -d : d);
        }
        r->w[k] = (u16)sum;
    }
}
SIMD_OP_IMM(MPSADBW, mpsadbw, 3)

/* Horizontal: sums of neighbours, A's first. */
#define HORIZONTAL(name, f, T, expr)                                                                         \
    KERNEL(name)                                                                                             \
    {                                                                                                        \
        unsigned half = n / sizeof(T) / 2;                                                                   \
        for (unsigned k = 0; k < half; k++) {                                                                \
            T x = a->f[2 * k], y = a->f[2 * k + 1];                                                          \
            r->f[k] = (T)(expr);                                                                             \
            x = b->f[2 * k], y = b->f[2 * k + 1];                                                            \
            r->f[half + k] = (T)(expr);                                                                      \
        }                                                                                                    \
    }
HORIZONTAL(phaddw, w, u16, x + y)
HORIZONTAL(phaddd, d, u32, x + y)
HORIZONTAL(phaddsw, sw, i16, sat16(x + y))
HORIZONTAL(phsubw, w, u16, x - y)
HORIZONTAL(phsubd, d, u32, x - y)
HORIZONTAL(phsubsw, sw, i16, sat16(x - y))
SIMD_OP_MMX(PHADDW, phaddw, 8)
SIMD_OP_MMX(PHADDD, phaddd, 8)
SIMD_OP_MMX(PHADDSW, phaddsw, 8)
SIMD_OP_MMX(PHSUBW, phsubw, 8)
SIMD_OP_MMX(PHSUBD, phsubd, 8)
SIMD_OP_MMX(PHSUBSW, phsubsw, 8)

/* The smallest of eight words and its first place. */
KERNEL(phminposuw)
{
    unsigned at = 0;
    for (unsigned k = 1; k < 8; k++)
        if (b->w[k] < b->w[at])
            at = k;
    r->q[0] = b->w[at] | at << 16;
    r->q[1] = 0;
}
SIMD_OP(PHMINPOSUW, phminposuw)
