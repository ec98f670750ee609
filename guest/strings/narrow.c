/* REP under an address-size prefix, interrupted by a fault in the middle: only the narrow part of CX, SI, DI
 * counts and moves; 16 bits leave the rest, 32 bits clear it. Upwards and downwards, each size, each
 * iteration. SDM 1 3.3.7, 7.3.9.2. */
#include "paging.h"

/* The window again, low enough for the narrow registers. World 64: at 1 GiB. World 32: through ES and DS with
 * a base. */
#ifdef __x86_64__
#define NEAR  0x40000000ul
#define UPPER 0xabcdef0100000000ul
#define HIGH  0xffffffff00000000ul
#else
#define NEAR  0ul
#define UPPER 0xabcd0000ul
#define HIGH  0xffff0000ul
#endif
enum { COUNT_ALL = 9 };

static void map(void)
{
    paging_on(PAGES_NATIVE, 0);
#ifdef __x86_64__
    u64 *root = (u64 *)paging_root(), *pdpt = (u64 *)(word)(root[0] & ~0xffful);
    pdpt[1] = entry_get(3, 0);
    flush();
#else
    descriptor_set(SEL_FREE, WINDOW, 0xffff, SEG_DATA | SEG_W, SEG_B);
#endif
}

static void segments(struct context *c)
{
#ifndef __x86_64__
    c->ds = c->es = SEL_FREE;
#else
    (void)c;
#endif
}

/* A register after it was moved to VALUE by at least one iteration, or by none. */
static word moved(word value, bool any)
{
    if (WORLD == 64 && any)
        return value;
    return (value & ~HIGH) | UPPER;
}

static void one(const char *what, const struct snip *s, unsigned size, bool down, unsigned before, bool si,
                bool di)
{
    struct context c;
    unsigned there = down ? 2 : 1, missing = down ? 1 : 2;
    word border = NEAR + 2 * PAGE_SIZE, step = down ? (word)0 - size : size;
    word at = down ? border + (before - 1) * size : border - before * size,
         other = NEAR + 4 * PAGE_SIZE + 512;
    if (down && !before)
        at = border - size;
    entry_set(1, there, FRAME(there) | PTE_P | PTE_W);
    entry_set(1, missing, 0);
    entry_set(1, 4, FRAME(4) | PTE_P | PTE_W);
    flush();
    memory_set(frames[1], 0, PAGE_SIZE);
    memory_set(frames[2], 0, PAGE_SIZE);
    memory_set(frames[4], 0, PAGE_SIZE);
    context_set(&c, s);
    segments(&c);
    c.cx = UPPER | COUNT_ALL;
    c.si = UPPER | (si && !di ? at : other);
    c.di = UPPER | (di ? at : other);
    c.flags |= down ? FLAG_DF : 0;
    word first_si = c.si & ~HIGH, first_di = c.di & ~HIGH;
    write_cr2(0);
    context_run(&c);
    CHECK_EQUAL(what, PF, c.vector);
    CHECK_EQUAL("IP", s->start, c.ip);
    CHECK_EQUAL("CR2",
                (WORLD == 64 ? 0 : WINDOW) + (down && before ? border - size
                                              : down         ? at
                                                             : border),
                c.cr2);
    CHECK_EQUAL("CX", moved(COUNT_ALL - before, before), c.cx);
    CHECK_EQUAL("SI", si ? moved(first_si + before * step, before) : UPPER | first_si, c.si);
    CHECK_EQUAL("DI", di ? moved(first_di + before * step, before) : UPPER | first_di, c.di);
    entry_set(1, missing, FRAME(missing) | PTE_P | PTE_W);
    context_run(&c);
    CHECK_EXIT("resumed", &c, EXIT, NO_ERROR, s->end + 2);
    CHECK_EQUAL("CX is 0", moved(0, true), c.cx);
    CHECK_EQUAL("SI at the end", si ? moved(first_si + COUNT_ALL * step, true) : UPPER | first_si, c.si);
    CHECK_EQUAL("DI at the end", di ? moved(first_di + COUNT_ALL * step, true) : UPPER | first_di, c.di);
}

