/* Exceptions that only long mode has, or has differently: non-canonical addresses, invalid opcodes of
 * 64-bit mode, IST. SDM 3A 3.3.7.1, 6.14. */
#include "guest.h"

#define NONCANONICAL 0x0000800000000000ul

TEST(non_canonical)
{
    struct context c;
    struct {
        const char *what;
        const struct snip *s;
        unsigned vector;
    } table[] = {
        {"read", SNIP("mov (%rbx), %eax"), GP},
        {"write", SNIP("mov %eax, (%rbx)"), GP},
        {"[qemu] read through RBP is #SS", SNIP("mov (%rbp), %eax"), SS},
        {"[qemu] JMP: the fault is the jump's", SNIP("jmp *%rbx"), GP},
        {"[qemu] CALL", SNIP("call *%rbx"), GP},
        {"[qemu] RET", SNIP("push %rbx\n" AT "ret"), GP},
        {"[qemu] far RET", SNIP("push $8; push %rbx\n" AT "lretq"), GP},
        {"LGDT of a non-canonical base", SNIP("lgdt (%rdx)"), GP},
        {"LIDT of a non-canonical base", SNIP("lidt (%rdx)"), GP},
        {"[qemu] access that ends beyond the border", SNIP("mov -4(%rbx), %rax"), GP},
        {"INVLPG is no access", SNIP("invlpg (%rbx)"), EXIT},
        {"LEA is no access", SNIP("lea (%rbx), %rax"), EXIT},
        {"PREFETCHT0 is a hint", SNIP("prefetcht0 (%rbx)"), EXIT},
    };
    static uint16_t descriptor[5] = {0x7ff, 0, 0, 0x8000, 0};
    for (unsigned i = 0; i < COUNT(table); i++) {
        if (table[i].what[0] == 'L' && table[i].vector == GP && known(QUIRK_QEMU, table[i].what))
            continue;
        context_set(&c, table[i].s);
        c.bx = c.bp = NONCANONICAL;
        c.dx = ADDR(descriptor);
        if (table[i].vector == EXIT)
            RUN_THROUGH(table[i].what, table[i].s, &c);
        else
            RUN_FAULT(table[i].what, table[i].s, &c, table[i].vector, 0);
    }
}

TEST(non_canonical_stack)
{
    struct context c;
    if (known(QUIRK_QEMU, "non-canonical stack"))
        return;
    tss.ist[0] = ADDR(snippet_stack) + 8 * KiB;
    idt_set(SS, SEL_CODE, ADDR(SNIP("int $0x31")->start), SEG_P | SYS_INT, 1);
    const struct snip *push = SNIP("mov %rbx, %rsp\n" AT "push %rax"),
                      *pop = SNIP("mov %rbx, %rsp\n" AT "pop %rax"),
                      *call = SNIP("mov %rbx, %rsp\n" AT "call 1f\n1:"),
                      *read = SNIP("mov %rbx, %rsp\n" AT "mov (%rsp), %eax");
    const struct snip *const snips[] = {push, pop, call, read};
    static const char *const names[] = {"PUSH", "POP", "CALL", "read through RSP"};
    for (unsigned i = 0; i < COUNT(snips); i++) {
        context_set(&c, snips[i]);
        c.bx = NONCANONICAL + 64;
        context_run(&c);
        const word *frame = (const word *)(tss.ist[0] - 48);
        CHECK_EQUAL(names[i], 0x31, c.vector);
        CHECK_EQUAL("error code", 0, frame[0]);
        CHECK_EQUAL("RIP at the instruction", snips[i]->at, frame[1]);
        CHECK_EQUAL("RSP unchanged", NONCANONICAL + 64, frame[4]);
    }
    idt_reset(SS);
}

