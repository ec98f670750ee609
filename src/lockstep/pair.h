/* Two machines, alike in everything but their engines, that are moved and compared by one thread. */
#ifndef LOCKSTEP_PAIR_H
#define LOCKSTEP_PAIR_H

#include "machine/vm.h"

/* Where a pair starts: as configured, or a snapshot of a point where both agreed. The file has no name: it
 * goes when the descriptor does. */
struct origin {
    int fd; /* -1: as configured */
    u64 time;
};

struct pair {
    const struct trine_config *config;
    const struct trine_check *check;
    const struct engine_ops *engine[2];
    struct vm *vm[2];
    struct buffer state[2], tlb[2]; /* filled by pair_differs */
    bool resumed;
    u64 origin_time;
    u64 exits_seen; /* at the last comparison of everything */
    unsigned quick; /* comparisons since then */
};

/* What differs. */
enum {
    DIFFER_END = 1 << 0, /* one has ended, or they ended otherwise */
    DIFFER_TIME = 1 << 1,
    DIFFER_STATE = 1 << 2, /* vCPUs and chips */
    DIFFER_EXITS = 1 << 3, /* the exits on the way, their order, what they brought */
    DIFFER_TLB = 1 << 4,
    DIFFER_RAM = 1 << 5,
};

void origin_drop(struct origin *o);
/* Makes O a snapshot of the pair's first machine, which stands at a boundary. */
enum status origin_take(struct origin *o, struct pair *p, struct error *e);

/* Both machines at O, attached; what the pair had before goes. FIRST: the run that the user sees, which may
 * have a console. */
enum status pair_make(struct pair *p, const struct origin *o, bool first, struct error *e);
void pair_drop(struct pair *p);
/* Moves both to TIME. Fails when the host does. */
enum status pair_run_to(struct pair *p, u64 time, struct error *e);
/* Moves both to the first machine's next exit or end of a block, or to TIME. */
enum status pair_run_exit(struct pair *p, u64 time, struct error *e);
enum status pair_run_block(struct pair *p, u64 time, struct error *e);
enum status pair_settle(struct pair *p, struct error *e);
/* DIFFER_ bits; RAM is looked at if asked for. */
enum status pair_differs(struct pair *p, bool ram, u32 *differ, struct error *e);

static inline u64 pair_time(const struct pair *p)
{
    return clock_now(&p->vm[0]->clock);
}
static inline bool pair_ended(const struct pair *p)
{
    return p->vm[0]->ended && p->vm[1]->ended;
}

#endif
