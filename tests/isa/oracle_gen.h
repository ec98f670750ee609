/* Cases of integer code for int_host: bytes, registers, memory, all of it from one number. */
#ifndef ISA_ORACLE_GEN_H
#define ISA_ORACLE_GEN_H

#include "isa/insn.h"
#include "oracle_host.h"

#define CASE_CODE_MAX 64

struct icase {
    unsigned bits; /* 32 or 64 */
    u8 code[CASE_CODE_MAX];
    unsigned len;
    unsigned lead;  /* bytes before the last instruction: others, which set flags in their own way */
    unsigned count; /* instructions */
    struct insn i;  /* the last one */
    struct regs r;
    unsigned fill; /* what the data window holds */
    u64 poke_at, poke; /* and 8 bytes in it; at 0: none */
};

/* Encodings that hold a wanted operation: found once, by decoding. */
struct encoding {
    u8 map; /* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A */
    u8 opcode;
    bool vex;
};
struct gen {
    struct encoding list[2][1024]; /* of 64 and of 32-bit code */
    unsigned count[2];
    u64 fs, gs;
};

u64 gen_next(u64 *s);
/* Is the operation one that int_host generates? */
bool gen_wants(unsigned op);
void gen_init(struct gen *g);
void gen_case(const struct gen *g, u64 seed, struct icase *t);
/* What the data window holds before T: NATIVE_DATA_LEN bytes. */
void gen_fill(const struct icase *t, u8 *window);
/* Decodes the last instruction of T->code; false: there is none. */
bool gen_decode(struct icase *t);

#endif
