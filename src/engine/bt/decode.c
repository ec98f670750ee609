/* From guest bytes to a record that the translator can re-encode, and the choice of what to do with it: the
 * bt column of isa/ops.def, refined by operand form. */
#include "isa/decode_mode.h"
#include "engine/bt/tr.h"
#include "engine/bt/x87.h"
#include "engine/interp/inner.h"

enum bt_choice { BT_COPY, BT_MEM, BT_HELPER, BT_FLOW, BT_LEAVE };
enum bt_family { FAMILY_INT, FAMILY_STRING, FAMILY_FLOW, FAMILY_SYSTEM, FAMILY_X87, FAMILY_SIMD, FAMILY_AVX };

static const struct {
    u8 choice, family;
} rows[OP_COUNT] = {
#define OP(name, family, feature, written, undefined, bt) [OP_##name] = {BT_##bt, FAMILY_##family},
#include "isa/ops.def"
#undef OP
};

static bool is_prefix(u8 c)
{
    return c == 0x66 || c == 0x67 || c == 0xf0 || c == 0xf2 || c == 0xf3 || c == 0x2e || c == 0x36 ||
           c == 0x3e || c == 0x26 || c == 0x64 || c == 0x65;
}

/* A prefix that repeats counts where it stands last, and is kept once: what is emitted must not get longer than 15 bytes. */
static void keep(struct dec *d, u8 prefix)
{
    unsigned n = 0;
    for (unsigned k = 0; k < d->kept_n; k++)
        if (d->kept[k] != prefix)
            d->kept[n++] = d->kept[k];
    d->kept[n++] = prefix;
    d->kept_n = (u8)n;
}

/* Prefixes, opcode, ModRM, and where the immediate is. A REX that does not stand last has no effect (SDM vol.
 * 2, 2.2.1). */
static void take_apart(struct dec *d)
{
    const u8 *p = d->bytes;
    d->kept_n = 0, d->rex = 0, d->vex[0] = d->vex[1] = 0;
    for (;; p++) {
        if (is_prefix(*p)) {
            d->rex = 0;
            if (*p == 0x66 || *p >= 0xf0)
                keep(d, *p);
        } else if ((*p & 0xf0) == 0x40 && !d->code32) {
            d->rex = *p;
        } else {
            break;
        }
    }
    d->opcode_n = 0;
    if (d->i.flags & INSN_VEX) {
        if (*p == 0xc5) {
            d->vex[0] = (u8)((p[1] & 0x80) | 0x61);
            d->vex[1] = p[1] & 0x7f;
            p += 2;
        } else {
            d->vex[0] = p[1];
            d->vex[1] = p[2];
            p += 3;
        }
        d->opcode[d->opcode_n++] = *p++;
    } else {
        if (*p == 0x0f) {
            d->opcode[d->opcode_n++] = *p++;
            if (*p == 0x38 || *p == 0x3a)
                d->opcode[d->opcode_n++] = *p++;
        }
        d->opcode[d->opcode_n++] = *p++;
    }
    if (d->z.attributes & ZYDIS_ATTRIB_HAS_MODRM) {
        d->modrm = *p++;
        unsigned mod = d->modrm >> 6, rm = d->modrm & 7;
        if (mod != 3) {
            unsigned base = rm == 4 ? *p++ & 7u : rm;
            p += mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
        }
    }
    d->imm_at = (u8)(p - d->bytes);
    d->imm_n = (u8)(d->i.len - d->imm_at);
}

/* Shifts leave the flags alone when the count is 0. */
static bool shift_full(const struct dec *d)
{
    u8 op = d->opcode[0];
    if (op == 0xd0 || op == 0xd1)
        return true;
    return (op == 0xc0 || op == 0xc1) && d->bytes[d->imm_at] & (d->i.size == 8 ? 63 : 31);
}

