/* FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XSAVEC, XRSTOR: layouts, every #GP, init optimization, and faults that
 * must leave memory and registers alone. */
#include "control_rig.h"

#define AREA 0x50000u
#define SIZE 2752u

static void fresh(struct control_rig *r, unsigned cpl)
{
    struct cpu *c = r->rig.c;
    rig_reset(&r->rig, true, cpl);
    c->cr4 |= CR4_OSFXSR | CR4_OSXSAVE;
    c->xcr0 = XFEATURE_X87 | XFEATURE_SSE | XFEATURE_AVX | XFEATURE_PKRU;
    c->pkru = 0;
    memset(r->rig.m.base + AREA, 0xcc, SIZE);
}

/* Something else in every register. */
static void paint(struct cpu *c, u8 seed)
{
    fpu_init(c);
    c->fpu.fcw = 0x27f;
    c->fpu.fsw = 0x3a00; /* TOP = 7 */
    c->fpu.ftw = 0x81;
    c->fpu.fop = 0x123;
    c->fpu.fip = 0x334455667788;
    c->fpu.fdp = 0xffffbbccddeeff00;
    c->fpu.mxcsr = 0x1fa0;
    for (unsigned n = 0; n < 8; n++)
        for (unsigned k = 0; k < 10; k++)
            c->fpu.st[n][k] = (u8)(seed + 16 * n + k);
    for (unsigned n = 0; n < 16; n++)
        for (unsigned k = 0; k < 32; k++)
            c->fpu.ymm[n][k] = (u8)(seed + 3 * n + k + 1);
    c->pkru = 0x55555550u + seed;
}

static const u8 *area(const struct control_rig *r)
{
    return r->rig.m.base + AREA;
}

static bool untouched(const struct control_rig *r, unsigned from, unsigned to)
{
    for (unsigned k = from; k < to; k++)
        if (area(r)[k] != 0xcc)
            return false;
    return true;
}

static bool same_fpu(const struct fpu *a, const struct fpu *b)
{
    return a->fcw == b->fcw && a->fsw == b->fsw && a->ftw == b->ftw && a->fop == b->fop && a->fip == b->fip &&
           a->fdp == b->fdp && a->mxcsr == b->mxcsr && !memcmp(a->st, b->st, sizeof a->st) &&
           !memcmp(a->ymm, b->ymm, sizeof a->ymm);
}

static void test_fxsave(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    fresh(r, 0);
    paint(c, 1);
    CHECK(op_fxsave(c, AREA, true));
    CHECK_EQ(ld16(area(r)), 0x27f);
    CHECK_EQ(ld16(area(r) + 2), 0x3a00);
    CHECK_EQ(area(r)[4], 0x81);
    CHECK_EQ(ld16(area(r) + 6), 0x123);
    CHECK_EQ(ld64(area(r) + 8), 0x334455667788);
    CHECK_EQ(ld64(area(r) + 16), 0xffffbbccddeeff00);
    CHECK_EQ(ld32(area(r) + 24), 0x1fa0);
    CHECK_EQ(ld32(area(r) + 28), 0xffff);
    CHECK(!memcmp(area(r) + 32, c->fpu.st[7], 10)); /* ST(0) is physical register 7 */
    CHECK(!memcmp(area(r) + 48, c->fpu.st[0], 10));
    CHECK_EQ(ld16(area(r) + 42), 0);
    CHECK(!memcmp(area(r) + 160 + 16 * 15, c->fpu.ymm[15], 16));
    CHECK(untouched(r, 416, SIZE));

    /* Without REX.W: 32 bits of the pointers and zero selectors. */
    CHECK(op_fxsave(c, AREA, false));
    CHECK_EQ(ld64(area(r) + 8), 0x55667788);
    CHECK_EQ(ld64(area(r) + 16), 0xddeeff00);

    struct fpu before = c->fpu;
    CHECK(op_fxsave(c, AREA, true));
    paint(c, 77);
    CHECK(op_fxrstor(c, AREA, true));
    for (unsigned n = 0; n < 16; n++) /* the upper halves are not FXRSTOR's */
        memcpy(before.ymm[n] + 16, c->fpu.ymm[n] + 16, 16);
    CHECK(same_fpu(&c->fpu, &before));

    /* Flags that are pending in the image are summarized; reserved control bits are put right. */
    st16(r->rig.m.base + AREA, 0xff40 & ~1);
    st16(r->rig.m.base + AREA + 2, 1);
    CHECK(op_fxrstor(c, AREA, true));
    CHECK_EQ(c->fpu.fcw, 0x1f40);
    CHECK_EQ(c->fpu.fsw, 0x8081);

    EXPECT_GP(r, op_fxsave(c, AREA + 8, true));
    EXPECT_GP(r, op_fxrstor(c, AREA + 8, true));
    st32(r->rig.m.base + AREA + 24, 0x10000);
    before = c->fpu;
    EXPECT_GP(r, op_fxrstor(c, AREA, true)); /* MXCSR */
    CHECK(same_fpu(&c->fpu, &before));
    c->cr0 |= CR0_TS;
    EXPECT_FAULT(&r->rig, op_fxsave(c, AREA + 8, true), VEC_NM, 0); /* before alignment */
    c->cr0 ^= CR0_TS | CR0_EM;
    EXPECT_FAULT(&r->rig, op_fxrstor(c, AREA, true), VEC_NM, 0);
}

