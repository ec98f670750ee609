/* Moves of selected elements: MASKMOVQ, MASKMOVDQU, VMASKMOVPS, VPMASKMOVD and their like, and the gathers.
 * What is not selected is not accessed and cannot fault. SDM vol. 2. */
#include "engine/interp/simd.h"

/* Byte N of what ADDRESS (before segmentation) begins. */
static bool part_linear(struct cpu *c, const struct insn *i, u64 address, unsigned len, bool write, u64 *lin)
{
    u64 a = i->asize == 8 ? address : i->asize == 4 ? (u32)address : (u16)address;
    return seg_linear(c, i->seg, a, len, write, lin);
}

/* Stores the elements of SIZE bytes in SRC whose bit in SELECTED is set: all of them, or none and a fault. */
static bool store_selected(struct cpu *c, const struct insn *i, u64 address, const void *src, unsigned size,
                           unsigned selected)
{
    u64 lin[32];
    for (unsigned k = 0; selected >> k; k++)
        if (selected >> k & 1 && !(part_linear(c, i, address + k * size, size, true, &lin[k]) &&
                                   lin_probe(c, lin[k], size, ACC_WRITE)))
            return false;
    for (unsigned k = 0; selected >> k; k++)
        if (selected >> k & 1 && !mem_write_element(c, i, lin[k], (const u8 *)src + k * size, size))
            return false;
    return true;
}

static bool load_selected(struct cpu *c, const struct insn *i, void *dst, unsigned size, unsigned selected)
{
    u64 lin;
    for (unsigned k = 0; selected >> k; k++)
        if (selected >> k & 1 && !(part_linear(c, i, ea(c, i) + k * size, size, false, &lin) &&
                                   mem_read_element(c, i, lin, (u8 *)dst + k * size, size)))
            return false;
    return true;
}

/* A bit for each element of SIZE bytes whose sign bit is set. */
static unsigned signs(const u8 *v, unsigned size, unsigned count)
{
    unsigned m = 0;
    for (unsigned k = 0; k < count; k++)
        m |= (unsigned)(v[(k + 1) * size - 1] >> 7) << k;
    return m;
}

/* DS:RDI may fault for all N bytes, whatever the mask says, and does. */
static bool store_bytes(struct cpu *c, const struct insn *i, const union xmm *src, const union xmm *mask,
                        unsigned n)
{
    u64 lin;
    return part_linear(c, i, c->gpr[RDI].q, n, true, &lin) && lin_probe(c, lin, n, ACC_WRITE) &&
           store_selected(c, i, c->gpr[RDI].q, src, 1, signs(mask->b, 1, n));
}
SIMD_HANDLER(maskmovdqu)
{
    CHECK(sse);
    TRY(c, i, store_bytes(c, i, XMM(c, i->rd), XMM(c, i->rs), 16));
    NEXT(c, i);
}
SIMD_HANDLER(vmaskmovdqu)
{
    CHECK(avx);
    TRY(c, i, store_bytes(c, i, XMM(c, i->rd), XMM(c, i->rs), 16));
    NEXT(c, i);
}
SIMD_HANDLER(maskmovq)
{
    CHECK(mmx);
    mmx_enter(c); /* even when the store faults */
    TRY(c, i, store_bytes(c, i, MM(c, i->rd), MM(c, i->rs), 8));
    NEXT(c, i);
}
SIMD_ROW(MASKMOVDQU, {maskmovdqu})
SIMD_ROW(VMASKMOVDQU, {vmaskmovdqu})
SIMD_ROW(MASKMOVQ, {NULL}, {maskmovq})

#define MASKED(name, SIZE)                                                                                   \
    SIMD_HANDLER(name##_rm)                                                                                  \
    {                                                                                                        \
        union xmm r[2] = {{{0}}, {{0}}};                                                                     \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        TRY(c, i, load_selected(c, i, r, SIZE, signs(c->fpu.ymm[i->rv], SIZE, (wide ? 32 : 16) / (SIZE))));  \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##_mr)                                                                                  \
    {                                                                                                        \
        unsigned count = (vex_wide(i) ? 32 : 16) / (SIZE);                                                   \
        CHECK(avx);                                                                                          \
        TRY(c, i,                                                                                            \
            store_selected(c, i, ea(c, i), c->fpu.ymm[i->rs], SIZE, signs(c->fpu.ymm[i->rv], SIZE, count))); \
        NEXT(c, i);                                                                                          \
    }
MASKED(mask4, 4)
MASKED(mask8, 8)
SIMD_ROW(VMASKMOVPS, {NULL, mask4_rm, mask4_mr})
SIMD_ROW(VMASKMOVPD, {NULL, mask8_rm, mask8_mr})
SIMD_ROW(VPMASKMOVD, {NULL, mask4_rm, mask4_mr})
SIMD_ROW(VPMASKMOVQ, {NULL, mask8_rm, mask8_mr})

/* Gathers: INDEX and SIZE bytes per index and element. A fault leaves what was gathered so far, with its mask
 * elements cleared and the others all ones or zeros, so that the instruction goes on from there. */
static bool gather(struct cpu *c, const struct insn *i, unsigned index, unsigned size)
{
    u8 *dst = c->fpu.ymm[i->rd], *mask = c->fpu.ymm[i->rv];
    const u8 *indices = c->fpu.ymm[i->index];
    if (i->rd == i->rv || i->rd == i->index || i->rv == i->index)
        return cpu_raise_ud(c);
    unsigned bytes = vex_wide(i) ? 32 : 16, count = bytes / (index > size ? index : size);
    for (unsigned k = 0; k < bytes / size; k++)
        memset(mask + k * size, mask[(k + 1) * size - 1] & 0x80 ? 0xff : 0, size);
    memset(mask + bytes, 0, 32 - bytes);
    for (unsigned k = 0; k < count; k++) {
        u64 v = 0, n = 0, lin;
        if (!(mask[(k + 1) * size - 1] & 0x80))
            continue;
        memcpy(&n, indices + k * index, index);
        if (index == 4)
            n = (u64)(i64)(i32)n;
        u64 address = c->gpr[i->base].q + (n << i->scale) + (u64)(i64)i->disp;
        if (!part_linear(c, i, address, size, false, &lin) || !mem_read_element(c, i, lin, &v, size))
            return false;
        memcpy(dst + k * size, &v, size);
        memset(mask + k * size, 0, size);
        memset(dst + bytes, 0, 32 - bytes);
    }
    memset(mask, 0, 32);
    memset(dst + count * size, 0, 32 - count * size);
    return true;
}
#define GATHER(OP, index, size)                                                                              \
    SIMD_HANDLER(h_##OP)                                                                                     \
    {                                                                                                        \
        CHECK(avx);                                                                                          \
        TRY(c, i, gather(c, i, index, size));                                                                \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_ROW(OP, {NULL, h_##OP})
GATHER(VGATHERDPS, 4, 4)
GATHER(VGATHERDPD, 4, 8)
GATHER(VGATHERQPS, 8, 4)
GATHER(VGATHERQPD, 8, 8)
GATHER(VPGATHERDD, 4, 4)
GATHER(VPGATHERDQ, 4, 8)
GATHER(VPGATHERQD, 8, 4)
GATHER(VPGATHERQQ, 8, 8)
