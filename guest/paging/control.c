/* What the control registers say to paging: reserved bits of CR3, bit 63 of an entry without EFER.NXE, bit 7
 * of a PDE without CR4.PSE, PCIDs and INVPCID with and without CR4.PCIDE, and the order of faults. SDM
 * 3A 2.5, 5.3–5.5, 5.10.4; 2A INVPCID; 2B MOV of control registers. */
#include "paging.h"

static const struct snip *snip_read;

static unsigned read_at(struct context *c, word at)
{
    snip_read = SNIP("mov (" BX "), %eax");
    context_set(c, snip_read);
    c->bx = at;
    write_cr2(0);
    context_run(c);
    return (unsigned)c->vector;
}

/* Bit 63 of an entry is reserved while EFER.NXE is clear, at each level that has it. */
TEST(nx_without_nxe)
{
    struct context c;
    if (!CPU_HAS_NX) {
        skip("CPUID has no NX");
        return;
    }
    paging_on(PAGES_NATIVE, 0);
    entry_set(1, 0, FRAME(0) | PTE_ALL);
    unsigned levels = WORLD == 64 ? 4 : 2; /* PAE's PDPTEs: pae_pdptes */
    for (unsigned level = 1; level <= levels; level++) {
        u64 old = entry_get(level, 0);
        entry_set(level, 0, old | PTE_NX);
        flush();
        CHECK_EQUAL("with NXE: a read is allowed", EXIT, read_at(&c, WINDOW));
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_NXE);
        flush();
        CHECK_EQUAL("without: reserved", PF, read_at(&c, WINDOW));
        CHECK_EQUAL("[qemu] error code", PF_P | PF_RSVD, c.error);
        /* SMEP alone brings the I/D bit back; reserved goes with it. */
        if (CPU_HAS_SMEP) {
            const struct snip *nop = SNIP("nop");
            paging_cr4(read_cr4() | CR4_SMEP);
            context_set(&c, nop);
            c.ip = WINDOW;
            context_run(&c);
            paging_cr4(read_cr4() & ~(word)CR4_SMEP);
            CHECK_EQUAL("fetch", PF, c.vector);
            CHECK_EQUAL("[qemu] with SMEP: I/D", PF_P | PF_RSVD | PF_I, c.error);
        }
        entry_set(level, 0, old);
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
        flush();
    }
    paging_off();
}

#ifndef __x86_64__
TEST(pse_off)
{
    struct context c;
    paging_on(PAGES_32, 0);
    word physical = ADDR(frames) & ~(4 * MiB - 1), offset = ADDR(frames[3]) - physical;
    *(volatile uint32_t *)frames[3] = 0x3333;
    *(volatile uint32_t *)frames[0] = 0x1111;
    entry_set(1, 0, FRAME(0) | PTE_ALL);
    u64 table = entry_get(2, 0);
    /* The identity map needs PSE: so the check runs from small pages of its own, over the first 8 MiB. */
    static uint32_t own[1024] ALIGNED(4096), small[2][1024] ALIGNED(4096);
    memory_copy(own, (void *)paging_root(), sizeof(own));
    for (uint32_t i = 0; i < 2048; i++)
        small[i / 1024][i % 1024] = i << 12 | 3;
    own[0] = (uint32_t)ADDR(small[0]) | 3;
    own[1] = (uint32_t)ADDR(small[1]) | 3;
    own[256] = (uint32_t)table | PTE_PS;
    write_cr3(ADDR(own));
    paging_cr4(read_cr4() & ~(word)CR4_PSE);
    CHECK_EQUAL("PSE clear", EXIT, read_at(&c, WINDOW));
    CHECK_EQUAL("bit 7 of a PDE is ignored: it points to a table", 0x1111, c.ax);
    paging_cr4(read_cr4() | CR4_PSE);
    own[256] = physical | 3 | PTE_PS;
    flush();
    CHECK_EQUAL("PSE set", EXIT, read_at(&c, WINDOW + offset));
    CHECK_EQUAL("it maps a page", 0x3333, c.ax);
    paging_off();
}
#else
static void mov_cr3(const char *what, word value, bool ok)
{
    struct context c;
    const struct snip *s = SNIP("mov %rax, %cr3");
    word old = read_cr3();
    context_set(&c, s);
    c.ax = value;
    if (ok)
        RUN_THROUGH(what, s, &c);
    else
        RUN_FAULT(what, s, &c, GP, 0);
    write_cr3(old);
}

