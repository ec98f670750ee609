/* The one table that handles exits. Handlers do not know which engine ran. Exits are counted and timed: they
 * are Trine's world switches. */
#ifndef ENGINE_EXIT_H
#define ENGINE_EXIT_H

#include "cpu/cpu.h"
#include "cpu/exit.h"

struct exit_stats {
    u64 count[EXIT_KINDS];
    u64 ns[EXIT_KINDS]; /* sampled: one in EXIT_SAMPLE is timed and scaled. EXIT_HALT: the time halted, all of
                           it */
};

#define EXIT_SAMPLE 64u

/* What the machine plugs in. */
struct exit_target {
    struct mem *mem;
    /* The big lock, taken around every exit on behalf of C. */
    void (*lock)(void *opaque, struct cpu *c);
    void (*unlock)(void *opaque, struct cpu *c);
    /* Registers that each vCPU sees for itself (its LAPIC's page); false: the address is not one of them. May
     * be null. */
    bool (*private_mmio)(void *opaque, struct cpu *c, struct exit *x);
    u64 (*hypercall)(void *opaque, struct cpu *c, const struct exit *x); /* null: no hypercalls */
    void *opaque;
    u64 (*host_ns)(void);    /* for the statistics */
    struct exit_stats stats; /* under the big lock */
};

/* Serves X; x->data holds what a read brought, cut to its size. */
void exit_dispatch(struct exit_target *t, struct cpu *c, struct exit *x);
/* Counts an exit that the machine served itself, with the time that it took. The big lock is held. */
void exit_count(struct exit_target *t, enum exit_kind k, u64 ns);
const char *exit_kind_name(enum exit_kind k);

#endif
