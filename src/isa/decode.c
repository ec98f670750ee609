/* Decoding by Zydis, turned once into our record (DESIGN section 6). Pure: no state, no memory but the bytes given.
 * MPX, CET and CLDEMOTE are not offered, so their encodings decode as the NOPs that they are on CPUs without them. */
#include <Zydis/Decoder.h>
#include <string.h>

#include "base/bits.h"
#include "cpu/cpu.h"
#include "isa/decode_full.h"

/* Zydis' mnemonic to our operation; 0 is OP_INVALID. */
static const u16 op_of_mnemonic[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#define OPX(...)
#define OP(name, ...) [ZYDIS_MNEMONIC_##name] = OP_##name,
#include "isa/ops.def"
#undef OP
#undef OPX
};

static const char *const op_names[OP_COUNT] = {
    [OP_INVALID] = "(invalid)",
#define OP(name, ...) [OP_##name] = #name,
#include "isa/ops.def"
#undef OP
};

const char *op_name(enum op op)
{
    return op < OP_COUNT ? op_names[op] : "(out of range)";
}

static void decoder_for(ZydisDecoder *d, unsigned code_size, bool amd)
{
    static const struct {
        ZydisMachineMode mode;
        ZydisStackWidth stack;
    } modes[] = {
        {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
        {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
        {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
    };
    unsigned k = code_size == 8 ? 2 : code_size == 4 ? 1 : 0;
    ZydisDecoderInit(d, modes[k].mode, modes[k].stack);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_AMD_BRANCHES, amd);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, false);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, false);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CLDEMOTE, false);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_WBNOINVD, false);
}

/* A register as the record holds it: its number, or the byte offset for 8-bit GPRs. VECTOR grows to the class's bytes. */
static u8 reg_number(ZydisRegister r, u8 *vector)
{
    ZyanI8 id = ZydisRegisterGetId(r);
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR8:
        if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
            return (u8)(8 * (r - ZYDIS_REGISTER_AH) + 1);
        if (r < ZYDIS_REGISTER_AH)
            return (u8)(8 * (r - ZYDIS_REGISTER_AL));
        return (u8)(8 * (r - ZYDIS_REGISTER_SPL + 4));
    case ZYDIS_REGCLASS_MMX:
        *vector = *vector < 8 ? 8 : *vector;
        break;
    case ZYDIS_REGCLASS_XMM:
        *vector = *vector < 16 ? 16 : *vector;
        break;
    case ZYDIS_REGCLASS_YMM:
        *vector = *vector < 32 ? 32 : *vector;
        break;
    default:
        break;
    }
    return (u8)id;
}

static u8 gpr_or_zero(ZydisRegister r)
{
    if (r == ZYDIS_REGISTER_NONE)
        return GPR_ZERO;
    if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
        return GPR_RIP;
    return (u8)ZydisRegisterGetId(r);
}

static u8 segment(ZydisRegister r)
{
    static const u8 map[] = {SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS};
    ZyanI8 id = ZydisRegisterGetId(r);
    return id >= 0 && id < (ZyanI8)sizeof map ? map[id] : SEG_DS;
}

static u8 segment_override(const ZydisDecodedInstruction *z)
{
    static const struct {
        u64 attribute;
        u8 seg;
    } map[] = {
        {ZYDIS_ATTRIB_HAS_SEGMENT_CS, SEG_CS}, {ZYDIS_ATTRIB_HAS_SEGMENT_SS, SEG_SS},
        {ZYDIS_ATTRIB_HAS_SEGMENT_DS, SEG_DS}, {ZYDIS_ATTRIB_HAS_SEGMENT_ES, SEG_ES},
        {ZYDIS_ATTRIB_HAS_SEGMENT_FS, SEG_FS}, {ZYDIS_ATTRIB_HAS_SEGMENT_GS, SEG_GS},
    };
    for (unsigned k = 0; k < ARRAY_LEN(map); k++)
        if (z->attributes & map[k].attribute)
            return map[k].seg;
    return SEG_DS;
}

