/* System instructions that the dispatcher executes by one call, without the interpreter's way to them. */
#include "cpu/model.h"
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

u64 bt_tsc(struct bt *b, u64 budget)
{
    b->cpu->icount = b->scratch->icount_end - budget; /* virtual time is the instruction count */
    return cpu_tsc(b->cpu);
}

static direct_fn *const direct[OP_COUNT] = {
    [OP_SYSCALL] = direct_syscall, [OP_SYSRET] = direct_sysret, [OP_IRETQ] = direct_iret, [OP_IRETD] = direct_iret,
    [OP_RDTSC] = direct_rdtsc,     [OP_RDTSCP] = direct_rdtsc,
};

/* REP is about to write COUNT elements where code was, as a kernel does that clears a page of a program that is gone: what was translated there is dropped at
 * once, not an element at a time, so that whole runs can be written. Dropping is exact at any boundary, but of the instruction itself, which may change
 * under way, and with other vCPUs, which may make it again. False: nothing has changed. */
static bool drop_code_ahead(struct bt *b, const struct bt_site *s, u64 count)
{
    struct cpu *c = b->cpu;
    struct mem *m = c->wires.mem;
    const struct bt_block *t = &b->blocks[s->block];
    struct place p;
    bool wide = c->code_size == 8;
    u64 from = wide ? c->gpr[RSI].q : c->gpr[RSI].d, to = wide ? c->gpr[RDI].q : c->gpr[RDI].d, room = PAGE_SIZE - (to & ~PAGE_MASK);
    if (wide && (!cpu_canonical(to) || (s->op == OP_MOVS && !cpu_canonical(from))))
        return false;
    if (c->company != CPU_ALONE || c->view == TLB_VIEW_NONE || c->rflags_sys & RFLAGS_DF || !m->code_write ||
        (s->op == OP_MOVS && !lin_translate(c, from, ACC_READ, &p)) || !lin_translate(c, to, ACC_WRITE, &p) ||
        !p.hva || !(mem_frame_flags(m, p.gpa) & FRAME_CODE) || (p.gpa & PAGE_MASK) == (t->gpa & PAGE_MASK) || (p.gpa & PAGE_MASK) == t->gpa2)
        return false;
    m->code_write(m->code_opaque, p.gpa, count < room / s->size ? count * s->size : room);
    if (mem_frame_flags(m, p.gpa) & FRAME_CODE)
        return false;
    return lin_translate(c, to, ACC_WRITE, &p);
}

/* As the interpreter's REP (string.c), as far as it goes by whole runs. */
static bool direct_rep(struct bt *b, const struct bt_site *s, u64 *left)
{
    struct cpu *c = b->cpu;
    const struct insn i = {.op = s->op, .size = s->size, .asize = c->code_size, .flags = INSN_SEG_PLAIN};
    if (!(c->code_size == 8 ? c->gpr[RCX].q : c->gpr[RCX].d))
        return false;
    while (*left) {
        u64 count = c->code_size == 8 ? c->gpr[RCX].q : c->gpr[RCX].d, done = interp_string_bulk(c, &i, count < *left ? count : *left);
        if (!done && drop_code_ahead(b, s, count))
            continue;
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

bool bt_direct(struct bt *b, const struct bt_site *s, u64 *left)
{
    struct cpu *c = b->cpu;
    if (s->rep)
        return direct_rep(b, s, left);
    if (!s->decoded || !direct[s->op])
        return false;
    if (direct[s->op](c, s, next_rip(c, s)))
        c->icount++;
    else
        cpu_deliver_fault(c);
    return true;
}
