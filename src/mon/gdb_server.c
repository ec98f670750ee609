/* The gdb stub's socket. A second client is turned away; one that reads nothing loses replies, not our time.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mon/gdb_session.h"

static enum status listen_unix(struct gdb *g, const char *path, struct error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof a.sun_path)
        return error_set(e, STATUS_USAGE, "gdb: unix:%s: a socket's name has 1 to %zu bytes", path,
                         sizeof a.sun_path - 1);
    strcpy(a.sun_path, path);
    return unix_listen(&g->listener, &a, 0, 1, "gdb: ", e);
}

static enum status listen_tcp(struct gdb *g, const char *address, struct error *e)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *a;
    const char *colon = strrchr(address, ':');
    char host[256] = "127.0.0.1";
    if (!colon || !colon[1] || (size_t)(colon - address) >= sizeof host)
        return error_set(e, STATUS_USAGE, "gdb: %s: none of [HOST]:PORT, tcp:[HOST]:PORT, unix:PATH",
                         address);
    if (colon != address)
        snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    int err = getaddrinfo(host, colon + 1, &hints, &a);
    if (err)
        return error_set(e, STATUS_USAGE, "gdb: %s: %s", address, gai_strerror(err));
    int one = 1;
    g->listener.fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = g->listener.fd >= 0 && !setsockopt(g->listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) &&
              !bind(g->listener.fd, a->ai_addr, a->ai_addrlen) && !listen(g->listener.fd, 1);
    int saved = errno;
    freeaddrinfo(a);
    errno = saved;
    return ok ? STATUS_OK : error_errno(e, "gdb: %s", address);
}

struct gdb *gdb_create(const char *address, const struct gdb_target *target, struct error *e)
{
    struct gdb *g = gdb_create_detached(target);
    if (!g) {
        error_set(e, STATUS_HOST, "gdb: out of memory");
        return NULL;
    }
    enum status s = !strncmp(address, "unix:", 5)
                        ? listen_unix(g, address + 5, e)
                        : listen_tcp(g, address + (strncmp(address, "tcp:", 4) ? 0 : 4), e);
    if (s != STATUS_OK) {
        gdb_destroy(g);
        return NULL;
    }
    return g;
}

static void hang_up(struct gdb *g)
{
    close(g->client);
    g->client = -1;
    g->arriving = false;
}

void gdb_destroy(struct gdb *g)
{
    if (!g)
        return;
    if (g->client >= 0)
        hang_up(g);
    unix_listener_close(&g->listener);
    free(g->xml);
    free(g);
}

void gdb_prepare(struct gdb *g, struct loop_fd fds[GDB_FDS])
{
    fds[0] = (struct loop_fd){.fd = g->listener.fd, .in = true};
    fds[1] = (struct loop_fd){.fd = g->client,
                              .in = g->client >= 0 && !g->arriving && g->out_used <= sizeof g->out / 2,
                              .out = g->out_used};
}

static void accept_client(struct gdb *g)
{
    int one = 1, fd = accept4(g->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (g->client >= 0) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails on a Unix socket, which needs none */
    g->client = fd;
    gdb_session_start(g);
    g->arriving = g->running; /* gdb expects a guest that stands */
    if (g->running)
        g->target.interrupt(g->target.opaque);
}

/* False: the client is gone. */
static bool flush(struct gdb *g)
{
    ssize_t n = g->out_used ? send(g->client, g->out, g->out_used, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    g->out_used -= (size_t)n;
    memmove(g->out, g->out + n, g->out_used);
    return true;
}

static bool receive(struct gdb *g)
{
    u8 buf[4096];
    ssize_t n = recv(g->client, buf, sizeof buf, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    gdb_input(g, buf, (size_t)n);
    return n;
}

void gdb_serve(struct gdb *g, const struct loop_fd fds[GDB_FDS])
{
    if (g->client >= 0 && fds[1].fd == g->client) {
        bool alive = !fds[1].ready || !fds[1].in || receive(g);
        if (!alive || !flush(g)) {
            hang_up(g);
            gdb_session_end(g);
        }
    }
    if (fds[0].ready)
        accept_client(g);
}

void gdb_ended(struct gdb *g, u8 status)
{
    char text[8];
    if (g->client < 0)
        return;
    snprintf(text, sizeof text, "W%02x", status);
    gdb_reply_text(g, text);
    flush(g);
}
