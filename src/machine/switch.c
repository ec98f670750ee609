#include "machine/switch.h"

#include <string.h>

#include "cpu/system.h"
#include "machine/vm.h"

/* The next one, or null. */
static const struct trine_switch *next(const struct vm *vm)
{
    const struct switches *s = &vm->switches;
    return s->done < s->n ? &vm->config.switches[s->done] : NULL;
}

static enum status check(const struct trine_switch *w, const struct engine_ops *from, struct error *e)
{
    if (strcmp(w->from, from->name))
        return error_set(e, STATUS_USAGE, "switch %s:%s: the guest runs on %s then", w->from, w->to, from->name);
    if (w->at == TRINE_SWITCH_INSTRUCTIONS && !from->virtual_time)
        return error_set(e, STATUS_USAGE, "switch %s:%s: engine %s does not count instructions", w->from, w->to, from->name);
    if (w->at == TRINE_SWITCH_SERIAL && (!w->text || !*w->text || strlen(w->text) > SWITCH_TEXT))
        return error_set(e, STATUS_USAGE, "switch %s:%s: a text has 1 to %d characters", w->from, w->to, SWITCH_TEXT);
    return STATUS_OK;
}

enum status switches_init(struct vm *vm, const struct engine_ops *first, struct error *e)
{
    const struct trine_config *c = &vm->config;
    char why[512];
    if (c->switches_n > SWITCHES_MAX)
        return error_set(e, STATUS_USAGE, "switch: more than %d", SWITCHES_MAX);
    for (unsigned i = 0; i < c->switches_n; i++) {
        const struct trine_switch *w = &c->switches[i];
        if (check(w, i ? vm->switches.to[i - 1] : first, e) != STATUS_OK)
            return e->status;
        vm->switches.to[i] = engine_get(w->to, vm->is_virtual, c->cpus <= TRINE_CPUS_MAX ? c->cpus : 1, why, sizeof why, e);
        if (!vm->switches.to[i])
            return e->status;
    }
    vm->switches.n = c->switches_n;
    return STATUS_OK;
}

u64 switches_features(const struct vm *vm, u64 features)
{
    for (unsigned i = 0; i < vm->switches.n; i++)
        features &= engines_features(vm->switches.to[i]);
    return features;
}

u64 switch_limit(const struct vm *vm)
{
    const struct trine_switch *w = next(vm);
    return w && w->at == TRINE_SWITCH_INSTRUCTIONS ? w->count : UINT64_MAX;
}

static void want(struct vm *vm)
{
    vm->switches.wanted = true;
    vm_kick_all(vm);
}

static u64 exits_until_now(const struct vm *vm)
{
    const u64 *count = vm->exits.stats.count;
    return count[EXIT_PIO] + count[EXIT_MMIO] + count[EXIT_HYPERCALL];
}

void switch_look(struct vm *vm, u64 count)
{
    const struct trine_switch *w = next(vm);
    if (!w || vm->switches.wanted)
        return;
    if ((w->at == TRINE_SWITCH_INSTRUCTIONS && count >= w->count) ||
        (w->at == TRINE_SWITCH_EXITS && exits_until_now(vm) >= w->count))
        want(vm);
}

void switch_console(void *opaque, const u8 *data, size_t n)
{
    struct vm *vm = opaque;
    struct switches *s = &vm->switches;
    const struct trine_switch *w = next(vm);
    if (!w || w->at != TRINE_SWITCH_SERIAL || s->wanted)
        return;
    for (size_t i = 0, len = strlen(w->text); i < n && !s->wanted; i++) {
        memmove(s->tail, s->tail + 1, len - 1);
        s->tail[len - 1] = (char)data[i];
        if (!memcmp(s->tail, w->text, len))
            want(vm);
    }
}

/* Without the lock: publishing may deliver an event, which may be an exit. Nobody kicks the vCPUs or flushes their code,
 * for they are attached to nothing. */
static enum status engines_change(struct vm *vm, const struct engine_ops *to, struct error *e)
{
    bool counted = true;
    for (u32 i = 0; i < vm->config.cpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        vm->engine->pull(v->engine);
        counted &= vm->engine->stats(v->engine).counts_instructions;
        v->tsc_khz = v->cpu.tsc_khz;
    }
    lock_take(&vm->lock);
    irqchip_take(vm);
    doorbells_forget(vm);
    lock_release(&vm->lock);
    for (u32 i = 0; i < vm->config.cpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        vm->engine->detach(v->engine);
        v->engine = NULL;
        v->stale.n = 0;
    }
    vm->switches.uncounted |= !counted;
    if (vm->engine_shared)
        vm->engine->close(vm->engine_shared);
    vm->engine_shared = NULL;
    vm->engine = to;
    const struct engine_machine machine = vm_for_engine(vm);
    if (engine_open(to, &machine, &vm->engine_shared, e) != STATUS_OK)
        return e->status;
    lock_take(&vm->lock);
    irqchip_give(vm);
    doorbells_follow(vm);
    lock_release(&vm->lock);
    return STATUS_OK;
}

bool switch_engines(struct vm *vm)
{
    struct switches *s = &vm->switches;
    const struct trine_switch *w = next(vm);
    struct error e;
    for (u32 i = 0; i < vm->config.cpus; i++)
        atomic_store(&vm->vcpus[i].attached, false);
    lock_release(&vm->lock);
    enum status status = engines_change(vm, s->to[s->done], &e);
    lock_take(&vm->lock);
    s->wanted = false;
    s->done++;
    memset(s->tail, 0, sizeof s->tail);
    if (status != STATUS_OK) {
        vm_fail(vm, &e);
        return false;
    }
    log_operator(&vm->log, "engine: %s (from %s, after %llu exits)", w->to, w->from, (unsigned long long)exits_until_now(vm));
    return true;
}

void switch_arrived(struct vcpu *v)
{
    if (v->cpu.tsc_khz != v->tsc_khz)
        msr_tsc_moved(&v->cpu);
}
