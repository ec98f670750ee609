/* Bits: BT* BSF BSR TZCNT LZCNT POPCNT CRC32, BMI1, BMI2, ADX.
* On Intel's silicon BSF and BSR clear CF OF SF AF and give PF of the result, on AMD's until Zen 3 they change ZF alone; both leave the destination alone (all 64 bits) when the source is 0; BT* change CF only. */
#include "isa/alu_amd.h"

#include "engine/interp/int.h"

INLINE MUST_CHECK bool source(struct cpu *c, const struct insn *i, unsigned size, u64 *v)
{
    *v = 0;
    if (i->form == FORM_RM)
        return op_load(c, i, v, size);
    *v = reg_get(c, i->rs, size);
    return true;
}

/* With a register bit offset and a memory operand, the bit string reaches +-2^63 bits (SDM vol. 2, BT). */
bool bit_address(struct cpu *c, const struct insn *i, bool write, u64 *lin, unsigned *bit)
{
    unsigned bits = 8u * i->size;
    if (i->form == FORM_MI) {
        *bit = (u8)i->imm & (bits - 1);
        return mem_address(c, i, i->size, write, lin);
    }
    i64 offset = (i64)extend(reg_get(c, i->rs, i->size), i->size);
    *bit = (unsigned)offset & (bits - 1);
    i64 words = (offset - (i64)*bit) / (i64)bits;
    u64 a = ea_plain(c, i) + (u64)words * i->size;
    a = i->asize == 8 ? a : i->asize == 4 ? (u32)a : (u16)a;
    return seg_linear(c, i->seg, a, i->size, write, lin);
}

static const struct insn *BT_R(struct cpu *c, const struct insn *i)
{
    unsigned bit = (unsigned)(i->form == FORM_RI ? (u64)i->imm : reg_get(c, i->rs, i->size)) & (8u * i->size - 1);
    u64 v = reg_get(c, i->rd, i->size);
    flags_put_cf(&c->fl, v >> bit & 1);
    if (i->op != OP_BT)
        reg_set(c, i->rd, bit_change(i->op, v, bit), i->size);
    NEXT(c, i);
}

static const struct insn *BT_M(struct cpu *c, const struct insn *i)
{
    u64 lin, v = 0;
    unsigned bit;
    TRY(c, i, bit_address(c, i, false, &lin, &bit));
    TRY(c, i, lin_load(c, i, lin, &v, i->size));
    flags_put_cf(&c->fl, v >> bit & 1);
    NEXT(c, i);
}

static const struct insn *BTX_M(struct cpu *c, const struct insn *i)
{
    u64 lin;
    unsigned bit;
    u8 tmp[8], *p;
    TRY(c, i, bit_address(c, i, true, &lin, &bit));
    TRY(c, i, rmw_begin(c, i, lin, i->size, &p, tmp));
    u64 v = host_get(p, i->size);
    host_put(p, bit_change(i->op, v, bit), i->size);
    if (UNLIKELY(p == tmp))
        rmw_end(c, lin, tmp, i->size);
    flags_put_cf(&c->fl, v >> bit & 1);
    NEXT(c, i);
}

INLINE void flags_bitscan(struct flags *f, u64 v, u64 r)
{
    if (v)
        flags_logic(f, r | 0x100, 8); /* not zero whatever R is, and the parity of R */
    else
        flags_load(f, RFLAGS_ZF | RFLAGS_PF);
}

INLINE void amd_flags_bitscan(struct flags *f, u64 v, u64 r)
{
    (void)r;
    flags_put_zf(f, !v);
}

#define BITSCAN(vendor, flags)                                                                  \
    static const struct insn *BITSCAN##vendor(struct cpu *c, const struct insn *i)              \
    {                                                                                           \
        u64 v, r = 0;                                                                           \
        TRY(c, i, source(c, i, i->size, &v));                                                   \
        if (v) {                                                                                \
            r = (u64)(i->op == OP_BSF ? __builtin_ctzll(v) : 63 - __builtin_clzll(v));          \
            reg_set(c, i->rd, r, i->size);                                                      \
        }                                                                                       \
        flags(&c->fl, v, r);                                                                    \
        NEXT(c, i);                                                                             \
    }
