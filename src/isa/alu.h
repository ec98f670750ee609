/* Integer arithmetic on operands of 1, 2, 4 or 8 bytes and its flags, in the lazy form of cpu/flags.h. Shared by both software engines.
 * What the manual leaves undefined is modelled as Intel's silicon does it: it is regular (docs/deviations.md), and each rule stands at its place;
 * isa/alu_amd.h has what AMD's does otherwise (cpu/silicon.h).
 * Operands may carry garbage above SIZE; results are cut to it. */
#ifndef ISA_ALU_H
#define ISA_ALU_H

#include "base/bits.h"
#include "cpu/flags.h"

INLINE u64 cut(u64 v, unsigned size)
{
    return size == 8 ? v : size == 4 ? (u32)v : size == 2 ? (u16)v : (u8)v;
}

INLINE u64 extend(u64 v, unsigned size)
{
    return size == 8 ? v : size == 4 ? (u64)(i32)v : size == 2 ? (u64)(i16)v : (u64)(i8)v;
}

INLINE bool top_bit(u64 v, unsigned size)
{
    return v >> (8 * size - 1) & 1;
}

INLINE void flags_result(struct flags *f, u64 r, u64 cv, unsigned size)
{
    f->res = extend(r, size);
    f->cv = size == 8 ? cv : cv << (64 - 8 * size) | (cv & 8);
    f->fix = 0;
}

INLINE void flags_logic(struct flags *f, u64 r, unsigned size)
{
    f->res = extend(r, size);
    f->cv = 0;
    f->fix = 0;
}

/* Replaces CF, leaving the other five. */
INLINE void flags_put_cf(struct flags *f, bool cf)
{
    bool of = flag_of(f);
    f->cv = (f->cv & 8) | (u64)cf << 63 | (u64)(cf ^ of) << 62;
}

INLINE void flags_put_cf_of(struct flags *f, bool cf, bool of)
{
    f->cv = (f->cv & 8) | (u64)cf << 63 | (u64)(cf ^ of) << 62;
}

/* Replaces ZF, leaving the other five. */
INLINE void flags_put_zf(struct flags *f, bool zf)
{
    flags_load(f, (flags_value(f) & ~RFLAGS_ZF) | (zf ? RFLAGS_ZF : 0));
}

INLINE u64 alu_add(struct flags *f, u64 a, u64 b, unsigned size)
{
    u64 r = a + b;
    flags_result(f, r, (a & b) | ((a | b) & ~r), size);
    return cut(r, size);
}

INLINE u64 alu_adc(struct flags *f, u64 a, u64 b, unsigned size)
{
    u64 r = a + b + flag_cf(f);
    flags_result(f, r, (a & b) | ((a | b) & ~r), size);
    return cut(r, size);
}

INLINE u64 alu_sub(struct flags *f, u64 a, u64 b, unsigned size)
{
    u64 r = a - b;
    flags_result(f, r, (~a & b) | ((~a | b) & r), size);
    return cut(r, size);
}

INLINE u64 alu_sbb(struct flags *f, u64 a, u64 b, unsigned size)
{
    u64 r = a - b - flag_cf(f);
    flags_result(f, r, (~a & b) | ((~a | b) & r), size);
    return cut(r, size);
}

INLINE u64 alu_and(struct flags *f, u64 a, u64 b, unsigned size)
{
    flags_logic(f, a & b, size);
    return cut(a & b, size);
}

INLINE u64 alu_or(struct flags *f, u64 a, u64 b, unsigned size)
{
    flags_logic(f, a | b, size);
    return cut(a | b, size);
}

INLINE u64 alu_xor(struct flags *f, u64 a, u64 b, unsigned size)
{
    flags_logic(f, a ^ b, size);
    return cut(a ^ b, size);
}

INLINE u64 alu_inc(struct flags *f, u64 a, unsigned size)
{
    bool cf = flag_cf(f);
    u64 r = alu_add(f, a, 1, size);
    flags_put_cf(f, cf);
    return r;
}