/* What the visible operands turned out to be. */
struct shape {
    unsigned regs; /* without VEX.vvvv sources and is4 */
    unsigned imms;
    bool mem, mem_first, relative, far_pointer;
    u8 vector; /* bytes of the largest vector register */
};

/* SIB.base 101 with ModRM.mod 00 is a displacement alone, whatever REX.B and VEX.B say (SDM vol. 2, table 2-5); Zydis 4.0 takes R13 then. */
static bool sib_without_base(const ZydisDecodedInstruction *z)
{
    return z->raw.sib.offset && z->raw.sib.base == 5 && z->raw.modrm.mod == 0;
}

static void take_memory(struct insn *i, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
    bool no_base = sib_without_base(z);
    i->base = no_base ? GPR_ZERO : gpr_or_zero(o->mem.base);
    i->index = gpr_or_zero(o->mem.index);
    i->scale = o->mem.index == ZYDIS_REGISTER_NONE ? 0 : (u8)(o->mem.scale == 8   ? 3
                                                              : o->mem.scale == 4 ? 2
                                                              : o->mem.scale == 2 ? 1
                                                                                  : 0);
    i->disp = (i32)(no_base ? z->raw.disp.value : o->mem.disp.value);
    i->seg = segment(o->mem.segment);
    i->msize = (u8)(o->size / 8);
}

static void take_immediate(struct insn *i, const ZydisDecodedOperand *o, struct shape *s)
{
    u64 v = o->imm.value.u;
    if (s->imms == 0) {
        i->imm = (i32)v;
        /* MOV r64, imm64 alone needs the upper half; everything else was sign-extended from 32 bits or less. */
        if (i->op == OP_MOV && !s->mem)
            i->disp = (i32)(v >> 32);
    } else {
        i->imm = (i32)(((u32)i->imm & 0xffff) | (u32)v << 16); /* ENTER imm16, imm8 */
    }
    s->relative |= (bool)o->imm.is_relative;
    s->imms++;
}

static void take_register(struct insn *i, const ZydisDecodedOperand *o, unsigned position, struct shape *s)
{
    u8 n = reg_number(o->reg.value, &s->vector);
    bool moves_between_files = i->op == OP_MOVD || i->op == OP_MOVQ || i->op == OP_VMOVD || i->op == OP_VMOVQ;
    if (moves_between_files && ZydisRegisterGetClass(o->reg.value) <= ZYDIS_REGCLASS_GPR64)
        i->rv = position == 0 ? 2 : 1; /* isa/ops_simd.def */
    if (position == 0) {
        i->rd = n;
        if (o->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD)
            i->rv = n;
        s->regs++;
    } else if (o->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD) {
        i->rv = n;
    } else if (o->encoding == ZYDIS_OPERAND_ENCODING_IS4) {
        i->imm = n;
    } else if (o->visibility == ZYDIS_OPERAND_VISIBILITY_IMPLICIT && position == 2) {
        i->rv = n; /* SHLD r, r, CL and the like */
    } else {
        i->rs = n;
        if (i->op == OP_MOVZX || i->op == OP_MOVSX || i->op == OP_MOVSXD || i->op == OP_CRC32)
            i->msize = (u8)(o->size / 8); /* the source's width, as for memory */
        s->regs++;
    }
}

static void take_operands(struct insn *i, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops, struct shape *s)
{
    for (unsigned k = 0; k < z->operand_count_visible; k++) {
        const ZydisDecodedOperand *o = &ops[k];
        switch (o->type) {
        case ZYDIS_OPERAND_TYPE_REGISTER:
            take_register(i, o, k, s);
            break;
        case ZYDIS_OPERAND_TYPE_MEMORY:
            take_memory(i, z, o);
            s->mem = true;
            s->mem_first = k == 0;
            break;
        case ZYDIS_OPERAND_TYPE_IMMEDIATE:
            take_immediate(i, o, s);
            break;
        case ZYDIS_OPERAND_TYPE_POINTER:
            i->imm = (i32)o->ptr.offset;
            i->disp = o->ptr.segment;
            s->far_pointer = true;
            break;
        default:
            break;
        }
    }
}

