/* Which pair of exceptions makes a double fault: every first that can be provoked, against a second that
 * delivery of the first raises. SDM 3A table 6-5. Triple faults: `triple`. */
#include "paging.h"

struct first {
    const char *what;
    const struct snip *s;
    unsigned vector;
    bool contributory; /* or #PF */
};

TEST(table)
{
    word cr0 = read_cr0();
    const struct first firsts[] = {
        {"#DE", SNIP("xor %ecx, %ecx\n" AT "div %ecx"), DE, true},
        {"#NP", SNIP("mov $0x80, %eax\n" AT "mov %eax, %es"), NP, true},
        {"#SS", SNIP("mov $0x80, %eax\n" AT "mov %eax, %ss"), SS, true},
        {"#GP", SNIP("mov $0xfff8, %eax\n" AT "mov %eax, %es"), GP, true},
#ifndef __x86_64__
        {"#TS", SNIP("ljmp $0x88, $0"), TS, true},
        {"#OF", SNIP("mov $0x7fffffff, %eax; inc %eax; into\n" AT "nop"), OF, false},
        {"#BR", SNIP("mov $-1, %eax\n" AT "bound %eax, (%ebx)"), BR, false},
#endif
        {"#PF", SNIP("mov (" DI "), %eax"), PF, true},
        {"#UD", SNIP("ud2"), UD, false},
        {"#NM", SNIP("fninit"), NM, false},
        {"#BP", SNIP("int3"), BP_, false},
    };
    static uint32_t bounds[2];
    _Static_assert(SEL_FREE == 0x80, "the literals above");
    for (unsigned i = 0; i < COUNT(firsts); i++) {
        for (unsigned second = 0; second < 3; second++) {
            struct context c;
            const struct first *f = &firsts[i];
            paging_on(PAGES_NATIVE, PTE_U);
            descriptor_set(SEL_FREE, 0, 0xfffff, (SEG_DATA | SEG_W) & ~SEG_P, SEG_G | SEG_B);
            tss_set(SEL_FREE + 8, &tss, 102, SYS_TSS);
            /* The second: #NP of the gate, #GP of its selector, #NP of its code segment. */
            descriptor_raw(SEL_FREE + 0x18, *descriptor_at(SEL_CODE) & ~((u64)SEG_P << 40));
            unsigned selector = second == 0 ? SEL_CODE : second == 1 ? 0xfff8 : SEL_FREE + 0x18;
            idt_set(f->vector, selector, f->s->start, (second ? SEG_P : 0) | SEG_DPL(3) | SYS_INT, 0);
            write_cr0(cr0 | CR0_PG | (f->vector == NM ? CR0_TS : 0));
            context_set(&c, f->s);
            c.di = WINDOW_PAGE(5);
            c.bx = ADDR(bounds);
            context_run(&c);
            idt_reset(f->vector);
            write_cr0(cr0 | CR0_PG);
            paging_off();
            write_cr0(cr0);
            word error = second == 0 ? f->vector * 8 + IDT : second == 1 ? 0xfff8 : SEL_FREE + 0x18;
            /* What software asked for by INT3, INTO has no EXT. */
            if (f->vector != BP_ && f->vector != OF)
                error |= EXT;
            unsigned want = f->contributory ? DF : second == 1 ? GP : NP;
            /* A first that is raised again by its own broken gate would be the same vector. */
            if ((f->vector == NP && second != 1) || (f->vector == GP && second == 1))
                want = DF;
            if (!CHECK_EQUAL("[qemu] vector", want, c.vector))
                print("#   %s, second %u\n", f->what, second);
            CHECK_EQUAL("[qemu] error code", want == DF ? 0 : error, c.error);
            if (f->vector != OF && f->vector != BP_)
                CHECK_EQUAL("[qemu] IP", f->s->at, c.ip);
        }
    }
    descriptor_raw(SEL_FREE, 0);
    tables_load();
}
