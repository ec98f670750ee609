/* The PIIX3: PCI-to-ISA bridge and, as the PIIX4 has it, power management. See piix3.c. */
#ifndef DEV_PCI_PIIX3_H
#define DEV_PCI_PIIX3_H

#include "dev/pci/pci.h"
#include "dev/piix4_pm.h"

#define PIIX3_IRQS 16

struct piix3 {
    struct pci_function isa, power;
    struct irq_line irqs[PIIX3_IRQS]; /* to the ISA interrupts */
    u8 pirq;                          /* levels of PIRQA..PIRQD */
    u16 driven;                       /* levels of the lines */
    struct piix4_pm *pm;
    u16 pm_base; /* where PM's ports stand; 0: nowhere */
};

enum { PIIX3_PIRQ_ROUTE = 0x60, PIIX3_PIRQ_OFF = 0x80 };
enum { PIIX4_PM_BASE = 0x40, PIIX4_PM_MISC = 0x80, PIIX4_PM_MISC_ENABLE = 1 };
enum { PIIX4_DEVACTB = 0x58, PIIX4_APMC_EN = 0x02 /* of its last byte */ };

extern const struct device_ops piix3_ops;

/* The lines and PM are borrowed. */
void piix3_init(struct piix3 *p, const struct irq_line irqs[PIIX3_IRQS], struct piix4_pm *pm);
/* Where the configuration puts PM's ports; 0: nowhere. */
u16 piix3_pm_base(const struct piix3 *p);
/* As struct pci_bus's pirq. */
void piix3_pirq(void *opaque, unsigned n, bool level);

#endif
