/* Memory map of the pc machine: conventional memory, the EBDA, the BIOS (with the ACPI tables), RAM up to 3
 * GiB, the interrupt controllers, RAM from 4 GiB. What is in none of them is free address space. */
#include "machine/boot/e820.h"

#include "machine/pc_map.h"

static void e820_add(struct e820 *map, u64 base, u64 end, u32 type)
{
    if (end > base)
        map->entry[map->count++] = (struct e820_entry){base, end - base, type};
}

void e820_build(struct e820 *map, const struct mem *m)
{
    map->count = 0;
    e820_add(map, 0, PC_EBDA, E820_RAM);
    e820_add(map, PC_EBDA, MEM_VGA_BASE, E820_RESERVED);
    e820_add(map, PC_ACPI_TABLES, PC_BIOS_END, E820_RESERVED);
    e820_add(map, PC_BIOS_END, m->low_size, E820_RAM);
    e820_add(map, PC_IOAPIC_BASE, PC_IOAPIC_BASE + PAGE_SIZE, E820_RESERVED);
    e820_add(map, PC_LAPIC_BASE, PC_LAPIC_BASE + PAGE_SIZE, E820_RESERVED);
    e820_add(map, MEM_HIGH_BASE, MEM_HIGH_BASE + m->high_size, E820_RAM);
}
