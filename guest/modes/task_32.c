/* Hardware task switches: JMP, CALL and IRET, task gates, the busy bit, the link, NT, TS, the T flag,
 * CR3 and LDTR, 16-bit TSSs. SDM 3A chapter 7. */
#include "paging.h"

enum { TASK = SEL_FREE, TASK_GATE = SEL_FREE + 8, TASK_LDT = SEL_FREE + 0x10, TASK2 = SEL_FREE + 0x18 };
static struct tss task, task2;
static struct far {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed)) pointer;

static void task_fill(struct tss *t, const struct snip *s)
{
    memory_set(t, 0, sizeof(*t));
    t->eip = s->start;
    t->eflags = FLAG_1;
    t->eax = 0xa1;
    t->ecx = 0xa2;
    t->edx = 0xa3;
    t->ebx = 0xa4;
    t->ebp = 0xa5;
    t->esi = 0xa6;
    t->edi = 0xa7;
    t->esp = SNIPPET_STACK_TOP - 8 * KiB;
    t->ss = t->ds = t->es = t->fs = t->gs = t->ss0 = SEL_DATA;
    t->cs = SEL_CODE;
    t->iomap = sizeof(*t);
}

static void task_set(const struct snip *s)
{
    task_fill(&task, s);
    tss_set(TASK, &task, 103, SYS_TSS | SEG_DPL(0));
    gate_set(TASK_GATE, TASK, 0, SEG_P | SEG_DPL(3) | SYS_TASK, 0);
}

static unsigned type_of(unsigned selector)
{
    return (unsigned)(*descriptor_at(selector) >> 40) & 0x1f;
}

static uint16_t task_register(void)
{
    uint16_t tr;
    __asm__ volatile("str %0" : "=m"(tr));
    return tr;
}

/* Back to the world's own task. */
static void task_restore(void)
{
    __asm__ volatile("clts");
    tss.link = 0;
    tables_load();
}

static void registers_check(const struct context *c)
{
    CHECK_EQUAL("EAX of the new task", 0xa1, c->ax);
    CHECK_EQUAL("ECX", 0xa2, c->cx);
    CHECK_EQUAL("EDX", 0xa3, c->dx);
    CHECK_EQUAL("EBX", 0xa4, c->bx);
    CHECK_EQUAL("EBP", 0xa5, c->bp);
    CHECK_EQUAL("ESI", 0xa6, c->si);
    CHECK_EQUAL("EDI", 0xa7, c->di);
    CHECK_EQUAL("ESP", SNIPPET_STACK_TOP - 8 * KiB, c->sp);
}

static void old_task_check(const struct snip *s)
{
    CHECK_EQUAL("EIP saved", s->end, tss.eip);
    CHECK_EQUAL("EAX saved", 0x1111, tss.eax);
    CHECK_EQUAL("EDI saved", 0x7777, tss.edi);
    CHECK_EQUAL("ESP saved", SNIPPET_STACK_TOP, tss.esp);
    CHECK_EQUAL("CS saved", SEL_CODE, tss.cs & 0xffff);
    CHECK_EQUAL("FS saved", SEL_USER_DATA, tss.fs & 0xffff);
}

static void caller_set(struct context *c, const struct snip *s, unsigned selector)
{
    context_set(c, s);
    pointer.selector = (uint16_t)selector;
    pointer.offset = 0xdead;
    c->ax = 0x1111;
    c->di = 0x7777;
    c->bx = ADDR(&pointer);
    c->fs = SEL_USER_DATA;
    c->flags |= FLAG_CF;
}

TEST(task_jmp)
{
    struct context c;
    const struct snip *s = SNIP("ljmp *(%ebx)"), *t = SNIP("nop");
    for (unsigned gate = 0; gate <= 1; gate++) {
        task_set(t);
        caller_set(&c, s, gate ? TASK_GATE : TASK);
        context_run(&c);
        CHECK_EXIT("the new task ran", &c, EXIT, NO_ERROR, t->end + 2);
        registers_check(&c);
        old_task_check(s);
        CHECK_EQUAL("flags saved", FLAG_1 | FLAG_CF, tss.eflags);
        CHECK_EQUAL("the old task is no more busy", SYS_TSS, type_of(SEL_TSS));
        CHECK_EQUAL("the new one is", SYS_TSS_BUSY, type_of(TASK));
        CHECK_EQUAL("JMP writes no link", 0, task.link);
        CHECK_EQUAL("NT is clear", 0, c.flags & FLAG_NT);
        CHECK_EQUAL("TR", TASK, task_register());
        CHECK_EQUAL("CR0.TS", CR0_TS, read_cr0() & CR0_TS);
        task_restore();
    }
}

