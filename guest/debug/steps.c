/* Single step over every kind of instruction: one trap, at the instruction that follows or at the target,
 * with BS alone in DR6, TF set and RF clear in the saved flags. SDM 3B 18.3.1.4; for SYSCALL, SYSRET and
 * SYSENTER: TF as it is when they end (Linux' entry code and Xen's XSA-204 tell what silicon does). User-mode
 * rows were seen on silicon. */
#include "guest.h"

static uint8_t cells[4096] ALIGNED(64);

struct kind {
    const char *what;
    const struct snip *s; /* the trap is expected at its AT mark */
    unsigned clears_tf;   /* TF is clear in the saved flags */
};

/* BX, SI, DI: cells; CX = 2, DX = 0x80, AX = 0, BP = a stack of its own. */
static void kind_set(struct context *c, const struct snip *s)
{
    context_set(c, s);
    c->bx = c->si = c->di = ADDR(cells);
    c->bp = SNIPPET_STACK_TOP - 256;
    c->cx = 2;
    c->dx = 0x80;
    c->flags |= FLAG_TF;
}

static void kind_check(const char *what, const struct context *c, word at, bool tf)
{
    CHECK_EXIT(what, c, DB, NO_ERROR, at);
    if (!CHECK_EQUAL("DR6", DR6_RESET | DR6_BS, read_dr6()) || c->vector != DB)
        print("#   %s\n", what);
    if (!CHECK_EQUAL("TF and RF in the saved flags", tf ? FLAG_TF : 0, c->flags & (FLAG_TF | FLAG_RF)))
        print("#   %s\n", what);
    write_dr6(DR6_RESET);
}

