/* Nanobenchmarks: Adams and Agesen's seven (ASPLOS 2006, section 6.3: syscall, in, cr8wr, callret, pgfault,
 * divzero, ptemod), exit round trips by kind, and what a switch leaves behind in TLB and caches. One line
 * each:
 *
 *     nano NAME TICKS.HUNDREDTHS      TSC ticks per operation, the loop around it taken off, the best of
 * ROUNDS part NAME ENTRY EXIT            of an exception: from before the instruction to the handler, from
 * its IRET back walk NAME TICKS                 512 pages read once, behind NAME tsc KHZ measured against the
 * PIT */
#include "../../guest/lib/clock.h"
#include "../../guest/lib/paging.h"

enum { ROUNDS = 5 };
#define EFER_LSTAR 0xc0000082u
#define MSR_STAR_  0xc0000081u
#define MSR_MASK_  0xc0000084u

static uint64_t count; /* operations per round */
u64 nano_entered;      /* TSC in the handler */

/* Handlers: each skips the instruction that trapped, or returns. */
__asm__(
    ".text\n.code64\n"
    "nano_pf: add $8, %rsp\n addq $3, (%rsp)\n iretq\n"
    "nano_de: addq $2, (%rsp)\n iretq\n"
    "nano_ud: addq $3, (%rsp)\n iretq\n"
    "nano_irq: push %rax\n push %rcx\n push %rdx\n mov $0x80b, %ecx\n xor %eax, %eax\n xor %edx, %edx\n"
    " wrmsr\n pop %rdx\n pop %rcx\n pop %rax\n iretq\n"
    "nano_syscall: sysretq\n"
    "nano_pf_timed: push %rax\n push %rdx\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, nano_entered\n"
    " pop %rdx\n pop %rax\n add $8, %rsp\n addq $3, (%rsp)\n iretq\n"
    "nano_de_timed: push %rax\n push %rdx\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, nano_entered\n"
    " pop %rdx\n pop %rax\n addq $2, (%rsp)\n iretq\n"
    "nano_leaf: ret\n");
extern const uint8_t nano_pf[], nano_de[], nano_ud[], nano_irq[], nano_syscall[], nano_pf_timed[],
    nano_de_timed[];

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

static void report(const char *name, uint64_t best, uint64_t empty)
{
    uint64_t hundredths = best > empty ? (best - empty) * 100 / count : 0;
    print("nano %s %llu.%02u\n", name, (u64)(hundredths / 100), (unsigned)(hundredths % 100));
}

#define MEASURE(name, n, value, text)                                                                        \
    do {                                                                                                     \
        word arg = (value);                                                                                  \
        uint64_t best = ~0ull, empty = ~0ull;                                                                \
        count = (n);                                                                                         \
        for (unsigned round = 0; round < ROUNDS; round++) {                                                  \
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
    count = 20000;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct context c;
        context_set_user(&c, SNIP("1: syscall\n dec %rbx\n jnz 1b"));
        c.bx = count;
        uint64_t t0 = rdtsc();
        context_run(&c);
        uint64_t t = rdtsc() - t0;
        best = t < best ? t : best;
    }
    report("syscall", best, 0);
}

static void walk(const char *name, void (*before)(void))
{
    uint64_t best = ~0ull;
    for (unsigned round = 0; round < 40; round++) {
        if (before)
            before();
        uint64_t t0 = rdtsc();
        for (unsigned n = 0; n < 512; n++)
            (void)*(volatile uint8_t *)WINDOW_PAGE(n);
        uint64_t t = rdtsc() - t0;
        best = t < best ? t : best;
    }
    print("walk %s %llu\n", name, (u64)best);
}

static void switch_in(void)
{
    inb(0x80);
}

static void switch_fault(void)
{
    __asm__ volatile("xor %%ecx, %%ecx\n div %%ecx" : : : "rax", "rcx", "rdx", "cc");
}

/* One exception in two parts; the same RDTSCs without it are taken off by halves. */
static void parts(const char *name, unsigned vector, const uint8_t *handler, bool fault)
{
    uint64_t entry = ~0ull, leave = ~0ull, pair = ~0ull;
    handle(vector, handler);
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t t0 = rdtsc(), t1 = rdtsc();
        pair = t1 - t0 < pair ? t1 - t0 : pair;
        t0 = rdtsc();
        if (fault)
            __asm__ volatile("mov (%%rdi), %%rax" : : "D"(WINDOW_PAGE(511)) : "rax", "memory");
        else
            switch_fault();
        t1 = rdtsc();
        entry = nano_entered - t0 < entry ? nano_entered - t0 : entry;
        leave = t1 - nano_entered < leave ? t1 - nano_entered : leave;
    }
    print("part %s %llu %llu\n", name, (u64)(entry > pair ? entry - pair : 0),
          (u64)(leave > pair ? leave - pair : 0));
}

static void exits(void)
{
    handle(UD, nano_ud);
    MEASURE("pio", 2000, 0, "in $0x80, %%al");
    MEASURE("mmio", 2000, WINDOW_PAGE(510) + 0x30, "mov (%%rdi), %%eax");
    MEASURE("cpuid", 2000, 0, "mov %%rbx, %%r8\n xor %%eax, %%eax\n cpuid\n mov %%r8, %%rbx");
    MEASURE("hypercall", 2000, 0, ".byte 0x0f, 0x01, 0xc1");
    idt_reset(UD);
    if (CPU_HAS_X2APIC) {
        handle(0x40, nano_irq);
        wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
        wrmsr(0x80f, 0x1ff);
        /* A self-IPI is pending when STI's shadow ends in HLT. */
        MEASURE("hlt", 1000, 0,
                "mov $0x40, %%eax\n xor %%edx, %%edx\n mov $0x83f, %%ecx\n wrmsr\n sti\n hlt\n cli");
    }
}

TEST(nano)
{
    print("tsc %llu\n", (u64)tsc_khz());
    paging_on(PAGES_NATIVE, PTE_U);
    for (unsigned n = 0; n < 510; n++)
        entry_set(1, n, FRAME(n % FRAMES) | PTE_P | PTE_W);
    entry_set(1, 510, 0xfee00000ull | PTE_P | PTE_W | PTE_PCD);
    flush();
    syscalls();
    MEASURE("in", 2000, 0, "in $0x80, %%al");
    MEASURE("cr8wr", 20000, 0, "mov %%rdi, %%cr8");
    MEASURE("callret", 100000, 0, "call nano_leaf");
    handle(PF, nano_pf);
    MEASURE("pgfault", 2000, WINDOW_PAGE(511), "mov (%%rdi), %%rax");
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
    entry_set(1, 511, FRAME(0) | PTE_P | PTE_W);
    flush();
    walk("nothing", NULL);
    walk("exit", switch_in);
    walk("exception", switch_fault);
    walk("flush", flush);
    entry_set(1, 511, 0);
    flush();
    parts("pgfault", PF, nano_pf_timed, true);
    parts("divzero", DE, nano_de_timed, false);
    idt_reset(PF);
    idt_reset(DE);
    paging_off();
}
