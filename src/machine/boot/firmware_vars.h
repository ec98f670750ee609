/* Firmware's variables: a chip at the bottom of the flash, which the guest writes and a file keeps. */
#ifndef MACHINE_BOOT_FIRMWARE_VARS_H
#define MACHINE_BOOT_FIRMWARE_VARS_H

#include "dev/cfi_flash.h"
#include "host/block.h"
#include "machine/pc.h"
#include "trine.h"

struct firmware_vars {
    struct host_block *host; /* null: there is none */
    u64 size;
    struct pc *pc;
    struct cfi_flash chip;
};

/* Opens, checks and locks what C names. CODE: the size of the firmware's own image. */
enum status firmware_vars_open(struct firmware_vars *v, const struct trine_disk *c, u64 code, struct error *e);
void firmware_vars_close(struct firmware_vars *v);
/* Reads it to the bottom of PC's flash, if there is one. */
enum status firmware_vars_install(struct firmware_vars *v, struct pc *pc, struct error *e);

#endif
