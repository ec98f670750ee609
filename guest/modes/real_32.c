/* Real mode, entered from protected mode and left again. SDM 3A chapter 20, 10.9. */
#include "low.h"

/* Runs to the snippet's end in real mode. */
static void real_through(const char *what, const struct snip *s, struct context *c)
{
    real_run(c);
    CHECK_EXIT(what, c, EXIT, NO_ERROR, LOW_END(s) + 2);
}

static void real_fault(const char *what, const struct snip *s, unsigned vector)
{
    struct context c;
    low_set(&c, s);
    c.bx = 0x100;
    real_run(&c);
    CHECK_EXIT(what, &c, vector, NO_ERROR, LOW_AT(s));
    CHECK_EQUAL("[qemu] three words on the stack, no error code", LOW_STACK - 6 + 6, c.sp);
}

TEST(real_basic)
{
    struct context c;
    const struct snip *s =
        SNIP16("mov $0x1234, %ax; push %ax; mov %ds, %cx; mov %ax, (0); pushl $0x55667788\n"
               "pop %dx; pop %di; smsw %bp; mov %cr0, %esi");
    low_set(&c, s);
    c.ax = 0xabcd0000;
    real_through("16-bit code", s, &c);
    CHECK_EQUAL("a 16-bit move leaves the upper half", 0xabcd1234, c.ax);
    CHECK_EQUAL("DS", LOW_DATA_SEG, c.cx);
    CHECK_EQUAL("the store went to DS * 16", 0x1234, LOW_WORD(LOW_DATA));
    CHECK_EQUAL("PUSHL pushed 32 bits", 0x7788, c.dx);
    CHECK_EQUAL("PUSHL's upper half", 0x5566, c.di);
    CHECK_EQUAL("SP", LOW_STACK - 2, c.sp);
    CHECK_EQUAL("SMSW: PE is clear", 0, c.bp & CR0_PE);
    CHECK_EQUAL("MOV from CR0: PE is clear", 0, c.si & CR0_PE);
}

TEST(real_segments)
{
    struct context c;
    const struct snip *s =
        SNIP16("mov $0xffff, %ax; mov %ax, %es; mov %es:0x10, %eax; mov $0x1234, %cx; mov %cx, %fs\n"
               "lds 0, %bx; push %ds; pop %gs; mov %gs, %dx");
    LOW_WORD(LOW_DATA) = 0x5678;
    LOW_WORD(LOW_DATA + 2) = 0x2000;
    low_set(&c, s);
    real_through("segment loads", s, &c);
    CHECK_EQUAL("FFFF:0010 is 1 MiB: A20 is on", *(volatile uint32_t *)MiB, c.ax);
    CHECK_EQUAL("any selector loads", 0x1234, c.fs);
    CHECK_EQUAL("LDS offset", 0x5678, c.bx & 0xffff);
    CHECK_EQUAL("LDS segment", 0x2000, c.ds);
    CHECK_EQUAL("POP GS", 0x2000, c.dx);
}

/* Both inputs of the gate shut: bit 20 of every address is 0. One of them open is enough (82371SB, "A20M#"). */
TEST(real_a20)
{
    struct context c;
    const struct snip *s =
        SNIP16("mov $0xffff, %ax; mov %ax, %es; xor %ax, %ax; mov %ax, %fs; mov %ax, %gs\n"
               "mov %es:0x7010, %esi; in $0x92, %al; and $0xfc, %al; out %al, $0x92; mov %es:0x7010, %edi\n"
               "mov $0xdd, %al; out %al, $0x64; mov %es:0x7010, %ebx; movl $0x600df00d, %es:0x7014; mov %fs:0x7004, %ebp\n"
               "mov $0xcb, %al; mov %al, %gs:0x7008; lcallw $0xffff, $0x7018\n"
               "mov $0xdf, %al; out %al, $0x64; mov %es:0x7010, %ecx; in $0x92, %al; or $2, %al; out %al, $0x92\n"
               "mov %es:0x7014, %edx");
    low_set(&c, s);
    volatile uint32_t *low = (volatile uint32_t *)0x7000, *high = (volatile uint32_t *)0x107000;
    uint32_t before = high[1];
    low[0] = 0x10a20;
    real_through("the A20 gate", s, &c);
    CHECK_EQUAL("open: 1 MiB and 0x7000", high[0], c.si);
    CHECK_EQUAL("[qemu][bochs] port 0x92 alone does not shut it", high[0], c.di);
    CHECK_EQUAL("shut: a read wraps", 0x10a20, c.bx);
    CHECK_EQUAL("shut: a write wraps", 0x600df00d, c.bp);
    CHECK_EQUAL("open again", high[0], c.cx);
    CHECK_EQUAL("above 1 MiB nothing was written", before, c.dx);
}

