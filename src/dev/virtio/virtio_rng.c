/* Entropy device (virtio 1.2, 5.4): fills what the driver offers, up to FILL_MAX bytes of each request. */
#include "dev/virtio/virtio_rng.h"

#include <string.h>

#include "base/le.h"

enum { FILL_MAX = 1024, TURN_MAX = 16 };

static bool rng_serve(struct virtio *v, unsigned n)
{
    struct virtio_rng *r = (struct virtio_rng *)v;
    struct virtq_chain c;
    u8 buf[FILL_MAX];
    for (unsigned i = 0; i < TURN_MAX; i++) {
        if (!virtio_pop(v, n, &c)) {
            virtio_flush(v, n);
            return false;
        }
        u32 len = c.in_len < FILL_MAX ? (u32)c.in_len : FILL_MAX;
        for (u32 k = 0; k < len; k += 8)
            st64(buf + k, r->random(r->opaque));
        virtio_push(v, n, c.head, (u32)chain_write(&c, v->wires.mem, 0, buf, len));
    }
    virtio_flush(v, n);
    return true;
}

static const struct virtio_type rng_type = {
    .name = "virtio-rng", .id = VIRTIO_RNG, .pci_class = 0x00ff00, .queues = 1, .serve = rng_serve};

void virtio_rng_init(struct virtio_rng *r, const struct virtio_wires *wires, u64 (*random)(void *opaque),
                     void *opaque)
{
    *r = (struct virtio_rng){.random = random, .opaque = opaque};
    virtio_init(&r->v, &rng_type, wires);
}
