/* Byte-wise little-endian accessors: the only way guest bytes become numbers and back. */
#ifndef BASE_LE_H
#define BASE_LE_H

#include "base/types.h"

static inline u16 ld16(const void *p)
{
    const u8 *b = p;
    return (u16)(b[0] | b[1] << 8);
}

static inline u32 ld32(const void *p)
{
    const u8 *b = p;
    return (u32)b[0] | (u32)b[1] << 8 | (u32)b[2] << 16 | (u32)b[3] << 24;
}

static inline u64 ld64(const void *p)
{
    return (u64)ld32(p) | (u64)ld32((const u8 *)p + 4) << 32;
}

static inline void st16(void *p, u16 v)
{
    u8 *b = p;
    b[0] = (u8)v;
    b[1] = (u8)(v >> 8);
}

static inline void st32(void *p, u32 v)
{
    u8 *b = p;
    b[0] = (u8)v;
    b[1] = (u8)(v >> 8);
    b[2] = (u8)(v >> 16);
    b[3] = (u8)(v >> 24);
}

static inline void st64(void *p, u64 v)
{
    st32(p, (u32)v);
    st32((u8 *)p + 4, (u32)(v >> 32));
}

/* Load or store SIZE bytes, 1 <= SIZE <= 8. */
static inline u64 ld_n(const void *p, unsigned size)
{
    const u8 *b = p;
    u64 v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (u64)b[i] << (8 * i);
    return v;
}

static inline void st_n(void *p, u64 v, unsigned size)
{
    u8 *b = p;
    for (unsigned i = 0; i < size; i++)
        b[i] = (u8)(v >> (8 * i));
}

#endif
