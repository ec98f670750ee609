/* TF over SYSCALL and SYSENTER: SFMASK clears it before it can act in ring 0; SYSENTER leaves it.
 * SDM 2B SYSCALL, SYSENTER. */
#include "guest.h"

TEST(syscall_step)
{
    struct context c;
    const struct snip *t = SNIP("nop; nop"), *s = SNIP("syscall");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)SEL_USER_CODE32 << 48 | (uint64_t)SEL_CODE << 32);
    wrmsr(MSR_LSTAR, t->start);
    wrmsr(MSR_SFMASK, FLAG_TF);
    write_dr6(DR6_RESET);
    context_set_user(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("[bochs] SFMASK with TF: no trap", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("TF in R11", FLAG_TF, c.r11 & FLAG_TF);
    wrmsr(MSR_SFMASK, 0);
    context_set_user(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("SFMASK without TF: a trap at the entry", &c, DB, NO_ERROR, t->start);
    CHECK_EQUAL("in ring 0", SEL_CODE, c.cs);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SCE);
    write_dr6(DR6_RESET);
}

TEST(far_breakpoint)
{
    /* A data breakpoint at a high address: 64 bits are compared. */
    struct context c;
    static volatile uint8_t cell;
    const struct snip *s = SNIP("movb $1, (%rbx); nop");
    write_dr0(ADDR(&cell) | 1ul << 32);
    write_dr7(DR7_RESET | 1 | 1u << 16);
    context_set(&c, s);
    c.bx = ADDR(&cell);
    RUN_THROUGH("the upper half counts", s, &c);
    write_dr7(DR7_RESET);
    write_dr6(DR6_RESET);
}
