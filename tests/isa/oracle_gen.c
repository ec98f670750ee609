/* oracle_gen.h. Bytes are generated map by map, with random prefixes, ModRM and immediates, and kept if they decode to an operation of
 * isa/ops.def that a user program may execute and repeat; then registers are chosen that lead the memory operand to a place of interest. What could make the process under test
 * write to memory other than the windows is rejected. */
#include "oracle_gen.h"

#include <stddef.h>
#include <string.h>

#include "base/le.h"
#include "cpu/cpu.h"
#include "cpu/silicon.h"

static u64 pick(u64 *s, u64 n)
{
    return gen_pick(s, n);
}

/* True N times in a hundred. */
static bool often(u64 *s, unsigned n)
{
    return pick(s, 100) < n;
}

enum { FAMILY_NONE, FAMILY_INT, FAMILY_FLOW, FAMILY_STRING, FAMILY_SYSTEM, FAMILY_X87, FAMILY_SIMD, FAMILY_AVX };
static const u8 family_of[OP_COUNT] = {
#define OP(name, family, ...) [OP_##name] = FAMILY_##family,
#define OPX OP
#include "isa/ops.def"
#undef OPX
#undef OP
};

/* Why the oracle makes no cases of an operation. */
static const char elsewhere[] = "far transfers and segments: segments_host", values[] = "another value each time: values_host",
                  call[] = "a system call", umip[] = "Linux answers it itself (UMIP)", beneath[] = "a hypervisor beneath would answer",
                  not_offered[] = "not offered, #UD: random_bytes";
static const struct {
    u16 op;
    const char *why;
} left_out[] = {
    {OP_JMP_FAR, elsewhere},    {OP_CALL_FAR, elsewhere},    {OP_RET_FAR, elsewhere},  {OP_IRET, elsewhere},     {OP_IRETD, elsewhere},
    {OP_IRETQ, elsewhere},      {OP_LAR, elsewhere},         {OP_LSL, elsewhere},      {OP_VERR, elsewhere},     {OP_VERW, elsewhere},
    {OP_MOV_FROM_SEG, elsewhere}, {OP_MOV_TO_SEG, elsewhere}, {OP_PUSH_SEG, elsewhere}, {OP_POP_SEG, elsewhere},  {OP_LDS, elsewhere},
    {OP_LES, elsewhere},        {OP_LFS, elsewhere},         {OP_LGS, elsewhere},      {OP_LSS, elsewhere},      {OP_CPUID, values},
    {OP_RDTSC, values},         {OP_RDTSCP, values},         {OP_RDPID, values},       {OP_RDRAND, values},      {OP_RDSEED, values},
    {OP_RDPKRU, values},        {OP_WRPKRU, values},         {OP_XGETBV, values},      {OP_SYSCALL, call},       {OP_SYSENTER, call},
    {OP_SMSW, umip},            {OP_SGDT, umip},             {OP_SIDT, umip},          {OP_SLDT, umip},          {OP_STR, umip},
    {OP_VMCALL, beneath},       {OP_VMMCALL, beneath},       {OP_MONITOR, not_offered}, {OP_MWAIT, not_offered},
};

const char *gen_left_out(unsigned op)
{
    for (unsigned k = 0; k < ARRAY_LEN(left_out); k++)
        if (left_out[k].op == op)
            return left_out[k].why;
    return NULL;
}

bool gen_wants(unsigned op)
{
    return family_of[op] != FAMILY_NONE && !gen_left_out(op);
}

static bool is_vector(unsigned op)
{
    return family_of[op] >= FAMILY_X87;
}

static bool is_xsave(unsigned op)
{
    return op >= OP_XSAVE && op <= OP_XSAVEC64;
}

static bool is_gather(unsigned op)
{
    return op >= OP_VGATHERDPS && op <= OP_VPGATHERQQ;
}

static bool is_maskmov(unsigned op)
{
    return op == OP_MASKMOVQ || op == OP_MASKMOVDQU || op == OP_VMASKMOVDQU;
}

