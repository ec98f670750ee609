/* The power management function of the PIIX4. See piix4_pm.c. */
#ifndef DEV_PIIX4_PM_H
#define DEV_PIIX4_PM_H

#include "dev/device.h"

#define PM_TIMER_HZ 3579545u

enum {
    PIIX4_ACPI_ENABLE = 0xf1, /* written to the SMI command port */
    PIIX4_ACPI_DISABLE = 0xf0,
    PIIX4_SLP_TYP_S5 = 0,
    PIIX4_PM_LEN = 64,
    PIIX4_GPE_LEN = 4,
};

struct piix4_pm {
    struct clock *clock;
    struct irq_line sci;
    const struct machine_lines *lines;
    u16 pm1_sts, pm1_en, pm1_cnt;
    u16 gpe_sts, gpe_en;
    u8 apmc, apms;
    bool apmc_en; /* DEVACTB bit 25: a write of APMC raises an SMI */
    u64 seen_tick; /* PM timer: carries up to here are in pm1_sts */
    struct timer timer;
};

extern const struct device_ops piix4_pm_ops;
extern const struct bus_ops
    piix4_pm_bus; /* PIIX4_PM_LEN ports: PM1_EVT +0, PM1_CNT +4, PM_TMR +8 (24 bits) */
extern const struct bus_ops piix4_gpe_bus; /* PIIX4_GPE_LEN ports: GPE0_STS +0, GPE0_EN +2 */
extern const struct bus_ops piix4_apm_bus; /* two ports: APMC, APMS */

/* LINES are borrowed. */
void piix4_pm_init(struct piix4_pm *pm, struct clock *clock, struct irq_line sci,
                   const struct machine_lines *lines);
/* Someone pressed the power button. */
void piix4_pm_power_button(struct piix4_pm *pm);
/* APMC_EN of the PCI function's DEVACTB register (offset 0x58, bit 25), which keeps it. */
void piix4_pm_set_apmc_en(struct piix4_pm *pm, bool on);
/* General-purpose event N (0..15): hot plug and the like. */
void piix4_pm_gpe(struct piix4_pm *pm, unsigned n);

#endif
