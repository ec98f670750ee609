/* What long mode asks of gates: types, the 64-bit target, 16-byte descriptors of call gates, stacks from the
 * TSS. SDM 3A 6.8.3.1, 7.14; 2A CALL; 2B INT n. */
#include "guest.h"

#define NONCANONICAL 0x0000800000000000ul
enum { GATE = SEL_FREE + 0x40, INNER = SEL_FREE + 0x60 };

/* A handler for exceptions whose own stack is not to be trusted: IST 1. Returns its frame: error code, RIP,
 * CS, … */
static const word *sound_stack(unsigned vector)
{
    tss.ist[0] = ADDR(snippet_stack) + 8 * KiB;
    idt_set(vector, SEL_CODE, ADDR(SNIP("int $0x31")->start), SEG_P | SYS_INT, 1);
    return (const word *)(tss.ist[0] - 48);
}

TEST(idt_types)
{
    struct context c;
    const struct snip *s = SNIP("int $0x40"), *t = SNIP("nop");
    for (unsigned type = 0; type < 16; type++) {
        idt_set(0x40, SEL_CODE, t->start, SEG_P | SEG_DPL(3) | type, 0);
        context_set(&c, s);
        context_run(&c);
        if (type == SYS_INT || type == SYS_TRAP)
            CHECK_EXIT("an interrupt or trap gate", &c, EXIT, NO_ERROR, t->end + 2);
        else
            CHECK_EXIT("[qemu] another type is #GP", &c, GP, 0x40 * 8 + IDT, s->start);
    }
    idt_reset(0x40);
}

TEST(idt_target)
{
    struct context c;
    const struct snip *s = SNIP("int $0x40");
    for (unsigned user = 0; user <= 1; user++) {
        idt_set(0x40, SEL_CODE, NONCANONICAL, SEG_P | SEG_DPL(3) | SYS_INT, 0);
        (user ? context_set_user : context_set)(&c, s);
        RUN_FAULT("[qemu] a target that is not canonical", s, &c, GP, 0);
        CHECK_EQUAL("[qemu] in the ring of the INT", user ? 3 : 0, c.cs & 3);
        idt_set(0x40, SEL_CODE32, ADDR(s->start), SEG_P | SEG_DPL(3) | SYS_INT, 0);
        (user ? context_set_user : context_set)(&c, s);
        RUN_FAULT("a gate to 32-bit code", s, &c, GP, SEL_CODE32);
        descriptor_set(INNER, 0, 0xfffff, SEG_CODE | SEG_R, SEG_G | SEG_L | SEG_B);
        idt_set(0x40, INNER, ADDR(s->start), SEG_P | SEG_DPL(3) | SYS_INT, 0);
        (user ? context_set_user : context_set)(&c, s);
        RUN_FAULT("[qemu] a gate to code with L and D", s, &c, GP, INNER);
    }
    idt_reset(0x40);
}

/* A stack of the TSS that is not canonical: #SS, in the ring of the INT. */
TEST(idt_stack)
{
    struct context c;
    const struct snip *s = SNIP("int $0x40");
    if (known(QUIRK_QEMU, "non-canonical stack"))
        return;
    const word *frame = sound_stack(SS);
    idt_set(0x40, SEL_CODE, ADDR(s->start), SEG_P | SEG_DPL(3) | SYS_INT, 2);
    tss.ist[1] = NONCANONICAL + 64;
    for (unsigned user = 0; user <= 1; user++) {
        (user ? context_set_user : context_set)(&c, s);
        context_run(&c);
        CHECK_EQUAL("[bochs] IST that is not canonical: #SS", 0x31, c.vector);
        CHECK_EQUAL("RIP at the INT", s->start, frame[1]);
        CHECK_EQUAL("CS", user ? SEL_USER_CODE | 3 : SEL_CODE, frame[2]);
    }
    idt_reset(SS);
    idt_reset(0x40);
    tss.ist[0] = tss.ist[1] = 0;
}

