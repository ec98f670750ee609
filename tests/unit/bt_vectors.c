/* vectors_load and vectors_store: every byte of every register, and upper halves that the processor takes for unused where they are zero (XGETBV with ECX = 1,
 * SDM vol. 1, 13.6), without which an Intel host is twenty times slower in code that mixes legacy SSE and VEX. */
#include <cpuid.h>
#include <sys/mman.h>

#include "engine/bt/tr.h"

#include "check.h"

enum { REGISTERS = 16, BYTES = 32, YMM_IN_USE = 4 };

/* Loads from FROM, stores to TO; what XGETBV says between. */
typedef u32 moves(const u8 *from, u8 *to);

static moves *moves_make(struct bt *b)
{
    b->write = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->write == MAP_FAILED)
        return NULL;
    struct emit e = {.b = b, .p = b->write, .limit = b->write + PAGE_SIZE};
    vectors_load(&e, RDI, 0);
    e_mov_imm32(&e, RCX, 1);
    e8(&e, 0x0f), e8(&e, 0x01), e8(&e, 0xd0); /* XGETBV */
    vectors_store(&e, RSI, 0);
    e8(&e, 0xc3);
    if (mprotect(b->write, PAGE_SIZE, PROT_READ | PROT_EXEC) < 0)
        return NULL;
    union {
        u8 *p;
        moves *fn;
    } code = {.p = b->write};
    return code.fn;
}

/* The processor may say "in use" of what is not. */
static bool in_use_is_told(void)
{
    u32 a, b, c, d;
    if (!__get_cpuid_count(13, 1, &a, &b, &c, &d) || !(a & 4))
        return false;
    __asm__ volatile("vzeroupper; xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    return !(a & YMM_IN_USE);
}

static void test_values(moves *run, bool told)
{
    u8 from[REGISTERS][BYTES], to[REGISTERS][BYTES];
    for (unsigned k = 0; k < REGISTERS; k++)
        for (unsigned n = 0; n < BYTES; n++)
            from[k][n] = n < 16 ? (u8)(k * 17 + n + 1) : 0;
    memset(to, 0xee, sizeof to);
    u32 use = run(&from[0][0], &to[0][0]);
    CHECK(!memcmp(from, to, sizeof to));
    CHECK(!told || !(use & YMM_IN_USE));
    for (unsigned k = 0; k < REGISTERS; k++)
        for (unsigned n = 16; n < BYTES; n++) {
            from[k][n] = 0x80;
            memset(to, 0xee, sizeof to);
            use = run(&from[0][0], &to[0][0]);
            CHECK(!memcmp(from, to, sizeof to));
            CHECK(!told || use & YMM_IN_USE);
            from[k][n] = 0;
        }
}

int main(void)
{
    if (!__builtin_cpu_supports("avx2")) {
        printf("skipped: the host has no AVX2\n");
        return 77;
    }
    if (!in_use_is_told())
        printf("the host does not say which state is in use: values alone\n");
    struct bt *b = calloc(1, sizeof *b);
    moves *run = b ? moves_make(b) : NULL;
    CHECK(run);
    if (run)
        test_values(run, in_use_is_told());
    free(b);
    return check_done();
}
