/* Sharing pages: the pool and its seals, the broker's protocol and what is said to it wrongly, pages of RAM that show frames, a broker that dies at every step. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "host/clock.h"
#include "mem/foreign.h"
#include "share/broker.h"
#include "share/group.h"
#include "share/hash.h"
#include "share/member.h"
#include "share/policy.h"
#include "share/pool.h"

static u8 page_a[PAGE_SIZE], page_b[PAGE_SIZE];

static void fill(u8 *page, u32 seed)
{
    for (u32 i = 0; i < PAGE_SIZE; i++) {
        seed = seed * 1664525 + 1013904223;
        page[i] = (u8)(seed >> 24);
    }
}

/* --- a broker in a process of its own */

struct rig {
    char dir[64], path[96];
    pid_t broker;
};

static struct sockaddr_un address(const struct rig *r)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", r->path);
    return a;
}

/* From now on CALL fails with WHY in this process where its argument ARG is at least FROM: a host that has no more memory. */
static void fail_call(u32 call, unsigned arg, u32 from, u32 why)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * arg),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, from, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | why),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog p = {ARRAY_LEN(f), f};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
        _exit(77);
}

/* FAILING: a call that fails in the broker, as above; 0: none. */
static void rig_start_failing(struct rig *r, u32 frames, u32 failing, unsigned arg, u32 from, u32 why)
{
    snprintf(r->dir, sizeof r->dir, "/tmp/trine-test-XXXXXX");
    if (!mkdtemp(r->dir))
        exit(1);
    snprintf(r->path, sizeof r->path, "%s/s", r->dir);
    struct sockaddr_un a = address(r);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 8) < 0)
        exit(1);
    r->broker = fork();
    if (!r->broker) {
        if (failing)
            fail_call(failing, arg, from, why);
        _exit(broker_run(fd, r->path, frames));
    }
    close(fd);
}

static void rig_start(struct rig *r, u32 frames)
{
    rig_start_failing(r, frames, 0, 0, 0, 0);
}

