/* The PC: which chip stands where, and which wire goes to what. Addresses and IRQ numbers come from pc_map.h;
 * the chips know none.
 *
 * Built: both 8259As, IOAPIC, LAPICs, 8254, MC146818, COM1, 8042, ports 0x61, 0x80, 0x92, 0xcf9, PIIX4 power
 * management, fw_cfg; HPET, i440FX and PIIX3 on a PCI bus, but in the microvm; on demand isa-debug-exit and pc-testdev; FERR# to IRQ 13 with its latch at port 0xf0.
 * Not built: DMA controllers. Started without firmware, the machine has no SMI
 * handler, and APMC_EN is clear, so that the ACPI commands at port 0xb2 raise no SMI. */
#include "machine/pc.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "dev/debug_exit.h"
#include "machine/pc_map.h"

/* Of the wires to one interrupt. */
enum { SOURCE_CHIP, SOURCE_TEST, SOURCE_PIRQ, SOURCE_PLUGGED, SOURCE_HPET /* and on, one per timer */ };

/* --- FERR#: IRQ 13 until port 0xf0 is written (IBM PC AT Technical Reference, "Math Coprocessor") */

static const struct field ferr_fields[] = {FIELD(pc, ferr, false)};
static const struct field_table ferr_table = {"ferr", 1, ferr_fields, ARRAY_LEN(ferr_fields)};

static void ferr_set(struct pc *pc, bool level)
{
    pc->ferr = level;
    irq_set(&pc->ferr_irq, level);
}

static u64 ferr_read(void *opaque, u64 off, unsigned size)
{
    (void)opaque, (void)off, (void)size;
    return 0xff;
}

static void ferr_write(void *opaque, u64 off, unsigned size, u64 value)
{
    (void)off, (void)size, (void)value;
    ferr_set(opaque, false);
}

static void ferr_reset(void *instance)
{
    ferr_set(instance, false);
}

static bool ferr_after_restore(void *instance)
{
    struct pc *pc = instance;
    ferr_set(pc, pc->ferr);
    return true;
}

static const struct bus_ops ferr_bus = {.read = ferr_read, .write = ferr_write, .min_size = 1, .max_size = 1};
static const struct device_ops ferr_ops = {
    .fields = &ferr_table, .reset = ferr_reset, .after_restore = ferr_after_restore};

void pc_ferr(struct pc *pc)
{
    ferr_set(pc, true);
}

/* --- the chips. Interrupt controllers stand first: a reset clears their inputs before the others drive them.
 */

static const struct {
    u32 offset;
    const struct device_ops *ops;
} pc_devices[] = {
    {offsetof(struct pc, ioapic), &ioapic_ops},
    {offsetof(struct pc, pic), &i8259_ops},
    {offsetof(struct pc, router), &irq_router_ops},
    {offsetof(struct pc, hpet), &hpet_ops},
    {offsetof(struct pc, pit), &i8254_ops},
    {offsetof(struct pc, rtc), &mc146818_ops},
    {offsetof(struct pc, com1.uart), &ns16550_ops},
    {offsetof(struct pc, com1), &com_port_ops},
    {offsetof(struct pc, kbd), &i8042_ops},
    {offsetof(struct pc, port92), &port92_ops},
    {offsetof(struct pc, cf9), &cf9_ops},
    {offsetof(struct pc, post), &port80_ops},
    {offsetof(struct pc, fw_cfg), &fw_cfg_ops},
    {offsetof(struct pc, pm), &piix4_pm_ops},
    {offsetof(struct pc, smram), &i440fx_smram_ops},
    {offsetof(struct pc, testdev), &pc_testdev_ops},
    {offsetof(struct pc, host_bridge.function), &pci_function_ops},
    {offsetof(struct pc, host_bridge), &i440fx_ops},
    {offsetof(struct pc, south.isa), &pci_function_ops},
    {offsetof(struct pc, south.power), &pci_function_ops},
    {offsetof(struct pc, south), &piix3_ops},
    {0, &ferr_ops},
};

/* Device number N, the LAPICs first; false when there are no more. */
static bool pc_device(struct pc *pc, size_t n, struct device *d)
{
    if (n < pc->config.cpus) {
        *d = (struct device){&lapic_ops, &pc->lapics[n]};
        return true;
    }
    n -= pc->config.cpus;
    if (n >= ARRAY_LEN(pc_devices)) {
        n -= ARRAY_LEN(pc_devices);
        if (n < pc->plugged_n)
            *d = pc->plugged[n];
        return n < pc->plugged_n;
    }
    *d = (struct device){pc_devices[n].ops, (u8 *)pc + pc_devices[n].offset};
    return true;
}

