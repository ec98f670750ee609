/* The vector families' binding, and what refuses an instruction that may not run now. */
#include "engine/interp/simd.h"

#define SIMD_FIRST OP_EMMS
#define SIMD_LAST  OP_VFMSUBADD231PD

static const struct simd_row *const rows[] = {
#define OP(name, ...) [OP_##name - SIMD_FIRST] = &simd_row_##name,
#include "isa/ops_simd.def"
#undef OP
};
_Static_assert(ARRAY_LEN(rows) == SIMD_LAST - SIMD_FIRST + 1, "ops_simd.def begins and ends with these");

static const u8 column[FORM_COUNT] = {
    [FORM_M] = COLUMN_RM,  [FORM_RM] = COLUMN_RM, [FORM_RMI] = COLUMN_RM,
    [FORM_MI] = COLUMN_RM, [FORM_MR] = COLUMN_MR, [FORM_MRI] = COLUMN_MR,
};

static insn_fn simd_bind(const struct insn *i, bool plain)
{
    if (i->op < SIMD_FIRST || i->op > SIMD_LAST)
        return NULL;
    const struct simd_row *row = rows[i->op - SIMD_FIRST];
    if (row->bind)
        return row->bind(i, plain);
    if ((i->form == FORM_RI || i->form == FORM_RRI) && row->ri[i->size == 8])
        return row->ri[i->size == 8];
    unsigned k = column[i->form];
    const insn_fn *fn = row->fn[0];
    if (i->size == 8 && row->fn[1][k]) /* else it is a GPR's size, in a row without MMX forms */
        fn = row->fn[1];
    if (plain && k == COLUMN_RM && fn[COLUMN_RM_PLAIN])
        return fn[COLUMN_RM_PLAIN];
    if (plain && k == COLUMN_MR && fn[COLUMN_MR_PLAIN])
        return fn[COLUMN_MR_PLAIN];
    return fn[k];
}

/* The feature column of isa/ops_simd.def says AVX for what was AVX2's in 256 bits: the integer operations. */
bool interp_needs_avx2(const struct insn *i)
{
    switch (i->op) {
    case OP_VPTEST:
    case OP_VPERMILPS:
    case OP_VPERMILPD:
    case OP_VPERM2F128: return false;
    case OP_VBROADCASTSS:
    case OP_VBROADCASTSD: return i->form == FORM_RR;
    case OP_VMPSADBW:
    case OP_VMOVNTDQA: return i->flags & INSN_VEX_L;
    default: return i->flags & INSN_VEX_L && op_name(i->op)[1] == 'P';
    }
}

insn_fn interp_bind_SIMD(const struct insn *i, unsigned code_size, bool flat)
{
    return simd_bind(i, mem_is_plain(i, code_size, flat));
}

insn_fn interp_bind_AVX(const struct insn *i, unsigned code_size, bool flat)
{
    return simd_bind(i, mem_is_plain(i, code_size, flat));
}

const struct insn *sse_refuse(struct cpu *c, const struct insn *i)
{
    if (c->cr0 & CR0_EM || !(c->cr4 & CR4_OSFXSR))
        cpu_raise_ud(c);
    else
        cpu_raise(c, VEC_NM);
    FAULT(c, i);
}

const struct insn *avx_refuse(struct cpu *c, const struct insn *i)
{
    if (!cpu_protected(c) || cpu_v86(c) || !(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & 6) != 6)
        cpu_raise_ud(c);
    else
        cpu_raise(c, VEC_NM);
    FAULT(c, i);
}

enum x87_end mmx_refuse(struct cpu *c, const struct insn *i)
{
    if (!(c->cr0 & (CR0_EM | CR0_TS)))
        return x87_pending(c, i);
    cpu_raise(c, c->cr0 & CR0_EM ? VEC_UD : VEC_NM);
    return X87_FAULT;
}

bool simd_misaligned(struct cpu *c)
{
    return cpu_raise_gp(c, 0);
}
