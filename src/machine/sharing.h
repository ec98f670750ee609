/* Sharing pages with the other VMs of a group: the VM's scanner. See sharing.c. */
#ifndef MACHINE_SHARING_H
#define MACHINE_SHARING_H

#include "base/error.h"
#include "base/types.h"
#include "trine.h"

struct vm;
struct sharing;

/* What the scanner did; any thread, approximate while it runs. */
struct sharing_stats {
    u64 passes, looked, shared, zeros, homes, paged; /* pages, all but the first */
    u64 stops, stop_ns, stop_max_ns, stop_p99_ns, stops_slow; /* of the vCPUs, from the wish to the end; slow: more than 1 ms */
    u64 work_max_ns, work_p99_ns, work_slow;                  /* the scanner's own time in one: without waiting for vCPUs and cores */
    u64 cpu_ns;                               /* of the scanner's thread */
    u64 waited_ns;                            /* the vCPUs for room under the group's limit */
    u64 left;                                 /* pages of the last pass that had to stay: the host's limit of mappings */
    u64 metadata_bytes;                       /* this VM's records that are touched */
    bool broker;                              /* it is there */
};

/* Joins the group that the configuration names, if any. Before anything runs. */
enum status sharing_create(struct vm *vm, struct error *e);
/* The scanner's thread begins, and ends. */
enum status sharing_start(struct vm *vm, struct error *e);
void sharing_stop(struct vm *vm);
void sharing_destroy(struct vm *vm);
void sharing_stats(const struct vm *vm, struct sharing_stats *s);
/* The group's wish for the guest's size in bytes; 0: none. */
u64 sharing_target(const struct vm *vm);

#endif
