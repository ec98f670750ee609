/* Events: what is taken at an instruction boundary and in which order, delivery of exceptions, double and
 * triple faults, software interrupts. SDM vol. 3, 6.9 and table 6-2 (priority), 6.15 and tables 6-4, 6-5
 * (double fault), 6.8.3 (interrupt shadow), 18.2.3 (DR6), 18.3.1.1 (RF), 9.4.4 (INIT and SIPI). */
#include "cpu/exit.h"
#include "cpu/machine_check.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "cpu/smm.h"
#include "cpu/tlb.h"

/* Silicon can nest benign faults for ever (an #AC whose delivery raises #AC); Trine shuts the vCPU down
 * instead. */
#define NESTING_MAX 16

static void state_settle(struct cpu *c)
{
    c->shadow_at = c->rep_at = UINT64_MAX;
    c->shadow_ss = false;
    c->activity = ACTIVITY_RUNNING;
}

void cpu_shutdown(struct cpu *c)
{
    struct exit x = {.kind = EXIT_SHUTDOWN};
    c->shadow_at = UINT64_MAX;
    c->activity = ACTIVITY_SHUTDOWN;
    if (c->wires.exit)
        c->wires.exit(c->wires.opaque, c, &x);
}

enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum fault_class fault_class(u8 vector)
{
    switch (vector) {
    case VEC_DE:
    case VEC_TS:
    case VEC_NP:
    case VEC_SS:
    case VEC_GP:
    case VEC_CP: return CONTRIBUTORY;
    case VEC_PF:
    case VEC_VE: return PAGE_FAULT;
    case VEC_DF: return DOUBLE_FAULT;
    default: return BENIGN;
    }
}

/* What happens to registers before the handler is looked for. */
static void fault_record(struct cpu *c, const struct fault *f)
{
    if (f->vector == VEC_PF)
        c->cr2 = f->addr;
    if (f->vector == VEC_DB) {
        c->dr6 = (c->dr6 & ~0xfull) | f->addr;
        c->dr7 &= ~(u64)DR7_GD_BIT;
        c->debugctl &= ~(u64)DEBUGCTL_BTF; /* 18.4.3 */
    }
    c->stats.exceptions[f->vector & 31]++;
}

/* RF stays as it is for traps and for instruction breakpoints (18.3.1.1). */
static bool fault_sets_rf(const struct fault *f)
{
    return !f->is_trap && !(f->vector == VEC_DB && f->addr & 0xf);
}

void cpu_deliver_fault(struct cpu *c)
{
    struct fault f = c->fault;
    if (!f.is_trap)
        c->pending_db = 0; /* of an instruction that did not complete */
    for (unsigned depth = 0; depth < NESTING_MAX; depth++) {
        fault_record(c, &f);
        struct interrupt n = {
            .vector = f.vector,
            .has_error = f.has_error,
            .error = f.error,
            .ext = 1,
            .rf = fault_sets_rf(&f) || (f.is_trap && c->rep_at == c->icount),
            .rip = c->rip,
        };
        if (LIKELY(interrupt_enter(c, &n) == TRANSFER_DONE)) {
            state_settle(c);
            return;
        }
        enum fault_class first = fault_class(f.vector), second = fault_class(c->fault.vector);
        f = c->fault;
        if (second == BENIGN || first == BENIGN || (first == CONTRIBUTORY && second == PAGE_FAULT))
            continue;
        fault_record(c, &f); /* CR2, though #DF is what is delivered */
        if (first == DOUBLE_FAULT)
            break;
        f = (struct fault){.vector = VEC_DF, .has_error = true};
    }
    cpu_shutdown(c);
}

/* Delivers an interrupt that is no exception; what goes wrong becomes one. */
static void event_deliver(struct cpu *c, u8 vector)
{
    /* RF keeps an instruction breakpoint on a REP instruction from firing again when it goes on (SDM vol.
     * 3, 18.3.1.1). */
    struct interrupt n = {.vector = vector, .ext = 1, .rip = c->rip, .rf = c->rep_at == c->icount};
    state_settle(c);
    if (interrupt_enter(c, &n) != TRANSFER_DONE)
        cpu_deliver_fault(c);
}

/* --- instruction boundaries */

enum event { EVENT_NONE, EVENT_MC, EVENT_SMI, EVENT_INIT, EVENT_SIPI, EVENT_TRAP, EVENT_NMI, EVENT_INTR };

static enum event event_next(const struct cpu *c)
{
    u32 a = atomic_load_explicit(&c->attention, memory_order_acquire);
    if (UNLIKELY(a & ATTN_MC && c->activity < ACTIVITY_WAIT_SIPI))
        return EVENT_MC;
    /* In SMM both wait for RSM; SMIs also for the SIPI, and at a shadow's end. */
    if (UNLIKELY(a & ATTN_SMI && !c->smm && c->activity < ACTIVITY_WAIT_SIPI && !cpu_in_shadow(c)))
        return EVENT_SMI;
    if (UNLIKELY(a & ATTN_INIT && !c->smm))
        return EVENT_INIT;
    if (c->activity >= ACTIVITY_WAIT_SIPI)
        return a & ATTN_SIPI && c->activity == ACTIVITY_WAIT_SIPI ? EVENT_SIPI : EVENT_NONE;
    bool shadow = cpu_in_shadow(c);
    if (c->pending_db && !(shadow && c->shadow_ss))
        return EVENT_TRAP;
    if (shadow)
        return EVENT_NONE;
    if (a & ATTN_NMI && !c->nmi_blocked)
        return EVENT_NMI;
    return a & ATTN_INTR && c->rflags_sys & RFLAGS_IF ? EVENT_INTR : EVENT_NONE;
}

