/* Flag instructions, decimal arithmetic, NOPs and hints, BOUND, ARPL. */
#include "isa/alu_amd.h"

#include "engine/interp/int.h"

static const struct insn *NOP(struct cpu *c __attribute__((unused)), const struct insn *i)
{
    NEXT(c, i);
}

static const struct insn *CARRY(struct cpu *c, const struct insn *i)
{
    flags_put_cf(&c->fl, i->op == OP_STC || (i->op == OP_CMC && !flag_cf(&c->fl)));
    NEXT(c, i);
}

static const struct insn *CLD(struct cpu *c, const struct insn *i)
{
    c->rflags_sys &= ~(u64)RFLAGS_DF;
    NEXT(c, i);
}

static const struct insn *STD(struct cpu *c, const struct insn *i)
{
    c->rflags_sys |= RFLAGS_DF;
    NEXT(c, i);
}

static const struct insn *LAHF(struct cpu *c, const struct insn *i)
{
    c->gpr[RAX].b[1] = (u8)(flags_value(&c->fl) | RFLAGS_ONE);
    NEXT(c, i);
}

static const struct insn *SAHF(struct cpu *c, const struct insn *i)
{
    u32 of = flags_value(&c->fl) & RFLAGS_OF;
    flags_load(&c->fl, of | c->gpr[RAX].b[1]);
    NEXT(c, i);
}

static const struct insn *SALC(struct cpu *c, const struct insn *i)
{
    c->gpr[RAX].b[0] = flag_cf(&c->fl) ? 0xff : 0;
    NEXT(c, i);
}

/* SF ZF PF of AL; CF and AF as given. OF is undefined: silicon clears it. */
static void flags_decimal(struct cpu *c, bool cf, bool af)
{
    flags_logic(&c->fl, c->gpr[RAX].b[0], 1);
    c->fl.cv = (cf ? BIT(63) | BIT(62) : 0) | (af ? 8 : 0);
}

/* AMD: OF is the signed overflow of the correction. */
static void amd_flags_decimal(struct cpu *c, u8 before, bool sub)
{
    u8 after = c->gpr[RAX].b[0];
    flags_put_cf_of(&c->fl, flag_cf(&c->fl), (sub ? before & ~after : ~before & after) & 0x80);
}

/* DAA, DAS: SDM vol. 2. */
static void decimal(struct cpu *c, const struct insn *i)
{
    u8 al = c->gpr[RAX].b[0];
    bool old_cf = flag_cf(&c->fl), af = (al & 15) > 9 || flag_af(&c->fl), sub = i->op == OP_DAS;
    bool cf = old_cf || al > 0x99;
    u8 r = al;
    if (af)
        r = (u8)(sub ? r - 6 : r + 6);
    if (cf)
        r = (u8)(sub ? r - 0x60 : r + 0x60);
    /* DAS with AL < 6 borrows in its first step. */
    if (sub && af && al < 6)
        cf = true;
    c->gpr[RAX].b[0] = r;
    flags_decimal(c, cf, af);
}

static const struct insn *DAA(struct cpu *c, const struct insn *i)
{
    decimal(c, i);
    NEXT(c, i);
}

static const struct insn *DAA_AMD(struct cpu *c, const struct insn *i)
{
    u8 before = c->gpr[RAX].b[0];
    decimal(c, i);
    amd_flags_decimal(c, before, i->op == OP_DAS);
    NEXT(c, i);
}

/* AMD: SF ZF PF are those of AX before AL loses its upper half, OF is the signed overflow. */
static const struct insn *AAA_AMD(struct cpu *c, const struct insn *i)
{
    u16 before = c->gpr[RAX].w;
    bool adjust = (c->gpr[RAX].b[0] & 15) > 9 || flag_af(&c->fl);
    if (adjust)
        c->gpr[RAX].w = (u16)(i->op == OP_AAA ? c->gpr[RAX].w + 0x106 : c->gpr[RAX].w - 0x106);
    u16 after = c->gpr[RAX].w;
    bool of = (i->op == OP_AAA ? ~before & after : before & ~after) & 0x8000;
    flags_logic(&c->fl, after, 2);
    c->fl.cv = adjust ? 8 : 0;
    flags_put_cf_of(&c->fl, adjust, of);
    c->gpr[RAX].b[0] &= 15;
    NEXT(c, i);
}

static const struct insn *AAA(struct cpu *c, const struct insn *i)
{
    bool adjust = (c->gpr[RAX].b[0] & 15) > 9 || flag_af(&c->fl);
    if (adjust)
        c->gpr[RAX].w = (u16)(i->op == OP_AAA ? c->gpr[RAX].w + 0x106 : c->gpr[RAX].w - 0x106);
    c->gpr[RAX].b[0] &= 15;
    flags_decimal(c, adjust, adjust);
    NEXT(c, i);
}

