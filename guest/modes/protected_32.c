/* 16-bit protected mode, and gates of 16 and 32 bits between mixed segments. SDM 3A 5.8.3, 21. */
#include "guest.h"

enum { CODE16 = SEL_FREE + 0x80, DATA16 = SEL_FREE + 0x88, GATE = SEL_FREE + 0x90, USER16 = SEL_FREE + 0x98 };
static uint8_t stack16[64 * KiB] ALIGNED(16);

/* A 16-bit code segment that begins with the snippet, and a 16-bit stack segment. */
static void segments16(const struct snip *s)
{
    descriptor_set(CODE16, (uint32_t)s->start, 0xffff, SEG_CODE | SEG_R, 0);
    descriptor_set(DATA16, (uint32_t)ADDR(stack16), 0xffff, SEG_DATA | SEG_W, 0);
}

static void context16(struct context *c, const struct snip *s)
{
    segments16(s);
    context_set(c, s);
    c->cs = CODE16;
    c->ip = 0;
    c->ss = c->ds = c->es = DATA16;
    c->sp = 0x8000;
}

TEST(code16)
{
    struct context c;
    const struct snip *s =
        SNIP16("mov $0x1234, %ax; push %ax; pushl $0x56789abc; mov %sp, %bp; mov (%bp), %ecx\n"
               "mov $0x8000, %bx; mov %ax, (%bx); call 1f; jmp 2f\n1: mov %sp, %di; ret\n2: mov %cs, %dx");
    context16(&c, s);
    context_run(&c);
    CHECK_EXIT("16-bit code and stack", &c, EXIT, NO_ERROR, s->end + 2 - s->start);
    CHECK_EQUAL("AX", 0x1234, c.ax & 0xffff);
    CHECK_EQUAL("PUSHL", 0x56789abc, c.cx);
    CHECK_EQUAL("store through BX", 0x1234, *(uint16_t *)(void *)(stack16 + 0x8000));
    CHECK_EQUAL("near CALL pushes a word", 0x8000 - 6 - 2, c.di & 0xffff);
    CHECK_EQUAL("CS", CODE16, c.dx);
    CHECK_EQUAL("SP", 0x8000 - 6, c.sp & 0xffff);
    CHECK_EQUAL("what was pushed", 0x1234, *(uint16_t *)(void *)(stack16 + 0x7ffe));
}

/* SP wraps at 64 KiB, and the upper half of ESP stays. */
TEST(stack16)
{
    struct context c;
    const struct snip *s = SNIP("push %eax; mov %esp, %ecx; pop %ebx; mov %esp, %edx; mov $0x10000, %esp");
    segments16(s);
    context_set(&c, s);
    c.ss = DATA16;
    c.sp = 0xabcd0000;
    c.ax = 0x11223344;
    context_run(&c);
    CHECK_EXIT("32-bit code on a 16-bit stack", &c, EXIT, NO_ERROR, s->end + 2);
    CHECK_EQUAL("PUSH wraps SP and leaves ESP's upper half", 0xabcdfffc, c.cx);
    CHECK_EQUAL("POP", 0x11223344, c.bx);
    CHECK_EQUAL("SP wraps back", 0xabcd0000, c.dx);
    s = SNIP("enter $0x20, $1; mov %esp, %ecx; mov %ebp, %edx; leave; mov %esp, %ebx");
    segments16(s);
    context_set(&c, s);
    c.ss = DATA16;
    c.sp = 0x8000;
    c.bp = 0x77770100;
    context_run(&c);
    CHECK_EXIT("ENTER and LEAVE", &c, EXIT, NO_ERROR, s->end + 2);
    CHECK_EQUAL("SP after ENTER", 0x8000 - 8 - 0x20, c.cx & 0xffff);
    CHECK_EQUAL("SP after LEAVE", 0x8000, c.bx & 0xffff);
}

