/* Ways between rings in both worlds: interrupt and trap gates, IRET, call gates, far returns,
 * conforming code, SYSENTER and SYSEXIT. SDM 3A 5.8, 6.12. */
#include "guest.h"

struct far {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed));

#define FAR_RET "lret" W

TEST(gate_flags)
{
    struct context c;
    const struct snip *handler = SNIP("pushf; pop " AX "; pop " BX "; pop " CX "; pop " DX),
                      *s = SNIP("int $0x40");
    for (unsigned trap = 0; trap <= 1; trap++) {
        idt_set(0x40, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | (trap ? SYS_TRAP : SYS_INT), 0);
        context_set(&c, s);
        c.flags |= FLAG_IF | FLAG_NT | FLAG_DF | FLAG_CF;
        context_run(&c);
        CHECK_EXIT("the handler ran", &c, EXIT, NO_ERROR, handler->end + 2);
        CHECK_EQUAL("an interrupt gate clears IF, a trap gate does not", trap ? FLAG_IF : 0, c.ax & FLAG_IF);
        CHECK_EQUAL("NT, TF, RF are clear", 0, c.ax & (FLAG_NT | FLAG_TF | FLAG_RF));
        CHECK_EQUAL("DF and CF stay", FLAG_DF | FLAG_CF, c.ax & (FLAG_DF | FLAG_CF));
        CHECK_EQUAL("saved flags", FLAG_IF | FLAG_NT | FLAG_DF | FLAG_CF | FLAG_1, c.dx);
        CHECK_EQUAL("saved IP", s->end, c.bx);
        CHECK_EQUAL("saved CS", SEL_CODE, c.cx);
    }
    idt_reset(0x40);
}

TEST(gate_from_ring3)
{
    struct context c;
    const struct snip *handler =
                          SNIP("mov " SP ", " DI "; pop " AX "; pop " CX "; pop " DX "; pop " BX "; pop " SI),
                      *s = SNIP("int $0x40");
    idt_set(0x40, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_INT, 0);
    context_set_user(&c, s);
    c.flags |= FLAG_CF;
    context_run(&c);
    CHECK_EXIT("the handler ran", &c, EXIT, NO_ERROR, handler->end + 2);
    CHECK_EQUAL("in ring 0", SEL_CODE, c.cs);
    CHECK_EQUAL("IP", s->end, c.ax);
    CHECK_EQUAL("CS", SEL_USER_CODE | 3, c.cx);
    CHECK_EQUAL("flags", FLAG_1 | FLAG_CF, c.dx);
    CHECK_EQUAL("SP", SNIPPET_STACK_TOP, c.bx);
    CHECK_EQUAL("SS", SEL_USER_DATA | 3, c.si);
    CHECK_EQUAL("the handler's stack is the TSS's", *(uint32_t *)((uint8_t *)&tss + 4) - 5 * sizeof(word),
                c.di);
    CHECK_EQUAL("SS of ring 0: null in long mode", WORLD == 64 ? 0 : SEL_DATA, c.ss);
    CHECK_EQUAL("DS is not touched", SEL_USER_DATA | 3, c.ds);
    idt_reset(0x40);
}

/* A descriptor triple for rings 1 and 2: code, data. */
static void ring_set(unsigned ring)
{
    descriptor_set(SEL_FREE, 0, 0xfffff, SEG_CODE | SEG_R | SEG_DPL(ring),
                   SEG_G | (WORLD == 64 ? SEG_L : SEG_B));
    descriptor_set(SEL_FREE + 8, 0, 0xfffff, SEG_DATA | SEG_W | SEG_DPL(ring), SEG_G | SEG_B);
}

