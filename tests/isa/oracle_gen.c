/* oracle_gen.h. Bytes are generated map by map, with random prefixes, ModRM and immediates, and kept if they decode to an operation of
 * isa/ops_int.def; then registers are chosen that lead the memory operand to a place of interest. What could make the process under test
 * write to memory other than the windows is rejected. */
#include "oracle_gen.h"

#include <string.h>

#include "base/le.h"
#include "cpu/cpu.h"

u64 gen_next(u64 *s)
{
    u64 z = *s += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static u64 pick(u64 *s, u64 n)
{
    return gen_next(s) % n;
}

/* True N times in a hundred. */
static bool often(u64 *s, unsigned n)
{
    return pick(s, 100) < n;
}

enum { FAMILY_NONE, FAMILY_INT, FAMILY_FLOW, FAMILY_STRING };
static const u8 family_of[OP_COUNT] = {
#define OP(name, family, ...) [OP_##name] = FAMILY_##family,
#define OPX OP
#include "isa/ops_int.def"
#undef OPX
#undef OP
};

bool gen_wants(unsigned op)
{
    if (family_of[op] != FAMILY_FLOW)
        return family_of[op] != FAMILY_NONE;
    return op < OP_JMP_FAR || (op >= OP_UD0 && op <= OP_UD2); /* what is far or a system call has tests of its own */
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
    case 3: at = bits == 64 ? 0 - pick(s, 40) : 0xffffffff - pick(s, 20); break;
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
    u64 s = t->fill, same = t->fill & 8 ? 0 : operand(&s);
    for (unsigned k = 0; k < NATIVE_DATA_LEN; k += 8)
        st64(window + k, t->fill % 4 == 0 ? same : (s += 0x9e3779b97f4a7c15 * (s >> 40 | 1)));
    if (t->fill % 4 == 1)
        for (unsigned k = 0; k < NATIVE_DATA_LEN; k += 16)
            st64(window + k, operand(&s));
    if (t->poke_at - NATIVE_DATA <= NATIVE_DATA_LEN - 8)
        st64(window + (t->poke_at - NATIVE_DATA), t->poke);
}

bool gen_decode(struct icase *t)
{
    return insn_decode(t->code + t->lead, t->len - t->lead, t->bits / 8, &t->i) == DECODE_OK && t->i.len == t->len - t->lead;
}

/* Where the parts of the last instruction stand. */
struct layout {
    unsigned modrm, disp, after; /* offsets into code; AFTER: what follows ModRM, SIB and displacement */
    u8 disp_len;
    bool high_registers; /* REX or VEX with extension bits */
};

static unsigned put_prefixes(u64 *s, u8 *p, unsigned bits, bool string)
{
    static const u8 segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    unsigned n = 0;
    if (often(s, 22))
        p[n++] = 0x66;
    if (often(s, 8))
        p[n++] = 0x67;
    if (often(s, 12))
        p[n++] = segments[pick(s, bits == 64 ? 6 : 4)];
    if (often(s, string ? 70 : 20))
        p[n++] = (u8)(0xf2 + pick(s, 2));
    else if (often(s, 12))
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

static void put_bytes(u64 *s, struct icase *t, const struct encoding *e, struct layout *l)
{
    u8 *p = t->code;
    unsigned n = t->lead;
    bool string = !e->map && ((e->opcode >= 0xa4 && e->opcode <= 0xaf) || (e->opcode >= 0x6c && e->opcode <= 0x6f));
    if (e->vex) {
        p[n++] = 0xc4;
        p[n++] = (u8)((t->bits == 64 ? gen_next(s) & 0xe0 : 0xe0) | e->map);
        p[n++] = (u8)(gen_next(s) & 0xfb);
        if (t->bits == 32)
            p[n - 1] |= 0x40; /* vvvv has eight registers */
    } else {
        n += put_prefixes(s, p + n, t->bits, string);
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
    return (op >= OP_PUSH && op <= OP_POPAD) || op == OP_CALL || op == OP_RET || op == OP_ENTER || op == OP_LEAVE;
}

static u64 segment_base(const struct gen *g, const struct insn *i)
{
    return i->seg == SEG_FS ? g->fs : i->seg == SEG_GS ? g->gs : 0;
}

/* An index register that holds VALUE, with garbage above the address size. */
static void set_address(u64 *s, struct icase *t, unsigned n, u64 value)
{
    if (t->i.asize == 4 && t->bits == 64 && !(uses_stack(t->i.op) && n == RSP))
        value = (u32)value | gen_next(s) << 32;
    t->r.gpr[n] = t->bits == 64 ? value : (u32)value;
}

/* Leads a memory operand to AT. False: these bytes cannot, or not without danger to the test itself. */
static bool solve_memory(u64 *s, const struct gen *g, struct icase *t, const struct layout *l, u64 at)
{
    struct insn *i = &t->i;
    u64 rest = at - segment_base(g, i) - (u64)(i64)i->disp;
    bool locked = i->flags & INSN_LOCK || i->op == OP_XCHG, fs = i->seg == SEG_FS;
    if (i->asize == 2)
        return true; /* below 64 KiB: nothing there */
    if (fs && i->asize != 8)
        return false; /* the process's own memory is around */
    if (i->base == GPR_RIP || (i->base == GPR_ZERO && i->index == GPR_ZERO)) {
        u64 from = i->base == GPR_RIP ? t->r.rip + t->len : 0;
        if (fs || i->op == OP_MOV_LOAD_MOFFS || i->op == OP_MOV_STORE_MOFFS || l->disp_len != 4)
            return false;
        at = NATIVE_DATA + (at & (NATIVE_DATA_LEN - 16)); /* within reach */
        st32(t->code + l->disp, (u32)(at - from));
        return gen_decode(t);
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

static bool solve_moffs(const struct gen *g, struct icase *t, u64 at)
{
    struct insn *i = &t->i;
    u8 *p = t->code + t->len - i->asize;
    if (i->seg == SEG_FS && i->asize != 8)
        return false;
    at -= segment_base(g, i);
    for (unsigned k = 0; k < i->asize; k++)
        p[k] = (u8)(at >> 8 * k);
    return gen_decode(t);
}

static bool solve_string(u64 *s, const struct gen *g, struct icase *t)
{
    struct insn *i = &t->i;
    u64 count = pick(s, often(s, 5) ? 1100 : 20), from = place(s, t->bits, false), to = place(s, t->bits, false);
    if (i->seg == SEG_FS && i->asize != 8)
        return false;
    if (often(s, 30))
        to = from + pick(s, 32) - 16;
    set_address(s, t, RSI, from - segment_base(g, i));
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

static bool make(const struct gen *g, u64 *s, struct icase *t)
{
    struct layout l;
    memset(t, 0, sizeof *t);
    t->bits = pick(s, 4) ? 64 : 32;
    unsigned mode = t->bits == 32;
    const struct encoding *e = &g->list[mode][pick(s, g->count[mode])];
    put_lead(s, t);
    put_bytes(s, t, e, &l);
    if (insn_decode(t->code + t->lead, t->len - t->lead, t->bits / 8, &t->i) != DECODE_OK || !gen_wants(t->i.op))
        return false;
    t->len = t->lead + t->i.len;
    if (lead_disturbs(t))
        return false;
    struct insn *i = &t->i;
    for (unsigned k = 0; k < 16; k++)
        t->r.gpr[k] = t->bits == 64 ? operand(s) : (u32)operand(s);
    bool locked = i->flags & INSN_LOCK || i->op == OP_XCHG;
    u64 at = place(s, t->bits, locked);
    t->r.rip = NATIVE_CODE + 0x800 + pick(s, 0x600);
    t->r.rflags = 0x202 | (gen_next(s) & RFLAGS_ARITH);
    t->fill = (unsigned)pick(s, 64);
    likely_operands(s, t);
    if (uses_stack(i->op) || often(s, 20)) {
        t->r.gpr[RSP] = place(s, t->bits, false);
        if (i->op == OP_ENTER || i->op == OP_LEAVE)
            t->r.gpr[RBP] = place(s, t->bits, false);
    }
    if (i->op == OP_XLAT) {
        if (i->seg == SEG_FS && i->asize != 8)
            return false;
        set_address(s, t, RBX, at - segment_base(g, i) - (t->r.gpr[RAX] & 0xff));
    }
    bool moffs = i->op == OP_MOV_LOAD_MOFFS || i->op == OP_MOV_STORE_MOFFS;
    if (i->op >= OP_MOVS && i->op <= OP_OUTS) {
        if (!solve_string(s, g, t))
            return false;
    } else if (moffs ? !solve_moffs(g, t, at) : has_memory(i) && !solve_memory(s, g, t, &l, at)) {
        return false;
    }
    if (has_memory(i))
        likely_memory(s, t, at);
    bool branch = i->op >= OP_JCC && i->op <= OP_LOOPNE;
    return !branch || solve_branch(s, e, t, at);
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

void gen_init(struct gen *g)
{
    g->fs = host_fs_base();
    g->gs = host_gs_base();
    u64 s = 1;
    struct layout l;
    for (unsigned mode = 0; mode < 2; mode++)
        for (unsigned k = 0; k < 4 * 256 * 2; k++) {
            struct encoding e = {.map = (u8)(k / 256 % 4), .opcode = (u8)k, .vex = k / 1024};
            bool wanted = false;
            if (e.vex ? e.map < 2 : !e.map && is_prefix(e.opcode, mode))
                continue;
            for (unsigned n = 0; n < 400 && !wanted; n++) {
                struct icase t = {.bits = mode ? 32 : 64};
                put_bytes(&s, &t, &e, &l);
                wanted = insn_decode(t.code, t.len, t.bits / 8, &t.i) == DECODE_OK && gen_wants(t.i.op) && t.len > 2;
            }
            if (wanted)
                g->list[mode][g->count[mode]++] = e;
        }
}