TEST(call_gate_long)
{
    struct context c;
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far;
    const struct snip *call = SNIP("lcall *(%rbx)"), *jump = SNIP("ljmp *(%rbx)"), *t = SNIP("nop");
    struct {
        const char *what;
        unsigned access; /* of the gate */
        unsigned selector;
        word target;
        unsigned type_above; /* the type field of its upper half */
        word error;
    } table[] = {
        {"a 16-bit call gate", SYS_CALL16, SEL_CODE, t->start, 0, GATE},
        {"a task gate", SYS_TASK, SEL_CODE, t->start, 0, GATE},
        {"an interrupt gate", SYS_INT, SEL_CODE, t->start, 0, GATE},
        {"[qemu] the upper half has a type", SYS_CALL, SEL_CODE, t->start, 1, GATE},
        {"[qemu] every bit of it", SYS_CALL, SEL_CODE, t->start, 0x10, GATE},
        {"[qemu] a target that is not canonical", SYS_CALL, SEL_CODE, NONCANONICAL, 0, 0},
        {"a gate to 32-bit code", SYS_CALL, SEL_CODE32, t->start, 0, SEL_CODE32},
        {"a gate to data", SYS_CALL, SEL_DATA, t->start, 0, SEL_DATA},
        {"a gate to null", SYS_CALL, 0, t->start, 0, 0},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        for (unsigned n = 0; n < 4; n++) {
            bool user = n & 1;
            const struct snip *s = n & 2 ? jump : call;
            if (user && n & 2)
                continue; /* JMP changes no ring: `call_gate` */
            gate_set(GATE, table[i].selector, table[i].target, SEG_P | SEG_DPL(3) | table[i].access, 0);
            descriptor_at(GATE)[1] |= (u64)table[i].type_above << 40;
            far.selector = GATE | (user ? 3 : 0);
            (user ? context_set_user : context_set)(&c, s);
            c.bx = ADDR(&far);
            RUN_FAULT(table[i].what, s, &c, GP, table[i].error);
            CHECK_EQUAL("[qemu] RSP stays", SNIPPET_STACK_TOP, c.sp);
        }
    }
    /* The gate's second half beyond the table. */
    struct table old, cut;
    __asm__ volatile("sgdt %0" : "=m"(old));
    gate_set(GATE, SEL_CODE, t->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    cut = (struct table){GATE + 14, old.base};
    __asm__ volatile("lgdt %0" : : "m"(cut));
    far.selector = GATE;
    context_set(&c, call);
    c.bx = ADDR(&far);
    context_run(&c);
    __asm__ volatile("lgdt %0" : : "m"(old));
    CHECK_EXIT("[qemu] a gate cut by the limit", &c, GP, GATE, call->start);
    context_set(&c, call);
    c.bx = ADDR(&far);
    context_run(&c);
    CHECK_EXIT("whole", &c, EXIT, NO_ERROR, t->end + 2);
    descriptor_raw(GATE, 0);
    descriptor_raw(GATE + 8, 0);
}

/* 16-byte system descriptors: LTR and LLDT look at the upper half, too. */
TEST(system_descriptors)
{
    struct context c;
    const struct snip *lldt = SNIP("lldt %ax"), *ltr = SNIP("ltr %ax");
    if (known(QUIRK_QEMU, "system descriptors of 16 bytes"))
        return;
    for (unsigned n = 0; n < 2; n++) {
        const struct snip *s = n ? ltr : lldt;
        tss_set(SEL_FREE, &tss, 0x67, n ? SYS_TSS : SYS_LDT);
        descriptor_at(SEL_FREE)[1] |= 1ul << 40;
        context_set(&c, s);
        c.ax = SEL_FREE;
        RUN_FAULT("the upper half has a type", s, &c, GP, SEL_FREE);
        tss_set(SEL_FREE, (void *)NONCANONICAL, 0x67, n ? SYS_TSS : SYS_LDT);
        context_set(&c, s);
        c.ax = SEL_FREE;
        RUN_FAULT("[bochs] a base that is not canonical", s, &c, GP, SEL_FREE);
        struct table old, cut;
        tss_set(SEL_FREE, &tss, 0x67, n ? SYS_TSS : SYS_LDT);
        __asm__ volatile("sgdt %0" : "=m"(old));
        cut = (struct table){SEL_FREE + 14, old.base};
        __asm__ volatile("lgdt %0" : : "m"(cut));
        context_set(&c, s);
        c.ax = SEL_FREE;
        context_run(&c);
        __asm__ volatile("lgdt %0" : : "m"(old));
        CHECK_EXIT("cut by the limit", &c, GP, SEL_FREE, s->start);
    }
    tss_set(SEL_FREE, &tss, 0x67, SYS_TSS16);
    context_set(&c, ltr);
    c.ax = SEL_FREE;
    RUN_FAULT("a 16-bit TSS", ltr, &c, GP, SEL_FREE);
    tables_load();
}
