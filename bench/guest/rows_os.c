/* Rows that are the kernel's work: transitions, processes, address spaces. */
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"

static bool getppid_run(uint64_t n)
{
    for (; n; n--)
        syscall(SYS_getppid);
    return true;
}

bool ended_well(pid_t pid)
{
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* On its own: vfork may clobber its caller's locals. */
pid_t vfork_exec(char *const argv[], char *const env[])
{
    pid_t pid = vfork();
    if (pid == 0) {
        execve(argv[0], argv, env);
        _exit(127);
    }
    return pid;
}

static bool fork_run(uint64_t n)
{
    for (; n; n--) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (!ended_well(pid))
            return false;
    }
    return true;
}

static char *const true_argv[] = {"/bin/true", NULL};
static char *const true_env[] = {"PATH=/usr/bin:/bin", NULL};

static bool exec_run(uint64_t n)
{
    for (; n; n--) {
        pid_t pid = fork();
        if (pid == 0) {
            execve(true_argv[0], true_argv, true_env);
            _exit(127);
        }
        if (!ended_well(pid))
            return false;
    }
    return true;
}

static bool vexec_run(uint64_t n)
{
    for (; n; n--)
        if (!ended_well(vfork_exec(true_argv, true_env)))
            return false;
    return true;
}

static bool pipe_hand_over(uint64_t n)
{
    int there[2], back[2];
    if (pipe(there) || pipe(back))
        return false;
    pid_t pid = fork();
    if (pid < 0)
        return false;
    char byte = 'x';
    if (pid == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1)
            if (write(back[1], &byte, 1) != 1)
                _exit(1);
        _exit(0);
    }
    bool ok = true;
    for (; n && ok; n--)
        ok = write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1;
    close(there[0]);
    close(there[1]);
    close(back[0]);
    close(back[1]);
    return ended_well(pid) && ok;
}

/* Two processes hand one byte to and fro, both on the CPU where this one is, so that each step is a context
 * switch. */
static bool pipe_run(uint64_t n)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (sched_getaffinity(0, sizeof all, &all) || sched_setaffinity(0, sizeof one, &one))
        return false;
    bool ok = pipe_hand_over(n);
    return !sched_setaffinity(0, sizeof all, &all) && ok;
}

#define FAULT_PAGES 1024
static bool fault_run(uint64_t n)
{
    volatile uint8_t *area =
        mmap(NULL, FAULT_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED || madvise((void *)area, FAULT_PAGES * 4096, MADV_NOHUGEPAGE))
        return false;
    for (uint64_t done = 0; done < n; done++) {
        if (done && done % FAULT_PAGES == 0 && madvise((void *)area, FAULT_PAGES * 4096, MADV_DONTNEED))
            return false;
        area[done % FAULT_PAGES * 4096] = 1;
    }
    return !munmap((void *)area, FAULT_PAGES * 4096);
}

static bool mmap_run(uint64_t n)
{
    for (; n; n--) {
        volatile uint8_t *area =
            mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED)
            return false;
        for (int page = 0; page < 4; page++)
            area[page * 4096] = 1;
        if (munmap((void *)area, 4 * 4096))
            return false;
    }
    return true;
}

const struct row rows_os[] = {
    {.name = "getppid", .unit = "system call", .run = getppid_run},
    {.name = "fork", .unit = "fork, exit, wait", .run = fork_run},
    {.name = "fork-exec",
     .unit = "fork, exec of Debian's /bin/true, wait",
     .run = exec_run,
     .needs_root = true},
    {.name = "vfork-exec",
     .unit = "vfork, exec of Debian's /bin/true, wait",
     .run = vexec_run,
     .needs_root = true},
    {.name = "pipe", .unit = "one byte to another process and back", .run = pipe_run},
    {.name = "fault", .unit = "first touch of a page", .run = fault_run},
    {.name = "mmap", .unit = "mmap, touch of 4 pages, munmap", .run = mmap_run},
    {0},
};
