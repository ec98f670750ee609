/* LAR, LSL, VERR, VERW, ARPL; LLDT, LTR, SLDT, STR, SGDT, SIDT, SMSW; MOV and POP of segment registers;
 * the shadow of MOV SS; UMIP. Both worlds. SDM 3A 5.10, 5.11; SDM 2. */
#include "guest.h"

enum { SEG = SEL_FREE };

static bool lar(word selector, word *rights)
{
    bool ok;
    word out = 0xdead;
    __asm__("lar %2, %0" : "+r"(out), "=@ccz"(ok) : "r"(selector));
    *rights = out;
    return ok;
}

static bool lsl(word selector, word *limit)
{
    bool ok;
    word out = 0xdead;
    __asm__("lsl %2, %0" : "+r"(out), "=@ccz"(ok) : "r"(selector));
    *limit = out;
    return ok;
}

static bool verr(word selector)
{
    bool ok;
    __asm__("verr %w1" : "=@ccz"(ok) : "r"(selector));
    return ok;
}

static bool verw(word selector)
{
    bool ok;
    __asm__("verw %w1" : "=@ccz"(ok) : "r"(selector));
    return ok;
}

/* Which system types LAR and LSL accept: tables of SDM 2A, LAR and LSL. */
static bool type_valid(unsigned type, bool for_lsl)
{
    static const uint16_t lar32 = 0x1a3e, lsl32 = 0x0a0e, lar64 = 0x1a04, lsl64 = 0x0a04;
    uint16_t valid = WORLD == 64 ? (for_lsl ? lsl64 : lar64) : (for_lsl ? lsl32 : lar32);
    return valid >> type & 1;
}

TEST(lar_lsl_types)
{
    for (unsigned type = 0; type < 32; type++) {
        word rights, limit;
        bool code_or_data = type & 16;
        descriptor_set(SEG, 0x12345678, 0x54321, SEG_P | type, SEG_B);
        descriptor_raw(SEG + 8, 0);
        bool ok = lar(SEG, &rights);
        CHECK_EQUAL("[qemu] LAR", code_or_data || type_valid(type, false), ok);
        CHECK_EQUAL("LAR's result", ok ? (SEG_P | type) << 8 | 0x400000u : 0xdead,
                    ok ? rights & 0xf0ff00 : rights);
        ok = lsl(SEG, &limit);
        CHECK_EQUAL("[qemu] LSL", code_or_data || type_valid(type, true), ok);
        CHECK_EQUAL("LSL's result", ok ? 0x54321 : 0xdead, limit);
        bool code = code_or_data && type & 8;
        CHECK_EQUAL("VERR", code_or_data && (!code || type & SEG_R), verr(SEG));
        CHECK_EQUAL("VERW", code_or_data && !code && type & SEG_W, verw(SEG));
    }
    word limit, rights;
    descriptor_set(SEG, 0, 0x54321, SEG_DATA | SEG_W, SEG_G | SEG_B);
    CHECK("LSL of a granular limit", lsl(SEG, &limit));
    CHECK_EQUAL("in bytes", 0x54321fff, limit);
    descriptor_set(SEG, 0, 0xfffff, SEG_DATA & ~SEG_P, SEG_G);
    CHECK("LAR does not look at P", lar(SEG, &rights));
    CHECK("LAR of null clears ZF", !lar(0, &rights));
    CHECK("LAR beyond the GDT", !lar(SEL_LIMIT, &rights));
    CHECK("LAR of the LDT's empty slot", !lar(8 | TI, &rights));
    CHECK("VERR of null", !verr(0));
    CHECK("VERW beyond", !verw(SEL_LIMIT));
    descriptor_set(SEG, 0, 0xfffff, SEG_DATA | SEG_W, SEG_G);
    CHECK("LAR: DPL below RPL", !lar(SEG | 3, &rights));
    CHECK("VERW: DPL below RPL", !verw(SEG | 3));
    descriptor_set(SEG, 0, 0xfffff, SEG_CODE | SEG_R | SEG_CONFORMING, SEG_G);
    CHECK("LAR: conforming code has no DPL check", lar(SEG | 3, &rights));
    CHECK("VERR: nor has it here", verr(SEG | 3));
}

