/* Single step, debug registers, RF, GD, INT1 in both worlds. SDM 3A 17.2, 17.3; 6.8.3 (MOV SS). */
#include "guest.h"

static volatile uint8_t cells[64] ALIGNED(64);

enum { RW_EXECUTE = 0, RW_WRITE = 1, RW_IO = 2, RW_BOTH = 3, LEN_1 = 0, LEN_2 = 1, LEN_8 = 2, LEN_4 = 3 };

/* DR7 with breakpoint `n` enabled locally. */
static word dr7(unsigned n, unsigned rw, unsigned length)
{
    return DR7_RESET | (word)1 << (2 * n) | (word)(rw | length << 2) << (16 + 4 * n);
}

static void breakpoint_set(unsigned n, word address, unsigned rw, unsigned length)
{
    switch (n) {
    case 0: write_dr0(address); break;
    case 1: write_dr1(address); break;
    case 2: write_dr2(address); break;
    default: write_dr3(address); break;
    }
    write_dr6(DR6_RESET);
    write_dr7(dr7(n, rw, length));
}

static void debug_off(void)
{
    write_dr0(0);
    write_dr1(0);
    write_dr2(0);
    write_dr3(0);
    write_dr7(DR7_RESET);
    write_dr6(DR6_RESET);
}

/* DR6 without the bits that read as ones; cleared on the way. */
static word dr6_take(void)
{
    word v = read_dr6();
    write_dr6(DR6_RESET);
    return v & (0xf | DR6_BD | DR6_BS | DR6_BT);
}

