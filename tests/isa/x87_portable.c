/* The portable x87 arithmetic against the host's x87: the same random operands and control words. What IEEE
 * 754 defines must agree bit by bit; transcendental functions in their special cases, and else in nearly all
 * bits. */
#if !defined(__x86_64__)
#include <stdio.h>
int main(void)
{
    puts("the host has no x87");
    return 77;
}
#else
#include "../unit/check.h"

/* The portable functions under names of their own, beside the library's. */
#define x87_add    portable_add
#define x87_sub    portable_sub
#define x87_mul    portable_mul
#define x87_div    portable_div
#define x87_scale  portable_scale
#define x87_prem   portable_prem
#define x87_prem1  portable_prem1
#define x87_patan  portable_patan
#define x87_yl2x   portable_yl2x
#define x87_yl2xp1 portable_yl2xp1
#define x87_sqrt   portable_sqrt
#define x87_rndint portable_rndint
#define x87_2xm1   portable_2xm1
#define x87_sin    portable_sin
#define x87_cos    portable_cos
#define x87_ptan   portable_ptan
#define x87_sincos portable_sincos
#define x87_to_f32 portable_to_f32
#define x87_to_f64 portable_to_f64
#define x87_to_i64 portable_to_i64
#include "../../src/isa/x87_host_portable.c"
#undef x87_add
#undef x87_sub
#undef x87_mul
#undef x87_div
#undef x87_scale
#undef x87_prem
#undef x87_prem1
#undef x87_patan
#undef x87_yl2x
#undef x87_yl2xp1
#undef x87_sqrt
#undef x87_rndint
#undef x87_2xm1
#undef x87_sin
#undef x87_cos
#undef x87_ptan
#undef x87_sincos
#undef x87_to_f32
#undef x87_to_f64
#undef x87_to_i64
x87_binary x87_add, x87_sub, x87_mul, x87_div, x87_scale, x87_prem, x87_prem1, x87_patan, x87_yl2x,
    x87_yl2xp1;
x87_unary x87_sqrt, x87_rndint, x87_2xm1, x87_sin, x87_cos;
u16 x87_ptan(u16 cw, u16 sticky, struct f80 *r, struct f80 *top, const struct f80 *a);
u16 x87_sincos(u16 cw, u16 sticky, struct f80 *r, struct f80 *top, const struct f80 *a);
u16 x87_to_f32(u16 cw, u16 sticky, u32 *r, const struct f80 *a);
u16 x87_to_f64(u16 cw, u16 sticky, u64 *r, const struct f80 *a);
u16 x87_to_i64(u16 cw, u16 sticky, i64 *r, const struct f80 *a);

static u64 draw(u64 *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * 0x2545f4914f6cdd1d;
}

static unsigned below(u64 *seed, unsigned n)
{
    return (unsigned)((draw(seed) >> 32) % n);
}

static struct f80 draw_f80(u64 *seed)
{
    u64 man = draw(seed) | F80_INTEGER;
    unsigned exp = F80_BIAS - 40 + below(seed, 80);
    switch (below(seed, 16)) {
    case 0: man = 0, exp = 0; break;
    case 1: man = F80_INTEGER, exp = F80_EXP; break;
    case 2: exp = F80_EXP, man &= ~((draw(seed) & 1) << 62); break;
    case 3: exp = 0, man &= ~F80_INTEGER >> below(seed, 60); break;
    case 4: exp = 0; break;
    case 5: man &= ~F80_INTEGER; break;
    case 6: man &= ~0ull << below(seed, 64); break;
    case 7: exp = 1 + below(seed, 70); break;
    case 8: exp = F80_EXP - 1 - below(seed, 70); break;
    case 9: man = ~0ull << below(seed, 64); break;
    case 10: exp = F80_BIAS - 1080 + below(seed, 70); break;
    case 11: exp = F80_BIAS + 1015 + below(seed, 12); break;
    case 12: exp = F80_BIAS - 155 + below(seed, 40); break;
    case 13: exp = F80_BIAS + 120 + below(seed, 12); break;
    case 14: exp = F80_BIAS - 2 + below(seed, 4); break;
    default: break;
    }
    return (struct f80){.man = man, .se = (u16)(exp | (draw(seed) & 1 ? F80_SIGN : 0))};
}

static void report(const char *name, u16 cw, const struct f80 *a, const struct f80 *b, const struct f80 *host,
                   u16 host_sw, const struct f80 *ours, u16 our_sw)
{
    check_failures++;
    if (check_failures < 20)
        fprintf(stderr,
                "%s cw %03x  %04x:%016llx  %04x:%016llx\n  host %04x:%016llx sw %04x\n  ours %04x:%016llx sw "
                "%04x\n",
                name, cw, a->se, (unsigned long long)a->man, b->se, (unsigned long long)b->man, host->se,
                (unsigned long long)host->man, host_sw, ours->se, (unsigned long long)ours->man, our_sw);
}

