/* Inside the translator: one vCPU's translations, and what translated code can reach.
 *
 * One reservation of address space per vCPU, so that translated code reaches its data RIP-relative:
 *
 *     scratch | jump table | tags of cross-page links | code cache (RX; written through a second mapping, RW)
 *
 * Registers in translated code: guest RAX RCX RDX RBX RBP RSI RDI R8 R9 R12 R13 stand in themselves,
 * guest RSP in host R15, guest R10 R11 R14 R15 in the scratch page; host R10 and R11 are free for glue, host R14 is what is left of the
 * budget, host RSP is the soft TLB's table. The arithmetic flags stand in the host's flags or in scratch.flags; the translator
 * knows which at each point (flags.c). Vector registers and MXCSR are the guest's own; x87 and MMX too, from the
 * first instruction that needs them until the cache is left (x87.c). */
#ifndef ENGINE_BT_BT_H
#define ENGINE_BT_BT_H

#include <stdio.h>

#include "cpu/access.h"
#include "cpu/system.h"
#include "cpu/tlb.h"
#include "engine/engine.h"
#include "isa/insn.h"

enum {
    HOST_T0 = 10, /* scratch registers of translated code */
    HOST_T1 = 11,
    HOST_BUDGET = 14,
    HOST_GUEST_RSP = 15,
};

#define BT_JUMPS         (1u << 16)
#define BT_LINKS         (1u << 20)
#define BT_SITE_BITS     24 /* of a site's number, where an operand's size stands above it */
#define BT_SITES         (1u << 22)
#define BT_BLOCKS        (1u << 19)
#define BT_BLOCK_MAX     64 /* instructions */
#define BT_SLOTS         16
#define BT_SLOT_SOURCE   16 /* the last one: of REP MOVS, the addend of its source (string.c) */
#define BT_RANGES        2 /* near.c */
#define BT_LIMITS        3
#define BT_HASH          (1u << 18)
#define BT_FRAME_HASH    (1u << 14)
#define BT_BLOCK_CODE    (BT_BLOCK_MAX * 1024) /* bytes of host code; more than any block needs */
#define BT_SCRATCH_BYTES 4096
#define BT_TAGS_AT       (BT_SCRATCH_BYTES + BT_JUMPS * sizeof(struct bt_jump)) /* from the scratch page */
#define BT_CODE_BYTES    ((size_t)ENGINE_CACHE_MOST)
#define BT_COLD_AT       (BT_CODE_BYTES / 16 * 9)
#define BT_REGIONS       16
#define BT_REGIONS_LEAST 4
#define BT_EVICTED       (1u << 15) /* remembered */
#define BT_HUGE          ((size_t)2 << 20) /* a huge page of the host's */
/* The last stretch before an instruction limit goes by the interpreter: a block may overshoot by its length.
 */
#define BT_SLACK   (2 * BT_BLOCK_MAX)
#define BT_QUANTUM 65536
/* With other vCPUs, which may wait for this one to stand still. */
#define BT_QUANTUM_SHORT 16384

/* Mode bits of a block: what its translation depends on besides the bytes. */
enum {
    BT_MODE_SSE = 1 << 0,   /* SSE may run: CR0.EM = TS = 0, CR4.OSFXSR */
    BT_MODE_AVX = 1 << 1,   /* AVX may run */
    BT_MODE_FLAGS = 1 << 2, /* flags come in the host's flags, not in scratch.flags */
    BT_MODE_USER = 1 << 3,  /* CPL is not 0 */
    BT_MODE_CAREFUL = 1 << 4, /* each memory operand is looked up by itself */
    BT_MODE_X87 = 1 << 5, /* x87 and MMX may run, with all exceptions masked */
    BT_MODE_32 = 1 << 6,  /* 32-bit code in flat segments, of compatibility or protected mode (code32.c) */
    BT_MODE_PARTS = 1 << 7, /* flags come in two parts: CF in scratch.flags, the others in scratch.rest */
    BT_MODE_BITS = 8,
};

