/* Paging in every format: permission combinations, A and D bits, page sizes, reserved bits, global pages,
 * INVLPG, PCID, accesses that cross pages. SDM 3A chapter 4. World 32 runs 32-bit and PAE paging, world
 * 64 four levels. */
#include "paging.h"

/* The formats of this world, in turn. */
static const unsigned formats[] = {
#ifdef __x86_64__
    PAGES_4LEVEL,
#else
    PAGES_32,
    PAGES_PAE,
#endif
};

static const struct snip *snip_read, *snip_write, *snip_nop;

static void snips_init(void)
{
    snip_read = SNIP("mov (" BX "), %eax");
    snip_write = SNIP("movb $0x77, (" BX ")");
    snip_nop = SNIP("nop");
}

enum { READ, WRITE, FETCH };

/* One access to `va` in ring 0 or 3; returns the vector (EXIT: none) and leaves the rest in C. The code
 * of ring 3 runs from a user page: window page 15. */
static unsigned access(struct context *c, unsigned kind, bool user, word va, word flags)
{
    const struct snip *s = kind == READ ? snip_read : snip_write;
    if (user)
        context_set_user(c, s);
    else
        context_set(c, s);
    if (kind == FETCH)
        c->ip = va;
    else if (user)
        c->ip = WINDOW_PAGE(15) + (kind == READ ? 0 : 0x100);
    c->bx = va;
    c->flags |= flags;
    write_cr2(0);
    context_run(c);
    return (unsigned)c->vector;
}

static void user_code_map(void)
{
    memory_copy(frames[15], (const void *)snip_read->start, 32);
    memory_copy(frames[15] + 0x100, (const void *)snip_write->start, 32);
    entry_set(1, 15, FRAME(15) | PTE_P | PTE_U | PTE_A);
}

struct rights {
    bool user, writable, nx, wp, smep, smap;
};

/* SDM 3A 4.6.1. `flags` has AC; returns whether the access faults for lack of rights. */
static bool denied(struct rights r, unsigned kind, bool user_access, bool ac)
{
    if (user_access)
        return !r.user || (kind == WRITE && !r.writable) || (kind == FETCH && r.nx);
    if (kind == FETCH)
        return r.nx || (r.smep && r.user);
    if (r.user && r.smap && !ac)
        return true;
    return kind == WRITE && !r.writable && r.wp;
}

/* All of U/S x R/W x NX x WP x SMEP x SMAP x AC x (read, write, fetch) x ring, the rights taken away at each
 * level in turn. */
static void permissions(unsigned format, unsigned level)
{
    bool smep_here = CPU_HAS_SMEP, smap_here = CPU_HAS_SMAP, nx_here = CPU_HAS_NX && format != PAGES_32;
    memory_copy(frames[0], (const void *)snip_nop->start, 8);
    for (unsigned bits = 0; bits < 64; bits++) {
        struct rights r = {bits & 1, bits & 2, bits & 4, bits & 8, bits & 16, bits & 32};
        if ((r.nx && !nx_here) || (r.smep && !smep_here) || (r.smap && !smap_here))
            continue;
        for (unsigned i = 0; i < 12; i++) {
            unsigned kind = i % 3;
            bool user = i / 3 % 2, ac = i / 6;
            u64 leaf = FRAME(0) | PTE_ALL, old = entry_get(level, 0);
            entry_set(1, 0, leaf);
            u64 target = level == 1 ? leaf : old;
            if (!r.user)
                target &= ~PTE_U;
            if (!r.writable)
                target &= ~PTE_W;
            if (r.nx)
                target |= PTE_NX;
            entry_set(level, 0, target);
            word cr0 = read_cr0(), cr4 = read_cr4();
            if (r.wp)
                write_cr0(cr0 | CR0_WP);
            paging_cr4(cr4 | (r.smep ? CR4_SMEP : 0u) | (r.smap ? CR4_SMAP : 0u));
            flush();
            struct context c;
            /* The page whose level is restricted also holds the user code when level > 1: use a ring-3
             * fetch alone there. */
            if (level == 1 || !user || kind == FETCH) {
                word at = WINDOW_PAGE(0) + (kind == FETCH ? 0 : 0x40);
                unsigned vector = access(&c, kind, user, at, ac ? FLAG_AC : 0);
                bool expect = denied(r, kind, user, ac);
                word error = PF_P | (kind == WRITE ? PF_W : 0) | (user ? PF_U : 0) |
                             (kind == FETCH && (nx_here || r.smep) ? PF_I : 0);
                CHECK_EQUAL("permission", expect ? PF : EXIT, vector);
                if (expect && vector == PF) {
                    CHECK_EQUAL("error code", error, c.error);
                    CHECK_EQUAL("CR2", at, c.cr2);
                } else if (expect != (vector == PF)) {
                    print("#   format %u level %u rights %x kind %u user %u ac %u\n", format, level, bits,
                          kind, user, ac);
                }
            }
            paging_cr4(cr4);
            write_cr0(cr0);
            entry_set(level, 0, old);
            flush();
        }
    }
}