/* How two results are compared. */
enum exactness { EXACT, CLOSE };

static bool agree(enum exactness how, const struct f80 *a, const struct f80 *b)
{
    /* Numbers of one sign, counted from zero. */
    i128 na = (i128)(a->se & F80_EXP) << 63 | (i128)(a->man & ~F80_INTEGER);
    i128 nb = (i128)(b->se & F80_EXP) << 63 | (i128)(b->man & ~F80_INTEGER);
    i128 d = na > nb ? na - nb : nb - na;
    return (a->man == b->man && a->se == b->se) ||
           (how == CLOSE && !((a->se ^ b->se) & F80_SIGN) && d < 1 << 12);
}

static u16 draw_cw(u64 *seed)
{
    u16 cw = FCW_INIT;
    if (draw(seed) & 1)
        cw = (u16)((cw & ~FCW_RC) | (draw(seed) & FCW_RC));
    if (below(seed, 3) == 0)
        cw = (u16)((cw & ~FCW_PC) | below(seed, 2) * 0x200); /* 24 or 53 bits */
    if (below(seed, 4) == 0)
        cw &= (u16)(draw(seed) | ~(u64)(FSW_OE | FSW_UE));
    return cw;
}

static void clean(void)
{
    __asm__ volatile("fnclex");
}

/* AMD reports an unmasked underflow for every tiny result of these three, and scales it; Intel, and the portable
 * code, only when the operation made it tiny. */
static bool amd_scales(const char *name, u16 cw, const struct f80 *r)
{
    bool moves = !strcmp(name, "scale") || !strcmp(name, "prem") || !strcmp(name, "prem1");
    return moves && !(cw & FSW_UE) && f80_classify(r) == F80_DENORMAL && __builtin_cpu_is("amd");
}

static void test_binary(u64 *seed, unsigned rounds, const char *name, x87_binary *host, x87_binary *ours,
                        u16 cc, enum exactness how)
{
    for (unsigned k = 0; k < rounds; k++) {
        struct f80 a = draw_f80(seed), b = draw_f80(seed), h = {0}, o = {0};
        u16 cw = draw_cw(seed);
        if (how == CLOSE)
            cw |= FSW_EXCEPTIONS;
        if (below(seed, 3) == 0)
            b.se = (u16)((b.se & F80_SIGN) | (((a.se & F80_EXP) + below(seed, 9) - 4) & F80_EXP));
        clean();
        u16 hs = host(cw, 0, &h, &a, &b), os = ours(cw, 0, &o, &a, &b);
        u16 mask = how == EXACT ? FSW_EXCEPTIONS | FSW_C1 | cc : FSW_IE | FSW_ZE;
        bool nan =
            f80_classify(&a) >= F80_INFINITY || f80_classify(&b) >= F80_QNAN || f80_classify(&b) == F80_ZERO;
        if (cc && nan)
            mask = FSW_EXCEPTIONS; /* no quotient */
        if (amd_scales(name, cw, &o))
            continue;
        if (!agree(how, &h, &o) || (hs ^ os) & mask)
            report(name, cw, &a, &b, &h, hs & mask, &o, os & mask);
    }
}

static void test_unary(u64 *seed, unsigned rounds, const char *name, x87_unary *host, x87_unary *ours,
                       enum exactness how)
{
    for (unsigned k = 0; k < rounds; k++) {
        struct f80 a = draw_f80(seed), h = {0}, o = {0};
        u16 cw = draw_cw(seed);
        if (how == CLOSE)
            cw |= FSW_EXCEPTIONS;
        clean();
        u16 hs = host(cw, 0, &h, &a), os = ours(cw, 0, &o, &a);
        u16 mask = how == EXACT ? FSW_EXCEPTIONS | FSW_C1 : FSW_IE | FSW_ZE | FSW_C2;
        if (!agree(how, &h, &o) || (hs ^ os) & mask)
            report(name, cw, &a, &a, &h, hs & mask, &o, os & mask);
    }
}

/* F2XM1 and FYL2XP1 are defined near zero only. */
static void test_near_zero(u64 *seed, unsigned rounds)
{
    for (unsigned k = 0; k < rounds; k++) {
        struct f80 a = draw_f80(seed), b = draw_f80(seed), h = {0}, o = {0};
        u16 cw = draw_cw(seed) | FSW_EXCEPTIONS;
        if (a.se & F80_EXP)
            a.se = (u16)((a.se & F80_SIGN) | (F80_BIAS - 3 - below(seed, 70)));
        clean();
        u16 hs = x87_2xm1(cw, 0, &h, &a), os = portable_2xm1(cw, 0, &o, &a);
        if (!agree(CLOSE, &h, &o) || (hs ^ os) & FSW_IE)
            report("2xm1", cw, &a, &a, &h, hs, &o, os);
        clean();
        hs = x87_yl2xp1(cw, 0, &h, &a, &b), os = portable_yl2xp1(cw, 0, &o, &a, &b);
        if (!agree(CLOSE, &h, &o) || (hs ^ os) & FSW_IE)
            report("yl2xp1", cw, &a, &b, &h, hs, &o, os);
    }
}

