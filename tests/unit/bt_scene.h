/* Random guests for bt_fuzz: a page of code, and the state of the vCPU that runs it. */
#ifndef UNIT_BT_SCENE_H
#define UNIT_BT_SCENE_H

#include "control_rig.h"

#define SCENE_DATA 0x100000u

struct random {
    u64 state;
};
u64 random_next(struct random *r);

/* bt_rows.c: instructions whose operands lie close to one register, with branches by memory and registers among them, so that the translator
 * tests for several at once and keeps addresses. */
struct row {
    unsigned left; /* instructions; 0: the next begins another */
    unsigned base;
};
#define ROW_BYTES 128 /* of the longest */
/* One of them to TO, or one branch with what belongs to it; bytes. */
unsigned row_instruction(struct row *w, struct random *r, bool narrow, u8 *to);

/* 64-bit code; 32-bit code of compatibility mode; of protected mode, without paging, with two levels, with PAE's three. */
enum world { WORLD_64, WORLD_COMPAT, WORLD_PLAIN, WORLD_PAGED, WORLD_PAE };
enum { CODE_64 = 1, CODE_32 = 2 };

struct scene {
    u8 code[PAGE_SIZE];
    struct random noise; /* what else is drawn while the scene is set */
    u64 values[16];
    unsigned cpl, shift; /* where in its page the code begins */
    enum world world;
    bool top;     /* 32-bit code: in the last page below 4 GiB */
    bool dense;   /* 32-bit code: all of 4 GiB is mapped, by large pages; faults return to the next byte */
    bool hostile; /* instructions that nobody should execute; branches anywhere; faults return to the next
                     byte */
    bool rows;    /* a third of the code is rows; the caller's choice */
    bool patches; /* it is a loop that patches itself, and back (bt_patch.c) */
    u64 limit;    /* instructions */
};

/* One instruction that does not end them at once; its length. NARROW: of 32-bit code. */
unsigned scene_instruction(struct random *r, bool narrow, u8 *to);
/* Code that patches itself and its patches back, in place of S's. */
void scene_patches(struct scene *s, struct random *r);

/* S->rows is set. CODE: which there may be. HOST: addresses of the monitor's own, for registers and bases. */
void scene_make(struct scene *s, struct random *r, unsigned code, const u64 *host, unsigned host_n);
/* The same for every rig that gets the same scene. */
void scene_set(const struct scene *s, struct control_rig *k);

#endif
