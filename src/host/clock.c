/* The host's clocks. */
#include "host/clock.h"

#include <time.h>

static i64 read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (i64)t.tv_sec * 1000000000 + t.tv_nsec;
}

u64 host_ns(void)
{
    return (u64)read_clock(CLOCK_MONOTONIC);
}

i64 host_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}
