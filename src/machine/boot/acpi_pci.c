/* PCI in the DSDT: the root bus with its windows (ACPI 6.5, 6.4.3.5), one interrupt link per PIRQ, whose
 * methods read and write the PIIX3's route registers, and _PRT (6.2.13), which says what pci_pirq does. */
#include "machine/boot/acpi_pci.h"

#include <string.h>

#include "base/le.h"
#include "dev/pci/piix3.h"
#include "machine/pc_map.h"

enum { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_BUS = 2 };
enum { MIN_MAX_FIXED = 0x0c, IO_ENTIRE = 0x03, MEMORY_WRITABLE = 0x01 };
/* Extended interrupt descriptor (6.4.3.6): consumer, level, active high; shared. */
enum { IRQ_LEVEL_HIGH = 0x01, IRQ_SHARED = 0x08 };
enum { ARG0 = 0x68 };

#define IRQ_OFFSET 5 /* of the number in a template that holds one extended interrupt descriptor */

/* Word and double-word address space descriptors: N is 2 or 4. */
static void crs_space(struct aml *a, unsigned n, u8 type, u8 flags, u64 min, u64 max)
{
    u8 d[6 + 5 * 4] = {n == 2 ? 0x88 : 0x87, (u8)(3 + 5 * n), 0, type, MIN_MAX_FIXED, flags};
    st_n(d + 6 + n, min, n);
    st_n(d + 6 + 2 * n, max, n);
    st_n(d + 6 + 4 * n, max - min + 1, n);
    aml_bytes(a, d, 6 + 5 * n);
}

static void crs_irqs(struct aml *a, u8 flags, const u8 *irqs, u8 n)
{
    u8 d[5] = {0x89, (u8)(2 + 4 * n), 0, flags, n};
    aml_bytes(a, d, sizeof d);
    for (unsigned i = 0; i < n; i++)
        aml_bytes(a, (u8[4]){irqs[i]}, 4);
}

static void pirq_path(struct aml *a, unsigned n)
{
    char path[] = "\\_SB_PCI0ISA_PRQ0";
    path[sizeof path - 2] = (char)('0' + n);
    aml_path(a, path);
}

static void link_path(struct aml *a, unsigned n)
{
    char path[] = "\\_SB_LNKA";
    path[sizeof path - 2] = (char)('A' + n);
    aml_path(a, path);
}

/* `CreateDWordField (BUFFER, 5, IRQV)`, where the buffer's encoding was written by the caller. */
static void irq_field(struct aml *a)
{
    aml_int(a, IRQ_OFFSET);
    aml_bytes(a, "IRQV", 4);
}

static void link_methods(struct aml *a, unsigned n)
{
    size_t m = aml_method(a, "_STA", 0);
    aml_byte(a, AML_IF);
    size_t disabled = aml_begin(a);
    aml_byte(a, AML_AND);
    pirq_path(a, n);
    aml_int(a, PIIX3_PIRQ_OFF);
    aml_byte(a, 0); /* no target */
    aml_byte(a, AML_RETURN);
    aml_int(a, 0x09);
    aml_end(a, disabled);
    aml_byte(a, AML_RETURN);
    aml_int(a, 0x0b);
    aml_end(a, m);

    m = aml_method(a, "_DIS", 0);
    aml_byte(a, AML_OR);
    pirq_path(a, n);
    aml_int(a, PIIX3_PIRQ_OFF);
    pirq_path(a, n);
    aml_end(a, m);

    m = aml_method(a, "_CRS", 0);
    struct aml_crs crs = aml_template(a, "BUF0");
    crs_irqs(a, IRQ_LEVEL_HIGH | IRQ_SHARED, (const u8[]){0}, 1);
    aml_crs_end(a, crs);
    aml_byte(a, AML_DWORD_FIELD);
    aml_bytes(a, "BUF0", 4);
    irq_field(a);
    aml_byte(a, AML_AND);
    pirq_path(a, n);
    aml_int(a, 0x0f);
    aml_bytes(a, "IRQV", 4);
    aml_byte(a, AML_RETURN);
    aml_bytes(a, "BUF0", 4);
    aml_end(a, m);

    m = aml_method(a, "_SRS", 1);
    aml_byte(a, AML_DWORD_FIELD);
    aml_byte(a, ARG0);
    irq_field(a);
    aml_byte(a, AML_STORE);
    aml_bytes(a, "IRQV", 4);
    pirq_path(a, n);
    aml_end(a, m);
}

