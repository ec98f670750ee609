/* The interpreter with planted faults, for the tests of lockstep: engines of their own, in test programs
 * only. The first instruction of its kind that retires from a given count on is wrong, once. The engines'
 * names say what goes wrong:
 *
 *     interp-flag      CMP or TEST before JZ or JNZ: ZF is inverted
 *     interp-register  POP RBX: bit 0 is inverted
 *     interp-store     PUSH RBX or RBP: bit 0 of what stands on the stack is inverted
 *     interp-warm      as interp-register, counted since the engine was attached: gone behind a snapshot
 *     interp-smsw      the first SMSW: bit 0 of AX is inverted
 *     interp-popf      the first POPF at CPL 3: it clears IF, which it must leave alone */
#include <stdio.h>
#include <stdlib.h>

#include "cpu/walk.h"
#include "engine/engine.h"
#include "isa/insn.h"

#define FAULT_AT 1500000000ull
#define WARM_AT  700000000ull /* more than lie between two snapshots */
#define EARLY_AT 200000ull    /* in a short guest: with TRINE_FAULT_EARLY in the environment */

/* What goes wrong: which instructions, and how. CODE has 16 bytes. */
struct mistake {
    bool (*suits)(const struct cpu *c, const u8 *code);
    void (*spoil)(struct cpu *c);
};

struct faulty {
    void *inner;
    struct cpu *cpu;
    const struct mistake *mistake;
    u64 at;
    bool done;
};

static bool compares(const struct cpu *c, const u8 *code)
{
    struct insn i;
    if (insn_decode(code, 14, c->code_size, &i) != DECODE_OK || (i.op != OP_CMP && i.op != OP_TEST))
        return false;
    return code[i.len] == 0x74 || code[i.len] == 0x75;
}

static bool pops_rbx(const struct cpu *c, const u8 *code)
{
    (void)c;
    return code[0] == 0x5b;
}

static bool pushes(const struct cpu *c, const u8 *code)
{
    (void)c;
    return code[0] == 0x53 || code[0] == 0x55;
}

static bool reads_msw(const struct cpu *c, const u8 *code)
{
    (void)c;
    return code[0] == 0x0f && code[1] == 0x01 && (code[2] & 0xf8) == 0xe0;
}

static bool pops_flags(const struct cpu *c, const u8 *code)
{
    return c->cpl == 3 && code[0] == 0x9d;
}

static void spoil_msw(struct cpu *c)
{
    c->gpr[RAX].q ^= 1;
}

static void spoil_if(struct cpu *c)
{
    cpu_set_rflags(c, cpu_rflags(c) & ~(u32)(1 << 9));
}

static void spoil_flag(struct cpu *c)
{
    cpu_set_rflags(c, cpu_rflags(c) ^ 1 << 6);
}

static void spoil_register(struct cpu *c)
{
    c->gpr[RBX].q ^= 1;
}

static void spoil_store(struct cpu *c)
{
    struct walk w;
    u8 byte;
    if (page_peek(c, c->gpr[RSP].q, &w) && mem_read(c->wires.mem, w.gpa, &byte, 1)) {
        byte ^= 1;
        if (!mem_write(c->wires.mem, w.gpa, &byte, 1))
            abort();
    }
}

static enum status attach(struct cpu *c, void **state, struct error *e, const struct mistake *m, u64 at)
{
    struct faulty *f = calloc(1, sizeof *f);
    if (!f)
        return error_set(e, STATUS_HOST, "faulty: out of memory");
    *f = (struct faulty){.cpu = c, .mistake = m, .at = at, .done = c->icount > at};
    *state = f;
    return engine_interp.attach(c, NULL, &f->inner, e);
}

static const struct mistake flag = {compares, spoil_flag}, reg = {pops_rbx, spoil_register},
                            store = {pushes, spoil_store}, msw = {reads_msw, spoil_msw},
                            interrupts = {pops_flags, spoil_if};

static u64 fault_at(void)
{
    return getenv("TRINE_FAULT_EARLY") ? EARLY_AT : FAULT_AT;
}

static enum status attach_flag(struct cpu *c, void *shared, void **state, struct error *e)
{
    (void)shared;
    return attach(c, state, e, &flag, fault_at());
}

