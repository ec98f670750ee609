/* Message-signalled interrupts (PCI Local Bus Specification 3.0, 6.8): MSI with one vector, MSI-X with its
 * table and pending bits in a BAR. A vector that is masked, or whose function is, stays pending and is sent
 * when the mask falls. A function without bus mastering sends nothing. */
#include "base/bits.h"
#include "base/le.h"
#include "dev/pci/pci.h"

/* MSI: +2 control, +4 address, +8 address high, +12 data, +16 mask, +20 pending. */
enum {
    MSI_CONTROL = 2,
    MSI_ENABLE = 0x0001,
    MSI_64 = 0x0080,
    MSI_MASKING = 0x0100,
    MSI_ADDRESS = 4,
    MSI_DATA = 12,
    MSI_MASK = 16,
    MSI_PENDING = 20,
};
/* MSI-X: +2 control, +4 table, +8 pending bits. Table entry: address, address high, data, control. */
enum {
    MSIX_CONTROL = 2,
    MSIX_MASK_ALL = 0x4000,
    MSIX_ENABLE = 0x8000,
    MSIX_PBA = 0x800, /* in the BAR */
    ENTRY_MASKED = 1,
};

static bool may_send(const struct pci_function *f)
{
    return ld16(f->config + PCI_COMMAND) & PCI_COMMAND_MASTER && f->bus->msi.send;
}

void pci_cap_msi(struct pci_function *f)
{
    static const u8 body[22] = {MSI_64 & 0xff, MSI_MASKING >> 8};
    f->msi = (u8)pci_cap_add(f, PCI_CAP_MSI, body, sizeof body);
    pci_function_register(f, f->msi + MSI_CONTROL, 2, MSI_64 | MSI_MASKING, MSI_ENABLE | 0x70);
    pci_function_register(f, f->msi + MSI_ADDRESS, 4, 0, ~3u);
    pci_function_register(f, f->msi + MSI_ADDRESS + 4, 4, 0, ~0u);
    pci_function_register(f, f->msi + MSI_DATA, 2, 0, 0xffff);
    pci_function_register(f, f->msi + MSI_MASK, 4, 0, 1);
}

bool pci_msi_enabled(const struct pci_function *f)
{
    return f->msi && ld16(f->config + f->msi + MSI_CONTROL) & MSI_ENABLE;
}

bool pci_msix_enabled(const struct pci_function *f)
{
    return f->msix && ld16(f->config + f->msix + MSIX_CONTROL) & MSIX_ENABLE;
}

void pci_msi_send(struct pci_function *f)
{
    u8 *cap = f->config + f->msi;
    if (!pci_msi_enabled(f))
        return;
    if (ld32(cap + MSI_MASK) & 1 || !may_send(f)) {
        cap[MSI_PENDING] |= 1;
        return;
    }
    cap[MSI_PENDING] &= (u8)~1;
    f->bus->msi.send(f->bus->msi.opaque, ld64(cap + MSI_ADDRESS), ld16(cap + MSI_DATA));
}

static bool msix_masked(const struct pci_function *f, unsigned n)
{
    return ld16(f->config + f->msix + MSIX_CONTROL) & MSIX_MASK_ALL ||
           f->msix_table[4 * n + 3] & ENTRY_MASKED;
}

void pci_msix_send(struct pci_function *f, unsigned n)
{
    if (!pci_msix_enabled(f) || n >= f->vectors)
        return;
    if (msix_masked(f, n) || !may_send(f)) {
        f->msix_pending |= 1u << n;
        return;
    }
    const u32 *entry = &f->msix_table[4 * n];
    f->msix_pending &= ~(1u << n);
    f->bus->msi.send(f->bus->msi.opaque, entry[0] | (u64)entry[1] << 32, entry[2]);
}

static void msix_send_waiting(struct pci_function *f)
{
    for (unsigned n = 0; n < f->vectors; n++)
        if (f->msix_pending >> n & 1)
            pci_msix_send(f, n);
}

void pci_msi_written(struct pci_function *f, unsigned off, unsigned size)
{
    if (f->msix && (ranges_overlap(off, size, f->msix + MSIX_CONTROL, 2) || off == PCI_COMMAND))
        msix_send_waiting(f);
    if (f->msi && f->config[f->msi + MSI_PENDING] & 1 &&
        (ranges_overlap(off, size, f->msi, 24) || off == PCI_COMMAND))
        pci_msi_send(f);
}

/* The BAR: the table from 0 on, the pending bits at MSIX_PBA, zeros elsewhere. */
static u64 msix_read(void *opaque, u64 off, unsigned size)
{
    const struct pci_function *f = opaque;
    (void)size;
    if (off < 16u * f->vectors)
        return f->msix_table[off / 4];
    return off == MSIX_PBA ? f->msix_pending : 0;
}

static void msix_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct pci_function *f = opaque;
    (void)size;
    if (off >= 16u * f->vectors)
        return;
    unsigned word = (unsigned)(off / 4), kind = word % 4;
    f->msix_table[word] = (u32)value & (kind == 0 ? ~3u : kind == 3 ? (u32)ENTRY_MASKED : ~0u);
    if (kind == 3 && f->msix_pending >> word / 4 & 1)
        pci_msix_send(f, word / 4);
}

static const struct bus_ops msix_bus = {.read = msix_read, .write = msix_write, .min_size = 4, .max_size = 4};

void pci_cap_msix(struct pci_function *f, unsigned vectors, unsigned bar)
{
    u8 body[10] = {0};
    st16(body, (u16)(vectors - 1));
    st32(body + 2, bar);
    st32(body + 6, MSIX_PBA | bar);
    f->msix = (u8)pci_cap_add(f, PCI_CAP_MSIX, body, sizeof body);
    pci_function_register(f, f->msix + MSIX_CONTROL, 2, vectors - 1, MSIX_ENABLE | MSIX_MASK_ALL);
    f->vectors = (u16)vectors;
    pci_function_bar(f, bar, PCI_BAR_MEM32, 0x1000, &msix_bus, f, "MSI-X");
}
