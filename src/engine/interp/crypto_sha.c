/* The SHA extensions: four rounds of SHA-1, two of SHA-256, and their message schedules. FIPS 180-4; SDM
 * vol. 2. */
#include "engine/interp/simd.h"

static u32 rol(u32 v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static u32 ror(u32 v, unsigned n)
{
    return v >> n | v << (32 - n);
}

/* The function and constant of each of the four times twenty rounds. */
static u32 sha1_f(unsigned stage, u32 b, u32 c, u32 d)
{
    return stage == 0 ? (b & c) ^ (~b & d) : stage == 2 ? (b & c) ^ (b & d) ^ (c & d) : b ^ c ^ d;
}
static const u32 sha1_k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};

/* A holds A, B, C, D from the top; B holds W0 + E, W1, W2, W3. */
KERNEL(sha1rnds4)
{
    u32 va = a->d[3], vb = a->d[2], vc = a->d[1], vd = a->d[0], ve = 0;
    unsigned stage = imm & 3;
    for (unsigned k = 0; k < 4; k++) {
        u32 t = sha1_f(stage, vb, vc, vd) + rol(va, 5) + b->d[3 - k] + ve + sha1_k[stage];
        ve = vd;
        vd = vc;
        vc = rol(vb, 30);
        vb = va;
        va = t;
    }
    *r = (union xmm){.d = {vd, vc, vb, va}};
}
KERNEL(sha1nexte)
{
    *r = *b;
    r->d[3] += rol(a->d[3], 30);
}
KERNEL(sha1msg1)
{
    *r = (union xmm){.d = {b->d[2] ^ a->d[0], b->d[3] ^ a->d[1], a->d[0] ^ a->d[2], a->d[1] ^ a->d[3]}};
}
KERNEL(sha1msg2)
{
    u32 w16 = rol(a->d[3] ^ b->d[2], 1);
    *r = (union xmm){.d = {rol(a->d[0] ^ w16, 1), rol(a->d[1] ^ b->d[0], 1), rol(a->d[2] ^ b->d[1], 1), w16}};
}

static u32 sigma0(u32 v)
{
    return ror(v, 7) ^ ror(v, 18) ^ v >> 3;
}

static u32 sigma1(u32 v)
{
    return ror(v, 17) ^ ror(v, 19) ^ v >> 10;
}

/* One round of SHA-256: s holds A to H. */
static void sha256_round(u32 s[8], u32 wk)
{
    u32 t = ((s[4] & s[5]) ^ (~s[4] & s[6])) + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) + wk + s[7];
    u32 u = ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2])) + (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22));
    memmove(s + 1, s, 7 * sizeof *s);
    s[4] += t;
    s[0] = t + u;
}

/* A holds C, D, G, H from the top, B holds A, B, E, F; WK the two words with their constants. */
INLINE void sha256rnds2(union xmm *r, const union xmm *a, const union xmm *b, const union xmm *wk)
{
    u32 s[8] = {b->d[3], b->d[2], a->d[3], a->d[2], b->d[1], b->d[0], a->d[1], a->d[0]};
    sha256_round(s, wk->d[0]);
    sha256_round(s, wk->d[1]);
    *r = (union xmm){.d = {s[5], s[4], s[1], s[0]}};
}
KERNEL(sha256msg1)
{
    for (unsigned k = 0; k < 4; k++)
        r->d[k] = a->d[k] + sigma0(k < 3 ? a->d[k + 1] : b->d[0]);
}
KERNEL(sha256msg2)
{
    r->d[0] = a->d[0] + sigma1(b->d[2]);
    r->d[1] = a->d[1] + sigma1(b->d[3]);
    r->d[2] = a->d[2] + sigma1(r->d[0]);
    r->d[3] = a->d[3] + sigma1(r->d[1]);
}
SIMD_SSE_OP(SHA1RNDS4, sha1rnds4)
SIMD_SSE_OP(SHA1NEXTE, sha1nexte)
SIMD_SSE_OP(SHA1MSG1, sha1msg1)
SIMD_SSE_OP(SHA1MSG2, sha1msg2)
SIMD_SSE_OP(SHA256MSG1, sha256msg1)
SIMD_SSE_OP(SHA256MSG2, sha256msg2)

SIMD_HANDLER(sha256rnds2_rr)
{
    union xmm r;
    CHECK(sse);
    sha256rnds2(&r, XMM(c, i->rd), XMM(c, i->rs), XMM(c, 0));
    xmm_put(c, i->rd, &r);
    NEXT(c, i);
}
SIMD_HANDLER(sha256rnds2_rm)
{
    union xmm r, m;
    CHECK(sse);
    TRY(c, i, sse_source(c, i, &m, 16));
    sha256rnds2(&r, XMM(c, i->rd), &m, XMM(c, 0));
    xmm_put(c, i->rd, &r);
    NEXT(c, i);
}
SIMD_ROW(SHA256RNDS2, {sha256rnds2_rr, sha256rnds2_rm})
