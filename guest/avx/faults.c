/* XSAVE and XRSTOR: every bit of the header in the standard and the compacted form, MXCSR, alignment, CR0.TS,
 * CR4.OSXSAVE, LOCK, pages that are missing, and the instructions that CPUID does not offer. SDM
 * 1 13.4.2, 13.7–13.12. */
#include "paging.h"

#define CPU_HAS_AVX    cpu_has(1, 0, 'c', 28)
#define CPU_HAS_XSAVEC cpu_has(0xd, 1, 'a', 1)

static uint8_t area[1024] ALIGNED(64);
enum { MASK = 7, HEADER = 512 };

static bool begin(void)
{
    if (!CPU_HAS_AVX) {
        skip("CPUID has no AVX");
        return false;
    }
    static const uint32_t mxcsr = 0x1f80;
    write_cr0((read_cr0() & ~(word)(CR0_TS | CR0_EM)) | CR0_NE | CR0_MP);
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    __asm__ volatile("xsetbv" : : "a"(MASK), "d"(0), "c"(0));
    __asm__ volatile("fninit; ldmxcsr %0; vzeroall" : : "m"(mxcsr));
    return true;
}

static void end(void)
{
    write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
}

/* An area in its initial form: nothing in use. */
static void area_reset(bool compacted)
{
    memory_set(area, 0, sizeof(area));
    *(uint32_t *)(void *)(area + 24) = 0x1f80;
    if (compacted) {
        area[HEADER + 8] = MASK;
        area[HEADER + 15] = 0x80;
    }
}

static const struct snip *snip_restore;

static unsigned restore(struct context *c, word mask)
{
    snip_restore = SNIP("xrstor (" BX ")");
    context_set(c, snip_restore);
    c->bx = ADDR(area);
    c->ax = mask;
    context_run(c);
    return (unsigned)c->vector;
}

/* 13.8.1: XSTATE_BV within XCR0, bytes 8 to 23 zero. 13.8.2: XCOMP_BV within XCR0, XSTATE_BV within XCOMP_BV,
 * bytes 16 to 63 zero. Whatever the mask asks for. */
TEST(header)
{
    struct context c;
    if (!begin())
        return;
    for (unsigned compacted = 0; compacted <= CPU_HAS_XSAVEC; compacted++) {
        area_reset(compacted);
        CHECK_EQUAL("the area itself", EXIT, restore(&c, MASK));
        for (unsigned bit = 0; bit < 512; bit++) {
            bool bad;
            if (bit < 64)
                bad = bit > 2;
            else if (bit < 128)
                bad = compacted ? bit - 64 > 2 && bit != 127 : bit != 127;
            else
                bad = compacted || bit < 192;
            if (bit == 127)
                continue; /* the form itself: below */
            for (unsigned mask = 0; mask <= MASK; mask += MASK) {
                area_reset(compacted);
                area[HEADER + bit / 8] |= (uint8_t)(1u << bit % 8);
                unsigned vector = restore(&c, mask);
                if (!CHECK_EQUAL("[qemu bochs] header bit", bad ? GP : EXIT, vector))
                    print("#   compacted %u bit %u mask %u\n", compacted, bit, mask);
            }
        }
    }
    /* XSTATE_BV names what XCOMP_BV leaves out. */
    for (unsigned bv = 0; bv < 8 && CPU_HAS_XSAVEC; bv++) {
        for (unsigned comp = 0; comp < 8; comp++) {
            area_reset(true);
            area[HEADER] = (uint8_t)bv;
            area[HEADER + 8] = (uint8_t)comp;
            CHECK_EQUAL("[qemu] XSTATE_BV within XCOMP_BV", bv & ~comp ? GP : EXIT, restore(&c, MASK));
        }
    }
    if (!CPU_HAS_XSAVEC) {
        area_reset(true);
        CHECK_EQUAL("no compacted form", GP, restore(&c, MASK));
    }
    end();
}

/* A reserved bit of MXCSR in memory counts when MXCSR is loaded: in the standard form with SSE or AVX in the
 * mask, whatever XSTATE_BV; in the compacted form when SSE comes from memory. */
TEST(mxcsr)
{
    struct context c;
    if (!begin())
        return;
    for (unsigned n = 0; n < 128; n++) {
        unsigned mask = n & 7, bv = n >> 3 & 7;
        bool compacted = n >> 6;
        if (compacted && !CPU_HAS_XSAVEC)
            break;
        area_reset(compacted);
        area[HEADER] = (uint8_t)bv;
        area[26] = 1; /* bit 16 */
        bool loaded = compacted ? mask & bv & 2 : mask & 6;
        if (!CHECK_EQUAL("[qemu bochs] MXCSR's reserved bits", loaded ? GP : EXIT, restore(&c, mask)))
            print("#   compacted %u mask %u XSTATE_BV %u\n", compacted, mask, bv);
    }
    end();
}

