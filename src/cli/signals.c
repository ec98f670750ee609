/* One thread waits for the signals that other programs send, so that nothing but the crash handler runs in a
 * handler's context.
 *
 *   TERM HUP INT QUIT   stop the VM; it is flushed, the terminal restored, exit status 128 + signal. A second
 * one ends the process at once TSTP, then CONT     terminal restored, process stopped; terminal raw again
 *   WINCH               the VM learns that the terminal has another size
 *   SEGV BUS ILL FPE ABRT TRAP SYS   a fault of ours: terminal restored, then whatever happened before we
 * were here; SYS also says which system call the sandbox refused, and to whom */
#include "cli/signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/cli.h"

static const int waited[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code (sigaction(2)); glibc's headers lack it */
#endif

static void say_refused(const siginfo_t *info)
{
    char line[120], thread[16] = "";
    prctl(PR_GET_NAME, thread);
    int n = snprintf(line, sizeof line, "trine: sandbox: thread %s: system call %d is not allowed\n", thread, info->si_syscall);
    (void)!write(STDERR_FILENO, line, (size_t)n);
}

/* The default action is back (SA_RESETHAND): an instruction that faulted faults again, anything else is
 * raised again. */
static void on_crash(int sig, siginfo_t *info, void *context)
{
    (void)context;
    trine_terminal_suspend();
    if (sig == SIGSYS && info->si_code == SYS_SECCOMP)
        say_refused(info);
    if (info->si_code <= 0 || sig == SIGABRT || sig == SIGTRAP || sig == SIGSYS)
        raise(sig);
}

static void end_by_signal(struct signals *s, int sig)
{
    pthread_mutex_lock(&s->lock);
    if (!s->vm || s->caught) {
        trine_terminal_suspend();
        _exit(128 + sig);
    }
    s->caught = sig;
    trine_stop(s->vm);
    pthread_mutex_unlock(&s->lock);
}

static void *signals_main(void *arg)
{
    struct signals *s = arg;
    prctl(PR_SET_NAME, "trine-signals");
    s->failed = s->confine && trine_confine_signals(&s->error) != TRINE_OK;
    bool failed = s->failed;
    sem_post(&s->ready);
    while (!failed) {
        int sig;
        if (sigwait(&s->set, &sig) != 0)
            continue;
        if (sig == SIGTSTP) {
            trine_terminal_suspend();
            kill(getpid(), SIGSTOP); /* SIGTSTP's own stop is refused to orphaned process groups */
        } else if (sig == SIGCONT) {
            trine_terminal_resume();
        } else if (sig == SIGWINCH) {
            pthread_mutex_lock(&s->lock);
            if (s->vm)
                trine_terminal_resized(s->vm);
            pthread_mutex_unlock(&s->lock);
        } else {
            end_by_signal(s, sig);
        }
    }
    return NULL;
}

bool signals_start(struct signals *s, bool confine)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    struct sigaction crash = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};
    /* A signal that we were started with ignored (nohup, a background job of a plain shell) stays ignored. */
    sigemptyset(&s->set);
    for (size_t i = 0; i < sizeof waited / sizeof waited[0]; i++)
        if (sigaction(waited[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaddset(&s->set, waited[i]);
    s->vm = NULL;
    s->caught = 0;
    s->confine = confine;
    sem_init(&s->ready, 0, 0);
    sigaction(SIGPIPE, &ignore, NULL);
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        if (sigaction(crashes[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(crashes[i], &crash, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_sigmask(SIG_BLOCK, &s->set, NULL);
    int err = pthread_create(&s->thread, NULL, signals_main, s);
    if (err) {
        complain("signal thread: %s", strerror(err));
        return false;
    }
    while (sem_wait(&s->ready) < 0)
        ; /* EINTR */
    if (s->failed)
        complain("%s", s->error.text);
    return !s->failed;
}

void signals_watch(struct signals *s, struct trine_vm *vm)
{
    pthread_mutex_lock(&s->lock);
    s->vm = vm;
    pthread_mutex_unlock(&s->lock);
}

int signals_caught(struct signals *s)
{
    pthread_mutex_lock(&s->lock);
    int sig = s->caught;
    pthread_mutex_unlock(&s->lock);
    return sig;
}
