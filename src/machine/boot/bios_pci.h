/* What a BIOS does to PCI before it starts a system. See bios_pci.c. */
#ifndef MACHINE_BOOT_BIOS_PCI_H
#define MACHINE_BOOT_BIOS_PCI_H

#include "mem/mem.h"

/* Where memory windows begin: the space between RAM and the IOAPIC. */
u64 bios_pci_memory(const struct mem *m);
/* Gives every function on M's port bus its windows and interrupt line, and routes the PIRQs. */
void bios_pci_setup(struct mem *m);

#endif