struct bt_jump {
    u64 rip;
    void *code;
    u64 key;  /* number of (TLB epoch, mode) */
    u64 page; /* rip's page | key */
};

enum { HOME_R11 = 1 };
struct bt_scratch {
    u64 home[4]; /* guest R10, R11, R15, R14 */
    u64 rip_page;
    u64 page_tag; /* rip_page | key: what a cross-page link compares */
    u64 key;      /* 1..4095 */
    i64 budget; /* outside the cache */
    struct tlb_table *tlb;
    u64 seg_base[6];
    u32 seg_flat[6]; /* of 32-bit code: FS and GS may be used without a look at limit and type */
    u64 flags; /* low byte OF, next byte as LAHF has it */
    u64 rest;  /* likewise, but for CF: of blocks that keep CF in `flags` (flags.c) */
    u64 input; /* of an instruction that is done again for its flags (plan.c) */
    u64 spill[4];
    u64 slot[BT_SLOTS]; /* host addresses that a block keeps (plan.c) */
    struct {
        u64 page, host;
        u64 limit[BT_LIMITS]; /* in-page offsets below it are reached; 0: none is known */
    } range[BT_RANGES];       /* near.c: the pages of the stack and of FS */
    struct tlb_table *range_table;
    u64 range_removed;
    u64 look[2];
    u64 target; /* of an indirect branch */
    struct bt_jump *jumps;
    u64 info; /* site that left the cache */
    u64 host_rsp, stub_rsp;
    u64 entry; /* where to enter the cache */
    u8 *ymm;
    u64 *gpr;
    void *bt;
    struct cpu *cpu;
    u64 icount_end; /* cpu->icount is this minus the budget */
    u64 lin;        /* an address that was computed already */
    struct {
        struct tlb_table *table;
        u64 view;
    } by_ac[2]; /* data accesses at CPL 0 with RFLAGS.AC clear and set */
    u32 mxcsr, mxcsr_host;
    u64 fill_fn, find_fn, write_fn, quick_fn, call_fn, tsc_fn;
    u64 x87_in; /* the guest's x87 state is in the host's FPU, not in struct cpu */
    u64 x87_fn;
    u64 fcw;
    u64 fip_page, fip_off; /* FIP is their sum */
};

struct bt_block;
struct tr;

/* Sites with a meaning of their own. */
enum {
    SITE_FAULT = 1, /* the host's CPU refused an instruction: filled by the signal handler */
    SITE_FIRST
};

enum bt_site_kind {
    SITE_STEP,   /* the instruction is executed alone */
    SITE_MEM,    /* a memory access that missed: likewise, when filling the soft TLB did not help */
    SITE_BUDGET, /* look around */
    SITE_LINK,   /* a direct branch whose target is not linked yet */
    SITE_CHECK,  /* is the next page still the one that the instruction crosses into? */
    SITE_LOOKUP, /* an indirect branch that the jump table did not know */
    SITE_KINDS
};

/* A place where translated code leaves the cache. */
struct bt_site {
    u32 block;
    union {
        u32 link;
        u32 pop; /* SITE_LOOKUP */
        struct {
            i16 lo, hi; /* SITE_MEM: what is tested, from the operand on */
        };
    };
    u16 op;        /* SITE_STEP, SITE_MEM: the instruction's */
    u8 index;      /* instructions of the block retired before this boundary */
    u8 kind : 4;
    u8 charged : 1;    /* the block's count has been taken off the budget */
    u8 decoded : 1;    /* SITE_STEP: the instruction is nothing but this operation, SIZE and LEN */
    u8 rep : 1;        /* SITE_STEP: REP MOVS or STOS with plain operands */
    u8 flags_host : 1; /* SITE_LINK: the target's variant */
    u8 size, acc; /* SITE_MEM; SITE_STEP: operand size; of INT n the vector, of MOV to a control register its number and the source's, four bits each */
    u8 len;
};
_Static_assert(sizeof(struct bt_site) == 16, "there are four for every five instructions");

