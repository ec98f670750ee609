/* A small assembler: what the translator's own glue needs (SDM vol. 2, chapter 2). Writes through the RW
 * mapping; RIP-relative displacements are those of the RX one. */
#ifndef ENGINE_BT_EMIT_H
#define ENGINE_BT_EMIT_H

#include <string.h>

#include "engine/bt/bt.h"

enum { NO_REG = -1, IN_SCRATCH = -2, IS_REG = -3 };

/* The r/m operand: [base + index << scale + disp]; base IN_SCRATCH: the scratch page at offset disp; IS_REG:
 * register number in index. */
struct opnd {
    i8 base, index;
    u8 scale;
    i32 disp;
};

struct emit {
    struct bt *b;
    u8 *p, *limit;
    bool overflow;
};

INLINE struct opnd in_scratch(size_t off)
{
    return (struct opnd){.base = IN_SCRATCH, .index = NO_REG, .disp = (i32)off};
}
#define SCRATCH(field) in_scratch(offsetof(struct bt_scratch, field))
INLINE struct opnd reg_opnd(int r)
{
    return (struct opnd){.base = IS_REG, .index = (i8)r};
}
INLINE struct opnd mem_opnd(int base, i32 disp)
{
    return (struct opnd){.base = (i8)base, .index = NO_REG, .disp = disp};
}

INLINE void e8(struct emit *e, unsigned v)
{
    if (LIKELY(e->p < e->limit))
        *e->p++ = (u8)v;
    else
        e->overflow = true;
}
static inline void e32(struct emit *e, u32 v)
{
    for (unsigned k = 0; k < 4; k++)
        e8(e, v >> 8 * k & 0xff);
}

/* The host address (RX) of the next byte. */
INLINE u64 e_pc(const struct emit *e)
{
    return (u64)(uintptr_t)e->b->code + (u64)(e->p - e->b->write);
}
INLINE u32 e_off(const struct emit *e)
{
    return (u32)(e->p - e->b->write);
}

/* REX bits (without 40h) for REG in ModRM.reg and O. */
static inline unsigned rex_for(int reg, const struct opnd *o)
{
    unsigned r = reg >= 8 ? 4 : 0;
    if (o->base == IS_REG)
        return r | (o->index >= 8 ? 1 : 0);
    return r | (o->base >= 8 ? 1 : 0) | (o->index >= 8 ? 2 : 0);
}

/* ModRM, SIB, displacement; IMM bytes follow in this instruction. */
void e_modrm(struct emit *e, int reg, const struct opnd *o, unsigned imm);

/* OPCODE: one byte, or 0x0fxx. */
static inline void e_op(struct emit *e, bool w, unsigned opcode, int reg, struct opnd o, unsigned imm)
{
    unsigned rex = rex_for(reg, &o) | (w ? 8 : 0);
    if (rex)
        e8(e, 0x40 | rex);
    if (opcode > 0xff)
        e8(e, opcode >> 8);
    e8(e, opcode & 0xff);
    e_modrm(e, reg, &o, imm);
}

static inline void e_load(struct emit *e, int r, struct opnd o)
{
    e_op(e, true, 0x8b, r, o, 0);
}
static inline void e_load32(struct emit *e, int r, struct opnd o)
{
    e_op(e, false, 0x8b, r, o, 0);
}
static inline void e_store(struct emit *e, struct opnd o, int r)
{
    e_op(e, true, 0x89, r, o, 0);
}
static inline void e_mov(struct emit *e, int to, int from)
{
    e_op(e, true, 0x8b, to, reg_opnd(from), 0);
}
/* The address O into R, of 64 bits if WIDE, else of 32. A register alone is moved, which takes a processor no time; LEA would take it a cycle. */
static inline void e_address(struct emit *e, bool wide, int r, struct opnd o)
{
    if (o.base >= 0 && o.index == NO_REG && !o.disp)
        e_op(e, wide, 0x8b, r, reg_opnd(o.base), 0);
    else
        e_op(e, wide, 0x8d, r, o, 0);
}
static inline void e_lea(struct emit *e, int r, struct opnd o)
{
    e_address(e, true, r, o);
}
static inline void e_lea32(struct emit *e, int r, struct opnd o)
{
    e_address(e, false, r, o);
}
/* add or and or sub or xor or cmp r, imm32 by its number /n */
static inline void e_alu_imm(struct emit *e, bool w, unsigned n, int r, i32 imm)
{
    if (imm == (i8)imm) {
        e_op(e, w, 0x83, (int)n, reg_opnd(r), 1);
        e8(e, (u8)imm);
    } else {
        e_op(e, w, 0x81, (int)n, reg_opnd(r), 4);
        e32(e, (u32)imm);
    }
}
static inline void e_mov_imm32(struct emit *e, int r, u32 imm)
{
    if (r >= 8)
        e8(e, 0x41);
    e8(e, 0xb8 | (r & 7));
    e32(e, imm);
}
/* RORX r32, which leaves the flags alone. */
static inline void e_rorx32(struct emit *e, int to, int from, unsigned by)
{
    e8(e, 0xc4);
    e8(e, (to >= 8 ? 0 : 0x80u) | 0x40 | (from >= 8 ? 0 : 0x20u) | 3);
    e8(e, 0x7b);
    e8(e, 0xf0);
    e8(e, 0xc0u | (unsigned)(to & 7) << 3 | (unsigned)(from & 7));
    e8(e, by);
}
/* JMP, CALL rel32 to a code offset. */
static inline void e_rel32(struct emit *e, u32 to)
{
    e32(e, to - (e_off(e) + 4));
}
static inline void e_jmp(struct emit *e, u32 to)
{
    e8(e, 0xe9);
    e_rel32(e, to);
}
static inline void e_call(struct emit *e, u32 to)
{
    e8(e, 0xe8);
    e_rel32(e, to);
}
/* Jcc rel32 to be patched; the offset of its rel32. */
static inline u32 e_jcc(struct emit *e, unsigned cc)
{
    e8(e, 0x0f);
    e8(e, 0x80 | cc);
    u32 at = e_off(e);
    e32(e, 0);
    return at;
}
static inline void e_patch(struct bt *b, u32 at, u32 to)
{
    u32 rel = to - (at + 4);
    memcpy(b->write + at, &rel, 4);
}

enum { CC_O = 0, CC_B = 2, CC_AE = 3, CC_E = 4, CC_NE = 5, CC_A = 7, CC_S = 8, CC_NS = 9, CC_P = 10 };
enum { ALU_ADD = 0, ALU_OR = 1, ALU_AND = 4, ALU_SUB = 5, ALU_XOR = 6, ALU_CMP = 7 };

#endif
