/* Starting from firmware (SeaBIOS, OVMF), at the reset vector 16 bytes below 4 GiB. What it cannot find out by itself it
 * reads from fw_cfg (QEMU docs/specs/fw_cfg; SeaBIOS docs/Runtime_config): the memory map, ACPI tables by the table
 * loader, SMBIOS, the order of boot devices, sleep states, whether to use the serial port. */
#include "machine/boot/firmware.h"

#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "machine/pc_map.h"

#define FIRMWARE_MIN  KIB(64)
#define FIRMWARE_UNIT KIB(4)

enum status firmware_open(struct firmware *f, const char *name, const struct trine_disk *vars, struct error *e)
{
    if (file_open(&f->file, name, MEM_FLASH_MAX, e) != STATUS_OK)
        return e->status;
    f->present = true;
    if (f->file.size >= FIRMWARE_MIN && f->file.size <= MEM_FLASH_MAX && !(f->file.size & (FIRMWARE_UNIT - 1)))
        return vars->path ? firmware_vars_open(&f->vars, vars, f->file.size, e) : STATUS_OK;
    firmware_close(f);
    return error_set(e, STATUS_HOST, "%s: not a firmware image: has %llu bytes, must be 64K to 16M in multiples of 4K",
                     name, (unsigned long long)f->file.size);
}

void firmware_close(struct firmware *f)
{
    if (f->present)
        file_close(&f->file);
    f->present = false;
    firmware_vars_close(&f->vars);
    firmware_kernel_destroy(&f->kernel);
}

/* RAM alone: what firmware keeps for itself it takes out of that. */
static u32 memory_map(u8 *out, const struct mem *m)
{
    const struct e820_entry ram[] = {{0, m->low_size, E820_RAM}, {MEM_HIGH_BASE, m->high_size, E820_RAM}};
    u32 len = 0;
    for (size_t i = 0; i < ARRAY_LEN(ram) && ram[i].len; i++, len += 20) {
        st64(out + len, ram[i].base);
        st64(out + len + 8, ram[i].len);
        st32(out + len + 16, ram[i].type);
    }
    return len;
}

/* PCI windows begin where SeaBIOS and OVMF may place them: at 2 GiB, or behind RAM. */
static u64 pci_memory(const struct mem *m)
{
    return m->low_size > GIB(2) ? m->low_size : GIB(2);
}

struct named {
    const char *name;
    const void *data;
    size_t len;
};

static enum status add_files(struct fw_cfg *c, const struct named *n, size_t count, struct error *e)
{
    for (size_t i = 0; i < count; i++)
        if (n[i].len && !fw_cfg_add_file(c, n[i].name, n[i].data, (u32)n[i].len))
            return error_set(e, STATUS_HOST, "firmware: fw_cfg has no room for %s", n[i].name);
    return STATUS_OK;
}

/* The tables as the machine is now: firmware has put the power management block where it wants it. False: no room. */
static bool write_tables(struct firmware *f, size_t *tables, size_t *script)
{
    f->platform.pm_ports = piix3_pm_base(&f->pc->south);
    *tables = acpi_build(f->tables, sizeof f->tables, 0, &f->platform, pci_memory(f->pc->mem), f->rsdp);
    *script = *tables ? acpi_loader_build(f->loader, f->tables, *tables, f->rsdp) : 0;
    return *script;
}

static void rewrite_tables(void *opaque)
{
    size_t tables, script; /* as long as before */
    (void)write_tables(opaque, &tables, &script);
}

static enum status describe(struct firmware *f, struct pc *pc, const struct firmware_config *cfg, struct error *e)
{
    enum { STATE_THERE = 0x80 };
    size_t tables, script;
    f->platform = cfg->boot.platform;
    f->pc = pc;
    bool room = write_tables(f, &tables, &script);
    size_t smbios = smbios_build(f->smbios, f->anchor, f->platform.cpus, pc->mem->size);
    if (!room)
        return error_set(e, STATUS_HOST, "firmware: no room for the tables of %u vCPUs", f->platform.cpus);
    f->states[0] = STATE_THERE; /* S0 and S5 */
    f->states[5] = STATE_THERE | PC_SLP_TYP_S5;
    st16(f->serial_console, PC_PORT_COM1);
    snprintf(f->boot_order, sizeof f->boot_order, "%s%s", cfg->boot.kernel ? "/rom@" FIRMWARE_ROM_FILE "\n" : "", cfg->boot_order);
    const struct named files[] = {
        {ACPI_FILE_TABLES, f->tables, tables},
        {ACPI_FILE_RSDP, f->rsdp, sizeof f->rsdp},
        {ACPI_FILE_LOADER, f->loader, script},
        {"etc/e820", f->e820, memory_map(f->e820, pc->mem)},
        {"etc/smbios/smbios-anchor", f->anchor, sizeof f->anchor},
        {"etc/smbios/smbios-tables", f->smbios, smbios},
        {"etc/system-states", f->states, sizeof f->states},
        {"etc/sercon-port", f->serial_console, cfg->serial_console ? sizeof f->serial_console : 0},
        {"bootorder", f->boot_order, *f->boot_order ? strlen(f->boot_order) + 1 : 0},
    };
    if (add_files(&pc->fw_cfg, files, ARRAY_LEN(files), e) != STATUS_OK)
        return e->status;
    fw_cfg_on_select(&pc->fw_cfg, ACPI_FILE_TABLES, rewrite_tables, f);
    return STATUS_OK;
}

enum status firmware_install(struct firmware *f, struct pc *pc, const struct firmware_config *cfg, struct error *e)
{
    struct mem *m = pc->mem;
    if (f->file.size + f->vars.size != m->flash_size)
        return error_set(e, STATUS_HOST, "%s: its size has changed", f->file.name);
    if (file_read(&f->file, 0, m->base + MEM_HIGH_BASE - f->file.size, f->file.size, e) != STATUS_OK)
        return e->status;
    if (firmware_vars_install(&f->vars, pc, e) != STATUS_OK)
        return e->status;
    if (cfg->boot.kernel && firmware_kernel_load(&f->kernel, m, &pc->fw_cfg, &cfg->boot, e) != STATUS_OK)
        return e->status;
    return describe(f, pc, cfg, e);
}
