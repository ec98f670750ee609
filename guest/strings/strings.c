/* String instructions: sizes, directions, counts, overlap, segment and address-size overrides, faults in
 * the middle with exact progress, port forms. SDM 1 7.3.9; SDM 2B REP. */
#include "paging.h"

static uint8_t source[8 * KiB] ALIGNED(4096), target[8 * KiB] ALIGNED(4096), model[8 * KiB] ALIGNED(4096);

static void areas_fill(void)
{
    for (unsigned i = 0; i < sizeof(source); i++) {
        source[i] = (uint8_t)(i * 7 + (i >> 8));
        target[i] = model[i] = 0xee;
    }
}

static const unsigned sizes[] = {1, 2, 4, 8};
#define SIZES (WORLD == 64 ? 4u : 3u)

#ifdef __x86_64__
#define LAST(insn) SNIP(insn "q")
#else
#define LAST(insn) NULL
#endif
/* An instruction in its four sizes. */
#define FOUR(insn)                                                                                           \
    {                                                                                                        \
        SNIP(insn "b"), SNIP(insn "w"), SNIP(insn "l"), LAST(insn)                                           \
    }

TEST(movs_stos_lods)
{
    const struct snip *movs[] = FOUR("rep movs"), *stos[] = FOUR("rep stos"), *lods[] = FOUR("rep lods");
    static const unsigned counts[] = {0, 1, 2, 3, 7, 64, 255, 1000};
    struct context c;
    for (unsigned i = 0; i < SIZES; i++) {
        for (unsigned j = 0; j < COUNT(counts); j++) {
            for (unsigned down = 0; down <= 1; down++) {
                word size = sizes[i], n = counts[j], first = down && n ? (n - 1) * size : 0;
                word moved = down ? (word)0 - n * size : n * size;
                areas_fill();
                context_set(&c, movs[i]);
                c.cx = n;
                c.si = ADDR(source) + first;
                c.di = ADDR(target) + first;
                c.flags |= down ? FLAG_DF : 0;
                c.flags |= FLAG_CF | FLAG_ZF;
                word si = c.si, di = c.di;
                RUN_THROUGH("REP MOVS", movs[i], &c);
                CHECK_EQUAL("CX", 0, c.cx);
                CHECK_EQUAL("SI", si + moved, c.si);
                CHECK_EQUAL("DI", di + moved, c.di);
                CHECK_EQUAL("flags are not touched", FLAG_CF | FLAG_ZF, c.flags & FLAGS_STATUS);
                memory_copy(model, source, n * size);
                CHECK_EQUAL("what was copied", 0, memory_compare(model, target, sizeof(model)));

                areas_fill();
                context_set(&c, stos[i]);
                c.cx = n;
                c.ax = (word)0x1122334455667788ull;
                c.di = di;
                c.flags |= down ? FLAG_DF : 0;
                RUN_THROUGH("REP STOS", stos[i], &c);
                CHECK_EQUAL("CX", 0, c.cx);
                CHECK_EQUAL("DI", di + moved, c.di);
                for (word at = 0; at < n * size; at++)
                    model[at] = ((uint8_t *)&c.ax)[at % size];
                CHECK_EQUAL("what was stored", 0, memory_compare(model, target, sizeof(model)));

                context_set(&c, lods[i]);
                c.cx = n;
                c.ax = (word)-1;
                c.si = si;
                c.flags |= down ? FLAG_DF : 0;
                RUN_THROUGH("REP LODS", lods[i], &c);
                CHECK_EQUAL("CX", 0, c.cx);
                CHECK_EQUAL("SI", si + moved, c.si);
                word expected = (word)-1;
                if (n && size == 4 && WORLD == 64)
                    expected = 0;
                if (n)
                    memory_copy(&expected, source + (down ? 0 : (n - 1) * size), size);
                CHECK_EQUAL("AX is the last element", expected, c.ax);
            }
        }
    }
}

