/* A TAP interface that exists already and that this user may open (tun(4)): frames behind virtio's own header, so
 * the kernel takes unfinished checksums and large segments, and gives them when the driver agreed. Frames are read
 * only while the adapter has room for one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "host/net.h"

extern unsigned if_nametoindex(const char *name); /* <net/if.h> and <linux/if.h> exclude each other */

#define TURN_MAX 64

struct tap {
    struct host_net host;
    int fd;
    bool full; /* the adapter had no room: `frame` waits */
    size_t len;
    u8 frame[NET_FRAME_MAX];
};

static void tap_send(struct net *n, const u8 *frame, size_t len)
{
    struct tap *t = (struct tap *)n;
    while (write(t->fd, frame, len) < 0 && errno == EINTR)
        ;
}

static void tap_room(struct net *n)
{
    struct tap *t = (struct tap *)n;
    if (t->full && n->port.receive(n->port.opaque, t->frame, t->len))
        t->full = false;
}

static void tap_accept(struct net *n, u32 offloads)
{
    struct tap *t = (struct tap *)n;
    unsigned flags = 0;
    if (offloads & NET_CHECKSUM)
        flags |= TUN_F_CSUM | (offloads & NET_SEGMENT ? TUN_F_TSO4 | TUN_F_TSO6 : 0u);
    (void)ioctl(t->fd, TUNSETOFFLOAD, flags);
}

static unsigned tap_prepare(struct host_net *n, struct loop_fd *fds, unsigned max)
{
    const struct tap *t = (const struct tap *)n;
    if (!max)
        return 0;
    fds[0] = (struct loop_fd){.fd = t->fd, .in = !t->full};
    return 1;
}

static void tap_serve(struct host_net *n, const struct loop_fd *fds, unsigned count)
{
    struct tap *t = (struct tap *)n;
    for (unsigned i = 0; count && fds[0].ready && !t->full && i < TURN_MAX; i++) {
        ssize_t len = read(t->fd, t->frame, sizeof t->frame);
        if (len <= 0)
            return;
        t->len = (size_t)len;
        t->full = !n->net.port.receive(n->net.port.opaque, t->frame, t->len);
    }
}

static void tap_close(struct host_net *n)
{
    struct tap *t = (struct tap *)n;
    close(t->fd);
    free(t);
}

static const struct host_net_ops tap_ops = {.net = {.send = tap_send, .room = tap_room, .accept = tap_accept},
                                            .prepare = tap_prepare,
                                            .serve = tap_serve,
                                            .close = tap_close};

static enum status attach(int fd, const char *name, struct error *e)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int header = NET_HEADER;
    strncpy(r.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &r) < 0)
        return error_errno(e, "tap %s", name);
    if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 || ioctl(fd, TUNSETOFFLOAD, 0) < 0)
        return error_errno(e, "tap %s: headers", name);
    return STATUS_OK;
}

enum status net_open_tap(struct host_net **out, const char *name, struct error *e)
{
    /* To root, TUNSETIFF would make an interface of this name. */
    if (strlen(name) >= IFNAMSIZ || !if_nametoindex(name))
        return error_set(e, STATUS_HOST, "tap %s: no such interface", name);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_errno(e, "tap %s: /dev/net/tun", name);
    struct tap *t = calloc(1, sizeof *t);
    enum status s = t ? attach(fd, name, e) : error_set(e, STATUS_HOST, "tap %s: out of memory", name);
    if (s != STATUS_OK) {
        close(fd);
        free(t);
        return s;
    }
    *t = (struct tap){.host = {.net = {.ops = &tap_ops.net, .offloads = NET_CHECKSUM | NET_SEGMENT}, .ops = &tap_ops},
                      .fd = fd};
    *out = &t->host;
    return STATUS_OK;
}
