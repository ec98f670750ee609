/* Stopping and moving vCPUs for gdb.
 *
 *   vCPU thread                                   loop thread
 *     engine returns RUN_DEBUG, or was stepped
 *     debugger_returned: note why, vm_pause         ^C: note why, vm_pause
 *     vcpu_rest: wakes the loop                     debugger_serve: all at rest -> gdb_stopped
 *                                                   packets; resume: go[] and vm_resume
 *
 * The first reason counts when several vCPUs stop at once. */
#include "machine/debugger.h"

#include <stdlib.h>

#include "machine/vm.h"

#define SIGNAL_INT  2
#define SIGNAL_TRAP 5

struct debugger {
    struct gdb *gdb;
    struct debug_points points;
    struct vm *vm;
    bool stopping;  /* a reason stands in the fields below; gdb is told when all are at rest */
    bool releasing; /* the client has left */
    bool interrupts;
    u8 signal;
    unsigned cpu;
    struct point_hit hit;
};

static void stop(struct debugger *d, unsigned cpu, u8 signal, struct point_hit hit)
{
    if (!d->stopping) {
        d->stopping = true;
        d->cpu = cpu;
        d->signal = signal;
        d->hit = hit;
    }
    vm_pause(d->vm);
}

/* --- gdb's hooks. The big lock is not held: some of what they look at asks the vCPU's wires, which take it.
 */

static unsigned target_cpus(void *opaque)
{
    return ((struct debugger *)opaque)->vm->config.cpus;
}

static struct cpu *target_cpu(void *opaque, unsigned n)
{
    return &((struct debugger *)opaque)->vm->vcpus[n].cpu;
}

static void target_changed(void *opaque, unsigned n)
{
    struct vm *vm = ((struct debugger *)opaque)->vm;
    if (atomic_load(&vm->vcpus[n].attached))
        vm->engine->push(vm->vcpus[n].engine);
}

static bool target_read(void *opaque, u64 gpa, void *buf, u64 len)
{
    return mem_read(&((struct debugger *)opaque)->vm->mem, gpa, buf, len);
}

static bool target_write(void *opaque, u64 gpa, const void *buf, u64 len)
{
    return mem_write(&((struct debugger *)opaque)->vm->mem, gpa, buf, len);
}

static struct debug_points *target_points(void *opaque)
{
    return &((struct debugger *)opaque)->points;
}

/* Data points take the soft TLB out of the way, which the mode decides. */
static void target_points_changed(void *opaque)
{
    struct vm *vm = ((struct debugger *)opaque)->vm;
    for (u32 i = 0; i < vm->config.cpus; i++)
        cpu_update_mode(&vm->vcpus[i].cpu);
}

static void let_go(struct debugger *d, const enum gdb_go *go, bool interrupts)
{
    struct vm *vm = d->vm;
    d->stopping = false;
    d->interrupts = interrupts;
    for (u32 i = 0; i < vm->config.cpus; i++) {
        vm->vcpus[i].go = go[i];
        vm->vcpus[i].cpu.point_hit.kind = 0;
    }
    vm_resume(vm);
}

static void target_resume(void *opaque, const enum gdb_go *go, bool interrupts)
{
    struct debugger *d = opaque;
    lock_take(&d->vm->lock);
    let_go(d, go, interrupts);
    lock_release(&d->vm->lock);
}

static void target_interrupt(void *opaque)
{
    struct debugger *d = opaque;
    lock_take(&d->vm->lock);
    stop(d, d->vm->is_virtual ? d->vm->current->cpu.index : d->cpu, SIGNAL_INT, (struct point_hit){0});
    lock_release(&d->vm->lock);
}

static void target_release(void *opaque)
{
    struct debugger *d = opaque;
    lock_take(&d->vm->lock);
    d->releasing = true;
    d->stopping = false; /* from now on it would be the next client's */
    vm_pause(d->vm);
    lock_release(&d->vm->lock);
}

static void target_kill(void *opaque)
{
    struct debugger *d = opaque;
    lock_take(&d->vm->lock);
    vm_end(d->vm, TRINE_END_STOPPED, "ended by the debugger");
    lock_release(&d->vm->lock);
}

