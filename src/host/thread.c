/* Threads (pthreads). */
#include "host/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum status lock_init(struct lock *l, struct error *e)
{
    errno = pthread_mutex_init(&l->m, NULL);
    return errno ? error_errno(e, "mutex") : STATUS_OK;
}

enum status cond_init(struct cond *c, struct error *e)
{
    errno = pthread_cond_init(&c->c, NULL);
    return errno ? error_errno(e, "condition") : STATUS_OK;
}

enum status thread_start(struct thread *t, const char *name, void *(*main)(void *), void *arg,
                         struct error *e)
{
    sigset_t block, old;
    sigfillset(&block);
    const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    for (size_t i = 0; i < ARRAY_LEN(synchronous); i++)
        sigdelset(&block, synchronous[i]);
    pthread_sigmask(SIG_SETMASK, &block, &old);
    int err = pthread_create(&t->id, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    t->started = !err;
    if (err) {
        errno = err;
        return error_errno(e, "thread %s", name);
    }
    char shown[16] = {0};
    strncpy(shown, name, sizeof shown - 1);
    pthread_setname_np(t->id, shown);
    return STATUS_OK;
}

void thread_join(struct thread *t)
{
    if (t->started)
        pthread_join(t->id, NULL);
    t->started = false;
}

unsigned long thread_timer_slack(unsigned long ns)
{
    int old = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, ns);
    return old > 0 ? (unsigned long)old : 0;
}

u64 thread_self(void)
{
    return (u64)pthread_self(); /* glibc: the address of its control block */
}

void thread_yield(void)
{
    sched_yield();
}

#define NO_SCHEDSTAT (-2)

u64 thread_run_delay(int *fd)
{
    char text[100];
    if (*fd == -1 && (*fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) < 0)
        *fd = NO_SCHEDSTAT;
    ssize_t n = *fd >= 0 ? pread(*fd, text, sizeof text - 1, 0) : 0;
    if (n <= 0)
        return 0;
    text[n] = 0;
    const char *second = strchr(text, ' '); /* behind the time on a core */
    return second ? strtoull(second, NULL, 10) : 0;
}

void thread_run_delay_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
