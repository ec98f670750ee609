/* Interrupts in both worlds: shadows and priorities, PIC, PIT, RTC, local APIC (xAPIC and x2APIC), its
 * timer, NMI, IOAPIC. SDM 3A 6.8, 6.9, chapter 10; Intel 8259A, 8254, 82093AA. */
#include "guest.h"

enum {
    PIC1 = 0x20,
    PIC2 = 0xa0,
    BASE1 = 0x40, /* vectors of the PICs here */
    BASE2 = 0x48,
    IRQ_TIMER = 0,
    IRQ_CASCADE = 2,
    IRQ_RTC = 8,
    PIT = 0x40,
    LAPIC = 0xfee00000,
    IOAPIC = 0xfec00000,
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_PPR = 0xa0,
    APIC_EOI = 0xb0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ISR = 0x100,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR2 = 0x310,
    APIC_LVTT = 0x320,
    APIC_LVT0 = 0x350,
    APIC_LVT1 = 0x360,
    APIC_LVTERR = 0x370,
    APIC_TMICT = 0x380,
    APIC_TMCCT = 0x390,
    APIC_TDCR = 0x3e0,
    SVR_ENABLE = 0x100,
    LVT_MASKED = 0x10000,
    LVT_PERIODIC = 0x20000,
    LVT_TSC_DEADLINE = 0x40000,
    DELIVERY_EXTINT = 0x700,
    DELIVERY_NMI = 0x400,
    ICR_SELF = 0x40000, /* destination shorthand */
    PATIENCE = 40000000,
};

static void pics_set(uint8_t mask1, uint8_t mask2)
{
    outb(PIC1, 0x11);
    outb(PIC1 + 1, BASE1);
    outb(PIC1 + 1, 1 << IRQ_CASCADE);
    outb(PIC1 + 1, 1);
    outb(PIC2, 0x11);
    outb(PIC2 + 1, BASE2);
    outb(PIC2 + 1, IRQ_CASCADE);
    outb(PIC2 + 1, 1);
    outb(PIC1 + 1, mask1);
    outb(PIC2 + 1, mask2);
}

static uint8_t pic_irr(uint16_t pic)
{
    outb(pic, 0x0a);
    return inb(pic);
}

static uint8_t pic_isr(uint16_t pic)
{
    outb(pic, 0x0b);
    return inb(pic);
}

static void pic_eoi(void)
{
    outb(PIC1, 0x20);
}

/* Mode 0 (one rise at the end) or 2 (rate). Writing the mode makes mode 0's OUT low. */
static void pit_start(unsigned mode, unsigned count)
{
    outb(PIT + 3, (uint8_t)(0x30 | mode << 1));
    outb(PIT, (uint8_t)count);
    outb(PIT, (uint8_t)(count >> 8));
}

static uint32_t apic_read(unsigned reg)
{
    return *(volatile uint32_t *)(word)(LAPIC + reg);
}

static void apic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)(word)(LAPIC + reg) = value;
}

/* Virtual wire: what a BIOS leaves, and PIC interrupts need. */
static void apic_extint(bool on)
{
    if (CPU_HAS_APIC) {
        apic_write(APIC_SVR, SVR_ENABLE | 0xff);
        apic_write(APIC_LVT0, on ? DELIVERY_EXTINT : LVT_MASKED);
        apic_write(APIC_TPR, 0);
    }
}

/* Leaves IRQ 0 pending at the PIC, IF being clear. */
static bool timer_pend(void)
{
    apic_extint(true);
    pics_set(0xfe, 0xff);
    pit_start(0, 50);
    for (unsigned i = 0; i < PATIENCE; i++) {
        if (pic_irr(PIC1) & 1)
            return true;
    }
    CHECK("IRQ 0 became pending", false);
    return false;
}

static void quiet(void)
{
    outb(PIC1 + 1, 0xff);
    outb(PIC2 + 1, 0xff);
    pit_start(0, 0xffff);
    pics_set(0xff, 0xff);
}

/* Runs with IF set until something comes. */
static void wait_set(struct context *c)
{
    const struct snip *s = SNIP("1: dec %ecx; jnz 1b");
    context_set(c, s);
    c->cx = PATIENCE;
    c->flags |= FLAG_IF;
}

