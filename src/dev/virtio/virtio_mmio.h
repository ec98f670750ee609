/* virtio in memory. See virtio_mmio.c. */
#ifndef DEV_VIRTIO_VIRTIO_MMIO_H
#define DEV_VIRTIO_VIRTIO_MMIO_H

#include "dev/virtio/virtio.h"

#define VIRTIO_MMIO_LEN    0x200
#define VIRTIO_MMIO_NOTIFY 0x50 /* a write of 4 bytes: the number of a queue */

struct virtio_mmio {
    struct virtio *v; /* null: no device in this slot */
    struct irq_line irq;
    u8 isr;
};

extern const struct device_ops virtio_mmio_ops;
extern const struct bus_ops virtio_mmio_bus; /* VIRTIO_MMIO_LEN bytes */

/* V may be null. */
void virtio_mmio_init(struct virtio_mmio *t, struct virtio *v, struct irq_line irq);

#endif
