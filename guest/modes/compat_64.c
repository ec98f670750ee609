/* Long mode: compatibility mode of 32 and 16 bits, SYSCALL and SYSRET, SYSEXIT to 64-bit code, far
 * transfers between code sizes, bases of FS and GS. SDM 3A 5.8.8, 3.2.4; SDM 2B SYSCALL, SYSRET. */
#include "guest.h"

static struct far {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed)) pointer;

static bool vendor_is_amd(void)
{
    return cpuid(0, 0).c == 0x444d4163; /* "cAMD" */
}

static void compat_set(struct context *c, const struct snip *s, bool user)
{
    if (user) {
        context_set_user(c, s);
        c->cs = SEL_USER_CODE32 | 3;
    } else {
        context_set(c, s);
        c->cs = SEL_CODE32;
    }
}

TEST(compat)
{
    struct context c;
    /* 48 is DEC EAX, not REX.W; 41 is INC ECX. */
    const struct snip *s =
        SNIP32(".byte 0x48; .byte 0x41; push %eax; mov %esp, %edx; pop %ebx; mov %cs, %esi");
    for (unsigned user = 0; user <= 1; user++) {
        compat_set(&c, s, user);
        c.ax = 0x10;
        c.cx = 0x20;
        c.r8 = 0x8888888888888888;
        c.r15 = 0xffffffffffffffff;
        RUN_THROUGH("32-bit code", s, &c);
        CHECK_EQUAL("DEC EAX", 0xf, c.ax);
        CHECK_EQUAL("INC ECX", 0x21, c.cx);
        CHECK_EQUAL("PUSH takes 4 bytes", SNIPPET_STACK_TOP - 4, c.dx);
        CHECK_EQUAL("POP", 0xf, c.bx);
        CHECK_EQUAL("CS", user ? SEL_USER_CODE32 | 3 : SEL_CODE32, c.si);
        CHECK_EQUAL("R8 is untouched", 0x8888888888888888, c.r8);
        CHECK_EQUAL("R15 is untouched", 0xffffffffffffffff, c.r15);
    }
    s = SNIP32("mov $0xfffffff0, %eax; movl 0x110(%eax,%ebx), %ecx");
    static uint32_t cell = 0x600df00d;
    compat_set(&c, s, true);
    c.bx = ADDR(&cell) - 0x100;
    RUN_THROUGH("addresses wrap at 4 GiB", s, &c);
    CHECK_EQUAL("[qemu] value read", 0x600df00d, c.cx);
    s = SNIP32("aaa; daa; push %es; pop %es; pusha; popa; bound %eax, (%ebx)");
    static const uint32_t wide[2] = {0x80000000, 0x7fffffff};
    compat_set(&c, s, true);
    c.bx = ADDR(wide);
    RUN_THROUGH("opcodes that 64-bit mode lacks", s, &c);
    s = SNIP32("syscall");
    compat_set(&c, s, true);
    RUN_FAULT("SYSCALL without SCE", s, &c, UD, NO_ERROR);
}

TEST(compat_segments)
{
    struct context c;
    static uint32_t cells[4] = {1, 2, 3, 4};
    descriptor_set(SEL_FREE, (uint32_t)ADDR(cells), 7, SEG_DATA | SEG_W | SEG_DPL(3), SEG_B);
    const struct snip *s = SNIP32("mov %eax, %es; mov %es:4, %ecx\n" AT "mov %es:8, %edx");
    compat_set(&c, s, true);
    c.ax = SEL_FREE | 3;
    RUN_FAULT("[qemu] a limit holds in compatibility mode", s, &c, GP, 0);
    CHECK_EQUAL("and the base", 2, c.cx);
    s = SNIP("mov %eax, %es; mov %es:8(%rbx), %ecx");
    context_set(&c, s);
    c.ax = SEL_FREE | 3;
    c.bx = ADDR(cells);
    RUN_THROUGH("neither in 64-bit mode", s, &c);
    CHECK_EQUAL("[qemu] value read", 3, c.cx);
    s = SNIP32("xor %eax, %eax; mov %eax, %ds\n" AT "mov (%ebx), %ecx");
    compat_set(&c, s, true);
    c.bx = ADDR(cells);
    RUN_FAULT("[qemu] null DS in compatibility mode", s, &c, GP, 0);
    s = SNIP("xor %eax, %eax; mov %eax, %ds; mov (%rbx), %ecx");
    context_set(&c, s);
    c.bx = ADDR(cells);
    RUN_THROUGH("null DS in 64-bit mode", s, &c);
}

