/* The IDE function of the PIIX3. See piix3_ide.c. */
#ifndef DEV_PCI_PIIX3_IDE_H
#define DEV_PCI_PIIX3_IDE_H

#include "dev/ide/ide.h"
#include "dev/pci/pci.h"

#define PIIX3_IDE_CHANNELS 2
enum { PIIX3_IDETIM = 0x40, PIIX3_IDETIM_ENABLE = 0x8000 }; /* a word per channel */

struct piix3_ide {
    struct pci_function function;
    struct ide_channel channels[PIIX3_IDE_CHANNELS];
};

/* No state but its parts': after them in the machine's order. */
extern const struct device_ops piix3_ide_ops;

/* The channels' ports and interrupts are the machine's. */
void piix3_ide_init(struct piix3_ide *p, struct mem *mem, const struct irq_line irqs[PIIX3_IDE_CHANNELS]);

#endif
