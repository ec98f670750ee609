/* The process's resident memory, and the host's. */
#ifndef HOST_RSS_H
#define HOST_RSS_H

#include "base/types.h"

/* What this process says of itself, to be read later, when nothing may be opened any more; -1: the host does not say. */
int rss_open(void);
/* Bytes resident in this process that are not shared memory (guest RAM is shared memory: a memfd), from a descriptor of rss_open; 0 when
 * the host does not say. */
u64 rss_private(int fd);

/* The host's memory, and what of it could be had without swapping (proc_meminfo(5): MemTotal, MemAvailable); false: it does not say. */
bool host_memory(u64 *total, u64 *available);

#endif
