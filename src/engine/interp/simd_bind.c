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

enum { COLUMN_RR, COLUMN_RM, COLUMN_MR };
static const u8 column[FORM_COUNT] = {
    [FORM_M] = COLUMN_RM,  [FORM_RM] = COLUMN_RM, [FORM_RMI] = COLUMN_RM,
    [FORM_MI] = COLUMN_RM, [FORM_MR] = COLUMN_MR, [FORM_MRI] = COLUMN_MR,
};

static insn_fn simd_bind(const struct insn *i)
{
    if (i->op < SIMD_FIRST || i->op > SIMD_LAST)
        return NULL;
    const struct simd_row *row = rows[i->op - SIMD_FIRST];
    bool mm = i->size == 8; /* or only a GPR of that size, in a row without MMX forms */
    unsigned k = column[i->form];
    return row->bind ? row->bind(i) : mm && row->fn[1][k] ? row->fn[1][k] : row->fn[0][k];
}

insn_fn interp_bind_SIMD(const struct insn *i, unsigned code_size UNUSED, bool flat UNUSED)
{
    return simd_bind(i);
}

insn_fn interp_bind_AVX(const struct insn *i, unsigned code_size UNUSED, bool flat UNUSED)
{
    return simd_bind(i);
}

bool sse_refuse(struct cpu *c)
{
    return c->cr0 & CR0_EM || !(c->cr4 & CR4_OSFXSR) ? cpu_raise_ud(c) : cpu_raise(c, VEC_NM);
}

bool avx_refuse(struct cpu *c)
{
    if (!cpu_protected(c) || cpu_v86(c) || !(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & 6) != 6)
        return cpu_raise_ud(c);
    return cpu_raise(c, VEC_NM);
}

bool mmx_refuse(struct cpu *c)
{
    if (c->cr0 & CR0_EM)
        return cpu_raise_ud(c);
    return cpu_raise(c, c->cr0 & CR0_TS ? VEC_NM : VEC_MF);
}

bool simd_misaligned(struct cpu *c)
{
    return cpu_raise_gp(c, 0);
}
