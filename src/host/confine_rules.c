/* Which thread may call the kernel for what. Drawn as if the guest had taken the thread over (DESIGN, 10): no thread runs programs,
 * makes memory executable, traces or signals other processes, changes its rights, or gets at io_uring's own ways to open files (a
 * ring may read, write, flush and discard alone: block_uring.c). A vCPU opens nothing and connects to nobody; it works on
 * descriptors that are open already.
 *
 * A call that is missing here shows as the end of the VM by SIGSYS with its number: add it to the kinds of threads that need
 * it, with the narrowest condition on its arguments. Arguments that are pointers cannot be looked at. */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/bits.h"
#include "host/confine.h"
#include "host/confine_rules.h"

#define LOOP    (1u << CONFINE_LOOP | 1u << CONFINE_SOLE)
#define VCPU    (1u << CONFINE_VCPU | 1u << CONFINE_SOLE)
#define DISK    (1u << CONFINE_DISK)
#define SHARE   (1u << CONFINE_SHARE)
#define SIGNALS (1u << CONFINE_SIGNALS)
#define ALL     (LOOP | VCPU | DISK | SHARE | SIGNALS)

#define KVM_REQUESTS 0xae00u /* an ioctl's type, bits 15:8 (linux/kvm.h) */

#define CALL(name, who)             {.call = SCMP_SYS(name), .kinds = (who)}
#define CALL_MAY(name, who, rights) {.call = SCMP_SYS(name), .kinds = (who), .may = (rights)}
/* Argument ARG, looked at through MASK, is VALUE. */
#define CALL_MASKED(name, who, rights, arg, mask, value)                                                     \
    {.call = SCMP_SYS(name),                                                                                 \
     .kinds = (who),                                                                                         \
     .may = (rights),                                                                                        \
     .conditions = 1,                                                                                        \
     .condition = {{(arg), SCMP_CMP_MASKED_EQ, (mask), (value)}}}
#define CALL_EQUAL(name, who, rights, arg, value) CALL_MASKED(name, who, rights, arg, UINT64_MAX, value)
#define IOCTL(who, request)                       CALL_EQUAL(ioctl, who, 0, 1, request)
/* Of this process alone: by its own number. */
#define CALL_OWN(name, who) {.call = SCMP_SYS(name), .kinds = (who), .own_pid = 1}