/* Steps until the snippet's end; checks each trap's address against `offsets` from the start. */
static void step_through(const char *what, const struct snip *s, struct context *c, const uint8_t *offsets,
                         unsigned n)
{
    write_dr6(DR6_RESET);
    c->flags |= FLAG_TF;
    for (unsigned i = 0; i < n; i++) {
        context_run(c);
        if (!CHECK_EXIT(what, c, DB, NO_ERROR, s->start + offsets[i]))
            break;
        CHECK_EQUAL("DR6.BS", DR6_BS, dr6_take());
        CHECK_EQUAL("TF in the saved flags", FLAG_TF, c->flags & FLAG_TF);
    }
    debug_off();
}
#define STEPS(what, s, c, ...)                                                                               \
    step_through(what, s, c, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

TEST(step_ordinary)
{
    struct context c;
    const struct snip *s = SNIP("nop; mov $1, %eax; jmp 1f; nop\n1: add %eax, %eax; cpuid; nop");
    context_set(&c, s);
    STEPS("ordinary instructions", s, &c, 1, 6, 9, 11, 13, 14);
    s = SNIP("mov $2, %ecx\n1: sub $1, %ecx; jnz 1b; nop");
    context_set(&c, s);
    STEPS("a loop", s, &c, 5, 8, 5, 8, 10, 11);
    s = SNIP("call 1f; nop; jmp 2f\n1: ret\n2: nop");
    context_set(&c, s);
    STEPS("CALL and RET", s, &c, 8, 5, 6, 9, 10);
    s = SNIP("nop; nop");
    context_set_user(&c, s);
    STEPS("ring 3", s, &c, 1, 2);
}

TEST(step_rep)
{
    struct context c;
    const struct snip *s = SNIP("rep stosb; nop; nop");
    context_set(&c, s);
    c.cx = 3;
    c.di = ADDR(cells);
    STEPS("a trap after every iteration", s, &c, 0, 0, 2, 3);
    /* RF is pushed set after every iteration but the last: SDM 3B 17.3.1.1; so does silicon (seen). */
    context_set(&c, s);
    c.cx = 2;
    c.di = ADDR(cells);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EQUAL("[qemu bochs] RF after an iteration that is not the last", FLAG_RF, c.flags & FLAG_RF);
    context_run(&c);
    CHECK_EQUAL("RF after the last", 0, c.flags & FLAG_RF);
    debug_off();
    s = SNIP("rep stosb; nop");
    context_set(&c, s);
    c.di = ADDR(cells);
    STEPS("a REP of 0 iterations is one instruction", s, &c, 2, 3);
    s = SNIP("repe scasb; nop");
    context_set(&c, s);
    cells[0] = cells[1] = 0;
    cells[2] = 1;
    c.di = ADDR(cells);
    c.cx = 10;
    STEPS("[qemu] REPE SCAS that stops in the third iteration", s, &c, 0, 0, 2, 3);
}

TEST(step_flags)
{
    struct context c;
    /* TF counts as it stands when the instruction begins. */
    const struct snip *s = SNIP("push" W " $2; popf\n" AT "nop; nop");
    context_set(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EQUAL("step over PUSH", DB, c.vector);
    context_run(&c);
    CHECK_EXIT("the POPF that clears TF is the last to trap", &c, DB, NO_ERROR, s->at);
    CHECK_EQUAL("TF in the flags saved after the POPF", 0, c.flags & FLAG_TF);
    RUN_THROUGH("then no more", s, &c);
    debug_off();
    s = SNIP("push" W " $0x102; popf\n nop\n" AT "nop");
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("a POPF that sets TF: the trap comes after the next", &c, DB, NO_ERROR, s->at);
    debug_off();
    s = SNIP("pushf; pop " AX "; nop");
    context_set(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    context_run(&c);
    CHECK_EQUAL("PUSHF shows TF", FLAG_TF, c.ax & FLAG_TF);
    debug_off();
}

TEST(step_events)
{
    struct context c;
    const struct snip *s = SNIP("int3; nop");
    context_set(&c, s);
    c.flags |= FLAG_TF;
    write_dr6(DR6_RESET);
    context_run(&c);
    CHECK_EXIT("INT3: its own exception, no #DB", &c, BP_, NO_ERROR, s->start + 1);
    CHECK_EQUAL("TF in the saved flags", FLAG_TF, c.flags & FLAG_TF);
    CHECK_EQUAL("DR6.BS stays clear", 0, dr6_take());
    s = SNIP("ud2");
    context_set(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("a faulting instruction: the fault, no #DB", &c, UD, NO_ERROR, s->start);
    CHECK_EQUAL("TF in the saved flags", FLAG_TF, c.flags & FLAG_TF);
    CHECK_EQUAL("DR6.BS stays clear", 0, dr6_take());
    /* A handler runs unstepped; its IRET brings TF back, which acts after the next instruction. */
    const struct snip *handler = SNIP("nop; nop; " IRET);
    idt_set(0x40, SEL_CODE, handler->start, SEG_P | SEG_DPL(3) | SYS_INT, 0);
    s = SNIP("int $0x40; nop; nop");
    context_set(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("INT n, handler, IRET, one instruction", &c, DB, NO_ERROR, s->start + 3);
    debug_off();
    idt_reset(0x40);
    s = SNIP("mov %ecx, %ss; nop\n" AT "nop");
    context_set(&c, s);
    c.cx = SEL_DATA;
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("MOV SS holds the trap off", &c, DB, NO_ERROR, s->at);
    debug_off();
}

TEST(execute)
{
    struct context c;
    for (unsigned n = 0; n < 4; n++) {
        const struct snip *s = SNIP("inc %eax\n" AT "inc %ecx; inc %edx");
        breakpoint_set(n, s->at, RW_EXECUTE, LEN_1);
        context_set(&c, s);
        context_run(&c);
        CHECK_EXIT("an instruction breakpoint is a fault", &c, DB, NO_ERROR, s->at);
        CHECK_EQUAL("the instruction before is done", 1, c.ax);
        CHECK_EQUAL("the instruction is not", 0, c.cx);
        CHECK_EQUAL("DR6", 1u << n, dr6_take());
        CHECK_EQUAL("RF is clear in the saved flags", 0, c.flags & FLAG_RF);
        context_run(&c);
        CHECK_EXIT("without RF it comes again", &c, DB, NO_ERROR, s->at);
        c.flags |= FLAG_RF;
        RUN_THROUGH("with RF it does not", s, &c);
        CHECK_EQUAL("the instruction is done", 1, c.cx);
        CHECK_EQUAL("[qemu] RF is gone after one instruction", 0, c.flags & FLAG_RF);
        debug_off();
    }
    const struct snip *s = SNIP("mov $3, %ecx\n" AT "dec %ecx; jnz 770b");
    breakpoint_set(0, s->at, RW_EXECUTE, LEN_1);
    context_set(&c, s);
    for (unsigned i = 0; i < 3; i++) {
        context_run(&c);
        CHECK_EXIT("once for each turn of a loop", &c, DB, NO_ERROR, s->at);
        CHECK_EQUAL("ECX", 3 - i, c.cx);
        c.flags |= FLAG_RF;
    }
    RUN_THROUGH("then on", s, &c);
    debug_off();
    /* POPF does not set RF. */
    s = SNIP("push" W " $0x10002; popf\n" AT "nop");
    breakpoint_set(0, s->at, RW_EXECUTE, LEN_1);
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("POPF of RF has no effect", &c, DB, NO_ERROR, s->at);
    debug_off();
    /* The address is that of the first byte, prefix included. */
    s = SNIP("nop; .byte 0x66; nop; nop");
    breakpoint_set(0, s->start + 2, RW_EXECUTE, LEN_1);
    THROUGH("inside an instruction: nothing", s);
    debug_off();
    /* Enabled globally, or not at all. */
    s = SNIP("nop");
    write_dr0(s->start);
    write_dr7(DR7_RESET | 2);
    FAULT("G0 enables it too", s, DB, NO_ERROR);
    write_dr7(DR7_RESET);
    THROUGH("neither L0 nor G0", s);
    debug_off();
}

TEST(data)
{
    struct context c;
    const struct snip *write = SNIP("movb $1, (" BX "); nop"), *read = SNIP("mov (" BX "), %al; nop"),
                      *wide = SNIP("mov %eax, (" BX "); nop");
    struct {
        const char *what;
        const struct snip *s;
        unsigned at, rw, length, access;
        bool hit;
    } table[] = {
        {"write, write", write, 16, RW_WRITE, LEN_1, 16, true},
        {"write, read", read, 16, RW_WRITE, LEN_1, 16, false},
        {"both, read", read, 16, RW_BOTH, LEN_1, 16, true},
        {"both, write", write, 16, RW_BOTH, LEN_1, 16, true},
        {"1 byte, next byte", write, 16, RW_WRITE, LEN_1, 17, false},
        {"1 byte in a wide write", wide, 18, RW_WRITE, LEN_1, 16, true},
        {"2 bytes, second byte", write, 16, RW_WRITE, LEN_2, 17, true},
        {"2 bytes, third byte", write, 16, RW_WRITE, LEN_2, 18, false},
        {"4 bytes, last byte", write, 16, RW_WRITE, LEN_4, 19, true},
        {"4 bytes, fifth", write, 16, RW_WRITE, LEN_4, 20, false},
        {"4 bytes, wide write that ends in it", wide, 16, RW_WRITE, LEN_4, 13, true},
        {"4 bytes, wide write that ends before", wide, 16, RW_WRITE, LEN_4, 12, false},
        {"[qemu] 4 bytes: the low address bits are ignored", write, 18, RW_WRITE, LEN_4, 16, true},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        breakpoint_set(i & 3, ADDR(cells) + table[i].at, table[i].rw, table[i].length);
        context_set(&c, table[i].s);
        c.bx = ADDR(cells) + table[i].access;
        if (table[i].hit) {
            context_run(&c);
            /* After the access: at the NOP. */
            if (CHECK_EXIT(table[i].what, &c, DB, NO_ERROR, table[i].s->end - 1))
                CHECK_EQUAL("DR6", 1u << (i & 3), dr6_take());
        } else {
            RUN_THROUGH(table[i].what, table[i].s, &c);
        }
        debug_off();
    }
#ifdef __x86_64__
    breakpoint_set(1, ADDR(cells) + 16, RW_WRITE, LEN_8);
    context_set(&c, write);
    c.bx = ADDR(cells) + 23;
    context_run(&c);
    CHECK_EXIT("8 bytes, last byte", &c, DB, NO_ERROR, write->end - 1);
    debug_off();
#endif
    /* The write is done when the trap comes. */
    cells[16] = 0;
    breakpoint_set(0, ADDR(cells) + 16, RW_WRITE, LEN_1);
    context_set(&c, write);
    c.bx = ADDR(cells) + 16;
    context_run(&c);
    CHECK_EQUAL("written", 1, cells[16]);
    debug_off();
    /* PUSH, CALL and string instructions are accesses too. */
    const struct snip *push = SNIP("mov " BX ", " SP "; push " AX "; nop"), *stos = SNIP("rep stosb; nop");
    breakpoint_set(0, ADDR(cells) + 16, RW_WRITE, LEN_4);
    context_set(&c, push);
    c.bx = ADDR(cells) + 16 + sizeof(word);
    context_run(&c);
    CHECK_EXIT("PUSH", &c, DB, NO_ERROR, push->end - 1);
    debug_off();
    breakpoint_set(0, ADDR(cells) + 18, RW_WRITE, LEN_1);
    context_set(&c, stos);
    c.di = ADDR(cells) + 16;
    c.cx = 6;
    context_run(&c);
    CHECK_EXIT("[qemu] REP STOS: after the iteration", &c, DB, NO_ERROR, stos->start);
    CHECK_EQUAL("[qemu] CX", 3, c.cx);
    debug_off();
    context_set(&c, stos);
    c.di = ADDR(cells) + 16;
    breakpoint_set(0, ADDR(cells) + 16, RW_WRITE, LEN_1);
    RUN_THROUGH("REP of 0 iterations accesses nothing", stos, &c);
    debug_off();
    /* With single step: both bits in one #DB. */
    breakpoint_set(2, ADDR(cells) + 16, RW_WRITE, LEN_1);
    context_set(&c, write);
    c.bx = ADDR(cells) + 16;
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("[qemu] data breakpoint and single step", &c, DB, NO_ERROR, write->end - 1);
    CHECK_EQUAL("[qemu] B2 and BS together", 4 | DR6_BS, dr6_take());
    debug_off();
}

/* A data breakpoint on MOV SS from memory: held off as well, and not lost. */
TEST(data_mov_ss)
{
    struct context c;
    const struct snip *s = SNIP("mov (" BX "), %ss; nop\n" AT "nop");
    *(volatile uint16_t *)(volatile void *)(cells + 16) = SEL_DATA;
    breakpoint_set(0, ADDR(cells) + 16, RW_BOTH, LEN_2);
    context_set(&c, s);
    c.bx = ADDR(cells) + 16;
    context_run(&c);
    CHECK_EXIT("[qemu] after the next instruction", &c, DB, NO_ERROR, s->at);
    CHECK_EQUAL("B0", 1, dr6_take());
    debug_off();
}

TEST(io)
{
    struct context c;
    const struct snip *in = SNIP("in $0x80, %al; nop"), *out = SNIP("out %al, $0x81; nop"),
                      *wide = SNIP("in $0x80, %eax; nop"), *memory = SNIP("movb $1, (" BX "); nop");
    write_cr4(read_cr4() | CR4_DE);
    breakpoint_set(0, 0x80, RW_IO, LEN_1);
    context_set(&c, in);
    context_run(&c);
    CHECK_EXIT("IN", &c, DB, NO_ERROR, in->end - 1);
    CHECK_EQUAL("DR6", 1, dr6_take());
    THROUGH("another port", out);
    breakpoint_set(3, 0x80, RW_IO, LEN_2);
    context_set(&c, out);
    context_run(&c);
    CHECK_EXIT("OUT in the length", &c, DB, NO_ERROR, out->end - 1);
    CHECK_EQUAL("DR6", 8, dr6_take());
    breakpoint_set(3, 0x83, RW_IO, LEN_1);
    context_set(&c, wide);
    context_run(&c);
    CHECK_EXIT("a wide IN over it", &c, DB, NO_ERROR, wide->end - 1);
    breakpoint_set(0, ADDR(cells), RW_IO, LEN_1);
    context_set(&c, memory);
    c.bx = ADDR(cells);
    RUN_THROUGH("memory is no port", memory, &c);
    debug_off();
    write_cr4(read_cr4() & ~(word)CR4_DE);
}

TEST(registers)
{
    struct context c;
    write_dr0(0x12345678);
    write_dr3((word)0x87654321);
    CHECK_EQUAL("DR0", 0x12345678, read_dr0());
    CHECK_EQUAL("DR3", 0x87654321u, read_dr3());
    write_dr6(0);
    CHECK_EQUAL("DR6: the bits that read as ones", DR6_RESET & ~(1u << 16 | 1u << 11),
                read_dr6() & ~(word)(1u << 16 | 1u << 11));
    write_dr7(0);
    CHECK_EQUAL("DR7: bit 10 is one", DR7_RESET, read_dr7());
    write_dr0(0);
    write_dr3(0);
    debug_off();
    /* GD: any MOV of a debug register is #DB before it; GD is clear in the handler. */
    const struct snip *snips[] = {SNIP("mov %db0, " AX), SNIP("mov " AX ", %db2"), SNIP("mov %db7, " AX)};
    for (unsigned i = 0; i < COUNT(snips); i++) {
        context_set(&c, snips[i]);
        write_dr7(DR7_RESET | DR7_GD);
        context_run(&c);
        CHECK_EXIT("[qemu] GD", &c, DB, NO_ERROR, snips[i]->start);
        CHECK_EQUAL("[qemu] DR6.BD", DR6_BD, dr6_take());
        CHECK_EQUAL("[qemu] GD is cleared", DR7_RESET, read_dr7());
        debug_off();
    }
    context_set_user(&c, snips[0]);
    RUN_FAULT("ring 3: #GP", snips[0], &c, GP, 0);
}

/* Whatever the guest does between, DR6 keeps its bits until software clears them. */
TEST(sticky)
{
    struct context c;
    const struct snip *s = SNIP("nop; nop");
    breakpoint_set(1, s->start, RW_EXECUTE, LEN_1);
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("breakpoint 1", &c, DB, NO_ERROR, s->start);
    write_dr7(DR7_RESET);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("single step", &c, DB, NO_ERROR, s->start + 1);
    CHECK_EQUAL("BS is set", DR6_BS, read_dr6() & DR6_BS);
    s = SNIP("ud2");
    FAULT("another exception", s, UD, NO_ERROR);
    CHECK_EQUAL("it does not clear DR6", DR6_BS, read_dr6() & DR6_BS);
    debug_off();
}

TEST(icebp)
{
    struct context c;
    const struct snip *s = SNIP(".byte 0xf1; nop");
    if (known(QUIRK_QEMU, "INT1"))
        return;
    idt_set(DB, SEL_CODE, ADDR(SNIP("int $0x31")->start), SEG_P | SYS_INT, 0);
    context_set(&c, s);
    context_run(&c);
    CHECK_EQUAL("INT1 goes through the gate of #DB", 0x31, c.vector);
    context_set_user(&c, s);
    context_run(&c);
    CHECK_EQUAL("in ring 3 as well: its DPL is not checked", 0x31, c.vector);
    idt_reset(DB);
    debug_off();
}

/* DEBUGCTL.BTF: TF traps behind taken branches only, and #DB clears it (SDM 3B 18.4.3, 18.4.4). */
TEST(branch_step)
{
    struct context c;
    const struct snip *s = SNIP("nop\n"
                                "jmp 1f\n"
                                "nop\n"
                                "1: nop\n"        /* stop 0 */
                                "jc 2f\n"         /* not taken */
                                "nop\n"
                                "jnc 2f\n"
                                "nop\n"
                                "2: call 3f\n"    /* stop 1 */
                                "nop\n"           /* stop 3 */
                                "mov $2, " CX "\n"
                                "4: loop 4b\n"    /* stop 4; then falls through */
                                "jmp 5f\n"
                                "3: nop\n"        /* stop 2 */
                                "ret\n"
                                "5: nop\n");      /* stop 5 */
    static const uint8_t stops[] = {4, 11, 0, 0, 0, 0};
    word at[COUNT(stops)];
    if (known(QUIRK_BOCHS, "no DEBUGCTL"))
        return;
    context_set(&c, s);
    c.flags |= FLAG_TF;
    for (unsigned n = 0; n < COUNT(stops); n++) {
        wrmsr(MSR_DEBUGCTL, 2);
        write_dr6(DR6_RESET);
        context_run(&c);
        CHECK_EQUAL("[qemu] #DB", DB, c.vector);
        if (c.vector != DB)
            break;
        at[n] = c.ip - s->start;
        if (stops[n])
            CHECK_EQUAL("[qemu] behind a taken branch", stops[n], at[n]);
        CHECK_EQUAL("DR6.BS", DR6_BS, read_dr6() & DR6_BS);
        CHECK_EQUAL("[qemu] #DB clears BTF", 0, rdmsr(MSR_DEBUGCTL));
        if (n == 2)
            CHECK_EQUAL("[qemu] CALL", 1, at[2] > at[1] + 5);
        if (n == 3)
            CHECK_EQUAL("[qemu] RET", at[1] + 5, at[3]);
        if (n == 4)
            CHECK_EQUAL("[qemu] LOOP, once", 1, c.cx);
        if (n == 5)
            CHECK_EQUAL("[qemu] JMP", s->end - 1 - s->start, at[5]);
    }
    wrmsr(MSR_DEBUGCTL, 0);
    write_dr6(DR6_RESET);
}
