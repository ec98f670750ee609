/* Every exception that software can provoke in both worlds: vector, error code, class (where the saved
 * instruction pointer stands), CR2, RF. SDM 3A chapter 6. */
#include "paging.h"

TEST(de)
{
    FAULT("DIV r32 by zero", SNIP("xor %ecx, %ecx\n" AT "div %ecx"), DE, NO_ERROR);
    FAULT("IDIV r32 by zero", SNIP("xor %ecx, %ecx\n" AT "idiv %ecx"), DE, NO_ERROR);
    FAULT("DIV r8 overflow", SNIP("mov $0x200, %eax; mov $2, %cl\n" AT "div %cl"), DE, NO_ERROR);
    FAULT("DIV r16 overflow", SNIP("mov $1, %edx; mov $1, %ecx\n" AT "div %cx"), DE, NO_ERROR);
    FAULT("DIV r32 overflow", SNIP("mov $5, %edx; mov $5, %ecx\n" AT "div %ecx"), DE, NO_ERROR);
    FAULT("IDIV r8 -128/-1", SNIP("mov $-128, %eax; mov $-1, %cl\n" AT "idiv %cl"), DE, NO_ERROR);
    FAULT("IDIV r16 MIN/-1", SNIP("mov $0x8000, %eax; cwd; mov $-1, %ecx\n" AT "idiv %cx"), DE, NO_ERROR);
    FAULT("IDIV r32 MIN/-1", SNIP("mov $0x80000000, %eax; cdq; mov $-1, %ecx\n" AT "idiv %ecx"), DE,
          NO_ERROR);
    const struct snip *s = SNIP("mov $7, %edx; mov $0x11, %eax; xor %ecx, %ecx\n" AT "div %ecx");
    struct context c;
    context_set(&c, s);
    RUN_FAULT("DIV keeps its operands", s, &c, DE, NO_ERROR);
    CHECK_EQUAL("EAX after #DE", 0x11, c.ax);
    CHECK_EQUAL("EDX after #DE", 7, c.dx);
}

