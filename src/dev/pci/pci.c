/* The PCI bus: configuration space with write masks, base address registers whose windows follow what is
 * written into them, the interrupt pins (PCI Local Bus Specification 3.0, 6.1, 6.2, 2.2.6).
 *
 * A window is in the port or memory space while its decode bit in the command register is set and no other
 * region stands there; one that overlaps waits until its place is free, and reads as a hole meanwhile. A BAR
 * written with all ones, to learn its size, must not steal accesses: windows that would end past the 32-bit
 * (ports: 16-bit) space are not mapped. RAM wins over a window: the engines never ask the bus for it.
 * Not modelled: bridges, parity and SERR#, latency, fast back-to-back; bus mastering is always allowed but
 * for MSIs. */
#include "dev/pci/pci.h"

#include <string.h>

#include "base/bits.h"
#include "base/le.h"

void pci_bus_init(struct pci_bus *b, struct mem *mem, struct msi_wire msi,
                  void (*pirq)(void *opaque, unsigned n, bool level), void *pirq_opaque)
{
    *b = (struct pci_bus){.mem = mem, .msi = msi, .pirq = pirq, .pirq_opaque = pirq_opaque};
}

static struct pci_function *find(const struct pci_bus *b, unsigned devfn)
{
    for (unsigned i = 0; i < b->count; i++)
        if (b->functions[i]->devfn == devfn)
            return b->functions[i];
    return NULL;
}

enum status pci_bus_add(struct pci_bus *b, struct pci_function *f, unsigned dev, unsigned fn, struct error *e)
{
    unsigned devfn = dev << 3 | fn;
    if (dev > 31 || fn > 7 || b->count == PCI_FUNCTIONS || find(b, devfn))
        return error_set(e, STATUS_HOST, "PCI: %s: no room at %02x.%x", f->name, dev, fn);
    f->bus = b;
    f->devfn = (u8)devfn;
    b->functions[b->count++] = f;
    return STATUS_OK;
}

/* --- windows */

static unsigned bar_offset(unsigned n)
{
    return n == PCI_ROM_BAR ? PCI_ROM : PCI_BAR0 + 4 * n;
}

static struct bus *bar_space(const struct pci_function *f, const struct pci_bar *bar)
{
    return bar->kind == PCI_BAR_IO ? &f->bus->mem->pio : &f->bus->mem->mmio;
}

/* Where BAR N wants to be; false: nowhere. */
static bool bar_wants(const struct pci_function *f, unsigned n, u64 *base)
{
    const struct pci_bar *bar = &f->bars[n];
    u16 command = ld16(f->config + PCI_COMMAND);
    u32 low = ld32(f->config + bar_offset(n));
    bool io = bar->kind == PCI_BAR_IO;
    if (bar->kind == PCI_BAR_NONE || !(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return false;
    if (bar->kind == PCI_BAR_ROM && !(low & PCI_ROM_ENABLE))
        return false;
    *base = low & ~(u32)(bar->size - 1);
    if (bar->kind == PCI_BAR_MEM64)
        *base |= (u64)ld32(f->config + bar_offset(n) + 4) << 32;
    u64 space = io ? 0x10000 : bar->kind == PCI_BAR_MEM64 ? bar_space(f, bar)->size : BIT(32);
    return *base && range_ok(*base, bar->size, space) && *base + bar->size != BIT(32);
}

static void unmap_moved(struct pci_function *f)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        struct pci_bar *bar = &f->bars[n];
        u64 base;
        if (!bar->mapped || (bar_wants(f, n, &base) && base == bar->base))
            continue;
        bus_remove(bar_space(f, bar), bar->base);
        bar->mapped = false;
    }
}

static void map_waiting(struct pci_function *f)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        struct pci_bar *bar = &f->bars[n];
        struct error e;
        if (bar->mapped || !bar_wants(f, n, &bar->base))
            continue;
        bar->mapped = bus_add(bar_space(f, bar), bar->name, bar->base, bar->size, bar->ops, bar->opaque,
                              &e) == STATUS_OK;
    }
}

/* F's registers changed: another function may take over a place that F left. */
static void windows_follow(struct pci_function *f)
{
    unmap_moved(f);
    for (unsigned i = 0; i < f->bus->count; i++)
        map_waiting(f->bus->functions[i]);
    if (f->bus->moved)
        f->bus->moved(f->bus->moved_opaque);
}

/* --- interrupt pins */

unsigned pci_pirq(unsigned dev, unsigned pin)
{
    return (dev - 1 + pin - 1) % PCI_PIRQS;
}