TEST(cr3_bits)
{
    unsigned width = cpuid(0x80000008u, 0).a & 0xff;
    word root = read_cr3();
    for (unsigned bit = width; bit < 64 && !known(QUIRK_QEMU, "CR3: reserved bits are taken"); bit++)
        mov_cr3("CR3: a bit above the physical width", root | 1ul << bit, false);
    for (unsigned bit = 0; bit < 12; bit++)
        mov_cr3("CR3: the low twelve are ignored or flags", root | 1ul << bit, true);
    write_cr3(root | 0x18);
    CHECK_EQUAL("PWT and PCD are kept", root | 0x18, read_cr3());
    write_cr3(root);
    if (!CPU_HAS_PCID)
        return;
    paging_cr4(read_cr4() | CR4_PCIDE);
    mov_cr3("PCIDE: bit 63 is the no-flush bit", root | 1ul << 63 | 7, true);
    if (!quirky(QUIRK_QEMU))
        mov_cr3("PCIDE: bit 62 is reserved", root | 1ul << 62, false);
    const struct snip *s = SNIP("mov %rax, %cr0");
    struct context c;
    context_set(&c, s);
    c.ax = read_cr0() & ~(word)CR0_PG;
    RUN_FAULT("[qemu] CR0.PG cannot be cleared in 64-bit code, nor with PCIDE", s, &c, GP, 0);
    paging_cr4(read_cr4() & ~(word)CR4_PCIDE);
}

TEST(invpcid_descriptor)
{
    static struct {
        uint64_t pcid, address;
    } d;
    struct context c;
    const struct snip *s = SNIP("invpcid (%rbx), %rax");
    if (!CPU_HAS_INVPCID) {
        FAULT("INVPCID that CPUID does not offer", s, UD, NO_ERROR);
        skip("CPUID has no INVPCID");
        return;
    }
    for (unsigned pcide = 0; pcide <= CPU_HAS_PCID; pcide++) {
        paging_cr4(pcide ? read_cr4() | CR4_PCIDE : read_cr4() & ~(word)CR4_PCIDE);
        for (unsigned n = 0; n < 5 * 4 * 3; n++) {
            static const uint64_t pcids[] = {0, 1, 0xfff, 0x1000};
            static const uint64_t addresses[] = {0x1000, 0x800000000000, 0xffff800000000000};
            word type = n / 12;
            d.pcid = pcids[n / 3 % 4];
            d.address = addresses[n % 3];
            /* 2A INVPCID: reserved bits always; a PCID without PCIDE in types 0 and 1; the address in type 0.
             */
            bool bad = type > 3 || d.pcid > 0xfff || (type < 2 && !pcide && d.pcid) ||
                       (type == 0 && d.address == addresses[1]);
            context_set(&c, s);
            c.ax = type;
            c.bx = ADDR(&d);
            context_run(&c);
            if (!CHECK_EQUAL("[qemu] INVPCID", bad ? GP : EXIT, c.vector))
                print("#   PCIDE %u type %lu PCID %lx address %lx\n", pcide, type, d.pcid, d.address);
        }
        d.pcid = d.address = 0;
        context_set(&c, s);
        c.ax = 1ul << 32;
        c.bx = ADDR(&d);
        RUN_FAULT("[qemu bochs] all 64 bits of the type count", s, &c, GP, 0);
        context_set(&c, s);
        c.bx = 0x800000000000;
        c.ax = 2;
        RUN_FAULT("[qemu] a descriptor at a non-canonical address", s, &c, GP, 0);
    }
    paging_cr4(read_cr4() & ~(word)CR4_PCIDE);
}

/* Translations of a large page that is global, under two PCIDs: MOV CR3 may keep them, and INVPCID's types
 * drop what they say, whatever address inside the page is named. */
