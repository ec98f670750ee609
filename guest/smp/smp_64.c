/* A torture of several processors: starting, atomics of every kind and width, memory order, interprocessor
 * interrupts, TLB shootdown, cross-modifying code, HLT. `k=N` scales the counts. SDM 3A chapter
 * 9, 11.6, 5.10.5. With one processor every test holds, too. */
#include "smp.h"

#define K      ((unsigned)option_number("k", 2000))
#define VOLLEY (K / 40 ? K / 40 : 1) /* of what takes several processors to answer */
#define NEEDS_SMP()                                                                                          \
    do {                                                                                                     \
        if (!CHECK("all processors started", smp_start()))                                                   \
            return;                                                                                          \
    } while (0)

TEST(start)
{
    NEEDS_SMP();
    print("smp: %u processors\n", cpus);
    CHECK_EQUAL("the boot processor's id", 0, me());
}

/* --- atomics */

static unsigned rounds;
static volatile struct {
    uint8_t b;
    uint16_t w;
    uint32_t d;
    uint64_t q;
} ALIGNED(64) sum[16];
static volatile uint64_t ALIGNED(64) bits[8], pair[2];
static volatile uint64_t wrong;

#define LOCKED(text, cell, ...) __asm__ volatile("lock; " text : "+m"(cell) : __VA_ARGS__ : "memory", "cc")

/* Every cell of sum[i] gets rounds * what stands here, from each processor. */
static void job_arithmetic(unsigned cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < rounds; i++) {
#define EACH(n, text, v)                                                                                     \
    LOCKED(text "b %b1, %0", sum[n].b, "q"((uint8_t)(v)));                                                   \
    LOCKED(text "w %w1, %0", sum[n].w, "r"((uint16_t)(v)));                                                  \
    LOCKED(text "l %k1, %0", sum[n].d, "r"((uint32_t)(v)));                                                  \
    LOCKED(text "q %q1, %0", sum[n].q, "r"((uint64_t)(v)))
        EACH(0, "add", 3);
        EACH(1, "sub", 5);
        EACH(2, "xadd", 7);
        LOCKED("addl $9, %0", sum[3].d, "i"(0));
        LOCKED("addq $9, %0", sum[3].q, "i"(0));
        LOCKED("incb %0", sum[4].b, "i"(0));
        LOCKED("incw %0", sum[4].w, "i"(0));
        LOCKED("incl %0", sum[4].d, "i"(0));
        LOCKED("incq %0", sum[4].q, "i"(0));
        LOCKED("decb %0", sum[5].b, "i"(0));
        LOCKED("decw %0", sum[5].w, "i"(0));
        LOCKED("decl %0", sum[5].d, "i"(0));
        LOCKED("decq %0", sum[5].q, "i"(0));
        __asm__ volatile("stc; lock; adcl $1, %0" : "+m"(sum[6].d) : : "cc");
        __asm__ volatile("stc; lock; adcq $1, %0" : "+m"(sum[6].q) : : "cc");
        __asm__ volatile("stc; lock; sbbl $1, %0" : "+m"(sum[7].d) : : "cc");
        __asm__ volatile("stc; lock; sbbq $1, %0" : "+m"(sum[7].q) : : "cc");
        LOCKED("negq %0", sum[8].q, "i"(0));
        LOCKED("notl %0", sum[8].d, "i"(0));
    }
}

TEST(arithmetic)
{
    NEEDS_SMP();
    rounds = K & ~1u;
    memory_set((void *)sum, 0, sizeof sum);
    sum[8].q = 77;
    on_all(job_arithmetic);
    uint64_t n = (uint64_t)rounds * cpus;
#define SUMS(what, i, v)                                                                                     \
    CHECK_EQUAL(what " 8", (uint8_t)(v), sum[i].b);                                                          \
    CHECK_EQUAL(what " 16", (uint16_t)(v), sum[i].w);                                                        \
    CHECK_EQUAL(what " 32", (uint32_t)(v), sum[i].d);                                                        \
    CHECK_EQUAL(what " 64", (uint64_t)(v), sum[i].q)
    SUMS("LOCK ADD", 0, 3 * n);
    SUMS("LOCK SUB", 1, 0 - 5 * n);
    CHECK_EQUAL("LOCK XADD changes 64", 1, sum[2].q != 0);
    SUMS("LOCK INC", 4, n);
    SUMS("LOCK DEC", 5, 0 - n);
    CHECK_EQUAL("LOCK ADD imm 32", 9 * n, sum[3].d);
    CHECK_EQUAL("LOCK ADD imm 64", 9 * n, sum[3].q);
    CHECK_EQUAL("LOCK ADC 32", 2 * n, sum[6].d);
    CHECK_EQUAL("LOCK ADC 64", 2 * n, sum[6].q);
    CHECK_EQUAL("LOCK SBB 32", (uint32_t)(0 - 2 * n), sum[7].d);
    CHECK_EQUAL("LOCK SBB 64", 0 - 2 * n, sum[7].q);
    CHECK_EQUAL("LOCK NEG", 77, sum[8].q);
    CHECK_EQUAL("LOCK NOT", 0, sum[8].d);
}