/* A host under load may take its time: some 10 s of it, by the time-stamp counter. */
static unsigned wait(struct context *c)
{
    uint64_t begin = rdtsc();
    do {
        wait_set(c);
        context_run(c);
    } while (c->vector == EXIT && rdtsc() - begin < 20000000000ull);
    return (unsigned)c->vector;
}

/* The same for a short while: long enough for what is pending, short enough to show that nothing is. */
static unsigned wait_short(struct context *c)
{
    wait_set(c);
    c->cx = 300000;
    context_run(c);
    return (unsigned)c->vector;
}

TEST(pic_pit)
{
    struct context c;
    apic_extint(true);
    pics_set(0xfe, 0xff);
    pit_start(2, 2000);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQUAL("timer interrupt", BASE1 + IRQ_TIMER, wait(&c));
        CHECK_EQUAL("IF in the saved flags", FLAG_IF, c.flags & FLAG_IF);
        CHECK_EQUAL("in service", 1, pic_isr(PIC1));
        if (i == 2) {
            CHECK_EQUAL("none without EOI", EXIT, wait_short(&c));
            for (unsigned n = 0; n < PATIENCE && !(pic_irr(PIC1) & 1); n++)
                ;
            CHECK_EQUAL("but requested", 1, pic_irr(PIC1) & 1);
        }
        pic_eoi();
        CHECK_EQUAL("out of service", 0, pic_isr(PIC1));
    }
    outb(PIC1 + 1, 0xff);
    CHECK_EQUAL("none when masked", EXIT, wait_short(&c));
    CHECK_EQUAL("the mask reads back", 0xff, inb(PIC1 + 1));
    quiet();
}

TEST(shadows)
{
    struct context c;
    struct {
        const char *what;
        const struct snip *s;
        unsigned vector;
    } table[] = {
        {"STI holds off one instruction", SNIP("sti; inc %eax\n" AT "inc %eax"), BASE1},
        {"STI; CLI takes none", SNIP("sti; cli; nop"), EXIT},
        {"STI; HLT wakes", SNIP("sti; hlt\n" AT "nop"), BASE1},
        {"a second STI does not extend", SNIP("sti; sti\n" AT "inc %eax"), BASE1},
        {"[qemu] MOV SS holds off one instruction", SNIP("sti; mov %ecx, %ss; inc %eax\n" AT "inc %eax"),
         BASE1},
        {"[qemu] POP SS too", SNIP("sti; mov %ecx, %ss; mov %ecx, %ecx\n" AT "nop"), BASE1},
        {"POPF has no shadow", SNIP("push" W " $0x202; popf\n" AT "inc %eax"), BASE1},
        {"STI with IF set has none", SNIP("sti\n inc %eax\n" AT "inc %eax"), BASE1},
        {"STI; POPF that clears IF takes none", SNIP("push" W " $2; sti; popf; nop; nop"), EXIT},
    };
    for (unsigned i = 0; i < COUNT(table); i++) {
        if (!timer_pend())
            return;
        context_set(&c, table[i].s);
        c.cx = SEL_DATA;
        context_run(&c);
        CHECK_EXIT(table[i].what, &c, table[i].vector, NO_ERROR,
                   table[i].vector == EXIT ? table[i].s->end + 2 : table[i].s->at);
        quiet();
    }
    if (!timer_pend())
        return;
    const struct snip *s = SNIP("nop; nop");
    context_set(&c, s);
    c.flags |= FLAG_IF;
    context_run(&c);
    CHECK_EXIT("IRET that sets IF has no shadow", &c, BASE1, NO_ERROR, s->start);
    quiet();
}