static int rig_connect(const struct rig *r)
{
    struct sockaddr_un a = address(r);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool rig_join(const struct rig *r, struct share_member *m)
{
    const struct share_hello who = {SHARE_MAGIC, SHARE_VERSION, SHARE_MEMBER, MIB(8), 0};
    struct error e;
    int fd = rig_connect(r);
    return fd >= 0 && share_join_fd(m, fd, &who, &e) == STATUS_OK;
}

/* The broker's exit status; -1: it had to be killed. */
static int rig_end(struct rig *r)
{
    int status = -1;
    for (int i = 0; i < 500 && r->broker > 0; i++) {
        if (waitpid(r->broker, &status, WNOHANG) == r->broker) {
            r->broker = -1;
            break;
        }
        usleep(10000);
    }
    bool left = !access(r->path, F_OK);
    if (r->broker > 0) {
        kill(r->broker, SIGKILL);
        waitpid(r->broker, NULL, 0);
        status = -1;
    }
    unlink(r->path);
    char lock[128];
    snprintf(lock, sizeof lock, "%s.lock", r->path);
    unlink(lock);
    rmdir(r->dir);
    return left ? -2 : WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static u32 offer(struct share_member *m, const u8 *page)
{
    u32 frame = 0;
    return share_offer(m, &page, 1, &frame) ? frame : FRAME_UNKNOWN - 2;
}

/* Frames whose holder has left come back when the broker hears of it. */
static u32 offer_until_room(struct share_member *m, const u8 *page)
{
    u32 got = FRAME_UNKNOWN;
    for (int i = 0; i < 200 && got == FRAME_UNKNOWN; i++, usleep(5000))
        got = offer(m, page);
    return got;
}

static u32 look_up(struct share_member *m, const u8 *page, u64 gfn)
{
    const struct share_query q = {page_hash(page), gfn};
    u32 frame = 0;
    return share_lookup(m, &q, 1, &frame) ? frame : FRAME_UNKNOWN - 2;
}

/* --- tests */

static void test_pool(void)
{
    struct pool p;
    struct error e;
    CHECK_EQ(pool_init(&p, 3, &e), STATUS_OK);
    u32 a = pool_add(&p, 7, page_a), b = pool_add(&p, 7, page_b); /* one hash, two contents */
    CHECK(a != b && a < 3 && b < 3);
    CHECK_EQ(pool_find(&p, 7, page_a), a);
    CHECK_EQ(pool_find(&p, 7, page_b), b);
    CHECK_EQ(pool_find(&p, 8, page_a), FRAME_UNKNOWN);
    CHECK(pool_add(&p, 9, page_a) < 3);
    CHECK_EQ(pool_add(&p, 10, page_a), FRAME_UNKNOWN);
    pool_hold(&p, a);
    pool_release(&p, a, 1);
    CHECK_EQ(pool_find(&p, 7, page_a), a);
    pool_release(&p, a, 1);
    CHECK_EQ(pool_find(&p, 7, page_a), FRAME_UNKNOWN);
    CHECK_EQ(pool_find(&p, 7, page_b), b);
    CHECK_EQ(p.live, 2);
    CHECK_EQ(p.holders, 2);
    CHECK_EQ(pool_add(&p, 11, page_b), a); /* what is free is taken again */
    pool_destroy(&p);
    CHECK_EQ(pool_init(&p, 0, &e), STATUS_USAGE);
    CHECK_EQ(pool_init(&p, 256, &e), STATUS_OK);
    for (u32 i = 0; i < 64; i++) /* contents made to fall into one bucket */
        CHECK_EQ(pool_add(&p, 7 + ((u64)i << 32), page_a), i);
    CHECK_EQ(pool_add(&p, 7, page_b), FRAME_UNKNOWN);
    CHECK_EQ(pool_add(&p, 8, page_b), 64);
    pool_destroy(&p);
}

/* What a captured member may try. */
static void test_seals(void)
{
    struct rig r;
    struct share_member m;
    char name[32];
    rig_start(&r, 16);
    CHECK(rig_join(&r, &m));
    u32 f = offer(&m, page_a);
    u64 off = (u64)f << PAGE_SHIFT;
    CHECK(f < 16 && !memcmp(share_frame(&m, f), page_a, PAGE_SIZE));
    CHECK(mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m.pool_fd, (off_t)off) == MAP_FAILED && errno == EPERM);
    CHECK(pwrite(m.pool_fd, page_b, 16, (off_t)off) < 0);
    CHECK(ftruncate(m.pool_fd, 0) < 0);
    CHECK(ftruncate(m.pool_fd, (off_t)MIB(1)) < 0);
    CHECK(fallocate(m.pool_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)PAGE_SIZE) < 0);
    CHECK(mprotect((void *)(uintptr_t)m.pool, PAGE_SIZE, PROT_READ | PROT_WRITE) < 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", m.pool_fd);
    int again = open(name, O_RDWR | O_CLOEXEC);
    if (again >= 0) {
        CHECK(mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, again, (off_t)off) == MAP_FAILED);
        CHECK(pwrite(again, page_b, 16, (off_t)off) < 0);
        close(again);
    }
    u8 *own = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, m.pool_fd, (off_t)off);
    CHECK(own != MAP_FAILED);
    memcpy(own, page_b, PAGE_SIZE);
    CHECK(!memcmp(share_frame(&m, f), page_a, PAGE_SIZE));
    munmap(own, PAGE_SIZE);
    share_leave(&m);
    CHECK_EQ(rig_end(&r), 0);
}

static void test_holders(void)
{
    struct rig r;
    struct share_member a, b;
    rig_start(&r, 4);
    CHECK(rig_join(&r, &a) && rig_join(&r, &b));
    CHECK_EQ(look_up(&a, page_a, 1), FRAME_UNKNOWN);
    CHECK_EQ(look_up(&a, page_a, 1), FRAME_UNKNOWN); /* its own hint */
    CHECK_EQ(look_up(&b, page_a, 1), FRAME_WANTED);
    u32 f = offer(&b, page_a);
    CHECK(f < 4);
    CHECK_EQ(look_up(&a, page_a, 1), f);
    CHECK(share_release(&b, &f, 1));
    CHECK_EQ(offer(&b, page_a), f); /* a still has it */
    for (u32 i = 0; i < 3; i++) {
        u8 page[PAGE_SIZE];
        fill(page, 100 + i);
        CHECK(offer(&b, page) < 4);
    }
    CHECK_EQ(offer(&a, page_b), FRAME_UNKNOWN); /* full */
    share_leave(&b);                            /* as kill -9 does: what it held goes, what a holds stays */
    u32 got = offer_until_room(&a, page_b);
    CHECK(got < 4 && got != f);
    CHECK(!memcmp(share_frame(&a, f), page_a, PAGE_SIZE));
    share_leave(&a);
    CHECK_EQ(rig_end(&r), 0);
}