/* A direct branch out of a block. */
struct bt_link {
    u32 from, to; /* blocks; to: 0 not linked */
    u32 next;     /* in to's list of those that lead to it */
    u32 at;       /* code offset of the rel32 */
    u32 stub;     /* code offset that it names when not linked */
    i32 delta;    /* target, from the page's start */
    bool cross;   /* leaves the page: checked by its tag */
    bool careful; /* leads to the careful variant */
    bool parts;   /* leads to the variant for flags in two parts */
};

#define BT_NO_PAGE (~0ull)
#define BT_NO_ORIGIN UINT32_MAX
struct bt_block {
    u64 gpa;
    u64 gpa2; /* of the next page, where its only instruction crosses into it; else BT_NO_PAGE */
    u32 hash_next;     /* block numbers, 0 ends */
    u32 frame_next[2]; /* in the lists of its frames: twice the block's number, 1 more for gpa2's; 0 ends */
    u32 code;          /* offset in the cache */
    u32 cold, cold_len; /* its rare paths */
    u32 stale;          /* what its first instruction becomes when it is dropped: a jump there */
    u32 links_in;       /* first link that leads here */
    u32 link_first;
    u32 map;    /* first entry of the instruction map */
    u32 origin; /* where in bt->origins the bytes that it was made of are; behind them what stands at its code's beginning, when it is dead, and its points.
                   BT_NO_ORIGIN: they are not kept */
    u16 link_count, code_len;
    u16 bytes;
    u8 count, points, mode;
    bool dead, dormant; /* dormant: dead, but may come back */
};
/* Host offset (from the block's code) at which each guest instruction's translation begins. */
struct bt_map {
    u16 host; /* BT_NO_HOST: behind a branch, nothing */
    u16 guest;         /* offset in the block */
    u32 flags_mem : 1; /* scratch.flags is valid there */
    u32 charged : 1;
    u32 lost : 30; /* neither they nor the host's are: offset in the cache of code that makes them and leaves; 0 */
};
#define BT_MAPS    (1u << 22)
#define BT_NO_HOST UINT16_MAX

/* An immediate of the guest's that stands in a block's code as it is, and has no other part in the translation (dormant.c). */
struct bt_point {
    u32 host;  /* offset in the cache */
    u16 guest; /* offset in the block */
    u16 bytes;
};
#define BT_POINTS        32 /* of one block */
#define BT_ORIGIN        (BT_BLOCK_MAX * 15) /* guest bytes that one block is made of, at most */
#define BT_HEAD          5  /* bytes of a block's code that its jump to STALE takes */
#define BT_ORIGINS       (1u << 25)
#define BT_ORIGIN_MOST   (BT_ORIGIN + BT_HEAD + BT_POINTS * sizeof(struct bt_point))
#define BT_DORMANT_HASH  (1u << 14)
#define BT_DORMANT_KINDS 4 /* versions of one address and mode that are kept */
#define BT_REWRITTEN     (1u << 18)
_Static_assert(BT_BLOCK_MAX < 256 && BT_MODE_BITS <= 8 && BT_POINTS < 256 && sizeof(struct bt_block) == 72, "there are many");

/* A part of the code cache and of its tables, evicted as a whole (region.c): how far each is used. */
struct bt_region {
    size_t used, cold_used; /* blocks' own code, and rare paths */
    u32 blocks_n, links_n, sites_n, maps_n, origins_n;
    u32 first; /* block */
    bool open, kept; /* has blocks; they came back after an eviction */
    u64 since;       /* when it was opened, in openings */
};
enum bt_age { BT_NEW, BT_KEPT, BT_AGES };

/* The page of the last store that missed because its frame holds code (beside.c). */
struct bt_beside {
    struct tlb_entry entry; /* in no table */
    u64 frame;
    const struct tlb_table *table; /* where it came from ... */
    u64 removed;                   /* ... which says so as long as this has not moved; null: there is none */
};

