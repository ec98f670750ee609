/* The map of physical memory as a BIOS's INT 15h E820h tells it (ACPI 6.5, chapter 15). */
#ifndef MACHINE_BOOT_E820_H
#define MACHINE_BOOT_E820_H

#include "base/types.h"
#include "mem/mem.h"

enum { E820_RAM = 1, E820_RESERVED = 2 };

struct e820_entry {
    u64 base, len;
    u32 type;
};

#define E820_MAX 16

struct e820 {
    size_t count;
    struct e820_entry entry[E820_MAX]; /* ascending, disjoint */
};

void e820_build(struct e820 *map, const struct mem *m);

#endif