TEST(rings)
{
    for (unsigned ring = 1; ring <= 2; ring++) {
        struct context c;
        ring_set(ring);
        const struct snip *s = SNIP("mov %cs, %eax; mov %ss, %ecx; push " AX "; pop " DX);
        context_set(&c, s);
        c.cs = SEL_FREE | ring;
        c.ss = c.ds = c.es = (SEL_FREE + 8) | ring;
        RUN_THROUGH("code in a middle ring", s, &c);
        CHECK_EQUAL("CS", SEL_FREE | ring, c.ax);
        CHECK_EQUAL("SS", (SEL_FREE + 8) | ring, c.cx);
        s = SNIP("clts");
        context_set(&c, s);
        c.cs = SEL_FREE | ring;
        c.ss = (SEL_FREE + 8) | ring;
        RUN_FAULT("CLTS wants ring 0", s, &c, GP, 0);
        s = SNIP("cli");
        for (unsigned iopl = 0; iopl <= 3; iopl++) {
            context_set(&c, s);
            c.cs = SEL_FREE | ring;
            c.ss = (SEL_FREE + 8) | ring;
            c.flags |= FLAG_IOPL(iopl);
            if (iopl < ring)
                RUN_FAULT("CLI with CPL > IOPL", s, &c, GP, 0);
            else
                RUN_THROUGH("CLI with CPL <= IOPL", s, &c);
        }
        s = SNIP("mov %eax, %ds");
        context_set(&c, s);
        c.cs = SEL_FREE | ring;
        c.ss = (SEL_FREE + 8) | ring;
        c.ax = SEL_USER_DATA;
        RUN_THROUGH("data of an outer ring loads", s, &c);
        context_set(&c, s);
        c.cs = SEL_FREE | ring;
        c.ss = (SEL_FREE + 8) | ring;
        c.ax = SEL_DATA;
        RUN_FAULT("data of an inner ring does not", s, &c, GP, SEL_DATA);
    }
}

/* From ring 0 by IRET: the frame is BX:.. in registers. */
static const struct snip *iret_snip(void)
{
    return SNIP("push " SI "; push " DI "; push " DX "; push " CX "; push " BX "\n" AT IRET);
}

static void iret_set(struct context *c, word ip, word cs, word flags, word sp, word ss)
{
    context_set(c, iret_snip());
    c->bx = ip;
    c->cx = cs;
    c->dx = flags;
    c->di = sp;
    c->si = ss;
}

