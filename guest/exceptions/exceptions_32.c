/* Exceptions that only legacy protected mode has, or has differently: #OF, #BR, #TS, #SS at a limit,
 * #DF through a task gate. SDM 3A 6.15. */
#include "guest.h"

TEST(of)
{
    struct context c;
    const struct snip *s = SNIP("mov $0x7fffffff, %eax; inc %eax\n" AT "into; nop");
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("INTO with OF is a trap", &c, OF, NO_ERROR, s->at + 1);
    THROUGH("INTO without OF", SNIP("xor %eax, %eax; into"));
    idt_set(OF, SEL_CODE, c.ip, SEG_P | SYS_INT, 0);
    s = SNIP("mov $0x7fffffff, %eax; inc %eax\n" AT "into");
    context_set_user(&c, s);
    RUN_FAULT("INTO in ring 3 through a gate of DPL 0", s, &c, GP, OF * 8 + IDT);
    idt_reset(OF);
}

TEST(br)
{
    static const int32_t bounds[2] = {-5, 5};
    static const int16_t bounds16[2] = {-5, 5};
    struct context c;
    const struct snip *s = SNIP("bound %eax, (%ebx)");
    static const struct {
        int32_t index;
        bool fault;
    } table[] = {{-6, true}, {-5, false}, {0, false}, {5, false}, {6, true}};
    for (unsigned i = 0; i < COUNT(table); i++) {
        context_set(&c, s);
        c.ax = (word)table[i].index;
        c.bx = ADDR(bounds);
        if (table[i].fault)
            RUN_FAULT("BOUND r32 outside", s, &c, BR, NO_ERROR);
        else
            RUN_THROUGH("BOUND r32 inside", s, &c);
    }
    s = SNIP("bound %ax, (%ebx)");
    context_set(&c, s);
    c.ax = 0x7fff0006;
    c.bx = ADDR(bounds16);
    RUN_FAULT("BOUND r16 outside", s, &c, BR, NO_ERROR);
}

TEST(ud_legacy)
{
    FAULT("SYSRET without EFER.SCE", SNIP(".byte 0x0f, 0x07"), UD, NO_ERROR);
    FAULT("SYSCALL without EFER.SCE", SNIP("syscall"), UD, NO_ERROR);
    FAULT("SWAPGS", SNIP(".byte 0x0f, 0x01, 0xf8"), UD, NO_ERROR);
    FAULT("LES of a register", SNIP(".byte 0xc4, 0xc0"), UD, NO_ERROR);
    FAULT("BOUND of a register", SNIP(".byte 0x62, 0xc0"), UD, NO_ERROR);
}

/* Stack faults carry 0 for a limit, the selector for a load. */
TEST(ss)
{
    descriptor_set(SEL_FREE, 0, 0xffff, SEG_DATA | SEG_W, SEG_B);
    struct context c;
    const struct snip *s = SNIP("mov 0xfffe(%ebp), %eax");
    context_set(&c, s);
    c.ss = SEL_FREE;
    c.sp = 0x7000;
    RUN_FAULT("[qemu] read over the limit of SS through EBP", s, &c, SS, 0);
    s = SNIP("mov %ss:0x10000, %al");
    context_set(&c, s);
    c.ss = SEL_FREE;
    c.sp = 0x7000;
    RUN_FAULT("[qemu] SS override over the limit", s, &c, SS, 0);
    s = SNIP("mov %ds:0x10000(%ebp), %al");
    context_set(&c, s);
    c.ds = SEL_FREE;
    c.sp = 0x7000;
    RUN_FAULT("[qemu] DS override of EBP is #GP", s, &c, GP, 0);
}

/* Each #TS of a stack switch. The inter-ring INT takes SS0 from the TSS. SDM 3A 6.12.1, table 6-6. */
static void ts_stack(const char *what, uint32_t ss0, unsigned vector, word error)
{
    struct context c;
    const struct snip *s = SNIP("int3");
    /* The exit itself must be taken on a sound stack: the faulting delivery goes to a task gate's own. */
    context_set_user(&c, s);
    tss.ss1 = ss0;
    tss.esp1 = SNIPPET_STACK_TOP - 4 * KiB;
    /* A ring-1 handler, so that only vector BP_ uses the stack under test. */
    descriptor_set(SEL_FREE, 0, 0xfffff, SEG_CODE | SEG_R | SEG_DPL(1), SEG_G | SEG_B);
    idt_set(BP_, SEL_FREE | 1, ADDR(SNIP("nop")->start), SEG_P | SEG_DPL(3) | SYS_INT, 0);
    RUN_FAULT(what, s, &c, vector, error);
    idt_reset(BP_);
}

