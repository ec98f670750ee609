/* The dispatcher: runs blocks until something must be looked at, delivers what they raised, and steps single instructions where only that is exact. */
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "cpu/msr.h"
#include "cpu/walk.h"
#include "engine/boundary.h"
#include "engine/interp/inner.h"
#include "engine/interp/operand.h"
#include "engine/interp/state.h"

/* How long another thread's request may wait, in instructions. Bounds interrupt latency under --time real to some tens of microseconds. */
#define QUANTUM 4096

u64 interp_rip(const struct cpu *c, const struct insn *i)
{
    u64 rip = c->gpr[GPR_RIP].q;
    for (const struct insn *k = i - i->off; k < i; k++)
        rip += k->len;
    return c->code_size == 8 ? rip : c->code_size == 4 ? (u32)rip : rip & 0xffffffff;
}

u64 interp_next_rip(const struct cpu *c, const struct insn *i)
{
    u64 rip = interp_rip(c, i) + i->len;
    return c->code_size == 8 ? rip : c->code_size == 4 ? (u32)rip : (u16)rip;
}

/* Gives back what the block was charged for but did not retire: all but the first DONE instructions. */
static void refund(struct cpu *c, const struct insn *i, unsigned done)
{
    const struct insn *entry = i - i->off - 1;
    c->budget += entry->imm - (i64)done;
}

void interp_sync(struct cpu *c, const struct insn *i)
{
    const struct insn *entry = i - i->off - 1;
    c->icount = interp_of(c)->icount_end - (u64)c->budget - (u64)(entry->imm - i->off);
    c->rip = interp_rip(c, i);
}

const struct insn *interp_fault(struct cpu *c, const struct insn *i)
{
    struct interp *it = interp_of(c);
    c->rip = interp_rip(c, i);
    refund(c, i, i->off);
    it->why = it->bail ? WHY_BAIL : WHY_FAULT;
    it->bail = false;
    return NULL;
}

const struct insn *interp_leave(struct cpu *c, const struct insn *i)
{
    c->rip = interp_next_rip(c, i);
    return interp_leave_rip(c, i);
}

const struct insn *interp_leave_rip(struct cpu *c, const struct insn *i)
{
    refund(c, i, i->off + 1u);
    interp_of(c)->why = WHY_LEAVE;
    return NULL;
}

const struct insn *interp_stale(struct cpu *c, const struct insn *i)
{
    c->rip = interp_rip(c, i);
    refund(c, i, i->off);
    interp_of(c)->why = WHY_LEAVE;
    return NULL;
}

const struct insn *interp_enter(struct cpu *c, const struct insn *entry)
{
    return enter_block(c, entry);
}

const struct insn *interp_budget_out(struct cpu *c, const struct insn *entry)
{
    c->budget += entry->imm;
    c->rip = c->gpr[GPR_RIP].q;
    interp_of(c)->why = WHY_BUDGET;
    return NULL;
}

/* The entry of a block at which a debugger may want to stop: whoever would follow a link to it looks again. */
const struct insn *interp_point(struct cpu *c, const struct insn *entry)
{
    return enter_block(c, entry);
}

const struct insn *interp_lookup(struct cpu *c, u64 rip)
{
    struct interp *it = interp_of(c);
    c->rip = rip;
    if (c->budget <= 0 || it->alone) {
        it->why = WHY_BUDGET;
        return NULL;
    }
    const struct insn *entry = build_entry(it, rip);
    if (!entry) {
        it->why = WHY_FAULT;
        return NULL;
    }
    if (entry->rd != BLOCK_FLEETING && it->key != KEY_NONE)
        *jump_slot(&it->cache, rip) = (struct jump_entry){.rip = rip, .key = it->key, .entry = entry};
    if (UNLIKELY(entry->fn == interp_point) && points_stop_before(c, rip)) {
        it->why = WHY_LEAVE;
        return NULL;
    }
    c->gpr[GPR_RIP].q = rip;
    return enter_block(c, entry);
}

