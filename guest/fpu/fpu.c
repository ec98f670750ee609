/* x87, MMX and SSE state, both worlds: initial state, the save areas, tags, stack faults, rounding, MXCSR,
 * XSAVE and its header. SDM 1 chapters 8, 10, 13. No transcendental functions: their last bits are a
 * model's own. */
#include "guest.h"

struct environment {
    uint32_t control, status, tags, ip, cs_opcode, dp, ds;
} __attribute__((packed));

struct x87_area {
    struct environment env;
    uint8_t registers[80];
} __attribute__((packed));

static uint8_t area[4096] ALIGNED(64);
static uint8_t area2[4096] ALIGNED(64);

static void fpu_on(void)
{
    write_cr0((read_cr0() & ~(word)(CR0_TS | CR0_EM)) | CR0_NE | CR0_MP);
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    __asm__ volatile("fninit");
    static const uint32_t mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static uint16_t status_word(void)
{
    uint16_t v;
    __asm__ volatile("fnstsw %0" : "=m"(v));
    return v;
}

static uint16_t control_word(void)
{
    uint16_t v;
    __asm__ volatile("fnstcw %0" : "=m"(v));
    return v;
}

static void control_set(uint16_t v)
{
    __asm__ volatile("fldcw %0" : : "m"(v));
}

static struct environment environment(void)
{
    struct environment e;
    uint16_t control = control_word();
    __asm__ volatile("fnstenv %0" : "=m"(e) : : "memory");
    control_set(control); /* FNSTENV masks all exceptions */
    return e;
}

TEST(init)
{
    fpu_on();
    __asm__ volatile("fld1; fld1; fninit");
    struct environment e = environment();
    CHECK_EQUAL("FCW", 0x37f, e.control & 0xffff);
    CHECK_EQUAL("FSW", 0, e.status & 0xffff);
    CHECK_EQUAL("FTW: all empty", 0xffff, e.tags & 0xffff);
    CHECK_EQUAL("FIP", 0, e.ip);
    CHECK_EQUAL("FCS and opcode", 0, e.cs_opcode & 0x7ffffff);
    CHECK_EQUAL("FDP", 0, e.dp);
    CHECK_EQUAL("[qemu] the upper halves are ones", 0xffff0000u, e.control & e.status & e.tags & 0xffff0000u);
    __asm__ volatile("fld1; fldz");
    e = environment();
    CHECK_EQUAL("two loads: TOP 6", 6u << 11, e.status & 0x3800);
    CHECK_EQUAL("tags: ST1 valid, ST0 zero, the rest empty", 0x1fff, e.tags & 0xffff);
    __asm__ volatile("fninit");
}

TEST(fnsave_frstor)
{
    fpu_on();
    struct x87_area *a = (void *)area, *b = (void *)area2;
    __asm__ volatile("fld1; fldpi; fldz; fchs");
    __asm__ volatile("fnsave %0" : "=m"(*a) : : "memory");
    CHECK_EQUAL("FNSAVE initializes", 0x37f, control_word());
    CHECK_EQUAL("status", 0, status_word());
    CHECK_EQUAL("TOP saved", 5u << 11, a->env.status & 0x3800);
    static const uint8_t pi[10] = {0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40};
    static const uint8_t minus_zero[10] = {[9] = 0x80};
    CHECK_EQUAL("ST0 is -0", 0, memory_compare(a->registers, minus_zero, 10));
    CHECK_EQUAL("ST1 is pi", 0, memory_compare(a->registers + 10, pi, 10));
    __asm__ volatile("frstor %0" : : "m"(*a));
    __asm__ volatile("fnsave %0" : "=m"(*b) : : "memory");
    CHECK_EQUAL("[qemu] a round trip", 0, memory_compare(a, b, sizeof(*a)));
    /* The form with 16-bit operands: 94 bytes. */
    memory_set(area, 0xee, 128);
    __asm__ volatile("fld1; .byte 0x66; fnsave %0" : "=m"(*a) : : "memory");
    CHECK_EQUAL("FNSAVE of 16 bits: control", 0x37f, *(uint16_t *)(void *)area);
    CHECK_EQUAL("status", 7u << 11, ((uint16_t *)(void *)area)[1]);
    CHECK_EQUAL("tags", 0x3fff, ((uint16_t *)(void *)area)[2]);
    CHECK_EQUAL("94 bytes", 0xee, area[94]);
    CHECK_EQUAL("ST0 at 14", 0x3fff, *(uint16_t *)(void *)(area + 22));
}

TEST(fxsave_fxrstor)
{
    struct context c;
    fpu_on();
    memory_set(area, 0xee, 512);
    static const uint32_t pattern[4] = {0x11111111, 0x22222222, 0x33333333, 0x44444444};
    __asm__ volatile("movups %0, %%xmm0; movaps %%xmm0, %%xmm7" : : "m"(pattern));
    __asm__ volatile("fld1; fldpi");
    __asm__ volatile("fxsave %0" : "=m"(area));
    CHECK_EQUAL("FCW", 0x37f, *(uint16_t *)(void *)area);
    CHECK_EQUAL("TOP", 6u << 11, ((uint16_t *)(void *)area)[1]);
    CHECK_EQUAL("abridged tags", 0xc0, area[4]);
    CHECK_EQUAL("MXCSR", 0x1f80, *(uint32_t *)(void *)(area + 24));
    CHECK_EQUAL("MXCSR_MASK has DAZ", 0xffff, *(uint32_t *)(void *)(area + 28) & 0xffff);
    CHECK_EQUAL("ST0's exponent", 0x4000, *(uint16_t *)(void *)(area + 40));
    CHECK_EQUAL("XMM0", 0, memory_compare(area + 160, pattern, 16));
    CHECK_EQUAL("XMM7", 0, memory_compare(area + 160 + 7 * 16, pattern, 16));
    __asm__ volatile("fninit; xorps %%xmm0, %%xmm0; fxrstor %0" : : "m"(area));
    CHECK_EQUAL("FXSAVE did not initialize; FXRSTOR brings TOP", 6u << 11, status_word());
    uint32_t xmm0[4];
    __asm__ volatile("movups %%xmm0, %0" : "=m"(xmm0));
    CHECK_EQUAL("XMM0 is back", 0, memory_compare(xmm0, pattern, 16));
    const struct snip *restore = SNIP("fxrstor (" BX ")"), *save = SNIP("fxsave (" BX ")");
    *(uint32_t *)(void *)(area + 24) = 0x1f80 | 1u << 16;
    context_set(&c, restore);
    c.bx = ADDR(area);
    RUN_FAULT("[qemu] FXRSTOR of a reserved bit of MXCSR", restore, &c, GP, 0);
    *(uint32_t *)(void *)(area + 24) = 0x1f80;
    context_set(&c, restore);
    c.bx = ADDR(area) + 8;
    RUN_FAULT("FXRSTOR misaligned", restore, &c, GP, 0);
    context_set(&c, save);
    c.bx = ADDR(area) + 8;
    RUN_FAULT("FXSAVE misaligned", save, &c, GP, 0);
    __asm__ volatile("fninit");
}

/* Stack faults: IE and SF, C1 tells overflow from underflow, the masked answer is the indefinite. */
TEST(stack_fault)
{
    static const uint8_t indefinite[10] = {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff};
    uint8_t value[10];
    fpu_on();
    for (unsigned i = 0; i < 8; i++)
        __asm__ volatile("fld1");
    CHECK_EQUAL("eight fit", 0, status_word() & 0x7f);
    __asm__ volatile("fldz");
    CHECK_EQUAL("[qemu] the ninth: IE, SF, C1", 0x241, status_word() & 0x27f);
    __asm__ volatile("fstpt %0" : "=m"(value));
    CHECK_EQUAL("[qemu] the indefinite", 0, memory_compare(value, indefinite, 10));
    __asm__ volatile("fninit; fadds %0" : : "m"(value));
    CHECK_EQUAL("[qemu] an empty register: IE, SF, C1 clear", 0x41, status_word() & 0x27f);
    __asm__ volatile("fninit; fstpt %0" : "=m"(value));
    CHECK_EQUAL("[qemu] FSTP of an empty register stores the indefinite", 0,
                memory_compare(value, indefinite, 10));
    __asm__ volatile("fninit; fincstp; fdecstp; fdecstp");
    CHECK_EQUAL("FDECSTP", 7u << 11, status_word());
    __asm__ volatile("fninit");
    /* Unmasked, neither TOP nor the registers change. */
    struct context c;
    static const uint16_t unmasked = 0x37e;
    const struct snip *s = SNIP("fldcw (" BX "); fstp %st\n" AT "fwait");
    context_set(&c, s);
    c.bx = ADDR(&unmasked);
    RUN_FAULT("[qemu] unmasked underflow", s, &c, MF, NO_ERROR);
    CHECK_EQUAL("[qemu] TOP unchanged", 0, status_word() & 0x3800);
    __asm__ volatile("fninit");
}

static uint64_t double_of(void)
{
    uint64_t v;
    __asm__ volatile("fstpl %0" : "=m"(v));
    return v;
}

TEST(rounding)
{
    fpu_on();
    static const struct {
        uint16_t control;
        int32_t plus, minus;
    } table[] = {{0x37f, 2, -2}, {0x77f, 2, -3}, {0xb7f, 3, -2}, {0xf7f, 2, -2}};
    static const float plus = 2.5f, minus = -2.5f;
    for (unsigned i = 0; i < COUNT(table); i++) {
        int32_t a, b;
        control_set(table[i].control);
        __asm__ volatile("flds %2; fistpl %0; flds %3; fistpl %1" : "=m"(a), "=m"(b) : "m"(plus), "m"(minus));
        CHECK_EQUAL("2.5", (uint32_t)table[i].plus, (uint32_t)a);
        CHECK_EQUAL("-2.5", (uint32_t)table[i].minus, (uint32_t)b);
        __asm__ volatile("flds %1; fisttpl %0" : "=m"(a) : "m"(plus));
        CHECK_EQUAL("FISTTP truncates in every mode", 2, (uint32_t)a);
    }
    /* Precision control: 1/3 in 24, 53 and 64 bits. */
    static const struct {
        uint16_t control;
        uint64_t third;
    } precise[] = {{0x07f, 0xaaaaab0000000000}, {0x27f, 0xaaaaaaaaaaaaa800}, {0x37f, 0xaaaaaaaaaaaaaaab}};
    for (unsigned i = 0; i < COUNT(precise); i++) {
        uint8_t value[10];
        static const float three = 3;
        control_set(precise[i].control);
        __asm__ volatile("fld1; fdivs %1; fstpt %0" : "=m"(value) : "m"(three));
        CHECK_EQUAL("1/3", precise[i].third, *(uint64_t *)(void *)value);
    }
    __asm__ volatile("fninit");
    static const float big = 1e20f;
    int32_t out;
    __asm__ volatile("flds %1; fistpl %0" : "=m"(out) : "m"(big));
    CHECK_EQUAL("too large: the integer indefinite", 0x80000000u, (uint32_t)out);
    CHECK_EQUAL("IE", 1, status_word() & 0x7f);
    __asm__ volatile("fnclex");
    CHECK_EQUAL("FNCLEX", 0, status_word() & 0x80ff);
    static const float one = 1, zero = 0;
    __asm__ volatile("fldz; fdivs %0" : : "m"(one));
    CHECK_EQUAL("0/1", 0, double_of());
    CHECK_EQUAL("no exception", 0, status_word() & 0x7f);
    __asm__ volatile("fld1; fdivs %0" : : "m"(zero));
    uint64_t quotient = double_of();
    CHECK_EQUAL("1/0: infinity", 0x7ff0000000000000, quotient);
    CHECK_EQUAL("ZE", 4, status_word() & 0x7f);
    __asm__ volatile("fninit");
}

TEST(arithmetic)
{
    fpu_on();
    static const struct {
        const char *what;
        uint64_t a, b, sum, product, quotient;
    } table[] = {
        {"1.5 and 2.25", 0x3ff8000000000000, 0x4002000000000000, 0x400e000000000000, 0x400b000000000000,
         0x3fe5555555555555},
        {"1e300 and 1e-300", 0x7e37e43c8800759c, 0x01a56e1fc2f8f359, 0x7e37e43c8800759c, 0x3ff0000000000000,
         0x7ff0000000000000},
        {"-3 and 7", 0xc008000000000000, 0x401c000000000000, 0x4010000000000000, 0xc035000000000000,
         0xbfdb6db6db6db6db},
        {"infinity and 1", 0x7ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000000, 0x7ff0000000000000,
         0x7ff0000000000000},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        __asm__ volatile("fninit; fldl %0; faddl %1" : : "m"(table[i].a), "m"(table[i].b));
        CHECK_EQUAL("x87 sum", table[i].sum, double_of());
        __asm__ volatile("fldl %0; fmull %1" : : "m"(table[i].a), "m"(table[i].b));
        CHECK_EQUAL("x87 product", table[i].product, double_of());
        __asm__ volatile("fldl %0; fdivl %1" : : "m"(table[i].a), "m"(table[i].b));
        CHECK_EQUAL("x87 quotient", table[i].quotient, double_of());
        uint64_t out[3];
        __asm__ volatile("movsd %3, %%xmm0; movsd %4, %%xmm1; movapd %%xmm0, %%xmm2; addsd %%xmm1, %%xmm2\n"
                         "movsd %%xmm2, %0; movapd %%xmm0, %%xmm2; mulsd %%xmm1, %%xmm2; movsd %%xmm2, %1\n"
                         "divsd %%xmm1, %%xmm0; movsd %%xmm0, %2"
                         : "=m"(out[0]), "=m"(out[1]), "=m"(out[2])
                         : "m"(table[i].a), "m"(table[i].b));
        CHECK_EQUAL("SSE2 sum", table[i].sum, out[0]);
        CHECK_EQUAL("SSE2 product", table[i].product, out[1]);
        CHECK_EQUAL("SSE2 quotient", table[i].quotient, out[2]);
    }
    /* FCOMI and UCOMISD: ZF, PF, CF. */
    static const double one = 1, two = 2;
    static const uint64_t nan = 0x7ff8000000000000;
    static const struct {
        const void *a, *b;
        word flags;
    } compares[] = {{&two, &one, 0},
                    {&one, &two, FLAG_CF},
                    {&one, &one, FLAG_ZF},
                    {&nan, &one, FLAG_ZF | FLAG_PF | FLAG_CF}};
    for (unsigned i = 0; i < COUNT(compares); i++) {
        struct context c;
        const struct snip *s = SNIP("fninit; fldl (" SI "); fldl (" DI "); fucomip %st(1), %st; fstp %st");
        const struct snip *t = SNIP("movsd (" DI "), %xmm0; ucomisd (" SI "), %xmm0");
        context_set(&c, s);
        c.di = ADDR(compares[i].a);
        c.si = ADDR(compares[i].b);
        c.flags |= FLAG_OF;
        RUN_THROUGH("FUCOMIP", s, &c);
        CHECK_EQUAL("ZF, PF, CF", compares[i].flags, c.flags & (FLAG_ZF | FLAG_PF | FLAG_CF));
        context_set(&c, t);
        c.di = ADDR(compares[i].a);
        c.si = ADDR(compares[i].b);
        c.flags |= FLAG_OF | FLAG_SF;
        RUN_THROUGH("UCOMISD", t, &c);
        CHECK_EQUAL("and OF, SF clear", compares[i].flags, c.flags & FLAGS_STATUS & ~(word)FLAG_AF);
    }
    __asm__ volatile("fninit");
}

TEST(bcd)
{
    fpu_on();
    static const uint8_t bcd[10] = {0x21, 0x43, 0x65, 0x87, 0x09, 0, 0, 0, 0, 0x80};
    uint8_t out[10];
    int64_t value;
    __asm__ volatile("fbld %1; fld %%st; fistpll %0" : "=m"(value) : "m"(bcd));
    CHECK_EQUAL("FBLD", (u64)-987654321ll, (u64)value);
    __asm__ volatile("fbstp %0" : "=m"(out));
    CHECK_EQUAL("FBSTP", 0, memory_compare(out, bcd, 10));
    __asm__ volatile("fninit");
}

TEST(mmx)
{
    fpu_on();
    static const uint64_t value = 0x1122334455667788;
    uint64_t out;
    struct x87_area *a = (void *)area;
    __asm__ volatile("fld1; movq %1, %%mm3; paddb %%mm3, %%mm3; movq %%mm3, %0" : "=m"(out) : "m"(value));
    CHECK_EQUAL("PADDB", 0x22446688aaccee10, out);
    __asm__ volatile("fnsave %0" : "=m"(*a) : : "memory");
    CHECK_EQUAL("an MMX instruction sets TOP to 0", 0, a->env.status & 0x3800);
    CHECK_EQUAL("and no tag is left empty", 0, a->env.tags & a->env.tags >> 1 & 0x5555);
    CHECK_EQUAL("[qemu] exponent of ones", 0xffff, *(uint16_t *)(void *)(a->registers + 38));
    CHECK_EQUAL("MM3 is R3", 0x22446688aaccee10, *(uint64_t *)(void *)(a->registers + 30));
    __asm__ volatile("movq %0, %%mm0; emms" : : "m"(value));
    CHECK_EQUAL("EMMS empties", 0xffff, environment().tags & 0xffff);
    __asm__ volatile("fninit");
}

TEST(mxcsr)
{
    fpu_on();
    static const uint32_t denormal = 1, one = 0x3f800000;
    uint32_t out, flags;
    static const uint32_t daz = 0x1f80 | 1u << 6, normal = 0x1f80, up = 0x1f80 | 2u << 13;
    __asm__ volatile("ldmxcsr %3; movss %2, %%xmm0; addss %%xmm0, %%xmm0; movss %%xmm0, %0; stmxcsr %1"
                     : "=m"(out), "=m"(flags)
                     : "m"(denormal), "m"(normal));
    CHECK_EQUAL("denormals add", 2, out);
    CHECK_EQUAL("[qemu] DE is set", 2, flags & 0x3f);
    __asm__ volatile("ldmxcsr %3; movss %2, %%xmm0; addss %%xmm0, %%xmm0; movss %%xmm0, %0; stmxcsr %1"
                     : "=m"(out), "=m"(flags)
                     : "m"(denormal), "m"(daz));
    CHECK_EQUAL("DAZ: zero", 0, out);
    CHECK_EQUAL("and no DE", 0, flags & 0x3f);
    static const uint32_t tiny = 0x33000000;
    __asm__ volatile("ldmxcsr %4; movss %2, %%xmm0; addss %3, %%xmm0; movss %%xmm0, %0; stmxcsr %1"
                     : "=m"(out), "=m"(flags)
                     : "m"(one), "m"(tiny), "m"(up));
    CHECK_EQUAL("rounding up", one + 1, out);
    CHECK_EQUAL("PE", 0x20, flags & 0x3f);
    __asm__ volatile("ldmxcsr %0" : : "m"(normal));
}

static void xsetbv(uint64_t v)
{
    __asm__ volatile("xsetbv" : : "a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(0));
}

TEST(xsave)
{
    struct context c;
    if (!CPU_HAS_XSAVE) {
        skip("CPUID has no XSAVE");
        return;
    }
    fpu_on();
    CHECK("CPUID.OSXSAVE follows CR4: clear", !cpu_has(1, 0, 'c', 27));
    write_cr4(read_cr4() | CR4_OSXSAVE);
    CHECK("set", cpu_has(1, 0, 'c', 27));
    xsetbv(3);
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    CHECK_EQUAL("XGETBV", 3, low);
    CHECK_EQUAL("its upper half", 0, high);
    CHECK_EQUAL("CPUID D: the size for XCR0", 576, cpuid(0xd, 0).b);
    const struct snip *set = SNIP("xsetbv"), *get = SNIP("xgetbv"), *save = SNIP("xsave (" BX ")"),
                      *restore = SNIP("xrstor (" BX ")");
    static const uint32_t bad[] = {0, 2, 5, 1u << 31, 0x20 | 3, 0x80 | 3};
    for (unsigned i = 0; i < COUNT(bad); i++) {
        context_set(&c, set);
        c.ax = bad[i];
        RUN_FAULT("XSETBV of a value that is not allowed", set, &c, GP, 0);
    }
    context_set_user(&c, set);
    c.ax = 3;
    RUN_FAULT("XSETBV in ring 3", set, &c, GP, 0);
    context_set(&c, set);
    c.ax = 3;
    c.cx = 1;
    RUN_FAULT("XSETBV of XCR1", set, &c, GP, 0);
    context_set(&c, get);
    c.cx = 7;
    RUN_FAULT("XGETBV of XCR7", get, &c, GP, 0);

    uint64_t *header = (void *)(area + 512);
    static const uint32_t pattern[4] = {1, 2, 3, 4};
    uint32_t xmm0[4];
    memory_set(area, 0, sizeof(area));
    __asm__ volatile("fninit; fldpi; movups %0, %%xmm0" : : "m"(pattern));
    __asm__ volatile("xsave %0" : "=m"(area) : "a"(3), "d"(0));
    CHECK_EQUAL("XSTATE_BV", 3, header[0]);
    CHECK_EQUAL("XCOMP_BV", 0, header[1]);
    CHECK_EQUAL("XMM0", 0, memory_compare(area + 160, pattern, 16));
    __asm__ volatile("fninit; xorps %%xmm0, %%xmm0; xrstor %1; movups %%xmm0, %0"
                     : "=m"(xmm0)
                     : "m"(area), "a"(3), "d"(0));
    CHECK_EQUAL("XRSTOR brings XMM0", 0, memory_compare(xmm0, pattern, 16));
    CHECK_EQUAL("and TOP", 7u << 11, status_word());
    /* Only what the mask asks for. */
    __asm__ volatile("xorps %%xmm0, %%xmm0; fninit; xrstor %1; movups %%xmm0, %0"
                     : "=m"(xmm0)
                     : "m"(area), "a"(1), "d"(0));
    CHECK_EQUAL("mask 1 leaves XMM0", 0, xmm0[0]);
    CHECK_EQUAL("and brings TOP", 7u << 11, status_word());
    /* What XSTATE_BV lacks is initialized, MXCSR comes from memory. */
    header[0] = 1;
    *(uint32_t *)(void *)(area + 24) = 0x1fc0;
    __asm__ volatile("movups %2, %%xmm0; xrstor %1; movups %%xmm0, %0"
                     : "=m"(xmm0)
                     : "m"(area), "m"(pattern), "a"(3), "d"(0));
    CHECK_EQUAL("SSE not in XSTATE_BV: XMM0 is zero", 0, xmm0[0] | xmm0[3]);
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    CHECK_EQUAL("MXCSR is loaded all the same", 0x1fc0, mxcsr);
    *(uint32_t *)(void *)(area + 24) = 0x1f80;
    /* XSAVE writes only its components, and the header's bits of them alone. */
    memory_set(area2, 0xee, 1024);
    memory_set(area2 + 512, 0, 64);
    *(uint64_t *)(void *)(area2 + 512) = 4;
    __asm__ volatile("fldpi; xsave %0" : "=m"(area2) : "a"(1), "d"(0));
    CHECK_EQUAL("other bits of XSTATE_BV stay", 5, *(uint64_t *)(void *)(area2 + 512));
    CHECK_EQUAL("XMM not written", 0xee, area2[160]);
    CHECK_EQUAL("MXCSR not written", 0xee, area2[24]);
    struct {
        const char *what;
        unsigned at;
        uint8_t value;
    } broken[] = {
        {"XSTATE_BV beyond XCR0", 0, 4},
        {"[qemu] XSTATE_BV bit 63", 7, 0x80},
        {"XCOMP_BV without XSAVEC", 8, 1},
        {"[qemu] a reserved byte of the header", 16, 1},
    };
    for (unsigned i = 0; i < COUNT(broken); i++) {
        memory_set(area + 512, 0, 64);
        area[512] = 3;
        area[512 + broken[i].at] |= broken[i].value;
        context_set(&c, restore);
        c.bx = ADDR(area);
        c.ax = 3;
        RUN_FAULT(broken[i].what, restore, &c, GP, 0);
    }
    memory_set(area + 512, 0, 64);
    context_set(&c, save);
    c.bx = ADDR(area) + 16;
    c.ax = 3;
    RUN_FAULT("XSAVE misaligned", save, &c, GP, 0);
    context_set(&c, restore);
    c.bx = ADDR(area) + 16;
    c.ax = 3;
    RUN_FAULT("XRSTOR misaligned", restore, &c, GP, 0);
    write_cr0(read_cr0() | CR0_TS);
    context_set(&c, save);
    c.bx = ADDR(area);
    c.ax = 3;
    RUN_FAULT("[qemu] XSAVE with TS", save, &c, NM, NO_ERROR);
    write_cr0(read_cr0() & ~(word)CR0_TS);
    write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
    context_set(&c, save);
    c.bx = ADDR(area);
    RUN_FAULT("XSAVE without OSXSAVE", save, &c, UD, NO_ERROR);
    __asm__ volatile("fninit");
}

/* The last instruction's address, as FNSTENV tells it. */
TEST(pointers)
{
    struct context c;
    fpu_on();
    static const float value = 1;
    const struct snip *s = SNIP("fninit\n" AT "flds (" BX "); nop; fnstenv (" SI ")");
    struct environment *e = (void *)area;
    context_set(&c, s);
    c.bx = ADDR(&value);
    c.si = ADDR(area);
    RUN_THROUGH("FNSTENV", s, &c);
    CHECK_EQUAL("FIP", (uint32_t)s->at, e->ip);
    __asm__ volatile("fninit");
}
