/* QEMU's firmware configuration device. See fw_cfg.c. */
#ifndef DEV_FW_CFG_H
#define DEV_FW_CFG_H

#include "dev/device.h"
#include "mem/mem.h"

/* Keys (QEMU docs/specs/fw_cfg; include/standard-headers/linux/qemu_fw_cfg.h). */
enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_DEVICE = 0x0c,
    FW_CFG_NUMA = 0x0d,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_ACPI_TABLES = 0x8000,
    FW_CFG_SMBIOS_ENTRIES = 0x8001,
    FW_CFG_E820_TABLE = 0x8003,
};

#define FW_CFG_MAX_FILES 64
#define FW_CFG_MAX_ITEMS 32
#define FW_CFG_NAME      56
#define FW_CFG_SLACK     MIB(1) /* a DMA read may ask for so many bytes past an item's end; they read 0 */

struct fw_cfg_item {
    u16 key;
    u8 small[8];    /* holds the value when `data` is null */
    const u8 *data; /* borrowed */
    u32 len;
};

struct fw_cfg_file {
    char name[FW_CFG_NAME];
    const u8 *data; /* borrowed */
    u32 len;
    /* Brings the bytes up to date, when the guest selects the file; may be null. */
    void (*selected)(void *opaque);
    void *opaque;
};

struct fw_cfg {
    struct mem *mem;
    struct fw_cfg_item items[FW_CFG_MAX_ITEMS];
    size_t item_count;
    struct fw_cfg_file files[FW_CFG_MAX_FILES]; /* sorted by name; key FW_CFG_FILE_FIRST + index */
    size_t file_count;
    u8 dir[4 + FW_CFG_MAX_FILES * 64];
    u16 key;
    u32 offset;
    u32 dma_high;
};

extern const struct device_ops fw_cfg_ops;
extern const struct bus_ops fw_cfg_bus;     /* two ports: selector, data */
extern const struct bus_ops fw_cfg_dma_bus; /* eight ports, four behind the former */

void fw_cfg_init(struct fw_cfg *f, struct mem *mem);
/* Items, before the guest runs. An item of the same key or name is replaced. False: no room, or a name that
 * is empty or too long. */
bool fw_cfg_add(struct fw_cfg *f, u16 key, const void *data, u32 len) MUST_CHECK;
/* SIZE bytes, little-endian: 2, 4 or 8. */
bool fw_cfg_add_number(struct fw_cfg *f, u16 key, u64 value, unsigned size) MUST_CHECK;
bool fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, u32 len) MUST_CHECK;
/* HOOK is called when the guest selects the file called NAME, and after a restore while it is selected. */
void fw_cfg_on_select(struct fw_cfg *f, const char *name, void (*hook)(void *opaque), void *opaque);

#endif
