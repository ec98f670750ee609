/* MUL IMUL DIV IDIV MULX, once for each silicon profile. */
#include "isa/alu_amd.h"

#include "engine/interp/int.h"

/* The explicit operand. */
INLINE MUST_CHECK bool operand(struct cpu *c, const struct insn *i, unsigned size, u64 *v)
{
    *v = 0;
    if (i->form == FORM_M)
        return op_load(c, i, v, size);
    *v = reg_get(c, i->rd, size);
    return true;
}

/* rDX:rAX, or AX for bytes. */
INLINE void put_double(struct cpu *c, u128 v, unsigned size)
{
    if (size == 1) {
        c->gpr[RAX].w = (u16)v;
        return;
    }
    reg_set(c, RAX, (u64)v, size);
    reg_set(c, RDX, (u64)(v >> (8 * size)), size);
}

INLINE u128 get_double(const struct cpu *c, unsigned size)
{
    if (size == 1)
        return c->gpr[RAX].w;
    return (u128)reg_get(c, RDX, size) << (8 * size) | reg_get(c, RAX, size);
}

INLINE i128 extend_double(u128 v, unsigned size)
{
    unsigned drop = 128 - 16 * size;
    return (i128)(v << drop) >> drop;
}

#define ONE_OPERAND(size, vendor, flags_mul, flags_div)                                                           \
    static const struct insn *MUL_##vendor##size(struct cpu *c, const struct insn *i)       \
    {                                                                               \
        u64 b;                                                                      \
        TRY(c, i, operand(c, i, size, &b));                                         \
        u128 p = (u128)reg_get(c, RAX, size) * b;                                   \
        put_double(c, p, size);                                                     \
        flags_mul(&c->fl, (u64)p, (bool)(p >> (8 * size) != 0), size);              \
        NEXT(c, i);                                                                 \
    }                                                                               \
    static const struct insn *IMUL_##vendor##size(struct cpu *c, const struct insn *i)      \
    {                                                                               \
        u64 b;                                                                      \
        TRY(c, i, operand(c, i, size, &b));                                         \
        i128 p = (i128)(i64)extend(reg_get(c, RAX, size), size) * (i64)extend(b, size); \
        put_double(c, (u128)p, size);                                               \
        flags_mul(&c->fl, (u64)p, p != (i64)extend((u64)p, size), size);            \
        NEXT(c, i);                                                                 \
    }                                                                               \
    static const struct insn *DIV_##vendor##size(struct cpu *c, const struct insn *i)       \
    {                                                                               \
        u64 b;                                                                      \
        TRY(c, i, operand(c, i, size, &b));                                         \
        u128 a = get_double(c, size);                                               \
        if (!b || (a >> (8 * size)) >= b)                                           \
            TRY(c, i, cpu_raise(c, VEC_DE));                                        \
        if (size == 1)                                                              \
            c->gpr[RAX].w = (u16)((u8)(a / b) | (u8)(a % b) << 8);                  \
        else {                                                                      \
            u64 q, r;                                                               \
            if (size < 8) {                                                         \
                q = (u64)a / b, r = (u64)a % b;                                     \
            } else {                                                                \
                q = (u64)(a / b), r = (u64)(a % b);                                 \
            }                                                                       \
            reg_set(c, RAX, q, size);                                               \
            reg_set(c, RDX, r, size);                                               \
        }                                                                           \
        flags_div(&c->fl);                                                          \
        NEXT(c, i);                                                                 \
    }                                                                               \
    static const struct insn *IDIV_##vendor##size(struct cpu *c, const struct insn *i)      \
    {                                                                               \
        u64 v;                                                                      \
        TRY(c, i, operand(c, i, size, &v));                                         \
        i128 b = (i64)extend(v, size), a = extend_double(get_double(c, size), size); \
        /* The most negative dividend by -1 overflows in C too: 128 bits only have it for size 8. */ \
        if (!b || (b == -1 && a < -(i128)ones(63)))                                 \
            TRY(c, i, cpu_raise(c, VEC_DE));                                        \
        i128 q = a / b, r = a % b;                                                  \
        if (q != (i64)extend((u64)q, size))                                         \
            TRY(c, i, cpu_raise(c, VEC_DE));                                        \
        if (size == 1)                                                              \
            c->gpr[RAX].w = (u16)((u8)q | (u8)r << 8);                              \
        else {                                                                      \
            reg_set(c, RAX, (u64)q, size);                                          \
            reg_set(c, RDX, (u64)r, size);                                          \
        }                                                                           \
        flags_div(&c->fl);                                                          \
        NEXT(c, i);                                                                 \
    }
