/* The sixteen vector registers of translated code, to memory and back.
 *
 * An Intel processor remembers whether an upper half of a YMM register was written since VZEROUPPER, zero or not. While it was, each change between legacy SSE
 * and VEX code costs it some 70 cycles or a merge into the old register (Optimization Reference Manual, "Mixing AVX Code with SSE Code"). A guest that
 * keeps its upper halves zero must not pay for our loads: they are of 128 bits then, which leave the upper halves clean. */
#include "engine/bt/tr.h"

enum { VMOVUPS_LOAD = 0x10, VMOVUPS_STORE = 0x11, VORPS = 0x56 };

/* VEX.0F OP of register K, V (0: none) and BASE + DISP; of 256 bits if WIDE. */
static void vector(struct emit *e, u8 op, unsigned k, unsigned v, bool wide, int base, i32 disp)
{
    struct opnd o = mem_opnd(base, disp);
    e8(e, 0xc4);
    e8(e, (k >= 8 ? 0u : 0x80) | 0x40 | (base >= 8 ? 0u : 0x20) | 1);
    e8(e, (~v & 15) << 3 | (wide ? 4u : 0u));
    e8(e, op);
    e_modrm(e, (int)k, &o, 0);
}

void vectors_store(struct emit *e, int base, i32 disp)
{
    for (unsigned k = 0; k < 16; k++)
        vector(e, VMOVUPS_STORE, k, 0, true, base, disp + 32 * (i32)k);
    e8(e, 0xc5), e8(e, 0xf8), e8(e, 0x77); /* VZEROUPPER */
}

void vectors_load(struct emit *e, int base, i32 disp)
{
    for (unsigned k = 0; k < 16; k++)
        vector(e, k < 2 ? VMOVUPS_LOAD : VORPS, k & 1, k < 2 ? 0 : k & 1, false, base, disp + 32 * (i32)k + 16);
    e8(e, 0xc5), e8(e, 0xf8), e8(e, VORPS), e8(e, 0xc1);             /* VORPS xmm0, xmm0, xmm1 */
    e8(e, 0xc4), e8(e, 0xe2), e8(e, 0x79), e8(e, 0x17), e8(e, 0xc0); /* VPTEST xmm0, xmm0 */
    for (unsigned k = 0; k < 16; k++)
        vector(e, VMOVUPS_LOAD, k, 0, false, base, disp + 32 * (i32)k);
    u32 clean = e_jcc(e, CC_E);
    for (unsigned k = 0; k < 16; k++)
        vector(e, VMOVUPS_LOAD, k, 0, true, base, disp + 32 * (i32)k);
    e_patch(e->b, clean, e_off(e));
}