/* Whom the broker does not hear any more still shows its guest the frames: they stay what they are until its end of the socket is closed. */
static void test_left(void)
{
    struct rig r;
    struct share_member a, b;
    const u32 garbage[] = {99, 1, 0};
    u8 page[PAGE_SIZE];
    rig_start(&r, 4);
    CHECK(rig_join(&r, &a) && rig_join(&r, &b));
    u32 f = offer(&a, page_a), n;
    CHECK(f < 4);
    const u8 *shown = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, a.pool_fd, (off_t)((u64)f << PAGE_SHIFT));
    CHECK(shown != MAP_FAILED && send(a.fd, garbage, sizeof garbage, MSG_NOSIGNAL) == sizeof garbage);
    CHECK_EQ(look_up(&a, page_a, 1), FRAME_UNKNOWN - 2); /* hung up on */
    for (n = 0; n < 8; n++) {
        fill(page, 100 + n);
        u32 got = offer(&b, page);
        CHECK(got != f && (got < 4) == (n < 3));
    }
    CHECK(!memcmp(shown, page_a, PAGE_SIZE));
    munmap((void *)(uintptr_t)shown, PAGE_SIZE);
    share_leave(&a);
    CHECK_EQ(offer_until_room(&b, page_b), f);
    share_leave(&b);
    CHECK_EQ(rig_end(&r), 0);
}

/* A VM that ends while the broker does not answer: it does not wait, and its frames are its own until it leaves. */
static void test_end(void)
{
    struct rig r;
    struct share_member a, b;
    int end[2];
    rig_start(&r, 1);
    CHECK(rig_join(&r, &a) && rig_join(&r, &b) && pipe(end) == 0);
    u32 f = offer(&a, page_a);
    a.end_fd = end[0];
    CHECK(f == 0 && write(end[1], "", 1) == 1);
    kill(r.broker, SIGSTOP);
    u64 begun = host_ns();
    CHECK_EQ(look_up(&a, page_b, 1), FRAME_UNKNOWN - 2);
    CHECK(host_ns() - begun < 5000000000u && a.gone); /* and not a minute */
    kill(r.broker, SIGCONT);
    CHECK_EQ(offer(&b, page_b), FRAME_UNKNOWN);
    CHECK(!memcmp(share_frame(&a, f), page_a, PAGE_SIZE));
    share_leave(&a);
    close(end[0]);
    close(end[1]);
    CHECK_EQ(offer_until_room(&b, page_b), f);
    share_leave(&b);
    CHECK_EQ(rig_end(&r), 0);
}

/* A member that asks for one frame again and again cannot make the count of its holders wrap: another's hold lasts. */
static void test_many_holds(void)
{
    static struct share_query q[SHARE_LOOKUPS];
    static u32 frames[SHARE_LOOKUPS];
    struct rig r;
    struct share_member a, b;
    rig_start(&r, 4);
    CHECK(rig_join(&r, &a) && rig_join(&r, &b));
    u32 f = offer(&a, page_a);
    for (u32 i = 0; i < SHARE_LOOKUPS; i++)
        q[i] = (struct share_query){page_hash(page_a), i};
    for (u32 n = 0; n < SHARE_HOLDS_MAX; n += SHARE_LOOKUPS)
        CHECK(share_lookup(&b, q, SHARE_LOOKUPS, frames) && frames[SHARE_LOOKUPS - 1] == f);
    CHECK_EQ(look_up(&b, page_a, 1), FRAME_UNKNOWN);
    CHECK_EQ(offer(&b, page_a), FRAME_UNKNOWN);
    CHECK_EQ(look_up(&a, page_a, 1), f);
    share_leave(&b);
    u32 other = FRAME_UNKNOWN;
    for (int i = 0; i < 4; i++) {
        u8 page[PAGE_SIZE];
        fill(page, 100 + i);
        other = offer(&a, page);
        CHECK(other != f && (other < 4) == (i < 3));
    }
    CHECK(!memcmp(share_frame(&a, f), page_a, PAGE_SIZE));
    share_leave(&a);
    CHECK_EQ(rig_end(&r), 0);
}

