#include "share/member.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "share/group.h"

#define PATIENCE_S 60 /* a broker that does not answer for so long, on a busy host too, is none */
#define COME_AGAIN 8  /* brokers that end just when we come */

/* Sends a message whose payload stands in PARTS. */
static bool say(int fd, u32 type, u32 n, struct iovec *parts, u32 parts_n)
{
    struct share_head h = {type, n};
    struct iovec v[SHARE_OFFERS + 1] = {{&h, sizeof h}};
    size_t len = sizeof h;
    for (u32 i = 0; i < parts_n; i++) {
        v[i + 1] = parts[i];
        len += parts[i].iov_len;
    }
    struct msghdr m = {.msg_iov = v, .msg_iovlen = parts_n + 1};
    return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Hears an answer of at most ROOM bytes behind its head; *n: its elements, of SIZE bytes each. */
static bool hear(int fd, u32 *n, void *out, size_t size, size_t room)
{
    struct share_head h;
    struct iovec v[2] = {{&h, sizeof h}, {out, room}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    if (got < (ssize_t)sizeof h || m.msg_flags & MSG_TRUNC || h.type != SHARE_ANSWER || (size_t)got - sizeof h != h.n * size)
        return false;
    *n = h.n;
    return true;
}

/* There is something to hear, in time and before the end. */
static bool answered(const struct share_member *m)
{
    struct pollfd fds[] = {{.fd = m->fd, .events = POLLIN}, {.fd = m->end_fd, .events = POLLIN}};
    int n;
    while ((n = poll(fds, ARRAY_LEN(fds), PATIENCE_S * 1000)) < 0 && errno == EINTR)
        ;
    return n > 0 && fds[0].revents;
}

/* One question with N elements and its answer of exactly N_OUT. */
static bool ask(struct share_member *m, u32 type, u32 n, struct iovec *parts, u32 parts_n, void *out, u32 n_out, size_t size)
{
    u32 got;
    if (m->gone)
        return false;
    m->gone = !say(m->fd, type, n, parts, parts_n) || !answered(m) || !hear(m->fd, &got, out, size, n_out * size) || got != n_out;
    return !m->gone;
}

static enum status hear_welcome(struct share_member *m, u32 version, struct error *e)
{
    struct {
        struct share_head h;
        union {
            struct share_welcome w;
            struct share_refusal r;
        };
    } w;
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } c;
    struct iovec v = {&w, sizeof w};
    struct msghdr msg = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t got = recvmsg(m->fd, &msg, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *h = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&m->pool_fd, CMSG_DATA(h), sizeof(int));
    if (got != (ssize_t)sizeof w)
        return error_set(e, STATUS_HOST, "share: the broker has gone");
    m->refused = w.h.type != SHARE_WELCOME;
    if (w.h.type == SHARE_REFUSED && w.r.error)
        return error_set(e, STATUS_HOST, "share: the group's broker: %s", strerror((int)(w.r.error & INT32_MAX)));
    if (w.h.type == SHARE_REFUSED)
        return error_set(e, STATUS_HOST, "share: the group's broker speaks version %u, this program %u: another version of trine started it", w.r.version,
                         version);
    m->frames = w.w.frames;
    return w.h.type == SHARE_WELCOME ? STATUS_OK : error_set(e, STATUS_HOST, "share: the broker does not speak our language");
}

/* What is not sealed could be taken away under our eyes. */
static enum status take_pool(struct share_member *m, struct error *e)
{
    const int need = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK;
    struct stat st;
    int seals = m->pool_fd >= 0 ? fcntl(m->pool_fd, F_GET_SEALS) : -1;
    if (seals < 0 || (seals & need) != need || fstat(m->pool_fd, &st) < 0 || !m->frames || m->frames > FRAMES_MAX ||
        (u64)st.st_size < (u64)m->frames << PAGE_SHIFT)
        return error_set(e, STATUS_HOST, "share: the broker's pages are not sealed");
    void *p = mmap(NULL, (u64)m->frames << PAGE_SHIFT, PROT_READ, MAP_SHARED | MAP_NORESERVE, m->pool_fd, 0);
    if (p == MAP_FAILED)
        return error_errno(e, "share: the group's pages");
    madvise(p, (u64)m->frames << PAGE_SHIFT, MADV_DONTDUMP);
    m->pool = p;
    return STATUS_OK;
}

enum status share_join_fd(struct share_member *m, int fd, const struct share_hello *who, struct error *e)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct iovec v = {(void *)(uintptr_t)who, sizeof *who};
    *m = (struct share_member){.fd = fd, .pool_fd = -1, .end_fd = -1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)say(fd, SHARE_HELLO, 1, &v, 1); /* who has no place for us does not hear it, and says so */
    enum status s = hear_welcome(m, who->version, e);
    if (s == STATUS_OK && who->role == SHARE_MEMBER)
        s = take_pool(m, e);
    if (s != STATUS_OK) {
        bool refused = m->refused;
        share_leave(m);
        m->refused = refused;
    }
    return s;
}

