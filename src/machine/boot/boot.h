/* Starting a kernel without firmware: the loaders, told apart by the file's contents, and the state in which
 * a BIOS leaves a PC.
 *
 *   machine created or reset (chips reset, cpu_reset on every vCPU)
 *       -> boot_load: files checked and copied into RAM, firmware tables built, PICs, PIT and RTC programmed
 * through the port bus
 *       -> boot_enter on vCPU 0: the entry state of the kernel's boot protocol */
#ifndef MACHINE_BOOT_BOOT_H
#define MACHINE_BOOT_BOOT_H

#include "base/error.h"
#include "cpu/cpu.h"
#include "machine/boot/boot_files.h"
#include "machine/boot/platform.h"
#include "mem/mem.h"

enum boot_kind { BOOT_LINUX, BOOT_PVH, BOOT_MULTIBOOT };

/* Strings are borrowed. */
struct boot_config {
    const char *kernel;
    const char *initrd; /* null: none. Multiboot: a comma-separated list of `FILE ARGUMENTS` */
    const char *append; /* null: empty */
    struct platform platform;
    struct boot_files *files; /* keeps them open for the next boot_load; null: they are closed */
};

/* Where the vCPU starts. */
struct boot_state {
    enum boot_kind kind;
    u64 entry; /* physical = linear */
    u64 info;  /* zero page, hvm_start_info or multiboot information: a gpa */
    u64 gdt;   /* gpa of the table that the entry's selectors index */
    u64 cr3;   /* of a 64-bit entry; 0: it is a 32-bit one, without paging */
    u64 stack; /* top of a small stack; no protocol promises one, some kernels use it */
};

/* Loads what CFG names into M. Every size and address in the files is checked; on an error (status HOST, one
 * line naming the file) RAM may have been written, but nothing outside it. Needs the machine's chips on M's
 * port bus, or none at all. Runs before the vCPUs, or with all of them stopped. */
enum status boot_load(struct mem *m, const struct boot_config *cfg, struct boot_state *s, struct error *e);

/* Puts vCPU C, fresh from cpu_reset, at the kernel's entry. */
void boot_enter(struct cpu *c, const struct boot_state *s);
/* Every vCPU's memory types. */
void boot_mtrrs(struct cpu *c);

#endif
