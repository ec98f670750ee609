/* KVM's paravirtual interface: CPUID's leaves, VMCALL and VMMCALL, the clock and the wall clock (Linux,
 * Documentation/virt/kvm/x86: cpuid.rst, hypercalls.rst, msr.rst). Option `none=1`: the machine offers none of
 * it. */
#include "guest.h"

enum { WALL_CLOCK_OLD = 0x11, SYSTEM_TIME_OLD = 0x12 };
#define WALL_CLOCK  0x4b564d00u
#define SYSTEM_TIME 0x4b564d01u
#define ENOSYS      ((word)-1000)
#define EPERM       ((word)-1)

static bool offered(void)
{
    return !option_number("none", 0);
}

static const struct snip *call_snip(bool amd)
{
    static const struct snip *intel_call, *amd_call;
    intel_call = SNIP(AT ".byte 0x0f, 0x01, 0xc1\n");
    amd_call = SNIP(AT ".byte 0x0f, 0x01, 0xd9\n");
    return amd ? amd_call : intel_call;
}

TEST(leaves)
{
    uint32_t a, b, c, d;
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x40000000), "c"(0));
    if (!offered()) {
        CHECK_EQUAL("no KVM", b == 0x4b4d564b, 0);
        return;
    }
    CHECK_EQUAL("last leaf", a, 0x40000001);
    CHECK_EQUAL("KVMK", b, 0x4b4d564b);
    CHECK_EQUAL("VMKV", c, 0x564b4d56);
    CHECK_EQUAL("M", d, 0x4d);
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x40000001), "c"(0));
    CHECK_EQUAL("clock sources, stable", a & 0x01000009, 0x01000009);
}

TEST(calls)
{
    struct context c;
    for (unsigned amd = 0; amd < 2; amd++) {
        const struct snip *s = call_snip(amd);
        context_set(&c, s);
        c.ax = 4711;
        if (!offered()) {
            RUN_FAULT("a call", s, &c, UD, NO_ERROR);
            context_set_user(&c, s);
            RUN_FAULT("a call of ring 3", s, &c, UD, NO_ERROR);
            continue;
        }
        RUN_THROUGH("an unknown number", s, &c);
        CHECK_EQUAL("-KVM_ENOSYS", c.ax, ENOSYS);
        context_set(&c, s);
        c.ax = (word)-1;
        RUN_THROUGH("the greatest number", s, &c);
        CHECK_EQUAL("-KVM_ENOSYS", c.ax, ENOSYS);
        context_set_user(&c, s);
        c.ax = 1;
        RUN_THROUGH("a call of ring 3", s, &c);
        CHECK_EQUAL("-KVM_EPERM", c.ax, EPERM);
    }
}

TEST(loop)
{
    struct context c;
    const struct snip *s = SNIP("1: mov $77, %eax\n" AT ".byte 0x0f, 0x01, 0xc1\nloop 1b\n");
    if (!offered()) {
        skip("nothing is offered");
        return;
    }
    context_set(&c, s);
    c.cx = (word)option_number("k", 1000);
    RUN_THROUGH("unknown calls in a loop", s, &c);
    CHECK_EQUAL("-KVM_ENOSYS", c.ax, ENOSYS);
}

/* As Linux reads it. */
struct clock_page {
    volatile uint32_t version, pad;
    volatile uint64_t tsc, ns;
    volatile uint32_t mul;
    volatile int8_t shift;
    volatile uint8_t flags, pad2[2];
} __attribute__((aligned(64)));

static struct clock_page page;

static uint64_t mul_high(uint64_t v, uint32_t mul)
{
    return (v >> 32) * mul + ((v & 0xffffffff) * mul >> 32);
}

static uint64_t clock_read(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    uint64_t ticks = ((uint64_t)hi << 32 | lo) - page.tsc;
    ticks = page.shift < 0 ? ticks >> -page.shift : ticks << page.shift;
    return page.ns + mul_high(ticks, page.mul);
}

static void wrmsr_faults(const char *what, uint32_t msr)
{
    struct context c;
    const struct snip *s = SNIP(AT "wrmsr\n");
    context_set(&c, s);
    c.cx = msr;
    RUN_FAULT(what, s, &c, GP, 0);
}

#define STEAL_TIME 0x4b564d03u

struct steal_page {
    volatile uint64_t ns;
    volatile uint32_t version, flags;
    volatile uint8_t preempted, rest[47];
} __attribute__((aligned(64)));

static struct steal_page steal;

