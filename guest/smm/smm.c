/* System management mode: SMI by the local APIC and by port 0xb2, the state at the handler's entry, the saved
 * state and what RSM makes of it, blocking of SMI and NMI, auto-halt restart, relocation of SMBASE, and SMRAM
 * that ring 0 cannot see. SDM vol. 3, chapter "System Management Mode"; APM vol. 2, chapter 10 (the save
 * map); 82441FX datasheet (SMRAMC), 82371AB (APMC_EN). What RSM refuses ends in shutdown:
 * tests/unit/cpu_smm.c.
 *
 * Firmware may have moved SMBASE into SMRAM: the handler is put there too, if it can be opened. */
#include "smm.h"

enum {
    LAPIC = 0xfee00000,
    IOAPIC = 0xfec00000,
    APIC_ID = 0x20,
    APIC_SVR = 0xf0,
    APIC_ICR = 0x300,
    APIC_ICR2 = 0x310,
    APIC_LVTT = 0x320,
    APIC_TMICT = 0x380,
    APIC_TDCR = 0x3e0,
    DELIVER_SMI = 0x4200, /* edge, asserted, physical */
    DELIVER_NMI = 0x4400,
    TIMER_VECTOR = 0x50,

    PCI_HOST = 0x80000000, /* 0:0.0 */
    PCI_PM = 0x80000b00,   /* 0:1.3 */
    SMRAMC = 0x72,
    DOPEN = 0x40,
    DCLS = 0x20,
    DLCK = 0x10,
    SMRAME = 0x08,
};

__asm__(".pushsection .text.smm,\"ax\",@progbits\n.code16\n"
        ".globl smm_handler, smm_handler_end\n"
        "smm_handler:\n"
        "addr32 mov %esp, 0x20000 + 12\n"
        "mov $0x2f000, %esp\n"
        "pushfl\n"
        "addr32 popl 0x20000 + 16\n"
        "mov %cr0, %eax\n"
        "addr32 mov %eax, 0x20000 + 20\n"
        "mov %cr4, %eax\n"
        "addr32 mov %eax, 0x20000 + 24\n"
        "mov %dr7, %eax\n"
        "addr32 mov %eax, 0x20000 + 28\n"
        "mov $0xc0000080, %ecx\n"
        "rdmsr\n"
        "addr32 mov %eax, 0x20000 + 32\n"
        "mov %cs, %eax\n"
        "addr32 mov %eax, 0x20000 + 40\n"
        "mov %ds, %eax\n"
        "addr32 mov %eax, 0x20000 + 44\n"
        "mov %es, %eax\n"
        "addr32 mov %eax, 0x20000 + 48\n"
        "mov %fs, %eax\n"
        "addr32 mov %eax, 0x20000 + 52\n"
        "mov %gs, %eax\n"
        "addr32 mov %eax, 0x20000 + 56\n"
        "mov %ss, %eax\n"
        "addr32 mov %eax, 0x20000 + 60\n"
        "cld\n"
        "mov $0xfe00, %esi\n"
        "mov $0x20200, %edi\n"
        "mov $128, %ecx\n"
        "7: addr32 mov %cs:(%esi), %eax\n"
        "addr32 mov %eax, (%edi)\n"
        "add $4, %esi\n"
        "add $4, %edi\n"
        "dec %ecx\n"
        "jnz 7b\n"
        "addr32 mov 0x20300, %ebp\n" /* SMBASE */
        "addr32 mov 0x20000 + 4, %ecx\n"
        "mov $0x20400, %ebx\n"
        "1: test %ecx, %ecx\n"
        "jz 5f\n"
        "addr32 mov (%ebx), %edi\n"
        "addr32 mov 8(%ebx), %eax\n"
        "addr32 mov 12(%ebx), %edx\n"
        "addr32 cmpb $1, 4(%ebx)\n"
        "jne 2f\n"
        "addr32 movb %al, 0xfe00(%ebp,%edi)\n"
        "jmp 4f\n"
        "2: addr32 movl %eax, 0xfe00(%ebp,%edi)\n"
        "addr32 cmpb $8, 4(%ebx)\n"
        "jne 4f\n"
        "addr32 movl %edx, 0xfe04(%ebp,%edi)\n"
        "4: add $16, %ebx\n"
        "dec %ecx\n"
        "jmp 1b\n"
        "5: addr32 cmpl $0, 0x20000 + 8\n"
        "je 6f\n"
        "mov $0x8800, %ax\n"
        "call *%ax\n"
        "6: addr32 incl 0x20000\n"
        "rsm\n"
        "smm_handler_end:\n" ASM_NATIVE ".popsection");