TEST(ts_stack_switch)
{
    descriptor_set(SEL_FREE + 0x08, 0, 0xfffff, SEG_DATA | SEG_W | SEG_DPL(1), SEG_G | SEG_B);
    descriptor_set(SEL_FREE + 0x10, 0, 0xfffff, SEG_DATA | SEG_DPL(1), SEG_G | SEG_B);
    descriptor_set(SEL_FREE + 0x18, 0, 0xfffff, (SEG_DATA | SEG_W | SEG_DPL(1)) & ~SEG_P, SEG_G | SEG_B);
    descriptor_set(SEL_FREE + 0x20, 0, 0x3ff, SEG_DATA | SEG_W | SEG_DPL(1), SEG_B);
    ts_stack("SS null", 0, TS, 0);
    ts_stack("SS beyond the GDT", SEL_LIMIT | 1, TS, SEL_LIMIT);
    ts_stack("SS with RPL 0 for ring 1", SEL_FREE + 8, TS, SEL_FREE + 8);
    ts_stack("SS with DPL 0 for ring 1", SEL_DATA | 1, TS, SEL_DATA);
    ts_stack("SS read-only", (SEL_FREE + 0x10) | 1, TS, SEL_FREE + 0x10);
    ts_stack("SS is code", SEL_CODE | 1, TS, SEL_CODE);
    ts_stack("[qemu] SS not present is #SS", (SEL_FREE + 0x18) | 1, SS, SEL_FREE + 0x18);
    ts_stack("[qemu] stack below the limit: #SS of the new selector", (SEL_FREE + 0x20) | 1, SS,
             SEL_FREE + 0x20);
    struct context c;
    const struct snip *s = SNIP("int3");
    context_set_user(&c, s);
    tss.ss1 = (SEL_FREE + 8) | 1;
    tss.esp1 = SNIPPET_STACK_TOP - 4 * KiB;
    idt_set(BP_, SEL_FREE | 1, ADDR(SNIP("mov %cs, %eax")->start), SEG_P | SEG_DPL(3) | SYS_INT, 0);
    context_run(&c);
    CHECK_EQUAL("a sound SS1 is taken", EXIT, c.vector);
    CHECK_EQUAL("CS of ring 1", SEL_FREE | 1, c.ax);
    CHECK_EQUAL("five words pushed", SNIPPET_STACK_TOP - 4 * KiB - 20, c.sp);
    /* A TSS too short for SS1:ESP1: #TS of the TSS's selector. */
    tss_set(SEL_FREE + 0x28, &tss, 15, SYS_TSS);
    s = SNIP("ltr %ax");
    context_set(&c, s);
    c.ax = SEL_FREE + 0x28;
    RUN_THROUGH("LTR checks no limit", s, &c);
    s = SNIP("int3");
    context_set_user(&c, s);
    RUN_FAULT("TSS too short for the stack", s, &c, TS, SEL_FREE + 0x28);
    idt_reset(BP_);
    tables_load();
}

static struct tss task, fault_task;

static void task_set(struct tss *t, word eip)
{
    memory_set(t, 0, sizeof(*t));
    t->eip = eip;
    t->eflags = FLAG_1;
    t->esp = t->esp0 = SNIPPET_STACK_TOP - 8 * KiB;
    t->ss0 = t->ss = t->ds = t->es = t->fs = t->gs = SEL_DATA;
    t->cs = SEL_CODE;
    t->iomap = sizeof(*t);
}

/* Loading a selector of the new task fails: the exception arrives in the new task, with the selector.
 * The commit point is past, so CS:EIP saved are the new task's. SDM 3A 6.15, vector 10. */
static void ts_load(const char *what, size_t field, uint32_t selector, unsigned vector, word error)
{
    struct context c;
    const struct snip *target = SNIP("nop");
    task_set(&task, target->start);
    memory_copy((uint8_t *)&task + field, &selector, 4);
    tss_set(SEL_FREE + 0x30, &task, 103, SYS_TSS);
    const struct snip *s = SNIP("ljmp $0xb0, $0"); /* SEL_FREE + 0x30 */
    context_set(&c, s);
    context_run(&c);
    CHECK_EQUAL(what, vector, c.vector);
    CHECK_EQUAL(what, error, c.error);
    tables_load();
}