TEST(cmps_scas)
{
    const struct snip *repe_cmps[] = FOUR("repe cmps"), *repne_cmps[] = FOUR("repne cmps"),
                      *repe_scas[] = FOUR("repe scas"), *repne_scas[] = FOUR("repne scas");
    struct context c;
    for (unsigned i = 0; i < SIZES; i++) {
        word size = sizes[i];
        areas_fill();
        memory_copy(target, source, 1024);
        target[20 * size] ^= 0x80;
        context_set(&c, repe_cmps[i]);
        c.cx = 100;
        c.si = ADDR(source);
        c.di = ADDR(target);
        RUN_THROUGH("REPE CMPS", repe_cmps[i], &c);
        CHECK_EQUAL("stops after the difference", 79, c.cx);
        CHECK_EQUAL("SI", ADDR(source) + 21 * size, c.si);
        CHECK_EQUAL("DI", ADDR(target) + 21 * size, c.di);
        CHECK_EQUAL("ZF clear", 0, c.flags & FLAG_ZF);
        context_set(&c, repe_cmps[i]);
        c.cx = 20;
        c.si = ADDR(source);
        c.di = ADDR(target);
        RUN_THROUGH("REPE CMPS to the end", repe_cmps[i], &c);
        CHECK_EQUAL("CX", 0, c.cx);
        CHECK_EQUAL("ZF set", FLAG_ZF, c.flags & FLAG_ZF);
        context_set(&c, repne_cmps[i]);
        c.cx = 20;
        c.si = ADDR(source) + 20 * size;
        c.di = ADDR(target) + 20 * size;
        RUN_THROUGH("REPNE CMPS", repne_cmps[i], &c);
        CHECK_EQUAL("stops after the equal one", 18, c.cx);
        /* No iteration: nothing changes, the flags neither. */
        context_set(&c, repe_cmps[i]);
        c.si = c.di = 0xdead0000;
        c.flags |= FLAG_CF | FLAG_OF | FLAG_SF;
        RUN_THROUGH("REPE CMPS with CX 0", repe_cmps[i], &c);
        CHECK_EQUAL("SI", 0xdead0000, c.si);
        CHECK_EQUAL("flags", FLAG_CF | FLAG_OF | FLAG_SF, c.flags & FLAGS_STATUS);

        memory_set(target, 0x20, 1024);
        target[10 * size] = 0x21;
        context_set(&c, repe_scas[i]);
        c.ax = (word)0x2020202020202020ull;
        c.cx = 100;
        c.di = ADDR(target);
        RUN_THROUGH("REPE SCAS", repe_scas[i], &c);
        CHECK_EQUAL("CX", 89, c.cx);
        CHECK_EQUAL("DI", ADDR(target) + 11 * size, c.di);
        CHECK_EQUAL("AX - element borrows", FLAG_CF, c.flags & (FLAG_CF | FLAG_ZF));
        context_set(&c, repne_scas[i]);
        c.ax = (word)0x2020202020202021ull;
        c.cx = 100;
        c.di = ADDR(target);
        RUN_THROUGH("REPNE SCAS", repne_scas[i], &c);
        CHECK_EQUAL("CX", 89, c.cx);
        CHECK_EQUAL("ZF", FLAG_ZF, c.flags & FLAG_ZF);
    }
}

/* Byte by byte in order, whatever the implementation does inside. */
TEST(overlap)
{
    const struct snip *movs[] = FOUR("rep movs");
    struct context c;
    for (unsigned i = 0; i < SIZES; i++) {
        for (int distance = -9; distance <= 9; distance++) {
            for (unsigned down = 0; down <= 1; down++) {
                const unsigned n = 40;
                word size = sizes[i], first = down ? (n - 1) * size : 0;
                areas_fill();
                memory_copy(target, source, 1024);
                memory_copy(model, source, 1024);
                for (unsigned k = 0; k < n; k++) {
                    unsigned at = 64 + (down ? n - 1 - k : k) * (unsigned)size;
                    uint8_t element[8];
                    memory_copy(element, model + at, size);
                    memory_copy(model + (int)at + distance, element, size);
                }
                context_set(&c, movs[i]);
                c.cx = n;
                c.si = ADDR(target) + 64 + first;
                c.di = c.si + (word)distance;
                c.flags |= down ? FLAG_DF : 0;
                RUN_THROUGH("overlapping MOVS", movs[i], &c);
                if (!CHECK_EQUAL("result", 0, memory_compare(model, target, 1024)))
                    print("#   size %lu distance %d down %u\n", size, distance, down);
            }
        }
    }
}