_Static_assert(offsetof(struct smm_area, esp) == 12 && offsetof(struct smm_area, cs) == 40,
               "as the handler has it");

static volatile uint32_t *apic(uint32_t reg)
{
    return (volatile uint32_t *)(word)(LAPIC + reg);
}

static uint8_t pci_read(uint32_t function, uint32_t reg)
{
    outl(0xcf8, function | (reg & 0xfc));
    return inb((uint16_t)(0xcfc + (reg & 3)));
}

static void pci_write(uint32_t function, uint32_t reg, uint8_t v)
{
    outl(0xcf8, function | (reg & 0xfc));
    outb((uint16_t)(0xcfc + (reg & 3)), v);
}

static uint32_t pci_id(uint32_t function)
{
    outl(0xcf8, function);
    return inl(0xcfc);
}

static bool has_i440fx(void)
{
    return pci_id(PCI_HOST) == 0x12378086;
}

static word smbase = 0x30000;

static word handler_place(void)
{
    return smbase + 0x8000;
}

static bool in_smram(void)
{
    return smbase == 0xa0000;
}

/* Opens SMRAM for the test if the handler lives there; closed otherwise. */
static void smram_open(bool on)
{
    if (in_smram())
        pci_write(PCI_HOST, SMRAMC, (uint8_t)(SMRAME | (on ? DOPEN : 0) | 2));
}

static void put(word at, const void *from, size_t n)
{
    smram_open(true);
    memory_copy((void *)at, from, n);
    smram_open(false);
}

/* Code for SMM, besides the handler; ends in RET. */
static void put_extra(const struct snip *s)
{
    put(smbase + SMM_EXTRA, (const void *)s->start, s->end - s->start);
    AREA->extra = 1;
}

static void send(uint32_t delivery)
{
    *apic(APIC_ICR2) = *apic(APIC_ID);
    *apic(APIC_ICR) = delivery;
}

static void wait_for(uint32_t count)
{
    for (unsigned long n = 0; n < 10000000 && AREA->count < count; n++)
        __asm__ volatile("pause" : : : "memory");
}

static void area_clear(void)
{
    AREA->count = AREA->patches = AREA->extra = AREA->slot = 0;
}

static void patch(uint32_t offset, uint32_t size, uint64_t value)
{
    unsigned n = AREA->patches;
    PATCH[n].offset = offset;
    PATCH[n].size = size;
    PATCH[n].value = value;
    AREA->patches = n + 1;
}

static uint64_t map(uint32_t offset, unsigned size)
{
    uint64_t v = 0;
    for (unsigned k = 0; k < size; k++)
        v |= (uint64_t)MAP[offset + k] << 8 * k;
    return v;
}

/* Puts the handler wherever SMBASE may be and finds out by one SMI. False: there is no SMM to be tested. */
static bool begin(void)
{
    static bool tried, works;
    if (!CPU_HAS_APIC) {
        skip("no local APIC");
        return false;
    }
    if (known(QUIRK_BOCHS, "a handler cannot read its saved state"))
        return false;
    *apic(APIC_SVR) = 0x1ff;
    area_clear();
    if (!tried) {
        static const word places[] = {0x30000, 0xa0000};
        tried = true;
        size_t n = (size_t)(smm_handler_end - smm_handler);
        for (unsigned k = 0; k < COUNT(places); k++) {
            smbase = places[k];
            if (k && !has_i440fx())
                break;
            put(handler_place(), smm_handler, n);
        }
        send(DELIVER_SMI);
        wait_for(1);
        works = AREA->count;
        smbase = works ? (word)map(MAP_SMBASE, 4) : 0x30000;
        area_clear();
    }
    if (!works)
        skip("no SMI arrives");
    return works;
}

