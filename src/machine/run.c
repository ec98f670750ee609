/* --time real: the caller's thread is the event loop, one thread per vCPU runs the engine.
 *
 *   loop thread                                 vCPU thread
 *     lock                                        run the engine, without the lock
 *     timers, console, stop, --max-time             an exit: lock, chips, unlock
 *     note when to wake, unlock                     HLT: lock, sleep on `wake` (which unlocks) until an event
 * or a kick sleep: descriptors, deadline
 *
 * Nothing here looks at anything periodically: an idle guest's threads all sleep. A vCPU that arms an earlier
 * timer than the loop sleeps for posts `wake`. Every condition is changed under the lock that its sleeper
 * gave up atomically, so no wake-up is lost. */
#include "host/clock.h"
#include "host/loop.h"
#include "host/tty.h"
#include "machine/console/monitor.h"
#include "machine/console/text_display.h"
#include "machine/sharing.h"
#include "machine/vm.h"

/* --- vCPU threads */

static void vcpu_halt(struct vcpu *v)
{
    struct vm *vm = v->vm;
    u64 start = host_ns();
    lock_take(&vm->lock);
    while (!vm->ended && v->go != GDB_STEP && !(atomic_load(&v->cpu.attention) & ATTN_KICK) && !cpu_event_ready(&v->cpu))
        cond_sleep(&v->wake, &vm->lock);
    u64 ns = host_ns() - start;
    v->halted_ns += ns;
    exit_count(&vm->exits, EXIT_HALT, ns);
    lock_release(&vm->lock);
}

/* Lock held, given up while the engine may ask its wires. */
static void vcpu_attach_again(struct vcpu *v)
{
    struct vm *vm = v->vm;
    struct error e;
    lock_release(&vm->lock);
    enum status s = vcpu_attach(v, &e);
    if (s == STATUS_OK)
        switch_arrived(v);
    lock_take(&vm->lock);
    if (s != STATUS_OK)
        vm_fail(vm, &e);
}

/* Lock held. The last vCPU to arrive resets the machine for all, or moves it to another engine. */
static void vcpu_park(struct vcpu *v)
{
    struct vm *vm = v->vm;
    u64 seen = vm->gatherings;
    if (++vm->parked == vm->config.cpus) {
        struct error e;
        if (vm->reset_wanted && vm_reset(vm, &e) != STATUS_OK)
            vm_fail(vm, &e);
        if (vm->switches.wanted && !vm->ended)
            switch_engines(vm);
        vm->parked = 0;
        vm->gatherings++;
        cond_wake_all(&vm->unparked);
    }
    while (vm->gatherings == seen && !vm->ended)
        cond_sleep(&vm->unparked, &vm->lock);
    if (!vm->ended && !atomic_load(&v->attached))
        vcpu_attach_again(v);
}

/* One return of the engine. False: the VM has ended. */
static bool vcpu_turn(struct vcpu *v)
{
    struct vm *vm = v->vm;
    struct error e;
    vcpu_enter(v);
    enum run_result r = vcpu_execute(v, v->cpu.index ? UINT64_MAX : switch_limit(vm), &e);
    vcpu_leave(v);
    if (r == RUN_HALT)
        vcpu_halt(v);
    lock_take(&vm->lock);
    vm_engine_returned(vm, v, r, &e);
    vcpu_kick_taken(v);
    vcpu_drop_stale(v);
    if (r == RUN_LIMIT)
        switch_look(vm, v->cpu.icount);
    if ((vm->reset_wanted || vm->switches.wanted) && !vm->ended)
        vcpu_park(v);
    vcpu_rest(v);
    bool going = !vm->ended;
    lock_release(&vm->lock);
    return going;
}

static void *vcpu_main(void *arg)
{
    struct vcpu *v = arg;
    struct error e;
    if (vcpu_attach(v, &e) == STATUS_OK && confine_thread(v->vm->confine, CONFINE_VCPU, &e) == STATUS_OK) {
        lock_take(&v->vm->lock);
        vcpu_rest(v);
        lock_release(&v->vm->lock);
        while (vcpu_turn(v))
            ;
        return NULL;
    }
    lock_take(&v->vm->lock);
    vm_fail(v->vm, &e);
    lock_release(&v->vm->lock);
    return NULL;
}

/* --- the loop */

/* How late the loop's timers may be. */
#define LOOP_SLACK_NS 1000ul
#define LOG_REFILL_NS NS_PER_S

