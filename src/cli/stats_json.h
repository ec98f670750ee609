/* The report of --stats. */
#ifndef CLI_STATS_JSON_H
#define CLI_STATS_JSON_H

#include <stdio.h>

#include "trine.h"

/* Writes the report to F as one JSON object. END: the last key, how the VM ended (`poweroff`, `reset`, ...,
 * `error`). False: writing failed. */
bool stats_write(FILE *f, const struct trine_stats *s, const char *end);

#endif