TEST(lar_user)
{
    struct context c;
    const struct snip *s =
        SNIP("mov $-1, %ecx; mov $-1, %edx; lar %eax, %ecx; setz %bl; lsl %eax, %edx; setz %bh");
    context_set_user(&c, s);
    c.ax = SEL_DATA;
    RUN_THROUGH("LAR of kernel data in ring 3", s, &c);
    CHECK_EQUAL("refused", 0, c.bx & 0xffff);
    CHECK_EQUAL("destination unchanged", 0xffffffff, c.cx);
    context_set_user(&c, s);
    c.ax = SEL_USER_DATA;
    RUN_THROUGH("LAR of user data in ring 3", s, &c);
    CHECK_EQUAL("given", 0x101, c.bx & 0xffff);
    CHECK_EQUAL("limit", 0xffffffff, c.dx);
}

TEST(tables_store)
{
    struct context c;
    struct table gdtr, idtr;
    uint16_t tr, ldtr;
    __asm__ volatile("sgdt %0" : "=m"(gdtr));
    __asm__ volatile("sidt %0" : "=m"(idtr));
    CHECK_EQUAL("SGDT base", ADDR(gdt), gdtr.base);
    CHECK_EQUAL("SGDT limit", SEL_LIMIT - 1, gdtr.limit);
    CHECK_EQUAL("SIDT limit", 256 * (WORLD == 64 ? 16 : 8) - 1, idtr.limit);
    __asm__ volatile("str %0" : "=m"(tr));
    __asm__ volatile("sldt %0" : "=m"(ldtr));
    CHECK_EQUAL("STR", SEL_TSS, tr);
    CHECK_EQUAL("SLDT", SEL_LDT, ldtr);
    CHECK_EQUAL("LTR marked its TSS busy", SYS_TSS_BUSY, *descriptor_at(SEL_TSS) >> 40 & 0x1f);
    const struct snip *s = SNIP("mov $-1, %eax; str %eax; mov $-1, %ecx; str %cx; mov $-1, %edx; smsw %edx");
    context_set_user(&c, s);
    RUN_THROUGH("STR and SMSW in ring 3", s, &c);
    CHECK_EQUAL("STR r32 clears the upper half", SEL_TSS, c.ax);
    CHECK_EQUAL("STR r16 does not", 0xffff0000 | SEL_TSS, c.cx);
    CHECK_EQUAL("SMSW r32 gives CR0", (uint32_t)read_cr0(), c.dx);
    if (!CPU_HAS_UMIP)
        return;
    write_cr4(read_cr4() | CR4_UMIP);
    const struct snip *snips[] = {SNIP("str %ax"), SNIP("sldt %ax"), SNIP("smsw %ax"), SNIP("sgdt (" BX ")"),
                                  SNIP("sidt (" BX ")")};
    for (unsigned i = 0; i < COUNT(snips); i++) {
        context_set_user(&c, snips[i]);
        c.bx = ADDR(snippet_stack);
        RUN_FAULT("[qemu] UMIP in ring 3", snips[i], &c, GP, 0);
        context_set(&c, snips[i]);
        c.bx = ADDR(snippet_stack);
        RUN_THROUGH("UMIP in ring 0", snips[i], &c);
    }
    write_cr4(read_cr4() & ~(word)CR4_UMIP);
}

