/* Inside the block back end: an image does one request and waits for it; a queue brings requests to an image,
 * or to the kernel, and back. */
#ifndef HOST_BLOCK_IMAGE_H
#define HOST_BLOCK_IMAGE_H

#include "host/block.h"

struct image;

struct image_ops {
    /* Does R and waits. 0 or an errno value. Any thread, but one at a time unless `parallel`. */
    int (*run)(struct image *i, const struct block_request *r);
    /* Any thread: makes a run that waits for somebody else return soon. May be null. */
    void (*abandon)(struct image *i);
    void (*close)(struct image *i);
    bool parallel;
};

struct image {
    const struct image_ops *ops;
    u64 size;
    bool readonly;
    bool is_raw;
    int fd;             /* of raw images; else -1 */
    struct image *base; /* of an overlay */
};

/* Formats, told by the first bytes of a file: null: raw. */
#define BLOCK_PROBE_LEN 512u
const char *block_probe(const u8 *head, size_t len);

enum status image_open_raw(struct image **i, const char *path, int fd, u64 size, bool readonly,
                           struct error *e);
/* Reads from BASE what was not written; takes BASE over. */
enum status image_open_overlay(struct image **i, struct image *base, struct error *e);
/* FORMAT null: PATH is an nbd:// address; else a file of that format, for which a server is started. */
enum status image_open_nbd(struct image **i, const char *path, const char *format, bool readonly,
                           struct error *e);
void image_close(struct image *i);

struct block_queue;

struct block_queue_ops {
    const char *name;
    void (*submit)(struct block_queue *q, struct block_request *r);
    /* Calls `done` of what is done. WAIT: for one at least. */
    void (*serve)(struct block_queue *q, bool wait);
    void (*close)(struct block_queue *q);
};

struct block_queue {
    const struct block_queue_ops *ops;
    struct image *image;
    int fd; /* readable: there is something to serve */
};

/* Queues end a request by this, on the loop's thread. */
void block_request_done(struct block_request *r, int error);
/* Null: refused by this kernel. */
struct block_queue *queue_open_uring(struct image *i);
struct block_queue *queue_open_threads(struct image *i, const struct confine *c, struct error *e);
/* Any image behind a queue: what block_open ends with, and tests begin with. Takes IMAGE over. Of HOW: `synchronous`, `no_io_uring`,
 * `confine`, `late`. */
enum status block_over(struct host_block **b, struct image *image, const struct block_config *how, struct error *e);

#endif
