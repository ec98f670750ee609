/* Triple faults: with an empty IDT in protected mode (default), or by the word `long_mode` there,
 * `real` in real mode, `shutdown` through a double fault whose handler faults. SDM 3A 6.15, vector 8. */
#include "guest.h"

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
    } else {
        __asm__ volatile("lidt %0; ud2" : : "m"(none));
    }
    print("not ok triple: still here\n");
    exit_with(STATUS_FAIL);
}
