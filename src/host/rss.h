/* The process's resident memory. */
#ifndef HOST_RSS_H
#define HOST_RSS_H

#include "base/types.h"

/* Bytes resident in this process that are not shared memory (guest RAM is shared memory: a memfd); 0 when the
 * host does not say. */
u64 rss_private(void);

#endif