TEST(large_global_pcid)
{
    struct context c;
    if (!CPU_HAS_PCID || !CPU_HAS_INVPCID) {
        skip("CPUID has no PCID or no INVPCID");
        return;
    }
    paging_on(PAGES_4LEVEL, 0);
    word physical = ADDR(frames) & ~(2 * MiB - 1), offset = ADDR(frames[3]) - physical;
    *(volatile uint32_t *)frames[3] = 0x3333;
    u64 table = entry_get(2, 0), page = physical | PTE_P | PTE_PS | PTE_A;
    paging_cr4(read_cr4() | CR4_PCIDE | CR4_PGE);
    static struct {
        uint64_t pcid, address;
    } d;
    for (unsigned type = 0; type < 4; type++) {
        for (unsigned global = 0; global <= 1; global++) {
            entry_set(2, 0, page | (global ? PTE_G : 0));
            for (word p = 1; p <= 2; p++) {
                write_cr3(paging_root() | p);
                CHECK_EQUAL("read", EXIT, read_at(&c, WINDOW + offset));
                CHECK_EQUAL("through the large page", 0x3333, c.ax);
            }
            entry_set(2, 0, table & ~PTE_P);
            d.pcid = 1;
            d.address = WINDOW + 2 * MiB - 1;
            if (type >= 2)
                d.pcid = 0;
            __asm__ volatile("invpcid %0, %1" : : "m"(d), "r"((word)type) : "memory");
            write_cr3(paging_root() | 1 | 1ul << 63);
            unsigned vector = read_at(&c, WINDOW + offset);
            /* Types 0, 1 and 3 need not drop global translations. */
            if (!global || type == 2)
                CHECK_EQUAL("gone from PCID 1", PF, vector);
            write_cr3(paging_root() | 2 | 1ul << 63);
            vector = read_at(&c, WINDOW + offset);
            if (type == 2 || (type == 3 && !global))
                CHECK_EQUAL("gone from PCID 2", PF, vector);
            d.pcid = 0;
            __asm__ volatile("invpcid %0, %1" : : "m"(d), "r"(2ul) : "memory");
        }
    }
    write_cr3(paging_root());
    paging_cr4(read_cr4() & ~(word)(CR4_PCIDE | CR4_PGE));
    paging_off();
}
#endif

/* Which fault comes first: canonical before rights, a missing upper entry before a reserved bit below it, a
 * reserved bit of an upper entry before a missing lower one. */
TEST(walk_order)
{
    struct context c;
    paging_on(PAGES_NATIVE, 0);
    u64 pde = entry_get(2, 0), reserved = 1ull << 51;
    entry_set(1, 0, FRAME(0) | PTE_ALL | reserved);
    entry_set(2, 0, pde & ~PTE_P);
    flush();
    CHECK_EQUAL("PDE missing", PF, read_at(&c, WINDOW));
    CHECK_EQUAL("the PTE is not looked at", 0, c.error);
    entry_set(1, 0, 0);
    entry_set(2, 0, pde | reserved);
    flush();
    CHECK_EQUAL("PDE with a reserved bit", PF, read_at(&c, WINDOW));
    CHECK_EQUAL("[qemu] before the missing PTE", PF_P | PF_RSVD, c.error);
    entry_set(2, 0, pde & ~PTE_U);
    flush();
    CHECK_EQUAL("no rights at the PDE, PTE missing", PF, read_at(&c, WINDOW));
    CHECK_EQUAL("not present is what counts", 0, c.error);
    entry_set(1, 0, FRAME(0) | PTE_P | reserved);
    flush();
    CHECK_EQUAL("reserved below an entry without rights", PF, read_at(&c, WINDOW));
    CHECK_EQUAL("[qemu] reserved", PF_P | PF_RSVD, c.error);
    paging_off();
}

#ifdef __x86_64__
/* REX.B and REX.R of MOV to and from a control register. */
TEST(upper_registers)
{
#define CR2_BY(reg, value)                                                                                                                  \
    __asm__ volatile("mov %1, %%" reg "; mov %%" reg ", %%cr2; xor %%eax, %%eax; mov %%rax, %%" reg "; mov %%cr2, %%" reg "; mov %%" reg ", %0" \
                     : "=r"(v)                                                                                                               \
                     : "b"((u64)(value))                                                                                                     \
                     : "rax", reg)
    u64 v;
    CR2_BY("r8", 0x1111222233334444);
    CHECK_EQUAL("r8", 0x1111222233334444, v);
    CR2_BY("r10", 0x2222333344445555);
    CHECK_EQUAL("r10", 0x2222333344445555, v);
    CR2_BY("r12", 0x3333444455556666);
    CHECK_EQUAL("r12", 0x3333444455556666, v);
    CR2_BY("r15", 0x4444555566667777);
    CHECK_EQUAL("r15", 0x4444555566667777, v);
#undef CR2_BY
}
#endif
