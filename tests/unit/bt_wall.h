/* Walls round a translator in a test: canary pages at its regions, and at the addresses that its guests use; and a filter that ends the process
 * when translated code reaches the host's kernel. */
#ifndef UNIT_BT_WALL_H
#define UNIT_BT_WALL_H

#include "engine/bt/bt.h"

#define WALL_PAGES 32
/* Where guests have their code, data and stack, as the host's own addresses: from the lowest that a process may map. */
#define WALL_LOW     0x10000u
#define WALL_LOW_END MIB(4)
struct wall {
    u8 *page[WALL_PAGES];
    unsigned n;
    u8 *low; /* WALL_LOW_END - WALL_LOW bytes with the pattern: there, or elsewhere */
    u8 *low_pattern; /* the same, to compare with */
};

/* Pages with a pattern before and behind each region of B, and round guest memory where there is room. */
bool wall_build(struct wall *w, const struct bt *b);
/* What a guest takes for an address is one of the host's, too: a stray access there is not refused, but a store breaks the pattern. Else nothing is
 * mapped there, and each access faults. */
bool wall_low(struct wall *w, bool mapped);
/* The pages whose pattern is no longer there; they get it again. */
unsigned wall_broken(struct wall *w);

/* From here on a system call from B's reservation ends the process, whichever it is, and so does every one
 * from elsewhere but those few that the monitor and this test make. */
bool wall_filter(const struct bt *b);

#endif
