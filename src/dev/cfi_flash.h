/* A NOR flash of Intel's command set, eight bits wide, that keeps its contents on a disk. See cfi_flash.c. */
#ifndef DEV_CFI_FLASH_H
#define DEV_CFI_FLASH_H

#include "dev/block.h"
#include "dev/device.h"

#define CFI_FLASH_BLOCK  4096u /* what an erasure clears */
#define CFI_FLASH_BUFFER 256u  /* what a buffered program takes at most */

struct cfi_flash_wires {
    u8 *data; /* borrowed */
    struct block *store;
    /* Whether reads are to come here. While they are not, who reads sees DATA. */
    void (*answer)(void *opaque, bool answers);
    /* [off, off + len) of DATA has other contents. */
    void (*changed)(void *opaque, u32 off, u32 len);
    void *opaque;
};

struct cfi_flash {
    struct cfi_flash_wires wires;
    u32 size; /* a multiple of CFI_FLASH_BLOCK */
    bool answers;
    u8 command; /* whose answer is read */
    u8 step;    /* of a command of several writes; 0: the next write is a command */
    u8 status;
    u32 first, left, given_n; /* buffered: where it begins, bytes to come, bytes that came */
    u8 buffer[CFI_FLASH_BUFFER];
    bool given[CFI_FLASH_BUFFER];
};

extern const struct device_ops cfi_flash_ops;
extern const struct bus_ops cfi_flash_bus;

/* DATA has the SIZE bytes that STORE holds, which does its requests at once. */
void cfi_flash_init(struct cfi_flash *f, u32 size, const struct cfi_flash_wires *wires);

#endif
