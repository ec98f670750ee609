/* PCI set-up as firmware does it, by configuration mechanism 1 through the port bus: windows for every BAR,
 * in the order of the functions, each at a multiple of its size; PIRQ routes and interrupt lines; the power
 * management block at its ports; decoding on. A window that finds no room keeps address 0. */
#include "machine/boot/bios_pci.h"

#include "base/bits.h"
#include "dev/pci/piix3.h"
#include "dev/pci/piix3_ide.h"
#include "machine/pc_map.h"

struct setup {
    struct bus *pio;
    u64 next_port, next_memory;
};

static u32 config_read(struct setup *s, unsigned devfn, unsigned off, unsigned size)
{
    bus_write(s->pio, PC_PORT_PCI, 4, 0x80000000u | devfn << 8 | (off & 0xfc));
    return (u32)bus_read(s->pio, PC_PORT_PCI + 4 + (off & 3), size);
}

static void config_write(struct setup *s, unsigned devfn, unsigned off, unsigned size, u32 value)
{
    bus_write(s->pio, PC_PORT_PCI, 4, 0x80000000u | devfn << 8 | (off & 0xfc));
    bus_write(s->pio, PC_PORT_PCI + 4 + (off & 3), size, value);
}

/* A place of SIZE bytes at a multiple of SIZE, below END; 0: none. */
static u64 take(u64 *next, u64 size, u64 end)
{
    u64 at = align_up(*next, size);
    if (!range_ok(at, size, end))
        return 0;
    *next = at + size;
    return at;
}

/* Returns how many BARs this one takes. */
static unsigned setup_bar(struct setup *s, unsigned devfn, unsigned n)
{
    unsigned off = PCI_BAR0 + 4 * n;
    config_write(s, devfn, off, 4, ~0u);
    u32 low = config_read(s, devfn, off, 4), mask = low & 1 ? ~3u : ~0xfu;
    bool wide = !(low & 1) && (low & 6) == 4;
    u64 size = (u64) ~(low & mask) + 1;
    if (wide) {
        config_write(s, devfn, off + 4, 4, 0);
        if (!(low & mask)) /* more than 4 GiB */
            return 2;
    }
    if (!(low & mask)) {
        config_write(s, devfn, off, 4, 0);
        return 1;
    }
    if (low & 1)
        size &= 0xffff;
    u64 at = low & 1 ? take(&s->next_port, size, 0x10000) : take(&s->next_memory, size, PC_IOAPIC_BASE);
    config_write(s, devfn, off, 4, (u32)at);
    return wide ? 2 : 1;
}

static void setup_function(struct setup *s, unsigned devfn)
{
    static const u8 irqs[PCI_PIRQS] = {PC_IRQ_PIRQ_AB, PC_IRQ_PIRQ_AB, PC_IRQ_PIRQ_CD, PC_IRQ_PIRQ_CD};
    for (unsigned n = 0; n < 6;)
        n += setup_bar(s, devfn, n);
    u32 pin = config_read(s, devfn, PCI_INTERRUPT_PIN, 1);
    if (pin)
        config_write(s, devfn, PCI_INTERRUPT_LINE, 1, irqs[pci_pirq(devfn >> 3, pin)]);
    u32 id = config_read(s, devfn, PCI_VENDOR_ID, 4);
    if (id == 0x70008086)
        for (unsigned n = 0; n < PCI_PIRQS; n++)
            config_write(s, devfn, PIIX3_PIRQ_ROUTE + n, 1, irqs[n]);
    if (id == 0x70108086) /* IDE: the channels' ports */
        for (unsigned n = 0; n < PIIX3_IDE_CHANNELS; n++)
            config_write(s, devfn, PIIX3_IDETIM + 2 * n, 2, PIIX3_IDETIM_ENABLE);
    if (id == 0x71138086) {
        config_write(s, devfn, PCI_INTERRUPT_LINE, 1, PC_IRQ_SCI);
        config_write(s, devfn, PIIX4_PM_BASE, 4, PC_PORT_PM | 1);
        config_write(s, devfn, PIIX4_PM_MISC, 1, PIIX4_PM_MISC_ENABLE);
    }
    config_write(s, devfn, PCI_COMMAND, 2,
                 config_read(s, devfn, PCI_COMMAND, 2) | PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
                     PCI_COMMAND_SERR);
}

u64 bios_pci_memory(const struct mem *m)
{
    return m->low_size > PC_PCI_MEMORY ? m->low_size : PC_PCI_MEMORY;
}

void bios_pci_setup(struct mem *m)
{
    struct setup s = {.pio = &m->pio, .next_port = PC_PCI_PORTS, .next_memory = bios_pci_memory(m)};
    for (unsigned dev = 0; dev < 32; dev++) {
        unsigned fns = config_read(&s, dev << 3, PCI_HEADER_TYPE, 1) & PCI_HEADER_MULTI ? 8 : 1;
        for (unsigned fn = 0; fn < fns; fn++)
            if (config_read(&s, dev << 3 | fn, PCI_VENDOR_ID, 2) != 0xffff)
                setup_function(&s, dev << 3 | fn);
    }
    /* The PIRQs' ISA interrupts are level-triggered. */
    u32 elcr = (u32)bus_read(s.pio, PC_PORT_ELCR, 2) | 1u << PC_IRQ_PIRQ_AB | 1u << PC_IRQ_PIRQ_CD;
    bus_write(s.pio, PC_PORT_ELCR, 1, elcr & 0xff);
    bus_write(s.pio, PC_PORT_ELCR + 1, 1, elcr >> 8);
}