TEST(iret)
{
    struct context c;
    const struct snip *s = iret_snip(), *target = SNIP("mov %ds, %eax");
    iret_set(&c, target->start, SEL_USER_CODE | 3, FLAG_1 | FLAG_CF | FLAG_IOPL(2) | FLAG_NT | FLAG_AC,
             SNIPPET_STACK_TOP - 256, SEL_USER_DATA | 3);
    c.ds = SEL_DATA;
    c.es = SEL_USER_DATA | 3;
    context_run(&c);
    CHECK_EXIT("to ring 3", &c, EXIT, NO_ERROR, target->end + 2);
    CHECK_EQUAL("CS", SEL_USER_CODE | 3, c.cs);
    CHECK_EQUAL("SS", SEL_USER_DATA | 3, c.ss);
    CHECK_EQUAL("SP", SNIPPET_STACK_TOP - 256, c.sp);
    CHECK_EQUAL("flags", FLAG_1 | FLAG_CF | FLAG_IOPL(2) | FLAG_NT | FLAG_AC, c.flags);
    CHECK_EQUAL("DS of ring 0 is made null", 0, c.ax & 0xffff);
    CHECK_EQUAL("ES of ring 3 stays", SEL_USER_DATA | 3, c.es);
    struct {
        const char *what;
        word cs, ss;
        unsigned vector;
        word error;
    } table[] = {
        {"null CS", 0, SEL_USER_DATA | 3, GP, 0},
        {"null CS with RPL", 3, SEL_USER_DATA | 3, GP, 0},
        {"CS beyond the GDT", SEL_LIMIT | 3, SEL_USER_DATA | 3, GP, SEL_LIMIT},
        {"CS is data", SEL_USER_DATA | 3, SEL_USER_DATA | 3, GP, SEL_USER_DATA},
        {"DPL of CS is not RPL", SEL_CODE | 3, SEL_USER_DATA | 3, GP, SEL_CODE},
        {"CS not present", (SEL_FREE + 0x10) | 3, SEL_USER_DATA | 3, NP, SEL_FREE + 0x10},
        {"SS with another RPL", SEL_USER_CODE | 3, SEL_USER_DATA, GP, SEL_USER_DATA},
        {"SS with another DPL", SEL_USER_CODE | 3, SEL_DATA | 3, GP, SEL_DATA},
        {"SS is code", SEL_USER_CODE | 3, SEL_USER_CODE | 3, GP, SEL_USER_CODE},
        {"[qemu bochs] SS not present", SEL_USER_CODE | 3, (SEL_FREE + 0x18) | 3, SS, SEL_FREE + 0x18},
        {"SS beyond the GDT", SEL_USER_CODE | 3, SEL_LIMIT | 3, GP, SEL_LIMIT},
    };
    descriptor_raw(SEL_FREE + 0x10, *descriptor_at(SEL_USER_CODE) & ~((u64)SEG_P << 40));
    descriptor_raw(SEL_FREE + 0x18, *descriptor_at(SEL_USER_DATA) & ~((u64)SEG_P << 40));
    for (unsigned i = 0; i < COUNT(table); i++) {
        /* Behind some that go well, so that what an engine keeps of those does not answer for this one. */
        for (unsigned good = 0; good < 3; good++) {
            iret_set(&c, target->start, good % 2 ? SEL_CODE : SEL_USER_CODE | 3, FLAG_1, SNIPPET_STACK_TOP, good % 2 ? SEL_DATA : SEL_USER_DATA | 3);
            context_run(&c);
            CHECK_EXIT("the same that may", &c, EXIT, NO_ERROR, target->end + 2);
        }
        iret_set(&c, target->start, table[i].cs, FLAG_1, SNIPPET_STACK_TOP, table[i].ss);
        word sp = SNIPPET_STACK_TOP - 5 * sizeof(word);
        RUN_FAULT(table[i].what, s, &c, table[i].vector, table[i].error);
        CHECK_EQUAL("SP stays", sp, c.sp);
        CHECK_EQUAL("CS stays", SEL_CODE, c.cs);
    }
    iret_set(&c, target->start, SEL_USER_CODE | 3, FLAG_1, SNIPPET_STACK_TOP, 3);
    RUN_FAULT("null SS for ring 3", s, &c, GP, 0);
    /* Inward: the RPL of CS below CPL. */
    context_set_user(&c, s);
    c.bx = target->start;
    c.cx = SEL_CODE;
    c.dx = FLAG_1;
    c.di = SNIPPET_STACK_TOP;
    c.si = SEL_USER_DATA | 3;
    RUN_FAULT("inward", s, &c, GP, SEL_CODE);
    /* Ring 3 changes neither IOPL nor IF. */
    context_set_user(&c, s);
    c.bx = target->start;
    c.cx = SEL_USER_CODE | 3;
    c.dx = FLAG_1 | FLAG_IOPL(3) | FLAG_IF | FLAG_CF;
    c.di = SNIPPET_STACK_TOP;
    c.si = SEL_USER_DATA | 3;
    context_run(&c);
    CHECK_EXIT("ring 3 to ring 3", &c, EXIT, NO_ERROR, target->end + 2);
    CHECK_EQUAL("IOPL and IF are kept", FLAG_1 | FLAG_CF, c.flags);
    if (WORLD == 64) {
        iret_set(&c, target->start, SEL_CODE, FLAG_1 | FLAG_NT, SNIPPET_STACK_TOP, SEL_DATA);
        c.flags |= FLAG_NT;
        RUN_FAULT("NT in long mode", s, &c, GP, 0);
    }
}

