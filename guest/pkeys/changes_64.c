/* Protection keys that change: what was allowed once is not remembered, in the running address space and in a
 * PCID that slept; PKRU as an XSAVE component. SDM 3A 4.6.2, 4.10; 1 13.5.7. */
#include "paging.h"

#define CPU_HAS_PKU cpu_has(7, 0, 'c', 3)
#define CR4_PKE     (1u << 22)
#define KEY(n)      ((u64)(n) << 59)
#define AD(n)       (1u << (2 * (n)))
#define WD(n)       (2u << (2 * (n)))

static uint8_t area[4096] ALIGNED(64);

static void pkru_set(uint32_t v)
{
    __asm__ volatile("wrpkru" : : "a"(v), "c"(0), "d"(0) : "memory");
}

static uint32_t pkru_get(void)
{
    uint32_t low, high;
    __asm__ volatile("rdpkru" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Page 0: key 1, page 1: key 2 and supervisor, page 2: key 0; page 15: the user's code, key 3. */
static bool pku_on(void)
{
    if (!CPU_HAS_PKU) {
        skip("CPUID has no PKU");
        return false;
    }
    paging_on(PAGES_4LEVEL, 0);
    write_cr4(read_cr4() | CR4_PKE);
    entry_set(1, 0, FRAME(0) | PTE_ALL | KEY(1));
    entry_set(1, 1, FRAME(1) | PTE_P | PTE_W | KEY(2));
    entry_set(1, 2, FRAME(2) | PTE_ALL);
    flush();
    pkru_set(0);
    return true;
}

static void pku_off(void)
{
    pkru_set(0);
    write_cr4(read_cr4() & ~(word)CR4_PKE);
    paging_off();
}

static const struct snip *read_snip(void)
{
    return SNIP("mov (%rbx), %rax");
}
static const struct snip *write_snip(void)
{
    return SNIP("mov %rax, (%rbx)");
}

static unsigned touch(struct context *c, bool write, bool user, unsigned page)
{
    const struct snip *s = write ? write_snip() : read_snip();
    if (user) {
        context_set_user(c, s);
        frame_code(15, s);
        entry_set(1, 15, FRAME(15) | PTE_P | PTE_U | KEY(3));
        flush_page(WINDOW_PAGE(15));
        c->ip = WINDOW_PAGE(15);
    } else {
        context_set(c, s);
    }
    c->bx = WINDOW_PAGE(page);
    context_run(c);
    return (unsigned)c->vector;
}

/* What was allowed once is not remembered beyond a change of PKRU; no INVLPG is asked for (SDM 3A 4.10). */
TEST(at_once)
{
    struct context c;
    if (!pku_on())
        return;
    for (unsigned n = 0; n < 4; n++) {
        bool user = n & 1, write = n & 2;
        write_cr0(read_cr0() | CR0_WP);
        pkru_set(0);
        CHECK_EQUAL("allowed", EXIT, touch(&c, write, user, 0));
        pkru_set(write ? WD(1) : AD(1));
        CHECK_EQUAL("denied", PF, touch(&c, write, user, 0));
        pkru_set(AD(2));
        CHECK_EQUAL("allowed again", EXIT, touch(&c, write, user, 0));
        write_cr0(read_cr0() & ~(word)CR0_WP);
    }
    if (CPU_HAS_SMAP) { /* the kernel's view with AC is another */
        write_cr4(read_cr4() | CR4_SMAP);
        pkru_set(0);
        const struct snip *s = SNIP(
            "stac; mov (%rbx), %rax\nmov $1, %eax; xor %ecx, %ecx; xor %edx, %edx; mov $4, %eax; wrpkru\n" AT
            "mov (%rbx), %rax; clac");
        context_set(&c, s);
        c.bx = WINDOW_PAGE(0);
        RUN_FAULT("under STAC", s, &c, PF, PF_P | PF_PK);
        CHECK_EQUAL("CR2", WINDOW_PAGE(0), c.cr2);
        write_cr4(read_cr4() & ~(word)CR4_SMAP);
        __asm__ volatile("pushfq; andl $~0x40000, (%%rsp); popfq" : : : "memory", "cc");
    }
    pku_off();
}

/* A PCID that allowed the access sleeps while another one changes PKRU. */
TEST(sleeping_pcid)
{
    struct context c;
    if (!CPU_HAS_PCID) {
        skip("CPUID has no PCID");
        return;
    }
    if (!pku_on())
        return;
    write_cr4(read_cr4() | CR4_PCIDE);
    write_cr3(paging_root() | 1);
    CHECK_EQUAL("allowed in PCID 1", EXIT, touch(&c, false, false, 0));
    write_cr3(paging_root() | 2);
    CHECK_EQUAL("allowed in PCID 2", EXIT, touch(&c, false, false, 0));
    pkru_set(AD(1));
    CHECK_EQUAL("denied in PCID 2", PF, touch(&c, false, false, 0));
    write_cr3(paging_root() | 1 | 1ul << 63);
    CHECK_EQUAL("denied in PCID 1", PF, touch(&c, false, false, 0));
    write_cr3(paging_root());
    write_cr4(read_cr4() & ~(word)CR4_PCIDE);
    pku_off();
}

TEST(xsave)
{
    struct context c;
    struct cpuid d = cpuid(0xd, 0), component = cpuid(0xd, 9);
    if (!(d.a & 1u << 9)) {
        skip("CPUID D has no PKRU");
        return;
    }
    if (!pku_on())
        return;
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXSAVE);
    __asm__ volatile("xsetbv" : : "a"(0x203), "d"(0), "c"(0));
    CHECK_EQUAL("8 bytes", 8, component.a);
    CHECK_EQUAL("the area ends with them", component.b + 8, cpuid(0xd, 0).b);
    pkru_set(AD(5) | WD(6));
    memory_set(area, 0, sizeof(area));
    __asm__ volatile("xsave %0" : "=m"(area) : "a"(0x200), "d"(0));
    CHECK_EQUAL("XSTATE_BV", 0x200, *(uint64_t *)(void *)(area + 512));
    CHECK_EQUAL("saved", AD(5) | WD(6), *(uint32_t *)(void *)(area + component.b));
    CHECK_EQUAL("allowed", EXIT, touch(&c, false, false, 0));
    *(uint32_t *)(void *)(area + component.b) = AD(1);
    __asm__ volatile("xrstor %0" : : "m"(area), "a"(0x200), "d"(0));
    CHECK_EQUAL("restored", AD(1), pkru_get());
    CHECK_EQUAL("and in force", PF, touch(&c, false, false, 0));
    area[512] = area[513] = 0;
    __asm__ volatile("xrstor %0" : : "m"(area), "a"(0x200), "d"(0));
    CHECK_EQUAL("initial: 0", 0, pkru_get());
    CHECK_EQUAL("allowed", EXIT, touch(&c, false, false, 0));
    __asm__ volatile("xsetbv" : : "a"(3), "d"(0), "c"(0));
    write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
    pku_off();
}