INLINE u64 alu_dec(struct flags *f, u64 a, unsigned size)
{
    bool cf = flag_cf(f);
    u64 r = alu_sub(f, a, 1, size);
    flags_put_cf(f, cf);
    return r;
}

INLINE u64 alu_neg(struct flags *f, u64 a, unsigned size)
{
    return alu_sub(f, 0, a, size);
}

/* Shifts: COUNT is masked to 5 bits (6 for 64-bit operands) here; 0 leaves the flags alone. OF is as for a count of 1 on the original operand, whatever the
 * count; AF becomes 0. */
INLINE unsigned shift_count(u64 count, unsigned size)
{
    return (unsigned)(count & (size == 8 ? 63 : 31));
}

INLINE u64 alu_shl(struct flags *f, u64 a, u64 count, unsigned size)
{
    unsigned n = shift_count(count, size), bits = 8 * size;
    if (!n)
        return cut(a, size);
    u64 v = cut(a, size);
    bool cf = n <= bits && (v >> (bits - n) & 1);
    u64 r = n >= bits ? 0 : cut(v << n, size);
    flags_logic(f, r, size);
    flags_put_cf_of(f, cf, top_bit(v, size) ^ (v >> (bits - 2) & 1));
    return r;
}

INLINE u64 alu_shr(struct flags *f, u64 a, u64 count, unsigned size)
{
    unsigned n = shift_count(count, size), bits = 8 * size;
    if (!n)
        return cut(a, size);
    u64 v = cut(a, size);
    bool cf = n <= bits && (v >> (n - 1) & 1);
    u64 r = n >= bits ? 0 : v >> n;
    flags_logic(f, r, size);
    flags_put_cf_of(f, cf, top_bit(v, size));
    return r;
}

INLINE u64 alu_sar(struct flags *f, u64 a, u64 count, unsigned size)
{
    unsigned n = shift_count(count, size);
    if (!n)
        return cut(a, size);
    i64 v = (i64)extend(a, size);
    bool cf = v >> (n - 1) & 1;
    u64 r = cut((u64)(v >> n), size);
    flags_logic(f, r, size);
    flags_put_cf_of(f, cf, false);
    return r;
}

INLINE u64 alu_rol(struct flags *f, u64 a, u64 count, unsigned size)
{
    unsigned n = shift_count(count, size), bits = 8 * size, k = n & (bits - 1);
    u64 v = cut(a, size);
    if (!n)
        return v;
    u64 r = k ? cut(v << k | v >> (bits - k), size) : v;
    flags_put_cf_of(f, r & 1, top_bit(v, size) ^ (v >> (bits - 2) & 1));
    return r;
}

INLINE u64 alu_ror(struct flags *f, u64 a, u64 count, unsigned size)
{
    unsigned n = shift_count(count, size), bits = 8 * size, k = n & (bits - 1);
    u64 v = cut(a, size);
    if (!n)
        return v;
    u64 r = k ? cut(v >> k | v << (bits - k), size) : v;
    flags_put_cf_of(f, top_bit(r, size), (v & 1) ^ top_bit(v, size));
    return r;
}

/* By an immediate count, on a register: OF changes only when the count is 1. */
INLINE u64 alu_rol_imm(struct flags *f, u64 a, u64 count, unsigned size)
{
    bool of = flag_of(f);
    u64 r = alu_rol(f, a, count, size);
    if (shift_count(count, size) > 1)
        flags_put_cf_of(f, flag_cf(f), of);
    return r;
}

INLINE u64 alu_ror_imm(struct flags *f, u64 a, u64 count, unsigned size)
{
    bool of = flag_of(f);
    u64 r = alu_ror(f, a, count, size);
    if (shift_count(count, size) > 1)
        flags_put_cf_of(f, flag_cf(f), of);
    return r;
}