static void test_fxsave_32(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    fresh(r, 0);
    rig_reset(&r->rig, false, 0);
    c->cr4 |= CR4_OSFXSR;
    paint(c, 1);
    CHECK(op_fxsave(c, AREA, false));
    CHECK(!memcmp(area(r) + 160 + 16 * 7, c->fpu.ymm[7], 16));
    CHECK(untouched(r, 160 + 16 * 8, SIZE)); /* XMM8 ... do not exist */
    memset(r->rig.m.base + AREA, 0xcc, SIZE);
    c->cr4 &= ~(u64)CR4_OSFXSR;
    CHECK(op_fxsave(c, AREA, false));
    CHECK(untouched(r, 160, SIZE));
}

static void test_fxsave_fault(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    fresh(r, 0);
    paint(c, 1);
    u64 lin = RIG_ABSENT - 256; /* the second half is not there */
    memset(r->rig.m.base + lin, 0xcc, 512);
    struct fpu before = c->fpu;
    CHECK(!op_fxsave(c, lin, true));
    CHECK_EQ(c->fault.vector, VEC_PF);
    CHECK_EQ(c->fault.addr, RIG_ABSENT);
    CHECK_EQ(c->fault.error, 2);
    CHECK_EQ(r->rig.m.base[lin], 0xcc);
    CHECK(!op_fxrstor(c, lin, true));
    CHECK(same_fpu(&c->fpu, &before));
}

static void set_rfbm(struct cpu *c, u64 v)
{
    c->gpr[RAX].q = (u32)v;
    c->gpr[RDX].q = v >> 32;
}

static void test_xsave(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    fresh(r, 3);
    paint(c, 1);
    st64(r->rig.m.base + AREA + 512, 0xff00000000000f08); /* XSTATE_BV: bits outside RFBM stay */
    set_rfbm(c, ~0ull);
    CHECK(op_xsave(c, AREA, XSAVE_PLAIN, true));
    CHECK_EQ(ld64(area(r) + 512), 0xff00000000000f08 | 0x207);
    CHECK(untouched(r, 520, 576)); /* the rest of the header is not XSAVE's */
    CHECK(untouched(r, 416, 512));
    CHECK(!memcmp(area(r) + 576 + 16 * 15, c->fpu.ymm[15] + 16, 16));
    CHECK(untouched(r, 832, 2688));
    CHECK_EQ(ld64(area(r) + 2688), 0x55555551);
    CHECK(untouched(r, 2696, SIZE));

    /* MXCSR goes with SSE and with AVX, and only with them. */
    memset(r->rig.m.base + AREA, 0xcc, SIZE);
    set_rfbm(c, XFEATURE_X87);
    CHECK(op_xsave(c, AREA, XSAVE_PLAIN, true));
    CHECK(untouched(r, 24, 32));
    CHECK(untouched(r, 160, 512));
    set_rfbm(c, XFEATURE_AVX);
    CHECK(op_xsave(c, AREA, XSAVE_PLAIN, true));
    CHECK_EQ(ld32(area(r) + 24), 0x1fa0);
    CHECK(untouched(r, 160, 512));

    /* Init: plain XSAVE writes it, XSAVEOPT does not; both clear its bit. */
    fpu_init(c);
    memset(c->fpu.st, 0, sizeof c->fpu.st);
    memset(r->rig.m.base + AREA, 0xcc, SIZE);
    st64(r->rig.m.base + AREA + 512, 7);
    set_rfbm(c, 3);
    CHECK(op_xsave(c, AREA, XSAVE_OPT, true));
    CHECK_EQ(ld64(area(r) + 512), 6);
    CHECK(untouched(r, 0, 24));
    CHECK(!untouched(r, 160, 176));
    CHECK(op_xsave(c, AREA, XSAVE_PLAIN, true));
    CHECK_EQ(ld16(area(r)), 0x37f);
}

