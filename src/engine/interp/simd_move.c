/* Moves: MOVAPS to MOVQ, half and scalar moves, non-temporal ones (which here are ordinary), MASKMOV, MOVMSK.
 * SDM vol. 2, chapter 4; vol. 1, 10.4.1 and 11.4.1. */
#include "engine/interp/simd.h"

KERNEL(copy)
{
    *r = *b;
}

/* Whole registers. LOAD, STORE: how memory is accessed in general; MASK: the alignment, less one, that the
 * plain case must have. */
#define SSE_LOAD(name, load, MASK)                                                                           \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm m;                                                                                         \
        CHECK(sse);                                                                                          \
        TRY(c, i, load(c, i, &m, 16));                                                                       \
        xmm_put(c, i->rd, &m);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##p)                                                                                    \
    {                                                                                                        \
        u64 lin = ea_plain(c, i);                                                                            \
        const u8 *p = hit_read(c, lin, 16);                                                                  \
        if (UNLIKELY(!p || lin & (MASK) || !sse_ok(c)))                                                      \
            return name(c, i);                                                                               \
        memcpy(XMM(c, i->rd), p, 16);                                                                        \
        NEXT(c, i);                                                                                          \
    }
#define SSE_STORE(name, store, MASK)                                                                         \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        CHECK(sse);                                                                                          \
        TRY(c, i, store(c, i, XMM(c, i->rs), 16));                                                           \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##p)                                                                                    \
    {                                                                                                        \
        u64 lin = ea_plain(c, i);                                                                            \
        u8 *p = hit_write(c, lin, 16);                                                                       \
        if (UNLIKELY(!p || lin & (MASK) || !sse_ok(c)))                                                      \
            return name(c, i);                                                                               \
        memcpy(p, XMM(c, i->rs), 16);                                                                        \
        NEXT(c, i);                                                                                          \
    }