/* The pool's memory ends: at its third frame, and at its birth. */
static void test_no_memory(void)
{
    struct rig r;
    struct share_member m;
    struct share_report say = {.guest_bytes = MIB(8)};
    struct share_advice hear;
    struct error e = {0};
    const struct share_hello who = {SHARE_MAGIC, SHARE_VERSION, SHARE_MEMBER, MIB(8), 0};
    u8 page[PAGE_SIZE];
    rig_start_failing(&r, 16, SYS_fallocate, 2, 2 * PAGE_SIZE, ENOSPC);
    CHECK(rig_join(&r, &m));
    u32 f = offer(&m, page_a), g = offer(&m, page_b);
    CHECK(share_tell(&m, &say, &hear) && hear.error == 0);
    fill(page, 3);
    CHECK_EQ(offer(&m, page), FRAME_UNKNOWN);
    CHECK(share_tell(&m, &say, &hear) && hear.error == ENOSPC);
    CHECK(!memcmp(share_frame(&m, f), page_a, PAGE_SIZE) && !memcmp(share_frame(&m, g), page_b, PAGE_SIZE));
    CHECK(share_release(&m, &f, 1));
    CHECK_EQ(offer(&m, page), f); /* what is there already is used again */
    CHECK(share_tell(&m, &say, &hear) && hear.error == 0);
    share_leave(&m);
    CHECK_EQ(rig_end(&r), 0);
    rig_start_failing(&r, 16, SYS_ftruncate, 1, 0, ENOMEM);
    CHECK_EQ(share_join_fd(&m, rig_connect(&r), &who, &e), STATUS_HOST);
    CHECK_STR(e.text, "share: the group's broker: Cannot allocate memory");
    CHECK(m.refused);
    CHECK_EQ(rig_end(&r), STATUS_HOST);
}

/* One more than there is room for hears why. */
static void test_crowd(void)
{
    struct rig r;
    struct share_member all[SHARE_MEMBERS], more;
    struct error e = {0};
    const struct share_hello who = {SHARE_MAGIC, SHARE_VERSION, SHARE_MEMBER, MIB(8), 0};
    rig_start(&r, 16);
    for (u32 i = 0; i < SHARE_MEMBERS; i++)
        CHECK(rig_join(&r, &all[i]));
    CHECK_EQ(share_join_fd(&more, rig_connect(&r), &who, &e), STATUS_HOST);
    CHECK_STR(e.text, "share: the group's broker: Too many users");
    for (u32 i = 0; i < SHARE_MEMBERS; i++)
        share_leave(&all[i]);
    CHECK_EQ(rig_end(&r), 0);
}

/* One message as it is; true: the broker hangs up. */
static bool refused(const struct rig *r, bool greet, const void *message, size_t len)
{
    struct share_member m = {.fd = -1};
    int fd;
    if (greet) {
        CHECK(rig_join(r, &m));
        fd = m.fd;
    } else {
        fd = rig_connect(r);
    }
    CHECK(send(fd, message, len, MSG_NOSIGNAL) == (ssize_t)len);
    u8 answer[4096];
    bool gone = recv(fd, answer, sizeof answer, 0) <= 0;
    if (greet)
        share_leave(&m);
    else
        close(fd);
    return gone;
}

