/* The state in which a BIOS leaves a PC to the system that it starts. */
#ifndef MACHINE_BIOS_H
#define MACHINE_BIOS_H

#include "base/error.h"
#include "mem/mem.h"

/* Writes the interrupt vectors and their handlers, the BIOS data area, the EBDA, the MP and ACPI tables into
 * M, and programs the chips on M's port bus. *RSDP becomes its address. */
enum status bios_install(struct mem *m, u32 cpus, u64 *rsdp, struct error *e);

#endif