TEST(real_far)
{
    struct context c;
    const struct snip *s =
        SNIP16("push %cs; push $1f - 771b; mov $0x0801, %bx; push %bx; push $2f - 771b - 16; lretw\n"
               "1: mov %cs, %cx; lcallw $0x0800, $3f - 771b; jmp 4f\n"
               "2: mov %cs, %dx; ljmpw $0x0800, $1b - 771b\n"
               "3: mov %sp, %si; lretw\n"
               "4:");
    low_set(&c, s);
    real_through("far JMP, CALL, RET", s, &c);
    CHECK_EQUAL("CS after far RET", LOW_CODE_SEG + 1, c.dx);
    CHECK_EQUAL("CS after far JMP", LOW_CODE_SEG, c.cx);
    CHECK_EQUAL("far CALL pushed two words", LOW_STACK - 8, c.si);
}

TEST(real_interrupt)
{
    struct context c;
    const struct snip *s =
        SNIP16("xor %ax, %ax; mov %ax, %fs; movw $1f - 771b, %fs:0x40*4; mov %cs, %fs:0x40*4+2\n"
               "sti; stc; int $0x40; pushf; pop %di; cli; jmp 2f\n"
               "1: mov %sp, %bp; mov (%bp), %bx; mov 2(%bp), %cx; mov 4(%bp), %dx; pushf; pop %si; iretw\n"
               "2:");
    low_set(&c, s);
    real_through("INT n through the IVT and IRET", s, &c);
    CHECK_EQUAL("CS pushed", LOW_CODE_SEG, c.cx);
    CHECK_EQUAL("IF and CF in the pushed flags", FLAG_IF | FLAG_CF, c.dx & (FLAG_IF | FLAG_CF));
    CHECK_EQUAL("IF is cleared in the handler", 0, c.si & FLAG_IF);
    CHECK_EQUAL("IRET brings the flags back", FLAG_IF | FLAG_CF, c.di & (FLAG_IF | FLAG_CF));
    CHECK_EQUAL("SP is balanced", LOW_STACK, c.sp);
}

TEST(real_exceptions)
{
    real_fault("#DE", SNIP16("xor %cx, %cx\n" AT "div %cx"), DE);
    real_fault("#UD", SNIP16("ud2"), UD);
    real_fault("BOUND", SNIP16("movl $0, (%bx); mov $5, %ax\n" AT "bound %ax, (%bx)"), BR);
    real_fault("LLDT is #UD", SNIP16("lldt %ax"), UD);
    real_fault("LTR is #UD", SNIP16("ltr %ax"), UD);
    real_fault("SLDT is #UD", SNIP16("sldt %ax"), UD);
    real_fault("STR is #UD", SNIP16("str %ax"), UD);
    real_fault("LAR is #UD", SNIP16("lar %ax, %cx"), UD);
    real_fault("LSL is #UD", SNIP16("lsl %ax, %cx"), UD);
    real_fault("VERR is #UD", SNIP16("verr %ax"), UD);
    real_fault("ARPL is #UD", SNIP16("arpl %ax, %cx"), UD);
    real_fault("SYSENTER is #GP", SNIP16("sysenter"), GP);
    real_fault("[qemu] word at FFFF is #GP", SNIP16("mov $0xffff, %bx\n" AT "mov (%bx), %ax"), GP);
    real_fault("[qemu] 32-bit offset above FFFF is #GP", SNIP16("mov $0x10000, %ebx\n" AT "movb (%ebx), %al"),
               GP);
    real_fault("[qemu] SS: word at FFFF is #SS", SNIP16("mov $0xffff, %bp\n" AT "mov (%bp), %ax"), SS);
    real_fault("[qemu] jump beyond FFFF is #GP", SNIP16("jmpl *%cs:2f-771b; 2: .long 0x12345"), GP);
    struct context c;
    const struct snip *s = SNIP16("int3; nop");
    low_set(&c, s);
    real_run(&c);
    CHECK_EXIT("INT3 is a trap", &c, BP_, NO_ERROR, 1);
    s = SNIP16("mov $0x7fff, %ax; inc %ax; into; nop");
    low_set(&c, s);
    real_run(&c);
    CHECK_EXIT("INTO is a trap", &c, OF, NO_ERROR, LOW_END(s) - 1);
    s = SNIP16("inc %ax; inc %ax");
    low_set(&c, s);
    c.flags |= FLAG_TF;
    real_run(&c);
    CHECK_EXIT("single step", &c, DB, NO_ERROR, 1);
    write_dr6(DR6_RESET);
}

