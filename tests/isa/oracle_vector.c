/* oracle_gen.h: values with a taste for borders, the vector and x87 registers of a case, and memory images that instructions read with a meaning of
 * their own. */
#include <string.h>

#include "base/le.h"
#include "cpu/model.h"
#include "isa/x87_value.h"
#include "oracle_gen.h"

u64 gen_next(u64 *s)
{
    u64 z = *s += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

u64 gen_pick(u64 *s, u64 n)
{
    return gen_next(s) % n;
}

/* Integers, pairs of singles, doubles, halves: zero, one, the smallest and largest of each kind, infinities, NaNs, what rounds at integer limits. */
static const u64 vector_borders[] = {
    0x0000000000000000, 0xffffffffffffffff, 0x8000000000000000, 0x7fffffffffffffff, 0x8080808080808080, 0x7f7f7f7f7f7f7f7f, 0x8000800080008000,
    0x7fff7fff7fff7fff, 0x8000000080000000, 0x7fffffff7fffffff, 0x0000000100000001, 0x000000000000000f, 0x0000000000000010, 0x000000000000001f,
    0x0000000000000020, 0x000000000000003f, 0x0000000000000040, 0x3ff0000000000000, 0xbff0000000000000, 0x0010000000000000, 0x8010000000000001,
    0x000fffffffffffff, 0x8000000000000001, 0x7fefffffffffffff, 0xffefffffffffffff, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
    0xfff8000000000001, 0x7ff0000000000001, 0xfff4000000000000, 0x41dfffffffc00000, 0x41e0000000000000, 0xc1e0000000000000, 0xc1e0000000200000,
    0x43e0000000000000, 0xc3e0000000000000, 0x3fe0000000000000, 0x3ff8000000000000, 0x4004000000000000, 0xbfe0000000000000, 0x36a0000000000000,
    0x380fffffffffffff, 0x47efffffe0000000, 0x47effffff0000000, 0x3690000000000000, 0x3f800000bf800000, 0x0080000080800001, 0x007fffff80000001,
    0x7f7fffffff7fffff, 0x7f800000ff800000, 0x7fc00000ffc00001, 0x7f800001ffa00000, 0x4f0000004effffff, 0xcf000000cf000001, 0x5f000000df000000,
    0x3f0000003fc00000, 0x40200000bf000000, 0x33000000477ff000, 0x387fc00033800000, 0x477fefff38800000, 0x3c00bc0004000001, 0x03ff7bff7c00fc00,
    0x7e007d0180018400,
};

u64 gen_vector_word(u64 *s)
{
    u64 r = gen_next(s), v = vector_borders[(r >> 8) % ARRAY_LEN(vector_borders)];
    switch (r & 7) {
    case 0:
    case 1: return v;
    case 2: return v << 32 | (u32)(vector_borders[(r >> 32) % ARRAY_LEN(vector_borders)] >> 32);
    case 3: return 0x3ff0000000000000 + (gen_next(s) & 0x803fffffffffffff); /* doubles of like size */
    case 4: return 0x3f8000003f800000 + (gen_next(s) & 0x83ffffff83ffffff);
    case 5: return r >> 32 & 127;
    default: return gen_next(s);
    }
}

static void put_f80(u64 *s, u8 *out)
{
    u64 r = gen_next(s), man = gen_next(s) | F80_INTEGER;
    unsigned exp = (unsigned)(F80_BIAS - 40 + (r >> 8) % 120), low = r >> 20 & 63;
    switch ((r >> 32) % 20) {
    case 0: man = 0, exp = 0; break;
    case 1: man = F80_INTEGER, exp = F80_EXP; break;
    case 2: exp = F80_EXP; break; /* NaN of either kind */
    case 3: exp = F80_EXP, man &= ~F80_QUIET; break;
    case 4: exp = 0, man &= ~F80_INTEGER; break; /* denormal */
    case 5: exp = 0; break;                      /* pseudo-denormal */
    case 6: man &= ~F80_INTEGER; break;          /* unsupported */
    case 7: man = F80_INTEGER; break;
    case 8: exp = F80_BIAS + low, man &= ~0ull << (r >> 40 & 63); break; /* integers */
    case 9: exp = 1 + low; break;
    case 10: exp = F80_EXP - 1 - low; break;
    case 11: man = ~0ull; break;
    case 12: man &= ~0ull << 40; break;             /* exact in single precision */
    case 13: exp = F80_BIAS - 1075 + low % 60; break; /* denormal as a double */
    case 14: exp = F80_BIAS + 1020 + low % 8; break;
    case 15: exp = F80_BIAS - 150 + low % 30; break; /* denormal as a single */
    case 16: exp = F80_BIAS - 2 + low % 4; break;
    default: break;
    }
    st64(out, man);
    st16(out + 8, (u16)(exp | (r & 1 ? F80_SIGN : 0)));
}

u16 gen_fcw(u64 *s)
{
    u64 r = gen_next(s);
    u16 fcw = FCW_INIT;
    if (r % 3 == 0)
        fcw = (u16)((fcw & ~(FCW_RC | FCW_PC)) | (r >> 16 & (FCW_RC | FCW_PC)));
    if (r % 4 == 0)
        fcw = (u16)((fcw & ~0x3f) | (r >> 32 & 0x3f));
    return fcw;
}

/* PENDING: may hold an unmasked exception, with the summary bits that then belong to it. */
u16 gen_fsw(u64 *s, u16 fcw, bool pending)
{
    u64 r = gen_next(s);
    u16 fsw = (u16)(r & (FSW_CC | FSW_TOP));
    if (r >> 16 & 1)
        fsw |= (u16)(r >> 20 & (pending ? 0x7f : fcw & 0x3f));
    return fsw & ~fcw & 0x3f ? fsw | 0x8080 : fsw;
}

u8 gen_ftw(u64 *s, u16 fsw)
{
    u64 r = gen_next(s);
    u8 ftw = r & 3 ? 0xff & ~(r & 0x3c ? 0 : 1u << (r >> 8 & 7)) : (u8)(r >> 16);
    if (r >> 32 & 1)
        ftw &= (u8) ~(1u << (((fsw >> 11) + 7) & 7)); /* room for a push */
    return ftw;
}

/* In small mode even registers are indices of gathers, odd ones whatever: masks. */
void gen_registers(struct icase *t)
{
    static const u64 bases[] = {0x1230, 0xfffffffffffff000, 0x10000, 0xfffffffffff80000};
    u64 s = t->vectors;
    bool small = t->vectors & 1;
    struct world *w = &t->r;
    for (unsigned k = 0; k < 16; k++)
        for (unsigned j = 0; j < 32; j += 8) {
            u64 v = gen_vector_word(&s);
            st64(w->ymm[k] + j, small && !(k & 1) ? v & (t->vectors & 2 ? 0x37f : 0x0000037f0000037f) : v);
        }
    if (t->vectors & 4) /* operands that meet */
        memcpy(w->ymm[t->i.rs & 15], w->ymm[t->i.rd & 15], 32);
    for (unsigned k = 0; k < 8; k++)
        put_f80(&s, w->st[k]);
    w->bits = t->bits;
    w->fs = t->bits == 64 ? bases[t->fill >> 8 & 3] : 0;
    w->gs = t->bits == 64 ? bases[t->fill >> 10 & 3] : 0;
}

static void put_environment(u64 *s, u8 *at, bool wide)
{
    u16 fcw = gen_fcw(s), fsw = gen_fsw(s, fcw, true), words[] = {fcw, fsw, (u16)gen_next(s)};
    for (unsigned k = 0; k < 3; k++)
        st16(at + (wide ? 4 : 2) * k, words[k]);
}

static void put_fxsave(u64 *s, u8 *at)
{
    put_environment(s, at, false);
    st32(at + 24, (u32)gen_next(s) & (gen_pick(s, 8) ? 0xffff : 0x1ffff));
    for (unsigned k = 0; k < 8; k++)
        put_f80(s, at + 32 + 16 * k);
}

static void put_xsave(u64 *s, u8 *at)
{
    put_fxsave(s, at);
    memset(at + 512, 0, 64);
    u64 r = gen_next(s), components = r & 7;
    st64(at + 512, components | (r >> 8 & 31 ? 0 : 1ull << (20 + (r >> 16) % 44))); /* of those below, the host may have some */
    if (r >> 24 & 1)
        st64(at + 520, 0x8000000000000000 | components | (r >> 32 & 7));
    if (!(r >> 40 & 31))
        at[520 + (r >> 48) % 56] ^= 1;
}

unsigned gen_image_size(unsigned op, unsigned msize)
{
    switch (op) {
    case OP_FLD: return msize == 10 ? 10 : 0;
    case OP_FBLD: return 10;
    case OP_LDMXCSR:
    case OP_VLDMXCSR: return 4;
    case OP_FLDCW: return 2;
    case OP_FLDENV:
    case OP_FRSTOR: return msize;
    case OP_FXRSTOR:
    case OP_FXRSTOR64: return 512;
    case OP_XRSTOR:
    case OP_XRSTOR64: return 832;
    default: return 0;
    }
}

void gen_image(const struct insn *i, u64 seed, u8 *at)
{
    u64 s = seed;
    switch (i->op) {
    case OP_FLD: put_f80(&s, at); break;
    case OP_FBLD:
        for (unsigned k = 0; k < 9; k++)
            at[k] = (u8)(gen_pick(&s, 10) << 4 | gen_pick(&s, 10));
        at[9] &= 0x80;
        break;
    case OP_LDMXCSR:
    case OP_VLDMXCSR: st32(at, (u32)seed & (seed >> 32 & 7 ? 0xffff : 0x1ffff)); break;
    case OP_FLDCW: st16(at, (u16)(seed >> 32 & 7 ? gen_fcw(&s) : seed)); break;
    case OP_FLDENV:
    case OP_FRSTOR: put_environment(&s, at, i->msize == 28 || i->msize == 108); break;
    case OP_FXRSTOR:
    case OP_FXRSTOR64: put_fxsave(&s, at); break;
    default: put_xsave(&s, at); break;
    }
}
