/* For the tests of page sharing: 1024 pages of known contents, verified again and again while a few of them change. Prints `pass N` for each time that all were as they
 * were written, until a byte comes in at COM1; `wrong: ...` and a failure for a page that is not.
 * Of four pages one is like many others, one like the same page of another guest, one zero, and one nobody else's. */
#include "guest.h"

#define COM1   0x3f8
#define PAGES  1024u
#define WORDS  (PAGE_SIZE / 4)
#define ALIKE  64u
#define CHANGE 4u /* pages in a pass */

static uint32_t *const arena = (uint32_t *)(4 * MiB);
/* What was altered in a page: one word, exclusive-ored with `by`; 0: nothing. */
static struct {
    uint32_t at, by;
} altered[PAGES];
static uint32_t seed, state;

static uint32_t next(uint32_t *x)
{
    return *x = *x * 1664525u + 1013904223u;
}

static uint32_t first_of(uint32_t page)
{
    return page % 4 == 0 ? page % ALIKE : page % 4 == 1 ? 0x10000000 + page : seed + page * 2654435761u;
}

static void fill(uint32_t page)
{
    uint32_t x = first_of(page), *to = arena + page * WORDS;
    for (uint32_t i = 0; i < WORDS; i++)
        to[i] = page % 4 == 2 ? 0 : next(&x);
    altered[page].by = 0;
}

static bool verify(uint32_t page)
{
    uint32_t x = first_of(page);
    const uint32_t *from = arena + page * WORDS;
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t want = page % 4 == 2 ? 0 : next(&x);
        if (altered[page].by && altered[page].at == i)
            want ^= altered[page].by;
        if (from[i] != want) {
            print("wrong: page %u, word %u is %x, not %x\n", page, i, from[i], want);
            return false;
        }
    }
    return true;
}

static void change(uint32_t page)
{
    if (altered[page].by) {
        fill(page);
        return;
    }
    altered[page].at = next(&state) >> 22;
    altered[page].by = next(&state) | 1;
    arena[page * WORDS + altered[page].at] ^= altered[page].by;
}

void guest_begin(void)
{
    outb(COM1 + 1, 1); /* who wants received bytes told is given them */
    state = seed = (uint32_t)rdtsc();
    for (uint32_t i = 0; i < PAGES; i++)
        fill(i);
    for (uint32_t pass = 1; !(inb(COM1 + 5) & 1); pass++) {
        for (uint32_t i = 0; i < PAGES; i++)
            if (!verify(i))
                exit_with(STATUS_FAIL);
        for (uint32_t i = 0; i < CHANGE; i++)
            change(next(&state) >> 22);
        print("pass %u\n", pass);
    }
    exit_with(STATUS_PASS);
}
