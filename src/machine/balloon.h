/* How large the guest's balloon is: what QMP, the prompt and --balloon auto ask of it. See balloon.c. Called under the big lock. */
#ifndef MACHINE_BALLOON_H
#define MACHINE_BALLOON_H

#include "base/error.h"
#include "base/types.h"

struct vm;

/* The guest shall get along with BYTES; what it has. They fail where there is no balloon. */
enum status balloon_set(struct vm *vm, u64 bytes, struct error *e);
enum status balloon_query(struct vm *vm, u64 *bytes, struct error *e);
/* There is a balloon that --balloon auto moves, and its guest has told what it could use without swapping. */
bool balloon_available(const struct vm *vm, u64 *bytes);
/* The driver has told another size. OPAQUE is the VM. */
void balloon_changed(void *opaque);
/* The VM begins to run. */
void balloon_start(struct vm *vm);

/* What --balloon auto wants of a guest of SIZE bytes that has ACTUAL of them, AVAILABLE to itself without swapping, on a host of TOTAL bytes with LEFT
 * available: the next ACTUAL. */
u64 balloon_policy(u64 size, u64 actual, u64 available, u64 total, u64 left);

#endif
