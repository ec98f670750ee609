/* The balloon under a driver of our own: what is given up reads as zeros and is the host's again; statistics, hints, reports; and a driver that
 * gives up pages twice, out of range, its rings, all of its memory, or pages that a device writes to. */
#include "virtio_rig.h"

#include <stdlib.h>

#include "dev/virtio/virtio_balloon.h"

#define MODERN BIT(32)
#define ALL    (MODERN | 0x3f)

enum { INFLATE, DEFLATE, STATS, HINT, REPORT, QUEUES, LIST = 0x80000, PAGES = 1024, NEEDS_RESET = 0x40 };

struct test {
    struct virtio_rig r;
    struct virtio_balloon b;
    unsigned changed, written;
};

static void on_changed(void *opaque)
{
    ((struct test *)opaque)->changed++;
}

static void on_code(void *opaque, u64 gpa, u64 len)
{
    (void)gpa, (void)len;
    ((struct test *)opaque)->written++;
}

static void send(struct test *t, unsigned q, u64 at, u32 len, u16 flags)
{
    rig_desc(&t->r, rig_queue(q), 0, at, len, flags, 0);
    rig_offer(&t->r, q, 0);
    rig_kick(&t->r, q);
}

/* N page numbers from FIRST on, STEP apart. */
static void move(struct test *t, unsigned q, u32 first, int step, u32 n)
{
    for (u32 k = 0; k < n; k++)
        rig_st(&t->r, LIST + 4 * k, first + (u32)((int)k * step), 4);
    send(t, q, LIST, 4 * n, 0);
}

static void touch(struct test *t, u64 gpa, u64 len)
{
    if (!mem_fill(&t->r.mem, gpa, 0xaa, len))
        t->r.b.failures++;
}

static void test_inflate(struct test *t)
{
    struct bench *b = &t->r.b;
    u64 before;
    touch(t, LIST, PAGE_SIZE);
    touch(t, MIB(2), MIB(1));
    before = mem_resident(&t->r.mem);
    mem_frame_set(&t->r.mem, MIB(2) + PAGE_SIZE, FRAME_DECODED);
    move(t, INFLATE, 512, 1, 256);
    CHECK_EQ(b, before - mem_resident(&t->r.mem), MIB(1));
    CHECK_EQ(b, t->b.ballooned, 256);
    CHECK_EQ(b, t->written, 1); /* code of a page that went is void */
    mem_frame_clear(&t->r.mem, MIB(2) + PAGE_SIZE, FRAME_DECODED);
    CHECK_EQ(b, rig_used(&t->r, INFLATE), 1);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2), 8), 0);
    move(t, INFLATE, 767, -1, 256); /* twice, downwards */
    CHECK_EQ(b, t->b.ballooned, 256);
    CHECK_EQ(b, t->b.refused, 0);
    move(t, DEFLATE, 512, 2, 128);
    CHECK_EQ(b, t->b.ballooned, 128);
    move(t, DEFLATE, 512, 2, 128); /* not there any more */
    CHECK_EQ(b, t->b.ballooned, 128);
    move(t, DEFLATE, 513, 2, 128);
    CHECK_EQ(b, t->b.ballooned, 0);
}

static void test_bad_pages(struct test *t)
{
    struct bench *b = &t->r.b;
    u64 end = mem_resident(&t->r.mem), refused = t->b.refused;
    touch(t, MIB(4) - PAGE_SIZE, PAGE_SIZE);
    end = mem_resident(&t->r.mem);
    move(t, INFLATE, 1023, 1, 3); /* the last page, and two behind it */
    CHECK_EQ(b, mem_resident(&t->r.mem), end - PAGE_SIZE);
    CHECK_EQ(b, t->b.ballooned, 1);
    CHECK_EQ(b, t->b.refused, refused + 2);
    move(t, INFLATE, 0xa0, 1, 32); /* the VGA window */
    move(t, INFLATE, 0xffffffff, 0, 1);
    move(t, DEFLATE, 0xfffffffe, 1, 2);
    CHECK_EQ(b, t->b.ballooned, 1);
    CHECK_EQ(b, t->b.refused, refused + 2 + 32 + 1 + 2);
    move(t, DEFLATE, 1023, 1, 1);
    rig_st(&t->r, LIST, 1000, 4);
    send(t, INFLATE, LIST, 7, 0); /* one number and a half */
    CHECK_EQ(b, t->b.ballooned, 1);
    move(t, DEFLATE, 1000, 1, 1);
    /* The number's own page, while the list is read; then everything, rings too. */
    move(t, INFLATE, LIST >> PAGE_SHIFT, 0, 4);
    CHECK_EQ(b, t->b.ballooned, 1);
    rig_desc(&t->r, rig_queue(INFLATE), 0, LIST, 4 * PAGES, 0, 0);
    for (u32 k = 0; k < PAGES; k++)
        rig_st(&t->r, LIST + 4 * k, k, 4);
    rig_offer(&t->r, INFLATE, 0);
    rig_kick(&t->r, INFLATE);
    CHECK_EQ(b, t->b.ballooned, PAGES - 0x20); /* all but the VGA window */
    CHECK(b, mem_resident(&t->r.mem) <= 4 * PAGE_SIZE); /* the used ring was written afterwards */
    rig_restart(&t->r, ALL, QUEUES, 16);
    CHECK_EQ(b, t->b.ballooned, 0);
}

