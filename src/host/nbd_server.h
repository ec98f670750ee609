/* Starting an NBD server for one image file. See nbd_server.c. */
#ifndef HOST_NBD_SERVER_H
#define HOST_NBD_SERVER_H

#include <sys/types.h>

#include "base/error.h"

struct nbd_server {
    pid_t pid;  /* 0: none */
    int log;    /* what it says */
    int socket; /* connected to it */
};

/* qemu-nbd over PATH. It ends when the connection does. */
enum status nbd_server_start(struct nbd_server *s, const char *path, const char *format, bool readonly,
                             struct error *e);
/* The last line that it said, without its name; empty when there is none. */
void nbd_server_complaint(const struct nbd_server *s, char *line, size_t size);
/* Waits for its end; it is told to hurry. */
void nbd_server_stop(struct nbd_server *s);

#endif