static u64 operand(u64 *s)
{
    static const u64 borders[] = {
        0, 1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7e, 0x7f, 0x80, 0x81, 0xfe, 0xff, 0x100, 0x7ffe, 0x7fff, 0x8000, 0xffff, 0x10000,
        0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0x5555555555555555, 0x8080808080808080,
        0x99, 0x9a, 0x0f, 0xa5a5, 0x8000800080008000, 0x7fff7fff7fff7fff, 0x8000000080000000, 0x7fffffff7fffffff,
    };
    u64 v = borders[pick(s, ARRAY_LEN(borders))];
    switch (pick(s, 8)) {
    case 0: return v;
    case 1: return ~v + 1;
    case 2: return ~v;
    case 3: return (gen_next(s) & ~0xffull) | (v & 0xff);
    case 4: return (gen_next(s) & ~0xffffull) | (v & 0xffff);
    case 5: return (gen_next(s) & ~0xffffffffull) | (v & 0xffffffff);
    default: return gen_next(s);
    }
}

/* An address: mostly in the window, at its ends, across its pages; sometimes where nothing can be. ALIGN: for LOCK, which must not split a cache line
 * (hosts punish that). */
static u64 place(u64 *s, unsigned bits, bool align)
{
    u64 at;
    switch (pick(s, 24)) {
    case 0: at = NATIVE_DATA + PAGE_SIZE - pick(s, 20); break;
    case 1: at = NATIVE_DATA_END - pick(s, 20); break;
    case 2: at = NATIVE_DATA - pick(s, 20); break;
    case 3: at = bits == 64 ? 0 - pick(s, 40) : NATIVE_DATA_END - pick(s, 40); break;
    case 4: at = bits == 64 ? 0x0000800000000000 - 16 + pick(s, 32) : pick(s, 20); break;
    case 5: at = bits == 64 ? 0xffff800000000000 - 16 + pick(s, 32) : NATIVE_DATA; break;
    case 6: at = bits == 64 ? gen_next(s) | 0x1000000000000000 : NATIVE_DATA_END; break;
    case 7:
    case 8:
    case 9: at = NATIVE_DATA + 8 * pick(s, NATIVE_DATA_LEN / 8); break;
    default: at = NATIVE_DATA + pick(s, NATIVE_DATA_LEN - 16); break;
    }
    return align ? at & ~15ull : at;
}

/* Somewhere to jump to: INT3 before the case's code, pages without anything, and no address at all. */
static u64 target(u64 *s, unsigned bits)
{
    if (bits == 64 && often(s, 4))
        return gen_next(s) | 0x1000000000000000;
    if (often(s, 4))
        return NATIVE_CODE - 1 - pick(s, PAGE_SIZE);
    return NATIVE_CODE + 16 + pick(s, 0x700);
}

void gen_fill(const struct icase *t, u8 *window)
{
    u64 s = t->fill & 0xff, same = t->fill & 8 ? 0 : operand(&s);
    unsigned image = t->poke_at ? gen_image_size(t->i.op, t->i.msize) : 0;
    bool vector = is_vector(t->i.op);
    for (unsigned k = 0; k < NATIVE_DATA_LEN; k += 8)
        st64(window + k, t->fill % 4 == 0 ? same : (s += 0x9e3779b97f4a7c15 * (s >> 40 | 1)));
    if (t->fill % 4 == 1 || (vector && t->fill % 4 == 2))
        for (unsigned k = 0; k < NATIVE_DATA_LEN; k += 16)
            st64(window + k, vector ? gen_vector_word(&s) : operand(&s));
    if (image && t->poke_at - NATIVE_DATA <= NATIVE_DATA_LEN - image)
        gen_image(&t->i, t->poke, window + (t->poke_at - NATIVE_DATA));
    else if (t->poke_at - NATIVE_DATA <= NATIVE_DATA_LEN - 8)
        st64(window + (t->poke_at - NATIVE_DATA), t->poke);
}

unsigned gen_mode(unsigned bits)
{
    static unsigned amd = 1; /* asked once: CPUID is slow in a VM */
    if (amd == 1)
        amd = silicon_is_amd(silicon_host()) ? DECODE_AMD : 0;
    return bits / 8 | amd;
}

