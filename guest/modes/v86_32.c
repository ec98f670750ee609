/* Virtual-8086 mode. SDM 3A chapter 20.2, 20.3; VME: 20.4, table 20-2. */
#include "low.h"

static void v86_set(struct context *c, const struct snip *s, unsigned iopl)
{
    low_set(c, s);
    c->flags = FLAG_1 | FLAG_VM | FLAG_IOPL(iopl);
}

static void v86_fault(const char *what, const struct snip *s, unsigned iopl, unsigned vector, word error)
{
    struct context c;
    v86_set(&c, s, iopl);
    context_run(&c);
    CHECK_EXIT(what, &c, vector, error, LOW_AT(s));
    CHECK_EQUAL("VM in the saved flags", FLAG_VM, c.flags & FLAG_VM);
}

static void v86_through(const char *what, const struct snip *s, struct context *c)
{
    context_run(c);
    CHECK_EXIT(what, c, EXIT, NO_ERROR, LOW_END(s) + 2);
}

TEST(v86_basic)
{
    struct context c;
    const struct snip *s =
        SNIP16("mov $0x1234, %ax; mov %ax, (0x20); mov $0x2345, %cx; mov %cx, %fs; push %ds\n"
               "pop %gs; mov %sp, %dx; smsw %bx");
    v86_set(&c, s, 3);
    v86_through("16-bit code", s, &c);
    CHECK_EQUAL("the store went to DS * 16", 0x1234, LOW_WORD(LOW_DATA + 0x20));
    CHECK_EQUAL("FS in the frame", 0x2345, c.fs);
    CHECK_EQUAL("GS in the frame", LOW_DATA_SEG, c.gs);
    CHECK_EQUAL("CS in the frame", LOW_CODE_SEG, c.cs);
    CHECK_EQUAL("SP", LOW_STACK, c.dx);
    CHECK_EQUAL("SMSW shows PE", CR0_PE, c.bx & CR0_PE);
    CHECK_EQUAL("VM in the saved flags", FLAG_VM, c.flags & FLAG_VM);
}

/* The handler finds DS, ES, FS, GS null and the nine words on its stack. */
TEST(v86_frame)
{
    struct context c;
    const struct snip *handler = SNIP("mov %ds, %eax; mov %gs, %ecx; mov $0x10, %ebx; mov %ebx, %ds\n"
                                      "pop %ebx; pop %edx; pop %esi; pop %edi; pop %ebp; mov (%esp), %esp");
    const struct snip *s = SNIP16("int $0x40; nop");
    idt_set(0x40, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_INT, 0);
    v86_set(&c, s, 3);
    c.es = 0x4444;
    /* The handler ends with ESP holding ES: no stack for the exit, so take the words one earlier. */
    handler = SNIP("mov %ds, %eax; mov %gs, %ecx; pop %ebx; pop %edx; pop %esi; pop %edi; pop %ebp");
    idt_set(0x40, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_INT, 0);
    context_run(&c);
    CHECK_EXIT("INT n with IOPL 3 uses the IDT", &c, EXIT, NO_ERROR, handler->end + 2);
    CHECK_EQUAL("DS is null", 0, c.ax & 0xffff);
    CHECK_EQUAL("GS is null", 0, c.cx & 0xffff);
    CHECK_EQUAL("IP pushed", 2, c.bx);
    CHECK_EQUAL("CS pushed", LOW_CODE_SEG, c.dx & 0xffff);
    CHECK_EQUAL("VM and IOPL pushed", FLAG_VM | FLAG_IOPL(3), c.si & (FLAG_VM | FLAG_IOPL(3)));
    CHECK_EQUAL("SP pushed", LOW_STACK, c.di);
    CHECK_EQUAL("SS pushed", 0, c.bp & 0xffff);
    CHECK_EQUAL("CPL 0", SEL_CODE, c.cs);
    CHECK_EQUAL("VM is clear in the handler", 0, c.flags & FLAG_VM);
    /* A handler in any ring but 0 is #GP of its selector. */
    descriptor_set(SEL_FREE, 0, 0xfffff, SEG_CODE | SEG_R | SEG_DPL(1), SEG_G | SEG_B);
    idt_set(0x40, SEL_FREE | 1, handler->start, SEG_P | SEG_DPL(3) | SYS_INT, 0);
    v86_fault("[qemu] handler in ring 1", s, 3, GP, SEL_FREE);
    descriptor_set(SEL_FREE, 0, 0xfffff, SEG_CODE | SEG_R | SEG_CONFORMING, SEG_G | SEG_B);
    idt_set(0x40, SEL_FREE, handler->start, SEG_P | SEG_DPL(3) | SYS_INT, 0);
    v86_fault("[qemu] handler in a conforming segment", s, 3, GP, SEL_FREE);
    idt_set(0x40, SEL_CODE, handler->start, SEG_P | SYS_INT, 0);
    v86_fault("gate of DPL 0", s, 3, GP, 0x40 * 8 + IDT);
    idt_reset(0x40);
}

