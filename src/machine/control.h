/* Control of a VM from outside (--qmp): mon/qmp.h speaks the protocol, this is what the commands do. Called under the big lock. */
#ifndef MACHINE_CONTROL_H
#define MACHINE_CONTROL_H

#include "mon/qmp.h"

struct vm;
struct control;

enum status control_create(struct vm *vm, const char *address, struct error *e);
void control_destroy(struct vm *vm);

/* The loop's part, as console_prepare and console_serve. */
void control_prepare(struct vm *vm, struct loop_fd fds[QMP_FDS]);
void control_serve(struct vm *vm, const struct loop_fd fds[QMP_FDS]);
/* A client has stopped the guest, and another command lets it go on. */
bool control_waits(const struct vm *vm);
/* The machine was reset; the VM has ended. */
void control_reset(struct vm *vm);
void control_ended(struct vm *vm);
/* The guest has ACTUAL bytes now. */
void control_balloon(struct vm *vm, u64 actual);

#endif
