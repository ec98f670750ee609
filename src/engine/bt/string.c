/* LODS, STOS, MOVS and SCAS of one element, and REP MOVS and STOS within a page or two, upwards: the direction flag is asked at run time, and downwards is the
 * interpreter's, as are CMPS, whose operands processors read in their own order, and the other REPs. */
#include "engine/bt/tr.h"

static bool repeats(const struct dec *d)
{
    return d->i.flags & (INSN_REP | INSN_REPNE);
}

bool string_can(const struct dec *d)
{
    bool both = d->i.op == OP_STOS || d->i.op == OP_MOVS, one = both || d->i.op == OP_LODS || d->i.op == OP_SCAS;
    return (repeats(d) ? both && d->i.flags & INSN_SEG_PLAIN : one) && d->i.asize == (d->code32 ? 4 : 8);
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

/* Executed alone where CC holds: by direct.c, if it goes by runs. */
static void alone_if(struct tr *t, const struct dec *d, unsigned cc)
{
    site_describe(t, step_if(t, cc), d);
}

static void only_upwards(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    flags_clobber(t);
    e_load(e, HOST_T0, SCRATCH(cpu));
    e_op(e, false, 0xf7, 0, mem_opnd(HOST_T0, (i32)offsetof(struct cpu, rflags_sys)), 4); /* TEST */
    e32(e, RFLAGS_DF);
    alone_if(t, d, CC_NE);
}

/* All of the elements at register REG, of which the count is at most a page's, lie in one page that the soft TLB has: its addend into HOST_T1. */
static void span(struct tr *t, const struct dec *d, unsigned reg, unsigned acc)
{
    struct emit *e = &t->e;
    unsigned shift = (unsigned)__builtin_ctz(d->i.size);
    site_describe(t, mem_entry_at(t, reg, d->i.size, acc), d);
    if (acc & ACC_WRITE) { /* not by an entry for one store beside code (beside.c) */
        e_alu_imm(e, true, ALU_CMP, HOST_T1, (TLB_ENTRIES - 1) << 5);
        alone_if(t, d, CC_A);
    }
    e_lea(e, HOST_T0, (struct opnd){.base = HOST_T0, .index = RCX, .scale = (u8)shift});
    e_alu_imm(e, true, ALU_CMP, HOST_T0, PAGE_SIZE);
    alone_if(t, d, CC_A);
    e_load(e, HOST_T1, mem_field(offsetof(struct tlb_entry, addend), 0));
}

static void cut32(struct tr *t, int reg)
{
    if (t->code32)
        e_op(&t->e, false, 0x8b, reg, reg_opnd(reg), 0);
}

/* The host's own, on host addresses (stub_rep). An element counts one instruction, so the budget must have one for each. */
static void rep(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    bool copies = d->i.op == OP_MOVS;
    e_op(e, !t->code32, 0x8d, HOST_T0, mem_opnd(RCX, -1), 0);
    e_alu_imm(e, true, ALU_CMP, HOST_T0, PAGE_SIZE - 1);
    alone_if(t, d, CC_A); /* none too */
    e_op(e, true, 0x3b, HOST_T0, reg_opnd(HOST_BUDGET), 0);
    alone_if(t, d, CC_A);
    if (copies) {
        span(t, d, RSI, ACC_READ);
        e_store(e, mem_slot(BT_SLOT_SOURCE), HOST_T1);
    }
    span(t, d, RDI, ACC_WRITE);
    cut32(t, RCX), cut32(t, RDI);
    e_op(e, true, 0x2b, HOST_BUDGET, reg_opnd(RCX), 0);
    e_alu_imm(e, true, ALU_ADD, HOST_BUDGET, 1);
    if (copies) {
        cut32(t, RSI);
        e_load(e, HOST_T0, mem_slot(BT_SLOT_SOURCE));
    }
    e_call(e, t->b->stub_rep[copies][__builtin_ctz(d->i.size)]);
    cut32(t, RDI);
    if (copies)
        cut32(t, RSI);
}

static void make_rep(struct emit *e, bool copies, unsigned shift)
{
    e->b->stub_rep[copies][shift] = e_off(e);
    e_op(e, true, 0x03, RDI, reg_opnd(HOST_T1), 0);
    if (copies)
        e_op(e, true, 0x03, RSI, reg_opnd(HOST_T0), 0);
    e8(e, 0xf3);
    if (shift == 1)
        e8(e, 0x66);
    if (shift == 3)
        e8(e, 0x48);
    e8(e, (copies ? 0xa4u : 0xaau) | (shift > 0));
    e_op(e, true, 0x2b, RDI, reg_opnd(HOST_T1), 0);
    if (copies)
        e_op(e, true, 0x2b, RSI, reg_opnd(HOST_T0), 0);
    e8(e, 0xc3);
}

void string_make_stubs(struct emit *e)
{
    for (unsigned k = 0; k < 8; k++)
        make_rep(e, k & 4, k & 3);
}

void string_emit(struct tr *t, const struct dec *d)
{
    int spare;
    struct opnd m;
    only_upwards(t, d);
    if (repeats(d)) {
        rep(t, d);
        return;
    }
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
