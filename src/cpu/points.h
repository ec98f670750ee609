/* What a debugger outside the guest asked for: places where the VM is to stop, invisible to the guest (unlike
 * DR0..DR3, which are the guest's). One set for all vCPUs of a VM; it changes only while all of them are
 * stopped. Addresses are linear. */
#ifndef CPU_POINTS_H
#define CPU_POINTS_H

#include "cpu/cpu.h"

#define POINTS_MAX 256

enum point_kind { POINT_WRITE = 1, POINT_READ = 2, POINT_ACCESS = 3 };

struct data_point {
    u64 lin, len;
    u8 kind; /* enum point_kind */
};

struct debug_points {
    u64 generation; /* another value after every change of `fetch`: decoded code depends on it */
    unsigned fetch_n, data_n;
    u64 fetch[POINTS_MAX];
    struct data_point data[POINTS_MAX];
};

/* Can an instruction whose linear address has these low 12 bits be one to stop at? For decoders, which know
 * code by its guest-physical address. */
static inline bool points_at_offset(const struct debug_points *p, u64 offset)
{
    for (unsigned i = 0; i < p->fetch_n; i++)
        if ((p->fetch[i] & ~PAGE_MASK) == offset)
            return true;
    return false;
}

/* The vCPU is at a place to stop before the instruction at RIP (an offset into CS). */
bool points_stop_before(const struct cpu *c, u64 rip);
/* Called for each data access while data_n is not 0: notes the first hit in c->point_hit. */
void points_check_data(struct cpu *c, u64 lin, u64 len, bool write);

#endif
