/* Self-modifying code: every patch is seen by the next execution of the patched bytes. On silicon this
 * holds for a write through the address that is executed; through another linear address a serializing
 * instruction comes between (SDM 3A 8.1.3), as here. */
#include "paging.h"

static uint8_t code[4 * PAGE_SIZE] ALIGNED(4096);

/* Puts a snippet at code + offset and a context on it. BX points to the code area. */
static void code_set(struct context *c, const struct snip *s, unsigned offset)
{
    memory_copy(code + offset, (const void *)s->start, s->end + 2 - s->start);
    context_set(c, s);
    c->ip = ADDR(code) + offset;
    c->bx = ADDR(code);
}

static void code_through(const char *what, const struct snip *s, struct context *c, unsigned offset)
{
    context_run(c);
    CHECK_EXIT(what, c, EXIT, NO_ERROR, ADDR(code) + offset + (s->end + 2 - s->start));
}

TEST(next_instruction)
{
    struct context c;
    /* The immediate of the very next instruction. */
    const struct snip *s = SNIP("movb $0x42, 1f - 771b + 1(" BX ")\n1: mov $0x11, %cl");
    for (unsigned i = 0; i < 3; i++) {
        code_set(&c, s, 0);
        code_through("patch of the next instruction", s, &c, 0);
        CHECK_EQUAL("the new immediate", 0x42, c.cx);
    }
    /* Its opcode: MOV CL becomes MOV DL. */
    s = SNIP("movb $0xb2, 1f - 771b(" BX ")\n1: mov $0x11, %cl");
    code_set(&c, s, 0);
    code_through("patch of an opcode", s, &c, 0);
    CHECK_EQUAL("CL untouched", 0, c.cx);
    CHECK_EQUAL("DL written", 0x11, c.dx);
    /* Its length: a two-byte MOV becomes two NOPs; then NOPs become a MOV of five bytes. */
    s = SNIP("movw $0x9090, 1f - 771b(" BX ")\n1: mov $0x11, %cl; mov $0x22, %dl");
    code_set(&c, s, 0);
    code_through("patch of boundaries", s, &c, 0);
    CHECK_EQUAL("CL untouched", 0, c.cx);
    CHECK_EQUAL("DL written", 0x22, c.dx);
    s = SNIP("movb $0xb9, 1f - 771b(" BX ")\n1: nop; inc %al; inc %al; nop");
    code_set(&c, s, 0);
    code_through("NOP becomes MOV ECX, imm32", s, &c, 0);
    CHECK_EQUAL("the following bytes are its immediate", 0xc0fec0fe, c.cx);
    CHECK_EQUAL("AL untouched", 0, c.ax);
}

