/* One block in translation. */
#ifndef ENGINE_BT_TR_H
#define ENGINE_BT_TR_H

#include "engine/bt/emit.h"
#include "isa/decode_full.h"

/* One decoded guest instruction, with its encoding taken apart. */
struct dec {
    struct insn i;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    const u8 *bytes;
    u8 kept[4], kept_n; /* prefixes that stay: 66 F0 F2 F3 */
    u8 rex;             /* 0: none */
    u8 vex[2];          /* as C4 has them; vex[0] 0: none */
    u8 opcode[3], opcode_n;
    u8 modrm;
    u8 imm_at, imm_n;
    u8 kind; /* enum kind */
    bool reads_flags, touches_flags, full;
    bool decoded;
    bool replays; /* what stood in its destination is in scratch.input, until the flags are written again */
    u8 x87;    /* x87.h */
    bool side; /* K_JCC: the block goes on behind it */
    bool code32;
    u16 off;   /* in the block */
};

enum kind {
    K_STEP, /* not translated */
    K_GENERIC,
    K_NOP,
    K_LEA,
    K_PUSH,
    K_POP,
    K_LEAVE,
    K_X87_CONTROL,
    K_STRING,
    K_SENSITIVE,
    K_JCC,
    K_JMP,
    K_CALL,
    K_RET,
    K_JRCXZ,
    K_LOOP,
};

/* An effective address in guest terms. */
struct ea {
    u8 base, index; /* enum gpr */
    u8 scale;
    u8 seg; /* SEG_FS, SEG_GS, or 0: base 0 */
    bool a32;   /* cut to 32 bits before the segment's base is added */
    bool lin32; /* cut to 32 bits as a whole: 32-bit code */
    i64 disp; /* RIP-relative: from the page's start */
};

/* What the plan says of one memory access. */
struct touch {
    bool known, leads; /* leads: tests for its whole group and keeps its host address in its slot */
    u8 slot;           /* 0: none; scratch.slot[slot - 1] */
    i16 off;           /* of a follower, from the leader's operand */
    i16 lo, hi;        /* what the test covers, from the operand on */
};

struct plan {
    bool dead;     /* flags, before this instruction */
    u16 next_full; /* the instruction that writes them all then */
    struct touch touch[2];
};

enum late_kind { LATE_FILL, LATE_BUDGET, LATE_SITE, LATE_LINK, LATE_CROSS, LATE_SIDE, LATE_LOOKUP, LATE_X87, LATE_RANGE, LATE_PAGE, LATE_DONE };
/* What is emitted behind the block's own code. */
struct late {
    u8 kind;
    bool host, mem, parts; /* flags there */
    i16 lost;              /* neither: the instruction that wrote them */
    bool fault;     /* where the signal handler goes */
    u16 index;
    u8 size;    /* LATE_FILL */
    i16 lo, hi; /* LATE_FILL, LATE_RANGE: what was tested */
    u8 near;    /* LATE_RANGE, LATE_PAGE: which */
    u32 at;         /* rel32 that leads here; 0: none */
    u32 at2;        /* LATE_LOOKUP: from where the entry's key was another; LATE_LINK: from where the page was another, or 0 */
    u32 back;       /* LATE_X87, LATE_FILL: where to go on; the latter with the entry in HOST_T1 */
    struct ea ea;
    u32 site, link;
    i32 delta;
    u16 again; /* LATE_BUDGET: instruction to execute first; 0xffff: none */
};
#define GROUPS_MAX 32
/* A block goes on behind conditional branches: so many, and within so many instructions. */
#define SIDES_MAX    3
#define SIDES_WITHIN 24
/* Base of an effective address: scratch.lin. */
#define GPR_LIN  GPR_COUNT
#define LATE_MAX (6 * BT_BLOCK_MAX)

/* What is known of translated code's own registers before an instruction (reach.c). */
struct reach {
    bool live; /* the instruction is reached */
    u8 t[2];   /* what HOST_T0 and HOST_T1 hold */
    u16 slots, slots_w; /* a bit for each that holds an address; that may be written to */
};
_Static_assert(BT_SLOTS <= 16, "a bit for each slot");