bool gen_decode(struct icase *t)
{
    return insn_decode(t->code + t->lead, t->len - t->lead, gen_mode(t->bits), &t->i) == DECODE_OK && t->i.len == t->len - t->lead;
}

/* Where the parts of the last instruction stand. */
struct layout {
    unsigned modrm, disp, after; /* offsets into code; AFTER: what follows ModRM, SIB and displacement */
    u8 disp_len;
};

static unsigned put_prefixes(u64 *s, u8 *p, bool string, bool vector)
{
    static const u8 segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    unsigned n = 0;
    if (often(s, vector ? 35 : 22))
        p[n++] = 0x66;
    if (often(s, 8))
        p[n++] = 0x67;
    if (often(s, 12))
        p[n++] = segments[pick(s, 6)];
    if (often(s, string ? 70 : vector ? 35 : 20))
        p[n++] = (u8)(0xf2 + pick(s, 2));
    else if (often(s, vector ? 2 : 12))
        p[n++] = 0xf0;
    for (unsigned k = n; k > 1; k--) { /* in any order */
        unsigned j = (unsigned)pick(s, k);
        u8 x = p[j];
        p[j] = p[k - 1];
        p[k - 1] = x;
    }
    if (n && often(s, 3)) {
        p[n] = p[0]; /* once more */
        n++;
    }
    return n;
}

/* ModRM and what belongs to it. Opcodes without ModRM read these bytes as immediates. */
static unsigned put_modrm(u64 *s, u8 *code, unsigned n, struct layout *l)
{
    u8 modrm = (u8)gen_next(s), rm = modrm & 7, mod = modrm >> 6;
    l->modrm = n;
    code[n++] = modrm;
    l->disp_len = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    if (mod != 3 && rm == 4) {
        u8 sib = (u8)gen_next(s);
        code[n++] = sib;
        if (mod == 0 && (sib & 7) == 5)
            l->disp_len = 4;
    } else if (mod == 0 && rm == 5) {
        l->disp_len = 4;
    }
    l->disp = n;
    u32 disp = often(s, 70) ? (u32)(pick(s, 0x8000) - 0x4000) : (u32)gen_next(s);
    if (l->disp_len == 4)
        st32(code + n, disp);
    else if (l->disp_len)
        code[n] = (u8)disp;
    n += l->disp_len;
    l->after = n;
    st64(code + n, operand(s));
    return n + 8;
}

/* The two-byte form has neither X, B nor W, and only map 0F. */
static unsigned put_vex(u64 *s, u8 *p, const struct icase *t, const struct encoding *e)
{
    u64 r = gen_next(s);
    bool wide = t->bits == 64;
    u8 vvvv = (u8)(r >> 40 & 3 ? r >> 16 & 0x78 : 0x78), rest = (u8)(vvvv | (r >> 32 & 0x87));
    if (!wide)
        rest |= 0x40; /* vvvv has eight registers */
    if (r >> 48 & 7)
        rest = (u8)((rest & ~3u) | (r >> 52 & 1 ? 1 : r >> 53 & 3)); /* mostly 66 */
    if (e->map == 1 && r & 1) {
        p[0] = 0xc5;
        p[1] = (u8)((rest & 0x7f) | (wide ? r & 0x80 : 0x80));
        return 2;
    }
    p[0] = 0xc4;
    p[1] = (u8)((wide ? r & 0xe0 : 0xe0) | e->map);
    p[2] = rest;
    return 3;
}

static void put_bytes(u64 *s, struct icase *t, const struct encoding *e, struct layout *l)
{
    u8 *p = t->code;
    unsigned n = t->lead;
    bool string = !e->map && ((e->opcode >= 0xa4 && e->opcode <= 0xaf) || (e->opcode >= 0x6c && e->opcode <= 0x6f));
    if (e->vex) {
        if (often(s, 8))
            p[n++] = 0x67;
        if (often(s, 8))
            p[n++] = (u8)(0x64 + pick(s, 2));
        n += put_vex(s, p + n, t, e);
    } else {
        n += put_prefixes(s, p + n, string, e->map > 0);
        if (t->bits == 64 && often(s, 60))
            p[n++] = (u8)(0x40 | (gen_next(s) & 15));
        if (e->map)
            p[n++] = 0x0f;
        if (e->map > 1)
            p[n++] = e->map == 2 ? 0x38 : 0x3a;
    }
    p[n++] = e->opcode;
    t->len = put_modrm(s, p, n, l);
}

