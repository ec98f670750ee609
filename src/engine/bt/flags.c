/* Where the guest's arithmetic flags are. Glue needs the host's flags; before it takes them they are saved
 * once, by LAHF and SETO, until the next guest instruction writes them; or, where they are dead (plan.c), they
 * are lost, and made again from the registers only on a way out: a fault or an interrupt may push them.
 *
 * INC and DEC leave CF. Where looks into memory stand between a loop's DEC and the next one, CF would go from turn to turn through
 * memory, a dozen ticks for one. It stays in scratch.flags instead, and what DEC wrote goes to scratch.rest: the flags are in parts, from block to
 * block of a page, until somebody needs them all.
 *
 * A condition that was clobbered is tested again on the registers, where they hold still what it comes from. */
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
        t->fixed = true;
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
    t->held = 0;
    if (d->replays) {
        generic_replay(t, d);
        t->lost = -1;
        t->host = true;
        return;
    }
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

/* The host's, with HOST_T0 free. */
static void save(struct tr *t, struct opnd to)
{
    struct emit *e = &t->e;
    e_mov(e, HOST_T0, RAX);
    e8(e, 0x9f);                                 /* LAHF */
    e_op(e, false, 0x0f90, 0, reg_opnd(RAX), 0); /* SETO al */
    e8(e, 0x66);
    e_op(e, false, 0x89, RAX, to, 0);
    e_mov(e, RAX, HOST_T0);
}

/* A 16-bit ALU operation with an immediate on memory. */
static void word_imm(struct tr *t, unsigned n, struct opnd m, unsigned imm)
{
    e8(&t->e, 0x66);
    e_op(&t->e, false, 0x81, (int)n, m, 2);
    e8(&t->e, imm & 0xff), e8(&t->e, imm >> 8);
}

/* Both parts into scratch.flags. Who still takes them to be in parts finds them. */
static void join_parts(struct tr *t)
{
    struct emit *e = &t->e;
    enum { CARRY = RFLAGS_CF << 8 };
    flags_settle(t);
    word_imm(t, ALU_AND, SCRATCH(flags), CARRY);
    word_imm(t, ALU_AND, SCRATCH(rest), 0xffff & ~CARRY);
    e_store(e, SCRATCH(spill[0]), RAX);
    e_load(e, RAX, SCRATCH(rest));
    e8(e, 0x66);
    e_op(e, false, 0x09, RAX, SCRATCH(flags), 0); /* OR */
    e_load(e, RAX, SCRATCH(spill[0]));
    t->parts = false, t->mem = true;
}

void flags_settle(struct tr *t)
{
    if (!t->parts || !t->host)
        return;
    save(t, SCRATCH(rest));
    t->host = false;
}

void flags_to_mem(struct tr *t)
{
    if (t->mem)
        return;
    if (t->parts) {
        join_parts(t);
        return;
    }
    if (!t->host && t->lost >= 0)
        recover(t);
    save(t, SCRATCH(flags));
    t->mem = true;
}

void flags_give_way(struct tr *t)
{
    if (t->parts)
        flags_settle(t);
    else
        flags_clobber(t);
}

void flags_clobber(struct tr *t)
{
    if (t->parts)
        flags_to_mem(t);
    else if (!t->mem && t->host && !t->cold && plan_may_lose(t, t->writer))
        t->lost = t->writer;
    else if (t->host || t->cold)
        flags_to_mem(t);
    t->host = false;
}

void flags_to_host(struct tr *t, bool scratch)
{
    struct emit *e = &t->e;
    if (t->host && !t->parts)
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

/* ZF, SF and PF are those of the result, which stays in a register of 32 or 64 bits: this one, else NO_REG. */
static int result_of(const struct dec *d)
{
    const struct insn *i = &d->i;
    if (d->kind != K_GENERIC || i->size < 4 || generic_memory_written(d))
        return NO_REG;
    switch (i->op) {
    case OP_ADD:
    case OP_SUB:
    case OP_ADC:
    case OP_SBB:
    case OP_AND:
    case OP_OR:
    case OP_XOR:
    case OP_INC:
    case OP_DEC:
    case OP_NEG: return i->rd;
    default: return NO_REG;
    }
}

void flags_for(struct tr *t, unsigned cc, bool scratch)
{
    if (t->host && !t->parts)
        return;
    flags_settle(t);
    const struct dec *d = t->writer < 0 || t->cold || t->lost >= 0 ? NULL : &t->d[t->writer];
    unsigned kind = cc & 14;
    int g = d && (kind == CC_E || kind == CC_S || kind == CC_P) ? result_of(d) : NO_REG;
    if (g != NO_REG && (scratch || host_reg((unsigned)g) != NO_REG) && plan_kept(t, t->writer, 1u << g)) {
        int r = load_reg(t, (unsigned)g, HOST_T0);
        e_op(&t->e, d->i.size == 8, 0x85, r, reg_opnd(r), 0);
        return;
    }
    u32 needs = d && scratch && !t->parts && (d->i.op == OP_CMP || d->i.op == OP_TEST) ? plan_recovery(d) : 0;
    if (needs && plan_kept(t, t->writer, needs)) {
        t->held = 0;
        generic_again(t, d);
        t->host = true;
        return;
    }
    flags_to_host(t, scratch);
}

void flags_written_part(struct tr *t)
{
    t->host = t->parts = true;
    t->mem = false;
    t->lost = -1;
    t->writer = (i16)t->index;
}

void flags_written(struct tr *t)
{
    t->host = true;
    t->mem = t->parts = false;
    t->lost = -1;
    t->writer = (i16)t->index;
}
