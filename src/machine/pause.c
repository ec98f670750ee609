/* Pausing: no vCPU runs and guest time stands still, until vm_resume. Under --time real every vCPU's thread
 * comes to vcpu_rest; under --time virtual the one thread is here already. */
#include "host/clock.h"
#include "machine/vm.h"

void vm_pause(struct vm *vm)
{
    if (vm->paused)
        return;
    vm->paused = true;
    vm->paused_at = host_ns();
    vm_kick_all(vm);
    /* vCPUs that did not wake since the last pause are at rest already, and say nothing again. */
    wake_post(&vm->wake);
}

void vm_resume(struct vm *vm)
{
    if (!vm->paused)
        return;
    vm->paused = false;
    if (!vm->is_virtual)
        vm->epoch_ns += host_ns() - vm->paused_at;
    cond_wake_all(&vm->resumed);
    wake_post(&vm->wake); /* timers count again */
}

/* Those that wait for a reset do not run either. */
bool vm_at_rest(const struct vm *vm)
{
    return vm->paused && (vm->is_virtual || vm->resting + vm->parked >= vm->config.cpus);
}

void vcpu_rest(struct vcpu *v)
{
    struct vm *vm = v->vm;
    while ((vm->paused || v->go == GDB_STAY) && !vm->ended) {
        if (!v->at_rest) {
            v->at_rest = true;
            vm->resting++;
            wake_post(&vm->wake);
        }
        cond_sleep(&vm->resumed, &vm->lock);
    }
    if (v->at_rest) {
        v->at_rest = false;
        vm->resting--;
    }
}
