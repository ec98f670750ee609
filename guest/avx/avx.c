/* AVX state and VEX encodings, both worlds: who may run (CR4.OSXSAVE, XCR0, TS, EM, prefixes), reserved
 * encodings, upper halves, alignment, XSAVE's three forms with AVX in them, XINUSE, CPUID's leaves. Results
 * of the arithmetic are tests/isa's. SDM 1 chapters 13 and 14; 2A 2.3, 2.7. */
#include "guest.h"

#define CPU_HAS_AVX    cpu_has(1, 0, 'c', 28)
#define CPU_HAS_AVX2   cpu_has(7, 0, 'b', 5)
#define CPU_HAS_FMA    cpu_has(1, 0, 'c', 12)
#define CPU_HAS_F16C   cpu_has(1, 0, 'c', 29)
#define CPU_HAS_BMI    (cpu_has(7, 0, 'b', 3) && cpu_has(7, 0, 'b', 8))
#define CPU_HAS_XSAVEC cpu_has(0xd, 1, 'a', 1)

static uint8_t area[4096] ALIGNED(64);
static uint8_t area2[4096] ALIGNED(64);
static const uint32_t pattern[8] ALIGNED(32) = {0x11111111, 0x22222222, 0x33333333, 0x44444444,
                                                0x55555555, 0x66666666, 0x77777777, 0x88888888};

static void xcr0_write(uint32_t v)
{
    __asm__ volatile("xsetbv" : : "a"(v), "d"(0), "c"(0));
}

static bool avx_on(void)
{
    if (!CPU_HAS_AVX) {
        skip("CPUID has no AVX");
        return false;
    }
    write_cr0((read_cr0() & ~(word)(CR0_TS | CR0_EM)) | CR0_NE | CR0_MP);
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    xcr0_write(7);
    static const uint32_t mxcsr = 0x1f80;
    __asm__ volatile("fninit; ldmxcsr %0; vzeroall" : : "m"(mxcsr));
    return true;
}

static void avx_off(void)
{
    xcr0_write(7);
    __asm__ volatile("vzeroall");
    write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
}

/* One of each exception class, and the VEX forms of general registers, which know no XCR0. */
static const struct snip *vector_form(unsigned k)
{
    switch (k) {
    case 0: return SNIP("vaddps %ymm1, %ymm2, %ymm0");
    case 1: return SNIP("vmovups %xmm1, %xmm0");
    case 2: return SNIP("vpaddd %xmm1, %xmm2, %xmm0");
    case 3: return SNIP("vzeroupper");
    case 4: return SNIP("vmovd %eax, %xmm0");
    case 5: return SNIP("vsqrtsd %xmm1, %xmm2, %xmm0");
    case 6: return SNIP("vldmxcsr (" BX ")");
    case 7: return SNIP("vptest %ymm0, %ymm1");
    default: return NULL;
    }
}

static void expect_all(const char *what, int vector)
{
    static const uint32_t mxcsr = 0x1f80;
    struct context c;
    const struct snip *s;
    for (unsigned k = 0; (s = vector_form(k)); k++) {
        context_set(&c, s);
        c.bx = ADDR(&mxcsr);
        if (vector < 0)
            RUN_THROUGH(what, s, &c);
        else
            RUN_FAULT(what, s, &c, (unsigned)vector, NO_ERROR);
    }
}

