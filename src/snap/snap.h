/* The snapshot file: a sequence of records, each compressed by itself (zstd), with one checksum over
 * everything.
 *
 *     "TRINSNAP"  version u32
 *     record ...  kind u32, raw length u32, packed length u32, 0 u32, at u64, packed bytes
 *     END         kind u32, 8 u32, 8 u32, 0 u32, 0 u64, FNV-1a of all bytes before the last eight
 *
 * Numbers are little-endian. `at` is the guest-physical address of RAM, the vCPU's number of a soft TLB, else
 * 0. RAM comes in pieces of SNAP_CHUNK at multiples of it; what is absent is zero. What the STATE record
 * means is the machine's affair (machine/snapshot.c). */
#ifndef SNAP_SNAP_H
#define SNAP_SNAP_H

#include "base/error.h"
#include "base/fields.h"
#include "mem/mem.h"

#define SNAP_MAGIC   "TRINSNAP"
#define SNAP_VERSION 2u
#define SNAP_CHUNK   65536u
#define SNAP_RAW_MAX (4u << 20) /* bytes of one record, unpacked */
#define SNAP_HEAD    12u
#define SNAP_RECORD  24u
#define SNAP_TAIL    (SNAP_RECORD + 8u)

enum snap_kind { SNAP_STATE = 1, SNAP_TLB = 2, SNAP_RAM = 3, SNAP_END = 4 };

#define SNAP_HASH_SEED 0xcbf29ce484222325ull

static inline u64 snap_hash(u64 h, const u8 *p, size_t n)
{
    for (; n; n--)
        h = (h ^ *p++) * 0x100000001b3ull;
    return h;
}

struct snap_writer;

/* Starts a file beside PATH, which takes its place when it is whole. Null: E says why. */
struct snap_writer *snap_create(const char *path, struct error *e);
enum status snap_put(struct snap_writer *w, enum snap_kind kind, u64 at, const void *data, size_t len,
                     struct error *e);
/* Every piece of RAM that holds anything but zeros. */
enum status snap_put_ram(struct snap_writer *w, const struct mem *m, struct error *e);
/* Brings the file to the disk and to its name. */
enum status snap_commit(struct snap_writer *w, struct error *e);
/* Frees W; a file that was not committed vanishes. Null is allowed. */
void snap_close(struct snap_writer *w);

struct snap_record {
    u32 kind;
    u64 at;
    const u8 *data; /* until the next record is read */
    u32 len;
};

struct snap_reader {
    const char *name; /* borrowed, as is the descriptor */
    int fd;
    u64 size, pos;
    u8 *raw, *packed;
    size_t raw_cap, packed_cap;
};

/* Reads from FD, a file of SIZE bytes: checks magic, version and checksum. snap_reader_free in any case. */
enum status snap_open(struct snap_reader *r, const char *name, int fd, u64 size, struct error *e);
/* SNAP_END: there are no more. */
enum status snap_next(struct snap_reader *r, struct snap_record *rec, struct error *e);
void snap_reader_free(struct snap_reader *r);

/* All of RAM becomes zero; then one record of it is put in. False: it does not lie in this machine's RAM. */
enum status snap_clear_ram(struct mem *m, struct error *e);
bool snap_take_ram(struct mem *m, const struct snap_record *rec);

struct cpu;

/* The soft TLB: a guest can see what it holds (tlb.h), so that a resumed run needs it. tlb_take comes after
 * RAM, and after the vCPU's registers; false: the record is no TLB of this machine. */
bool snap_save_tlb(const struct cpu *c, struct buffer *out) MUST_CHECK;
bool snap_take_tlb(struct cpu *c, const struct snap_record *rec) MUST_CHECK;

#endif