TEST(step_kinds)
{
    static const word flags_tf = FLAG_1 | FLAG_TF;
    word cr0 = read_cr0();
    const struct kind table[] = {
        {"ADD memory", SNIP("add %eax, (" BX ")\n" AT "nop"), 0},
        {"LOCK ADD", SNIP("lock add %eax, (" BX ")\n" AT "nop"), 0},
        {"XCHG", SNIP("xchg %eax, (" BX ")\n" AT "nop"), 0},
        {"CMPXCHG8B", SNIP("cmpxchg8b (" BX ")\n" AT "nop"), 0},
        {"PUSH", SNIP("push " AX "\n" AT "nop"), 0},
        {"POP", SNIP("pop " AX "\n" AT "nop"), 0},
        {"PUSHF", SNIP("pushf\n" AT "nop"), 0},
        {"ENTER", SNIP("enter $8, $1\n" AT "nop"), 0},
        {"LEAVE", SNIP("leave\n" AT "nop"), 0},
        {"JMP", SNIP("jmp 1f; nop\n1:" AT "nop"), 0},
        {"JMP indirect", SNIP("jmp *1f(,%eax,1)\n1:" ASM_WORD "2f\n2:" AT "nop"), 0},
        {"Jcc taken", SNIP("jnc 1f; nop\n1:" AT "nop"), 0},
        {"Jcc not taken", SNIP("jc 1f\n" AT "nop\n1:nop"), 0},
        {"LOOP", SNIP("loop 1f; nop\n1:" AT "nop"), 0},
        {"JCXZ", SNIP("jecxz 1f\n" AT "nop\n1:nop"), 0},
        {"CALL", SNIP("call 1f; nop\n1:" AT "nop"), 0},
        {"far JMP", SNIP("ljmp *(" BX "); nop\n" AT "nop"), 0},
        {"far CALL", SNIP("lcall *(" BX "); nop\n" AT "nop"), 0},
        {"CPUID", SNIP("cpuid\n" AT "nop"), 0},
        {"RDTSC", SNIP("rdtsc\n" AT "nop"), 0},
        {"RDMSR", SNIP("mov $0xfe, %ecx\n" AT "nop; rdmsr"), 0},
        {"XLAT", SNIP("xlat\n" AT "nop"), 0},
        {"MOVSB", SNIP("movsb\n" AT "nop"), 0},
        {"STOSB", SNIP("stosb\n" AT "nop"), 0},
        {"REP LODSB, last iteration", SNIP("rep lodsb\n" AT "nop"), 0},
        {"REP MOVSB, last iteration", SNIP("rep movsb\n" AT "nop"), 0},
        {"[qemu] REPNE SCASB that finds at once", SNIP("repne scasb\n" AT "nop"), 0},
        {"IN", SNIP("in %dx, %al\n" AT "nop"), 0},
        {"OUT", SNIP("out %al, %dx\n" AT "nop"), 0},
        {"INSB", SNIP("insb\n" AT "nop"), 0},
        {"OUTSB", SNIP("outsb\n" AT "nop"), 0},
        {"CLI", SNIP("cli\n" AT "nop"), 0},
        {"[qemu] STI: its shadow holds off no trap", SNIP("sti\n" AT "nop; cli"), 0},
        {"CLD", SNIP("cld\n" AT "nop"), 0},
        {"[qemu bochs] HLT: the trap ends it", SNIP("hlt\n" AT "nop"), 0},
        {"CLTS", SNIP("clts\n" AT "nop"), 0},
        {"SMSW", SNIP("smsw %eax\n" AT "nop"), 0},
        {"MOV from CR0", SNIP("mov %cr0, " DX "\n" AT "nop"), 0},
        {"MOV from DR7", SNIP("mov %db7, " DX "\n" AT "nop"), 0},
        {"MOV to DR0", SNIP("mov " AX ", %db0\n" AT "nop"), 0},
        {"INVLPG", SNIP("invlpg (" BX ")\n" AT "nop"), 0},
        {"WBINVD", SNIP("wbinvd\n" AT "nop"), 0},
        {"SGDT", SNIP("sgdt 64(" BX ")\n" AT "nop"), 0},
        {"LLDT", SNIP("lldt %ax\n" AT "nop"), 0},
        {"LAR", SNIP("lar %eax, %ecx\n" AT "nop"), 0},
        {"MOV DS", SNIP("mov 32(" BX "), %ds\n" AT "nop"), 0},
        {"LSS has no shadow", SNIP("mov %ss, %eax\n" AT "nop"), 0},
        {"FNINIT", SNIP("fninit\n" AT "nop"), 0},
        {"FLD", SNIP("fldl (" BX ")\n" AT "nop"), 0},
        {"WAIT", SNIP("fwait\n" AT "nop"), 0},
        {"a long NOP", SNIP(".byte 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0\n" AT "nop"), 0},
        {"a prefix by itself is no instruction", SNIP(".byte 0x2e, 0x3e, 0x26; nop\n" AT "nop"), 0},
        {"PREFETCH", SNIP("prefetcht0 (" BX ")\n" AT "nop"), 0},
        {"POPF that clears TF", SNIP("popf\n" AT "nop"), 1},
    };
    struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far;
    write_cr0(cr0 & ~(word)(CR0_TS | CR0_EM | CR0_MP));
    __asm__ volatile("fninit");
    for (unsigned i = 0; i < COUNT(table); i++) {
        struct context c;
        far.offset = (uint32_t)table[i].s->at;
        far.selector = SEL_CODE;
        memory_set(cells, 0, sizeof(cells));
        if (*(const uint8_t *)table[i].s->start == 0xff)
            memory_copy(cells, &far, sizeof(far));
        *(uint16_t *)(void *)(cells + 32) = SEL_DATA;
        if (*(const uint8_t *)table[i].s->start == 0xf4 && known(QUIRK_QEMU | QUIRK_BOCHS, table[i].what))
            continue; /* it would sleep for ever */
        write_dr6(DR6_RESET);
        kind_set(&c, table[i].s);
        *(word *)(c.sp) = table[i].clears_tf ? (word)FLAG_1 : flags_tf;
        context_run(&c);
        /* REP: to the last iteration. */
        while (c.vector == DB && c.ip == table[i].s->start) {
            write_dr6(DR6_RESET);
            context_run(&c);
        }
        kind_check(table[i].what, &c, table[i].s->at, !table[i].clears_tf);
    }
    write_dr0(0);
    tables_load();
    write_cr0(cr0);
}

