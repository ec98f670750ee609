#include "host/unix_listen.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum status unix_listen(struct unix_listener *u, const struct sockaddr_un *a, mode_t mode, int backlog,
                        const char *who, struct error *e)
{
    u->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The mode that bind gives the file is the socket's own: nobody else can connect at any moment. */
    if (u->fd < 0 || (mode && fchmod(u->fd, mode) < 0) ||
        bind(u->fd, (const struct sockaddr *)a, sizeof *a) < 0)
        return error_errno(e, "%s%s", who, a->sun_path);
    u->path = strdup(a->sun_path);
    if (!u->path || listen(u->fd, backlog) < 0)
        return error_errno(e, "%s%s", who, a->sun_path);
    return STATUS_OK;
}

void unix_listener_close(struct unix_listener *u)
{
    if (u->fd >= 0)
        close(u->fd);
    if (u->path)
        unlink(u->path);
    free(u->path);
    *u = (struct unix_listener){.fd = -1};
}
