/* Bit fields and checked arithmetic. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <string.h>

#include "base/types.h"

#define BIT(n) (1ull << (n))

/* A mask of N ones, 0 <= N <= 64. */
static inline u64 ones(unsigned n)
{
    return n >= 64 ? ~0ull : BIT(n) - 1;
}

/* Bits HI..LO of V, right-aligned. */
static inline u64 bits_get(u64 v, unsigned hi, unsigned lo)
{
    return (v >> lo) & ones(hi - lo + 1);
}

/* V with bits HI..LO replaced by F. */
static inline u64 bits_set(u64 v, unsigned hi, unsigned lo, u64 f)
{
    u64 m = ones(hi - lo + 1) << lo;
    return (v & ~m) | ((f << lo) & m);
}

/* The low BITS bits of V, sign-extended; 1 <= BITS <= 64. */
static inline i64 sign_extend(u64 v, unsigned bits)
{
    return (i64)(v << (64 - bits)) >> (64 - bits);
}

/* True when [off, off + len) lies inside [0, size). Cannot overflow. */
static inline bool range_ok(u64 off, u64 len, u64 size)
{
    return len <= size && off <= size - len;
}

/* Are the N bytes at P zeros? */
static inline bool bytes_are_zero(const void *p, size_t n)
{
    const u8 *b = p;
    return !n || (!*b && !memcmp(b, b + 1, n - 1));
}

/* What makes the sum of the N bytes at P, and of this one, 0: the checksum of firmware's tables. */
static inline u8 bytes_checksum(const u8 *p, size_t n)
{
    u8 sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = (u8)(sum + p[i]);
    return (u8)-sum;
}

/* True when [a, a + alen) and [b, b + blen) share a byte; neither may wrap. */
static inline bool ranges_overlap(u64 a, u64 alen, u64 b, u64 blen)
{
    return alen && blen && (a < b ? b - a < alen : a - b < blen);
}

static inline u64 align_down(u64 v, u64 a)
{
    return v & ~(a - 1);
}

/* V rounded up to a multiple of A, a power of two; the caller knows that it does not wrap. */
static inline u64 align_up(u64 v, u64 a)
{
    return (v + a - 1) & ~(a - 1);
}

#endif
