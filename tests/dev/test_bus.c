/* The register buses: overlap, order, splitting, widening, holes, the ends of the space. */
#include "bench.h"

struct ram {
    u8 bytes[64];
    unsigned reads, writes;
    u64 last_off;
    unsigned last_size;
};

static u64 ram_get(void *opaque, u64 off, unsigned size)
{
    struct ram *r = opaque;
    u64 v = 0;
    r->reads++;
    r->last_off = off;
    r->last_size = size;
    for (unsigned i = 0; i < size; i++)
        v |= (u64)r->bytes[off + i] << (8 * i);
    return v | (size < 8 ? ~0ull << (8 * size) : 0); /* rubbish above: the bus cuts it */
}

static void ram_put(void *opaque, u64 off, unsigned size, u64 value)
{
    struct ram *r = opaque;
    r->writes++;
    r->last_off = off;
    r->last_size = size;
    for (unsigned i = 0; i < size; i++)
        r->bytes[off + i] = (u8)(value >> (8 * i));
}

static void test_map(struct bench *b)
{
    static const struct bus_ops byte = {ram_get, ram_put, 1, 1}, wrong = {ram_get, ram_put, 3, 4},
                                upside_down = {ram_get, ram_put, 4, 2}, word = {ram_get, ram_put, 4, 4};
    static struct bus bus;
    struct ram r = {0};
    struct error e;
    bus_init(&bus, "test", 0x1000);
    CHECK(b, !bus_add(&bus, "b", 0x100, 16, &byte, &r, &e));
    CHECK(b, !bus_add(&bus, "a", 0x80, 16, &byte, &r, &e));
    CHECK(b, !bus_add(&bus, "c", 0x110, 16, &byte, &r, &e));
    CHECK(b, !bus_add(&bus, "end", 0xff0, 16, &byte, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0x10f, 1, &byte, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0xf0, 17, &byte, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0x0, 0x1000, &byte, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0x108, 4, &byte, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0xf00, 0x101, &byte, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0x200, 0, &byte, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0xfff, ~0ull, &byte, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0x200, 16, &wrong, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0x200, 16, &upside_down, &r, &e));
    CHECK(b, bus_add(&bus, "x", 0x200, 6, &word, &r, &e));
    CHECK_EQ(b, bus.count, 4);
    for (size_t n = 1; n < bus.count; n++)
        CHECK(b, bus.regions[n - 1].base < bus.regions[n].base);
    bus_remove(&bus, 0x101);
    CHECK_EQ(b, bus.count, 4);
    bus_remove(&bus, 0x100);
    CHECK_EQ(b, bus.count, 3);
    CHECK(b, !bus_add(&bus, "again", 0x90, 0x80, &byte, &r, &e));
    for (u64 at = 0x300; !bus_add(&bus, "many", at, 1, &byte, &r, &e); at += 2)
        ;
    CHECK_EQ(b, bus.count, BUS_MAX_REGIONS);
}

static void test_access(struct bench *b)
{
    static const struct bus_ops byte = {ram_get, ram_put, 1, 1}, any = {ram_get, ram_put, 1, 8},
                                word = {ram_get, ram_put, 4, 4};
    static struct bus bus;
    struct ram r = {0};
    struct error e;
    bus_init(&bus, "test", 0x10000);
    for (unsigned n = 0; n < 64; n++)
        r.bytes[n] = (u8)n;
    CHECK(b, !bus_add(&bus, "bytes", 0x100, 16, &byte, &r, &e));
    CHECK(b, !bus_add(&bus, "any", 0x200, 16, &any, &r, &e));
    CHECK(b, !bus_add(&bus, "words", 0x300, 16, &word, &r, &e));
    CHECK(b, !bus_add(&bus, "end", 0xfffe, 2, &byte, &r, &e));
    CHECK(b, !bus_add(&bus, "start", 0, 16, &byte, &r, &e));

    CHECK_EQ(b, bus_read(&bus, 0x104, 4), 0x07060504);
    CHECK_EQ(b, r.reads, 4);
    CHECK_EQ(b, bus_read(&bus, 0x208, 8), 0x0f0e0d0c0b0a0908);
    CHECK_EQ(b, r.reads, 5);
    CHECK_EQ(b, bus_read(&bus, 0x203, 4), 0x06050403); /* natural alignment: 1 + 2 + 1 */
    CHECK_EQ(b, r.reads, 8);
    CHECK_EQ(b, bus_read(&bus, 0x302, 1), 2); /* widened and cut */
    CHECK_EQ(b, r.last_off << 8 | r.last_size, 4);
    CHECK_EQ(b, bus_read(&bus, 0x302, 4), 0x05040302);
    CHECK_EQ(b, bus.holes, 0);
    bus_write(&bus, 0x302, 2, 0xffff); /* too small: dropped */
    CHECK_EQ(b, r.writes, 0);
    CHECK_EQ(b, bus.holes, 1);
    bus_write(&bus, 0x304, 8, 0x1122334455667788);
    CHECK_EQ(b, r.writes, 2);
    CHECK_EQ(b, bus_read(&bus, 0x304, 8), 0x1122334455667788);
    bus_write(&bus, 0x100, 2, 0xaabb);
    CHECK_EQ(b, r.bytes[0] << 8 | r.bytes[1], 0xbbaa);

    CHECK_EQ(b, bus_read(&bus, 0x10f, 4), 0xffffff0f); /* over the edge */
    CHECK_EQ(b, bus_read(&bus, 0xff, 2), 0xbbff);
    CHECK_EQ(b, bus_read(&bus, 0x500, 8), ~0ull);
    CHECK_EQ(b, bus_read(&bus, 0xfffe, 4), 0xffffaabb); /* past the end of the space */
    CHECK_EQ(b, bus_read(&bus, ~0ull, 8), ~0ull);
    CHECK_EQ(b, bus_read(&bus, ~0ull - 3, 8), ~0ull);
    bus_write(&bus, ~0ull - 3, 8, 0);
    CHECK_EQ(b, bus.holes, 8);
}

int main(void)
{
    static struct bench b;
    bench_init(&b);
    test_map(&b);
    test_access(&b);
    return bench_end(&b);
}
