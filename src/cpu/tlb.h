/* The soft TLB, shared by the software engines (DESIGN section 5). A guest can see it (stale entries, A bits), so its size,
 * replacement and flush points are part of the machine: identical in every engine.
 *
 * Each page has one slot in the first way, which in-line code looks at, and one in a smaller second way, which the slow path
 * looks at before it walks. What is filled, or found in the second way, goes to the first, and what stood there to its slot in the second: two
 * pages in use that share a first slot seldom share a second one, and change places instead of being walked for. A page stands in one way at most.
 *
 * An entry answers for one 4 KiB page in one view. A hit in `read`, `write` or `exec` means: allowed, RAM,
 * and nothing else to do; `write` is valid only when D is set and the frame is neither code nor watched.
 * Everything else takes the slow path (cpu/access.h). Tags hold the page's linear address, or are odd.
 * The hit test includes the access's last byte: tag == (lin + size - 1) & PAGE_MASK, entry chosen by lin's
 * page: an access that crosses a page never hits. */
#ifndef CPU_TLB_H
#define CPU_TLB_H

#include "cpu/access.h"
#include "cpu/cpu.h"

#define TLB_BITS     11
#define TLB_ENTRIES  (1u << TLB_BITS)
#define TLB_SECOND   256u /* a power of two */
#define TLB_SLOTS    (TLB_ENTRIES + TLB_SECOND)
#define TLB_INVALID  1ull /* no page */
#define TLB_BELOW    32768u /* frames of signals, of up to 12 KiB with AMX's state */
#define TLB_CONTEXTS 8 /* PCIDs kept at a time, least recently used goes */

/* One table per view, because permission depends on it. TLB_VIEW_NONE never hits: alignment checks or data
 * breakpoints are on. */
enum tlb_view {
    TLB_VIEW_USER,
    TLB_VIEW_KERNEL,
    TLB_VIEW_KERNEL_AC,
    TLB_VIEW_IMPLICIT,
    TLB_VIEWS,
    TLB_VIEW_NONE = TLB_VIEWS
};

struct tlb_entry {
    u64 read, write, exec; /* tags */
    u64 addend;            /* hva = lin + addend (modulo 2^64) */
};

/* What the flushes must know of an entry. */
enum { TLB_GLOBAL = 1, TLB_SIZE_2M = 2, TLB_SIZE_4M = 4, TLB_SIZE_1G = 6, TLB_SIZE = 6 };

struct tlb_table {
    u8 below[TLB_BELOW]; /* translated code's stack: its stack pointer is at the first entry */
    _Alignas(64) struct tlb_entry entry[TLB_SLOTS]; /* the first way, then the second */
    u8 kind[TLB_SLOTS];
    u64 filled[TLB_SLOTS / 64]; /* a bit for every entry that may hold something: flushes take as long as was filled */
    u64 second_hits;            /* pages that came back from the second way */
    u64 removed;                /* moves when an entry or a tag goes: who keeps what one says compares it */
};

/* Which pages code was fetched from since the last flush that could concern one of them, so that a flush of data pages leaves what was
 * looked up for code valid: small pages in a filter of two hashes, 2 MiB pages one by one. Where it is wrong a guest pays all its look-ups
 * anew with each flush of an unlucky page, for as long as that page has its address. */
#define TLB_CODE_BITS  13
#define TLB_CODE_LARGE 24
#define TLB_DROPPED    64
struct tlb_code {
    u64 generation;
    u64 epoch; /* as generation, but flushes of one small page leave it */
    u64 pages[1u << TLB_CODE_BITS >> 6]; /* since the generation began; all else since the epoch did */
    u64 large[TLB_CODE_LARGE];
    u8 large_n;
    bool half[2]; /* lower and upper half of the addresses: a program's data is no kernel's code */
    bool any, nonglobal, all; /* all: each flush in such a half concerns it */
};

struct tlb_context {
    u16 pcid;
    bool used;
    bool made;               /* its tables hold tags; before its first use they are not touched */
    bool large;              /* holds pieces of large pages: INVLPG must look for them ... */
    u64 large_at[8];         /* ... but only near these: hashed numbers of 2 MiB, or, of larger pages, 1 GiB regions that they lie in */
    bool touched[TLB_VIEWS]; /* a table that holds nothing needs no flush */
    u64 last_use;
    u64 generation; /* never the same value twice in one TLB: a new one with every flush of anything in this
                       context */
    struct tlb_code code[2]; /* user, supervisor */
    struct tlb_table view[TLB_VIEWS];
};

