/* NMI: blocked until the next IRET of any kind, also one that ends another exception inside the handler, or
 * one that faults; before maskable interrupts; through IST. SDM 3A 7.7.1, 7.9. The sender is the local APIC,
 * to itself. */
#include "guest.h"

enum {
    LAPIC = 0xfee00000,
    APIC_ID = 0x20,
    APIC_TPR = 0x80,
    APIC_EOI = 0xb0,
    APIC_SVR = 0xf0,
    APIC_ICR = 0x300,
    APIC_ICR2 = 0x310,
    APIC_LVT0 = 0x350,
    ICR_NMI = 0x4400,
    ICR_SELF = 0x40000,
};

static volatile uint32_t *apic(unsigned reg)
{
    return (volatile uint32_t *)(word)(LAPIC + reg);
}

static bool begin(void)
{
    if (!CPU_HAS_APIC) {
        skip("CPUID has no APIC");
        return false;
    }
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1u << 11);
    *apic(APIC_SVR) = 0x1ff;
    *apic(APIC_LVT0) = 0x10000;
    *apic(APIC_TPR) = 0;
    *apic(APIC_ICR2) = *apic(APIC_ID);
    return true;
}

/* No NMI is in service, none pending. */
static void end(void)
{
    struct context c;
    for (unsigned i = 0; i < 3; i++) {
        context_set(&c, SNIP("nop"));
        context_run(&c);
    }
}

#define SEND "movl $0x4400, (" BP ")\n nop; nop; nop; nop\n"

/* BX: counts NMIs. The handler sends another to itself, looks, and leaves its blocking in the way under test;
 * the second must come right then. CX: the count before, DX: after. */
static void nested(const char *what, const struct snip *handler)
{
    struct context c;
    static volatile uint32_t count;
    const struct snip *s = SNIP(SEND);
    count = 0;
    idt_set(NMI, SEL_CODE, handler->start, SEG_P | SYS_INT, 0);
    context_set(&c, s);
    c.bx = ADDR(&count);
    c.bp = LAPIC + APIC_ICR;
    context_run(&c);
    idt_reset(NMI);
    CHECK_EQUAL(what, EXIT, c.vector);
    CHECK_EQUAL("blocked in the handler", 1, c.cx);
    CHECK_EQUAL("let in by the IRET", 2, c.dx);
    end();
}

/* Counts; the second time it returns at once. */
#define ENTRY "incl (" BX "); cmpl $1, (" BX "); je 1f; " IRET "\n1: " SEND "mov (" BX "), %ecx\n"

TEST(nmi_blocked)
{
    if (!begin())
        return;
#ifdef __x86_64__
    nested("IRETQ", SNIP(ENTRY "mov %rsp, %rax; push $0x10; push %rax; pushfq; push $8; lea 9f(%rip), %rax\n"
                               "push %rax; iretq\n9: mov (%rbx), %edx"));
    nested("IRETL in 64-bit code", SNIP(ENTRY "mov %rsp, %rax; mov %rsp, %rdi; sub $20, %rdi\n"
                                              "movl $0x10, 16(%rdi); mov %eax, 12(%rdi); movl $2, 8(%rdi)\n"
                                              "movl $8, 4(%rdi); lea 9f(%rip), %rax; mov %eax, (%rdi)\n"
                                              "mov %rdi, %rsp; iretl\n9: mov (%rbx), %edx"));
#else
    nested("IRET", SNIP(ENTRY "pushf; push %cs; push $9f; iretl\n9: mov (%ebx), %edx"));
#endif
}

/* An exception inside the handler: its IRET ends the blocking, though the NMI's own is still to come. */
TEST(nmi_inner_exception)
{
    if (!begin())
        return;
    idt_set(0x40, SEL_CODE, ADDR(SNIP(IRET)->start), SEG_P | SYS_INT, 0);
    nested("INT n and its IRET", SNIP(ENTRY "int $0x40; mov (" BX "), %edx"));
    idt_reset(0x40);
}

