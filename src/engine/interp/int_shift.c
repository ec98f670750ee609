/* SHL SHR SAR ROL ROR RCL RCR SHLD SHRD, and BMI2's SARX SHLX SHRX RORX. */
#include "isa/alu_amd.h"

#include "engine/interp/int.h"

#define SHIFT_SIZE(name, fn, fn_imm, size)                                                \
    static const struct insn *name##_RI_##size(struct cpu *c, const struct insn *i)       \
    {                                                                                     \
        reg_set(c, i->rd, fn_imm(&c->fl, reg_get(c, i->rd, size), (u8)i->imm, size), size); \
        NEXT(c, i);                                                                       \
    }                                                                                     \
    static const struct insn *name##_RC_##size(struct cpu *c, const struct insn *i)       \
    {                                                                                     \
        u64 r = fn(&c->fl, reg_get(c, i->rd, size), c->gpr[RCX].b[0], size);              \
        reg_set(c, i->rd, r, size);                                                       \
        NEXT(c, i);                                                                       \
    }                                                                                     \
    static const struct insn *name##_M_##size(struct cpu *c, const struct insn *i)        \
    {                                                                                     \
        u64 lin, n = i->form == FORM_MI ? (u8)i->imm : c->gpr[RCX].b[0];                  \
        u8 tmp[8], *p;                                                                    \
        TRY(c, i, mem_address(c, i, size, true, &lin));                                   \
        TRY(c, i, rmw_begin(c, i, lin, size, &p, tmp));                                   \
        host_put(p, fn(&c->fl, host_get(p, size), n, size), size);                        \
        if (UNLIKELY(p == tmp))                                                           \
            rmw_end(c, lin, tmp, size);                                                   \
        NEXT(c, i);                                                                       \
    }
#define SHIFT(name, fn, fn_imm)     \
    SHIFT_SIZE(name, fn, fn_imm, 1) \
    SHIFT_SIZE(name, fn, fn_imm, 2) \
    SHIFT_SIZE(name, fn, fn_imm, 4) \
    SHIFT_SIZE(name, fn, fn_imm, 8)

/* The count is an immediate in the forms that have one, CL otherwise. */
INLINE u64 double_count(const struct cpu *c, const struct insn *i)
{
    return i->form == FORM_RRI || i->form == FORM_MRI ? (u8)i->imm : c->gpr[RCX].b[0];
}

#define DOUBLE_SIZE(name, fn, size)                                                            \
    static const struct insn *name##_R_##size(struct cpu *c, const struct insn *i)             \
    {                                                                                          \
        u64 a = reg_get(c, i->rd, size), b = reg_get(c, i->rs, size);                          \
        reg_set(c, i->rd, fn(&c->fl, a, b, double_count(c, i), size), size);                   \
        NEXT(c, i);                                                                            \
    }                                                                                          \
    static const struct insn *name##_M_##size(struct cpu *c, const struct insn *i)             \
    {                                                                                          \
        u64 lin, b = reg_get(c, i->rs, size);                                                  \
        u8 tmp[8], *p;                                                                         \
        TRY(c, i, mem_address(c, i, size, true, &lin));                                        \
        TRY(c, i, rmw_begin(c, i, lin, size, &p, tmp));                                        \
        host_put(p, fn(&c->fl, host_get(p, size), b, double_count(c, i), size), size);         \
        if (UNLIKELY(p == tmp))                                                                \
            rmw_end(c, lin, tmp, size);                                                        \
        NEXT(c, i);                                                                            \
    }
#define DOUBLE(name, fn)     \
    DOUBLE_SIZE(name, fn, 2) \
    DOUBLE_SIZE(name, fn, 4) \
    DOUBLE_SIZE(name, fn, 8)

