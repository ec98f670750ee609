/* Every vector operation that the decoder knows, in every encoding, register and memory form, on random and
 * boundary operands: the handlers against the host's silicon. Encodings are generated as bytes, map by map,
 * not from a list that could forget one; at the end each row of isa/ops_simd.def must have been met. A
 * difference is printed as a case that `simd_host CASE` replays.
 *
 *     simd_host [rounds [seed]]     how many operands per encoding (default 200), and the generator's start
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "isa/fp.h"
#include "isa/insn.h"

static u64 next(u64 *s)
{
    u64 z = *s += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static u64 pick(u64 *s, u64 n)
{
    return next(s) % n;
}

static bool is_vector(unsigned op)
{
    return op >= OP_EMMS && op <= OP_VFMSUBADD231PD;
}

/* Values that sit on borders: of integers, of singles, of doubles, of halves. */
static const u64 borders[] = {
    0,
    1,
    0xffffffffffffffff,
    0x8000000000000000,
    0x7fffffffffffffff,
    0x8080808080808080,
    0x7f7f7f7f7f7f7f7f,
    0x8000800080008000,
    0x7fff7fff7fff7fff,
    0x8000000080000000,
    0x7fffffff7fffffff,
    0x0000000100000001,
    15,
    16,
    31,
    32,
    63,
    64,
    /* doubles: ones, smallest normal, denormals, largest, infinities, NaNs, around integer limits, halves */
    0x3ff0000000000000,
    0xbff0000000000000,
    0x0010000000000000,
    0x8010000000000001,
    0x000fffffffffffff,
    0x8000000000000001,
    0x7fefffffffffffff,
    0xffefffffffffffff,
    0x7ff0000000000000,
    0xfff0000000000000,
    0x7ff8000000000000,
    0xfff8000000000001,
    0x7ff0000000000001,
    0xfff4000000000000,
    0x41dfffffffc00000,
    0x41e0000000000000,
    0xc1e0000000000000,
    0xc1e0000000200000,
    0x43e0000000000000,
    0xc3e0000000000000,
    0x3fe0000000000000,
    0x3ff8000000000000,
    0x4004000000000000,
    0xbfe0000000000000,
    0x36a0000000000000,
    0x380fffffffffffff,
    0x47efffffe0000000,
    0x47effffff0000000,
    0x3690000000000000,
    /* pairs of singles */
    0x3f800000bf800000,
    0x0080000080800001,
    0x007fffff80000001,
    0x7f7fffffff7fffff,
    0x7f800000ff800000,
    0x7fc00000ffc00001,
    0x7f800001ffa00000,
    0x4f0000004effffff,
    0xcf000000cf000001,
    0x5f000000df000000,
    0x3f0000003fc00000,
    0x40200000bf000000,
    0x33000000477ff000,
    0x387fc00033800000,
    0x477fefff38800000,
    /* halves */
    0x3c00bc0004000001,
    0x03ff7bff7c00fc00,
    0x7e007d0180018400,
};

static u64 operand(u64 *s)
{
    switch (pick(s, 8)) {
    case 0:
    case 1: return borders[pick(s, ARRAY_LEN(borders))];
    case 2:
        return (u64)(u32)borders[pick(s, ARRAY_LEN(borders))] << 32 |
               (u32)(borders[pick(s, ARRAY_LEN(borders))] >> 32);
    case 3: return 0x3ff0000000000000 + (next(s) & 0x803fffffffffffff); /* doubles of like size */
    case 4: return 0x3f8000003f800000 + (next(s) & 0x83ffffff83ffffff);
    case 5: return pick(s, 200);
    default: return next(s);
    }
}

/* One encoding: a VEX or legacy prefix, a map, an opcode. */
struct encoding {
    u8 map; /* 1: 0F, 2: 0F38, 3: 0F3A */
    u8 pp;  /* none, 66, F3, F2 */
    u8 opcode;
    bool vex, w, l;
};

struct test_case {
    u8 code[16];
    unsigned len;
    struct insn i;
    struct world w;
    u8 data[NATIVE_DATA_LEN];
    u64 touched; /* where the memory operand is */
};