enum { GATE = SEL_FREE + 0x40, CONFORMING = SEL_FREE + 0x60, INNER = SEL_FREE + 0x68 };

TEST(call_gate)
{
    struct context c;
    static struct far pointer;
    const struct snip *handler =
        SNIP("mov %cs, %eax; mov " SP ", " DI "; pop " BX "; pop " CX "; pop " DX "; pop " SI);
    const struct snip *call = SNIP("lcall *(" BX ")"), *jump = SNIP("ljmp *(" BX ")");
    gate_set(GATE, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    pointer = (struct far){0xdeadbeef, GATE | 3};
    context_set_user(&c, call);
    c.bx = ADDR(&pointer);
    context_run(&c);
    CHECK_EXIT("ring 3 to ring 0", &c, EXIT, NO_ERROR, handler->end + 2);
    CHECK_EQUAL("CPL 0", SEL_CODE, c.ax);
    CHECK_EQUAL("return IP", call->end, c.bx);
    CHECK_EQUAL("return CS", SEL_USER_CODE | 3, c.cx & 0xffff);
    CHECK_EQUAL("SP", SNIPPET_STACK_TOP, c.dx);
    CHECK_EQUAL("SS", SEL_USER_DATA | 3, c.si & 0xffff);
    CHECK_EQUAL("the stack is the TSS's", *(uint32_t *)((uint8_t *)&tss + 4) - 4 * sizeof(word), c.di);
    context_set_user(&c, jump);
    c.bx = ADDR(&pointer);
    RUN_FAULT("JMP does not change the ring", jump, &c, GP, SEL_CODE);
    context_set(&c, call);
    c.bx = ADDR(&pointer);
    pointer.selector = GATE;
    context_run(&c);
    CHECK_EXIT("ring 0 to ring 0", &c, EXIT, NO_ERROR, handler->end + 2);
    CHECK_EQUAL("two words pushed", SNIPPET_STACK_TOP - 2 * sizeof(word), c.di);
    context_set(&c, jump);
    c.bx = ADDR(&pointer);
    context_run(&c);
    CHECK_EXIT("JMP in ring 0", &c, EXIT, NO_ERROR, handler->end + 2);
    CHECK_EQUAL("nothing pushed", SNIPPET_STACK_TOP, c.di);

    gate_set(GATE, SEL_CODE, handler->start, SEG_P | SEG_DPL(2) | SYS_CALL, 0);
    pointer.selector = GATE | 3;
    context_set_user(&c, call);
    c.bx = ADDR(&pointer);
    RUN_FAULT("gate's DPL below CPL", call, &c, GP, GATE);
    context_set(&c, call);
    c.bx = ADDR(&pointer);
    RUN_FAULT("gate's DPL below RPL", call, &c, GP, GATE);
    gate_set(GATE, SEL_CODE, handler->start, SEG_DPL(3) | SYS_CALL, 0);
    context_set_user(&c, call);
    c.bx = ADDR(&pointer);
    RUN_FAULT("gate not present", call, &c, NP, GATE);
    gate_set(GATE, 0, handler->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    RUN_FAULT("gate to null", call, &c, GP, 0);
    gate_set(GATE, SEL_DATA, handler->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    RUN_FAULT("gate to data", call, &c, GP, SEL_DATA);
    gate_set(GATE, SEL_LIMIT, handler->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    RUN_FAULT("gate beyond the GDT", call, &c, GP, SEL_LIMIT);
    descriptor_raw(INNER, *descriptor_at(SEL_CODE) & ~((u64)SEG_P << 40));
    gate_set(GATE, INNER, handler->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    RUN_FAULT("gate to code not present", call, &c, NP, INNER);
    descriptor_raw(GATE, 0);
    descriptor_raw(GATE + 8, 0);
}

/* A call gate to ring 0 and the far return from it. */
TEST(far_return)
{
    struct context c;
    static struct far pointer;
    const struct snip *handler = SNIP("mov $0x10, %eax; mov %eax, %ds\n" FAR_RET);
    const struct snip *s = SNIP("lcall *(" BX "); mov %ds, %ecx; mov %cs, %edx");
    gate_set(GATE, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    pointer = (struct far){0, GATE | 3};
    context_set_user(&c, s);
    c.bx = ADDR(&pointer);
    RUN_THROUGH("CALL through the gate and RET", s, &c);
    CHECK_EQUAL("SP is back", SNIPPET_STACK_TOP, c.sp);
    CHECK_EQUAL("SS is back", SEL_USER_DATA | 3, c.ss);
    CHECK_EQUAL("DS of ring 0 was made null", 0, c.cx & 0xffff);
    CHECK_EQUAL("ring 3 again", SEL_USER_CODE | 3, c.dx & 0xffff);
    s = SNIP("push " CX "; push " BX "\n" AT FAR_RET);
    const struct snip *target = SNIP("nop");
    struct {
        const char *what;
        word cs;
        unsigned vector;
        word error;
    } table[] = {
        {"RET to null", 0, GP, 0},
        {"RET to data", SEL_DATA, GP, SEL_DATA},
        {"RET beyond the GDT", SEL_LIMIT, GP, SEL_LIMIT},
        {"RET to a DPL that is not the RPL", SEL_USER_CODE, GP, SEL_USER_CODE},
        {"RET to a TSS", SEL_TSS, GP, SEL_TSS},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        context_set(&c, s);
        c.bx = target->start;
        c.cx = table[i].cs;
        RUN_FAULT(table[i].what, s, &c, table[i].vector, table[i].error);
    }
    context_set_user(&c, s);
    c.bx = target->start;
    c.cx = SEL_CODE;
    RUN_FAULT("RET inward", s, &c, GP, SEL_CODE);
}

TEST(conforming)
{
    struct context c;
    static struct far pointer;
    const struct snip *target = SNIP("mov %cs, %eax\n" AT "clts"), *s = SNIP("lcall *(" BX ")"),
                      *jump = SNIP("ljmp *(" BX ")");
    descriptor_set(CONFORMING, 0, 0xfffff, SEG_CODE | SEG_R | SEG_CONFORMING,
                   SEG_G | (WORLD == 64 ? SEG_L : SEG_B));
    pointer = (struct far){(uint32_t)target->start, CONFORMING};
    context_set_user(&c, s);
    c.bx = ADDR(&pointer);
    context_run(&c);
    CHECK_EXIT("conforming code of DPL 0 runs in ring 3", &c, GP, 0, target->at);
    CHECK_EQUAL("CS has the CPL as RPL", CONFORMING | 3, c.ax);
    context_set_user(&c, jump);
    c.bx = ADDR(&pointer);
    context_run(&c);
    CHECK_EXIT("JMP as well", &c, GP, 0, target->at);
    descriptor_set(CONFORMING, 0, 0xfffff, SEG_CODE | SEG_R | SEG_CONFORMING | SEG_DPL(3),
                   SEG_G | (WORLD == 64 ? SEG_L : SEG_B));
    context_set(&c, s);
    c.bx = ADDR(&pointer);
    RUN_FAULT("conforming code of an outer ring", s, &c, GP, CONFORMING);
    pointer.selector = SEL_USER_CODE | 3;
    context_set(&c, jump);
    c.bx = ADDR(&pointer);
    RUN_FAULT("JMP outward", jump, &c, GP, SEL_USER_CODE);
    pointer.selector = SEL_CODE;
    context_set_user(&c, jump);
    c.bx = ADDR(&pointer);
    RUN_FAULT("JMP inward", jump, &c, GP, SEL_CODE);
    pointer.selector = 0;
    RUN_FAULT("JMP to null", jump, &c, GP, 0);
    /* An exception through a gate to conforming code keeps the ring. */
    descriptor_set(CONFORMING, 0, 0xfffff, SEG_CODE | SEG_R | SEG_CONFORMING,
                   SEG_G | (WORLD == 64 ? SEG_L : SEG_B));
    idt_set(0x40, CONFORMING, target->start, SEG_P | SEG_DPL(3) | SYS_INT, 0);
    const struct snip *interrupt = SNIP("int $0x40");
    context_set_user(&c, interrupt);
    context_run(&c);
    CHECK_EXIT("INT to conforming code stays in ring 3", &c, GP, 0, target->at);
    CHECK_EQUAL("on the same stack", WORLD == 64 ? (SNIPPET_STACK_TOP & ~15ul) - 40 : SNIPPET_STACK_TOP - 12,
                c.sp);
    idt_reset(0x40);
}

/* In long mode SYSENTER is Intel's; AMD has it in legacy mode only. */
static bool vendor_is_amd(void)
{
    return cpuid(0, 0).c == 0x444d4163; /* "cAMD" */
}

TEST(sysenter)
{
    if (!CPU_HAS_SEP) {
        skip("CPUID has no SEP");
        return;
    }
    if (WORLD == 64 && vendor_is_amd()) {
        skip("AMD: #UD in long mode");
        return;
    }
    struct context c;
    const struct snip *target = SNIP("mov %cs, %eax; mov %ss, %ecx; pushf; pop " DX), *s = SNIP("sysenter");
    wrmsr(MSR_SYSENTER_CS, SEL_CODE);
    wrmsr(MSR_SYSENTER_ESP, SNIPPET_STACK_TOP - 512);
    wrmsr(MSR_SYSENTER_EIP, target->start);
    context_set_user(&c, s);
    c.flags |= FLAG_IF | FLAG_CF;
    context_run(&c);
    CHECK_EXIT("SYSENTER from ring 3", &c, EXIT, NO_ERROR, target->end + 2);
    CHECK_EQUAL("CS", SEL_CODE, c.ax);
    CHECK_EQUAL("SS", SEL_DATA, c.cx);
    CHECK_EQUAL("SP", SNIPPET_STACK_TOP - 512, c.sp);
    CHECK_EQUAL("IF is cleared, CF stays", FLAG_CF, c.dx & (FLAG_IF | FLAG_CF));
    wrmsr(MSR_SYSENTER_CS, 3);
    context_set_user(&c, s);
    RUN_FAULT("[qemu] SYSENTER_CS null", s, &c, GP, 0);
    wrmsr(MSR_SYSENTER_CS, SEL_CODE | 3);
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("SYSENTER from ring 0", &c, EXIT, NO_ERROR, target->end + 2);
    CHECK_EQUAL("the RPL in SYSENTER_CS is ignored", SEL_CODE, c.ax);

    const struct snip *sysexit = SNIP(".byte 0x0f, 0x35"), *user = SNIP32("mov %cs, %eax; mov %ss, %ebx");
    context_set(&c, sysexit);
    c.cx = SNIPPET_STACK_TOP - 1024;
    c.dx = user->start;
    context_run(&c);
    CHECK_EXIT("SYSEXIT to 32-bit code", &c, EXIT, NO_ERROR, user->end + 2);
    CHECK_EQUAL("CS + 16", SEL_USER_CODE32 | 3, c.ax);
    CHECK_EQUAL("SS + 24", SEL_USER_DATA | 3, c.bx);
    CHECK_EQUAL("ESP from ECX", SNIPPET_STACK_TOP - 1024, c.sp);
    context_set_user(&c, sysexit);
    RUN_FAULT("SYSEXIT in ring 3", sysexit, &c, GP, 0);
    wrmsr(MSR_SYSENTER_CS, 0);
    context_set(&c, sysexit);
    RUN_FAULT("SYSEXIT with SYSENTER_CS null", sysexit, &c, GP, 0);
}
