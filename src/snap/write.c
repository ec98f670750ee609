/* Writing a snapshot file: under a temporary name, renamed when all of it is on the disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/le.h"
#include "snap/snap.h"

#define LEVEL 1 /* of compression: the guest waits */

struct snap_writer {
    const char *path;
    char *temporary;
    int fd;
    bool committed;
    u64 hash;
    ZSTD_CCtx *zstd;
    u8 *packed;
    size_t packed_cap;
};

static enum status put_bytes(struct snap_writer *w, const u8 *p, size_t n, struct error *e)
{
    w->hash = snap_hash(w->hash, p, n);
    while (n) {
        ssize_t done = write(w->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_errno(e, "%s", w->path);
        p += done;
        n -= (size_t)done;
    }
    return STATUS_OK;
}

static enum status put_head(struct snap_writer *w, enum snap_kind kind, size_t raw, size_t packed, u64 at,
                            struct error *e)
{
    u8 head[SNAP_RECORD] = {0};
    st32(head, kind);
    st32(head + 4, (u32)raw);
    st32(head + 8, (u32)packed);
    st64(head + 16, at);
    return put_bytes(w, head, sizeof head, e);
}

/* The file exists under its temporary name from here on, or E is set. */
static enum status writer_open(struct snap_writer *w, const char *path, struct error *e)
{
    static const char suffix[] = ".XXXXXX";
    size_t n = strlen(path);
    w->path = path;
    w->packed_cap = ZSTD_compressBound(SNAP_RAW_MAX);
    char *name = malloc(n + sizeof suffix);
    w->packed = malloc(w->packed_cap);
    w->zstd = ZSTD_createCCtx();
    if (!name || !w->packed || !w->zstd) {
        free(name);
        return error_set(e, STATUS_HOST, "%s: out of memory", path);
    }
    memcpy(name, path, n);
    memcpy(name + n, suffix, sizeof suffix);
    w->fd = mkostemp(name, O_CLOEXEC);
    if (w->fd < 0) {
        enum status s = error_errno(e, "%s", path);
        free(name);
        return s;
    }
    w->temporary = name;
    u8 head[SNAP_HEAD];
    memcpy(head, SNAP_MAGIC, 8);
    st32(head + 8, SNAP_VERSION);
    return put_bytes(w, head, sizeof head, e);
}

struct snap_writer *snap_create(const char *path, struct error *e)
{
    struct snap_writer *w = calloc(1, sizeof *w);
    if (!w) {
        error_set(e, STATUS_HOST, "%s: out of memory", path);
        return NULL;
    }
    w->fd = -1;
    w->hash = SNAP_HASH_SEED;
    if (writer_open(w, path, e) != STATUS_OK) {
        snap_close(w);
        return NULL;
    }
    return w;
}

enum status snap_put(struct snap_writer *w, enum snap_kind kind, u64 at, const void *data, size_t len,
                     struct error *e)
{
    if (len > SNAP_RAW_MAX)
        return error_set(e, STATUS_HOST, "%s: a record of %zu bytes is too large", w->path, len);
    size_t n = ZSTD_compressCCtx(w->zstd, w->packed, w->packed_cap, data, len, LEVEL);
    if (ZSTD_isError(n))
        return error_set(e, STATUS_HOST, "%s: %s", w->path, ZSTD_getErrorName(n));
    if (put_head(w, kind, len, n, at, e) != STATUS_OK)
        return e->status;
    return put_bytes(w, w->packed, n, e);
}

enum status snap_commit(struct snap_writer *w, struct error *e)
{
    u8 sum[8];
    if (put_head(w, SNAP_END, sizeof sum, sizeof sum, 0, e) != STATUS_OK)
        return e->status;
    st64(sum, w->hash);
    if (put_bytes(w, sum, sizeof sum, e) != STATUS_OK)
        return e->status;
    if (fsync(w->fd) < 0 || rename(w->temporary, w->path) < 0)
        return error_errno(e, "%s", w->path);
    w->committed = true;
    return STATUS_OK;
}

void snap_close(struct snap_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary && !w->committed)
        unlink(w->temporary);
    ZSTD_freeCCtx(w->zstd);
    free(w->temporary);
    free(w->packed);
    free(w);
}
