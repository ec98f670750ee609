/* For the tests of the translator: the textbook's piece of kernel code, whose address it prints, and programs
 * that write their own code page in a loop, as a JIT does: `n=` times (default 2000). */
#include "guest.h"

__asm__(".text\n"
        ".p2align 6\n"
        ".globl textbook\n"
        "textbook: mov %rax, %rbx; cli; and $~0xfff, %rbx; mov %rbx, %cr3; sti; ret\n"
        "textbook_end: nop\n");
void textbook(void);
extern const uint8_t textbook_end[];

TEST(textbook)
{
    uint64_t cr3 = read_cr3(), rbx;
    print("textbook at 0x%llx, %llu bytes\n", (u64)ADDR(textbook),
          (u64)(ADDR(textbook_end) - ADDR(textbook)));
    __asm__ volatile("call textbook; cli" : "=&b"(rbx) : "a"(cr3 | 0x555) : "memory", "cc");
    CHECK_EQUAL("RBX", cr3 & ~0xfffull, rbx);
}

/* A function, data and another function in one page: what is written again and again, and what runs. */
static uint8_t page[4096] ALIGNED(4096);
enum { ADDER = 0, DATA = 64, LOOP = 128, LAST = 4080 };

/* mov $IMM, %eax; add %edi, %eax; ret */
static void make_adder(uint32_t imm)
{
    static const uint8_t code[8] = {0xb8, 0, 0, 0, 0, 0x01, 0xf8, 0xc3};
    memory_copy(page + ADDER, code, sizeof code);
    *(volatile uint32_t *)(void *)(page + ADDER + 1) = imm;
}

static uint32_t call_at(unsigned offset, uint32_t x)
{
    uint32_t r;
    __asm__ volatile("call *%1" : "=a"(r) : "r"(page + offset), "D"(x) : "memory", "cc");
    return r;
}

static uint32_t call_adder(uint32_t x)
{
    return call_at(ADDER, x);
}

TEST(patched_function)
{
    uint32_t n = (uint32_t)option_number("n", 2000), bad = 0;
    make_adder(0);
    for (uint32_t i = 0; i < n; i++) {
        *(volatile uint32_t *)(void *)(page + ADDER + 1) = i * 7;
        bad += call_adder(i) != i * 8;
    }
    CHECK_EQUAL("calls that ran old code", 0, bad);
}

/* The function's operation is patched, over and over the same few. */
TEST(alternating_function)
{
    static const uint8_t op[] = {0x01, 0x29, 0x31}; /* ADD, SUB, XOR */
    uint32_t n = (uint32_t)option_number("n", 2000), bad = 0;
    make_adder(0x1234567);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t want = i % 3 == 0 ? 0x1234567 + i : i % 3 == 1 ? 0x1234567 - i : 0x1234567 ^ i;
        *(volatile uint8_t *)(page + ADDER + 5) = op[i % 3];
        bad += call_adder(i) != want;
    }
    CHECK_EQUAL("calls that ran old code", 0, bad);
}

/* More versions than anyone would keep: add $IMM, %edi of one byte; mov %edi, %eax; ret. */
TEST(many_versions)
{
    static const uint8_t code[6] = {0x83, 0xc7, 0, 0x89, 0xf8, 0xc3};
    uint32_t n = (uint32_t)option_number("n", 2000), bad = 0;
    memory_copy(page + ADDER, code, sizeof code);
    for (uint32_t i = 0; i < n; i++) {
        *(volatile uint8_t *)(page + ADDER + 2) = i & 63;
        bad += call_adder(i) != i + (i & 63);
    }
    CHECK_EQUAL("calls that ran old code", 0, bad);
}

TEST(data_beside_code)
{
    uint32_t n = (uint32_t)option_number("n", 2000), bad = 0;
    volatile uint32_t *data = (void *)(page + DATA);
    make_adder(1);
    for (uint32_t i = 0; i < n; i++) {
        *data = i;
        bad += call_adder(i) != i + 1 || *data != i;
    }
    CHECK_EQUAL("wrong results", 0, bad);
}

/* A page of code is given back and cleared, as a kernel does it, or all of it but the function. */
TEST(cleared_page)
{
    uint32_t n = (uint32_t)option_number("n", 2000), bad = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t words = sizeof page / 8, *to = (void *)page;
        make_adder(i);
        memory_copy(page + LAST, page + ADDER, 8);
        bad += call_adder(1) != i + 1;
        bad += call_at(LAST, 2) != i + 2;
        if (i % 4 == 3)
            to += DATA / 8, words -= DATA / 8;
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(0ull) : "memory");
        bad += to != (void *)(page + sizeof page) || words;
        if (i % 4 == 3)
            bad += call_adder(2) != i + 2;
        for (unsigned k = i % 4 == 3 ? DATA : 0; k < sizeof page; k += 8)
            bad += *(uint64_t *)(void *)(page + k) != 0;
    }
    CHECK_EQUAL("wrong results", 0, bad);
}