/* RF that IRET loads is there at the next boundary and gone behind the instruction there. SDM 3B 17.3.1.1. */
TEST(rf_of_iret)
{
    struct context c;
    const struct snip *s = SNIP("nop; sti; nop\n" AT "nop"), *fault = SNIP("mov (" BX "), %eax; int $0x30");
    for (unsigned turn = 0; turn < 6; turn++) {
        bool now = turn % 2;
        if (!timer_pend())
            return;
        context_set(&c, s);
        c.flags |= FLAG_RF | (now ? FLAG_IF : 0);
        context_run(&c);
        CHECK_EXIT("an interrupt that waits", &c, BASE1, NO_ERROR, now ? s->start : s->at);
        CHECK_EQUAL("[qemu] RF that it saves", now ? FLAG_RF : 0, c.flags & FLAG_RF);
        quiet();
        context_set(&c, fault);
        c.bx = ADDR(&c);
        c.flags |= FLAG_RF;
        context_run(&c);
        CHECK_EXIT("INT n behind another instruction", &c, EXIT, NO_ERROR, fault->end);
        CHECK_EQUAL("RF is gone", 0, c.flags & FLAG_RF);
    }
}

/* The single-step trap comes before an interrupt that is recognized at the same boundary. SDM 3A 6.9. */
TEST(priority)
{
    struct context c;
    if (!timer_pend())
        return;
    const struct snip *s = SNIP("push" W " $0x302; popf\n" AT "nop");
    context_set(&c, s);
    c.flags |= FLAG_TF;
    context_run(&c);
    CHECK_EQUAL("step over PUSH", DB, c.vector);
    context_run(&c);
    CHECK_EXIT("[qemu] #DB of the POPF before the interrupt", &c, DB, NO_ERROR, s->at);
    if (c.vector == DB) {
        context_run(&c);
        CHECK_EXIT("then the interrupt", &c, BASE1, NO_ERROR, s->at);
    }
    write_dr6(DR6_RESET);
    quiet();
    if (!timer_pend())
        return;
    /* The interrupt comes before a fault of the next instruction. */
    s = SNIP("push" W " $0x202; popf\n" AT "ud2");
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("an interrupt before the next instruction's #UD", &c, BASE1, NO_ERROR, s->at);
    pic_eoi();
    context_run(&c);
    CHECK_EXIT("then the #UD", &c, UD, NO_ERROR, s->at);
    quiet();
}

/* One that was on its way when its source was masked may still come, once. */
static unsigned wait_short_after(struct context *c, unsigned last)
{
    if (wait_short(c) == last) {
        apic_write(APIC_EOI, 0);
        wait_short(c);
    }
    return (unsigned)c->vector;
}

/* A REP string instruction is interrupted between iterations: the saved IP is its own, RF is set, and it
 * resumes. SDM 3A 17.3.1.1 and 6.6. */
TEST(rep_interrupted)
{
    struct context c;
    static uint8_t from[256 * KiB], to[256 * KiB];
    const struct snip *s = SNIP("rep movsb");
    unsigned interrupts = 0;
    apic_extint(true);
    for (unsigned i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i * 13 >> 3);
    /* Long enough for any clock to strike in the middle: 8 million bytes are read, every quarter of a
     * millisecond is one. */
    const struct snip *lods = SNIP("rep lodsb");
    enum { LONG = 8 * MiB };
    for (unsigned turn = 0; turn < 200 && interrupts < 3; turn++) {
        pics_set(0xfe, 0xff);
        pit_start(2, 300);
        context_set(&c, lods);
        c.flags |= FLAG_IF;
        c.cx = LONG;
        c.si = MiB;
        for (unsigned n = 0; n < 1000; n++) {
            context_run(&c);
            if (c.vector != BASE1)
                break;
            if (c.ip == lods->start && c.cx && c.cx != LONG) {
                interrupts++;
                CHECK_EQUAL("SI and CX agree", MiB + LONG - c.cx, c.si);
                CHECK_EQUAL("[qemu bochs] RF in the saved flags", FLAG_RF, c.flags & FLAG_RF);
            }
            if (n == 100)
                outb(PIC1 + 1, 0xff);
            pic_eoi();
        }
        CHECK_EXIT("it ends", &c, EXIT, NO_ERROR, lods->end + 2);
        CHECK_EQUAL("SI", MiB + LONG, c.si);
        quiet();
    }
    CHECK("it was interrupted in the middle", interrupts > 0);
    /* What it copies is whole, wherever it was interrupted. */
    for (unsigned turn = 0; turn < 60; turn++) {
        memory_set(to, 0, sizeof(to));
        context_set(&c, s);
        c.flags |= FLAG_IF;
        c.cx = sizeof(from);
        c.si = ADDR(from);
        c.di = ADDR(to);
        pics_set(0xfe, 0xff);
        pit_start(0, 30 + 3 * turn * turn);
        context_run(&c);
        if (c.vector == BASE1 && c.ip == s->start && c.cx && c.cx != sizeof(from)) {
            CHECK_EQUAL("SI and CX agree", ADDR(from) + sizeof(from) - c.cx, c.si);
            CHECK_EQUAL("DI and CX agree", ADDR(to) + sizeof(to) - c.cx, c.di);
            CHECK_EQUAL("[qemu bochs] RF in the saved flags", FLAG_RF, c.flags & FLAG_RF);
        }
        for (unsigned n = 0; n < 10 && c.vector == BASE1; n++) {
            pic_eoi();
            context_run(&c);
        }
        CHECK_EXIT("it ends", &c, EXIT, NO_ERROR, s->end + 2);
        CHECK_EQUAL("all is copied", 0, memory_compare(from, to, sizeof(from)));
    }
    quiet();
}

