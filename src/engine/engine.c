/* The choice among the engines (list.c). */
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

/* Appends to WHY, a string in SIZE bytes, why OPS is not taken. */
static void engine_refuse(char *why, size_t size, const struct engine_ops *ops, const char *reason)
{
    size_t n = strlen(why);
    snprintf(why + n, size - n, "%s%s: %s", n ? "; " : "", ops->name, reason);
}

static bool engine_genuine(const struct engine_ops *ops, char *reason, size_t size)
{
    return !ops->genuine || ops->genuine(false, reason, size);
}

const struct engine_ops *engine_choose(const char *name, bool virtual_time, u32 cpus, char *why, size_t size)
{
    bool any = !strcmp(name, "auto"), known = false;
    why[0] = 0;
    for (const struct engine_ops *const *p = engine_list; *p; p++) {
        char reason[256] = "";
        if (!any && strcmp(name, (*p)->name))
            continue;
        known = true;
        if (cpus > (*p)->max_cpus)
            snprintf(reason, sizeof reason, "runs at most %u vCPU%s", (*p)->max_cpus, (*p)->max_cpus == 1 ? "" : "s");
        else if (cpus > 1 && !virtual_time && !(*p)->concurrent)
            snprintf(reason, sizeof reason, "runs several vCPUs on this host only in turn, with --time virtual");
        else if (virtual_time && !(*p)->virtual_time)
            snprintf(reason, sizeof reason, "cannot count instructions exactly, as --time virtual needs");
        if (*reason || !(*p)->probe(reason, sizeof reason) || (any && !engine_genuine(*p, reason, sizeof reason))) {
            engine_refuse(why, size, *p, reason);
            continue;
        }
        if (!any && !engine_genuine(*p, reason, sizeof reason))
            snprintf(why, size, "warning: %s", reason);
        return *p;
    }
    if (!known)
        snprintf(why, size, "%s: no such engine", name);
    return NULL;
}

const struct engine_ops *engine_get(const char *name, bool virtual_time, u32 cpus, char *why, size_t size,
                                    struct error *e)
{
    const struct engine_ops *engine = engine_choose(name, virtual_time, cpus, why, size);
    if (engine)
        return engine;
    bool known = !strcmp(name, "auto"); /* an engine that cannot run here is not wrong usage */
    for (const struct engine_ops *const *p = engine_list; *p; p++)
        known |= !strcmp(name, (*p)->name);
    error_set(e, known ? STATUS_UNSUPPORTED : STATUS_USAGE, "engine %s", why);
    return NULL;
}

enum status engine_open(const struct engine_ops *ops, const struct engine_machine *m, void **shared, struct error *e)
{
    return ops->open ? ops->open(m, shared, e) : STATUS_OK;
}

u64 engines_features(const struct engine_ops *chosen)
{
    u64 all = ~0ull;
    char why[256];
    for (const struct engine_ops *const *p = engine_list; *p; p++)
        if ((*p)->features && (*p == chosen || ((*p)->probe(why, sizeof why) &&
                                                engine_genuine(*p, why, sizeof why))))
            all &= (*p)->features();
    return all;
}