struct tr {
    struct emit e;
    struct bt *b;
    struct bt_block *t;
    u32 n;
    bool host, mem; /* flags are valid in the host's flags; in scratch.flags */
    bool parts;     /* not MEM, but CF is valid there; the others are in the host's flags (HOST, whose CF is not), else in scratch.rest */
    i16 lost;       /* neither is: the instruction that wrote them, from which they can be made again; -1 */
    i16 writer;     /* the instruction whose flags the host's are; -1: none of this block */
    bool charged;
    bool x87_there, fip_paged; /* the guest's x87 state is in the host's FPU; scratch.fip_page is this page */
    u16 index, n_insns;
    u8 touches; /* memory accesses of this instruction so far */
    u8 slots;
    u8 held; /* HOST_T1 holds this slot; 0: none */
    i16 bias[BT_SLOTS]; /* of a slot's group: its leader's operand, from the address kept */
    bool cold; /* behind the block's own code */
    bool stepped; /* d[n_insns] is executed alone */
    u8 fetched[BT_ORIGIN + 15]; /* the guest's bytes; those of an instruction that crosses a page from the beginning on */
    struct bt_point point[BT_POINTS];
    unsigned points;
    bool fixed; /* an immediate has another part in the translation than to be copied, or there were too many */
    u16 page_off; /* of the block */
    bool code32;
    u8 word;      /* bytes of an address, and of what PUSH pushes */
    struct dec d[BT_BLOCK_MAX + 1];
    struct plan plan[BT_BLOCK_MAX + 1];
    struct late late[LATE_MAX];
    u32 late_n;
    struct reach reach[2 * BT_BLOCK_CODE]; /* by byte, the block's own code and then its rare paths; touched where it is asked for alone */
};

/* Host register of a guest GPR, or NO_REG: in scratch.home. */
INLINE int host_reg(unsigned g)
{
    return g == RSP ? HOST_GUEST_RSP : g == R10 || g == R11 || g == R14 || g == R15 ? NO_REG : (int)g;
}
INLINE struct opnd home(unsigned g)
{
    unsigned k = g == R10 ? 0 : g == R11 ? 1 : g == R15 ? 2 : 3;
    return in_scratch(offsetof(struct bt_scratch, home) + 8 * k);
}

/* decode.c: general registers alone, and no divide error */
bool dec_is_integer(const struct dec *d);
/* false: the block ends before this instruction */
bool bt_decode(struct bt *b, struct dec *d, const u8 *bytes, unsigned left, u32 mode);

/* code32.c: D, decoded as 32-bit code, as 64-bit code has it; false: there is none. */
bool code32_encode(struct dec *d);

/* plan.c */
void plan_block(struct tr *t, u32 mode);
bool plan_may_lose(const struct tr *t, int writer);
/* Does D read, and leave whole, what CMP and TEST need to be done again, or ADD and SUB to be undone? The registers, a bit each; 0: no. */
u32 plan_recovery(const struct dec *d);
/* Have registers GPRS the values that they had behind instruction WRITER? */
bool plan_kept(const struct tr *t, int writer, u32 gprs);
/* The flags that INC or DEC leaves are in the way of a look into memory, or dead, before they are read. */
bool plan_in_the_way(const struct tr *t);
bool touches_memory(const struct dec *d);
/* This instruction's flags are clobbered, dead, before they are written again, and need the old value of its destination to be made again. */
bool plan_wants_input(const struct tr *t);

/* way.c */
enum engine_way bt_way(void *state, const u8 *bytes, unsigned n, unsigned code_size, unsigned cpl);

/* flags.c */
void flags_to_mem(struct tr *t);                /* makes the copy in memory valid */
void flags_clobber(struct tr *t);               /* the host's flags are about to go; they will be in memory, or lost */
void flags_give_way(struct tr *t);              /* likewise, or in parts */
void flags_settle(struct tr *t);                /* no part of them is in the host's */
/* So that condition CC can be tested in the host's flags; SCRATCH: HOST_T0 is free. */
void flags_for(struct tr *t, unsigned cc, bool scratch);
/* By INC or DEC, in the host's flags, but for CF. */
void flags_written_part(struct tr *t);
void flags_to_host(struct tr *t, bool scratch); /* SCRATCH: HOST_T0 is free */
void flags_written(struct tr *t);               /* by a guest instruction, in the host's flags */

/* mem.c */
/* How far from the table the soft TLB's entry for HOST_T0's page is, into HOST_T1. */
void mem_entry(struct emit *e);
/* A field of that entry; PUSHED bytes lie on the stack. */
struct opnd mem_field(size_t field, i32 pushed);
struct opnd mem_tag(bool write, i32 pushed); /* the field that allows it */
/* Glue for one access. The operand to use, and which scratch register is free then. */
struct opnd mem_access(struct tr *t, const struct ea *ea, unsigned size, unsigned acc, int *spare);
/* L, behind the test X of operand EA, has the site at which a miss is served. */
void mem_looked(struct tr *t, struct late *l, const struct ea *ea, const struct touch *x, unsigned size, unsigned acc);
/* The test alone, of SIZE bytes at register REG: their offset in the page is in HOST_T0 then, how far from the table the entry is in HOST_T1. The site
 * where it leaves. */