/* --- the machine's side */

enum status debugger_create(struct vm *vm, const char *address, struct error *e)
{
    struct debugger *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(e, STATUS_HOST, "gdb: out of memory");
    const struct gdb_target target = {
        .cpus = target_cpus,
        .cpu = target_cpu,
        .changed = target_changed,
        .read = target_read,
        .write = target_write,
        .points = target_points,
        .points_changed = target_points_changed,
        .resume = target_resume,
        .interrupt = target_interrupt,
        .release = target_release,
        .kill = target_kill,
        .opaque = d,
    };
    vm->debugger = d;
    d->vm = vm;
    d->points.generation = 1;
    d->gdb = gdb_create(address, &target, e);
    if (!d->gdb)
        return e->status;
    for (u32 i = 0; i < vm->config.cpus; i++)
        vm->vcpus[i].cpu.points = &d->points;
    stop(d, 0, SIGNAL_TRAP, (struct point_hit){0});
    return STATUS_OK;
}

void debugger_destroy(struct vm *vm)
{
    struct debugger *d = vm->debugger;
    if (!d)
        return;
    gdb_destroy(d->gdb);
    free(d);
    vm->debugger = NULL;
}

void debugger_prepare(struct vm *vm, struct loop_fd fds[GDB_FDS])
{
    if (vm->debugger)
        gdb_prepare(vm->debugger->gdb, fds);
    else
        fds[0] = fds[1] = (struct loop_fd){.fd = -1};
}

/* All vCPUs are at rest: their state becomes visible, or the guest goes on without a debugger. */
static void all_stopped(struct debugger *d)
{
    static const enum gdb_go go[GDB_CPUS_MAX] = {[0 ... GDB_CPUS_MAX - 1] = GDB_GO};
    struct vm *vm = d->vm;
    for (u32 i = 0; i < vm->config.cpus; i++)
        if (atomic_load(&vm->vcpus[i].attached))
            vm->engine->pull(vm->vcpus[i].engine);
    if (d->releasing) {
        d->releasing = false;
        d->points.fetch_n = d->points.data_n = 0;
        d->points.generation++;
        target_points_changed(d);
        if (!d->stopping)
            let_go(d, go, true);
    }
    if (d->stopping)
        gdb_stopped(d->gdb, d->cpu, d->signal, d->hit);
}

void debugger_serve(struct vm *vm, const struct loop_fd fds[GDB_FDS])
{
    struct debugger *d = vm->debugger;
    if (!d)
        return;
    if (vm_at_rest(vm) && gdb_running(d->gdb))
        all_stopped(d);
    lock_release(&vm->lock);
    gdb_serve(d->gdb, fds);
    lock_take(&vm->lock);
    if (vm_at_rest(vm) && gdb_running(d->gdb))
        all_stopped(d);
}

bool debugger_waits(const struct vm *vm)
{
    return vm->paused && !gdb_running(vm->debugger->gdb);
}

void debugger_returned(struct vm *vm, struct vcpu *v, enum run_result r)
{
    struct debugger *d = vm->debugger;
    if (!d)
        return;
    if (v->go == GDB_STEP || r == RUN_DEBUG)
        stop(d, v->cpu.index, SIGNAL_TRAP, v->cpu.point_hit);
    if (v->go == GDB_STEP)
        v->go = GDB_STAY;
}

enum run_result debugger_step(struct vcpu *v, struct error *e)
{
    const u32 taken = ATTN_INTR | ATTN_NMI | ATTN_SMI;
    struct vm *vm = v->vm;
    u32 held = vm->debugger->interrupts ? 0 : atomic_fetch_and(&v->cpu.attention, ~taken) & taken;
    enum run_result r = vm->engine->step(v->engine, e);
    if (held)
        cpu_attend(&v->cpu, held);
    return r;
}

void debugger_ended(struct vm *vm)
{
    if (vm->debugger)
        gdb_ended(vm->debugger->gdb, vm->result.end == TRINE_END_POWEROFF ? 0 : 1);
}
