/* The broker: one thread, one poll loop, no trust. It copies what a member offers into a frame of its own and hashes and compares that copy; what a
 * member says about its pages decides nothing but what it is asked for. A member that says something wrong, or does not take its answers, is
 * left: it is not heard any more. Its holds go when its end of the socket does, and not before: until then it may show its guest the frames, which another
 * page's contents must not come to.
 *
 * Two pages are shared when two have asked for one hash: the first only leaves a hint (hash, and who asked), the second is asked for its
 * contents, and who comes later finds the frame. */
#include "share/broker.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/rss.h"
#include "share/group.h"
#include "share/hash.h"
#include "share/policy.h"
#include "share/pool.h"
#include "share/wire.h"

#define HINTS (1u << 18)

struct hint {
    u64 hash, who;
};

struct peer {
    int fd; /* -1: free */
    bool greeted, observer, left;
    u32 *held; /* by frame: how often this member holds it */
    u32 pid;
    u64 number;
    struct share_report report;
};

struct broker {
    int listener;
    const char *path;
    struct pool pool;
    struct hint *hints;
    struct peer peers[SHARE_MEMBERS];
    u64 numbers; /* given to peers */
    u64 limit;   /* bytes of host memory for the group; 0: none */
    bool had_member;
    _Alignas(8) u8 in[SHARE_BYTES + 1];
    _Alignas(8) u8 out[sizeof(struct share_head) + SHARE_LOOKUPS * sizeof(u64) + (SHARE_MEMBERS + 1) * sizeof(struct share_report)];
};

static void peer_leave(struct broker *b, struct peer *p)
{
    for (u32 f = 0; p->held && f < b->pool.used; f++)
        if (p->held[f])
            pool_release(&b->pool, f, p->held[f]);
    if (p->held)
        munmap(p->held, (u64)b->pool.frames * sizeof *p->held);
    close(p->fd);
    *p = (struct peer){.fd = -1};
}

/* It hears of it by the end of what it can read, and this side of its end by the end of what it says. */
static void peer_hang_up(struct broker *b, struct peer *p)
{
    if (!p->held || shutdown(p->fd, SHUT_WR) < 0)
        peer_leave(b, p);
    else
        p->left = true;
}

