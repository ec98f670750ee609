/* The reset control register of the PIIX3, port 0xcf9 (82371SB datasheet, "RC - Reset Control Register"). */
#ifndef DEV_CF9_H
#define DEV_CF9_H

#include "dev/device.h"

struct cf9 {
    const struct machine_lines *lines;
    u8 value;
};

extern const struct device_ops cf9_ops;
extern const struct bus_ops cf9_bus; /* one port */

void cf9_init(struct cf9 *r, const struct machine_lines *lines);

#endif
