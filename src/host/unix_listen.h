/* A Unix socket that listens. See unix_listen.c. */
#ifndef HOST_UNIX_LISTEN_H
#define HOST_UNIX_LISTEN_H

#include <sys/stat.h>
#include <sys/un.h>

#include "base/error.h"

struct unix_listener {
    int fd;     /* does not block */
    char *path; /* its file, there since bind; null: none of ours */
};

/* MODE: the file's permissions, from its first moment; 0: as the umask has it. Errors are `WHOpath: why`.
 * Whatever was made before an error stays for unix_listener_close. */
enum status unix_listen(struct unix_listener *u, const struct sockaddr_un *a, mode_t mode, int backlog,
                        const char *who, struct error *e);
/* Takes the file away too. */
void unix_listener_close(struct unix_listener *u);

#endif
