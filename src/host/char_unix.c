/* A Unix socket as a serial line: Trine listens, one client at a time is served; a client that leaves makes
 * room for the next. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/char_impl.h"

/* A socket file that nobody listens on any more is in the way: takes it out. Anything else stays and makes
 * bind fail. */
static void char_unix_clear(const struct sockaddr_un *a)
{
    struct stat st;
    if (lstat(a->sun_path, &st) < 0 ||
        !S_ISSOCK(st.st_mode)) /* connect refuses other files with the same errno */
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)a, sizeof *a) < 0 && errno == ECONNREFUSED)
        unlink(a->sun_path);
    close(fd);
}

enum status char_unix_open(struct char_dev *c, const char *path, struct error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return error_set(e, STATUS_USAGE, "%s: a socket's name has at most %zu bytes", path,
                         sizeof a.sun_path - 1);
    strcpy(a.sun_path, path);
    char_unix_clear(&a);
    c->name = path;
    c->socket_in = c->socket_out = true;
    return unix_listen(&c->listener, &a, 0, 1, "", e);
}

void char_unix_hang_up(struct char_dev *c)
{
    int fd = c->out >= 0 ? c->out : c->in;
    if (fd >= 0)
        close(fd);
    c->in = c->out = -1;
}

void char_unix_accept(struct char_dev *c)
{
    int fd = accept4(c->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    char_unix_hang_up(c);
    c->in = c->out = fd;
}
