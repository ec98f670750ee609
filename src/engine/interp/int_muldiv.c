/* MUL IMUL DIV IDIV MULX. Flags after DIV and IDIV: silicon leaves all six as they were. */
#include "isa/alu.h"

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

#define ONE_OPERAND(size)                                                           \
    static const struct insn *MUL_##size(struct cpu *c, const struct insn *i)       \
    {                                                                               \
        u64 b;                                                                      \
        TRY(c, i, operand(c, i, size, &b));                                         \
        u128 p = (u128)reg_get(c, RAX, size) * b;                                   \
        put_double(c, p, size);                                                     \
        flags_mul(&c->fl, (u64)p, (bool)(p >> (8 * size) != 0), size);              \
        NEXT(c, i);                                                                 \
    }                                                                               \
    static const struct insn *IMUL_##size(struct cpu *c, const struct insn *i)      \
    {                                                                               \
        u64 b;                                                                      \
        TRY(c, i, operand(c, i, size, &b));                                         \
        i128 p = (i128)(i64)extend(reg_get(c, RAX, size), size) * (i64)extend(b, size); \
        put_double(c, (u128)p, size);                                               \
        flags_mul(&c->fl, (u64)p, p != (i64)extend((u64)p, size), size);            \
        NEXT(c, i);                                                                 \
    }                                                                               \
    static const struct insn *DIV_##size(struct cpu *c, const struct insn *i)       \
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
        NEXT(c, i);                                                                 \
    }                                                                               \
    static const struct insn *IDIV_##size(struct cpu *c, const struct insn *i)      \
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
        NEXT(c, i);                                                                 \
    }
ONE_OPERAND(1)
ONE_OPERAND(2)
ONE_OPERAND(4)
ONE_OPERAND(8)

static const struct insn *IMUL_RR(struct cpu *c, const struct insn *i)
{
    reg_set(c, i->rd, alu_imul(&c->fl, reg_get(c, i->rd, i->size), reg_get(c, i->rs, i->size), i->size), i->size);
    NEXT(c, i);
}

static const struct insn *IMUL_RM(struct cpu *c, const struct insn *i)
{
    u64 b = 0;
    TRY(c, i, op_load(c, i, &b, i->size));
    reg_set(c, i->rd, alu_imul(&c->fl, reg_get(c, i->rd, i->size), b, i->size), i->size);
    NEXT(c, i);
}

static const struct insn *IMUL_RRI(struct cpu *c, const struct insn *i)
{
    reg_set(c, i->rd, alu_imul(&c->fl, reg_get(c, i->rs, i->size), (u64)(i64)i->imm, i->size), i->size);
    NEXT(c, i);
}

static const struct insn *IMUL_RMI(struct cpu *c, const struct insn *i)
{
    u64 a = 0;
    TRY(c, i, op_load(c, i, &a, i->size));
    reg_set(c, i->rd, alu_imul(&c->fl, a, (u64)(i64)i->imm, i->size), i->size);
    NEXT(c, i);
}

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

#define BY_SIZE(name) {name##_1, name##_2, name##_4, name##_8}

insn_fn bind_muldiv(const struct insn *i)
{
    static handler *const mul[] = BY_SIZE(MUL), *const imul[] = BY_SIZE(IMUL), *const div[] = BY_SIZE(DIV),
                          *const idiv[] = BY_SIZE(IDIV);
    unsigned s = size_index(i->size);
    switch (i->op) {
    case OP_MUL: return mul[s];
    case OP_DIV: return div[s];
    case OP_IDIV: return idiv[s];
    case OP_MULX: return MULX;
    case OP_IMUL:
        switch (i->form) {
        case FORM_R:
        case FORM_M: return imul[s];
        case FORM_RR: return IMUL_RR;
        case FORM_RM: return IMUL_RM;
        case FORM_RRI: return IMUL_RRI;
        case FORM_RMI: return IMUL_RMI;
        default: return NULL;
        }
    default: return NULL;
    }
}
