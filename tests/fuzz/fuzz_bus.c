/* The PC's chips behind their buses, without CPUs: a program of port and MMIO accesses of all sizes, steps of the clock, console input, and what the vCPUs ask
 * of their LAPICs. Nothing may crash, spin, or write to the host's memory.
 *
 * Input: a byte of choices (bit 0: two CPUs, bit 1: x2APIC, bit 2: the test device), then commands: a byte of kind, then its operands; an access is a byte
 * that picks a chip, a byte of offset, and the value. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "machine/pc.h"
#include "machine/pc_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    const u8 *data;
    size_t left;
    struct mem mem;
    struct clock clock;
    u64 now;
    struct pc pc;
    unsigned cpus;
};

static u64 take(struct fuzz *f, unsigned bytes)
{
    u64 v = 0;
    for (unsigned k = 0; k < bytes && f->left; k++, f->left--)
        v |= (u64)*f->data++ << 8 * k;
    return v;
}

static u64 on_now(void *opaque)
{
    return ((struct fuzz *)opaque)->now;
}

static i64 on_wall(void *opaque)
{
    return 1700000000000000000 + (i64)((struct fuzz *)opaque)->now;
}

static size_t on_serial(void *opaque, const u8 *bytes, size_t n)
{
    (void)bytes;
    return n > 3 ? n - (size_t)(((struct fuzz *)opaque)->now & 1) : n;
}

static void on_drained(void *opaque)
{
    (void)opaque;
}

static void on_signal(void *opaque, unsigned cpu, enum apic_signal s, u8 vector)
{
    (void)s;
    (void)vector;
    if (cpu >= ((struct fuzz *)opaque)->cpus)
        abort();
}

static u64 on_tsc(void *opaque, unsigned cpu, u64 tsc)
{
    (void)opaque;
    (void)cpu;
    return tsc;
}

static void on_reset(void *opaque, const char *cause)
{
    (void)opaque;
    (void)cause;
}

static void on_line(void *opaque)
{
    (void)opaque;
}

static void on_exit_value(void *opaque, u32 value)
{
    (void)opaque;
    (void)value;
}

static void on_a20(void *opaque, bool enabled)
{
    (void)opaque;
    (void)enabled;
}

static u16 port(struct fuzz *f)
{
    static const u16 chips[] = {PC_PORT_PIC1,    PC_PORT_PIC2,   PC_PORT_ELCR, PC_PORT_PIT,        PC_PORT_PORT61, PC_PORT_KBD_DATA,
                                PC_PORT_RTC,     PC_PORT_POST,   PC_PORT_FERR, PC_PORT_DEBUG_EXIT, PC_PORT_COM1,   PC_PORT_FW_CFG,
                                PC_PORT_SMI_CMD, PC_PORT_PORT92, PC_PORT_PM,   PC_PORT_RESET & ~7, PC_PORT_GPE0,   PC_PORT_TESTDEV,
                                PC_PORT_TESTIRQ};
    unsigned k = (unsigned)take(f, 1);
    return k < 240 ? (u16)(chips[k % ARRAY_LEN(chips)] + (take(f, 1) & 31)) : (u16)take(f, 2);
}

static u64 address(struct fuzz *f)
{
    static const u64 chips[] = {PC_IOAPIC_BASE, PC_LAPIC_BASE, PC_TESTDEV_MMIO, 0xfffffff0};
    unsigned k = (unsigned)take(f, 1);
    return k < 240 ? chips[k % ARRAY_LEN(chips)] + (take(f, 2) & 0xfff) : take(f, 8);
}

static void step(struct fuzz *f, u64 ns)
{
    u64 end = f->now + ns;
    for (unsigned fires = 0; fires < 64 && clock_next(&f->clock) <= end; fires++) {
        u64 next = clock_next(&f->clock);
        f->now = next > f->now ? next : f->now;
        clock_run(&f->clock);
    }
    f->now = end > f->now ? end : f->now;
}

static void private_mmio(struct fuzz *f, unsigned size, bool write)
{
    struct exit x = {.kind = EXIT_MMIO, .write = write, .size = (u8)size, .addr = PC_LAPIC_BASE + (take(f, 2) & 0xfff)};
    if (x.addr + size > PC_LAPIC_BASE + PAGE_SIZE) /* an access is cut at the page's end before it comes here */
        return;
    x.data = write ? take(f, size) : 0;
    (void)!pc_private_mmio(&f->pc, f->left & 1 ? f->cpus - 1 : 0, &x);
}

