/* The host's end of a disk by each of its ways (io_uring, threads, direct): what was written is read, flushed, discarded; many
 * requests in flight; requests that end inside submit; overlays; locks; a raw disk that a guest tries to turn into another format; a flush that
 * failed once. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host/block_image.h"

enum { SIZE = 1 << 20, MANY = 64 };

static char path[] = "/tmp/trine-block-XXXXXX";

static void on_done(struct block_request *r)
{
    ++*(unsigned *)r->opaque;
}

static void wait_for(struct host_block *b, const unsigned *done, unsigned n)
{
    for (unsigned i = 0; *done < n && i < 10000; i++) {
        struct pollfd p = {.fd = block_fd(b), .events = POLLIN};
        (void)poll(&p, 1, 1000);
        block_serve(b);
    }
    CHECK_EQ(*done, n);
}

static int one(struct host_block *b, enum block_op op, u64 off, void *data, u64 len)
{
    unsigned done = 0;
    struct block_request r = {.op = op, .off = off, .len = len, .data = data, .done = on_done, .opaque = &done};
    block_submit(block_disk(b), &r);
    wait_for(b, &done, 1);
    return r.error;
}

static struct host_block *must_open(struct block_config cfg)
{
    struct host_block *b = NULL;
    struct error e = {0};
    cfg.path = path;
    if (block_open(&b, &cfg, &e) != STATUS_OK)
        CHECK_STR(e.text, "");
    return b;
}

static void fresh_file(void)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && !ftruncate(fd, SIZE));
    close(fd);
}

static u8 file_byte(u64 off)
{
    u8 v = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(pread(fd, &v, 1, (off_t)off) == 1);
    close(fd);
    return v;
}

static void test_way(const struct block_config *cfg, const char *way)
{
    static u8 out[MANY][4096], in[MANY][4096];
    static struct block_request r[MANY];
    fresh_file();
    struct host_block *b = must_open(*cfg);
    if (!b)
        return;
    CHECK_STR(block_way(b), way);
    CHECK_EQ(block_disk(b)->size, SIZE);
    for (unsigned pass = 0; pass < 2; pass++) {
        unsigned done = 0;
        for (unsigned i = 0; i < MANY; i++) {
            memset(out[i], (int)i + 1, sizeof out[i]);
            r[i] = (struct block_request){.op = pass ? BLOCK_READ : BLOCK_WRITE, .off = 4096 * i, .len = 4096,
                                          .data = pass ? in[i] : out[i], .done = on_done, .opaque = &done};
            block_submit(block_disk(b), &r[i]);
        }
        wait_for(b, &done, MANY);
        for (unsigned i = 0; i < MANY; i++)
            CHECK_EQ(r[i].error, 0);
    }
    CHECK(!memcmp(in, out, sizeof in));
    CHECK_EQ(one(b, BLOCK_FLUSH, 0, NULL, 0), 0);
    CHECK_EQ(file_byte(4096 * 5), 6);
    CHECK_EQ(one(b, BLOCK_ZERO, 4096, NULL, 8192), 0);
    CHECK_EQ(one(b, BLOCK_DISCARD, 32768, NULL, 4096), 0);
    CHECK_EQ(one(b, BLOCK_READ, 0, in, 16384), 0);
    CHECK_EQ(in[0][0], 1);
    CHECK_EQ(in[1][0] | in[2][4095], 0);
    CHECK_EQ(in[3][0], 4);
    CHECK_EQ(one(b, BLOCK_READ, SIZE, in, 512), EINVAL);
    CHECK_EQ(one(b, BLOCK_WRITE, SIZE - 512, in, 1024), EINVAL);
    CHECK_EQ(one(b, BLOCK_READ, ~0ull - 100, in, 512), EINVAL);
    /* A guest cannot turn its raw disk into another format. */
    memcpy(out[0], "QFI\xfb", 4);
    CHECK_EQ(one(b, BLOCK_WRITE, 0, out, 512), EPERM);
    CHECK_EQ(one(b, BLOCK_WRITE, 512, out, 512), 0);
    /* The file is cut short behind our back: an I/O error. */
    CHECK(!truncate(path, SIZE / 2));
    CHECK_EQ(one(b, BLOCK_READ, SIZE / 2, in, 4096), EIO);
    block_close(b);
}

/* --- requests that end inside submit */

struct chain {
    struct block *disk;
    unsigned done;
    uintptr_t low, high; /* the stack, where `done` ran */
};

enum { CHAIN = 10000, STACK = 64 << 10 };

static void on_link(struct block_request *r)
{
    struct chain *c = r->opaque;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    c->low = here < c->low ? here : c->low;
    c->high = here > c->high ? here : c->high;
    if (++c->done < CHAIN)
        block_submit(c->disk, r);
}

static bool has_nowait(void)
{
    u8 byte;
    struct iovec v = {.iov_base = &byte, .iov_len = 1};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool has = pread(fd, &byte, 1, 0) == 1 && preadv2(fd, &v, 1, 0, RWF_NOWAIT) == 1;
    close(fd);
    return has;
}

