/* The ACPI tables of the pc machine. */
#ifndef MACHINE_ACPI_H
#define MACHINE_ACPI_H

#include "base/types.h"

#define ACPI_RSDP_SIZE 36u

/* Builds every table but the RSDP into BUF, which will stand at guest-physical BASE (a multiple of 64), for
 * CPUS vCPUs, and the RSDP into RSDP. Returns the bytes used, 0 when they do not fit. */
size_t acpi_build(u8 *buf, size_t cap, u64 base, u32 cpus, u8 rsdp[ACPI_RSDP_SIZE]);

#endif
