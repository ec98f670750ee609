/* --switch: the running guest moves from one engine to another. All that an engine knows of it is in struct cpu once it
 * has published; what it keeps besides (decoded code, translations, KVM's VM) goes with it, and the next one starts from
 * nothing. Every vCPU stands outside its engine meanwhile: real time: vcpu_park (run.c); virtual time: the one thread
 * does it between two turns. */
#ifndef MACHINE_SWITCH_H
#define MACHINE_SWITCH_H

#include "base/error.h"
#include "cpu/cpu.h"
#include "engine/engine.h"

struct vm;
struct vcpu;

#define SWITCHES_MAX 16
#define SWITCH_TEXT  128 /* bytes of a marker */

struct switches {
    const struct engine_ops *to[SWITCHES_MAX];
    unsigned n, done; /* of config.switches */
    bool wanted;      /* the next one's event has come */
    bool uncounted;   /* an engine that does not count instructions had the guest */
    char tail[SWITCH_TEXT]; /* the last bytes of the console's output, as many as the marker has */
};

/* Checks what config.switches says; FIRST is the engine that the guest starts on. */
enum status switches_init(struct vm *vm, const struct engine_ops *first, struct error *e);
/* The features that all of these engines can offer. */
u64 switches_features(const struct vm *vm, u64 features);
/* The instruction count of vCPU 0 at which the next switch is due, UINT64_MAX if another event brings it. */
u64 switch_limit(const struct vm *vm);
/* Looks whether the count has been reached, or the number of exits. Lock held. */
void switch_look(struct vm *vm, u64 count);
/* The guest wrote this to its console. Lock held. */
void switch_console(void *opaque, const u8 *data, size_t n);
/* Moves the guest. Lock held, and given up for a while; no vCPU runs. Each is attached to the new engine by its own
 * thread: vcpu_attach. False: vm_fail was called. */
bool switch_engines(struct vm *vm);
/* V has been attached again: KVM's clock page follows the rate of its counter. Its thread, without the lock. */
void switch_arrived(struct vcpu *v);

#endif
