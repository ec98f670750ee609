/* Starting a broker is a race between members that begin at one time: who starts one holds the lock file, and looks again under it. A broker that ends takes its
 * socket away under the same lock, so who connects later starts another; who connected just before is hung up on, and comes again. */
#include "share/group.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKLOG 64

bool group_name_ok(const char *name)
{
    size_t n = strlen(name);
    return n && n <= 32 && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n;
}

enum status group_path(const char *group, char *path, size_t size, struct error *e)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    int n = run && *run == '/' ? snprintf(path, size, "%s/trine", run) : snprintf(path, size, "/tmp/trine-%u", (unsigned)geteuid());
    if (!group_name_ok(group))
        return error_set(e, STATUS_USAGE, "share %s: a group's name has 1 to 32 letters, digits, - _ .", group);
    if (n < 0 || (size_t)n + strlen(group) + sizeof "/.share" > size || (size_t)n + strlen(group) + sizeof "/.share.lock" > sizeof((struct sockaddr_un *)0)->sun_path)
        return error_set(e, STATUS_HOST, "share %s: the directory's name is too long: %s", group, run);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_errno(e, "share %s: %s", group, path);
    if (lstat(path, &st) < 0)
        return error_errno(e, "share %s: %s", group, path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
        return error_set(e, STATUS_HOST, "share %s: %s: is not this user's own directory (mode 0700)", group, path);
    snprintf(path + n, size - (size_t)n, "/%s.share", group);
    return STATUS_OK;
}

bool group_peer_ok(int fd, u32 *pid)
{
    struct ucred c;
    socklen_t n = sizeof c;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) < 0 || c.uid != geteuid())
        return false;
    *pid = (u32)c.pid;
    return true;
}

static struct sockaddr_un address(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    return a;
}

/* A connection, or -1: errno. */
static int try_connect(const char *path)
{
    struct sockaddr_un a = address(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static int lock_take_file(const char *path)
{
    char name[sizeof((struct sockaddr_un *)0)->sun_path + 8];
    snprintf(name, sizeof name, "%s.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX) < 0)
        if (errno != EINTR) {
            close(fd);
            return -1;
        }
    return fd;
}

void group_retire(const char *path, int listener)
{
    int lock = lock_take_file(path);
    if (lock < 0)
        return; /* whoever comes next finds nobody behind the socket, and replaces it */
    unlink(path);
    shutdown(listener, SHUT_RDWR);
    close(lock);
}

/* The child's way, after fork: nothing but system calls. Its parent's parent is not this process: nobody has to wait for it. */
static void become_broker(const char *exec, char *const argv[], int listener)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR);
    if (setsid() < 0 || null < 0 || fork())
        _exit(0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (listener != 3)
        dup2(listener, 3);
    else
        fcntl(3, F_SETFD, 0);
    close_range(4, ~0u, 0);
    if (chdir("/") == 0)
        execv(exec, argv);
    _exit(127);
}

static enum status start(const char *path, const char *exec, const char *group, struct error *e)
{
    struct sockaddr_un a = address(path);
    char verb[] = "memory-broker", name[] = "trine", where[sizeof a.sun_path];
    char *argv[] = {name, verb, where, NULL};
    memcpy(where, a.sun_path, sizeof where);
    int status, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    enum status s = STATUS_OK;
    unlink(path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a) < 0 || listen(fd, BACKLOG) < 0) {
        s = error_errno(e, "share %s: %s", group, path);
    } else {
        pid_t child = fork();
        if (!child)
            become_broker(exec, argv, fd);
        if (child < 0 || waitpid(child, &status, 0) < 0)
            s = error_errno(e, "share %s: no broker", group);
    }
    if (fd >= 0)
        close(fd);
    return s;
}

static enum status connect_or_start(const char *path, const char *exec, const char *group, int *fd, struct error *e)
{
    enum status s = STATUS_OK;
    *fd = try_connect(path);
    if (*fd >= 0)
        return STATUS_OK;
    if (errno != ENOENT && errno != ECONNREFUSED)
        return error_errno(e, "share %s: %s", group, path);
    if (!exec)
        return error_set(e, STATUS_HOST, "share %s: no VM of this group runs", group);
    int lock = lock_take_file(path);
    if (lock < 0)
        return error_errno(e, "share %s: %s.lock", group, path);
    *fd = try_connect(path);
    if (*fd < 0 && (s = start(path, exec, group, e)) == STATUS_OK && (*fd = try_connect(path)) < 0)
        s = error_errno(e, "share %s: %s", group, path);
    close(lock);
    return s;
}

enum status group_connect(const char *group, const char *exec, int *fd, struct error *e)
{
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    u32 pid;
    enum status s = group_path(group, path, sizeof path, e);
    if (s == STATUS_OK)
        s = connect_or_start(path, exec, group, fd, e);
    if (s == STATUS_OK && !group_peer_ok(*fd, &pid)) {
        close(*fd);
        s = error_set(e, STATUS_HOST, "share %s: %s: another user's broker", group, path);
    }
    return s;
}