static enum form form_of(const struct shape *s)
{
    if (s->relative)
        return FORM_REL;
    if (s->far_pointer)
        return FORM_I;
    if (s->mem && s->mem_first)
        return s->regs ? (s->imms ? FORM_MRI : FORM_MR) : s->imms ? FORM_MI : FORM_M;
    if (s->mem)
        return s->regs ? (s->imms ? FORM_RMI : FORM_RM) : FORM_M;
    if (s->regs >= 2)
        return s->imms ? FORM_RRI : FORM_RR;
    if (s->regs == 1)
        return s->imms ? FORM_RI : FORM_R;
    return s->imms ? FORM_I : FORM_NONE;
}

static bool is_string(const ZydisDecodedInstruction *z)
{
    return z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
           ((z->opcode >= 0xa4 && z->opcode <= 0xa7) || (z->opcode >= 0xaa && z->opcode <= 0xaf) ||
            (z->opcode >= 0x6c && z->opcode <= 0x6f));
}

static u16 op_string(u8 opcode)
{
    switch (opcode & 0xfe) {
    case 0xa4: return OP_MOVS;
    case 0xa6: return OP_CMPS;
    case 0xaa: return OP_STOS;
    case 0xac: return OP_LODS;
    case 0xae: return OP_SCAS;
    case 0x6c: return OP_INS;
    default: return OP_OUTS;
    }
}

/* Rows that share a mnemonic, told apart by opcode. */
static u16 op_split(const ZydisDecodedInstruction *z, u16 op)
{
    bool map0f = z->opcode_map == ZYDIS_OPCODE_MAP_0F, map0 = z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
    bool is_far = z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
    if (is_string(z))
        return op_string(z->opcode);
    if ((map0 && z->opcode >= 0x70 && z->opcode <= 0x7f) || (map0f && z->opcode >= 0x80 && z->opcode <= 0x8f))
        return OP_JCC;
    if (map0f && z->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        if (z->opcode >= 0x40 && z->opcode <= 0x4f)
            return OP_CMOVCC;
        if (z->opcode >= 0x90 && z->opcode <= 0x9f)
            return OP_SETCC;
    }
    switch (z->mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        if (map0f)
            return z->opcode == 0x20   ? OP_MOV_FROM_CR
                   : z->opcode == 0x21 ? OP_MOV_FROM_DR
                   : z->opcode == 0x22 ? OP_MOV_TO_CR
                                       : OP_MOV_TO_DR;
        return z->opcode == 0x8c                        ? OP_MOV_FROM_SEG
               : z->opcode == 0x8e                      ? OP_MOV_TO_SEG
               : z->opcode == 0xa0 || z->opcode == 0xa1 ? OP_MOV_LOAD_MOFFS
               : z->opcode == 0xa2 || z->opcode == 0xa3 ? OP_MOV_STORE_MOFFS
                                                        : OP_MOV;
    case ZYDIS_MNEMONIC_PUSH:
        return map0f || (map0 && z->opcode < 0x20) ? OP_PUSH_SEG : OP_PUSH;
    case ZYDIS_MNEMONIC_POP:
        return map0f || (map0 && z->opcode < 0x20) ? OP_POP_SEG : OP_POP;
    case ZYDIS_MNEMONIC_JMP:
        return is_far ? OP_JMP_FAR : OP_JMP;
    case ZYDIS_MNEMONIC_CALL:
        return is_far ? OP_CALL_FAR : OP_CALL;
    case ZYDIS_MNEMONIC_RET:
        return is_far ? OP_RET_FAR : OP_RET;
    default:
        return op;
    }
}

