/* A thread that has been taken over, for LD_PRELOAD: TRINE_CONFINE_DOUBLE="THREAD ACT N": at its Nth pthread_mutex_lock the thread called
 * THREAD does ACT, by the bare system call. Prints whatever comes of it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int (*real_lock)(pthread_mutex_t *);
static char thread[16], act[16];
static unsigned when;

static void __attribute__((constructor)) prepare(void)
{
    const char *how = getenv("TRINE_CONFINE_DOUBLE");
    *(void **)&real_lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    if (how && sscanf(how, "%15s %15s %u", thread, act, &when) != 3)
        abort();
}

static long do_act(void)
{
    static char sh[] = "/bin/sh", c[] = "-c", escaped[] = "echo escaped; exit 9";
    char *argv[] = {sh, c, escaped, NULL}, *env[] = {NULL};
    if (!strcmp(act, "execve"))
        return syscall(SYS_execve, sh, argv, env);
    if (!strcmp(act, "open"))
        return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
    if (!strcmp(act, "create"))
        return syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY);
    if (!strcmp(act, "socket"))
        return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    if (!strcmp(act, "code"))
        return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!strcmp(act, "kill"))
        return syscall(SYS_kill, getppid(), 0);
    if (!strcmp(act, "fork"))
        return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (!strcmp(act, "ring"))
        return syscall(SYS_io_uring_setup, 1, NULL);
    abort();
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
    static __thread unsigned calls;
    char name[16] = "", line[80];
    if (when && ++calls == when && !prctl(PR_GET_NAME, name) && !strcmp(name, thread)) {
        long r = do_act();
        int n = snprintf(line, sizeof line, "double: %s: %ld (%s)\n", act, r, r < 0 ? strerror(errno) : "done");
        (void)!write(2, line, (size_t)n);
    }
    return real_lock(m);
}
