/* The page that runs is mapped anew by its own MOV to CR3 or INVLPG: the next instruction comes from the new frame. And what INVLPG's operand
 * names, in each form. All again and again, so that what an engine keeps of the code is what runs. SDM 3A 4.10.4.1. */
#include "paging.h"

#ifdef __x86_64__
enum { TURNS = 20 };

/* A second address space: the same, but for the window's first pages. */
static u64 other_top[512] ALIGNED(4096), other_pdpt[512] ALIGNED(4096), other_pd[512] ALIGNED(4096), other_pt[512] ALIGNED(4096);

static word other_space(u64 page)
{
    memory_copy(other_top, (const void *)paging_root(), PAGE_SIZE);
    memory_set(other_pt, 0, PAGE_SIZE);
    other_pt[0] = page;
    other_pd[0] = ADDR(other_pt) | PTE_ALL;
    other_pdpt[0] = ADDR(other_pd) | PTE_ALL;
    other_top[1] = ADDR(other_pdpt) | PTE_ALL;
    return ADDR(other_top);
}

static void switch_spaces(const char *what, word here, word there)
{
    struct context c;
    const struct snip *first = SNIP("mov %rax, %cr3; mov $1, %ecx; mov %rdx, %cr3; lea 1(%rbx), %rbx"),
                      *second = SNIP("mov %rax, %cr3; mov $2, %ecx; mov %rdx, %cr3; lea 9(%rbx), %rbx");
    frame_code(1, first);
    frame_code(2, second);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        context_set(&c, first);
        c.ip = WINDOW_PAGE(0);
        c.ax = turn % 3 ? there : here;
        c.dx = turn % 2 ? there : here;
        context_run(&c);
        word cr3 = read_cr3();
        write_cr3(here & ~(1ul << 63));
        CHECK_EXIT(what, &c, EXIT, NO_ERROR, WINDOW_PAGE(0) + first->end + 2 - first->start);
        CHECK_EQUAL("behind the first MOV", turn % 3 ? 2 : 1, c.cx);
        CHECK_EQUAL("behind the second", turn % 2 ? 9 : 1, c.bx);
        CHECK_EQUAL("CR3", c.dx & ~(1ul << 63), cr3);
    }
}

TEST(cr3_under_its_feet)
{
    paging_on(PAGES_4LEVEL, 0);
    entry_set(1, 0, FRAME(1) | PTE_P | PTE_W);
    word root = paging_root(), other = other_space(FRAME(2) | PTE_P | PTE_W);
    flush();
    switch_spaces("two address spaces", root, other);
    if (CPU_HAS_PCID) {
        paging_cr4(read_cr4() | CR4_PCIDE);
        switch_spaces("with PCIDs", root | 1, other | 2);
        switch_spaces("that are kept", root | 1 | 1ul << 63, other | 2 | 1ul << 63);
        write_cr3(root);
        paging_cr4(read_cr4() & ~(word)CR4_PCIDE);
    }
    /* There is nothing in the other one: the fault is the next instruction's, and the new CR3 counts. */
    other_space(0);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct context c;
        const struct snip *s = SNIP("mov %rax, %cr3\n" AT "nop");
        frame_code(1, s);
        context_set(&c, s);
        c.ip = WINDOW_PAGE(0);
        c.ax = other;
        context_run(&c);
        word cr3 = read_cr3();
        write_cr3(root);
        CHECK_EXIT("not mapped there", &c, PF, CPU_HAS_NX ? PF_I : 0, WINDOW_PAGE(0) + s->at - s->start);
        CHECK_EQUAL("CR2", WINDOW_PAGE(0) + s->at - s->start, c.cr2);
        CHECK_EQUAL("CR3", other, cr3);
    }
    paging_off();
}

/* STAC behind it reads in the new space too. */
TEST(cr3_and_stac)
{
    struct context c;
    const struct snip *s = SNIP("mov (%rsi), %ecx; mov %rax, %cr3; stac; mov (%rsi), %edx; clac; mov (%rsi), %edi");
    if (!CPU_HAS_SMAP || !CPU_HAS_PCID) {
        skip("CPUID has no SMAP, or no PCID");
        return;
    }
    paging_on(PAGES_4LEVEL, 0);
    entry_set(1, 0, FRAME(3) | PTE_P | PTE_W);
    *(volatile uint32_t *)frames[3] = 0x3333;
    *(volatile uint32_t *)frames[4] = 0x4444;
    word root = paging_root(), other = other_space(FRAME(4) | PTE_P | PTE_W);
    paging_cr4(read_cr4() | CR4_SMAP | CR4_PCIDE);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        context_set(&c, s);
        c.ax = other | 2 | 1ul << 63;
        c.si = WINDOW;
        context_run(&c);
        write_cr3(root | 1ul << 63);
        CHECK_EXIT("from one space into another", &c, EXIT, NO_ERROR, s->end + 2);
        CHECK_EQUAL("before", 0x3333, c.cx);
        CHECK_EQUAL("behind STAC", 0x4444, c.dx);
        CHECK_EQUAL("behind CLAC", 0x4444, c.di);
    }
    paging_cr4(read_cr4() & ~(word)(CR4_SMAP | CR4_PCIDE));
    paging_off();
}