/* RTC periodic interrupt: IRQ 8 through the cascade, with register C as its acknowledgement. */
TEST(rtc_cascade)
{
    struct context c;
    apic_extint(true);
    pics_set(0xfb, 0xfe);
    outb(0x70, 0x0a);
    outb(0x71, 0x26); /* 1024 Hz */
    outb(0x70, 0x0b);
    uint8_t old = inb(0x71);
    outb(0x70, 0x0b);
    outb(0x71, (uint8_t)(old | 0x40));
    outb(0x70, 0x0c);
    (void)inb(0x71);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQUAL("RTC interrupt", BASE2, wait(&c));
        CHECK_EQUAL("in service at the second PIC", 1, pic_isr(PIC2));
        CHECK_EQUAL("and the cascade at the first", 1 << IRQ_CASCADE, pic_isr(PIC1));
        outb(PIC2, 0x20);
        outb(PIC1, 0x20);
        outb(0x70, 0x0c);
        CHECK_EQUAL("PF and IRQF in register C", 0xc0, inb(0x71) & 0xc0);
        uint8_t again = 0x80; /* on a slow host the next period may have passed: not every time */
        for (unsigned n = 0; n < 1000 && again & 0x80; n++)
            again = inb(0x71);
        CHECK_EQUAL("reading it clears them", 0, again & 0x80);
    }
    outb(0x70, 0x0b);
    outb(0x71, (uint8_t)(old & ~0x40));
    outb(0x70, 0x0c);
    (void)inb(0x71);
    quiet();
}

static bool apic_on(void)
{
    if (!CPU_HAS_APIC) {
        skip("CPUID has no APIC");
        return false;
    }
    quiet();
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1u << 11);
    apic_write(APIC_SVR, SVR_ENABLE | 0xff);
    apic_write(APIC_LVT0, LVT_MASKED);
    apic_write(APIC_LVTT, LVT_MASKED);
    apic_write(APIC_TPR, 0);
    return true;
}

TEST(apic_registers)
{
    if (!apic_on())
        return;
    CHECK_EQUAL("APIC base", LAPIC, rdmsr(MSR_APIC_BASE) & 0xfffff000u);
    CHECK_EQUAL("BSP", 0x100, rdmsr(MSR_APIC_BASE) & 0x100);
    CHECK("version is an integrated APIC's", (apic_read(APIC_VERSION) & 0xf0) == 0x10);
    CHECK("at least 4 LVT entries", (apic_read(APIC_VERSION) >> 16 & 0xff) >= 3);
    apic_write(APIC_LDR, 0x12345678);
    CHECK_EQUAL("LDR keeps its top byte", 0x12000000, apic_read(APIC_LDR));
    apic_write(APIC_DFR, 0x0fffffff);
    CHECK_EQUAL("DFR: ones below", 0x0fffffff, apic_read(APIC_DFR));
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_TPR, 0xa5);
    CHECK_EQUAL("TPR", 0xa5, apic_read(APIC_TPR));
    CHECK_EQUAL("PPR follows", 0xa5, apic_read(APIC_PPR));
    apic_write(APIC_TPR, 0);
    /* Software disable masks every LVT entry, and they cannot be unmasked. */
    apic_write(APIC_LVTT, 0x41);
    apic_write(APIC_SVR, 0xff);
    CHECK_EQUAL("[qemu] disabled: LVT masked", LVT_MASKED, apic_read(APIC_LVTT) & LVT_MASKED);
    apic_write(APIC_LVTT, 0x41);
    CHECK_EQUAL("[qemu] and stays so", LVT_MASKED, apic_read(APIC_LVTT) & LVT_MASKED);
    apic_write(APIC_SVR, SVR_ENABLE | 0xff);
    apic_write(APIC_LVTT, LVT_MASKED);
}