/* The results that are pushed, and the argument out of range. */
static void test_pushes(u64 *seed, unsigned rounds)
{
    for (unsigned k = 0; k < rounds; k++) {
        struct f80 a = draw_f80(seed), h = {0}, o = {0}, ht = {0}, ot = {0};
        clean();
        u16 hs = x87_sincos(FCW_INIT, 0, &h, &ht, &a), os = portable_sincos(FCW_INIT, 0, &o, &ot, &a);
        u16 mask = FSW_IE | FSW_C2;
        if ((hs ^ os) & mask || (!(hs & FSW_C2) && (!agree(CLOSE, &h, &o) || !agree(CLOSE, &ht, &ot))))
            report("sincos", FCW_INIT, &a, &a, &ht, hs & mask, &ot, os & mask);
        clean();
        hs = x87_ptan(FCW_INIT, 0, &h, &ht, &a), os = portable_ptan(FCW_INIT, 0, &o, &ot, &a);
        if ((hs ^ os) & mask || (!(hs & FSW_C2) && (!agree(CLOSE, &h, &o) || !agree(EXACT, &ht, &ot))))
            report("ptan", FCW_INIT, &a, &a, &ht, hs & mask, &ot, os & mask);
    }
}

static void test_stores(u64 *seed, unsigned rounds)
{
    static const struct f80 none;
    for (unsigned k = 0; k < rounds; k++) {
        struct f80 a = draw_f80(seed);
        u16 cw = draw_cw(seed), mask = FSW_EXCEPTIONS | FSW_C1, hs, os;
        u32 h32 = 0, o32 = 0;
        u64 h64 = 0, o64 = 0;
        i64 hi = 0, oi = 0;
        clean();
        hs = x87_to_f32(cw, 0, &h32, &a), os = portable_to_f32(cw, 0, &o32, &a);
        if (h32 != o32 || (hs ^ os) & mask)
            report("to_f32", cw, &a, &none, &(struct f80){.man = h32}, hs, &(struct f80){.man = o32}, os);
        clean();
        hs = x87_to_f64(cw, 0, &h64, &a), os = portable_to_f64(cw, 0, &o64, &a);
        if (h64 != o64 || (hs ^ os) & mask)
            report("to_f64", cw, &a, &none, &(struct f80){.man = h64}, hs, &(struct f80){.man = o64}, os);
        clean();
        hs = x87_to_i64(cw, 0, &hi, &a), os = portable_to_i64(cw, 0, &oi, &a);
        if (hi != oi || (hs ^ os) & mask)
            report("to_i64", cw, &a, &none, &(struct f80){.man = (u64)hi}, hs, &(struct f80){.man = (u64)oi},
                   os);
    }
}

int main(int argc, char **argv)
{
    u64 seed = argc > 2 ? strtoull(argv[2], NULL, 0) | 1 : 0x243f6a8885a308d3;
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 20000;
#define BOTH(name) #name, x87_##name, portable_##name
    test_binary(&seed, rounds, BOTH(add), 0, EXACT);
    test_binary(&seed, rounds, BOTH(sub), 0, EXACT);
    test_binary(&seed, rounds, BOTH(mul), 0, EXACT);
    test_binary(&seed, rounds, BOTH(div), 0, EXACT);
    test_binary(&seed, rounds, BOTH(scale), 0, EXACT);
    test_binary(&seed, rounds, BOTH(prem), FSW_C0 | FSW_C2 | FSW_C3, EXACT);
    test_binary(&seed, rounds, BOTH(prem1), FSW_C0 | FSW_C2 | FSW_C3, EXACT);
    test_unary(&seed, rounds, BOTH(sqrt), EXACT);
    test_unary(&seed, rounds, BOTH(rndint), EXACT);
    test_stores(&seed, rounds);
    test_binary(&seed, rounds, BOTH(patan), 0, CLOSE);
    test_binary(&seed, rounds, BOTH(yl2x), 0, CLOSE);
    test_unary(&seed, rounds, BOTH(sin), CLOSE);
    test_unary(&seed, rounds, BOTH(cos), CLOSE);
    test_near_zero(&seed, rounds);
    test_pushes(&seed, rounds);
    return check_done();
}
#endif