/* Each way to write memory, onto the immediate of an instruction further on in the same run. */
TEST(every_write)
{
    struct {
        const char *what;
        const struct snip *s;
        word expect;
    } table[] = {
        {"MOV imm", SNIP("movl $0x12345678, 1f - 771b + 1(" BX "); nop; nop\n1: mov $0, %ecx"), 0x12345678},
        {"ADD", SNIP("addl $5, 1f - 771b + 1(" BX "); nop\n1: mov $7, %ecx"), 12},
        {"INC", SNIP("incb 1f - 771b + 1(" BX "); nop\n1: mov $7, %ecx"), 8},
        {"LOCK XADD", SNIP("mov $3, %eax; lock xadd %eax, 1f - 771b + 1(" BX ")\n1: mov $7, %ecx"), 10},
        {"XCHG", SNIP("mov $3, %eax; xchg %eax, 1f - 771b + 1(" BX ")\n1: mov $7, %ecx"), 3},
        {"CMPXCHG",
         SNIP("mov $7, %eax; mov $9, %edx; lock cmpxchg %edx, 1f - 771b + 1(" BX ")\n1: mov $7, %ecx"), 9},
        {"STOS", SNIP("lea 1f - 771b + 1(" BX "), " DI "; mov $0x55, %eax; stosl\n1: mov $7, %ecx"), 0x55},
        {"BTS", SNIP("btsl $4, 1f - 771b + 1(" BX ")\n1: mov $7, %ecx"), 0x17},
        {"SETcc", SNIP("xor %eax, %eax; setz 1f - 771b + 1(" BX ")\n1: mov $7, %ecx"), 1},
        {"SHL", SNIP("shll 1f - 771b + 1(" BX ")\n1: mov $7, %ecx"), 14},
        {"PUSH",
         SNIP("mov " SP ", " DX "; lea 1f - 771b + 5(" BX "), " SP "; pushw $0x1234; pushw $0x5678; mov " DX
              ", " SP "\n1: mov $7, %ecx"),
         0x12345678},
        {"FSTP", SNIP("fninit; fld1; fstps 1f - 771b + 1(" BX ")\n1: mov $7, %ecx"), 0x3f800000},
        {"MOV through a prefix", SNIP("movw $0x99, 1f - 771b + 1(" BX ")\n1: mov $7, %ecx"), 0x99},
        {"MOVS",
         SNIP("lea 1f - 771b + 1(" BX "), " DI "; lea 2f - 771b(" BX "), " SI
              "; movsl; jmp 1f\n2: .long 0xabcdef01\n1: mov $7, %ecx"),
         0xabcdef01},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        for (unsigned n = 0; n < 2; n++) {
            struct context c;
            code_set(&c, table[i].s, 0);
            code_through(table[i].what, table[i].s, &c, 0);
            CHECK_EQUAL(table[i].what, table[i].expect, c.cx);
        }
    }
}

/* A run of code over the page boundary; the patch on the next page, and one over the boundary itself. */
TEST(pages)
{
    const struct snip *s =
        SNIP("movl $0x12345678, 1f - 771b + 1(" BX "); jmp 1f; nop; nop; nop\n1: mov $0, %ecx");
    for (unsigned offset = PAGE_SIZE - 32; offset < PAGE_SIZE + 4; offset++) {
        struct context c;
        for (unsigned n = 0; n < 2; n++) {
            code_set(&c, s, offset);
            c.bx = ADDR(code) + offset;
            code_through("patch near a page boundary", s, &c, offset);
            CHECK_EQUAL("the new immediate", 0x12345678, c.cx);
        }
    }
    s = SNIP("movb $0x77, (" SI "); mov " DI ", " AX "; jmp *" AX);
    const struct snip *t = SNIP("mov $0x11, %cl");
    for (unsigned n = 0; n < 20; n++) {
        struct context c;
        memory_copy(code + 2 * PAGE_SIZE, (const void *)t->start, t->end + 2 - t->start);
        code_set(&c, s, 0);
        c.si = ADDR(code) + 2 * PAGE_SIZE + 1;
        c.di = ADDR(code) + 2 * PAGE_SIZE;
        context_run(&c);
        CHECK_EXIT("patch on another page, then a jump there", &c, EXIT, NO_ERROR,
                   ADDR(code) + 2 * PAGE_SIZE + 4);
        CHECK_EQUAL("the new immediate", 0x77, c.cx);
    }
}

/* REP MOVS and REP STOS over the code that follows them, from before its beginning to behind its end. */
TEST(rep_over_code)
{
    struct context c;
    const struct snip *s =
        SNIP("rep movsb\n1: mov $0x11, %al; mov $0x22, %dl; mov $0x33, %dh; nop; nop; nop; nop");
    static const uint8_t with[] = {0xb0, 0x44, 0xb2, 0x55, 0xb6, 0x66};
    for (unsigned n = 0; n <= sizeof(with); n += 2) {
        code_set(&c, s, 0);
        c.si = ADDR(with);
        c.di = ADDR(code) + 2;
        c.cx = n;
        code_through("REP MOVS over the next instructions", s, &c, 0);
        CHECK_EQUAL("AL", n >= 2 ? 0x44 : 0x11, c.ax);
        CHECK_EQUAL("DL", n >= 4 ? 0x55 : 0x22, c.dx & 0xff);
        CHECK_EQUAL("DH", n >= 6 ? 0x66 : 0x33, c.dx >> 8);
    }
    s = SNIP("rep stosb\n inc %edx; inc %edx; inc %edx; inc %edx; nop");
    code_set(&c, s, 0);
    c.ax = 0x90;
    c.di = ADDR(code) + 2;
    c.cx = s->end - s->start - 2;
    code_through("REP STOS of NOPs", s, &c, 0);
    CHECK_EQUAL("no INC left", 0, c.dx);
}

