/* The PC: i440FX and PIIX3, their chips and wires; and the microvm, the same chips without PCI. See pc.c. All calls run under the
 * VM's big lock. */
#ifndef MACHINE_PC_H
#define MACHINE_PC_H

#include "cpu/exit.h"
#include "dev/cf9.h"
#include "dev/fw_cfg.h"
#include "dev/hpet.h"
#include "dev/i440fx_pam.h"
#include "dev/i440fx_smram.h"
#include "dev/i8042.h"
#include "dev/i8254.h"
#include "dev/pci/i440fx.h"
#include "dev/pci/piix3.h"
#include "dev/mc146818.h"
#include "dev/pc_testdev.h"
#include "dev/piix4_pm.h"
#include "dev/port80.h"
#include "dev/port92.h"
#include "irq/apic_bus.h"
#include "irq/i8259.h"
#include "irq/ioapic.h"
#include "irq/lapic.h"
#include "irq/router.h"
#include "machine/console/com_port.h"
#include "machine/console/console.h"
#include "mem/mem.h"

struct pc_config {
    u32 cpus;
    bool x2apic; /* CPUID offers it */
    bool debug_exit, testdev;
    bool firmware; /* there is flash, and the PAM registers say who sees it */
    bool microvm; /* no PCI; virtio devices stand in memory */
};

#define PC_MAX_PLUGGED 256

/* What the chips need from outside. */
struct pc_wires {
    struct mem *mem;
    struct clock *clock;
    struct char_backend serial;
    struct rtc_source rtc;
    struct apic_wires apic;
    struct machine_lines lines;
    /* Injects an error into vCPU CPU; for the test device; with LINES' opaque. REGS: STATUS, ADDR, MISC. */
    void (*machine_check)(void *opaque, u32 cpu, u32 bank, u32 mcg_status, const u64 regs[3]);
};

struct pc {
    struct pc_config config;
    struct mem *mem;
    struct machine_lines lines;
    struct apic_bus apic;
    struct lapic *lapics; /* config.cpus of them */
    struct ioapic ioapic;
    struct i8259 pic;
    struct irq_router router;
    struct hpet hpet;
    struct i8254 pit;
    struct mc146818 rtc;
    struct com_port com1;
    struct i8042 kbd;
    struct port92 port92;
    struct cf9 cf9;
    struct port80 post;
    struct fw_cfg fw_cfg;
    struct piix4_pm pm;
    struct i440fx_smram smram;
    struct i440fx_pam pam;
    struct pc_testdev testdev;
    struct pci_bus pci;
    struct i440fx host_bridge;
    struct piix3 south;
    struct device plugged[PC_MAX_PLUGGED]; /* besides the chips that every PC has */
    unsigned plugged_n;
    struct irq_line ferr_irq;
    bool ferr; /* IRQ 13 is pulled */
};

/* Connects everything to the buses of WIRES->mem. The chips' state is undefined until pc_reset. */
enum status pc_init(struct pc *pc, const struct pc_config *cfg, const struct pc_wires *wires,
                    struct error *e);
void pc_destroy(struct pc *pc);
/* Adds a device to those that are reset, saved and restored, in the order of these calls; before pc_reset. */
enum status pc_plug(struct pc *pc, const struct device_ops *ops, void *instance, struct error *e);
/* Hangs F on the PCI bus as function FN of device DEV, and plugs it. */
enum status pc_plug_pci(struct pc *pc, struct pci_function *f, unsigned dev, unsigned fn, struct error *e);
/* The first device number from PC_PCI_FREE on that nobody has; 32: none. */
unsigned pc_pci_free(const struct pc *pc);
/* A wire to interrupt GSI (0..23) for a device of its own. */
struct irq_line pc_gsi(struct pc *pc, unsigned gsi);
/* As RESET# does: CMOS memory and the clock's time stay. */
void pc_reset(struct pc *pc);
/* What the A20 gate leaves of a processor's addresses: its two inputs, the keyboard controller's and port 0x92's, are ORed
 * (82371SB datasheet, "A20M#"). */
u64 pc_a20_mask(const struct pc *pc);
/* What a BIOS would have done to the interrupt controllers in the CPUs: virtual-wire mode. */
void pc_enter_virtual_wire(struct pc *pc);

/* All chips' state, in the table's order, in the format of base/fields.h. Restoring a bad image fails and
 * leaves a state that only pc_reset cures. */
enum status pc_save(struct pc *pc, struct buffer *out, struct error *e);
enum status pc_restore(struct pc *pc, struct buffer *in, struct error *e);

/* vCPU number CPU's side; see struct cpu_wires. */
int pc_intr_ack(struct pc *pc, u32 cpu);
bool pc_apic_msr_read(struct pc *pc, u32 cpu, u32 msr, u64 *value);
bool pc_apic_msr_write(struct pc *pc, u32 cpu, u32 msr, u64 value);
u8 pc_cr8_read(struct pc *pc, u32 cpu);
void pc_cr8_write(struct pc *pc, u32 cpu, u8 tpr);
void pc_ferr(struct pc *pc);
/* Serves X when it falls into the vCPU's own LAPIC page. */
bool pc_private_mmio(struct pc *pc, u32 cpu, struct exit *x);

struct console_chip pc_console(struct pc *pc);

#endif