static const struct insn *AAM(struct cpu *c, const struct insn *i)
{
    u8 base = (u8)i->imm, al = c->gpr[RAX].b[0];
    if (!base)
        TRY(c, i, cpu_raise(c, VEC_DE));
    c->gpr[RAX].b[1] = al / base;
    c->gpr[RAX].b[0] = al % base;
    flags_decimal(c, false, false);
    NEXT(c, i);
}

static const struct insn *AAD(struct cpu *c, const struct insn *i)
{
    /* O, A and C, undefined, are those of the addition. */
    c->gpr[RAX].w = (u16)alu_add(&c->fl, c->gpr[RAX].b[0], (u8)(c->gpr[RAX].b[1] * (u8)i->imm), 1);
    NEXT(c, i);
}

static const struct insn *BOUND(struct cpu *c, const struct insn *i)
{
    u64 lin, bound = 0;
    i64 v = (i64)extend(reg_get(c, i->rd, i->size), i->size);
    /* The lower bound is read and decides before the upper is looked at; on AMD's silicon both are read first. */
    TRY(c, i, op_load(c, i, &bound, i->size));
    bool below = v < (i64)extend(bound, i->size);
    if (below && !interp_amd(c))
        TRY(c, i, cpu_raise(c, VEC_BR));
    TRY(c, i, mem_address(c, i, 2u * i->size, false, &lin));
    TRY(c, i, lin_load(c, i, (u32)(lin + i->size), &bound, i->size));
    if (below || v > (i64)extend(bound, i->size))
        TRY(c, i, cpu_raise(c, VEC_BR));
    NEXT(c, i);
}

static const struct insn *ARPL(struct cpu *c, const struct insn *i)
{
    if (!cpu_protected(c) || cpu_v86(c))
        TRY(c, i, cpu_raise_ud(c));
    /* Memory is read first, and written only where it changes: the faults are of that. */
    u64 lin = 0;
    u16 dst = 0, rpl = c->gpr[i->rs].w & 3;
    if (i->form == FORM_MR)
        TRY(c, i, mem_address(c, i, 2, false, &lin) && lin_load(c, i, lin, &dst, 2));
    else
        dst = c->gpr[i->rd].w;
    bool raise = (dst & 3) < rpl;
    if (raise)
        dst = (u16)((dst & ~3) | rpl);
    if (i->form != FORM_MR)
        c->gpr[i->rd].w = dst;
    else if (raise)
        TRY(c, i, mem_address(c, i, 2, true, &lin) && lin_store(c, i, lin, &dst, 2));
    flags_put_zf(&c->fl, raise);
    NEXT(c, i);
}

insn_fn bind_misc(const struct insn *i, enum silicon silicon)
{
    bool amd = silicon_is_amd(silicon);
    switch (i->op) {
    case OP_CLC:
    case OP_STC:
    case OP_CMC: return CARRY;
    case OP_CLD: return CLD;
    case OP_STD: return STD;
    case OP_LAHF: return LAHF;
    case OP_SAHF: return SAHF;
    case OP_SALC: return SALC;
    case OP_DAA:
    case OP_DAS: return amd ? DAA_AMD : DAA;
    case OP_AAA:
    case OP_AAS: return amd ? AAA_AMD : AAA;
    case OP_AAM: return AAM;
    case OP_AAD: return AAD;
    case OP_BOUND: return BOUND;
    case OP_ARPL: return ARPL;
    case OP_NOP:
    case OP_PAUSE:
    case OP_PREFETCH:
    case OP_PREFETCHNTA:
    case OP_PREFETCHT0:
    case OP_PREFETCHT1:
    case OP_PREFETCHT2:
    case OP_PREFETCHW:
    case OP_PREFETCHWT1:
    case OP_ENDBR32:
    case OP_ENDBR64:
    case OP_LFENCE:
    case OP_MFENCE:
    case OP_SFENCE: return NOP;
    default: return NULL;
    }
}

insn_fn interp_bind_INT(const struct insn *i, unsigned code_size, bool flat)
{
    bool plain = mem_is_plain(i, code_size, flat);
    enum silicon silicon = (enum silicon)i->off;
    insn_fn fn = bind_alu(i, plain);
    if (!fn)
        fn = bind_mov(i, plain);
    if (!fn)
        fn = bind_shift(i, silicon);
    if (!fn)
        fn = bind_stack(i, code_size, flat);
    if (!fn)
        fn = bind_muldiv(i, silicon);
    if (!fn)
        fn = bind_bits(i, silicon);
    return fn ? fn : bind_misc(i, silicon);
}
