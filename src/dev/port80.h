/* Port 0x80: the POST code latch (the DMA page register that no channel uses). Linux writes it to pass about
 * a microsecond. */
#ifndef DEV_PORT80_H
#define DEV_PORT80_H

#include "dev/device.h"

struct port80 {
    u8 value;
};

extern const struct device_ops port80_ops;
extern const struct bus_ops port80_bus; /* one port */

#endif