#define ONE_OPERAND_SIZES(...)  \
    ONE_OPERAND(1, __VA_ARGS__) \
    ONE_OPERAND(2, __VA_ARGS__) \
    ONE_OPERAND(4, __VA_ARGS__) \
    ONE_OPERAND(8, __VA_ARGS__)
ONE_OPERAND_SIZES(, flags_mul, flags_div)
ONE_OPERAND_SIZES(AMD_, amd_flags_mul, amd_flags_div)

#define IMUL_FORM(name, vendor, flags_mul, multiplicand, multiplier)                        \
    static const struct insn *name##vendor(struct cpu *c, const struct insn *i)            \
    {                                                                                      \
        u64 m = 0;                                                                         \
        bool overflow;                                                                     \
        if (i->form == FORM_RM || i->form == FORM_RMI)                                     \
            TRY(c, i, op_load(c, i, &m, i->size));                                         \
        u64 r = alu_imul(multiplicand, multiplier, i->size, &overflow);                    \
        flags_mul(&c->fl, r, overflow, i->size);                                           \
        reg_set(c, i->rd, r, i->size);                                                     \
        NEXT(c, i);                                                                        \
    }
#define IMUL_FORMS(vendor, flags_mul)                                                                                   \
    IMUL_FORM(IMUL_RR, vendor, flags_mul, reg_get(c, i->rd, i->size), reg_get(c, i->rs, i->size) + m)                   \
    IMUL_FORM(IMUL_RM, vendor, flags_mul, reg_get(c, i->rd, i->size), m)                                                \
    IMUL_FORM(IMUL_RRI, vendor, flags_mul, reg_get(c, i->rs, i->size) + m, (u64)(i64)i->imm)                            \
    IMUL_FORM(IMUL_RMI, vendor, flags_mul, m, (u64)(i64)i->imm)
IMUL_FORMS(, flags_mul)
IMUL_FORMS(_AMD, amd_flags_mul)

/* MULX r_high, r_low (vvvv), r/m: when both are the same register the high half stays. */
static const struct insn *MULX(struct cpu *c, const struct insn *i)
{
    u64 b = 0;
    if (i->form == FORM_RM)
        TRY(c, i, op_load(c, i, &b, i->size));
    else
        b = reg_get(c, i->rs, i->size);
    u128 p = (u128)reg_get(c, RDX, i->size) * b;
    reg_set(c, i->rv, (u64)p, i->size);
    reg_set(c, i->rd, (u64)(p >> (8 * i->size)), i->size);
    NEXT(c, i);
}

#define BY_SIZE(name) {name##1, name##2, name##4, name##8}
#define BY_FORM(vendor) {[FORM_RR] = IMUL_RR##vendor, [FORM_RM] = IMUL_RM##vendor, [FORM_RRI] = IMUL_RRI##vendor, [FORM_RMI] = IMUL_RMI##vendor}

insn_fn bind_muldiv(const struct insn *i, enum silicon silicon)
{
    static handler *const one[2][4][4] = {{BY_SIZE(MUL_), BY_SIZE(IMUL_), BY_SIZE(DIV_), BY_SIZE(IDIV_)},
                                          {BY_SIZE(MUL_AMD_), BY_SIZE(IMUL_AMD_), BY_SIZE(DIV_AMD_), BY_SIZE(IDIV_AMD_)}};
    static handler *const more[2][FORM_COUNT] = {BY_FORM(), BY_FORM(_AMD)};
    unsigned s = size_index(i->size);
    bool amd = silicon_is_amd(silicon);
    switch (i->op) {
    case OP_MUL: return one[amd][0][s];
    case OP_IMUL: return i->form == FORM_R || i->form == FORM_M ? one[amd][1][s] : more[amd][i->form];
    case OP_DIV: return one[amd][2][s];
    case OP_IDIV: return one[amd][3][s];
    case OP_MULX: return MULX;
    default: return NULL;
    }
}