static void test_xsavec(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    fresh(r, 0);
    paint(c, 1);
    set_rfbm(c, XFEATURE_SSE | XFEATURE_PKRU);
    CHECK(op_xsave(c, AREA, XSAVE_COMPACT, true));
    CHECK_EQ(ld64(area(r) + 512), 0x202);
    CHECK_EQ(ld64(area(r) + 520), BIT(63) | 0x202);
    CHECK(untouched(r, 528, 576));
    CHECK_EQ(ld64(area(r) + 576), 0x55555551); /* PKRU moves up where AVX is left out */
    CHECK(untouched(r, 584, SIZE));
    CHECK(untouched(r, 0, 24));

    /* MXCSR that is not as after reset makes SSE in use. */
    memset(c->fpu.ymm, 0, sizeof c->fpu.ymm);
    set_rfbm(c, ~0ull);
    CHECK(op_xsave(c, AREA, XSAVE_COMPACT, true));
    CHECK_EQ(ld64(area(r) + 512), 0x203);
    CHECK_EQ(ld64(area(r) + 832), 0x55555551); /* AVX has its place, saved or not */
    c->fpu.mxcsr = 0x1f80;
    CHECK(op_xsave(c, AREA, XSAVE_COMPACT, true));
    CHECK_EQ(ld64(area(r) + 512), 0x201);
    CHECK_EQ(ld64(area(r) + 520), BIT(63) | 0x207);
}

static void test_xrstor(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    static const enum xsave_kind kinds[] = {XSAVE_PLAIN, XSAVE_OPT, XSAVE_COMPACT};
    for (unsigned k = 0; k < 3; k++) {
        fresh(r, 0);
        paint(c, (u8)(5 + k));
        memset(r->rig.m.base + AREA + 512, 0, 64);
        struct fpu before = c->fpu;
        u32 pkru = c->pkru;
        set_rfbm(c, ~0ull);
        CHECK(op_xsave(c, AREA, kinds[k], true));
        paint(c, 99);
        CHECK(op_xrstor(c, AREA, true));
        CHECK(same_fpu(&c->fpu, &before));
        CHECK_EQ(c->pkru, pkru);

        /* Only what RFBM asks for. */
        paint(c, 99);
        struct fpu other = c->fpu;
        set_rfbm(c, XFEATURE_AVX);
        CHECK(op_xrstor(c, AREA, true));
        CHECK(!memcmp(c->fpu.st, other.st, sizeof other.st));
        CHECK(!memcmp(c->fpu.ymm[2], other.ymm[2], 16));
        CHECK(!memcmp(c->fpu.ymm[2] + 16, before.ymm[2] + 16, 16));
        CHECK_EQ(c->pkru, 0x55555550 + 99);

        /* Components whose bit is clear are initialized. */
        st64(r->rig.m.base + AREA + 512, 0);
        set_rfbm(c, ~0ull);
        st32(r->rig.m.base + AREA + 24, 0x1fb0);
        CHECK(op_xrstor(c, AREA, true));
        CHECK_EQ(c->fpu.fcw, 0x37f);
        CHECK_EQ(xsave_in_use(c), 0);
        CHECK_EQ(c->fpu.mxcsr,
                 kinds[k] == XSAVE_COMPACT ? 0x1f80 : 0x1fb0); /* the standard form loads MXCSR regardless */
    }
}

