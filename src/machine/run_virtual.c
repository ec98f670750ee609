/* --time virtual: one thread does everything, and a run repeats exactly (DESIGN section 9).
 *
 * Virtual time is instructions retired, by all vCPUs, plus what HLT skipped; one is a nanosecond. The vCPUs
 * take turns of QUANTUM, which PAUSE cuts short: who spins waits for another. The engine runs to the next deadline; a chip that arms an earlier one during an exit
 * kicks it (vm.c, clock_earlier), so that it comes back at the next boundary. The host's clock is looked at
 * between slices, for --max-time alone: slices do not show in the guest. */
#include "host/clock.h"
#include "machine/snapshot.h"
#include "machine/vm.h"

#define QUANTUM 100000u
#define SLICE   (1u << 22)
/* Timers that come due without waking anybody, all vCPUs halted, before the VM is called halted for ever. */
#define FRUITLESS 10000000u
/* Timers that chips arm for a time already past, again and again: after so many rounds the guest gets an
 * instruction in between. */
#define TIMER_ROUNDS 64

static bool runnable(const struct vcpu *v)
{
    if (v->go != GDB_GO)
        return v->go == GDB_STEP;
    return v->cpu.activity == ACTIVITY_RUNNING || cpu_event_ready(&v->cpu);
}

/* Makes a runnable vCPU the current one: the same until its turn ends, then the next. False: all wait. */
static bool choose(struct vm *vm, struct turns *t)
{
    u64 now = clock_now(&vm->clock);
    if (runnable(vm->current) && (now < t->until || vm->config.cpus == 1))
        return true;
    u32 n = vm->config.cpus, at = vm->current->cpu.index;
    for (u32 i = 1; i <= n; i++) {
        struct vcpu *v = &vm->vcpus[(at + i) % n];
        if (!runnable(v))
            continue;
        vm->current = v;
        vm->base = now - v->cpu.icount;
        t->until = now + QUANTUM;
        return true;
    }
    return false;
}

void vm_end_turn(struct vcpu *v)
{
    v->vm->turns.until = 1; /* long past */
    cpu_attend(&v->cpu, ATTN_KICK);
}

static void fire_due(struct vm *vm)
{
    for (unsigned i = 0; i < TIMER_ROUNDS && clock_next(&vm->clock) <= clock_now(&vm->clock); i++)
        clock_run(&vm->clock);
}

/* All vCPUs wait: time jumps to the next deadline. */
static void skip(struct vm *vm, struct turns *t)
{
    u64 next = clock_next(&vm->clock), now = clock_now(&vm->clock);
    if (next == TIME_NEVER || t->fruitless++ == FRUITLESS) {
        vm_end(vm, TRINE_END_HALTED_FOREVER, "all vCPUs are halted and nothing can wake them");
        return;
    }
    if (next > now)
        vm->base += next - now;
}

/* The engine's turn, until a deadline, the end of the turn, or of the slice. */
static void run_current(struct vm *vm, const struct turns *t)
{
    struct vcpu *v = vm->current;
    struct error e;
    u64 now = clock_now(&vm->clock), until = now + SLICE, next = clock_next(&vm->clock);
    if (vm->config.cpus > 1 && t->until < until)
        until = t->until;
    if (next < until)
        until = next;
    if (vm->saves_done < vm->config.saves_n && vm->config.saves[vm->saves_done].count < until)
        until = vm->config.saves[vm->saves_done].count;
    if (vm->pause_at < until)
        until = vm->pause_at;
    if (switch_limit(vm) < until)
        until = switch_limit(vm);
    if (until <= now)
        until = now + 1;
    vm->run_until = until;
    lock_release(&vm->lock);
    u64 limit = v->cpu.icount + (until - now);
    enum run_result r = vcpu_execute(v, limit, &e);
    lock_take(&vm->lock);
    vm->run_until = 0;
    if (r == RUN_HALT)
        exit_count(&vm->exits, EXIT_HALT, 0);
    vm_engine_returned(vm, v, r, &e);
    vcpu_kick_taken(v);
}

/* The debugger's and the control's sockets: a look while the guest runs, a wait while it is paused. */
static void look_at_sockets(struct vm *vm)
{
    struct loop_fd fds[1 + GDB_FDS + QMP_FDS] = {{.fd = vm->wake.fd, .in = true}};
    if (!vm->debugger && !vm->control)
        return;
    bool waits = (vm->debugger && debugger_waits(vm)) || control_waits(vm);
    debugger_prepare(vm, fds + 1);
    control_prepare(vm, fds + 1 + GDB_FDS);
    lock_release(&vm->lock);
    loop_wait(fds, ARRAY_LEN(fds), waits ? vm_max_time(vm) : 0);
    if (fds[0].ready)
        wake_drain(&vm->wake);
    lock_take(&vm->lock);
    debugger_serve(vm, fds + 1);
    control_serve(vm, fds + 1 + GDB_FDS);
}