BITSCAN(, flags_bitscan)
BITSCAN(_AMD, amd_flags_bitscan)

/* KEPT: flags that stay. */
#define TZLZCNT(vendor, kept)                                                                                           \
    static const struct insn *TZLZCNT##vendor(struct cpu *c, const struct insn *i)                                      \
    {                                                                                                                   \
        u64 v;                                                                                                          \
        unsigned bits = 8u * i->size;                                                                                   \
        TRY(c, i, source(c, i, i->size, &v));                                                                           \
        u64 r = !v ? bits : (u64)(i->op == OP_TZCNT ? __builtin_ctzll(v) : __builtin_clzll(v) - (64 - (int)bits));      \
        flags_load(&c->fl, (flags_value(&c->fl) & (kept)) | (v ? 0 : RFLAGS_CF) | (r ? 0 : RFLAGS_ZF));                 \
        reg_set(c, i->rd, r, i->size);                                                                                  \
        NEXT(c, i);                                                                                                     \
    }
TZLZCNT(, 0)
TZLZCNT(_AMD, RFLAGS_OF)

static const struct insn *POPCNT(struct cpu *c, const struct insn *i)
{
    u64 v;
    TRY(c, i, source(c, i, i->size, &v));
    flags_load(&c->fl, v ? 0 : RFLAGS_ZF);
    reg_set(c, i->rd, (u64)__builtin_popcountll(v), i->size);
    NEXT(c, i);
}