/* XADD and XCHG hand out each value once. */
static volatile uint64_t ticket[3], handed[3];
static void job_tickets(unsigned cpu)
{
    uint64_t got = 0, token = (uint64_t)cpu + 1;
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t q = 1;
        uint32_t d = 1;
        __asm__ volatile("lock; xaddq %0, %1" : "+r"(q), "+m"(ticket[0]) : : "cc");
        __asm__ volatile("lock; xaddl %0, %1" : "+r"(d), "+m"(*(volatile uint32_t *)&ticket[1]) : : "cc");
        got += q + d;
        __asm__ volatile("xchgq %0, %1" : "+r"(token), "+m"(ticket[2]));
    }
    add_fetch(&handed[0], got);
    add_fetch(&handed[2], token);
}

TEST(tickets)
{
    NEEDS_SMP();
    rounds = K;
    memory_set((void *)ticket, 0, sizeof ticket);
    memory_set((void *)handed, 0, sizeof handed);
    on_all(job_tickets);
    uint64_t n = (uint64_t)rounds * cpus;
    CHECK_EQUAL("XADD gives each value once", n * (n - 1), handed[0]);
    CHECK_EQUAL("XCHG loses no token", (uint64_t)cpus * (cpus + 1) / 2, handed[2] + ticket[2]);
}

/* Each processor owns bit CPU of every word; nobody's change may be lost. */
static void job_bits(unsigned cpu)
{
    uint32_t mine = 1u << cpu;
    for (unsigned i = 0; i < rounds; i++) {
        LOCKED("orl %1, %0", *(volatile uint32_t *)&bits[0], "r"(mine));
        wrong += !(bits[0] & mine);
        LOCKED("andl %1, %0", *(volatile uint32_t *)&bits[0], "r"(~mine));
        LOCKED("xorl %1, %0", *(volatile uint32_t *)&bits[1], "r"(mine));
        uint8_t old;
        __asm__ volatile("lock; btsl %2, %0; setc %1" : "+m"(bits[2]), "=q"(old) : "r"(cpu) : "cc");
        wrong += old;
        __asm__ volatile("lock; btrl %2, %0; setc %1" : "+m"(bits[2]), "=q"(old) : "r"(cpu) : "cc");
        wrong += !old;
        __asm__ volatile("lock; btcq %1, %0" : "+m"(bits[3]) : "r"((uint64_t)cpu + 17) : "cc");
        __asm__ volatile("lock; btsw %w1, %0; lock; btrw %w1, %0" : "+m"(bits[4]) : "r"(cpu & 15) : "cc");
    }
}

TEST(bit_operations)
{
    NEEDS_SMP();
    rounds = K | 1;
    wrong = 0;
    memory_set((void *)bits, 0, sizeof bits);
    on_all(job_bits);
    uint64_t all = (1ull << cpus) - 1;
    CHECK_EQUAL("own bits", 0, wrong);
    CHECK_EQUAL("LOCK OR, AND", 0, bits[0]);
    CHECK_EQUAL("LOCK XOR", all, bits[1]);
    CHECK_EQUAL("LOCK BTS, BTR", 0, bits[2]);
    CHECK_EQUAL("LOCK BTC", all << 17, bits[3]);
}

/* Compare-and-swap in every width adds one; 8B and 16B to both halves at once. */
#define CAS_LOOP(type, suffix, cell)                                                                         \
    do {                                                                                                     \
        type old = (cell);                                                                                   \
        uint8_t ok;                                                                                          \
        do {                                                                                                 \
            __asm__ volatile("lock; cmpxchg" suffix " %3, %0; setz %1"                                       \
                             : "+m"(cell), "=q"(ok), "+a"(old)                                               \
                             : "r"((type)(old + 1))                                                          \
                             : "cc");                                                                        \
        } while (!ok);                                                                                       \
    } while (0)