static void self_ipi(unsigned vector)
{
    apic_write(APIC_ICR2, 0);
    apic_write(APIC_ICR, ICR_SELF | vector);
}

static uint32_t apic_bit(unsigned set, unsigned vector)
{
    return apic_read(set + vector / 32 * 16) >> vector % 32 & 1;
}

TEST(apic_self_ipi)
{
    struct context c;
    if (!apic_on())
        return;
    self_ipi(0x51);
    CHECK_EQUAL("IRR", 1, apic_bit(APIC_IRR, 0x51));
    CHECK_EQUAL("delivered", 0x51, wait(&c));
    CHECK_EQUAL("ISR", 1, apic_bit(APIC_ISR, 0x51));
    CHECK_EQUAL("IRR is clear", 0, apic_bit(APIC_IRR, 0x51));
    /* Of the same class: waits for the EOI. Of a higher: does not. */
    self_ipi(0x52);
    CHECK_EQUAL("[bochs] same class waits", EXIT, wait_short(&c));
    self_ipi(0x61);
    CHECK_EQUAL("higher class does not", 0x61, wait(&c));
    CHECK_EQUAL("both in service", 1, apic_bit(APIC_ISR, 0x51) & apic_bit(APIC_ISR, 0x61));
    apic_write(APIC_EOI, 0);
    CHECK_EQUAL("EOI ends the highest", 0, apic_bit(APIC_ISR, 0x61));
    CHECK_EQUAL("not the other", 1, apic_bit(APIC_ISR, 0x51));
    CHECK_EQUAL("[bochs] still waits", EXIT, wait_short(&c));
    apic_write(APIC_EOI, 0);
    CHECK_EQUAL("the waiting one", 0x52, wait(&c));
    apic_write(APIC_EOI, 0);
    self_ipi(0x71);
    self_ipi(0x91);
    self_ipi(0x81);
    CHECK_EQUAL("the highest first", 0x91, wait(&c));
    apic_write(APIC_EOI, 0);
    CHECK_EQUAL("then the next", 0x81, wait(&c));
    apic_write(APIC_EOI, 0);
    CHECK_EQUAL("then the last", 0x71, wait(&c));
    apic_write(APIC_EOI, 0);
    CHECK_EQUAL("none left", EXIT, wait_short(&c));
    /* A vector below 16 is illegal. */
    if (known(QUIRK_QEMU, "illegal vector"))
        return;
    apic_write(APIC_ESR, 0);
    self_ipi(0x05);
    apic_write(APIC_ESR, 0);
    CHECK_EQUAL("ESR: send or receive illegal vector", true, (apic_read(APIC_ESR) & 0x60) != 0);
    apic_write(APIC_ESR, 0);
}

TEST(apic_tpr)
{
    struct context c;
    if (!apic_on())
        return;
    apic_write(APIC_TPR, 0x50);
    self_ipi(0x51);
    CHECK_EQUAL("class 5 is held off by TPR 50", EXIT, wait_short(&c));
    self_ipi(0x61);
    CHECK_EQUAL("class 6 is not", 0x61, wait(&c));
    apic_write(APIC_EOI, 0);
    apic_write(APIC_TPR, 0x40);
    CHECK_EQUAL("TPR 40 lets class 5 pass", 0x51, wait(&c));
    CHECK_EQUAL("PPR is the class in service", 0x50, apic_read(APIC_PPR) & 0xf0);
    apic_write(APIC_EOI, 0);
    CHECK_EQUAL("PPR is TPR again", 0x40, apic_read(APIC_PPR));
#ifdef __x86_64__
    write_cr8(9);
    CHECK_EQUAL("CR8 is TPR's class", 0x90, apic_read(APIC_TPR));
    apic_write(APIC_TPR, 0x35);
    CHECK_EQUAL("and the other way", 3, read_cr8());
    write_cr8(15);
    self_ipi(0xf1);
    CHECK_EQUAL("CR8 15 holds off all", EXIT, wait_short(&c));
    const struct snip *s = SNIP("mov %rax, %cr8; nop; nop; nop");
    context_set(&c, s);
    c.flags |= FLAG_IF;
    context_run(&c);
    CHECK_EQUAL("MOV CR8 lets it in", 0xf1, c.vector);
    CHECK_EQUAL("at once", s->start + 4, c.ip);
    apic_write(APIC_EOI, 0);
    s = SNIP("mov %rax, %cr8");
    context_set(&c, s);
    c.ax = 16;
    RUN_FAULT("[qemu] CR8 above 15", s, &c, GP, 0);
    context_set_user(&c, s);
    RUN_FAULT("CR8 in ring 3", s, &c, GP, 0);
    write_cr8(0);
#endif
    apic_write(APIC_TPR, 0);
}