TEST(may_run)
{
    if (!avx_on())
        return;
    expect_all("all set", -1);
    write_cr0(read_cr0() | CR0_EM);
    expect_all("[qemu] CR0.EM means nothing", -1);
    write_cr0(read_cr0() & ~(word)CR0_EM);
    write_cr4(read_cr4() & ~(word)CR4_OSFXSR);
    expect_all("nor does CR4.OSFXSR", -1);
    write_cr4(read_cr4() | CR4_OSFXSR);
    write_cr0(read_cr0() | CR0_TS);
    expect_all("CR0.TS", NM);
    xcr0_write(3);
    expect_all("XCR0 without AVX, before CR0.TS", UD);
    write_cr0(read_cr0() & ~(word)CR0_TS);
    expect_all("XCR0 without AVX", UD);
    THROUGH("SSE runs without XCR0.AVX", SNIP("addps %xmm0, %xmm1"));
    xcr0_write(1);
    expect_all("XCR0 of x87 alone", UD);
    THROUGH("SSE runs without XCR0.SSE", SNIP("addps %xmm0, %xmm1"));
    write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
    expect_all("no CR4.OSXSAVE", UD);
    if (CPU_HAS_BMI) {
        THROUGH("ANDN needs no OSXSAVE", SNIP("andn %eax, %ecx, %edx"));
        write_cr0(read_cr0() | CR0_TS | CR0_EM);
        THROUGH("RORX knows neither TS nor EM", SNIP("rorx $3, %eax, %edx"));
        write_cr0(read_cr0() & ~(word)(CR0_TS | CR0_EM));
    }
    write_cr4(read_cr4() | CR4_OSXSAVE);
    avx_off();
}

/* #XM with OSXMMEXCPT, #UD without; unmasked exceptions of a lane of the upper half count too. */
TEST(numeric)
{
    struct context c;
    if (!avx_on())
        return;
    static const uint32_t unmask_zero = 0x1d80, masked = 0x1f80;
    static float dividend[8] ALIGNED(32) = {1, 1, 1, 1, 1, 1, 1, 1},
                             divisor[8] ALIGNED(32) = {1, 1, 1, 1, 1, 1, 1, 0};
    const struct snip *s = SNIP("vmovups (" SI "), %ymm1\n" AT "vdivps (" DI "), %ymm1, %ymm0");
    __asm__ volatile("vmovups %0, %%ymm0; ldmxcsr %1" : : "m"(pattern), "m"(unmask_zero));
    context_set(&c, s);
    c.si = ADDR(dividend), c.di = ADDR(divisor);
    RUN_FAULT("[qemu] #XM", s, &c, XM, NO_ERROR);
    uint32_t mxcsr, got[8];
    __asm__ volatile("stmxcsr %0; vmovups %%ymm0, %1" : "=m"(mxcsr), "=m"(got));
    CHECK_EQUAL("[qemu] ZE is set", 0x1d84, mxcsr);
    CHECK_EQUAL("[qemu] the destination is as it was", 0, memory_compare(got, pattern, 32));
    write_cr4(read_cr4() & ~(word)CR4_OSXMMEXCPT);
    context_set(&c, s);
    c.si = ADDR(dividend), c.di = ADDR(divisor);
    RUN_FAULT("[qemu] #UD without OSXMMEXCPT", s, &c, UD, NO_ERROR);
    write_cr4(read_cr4() | CR4_OSXMMEXCPT);
    __asm__ volatile("ldmxcsr %0" : : "m"(masked));
    avx_off();
}