static unsigned put_prefixes(u8 *p, const struct encoding *e, bool r, bool x, bool b, unsigned vvvv)
{
    static const u8 pp[] = {0, 0x66, 0xf3, 0xf2};
    unsigned n = 0;
    if (e->vex) {
        p[n++] = 0xc4;
        p[n++] = (u8)(!r << 7 | !x << 6 | !b << 5 | e->map);
        p[n++] = (u8)(e->w << 7 | (~vvvv & 15) << 3 | e->l << 2 | e->pp);
        return n;
    }
    if (e->pp)
        p[n++] = pp[e->pp];
    p[n++] = (u8)(0x40 | e->w << 3 | r << 2 | x << 1 | b);
    p[n++] = 0x0f;
    if (e->map > 1)
        p[n++] = e->map == 2 ? 0x38 : 0x3a;
    return n;
}

/* An address in the window: mostly aligned, sometimes not, sometimes at its end, where the next page is
 * missing. */
static u64 place(u64 *s)
{
    switch (pick(s, 8)) {
    case 0: return NATIVE_DATA + pick(s, NATIVE_DATA_LEN - 64);
    case 1: return NATIVE_DATA + PAGE_SIZE - pick(s, 40);
    case 2: return NATIVE_DATA_END - pick(s, 40);
    default: return NATIVE_DATA + 32 * pick(s, (NATIVE_DATA_LEN - 64) / 32);
    }
}

/* Bytes first, then registers that lead the memory operand into the window. False: not a vector operation. */
static bool make_case(u64 *s, const struct encoding *e, bool memory, struct test_case *t)
{
    unsigned reg = (unsigned)pick(s, 16), rm = (unsigned)pick(s, 16),
             vvvv = e->vex && pick(s, 4) ? (unsigned)pick(s, 16) : 0;
    unsigned index = (unsigned)pick(s, 16);
    bool sib =
        memory && (pick(s, 4) == 0 || (e->vex && e->map == 2 && e->opcode >= 0x90 && e->opcode <= 0x93));
    u8 disp = (u8)next(s);
    memset(t, 0, sizeof *t);
    if (memory && ((rm & 7) == 4 || rm == 4))
        rm ^= 1;
    bool narrow =
        !pick(s, 4); /* 32-bit addresses: the general handlers, where the plain ones would do otherwise */
    t->code[0] = 0x67;
    unsigned n = narrow + put_prefixes(t->code + narrow, e, reg >> 3, index >> 3 & sib, rm >> 3, vvvv);
    t->code[n++] = e->opcode;
    t->code[n++] = (u8)((memory ? 0x40 : 0xc0) | (reg & 7) << 3 | (sib ? 4 : rm & 7));
    unsigned scale = (unsigned)pick(s, 4);
    if (sib)
        t->code[n++] = (u8)(scale << 6 | (index & 7) << 3 | (rm & 7));
    if (memory)
        t->code[n++] = disp;
    t->code[n++] = (u8)(pick(s, 3) ? next(s) : pick(s, 20));
    if (insn_decode(t->code, n, 8, &t->i) != DECODE_OK || !is_vector(t->i.op))
        return false;
    bool vaes = (t->i.op >= OP_VAESDEC && t->i.op <= OP_VAESENCLAST) || t->i.op == OP_VPCLMULQDQ;
    if (vaes && e->l) /* VAES and VPCLMULQDQ are not offered */
        return false;
    t->len = t->i.len;
    struct world *w = &t->w;
    for (unsigned k = 0; k < 16; k++) {
        w->gpr[k] = operand(s);
        for (unsigned j = 0; j < 32; j += 8) {
            u64 v = operand(s);
            memcpy(w->ymm[k] + j, &v, 8);
        }
    }
    u64 *words = (u64 *)(void *)t->data;
    for (unsigned k = 0; k < NATIVE_DATA_LEN / 8; k += 1)
        words[k] = k % 8 ? words[k - 1] * 0x9e3779b97f4a7c15 + k : operand(s);
    t->touched = place(s);
    bool gather = sib && (t->i.op >= OP_VGATHERDPS && t->i.op <= OP_VPGATHERQQ);
    if (gather)
        for (unsigned j = 0; j < 8; j++) { /* indices: small, of either sign, of both sizes */
            u32 v = j & 1 && t->i.op >= OP_VGATHERQPS ? 0 : (u32)pick(s, 200);
            memcpy(w->ymm[index] + 4 * j, &v, 4);
        }
    if (memory) {
        u64 offset = sib && !gather && index != 4 ? w->gpr[index] << scale : 0;
        w->gpr[rm] = t->touched - (u64)(i64)(i8)disp - offset;
        if (sib && index == rm && !gather) { /* base and index are one register */
            w->gpr[rm] = (t->touched - (u64)(i64)(i8)disp) / (1 + (1ull << scale));
            t->touched = 0;
        }
    }
    if (t->i.op == OP_MASKMOVQ || t->i.op == OP_MASKMOVDQU || t->i.op == OP_VMASKMOVDQU)
        w->gpr[RDI] = t->touched;
    if (narrow && memory)
        w->gpr[rm] ^= next(s) << 32;
    if (narrow && !memory)
        w->gpr[RDI] ^= next(s) << 32;
    /* Operands that meet: sometimes the same value in two registers. */
    if (!pick(s, 4))
        memcpy(w->ymm[rm], w->ymm[reg], 32);
    for (unsigned k = 0; k < 8; k++) {
        u64 v = operand(s);
        memcpy(w->st[k], &v, 8);
        memcpy(w->st[k] + 8, "\xff\x3f", 2);
    }
    w->rip = NATIVE_CODE + 0x100 + pick(s, 64);
    w->rflags = 0x202 | (next(s) & RFLAGS_ARITH);
    w->fcw = 0x37f;
    w->fsw = (u16)(pick(s, 8) << 11 | pick(s, 2) << 14);
    w->ftw = (u8)next(s);
    if (!pick(s, 64)) { /* a pending x87 exception */
        w->fcw = 0x37e;
        w->fsw |= 0x8081;
    }
    w->mxcsr = 0x1f80;
    if (pick(s, 2))
        w->mxcsr |= (u32)next(s) & 0xe07f; /* rounding, FTZ, DAZ, sticky flags */
    if (!pick(s, 6))
        w->mxcsr &= (u32)next(s) | 0xe07f; /* some exceptions unmasked */
    return true;
}