TEST(narrow_progress)
{
#define NARROW(insn) SNIP(".byte 0x67; " insn)
    struct {
        const char *what;
        const struct snip *s;
        unsigned size;
        bool si, di;
    } table[] = {
        {"REP MOVSB", NARROW("rep movsb"), 1, true, true},
        {"REP MOVSW", NARROW("rep movsw"), 2, true, true},
        {"REP MOVSL", NARROW("rep movsl"), 4, true, true},
        {"REP STOSB", NARROW("rep stosb"), 1, false, true},
        {"REP STOSL", NARROW("rep stosl"), 4, false, true},
        {"REP LODSW", NARROW("rep lodsw"), 2, true, false},
        {"REPE SCASB", NARROW("repe scasb"), 1, false, true},
        {"REPE CMPSL", NARROW("repe cmpsl"), 4, true, true},
#ifdef __x86_64__
        {"REP MOVSQ", NARROW("rep movsq"), 8, true, true},
        {"REP STOSQ", NARROW("rep stosq"), 8, false, true},
#endif
    };
    map();
    for (unsigned i = 0; i < COUNT(table); i++) {
        for (unsigned before = 1; before < COUNT_ALL; before++) {
            one(table[i].what, table[i].s, table[i].size, false, before, table[i].si, table[i].di);
            one(table[i].what, table[i].s, table[i].size, true, before, table[i].si, table[i].di);
        }
    }
    paging_off();
}

/* A narrow register that wraps in the middle: 64 KiB or 4 GiB are the ring it runs in. */
TEST(narrow_wrap)
{
    struct context c;
    const struct snip *s = SNIP(".byte 0x67; rep stosb");
    map();
#ifndef __x86_64__
    for (unsigned n = 0; n < 16; n++)
        entry_set(1, n, FRAME(n) | PTE_P | PTE_W);
    flush();
    memory_set(frames[15], 0, PAGE_SIZE);
    memory_set(frames[0], 0, PAGE_SIZE);
    context_set(&c, s);
    segments(&c);
    c.di = UPPER | 0xfffe;
    c.cx = UPPER | 4;
    c.ax = 0x5a;
    RUN_THROUGH("DI wraps at 64 KiB", s, &c);
    CHECK_EQUAL("DI", UPPER | 2, c.di);
    CHECK_EQUAL("written at the end", 0x5a5a, *(uint16_t *)(void *)(frames[15] + 4094));
    CHECK_EQUAL("and at the beginning", 0x5a5a, *(uint16_t *)(void *)frames[0]);
#else
    /* The top of 4 GiB is not mapped here: the first iteration faults, registers as they were. */
    context_set(&c, s);
    c.di = UPPER | 0xfffffffe;
    c.cx = UPPER | 4;
    RUN_FAULT("EDI at the top of 4 GiB", s, &c, PF, PF_W);
    CHECK_EQUAL("CR2", 0xfffffffe, c.cr2);
    u64 *root = (u64 *)paging_root(), *pdpt = (u64 *)(word)(root[0] & ~0xffful);
    static u64 pd[512] ALIGNED(4096), pt[512] ALIGNED(4096);
    pt[511] = FRAME(5) | PTE_P | PTE_W;
    pd[511] = ADDR(pt) | PTE_ALL;
    pdpt[3] = ADDR(pd) | PTE_ALL;
    flush();
    uint16_t low = *(volatile uint16_t *)16;
    context_set(&c, s);
    c.di = UPPER | 0xfffffffe;
    c.cx = UPPER | 2;
    c.ax = 0x5a;
    RUN_THROUGH("up to the top", s, &c);
    CHECK_EQUAL("EDI wraps to 0", 0, c.di);
    CHECK_EQUAL("RCX", 0, c.cx);
    CHECK_EQUAL("written at the end", 0x5a5a, *(uint16_t *)(void *)(frames[5] + 4094));
    CHECK_EQUAL("nothing else", low, *(volatile uint16_t *)16);
#endif
    paging_off();
}