const struct confine_rule confine_rules[] = {
    /* Locks, memory, time. */
    CALL(futex, ALL),
    CALL(brk, ALL),
    CALL(munmap, ALL),
    CALL(mremap, ALL),
    CALL(madvise, ALL),
    CALL(mincore, LOOP | SHARE), /* statistics of sharing; which pages have frames */
    CALL_MASKED(mmap, ALL, 0, 2, PROT_EXEC, 0),
    CALL_MASKED(mprotect, ALL, 0, 2, PROT_EXEC, 0),
    CALL(clock_gettime, ALL), /* where the host's clock is not in its vDSO */
    CALL(gettimeofday, ALL),
    CALL(clock_nanosleep, ALL),
    CALL(sched_yield, ALL),
    CALL(sched_getaffinity, ALL), /* malloc(3) counts processors */
    CALL(sysinfo, ALL),           /* qsort(3) asks for the memory's size */
    CALL(getrandom, ALL),
    CALL(restart_syscall, ALL),

    /* The end of a thread; signals, the crash handler with the terminal's modes. */
    CALL(exit, ALL),
    CALL(exit_group, ALL),
    CALL(rt_sigreturn, ALL),
    CALL(rt_sigprocmask, ALL),
    CALL(rt_sigaction, ALL),
    CALL(sigaltstack, ALL),
    CALL(getpid, ALL),
    CALL(gettid, ALL),
    CALL(getpgrp, ALL),
    CALL(getpgid, ALL),
    CALL_OWN(tgkill, ALL),
    CALL_EQUAL(prctl, ALL, 0, 0, PR_GET_NAME),
    IOCTL(ALL, TCGETS),
    IOCTL(ALL, TCSETS),
    IOCTL(ALL, TIOCGPGRP),

    /* Descriptors that are open. */
    CALL(write, ALL),
    CALL(writev, ALL),
    CALL(lseek, ALL),
    CALL(fstat, ALL),
    CALL_MASKED(newfstatat, ALL, 0, 3, AT_EMPTY_PATH, AT_EMPTY_PATH), /* what fstat(3) is */
    CALL(poll, ALL),
    CALL(ppoll, ALL),
    CALL(read, LOOP | VCPU | DISK | SHARE),
    CALL(readv, LOOP | DISK),
    CALL(pread64, LOOP | VCPU | DISK | SHARE), /* a vCPU: the kernel is loaded again at a reset */
    CALL(pwrite64, LOOP | VCPU | DISK | SHARE),
    CALL(fallocate, LOOP | VCPU | DISK | SHARE), /* a vCPU: the balloon */
    CALL(fdatasync, LOOP | DISK | SHARE), /* the file of pages that were written out */
    CALL(fsync, LOOP | DISK),
    CALL(fadvise64, SHARE),
    CALL(ftruncate, LOOP | DISK),
    CALL(io_uring_enter, LOOP | VCPU),
    CALL(close, LOOP | VCPU | DISK), /* a disk's: the connection to a server that has gone */
    CALL_EQUAL(fcntl, LOOP, 0, 1, F_GETFL),
    CALL_EQUAL(fcntl, LOOP, 0, 1, F_SETFL),
    CALL_EQUAL(fcntl, LOOP, 0, 1, F_GETFD),
    CALL_EQUAL(fcntl, LOOP, 0, 1, F_SETFD),
    IOCTL(LOOP, TIOCGWINSZ),
    IOCTL(LOOP | VCPU, TUNSETOFFLOAD),
    CALL_MASKED(ioctl, LOOP | VCPU, 0, 1, 0xff00u, KVM_REQUESTS),
    CALL_EQUAL(prctl, LOOP, 0, 0, PR_GET_TIMERSLACK),
    CALL_EQUAL(prctl, LOOP, 0, 0, PR_SET_TIMERSLACK),

    /* Connections that stand: NBD, the group's broker, the control's and the debugger's clients. */
    CALL(sendto, LOOP | DISK),
    CALL_EQUAL(sendto, VCPU, CONFINE_SERVE, 4, 0), /* without an address: what the guest writes to its serial port, the news of its end */
    CALL(sendmsg, LOOP | DISK | SHARE),
    CALL(recvfrom, LOOP | DISK),
    CALL(recvmsg, LOOP | DISK | SHARE),
    CALL(shutdown, LOOP | DISK),
    CALL_MAY(accept4, LOOP, CONFINE_SERVE),
    CALL_MAY(setsockopt, LOOP, CONFINE_SERVE | CONFINE_CONNECT),

    /* --net user. */
    CALL_EQUAL(socket, LOOP, CONFINE_CONNECT, 0, AF_INET),
    CALL_EQUAL(socket, LOOP, CONFINE_CONNECT, 0, AF_INET6),
    CALL_MAY(connect, LOOP, CONFINE_CONNECT),
    CALL_MAY(bind, LOOP, CONFINE_CONNECT),
    CALL_MAY(listen, LOOP, CONFINE_CONNECT),
    CALL_MAY(accept, LOOP, CONFINE_CONNECT),
    CALL_MAY(getsockopt, LOOP, CONFINE_CONNECT),
    CALL_MAY(getsockname, LOOP, CONFINE_CONNECT),
    CALL_MAY(getpeername, LOOP, CONFINE_CONNECT),
    CALL_EQUAL(ioctl, LOOP, CONFINE_CONNECT, 1, FIONREAD),
    CALL_EQUAL(ioctl, LOOP, CONFINE_CONNECT, 1, FIONBIO),

    /* Files by name. */
    CALL_MASKED(openat, LOOP, CONFINE_READ, 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY),
    CALL_MAY(newfstatat, LOOP, CONFINE_READ),
    CALL_MAY(openat, LOOP, CONFINE_WRITE),
    CALL_MAY(rename, LOOP, CONFINE_WRITE),
    CALL_MAY(renameat, LOOP, CONFINE_WRITE),
    CALL_MAY(unlink, LOOP, CONFINE_WRITE | CONFINE_SERVE),
    CALL_MAY(unlinkat, LOOP, CONFINE_WRITE | CONFINE_SERVE),
    CALL_EQUAL(fcntl, LOOP, CONFINE_READ, 1, F_OFD_SETLK), /* a medium */

    /* Another engine in the middle of a run. */
    CALL_MAY(mprotect, VCPU, CONFINE_ENGINE),
    CALL_MAY(openat, VCPU, CONFINE_ENGINE),

    /* Threads for a medium that is put in; they put on another filter of their own. */
    CALL_MASKED(clone, LOOP, CONFINE_THREADS, 0, CLONE_THREAD, CLONE_THREAD),
    CALL_MAY(set_robust_list, LOOP, CONFINE_THREADS),
    CALL_MAY(rseq, LOOP, CONFINE_THREADS),
    CALL_MAY(seccomp, LOOP, CONFINE_THREADS),
    CALL_EQUAL(prctl, LOOP, CONFINE_THREADS, 0, PR_SET_NO_NEW_PRIVS),
    CALL_EQUAL(prctl, LOOP, CONFINE_THREADS, 0, PR_SET_NAME),
    CALL_MAY(eventfd2, LOOP, CONFINE_THREADS),

    /* A server that was started for an image. */
    CALL_EQUAL(kill, LOOP, CONFINE_CHILD, 1, SIGTERM),
    CALL_MAY(wait4, LOOP, CONFINE_CHILD),

    /* Signals of other programs; stopping with the terminal's other jobs. */
    CALL(rt_sigtimedwait, SIGNALS),
    CALL_OWN(kill, SIGNALS),
};
const unsigned confine_rules_n = ARRAY_LEN(confine_rules);
