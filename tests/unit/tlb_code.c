/* What a flush of one page makes void of what was looked up for code: all of it when code was fetched from that page, and hardly ever when not.
 * A filter that takes a data page for a code page makes a guest look up its whole kernel after each of that page's flushes. */
#include "check.h"

#include <stdlib.h>

#include "base/bits.h"
#include "cpu/tlb.h"

enum { SMALL = 400, LARGE = 12, OTHERS = 100000 };

static u64 seed = 1;

static u64 random64(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

/* User pages all over the lower half; a kernel's text in one piece. */
static u64 small_page(unsigned n)
{
    return (u64)n * 0x1234567ull << PAGE_SHIFT & 0x7fffffffffffull;
}

static u64 large_page(unsigned n)
{
    return 0xffffffff81000000ull + n * MIB(2);
}

static void mark_all(struct cpu *c)
{
    c->cpl = 3;
    for (unsigned n = 0; n < SMALL; n++)
        tlb_mark_code(c, small_page(n), 0);
    c->cpl = 0;
    for (unsigned n = 0; n < LARGE; n++)
        for (unsigned k = 0; k < 8; k++)
            tlb_mark_code(c, large_page(n) + k * PAGE_SIZE, TLB_SIZE_2M | TLB_GLOBAL);
}

static u64 generation(struct cpu *c, u8 cpl)
{
    c->cpl = cpl;
    return tlb_code_generation(c);
}

/* Flushes LIN's page; which code it renewed. */
static void flush(struct cpu *c, u64 lin, bool *user, bool *kernel)
{
    u64 u = generation(c, 3), k = generation(c, 0);
    tlb_invlpg(c, lin);
    *user = generation(c, 3) != u;
    *kernel = generation(c, 0) != k;
    if (*user || *kernel)
        mark_all(c);
}

static void test_own_pages(struct cpu *c)
{
    unsigned missed = 0;
    bool user, kernel;
    for (unsigned n = 0; n < SMALL; n++) {
        flush(c, small_page(n) + 5, &user, &kernel);
        missed += !user;
    }
    for (unsigned n = 0; n < LARGE; n++) {
        flush(c, large_page(n) + MIB(1) + 123, &user, &kernel); /* all of a large page goes */
        missed += !kernel;
    }
    CHECK_EQ(missed, 0);
}

static void test_other_pages(struct cpu *c)
{
    unsigned users = 0, kernels = 0;
    bool user, kernel;
    for (unsigned n = 0; n < OTHERS; n++) {
        flush(c, random64() & 0x7ffffffff000ull, &user, &kernel);
        users += user;
        kernels += kernel;
    }
    CHECK(users < OTHERS / 50);
    CHECK_EQ(kernels, 0);
}

/* An epoch outlives the flush of a small page, which is named; not that of a large one. */
static void test_epoch(struct cpu *c)
{
    const struct tlb *t = c->tlb;
    mark_all(c);
    c->cpl = 3;
    u64 user = tlb_code_epoch(c), n = t->dropped_n;
    tlb_invlpg(c, small_page(7) + 5);
    CHECK_EQ(tlb_code_epoch(c), user);
    CHECK_EQ(t->dropped_n, n + 1);
    CHECK_EQ(t->dropped[n % TLB_DROPPED], small_page(7));
    tlb_invpcid_page(c, 0, small_page(8) + 9);
    CHECK_EQ(t->dropped[(n + 1) % TLB_DROPPED], small_page(8));
    c->cpl = 0;
    u64 kernel = tlb_code_epoch(c);
    tlb_invlpg(c, large_page(3) + MIB(1));
    CHECK(tlb_code_epoch(c) != kernel);
    c->cpl = 3;
    CHECK_EQ(tlb_code_epoch(c), user);
    tlb_flush_nonglobal(c);
    CHECK(tlb_code_epoch(c) != user);
    /* What was fetched from a large page is not forgotten with a small one's generation. */
    tlb_mark_code(c, MIB(64), TLB_SIZE_2M);
    tlb_mark_code(c, small_page(9), 0);
    tlb_invlpg(c, small_page(9));
    user = tlb_code_epoch(c);
    tlb_invlpg(c, MIB(64) + 0x5000);
    CHECK(tlb_code_epoch(c) != user);
}

/* More large pages than are told apart, and pages larger than those: each flush in their half concerns them. */
static void test_too_many(struct cpu *c)
{
    tlb_flush_all(c);
    c->cpl = 0;
    for (unsigned n = 0; n <= TLB_CODE_LARGE; n++)
        tlb_mark_code(c, large_page(n), TLB_SIZE_2M | TLB_GLOBAL);
    u64 before = generation(c, 0);
    tlb_invlpg(c, large_page(1000));
    CHECK(generation(c, 0) != before);
    tlb_mark_code(c, GIB(1) + 0x5000, TLB_SIZE_1G | TLB_GLOBAL);
    before = generation(c, 0);
    tlb_invlpg(c, 2 * GIB(1) - 1);
    CHECK(generation(c, 0) != before);
}

int main(void)
{
    struct cpu *c = aligned_alloc(64, align_up(sizeof *c, 64));
    if (!c)
        return 1;
    memset(c, 0, sizeof *c);
    CHECK((c->tlb = tlb_create()) != NULL);
    mark_all(c);
    test_own_pages(c);
    test_other_pages(c);
    test_epoch(c);
    test_too_many(c);
    tlb_destroy(c->tlb);
    free(c);
    return check_done();
}