static const struct snip *reserved_form(unsigned k, const char **what)
{
#define FORM(n, text, bytes)                                                                                 \
    case n: *what = text; return SNIP(".byte " bytes)
    switch (k) {
        FORM(0, "LOCK before VEX", "0xf0, 0xc5, 0xf4, 0x58, 0xc2");
        FORM(1, "66 before VEX", "0x66, 0xc5, 0xf4, 0x58, 0xc2");
        FORM(2, "F3 before VEX", "0xf3, 0xc5, 0xf4, 0x58, 0xc2");
        FORM(3, "F2 before VEX", "0xf2, 0xc5, 0xf4, 0x58, 0xc2");
        FORM(4, "VMOVUPS with vvvv", "0xc5, 0xf4, 0x10, 0xc2");
        FORM(5, "VSQRTPS with vvvv", "0xc5, 0xf4, 0x51, 0xc2");
        FORM(6, "VPTEST with vvvv", "0xc4, 0xe2, 0x71, 0x17, 0xc2");
        FORM(7, "VZEROUPPER with vvvv", "0xc5, 0xf0, 0x77");
        FORM(8, "[qemu] VMOVD with L", "0xc5, 0xfd, 0x6e, 0xc0");
        FORM(9, "VMOVHLPS with L", "0xc5, 0xf4, 0x12, 0xc2");
        FORM(10, "VPEXTRB with L", "0xc4, 0xe3, 0x7d, 0x14, 0xc0, 0x01");
        FORM(11, "VINSERTF128 without L", "0xc4, 0xe3, 0x71, 0x18, 0xc2, 0x01");
        FORM(12, "VEXTRACTF128 without L", "0xc4, 0xe3, 0x79, 0x19, 0xc2, 0x01");
        FORM(13, "VBROADCASTSD without L", "0xc4, 0xe2, 0x79, 0x19, 0xc2");
        FORM(14, "[qemu] VPERM2F128 with W", "0xc4, 0xe3, 0xf5, 0x06, 0xc2, 0x01");
        FORM(15, "[qemu] VTESTPS with W", "0xc4, 0xe2, 0xf9, 0x0e, 0xc2");
        FORM(16, "VBROADCASTF128 of a register", "0xc4, 0xe2, 0x7d, 0x1a, 0xc2");
        FORM(17, "VMASKMOVPS of a register", "0xc4, 0xe2, 0x71, 0x2c, 0xc2");
        FORM(18, "VLDMXCSR with L", "0xc5, 0xfc, 0xae, 0x13");
        FORM(19, "VMOVNTPS of a register", "0xc5, 0xf8, 0x2b, 0xc2");
        FORM(20, "VEX map 0", "0xc4, 0xe0, 0x78, 0x58, 0xc2");
        FORM(21, "VEX map 4", "0xc4, 0xe4, 0x78, 0x58, 0xc2");
        FORM(22, "VPHMINPOSUW with L", "0xc4, 0xe2, 0x7d, 0x41, 0xc2");
        FORM(23, "VPCMPISTRI with L", "0xc4, 0xe3, 0x7d, 0x63, 0xc2, 0x00");
        FORM(24, "[qemu] MMX's PADDW in VEX (no 66)", "0xc5, 0xf0, 0xfd, 0xc2");
    default: return NULL;
    }
#undef FORM
}

