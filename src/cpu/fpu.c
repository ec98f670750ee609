/* Moving x87, SSE, AVX and PKRU state to and from memory: FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XSAVEC, XRSTOR
 * (SDM vol. 1, chapters 10.5 and 13). Whether a component is in use (XINUSE) is found by looking at its
 * contents, so that every engine answers alike; the optimization for unmodified state is not made. Not
 * modelled: XSAVES (no supervisor components), FCS and FDS (CPUID says so). */
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "cpu/model.h"
#include "cpu/xsave_image.h"

/* Offsets in the legacy region. */
enum {
    FX_FCW = 0,
    FX_FSW = 2,
    FX_FTW = 4,
    FX_FOP = 6,
    FX_FIP = 8,
    FX_FDP = 16,
    FX_MXCSR = 24,
    FX_ST = 32,
    FX_XMM = 160,
    FX_XMM_END = 416,
    FX_SIZE = 512,
};

/* Offsets in the XSAVE header, from the start of the area. */
enum { XH_BV = 512, XH_COMP = 520, XH_END = 576 };

#define XCOMP_COMPACT BIT(63)
#define MXCSR_RESET   0x1f80u

#define FSW_TOP(fsw) ((fsw) >> 11 & 7)
#define FSW_ES       0x80u
#define FSW_B        0x8000u

/* The greatest area: standard format with PKRU. */
#define AREA_MAX XSAVE_IMAGE_BYTES

void fpu_init(struct cpu *c)
{
    c->fpu.fcw = 0x37f;
    c->fpu.fsw = 0;
    c->fpu.ftw = 0;
    c->fpu.fop = 0;
    c->fpu.fip = c->fpu.fdp = 0;
    c->fpu.fcs = c->fpu.fds = 0;
}

/* XMM and YMM registers that the current mode can name. */
static unsigned vector_count(const struct cpu *c)
{
    return cpu_code64(c) ? 16 : 8;
}

static bool is_amd(const struct cpu *c)
{
    return silicon_is_amd(c->wires.model->silicon);
}

/* What FIP and FDP keep of 64 bits. */
static u64 pointer_kept(u64 p, unsigned bits)
{
    unsigned lost = 64 - bits;
    return (u64)((i64)(p << lost) >> lost);
}

static bool x87_in_use(const struct fpu *f)
{
    return f->fcw != 0x37f || f->fsw || f->ftw || f->fop || f->fip || f->fdp ||
           !bytes_are_zero(f->st, sizeof f->st);
}

u64 xsave_in_use(const struct cpu *c)
{
    u64 use = x87_in_use(&c->fpu) ? XFEATURE_X87 : 0;
    u64 low = 0, high = 0;
    for (unsigned n = 0; n < 16; n++) {
        const u8 *y = c->fpu.ymm[n];
        low |= ld64(y) | ld64(y + 8);
        high |= ld64(y + 16) | ld64(y + 24);
    }
    return use | (low ? XFEATURE_SSE : 0) | (high ? XFEATURE_AVX : 0) | (c->pkru ? XFEATURE_PKRU : 0);
}

/* ES and B follow from the flags and their masks (SDM vol. 1, 8.1.3.3). */
static u16 fsw_summary(u16 fsw, u16 fcw)
{
    return (u16)((fsw & ~(FSW_ES | FSW_B)) | (fsw & ~fcw & 0x3f ? FSW_ES | FSW_B : 0));
}

static void x87_put(const struct cpu *c, u8 *a, bool rex_w)
{
    const struct fpu *f = &c->fpu;
    st16(a + FX_FCW, f->fcw);
    st16(a + FX_FSW, f->fsw);
    st16(a + FX_FTW, f->ftw);
    st16(a + FX_FOP, f->fop);
    st64(a + FX_FIP, rex_w ? f->fip : (u32)f->fip); /* without REX.W: 32 bits and a zero selector */
    st64(a + FX_FDP, rex_w ? f->fdp : (u32)f->fdp);
    for (unsigned n = 0; n < 8; n++) {
        u8 *to = a + FX_ST + 16 * n;
        memcpy(to, f->st[(FSW_TOP(f->fsw) + n) & 7], 10);
        memset(to + 10, 0, 6);
    }
}