/* A loop that writes the immediate of its own next instruction, counting there. */
TEST(patches_itself)
{
    uint32_t n = (uint32_t)option_number("n", 2000), sum = 0, expect = 0;
    /* 1: mov %ecx, 2f+1(%rip); 2: mov $0, %eax; add %eax, %edx; dec %ecx; jnz 1b; ret */
    static const uint8_t code[] = {0x89, 0x0d, 1,    0,    0,    0,    0xb8, 0,    0,
                                   0,    0,    0x01, 0xc2, 0xff, 0xc9, 0x75, 0xef, 0xc3};
    memory_copy(page + LOOP, code, sizeof code);
    for (uint32_t i = n; i; i--)
        expect += i;
    __asm__ volatile("call *%2" : "+d"(sum), "+c"(n) : "r"(page + LOOP) : "rax", "memory", "cc");
    CHECK_EQUAL("sum of what it wrote", expect, sum);
}

/* Functions that return their own number, 64 bytes each: more of them than a translator may keep. The first `hot=` (default 200) are called
 * again behind each 1,000 of the others, which run once; `cold=` in all (default 2000). */
enum { FUNCTIONS = 262144, FUNCTION_BYTES = 64 };
static uint8_t functions[FUNCTIONS * FUNCTION_BYTES] ALIGNED(4096);

static uint32_t wrong_function(uint32_t k)
{
    uint32_t r;
    __asm__ volatile("call *%1" : "=a"(r) : "r"(functions + (uint64_t)k * FUNCTION_BYTES) : "memory", "cc");
    return r != k;
}

TEST(hot_and_cold)
{
    uint64_t cold = option_number("cold", 2000), hot = option_number("hot", 200);
    uint32_t bad = 0;
    cold = cold < FUNCTIONS ? cold : FUNCTIONS;
    hot = hot < cold ? hot : cold;
    for (uint64_t k = 0; k < cold; k++) /* mov $k, %eax; ret */
        *(volatile uint64_t *)(void *)(functions + k * FUNCTION_BYTES) = 0xb8 | k << 8 | 0xc3ull << 40;
    for (uint64_t k = hot; k < cold; k++) {
        bad += wrong_function((uint32_t)k);
        for (uint64_t h = 0; k % 1000 == 0 && h < hot; h++)
            bad += wrong_function((uint32_t)h);
    }
    CHECK_EQUAL("wrong results", 0, bad);
}

/* The first functions have two versions by turns, while the others go through a translator's cache. */
TEST(patched_among_cold)
{
    uint64_t cold = option_number("cold", 2000);
    uint32_t bad = 0;
    cold = cold < FUNCTIONS ? cold : FUNCTIONS;
    for (uint64_t k = 0; k < cold; k++)
        *(volatile uint64_t *)(void *)(functions + k * FUNCTION_BYTES) = 0xb8 | k << 8 | 0xc3ull << 40;
    for (uint64_t k = 16; k < cold; k++) {
        bad += wrong_function((uint32_t)k);
        if (k % 200 >= 64)
            continue;
        uint8_t *f = functions + k % 16 * FUNCTION_BYTES;
        bool more = k & 16;
        uint32_t r;
        *(volatile uint32_t *)(void *)(f + 5) = more ? 0xc3c0ff90 : 0x909090c3; /* nop; inc %eax; ret, or ret */
        __asm__ volatile("call *%1" : "=a"(r) : "r"(f) : "memory", "cc");
        bad += r != k % 16 + more;
    }
    CHECK_EQUAL("wrong results", 0, bad);
}

/* TSC ticks of one TEXT, the best of five rounds, the loop taken off. */
#define TICKS(text)                                                                                          \
    ({                                                                                                       \
        uint64_t best_ = ~0ull;                                                                              \
        for (unsigned round_ = 0; round_ < 5; round_++) {                                                    \
            uint64_t left_ = COST_TURNS, start_ = rdtsc();                                                   \
            __asm__ volatile("1: " text "\n dec %0\n jnz 1b"                                                 \
                             : "+b"(left_)                                                                   \
                             : "D"(cr3)                                                                      \
                             : "rax", "memory", "cc");                                                       \
            uint64_t took_ = rdtsc() - start_;                                                               \
            best_ = took_ < best_ ? took_ : best_;                                                           \
        }                                                                                                    \
        best_;                                                                                               \
    })
enum { COST_TURNS = 5000 };
uint8_t costs_bytes[64];

static void print_cost(const char *name, uint64_t ticks, uint64_t empty)
{
    print("cost %s %llu ticks\n", name, (u64)(ticks > empty ? (ticks - empty) / COST_TURNS : 0));
}

TEST(costs)
{
    uint64_t cr3 = read_cr3(), empty = TICKS("");
    print_cost("sti+cli", TICKS("sti; cli"), empty);
    print_cost("pushf+popf", TICKS("pushfq; popfq"), empty);
    print_cost("cr3-write", TICKS("mov %%rdi, %%cr3"), empty);
    print_cost("invlpg", TICKS("invlpg (%%rdi)"), empty);
    print_cost("iretq", TICKS("mov %%rsp, %%rax; push $0x10; push %%rax; pushfq; push $8; lea 7f(%%rip), %%rax; push %%rax; iretq; 7:"), empty);
    print_cost("rep-stosb-16", TICKS("push %%rdi; push %%rcx; lea costs_bytes(%%rip), %%rdi; mov $16, %%ecx; rep stosb; pop %%rcx; pop %%rdi"), empty);
}
