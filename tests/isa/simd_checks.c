/* When a vector instruction may run at all: CR0, CR4, XCR0 and MXCSR against each class of instruction, and
 * what a refused or faulting one leaves behind. SDM vol. 2, tables 2-18 to 2-29; vol. 3, tables 23-1
 * and 14.1. */
#include <string.h>

#include "../unit/check.h"
#include "guest.h"

static struct world fresh(void)
{
    struct world w = {.rip = NATIVE_CODE, .rflags = 0x202, .fcw = 0x37f, .mxcsr = 0x1f80};
    memset(w.ymm, 0x11, sizeof w.ymm);
    w.gpr[RAX] = NATIVE_DATA;
    return w;
}

struct instruction {
    const char *name;
    u8 code[8];
    u8 len;
    bool sse, mmx, avx; /* what it touches */
};
static const struct instruction all[] = {
    {"PXOR xmm0, xmm1", {0x66, 0x0f, 0xef, 0xc1}, 4, .sse = true},
    {"MOVAPS xmm0, [rax]", {0x0f, 0x28, 0x00}, 3, .sse = true},
    {"ADDSD xmm0, xmm1", {0xf2, 0x0f, 0x58, 0xc1}, 4, .sse = true},
    {"UCOMISD xmm0, [rax]", {0x66, 0x0f, 0x2e, 0x00}, 4, .sse = true},
    {"STMXCSR [rax]", {0x0f, 0xae, 0x18}, 3, .sse = true},
    {"CVTSI2SD xmm0, eax", {0xf2, 0x0f, 0x2a, 0xc0}, 4, .sse = true},
    {"AESENC xmm0, xmm1", {0x66, 0x0f, 0x38, 0xdc, 0xc1}, 5, .sse = true},
    {"PCMPISTRI xmm0, xmm1, 0", {0x66, 0x0f, 0x3a, 0x63, 0xc1, 0}, 6, .sse = true},
    {"PADDB mm0, mm1", {0x0f, 0xfc, 0xc1}, 3, .mmx = true},
    {"MOVQ mm0, [rax]", {0x0f, 0x6f, 0x00}, 3, .mmx = true},
    {"EMMS", {0x0f, 0x77}, 2, .mmx = true},
    {"CVTPI2PS xmm0, mm1", {0x0f, 0x2a, 0xc1}, 3, .sse = true, .mmx = true},
    {"MOVQ2DQ xmm0, mm1", {0xf3, 0x0f, 0xd6, 0xc1}, 4, .sse = true, .mmx = true},
    {"VPXOR ymm0, ymm1, ymm2", {0xc5, 0xf5, 0xef, 0xc2}, 4, .avx = true},
    {"VMOVUPS ymm0, [rax]", {0xc5, 0xfc, 0x10, 0x00}, 4, .avx = true},
    {"VADDSD xmm0, xmm1, xmm2", {0xc5, 0xf3, 0x58, 0xc2}, 4, .avx = true},
    {"VFMADD231SD xmm0, xmm1, xmm2", {0xc4, 0xe2, 0xf1, 0xb9, 0xc2}, 5, .avx = true},
    {"VZEROALL", {0xc5, 0xfc, 0x77}, 3, .avx = true},
};

static struct guest g;

/* Runs I with the state changed by the caller; the vector must be WANT (-1: none) and, if there is one,
 * nothing else changed. */
static void expect(const struct instruction *i, struct world w, int want, const char *why)
{
    struct world before = w;
    guest_run(&g, &w, i->code, i->len);
    if (w.vector != want) {
        check_failures++;
        fprintf(stderr, "%s with %s: vector %d, not %d\n", i->name, why, w.vector, want);
    } else if (want >= 0) {
        CHECK_EQ(w.rip, before.rip);
        CHECK(!memcmp(w.ymm, before.ymm, sizeof w.ymm) && !memcmp(w.st, before.st, sizeof w.st));
        CHECK_EQ(w.fsw, before.fsw);
        CHECK_EQ(w.ftw, before.ftw);
        CHECK_EQ(w.mxcsr, before.mxcsr);
    }
}

static void test_control_registers(void)
{
    const u64 cr0 = g.c->cr0, cr4 = g.c->cr4, xcr0 = g.c->xcr0;
    for (unsigned k = 0; k < ARRAY_LEN(all); k++) {
        const struct instruction *i = &all[k];
        expect(i, fresh(), -1, "everything on");
        g.c->cr0 = cr0 | CR0_TS;
        expect(i, fresh(), VEC_NM, "CR0.TS");
        g.c->cr0 = cr0 | CR0_EM;
        expect(i, fresh(), i->avx ? -1 : VEC_UD, "CR0.EM");
        g.c->cr0 = cr0 | CR0_EM | CR0_TS;
        expect(i, fresh(), i->avx ? VEC_NM : VEC_UD, "CR0.EM and TS");
        g.c->cr0 = cr0;
        g.c->cr4 = cr4 & ~(u64)CR4_OSFXSR;
        expect(i, fresh(), i->sse ? VEC_UD : -1, "no CR4.OSFXSR");
        g.c->cr4 = cr4 & ~(u64)CR4_OSXSAVE;
        expect(i, fresh(), i->avx ? VEC_UD : -1, "no CR4.OSXSAVE");
        g.c->cr4 = cr4;
        g.c->xcr0 = 3;
        expect(i, fresh(), i->avx ? VEC_UD : -1, "no XCR0.AVX");
        g.c->xcr0 = 1;
        expect(i, fresh(), i->avx ? VEC_UD : -1, "no XCR0.SSE");
        g.c->xcr0 = xcr0;
        struct world w = fresh();
        w.fcw = 0x37e;
        w.fsw = 0x8081;
        expect(i, w, i->mmx ? VEC_MF : -1, "a pending x87 exception");
        g.c->cr0 = cr0 & ~(u64)CR0_NE;
        g.ferrs = 0;
        expect(i, w, -1, "a pending x87 exception and CR0.NE = 0");
        CHECK_EQ(g.ferrs, i->mmx);
        g.c->cr0 = cr0;
    }
}