static const struct snip *reserved_new_form(unsigned k, const char **what)
{
#define FORM(n, text, bytes)                                                                                 \
    case n: *what = text; return SNIP(".byte " bytes)
    switch (k) {
        FORM(0, "[qemu] VPERMQ without W", "0xc4, 0xe3, 0x7d, 0x00, 0xc2, 0x1b");
        FORM(1, "VPERMQ without L", "0xc4, 0xe3, 0xf9, 0x00, 0xc2, 0x1b");
        FORM(2, "[qemu] VPERMD with W", "0xc4, 0xe2, 0xf5, 0x36, 0xc2");
        FORM(3, "VPERMD without L", "0xc4, 0xe2, 0x71, 0x36, 0xc2");
        FORM(4, "VPBROADCASTB with vvvv", "0xc4, 0xe2, 0x71, 0x78, 0xc2");
        FORM(5, "[qemu] VPBLENDD with W", "0xc4, 0xe3, 0xf5, 0x02, 0xc2, 0x01");
        FORM(6, "[qemu] VPSRAVD with W", "0xc4, 0xe2, 0xf1, 0x46, 0xc2");
        FORM(7, "VINSERTI128 without L", "0xc4, 0xe3, 0x71, 0x38, 0xc2, 0x01");
        FORM(8, "[bochs] gather without SIB", "0xc4, 0xe2, 0x71, 0x90, 0x03");
        FORM(9, "gather of a register", "0xc4, 0xe2, 0x71, 0x90, 0xc2");
        FORM(10, "gather: destination is the mask", "0xc4, 0xe2, 0x79, 0x90, 0x04, 0x13");
        FORM(11, "gather: destination is the index", "0xc4, 0xe2, 0x71, 0x90, 0x04, 0x03");
        FORM(12, "gather: index is the mask", "0xc4, 0xe2, 0x69, 0x90, 0x04, 0x13");
        FORM(13, "[qemu] VCVTPH2PS with W", "0xc4, 0xe2, 0xf9, 0x13, 0xc2");
        FORM(14, "VCVTPS2PH with vvvv", "0xc4, 0xe3, 0x71, 0x1d, 0xc2, 0x00");
        FORM(15, "ANDN with L", "0xc4, 0xe2, 0x74, 0xf2, 0xc2");
        FORM(16, "BLSR's group, /0", "0xc4, 0xe2, 0x70, 0xf3, 0xc0");
        FORM(17, "BLSR's group, /4", "0xc4, 0xe2, 0x70, 0xf3, 0xe0");
        FORM(18, "[qemu] RORX with vvvv", "0xc4, 0xe3, 0x73, 0xf0, 0xc2, 0x01");
        FORM(19, "BZHI with L", "0xc4, 0xe2, 0x74, 0xf5, 0xc2");
        FORM(20, "66 before BMI's VEX", "0x66, 0xc4, 0xe2, 0x70, 0xf2, 0xc2");
        FORM(21, "66 F3 before BMI's VEX", "0xf3, 0xc4, 0xe2, 0x70, 0xf2, 0xc2");
    default: return NULL;
    }
#undef FORM
}

TEST(reserved)
{
    struct context c;
    const struct snip *s;
    const char *what;
    if (!avx_on())
        return;
    for (unsigned k = 0; (s = reserved_form(k, &what)); k++) {
        context_set(&c, s);
        c.bx = ADDR(area);
        RUN_FAULT(what, s, &c, UD, NO_ERROR);
    }
    if (CPU_HAS_AVX2 && CPU_HAS_F16C && CPU_HAS_BMI)
        for (unsigned k = 0; (s = reserved_new_form(k, &what)); k++) {
            context_set(&c, s);
            c.bx = ADDR(area);
            RUN_FAULT(what, s, &c, UD, NO_ERROR);
        }
    /* What only looks reserved: L and W that are ignored. */
    THROUGH("[qemu] VADDSS with L", SNIP(".byte 0xc5, 0xf6, 0x58, 0xc2"));
    THROUGH("VADDPS with W", SNIP(".byte 0xc4, 0xe1, 0xf0, 0x58, 0xc2"));
    THROUGH("VUCOMISS with L", SNIP(".byte 0xc5, 0xfc, 0x2e, 0xc2"));
#ifdef __x86_64__
    FAULT("REX before VEX", SNIP(".byte 0x48, 0xc5, 0xf4, 0x58, 0xc2"), UD, NO_ERROR);
#else
    /* C4 and C5 are LES and LDS where the next byte is no register form. */
    s = SNIP("lds (" BX "), %eax");
    memory_set(area, 0, 8);
    area[4] = SEL_DATA;
    context_set(&c, s);
    c.bx = ADDR(area);
    RUN_THROUGH("LDS is still there", s, &c);
    THROUGH("vvvv bit 3 is ignored outside 64-bit mode", SNIP(".byte 0xc4, 0xe1, 0x30, 0x58, 0xc2"));
#endif
    avx_off();
}

