/* The library of the bare-metal guests: one header for both worlds.
 *
 * A guest image holds two C worlds made from the same sources: world 32 (protected mode, paging
 * off, entered by Multiboot) and world 64 (long mode, everything identity-mapped). `word` is as
 * wide as the world's registers, so most tests are written once.
 *
 * A test builds a context (registers, segments, flags, instruction pointer), runs it, and gets it
 * back when any exception or interrupt arrives: the same struct then holds the state at the exit.
 * Nothing is caught "inside": the test looks at what arrived, and may run the context on. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long word;
typedef unsigned long long u64; /* what %llx prints */

#define KiB        1024u
#define MiB        (1024u * 1024u)
#define PAGE_SIZE  4096u
#define ALIGNED(n) __attribute__((aligned(n)))
#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define ADDR(p)    ((word)(p))

#ifdef __x86_64__
#define WORLD      64
#define ASM_WORD   ".quad "
#define ASM_NATIVE ".code64\n"
#define AX         "%rax"
#define CX         "%rcx"
#define DX         "%rdx"
#define BX         "%rbx"
#define SP         "%rsp"
#define BP         "%rbp"
#define SI         "%rsi"
#define DI         "%rdi"
#define W          "q"
#define IRET       "iretq"
#else
#define WORLD      32
#define ASM_WORD   ".long "
#define ASM_NATIVE ".code32\n"
#define AX         "%eax"
#define CX         "%ecx"
#define DX         "%edx"
#define BX         "%ebx"
#define SP         "%esp"
#define BP         "%ebp"
#define SI         "%esi"
#define DI         "%edi"
#define W          "l"
#define IRET       "iretl"
#endif

/* Vectors (SDM volume 3A, table 6-1). */
enum {
    DE = 0,
    DB = 1,
    NMI = 2,
    BP_ = 3,
    OF = 4,
    BR = 5,
    UD = 6,
    NM = 7,
    DF = 8,
    TS = 10,
    NP = 11,
    SS = 12,
    GP = 13,
    PF = 14,
    MF = 16,
    AC = 17,
    MC = 18,
    XM = 19,
    CP = 21,
    EXIT = 0x30, /* INT 0x30 ends a snippet; its gate has DPL 3 */
};
#define NO_ERROR ((word)-1) /* what the stubs push for a vector without an error code */

/* Error codes with a selector: bits below the index. */
#define EXT 1u
#define IDT 2u
#define TI  4u
/* #PF error code. */
#define PF_P    1u
#define PF_W    2u
#define PF_U    4u
#define PF_RSVD 8u
#define PF_I    16u
#define PF_PK   32u

#define CR0_PE         (1u << 0)
#define CR0_MP         (1u << 1)
#define CR0_EM         (1u << 2)
#define CR0_TS         (1u << 3)
#define CR0_NE         (1u << 5)
#define CR0_WP         (1u << 16)
#define CR0_AM         (1u << 18)
#define CR0_NW         (1u << 29)
#define CR0_CD         (1u << 30)
#define CR0_PG         (1u << 31)
#define CR4_VME        (1u << 0)
#define CR4_PVI        (1u << 1)
#define CR4_TSD        (1u << 2)
#define CR4_DE         (1u << 3)
#define CR4_PSE        (1u << 4)
#define CR4_PAE        (1u << 5)
#define CR4_PGE        (1u << 7)
#define CR4_PCE        (1u << 8)
#define CR4_OSFXSR     (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP       (1u << 11)
#define CR4_FSGSBASE   (1u << 16)
#define CR4_PCIDE      (1u << 17)
#define CR4_OSXSAVE    (1u << 18)
#define CR4_SMEP       (1u << 20)
#define CR4_SMAP       (1u << 21)
#define EFER_SCE       (1u << 0)
#define EFER_LME       (1u << 8)
#define EFER_LMA       (1u << 10)
#define EFER_NXE       (1u << 11)
#define FLAG_CF        (1u << 0)
#define FLAG_1         (1u << 1)
#define FLAG_PF        (1u << 2)
#define FLAG_AF        (1u << 4)
#define FLAG_ZF        (1u << 6)
#define FLAG_SF        (1u << 7)
#define FLAG_TF        (1u << 8)
#define FLAG_IF        (1u << 9)
#define FLAG_DF        (1u << 10)
#define FLAG_OF        (1u << 11)
#define FLAG_IOPL(n)   ((word)(n) << 12)
#define FLAG_NT        (1u << 14)
#define FLAG_RF        (1u << 16)
#define FLAG_VM        (1u << 17)
#define FLAG_AC        (1u << 18)
#define FLAG_VIF       (1u << 19)
#define FLAG_VIP       (1u << 20)
#define FLAG_ID        (1u << 21)
#define FLAGS_STATUS   (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
#define DR6_RESET      0xffff0ff0u
#define DR6_BD         (1u << 13)
#define DR6_BS         (1u << 14)
#define DR6_BT         (1u << 15)
#define DR7_RESET      0x400u
#define DR7_GD         (1u << 13)

