/* The decoded instruction: one small record of fixed size, made once per byte sequence and shared by
 * interpreter and translator (DESIGN section 6). The decoder is pure: bytes and mode in, record or typed
 * fault out. */
#ifndef ISA_INSN_H
#define ISA_INSN_H

#include "base/types.h"

struct cpu;
struct insn;

/* A handler executes the instruction and goes on to the next one; it returns null when it left the block. */
typedef const struct insn *(*insn_fn)(struct cpu *c, const struct insn *i);

/* Operations: one per row of isa/ops.def. */
enum op {
    OP_INVALID,
#define OP(name, ...) OP_##name,
#include "isa/ops.def"
#undef OP
    OP_COUNT,
};

/* How the operands stand. REG: ModRM.reg, RM: ModRM.rm, both may be any register file. */
enum form {
    FORM_NONE, /* no explicit operand, or implied ones that the operation knows */
    FORM_R,    /* rd */
    FORM_M,
    FORM_I,   /* imm */
    FORM_RR,  /* rd <- rs */
    FORM_RM,  /* rd <- memory */
    FORM_MR,  /* memory <- rs */
    FORM_RI,  /* rd <- imm */
    FORM_MI,  /* memory <- imm */
    FORM_RRI, /* rd <- rs, imm */
    FORM_RMI, /* rd <- memory, imm */
    FORM_MRI, /* memory <- rs, imm */
    FORM_REL, /* branch by imm */
    FORM_COUNT,
};

enum insn_flag {
    INSN_LOCK = 1 << 0,
    INSN_REP = 1 << 1,   /* F3 where it means REP/REPE */
    INSN_REPNE = 1 << 2, /* F2 */
    INSN_HIGH8 = 1 << 3, /* rd or rs is AH, CH, DH or BH */
    INSN_VEX = 1 << 4,
    INSN_VEX_L = 1 << 5, /* 256 bits */
    INSN_REX_W = 1 << 6,
    INSN_SEG_PLAIN = 1 << 7, /* the segment needs neither base nor check in flat mode: ES CS SS DS */
};

struct insn {
    insn_fn fn; /* the interpreter's handler */
    i32 disp;   /* displacement; RIP-relative: from the start of the block, because base is GPR_RIP */
    i32 imm;  /* immediate, sign-extended; branches: see engine/interp. MOV r64, imm64: high half in `disp` */
    u16 op;   /* enum op */
    u8 form;  /* enum form */
    u8 flags; /* enum insn_flag */
    u8 rd, rs;      /* register numbers; 8-bit GPRs: byte offset into cpu->gpr (8 n, or 8 n + 1 for AH..BH) */
    u8 rv;          /* VEX.vvvv, or a third register (is4 in imm) */
    u8 base, index; /* enum gpr, GPR_ZERO when absent, GPR_RIP */
    u8 scale;       /* 0..3 */
    u8 seg;         /* enum seg_reg */
    u8 size;  /* operand size in bytes: 1, 2, 4, 8; 10; 16, 32 for vectors; the memory operand's where they
                 differ: msize */
    u8 msize; /* bytes of the memory operand */
    u8 asize; /* address size in bytes: 2, 4, 8 */
    u8 len;   /* bytes of the instruction */
    u8 off;   /* (unused by the decoder) while it is bound: enum silicon; then: record number inside its block */
};
_Static_assert(sizeof(struct insn) == 32 + 0, "one record is 32 bytes, half a cache line");

enum decode_status {
    DECODE_OK,
    DECODE_MORE,     /* the bytes given end inside the instruction */
    DECODE_UD,       /* no such instruction in this mode: #UD */
    DECODE_TOO_LONG, /* more than 15 bytes: #GP(0) */
    DECODE_UNBUILT,  /* the manual knows it, Trine does not offer it: #UD, logged and counted */
};

/* In CODE_SIZE: as AMD's silicon decodes (docs/deviations.md): 66 shortens near branches of 64-bit code, REP prefixes choose LOOPE or LOOPNE. */
#define DECODE_AMD 0x10u

/* Decodes one instruction of at most LEN bytes (15 are enough). CODE_SIZE is 2, 4 or 8. Sets everything but
 * fn. */
enum decode_status insn_decode(const u8 *bytes, unsigned len, unsigned code_size, struct insn *i);

/* `size` of a vector instruction is the largest vector register among its operands: 8 MMX, 16 XMM, 32 YMM; its memory operand's size is in msize.
 * What else isa/ops_simd.def says of its records holds too. */

/* The operation's name in the manual's notation. */
const char *op_name(enum op op);

#endif