static void test_limits(struct test *t)
{
    struct bench *b = &t->r.b;
    u64 table = rig_queue(INFLATE);
    for (u16 k = 0; k < 3; k++) /* 96 Ki page numbers */
        rig_desc(&t->r, table, k, RIG_DATA, 128 << 10, k < 2 ? RIG_NEXT : 0, k + 1);
    rig_offer(&t->r, INFLATE, 0);
    rig_kick(&t->r, INFLATE);
    CHECK(b, rig_read(&t->r, RIG_STATUS) & NEEDS_RESET);
    rig_restart(&t->r, ALL, QUEUES, 16);
}

static void test_config(struct test *t)
{
    struct bench *b = &t->r.b;
    unsigned before = t->changed, edges = b->wires[0].rises;
    rig_reg(&t->r, 0x64, 3);
    edges = b->wires[0].rises;
    u32 generation = rig_read(&t->r, 0xfc);
    virtio_balloon_set_target(&t->b, MIB(3));
    CHECK_EQ(b, rig_read(&t->r, 0x100), 256);
    CHECK(b, rig_read(&t->r, 0xfc) != generation);
    CHECK_EQ(b, b->wires[0].rises, edges + 1);
    CHECK(b, rig_read(&t->r, 0x60) & 2);
    CHECK_EQ(b, virtio_balloon_actual(&t->b), MIB(4));
    rig_reg(&t->r, 0x104, 256);
    CHECK_EQ(b, t->changed, before + 1);
    CHECK_EQ(b, virtio_balloon_actual(&t->b), MIB(3));
    rig_reg(&t->r, 0x104, 0xffffffff); /* a lie */
    CHECK_EQ(b, virtio_balloon_actual(&t->b), 0);
    rig_reg(&t->r, 0x100, 7); /* not the driver's */
    rig_reg(&t->r, 0x110, 7);
    CHECK_EQ(b, rig_read(&t->r, 0x100), 256);
    virtio_balloon_set_target(&t->b, MIB(400));
    CHECK_EQ(b, rig_read(&t->r, 0x100), 0);
    rig_restart(&t->r, ALL, QUEUES, 16);
    CHECK_EQ(b, virtio_balloon_actual(&t->b), MIB(4));
}

static void test_stats(struct test *t)
{
    struct bench *b = &t->r.b;
    CHECK(b, !virtio_balloon_ask_stats(&t->b));
    rig_st(&t->r, RIG_DATA, BALLOON_AVAILABLE_MEMORY, 2);
    rig_st(&t->r, RIG_DATA + 2, 123456789, 8);
    rig_st(&t->r, RIG_DATA + 10, 999, 2); /* no tag that we know */
    rig_st(&t->r, RIG_DATA + 12, 1, 8);
    send(t, STATS, RIG_DATA, 25, 0); /* the third is cut */
    CHECK_EQ(b, t->b.stats[BALLOON_AVAILABLE_MEMORY], 123456789);
    CHECK_EQ(b, t->b.stats[BALLOON_FREE_MEMORY], ~0ull);
    CHECK_EQ(b, rig_used(&t->r, STATS), 0); /* held */
    CHECK(b, virtio_balloon_ask_stats(&t->b));
    CHECK_EQ(b, rig_used(&t->r, STATS), 1);
    CHECK(b, !virtio_balloon_ask_stats(&t->b));
    send(t, STATS, RIG_DATA, 10, 0);
    send(t, STATS, RIG_DATA, 10, 0); /* a second one gives the first back */
    CHECK_EQ(b, rig_used(&t->r, STATS), 2);
}

