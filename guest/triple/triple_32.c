/* Triple faults: with an empty IDT in protected mode (default), or by the word `long_mode` there,
 * `real` in real mode, `shutdown` through a double fault whose handler faults, `nested` by an #AC whose
 * delivery raises #AC, for ever: silicon hangs there. SDM 3A 6.15, vectors 8 and 17. */
#include "guest.h"

/* Ring 3 with AC, a misaligned stack, and a gate of #AC that leads to conforming code: so delivery pushes in
 * ring 3. */
static void nested(void)
{
    struct context c;
    const struct snip *s = SNIP("mov 1(%ebx), %eax");
    descriptor_set(SEL_FREE, 0, 0xfffff, SEG_CODE | SEG_R | SEG_CONFORMING, SEG_G | SEG_B);
    idt_set(AC, SEL_FREE, s->start, SEG_P | SEG_DPL(3) | SYS_INT, 0);
    write_cr0(read_cr0() | CR0_AM);
    context_set_user(&c, s);
    c.bx = ADDR(snippet_stack);
    c.sp = SNIPPET_STACK_TOP - 1;
    c.flags |= FLAG_AC;
    context_run(&c);
}

void guest_begin(void)
{
    struct table none = {0, 0};
    print("triple fault\n");
    if (option_given("long_mode")) {
        world64_enter();
    } else if (option_given("real")) {
        const struct snip *s = SNIP16("lidtl %cs:0x40; ud2");
        memory_copy((void *)0x8000, (const void *)s->start, s->end - s->start);
        memory_copy((void *)0x8040, &none, sizeof(none));
        struct context c;
        context_set(&c, s);
        c.cs = 0x800;
        c.ip = 0;
        c.ss = c.ds = c.es = c.fs = c.gs = 0;
        c.sp = 0x5ff0;
        real_run(&c);
    } else if (option_given("shutdown")) {
        idt_set(UD, SEL_CODE, 0, SYS_INT, 0);
        idt_set(NP, SEL_CODE, 0, SYS_INT, 0);
        idt_set(DF, SEL_CODE, 0, SYS_INT, 0);
        __asm__ volatile("ud2");
    } else if (option_given("nested")) {
        nested();
    } else {
        __asm__ volatile("lidt %0; ud2" : : "m"(none));
    }
    print("not ok triple: still here\n");
    exit_with(STATUS_FAIL);
}
