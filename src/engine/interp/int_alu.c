/* Two-operand arithmetic and logic, TEST, INC, DEC, NEG, NOT: SDM vol. 2, the entries of these names.
 * Handlers are named OPERATION_FORM_BYTES; forms with memory exist twice: `p` takes a plain 64-bit address and a soft-TLB hit, and goes to its twin for the rest. */
#include "isa/alu.h"

#include "engine/interp/int.h"

INLINE u64 alu_cmp(struct flags *f, u64 a, u64 b, unsigned size)
{
    alu_sub(f, a, b, size);
    return a;
}

INLINE u64 alu_test(struct flags *f, u64 a, u64 b, unsigned size)
{
    flags_logic(f, a & b, size);
    return a;
}

#define RM(name, fn, size, writes)                                                     \
    static const struct insn *name##_RM_##size(struct cpu *c, const struct insn *i)    \
    {                                                                                  \
        u64 lin, b = 0;                                                                \
        TRY(c, i, mem_address(c, i, size, false, &lin));                               \
        TRY(c, i, lin_load(c, i, lin, &b, size));                                      \
        u64 r = fn(&c->fl, reg_get(c, i->rd, size), b, size);                          \
        if (writes)                                                                    \
            reg_set(c, i->rd, r, size);                                                \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *name##_RM_##size##p(struct cpu *c, const struct insn *i) \
    {                                                                                  \
        const u8 *p = hit_read(c, ea_plain(c, i), size);                               \
        if (UNLIKELY(!p))                                                              \
            return name##_RM_##size(c, i);                                             \
        u64 r = fn(&c->fl, reg_get(c, i->rd, size), host_get(p, size), size);          \
        if (writes)                                                                    \
            reg_set(c, i->rd, r, size);                                                \
        NEXT(c, i);                                                                    \
    }

#define TO_MEMORY(name, fn, size, writes, form, source)                                      \
    static const struct insn *name##_##form##_##size(struct cpu *c, const struct insn *i)    \
    {                                                                                        \
        u64 lin, b = (source);                                                               \
        TRY(c, i, mem_address(c, i, size, writes, &lin));                                    \
        if (writes) {                                                                        \
            u8 tmp[8], *p;                                                                   \
            TRY(c, i, rmw_begin(c, i, lin, size, &p, tmp));                                  \
            host_put(p, fn(&c->fl, host_get(p, size), b, size), size);                       \
            if (UNLIKELY(p == tmp))                                                          \
                rmw_end(c, lin, tmp, size);                                                  \
        } else {                                                                             \
            u64 a = 0;                                                                       \
            TRY(c, i, lin_load(c, i, lin, &a, size));                                        \
            fn(&c->fl, a, b, size);                                                          \
        }                                                                                    \
        NEXT(c, i);                                                                          \
    }                                                                                        \
    static const struct insn *name##_##form##_##size##p(struct cpu *c, const struct insn *i) \
    {                                                                                        \
        u8 *p = writes ? hit_write(c, ea_plain(c, i), size) : hit_read(c, ea_plain(c, i), size); \
        if (UNLIKELY(!p))                                                                    \
            return name##_##form##_##size(c, i);                                             \
        u64 r = fn(&c->fl, host_get(p, size), source, size);                                 \
        if (writes)                                                                          \
            host_put(p, r, size);                                                            \
        NEXT(c, i);                                                                          \
    }

#define FROM_REGISTERS(name, fn, size, writes)                                                       \
    static const struct insn *name##_RR_##size(struct cpu *c, const struct insn *i)                  \
    {                                                                                                \
        u64 r = fn(&c->fl, reg_get(c, i->rd, size), reg_get(c, i->rs, size), size);                  \
        if (writes)                                                                                  \
            reg_set(c, i->rd, r, size);                                                              \
        NEXT(c, i);                                                                                  \
    }                                                                                                \
    static const struct insn *name##_RI_##size(struct cpu *c, const struct insn *i)                  \
    {                                                                                                \
        u64 r = fn(&c->fl, reg_get(c, i->rd, size), (u64)(i64)i->imm, size);                         \
        if (writes)                                                                                  \
            reg_set(c, i->rd, r, size);                                                              \
        NEXT(c, i);                                                                                  \
    }

#define BINARY_SIZE(name, fn, size, writes)                             \
    FROM_REGISTERS(name, fn, size, writes)                              \
    RM(name, fn, size, writes)                                          \
    TO_MEMORY(name, fn, size, writes, MR, reg_get(c, i->rs, size))      \
    TO_MEMORY(name, fn, size, writes, MI, (u64)(i64)i->imm)

#define BINARY(name, fn, writes)       \
    BINARY_SIZE(name, fn, 1, writes)   \
    BINARY_SIZE(name, fn, 2, writes)   \
    BINARY_SIZE(name, fn, 4, writes)   \
    BINARY_SIZE(name, fn, 8, writes)

BINARY(ADD, alu_add, true)
BINARY(ADC, alu_adc, true)
BINARY(SUB, alu_sub, true)
BINARY(SBB, alu_sbb, true)
BINARY(AND, alu_and, true)
BINARY(OR, alu_or, true)
BINARY(XOR, alu_xor, true)
BINARY(CMP, alu_cmp, false)
BINARY(TEST, alu_test, false)

INLINE u64 alu_not(struct flags *f, u64 a, unsigned size)
{
    (void)f;
    return cut(~a, size);
}

#define UNARY_SIZE(name, fn, size)                                                    \
    static const struct insn *name##_R_##size(struct cpu *c, const struct insn *i)    \
    {                                                                                 \
        reg_set(c, i->rd, fn(&c->fl, reg_get(c, i->rd, size), size), size);           \
        NEXT(c, i);                                                                   \
    }                                                                                 \
    static const struct insn *name##_M_##size(struct cpu *c, const struct insn *i)    \
    {                                                                                 \
        u64 lin;                                                                      \
        u8 tmp[8], *p;                                                                \
        TRY(c, i, mem_address(c, i, size, true, &lin));                               \
        TRY(c, i, rmw_begin(c, i, lin, size, &p, tmp));                               \
        host_put(p, fn(&c->fl, host_get(p, size), size), size);                       \
        if (UNLIKELY(p == tmp))                                                       \
            rmw_end(c, lin, tmp, size);                                               \
        NEXT(c, i);                                                                   \
    }                                                                                 \
    static const struct insn *name##_M_##size##p(struct cpu *c, const struct insn *i) \
    {                                                                                 \
        u8 *p = hit_write(c, ea_plain(c, i), size);                                   \
        if (UNLIKELY(!p))                                                             \
            return name##_M_##size(c, i);                                             \
        host_put(p, fn(&c->fl, host_get(p, size), size), size);                       \
        NEXT(c, i);                                                                   \
    }

#define UNARY(name, fn)     \
    UNARY_SIZE(name, fn, 1) \
    UNARY_SIZE(name, fn, 2) \
    UNARY_SIZE(name, fn, 4) \
    UNARY_SIZE(name, fn, 8)

UNARY(INC, alu_inc)
UNARY(DEC, alu_dec)
UNARY(NEG, alu_neg)
UNARY(NOT, alu_not)

/* The commonest zero: XOR r, r. */
static const struct insn *ZERO_R(struct cpu *c, const struct insn *i)
{
    c->gpr[i->rd].q = 0;
    flags_logic(&c->fl, 0, 8);
    NEXT(c, i);
}

/* Columns: RR, RI, RM, RMp, MR, MRp, MI, MIp. */
#define BINARY_ROW(name, size)                                                                        \
    {                                                                                                 \
        name##_RR_##size, name##_RI_##size, name##_RM_##size, name##_RM_##size##p, name##_MR_##size,  \
            name##_MR_##size##p, name##_MI_##size, name##_MI_##size##p                                \
    }
#define BINARY_ROWS(name) \
    [OP_##name] = {BINARY_ROW(name, 1), BINARY_ROW(name, 2), BINARY_ROW(name, 4), BINARY_ROW(name, 8)}

static handler *const binary[][4][8] = {
    BINARY_ROWS(ADD), BINARY_ROWS(ADC), BINARY_ROWS(SUB), BINARY_ROWS(SBB),  BINARY_ROWS(AND),
    BINARY_ROWS(OR),  BINARY_ROWS(XOR), BINARY_ROWS(CMP), BINARY_ROWS(TEST),
};

#define UNARY_ROW(name, size) {name##_R_##size, name##_M_##size, name##_M_##size##p}
#define UNARY_ROWS(name)      [OP_##name] = {UNARY_ROW(name, 1), UNARY_ROW(name, 2), UNARY_ROW(name, 4), UNARY_ROW(name, 8)}

static handler *const unary[][4][3] = {UNARY_ROWS(INC), UNARY_ROWS(DEC), UNARY_ROWS(NEG), UNARY_ROWS(NOT)};

static const i8 binary_column[FORM_COUNT] = {
    [FORM_RR] = 0, [FORM_RI] = 1, [FORM_RM] = 2, [FORM_MR] = 4, [FORM_MI] = 6};

insn_fn bind_alu(const struct insn *i, bool plain)
{
    unsigned size = size_index(i->size);
    if (i->op < ARRAY_LEN(unary) && unary[i->op][0][0])
        return i->form == FORM_R ? unary[i->op][size][0] : i->form == FORM_M ? unary[i->op][size][1 + plain] : NULL;
    if (i->op >= ARRAY_LEN(binary) || !binary[i->op][0][0])
        return NULL;
    if (i->op == OP_XOR && i->form == FORM_RR && i->rd == i->rs && i->size >= 4)
        return ZERO_R;
    switch (i->form) {
    case FORM_RR:
    case FORM_RI:
        return binary[i->op][size][binary_column[i->form]];
    case FORM_RM:
    case FORM_MR:
    case FORM_MI:
        return binary[i->op][size][binary_column[i->form] + plain];
    default:
        return NULL;
    }
}
