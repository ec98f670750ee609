/* Walls round a translator in a test: canary pages at its regions, and a filter that ends the process when
 * translated code reaches the host's kernel. */
#ifndef UNIT_BT_WALL_H
#define UNIT_BT_WALL_H

#include "engine/bt/bt.h"

#define WALL_PAGES 32
struct wall {
    u8 *page[WALL_PAGES];
    unsigned n;
};

/* Pages with a pattern before and behind each region of B, and round guest memory where there is room. */
bool wall_build(struct wall *w, const struct bt *b);
/* The pages whose pattern is no longer there; they get it again. */
unsigned wall_broken(struct wall *w);

/* From here on a system call from B's reservation ends the process, whichever it is, and so does every one
 * from elsewhere but those few that the monitor and this test make. */
bool wall_filter(const struct bt *b);

#endif