/* A loop that patches an instruction of its own body 1000 times. */
TEST(loop_1000)
{
    struct context c;
    const struct snip *s =
        SNIP("xor %edx, %edx\n2: add $0, %edx\n incl 2b - 771b + 2(" BX ")\n dec %ecx; jnz 2b");
    /* ADD r/m32, imm8 is 83 /0 ib: the sum of 0..n-1 while the byte does not reach 128. */
    code_set(&c, s, 0);
    c.cx = 100;
    code_through("the loop's own ADD", s, &c, 0);
    CHECK_EQUAL("sum of 0..99", 4950, c.dx);
    s = SNIP("xor %edx, %edx\n1: movl %ecx, 2f - 771b + 1(" BX
             "); jmp 2f; nop\n2: mov $0, %eax; add %eax, %edx\n"
             " dec %ecx; jnz 1b");
    code_set(&c, s, 0);
    c.cx = 1000;
    code_through("1000 patches and jumps", s, &c, 0);
    CHECK_EQUAL("sum of 1..1000", 500500, c.dx);
    /* Called from C: a function that is rewritten each time. */
    const struct snip *function = SNIP("mov $0, %eax; ret");
    memory_copy(code, (const void *)function->start, 6);
    uint32_t sum = 0;
    for (uint32_t n = 1; n <= 1000; n++) {
        *(volatile uint32_t *)(void *)(code + 1) = n;
        sum += ((uint32_t(*)(void))ADDR(code))();
    }
    CHECK_EQUAL("1000 rewritten functions", 500500, sum);
    /* In data that changes beside code that does not. */
    sum = 0;
    volatile uint32_t *data = (volatile uint32_t *)(void *)(code + 64);
    for (uint32_t n = 1; n <= 1000; n++) {
        *data = n;
        *(volatile uint32_t *)(void *)(code + 1) = 3;
        sum += ((uint32_t(*)(void))ADDR(code))() + *data;
    }
    CHECK_EQUAL("code and data on one page", 503500, sum);
}

/* Through a second linear address, CPUID between the write and the execution. */
TEST(alias)
{
    struct context c;
    paging_on(PAGES_NATIVE, PTE_U);
    entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
    entry_set(1, 1, FRAME(0) | PTE_P | PTE_W);
    flush();
    const struct snip *s = SNIP("mov %edi, (" SI "); mov " BX ", " BP "; xor %eax, %eax; cpuid; mov " BP
                                ", " BX "\n1: mov $0x11, %ecx");
    for (uint32_t n = 1; n <= 50; n++) {
        frame_code(0, s);
        context_set(&c, s);
        c.ip = WINDOW_PAGE(0);
        c.si = WINDOW_PAGE(1) + (s->end - 4 - s->start);
        c.di = n * 0x01010101;
        context_run(&c);
        CHECK_EXIT("patched through the alias", &c, EXIT, NO_ERROR, WINDOW_PAGE(0) + (s->end + 2 - s->start));
        CHECK_EQUAL("the new immediate", n * 0x01010101, c.cx);
    }
    /* The same bytes are executed at both addresses, then the mapping changes under one of them. */
    const struct snip *t = SNIP("mov $0x11, %ecx"), *u = SNIP("mov $0x22, %ecx");
    frame_code(0, t);
    frame_code(1, u);
    for (unsigned n = 0; n < 20; n++) {
        entry_set(1, 0, FRAME(n & 1) | PTE_P);
        flush_page(WINDOW_PAGE(0));
        context_set(&c, t);
        c.ip = WINDOW_PAGE(0);
        context_run(&c);
        CHECK_EQUAL("the mapping's own code", n & 1 ? 0x22 : 0x11, c.cx);
    }
    paging_off();
}

