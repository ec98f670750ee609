/* QMP's socket: several clients, none of which can make the loop wait. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mon/qmp_impl.h"

static enum status listen_at(struct qmp *q, const char *path, struct error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof a.sun_path)
        return error_set(e, STATUS_USAGE, "qmp: unix:%s: a socket's name has 1 to %zu bytes", path, sizeof a.sun_path - 1);
    strcpy(a.sun_path, path);
    return unix_listen(&q->listener, &a, 0600, QMP_CLIENTS, "qmp: ", e);
}

struct qmp *qmp_create(const char *address, const struct qmp_target *target, struct error *e)
{
    struct qmp *q = qmp_create_detached(target);
    if (!q) {
        error_set(e, STATUS_HOST, "qmp: out of memory");
        return NULL;
    }
    memset(q->clients, 0, sizeof q->clients);
    if (strncmp(address, "unix:", 5))
        error_set(e, STATUS_USAGE, "qmp: %s: not unix:PATH", address);
    else if (listen_at(q, address + 5, e) == STATUS_OK)
        return q;
    qmp_destroy(q);
    return NULL;
}

static void hang_up(struct qmp_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->there = false;
}

void qmp_destroy(struct qmp *q)
{
    if (!q)
        return;
    for (unsigned i = 0; i < QMP_CLIENTS; i++)
        if (q->clients[i].there && q->clients[i].fd >= 0)
            hang_up(&q->clients[i]);
    unix_listener_close(&q->listener);
    free(q);
}

static struct qmp_client *place(struct qmp *q)
{
    for (unsigned i = 0; i < QMP_CLIENTS; i++)
        if (!q->clients[i].there)
            return &q->clients[i];
    return NULL;
}

void qmp_prepare(struct qmp *q, struct loop_fd fds[QMP_FDS])
{
    fds[0] = (struct loop_fd){.fd = q->listener.fd, .in = place(q)};
    for (unsigned i = 0; i < QMP_CLIENTS; i++) {
        const struct qmp_client *c = &q->clients[i];
        fds[1 + i] = (struct loop_fd){.fd = c->there ? c->fd : -1,
                                      .in = c->there && qmp_has_room(c) && c->in_used < sizeof c->in,
                                      .out = c->there && c->out_used};
    }
}

/* False: the client is gone. */
static bool flush(struct qmp_client *c)
{
    if (c->fd < 0) /* an event's flush has met that already */
        return false;
    ssize_t n = c->out_used ? send(c->fd, c->out, c->out_used, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    c->out_used -= (size_t)n;
    memmove(c->out, c->out + n, c->out_used);
    return true;
}

static bool receive(struct qmp_client *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_used, sizeof c->in - c->in_used, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    c->in_used += (size_t)n;
    return n;
}

static void serve_client(struct qmp *q, struct qmp_client *c, const struct loop_fd *fd)
{
    bool alive = !fd->ready || !fd->in || receive(c);
    if (alive)
        qmp_advance(q, c);
    if (!alive || !flush(c))
        hang_up(c);
}

void qmp_serve(struct qmp *q, const struct loop_fd fds[QMP_FDS])
{
    for (unsigned i = 0; i < QMP_CLIENTS; i++)
        if (q->clients[i].there && fds[1 + i].fd == q->clients[i].fd)
            serve_client(q, &q->clients[i], &fds[1 + i]);
    struct qmp_client *c = fds[0].ready ? place(q) : NULL;
    int fd = c ? accept4(q->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
    if (fd < 0)
        return;
    *c = (struct qmp_client){.there = true, .fd = fd};
    qmp_greet(q, c);
    if (!flush(c))
        hang_up(c);
}

void qmp_flush(struct qmp *q)
{
    for (unsigned i = 0; i < QMP_CLIENTS; i++)
        if (q->clients[i].there && q->clients[i].fd >= 0 && !flush(&q->clients[i]))
            hang_up(&q->clients[i]);
}
