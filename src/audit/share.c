#include "audit/share.h"

#include "machine/trace.h"
#include "machine/vm.h"

enum engine_way share_way(const struct engine_ops *ops, void *state, const u8 *bytes, unsigned n,
                          unsigned code_size, unsigned cpl)
{
    return ops->way ? ops->way(state, bytes, n, code_size, cpl) : WAY_EMULATED;
}

static void sample(struct vm *vm, struct audit_share *share)
{
    struct vcpu *v = vm->current;
    u8 code[15];
    vm->engine->pull(v->engine);
    if (v->cpu.activity != ACTIVITY_RUNNING)
        return;
    u32 n = trace_code(&v->cpu, code);
    share->samples++;
    share->way[share_way(vm->engine, v->engine, code, n, v->cpu.code_size, v->cpu.cpl)]++;
}

enum status share_take(const struct trine_config *cfg, const struct engine_ops *engine, u64 step,
                       const struct audit_rows *rows, enum engine_way *ways, struct audit_share *share,
                       struct error *e)
{
    struct trine_config c = *cfg;
    struct trine_result r;
    struct vm *vm;
    *share = (struct audit_share){0};
    c.time = TRINE_TIME_VIRTUAL;
    c.serial = TRINE_SERIAL_NONE;
    c.quiet = true;
    if (vm_create(&c, engine, &vm, e) != STATUS_OK)
        return e->status;
    enum status s = vm_start(vm, e);
    if (s == STATUS_OK) {
        vm_attach_all(vm);
        while (!vm->ended && vm->failure == STATUS_OK) {
            vm_run_to(vm, clock_now(&vm->clock) + step);
            if (!vm->ended)
                sample(vm, share);
        }
        for (u32 i = 0; ways && i < rows->n; i++) {
            const struct audit_row *w = &rows->row[i];
            ways[i] = share_way(engine, vm->vcpus[0].engine, w->code + w->at, w->code_n - w->at, w->mode / 8,
                                w->ring);
        }
        for (u32 i = 0; i < vm->config.cpus; i++)
            share->instructions += vm->vcpus[i].cpu.icount;
        s = vm_finish(vm, &r, e);
    }
    vm_destroy(vm);
    return s;
}