static enum status attach_register(struct cpu *c, void *shared, void **state, struct error *e)
{
    (void)shared;
    return attach(c, state, e, &reg, fault_at());
}

static enum status attach_store(struct cpu *c, void *shared, void **state, struct error *e)
{
    (void)shared;
    return attach(c, state, e, &store, fault_at());
}

static enum status attach_warm(struct cpu *c, void *shared, void **state, struct error *e)
{
    (void)shared;
    return attach(c, state, e, &reg, c->icount + WARM_AT);
}

static enum status attach_msw(struct cpu *c, void *shared, void **state, struct error *e)
{
    (void)shared;
    return attach(c, state, e, &msw, 0);
}

static enum status attach_popf(struct cpu *c, void *shared, void **state, struct error *e)
{
    (void)shared;
    return attach(c, state, e, &interrupts, 0);
}

static void detach(void *state)
{
    struct faulty *f = state;
    engine_interp.detach(f->inner);
    free(f);
}

static bool is_target(const struct faulty *f)
{
    const struct cpu *c = f->cpu;
    struct walk w;
    u8 code[16] = {0};
    return page_peek(c, c->rip + c->seg[SEG_CS].base, &w) &&
           mem_read(c->wires.mem, w.gpa, code, sizeof code) && f->mistake->suits(c, code);
}

/* Exactly up to the fault's place, then instruction by instruction to one that suits. */
static enum run_result run(void *state, u64 limit, struct error *e)
{
    struct faulty *f = state;
    struct cpu *c = f->cpu;
    if (f->done || limit < f->at)
        return engine_interp.run(f->inner, limit, e);
    if (c->icount < f->at) {
        enum run_result r = engine_interp.run(f->inner, f->at, e);
        if (r != RUN_LIMIT)
            return r;
    }
    while (c->icount < limit) {
        bool hit = is_target(f);
        u64 before = c->icount;
        enum run_result r = engine_interp.run(f->inner, before + 1, e);
        if (hit && c->icount == before + 1) {
            f->mistake->spoil(c);
            f->done = true;
            return r == RUN_LIMIT && c->icount < limit ? engine_interp.run(f->inner, limit, e) : r;
        }
        if (r != RUN_LIMIT)
            return r;
    }
    return RUN_LIMIT;
}

static enum run_result step(void *state, struct error *e)
{
    struct faulty *f = state;
    return engine_interp.step(f->inner, e);
}

static void nothing(void *state)
{
    (void)state;
}

static u64 flush_code(void *state, u64 gpa, u64 len)
{
    struct faulty *f = state;
    return engine_interp.flush_code(f->inner, gpa, len);
}

static struct engine_stats stats(void *state)
{
    struct faulty *f = state;
    return engine_interp.stats(f->inner);
}

static bool probe(char *why, size_t size)
{
    return engine_interp.probe(why, size);
}

static bool probe_never(char *why, size_t size)
{
    snprintf(why, size, "it is here to be refused");
    return false;
}

#define ENGINE(n, p, a)                                                                                      \
    {                                                                                                        \
        .name = (n), .probe = (p), .virtual_time = true, .max_cpus = 1, .attach = (a), .detach = detach,     \
        .run = run, .step = step, .kick = nothing, .pull = nothing, .push = nothing,                         \
        .flush_code = flush_code, .stats = stats                                                             \
    }

static const struct engine_ops faulty_flag = ENGINE("interp-flag", probe, attach_flag);
static const struct engine_ops faulty_register = ENGINE("interp-register", probe, attach_register);
static const struct engine_ops faulty_store = ENGINE("interp-store", probe, attach_store);
static const struct engine_ops faulty_warm = ENGINE("interp-warm", probe, attach_warm);
static const struct engine_ops faulty_msw = ENGINE("interp-smsw", probe, attach_msw);
static const struct engine_ops faulty_popf = ENGINE("interp-popf", probe, attach_popf);
static const struct engine_ops faulty_never = ENGINE("interp-never", probe_never, attach_flag);

const struct engine_ops *const engine_list[] = {
    &engine_interp, &faulty_flag, &faulty_register, &faulty_store, &faulty_warm,
    &faulty_msw,    &faulty_popf, &faulty_never,    NULL,
};