static void job_cas(unsigned cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < rounds; i++) {
        CAS_LOOP(uint8_t, "b", sum[0].b);
        CAS_LOOP(uint16_t, "w", sum[0].w);
        CAS_LOOP(uint32_t, "l", sum[0].d);
        CAS_LOOP(uint64_t, "q", sum[0].q);
        uint64_t low = 0, high = 0;
        uint8_t ok;
        do {
            __asm__ volatile("lock; cmpxchg16b %0; setz %1"
                             : "+m"(*(volatile uint64_t(*)[2])pair), "=q"(ok), "+a"(low), "+d"(high)
                             : "b"(low + 1), "c"(high + 1)
                             : "cc");
            wrong += low != high;
        } while (!ok);
        uint32_t l = 0, h = 0;
        do {
            __asm__ volatile("lock; cmpxchg8b %0; setz %1"
                             : "+m"(bits[0]), "=q"(ok), "+a"(l), "+d"(h)
                             : "b"(l + 1), "c"(h + 1)
                             : "cc");
            wrong += l != h;
        } while (!ok);
    }
}

TEST(compare_exchange)
{
    NEEDS_SMP();
    rounds = K;
    wrong = 0;
    memory_set((void *)sum, 0, sizeof sum);
    pair[0] = pair[1] = bits[0] = 0;
    on_all(job_cas);
    uint64_t n = (uint64_t)rounds * cpus;
    SUMS("LOCK CMPXCHG", 0, n);
    CHECK_EQUAL("CMPXCHG16B, low", n, pair[0]);
    CHECK_EQUAL("CMPXCHG16B, high", n, pair[1]);
    CHECK_EQUAL("CMPXCHG8B", n << 32 | n, bits[0]);
    CHECK_EQUAL("halves always equal", 0, wrong);
}

/* Operands that lie askew: in a line, across lines, across pages; plain stores beside them. */
static uint8_t ALIGNED(4096) askew[3 * 4096];
static void job_split(unsigned cpu)
{
    for (unsigned i = 0; i < rounds; i++) {
        LOCKED("addl $1, %0", *(volatile uint32_t *)(askew + 101), "i"(0));
        LOCKED("addq $1, %0", *(volatile uint64_t *)(askew + 64 - 3), "i"(0));
        LOCKED("addq $1, %0", *(volatile uint64_t *)(askew + 4096 - 5), "i"(0));
        LOCKED("addw $1, %0", *(volatile uint16_t *)(askew + 8191), "i"(0));
        *(volatile uint8_t *)(askew + 512 + cpu) = (uint8_t)i;
    }
}

TEST(split_locks)
{
    NEEDS_SMP();
    rounds = K / 10;
    memory_set(askew, 0, sizeof askew);
    on_all(job_split);
    uint64_t n = (uint64_t)rounds * cpus;
    CHECK_EQUAL("askew in a line", n, *(uint32_t *)(void *)(askew + 101));
    CHECK_EQUAL("across lines", n, *(uint64_t *)(void *)(askew + 61));
    CHECK_EQUAL("across pages", n, *(uint64_t *)(void *)(askew + 4091));
    CHECK_EQUAL("16 bits across pages", n & 0xffff, *(uint16_t *)(void *)(askew + 8191));
}

/* A plain lock around a plain counter. */
static volatile uint32_t spin_lock;
static volatile uint64_t guarded;
static void job_lock(unsigned cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < rounds; i++) {
        for (uint32_t taken = 1;;) {
            __asm__ volatile("xchgl %0, %1" : "+r"(taken), "+m"(spin_lock) : : "memory");
            if (!taken)
                break;
            while (spin_lock)
                relax();
        }
        guarded = guarded + 1;
        __asm__ volatile("movl $0, %0" : "=m"(spin_lock) : : "memory");
    }
}

TEST(spinlock)
{
    NEEDS_SMP();
    rounds = K;
    guarded = spin_lock = 0;
    on_all(job_lock);
    CHECK_EQUAL("counter under a lock", (uint64_t)rounds * cpus, guarded);
}

/* --- memory order (9.2) */

