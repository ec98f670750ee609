/* Running a vCPU: what is taken at a boundary, KVM_RUN ([api] 5), what it came back for, and the way to the
 * interpreter.
 *
 * The interrupt controllers are the machine's: KVM has none (no KVM_CREATE_IRQCHIP). So HLT, INIT and SIPI
 * are ours, an interrupt is acknowledged when KVM says that it can be taken at once, and else an interrupt
 * window is asked for.
 *
 *   another thread            this one
 *     sets attention            immediate_exit = 0
 *     immediate_exit = 1        looks at attention
 *     signal                    KVM_RUN
 *
 * All sequentially consistent: either the look sees the bit, or KVM_RUN sees immediate_exit or the signal. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "cpu/exit.h"
#include "cpu/model.h"
#include "cpu/tlb.h"
#include "engine/interp/state.h"
#include "engine/kvm/kvm.h"

/* How long the interpreter runs in one go, in instructions, before its reason is looked at again. */
#define INNER_SLICE 4096

#define ATTN_SOFT (ATTN_SMI | ATTN_INIT | ATTN_SIPI | ATTN_MC | ATTN_TRAP | ATTN_A20)

/* --- exits */

static void access_serve(struct kvm_cpu *k, enum exit_kind kind, u64 addr, u8 *data, unsigned size,
                         bool write)
{
    struct cpu *c = k->c;
    struct exit x = {.kind = kind, .write = write, .size = (u8)size, .addr = addr};
    if (write)
        memcpy(&x.data, data, size);
    c->wires.exit(c->wires.opaque, c, &x);
    if (!write)
        memcpy(data, &x.data, size);
}

static void serve_pio(struct kvm_cpu *k)
{
    u8 *data = (u8 *)k->run + k->run->io.data_offset;
    unsigned size = k->run->io.size;
    for (u32 i = 0; i < k->run->io.count; i++, data += size)
        access_serve(k, EXIT_PIO, k->run->io.port, data, size, k->run->io.direction == KVM_EXIT_IO_OUT);
}

/* SMRAM lies under the VGA window, which is no slot: who may see it reaches memory here. */
static bool smram_serve(const struct kvm_cpu *k, u64 gpa, u8 *data, u32 len, bool write)
{
    struct mem *m = k->vm->mem;
    if (!(atomic_load(&m->smram) & SMRAM_OPEN) || !mem_is_smram(m, gpa, len))
        return false;
    if (write)
        memcpy(m->base + gpa, data, len);
    else
        memcpy(data, m->base + gpa, len);
    return true;
}

static void serve_mmio(struct kvm_cpu *k)
{
    u64 gpa = k->run->mmio.phys_addr;
    u8 *data = k->run->mmio.data;
    u32 len = k->run->mmio.len < 8 ? k->run->mmio.len : 8;
    bool write = k->run->mmio.is_write;
    if (smram_serve(k, gpa, data, len, write))
        return;
    if (len && !(len & (len - 1))) {
        access_serve(k, EXIT_MMIO, gpa, data, len, write);
    } else { /* a piece of an access that crosses a page */
        for (u32 i = 0; i < len; i++)
            access_serve(k, EXIT_MMIO, gpa + i, data + i, 1, write);
    }
    k->tpr_unsure = true; /* it may have been the LAPIC's page */
}

static void serve_access(struct kvm_cpu *k)
{
    struct kvm_traps traps;
    bool trapped = kvm_traps_expected(k, &traps);
    if (k->run->exit_reason == KVM_EXIT_IO)
        serve_pio(k);
    else
        serve_mmio(k);
    if (UNLIKELY(trapped))
        kvm_traps_take(k, &traps);
}

static void inner_ready(struct kvm_cpu *k)
{
    kvm_publish(k);
    if (k->stale || k->c->company == CPU_CONCURRENT) {
        struct interp *it = k->inner;
        tlb_flush_all(k->c);
        block_cache_flush(&it->cache);
        k->stale = false;
    }
    k->kvm_valid = false;
}

static enum run_result inner_step(struct kvm_cpu *k, struct error *e)
{
    inner_ready(k);
    k->count[KVM_STEPS]++;
    return engine_interp.step(k->inner, e);
}

