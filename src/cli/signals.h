/* Signals while a VM is made and runs. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>

#include "trine.h"

struct signals {
    pthread_t thread;
    sigset_t set; /* the ones that the thread waits for */
    bool confine;
    sem_t ready; /* it waits, or could not be confined */
    struct trine_error error;
    bool failed;
    pthread_mutex_t lock;
    struct trine_vm *vm; /* under lock: the one to stop */
    int caught;          /* under lock: the signal that ended it, or 0 */
};

/* Before any other thread exists: from here on SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP and SIGCONT are the
 * business of a thread of its own, SIGPIPE is ignored, and a crash gives the terminal back. CONFINE: that thread puts its filter on.
 * False: the reason is printed. */
bool signals_start(struct signals *s, bool confine);
/* VM is the one to stop from now on; null: none, a signal ends the process. */
void signals_watch(struct signals *s, struct trine_vm *vm);
/* The signal that asked for the end, or 0. */
int signals_caught(struct signals *s);

#endif
