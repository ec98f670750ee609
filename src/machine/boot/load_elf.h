/* ELF executables, 32-bit and 64-bit, for the loaders that take them. */
#ifndef MACHINE_BOOT_LOAD_ELF_H
#define MACHINE_BOOT_LOAD_ELF_H

#include "machine/boot/loader.h"

struct elf_segment {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};

struct elf {
    bool is64;
    u64 entry;
    u64 phoff;
    unsigned phentsize, phnum;
};

bool elf_probe(const u8 *head, size_t n);
/* Reads and checks the header of the kernel. */
enum status elf_open(const struct loader *l, struct elf *elf, struct error *e);
/* Program header I < phnum. */
enum status elf_segment(const struct loader *l, const struct elf *elf, unsigned i, struct elf_segment *s,
                        struct error *e);
/* Claims all PT_LOAD segments at their physical addresses, then copies them. *ENTRY_PHYS: the entry as a
 * physical address; *END: behind the last one. */
enum status elf_load(struct loader *l, const struct elf *elf, u64 *entry_phys, struct error *e);

#endif