/* Who does not read its answers loses its place. */
static bool answer(struct broker *b, const struct peer *p, u32 type, u32 n, size_t element)
{
    const struct share_head h = {type, n};
    memcpy(b->out, &h, sizeof h);
    size_t len = sizeof h + n * element;
    return send(p->fd, b->out, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static void *payload(struct broker *b)
{
    return b->out + sizeof(struct share_head);
}

/* ERROR: 0: the versions differ. */
static void refuse(int fd, int error)
{
    const struct {
        struct share_head h;
        struct share_refusal r;
    } m = {{SHARE_REFUSED, 1}, {SHARE_VERSION, (u32)error}};
    (void)!send(fd, &m, sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool hold(struct broker *b, struct peer *p, u32 frame)
{
    if (p->held[frame] == SHARE_HOLDS_MAX)
        return false;
    p->held[frame]++;
    pool_hold(&b->pool, frame);
    return true;
}

/* --- one function per message; false: the member is left */

static bool welcome_send(struct broker *b, const struct peer *p, bool with_pool)
{
    struct {
        struct share_head h;
        struct share_welcome w;
    } m = {{SHARE_WELCOME, 1}, {SHARE_VERSION, b->pool.frames}};
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } c = {.h = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec v = {&m, sizeof m};
    struct msghdr msg = {.msg_iov = &v, .msg_iovlen = 1};
    if (with_pool) {
        memcpy(CMSG_DATA(&c.h), &b->pool.fd, sizeof(int));
        msg.msg_control = &c;
        msg.msg_controllen = sizeof c.room;
    }
    return sendmsg(p->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof m;
}

static bool take_hello(struct broker *b, struct peer *p, const u8 *data)
{
    struct share_hello h;
    memcpy(&h, data, sizeof h);
    if (p->greeted || h.magic != SHARE_MAGIC)
        return false;
    if (h.version != SHARE_VERSION) {
        refuse(p->fd, 0);
        return false;
    }
    p->greeted = true;
    p->observer = h.role != SHARE_MEMBER;
    if (p->observer)
        return welcome_send(b, p, false);
    b->had_member = true;
    if (b->pool.fd < 0)
        refuse(p->fd, b->pool.error);
    if (b->pool.fd < 0 || h.guest_bytes > SHARE_BYTES_MAX)
        return false;
    p->report = (struct share_report){.pid = p->pid, .guest_bytes = h.guest_bytes};
    if (h.group_limit)
        b->limit = h.group_limit; /* the last one who names a limit counts */
    void *held = mmap(NULL, (u64)b->pool.frames * sizeof *p->held, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (held == MAP_FAILED)
        return false;
    p->held = held;
    return welcome_send(b, p, true);
}

/* A frame that is found is held at once: it cannot become another before the member has mapped it. */
static u32 look_up(struct broker *b, struct peer *p, const struct share_query *q)
{
    u32 frame = pool_find(&b->pool, q->hash, NULL);
    if (frame != FRAME_UNKNOWN)
        return hold(b, p, frame) ? frame : FRAME_UNKNOWN;
    struct hint *h = &b->hints[(q->hash >> 20) & (HINTS - 1)];
    u64 who = p->number << 40 | (q->gfn & 0xffffffffff);
    if (h->hash == q->hash && h->who != who)
        return FRAME_WANTED;
    *h = (struct hint){q->hash, who};
    return FRAME_UNKNOWN;
}

static bool take_lookup(struct broker *b, struct peer *p, const u8 *data, u32 n)
{
    u32 *out = payload(b);
    for (u32 i = 0; i < n; i++) {
        struct share_query q;
        memcpy(&q, data + i * sizeof q, sizeof q);
        out[i] = look_up(b, p, &q);
    }
    return answer(b, p, SHARE_ANSWER, n, sizeof *out);
}

static bool take_offer(struct broker *b, struct peer *p, const u8 *data, u32 n)
{
    u32 *out = payload(b);
    for (u32 i = 0; i < n; i++) {
        const u8 *page = data + i * PAGE_SIZE;
        u64 hash = page_hash(page);
        u32 frame = pool_find(&b->pool, hash, page);
        if (frame != FRAME_UNKNOWN)
            frame = hold(b, p, frame) ? frame : FRAME_UNKNOWN;
        else if ((frame = pool_add(&b->pool, hash, page)) != FRAME_UNKNOWN)
            p->held[frame] = 1;
        out[i] = frame;
    }
    return answer(b, p, SHARE_ANSWER, n, sizeof *out);
}

static bool take_release(struct broker *b, struct peer *p, const u8 *data, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        u32 frame;
        memcpy(&frame, data + i * sizeof frame, sizeof frame);
        if (frame >= b->pool.used || !p->held[frame])
            return false;
        p->held[frame]--;
        pool_release(&b->pool, frame, 1);
    }
    return answer(b, p, SHARE_ANSWER, 0, 0);
}

static u32 members(const struct broker *b, struct share_report *out)
{
    u32 n = 0;
    for (u32 i = 0; i < SHARE_MEMBERS; i++)
        if (b->peers[i].fd >= 0 && b->peers[i].held && !b->peers[i].left)
            out[n++] = b->peers[i].report;
    return n;
}

static bool report_ok(const struct share_report *r)
{
    const u64 bytes[] = {r->guest_bytes,  r->resident_bytes, r->shared_bytes, r->ballooned_bytes,
                         r->paged_bytes, r->working_bytes,  r->target_bytes, r->free_bytes};
    for (unsigned i = 0; i < ARRAY_LEN(bytes); i++)
        if (bytes[i] > SHARE_BYTES_MAX)
            return false;
    return true;
}

static bool take_report(struct broker *b, struct peer *p, const u8 *data)
{
    struct share_report all[SHARE_MEMBERS], said;
    memcpy(&said, data, sizeof said);
    if (!report_ok(&said))
        return false;
    p->report = said;
    p->report.pid = p->pid;
    u32 n = members(b, all);
    u64 pool = (u64)b->pool.live << PAGE_SHIFT, target = policy_target(all, n, p->pid, pool, b->limit);
    p->report.target_bytes = target;
    *(struct share_advice *)payload(b) = (struct share_advice){.target_bytes = target,
                                                               .page_bytes = policy_page_out(all, n, p->pid, pool, b->limit),
                                                               .room_bytes = policy_room(all, n, p->pid, pool, b->limit),
                                                               .pool_bytes = pool,
                                                               .limit_bytes = b->limit,
                                                               .error = (u64)b->pool.error};
    return answer(b, p, SHARE_ANSWER, 1, sizeof(struct share_advice));
}

static bool take_list(struct broker *b, struct peer *p)
{
    struct share_report *all = payload(b);
    u32 n = members(b, all);
    all[n++] = (struct share_report){.resident_bytes = (u64)b->pool.used << PAGE_SHIFT, .shared_bytes = b->pool.holders << PAGE_SHIFT};
    return answer(b, p, SHARE_ANSWER, n, sizeof *all);
}

/* A member may say everything, an observer LIST alone; the length must be that of N elements. */
static bool dispatch(struct broker *b, struct peer *p, const struct share_head *h, const u8 *data, size_t len)
{
    static const struct {
        u32 most;
        size_t element;
    } kinds[] = {
        [SHARE_HELLO] = {1, sizeof(struct share_hello)},
        [SHARE_LOOKUP] = {SHARE_LOOKUPS, sizeof(struct share_query)},
        [SHARE_OFFER] = {SHARE_OFFERS, PAGE_SIZE},
        [SHARE_RELEASE] = {SHARE_LOOKUPS, sizeof(u32)},
        [SHARE_REPORT] = {1, sizeof(struct share_report)},
        [SHARE_LIST] = {0, 0},
    };
    if (h->type >= ARRAY_LEN(kinds) || h->n > kinds[h->type].most || (!h->n && kinds[h->type].most) || len != h->n * kinds[h->type].element)
        return false;
    if (h->type == SHARE_HELLO)
        return take_hello(b, p, data);
    if (h->type == SHARE_LIST)
        return p->greeted && take_list(b, p);
    if (!p->held)
        return false;
    switch (h->type) {
    case SHARE_LOOKUP: return take_lookup(b, p, data, h->n);
    case SHARE_OFFER: return take_offer(b, p, data, h->n);
    case SHARE_RELEASE: return take_release(b, p, data, h->n);
    case SHARE_REPORT: return take_report(b, p, data);
    default: return false;
    }
}

static void serve(struct broker *b, struct peer *p)
{
    struct share_head h;
    ssize_t got = recv(p->fd, b->in, sizeof b->in, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        peer_leave(b, p);
        return;
    }
    if (p->left)
        return;
    memset(&h, 0, sizeof h);
    memcpy(&h, b->in, (size_t)got < sizeof h ? (size_t)got : sizeof h);
    if (got < (ssize_t)sizeof h || !dispatch(b, p, &h, b->in + sizeof h, (size_t)got - sizeof h))
        peer_hang_up(b, p);
}

static void admit(struct broker *b)
{
    int fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC);
    u32 pid;
    if (fd < 0)
        return;
    for (u32 i = 0; i < SHARE_MEMBERS; i++)
        if (b->peers[i].fd < 0 && group_peer_ok(fd, &pid)) {
            b->peers[i] = (struct peer){.fd = fd, .pid = pid, .number = ++b->numbers};
            return;
        }
    /* What it says unheard would make its end forget what we say: it may not, and what it has said is read. */
    shutdown(fd, SHUT_RD);
    (void)!recv(fd, b->in, sizeof b->in, MSG_DONTWAIT);
    refuse(fd, EUSERS);
    close(fd);
}

/* True: there was a member, and there is nobody any more. */
static bool deserted(const struct broker *b)
{
    for (u32 i = 0; i < SHARE_MEMBERS; i++)
        if (b->peers[i].fd >= 0 && !b->peers[i].left)
            return false;
    return true;
}

#define LONELY_MS 10000 /* nobody came at all */

static void loop(struct broker *b)
{
    for (;;) {
        struct pollfd fds[SHARE_MEMBERS + 1];
        struct peer *of[SHARE_MEMBERS + 1];
        nfds_t n = 1;
        fds[0] = (struct pollfd){.fd = b->listener, .events = POLLIN};
        for (u32 i = 0; i < SHARE_MEMBERS; i++)
            if (b->peers[i].fd >= 0) {
                of[n] = &b->peers[i];
                fds[n++] = (struct pollfd){.fd = b->peers[i].fd, .events = POLLIN};
            }
        int ready = poll(fds, n, n == 1 ? LONELY_MS : -1);
        if (ready < 0 && errno != EINTR)
            return;
        for (nfds_t i = 1; ready > 0 && i < n; i++)
            if (fds[i].revents)
                serve(b, of[i]);
        if (ready > 0 && fds[0].revents)
            admit(b);
        if (deserted(b) && (b->had_member || !ready))
            return;
    }
}

static u32 room(void)
{
    u64 total, left;
    if (!host_memory(&total, &left))
        total = GIB(4);
    u64 frames = total / 2 >> PAGE_SHIFT;
    return frames < FRAMES_MAX ? (u32)frames : FRAMES_MAX;
}

int broker_run(int listener, const char *path, u32 frames)
{
    struct broker *b = calloc(1, sizeof *b);
    struct error e;
    int status = STATUS_HOST;
    if (!b)
        return status;
    b->listener = listener;
    b->path = path;
    for (u32 i = 0; i < SHARE_MEMBERS; i++)
        b->peers[i].fd = -1;
    void *hints = mmap(NULL, HINTS * sizeof *b->hints, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (hints != MAP_FAILED) {
        b->hints = hints;
        status = (int)pool_init(&b->pool, frames ? frames : room(), &e);
        loop(b); /* without a pool: whoever comes hears why */
        pool_destroy(&b->pool);
    }
    if (path)
        group_retire(path, listener);
    close(listener);
    if (hints != MAP_FAILED)
        munmap(hints, HINTS * sizeof *b->hints);
    free(b);
    return status;
}
