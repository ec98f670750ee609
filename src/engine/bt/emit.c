#include "engine/bt/emit.h"

static void modrm_byte(struct emit *e, unsigned mod, int reg, int rm)
{
    e8(e, mod << 6 | (unsigned)(reg & 7) << 3 | (unsigned)(rm & 7));
}

static void relative(struct emit *e, int reg, const struct opnd *o, unsigned imm)
{
    modrm_byte(e, 0, reg, 5);
    u64 at = (u64)(uintptr_t)e->b->scratch + (u64)(i64)o->disp;
    e32(e, (u32)(at - (e_pc(e) + 4 + imm)));
}

void e_modrm(struct emit *e, int reg, const struct opnd *o, unsigned imm)
{
    if (o->base == IS_REG) {
        modrm_byte(e, 3, reg, o->index);
        return;
    }
    if (o->base == IN_SCRATCH) {
        relative(e, reg, o, imm);
        return;
    }
    if (o->base == NO_REG) { /* SIB without base: disp32 */
        modrm_byte(e, 0, reg, 4);
        e8(e, (unsigned)o->scale << 6 | (o->index == NO_REG ? 4u : (unsigned)(o->index & 7)) << 3 | 5);
        e32(e, (u32)o->disp);
        return;
    }
    bool disp8 = o->disp == (i8)o->disp;
    unsigned mod = o->disp == 0 && (o->base & 7) != 5 ? 0 : disp8 ? 1 : 2;
    if (o->index == NO_REG && (o->base & 7) != 4) {
        modrm_byte(e, mod, reg, o->base);
    } else {
        modrm_byte(e, mod, reg, 4);
        e8(e, (unsigned)o->scale << 6 | (o->index == NO_REG ? 4u : (unsigned)(o->index & 7)) << 3 |
                  (unsigned)(o->base & 7));
    }
    if (mod == 1)
        e8(e, (u8)o->disp);
    else if (mod == 2)
        e32(e, (u32)o->disp);
}
