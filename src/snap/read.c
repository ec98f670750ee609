/* Reading a snapshot file, which anybody may have written: every length is checked before it is used. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/bits.h"
#include "base/le.h"
#include "snap/snap.h"

static enum status get_bytes(struct snap_reader *r, u64 off, void *buf, size_t len, struct error *e)
{
    u8 *p = buf;
    while (len) {
        ssize_t n = pread(r->fd, p, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(e, "%s", r->name);
        if (n == 0)
            return error_set(e, STATUS_HOST, "%s: truncated", r->name);
        p += n;
        off += (u64)n;
        len -= (size_t)n;
    }
    return STATUS_OK;
}

static enum status reserve(struct snap_reader *r, u8 **buf, size_t *cap, size_t len, struct error *e)
{
    if (len <= *cap)
        return STATUS_OK;
    u8 *p = realloc(*buf, len);
    if (!p)
        return error_set(e, STATUS_HOST, "%s: out of memory", r->name);
    *buf = p;
    *cap = len;
    return STATUS_OK;
}

static enum status check_sum(struct snap_reader *r, struct error *e)
{
    u64 hash = SNAP_HASH_SEED, end = r->size - 8;
    u8 sum[8];
    if (reserve(r, &r->packed, &r->packed_cap, SNAP_CHUNK, e) != STATUS_OK)
        return e->status;
    for (u64 at = 0; at < end;) {
        size_t n = end - at < SNAP_CHUNK ? (size_t)(end - at) : SNAP_CHUNK;
        if (get_bytes(r, at, r->packed, n, e) != STATUS_OK)
            return e->status;
        hash = snap_hash(hash, r->packed, n);
        at += n;
    }
    if (get_bytes(r, end, sum, sizeof sum, e) != STATUS_OK)
        return e->status;
    return ld64(sum) == hash
               ? STATUS_OK
               : error_set(e, STATUS_HOST, "%s: corrupt or truncated: its checksum differs", r->name);
}

enum status snap_open(struct snap_reader *r, const char *name, int fd, u64 size, struct error *e)
{
    u8 head[SNAP_HEAD];
    *r = (struct snap_reader){.name = name, .fd = fd, .size = size, .pos = SNAP_HEAD};
    size_t have = size < sizeof head ? (size_t)size : sizeof head;
    if (get_bytes(r, 0, head, have, e) != STATUS_OK)
        return e->status;
    if (memcmp(head, SNAP_MAGIC, have < 8 ? have : 8))
        return error_set(e, STATUS_HOST, "%s: no snapshot", name);
    if (size < SNAP_HEAD + SNAP_TAIL)
        return error_set(e, STATUS_HOST, "%s: truncated", name);
    if (ld32(head + 8) != SNAP_VERSION)
        return error_set(e, STATUS_HOST, "%s: snapshot version %u is not known", name, ld32(head + 8));
    return check_sum(r, e);
}

enum status snap_next(struct snap_reader *r, struct snap_record *rec, struct error *e)
{
    u8 head[SNAP_RECORD];
    u64 end = r->size - SNAP_TAIL;
    if (r->pos > end || get_bytes(r, r->pos, head, sizeof head, e) != STATUS_OK)
        return error_set(e, STATUS_HOST, "%s: corrupt: a record crosses the end", r->name);
    u32 raw = ld32(head + 4), packed = ld32(head + 8);
    *rec = (struct snap_record){.kind = ld32(head), .at = ld64(head + 16), .len = raw};
    if (rec->kind == SNAP_END)
        return r->pos == end ? STATUS_OK
                             : error_set(e, STATUS_HOST, "%s: corrupt: it goes on behind its end", r->name);
    if (raw > SNAP_RAW_MAX || packed > ZSTD_compressBound(raw) ||
        !range_ok(r->pos + SNAP_RECORD, packed, end))
        return error_set(e, STATUS_HOST, "%s: corrupt: a record's length is out of bounds", r->name);
    if (reserve(r, &r->raw, &r->raw_cap, raw, e) != STATUS_OK ||
        reserve(r, &r->packed, &r->packed_cap, packed, e) != STATUS_OK ||
        get_bytes(r, r->pos + SNAP_RECORD, r->packed, packed, e) != STATUS_OK)
        return e->status;
    if (ZSTD_decompress(r->raw, raw, r->packed, packed) != raw)
        return error_set(e, STATUS_HOST, "%s: corrupt: a record does not unpack", r->name);
    r->pos += SNAP_RECORD + packed;
    rec->data = r->raw;
    return STATUS_OK;
}

void snap_reader_free(struct snap_reader *r)
{
    free(r->raw);
    free(r->packed);
    r->raw = r->packed = NULL;
}