/* Runs that end before, at and behind a page's end, of no element and of many, from one page into another and into the same. No frame lies behind the one
 * before it. */
enum { RUN_BYTES = 4 * PAGE_SIZE };
static uint8_t expected[RUN_BYTES];

static uint8_t *pages_map(void)
{
    paging_on(PAGES_NATIVE, 0);
    for (unsigned n = 0; n < RUN_BYTES / PAGE_SIZE; n++)
        entry_set(1, n, FRAME(9 - 2 * n) | PTE_P | PTE_W);
    flush();
    return (uint8_t *)WINDOW;
}

static void run_at(uint8_t *pages, const struct snip *s, unsigned size, unsigned from, unsigned to, unsigned n, bool stores)
{
    struct context c;
    for (unsigned k = 0; k < RUN_BYTES; k++)
        pages[k] = expected[k] = (uint8_t)(k * 7 + k / 256);
    context_set(&c, s);
    c.ax = (word)0x8877665544332211ull;
    c.cx = n;
    c.si = ADDR(pages) + from;
    c.di = ADDR(pages) + to;
    c.flags |= FLAG_CF | FLAG_ZF | FLAG_OF;
    word flags = c.flags;
    for (unsigned k = 0; k < n; k++)
        memory_copy(expected + to + k * size, stores ? (const uint8_t *)&c.ax : expected + from + k * size, size);
    RUN_THROUGH("REP", s, &c);
    bool right = c.cx == 0 && c.di == ADDR(pages) + to + n * size && c.si == ADDR(pages) + from + (stores ? 0 : n * size) &&
                 c.flags == flags && !memory_compare(pages, expected, RUN_BYTES);
    if (!right)
        print("#   size %u from %u to %u count %u: CX %lx SI %lx DI %lx\n", size, from, to, n, c.cx, c.si, c.di);
    CHECK("registers, flags and memory", right);
}

TEST(rep_runs)
{
    const struct snip *movs[] = FOUR("rep movs"), *stos[] = FOUR("rep stos");
    static const unsigned at[] = {0, 1, PAGE_SIZE - 64, PAGE_SIZE - 7, PAGE_SIZE - 1, PAGE_SIZE}, lengths[] = {0, 1, 8, 56, 64, 72, PAGE_SIZE - 8, PAGE_SIZE};
    uint8_t *pages = pages_map();
    for (unsigned i = 0; i < SIZES; i++)
        for (unsigned a = 0; a < COUNT(at); a++)
            for (unsigned l = 0; l < COUNT(lengths); l++) {
                unsigned size = (unsigned)sizes[i], n = lengths[l] == 1 ? 1 : lengths[l] / size;
                run_at(pages, stos[i], size, 0, at[a], n, true);
                run_at(pages, movs[i], size, at[a], 2 * PAGE_SIZE + 3, n, false);
                run_at(pages, movs[i], size, PAGE_SIZE - 40, at[a], n, false);
            }
    paging_off();
}

