/* Rows of instructions for bt_fuzz: operands within 64 bytes of one register, mostly the stack pointer, whatever else the translator's glue does between
 * them: what it keeps for the row must be forgotten where it goes. */
#include "bt_scene.h"

/* Opcodes with a memory operand: the ModRM byte gets the row's base, and what EXT says. */
struct form {
    u8 bytes[3], n; /* a prefix that is mandatory among them */
    i8 ext;         /* opcode extension; -1: any register */
    u8 imm;
};

static const struct form forms[] = {
    {{0x8b}, 1, -1, 0},             /* MOV */
    {{0x89}, 1, -1, 0},
    {{0xc7}, 1, 0, 4},
    {{0x01}, 1, -1, 0},             /* ADD, ADC, CMP, TEST, XCHG */
    {{0x13}, 1, -1, 0},
    {{0x39}, 1, -1, 0},
    {{0x83}, 1, -1, 1},
    {{0x85}, 1, -1, 0},
    {{0x87}, 1, -1, 0},
    {{0xff}, 1, 0, 0},              /* INC, DEC, PUSH; POP */
    {{0xff}, 1, 1, 0},
    {{0xff}, 1, 6, 0},
    {{0x8f}, 1, 0, 0},
    {{0xf7}, 1, 3, 0},              /* NEG, DIV; SHL, RCR */
    {{0xf7}, 1, 6, 0},
    {{0xd3}, 1, 4, 0},
    {{0xd1}, 1, 3, 0},
    {{0x63}, 1, -1, 0},             /* MOVSXD or ARPL; MOVZX, SETcc, CMOVcc */
    {{0x0f, 0xb6}, 2, -1, 0},
    {{0x0f, 0x92}, 2, 0, 0},
    {{0x0f, 0x44}, 2, -1, 0},
    {{0x0f, 0xab}, 2, -1, 0},       /* BTS of both kinds, CMPXCHG, XADD, CMPXCHG8B */
    {{0x0f, 0xba}, 2, 5, 1},
    {{0x0f, 0xb1}, 2, -1, 0},
    {{0x0f, 0xc1}, 2, -1, 0},
    {{0x0f, 0xc7}, 2, 1, 0},
    {{0x0f, 0x28}, 2, -1, 0},       /* MOVAPS, MOVUPS, MOVQ, ADDPD */
    {{0x0f, 0x29}, 2, -1, 0},
    {{0x0f, 0x11}, 2, -1, 0},
    {{0x66, 0x0f, 0xd6}, 3, -1, 0},
    {{0x66, 0x0f, 0x58}, 3, -1, 0},
    {{0x0f, 0xae}, 2, 2, 0},        /* LDMXCSR, STMXCSR */
    {{0x0f, 0xae}, 2, 3, 0},
    {{0xd9}, 1, 5, 0},              /* FLDCW, FNSTCW, FLD, FSTP, FISTP */
    {{0xd9}, 1, 7, 0},
    {{0xdd}, 1, 0, 0},
    {{0xdd}, 1, 3, 0},
    {{0xdf}, 1, 7, 0},
};

/* Without an operand in memory that is written out. */
static const char *const plain[] = {
    "\x50", "\x53", "\x55", "\x54", "\x58", "\x5b", "\x5d", "\x6a\x11", "\xc9", "\x9c", "\xa4", "\xa5", "\xab", "\xac", "\xf3\xa4", "\xf3\xab", "\xfc", "\x9e", "\xf9", "\x91",
    "\xd1\xd8", "\x0f\xa2", "\x0f\x31", "\xd9\xe8", "\x0f\x57\xc0", "\x89\xe5", "\x89\xe3",
};

static u8 *put(u8 *to, const void *bytes, unsigned n)
{
    memcpy(to, bytes, n);
    return to + n;
}