static void x87_get(struct cpu *c, const u8 *a, bool rex_w)
{
    struct fpu *f = &c->fpu;
    const struct cpu_model *m = c->wires.model;
    f->fcw = (u16)((ld16(a + FX_FCW) & 0x1f3f) | 0x40);
    f->fsw = fsw_summary(ld16(a + FX_FSW), f->fcw);
    f->ftw = a[FX_FTW];
    f->fop = ld16(a + FX_FOP) & 0x7ff;
    f->fip = rex_w ? pointer_kept(ld64(a + FX_FIP), m->pointers.fip) : ld32(a + FX_FIP);
    f->fdp = rex_w ? pointer_kept(ld64(a + FX_FDP), m->pointers.fdp) : ld32(a + FX_FDP);
    for (unsigned n = 0; n < 8; n++) {
        u8 *to = f->st[(FSW_TOP(f->fsw) + n) & 7];
        memcpy(to, a + FX_ST + 16 * n, 10);
        memset(to + 10, 0, 6);
    }
}

static void x87_reset(struct cpu *c)
{
    fpu_init(c);
    memset(c->fpu.st, 0, sizeof c->fpu.st);
}

/* HALF 0: XMM, 1: the upper halves of YMM. */
static void vectors_put(const struct cpu *c, u8 *a, unsigned half)
{
    for (unsigned n = 0; n < vector_count(c); n++)
        memcpy(a + 16 * n, c->fpu.ymm[n] + 16 * half, 16);
}

static void vectors_get(struct cpu *c, const u8 *a, unsigned half)
{
    for (unsigned n = 0; n < vector_count(c); n++)
        memcpy(c->fpu.ymm[n] + 16 * half, a + 16 * n, 16);
}

static void vectors_reset(struct cpu *c, unsigned half)
{
    for (unsigned n = 0; n < vector_count(c); n++)
        memset(c->fpu.ymm[n] + 16 * half, 0, 16);
}

/* The areas are aligned to 16 or 64 bytes and so is every piece here: none crosses a page. */
#define PIECE 64u

static bool area_address(struct cpu *c, u64 lin, u32 off, u64 *at)
{
    *at = cpu_code64(c) ? lin + off : (u32)(lin + off);
    return !cpu_code64(c) || cpu_canonical(*at) || cpu_raise_gp(c, 0);
}

/* Checks that [lin, lin + len) can be accessed, so that what follows cannot fail in the middle. */
static bool area_probe(struct cpu *c, u64 lin, u32 len, unsigned acc)
{
    u64 at;
    for (u32 off = 0; off < len; off += (u32)(PAGE_SIZE - (at & ~PAGE_MASK)))
        if (!area_address(c, lin, off, &at) || !lin_probe(c, at, 1, acc))
            return false;
    return true;
}

/* The byte at OFF alone. */
static bool area_byte_probe(struct cpu *c, u64 lin, u32 off, unsigned acc)
{
    u64 at;
    return area_address(c, lin, off, &at) && lin_probe(c, at, 1, acc);
}

/* What Intel's silicon looks at before it saves or loads the components ASKED of an area with SIZE bytes, whether they are in it or not: the area's end, where x87
 * begins, or else MXCSR, and the header. What is between two of them lies in their pages. */
static bool area_ends_probe(struct cpu *c, u64 lin, u64 asked, u32 size, bool compact, unsigned acc)
{
    u64 mxcsr = asked & (XFEATURE_SSE | (compact ? 0 : XFEATURE_AVX));
    return area_byte_probe(c, lin, size - 1, acc) && (!(asked & XFEATURE_X87) || area_byte_probe(c, lin, 0, acc)) &&
           (!mxcsr || area_byte_probe(c, lin, FX_MXCSR, acc)) && area_byte_probe(c, lin, XH_BV, acc);
}

static bool area_write(struct cpu *c, u64 lin, const u8 *area, u32 from, u32 to)
{
    for (u32 off = from; off < to;) {
        u32 left = PIECE - off % PIECE, n = to - off < left ? to - off : left;
        u64 at;
        if (!area_address(c, lin, off, &at) || !lin_write(c, at, area + off, n, ACC_WRITE))
            return false;
        off += n;
    }
    return true;
}