static enum decode_status status_of(ZyanStatus s)
{
    if (s == ZYDIS_STATUS_NO_MORE_DATA)
        return DECODE_MORE;
    if (s == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
        return DECODE_TOO_LONG;
    return DECODE_UD;
}

static void take_prefixes(struct insn *i, const ZydisDecodedInstruction *z)
{
    u64 a = z->attributes;
    i->flags = (u8)((a & ZYDIS_ATTRIB_HAS_LOCK ? INSN_LOCK : 0) |
                    (a & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE) ? INSN_REP : 0) |
                    (a & ZYDIS_ATTRIB_HAS_REPNE ? INSN_REPNE : 0) | (a & ZYDIS_ATTRIB_HAS_VEX ? INSN_VEX : 0));
    if (z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        i->flags |= (u8)((z->raw.vex.W ? INSN_REX_W : 0) | (z->raw.vex.L ? INSN_VEX_L : 0));
    else if (z->raw.rex.W)
        i->flags |= INSN_REX_W;
}

static u8 repeat_prefix(const ZydisDecodedInstruction *z)
{
    u8 last = 0;
    for (unsigned k = 0; k < z->raw.prefix_count; k++)
        last = (z->raw.prefixes[k].value & 0xfe) == 0xf2 ? z->raw.prefixes[k].value : last;
    return last;
}

/* What AMD's silicon makes of encodings that Intel's reads otherwise. False: #UD. */
static bool amd_differs(const ZydisDecodedInstruction *z, struct insn *i, unsigned code_size)
{
    u8 rep = repeat_prefix(z);
    if (i->op == OP_PAUSE && z->raw.rex.B) { /* F3 41 90: XCHG r8, rAX; for Intel's REX.B is nothing there */
        i->op = OP_XCHG;
        i->form = FORM_RR;
        i->rd = 8;
        i->rs = RAX;
    }
    if (i->op == OP_LOOPE || i->op == OP_LOOPNE)
        i->op = rep == 0xf2 ? OP_LOOPNE : rep == 0xf3 ? OP_LOOPE : i->op;
    bool prefix66 = z->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE;
    if (code_size == 8 && prefix66 && !z->raw.rex.W && z->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE && i->op >= OP_JCC && i->op <= OP_LOOPNE)
        i->size = i->msize = 2;
    if (z->opcode_map == ZYDIS_OPCODE_MAP_0F && z->opcode == 0x0d && z->raw.modrm.mod == 3)
        return false; /* PREFETCHW and its reserved neighbours with a register */
    bool element = i->op == OP_VPINSRD || i->op == OP_VPEXTRD;
    return !(element && code_size != 8 && z->raw.vex.W);
}

/* What Zydis takes too literally, on any silicon. */
static void correct(struct insn *i, unsigned code_size)
{
    if (code_size != 8)
        i->flags &= (u8)~INSN_REX_W; /* VPCMPESTRI and its like take 32-bit lengths */
    bool base = i->op >= OP_RDFSBASE && i->op <= OP_WRGSBASE;
    if (base && i->size == 2)
        i->size = 4;
}

/* AMD's silicon ignores 66, F2 and F3 before RDPKRU and WRPKRU, where Intel's raises #UD. Puts the bytes without them into OUT, the length
 * with them into *WHOLE; 0: it is neither. */
static unsigned pkru_without_prefixes(const u8 *bytes, unsigned len, bool code64, u8 *out, unsigned *whole)
{
    unsigned n = 0, at = 0;
    for (; at < len; at++) {
        u8 b = bytes[at];
        bool ignored = b == 0x66 || (b & 0xfe) == 0xf2, segment = (b & 0xe7) == 0x26 || (b & 0xfe) == 0x64;
        if (!ignored && !segment && b != 0x67 && !(code64 && (b & 0xf0) == 0x40))
            break;
        if (!ignored)
            out[n++] = b;
    }
    if (len - at < 3 || n == at || bytes[at] != 0x0f || bytes[at + 1] != 1 || (bytes[at + 2] & 0xfe) != 0xee)
        return 0;
    memcpy(out + n, bytes + at, 3);
    *whole = at + 3;
    return n + 3;
}

enum decode_status insn_decode(const u8 *bytes, unsigned len, unsigned code_size, struct insn *i)
{
    ZydisDecodedInstruction z;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    return insn_decode_full(bytes, len, code_size, i, &z, ops);
}

enum decode_status insn_decode_full(const u8 *bytes, unsigned len, unsigned code_size, struct insn *i,
                                    ZydisDecodedInstruction *zp, ZydisDecodedOperand *ops)
{
    ZydisDecoder d;
    bool amd = code_size & DECODE_AMD;
    code_size &= ~DECODE_AMD;
    decoder_for(&d, code_size, amd);
    len = len < 15 ? len : 15;
    ZyanStatus st = ZydisDecoderDecodeFull(&d, bytes, len, zp, ops);
    if (UNLIKELY(!ZYAN_SUCCESS(st)) && amd) {
        u8 plain[15];
        unsigned whole, n = pkru_without_prefixes(bytes, len, code_size == 8, plain, &whole);
        if (n && ZYAN_SUCCESS(st = ZydisDecoderDecodeFull(&d, plain, n, zp, ops)))
            zp->length = (ZyanU8)whole;
    }
    if (!ZYAN_SUCCESS(st))
        return st == ZYDIS_STATUS_NO_MORE_DATA && len >= 15 ? DECODE_TOO_LONG : status_of(st);
    if (zp->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && zp->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
        return DECODE_UD; /* EVEX forms share mnemonics with VEX ones */
    if (zp->meta.isa_ext == ZYDIS_ISA_EXT_KNC || zp->meta.isa_ext == ZYDIS_ISA_EXT_KNCE || zp->meta.isa_ext == ZYDIS_ISA_EXT_KNCV)
        return DECODE_UD; /* Knights Corner's VEX forms of Jcc, POPCNT and others, which Zydis 4.0 takes in every mode */
    memset(i, 0, sizeof *i);
    i->base = i->index = GPR_ZERO;
    i->len = zp->length;
    i->size = (u8)(zp->operand_width / 8);
    i->asize = (u8)(zp->address_width / 8);
    i->seg = segment_override(zp);
    i->op = op_split(zp, op_of_mnemonic[zp->mnemonic]);
    if (i->op == OP_INVALID)
        return DECODE_UNBUILT;
    take_prefixes(i, zp);
    struct shape s = {0};
    if (!is_string(zp))
        take_operands(i, zp, ops, &s);
    i->form = (u8)form_of(&s);
    if (i->op == OP_MOVSXD && i->size == 2)
        i->msize = amd ? 4 : 2; /* the manual's source has 16 bits here; AMD's silicon reads 32 all the same, as Zydis 4.0 says */
    if (s.vector)
        i->size = s.vector;
    if (i->op == OP_JCC || i->op == OP_CMOVCC || i->op == OP_SETCC)
        i->rv = zp->opcode & 15;
    if (i->op == OP_MOV_LOAD_MOFFS || i->op == OP_MOV_STORE_MOFFS)
        i->imm = (i32)((u64)zp->raw.disp.value >> 32);
    if (s.mem && i->seg != SEG_FS && i->seg != SEG_GS)
        i->flags |= INSN_SEG_PLAIN;
    if (is_string(zp) && i->seg != SEG_FS && i->seg != SEG_GS)
        i->flags |= INSN_SEG_PLAIN;
    correct(i, code_size);
    return amd && !amd_differs(zp, i, code_size) ? DECODE_UD : DECODE_OK;
}