/* An instruction across two pages, reached by a jump inside the first; then the second page's mapping
 * changes. */
TEST(crossing_remap)
{
    struct context c;
    static const uint8_t head[] = {0xeb, 0x0b},
                         mov[] = {0xb9, 0x11, 0x22}; /* jmp +11; mov $0x....2211, %ecx */
    const struct snip *s = SNIP("nop");
    paging_on(PAGES_NATIVE, PTE_U);
    memory_copy(&frames[0][0xff0], head, sizeof(head));
    memory_copy(&frames[0][0xffd], mov, sizeof(mov));
    for (unsigned f = 1; f <= 2; f++) {
        const uint8_t tail[] = {(uint8_t)(0x30 + f), 0x44, 0xcd,
                                0x30}; /* the rest of the immediate; int $0x30 */
        memory_copy(frames[f], tail, sizeof(tail));
    }
    entry_set(1, 0, FRAME(0) | PTE_P);
    for (unsigned n = 0; n < 20; n++) {
        unsigned f = 1 + (n / 3 & 1);
        entry_set(1, 1, FRAME(f) | PTE_P);
        flush_page(WINDOW_PAGE(1));
        context_set(&c, s);
        c.ip = WINDOW_PAGE(0) + 0xff0;
        context_run(&c);
        CHECK_EQUAL("it ends", EXIT, c.vector);
        CHECK_EQUAL("the second page's own bytes", 0x44302211u + (f << 16), c.cx);
    }
    paging_off();
}

/* The same, where the page behind is the same frame: either part is patched. */
TEST(crossing_same_frame)
{
    struct context c;
    static const uint8_t first[] = {0xb9, 0x11, 0x22}, second[] = {0x33, 0x44, 0xcd, 0x30}; /* mov $0x44332211, %ecx; int $0x30 */
    const struct snip *s = SNIP("nop");
    paging_on(PAGES_NATIVE, PTE_U);
    memory_copy(&frames[0][0xffd], first, sizeof(first));
    memory_copy(frames[0], second, sizeof(second));
    entry_set(1, 0, FRAME(0) | PTE_P);
    entry_set(1, 1, FRAME(0) | PTE_P);
    flush_page(WINDOW_PAGE(0));
    flush_page(WINDOW_PAGE(1));
    for (unsigned n = 0; n < 40; n++) {
        volatile uint8_t *part = n & 1 ? &frames[0][0xffe] : &frames[0][0];
        *part = (uint8_t)n;
        context_set(&c, s);
        c.ip = WINDOW_PAGE(0) + 0xffd;
        context_run(&c);
        CHECK_EQUAL("it ends", EXIT, c.vector);
        CHECK_EQUAL("as it was written", 0x44002200u + frames[0][0xffe] + ((uint32_t)frames[0][0] << 16), c.cx);
    }
    paging_off();
}

static uint32_t immediate_at(unsigned at)
{
    uint32_t v;
    memory_copy(&v, code + at + 1, 4);
    return v;
}

