/* A counted loop, for measuring instructions per second: `n=ITERATIONS` (default 10 million).
 * An iteration is exactly 10 instructions: integer work, a load, a store, a taken branch. Prints the
 * instructions executed in the loop and a checksum that only those instructions give.
 * `world=32` or `world=64` chooses one; by default both run. */
#include "guest.h"

static uint32_t cell[16];

/* x is an LCG; every result hangs on the one before. */
static uint32_t model(uint32_t n)
{
    uint32_t x = 1, sum = 0;
    memory_set(cell, 0, sizeof(cell));
    do {
        x = x * 1664525u + 1013904223u;
        uint32_t i = x >> 28;
        uint32_t v = cell[i];
        sum = (sum ^ v) + x;
        cell[i] = sum;
    } while (--n);
    return sum;
}

static uint32_t spin(uint32_t n)
{
    uint32_t sum;
    memory_set(cell, 0, sizeof(cell));
    __asm__ volatile("mov $1, %%eax\n"
                     "xor %%esi, %%esi\n"
                     "1: imul $1664525, %%eax, %%eax\n"
                     "add $1013904223, %%eax\n"
                     "mov %%eax, %%edx\n"
                     "shr $28, %%edx\n"
                     "xor (%[cell],%[dx],4), %%esi\n"
                     "add %%eax, %%esi\n"
                     "mov %%esi, (%[cell],%[dx],4)\n"
                     "nop\n"
                     "dec %%ecx\n"
                     "jnz 1b\n"
                     : "=&S"(sum), "+c"(n)
                     : [cell] "D"(cell), [dx] "d"(0ul)
                     : "eax", "memory", "cc");
    return sum;
}

TEST(spin)
{
    uint32_t n = (uint32_t)option_number("n", 10000000);
    if (!n)
        n = 1;
    if (option_number("world", WORLD) != WORLD) {
        skip("the other world is wanted");
        return;
    }
    uint32_t short_run = n < 1000 ? n : 1000;
    CHECK_EQUAL("checksum of the first 1000 iterations", model(short_run), spin(short_run));
    uint64_t start = rdtsc();
    uint32_t sum = spin(n);
    print("spin: %llu instructions, %llu TSC ticks, checksum %08x\n", (u64)n * 10, (u64)(rdtsc() - start),
          sum);
}
