/* Code that another processor changes through a second linear address, in the block that is running, and on
 * the next page. SDM 3A 9.1.3: the writer, a flag, then each reader serializes before it runs the new bytes.
 */
#include "smp.h"

#define ALIAS 0x18000000000ull /* PML4 entry 3 */
extern uint64_t map_pml4[512];
static uint64_t ALIGNED(4096) pdpt[512], pd[512], pt[512];
static uint8_t ALIGNED(4096) code[2 * 4096];
static volatile uint64_t version, done[CPUS_MAX], wrong;
static unsigned rounds;

enum { INSIDE = 0, NEXT_PAGE = 4096 - 5 };

static void alias_map(void)
{
    map_pml4[3] = ADDR(pdpt) | 7;
    pdpt[0] = ADDR(pd) | 7;
    pd[0] = ADDR(pt) | 7;
    pt[0] = ADDR(code) | 7;
    pt[1] = ADDR(code + 4096) | 7;
    write_cr3(read_cr3());
}

static unsigned place;

/* mov $v, %eax with the immediate at PLACE + 1; behind it more of the block, which calls nothing and ends in
 * RET. */
static void job_alias(unsigned cpu)
{
    uint32_t (*f)(void) = (uint32_t(*)(void))ADDR(code + place);
    for (uint32_t v = 1; v <= rounds; v++) {
        if (cpu == v % cpus) {
            for (unsigned c = 0; c < cpus; c++)
                while (done[c] != v - 1)
                    relax();
            /* Byte by byte: none of it is atomic, nor need it be. */
            for (unsigned i = 0; i < 4; i++)
                *(volatile uint8_t *)(ALIAS + place + 1 + i) = (uint8_t)(v >> 8 * i);
            version = v;
        }
        while (version < v)
            relax();
        cpuid(0, 0);
        if (f() != v)
            add_fetch(&wrong, 1);
        done[cpu] = v;
    }
}

TEST(modified_through_alias)
{
    if (!CHECK("all processors started", smp_start()))
        return;
    alias_map();
    static const unsigned places[] = {INSIDE, 37, NEXT_PAGE, 4094, 4096};
    for (unsigned i = 0; i < COUNT(places); i++) {
        place = places[i];
        wrong = version = 0;
        memory_set((void *)done, 0, sizeof(done));
        memory_set(code, 0x90, sizeof(code));
        code[place] = 0xb8;
        memory_set(code + place + 1, 0, 4);
        code[place + 12] = 0xc3;
        rounds = 20 + (unsigned)option_number("k", 2000) / 20;
        on_all(job_alias);
        CHECK_EQUAL("old bytes after serializing", 0, wrong);
    }
    map_pml4[3] = 0;
    write_cr3(read_cr3());
}

/* One processor runs a loop whose immediate another one keeps changing, aligned, with no more order than
 * that: it sees old or new, never a mixture, and in the end the last. */
static volatile bool changing;
static void job_running(unsigned cpu)
{
    uint32_t (*f)(void) = (uint32_t(*)(void))ADDR(code + 3);
    if (cpu == 0) {
        for (uint32_t v = 1; v <= rounds; v++)
            *(volatile uint32_t *)(void *)(code + 4) = v * 0x01010101u;
        changing = false;
        return;
    }
    uint32_t last = 0;
    while (changing) {
        uint32_t v = f();
        uint32_t n = v & 0xff;
        if (v != n * 0x01010101u || n < last)
            add_fetch(&wrong, 1);
        last = n;
    }
    cpuid(0, 0);
    if (f() != rounds * 0x01010101u)
        add_fetch(&wrong, 1);
}

TEST(modified_while_running)
{
    if (!CHECK("all processors started", smp_start()))
        return;
    memory_set(code, 0x90, sizeof(code));
    code[3] = 0xb8;
    memory_set(code + 4, 0, 4);
    code[8] = 0xc3;
    wrong = 0;
    rounds = 200;
    changing = true;
    on_all(job_running);
    CHECK_EQUAL("mixtures, steps back, or the last one missed", 0, wrong);
}

/* One processor alone runs code of the page; another, which never does, writes to data beside it and then to the code. */
static void job_beside(unsigned cpu)
{
    uint32_t (*f)(void) = (uint32_t(*)(void))ADDR(code + 3);
    for (uint32_t v = 1; v <= rounds && cpu < 2; v++) {
        if (cpu == 0) {
            *(volatile uint8_t *)(code + 2048) = (uint8_t)v;
            *(volatile uint32_t *)(void *)(code + 4) = v;
            version = v;
        }
        while (version < v || (cpu == 0 && done[1] < v))
            relax();
        if (cpu == 1) {
            cpuid(0, 0);
            if (f() != v)
                add_fetch(&wrong, 1);
            done[1] = v;
        }
    }
}

TEST(modified_beside_data)
{
    if (!CHECK("all processors started", smp_start()))
        return;
    if (cpus < 2)
        return;
    memory_set(code, 0x90, sizeof(code));
    code[3] = 0xb8;
    memory_set(code + 4, 0, 4);
    code[8] = 0xc3;
    wrong = version = done[1] = 0;
    rounds = 100;
    on_all(job_beside);
    CHECK_EQUAL("old bytes after serializing", 0, wrong);
}

/* Two of docs/deviations.md, printed: what a LOCK on a device's register loses, and what becomes of an NMI
 * that comes while a processor waits for its SIPI. */
#define IOREGSEL (*(volatile uint8_t *)0xfec00000)
static void job_device(unsigned cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < rounds; i++)
        __asm__ volatile("lock; incb %0" : "+m"(IOREGSEL) : : "memory", "cc");
}

TEST(device_lock)
{
    if (!CHECK("all processors started", smp_start()))
        return;
    rounds = 300;
    IOREGSEL = 0;
    on_all(job_device);
    uint8_t sum = (uint8_t)(rounds * cpus);
    print("# device_lock: %u of %u increments lost, modulo 256\n", (uint8_t)(sum - IOREGSEL), rounds * cpus);
    if (cpus == 1)
        CHECK_EQUAL("with one processor none", sum, IOREGSEL);
}

static volatile uint64_t early;
__attribute__((interrupt)) static void on_early(void *frame)
{
    (void)frame;
    add_fetch(&early, 1);
}

TEST(nmi_before_sipi)
{
    if (!CHECK("all processors started", smp_start()))
        return;
    if (cpus == 1)
        return;
    early = 0;
    idt_set(NMI, SEL_CODE, ADDR(on_early), SEG_P | SYS_INT, 0);
    ipi(ICR_INIT | ICR_ASSERT, cpus - 1);
    ipi(ICR_NMI | ICR_ASSERT, cpus - 1);
    restart(cpus - 1, true); /* INIT again, which drops nothing that was latched before it: then SIPI */
    rounds = 10;
    on_all(job_device);
    print("# nmi_before_sipi: %u NMIs came after the SIPI\n", (unsigned)early);
    CHECK("at most one", early <= 1);
    idt_reset(NMI);
}
