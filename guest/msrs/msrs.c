/* Model-specific registers and the time-stamp counter: width, reserved bits, privilege, what does not exist;
 * TSC, IA32_TSC_ADJUST, TSC_AUX, CR4.TSD. SDM vol. 2 RDMSR, WRMSR, RDTSC(P); vol. 3, 12.11 (MTRRs), 18.17
 * (TSC); vol. 4, table 2-2. */
#include "guest.h"

enum {
    TSC = 0x10,
    TSC_ADJUST = 0x3b,
    MTRRCAP = 0xfe,
    MTRR_PHYSBASE0 = 0x200,
    MTRR_PHYSMASK0 = 0x201,
    MTRR_FIX64K = 0x250,
    MTRR_DEF_TYPE = 0x2ff,
};
#define TSC_AUX        0xc0000103u
#define CPU_HAS_RDTSCP cpu_has(0x80000001u, 0, 'd', 27)

static void wrmsr_is(const char *what, uint32_t msr, uint64_t v, bool ok)
{
    struct context c;
    const struct snip *s = SNIP(AT "wrmsr\n");
    context_set(&c, s);
    c.cx = msr;
    c.ax = (uint32_t)v;
    c.dx = (uint32_t)(v >> 32);
    if (ok)
        RUN_THROUGH(what, s, &c);
    else
        RUN_FAULT(what, s, &c, GP, 0);
}

TEST(privilege)
{
    struct context c;
    const struct snip *rd = SNIP(AT "rdmsr\n"), *wr = SNIP(AT "wrmsr\n");
    context_set_user(&c, rd);
    c.cx = TSC;
    RUN_FAULT("RDMSR in ring 3", rd, &c, GP, 0);
    context_set_user(&c, wr);
    c.cx = TSC;
    RUN_FAULT("WRMSR in ring 3", wr, &c, GP, 0);
    context_set(&c, rd);
    c.cx = MSR_EFER;
    c.ax = c.dx = (word)0x1234567812345678ull;
#ifdef __x86_64__
    c.cx |= 0x5a5a5a5aul << 32;
#endif
    RUN_THROUGH("RDMSR: only ECX counts", rd, &c);
    CHECK_EQUAL("upper halves are zero", rdmsr(MSR_EFER), (uint64_t)c.dx << 32 | c.ax);
}

TEST(addresses)
{
    static const uint32_t all[] = {MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_LSTAR,         MSR_CSTAR,
                                   MSR_FS_BASE,      MSR_GS_BASE,      MSR_KERNEL_GS_BASE};
    if (!CPU_HAS_LM) {
        skip("32-bit processor");
        return;
    }
    for (unsigned k = 0; k < COUNT(all); k++) {
        uint64_t old = rdmsr(all[k]);
        wrmsr_is("[qemu] lowest that is not canonical", all[k], 0x0000800000000000, false);
        wrmsr_is("[qemu] highest", all[k], 0xffff7fffffffffff, false);
        wrmsr_is("[qemu] bit 63 alone", all[k], 1ull << 63, false);
        wrmsr(all[k], old); /* where they were taken */
        wrmsr(all[k], 0x00007fffffffffff); /* directly: coming back from a context loads FS and GS */
        CHECK_EQUAL("reads back", 0x00007fffffffffff, rdmsr(all[k]));
        wrmsr(all[k], 0xffff800000000000);
        CHECK_EQUAL("reads back", 0xffff800000000000, rdmsr(all[k]));
        wrmsr(all[k], old);
    }
}

TEST(efer)
{
    uint64_t old = rdmsr(MSR_EFER);
    for (unsigned bit = 1; bit < 64; bit++) {
        if (bit == 8 || bit == 10 || bit == 11)
            continue;
        if (bit >= 12 && bit <= 15)
            continue; /* AMD's SVME, LMSLE, FFXSR, TCE */
        wrmsr_is("[qemu] reserved bit", MSR_EFER, old | 1ull << bit, false);
        wrmsr(MSR_EFER, old);
    }
    wrmsr_is("LMA is ignored", MSR_EFER, old ^ EFER_LMA, true);
    CHECK_EQUAL("LMA stays", old, rdmsr(MSR_EFER));
}