/* What comes from outside: it may end the VM, and changes nothing else. */
static void look_outside(struct vm *vm, struct turns *t)
{
    console_flush(&vm->console);
    console_flush(&vm->hvc);
    look_at_sockets(vm);
    if (atomic_load(&vm->stop_wanted))
        vm_end(vm, TRINE_END_STOPPED, "stopped");
    if (host_ns() >= vm_max_time(vm))
        vm_end(vm, TRINE_END_MAX_TIME, "after %g s", vm->config.max_time_s);
    u64 now = clock_now(&vm->clock);
    if (now - t->refilled_ns >= NS_PER_S) {
        log_refill(&vm->log);
        t->refilled_ns = now;
    }
}

/* Writes the snapshots whose time has come. */
static void save_due(struct vm *vm)
{
    struct error e;
    const struct trine_config *c = &vm->config;
    while (!vm->ended && vm->saves_done < c->saves_n &&
           c->saves[vm->saves_done].count <= clock_now(&vm->clock))
        if (vm_save(vm, c->saves[vm->saves_done++].path, &e) != STATUS_OK)
            vm_fail(vm, &e);
    if (c->end_after_saves && vm->saves_done == c->saves_n)
        vm_end(vm, TRINE_END_SAVED, "saved");
}

void vm_attach_all(struct vm *vm)
{
    struct error e;
    lock_take(&vm->lock);
    if (!vm->turns.until)
        vm->turns.until = QUANTUM;
    for (u32 i = 0; i < vm->config.cpus && !vm->ended; i++)
        if (vcpu_attach(&vm->vcpus[i], &e) != STATUS_OK)
            vm_fail(vm, &e);
    lock_release(&vm->lock);
}

/* Moves the guest to another engine when that is due. */
static void switch_due(struct vm *vm)
{
    switch_look(vm, clock_now(&vm->clock));
    if (vm->ended || !vm->switches.wanted || !switch_engines(vm))
        return;
    lock_release(&vm->lock);
    vm_attach_all(vm);
    for (u32 i = 0; i < vm->config.cpus; i++)
        switch_arrived(&vm->vcpus[i]);
    lock_take(&vm->lock);
}

static void turn(struct vm *vm, struct turns *t)
{
    struct error e;
    if (vm->reset_wanted && vm_reset(vm, &e) != STATUS_OK) {
        vm_fail(vm, &e);
        return;
    }
    fire_due(vm);
    if (choose(vm, t)) {
        t->fruitless = 0;
        run_current(vm, t);
    } else {
        skip(vm, t);
    }
}

void vm_run_to(struct vm *vm, u64 time)
{
    struct turns *t = &vm->turns;
    u64 exits = vm->exit_log.count;
    lock_take(&vm->lock);
    vm->pause_at = time;
    for (look_outside(vm, t); !vm->ended && clock_now(&vm->clock) < time; look_outside(vm, t)) {
        if (vm->exit_log.stop && vm->exit_log.count != exits)
            break;
        save_due(vm);
        switch_due(vm);
        if (!vm->ended && !vm->paused)
            turn(vm, t);
    }
    vm->pause_at = UINT64_MAX;
    lock_release(&vm->lock);
}

/* The engine is asked for no instruction: it takes what is pending, and comes back. */
void vm_settle(struct vm *vm)
{
    struct error e;
    lock_take(&vm->lock);
    if (!vm->ended && !vm->reset_wanted) {
        fire_due(vm);
        struct vcpu *v = vm->current;
        if (runnable(v)) {
            lock_release(&vm->lock);
            enum run_result r = vm->engine->run(v->engine, v->cpu.icount, &e);
            lock_take(&vm->lock);
            vm_engine_returned(vm, v, r, &e);
            vcpu_kick_taken(v);
        }
    }
    lock_release(&vm->lock);
}

void vm_run_virtual(struct vm *vm)
{
    struct error e;
    vm_attach_all(vm);
    lock_take(&vm->lock);
    if (!vm->ended && confine_thread(vm->confine, CONFINE_SOLE, &e) != STATUS_OK)
        vm_fail(vm, &e);
    lock_release(&vm->lock);
    vm_run_to(vm, UINT64_MAX);
}
