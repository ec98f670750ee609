/* The host's monotonic clock, in nanoseconds. */
#ifndef HOST_CLOCK_H
#define HOST_CLOCK_H

#include "base/types.h"

u64 host_ns(void);
/* Nanoseconds since 1970. */
i64 host_wall_ns(void);

#endif