/* Aligned plain accesses are never seen in part, by any instruction that makes them. */
static volatile uint64_t ALIGNED(8) whole[4];
static void job_tearing(unsigned cpu)
{
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t v = i & 1 ? ~0ull : 0;
        if (cpu & 1 || cpus == 1) {
            whole[0] = v;
            *(volatile uint32_t *)&whole[1] = (uint32_t)v;
            *(volatile uint16_t *)&whole[2] = (uint16_t)v;
            void *to = (void *)&whole[3];
            __asm__ volatile("stosq" : "+D"(to) : "a"(v) : "memory");
        } else {
            uint64_t q = whole[0], s = whole[3];
            uint32_t d = *(volatile uint32_t *)&whole[1];
            uint16_t w = *(volatile uint16_t *)&whole[2];
            wrong += (q && ~q) || (s && ~s) || (d && ~d) || (w && w != 0xffff);
        }
    }
}

TEST(no_tearing)
{
    NEEDS_SMP();
    rounds = K;
    wrong = 0;
    on_all(job_tearing);
    CHECK_EQUAL("torn reads", 0, wrong);
}

/* 9.2.3.4: with a fence between store and load, not both processors of a pair read 0. 9.2.3.2: stores are
 * seen in order. */
static volatile uint64_t ALIGNED(64) litmus[CPUS_MAX][8];
static volatile uint64_t seen[CPUS_MAX];
static unsigned fence_kind;
static void job_store_buffer(unsigned cpu)
{
    unsigned other = cpu ^ 1;
    for (unsigned i = 0; i < rounds; i++) {
        litmus[cpu][0] = 0;
        barrier();
        litmus[cpu][0] = 1;
        if (fence_kind == 0)
            __asm__ volatile("mfence" : : : "memory");
        else if (fence_kind == 1)
            __asm__ volatile("lock; addl $0, -4(%%rsp)" : : : "memory", "cc");
        else
            cpuid(0, 0);
        seen[cpu] = other < cpus ? litmus[other][0] : 1;
        barrier();
        if (other < cpus && !(cpu & 1) && !seen[cpu] && !seen[other])
            add_fetch(&wrong, 1);
        barrier();
    }
}

static void job_message(unsigned cpu)
{
    for (uint64_t i = 1; i <= rounds; i++) {
        if (cpu == 0) {
            litmus[0][1] = i;
            litmus[0][2] = i;
        } else {
            uint64_t flag = litmus[0][2], data = litmus[0][1];
            if (data < flag)
                add_fetch(&wrong, 1);
        }
    }
}

TEST(memory_order)
{
    NEEDS_SMP();
    wrong = 0;
    rounds = K / 40;
    for (fence_kind = 0; fence_kind < 3; fence_kind++)
        on_all(job_store_buffer);
    CHECK_EQUAL("store, fence, load: both old", 0, wrong);
    rounds = K;
    on_all(job_message);
    CHECK_EQUAL("stores seen out of order", 0, wrong);
}

/* --- interprocessor interrupts */

enum { VECTOR_IPI = 0x41, VECTOR_FLUSH = 0x42, VECTOR_WAKE = 0x43 };
static volatile uint64_t got[CPUS_MAX], nmis[CPUS_MAX], flushes, woken[CPUS_MAX];
static volatile word flush_address;

__attribute__((interrupt)) static void on_ipi(void *frame)
{
    (void)frame;
    add_fetch(&got[me()], 1);
    apic_write(APIC_EOI, 0);
}
__attribute__((interrupt)) static void on_nmi(void *frame)
{
    (void)frame;
    add_fetch(&nmis[me()], 1);
}
__attribute__((interrupt)) static void on_flush(void *frame)
{
    (void)frame;
    __asm__ volatile("invlpg (%0)" : : "r"(flush_address) : "memory");
    add_fetch(&flushes, 1);
    apic_write(APIC_EOI, 0);
}
__attribute__((interrupt)) static void on_wake(void *frame)
{
    (void)frame;
    add_fetch(&woken[me()], 1);
    apic_write(APIC_EOI, 0);
}

static void handlers(void)
{
    unsigned access = SEG_P | SYS_INT;
    idt_set(VECTOR_IPI, SEL_CODE, ADDR(on_ipi), access, 0);
    idt_set(VECTOR_FLUSH, SEL_CODE, ADDR(on_flush), access, 0);
    idt_set(VECTOR_WAKE, SEL_CODE, ADDR(on_wake), access, 0);
    idt_set(NMI, SEL_CODE, ADDR(on_nmi), access, 0);
}