TEST(db_trap)
{
    struct context c;
    const struct snip *s = SNIP(".byte 0xf1; nop");
    context_set(&c, s);
    write_dr6(DR6_RESET);
    context_run(&c);
    CHECK_EXIT("[qemu] INT1 is a trap", &c, DB, NO_ERROR, s->at + 1);
    CHECK_EQUAL("INT1 sets no DR6 bit", DR6_RESET, read_dr6());
    s = SNIP("inc %eax; inc %eax");
    context_set(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("single step is a trap", &c, DB, NO_ERROR, s->at + (WORLD == 64 ? 2 : 1));
    CHECK_EQUAL("one INC done", 1, c.ax);
    CHECK_EQUAL("DR6.BS", DR6_RESET | DR6_BS, read_dr6());
    CHECK_EQUAL("TF in the saved flags", FLAG_TF, c.flags & FLAG_TF);
    write_dr6(DR6_RESET);
}

TEST(bp)
{
    struct context c;
    const struct snip *s = SNIP("int3; nop");
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("INT3 is a trap", &c, BP_, NO_ERROR, s->at + 1);
    s = SNIP(".byte 0xcd, 3; nop");
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("INT 3 in two bytes", &c, BP_, NO_ERROR, s->at + 2);
    context_set_user(&c, s);
    context_run(&c);
    CHECK_EXIT("INT 3 in ring 3", &c, BP_, NO_ERROR, s->at + 2);
    CHECK_EQUAL("CS of ring 3", SEL_USER_CODE | 3, c.cs);
}

TEST(int_n)
{
    struct context c;
    const struct snip *s = SNIP("int $0x80; nop");
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("INT 0x80 in ring 0", &c, 0x80, NO_ERROR, s->at + 2);
    context_set_user(&c, s);
    RUN_FAULT("[qemu] gate DPL below CPL: #GP(vector, IDT)", s, &c, GP, 0x80 * 8 + IDT);
    s = SNIP("int $0");
    context_set_user(&c, s);
    RUN_FAULT("INT 0 in ring 3", s, &c, GP, IDT);
    idt_set(0x81, SEL_CODE, 0, SYS_INT, 0);
    s = SNIP("int $0x81");
    FAULT("[qemu] gate not present: #NP", s, NP, 0x81 * 8 + IDT);
    context_set_user(&c, s);
    RUN_FAULT("[qemu] DPL is checked before P", s, &c, GP, 0x81 * 8 + IDT);
    idt_set(0x81, SEL_CODE, 0, SEG_P | SYS_LDT, 0);
    FAULT("[qemu] no gate type in the IDT", s, GP, 0x81 * 8 + IDT);
    idt_set(0x81, 0, ADDR(s->start), SEG_P | SYS_INT, 0);
    FAULT("gate with null CS: #GP(0)", s, GP, 0);
    idt_set(0x81, 0x1000, ADDR(s->start), SEG_P | SYS_INT, 0);
    FAULT("gate's CS beyond the GDT", s, GP, 0x1000);
    idt_set(0x81, SEL_DATA, ADDR(s->start), SEG_P | SYS_INT, 0);
    FAULT("gate's CS is data", s, GP, SEL_DATA);
    idt_set(0x81, SEL_USER_CODE | 3, ADDR(s->start), SEG_P | SYS_INT, 0);
    FAULT("gate to an outer ring", s, GP, SEL_USER_CODE);
    descriptor_raw(SEL_FREE, *descriptor_at(SEL_CODE) & ~((u64)SEG_P << 40));
    idt_set(0x81, SEL_FREE, ADDR(s->start), SEG_P | SYS_INT, 0);
    FAULT("gate's CS not present", s, NP, SEL_FREE);
    idt_reset(0x81);
    struct table old, small;
    __asm__ volatile("sidt %0" : "=m"(old));
    small = (struct table){(uint16_t)(0x81 * (WORLD == 64 ? 16 : 8) + (WORLD == 64 ? 14 : 6)), old.base};
    __asm__ volatile("lidt %0" : : "m"(small));
    FAULT("[qemu] vector cut by the IDT's limit", s, GP, 0x81 * 8 + IDT);
    __asm__ volatile("lidt %0" : : "m"(old));
}

TEST(ud)
{
    FAULT("UD2", SNIP("ud2"), UD, NO_ERROR);
    FAULT("UD1", SNIP(".byte 0x0f, 0xb9, 0xc0"), UD, NO_ERROR);
    FAULT("UD0", SNIP(".byte 0x0f, 0xff, 0xc0"), UD, NO_ERROR);
    FAULT("LOCK NOP", SNIP(".byte 0xf0, 0x90"), UD, NO_ERROR);
    FAULT("LOCK ADD to a register", SNIP(".byte 0xf0, 0x01, 0xc0"), UD, NO_ERROR);
    FAULT("LOCK CMP", SNIP(".byte 0xf0, 0x39, 0x00"), UD, NO_ERROR);
    FAULT("MOV to CS", SNIP(".byte 0x8e, 0xc8"), UD, NO_ERROR);
    FAULT("MOV to segment register 6", SNIP(".byte 0x8e, 0xf0"), UD, NO_ERROR);
    FAULT("MOV from segment register 7", SNIP(".byte 0x8c, 0xf8"), UD, NO_ERROR);
    FAULT("MOV to CR1", SNIP(".byte 0x0f, 0x22, 0xc8"), UD, NO_ERROR);
    FAULT("MOV from CR5", SNIP(".byte 0x0f, 0x20, 0xe8"), UD, NO_ERROR);
    FAULT("LEA of a register", SNIP(".byte 0x8d, 0xc0"), UD, NO_ERROR);
    FAULT("CMPXCHG8B of a register", SNIP(".byte 0x0f, 0xc7, 0xc8"), UD, NO_ERROR);
    FAULT("LGDT of a register", SNIP(".byte 0x0f, 0x01, 0xd0 + 7"), UD, NO_ERROR);
    FAULT("INVLPG of a register", SNIP(".byte 0x0f, 0x01, 0xff"), UD, NO_ERROR);
    FAULT("FE /2", SNIP(".byte 0xfe, 0xd0"), UD, NO_ERROR);
    FAULT("FF /7", SNIP(".byte 0xff, 0xf8"), UD, NO_ERROR);
    FAULT("0F 00 /6", SNIP(".byte 0x0f, 0x00, 0xf0"), UD, NO_ERROR);
    FAULT("0F BA /0", SNIP(".byte 0x0f, 0xba, 0xc0, 0"), UD, NO_ERROR);
    FAULT("far JMP to a register", SNIP(".byte 0xff, 0xe8"), UD, NO_ERROR);
    FAULT("RSM outside SMM", SNIP("rsm"), UD, NO_ERROR);
    FAULT("[qemu] LOCK MOV", SNIP(".byte 0xf0, 0x89, 0x00"), UD, NO_ERROR);
    FAULT("[qemu] 8F /1", SNIP(".byte 0x8f, 0xc8"), UD, NO_ERROR);
    FAULT("[qemu] C6 /1", SNIP(".byte 0xc6, 0xc8, 0"), UD, NO_ERROR);
    FAULT("[qemu] 0F 04, undefined", SNIP(".byte 0x0f, 0x04"), UD, NO_ERROR);
    if (!cpu_has(1, 0, 'c', 3)) {
        FAULT("MONITOR that CPUID does not offer", SNIP(".byte 0x0f, 0x01, 0xc8"), UD, NO_ERROR);
        FAULT("MWAIT that CPUID does not offer", SNIP(".byte 0x0f, 0x01, 0xc9"), UD, NO_ERROR);
    }
    write_cr4(read_cr4() | CR4_DE);
    FAULT("MOV from DR4 with CR4.DE", SNIP("mov %db4, " AX), UD, NO_ERROR);
    FAULT("MOV to DR5 with CR4.DE", SNIP("mov " AX ", %db5"), UD, NO_ERROR);
    write_cr4(read_cr4() & ~(word)CR4_DE);
    THROUGH("DR4 is DR6 without CR4.DE", SNIP("mov %db4, " AX));
    FAULT("XGETBV without CR4.OSXSAVE", SNIP("xgetbv"), UD, NO_ERROR);
    write_cr0(read_cr0() & ~(word)(CR0_TS | CR0_EM));
    FAULT("SSE without CR4.OSFXSR", SNIP("movaps %xmm0, %xmm1"), UD, NO_ERROR);
    write_cr0(read_cr0() | CR0_EM);
    write_cr4(read_cr4() | CR4_OSFXSR);
    FAULT("SSE with CR0.EM", SNIP("movaps %xmm0, %xmm1"), UD, NO_ERROR);
    FAULT("MMX with CR0.EM", SNIP("movq %mm0, %mm1"), UD, NO_ERROR);
    write_cr4(read_cr4() & ~(word)CR4_OSFXSR);
    write_cr0(read_cr0() & ~(word)CR0_EM);
}

/* 15 bytes are an instruction, 16 are #GP(0), whatever they would be. SDM 3A table 6-2, 2A 2.3.11. */
TEST(length)
{
    THROUGH("15 bytes", SNIP(".fill 14, 1, 0x66; nop"));
    FAULT("16 bytes", SNIP(".fill 15, 1, 0x66; nop"), GP, 0);
    FAULT("endless prefixes", SNIP(".fill 64, 1, 0x2e; nop"), GP, 0);
    FAULT("16 bytes with an immediate", SNIP(".fill 11, 1, 0x2e; .byte 0xb8, 1, 2, 3, 4"), GP, 0);
    THROUGH("15 bytes with an immediate", SNIP(".fill 10, 1, 0x2e; .byte 0xb8, 1, 2, 3, 4"));
}

TEST(nm)
{
    word cr0 = read_cr0();
    struct {
        const char *what;
        const struct snip *s;
        word bits;
        bool fault;
    } table[] = {
        {"FNINIT with TS", SNIP("fninit"), CR0_TS, true},
        {"FNINIT with EM", SNIP("fninit"), CR0_EM, true},
        {"FLD1 with TS and MP", SNIP("fld1"), CR0_TS | CR0_MP, true},
        {"WAIT with TS and MP", SNIP("fwait"), CR0_TS | CR0_MP, true},
        {"WAIT with TS", SNIP("fwait"), CR0_TS, false},
        {"WAIT with MP", SNIP("fwait"), CR0_MP, false},
        {"WAIT with EM", SNIP("fwait"), CR0_EM, false},
        {"MMX with TS", SNIP("movq %mm0, %mm1"), CR0_TS, true},
        {"SSE with TS", SNIP("movaps %xmm0, %xmm1"), CR0_TS, true},
        {"FXSAVE with TS", SNIP("fxsave 0x6000"), CR0_TS, true},
    };
    write_cr4(read_cr4() | CR4_OSFXSR);
    for (unsigned i = 0; i < COUNT(table); i++) {
        write_cr0((cr0 & ~(word)(CR0_TS | CR0_EM | CR0_MP)) | table[i].bits);
        if (table[i].fault)
            FAULT(table[i].what, table[i].s, NM, NO_ERROR);
        else
            THROUGH(table[i].what, table[i].s);
    }
    write_cr0(cr0);
    __asm__ volatile("clts");
    write_cr4(read_cr4() & ~(word)CR4_OSFXSR);
}

TEST(np)
{
    descriptor_set(SEL_FREE, 0, 0xfffff, (SEG_DATA | SEG_W) & ~SEG_P, SEG_G | SEG_B);
    descriptor_raw(SEL_FREE + 8, *descriptor_at(SEL_CODE) & ~((u64)SEG_P << 40));
    descriptor_raw(SEL_FREE + 0x10, 0);
    descriptor_raw(SEL_FREE + 0x18, 0);
    struct context c;
    const struct snip *s = SNIP("mov %eax, %ds");
    context_set(&c, s);
    c.ax = SEL_FREE;
    RUN_FAULT("DS not present", s, &c, NP, SEL_FREE);
    CHECK_EQUAL("DS unchanged", SEL_DATA, c.ds);
    s = SNIP("mov %eax, %fs");
    descriptor_set(SEL_FREE + 0x20, 0, 0xfffff, (SEG_DATA | SEG_W | SEG_DPL(3)) & ~SEG_P, SEG_G | SEG_B);
    context_set(&c, s);
    c.ax = (SEL_FREE + 0x20) | 3;
    RUN_FAULT("FS not present; the error code has no RPL", s, &c, NP, SEL_FREE + 0x20);
    s = SNIP("mov %eax, %ss");
    context_set(&c, s);
    c.ax = SEL_FREE;
    RUN_FAULT("SS not present is #SS", s, &c, SS, SEL_FREE);
    s = SNIP("push" W " $0x88\n push" W " $0\n" AT "lret" W);
    FAULT("far RET to CS not present", s, NP, SEL_FREE + 8);
    descriptor_set(SEL_FREE + 0x10, 0, 0xff, SYS_LDT, 0);
    s = SNIP("lldt %ax");
    context_set(&c, s);
    c.ax = SEL_FREE + 0x10;
    RUN_FAULT("LLDT not present", s, &c, NP, SEL_FREE + 0x10);
    descriptor_set(SEL_FREE + 0x10, 0, 0x67, SYS_TSS, 0);
    s = SNIP("ltr %ax");
    context_set(&c, s);
    c.ax = SEL_FREE + 0x10;
    RUN_FAULT("LTR not present", s, &c, NP, SEL_FREE + 0x10);
    descriptor_raw(8 | TI, *descriptor_at(SEL_FREE));
    s = SNIP("mov %eax, %es");
    context_set(&c, s);
    c.ax = 8 | TI;
    RUN_FAULT("ES of the LDT not present: TI", s, &c, NP, 8 | TI);
}

TEST(gp_selectors)
{
    struct {
        const char *what;
        word selector;
        bool user, stack;
    } table[] = {
        {"DS beyond the GDT", SEL_LIMIT, false, false},
        {"DS beyond the LDT", sizeof(ldt) | TI, false, false},
        {"DS with a system descriptor", SEL_TSS, false, false},
        {"DS with DPL 0 in ring 3", SEL_DATA, true, false},
        {"DS with DPL 3 code", SEL_FREE + 8, false, false}, /* execute-only */
        {"SS with a code segment", SEL_CODE, false, true},
        {"SS with RPL 3 in ring 0", SEL_DATA | 3, false, true},
        {"SS with DPL 3 in ring 0", SEL_USER_DATA, false, true},
        {"SS read-only", SEL_FREE, false, true},
        {"SS with DPL 0 in ring 3", SEL_DATA | 3, true, true},
        {"SS beyond the GDT", 0xfff8, false, true},
    };
    descriptor_set(SEL_FREE, 0, 0xfffff, SEG_DATA, SEG_G | SEG_B);
    descriptor_set(SEL_FREE + 8, 0, 0xfffff, SEG_CODE, SEG_G | SEG_B);
    const struct snip *ds = SNIP("mov %eax, %ds"), *ss = SNIP("mov %eax, %ss");
    for (unsigned i = 0; i < COUNT(table); i++) {
        const struct snip *s = table[i].stack ? ss : ds;
        struct context c;
        if (table[i].user)
            context_set_user(&c, s);
        else
            context_set(&c, s);
        c.ax = table[i].selector;
        RUN_FAULT(table[i].what, s, &c, GP, table[i].selector & 0xfffc);
    }
}

TEST(gp_privileged)
{
    static const char *const names[] = {"HLT",     "LGDT",       "LIDT",    "LLDT",       "LTR",   "LMSW",
                                        "CLTS",    "INVD",       "WBINVD",  "INVLPG",     "RDMSR", "WRMSR",
                                        "MOV CR0", "MOV to CR3", "MOV DR0", "MOV to DR7", "CLI",   "STI",
                                        "IN",      "OUT",        "INS",     "OUTS"};
    const struct snip *snips[] = {SNIP("hlt"),           SNIP("lgdt (" BX ")"),
                                  SNIP("lidt (" BX ")"), SNIP("lldt %ax"),
                                  SNIP("ltr %ax"),       SNIP("lmsw %ax"),
                                  SNIP("clts"),          SNIP("invd"),
                                  SNIP("wbinvd"),        SNIP("invlpg (" BX ")"),
                                  SNIP("rdmsr"),         SNIP("wrmsr"),
                                  SNIP("mov %cr0, " AX), SNIP("mov " AX ", %cr3"),
                                  SNIP("mov %db0, " AX), SNIP("mov " AX ", %db7"),
                                  SNIP("cli"),           SNIP("sti"),
                                  SNIP("in $0x80, %al"), SNIP("out %al, $0x80"),
                                  SNIP("insb"),          SNIP("outsb")};
    for (unsigned i = 0; i < COUNT(snips); i++) {
        struct context c;
        context_set_user(&c, snips[i]);
        c.bx = c.di = c.si = ADDR(snippet_stack);
        RUN_FAULT(names[i], snips[i], &c, GP, 0);
    }
    struct context c;
    const struct snip *s = SNIP("cli; sti; in $0x80, %al");
    context_set_user(&c, s);
    c.flags |= FLAG_IOPL(3);
    RUN_THROUGH("CLI, STI, IN with IOPL 3", s, &c);
    s = SNIP("pushf; and" W " $~0x200, (" SP "); popf; pushf; pop " AX);
    context_set_user(&c, s);
    c.flags |= FLAG_IF;
    RUN_THROUGH("POPF in ring 3", s, &c);
    CHECK_EQUAL("POPF leaves IF alone when CPL > IOPL", FLAG_IF, c.ax & FLAG_IF);
    s = SNIP("push" W " $0x3002; popf; pushf; pop " AX);
    context_set_user(&c, s);
    c.flags |= FLAG_IF;
    RUN_THROUGH("POPF of IOPL in ring 3", s, &c);
    CHECK_EQUAL("POPF leaves IOPL alone when CPL > 0", FLAG_IF, c.ax & (FLAG_IF | FLAG_IOPL(3)));
}

TEST(gp_control)
{
    struct context c;
    word cr0 = read_cr0(), cr4 = read_cr4();
    struct {
        const char *what;
        const struct snip *s;
        word value;
    } table[] = {
        {"CR0: PG without PE", SNIP("mov " AX ", %cr0"), (cr0 & ~(word)CR0_PE) | CR0_PG},
        {"CR0: NW without CD", SNIP("mov " AX ", %cr0"), (cr0 & ~(word)CR0_CD) | CR0_NW},
        {"CR4: a reserved bit", SNIP("mov " AX ", %cr4"), cr4 | 1u << 31},
        {"CR4: bit 15", SNIP("mov " AX ", %cr4"), cr4 | 1u << 15},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        if (known(QUIRK_QEMU, table[i].what))
            continue;
        context_set(&c, table[i].s);
        c.ax = table[i].value;
        context_run(&c);
        word got0 = read_cr0(), got4 = read_cr4();
        write_cr0(cr0);
        write_cr4(cr4);
        CHECK_EXIT(table[i].what, &c, GP, 0, table[i].s->at);
        CHECK_EQUAL("CR0 unchanged", cr0, got0);
        CHECK_EQUAL("CR4 unchanged", cr4, got4);
    }
    const struct snip *s = SNIP("rdmsr");
    context_set(&c, s);
    c.cx = 0x4000dead;
    RUN_FAULT("[qemu] RDMSR of an unknown MSR", s, &c, GP, 0);
    s = SNIP("wrmsr");
    context_set(&c, s);
    c.cx = 0x4000dead;
    RUN_FAULT("[qemu] WRMSR of an unknown MSR", s, &c, GP, 0);
    context_set(&c, s);
    c.cx = MSR_EFER;
    c.ax = 1u << 9 | (word)(rdmsr(MSR_EFER));
    RUN_FAULT("[qemu] WRMSR of a reserved bit of EFER", s, &c, GP, 0);
    context_set(&c, s);
    c.cx = MSR_PAT;
    c.ax = 0x02;
    RUN_FAULT("[qemu] WRMSR of a reserved type to PAT", s, &c, GP, 0);
}

TEST(rf)
{
    struct context c;
    const struct snip *s = SNIP("ud2");
    context_set(&c, s);
    context_run(&c);
    CHECK_EQUAL("[qemu] a fault saves RF set", FLAG_RF, c.flags & FLAG_RF);
    s = SNIP("xor %ecx, %ecx\n" AT "div %ecx");
    context_set(&c, s);
    context_run(&c);
    CHECK_EQUAL("[qemu] #DE saves RF set", FLAG_RF, c.flags & FLAG_RF);
    s = SNIP("int3");
    context_set(&c, s);
    context_run(&c);
    CHECK_EQUAL("INT3 saves RF clear", 0, c.flags & FLAG_RF);
    s = SNIP("int $0x80");
    context_set(&c, s);
    context_run(&c);
    CHECK_EQUAL("INT n saves RF clear", 0, c.flags & FLAG_RF);
}

TEST(ac)
{
    struct context c;
    const struct snip *s = SNIP("mov 1(" BX "), %eax");
    write_cr0(read_cr0() | CR0_AM);
    context_set_user(&c, s);
    c.bx = ADDR(snippet_stack);
    c.flags |= FLAG_AC;
    RUN_FAULT("[qemu] misaligned read in ring 3: #AC(0)", s, &c, AC, 0);
    context_set(&c, s);
    c.bx = ADDR(snippet_stack);
    c.flags |= FLAG_AC;
    RUN_THROUGH("none in ring 0", s, &c);
    context_set_user(&c, s);
    c.bx = ADDR(snippet_stack);
    RUN_THROUGH("none with AC clear", s, &c);
    context_set_user(&c, s);
    c.bx = ADDR(snippet_stack) + 3;
    c.flags |= FLAG_AC;
    RUN_THROUGH("none when aligned", s, &c);
    s = SNIP("movb %al, 1(" BX ")\n movw %ax, 2(" BX ")\n" AT "movw %ax, 1(" BX ")");
    context_set_user(&c, s);
    c.bx = ADDR(snippet_stack);
    c.flags |= FLAG_AC;
    RUN_FAULT("[qemu] misaligned word write", s, &c, AC, 0);
    s = SNIP("push %ax\n" AT "push " AX);
    context_set_user(&c, s);
    c.flags |= FLAG_AC;
    RUN_FAULT("[qemu] PUSH to a misaligned stack", s, &c, AC, 0);
    write_cr0(read_cr0() & ~(word)CR0_AM);
    s = SNIP("mov 1(" BX "), %eax");
    context_set_user(&c, s);
    c.bx = ADDR(snippet_stack);
    c.flags |= FLAG_AC;
    RUN_THROUGH("none with CR0.AM clear", s, &c);
}

TEST(mf)
{
    word cr0 = read_cr0();
    write_cr0((cr0 & ~(word)(CR0_TS | CR0_EM)) | CR0_NE);
    static const uint16_t unmasked = 0x37b; /* ZM clear */
    struct context c;
    const struct snip *s = SNIP("fninit; fldcw (" BX "); fld1; fldz; fdivrp %st, %st(1)\n" AT "fwait");
    context_set(&c, s);
    c.bx = ADDR(&unmasked);
    RUN_FAULT("#MF at the WAIT after", s, &c, MF, NO_ERROR);
    s = SNIP("fninit; fldcw (" BX "); fld1; fldz; fdivrp %st, %st(1); fnstsw %ax; fnclex; fwait");
    context_set(&c, s);
    c.bx = ADDR(&unmasked);
    RUN_THROUGH("FNSTSW and FNCLEX do not wait", s, &c);
    CHECK_EQUAL("ES, B and ZE in the status word", 0x8084, c.ax & 0x80ff);
    s = SNIP("fninit; fldcw (" BX "); fld1; fldz; fdivrp %st, %st(1); nop\n" AT "fld1");
    context_set(&c, s);
    c.bx = ADDR(&unmasked);
    RUN_FAULT("[qemu] #MF at the next x87 instruction", s, &c, MF, NO_ERROR);
    __asm__ volatile("fninit");
    write_cr0(cr0);
}

TEST(xm)
{
    word cr0 = read_cr0();
    write_cr0(cr0 & ~(word)(CR0_TS | CR0_EM));
    static const uint32_t unmasked = 0x1f80 & ~(1u << 9), normal = 0x1f80; /* ZM clear */
    struct context c;
    const struct snip *s = SNIP(
        "ldmxcsr (" BX "); xorps %xmm1, %xmm1; mov $1, %eax; cvtsi2ss %eax, %xmm0\n" AT "divss %xmm1, %xmm0");
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    context_set(&c, s);
    c.bx = ADDR(&unmasked);
    RUN_FAULT("[qemu] #XM at the instruction", s, &c, XM, NO_ERROR);
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    CHECK_EQUAL("[qemu] MXCSR.ZE", unmasked | 4, mxcsr);
    write_cr4(read_cr4() & ~(word)CR4_OSXMMEXCPT);
    context_set(&c, s);
    c.bx = ADDR(&unmasked);
    RUN_FAULT("[qemu] #UD without CR4.OSXMMEXCPT", s, &c, UD, NO_ERROR);
    s = SNIP("ldmxcsr (" BX ")");
    context_set(&c, s);
    static const uint32_t reserved = 0x11f80;
    c.bx = ADDR(&reserved);
    RUN_FAULT("[qemu] LDMXCSR of a reserved bit", s, &c, GP, 0);
    s = SNIP("movaps 8(" BX "), %xmm0");
    context_set(&c, s);
    c.bx = ADDR(snippet_stack);
    RUN_FAULT("MOVAPS misaligned", s, &c, GP, 0);
    __asm__ volatile("ldmxcsr %0" : : "m"(normal));
    write_cr4(read_cr4() & ~(word)CR4_OSFXSR);
    write_cr0(cr0);
}

static void pf_check(const char *what, const struct snip *s, bool user, word address, word error)
{
    struct context c;
    if (user)
        context_set_user(&c, s);
    else
        context_set(&c, s);
    c.bx = address;
    write_cr2(0);
    RUN_FAULT(what, s, &c, PF, error);
    CHECK_EQUAL(what, address, c.cr2);
}

TEST(pf)
{
    paging_on(PAGES_NATIVE, PTE_U);
    const struct snip *read = SNIP("mov (" BX "), %eax"), *write = SNIP("mov %eax, (" BX ")"),
                      *both = SNIP("incl (" BX ")");
    word page = WINDOW_PAGE(1) + 0x123;
    entry_set(1, 1, 0);
    pf_check("read, not present", read, false, page, 0);
    pf_check("write, not present", write, false, page, PF_W);
    pf_check("[qemu] read-modify-write is a write", both, false, page, PF_W);
    pf_check("user read, not present", read, true, page, PF_U);
    pf_check("user write, not present", write, true, page, PF_U | PF_W);
    entry_set(1, 1, FRAME(0) | PTE_P | PTE_U);
    pf_check("user write to read-only", write, true, page, PF_U | PF_W | PF_P);
    entry_set(1, 1, FRAME(0) | PTE_P | PTE_W);
    flush();
    pf_check("user read of supervisor", read, true, page, PF_U | PF_P);
    pf_check("user write to supervisor", write, true, page, PF_U | PF_W | PF_P);
    write_cr0(read_cr0() | CR0_WP);
    entry_set(1, 1, FRAME(0) | PTE_P);
    flush();
    pf_check("supervisor write with WP", write, false, page, PF_W | PF_P);
    write_cr0(read_cr0() & ~(word)CR0_WP);
    entry_set(1, 1, FRAME(0) | PTE_P | PTE_U | 1ull << 51);
    flush();
    pf_check("[qemu] reserved bit", read, false, page, PF_P | PF_RSVD);
    pf_check("[qemu] reserved bit, user write", write, true, page, PF_P | PF_RSVD | PF_W | PF_U);
    entry_set(1, 1, 1ull << 51);
    flush();
    pf_check("reserved bits count only when present", read, false, page, 0);
    if (CPU_HAS_NX) {
        struct context c;
        const struct snip *nop = SNIP("nop");
        entry_set(1, 1, FRAME(0) | PTE_P | PTE_U | PTE_NX);
        flush();
        frame_code(0, nop);
        context_set_user(&c, nop);
        c.ip = WINDOW_PAGE(1);
        context_run(&c);
        CHECK_EXIT("user fetch from NX", &c, PF, PF_P | PF_U | PF_I, WINDOW_PAGE(1));
        CHECK_EQUAL("CR2 of the fetch", WINDOW_PAGE(1), c.cr2);
        context_set(&c, nop);
        c.ip = WINDOW_PAGE(2) + 5;
        context_run(&c);
        CHECK_EXIT("fetch from not present", &c, PF, PF_I, WINDOW_PAGE(2) + 5);
        /* Without NXE the I/D bit is not reported and bit 63 is reserved. */
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_NXE);
        flush();
        pf_check("[qemu] NX without NXE is reserved", read, false, page, PF_P | PF_RSVD);
        context_set(&c, nop);
        c.ip = WINDOW_PAGE(2);
        context_run(&c);
        CHECK_EXIT("no I/D bit without NXE and SMEP", &c, PF, 0, WINDOW_PAGE(2));
    }
    paging_off();
}

