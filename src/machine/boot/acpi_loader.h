/* ACPI tables for firmware that places them itself. */
#ifndef MACHINE_BOOT_ACPI_LOADER_H
#define MACHINE_BOOT_ACPI_LOADER_H

#include "base/types.h"
#include "machine/boot/acpi.h"

#define ACPI_LOADER_COMMAND 128u
#define ACPI_LOADER_MAX     (32 * ACPI_LOADER_COMMAND)

#define ACPI_FILE_TABLES "etc/acpi/tables"
#define ACPI_FILE_RSDP   "etc/acpi/rsdp"
#define ACPI_FILE_LOADER "etc/table-loader"

/* The script for TABLES and RSDP as acpi_build made them for base 0: what is placed where, which pointers grow by the
 * place of what they point to, which checksums are to be made then (they are cleared here). Bytes used; 0: no room. */
size_t acpi_loader_build(u8 script[ACPI_LOADER_MAX], u8 *tables, size_t len, u8 rsdp[ACPI_RSDP_SIZE]);

#endif
