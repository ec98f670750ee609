/* LOCK before every opcode of the one- and two-byte maps, with every ModRM.reg, on memory and on registers:
 * #UD but for the forms of SDM vol. 2, "LOCK", and those write. `from=` and `to=` narrow the opcodes for a
 * search. */
#include "guest.h"

static uint8_t code[64] ALIGNED(64);
static uint64_t cell[8] ALIGNED(64);

/* Prefixes, escapes, and what is no opcode of its own here. */
static bool passed_over(unsigned map, unsigned op)
{
    if (map)
        return op == 0x38 || op == 0x3a;
    return op == 0x0f || op == 0x26 || op == 0x2e || op == 0x36 || op == 0x3e || (op >= 0x64 && op <= 0x67) ||
           op == 0xf0 || op == 0xf2 || op == 0xf3 || (WORLD == 64 && (op & 0xf0) == 0x40);
}

/* May be locked when its destination is memory. */
static bool lockable(unsigned map, unsigned op, unsigned reg)
{
    if (map) {
        if (op == 0xba)
            return reg >= 5;
        if (op == 0xc7)
            return reg == 1;
        return op == 0xab || op == 0xb3 || op == 0xbb || op == 0xb0 || op == 0xb1 || op == 0xc0 || op == 0xc1;
    }
    if (op < 0x32)
        return (op & 7) < 2 && op >> 3 != 7;
    if (op == 0x80 || op == 0x81 || op == 0x83 || (op == 0x82 && WORLD == 32))
        return reg != 7;
    if (op == 0x86 || op == 0x87)
        return true;
    if (op == 0xf6 || op == 0xf7)
        return reg == 2 || reg == 3;
    return (op == 0xfe || op == 0xff) && reg < 2;
}

/* The context's registers make every form harmless: BX is the cell, AX, DX, CX zero. */
static unsigned run(unsigned map, unsigned op, unsigned modrm, struct context *c)
{
    static const struct snip *end;
    unsigned n = 0;
    end = SNIP("nop\n");
    memory_set(code, 0x90, sizeof(code));
    code[n++] = 0xf0;
    if (map)
        code[n++] = 0x0f;
    code[n++] = (uint8_t)op;
    code[n++] = (uint8_t)modrm;
    code[16] = 0xcd; /* NOPs serve as immediates up to here */
    code[17] = 0x30;
    context_set(c, end);
    c->ip = ADDR(code);
    c->bx = ADDR(cell);
    context_run(c);
    return (unsigned)c->vector;
}

static void try_map(unsigned map)
{
    struct context c;
    unsigned long from = option_number("from", 0), to = option_number("to", 255);
    if (known(QUIRK_QEMU, "LOCK is taken before MOV, TEST, HLT and others"))
        return;
    for (unsigned op = (unsigned)from; op <= to; op++) {
        if (passed_over(map, op))
            continue;
        for (unsigned reg = 0; reg < 8; reg++) {
            for (unsigned form = 0; form < 2; form++) {
                unsigned modrm = reg << 3 | (form ? 0xc3 : 0x03);
                bool locked = !form && lockable(map, op, reg);
                unsigned vector = run(map, op, modrm, &c);
                if (locked ? vector == EXIT : vector == UD && c.ip == ADDR(code))
                    continue;
                print("# f0 %s%02x %02x: vector %u at %lx\n", map ? "0f " : "", op, modrm, vector,
                      c.ip - ADDR(code));
                CHECK_EQUAL(locked ? "LOCK is allowed" : "LOCK is #UD", locked ? EXIT : UD, vector);
            }
        }
    }
}

TEST(one_byte)
{
    try_map(0);
}

TEST(two_byte)
{
    try_map(1);
}

/* The prefix comes first: #UD though the operand would fault, and though CPL forbids the instruction. */
TEST(before_other_faults)
{
    struct context c;
    FAULT("[qemu] LOCK MOV would be #GP or #PF", SNIP(".byte 0xf0; mov %cr0, " AX "\n"), UD, NO_ERROR);
    const struct snip *s = SNIP(".byte 0xf0; hlt\n");
    context_set_user(&c, s);
    RUN_FAULT("[qemu] LOCK HLT in ring 3", s, &c, UD, NO_ERROR);
    s = SNIP(".byte 0xf0; cli\n");
    context_set_user(&c, s);
    RUN_FAULT("[qemu] LOCK CLI in ring 3", s, &c, UD, NO_ERROR);
}