TEST(ud_64)
{
    struct {
        const char *what;
        const struct snip *s;
    } table[] = {
        {"PUSH ES", SNIP(".byte 0x06")},
        {"POP ES", SNIP(".byte 0x07")},
        {"PUSH CS", SNIP(".byte 0x0e")},
        {"PUSH SS", SNIP(".byte 0x16")},
        {"POP DS", SNIP(".byte 0x1f")},
        {"DAA", SNIP(".byte 0x27")},
        {"DAS", SNIP(".byte 0x2f")},
        {"AAA", SNIP(".byte 0x37")},
        {"AAS", SNIP(".byte 0x3f")},
        {"PUSHA", SNIP(".byte 0x60")},
        {"POPA", SNIP(".byte 0x61")},
        {"group 1 at 82", SNIP(".byte 0x82, 0xc0, 0")},
        {"far CALL ptr", SNIP(".byte 0x9a")},
        {"LES", SNIP(".byte 0xc4, 0x00, 0x00, 0x00")},
        {"INTO", SNIP(".byte 0xce")},
        {"AAM", SNIP(".byte 0xd4, 0x0a")},
        {"AAD", SNIP(".byte 0xd5, 0x0a")},
        {"SALC", SNIP(".byte 0xd6")},
        {"far JMP ptr", SNIP(".byte 0xea")},
        {"SYSCALL without SCE", SNIP("syscall")},
        {"SYSRET without SCE", SNIP("sysretq")},
        {"RDFSBASE without CR4.FSGSBASE", SNIP("rdfsbase %rax")},
    };
    for (unsigned i = 0; i < COUNT(table); i++)
        FAULT(table[i].what, table[i].s, UD, NO_ERROR);
}

TEST(cmpxchg16b)
{
    if (!cpu_has(1, 0, 'c', 13)) {
        skip("CPUID has no CMPXCHG16B");
        return;
    }
    struct context c;
    static uint64_t cell[3] ALIGNED(16) = {1, 2, 3};
    const struct snip *s = SNIP("lock cmpxchg16b (%rdi)");
    context_set(&c, s);
    c.di = ADDR(cell) + 8;
    RUN_FAULT("misaligned: #GP(0), in every ring", s, &c, GP, 0);
    context_set(&c, s);
    c.di = ADDR(cell);
    c.ax = 1;
    c.dx = 2;
    c.bx = 0x11;
    c.cx = 0x22;
    RUN_THROUGH("equal", s, &c);
    CHECK_EQUAL("ZF", FLAG_ZF, c.flags & FLAG_ZF);
    CHECK_EQUAL("low half written", 0x11, cell[0]);
    CHECK_EQUAL("high half written", 0x22, cell[1]);
    context_set(&c, s);
    c.di = ADDR(cell);
    RUN_THROUGH("not equal", s, &c);
    CHECK_EQUAL("ZF clear", 0, c.flags & FLAG_ZF);
    CHECK_EQUAL("RAX", 0x11, c.ax);
    CHECK_EQUAL("RDX", 0x22, c.dx);
    FAULT("of a register: #UD", SNIP(".byte 0x48, 0x0f, 0xc7, 0xc8"), UD, NO_ERROR);
}

/* IST: the handler's stack is the TSS's, whatever ring was interrupted; else the frame is aligned to 16. */
TEST(ist)
{
    struct context c;
    word top = ADDR(snippet_stack) + 8 * KiB;
    const struct snip *handler = SNIP("nop"), *s = SNIP("int3");
    for (unsigned n = 1; n <= 6; n++) {
        memory_set(tss.ist, 0, 6 * sizeof(tss.ist[0]));
        word *slot = (word *)((uint8_t *)&tss + 36 + 8 * (n - 1));
        *slot = top + 8;
        idt_set(BP_, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_INT, n);
        context_set(&c, s);
        context_run(&c);
        const word *frame = (const word *)(top - 40);
        CHECK_EQUAL("IST's stack, aligned down to 16", top - 40, c.sp);
        CHECK_EQUAL("RSP in the frame", SNIPPET_STACK_TOP, frame[3]);
        CHECK_EQUAL("RIP in the frame", s->at + 1, frame[0]);
        context_set_user(&c, s);
        context_run(&c);
        CHECK_EQUAL("the same from ring 3", top - 40, c.sp);
        CHECK_EQUAL("CS in the frame", SEL_USER_CODE64 | 3, frame[1]);
        CHECK_EQUAL("SS in the frame", SEL_USER_DATA | 3, frame[4]);
        CHECK_EQUAL("SS is null with the new CPL as RPL", 0, c.ss);
    }
    idt_set(BP_, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_INT, 0);
    for (unsigned skew = 0; skew < 16; skew += 4) {
        context_set(&c, s);
        c.sp = top + skew;
        context_run(&c);
        CHECK_EQUAL("same ring: the frame is aligned to 16", top - 40, c.sp);
        CHECK_EQUAL("its RSP is the old one", top + skew, *(const word *)(top - 16));
    }
    tss.ist[2] = NONCANONICAL + PAGE_SIZE;
    idt_set(BP_, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_INT, 3);
    context_set(&c, s);
    context_run(&c);
    /* The error code is left open: 0 by the SDM's pseudocode, the old SS in Bochs. */
    CHECK_EQUAL("[qemu] non-canonical IST: #SS", SS, c.vector);
    CHECK_EQUAL("RIP at the INT3", s->at, c.ip);
    idt_reset(BP_);
    tss.ist[2] = 0;
}