static bool compare_bytes(const char *what, const void *guest, const void *host, unsigned n)
{
    const u8 *g = guest, *h = host;
    if (!memcmp(g, h, n))
        return true;
    printf("    %s: guest ", what);
    for (unsigned k = n; k-- > 0;)
        printf("%02x%s", g[k], k % 8 || !k ? "" : "_");
    printf("\n    %*s  host  ", (int)strlen(what), "");
    for (unsigned k = n; k-- > 0;)
        printf("%02x%s", h[k], k % 8 || !k ? "" : "_");
    printf("\n");
    return false;
}

static bool compare_number(const char *what, u64 guest, u64 host)
{
    if (guest == host)
        return true;
    printf("    %s: guest %#llx, host %#llx\n", what, (unsigned long long)guest, (unsigned long long)host);
    return false;
}

static bool same(const struct world *g, const struct world *h)
{
    return g->vector == h->vector && g->error == h->error && g->addr == h->addr && g->rip == h->rip &&
           g->rflags == h->rflags && g->mxcsr == h->mxcsr && g->fcw == h->fcw && g->fsw == h->fsw &&
           g->ftw == h->ftw && !memcmp(g->gpr, h->gpr, sizeof g->gpr) &&
           !memcmp(g->ymm, h->ymm, sizeof g->ymm) && !memcmp(g->st, h->st, sizeof g->st);
}

