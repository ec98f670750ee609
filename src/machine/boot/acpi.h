/* The ACPI tables of the pc machine. */
#ifndef MACHINE_BOOT_ACPI_H
#define MACHINE_BOOT_ACPI_H

#include "machine/boot/platform.h"

#define ACPI_RSDP_SIZE 36u

/* Builds every table but the RSDP into BUF, which will stand at guest-physical BASE (a multiple of 64), for
 * the machine P with RAM up to MEMORY_BASE and PCI windows from there, and the RSDP into RSDP. Returns the bytes used, 0 when they do not fit. */
size_t acpi_build(u8 *buf, size_t cap, u64 base, const struct platform *p, u64 memory_base, u8 rsdp[ACPI_RSDP_SIZE]);

#endif
