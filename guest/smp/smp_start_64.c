#include "smp.h"

enum {
    LAPIC = 0xfee00000,
    START = 0x8000,
    SVR_ENABLE = 0x1ff,
    X2APIC = 0x800,
    MSR_ICR = 0x830,
    CPUID_APIC = 1
};
#define APIC_BASE_EXTD (1u << 10)

extern uint8_t ap_start[], ap_start_end[];
extern uint32_t ap_cr3;
void ap_main(void);

unsigned cpus = 1;
unsigned volatile online;
bool x2apic;

static struct table gdtr, idtr;
static void (*volatile job)(unsigned cpu);
static volatile uint64_t round_, done;
static volatile uint64_t came[CPUS_MAX]; /* times that each came up */

unsigned me(void)
{
    return cpuid(CPUID_APIC, 0).b >> 24;
}

uint32_t apic_read(uint32_t reg)
{
    return x2apic ? (uint32_t)rdmsr(X2APIC + reg / 16) : *(volatile uint32_t *)(word)(LAPIC + reg);
}

void apic_write(uint32_t reg, uint32_t value)
{
    if (x2apic)
        wrmsr(X2APIC + reg / 16, value);
    else
        *(volatile uint32_t *)(word)(LAPIC + reg) = value;
}

/* DEST: 8 bits, or 32 in x2APIC mode. */
void ipi(uint32_t low, uint32_t dest)
{
    if (x2apic) {
        __asm__ volatile("mfence; lfence" : : : "memory"); /* SDM 3A 11.12.3: the WRMSR waits for nothing */
        wrmsr(MSR_ICR, (uint64_t)dest << 32 | low);
        return;
    }
    apic_write(APIC_ICR + 0x10, dest << 24);
    apic_write(APIC_ICR, low);
}

void ap_main(void)
{
    unsigned cpu = me();
    uint64_t seen = round_;
    __asm__ volatile("lgdt %0; lidt %1" : : "m"(gdtr), "m"(idtr));
    if (x2apic)
        wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD);
    apic_write(APIC_SVR, SVR_ENABLE);
    if (cpu < CPUS_MAX)
        add_fetch(&came[cpu], 1);
    __atomic_add_fetch(&online, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        while (round_ == seen)
            relax();
        seen = round_;
        job(cpu);
        add_fetch(&done, 1);
    }
}

void post(void (*work)(unsigned cpu))
{
    done = 0;
    job = work;
    add_fetch(&round_, 1);
}

void on_all(void (*work)(unsigned cpu))
{
    post(work);
    work(0);
    while (done != cpus - 1)
        relax();
}

void barrier(void)
{
    static volatile uint64_t arrived, turn;
    uint64_t mine = turn;
    if (add_fetch(&arrived, 1) == cpus) {
        arrived = 0;
        add_fetch(&turn, 1);
        return;
    }
    while (turn == mine)
        relax();
}

static void wait_ns(uint64_t ns)
{
    uint64_t start = rdtsc();
    while (rdtsc() - start < ns)
        relax();
}

void restart(unsigned cpu, bool pause)
{
    uint64_t before = came[cpu];
    ipi(ICR_INIT | ICR_ASSERT, cpu);
    if (pause)
        wait_ns(100000);
    ipi(ICR_SIPI | ICR_ASSERT | START >> 12, cpu);
    while (came[cpu] == before)
        relax();
    ipi(ICR_SIPI | ICR_ASSERT | START >> 12, cpu); /* it runs: this one is nothing to it */
}

/* MultiProcessor Specification 1.4, 4.1 and 4.3.1. */
static unsigned count_cpus(void)
{
    for (uint8_t *p = (uint8_t *)0xf0000; p < (uint8_t *)0x100000; p += 16) {
        if (memory_compare(p, "_MP_", 4))
            continue;
        uint8_t *table = (uint8_t *)(word) * (uint32_t *)(void *)(p + 4), *e = table + 44;
        unsigned n = 0, entries = *(uint16_t *)(void *)(table + 34);
        for (; entries; entries--) {
            n += e[0] == 0 && e[3] & 1;
            e += e[0] == 0 ? 20 : 8;
        }
        return n;
    }
    return 1;
}

bool smp_start(void)
{
    static bool started;
    if (started)
        return true;
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    cpus = count_cpus();
    __asm__ volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
    ap_cr3 = (uint32_t)read_cr3();
    memory_copy((void *)(word)START, ap_start, (size_t)(ap_start_end - ap_start));
    apic_write(APIC_SVR, SVR_ENABLE);
    ipi(ICR_INIT | ICR_ASSERT | ICR_OTHERS, 0);
    ipi(ICR_SIPI | ICR_ASSERT | ICR_OTHERS | START >> 12, 0);
    for (unsigned i = 0; online < cpus - 1 && i < 100; i++)
        wait_ns(100000000);
    started = online == cpus - 1;
    for (unsigned i = 1; i < cpus && i < CPUS_MAX; i++)
        started &= came[i] == 1;
    return started;
}
