/* Segment limits byte by byte at the border, expand-down segments, types, null selectors, limits of
 * pushes, far transfers and string instructions, in 32-bit protected mode. SDM 3A 5.3, 5.4, 5.5.
 * QEMU's TCG checks no limits at all: nearly every fault here is [qemu]. */
#include "guest.h"

enum { SEG = SEL_FREE, SEG2 = SEL_FREE + 8 };
static uint8_t area[256 * KiB] ALIGNED(4096);

static const struct snip *reads[4], *writes[4];
static const unsigned sizes[4] = {1, 2, 4, 8};

static void snips_init(void)
{
    reads[0] = SNIP("mov %fs:(%ebx), %al");
    reads[1] = SNIP("mov %fs:(%ebx), %ax");
    reads[2] = SNIP("mov %fs:(%ebx), %eax");
    reads[3] = SNIP("fldl %fs:(%ebx)");
    writes[0] = SNIP("mov %al, %fs:(%ebx)");
    writes[1] = SNIP("mov %ax, %fs:(%ebx)");
    writes[2] = SNIP("mov %eax, %fs:(%ebx)");
    writes[3] = SNIP("fnstenv %fs:(%ebx)");
    __asm__ volatile("fninit");
}

static void access(const char *what, const struct snip *s, uint32_t offset, bool fault)
{
    struct context c;
    context_set(&c, s);
    c.fs = SEG;
    c.bx = offset;
    if (fault)
        RUN_FAULT(what, s, &c, GP, 0);
    else
        RUN_THROUGH(what, s, &c);
}

/* Every offset from 9 below the border to 2 above, each size. `last` is the last valid offset. */
static void border_up(uint32_t last)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned size = sizes[i];
        for (uint32_t offset = last - 9; offset != last + 3; offset++) {
            bool fault = offset > last || last - offset < size - 1;
            access("[qemu] read at the limit", reads[i], offset, fault);
            if (i < 3)
                access("[qemu] write at the limit", writes[i], offset, fault);
        }
    }
}

/* Bit strings reach as far from the operand as the bit number says, in both directions; what counts is the dword there. */
TEST(limit_bit_strings)
{
    const struct snip *snips[] = {SNIP("bt %ecx, %fs:(%ebx)"), SNIP("bts %ecx, %fs:(%ebx)"), SNIP("lock btr %ecx, %fs:(%ebx)"), SNIP("btc %ecx, %fs:(%ebx)")};
    descriptor_set(SEG, (uint32_t)ADDR(area), 0xfff, SEG_DATA | SEG_W, SEG_B);
    for (unsigned i = 0; i < COUNT(snips); i++)
        for (uint32_t last = 0xff8; last <= 0x1000; last++) {
            for (unsigned from = 0; from <= 0x800; from += 0x400) {
                struct context c;
                context_set(&c, snips[i]);
                c.fs = SEG;
                c.bx = (last & 3) + from;
                c.cx = (word)((last & ~3u) - from) * 8;
                if (last > 0xffc)
                    RUN_FAULT("[qemu] bit string behind the limit", snips[i], &c, GP, 0);
                else
                    RUN_THROUGH("bit string at the limit", snips[i], &c);
            }
        }
}

TEST(limit_expand_up)
{
    snips_init();
    descriptor_set(SEG, (uint32_t)ADDR(area), 0x7f, SEG_DATA | SEG_W, SEG_B);
    border_up(0x7f);
    descriptor_set(SEG, (uint32_t)ADDR(area), 0xffff, SEG_DATA | SEG_W, 0);
    border_up(0xffff);
    descriptor_set(SEG, (uint32_t)ADDR(area), 1, SEG_DATA | SEG_W, SEG_G | SEG_B);
    border_up(0x1fff); /* G: the limit's low 12 bits are ones */
    descriptor_set(SEG, (uint32_t)ADDR(area), 0, SEG_DATA | SEG_W, SEG_B);
    access("limit 0: byte 0 is valid", reads[0], 0, false);
    access("[qemu] limit 0: byte 1 is not", reads[0], 1, true);
    access("[qemu] limit 0: no word", reads[1], 0, true);
    access("[qemu] an offset that wraps", reads[2], 0xffffffff, true);
    descriptor_set(SEG, (uint32_t)ADDR(area), 0xfffff, SEG_DATA | SEG_W, SEG_G | SEG_B);
    access("limit 4 GiB: an access may wrap", reads[0], 0xffffffff, false);
    access("base + offset wraps at 4 GiB", reads[2], 0 - (uint32_t)ADDR(area) + MiB, false);
}