TEST(entry)
{
    if (!begin())
        return;
    word cr0 = read_cr0();
    write_cr0(cr0 | CR0_TS | CR0_MP);
    __asm__ volatile("std; stc" : : : "cc");
    send(DELIVER_SMI);
    wait_for(1);
    __asm__ volatile("cld" : : : "cc");
    write_cr0(cr0);
    CHECK_EQUAL("one entry", 1, AREA->count);
    CHECK_EQUAL("CR0: PE, EM, TS, PG clear, the rest stays",
                ((cr0 | CR0_MP) & ~(word)(CR0_PE | CR0_TS | CR0_PG)) & 0xffffffff, AREA->cr0);
    CHECK_EQUAL("CR4", 0, AREA->cr4);
    CHECK_EQUAL("EFER", 0, AREA->efer);
    CHECK_EQUAL("EFLAGS", FLAG_1, AREA->flags);
    CHECK_EQUAL("DR7", DR7_RESET, AREA->dr7);
    CHECK_EQUAL("CS", smbase >> 4, AREA->cs);
    CHECK_EQUAL("data segments", 0, AREA->ds | AREA->es | AREA->fs | AREA->gs | AREA->ss);
    CHECK_EQUAL("revision: AMD64 map, SMBASE relocation", 0x20064, map(MAP_REVISION, 4));
    CHECK_EQUAL("SMBASE", smbase, map(MAP_SMBASE, 4));
}

/* AX: what the ICR gets; BX: its address. Spins until the handler has been there. */
#define SEND_AND_SPIN                                                                                        \
    "mov %eax, (" BX ")\n"                                                                                   \
    "1: pause\n"                                                                                             \
    "cmpl $0, 0x20000\n"                                                                                     \
    "je 1b\n"

static void context_send(struct context *c, const struct snip *s)
{
    context_set(c, s);
    c->ax = DELIVER_SMI;
    c->bx = LAPIC + APIC_ICR;
    *apic(APIC_ICR2) = *apic(APIC_ID);
}

static void check_segment(const char *what, uint32_t at, unsigned selector, unsigned attr, uint32_t limit)
{
    CHECK_EQUAL(what, selector, map(at, 2));
    CHECK_EQUAL(what, attr, (map(at + 2, 2) & 0xf0ff) | SEG_ACCESSED);
    CHECK_EQUAL(what, limit, map(at + 4, 4));
}