/* An NMI to this processor. The "self" shorthand allows fixed delivery only: SDM 3A table 10-3. */
static void nmi_send(void)
{
    apic_write(APIC_ICR2, apic_read(APIC_ID));
    apic_write(APIC_ICR, 0x4000 | DELIVERY_NMI);
}

TEST(nmi)
{
    struct context c;
    if (!apic_on())
        return;
    const struct snip *s = SNIP("movl $0x4400, (" BX ")\n1: dec %ecx; jnz 1b");
    apic_write(APIC_ICR2, apic_read(APIC_ID));
    context_set(&c, s);
    c.bx = LAPIC + APIC_ICR;
    c.cx = PATIENCE;
    context_run(&c);
    CHECK_EQUAL("NMI by an IPI, IF clear", NMI, c.vector);
    CHECK("after the write", c.ip > s->start && c.ip < s->end);
    /* NMIs are blocked until the next IRET: these stay pending until context_run. */
    nmi_send();
    nmi_send();
    CHECK("blocked until IRET", true);
    s = SNIP("nop; nop");
    context_set(&c, s);
    context_run(&c);
    CHECK_EXIT("the IRET lets it in, before the first instruction", &c, NMI, NO_ERROR, s->start);
    context_run(&c);
    CHECK_EXIT("two while blocked are one", &c, EXIT, NO_ERROR, s->end + 2);
    /* No NMI is in service now. */
    s = SNIP("movl $0x4400, (" BX "); hlt; nop");
    context_set(&c, s);
    c.bx = LAPIC + APIC_ICR;
    context_run(&c);
    CHECK_EQUAL("HLT wakes by NMI with IF clear", NMI, c.vector);
    context_set(&c, SNIP("nop"));
    context_run(&c);
}

TEST(apic_timer)
{
    struct context c;
    if (!apic_on())
        return;
    apic_write(APIC_TDCR, 0xb); /* divide by 1 */
    apic_write(APIC_LVTT, 0x41);
    apic_write(APIC_TMICT, 100000);
    uint32_t first = apic_read(APIC_TMCCT);
    CHECK("it counts down", first <= 100000);
    CHECK_EQUAL("one-shot", 0x41, wait(&c));
    apic_write(APIC_EOI, 0);
    CHECK_EQUAL("stands at 0", 0, apic_read(APIC_TMCCT));
    CHECK_EQUAL("TMICT reads back", 100000, apic_read(APIC_TMICT));
    CHECK_EQUAL("once", EXIT, wait_short(&c));
    apic_write(APIC_LVTT, LVT_PERIODIC | 0x42);
    apic_write(APIC_TMICT, 50000);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQUAL("periodic", 0x42, wait(&c));
        apic_write(APIC_EOI, 0);
    }
    apic_write(APIC_LVTT, LVT_PERIODIC | LVT_MASKED | 0x42);
    CHECK_EQUAL("masked", EXIT, wait_short_after(&c, 0x42));
    apic_write(APIC_TMICT, 0);
    CHECK_EQUAL("TMICT 0 stops it", 0, apic_read(APIC_TMCCT));
    static const uint8_t dividers[] = {0xb, 0, 1, 2, 3, 8, 9, 0xa};
    for (unsigned i = 0; i < COUNT(dividers); i++) {
        apic_write(APIC_TDCR, dividers[i]);
        CHECK_EQUAL("TDCR reads back", dividers[i], apic_read(APIC_TDCR));
    }
    apic_write(APIC_TDCR, 0xb);
    apic_write(APIC_LVTT, LVT_MASKED);
}

