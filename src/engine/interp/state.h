/* The interpreter's own state of one vCPU, and how control moves between blocks. */
#ifndef ENGINE_INTERP_STATE_H
#define ENGINE_INTERP_STATE_H

#include "engine/interp/block.h"

/* Why the handlers returned to the dispatcher. c->rip and the budget are exact in every case. */
enum why {
    WHY_LEAVE,  /* between two instructions */
    WHY_FAULT,  /* c->fault is to be delivered */
    WHY_BUDGET, /* the next block does not fit into the budget */
    WHY_BAIL,   /* the instruction at c->rip must be executed in single step: it touches what is not plain RAM */
};

struct interp {
    struct cpu *cpu;
    u64 icount_end; /* c->icount = icount_end - budget */
    u64 key;        /* of jump cache entries that are valid now */
    u32 mode;
    enum why why;
    bool stepping; /* device accesses are allowed: nothing but the one instruction runs */
    bool bail;
    u64 points_seen; /* generation of the debugger's points that the blocks respect */
    bool alone; /* nothing after the one instruction, whatever the budget */
    u16 last_op;   /* single step: the operation that was executed, and its bytes */
    u8 last_len;
    struct block_cache cache;
};

INLINE struct interp *interp_of(const struct cpu *c) { return c->engine; }

const struct insn *interp_enter(struct cpu *c, const struct insn *entry);      /* handler of entry records */
const struct insn *interp_point(struct cpu *c, const struct insn *entry);      /* the same, where a debugger may stop */
const struct insn *interp_budget_out(struct cpu *c, const struct insn *entry) COLD;
const struct insn *interp_lookup(struct cpu *c, u64 rip) NOINLINE;
const struct insn *interp_stale(struct cpu *c, const struct insn *i);          /* handler of records whose bytes changed */
const struct insn *interp_tail(struct cpu *c, const struct insn *i);           /* handler of tail records */
const struct insn *interp_raise_ud(struct cpu *c, const struct insn *i);       /* handler of what is no instruction */
const struct insn *interp_raise_too_long(struct cpu *c, const struct insn *i);
const struct insn *interp_unbuilt(struct cpu *c, const struct insn *i);

/* Brings c->icount and c->rip to the boundary before I. For everything that looks at them: exits, STI, debug. */
void interp_sync(struct cpu *c, const struct insn *i);

/* The block for RIP in the current mode, built if need be; null: fault recorded, c->rip is RIP. */
const struct insn *build_entry(struct interp *it, u64 rip);

/* Runs the block at ENTRY; RIP is already that of its start. */
INLINE const struct insn *enter_block(struct cpu *c, const struct insn *entry)
{
    c->budget -= entry->imm;
    if (UNLIKELY(c->budget < 0))
        return interp_budget_out(c, entry);
    NEXT(c, entry);
}

/* Goes on at RIP, whose canonicality or limit has been checked as far as the branch must (find_block checks the rest). */
INLINE const struct insn *interp_goto(struct cpu *c, u64 rip)
{
    struct interp *it = interp_of(c);
    const struct jump_entry *j = jump_slot(&it->cache, rip);
    if (LIKELY(j->rip == rip && j->key == it->key && j->entry->fn == interp_enter)) {
        c->gpr[GPR_RIP].q = rip;
        return enter_block(c, j->entry);
    }
    return interp_lookup(c, rip);
}

const struct insn *interp_link_slow(struct cpu *c, struct link *l, u64 rip) NOINLINE;

/* Follows one way out of a block. SIZE is the operand size of the branch: it cuts RIP. */
INLINE const struct insn *follow(struct cpu *c, const struct insn *at, unsigned size)
{
    struct link *l = (struct link *)(uintptr_t)at;
    if (LIKELY(l->entry && l->entry->fn == interp_enter)) {
        c->gpr[GPR_RIP].q += (u64)l->delta;
        return enter_block(c, l->entry);
    }
    u64 rip = c->gpr[GPR_RIP].q + (u64)l->delta;
    return interp_link_slow(c, l, size == 8 ? rip : size == 4 ? (u32)rip : (u16)rip);
}

#endif