#define VEX_LOAD(name, load, MASK)                                                                           \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm m[2];                                                                                      \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        TRY(c, i, wide ? load(c, i, m, 32) : load(c, i, m, 16));                                             \
        vex_put(c, i, m, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##p)                                                                                    \
    {                                                                                                        \
        u64 lin = ea_plain(c, i);                                                                            \
        unsigned len = vex_wide(i) ? 32 : 16;                                                                \
        const u8 *p = hit_read(c, lin, len);                                                                 \
        if (UNLIKELY(!p || lin & (len - 1) & (MASK) || !avx_ok(c)))                                          \
            return name(c, i);                                                                               \
        memcpy(XMM(c, i->rd), p, 16);                                                                        \
        if (len == 32)                                                                                       \
            memcpy(YMMH(c, i->rd), p + 16, 16);                                                              \
        else                                                                                                 \
            avx_zero_upper(c, i->rd);                                                                        \
        NEXT(c, i);                                                                                          \
    }
#define VEX_STORE(name, store, MASK)                                                                         \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        const union xmm *s = XMM(c, i->rs);                                                                  \
        CHECK(avx);                                                                                          \
        TRY(c, i, vex_wide(i) ? store(c, i, s, 32) : store(c, i, s, 16));                                    \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##p)                                                                                    \
    {                                                                                                        \
        u64 lin = ea_plain(c, i);                                                                            \
        unsigned len = vex_wide(i) ? 32 : 16;                                                                \
        u8 *p = hit_write(c, lin, len);                                                                      \
        if (UNLIKELY(!p || lin & (len - 1) & (MASK) || !avx_ok(c)))                                          \
            return name(c, i);                                                                               \
        memcpy(p, XMM(c, i->rs), 16);                                                                        \
        if (len == 32)                                                                                       \
            memcpy(p + 16, YMMH(c, i->rs), 16);                                                              \
        NEXT(c, i);                                                                                          \
    }

SSE_RR(mova_rr, copy)
SSE_LOAD(mova_rm, simd_load_aligned, 15)
SSE_STORE(mova_mr, simd_store_aligned, 15)
SSE_LOAD(movu_rm, simd_load, 0)
SSE_STORE(movu_mr, simd_store, 0)
VEX_RR(vmov_rr, copy)
VEX_LOAD(vmova_rm, simd_load_aligned, 31)
VEX_STORE(vmova_mr, simd_store_aligned, 31)
VEX_LOAD(vmovu_rm, simd_load, 0)
VEX_STORE(vmovu_mr, simd_store, 0)

#define MOV_ROWS(OP, a)                                                                                      \
    SIMD_ROW(OP, {mova_rr, LOADS(mov##a##_rm), STORES(mov##a##_mr)})                                         \
    SIMD_ROW(V##OP, {vmov_rr, LOADS(vmov##a##_rm), STORES(vmov##a##_mr)})
MOV_ROWS(MOVAPS, a)
MOV_ROWS(MOVAPD, a)
MOV_ROWS(MOVDQA, a)
MOV_ROWS(MOVUPS, u)
MOV_ROWS(MOVUPD, u)
MOV_ROWS(MOVDQU, u)
MOV_ROWS(LDDQU, u)
MOV_ROWS(MOVNTPS, a)
MOV_ROWS(MOVNTPD, a)
MOV_ROWS(MOVNTDQ, a)
MOV_ROWS(MOVNTDQA, a)

/* Scalars and halves: memory to the low N bytes with the rest of the 16 cleared; N bytes at byte FROM of the
 * register to memory. */
#define LOAD_CLEAR(name, kind, after, N)                                                                     \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        u64 v = 0;                                                                                           \
        CHECK(kind);                                                                                         \
        TRY(c, i, simd_load(c, i, &v, N));                                                                   \
        xmm_set(XMM(c, i->rd), v, 0);                                                                        \
        after;                                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##p)                                                                                    \
    {                                                                                                        \
        u64 v = 0;                                                                                           \
        const u8 *p = hit_read(c, ea_plain(c, i), N);                                                        \
        if (UNLIKELY(!p || !kind##_ok(c)))                                                                   \
            return name(c, i);                                                                               \
        memcpy(&v, p, N);                                                                                    \
        xmm_set(XMM(c, i->rd), v, 0);                                                                        \
        after;                                                                                               \
        NEXT(c, i);                                                                                          \
    }
#define STORE_PART(name, kind, FROM, N)                                                                      \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        CHECK(kind);                                                                                         \
        TRY(c, i, simd_store(c, i, &XMM(c, i->rs)->b[FROM], N));                                             \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##p)                                                                                    \
    {                                                                                                        \
        u8 *p = hit_write(c, ea_plain(c, i), N);                                                             \
        if (UNLIKELY(!p || !kind##_ok(c)))                                                                   \
            return name(c, i);                                                                               \
        memcpy(p, &XMM(c, i->rs)->b[FROM], N);                                                               \
        NEXT(c, i);                                                                                          \
    }
#define NOTHING     (void)0
#define CLEAR_UPPER avx_zero_upper(c, i->rd)

LOAD_CLEAR(load4, sse, NOTHING, 4)
LOAD_CLEAR(load8, sse, NOTHING, 8)
LOAD_CLEAR(vload4, avx, CLEAR_UPPER, 4)
LOAD_CLEAR(vload8, avx, CLEAR_UPPER, 8)
STORE_PART(store4, sse, 0, 4)
STORE_PART(store8, sse, 0, 8)
STORE_PART(store_high, sse, 8, 8)
STORE_PART(vstore4, avx, 0, 4)
STORE_PART(vstore8, avx, 0, 8)
STORE_PART(vstore_high, avx, 8, 8)

KERNEL(merge4)
{
    xmm_set(r, (a->q[0] & ~0xffffffffull) | b->d[0], a->q[1]);
}
KERNEL(merge8) /* low from b, high from a: MOVSD, MOVLPS */
{
    xmm_set(r, b->q[0], a->q[1]);
}
KERNEL(high_from_low) /* MOVLHPS, MOVHPS */
{
    xmm_set(r, a->q[0], b->q[0]);
}
KERNEL(low_from_high) /* MOVHLPS */
{
    xmm_set(r, b->q[1], a->q[1]);
}
KERNEL(zext8) /* MOVQ xmm, xmm */
{
    xmm_set(r, b->q[0], 0);
}

SSE_RR(merge4_rr, merge4)
SSE_RR(merge8_rr, merge8)
VEX_RR_PART(vmerge4_rr, merge4)
VEX_RR_PART(vmerge8_rr, merge8)
SIMD_ROW(MOVSS, {merge4_rr, LOADS(load4), STORES(store4)})
SIMD_ROW(VMOVSS, {vmerge4_rr, LOADS(vload4), STORES(vstore4)})
SIMD_ROW(MOVSD, {merge8_rr, LOADS(load8), STORES(store8)})
SIMD_ROW(VMOVSD, {vmerge8_rr, LOADS(vload8), STORES(vstore8)})

SSE_RR(movhlps_rr, low_from_high)
SSE_RR(movlhps_rr, high_from_low)
SSE_RM(movhps_rm, high_from_low, 8)
SSE_RM(movlps_rm, merge8, 8)
VEX_RR_PART(vmovhlps_rr, low_from_high)
VEX_RR_PART(vmovlhps_rr, high_from_low)
VEX_RM_PART(vmovhps_rm, high_from_low, 8)
VEX_RM_PART(vmovlps_rm, merge8, 8)
SIMD_ROW(MOVHLPS, {movhlps_rr})
SIMD_ROW(VMOVHLPS, {vmovhlps_rr})
SIMD_ROW(MOVLHPS, {movlhps_rr})
SIMD_ROW(VMOVLHPS, {vmovlhps_rr})
SIMD_ROW(MOVHPS, {NULL, LOADS(movhps_rm), STORES(store_high)})
SIMD_ROW(MOVHPD, {NULL, LOADS(movhps_rm), STORES(store_high)})
SIMD_ROW(MOVLPS, {NULL, LOADS(movlps_rm), STORES(store8)})
SIMD_ROW(MOVLPD, {NULL, LOADS(movlps_rm), STORES(store8)})
SIMD_ROW(VMOVHPS, {NULL, LOAD(vmovhps_rm), STORES(vstore_high)})
SIMD_ROW(VMOVHPD, {NULL, LOAD(vmovhps_rm), STORES(vstore_high)})
SIMD_ROW(VMOVLPS, {NULL, LOAD(vmovlps_rm), STORES(vstore8)})
SIMD_ROW(VMOVLPD, {NULL, LOAD(vmovlps_rm), STORES(vstore8)})

/* MOVDDUP, MOVSHDUP, MOVSLDUP */
KERNEL(movddup)
{
    xmm_set(r, b->q[0], b->q[0]);
}
KERNEL(movshdup)
{
    for (unsigned k = 0; k < 4; k++)
        r->d[k] = b->d[k | 1];
}
KERNEL(movsldup)
{
    for (unsigned k = 0; k < 4; k++)
        r->d[k] = b->d[k & 2];
}
SIMD_OP(MOVSHDUP, movshdup)
SIMD_OP(MOVSLDUP, movsldup)
SSE_RR(movddup_rr, movddup)
SSE_RM(movddup_rm, movddup, 8)
SIMD_ROW(MOVDDUP, {movddup_rr, LOADS(movddup_rm)})
VEX_RR(vmovddup_rr, movddup)
VEX_RM(vmovddup_rm32, movddup)
VEX_RM_PART(vmovddup_rm8, movddup, 8)
static insn_fn bind_vmovddup(const struct insn *i, bool plain)
{
    if (i->form == FORM_RR)
        return vmovddup_rr;
    return !vex_wide(i) ? vmovddup_rm8 : plain ? vmovddup_rm32p : vmovddup_rm32;
}
const struct simd_row simd_row_VMOVDDUP = {.bind = bind_vmovddup};

/* MOVD and MOVQ between register files. GPRs by insn.rv: 1 the source, 2 the destination. */
enum { GPR_NONE, GPR_SOURCE, GPR_DESTINATION };

#define GPR_TO_XMM(name, check, after, part)                                                                 \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        CHECK(check);                                                                                        \
        xmm_set(XMM(c, i->rd), c->gpr[i->rs].part, 0);                                                       \
        after;                                                                                               \
        NEXT(c, i);                                                                                          \
    }
#define XMM_TO_GPR(name, check, part)                                                                        \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        CHECK(check);                                                                                        \
        simd_put_gpr(c, i, XMM(c, i->rs)->part[0]);                                                          \
        NEXT(c, i);                                                                                          \
    }
GPR_TO_XMM(movd_xmm_gpr, sse, NOTHING, d)
GPR_TO_XMM(movq_xmm_gpr, sse, NOTHING, q)
GPR_TO_XMM(vmovd_xmm_gpr, avx, CLEAR_UPPER, d)
GPR_TO_XMM(vmovq_xmm_gpr, avx, CLEAR_UPPER, q)
XMM_TO_GPR(movd_gpr_xmm, sse, d)
XMM_TO_GPR(movq_gpr_xmm, sse, q)
XMM_TO_GPR(vmovd_gpr_xmm, avx, d)
XMM_TO_GPR(vmovq_gpr_xmm, avx, q)
SSE_RR(movq_rr, zext8)
VEX_RR_PART(vmovq_rr, zext8)

#define GPR_TO_MM(name, part)                                                                                \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        CHECK(mmx);                                                                                          \
        mmx_enter(c);                                                                                        \
        mmx_put(c, i->rd, c->gpr[i->rs].part);                                                               \
        NEXT(c, i);                                                                                          \
    }
#define MM_TO_GPR(name, part)                                                                                \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        CHECK(mmx);                                                                                          \
        mmx_enter(c);                                                                                        \
        simd_put_gpr(c, i, MM(c, i->rs)->part[0]);                                                           \
        NEXT(c, i);                                                                                          \
    }
#define MM_LOAD(name, N)                                                                                     \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        u64 v = 0;                                                                                           \
        CHECK(mmx);                                                                                          \
        TRY(c, i, simd_load(c, i, &v, N));                                                                   \
        mmx_enter(c);                                                                                        \
        mmx_put(c, i->rd, v);                                                                                \
        NEXT(c, i);                                                                                          \
    }
/* Where the store comes last, TOP is 0 even when it faults; the tags are not touched then. */
#define MM_STORE(name, N)                                                                                    \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        CHECK(mmx);                                                                                          \
        if (interp_store_last(c))                                                                            \
            c->fpu.fsw &= (u16)~FSW_TOP;                                                                     \
        TRY(c, i, simd_store(c, i, MM(c, i->rs), N));                                                        \
        mmx_enter(c);                                                                                        \
        NEXT(c, i);                                                                                          \
    }
GPR_TO_MM(movd_mm_gpr, d)
GPR_TO_MM(movq_mm_gpr, q)
MM_TO_GPR(movd_gpr_mm, d)
MM_TO_GPR(movq_gpr_mm, q)
MMX_RR(movq_mm_rr, copy)
MM_LOAD(mm_load4, 4)
MM_LOAD(mm_load8, 8)
MM_STORE(mm_store4, 4)
MM_STORE(mm_store8, 8)

/* Memory forms by column, register forms by GPR_NONE .. GPR_DESTINATION. */
struct mov_files {
    insn_fn rm, mr, rr[3], rmp, mrp;
};
static insn_fn bind_files(const struct mov_files *f, const struct insn *i, bool plain)
{
    if (i->form == FORM_RM)
        return plain && f->rmp ? f->rmp : f->rm;
    if (i->form == FORM_MR)
        return plain && f->mrp ? f->mrp : f->mr;
    return i->rv < 3 ? f->rr[i->rv] : NULL;
}
#define MOV_FILES(OP, ...)                                                                                   \
    static const struct mov_files files_##OP[2] = {__VA_ARGS__};                                             \
    static insn_fn bind_##OP(const struct insn *i, bool plain UNUSED)                                        \
    {                                                                                                        \
        return bind_files(&files_##OP[i->size == 8], i, plain);                                              \
    }                                                                                                        \
    const struct simd_row simd_row_##OP = {.bind = bind_##OP};
MOV_FILES(MOVD, {load4, store4, {NULL, movd_xmm_gpr, movd_gpr_xmm}, load4p, store4p},
          {mm_load4, mm_store4, {NULL, movd_mm_gpr, movd_gpr_mm}})
MOV_FILES(MOVQ, {load8, store8, {movq_rr, movq_xmm_gpr, movq_gpr_xmm}, load8p, store8p},
          {mm_load8, mm_store8, {movq_mm_rr, movq_mm_gpr, movq_gpr_mm}})
MOV_FILES(VMOVD, {vload4, vstore4, {NULL, vmovd_xmm_gpr, vmovd_gpr_xmm}, vload4p, vstore4p})
MOV_FILES(VMOVQ, {vload8, vstore8, {vmovq_rr, vmovq_xmm_gpr, vmovq_gpr_xmm}, vload8p, vstore8p})
SIMD_ROW(MOVNTQ, {NULL}, {NULL, NULL, mm_store8})

SIMD_HANDLER(movq2dq)
{
    CHECK(sse);
    CHECK(mmx);
    u64 v = MM(c, i->rs)->q[0];
    mmx_enter(c);
    xmm_set(XMM(c, i->rd), v, 0);
    NEXT(c, i);
}

SIMD_HANDLER(movdq2q)
{
    CHECK(sse);
    CHECK(mmx);
    mmx_enter(c);
    mmx_put(c, i->rd, XMM(c, i->rs)->q[0]);
    NEXT(c, i);
}
SIMD_ROW(MOVQ2DQ, {movq2dq}, {movq2dq})
SIMD_ROW(MOVDQ2Q, {movdq2q}, {movdq2q})

SIMD_HANDLER(emms)
{
    CHECK(mmx);
    c->fpu.fsw &= (u16)~FSW_TOP;
    c->fpu.ftw = 0;
    NEXT(c, i);
}
SIMD_ROW(EMMS, {emms}, {emms})

/* Sign bits of the lanes, as a number. */
INLINE u32 mask_d(const union xmm *s)
{
    u32 m = 0;
    for (unsigned k = 0; k < 4; k++)
        m |= s->d[k] >> 31 << k;
    return m;
}
INLINE u32 mask_q(const union xmm *s)
{
    return (u32)(s->q[0] >> 63 | s->q[1] >> 63 << 1);
}
/* Eight bytes' sign bits: the multiplication gathers them in the top byte. */
INLINE u32 mask_b8(u64 v)
{
    return (u32)((v & 0x8080808080808080ull) * 0x0002040810204081ull >> 56);
}
INLINE u32 mask_b(const union xmm *s)
{
    return mask_b8(s->q[0]) | mask_b8(s->q[1]) << 8;
}
#define MOVMSK(OP, mask, lanes)                                                                              \
    SIMD_HANDLER(h_##OP)                                                                                     \
    {                                                                                                        \
        CHECK(sse);                                                                                          \
        simd_put_gpr(c, i, mask(XMM(c, i->rs)));                                                             \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(h_V##OP)                                                                                    \
    {                                                                                                        \
        CHECK(avx);                                                                                          \
        u32 m = mask(XMM(c, i->rs));                                                                         \
        simd_put_gpr(c, i, vex_wide(i) ? m | mask(YMMH(c, i->rs)) << (lanes) : m);                           \
        NEXT(c, i);                                                                                          \
    }
MOVMSK(MOVMSKPS, mask_d, 4)
MOVMSK(MOVMSKPD, mask_q, 2)
MOVMSK(PMOVMSKB, mask_b, 16)
SIMD_HANDLER(pmovmskb_mm)
{
    CHECK(mmx);
    mmx_enter(c);
    simd_put_gpr(c, i, mask_b8(MM(c, i->rs)->q[0]));
    NEXT(c, i);
}
SIMD_ROW(MOVMSKPS, {h_MOVMSKPS})
SIMD_ROW(MOVMSKPD, {h_MOVMSKPD})
SIMD_ROW(PMOVMSKB, {h_PMOVMSKB}, {pmovmskb_mm})
SIMD_ROW(VMOVMSKPS, {h_VMOVMSKPS})
SIMD_ROW(VMOVMSKPD, {h_VMOVMSKPD})
SIMD_ROW(VPMOVMSKB, {h_VPMOVMSKB})
