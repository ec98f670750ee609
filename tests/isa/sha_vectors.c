/* SHA-1 and SHA-256 by the interpreter's SHA instructions, against the examples of FIPS 180-4 (one block, "abc"; two blocks): for hosts that lack the
 * instructions, where the oracle cannot ask. */
#include <string.h>

#include "base/le.h"
#include "guest.h"
#include "../unit/check.h"

typedef union {
    u32 d[4];
    u8 b[16];
} block;

struct machine {
    struct guest g;
    struct world w;
};

/* op xmm1, xmm2 [, IMM] with xmm0 as the third operand: opcode 0F 38 or, with an immediate, 0F 3A. */
static block sha(struct machine *m, u8 opcode, block a, block b, block zero, int imm)
{
    u8 code[] = {0x0f, imm < 0 ? 0x38 : 0x3a, opcode, 0xca, (u8)imm};
    block r;
    m->w.rip = NATIVE_CODE;
    memcpy(m->w.ymm[0], &zero, 16);
    memcpy(m->w.ymm[1], &a, 16);
    memcpy(m->w.ymm[2], &b, 16);
    guest_run(&m->g, &m->w, code, imm < 0 ? 4 : 5);
    CHECK_EQ(m->w.vector, -1);
    memcpy(&r, m->w.ymm[1], 16);
    return r;
}

static block add(block a, block b)
{
    for (unsigned k = 0; k < 4; k++)
        a.d[k] += b.d[k];
    return a;
}

static block xor4(block a, block b)
{
    for (unsigned k = 0; k < 4; k++)
        a.d[k] ^= b.d[k];
    return a;
}

static u32 be32(const u8 *p)
{
    return __builtin_bswap32(ld32(p));
}

static const u32 k256[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static void sha256_block(struct machine *m, u32 h[8], const u8 *text)
{
    block abef = {{h[5], h[4], h[1], h[0]}}, cdgh = {{h[7], h[6], h[3], h[2]}}, w[16], none = {{0}};
    block abef0 = abef, cdgh0 = cdgh;
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 4 && i < 4; k++)
            w[i].d[k] = be32(text + 16 * i + 4 * k);
        if (i >= 4) {
            block seven = {{w[i - 2].d[1], w[i - 2].d[2], w[i - 2].d[3], w[i - 1].d[0]}};
            w[i] = sha(m, 0xcd, add(sha(m, 0xcc, w[i - 4], w[i - 3], none, -1), seven), w[i - 1], none, -1);
        }
        block wk = w[i];
        for (unsigned k = 0; k < 4; k++)
            wk.d[k] += k256[4 * i + k];
        cdgh = sha(m, 0xcb, cdgh, abef, wk, -1);
        abef = sha(m, 0xcb, abef, cdgh, (block){{wk.d[2], wk.d[3]}}, -1);
    }
    abef = add(abef, abef0);
    cdgh = add(cdgh, cdgh0);
    const u32 r[8] = {abef.d[3], abef.d[2], cdgh.d[3], cdgh.d[2], abef.d[1], abef.d[0], cdgh.d[1], cdgh.d[0]};
    memcpy(h, r, sizeof r);
}

static void sha1_block(struct machine *m, u32 h[5], const u8 *text)
{
    block abcd = {{h[3], h[2], h[1], h[0]}}, first = abcd, before = abcd, e0 = {{0, 0, 0, h[4]}}, w[20], none = {{0}};
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned k = 0; k < 4 && i < 4; k++)
            w[i].d[3 - k] = be32(text + 16 * i + 4 * k);
        if (i >= 4)
            w[i] = sha(m, 0xca, xor4(sha(m, 0xc9, w[i - 4], w[i - 3], none, -1), w[i - 2]), w[i - 1], none, -1);
        block e = i ? sha(m, 0xc8, before, w[i], none, -1) : add(w[0], e0);
        before = abcd;
        abcd = sha(m, 0xcc, abcd, e, none, (int)(i / 5));
    }
    h[4] = sha(m, 0xc8, before, e0, none, -1).d[3];
    abcd = add(abcd, first);
    for (unsigned k = 0; k < 4; k++)
        h[k] = abcd.d[3 - k];
}

/* Padded as FIPS 180-4, 5.1.1 says; at most two blocks. */
static unsigned padded(const char *text, u8 out[128])
{
    unsigned n = (unsigned)strlen(text), blocks = n < 56 ? 1 : 2;
    memset(out, 0, 128);
    memcpy(out, text, n);
    out[n] = 0x80;
    out[64 * blocks - 2] = (u8)(8 * n >> 8);
    out[64 * blocks - 1] = (u8)(8 * n);
    return blocks;
}

static void check_text(struct machine *m, const char *text, const u32 want1[5], const u32 want256[8])
{
    u8 bytes[128];
    u32 h1[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    u32 h256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned blocks = padded(text, bytes);
    for (unsigned k = 0; k < blocks; k++) {
        sha1_block(m, h1, bytes + 64 * k);
        sha256_block(m, h256, bytes + 64 * k);
    }
    for (unsigned k = 0; k < 5; k++)
        CHECK_EQ(h1[k], want1[k]);
    for (unsigned k = 0; k < 8; k++)
        CHECK_EQ(h256[k], want256[k]);
}

int main(void)
{
    static struct machine m = {.w = {.bits = 64, .rflags = 0x202, .fcw = 0x37f, .mxcsr = 0x1f80}};
    CHECK(guest_create(&m.g));
    check_text(&m, "abc", (const u32[5]){0xa9993e36, 0x4706816a, 0xba3e2571, 0x7850c26c, 0x9cd0d89d},
               (const u32[8]){0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223, 0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad});
    check_text(&m, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
               (const u32[5]){0x84983e44, 0x1c3bd26e, 0xbaae4aa1, 0xf95129e5, 0xe54670f1},
               (const u32[8]){0x248d6a61, 0xd20638b8, 0xe5c02693, 0x0c3e6039, 0xa33ce459, 0x64ff2167, 0xf6ecedd4, 0x19db06c1});
    guest_destroy(&m.g);
    return check_done();
}
