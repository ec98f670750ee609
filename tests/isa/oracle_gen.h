/* Cases for the oracle: bytes, registers, memory, all of it from one number. */
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
    struct world r; /* before */
    u64 vectors;    /* the vector and x87 registers of R follow from it */
    unsigned fill;  /* what the data window holds, and FS and GS bases */
    u64 poke_at, poke; /* and 8 bytes in it, or an image of gen_image; at 0: none */
};

/* Encodings that hold a wanted operation: found once, by decoding. */
struct encoding {
    u8 map; /* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A */
    u8 opcode;
    bool vex;
};
struct gen {
    struct encoding list[2][2048]; /* of 64 and of 32-bit code */
    unsigned count[2];
    u64 xcr0; /* the host's components that the guest lacks: no XSAVE touches them */
    bool skip[OP_COUNT];
};

u64 gen_next(u64 *s);
u64 gen_pick(u64 *s, u64 n);
/* Is the operation one that the oracle generates? If not: why. */
const char *gen_left_out(unsigned op);
bool gen_wants(unsigned op);
void gen_init(struct gen *g);
/* From here on, cases of OP alone. False: there are none. */
bool gen_only(struct gen *g, unsigned op);
void gen_case(const struct gen *g, u64 seed, struct icase *t);
/* What the data window holds before T: NATIVE_DATA_LEN bytes. */
void gen_fill(const struct icase *t, u8 *window);
/* insn_decode's CODE_SIZE on this host. */
unsigned gen_mode(unsigned bits);
/* Decodes the last instruction of T->code; false: there is none. */
bool gen_decode(struct icase *t);

/* oracle_vector.c: what T's own fields do not say of T->r. */
void gen_registers(struct icase *t);
u64 gen_vector_word(u64 *s);
u16 gen_fcw(u64 *s);
u16 gen_fsw(u64 *s, u16 fcw, bool pending);
u8 gen_ftw(u64 *s, u16 fsw);
/* Moves so much that its pieces may fault in any order. */
bool gen_is_area(unsigned op);
/* Memory that OP reads as more than numbers: bytes of it (0: none), and contents from SEED. */
unsigned gen_image_size(unsigned op, unsigned msize);
void gen_image(const struct insn *i, u64 seed, u8 *at);

#endif