static void test_garbage(void)
{
    struct rig r;
    struct share_member keeper;
    static u8 big[SHARE_BYTES + 4096];
    rig_start(&r, 64);
    CHECK(rig_join(&r, &keeper));
    u32 f = offer(&keeper, page_a);
    const u32 nothing[] = {SHARE_LOOKUP, 0}, unknown[] = {99, 1, 0}, short_one[] = {SHARE_RELEASE, 2, 0}, foreign[] = {SHARE_RELEASE, 1, f},
              beyond[] = {SHARE_RELEASE, 1, 0x7fffffff}, head = SHARE_LIST;
    CHECK(refused(&r, true, nothing, sizeof nothing));
    CHECK(refused(&r, true, unknown, sizeof unknown));
    CHECK(refused(&r, true, short_one, sizeof short_one));
    CHECK(refused(&r, true, foreign, sizeof foreign)); /* what it does not hold */
    CHECK(refused(&r, true, beyond, sizeof beyond));
    CHECK(refused(&r, true, &head, sizeof head));
    CHECK(refused(&r, false, short_one, sizeof short_one)); /* not greeted */
    memcpy(big, (const u32[]){SHARE_OFFER, SHARE_OFFERS + 1}, 8);
    CHECK(refused(&r, true, big, 8 + (SHARE_OFFERS + 1) * PAGE_SIZE));
    memcpy(big, (const u32[]){SHARE_LOOKUP, 0xffffffff}, 8);
    CHECK(refused(&r, true, big, 8 + 16));
    struct {
        struct share_head h;
        struct share_report r;
    } huge = {{SHARE_REPORT, 1}, {.guest_bytes = MIB(8), .resident_bytes = UINT64_MAX}};
    CHECK(refused(&r, true, &huge, sizeof huge)); /* would make the sum over all members wrap */
    huge.r.resident_bytes = SHARE_BYTES_MAX;
    CHECK(!refused(&r, true, &huge, sizeof huge));
    u32 seed = 1;
    for (u32 i = 0; i < 500; i++) { /* random words */
        struct share_member m;
        CHECK(rig_join(&r, &m));
        for (u32 k = 0; k < 4; k++) {
            u32 words[16];
            for (u32 w = 0; w < 16; w++)
                words[w] = (seed = seed * 1664525 + 1013904223) >> (w < 2 ? 28 : 0);
            (void)!send(m.fd, words, 4 * (1 + (seed >> 16) % 16), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        share_leave(&m);
    }
    CHECK_EQ(look_up(&keeper, page_a, 1), f);
    CHECK(!memcmp(share_frame(&keeper, f), page_a, PAGE_SIZE));
    share_leave(&keeper);
    CHECK_EQ(rig_end(&r), 0);
}

static void test_version(void)
{
    struct rig r;
    struct share_member m, keeper;
    struct error e = {0};
    const struct share_hello other = {SHARE_MAGIC, SHARE_VERSION + 1, SHARE_MEMBER, MIB(8), 0};
    rig_start(&r, 4);
    CHECK(rig_join(&r, &keeper));
    CHECK_EQ(share_join_fd(&m, rig_connect(&r), &other, &e), STATUS_HOST);
    CHECK_STR(e.text, "share: the group's broker speaks version 2, this program 3: another version of trine started it");
    share_leave(&keeper);
    CHECK_EQ(rig_end(&r), 0);
}

/* RAM whose pages show frames reads and writes as before. */
static void test_foreign(void)
{
    struct rig r;
    struct share_member m;
    struct mem mem;
    struct error e;
    bool written[4];
    rig_start(&r, 16);
    CHECK(rig_join(&r, &m));
    CHECK_EQ(mem_init(&mem, MIB(8), &e), STATUS_OK);
    CHECK_EQ(mem_foreign_init(&mem, m.pool_fd, &e), STATUS_OK);
    CHECK(mem_write(&mem, MIB(2), page_a, PAGE_SIZE) && mem_write(&mem, MIB(2) + PAGE_SIZE, page_b, PAGE_SIZE));
    u64 digest = mem_digest(&mem, 1), resident = mem_resident(&mem);
    u32 f = offer(&m, page_a), g = offer(&m, page_b);
    CHECK_EQ(g, f + 1);
    CHECK(mem_foreign_map(&mem, MIB(2), f, 2));
    mem_foreign_settle(&mem, MIB(2), 2);
    CHECK_EQ(mem.foreign.seams, 2);
    CHECK_EQ(mem.foreign.pages, 2);
    CHECK_EQ(resident - mem_resident(&mem), 2 * PAGE_SIZE);
    CHECK_EQ(mem_digest(&mem, 1), digest);
    CHECK(!memcmp(mem.base + MIB(2), page_a, PAGE_SIZE));
    mem_foreign_written(&mem, MIB(2), 2, written);
    CHECK(!written[0] && !written[1]);
    CHECK(mem_write(&mem, MIB(2) + PAGE_SIZE, "x", 1)); /* copies */
    mem_foreign_written(&mem, MIB(2), 2, written);
    CHECK(!written[0] && written[1]);
    CHECK(!memcmp(share_frame(&m, g), page_b, PAGE_SIZE));
    CHECK_EQ(mem_foreign_copies(&mem), 1);
    CHECK_EQ(resident - mem_resident(&mem), PAGE_SIZE);
    digest = mem_digest(&mem, 1);
    CHECK(mem_foreign_home(&mem, MIB(2) + PAGE_SIZE, 1));
    CHECK_EQ(mem_digest(&mem, 1), digest);
    CHECK_EQ(mem_foreign_record(&mem, MIB(2) + PAGE_SIZE), FOREIGN_LEFT | (g + 1));
    CHECK_EQ(mem.base[MIB(2) + PAGE_SIZE], 'x');
    CHECK_EQ(mem.foreign.seams, 2);
    CHECK(mem_discard(&mem, MIB(2), 2 * PAGE_SIZE));
    CHECK_EQ(mem.foreign.pages, 0);
    CHECK_EQ(mem.foreign.seams, 0);
    CHECK(!mem.base[MIB(2)] && !mem.base[MIB(2) + PAGE_SIZE]);
    mem_destroy(&mem);
    share_leave(&m);
    CHECK_EQ(rig_end(&r), 0);
}

/* What a report, a digest or a scanner's pass costs goes by what is shared: 64 GiB with one shared page touch few of the 64 MiB of records. */
static void test_large(void)
{
    enum { LOOKS = 20 };
    const u64 at = MEM_HIGH_BASE + GIB(40), records = ((GIB(60) + MEM_HIGH_BASE) >> PAGE_SHIFT) * sizeof(u32);
    struct rig r;
    struct share_member m;
    struct mem mem;
    struct error e;
    u64 begun, digest, end, from = 0, touched = 0;
    bool foreign;
    rig_start(&r, 16);
    CHECK(rig_join(&r, &m));
    CHECK_EQ(mem_init(&mem, GIB(64), &e), STATUS_OK);
    CHECK_EQ(mem_foreign_init(&mem, m.pool_fd, &e), STATUS_OK);
    CHECK(mem_write(&mem, at, page_a, PAGE_SIZE));
    digest = mem_digest(&mem, 1);
    CHECK_EQ(mem_foreign_next(&mem, 0), mem.span);
    CHECK(mem_foreign_map(&mem, at, offer(&m, page_a), 1));
    mem_foreign_settle(&mem, at, 1);
    begun = host_ns();
    for (unsigned i = 0; i < LOOKS; i++)
        CHECK_EQ(mem_use(&mem).shared, PAGE_SIZE);
    printf("a report on 64 GiB with a shared page: %llu us\n", (unsigned long long)(host_ns() - begun) / LOOKS / 1000);
    CHECK_EQ(mem_digest(&mem, 1), digest);
    CHECK(mem_data(&mem, &from, &end, &foreign) && foreign && from == at && end == at + PAGE_SIZE);
    CHECK_EQ(mem_foreign_next(&mem, at + PAGE_SIZE), at + PAGE_SIZE);
    CHECK_EQ(mem_foreign_next(&mem, at + FOREIGN_BLOCK * PAGE_SIZE), mem.span);
    for (u64 i = 0; i < records; i += PAGE_SIZE) {
        unsigned char in = 0;
        touched += mincore((u8 *)mem.foreign.frame + i, PAGE_SIZE, &in) == 0 && in & 1;
    }
    CHECK(touched && touched * 100 < records / PAGE_SIZE);
    CHECK(mem_discard(&mem, at, PAGE_SIZE));
    CHECK_EQ(mem_foreign_next(&mem, 0), at & ~(FOREIGN_BLOCK * PAGE_SIZE - 1)); /* the broker has not been told yet */
    mem_foreign_told(&mem, at);
    CHECK_EQ(mem_foreign_next(&mem, 0), mem.span);
    mem_destroy(&mem);
    share_leave(&m);
    CHECK_EQ(rig_end(&r), 0);
}

/* A file that takes no more, as on a full disk: the page stays where it is. */
static void check_full(struct mem *m)
{
    struct rlimit was, small;
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){MIB(1), was.rlim_max};
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    CHECK(!mem_foreign_save(m, MIB(2), 2));
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, old);
    CHECK_EQ(m->foreign.paged, 0);
    CHECK(!memcmp(m->base + MIB(2), page_a, PAGE_SIZE));
}