const struct insn *interp_link_slow(struct cpu *c, struct link *l, u64 rip)
{
    struct interp *it = interp_of(c);
    if (!l->linkable || c->budget <= 0 || UNLIKELY(c->points))
        return interp_goto(c, rip);
    c->rip = rip;
    u64 flushed = it->cache.flushed;
    const struct insn *entry = build_entry(it, rip);
    if (!entry) {
        it->why = WHY_FAULT;
        return NULL;
    }
    if (it->cache.flushed == flushed && !entry->rd) /* else the arena was dropped, and this link with it */
        l->entry = entry;
    c->gpr[GPR_RIP].q = rip;
    return enter_block(c, entry);
}

const struct insn *interp_tail(struct cpu *c, const struct insn *i)
{
    return follow(c, i, c->code_size == 8 ? 8 : 4);
}

const struct insn *interp_raise_ud(struct cpu *c, const struct insn *i)
{
    cpu_raise_ud(c);
    FAULT(c, i);
}

const struct insn *interp_raise_too_long(struct cpu *c, const struct insn *i)
{
    cpu_raise_gp(c, 0);
    FAULT(c, i);
}

/* One byte as a debugger reads it. */
static bool debug_peek(const struct cpu *c, u64 lin, u8 *byte)
{
    struct walk w;
    return page_peek(c, lin, &w) && mem_read(c->wires.mem, w.gpa, byte, 1);
}

const struct insn *interp_unbuilt(struct cpu *c, const struct insn *i)
{
    u64 rip = interp_rip(c, i), lin = c->code_size == 8 ? rip : (u32)(rip + c->seg[SEG_CS].base);
    u8 bytes[15];
    char text[2 * sizeof bytes + 1] = "";
    for (unsigned k = 0; k < sizeof bytes && debug_peek(c, lin + k, &bytes[k]); k++)
        snprintf(text + 2 * k, 3, "%02x", bytes[k]);
    c->stats.unbuilt++;
    log_guest(c->wires.log, "not built: %s at %#llx, bytes %s", op_name(i->op), (unsigned long long)rip, text);
    cpu_raise_ud(c);
    FAULT(c, i);
}

static u32 mode_of(const struct cpu *c)
{
    u32 code = c->code_size == 8 ? 2 : c->code_size == 4 ? 1 : 0;
    u32 stack = c->stack_size == 8 ? 2 : c->stack_size == 4 ? 1 : 0;
    return code | (c->flat ? MODE_FLAT : 0) | stack << 3 | (c->cpl == 3 ? MODE_USER : 0);
}

static void enter_mode(struct interp *it, u32 extra_mode, u64 budget)
{
    struct cpu *c = it->cpu;
    it->mode = mode_of(c) | extra_mode;
    /* RIP alone names code only in a flat world; elsewhere every jump looks at CS's base and limit anew. */
    it->key = it->mode & MODE_FLAT ? tlb_code_generation(c) << MODE_BITS | it->mode : KEY_NONE;
    it->icount_end = c->icount + budget;
    c->budget = (i64)budget;
}

static void run_handlers(struct interp *it, const struct insn *i)
{
    struct cpu *c = it->cpu;
    while (i)
        i = i->fn(c, i);
    c->icount = it->icount_end - (u64)c->budget;
}

/* Runs from c->rip for at most BUDGET instructions. */
static void run_blocks(struct interp *it, u64 budget)
{
    enter_mode(it, 0, budget);
    run_handlers(it, interp_goto(it->cpu, it->cpu->rip));
}

/* Runs the one instruction at c->rip. */
static void run_single(struct interp *it)
{
    struct cpu *c = it->cpu;
    enter_mode(it, MODE_SINGLE, 1);
    const struct insn *entry = build_entry(it, c->rip);
    if (!entry) {
        it->why = WHY_FAULT;
        return;
    }
    it->last_op = entry[1].op;
    it->last_len = entry[1].len;
    it->stepping = true;
    c->gpr[GPR_RIP].q = c->rip;
    run_handlers(it, enter_block(c, entry));
    it->stepping = false;
}

