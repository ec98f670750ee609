/* Stopping all vCPUs but the caller's, if it has one, for what they must not see half done. Under --time real with several vCPUs,
 * and with --share; in every other case nobody runs beside the caller, and these do nothing.
 *
 * A vCPU's thread is `inside` while it may use what it looked up (soft TLB, blocks). It is outside when its
 * engine does not run, and while it waits for the big lock or serves an exit. begin waits until all others
 * are outside; who wants to come in waits for end. Lock order: the big lock, then this; nothing is taken in
 * between begin and end. */
#ifndef MACHINE_EXCLUSIVE_H
#define MACHINE_EXCLUSIVE_H

#include "host/thread.h"

struct vm;
struct vcpu;

struct exclusive {
    struct lock lock;
    struct cond changed;
    _Atomic bool wanted; /* somebody has or waits for the others to stop */
    _Atomic bool braked; /* whoever comes in waits, though nobody has begun */
    _Atomic u64 owner;   /* thread that has begun; 0: none */
    unsigned depth;      /* of the owner's begins */
    bool owner_was_inside;
    u64 count;
};

enum status exclusive_init(struct exclusive *x, struct error *e);
void exclusive_begin(struct vm *vm);
void exclusive_end(struct vm *vm);
/* ON: vCPUs stay outside, and come out that are inside, until it is off; the big lock is held. They may be stopped meanwhile as ever. Off: any thread. */
void exclusive_brake(struct vm *vm, bool on);
/* The vCPU's own thread. */
void vcpu_enter(struct vcpu *v);
void vcpu_leave(struct vcpu *v);
/* vcpu_leave, if it was inside; the answer goes to vcpu_back. */
bool vcpu_step_out(struct vcpu *v);
void vcpu_back(struct vcpu *v, bool was_inside);

#endif
