/* KVM's paravirtual interface: hypercalls, the clock and the wall clock. Modelled: CLOCKSOURCE, CLOCKSOURCE2,
 * CLOCKSOURCE_STABLE_BIT, NOP_IO_DELAY, STEAL_TIME. Not modelled: asynchronous page faults, PV EOI, PV unhalt,
 * PV IPIs and TLB flushes (docs/pv.md says why); of the steal page `preempted`, which stays 0.
 *
 * The clock page (asm/pvclock-abi.h): version u32, pad u32, tsc_timestamp u64, system_time u64, mul u32,
 * shift s8, flags u8, pad. now = system_time + (((TSC - tsc_timestamp) << shift) * mul >> 32) It is written
 * when the guest sets the register and when its TSC is moved, and holds until then, because the TSC never
 * changes its rate and all vCPUs' agree: that is what the STABLE flag says.
 *
 * The steal page: nanoseconds u64, version u32, the rest is left alone. It is written when the guest sets the register,
 * and when it takes an interrupt, at most once a millisecond: guests account by their ticks. */
#include "pv/kvm.h"

#include "base/bits.h"
#include "base/le.h"
#include "cpu/model.h"
#include "cpu/msr.h"

enum {
    FEATURE_CLOCKSOURCE = 1 << 0,
    FEATURE_NOP_IO_DELAY = 1 << 1,
    FEATURE_CLOCKSOURCE2 = 1 << 3,
    FEATURE_STEAL_TIME = 1 << 5,
    FEATURE_CLOCKSOURCE_STABLE = 1 << 24,
};

enum { HC_VAPIC_POLL_IRQ = 1 };
#define KVM_ENOSYS 1000

#define CLOCK_ON         1u
#define CLOCK_BYTES      32
#define CLOCK_TSC_STABLE 1u
#define WALL_CLOCK_BYTES 12
#define STEAL_ON         1u
#define STEAL_RESERVED   0x3eu
#define STEAL_BYTES      64
#define STEAL_PERIOD_NS  1000000u
#define MOMENT_NS        10000u
#define MOMENT_TRIES     16

static const struct field fields[] = {
    FIELD(pv_kvm, system_time, 0),
    FIELD(pv_kvm, wall_clock, 0),
    FIELD(pv_kvm, version, 0),
    FIELD_SINCE(pv_kvm, steal_time, 0, 2),
    FIELD_SINCE(pv_kvm, stolen, 0, 2),
    FIELD_SINCE(pv_kvm, steal_version, 0, 2),
};
static const struct field_table table = {"pv-kvm", 2, fields, ARRAY_LEN(fields)};
const struct device_ops pv_kvm_ops = {.fields = &table};

u32 pv_kvm_features(void)
{
    return FEATURE_CLOCKSOURCE | FEATURE_NOP_IO_DELAY | FEATURE_CLOCKSOURCE2 | FEATURE_STEAL_TIME |
           FEATURE_CLOCKSOURCE_STABLE;
}

/* Nanoseconds per tick as a shift and a fraction of 2^32, the fraction in [2^31, 2^32). */
static u32 clock_scale(u32 tsc_khz, int *shift)
{
    u64 ticks = tsc_khz;
    u64 ns = NS_PER_S / 1000; /* in so many ticks */
    *shift = 0;
    while (ticks <= ns)
        ticks <<= 1, ++*shift;
    while (ticks > 2 * ns)
        ticks >>= 1, --*shift;
    return ticks == 2 * ns ? BIT(31) : (u32)((ns << 32) / ticks);
}

/* VERSION is odd while the page is being written. */
static bool clock_page_put(struct pv_kvm *p, u64 gpa, const u8 *page)
{
    u8 version[4];
    st32(version, ld32(page) - 1);
    if (!mem_write(p->mem, gpa, version, sizeof version))
        return false;
    return mem_write(p->mem, gpa + 4, page + 4, CLOCK_BYTES - 4) && mem_write(p->mem, gpa, page, 4);
}

/* Of one moment, or of two so near to each other that nobody sees it: the host may have other work in between. */
static void moment_take(const struct pv_kvm *p, const struct cpu *c, u64 *tsc, u64 *ns)
{
    for (unsigned tries = 0; tries < MOMENT_TRIES; tries++) {
        u64 before = clock_now(p->clock);
        *tsc = cpu_tsc(c);
        *ns = clock_now(p->clock);
        if (*ns - before <= MOMENT_NS)
            return;
    }
}