TEST(v86_iopl)
{
    struct {
        const char *what;
        const struct snip *s;
    } table[] = {
        {"CLI", SNIP16("cli")},       {"STI", SNIP16("sti")},         {"PUSHF", SNIP16("pushfw")},
        {"POPF", SNIP16("popfw")},    {"INT n", SNIP16("int $0x40")}, {"IRET", SNIP16("iretw")},
        {"PUSHFD", SNIP16("pushfl")}, {"IRETD", SNIP16("iretl")},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        for (unsigned iopl = 0; iopl < 3; iopl++)
            v86_fault(table[i].what, table[i].s, iopl, GP, 0);
    }
    struct context c;
    const struct snip *s =
        SNIP16("cli; pushfw; pop %ax; orw $0x200, %ax; push %ax; popfw; pushfw; pop %bx; cli\n"
               "pushfl; pop %ecx; xor $0x3000, %ecx; push %ecx; popfl; pushfl; pop %edx\n"
               "pushfw; push %cs; push $1f - 771b; iretw\n 1: nop");
    v86_set(&c, s, 3);
    c.flags |= FLAG_IF;
    v86_through("with IOPL 3 they run", s, &c);
    CHECK_EQUAL("CLI cleared IF; OR set it in AX", FLAG_IF, c.ax & FLAG_IF);
    CHECK_EQUAL("POPF set IF", FLAG_IF, c.bx & FLAG_IF);
    CHECK_EQUAL("POPF does not change IOPL", FLAG_IOPL(3), c.dx & FLAG_IOPL(3));
    CHECK_EQUAL("PUSHFD shows neither VM nor RF", 0, c.dx & (FLAG_VM | FLAG_RF));
}

TEST(v86_privileged)
{
    v86_fault("HLT", SNIP16("hlt"), 3, GP, 0);
    v86_fault("MOV to CR0", SNIP16("mov %eax, %cr0"), 3, GP, 0);
    v86_fault("MOV from CR0", SNIP16("mov %cr0, %eax"), 3, GP, 0);
    v86_fault("MOV from DR7", SNIP16("mov %db7, %eax"), 3, GP, 0);
    v86_fault("LGDT", SNIP16("lgdt (0)"), 3, GP, 0);
    v86_fault("LMSW", SNIP16("lmsw %ax"), 3, GP, 0);
    v86_fault("CLTS", SNIP16("clts"), 3, GP, 0);
    v86_fault("WBINVD", SNIP16("wbinvd"), 3, GP, 0);
    v86_fault("RDMSR", SNIP16("rdmsr"), 3, GP, 0);
    v86_fault("LLDT is #UD", SNIP16("lldt %ax"), 3, UD, NO_ERROR);
    v86_fault("STR is #UD", SNIP16("str %ax"), 3, UD, NO_ERROR);
    v86_fault("VERW is #UD", SNIP16("verw %ax"), 3, UD, NO_ERROR);
    v86_fault("LSL is #UD", SNIP16("lsl %ax, %ax"), 3, UD, NO_ERROR);
    v86_fault("ARPL is #UD", SNIP16("arpl %ax, %ax"), 3, UD, NO_ERROR);
    v86_fault("[qemu] 32-bit offset above FFFF", SNIP16("mov $0x10000, %ebx\n" AT "movb (%ebx), %al"), 3, GP,
              0);
    v86_fault("[qemu] word at FFFF", SNIP16("mov $0xffff, %bx\n" AT "movw (%bx), %ax"), 3, GP, 0);
    v86_fault("[qemu] SS: word at FFFF", SNIP16("mov $0xffff, %bp\n" AT "movw (%bp), %ax"), 3, SS, 0);
    struct context c;
    const struct snip *s = SNIP16("int3; nop");
    v86_set(&c, s, 0);
    context_run(&c);
    CHECK_EXIT("INT3 does not look at IOPL", &c, BP_, NO_ERROR, 1);
    s = SNIP16("mov $0x7fff, %ax; inc %ax; into; nop");
    v86_set(&c, s, 0);
    context_run(&c);
    CHECK_EXIT("INTO does not look at IOPL", &c, OF, NO_ERROR, LOW_END(s) - 1);
    v86_fault("#DE", SNIP16("xor %cx, %cx\n" AT "div %cx"), 0, DE, NO_ERROR);
}

