/* Threads, locks and conditions. */
#ifndef HOST_THREAD_H
#define HOST_THREAD_H

#include <pthread.h>

#include "base/error.h"
#include "base/types.h"
#include "host/confine.h"

struct lock {
    pthread_mutex_t m;
};

struct cond {
    pthread_cond_t c;
};

struct thread {
    pthread_t id;
    bool started;
};

enum status lock_init(struct lock *l, struct error *e);
enum status cond_init(struct cond *c, struct error *e);

static inline void lock_destroy(struct lock *l)
{
    pthread_mutex_destroy(&l->m);
}
static inline void lock_take(struct lock *l)
{
    pthread_mutex_lock(&l->m);
}
static inline void lock_release(struct lock *l)
{
    pthread_mutex_unlock(&l->m);
}
static inline void cond_destroy(struct cond *c)
{
    pthread_cond_destroy(&c->c);
}
static inline void cond_wake(struct cond *c)
{
    pthread_cond_signal(&c->c);
}
static inline void cond_wake_all(struct cond *c)
{
    pthread_cond_broadcast(&c->c);
}
static inline void cond_sleep(struct cond *c, struct lock *l)
{
    pthread_cond_wait(&c->c, &l->m);
}

/* Starts MAIN(ARG) under NAME (15 characters show), with every asynchronous signal blocked: those belong to
 * the caller's thread. */
enum status thread_start(struct thread *t, const char *name, void *(*main)(void *), void *arg,
                         struct error *e);
/* The same, and before MAIN it has put on C's filter for KIND; C null: none. */
enum status thread_start_confined(struct thread *t, const char *name, const struct confine *c, enum confine_kind kind,
                                  void *(*main)(void *), void *arg, struct error *e);
void thread_join(struct thread *t);

/* Of the calling thread; no two living threads have the same, and none has 0. */
u64 thread_self(void);
/* Nanoseconds for which the calling thread was ready to run and had no core (/proc/thread-self/schedstat); 0 where the kernel
 * does not say. *FD, -1 before the first call, is this thread's. */
u64 thread_run_delay(int *fd);
void thread_run_delay_close(int *fd);
/* Lets other threads have the core. */
void thread_yield(void);

/* How late, in nanoseconds, the kernel may wake the calling thread (prctl(2), PR_SET_TIMERSLACK). Returns
 * what it was. */
unsigned long thread_timer_slack(unsigned long ns);

#endif