TEST(tsc_deadline)
{
    struct context c;
    if (!CPU_HAS_TSC_DEADLINE) {
        skip("CPUID has no TSC deadline");
        return;
    }
    if (!apic_on())
        return;
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1);
    CHECK_EQUAL("outside the mode the MSR reads 0", 0, rdmsr(MSR_TSC_DEADLINE));
    apic_write(APIC_LVTT, LVT_TSC_DEADLINE | 0x43);
    uint64_t deadline = rdtsc() + 200000;
    wrmsr(MSR_TSC_DEADLINE, deadline);
    CHECK_EQUAL("fires", 0x43, wait(&c));
    CHECK("not before its time", rdtsc() >= deadline);
    apic_write(APIC_EOI, 0);
    CHECK_EQUAL("[bochs] disarmed", 0, rdmsr(MSR_TSC_DEADLINE));
    wrmsr(MSR_TSC_DEADLINE, 1);
    CHECK_EQUAL("a deadline in the past fires at once", 0x43, wait(&c));
    apic_write(APIC_EOI, 0);
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000000000000ull);
    CHECK("armed", rdmsr(MSR_TSC_DEADLINE) != 0);
    wrmsr(MSR_TSC_DEADLINE, 0);
    CHECK_EQUAL("0 disarms", EXIT, wait_short(&c));
    apic_write(APIC_TMICT, 1000);
    CHECK_EQUAL("TMICT is ignored in this mode", EXIT, wait_short(&c));
    apic_write(APIC_LVTT, LVT_MASKED);
}

/* Disabling by the MSR is a reset of the APIC, and takes it out of CPUID. SDM 3A 10.4.3, 10.4.7.2, 10.12.5.
 */
TEST(apic_disable)
{
    struct context c;
    if (known(QUIRK_BOCHS | QUIRK_QEMU, "APIC disabled by its MSR"))
        return;
    if (!apic_on())
        return;
    uint64_t base = rdmsr(MSR_APIC_BASE);
    bool x2apic = CPU_HAS_X2APIC;
    wrmsr(MSR_APIC_BASE, base & ~(uint64_t)(1u << 11));
    CHECK_EQUAL("disabled: CPUID has no APIC", 0, CPU_HAS_APIC);
    const struct snip *wr = SNIP("wrmsr");
    context_set(&c, wr);
    c.cx = MSR_APIC_BASE;
    c.ax = (uint32_t)(base & ~(uint64_t)(1u << 11)) | 1u << 10;
    if (x2apic)
        RUN_FAULT("EXTD without EN is #GP", wr, &c, GP, 0);
    wrmsr(MSR_APIC_BASE, base);
    CHECK_EQUAL("on again, in xAPIC mode", 0x10, apic_read(APIC_VERSION) & 0xf0);
    CHECK_EQUAL("after reset SVR is FF", 0xff, apic_read(APIC_SVR) & 0x1ff);
    apic_extint(true);
}

static uint32_t ioapic_read(unsigned reg)
{
    *(volatile uint32_t *)(word)IOAPIC = reg;
    return *(volatile uint32_t *)(word)(IOAPIC + 0x10);
}

static void ioapic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)(word)IOAPIC = reg;
    *(volatile uint32_t *)(word)(IOAPIC + 0x10) = value;
}

