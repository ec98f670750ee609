/* Memory as /proc tells it, in files of `NAME: KIB kB` lines (proc_pid_status(5): RssAnon and RssFile, RssShmem is guest RAM;
 * proc_meminfo(5)). */
#include "host/rss.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Adds to VALUES[k], in bytes, what PATH has under NAMES[k]; how many of its lines were. */
static unsigned read_kib(const char *path, const char *const *names, u64 *values, unsigned n)
{
    FILE *f = fopen(path, "re");
    char line[256], name[32];
    unsigned found = 0;
    u64 kib;
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        for (unsigned k = 0; k < n; k++)
            if (sscanf(line, "%31[^:]: %" SCNu64, name, &kib) == 2 && !strcmp(name, names[k])) {
                values[k] += kib << 10;
                found++;
            }
    fclose(f);
    return found;
}

u64 rss_private(void)
{
    u64 values[2] = {0};
    (void)read_kib("/proc/self/status", (const char *const[]){"RssAnon", "RssFile"}, values, 2);
    return values[0] + values[1];
}

bool host_memory(u64 *total, u64 *available)
{
    u64 values[2] = {0};
    if (read_kib("/proc/meminfo", (const char *const[]){"MemTotal", "MemAvailable"}, values, 2) != 2)
        return false;
    *total = values[0];
    *available = values[1];
    return true;
}