static void command(struct fuzz *f)
{
    unsigned kind = (unsigned)take(f, 1), size = 1u << (kind >> 4 & 3), cpu = kind >> 6 & (f->cpus - 1);
    u8 text[8] = {0};
    u64 v;
    switch (kind & 15) {
    case 0:
    case 1:
    case 2:
        v = port(f);
        bus_write(&f->mem.pio, v, size > 4 ? 4 : size, take(f, size));
        break;
    case 3:
    case 4: (void)!bus_read(&f->mem.pio, port(f), size > 4 ? 4 : size); break;
    case 5:
    case 6:
        v = address(f);
        bus_write(&f->mem.mmio, v, size, take(f, size));
        break;
    case 7: (void)!bus_read(&f->mem.mmio, address(f), size); break;
    case 8: private_mmio(f, size, true); break;
    case 9: private_mmio(f, size, false); break;
    case 10: step(f, take(f, 2) << (take(f, 1) & 31)); break;
    case 11: (void)!pc_intr_ack(&f->pc, cpu); break;
    case 12:
        pc_cr8_write(&f->pc, cpu, (u8)take(f, 1) & 15);
        (void)!pc_cr8_read(&f->pc, cpu);
        break;
    case 13: {
        u32 msr = (u32)(take(f, 1) & 1 ? 0x1b : 0x800 + (take(f, 1) & 0x3f));
        (void)!pc_apic_msr_write(&f->pc, cpu, msr, take(f, 8));
        (void)!pc_apic_msr_read(&f->pc, cpu, msr, &v);
        break;
    }
    case 14: {
        struct console_chip c = pc_console(&f->pc);
        size_t room = c.room(c.opaque), n = room < size ? room : size;
        memset(text, (int)take(f, 1), sizeof text);
        c.receive(c.opaque, text, n);
        c.writable(c.opaque);
        break;
    }
    default: take(f, 1) == 0x5a ? pc_reset(&f->pc) : pc_ferr(&f->pc); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz *f = calloc(1, sizeof *f);
    struct error e;
    if (!f)
        abort();
    f->data = data;
    f->left = size;
    f->now = 1000000;
    f->clock = (struct clock){.now = on_now, .opaque = f, .min_period_ns = 20000};
    unsigned choices = (unsigned)take(f, 1);
    f->cpus = choices & 1 ? 2 : 1;
    const struct pc_config cfg = {.cpus = f->cpus, .x2apic = choices & 2, .debug_exit = true, .testdev = choices & 4};
    const struct pc_wires wires = {
        .mem = &f->mem,
        .clock = &f->clock,
        .serial = {.write = on_serial, .drained = on_drained, .opaque = f},
        .rtc = {.wall_ns = on_wall, .opaque = f},
        .apic = {.signal = on_signal, .tsc_ns = on_tsc, .opaque = f},
        .lines = {.reset = on_reset, .poweroff = on_line, .debug_exit = on_exit_value, .smi = on_line, .a20 = on_a20, .opaque = f},
    };
    if (mem_init(&f->mem, MIB(2), &e) != STATUS_OK || pc_init(&f->pc, &cfg, &wires, &e) != STATUS_OK)
        abort();
    pc_reset(&f->pc);
    if (choices & 8)
        pc_enter_virtual_wire(&f->pc);
    while (f->left)
        command(f);
    pc_destroy(&f->pc);
    mem_destroy(&f->mem);
    free(f);
    return 0;
}