TEST(prefixes)
{
    struct context c;
    const struct snip *s = SNIP(".byte 0xf2; movsb");
    areas_fill();
    context_set(&c, s);
    c.cx = 5;
    c.si = ADDR(source);
    c.di = ADDR(target);
    RUN_THROUGH("REPNE MOVS is REP MOVS", s, &c);
    CHECK_EQUAL("CX", 0, c.cx);
    descriptor_set(SEL_FREE, (uint32_t)ADDR(source) + 0x100, 0xfff, SEG_DATA | SEG_W, SEG_B);
#ifdef __x86_64__
    /* FS's base, loaded with its selector. */
    s = SNIP("mov %eax, %fs; rep movsb %fs:(%rsi), %es:(%rdi)");
#else
    s = SNIP("mov %eax, %fs; rep movsb %fs:(%esi), %es:(%edi)");
#endif
    context_set(&c, s);
    c.ax = SEL_FREE;
    c.cx = 16;
    c.si = 0x10;
    c.di = ADDR(target);
    RUN_THROUGH("an override moves the source", s, &c);
    CHECK_EQUAL("not the target", 0, memory_compare(source + 0x110, target, 16));
    s = SNIP("mov %eax, %fs; .byte 0x64; rep stosb");
    context_set(&c, s);
    c.ax = SEL_FREE;
    c.cx = 4;
    c.di = ADDR(target);
    RUN_THROUGH("STOS has no override", s, &c);
    CHECK_EQUAL("stored at ES:DI", SEL_FREE & 0xff, target[3]);
    /* Two-byte forms keep the counter's and pointers' width. */
    s = SNIP("movsb; lodsb; stosb; scasb; cmpsb");
    areas_fill();
    context_set(&c, s);
    c.si = ADDR(source);
    c.di = ADDR(target);
    RUN_THROUGH("without REP", s, &c);
    CHECK_EQUAL("SI", ADDR(source) + 3, c.si);
    CHECK_EQUAL("DI", ADDR(target) + 4, c.di);
    CHECK_EQUAL("CX", 0, c.cx);
}

/* 67: CX, SI, DI of 16 bits in world 32; ECX, ESI, EDI in world 64, which zero-extend. */
TEST(address_size)
{
    struct context c;
    const struct snip *s = SNIP(".byte 0x67; rep movsb");
    volatile uint8_t *low = (volatile uint8_t *)0xc000;
    for (unsigned i = 0; i < 0x100; i++)
        low[i] = (uint8_t)(i + 1);
    context_set(&c, s);
    if (WORLD == 32) {
        c.cx = 0xabcd0010;
        c.si = 0x1234c000;
        c.di = 0x5678c100;
        RUN_THROUGH("16-bit registers", s, &c);
        CHECK_EQUAL("CX alone counts", 0xabcd0000, c.cx);
        CHECK_EQUAL("SI alone moves", 0x1234c010, c.si);
        CHECK_EQUAL("DI alone moves", 0x5678c110, c.di);
    } else {
        c.cx = (word)0x1111111100000010ull;
        c.si = (word)0x222222220000c000ull;
        c.di = (word)0x333333330000c100ull;
        RUN_THROUGH("32-bit registers", s, &c);
        CHECK_EQUAL("RCX is zero-extended", 0, c.cx);
        CHECK_EQUAL("RSI too", 0xc010, c.si);
        CHECK_EQUAL("RDI too", 0xc110, c.di);
    }
    CHECK_EQUAL("copied", 0, memory_compare((void *)0xc000, (void *)0xc100, 16));
    s = SNIP(".byte 0x67; rep stosb");
    context_set(&c, s);
    c.cx = WORLD == 32 ? 0xffff0000u : (word)0xffffffff00000000ull;
    c.di = (word)-1;
    RUN_THROUGH("a count of 0 in the narrow register", s, &c);
    CHECK_EQUAL("stores nothing", WORLD == 32 ? 0xffff0000u : 0, c.cx & 0xffff0000u);
    s = SNIP(".byte 0x67; movsb");
    if (WORLD == 32) {
        *(volatile uint8_t *)0xffff = 0x5a;
        context_set(&c, s);
        c.si = 0xffff;
        c.di = 0xc200;
        RUN_THROUGH("SI wraps at 64 KiB", s, &c);
        CHECK_EQUAL("SI", 0, c.si);
        CHECK_EQUAL("moved", 0x5a, low[0x200]);
    }
}

