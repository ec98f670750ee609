/* A debugger (gdb) on a VM: mon/gdb.h speaks the protocol, this stops the vCPUs and moves them. Called under
 * the big lock. */
#ifndef MACHINE_DEBUGGER_H
#define MACHINE_DEBUGGER_H

#include "engine/engine.h"
#include "mon/gdb.h"

struct vm;
struct vcpu;
struct debugger;

/* Listens at ADDRESS. The VM starts paused, until a client lets it go on. */
enum status debugger_create(struct vm *vm, const char *address, struct error *e);
void debugger_destroy(struct vm *vm);

/* The loop's part, as console_prepare and console_serve. debugger_serve gives the lock up for a while. */
void debugger_prepare(struct vm *vm, struct loop_fd fds[GDB_FDS]);
void debugger_serve(struct vm *vm, const struct loop_fd fds[GDB_FDS]);

/* Virtual time: the guest stands, and only the client can change that. */
bool debugger_waits(const struct vm *vm);
/* V's engine came back with R: stops the VM when that was a step or a point. */
void debugger_returned(struct vm *vm, struct vcpu *v, enum run_result r);
/* V executes one instruction instead of running: the engine's step, with or without interrupts. The big lock
 * is not held. */
enum run_result debugger_step(struct vcpu *v, struct error *e);
/* The VM has ended. */
void debugger_ended(struct vm *vm);

#endif