/* In v86 mode IN and OUT look at the I/O permission map, whatever IOPL. SDM 1 19.5.2. */
TEST(v86_ports)
{
    struct context c;
    const struct snip *in = SNIP16("in $0x80, %al"), *in_word = SNIP16("in $0x80, %ax"),
                      *in_last = SNIP16("mov $0xffff, %dx\n" AT "in %dx, %al");
    tss.iomap = offsetof(struct tss, ports);
    memory_set(tss.ports, 0xff, sizeof(tss.ports));
    tss_set(SEL_TSS, &tss, sizeof(tss) - 1, SYS_TSS);
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
    v86_fault("port denied, IOPL 3", in, 3, GP, 0);
    v86_fault("port denied, IOPL 0", in, 0, GP, 0);
    tss.ports[0x80 / 8] = (uint8_t)~1u;
    v86_set(&c, in, 3);
    v86_through("port allowed", in, &c);
    v86_fault("a word needs both bits", in_word, 3, GP, 0);
    tss.ports[0x80 / 8] = (uint8_t)~3u;
    v86_set(&c, in_word, 3);
    v86_through("word allowed", in_word, &c);
    v86_fault("port FFFF denied", in_last, 3, GP, 0);
    tss.ports[8191] = 0x7f;
    v86_set(&c, in_last, 3);
    v86_through("port FFFF allowed", in_last, &c);
    tss_set(SEL_TSS, &tss, offsetof(struct tss, ports) + 0x80 / 8 - 1, SYS_TSS);
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
    v86_fault("map cut by the TSS limit", in, 3, GP, 0);
    /* Two bytes of the map are read for any port. */
    tss_set(SEL_TSS, &tss, offsetof(struct tss, ports) + 0x80 / 8, SYS_TSS);
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
    v86_fault("the map's second byte is beyond the limit", in, 3, GP, 0);
    tss.iomap = sizeof(tss);
    tables_load();
}

TEST(v86_enter)
{
    struct context c;
    const struct snip *s = SNIP("pushfl; orl $0x20000, (%esp); popfl; pushfl; pop %eax");
    context_set(&c, s);
    RUN_THROUGH("POPF does not set VM", s, &c);
    CHECK_EQUAL("VM", 0, c.ax & FLAG_VM);
    s = SNIP("pushl $0x23; pushl %esp; pushl $0x20002; pushl $0x1b; pushl $1f\niretl\n1: pushfl; pop %eax; "
             "mov %cs, %ecx");
    context_set_user(&c, s);
    context_run(&c);
    CHECK_EQUAL("[qemu] IRET of ring 3 does not set VM", 0, c.flags & FLAG_VM);
    CHECK_EQUAL("CS stays a selector", SEL_USER_CODE32 | 3, c.cs);
}

