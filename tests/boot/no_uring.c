/* LD_PRELOAD: a host that refuses io_uring, as containers do, so that disks go by threads. */
#include <errno.h>

int io_uring_queue_init(unsigned entries, void *ring, unsigned flags);

int io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
    (void)entries, (void)ring, (void)flags;
    return -EPERM;
}