/* BTF makes single step a step from branch to branch (SDM vol. 3, 18.4.3). A conditional branch to its own next
 * instruction counts as not taken. */
static bool branched(const struct interp *it, u64 from)
{
    const struct cpu *c = it->cpu;
    u64 next = from + it->last_len, mask = c->code_size == 8 ? ~0ull : c->code_size == 4 ? 0xffffffff : 0xffff;
    switch (it->last_op) {
    case OP_JCC:
    case OP_JCXZ:
    case OP_JECXZ:
    case OP_JRCXZ:
    case OP_LOOP:
    case OP_LOOPE:
    case OP_LOOPNE: return (next ^ c->rip) & mask;
    case OP_JMP:
    case OP_CALL:
    case OP_RET:
    case OP_JMP_FAR:
    case OP_CALL_FAR:
    case OP_RET_FAR:
    case OP_IRET:
    case OP_IRETD:
    case OP_IRETQ:
    case OP_SYSCALL:
    case OP_SYSRET:
    case OP_SYSENTER:
    case OP_SYSEXIT: return true;
    default: return false;
    }
}

/* Software interrupts clear TF on their way in: no single-step trap follows them (SDM vol. 3, 18.3.1.4). INTO may be none. */
static bool step_traps(const struct interp *it, bool tf_before)
{
    switch (it->last_op) {
    case OP_INT:
    case OP_INT1:
    case OP_INT3:
        return false;
    case OP_INTO:
        return tf_before && it->cpu->rflags_sys & RFLAGS_TF;
    case OP_SYSCALL:
    case OP_SYSENTER:
        return it->cpu->rflags_sys & RFLAGS_TF;
    default:
        return tf_before;
    }
}

static void step_one(struct interp *it)
{
    struct cpu *c = it->cpu;
    if (c->dr7 & 0xff && !(c->rflags_sys & RFLAGS_RF)) {
        u64 lin = c->code_size == 8 ? c->rip : (u32)(c->rip + c->seg[SEG_CS].base);
        if (!debug_check_fetch(c, lin)) {
            cpu_deliver_fault(c);
            return;
        }
    }
    bool tf = c->rflags_sys & RFLAGS_TF;
    u64 before = c->icount, from = c->rip;
    bool rf = c->rflags_sys & RFLAGS_RF;
    c->rflags_sys &= ~(u64)RFLAGS_RF;
    run_single(it);
    if (it->why == WHY_FAULT) {
        if (rf)
            c->rflags_sys |= RFLAGS_RF;
        cpu_deliver_fault(c);
    } else if (c->icount != before && step_traps(it, tf) &&
               (LIKELY(!(c->debugctl & DEBUGCTL_BTF)) || branched(it, from))) {
        c->pending_db |= BIT(14); /* DR6.BS */
        cpu_attend(c, ATTN_TRAP);
    }
}

bool interp_needs_step(const struct cpu *c, u32 attention)
{
    return c->rflags_sys & (RFLAGS_TF | RFLAGS_RF) || debug_data_armed(c) || (attention && cpu_in_shadow(c));
}

/* Blocks end where a debugger may want to stop: those made under other points go. */
static void meet_points(struct interp *it)
{
    u64 now = it->cpu->points ? it->cpu->points->generation : 0;
    if (UNLIKELY(it->points_seen != now)) {
        block_cache_flush(&it->cache);
        it->points_seen = now;
    }
}

void interp_one(void *state, u64 budget)
{
    struct interp *it = state;
    struct cpu *c = it->cpu;
    enter_mode(it, MODE_SINGLE, budget);
    it->key = KEY_NONE;
    const struct insn *entry = build_entry(it, c->rip);
    if (entry) {
        it->alone = true;
        c->gpr[GPR_RIP].q = c->rip;
        run_handlers(it, enter_block(c, entry));
        it->alone = false;
    } else {
        it->why = WHY_FAULT;
    }
    if (it->why == WHY_FAULT)
        cpu_deliver_fault(c);
    else if (it->why == WHY_BAIL)
        step_one(it);
}

