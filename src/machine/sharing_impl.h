/* Between sharing.c, which looks for pages, and sharing_commit.c, which changes what they are mapped to. */
#ifndef MACHINE_SHARING_IMPL_H
#define MACHINE_SHARING_IMPL_H

#include "host/thread.h"
#include "host/wake.h"
#include "machine/sharing.h"
#include "machine/working_set.h"
#include "mem/foreign.h"
#include "share/member.h"

/* What shall become of a page, and of the frame that is held for it. */
struct change {
    u64 gpa;
    u32 frame; /* CHANGE_ZERO: a hole; CHANGE_HOME: memory of its own; CHANGE_PAGE: see below */
    bool done;
};
#define CHANGE_ZERO 0xfffffff0u
#define CHANGE_HOME 0xfffffff1u
#define CHANGE_PAGE 0xfffffff2u /* the file, which has its bytes already */

#define STOP_TIMES 160u /* four to each power of two of nanoseconds */

struct sharing {
    struct vm *vm;
    struct share_member member;
    struct thread thread, watcher;
    struct wake wake;
    _Atomic bool ending;
    u32 *seen; /* by gpa >> 12: a part of the hash at the last look, 0: none */
    u64 seams_max;
    u64 budget;        /* of the scanner's time on a core, in 1/1000 */
    u64 period_ns;     /* between two passes */
    u64 worked, rests; /* thread time at the last rest; how many rests */
    _Atomic u64 target;
    u64 page_quota; /* bytes that shall go to the file */
    _Atomic u64 grant; /* bytes of the host that the VM may hold until the next report; UINT64_MAX: as it likes */
    u64 reported;      /* when */
    int statm;         /* /proc/self/statm; -1: none */
    /* The watcher's. */
    _Atomic bool braked;         /* the VM holds more: its vCPUs wait */
    u64 braked_from, braked_at;  /* since when; counted up to when */
    bool told; /* that the broker is gone; that the pool, the file take no more */
    bool told_pool;
    _Atomic bool told_paging;
    struct working_set working;
    struct sharing_stats stats;
    u32 stops[STOP_TIMES], works[STOP_TIMES]; /* how many took as long: see sharing_commit.c */
    /* Of the block that is looked at. */
    struct share_query query[FOREIGN_BLOCK];
    struct change change[FOREIGN_BLOCK];
    u32 frames[FOREIGN_BLOCK], release[FOREIGN_BLOCK];
    bool written[FOREIGN_BLOCK];
};

/* The calling thread's time on a core. */
u64 sharing_thread_ns(void);
/* The time that 99 of 100 of them did not exceed, to a quarter of a power of two. */
u64 sharing_p99(const u32 times[STOP_TIMES]);
/* Does what C[0..n) say, as far as it still holds, in runs between which the vCPUs run; sets `done`. */
void sharing_commit(struct sharing *s, struct change *c, u32 n);

#endif