static bool area_read(struct cpu *c, u64 lin, u8 *area, u32 from, u32 to)
{
    for (u32 off = from; off < to;) {
        u32 left = PIECE - off % PIECE, n = to - off < left ? to - off : left;
        u64 at;
        if (!area_address(c, lin, off, &at) || !lin_read(c, at, area + off, n, ACC_READ))
            return false;
        off += n;
    }
    return true;
}

/* FXSAVE and FXRSTOR leave XMM alone while the system has not said that it knows them. */
static u32 fx_end(const struct cpu *c)
{
    return c->cr4 & CR4_OSFXSR ? FX_XMM + 16 * vector_count(c) : FX_XMM;
}

bool fxsave_enabled(struct cpu *c)
{
    return !(c->cr0 & (CR0_EM | CR0_TS)) || cpu_raise(c, VEC_NM);
}

static bool fx_ok(struct cpu *c, u64 lin)
{
    return fxsave_enabled(c) && (!(lin & 15) || cpu_raise_gp(c, 0));
}

bool op_fxsave(struct cpu *c, u64 lin, bool rex_w)
{
    u8 area[FX_SIZE];
    if (!fx_ok(c, lin) || !area_probe(c, lin, FX_SIZE, ACC_WRITE))
        return false;
    x87_put(c, area, rex_w);
    st32(area + FX_MXCSR, c->fpu.mxcsr);
    st32(area + FX_MXCSR + 4, MXCSR_MASK);
    vectors_put(c, area + FX_XMM, 0);
    return area_write(c, lin, area, 0, fx_end(c));
}

bool op_fxrstor(struct cpu *c, u64 lin, bool rex_w)
{
    u8 area[FX_SIZE];
    if (!fx_ok(c, lin) || !area_probe(c, lin, FX_SIZE, ACC_READ) || !area_read(c, lin, area, 0, fx_end(c)))
        return false;
    u32 mxcsr = ld32(area + FX_MXCSR);
    if (mxcsr & ~MXCSR_MASK)
        return cpu_raise_gp(c, 0);
    x87_get(c, area, rex_w);
    c->fpu.mxcsr = mxcsr;
    if (c->cr4 & CR4_OSFXSR)
        vectors_get(c, area + FX_XMM, 0);
    return true;
}

bool xsave_enabled(struct cpu *c)
{
    if (!cpu_has(c, FEAT_XSAVE) || !(c->cr4 & CR4_OSXSAVE))
        return cpu_raise_ud(c);
    return !(c->cr0 & CR0_TS) || cpu_raise(c, VEC_NM);
}

static bool xsave_ok(struct cpu *c, u64 lin)
{
    return xsave_enabled(c) && (!(lin & 63) || cpu_raise_gp(c, 0));
}

static u64 rfbm(const struct cpu *c)
{
    return ((u64)c->gpr[RDX].d << 32 | c->gpr[RAX].d) & c->xcr0;
}

static u32 pkru_offset(u64 mask, bool compact)
{
    return compact ? xsave_size(mask & ~(u64)XFEATURE_PKRU, true) : XSAVE_PKRU_OFFSET;
}

