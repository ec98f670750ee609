/* The x87 family's binding, exceptions and stack faults (SDM vol. 1, 8.4 to 8.6).
 * CR0.NE = 0: the FERR# wire is pulled and IRQ 13, if it can be taken, is taken before the waiting
 * instruction. IGNNE# is not modelled: when no interrupt comes, the instruction runs instead of waiting for
 * ever. */
#include "engine/interp/x87.h"

#include "cpu/walk.h"
#include "engine/interp/state.h"

#define X87_FIRST OP_FADD
#define X87_LAST  OP_FSETPM287_NOP

static const struct x87_row *const rows[] = {
#define OPX(...)
#define OP(name, ...) [OP_##name - X87_FIRST] = &x87_row_##name,
#include "isa/ops_x87.def"
#undef OP
#undef OPX
};
_Static_assert(ARRAY_LEN(rows) == X87_LAST - X87_FIRST + 1, "ops_x87.def begins and ends with these");

insn_fn interp_bind_X87(const struct insn *i, unsigned code_size, bool flat)
{
    (void)code_size, (void)flat;
    if (i->op < X87_FIRST || i->op > X87_LAST)
        return NULL;
    const struct x87_row *row = rows[i->op - X87_FIRST];
    if (i->form != FORM_M)
        return row->reg;
    switch (i->msize) {
    case 2: return row->mem[X87_M16];
    case 4: return row->mem[X87_M32];
    case 8: return row->mem[X87_M64];
    case 10: return row->mem[X87_M80];
    default: return row->mem[X87_ENV];
    }
}

const struct insn *x87_way_out(struct cpu *c, const struct insn *i, enum x87_end end)
{
    return end == X87_AGAIN ? interp_stale(c, i) : interp_fault(c, i);
}

enum x87_end x87_pending(struct cpu *c, const struct insn *i)
{
    if (!(c->fpu.fsw & FSW_ES))
        return X87_DONE;
    if (c->cr0 & CR0_NE) {
        cpu_raise(c, VEC_MF);
        return X87_FAULT;
    }
    interp_sync(c, i);
    c->wires.ferr(c->wires.opaque, c);
    return cpu_event_ready(c) ? X87_AGAIN : X87_DONE;
}

/* The 11 bits of the opcode that FOP holds, read again from memory; 0 when they are no longer there. */
static u16 opcode_at(struct cpu *c, u64 rip, unsigned len)
{
    u64 lin = cpu_code64(c) ? rip : (u32)(rip + c->seg[SEG_CS].base);
    u8 b = 0, escape = 0;
    for (unsigned k = 0; k < len; k++) {
        struct walk w;
        if (!page_peek(c, lin + k, &w) || !mem_read(c->wires.mem, w.gpa, &b, 1))
            return 0;
        if (escape)
            return (u16)((escape & 7) << 8 | b);
        if ((b & 0xf8) == 0xd8)
            escape = b;
    }
    return 0;
}

void x87_unmasked(struct cpu *c, const struct insn *i)
{
    c->fpu.fsw |= FSW_ES | FSW_B;
    x87_note(c, i);
    c->fpu.fop = opcode_at(c, c->fpu.fip, i->len);
    c->fpu.fdp = i->form == FORM_M ? ea(c, i) : 0;
}

bool x87_refuse(struct cpu *c, const struct insn *i, unsigned sw)
{
    x87_status(c, i, sw & (FSW_IE | FSW_DE | FSW_ZE), FSW_C1);
    return true;
}

bool x87_underflow(struct cpu *c, const struct insn *i)
{
    x87_status(c, i, FSW_IE | FSW_SF, FSW_C1);
    return c->fpu.fcw & FSW_IE;
}

bool x87_overflow(struct cpu *c, const struct insn *i)
{
    x87_status(c, i, FSW_IE | FSW_SF | FSW_C1, FSW_C1);
    return c->fpu.fcw & FSW_IE;
}

void x87_set_indefinite(struct cpu *c, unsigned n)
{
    f80_set(x87_st(c, n), F80_INDEFINITE_MAN, F80_INDEFINITE_SE);
    x87_fill(c, n);
}