void pc_reset(struct pc *pc)
{
    struct device d;
    for (size_t n = 0; pc_device(pc, n, &d); n++)
        device_reset(&d);
}

enum status pc_save(struct pc *pc, struct buffer *out, struct error *e)
{
    struct device d;
    for (size_t n = 0; pc_device(pc, n, &d); n++) {
        if (d.ops->before_save)
            d.ops->before_save(d.instance);
        if (fields_save(d.ops->fields, d.instance, out, e) != STATUS_OK)
            return e->status;
    }
    return STATUS_OK;
}

enum status pc_restore(struct pc *pc, struct buffer *in, struct error *e)
{
    struct device d;
    for (size_t n = 0; pc_device(pc, n, &d); n++)
        if (fields_restore(d.ops->fields, d.instance, in, e) != STATUS_OK)
            return e->status;
    for (size_t n = 0; pc_device(pc, n, &d); n++)
        if (d.ops->after_restore && !d.ops->after_restore(d.instance))
            return error_set(e, STATUS_HOST, "%s: the saved state contradicts itself", d.ops->fields->name);
    return STATUS_OK;
}

void pc_enter_virtual_wire(struct pc *pc)
{
    lapic_enter_virtual_wire(&pc->lapics[0]);
}

/* --- places */

struct place {
    const char *name;
    u64 base, len;
    const struct bus_ops *ops;
    void *opaque;
};

static enum status pc_place(struct bus *bus, const struct place *p, size_t n, struct error *e)
{
    for (; n; n--, p++)
        if (bus_add(bus, p->name, p->base, p->len, p->ops, p->opaque, e) != STATUS_OK)
            return e->status;
    return STATUS_OK;
}