/* CRC-32C, reflected polynomial 0x82f63b78. */
static const struct insn *CRC32(struct cpu *c, const struct insn *i)
{
    u64 v;
    unsigned n = i->msize;
    TRY(c, i, source(c, i, n, &v));
    u32 crc = c->gpr[i->rd].d;
    for (unsigned k = 0; k < n; k++) {
        crc ^= (u8)(v >> (8 * k));
        for (unsigned b = 0; b < 8; b++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    c->gpr[i->rd].q = crc;
    NEXT(c, i);
}

/* SF and ZF of R, CF as given; OF, AF, PF 0. AMD: PF of R. */
INLINE void flags_bmi(struct flags *f, u64 r, unsigned size, bool cf)
{
    flags_load(f, (cut(r, size) ? 0 : RFLAGS_ZF) | (top_bit(r, size) ? RFLAGS_SF : 0) | (cf ? RFLAGS_CF : 0));
}

INLINE void amd_flags_bmi(struct flags *f, u64 r, unsigned size, bool cf)
{
    flags_logic(f, r, size);
    flags_put_cf_of(f, cf, false);
}

/* SF is 0 on both; AMD: AF 1, PF of R. */
INLINE void flags_bextr(struct flags *f, u64 r)
{
    flags_load(f, r ? 0 : RFLAGS_ZF);
}

INLINE void amd_flags_bextr(struct flags *f, u64 r)
{
    flags_logic(f, (r & 0xff) | (r ? 0x100 : 0), 8);
    f->cv = 8;
}

#define BMI(vendor, flags_bmi, flags_bextr)                                             \
    static const struct insn *BMI1##vendor(struct cpu *c, const struct insn *i)         \
    {                                                                                   \
        u64 v, r;                                                                       \
        TRY(c, i, source(c, i, i->size, &v));                                           \
        bool cf = false;                                                                \
        switch (i->op) {                                                                \
        case OP_ANDN: r = ~reg_get(c, i->rv, i->size) & v; break;                       \
        case OP_BLSI: r = (0 - v) & v, cf = v; break;                                   \
        case OP_BLSMSK: r = (v - 1) ^ v, cf = !v; break;                                \
        default: r = (v - 1) & v, cf = !v; break; /* BLSR */                            \
        }                                                                               \
        r = cut(r, i->size);                                                            \
        flags_bmi(&c->fl, r, i->size, cf);                                              \
        reg_set(c, i->rd, r, i->size);                                                  \
        NEXT(c, i);                                                                     \
    }                                                                                   \
    static const struct insn *BEXTR##vendor(struct cpu *c, const struct insn *i)        \
    {                                                                                   \
        u64 v, control = reg_get(c, i->rv, i->size);                                    \
        TRY(c, i, source(c, i, i->size, &v));                                           \
        unsigned start = control & 0xff, len = control >> 8 & 0xff;                     \
        u64 r = start < 64 ? v >> start & ones(len) : 0;                                \
        flags_bextr(&c->fl, r);                                                         \
        reg_set(c, i->rd, r, i->size);                                                  \
        NEXT(c, i);                                                                     \
    }                                                                                   \
    static const struct insn *BZHI##vendor(struct cpu *c, const struct insn *i)         \
    {                                                                                   \
        u64 v;                                                                          \
        unsigned n = (u8)c->gpr[i->rv].q, bits = 8u * i->size;                          \
        TRY(c, i, source(c, i, i->size, &v));                                           \
        u64 r = n < bits ? v & ones(n) : v;                                             \
        flags_bmi(&c->fl, r, i->size, n >= bits);                                       \
        reg_set(c, i->rd, r, i->size);                                                  \
        NEXT(c, i);                                                                     \
    }
BMI(, flags_bmi, flags_bextr)
BMI(_AMD, amd_flags_bmi, amd_flags_bextr)

static const struct insn *PDEP_PEXT(struct cpu *c, const struct insn *i)
{
    u64 mask, v = reg_get(c, i->rv, i->size), r = 0;
    TRY(c, i, source(c, i, i->size, &mask));
    for (unsigned k = 0; mask; mask &= mask - 1, k++) {
        unsigned at = (unsigned)__builtin_ctzll(mask);
        r |= i->op == OP_PDEP ? (v >> k & 1) << at : (v >> at & 1) << k;
    }
    reg_set(c, i->rd, r, i->size);
    NEXT(c, i);
}

/* ADCX carries through CF alone, ADOX through OF alone. */
static const struct insn *ADX(struct cpu *c, const struct insn *i)
{
    u64 b;
    TRY(c, i, source(c, i, i->size, &b));
    bool adcx = i->op == OP_ADCX;
    u128 sum = (u128)reg_get(c, i->rd, i->size) + b + (adcx ? flag_cf(&c->fl) : flag_of(&c->fl));
    bool carry = (bool)(sum >> (8 * i->size) & 1);
    flags_put_cf_of(&c->fl, adcx ? carry : flag_cf(&c->fl), adcx ? flag_of(&c->fl) : carry);
    reg_set(c, i->rd, (u64)sum, i->size);
    NEXT(c, i);
}

insn_fn bind_bits(const struct insn *i, enum silicon silicon)
{
    bool amd = silicon_is_amd(silicon);
    switch (i->op) {
    case OP_BT: return i->form == FORM_RR || i->form == FORM_RI ? BT_R : BT_M;
    case OP_BTS:
    case OP_BTR:
    case OP_BTC: return i->form == FORM_RR || i->form == FORM_RI ? BT_R : BTX_M;
    case OP_BSF:
    case OP_BSR: return silicon == SILICON_AMD ? BITSCAN_AMD : BITSCAN;
    case OP_TZCNT:
    case OP_LZCNT: return amd ? TZLZCNT_AMD : TZLZCNT;
    case OP_POPCNT: return POPCNT;
    case OP_CRC32: return CRC32;
    case OP_ANDN:
    case OP_BLSI:
    case OP_BLSMSK:
    case OP_BLSR: return amd ? BMI1_AMD : BMI1;
    case OP_BEXTR: return amd ? BEXTR_AMD : BEXTR;
    case OP_BZHI: return amd ? BZHI_AMD : BZHI;
    case OP_PDEP:
    case OP_PEXT: return PDEP_PEXT;
    case OP_ADCX:
    case OP_ADOX: return ADX;
    default: return NULL;
    }
}
