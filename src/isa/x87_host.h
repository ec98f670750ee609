/* Arithmetic of the x87 that rounds, or approximates. Two implementations: x87_host_x86.c lets the host's own
 * x87 compute, x87_host_portable.c is for other hosts.
 *
 * CW is the guest's control word: precision, rounding, and the masks of overflow and underflow count, since
 * unmasked ones give a result with a scaled exponent. The other exceptions are computed as if masked: the
 * caller throws the result away when one of IE, DE, ZE is unmasked. STICKY: exceptions that the guest's
 * status word has flagged already; they may be returned again whether raised or not. Returned are status word
 * bits: exceptions, and C1, C2, C0, C3 where the operation defines them (undefined bits are anything). No
 * operand is empty; any bit pattern is an operand. */
#ifndef ISA_X87_HOST_H
#define ISA_X87_HOST_H

#include "isa/x87_value.h"

typedef u16 x87_unary(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a);
typedef u16 x87_binary(u16 cw, u16 sticky, struct f80 *r, const struct f80 *a, const struct f80 *b);

/* r = a op b */
x87_binary x87_add, x87_sub, x87_mul, x87_div;
/* a is ST(0), b is ST(1) */
x87_binary x87_scale, x87_prem, x87_prem1, x87_patan, x87_yl2x, x87_yl2xp1;
x87_unary x87_sqrt, x87_rndint, x87_2xm1, x87_sin, x87_cos;

/* FPTAN and FSINCOS: *r replaces ST(0), *top is pushed after it. With C2 (argument out of range) nothing is
 * stored. */
u16 x87_ptan(u16 cw, u16 sticky, struct f80 *r, struct f80 *top, const struct f80 *a);
u16 x87_sincos(u16 cw, u16 sticky, struct f80 *r, struct f80 *top, const struct f80 *a);

/* Stores. With OE or UE unmasked and raised nothing is stored. */
u16 x87_to_f32(u16 cw, u16 sticky, u32 *r, const struct f80 *a);
u16 x87_to_f64(u16 cw, u16 sticky, u64 *r, const struct f80 *a);
/* Out of range: IE and INT64_MIN. */
u16 x87_to_i64(u16 cw, u16 sticky, i64 *r, const struct f80 *a);

#endif
