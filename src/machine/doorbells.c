/* All doorbells share one eventfd: when it is ready every device looks at its queues, which costs those that were not meant a look at their index. A window
 * that moves takes its doorbells along before the vCPU that moved it goes on, for a write to what stands there then must not be swallowed. */
#include "machine/doorbells.h"

#include "machine/vm.h"

static bool among(const struct engine_doorbell *b, const struct engine_doorbell *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i].gpa == b->gpa && list[i].len == b->len && list[i].value == b->value)
            return true;
    return false;
}

void doorbells_follow(void *opaque)
{
    struct vm *vm = opaque;
    struct doorbells *d = &vm->doorbells;
    struct engine_doorbell want[DOORBELLS_MAX];
    if (!vm->engine->doorbell || !vm->engine_shared)
        return;
    unsigned wanted = devices_doorbells(&vm->devices, want, DOORBELLS_MAX), kept = 0;
    for (unsigned i = 0; i < d->n; i++) {
        if (among(&d->on[i], want, wanted))
            d->on[kept++] = d->on[i];
        else
            (void)vm->engine->doorbell(vm->engine_shared, &d->on[i], false);
    }
    d->n = kept;
    for (unsigned i = 0; i < wanted && d->n < DOORBELLS_MAX; i++) {
        want[i].fd = d->wake.fd;
        if (!among(&want[i], d->on, kept) && vm->engine->doorbell(vm->engine_shared, &want[i], true))
            d->on[d->n++] = want[i];
    }
}

void doorbells_serve(struct vm *vm)
{
    wake_drain(&vm->doorbells.wake);
    devices_notified(&vm->devices);
}

void doorbells_forget(struct vm *vm)
{
    if (!vm->doorbells.n)
        return;
    doorbells_serve(vm); /* one may have been rung since the loop looked */
    vm->doorbells.n = 0;
}