static void test_report(struct test *t)
{
    struct bench *b = &t->r.b;
    touch(t, MIB(2), MIB(1));
    u64 before = mem_resident(&t->r.mem);
    send(t, REPORT, MIB(2), MIB(1), RIG_WRITE);
    CHECK_EQ(b, before - mem_resident(&t->r.mem), MIB(1));
    CHECK_EQ(b, t->b.reported_bytes, MIB(1));
    CHECK_EQ(b, t->b.ballooned, 0); /* the guest uses them when it likes */
    touch(t, MIB(2), 3 * PAGE_SIZE);
    send(t, REPORT, MIB(2) + 100, 2 * PAGE_SIZE, RIG_WRITE); /* one whole page */
    CHECK_EQ(b, rig_ld(&t->r, MIB(2), 1), 0xaa);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2) + PAGE_SIZE, 1), 0);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2) + 2 * PAGE_SIZE, 1), 0xaa);
    rig_reg(&t->r, 0x10c, 0xaaaaaaaa); /* the guest checks its free pages */
    send(t, REPORT, MIB(2), PAGE_SIZE, RIG_WRITE);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2), 1), 0xaa);
    rig_reg(&t->r, 0x10c, 0);
    send(t, REPORT, MIB(2), PAGE_SIZE, 0); /* readable: not offered */
    CHECK_EQ(b, rig_ld(&t->r, MIB(2), 1), 0xaa);
}

static void test_hints(struct test *t)
{
    struct bench *b = &t->r.b;
    touch(t, MIB(2), MIB(1));
    send(t, HINT, MIB(2), PAGE_SIZE, RIG_WRITE); /* nobody asked */
    CHECK_EQ(b, rig_ld(&t->r, MIB(2), 1), 0xaa);
    CHECK(b, virtio_balloon_ask_hints(&t->b));
    u32 id = rig_read(&t->r, 0x108);
    CHECK(b, id >= 2);
    rig_st(&t->r, RIG_DATA, id + 1, 4);
    send(t, HINT, RIG_DATA, 4, 0); /* another round's */
    send(t, HINT, MIB(2), PAGE_SIZE, RIG_WRITE);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2), 1), 0xaa);
    rig_st(&t->r, RIG_DATA, id, 4);
    send(t, HINT, RIG_DATA, 4, 0);
    send(t, HINT, MIB(2), PAGE_SIZE, RIG_WRITE);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2), 1), 0);
    CHECK_EQ(b, t->b.hinted_bytes, PAGE_SIZE);
    /* Linux may use a hinted page again once it has told of it: it goes within the notification, or, if nobody told of it in time, not at all. */
    rig_desc(&t->r, rig_queue(HINT), 0, MIB(2) + PAGE_SIZE, PAGE_SIZE, RIG_WRITE, 0);
    rig_offer(&t->r, HINT, 0);
    rig_reg(&t->r, RIG_NOTIFY, HINT);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2) + PAGE_SIZE, 1), 0);
    touch(t, MIB(2) + PAGE_SIZE, PAGE_SIZE);
    bench_step(b, 1000000);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2) + PAGE_SIZE, 1), 0xaa);
    rig_offer(&t->r, HINT, 0);
    virtio_again(&t->b.v, HINT);
    bench_step(b, 1000000);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2) + PAGE_SIZE, 1), 0xaa);
    CHECK_EQ(b, t->b.hinted_bytes, 2 * PAGE_SIZE);
    rig_st(&t->r, RIG_DATA, 0, 4);
    send(t, HINT, RIG_DATA, 4, 0);
    CHECK_EQ(b, rig_read(&t->r, 0x108), 1); /* done */
    send(t, HINT, MIB(2) + PAGE_SIZE, PAGE_SIZE, RIG_WRITE);
    CHECK_EQ(b, rig_ld(&t->r, MIB(2) + PAGE_SIZE, 1), 0xaa);
    rig_restart(&t->r, MODERN, 2, 16);
    CHECK(b, !virtio_balloon_ask_hints(&t->b));
    rig_restart(&t->r, ALL, QUEUES, 16);
}

static void say_round(struct test *t, u32 id)
{
    rig_st(&t->r, RIG_DATA, id, 4);
    send(t, HINT, RIG_DATA, 4, 0);
}