/* An IRET that faults has ended it all the same (SDM 3A 7.7.1 leaves no room; so KVM and Bochs). */
TEST(nmi_faulting_iret)
{
    struct context c;
    static volatile uint32_t count;
    if (!begin())
        return;
    const struct snip *s = SNIP(SEND),
                      *bad = SNIP(ENTRY "push $0; push $0; push $2; push $0xfff8; push $0; " IRET);
    const struct snip *gp = SNIP("nop; nop; nop; mov (" BX "), %edx");
    count = 0;
    idt_set(NMI, SEL_CODE, bad->start, SEG_P | SYS_INT, 0);
    idt_set(GP, SEL_CODE, gp->start, SEG_P | SYS_INT, 0);
    context_set(&c, s);
    c.bx = ADDR(&count);
    c.bp = LAPIC + APIC_ICR;
    context_run(&c);
    idt_reset(GP);
    idt_reset(NMI);
    CHECK_EQUAL("the #GP handler ran", EXIT, c.vector);
    CHECK_EQUAL("blocked before", 1, c.cx);
    CHECK_EQUAL("[qemu] not blocked behind the IRET that faulted", 2, c.dx);
    end();
}

TEST(nmi_before_interrupt)
{
    struct context c;
    const struct snip *s = SNIP("nop; nop; nop");
    if (!begin())
        return;
    /* An NMI blocks the next. */
    context_set(&c, SNIP(SEND));
    c.bp = LAPIC + APIC_ICR;
    context_run(&c);
    CHECK_EQUAL("an NMI", NMI, c.vector);
    *apic(APIC_ICR2) = *apic(APIC_ID);
    *apic(APIC_ICR) = ICR_NMI;
    *apic(APIC_ICR2) = 0;
    *apic(APIC_ICR) = ICR_SELF | 0x51;
    context_set(&c, s);
    c.flags |= FLAG_IF;
    context_run(&c);
    CHECK_EXIT("both pending: the NMI first", &c, NMI, NO_ERROR, s->start);
    context_run(&c);
    CHECK_EXIT("then the interrupt", &c, 0x51, NO_ERROR, s->start);
    *apic(APIC_EOI) = 0;
    context_run(&c);
    CHECK_EXIT("no more", &c, EXIT, NO_ERROR, s->end + 2);
    end();
}

/* The trap of the instruction before goes first: the NMI finds its handler begun. SDM 3A 7.9. */
TEST(trap_before_nmi)
{
    struct context c;
    const struct snip *s = SNIP("movl $0x4400, (" BP ")\n" AT "nop"), *handler = SNIP("nop; nop");
    if (!begin())
        return;
    write_dr6(DR6_RESET);
    idt_set(DB, SEL_CODE, handler->start, SEG_P | SYS_INT, 0);
    context_set(&c, s);
    c.bp = LAPIC + APIC_ICR;
    c.flags |= FLAG_TF;
    context_run(&c);
    idt_reset(DB);
    CHECK_EXIT("[qemu] the NMI comes before the first instruction of the handler of #DB", &c, NMI, NO_ERROR,
               handler->start);
    CHECK_EQUAL("BS", DR6_BS, read_dr6() & DR6_BS);
    write_dr6(DR6_RESET);
    end();
}

#ifdef __x86_64__
TEST(nmi_ist)
{
    struct context c;
    const struct snip *s = SNIP(SEND), *handler = SNIP("mov %rsp, %rdi");
    word top = ADDR(snippet_stack) + 8 * KiB;
    if (!begin())
        return;
    tss.ist[1] = top;
    idt_set(NMI, SEL_CODE, handler->start, SEG_P | SYS_INT, 2);
    context_set(&c, s);
    c.bp = LAPIC + APIC_ICR;
    c.sp = 0x800000000000; /* whatever RSP is */
    context_run(&c);
    idt_reset(NMI);
    tss.ist[1] = 0;
    CHECK_EXIT("an NMI on a stack that cannot be used", &c, EXIT, NO_ERROR, handler->end + 2);
    CHECK_EQUAL("it has its own", top - 40, c.di);
    end();
}
#endif