static enum status pc_place_all(struct pc *pc, struct error *e)
{
    const struct place ports[] = {
        {"i8259 master", PC_PORT_PIC1, 2, &i8259_master_bus, &pc->pic},
        {"i8254", PC_PORT_PIT, 4, &i8254_bus, &pc->pit},
        {"i8042 data", PC_PORT_KBD_DATA, 1, &i8042_data_bus, &pc->kbd},
        {"port 61", PC_PORT_PORT61, 1, &i8254_port61_bus, &pc->pit},
        {"i8042 command", PC_PORT_KBD_CMD, 1, &i8042_command_bus, &pc->kbd},
        {"mc146818", PC_PORT_RTC, 2, &mc146818_bus, &pc->rtc},
        {"port 80", PC_PORT_POST, 1, &port80_bus, &pc->post},
        {"port 92", PC_PORT_PORT92, 1, &port92_bus, &pc->port92},
        {"i8259 slave", PC_PORT_PIC2, 2, &i8259_slave_bus, &pc->pic},
        {"APM", PC_PORT_SMI_CMD, 2, &piix4_apm_bus, &pc->pm},
        {"FERR latch", PC_PORT_FERR, 1, &ferr_bus, pc},
        {"ns16550 COM1", PC_PORT_COM1, 8, &com_port_bus, &pc->com1},
        {"ELCR", PC_PORT_ELCR, 2, &i8259_elcr_bus, &pc->pic},
        {"fw_cfg", PC_PORT_FW_CFG, 2, &fw_cfg_bus, &pc->fw_cfg},
        {"fw_cfg DMA", PC_PORT_FW_CFG + 4, 8, &fw_cfg_dma_bus, &pc->fw_cfg},
        {"PIIX4 GPE0", PC_PORT_GPE0, PIIX4_GPE_LEN, &piix4_gpe_bus, &pc->pm},
    };
    const struct place pci[] = {
        {"i440FX CONFADD", PC_PORT_PCI, 4, &i440fx_address_bus, &pc->host_bridge},
        {"i440FX CONFDATA", PC_PORT_PCI + 4, 4, &i440fx_data_bus, &pc->host_bridge},
    };
    const struct place alone[] = {
        {"PIIX4 PM", PC_PORT_PM, PIIX4_PM_LEN, &piix4_pm_bus, &pc->pm},
        {"reset control", PC_PORT_RESET, 1, &cf9_bus, &pc->cf9},
    };
    const struct place debug[] = {{"debug exit", PC_PORT_DEBUG_EXIT, 4, &debug_exit_bus, &pc->lines}};
    const struct place test[] = {
        {"testdev latch", PC_PORT_TESTDEV, 4, &pc_testdev_latch_bus, &pc->testdev},
        {"testdev flush", PC_PORT_TESTDEV + 4, 4, &pc_testdev_flush_bus, &pc->testdev},
        {"testdev IRQ", PC_PORT_TESTIRQ, PC_TESTDEV_IRQS, &pc_testdev_irq_bus, &pc->testdev},
        {"testdev machine checks", PC_PORT_TESTMC, PC_TESTDEV_MC_LEN, &pc_testdev_mc_bus, &pc->testdev},
        {"testdev stamp", PC_PORT_TESTSTAMP, PC_TESTDEV_STAMP_LEN, &pc_testdev_stamp_bus, &pc->testdev},
    };
    const struct place memory[] = {
        {"HPET", PC_HPET, HPET_LEN, &hpet_bus, &pc->hpet},
        {"i440FX PAM", MEM_SHADOW_BASE, MIB(1) - MEM_SHADOW_BASE, &i440fx_pam_bus, &pc->pam},
        {"IOAPIC", PC_IOAPIC_BASE, PAGE_SIZE, &ioapic_bus, &pc->ioapic},
        {"testdev memory", PC_TESTDEV_MMIO, PC_TESTDEV_MMIO_LEN, &pc_testdev_mmio_bus, &pc->testdev},
        {"testdev stamp", PC_TESTDEV_STAMP, PC_TESTDEV_STAMP_LEN, &pc_testdev_stamp_bus, &pc->testdev},
    };
    struct bus *pio = &pc->mem->pio, *mmio = &pc->mem->mmio;
    if (pc_place(pio, ports, ARRAY_LEN(ports), e) != STATUS_OK ||
        pc_place(pio, pc->config.microvm ? alone : pci, 2, e) != STATUS_OK ||
        pc_place(mmio, memory + pc->config.microvm, (pc->config.testdev ? ARRAY_LEN(memory) : ARRAY_LEN(memory) - 1) - pc->config.microvm, e) != STATUS_OK ||
        (pc->config.debug_exit && pc_place(pio, debug, ARRAY_LEN(debug), e) != STATUS_OK) ||
        (pc->config.testdev && pc_place(pio, test, ARRAY_LEN(test), e) != STATUS_OK))
        return e->status;
    return STATUS_OK;
}

/* --- what the machine tells its guest through CMOS memory and fw_cfg */

/* Bytes as IBM's and later BIOSes keep them (R. Brown's list, CMOS.LST; QEMU puts the same there): sizes in
 * KiB, from 0x34 on in 64 KiB. */
static void pc_set_cmos(struct pc *pc)
{
    const struct mem *m = pc->mem;
    u64 extended = m->low_size > MIB(1) ? (m->low_size - MIB(1)) >> 10 : 0;
    u64 above16 = m->low_size > MIB(16) ? (m->low_size - MIB(16)) >> 16 : 0;
    u64 high = m->high_size >> 16, last = pc->config.cpus - 1;
    if (extended > 65535)
        extended = 65535;
    const struct {
        u8 index, bytes;
        u64 value;
    } cmos[] = {
        {0x14, 1, 0x06}, /* equipment: FPU, PS/2 pointer port */
        {0x15, 2, 640},     {0x17, 2, extended}, {0x30, 2, extended},
        {0x34, 2, above16}, {0x5b, 3, high},     {0x5f, 1, last},
        {0x38, 1, 0x41}, /* boot from the disk, then the CD, ... */
        {0x3d, 1, 0x32}, /* ... then the network; no look at a floppy's signature */
    };
    for (size_t i = 0; i < ARRAY_LEN(cmos); i++)
        for (unsigned k = 0; k < cmos[i].bytes; k++)
            mc146818_set(&pc->rtc, (u8)(cmos[i].index + k), (u8)(cmos[i].value >> 8 * k));
}