bool op_xsave(struct cpu *c, u64 lin, enum xsave_kind kind, bool rex_w)
{
    static const enum cpu_feature needs[] = {FEAT_XSAVE, FEAT_XSAVEOPT, FEAT_XSAVEC};
    if (!cpu_has(c, needs[kind]))
        return cpu_raise_ud(c);
    if (!xsave_ok(c, lin))
        return false;
    bool compact = kind == XSAVE_COMPACT;
    u64 mask = rfbm(c), use = xsave_in_use(c);
    if (compact && c->fpu.mxcsr != MXCSR_RESET)
        use |= XFEATURE_SSE; /* MXCSR is a part of the component here, and nowhere else (SDM vol. 1, 13.10) */
    u64 save = kind == XSAVE_PLAIN ? mask : mask & use;
    bool mxcsr = compact ? save & XFEATURE_SSE : mask & (XFEATURE_SSE | XFEATURE_AVX);
    u32 pkru_at = pkru_offset(mask, compact);

    u8 area[AREA_MAX];
    u32 size = xsave_size(mask, compact);
    if (is_amd(c) ? !area_probe(c, lin, size, ACC_WRITE) : !area_ends_probe(c, lin, mask, size, compact, ACC_WRITE))
        return false;
    x87_put(c, area, rex_w);
    st32(area + FX_MXCSR, c->fpu.mxcsr);
    st32(area + FX_MXCSR + 4, MXCSR_MASK);
    vectors_put(c, area + FX_XMM, 0);
    vectors_put(c, area + XSAVE_AVX_OFFSET, 1);
    st64(area + pkru_at, c->pkru);
    if (!compact && !area_read(c, lin, area, XH_BV, XH_BV + 8))
        return false;
    st64(area + XH_BV, (compact ? 0 : ld64(area + XH_BV) & ~mask) | (use & mask));
    st64(area + XH_COMP, mask | XCOMP_COMPACT);

    u32 vectors = 16 * vector_count(c);
    return (!(save & XFEATURE_X87) ||
            (area_write(c, lin, area, 0, FX_MXCSR) && area_write(c, lin, area, FX_ST, FX_XMM))) &&
           (!mxcsr || area_write(c, lin, area, FX_MXCSR, FX_ST)) &&
           (!(save & XFEATURE_SSE) || area_write(c, lin, area, FX_XMM, FX_XMM + vectors)) &&
           (!(save & XFEATURE_AVX) ||
            area_write(c, lin, area, XSAVE_AVX_OFFSET, XSAVE_AVX_OFFSET + vectors)) &&
           (!(save & XFEATURE_PKRU) || area_write(c, lin, area, pkru_at, pkru_at + XSAVE_PKRU_SIZE)) &&
           area_write(c, lin, area, XH_BV, compact ? XH_COMP + 8 : XH_BV + 8);
}

static bool xrstor_format_ok(const struct cpu *c, u64 comp)
{
    return !(comp & XCOMP_COMPACT) || (cpu_has(c, FEAT_XSAVEC) && !(comp & ~XCOMP_COMPACT & ~c->xcr0));
}

/* SDM vol. 1, 13.8. */
static bool xrstor_header_ok(const struct cpu *c, const u8 *area)
{
    u64 bv = ld64(area + XH_BV), comp = ld64(area + XH_COMP);
    if (!(comp & XCOMP_COMPACT))
        return !comp && !ld64(area + XH_COMP + 8) && !(bv & ~c->xcr0);
    return xrstor_format_ok(c, comp) && !(bv & ~comp) && !(bv & XCOMP_COMPACT) && bytes_are_zero(area + XH_COMP + 8, XH_END - XH_COMP - 8);
}

/* What XRSTOR does to components: those that the area does not have become initial, then x87 and SSE are loaded, then the others. */
static void xrstor_reset(struct cpu *c, u64 components)
{
    if (components & XFEATURE_X87)
        x87_reset(c);
    if (components & XFEATURE_SSE)
        vectors_reset(c, 0);
    if (components & XFEATURE_AVX)
        vectors_reset(c, 1);
    if (components & XFEATURE_PKRU)
        pkru_write(c, 0);
}

static void xrstor_legacy(struct cpu *c, const u8 *area, u64 load, bool rex_w)
{
    if (load & XFEATURE_X87)
        x87_get(c, area, rex_w);
    if (load & XFEATURE_SSE)
        vectors_get(c, area + FX_XMM, 0);
}

static void xrstor_extended(struct cpu *c, const u8 *area, u64 load, u32 pkru_at)
{
    if (load & XFEATURE_AVX)
        vectors_get(c, area + XSAVE_AVX_OFFSET, 1);
    if (load & XFEATURE_PKRU)
        pkru_write(c, ld32(area + pkru_at));
}

/* The header, and pages that silicon looks at without being asked to. AMD's: the area's start before the header, the end of what is asked for behind it, in
 * the standard format. Intel's looks round before it judges the header, but for the format. */
static bool xrstor_header(struct cpu *c, u64 lin, u8 *area)
{
    bool amd = is_amd(c);
    if ((amd && !area_byte_probe(c, lin, 0, ACC_READ)) || !area_read(c, lin, area, XH_BV, XH_END))
        return false;
    u64 comp = ld64(area + XH_COMP), asked = rfbm(c);
    bool compact = comp & XCOMP_COMPACT;
    if (amd ? !xrstor_header_ok(c, area) : !xrstor_format_ok(c, comp))
        return cpu_raise_gp(c, 0);
    if (amd)
        return compact || area_byte_probe(c, lin, xsave_size(asked, false) - 1, ACC_READ);
    asked &= compact ? comp : ~0ull;
    u64 up_to_end = compact && asked & XFEATURE_PKRU ? comp : asked;
    return area_ends_probe(c, lin, asked, xsave_size(up_to_end, compact), compact, ACC_READ) && (xrstor_header_ok(c, area) || cpu_raise_gp(c, 0));
}