TEST(gp_64)
{
    struct context c;
    if (known(QUIRK_QEMU, "reserved bits of control registers and MSRs"))
        return;
    const struct snip *s = SNIP("mov %rax, %cr3");
    context_set(&c, s);
    c.ax = 1ul << 60 | read_cr3();
    RUN_FAULT("CR3: a reserved bit", s, &c, GP, 0);
    s = SNIP("mov %rax, %cr0");
    context_set(&c, s);
    c.ax = 1ul << 32 | read_cr0();
    RUN_FAULT("CR0: bit 32", s, &c, GP, 0);
    s = SNIP("mov %rax, %cr4");
    context_set(&c, s);
    c.ax = read_cr4() & ~(word)CR4_PAE;
    RUN_FAULT("CR4.PAE cleared in long mode", s, &c, GP, 0);
    s = SNIP("mov %rax, %db7");
    context_set(&c, s);
    c.ax = 1ul << 32 | DR7_RESET;
    RUN_FAULT("DR7: bit 32", s, &c, GP, 0);
    s = SNIP("mov %rax, %db6");
    context_set(&c, s);
    c.ax = 1ul << 32;
    RUN_FAULT("DR6: bit 32", s, &c, GP, 0);
    static const uint32_t msrs[] = {MSR_LSTAR,          MSR_CSTAR,        MSR_FS_BASE,     MSR_GS_BASE,
                                    MSR_KERNEL_GS_BASE, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP};
    s = SNIP("wrmsr");
    for (unsigned i = 0; i < COUNT(msrs); i++) {
        uint64_t old = rdmsr(msrs[i]);
        context_set(&c, s);
        c.cx = msrs[i];
        c.dx = NONCANONICAL >> 32;
        context_run(&c);
        wrmsr(msrs[i], old);
        CHECK_EXIT("WRMSR of a non-canonical address", &c, GP, 0, s->at);
    }
    context_set(&c, s);
    c.cx = MSR_EFER;
    c.ax = EFER_LMA;
    RUN_FAULT("EFER.LME cleared with paging on", s, &c, GP, 0);
    s = SNIP("mov $3, %ecx; mov %ecx, %ss");
    FAULT("null SS with RPL 3 in ring 0", SNIP("mov $3, %ecx\n" AT "mov %ecx, %ss"), GP, 0);
    THROUGH("null SS with RPL 0 in ring 0",
            SNIP("xor %ecx, %ecx; mov %ecx, %ss; push %rax; mov $0x10, %ecx; mov %ecx, %ss"));
    FAULT("[qemu] IRETQ to a non-canonical RIP",
          SNIP("mov %rsp, %rax; push $0x10; push %rax; push $2; push $8\n"
               "mov $0x0000800000000000, %rax; push %rax\n" AT "iretq"),
          GP, 0);
}

/* One of each kind of memory access: non-canonical through RBX is #GP(0), through RBP #SS(0); FS and GS bases
 * count; what crosses the border faults too. SDM 1 3.3.7.1. */