TEST(task_call_iret)
{
    struct context c;
    const struct snip *s = SNIP("lcall *(%ebx)"), *t = SNIP("nop");
    for (unsigned gate = 0; gate <= 1; gate++) {
        task_set(t);
        caller_set(&c, s, gate ? TASK_GATE : TASK);
        context_run(&c);
        CHECK_EXIT("the new task ran", &c, EXIT, NO_ERROR, t->end + 2);
        registers_check(&c);
        old_task_check(s);
        CHECK_EQUAL("the old task stays busy", SYS_TSS_BUSY, type_of(SEL_TSS));
        CHECK_EQUAL("the new one is busy", SYS_TSS_BUSY, type_of(TASK));
        CHECK_EQUAL("the link", SEL_TSS, task.link & 0xffff);
        CHECK_EQUAL("NT is set", FLAG_NT, c.flags & FLAG_NT);
        task_restore();
    }
    t = SNIP("mov $0xbb, %eax; iretl; mov $0xcc, %eax; iretl");
    s = SNIP("lcall *(%ebx); lcall *(%ebx)");
    task_set(t);
    caller_set(&c, s, TASK);
    RUN_THROUGH("CALL, IRET, CALL, IRET", s, &c);
    CHECK_EQUAL("the caller's EAX came back", 0x1111, c.ax);
    CHECK_EQUAL("the task's EAX was saved; it went on after its IRET", 0xcc, task.eax);
    CHECK_EQUAL("the task's EIP", t->end, task.eip);
    CHECK_EQUAL("its saved flags have NT clear", 0, task.eflags & FLAG_NT);
    CHECK_EQUAL("the task is not busy", SYS_TSS, type_of(TASK));
    CHECK_EQUAL("we are", SYS_TSS_BUSY, type_of(SEL_TSS));
    CHECK_EQUAL("NT of the caller", 0, c.flags & FLAG_NT);
    CHECK_EQUAL("TR", SEL_TSS, task_register());
    task_restore();
}

