/* The TSC's rate. */
#ifndef GUEST_CLOCK_H
#define GUEST_CLOCK_H

#include "guest.h"

/* Against the PIT, in about 100 ms. */
uint64_t tsc_khz(void);

#endif