/* What KVM_RUN came back for. Registers are still KVM's. */
static void serve(struct kvm_cpu *k)
{
    struct cpu *c = k->c;
    struct error e;
    k->count[KVM_EXITS]++;
    c->rip = k->run->s.regs.regs.rip;
    if (!k->vm->irqchip && k->run->cr8 != k->tpr) {
        k->tpr = (u8)k->run->cr8;
        c->wires.cr8_write(c->wires.opaque, c, k->tpr);
    }
    switch (k->run->exit_reason) {
    case KVM_EXIT_IO:
    case KVM_EXIT_MMIO:
        k->unfinished = true;
        serve_access(k);
        break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        k->unfinished = true;
        k->count[KVM_MSRS]++;
        kvm_serve_msr(k, k->run->exit_reason == KVM_EXIT_X86_WRMSR);
        break;
    case KVM_EXIT_IOAPIC_EOI: c->wires.apic_eoi(c->wires.opaque, c, k->run->eoi.vector); break;
    case KVM_EXIT_HLT: c->activity = ACTIVITY_HALTED; break;
    case KVM_EXIT_SHUTDOWN:
        kvm_publish(k);
        k->kvm_valid = false;
        cpu_shutdown(c);
        break;
    case KVM_EXIT_IRQ_WINDOW_OPEN: k->count[KVM_WINDOWS]++; break;
    case KVM_EXIT_SET_TPR:
    case KVM_EXIT_INTR: break;
    default: /* internal errors, entries that the processor refuses */
        if (inner_step(k, &e) == RUN_SHUTDOWN)
            c->activity = ACTIVITY_SHUTDOWN;
    }
}

/* Completes the access in hand without running the guest: KVM does that first, and then sees immediate_exit.
 */
static void finish(struct kvm_cpu *k)
{
    while (k->unfinished) {
        k->unfinished = false;
        __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        if (ioctl(k->fd, KVM_RUN, 0) == 0)
            serve(k); /* the next piece of it */
    }
}

void kvm_publish(struct kvm_cpu *k)
{
    finish(k);
    if (!k->cpu_valid)
        kvm_state_get(k);
}

/* --- events */

/* Gives KVM an NMI; not while another's handler runs: KVM would learn of its end too late where its IRET faults. */
static void nmi_inject(struct kvm_cpu *k)
{
    struct kvm_vcpu_events v;
    k->nmi_held = !k->vm->irqchip && ioctl(k->fd, KVM_GET_VCPU_EVENTS, &v) == 0 && v.nmi.masked;
    if (k->nmi_held || ioctl(k->fd, KVM_NMI, 0) < 0)
        return;
    atomic_fetch_and(&k->c->attention, ~(u32)ATTN_NMI);
    k->c->activity = ACTIVITY_RUNNING;
    k->nmi_given = true;
}

/* An NMI that KVM was given waits and is not blocked: it goes before an interrupt, which KVM does not see to where it asks for one. */
static bool nmi_waits(struct kvm_cpu *k)
{
    struct kvm_vcpu_events v;
    if (!k->nmi_given || ioctl(k->fd, KVM_GET_VCPU_EVENTS, &v) < 0)
        return false;
    k->nmi_given = v.nmi.pending;
    return v.nmi.pending && !v.nmi.masked;
}

/* Interrupts and NMIs that KVM can take. */
static void inject(struct kvm_cpu *k, u32 attention)
{
    struct cpu *c = k->c;
    if (attention & ATTN_NMI)
        nmi_inject(k);
    if (!(attention & ATTN_INTR) || !k->run->ready_for_interrupt_injection || !k->run->if_flag || nmi_waits(k))
        return;
    /* As cpu/event.c: cleared before the question, and set again after an answer, for there may be more. */
    atomic_fetch_and(&c->attention, ~(u32)ATTN_INTR);
    int vector = c->wires.intr_ack(c->wires.opaque, c);
    if (vector < 0)
        return;
    struct kvm_interrupt irq = {.irq = (u32)vector};
    if (ioctl(k->fd, KVM_INTERRUPT, &irq) < 0)
        log_operator(c->wires.log, "engine kvm: vCPU %u: vector %d is refused", c->index, vector);
    cpu_attend(c, ATTN_INTR);
    c->stats.interrupts++;
    k->count[KVM_INJECTIONS]++;
    k->run->ready_for_interrupt_injection = 0;
    c->activity = ACTIVITY_RUNNING;
}