TEST(limit_expand_down)
{
    snips_init();
    /* Valid: limit + 1 up to FFFF (B = 0) or FFFFFFFF (B = 1). */
    for (unsigned big = 0; big <= 1; big++) {
        uint32_t limit = 0x7fff, top = big ? 0xffffffff : 0xffff;
        descriptor_set(SEG, (uint32_t)ADDR(area), limit, SEG_DATA | SEG_W | SEG_DOWN, big ? SEG_B : 0);
        for (unsigned i = 0; i < 3; i++) {
            for (uint32_t offset = limit - 5; offset < limit + 5; offset++)
                access("[qemu] expand-down, lower border", reads[i], offset, offset <= limit);
            if (big)
                continue;
            for (uint32_t offset = top - 5; offset < top + 3; offset++)
                access("[qemu] expand-down of 16 bits, upper border", writes[i], offset,
                       offset + sizes[i] - 1 > top);
        }
        access("[qemu] offset 0", reads[0], 0, true);
    }
    descriptor_set(SEG, (uint32_t)ADDR(area), 0xfffff, SEG_DATA | SEG_W | SEG_DOWN, SEG_G | SEG_B);
    access("[qemu] expand-down with the whole 4 GiB as limit: nothing is valid", reads[0], 0x1000, true);
    access("[qemu] not even the top", reads[0], 0xffffffff, true);
    descriptor_set(SEG, (uint32_t)ADDR(area), 0, SEG_DATA | SEG_W | SEG_DOWN, SEG_B);
    access("[qemu] limit 0: byte 0 is outside", reads[0], 0, true);
    access("limit 0: byte 1 is inside", reads[0], 1, false);
}

TEST(types)
{
    snips_init();
    descriptor_set(SEG, (uint32_t)ADDR(area), 0xfff, SEG_DATA, SEG_B);
    access("read-only: read", reads[2], 0, false);
    access("[qemu] read-only: write", writes[2], 0, true);
    descriptor_set(SEG, (uint32_t)ADDR(area), 0xfff, SEG_CODE | SEG_R, SEG_B);
    access("readable code: read", reads[2], 0, false);
    access("[qemu] readable code: write", writes[2], 0, true);
    struct context c;
    const struct snip *s = SNIP("mov %cs:(%ebx), %eax"), *w = SNIP("mov %eax, %cs:(%ebx)");
    context_set(&c, s);
    c.bx = ADDR(area);
    RUN_THROUGH("read through CS", s, &c);
    context_set(&c, w);
    c.bx = ADDR(area);
    RUN_FAULT("[qemu] write through CS", w, &c, GP, 0);
    descriptor_set(SEG, 0, 0xfffff, SEG_CODE, SEG_G | SEG_B);
    context_set(&c, s);
    c.cs = SEG;
    c.bx = ADDR(area);
    RUN_FAULT("[qemu] read through execute-only CS", s, &c, GP, 0);
    s = SNIP("xor %eax, %eax; mov %eax, %fs\n" AT "mov %fs:(%ebx), %eax");
    FAULT("[qemu] null FS: use is #GP(0)", s, GP, 0);
    s = SNIP("mov $3, %eax; mov %eax, %gs; mov %gs, %ecx\n" AT "mov %al, %gs:(%ebx)");
    FAULT("[qemu] null GS with RPL 3", s, GP, 0);
    FAULT("null SS", SNIP("xor %eax, %eax\n" AT "mov %eax, %ss"), GP, 0);
    descriptor_set(SEG, 0, 0xfffff, SEG_DATA | SEG_W, SEG_G | SEG_B);
    s = SNIP("mov $0x80, %eax; mov %eax, %fs");
    descriptor_set(SEG, 0, 0xfffff, SEG_DATA | SEG_W, SEG_G | SEG_B);
    THROUGH("loading a segment", s);
    CHECK_EQUAL("sets its accessed bit", SEG_ACCESSED, *descriptor_at(SEG) >> 40 & 1);
}

