/* Images behind an NBD server, by libnbd: nbd:// addresses, and every format that qemu-nbd knows, with a
 * server started for the file. One connection, one request at a time, on the queue's thread. When the server
 * has gone, every request ends in an I/O error. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "host/block_image.h"
#include "host/clock.h"
#include "host/nbd_library.h"
#include "host/nbd_server.h"

#define CONNECT_NS 10000000000u
#define PIECE      (32u << 20) /* of a discard or zeroing */

struct nbd_image {
    struct image image;
    struct nbd_library lib;
    struct nbd_handle *nbd;
    struct nbd_server server;
    int socket;
};

static int result(const struct nbd_image *n, int r)
{
    if (r != -1)
        return 0;
    int error = n->lib.get_errno();
    return error == ENOSPC || error == EPERM || error == EINVAL ? error : EIO;
}

static int ranges(struct nbd_image *n, const struct block_request *r)
{
    bool zero = r->op == BLOCK_ZERO;
    if (zero ? n->lib.can_zero(n->nbd) != 1 : n->lib.can_trim(n->nbd) != 1)
        return zero ? ENOTSUP : 0; /* a discard is a hint */
    for (u64 at = 0, len; at < r->len; at += len) {
        len = r->len - at < PIECE ? r->len - at : PIECE;
        int error =
            result(n, zero ? n->lib.zero(n->nbd, len, r->off + at, r->unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE)
                           : n->lib.trim(n->nbd, len, r->off + at, 0));
        if (error)
            return error;
    }
    return 0;
}

static int nbd_run(struct image *i, const struct block_request *r)
{
    struct nbd_image *n = (struct nbd_image *)i;
    if (!r->len && r->op != BLOCK_FLUSH)
        return 0;
    switch (r->op) {
    case BLOCK_READ: return result(n, n->lib.pread(n->nbd, r->data, r->len, r->off, 0));
    case BLOCK_WRITE: return result(n, n->lib.pwrite(n->nbd, r->data, r->len, r->off, 0));
    case BLOCK_FLUSH: /* a server that offers none keeps nothing back */
        return n->lib.can_flush(n->nbd) == 1 ? result(n, n->lib.flush(n->nbd, 0)) : 0;
    case BLOCK_DISCARD:
    case BLOCK_ZERO: return ranges(n, r);
    }
    return EINVAL;
}

/* A server that does not answer must not keep the end of the VM: what waits for it ends in an error. */
static void nbd_abandon(struct image *i)
{
    struct nbd_image *n = (struct nbd_image *)i;
    if (!n->server.pid)
        shutdown(n->socket, SHUT_RDWR);
}

static void nbd_image_close(struct image *i)
{
    struct nbd_image *n = (struct nbd_image *)i;
    if (n->lib.aio_is_ready(n->nbd) == 1)
        n->lib.shutdown(n->nbd, 0);
    n->lib.close(n->nbd);
    nbd_server_stop(&n->server);
    free(n);
}

static const struct image_ops nbd_ops = {.run = nbd_run, .abandon = nbd_abandon, .close = nbd_image_close};

static bool wait_connected(struct nbd_image *n)
{
    u64 end = host_ns() + CONNECT_NS;
    while (n->lib.aio_is_connecting(n->nbd) == 1) {
        if (host_ns() >= end) {
            errno = ETIMEDOUT;
            return false;
        }
        if (n->lib.poll(n->nbd, 200) == -1)
            return false;
    }
    return n->lib.aio_is_ready(n->nbd) == 1;
}

static enum status connect_server(struct nbd_image *n, const char *path, const char *format, bool readonly,
                                  struct error *e)
{
    char line[256] = "";
    if (format && nbd_server_start(&n->server, path, format, readonly, e) != STATUS_OK)
        return e->status;
    int r =
        format ? n->lib.aio_connect_socket(n->nbd, n->server.socket) : n->lib.aio_connect_uri(n->nbd, path);
    if (r != -1 && wait_connected(n))
        return STATUS_OK;
    const char *why = n->lib.get_error();
    if (format)
        nbd_server_complaint(&n->server, line, sizeof line);
    return error_set(e, STATUS_HOST, "%s: %s", path, *line ? line : why ? why : "the server does not answer");
}

static enum status describe(struct nbd_image *n, const char *path, bool readonly, struct error *e)
{
    int64_t size = n->lib.get_size(n->nbd);
    if (size < 0)
        return error_set(e, STATUS_HOST, "%s: %s", path, n->lib.get_error());
    if (!size)
        return error_set(e, STATUS_HOST, "%s: is empty", path);
    if (!readonly && n->lib.is_read_only(n->nbd) == 1)
        return error_set(e, STATUS_HOST, "%s: its server lets nobody write (say readonly, or snapshot)",
                         path);
    n->image.size = (u64)size;
    n->image.readonly = readonly;
    n->socket = n->lib.aio_get_fd(n->nbd);
    return STATUS_OK;
}

enum status image_open_nbd(struct image **out, const char *path, const char *format, bool readonly,
                           struct error *e)
{
    struct nbd_image *n = calloc(1, sizeof *n);
    if (!n)
        return error_set(e, STATUS_HOST, "%s: out of memory", path);
    struct error why;
    enum status s = nbd_library_load(&n->lib, &why);
    if (s == STATUS_OK && !(n->nbd = n->lib.create()))
        s = error_set(&why, STATUS_HOST, "out of memory");
    if (s != STATUS_OK) {
        free(n);
        return error_set(e, s, "%s: %s", path, why.text);
    }
    n->image = (struct image){.ops = &nbd_ops, .fd = -1};
    n->server = (struct nbd_server){.log = -1, .socket = -1};
    /* qemu-nbd 7.2 answers a read that fails inside a structured reply by hanging up; a simple reply tells it. */
    n->lib.set_request_structured_replies(n->nbd, false);
    s = connect_server(n, path, format, readonly, e);
    if (s == STATUS_OK)
        s = describe(n, path, readonly, e);
    if (s != STATUS_OK) {
        nbd_image_close(&n->image);
        return s;
    }
    *out = &n->image;
    return STATUS_OK;
}
