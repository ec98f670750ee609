/* What the machine does for a vCPU: exits, interrupts, its LAPIC, randomness, the time-stamp counter; and
 * waking it. */
#include "machine/vm.h"

#include "cpu/tlb.h"
#include "host/clock.h"
#include "host/entropy.h"

void vcpu_lock(struct vcpu *v)
{
    bool inside = vcpu_step_out(v);
    lock_take(&v->vm->lock);
    v->vm->serving = v;
    v->serves_inside = inside;
}

void vcpu_unlock(struct vcpu *v)
{
    v->vm->serving = NULL;
    bool inside = v->serves_inside;
    lock_release(&v->vm->lock);
    vcpu_back(v, inside);
}

static void log_exit(struct exit_log *l, struct cpu *c, const struct exit *x)
{
    const u64 words[] = {x->kind, x->write, x->size, x->addr, x->data};
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        l->hash = (l->hash ^ words[i]) * 0x9e3779b97f4a7c15ull ^ l->hash >> 31;
    l->count++;
    if (l->stop)
        cpu_attend(c, ATTN_KICK);
}

static void look_at_switch(struct vcpu *v)
{
    vcpu_lock(v);
    switch_look(v->vm, 0);
    vcpu_unlock(v);
}

static void wire_exit(void *opaque, struct cpu *c, struct exit *x)
{
    struct vcpu *v = opaque;
    exit_dispatch(&v->vm->exits, c, x);
    if (v->vm->trace.on)
        trace_exit(v, x);
    if (v->vm->exit_log.on)
        log_exit(&v->vm->exit_log, c, x);
    if (v->vm->switches.done < v->vm->switches.n) /* it changes while all vCPUs stand outside */
        look_at_switch(v);
}

static int wire_intr_ack(void *opaque, struct cpu *c)
{
    struct vcpu *v = opaque;
    vcpu_lock(v);
    int vector = pc_intr_ack(&v->vm->pc, c->index);
    if (v->vm->config.pv_kvm && !irqchip_kept(&v->vm->pc.apic))
        pv_kvm_tick(&v->pv);
    vcpu_unlock(v);
    if (v->vm->trace.on)
        trace_irq(v, vector);
    return vector;
}

static bool wire_apic_msr_read(void *opaque, struct cpu *c, u32 msr, u64 *value)
{
    struct vcpu *v = opaque;
    vcpu_lock(v);
    irqchip_borrow(v);
    bool ok = pc_apic_msr_read(&v->vm->pc, c->index, msr, value);
    irqchip_give_back(v);
    vcpu_unlock(v);
    return ok;
}

static bool wire_apic_msr_write(void *opaque, struct cpu *c, u32 msr, u64 value)
{
    struct vcpu *v = opaque;
    vcpu_lock(v);
    irqchip_borrow(v);
    bool ok = pc_apic_msr_write(&v->vm->pc, c->index, msr, value);
    irqchip_give_back(v);
    vcpu_unlock(v);
    return ok;
}

static void wire_apic_eoi(void *opaque, struct cpu *c, u8 vector)
{
    struct vcpu *v = opaque;
    (void)c;
    vcpu_lock(v);
    ioapic_eoi(&v->vm->pc.ioapic, vector);
    vcpu_unlock(v);
}

static u8 wire_cr8_read(void *opaque, struct cpu *c)
{
    struct vcpu *v = opaque;
    vcpu_lock(v);
    irqchip_borrow(v);
    u8 tpr = pc_cr8_read(&v->vm->pc, c->index);
    irqchip_give_back(v);
    vcpu_unlock(v);
    return tpr;
}

static void wire_cr8_write(void *opaque, struct cpu *c, u8 tpr)
{
    struct vcpu *v = opaque;
    vcpu_lock(v);
    irqchip_borrow(v);
    pc_cr8_write(&v->vm->pc, c->index, tpr);
    irqchip_give_back(v);
    vcpu_unlock(v);
}

static void wire_ferr(void *opaque, struct cpu *c)
{
    struct vcpu *v = opaque;
    (void)c;
    vcpu_lock(v);
    pc_ferr(&v->vm->pc);
    vcpu_unlock(v);
}

static bool wire_pv_msr(void *opaque, struct cpu *c, u32 msr, bool write, u64 *value)
{
    struct vcpu *v = opaque;
    if (!v->vm->config.pv_kvm)
        return false;
    vcpu_lock(v);
    bool ok = pv_kvm_msr(&v->pv, c, msr, write, value);
    vcpu_unlock(v);
    return ok;
}

static u64 wire_random(void *opaque)
{
    struct vcpu *v = opaque;
    return v->vm->is_virtual ? random_next(&v->vm->random) : entropy_u64();
}

static u64 wire_tsc(void *opaque, const struct cpu *c)
{
    const struct vcpu *v = opaque;
    (void)c;
    return clock_now(&v->vm->clock);
}