struct tlb {
    struct tlb_table
        *current;   /* the table of ordinary data accesses: context[active].view[cpu->view], or `none` */
    u64 generation; /* of the active context: what was looked up under another value must be looked up again
                     */
    u32 active;
    u64 use_clock, stamp;
    u64 misses, walks, flushes;
    u64 protects; /* times that write tags were taken away under the vCPU's feet (tlb_protect_frame) */
    /* Supervisor code in global pages alone is the same in all contexts: one generation for them, until a page that is
     * not global is fetched from. */
    u64 kernel_generation, kernel_epoch;
    bool kernel_mixed;
    /* The flushes of one page that there were, and the last pages of them: who keeps by epoch what he looked up gives up himself what he looked
     * up in these. */
    u64 dropped_n;
    u64 dropped[TLB_DROPPED];
    struct tlb_context context[TLB_CONTEXTS];
    struct tlb_table none; /* all invalid */
};

/* For whoever fills a table by himself (snapshots): its entries are valid afterwards, and K may hold something. */
void tlb_context_make(struct tlb_context *x);
INLINE void tlb_mark_filled(struct tlb_table *t, unsigned k)
{
    t->filled[k / 64] |= 1ull << k % 64;
}

struct walk;
struct tlb *tlb_create(void); /* null when out of memory */
void tlb_destroy(struct tlb *t);
/* Of all its tables. */
u64 tlb_second_hits(const struct tlb *t);

INLINE unsigned tlb_first(u64 lin)
{
    return (unsigned)(lin >> PAGE_SHIFT & (TLB_ENTRIES - 1));
}

INLINE unsigned tlb_second(u64 lin)
{
    return TLB_ENTRIES + (unsigned)((lin >> PAGE_SHIFT ^ lin >> (PAGE_SHIFT + TLB_BITS)) & (TLB_SECOND - 1));
}

INLINE struct tlb_entry *tlb_slot(struct tlb_table *t, u64 lin)
{
    return &t->entry[tlb_first(lin)];
}

/* A tag that answers for nothing, in the entry of a page whose first slot is FIRST. It is odd, and lies in a page of another first slot: so the test
 * (address ^ tag) <= PAGE_SIZE - size fails for every address that leads there. */
INLINE u64 tlb_no_tag(unsigned first)
{
    return first ? 1 : PAGE_SIZE | 1;
}

INLINE bool tlb_is_tag(u64 tag)
{
    return !(tag & 1);
}

/* The first way's entry that answers for SIZE bytes at LIN, all in one page, for accesses of kind ACC; it may come from the second way. Null: none. */
struct tlb_entry *tlb_find(struct tlb_table *t, u64 lin, unsigned size, unsigned acc);

/* Makes `current` follow cpu->view and the active context; called by cpu_update_mode. */
void tlb_select_view(struct cpu *c);
/* Enters what a walk found, for the access kinds that it allows. */
void tlb_fill(struct cpu *c, u64 lin, unsigned acc, const struct walk *w);
/* A number that changes with every flush that may concern a page fetched from at this CPL in this context: where code was found
 * under one value, it is as long as the value stays. */
u64 tlb_code_generation(const struct cpu *c);
/* As that, but for flushes of small pages, which are in tlb->dropped. */
u64 tlb_code_epoch(const struct cpu *c);
/* Code was fetched from LIN's page, of W's kind. Called for hits and fills alike. */
void tlb_mark_code(struct cpu *c, u64 lin, u8 kind);
u8 tlb_kind(const struct walk *w);
/* The table that answers for accesses of kind ACC. */
struct tlb_table *tlb_table_for(struct cpu *c, unsigned acc);

/* The architecture's flush points (SDM vol. 3, section 5.10.4). */
void tlb_flush_all(struct cpu *c);       /* with global entries: CR4.PGE, CR0.PG, INVPCID 2 */
void tlb_flush_nonglobal(struct cpu *c); /* all contexts but global entries: INVPCID 3 */
void tlb_load_cr3(struct cpu *c, u16 pcid,
                  bool keep);                 /* MOV CR3: selects the context; KEEP is bit 63 with PCIDE */
void tlb_flush_pcid(struct cpu *c, u16 pcid); /* INVPCID 1 */
void tlb_invlpg(struct cpu *c, u64 lin);      /* current context, and global entries in all */
void tlb_invpcid_page(struct cpu *c, u16 pcid, u64 lin); /* INVPCID 0 */
void tlb_flush_pkru(struct cpu *c);                      /* WRPKRU: what data accesses know, in every context */
/* Drops this vCPU's write tags of the frame at GPA: it now holds code, or is watched. */
void tlb_protect_frame(struct cpu *c, u64 gpa);
/* The RAM frame at GPA is about to be decoded or translated (FLAG: FRAME_DECODED or FRAME_TRANSLATED): from now on no vCPU writes to it unseen. A safe point (engine/engine.h) unless the frame is marked
 * already. */
void frame_mark_code(struct cpu *c, u64 gpa, u8 flag);

#endif
