/* The tables of the MultiProcessor Specification, for systems that do not read ACPI. */
#ifndef MACHINE_BOOT_MPTABLE_H
#define MACHINE_BOOT_MPTABLE_H

#include "base/types.h"

#define MP_FLOATING_SIZE 16u
#define MP_TABLE_MAX     8192u

/* Builds the configuration table, which will stand at guest-physical BASE, into BUF, and the floating
 * pointer. Returns the bytes used. */
size_t mptable_build(u8 buf[MP_TABLE_MAX], u32 base, u32 cpus, u8 floating[MP_FLOATING_SIZE]);

#endif