static void take_events(struct kvm_cpu *k, u32 attention)
{
    struct cpu *c = k->c;
    if (!(attention & ATTN_SOFT) && k->kvm_valid && c->activity <= ACTIVITY_HALTED) {
        inject(k, attention);
        return;
    }
    kvm_publish(k);
    while (cpu_take_event(c))
        k->kvm_valid = false;
}

/* --- running */

static bool needs_inner(const struct kvm_cpu *k)
{
    const struct cpu *c = k->c;
    return c->smm || c->points || k->nmi_held || ~atomic_load_explicit(&k->vm->mem->a20, memory_order_relaxed);
}

/* The interpreter's turn. RUN_LIMIT: look again. */
static enum run_result inner_run(struct kvm_cpu *k, struct error *e)
{
    inner_ready(k);
    enum run_result r = engine_interp.run(k->inner, k->c->icount + INNER_SLICE, e);
    k->nmi_held = k->nmi_held && atomic_load(&k->c->attention) & ATTN_NMI;
    if (r == RUN_ATTENTION)
        cpu_attend(k->c, ATTN_KICK); /* the loop looks at it */
    return r == RUN_ATTENTION ? RUN_LIMIT : r;
}

static bool slots_stale(const struct kvm_vm *vm)
{
    return vm->shadow != atomic_load_explicit(&vm->mem->shadow, memory_order_relaxed) ||
           vm->flash_answers != atomic_load_explicit(&vm->mem->flash_answers, memory_order_relaxed);
}

static bool enter(struct kvm_cpu *k, struct error *e)
{
    struct cpu *c = k->c;
    struct kvm_vm *vm = k->vm;
    if (UNLIKELY(k->repush)) {
        kvm_publish(k);
        k->kvm_valid = false;
    }
    if (UNLIKELY(slots_stale(vm)) && !kvm_slots_update(vm)) {
        error_errno(e, "engine kvm: guest memory: KVM_SET_USER_MEMORY_REGION");
        return false;
    }
    if (!k->kvm_valid && !kvm_state_put(k)) {
        /* A state that KVM does not take: the interpreter leads out of it. */
        inner_step(k, e);
        return true;
    }
    if (k->tpr_unsure && !k->vm->irqchip) {
        k->tpr = c->wires.cr8_read(c->wires.opaque, c);
        k->tpr_unsure = false;
    }
    k->run->cr8 = k->tpr;
    __atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    u32 attention = atomic_load(&c->attention);
    k->run->request_interrupt_window = (bool)(attention & ATTN_INTR);
    if (attention & (ATTN_KICK | ATTN_SOFT | ATTN_NMI))
        return true;
    k->cpu_valid = k->unfinished = false;
    k->stale = true;
    if (vm->irqchip)
        c->activity = ACTIVITY_RUNNING; /* KVM knows better, until it is asked */
    if (ioctl(k->fd, KVM_RUN, 0) == 0) {
        serve(k);
    } else if (errno != EINTR && errno != EAGAIN) {
        error_errno(e, "engine kvm: vCPU %u: KVM_RUN", c->index);
        return false;
    }
    return true;
}

static enum run_result kvm_execute(void *state, u64 limit, struct error *e)
{
    struct kvm_cpu *k = state;
    struct cpu *c = k->c;
    (void)limit; /* real time: there is none */
    for (;;) {
        u32 attention = atomic_load_explicit(&c->attention, memory_order_acquire);
        if (UNLIKELY(attention & ATTN_KICK)) {
            kvm_publish(k);
            atomic_fetch_and(&c->attention, ~(u32)ATTN_KICK);
            return RUN_ATTENTION;
        }
        if (UNLIKELY(needs_inner(k))) {
            enum run_result r = inner_run(k, e);
            if (r != RUN_LIMIT)
                return r;
            continue;
        }
        if (attention)
            take_events(k, attention);
        if (UNLIKELY(c->smm))
            continue; /* an SMI: the next turn is the interpreter's */
        if (UNLIKELY(c->activity != ACTIVITY_RUNNING) && (!k->vm->irqchip || c->activity == ACTIVITY_SHUTDOWN)) {
            kvm_publish(k);
            c->shadow_at = UINT64_MAX; /* HLT has retired: STI's shadow, if KVM still shows it, is over */
            if (c->activity == ACTIVITY_HALTED && cpu_event_ready(c)) { /* KVM is not ready for it */
                if (cpu_take_event(c))
                    k->kvm_valid = false;
                continue;
            }
            return c->activity == ACTIVITY_SHUTDOWN ? RUN_SHUTDOWN : RUN_HALT;
        }
        if (!enter(k, e))
            return RUN_ERROR;
    }
}