TEST(lldt_ltr)
{
    struct context c;
    const struct snip *lldt = SNIP("lldt %ax"), *ltr = SNIP("ltr %ax");
    struct {
        const char *what;
        const struct snip *s;
        word selector;
    } table[] = {
        {"LLDT of data", lldt, SEL_DATA},       {"LLDT beyond the GDT", lldt, SEL_LIMIT},
        {"LLDT from the LDT", lldt, 8 | TI},    {"LLDT of a TSS", lldt, SEL_TSS},
        {"LTR of data", ltr, SEL_DATA},         {"LTR of a busy TSS", ltr, SEL_TSS},
        {"LTR beyond the GDT", ltr, SEL_LIMIT}, {"LTR from the LDT", ltr, 8 | TI},
        {"LTR of an LDT", ltr, SEL_LDT},        {"[qemu] LTR of null", ltr, 0},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        context_set(&c, table[i].s);
        c.ax = table[i].selector;
        RUN_FAULT(table[i].what, table[i].s, &c, GP, table[i].selector & 0xfffc);
    }
    context_set(&c, lldt);
    RUN_THROUGH("LLDT of null", lldt, &c);
    tables_load();
}

TEST(mov_pop_segments)
{
    struct context c;
    const struct snip *s =
        SNIP("push" W " $0x10; pop %fs; push %gs; pop " AX "; mov %fs, %ecx; mov $-1, " DX "; mov %fs, %dx\n"
             "mov $-1, " SI "; mov %fs, " SI);
    context_set(&c, s);
    RUN_THROUGH("PUSH, POP, MOV", s, &c);
    CHECK_EQUAL("FS", SEL_DATA, c.fs);
    CHECK_EQUAL("PUSH GS", SEL_DATA, c.ax & 0xffff);
    CHECK_EQUAL("MOV r32 clears the upper half", SEL_DATA, c.cx);
    CHECK_EQUAL("MOV r16 does not", ((word)-1 & ~(word)0xffff) | SEL_DATA, c.dx);
    CHECK_EQUAL("MOV of the native size", SEL_DATA, c.si);
    s = SNIP("mov $0xfff8, %eax; push " AX "\n" AT "pop %fs");
    context_set(&c, s);
    RUN_FAULT("POP FS beyond the GDT", s, &c, GP, 0xfff8);
    CHECK_EQUAL("SP is not moved by the fault", SNIPPET_STACK_TOP - sizeof(word), c.sp);
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far = {0x12345678, SEL_DATA};
    s = SNIP("lfs (" BX "), %eax; lss (" BX "), %ecx; lgs (" BX "), %dx");
    context_set(&c, s);
    c.bx = ADDR(&far);
    c.ax = c.cx = c.dx = (word)-1;
    far.selector = SEL_DATA;
    far.offset = 0x00105678; /* LGS r16 takes its selector at offset 2 */
    RUN_THROUGH("LFS, LSS, LGS", s, &c);
    CHECK_EQUAL("offset of 32 bits", 0x00105678, c.ax);
    CHECK_EQUAL("LSS", 0x00105678, c.cx);
    CHECK_EQUAL("offset of 16 bits", 0x5678, c.dx & 0xffff);
}

/* MOV SS and POP SS hold off #DB until after the next instruction; a second in a row does not extend. */
TEST(mov_ss_shadow)
{
    struct context c;
    const struct snip *s = SNIP("mov %ecx, %ss; inc %eax\n" AT "inc %eax");
    context_set(&c, s);
    c.cx = SEL_DATA;
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("no single-step trap between MOV SS and the next", &c, DB, NO_ERROR, s->at);
    CHECK_EQUAL("one INC done", 1, c.ax);
    s = SNIP("mov %ecx, %ds\n" AT "inc %eax");
    context_set(&c, s);
    c.cx = SEL_DATA;
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("MOV DS has no shadow", &c, DB, NO_ERROR, s->at);
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far;
    far.offset = (uint32_t)SNIPPET_STACK_TOP;
    far.selector = SEL_DATA;
    s = SNIP("lss (" BX "), %esp\n" AT "inc %eax");
    context_set(&c, s);
    c.bx = ADDR(&far);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EXIT("[qemu] LSS has no shadow", &c, DB, NO_ERROR, s->at);
    write_dr6(DR6_RESET);
}
