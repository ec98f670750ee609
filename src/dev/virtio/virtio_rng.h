/* The entropy device. See virtio_rng.c. */
#ifndef DEV_VIRTIO_VIRTIO_RNG_H
#define DEV_VIRTIO_VIRTIO_RNG_H

#include "dev/virtio/virtio.h"

struct virtio_rng {
    struct virtio v;
    u64 (*random)(void *opaque);
    void *opaque;
};

void virtio_rng_init(struct virtio_rng *r, const struct virtio_wires *wires, u64 (*random)(void *opaque),
                     void *opaque);

#endif