/* The same bytes by turns: INC RAX; INC EAX in 64-bit code, DEC EAX; INC EAX; INC EAX in 32-bit code. */
TEST(two_sizes)
{
    struct context c;
    const struct snip *s = SNIP("inc %rax; inc %eax");
    for (unsigned turn = 0; turn < 20; turn++) {
        bool narrow = turn % 3 == 0;
        context_set(&c, s);
        c.cs = narrow ? SEL_CODE32 : SEL_CODE;
        c.ax = 0x10;
        RUN_THROUGH("either size", s, &c);
        CHECK_EQUAL("EAX", narrow ? 0x11 : 0x12, c.ax);
    }
}

TEST(compat16)
{
    struct context c;
    static uint8_t stack[4096];
    const struct snip *s = SNIP16("mov $0x1234, %ax; push %ax; mov %sp, %cx; pop %bx; pushl $5; popl %edx");
    descriptor_set(SEL_FREE, (uint32_t)s->start, 0xffff, SEG_CODE | SEG_R | SEG_DPL(3), 0);
    descriptor_set(SEL_FREE + 8, (uint32_t)ADDR(stack), 0xfff, SEG_DATA | SEG_W | SEG_DPL(3), 0);
    context_set_user(&c, s);
    c.cs = SEL_FREE | 3;
    c.ss = (SEL_FREE + 8) | 3;
    c.ip = 0;
    c.sp = 0x800;
    context_run(&c);
    CHECK_EXIT("16-bit code in long mode", &c, EXIT, NO_ERROR, s->end + 2 - s->start);
    CHECK_EQUAL("AX", 0x1234, c.ax & 0xffff);
    CHECK_EQUAL("SP", 0x7fe, c.cx & 0xffff);
    CHECK_EQUAL("POP", 0x1234, c.bx & 0xffff);
    CHECK_EQUAL("POPL", 5, c.dx);
}

TEST(far_between_sizes)
{
    struct context c;
    const struct snip *s = SNIP("ljmp *(%rbx)"), *t = SNIP32(".byte 0x48; nop");
    pointer = (struct far){(uint32_t)t->start, SEL_CODE32};
    context_set(&c, s);
    c.ax = 0x100000010;
    c.bx = ADDR(&pointer);
    context_run(&c);
    CHECK_EXIT("64-bit to compatibility code", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("DEC EAX clears the upper half", 0xf, c.ax);
    s = SNIP32("ljmp *(%ebx)");
    t = SNIP("inc %rax");
    pointer = (struct far){(uint32_t)t->start, SEL_CODE};
    compat_set(&c, s, false);
    c.ax = 0xffffffffffff;
    c.bx = ADDR(&pointer);
    context_run(&c);
    CHECK_EXIT("compatibility to 64-bit code", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("64-bit INC", 0x1000000000000, c.ax);
    /* A descriptor with L and D both set is reserved. */
    descriptor_set(SEL_FREE, 0, 0xfffff, SEG_CODE | SEG_R, SEG_G | SEG_L | SEG_B);
    pointer.selector = SEL_FREE;
    s = SNIP("ljmp *(%rbx)");
    context_set(&c, s);
    c.bx = ADDR(&pointer);
    RUN_FAULT("[qemu] CS with L and D", s, &c, GP, SEL_FREE);
    /* A call gate of long mode from compatibility code, ring 3 to 0; a TSS or a 32-bit gate is #GP. */
    t = SNIP("pop %rax; pop %rcx; pop %rdx; pop %rsi");
    gate_set(SEL_FREE + 0x10, SEL_CODE, t->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    pointer.selector = (SEL_FREE + 0x10) | 3;
    s = SNIP32("lcall *(%ebx)");
    compat_set(&c, s, true);
    c.bx = ADDR(&pointer);
    context_run(&c);
    CHECK_EXIT("call gate from compatibility code", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("64-bit frame: IP", s->end, c.ax);
    CHECK_EQUAL("CS", SEL_USER_CODE32 | 3, c.cx & 0xffff);
    CHECK_EQUAL("SP", SNIPPET_STACK_TOP, c.dx);
    CHECK_EQUAL("SS", SEL_USER_DATA | 3, c.si & 0xffff);
    gate_set(SEL_FREE + 0x10, SEL_CODE32, t->start, SEG_P | SEG_DPL(3) | SYS_CALL, 0);
    compat_set(&c, s, true);
    c.bx = ADDR(&pointer);
    RUN_FAULT("call gate to compatibility code", s, &c, GP, SEL_CODE32);
    s = SNIP("ljmp *(%rbx)");
    pointer.selector = SEL_TSS;
    context_set(&c, s);
    c.bx = ADDR(&pointer);
    RUN_FAULT("JMP to a TSS in long mode", s, &c, GP, SEL_TSS);
    gate_set(SEL_FREE + 0x10, SEL_TSS, 0, SEG_P | SYS_TASK, 0);
    pointer.selector = SEL_FREE + 0x10;
    RUN_FAULT("JMP to a task gate in long mode", s, &c, GP, SEL_FREE + 0x10);
}

static void syscall_on(word star_user)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)star_user << 48 | (uint64_t)SEL_CODE << 32);
}

static void syscall_off(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SCE);
    wrmsr(MSR_SFMASK, 0);
}

