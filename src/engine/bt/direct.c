/* System instructions that the dispatcher executes by one call, without the interpreter's way to them. */
#include "engine/bt/bt.h"
#include "engine/interp/inner.h"

/* The next instruction; 32-bit code wraps. */
static u64 next_rip(const struct cpu *c, const struct bt_site *s)
{
    u64 next = c->rip + s->len;
    return c->code_size == 8 ? next : (u32)next;
}

typedef bool direct_fn(struct cpu *c, const struct bt_site *s, u64 next);

static bool direct_syscall(struct cpu *c, const struct bt_site *s, u64 next)
{
    (void)s;
    return op_syscall(c, next);
}

static bool direct_sysret(struct cpu *c, const struct bt_site *s, u64 next)
{
    (void)next;
    return op_sysret(c, s->size);
}

static bool direct_iret(struct cpu *c, const struct bt_site *s, u64 next)
{
    return op_iret(c, s->size, next);
}

static bool direct_rdtsc(struct cpu *c, const struct bt_site *s, u64 next)
{
    if (!op_rdtsc(c, s->op == OP_RDTSCP))
        return false;
    c->rip = next;
    return true;
}

static direct_fn *const direct[OP_COUNT] = {
    [OP_SYSCALL] = direct_syscall, [OP_SYSRET] = direct_sysret, [OP_IRETQ] = direct_iret, [OP_IRETD] = direct_iret,
    [OP_RDTSC] = direct_rdtsc,     [OP_RDTSCP] = direct_rdtsc,
};

/* As the interpreter's REP (string.c), as far as it goes by whole runs. */
static bool direct_rep(struct cpu *c, const struct bt_site *s, u64 *left)
{
    const struct insn i = {.op = s->op, .size = s->size, .asize = c->code_size, .flags = INSN_SEG_PLAIN};
    if (!(c->code_size == 8 ? c->gpr[RCX].q : c->gpr[RCX].d))
        return false;
    while (*left) {
        u64 count = c->code_size == 8 ? c->gpr[RCX].q : c->gpr[RCX].d, done = interp_string_bulk(c, &i, count < *left ? count : *left);
        if (!done)
            return false;
        c->gpr[RCX].q = count - done;
        c->icount += done;
        *left -= done;
        if (done == count) {
            c->rip = next_rip(c, s);
            return true;
        }
    }
    c->rep_at = c->icount;
    return true;
}

bool bt_direct(struct cpu *c, const struct bt_site *s, u64 *left)
{
    if (s->rep)
        return direct_rep(c, s, left);
    if (!s->decoded || !direct[s->op])
        return false;
    if (direct[s->op](c, s, next_rip(c, s)))
        c->icount++;
    else
        cpu_deliver_fault(c);
    return true;
}