TEST(canonical_kinds)
{
    static const uint64_t ends[] = {0x0000800000000000, 0xffff7ffffffffff0, 0x8000000000000000};
    struct {
        const char *what;
        const struct snip *s; /* at (%rbx) */
        unsigned vector;
    } table[] = {
#define AT_BX(text) {"[qemu] " text, SNIP(AT text), GP}
#define AT_BP(text)                                                                                          \
    {                                                                                                        \
        "[qemu] " text, SNIP(AT text), SS                                                                    \
    }
        AT_BX("mov (%rbx), %al"),
        AT_BX("mov %rax, (%rbx)"),
        AT_BX("movl $1, (%rbx)"),
        AT_BX("add %eax, (%rbx)"),
        AT_BX("lock; incl (%rbx)"),
        AT_BX("xchg %rax, (%rbx)"),
        AT_BX("cmpxchg8b (%rbx)"),
        AT_BX("bts %eax, (%rbx)"),
        AT_BX("setc (%rbx)"),
        AT_BX("movzbl (%rbx), %eax"),
        AT_BX("push (%rbx)"),
        AT_BX("pop (%rbx)"),
        AT_BX("mull (%rbx)"),
        AT_BX("divl (%rbx)"),
        AT_BX("jmp *(%rbx)"),
        AT_BX("call *(%rbx)"),
        AT_BX("ljmp *(%rbx)"),
        AT_BX("lcall *(%rbx)"),
        AT_BX("mov (%rbx), %ds"),
        AT_BX("mov %ds, (%rbx)"),
        AT_BX("lfs (%rbx), %eax"),
        AT_BX("lgdt (%rbx)"),
        AT_BX("sgdt (%rbx)"),
        AT_BX("lidt (%rbx)"),
        AT_BX("lldt (%rbx)"),
        AT_BX("str (%rbx)"),
        AT_BX("lmsw (%rbx)"),
        AT_BX("lar (%rbx), %eax"),
        AT_BX("verr (%rbx)"),
        AT_BX("cmovc (%rbx), %eax"),
        AT_BX("clflush (%rbx)"),
        AT_BX("xlat"),
        AT_BX("cmpxchg %eax, (%rbx)"),
        AT_BX("fldl (%rbx)"),
        AT_BX("fstpt (%rbx)"),
        AT_BX("fnstcw (%rbx)"),
        AT_BX("fnstenv (%rbx)"),
        AT_BX("fnsave (%rbx)"),
        AT_BX("fxsave (%rbx)"),
        AT_BX("fxrstor (%rbx)"),
        AT_BX("movq (%rbx), %mm0"),
        AT_BX("movups (%rbx), %xmm0"),
        AT_BX("movaps %xmm0, (%rbx)"),
        AT_BX("movss (%rbx), %xmm0"),
        AT_BX("ldmxcsr (%rbx)"),
        AT_BX("stmxcsr (%rbx)"),
        AT_BX("movnti %eax, (%rbx)"),
        AT_BP("mov (%rbp), %al"),
        AT_BP("mov %rax, (%rbp)"),
        AT_BP("add %eax, (%rbp)"),
        AT_BP("push (%rbp)"),
        AT_BP("pop (%rbp)"),
        AT_BP("jmp *(%rbp)"),
        AT_BP("lcall *(%rbp)"),
        AT_BP("mov (%rbp), %ds"),
        AT_BP("fldl (%rbp)"),
        AT_BP("fxsave (%rbp)"),
        AT_BP("movups (%rbp), %xmm0"),
        AT_BP("clflush (%rbp)"),
        AT_BP("lgdt (%rbp)"),
        AT_BX("lodsb"),
        AT_BX("stosq"),
        AT_BX("movsb"),
        AT_BX("cmpsb"),
        AT_BX("scasb"),
        AT_BX("rep; lodsb"),
        AT_BX("rep; stosq"),
        AT_BX("leave"),
    };
    write_cr4(read_cr4() | CR4_OSFXSR);
    for (unsigned i = 0; i < COUNT(table); i++) {
        if (known(QUIRK_QEMU, table[i].what))
            continue;
        for (unsigned k = 0; k < COUNT(ends); k++) {
            struct context c;
            bool leave = i == COUNT(table) - 1;
            context_set(&c, table[i].s);
            c.bx = c.bp = c.si = c.di = ends[k];
            c.cx = 2;
            RUN_FAULT(table[i].what, table[i].s, &c, leave ? SS : table[i].vector, 0);
            CHECK_EQUAL("RSP stays", SNIPPET_STACK_TOP, c.sp);
            CHECK_EQUAL("RCX stays", 2, c.cx);
            CHECK_EQUAL("RSI stays", ends[k], c.si);
        }
    }
    write_cr4(read_cr4() & ~(word)CR4_OSFXSR);
    __asm__ volatile("fninit");
}

/* A page right below the border of the lower half: PML4 entry 255. */
static uint64_t edge_pdpt[512] ALIGNED(4096), edge_pd[512] ALIGNED(4096), edge_pt[512] ALIGNED(4096);
static uint8_t edge_page[4096] ALIGNED(4096);
extern uint64_t map_pml4[512];