TEST(permissions)
{
    snips_init();
    for (unsigned i = 0; i < COUNT(formats); i++) {
        paging_on(formats[i], 0);
        user_code_map();
        /* PDPTEs of PAE have no rights. */
        unsigned levels = formats[i] == PAGES_PAE ? 2 : paging_levels();
        for (unsigned level = 1; level <= levels; level++) {
            paging_off();
            paging_on(formats[i], 0);
            user_code_map();
            permissions(formats[i], level);
        }
        paging_off();
    }
}

TEST(accessed_dirty)
{
    struct context c;
    snips_init();
    for (unsigned i = 0; i < COUNT(formats); i++) {
        paging_on(formats[i], 0);
        user_code_map();
        unsigned levels = formats[i] == PAGES_PAE ? 2 : paging_levels();
        u64 leaf = FRAME(0) | PTE_P | PTE_W | PTE_U;
        entry_set(1, 0, leaf);
        for (unsigned level = 2; level <= levels; level++)
            entry_set(level, 0, entry_get(level, 0) & ~PTE_A);
        flush();
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        CHECK_EQUAL("a read sets A, not D", leaf | PTE_A, entry_get(1, 0));
        for (unsigned level = 2; level <= levels; level++)
            CHECK_EQUAL("A of the upper level, no D", PTE_A, entry_get(level, 0) & (PTE_A | PTE_D));
        access(&c, WRITE, false, WINDOW_PAGE(0), 0);
        CHECK_EQUAL("a write sets D, though the page is in the TLB", leaf | PTE_A | PTE_D, entry_get(1, 0));
        entry_set(1, 0, leaf);
        flush();
        access(&c, WRITE, true, WINDOW_PAGE(0), 0);
        CHECK_EQUAL("a write sets both", leaf | PTE_A | PTE_D, entry_get(1, 0));
        /* A fault sets neither. */
        entry_set(1, 0, FRAME(0) | PTE_P);
        flush();
        CHECK_EQUAL("user read of a supervisor page", PF, access(&c, READ, true, WINDOW_PAGE(0), 0));
        CHECK_EQUAL("leaves A and D", FRAME(0) | PTE_P, entry_get(1, 0));
        entry_set(1, 0, FRAME(0) | PTE_P | PTE_U);
        flush();
        CHECK_EQUAL("user write to a read-only page", PF, access(&c, WRITE, true, WINDOW_PAGE(0), 0));
        CHECK_EQUAL("leaves D", 0, entry_get(1, 0) & PTE_D);
        const struct snip *s = SNIP("lock cmpxchg %ecx, (" BX ")");
        entry_set(1, 0, leaf);
        *(volatile uint32_t *)frames[0] = 5;
        flush();
        context_set(&c, s);
        c.ax = 6;
        c.bx = WINDOW_PAGE(0);
        context_run(&c);
        CHECK_EQUAL("CMPXCHG that does not match", 5, c.ax);
        CHECK_EQUAL("writes all the same: D", PTE_D, entry_get(1, 0) & PTE_D);
        /* Setting A and D is a write by the processor itself: WP does not matter, nor who accesses. */
        paging_off();
    }
}

TEST(large_pages)
{
    struct context c;
    snips_init();
    for (unsigned i = 0; i < COUNT(formats); i++) {
        paging_on(formats[i], 0);
        user_code_map();
        word size = formats[i] == PAGES_32 ? 4 * MiB : 2 * MiB;
        word physical = ADDR(frames) & ~(size - 1), offset = ADDR(frames[3]) - physical;
        u64 entry = physical | PTE_P | PTE_W | PTE_U | PTE_PS;
        *(volatile uint32_t *)frames[3] = 0x12345678;
        entry_set(2, 0, entry);
        flush();
        CHECK_EQUAL("read through a large page", EXIT, access(&c, READ, false, WINDOW + offset, 0));
        CHECK_EQUAL("value", 0x12345678, c.ax);
        CHECK_EQUAL("A", entry | PTE_A, entry_get(2, 0));
        CHECK_EQUAL("write", EXIT, access(&c, WRITE, false, WINDOW + offset, 0));
        CHECK_EQUAL("value", 0x12345677, *(volatile uint32_t *)frames[3]);
        CHECK_EQUAL("D", entry | PTE_A | PTE_D, entry_get(2, 0));
        entry_set(2, 0, entry & ~PTE_U);
        flush();
        /* The user's code lies in the same region: fetch instead. */
        CHECK_EQUAL("user fetch from a supervisor large page", PF,
                    access(&c, FETCH, true, WINDOW + offset, 0));
        CHECK_EQUAL("error", PF_P | PF_U | (CPU_HAS_NX && formats[i] != PAGES_32 ? PF_I : 0), c.error);
        /* The lowest reserved bit; bits 13 to 20 are PSE-36's in 32-bit paging. */
        entry_set(2, 0, entry | 1u << (formats[i] == PAGES_32 ? 21 : 13));
        flush();
        CHECK_EQUAL("reserved bit of a large page", PF, access(&c, READ, false, WINDOW + offset, 0));
        CHECK_EQUAL("[qemu] error", PF_P | PF_RSVD, c.error);
        entry_set(2, 0, entry | PTE_PAT_LARGE);
        flush();
        CHECK_EQUAL("the PAT bit 12 is no reserved bit", EXIT, access(&c, READ, false, WINDOW + offset, 0));
        paging_off();
    }
}

