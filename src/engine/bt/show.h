/* Looking at translations: as text beside the guest's code (show.c), and for what must not be in them
 * (scan.c), nor be reached by them (reach.c). */
#ifndef ENGINE_BT_SHOW_H
#define ENGINE_BT_SHOW_H

#include "engine/bt/bt.h"

/* Block T was made from BYTES, which stand at RIP: lists it where it concerns what was asked for. */
void bt_show(struct bt *b, const struct bt_block *t, u64 rip);

/* Is the host instruction at BYTES one that must not be in the code cache? Its length. TRAPS: the privileged may. */
bool bt_forbidden(const u8 *bytes, size_t n, bool traps, unsigned *len);
/* Decodes all that was emitted for T: adds to b->scanned and b->forbidden. */
void bt_scan(struct bt *b, const struct bt_block *t);
/* Follows what it does to memory: adds to b->forbidden. */
void bt_reach(struct bt *b, const struct bt_block *t);
void bt_scan_stubs(struct bt *b);

#endif
