/* The rows of confine_rules.c, which confine.c makes filters of. */
#ifndef HOST_CONFINE_RULES_H
#define HOST_CONFINE_RULES_H

#include <seccomp.h>

#include "base/types.h"

#define CONFINE_ARGS 2

/* A system call is allowed when all conditions of one of its rows hold. */
struct confine_rule {
    int call;
    u32 kinds;         /* bits 1 << enum confine_kind */
    unsigned may;      /* 0, or bits of which the machine needs one */
    unsigned own_pid;  /* n: its argument n - 1 is this process's number */
    unsigned conditions;
    struct scmp_arg_cmp condition[CONFINE_ARGS];
};

extern const struct confine_rule confine_rules[];
extern const unsigned confine_rules_n;

#endif
