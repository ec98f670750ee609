/* Nanobenchmarks: Adams and Agesen's seven (ASPLOS 2006, section 6.3: syscall, in, cr8wr, callret, pgfault,
 * divzero, ptemod), exit round trips by kind, and each switch in parts. One line each:
 *
 *     nano NAME TICKS.HUNDREDTHS   TSC ticks per operation, the loop around it taken off, the best of ROUNDS
 *     part NAME ENTRY EXIT         from before the instruction to the far side, from there to behind it
 *     walk NAME TICKS              512 pages read once, behind NAME
 *     tsc KHZ                      measured against the PIT */
#include "../../guest/lib/clock.h"
#include "../../guest/lib/paging.h"

enum { ROUNDS = 5 };
#define EFER_LSTAR 0xc0000082u
#define MSR_STAR_  0xc0000081u
#define MSR_MASK_  0xc0000084u

/* Behind the window, 2 MiB each (map_behind). The handlers know APIC_AT too. */
#define APIC_AT       (WINDOW + 2 * MiB)
#define NOT_PRESENT   (WINDOW + 4 * MiB)
#define MEMORY_BEHIND (WINDOW + 6 * MiB)
enum { IPI = 0x40 };

static uint64_t count; /* operations per round */
u64 nano_entered;      /* TSC in the handler */

/* Handlers: each skips the instruction that trapped, or returns. */
__asm__(
    ".text\n.code64\n"
    "nano_pf: add $8, %rsp\n addq $3, (%rsp)\n iretq\n"
    "nano_de: addq $2, (%rsp)\n iretq\n"
    "nano_ud: addq $3, (%rsp)\n iretq\n"
    "nano_irq: push %rax\n movabs $0x80002000b0, %rax\n movl $0, (%rax)\n pop %rax\n iretq\n"
    "nano_irq_timed: push %rax\n push %rdx\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, nano_entered\n"
    " movabs $0x80002000b0, %rax\n movl $0, (%rax)\n pop %rdx\n pop %rax\n iretq\n"
    "nano_ud_timed: push %rax\n push %rdx\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, nano_entered\n"
    " pop %rdx\n pop %rax\n addq $3, (%rsp)\n iretq\n"
    "nano_syscall: sysretq\n"
    "nano_pf_timed: push %rax\n push %rdx\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, nano_entered\n"
    " pop %rdx\n pop %rax\n add $8, %rsp\n addq $3, (%rsp)\n iretq\n"
    "nano_de_timed: push %rax\n push %rdx\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, nano_entered\n"
    " pop %rdx\n pop %rax\n addq $2, (%rsp)\n iretq\n"
    "nano_leaf: ret\n");
extern const uint8_t nano_pf[], nano_de[], nano_ud[], nano_irq[], nano_syscall[], nano_pf_timed[],
    nano_de_timed[], nano_ud_timed[], nano_irq_timed[];

static void handle(unsigned vector, const uint8_t *handler)
{
    idt_set(vector, SEL_CODE, ADDR(handler), SEG_P | SYS_INT, 0);
}

