/* What qmp.c and qmp_server.c share. */
#ifndef MON_QMP_IMPL_H
#define MON_QMP_IMPL_H

#include "host/unix_listen.h"
#include "mon/qmp.h"

#define QMP_MESSAGE 65536u /* one of a client's, and what waits for it */

struct qmp_client {
    bool there;
    int fd; /* -1: a test's */
    bool negotiated;
    bool skipping; /* of garbage, up to the next line */
    size_t in_used, out_used;
    char in[QMP_MESSAGE], out[QMP_MESSAGE];
};

struct qmp {
    struct qmp_target target;
    struct unix_listener listener;
    struct qmp_client clients[QMP_CLIENTS];
};

void qmp_greet(struct qmp *q, struct qmp_client *c);
/* Carries out what stands complete in C's input, as far as there is room for the answers. */
void qmp_advance(struct qmp *q, struct qmp_client *c);
/* There is room for any answer. */
bool qmp_has_room(const struct qmp_client *c);

#endif