/* The same with a file behind them. */
static void test_paging(void)
{
    struct mem mem;
    struct error e;
    bool written[2];
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    CHECK_EQ(mem_init(&mem, MIB(8), &e), STATUS_OK);
    CHECK_EQ(mem_foreign_init(&mem, -1, &e), STATUS_OK);
    CHECK_EQ(mem_foreign_paging(&mem, fd, &e), STATUS_OK);
    CHECK(mem_write(&mem, MIB(2), page_a, PAGE_SIZE) && mem_write(&mem, MIB(2) + PAGE_SIZE, page_b, PAGE_SIZE));
    u64 digest = mem_digest(&mem, 1), resident = mem_resident(&mem);
    check_full(&mem);
    CHECK(mem_foreign_save(&mem, MIB(2), 2));
    CHECK(!memcmp(mem.foreign.page_map + MIB(2), page_a, PAGE_SIZE));
    CHECK(mem_foreign_page(&mem, MIB(2), 2));
    mem_foreign_settle(&mem, MIB(2), 2);
    mem_foreign_forget(&mem, MIB(2), 2);
    CHECK_EQ(mem.foreign.paged, 2);
    CHECK_EQ(mem.foreign.seams, 2);
    CHECK_EQ(resident - mem_resident(&mem), 2 * PAGE_SIZE);
    CHECK_EQ(mem_digest(&mem, 1), digest);
    CHECK(mem_write(&mem, MIB(2), "z", 1));
    mem_foreign_written(&mem, MIB(2), 2, written);
    CHECK(written[0] && !written[1]);
    CHECK(mem_foreign_home(&mem, MIB(2), 1));
    CHECK_EQ(mem_foreign_record(&mem, MIB(2)), 0);
    CHECK_EQ(mem.foreign.paged, 1);
    mem_foreign_clear(&mem, MIB(2), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_DATA), MIB(2) + PAGE_SIZE);
    CHECK(mem.base[MIB(2)] == 'z' && !memcmp(mem.base + MIB(2) + 1, page_a + 1, PAGE_SIZE - 1));
    CHECK(!memcmp(mem.base + MIB(2) + PAGE_SIZE, page_b, PAGE_SIZE));
    CHECK(mem_discard(&mem, MIB(2), 2 * PAGE_SIZE));
    CHECK_EQ(mem.foreign.paged, 0);
    CHECK_EQ(mem.foreign.pages, 0);
    CHECK(!mem.base[MIB(2) + PAGE_SIZE]);
    CHECK_EQ(lseek(fd, 0, SEEK_DATA), -1); /* nothing of it is left on the disk */
    mem_destroy(&mem);
}

