/* The one page walk (SDM vol. 3, chapter 5): 32-bit with PSE-36, PAE, 4-level; 4K, 2M, 4M, 1G; reserved bits,
 * NX, WP, SMEP, SMAP, PKU; A and D. */
#ifndef CPU_WALK_H
#define CPU_WALK_H

#include "cpu/access.h"

/* Error code bits of #PF. */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32 };

struct walk {
    u64 gpa;       /* of the byte asked for */
    u64 page_size; /* bytes: 4K, 2M, 4M or 1G; 4G's worth is reported as 4K when paging is off */
    bool user, writable, nx, global,
        dirty; /* combined over all levels; dirty: D of the leaf after this walk */
    u8 pkey;
};

/* Walks for an access of kind ACC from the current CPL; sets A bits on the way and D on a write, atomically,
 * when the access is allowed. False: #PF recorded. */
bool page_walk(struct cpu *c, u64 lin, unsigned acc, struct walk *w) MUST_CHECK;

/* The translation a debugger wants: no permission check, no A/D, no fault; false when not mapped. */
bool page_peek(const struct cpu *c, u64 lin, struct walk *w) MUST_CHECK;

/* PAE: loads the four PDPTEs from CR3; false: #GP(0) recorded (reserved bits), nothing changed. */
bool pdpte_load(struct cpu *c, u64 cr3) MUST_CHECK;

#endif
