/* The state in which a BIOS leaves a PC to the system that it starts. */
#ifndef MACHINE_BOOT_BIOS_H
#define MACHINE_BOOT_BIOS_H

#include "base/error.h"
#include "machine/boot/platform.h"
#include "mem/mem.h"

/* Writes the interrupt vectors and their handlers, the BIOS data area, the EBDA, the MP and ACPI tables into
 * M, the machine P, and programs the chips on M's port bus. *RSDP becomes its address. */
enum status bios_install(struct mem *m, const struct platform *p, u64 *rsdp, struct error *e);

#endif
