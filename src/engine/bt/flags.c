/* Where the guest's arithmetic flags are. Glue needs the host's flags; before it takes them they are saved
 * once, by LAHF and SETO, until the next guest instruction writes them; or, where they are dead (plan.c), they
 * are lost, and made again from the registers only on a way out: a fault or an interrupt may push them. */
#include "engine/bt/tr.h"

static int load_reg(struct tr *t, unsigned g, int scratch)
{
    int h = host_reg(g);
    if (h == NO_REG)
        e_load(&t->e, h = scratch, home(g));
    return h;
}

/* ADD and SUB undo themselves. HOST_T0 and HOST_T1 go. */
static void undo_and_repeat(struct tr *t, const struct insn *i)
{
    struct emit *e = &t->e;
    bool w = i->size == 8;
    unsigned n = i->op == OP_ADD ? ALU_ADD : ALU_SUB, back = ALU_ADD + ALU_SUB - n;
    int rd = load_reg(t, i->rd, HOST_T0), rs = i->form == FORM_RR ? load_reg(t, i->rs, HOST_T1) : NO_REG;
    if (rd != HOST_T0)
        e_mov(e, HOST_T0, rd);
    if (rs == NO_REG) {
        e_alu_imm(e, w, back, HOST_T0, i->imm);
        e_alu_imm(e, w, n, HOST_T0, i->imm);
        return;
    }
    e_op(e, w, back << 3 | 1, rs, reg_opnd(HOST_T0), 0);
    e_op(e, w, n << 3 | 1, rs, reg_opnd(HOST_T0), 0);
}

/* The host's flags as instruction t->lost left them; HOST_T0 and HOST_T1 go. */
static void recover(struct tr *t)
{
    const struct dec *d = &t->d[t->lost];
    switch (d->i.op) {
    case OP_CMP:
    case OP_TEST: generic_again(t, d); break;
    case OP_ADD:
    case OP_SUB: undo_and_repeat(t, &d->i); break;
    default: { /* AND OR XOR: of the result alone */
        int r = load_reg(t, d->i.rd, HOST_T0);
        e_op(&t->e, d->i.size == 8, 0x85, r, reg_opnd(r), 0);
    }
    }
    t->lost = -1;
    t->host = true;
}

void flags_to_mem(struct tr *t)
{
    struct emit *e = &t->e;
    if (t->mem)
        return;
    if (!t->host && t->lost >= 0)
        recover(t);
    e_mov(e, HOST_T0, RAX);
    e8(e, 0x9f);                                 /* LAHF */
    e_op(e, false, 0x0f90, 0, reg_opnd(RAX), 0); /* SETO al */
    e8(e, 0x66);
    e_op(e, false, 0x89, RAX, SCRATCH(flags), 0);
    e_mov(e, RAX, HOST_T0);
    t->mem = true;
}

void flags_clobber(struct tr *t)
{
    if (!t->mem && t->host && !t->cold && plan_may_lose(t, t->writer))
        t->lost = t->writer;
    else if (t->host || t->cold)
        flags_to_mem(t);
    t->host = false;
}

void flags_to_host(struct tr *t, bool scratch)
{
    struct emit *e = &t->e;
    if (t->host)
        return;
    flags_to_mem(t);
    if (t->host)
        return;
    if (scratch)
        e_mov(e, HOST_T0, RAX);
    else
        e_store(e, SCRATCH(spill[0]), RAX);
    e_op(e, false, 0x0fb7, RAX, SCRATCH(flags), 0); /* MOVZX */
    e8(e, 0x04), e8(e, 0x7f);                       /* ADD al, 7fh: OF as it was */
    e8(e, 0x9e);                                    /* SAHF */
    if (scratch)
        e_mov(e, RAX, HOST_T0);
    else
        e_load(e, RAX, SCRATCH(spill[0]));
    t->host = true;
}

void flags_written(struct tr *t)
{
    t->host = true;
    t->mem = false;
    t->lost = -1;
    t->writer = (i16)t->index;
}
