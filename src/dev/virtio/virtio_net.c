/* Network device (virtio 1.2, 5.1): one pair of queues, mergeable receive buffers, checksum and segmentation
 * offloads as far as the back end has them. The header is the back end's, so nothing here looks into frames.
 * A frame for which the driver has no buffers waits in the back end; one that fits into no buffer is dropped.
 * Not modelled: the control queue, several pairs, receive-side scaling, UDP fragmentation. */
#include "dev/virtio/virtio_net.h"

#include <string.h>

#include "base/le.h"

#define NET_F_CSUM       BIT(0)
#define NET_F_GUEST_CSUM BIT(1)
#define NET_F_MAC        BIT(5)
#define NET_F_GUEST_TSO4 BIT(7)
#define NET_F_GUEST_TSO6 BIT(8)
#define NET_F_HOST_TSO4  BIT(11)
#define NET_F_HOST_TSO6  BIT(12)
#define NET_F_MERGEABLE  BIT(15)
#define NET_F_STATUS     BIT(16)

enum { RX = 0, TX = 1 };
enum { NUM_BUFFERS = 10, LEGACY_HEADER = 10, LINK_UP = 1, TURN_MAX = 64, HDR_DATA_VALID = 2 };

/* A legacy driver without mergeable buffers knows a header without their number (5.1.6.1). */
static unsigned header_len(const struct virtio *v)
{
    return virtio_has(v, VIRTIO_F_VERSION_1) || virtio_has(v, NET_F_MERGEABLE) ? NET_HEADER : LEGACY_HEADER;
}

/* Takes buffers for LEN bytes from the receive queue; how many, or 0: not enough of them. */
static unsigned take_buffers(struct virtio_net *n, u64 len)
{
    unsigned most = virtio_has(&n->v, NET_F_MERGEABLE) ? VIRTIO_NET_MERGE : 1, taken = 0;
    u64 room = 0;
    while (taken < most && room < len && virtio_pop(&n->v, RX, &n->in[taken]))
        room += n->in[taken++].in_len;
    if (room >= len || (taken && taken == most))
        return taken;
    while (taken) {
        virtio_unpop(&n->v, RX);
        taken--;
    }
    return 0;
}

static bool net_receive(void *opaque, const u8 *frame, size_t len)
{
    struct virtio_net *n = opaque;
    struct virtio *v = &n->v;
    u8 header[NET_HEADER];
    unsigned head = header_len(v);
    if (!virtio_running(v, RX) || len < NET_HEADER || len > NET_FRAME_MAX)
        return true; /* nobody listens: the frame is lost */
    u64 body = len - NET_HEADER, total = head + body;
    unsigned buffers = take_buffers(n, total);
    if (!buffers)
        return !virtio_running(v, RX);
    memcpy(header, frame, NET_HEADER);
    st16(header + NUM_BUFFERS, (u16)buffers);
    if (n->net->offloads & NET_TRUSTED && virtio_has(v, NET_F_GUEST_CSUM))
        header[0] |= HDR_DATA_VALID;
    u64 done = 0; /* of header and body */
    for (unsigned i = 0; i < buffers; i++) {
        u64 at = 0;
        if (done < head) /* a buffer may be smaller than the header */
            at = chain_write(&n->in[i], v->wires.mem, 0, header + done, head - done);
        done += at;
        if (done >= head) {
            u64 more = chain_write(&n->in[i], v->wires.mem, at, frame + NET_HEADER + (done - head), total - done);
            done += more;
            at += more;
        }
        virtio_push(v, RX, n->in[i].head, (u32)at);
    }
    virtio_flush(v, RX);
    return true;
}

static void send_one(struct virtio_net *n, const struct virtq_chain *c)
{
    struct virtio *v = &n->v;
    unsigned head = header_len(v);
    if (c->out_len < head || c->out_len > NET_FRAME_MAX)
        return;
    memset(n->frame, 0, NET_HEADER);
    u64 body = c->out_len - head;
    if (chain_read(c, v->wires.mem, 0, n->frame, head) != head ||
        chain_read(c, v->wires.mem, head, n->frame + NET_HEADER, body) != body)
        return;
    memset(n->frame + NUM_BUFFERS, 0, 2);
    if (!virtio_has(v, NET_F_CSUM))
        memset(n->frame, 0, NET_HEADER);
    n->net->ops->send(n->net, n->frame, NET_HEADER + body);
}

static bool net_serve(struct virtio *v, unsigned q)
{
    struct virtio_net *n = (struct virtio_net *)v;
    struct virtq_chain c;
    if (q == RX) {
        n->net->ops->room(n->net);
        return false;
    }
    for (unsigned i = 0; i < TURN_MAX; i++) {
        if (!virtio_pop(v, TX, &c)) {
            virtio_flush(v, TX);
            return false;
        }
        send_one(n, &c);
        virtio_push(v, TX, c.head, 0);
    }
    virtio_flush(v, TX);
    return true;
}

static void net_start(struct virtio *v)
{
    struct virtio_net *n = (struct virtio_net *)v;
    u32 accepted = (virtio_has(v, NET_F_GUEST_CSUM) ? NET_CHECKSUM : 0) |
                   (virtio_has(v, NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6) ? NET_SEGMENT : 0);
    if (n->net->ops->accept)
        n->net->ops->accept(n->net, accepted & n->net->offloads);
}

static unsigned net_config(const struct virtio *v, u8 config[VIRTIO_CONFIG_MAX])
{
    const struct virtio_net *n = (const struct virtio_net *)v;
    memcpy(config, n->mac, sizeof n->mac);
    st16(config + 6, LINK_UP);
    st16(config + 8, 1); /* pairs of queues */
    return 10;
}

static u64 net_features(u32 offloads)
{
    return NET_F_MAC | NET_F_MERGEABLE | NET_F_STATUS | (offloads & NET_CHECKSUM ? NET_F_CSUM : 0) |
           (offloads & (NET_CHECKSUM | NET_TRUSTED) ? NET_F_GUEST_CSUM : 0) |
           (offloads & NET_SEGMENT ? NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 : 0);
}

void virtio_net_init(struct virtio_net *n, const struct virtio_wires *wires, struct net *net, const u8 mac[6])
{
    n->type = (struct virtio_type){.name = "virtio-net",
                                   .id = VIRTIO_NET,
                                   .pci_class = 0x020000,
                                   .queues = 2,
                                   .features = net_features(net->offloads),
                                   .serve = net_serve,
                                   .config = net_config,
                                   .start = net_start};
    n->net = net;
    memcpy(n->mac, mac, sizeof n->mac);
    net->port = (struct net_port){net_receive, n};
    virtio_init(&n->v, &n->type, wires);
}
