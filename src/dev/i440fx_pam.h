/* PAM registers of the i440FX host bridge. See i440fx_pam.c. */
#ifndef DEV_I440FX_PAM_H
#define DEV_I440FX_PAM_H

#include "dev/device.h"
#include "mem/mem.h"

struct i440fx_pam {
    struct mem *mem;
    /* What the processors see below 1 MiB has changed: what they translated and decoded of it is void. */
    void (*changed)(void *opaque);
    void *opaque;
};

extern const struct bus_ops i440fx_pam_bus; /* memory from MEM_SHADOW_BASE to 1 MiB, where RAM does not answer */

void i440fx_pam_init(struct i440fx_pam *p, struct mem *mem, void (*changed)(void *opaque), void *opaque);
/* Register N (0..6) holds VALUE. */
void i440fx_pam_write(struct i440fx_pam *p, unsigned n, u8 value);

#endif
