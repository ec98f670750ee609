/* Randomness that a run can repeat: xoshiro256** (Blackman, Vigna), seeded by splitmix64. For --time virtual.
 */
#ifndef MACHINE_RANDOM_H
#define MACHINE_RANDOM_H

#include "base/types.h"

struct random {
    u64 s[4];
};

void random_seed(struct random *r, u64 seed);
u64 random_next(struct random *r);

#endif
