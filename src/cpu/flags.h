/* The arithmetic flags, kept lazily: (result, carry vector, corrections), one form for every operand size.
 *
 *   res    the result sign-extended to 64 bits        ZF = res == 0, SF = res < 0, PF = even parity of its
 * low byte cv     the carry-out vector of the addition (or borrow-out of the subtraction), moved up so that
 * the operand's top bit is bit 63, with the carry out of bit 3 also at bit 3: CF = bit 63, OF = bit 63 ^ bit
 * 62, AF = bit 3 fix    0, or what POPF and the like set by hand: bit 0 flips SF, bit 1 flips PF
 *
 * Logic operations set cv to 0. AF is bit 3 of cv in every size (for 64 bits it is there by itself). */
#ifndef CPU_FLAGS_H
#define CPU_FLAGS_H

#include "base/types.h"

#define RFLAGS_CF   0x0001u
#define RFLAGS_ONE  0x0002u
#define RFLAGS_PF   0x0004u
#define RFLAGS_AF   0x0010u
#define RFLAGS_ZF   0x0040u
#define RFLAGS_SF   0x0080u
#define RFLAGS_TF   0x0100u
#define RFLAGS_IF   0x0200u
#define RFLAGS_DF   0x0400u
#define RFLAGS_OF   0x0800u
#define RFLAGS_IOPL 0x3000u
#define RFLAGS_NT   0x4000u
#define RFLAGS_RF   0x10000u
#define RFLAGS_VM   0x20000u
#define RFLAGS_AC   0x40000u
#define RFLAGS_VIF  0x80000u
#define RFLAGS_VIP  0x100000u
#define RFLAGS_ID   0x200000u

#define RFLAGS_ARITH (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

struct flags {
    u64 res;
    u64 cv;
    u64 fix;
};

#define FLAGS_FIX_SF 1u
#define FLAGS_FIX_PF 2u

INLINE bool flag_cf(const struct flags *f)
{
    return (bool)(f->cv >> 63);
}
INLINE bool flag_of(const struct flags *f)
{
    return (bool)((f->cv ^ f->cv << 1) >> 63);
}
INLINE bool flag_zf(const struct flags *f)
{
    return f->res == 0;
}
INLINE bool flag_sf(const struct flags *f)
{
    return (bool)((f->res >> 63) ^ (f->fix & FLAGS_FIX_SF));
}
INLINE bool flag_af(const struct flags *f)
{
    return (bool)(f->cv >> 3 & 1);
}
INLINE bool flag_pf(const struct flags *f)
{
    return !__builtin_parity((unsigned)(f->res & 0xff)) ^ (bool)(f->fix & FLAGS_FIX_PF);
}

/* Sets all six from a value of RFLAGS. */
static inline void flags_load(struct flags *f, u64 rflags)
{
    bool cf = rflags & RFLAGS_CF, of = rflags & RFLAGS_OF, sf = rflags & RFLAGS_SF, pf = rflags & RFLAGS_PF;
    f->res = rflags & RFLAGS_ZF ? 0 : 1; /* 1: odd parity, positive */
    f->cv = (u64)cf << 63 | (u64)(cf ^ of) << 62 | (rflags & RFLAGS_AF ? 8 : 0);
    f->fix = (sf ? FLAGS_FIX_SF : 0) | (pf != !(f->res & 1) ? FLAGS_FIX_PF : 0);
}

/* The six as bits of RFLAGS. */
static inline u32 flags_value(const struct flags *f)
{
    return (flag_cf(f) ? RFLAGS_CF : 0) | (flag_pf(f) ? RFLAGS_PF : 0) | (flag_af(f) ? RFLAGS_AF : 0) |
           (flag_zf(f) ? RFLAGS_ZF : 0) | (flag_sf(f) ? RFLAGS_SF : 0) | (flag_of(f) ? RFLAGS_OF : 0);
}

#endif
