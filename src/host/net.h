/* The host's end of a network. See net_user.c and net_tap.c. */
#ifndef HOST_NET_H
#define HOST_NET_H

#include "base/clock.h"
#include "base/error.h"
#include "dev/net.h"
#include "host/loop.h"

struct net_forward {
    bool udp;
    char host[16], guest[16]; /* dotted; empty: any, and the guest's first address */
    u16 host_port, guest_port;
};

struct net_config {
    const char *tap; /* null: user */
    const struct net_forward *forwards;
    unsigned forwards_n;
};

struct host_net;

struct host_net_ops {
    struct net_ops net;
    /* Loop thread, big lock: descriptors to wait for, at most MAX; how many. */
    unsigned (*prepare)(struct host_net *n, struct loop_fd *fds, unsigned max);
    void (*serve)(struct host_net *n, const struct loop_fd *fds, unsigned count);
    void (*close)(struct host_net *n);
};

struct host_net {
    struct net net;
    const struct host_net_ops *ops;
};

/* CLOCK fires the back end's timers, on the loop's thread. */
enum status net_open(struct host_net **n, const struct net_config *cfg, struct clock *clock, struct error *e);
enum status net_open_user(struct host_net **n, const struct net_config *cfg, struct clock *clock,
                          struct error *e);
enum status net_open_tap(struct host_net **n, const char *name, struct error *e);

#endif
