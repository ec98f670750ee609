/* LODS, STOS, MOVS and SCAS of one element, upwards: the direction flag is asked at run time, and downwards is the
 * interpreter's, as are CMPS, whose operands processors read in their own order, and REP (direct.c). */
#include "engine/bt/tr.h"

bool string_can(const struct dec *d)
{
    bool one = d->i.op == OP_LODS || d->i.op == OP_STOS || d->i.op == OP_MOVS || d->i.op == OP_SCAS;
    return one && !(d->i.flags & (INSN_REP | INSN_REPNE)) && d->i.asize == (d->code32 ? 4 : 8);
}

/* OPCODE is that of the 32-bit operation; the one before it is of bytes. */
static void sized(struct tr *t, const struct dec *d, unsigned opcode, int reg, struct opnd m)
{
    if (d->i.size == 2)
        e8(&t->e, 0x66);
    e_op(&t->e, d->i.size == 8, d->i.size == 1 ? opcode - 1 : opcode, reg, m, 0);
}

static void advance(struct tr *t, const struct dec *d, int reg)
{
    e_op(&t->e, !t->code32, 0x8d, reg, mem_opnd(reg, d->i.size), 0);
}

static struct opnd source(struct tr *t, const struct dec *d, int *spare)
{
    struct ea ea = ea_at(t, RSI, 0);
    ea.seg = d->i.seg == SEG_FS || d->i.seg == SEG_GS ? d->i.seg : 0;
    return mem_access(t, &ea, d->i.size, ACC_READ, spare);
}

static struct opnd destination(struct tr *t, const struct dec *d, unsigned acc, int *spare)
{
    struct ea ea = ea_at(t, RDI, 0);
    return mem_access(t, &ea, d->i.size, acc, spare);
}

static void only_upwards(struct tr *t)
{
    struct emit *e = &t->e;
    flags_clobber(t);
    e_load(e, HOST_T0, SCRATCH(cpu));
    e_op(e, false, 0xf7, 0, mem_opnd(HOST_T0, (i32)offsetof(struct cpu, rflags_sys)), 4); /* TEST */
    e32(e, RFLAGS_DF);
    step_if(t, CC_NE);
}

void string_emit(struct tr *t, const struct dec *d)
{
    int spare;
    struct opnd m;
    only_upwards(t);
    switch (d->i.op) {
    case OP_LODS:
        m = source(t, d, &spare);
        sized(t, d, 0x8b, RAX, m);
        advance(t, d, RSI);
        break;
    case OP_STOS:
        m = destination(t, d, ACC_WRITE, &spare);
        sized(t, d, 0x89, RAX, m);
        advance(t, d, RDI);
        break;
    case OP_MOVS:
        m = source(t, d, &spare);
        sized(t, d, 0x8b, spare, m);
        e_store(&t->e, SCRATCH(spill[2]), spare);
        m = destination(t, d, ACC_WRITE, &spare);
        e_load(&t->e, spare, SCRATCH(spill[2]));
        sized(t, d, 0x89, spare, m);
        advance(t, d, RSI);
        advance(t, d, RDI);
        break;
    default:
        m = destination(t, d, ACC_READ, &spare);
        sized(t, d, 0x3b, RAX, m);
        advance(t, d, RDI);
        flags_written(t);
    }
}
