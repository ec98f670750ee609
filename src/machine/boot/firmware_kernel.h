/* A kernel, its initrd and command line, for firmware to start: see firmware_kernel.c. */
#ifndef MACHINE_BOOT_FIRMWARE_KERNEL_H
#define MACHINE_BOOT_FIRMWARE_KERNEL_H

#include "dev/fw_cfg.h"
#include "machine/boot/boot.h"

#define FIRMWARE_ROM      512u
#define FIRMWARE_ROM_FILE "genroms/linux.rom"

/* What fw_cfg borrows. */
struct firmware_kernel {
    u8 *kernel, *initrd; /* null: none */
    u32 kernel_len, initrd_len, initrd_at;
    u8 rom[FIRMWARE_ROM];
};

/* Reads and checks what CFG names, and adds it to C. K is zero before; destroy it whatever comes of this. */
enum status firmware_kernel_load(struct firmware_kernel *k, const struct mem *m, struct fw_cfg *c, const struct boot_config *cfg, struct error *e);
void firmware_kernel_destroy(struct firmware_kernel *k);

#endif