static void clock_write(struct pv_kvm *p, const struct cpu *c)
{
    u64 gpa = p->system_time & ~(u64)CLOCK_ON;
    u8 page[CLOCK_BYTES] = {0};
    int shift;
    if (!mem_is_writable(p->mem, gpa, CLOCK_BYTES)) {
        log_guest(p->log, "pv: the clock page at %#llx does not lie in RAM: nothing is written",
                  (unsigned long long)gpa);
        return;
    }
    u64 tsc = 0, ns = 0;
    moment_take(p, c, &tsc, &ns);
    p->version += 2;
    st32(page, p->version);
    st64(page + 8, tsc);
    st64(page + 16, ns);
    st32(page + 24, clock_scale(c->tsc_khz ? c->tsc_khz : TSC_HZ / 1000, &shift));
    page[28] = (u8)shift;
    page[29] = CLOCK_TSC_STABLE;
    if (!clock_page_put(p, gpa, page))
        log_guest(p->log, "pv: the clock page at %#llx cannot be written", (unsigned long long)gpa);
}

/* What the wall clock showed when the clock stood at zero: version, seconds, nanoseconds. */
static void wall_clock_write(struct pv_kvm *p)
{
    u8 page[WALL_CLOCK_BYTES];
    i64 ns = p->wall_ns(p->opaque) - (i64)clock_now(p->clock);
    u64 start = ns > 0 ? (u64)ns : 0;
    u64 gpa = p->wall_clock;
    st32(page, 2);
    st32(page + 4, (u32)(start / NS_PER_S));
    st32(page + 8, (u32)(start % NS_PER_S));
    if (!mem_write(p->mem, gpa, page, sizeof page))
        log_guest(p->log, "pv: the wall clock at %#llx does not lie in RAM: nothing is written",
                  (unsigned long long)gpa);
}

/* What the host took since the register was set. */
static void steal_write(struct pv_kvm *p)
{
    u64 gpa = p->steal_time & ~(u64)STEAL_ON;
    u64 stolen = p->stolen_ns ? p->stolen_ns(p->opaque, p->index) : 0;
    u8 bytes[8], version[4];
    p->stolen += stolen > p->stolen_seen ? stolen - p->stolen_seen : 0;
    p->stolen_seen = stolen;
    p->steal_at = clock_now(p->clock);
    st64(bytes, p->stolen);
    st32(version, p->steal_version + 1);
    p->steal_version += 2;
    if (!mem_is_writable(p->mem, gpa, STEAL_BYTES) || !mem_write(p->mem, gpa + 8, version, sizeof version))
        return;
    st32(version, p->steal_version);
    (void)!(mem_write(p->mem, gpa, bytes, sizeof bytes) && mem_write(p->mem, gpa + 8, version, sizeof version));
}

static bool steal_set(struct pv_kvm *p, u64 v)
{
    if (v & STEAL_RESERVED)
        return false;
    p->steal_time = v;
    p->stolen = 0;
    if (!(v & STEAL_ON))
        return true;
    p->stolen_seen = p->stolen_ns ? p->stolen_ns(p->opaque, p->index) : 0;
    if (!mem_is_writable(p->mem, v & ~(u64)STEAL_ON, STEAL_BYTES))
        log_guest(p->log, "pv: the steal page at %#llx does not lie in RAM: nothing is written", (unsigned long long)(v & ~(u64)STEAL_ON));
    steal_write(p);
    return true;
}

void pv_kvm_tick(struct pv_kvm *p)
{
    if (p->steal_time & STEAL_ON && p->stolen_ns && clock_now(p->clock) - p->steal_at >= STEAL_PERIOD_NS)
        steal_write(p);
}

bool pv_kvm_msr(struct pv_kvm *p, struct cpu *c, u32 msr, bool write, u64 *v)
{
    switch (msr) {
    case MSR_KVM_SYSTEM_TIME:
    case MSR_KVM_SYSTEM_TIME_NEW:
        if (!write) {
            *v = p->system_time;
            return true;
        }
        p->system_time = *v;
        if (*v & CLOCK_ON)
            clock_write(p, c);
        return true;
    case MSR_KVM_WALL_CLOCK:
    case MSR_KVM_WALL_CLOCK_NEW:
        if (!write) {
            *v = p->wall_clock;
            return true;
        }
        p->wall_clock = *v;
        wall_clock_write(p);
        return true;
    case MSR_KVM_STEAL_TIME:
        if (write)
            return steal_set(p, *v);
        *v = p->steal_time;
        return true;
    default: return false;
    }
}

u64 pv_kvm_hypercall(struct pv_kvm *p, u64 number, const u64 args[4])
{
    (void)p, (void)args;
    return number == HC_VAPIC_POLL_IRQ ? 0 : 0 - (u64)KVM_ENOSYS;
}