/* All six flags are written on every processor, whatever they were. */
static bool writes_all(const struct dec *d)
{
    switch (d->i.op) {
    case OP_ADD:
    case OP_SUB:
    case OP_CMP:
    case OP_NEG:
    case OP_AND:
    case OP_OR:
    case OP_XOR:
    case OP_TEST:
    case OP_XADD:
    case OP_CMPXCHG:
    case OP_POPCNT:
    case OP_ADC:
    case OP_SBB:
    case OP_COMISS:
    case OP_COMISD:
    case OP_UCOMISS:
    case OP_UCOMISD:
    case OP_PTEST:
    case OP_VCOMISS:
    case OP_VCOMISD:
    case OP_VUCOMISS:
    case OP_VUCOMISD:
    case OP_VPTEST: return true;
    case OP_SHL:
    case OP_SHR:
    case OP_SAR: return shift_full(d);
    default: return false;
    }
}

#define ARITH                                                                                                \
    (ZYDIS_CPUFLAG_CF | ZYDIS_CPUFLAG_PF | ZYDIS_CPUFLAG_AF | ZYDIS_CPUFLAG_ZF | ZYDIS_CPUFLAG_SF |          \
     ZYDIS_CPUFLAG_OF)

static void flags_of(struct dec *d)
{
    const ZydisAccessedFlags *f = d->z.cpu_flags;
    d->reads_flags = f && f->tested & ARITH;
    d->touches_flags = f && (f->modified | f->set_0 | f->set_1 | f->undefined) & ARITH;
    d->full = d->touches_flags && writes_all(d);
}

/* Approximations and selections that the interpreter does by tables of its own. */
static bool estimates(u16 op)
{
    return op == OP_RCPPS || op == OP_RCPSS || op == OP_RSQRTPS || op == OP_RSQRTSS || op == OP_VRCPPS ||
           op == OP_VRCPSS || op == OP_VRSQRTPS || op == OP_VRSQRTSS;
}

