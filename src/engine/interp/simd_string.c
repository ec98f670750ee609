/* PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: the text instructions of SSE4.2. SDM vol. 1, 12.10 ff.; vol. 2,
 * section 4.1. */
#include "engine/interp/simd.h"

/* imm 1..0: the element's format; 3..2: aggregation; 5..4: polarity; 6: most significant index, or a mask of
 * lanes. */
enum {
    WORDS = 1,
    SIGNED = 2,
    AGGREGATION = 0xc,
    EQUAL_ANY = 0,
    RANGES = 4,
    EQUAL_EACH = 8,
    EQUAL_ORDERED = 0xc
};
enum { NEGATIVE = 0x10, MASKED = 0x20, MSB = 0x40, LANE_MASK = 0x40 };

static i32 element(const union xmm *s, unsigned k, unsigned imm)
{
    if (imm & WORDS)
        return imm & SIGNED ? s->sw[k] : s->w[k];
    return imm & SIGNED ? s->sb[k] : s->b[k];
}

/* Elements in front of the first null. */
static unsigned implicit_length(const union xmm *s, unsigned imm)
{
    unsigned n = imm & WORDS ? 8 : 16, k = 0;
    while (k < n && element(s, k, imm))
        k++;
    return k;
}

/* |EAX| or |RAX|, at most all. */
static unsigned explicit_length(u64 reg, bool is64, unsigned imm)
{
    i64 v = is64 ? (i64)reg : (i32)reg;
    u64 m = v < 0 ? 0 - (u64)v : (u64)v, n = imm & WORDS ? 8 : 16;
    return (unsigned)(m < n ? m : n);
}

/* IntRes1: bit j for element j of B. Elements behind the end compare as the aggregation says. */
static u32 aggregate(const union xmm *a, unsigned la, const union xmm *b, unsigned lb, unsigned imm)
{
    unsigned n = imm & WORDS ? 8 : 16;
    u32 res = 0;
    for (unsigned j = 0; j < n; j++) {
        bool hit = false;
        i32 y = j < lb ? element(b, j, imm) : 0;
        switch (imm & AGGREGATION) {
        case EQUAL_ANY:
            for (unsigned k = 0; k < la && j < lb && !hit; k++)
                hit = element(a, k, imm) == y;
            break;
        case RANGES:
            for (unsigned k = 0; k + 1 < la && j < lb && !hit; k += 2)
                hit = y >= element(a, k, imm) && y <= element(a, k + 1, imm);
            break;
        case EQUAL_EACH: hit = j < la && j < lb ? element(a, j, imm) == y : j >= la && j >= lb; break;
        default:
            hit = true;
            for (unsigned k = 0; k < la && j + k < n && hit; k++)
                hit = j + k < lb && element(a, k, imm) == element(b, j + k, imm);
            break;
        }
        res |= (u32)hit << j;
    }
    return res;
}

/* IntRes2 and the flags. */
static u32 compare(struct cpu *c, const union xmm *a, unsigned la, const union xmm *b, unsigned lb,
                   unsigned imm)
{
    unsigned n = imm & WORDS ? 8 : 16;
    u32 res = aggregate(a, la, b, lb, imm);
    if (imm & NEGATIVE)
        res ^= imm & MASKED ? (1u << lb) - 1 : (1u << n) - 1;
    flags_load(&c->fl, (res ? RFLAGS_CF : 0) | (lb < n ? RFLAGS_ZF : 0) | (la < n ? RFLAGS_SF : 0) |
                           (res & 1 ? RFLAGS_OF : 0));
    return res;
}

static void put_index(struct cpu *c, u32 res, unsigned imm)
{
    unsigned n = imm & WORDS ? 8 : 16;
    c->gpr[RCX].q = !res ? n : imm & MSB ? 31u - (unsigned)__builtin_clz(res) : (unsigned)__builtin_ctz(res);
}

static void put_mask(struct cpu *c, u32 res, unsigned imm)
{
    union xmm r = {{0}};
    if (!(imm & LANE_MASK)) {
        r.q[0] = res;
    } else if (imm & WORDS) {
        for (unsigned k = 0; k < 8; k++)
            r.w[k] = (u16)(0 - (res >> k & 1));
    } else {
        for (unsigned k = 0; k < 16; k++)
            r.b[k] = (u8)(0 - (res >> k & 1));
    }
    *XMM(c, 0) = r;
}

static void pcmpstr(struct cpu *c, const struct insn *i, const union xmm *b, bool lengths, bool mask)
{
    const union xmm *a = XMM(c, i->rd);
    unsigned imm = (u8)i->imm;
    bool is64 = i->flags & INSN_REX_W;
    unsigned la = lengths ? explicit_length(c->gpr[RAX].q, is64, imm) : implicit_length(a, imm);
    unsigned lb = lengths ? explicit_length(c->gpr[RDX].q, is64, imm) : implicit_length(b, imm);
    u32 res = compare(c, a, la, b, lb, imm);
    if (mask)
        put_mask(c, res, imm);
    else
        put_index(c, res, imm);
}

/* The memory operand need not be aligned, even in the legacy forms. */
#define PCMPSTR(OP, check, after, lengths, mask)                                                             \
    SIMD_HANDLER(h_##OP##_rr)                                                                                \
    {                                                                                                        \
        CHECK(check);                                                                                        \
        pcmpstr(c, i, XMM(c, i->rs), lengths, mask);                                                         \
        after;                                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_##OP##_rm)                                                                                \
    {                                                                                                        \
        union xmm m;                                                                                         \
        CHECK(check);                                                                                        \
        TRY(c, i, simd_load(c, i, &m, 16));                                                                  \
        pcmpstr(c, i, &m, lengths, mask);                                                                    \
        after;                                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, h_##OP##_rm})
PCMPSTR(PCMPESTRI, sse, (void)0, true, false)
PCMPSTR(PCMPESTRM, sse, (void)0, true, true)
PCMPSTR(PCMPISTRI, sse, (void)0, false, false)
PCMPSTR(PCMPISTRM, sse, (void)0, false, true)
PCMPSTR(VPCMPESTRI, avx, (void)0, true, false)
PCMPSTR(VPCMPESTRM, avx, avx_zero_upper(c, 0), true, true)
PCMPSTR(VPCMPISTRI, avx, (void)0, false, false)
PCMPSTR(VPCMPISTRM, avx, avx_zero_upper(c, 0), false, true)