/* The double fault table, SDM 3A table 6-5. */
TEST(df)
{
    struct context c;
    struct table old;
    __asm__ volatile("sidt %0" : "=m"(old));
    const struct snip *div = SNIP("xor %ecx, %ecx\n" AT "div %ecx"), *ud = SNIP("ud2");
    idt_set(DE, SEL_CODE, 0, SYS_INT, 0);
    FAULT("contributory in contributory: #DE, then #NP", div, DF, 0);
    idt_reset(DE);
    idt_set(UD, SEL_CODE, 0, SYS_INT, 0);
    FAULT("[qemu] contributory in benign: #UD, then #NP with EXT", ud, NP, UD * 8 + IDT + EXT);
    idt_reset(UD);
    idt_set(GP, SEL_CODE, 0, SYS_INT, 0);
    FAULT("#GP, then #NP", SNIP("mov $0xfff8, %eax\n" AT "mov %eax, %ds"), DF, 0);
    idt_reset(GP);
    idt_set(UD, 0xfff8, 0, SEG_P | SYS_INT, 0);
    FAULT("[qemu] #UD, then #GP of the gate's selector with EXT", ud, GP, 0xfff8 + EXT);
    idt_reset(UD);

    /* The IDT in a window: entries on a page that is not there. */
    paging_on(PAGES_NATIVE, PTE_U);
    unsigned size = WORLD == 64 ? 16 : 8;
    unsigned below = PF * size; /* the entry of #PF begins the second page */
    entry_set(1, 1, 0);
    entry_set(1, 2, FRAME(1) | PTE_P | PTE_W);
    flush();
    memory_copy(frames[0] + PAGE_SIZE - below, (void *)old.base, below);
    memory_copy(frames[1], (uint8_t *)old.base + below, 256 * size - below);
    struct table split = {old.limit, WINDOW_PAGE(2) - below};
    __asm__ volatile("lidt %0" : : "m"(split));
    const struct snip *gp = SNIP("mov $0xfff8, %eax\n" AT "mov %eax, %ds");
    context_set(&c, gp);
    context_run(&c);
    CHECK_EXIT("#PF while delivering #GP is #PF", &c, PF, 0, gp->at);
    CHECK_EQUAL("CR2 is the IDT entry", WINDOW_PAGE(2) - (PF - GP) * size, c.cr2 & ~(word)7);
    context_set(&c, ud);
    context_run(&c);
    CHECK_EXIT("#PF while delivering #UD is #PF", &c, PF, 0, ud->at);
    /* Now #PF's own entry is missing, #DF's is there. */
    entry_set(1, 1, FRAME(0) | PTE_P | PTE_W);
    entry_set(1, 2, 0);
    flush();
    const struct snip *read = SNIP("mov (" BX "), %eax");
    context_set(&c, read);
    c.bx = WINDOW_PAGE(5);
    context_run(&c);
    CHECK_EXIT("#PF while delivering #PF is #DF", &c, DF, 0, read->at);
    __asm__ volatile("lidt %0" : : "m"(old));
    paging_off();
    idt_set(PF, SEL_CODE, 0, SYS_INT, 0);
    paging_on(PAGES_NATIVE, PTE_U);
    context_set(&c, read);
    c.bx = WINDOW_PAGE(5);
    context_run(&c);
    CHECK_EXIT("contributory while delivering #PF is #DF", &c, DF, 0, read->at);
    idt_reset(PF);
    paging_off();
}