#define MSR_APIC_BASE      0x1b
#define MSR_SYSENTER_CS    0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_DEBUGCTL       0x1d9
#define MSR_PAT            0x277
#define MSR_TSC_DEADLINE   0x6e0
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

/* ---- state shared by both worlds (boot.S) ---- */
struct shared {
    uint32_t passed, failed, skipped, known;
    uint32_t listing; /* `list` was given: name the tests, run none */
    uint32_t quirks;  /* QUIRK_* of the machine this runs on */
    uint32_t mem_upper_kib;
    uint32_t selecting; /* the command line names tests */
    char cmdline[512];
};
extern struct shared shared;

/* ---- console.c ---- */
/* %c %s %d %u %x %lu %lx %llx, a width, and a leading 0. Sent to COM1, polled. */
__attribute__((format(printf, 1, 2))) void print(const char *format, ...);
void console_init(void);

/* ---- exit.c ---- */
enum { STATUS_PASS = 0x10, STATUS_FAIL = 0x11 }; /* isa-debug-exit turns them into 33 and 35 */
/* Ends the machine: port 0xf4, else ACPI S5, else HLT for ever. */
__attribute__((noreturn)) void exit_with(unsigned status);
void power_off(void);

/* ---- option words of the command line (test.c) ---- */
bool option_given(const char *name);
/* The number after `name=`, decimal or 0x hex; `otherwise` if absent. */
unsigned long option_number(const char *name, unsigned long otherwise);

/* ---- snippets ---- */
/* A snippet is code kept out of line. It ends with INT 0x30 (EXIT), appended. `at` is the
 * instruction under test: the one after AT, or the first; `end` is the appended INT 0x30. */
