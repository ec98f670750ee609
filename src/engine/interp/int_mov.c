/* Moves: MOV, MOVZX, MOVSX, MOVSXD, MOVBE, LEA, XCHG, XADD, CMPXCHG*, BSWAP, CMOVcc, SETcc, XLAT, sign extensions of the accumulator. */
#include "isa/alu.h"

#include "engine/interp/int.h"

#define MOV_SIZE(size)                                                                 \
    static const struct insn *MOV_RR_##size(struct cpu *c, const struct insn *i)       \
    {                                                                                  \
        reg_set(c, i->rd, reg_get(c, i->rs, size), size);                              \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *MOV_RI_##size(struct cpu *c, const struct insn *i)       \
    {                                                                                  \
        reg_set(c, i->rd, (u32)i->imm | (u64)(u32)i->disp << 32, size);                \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *MOV_RM_##size(struct cpu *c, const struct insn *i)       \
    {                                                                                  \
        u64 lin, v = 0;                                                                \
        TRY(c, i, mem_address(c, i, size, false, &lin));                               \
        TRY(c, i, lin_load(c, i, lin, &v, size));                                      \
        reg_set(c, i->rd, v, size);                                                    \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *MOV_RM_##size##p(struct cpu *c, const struct insn *i)    \
    {                                                                                  \
        const u8 *p = hit_read(c, ea_plain(c, i), size);                               \
        if (UNLIKELY(!p))                                                              \
            return MOV_RM_##size(c, i);                                                \
        reg_set(c, i->rd, host_get(p, size), size);                                    \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *MOV_MR_##size(struct cpu *c, const struct insn *i)       \
    {                                                                                  \
        u64 lin, v = reg_get(c, i->rs, size);                                          \
        TRY(c, i, mem_address(c, i, size, true, &lin));                                \
        TRY(c, i, lin_store(c, i, lin, &v, size));                                     \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *MOV_MR_##size##p(struct cpu *c, const struct insn *i)    \
    {                                                                                  \
        u8 *p = hit_write(c, ea_plain(c, i), size);                                    \
        if (UNLIKELY(!p))                                                              \
            return MOV_MR_##size(c, i);                                                \
        host_put(p, reg_get(c, i->rs, size), size);                                    \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *MOV_MI_##size(struct cpu *c, const struct insn *i)       \
    {                                                                                  \
        u64 lin, v = (u64)(i64)i->imm;                                                 \
        TRY(c, i, mem_address(c, i, size, true, &lin));                                \
        TRY(c, i, lin_store(c, i, lin, &v, size));                                     \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *MOV_MI_##size##p(struct cpu *c, const struct insn *i)    \
    {                                                                                  \
        u8 *p = hit_write(c, ea_plain(c, i), size);                                    \
        if (UNLIKELY(!p))                                                              \
            return MOV_MI_##size(c, i);                                                \
        host_put(p, (u64)(i64)i->imm, size);                                           \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *MOFFS_LOAD_##size(struct cpu *c, const struct insn *i)   \
    {                                                                                  \
        u64 lin, v = 0;                                                                \
        TRY(c, i, moffs_address(c, i, size, false, &lin));                             \
        TRY(c, i, lin_load(c, i, lin, &v, size));                                      \
        reg_set(c, RAX, v, size);                                                      \
        NEXT(c, i);                                                                    \
    }                                                                                  \
    static const struct insn *MOFFS_STORE_##size(struct cpu *c, const struct insn *i)  \
    {                                                                                  \
        u64 lin, v = reg_get(c, RAX, size);                                            \
        TRY(c, i, moffs_address(c, i, size, true, &lin));                              \
        TRY(c, i, lin_store(c, i, lin, &v, size));                                     \
        NEXT(c, i);                                                                    \
    }

/* MOV AL/eAX, moffs: the 64-bit offset lies in disp and imm. */
INLINE bool moffs_address(struct cpu *c, const struct insn *i, unsigned len, bool write, u64 *lin)
{
    u64 off = (u32)i->disp | (u64)(u32)i->imm << 32;
    off = i->asize == 8 ? off : i->asize == 4 ? (u32)off : (u16)off;
    return seg_linear(c, i->seg, off, len, write, lin);
}

MOV_SIZE(1)
MOV_SIZE(2)
MOV_SIZE(4)
MOV_SIZE(8)

#define MOV_ROW(s) {MOV_RR_##s, MOV_RI_##s, MOV_RM_##s, MOV_RM_##s##p, MOV_MR_##s, MOV_MR_##s##p, MOV_MI_##s, MOV_MI_##s##p}
static handler *const mov[4][8] = {MOV_ROW(1), MOV_ROW(2), MOV_ROW(4), MOV_ROW(8)};
static handler *const moffs[2][4] = {{MOFFS_LOAD_1, MOFFS_LOAD_2, MOFFS_LOAD_4, MOFFS_LOAD_8},
                                     {MOFFS_STORE_1, MOFFS_STORE_2, MOFFS_STORE_4, MOFFS_STORE_8}};

/* Extensions: FROM bytes to TO bytes. */
#define EXTEND(name, from, to, fn)                                                              \
    static const struct insn *name##_RR_##from##_##to(struct cpu *c, const struct insn *i)      \
    {                                                                                           \
        reg_set(c, i->rd, fn(reg_get(c, i->rs, from), from), to);                               \
        NEXT(c, i);                                                                             \
    }                                                                                           \
    static const struct insn *name##_RM_##from##_##to(struct cpu *c, const struct insn *i)      \
    {                                                                                           \
        u64 lin, v = 0;                                                                         \
        TRY(c, i, mem_address(c, i, from, false, &lin));                                        \
        TRY(c, i, lin_load(c, i, lin, &v, from));                                               \
        reg_set(c, i->rd, fn(v, from), to);                                                     \
        NEXT(c, i);                                                                             \
    }                                                                                           \
    static const struct insn *name##_RM_##from##_##to##p(struct cpu *c, const struct insn *i)   \
    {                                                                                           \
        const u8 *p = hit_read(c, ea_plain(c, i), from);                                        \
        if (UNLIKELY(!p))                                                                       \
            return name##_RM_##from##_##to(c, i);                                               \
        reg_set(c, i->rd, fn(host_get(p, from), from), to);                                     \
        NEXT(c, i);                                                                             \
    }
#define EXTENDS(name, fn)  \
    EXTEND(name, 1, 2, fn) \
    EXTEND(name, 1, 4, fn) \
    EXTEND(name, 1, 8, fn) \
    EXTEND(name, 2, 2, fn) \
    EXTEND(name, 2, 4, fn) \
    EXTEND(name, 2, 8, fn)

EXTENDS(ZX, cut)
EXTENDS(SX, extend)
EXTEND(SX, 4, 2, extend)
EXTEND(SX, 4, 4, extend)
EXTEND(SX, 4, 8, extend)

#define EXT_ROW(name, from, to) {name##_RR_##from##_##to, name##_RM_##from##_##to, name##_RM_##from##_##to##p}
#define EXT_ROWS(name, from)    {EXT_ROW(name, from, 2), EXT_ROW(name, from, 4), EXT_ROW(name, from, 8)}
static handler *const zx[2][3][3] = {EXT_ROWS(ZX, 1), EXT_ROWS(ZX, 2)};
static handler *const sx[3][3][3] = {EXT_ROWS(SX, 1), EXT_ROWS(SX, 2), EXT_ROWS(SX, 4)};

static handler *bind_extend(const struct insn *i, bool plain)
{
    unsigned to = i->size == 8 ? 2 : i->size == 4 ? 1 : 0, column = i->form == FORM_RR ? 0 : 1u + plain;
    /* The source's width is not part of the record for registers: the decoder put it into msize for both. */
    unsigned from = i->msize == 4 ? 2 : i->msize == 2 ? 1 : 0;
    return i->op == OP_MOVZX ? zx[from][to][column] : sx[from][to][column];
}

#define LEA_SIZE(size)                                                             \
    static const struct insn *LEA_##size(struct cpu *c, const struct insn *i)      \
    {                                                                              \
        reg_set(c, i->rd, ea(c, i), size);                                         \
        NEXT(c, i);                                                                \
    }
LEA_SIZE(2)
LEA_SIZE(4)
LEA_SIZE(8)

/* The usual LEA r64, [64-bit address]. */
static const struct insn *LEA_8p(struct cpu *c, const struct insn *i)
{
    c->gpr[i->rd].q = ea_plain(c, i);
    NEXT(c, i);
}

/* XCHG with memory locks without the prefix; XADD and CMPXCHG write even when nothing changes. */
#define EXCHANGES(size)                                                                     \
    static const struct insn *XCHG_RR_##size(struct cpu *c, const struct insn *i)           \
    {                                                                                       \
        u64 a = reg_get(c, i->rd, size), b = reg_get(c, i->rs, size);                       \
        reg_set(c, i->rd, b, size);                                                         \
        reg_set(c, i->rs, a, size);                                                         \
        NEXT(c, i);                                                                         \
    }                                                                                       \
    static const struct insn *XCHG_M_##size(struct cpu *c, const struct insn *i)            \
    {                                                                                       \
        u64 lin;                                                                            \
        u8 tmp[8], *p;                                                                      \
        unsigned reg = i->form == FORM_MR ? i->rs : i->rd;                                  \
        TRY(c, i, mem_address(c, i, size, true, &lin));                                     \
        TRY(c, i, rmw_begin(c, i, lin, size, &p, tmp));                                     \
        u64 old = host_get(p, size);                                                        \
        host_put(p, reg_get(c, reg, size), size);                                           \
        if (UNLIKELY(p == tmp))                                                             \
            rmw_end(c, lin, tmp, size);                                                     \
        reg_set(c, reg, old, size);                                                         \
        NEXT(c, i);                                                                         \
    }                                                                                       \
    static const struct insn *XADD_RR_##size(struct cpu *c, const struct insn *i)           \
    {                                                                                       \
        u64 a = reg_get(c, i->rd, size), b = reg_get(c, i->rs, size);                       \
        u64 r = alu_add(&c->fl, a, b, size);                                                \
        reg_set(c, i->rs, a, size);                                                         \
        reg_set(c, i->rd, r, size);                                                         \
        NEXT(c, i);                                                                         \
    }                                                                                       \
    static const struct insn *XADD_M_##size(struct cpu *c, const struct insn *i)            \
    {                                                                                       \
        u64 lin;                                                                            \
        u8 tmp[8], *p;                                                                      \
        TRY(c, i, mem_address(c, i, size, true, &lin));                                     \
        TRY(c, i, rmw_begin(c, i, lin, size, &p, tmp));                                     \
        u64 old = host_get(p, size);                                                        \
        host_put(p, alu_add(&c->fl, old, reg_get(c, i->rs, size), size), size);             \
        if (UNLIKELY(p == tmp))                                                             \
            rmw_end(c, lin, tmp, size);                                                     \
        reg_set(c, i->rs, old, size);                                                       \
        NEXT(c, i);                                                                         \
    }                                                                                       \
    static const struct insn *CMPXCHG_RR_##size(struct cpu *c, const struct insn *i)        \
    {                                                                                       \
        u64 a = reg_get(c, i->rd, size), acc = reg_get(c, RAX, size);                       \
        alu_sub(&c->fl, acc, a, size);                                                      \
        if (a == acc)                                                                       \
            reg_set(c, i->rd, reg_get(c, i->rs, size), size);                               \
        else                                                                                \
            reg_set(c, RAX, a, size);                                                       \
        NEXT(c, i);                                                                         \
    }                                                                                       \
    static const struct insn *CMPXCHG_M_##size(struct cpu *c, const struct insn *i)         \
    {                                                                                       \
        u64 lin, acc = reg_get(c, RAX, size);                                               \
        u8 tmp[8], *p;                                                                      \
        TRY(c, i, mem_address(c, i, size, true, &lin));                                     \
        TRY(c, i, rmw_begin(c, i, lin, size, &p, tmp));                                     \
        u64 old = host_get(p, size);                                                        \
        alu_sub(&c->fl, acc, old, size);                                                    \
        host_put(p, old == acc ? reg_get(c, i->rs, size) : old, size);                      \
        if (UNLIKELY(p == tmp))                                                             \
            rmw_end(c, lin, tmp, size);                                                     \
        if (old != acc)                                                                     \
            reg_set(c, RAX, old, size);                                                     \
        NEXT(c, i);                                                                         \
    }
EXCHANGES(1)
EXCHANGES(2)
EXCHANGES(4)
EXCHANGES(8)

#define BY_SIZE(name) {name##_1, name##_2, name##_4, name##_8}
static handler *const xchg[2][4] = {BY_SIZE(XCHG_RR), BY_SIZE(XCHG_M)};
static handler *const xadd[2][4] = {BY_SIZE(XADD_RR), BY_SIZE(XADD_M)};
static handler *const cmpxchg[2][4] = {BY_SIZE(CMPXCHG_RR), BY_SIZE(CMPXCHG_M)};

static const struct insn *CMPXCHG8B(struct cpu *c, const struct insn *i)
{
    u64 lin, expect = c->gpr[RAX].d | (u64)c->gpr[RDX].d << 32, put = c->gpr[RBX].d | (u64)c->gpr[RCX].d << 32;
    u8 tmp[8], *p;
    TRY(c, i, mem_address(c, i, 8, true, &lin));
    TRY(c, i, rmw_begin(c, i, lin, 8, &p, tmp));
    u64 old = host_get(p, 8);
    host_put(p, old == expect ? put : old, 8);
    if (UNLIKELY(p == tmp))
        rmw_end(c, lin, tmp, 8);
    flags_put_zf(&c->fl, old == expect);
    if (old != expect) {
        c->gpr[RAX].q = (u32)old;
        c->gpr[RDX].q = old >> 32;
    }
    NEXT(c, i);
}

static const struct insn *CMPXCHG16B(struct cpu *c, const struct insn *i)
{
    u64 lin, old[2];
    u8 tmp[16], *p;
    TRY(c, i, mem_address(c, i, 16, true, &lin));
    if (lin & 15)
        TRY(c, i, cpu_raise_gp(c, 0));
    TRY(c, i, rmw_begin(c, i, lin, 16, &p, tmp));
    memcpy(old, p, 16);
    bool equal = old[0] == c->gpr[RAX].q && old[1] == c->gpr[RDX].q;
    u64 put[2] = {equal ? c->gpr[RBX].q : old[0], equal ? c->gpr[RCX].q : old[1]};
    memcpy(p, put, 16);
    if (UNLIKELY(p == tmp))
        rmw_end(c, lin, tmp, 16);
    flags_put_zf(&c->fl, equal);
    if (!equal) {
        c->gpr[RAX].q = old[0];
        c->gpr[RDX].q = old[1];
    }
    NEXT(c, i);
}

static const struct insn *BSWAP_4(struct cpu *c, const struct insn *i)
{
    c->gpr[i->rd].q = __builtin_bswap32(c->gpr[i->rd].d);
    NEXT(c, i);
}

static const struct insn *BSWAP_8(struct cpu *c, const struct insn *i)
{
    c->gpr[i->rd].q = __builtin_bswap64(c->gpr[i->rd].q);
    NEXT(c, i);
}

/* BSWAP r16 is undefined; silicon clears the register's low 16 bits. */
static const struct insn *BSWAP_2(struct cpu *c, const struct insn *i)
{
    c->gpr[i->rd].w = 0;
    NEXT(c, i);
}

INLINE u64 swap_bytes(u64 v, unsigned size)
{
    return size == 8 ? __builtin_bswap64(v) : size == 4 ? __builtin_bswap32((u32)v) : __builtin_bswap16((u16)v);
}

static const struct insn *MOVBE_RM(struct cpu *c, const struct insn *i)
{
    u64 v = 0;
    TRY(c, i, op_load(c, i, &v, i->size));
    reg_set(c, i->rd, swap_bytes(v, i->size), i->size);
    NEXT(c, i);
}

static const struct insn *MOVBE_MR(struct cpu *c, const struct insn *i)
{
    u64 v = swap_bytes(reg_get(c, i->rs, i->size), i->size);
    TRY(c, i, op_store(c, i, &v, i->size));
    NEXT(c, i);
}

#define CMOV(size)                                                                  \
    static const struct insn *CMOV_RR_##size(struct cpu *c, const struct insn *i)   \
    {                                                                               \
        u64 v = reg_get(c, condition(&c->fl, i->rv) ? i->rs : i->rd, size);         \
        reg_set(c, i->rd, v, size);                                                 \
        NEXT(c, i);                                                                 \
    }                                                                               \
    static const struct insn *CMOV_RM_##size(struct cpu *c, const struct insn *i)   \
    {                                                                               \
        u64 v = 0;                                                                  \
        TRY(c, i, op_load(c, i, &v, size));                                         \
        if (!condition(&c->fl, i->rv))                                              \
            v = reg_get(c, i->rd, size);                                            \
        reg_set(c, i->rd, v, size);                                                 \
        NEXT(c, i);                                                                 \
    }
CMOV(2)
CMOV(4)
CMOV(8)
static handler *const cmov[2][4] = {{NULL, CMOV_RR_2, CMOV_RR_4, CMOV_RR_8}, {NULL, CMOV_RM_2, CMOV_RM_4, CMOV_RM_8}};

static const struct insn *SETCC_R(struct cpu *c, const struct insn *i)
{
    reg_set(c, i->rd, condition(&c->fl, i->rv), 1);
    NEXT(c, i);
}

static const struct insn *SETCC_M(struct cpu *c, const struct insn *i)
{
    u8 v = condition(&c->fl, i->rv);
    TRY(c, i, op_store(c, i, &v, 1));
    NEXT(c, i);
}

static const struct insn *XLAT(struct cpu *c, const struct insn *i)
{
    u64 lin, off = c->gpr[RBX].q + c->gpr[RAX].b[0];
    u8 v;
    off = i->asize == 8 ? off : i->asize == 4 ? (u32)off : (u16)off;
    TRY(c, i, seg_linear(c, i->seg, off, 1, false, &lin));
    TRY(c, i, lin_load(c, i, lin, &v, 1));
    c->gpr[RAX].b[0] = v;
    NEXT(c, i);
}

/* CBW, CWDE, CDQE: the accumulator's lower half extended. */
static const struct insn *CBW(struct cpu *c, const struct insn *i)
{
    reg_set(c, RAX, extend(c->gpr[RAX].q, i->size / 2), i->size);
    NEXT(c, i);
}

/* CWD, CDQ, CQO: its sign into rDX. */
static const struct insn *CWD(struct cpu *c, const struct insn *i)
{
    reg_set(c, RDX, top_bit(c->gpr[RAX].q, i->size) ? ~0ull : 0, i->size);
    NEXT(c, i);
}

insn_fn bind_mov(const struct insn *i, bool plain)
{
    unsigned s = size_index(i->size);
    bool mem = i->form == FORM_RM || i->form == FORM_MR;
    switch (i->op) {
    case OP_MOV:
    case OP_MOVNTI:
        switch (i->form) {
        case FORM_RR: return mov[s][0];
        case FORM_RI: return mov[s][1];
        case FORM_RM: return mov[s][2 + plain];
        case FORM_MR: return mov[s][4 + plain];
        case FORM_MI: return mov[s][6 + plain];
        default: return NULL;
        }
    case OP_MOV_LOAD_MOFFS: return moffs[0][s];
    case OP_MOV_STORE_MOFFS: return moffs[1][s];
    case OP_MOVZX:
    case OP_MOVSX:
    case OP_MOVSXD: return bind_extend(i, plain);
    case OP_LEA: return i->size == 8 ? (i->asize == 8 ? LEA_8p : LEA_8) : i->size == 4 ? LEA_4 : LEA_2;
    case OP_XCHG: return xchg[mem][s];
    case OP_XADD: return xadd[mem][s];
    case OP_CMPXCHG: return cmpxchg[mem][s];
    case OP_CMPXCHG8B: return CMPXCHG8B;
    case OP_CMPXCHG16B: return CMPXCHG16B;
    case OP_BSWAP: return i->size == 8 ? BSWAP_8 : i->size == 4 ? BSWAP_4 : BSWAP_2;
    case OP_MOVBE: return i->form == FORM_RM ? MOVBE_RM : MOVBE_MR;
    case OP_CMOVCC: return cmov[mem][s];
    case OP_SETCC: return i->form == FORM_R ? SETCC_R : SETCC_M;
    case OP_XLAT: return XLAT;
    case OP_CBW:
    case OP_CWDE:
    case OP_CDQE: return CBW;
    case OP_CWD:
    case OP_CDQ:
    case OP_CQO: return CWD;
    default: return NULL;
    }
}
