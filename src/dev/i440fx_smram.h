/* SMRAMC of the i440FX host bridge. See i440fx_smram.c. */
#ifndef DEV_I440FX_SMRAM_H
#define DEV_I440FX_SMRAM_H

#include "dev/device.h"
#include "mem/mem.h"

struct i440fx_smram {
    struct mem *mem;
    u8 value;
};

extern const struct device_ops i440fx_smram_ops;

void i440fx_smram_init(struct i440fx_smram *s, struct mem *mem);
/* What the register holds then. */
u8 i440fx_smram_write(struct i440fx_smram *s, u8 v);

#endif
