/* Machine checks: the registers of the banks, and #MC as an abort. SDM vol. 3, 16.3 (registers; writes other
 * than zero to STATUS, ADDR, MISC: #GP; overwriting: 16.3.2.2.1), 6.15 vector 18. Errors are injected by
 * Trine's test device (--testdev, ports 0x2100 ff.: src/dev/pc_testdev.c); without it those tests are
 * skipped. What ends in shutdown is in tests/unit/cpu_event.c. */
#include "guest.h"

enum {
    MCG_CAP = 0x179,
    MCG_STATUS = 0x17a,
    MCG_CTL = 0x17b,
    MC0_CTL = 0x400,
    MC0_STATUS = 0x401,
    PORT = 0x2100,
    RIPV = 1,
    EIPV = 2,
    MCIP = 4,
};
#define CR4_MCE (1u << 6)
#define VAL     (1ull << 63)
#define OVER    (1ull << 62)
#define UC      (1ull << 61)
#define EN      (1ull << 60)
#define MISCV   (1ull << 59)
#define ADDRV   (1ull << 58)
#define PCC     (1ull << 57)

static bool wrmsr_faults(const char *what, uint32_t msr, uint64_t v)
{
    struct context c;
    const struct snip *s = SNIP(AT "wrmsr\n");
    context_set(&c, s);
    c.cx = msr;
    c.ax = (uint32_t)v;
    c.dx = (uint32_t)(v >> 32);
    return RUN_FAULT(what, s, &c, GP, 0);
}

static bool begin(void)
{
    if (!cpu_has(1, 0, 'd', 7) || !cpu_has(1, 0, 'd', 14)) {
        skip("no machine checks");
        return false;
    }
    return !known(QUIRK_BOCHS, "CPUID offers machine checks, and their MSRs raise #GP");
}

static bool can_inject(void)
{
    if (!begin())
        return false;
    if (inl(PORT) == 0xffffffff) {
        skip("no test device that injects");
        return false;
    }
    wrmsr(MCG_CTL, ~0ull);
    wrmsr(MCG_STATUS, 0);
    for (unsigned b = 0; b < 2; b++) {
        wrmsr(MC0_CTL + 4 * b, ~0ull);
        wrmsr(MC0_STATUS + 4 * b, 0);
    }
    return true;
}

static void prepare(uint64_t status, uint64_t addr, uint64_t misc)
{
    const uint64_t regs[3] = {status, addr, misc};
    for (unsigned k = 0; k < 3; k++) {
        outl((uint16_t)(PORT + 8 * k), (uint32_t)regs[k]);
        outl((uint16_t)(PORT + 8 * k + 4), (uint32_t)(regs[k] >> 32));
    }
}

TEST(registers)
{
    if (!begin())
        return;
    uint64_t cap = rdmsr(MCG_CAP);
    unsigned banks = cap & 0xff;
    CHECK("at least one bank", banks >= 1);
    for (unsigned b = 0; b < banks && b < 4; b++) {
        uint32_t at = MC0_CTL + 4 * b;
        wrmsr(at, ~0ull);
        CHECK_EQUAL("CTL", ~0ull, rdmsr(at));
        wrmsr(at + 1, 0);
        CHECK_EQUAL("STATUS cleared", 0, rdmsr(at + 1));
        wrmsr_faults("[qemu] STATUS: only zero", at + 1, 1);
        wrmsr_faults("[qemu bochs] ADDR: only zero", at + 2, VAL);
        wrmsr_faults("[qemu bochs] MISC: only zero", at + 3, 1);
    }
    wrmsr_faults("[qemu] behind the last bank", MC0_CTL + 4 * banks, 0);
    wrmsr_faults("[qemu] MCG_CAP cannot be written", MCG_CAP, cap);
    if (cap & 0x100) {
        wrmsr(MCG_CTL, 0);
        CHECK_EQUAL("MCG_CTL off", 0, rdmsr(MCG_CTL));
        wrmsr(MCG_CTL, ~0ull);
        CHECK_EQUAL("MCG_CTL on", ~0ull, rdmsr(MCG_CTL));
        wrmsr_faults("[qemu bochs] MCG_CTL: all or nothing", MCG_CTL, 1);
    }
    wrmsr(MCG_STATUS, 0);
    CHECK_EQUAL("MCG_STATUS", 0, rdmsr(MCG_STATUS));
}

