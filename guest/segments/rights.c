/* LAR, LSL, VERR, VERW and loads of DS and SS: every kind of segment, DPL, RPL, CPL and P. Null selectors,
 * ARPL. SDM 3A 6.5–6.9, 6.10.1–6.10.3; SDM 2 LAR, LSL, VERR, MOV. */
#include "guest.h"

enum { TARGET = SEL_FREE, RING_CODE = SEL_FREE + 0x10, RING_DATA = SEL_FREE + 0x18 };

struct kind {
    unsigned access;
    bool code, conforming, readable, writable;
};
static const struct kind kinds[] = {
    {SEG_DATA, false, false, true, false},
    {SEG_DATA | SEG_W, false, false, true, true},
    {SEG_DATA | SEG_W | SEG_DOWN, false, false, true, true},
    {SEG_CODE, true, false, false, false},
    {SEG_CODE | SEG_R, true, false, true, false},
    {SEG_CODE | SEG_CONFORMING, true, true, false, false},
    {SEG_CODE | SEG_CONFORMING | SEG_R, true, true, true, false},
};

static void ring_set(struct context *c, const struct snip *s, unsigned ring)
{
    context_set(c, s);
    if (!ring)
        return;
    descriptor_set(RING_CODE, 0, 0xfffff, SEG_CODE | SEG_R | SEG_DPL(ring),
                   SEG_G | (WORLD == 64 ? SEG_L : SEG_B));
    descriptor_set(RING_DATA, 0, 0xfffff, SEG_DATA | SEG_W | SEG_DPL(ring), SEG_G | SEG_B);
    c->cs = RING_CODE | ring;
    c->ss = RING_DATA | ring;
    c->ds = c->es = c->fs = c->gs = 0;
}

static void one(const struct kind *k, unsigned dpl, unsigned rpl, unsigned cpl, bool present)
{
    const struct snip *ask = SNIP("lar %eax, %ecx; setz %bl; lsl %eax, %edx; setz %bh; mov %ebx, %esi\n"
                                  "verr %ax; setz %bl; verw %ax; setz %bh"),
                      *ds = SNIP("mov %eax, %ds"), *ss = SNIP("mov %eax, %ss");
    struct context c;
    word selector = TARGET | rpl;
    bool reach = k->conforming || (dpl >= cpl && dpl >= rpl), ok = true;
    descriptor_set(TARGET, 0, 0x12345, (k->access & ~(present ? 0 : SEG_P)) | SEG_DPL(dpl), SEG_B);
    ring_set(&c, ask, cpl);
    c.ax = selector;
    context_run(&c);
    ok &= CHECK_EQUAL("LAR, LSL", reach ? 0x101 : 0, c.si);
    ok &= CHECK_EQUAL("VERR", reach && k->readable, c.bx & 1);
    ok &= CHECK_EQUAL("VERW", reach && k->writable, c.bx >> 8 & 1);
    ok &= CHECK_EQUAL("limit", reach ? 0x12345 : 0, c.dx);
    if (reach)
        ok &= CHECK_EQUAL("rights", (k->access & ~(present ? 0 : SEG_P)) | SEG_DPL(dpl), c.cx >> 8 & 0xff);
    ring_set(&c, ds, cpl);
    c.ax = selector;
    unsigned vector = !k->readable || !reach ? GP : present ? EXIT : NP;
    context_run(&c);
    ok &= CHECK_EQUAL("MOV DS", vector, c.vector);
    if (vector != EXIT)
        ok &= CHECK_EQUAL("MOV DS: error code", TARGET, c.error);
    ring_set(&c, ss, cpl);
    c.ax = selector;
    vector = rpl != cpl || dpl != cpl || !k->writable ? GP : present ? EXIT : SS;
    if (vector == EXIT && k->access & SEG_DOWN)
        vector = 0; /* no stack for an exit in the same ring */
    if (vector) {
        context_run(&c);
        ok &= CHECK_EQUAL("MOV SS", vector, c.vector);
        if (vector != EXIT)
            ok &= CHECK_EQUAL("MOV SS: error code", TARGET, c.error);
    }
    if (!ok)
        print("#   access %x DPL %u RPL %u CPL %u present %u\n", k->access, dpl, rpl, cpl, present);
}

TEST(rights)
{
    for (unsigned k = 0; k < COUNT(kinds); k++) {
        for (unsigned n = 0; n < 128; n++) {
            unsigned dpl = n & 3, rpl = n >> 2 & 3, cpl = n >> 4 & 3;
            /* A sound SS in ring 0 or of another limit would hold the exit's frame: its limit is 12345h. */
            if (kinds[k].writable && !cpl && !dpl && !rpl && WORLD == 32)
                continue;
            one(&kinds[k], dpl, rpl, cpl, n >> 6);
        }
    }
    descriptor_raw(TARGET, 0);
    tables_load();
}