static void pins_follow(struct pci_bus *b)
{
    u8 levels = 0;
    for (unsigned i = 0; i < b->count; i++) {
        struct pci_function *f = b->functions[i];
        u8 pin = f->config[PCI_INTERRUPT_PIN];
        if (f->intx && pin && !(ld16(f->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF))
            levels |= (u8)(1u << pci_pirq(f->devfn >> 3, pin));
    }
    u8 changed = levels ^ b->pirq_levels;
    b->pirq_levels = levels;
    for (unsigned n = 0; n < PCI_PIRQS; n++)
        if (changed >> n & 1)
            b->pirq(b->pirq_opaque, n, levels >> n & 1);
}

void pci_function_intx(struct pci_function *f, bool level)
{
    f->intx = level;
    f->config[PCI_STATUS] = (u8)((f->config[PCI_STATUS] & ~PCI_STATUS_INTX) | (level ? PCI_STATUS_INTX : 0));
    pins_follow(f->bus);
}

/* --- configuration space */

static bool config_ok(unsigned off, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && off < PCI_CONFIG_SIZE && !(off & (size - 1));
}

u32 pci_bus_config_read(struct pci_bus *b, unsigned devfn, unsigned off, unsigned size)
{
    struct pci_function *f = find(b, devfn);
    if (!f || !config_ok(off, size))
        return (u32)ones(8 * size);
    if (f->before_read)
        f->before_read(f->opaque, off, size);
    return (u32)ld_n(f->config + off, size);
}

void pci_bus_config_write(struct pci_bus *b, unsigned devfn, unsigned off, unsigned size, u32 value)
{
    struct pci_function *f = find(b, devfn);
    if (!f || !config_ok(off, size))
        return;
    for (unsigned i = off; i < off + size; i++, value >>= 8) {
        u8 v = (u8)value, mask = f->writable[i];
        f->config[i] = (u8)((f->config[i] & ~mask) | (v & mask)) & (u8) ~(v & f->clears[i]);
    }
    windows_follow(f);
    pins_follow(b);
    pci_msi_written(f, off, size);
    if (f->written)
        f->written(f->opaque, off, size);
}

/* --- describing a function */

void pci_function_register(struct pci_function *f, unsigned off, unsigned size, u32 reset, u32 writable)
{
    st_n(f->preset + off, reset, size);
    st_n(f->config + off, reset, size);
    st_n(f->writable + off, writable, size);
}

void pci_function_init(struct pci_function *f, const char *name, const struct pci_id *id)
{
    *f = (struct pci_function){.name = name, .cap_end = PCI_FIRST_FREE};
    pci_function_register(f, PCI_VENDOR_ID, 2, id->vendor, 0);
    pci_function_register(f, PCI_DEVICE_ID, 2, id->device, 0);
    pci_function_register(f, PCI_COMMAND, 2, 0,
                          PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR |
                              PCI_COMMAND_INTX_OFF);
    pci_function_register(f, PCI_REVISION, 4, id->revision | id->class << 8, 0);
    pci_function_register(f, PCI_SUBSYSTEM_VENDOR, 2, id->subsystem_vendor, 0);
    pci_function_register(f, PCI_SUBSYSTEM_ID, 2, id->subsystem, 0);
    pci_function_register(f, PCI_INTERRUPT_LINE, 1, 0, 0xff);
    pci_function_register(f, PCI_INTERRUPT_PIN, 1, id->pin, 0);
    pci_function_register(f, 0x0c, 1, 0, 0xff); /* cache line size */
}

void pci_function_bar(struct pci_function *f, unsigned n, enum pci_bar_kind kind, u64 size,
                      const struct bus_ops *ops, void *opaque, const char *name)
{
    static const u32 type[] = {
        [PCI_BAR_NONE] = 0, [PCI_BAR_IO] = 1, [PCI_BAR_MEM32] = 0, [PCI_BAR_MEM64] = 4, [PCI_BAR_ROM] = 0};
    f->bars[n] = (struct pci_bar){.kind = kind, .size = size, .ops = ops, .opaque = opaque, .name = name};
    u32 mask = (u32) ~(size - 1);
    pci_function_register(f, bar_offset(n), 4, type[kind],
                          kind == PCI_BAR_ROM ? mask | PCI_ROM_ENABLE : mask);
    if (kind == PCI_BAR_MEM64)
        pci_function_register(f, bar_offset(n) + 4, 4, 0, (u32)(~(size - 1) >> 32));
}

unsigned pci_cap_add(struct pci_function *f, u8 id, const u8 *body, unsigned len)
{
    unsigned at = f->cap_end;
    pci_function_register(f, at, 1, id, 0);
    pci_function_register(f, at + 1, 1, f->preset[PCI_CAPABILITIES], 0);
    for (unsigned i = 0; i < len; i++)
        pci_function_register(f, at + 2 + i, 1, body[i], 0);
    pci_function_register(f, PCI_CAPABILITIES, 1, at, 0);
    f->preset[PCI_STATUS] |= PCI_STATUS_CAPS;
    f->config[PCI_STATUS] |= PCI_STATUS_CAPS;
    f->cap_end = (u8)align_up(at + 2 + len, 4);
    return at;
}

/* --- reset and saved state */

static void function_reset(void *instance)
{
    struct pci_function *f = instance;
    memcpy(f->config, f->preset, sizeof f->config);
    for (unsigned n = 0; n < f->vectors; n++)
        f->msix_table[4 * n + 3] = 1; /* masked (6.8.2.9) */
    windows_follow(f);
    pins_follow(f->bus);
}

/* Bits that no write can change are the chip's, not the image's. */
static bool function_after_restore(void *instance)
{
    struct pci_function *f = instance;
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
        if ((f->config[i] ^ f->preset[i]) & ~(f->writable[i] | f->clears[i]) && i != PCI_STATUS && i >= 4 &&
            i < PCI_FIRST_FREE)
            return false;
    if (memcmp(f->config, f->preset, 4))
        return false;
    f->msix_pending &= (u32)ones(f->vectors);
    windows_follow(f);
    pins_follow(f->bus);
    return true;
}

static const struct field function_fields[] = {
    FIELD_ARRAY_KEEP(pci_function, config),
    FIELD(pci_function, intx, false),
    FIELD_ARRAY(pci_function, msix_table, 0),
    FIELD(pci_function, msix_pending, 0),
};
static const struct field_table function_table = {"pci_function", 1, function_fields,
                                                  ARRAY_LEN(function_fields)};
const struct device_ops pci_function_ops = {
    .fields = &function_table, .reset = function_reset, .after_restore = function_after_restore};