bool op_xrstor(struct cpu *c, u64 lin, bool rex_w)
{
    u8 area[AREA_MAX];
    if (!xsave_ok(c, lin) || !xrstor_header(c, lin, area))
        return false;
    u64 comp = ld64(area + XH_COMP), mask = rfbm(c), load = mask & ld64(area + XH_BV);
    bool compact = comp & XCOMP_COMPACT;
    u32 pkru_at = pkru_offset(comp, compact);
    u32 vectors = 16 * vector_count(c);
    bool mxcsr = compact ? load & XFEATURE_SSE : mask & (XFEATURE_SSE | XFEATURE_AVX);
    u32 value = compact && mask & XFEATURE_SSE ? MXCSR_RESET : c->fpu.mxcsr;
    if ((load & XFEATURE_X87 &&
         !(area_read(c, lin, area, 0, FX_MXCSR) && area_read(c, lin, area, FX_ST, FX_XMM))) ||
        (mxcsr && !area_read(c, lin, area, FX_MXCSR, FX_ST)) ||
        (load & XFEATURE_SSE && !area_read(c, lin, area, FX_XMM, FX_XMM + vectors)) ||
        (load & XFEATURE_AVX && !area_read(c, lin, area, XSAVE_AVX_OFFSET, XSAVE_AVX_OFFSET + vectors)) ||
        (load & XFEATURE_PKRU && !area_read(c, lin, area, pkru_at, pkru_at + XSAVE_PKRU_SIZE)))
        return false;
    if (mxcsr)
        value = ld32(area + FX_MXCSR);
    bool refused = value & ~MXCSR_MASK;
    if (refused && (!compact || is_amd(c)))
        return cpu_raise_gp(c, 0);
    xrstor_reset(c, mask & ~load);
    xrstor_legacy(c, area, load, rex_w);
    if (refused) /* in the compacted format Intel's silicon comes to MXCSR only now */
        return cpu_raise_gp(c, 0);
    c->fpu.mxcsr = value;
    xrstor_extended(c, area, load, pkru_at);
    return true;
}

void xsave_image_put(const struct cpu *c, u8 *area)
{
    u64 components = c->wires.model->xcr0_mask;
    x87_put(c, area, true);
    st32(area + FX_MXCSR, c->fpu.mxcsr);
    st32(area + FX_MXCSR + 4, MXCSR_MASK);
    for (unsigned n = 0; n < 16; n++) {
        memcpy(area + FX_XMM + 16 * n, c->fpu.ymm[n], 16);
        if (components & XFEATURE_AVX)
            memcpy(area + XSAVE_AVX_OFFSET + 16 * n, c->fpu.ymm[n] + 16, 16);
    }
    if (components & XFEATURE_PKRU)
        st64(area + XSAVE_PKRU_OFFSET, c->pkru);
    memset(area + XH_BV, 0, XH_END - XH_BV);
    st64(area + XH_BV, components);
}

void xsave_image_get(struct cpu *c, const u8 *area)
{
    u64 has = ld64(area + XH_BV);
    if (has & XFEATURE_X87)
        x87_get(c, area, true);
    else
        x87_reset(c);
    c->fpu.mxcsr = ld32(area + FX_MXCSR) & MXCSR_MASK;
    for (unsigned n = 0; n < 16; n++) {
        u8 *y = c->fpu.ymm[n];
        memset(y, 0, 32);
        if (has & XFEATURE_SSE)
            memcpy(y, area + FX_XMM + 16 * n, 16);
        if (has & XFEATURE_AVX)
            memcpy(y + 16, area + XSAVE_AVX_OFFSET + 16 * n, 16);
    }
    pkru_write(c, has & XFEATURE_PKRU ? ld32(area + XSAVE_PKRU_OFFSET) : 0);
}
