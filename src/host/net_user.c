/* User-mode network by libslirp: the guest is 10.0.2.15 behind NAT, with DHCP, DNS at 10.0.2.3 and the host at
 * 10.0.2.2; connections to the host's ports can be forwarded to it. Its sockets are polled by the VM's loop, its
 * timers are the VM's clock's. Frames for which the adapter has no room wait in a queue of bounded length, as do those that
 * the guest sends: libslirp works on the loop's thread alone, as only that may make sockets (host/confine.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>

#include "host/net.h"

#define WAITING_MAX 512u /* frames, each way */
#define NS_PER_MS   1000000u

struct waiting {
    struct waiting *next;
    size_t len;
    u8 frame[];
};

struct frames {
    struct waiting *head, **tail;
    unsigned n;
};

struct user_timer {
    struct timer timer;
    struct user *user;
    SlirpTimerCb fire;
    void *opaque;
};

struct user {
    struct host_net host;
    Slirp *slirp;
    struct clock *clock;
    struct timer poll; /* when libslirp wants to be polled at the latest, or gets frames */
    struct frames in, out; /* for the guest, from it */
    struct loop_fd *fds; /* while it is asked, or told, about descriptors */
    const struct loop_fd *ready;
    unsigned fds_n, fds_max;
};

/* --- frames */

/* Lost when there is no room, as on a wire. */
static void frames_add(struct frames *f, const void *data, size_t len)
{
    struct waiting *w = len <= NET_FRAME_MAX - NET_HEADER && f->n < WAITING_MAX ? malloc(sizeof *w + NET_HEADER + len) : NULL;
    if (!w)
        return;
    w->next = NULL;
    w->len = NET_HEADER + len;
    memset(w->frame, 0, NET_HEADER);
    memcpy(w->frame + NET_HEADER, data, len);
    *f->tail = w;
    f->tail = &w->next;
    f->n++;
}

static void frames_drop_first(struct frames *f)
{
    struct waiting *w = f->head;
    f->head = w->next;
    if (!f->head)
        f->tail = &f->head;
    f->n--;
    free(w);
}

/* A vCPU's thread: the loop wakes by the timer, if it does not already. */
static void user_send(struct net *n, const u8 *frame, size_t len)
{
    struct user *u = (struct user *)n;
    frames_add(&u->out, frame + NET_HEADER, len - NET_HEADER);
    if (u->out.n == 1)
        timer_arm(u->clock, &u->poll, clock_now(u->clock));
}

static void user_room(struct net *n)
{
    struct user *u = (struct user *)n;
    while (u->in.head && n->port.receive(n->port.opaque, u->in.head->frame, u->in.head->len))
        frames_drop_first(&u->in);
}

static ssize_t on_packet(const void *data, size_t len, void *opaque)
{
    struct user *u = opaque;
    frames_add(&u->in, data, len);
    user_room(&u->host.net);
    return (ssize_t)len;
}

/* --- time */

static int64_t on_clock(void *opaque)
{
    const struct user *u = opaque;
    return (int64_t)clock_now(u->clock);
}

static void timer_due(void *opaque)
{
    struct user_timer *t = opaque;
    t->fire(t->opaque);
}

static void *on_timer_new(SlirpTimerCb fire, void *cb_opaque, void *opaque)
{
    struct user_timer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    *t = (struct user_timer){.user = opaque, .fire = fire, .opaque = cb_opaque};
    timer_init(&t->timer, timer_due, t);
    return t;
}

static void on_timer_free(void *timer, void *opaque)
{
    struct user_timer *t = timer;
    const struct user *u = opaque;
    if (t)
        timer_disarm(u->clock, &t->timer);
    free(t);
}

static void on_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    struct user_timer *t = timer;
    const struct user *u = opaque;
    if (t)
        timer_arm(u->clock, &t->timer, expire_ms < 0 ? 0 : (u64)expire_ms * NS_PER_MS);
}

/* The loop's thread. Its turn polls libslirp in any case. */
static void poll_due(void *opaque)
{
    struct user *u = opaque;
    for (unsigned i = u->out.n; i; i--) {
        slirp_input(u->slirp, u->out.head->frame + NET_HEADER, (int)(u->out.head->len - NET_HEADER));
        frames_drop_first(&u->out);
    }
}

/* --- descriptors */

static void on_guest_error(const char *text, void *opaque)
{
    (void)text, (void)opaque;
}

static void on_fd(int fd, void *opaque)
{
    (void)fd, (void)opaque;
}

static void on_notify(void *opaque)
{
    (void)opaque; /* its sockets change on the loop's thread alone, which then asks again */
}

static int add_fd(int fd, int events, void *opaque)
{
    struct user *u = opaque;
    if (u->fds_n == u->fds_max)
        return -1;
    u->fds[u->fds_n] = (struct loop_fd){
        .fd = fd, .in = events & (SLIRP_POLL_IN | SLIRP_POLL_PRI), .out = events & SLIRP_POLL_OUT};
    return (int)u->fds_n++;
}

