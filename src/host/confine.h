/* Confinement: a thread gives up, for ever, every right and every system call that its work does not take (no_new_privs and
 * seccomp(2)). The filters are made while nothing is forbidden yet, one per kind of thread; each thread then puts on its own. What a
 * filter does not allow ends the process by SIGSYS, before the kernel has done any of it. */
#ifndef HOST_CONFINE_H
#define HOST_CONFINE_H

#include "base/error.h"
#include "base/types.h"

enum confine_kind {
    CONFINE_LOOP,    /* the event loop: descriptors, the ends of devices, and after the guest's end all that is left to do */
    CONFINE_VCPU,    /* a guest's code, and the device accesses that it makes */
    CONFINE_SOLE,    /* both in one thread: virtual time */
    CONFINE_DISK,    /* reads and writes for an image */
    CONFINE_SHARE,   /* looks for pages to share, and talks to the group's broker */
    CONFINE_SIGNALS, /* waits for signals */
    CONFINE_KINDS
};

/* What the loop, and with the last one a vCPU, may do beside that, as the machine needs it. */
enum {
    CONFINE_READ = 1 << 0,    /* opens files for reading */
    CONFINE_WRITE = 1 << 1,   /* makes, renames and removes files */
    CONFINE_SERVE = 1 << 2,   /* accepts connections, and takes their sockets' names away at the end */
    CONFINE_CONNECT = 1 << 3, /* makes IPv4 and IPv6 sockets */
    CONFINE_THREADS = 1 << 4, /* starts threads */
    CONFINE_CHILD = 1 << 5,   /* ends a child, and waits for it */
    CONFINE_ENGINE = 1 << 6,  /* sets an engine up: executable memory, devices and files that it opens */
};

struct confine;

/* Filters for the kinds whose bits (1 << KIND) are in KINDS; MAY: of the list above. */
enum status confine_create(struct confine **c, unsigned kinds, unsigned may, struct error *e);
void confine_destroy(struct confine *c);
/* The calling thread, and those that it starts from now on. C null: nothing happens. */
enum status confine_thread(const struct confine *c, enum confine_kind kind, struct error *e);

#endif