TEST(save_map)
{
    if (!begin())
        return;
    struct context c;
    const struct snip *s = SNIP(SEND_AND_SPIN);
    struct table g, i;
    __asm__ volatile("sgdt %0; sidt %1" : "=m"(g), "=m"(i));
    context_send(&c, s);
    c.cx = 0x11111111;
    c.dx = 0x22222222;
    c.bp = 0x33333333;
    c.si = 0x44444444;
    c.di = 0x55555555;
    c.flags = FLAG_1 | FLAG_DF | FLAG_CF | FLAG_NT | FLAG_ID;
#ifdef __x86_64__
    c.r8 = 0x8888888888888888;
    c.r9 = 0x9999999999999999;
    c.r14 = 0x1414141414141414;
    c.r15 = 0x1515151515151515;
    c.dx = 0x2222222222222222;
#endif
    RUN_THROUGH("through the handler and back", s, &c);
    CHECK_EQUAL("RAX", DELIVER_SMI, map(MAP_RAX, 8));
    CHECK_EQUAL("RCX", 0x11111111, map(MAP_RAX - 8, 8));
    CHECK_EQUAL("RDX", c.dx, map(MAP_RAX - 16, 8));
    CHECK_EQUAL("RBX", c.bx, map(MAP_RAX - 24, 8));
    CHECK_EQUAL("RSP", SNIPPET_STACK_TOP, map(MAP_RAX - 32, 8));
    CHECK_EQUAL("RBP", 0x33333333, map(MAP_RAX - 40, 8));
    CHECK_EQUAL("RSI", 0x44444444, map(MAP_RAX - 48, 8));
    CHECK_EQUAL("RDI", 0x55555555, map(MAP_RAX - 56, 8));
#ifdef __x86_64__
    CHECK_EQUAL("R8", c.r8, map(MAP_RAX - 64, 8));
    CHECK_EQUAL("R9", c.r9, map(MAP_RAX - 72, 8));
    CHECK_EQUAL("R14", c.r14, map(MAP_R15 + 8, 8));
    CHECK_EQUAL("R15", c.r15, map(MAP_R15, 8));
#endif
    uint64_t rip = map(MAP_RIP, 8);
    CHECK("RIP", rip > s->start && rip < s->end);
    CHECK_EQUAL("RFLAGS but the status flags", FLAG_1 | FLAG_DF | FLAG_NT | FLAG_ID,
                map(MAP_RFLAGS, 8) & ~(uint64_t)(FLAGS_STATUS | FLAG_RF));
    CHECK_EQUAL("CR0", read_cr0(), map(MAP_CR0, 8));
    CHECK_EQUAL("CR3", read_cr3(), map(MAP_CR3, 8));
    CHECK_EQUAL("CR4", read_cr4(), map(MAP_CR4, 8));
    CHECK_EQUAL("EFER", WORLD == 64 ? rdmsr(MSR_EFER) : 0, map(MAP_EFER, 8));
    CHECK_EQUAL("DR6", read_dr6(), map(MAP_DR6, 8));
    CHECK_EQUAL("DR7", read_dr7(), map(MAP_DR7, 8));
    CHECK_EQUAL("GDTR limit", g.limit, map(MAP_GDTR + 4, 2));
    CHECK_EQUAL("GDTR base", g.base, map(MAP_GDTR + 8, 8));
    CHECK_EQUAL("IDTR limit", i.limit, map(MAP_IDTR + 4, 2));
    CHECK_EQUAL("IDTR base", i.base, map(MAP_IDTR + 8, 8));
    check_segment("CS", MAP_CS, SEL_CODE, WORLD == 64 ? 0xa09b : 0xc09b, 0xffffffff);
    check_segment("SS", MAP_SS, SEL_DATA, 0xc093, 0xffffffff);
    check_segment("DS", MAP_DS, SEL_DATA, 0xc093, 0xffffffff);
    CHECK_EQUAL("[qemu] CS is accessed", SEG_ACCESSED, map(MAP_CS + 2, 1) & SEG_ACCESSED);
    CHECK_EQUAL("TR", SEL_TSS, map(MAP_TR, 2));
    CHECK_EQUAL("TR base", ADDR(&tss), map(MAP_TR + 8, 8));
    CHECK_EQUAL("[qemu] TR is busy", 0x8b, map(MAP_TR + 2, 2) & 0xff);
    CHECK_EQUAL("not halted", 0, map(MAP_HALT, 1));
    CHECK_EQUAL("DF came back", FLAG_DF | FLAG_NT | FLAG_ID, c.flags & (FLAG_DF | FLAG_NT | FLAG_ID));
}

