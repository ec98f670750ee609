/* Raw images by io_uring(7): one ring per disk, whose descriptor the loop polls. Everything here runs on the
 * thread that holds the big lock; the kernel does the rest. A filter of system calls does not see what a ring does: so the ring
 * itself is restricted to what a disk takes (io_uring_register(2), IORING_REGISTER_RESTRICTIONS). */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/block_image.h"

#define ENTRIES 64u

struct uring_queue {
    struct block_queue queue;
    struct io_uring ring;
    bool serving;
};

static void prepare(struct uring_queue *u, struct block_request *r, struct io_uring_sqe *sqe)
{
    int fd = u->queue.image->fd;
    u64 off = r->off + r->progress, len = r->len - r->progress;
    int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    switch (r->op) {
    case BLOCK_READ: io_uring_prep_read(sqe, fd, r->data + r->progress, (unsigned)len, off); break;
    case BLOCK_WRITE: io_uring_prep_write(sqe, fd, r->data + r->progress, (unsigned)len, off); break;
    case BLOCK_FLUSH: io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC); break;
    case BLOCK_DISCARD: io_uring_prep_fallocate(sqe, fd, hole, (off_t)off, (off_t)len); break;
    case BLOCK_ZERO: io_uring_prep_fallocate(sqe, fd, r->unmap ? hole : zero, (off_t)off, (off_t)len); break;
    }
    io_uring_sqe_set_data(sqe, r);
}

static void enter(struct uring_queue *u, struct block_request *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (!sqe) {
        io_uring_submit(&u->ring);
        sqe = io_uring_get_sqe(&u->ring);
    }
    if (!sqe) {
        block_request_done(r, EAGAIN);
        return;
    }
    prepare(u, r, sqe);
    io_uring_submit(&u->ring);
}

/* The kernel says RES of R: done, or the rest goes round again. */
static void complete(struct uring_queue *u, struct block_request *r, int res)
{
    struct image *i = u->queue.image;
    bool moves = r->op == BLOCK_READ || r->op == BLOCK_WRITE;
    if (res == -EINTR || res == -EAGAIN) {
        enter(u, r);
    } else if (res < 0 && !moves && r->op != BLOCK_FLUSH) {
        /* A file system without this kind of fallocate: the slow way, as rare as it is. */
        block_request_done(r, i->ops->run(i, r));
    } else if (res < 0) {
        block_request_done(r, -res);
    } else if (!moves) {
        block_request_done(r, 0);
    } else if (res == 0 && r->progress < r->len) {
        block_request_done(r, EIO); /* the file was cut short */
    } else if ((r->progress += (u64)res) < r->len) {
        enter(u, r);
    } else {
        block_request_done(r, 0);
    }
}

static void uring_serve(struct block_queue *q, bool wait)
{
    struct uring_queue *u = (struct uring_queue *)q;
    struct io_uring_cqe *cqe;
    if (wait && io_uring_wait_cqe(&u->ring, &cqe))
        return;
    u->serving = true;
    /* At most what the ring holds: requests that `done` submits may be done before we look again. */
    for (unsigned i = 0; i < 2 * ENTRIES && !io_uring_peek_cqe(&u->ring, &cqe); i++) {
        struct block_request *r = io_uring_cqe_get_data(cqe);
        int res = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        complete(u, r, res);
    }
    u->serving = false;
}

/* What the page cache has is done when it was submitted: then it needs no turn of the loop. */
static void uring_submit(struct block_queue *q, struct block_request *r)
{
    struct uring_queue *u = (struct uring_queue *)q;
    r->progress = 0;
    enter(u, r);
    if (!u->serving)
        uring_serve(q, false);
}

static void uring_close(struct block_queue *q)
{
    struct uring_queue *u = (struct uring_queue *)q;
    io_uring_queue_exit(&u->ring);
    free(u);
}

static const struct block_queue_ops uring_ops = {
    .name = "io_uring", .submit = uring_submit, .serve = uring_serve, .close = uring_close};

static bool restrict_ring(struct io_uring *ring)
{
    static const u8 allowed[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC, IORING_OP_FALLOCATE};
    struct io_uring_restriction r[ARRAY_LEN(allowed)] = {0};
    for (unsigned i = 0; i < ARRAY_LEN(allowed); i++) {
        r[i].opcode = IORING_RESTRICTION_SQE_OP;
        r[i].sqe_op = allowed[i];
    }
    /* liburing 2.3's own functions for these two are not in its shared library. */
    return syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, r, ARRAY_LEN(r)) == 0 &&
           syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) == 0;
}

struct block_queue *queue_open_uring(struct image *i)
{
    struct uring_queue *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    if (io_uring_queue_init(ENTRIES, &u->ring, IORING_SETUP_R_DISABLED) < 0) {
        free(u);
        return NULL;
    }
    if (!restrict_ring(&u->ring)) {
        uring_close(&u->queue);
        return NULL;
    }
    u->queue = (struct block_queue){.ops = &uring_ops, .image = i, .fd = u->ring.ring_fd};
    return &u->queue;
}
