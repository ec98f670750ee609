/* QMP's commands on a machine. `stop` holds the vCPUs as a debugger does; the two do not mix. Under --time virtual commands are
 * looked at between two turns: what they change comes at no instruction that could be repeated, as Ctrl-A x does. */
#include "machine/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/clock.h"
#include "machine/balloon.h"
#include "machine/console/display.h"
#include "machine/snapshot.h"
#include "machine/vm.h"

struct control {
    struct qmp *qmp;
    bool stopped;  /* by us */
    bool asked;    /* for the end, or a reset: it is not the guest's */
};

static const char *target_status(void *opaque)
{
    const struct vm *vm = opaque;
    return vm->ended ? "shutdown" : vm->paused ? "paused" : "running";
}

static enum status target_stop(void *opaque, struct error *e)
{
    struct vm *vm = opaque;
    if (vm->debugger)
        return error_set(e, STATUS_USAGE, "a debugger holds this guest");
    if (vm->control->stopped)
        return STATUS_OK;
    vm->control->stopped = true;
    vm_pause(vm);
    qmp_event(vm->control->qmp, "STOP", NULL);
    return STATUS_OK;
}

static enum status target_cont(void *opaque, struct error *e)
{
    struct vm *vm = opaque;
    if (vm->debugger)
        return error_set(e, STATUS_USAGE, "a debugger holds this guest");
    if (!vm->control->stopped)
        return STATUS_OK;
    vm->control->stopped = false;
    vm_resume(vm);
    qmp_event(vm->control->qmp, "RESUME", NULL);
    return STATUS_OK;
}

static void target_power_button(void *opaque)
{
    struct vm *vm = opaque;
    qmp_event(vm->control->qmp, "POWERDOWN", NULL);
    piix4_pm_power_button(&vm->pc.pm);
}

static void target_reset(void *opaque)
{
    struct vm *vm = opaque;
    vm->control->asked = true;
    vm_want_reset(vm);
}

static void target_quit(void *opaque)
{
    struct vm *vm = opaque;
    vm->control->asked = true;
    vm_end(vm, TRINE_END_STOPPED, "ended by its control socket");
}

static enum status target_screendump(void *opaque, const char *path, struct error *e)
{
    return display_save(opaque, path, e);
}

static enum status target_save(void *opaque, const char *path, struct error *e)
{
    struct vm *vm = opaque;
    if (!vm->is_virtual)
        return error_set(e, STATUS_USAGE, "%s: a snapshot needs --time virtual", path);
    return vm_save(vm, path, e);
}

static enum status target_change_medium(void *opaque, const char *device, const char *path, bool force, struct error *e)
{
    struct vm *vm = opaque;
    return devices_change_medium(&vm->devices, device, path, force, e);
}

static enum status target_balloon(void *opaque, u64 bytes, struct error *e)
{
    return balloon_set(opaque, bytes, e);
}

static enum status target_query_balloon(void *opaque, u64 *bytes, struct error *e)
{
    return balloon_query(opaque, bytes, e);
}

static u64 target_wall_us(void *opaque)
{
    (void)opaque;
    return (u64)host_wall_ns() / 1000;
}

enum status control_create(struct vm *vm, const char *address, struct error *e)
{
    const struct qmp_target target = {
        .status = target_status,
        .stop = target_stop,
        .cont = target_cont,
        .power_button = target_power_button,
        .reset = target_reset,
        .quit = target_quit,
        .screendump = target_screendump,
        .save = target_save,
        .change_medium = target_change_medium,
        .balloon = target_balloon,
        .query_balloon = target_query_balloon,
        .wall_us = target_wall_us,
        .opaque = vm,
    };
    vm->control = calloc(1, sizeof *vm->control);
    if (!vm->control)
        return error_set(e, STATUS_HOST, "qmp: out of memory");
    vm->control->qmp = qmp_create(address, &target, e);
    return vm->control->qmp ? STATUS_OK : e->status;
}

void control_destroy(struct vm *vm)
{
    if (!vm->control)
        return;
    qmp_destroy(vm->control->qmp);
    free(vm->control);
    vm->control = NULL;
}

void control_prepare(struct vm *vm, struct loop_fd fds[QMP_FDS])
{
    if (vm->control)
        qmp_prepare(vm->control->qmp, fds);
    else
        for (unsigned i = 0; i < QMP_FDS; i++)
            fds[i] = (struct loop_fd){.fd = -1};
}

void control_serve(struct vm *vm, const struct loop_fd fds[QMP_FDS])
{
    if (vm->control)
        qmp_serve(vm->control->qmp, fds);
}

bool control_waits(const struct vm *vm)
{
    return vm->control && vm->control->stopped;
}

void control_reset(struct vm *vm)
{
    struct control *c = vm->control;
    if (!c || !vm->ran)
        return;
    qmp_event(c->qmp, "RESET",
              c->asked ? "{\"guest\": false, \"reason\": \"host-qmp-system-reset\"}" : "{\"guest\": true, \"reason\": \"guest-reset\"}");
    c->asked = false;
    wake_post(&vm->wake); /* the loop sends it */
}

void control_ended(struct vm *vm)
{
    struct control *c = vm->control;
    if (!c)
        return;
    qmp_event(c->qmp, "SHUTDOWN",
              c->asked                               ? "{\"guest\": false, \"reason\": \"host-qmp-quit\"}"
              : vm->result.end == TRINE_END_STOPPED ? "{\"guest\": false, \"reason\": \"host-signal\"}"
              : vm->result.end == TRINE_END_RESET   ? "{\"guest\": true, \"reason\": \"guest-reset\"}"
              : vm->result.end == TRINE_END_POWEROFF ? "{\"guest\": true, \"reason\": \"guest-shutdown\"}"
                                                     : "{\"guest\": false, \"reason\": \"host-error\"}");
    qmp_flush(c->qmp);
}

void control_balloon(struct vm *vm, u64 actual)
{
    char data[48];
    if (!vm->control)
        return;
    snprintf(data, sizeof data, "{\"actual\": %" PRIu64 "}", actual);
    qmp_event(vm->control->qmp, "BALLOON_CHANGE", data);
    wake_post(&vm->wake); /* the loop sends it */
}