/* IRET: TF counts as it was before; what it loads acts behind the next instruction. */
TEST(step_iret)
{
    const struct snip *s = SNIP(IRET), *t = SNIP("nop; nop");
    for (unsigned n = 0; n < 8; n++) {
        bool before = n & 1, after = n & 2, user = n & 4;
        struct context c;
        word frame[5] = {t->start, user ? SEL_USER_CODE | 3 : SEL_CODE, FLAG_1 | (after ? FLAG_TF : 0),
                         SNIPPET_STACK_TOP - 512, user ? SEL_USER_DATA | 3 : SEL_DATA};
        word *stack = (word *)(SNIPPET_STACK_TOP - 1024);
        memory_copy(stack, frame, sizeof(frame));
        write_dr6(DR6_RESET);
        context_set(&c, s);
        c.sp = ADDR(stack);
        c.flags |= before ? FLAG_TF : 0;
        context_run(&c);
        if (before) {
            CHECK_EXIT("IRET under TF: a trap at its target", &c, DB, NO_ERROR, t->start);
            CHECK_EQUAL("TF as IRET loaded it", after ? FLAG_TF : 0, c.flags & FLAG_TF);
            CHECK_EQUAL("in the new ring", user ? 3 : 0, c.cs & 3);
            write_dr6(DR6_RESET);
            context_run(&c);
        }
        if (after)
            CHECK_EXIT("TF that IRET loaded: behind the next instruction", &c, DB, NO_ERROR, t->start + 1);
        else
            CHECK_EXIT("no more traps", &c, EXIT, NO_ERROR, t->end + 2);
        write_dr6(DR6_RESET);
    }
}