enum status share_join(struct share_member *m, const char *group, const char *exec, const struct share_hello *who, struct error *e)
{
    enum status s = STATUS_HOST;
    int fd;
    for (int i = 0; i < COME_AGAIN; i++) {
        if ((s = group_connect(group, exec, &fd, e)) != STATUS_OK)
            return s;
        s = share_join_fd(m, fd, who, e);
        if (s == STATUS_OK || m->refused)
            return s;
        usleep(20000);
    }
    return s;
}

void share_leave(struct share_member *m)
{
    if (m->pool)
        munmap((void *)(uintptr_t)m->pool, (u64)m->frames << PAGE_SHIFT);
    if (m->pool_fd >= 0)
        close(m->pool_fd);
    if (m->fd >= 0)
        close(m->fd);
    *m = (struct share_member){.fd = -1, .pool_fd = -1, .end_fd = -1, .gone = true};
}

/* Frames that are none make the broker one that cannot be believed. */
static bool frames_ok(struct share_member *m, const u32 *frames, u32 n)
{
    for (u32 i = 0; i < n; i++)
        m->gone |= frames[i] >= m->frames && frames[i] != FRAME_UNKNOWN && frames[i] != FRAME_WANTED;
    return !m->gone;
}

bool share_lookup(struct share_member *m, const struct share_query *q, u32 n, u32 *frames)
{
    struct iovec v = {(void *)(uintptr_t)q, n * sizeof *q};
    return ask(m, SHARE_LOOKUP, n, &v, 1, frames, n, sizeof *frames) && frames_ok(m, frames, n);
}

bool share_offer(struct share_member *m, const u8 *const *pages, u32 n, u32 *frames)
{
    struct iovec v[SHARE_OFFERS];
    for (u32 i = 0; i < n; i++)
        v[i] = (struct iovec){(void *)(uintptr_t)pages[i], PAGE_SIZE};
    return ask(m, SHARE_OFFER, n, v, n, frames, n, sizeof *frames) && frames_ok(m, frames, n);
}

bool share_release(struct share_member *m, const u32 *frames, u32 n)
{
    struct iovec v = {(void *)(uintptr_t)frames, n * sizeof *frames};
    return ask(m, SHARE_RELEASE, n, &v, 1, NULL, 0, 0);
}

bool share_tell(struct share_member *m, const struct share_report *r, struct share_advice *a)
{
    struct iovec v = {(void *)(uintptr_t)r, sizeof *r};
    return ask(m, SHARE_REPORT, 1, &v, 1, a, 1, sizeof *a);
}

enum status share_list(const char *group, struct share_report *list, u32 room, u32 *n, struct error *e)
{
    const struct share_hello who = {SHARE_MAGIC, SHARE_VERSION, SHARE_OBSERVER, 0, 0};
    struct share_report all[SHARE_MEMBERS + 1];
    struct share_member m;
    enum status s = share_join(&m, group, NULL, &who, e);
    if (s != STATUS_OK)
        return s;
    if (!say(m.fd, SHARE_LIST, 0, NULL, 0) || !hear(m.fd, n, all, sizeof *all, sizeof all))
        s = error_set(e, STATUS_HOST, "share %s: the broker does not answer", group);
    share_leave(&m);
    if (s == STATUS_OK) {
        *n = *n < room ? *n : room;
        memcpy(list, all, *n * sizeof *list);
    }
    return s;
}