TEST(syscall)
{
    struct context c;
    const struct snip *t = SNIP("mov %cs, %eax; mov %ss, %edx; pushfq; pop %rbx"), *s = SNIP("syscall");
    syscall_on(SEL_USER_CODE32);
    wrmsr(MSR_LSTAR, t->start);
    wrmsr(MSR_SFMASK, FLAG_IF | FLAG_DF | FLAG_TF);
    context_set_user(&c, s);
    c.flags |= FLAG_IF | FLAG_DF | FLAG_CF;
    context_run(&c);
    CHECK_EXIT("SYSCALL from ring 3", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("CS", SEL_CODE, c.ax);
    CHECK_EQUAL("SS", SEL_DATA, c.dx);
    CHECK_EQUAL("RCX is the return address", s->end, c.cx);
    CHECK_EQUAL("R11 is the old RFLAGS", FLAG_1 | FLAG_IF | FLAG_DF | FLAG_CF, c.r11);
    CHECK_EQUAL("[qemu] FMASK cleared IF and DF", FLAG_1 | FLAG_CF, c.bx);
    CHECK_EQUAL("RSP is untouched", SNIPPET_STACK_TOP, c.sp);

    s = SNIP32("syscall");
    wrmsr(MSR_CSTAR, t->start);
    compat_set(&c, s, true);
    if (vendor_is_amd()) {
        context_run(&c);
        CHECK_EXIT("AMD: SYSCALL in compatibility mode goes to CSTAR", &c, EXIT, NO_ERROR, t->end + 2);
    } else {
        RUN_FAULT("Intel: SYSCALL in compatibility mode is #UD", s, &c, UD, NO_ERROR);
    }

    s = SNIP("sysretq");
    t = SNIP("mov %cs, %eax; mov %ss, %edx; pushfq; pop %rbx");
    context_set(&c, s);
    c.cx = t->start;
    c.r11 = FLAG_1 | FLAG_CF | FLAG_IOPL(3) | FLAG_RF | FLAG_VM | FLAG_ID;
    context_run(&c);
    CHECK_EXIT("SYSRET to 64-bit code", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("CS + 16", SEL_USER_CODE64 | 3, c.ax);
    CHECK_EQUAL("SS + 8", SEL_USER_DATA | 3, c.dx);
    CHECK_EQUAL("RFLAGS without RF and VM", FLAG_1 | FLAG_CF | FLAG_IOPL(3) | FLAG_ID, c.bx);
    s = SNIP("sysretl");
    t = SNIP32("mov %cs, %eax; mov %ss, %edx; .byte 0x48");
    context_set(&c, s);
    c.cx = t->start | 0x5500000000ul;
    c.r11 = FLAG_1;
    context_run(&c);
    CHECK_EXIT("SYSRET to 32-bit code, ECX only", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("DEC EAX of CS", (SEL_USER_CODE32 | 3) - 1, c.ax);
    CHECK_EQUAL("SS + 8", SEL_USER_DATA | 3, c.dx);
    s = SNIP("sysretq");
    context_set_user(&c, s);
    RUN_FAULT("SYSRET in ring 3", s, &c, GP, 0);
    context_set(&c, s);
    c.cx = 0x800000000000;
    c.r11 = FLAG_1;
    if (!vendor_is_amd())
        RUN_FAULT("Intel: non-canonical RCX is #GP of the SYSRET", s, &c, GP, 0);
    syscall_off();
}

/* The hidden parts that SYSRET and SYSCALL load are fixed, whatever the GDT says. */
TEST(syscall_fixed_segments)
{
    struct context c;
    const struct snip *t = SNIP("push %rax; pop %rcx"), *s = SNIP("sysretq");
    syscall_on(SEL_FREE + 0x20); /* slots that hold nothing */
    descriptor_raw(SEL_FREE + 0x28, 0);
    descriptor_raw(SEL_FREE + 0x30, 0);
    context_set(&c, s);
    c.cx = t->start;
    c.r11 = FLAG_1;
    context_run(&c);
    CHECK_EXIT("SYSRET to selectors without descriptors", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("CS", (SEL_FREE + 0x30) | 3, c.cs);
    CHECK_EQUAL("SS", (SEL_FREE + 0x28) | 3, c.ss);
    syscall_off();
}

TEST(sysexit64)
{
    if (!CPU_HAS_SEP || vendor_is_amd()) {
        skip("no SEP, or AMD: #UD in long mode");
        return;
    }
    struct context c;
    const struct snip *s = SNIP("rex.w sysexit"), *t = SNIP("mov %cs, %eax; mov %ss, %ebx; inc %rsi");
    wrmsr(MSR_SYSENTER_CS, SEL_CODE);
    context_set(&c, s);
    c.dx = t->start;
    c.cx = SNIPPET_STACK_TOP - 256;
    c.si = 0xffffffff;
    context_run(&c);
    CHECK_EXIT("SYSEXIT to 64-bit code", &c, EXIT, NO_ERROR, t->end + 2);
    CHECK_EQUAL("CS + 32", SEL_USER_CODE64 | 3, c.ax);
    CHECK_EQUAL("SS + 40", SEL_USER_DATA2 | 3, c.bx);
    CHECK_EQUAL("RSP", SNIPPET_STACK_TOP - 256, c.sp);
    CHECK_EQUAL("64-bit code", 0x100000000, c.si);
    context_set(&c, s);
    c.dx = 0x800000000000;
    RUN_FAULT("non-canonical RDX", s, &c, GP, 0);
    wrmsr(MSR_SYSENTER_CS, 0);
}

TEST(fs_gs_base)
{
    struct context c;
    static uint64_t cells[2] = {0x1111, 0x2222};
    const struct snip *s = SNIP("mov %fs:0, %rax; mov %gs:8, %rbx; swapgs; mov %gs:0, %rcx; swapgs");
    context_set(&c, s);
    c.fs = c.gs = 0;
    /* Loading FS and GS in context_run would clear the bases: the snippet sets them. */
    s = SNIP("mov $0xc0000100, %ecx; mov %esi, %eax; xor %edx, %edx; wrmsr; inc %ecx; wrmsr\n"
             "add $8, %eax; inc %ecx; wrmsr\n"
             "mov %fs:0, %rax; mov %gs:8, %rbx; swapgs; mov %gs:0, %rcx; mov %gs, %edi; swapgs; .byte 0x64; "
             "lea 0, %r8");
    context_set(&c, s);
    c.si = ADDR(cells);
    RUN_THROUGH("bases by MSR", s, &c);
    CHECK_EQUAL("FS:0", 0x1111, c.ax);
    CHECK_EQUAL("GS:8", 0x2222, c.bx);
    CHECK_EQUAL("GS:0 after SWAPGS", 0x2222, c.cx);
    CHECK_EQUAL("SWAPGS leaves the selector", SEL_DATA, c.di);
    CHECK_EQUAL("LEA takes no base", 0, c.r8);
    s = SNIP("swapgs");
    context_set_user(&c, s);
    RUN_FAULT("SWAPGS in ring 3", s, &c, GP, 0);
    if (!CPU_HAS_FSGSBASE)
        return;
    write_cr4(read_cr4() | CR4_FSGSBASE);
    s = SNIP("wrfsbase %rsi; rdfsbase %rax; mov %fs:0, %rbx; wrgsbase %esi; rdgsbase %ecx; mov %gs:8, %rdx");
    context_set_user(&c, s);
    c.si = ADDR(cells);
    RUN_THROUGH("WRFSBASE in ring 3", s, &c);
    CHECK_EQUAL("RDFSBASE", ADDR(cells), c.ax);
    CHECK_EQUAL("FS:0", 0x1111, c.bx);
    CHECK_EQUAL("RDGSBASE", ADDR(cells), c.cx);
    CHECK_EQUAL("GS:8", 0x2222, c.dx);
    s = SNIP("wrfsbase %rsi");
    context_set_user(&c, s);
    c.si = 0x800000000000;
    RUN_FAULT("[qemu] WRFSBASE of a non-canonical address", s, &c, GP, 0);
    s = SNIP32(".byte 0xf3, 0x0f, 0xae, 0xc0");
    compat_set(&c, s, true);
    RUN_FAULT("RDFSBASE in compatibility mode", s, &c, UD, NO_ERROR);
    write_cr4(read_cr4() & ~(word)CR4_FSGSBASE);
}