/* A fault in iteration k leaves CX, SI, DI as after k iterations, and the instruction resumes. */
TEST(fault_progress)
{
    const struct snip *movs[] = FOUR("rep movs"), *stos[] = FOUR("rep stos"), *lods[] = FOUR("rep lods"),
                      *scas[] = FOUR("repne scas"), *cmps[] = FOUR("repe cmps");
    struct {
        const char *what;
        const struct snip **s;
        bool reads, writes;
    } table[] = {{"REP MOVS, target", movs, false, true}, {"REP MOVS, source", movs, true, false},
                 {"REP STOS", stos, false, true},         {"REP LODS", lods, true, false},
                 {"REPNE SCAS", scas, false, false},      {"REPE CMPS", cmps, true, false}};
    struct context c;
    paging_on(PAGES_NATIVE, PTE_U);
    for (unsigned t = 0; t < COUNT(table); t++) {
        for (unsigned i = 0; i < SIZES; i++) {
            for (unsigned down = 0; down <= 1; down++) {
                word size = sizes[i], count = 20, before = 9;
                /* Upwards page 1 is there and 2 is missing; downwards the other way round. */
                unsigned there = down ? 2 : 1, missing = down ? 1 : 2;
                entry_set(1, there, FRAME(there) | PTE_P | PTE_W | PTE_U);
                entry_set(1, missing, 0);
                flush();
                memory_set(frames[1], 0x11, PAGE_SIZE);
                memory_set(frames[2], 0x11, PAGE_SIZE);
                memory_set(source, 0x11, sizeof(source));
                word border = WINDOW_PAGE(2);
                word at = down ? border + (before - 1) * size : border - before * size;
                word step = down ? (word)0 - size : size;
                word other = ADDR(source) + 2 * KiB;
                context_set(&c, table[t].s[i]);
                c.ax = 0x22;
                c.cx = count;
                c.flags |= down ? FLAG_DF : 0;
                c.si = table[t].reads ? at : other;
                c.di = table[t].reads ? other : at;
                write_cr2(0);
                word si = c.si, di = c.di;
                bool uses_si = t != 2 && t != 4, uses_di = t != 3;
                RUN_FAULT(table[t].what, table[t].s[i], &c, PF, table[t].writes ? PF_W : 0);
                CHECK_EQUAL("CX counts what is done", count - before, c.cx);
                CHECK_EQUAL("SI", uses_si ? si + before * step : si, c.si);
                CHECK_EQUAL("DI", uses_di ? di + before * step : di, c.di);
                CHECK_EQUAL("CR2", at + before * step, c.cr2);
                CHECK_EQUAL("[qemu] RF is set in the saved flags", FLAG_RF, c.flags & FLAG_RF);
                entry_set(1, missing, FRAME(missing) | PTE_P | PTE_W | PTE_U);
                RUN_THROUGH("resumed", table[t].s[i], &c);
                CHECK_EQUAL("CX is 0", 0, c.cx);
                CHECK_EQUAL("SI at the end", uses_si ? si + count * step : si, c.si);
                CHECK_EQUAL("DI at the end", uses_di ? di + count * step : di, c.di);
                if (table[t].writes) {
                    word lowest = down ? at - (count - 1) * size : at;
                    bool same = true;
                    for (word k = 0; k < count * size; k++) {
                        uint8_t expect = t == 0 ? 0x11 : k % size == 0 ? 0x22 : 0;
                        same &= *(volatile uint8_t *)(lowest + k) == expect;
                    }
                    CHECK("memory is complete", same);
                }
            }
        }
    }
    /* An element that straddles the border: it is not begun. */
    entry_set(1, 1, FRAME(1) | PTE_P | PTE_W);
    entry_set(1, 2, 0);
    flush();
    memory_set(frames[1], 0x11, PAGE_SIZE);
    context_set(&c, stos[2]);
    c.ax = 0x22222222;
    c.cx = 10;
    c.di = WINDOW_PAGE(2) - 10;
    RUN_FAULT("an element over the border", stos[2], &c, PF, PF_W);
    CHECK_EQUAL("CX", 8, c.cx);
    CHECK_EQUAL("DI", WINDOW_PAGE(2) - 2, c.di);
    CHECK_EQUAL("CR2", WINDOW_PAGE(2), c.cr2);
    CHECK_EQUAL("its first half is not written", 0x1111, *(uint16_t *)(void *)(frames[1] + 4094));
    paging_off();
}

