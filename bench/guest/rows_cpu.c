/* Rows that are computation alone: what a translator should leave at the processor's own speed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"

#define CALLS    16
#define NOINLINE __attribute__((noinline, noclone))

/* Sixteen functions in an order that does not repeat soon. */
#define CALLEE(k)                                                                                            \
    static NOINLINE uint64_t callee_##k(uint64_t v)                                                          \
    {                                                                                                        \
        return v * (2 * k + 1) + k;                                                                          \
    }
CALLEE(0)
CALLEE(1)
CALLEE(2) CALLEE(3) CALLEE(4) CALLEE(5) CALLEE(6) CALLEE(7) CALLEE(8) CALLEE(9) CALLEE(10) CALLEE(11)
    CALLEE(12) CALLEE(13) CALLEE(14) CALLEE(15) static uint64_t (*volatile callee[CALLS])(uint64_t) = {
        callee_0, callee_1, callee_2,  callee_3,  callee_4,  callee_5,  callee_6,  callee_7,
        callee_8, callee_9, callee_10, callee_11, callee_12, callee_13, callee_14, callee_15,
};

static bool indirect_run(uint64_t n)
{
    uint64_t v = 1;
    uint32_t order = 1;
    for (; n; n--) {
        order = order * 1664525 + 1013904223;
        v = callee[order >> 28](v);
    }
    sink(v);
    return true;
}

static NOINLINE uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static bool fib_run(uint64_t n)
{
    for (; n; n--)
        if (fib(25) != 75025)
            return false;
    return true;
}

#define SIEVE 2000000
static uint8_t composite[SIEVE];
static bool sieve_run(uint64_t n)
{
    unsigned primes = 0;
    for (; n; n--) {
        memset(composite, 0, sizeof composite);
        primes = 0;
        for (unsigned k = 2; k < SIEVE; k++) {
            if (composite[k])
                continue;
            primes++;
            for (uint64_t m = (uint64_t)k * k; m < SIEVE; m += k)
                composite[m] = 1;
        }
    }
    return primes == 148933;
}

/* One cycle through 1 MiB of cache lines: the same on every run. */
#define LINKS (1 << 14)
struct link {
    struct link *next;
    uint64_t pad[7];
};
static struct link *links;
static bool chase_prepare(const struct setting *s)
{
    (void)s;
    if (links)
        return true;
    links = aligned_alloc(64, LINKS * sizeof *links);
    uint32_t *order = malloc(LINKS * sizeof *order);
    if (!links || !order)
        return false;
    for (uint32_t k = 0; k < LINKS; k++)
        order[k] = k;
    uint64_t r = 1;
    for (uint32_t k = LINKS - 1; k; k--) {
        r = r * 6364136223846793005ull + 1442695040888963407ull;
        uint32_t other = (uint32_t)(r >> 33) % (k + 1), t = order[k];
        order[k] = order[other];
        order[other] = t;
    }
    for (uint32_t k = 0; k < LINKS; k++)
        links[order[k]].next = &links[order[(k + 1) % LINKS]];
    free(order);
    return true;
}

static bool chase_run(uint64_t n)
{
    const struct link *at = links;
    for (; n; n--)
        at = *(struct link *const volatile *)&at->next;
    sink((uint64_t)(uintptr_t)at);
    return true;
}

/* Random updates all over 64 MiB: 16,384 pages, where a processor's TLB has some 2,000 entries. */
#define UPDATES (1 << 23)
static uint64_t *table;
static bool gups_prepare(const struct setting *s)
{
    (void)s;
    if (!table)
        table = malloc(UPDATES * sizeof *table);
    for (uint32_t k = 0; table && k < UPDATES; k++)
        table[k] = k;
    return table;
}

static bool gups_run(uint64_t n)
{
    for (uint64_t r = 1; n; n--) {
        r = r << 1 ^ ((int64_t)r < 0 ? 7 : 0);
        table[r * 0x9e3779b97f4a7c15ull >> 41] ^= r;
    }
    return true;
}

#define BLOCK (1 << 20)
static uint8_t from[BLOCK], to[BLOCK];
static bool memcpy_run(uint64_t n)
{
    for (; n; n--) {
        from[n % BLOCK]++;
        memcpy(to, from, BLOCK);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    return !memcmp(from, to, BLOCK);
}

#define SIDE 200
static double ma[SIDE][SIDE], mb[SIDE][SIDE], mc[SIDE][SIDE];
static bool matrix_prepare(const struct setting *s)
{
    (void)s;
    for (int i = 0; i < SIDE; i++)
        for (int k = 0; k < SIDE; k++) {
            ma[i][k] = i + k;
            mb[i][k] = i == k ? 2 : 0;
        }
    return true;
}

static bool matrix_run(uint64_t n)
{
    for (; n; n--) {
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++) {
                double sum = 0;
                for (int k = 0; k < SIDE; k++)
                    sum += ma[i][k] * mb[k][j];
                mc[i][j] = sum;
            }
        __asm__ volatile("" : : "r"(mc) : "memory");
    }
    return mc[3][4] == 14;
}

static bool sin_run(uint64_t n)
{
    double sum = 0, x = 0.1;
    for (; n; n--) {
        sum += sin(x);
        x = x < 1000 ? x + 0.37 : 0.1;
    }
    sink((uint64_t)(int64_t)(sum * 1000));
    return isfinite(sum);
}

const struct row rows_cpu[] = {
    {.name = "indirect", .unit = "indirect call, one of 16", .run = indirect_run},
    {.name = "fib", .unit = "fib(25), recursive", .run = fib_run},
    {.name = "sieve", .unit = "sieve of 2 million", .run = sieve_run},
    {.name = "chase", .unit = "step through a list of 1 MiB", .prepare = chase_prepare, .run = chase_run},
    {.name = "gups", .unit = "random update in 64 MiB", .prepare = gups_prepare, .run = gups_run, .asked = true},
    {.name = "memcpy", .unit = "memcpy of 1 MiB", .run = memcpy_run},
    {.name = "matrix", .unit = "200x200 double matrix product", .prepare = matrix_prepare, .run = matrix_run},
    {.name = "sin", .unit = "sin()", .run = sin_run},
    {0},
};