u32 mem_entry_at(struct tr *t, unsigned reg, unsigned size, unsigned acc);
/* FS and GS of 32-bit code may have a base, but no limit; any other is the interpreter's. Flags are not the guest's here; mem_access does it. */
void mem_check_segment(struct tr *t, const struct ea *ea);
void mem_late(struct tr *t, const struct late *l);
/* The ways on from a miss of L, whose operands ea_prepare gives as O: to the careful variant where what was tested lies in two
 * pages; then the operand's address is in HOST_T0. The rel32 of the branch for mem_careful, 0: none. */
u32 mem_crosses(struct tr *t, const struct late *l, struct opnd o);
void mem_careful(struct tr *t, const struct late *l, u32 at);
struct opnd mem_slot(unsigned slot);
struct ea ea_of(const struct dec *d, u16 page_off);
/* An operand of REG + DISP, for implicit accesses. */
struct ea ea_at(const struct tr *t, unsigned reg, i32 disp);
struct opnd ea_prepare(struct tr *t, const struct ea *ea, bool *collapsed);

/* vectors.c: ymm0 to ymm15 from BASE + DISP, 32 bytes each, and to there, which leaves nothing in the upper halves. The load changes flags. */
void vectors_load(struct emit *e, int base, i32 disp);
void vectors_store(struct emit *e, int base, i32 disp);

/* near.c: as mem_access, for operands whose page is likely the one of the last time. False: not one of these, nothing is emitted. */
bool near_access(struct tr *t, const struct ea *ea, unsigned size, unsigned acc, const struct touch *x, struct opnd *o);
void near_late(struct tr *t, const struct late *l);
void near_make_stubs(struct emit *e);
/* Emitted behind a fill, in a stub: what the soft TLB may say no more is forgotten. HOST_T0 goes. */
void near_filled(struct emit *e);

/* generic.c */
bool operand_gpr(const ZydisDecodedOperand *o, unsigned *g, bool *high);
const ZydisDecodedOperand *generic_memory(const struct dec *d);
bool generic_memory_written(const struct dec *d);
/* D with registers alone, without storing a result: for its flags. */
void generic_again(struct tr *t, const struct dec *d);
/* Likewise, with its destination's old value from scratch.input. */
void generic_replay(struct tr *t, const struct dec *d);
bool generic_can(const struct dec *d);
/* The operand of POP, whose address is computed with RSP raised (SDM vol. 2, POP), before it is. */
struct ea pop_target(const struct tr *t, const struct dec *d);
void generic_emit(struct tr *t, struct dec *d);

/* string.c */
bool string_can(const struct dec *d);
void string_emit(struct tr *t, const struct dec *d);
void string_make_stubs(struct emit *e);

/* sensitive.c */
bool sensitive_can(const struct dec *d, u32 mode);
void sensitive_emit(struct tr *t, struct dec *d);
/* The stub by which D leaves, which is executed alone at site S. HOST_T0 goes. */
u32 sensitive_way_out(struct tr *t, const struct dec *d, struct bt_site *s);

/* trap.c */
/* Is D emitted by sensitive_emit? */
bool sensitive_in_line(const struct bt *b, const struct dec *d, u32 mode);
/* Does D, which is executed alone, stand unchanged in the cache, and trap? */
bool sensitive_traps(const struct bt *b, const struct dec *d);
void sensitive_trap(struct tr *t, const struct dec *d);

/* translate.c */
/* The way out at SITE; flags are in memory. */
void leave_at(struct tr *t, u32 site);
/* This instruction is executed alone if condition CC holds. The site. */
u32 step_if(struct tr *t, unsigned cc);
/* SITE leaves at D, and the dispatcher may do it by a call (direct.c). */
void site_describe(struct tr *t, u32 site, const struct dec *d);
u32 site_new(struct tr *t, enum bt_site_kind kind, unsigned index);
struct late *late_new(struct tr *t, enum late_kind kind, u32 at);

/* flow.c */
/* Executed alone if VALUE, which HOST_T1 has too, is not canonical. HOST_T1 goes. */
void flow_step_if_not_canonical(struct tr *t, struct opnd value);
void flow_emit(struct tr *t, struct dec *d);
void flow_make_stub(struct emit *e);
void lookup_late(struct tr *t, const struct late *l);
void flow_side(struct tr *t, struct dec *d);
void flow_push(struct tr *t, struct dec *d);
void flow_pop(struct tr *t, struct dec *d);
void flow_leave(struct tr *t, struct dec *d);
/* Ends a path of the block: on at DELTA from the page's start. */
void flow_exit(struct tr *t, i32 delta);
void flow_cross(struct tr *t, u32 link, i32 delta);
u32 link_new(struct tr *t, i32 delta, bool cross);
/* A jump inside the page, linked later. AT: the rel32 of a branch already emitted, or 0: a JMP here. The link. */
u32 flow_near(struct tr *t, u32 at, i32 delta);
/* Gives back what is charged for the instructions from INDEX on; no flags are touched. */
void flow_refund(struct tr *t, unsigned index);

#endif
