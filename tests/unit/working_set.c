/* Sampling which pages are in use: what is accessed comes back, and with its contents; what shows the pool is left alone; how the averages go. */
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "machine/working_set.h"
#include "mem/foreign.h"
#include "mem/sample.h"

#define SECOND 1000000000ull
#define SIZE   MIB(65)
#define USED   MIB(64) /* from 1 MiB on: what is sampled */

/* An access of a page's that the compiler keeps. */
static u8 touch(const struct mem *m, u64 gpa)
{
    return *(volatile u8 *)(m->base + gpa);
}

/* Every page of the first PART sixteenths is accessed, in an order in which no fault brings a neighbour: writes. */
static void use(struct mem *m, unsigned part)
{
    for (u64 at = 0; at < USED / 16 * part; at += PAGE_SIZE) {
        volatile u8 *p = m->base + MIB(1) + at;
        *p = *p;
    }
}

static void open_mem(struct mem *m, int *pool)
{
    struct error e;
    CHECK_EQ(mem_init(m, SIZE, &e), STATUS_OK);
    *pool = memfd_create("pool", MFD_CLOEXEC);
    CHECK(*pool >= 0 && ftruncate(*pool, MIB(1)) == 0);
    CHECK_EQ(mem_foreign_init(m, *pool, &e), STATUS_OK);
}

static void test_page(void)
{
    struct mem m;
    int pool;
    open_mem(&m, &pool);
    CHECK(!mem_sample_hide(&m, MIB(2))); /* a hole, and stays one */
    CHECK_EQ(lseek(m.fd, 0, SEEK_DATA), -1);
    CHECK(mem_write(&m, MIB(2), "kept", 4));
    CHECK(mem_sample_back(&m, MIB(2)));
    CHECK(mem_sample_hide(&m, MIB(2)));
    CHECK(!mem_sample_back(&m, MIB(2)));
    char text[4] = {0};
    CHECK_EQ(pread(pool, text, 4, 0), 4);
    CHECK_EQ(pwrite(pool, "pool", 4, 0), 4);
    CHECK(mem_read(&m, MIB(2), text, 4) && !memcmp(text, "kept", 4));
    CHECK(mem_sample_back(&m, MIB(2)));
    CHECK(mem_sample_hide(&m, MIB(2)));
    CHECK_EQ(pread(pool, m.base + MIB(2), 4, 0), 4); /* the kernel, as for a device */
    CHECK(mem_sample_back(&m, MIB(2)) && !memcmp(m.base + MIB(2), "pool", 4));
    CHECK(mem_foreign_map(&m, MIB(2), 0, 1));
    mem_foreign_settle(&m, MIB(2), 1);
    CHECK(mem_write(&m, MIB(2), "copy", 4)); /* of this process alone */
    CHECK(!mem_sample_hide(&m, MIB(2)));
    CHECK(!memcmp(m.base + MIB(2), "copy", 4));
    mem_destroy(&m);
    close(pool);
}

static bool about(u64 bytes, u64 of, u64 sixteenths)
{
    return bytes + of / 6 > of / 16 * sixteenths && bytes < of / 16 * sixteenths + of / 6; /* four deviations of 128 samples */
}

static void test_averages(void)
{
    struct mem m;
    struct working_set w = {0};
    int pool;
    open_mem(&m, &pool);
    CHECK(mem_fill(&m, MIB(1), 0x5a, USED));
    u64 now = SECOND;
    working_set_look(&w, &m, now);
    CHECK_EQ(w.n, WORKING_SET_SAMPLES);
    CHECK_EQ(working_set_bytes(&w, USED), USED); /* nothing is known */
    CHECK(working_set_has(&w, w.gpa[0]) && working_set_has(&w, w.gpa[w.n - 1]) && !working_set_has(&w, 0));
    use(&m, 4);
    working_set_look(&w, &m, now += 5 * SECOND);
    CHECK_EQ(working_set_bytes(&w, USED), USED);
    working_set_look(&w, &m, now += 6 * SECOND);
    CHECK(about(working_set_bytes(&w, USED), USED, 4));
    use(&m, 16); /* it wakes: believed within the period */
    working_set_look(&w, &m, now += SECOND);
    CHECK(about(working_set_bytes(&w, USED), USED, 16));
    for (int i = 0; i < 3; i++) { /* it sleeps: doubted, but less and less */
        u64 before = working_set_bytes(&w, USED);
        working_set_look(&w, &m, now += 11 * SECOND);
        working_set_look(&w, &m, now += SECOND);
        CHECK(i == 0 || working_set_bytes(&w, USED) < before);
    }
    for (int i = 0; i < 40; i++)
        working_set_look(&w, &m, now += 11 * SECOND);
    CHECK(working_set_bytes(&w, USED) < USED / 50);
    for (u64 at = MIB(1); at < MIB(1) + USED; at += PAGE_SIZE)
        CHECK(touch(&m, at) == 0x5a);
    mem_destroy(&m);
    close(pool);
}

/* A guest that has hardly touched its memory: all of that counts. */
static void test_few(void)
{
    struct mem m;
    struct working_set w = {0};
    int pool;
    open_mem(&m, &pool);
    CHECK(mem_fill(&m, MIB(3), 1, 4 * PAGE_SIZE));
    for (u64 now = SECOND; now < 60 * SECOND; now += 11 * SECOND)
        working_set_look(&w, &m, now);
    CHECK_EQ(working_set_bytes(&w, 4 * PAGE_SIZE), 4 * PAGE_SIZE);
    mem_destroy(&m);
    close(pool);
}

int main(void)
{
    test_page();
    test_averages();
    test_few();
    return check_done();
}
