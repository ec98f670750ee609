/* Tasks in tasks: CALL, task gates of interrupts and exceptions, and the way back; what a task switch leaves
 * undone when a TSS cannot be reached; call gates whose stack is not sound. SDM 3A 8.2.4, 8.3, 8.4; 6.8.5. */
#include "paging.h"

enum { T1 = SEL_FREE, T2 = SEL_FREE + 8, T3 = SEL_FREE + 0x10, GATE = SEL_FREE + 0x20 };
static struct tss tasks[3];

static void task_set(unsigned n, const struct snip *s)
{
    struct tss *t = &tasks[n];
    memory_set(t, 0, sizeof(*t));
    t->eip = s->start;
    t->eflags = FLAG_1;
    t->esp = t->esp0 = SNIPPET_STACK_TOP - (2 + n) * 2 * KiB;
    t->ss = t->ds = t->es = t->fs = t->gs = t->ss0 = SEL_DATA;
    t->cs = SEL_CODE;
    t->iomap = sizeof(*t);
    tss_set(T1 + 8 * n, t, 103, SYS_TSS);
}

static unsigned type_of(unsigned selector)
{
    return (unsigned)(*descriptor_at(selector) >> 40) & 0x1f;
}

static void restore(void)
{
    __asm__ volatile("clts");
    tss.link = 0;
    tables_load();
}

/* CALL to task 1, INT through a task gate to task 2, an exception through a task gate to task 3; three IRETs.
 */
TEST(three_deep)
{
    struct context c;
    const struct snip *s = SNIP("lcall $0x80, $0; inc %eax"),
                      *one = SNIP("incl (%ebx); int $0x40; incl (%ebx); iretl; nop"),
                      *two = SNIP("incl (%ebx)\n ud2\n incl (%ebx); iretl; nop"),
                      *three = SNIP(
                          "incl (%ebx); addl $2, (%esi); mov (%edi), %ecx; mov (%ebp), %edx; iretl; nop");
    static uint32_t count;
    count = 0;
    task_set(0, one);
    task_set(1, two);
    task_set(2, three);
    for (unsigned i = 0; i < 3; i++)
        tasks[i].ebx = (uint32_t)ADDR(&count);
    tasks[2].esi = (uint32_t)ADDR(&tasks[1].eip); /* skips the UD2 */
    tasks[2].edi = (uint32_t)ADDR(&tasks[2].link);
    tasks[2].ebp = (uint32_t)ADDR(&tasks[1].link);
    idt_set(0x40, T2, 0, SEG_P | SEG_DPL(3) | SYS_TASK, 0);
    idt_set(UD, T3, 0, SEG_P | SYS_TASK, 0);
    context_set(&c, s);
    RUN_THROUGH("three tasks deep and back", s, &c);
    CHECK_EQUAL("each ran, and ran on", 5, count);
    CHECK_EQUAL("our own EAX", 1, c.ax);
    CHECK_EQUAL("link of the third", T2, tasks[2].ecx & 0xffff);
    CHECK_EQUAL("link of the second", T1, tasks[2].edx & 0xffff);
    CHECK_EQUAL("link of the first", SEL_TSS, tasks[0].link & 0xffff);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQUAL("none is busy", SYS_TSS, type_of(T1 + 8 * i));
        CHECK_EQUAL("NT was cleared in what IRET saved", 0, tasks[i].eflags & FLAG_NT);
    }
    CHECK_EQUAL("we are", SYS_TSS_BUSY, type_of(SEL_TSS));
    CHECK_EQUAL("NT", 0, c.flags & FLAG_NT);
    idt_reset(0x40);
    idt_reset(UD);
    restore();
}

/* A chain of tasks is no circle: every one on it is busy. */
TEST(no_recursion)
{
    struct context c;
    const struct snip *s = SNIP("lcall $0x80, $0"), *one = SNIP("lcall $0x88, $0"),
                      *two = SNIP("lcall $0x80, $0"), *self = SNIP("lcall $0x50, $0");
    task_set(0, one);
    task_set(1, two);
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("CALL of a task on the chain", &c, GP, T1, two->start);
    CHECK_EQUAL("NT: we are nested", FLAG_NT, c.flags & FLAG_NT);
    restore();
    context_set(&c, self);
    RUN_FAULT("CALL of the task itself", self, &c, GP, SEL_TSS);
}

