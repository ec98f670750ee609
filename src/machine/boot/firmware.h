/* A machine that starts from firmware: the image below 4 GiB, and what fw_cfg tells it. */
#ifndef MACHINE_BOOT_FIRMWARE_H
#define MACHINE_BOOT_FIRMWARE_H

#include "base/error.h"
#include "host/file.h"
#include "machine/boot/acpi_loader.h"
#include "machine/boot/e820.h"
#include "machine/boot/firmware_kernel.h"
#include "machine/boot/firmware_vars.h"
#include "machine/boot/smbios.h"
#include "machine/pc.h"

#define FIRMWARE_TABLES     0x4000u
#define FIRMWARE_BOOT_ORDER 2048u
#define FIRMWARE_STATES     6u

struct firmware {
    struct file file;
    bool present;
    struct platform platform;
    const struct pc *pc;
    struct firmware_kernel kernel;
    struct firmware_vars vars;
    /* What fw_cfg borrows. */
    u8 tables[FIRMWARE_TABLES], rsdp[ACPI_RSDP_SIZE], loader[ACPI_LOADER_MAX];
    u8 e820[20 * E820_MAX];
    u8 anchor[SMBIOS_ANCHOR], smbios[SMBIOS_MAX];
    u8 states[FIRMWARE_STATES], serial_console[2];
    char boot_order[FIRMWARE_BOOT_ORDER];
};

/* Opens NAME and checks its size: what mem_init_flash gets. VARS: where its variables are kept; no path: nowhere. */
enum status firmware_open(struct firmware *f, const char *name, const struct trine_disk *vars, struct error *e);
void firmware_close(struct firmware *f);
/* What it is to do before it looks at the devices. */
struct firmware_config {
    struct boot_config boot; /* kernel may be null: from a disk */
    bool serial_console; /* its text goes to COM1 too */
    const char *boot_order; /* devices' paths, a line each */
};
/* Copies the image into PC's flash, and gives fw_cfg its files; before the first reset. */
enum status firmware_install(struct firmware *f, struct pc *pc, const struct firmware_config *cfg, struct error *e);

#endif