TEST(memory_types)
{
    if (!cpu_has(1, 0, 'd', 12) || !cpu_has(1, 0, 'd', 16)) {
        skip("no MTRRs or PAT");
        return;
    }
    uint64_t pat = rdmsr(MSR_PAT), def = rdmsr(MTRR_DEF_TYPE), base = rdmsr(MTRR_PHYSBASE0),
             mask = rdmsr(MTRR_PHYSMASK0), fixed = rdmsr(MTRR_FIX64K);
    for (unsigned type = 0; type < 16; type++) {
        bool mtrr = type == 0 || type == 1 || type == 4 || type == 5 || type == 6, in_pat = mtrr || type == 7;
        for (unsigned k = 0; k < 8; k += 7) {
            wrmsr_is("[qemu] PAT", MSR_PAT, (pat & ~(0xffull << 8 * k)) | (uint64_t)type << 8 * k, in_pat);
            wrmsr(MSR_PAT, pat);
            wrmsr_is("[qemu] fixed MTRR", MTRR_FIX64K,
                     (fixed & ~(0xffull << 8 * k)) | (uint64_t)type << 8 * k, mtrr);
            wrmsr(MTRR_FIX64K, fixed);
        }
        wrmsr_is("[qemu] default type", MTRR_DEF_TYPE, (def & ~0xffull) | type, mtrr);
        wrmsr(MTRR_DEF_TYPE, def);
        wrmsr_is("[qemu] base's type", MTRR_PHYSBASE0, (base & ~0xffull) | type, mtrr);
        wrmsr(MTRR_PHYSBASE0, base);
    }
    wrmsr_is("[qemu] base: bit 8", MTRR_PHYSBASE0, 1u << 8, false);
    wrmsr_is("[qemu] base: bit 63", MTRR_PHYSBASE0, 1ull << 63, false);
    wrmsr_is("[qemu] mask: bit 0", MTRR_PHYSMASK0, 1, false);
    wrmsr_is("[qemu] default type: bit 9", MTRR_DEF_TYPE, 1u << 9, false);
    wrmsr_is("[qemu] MTRRCAP cannot be written", MTRRCAP, rdmsr(MTRRCAP), false);
    wrmsr(MTRR_PHYSBASE0, base);
    wrmsr(MTRR_PHYSMASK0, mask);
    wrmsr(MTRR_DEF_TYPE, def);
}

TEST(tsc)
{
    struct context c;
    const struct snip *s = SNIP(AT "rdtsc\n");
    uint64_t a = rdtsc(), b = rdtsc();
    CHECK("it does not run backwards", b >= a);
    for (unsigned n = 0; n < 4; n++) {
        a = rdmsr(TSC);
        for (volatile unsigned spin = 0; spin < 100; spin++)
            ;
        CHECK("the MSR moves on", rdmsr(TSC) > a);
    }
    wrmsr(TSC, 1ull << 40);
    b = rdtsc();
    CHECK("[qemu] written", b >= 1ull << 40 && b < (1ull << 40) + (1ull << 36));
    CHECK("[qemu] the MSR reads the same", rdmsr(TSC) - b < 1ull << 36);
    if (cpu_has(7, 0, 'b', 1)) {
        uint64_t adjust = rdmsr(TSC_ADJUST);
        wrmsr(TSC_ADJUST, adjust + (1ull << 41));
        CHECK("TSC_ADJUST moves it", rdtsc() - b - (1ull << 41) < 1ull << 36);
        CHECK_EQUAL("reads back", adjust + (1ull << 41), rdmsr(TSC_ADJUST));
        b = rdtsc();
        wrmsr(TSC, b + (1ull << 42));
        CHECK("a write of the TSC moves TSC_ADJUST as far",
              rdmsr(TSC_ADJUST) - adjust - (1ull << 41) - (1ull << 42) + (1ull << 36) < 1ull << 37);
    }
    word cr4 = read_cr4();
    write_cr4(cr4 | CR4_TSD);
    context_set_user(&c, s);
    RUN_FAULT("TSD: RDTSC in ring 3", s, &c, GP, 0);
    THROUGH("TSD: not in ring 0", s);
    const struct snip *p = SNIP(AT "rdtscp\n");
    if (CPU_HAS_RDTSCP) {
        context_set_user(&c, p);
        RUN_FAULT("TSD: RDTSCP in ring 3", p, &c, GP, 0);
    }
    write_cr4(cr4);
    if (CPU_HAS_RDTSCP) {
        wrmsr(TSC_AUX, 0x89abcdef);
        context_set_user(&c, p);
        c.cx = ~0ul;
        RUN_THROUGH("RDTSCP", p, &c);
        CHECK_EQUAL("ECX is TSC_AUX", 0x89abcdef, c.cx);
        wrmsr_is("[qemu bochs] TSC_AUX: bit 32", TSC_AUX, 1ull << 32, false);
        wrmsr(TSC_AUX, 0);
    }
}