#ifndef __x86_64__
/* PSE-36: bits 13 to 20 of a 4 MiB PDE are address bits 32 to 39; bit 21 is reserved. SDM 3A table 4-4. */
TEST(pse36)
{
    struct context c;
    snips_init();
    if (!CPU_HAS_PSE36) {
        skip("CPUID has no PSE-36");
        return;
    }
    paging_on(PAGES_32, 0);
    word physical = ADDR(frames) & ~(4 * MiB - 1), offset = ADDR(frames[3]) - physical;
    *(volatile uint32_t *)frames[3] = 0x12345678;
    entry_set(2, 0, physical | PTE_P | PTE_W | PTE_PS | 1u << 13);
    flush();
    if (cpuid(0x80000008u, 0).a % 256 > 33) {
        CHECK_EQUAL("a page at 4 GiB: no memory, but no fault", EXIT,
                    access(&c, READ, false, WINDOW + offset, 0));
        CHECK("another value", c.ax != 0x12345678);
    }
    entry_set(2, 0, physical | PTE_P | PTE_W | PTE_PS | 1u << 21);
    flush();
    CHECK_EQUAL("bit 21 is reserved", PF, access(&c, READ, false, WINDOW + offset, 0));
    CHECK_EQUAL("[qemu] error", PF_P | PF_RSVD, c.error);
    /* Without PSE, bit 7 of a PDE is ignored. */
    paging_off();
}

/* MOV CR3 loads the four PDPTEs and checks their reserved bits at once. SDM 3A 4.4.1. */
TEST(pae_pdptes)
{
    struct context c;
    snips_init();
    paging_on(PAGES_PAE, 0);
    entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
    const struct snip *s = SNIP("mov %eax, %cr3");
    u64 good = entry_get(3, 0);
    static const u64 reserved[] = {PTE_W, PTE_U, 0x20, 0x40, 0x80, 0x100, 1ull << 62, PTE_NX};
    for (unsigned i = 0; i < COUNT(reserved); i++) {
        entry_set(3, 0, good | reserved[i]);
        context_set(&c, s);
        c.ax = paging_root();
        RUN_FAULT("[qemu] reserved bit of a PDPTE: #GP(0) of MOV CR3", s, &c, GP, 0);
        entry_set(3, 0, reserved[i]);
        context_set(&c, s);
        c.ax = paging_root();
        RUN_THROUGH("not looked at when P is clear", s, &c);
        entry_set(3, 0, good);
        flush();
    }
    /* A change of a PDPTE in memory has no effect before the next MOV CR3. */
    entry_set(3, 0, 0);
    flush_page(WINDOW_PAGE(0));
    CHECK_EQUAL("[qemu] the PDPTE registers are still the old ones", EXIT,
                access(&c, READ, false, WINDOW_PAGE(0), 0));
    flush();
    CHECK_EQUAL("MOV CR3 loads them", PF, access(&c, READ, false, WINDOW_PAGE(0), 0));
    CHECK_EQUAL("error", 0, c.error);
    entry_set(3, 0, good);
    /* Turning PGE on and off loads them too; so does CR0.PG. */
    entry_set(3, 0, good);
    flush();
    CHECK_EQUAL("back", EXIT, access(&c, READ, false, WINDOW_PAGE(0), 0));
    CHECK_EQUAL("[qemu] a PDPTE has no accessed bit", 0, entry_get(3, 0) & 0x20);
    paging_off();
}
#else
TEST(page_1g)
{
    struct context c;
    snips_init();
    paging_on(PAGES_4LEVEL, 0);
    word offset = ADDR(frames[3]);
    *(volatile uint32_t *)frames[3] = 0x12345678;
    entry_set(3, 0, PTE_P | PTE_W | PTE_PS);
    flush();
    if (!CPU_HAS_1G) {
        CHECK_EQUAL("PS in a PDPTE is reserved", PF, access(&c, READ, false, WINDOW + offset, 0));
        CHECK_EQUAL("error", PF_P | PF_RSVD, c.error);
        paging_off();
        return;
    }
    CHECK_EQUAL("read through a 1 GiB page", EXIT, access(&c, READ, false, WINDOW + offset, 0));
    CHECK_EQUAL("value", 0x12345678, c.ax);
    access(&c, WRITE, false, WINDOW + offset, 0);
    CHECK_EQUAL("A and D", PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D, entry_get(3, 0));
    entry_set(3, 0, PTE_P | PTE_W | PTE_PS | 1u << 20);
    flush();
    CHECK_EQUAL("reserved bit 20", PF, access(&c, READ, false, WINDOW + offset, 0));
    CHECK_EQUAL("[qemu] error", PF_P | PF_RSVD, c.error);
    entry_set(4, 0, entry_get(4, 0) | PTE_PS);
    flush();
    CHECK_EQUAL("PS in a PML4E is reserved", PF, access(&c, READ, false, WINDOW + offset, 0));
    CHECK_EQUAL("[qemu] error", PF_P | PF_RSVD, c.error);
    paging_off();
}