/* Ticks that N repetitions of TEXT take. Registers: rdi is ARG, the rest is TEXT's to change but rbx. */
#define LOOP(text)                                                                                           \
    ({                                                                                                       \
        uint64_t left = count, t0 = rdtsc();                                                                 \
        __asm__ volatile("1: " text "\n dec %0\n jnz 1b"                                                     \
                         : "+b"(left)                                                                        \
                         : "D"(arg)                                                                          \
                         : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");            \
        rdtsc() - t0;                                                                                        \
    })

/* `wall=N`: each loop once, N times as many turns, between lines that somebody with another clock can time: where the TSC counts
 * instructions (Bochs). */
static uint64_t wall;

static void report(const char *name, uint64_t best, uint64_t empty)
{
    if (wall)
        return;
    uint64_t hundredths = best > empty ? (best - empty) * 100 / count : 0;
    print("nano %s %llu.%02u\n", name, (u64)(hundredths / 100), (unsigned)(hundredths % 100));
}

#define MEASURE(name, n, value, text)                                                                        \
    do {                                                                                                     \
        word arg = (value);                                                                                  \
        uint64_t best = ~0ull, empty = ~0ull;                                                                \
        count = wall ? wall * (n) : (n);                                                                     \
        if (wall) {                                                                                          \
            print("begin %s\n", name);                                                                       \
            LOOP(text);                                                                                      \
            print("end %s %llu\n", name, (u64)count);                                                        \
        }                                                                                                    \
        for (unsigned round = 0; round < (wall ? 0 : ROUNDS); round++) {                                     \
            uint64_t t = LOOP(text), nothing = LOOP("");                                                     \
            best = t < best ? t : best;                                                                      \
            empty = nothing < empty ? nothing : empty;                                                       \
        }                                                                                                    \
        report(name, best, empty);                                                                           \
    } while (0)

static void syscalls(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR_, (u64)(SEL_USER_CODE32 | 3u) << 48 | (u64)SEL_CODE << 32);
    wrmsr(EFER_LSTAR, ADDR(nano_syscall));
    wrmsr(MSR_MASK_, FLAG_IF | FLAG_TF | FLAG_DF);
    uint64_t best = ~0ull;
    count = wall ? wall * 20000 : 20000;
    if (wall)
        print("begin syscall\n");
    for (unsigned round = 0; round < (wall ? 1 : ROUNDS); round++) {
        struct context c;
        context_set_user(&c, SNIP("1: syscall\n dec %rbx\n jnz 1b"));
        c.bx = count;
        uint64_t t0 = rdtsc();
        context_run(&c);
        uint64_t t = rdtsc() - t0;
        best = t < best ? t : best;
    }
    if (wall)
        print("end syscall %llu\n", (u64)count);
    report("syscall", best, 0);
}

/* --- one switch in parts --- */

/* Each kind once, with the time of the far side in nano_entered: of the handler's first RDTSC, or, for what the monitor serves, the
 * stamp that Trine's test device gives (src/dev/pc_testdev.c). */
#define STAMP_PORT 0x2120
#define STAMP_AT   (MEMORY_BEHIND + 0x10000)
static bool stamped;

static void kind_pio(void)
{
    nano_entered = inl(STAMP_PORT);
}

static void kind_mmio(void)
{
    nano_entered = *(volatile uint32_t *)STAMP_AT;
}

static void kind_hypercall(void)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xc1" : : : "rax", "memory");
}

static void kind_pgfault(void)
{
    __asm__ volatile("mov (%%rdi), %%rax" : : "D"(NOT_PRESENT) : "rax", "memory");
}

static void kind_divzero(void)
{
    __asm__ volatile("xor %%ecx, %%ecx\n div %%ecx" : : : "rax", "rcx", "rdx", "cc");
}

static void kind_cpuid(void)
{
    cpuid(0, 0);
}

/* The interrupt is pending when STI's shadow ends in HLT. */
static void kind_hlt(void)
{
    __asm__ volatile("sti\n hlt\n cli" : : : "memory");
}

static volatile uint32_t *apic(unsigned reg)
{
    return (volatile uint32_t *)(APIC_AT + reg);
}

/* The word `lifeline=MS`: the LAPIC's timer sends IPI too, so often. Where a monitor loses STI's shadow (QEMU 7.2's SVM: docs/kvm.md), the interrupt is
 * taken before HLT, which then would have nothing to wait for. */
static void lifeline(bool on)
{
    unsigned long ms = option_number("lifeline", 0);
    *apic(0x3e0) = 0xb; /* divided by 1 */
    *apic(0x320) = on && ms ? 0x20000 | IPI : 0x10000;
    *apic(0x380) = on ? (uint32_t)(ms * 1000000) : 0;
}

static void self_ipi(void)
{
    *apic(0x300) = 0x40000 | IPI;
}

static const struct nano_kind {
    const char *name;
    void (*once)(void);
    void (*before)(void); /* outside the time */
    unsigned vector;
    const uint8_t *handler;
    enum { BY_HANDLER, BY_STAMP, BY_NOBODY } far;
} kinds[] = {
    {"pio", kind_pio, NULL, 0, NULL, BY_STAMP},
    {"mmio", kind_mmio, NULL, 0, NULL, BY_STAMP},
    {"hlt", kind_hlt, self_ipi, IPI, nano_irq_timed, BY_HANDLER},
    {"hypercall", kind_hypercall, NULL, UD, nano_ud_timed, BY_HANDLER},
    {"pgfault", kind_pgfault, NULL, PF, nano_pf_timed, BY_HANDLER},
    {"divzero", kind_divzero, NULL, DE, nano_de_timed, BY_HANDLER},
    {"cpuid", kind_cpuid, NULL, 0, NULL, BY_NOBODY},
};

/* 512 pages read once, behind one switch of the kind. */
static void walk(const char *name, const struct nano_kind *k, void (*first)(void))
{
    uint64_t best = ~0ull;
    for (unsigned round = 0; round < 60; round++) {
        if (k && k->before)
            k->before();
        if (k)
            k->once();
        if (first)
            first();
        uint64_t t0 = rdtsc();
        for (unsigned n = 0; n < 512; n++)
            (void)*(volatile uint8_t *)WINDOW_PAGE(n);
        uint64_t t = rdtsc() - t0;
        best = t < best ? t : best;
    }
    print("walk %s %llu\n", name, (u64)best);
}

/* A stamp has 32 bits. */
static uint64_t far_time(const struct nano_kind *k, uint64_t t0)
{
    return k->far == BY_STAMP ? t0 + (uint32_t)((uint32_t)nano_entered - (uint32_t)t0) : nano_entered;
}

static void parts(const struct nano_kind *k)
{
    uint64_t entry = ~0ull, leave = ~0ull, pair = ~0ull;
    bool seen = true;
    if (k->far == BY_NOBODY || (k->far == BY_STAMP && !stamped))
        return;
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t t0 = rdtsc(), t1 = rdtsc();
        pair = t1 - t0 < pair ? t1 - t0 : pair;
        if (k->before)
            k->before();
        nano_entered = 0;
        t0 = rdtsc();
        k->once();
        t1 = rdtsc();
        seen &= nano_entered != 0;
        uint64_t at = far_time(k, t0);
        entry = at - t0 < entry ? at - t0 : entry;
        leave = t1 - at < leave ? t1 - at : leave;
    }
    if (seen) /* else the monitor took the hypercall, and no handler ran */
        print("part %s %llu %llu\n", k->name, (u64)(entry > pair ? entry - pair : 0),
              (u64)(leave > pair ? leave - pair : 0));
}

