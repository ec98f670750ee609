/* Threads (pthreads). */
#include "host/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
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

/* What a new thread finds on its starter's stack, until it says that it is ready. */
struct start {
    void *(*main)(void *);
    void *arg;
    const char *name;
    const struct confine *confine;
    enum confine_kind kind;
    struct error *e;
    enum status status;
    sem_t ready;
};

static void *thread_main(void *arg)
{
    struct start *s = arg;
    void *(*main)(void *) = s->main;
    void *main_arg = s->arg;
    prctl(PR_SET_NAME, s->name); /* cuts it */
    enum status status = s->status = confine_thread(s->confine, s->kind, s->e);
    sem_post(&s->ready);
    return status == STATUS_OK ? main(main_arg) : NULL;
}

enum status thread_start(struct thread *t, const char *name, void *(*main)(void *), void *arg,
                         struct error *e)
{
    return thread_start_confined(t, name, NULL, CONFINE_LOOP, main, arg, e);
}

enum status thread_start_confined(struct thread *t, const char *name, const struct confine *c, enum confine_kind kind,
                                  void *(*main)(void *), void *arg, struct error *e)
{
    struct start s = {.main = main, .arg = arg, .name = name, .confine = c, .kind = kind, .e = e};
    sigset_t block, old;
    sigfillset(&block);
    const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    for (size_t i = 0; i < ARRAY_LEN(synchronous); i++)
        sigdelset(&block, synchronous[i]);
    pthread_sigmask(SIG_SETMASK, &block, &old);
    sem_init(&s.ready, 0, 0);
    int err = pthread_create(&t->id, NULL, thread_main, &s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    t->started = !err;
    if (err) {
        sem_destroy(&s.ready);
        errno = err;
        return error_errno(e, "thread %s", name);
    }
    while (sem_wait(&s.ready) < 0)
        ; /* EINTR */
    sem_destroy(&s.ready);
    if (s.status != STATUS_OK)
        thread_join(t);
    return s.status;
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