/* Ports: the scratch register of COM1 keeps what is written. */
TEST(ins_outs)
{
    struct context c;
    const struct snip *outs = SNIP("rep outsb"), *ins = SNIP("rep insb"), *one = SNIP("insb; outsb"),
                      *insw = SNIP("rep insw"), *insl = SNIP("rep insl");
    enum { SCRATCH = 0x3ff };
    areas_fill();
    context_set(&c, outs);
    c.dx = SCRATCH;
    c.cx = 30;
    c.si = ADDR(source);
    RUN_THROUGH("REP OUTSB", outs, &c);
    CHECK_EQUAL("SI", ADDR(source) + 30, c.si);
    CHECK_EQUAL("CX", 0, c.cx);
    CHECK_EQUAL("the last byte", source[29], inb(SCRATCH));
    context_set(&c, ins);
    c.dx = SCRATCH;
    c.cx = 30;
    c.di = ADDR(target);
    RUN_THROUGH("REP INSB", ins, &c);
    CHECK_EQUAL("DI", ADDR(target) + 30, c.di);
    bool same = true;
    for (unsigned i = 0; i < 30; i++)
        same &= target[i] == source[29];
    CHECK("bytes read", same);
    CHECK_EQUAL("no more", 0xee, target[30]);
    context_set(&c, ins);
    c.dx = SCRATCH;
    c.cx = 5;
    c.di = ADDR(target) + 100;
    c.flags |= FLAG_DF;
    RUN_THROUGH("REP INSB downwards", ins, &c);
    CHECK_EQUAL("DI", ADDR(target) + 95, c.di);
    CHECK_EQUAL("written", source[29], target[96]);
    CHECK_EQUAL("not written", 0xee, target[95]);
    context_set(&c, one);
    c.dx = SCRATCH;
    c.si = ADDR(source);
    c.di = ADDR(target);
    RUN_THROUGH("INSB, OUTSB", one, &c);
    CHECK_EQUAL("DI", ADDR(target) + 1, c.di);
    CHECK_EQUAL("SI", ADDR(source) + 1, c.si);
    context_set(&c, insw);
    c.dx = 0x8a10; /* a hole */
    c.cx = 3;
    c.di = ADDR(target) + 200;
    RUN_THROUGH("REP INSW of a hole", insw, &c);
    CHECK_EQUAL("DI", ADDR(target) + 206, c.di);
    CHECK_EQUAL("all ones", 0xffffffffu, *(uint32_t *)(void *)(target + 200));
    context_set(&c, insl);
    c.dx = 0x8a10;
    c.cx = 3;
    c.di = ADDR(target) + 300;
    RUN_THROUGH("REP INSL of a hole", insl, &c);
    CHECK_EQUAL("DI", ADDR(target) + 312, c.di);
    CHECK_EQUAL("all ones", 0xffffffffu, *(uint32_t *)(void *)(target + 308));
    /* INS into a page that is missing: the fault comes with exact progress. */
    paging_on(PAGES_NATIVE, PTE_U);
    entry_set(1, 1, FRAME(1) | PTE_P | PTE_W);
    entry_set(1, 2, 0);
    flush();
    context_set(&c, ins);
    c.dx = SCRATCH;
    c.cx = 10;
    c.di = WINDOW_PAGE(2) - 4;
    RUN_FAULT("REP INSB into a missing page", ins, &c, PF, PF_W);
    CHECK_EQUAL("CX", 6, c.cx);
    CHECK_EQUAL("DI", WINDOW_PAGE(2), c.di);
    paging_off();
}
