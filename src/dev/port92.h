/* System control port A, 0x92: fast A20 gate and fast reset (PS/2; 82371SB datasheet, "Port 92"). */
#ifndef DEV_PORT92_H
#define DEV_PORT92_H

#include "dev/device.h"

struct port92 {
    const struct machine_lines *lines;
    u8 value;
};

extern const struct device_ops port92_ops;
extern const struct bus_ops port92_bus; /* one port */

bool port92_a20(const struct port92 *p);
void port92_init(struct port92 *p, const struct machine_lines *lines);

#endif