static enum status pc_set_fw_cfg(struct pc *pc, struct error *e)
{
    struct fw_cfg *f = &pc->fw_cfg;
    if (fw_cfg_add_number(f, FW_CFG_RAM_SIZE, pc->mem->size, 8) &&
        fw_cfg_add_number(f, FW_CFG_NB_CPUS, pc->config.cpus, 2) &&
        fw_cfg_add_number(f, FW_CFG_MAX_CPUS, pc->config.cpus, 2) &&
        fw_cfg_add_number(f, FW_CFG_NOGRAPHIC, 1, 2))
        return STATUS_OK;
    return error_set(e, STATUS_HOST, "fw_cfg: no room");
}

/* --- PCI */

static void pc_msi(void *opaque, u64 addr, u32 data)
{
    struct pc *pc = opaque;
    if (addr >> 20 == PC_LAPIC_BASE >> 20)
        apic_bus_msi(&pc->apic, addr, data);
}

static u8 pc_smram(void *opaque, u8 value)
{
    struct pc *pc = opaque;
    return i440fx_smram_write(&pc->smram, value);
}

static void pc_pam(void *opaque, unsigned n, u8 value)
{
    struct pc *pc = opaque;
    i440fx_pam_write(&pc->pam, n, value);
}

static enum status pc_init_pci(struct pc *pc, struct error *e)
{
    struct irq_line lines[PIIX3_IRQS];
    for (unsigned i = 0; i < PIIX3_IRQS; i++)
        lines[i] = irq_router_line(&pc->router, i, SOURCE_PIRQ);
    pci_bus_init(&pc->pci, pc->mem, (struct msi_wire){pc_msi, pc}, piix3_pirq, &pc->south);
    i440fx_init(&pc->host_bridge, &pc->pci, &cf9_bus, &pc->cf9);
    pc->host_bridge.smram = pc_smram;
    pc->host_bridge.pam = pc->config.firmware ? pc_pam : NULL; /* a kernel started without finds RAM everywhere */
    pc->host_bridge.opaque = pc;
    piix3_init(&pc->south, lines, &pc->pm);
    if (pci_bus_add(&pc->pci, &pc->host_bridge.function, PC_PCI_HOST, 0, e) != STATUS_OK ||
        pci_bus_add(&pc->pci, &pc->south.isa, PC_PCI_SOUTH, 0, e) != STATUS_OK)
        return e->status;
    return pci_bus_add(&pc->pci, &pc->south.power, PC_PCI_SOUTH, 3, e);
}

enum status pc_plug(struct pc *pc, const struct device_ops *ops, void *instance, struct error *e)
{
    if (pc->plugged_n == PC_MAX_PLUGGED)
        return error_set(e, STATUS_USAGE, "devices: more than the machine takes");
    pc->plugged[pc->plugged_n++] = (struct device){ops, instance};
    return STATUS_OK;
}

enum status pc_plug_pci(struct pc *pc, struct pci_function *f, unsigned dev, unsigned fn, struct error *e)
{
    if (pci_bus_add(&pc->pci, f, dev, fn, e) != STATUS_OK)
        return e->status;
    return pc_plug(pc, &pci_function_ops, f, e);
}

unsigned pc_pci_free(const struct pc *pc)
{
    unsigned dev = PC_PCI_FREE;
    for (unsigned i = 0; i < pc->pci.count; i++)
        if (pc->pci.functions[i]->devfn >> 3 == dev) {
            dev++;
            i = ~0u; /* functions stand in no order: look again */
        }
    return dev;
}

static void pc_hpet_line(void *opaque, unsigned n, unsigned gsi, bool level)
{
    struct irq_line line = irq_router_line(opaque, gsi, SOURCE_HPET + n);
    irq_set(&line, level);
}

struct irq_line pc_gsi(struct pc *pc, unsigned gsi)
{
    return irq_router_line(&pc->router, gsi, SOURCE_PLUGGED);
}