static volatile bool listening;
static void job_listen(unsigned cpu)
{
    if (!cpu)
        return;
    __asm__ volatile("sti" : : : "memory");
    while (listening)
        relax();
    __asm__ volatile("cli" : : : "memory");
}

/* Sends one and waits until the counts add up to what they were and EXPECTED. */
static uint64_t total(volatile uint64_t *count)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < cpus; i++)
        n += count[i];
    return n;
}
static void send_and_wait(volatile uint64_t *count, uint32_t low, uint32_t dest, unsigned expected)
{
    uint64_t before = total(count);
    ipi(low, dest);
    while (total(count) < before + expected)
        relax();
}

static void (*send_all)(void);
static void job_send(unsigned cpu)
{
    if (cpu) {
        job_listen(cpu);
        return;
    }
    __asm__ volatile("sti" : : : "memory");
    send_all();
    __asm__ volatile("cli" : : : "memory");
    listening = false;
}

static void send_physical(void)
{
    for (unsigned i = 0; i < VOLLEY; i++)
        for (unsigned c = 0; c < cpus; c++)
            send_and_wait(got, ICR_FIXED | ICR_ASSERT | VECTOR_IPI, c, 1);
}
static void send_shorthands(void)
{
    for (unsigned i = 0; i < VOLLEY; i++) {
        send_and_wait(got, ICR_SELF | VECTOR_IPI, 0, 1);
        send_and_wait(got, ICR_ALL | VECTOR_IPI, 0, cpus);
        send_and_wait(got, ICR_OTHERS | VECTOR_IPI, 0, cpus - 1);
        send_and_wait(got, VECTOR_IPI, x2apic ? 0xffffffff : 0xff, cpus);
    }
}
static void send_nmis(void)
{
    for (unsigned i = 0; i < VOLLEY; i++) {
        for (unsigned c = 0; c < cpus; c++)
            send_and_wait(nmis, ICR_NMI | ICR_ASSERT, c, 1);
        send_and_wait(nmis, ICR_NMI | ICR_ASSERT | ICR_OTHERS, 0, cpus - 1);
    }
}

static void send(void (*what)(void))
{
    memory_set((void *)got, 0, sizeof got);
    memory_set((void *)nmis, 0, sizeof nmis);
    listening = true;
    send_all = what;
    on_all(job_send);
}

static void check_ipis(void)
{
    send(send_physical);
    for (unsigned c = 0; c < cpus; c++)
        CHECK_EQUAL("fixed, physical", VOLLEY, got[c]);
    send(send_shorthands);
    CHECK_EQUAL("shorthands, sender", 3 * VOLLEY, got[0]);
    for (unsigned c = 1; c < cpus; c++)
        CHECK_EQUAL("shorthands, others", 3 * VOLLEY, got[c]);
    send(send_nmis);
    CHECK_EQUAL("NMI to itself", VOLLEY, nmis[0]);
    for (unsigned c = 1; c < cpus; c++)
        CHECK_EQUAL("NMI", 2 * VOLLEY, nmis[c]);
}

TEST(ipis)
{
    NEEDS_SMP();
    handlers();
    check_ipis();
}

/* Logical destinations: flat, one bit for each of eight; cluster, four in each of fifteen (11.6.2.2). */
static bool cluster;
static uint32_t logical_id(unsigned cpu)
{
    if (x2apic)
        return cpu / 16 << 16 | 1u << cpu % 16;
    return cluster ? cpu / 4 << 4 | 1u << cpu % 4 : 1u << cpu % 8;
}
static void job_logical(unsigned cpu)
{
    if (x2apic) {
        wrong += apic_read(APIC_LDR) != logical_id(cpu);
        return;
    }
    apic_write(APIC_DFR, cluster ? 0x0fffffff : 0xffffffff);
    apic_write(APIC_LDR, logical_id(cpu) << 24);
}
static void send_logical(void)
{
    for (unsigned c = 0; c < cpus; c++) {
        unsigned same = 0;
        for (unsigned d = 0; d < cpus; d++)
            same += logical_id(d) == logical_id(c);
        send_and_wait(got, ICR_LOGICAL | ICR_ASSERT | VECTOR_IPI, logical_id(c), same);
    }
    /* lowest priority: exactly one of the first cluster */
    uint32_t group = x2apic ? 0xffff : cluster ? 0x0f : 0xff;
    for (unsigned i = 0; i < 20; i++)
        send_and_wait(got, ICR_LOGICAL | ICR_LOWEST | ICR_ASSERT | VECTOR_IPI, group, 1);
}