/* Far RET to ring 3 and a call gate to ring 0 keep TF. */
TEST(step_gates)
{
    enum { GATE = SEL_FREE + 0x40 };
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far = {0, GATE | 3};
    struct context c;
    const struct snip *call = SNIP("lcall *(" BX ")\n" AT "nop"), *t = SNIP("lret" W);
    gate_set(GATE, SEL_CODE, t->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    write_dr6(DR6_RESET);
    context_set_user(&c, call);
    c.bx = ADDR(&far);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("a call gate: a trap at its target", &c, DB, NO_ERROR, t->start);
    CHECK_EQUAL("in ring 0", SEL_CODE, c.cs);
    word frame[] = {call->at, SEL_USER_CODE | 3, SNIPPET_STACK_TOP - 512, SEL_USER_DATA | 3};
    word *stack = (word *)(SNIPPET_STACK_TOP - 1024);
    memory_copy(stack, frame, sizeof(frame));
    write_dr6(DR6_RESET);
    context_set(&c, t);
    c.sp = ADDR(stack);
    c.flags |= FLAG_TF;
    context_run(&c);
    kind_check("far RET to ring 3: a trap at its target", &c, call->at, true);
    CHECK_EQUAL("in ring 3", SEL_USER_CODE | 3, c.cs);
    descriptor_raw(GATE, 0);
    descriptor_raw(GATE + 8, 0);
    write_dr6(DR6_RESET);
}

TEST(step_sysenter)
{
    if (!CPU_HAS_SEP || (WORLD == 64 && cpuid(0, 0).c == 0x444d4163)) {
        skip("no SEP, or AMD: #UD in long mode");
        return;
    }
    struct context c;
    const struct snip *s = SNIP("sysenter"), *t = SNIP("nop; nop"), *exit = SNIP(".byte 0x0f, 0x35"),
                      *user = SNIP32("nop; nop");
    wrmsr(MSR_SYSENTER_CS, SEL_CODE);
    wrmsr(MSR_SYSENTER_ESP, SNIPPET_STACK_TOP - 512);
    wrmsr(MSR_SYSENTER_EIP, t->start);
    write_dr6(DR6_RESET);
    context_set_user(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    kind_check("SYSENTER does not clear TF: a trap at the entry", &c, t->start, true);
    CHECK_EQUAL("in ring 0", SEL_CODE, c.cs);
    context_set(&c, exit);
    c.cx = SNIPPET_STACK_TOP - 1024;
    c.dx = user->start;
    c.flags |= FLAG_TF;
    context_run(&c);
    kind_check("SYSEXIT: a trap at its target", &c, user->start, true);
    CHECK_EQUAL("in ring 3", 3, c.cs & 3);
    wrmsr(MSR_SYSENTER_CS, 0);
}

/* A fault takes the trap's place; a trap of INT n and its like clears TF on the way in. */
TEST(step_no_trap)
{
    struct context c;
    const struct snip *handler = SNIP("pushf; pop " AX);
    const struct {
        const char *what;
        const struct snip *s;
        unsigned vector;
    } table[] = {{"INT n", SNIP("int $0x40"), 0x40},
                 {"INT3", SNIP("int3"), BP_},
                 {"INT 3 in two bytes", SNIP(".byte 0xcd, 3"), BP_}};
    for (unsigned i = 0; i < COUNT(table); i++) {
        idt_set(table[i].vector, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_TRAP, 0);
        for (unsigned user = 0; user <= 1; user++) {
            write_dr6(DR6_RESET);
            (user ? context_set_user : context_set)(&c, table[i].s);
            c.flags |= FLAG_TF;
            context_run(&c);
            CHECK_EXIT(table[i].what, &c, EXIT, NO_ERROR, handler->end + 2);
            CHECK_EQUAL("TF is clear in the handler", 0, c.ax & FLAG_TF);
            CHECK_EQUAL("DR6 is untouched", DR6_RESET, read_dr6());
        }
        idt_reset(table[i].vector);
    }
}

#ifndef __x86_64__
TEST(step_into)
{
    struct context c;
    const struct snip *s = SNIP("into; nop"), *bound = SNIP("bound %eax, (%ebx)\n" AT "nop");
    write_dr6(DR6_RESET);
    context_set(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    kind_check("INTO without OF is stepped like any other", &c, s->start + 1, true);
    context_set(&c, s);
    c.flags |= FLAG_TF | FLAG_OF;
    context_run(&c);
    CHECK_EXIT("INTO with OF: its own exception alone", &c, OF, NO_ERROR, s->start + 1);
    CHECK_EQUAL("DR6 is untouched", DR6_RESET, read_dr6());
    kind_set(&c, bound);
    memory_set(cells, 0, 8);
    context_run(&c);
    kind_check("BOUND inside", &c, bound->at, true);
}

/* An IRET to another task and back, JMP to a task whose TF is clear. */
TEST(step_task)
{
    static struct tss task;
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far = {0, SEL_FREE};
    struct context c;
    const struct snip *t = SNIP("nop; iretl"), *call = SNIP("lcall *(%ebx)\n" AT "nop");
    for (unsigned inner = 0; inner <= 1; inner++) {
        memory_set(&task, 0, sizeof(task));
        task.eip = t->start;
        task.eflags = FLAG_1 | (inner ? FLAG_TF : 0);
        task.esp = SNIPPET_STACK_TOP - 4096;
        task.ss = task.ds = task.es = SEL_DATA;
        task.cs = SEL_CODE;
        tss_set(SEL_FREE, &task, 103, SYS_TSS);
        write_dr6(DR6_RESET);
        context_set(&c, call);
        c.bx = ADDR(&far);
        c.flags |= FLAG_TF;
        context_run(&c);
        /* The CALL itself was begun under TF: whether it traps is not said. */
        if (c.vector == DB && c.ip == t->start) {
            write_dr6(DR6_RESET);
            context_run(&c);
        }
        if (inner) {
            CHECK_EXIT("the new task's TF: behind its first instruction", &c, DB, NO_ERROR, t->start + 1);
            write_dr6(DR6_RESET);
            context_run(&c);
        }
        /* The task's own TF, 0 or 1, does not decide: the caller's comes back by IRET and acts on what
         * follows. */
        CHECK_EQUAL("#DB back in the caller", DB, c.vector);
        CHECK_EQUAL("TF of the caller", FLAG_TF, c.flags & FLAG_TF);
        write_dr6(DR6_RESET);
        __asm__ volatile("clts");
        tss.link = 0;
        tables_load();
    }
}
#else
TEST(step_syscall_kinds)
{
    struct context c;
    const struct snip *s = SNIP("sysretq"), *t = SNIP("nop; nop"), *swap = SNIP("swapgs\n" AT "swapgs");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)SEL_USER_CODE32 << 48 | (uint64_t)SEL_CODE << 32);
    for (unsigned n = 0; n < 4; n++) {
        bool before = n & 1, after = n & 2;
        write_dr6(DR6_RESET);
        context_set(&c, s);
        c.cx = t->start;
        c.r11 = FLAG_1 | (after ? FLAG_TF : 0);
        c.flags |= before ? FLAG_TF : 0;
        context_run(&c);
        if (after)
            kind_check("[bochs] SYSRET that sets TF: a trap at once", &c, t->start, true);
        else if (before)
            CHECK_EQUAL("SYSRET that clears TF: left open", true, c.vector == DB || c.vector == EXIT);
        else
            CHECK_EXIT("no trap", &c, EXIT, NO_ERROR, t->end + 2);
    }
    write_dr6(DR6_RESET);
    context_set(&c, swap);
    c.flags |= FLAG_TF;
    context_run(&c);
    kind_check("SWAPGS", &c, swap->at, true);
    __asm__ volatile("swapgs");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SCE);
}
#endif