/* The broker dies behind STEP of a member's way from joining to coming home: the member's memory stays what it was, and each call after it says no. */
static void die_at(int step)
{
    struct rig r;
    struct share_member m, other;
    struct mem mem;
    struct error e;
    rig_start(&r, 16);
    CHECK(rig_join(&r, &m) && rig_join(&r, &other));
    CHECK_EQ(mem_init(&mem, MIB(8), &e), STATUS_OK);
    CHECK_EQ(mem_foreign_init(&mem, m.pool_fd, &e), STATUS_OK);
    CHECK(mem_write(&mem, MIB(2), page_a, PAGE_SIZE));
    u32 f = 0;
    for (int i = 0; i < 7; i++) {
        if (i == step) {
            kill(r.broker, SIGKILL);
            waitpid(r.broker, NULL, 0);
            r.broker = -1;
        }
        bool alive = step > i;
        switch (i) {
        case 0: CHECK_EQ(look_up(&other, page_a, 1) == FRAME_UNKNOWN, alive); break;
        case 1: CHECK_EQ(look_up(&m, page_a, 1) == FRAME_WANTED, alive); break;
        case 2: f = offer(&m, page_a); CHECK_EQ(f < 16, alive); break;
        case 3:
            if (f < 16) {
                CHECK(mem_foreign_map(&mem, MIB(2), f, 1));
                mem_foreign_settle(&mem, MIB(2), 1);
            }
            break;
        case 4: CHECK(mem_write(&mem, MIB(2), "y", 1)); break;
        case 5:
            if (f < 16)
                CHECK(mem_foreign_home(&mem, MIB(2), 1));
            break;
        case 6: CHECK_EQ(f < 16 && share_release(&m, &f, 1), alive); break;
        }
        CHECK(!memcmp(mem.base + MIB(2) + 1, page_a + 1, PAGE_SIZE - 1));
        CHECK_EQ(mem.base[MIB(2)], i < 4 ? page_a[0] : 'y');
    }
    mem_destroy(&mem);
    share_leave(&m);
    share_leave(&other);
    (void)rig_end(&r);
}

