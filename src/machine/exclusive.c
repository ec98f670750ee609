#include "machine/exclusive.h"

#include "machine/vm.h"

/*   vCPU                                begin
 *     inside = true                       wanted = true
 *     wanted? then inside = false,        inside? then kick it and wait
 *       signal, wait, again
 *
 * Both first store and then look, sequentially consistent: one of the two sees the other. */

enum status exclusive_init(struct exclusive *x, struct error *e)
{
    enum status s = lock_init(&x->lock, e);
    return s == STATUS_OK ? cond_init(&x->changed, e) : s;
}

static void signal_outside(struct exclusive *x)
{
    lock_take(&x->lock);
    cond_wake_all(&x->changed);
    lock_release(&x->lock);
}

void vcpu_enter(struct vcpu *v)
{
    struct exclusive *x = &v->vm->exclusive;
    if (!v->vm->stoppable)
        return;
    for (;;) {
        atomic_store(&v->inside, true);
        if (!atomic_load(&x->wanted) && !atomic_load(&x->braked))
            return;
        atomic_store(&v->inside, false);
        lock_take(&x->lock);
        cond_wake_all(&x->changed);
        while (atomic_load(&x->wanted) || atomic_load(&x->braked))
            cond_sleep(&x->changed, &x->lock);
        lock_release(&x->lock);
    }
}

void vcpu_leave(struct vcpu *v)
{
    struct exclusive *x = &v->vm->exclusive;
    if (!v->vm->stoppable)
        return;
    atomic_store(&v->inside, false);
    if (atomic_load(&x->wanted))
        signal_outside(x);
}

bool vcpu_step_out(struct vcpu *v)
{
    bool was = v->vm->stoppable && atomic_load_explicit(&v->inside, memory_order_relaxed);
    if (was)
        vcpu_leave(v);
    return was;
}

void vcpu_back(struct vcpu *v, bool was_inside)
{
    if (was_inside)
        vcpu_enter(v);
}

/* The vCPU that the thread SELF runs, if any. */
static struct vcpu *vcpu_of(struct vm *vm, u64 self)
{
    for (u32 i = 0; i < vm->config.cpus; i++)
        if (atomic_load_explicit(&vm->vcpus[i].thread_id, memory_order_relaxed) == self)
            return &vm->vcpus[i];
    return NULL;
}

/* Kicks whoever is inside; false: nobody is. */
static bool anybody_inside(struct vm *vm)
{
    bool any = false;
    for (u32 i = 0; i < vm->config.cpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        if (!atomic_load(&v->inside))
            continue;
        any = true;
        cpu_attend(&v->cpu, ATTN_KICK);
        vm->engine->kick(v->engine);
    }
    return any;
}

void exclusive_begin(struct vm *vm)
{
    struct exclusive *x = &vm->exclusive;
    u64 self = thread_self();
    if (!vm->stoppable)
        return;
    if (atomic_load(&x->owner) == self) {
        x->depth++;
        return;
    }
    struct vcpu *v = vcpu_of(vm, self);
    bool was_inside = v && atomic_load(&v->inside);
    lock_take(&x->lock);
    if (was_inside) { /* where this is called is a safe point: others may have their turn first */
        atomic_store(&v->inside, false);
        cond_wake_all(&x->changed);
    }
    while (atomic_load(&x->owner))
        cond_sleep(&x->changed, &x->lock);
    atomic_store(&x->owner, self);
    x->depth = 1;
    x->count++;
    x->owner_was_inside = was_inside;
    atomic_store(&x->wanted, true);
    while (anybody_inside(vm))
        cond_sleep(&x->changed, &x->lock);
    lock_release(&x->lock);
}

void exclusive_end(struct vm *vm)
{
    struct exclusive *x = &vm->exclusive;
    if (!vm->stoppable || --x->depth)
        return;
    lock_take(&x->lock);
    if (x->owner_was_inside)
        atomic_store(&vcpu_of(vm, atomic_load(&x->owner))->inside, true);
    atomic_store(&x->wanted, false);
    atomic_store(&x->owner, 0);
    cond_wake_all(&x->changed);
    lock_release(&x->lock);
}

void exclusive_brake(struct vm *vm, bool on)
{
    struct exclusive *x = &vm->exclusive;
    if (!vm->stoppable)
        return;
    lock_take(&x->lock);
    atomic_store(&x->braked, on);
    if (on)
        (void)anybody_inside(vm);
    else
        cond_wake_all(&x->changed);
    lock_release(&x->lock);
}
