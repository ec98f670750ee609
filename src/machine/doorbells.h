/* Doorbells of virtio devices that the engine answers by an eventfd (engine_ops.doorbell), so that a notification wakes the loop's thread without
 * an exit of the vCPU. See doorbells.c. All calls run under the big lock. */
#ifndef MACHINE_DOORBELLS_H
#define MACHINE_DOORBELLS_H

#include "engine/engine.h"
#include "host/wake.h"

struct vm;

enum { DOORBELLS_MAX = 128 };

struct doorbells {
    struct wake wake; /* of all of them */
    struct engine_doorbell on[DOORBELLS_MAX];
    unsigned n;
};

/* The engine is open, or windows of devices may have moved (OPAQUE is a struct vm). */
void doorbells_follow(void *opaque);
/* Before the engine is closed, which drops them; all vCPUs are at rest. What was rung by then is served. */
void doorbells_forget(struct vm *vm);
/* Its eventfd was ready: the devices look at their queues. */
void doorbells_serve(struct vm *vm);

#endif