TEST(ts_task)
{
    descriptor_set(SEL_FREE + 0x08, 0, 0xfffff, SEG_DATA | SEG_W | SEG_DPL(1), SEG_G | SEG_B);
    descriptor_set(SEL_FREE + 0x10, 0, 0xfffff, SEG_CODE | SEG_DPL(0), SEG_G | SEG_B);
    descriptor_set(SEL_FREE + 0x18, 0, 0xfffff, (SEG_DATA | SEG_W) & ~SEG_P, SEG_G | SEG_B);
    ts_load("DS beyond the GDT", offsetof(struct tss, ds), SEL_LIMIT, TS, SEL_LIMIT);
    ts_load("DS execute-only", offsetof(struct tss, ds), SEL_FREE + 0x10, TS, SEL_FREE + 0x10);
    ts_load("DS not present", offsetof(struct tss, ds), SEL_FREE + 0x18, NP, SEL_FREE + 0x18);
    ts_load("ES a TSS", offsetof(struct tss, es), SEL_TSS, TS, SEL_TSS);
    /* Not tried: a bad LDT, CS or SS of the new task (table 7-1 checks them in this order) leaves no stack
     * for the handler's frame; a task gate takes it, below. */
    struct context c;
    const struct snip *s = SNIP("ljmp $0xb0, $0");
    tss_set(SEL_FREE + 0x30, &task, 102, SYS_TSS);
    context_set(&c, s);
    RUN_FAULT("TSS limit below 103", s, &c, TS, SEL_FREE + 0x30);
    tss_set(SEL_FREE + 0x30, &task, 103, SYS_TSS_BUSY);
    context_set(&c, s);
    RUN_FAULT("busy TSS", s, &c, GP, SEL_FREE + 0x30);
    descriptor_set(SEL_FREE + 0x30, (uint32_t)ADDR(&task), 103, SYS_TSS, 0);
    context_set(&c, s);
    RUN_FAULT("TSS not present", s, &c, NP, SEL_FREE + 0x30);
    CHECK_EQUAL("TR is still ours", SEL_TSS, ({
                    uint16_t tr;
                    __asm__ volatile("str %0" : "=m"(tr));
                    tr;
                }));
}

/* A handler in a task of its own: on a stack that nothing can have spoilt. */
static void task_gate_at(unsigned vector)
{
    const struct snip *handler = SNIP("pop %ebx\n movl %ebx, %esi; mov %cr2, %edi");
    task_set(&fault_task, handler->start);
    fault_task.edx = vector;
    tss_set(SEL_DF_TSS, &fault_task, 103, SYS_TSS);
    idt_set(vector, SEL_DF_TSS, 0, SEG_P | SYS_TASK, 0);
}

TEST(df_task)
{
    struct context c;
    descriptor_set(SEL_FREE, 0, 0xfff, SEG_DATA | SEG_W, SEG_B);
    task_gate_at(DF);
    const struct snip *s = SNIP("ud2");
    idt_set(UD, SEL_CODE, 0, SYS_INT, 0);
    idt_set(NP, SEL_CODE, 0, SYS_INT, 0);
    context_set(&c, s);
    c.ax = 0x1234;
    context_run(&c);
    idt_reset(UD);
    idt_reset(NP);
    CHECK_EQUAL("the handler's task ran", EXIT, c.vector);
    CHECK_EQUAL("the error code 0 is on its stack", 0, c.bx);
    CHECK_EQUAL("NT in the handler", FLAG_NT, c.flags & FLAG_NT);
    CHECK_EQUAL("its link is the interrupted task", SEL_TSS, fault_task.link & 0xffff);
    CHECK_EQUAL("EIP saved in the old TSS", s->at, tss.eip);
    CHECK_EQUAL("EAX saved in the old TSS", 0x1234, tss.eax);
    CHECK_EQUAL("the old task stays busy", SYS_TSS_BUSY, *descriptor_at(SEL_TSS) >> 40 & 0x1f);
    CHECK_EQUAL("the handler's task is busy", SYS_TSS_BUSY, *descriptor_at(SEL_DF_TSS) >> 40 & 0x1f);
    uint16_t tr;
    __asm__ volatile("str %0" : "=m"(tr));
    CHECK_EQUAL("TR is the handler's", SEL_DF_TSS, tr);
    __asm__ volatile("clts");
    tables_load();

    /* No room on the stack: #SS while delivering #SS is #DF. */
    task_gate_at(DF);
    s = SNIP("mov $0x80, %eax; mov %ax, %ss; mov $2, %esp\n" AT "ud2");
    context_set(&c, s);
    if (!known(QUIRK_QEMU, "exception with no room on the stack")) {
        context_run(&c);
        CHECK_EQUAL("the task gate took #DF", EXIT, c.vector);
        CHECK_EQUAL("error code 0", 0, c.bx);
        CHECK_EQUAL("EIP saved in the old TSS", s->at, tss.eip);
        CHECK_EQUAL("SS saved in the old TSS", SEL_FREE, tss.ss & 0xffff);
        __asm__ volatile("clts");
        tables_load();
    }
    /* #SS itself through a task gate: the stack fault alone, with its error code. */
    task_gate_at(SS);
    s = SNIP("mov $0x80, %eax; mov %ax, %ss; mov $2, %esp\n" AT "push %eax");
    context_set(&c, s);
    if (!known(QUIRK_QEMU, "PUSH beyond the limit")) {
        context_run(&c);
        CHECK_EQUAL("the task gate took #SS", EXIT, c.vector);
        CHECK_EQUAL("#SS(0) of the PUSH", 0, c.bx);
        CHECK_EQUAL("EIP is at the PUSH", s->at, tss.eip);
        CHECK_EQUAL("ESP is as before the PUSH", 2, tss.esp);
        __asm__ volatile("clts");
        tables_load();
    }
    idt_reset(SS);
    idt_reset(DF);
}
