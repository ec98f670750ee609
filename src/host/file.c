/* Files that the user named: open, size, read by offset. */
#include "host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"

#define SPOOL_CHUNK 65536u

/* Appends everything that FROM gives to the file TO. */
static enum status file_copy(struct file *f, int from, int to, u8 *chunk, u64 limit, struct error *e)
{
    for (;;) {
        ssize_t n = read(from, chunk, SPOOL_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(e, "%s", f->name);
        if (n == 0)
            return STATUS_OK;
        if ((u64)n > limit - f->size)
            return error_set(e, STATUS_HOST, "%s: larger than the guest's memory", f->name);
        if (pwrite(to, chunk, (size_t)n, (off_t)f->size) != n)
            return error_errno(e, "%s: keeping it in memory", f->name);
        f->size += (u64)n;
    }
}

static enum status file_spool(struct file *f, u64 limit, struct error *e)
{
    int to = memfd_create("trine-file", MFD_CLOEXEC);
    u8 *chunk = malloc(SPOOL_CHUNK);
    enum status s = to < 0 || !chunk ? error_errno(e, "%s: keeping it in memory", f->name)
                                     : file_copy(f, f->fd, to, chunk, limit, e);
    free(chunk);
    if (s != STATUS_OK) {
        if (to >= 0)
            close(to);
        return s;
    }
    close(f->fd);
    f->fd = to;
    return STATUS_OK;
}

static enum status file_check(struct file *f, u64 limit, struct error *e)
{
    struct stat st;
    if (fstat(f->fd, &st) < 0)
        return error_errno(e, "%s", f->name);
    if (S_ISDIR(st.st_mode))
        return error_set(e, STATUS_HOST, "%s: is a directory", f->name);
    if (S_ISREG(st.st_mode))
        f->size = (u64)st.st_size;
    else if (file_spool(f, limit, e) != STATUS_OK)
        return e->status;
    if (!f->size)
        return error_set(e, STATUS_HOST, "%s: is empty", f->name);
    return STATUS_OK;
}

enum status file_open(struct file *f, const char *name, u64 limit, struct error *e)
{
    *f = (struct file){.name = name, .fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY)};
    if (f->fd < 0)
        return error_errno(e, "%s", name);
    enum status s = file_check(f, limit, e);
    if (s != STATUS_OK)
        file_close(f);
    return s;
}

void file_close(struct file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

enum status file_read(const struct file *f, u64 off, void *buf, u64 len, struct error *e)
{
    u8 *p = buf;
    if (!range_ok(off, len, f->size))
        return error_set(e, STATUS_HOST, "%s: truncated", f->name);
    while (len) {
        ssize_t n = pread(f->fd, p, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(e, "%s", f->name);
        if (n == 0)
            return error_set(e, STATUS_HOST, "%s: truncated", f->name);
        p += n;
        off += (u64)n;
        len -= (u64)n;
    }
    return STATUS_OK;
}