static bool has_memory(const struct insn *i)
{
    switch (i->form) {
    case FORM_M:
    case FORM_RM:
    case FORM_MR:
    case FORM_MI:
    case FORM_RMI:
    case FORM_MRI: return true;
    default: return false;
    }
}

static bool uses_stack(unsigned op)
{
    return (op >= OP_PUSH && op <= OP_POPAD) || (op >= OP_PUSHF && op <= OP_POPFQ) || op == OP_CALL || op == OP_RET || op == OP_ENTER || op == OP_LEAVE;
}

static u64 segment_base(const struct icase *t)
{
    return t->i.seg == SEG_FS ? t->r.fs : t->i.seg == SEG_GS ? t->r.gs : 0;
}

/* An index register that holds VALUE, with garbage above the address size. */
static void set_address(u64 *s, struct icase *t, unsigned n, u64 value)
{
    if (t->i.asize == 4 && t->bits == 64 && !(uses_stack(t->i.op) && n == RSP))
        value = (u32)value | gen_next(s) << 32;
    t->r.gpr[n] = t->bits == 64 ? value : (u32)value;
}

/* Leads a memory operand to AT. False: these bytes cannot, or not without danger to the test itself. */
static bool solve_memory(u64 *s, struct icase *t, const struct layout *l, u64 at)
{
    struct insn *i = &t->i;
    u64 rest = at - segment_base(t) - (u64)(i64)i->disp;
    bool locked = i->flags & INSN_LOCK || i->op == OP_XCHG;
    if (i->asize == 2)
        return true; /* below 64 KiB: nothing there */
    if (i->base == GPR_RIP || (i->base == GPR_ZERO && i->index == GPR_ZERO && !is_gather(i->op))) {
        u64 from = i->base == GPR_RIP ? t->r.rip + t->len : 0;
        if (i->op == OP_MOV_LOAD_MOFFS || i->op == OP_MOV_STORE_MOFFS || l->disp_len != 4)
            return false;
        at = NATIVE_DATA + (at & (NATIVE_DATA_LEN - 16)); /* within reach */
        st32(t->code + l->disp, (u32)(at - segment_base(t) - from));
        return gen_decode(t);
    }
    if (is_gather(i->op)) {
        if (i->base != GPR_ZERO)
            set_address(s, t, i->base, rest);
        return true;
    }
    if (i->base == GPR_ZERO) {
        set_address(s, t, i->index, rest >> i->scale);
        return !locked || !(rest & ((1u << i->scale) - 1));
    }
    if (i->base == i->index) {
        set_address(s, t, i->base, rest / (1 + (1ull << i->scale)));
        return !locked && !uses_stack(i->op);
    }
    if (i->base == RSP && uses_stack(i->op)) {
        if (i->disp > 0x8000 || i->disp < -0x8000)
            return false;
        if (i->index != GPR_ZERO)
            t->r.gpr[i->index] = pick(s, 0x400);
    }
    u64 offset = i->index == GPR_ZERO ? 0 : t->r.gpr[i->index] << i->scale;
    set_address(s, t, i->base, rest - offset);
    return true;
}

static bool solve_moffs(struct icase *t, u64 at)
{
    struct insn *i = &t->i;
    u8 *p = t->code + t->len - i->asize;
    at -= segment_base(t);
    for (unsigned k = 0; k < i->asize; k++)
        p[k] = (u8)(at >> 8 * k);
    return gen_decode(t);
}