/* The upper half of the address space, and that bits above the physical width are reserved. */
TEST(high_half)
{
    struct context c;
    snips_init();
    paging_on(PAGES_4LEVEL, 0);
    u64 *top = (u64 *)paging_root();
    entry_set(1, 3, FRAME(2) | PTE_P | PTE_W);
    top[511] = top[1];
    *(volatile uint32_t *)frames[2] = 0xabcdef01;
    flush();
    word high = 0xffffff8000000000ul + 3 * PAGE_SIZE;
    CHECK_EQUAL("read at the upper half", EXIT, access(&c, READ, false, high, 0));
    CHECK_EQUAL("value", 0xabcdef01, c.ax);
    unsigned width = cpuid(0x80000008u, 0).a & 0xff;
    for (unsigned level = 1; level <= 3; level++) {
        u64 old = entry_get(level, level == 1 ? 3 : 0);
        if (width >= 52)
            break;
        entry_set(level, level == 1 ? 3 : 0, old | 1ull << width);
        flush();
        CHECK_EQUAL("address bit above the width", PF, access(&c, READ, false, high, 0));
        CHECK_EQUAL("[qemu] is reserved", PF_P | PF_RSVD, c.error);
        entry_set(level, level == 1 ? 3 : 0, old);
    }
    paging_off();
}
#endif

/* After the entry changes, the old translation may be used until INVLPG; never after. */
TEST(invlpg)
{
    struct context c;
    snips_init();
    for (unsigned i = 0; i < COUNT(formats); i++) {
        paging_on(formats[i], 0);
        *(volatile uint32_t *)frames[0] = 0x1111;
        *(volatile uint32_t *)frames[1] = 0x2222;
        entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
        flush();
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        CHECK_EQUAL("first mapping", 0x1111, c.ax);
        entry_set(1, 0, FRAME(1) | PTE_P | PTE_W);
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        CHECK("before INVLPG: either value", c.ax == 0x1111 || c.ax == 0x2222);
        flush_page(WINDOW_PAGE(0) + 0xabc);
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        CHECK_EQUAL("after INVLPG of an address in the page: the new one", 0x2222, c.ax);
        entry_set(1, 0, 0);
        flush_page(WINDOW_PAGE(0));
        CHECK_EQUAL("unmapped", PF, access(&c, READ, false, WINDOW_PAGE(0), 0));
        /* A fault drops the translations of its address: adding rights needs no INVLPG. SDM 3A 4.10.4.3. */
        entry_set(1, 0, FRAME(0) | PTE_P);
        CHECK_EQUAL("mapped again, without INVLPG", EXIT, access(&c, READ, false, WINDOW_PAGE(0), 0));
        write_cr0(read_cr0() | CR0_WP);
        CHECK_EQUAL("read-only with WP", PF, access(&c, WRITE, false, WINDOW_PAGE(0), 0));
        entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
        CHECK_EQUAL("made writable, without INVLPG", EXIT, access(&c, WRITE, false, WINDOW_PAGE(0), 0));
        write_cr0(read_cr0() & ~(word)CR0_WP);
        /* A large page is dropped by INVLPG of any address in it. */
        word size = formats[i] == PAGES_32 ? 4 * MiB : 2 * MiB;
        word physical = ADDR(frames) & ~(size - 1), offset = ADDR(frames[3]) - physical;
        *(volatile uint32_t *)frames[3] = 0x3333;
        u64 table = entry_get(2, 0);
        entry_set(2, 0, physical | PTE_P | PTE_PS);
        flush();
        access(&c, READ, false, WINDOW + offset, 0);
        CHECK_EQUAL("through the large page", 0x3333, c.ax);
        entry_set(2, 0, table);
        flush_page(WINDOW + size - 1);
        CHECK_EQUAL("INVLPG at its other end drops it", EXIT, access(&c, READ, false, WINDOW_PAGE(0), 0));
        CHECK_EQUAL("the page table is used again", *(volatile uint32_t *)frames[0], c.ax);
        /* A change of an upper level: INVLPG drops the paging-structure caches as well. */
        entry_set(2, 0, 0);
        flush_page(WINDOW_PAGE(0));
        CHECK_EQUAL("PDE not present", PF, access(&c, READ, false, WINDOW_PAGE(0), 0));
        CHECK_EQUAL("error", 0, c.error);
        paging_off();
    }
}