static int get_events(int index, void *opaque)
{
    const struct user *u = opaque;
    if (index < 0 || (unsigned)index >= u->fds_n)
        return 0;
    const struct loop_fd *f = &u->ready[index];
    return (f->readable ? SLIRP_POLL_IN : 0) | (f->writable ? SLIRP_POLL_OUT : 0) |
           (f->broken ? SLIRP_POLL_HUP | SLIRP_POLL_ERR : 0);
}

static unsigned user_prepare(struct host_net *n, struct loop_fd *fds, unsigned max)
{
    struct user *u = (struct user *)n;
    uint32_t timeout_ms = UINT32_MAX;
    u->fds = fds;
    u->fds_n = 0;
    u->fds_max = max;
    slirp_pollfds_fill(u->slirp, &timeout_ms, add_fd, u);
    if (!u->out.n)
        timer_arm(u->clock, &u->poll,
                  timeout_ms == UINT32_MAX ? TIME_NEVER : clock_now(u->clock) + (u64)timeout_ms * NS_PER_MS);
    return u->fds_n;
}

static void user_serve(struct host_net *n, const struct loop_fd *fds, unsigned count)
{
    struct user *u = (struct user *)n;
    u->ready = fds;
    u->fds_n = count;
    slirp_pollfds_poll(u->slirp, 0, get_events, u);
}

static void user_close(struct host_net *n)
{
    struct user *u = (struct user *)n;
    if (u->slirp)
        slirp_cleanup(u->slirp);
    timer_disarm(u->clock, &u->poll);
    while (u->in.n)
        frames_drop_first(&u->in);
    while (u->out.n)
        frames_drop_first(&u->out);
    free(u);
}

static const struct host_net_ops user_ops = {.net = {.send = user_send, .room = user_room},
                                             .prepare = user_prepare,
                                             .serve = user_serve,
                                             .close = user_close};

/* --- opening */

static const SlirpCb callbacks = {.send_packet = on_packet,
                                  .guest_error = on_guest_error,
                                  .clock_get_ns = on_clock,
                                  .timer_new = on_timer_new,
                                  .timer_free = on_timer_free,
                                  .timer_mod = on_timer_mod,
                                  .register_poll_fd = on_fd,
                                  .unregister_poll_fd = on_fd,
                                  .notify = on_notify};

static enum status forward(struct user *u, const struct net_forward *f, struct error *e)
{
    struct in_addr host = {INADDR_ANY}, guest;
    const char *kind = f->udp ? "udp" : "tcp";
    if ((*f->host && !inet_aton(f->host, &host)) || !inet_aton(*f->guest ? f->guest : "10.0.2.15", &guest))
        return error_set(e, STATUS_USAGE, "hostfwd %s:%s:%u: not an IPv4 address", kind, f->host, f->host_port);
    if (slirp_add_hostfwd(u->slirp, f->udp, host, f->host_port, guest, f->guest_port) < 0)
        return error_errno(e, "hostfwd %s:%s:%u", kind, f->host, f->host_port);
    return STATUS_OK;
}

enum status net_open_user(struct host_net **out, const struct net_config *cfg, struct clock *clock,
                          struct error *e)
{
    struct user *u = calloc(1, sizeof *u);
    SlirpConfig c = {.version = 1, .in_enabled = true, .in6_enabled = true};
    if (!u)
        return error_set(e, STATUS_HOST, "net user: out of memory");
    *u = (struct user){.host = {.net = {.ops = &user_ops.net, .offloads = NET_TRUSTED}, .ops = &user_ops},
                       .clock = clock,
                       .in.tail = &u->in.head,
                       .out.tail = &u->out.head};
    timer_init(&u->poll, poll_due, u);
    inet_aton("10.0.2.0", &c.vnetwork);
    inet_aton("255.255.255.0", &c.vnetmask);
    inet_aton("10.0.2.2", &c.vhost);
    inet_aton("10.0.2.15", &c.vdhcp_start);
    inet_aton("10.0.2.3", &c.vnameserver);
    inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
    c.vprefix_len = 64;
    inet_pton(AF_INET6, "fec0::2", &c.vhost6);
    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
    u->slirp = slirp_new(&c, &callbacks, u);
    enum status s = u->slirp ? STATUS_OK : error_set(e, STATUS_HOST, "net user: libslirp does not start");
    for (unsigned i = 0; i < cfg->forwards_n && s == STATUS_OK; i++)
        s = forward(u, &cfg->forwards[i], e);
    if (s != STATUS_OK) {
        user_close(&u->host);
        return s;
    }
    *out = &u->host;
    return STATUS_OK;
}

enum status net_open(struct host_net **n, const struct net_config *cfg, struct clock *clock, struct error *e)
{
    return cfg->tap ? net_open_tap(n, cfg->tap, e) : net_open_user(n, cfg, clock, e);
}
