/* Guest memory by linear and by logical address: the slow, exact way, which every engine shares. It walks
 * (cpu/walk.h) through the soft TLB, honours page crossing (both pages are checked before a byte is written),
 * and sends what is not RAM to the exit table. */
#ifndef CPU_ACCESS_H
#define CPU_ACCESS_H

#include "cpu/cpu.h"

enum access {
    ACC_READ = 0,
    ACC_WRITE = 1 << 0,
    ACC_FETCH = 1 << 1,
    ACC_IMPLICIT = 1 << 2, /* supervisor whatever CPL is: descriptor tables, TSS (SMAP ignores AC) */
    ACC_USER = 1 << 3,     /* as CPL 3 whatever CPL is */
    ACC_NO_AC = 1 << 4,    /* elements of masked moves and gathers: never #AC */
};

/* Where a byte of linear address space is. */
struct place {
    u64 gpa;
    u8 *hva; /* null: not RAM */
};
/* Translates one address for an access of kind ACC through the soft TLB, walking and filling on a miss.
 * False: #PF recorded. */
bool lin_translate(struct cpu *c, u64 lin, unsigned acc, struct place *p) MUST_CHECK;

/* Reads or writes LEN bytes (1..64) at linear address LIN. False: fault recorded (#PF, or #AC), nothing
 * written. Wraps at 4 GiB outside 64-bit mode. Canonical checks are the caller's (they depend on the segment:
 * #GP or #SS). */
bool lin_read(struct cpu *c, u64 lin, void *buf, unsigned len, unsigned acc) MUST_CHECK;
bool lin_write(struct cpu *c, u64 lin, const void *buf, unsigned len, unsigned acc) MUST_CHECK;
/* Checks that a write (or read) of LEN bytes would succeed, without doing it; sets A and D as the access
 * would. */
bool lin_probe(struct cpu *c, u64 lin, unsigned len, unsigned acc) MUST_CHECK;

static inline bool lin_read_u16(struct cpu *c, u64 lin, u16 *v, unsigned acc)
{
    return lin_read(c, lin, v, 2, acc);
}
static inline bool lin_read_u32(struct cpu *c, u64 lin, u32 *v, unsigned acc)
{
    return lin_read(c, lin, v, 4, acc);
}
static inline bool lin_read_u64(struct cpu *c, u64 lin, u64 *v, unsigned acc)
{
    return lin_read(c, lin, v, 8, acc);
}

/* Segmentation: the linear address of LEN bytes at SEG:OFF, or #GP/#SS (limit, type, null, canonical). WRITE
 * checks writability. OFF is already cut to the address size. */
bool seg_linear(struct cpu *c, enum seg_reg s, u64 off, unsigned len, bool write, u64 *lin) MUST_CHECK;

#endif