static void report(const struct test_case *t, const struct world *g, const struct world *h, u64 seed)
{
    char name[16];
    printf("%s: seed %#llx, bytes", op_name((enum op)t->i.op), (unsigned long long)seed);
    for (unsigned k = 0; k < t->len; k++)
        printf(" %02x", t->code[k]);
    printf(", mxcsr %#x, imm %#x, operand at %#llx\n", t->w.mxcsr, (u8)t->i.imm,
           (unsigned long long)t->touched);
    compare_number("vector", (u64)(i64)g->vector, (u64)(i64)h->vector);
    compare_number("error code", g->error, h->error);
    compare_number("address", g->addr, h->addr);
    compare_number("rip", g->rip, h->rip);
    compare_number("rflags", g->rflags, h->rflags);
    compare_number("mxcsr", g->mxcsr, h->mxcsr);
    compare_number("fsw", g->fsw, h->fsw);
    compare_number("fcw", g->fcw, h->fcw);
    compare_number("ftw", g->ftw, h->ftw);
    for (unsigned k = 0; k < 16; k++) {
        snprintf(name, sizeof name, "gpr%u", k);
        compare_number(name, g->gpr[k], h->gpr[k]);
        snprintf(name, sizeof name, "ymm%u", k);
        if (!compare_bytes(name, g->ymm[k], h->ymm[k], 32))
            compare_bytes("before", t->w.ymm[k], t->w.ymm[k], 0);
    }
    for (unsigned k = 0; k < 8; k++) {
        snprintf(name, sizeof name, "mm%u", k);
        compare_bytes(name, g->st[k], h->st[k], 10);
    }
    const struct insn *i = &t->i;
    unsigned regs[3] = {i->rd & 15u, i->rs & 15u, i->rv & 15u};
    for (unsigned k = 0; k < 3; k++) {
        printf("    before ymm%u: ", regs[k]);
        for (unsigned j = 32; j-- > 0;)
            printf("%02x%s", t->w.ymm[regs[k]][j], j % 8 || !j ? "" : "_");
        printf("\n");
    }
    if (t->touched >= NATIVE_DATA && t->touched <= NATIVE_DATA_END - 32) {
        printf("    memory: ");
        for (unsigned j = 32; j-- > 0;)
            printf("%02x%s", t->data[t->touched - NATIVE_DATA + j], j % 8 || !j ? "" : "_");
        printf("\n");
    }
}

struct tally {
    u64 cases, differences, faults;
    u32 per_op[OP_COUNT], shown[OP_COUNT];
    bool missing[OP_COUNT]; /* the host has no such instruction */
};

/* What is not architecture: which byte of the missing page a masked store reports; and Linux tells user
 * programs that every page of the kernel's half is present. */
static void forgive(unsigned op, const struct world *guest, struct world *host)
{
    bool masked = op == OP_VMASKMOVPS || op == OP_VMASKMOVPD || op == OP_VPMASKMOVD || op == OP_VPMASKMOVQ ||
                  op == OP_MASKMOVQ || op == OP_MASKMOVDQU || op == OP_VMASKMOVDQU;
    if (masked && (guest->addr & PAGE_MASK) == (host->addr & PAGE_MASK))
        host->addr = guest->addr;
    if (host->vector == VEC_PF && (i64)host->addr < 0)
        host->error &= ~1u;
    /* A gather that faults: the manual says what became of the elements before the one that faulted; the mask's
     * others and the upper half AMD leaves as they were. */
    if (op >= OP_VGATHERDPS && op <= OP_VPGATHERQQ && host->vector == guest->vector && host->vector >= 0 &&
        __builtin_cpu_is("amd"))
        memcpy(host->ymm, guest->ymm, sizeof host->ymm);
}

/* The portable build has approximations of its own: as good as the manual promises, each within 1.5 * 2^-12
 * of the truth. */
static bool near(u32 guest, u32 host)
{
    float g, h;
    memcpy(&g, &guest, 4);
    memcpy(&h, &host, 4);
    return guest == host || (g / h > 1 - 3.0f / 4096 && g / h < 1 + 3.0f / 4096);
}

static void settle_approximation(const struct test_case *t, const struct world *guest, struct world *host)
{
    u8 *h = host->ymm[t->i.rd & 15];
    const u8 *g = guest->ymm[t->i.rd & 15];
    for (unsigned k = 0; k < 32; k += 4) {
        u32 a, b;
        memcpy(&a, g + k, 4);
        memcpy(&b, h + k, 4);
        if (near(a, b))
            memcpy(h + k, &a, 4);
    }
}

