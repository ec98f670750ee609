/* PUSH POP PUSHA POPA ENTER LEAVE: SDM vol. 2; the stack's address size is SS.B's (64-bit mode: 64). RSP changes only when nothing can fail any more. */
#include "isa/alu.h"

#include "engine/interp/int.h"
#include "engine/interp/stack.h"

/* The hot forms: 64-bit mode, 8 bytes. */
static const struct insn *PUSH_R_slow(struct cpu *c, const struct insn *i)
{
    u64 v = c->gpr[i->rd].q, sp = c->gpr[RSP].q - 8;
    TRY(c, i, stack_store(c, i, sp, &v, 8));
    c->gpr[RSP].q = sp;
    NEXT(c, i);
}

static const struct insn *PUSH_R_8p(struct cpu *c, const struct insn *i)
{
    u64 sp = c->gpr[RSP].q - 8;
    u8 *p = hit_write(c, sp, 8);
    if (UNLIKELY(!p))
        return PUSH_R_slow(c, i);
    host_put(p, c->gpr[i->rd].q, 8);
    c->gpr[RSP].q = sp;
    NEXT(c, i);
}

static const struct insn *POP_R_slow(struct cpu *c, const struct insn *i)
{
    u64 v = 0, sp = c->gpr[RSP].q;
    TRY(c, i, stack_load(c, i, sp, &v, 8));
    c->gpr[RSP].q = sp + 8;
    c->gpr[i->rd].q = v; /* POP RSP keeps the value popped */
    NEXT(c, i);
}

static const struct insn *POP_R_8p(struct cpu *c, const struct insn *i)
{
    u64 sp = c->gpr[RSP].q;
    const u8 *p = hit_read(c, sp, 8);
    if (UNLIKELY(!p))
        return POP_R_slow(c, i);
    c->gpr[RSP].q = sp + 8;
    c->gpr[i->rd].q = host_get(p, 8);
    NEXT(c, i);
}

/* Every other PUSH: the value is read first, then the stack is written. */
static const struct insn *PUSH_ANY(struct cpu *c, const struct insn *i)
{
    u64 v = 0;
    if (i->form == FORM_M)
        TRY(c, i, op_load(c, i, &v, i->size));
    else
        v = i->form == FORM_I ? (u64)(i64)i->imm : reg_get(c, i->rd, i->size);
    u64 sp = sp_add(c, c->gpr[RSP].q, -(i64)i->size);
    TRY(c, i, stack_store(c, i, sp, &v, i->size));
    sp_set(c, sp);
    NEXT(c, i);
}

static const struct insn *POP_REG(struct cpu *c, const struct insn *i)
{
    u64 v = 0, sp = c->gpr[RSP].q;
    TRY(c, i, stack_load(c, i, sp_add(c, sp, 0), &v, i->size));
    sp_set(c, sp_add(c, sp, i->size));
    reg_set(c, i->rd, v, i->size);
    NEXT(c, i);
}

/* POP to memory computes its address with RSP already raised (SDM vol. 2, POP); a fault puts it back. */
static const struct insn *POP_MEM(struct cpu *c, const struct insn *i)
{
    u64 v = 0, old = c->gpr[RSP].q;
    TRY(c, i, stack_load(c, i, sp_add(c, old, 0), &v, i->size));
    sp_set(c, sp_add(c, old, i->size));
    if (!op_store(c, i, &v, i->size)) {
        c->gpr[RSP].q = old;
        FAULT(c, i);
    }
    NEXT(c, i);
}

static const struct insn *PUSHA(struct cpu *c, const struct insn *i)
{
    u64 sp = c->gpr[RSP].q;
    u8 image[32];
    for (unsigned k = 0; k < 8; k++) /* EDI lowest, EAX highest */
        host_put(image + k * i->size, reg_get(c, 7 - k, i->size), i->size);
    sp = sp_add(c, sp, -8 * (i64)i->size);
    /* A fault leaves what was pushed before it below the stack's top. */
    for (unsigned k = 8; k-- > 0;)
        TRY(c, i, stack_store(c, i, sp_add(c, sp, (i64)(k * i->size)), image + k * i->size, i->size));
    sp_set(c, sp);
    NEXT(c, i);
}

static const struct insn *POPA(struct cpu *c, const struct insn *i)
{
    u64 sp = c->gpr[RSP].q;
    /* A fault leaves the registers that were popped before it: with SP as it was, the instruction can be restarted. */
    for (unsigned k = 0; k < 8; k++) {
        u64 v = 0;
        TRY(c, i, stack_load(c, i, sp_add(c, sp, (i64)(k * i->size)), &v, i->size));
        if (7 - k != RSP)
            reg_set(c, 7 - k, v, i->size);
    }
    sp_set(c, sp_add(c, sp, 8 * (i64)i->size));
    NEXT(c, i);
}

static const struct insn *LEAVE(struct cpu *c, const struct insn *i)
{
    u64 v = 0, bp = c->gpr[RBP].q;
    TRY(c, i, stack_load(c, i, sp_add(c, bp, 0), &v, i->size));
    sp_set(c, sp_add(c, bp, i->size));
    reg_set(c, RBP, v, i->size);
    NEXT(c, i);
}

/* ENTER size, level: SDM vol. 2. The last thing it does is to probe a write at the new top of the stack. */
static const struct insn *ENTER(struct cpu *c, const struct insn *i)
{
    unsigned size = i->size, level = (unsigned)((u32)i->imm >> 16) & 31;
    u64 sp = sp_add(c, c->gpr[RSP].q, -(i64)size), bp = c->gpr[RBP].q, v = reg_get(c, RBP, size);
    TRY(c, i, stack_store(c, i, sp, &v, size));
    u64 frame = sp;
    for (unsigned k = 1; k < level; k++) {
        bp = sp_add(c, bp, -(i64)size);
        sp = sp_add(c, sp, -(i64)size);
        v = 0;
        TRY(c, i, stack_load(c, i, sp_add(c, bp, 0), &v, size));
        TRY(c, i, stack_store(c, i, sp, &v, size));
    }
    if (level) {
        sp = sp_add(c, sp, -(i64)size);
        v = frame;
        TRY(c, i, stack_store(c, i, sp, &v, size));
    }
    sp = sp_add(c, sp, -(i64)((u32)i->imm & 0xffff));
    TRY(c, i, stack_probe(c, sp, size));
    reg_set(c, RBP, frame, size);
    sp_set(c, sp);
    NEXT(c, i);
}

insn_fn bind_stack(const struct insn *i, unsigned code_size, bool flat)
{
    bool hot = code_size == 8 && flat && i->size == 8;
    switch (i->op) {
    case OP_PUSH: return hot && i->form == FORM_R ? PUSH_R_8p : PUSH_ANY;
    case OP_POP: return i->form == FORM_M ? POP_MEM : hot ? POP_R_8p : POP_REG;
    case OP_PUSHA:
    case OP_PUSHAD: return PUSHA;
    case OP_POPA:
    case OP_POPAD: return POPA;
    case OP_LEAVE: return LEAVE;
    case OP_ENTER: return ENTER;
    default: return NULL;
    }
}