struct snip {
    word start, at, end;
};
#define AT "770:\n"
#define SNIP_MODE(mode, n, text)                                                                             \
    ({                                                                                                       \
        extern const struct snip snip_##n;                                                                   \
        __asm__(".pushsection .text.snip,\"ax\",@progbits\n" mode ".balign 16, 0xcc\n770:771:\n" text        \
                "\n772: int $0x30\n" ASM_NATIVE ".section .rodata.snip,\"a\",@progbits\n"                    \
                "snip_" #n ": " ASM_WORD "771b, 770b, 772b\n.popsection");                                   \
        &snip_##n;                                                                                           \
    })
#define SNIP_EXPAND(mode, n, text) SNIP_MODE(mode, n, text)
#define SNIP(text)                 SNIP_EXPAND(ASM_NATIVE, __COUNTER__, text)
#define SNIP16(text)               SNIP_EXPAND(".code16\n", __COUNTER__, text)
#define SNIP32(text)               SNIP_EXPAND(".code32\n", __COUNTER__, text)

/* ---- contexts ---- */
struct context {
    word ax, cx, dx, bx, sp, bp, si, di;
#ifdef __x86_64__
    word r8, r9, r10, r11, r12, r13, r14, r15;
#endif
    word ip, flags;
    word cs, ss, ds, es, fs, gs;
    word vector, error, cr2; /* what ended the run; cr2 is read at every exit */
};
/* Ring 0, native code segment, flat data, interrupts off, a stack of its own, registers zero. */
void context_set(struct context *c, const struct snip *snip);
/* The same in ring 3. */
void context_set_user(struct context *c, const struct snip *snip);
/* Runs until any exception or interrupt arrives, then returns with the state at that moment.
 * Running the same context again resumes it. */
void context_run(struct context *c);
#ifndef __x86_64__
/* The same in real mode: cs, ss, … are real-mode segments, ip, sp and flags are 16 bits wide.
 * The exit may be any vector: the IVT is ours. `error` stays NO_ERROR: real mode has none. */
void real_run(struct context *c);
#endif
/* Top of the stack that context_set gives, and its size. */
extern uint8_t snippet_stack[16 * KiB];
#define SNIPPET_STACK_TOP (ADDR(snippet_stack) + sizeof(snippet_stack) - 64)
/* Top of the kernel stack that a run from an outer ring uses is TSS.esp0; written by each run. */

/* ---- segment.c: GDT, IDT, TSS ---- */
enum {
    SEL_CODE = 0x08, /* the order SYSENTER and SYSCALL ask for */
    SEL_DATA = 0x10,
    SEL_USER_CODE32 = 0x18,
    SEL_USER_DATA = 0x20,
    SEL_USER_CODE64 = 0x28,
    SEL_USER_DATA2 = 0x30,
    SEL_CODE32 = 0x38,
    SEL_CODE16 = 0x40,
    SEL_DATA16 = 0x48,
    SEL_TSS = 0x50, /* 16 bytes in world 64 */
    SEL_DF_TSS = 0x60,
    SEL_LDT = 0x70,  /* 16 bytes in world 64 */
    SEL_FREE = 0x80, /* from here on a test's own: 48 slots */
    SEL_LIMIT = 0x200,
};
#ifdef __x86_64__
#define SEL_USER_CODE SEL_USER_CODE64
#else
#define SEL_USER_CODE SEL_USER_CODE32
#endif
/* Access byte: P | DPL | S | type. */
#define SEG_P          0x80u
#define SEG_DPL(n)     ((unsigned)(n) << 5)
#define SEG_S          0x10u
#define SEG_CODE       (SEG_P | SEG_S | 0x8u)
#define SEG_DATA       (SEG_P | SEG_S)
#define SEG_ACCESSED   1u
#define SEG_W          2u /* data: writable; code: readable */
#define SEG_R          2u
#define SEG_DOWN       4u /* data: expand down */
#define SEG_CONFORMING 4u /* code */
#define SYS_TSS16      1u
#define SYS_LDT        2u
#define SYS_TSS16_BUSY 3u
#define SYS_CALL16     4u
#define SYS_TASK       5u
#define SYS_INT16      6u
#define SYS_TRAP16     7u
#define SYS_TSS        9u /* 32-bit; 64-bit in long mode */
#define SYS_TSS_BUSY   11u
#define SYS_CALL       12u
#define SYS_INT        14u
#define SYS_TRAP       15u
/* Flags nibble. */
#define SEG_G 8u
#define SEG_B 4u /* D/B: 32 bits */
#define SEG_L 2u

struct tss {
#ifdef __x86_64__
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, iomap;
#else
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, iomap;
#endif
    uint8_t redirect[32]; /* the software interrupt redirection map of VME */
    uint8_t ports[8193];  /* the I/O permission map; outside the limit until a test widens it */
} __attribute__((packed));
_Static_assert(offsetof(struct tss, redirect) == 104, "TSS layout");
extern struct tss tss;
extern uint64_t gdt[SEL_LIMIT / 8];
extern uint64_t ldt[64];

struct table {
    uint16_t limit;
    word base;
} __attribute__((packed));

void tables_init(void);
/* (Re)loads GDTR, IDTR, the segment registers and TR as tables_init left them. */
void tables_load(void);
/* Writes a descriptor; `limit` is the raw 20-bit field. Selector of the GDT, or of the LDT if its
 * TI bit is set. */
void descriptor_set(unsigned selector, uint32_t base, uint32_t limit, unsigned access, unsigned flags);
void descriptor_raw(unsigned selector, uint64_t value);
uint64_t *descriptor_at(unsigned selector);
/* Writes a call, task, interrupt or trap gate into the GDT or LDT (2 slots in world 64). */
void gate_set(unsigned selector, unsigned target_selector, word target, unsigned access, unsigned params);
/* An IDT entry of the test's own, until idt_reset. `ist` only in world 64. */
void idt_set(unsigned vector, unsigned selector, word target, unsigned access, unsigned ist);
void idt_reset(unsigned vector);
void *idt_at(unsigned vector);
void tss_set(unsigned selector, void *base, uint32_t limit, unsigned type);

/* ---- test.c ---- */
struct test {
    const char *name;
    void (*run)(void);
};
/* Defines and registers a test. */
#define TEST(id)                                                                                             \
    static void test_##id(void);                                                                             \
    static const struct test entry_##id                                                                      \
        __attribute__((used, section(WORLD_SECTION), aligned(sizeof(word)))) = {#id, test_##id};             \
    __attribute__((noinline)) static void test_##id(void)
#ifdef __x86_64__
#define WORLD_SECTION "tests64"
#else
#define WORLD_SECTION "tests32"
#endif

enum {
    QUIRK_QEMU = 1,  /* the word `qemu`: QEMU's TCG */
    QUIRK_BOCHS = 2, /* the word `bochs`: Bochs 2.7 */
};
/* A check whose text begins with machines in brackets, as in "[qemu] LOCK MOV", is one that they are
 * known to answer otherwise than the manual: there a failure is reported as KNOWN and not counted. */
bool quirky(unsigned machines);
/* Counts a difference of these machines that cannot even be tried there; false elsewhere. */
bool known(unsigned machines, const char *what);
/* Marks the running test as not applicable. */
void skip(const char *why);
bool check_equal_at(const char *file, int line, const char *what, u64 expected, u64 got);
#define CHECK_EQUAL(what, expected, got) check_equal_at(__FILE__, __LINE__, what, (u64)(expected), (u64)(got))
#define CHECK(what, condition)           CHECK_EQUAL(what, 1, !!(condition))

bool check_exit_at(const char *file, int line, const char *what, const struct context *c, unsigned vector,
                   word error, word ip);
/* The context has exited with this vector, error code and instruction pointer. */
#define CHECK_EXIT(what, c, vector, error, ip) check_exit_at(__FILE__, __LINE__, what, c, vector, error, ip)
bool run_fault_at(const char *file, int line, const char *what, const struct snip *s, struct context *c,
                  unsigned vector, word error);
/* Runs C (already set to S) and expects a fault at S's AT mark. */
#define RUN_FAULT(what, s, c, vector, error) run_fault_at(__FILE__, __LINE__, what, s, c, vector, error)
/* Runs S in ring 0 with registers zero and expects the fault. */
#define FAULT(what, s, vector, error) run_fault_at(__FILE__, __LINE__, what, s, NULL, vector, error)
bool run_through_at(const char *file, int line, const char *what, const struct snip *s, struct context *c);
/* Runs to the end of the snippet: no exception. */
#define RUN_THROUGH(what, s, c) run_through_at(__FILE__, __LINE__, what, s, c)
#define THROUGH(what, s)        run_through_at(__FILE__, __LINE__, what, s, NULL)
/* Runs every test of this world that the command line selects. */
void tests_run(const struct test *first, const struct test *last);
/* A guest that is no collection of tests: whatever must happen before or instead; may exit. */
void guest_begin(void);

/* ---- instructions that C has no name for ---- */
static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
#define DEFINE_REGISTER(name)                                                                                \
    static inline word read_##name(void)                                                                     \
    {                                                                                                        \
        word v;                                                                                              \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(v) : : "memory");                                      \
        return v;                                                                                            \
    }                                                                                                        \
    static inline void write_##name(word v)                                                                  \
    {                                                                                                        \
        __asm__ volatile("mov %0, %%" #name : : "r"(v) : "memory");                                          \
    }
DEFINE_REGISTER(cr0)
DEFINE_REGISTER(cr2)
DEFINE_REGISTER(cr3)
DEFINE_REGISTER(cr4)
DEFINE_REGISTER(dr0)
DEFINE_REGISTER(dr1)
DEFINE_REGISTER(dr2)
DEFINE_REGISTER(dr3)
DEFINE_REGISTER(dr6)
DEFINE_REGISTER(dr7)
#ifdef __x86_64__
DEFINE_REGISTER(cr8)
#endif
static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return (uint64_t)high << 32 | low;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(msr) : "memory");
}
static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}
struct cpuid {
    uint32_t a, b, c, d;
};
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
    return r;
}
/* A CPUID bit; false where the leaf does not exist. */
bool cpu_has(uint32_t leaf, uint32_t subleaf, char reg, unsigned bit);
#define CPU_HAS_APIC         cpu_has(1, 0, 'd', 9)
#define CPU_HAS_SEP          cpu_has(1, 0, 'd', 11)
#define CPU_HAS_PGE          cpu_has(1, 0, 'd', 13)
#define CPU_HAS_PSE36        cpu_has(1, 0, 'd', 17)
#define CPU_HAS_PCID         cpu_has(1, 0, 'c', 17)
#define CPU_HAS_X2APIC       cpu_has(1, 0, 'c', 21)
#define CPU_HAS_TSC_DEADLINE cpu_has(1, 0, 'c', 24)
#define CPU_HAS_XSAVE        cpu_has(1, 0, 'c', 26)
#define CPU_HAS_FSGSBASE     cpu_has(7, 0, 'b', 0)
#define CPU_HAS_SMEP         cpu_has(7, 0, 'b', 7)
#define CPU_HAS_INVPCID      cpu_has(7, 0, 'b', 10)
#define CPU_HAS_SMAP         cpu_has(7, 0, 'b', 20)
#define CPU_HAS_UMIP         cpu_has(7, 0, 'c', 2)
#define CPU_HAS_VME          cpu_has(1, 0, 'd', 1)
#define CPU_HAS_SYSCALL      cpu_has(0x80000001u, 0, 'd', 11)
#define CPU_HAS_NX           cpu_has(0x80000001u, 0, 'd', 20)
#define CPU_HAS_1G           cpu_has(0x80000001u, 0, 'd', 26)
#define CPU_HAS_LM           cpu_has(0x80000001u, 0, 'd', 29)

void *memory_set(void *to, int value, size_t n);
void *memory_copy(void *to, const void *from, size_t n);
int memory_compare(const void *a, const void *b, size_t n);

/* ---- boot.S ---- */
#ifndef __x86_64__
/* Runs the world-64 half of the image and comes back. Wants CPUID's LM. */
void world64_enter(void);
#endif

#endif