/* Through CF: a rotation of BITS + 1 bits. A whole turn changes nothing. */
INLINE u64 alu_rcl(struct flags *f, u64 a, u64 count, unsigned size)
{
    unsigned bits = 8 * size, k = shift_count(count, size) % (bits + 1);
    u64 v = cut(a, size);
    if (!k)
        return v;
    bool of = top_bit(v, size) ^ (v >> (bits - 2) & 1);
    u128 x = (u128)flag_cf(f) << bits | v, mask = ((u128)1 << (bits + 1)) - 1;
    u128 r = (x << k | x >> (bits + 1 - k)) & mask;
    flags_put_cf_of(f, (bool)(r >> bits & 1), of);
    return cut((u64)r, size);
}

INLINE u64 alu_rcr(struct flags *f, u64 a, u64 count, unsigned size)
{
    unsigned bits = 8 * size, k = shift_count(count, size) % (bits + 1);
    u64 v = cut(a, size);
    if (!k)
        return v;
    bool of = flag_cf(f) ^ top_bit(v, size);
    u128 x = (u128)flag_cf(f) << bits | v, mask = ((u128)1 << (bits + 1)) - 1;
    u128 r = (x >> k | x << (bits + 1 - k)) & mask;
    flags_put_cf_of(f, (bool)(r >> bits & 1), of);
    return cut((u64)r, size);
}

/* Double shifts. A 16-bit operand with a count over 16 continues into A again: the operand is A:B:A. */
INLINE u64 alu_shld(struct flags *f, u64 a, u64 b, u64 count, unsigned size)
{
    unsigned n = shift_count(count, size), bits = 8 * size;
    u64 v = cut(a, size);
    if (!n)
        return v;
    u128 x = (u128)v << bits | cut(b, size);
    if (size == 2)
        x = (u128)v << 32 | (u64)cut(b, 2) << 16 | v;
    unsigned width = size == 2 ? 48 : 2 * bits;
    u64 r = cut((u64)(x >> (width - bits - n)), size);
    bool cf = (bool)(x >> (width - n) & 1);
    flags_logic(f, r, size);
    flags_put_cf_of(f, cf, top_bit(v, size) ^ (v >> (bits - 2) & 1));
    return r;
}

INLINE u64 alu_shrd(struct flags *f, u64 a, u64 b, u64 count, unsigned size)
{
    unsigned n = shift_count(count, size), bits = 8 * size;
    u64 v = cut(a, size);
    if (!n)
        return v;
    u128 x = (u128)cut(b, size) << bits | v;
    if (size == 2)
        x |= (u128)v << 32;
    u64 r = cut((u64)(x >> n), size);
    bool cf = (bool)(x >> (n - 1) & 1);
    flags_logic(f, r, size);
    flags_put_cf_of(f, cf, (b & 1) ^ top_bit(v, size));
    return r;
}

/* MUL, IMUL: SF and PF follow the low half, ZF = AF = 0 on silicon. */
INLINE void flags_mul(struct flags *f, u64 low, bool overflow, unsigned size)
{
    u64 r = extend(low, size);
    f->res = r ? r : 0x100; /* not zero, even parity, positive */
    f->cv = (u64)overflow << 63;
    f->fix = 0;
}

INLINE u64 alu_imul(u64 a, u64 b, unsigned size, bool *overflow)
{
    i128 p = (i128)(i64)extend(a, size) * (i64)extend(b, size);
    u64 r = (u64)p;
    *overflow = p != (i64)extend(r, size);
    return cut(r, size);
}

/* DIV, IDIV: all six stay. */
INLINE void flags_div(struct flags *f)
{
    (void)f;
}

/* The sixteen conditions of Jcc, SETcc, CMOVcc. */
INLINE bool condition(const struct flags *f, unsigned cc)
{
    bool r;
    switch (cc >> 1) {
    case 0: r = flag_of(f); break;
    case 1: r = flag_cf(f); break;
    case 2: r = flag_zf(f); break;
    case 3: r = flag_cf(f) || flag_zf(f); break;
    case 4: r = flag_sf(f); break;
    case 5: r = flag_pf(f); break;
    case 6: r = flag_sf(f) != flag_of(f); break;
    default: r = flag_zf(f) || flag_sf(f) != flag_of(f); break;
    }
    return r ^ (cc & 1);
}

#endif