/* RSM takes what the handler wrote. */
TEST(resume_changed)
{
    if (!begin())
        return;
    struct context c;
    const struct snip *s = SNIP(SEND_AND_SPIN "nop\n" AT "nop\n");
    context_send(&c, s);
    patch(MAP_RAX, 8, 0x12345678);
    patch(MAP_RAX - 8, 8, 0x87654321);
    patch(MAP_RFLAGS, 8, FLAG_1 | FLAG_CF | FLAG_ZF | FLAG_AC);
    patch(MAP_RIP, 8, s->at);
#ifdef __x86_64__
    patch(MAP_R15, 8, 0xfedcba9876543210);
    patch(MAP_RAX - 16, 8, 0x0123456789abcdef);
#endif
    RUN_THROUGH("from the new RIP", s, &c);
    CHECK_EQUAL("AX", 0x12345678, c.ax);
    CHECK_EQUAL("CX", 0x87654321, c.cx);
    CHECK_EQUAL("flags", FLAG_1 | FLAG_CF | FLAG_ZF | FLAG_AC, c.flags & ~(word)FLAG_RF);
#ifdef __x86_64__
    CHECK_EQUAL("R15", 0xfedcba9876543210, c.r15);
    CHECK_EQUAL("DX", 0x0123456789abcdef, c.dx);
#endif
}

TEST(rsm_outside)
{
    struct context c;
    const struct snip *s = SNIP(AT "rsm\n");
    FAULT("RSM in ring 0", s, UD, NO_ERROR);
    context_set_user(&c, s);
    RUN_FAULT("RSM in ring 3", s, &c, UD, NO_ERROR);
}

TEST(relocation)
{
    if (!begin())
        return;
    word home = smbase;
    memory_copy((void *)0x48000, smm_handler, (size_t)(smm_handler_end - smm_handler));
    patch(MAP_SMBASE, 4, 0x40000);
    send(DELIVER_SMI);
    wait_for(1);
    CHECK_EQUAL("still from the old place", home >> 4, AREA->cs);
    patch(MAP_SMBASE, 4, home);
    AREA->patches = 1;
    PATCH[0].value = home;
    send(DELIVER_SMI);
    wait_for(2);
    CHECK_EQUAL("from the new place", 0x4000, AREA->cs);
    CHECK_EQUAL("SMBASE in the map", 0x40000, map(MAP_SMBASE, 4));
    send(DELIVER_SMI);
    wait_for(3);
    CHECK_EQUAL("and back", home >> 4, AREA->cs);
    CHECK_EQUAL("three entries", 3, AREA->count);
}

/* An SMI in SMM waits for RSM; of several one remains. */
TEST(smi_blocked)
{
    if (!begin())
        return;
    *apic(APIC_ICR2) = *apic(APIC_ID);
    put_extra(SNIP16("addr32 cmpl $0, 0x20000\n"
                     "jne 1f\n"
                     "mov $0x4200, %eax\n"
                     "addr32 mov %eax, %ds:0xfee00300\n"
                     "addr32 mov %eax, %ds:0xfee00300\n"
                     "nop\nnop\n"
                     "addr32 mov 0x20000, %eax\n"
                     "addr32 mov %eax, 0x20000 + 36\n"
                     "1: ret\n"));
    send(DELIVER_SMI);
    wait_for(2);
    CHECK_EQUAL("none while the handler ran", 0, AREA->slot);
    for (unsigned n = 0; n < 10000; n++)
        __asm__ volatile("pause");
    CHECK_EQUAL("one after it", 2, AREA->count);
}

TEST(nmi_blocked)
{
    if (!begin())
        return;
    struct context c;
    const struct snip *s = SNIP(SEND_AND_SPIN);
    put_extra(SNIP16("mov $0x4400, %eax\n"
                     "addr32 mov %eax, %ds:0xfee00300\n"
                     "nop\nnop\n"
                     "addr32 incl 0x20000 + 36\n"
                     "ret\n"));
    context_send(&c, s);
    context_run(&c);
    CHECK_EQUAL("NMI after RSM", NMI, c.vector);
    CHECK_EQUAL("not in the handler", 1, AREA->slot);
    CHECK_EQUAL("handler is done", 1, AREA->count);
    CHECK_EQUAL("at the boundary that RSM went to", map(MAP_RIP, 8), c.ip);

    /* The context's exit was an NMI handler's entry and no IRET has followed: this SMI comes to a processor
     * that blocks NMIs, and RSM must leave it so. */
    area_clear();
    send(DELIVER_NMI);
    send(DELIVER_SMI);
    wait_for(1);
    CHECK_EQUAL("SMI in an NMI handler", 1, AREA->count);
    AREA->count = 1;
    c.ip = s->end - 1; /* nothing to do: IRET takes the NMI */
    const struct snip *n = SNIP("nop\nnop\n");
    context_set(&c, n);
    context_run(&c);
    CHECK_EQUAL("NMI only after IRET", NMI, c.vector);
    CHECK_EQUAL("before the first instruction", n->start, c.ip);
    RUN_THROUGH("NMIs are open again", n, &c);
}