static void expect_xrstor_gp(struct control_rig *r, u64 bv, u64 comp, int line)
{
    struct cpu *c = r->rig.c;
    u8 *a = r->rig.m.base + AREA;
    struct fpu before = c->fpu;
    st64(a + 512, bv);
    st64(a + 520, comp);
    set_rfbm(c, ~0ull);
    bool done = op_xrstor(c, AREA, true);
    if (done || c->fault.vector != VEC_GP || !same_fpu(&before, &c->fpu)) {
        check_failures++;
        fprintf(stderr, "line %d: XRSTOR of XSTATE_BV %#llx, XCOMP_BV %#llx: no #GP\n", line,
                (unsigned long long)bv, (unsigned long long)comp);
    }
}

static void test_xrstor_gp(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    u8 *a = r->rig.m.base + AREA;
    fresh(r, 0);
    paint(c, 1);
    c->xcr0 = 7;
    memset(a, 0, SIZE);
    expect_xrstor_gp(r, 0x200, 0, __LINE__); /* not in XCR0 */
    expect_xrstor_gp(r, BIT(63), 0, __LINE__);
    expect_xrstor_gp(r, 1, 1, __LINE__); /* XCOMP_BV in the standard form */
    expect_xrstor_gp(r, 1, BIT(63) | 0x201, __LINE__);
    expect_xrstor_gp(r, 4, BIT(63) | 3, __LINE__); /* XSTATE_BV beyond XCOMP_BV */
    expect_xrstor_gp(r, BIT(63) | 1, BIT(63) | 3, __LINE__);
    a[528] = 1;
    expect_xrstor_gp(r, 1, 0, __LINE__); /* bytes 23..8 of the header */
    a[528] = 0, a[536] = 1;
    expect_xrstor_gp(r, 1, BIT(63) | 1, __LINE__); /* bytes 63..16, in the compacted form */
    st64(a + 512, 0);
    st64(a + 520, 0);
    st32(a + 24, 0x1f80);
    CHECK(op_xrstor(c, AREA, true)); /* and nowhere else */
    a[536] = 0;
    st32(a + 24, 0x20000);
    expect_xrstor_gp(r, 0, 0, __LINE__);           /* MXCSR, standard form */
    expect_xrstor_gp(r, 2, BIT(63) | 2, __LINE__); /* and compacted */
    st64(a + 512, 0), st64(a + 520, BIT(63) | 2);
    CHECK(op_xrstor(c, AREA, true)); /* it is not read here */
}

static void test_xsave_faults(struct control_rig *r)
{
    struct cpu *c = r->rig.c;
    fresh(r, 0);
    paint(c, 1);
    set_rfbm(c, ~0ull);
    EXPECT_GP(r, op_xsave(c, AREA + 32, XSAVE_PLAIN, true));
    EXPECT_GP(r, op_xrstor(c, AREA + 32, true));
    u64 lin = RIG_ABSENT - 1024;
    memset(r->rig.m.base + lin, 0xcc, 1024);
    CHECK(!op_xsave(c, lin, XSAVE_PLAIN, true));
    CHECK_EQ(c->fault.vector, VEC_PF);
    for (unsigned k = 0; k < 1024; k++)
        CHECK(r->rig.m.base[lin + k] == 0xcc);
    CHECK(op_xsave(c, lin, XSAVE_COMPACT, true)); /* shorter: it fits */
    c->cr0 |= CR0_TS;
    EXPECT_FAULT(&r->rig, op_xsave(c, AREA + 32, XSAVE_OPT, true), VEC_NM, 0);
    EXPECT_FAULT(&r->rig, op_xrstor(c, AREA, true), VEC_NM, 0);
    c->cr4 &= ~(u64)CR4_OSXSAVE;
    EXPECT_UD(r, op_xsave(c, AREA, XSAVE_PLAIN, true));
    EXPECT_UD(r, op_xsave(c, AREA, XSAVE_COMPACT, true));
    EXPECT_UD(r, op_xrstor(c, AREA, true));
}

int main(void)
{
    struct control_rig r;
    if (!control_create(&r, CPU_LEVEL_V3))
        return 1;
    test_fxsave(&r);
    test_fxsave_32(&r);
    test_fxsave_fault(&r);
    test_xsave(&r);
    test_xsavec(&r);
    test_xrstor(&r);
    test_xrstor_gp(&r);
    test_xsave_faults(&r);
    control_destroy(&r);
    return check_done();
}
