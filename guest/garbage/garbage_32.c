/* Points a system register at garbage and uses it. The word on the command line names the step; all
 * but those marked "goes on" end in a triple fault, the others in "ok garbage" and status STATUS_PASS:
 *   cr3       paging on with CR3 beyond memory
 *   cr3-data  paging on with CR3 at a page of pseudo-random bytes
 *   gdt       GDTR at a hole, then a far jump
 *   gdt-data  GDTR at pseudo-random bytes, then every selector loaded; goes on
 *   idt       IDTR at a hole, then INT 3
 *   idt-data  IDTR at pseudo-random bytes, then every vector; ends as the bytes have it
 *   tss       TR's TSS at a hole, then an exception in ring 3
 *   tss-task  a task switch to a TSS of pseudo-random bytes
 *   ldt       LDTR at a hole, then a selector loaded; goes on
 *   stack     ESP at a hole, then pushes and an exception, whose frame is lost; goes on
 *   eip       a jump to a hole: all ones, so #UD; goes on (QEMU aborts)
 *   cr0 cr4 efer msr   pseudo-random values written, faults taken; goes on
 * `seed=N` varies the bytes. */
#include "guest.h"

enum { HOLE = 0xd0000000u, ROUNDS = 2000 };
static uint8_t data[64 * KiB] ALIGNED(4096);
static uint32_t seed;

static uint32_t random_next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static void data_fill(void)
{
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(random_next() >> 11);
}

static void table_load_gdt(uint32_t base)
{
    struct table t = {0xffff, base};
    __asm__ volatile("lgdt %0" : : "m"(t));
}

static void table_load_idt(uint32_t base)
{
    struct table t = {0x7ff, base};
    __asm__ volatile("lidt %0" : : "m"(t));
}

static void step_cr3(uint32_t root)
{
    write_cr3(root);
    write_cr0(read_cr0() | CR0_PG);
}

/* Every selector of a GDT of noise: nearly all fault, and the handlers need the real GDT, so the noise
 * is put into its free slots. */
static void step_gdt_data(void)
{
    const struct snip *loads[] = {SNIP("mov %eax, %ds"), SNIP("lar %eax, %ecx; lsl %eax, %edx"),
                                  SNIP("verr %ax; verw %ax"), SNIP("push %eax; push $0; lretl"),
                                  SNIP("mov %eax, %gs; mov %gs:0, %ecx")};
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t noise = (uint64_t)random_next() << 32 | random_next();
        descriptor_raw(SEL_FREE, noise);
        descriptor_raw(SEL_FREE + 8, (uint64_t)random_next() << 32 | random_next());
        unsigned type = (unsigned)(noise >> 40) & 0x1f;
        for (unsigned j = 0; j < COUNT(loads); j++) {
            /* A far return to a gate or a code segment that works would run noise. */
            if (j == 3 && (type & 0x18) == 0x18)
                continue;
            struct context c;
            context_set(&c, loads[j]);
            c.ax = SEL_FREE | (random_next() & 3);
            context_run(&c);
        }
    }
}

static void step_registers(const char *which)
{
    static const uint32_t msrs[] = {0x10,       0x1b,       0x174,      0x175,      0x176,      0x277,
                                    0x2ff,      0xc0000081, 0xc0000082, 0xc0000084, 0xc0000100, 0xc0000102,
                                    0xc0000103, 0x1a0,      0x1d9,      0xfe};
    const struct snip *cr0 = SNIP("mov %eax, %cr0"), *cr4 = SNIP("mov %eax, %cr4"), *wrmsr_ = SNIP("wrmsr");
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct context c;
        if (which[0] == 'c' && which[2] == '0') {
            context_set(&c, cr0);
            c.ax = (random_next() & ~CR0_PG) | CR0_PE;
            context_run(&c);
            write_cr0(CR0_PE | 0x10);
        } else if (which[0] == 'c') {
            context_set(&c, cr4);
            c.ax = random_next();
            context_run(&c);
            write_cr4(0);
        } else {
            context_set(&c, wrmsr_);
            c.cx = which[0] == 'e' ? MSR_EFER : msrs[random_next() % COUNT(msrs)];
            if (c.cx == MSR_APIC_BASE)
                continue;
            c.ax = random_next();
            c.dx = random_next();
            context_run(&c);
        }
    }
    if (which[0] == 'e')
        wrmsr(MSR_EFER, 0);
}

