/* The public interface: names to engines, internal errors to public ones. */
#include "trine.h"

#include <stdio.h>
#include <string.h>

#include "machine/vm.h"
#include "share/broker.h"
#include "share/member.h"

struct trine_vm; /* is struct vm */

static enum trine_status give_error(const struct error *from, struct trine_error *to)
{
    if (to) {
        to->status = (enum trine_status)from->status;
        snprintf(to->text, sizeof to->text, "%s", from->text);
    }
    return (enum trine_status)from->status;
}

void trine_config_init(struct trine_config *c)
{
    *c = (struct trine_config){
        .engine = "auto",
        .machine = "pc",
        .cpus = 1,
        .memory = MIB(512),
        .serial = TRINE_SERIAL_STDIO,
        .console_to = TRINE_SERIAL_NONE,
        .time = TRINE_TIME_REAL,
        .pv_kvm = true,
        .rtc = 946684800, /* 2000-01-01 */
    };
}

enum trine_status trine_create(const struct trine_config *c, struct trine_vm **vm, struct trine_error *e)
{
    struct error err;
    char why[512];
    const char *name = c->engine ? c->engine : "auto";
    const struct engine_ops *engine =
        engine_get(name, c->time == TRINE_TIME_VIRTUAL, c->cpus <= TRINE_CPUS_MAX ? c->cpus : 1, why, sizeof why, &err);
    struct vm *made;
    *vm = NULL;
    if (!engine)
        return give_error(&err, e);
    if (!c->kernel && !c->restore && !c->firmware) {
        error_set(&err, STATUS_USAGE, "kernel: none given, and no firmware");
        return give_error(&err, e);
    }
    if (vm_create(c, engine, &made, &err) != STATUS_OK)
        return give_error(&err, e);
    log_operator(&made->log, "engine: %s%s%s%s", engine->name, why[0] ? " (" : "", why, why[0] ? ")" : "");
    *vm = (struct trine_vm *)made;
    return TRINE_OK;
}

enum trine_status trine_run(struct trine_vm *vm, struct trine_result *r, struct trine_error *e)
{
    struct error err;
    return vm_run((struct vm *)vm, r, &err) == STATUS_OK ? TRINE_OK : give_error(&err, e);
}

void trine_stop(struct trine_vm *vm)
{
    vm_stop((struct vm *)vm);
}

void trine_terminal_resized(struct trine_vm *vm)
{
    vm_terminal_resized((struct vm *)vm);
}

void trine_get_stats(struct trine_vm *vm, struct trine_stats *s)
{
    vm_stats((struct vm *)vm, s);
}

void trine_destroy(struct trine_vm *vm)
{
    vm_destroy((struct vm *)vm);
}

enum trine_status trine_group(const char *group, struct trine_member *list, unsigned room, unsigned *n, struct trine_error *e)
{
    struct share_report all[SHARE_MEMBERS + 1];
    struct error err;
    u32 found = 0;
    if (share_list(group, all, ARRAY_LEN(all), &found, &err) != STATUS_OK)
        return give_error(&err, e);
    *n = found < room ? found : room;
    for (unsigned i = 0; i < *n; i++)
        list[i] = (struct trine_member){.pid = all[i].pid,
                                        .guest = all[i].guest_bytes,
                                        .resident = all[i].resident_bytes,
                                        .shared = all[i].shared_bytes,
                                        .ballooned = all[i].ballooned_bytes,
                                        .paged = all[i].paged_bytes,
                                        .working = all[i].working_bytes,
                                        .target = all[i].target_bytes};
    return TRINE_OK;
}

enum trine_status trine_memory_broker(int listener, const char *path)
{
    return broker_run(listener, path, 0) == STATUS_OK ? TRINE_OK : TRINE_HOST;
}

enum trine_status trine_confine_signals(struct trine_error *e)
{
    struct error err;
    struct confine *c = NULL;
    enum status s = confine_create(&c, 1u << CONFINE_SIGNALS, 0, &err);
    if (s == STATUS_OK)
        s = confine_thread(c, CONFINE_SIGNALS, &err);
    confine_destroy(c);
    return s == STATUS_OK ? TRINE_OK : give_error(&err, e);
}

bool trine_engine(unsigned n, const char **name, bool *usable, char *why, size_t size)
{
    for (unsigned i = 0; i <= n; i++)
        if (!engine_list[i])
            return false;
    *name = engine_list[n]->name;
    if (size)
        why[0] = 0;
    const struct engine_ops *ops = engine_list[n];
    *usable = ops->probe(why, size) && (!ops->genuine || ops->genuine(true, why, size));
    return true;
}

const char *trine_engine_auto(void)
{
    char why[512];
    const struct engine_ops *engine = engine_choose("auto", false, 1, why, sizeof why);
    return engine ? engine->name : "none";
}
