/* The host bridge of the i440FX. See i440fx.c. */
#ifndef DEV_PCI_I440FX_H
#define DEV_PCI_I440FX_H

#include "dev/pci/pci.h"

#define I440FX_PAMS 7

struct i440fx {
    struct pci_function function;
    struct pci_bus *bus;
    u32 address; /* CONFADD */
    /* Byte accesses to port 0xcf9, inside CONFADD's place, are the PIIX3's reset control. */
    const struct bus_ops *reset_control;
    void *reset_opaque;
    /* PAM register N (0..6) or SMRAM was written or reset; may be null. */
    void (*pam)(void *opaque, unsigned n, u8 value);
    u8 (*smram)(void *opaque, u8 value); /* what the register holds from now on: it has a lock */
    void *opaque;
};

enum { I440FX_PAM = 0x59, I440FX_SMRAM = 0x72 };

extern const struct device_ops i440fx_ops;
extern const struct bus_ops i440fx_address_bus, i440fx_data_bus; /* 4 ports each */

void i440fx_init(struct i440fx *h, struct pci_bus *bus, const struct bus_ops *reset_control,
                 void *reset_opaque);

#endif