static bool solve_string(u64 *s, struct icase *t)
{
    struct insn *i = &t->i;
    u64 count = pick(s, often(s, 5) ? 1100 : 20), from = place(s, t->bits, false), to = place(s, t->bits, false);
    if (often(s, 30))
        to = from + pick(s, 32) - 16;
    set_address(s, t, RSI, from - segment_base(t));
    set_address(s, t, RDI, to);
    if (often(s, 1))
        count = operand(s) & (i->op == OP_CMPS || i->op == OP_SCAS ? 0xfff : 0xffffff); /* flags: see run_case */
    if (i->asize == 2 || i->flags & (INSN_REP | INSN_REPNE))
        set_address(s, t, RCX, count);
    if (i->asize == 2 && t->bits == 32)
        t->r.gpr[RCX] |= gen_next(s) << 16 & 0xffff0000;
    if (often(s, 50))
        t->r.rflags |= RFLAGS_DF;
    return true;
}

/* Operands under which the common path is taken often enough. */
static void likely_operands(u64 *s, struct icase *t)
{
    struct insn *i = &t->i;
    u64 *r = t->r.gpr, v;
    switch (i->op) {
    case OP_DIV:
    case OP_IDIV:
        if (often(s, 30))
            break;
        v = pick(s, 3) ? pick(s, 0x60) : 0;
        if (i->op == OP_IDIV && often(s, 50))
            v = r[RAX] >> (8 * i->size - 1) & 1 ? ~v : v;
        if (i->size == 1)
            r[RAX] = (r[RAX] & 0xff) | (v & 0xff) << 8;
        else
            r[RDX] = v;
        break;
    case OP_BT:
    case OP_BTS:
    case OP_BTR:
    case OP_BTC: /* a bit string around the operand, and not one that reaches what is not the window's by chance */
        if (has_memory(i) && i->form == FORM_MR)
            r[i->rs] = often(s, 90) ? pick(s, 0x2000) - 0x1000 : pick(s, 2) ? 0xffffffff80000000 : 0x7fffffff;
        break;
    case OP_LOOP:
    case OP_LOOPE:
    case OP_LOOPNE:
    case OP_JCXZ:
    case OP_JECXZ:
    case OP_JRCXZ:
        if (often(s, 70))
            r[RCX] = pick(s, 3) | (often(s, 50) ? gen_next(s) << (8 * i->asize - 1) << 1 : 0);
        break;
    default:
        break;
    }
}

/* After the memory operand is placed: what it holds. */
static void likely_memory(u64 *s, struct icase *t, u64 at)
{
    struct insn *i = &t->i;
    u64 *r = t->r.gpr;
    bool free_a = i->base != RAX && i->index != RAX && i->base != RDX && i->index != RDX;
    if ((i->op == OP_CMPXCHG || i->op == OP_CMPXCHG8B || i->op == OP_CMPXCHG16B) && free_a && often(s, 50)) {
        t->poke_at = at;
        t->poke = i->op == OP_CMPXCHG8B ? (r[RAX] & 0xffffffff) | r[RDX] << 32 : r[RAX];
    }
    if (gen_image_size(i->op, i->msize)) {
        t->poke_at = at;
        t->poke = gen_next(s);
    }
    if (i->op == OP_BOUND && often(s, 60)) {
        t->poke_at = at;
        t->poke = operand(s);
    }
}

static bool solve_branch(u64 *s, const struct encoding *e, struct icase *t, u64 at)
{
    struct insn *i = &t->i;
    u64 end = t->r.rip + t->len, start = t->r.rip;
    u8 *p = t->code + t->len;
    if (i->form == FORM_REL) {
        bool rel8 = !e->map && e->opcode != 0xe8 && e->opcode != 0xe9;
        if (rel8) {
            u64 back = start - end - 1; /* the last byte before the case */
            p[-1] = often(s, 50) ? (u8)(HOST_TAIL + pick(s, 128 - HOST_TAIL)) : (u8)(back - pick(s, 128 + back + 1));
        } else if (i->size != 2) {
            st32(p - 4, (u32)(often(s, 3) ? 0 - 0x1000 - pick(s, 0x70000) - end : target(s, 32) - end));
        }
        return gen_decode(t);
    }
    if (i->op == OP_RET) {
        t->poke_at = t->r.gpr[RSP];
        t->poke = target(s, t->bits);
        return true;
    }
    if (i->form == FORM_M) {
        t->poke_at = at;
        t->poke = target(s, t->bits);
        return true;
    }
    if (i->rd == RSP)
        return false;
    t->r.gpr[i->rd] = target(s, t->bits);
    return true;
}

