/* RAM out of and into its memfd, without touching what the guest has not touched. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "snap/snap.h"

/* RAM, whoever sees it now: under the VGA window and behind the PAM registers too; and the flash. */
static bool is_kept(const struct mem *m, u64 at, u64 len)
{
    return range_ok(at, len, m->low_size) || mem_is_ram(m, at, len) ||
           (m->video_size && at >= m->video_base && range_ok(at - m->video_base, len, m->video_size));
}

/* The first byte at or behind AT that may hold data; m->span: none. */
static enum status next_data(const struct mem *m, u64 *at, struct error *e)
{
    off_t found = lseek(m->fd, (off_t)*at, SEEK_DATA);
    if (found < 0 && errno != ENXIO)
        return error_errno(e, "guest memory");
    *at = found < 0 || (u64)found >= m->span ? m->span : (u64)found;
    return STATUS_OK;
}

static enum status put_chunks(struct snap_writer *w, const struct mem *m, u8 *buf, struct error *e)
{
    for (u64 at = 0; at < m->span; at += SNAP_CHUNK) {
        if (next_data(m, &at, e) != STATUS_OK)
            return e->status;
        if (at == m->span)
            break;
        at &= ~(u64)(SNAP_CHUNK - 1);
        u64 len = m->span - at < SNAP_CHUNK ? m->span - at : SNAP_CHUNK;
        if (!is_kept(m, at, len))
            continue;
        if (pread(m->fd, buf, len, (off_t)at) != (ssize_t)len)
            return error_set(e, STATUS_HOST, "guest memory: cannot read it");
        if (!bytes_are_zero(buf, len) && snap_put(w, SNAP_RAM, at, buf, len, e) != STATUS_OK)
            return e->status;
    }
    return STATUS_OK;
}

enum status snap_put_ram(struct snap_writer *w, const struct mem *m, struct error *e)
{
    u8 *buf = malloc(SNAP_CHUNK);
    if (!buf)
        return error_set(e, STATUS_HOST, "guest memory: out of memory");
    enum status s = put_chunks(w, m, buf, e);
    free(buf);
    return s;
}

enum status snap_clear_ram(struct mem *m, struct error *e)
{
    if (fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)m->span) < 0)
        return error_errno(e, "guest memory");
    return STATUS_OK;
}

bool snap_take_ram(struct mem *m, const struct snap_record *rec)
{
    if (rec->at & (SNAP_CHUNK - 1) || rec->len > SNAP_CHUNK || rec->len & (PAGE_SIZE - 1) ||
        !is_kept(m, rec->at, rec->len))
        return false;
    for (u32 k = 0; k < rec->len; k += PAGE_SIZE)
        if (!bytes_are_zero(rec->data + k, PAGE_SIZE)) {
            memcpy(m->base + rec->at + k, rec->data + k, PAGE_SIZE);
            mem_written(m, rec->at + k, PAGE_SIZE);
        }
    return true;
}