/* The base is added modulo 4 GiB; DS, ES, FS, GS, SS each with its own. */
TEST(bases)
{
    struct context c;
    for (unsigned i = 0; i < 5; i++) {
        descriptor_set(SEG + 8 * i, (uint32_t)ADDR(area) + 4096 * i, 0xfff, SEG_DATA | SEG_W, SEG_B);
        *(uint32_t *)(void *)(area + 4096 * i + 0x10) = 0x1000 + i;
    }
    const struct snip *s =
        SNIP("mov %ds:0x10, %eax; mov %es:0x10, %ecx; mov %fs:0x10, %edx; mov %gs:0x10, %esi\n"
             "mov %ss:0x10, %edi; mov 0x10(%ebp), %ebp");
    context_set(&c, s);
    c.ds = SEG;
    c.es = SEG + 8;
    c.fs = SEG + 16;
    c.gs = SEG + 24;
    c.ss = SEG + 32;
    c.sp = 0x800;
    RUN_THROUGH("bases", s, &c);
    CHECK_EQUAL("DS", 0x1000, c.ax);
    CHECK_EQUAL("ES", 0x1001, c.cx);
    CHECK_EQUAL("FS", 0x1002, c.dx);
    CHECK_EQUAL("GS", 0x1003, c.si);
    CHECK_EQUAL("SS", 0x1004, c.di);
    CHECK_EQUAL("EBP is SS by default", 0x1004, c.bp);
    s = SNIP("mov $0x10, %edi; stosl; mov $0x10, %esi; lodsl; mov $0x10, %esi; lodsl %gs:(%esi), %eax");
    context_set(&c, s);
    c.ds = SEG;
    c.es = SEG + 8;
    c.gs = SEG + 24;
    c.ax = 0x77;
    RUN_THROUGH("string instructions", s, &c);
    CHECK_EQUAL("STOS writes ES", 0x77, *(uint32_t *)(void *)(area + 4096 + 0x10));
    CHECK_EQUAL("LODS with an override", 0x1003, c.ax);
    /* Code with a base. */
    s = SNIP("call 1f\n1: pop %eax; mov %cs:(0), %cl");
    descriptor_set(SEG, (uint32_t)s->start, 0xfff, SEG_CODE | SEG_R, SEG_B);
    context_set(&c, s);
    c.cs = SEG;
    c.ip = 0;
    context_run(&c);
    CHECK_EXIT("code with a base", &c, EXIT, NO_ERROR, s->end + 2 - s->start);
    CHECK_EQUAL("EIP is relative to it", 5, c.ax);
    CHECK_EQUAL("so is CS:0", 0xe8, c.cx & 0xff);
}

/* Pushes that do not fit fault before anything is written; ESP stays. A task takes the #SS. */
static struct tss handler_task;
TEST(push_limits)
{
    if (known(QUIRK_QEMU, "limits of pushes"))
        return;
    struct {
        const char *what;
        const struct snip *s;
        uint32_t sp;
    } table[] = {
        {"PUSH over the lower border", SNIP("push %eax"), 0x1003},
        {"PUSH r16", SNIP("push %ax"), 0x1001},
        {"PUSHA", SNIP("pusha"), 0x101f},
        {"CALL", SNIP("call 1f\n1:"), 0x1003},
        {"far CALL", SNIP("lcall $8, $1f\n1:"), 0x1007},
        {"PUSHF", SNIP("pushf"), 0x1002},
        {"ENTER", SNIP("enter $16, $0"), 0x1003},
        {"PUSH m32", SNIP("push (%ebx)"), 0x1000},
        {"PUSH imm", SNIP("push $1"), 0x1003},
        {"INT3's frame", SNIP("int3"), 0x100b},
    };
    const struct snip *handler = SNIP("mov (%esp), %eax");
    for (unsigned i = 0; i < COUNT(table); i++) {
        memory_set(&handler_task, 0, sizeof(handler_task));
        handler_task.eip = handler->start;
        handler_task.eflags = FLAG_1;
        handler_task.esp = SNIPPET_STACK_TOP;
        handler_task.ss = handler_task.ds = handler_task.es = SEL_DATA;
        handler_task.cs = SEL_CODE;
        tss_set(SEL_DF_TSS, &handler_task, 103, SYS_TSS);
        idt_set(SS, SEL_DF_TSS, 0, SEG_P | SYS_TASK, 0);
        descriptor_set(SEG, (uint32_t)ADDR(area), 0xfff, SEG_DATA | SEG_W | SEG_DOWN, SEG_B);
        memory_set(area, 0x5a, 0x2000);
        struct context c;
        /* context_run's own frame needs room: ESP is set by the snippet's register. */
        context_set(&c, table[i].s);
        c.ss = SEG;
        c.sp = 0x2000;
        c.ip = SNIP("mov %ecx, %esp; jmp *%edx")->start;
        c.cx = table[i].sp;
        c.dx = table[i].s->start;
        c.bx = ADDR(area);
        context_run(&c);
        CHECK_EXIT(table[i].what, &c, EXIT, NO_ERROR, handler->end + 2);
        CHECK_EQUAL("#SS(0)", 0, c.ax);
        CHECK_EQUAL("EIP at the instruction", table[i].s->at, tss.eip);
        CHECK_EQUAL("ESP unchanged", table[i].sp, tss.esp);
        CHECK_EQUAL("EBP unchanged", 0, tss.ebp);
        bool clean = true;
        for (uint32_t at = 0; at < 0x1000; at++)
            clean &= area[at] == 0x5a;
        CHECK("nothing written below the border", clean);
        __asm__ volatile("clts");
        tables_load();
    }
    idt_reset(SS);
}

