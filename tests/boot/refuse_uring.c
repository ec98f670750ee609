/* Runs a program in a world where io_uring is forbidden, as many containers' filters have it: refuse_uring PROGRAM [ARGUMENT]... */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    if (argc < 2 || !f || seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0) || seccomp_load(f)) {
        fprintf(stderr, "refuse_uring: no filter\n");
        return 126;
    }
    seccomp_release(f);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
