/* A raw image: a file or block device, request by request (the threads' and virtual time's way to it). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/block_image.h"

/* All of [off, off + len), whatever the kernel does in one call. */
static int transfer(int fd, bool write, u8 *data, u64 off, u64 len)
{
    while (len) {
        ssize_t n = write ? pwrite(fd, data, len, (off_t)off) : pread(fd, data, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return EIO; /* the file was cut short */
        data += n;
        off += (u64)n;
        len -= (u64)n;
    }
    return 0;
}

static int write_zeroes(int fd, u64 off, u64 len)
{
    static u8 zeroes[65536];
    for (u64 n; len; off += n, len -= n) {
        n = len < sizeof zeroes ? len : sizeof zeroes;
        int error = transfer(fd, true, zeroes, off, n);
        if (error)
            return error;
    }
    return 0;
}

static bool unsupported(int error)
{
    return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENODEV;
}

static int make_zero(int fd, const struct block_request *r)
{
    if (!r->unmap && !fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)r->off, (off_t)r->len))
        return 0;
    if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r->off, (off_t)r->len))
        return 0;
    return unsupported(errno) ? write_zeroes(fd, r->off, r->len) : errno;
}

static int raw_run(struct image *i, const struct block_request *r)
{
    if (!r->len && r->op != BLOCK_FLUSH)
        return 0;
    switch (r->op) {
    case BLOCK_READ: return transfer(i->fd, false, r->data, r->off, r->len);
    case BLOCK_WRITE: return transfer(i->fd, true, r->data, r->off, r->len);
    case BLOCK_FLUSH: return fdatasync(i->fd) ? errno : 0;
    case BLOCK_ZERO: return make_zero(i->fd, r);
    case BLOCK_DISCARD: /* a hint: what cannot be given back is kept */
        if (!fallocate(i->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r->off, (off_t)r->len) ||
            unsupported(errno))
            return 0;
        return errno;
    }
    return EINVAL;
}

static void raw_close(struct image *i)
{
    close(i->fd);
    free(i);
}

static const struct image_ops raw_ops = {.run = raw_run, .close = raw_close, .parallel = true};

enum status image_open_raw(struct image **out, const char *path, int fd, u64 size, bool readonly,
                           struct error *e)
{
    struct image *i = calloc(1, sizeof *i);
    if (!i)
        return error_set(e, STATUS_HOST, "%s: out of memory", path);
    *i = (struct image){.ops = &raw_ops, .size = size, .readonly = readonly, .is_raw = true, .fd = fd};
    *out = i;
    return STATUS_OK;
}
