/* How much of a VM's memory is in use, sampled as ESX does (Waldspurger, OSDI 2002, section 5.3). See working_set.c. */
#ifndef MACHINE_WORKING_SET_H
#define MACHINE_WORKING_SET_H

#include "mem/mem.h"

#define WORKING_SET_SAMPLES 128u

struct working_set {
    u64 random;   /* state of the generator */
    u64 begun;    /* the period; 0: none yet */
    u64 gpa[WORKING_SET_SAMPLES]; /* of this period, in ascending order */
    u32 n, back;  /* how many; of them, accessed until the last look */
    u32 slow, fast; /* averages over periods, 1/65536 of what is resident */
    bool known;   /* a period has passed */
};

/* Looks at the samples of the period, and begins the next one when it is over: at least every few seconds, NOW by the host's clock. The one
 * thread that makes pages foreign. */
void working_set_look(struct working_set *w, const struct mem *m, u64 now);
/* Of RESIDENT bytes, all of which count until something is known. */
u64 working_set_bytes(const struct working_set *w, u64 resident);
/* Is the page with GPA a sample? Who reads pages that the guest did not ask for leaves it alone. */
bool working_set_has(const struct working_set *w, u64 gpa);

#endif