/* The upper half: zeroed by VEX.128, left by SSE; VZEROUPPER, VZEROALL. */
TEST(upper)
{
    uint32_t got[8];
    if (!avx_on())
        return;
#define UPPER(what, text, low, high)                                                                         \
    do {                                                                                                     \
        __asm__ volatile("vmovups %1, %%ymm0; vxorps %%xmm1, %%xmm1, %%xmm1\n" text "\nvmovups %%ymm0, %0"   \
                         : "=m"(got)                                                                         \
                         : "m"(pattern)                                                                      \
                         : "eax");                                                                           \
        CHECK_EQUAL(what ": low", low, got[0]);                                                              \
        CHECK_EQUAL(what ": high", high, got[4]);                                                            \
    } while (0)
    UPPER("SSE leaves it", "orps %%xmm1, %%xmm0", 0x11111111u, 0x55555555u);
    UPPER("VEX.128 zeroes it", "vorps %%xmm1, %%xmm0, %%xmm0", 0x11111111u, 0);
    UPPER("VEX.256 computes it", "vorps %%ymm1, %%ymm0, %%ymm0", 0x11111111u, 0x55555555u);
    UPPER("a scalar zeroes it", "vmovss %%xmm0, %%xmm0, %%xmm0", 0x11111111u, 0);
    UPPER("MOVD leaves it", "xor %%eax, %%eax; movd %%eax, %%xmm0", 0, 0x55555555u);
    UPPER("VMOVD zeroes it", "xor %%eax, %%eax; vmovd %%eax, %%xmm0", 0, 0);
    UPPER("VZEROUPPER", "vzeroupper", 0x11111111u, 0);
    UPPER("VZEROALL", "vzeroall", 0, 0);
    UPPER("a load of 8 bytes zeroes it", "vmovq %1, %%xmm0", 0x11111111u, 0);
    UPPER("CVTSI2SS leaves it", "xor %%eax, %%eax; cvtsi2ss %%eax, %%xmm0", 0, 0x55555555u);
#undef UPPER
    avx_off();
}

/* Alignment: VMOVA* and VMOVNT* fault, nothing else does; #AC by 16 bytes at most, none for masked moves and
 * gathers. */
TEST(alignment)
{
    struct context c;
    if (!avx_on())
        return;
    static const struct {
        unsigned off;
        bool wide, fault;
    } moves[] = {{0, true, false}, {16, true, true}, {1, true, true}, {16, false, false}, {8, false, true}};
    for (unsigned k = 0; k < COUNT(moves); k++) {
        const struct snip *load =
            moves[k].wide ? SNIP("vmovaps (" BX "), %ymm0") : SNIP("vmovaps (" BX "), %xmm0");
        const struct snip *store =
            moves[k].wide ? SNIP("vmovntps %ymm0, (" BX ")") : SNIP("vmovntps %xmm0, (" BX ")");
        for (unsigned n = 0; n < 2; n++) {
            const struct snip *s = n ? store : load;
            context_set(&c, s);
            c.bx = ADDR(area) + moves[k].off;
            if (moves[k].fault)
                RUN_FAULT("VMOVAPS, VMOVNTPS", s, &c, GP, 0);
            else
                RUN_THROUGH("VMOVAPS, VMOVNTPS aligned", s, &c);
        }
    }
    const struct snip *s =
        SNIP("vaddps 1(" BX "), %ymm0, %ymm0; vmovups %ymm0, 3(" BX "); vpaddb 5(" BX "), %xmm1, %xmm1");
    context_set(&c, s);
    c.bx = ADDR(area);
    RUN_THROUGH("VEX operands need no alignment", s, &c);

    write_cr0(read_cr0() | CR0_AM);
    static const struct {
        const char *what;
        unsigned off;
        bool fault;
    } checks[] = {{"[qemu bochs] 8", 8, true}, {"16", 16, false}, {"[qemu bochs] 1", 1, true}};
    for (unsigned k = 0; k < COUNT(checks); k++) {
        const struct snip *wide = SNIP("vmovups (" BX "), %ymm0"),
                          *masked =
                              SNIP("vpcmpeqd %xmm1, %xmm1, %xmm1\n" AT "vmaskmovps (" BX "), %xmm1, %xmm0");
        context_set_user(&c, wide);
        c.bx = ADDR(area) + checks[k].off;
        c.flags |= FLAG_AC;
        if (checks[k].fault)
            RUN_FAULT(checks[k].what, wide, &c, AC, 0);
        else
            RUN_THROUGH(checks[k].what, wide, &c);
        context_set_user(&c, masked);
        c.bx = ADDR(area) + checks[k].off;
        c.flags |= FLAG_AC;
        RUN_THROUGH("no #AC for VMASKMOVPS", masked, &c);
        if (CPU_HAS_AVX2) {
            const struct snip *gather = SNIP("vpcmpeqd %xmm1, %xmm1, %xmm1; vpxor %xmm2, %xmm2, %xmm2\n" AT
                                             "vpgatherdd %xmm1, (" BX ",%xmm2,1), %xmm0");
            context_set_user(&c, gather);
            c.bx = ADDR(area) + checks[k].off;
            c.flags |= FLAG_AC;
            RUN_THROUGH("no #AC for a gather", gather, &c);
        }
    }
    write_cr0(read_cr0() & ~(word)CR0_AM);
    avx_off();
}

