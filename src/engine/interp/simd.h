/* What the vector families share: register views, checks, memory operands, and the macros that make handlers
 * out of kernels.
 *
 * A kernel computes one 16-byte half (or the 8 bytes of an MMX register) from two sources, with no idea of
 * registers or memory. Two lines make an operation: the kernel (for every 16-bit lane, r = x + y), and its
 * handlers and rows (PADDW mm and xmm, VPADDW xmm and ymm):
 *
 *     LANES(paddw, u16, w, x + y)
 *     SIMD_OP_MMX(PADDW, paddw, 8)
 *
 * 256-bit operations are two independent halves; the few that cross halves stand in avx.c. SDM vol. 1,
 * chapters 9 to 14; vol. 2. XINUSE is not tracked here: the state movers look at the registers. */
#ifndef ENGINE_INTERP_SIMD_H
#define ENGINE_INTERP_SIMD_H

#include "engine/interp/operand.h"
#include "engine/interp/x87.h"
#include "isa/fp.h"

#define XMM(c, n)  ((union xmm *)(c)->fpu.ymm[n])
#define YMMH(c, n) ((union xmm *)((c)->fpu.ymm[n] + 16))
#define MM(c, n)   ((union xmm *)(c)->fpu.st[n])

/* One per operation: handlers by register file ([1]: an MMX register takes part) and form: RR, RM, MR, with
 * or without immediate (FORM_NONE and FORM_RI are RR's, FORM_M is RM's). The PLAIN ones need mem_is_plain and
 * call the general one when the soft TLB misses. BIND, where set, chooses instead. */
enum { COLUMN_RR, COLUMN_RM, COLUMN_MR, COLUMN_RM_PLAIN, COLUMN_MR_PLAIN, COLUMNS };
struct simd_row {
    insn_fn fn[2][COLUMNS];
    insn_fn ri[2]; /* FORM_RI and FORM_RRI, where they are not RR with an immediate but another operation:
                      shifts */
    insn_fn (*bind)(const struct insn *i, bool plain);
};
#define LOAD(name)    [COLUMN_RM] = name
#define STORE(name)   [COLUMN_MR] = name
#define LOADS(name)   [COLUMN_RM] = name, [COLUMN_RM_PLAIN] = name##p
#define STORES(name)  [COLUMN_MR] = name, [COLUMN_MR_PLAIN] = name##p
#define OP(name, ...) extern const struct simd_row simd_row_##name;
#include "isa/ops_simd.def"
#undef OP
#define SIMD_ROW(OP, ...)  const struct simd_row simd_row_##OP = {.fn = {__VA_ARGS__}};
#define SIMD_HANDLER(name) static const struct insn *name(struct cpu *c, const struct insn *i)

/* SDM vol. 2, tables 2-18 ff. (exception classes), 23-1 ff. (MMX): may the instruction run at all? */
const struct insn *sse_refuse(struct cpu *c, const struct insn *i) COLD; /* #UD or #NM */
const struct insn *avx_refuse(struct cpu *c, const struct insn *i) COLD;
enum x87_end mmx_refuse(struct cpu *c, const struct insn *i) COLD; /* or #MF */
bool simd_misaligned(struct cpu *c) COLD;                          /* #GP(0) */

INLINE bool sse_ok(const struct cpu *c)
{
    return !(c->cr0 & (CR0_EM | CR0_TS)) && c->cr4 & CR4_OSFXSR;
}

INLINE bool avx_ok(const struct cpu *c)
{
    return !(c->cr0 & CR0_TS) && c->cr4 & CR4_OSXSAVE && (c->xcr0 & 6) == 6 &&
           (c->code_size == 8 || (cpu_protected(c) && !cpu_v86(c)));
}

INLINE bool mmx_ok(const struct cpu *c)
{
    return !(c->cr0 & (CR0_EM | CR0_TS)) && !(c->fpu.fsw & FSW_ES);
}

/* KIND: sse, avx or mmx. Alone of them mmx_refuse may let the instruction run: a pending x87 exception under
 * CR0.NE = 0 pulls FERR#. */
#define CHECK(kind) CHECK_##kind
#define CHECK_sse                                                                                            \
    do {                                                                                                     \
        if (UNLIKELY(!sse_ok(c)))                                                                            \
            return sse_refuse(c, i);                                                                         \
    } while (0)
