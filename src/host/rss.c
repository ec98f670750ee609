/* Memory as /proc tells it, in files of `NAME: KIB kB` lines (proc_pid_status(5): RssAnon and RssFile, RssShmem is guest RAM;
 * proc_meminfo(5)). */
#include "host/rss.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 8192 /* either is well below */

/* Adds to VALUES[k], in bytes, what FD has under NAMES[k]; how many of its lines were. */
static unsigned read_kib(int fd, const char *const *names, u64 *values, unsigned n)
{
    char text[FILE_MAX], name[32], *rest = NULL;
    unsigned found = 0;
    u64 kib;
    ssize_t len = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = 0;
    for (const char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        for (unsigned k = 0; k < n; k++)
            if (sscanf(line, "%31[^:]: %" SCNu64, name, &kib) == 2 && !strcmp(name, names[k])) {
                values[k] += kib << 10;
                found++;
            }
    return found;
}

int rss_open(void)
{
    return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
}

u64 rss_private(int fd)
{
    u64 values[2] = {0};
    (void)read_kib(fd, (const char *const[]){"RssAnon", "RssFile"}, values, 2);
    return values[0] + values[1];
}

bool host_memory(u64 *total, u64 *available)
{
    u64 values[2] = {0};
    int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    unsigned found = read_kib(fd, (const char *const[]){"MemTotal", "MemAvailable"}, values, 2);
    if (fd >= 0)
        close(fd);
    if (found != 2)
        return false;
    *total = values[0];
    *available = values[1];
    return true;
}