/* VME: an INT n whose redirection bit is clear goes through the IVT of the v86 task itself. */
TEST(vme)
{
    if (!CPU_HAS_VME) {
        skip("CPUID has no VME");
        return;
    }
    struct context c;
    tss.iomap = offsetof(struct tss, ports);
    memory_set(tss.ports, 0xff, sizeof(tss.ports));
    tss_set(SEL_TSS, &tss, sizeof(tss) - 1, SYS_TSS);
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
    memory_set(tss.redirect, 0xff, sizeof(tss.redirect));
    tss.redirect[0x40 / 8] = 0xfe;
    LOW_WORD(0x40 * 4) = 0x100;
    LOW_WORD(0x40 * 4 + 2) = LOW_CODE_SEG;
    write_cr4(read_cr4() | CR4_VME);
    const struct snip *s =
        SNIP16("stc; int $0x40; pushfw; pop %di; hlt\n .fill 0x100 - (. - 771b), 1, 0x90\n"
               "mov %sp, %bp; mov (%bp), %bx; mov 2(%bp), %cx; mov 4(%bp), %dx; pushfw; pop %si; iretw");
    word hlt = 0;
    for (unsigned iopl = 0; iopl <= 3; iopl += 3) {
        v86_set(&c, s, iopl);
        c.flags |= iopl ? FLAG_IF : FLAG_VIF | FLAG_IF;
        context_run(&c);
        hlt = 1 + 2 + 1 + 1;
        CHECK_EXIT("redirected INT n comes back to the HLT", &c, GP, 0, hlt);
        CHECK_EQUAL("IP pushed", 3, c.bx & 0xffff);
        CHECK_EQUAL("CS pushed", LOW_CODE_SEG, c.cx & 0xffff);
        CHECK_EQUAL("CF and IF (VIF when IOPL < 3) pushed", FLAG_CF | FLAG_IF, c.dx & (FLAG_CF | FLAG_IF));
        CHECK_EQUAL("pushed IOPL reads 3", FLAG_IOPL(3), c.dx & FLAG_IOPL(3));
        CHECK_EQUAL("IF (VIF) is clear in the handler", 0, c.si & FLAG_IF);
        CHECK_EQUAL("IRET brings it back", FLAG_IF | FLAG_CF, c.di & (FLAG_IF | FLAG_CF));
    }
    s = SNIP16("cli; pushfw; pop %ax; sti; pushfw; pop %bx; hlt");
    v86_set(&c, s, 0);
    c.flags |= FLAG_IF;
    context_run(&c);
    CHECK_EXIT("CLI and STI run with IOPL 0", &c, GP, 0, LOW_END(s) - 1);
    CHECK_EQUAL("PUSHF shows VIF as IF: clear", 0, c.ax & FLAG_IF);
    CHECK_EQUAL("set", FLAG_IF, c.bx & FLAG_IF);
    CHECK_EQUAL("VIF in EFLAGS", FLAG_VIF, c.flags & FLAG_VIF);
    CHECK_EQUAL("IF itself is untouched", FLAG_IF, c.flags & FLAG_IF);
    s = SNIP16("nop\n" AT "sti");
    v86_set(&c, s, 0);
    c.flags |= FLAG_VIP;
    context_run(&c);
    CHECK_EXIT("STI with VIP pending is #GP", &c, GP, 0, LOW_AT(s));
    v86_fault("not redirected, IOPL 0: #GP", SNIP16("int $0x41"), 0, GP, 0);
    v86_fault("PUSHFD with IOPL 0 still faults", SNIP16("pushfl"), 0, GP, 0);
    s = SNIP16("pushw $0x100\n" AT "popfw");
    v86_set(&c, s, 0);
    context_run(&c);
    CHECK_EXIT("POPF of TF with IOPL 0 is #GP", &c, GP, 0, LOW_AT(s));
    write_cr4(read_cr4() & ~(word)CR4_VME);
    tss.iomap = sizeof(tss);
    tables_load();
}

/* PVI: CLI and STI of ring 3 with IOPL < 3 work on VIF. SDM 3A 20.5. */
TEST(pvi)
{
    if (!CPU_HAS_VME) {
        skip("CPUID has no VME");
        return;
    }
    struct context c;
    const struct snip *s = SNIP("sti; nop; pushfl; pop %ecx\n" AT "cli");
    write_cr4(read_cr4() | CR4_PVI);
    context_set_user(&c, s);
    RUN_THROUGH("STI and CLI in ring 3", s, &c);
    CHECK_EQUAL("STI set VIF, not IF", FLAG_VIF, c.cx & (FLAG_VIF | FLAG_IF));
    CHECK_EQUAL("CLI cleared VIF", 0, c.flags & FLAG_VIF);
    s = SNIP("sti");
    context_set_user(&c, s);
    c.flags |= FLAG_VIP;
    RUN_FAULT("STI with VIP", s, &c, GP, 0);
    write_cr4(read_cr4() & ~(word)CR4_PVI);
}