enum status pc_init(struct pc *pc, const struct pc_config *cfg, const struct pc_wires *w, struct error *e)
{
    struct irq_router *r = &pc->router;
    pc->config = *cfg;
    pc->mem = w->mem;
    pc->lines = w->lines;
    pc->lapics = calloc(cfg->cpus, sizeof *pc->lapics);
    if (!pc->lapics)
        return error_set(e, STATUS_HOST, "LAPICs: out of memory");
    apic_bus_init(&pc->apic, w->clock, &w->apic, cfg->x2apic);
    for (u32 i = 0; i < cfg->cpus; i++)
        lapic_init(&pc->lapics[i], &pc->apic);
    ioapic_init(&pc->ioapic, &pc->apic);
    irq_router_init(r, &pc->pic, &pc->ioapic, &pc->apic);
    const struct irq_line legacy[] = {irq_router_line(r, PC_IRQ_PIT, 0), irq_router_line(r, PC_IRQ_RTC, 0)};
    hpet_init(&pc->hpet, w->clock, pc_hpet_line, r, legacy, PC_HPET_ROUTES);
    i8254_init(&pc->pit, w->clock, hpet_legacy_line(&pc->hpet, 0));
    mc146818_init(&pc->rtc, w->clock, w->rtc, hpet_legacy_line(&pc->hpet, 1));
    com_port_init(&pc->com1, w->clock, irq_router_line(r, PC_IRQ_COM1, 0), w->serial);
    i8042_init(&pc->kbd, irq_router_line(r, PC_IRQ_KBD, 0), irq_router_line(r, PC_IRQ_AUX, 0), &pc->lines);
    port92_init(&pc->port92, &pc->lines);
    cf9_init(&pc->cf9, &pc->lines);
    fw_cfg_init(&pc->fw_cfg, pc->mem);
    piix4_pm_init(&pc->pm, w->clock, irq_router_line(r, PC_IRQ_SCI, 0), &pc->lines);
    i440fx_smram_init(&pc->smram, pc->mem);
    i440fx_pam_init(&pc->pam, pc->mem, pc->lines.shadow, pc->lines.opaque);
    struct irq_line test[PC_TESTDEV_IRQS];
    for (unsigned i = 0; i < PC_TESTDEV_IRQS; i++)
        test[i] = irq_router_line(r, i, SOURCE_TEST);
    pc_testdev_init(&pc->testdev, w->clock, test);
    pc->testdev.machine_check = w->machine_check;
    pc->testdev.mc_opaque = w->lines.opaque;
    pc->ferr_irq = irq_router_line(r, PC_IRQ_FERR, 0);
    if (pc_init_pci(pc, e) != STATUS_OK)
        return e->status;
    pc_set_cmos(pc);
    if (pc_set_fw_cfg(pc, e) != STATUS_OK)
        return e->status;
    return pc_place_all(pc, e);
}

void pc_destroy(struct pc *pc)
{
    free(pc->lapics);
    pc->lapics = NULL;
}

/* --- for the vCPUs */

u64 pc_a20_mask(const struct pc *pc)
{
    return port92_a20(&pc->port92) || i8042_a20(&pc->kbd) ? ~0ull : ~BIT(20);
}

int pc_intr_ack(struct pc *pc, u32 cpu)
{
    return pc->apic.keeper ? lapic_ack_extint(&pc->lapics[cpu]) : lapic_ack(&pc->lapics[cpu]);
}

bool pc_apic_msr_read(struct pc *pc, u32 cpu, u32 msr, u64 *value)
{
    return lapic_msr_read(&pc->lapics[cpu], msr, value);
}

bool pc_apic_msr_write(struct pc *pc, u32 cpu, u32 msr, u64 value)
{
    return lapic_msr_write(&pc->lapics[cpu], msr, value);
}

u8 pc_cr8_read(struct pc *pc, u32 cpu)
{
    return lapic_cr8_read(&pc->lapics[cpu]);
}

void pc_cr8_write(struct pc *pc, u32 cpu, u8 tpr)
{
    lapic_cr8_write(&pc->lapics[cpu], tpr);
}

bool pc_private_mmio(struct pc *pc, u32 cpu, struct exit *x)
{
    struct lapic *l = &pc->lapics[cpu];
    if (!lapic_claims(l, x->addr))
        return false;
    u32 off = (u32)(x->addr & (PAGE_SIZE - 1));
    if (x->write)
        lapic_mmio_write(l, off, x->size, x->data);
    else
        x->data = lapic_mmio_read(l, off, x->size);
    return true;
}

/* --- for the console */

static size_t console_room(void *opaque)
{
    const struct pc *pc = opaque;
    return com_port_room(&pc->com1);
}

static void console_receive(void *opaque, const u8 *data, size_t n)
{
    struct pc *pc = opaque;
    ns16550_receive(&pc->com1.uart, data, n);
}

static void console_writable(void *opaque)
{
    struct pc *pc = opaque;
    ns16550_writable(&pc->com1.uart);
}

struct console_chip pc_console(struct pc *pc)
{
    return (struct console_chip){
        .room = console_room, .receive = console_receive, .writable = console_writable, .opaque = pc};
}