/* The number of a round is never that of the one before, whatever became of it; and the last one that was asked for ends with the pages given back. */
static void test_rounds(struct test *t)
{
    struct bench *b = &t->r.b;
    u32 last = 0;
    for (unsigned n = 0; n < 4; n++) { /* complete ones */
        CHECK(b, virtio_balloon_ask_hints(&t->b));
        u32 id = rig_read(&t->r, 0x108);
        CHECK(b, id >= 2 && id != last);
        say_round(t, last = id);
        say_round(t, 0);
        CHECK_EQ(b, rig_read(&t->r, 0x108), 1);
    }
    for (unsigned n = 0; n < 2; n++) { /* asked again while one is under way */
        CHECK(b, virtio_balloon_ask_hints(&t->b));
        say_round(t, last = rig_read(&t->r, 0x108));
        CHECK(b, virtio_balloon_ask_hints(&t->b));
        u32 id = rig_read(&t->r, 0x108);
        CHECK(b, id >= 2 && id != last);
        say_round(t, 0);
        CHECK_EQ(b, rig_read(&t->r, 0x108), id);
        say_round(t, last = id);
        say_round(t, 0);
        CHECK_EQ(b, rig_read(&t->r, 0x108), 1);
    }
    t->b.hint_last = 0xffffffff;
    CHECK(b, virtio_balloon_ask_hints(&t->b));
    CHECK_EQ(b, rig_read(&t->r, 0x108), 2);
    rig_restart(&t->r, ALL, QUEUES, 16);
    CHECK_EQ(b, rig_read(&t->r, 0x108), 0);
}

/* A request to a device is under way when its page goes: it is written to a new frame. */
static void test_beside_dma(struct test *t)
{
    struct bench *b = &t->r.b;
    touch(t, MIB(3), PAGE_SIZE);
    move(t, INFLATE, MIB(3) >> PAGE_SHIFT, 1, 1);
    rig_st(&t->r, MIB(3) + 8, 77, 8);
    CHECK_EQ(b, rig_ld(&t->r, MIB(3) + 8, 8), 77);
    CHECK_EQ(b, rig_ld(&t->r, MIB(3), 8), 0);
}

static void test_discard(struct test *t)
{
    struct bench *b = &t->r.b;
    struct error e;
    struct mem big;
    CHECK(b, !mem_discard(&t->r.mem, MIB(2) + 1, PAGE_SIZE) && !mem_discard(&t->r.mem, MIB(2), 100));
    CHECK(b, !mem_discard(&t->r.mem, MIB(4), PAGE_SIZE) && !mem_discard(&t->r.mem, 0, MIB(4)));
    CHECK(b, !mem_discard(&t->r.mem, ~0ull & PAGE_MASK, 2 * PAGE_SIZE));
    CHECK(b, mem_discard(&t->r.mem, MIB(2), 0));
    if (mem_init(&big, MIB(3072) + MIB(16), &e) != STATUS_OK) {
        b->failures++;
        return;
    }
    CHECK_EQ(b, mem_resident(&big), 0);
    CHECK(b, mem_fill(&big, MEM_HIGH_BASE, 1, MIB(16)) && mem_resident(&big) == MIB(16));
    CHECK(b, !mem_discard(&big, MEM_HIGH_BASE - PAGE_SIZE, 2 * PAGE_SIZE));
    CHECK(b, mem_discard(&big, MEM_HIGH_BASE, MIB(16)) && !mem_resident(&big));
    mem_destroy(&big);
    CHECK(b, mem_init(&big, MIB(8), &e) == STATUS_OK && mem_prealloc(&big, &e) == STATUS_OK);
    CHECK_EQ(b, mem_resident(&big), MIB(8));
    mem_destroy(&big);
}

static void test_saved(struct test *t)
{
    struct virtio_balloon other = t->b;
    struct bench *b = &t->r.b;
    t->b.actual = 5;
    t->b.hint_id = 9;
    t->b.hint_last = 10;
    CHECK(b, bench_copy(b, &virtio_balloon_ops, &t->b, &other));
    CHECK_EQ(b, other.actual, 5);
    CHECK_EQ(b, other.hint_id, 9);
    CHECK_EQ(b, other.hint_last, 10);
}

int main(void)
{
    static struct test t;
    rig_init(&t.r);
    t.r.mem.code_write = on_code;
    t.r.mem.code_opaque = &t;
    virtio_balloon_init(&t.b, &t.r.wires, on_changed, &t);
    rig_start(&t.r, &t.b.v, ALL, QUEUES, 16);
    test_config(&t);
    test_stats(&t);
    test_inflate(&t);
    test_bad_pages(&t);
    test_limits(&t);
    test_report(&t);
    test_hints(&t);
    test_rounds(&t);
    test_beside_dma(&t);
    test_discard(&t);
    test_saved(&t);
    mem_destroy(&t.r.mem);
    return bench_end(&t.r.b);
}