static void wire_code_mark(void *opaque, u64 gpa, u8 flag)
{
    struct vm *vm = ((struct vcpu *)opaque)->vm;
    exclusive_begin(vm);
    if (mem_frame_flags(&vm->mem, gpa) & FRAME_WTAG)
        for (u32 i = 0; i < vm->config.cpus; i++)
            tlb_protect_frame(&vm->vcpus[i].cpu, gpa);
    mem_frame_clear(&vm->mem, gpa, FRAME_WTAG);
    mem_frame_set(&vm->mem, gpa, flag);
    exclusive_end(vm);
}

static void wire_stop_others(void *opaque, bool stop)
{
    struct vm *vm = ((struct vcpu *)opaque)->vm;
    if (stop)
        exclusive_begin(vm);
    else
        exclusive_end(vm);
}

/* With fewer cores than vCPUs, who spins keeps off the core whoever is waited for. */
#define PAUSES_PER_YIELD 64

static void wire_relax(void *opaque)
{
    struct vcpu *v = opaque;
    if (v->vm->is_virtual)
        vm_end_turn(v);
    else if (++v->pauses % PAUSES_PER_YIELD == 0)
        thread_yield();
}

void vcpu_wire(struct vcpu *v)
{
    v->cpu.wires = (struct cpu_wires){
        .mem = &v->vm->mem,
        .log = &v->vm->log,
        .clock = &v->vm->clock,
        .model = v->vm->model,
        .exit = wire_exit,
        .intr_ack = wire_intr_ack,
        .apic_msr_read = wire_apic_msr_read,
        .apic_msr_write = wire_apic_msr_write,
        .apic_eoi = wire_apic_eoi,
        .cr8_read = wire_cr8_read,
        .cr8_write = wire_cr8_write,
        .ferr = wire_ferr,
        .pv_msr = wire_pv_msr,
        .random = wire_random,
        .tsc = wire_tsc,
        .code_mark = wire_code_mark,
        .stop_others = wire_stop_others,
        .relax = wire_relax,
        .host_ns = host_ns,
        .opaque = v,
    };
}

/* A vCPU that waits in HLT sleeps on `wake` with the big lock, which the caller holds: no wake-up can fall
 * between its look and its sleep. */
void vcpu_attend(struct vcpu *v, u32 bits)
{
    cpu_attend(&v->cpu, bits);
    if (v == v->vm->serving)
        return; /* its own thread, in an exit: the engine looks at the next boundary */
    if (atomic_load(&v->attached))
        v->vm->engine->kick(v->engine);
    cond_wake(&v->wake);
}

_Static_assert(TRINE_SHOW_MAX == ENGINE_SHOW_MAX && TRINE_BT_CACHE_LEAST == ENGINE_CACHE_LEAST && TRINE_BT_CACHE_MOST == ENGINE_CACHE_MOST,
               "checked once, when the VM is made");

enum status vcpu_attach(struct vcpu *v, struct error *e)
{
    enum status s = v->vm->engine->attach(&v->cpu, v->vm->engine_shared, &v->engine, e);
    if (s == STATUS_OK) {
        if (v->vm->engine->configure)
            v->vm->engine->configure(v->engine, &(struct engine_settings){.perf_map = v->vm->config.perf_map,
                                                                          .scan = v->vm->config.bt_scan,
                                                                          .sensitive = (enum engine_sensitive)v->vm->config.bt_sensitive,
                                                                          .cache_bytes = v->vm->config.bt_cache,
                                                                          .show_line = v->vm->config.show_line,
                                                                          .show_opaque = v->vm->config.show_opaque,
                                                                          .show_at = v->vm->config.show_at,
                                                                          .show_len = v->vm->config.show_len});
        atomic_store(&v->thread_id, thread_self());
        if (!v->vm->is_virtual && v->vm->config.pv_kvm)
            thread_run_delay(&v->run_delay_fd); /* opened here, before the guest runs */
        atomic_store(&v->attached, true);
    }
    return s;
}

void vcpu_drop_stale(struct vcpu *v)
{
    for (size_t i = 0; i < v->stale.n; i++)
        mem_code_keep(&v->vm->mem, v->stale.gpas[i], v->vm->engine->flush_code(v->engine, v->stale.gpas[i], PAGE_SIZE));
    v->stale.n = 0;
}

enum run_result vcpu_execute(struct vcpu *v, u64 limit, struct error *e)
{
    if (v->go == GDB_STEP)
        return debugger_step(v, e);
    if (trace_steps(&v->vm->trace))
        return trace_run(v, limit, e);
    return v->vm->engine->run(v->engine, limit, e);
}

void vcpu_kick_taken(struct vcpu *v)
{
    atomic_fetch_and(&v->cpu.attention, ~(u32)ATTN_KICK);
}
