/* The network device. See virtio_net.c. */
#ifndef DEV_VIRTIO_VIRTIO_NET_H
#define DEV_VIRTIO_VIRTIO_NET_H

#include "dev/net.h"
#include "dev/virtio/virtio.h"

#define VIRTIO_NET_MERGE 64 /* buffers that one frame may fill */

struct virtio_net {
    struct virtio v;
    struct virtio_type type;
    struct net *net;
    u8 mac[6];
    u8 frame[NET_FRAME_MAX];
    struct virtq_chain in[VIRTIO_NET_MERGE];
};

void virtio_net_init(struct virtio_net *n, const struct virtio_wires *wires, struct net *net,
                     const u8 mac[6]);

#endif
