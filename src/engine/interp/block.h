/* Decoded blocks: runs of records that start at one guest-physical address, kept by (gpa, mode).
 *
 *   entry | insn 0 | insn 1 | ... | insn n-1 | tail | taken
 *
 * `entry` charges the block's n instructions to the budget; `tail` goes on behind the last one; `taken` is the other way of a direct branch. A block ends at a control transfer, where the page ends, or
 * at BLOCK_MAX. An instruction that crosses into the next page is a block of its own, bound to both frames. When bytes of a block change, every record of
 * it is turned to a handler that leaves at that very instruction, so the change is exact even in the middle of the running block; its memory is
 * used again only when the whole arena is dropped, outside of any block. */
#ifndef ENGINE_INTERP_BLOCK_H
#define ENGINE_INTERP_BLOCK_H

#include "engine/interp/interp.h"

#define BLOCK_MAX     48
#define BLOCK_NO_PAGE UINT64_MAX
/* What entry->rd says of a block: */
#define BLOCK_FLEETING 1 /* nothing may remember it */
#define BLOCK_CROSSING 2 /* bound to a second page: a link, which checks no mapping, must not lead to it */

/* What the decoding depends on besides the bytes. */
enum {
    MODE_CODE = 3,         /* 0: 16, 1: 32, 2: 64 bit */
    MODE_FLAT = 1 << 2,
    MODE_STACK = 3 << 3,   /* as MODE_CODE, for the stack */
    MODE_USER = 1 << 5,    /* not decoding, but the right to fetch: part of the look-up key */
    MODE_SINGLE = 1 << 6,  /* a block of exactly one instruction */
    MODE_BITS = 7,
};

/* One membership of a block in the list of a frame. */
struct frame_ref {
    struct frame_ref *next;
    struct block *block;
    u64 frame;
};

struct block {
    u64 gpa, page2; /* page2: frame of the second page or BLOCK_NO_PAGE */
    u32 mode;
    u16 bytes, count;
    struct block *hash_next;
    struct frame_ref ref[2]; /* of the first and the second frame */
    struct insn *entry;
};

/* What stands in the records `tail` and `taken`: a way out of the block, and the block there once it is known. Only ways that stay in the page are
 * linked: while the block runs, its page's mapping holds. */
struct link {
    insn_fn fn;                /* tail only */
    const struct insn *entry;  /* null: not linked yet */
    i64 delta;                 /* RIP there, from the block's RIP */
    u32 linkable;
    u8 spare[3];
    u8 off;                    /* where struct insn has it: tail counts as record number n */
};
_Static_assert(sizeof(struct link) == sizeof(struct insn) && offsetof(struct link, off) == offsetof(struct insn, off),
               "a link stands in a record's place");

#define BLOCK_HASH  (1u << 14)
#define FRAME_HASH  (1u << 12)
#define JUMP_CACHE  (1u << 13)
#define ARENA_BYTES (20u << 20)

#define KEY_NONE UINT64_MAX

struct jump_entry {
    u64 rip, key; /* key: TLB generation << MODE_BITS | mode */
    const struct insn *entry;
    u64 unused;
};

struct block_cache {
    struct block *hash[BLOCK_HASH];
    struct frame_ref *frames[FRAME_HASH];
    struct jump_entry jump[JUMP_CACHE];
    u8 *arena;
    size_t used;
    u64 translated, flushed;
    u64 writes; /* to code, seen so far: what was read before the last of them may be old */
};

bool block_cache_init(struct block_cache *bc);
void block_cache_destroy(struct block_cache *bc);
/* Drops everything; no block may be running. FRAME_CODE stays: what it costs is that the next write to the frame finds
 * nobody who keeps code of it, and clears it. */
void block_cache_flush(struct block_cache *bc);
/* The block at (gpa, mode) whose second frame, if any, is PAGE2. */
struct block *block_find(struct block_cache *bc, u64 gpa, u32 mode);
/* Room for a block of up to N instructions, or null: the arena is full. */
struct block *block_reserve(struct block_cache *bc, unsigned n);
/* Enters a reserved and filled block, whose frames frame_mark_code marked before they were read, and marks its bytes; gives back what was not
 * used. */
void block_commit(struct block_cache *bc, struct block *b, struct mem *m);
/* Takes one block out and turns its records to STALE. */
void block_drop(struct block_cache *bc, struct block *b, insn_fn stale);
/* Bytes [gpa, gpa + len), inside one frame, changed: every block over them goes. The marks of those of the frame that are left. */
u64 block_invalidate(struct block_cache *bc, u64 gpa, u64 len, insn_fn stale);

INLINE struct jump_entry *jump_slot(struct block_cache *bc, u64 rip)
{
    return &bc->jump[(rip ^ rip >> 12) & (JUMP_CACHE - 1)];
}

#endif
