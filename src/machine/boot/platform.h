/* What firmware and its tables have to know of the machine that they describe. */
#ifndef MACHINE_BOOT_PLATFORM_H
#define MACHINE_BOOT_PLATFORM_H

#include "base/types.h"

struct platform {
    u32 cpus; /* 1 .. PC_MAX_CPUS */
    bool pci; /* i440FX and PIIX3 are there; else the chips stand alone, as in the microvm machine */
    bool vga;
    u16 pm_ports; /* of the power management block; 0: at PC_PORT_PM */
    unsigned virtio_mmio; /* virtio-mmio devices, from PC_VIRTIO_MMIO on */
};

#endif
