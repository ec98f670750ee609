/* Sleeping for descriptors and time (ppoll(2): nanoseconds, no timer descriptor to set). */
#include "host/loop.h"

#include <poll.h>
#include <time.h>

#include "host/clock.h"

void loop_wait(struct loop_fd *fds, unsigned n, u64 deadline_ns)
{
    struct pollfd p[LOOP_MAX_FDS];
    if (n > LOOP_MAX_FDS)
        n = LOOP_MAX_FDS;
    for (unsigned i = 0; i < n; i++) {
        short events = (short)((fds[i].in ? POLLIN : 0) | (fds[i].out ? POLLOUT : 0));
        p[i] = (struct pollfd){.fd = events ? fds[i].fd : -1, .events = events};
        fds[i].ready = fds[i].readable = fds[i].writable = fds[i].broken = false;
    }
    struct timespec t = {0}, *timeout = NULL;
    if (deadline_ns != UINT64_MAX) {
        u64 now = host_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
        t.tv_sec = (time_t)(left / 1000000000u);
        t.tv_nsec = (long)(left % 1000000000u);
        timeout = &t;
    }
    if (ppoll(p, n, timeout, NULL) <= 0)
        return;
    for (unsigned i = 0; i < n; i++) {
        fds[i].readable = p[i].revents & POLLIN;
        fds[i].writable = p[i].revents & POLLOUT;
        fds[i].broken = p[i].revents & (POLLERR | POLLHUP | POLLNVAL);
        fds[i].ready = p[i].revents != 0;
    }
}
