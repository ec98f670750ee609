/* `snapshot`: what is written goes to a file without a name, sector by sector, and is gone at the end; what
 * was not written is read from the image below. A flush has nothing to keep. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/block_image.h"

#define SECTOR 512u

struct overlay {
    struct image image; /* fd: the file */
    u8 *written;        /* one bit per sector */
};

static bool is_written(const struct overlay *o, u64 sector)
{
    return o->written[sector / 8] >> (sector % 8) & 1;
}

static int move(const struct overlay *o, bool write, u8 *data, u64 off, u64 len)
{
    while (len) {
        ssize_t n =
            write ? pwrite(o->image.fd, data, len, (off_t)off) : pread(o->image.fd, data, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? errno : EIO;
        data += n;
        off += (u64)n;
        len -= (u64)n;
    }
    return 0;
}

/* Runs of sectors that come from the same place. */
static int overlay_read(struct overlay *o, const struct block_request *r)
{
    struct image *base = o->image.base;
    for (u64 at = 0, n; at < r->len; at += n) {
        u64 first = (r->off + at) / SECTOR;
        bool own = is_written(o, first);
        for (n = SECTOR; at + n < r->len && is_written(o, first + n / SECTOR) == own; n += SECTOR)
            ;
        struct block_request below = {.op = BLOCK_READ, .off = r->off + at, .len = n, .data = r->data + at};
        int error = own ? move(o, false, below.data, below.off, n) : base->ops->run(base, &below);
        if (error)
            return error;
    }
    return 0;
}

static int overlay_write(struct overlay *o, const struct block_request *r)
{
    int error = move(o, true, r->data, r->off, r->len);
    for (u64 s = r->off / SECTOR; !error && s < (r->off + r->len) / SECTOR; s++)
        o->written[s / 8] |= (u8)(1u << (s % 8));
    return error;
}

static int overlay_zero(struct overlay *o, const struct block_request *r)
{
    static u8 zeroes[65536];
    for (u64 at = 0, n; at < r->len; at += n) {
        n = r->len - at < sizeof zeroes ? r->len - at : sizeof zeroes;
        struct block_request part = {.op = BLOCK_WRITE, .off = r->off + at, .len = n, .data = zeroes};
        int error = overlay_write(o, &part);
        if (error)
            return error;
    }
    return 0;
}

static int overlay_run(struct image *i, const struct block_request *r)
{
    struct overlay *o = (struct overlay *)i;
    switch (r->op) {
    case BLOCK_READ: return overlay_read(o, r);
    case BLOCK_WRITE: return overlay_write(o, r);
    case BLOCK_ZERO: return overlay_zero(o, r);
    case BLOCK_DISCARD:
    case BLOCK_FLUSH: return 0;
    }
    return EINVAL;
}

static void overlay_abandon(struct image *i)
{
    if (i->base->ops->abandon)
        i->base->ops->abandon(i->base);
}

static void overlay_close(struct image *i)
{
    struct overlay *o = (struct overlay *)i;
    close(o->image.fd);
    image_close(o->image.base);
    free(o->written);
    free(o);
}

static const struct image_ops overlay_ops = {
    .run = overlay_run, .abandon = overlay_abandon, .close = overlay_close};

enum status image_open_overlay(struct image **out, struct image *base, struct error *e)
{
    const char *dir = getenv("TMPDIR");
    struct overlay *o = calloc(1, sizeof *o);
    u8 *written = calloc(1, (size_t)(base->size / SECTOR / 8 + 1));
    int fd = open(dir && *dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (!o || !written || fd < 0) {
        enum status s = error_errno(e, "%s: a file for what is written", dir && *dir ? dir : "/var/tmp");
        free(o);
        free(written);
        if (fd >= 0)
            close(fd);
        return s;
    }
    *o = (struct overlay){.image = {.ops = &overlay_ops, .size = base->size, .fd = fd, .base = base},
                          .written = written};
    *out = &o->image;
    return STATUS_OK;
}