/* A fault that the host's CPU raised in translated code. */
struct bt_refused {
    bool open; /* the interpreter has not been asked */
    u8 vector;
    u64 rip, address;  /* the guest's instruction; the host's address, if the fault is one that has one */
    u64 seen, seen_ud; /* exceptions of this kind, and #UD, that the guest had before */
};

/* A page of code and the frame that it was found in (pages.c). */
struct bt_page {
    u64 page, frame;
};
#define BT_PAGE_SETS 1024
#define BT_PAGE_WAYS 8

struct bt {
    struct cpu *cpu;
    void *inner; /* the interpreter's state */
    u8 *base;    /* of the reservation */
    size_t bytes;
    struct bt_scratch *scratch;
    struct bt_jump *jumps;
    u64 *tags; /* by link number */
    u8 *code;  /* RX */
    u8 *write; /* the same bytes, RW */
    u32 stubs_used;
    size_t huge_end, huge_cold; /* up to here huge pages were asked for */
    size_t stubs_end;
    struct bt_region region[BT_REGIONS];
    unsigned regions; /* how many there are */
    size_t capacity;  /* bytes of code in all of them */
    struct bt_region *filling[BT_AGES]; /* null: none yet */
    struct bt_region *at;               /* where the next block goes */
    u64 openings;
    u64 evicted_block[BT_EVICTED]; /* gpa | mode << 52; 0: none */
    struct bt_block *blocks;
    struct bt_link *links;
    struct bt_site *sites;
    struct bt_map *maps;
    u8 *origins;
    struct {
        u64 name; /* of block N, which is the first of its list, and its code: found without a look at the block */
        u32 n, code;
    } hash[BT_HASH];
    u32 frames[BT_FRAME_HASH];
    struct {
        u32 hash[BT_DORMANT_HASH];
        u64 rewritten[BT_REWRITTEN / 64]; /* a bit for each address, and for others with the same hash: a block that begins there was dropped */
    } dormant;
    struct bt_beside beside;
    u64 beside_n;
    struct bt_page pages[BT_PAGE_SETS][BT_PAGE_WAYS];
    u32 page_turn;
    u64 pages_seen; /* of tlb->dropped */
    u32 mode;
    bool patched; /* code that may have run was changed: to be serialized before it runs again */
    struct tr *tr;
    u32 keys_n;
    struct {
        u64 what;
        u32 key;
    } key_cache[256];
    /* offsets of stubs */
    u32 stub_enter, stub_exit, stub_miss[2], stub_x87; /* stub_miss: of a read, of a write */
    u32 stub_other; /* flow.c */
    u32 stub_quick, stub_call, stub_tsc;
    u32 stub_rep[2][4]; /* string.c: of STOS and MOVS, of 1, 2, 4, 8 bytes: called with the addends of destination and source in HOST_T1 and HOST_T0 */
    bool quick_left; /* bt_quick or bt_call did its instruction, but knew no code to go on with */
    bool faulted;    /* the last fill found cpu->fault, which is its instruction's */
    u64 resumed;     /* the boundary where RF was set, but is left out; UINT64_MAX: none */
    u64 faults;      /* delivered as fills found them */
    u32 stub_look[2], stub_note[BT_RANGES]; /* near.c */
    u64 translated, flushed, dropped;
    u64 steps, direct, fills, cache_flushes;
    u64 evictions, evicted, again; /* regions; their blocks; those translated again */
    u64 revived, repatched; /* dormant blocks that came back; those of them whose immediates had changed */
    u64 foreign; /* instructions of other modes */
    u64 exits[SITE_KINDS];
    struct bt_refused refused;
    u64 host_faults, stray_faults; /* of translated code (signal.c); those of them that are not the guest's (refused.c) */
    u64 followed; /* links and look-ups that follow.c did */
    u64 steps_of[OP_COUNT], calls_of[OP_COUNT];
    FILE *perf_map; /* null: none */
    struct engine_settings settings;
    u64 shown[ENGINE_SHOW_MAX / 64]; /* bytes from settings.show_at on that were listed */
    u64 shown_n;
    u8 found[16]; /* the last one that is not allowed */
    u64 scanned, forbidden; /* instructions of translations: decoded (settings.scan), and not allowed there */
};

