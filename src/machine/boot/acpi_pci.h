/* The DSDT's part about PCI, and about virtio-mmio. See acpi_pci.c. */
#ifndef MACHINE_BOOT_ACPI_PCI_H
#define MACHINE_BOOT_ACPI_PCI_H

#include "machine/boot/acpi_aml.h"

/* In the scope \_SB: the interrupt links. */
void acpi_pci_links(struct aml *a);
/* Opens \_SB.PCI0 with its windows and interrupt routing, and in it the ISA bridge; the bridge's devices
 * follow, then acpi_pci_end. */
struct acpi_pci {
    size_t root, isa;
};
struct acpi_pci acpi_pci_begin(struct aml *a, u64 memory_base);
void acpi_pci_end(struct aml *a, struct acpi_pci p);
/* virtio-mmio device N. */
void acpi_virtio_mmio(struct aml *a, unsigned n);

#endif