/* INT 18 is no machine check: the gate, a return address behind it, no register changes. */
TEST(software)
{
    struct context c;
    const struct snip *s = SNIP("int $18\n" AT "nop\n");
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("INT 18", &c, MC, NO_ERROR, s->at);
}

/* CR4.MCE decides about uncorrected errors alone. */
TEST(corrected)
{
    if (!can_inject())
        return;
    struct context c;
    const struct snip *s = SNIP("out %eax, %dx\nnop\nnop\n");
    prepare(ADDRV | 0x136, 0x123456789000, 0x77);
    for (unsigned n = 0; n < 2; n++) {
        context_set(&c, s);
        c.dx = PORT + 0x1c;
        c.ax = RIPV << 16 | 1;
        RUN_THROUGH("no exception", s, &c);
        CHECK_EQUAL("STATUS", VAL | EN | ADDRV | 0x136 | (n ? OVER : 0), rdmsr(MC0_STATUS + 4));
        CHECK_EQUAL("ADDR", 0x123456789000, rdmsr(MC0_STATUS + 5));
        CHECK_EQUAL("MISC is not valid", 0, rdmsr(MC0_STATUS + 6));
        CHECK_EQUAL("MCG_STATUS", 0, rdmsr(MCG_STATUS));
    }
    CHECK_EQUAL("the other bank", 0, rdmsr(MC0_STATUS));
    wrmsr(MC0_STATUS + 4, 0);
    CHECK_EQUAL("cleared", 0, rdmsr(MC0_STATUS + 4));
}

TEST(uncorrected)
{
    if (!can_inject())
        return;
    struct context c;
    const struct snip *s = SNIP("out %eax, %dx\n" AT "nop\nnop\n");
    word cr4 = read_cr4();
    write_cr4(cr4 | CR4_MCE);
    static const struct {
        const char *what;
        bool user;
        word flags;
    } ways[] = {{"ring 0", false, FLAG_1},
                {"ring 0, IF", false, FLAG_1 | FLAG_IF},
                {"ring 3", true, FLAG_1 | FLAG_IOPL(3)}};
    for (unsigned k = 0; k < COUNT(ways); k++) {
        prepare(UC | PCC | MISCV | ADDRV | 0x145, 0xabcdef000, 0x86);
        (ways[k].user ? context_set_user : context_set)(&c, s);
        c.flags = ways[k].flags;
        c.dx = PORT + 0x1c;
        c.ax = RIPV << 16 | 1;
        context_run(&c);
        CHECK_EXIT(ways[k].what, &c, MC, NO_ERROR, s->at);
        CHECK_EQUAL("MCG_STATUS", MCIP | RIPV, rdmsr(MCG_STATUS));
        CHECK_EQUAL("STATUS", VAL | UC | EN | PCC | MISCV | ADDRV | 0x145, rdmsr(MC0_STATUS + 4));
        CHECK_EQUAL("ADDR", 0xabcdef000, rdmsr(MC0_STATUS + 5));
        CHECK_EQUAL("MISC", 0x86, rdmsr(MC0_STATUS + 6));
        wrmsr(MC0_STATUS + 4, 0);
        wrmsr(MCG_STATUS, 0);
        RUN_THROUGH("and on, for RIPV was set", s, &c);
    }

    /* A shadow holds interrupts back, not machine checks. */
    s = SNIP("sti\nout %eax, %dx\n" AT "nop\n");
    context_set(&c, s);
    c.dx = PORT + 0x1c;
    c.ax = EIPV << 16 | 0;
    context_run(&c);
    CHECK_EXIT("behind STI", &c, MC, NO_ERROR, s->at);
    CHECK_EQUAL("EIPV", MCIP | EIPV, rdmsr(MCG_STATUS));
    wrmsr(MC0_STATUS, 0);
    wrmsr(MCG_STATUS, 0);

    /* A disabled bank logs, and raises nothing. */
    wrmsr(MC0_CTL, 0);
    context_set(&c, SNIP("out %eax, %dx\nnop\n"));
    c.dx = PORT + 0x1c;
    c.ax = 0;
    context_run(&c);
    CHECK_EQUAL("bank off: no exception", EXIT, c.vector);
    CHECK_EQUAL("bank off: EN clear", VAL | UC | PCC | MISCV | ADDRV | 0x145, rdmsr(MC0_STATUS));
    wrmsr(MC0_STATUS, 0);
    wrmsr(MC0_CTL, ~0ull);
    write_cr4(cr4);
}
