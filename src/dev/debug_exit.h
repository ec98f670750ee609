/* QEMU's isa-debug-exit: any write of V ends the VM with exit status (V << 1) | 1. Reads give 0. */
#ifndef DEV_DEBUG_EXIT_H
#define DEV_DEBUG_EXIT_H

#include "dev/device.h"

/* No state: opaque is the const struct machine_lines. Four ports. */
extern const struct bus_ops debug_exit_bus;

#endif