TEST(invlpg_under_its_feet)
{
    struct context c;
    const struct snip *first = SNIP("mov %rax, (%rbx); invlpg 5(%rdx); mov $1, %ecx"),
                      *second = SNIP("mov %rax, (%rbx); invlpg 5(%rdx); mov $2, %ecx");
    paging_on(PAGES_4LEVEL, 0);
    frame_code(1, first);
    frame_code(2, second);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        unsigned to = 1 + turn / 2 % 2;
        context_set(&c, first);
        c.ip = WINDOW_PAGE(0);
        c.ax = FRAME(to) | PTE_P | PTE_W;
        c.bx = entry_get(2, 0) & ~0xffful;
        c.dx = WINDOW_PAGE(0);
        entry_set(1, 0, FRAME(1) | PTE_P | PTE_W);
        flush_page(WINDOW_PAGE(0));
        context_run(&c);
        CHECK_EXIT("mapped anew", &c, EXIT, NO_ERROR, WINDOW_PAGE(0) + first->end + 2 - first->start);
        CHECK_EQUAL("behind INVLPG", to, c.cx);
    }
    paging_off();
}

/* Code at WINDOW_PAGE(0) reads the page behind it, gives it another frame, and reads it again. */
#define TWICE(invlpg) SNIP("mov (%rsi), %ecx; mov %rax, (%rbx); " invlpg "; mov (%rsi), %edx")
TEST(invlpg_operands)
{
    struct context c;
    static const struct {
        const char *what;
        unsigned n;
    } forms[] = {{"register", 0}, {"displacement", 1}, {"index", 2}, {"R10", 3}, {"R14 and R15", 4}, {"RIP", 5}, {"GS", 6}, {"no operand of ours", 7}};
    const struct snip *snips[] = {
        TWICE("invlpg (%rsi)"),         TWICE("invlpg 4095(%rsi)"),    TWICE("invlpg -64(%rsi, %rdi, 8)"), TWICE("invlpg (%r10)"),
        TWICE("invlpg (%r14, %r15, 2)"), TWICE("invlpg 4096(%rip)"), TWICE("swapgs; invlpg %gs:16; swapgs"), TWICE("invlpg -1(%rsi)"),
    };
    _Static_assert(COUNT(forms) == COUNT(snips), "one each");
    paging_on(PAGES_4LEVEL, 0);
    *(volatile uint32_t *)frames[2] = 0x2222;
    *(volatile uint32_t *)frames[3] = 0x3333;
    uint64_t gs = rdmsr(MSR_KERNEL_GS_BASE);
    for (unsigned k = 0; k < COUNT(forms); k++)
        for (unsigned turn = 0; turn < TURNS; turn++) {
            word page = WINDOW_PAGE(1);
            frame_code(1, snips[k]);
            entry_set(1, 0, FRAME(1) | PTE_P | PTE_W);
            entry_set(1, 1, FRAME(2) | PTE_P | PTE_W);
            flush();
            context_set(&c, snips[k]);
            c.ip = WINDOW_PAGE(0);
            c.ax = FRAME(3) | PTE_P | PTE_W;
            c.bx = (entry_get(2, 0) & ~0xffful) + 8;
            c.si = page, c.di = 9, c.r10 = page + 77;
            c.r14 = page - 32, c.r15 = 16;
            wrmsr(MSR_KERNEL_GS_BASE, page);
            context_run(&c);
            CHECK_EXIT(forms[k].what, &c, EXIT, NO_ERROR, WINDOW_PAGE(0) + snips[k]->end + 2 - snips[k]->start);
            CHECK_EQUAL("before", 0x2222, c.cx);
            CHECK("behind", c.dx == 0x3333 || (forms[k].n == 7 && c.dx == 0x2222));
        }
    wrmsr(MSR_KERNEL_GS_BASE, gs);
    paging_off();
}
#endif