static void step_tss(void)
{
    tss_set(SEL_FREE, (void *)HOLE, 0x67, SYS_TSS);
    __asm__ volatile("ltr %w0" : : "r"(SEL_FREE));
    struct context c;
    context_set_user(&c, SNIP("ud2"));
    context_run(&c);
}

static bool goes_on(void)
{
    if (option_given("gdt-data"))
        step_gdt_data();
    else if (option_given("cr0"))
        step_registers("cr0");
    else if (option_given("cr4"))
        step_registers("cr4");
    else if (option_given("efer"))
        step_registers("efer");
    else if (option_given("msr"))
        step_registers("msr");
    else if (option_given("ldt")) {
        descriptor_set(SEL_FREE, HOLE, 0xffff, SEG_P | SYS_LDT, 0);
        __asm__ volatile("lldt %w0" : : "r"(SEL_FREE));
        struct context c;
        for (uint32_t i = 4; i < 0xffff; i += 8 * 101) {
            context_set(&c, SNIP("mov %eax, %fs"));
            c.ax = i;
            context_run(&c);
        }
        __asm__ volatile("lldt %w0" : : "r"(0));
    } else if (option_given("stack")) {
        struct context c;
        const struct snip *s = SNIP("mov %ebx, %esp; push %eax; pusha; popa; pop %eax; int $0x80");
        context_set(&c, s);
        c.bx = HOLE + 0x800;
        context_run(&c);
    } else if (option_given("eip")) {
        struct context c;
        context_set(&c, SNIP("jmp *%eax"));
        c.ax = HOLE;
        context_run(&c);
        if (c.vector != UD || c.ip != HOLE)
            print("# vector %lu at %lx\n", c.vector, c.ip);
    } else {
        return false;
    }
    return true;
}

void guest_begin(void)
{
    seed = (uint32_t)option_number("seed", 1) * 2654435761u | 1;
    data_fill();
    print("garbage: %s\n", shared.cmdline);
    if (goes_on()) {
        print("ok garbage: went on\n1 passed, 0 failed\n");
        exit_with(STATUS_PASS);
    }
    if (option_given("cr3"))
        step_cr3(HOLE);
    else if (option_given("cr3-data"))
        step_cr3((uint32_t)ADDR(data));
    else if (option_given("gdt")) {
        table_load_gdt(HOLE);
        __asm__ volatile("ljmp $0x08, $1f\n1:");
    } else if (option_given("idt")) {
        table_load_idt(HOLE);
        __asm__ volatile("int3");
    } else if (option_given("idt-data")) {
        table_load_idt((uint32_t)ADDR(data));
        __asm__ volatile("int3; int $0x21; int $0x55; int $0x80; ud2");
    } else if (option_given("tss"))
        step_tss();
    else if (option_given("tss-task")) {
        table_load_idt(0);
        tss_set(SEL_FREE, data, 0x67, SYS_TSS);
        __asm__ volatile("ljmp %0, $0" : : "i"(SEL_FREE));
    } else if (option_given("stack"))
        __asm__ volatile("mov %0, %%esp; push $1; ret" : : "r"(HOLE));
    else if (option_given("eip"))
        __asm__ volatile("jmp *%0" : : "r"(HOLE));
    else
        print("not ok garbage: no such step\n");
    print("not ok garbage: still here\n");
    exit_with(STATUS_FAIL);
}
