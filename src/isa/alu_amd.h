/* isa/alu.h where AMD's silicon (seen on Zen 3) leaves other undefined flags than Intel's. What is not here is the same on both.
 * AF is 1 after a shift. OF is what the last single step of a shift or rotation to the left makes it, CF ^ MSB; to the right, the result's two top bits. */
#ifndef ISA_ALU_AMD_H
#define ISA_ALU_AMD_H

#include "isa/alu.h"

INLINE bool amd_top_two(u64 r, unsigned size)
{
    return top_bit(r, size) ^ (r >> (8 * size - 2) & 1);
}

INLINE void amd_flags_shift(struct flags *f, u64 r, bool cf, bool of, unsigned size)
{
    flags_logic(f, r, size);
    f->cv = 8;
    flags_put_cf_of(f, cf, of);
}

INLINE u64 amd_shl(struct flags *f, u64 a, u64 count, unsigned size)
{
    u64 r = alu_shl(f, a, count, size);
    if (shift_count(count, size))
        amd_flags_shift(f, r, flag_cf(f), flag_cf(f) ^ top_bit(r, size), size);
    return r;
}

INLINE u64 amd_shr(struct flags *f, u64 a, u64 count, unsigned size)
{
    u64 r = alu_shr(f, a, count, size);
    if (shift_count(count, size))
        amd_flags_shift(f, r, flag_cf(f), amd_top_two(r, size), size);
    return r;
}

INLINE u64 amd_sar(struct flags *f, u64 a, u64 count, unsigned size)
{
    u64 r = alu_sar(f, a, count, size);
    if (shift_count(count, size))
        amd_flags_shift(f, r, flag_cf(f), false, size);
    return r;
}

INLINE u64 amd_rotated_left(struct flags *f, u64 r, u64 count, unsigned size)
{
    if (shift_count(count, size))
        flags_put_cf_of(f, flag_cf(f), flag_cf(f) ^ top_bit(r, size));
    return r;
}

INLINE u64 amd_rotated_right(struct flags *f, u64 r, u64 count, unsigned size)
{
    if (shift_count(count, size))
        flags_put_cf_of(f, flag_cf(f), amd_top_two(r, size));
    return r;
}

INLINE u64 amd_rol(struct flags *f, u64 a, u64 count, unsigned size)
{
    return amd_rotated_left(f, alu_rol(f, a, count, size), count, size);
}

INLINE u64 amd_ror(struct flags *f, u64 a, u64 count, unsigned size)
{
    return amd_rotated_right(f, alu_ror(f, a, count, size), count, size);
}

/* A whole turn changes OF. */
INLINE u64 amd_rcl(struct flags *f, u64 a, u64 count, unsigned size)
{
    return amd_rotated_left(f, alu_rcl(f, a, count, size), count, size);
}

INLINE u64 amd_rcr(struct flags *f, u64 a, u64 count, unsigned size)
{
    return amd_rotated_right(f, alu_rcr(f, a, count, size), count, size);
}

/* A 16-bit operand with a count over 16: B is shifted in again (Intel: A), and CF is 0. */
INLINE u64 amd_shld(struct flags *f, u64 a, u64 b, u64 count, unsigned size)
{
    unsigned n = shift_count(count, size), bits = 8 * size;
    u64 r = alu_shld(f, a, b, count, size), rest = n < bits ? cut(a << n, size) : 0;
    if (!n)
        return r;
    bool cf = flag_cf(f);
    if (n > bits) {
        cf = false;
        r = cut(b << (n - bits) | cut(b, size) >> (2 * bits - n), size);
    }
    amd_flags_shift(f, r, cf, cf ^ top_bit(rest, size), size);
    return r;
}

INLINE u64 amd_shrd(struct flags *f, u64 a, u64 b, u64 count, unsigned size)
{
    unsigned n = shift_count(count, size), bits = 8 * size;
    u64 r = alu_shrd(f, a, b, count, size);
    if (!n)
        return r;
    bool cf = flag_cf(f);
    if (n > bits) {
        cf = false;
        r = cut(cut(b, size) >> (n - bits) | b << (2 * bits - n), size);
    }
    amd_flags_shift(f, r, cf, amd_top_two(r, size), size);
    return r;
}

/* MUL, IMUL: SF ZF AF PF stay. */
INLINE void amd_flags_mul(struct flags *f, u64 low, bool overflow, unsigned size)
{
    (void)low;
    (void)size;
    flags_put_cf_of(f, overflow, overflow);
}

/* DIV, IDIV: CF and OF stay, AF is 1, SF ZF PF are 0. */
INLINE void amd_flags_div(struct flags *f)
{
    flags_load(f, (flags_value(f) & (RFLAGS_CF | RFLAGS_OF)) | RFLAGS_AF);
}

#endif