TEST(debugctl)
{
    for (unsigned bit = 16; bit < 64; bit++)
        wrmsr_is("[qemu] reserved bit", MSR_DEBUGCTL, 1ull << bit, false);
    wrmsr_is("[bochs] zero", MSR_DEBUGCTL, 0, true);
}

/* Last branch records: the bit of DEBUGCTL, the registers and CPUID's words about them are there together or not at all.
 * SDM vol. 3, 18.4.8, 20.1; vol. 4, table 2-2. */
TEST(last_branch_records)
{
    static const uint32_t registers[] = {0x1c8, 0x1c9, 0x1db, 0x1dc, 0x40, 0x60, 0x680, 0x6c0, 0xdc0, 0x14ce};
    struct context c;
    const struct snip *wr = SNIP(AT "wrmsr\n"), *rd = SNIP(AT "rdmsr\n");
    if (known(QUIRK_BOCHS, "no DEBUGCTL"))
        return;
    context_set(&c, wr);
    c.cx = MSR_DEBUGCTL;
    c.ax = 1;
    context_run(&c);
    bool offered = c.vector == EXIT && rdmsr(MSR_DEBUGCTL) & 1;
    wrmsr(MSR_DEBUGCTL, 0);
    if (offered) {
        skip("DEBUGCTL.LBR is there");
        return;
    }
    for (unsigned i = 0; i < COUNT(registers); i++) {
        context_set(&c, rd);
        c.cx = registers[i];
        RUN_FAULT("[qemu bochs] no LBR: no register", rd, &c, GP, 0);
    }
    CHECK("no architectural LBR", !cpu_has(7, 0, 'd', 19));
    CHECK("no debug store, no PERF_CAPABILITIES", !cpu_has(1, 0, 'd', 21) && !cpu_has(1, 0, 'c', 15));
}

/* CR4.TSD and the offset: every ring, RDTSC and RDTSCP; TSC_ADJUST moves both alike and reads back in all its bits. */
TEST(tsc_rings)
{
    struct context c;
    const struct snip *s[] = {SNIP(AT "rdtsc\n"), SNIP(AT "rdtscp\n")};
    word cr4 = read_cr4();
    for (unsigned k = 0; k < 1u + CPU_HAS_RDTSCP; k++) {
        for (unsigned tsd = 0; tsd <= 1; tsd++) {
            for (unsigned ring = 0; ring <= 3; ring++) {
                write_cr4(tsd ? cr4 | CR4_TSD : cr4 & ~(word)CR4_TSD);
                context_set(&c, s[k]);
                if (ring) {
                    descriptor_set(SEL_FREE, 0, 0xfffff, SEG_CODE | SEG_R | SEG_DPL(ring),
                                   0x8u | (WORLD == 64 ? SEG_L : SEG_B));
                    descriptor_set(SEL_FREE + 8, 0, 0xfffff, SEG_DATA | SEG_W | SEG_DPL(ring), 0x8u | SEG_B);
                    c.cs = SEL_FREE | ring;
                    c.ss = (SEL_FREE + 8) | ring;
                }
                if (tsd && ring)
                    RUN_FAULT("TSD outside ring 0", s[k], &c, GP, 0);
                else
                    RUN_THROUGH("RDTSC, RDTSCP", s[k], &c);
            }
        }
    }
    write_cr4(cr4);
    if (!cpu_has(7, 0, 'b', 1))
        return;
    uint64_t old = rdmsr(TSC_ADJUST);
    static const uint64_t offsets[] = {0, 1ull << 63, ~0ull << 40, 0x0123456789abcdef};
    for (unsigned i = 0; i < COUNT(offsets); i++) {
        uint64_t before = rdtsc();
        wrmsr(TSC_ADJUST, rdmsr(TSC_ADJUST) + offsets[i]);
        uint64_t after = rdtsc(), msr = rdmsr(TSC);
        CHECK("the counter moves as far", after - before - offsets[i] < 1ull << 36);
        CHECK("so does the MSR", msr - after < 1ull << 36);
        wrmsr(TSC_ADJUST, old);
        CHECK_EQUAL("reads back", old, rdmsr(TSC_ADJUST));
    }
}