/* One to three instructions before, which change flags and registers that the last one's addresses do not need. */
static void put_lead(u64 *s, struct icase *t)
{
    static const u8 opcodes[] = {0x00, 0x01, 0x08, 0x09, 0x10, 0x11, 0x18, 0x19, 0x20, 0x21, 0x28, 0x29, 0x30, 0x31,
                                 0x38, 0x39, 0x84, 0x85, 0xd0, 0xd1, 0xd2, 0xd3, 0xf8, 0xf9, 0xf5, 0xfe, 0xff, 0x9e};
    t->lead = 0;
    t->count = 1;
    for (unsigned n = often(s, 50) ? (unsigned)pick(s, 4) : 0; n; n--, t->count++) {
        u8 op = opcodes[pick(s, ARRAY_LEN(opcodes))], *p = t->code;
        if (often(s, 20))
            p[t->lead++] = 0x66;
        if (t->bits == 64)
            p[t->lead++] = (u8)(0x44 | (gen_next(s) & 9)); /* REX.R, and REX.B for what is written */
        p[t->lead++] = op;
        if (op == 0xf8 || op == 0xf9 || op == 0xf5 || op == 0x9e)
            continue;
        u8 reg = (u8)pick(s, op == 0xfe || op == 0xff ? 2 : 8), rm = t->bits == 64 ? (u8)pick(s, 8) : RDX;
        if (t->bits == 64)
            p[t->lead - 2] |= 1;
        p[t->lead++] = (u8)(0xc0 | reg << 3 | rm);
    }
}

/* R8..R15 (RDX in 32-bit code) are written by the lead, so the last instruction's address must do without. */
static bool lead_disturbs(const struct icase *t)
{
    const struct insn *i = &t->i;
    unsigned wanted[] = {i->base, i->index};
    if (t->count == 1)
        return false;
    for (unsigned k = 0; k < 2; k++)
        if (wanted[k] < GPR_ZERO && (t->bits == 64 ? wanted[k] >= 8 && wanted[k] < 16 : wanted[k] == RDX))
            return has_memory(i);
    bool jumps = (i->op == OP_JMP || i->op == OP_CALL) && i->form == FORM_R;
    bool bits = i->op >= OP_BT && i->op <= OP_BTC && has_memory(i);
    return (jumps && (t->bits == 64 ? i->rd >= 8 : i->rd == RDX)) || (bits && (t->bits == 64 ? i->rs >= 8 : i->rs == RDX));
}

bool gen_is_area(unsigned op)
{
    return (op >= OP_FXSAVE && op <= OP_XSAVEC64) || (op >= OP_FNSTENV && op <= OP_FRSTOR);
}

/* Aligned as the operation wants it, mostly. */
static u64 operand_place(u64 *s, const struct icase *t)
{
    const struct insn *i = &t->i;
    bool locked = i->flags & INSN_LOCK || i->op == OP_XCHG;
    u64 at = place(s, t->bits, locked);
    if (is_xsave(i->op))
        return often(s, 85) ? NATIVE_DATA + 64 * pick(s, (NATIVE_DATA_LEN - 896) / 64) : at & ~(often(s, 80) ? 63ull : 0);
    if (i->op >= OP_FXSAVE && i->op <= OP_FXRSTOR64)
        return often(s, 75) ? NATIVE_DATA + 16 * pick(s, (NATIVE_DATA_LEN - 512) / 16) : at;
    if (gen_is_area(i->op) && at - NATIVE_DATA >= NATIVE_DATA_LEN)
        return NATIVE_DATA - pick(s, 200) + (often(s, 50) ? NATIVE_DATA_LEN : 0);
    if (is_vector(i->op) && i->size >= 16 && often(s, 60))
        return at & ~31ull;
    return at;
}