TEST(null)
{
    struct context c;
    const struct snip *all =
                          SNIP("mov %eax, %ds; mov %eax, %es; mov %eax, %fs; mov %eax, %gs; mov %ds, %ecx"),
                      *ss = SNIP("mov %eax, %ss"),
                      *ask = SNIP("lar %eax, %ecx; setz %bl; lsl %eax, %edx; setz %bh\n"
                                  "mov %ebx, %esi; verr %ax; setz %bl; verw %ax; setz %bh");
    for (unsigned n = 0; n < 8; n++) {
        unsigned rpl = n & 3;
        bool user = n & 4;
        (user ? context_set_user : context_set)(&c, all);
        c.ax = rpl;
        RUN_THROUGH("null loads into DS, ES, FS, GS", all, &c);
        CHECK_EQUAL("with its RPL", rpl, c.cx);
        (user ? context_set_user : context_set)(&c, ss);
        c.ax = rpl;
        if (WORLD == 64 && !user && !rpl)
            RUN_THROUGH("64-bit: null SS with RPL = CPL < 3", ss, &c);
        else
            RUN_FAULT("[qemu] null SS", ss, &c, GP, 0);
        (user ? context_set_user : context_set)(&c, ask);
        c.ax = rpl;
        RUN_THROUGH("LAR, LSL, VERR, VERW of null", ask, &c);
        CHECK_EQUAL("none succeeds", 0, c.si | c.bx);
    }
}

#ifndef __x86_64__
TEST(arpl)
{
    struct context c;
    const struct snip *s = SNIP("arpl %cx, %ax"), *m = SNIP("arpl %cx, (%ebx)");
    static uint16_t cell[2];
    for (unsigned n = 0; n < 32; n++) {
        unsigned to = n & 3, from = n >> 2 & 3;
        (n & 16 ? context_set_user : context_set)(&c, s);
        c.ax = 0xabcd1230 | to;
        c.cx = 0x5678fff0 | from;
        RUN_THROUGH("ARPL", s, &c);
        CHECK_EQUAL("RPL is raised, never lowered; 16 bits written", 0xabcd1230 | (to < from ? from : to),
                    c.ax);
        CHECK_EQUAL("ZF: it was", to < from ? FLAG_ZF : 0, c.flags & FLAG_ZF);
        (n & 16 ? context_set_user : context_set)(&c, m);
        cell[0] = (uint16_t)(0x1230 | to);
        cell[1] = 0x7777;
        c.cx = from;
        c.bx = ADDR(cell);
        RUN_THROUGH("ARPL to memory", m, &c);
        CHECK_EQUAL("16 bits", 0x1230 | (to < from ? from : to), cell[0]);
        CHECK_EQUAL("no more", 0x7777, cell[1]);
    }
}
#else
/* Limits and types hold in compatibility mode, expand-down too; the same selectors mean nothing in 64-bit
 * code. */
TEST(compatibility_limits)
{
    static uint8_t area[64 * KiB] ALIGNED(4096);
    const struct snip *s = SNIP32("mov %fs:(%ebx), %al"), *w = SNIP32("mov %al, %fs:(%ebx)"),
                      *wide = SNIP32("mov %fs:(%ebx), %eax");
    static const struct {
        const char *what;
        unsigned access;
        uint32_t limit, offset;
        bool wide, write, fault;
    } table[] = {
        {"last byte", SEG_DATA | SEG_W, 0xfff, 0xfff, false, false, false},
        {"[qemu] beyond", SEG_DATA | SEG_W, 0xfff, 0x1000, false, false, true},
        {"[qemu] over the limit", SEG_DATA | SEG_W, 0xfff, 0xffd, true, false, true},
        {"[qemu] write to read-only", SEG_DATA, 0xfff, 0, false, true, true},
        {"[qemu] expand-down: at the limit", SEG_DATA | SEG_W | SEG_DOWN, 0xfff, 0xfff, false, false, true},
        {"expand-down: above", SEG_DATA | SEG_W | SEG_DOWN, 0xfff, 0x1000, false, false, false},
        {"[qemu] expand-down: over the limit", SEG_DATA | SEG_W | SEG_DOWN, 0xfff, 0xffe, true, false, true},
        {"code: read", SEG_CODE | SEG_R, 0xfff, 0, false, false, false},
        {"[qemu] code: write", SEG_CODE | SEG_R, 0xfff, 0, false, true, true},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        for (unsigned user = 0; user <= 1; user++) {
            struct context c;
            const struct snip *t = table[i].wide ? wide : table[i].write ? w : s;
            descriptor_set(TARGET, (uint32_t)ADDR(area), table[i].limit, table[i].access | SEG_DPL(3), SEG_B);
            (user ? context_set_user : context_set)(&c, t);
            c.cs = user ? SEL_USER_CODE32 | 3 : SEL_CODE32;
            c.fs = TARGET | 3;
            c.bx = table[i].offset;
            if (table[i].fault)
                RUN_FAULT(table[i].what, t, &c, GP, 0);
            else
                RUN_THROUGH(table[i].what, t, &c);
        }
    }
    descriptor_raw(TARGET, 0);
}
#endif