static enum run_result kvm_step(void *state, struct error *e)
{
    return inner_step(state, e);
}

static void kvm_kick(void *state)
{
    struct kvm_cpu *k = state;
    __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (!pthread_equal(k->thread, pthread_self()))
        pthread_kill(k->thread, KVM_KICK_SIGNAL);
}

static void kvm_pull(void *state)
{
    kvm_publish(state);
}

static void kvm_push(void *state)
{
    struct kvm_cpu *k = state;
    k->kvm_valid = k->cpu_valid ? false : k->kvm_valid;
}

static u64 kvm_flush_code(void *state, u64 gpa, u64 len)
{
    struct kvm_cpu *k = state;
    return engine_interp.flush_code(k->inner, gpa, len);
}

static struct engine_stats kvm_stats(void *state)
{
    static const char *const names[KVM_COUNTERS] = {
        [KVM_EXITS] = "kvm_exits", [KVM_PULLS] = "pulls",    [KVM_PUSHES] = "pushes",
        [KVM_STEPS] = "steps",     [KVM_MSRS] = "msr_exits", [KVM_INJECTIONS] = "injections",
        [KVM_WINDOWS] = "windows", [KVM_KICKS] = "kicks",
    };
    const struct kvm_cpu *k = state;
    struct engine_stats s = {0};
    for (unsigned i = 0; i < KVM_COUNTERS; i++) {
        s.counter[i].name = names[i];
        s.counter[i].count = k->count[i];
    }
    return s;
}

/* --- life */

static void on_kick(int signal)
{
    (void)signal;
}

static void kick_enable(void)
{
    struct sigaction a = {.sa_handler = on_kick, .sa_flags = SA_RESTART};
    sigset_t set;
    sigemptyset(&a.sa_mask);
    sigaction(KVM_KICK_SIGNAL, &a, NULL);
    sigemptyset(&set);
    sigaddset(&set, KVM_KICK_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void kvm_detach(void *state)
{
    struct kvm_cpu *k = state;
    k->c->tsc_khz = 0;
    if (k->inner)
        engine_interp.detach(k->inner);
    if (k->run)
        munmap(k->run, k->vm->run_size);
    free(k);
}

static enum status cpu_make(struct kvm_cpu *k, struct error *e)
{
    void *run = mmap(NULL, k->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
    if (run == MAP_FAILED)
        return error_errno(e, "engine kvm: vCPU %u", k->c->index);
    k->run = run;
    k->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    k->tsc_khz = k->c->tsc_khz = k->own->tsc_khz;
    kvm_msrs_know(k);
    return engine_interp.attach(k->c, NULL, &k->inner, e);
}

static enum status kvm_attach(struct cpu *c, void *shared, void **state, struct error *e)
{
    struct kvm_cpu *k = calloc(1, sizeof *k);
    if (!k)
        return error_set(e, STATUS_HOST, "engine kvm: out of memory");
    k->c = c;
    k->vm = shared;
    k->own = &k->vm->cpu[c->index];
    k->fd = k->own->fd;
    k->thread = pthread_self();
    k->cpu_valid = k->stale = true;
    k->tsc_offset = ~c->tsc_offset;
    kick_enable();
    enum status s = cpu_make(k, e);
    if (s != STATUS_OK) {
        kvm_detach(k);
        return s;
    }
    *state = k;
    return STATUS_OK;
}

const struct engine_ops engine_kvm = {
    .name = "kvm",
    .probe = kvm_probe,
    .genuine = kvm_genuine,
    .max_cpus = 32,
    .features = kvm_features,
    .concurrent = true,
    .open = kvm_open,
    .close = kvm_close,
    .apic = &kvm_apic,
    .doorbell = kvm_doorbell,
    .attach = kvm_attach,
    .detach = kvm_detach,
    .run = kvm_execute,
    .step = kvm_step,
    .kick = kvm_kick,
    .pull = kvm_pull,
    .push = kvm_push,
    .flush_code = kvm_flush_code,
    .stats = kvm_stats,
    .way = kvm_way,
};