TEST(global_pages)
{
    struct context c;
    snips_init();
    if (!CPU_HAS_PGE) {
        skip("CPUID has no PGE");
        return;
    }
    for (unsigned i = 0; i < COUNT(formats); i++) {
        paging_on(formats[i], 0);
        paging_cr4(read_cr4() | CR4_PGE);
        *(volatile uint32_t *)frames[0] = 0x1111;
        *(volatile uint32_t *)frames[1] = 0x2222;
        entry_set(1, 0, FRAME(0) | PTE_P | PTE_G);
        entry_set(1, 1, FRAME(0) | PTE_P);
        flush();
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        access(&c, READ, false, WINDOW_PAGE(1), 0);
        entry_set(1, 0, FRAME(1) | PTE_P | PTE_G);
        entry_set(1, 1, FRAME(1) | PTE_P);
        flush();
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        CHECK("MOV CR3 may keep a global page", c.ax == 0x1111 || c.ax == 0x2222);
        access(&c, READ, false, WINDOW_PAGE(1), 0);
        CHECK_EQUAL("MOV CR3 drops the others", 0x2222, c.ax);
        flush_page(WINDOW_PAGE(0));
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        CHECK_EQUAL("INVLPG drops a global page", 0x2222, c.ax);
        entry_set(1, 0, FRAME(0) | PTE_P | PTE_G);
        paging_cr4(read_cr4() & ~(word)CR4_PGE);
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        CHECK_EQUAL("clearing PGE drops all", 0x1111, c.ax);
        paging_cr4(read_cr4() | CR4_PGE);
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        entry_set(1, 0, FRAME(1) | PTE_P | PTE_G);
        paging_cr4(read_cr4() & ~(word)CR4_PGE);
        paging_cr4(read_cr4() | CR4_PGE);
        access(&c, READ, false, WINDOW_PAGE(0), 0);
        CHECK_EQUAL("a toggle drops all", 0x2222, c.ax);
        paging_cr4(read_cr4() & ~(word)CR4_PGE);
        paging_off();
    }
}

/* Changes of CR0.WP, CR4.SMEP, SMAP and EFER.NXE act at once. */
TEST(control_changes)
{
    struct context c;
    snips_init();
    paging_on(PAGES_NATIVE, 0);
    entry_set(1, 0, FRAME(0) | PTE_P | PTE_U);
    memory_copy(frames[0], (const void *)snip_nop->start, 8);
    flush();
    CHECK_EQUAL("write to read-only without WP", EXIT, access(&c, WRITE, false, WINDOW_PAGE(0), 0));
    write_cr0(read_cr0() | CR0_WP);
    CHECK_EQUAL("WP acts at once", PF, access(&c, WRITE, false, WINDOW_PAGE(0), 0));
    write_cr0(read_cr0() & ~(word)CR0_WP);
    CHECK_EQUAL("and so does its end", EXIT, access(&c, WRITE, false, WINDOW_PAGE(0), 0));
    memory_copy(frames[0], (const void *)snip_nop->start, 8);
    if (CPU_HAS_SMEP) {
        CHECK_EQUAL("fetch from a user page", EXIT, access(&c, FETCH, false, WINDOW_PAGE(0), 0));
        paging_cr4(read_cr4() | CR4_SMEP);
        CHECK_EQUAL("SMEP acts at once", PF, access(&c, FETCH, false, WINDOW_PAGE(0), 0));
        paging_cr4(read_cr4() & ~(word)CR4_SMEP);
    }
    if (CPU_HAS_SMAP) {
        paging_cr4(read_cr4() | CR4_SMAP);
        const struct snip *s = SNIP("stac; mov (" BX "), %eax; clac\n" AT "mov (" BX "), %ecx");
        context_set(&c, s);
        c.bx = WINDOW_PAGE(0);
        RUN_FAULT("CLAC acts at the next instruction", s, &c, PF, PF_P);
        CHECK("STAC too", c.ax != 0);
        s = SNIP("stac");
        context_set_user(&c, s);
        c.ip = WINDOW_PAGE(0);
        memory_copy(frames[0], (const void *)s->start, 8);
        context_run(&c);
        CHECK_EQUAL("STAC in ring 3 is #UD", UD, c.vector);
        paging_cr4(read_cr4() & ~(word)CR4_SMAP);
    }
    paging_off();
}