static void all_parts(void)
{
    stamped = inl(STAMP_PORT) != ~0u;
    walk("nothing", NULL, NULL);
    for (unsigned i = 0; i < COUNT(kinds); i++) {
        const struct nano_kind *k = &kinds[i];
        if (k->handler)
            handle(k->vector, k->handler);
        lifeline(k->vector == IPI);
        walk(k->name, k, NULL);
        parts(k);
        if (k->handler)
            idt_reset(k->vector);
    }
    walk("flush", NULL, flush);
}

static void exits(void)
{
    handle(UD, nano_ud);
    MEASURE("pio", 2000, 0, "in $0x80, %%al");
    MEASURE("mmio", 2000, APIC_AT + 0x30, "mov (%%rdi), %%eax");
    MEASURE("cpuid", 2000, 0, "mov %%rbx, %%r8\n xor %%eax, %%eax\n cpuid\n mov %%r8, %%rbx");
    MEASURE("hypercall", 2000, 0, ".byte 0x0f, 0x01, 0xc1");
    idt_reset(UD);
    handle(IPI, nano_irq);
    *apic(0xf0) = 0x1ff;
    lifeline(true);
    MEASURE("hlt", wall ? 20 : 1000, APIC_AT, "movl $0x40040, 0x300(%%rdi)\n sti\n hlt\n cli");
    lifeline(false);
    idt_reset(IPI);
}

/* Behind the window's 512 pages: the APIC, nothing, and where Trine's test device has its memory. */
static void map_behind(void)
{
    entry_set(2, 1, 0xfee00000ull | PTE_P | PTE_W | PTE_PCD | PTE_PS);
    entry_set(2, 2, 0);
    entry_set(2, 3, 0xff000000ull | PTE_P | PTE_W | PTE_PCD | PTE_PS);
}

TEST(nano)
{
    print("tsc %llu\n", (u64)tsc_khz());
    paging_on(PAGES_NATIVE, PTE_U);
    for (unsigned n = 0; n < 512; n++)
        entry_set(1, n, FRAME(n % FRAMES) | PTE_P | PTE_W);
    map_behind();
    flush();
    wall = option_number("wall", 0);
    if (wall)
        MEASURE("empty", 100000, 0, "");
    syscalls();
    MEASURE("in", 2000, 0, "in $0x80, %%al");
    MEASURE("cr8wr", 20000, 0, "mov %%rdi, %%cr8");
    MEASURE("callret", 100000, 0, "call nano_leaf");
    handle(PF, nano_pf);
    MEASURE("pgfault", 2000, NOT_PRESENT, "mov (%%rdi), %%rax");
    handle(DE, nano_de);
    MEASURE("divzero", 2000, 0, "xor %%ecx, %%ecx\n div %%ecx");
    word pte = 0;
    {
        /* The entry of window page 5, through the identity map: levels down from CR3. */
        u64 *table = (u64 *)paging_root();
        table = (u64 *)(table[1] & ~0xfffull);
        table = (u64 *)(table[0] & ~0xfffull);
        table = (u64 *)(table[0] & ~0xfffull);
        pte = ADDR(&table[5]);
    }
    MEASURE("ptemod", 20000, pte, "xorl $0x200, (%%rdi)");
    exits();
    if (!wall)
        all_parts();
    paging_off();
}
