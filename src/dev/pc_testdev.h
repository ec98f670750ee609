/* QEMU's pc-testdev, for test kernels. See pc_testdev.c. */
#ifndef DEV_PC_TESTDEV_H
#define DEV_PC_TESTDEV_H

#include "base/clock.h"
#include "dev/device.h"

#define PC_TESTDEV_IRQS     24
#define PC_TESTDEV_MMIO_LEN 0x10000u

/* Not QEMU's: machine checks by hand. */
#define PC_TESTDEV_MC_LEN    0x20u
#define PC_TESTDEV_STAMP_LEN 4u

struct pc_testdev {
    const struct clock *clock;
    struct irq_line irq[PC_TESTDEV_IRQS];
    u8 latch[4];
    u32 mc[7]; /* STATUS, ADDR, MISC, low halves first; reserved */
    void (*machine_check)(void *opaque, u32 cpu, u32 bank, u32 mcg_status, const u64 regs[3]);
    void *mc_opaque;
    u8 mmio[PC_TESTDEV_MMIO_LEN];
};

extern const struct device_ops pc_testdev_ops;
extern const struct bus_ops pc_testdev_latch_bus; /* four ports, 0xe0 */
extern const struct bus_ops pc_testdev_flush_bus; /* four ports, 0xe4 */
extern const struct bus_ops pc_testdev_irq_bus;   /* PC_TESTDEV_IRQS ports, 0x2000 */
extern const struct bus_ops pc_testdev_mc_bus;    /* PC_TESTDEV_MC_LEN ports, 0x2100 */
extern const struct bus_ops pc_testdev_stamp_bus; /* PC_TESTDEV_STAMP_LEN ports, 0x2120, and as many bytes of memory */
extern const struct bus_ops pc_testdev_mmio_bus;  /* PC_TESTDEV_MMIO_LEN bytes */

/* IRQS has PC_TESTDEV_IRQS wires. */
void pc_testdev_init(struct pc_testdev *t, const struct clock *clock, const struct irq_line *irqs);

#endif
