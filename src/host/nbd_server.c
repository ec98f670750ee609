/* qemu-nbd with a socket that we made: it gets the listening end as descriptor 3, as systemd hands sockets
 * over (sd_listen_fds(3)), so it is ready from the first moment. The socket's name is in a folder of ours,
 * and is gone before the guest starts. The server is in a session of its own, so that a Ctrl-C reaches us
 * alone. */
#include "host/nbd_server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "qemu-nbd"

/* A listening socket in a folder of its own, and one connected to it; both names are taken away again. */
static bool make_sockets(int *listener, int *client)
{
    char dir[] = "/tmp/trine-nbd-XXXXXX";
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    *listener = *client = -1;
    if (!mkdtemp(dir))
        return false;
    snprintf(a.sun_path, sizeof a.sun_path, "%s/socket", dir);
    *listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = *listener >= 0 && *client >= 0 && !bind(*listener, (struct sockaddr *)&a, sizeof a) &&
              !listen(*listener, 1) && !connect(*client, (struct sockaddr *)&a, sizeof a);
    int why = errno;
    unlink(a.sun_path);
    rmdir(dir);
    errno = why;
    return ok;
}

static void child(int listener, int log, const char *path, const char *format, bool readonly)
{
    char pid[24], format_option[64];
    sigset_t none;
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    snprintf(format_option, sizeof format_option, "--format=%s", format);
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* The listener may be 3 already; then dup2 would keep its close-on-exec flag. */
    int high = dup(listener);
    if (dup2(log, 1) < 0 || dup2(log, 2) < 0 || high < 0 || dup2(high, 3) < 0)
        _exit(126);
    execlp(PROGRAM, PROGRAM, format_option, "--discard=unmap", "--cache=writeback",
           readonly ? "--read-only" : "--shared=1", path, (char *)NULL);
    dprintf(2, "%s: %s\n", PROGRAM,
            errno == ENOENT ? "is not installed (package qemu-utils)" : strerror(errno));
    _exit(127);
}

enum status nbd_server_start(struct nbd_server *s, const char *path, const char *format, bool readonly,
                             struct error *e)
{
    int listener = -1;
    char *whole = realpath(path, NULL); /* with its slash in front it can be no protocol's name */
    *s = (struct nbd_server){.log = -1, .socket = -1};
    if (!whole)
        return error_errno(e, "%s", path);
    s->log = memfd_create("trine-nbd", MFD_CLOEXEC);
    if (s->log >= 0 && make_sockets(&listener, &s->socket) && (s->pid = fork()) == 0)
        child(listener, s->log, whole, format, readonly);
    free(whole);
    enum status status = s->pid > 0 ? STATUS_OK : error_errno(e, "%s: starting " PROGRAM, path);
    if (listener >= 0)
        close(listener);
    if (status != STATUS_OK) {
        s->pid = 0;
        if (s->socket >= 0)
            close(s->socket);
        nbd_server_stop(s);
    }
    return status;
}

void nbd_server_complaint(const struct nbd_server *s, char *line, size_t size)
{
    char text[2048];
    ssize_t n = pread(s->log, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    for (char *end = text + strlen(text); end > text && end[-1] == '\n';)
        *--end = 0;
    const char *from = strrchr(text, '\n');
    from = from ? from + 1 : text;
    if (!strncmp(from, PROGRAM ": ", strlen(PROGRAM) + 2))
        from += strlen(PROGRAM) + 2;
    snprintf(line, size, "%s", from);
}

void nbd_server_stop(struct nbd_server *s)
{
    if (s->pid) {
        kill(s->pid, SIGTERM);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (s->log >= 0)
        close(s->log);
    s->pid = 0;
    s->log = -1;
}