static void check_logical(const char *what)
{
    on_all(job_logical);
    send(send_logical);
    uint64_t expected = 20;
    for (unsigned c = 0; c < cpus; c++)
        for (unsigned d = 0; d < cpus; d++)
            expected += logical_id(c) == logical_id(d);
    CHECK_EQUAL(what, expected, total(got));
}

TEST(logical)
{
    NEEDS_SMP();
    handlers();
    cluster = false;
    check_logical("flat model");
    cluster = true;
    check_logical("cluster model");
    cluster = false;
}

/* --- TLB shootdown (5.10.5) and A/D bits beside the guest's own updates */

#define WINDOW 0x8000000000ull /* PML4 entry 1 */
extern uint64_t map_pml4[512];
static uint64_t ALIGNED(4096) window_pdpt[512], window_pd[512], window_pt[512];
static volatile uint64_t ALIGNED(4096) frame_a[512], frame_b[512];
static volatile uint64_t epoch, readers_wrong;

static void window_map(volatile uint64_t *frame)
{
    map_pml4[1] = ADDR(window_pdpt) | 7;
    window_pdpt[0] = ADDR(window_pd) | 7;
    window_pd[0] = ADDR(window_pt) | 7;
    *(volatile uint64_t *)&window_pt[0] = ADDR(frame) | 7;
}

/* frame_a and frame_b both hold their epoch: after the shootdown of epoch E nobody may read an older one. */
static void job_shootdown(unsigned cpu)
{
    volatile uint64_t *p = (volatile uint64_t *)WINDOW;
    if (cpu) {
        __asm__ volatile("sti" : : : "memory");
        while (listening) {
            uint64_t before = epoch, v = *p;
            if (v < before)
                add_fetch(&readers_wrong, 1);
            relax();
        }
        __asm__ volatile("cli" : : : "memory");
        return;
    }
    for (uint64_t e = 1; e <= 4 * VOLLEY; e++) {
        volatile uint64_t *next = e & 1 ? frame_b : frame_a;
        next[0] = e;
        window_map(next);
        flushes = 0;
        flush_address = WINDOW;
        __asm__ volatile("invlpg (%0)" : : "r"(WINDOW) : "memory");
        ipi(ICR_OTHERS | ICR_ASSERT | VECTOR_FLUSH, 0);
        while (flushes < cpus - 1)
            relax();
        epoch = e;
    }
    listening = false;
}

TEST(tlb_shootdown)
{
    NEEDS_SMP();
    handlers();
    frame_a[0] = frame_b[0] = epoch = readers_wrong = 0;
    window_map(frame_a);
    listening = true;
    on_all(job_shootdown);
    CHECK_EQUAL("reads through a dead mapping", 0, readers_wrong);
}

/* Software bits 52..62 of one entry are counted up by LOCK ADD while walks set A and D: none gets lost. */
static void job_entry(unsigned cpu)
{
    volatile uint64_t *p = (volatile uint64_t *)(WINDOW + 4096);
    for (unsigned i = 0; i < rounds; i++) {
        if (cpu & 1) {
            __asm__ volatile("invlpg (%0)" : : "r"(p) : "memory");
            p[cpu] = i;
        } else {
            LOCKED("addq %1, %0", window_pt[1], "r"(1ull << 52));
            LOCKED("andq %1, %0", window_pt[1], "r"(~0x60ull));
        }
    }
}

TEST(accessed_and_dirty)
{
    NEEDS_SMP();
    window_map(frame_a);
    window_pt[1] = ADDR(frame_b) | 7;
    rounds = K < 2000 / cpus ? K : 2000 / cpus; /* bit 63 stays 0: it is NX */
    on_all(job_entry);
    uint64_t adders = (cpus + 1) / 2;
    CHECK_EQUAL("software bits", adders * rounds, window_pt[1] >> 52);
    CHECK_EQUAL("the rest of the entry", ADDR(frame_b) | 7, window_pt[1] & 0x000fffffffffff9full);
}

/* --- code that another processor changes (9.1.3) */

static uint8_t ALIGNED(4096) code[2 * 4096];
static volatile uint64_t code_version, code_seen[CPUS_MAX];