#define CHECK_avx                                                                                            \
    do {                                                                                                     \
        if (UNLIKELY(!avx_ok(c)))                                                                            \
            return avx_refuse(c, i);                                                                         \
    } while (0)
#define CHECK_mmx                                                                                            \
    do {                                                                                                     \
        if (UNLIKELY(!mmx_ok(c))) {                                                                          \
            enum x87_end end_ = mmx_refuse(c, i);                                                            \
            if (LIKELY(end_ != X87_DONE))                                                                    \
                return x87_way_out(c, i, end_);                                                              \
        }                                                                                                    \
    } while (0)

/* Every MMX instruction but EMMS makes all x87 registers valid and TOP 0. */
INLINE void mmx_enter(struct cpu *c)
{
    c->fpu.fsw &= (u16)~FSW_TOP;
    c->fpu.ftw = 0xff;
}

INLINE void mmx_put(struct cpu *c, unsigned n, u64 v)
{
    MM(c, n)->q[0] = v;
    MM(c, n)->w[4] = 0xffff;
}

/* By memcpy: an assignment makes gcc take R apart into lanes. */
INLINE void xmm_put(struct cpu *c, unsigned n, const union xmm *r)
{
    memcpy(XMM(c, n), r, 16);
}

/* Both halves at once: a 16-byte load that follows two 8-byte stores would wait for them. */
typedef u64 xmm_vector __attribute__((vector_size(16), may_alias));
INLINE void xmm_set(union xmm *r, u64 low, u64 high)
{
    *(xmm_vector *)r = (xmm_vector){low, high};
}

INLINE u128 xmm_wide(const union xmm *s)
{
    return s->q[0] | (u128)s->q[1] << 64;
}

INLINE void avx_zero_upper(struct cpu *c, unsigned n)
{
    memset(c->fpu.ymm[n] + 16, 0, 16);
}

INLINE void simd_put_gpr(struct cpu *c, const struct insn *i, u64 v)
{
    c->gpr[i->rd].q = v;
}

/* Memory operands of LEN bytes (1 to 32), with all that an access needs. Out of line, for handlers whose hot
 * twin is the plain one. */
bool simd_load(struct cpu *c, const struct insn *i, void *buf, unsigned len) NOINLINE MUST_CHECK;
bool simd_store(struct cpu *c, const struct insn *i, const void *buf, unsigned len) NOINLINE MUST_CHECK;
/* With the alignment to LEN bytes that legacy SSE operands and VMOVA*, VMOVNT* need. */
bool simd_load_aligned(struct cpu *c, const struct insn *i, void *buf, unsigned len) NOINLINE MUST_CHECK;
bool simd_store_aligned(struct cpu *c, const struct insn *i, const void *buf, unsigned len) NOINLINE MUST_CHECK;

/* A legacy SSE source: 16 bytes are aligned, shorter ones need not be. */
INLINE MUST_CHECK bool sse_source(struct cpu *c, const struct insn *i, union xmm *m, unsigned len)
{
    return len == 16 ? simd_load_aligned(c, i, m, 16) : simd_load(c, i, m, len);
}

/* Where a plain source lies, or null: not in the soft TLB, or not aligned. */
INLINE const u8 *sse_hit(const struct cpu *c, const struct insn *i, unsigned len)
{
    u64 lin = ea_plain(c, i);
    return len == 16 && UNLIKELY(lin & 15) ? NULL : hit_read(c, lin, len);
}

/* r[0], r[1]: N bytes of a VEX operand. */
INLINE MUST_CHECK bool vex_source(struct cpu *c, const struct insn *i, union xmm m[2], bool wide)
{
    return wide ? simd_load(c, i, m, 32) : simd_load(c, i, m, 16);
}

INLINE bool vex_wide(const struct insn *i)
{
    return i->flags & INSN_VEX_L;
}

/* Commits a VEX result: everything above what was written becomes 0. */
INLINE void vex_put(struct cpu *c, const struct insn *i, const union xmm *r, bool wide)
{
    xmm_put(c, i->rd, &r[0]);
    if (wide)
        memcpy(YMMH(c, i->rd), &r[1], 16);
    else
        avx_zero_upper(c, i->rd);
}