static uint32_t in_use(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return low;
}

/* Which XCR0 are allowed, and what CPUID says of each; XINUSE as XGETBV(1) tells it. */
TEST(xcr0)
{
    struct context c;
    if (!avx_on())
        return;
    const struct snip *set = SNIP("xsetbv");
    static const uint32_t bad[] = {4, 5, 6, 0};
    for (unsigned k = 0; k < COUNT(bad); k++) {
        context_set(&c, set);
        c.ax = bad[k];
        RUN_FAULT("XSETBV of AVX without SSE, or without x87", set, &c, GP, 0);
    }
    struct cpuid d = cpuid(0xd, 0), avx = cpuid(0xd, 2);
    CHECK("CPUID D offers AVX", d.a & 4);
    CHECK_EQUAL("its size", 256, avx.a);
    CHECK_EQUAL("its place", 576, avx.b);
    CHECK_EQUAL("the area for XCR0 = 7", 832, d.b);
    CHECK("the area for all", d.c >= 832);
    xcr0_write(3);
    CHECK_EQUAL("the area for XCR0 = 3", 576, cpuid(0xd, 0).b);
    xcr0_write(7);
    CHECK("AVX2, FMA, F16C say no more than AVX",
          CPU_HAS_AVX || !(CPU_HAS_AVX2 || CPU_HAS_FMA || CPU_HAS_F16C));
    if (!cpu_has(0xd, 1, 'a', 2))
        return;
    __asm__ volatile("fninit; vzeroall");
    CHECK_EQUAL("[qemu] initial: AVX not in use", 0, in_use() & 4);
    __asm__ volatile("vmovups %0, %%ymm3" : : "m"(pattern));
    CHECK_EQUAL("an upper half: in use", 4, in_use() & 4);
    __asm__ volatile("vzeroupper");
    CHECK_EQUAL("[qemu] VZEROUPPER: not in use", 0, in_use() & 4);
    CHECK_EQUAL("SSE still is", 2, in_use() & 2);
    avx_off();
}

static uint64_t header(const uint8_t *at, unsigned off)
{
    return *(const uint64_t *)(const void *)(at + 512 + off);
}

