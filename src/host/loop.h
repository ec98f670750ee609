/* The one place where a thread of ours sleeps for descriptors and time together. */
#ifndef HOST_LOOP_H
#define HOST_LOOP_H

#include "base/types.h"

struct loop_fd {
    int fd;       /* negative: none */
    bool in, out; /* what is waited for; with neither, the descriptor is left out (a hung-up one would never
                     let us sleep) */
    bool readable, writable, broken; /* what it is */
    bool ready;   /* one of them: it can be read or written, or is hung up or broken: the next call on it says */
};

#define LOOP_MAX_FDS 64

/* Sleeps until a descriptor is ready, until DEADLINE on host_ns()'s clock (UINT64_MAX: for ever), or until a
 * signal was handled. */
void loop_wait(struct loop_fd *fds, unsigned n, u64 deadline_ns);

#endif
