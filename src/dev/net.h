/* A network as an adapter sees it. The host's side implements `struct net` (host/net.h); all calls run under the
 * VM's big lock. A frame travels behind a header of NET_HEADER bytes, as virtio 1.2, 5.1.6 lays it out; without
 * offloads it is zero. */
#ifndef DEV_NET_H
#define DEV_NET_H

#include "base/types.h"

#define NET_HEADER    12u
#define NET_FRAME_MAX (65550u + NET_HEADER)

/* What a back end can take and give unfinished: checksums to be filled in, segments to be cut. */
enum {
    NET_CHECKSUM = 1 << 0, /* takes frames whose checksum is not filled in; gives such */
    NET_SEGMENT = 1 << 1,  /* takes TCP segments larger than the MTU, of IPv4 and IPv6; gives such */
    NET_TRUSTED = 1 << 2,  /* gives frames whose checksum nobody has to look at */
};

/* The adapter's side. */
struct net_port {
    /* Takes a frame behind its header; false: no room now, and the back end offers it again after `room`. */
    bool (*receive)(void *opaque, const u8 *frame, size_t len);
    void *opaque;
};

struct net;

struct net_ops {
    /* Never waits; what the host does not take is lost, as on a wire. */
    void (*send)(struct net *n, const u8 *frame, size_t len);
    /* The adapter may have room again. */
    void (*room)(struct net *n);
    /* What the driver agreed to get: of NET_CHECKSUM, NET_SEGMENT. May be null. */
    void (*accept)(struct net *n, u32 offloads);
};

struct net {
    const struct net_ops *ops;
    u32 offloads;
    struct net_port port;
};

#endif
