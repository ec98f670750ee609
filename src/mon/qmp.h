/* Control of a VM in the QEMU Machine Protocol, over what a machine offers it. See qmp.c. Everything here is called under the
 * machine's lock, on the loop's thread, but for qmp_event. */
#ifndef MON_QMP_H
#define MON_QMP_H

#include "base/error.h"
#include "host/loop.h"

#define QMP_CLIENTS 4
#define QMP_FDS     (1 + QMP_CLIENTS)
#define QMP_NAME    64   /* of a device */
#define QMP_PATH    1024 /* of a file */

/* What the commands do. Those that can fail say why in E. */
struct qmp_target {
    const char *(*status)(void *opaque); /* RunState: "running", "paused", ... */
    enum status (*stop)(void *opaque, struct error *e);
    enum status (*cont)(void *opaque, struct error *e);
    void (*power_button)(void *opaque);
    void (*reset)(void *opaque);
    void (*quit)(void *opaque);
    enum status (*screendump)(void *opaque, const char *path, struct error *e);
    enum status (*save)(void *opaque, const char *path, struct error *e);
    /* PATH null: nothing. FORCE: although the guest has locked the tray. */
    enum status (*change_medium)(void *opaque, const char *device, const char *path, bool force, struct error *e);
    /* The guest shall get along with BYTES; what it has now. They fail when there is no balloon. */
    enum status (*balloon)(void *opaque, u64 bytes, struct error *e);
    enum status (*query_balloon)(void *opaque, u64 *bytes, struct error *e);
    /* Seconds since 1970 and microseconds, for events. */
    u64 (*wall_us)(void *opaque);
    void *opaque;
};

struct qmp;

/* Listens at ADDRESS, unix:PATH; the socket's mode is 0600. Null: E says why. */
struct qmp *qmp_create(const char *address, const struct qmp_target *target, struct error *e);
/* Null is allowed. */
void qmp_destroy(struct qmp *q);

void qmp_prepare(struct qmp *q, struct loop_fd fds[QMP_FDS]);
void qmp_serve(struct qmp *q, const struct loop_fd fds[QMP_FDS]);
/* Tells every client that has negotiated: DATA is a JSON object, or null. */
void qmp_event(struct qmp *q, const char *name, const char *data);
/* Sends what waits, as far as the sockets take it at once. */
void qmp_flush(struct qmp *q);

/* For tests and fuzzers: without a socket, client 0 is there. Bytes from it go in; answers are read. */
struct qmp *qmp_create_detached(const struct qmp_target *target);
void qmp_input(struct qmp *q, const char *data, size_t n);
size_t qmp_output(struct qmp *q, char *buf, size_t n);

#endif