/* A store of any size at any distance from a function: near its bytes, over some, over all. */
TEST(store_around)
{
    static const unsigned places[] = {0x100, 0x13b, 0x13e, 0x17f, 0xff8, 0x1001};
    static const uint8_t function[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov $0, %eax; ret */
    uint32_t wrong = 0, n = 0;
    for (unsigned k = 0; k < sizeof places / sizeof *places; k++)
        for (unsigned size = 1; size <= 8; size *= 2)
            for (int by = -70; by <= 70; by++) {
                unsigned at = places[k];
                uint8_t want[8];
                uint8_t *to = &code[(int)at + by];
                memory_copy(code + at, function, sizeof(function));
                wrong += ((uint32_t(*)(void))(ADDR(code) + at))() != 0;
                for (unsigned i = 0; i < 8; i++) {
                    int in = by + (int)i;
                    want[i] = in >= 1 && in <= 4 ? (uint8_t)++n : in >= 0 && in < 6 ? function[in] : (uint8_t)n;
                }
                switch (size) {
                case 1: *(volatile uint8_t *)to = want[0]; break;
                case 2: *(volatile uint16_t *)(void *)to = (uint16_t)(want[0] | want[1] << 8); break;
                case 4: memory_copy(to, want, 4); break;
                default: __asm__ volatile("rep movsb" : : "D"(to), "S"(want), "c"(8) : "memory"); break;
                }
                wrong += ((uint32_t(*)(void))(ADDR(code) + at))() != immediate_at(at);
            }
    CHECK_EQUAL("old code", 0, wrong);
}

/* Stores of one group, the last of which is over code. */
TEST(store_group)
{
    static const uint8_t function[] = {0xb8, 0, 0, 0, 0, 0xc3};
    uint32_t wrong = 0;
    memory_copy(code + 0x200, function, sizeof(function));
    for (uint32_t n = 1; n <= 300; n++) {
        __asm__ volatile("movl %1, -0x100(%0); movl %1, -0x40(%0); movl %1, (%0)" : : "r"(code + 0x201), "r"(n) : "memory");
        wrong += ((uint32_t(*)(void))(ADDR(code) + 0x200))() != n;
    }
    CHECK_EQUAL("old code", 0, wrong);
}

/* A branch to another page, direct and by a register; then that page's mapping changes, and nothing else. */
TEST(branch_remap)
{
    struct context c;
    static const uint8_t direct[] = {0xe9, 0x7b, 0x0f, 0, 0}, indirect[] = {0xff, 0xe2}; /* jmp to the next page's 0x80; jmp *%rdx */
    const struct snip *s = SNIP("nop");
    paging_on(PAGES_NATIVE, PTE_U);
    memory_copy(&frames[0][0x100], direct, sizeof(direct));
    memory_copy(&frames[0][0x200], indirect, sizeof(indirect));
    for (uint8_t f = 1; f <= 2; f++) {
        const uint8_t there[] = {0xb9, f, 0, 0, 0, 0xcd, 0x30}; /* mov $f, %ecx; int $0x30 */
        memory_copy(&frames[f][0x80], there, sizeof(there));
    }
    entry_set(1, 0, FRAME(0) | PTE_P);
    for (unsigned n = 0; n < 80; n++) {
        unsigned f = 1 + (n / 6 & 1);
        if (n % 6 == 0) {
            entry_set(1, 1, FRAME(f) | PTE_P);
            flush_page(WINDOW_PAGE(1));
        }
        context_set(&c, s);
        c.ip = WINDOW_PAGE(0) + (n & 1 ? 0x200 : 0x100);
        c.dx = WINDOW_PAGE(1) + 0x80;
        context_run(&c);
        CHECK_EQUAL("it ends", EXIT, c.vector);
        CHECK_EQUAL(n & 1 ? "by a register" : "direct", f, c.cx);
    }
    paging_off();
}

/* Branches to another page whose mapping changes, direct and by a register. */
enum known {
    NOTHING_KNOWN,
    TARGET_KNOWN, /* the new page was executed already, so that the branches alone are new there */
    TARGET_KEPT, /* likewise; but then the page that the second one stands in is flushed */
};
static void known_branch_turn(unsigned n, enum known known)
{
    struct context c;
    const struct snip *s = SNIP("nop");
    unsigned f = 1 + (n & 1);
    word ips[] = {WINDOW_PAGE(1), WINDOW_PAGE(0) + 0xff0, WINDOW_PAGE(0) + 0xfe0};
    entry_set(1, 1, FRAME(f) | PTE_P);
    flush_page(WINDOW_PAGE(1));
    for (unsigned k = known ? 0 : 1; k < 3; k++) {
        if (known == TARGET_KEPT && k == 2)
            flush_page(WINDOW_PAGE(0));
        context_set(&c, s);
        c.ip = ips[k];
        c.dx = WINDOW_PAGE(1);
        c.si = WINDOW_PAGE(0) + 0xfd0;
        context_run(&c);
        CHECK_EQUAL("it ends", EXIT, c.vector);
        CHECK_EQUAL("where the mapping leads now", 0x10 + f, c.cx);
    }
}

TEST(known_branch_remap)
{
    static const uint8_t direct[] = {0xe9, 0x0b, 0, 0, 0}, by_register[] = {0xff, 0xe2}, end[] = {0xcd, 0x30}; /* jmp to the next page; jmp *%edx; int $0x30 */
    paging_on(PAGES_NATIVE, PTE_U);
    memory_copy(&frames[0][0xff0], direct, sizeof(direct));
    memory_copy(&frames[0][0xfe0], by_register, sizeof(by_register));
    memory_copy(&frames[0][0xfd0], end, sizeof(end));
    for (unsigned f = 1; f <= 2; f++) {
        const uint8_t target[] = {0xb9, (uint8_t)(0x10 + f), 0, 0, 0, 0xff, 0xe6}; /* mov $0x10 + f, %ecx; jmp *%esi */
        memory_copy(frames[f], target, sizeof(target));
    }
    entry_set(1, 0, FRAME(0) | PTE_P);
    for (unsigned n = 0; n < 30; n++)
        known_branch_turn(n, n / 10);
    paging_off();
}

/* Code is written over, and while it is not there one of its two pages goes elsewhere; then it is written back, and runs at the other. */
TEST(restored_remap)
{
    struct context c;
    static const uint8_t indirect[] = {0xff, 0xe2}; /* jmp *%rdx */
    const struct snip *s = SNIP("nop");
    paging_on(PAGES_NATIVE, PTE_U);
    memory_copy(&frames[0][0x200], indirect, sizeof(indirect));
    for (uint8_t f = 1; f <= 2; f++) {
        const uint8_t there[] = {0xb1, f, 0xcd, 0x30}; /* mov $f, %cl; int $0x30 */
        memory_copy(&frames[f][0x80], there, sizeof(there));
    }
    entry_set(1, 0, FRAME(0) | PTE_P);
    entry_set(1, 2, FRAME(1) | PTE_P);
    for (unsigned n = 0; n < 50; n++) {
        static const struct {
            unsigned page, want;
        } turn[] = {{1, 1}, {1, 1}, {2, 1}, {1, 2}, {1, 2}};
        entry_set(1, 1, FRAME(1) | PTE_P);
        flush_page(WINDOW_PAGE(1));
        for (unsigned k = 0; k < COUNT(turn); k++) {
            if (k == 2) {
                *(volatile uint8_t *)&frames[1][0x81] = 9;
                entry_set(1, 1, FRAME(2) | PTE_P);
                flush_page(WINDOW_PAGE(1));
                *(volatile uint8_t *)&frames[1][0x81] = 1;
            }
            context_set(&c, s);
            c.ip = WINDOW_PAGE(0) + 0x200;
            c.dx = WINDOW_PAGE(turn[k].page) + 0x80;
            context_run(&c);
            CHECK_EQUAL("it ends", EXIT, c.vector);
            CHECK_EQUAL("where the page leads now", turn[k].want, c.cx);
        }
    }
    paging_off();
}

/* An instruction across two pages, either part of which has two versions, and the second page two frames. */
TEST(restored_crossing)
{
    struct context c;
    static const uint8_t head[] = {0x83, 0xc1}, tail[] = {1, 0xcd, 0x30}; /* add $1, %ecx; int $0x30 */
    const struct snip *s = SNIP("nop");
    paging_on(PAGES_NATIVE, PTE_U);
    memory_copy(&frames[0][0xffe], head, sizeof(head));
    memory_copy(frames[1], tail, sizeof(tail));
    memory_copy(frames[2], tail, sizeof(tail));
    entry_set(1, 0, FRAME(0) | PTE_P);
    for (unsigned n = 0; n < 200; n++) {
        unsigned f = 1 + (n >> 3 & 1);
        if (n % 8 == 0) {
            entry_set(1, 1, FRAME(f) | PTE_P);
            flush_page(WINDOW_PAGE(1));
        }
        *(volatile uint8_t *)&frames[0][0xfff] = n & 1 ? 0xe9 : 0xc1; /* SUB, ADD */
        if (n % 3 == 0)
            *(volatile uint8_t *)&frames[f][0] ^= 3;
        context_set(&c, s);
        c.ip = WINDOW_PAGE(0) + 0xffe;
        c.cx = 100;
        context_run(&c);
        CHECK_EQUAL("it ends", EXIT, c.vector);
        CHECK_EQUAL("both parts as they are now", n & 1 ? 100u - frames[f][0] : 100u + frames[f][0], c.cx);
    }
    paging_off();
}

/* Flags of an instruction at frames[0] + OFFSET, which nobody reads but the frame of the fault behind it. */
static word flags_at_fault(unsigned offset, uint32_t cx, uint32_t dx)
{
    struct context c;
    context_set(&c, SNIP("nop"));
    c.ip = WINDOW_PAGE(0) + offset;
    c.cx = cx;
    c.dx = dx;
    c.si = WINDOW_PAGE(2);
    context_run(&c);
    CHECK_EQUAL("it faults", PF, c.vector);
    return c.flags & 0x8c5; /* all but AF, which logical operations leave undefined */
}

/* An immediate is patched; the flags that come of it are those that a register of that value makes. */
TEST(patched_flags)
{
    static const uint8_t tail[] = {0x8b, 0x06, 0x31, 0xd2, 0xcd, 0x30}; /* mov (%rsi), %eax; xor %edx, %edx; int $0x30 */
    static const uint32_t values[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x12345678, 0x9abcdef0};
    paging_on(PAGES_NATIVE, PTE_U);
    entry_set(1, 0, FRAME(0) | PTE_P);
    entry_set(1, 2, 0);
    flush_page(WINDOW_PAGE(2));
    for (unsigned op = 0; op < 8; op++) {
        const uint8_t immediate[] = {0x81, (uint8_t)(0xc1 | op << 3)}, by_register[] = {(uint8_t)(1 | op << 3), 0xd1}; /* ADD to CMP of %ecx; with %edx */
        memory_copy(frames[0], immediate, sizeof(immediate));
        memory_copy(&frames[0][6], tail, sizeof(tail));
        memory_copy(&frames[0][0x100], by_register, sizeof(by_register));
        memory_copy(&frames[0][0x102], tail, sizeof(tail));
        for (unsigned n = 0; n < COUNT(values) * COUNT(values); n++) {
            uint32_t x = values[n % COUNT(values)], y = values[n / COUNT(values)];
            memory_copy(&frames[0][2], &x, sizeof(x));
            CHECK_EQUAL("flags", flags_at_fault(0x100, y, x), flags_at_fault(0, y, 0));
        }
    }
    paging_off();
}

/* Code that is patched between an instruction's fault and its retry. */
TEST(fault_retry)
{
    struct context c;
    const struct snip *s = SNIP("ud2; mov $0x11, %cl");
    for (unsigned n = 0; n < 5; n++) {
        code_set(&c, s, 0);
        context_run(&c);
        CHECK_EXIT("#UD", &c, UD, NO_ERROR, ADDR(code));
        code[0] = code[1] = 0x90;
        code_through("retried as NOPs", s, &c, 0);
        CHECK_EQUAL("went on", 0x11, c.cx);
    }
}

/* The same while a timer keeps the machine's other threads busy: whose write it was must not be mixed up. */
TEST(beside_timers)
{
    const struct snip *function = SNIP("mov $0, %eax; ret");
    uint32_t stale = 0, turns = (uint32_t)option_number("turns", 50000);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    outb(0x43, 0x34); /* PIT, mode 2: every 20 counts */
    outb(0x40, 20);
    outb(0x40, 0);
    memory_copy(code, (const void *)function->start, 6);
    for (uint32_t n = 1; n <= turns; n++) {
        *(volatile uint32_t *)(void *)(code + 1) = n;
        stale += ((uint32_t(*)(void))ADDR(code))() != n;
    }
    outb(0x43, 0x30);
    outb(0x40, 0);
    outb(0x40, 0);
    CHECK_EQUAL("old code right after the write", 0, stale);
}