static bool exact(unsigned op)
{
    bool approximate = op == OP_RCPPS || op == OP_RCPSS || op == OP_RSQRTPS || op == OP_RSQRTSS ||
                       op == OP_VRCPPS || op == OP_VRCPSS || op == OP_VRSQRTPS || op == OP_VRSQRTSS;
    return FP_HOST || !approximate;
}

static void run_case(struct guest *g, const struct test_case *t, u64 seed, struct tally *n)
{
    struct world guest = t->w, host = t->w;
    u8 *native = (u8 *)(uintptr_t)NATIVE_DATA;
    memcpy(native, t->data, sizeof t->data);
    memcpy(guest_data(g), t->data, sizeof t->data);
    native_run(&host, t->code, t->len);
    guest_run(g, &guest, t->code, t->len);
    if (host.vector == VEC_UD && guest.vector != VEC_UD && host.fsw == t->w.fsw && !n->per_op[t->i.op])
        n->missing[t->i.op] = true;
    if (n->missing[t->i.op] || world_in_shadow(&guest))
        return;
    if (!exact(t->i.op))
        settle_approximation(t, &guest, &host);
    forgive(t->i.op, &guest, &host);
    host.rflags &= ~(u64)RFLAGS_RF; /* set in the image of a fault; the kernel may hide it */
    guest.rflags &= ~(u64)RFLAGS_RF;
    n->cases++;
    n->per_op[t->i.op]++;
    n->faults += host.vector >= 0;
    bool memory = !memcmp(native, guest_data(g), sizeof t->data);
    if (same(&guest, &host) && memory)
        return;
    n->differences++;
    if (n->shown[t->i.op]++ >= 2)
        return;
    report(t, &guest, &host, seed);
    if (!memory)
        for (unsigned k = 0; k < NATIVE_DATA_LEN; k++)
            if (native[k] != guest_data(g)[k]) {
                printf("    memory at %#x: guest %02x, host %02x\n", (unsigned)NATIVE_DATA + k,
                       guest_data(g)[k], native[k]);
                break;
            }
}

static void run_encoding(struct guest *g, const struct encoding *e, unsigned rounds, u64 *seed,
                         struct tally *n)
{
    struct test_case t;
    for (unsigned k = 0; k < rounds; k++) {
        u64 s = next(seed), at = s;
        bool made = make_case(&s, e, k & 1, &t);
        if (made)
            run_case(g, &t, at, n);
        else if (k > 7 && !n->cases)
            return;
    }
}

static void run_all(struct guest *g, unsigned rounds, u64 seed, struct tally *n)
{
    for (unsigned k = 0; k < 3 * 4 * 256 * 8; k++) {
        struct encoding e = {.map = (u8)(k % 3 + 1), .pp = (u8)(k / 3 % 4), .opcode = (u8)(k / 12 % 256)};
        unsigned variant = k / (12 * 256);
        e.vex = variant & 1;
        e.w = variant & 2;
        e.l = variant & 4;
        if (e.l && !e.vex)
            continue;
        run_encoding(g, &e, rounds, &seed, n);
    }
}

int main(int argc, char **argv)
{
    static struct tally n;
    const char *why;
    struct guest g;
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 200;
    u64 seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    if (!native_init(&why)) {
        printf("%s\n", why);
        return 77;
    }
    if (!guest_create(&g)) {
        fprintf(stderr, "no memory for the guest\n");
        return 1;
    }
    run_all(&g, rounds, seed, &n);
    unsigned unmet = 0;
    for (unsigned op = OP_EMMS; op <= OP_VFMSUBADD231PD; op++) {
        if (n.missing[op])
            printf("skipped: %s: the host does not have it\n", op_name((enum op)op));
        else if (!n.per_op[op])
            printf("%s: no encoding met\n", op_name((enum op)op)), unmet++;
        if (n.shown[op] > 2)
            printf("%s: %u differences in %u cases\n", op_name((enum op)op), n.shown[op], n.per_op[op]);
    }
    printf("%llu cases, %llu of them faults, %llu differences, %u operations without a case\n",
           (unsigned long long)n.cases, (unsigned long long)n.faults, (unsigned long long)n.differences,
           unmet);
    guest_destroy(&g);
    return n.differences || unmet;
}
