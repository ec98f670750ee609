/* 82441FX host bridge (Intel 290549, "PMC"): configuration mechanism 1 by CONFADD and CONFDATA, and its own
 * configuration registers as far as firmware looks at them. PAM and SMRAM are registers here; what they do to
 * memory is the machine's, told by `pam` and `smram`. Not modelled: DRAM timing, error reporting, the TRDT.
 */
#include "dev/pci/i440fx.h"

#include "base/bits.h"

#define CONFADD_ENABLE   0x80000000u
#define CONFADD_WRITABLE 0x80fffffcu

static u64 address_read(void *opaque, u64 off, unsigned size)
{
    struct i440fx *h = opaque;
    if (off == 0 && size == 4)
        return h->address;
    if (off == 1 && size == 1)
        return h->reset_control->read(h->reset_opaque, 0, 1);
    return ~0ull;
}

static void address_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct i440fx *h = opaque;
    if (off == 0 && size == 4)
        h->address = (u32)value & CONFADD_WRITABLE;
    else if (off == 1 && size == 1)
        h->reset_control->write(h->reset_opaque, 0, 1, value);
}

/* CONFADD: 31 enable | 23..16 bus | 15..8 device and function | 7..2 register. There is one bus. */
static bool selects(const struct i440fx *h)
{
    return h->address & CONFADD_ENABLE && !bits_get(h->address, 23, 16);
}

static u64 data_read(void *opaque, u64 off, unsigned size)
{
    struct i440fx *h = opaque;
    if (!selects(h))
        return ~0ull;
    return pci_bus_config_read(h->bus, h->address >> 8 & 0xff, (h->address & 0xfc) | (unsigned)off, size);
}

static void data_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct i440fx *h = opaque;
    if (selects(h))
        pci_bus_config_write(h->bus, h->address >> 8 & 0xff, (h->address & 0xfc) | (unsigned)off, size,
                             (u32)value);
}

const struct bus_ops i440fx_address_bus = {
    .read = address_read, .write = address_write, .min_size = 1, .max_size = 4};
const struct bus_ops i440fx_data_bus = {.read = data_read, .write = data_write, .min_size = 1, .max_size = 4};

static void written(void *opaque, unsigned off, unsigned size)
{
    struct i440fx *h = opaque;
    for (unsigned i = off; i < off + size; i++) {
        if (h->pam && i >= I440FX_PAM && i < I440FX_PAM + I440FX_PAMS)
            h->pam(h->opaque, i - I440FX_PAM, h->function.config[i]);
        if (h->smram && i == I440FX_SMRAM)
            h->function.config[i] = h->smram(h->opaque, h->function.config[i]);
    }
}

void i440fx_init(struct i440fx *h, struct pci_bus *bus, const struct bus_ops *reset_control,
                 void *reset_opaque)
{
    static const struct pci_id id = {.vendor = 0x8086,
                                     .device = 0x1237,
                                     .class = 0x060000,
                                     .revision = 2,
                                     .subsystem_vendor = 0x1af4,
                                     .subsystem = 0x1100};
    *h = (struct i440fx){.bus = bus, .reset_control = reset_control, .reset_opaque = reset_opaque};
    struct pci_function *f = &h->function;
    pci_function_init(f, "i440FX", &id);
    /* Memory decode and bus mastering cannot be turned off (3.2.3). */
    pci_function_register(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, PCI_COMMAND_SERR);
    pci_function_register(f, PCI_STATUS, 2, 0x0280, 0);
    f->clears[PCI_STATUS + 1] = 0xf9;
    pci_function_register(f, 0x50, 2, 0, 0xffff); /* PMCCFG */
    for (unsigned n = 0; n < I440FX_PAMS; n++)
        pci_function_register(f, I440FX_PAM + n, 1, 0, n ? 0x33 : 0x30);
    for (unsigned n = 0; n < 8; n++) /* DRB: row boundaries, firmware's notes here */
        pci_function_register(f, 0x60 + n, 1, 1, 0xff);
    pci_function_register(f, I440FX_SMRAM, 1, 0x02, 0x78);
    f->written = written;
    f->opaque = h;
}

static void host_tell(void *instance)
{
    written(instance, I440FX_PAM, I440FX_PAMS);
    written(instance, I440FX_SMRAM, 1);
}

static bool host_after_restore(void *instance)
{
    host_tell(instance);
    return true;
}

static const struct field host_fields[] = {FIELD_MAX(i440fx, address, 0, CONFADD_WRITABLE)};
static const struct field_table host_table = {"i440fx", 1, host_fields, ARRAY_LEN(host_fields)};
/* After its function in the machine's order. */
const struct device_ops i440fx_ops = {
    .fields = &host_table, .reset = host_tell, .after_restore = host_after_restore};