TEST(code_limits)
{
    struct context c;
    const struct snip *s = SNIP("nop; nop; jmp 1f; .fill 20, 1, 0x90\n1: nop");
    descriptor_set(SEG, (uint32_t)s->start, 15, SEG_CODE | SEG_R, SEG_B);
    context_set(&c, s);
    c.cs = SEG;
    c.ip = 0;
    context_run(&c);
    CHECK_EXIT("[qemu] near JMP over the limit: #GP(0) of the JMP", &c, GP, 0, 2);
    s = SNIP(".fill 12, 1, 0x90; .byte 0xb8, 1, 2, 3, 4; nop");
    descriptor_set(SEG, (uint32_t)s->start, 15, SEG_CODE | SEG_R, SEG_B);
    context_set(&c, s);
    c.cs = SEG;
    c.ip = 0;
    context_run(&c);
    CHECK_EXIT("[qemu] an instruction that crosses the limit", &c, GP, 0, 12);
    static struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) pointer;
    s = SNIP("ljmp *(%ebx)");
    pointer.offset = 16;
    pointer.selector = SEG;
    context_set(&c, s);
    c.bx = ADDR(&pointer);
    RUN_FAULT("[qemu] far JMP beyond the limit", s, &c, GP, 0);
    s = SNIP("push $0x80; push $16\n" AT "lretl");
    FAULT("[qemu] far RET beyond the limit", s, GP, 0);
    s = SNIP("push $2; push $0x80; push $16\n" AT "iretl");
    FAULT("[qemu] IRET beyond the limit", s, GP, 0);
}

TEST(gdt_border)
{
    struct context c;
    struct table old, cut;
    const struct snip *s = SNIP("mov %eax, %fs");
    __asm__ volatile("sgdt %0" : "=m"(old));
    /* A descriptor must lie in the limit with its last byte. */
    descriptor_set(SEG, 0, 0xfffff, SEG_DATA | SEG_W, SEG_G | SEG_B);
    for (unsigned missing = 0; missing <= 8; missing++) {
        cut = (struct table){(uint16_t)(SEG + 7 - missing), old.base};
        __asm__ volatile("lgdt %0" : : "m"(cut));
        context_set(&c, s);
        c.ax = SEG;
        if (missing)
            RUN_FAULT("descriptor cut by the limit", s, &c, GP, SEG);
        else
            RUN_THROUGH("the last descriptor", s, &c);
    }
    __asm__ volatile("lgdt %0" : : "m"(old));
    s = SNIP("lldt %cx; mov %eax, %fs");
    context_set(&c, s);
    c.ax = 8 | TI;
    context_run(&c);
    CHECK_EXIT("no LDT: #GP with TI", &c, GP, 8 | TI, s->start + 3);
    tables_load();
}