/* An access over two pages of which the second faults: nothing is written, CR2 is the first byte that
 * faults. */
TEST(crossing)
{
    struct context c;
    for (unsigned i = 0; i < COUNT(formats); i++) {
        paging_on(formats[i], 0);
        word at = WINDOW_PAGE(1) - 2;
        entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
        entry_set(1, 1, FRAME(5) | PTE_P | PTE_W);
        flush();
        struct {
            const char *what;
            const struct snip *s;
            word error;
        } table[] = {
            {"MOV write", SNIP("mov %eax, (" BX ")"), PF_W},
            {"MOV read", SNIP("mov (" BX "), %ecx"), 0},
            {"ADD to memory", SNIP("add %eax, (" BX ")"), PF_W},
            {"[qemu] XCHG", SNIP("xchg %eax, (" BX ")"), PF_W},
            {"PUSH", SNIP("lea 2(" BX "), " SP "; push %ax; push %ax; lea 2(" BX "), " SP), 0},
            {"FNSTENV", SNIP("fnstenv (" BX ")"), PF_W},
        };
        for (unsigned j = 0; j < COUNT(table); j++) {
            memory_set(frames[0], 0x11, PAGE_SIZE);
            memory_set(frames[5], 0x22, PAGE_SIZE);
            entry_set(1, 1, FRAME(5) | PTE_P | PTE_W);
            flush_page(WINDOW_PAGE(1));
            context_set(&c, table[j].s);
            c.ax = 0xaabbccdd;
            c.bx = at;
            RUN_THROUGH(table[j].what, table[j].s, &c);
            if (j == 0) {
                CHECK_EQUAL("the first half", 0xccdd, *(uint16_t *)(void *)(frames[0] + 4094));
                CHECK_EQUAL("the second half", 0xaabb, *(uint16_t *)(void *)frames[5]);
            }
            if (j == 1)
                CHECK_EQUAL("read over two pages", 0x22221111, c.cx);
            if (j == 4)
                continue;
            memory_set(frames[0], 0x11, PAGE_SIZE);
            entry_set(1, 1, 0);
            flush_page(WINDOW_PAGE(1));
            context_set(&c, table[j].s);
            c.ax = 0xaabbccdd;
            c.bx = at;
            write_cr2(0);
            RUN_FAULT(j == 2 ? "[qemu] ADD, the second page missing" : table[j].what, table[j].s, &c, PF,
                      table[j].error);
            CHECK_EQUAL("CR2 is on the second page", WINDOW_PAGE(1), c.cr2);
            if (table[j].error)
                CHECK_EQUAL("nothing written on the first", 0x1111, *(uint16_t *)(void *)(frames[0] + 4094));
            CHECK_EQUAL("AX unchanged", 0xaabbccdd, c.ax);
        }
        /* An instruction over two pages. */
        const struct snip *s = SNIP("mov $0x12345678, %eax");
        frame_code(0, s);
        memory_copy(frames[0] + 4094, (const void *)s->start, 2);
        memory_copy(frames[5], (const void *)(s->start + 2), 8);
        context_set(&c, s);
        c.ip = at;
        context_run(&c);
        CHECK_EXIT("fetch, the second page missing", &c, PF, CPU_HAS_NX && formats[i] != PAGES_32 ? PF_I : 0,
                   at);
        CHECK_EQUAL("CR2 of the fetch is on the second page", WINDOW_PAGE(1), c.cr2);
        entry_set(1, 1, FRAME(5) | PTE_P);
        context_set(&c, s);
        c.ip = at;
        context_run(&c);
        CHECK_EXIT("fetch over two pages", &c, EXIT, NO_ERROR, at + 7);
        CHECK_EQUAL("immediate", 0x12345678, c.ax);
        paging_off();
    }
}

/* Two frames of one physical page: a write through one address is seen through the other at once. */
TEST(alias)
{
    for (unsigned i = 0; i < COUNT(formats); i++) {
        paging_on(formats[i], 0);
        entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
        entry_set(1, 1, FRAME(0) | PTE_P | PTE_W);
        flush();
        volatile uint32_t *a = (volatile uint32_t *)WINDOW_PAGE(0), *b = (volatile uint32_t *)WINDOW_PAGE(1);
        for (uint32_t n = 0; n < 16; n++) {
            a[n] = n + 7;
            CHECK_EQUAL("alias", n + 7, b[n]);
            b[n] = n + 9;
            CHECK_EQUAL("and back", n + 9, a[n]);
        }
        paging_off();
    }
}