static void control_words(u64 *s, struct icase *t)
{
    struct world *w = &t->r;
    u64 r = gen_next(s);
    w->fcw = gen_fcw(s);
    w->fsw = gen_fsw(s, w->fcw, !(r & 63));
    w->ftw = gen_ftw(s, w->fsw);
    w->mxcsr = 0x1f80;
    if (r >> 8 & 1)
        w->mxcsr |= r >> 16 & 0xe07f; /* rounding, FTZ, DAZ, sticky flags */
    if (!(r >> 40 & 7))
        w->mxcsr &= (u32)(r >> 43) | 0xe07f; /* some exceptions unmasked */
    t->vectors = gen_next(s) & ~1ull;
    if (is_gather(t->i.op) && often(s, 85))
        t->vectors |= 1;
    gen_registers(t);
}

static bool well_inside(u64 at)
{
    return at - NATIVE_DATA < NATIVE_DATA_LEN - 64;
}

/* The alignment check: only where the way back is aligned, and no other fault competes with it: neither of the operand at AT nor of the stack. */
static void alignment_check(u64 *s, struct icase *t, u64 at)
{
    const struct insn *i = &t->i;
    bool stack = uses_stack(i->op);
    bool twice = i->index != GPR_ZERO && (i->index == i->base || i->base == GPR_ZERO); /* then AT was not met exactly */
    bool inside = (!stack || well_inside(t->r.gpr[RSP])) && ((stack && !has_memory(i)) || well_inside(at)) && !(twice && has_memory(i));
    bool plain = family_of[t->i.op] == FAMILY_INT && t->i.op != OP_ENTER && t->i.op != OP_LEAVE;
    bool string = t->i.op >= OP_BT && t->i.op <= OP_BTC;
    if (plain && !string && inside && t->i.asize != 2 && !((t->r.rip + t->len + 6) & 7) && often(s, 30))
        t->r.rflags |= RFLAGS_AC;
}

static bool make(const struct gen *g, u64 *s, struct icase *t)
{
    struct layout l;
    memset(t, 0, offsetof(struct icase, r));
    t->poke_at = t->poke = 0;
    t->r.fip = t->r.fdp = t->r.fop = 0; /* AMD's silicon shows others only while an x87 exception is pending */
    t->bits = pick(s, 4) ? 64 : 32;
    if (!g->count[t->bits == 32])
        return false;
    unsigned mode = t->bits == 32;
    const struct encoding *e = &g->list[mode][pick(s, g->count[mode])];
    put_lead(s, t);
    put_bytes(s, t, e, &l);
    if (insn_decode(t->code + t->lead, t->len - t->lead, gen_mode(t->bits), &t->i) != DECODE_OK || !gen_wants(t->i.op) || g->skip[t->i.op])
        return false;
    t->len = t->lead + t->i.len;
    if (lead_disturbs(t))
        return false;
    struct insn *i = &t->i;
    if (i->op == OP_INT && (u8)i->imm == 0x80)
        return false; /* Linux' system call */
    if ((i->op == OP_VPCLMULQDQ || (i->op >= OP_VAESDEC && i->op <= OP_VAESENCLAST)) && i->flags & INSN_VEX_L)
        return false; /* VAES and VPCLMULQDQ are not offered */
    for (unsigned k = 0; k < 16; k++)
        t->r.gpr[k] = t->bits == 64 ? operand(s) : (u32)operand(s);
    t->r.rip = NATIVE_CODE + 0x800 + pick(s, 0x600);
    t->r.rflags = 0x202 | (gen_next(s) & RFLAGS_ARITH);
    t->fill = (unsigned)pick(s, 4096);
    control_words(s, t);
    u64 at = operand_place(s, t);
    likely_operands(s, t);
    if (is_xsave(i->op)) {
        t->r.gpr[RAX] = (t->r.gpr[RAX] & ~g->xcr0) | (often(s, 80) ? 7 : 0);
        t->r.gpr[RDX] &= ~(g->xcr0 >> 32);
    }
    if (uses_stack(i->op) || often(s, 20)) {
        t->r.gpr[RSP] = place(s, t->bits, false);
        if (i->op == OP_ENTER || i->op == OP_LEAVE)
            t->r.gpr[RBP] = place(s, t->bits, false);
    }
    if (i->op == OP_XLAT)
        set_address(s, t, RBX, at - segment_base(t) - (t->r.gpr[RAX] & 0xff));
    if (is_maskmov(i->op))
        set_address(s, t, RDI, at - segment_base(t));
    bool moffs = i->op == OP_MOV_LOAD_MOFFS || i->op == OP_MOV_STORE_MOFFS;
    if (i->op >= OP_MOVS && i->op <= OP_OUTS) {
        if (!solve_string(s, t))
            return false;
    } else if (moffs ? !solve_moffs(t, at) : has_memory(i) && !solve_memory(s, t, &l, at)) {
        return false;
    }
    if (has_memory(i))
        likely_memory(s, t, at);
    bool branch = i->op >= OP_JCC && i->op <= OP_LOOPNE;
    if (branch && !solve_branch(s, e, t, at))
        return false;
    if (is_xsave(i->op) && (t->r.gpr[RAX] & (u32)g->xcr0 || t->r.gpr[RDX] & g->xcr0 >> 32))
        return false; /* the address took the register */
    if (i->op >= OP_POPF && i->op <= OP_POPFQ) {
        if (t->r.gpr[RSP] - (NATIVE_DATA - 8) < 8 || t->r.gpr[RSP] - (NATIVE_DATA_END - 8) < 8)
            return false; /* TF would come from the window */
        t->poke_at = t->r.gpr[RSP];
        t->poke = gen_next(s) & ~(u64)(RFLAGS_TF | RFLAGS_AC | RFLAGS_NT);
    }
    alignment_check(s, t, at);
    return true;
}