/* [BASE + DISP] with REG beside it. */
static u8 *put_operand(u8 *to, unsigned base, unsigned reg, i8 disp)
{
    *to++ = (u8)(0x40 | (reg & 7) << 3 | (base & 7));
    if ((base & 7) == RSP)
        *to++ = 0x24;
    *to++ = (u8)disp;
    return to;
}

/* A prefix REX, if it says something. */
static u8 *put_rex(u8 *to, bool wide, unsigned base, unsigned reg)
{
    u8 rex = (u8)(0x40 | wide << 3 | (reg & 8) >> 1 | base >> 3);
    if (rex != 0x40)
        *to++ = rex;
    return to;
}

static i8 draw_disp(struct random *r)
{
    u64 n = random_next(r);
    return (i8)((n & 15) * 8 - 64 + (n & 0xf00 ? 0 : n >> 4 & 7));
}

static u8 *put_form(u8 *to, struct random *r, bool narrow, unsigned base)
{
    const struct form *f = &forms[random_next(r) % (sizeof forms / sizeof *forms)];
    u64 n = random_next(r);
    unsigned reg = (unsigned)(f->ext >= 0 ? (u64)f->ext : n & (narrow ? 7 : 15)), skip = f->bytes[0] == 0x66;
    to = put(to, f->bytes, skip);
    if (!narrow)
        to = put_rex(to, n >> 8 & 1, base, reg);
    to = put(to, f->bytes + skip, f->n - skip);
    to = put_operand(to, base, reg, draw_disp(r));
    u64 imm = random_next(r);
    return put(to, &imm, f->imm);
}

static u8 *put_plain(u8 *to, struct random *r)
{
    const char *text = plain[random_next(r) % (sizeof plain / sizeof *plain)];
    return put(to, text, (unsigned)strlen(text));
}

/* The address of what follows the result, plus the byte at *PATCH, into register 0. */
static u8 *put_address(u8 *to, bool narrow, u8 **patch)
{
    static const u8 lea[] = {0x48, 0x8d, 0x05, 0, 0, 0, 0}, call[] = {0xe8, 0, 0, 0, 0, 0x58, 0x83, 0xc0, 3};
    to = narrow ? put(to, call, sizeof call) : put(to, lea, sizeof lea);
    *patch = narrow ? to - 1 : to - 4;
    return to;
}

/* An indirect branch to what stands behind it: by a register, by memory near the base, or RET; with others of the row in between. */
static u8 *put_branch(u8 *to, struct random *r, bool narrow, unsigned base)
{
    u64 n = random_next(r), kind = n % 5;
    i8 disp = draw_disp(r);
    u8 *patch, *from;
    from = to = put_address(to, narrow, &patch);
    if (kind < 2 && n & 0x100) {
        to = put_rex(to, !narrow, base, 0), *to++ = 0x89;
        to = put_operand(to, base, 0, disp);
    } else if (kind == 4) {
        *to++ = 0x50;
    }
    for (unsigned k = n >> 16 & 3; kind != 4 && k--;)
        to = put_form(to, r, narrow, base);
    if (kind < 2) { /* CALL, JMP by memory */
        to = put_rex(to, false, base, 0), *to++ = 0xff;
        to = put_operand(to, base, kind ? 4 : 2, disp);
    } else if (kind < 4) {
        *to++ = 0xff, *to++ = kind == 2 ? 0xd0 : 0xe0;
    } else {
        *to++ = 0xc3;
    }
    *patch = (u8)(*patch + (to - from));
    return to;
}

unsigned row_instruction(struct row *w, struct random *r, bool narrow, u8 *to)
{
    u64 n = random_next(r);
    if (!w->left) {
        w->left = 3 + (n & 7);
        w->base = n & 8 ? RSP : (unsigned)(n >> 4) & (narrow ? 7 : 15);
    }
    w->left--;
    u8 *end = n % 5 == 0 ? put_plain(to, r) : n % 11 == 0 ? put_branch(to, r, narrow, w->base) : put_form(to, r, narrow, w->base);
    return (unsigned)(end - to);
}
