/* The host's end of a disk. See block.c. */
#ifndef HOST_BLOCK_H
#define HOST_BLOCK_H

#include "base/error.h"
#include "dev/block.h"

struct confine;

struct block_config {
    const char *path;   /* a file, a block device, or nbd://HOST[:PORT][/NAME], nbd+unix://... */
    const char *format; /* null: told by the contents; "raw", "qcow2", ... */
    bool readonly;
    bool snapshot;    /* writes are thrown away at the end */
    bool synchronous; /* virtual time: requests are done inside submit */
    bool no_io_uring; /* threads instead */
    const struct confine *confine; /* of its threads; null: none */
    bool late;                     /* the caller is confined already: it starts no server, and makes no ring */
};

struct host_block;

/* Opens, checks and locks what CFG names; starts a server where the format needs one. */
enum status block_open(struct host_block **b, const struct block_config *cfg, struct error *e);
/* Waits for what is in flight, flushes, closes. */
void block_close(struct host_block *b);
struct block *block_disk(struct host_block *b);
/* The loop's thread, big lock held. A descriptor that becomes readable when requests are done, or -1; then
 * block_serve calls their `done`. */
int block_fd(const struct host_block *b);
void block_serve(struct host_block *b);
/* No request is under way: nobody but the caller writes to guest memory for this disk. */
bool block_quiet(const struct host_block *b);
/* How requests reach the host: "io_uring", "threads", "direct". */
const char *block_way(const struct host_block *b);

#endif