#define SHIFT_ROW(name, s) {name##_RI_##s, name##_RC_##s, name##_M_##s}
#define SHIFT_ROWS(name, vendor) \
    [OP_##name] = {SHIFT_ROW(vendor##name, 1), SHIFT_ROW(vendor##name, 2), SHIFT_ROW(vendor##name, 4), SHIFT_ROW(vendor##name, 8)}
#define DOUBLE_ROW(name) {{NULL, name##_R_2, name##_R_4, name##_R_8}, {NULL, name##_M_2, name##_M_4, name##_M_8}}

/* Which of a row's handlers a record of SHL to RCR wants. */
static inline unsigned shift_column(const struct insn *i)
{
    return i->form == FORM_RI ? 0 : i->form == FORM_RR ? 1 : 2;
}


SHIFT(SHL, alu_shl, alu_shl)
SHIFT(SHR, alu_shr, alu_shr)
SHIFT(SAR, alu_sar, alu_sar)
SHIFT(ROL, alu_rol, alu_rol_imm)
SHIFT(ROR, alu_ror, alu_ror_imm)
SHIFT(RCL, alu_rcl, alu_rcl)
SHIFT(RCR, alu_rcr, alu_rcr)

SHIFT(AMD_SHL, amd_shl, amd_shl)
SHIFT(AMD_SHR, amd_shr, amd_shr)
SHIFT(AMD_SAR, amd_sar, amd_sar)
SHIFT(AMD_ROL, amd_rol, amd_rol)
SHIFT(AMD_ROR, amd_ror, amd_ror)
SHIFT(AMD_RCL, amd_rcl, amd_rcl)
SHIFT(AMD_RCR, amd_rcr, amd_rcr)

static handler *const shift[2][OP_RCR + 1][4][3] = {
    {SHIFT_ROWS(SHL, ), SHIFT_ROWS(SHR, ), SHIFT_ROWS(SAR, ), SHIFT_ROWS(ROL, ), SHIFT_ROWS(ROR, ), SHIFT_ROWS(RCL, ), SHIFT_ROWS(RCR, )},
    {SHIFT_ROWS(SHL, AMD_), SHIFT_ROWS(SHR, AMD_), SHIFT_ROWS(SAR, AMD_), SHIFT_ROWS(ROL, AMD_), SHIFT_ROWS(ROR, AMD_), SHIFT_ROWS(RCL, AMD_),
     SHIFT_ROWS(RCR, AMD_)}};

DOUBLE(SHLD, alu_shld)
DOUBLE(SHRD, alu_shrd)

DOUBLE(AMD_SHLD, amd_shld)
DOUBLE(AMD_SHRD, amd_shrd)
static handler *const shld[2][2][4] = {DOUBLE_ROW(SHLD), DOUBLE_ROW(AMD_SHLD)};
static handler *const shrd[2][2][4] = {DOUBLE_ROW(SHRD), DOUBLE_ROW(AMD_SHRD)};

/* BMI2: no flags; the count comes from a register, RORX's from the immediate. */
static const struct insn *SHIFTX(struct cpu *c, const struct insn *i)
{
    u64 v = 0;
    if (i->form == FORM_RM || i->form == FORM_RMI)
        TRY(c, i, op_load(c, i, &v, i->size));
    else
        v = reg_get(c, i->rs, i->size);
    unsigned bits = 8u * i->size;
    unsigned n = (unsigned)(i->op == OP_RORX ? (u64)i->imm : c->gpr[i->rv].q) & (bits - 1);
    u64 r = v;
    switch (i->op) {
    case OP_SHLX: r = v << n; break;
    case OP_SHRX: r = v >> n; break;
    case OP_SARX: r = (u64)((i64)extend(v, i->size) >> n); break;
    default: r = n ? v >> n | v << (bits - n) : v; break;
    }
    reg_set(c, i->rd, r, i->size);
    NEXT(c, i);
}

insn_fn bind_shift(const struct insn *i, enum silicon silicon)
{
    unsigned s = size_index(i->size);
    bool amd = silicon_is_amd(silicon), mem = i->form == FORM_MR || i->form == FORM_MRI;
    switch (i->op) {
    case OP_SHLD: return shld[amd][mem][s];
    case OP_SHRD: return shrd[amd][mem][s];
    case OP_SHLX:
    case OP_SHRX:
    case OP_SARX:
    case OP_RORX: return SHIFTX;
    default: break;
    }
    if (i->op > OP_RCR)
        return NULL;
    return shift[amd][i->op][s][shift_column(i)];
}