void gen_case(const struct gen *g, u64 seed, struct icase *t)
{
    while (!make(g, &seed, t))
        ;
}

static bool is_prefix(u8 b, bool legacy)
{
    return (b & 0xe7) == 0x26 || (b >= 0x64 && b <= 0x67) || b == 0xf0 || b == 0xf2 || b == 0xf3 || (!legacy && (b & 0xf0) == 0x40);
}

/* Does E hold OP (0: any that is wanted)? By trial. */
static bool holds(const struct encoding *e, unsigned bits, unsigned op)
{
    struct layout l;
    u64 s = 1;
    for (unsigned n = 0; n < 600; n++) {
        struct icase t = {.bits = bits};
        put_bytes(&s, &t, e, &l);
        if (insn_decode(t.code, t.len, gen_mode(bits), &t.i) == DECODE_OK && gen_wants(t.i.op) && (!op || t.i.op == op))
            return true;
    }
    return false;
}

void gen_init(struct gen *g)
{
    for (unsigned mode = 0; mode < 2; mode++)
        for (unsigned k = 0; k < 4 * 256 * 2; k++) {
            struct encoding e = {.map = (u8)(k / 256 % 4), .opcode = (u8)k, .vex = k / 1024};
            if (!e.map && (e.vex || is_prefix(e.opcode, mode)))
                continue;
            bool x87 = !e.map && e.opcode >= 0xd8 && e.opcode <= 0xdf, group15 = e.map == 1 && e.opcode == 0xae;
            bool wanted = holds(&e, mode ? 32 : 64, 0);
            for (unsigned n = x87 ? 16 : group15 ? 8 : 1; wanted && n; n--) /* many operations behind one opcode */
                g->list[mode][g->count[mode]++] = e;
        }
}

bool gen_only(struct gen *g, unsigned op)
{
    for (unsigned n = 0; n < OP_COUNT; n++)
        g->skip[n] |= n != op;
    for (unsigned mode = 0; mode < 2; mode++) {
        unsigned kept = 0;
        for (unsigned k = 0; k < g->count[mode]; k++)
            if (holds(&g->list[mode][k], mode ? 32 : 64, op))
                g->list[mode][kept++] = g->list[mode][k];
        g->count[mode] = kept;
    }
    return g->count[0] || g->count[1];
}