static void ioapic_write(uint32_t reg, uint32_t v)
{
    *(volatile uint32_t *)(word)IOAPIC = reg;
    *(volatile uint32_t *)(word)(IOAPIC + 0x10) = v;
}

/* The PIT's pin of the IOAPIC as an SMI, about every five milliseconds: one of them meets the HLT. The extra
 * code notes RIP when the processor was halted. */
static void smi_by_pit(void)
{
    ioapic_write(0x10 + 2 * 2 + 1, *apic(APIC_ID) & 0xff000000);
    ioapic_write(0x10 + 2 * 2, 0x200);
    put_extra(SNIP16("addr32 cmpb $0, 0x202c9\n"
                     "je 1f\n"
                     "addr32 mov 0x20378, %eax\n"
                     "addr32 mov %eax, 0x20000 + 36\n"
                     "1: ret\n"));
    outb(0x43, 0x34);
    outb(0x40, 0x4d);
    outb(0x40, 0x17);
}

static void pit_off(void)
{
    ioapic_write(0x10 + 2 * 2, 0x10000);
}

TEST(auto_halt)
{
    if (!begin())
        return;
    struct context c;
    const struct snip *s = SNIP("sti\nhlt\n" AT "nop\nint $0x30\n");
    context_set(&c, s);
    patch(MAP_HALT, 1, 0);
    smi_by_pit();
    context_run(&c);
    pit_off();
    CHECK_EXIT("restart bit cleared: on behind HLT", &c, EXIT, NO_ERROR, s->at + 3);
    CHECK_EQUAL("[qemu] the map says halted, RIP is behind HLT", s->at, AREA->slot);

    area_clear();
    context_set(&c, s);
    *apic(APIC_TDCR) = 0xb; /* by 1 */
    *apic(APIC_LVTT) = TIMER_VECTOR;
    *apic(APIC_TMICT) = 100000000;
    smi_by_pit();
    context_run(&c);
    pit_off();
    *apic(APIC_TMICT) = 0;
    *apic(APIC_LVTT) = 0x10000;
    CHECK_EXIT("[qemu] restart bit set: HLT goes on until an interrupt", &c, TIMER_VECTOR, NO_ERROR, s->at);
    CHECK_EQUAL("[qemu] an SMI came before it", s->at, AREA->slot);
    *apic(0xb0) = 0;
}

TEST(port_b2)
{
    if (!begin())
        return;
    if (pci_id(PCI_PM) != 0x71138086) {
        skip("no PIIX4 power management");
        return;
    }
    struct context c;
    const struct snip *s = SNIP("out %al, $0xb2\n" AT "mov 0x20000, %ecx\n"
                                "nop\n");
    uint8_t old = pci_read(PCI_PM, 0x5b);
    pci_write(PCI_PM, 0x5b, old & (uint8_t)~2);
    context_set(&c, s);
    c.ax = 0x55;
    RUN_THROUGH("APMC_EN clear", s, &c);
    CHECK_EQUAL("no SMI", 0, AREA->count);
    CHECK_EQUAL("APMC keeps its byte", 0x55, inb(0xb2));
    pci_write(PCI_PM, 0x5b, old | 2);
    context_set(&c, s);
    c.ax = 0x66;
    RUN_THROUGH("APMC_EN set", s, &c);
    CHECK_EQUAL("an SMI", 1, AREA->count);
    CHECK_EQUAL("[qemu] at the very next boundary", 1, c.cx);
    CHECK_EQUAL("[qemu] RIP is behind the OUT", s->at, map(MAP_RIP, 8));
    CHECK_EQUAL("the handler can read the command", 0x66, inb(0xb2));
    pci_write(PCI_PM, 0x5b, old);
}