/* A kernel: *R from *A, *B (8 or 16 bytes: N) and the immediate. R is none of the sources. */
#define UNUSED __attribute__((unused))
#define KERNEL(name)                                                                                         \
    INLINE void k_##name(union xmm *r, const union xmm *a UNUSED, const union xmm *b UNUSED,                 \
                         unsigned n UNUSED, unsigned imm UNUSED)
/* Lane by lane: x of the first, y of the second source; F the union's member of type T. */
#define LANES(name, T, f, expr)                                                                              \
    KERNEL(name)                                                                                             \
    {                                                                                                        \
        for (unsigned k = 0; k < n / sizeof(T); k++) {                                                       \
            T x UNUSED = a->f[k], y UNUSED = b->f[k];                                                        \
            r->f[k] = (T)(expr);                                                                             \
        }                                                                                                    \
    }

/* Inside a kernel: the host's own instruction does it, R = A op B, where the host is known to have it. */
#if FP_HOST
#define HOST_HAS(feature) __builtin_cpu_supports(feature)
#define HOST_BINARY(mnemonic)                                                                                \
    do {                                                                                                     \
        xmm_vector v = *(const xmm_vector *)a;                                                               \
        __asm__(#mnemonic " %1, %0" : "+x"(v) : "m"(*b));                                                    \
        *(xmm_vector *)r = v;                                                                                \
    } while (0)
#else
#define HOST_HAS(feature)     false
#define HOST_BINARY(mnemonic) (void)0
#endif

/* Handlers out of kernels. Legacy: rd = K(rd, source). VEX: rd = K(rv, source). LEN: bytes of the memory
 * operand. Each RM macro makes the general handler NAME and the plain one NAMEp. */
#define SSE_RR(name, K)                                                                                      \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(sse);                                                                                          \
        k_##K(&r, XMM(c, i->rd), XMM(c, i->rs), 16, (u8)i->imm);                                             \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }
#define SSE_RM(name, K, LEN)                                                                                 \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        CHECK(sse);                                                                                          \
        TRY(c, i, sse_source(c, i, &m, LEN));                                                                \
        k_##K(&r, XMM(c, i->rd), &m, 16, (u8)i->imm);                                                        \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##p)                                                                                    \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        const u8 *p = sse_hit(c, i, LEN);                                                                    \
        if (UNLIKELY(!p || !sse_ok(c)))                                                                      \
            return name(c, i);                                                                               \
        memcpy(&m, p, LEN);                                                                                  \
        k_##K(&r, XMM(c, i->rd), &m, 16, (u8)i->imm);                                                        \
        xmm_put(c, i->rd, &r);                                                                               \
        NEXT(c, i);                                                                                          \
    }
#define MMX_RR(name, K)                                                                                      \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(mmx);                                                                                          \
        k_##K(&r, MM(c, i->rd), MM(c, i->rs), 8, (u8)i->imm);                                                \
        mmx_enter(c);                                                                                        \
        mmx_put(c, i->rd, r.q[0]);                                                                           \
        NEXT(c, i);                                                                                          \
    }
#define MMX_RM(name, K, LEN)                                                                                 \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        CHECK(mmx);                                                                                          \
        TRY(c, i, simd_load(c, i, &m, LEN));                                                                 \
        k_##K(&r, MM(c, i->rd), &m, 8, (u8)i->imm);                                                          \
        mmx_enter(c);                                                                                        \
        mmx_put(c, i->rd, r.q[0]);                                                                           \
        NEXT(c, i);                                                                                          \
    }
/* UP: how far the immediate is shifted right for the upper half. */
#define VEX_RR_IMM(name, K, UP)                                                                              \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm r[2];                                                                                      \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        k_##K(&r[0], XMM(c, i->rv), XMM(c, i->rs), 16, (u8)i->imm);                                          \
        if (wide)                                                                                            \
            k_##K(&r[1], YMMH(c, i->rv), YMMH(c, i->rs), 16, (u8)i->imm >> (UP));                            \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }
#define VEX_RM_IMM(name, K, UP)                                                                              \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm r[2], m[2];                                                                                \
        bool wide = vex_wide(i);                                                                             \
        CHECK(avx);                                                                                          \
        TRY(c, i, vex_source(c, i, m, wide));                                                                \
        k_##K(&r[0], XMM(c, i->rv), &m[0], 16, (u8)i->imm);                                                  \
        if (wide)                                                                                            \
            k_##K(&r[1], YMMH(c, i->rv), &m[1], 16, (u8)i->imm >> (UP));                                     \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }                                                                                                        \
    SIMD_HANDLER(name##p)                                                                                    \
    {                                                                                                        \
        union xmm r[2], m[2];                                                                                \
        bool wide = vex_wide(i);                                                                             \
        const u8 *p = hit_read(c, ea_plain(c, i), wide ? 32 : 16);                                           \
        if (UNLIKELY(!p || !avx_ok(c)))                                                                      \
            return name(c, i);                                                                               \
        memcpy(&m[0], p, 16);                                                                                \
        k_##K(&r[0], XMM(c, i->rv), &m[0], 16, (u8)i->imm);                                                  \
        if (wide) {                                                                                          \
            memcpy(&m[1], p + 16, 16);                                                                       \
            k_##K(&r[1], YMMH(c, i->rv), &m[1], 16, (u8)i->imm >> (UP));                                     \
        }                                                                                                    \
        vex_put(c, i, r, wide);                                                                              \
        NEXT(c, i);                                                                                          \
    }
#define VEX_RR(name, K) VEX_RR_IMM(name, K, 0)
#define VEX_RM(name, K) VEX_RM_IMM(name, K, 0)
/* Scalars: VEX.L means nothing. */
#define VEX_RR_PART(name, K)                                                                                 \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm r;                                                                                         \
        CHECK(avx);                                                                                          \
        k_##K(&r, XMM(c, i->rv), XMM(c, i->rs), 16, (u8)i->imm);                                             \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }
#define VEX_RM_PART(name, K, LEN)                                                                            \
    SIMD_HANDLER(name)                                                                                       \
    {                                                                                                        \
        union xmm r, m;                                                                                      \
        CHECK(avx);                                                                                          \
        TRY(c, i, simd_load(c, i, &m, LEN));                                                                 \
        k_##K(&r, XMM(c, i->rv), &m, 16, (u8)i->imm);                                                        \
        vex_put(c, i, &r, false);                                                                            \
        NEXT(c, i);                                                                                          \
    }

/* Operations of one shape, with their rows. */
#define SIMD_VEX_OP_IMM(OP, K, UP)                                                                           \
    VEX_RR_IMM(h_##OP##_rr, K, UP)                                                                           \
    VEX_RM_IMM(h_##OP##_rm, K, UP)                                                                           \
    SIMD_ROW(OP, {h_##OP##_rr, LOADS(h_##OP##_rm)})
#define SIMD_VEX_OP(OP, K) SIMD_VEX_OP_IMM(OP, K, 0)
#define SIMD_SSE_OP(OP, K)                                                                                   \
    SSE_RR(h_##OP##_rr, K)                                                                                   \
    SSE_RM(h_##OP##_rm, K, 16)                                                                               \
    SIMD_ROW(OP, {h_##OP##_rr, LOADS(h_##OP##_rm)})
/* XMM and VEX. */
#define SIMD_OP(OP, K)                                                                                       \
    SIMD_SSE_OP(OP, K)                                                                                       \
    SIMD_VEX_OP(V##OP, K)
#define SIMD_OP_IMM(OP, K, UP)                                                                               \
    SIMD_SSE_OP(OP, K)                                                                                       \
    SIMD_VEX_OP_IMM(V##OP, K, UP)
/* MMX with a memory operand of MM_LEN bytes, XMM and VEX. */
#define SIMD_OP_MMX(OP, K, MM_LEN)                                                                           \
    SSE_RR(h_##OP##_rr, K)                                                                                   \
    SSE_RM(h_##OP##_rm, K, 16)                                                                               \
    MMX_RR(h_##OP##_mm_rr, K)                                                                                \
    MMX_RM(h_##OP##_mm_rm, K, MM_LEN)                                                                        \
    SIMD_ROW(OP, {h_##OP##_rr, LOADS(h_##OP##_rm)}, {h_##OP##_mm_rr, LOAD(h_##OP##_mm_rm)})                  \
    SIMD_VEX_OP(V##OP, K)

#endif
