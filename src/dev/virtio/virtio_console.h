/* The console device, one port. See virtio_console.c. */
#ifndef DEV_VIRTIO_VIRTIO_CONSOLE_H
#define DEV_VIRTIO_VIRTIO_CONSOLE_H

#include "dev/virtio/virtio.h"

struct virtio_console {
    struct virtio v;
    struct virtio_type type;
    struct char_backend backend;
    bool sized;     /* the other end has a size, and the driver may ask for it */
    u16 cols, rows; /* characters */
    u32 sent;       /* bytes of the front request that the back end has taken already */
    bool open;      /* the line brings input */
    u64 open_ns;    /* when it will; TIME_NEVER: not by itself */
    struct timer opens;
};

extern const struct device_ops virtio_console_ops; /* beside virtio_ops and the queues' */

void virtio_console_init(struct virtio_console *c, const struct virtio_wires *wires, struct char_backend backend, bool sized);

/* How many bytes of input the driver has room for; at most 4096 at once. */
size_t virtio_console_room(struct virtio_console *c);
/* Gives it N bytes, not more than there is room for. */
void virtio_console_receive(struct virtio_console *c, const u8 *data, size_t n);
/* The back end takes output again. */
void virtio_console_writable(struct virtio_console *c);
/* The other end has this size now; only for one that is SIZED. */
void virtio_console_resize(struct virtio_console *c, u16 cols, u16 rows);

#endif