static enum run_result interp_run(void *state, u64 limit, struct error *e)
{
    struct interp *it = state;
    struct cpu *c = it->cpu;
    (void)e;
    meet_points(it);
    for (;;) {
        u32 attention;
        enum run_result r;
        if (engine_boundary(c, &attention, &r))
            return r;
        if (UNLIKELY(c->points) && (c->point_hit.kind || points_stop_before(c, c->rip)))
            return RUN_DEBUG;
        if (c->icount >= limit)
            return RUN_LIMIT;
        if (UNLIKELY(interp_needs_step(c, attention))) {
            step_one(it);
            continue;
        }
        u64 left = limit - c->icount;
        run_blocks(it, left < QUANTUM ? left : QUANTUM);
        if (it->why == WHY_FAULT)
            cpu_deliver_fault(c);
        else if (it->why == WHY_BAIL || (it->why == WHY_BUDGET && left <= BLOCK_MAX && c->icount < limit))
            step_one(it);
    }
}

static enum run_result interp_step(void *state, struct error *e)
{
    struct interp *it = state;
    struct cpu *c = it->cpu;
    (void)e;
    if (atomic_load(&c->attention) && cpu_take_event(c))
        return RUN_LIMIT;
    if (c->activity != ACTIVITY_RUNNING)
        return c->activity == ACTIVITY_SHUTDOWN ? RUN_SHUTDOWN : RUN_HALT;
    step_one(it);
    return c->activity == ACTIVITY_SHUTDOWN ? RUN_SHUTDOWN : RUN_LIMIT;
}

static u64 interp_flush_code(void *state, u64 gpa, u64 len)
{
    struct interp *it = state;
    const struct mem *m = it->cpu->wires.mem;
    it->cache.writes++;
    return mem_code_marked(m, gpa, len) ? block_invalidate(&it->cache, gpa, len, interp_stale) : mem_code_marks(m, gpa);
}

static enum status interp_attach(struct cpu *c, void *shared, void **state, struct error *e)
{
    (void)shared;
    struct interp *it = calloc(1, sizeof *it);
    if (!it || !block_cache_init(&it->cache)) {
        free(it);
        return error_set(e, STATUS_HOST, "interp: out of memory");
    }
    it->cpu = c;
    c->engine = it;
    c->gpr[GPR_ZERO].q = 0;
    *state = it;
    return STATUS_OK;
}

static void interp_detach(void *state)
{
    struct interp *it = state;
    block_cache_destroy(&it->cache);
    it->cpu->engine = NULL;
    free(it);
}

/* It runs everywhere. */
static bool interp_probe(char *why, size_t size)
{
    (void)why;
    (void)size;
    return true;
}

/* The attention bit is all it looks at. */
static void interp_kick(void *state)
{
    (void)state;
}

/* It works on struct cpu itself. */
static void interp_sync_nothing(void *state)
{
    (void)state;
}

static struct engine_stats interp_stats(void *state)
{
    const struct interp *it = state;
    return (struct engine_stats){.blocks_translated = it->cache.translated,
                                 .blocks_flushed = it->cache.flushed,
                                 .counts_instructions = true};
}

const struct engine_ops engine_interp = {
    .name = "interp",
    .probe = interp_probe,
    .virtual_time = true,
    .max_cpus = 32,
    .concurrent = HOST_ORDERS_STORES,
    .attach = interp_attach,
    .detach = interp_detach,
    .run = interp_run,
    .step = interp_step,
    .kick = interp_kick,
    .pull = interp_sync_nothing,
    .push = interp_sync_nothing,
    .flush_code = interp_flush_code,
    .stats = interp_stats,
};