/* What the page cache has is there when submit returns, and what was done before it; and a `done` that submits again does not
 * nest. False: the file system reads nothing without a thread of the kernel's. */
static bool test_inside_submit(void)
{
    u8 buf[4096];
    unsigned done = 0;
    fresh_file();
    if (!has_nowait())
        return false;
    struct host_block *b = must_open((struct block_config){0});
    struct block_request read = {.op = BLOCK_READ, .len = sizeof buf, .data = buf, .done = on_done, .opaque = &done}, flush = read;
    block_submit(block_disk(b), &read);
    CHECK_EQ(done, 1);

    flush.op = BLOCK_FLUSH;
    flush.len = 0;
    block_submit(block_disk(b), &flush);
    struct pollfd p = {.fd = block_fd(b), .events = POLLIN};
    CHECK(done == 2 || poll(&p, 1, 10000) == 1);
    block_submit(block_disk(b), &read);
    CHECK_EQ(done, 3);

    struct chain c = {.disk = block_disk(b), .low = UINTPTR_MAX};
    struct block_request link = {.op = BLOCK_READ, .len = sizeof buf, .data = buf, .done = on_link, .opaque = &c};
    block_submit(c.disk, &link);
    wait_for(b, &c.done, CHAIN);
    CHECK(c.high - c.low < STACK);
    block_close(b);
    return true;
}

static void test_overlay(void)
{
    u8 buf[4096];
    fresh_file();
    struct host_block *b = must_open((struct block_config){.snapshot = true});
    CHECK(b && !block_disk(b)->readonly);
    if (!b)
        return;
    memset(buf, 7, sizeof buf);
    CHECK_EQ(one(b, BLOCK_WRITE, 1024, buf, 1024), 0);
    CHECK_EQ(one(b, BLOCK_FLUSH, 0, NULL, 0), 0);
    CHECK_EQ(one(b, BLOCK_READ, 0, buf, 4096), 0);
    CHECK(buf[1023] == 0 && buf[1024] == 7 && buf[2047] == 7 && buf[2048] == 0);
    CHECK_EQ(one(b, BLOCK_ZERO, 1536, NULL, 512), 0);
    CHECK_EQ(one(b, BLOCK_READ, 0, buf, 4096), 0);
    CHECK(buf[1535] == 7 && buf[1536] == 0);
    block_close(b);
    CHECK_EQ(file_byte(1024), 0);
}

static void test_locks(void)
{
    static const struct {
        bool first_reads, second_reads, ok;
    } cases[] = {{false, false, false}, {false, true, false}, {true, false, false}, {true, true, true}};
    fresh_file();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct host_block *a = must_open((struct block_config){.readonly = cases[i].first_reads}), *b = NULL;
        struct error e = {0};
        const struct block_config second = {.path = path, .readonly = cases[i].second_reads};
        CHECK_EQ(block_open(&b, &second, &e) == STATUS_OK, cases[i].ok);
        CHECK_EQ(strstr(e.text, "in use") != NULL, !cases[i].ok);
        if (cases[i].first_reads)
            CHECK_EQ(one(a, BLOCK_WRITE, 0, (u8[512]){0}, 512), EROFS);
        block_close(b);
        block_close(a);
    }
}

/* --- an image whose flush fails once */

static unsigned flushes;

static int bad_run(struct image *i, const struct block_request *r)
{
    (void)i;
    return r->op == BLOCK_FLUSH && flushes++ == 0 ? EIO : 0;
}

static void bad_close(struct image *i)
{
    (void)i;
}

static void test_failed_flush(void)
{
    static const struct image_ops ops = {.run = bad_run, .close = bad_close};
    struct image image = {.ops = &ops, .size = 4096, .fd = -1};
    struct host_block *b;
    struct error e;
    CHECK(block_over(&b, &image, &(struct block_config){.no_io_uring = true}, &e) == STATUS_OK);
    CHECK_EQ(one(b, BLOCK_FLUSH, 0, NULL, 0), EIO);
    CHECK_EQ(one(b, BLOCK_FLUSH, 0, NULL, 0), EIO); /* the host would say 0 now, and the data is gone */
    block_close(b);
}

int main(void)
{
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    struct block_queue *uring = NULL;
    struct image probe = {.fd = -1};
    bool refused = false, nowait = true;
    if ((uring = queue_open_uring(&probe))) {
        uring->ops->close(uring);
        test_way(&(struct block_config){0}, "io_uring");
        nowait = test_inside_submit();
    } else {
        refused = true;
    }
    test_way(&(struct block_config){.no_io_uring = true}, "threads");
    test_way(&(struct block_config){.synchronous = true}, "direct");
    test_overlay();
    test_locks();
    test_failed_flush();
    unlink(path);
    int status = check_done();
    if (status || (!refused && nowait))
        return status;
    printf("%s: the rest passed\n", refused ? "io_uring is refused here: that way was not tested"
                                          : "/tmp reads nothing at once: no request that ends inside submit was tested");
    return 77;
}