static bool has_mmx(const struct dec *d)
{
    for (unsigned k = 0; k < d->z.operand_count; k++)
        if (d->ops[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(d->ops[k].reg.value) == ZYDIS_REGCLASS_MMX)
            return true;
    return d->i.op == OP_EMMS;
}

bool dec_is_integer(const struct dec *d)
{
    return rows[d->i.op].family == FAMILY_INT && d->i.op != OP_DIV && d->i.op != OP_IDIV;
}

static unsigned word_of(const struct dec *d)
{
    return d->code32 ? 4 : 8;
}

static u8 kind_flow(const struct dec *d)
{
    bool narrow = false;
    for (unsigned k = 0; k < d->kept_n; k++)
        narrow |= d->kept[k] == 0x66;
    switch (d->i.op) {
    case OP_JCC: return narrow ? K_STEP : K_JCC;
    case OP_JMP: return narrow ? K_STEP : K_JMP;
    case OP_CALL: return narrow ? K_STEP : K_CALL;
    case OP_RET: return narrow ? K_STEP : K_RET;
    case OP_LEAVE: return narrow ? K_STEP : K_LEAVE;
    case OP_JRCXZ:
    case OP_JECXZ: return narrow ? K_STEP : K_JRCXZ;
    case OP_LOOP: return narrow || d->i.asize != word_of(d) ? K_STEP : K_LOOP;
    default: return K_STEP;
    }
}

static u8 kind_int(const struct bt *b, const struct dec *d)
{
    switch (d->i.op) {
    case OP_PAUSE: return b->cpu->company == CPU_ALONE ? K_GENERIC : K_STEP; /* another has its turn */
    case OP_NOP:
    case OP_ENDBR32:
    case OP_ENDBR64:
    case OP_PREFETCH:
    case OP_PREFETCHNTA:
    case OP_PREFETCHT0:
    case OP_PREFETCHT1:
    case OP_PREFETCHT2:
    case OP_PREFETCHW:
    case OP_PREFETCHWT1: return K_NOP;
    case OP_LEA: return K_LEA;
    case OP_PUSH: return d->i.size == word_of(d) ? K_PUSH : K_STEP;
    case OP_POP: return d->i.size == word_of(d) ? K_POP : K_STEP;
    case OP_BT:
    case OP_BTS:
    case OP_BTR:
    case OP_BTC: return d->i.form == FORM_MR ? K_STEP : K_GENERIC;
    case OP_XLAT:
    case OP_CLD:
    case OP_STD: return K_STEP;
    default: return K_GENERIC;
    }
}

static u8 kind_of(const struct bt *b, struct dec *d, u32 mode)
{
    u8 family = rows[d->i.op].family, choice = rows[d->i.op].choice;
    if (sensitive_in_line(b, d, mode))
        return K_SENSITIVE;
    if (family == FAMILY_FLOW)
        return kind_flow(d);
    if (family == FAMILY_STRING)
        return string_can(d) ? K_STRING : K_STEP;
    if (family == FAMILY_X87) {
        u8 kind = x87_kind(d, mode, choice == BT_COPY || choice == BT_MEM);
        return kind == K_GENERIC && !generic_can(d) ? K_STEP : kind;
    }
    bool stmxcsr = d->i.op == OP_STMXCSR || d->i.op == OP_VSTMXCSR;
    if (choice != BT_COPY && choice != BT_MEM && !stmxcsr)
        return K_STEP;
    u8 kind = K_STEP;
    if (family == FAMILY_INT)
        kind = kind_int(b, d);
    else if (family == FAMILY_SIMD && mode & BT_MODE_SSE && !estimates(d->i.op)) {
        kind = has_mmx(d) && !(mode & BT_MODE_X87) ? K_STEP : K_GENERIC;
        d->x87 = has_mmx(d) ? X87_USES : X87_NONE;
    }
    else if (family == FAMILY_AVX && mode & BT_MODE_AVX && !estimates(d->i.op))
        kind = K_GENERIC;
    return kind == K_GENERIC && !generic_can(d) ? K_STEP : kind;
}

/* 32-bit code: is D what kind_of took it for? Through CS nothing can be written, and 16-bit addresses are rare. */
static bool code32_can(const struct dec *d)
{
    if (d->kind == K_NOP || d->i.form == FORM_REL)
        return true;
    return d->i.asize == 4 && (d->i.seg != SEG_CS || d->kind == K_LEA);
}

bool bt_decode(struct bt *b, struct dec *d, const u8 *bytes, unsigned left, u32 mode)
{
    if (!left || insn_decode_full(bytes, left, cpu_decode_mode(b->cpu), &d->i, &d->z, d->ops) != DECODE_OK ||
        !interp_offered(b->cpu, &d->i))
        return false;
    d->bytes = bytes;
    d->x87 = X87_NONE;
    d->code32 = mode & BT_MODE_32;
    take_apart(d);
    flags_of(d);
    bool can = !d->code32 || code32_encode(d);
    d->kind = can ? kind_of(b, d, mode) : K_STEP;
    if (d->code32 && !code32_can(d))
        d->kind = K_STEP;
    i32 far = d->i.form == FORM_REL ? d->i.imm : 0;
    bool whole = d->code32 && d->kind == K_LEA; /* nothing is added to its displacement */
    bool constant = d->i.op == OP_MOV && d->i.form == FORM_RI; /* of 64 bits: its upper half stands there */
    if (far > INT32_MAX - (1 << 16) || far < INT32_MIN + (1 << 16))
        d->kind = K_STEP;
    if ((d->i.base != GPR_ZERO || d->code32) && !whole && d->i.disp > INT32_MAX - (1 << 16))
        d->kind = K_STEP;
    if (!whole && !constant && d->i.disp < INT32_MIN + (1 << 16))
        d->kind = K_STEP;
    return true;
}