TEST(task_interrupt)
{
    struct context c;
    const struct snip *t = SNIP("mov (%esp), %eax; mov %cr2, %ecx"), *s = SNIP("int $0x40");
    task_set(t);
    idt_set(0x40, TASK, 0, SEG_P | SEG_DPL(3) | SYS_TASK, 0);
    caller_set(&c, s, 0);
    context_run(&c);
    CHECK_EXIT("INT n through a task gate", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("no error code", SNIPPET_STACK_TOP - 8 * KiB, c.sp);
    CHECK_EQUAL("link", SEL_TSS, task.link & 0xffff);
    old_task_check(s);
    task_restore();
    /* From ring 3; and back by IRET. */
    t = SNIP("iretl; jmp 771b");
    task_set(t);
    s = SNIP("int $0x40; inc %eax; int $0x40; inc %eax");
    context_set_user(&c, s);
    RUN_THROUGH("from ring 3 and back, twice", s, &c);
    CHECK_EQUAL("EAX", 2, c.ax);
    CHECK_EQUAL("ring 3", SEL_USER_CODE32 | 3, c.cs);
    task_restore();
    /* An exception with an error code: pushed on the new task's stack. */
    t = SNIP("mov (%esp), %eax");
    task_set(t);
    idt_set(GP, TASK, 0, SEG_P | SYS_TASK, 0);
    s = SNIP("mov $0xfff8, %eax\n" AT "mov %eax, %es");
    caller_set(&c, s, 0);
    context_run(&c);
    idt_reset(GP);
    CHECK_EXIT("#GP through a task gate", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("the error code", 0xfff8, c.ax);
    CHECK_EQUAL("EIP saved at the instruction", s->at, tss.eip);
    CHECK_EQUAL("[qemu] RF saved in its TSS", FLAG_RF, tss.eflags & FLAG_RF);
    task_restore();
    tss_set(TASK, &task, 103, SYS_TSS_BUSY);
    idt_set(0x40, TASK, 0, SEG_P | SEG_DPL(3) | SYS_TASK, 0);
    s = SNIP("int $0x40");
    FAULT("task gate to a busy TSS", s, GP, TASK);
    idt_set(0x40, SEL_DATA, 0, SEG_P | SEG_DPL(3) | SYS_TASK, 0);
    FAULT("task gate to data", s, GP, SEL_DATA);
    idt_set(0x40, TASK | TI, 0, SEG_P | SEG_DPL(3) | SYS_TASK, 0);
    FAULT("[qemu] task gate into the LDT", s, GP, TASK | TI);
    idt_reset(0x40);
}

TEST(task_privilege)
{
    struct context c;
    const struct snip *s = SNIP("ljmp *(%ebx)"), *t = SNIP("nop");
    task_set(t);
    context_set_user(&c, s);
    pointer.selector = TASK | 3;
    c.bx = ADDR(&pointer);
    RUN_FAULT("TSS of DPL 0 from ring 3", s, &c, GP, TASK);
    gate_set(TASK_GATE, TASK, 0, SEG_P | SEG_DPL(0) | SYS_TASK, 0);
    pointer.selector = TASK_GATE | 3;
    RUN_FAULT("task gate of DPL 0 from ring 3", s, &c, GP, TASK_GATE);
    gate_set(TASK_GATE, TASK, 0, SEG_DPL(3) | SYS_TASK, 0);
    RUN_FAULT("task gate not present", s, &c, NP, TASK_GATE);
    gate_set(TASK_GATE, TASK, 0, SEG_P | SEG_DPL(3) | SYS_TASK, 0);
    context_run(&c);
    CHECK_EXIT("a task gate of DPL 3 leads to a TSS of DPL 0", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("CS saved of ring 3", SEL_USER_CODE32 | 3, tss.cs & 0xffff);
    task_restore();
    /* IRET with NT: the link must be a busy TSS. */
    s = SNIP("iretl");
    tss.link = SEL_DATA;
    context_set(&c, s);
    c.flags |= FLAG_NT;
    RUN_FAULT("IRET, link to data", s, &c, TS, SEL_DATA);
    tss.link = TASK;
    task_set(t);
    context_set(&c, s);
    c.flags |= FLAG_NT;
    RUN_FAULT("[qemu] IRET, link to a TSS that is not busy", s, &c, TS, TASK);
    tss.link = 0;
}

/* A new task may run in ring 3, in v86 mode, with its own CR3 and LDT. */
TEST(task_modes)
{
    struct context c;
    const struct snip *s = SNIP("ljmp *(%ebx)"), *t = SNIP("mov %cs, %eax; sldt %ecx");
    task_set(t);
    task.cs = SEL_USER_CODE32 | 3;
    task.ss = task.ds = task.es = SEL_USER_DATA | 3;
    task.fs = task.gs = 0;
    task.ldt = TASK_LDT;
    task.esp0 = SNIPPET_STACK_TOP - 4 * KiB;
    descriptor_set(TASK_LDT, (uint32_t)ADDR(ldt), sizeof(ldt) - 1, SEG_P | SYS_LDT, 0);
    caller_set(&c, s, TASK);
    context_run(&c);
    CHECK_EXIT("a task in ring 3", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("CS", SEL_USER_CODE32 | 3, c.ax);
    CHECK_EQUAL("LDTR", TASK_LDT, c.cx);
    task_restore();

    t = SNIP16("mov %cs, %ax; mov %ds, %cx; int $0x30");
    memory_copy((void *)0x8000, (const void *)t->start, t->end + 2 - t->start);
    task_set(t);
    task.eflags = FLAG_1 | FLAG_VM | FLAG_IOPL(3);
    task.cs = 0x800;
    task.eip = 0;
    task.ds = 0x1234;
    task.esp0 = SNIPPET_STACK_TOP - 4 * KiB;
    task.ss = 0;
    task.esp = 0x5f00;
    caller_set(&c, s, TASK);
    context_run(&c);
    CHECK_EXIT("a task in v86 mode", &c, EXIT, NO_ERROR, t->end - t->start);
    CHECK_EQUAL("CS", 0x800, c.ax & 0xffff);
    CHECK_EQUAL("DS", 0x1234, c.cx & 0xffff);
    CHECK_EQUAL("VM", FLAG_VM, c.flags & FLAG_VM);
    task_restore();
}

TEST(task_cr3)
{
    struct context c;
    const struct snip *s = SNIP("mov (%esi), %ecx; ljmp *(%ebx)"),
                      *t = SNIP("mov (%esi), %eax; mov %cr3, %ecx");
    static uint32_t other[1024] ALIGNED(4096), other_pt[1024] ALIGNED(4096);
    paging_on(PAGES_32, PTE_U);
    entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
    *(volatile uint32_t *)frames[0] = 0x1111;
    *(volatile uint32_t *)frames[1] = 0x2222;
    memory_copy(other, (const void *)paging_root(), sizeof(other));
    other_pt[0] = (uint32_t)FRAME(1) | 3;
    other[256] = (uint32_t)ADDR(other_pt) | 7;
    task_set(t);
    task.cr3 = (uint32_t)ADDR(other);
    task.esi = WINDOW_PAGE(0);
    caller_set(&c, s, TASK);
    c.si = WINDOW_PAGE(0);
    context_run(&c);
    CHECK_EXIT("the new task ran", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("it sees its own page", 0x2222, c.ax);
    CHECK_EQUAL("its CR3", ADDR(other), c.cx);
    CHECK_EQUAL("the caller saw the other", 0x1111, tss.ecx);
    task_restore();
    paging_off();
}

/* T in the new TSS: #DB before its first instruction, with DR6.BT. */
TEST(task_trap)
{
    struct context c;
    const struct snip *s = SNIP("ljmp *(%ebx)"), *t = SNIP("nop");
    task_set(t);
    task.trap = 1;
    write_dr6(DR6_RESET);
    caller_set(&c, s, TASK);
    context_run(&c);
    CHECK_EXIT("[qemu] #DB before the first instruction", &c, DB, NO_ERROR, t->start);
    CHECK_EQUAL("[qemu] DR6.BT", DR6_BT, read_dr6() & (DR6_BT | DR6_BS));
    write_dr6(DR6_RESET);
    task_restore();
}

TEST(task16)
{
    struct context c;
    static struct {
        uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss,
            ds, ldt;
    } small;
    const struct snip *s = SNIP("lcall *(%ebx)"), *t = SNIP("nop; iretl");
    descriptor_set(SEL_FREE + 0x20, (uint32_t)t->start, 0xffff, SEG_CODE | SEG_R, SEG_B);
    descriptor_set(SEL_FREE + 0x28, (uint32_t)ADDR(snippet_stack), 0x3fff, SEG_DATA | SEG_W, SEG_B);
    small = (__typeof__(small)){.flags = 2,
                                .ax = 0xaaaa,
                                .sp = 0x2000,
                                .cs = SEL_FREE + 0x20,
                                .ss = SEL_FREE + 0x28,
                                .ds = SEL_DATA,
                                .es = SEL_DATA};
    tss_set(TASK, &small, 43, SYS_TSS16);
    caller_set(&c, s, TASK);
    RUN_THROUGH("CALL to a 16-bit TSS and IRET", s, &c);
    CHECK_EQUAL("AX saved in the 16-bit TSS", 0xaaaa, small.ax);
    CHECK_EQUAL("IP saved", t->end - t->start, small.ip);
    CHECK_EQUAL("link", SEL_TSS, small.link);
    CHECK_EQUAL("not busy again", SYS_TSS16, type_of(TASK));
    CHECK_EQUAL("our EAX came back whole", 0x1111, c.ax);
    task_restore();
    tss_set(TASK, &small, 42, SYS_TSS16);
    caller_set(&c, s, TASK);
    RUN_FAULT("16-bit TSS limit below 43", s, &c, TS, TASK);
    (void)task2;
}

/* What goes wrong behind the point of no return is the new task's exception, before its first instruction:
 * table 7-1. The handler is a task, as the manual advises, for the new task may have no stack. */
TEST(task_faults)
{
    enum { BAD = SEL_FREE + 0x20 };
    const struct snip *t = SNIP("nop"), *s = SNIP("ljmp *(%ebx)"), *handler = SNIP("mov (%esp), %eax");
    static const struct {
        const char *what;
        size_t field; /* of the TSS, 16 bits */
        uint16_t selector;
        unsigned access; /* of BAD */
        unsigned vector;
        word error;
    } table[] = {
        {"LDT in the LDT", offsetof(struct tss, ldt), BAD | TI, SEG_P | SYS_LDT, TS, BAD | TI},
        {"LDT not present", offsetof(struct tss, ldt), BAD, SYS_LDT, TS, BAD},
        {"LDT is data", offsetof(struct tss, ldt), BAD, SEG_DATA | SEG_W, TS, BAD},
        {"LDT beyond the limit", offsetof(struct tss, ldt), SEL_LIMIT, 0, TS, SEL_LIMIT},
        {"CS null", offsetof(struct tss, cs), 0, 0, TS, 0},
        {"CS beyond the limit", offsetof(struct tss, cs), SEL_LIMIT, 0, TS, SEL_LIMIT},
        {"CS is data", offsetof(struct tss, cs), BAD, SEG_DATA | SEG_W, TS, BAD},
        {"CS not present", offsetof(struct tss, cs), BAD, (SEG_CODE | SEG_R) & ~SEG_P, NP, BAD},
        {"CS: DPL is not RPL", offsetof(struct tss, cs), BAD, SEG_CODE | SEG_R | SEG_DPL(3), TS, BAD},
        {"CS conforming: DPL above RPL", offsetof(struct tss, cs), BAD,
         SEG_CODE | SEG_R | SEG_CONFORMING | SEG_DPL(1), TS, BAD},
        {"SS null", offsetof(struct tss, ss), 0, 0, TS, 0},
        {"SS read-only", offsetof(struct tss, ss), BAD, SEG_DATA, TS, BAD},
        {"SS: DPL", offsetof(struct tss, ss), BAD, SEG_DATA | SEG_W | SEG_DPL(3), TS, BAD},
        {"SS: RPL", offsetof(struct tss, ss), SEL_DATA | 3, 0, TS, SEL_DATA},
        {"[qemu] SS not present", offsetof(struct tss, ss), BAD, (SEG_DATA | SEG_W) & ~SEG_P, SS, BAD},
        {"DS: execute-only", offsetof(struct tss, ds), BAD, SEG_CODE, TS, BAD},
        {"DS: system segment", offsetof(struct tss, ds), SEL_TSS, 0, TS, SEL_TSS},
        {"ES not present", offsetof(struct tss, es), BAD, (SEG_DATA | SEG_W) & ~SEG_P, NP, BAD},
        {"FS beyond the limit", offsetof(struct tss, fs), SEL_LIMIT + 8, 0, TS, SEL_LIMIT + 8},
        {"GS: RPL above DPL", offsetof(struct tss, gs), SEL_DATA | 3, 0, TS, SEL_DATA},
        {"[qemu] EIP beyond the limit", offsetof(struct tss, cs), BAD, SEG_CODE | SEG_R, GP, 0},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        struct context c;
        if (quirky(QUIRK_QEMU) && table[i].vector == GP && known(QUIRK_QEMU, table[i].what))
            continue;
        task_set(t);
        task_fill(&task2, handler);
        tss_set(TASK2, &task2, 103, SYS_TSS);
        idt_set(table[i].vector, TASK2, 0, SEG_P | SYS_TASK, 0);
        descriptor_set(BAD, 0, table[i].vector == GP ? 15 : 0xfffff, table[i].access,
                       table[i].vector == GP ? SEG_B : SEG_B | SEG_G);
        *(uint16_t *)(void *)((uint8_t *)&task + table[i].field) = table[i].selector;
        caller_set(&c, s, TASK);
        context_run(&c);
        idt_reset(table[i].vector);
        CHECK_EXIT(table[i].what, &c, EXIT, NO_ERROR, handler->end + 2);
        CHECK_EQUAL(table[i].what, table[i].error, c.ax);
        CHECK_EQUAL("[qemu] it was the new task's", TASK, task2.link & 0xffff);
        CHECK_EQUAL("[qemu] not one instruction of it ran", t->start, task.eip);
        CHECK_EQUAL("its registers are in place", 0xa1, task.eax);
        CHECK_EQUAL("the caller was saved", s->end, tss.eip);
        CHECK_EQUAL("and is not busy", SYS_TSS, type_of(SEL_TSS));
        task_restore();
    }
    descriptor_raw(BAD, 0);
}