/* Page tables that map themselves: a write through the window changes the window. */
TEST(self_map)
{
    for (unsigned i = 0; i < COUNT(formats); i++) {
        paging_on(formats[i], 0);
        unsigned entry_size = formats[i] == PAGES_32 ? 4 : 8;
        u64 table = entry_get(2, 0) & ~(u64)0xfff;
        entry_set(1, 2, table | PTE_P | PTE_W);
        entry_set(1, 3, FRAME(0) | PTE_P | PTE_W);
        *(volatile uint32_t *)frames[0] = 0x1111;
        *(volatile uint32_t *)frames[1] = 0x2222;
        flush();
        CHECK_EQUAL("before", 0x1111, *(volatile uint32_t *)WINDOW_PAGE(3));
        *(volatile uint32_t *)(WINDOW_PAGE(2) + 3 * entry_size) = (uint32_t)(FRAME(1) | PTE_P | PTE_W);
        flush_page(WINDOW_PAGE(3));
        CHECK_EQUAL("after", 0x2222, *(volatile uint32_t *)WINDOW_PAGE(3));
        paging_off();
    }
}

#ifdef __x86_64__
static void invpcid(word type, uint64_t pcid, uint64_t address)
{
    struct {
        uint64_t pcid, address;
    } descriptor = {pcid, address};
    __asm__ volatile("invpcid %0, %1" : : "m"(descriptor), "r"(type) : "memory");
}

static word pcid_read(word pcid)
{
    struct context c;
    write_cr3(paging_root() | pcid | 1ul << 63); /* no flush */
    access(&c, READ, false, WINDOW_PAGE(0), 0);
    return c.vector == EXIT ? c.ax : 0;
}

/* Fills both PCIDs' TLBs with FRAME(0), then points the entry at FRAME(1). */
static void pcid_fill(u64 global)
{
    entry_set(1, 0, FRAME(0) | PTE_P | global);
    paging_cr4(read_cr4() & ~(word)CR4_PGE);
    paging_cr4(read_cr4() | CR4_PGE);
    write_cr3(paging_root() | 1);
    write_cr3(paging_root() | 2);
    pcid_read(1);
    pcid_read(2);
    entry_set(1, 0, FRAME(1) | PTE_P | global);
}

TEST(pcid)
{
    struct context c;
    snips_init();
    if (!CPU_HAS_PCID) {
        skip("CPUID has no PCID");
        return;
    }
    paging_on(PAGES_4LEVEL, 0);
    *(volatile uint32_t *)frames[0] = 0x1111;
    *(volatile uint32_t *)frames[1] = 0x2222;
    const struct snip *s = SNIP("mov %rax, %cr4");
    write_cr3(paging_root() | 8);
    context_set(&c, s);
    c.ax = read_cr4() | CR4_PCIDE;
    RUN_FAULT("[qemu] PCIDE with CR3's low bits set", s, &c, GP, 0);
    paging_cr4(read_cr4() & ~(word)CR4_PCIDE);
    write_cr3(paging_root());
    paging_cr4(read_cr4() | CR4_PCIDE);
    write_cr3(paging_root() | 5 | 1ul << 63);
    CHECK_EQUAL("bit 63 is not kept in CR3", paging_root() | 5, read_cr3());
    pcid_fill(0);
    word first = pcid_read(1);
    CHECK("no-flush MOV CR3 may keep PCID 1", first == 0x1111 || first == 0x2222);
    write_cr3(paging_root() | 1);
    CHECK_EQUAL("MOV CR3 drops its own PCID", 0x2222, pcid_read(1));
    word second = pcid_read(2);
    CHECK("and may keep another", second == 0x1111 || second == 0x2222);
    pcid_read(1);
    flush_page(WINDOW_PAGE(0));
    if (CPU_HAS_INVPCID) {
        pcid_fill(0);
        invpcid(0, 1, WINDOW_PAGE(0));
        CHECK_EQUAL("INVPCID 0 drops an address of a PCID", 0x2222, pcid_read(1));
        second = pcid_read(2);
        CHECK("another PCID may keep it", second == 0x1111 || second == 0x2222);
        pcid_fill(0);
        invpcid(1, 2, 0);
        CHECK_EQUAL("INVPCID 1 drops a PCID", 0x2222, pcid_read(2));
        pcid_fill(PTE_G);
        invpcid(2, 0, 0);
        CHECK_EQUAL("INVPCID 2 drops all, global pages too", 0x2222, pcid_read(1));
        CHECK_EQUAL("of every PCID", 0x2222, pcid_read(2));
        pcid_fill(0);
        invpcid(3, 0, 0);
        CHECK_EQUAL("INVPCID 3 drops all but global pages", 0x2222, pcid_read(1));
        CHECK_EQUAL("of every PCID", 0x2222, pcid_read(2));
        static struct {
            uint64_t pcid, address;
        } bad;
        s = SNIP("invpcid (%rbx), %rax");
        bad.pcid = 0x1000;
        context_set(&c, s);
        c.bx = ADDR(&bad);
        RUN_FAULT("INVPCID with reserved bits in the descriptor", s, &c, GP, 0);
        bad.pcid = 0;
        context_set(&c, s);
        c.bx = ADDR(&bad);
        c.ax = 4;
        RUN_FAULT("INVPCID of type 4", s, &c, GP, 0);
        bad.address = 0x800000000000;
        context_set(&c, s);
        c.bx = ADDR(&bad);
        RUN_FAULT("INVPCID 0 of a non-canonical address", s, &c, GP, 0);
        context_set_user(&c, s);
        entry_set(1, 14, FRAME(14) | PTE_P | PTE_U);
        frame_code(14, s);
        flush();
        c.ip = WINDOW_PAGE(14);
        context_run(&c);
        CHECK_EQUAL("INVPCID in ring 3", GP, c.vector);
    }
    pcid_fill(PTE_G);
    paging_cr4(read_cr4() & ~(word)CR4_PGE);
    CHECK_EQUAL("clearing PGE drops every PCID", 0x2222, pcid_read(1));
    CHECK_EQUAL("of every PCID", 0x2222, pcid_read(2));
    write_cr3(paging_root());
    pcid_fill(0);
    write_cr3(paging_root());
    paging_cr4(read_cr4() & ~(word)CR4_PCIDE);
    access(&c, READ, false, WINDOW_PAGE(0), 0);
    CHECK_EQUAL("clearing PCIDE drops all", 0x2222, c.ax);
    paging_off();
}
#endif