TEST(before_the_area)
{
    struct context c;
    if (!begin())
        return;
    struct {
        const char *what;
        const struct snip *s;
        bool offered;
    } table[] = {{"XSAVE", SNIP("xsave (" BX ")"), true},
                 {"XRSTOR", SNIP("xrstor (" BX ")"), true},
                 {"XSAVEOPT", SNIP("xsaveopt (" BX ")"), cpu_has(0xd, 1, 'a', 0)},
                 {"XSAVEC", SNIP("xsavec (" BX ")"), CPU_HAS_XSAVEC},
                 {"XSAVES", SNIP("xsaves (" BX ")"), cpu_has(0xd, 1, 'a', 3)},
                 {"XRSTORS", SNIP("xrstors (" BX ")"), cpu_has(0xd, 1, 'a', 3)}};
    for (unsigned i = 0; i < COUNT(table); i++) {
        const struct snip *s = table[i].s;
        area_reset(table[i].what[5] == 'R' && table[i].what[6] == 'S');
        context_set(&c, s);
        c.bx = ADDR(area);
        c.ax = MASK;
        if (!table[i].offered) {
            RUN_FAULT("not offered by CPUID", s, &c, UD, NO_ERROR);
            continue;
        }
        RUN_THROUGH(table[i].what, s, &c);
        for (unsigned offset = 1; offset < 64; offset <<= 1) {
            context_set(&c, s);
            c.bx = ADDR(area) + offset;
            c.ax = MASK;
            RUN_FAULT("misaligned", s, &c, GP, 0);
        }
        write_cr0(read_cr0() | CR0_TS);
        context_set(&c, s);
        c.bx = ADDR(area);
        RUN_FAULT("[qemu] CR0.TS", s, &c, NM, NO_ERROR);
        context_set(&c, s);
        c.bx = ADDR(area) + 8;
        RUN_FAULT("[qemu] CR0.TS before the alignment", s, &c, NM, NO_ERROR);
        write_cr0(read_cr0() & ~(word)CR0_TS);
        write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
        context_set(&c, s);
        c.bx = ADDR(area) + 8;
        write_cr0(read_cr0() | CR0_TS);
        RUN_FAULT("without OSXSAVE, before all else", s, &c, UD, NO_ERROR);
        write_cr0(read_cr0() & ~(word)CR0_TS);
        write_cr4(read_cr4() | CR4_OSXSAVE);
    }
    const struct snip *locked[] = {SNIP(".byte 0xf0; xsave (" BX ")"), SNIP(".byte 0xf0; xrstor (" BX ")")};
    for (unsigned i = 0; i < COUNT(locked); i++) {
        context_set(&c, locked[i]);
        c.bx = ADDR(area);
        RUN_FAULT("[qemu] LOCK", locked[i], &c, UD, NO_ERROR);
    }
    end();
}

