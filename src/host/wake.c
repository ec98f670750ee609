/* Waking the event loop (eventfd(2)): posts add up to one readiness, so that nothing is ever lost or queued.
 */
#include "host/wake.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum status wake_init(struct wake *w, struct error *e)
{
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return w->fd < 0 ? error_errno(e, "eventfd") : STATUS_OK;
}

void wake_destroy(struct wake *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

void wake_post(const struct wake *w)
{
    int err = errno;
    const u64 one = 1;
    /* EAGAIN: the counter is full, so the loop is awake anyway. */
    while (write(w->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    errno = err;
}

void wake_drain(const struct wake *w)
{
    u64 n;
    while (read(w->fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
}