TEST(steal_time)
{
    if (!offered()) {
        wrmsr_faults("MSR_KVM_STEAL_TIME", STEAL_TIME);
        return;
    }
    struct context c;
    const struct snip *s = SNIP(AT "wrmsr\n");
    for (unsigned bit = 1; bit < 6; bit++) {
        context_set(&c, s);
        c.cx = STEAL_TIME;
        c.ax = (word)(ADDR(&steal) | 1u << bit);
        RUN_FAULT("a reserved bit", s, &c, GP, 0);
    }
    for (unsigned i = 0; i < sizeof steal.rest; i++)
        steal.rest[i] = 0x5a;
    wrmsr(STEAL_TIME, ADDR(&steal) | 1);
    CHECK_EQUAL("reads back", rdmsr(STEAL_TIME), ADDR(&steal) | 1);
    CHECK_EQUAL("version is even", steal.version & 1, 0);
    CHECK_EQUAL("version is not 0", steal.version != 0, 1);
    CHECK_EQUAL("it begins near 0", steal.ns < 100000000000ull, 1); /* KVM counts from the start of its thread */
    for (unsigned i = 0; i < sizeof steal.rest; i++)
        CHECK_EQUAL("the rest is the guest's", steal.rest[i], 0x5a);
    uint32_t version = steal.version;
    wrmsr(STEAL_TIME, ADDR(&steal) & ~1ul);
    wrmsr(STEAL_TIME, 0xfffffffc0ull << 20 | 1);
    CHECK_EQUAL("outside RAM: reads back", rdmsr(STEAL_TIME), 0xfffffffc0ull << 20 | 1);
    wrmsr(STEAL_TIME, 0);
    CHECK_EQUAL("off: nothing is written", steal.version, version);
}

TEST(clock)
{
    if (!offered()) {
        wrmsr_faults("MSR_KVM_SYSTEM_TIME_NEW", SYSTEM_TIME);
        wrmsr_faults("MSR_KVM_WALL_CLOCK", WALL_CLOCK_OLD);
        return;
    }
    wrmsr(SYSTEM_TIME, ADDR(&page) | 1);
    CHECK_EQUAL("reads back", rdmsr(SYSTEM_TIME), ADDR(&page) | 1);
    CHECK_EQUAL("the old number is the same register", rdmsr(SYSTEM_TIME_OLD), ADDR(&page) | 1);
    CHECK_EQUAL("version is even", page.version & 1, 0);
    CHECK_EQUAL("version is not 0", page.version != 0, 1);
    CHECK_EQUAL("stable", page.flags & 1, 1);
    uint64_t last = clock_read(), first = last;
    CHECK_EQUAL("the clock starts where it was set", first - page.ns < 600000000000ull, 1);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = clock_read();
        CHECK_EQUAL("the clock never goes back", now < last, 0);
        last = now;
    }
    CHECK_EQUAL("and goes on", last > first, 1);
    /* The counter jumps, by half an hour and more; the clock does not, but for what a busy host makes of it. */
    uint32_t version = page.version;
    uint64_t tsc = rdmsr(0x10);
    wrmsr(0x10, tsc + (5ull << 40));
    uint64_t jumped = clock_read();
    CHECK_EQUAL("written anew when the TSC moves", page.version != version, 1);
    CHECK_EQUAL("no jump", jumped >= last && jumped - last < 600000000000ull, 1);
    wrmsr(0x10, tsc);
    wrmsr(SYSTEM_TIME, 0);
}

TEST(bounds)
{
    static const uint64_t bad[] = {0xfffffffffffffff1, 0x000ffffffffff001, 0xa0001,
                                   0x3ffffffffff1,     0x4000001 - 16,     0xfee00001};
    if (!offered()) {
        skip("nothing is offered");
        return;
    }
    for (unsigned i = 0; i < COUNT(bad); i++) {
        wrmsr(SYSTEM_TIME, bad[i]);
        wrmsr(WALL_CLOCK, bad[i]);
    }
    wrmsr(SYSTEM_TIME, 0);
    static volatile uint32_t wall[4];
    wall[3] = 4711;
    wrmsr(WALL_CLOCK, ADDR(wall));
    CHECK_EQUAL("version is even, not 0", wall[0] && !(wall[0] & 1), 1);
    CHECK_EQUAL("a date", wall[1] >= 900000000, 1);
    CHECK_EQUAL("nanoseconds", wall[2] < 1000000000, 1);
    CHECK_EQUAL("12 bytes, no more", wall[3], 4711);
}