/* The area over two pages, the second missing: the fault, and the same again with the page there. */
TEST(missing_page)
{
    struct context c;
    if (!begin())
        return;
    const struct snip *save = SNIP("xsave (" BX ")"), *load = SNIP("xrstor (" BX ")");
    static const uint32_t pattern[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    paging_on(PAGES_NATIVE, 0);
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
    for (word at = WINDOW_PAGE(1) - 576; at < WINDOW_PAGE(1); at += 64) {
        uint32_t got[8];
        memory_set(frames[0], 0, PAGE_SIZE);
        memory_set(frames[1], 0, PAGE_SIZE);
        entry_set(1, 1, 0);
        flush();
        __asm__ volatile("vmovups %0, %%ymm5" : : "m"(pattern));
        context_set(&c, save);
        c.bx = at;
        c.ax = MASK;
        write_cr2(0);
        RUN_FAULT("[bochs] XSAVE", save, &c, PF, PF_W);
        CHECK_EQUAL("CR2 is on the second page", WINDOW_PAGE(1), c.cr2 & ~(word)0xfff);
        entry_set(1, 1, FRAME(1) | PTE_P | PTE_W);
        RUN_THROUGH("XSAVE again", save, &c);
        entry_set(1, 1, 0);
        flush();
        __asm__ volatile("vzeroall");
        context_set(&c, load);
        c.bx = at;
        c.ax = MASK;
        RUN_FAULT("XRSTOR", load, &c, PF, 0);
        CHECK_EQUAL("CR2 is on the second page", WINDOW_PAGE(1), c.cr2 & ~(word)0xfff);
        entry_set(1, 1, FRAME(1) | PTE_P);
        RUN_THROUGH("XRSTOR again", load, &c);
        __asm__ volatile("vmovups %%ymm5, %0" : "=m"(got));
        CHECK_EQUAL("YMM5", 0, memory_compare(got, pattern, 32));
        context_set(&c, save);
        c.bx = at;
        c.ax = MASK;
        RUN_THROUGH("XSAVE to a read-only page without WP", save, &c);
        write_cr0(read_cr0() | CR0_WP);
        context_set(&c, save);
        c.bx = at;
        c.ax = MASK;
        RUN_FAULT("with WP", save, &c, PF, PF_P | PF_W);
        write_cr0(read_cr0() & ~(word)CR0_WP);
    }
    paging_off();
    end();
}

/* TOP and MXCSR behind a store that a missing page refuses. */
static unsigned top(void)
{
    uint16_t status;
    __asm__ volatile("fnstsw %0" : "=am"(status));
    return status >> 11 & 7;
}

static uint32_t mxcsr_now(void)
{
    uint32_t v;
    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}

/* Stores to a missing page that change more than memory: whether the other change stays is the processor's affair (3A 6.9, table 6-2: no order among
 * the faults of one instruction), but it is the same for all of a kind, and on every engine. An x87 exception may come instead of the page fault. */
TEST(store_refused)
{
    struct context c;
    if (!begin())
        return;
    const struct snip *mmx[] = {SNIP("movd %mm3, (" BX ")"), SNIP("movq %mm3, (" BX ")"), SNIP("movntq %mm3, (" BX ")")};
    const struct snip *half = SNIP("vcvtps2ph $0, %ymm5, (" BX ")"), *integer = SNIP("fistpl (" BX ")"), *ten = SNIP("fstpt (" BX ")");
    static const uint32_t inexact[8] = {0x3f800001, 0x3f800001, 0x3f800001, 0x3f800001, 0x3f800001, 0x3f800001, 0x3f800001, 0x3f800001};
    static const uint16_t invalid = 0x37e; /* IM clear */
    unsigned tops[COUNT(mmx)];
    paging_on(PAGES_NATIVE, 0);
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
    entry_set(1, 1, 0);
    flush();
    for (unsigned k = 0; k < COUNT(mmx); k++) {
        __asm__ volatile("fninit; fld1; fld1");
        context_set(&c, mmx[k]);
        c.bx = WINDOW_PAGE(1);
        RUN_FAULT("MMX", mmx[k], &c, PF, PF_W);
        tops[k] = top();
        CHECK("TOP is 0, or what it was", tops[k] == 0 || tops[k] == 6);
        CHECK_EQUAL("for each of them", tops[0], tops[k]);
    }
    __asm__ volatile("fninit; vmovups %0, %%ymm5" : : "m"(inexact));
    context_set(&c, half);
    c.bx = WINDOW_PAGE(1);
    RUN_FAULT("VCVTPS2PH", half, &c, PF, PF_W);
    uint32_t csr = mxcsr_now();
    CHECK("PE, or nothing", csr == 0x1f80 || csr == 0x1fa0);
    __asm__ volatile("fldcw %0" : : "m"(invalid)); /* ST(0) is empty */
    context_set(&c, integer);
    c.bx = WINDOW_PAGE(1);
    context_run(&c);
    CHECK("FISTP: #PF, or an x87 exception that waits", c.vector == PF || c.vector == EXIT);
    bool faulted = c.vector == PF;
    uint16_t status;
    __asm__ volatile("fnstsw %0; fninit; fld1" : "=am"(status));
    CHECK_EQUAL("IE, SF and ES in that case alone", faulted ? 0 : 0xc1, status & 0xff);
    memory_set(frames[0], 0, PAGE_SIZE);
    context_set(&c, ten);
    c.bx = WINDOW_PAGE(1) - 8;
    RUN_FAULT("FSTP of ten bytes", ten, &c, PF, PF_W);
    CHECK_EQUAL("is not done", 7, top());
    uint64_t first = *(uint64_t *)(void *)((uint8_t *)frames[0] + PAGE_SIZE - 8);
    CHECK("eight bytes of it, or nothing", first == 0 || first == 1ull << 63);
    print("# store_refused: TOP %u, MXCSR %x, FISTP %s, FSTP left %llx\n", tops[0], csr, faulted ? "faults" : "does not", (u64)first);
    __asm__ volatile("fninit");
    paging_off();
    end();
}