static void test_numeric_exceptions(void)
{
    const struct instruction divide = {"DIVSD xmm0, xmm1", {0xf2, 0x0f, 0x5e, 0xc1}, 4, .sse = true};
    const u64 cr4 = g.c->cr4;
    struct world w = fresh();
    const double one = 1;
    memcpy(w.ymm[0], &one, 8);
    memset(w.ymm[1], 0, 8);
    w.mxcsr = 0x1d80; /* ZM clear */
    struct world r = w;
    guest_run(&g, &r, divide.code, divide.len);
    CHECK_EQ(r.vector, VEC_XM);
    CHECK_EQ(r.mxcsr, 0x1d84);
    CHECK(!memcmp(r.ymm, w.ymm, sizeof w.ymm));
    CHECK_EQ(r.rip, w.rip);
    g.c->cr4 = cr4 & ~(u64)CR4_OSXMMEXCPT;
    r = w;
    guest_run(&g, &r, divide.code, divide.len);
    CHECK_EQ(r.vector, VEC_UD);
    g.c->cr4 = cr4;
    /* A sticky flag of before does not trap. */
    r = w;
    r.mxcsr = 0x1d84;
    memcpy(r.ymm[1], &one, 8);
    guest_run(&g, &r, divide.code, divide.len);
    CHECK_EQ(r.vector, -1);
    CHECK_EQ(r.mxcsr, 0x1d84);
}

static void test_mxcsr(void)
{
    static const u8 ldmxcsr[] = {0x0f, 0xae, 0x10}, stmxcsr[] = {0x0f, 0xae, 0x18},
                    vldmxcsr[] = {0xc5, 0xf8, 0xae, 0x10};
    struct world w = fresh();
    u32 v = 0xffff;
    memcpy(guest_data(&g), &v, 4);
    guest_run(&g, &w, ldmxcsr, sizeof ldmxcsr);
    CHECK_EQ(w.vector, -1);
    CHECK_EQ(w.mxcsr, 0xffff);
    w = fresh();
    w.mxcsr = 0x5fbf;
    guest_run(&g, &w, stmxcsr, sizeof stmxcsr);
    memcpy(&v, guest_data(&g), 4);
    CHECK_EQ(v, 0x5fbf);
    v = 0x10000;
    memcpy(guest_data(&g), &v, 4);
    w = fresh();
    guest_run(&g, &w, ldmxcsr, sizeof ldmxcsr);
    CHECK_EQ(w.vector, VEC_GP);
    CHECK_EQ(w.error, 0);
    CHECK_EQ(w.mxcsr, 0x1f80);
    w = fresh();
    guest_run(&g, &w, vldmxcsr, sizeof vldmxcsr);
    CHECK_EQ(w.vector, VEC_GP);
}

/* What CPUID does not offer is no instruction: VAES, VPCLMULQDQ, EVEX, and AVX on a CPU of level v2. */
static void test_not_offered(void)
{
    static const struct instruction no[] = {
        {"VAESENC ymm0, ymm1, ymm2", {0xc4, 0xe2, 0x75, 0xdc, 0xc2}, 5},
        {"VPCLMULQDQ ymm0, ymm1, ymm2, 0", {0xc4, 0xe3, 0x75, 0x44, 0xc2, 0}, 6},
        {"VADDPS zmm0, zmm1, zmm2", {0x62, 0xf1, 0x74, 0x48, 0x58, 0xc2}, 6},
    };
    for (unsigned k = 0; k < ARRAY_LEN(no); k++)
        expect(&no[k], fresh(), VEC_UD, "CPUID that does not offer it");
    struct cpu_model *v3 = g.model, *v2 = cpu_model_create(CPU_LEVEL_V2, 1, MEM_PHYS_BITS);
    g.c->wires.model = v2;
    for (unsigned k = 0; k < ARRAY_LEN(all); k++)
        expect(&all[k], fresh(), all[k].avx ? VEC_UD : -1, "level v2");
    g.c->wires.model = v3;
    cpu_model_destroy(v2);
}

int main(void)
{
    if (!guest_create(&g))
        return 1;
    test_control_registers();
    test_numeric_exceptions();
    test_mxcsr();
    test_not_offered();
    guest_destroy(&g);
    return check_done();
}
