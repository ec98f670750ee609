/* The one table that handles exits. Handlers do not know which engine ran. Exits are counted and timed: they
 * are Trine's world switches. */
#ifndef ENGINE_EXIT_H
#define ENGINE_EXIT_H

#include "cpu/cpu.h"
#include "cpu/exit.h"

struct exit_stats {
    u64 count[EXIT_KINDS];
    u64 ns[EXIT_KINDS]; /* sampled: one in 64 is timed and scaled */
};

/* What the machine plugs in. */
struct exit_target {
    struct mem *mem;
    void (*lock)(void *opaque);
    void (*unlock)(void *opaque);
    u64 (*hypercall)(void *opaque, struct cpu *c, const struct exit *x); /* null: no hypercalls */
    void *opaque;
    u64 (*host_ns)(void); /* for the statistics */
    struct exit_stats stats;
};

/* Serves X; x->data holds what a read brought. */
void exit_dispatch(struct exit_target *t, struct cpu *c, struct exit *x);
const char *exit_kind_name(enum exit_kind k);

#endif