static u64 loop_sleep_until(const struct vm *vm)
{
    u64 next = vm->paused ? TIME_NEVER : clock_next(&vm->clock), end = vm_max_time(vm);
    u64 host = next > UINT64_MAX - vm->epoch_ns ? UINT64_MAX : next + vm->epoch_ns;
    u64 look = text_display_next(vm);
    if (look < end)
        end = look;
    return host < end ? host : end;
}

static void look_at_terminal(struct vm *vm)
{
    u16 cols, rows;
    if (atomic_exchange(&vm->resized, false) && vm->devices.console && tty_size(&cols, &rows))
        virtio_console_resize(vm->devices.console, cols, rows);
}

/* One turn, lock held; it sleeps without. */
static void loop_turn(struct vm *vm, u64 *refilled_ns)
{
    struct loop_fd fds[LOOP_MAX_FDS] = {{.fd = vm->wake.fd, .in = true}}, *const hvc = fds + 1 + CONSOLE_FDS;
    struct loop_fd *const debugger = hvc + CONSOLE_FDS, *const control = debugger + GDB_FDS, *const display = control + QMP_FDS;
    vm->devices_at_work = true;
    look_at_terminal(vm);
    if (!vm->paused)
        clock_run(&vm->clock);
    vm->devices_at_work = false;
    console_prepare(&vm->console, fds + 1);
    console_prepare(&vm->hvc, hvc);
    debugger_prepare(vm, debugger);
    control_prepare(vm, control);
    text_display_prepare(vm, display);
    struct loop_fd *const doorbell = display + TEXT_DISPLAY_FDS;
    *doorbell = (struct loop_fd){.fd = vm->doorbells.n ? vm->doorbells.wake.fd : -1, .in = true};
    unsigned first = (unsigned)(doorbell - fds) + 1, n = 0;
    if (!vm->paused)
        n = devices_prepare(&vm->devices, fds + first, LOOP_MAX_FDS - first);
    vm->loop_deadline = clock_next(&vm->clock);
    u64 until = loop_sleep_until(vm);
    lock_release(&vm->lock);
    loop_wait(fds, first + n, until);
    if (fds[0].ready)
        wake_drain(&vm->wake);
    lock_take(&vm->lock);
    vm->loop_deadline = 0;
    vm->devices_at_work = true;
    devices_serve(&vm->devices, fds + first, n);
    if (doorbell->ready)
        doorbells_serve(vm);
    vm->devices_at_work = false;
    bool quit = console_serve(&vm->console, fds + 1);
    quit |= console_serve(&vm->hvc, hvc);
    if (text_display_serve(vm, display) || quit)
        vm_end(vm, TRINE_END_STOPPED, "ended from the terminal");
    monitor_serve(vm);
    debugger_serve(vm, debugger);
    control_serve(vm, control);
    if (atomic_load(&vm->stop_wanted))
        vm_end(vm, TRINE_END_STOPPED, "stopped");
    u64 now = host_ns();
    if (now >= vm_max_time(vm))
        vm_end(vm, TRINE_END_MAX_TIME, "after %g s", vm->config.max_time_s);
    if (now - *refilled_ns >= LOG_REFILL_NS) {
        log_refill(&vm->log);
        *refilled_ns = now;
    }
}

void vm_run_real(struct vm *vm)
{
    unsigned long slack = thread_timer_slack(LOOP_SLACK_NS);
    u64 refilled_ns = vm->started_ns;
    struct error e;
    lock_take(&vm->lock);
    for (u32 i = 0; i < vm->config.cpus && !vm->ended; i++) {
        char name[24];
        snprintf(name, sizeof name, "trine-cpu%u", i);
        if (thread_start(&vm->vcpus[i].thread, name, vcpu_main, &vm->vcpus[i], &e) != STATUS_OK)
            vm_fail(vm, &e);
    }
    if (!vm->ended && sharing_start(vm, &e) != STATUS_OK)
        vm_fail(vm, &e);
    /* No guest runs yet: the vCPUs want the lock. */
    if (!vm->ended && confine_thread(vm->confine, CONFINE_LOOP, &e) != STATUS_OK)
        vm_fail(vm, &e);
    while (!vm->ended)
        loop_turn(vm, &refilled_ns);
    lock_release(&vm->lock);
    sharing_stop(vm);
    for (u32 i = 0; i < vm->config.cpus; i++)
        thread_join(&vm->vcpus[i].thread);
    thread_timer_slack(slack);
}
