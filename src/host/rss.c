/* The process's resident memory (proc_pid_status(5): RssAnon and RssFile; RssShmem is guest RAM). */
#include "host/rss.h"

#include <inttypes.h>
#include <stdio.h>

u64 rss_private(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    if (!f)
        return 0;
    char line[256];
    u64 total = 0, kib;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1 || sscanf(line, "RssFile: %" SCNu64, &kib) == 1)
            total += kib << 10;
    fclose(f);
    return total;
}
