/* Debugging that only legacy mode has: task switches and v86 mode. SDM 3A 17.2.4, 7.3. */
#include "guest.h"

static struct tss task;

TEST(task_switch)
{
    struct context c;
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) pointer = {0, SEL_FREE};
    const struct snip *s = SNIP("ljmp *(%ebx)"), *t = SNIP("nop; nop");
    memory_set(&task, 0, sizeof(task));
    task.eip = t->start;
    task.eflags = FLAG_1 | FLAG_TF;
    task.esp = SNIPPET_STACK_TOP;
    task.ss = task.ds = task.es = SEL_DATA;
    task.cs = SEL_CODE;
    tss_set(SEL_FREE, &task, 103, SYS_TSS);
    write_dr0(0x1000);
    write_dr7(DR7_RESET | 3 | 1u << 16 | 0x55u << 2);
    context_set(&c, s);
    c.bx = ADDR(&pointer);
    context_run(&c);
    CHECK_EXIT("TF of the new task: a trap after its first instruction", &c, DB, NO_ERROR, t->start + 1);
    CHECK_EQUAL("[qemu] a task switch clears L0 to L3 and leaves G0", DR7_RESET | 2 | 1u << 16, read_dr7());
    write_dr7(DR7_RESET);
    write_dr6(DR6_RESET);
    __asm__ volatile("clts");
    tables_load();
}

TEST(v86_step)
{
    struct context c;
    if (known(QUIRK_QEMU, "single step in v86 mode")) /* QEMU 7.2 itself crashes */
        return;
    const struct snip *s = SNIP16("inc %ax; pushf; pop %bx; mov %cx, %ss; inc %ax; hlt");
    static const uint8_t offsets[] = {1, 2, 3, 6};
    memory_copy((void *)0x8000, (const void *)s->start, s->end + 2 - s->start);
    context_set(&c, s);
    c.flags = FLAG_1 | FLAG_VM | FLAG_TF | FLAG_IOPL(3);
    c.cs = 0x800;
    c.ip = 0;
    c.ss = 0;
    c.sp = 0x5f00;
    for (unsigned i = 0; i < COUNT(offsets); i++) {
        context_run(&c);
        CHECK_EXIT("v86 single step, MOV SS with the next", &c, DB, NO_ERROR, offsets[i]);
    }
    write_dr6(DR6_RESET);
    CHECK_EQUAL("PUSHF shows TF", FLAG_TF, c.bx & FLAG_TF);
    /* An instruction breakpoint is a linear address. */
    write_dr0(0x8000);
    write_dr7(DR7_RESET | 1);
    c.flags &= ~(word)FLAG_TF;
    c.ip = 0;
    context_run(&c);
    CHECK_EXIT("instruction breakpoint in v86 mode", &c, DB, NO_ERROR, 0);
    write_dr7(DR7_RESET);
    write_dr6(DR6_RESET);
}
