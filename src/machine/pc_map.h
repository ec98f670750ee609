/* The PC's map: every address, port and IRQ of the pc machine (i440FX + PIIX3 layout, the same places as
 * QEMU's pc). Nothing outside src/machine/ knows them; the machine hands them to the chips, the firmware
 * tables tell them to the guest. */
#ifndef MACHINE_PC_MAP_H
#define MACHINE_PC_MAP_H

/* Ports. */
#define PC_PORT_PIC1       0x20
#define PC_PORT_PIC2       0xa0
#define PC_PORT_ELCR       0x4d0
#define PC_PORT_PIT        0x40
#define PC_PORT_PORT61     0x61
#define PC_PORT_KBD_DATA   0x60
#define PC_PORT_KBD_CMD    0x64
#define PC_PORT_RTC        0x70
#define PC_PORT_POST       0x80
#define PC_PORT_PORT92     0x92
#define PC_PORT_SMI_CMD    0xb2
#define PC_PORT_TESTDEV    0xe0
#define PC_PORT_FERR       0xf0
#define PC_PORT_DEBUG_EXIT 0xf4
#define PC_PORT_COM1       0x3f8
#define PC_PORT_FW_CFG     0x510
#define PC_PORT_PM         0x600 /* PIIX4 power management: PM1_EVT +0, PM1_CNT +4, PM_TMR +8 */
#define PC_PORT_PCI        0xcf8 /* CONFADD, CONFDATA */
#define PC_PORT_RESET      0xcf9
#define PC_PORT_IDE1       0x1f0 /* and control at +0x206 */
#define PC_PORT_IDE2       0x170
#define PC_PORT_TESTIRQ    0x2000
#define PC_PORT_TESTMC     0x2100
#define PC_PORT_TESTSTAMP  0x2120
#define PC_PORT_GPE0       0xafe0

/* ISA interrupt lines; the IOAPIC's pins have the same numbers, but for IRQ 0. */
#define PC_IRQ_PIT  0
#define PC_IRQ_KBD  1
#define PC_IRQ_COM1 4
#define PC_IRQ_RTC  8
#define PC_IRQ_SCI  9
#define PC_IRQ_PIRQ_AB 10 /* where firmware routes PIRQA and PIRQB, PIRQC and PIRQD */
#define PC_IRQ_PIRQ_CD 11
#define PC_IRQ_AUX  12
#define PC_IRQ_FERR 13
#define PC_IRQ_IDE1 14
#define PC_IRQ_IDE2 15
#define PC_GSI_PIT  2
#define PC_IRQS     16
#define PC_GSI_VIRTIO_MMIO 16 /* of the first of them */

/* Device numbers on the PCI bus. */
#define PC_PCI_HOST  0
#define PC_PCI_SOUTH 1 /* functions: 0 ISA bridge, 1 IDE, 3 power management */
#define PC_PCI_VGA   2
#define PC_PCI_FREE  3 /* the first for disks and the like */
#define PC_PCI_RNG   30
#define PC_PCI_PORTS 0xc000 /* where firmware begins to place windows */
#define PC_PCI_MEMORY 0xe0000000u

/* Physical memory. */
#define PC_TESTDEV_MMIO 0xff000000u
#define PC_TESTDEV_STAMP 0xff010000u
#define PC_IOAPIC_BASE  0xfec00000u
#define PC_LAPIC_BASE   0xfee00000u
#define PC_HPET         0xfed00000u
#define PC_HPET_ROUTES  0x00f00000u /* IOAPIC pins 20 to 23, which nobody else has */
#define PC_VIRTIO_MMIO     0xfeb00000u /* microvm: eight of them */
#define PC_VIRTIO_MMIO_LEN 0x200u
#define PC_VIRTIO_MMIOS    8

/* What a BIOS leaves below 1 MiB. */
#define PC_IVT         0x0u
#define PC_BDA         0x400u
#define PC_EBDA        0x9fc00u /* 1 KiB; conventional memory ends here */
#define PC_ACPI_TABLES 0xe0000u /* all but the RSDP */
#define PC_ACPI_SIZE   0x10000u
#define PC_BIOS        0xf0000u /* segment of the interrupt handlers, the RSDP, the MP tables */
#define PC_BIOS_END    0x100000u

/* Answers of the firmware interface of the power management block. */
#define PC_ACPI_ENABLE  0xf1
#define PC_ACPI_DISABLE 0xf0
#define PC_RESET_VALUE  0x06
#define PC_SLP_TYP_S5   0
#define PC_CMOS_CENTURY 0x32

#define PC_MAX_CPUS 255 /* APIC ids of 8 bits; 255 is the broadcast id */

#endif
