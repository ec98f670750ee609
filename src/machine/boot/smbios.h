/* SMBIOS tables of the pc machine, for firmware to place. */
#ifndef MACHINE_BOOT_SMBIOS_H
#define MACHINE_BOOT_SMBIOS_H

#include "base/types.h"

#define SMBIOS_ANCHOR 31u
#define SMBIOS_MAX    4096u

/* The structures of a machine with CPUS vCPUs and BYTES of RAM; bytes used. ANCHOR: the 32-bit entry point, whose
 * address and checksums the firmware makes. */
size_t smbios_build(u8 tables[SMBIOS_MAX], u8 anchor[SMBIOS_ANCHOR], u32 cpus, u64 bytes);

#endif