/* arena.c: address space, reserve and commit */
enum status bt_arena_init(struct bt *b, struct error *e);
void bt_arena_destroy(struct bt *b);
/* Code has been written up to USED, and rare paths up to COLD_USED: huge pages for it, and for the tables, so that the host's TLBs reach it
 * all. */
void bt_arena_huge(struct bt *b, size_t used, size_t cold_used);

/* stubs.c: the world switch */
void bt_make_stubs(struct bt *b);

/* near.c: the cache is entered: what translated code remembers of the soft TLB must be what that says now. */
void bt_near_check(struct bt *b);

/* cache.c: blocks by (gpa, mode), links between them, invalidation */
/* Nothing leads to block N any more; it is dead, not dormant. */
void bt_block_drop(struct bt *b, u32 n);
void bt_block_commit(struct bt *b, u32 n);
/* Block N, which is not dead any more, is found again. */
void bt_block_enter(struct bt *b, u32 n);
/* How many of the block's bytes lie in its first or second frame, and from where on. */
u64 bt_block_span(const struct bt_block *t, unsigned which, u64 *gpa);
/* Block N, which is dropped, will not be found at its frames again: without others there they are no code any more. */
void bt_frame_release(struct bt *b, u32 n);
void bt_link_set(struct bt *b, u32 link, u32 to);
/* The blocks of GPA's frame, and others: twice a block's number, 1 more where its second frame is meant, which is what to go on by. */
u32 *bt_frame_list(struct bt *b, u64 gpa);
/* Guest memory [GPA, GPA + LEN), all in one frame, has changed. The marks of what is still translated of the frame, and perhaps more. */
u64 bt_cache_invalidate(struct bt *b, u64 gpa, u64 len);
void bt_serialize(void);
/* The block whose code holds host address PC, and the instruction there; 0: none. */
u32 bt_block_at(const struct bt *b, u64 pc, u32 *index);

/* dormant.c: blocks whose bytes were written to, until these are the same again. The owning thread's, or another's at a safe point, as bt_block_drop. */
/* Block N was dropped because its bytes may have changed: it is dormant, if what it was made of was kept. */
void bt_dormant_keep(struct bt *b, u32 n);
/* Is what a block is made of to be kept, whose first byte is at GPA? */
bool bt_dormant_wants(struct bt *b, u64 gpa);
/* Block N, which is dormant, will not come back. */
void bt_dormant_forget(struct bt *b, u32 n);
/* The dormant block of GPA and MODE that was made of what stands at BYTES, up to the page's end, and at RIP now; it is in the tables again. 0: none. The owning
 * thread's, as bt_translate. */
u32 bt_dormant_find(struct bt *b, u64 gpa, u32 mode, const u8 *bytes, u64 rip);

/* pages.c: which frames code was found in; all on the owning thread. */
/* Code is looked up at LIN, and found at GPA. */
void bt_page_note(struct bt *b, u64 lin, u64 gpa);
/* What was looked up in pages that have been flushed since the last call is void. To be called before anything is looked up after a flush. */
void bt_pages_follow(struct bt *b);

/* beside.c: the entry for a write of SITE_SIZE (the site, the operand's size above it) at LIN, out of the soft TLB's ways, or of a frame with code where it may be
 * written without a look. Null: none. */
struct tlb_entry *bt_find_write(struct bt *b, u64 lin, u32 site_size);
/* The same for an access that misses, and was found to go to P. */
struct tlb_entry *bt_beside(struct bt *b, const struct bt_site *s, u64 lin, const struct place *p);