TEST(real_wrap)
{
    struct context c;
    const struct snip *s =
        SNIP16("mov $0xfffe, %bx; movw $0x1111, 4(%bx); xor %sp, %sp; push $0x2222; mov %sp, %cx\n"
               "mov $0xffff, %si; mov $0x20, %di; movsb; mov $0x5ff0, %sp");
    LOW_WORD(0x1fffe) = 0;
    LOW_WORD(LOW_DATA + 0xfffe) = 0xabcd;
    low_set(&c, s);
    c.ss = LOW_DATA_SEG;
    real_through("16-bit wrap", s, &c);
    CHECK_EQUAL("effective address wraps", 0x1111, LOW_WORD(LOW_DATA + 2));
    CHECK_EQUAL("SP wraps from 0", 0xfffe, c.cx & 0xffff);
    CHECK_EQUAL("PUSH at FFFE", 0x2222, LOW_WORD(LOW_DATA + 0xfffe));
    CHECK_EQUAL("SI wraps", 0, c.si & 0xffff);
    CHECK_EQUAL("DI", 0x21, c.di & 0xffff);
}

/* Limits survive the way back to real mode: "unreal" mode. SDM 3A 10.9.2, 3.4.3. */
TEST(unreal)
{
    struct context c;
    static volatile uint32_t cell;
    const struct snip *s =
        SNIP16("mov %cr0, %eax; or $1, %al; mov %eax, %cr0; mov $0x10, %cx; mov %cx, %fs\n"
               "and $0xfe, %al; mov %eax, %cr0; movl %fs:(%esi), %ebx; movl $0x600df00d, %fs:(%esi)\n"
               "mov $0x1000, %cx; mov %cx, %fs; movl %fs:(%edi), %edx; mov %fs, %cx");
    cell = 0x12345678;
    low_set(&c, s);
    c.si = ADDR(&cell);
    c.di = ADDR(&cell) - LOW_DATA;
    real_through("FS with a limit of 4 GiB in real mode", s, &c);
    CHECK_EQUAL("read above 1 MiB", 0x12345678, c.bx);
    CHECK_EQUAL("write above 1 MiB", 0x600df00d, cell);
    CHECK_EQUAL("loading FS in real mode sets the base, not the limit", 0x600df00d, c.dx);
}

/* The same from protected mode with paging-free 16-bit code: LGDT takes 24 bits of base. */
TEST(real_lgdt)
{
    struct context c;
    struct table old;
    __asm__ volatile("sgdt %0" : "=m"(old));
    const struct snip *s = SNIP16("lgdtw 0x10; sgdt 0x20; lgdtl 0x10; sgdt 0x30");
    LOW_WORD(LOW_DATA + 0x10) = 0x1ff;
    LOW_LONG(LOW_DATA + 0x12) = 0xaa000000 | (uint32_t)ADDR(gdt);
    low_set(&c, s);
    if (known(QUIRK_QEMU, "16-bit LGDT"))
        return;
    /* The last LGDT leaves a base that real_run's way back cannot use: put the good one back first. */
    s = SNIP16("lgdtw 0x10; sgdt 0x20; lgdtl 0x10; sgdt 0x30; lgdtl 0x40");
    low_set(&c, s);
    memory_copy((void *)(LOW_DATA + 0x40), &old, sizeof(old));
    real_through("LGDT in real mode", s, &c);
    CHECK_EQUAL("limit", 0x1ff, LOW_WORD(LOW_DATA + 0x20));
    CHECK_EQUAL("16-bit LGDT: 24 bits of base", ADDR(gdt), LOW_LONG(LOW_DATA + 0x22));
    CHECK_EQUAL("32-bit LGDT: 32 bits", 0xaa000000 | (uint32_t)ADDR(gdt), LOW_LONG(LOW_DATA + 0x32));
}