static void canonical_edge_map(void)
{
    edge_pt[511] = ADDR(edge_page) | 3;
    edge_pd[511] = ADDR(edge_pt) | 3;
    edge_pdpt[511] = ADDR(edge_pd) | 3;
    map_pml4[255] = ADDR(edge_pdpt) | 3;
    write_cr3(read_cr3());
}

static void canonical_edge_unmap(void)
{
    map_pml4[255] = 0;
    write_cr3(read_cr3());
}

/* The same of what moves much or moves by a mask; each instruction has its operand where it says. */
TEST(canonical_wide)
{
    struct {
        const char *what;
        const struct snip *s;
        unsigned vector;
        bool edge; /* also when only its end is beyond */
    } table[] = {
        {"FXSAVE", SNIP("fxsave (%rbx)"), GP, true},
        {"FXRSTOR", SNIP("fxrstor (%rbx)"), GP, true},
        {"XSAVE", SNIP("xsave (%rbx)"), GP, true},
        {"XRSTOR", SNIP("xrstor (%rbx)"), GP, true},
        {"XSAVE through RBP", SNIP("xsave (%rbp)"), SS, true},
        {"XRSTOR through RBP", SNIP("xrstor (%rbp)"), SS, true},
        {"XSAVEOPT", SNIP("xsaveopt (%rbx)"), GP, true},
        {"XSAVEC", SNIP("xsavec (%rbx)"), GP, true},
        {"INVPCID", SNIP("invpcid (%rbx), %rcx"), GP, false},
        {"CMPXCHG16B", SNIP("cmpxchg16b (%rbx)"), GP, false},
        {"LOCK CMPXCHG16B through RBP", SNIP("lock cmpxchg16b (%rbp)"), SS, false},
        {"MOVBE", SNIP("movbe (%rbx), %eax"), GP, false},
        {"MOVBE store", SNIP("movbe %eax, (%rbx)"), GP, false},
        {"CRC32", SNIP("crc32l (%rbx), %eax"), GP, false},
        {"POPCNT", SNIP("popcnt (%rbx), %eax"), GP, false},
        {"BT of a bit string", SNIP("bt %rcx, (%rbx)"), GP, false},
        {"SHLD", SNIP("shld $3, %eax, (%rbx)"), GP, false},
        {"MASKMOVDQU", SNIP("pcmpeqd %xmm1, %xmm1; mov %rbx, %rdi\n" AT "maskmovdqu %xmm1, %xmm0"), GP, false},
        {"VMOVUPS", SNIP("vmovups (%rbx), %ymm0"), GP, false},
        {"VMOVUPS store", SNIP("vmovups %ymm0, (%rbp)"), SS, false},
        {"VMASKMOVPS", SNIP("vpcmpeqd %ymm1, %ymm1, %ymm1\n" AT "vmaskmovps (%rbx), %ymm1, %ymm0"), GP, false},
        {"VMASKMOVPS store", SNIP("vpcmpeqd %ymm1, %ymm1, %ymm1\n" AT "vmaskmovps %ymm0, %ymm1, (%rbx)"), GP, false},
        {"VPGATHERDD", SNIP("vpcmpeqd %ymm1, %ymm1, %ymm1; vpxor %ymm2, %ymm2, %ymm2\n" AT "vpgatherdd %ymm1, (%rbx,%ymm2,4), %ymm0"), GP, false},
        {"VBROADCASTSS", SNIP("vbroadcastss (%rbx), %ymm0"), GP, false},
    };
    if (known(QUIRK_QEMU, "non-canonical operands"))
        return;
    if (!CPU_HAS_XSAVE || !cpu_has(7, 0, 'b', 5)) {
        skip("CPUID has no AVX2");
        return;
    }
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXSAVE);
    __asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
    for (unsigned i = 0; i < COUNT(table); i++) {
        for (unsigned edge = 0; edge <= table[i].edge; edge++) {
            struct context c;
            context_set(&c, table[i].s);
            c.bx = c.bp = NONCANONICAL - (edge ? 64 : 0);
            c.ax = 7;
            c.di = 2;
            if (edge) /* the part below the border is there */
                canonical_edge_map();
            RUN_FAULT(table[i].what, table[i].s, &c, table[i].vector, 0);
            if (edge)
                canonical_edge_unmap();
        }
    }
    __asm__ volatile("xsetbv" : : "a"(1), "d"(0), "c"(0));
    write_cr4(read_cr4() & ~(word)(CR4_OSFXSR | CR4_OSXSAVE));
    __asm__ volatile("fninit");
}