TEST(xsave)
{
    struct context c;
    uint32_t got[8];
    if (!avx_on())
        return;
    memory_set(area, 0, sizeof(area));
    __asm__ volatile("vmovups %0, %%ymm0; vmovups %0, %%ymm7" : : "m"(pattern));
    __asm__ volatile("xsave %0" : "=m"(area) : "a"(7), "d"(0));
    CHECK_EQUAL("XSTATE_BV has AVX", 4, header(area, 0) & 4);
    CHECK_EQUAL("XMM7", 0, memory_compare(area + 160 + 7 * 16, pattern, 16));
    CHECK_EQUAL("YMM7's upper half", 0, memory_compare(area + 576 + 7 * 16, pattern + 4, 16));
    __asm__ volatile("vzeroall; xrstor %1; vmovups %%ymm7, %0" : "=m"(got) : "m"(area), "a"(7), "d"(0));
    CHECK_EQUAL("XRSTOR brings all of YMM7", 0, memory_compare(got, pattern, 32));
    __asm__ volatile("vzeroall; xrstor %1; vmovups %%ymm7, %0" : "=m"(got) : "m"(area), "a"(4), "d"(0));
    CHECK_EQUAL("AVX alone: the lower half stays", 0, got[0] | got[3]);
    CHECK_EQUAL("the upper half comes", 0x55555555u, got[4]);
    /* XSTATE_BV without AVX: the upper halves become 0. */
    area[512] = 3;
    __asm__ volatile("vmovups %2, %%ymm7; xrstor %1; vmovups %%ymm7, %0"
                     : "=m"(got)
                     : "m"(area), "m"(pattern), "a"(7), "d"(0));
    CHECK_EQUAL("not in XSTATE_BV: zero", 0, got[4] | got[7]);
    CHECK_EQUAL("the lower half from memory", 0x11111111u, got[0]);
    /* XSAVEOPT leaves out what is not in use. */
    if (cpu_has(0xd, 1, 'a', 0)) {
        memory_set(area, 0xee, 1024);
        memory_set(area + 512, 0, 64);
        area[512] = 4;
        __asm__ volatile("vzeroall; xsaveopt %0" : "=m"(area) : "a"(4), "d"(0));
        CHECK_EQUAL("[qemu] XSAVEOPT: XSTATE_BV says not in use", 0, header(area, 0));
        CHECK_EQUAL("[qemu] and writes nothing of it", 0xee, area[576]);
    }
    if (CPU_HAS_XSAVEC) {
        memory_set(area2, 0xee, 1024);
        __asm__ volatile("vmovups %1, %%ymm2; xsavec %0" : "=m"(area2) : "m"(pattern), "a"(4), "d"(0));
        CHECK_EQUAL("XSAVEC: XSTATE_BV", 4, header(area2, 0));
        CHECK_EQUAL("XCOMP_BV: compacted, AVX alone", 1ull << 63 | 4, header(area2, 8));
        CHECK_EQUAL("[bochs] AVX follows the header", 0, memory_compare(area2 + 576 + 2 * 16, pattern + 4, 16));
        CHECK_EQUAL("MXCSR is not written", 0xee, area2[24]);
        memory_set(area2 + 528, 0, 48);
        if (!known(QUIRK_BOCHS, "XRSTOR of the compacted form raises #GP")) {
            __asm__ volatile("vzeroall; xrstor %1; vmovups %%ymm2, %0" : "=m"(got) : "m"(area2), "a"(7), "d"(0));
            CHECK_EQUAL("XRSTOR of the compacted form", 0x55555555u, got[4]);
            CHECK_EQUAL("what it lacks is initial", 0, got[0]);
        }
        const struct snip *restore = SNIP("xrstor (" BX ")");
        area2[512] = 6; /* XSTATE_BV beyond XCOMP_BV */
        context_set(&c, restore);
        c.bx = ADDR(area2), c.ax = 7;
        RUN_FAULT("XSTATE_BV beyond XCOMP_BV", restore, &c, GP, 0);
        area2[512] = 4;
        area2[528] = 1;
        context_set(&c, restore);
        c.bx = ADDR(area2), c.ax = 7;
        RUN_FAULT("a reserved byte of the header", restore, &c, GP, 0);
        xcr0_write(3);
        area2[528] = 0;
        context_set(&c, restore);
        c.bx = ADDR(area2), c.ax = 3;
        RUN_FAULT("XCOMP_BV beyond XCR0", restore, &c, GP, 0);
        xcr0_write(7);
    }
    avx_off();
}