static void code_write(uint32_t value)
{
    /* mov $value, %eax; ret: the immediate is aligned to four bytes */
    *(volatile uint32_t *)(void *)(code + 4) = value;
}

static void job_cross_modify(unsigned cpu)
{
    uint32_t (*f)(void) = (uint32_t(*)(void))(word)(code + 3);
    for (uint32_t v = 1; v <= 4 * VOLLEY; v++) {
        if (cpu == v % cpus) { /* each in turn */
            for (unsigned c = 0; c < cpus; c++)
                while (code_seen[c] != v - 1)
                    relax();
            code_write(v);
            code_version = v;
        }
        while (code_version < v) {
            *(volatile uint8_t *)(code + 256 + cpu) = (uint8_t)v; /* data beside code */
            relax();
        }
        cpuid(0, 0); /* serializes */
        for (unsigned i = 0; i < 3; i++)
            if (f() != v)
                add_fetch(&wrong, 1);
        code_seen[cpu] = v;
    }
}

TEST(cross_modifying_code)
{
    NEEDS_SMP();
    wrong = code_version = 0;
    memory_set((void *)code_seen, 0, sizeof code_seen);
    code[3] = 0xb8;
    code[8] = 0xc3;
    code_write(0);
    on_all(job_cross_modify);
    CHECK_EQUAL("old code after serializing", 0, wrong);
}

/* Each changes its own code, in a page that all of them execute from and write to. */
static void job_self_modify(unsigned cpu)
{
    uint8_t *own = code + 4096 + 64 * cpu;
    own[3] = 0xb8;
    own[8] = 0xc3;
    for (uint32_t v = 1; v <= 2 * VOLLEY; v++) {
        *(volatile uint32_t *)(void *)(own + 4) = v;
        if (((uint32_t(*)(void))(word)(own + 3))() != v)
            add_fetch(&wrong, 1);
    }
}

TEST(self_modifying_code)
{
    NEEDS_SMP();
    wrong = 0;
    on_all(job_self_modify);
    CHECK_EQUAL("old code right after the write", 0, wrong);
}

/* --- HLT, and starting again */

static void job_halt(unsigned cpu)
{
    if (cpu) {
        /* By the total: between the handler's end and CLI the next one may come without a wait of its own. */
        while (woken[cpu] < VOLLEY)
            __asm__ volatile("sti; hlt; cli" : : : "memory");
        return;
    }
    /* One at a time, each answered. */
    for (unsigned i = 0; i < VOLLEY; i++)
        for (unsigned c = 1; c < cpus; c++)
            send_and_wait(woken, ICR_FIXED | ICR_ASSERT | VECTOR_WAKE, c, 1);
}

TEST(halt)
{
    NEEDS_SMP();
    handlers();
    memory_set((void *)woken, 0, sizeof woken);
    on_all(job_halt);
    for (unsigned c = 1; c < cpus; c++)
        CHECK_EQUAL("woken from HLT", VOLLEY, woken[c]);
}

static volatile uint64_t stuck;
static void job_stick(unsigned cpu)
{
    if (!cpu)
        return;
    add_fetch(&stuck, 1);
    if (cpu & 1)
        for (;;)
            __asm__ volatile("cli; hlt");
    for (;;)
        relax();
}

/* INIT reaches processors that are halted with interrupts off, and ones that spin. */
TEST(restart)
{
    NEEDS_SMP();
    stuck = 0;
    post(job_stick);
    while (stuck != cpus - 1)
        relax();
    for (unsigned c = 1; c < cpus; c++)
        restart(c, c & 2);
    memory_set((void *)sum, 0, sizeof sum);
    rounds = 10;
    on_all(job_arithmetic);
    CHECK_EQUAL("they work again", 10ull * cpus, sum[4].q);
}

/* The same in x2APIC mode; last, for there is no way back but RESET. */
static void job_x2apic(unsigned cpu)
{
    (void)cpu;
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1u << 10);
}

TEST(x2apic)
{
    NEEDS_SMP();
    if (!CPU_HAS_X2APIC) {
        skip("no x2APIC");
        return;
    }
    handlers();
    on_all(job_x2apic);
    x2apic = true;
    wrong = 0;
    check_ipis();
    check_logical("x2APIC, logical");
    CHECK_EQUAL("LDR follows from the id", 0, wrong);
    if (cpus > 1)
        restart(cpus - 1, false);
    check_ipis();
}
