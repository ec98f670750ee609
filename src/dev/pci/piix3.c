/* 82371SB PIIX3, function 0 (Intel 290550, "PCI to ISA bridge"): PIRQ routing; and function 3 of the 82371AB
 * PIIX4 (power management), which gives the PM block its ports, as QEMU's pc joins the two. The reset control
 * register and the chips behind the bridge stand in files of their own. Not modelled: ISA timing, the
 * IOAPIC's chip select, the DMA and serial IRQ registers beyond being memory, device monitors, the SMBus. */
#include "dev/pci/piix3.h"

#include "base/le.h"

#define IRQS_ROUTABLE 0xdef8u /* 3-7, 9-12, 14, 15 (4.1.11) */

/* Drives the ISA lines from the PIRQs' levels and routes. */
static void route(struct piix3 *p)
{
    u16 want = 0;
    for (unsigned n = 0; n < PCI_PIRQS; n++) {
        u8 r = p->isa.config[PIIX3_PIRQ_ROUTE + n];
        if (p->pirq >> n & 1 && !(r & PIIX3_PIRQ_OFF))
            want |= (u16)(1u << (r & 0xf)) & IRQS_ROUTABLE;
    }
    u16 changed = want ^ p->driven;
    p->driven = want;
    for (unsigned i = 0; i < PIIX3_IRQS; i++)
        if (changed >> i & 1)
            irq_set(&p->irqs[i], want >> i & 1);
}

void piix3_pirq(void *opaque, unsigned n, bool level)
{
    struct piix3 *p = opaque;
    p->pirq = (u8)((p->pirq & ~(1u << n)) | (u8)level << n);
    route(p);
}

static void isa_written(void *opaque, unsigned off, unsigned size)
{
    (void)off, (void)size;
    route(opaque);
}

u16 piix3_pm_base(const struct piix3 *p)
{
    const u8 *config = p->power.config;
    return config[PIIX4_PM_MISC] & PIIX4_PM_MISC_ENABLE ? ld16(config + PIIX4_PM_BASE) & 0xffc0 : 0;
}

/* PMBA and PMREGMISC (PIIX4 datasheet 7.1): the PM block's 64 ports. DEVACTB: whether APMC raises SMIs. */
static void power_written(void *opaque, unsigned off, unsigned size)
{
    struct piix3 *p = opaque;
    struct bus *pio = &p->power.bus->mem->pio;
    const u8 *config = p->power.config;
    u16 base = piix3_pm_base(p);
    struct error e;
    (void)off, (void)size;
    piix4_pm_set_apmc_en(p->pm, config[PIIX4_DEVACTB + 3] & PIIX4_APMC_EN);
    if (base == p->pm_base)
        return;
    if (p->pm_base)
        bus_remove(pio, p->pm_base);
    p->pm_base = base;
    if (base && bus_add(pio, "PIIX4 PM", base, PIIX4_PM_LEN, &piix4_pm_bus, p->pm, &e) != STATUS_OK)
        p->pm_base = 0;
}

static void isa_init(struct pci_function *f)
{
    static const struct pci_id id = {.vendor = 0x8086,
                                     .device = 0x7000,
                                     .class = 0x060100,
                                     .subsystem_vendor = 0x1af4,
                                     .subsystem = 0x1100};
    static const struct {
        u8 off, reset, writable;
    } registers[] = {
        {0x4c, 0x4d, 0xff}, /* ISA recovery */
        {0x4e, 0x03, 0xff}, /* XBCS: which chips the X-bus selects */
        {0x4f, 0x00, 0xff}, {0x60, 0x80, 0x8f}, {0x61, 0x80, 0x8f}, {0x62, 0x80, 0x8f},
        {0x63, 0x80, 0x8f}, {0x69, 0x02, 0xff}, /* top of memory */
        {0x6a, 0x00, 0xff}, {0x70, 0x80, 0xff}, {0x76, 0x0c, 0xff}, {0x77, 0x0c, 0xff},
        {0x78, 0x02, 0xff}, {0xa0, 0x08, 0xff}, {0xa8, 0x0f, 0xff},
    };
    pci_function_init(f, "PIIX3", &id);
    pci_function_register(f, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                          PCI_COMMAND_SERR | 0x0008);
    pci_function_register(f, PCI_STATUS, 2, 0x0200, 0);
    pci_function_register(f, PCI_HEADER_TYPE, 1, PCI_HEADER_MULTI, 0);
    for (size_t i = 0; i < ARRAY_LEN(registers); i++)
        pci_function_register(f, registers[i].off, 1, registers[i].reset, registers[i].writable);
}

static void power_init(struct pci_function *f)
{
    static const struct pci_id id = {.vendor = 0x8086,
                                     .device = 0x7113,
                                     .class = 0x068000,
                                     .revision = 3,
                                     .subsystem_vendor = 0x1af4,
                                     .subsystem = 0x1100,
                                     .pin = 1};
    pci_function_init(f, "PIIX4 PM", &id);
    pci_function_register(f, PCI_STATUS, 2, 0x0280, 0);
    pci_function_register(f, PIIX4_PM_BASE, 4, 1, 0xffc0);
    pci_function_register(f, PIIX4_PM_MISC, 1, 0, 0x01);
    for (unsigned off = 0x44; off < 0x80; off += 4) /* device monitors: memory */
        pci_function_register(f, off, 4, off == 0x60 ? 0x98000000 : 0, ~0u);
    pci_function_register(f, 0x90, 4, 1, 0xfff0); /* SMBBA */
    pci_function_register(f, 0xd2, 1, 0, 0x0e);   /* SMBHSTCFG: cannot be enabled */
}

void piix3_init(struct piix3 *p, const struct irq_line irqs[PIIX3_IRQS], struct piix4_pm *pm)
{
    *p = (struct piix3){.pm = pm};
    for (unsigned i = 0; i < PIIX3_IRQS; i++)
        p->irqs[i] = irqs[i];
    isa_init(&p->isa);
    power_init(&p->power);
    p->isa.written = isa_written;
    p->power.written = power_written;
    p->isa.opaque = p->power.opaque = p;
}

static void follow(void *instance)
{
    struct piix3 *p = instance;
    route(p);
    power_written(p, 0, 0);
}

static bool piix3_after_restore(void *instance)
{
    follow(instance);
    return true;
}

/* `driven` is what the lines show, and their sources' levels are kept with the router. */
static const struct field piix3_fields[] = {FIELD_KEEP(piix3, driven)};
static const struct field_table piix3_table = {"piix3", 1, piix3_fields, ARRAY_LEN(piix3_fields)};
/* After its functions in the machine's order. */
const struct device_ops piix3_ops = {
    .fields = &piix3_table, .reset = follow, .after_restore = piix3_after_restore};
