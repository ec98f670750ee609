/* 82093AA I/O APIC (Intel 290566), 24 pins, with the EOI register of version 0x20 (ICH family datasheets,
 * "EOIR"). Edge-triggered requests at a masked pin are ignored, as the datasheet says. A level-triggered
 * request is sent again for as long as the pin is high when its EOI comes. Pin polarity is a bit that nothing
 * reads: wires here are active or not. */
#include "irq/ioapic.h"

enum {
    IOREGSEL = 0x00,
    IOWIN = 0x10,
    IOAPIC_EOIR = 0x40,
    IOAPICID = 0,
    IOAPICVER = 1,
    IOAPICARB = 2,
    IOREDTBL = 0x10,
    VERSION = 0x20 | (IOAPIC_PINS - 1) << 16,
};

/* Redirection entry: 63..56 destination | 16 mask | 15 trigger | 14 remote IRR | 13 polarity | 12 delivery
 * status | 11 logical | 10..8 delivery mode | 7..0 vector */
#define REDIR_MASKED     0x10000ull
#define REDIR_LEVEL      0x8000ull
#define REDIR_REMOTE_IRR 0x4000ull
#define REDIR_LOGICAL    0x800ull
#define REDIR_WRITABLE   0xff0000000001afffull

static struct apic_message pin_message(const struct ioapic *io, unsigned n)
{
    u64 r = io->redir[n];
    u8 delivery = r >> 8 & 7;
    bool ordinary = delivery == APIC_DM_FIXED || delivery == APIC_DM_LOWEST;
    return (struct apic_message){.dest = (u32)(r >> 56),
                                 .logical = r & REDIR_LOGICAL,
                                 .level = r & REDIR_LEVEL && ordinary,
                                 .delivery = delivery,
                                 .vector = (u8)r};
}

static void pin_send(struct ioapic *io, unsigned n)
{
    struct apic_message m = pin_message(io, n);
    if (m.level)
        io->redir[n] |= REDIR_REMOTE_IRR;
    apic_bus_deliver(io->bus, &m);
}

static void pin_tell(const struct ioapic *io, unsigned n)
{
    const struct apic_keeper *keeper = io->bus->keeper;
    struct apic_message m = pin_message(io, n);
    if (keeper)
        keeper->pin(keeper->opaque, n, &m);
}

void ioapic_tell(const struct ioapic *io)
{
    for (unsigned n = 0; n < IOAPIC_PINS; n++)
        pin_tell(io, n);
}

/* Sends what a level-triggered pin asks for, if it may. */
static void pin_level(struct ioapic *io, unsigned n)
{
    u64 r = io->redir[n];
    if (io->pins >> n & 1 && r & REDIR_LEVEL && !(r & (REDIR_MASKED | REDIR_REMOTE_IRR)))
        pin_send(io, n);
}

void ioapic_set(void *opaque, unsigned n, bool level)
{
    struct ioapic *io = opaque;
    if (n >= IOAPIC_PINS || (io->pins >> n & 1) == level)
        return;
    io->pins ^= 1u << n;
    if (!level)
        return;
    if (io->redir[n] & REDIR_LEVEL)
        pin_level(io, n);
    else if (!(io->redir[n] & REDIR_MASKED))
        pin_send(io, n);
}

void ioapic_eoi(struct ioapic *io, u8 vector)
{
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        u64 r = io->redir[n];
        if (!(r & REDIR_REMOTE_IRR) || (u8)r != vector)
            continue;
        io->redir[n] &= ~REDIR_REMOTE_IRR;
        pin_level(io, n);
    }
}

static void redir_write(struct ioapic *io, unsigned reg, u32 value)
{
    unsigned n = reg / 2, shift = reg & 1 ? 32 : 0;
    u64 mask = REDIR_WRITABLE & 0xffffffffull << shift;
    u64 r = (io->redir[n] & ~mask) | ((u64)value << shift & mask);
    if (!(r & REDIR_LEVEL))
        r &= ~REDIR_REMOTE_IRR;
    io->redir[n] = r;
    pin_tell(io, n);
    pin_level(io, n);
}

static u64 ioapic_read(void *opaque, u64 off, unsigned size)
{
    const struct ioapic *io = opaque;
    if (off == IOREGSEL)
        return io->index;
    if (off != IOWIN || size != 4)
        return 0;
    switch (io->index) {
    case IOAPICID:
    case IOAPICARB: return (u64)io->id << 24;
    case IOAPICVER: return VERSION;
    default:
        if (io->index < IOREDTBL || io->index >= IOREDTBL + 2 * IOAPIC_PINS)
            return 0;
        return (u32)(io->redir[(io->index - IOREDTBL) / 2] >> (io->index & 1 ? 32 : 0));
    }
}

static void ioapic_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct ioapic *io = opaque;
    if (off == IOREGSEL) {
        io->index = (u8)value;
    } else if (off == IOAPIC_EOIR) {
        ioapic_eoi(io, (u8)value);
    } else if (off == IOWIN && size == 4) {
        if (io->index == IOAPICID)
            io->id = value >> 24 & 0xf;
        else if (io->index >= IOREDTBL && io->index < IOREDTBL + 2 * IOAPIC_PINS)
            redir_write(io, io->index - IOREDTBL, (u32)value);
    }
}

const struct bus_ops ioapic_bus = {.read = ioapic_read, .write = ioapic_write, .min_size = 1, .max_size = 4};

void ioapic_init(struct ioapic *io, struct apic_bus *bus)
{
    *io = (struct ioapic){.bus = bus};
    fields_reset(ioapic_ops.fields, io);
}

static bool ioapic_after_restore(void *instance)
{
    struct ioapic *io = instance;
    io->pins &= (1u << IOAPIC_PINS) - 1;
    for (unsigned n = 0; n < IOAPIC_PINS; n++)
        if (io->redir[n] & ~(REDIR_WRITABLE | REDIR_REMOTE_IRR))
            return false;
    return true;
}

static const struct field ioapic_fields[] = {
    FIELD_MAX(ioapic, id, 0, 15),
    FIELD(ioapic, index, 0),
    FIELD_KEEP(ioapic, pins),
    FIELD_ARRAY(ioapic, redir, REDIR_MASKED),
};
static const struct field_table ioapic_table = {
    .name = "ioapic", .version = 1, .fields = ioapic_fields, .count = ARRAY_LEN(ioapic_fields)};

const struct device_ops ioapic_ops = {.fields = &ioapic_table, .after_restore = ioapic_after_restore};