static void test_policy(void)
{
    struct share_report all[2] = {{.pid = 1, .has_balloon = 1, .guest_bytes = GIB(1), .resident_bytes = GIB(1), .working_bytes = MIB(800)},
                                  {.pid = 2, .has_balloon = 1, .guest_bytes = GIB(1), .resident_bytes = GIB(1), .working_bytes = MIB(100)}};
    CHECK_EQ(policy_target(all, 2, 1, 0, 0), 0);
    u64 busy = policy_target(all, 2, 1, 0, GIB(1)), idle = policy_target(all, 2, 2, 0, GIB(1));
    CHECK(busy > idle && busy + idle <= GIB(1) && idle >= MIB(48));
    CHECK_EQ(policy_target(all, 2, 1, 0, GIB(8)), GIB(1)); /* nobody is short */
    all[1].has_balloon = 0;
    CHECK_EQ(policy_target(all, 2, 2, 0, GIB(1)), 0);
    CHECK_EQ(policy_room(all, 2, 1, 0, 0), INT64_MAX);
    CHECK_EQ(policy_room(all, 2, 1, MIB(64), GIB(4)), (GIB(4) - MIB(128) - GIB(2) - MIB(64)) / 2);
    CHECK_EQ(policy_room(all, 2, 1, 0, GIB(2)), -(i64)MIB(32)); /* half of what is too much for 31/32 of it */
    CHECK_EQ(policy_page_out(all, 2, 1, 0, GIB(3)), 0);
    CHECK_EQ(policy_page_out(all, 2, 1, 0, 0), 0);
    u64 busy_out = policy_page_out(all, 2, 1, MIB(512), GIB(2)), idle_out = policy_page_out(all, 2, 2, MIB(512), GIB(2));
    CHECK(busy_out > MIB(64) && idle_out > 2 * busy_out && busy_out + idle_out <= MIB(640)); /* what is too much for 15/16 of it */
    CHECK(busy_out + idle_out > MIB(639));
    all[0].target_bytes = MIB(512), all[0].free_bytes = MIB(700); /* its balloon comes first */
    CHECK_EQ(policy_page_out(all, 2, 1, MIB(512), MIB(2200)), 0);
    all[0].resident_bytes = MIB(300); /* what is free are holes: a balloon brings nothing */
    CHECK(policy_page_out(all, 2, 1, MIB(512), MIB(1600)) > 0);
    all[0].resident_bytes = GIB(1);
    CHECK(policy_target(all, 2, 1, GIB(2), GIB(1)) >= MIB(48)); /* the pool alone is too large */
}

/* usage: sharing [TIMES]: so often the broker is killed at every step */
int main(int argc, char **argv)
{
    fill(page_a, 1);
    fill(page_b, 2);
    test_pool();
    test_seals();
    test_holders();
    test_left();
    test_end();
    test_many_holds();
    test_no_memory();
    test_crowd();
    test_garbage();
    test_version();
    test_foreign();
    test_large();
    test_paging();
    test_policy();
    for (int n = argc > 1 ? atoi(argv[1]) : 2; n > 0; n--)
        for (int step = 0; step < 8; step++)
            die_at(step);
    return check_done();
}