bool cpu_event_ready(const struct cpu *c)
{
    return event_next(c) != EVENT_NONE;
}

static void attention_clear(struct cpu *c, u32 bits)
{
    atomic_fetch_and_explicit(&c->attention, ~bits, memory_order_acq_rel);
}

static void start_up(struct cpu *c)
{
    attention_clear(c, ATTN_SIPI | ATTN_NMI); /* NMIs are blocked until now, and lost */
    c->activity = ACTIVITY_RUNNING;
    u8 vector = c->sipi_vector;
    c->seg[SEG_CS].sel = (u16)(vector << 8);
    c->seg[SEG_CS].base = (u64)vector << 12;
    c->rip = 0;
    cpu_update_mode(c);
}

static void take_trap(struct cpu *c)
{
    c->fault = (struct fault){.vector = VEC_DB, .is_trap = true, .addr = c->pending_db};
    c->pending_db = 0;
    attention_clear(c, ATTN_TRAP);
    cpu_deliver_fault(c);
}

/* ATTN_INTR is cleared before the question, so that what arrives meanwhile is not lost, and set again after
 * an answer, because there may be more. */
static bool take_intr(struct cpu *c)
{
    attention_clear(c, ATTN_INTR);
    int vector = c->wires.intr_ack(c->wires.opaque, c);
    if (vector < 0)
        return false;
    cpu_attend(c, ATTN_INTR);
    c->stats.interrupts++;
    event_deliver(c, (u8)vector);
    return true;
}

/* Drops what waits but will never be taken, so that nobody is called to attention for it. */
static void attention_prune(struct cpu *c)
{
    if (UNLIKELY(atomic_load_explicit(&c->attention, memory_order_acquire) & ATTN_A20)) {
        attention_clear(c, ATTN_A20);
        tlb_flush_all(c);
    }
    u32 drop = 0, a = atomic_load_explicit(&c->attention, memory_order_relaxed);
    if (c->activity != ACTIVITY_WAIT_SIPI && !(a & ATTN_INIT))
        drop |= ATTN_SIPI;
    if (!c->pending_db)
        drop |= ATTN_TRAP;
    if (a & drop) /* not when A has changed: an INIT that came now makes the SIPI behind it count */
        atomic_compare_exchange_strong(&c->attention, &a, a & ~drop);
    if (c->pending_db & DR6_BS && c->shadow_ss && cpu_in_shadow(c))
        c->pending_db &= ~(u64)DR6_BS; /* MOV SS suppresses its single-step trap for good */
}

bool cpu_take_event(struct cpu *c)
{
    attention_prune(c);
    switch (event_next(c)) {
    case EVENT_MC:
        if (machine_check_take(c) && c->activity != ACTIVITY_SHUTDOWN)
            event_deliver(c, VEC_MC);
        attention_clear(c, ATTN_MC);
        return true;
    case EVENT_SMI:
        attention_clear(c, ATTN_SMI);
        smm_enter(c);
        return true;
    case EVENT_INIT: cpu_init_signal(c); return true;
    case EVENT_SIPI: start_up(c); return true;
    case EVENT_TRAP: take_trap(c); return true;
    case EVENT_NMI:
        attention_clear(c, ATTN_NMI);
        c->nmi_blocked = true;
        event_deliver(c, VEC_NMI);
        return true;
    case EVENT_INTR: return take_intr(c);
    case EVENT_NONE: break;
    }
    return false;
}

/* --- software interrupts */

static bool software(struct cpu *c, struct interrupt n)
{
    u64 rf = c->rflags_sys & RFLAGS_RF;
    c->rflags_sys &= ~(u64)RFLAGS_RF;
    enum transfer t = interrupt_enter(c, &n);
    if (t == TRANSFER_FAULT_NEW_TASK)
        cpu_deliver_fault(c);
    else if (t == TRANSFER_FAULT)
        c->rflags_sys |= rf;
    else
        c->shadow_at = UINT64_MAX;
    return t != TRANSFER_FAULT;
}

bool op_int(struct cpu *c, u8 vector, u64 next)
{
    struct interrupt n = {.vector = vector, .soft = true, .rip = next};
    bool done = false;
    if (cpu_protected(c) && cpu_v86(c) && !interrupt_redirect(c, &n, &done))
        return false;
    return done || software(c, n);
}

bool op_int3(struct cpu *c, u64 next)
{
    return software(c, (struct interrupt){.vector = VEC_BP, .soft = true, .rip = next});
}

bool op_into(struct cpu *c, u64 next)
{
    if (!flag_of(&c->fl)) {
        c->rip = next;
        return true;
    }
    return software(c, (struct interrupt){.vector = VEC_OF, .soft = true, .rip = next});
}

/* The gate's DPL does not count, DR6 stays, EXT is set. */
bool op_int1(struct cpu *c, u64 next)
{
    return software(c, (struct interrupt){.vector = VEC_DB, .ext = 1, .rip = next});
}