/* Bits that must be zero in a present entry of LEVEL: SDM 3A 4.3 (tables 4-5, 4-6), 4.4 (4-9 ff.), 4.5 (4-15
 * ff.). LEAF: it maps a page. */
static bool reserved(unsigned format, unsigned level, bool leaf, unsigned bit, unsigned width, bool nx)
{
    if (format == PAGES_32)
        return leaf && level == 2 && bit == 21;
    if (bit == 63)
        return !nx;
    if (bit >= width && bit < 52)
        return true;
    if (format == PAGES_PAE && bit >= 52)
        return true;
    if (bit == 7)
        return level == 4; /* below: PS, or the PAT bit of a PTE */
    if (!leaf || level == 1)
        return false;
    return bit >= 13 && bit < (level == 3 ? 30u : 21u);
}

TEST(reserved_bits)
{
    unsigned width = 36;
    if (cpuid(0x80000000u, 0).a >= 0x80000008u)
        width = cpuid(0x80000008u, 0).a & 0xff;
    snips_init();
    for (unsigned i = 0; i < COUNT(formats); i++) {
        for (unsigned n = 0; n < 8; n++) {
            unsigned level = 1 + n / 2;
            bool leaf = n & 1 || level == 1, nx = CPU_HAS_NX;
            /* PAE's PDPTEs are checked by MOV CR3; level 1 is always a leaf, level 4 never. */
            if (level > (unsigned)(2 + formats[i]) || (formats[i] == PAGES_PAE && level == 3) ||
                (level == 1 && n & 1) || (level == 4 && leaf) || (level == 3 && leaf && !CPU_HAS_1G))
                continue;
            paging_on(formats[i], 0);
            u64 good = level == 1 ? FRAME(0) | PTE_ALL : leaf ? PTE_ALL | PTE_PS : entry_get(level, 0);
            entry_set(1, 0, FRAME(0) | PTE_ALL);
            for (unsigned bit = 7; bit < (formats[i] == PAGES_32 ? 32u : 64u); bit++) {
                struct context c;
                if ((leaf && level > 1 && bit == 7) || (!leaf && level > 1 && level < 4 && bit == 7))
                    continue; /* PS itself */
                if (bit >= 12 && bit < width && !reserved(formats[i], level, leaf, bit, width, nx))
                    continue; /* another address */
                if (formats[i] == PAGES_32 && bit >= 12 && bit != 21)
                    continue;
                if (bit == 63 && nx)
                    continue;
                entry_set(level, 0, good | 1ull << bit);
                flush();
                bool want = reserved(formats[i], level, leaf, bit, width, nx);
                unsigned vector = access(&c, READ, false, WINDOW + 0x40, 0);
                CHECK_EQUAL("a reserved bit, or not", want ? PF : EXIT, vector);
                if (want && vector == PF) {
                    CHECK_EQUAL("[qemu] error code", PF_P | PF_RSVD, c.error);
                    CHECK_EQUAL("[qemu] no A bit is set", entry_get(level, 0), good | 1ull << bit);
                }
                /* Not present: the other bits mean nothing. */
                entry_set(level, 0, (good | 1ull << bit) & ~PTE_P);
                flush();
                CHECK_EQUAL("not present", PF, access(&c, READ, false, WINDOW + 0x40, 0));
                CHECK_EQUAL("error code", 0, c.error);
            }
            paging_off();
        }
    }
}