/* Parameters are copied from the caller's stack; the far RET n releases them on both. */
static void gate_params(unsigned type, unsigned size)
{
    struct context c;
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) pointer;
    const struct snip *handler32 =
        SNIP("mov 8(%esp), %eax; mov 12(%esp), %ecx; mov 16(%esp), %edx; mov %esp, %edi; lret $12");
    const struct snip *handler16 =
        SNIP("movzwl 4(%esp), %eax; movzwl 6(%esp), %ecx; movzwl 8(%esp), %edx; mov %esp, %edi; lretw $6");
    const struct snip *s32 = SNIP("push $3; push $2; push $1; lcall *(%ebx)");
    const struct snip *s16 = SNIP("pushw $3; pushw $2; pushw $1; lcall *(%ebx)");
    const struct snip *s = size == 4 ? s32 : s16, *handler = size == 4 ? handler32 : handler16;
    /* A 16-bit gate has 16 bits of offset: a segment that begins with the handler. */
    descriptor_set(SEL_FREE + 0xa0, (uint32_t)handler->start, 0xfffff, SEG_CODE | SEG_R, SEG_G | SEG_B);
    descriptor_set(USER16, (uint32_t)s->start, 0xfffff, SEG_CODE | SEG_R | SEG_DPL(3), SEG_G | SEG_B);
    gate_set(GATE, SEL_FREE + 0xa0, 0, SEG_P | SEG_DPL(3) | type, 3);
    pointer.selector = GATE | 3;
    context_set_user(&c, s);
    c.cs = USER16 | 3;
    c.ip = 0;
    c.bx = ADDR(&pointer);
    context_run(&c);
    CHECK_EQUAL("came back", EXIT, c.vector);
    CHECK_EQUAL("after the CALL", s->end + 2 - s->start, c.ip);
    CHECK_EQUAL("first parameter", 1, c.ax);
    CHECK_EQUAL("second", 2, c.cx);
    CHECK_EQUAL("third", 3, c.dx);
    CHECK_EQUAL("the inner stack: SS, SP, parameters, CS, IP", *(uint32_t *)((uint8_t *)&tss + 4) - 7 * size,
                c.di);
    /* A 16-bit return brings back 16 bits of SP. */
    CHECK_EQUAL("the outer stack is released", SNIPPET_STACK_TOP & 0xffff, c.sp & 0xffff);
}

TEST(call_gate_params)
{
    gate_params(SYS_CALL, 4);
    gate_params(SYS_CALL16, 2);
}

/* Interrupt and trap gates of 16 bits push words and take 16 bits of offset. */
TEST(gate16)
{
    struct context c;
    const struct snip *handler = SNIP("mov %sp, %di; popw %ax; popw %cx; popw %dx; pushf; pop %ebx");
    descriptor_set(SEL_FREE + 0xa0, (uint32_t)handler->start, 0xfffff, SEG_CODE | SEG_R, SEG_G | SEG_B);
    const struct snip *s = SNIP("stc; int $0x40");
    for (unsigned trap = 0; trap <= 1; trap++) {
        idt_set(0x40, SEL_FREE + 0xa0, 0, SEG_P | SEG_DPL(3) | (trap ? SYS_TRAP16 : SYS_INT16), 0);
        context_set(&c, s);
        c.flags |= FLAG_IF;
        context_run(&c);
        CHECK_EXIT("16-bit gate", &c, EXIT, NO_ERROR, handler->end + 2 - handler->start);
        CHECK_EQUAL("IP, 16 bits", s->end & 0xffff, c.ax & 0xffff);
        CHECK_EQUAL("CS", SEL_CODE, c.cx & 0xffff);
        CHECK_EQUAL("flags", FLAG_1 | FLAG_CF | FLAG_IF, c.dx & 0xffff);
        CHECK_EQUAL("six bytes", (SNIPPET_STACK_TOP - 6) & 0xffff, c.di & 0xffff);
        CHECK_EQUAL("IF", trap ? FLAG_IF : 0, c.bx & FLAG_IF);
    }
    idt_reset(0x40);
}

/* IRET with a 16-bit operand from 32-bit code; PUSHF/POPF of 16 bits. */
TEST(iret16)
{
    struct context c;
    const struct snip *s = SNIP("pushw $0x0203; pushw $0x120; pushw $0; iretw");
    const struct snip *target = SNIP("pushf; pop %eax");
    descriptor_set(SEL_FREE + 0xa0, (uint32_t)target->start, 0xfffff, SEG_CODE | SEG_R, SEG_G | SEG_B);
    context_set(&c, s);
    c.flags |= FLAG_ID | FLAG_AC;
    context_run(&c);
    CHECK_EXIT("IRETW", &c, EXIT, NO_ERROR, target->end + 2 - target->start);
    CHECK_EQUAL("the flags' upper half stays", FLAG_1 | FLAG_CF | FLAG_IF | FLAG_ID | FLAG_AC, c.ax);
    _Static_assert(SEL_FREE + 0xa0 == 0x120, "the literal above");
}