/* Must stay the last: nothing but a reset opens what this locks. Only world 64 locks. */
TEST(smram)
{
    if (!begin())
        return;
    if (!has_i440fx()) {
        skip("no i440FX host bridge");
        return;
    }
    volatile uint32_t *window = (volatile uint32_t *)0xa8000, *spot = (volatile uint32_t *)0xa9000;
    word home = smbase;
    size_t n = (size_t)(smm_handler_end - smm_handler);
    if (pci_read(PCI_HOST, SMRAMC) & DLCK) {
        skip("locked already");
        return;
    }
    /* Move in. */
    smbase = 0xa0000;
    put(handler_place(), smm_handler, n);
    if (home != smbase) {
        patch(MAP_SMBASE, 4, smbase);
        send(DELIVER_SMI);
        wait_for(1);
        area_clear();
    }
    uint32_t first;
    memory_copy(&first, smm_handler, sizeof(first));
    CHECK_EQUAL("register, closed", SMRAME | 2, pci_read(PCI_HOST, SMRAMC));
    CHECK("closed: ring 0 does not see it", *window != first);
    *spot = 0x600dcafe;
    pci_write(PCI_HOST, SMRAMC, DOPEN | SMRAME | 2);
    CHECK_EQUAL("open: ring 0 sees it", first, *window);
    CHECK("what was written while closed went elsewhere", *spot != 0x600dcafe);
    *spot = 0x5ec4e7;
    pci_write(PCI_HOST, SMRAMC, SMRAME | 2);
    CHECK("closed again", *window != first);
    send(DELIVER_SMI);
    wait_for(1);
    CHECK_EQUAL("SMM runs from it", 1, AREA->count);
    CHECK_EQUAL("at 0xa0000", 0xa000, AREA->cs);

    area_clear();
    put_extra(SNIP16("addr32 mov %ds:0xa9000, %eax\n"
                     "addr32 mov %eax, 0x20000 + 36\n"
                     "ret\n"));
    send(DELIVER_SMI);
    wait_for(1);
    CHECK_EQUAL("SMM reads it", 0x5ec4e7, AREA->slot);

    if (WORLD == 64) {
        if (known(QUIRK_QEMU, "DLCK locks nothing"))
            return;
        pci_write(PCI_HOST, SMRAMC, DOPEN | DLCK | SMRAME | 2);
        CHECK_EQUAL("locking closes", DLCK | SMRAME | 2, pci_read(PCI_HOST, SMRAMC));
        pci_write(PCI_HOST, SMRAMC, DOPEN | 2);
        CHECK_EQUAL("locked: register is read-only", DLCK | SMRAME | 2, pci_read(PCI_HOST, SMRAMC));
        CHECK("locked: ring 0 cannot read", *window != first);
        *spot = 0xbad;
        *window = 0xffffffff;
        struct context c;
        context_set(&c, SNIP("nop\n"));
        c.ip = 0xa8000; /* a hole, or video memory with FF FF from above */
        context_run(&c);
        CHECK_EXIT("locked: ring 0 cannot execute", &c, UD, NO_ERROR, 0xa8000);
        area_clear();
        AREA->extra = 1;
        send(DELIVER_SMI);
        wait_for(1);
        CHECK_EQUAL("locked: ring 0 cannot write", 0x5ec4e7, AREA->slot);
        CHECK_EQUAL("SMM still runs", 1, AREA->count);
    } else {
        area_clear();
        patch(MAP_SMBASE, 4, home);
        send(DELIVER_SMI);
        wait_for(1);
        smbase = home;
    }
}