void acpi_pci_links(struct aml *a)
{
    static const u8 possible[] = {5, PC_IRQ_PIRQ_AB, PC_IRQ_PIRQ_CD};
    for (unsigned n = 0; n < PCI_PIRQS; n++) {
        char name[] = "LNKA";
        name[3] = (char)('A' + n);
        size_t dev = aml_device(a, name);
        aml_name(a, "_HID");
        aml_eisaid(a, "PNP0C0F");
        aml_name(a, "_UID");
        aml_int(a, n);
        struct aml_crs prs = aml_template(a, "_PRS");
        crs_irqs(a, IRQ_LEVEL_HIGH | IRQ_SHARED, possible, sizeof possible);
        aml_crs_end(a, prs);
        link_methods(a, n);
        aml_end(a, dev);
    }
}

static void root_prt(struct aml *a)
{
    enum { DEVICES = 32, PINS = 4 };
    aml_name(a, "_PRT");
    size_t all = aml_package(a, (DEVICES - 1) * PINS);
    for (unsigned dev = 1; dev < DEVICES; dev++)
        for (unsigned pin = 0; pin < PINS; pin++) {
            size_t one = aml_package(a, 4);
            aml_int(a, dev << 16 | 0xffff);
            aml_int(a, pin);
            link_path(a, pci_pirq(dev, pin + 1));
            aml_int(a, 0);
            aml_end(a, one);
        }
    aml_end(a, all);
}

static void isa_routes(struct aml *a)
{
    static const u8 region[] = {0x5b, 0x80,     'P', 'R', 'Q', 'R', 0x02, 0x0a, PIIX3_PIRQ_ROUTE,
                                0x0a, PCI_PIRQS};
    aml_bytes(a, region, sizeof region); /* OperationRegion (PRQR, PCI_Config, 0x60, 4) */
    aml_bytes(a, (const u8[]){0x5b, 0x81}, 2);
    size_t field = aml_begin(a);
    aml_bytes(a, "PRQR\x01PRQ0\x08PRQ1\x08PRQ2\x08PRQ3\x08", 25); /* byte access; four fields of 8 bits */
    aml_end(a, field);
}

struct acpi_pci acpi_pci_begin(struct aml *a, u64 memory_base)
{
    struct acpi_pci p = {.root = aml_device(a, "PCI0")};
    aml_name(a, "_HID");
    aml_eisaid(a, "PNP0A03");
    aml_name(a, "_UID");
    aml_int(a, 0);
    aml_name(a, "_BBN");
    aml_int(a, 0);
    struct aml_crs crs = aml_crs(a);
    crs_space(a, 2, SPACE_BUS, 0, 0, 0xff);
    aml_crs_io(a, PC_PORT_PCI, 8);
    crs_space(a, 2, SPACE_IO, IO_ENTIRE, 0, PC_PORT_PCI - 1);
    crs_space(a, 2, SPACE_IO, IO_ENTIRE, PC_PORT_PCI + 8, 0xffff);
    crs_space(a, 4, SPACE_MEMORY, MEMORY_WRITABLE, 0xa0000, 0xbffff);
    crs_space(a, 4, SPACE_MEMORY, MEMORY_WRITABLE, memory_base, PC_IOAPIC_BASE - 1);
    aml_crs_end(a, crs);
    root_prt(a);
    p.isa = aml_device(a, "ISA_");
    aml_name(a, "_ADR");
    aml_int(a, PC_PCI_SOUTH << 16);
    isa_routes(a);
    return p;
}

void acpi_pci_end(struct aml *a, struct acpi_pci p)
{
    aml_end(a, p.isa);
    aml_end(a, p.root);
}

void acpi_virtio_mmio(struct aml *a, unsigned n)
{
    char name[] = "VR00";
    name[2] = (char)('0' + n / 10);
    name[3] = (char)('0' + n % 10);
    size_t dev = aml_device(a, name);
    aml_name(a, "_HID");
    aml_string(a, "LNRO0005");
    aml_name(a, "_UID");
    aml_int(a, n);
    struct aml_crs crs = aml_crs(a);
    aml_crs_memory(a, PC_VIRTIO_MMIO + n * PC_VIRTIO_MMIO_LEN, PC_VIRTIO_MMIO_LEN, true);
    crs_irqs(a, IRQ_LEVEL_HIGH, (const u8[]){(u8)(PC_GSI_VIRTIO_MMIO + n)}, 1);
    aml_crs_end(a, crs);
    aml_end(a, dev);
}