/* The TSS of the new task on a page that is not there: #PF in the old task, nothing changed. */
TEST(tss_missing)
{
    struct context c;
    const struct snip *t = SNIP("nop");
    paging_on(PAGES_32, 0);
    for (unsigned kind = 0; kind < 3; kind++) {
        const struct snip *s = kind == 0   ? SNIP("ljmp $0x80, $0")
                               : kind == 1 ? SNIP("lcall $0x80, $0")
                                           : SNIP("int $0x40");
        task_set(0, t);
        tss_set(T1, (void *)(WINDOW_PAGE(1) + 0x20), 103, SYS_TSS);
        idt_set(0x40, T1, 0, SEG_P | SEG_DPL(3) | SYS_TASK, 0);
        entry_set(1, 1, 0);
        flush();
        tss.link = 0x1234;
        context_set(&c, s);
        c.ax = 0x5555;
        write_cr2(0);
        context_run(&c);
        CHECK_EQUAL("#PF", PF, c.vector);
        CHECK_EQUAL("at the instruction", s->start, c.ip);
        CHECK_EQUAL("CR2 is in the new TSS", WINDOW_PAGE(1), c.cr2 & ~(word)0xfff);
        CHECK_EQUAL("a supervisor's access", 0, c.error & (PF_U | PF_P));
        CHECK_EQUAL("the new task is not busy", SYS_TSS, type_of(T1));
        CHECK_EQUAL("the old one is", SYS_TSS_BUSY, type_of(SEL_TSS));
        CHECK_EQUAL("EAX", 0x5555, c.ax);
        uint16_t tr;
        __asm__ volatile("str %0" : "=m"(tr));
        CHECK_EQUAL("TR", SEL_TSS, tr);
        /* With the page it goes on. */
        entry_set(1, 1, FRAME(1) | PTE_P | PTE_W);
        memory_copy(frames[1] + 0x20, &tasks[0], 104);
        ((struct tss *)(void *)(frames[1] + 0x20))->cr3 = (uint32_t)paging_root();
        context_run(&c);
        CHECK_EXIT("retried", &c, EXIT, NO_ERROR, t->end + 2);
        idt_reset(0x40);
        restore();
    }
    paging_off();
}

/* A call gate to ring 1 takes SS1:ESP1; the same checks as of an interrupt's stack. */
TEST(call_gate_stack)
{
    static const struct {
        const char *what;
        unsigned access, dpl, rpl, limit;
        unsigned vector;
    } table[] = {
        {"sound", SEG_DATA | SEG_W, 1, 1, 0xfffff, EXIT},
        {"RPL is not the new CPL", SEG_DATA | SEG_W, 1, 0, 0xfffff, TS},
        {"DPL is not the new CPL", SEG_DATA | SEG_W, 0, 1, 0xfffff, TS},
        {"read-only", SEG_DATA, 1, 1, 0xfffff, TS},
        {"code", SEG_CODE | SEG_R, 1, 1, 0xfffff, TS},
        {"[qemu] not present", (SEG_DATA | SEG_W) & ~SEG_P, 1, 1, 0xfffff, SS},
        {"[qemu] no room", SEG_DATA | SEG_W, 1, 1, 0, SS},
    };
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far = {0, GATE | 3};
    enum { CODE1 = SEL_FREE + 0x30, STACK1 = SEL_FREE + 0x38 };
    const struct snip *s = SNIP("push $3; push $2; push $1\n" AT "lcall *(%ebx)"),
                      *t = SNIP("mov %cs, %eax; mov 8(%esp), %ecx; mov 16(%esp), %edx; mov %esp, %edi");
    descriptor_set(CODE1, 0, 0xfffff, SEG_CODE | SEG_R | SEG_DPL(1), SEG_G | SEG_B);
    for (unsigned params = 0; params <= 3; params += 3) {
        gate_set(GATE, CODE1, t->start, SEG_P | SEG_DPL(3) | SYS_CALL, params);
        for (unsigned i = 0; i < COUNT(table); i++) {
            struct context c;
            descriptor_set(STACK1, 0, table[i].limit, table[i].access | SEG_DPL(table[i].dpl),
                           table[i].limit ? SEG_G | SEG_B : SEG_B);
            tss.ss1 = STACK1 | table[i].rpl;
            tss.esp1 = (uint32_t)SNIPPET_STACK_TOP - 4 * KiB;
            context_set_user(&c, s);
            c.bx = ADDR(&far);
            if (table[i].vector == EXIT) {
                context_run(&c);
                CHECK_EXIT(table[i].what, &c, EXIT, NO_ERROR, t->end + 2);
                CHECK_EQUAL("CS of ring 1", CODE1 | 1, c.ax);
                CHECK_EQUAL("ESP", SNIPPET_STACK_TOP - 4 * KiB - 16 - 4 * params, c.di);
                if (params)
                    CHECK_EQUAL("first parameter", 1, c.cx);
                if (params)
                    CHECK_EQUAL("third", 3, c.dx);
            } else {
                RUN_FAULT(table[i].what, s, &c, table[i].vector, STACK1);
                CHECK_EQUAL("[qemu] ESP of the caller", SNIPPET_STACK_TOP - 12, c.sp);
            }
        }
        struct context c;
        tss.ss1 = 0;
        context_set_user(&c, s);
        c.bx = ADDR(&far);
        RUN_FAULT("null SS1", s, &c, TS, 0);
        tss.ss1 = SEL_LIMIT | 1;
        context_set_user(&c, s);
        c.bx = ADDR(&far);
        RUN_FAULT("SS1 beyond the GDT", s, &c, TS, SEL_LIMIT);
    }
    tss.ss1 = 0;
    descriptor_raw(GATE, 0);
}
