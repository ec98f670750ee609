/* 82371SB PIIX3, function 1 (Intel 290550, 2.5 and 2.6): two ATA channels at the PC's old ports, and their bus master in BAR 4, 8 ports each.
 * IDETIM's decode enable and the function's I/O enable switch the ports. It is set out of reset, unlike the chip's: OVMF leaves it alone.
 * Not modelled: timing. */
#include "dev/pci/piix3_ide.h"

#include "base/le.h"

static u64 master_read(void *opaque, u64 off, unsigned size)
{
    struct piix3_ide *p = opaque;
    u64 v = 0;
    for (unsigned i = 0; i < size; i++, off++)
        v |= (u64)ide_bm_read(&p->channels[off >> 3 & 1], off & 7) << 8 * i;
    return v;
}

static void master_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct piix3_ide *p = opaque;
    for (unsigned i = 0; i < size; i++, off++)
        ide_bm_write(&p->channels[off >> 3 & 1], off & 7, (u8)(value >> 8 * i));
}

static const struct bus_ops master_bus = {.read = master_read, .write = master_write, .min_size = 1, .max_size = 4};

static void follow(void *instance)
{
    struct piix3_ide *p = instance;
    const u8 *config = p->function.config;
    for (unsigned n = 0; n < PIIX3_IDE_CHANNELS; n++)
        p->channels[n].on = ld16(config + PCI_COMMAND) & PCI_COMMAND_IO && ld16(config + PIIX3_IDETIM + 2 * n) & PIIX3_IDETIM_ENABLE;
}

static void written(void *opaque, unsigned off, unsigned size)
{
    (void)off, (void)size;
    follow(opaque);
}

void piix3_ide_init(struct piix3_ide *p, struct mem *mem, const struct irq_line irqs[PIIX3_IDE_CHANNELS])
{
    static const struct pci_id id = {.vendor = 0x8086,
                                     .device = 0x7010,
                                     .class = 0x010180, /* bus master, both channels at the old ports */
                                     .subsystem_vendor = 0x1af4,
                                     .subsystem = 0x1100};
    struct pci_function *f = &p->function;
    pci_function_init(f, "PIIX3 IDE", &id);
    pci_function_register(f, PCI_STATUS, 2, 0x0280, 0);
    pci_function_bar(f, 4, PCI_BAR_IO, 16, &master_bus, p, "PIIX3 bus master");
    pci_function_register(f, PIIX3_IDETIM, 2, PIIX3_IDETIM_ENABLE, 0xf3ff);
    pci_function_register(f, PIIX3_IDETIM + 2, 2, PIIX3_IDETIM_ENABLE, 0xf3ff);
    pci_function_register(f, 0x44, 1, 0, 0xff); /* SIDETIM */
    f->written = written;
    f->opaque = p;
    ide_channel_init(&p->channels[0], "ide0", mem, irqs[0]);
    ide_channel_init(&p->channels[1], "ide1", mem, irqs[1]);
}

static bool after_restore(void *instance)
{
    follow(instance);
    return true;
}

static const struct field_table ide_table = {"piix3_ide", 1, NULL, 0};
const struct device_ops piix3_ide_ops = {.fields = &ide_table, .reset = follow, .after_restore = after_restore};