TEST(ioapic)
{
    struct context c;
    if (!apic_on())
        return;
    uint32_t version = ioapic_read(1);
    if (version == 0xffffffff || version == 0) {
        skip("no IOAPIC at FEC00000");
        return;
    }
    CHECK_EQUAL("24 entries", 23, version >> 16 & 0xff);
    for (unsigned i = 0; i < 24; i++)
        ioapic_write(0x10 + 2 * i, 0x10000);
    ioapic_write(0x10 + 4, 0x10000 | 0x55);
    CHECK_EQUAL("an entry reads back", 0x10055, ioapic_read(0x14));
    ioapic_write(0x15, apic_read(APIC_ID));
    CHECK_EQUAL("its destination too", apic_read(APIC_ID), ioapic_read(0x15));
    pit_start(2, 3000);
    CHECK_EQUAL("masked", EXIT, wait_short(&c));
    ioapic_write(0x14, 0x55); /* GSI 2: the PIT */
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQUAL("the PIT through the IOAPIC", 0x55, wait(&c));
        apic_write(APIC_EOI, 0);
    }
    ioapic_write(0x14, 0x10055);
    CHECK_EQUAL("masked again", EXIT, wait_short_after(&c, 0x55));
    /* NMI delivery: written where it may come at once */
    (void)ioapic_read(0x14);
    context_set(&c, SNIP("movl $0x400, (" BX ")\n1: dec %ecx; jnz 1b"));
    c.bx = IOAPIC + 0x10;
    c.cx = PATIENCE;
    context_run(&c);
    ioapic_write(0x14, 0x10055);
    CHECK_EQUAL("delivered as NMI", NMI, c.vector);
    context_set(&c, SNIP("nop"));
    context_run(&c);
    quiet();
    apic_extint(true);
}

TEST(x2apic)
{
    struct context c;
    if (!CPU_HAS_X2APIC) {
        skip("CPUID has no x2APIC");
        return;
    }
    /* Bochs cannot leave x2APIC mode: once, at the very end. */
    if (WORLD == 32 && known(QUIRK_BOCHS, "leaving x2APIC mode"))
        return;
    if (!apic_on())
        return;
    uint64_t base = rdmsr(MSR_APIC_BASE);
    const struct snip *rd = SNIP("rdmsr"), *wr = SNIP("wrmsr");
    context_set(&c, rd);
    c.cx = 0x802;
    RUN_FAULT("x2APIC MSRs are #GP in xAPIC mode", rd, &c, GP, 0);
    uint32_t id = apic_read(APIC_ID) >> 24;
    wrmsr(MSR_APIC_BASE, base | 1u << 10);
    CHECK_EQUAL("ID", id, rdmsr(0x802));
    CHECK_EQUAL("version", 0x10, rdmsr(0x803) & 0xf0);
    CHECK_EQUAL("[bochs] LDR is derived from the ID", (id & ~0xfu) << 12 | 1u << (id & 0xf), rdmsr(0x80d));
    wrmsr(0x808, 0x20);
    CHECK_EQUAL("TPR", 0x20, rdmsr(0x808));
    wrmsr(0x808, 0);
    wrmsr(0x83f, 0x51);
    CHECK_EQUAL("SELF IPI", 0x51, wait(&c));
    wrmsr(0x80b, 0);
    wrmsr(0x830, (uint64_t)id << 32 | 0x52);
    CHECK_EQUAL("ICR in one write, physical destination", 0x52, wait(&c));
    wrmsr(0x80b, 0);
    static const struct {
        const char *what;
        uint32_t msr, low;
        bool write;
    } faults[] = {
        {"write of the ID", 0x802, 0, true},      {"write of PPR", 0x80a, 0, true},
        {"EOI that is not 0", 0x80b, 1, true},    {"DFR does not exist", 0x80e, 0, false},
        {"ICR2 does not exist", 0x831, 0, false}, {"reserved bits of TPR", 0x808, 0x100, true},
        {"read of SELF IPI", 0x83f, 0, false},    {"read of EOI", 0x80b, 0, false},
        {"ESR that is not 0", 0x828, 1, true},
    };
    for (unsigned i = 0; i < COUNT(faults); i++) {
        const struct snip *s = faults[i].write ? wr : rd;
        context_set(&c, s);
        c.cx = faults[i].msr;
        c.ax = faults[i].low;
        RUN_FAULT(faults[i].what, s, &c, GP, 0);
    }
    context_set(&c, wr);
    c.cx = MSR_APIC_BASE;
    c.ax = (uint32_t)base & ~(1u << 10);
    RUN_FAULT("back to xAPIC without disabling is #GP", wr, &c, GP, 0);
    wrmsr(MSR_APIC_BASE, base & ~(uint64_t)(3u << 10));
    wrmsr(MSR_APIC_BASE, base);
}
