/* Contexts: their defaults, and what happens at an exit that nobody waits for. */
#include "guest.h"

uint8_t snippet_stack[16 * KiB] ALIGNED(4096);

void context_set(struct context *c, const struct snip *snip)
{
    *c = (struct context){.ip = snip->start,
                          .sp = SNIPPET_STACK_TOP,
                          .flags = FLAG_1,
                          .cs = SEL_CODE,
                          .ss = SEL_DATA,
                          .ds = SEL_DATA,
                          .es = SEL_DATA,
                          .fs = SEL_DATA,
                          .gs = SEL_DATA};
}

void context_set_user(struct context *c, const struct snip *snip)
{
    context_set(c, snip);
    c->cs = SEL_USER_CODE | 3;
    c->ss = c->ds = c->es = c->fs = c->gs = SEL_USER_DATA | 3;
}

#ifndef __x86_64__
enum { REAL_LOW = 0x6000 }; /* LOW of real_32.S */
extern uint8_t real_start[], real_end[], real_area[], real_stubs[];
void real_switch(void);

void real_run(struct context *c)
{
    struct context *area = (struct context *)(REAL_LOW + (real_area - real_start));
    memory_copy((void *)REAL_LOW, real_start, (size_t)(real_end - real_start));
    for (uint32_t v = 0; v < 256; v++)
        ((volatile uint32_t *)0)[v] = REAL_LOW + (uint32_t)(real_stubs - real_start) + 6 * v;
    *area = *c;
    real_switch();
    *c = *area;
    c->ip &= 0xffff;
    c->cs &= 0xffff;
    c->flags &= 0xffff;
    c->vector &= 0xff;
    c->error = NO_ERROR;
}
#endif

__attribute__((noreturn)) void exit_stray(const struct context *c);
void exit_stray(const struct context *c)
{
    print("# stray exit in world %u: vector %lu error %lx at %lx:%lx flags %lx cr2 %lx sp %lx\n", WORLD,
          c->vector, c->error, c->cs, c->ip, c->flags, c->cr2, c->sp);
    print("not ok stray\n%u passed, %u failed\n", shared.passed, shared.failed + 1);
    exit_with(STATUS_FAIL);
}
