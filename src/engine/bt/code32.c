/* 32-bit code on a 64-bit host: instructions whose encoding 64-bit code has given to others (SDM vol. 2, 2.2.1.2 and appendix
 * B.2), in another encoding of the same operation. Those without one are executed alone. Registers, addresses and the stack are
 * mem.c's and flow.c's. */
#include "engine/bt/tr.h"

/* One-byte opcodes that 64-bit code does not have, or has for something else. */
static bool lost(u8 opcode)
{
    switch (opcode) {
    case 0x06: /* PUSH, POP of segment registers */
    case 0x07:
    case 0x0e:
    case 0x16:
    case 0x17:
    case 0x1e:
    case 0x1f:
    case 0x27: /* DAA DAS AAA AAS */
    case 0x2f:
    case 0x37:
    case 0x3f:
    case 0x60: /* PUSHA POPA BOUND ARPL */
    case 0x61:
    case 0x62:
    case 0x63:
    case 0x9a: /* far CALL */
    case 0xc4: /* LES LDS */
    case 0xc5:
    case 0xce: /* INTO */
    case 0xd4: /* AAM AAD SALC */
    case 0xd5:
    case 0xd6:
    case 0xea: return true;
    default: return false;
    }
}

static void give_modrm(struct dec *d, unsigned reg, unsigned rm)
{
    d->modrm = (u8)(0xc0 | reg << 3 | rm);
    d->z.attributes |= ZYDIS_ATTRIB_HAS_MODRM;
    d->imm_n = 0;
}

static ZydisDecodedOperand *first_register(struct dec *d)
{
    for (unsigned k = 0; k < d->z.operand_count_visible; k++)
        if (d->ops[k].type == ZYDIS_OPERAND_TYPE_REGISTER)
            return &d->ops[k];
    return NULL;
}

/* INC and DEC by 40h..4Fh, which are REX prefixes. */
static bool inc_dec(struct dec *d, u8 opcode)
{
    ZydisDecodedOperand *r = first_register(d);
    if (!r)
        return false;
    d->opcode[0] = 0xff;
    give_modrm(d, opcode >> 3 & 1, opcode & 7);
    r->encoding = ZYDIS_OPERAND_ENCODING_MODRM_RM;
    return true;
}

/* MOV between the accumulator and an address, which has 64 bits there. */
static bool moffs(struct dec *d, u8 opcode)
{
    ZydisDecodedOperand *r = first_register(d);
    if (!r)
        return false;
    d->i.op = OP_MOV;
    d->opcode[0] = (u8)(0x88 | (opcode & 1) | (opcode & 2 ? 0 : 2));
    give_modrm(d, RAX, 0);
    r->encoding = ZYDIS_OPERAND_ENCODING_MODRM_REG;
    return true;
}

/* Bits of VEX that 32-bit code ignores, and W where it chooses 64-bit registers. */
static bool vex_is_same(const struct dec *d)
{
    if (!(d->vex[0] & 0x20) || !(d->vex[1] & 0x40))
        return false;
    if (d->i.op == OP_VZEROUPPER || d->i.op == OP_VZEROALL) /* of eight registers */
        return false;
    for (unsigned k = 0; k < d->z.operand_count; k++) {
        unsigned g;
        bool high;
        if (d->ops[k].encoding == ZYDIS_OPERAND_ENCODING_IS4 && d->bytes[d->imm_at] & 0x80)
            return false;
        if (d->vex[1] & 0x80 && operand_gpr(&d->ops[k], &g, &high))
            return false;
    }
    switch (d->i.op) {
    case OP_VMOVD:
    case OP_VMOVQ:
    case OP_VPEXTRD:
    case OP_VPEXTRQ:
    case OP_VPINSRD:
    case OP_VPINSRQ: return !(d->vex[1] & 0x80);
    default: return true;
    }
}

bool code32_encode(struct dec *d)
{
    u8 opcode = d->opcode[0];
    if (d->vex[0])
        return vex_is_same(d);
    if (d->opcode_n != 1)
        return true;
    if ((opcode & 0xf0) == 0x40)
        return inc_dec(d, opcode);
    if (opcode >= 0xa0 && opcode <= 0xa3)
        return moffs(d, opcode);
    if (opcode == 0x82) /* 80h once more */
        d->opcode[0] = 0x80;
    return !lost(opcode);
}