/* region.c: the cache's regions. All but the first two are the owning thread's, while no translated code of its runs. */
/* The region of a byte of blocks' own code; null: none. */
const struct bt_region *bt_region_of(const struct bt *b, u64 off);
/* Bytes of code in the cache; host pages that they lie in. */
u64 bt_region_bytes(const struct bt *b, bool in_pages);
/* Nothing is translated, and CAPACITY bytes of code may be. */
void bt_region_init(struct bt *b, size_t capacity);
/* Room in b->at for one more block, of this address and mode; evicts a region when there is none. */
void bt_region_make_room(struct bt *b, u64 gpa, u32 mode);
/* All that was looked up under a key is void. */
void bt_region_forget_checks(struct bt *b);
void bt_cache_flush(struct bt *b);

/* translate.c. Returns the block's number. BYTES: up to the page's end; RIP: where they are now. */
u32 bt_translate(struct bt *b, u64 gpa, u32 mode, const u8 *bytes, u64 rip);
/* The page behind RIP's, *P, if code may be taken from there; from now on no vCPU writes unseen to it or to the frame of GPA. A safe point. */
bool bt_next_page(struct bt *b, u64 rip, u64 gpa, struct place *p);
/* Do the page's LEFT last BYTES begin an instruction that goes on in the next? */
bool bt_cut_off(const struct bt *b, const u8 *bytes, unsigned left);

/* signal.c: faults of translated code itself */
void bt_signal_init(void);
/* The translator whose code this thread runs from now on; null: none. */
void bt_signal_enter(struct bt *b);

/* refused.c: was it the guest's? */
/* In the handler: the host's CPU refused something in the translation of the instruction at RIP. */
void bt_refused_note(struct bt *b, u64 rip, unsigned vector, u64 address);
/* The interpreter has executed that instruction. False: the translator is wrong, and the VM should not go on. */
bool bt_refused_settle(struct bt *b, struct error *e);

/* direct.c: executes a SITE_STEP's instruction if it is one of the few; c->rip and c->icount are at it. A REP
 * instruction does at most *LEFT iterations, which are taken off; false: something is left to do. */
bool bt_direct(struct bt *b, const struct bt_site *s, u64 *left);

/* The guest's TSC at a boundary with BUDGET instructions left. */
u64 bt_tsc(struct bt *b, u64 budget);

/* quick.c: executes the SYSCALL, SYSRET or branch of the site that leaves, if nothing else is to be looked at. The code to go on with, or null. */
void *bt_quick(struct bt *b);

/* The code at c->rip, by the jump table alone, with all that it needs in the scratch page; null: not there. */
void *bt_known_code(struct bt *b);

/* call.c: the same for IRETQ, MOV to CR3 and INVLPG, with the guest's vector registers put away. */
void *bt_call(struct bt *b);

/* run.c: leaves out RF of the boundary at ICOUNT, where it may; the budget then pays for a block. */
bool bt_resume(struct bt *b, u64 icount);
/* The boundary before site S: RIP and count. */
void bt_settle(struct bt *b, const struct bt_site *s);
/* Mode, segments and views out of struct cpu. False: this code is not translated, or other registers than now must be in the processor. */
bool bt_reload(struct bt *b);

/* follow.c: the same for a SITE_LINK or SITE_LOOKUP. */
void *bt_follow(struct bt *b, const struct bt_site *s);

INLINE u64 bt_frame_of(const struct bt_block *t, unsigned which)
{
    return which ? t->gpa2 : t->gpa & PAGE_MASK;
}

/* A block's address and mode. */
INLINE u64 bt_block_name(u64 gpa, u32 mode)
{
    _Static_assert(BT_MODE_BITS <= 12, "beside 52 bits of address");
    return gpa | (u64)mode << 52;
}

INLINE u32 bt_block_hash(u64 name)
{
    return (u32)(name * 0x9e3779b97f4a7c15ull >> 46) & (BT_HASH - 1);
}

