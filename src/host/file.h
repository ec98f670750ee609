/* A file that the user named, read by offset. What is no regular file (a pipe, /dev/stdin) is spooled into
 * memory first. */
#ifndef HOST_FILE_H
#define HOST_FILE_H

#include "base/error.h"
#include "base/types.h"

struct file {
    const char *name; /* as the user wrote it; borrowed */
    int fd;
    u64 size;
};

/* Opens NAME for reading. Refused: directories, empty files, and streams of more than LIMIT bytes. */
enum status file_open(struct file *f, const char *name, u64 limit, struct error *e);
void file_close(struct file *f);
/* Reads exactly LEN bytes at OFF; anything less is an error (`NAME: truncated`). */
enum status file_read(const struct file *f, u64 off, void *buf, u64 len, struct error *e);

#endif
