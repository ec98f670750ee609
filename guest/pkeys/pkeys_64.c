/* Protection keys: every PKRU value of a key against reads and writes, user and supervisor pages, CR0.WP,
 * rings 0 and 3, implicit accesses and fetches; the instructions. SDM vol. 3, 5.6.2 (rights), 5.7 (error
 * code). */
#include "paging.h"

#define CPU_HAS_PKU cpu_has(7, 0, 'c', 3)
#define CR4_PKE     (1u << 22)
#define KEY(n)      ((u64)(n) << 59)

static void wrpkru(uint32_t v)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(v), "c"(0), "d"(0) : "memory");
}

static bool begin(void)
{
    if (CPU_HAS_PKU)
        return true;
    skip("CPUID has no PKU");
    return false;
}

TEST(instructions)
{
    struct context c;
    if (!begin())
        return;
    const struct snip *rd = SNIP(AT ".byte 0x0f, 0x01, 0xee\n"), *wr = SNIP(AT ".byte 0x0f, 0x01, 0xef\n");
    CHECK("OSPKE clear", !cpu_has(7, 0, 'c', 4));
    FAULT("RDPKRU without CR4.PKE", rd, UD, NO_ERROR);
    FAULT("WRPKRU without CR4.PKE", wr, UD, NO_ERROR);
    write_cr4(read_cr4() | CR4_PKE);
    CHECK("OSPKE set", cpu_has(7, 0, 'c', 4));
    context_set(&c, wr);
    c.cx = 1;
    RUN_FAULT("WRPKRU: ECX", wr, &c, GP, 0);
    context_set(&c, wr);
    c.dx = 1;
    RUN_FAULT("WRPKRU: EDX", wr, &c, GP, 0);
    context_set(&c, rd);
    c.cx = 1;
    RUN_FAULT("RDPKRU: ECX", rd, &c, GP, 0);
    context_set_user(&c, wr);
    c.ax = 0xffffffff12345678;
    RUN_THROUGH("WRPKRU in ring 3", wr, &c);
    context_set_user(&c, rd);
    c.ax = c.dx = ~0ul;
    RUN_THROUGH("RDPKRU in ring 3", rd, &c);
    CHECK_EQUAL("all 32 bits", 0x12345678, c.ax);
    CHECK_EQUAL("RDX", 0, c.dx);
    wrpkru(0);
    write_cr4(read_cr4() & ~(word)CR4_PKE);
}

/* What an access must do. AD: bit 0, WD: bit 1 of RIGHTS. */
static word expected(bool user, bool write, bool user_page, unsigned rights, bool wp)
{
    if (user && !user_page)
        return PF_P | PF_U | (write ? PF_W : 0);
    bool denied = user_page && (rights & 1 || (rights & 2 && write && (user || wp)));
    return denied ? PF_P | PF_PK | (user ? PF_U : 0) | (write ? PF_W : 0) : NO_ERROR;
}

TEST(rights)
{
    struct context c;
    if (!begin())
        return;
    const struct snip *read = SNIP(AT "mov (%rbx), %eax\n"), *write = SNIP(AT "mov %eax, (%rbx)\n");
    word cr0 = read_cr0();
    for (unsigned key = 1; key < 16; key += 7) {
        paging_on(PAGES_4LEVEL, PTE_U); /* key 0 everywhere: the code and the stack */
        write_cr4(read_cr4() | CR4_PKE);
        for (unsigned n = 0; n < 64; n++) {
            bool user = n & 1, store = n & 2, user_page = n & 4, wp = n & 8;
            unsigned rights = n >> 4;
            entry_set(1, 1, FRAME(1) | PTE_P | PTE_W | (user_page ? PTE_U : 0) | KEY(key));
            flush_page(WINDOW_PAGE(1));
            write_cr0(wp ? cr0 | CR0_WP : cr0 & ~(word)CR0_WP);
            wrpkru(rights << 2 * key);
            const struct snip *s = store ? write : read;
            (user ? context_set_user : context_set)(&c, s);
            c.bx = WINDOW_PAGE(1);
            context_run(&c);
            wrpkru(0);
            word want = expected(user, store, user_page, rights, wp);
            CHECK_EQUAL("vector", want == NO_ERROR ? (word)EXIT : (word)PF, c.vector);
            if (c.vector == PF) {
                CHECK_EQUAL("error code", want, c.error);
                CHECK_EQUAL("CR2", WINDOW_PAGE(1), c.cr2);
                CHECK_EQUAL("RIP", s->at, c.ip);
            }
        }
        write_cr0(cr0);
        write_cr4(read_cr4() & ~(word)CR4_PKE);
        paging_off();
    }
}

/* Keys bind no fetches; WRPKRU acts on the next access, with no flush; without PKE the bits mean nothing. */
TEST(no_fetch)
{
    struct context c;
    if (!begin())
        return;
    paging_on(PAGES_4LEVEL, PTE_U);
    write_cr4(read_cr4() | CR4_PKE);
    frame_code(1, SNIP("nop\n"));
    entry_set(1, 1, FRAME(1) | PTE_ALL | KEY(3));
    flush();
    wrpkru(3u << 6);
    context_set_user(&c, SNIP("nop\n"));
    c.ip = WINDOW_PAGE(1);
    context_run(&c);
    CHECK_EQUAL("fetch from a page that cannot be read", EXIT, c.vector);
    wrpkru(0);

    const struct snip *s = SNIP("mov (%rbx), %esi\n" /* fills the TLB */
                                ".byte 0x0f, 0x01, 0xef\n" AT "mov (%rbx), %esi\n");
    context_set_user(&c, s);
    c.bx = WINDOW_PAGE(1);
    c.ax = 1u << 6;
    RUN_FAULT("WRPKRU counts at once", s, &c, PF, PF_P | PF_U | PF_PK);
    write_cr4(read_cr4() & ~(word)CR4_PKE);
    s = SNIP("mov (%rbx), %esi\n");
    context_set_user(&c, s);
    c.bx = WINDOW_PAGE(1);
    RUN_THROUGH("PKE clear: no key", s, &c);
    write_cr4(read_cr4() | CR4_PKE);
    wrpkru(0);

    /* Not present and reserved bits go before the key. */
    entry_set(1, 1, FRAME(1) | PTE_W | PTE_U | KEY(3));
    flush();
    wrpkru(3u << 6);
    context_set(&c, s);
    c.bx = WINDOW_PAGE(1);
    RUN_FAULT("not present", s, &c, PF, 0);
    wrpkru(0);
    write_cr4(read_cr4() & ~(word)CR4_PKE);
    paging_off();
}