/* Its number, and *CODE; 0: not translated. */
INLINE u32 bt_block_find(const struct bt *b, u64 gpa, u32 mode, u32 *code)
{
    u64 name = bt_block_name(gpa, mode);
    u32 k = bt_block_hash(name), n = b->hash[k].n;
    *code = b->hash[k].code;
    if (LIKELY(b->hash[k].name == name))
        return n;
    while (n && (b->blocks[n].gpa != gpa || b->blocks[n].mode != mode))
        n = b->blocks[n].hash_next;
    *code = b->blocks[n].code;
    return n;
}

INLINE unsigned bt_key_slot(u64 what)
{
    return (unsigned)(what * 0x9e3779b97f4a7c15ull >> 56);
}

/* RIP may stand in one of two entries; translated code looks into the second in a stub (flow.c). */
INLINE struct bt_jump *bt_jump_entry(struct bt *b, u64 rip, unsigned way)
{
    return &b->jumps[(rip & (BT_JUMPS - 1)) ^ way];
}

/* The entry that leads from RIP on, under the key in use; null: none. */
INLINE const struct bt_jump *bt_jump_find(struct bt *b, u64 rip)
{
    for (unsigned way = 0; way < 2; way++) {
        const struct bt_jump *j = bt_jump_entry(b, rip, way);
        if (j->rip == rip && j->key == b->scratch->key)
            return j;
    }
    return NULL;
}

/* RIP leads to CODE, an offset in the cache, under the key in use. */
INLINE const struct bt_jump *bt_jump_enter(struct bt *b, u64 rip, u32 code)
{
    struct bt_jump *j = bt_jump_entry(b, rip, 0);
    u64 key = b->scratch->key;
    if (j->key == key)
        *bt_jump_entry(b, rip, 1) = *j;
    *j = (struct bt_jump){.rip = rip, .code = b->code + code, .key = key, .page = (rip & PAGE_MASK) | key};
    return j;
}

/* The arithmetic flags as LAHF and SETO have them in AX, out of RFLAGS and back. */
INLINE u64 bt_flags_image(u64 rflags)
{
    return (rflags & 0xff) << 8 | (rflags >> 11 & 1);
}
INLINE u64 bt_flags_of(u64 image)
{
    return (image >> 8 & 0xff) | (image & 1) << 11;
}

/* Where the instruction of site S stands, before it is cut to 32 bits, and what of its block's count was not executed when S leaves before it. */
INLINE u64 bt_site_rip(const struct bt *b, const struct bt_site *s)
{
    const struct bt_block *t = &b->blocks[s->block];
    return b->scratch->rip_page + (t->gpa & ~PAGE_MASK) + b->maps[t->map + s->index].guest;
}
INLINE i64 bt_site_refund(const struct bt *b, const struct bt_site *s)
{
    return s->charged ? (i64)b->blocks[s->block].count - s->index : -(i64)s->index;
}

INLINE void bt_store_homes(struct bt *b)
{
    union gpr_value *g = b->cpu->gpr;
    const u64 *home = b->scratch->home;
    g[R10].q = home[0], g[R11].q = home[1], g[R15].q = home[2], g[R14].q = home[3];
}

INLINE void bt_called(struct bt *b, u16 op)
{
    b->direct++;
    b->calls_of[op]++;
}

/* As wide as addresses are in the code's mode. */
INLINE u64 bt_cut_rip(const struct bt *b, u64 rip)
{
    return b->mode & BT_MODE_32 ? (u32)rip : rip;
}

/* May code stand at RIP? */
static inline bool bt_is_code(const struct cpu *c, u64 rip)
{
    return c->code_size == 8 ? cpu_canonical(rip) : rip <= UINT32_MAX;
}

/* The soft TLB's entry for an access that missed, filled; null: it is the interpreter's. */
struct tlb_entry *bt_fill(struct bt *b, u64 lin, u32 site);

#endif
