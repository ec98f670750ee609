/* The bare CPU as a judge: one piece of code at CPL 3 of this host, with no monitor around it. */
#ifndef AUDIT_BARE_H
#define AUDIT_BARE_H

#include "audit/rows.h"

enum bare_end {
    BARE_UNTRIED, /* this host cannot: `why` */
    BARE_THROUGH, /* it went through; `value` as the row asks for it */
    BARE_TRAPPED, /* by `vector`, at the instruction or behind it */
    BARE_KERNEL,  /* it entered the host's kernel as a system call */
    BARE_DIED,    /* nothing came back */
};

struct bare {
    enum bare_end end;
    u32 vector;
    u64 value;
    bool faked; /* one of the five that UMIP stops and Linux answers in the CPU's place */
    const char *why;
};

/* Runs R's code in a process of its own: no system calls, no files' contents, a second to live. */
struct bare bare_run(const struct audit_row *r);

#endif
