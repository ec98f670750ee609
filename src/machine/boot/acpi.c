/* RSDP, RSDT, XSDT, FADT, FACS, MADT and DSDT (ACPI 6.5, chapter 5, in their 2.0 and 3.0 revisions, which
 * every system reads). The power management block is the PIIX4's, where QEMU's pc has it. The HPET
 * stands where PCI is. No sleep states but S5; PCI: acpi_pci.c. */
#include "machine/boot/acpi.h"

#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "dev/hpet.h"
#include "machine/boot/acpi_aml.h"
#include "machine/boot/acpi_pci.h"
#include "machine/pc_map.h"

#define HEADER 36u

/* FADT flags (5.2.9, table 5.10). */
enum {
    FADT_WBINVD = 1 << 0,
    FADT_PROC_C1 = 1 << 2,
    FADT_SLP_BUTTON = 1 << 5, /* no fixed sleep button */
    FADT_FIX_RTC = 1 << 6,    /* no RTC wake status */
    FADT_RESET_REG = 1 << 10,
};
/* IAPC_BOOT_ARCH (table 5.11). */
enum { BOOT_LEGACY_DEVICES = 1 << 0, BOOT_8042 = 1 << 1, BOOT_NO_VGA = 1 << 2 };

struct acpi {
    struct aml out; /* all tables, one after the other */
    u64 base;
};

/* Starts a table at the next multiple of ALIGN; its offset. */
static size_t table_begin(struct acpi *a, const char *signature, u8 revision, size_t align)
{
    static const char ids[] = "TRINE TRINEPC \1\0\0\0TRIN\1\0\0";
    while (a->out.len % align && !a->out.overflow)
        aml_byte(&a->out, 0);
    size_t at = a->out.len;
    aml_bytes(&a->out, signature, 4);
    aml_bytes(&a->out, (u8[4]){0}, 4);
    aml_byte(&a->out, revision);
    aml_byte(&a->out, 0);
    aml_bytes(&a->out, ids, HEADER - 10);
    return at;
}

/* Ends the table: length and checksum; its gpa. */
static u64 table_end(struct acpi *a, size_t at)
{
    if (a->out.overflow)
        return 0;
    u8 *t = a->out.buf + at;
    size_t n = a->out.len - at;
    st32(t + 4, (u32)n);
    t[9] = 0;
    t[9] = bytes_checksum(t, n);
    return a->base + at;
}

struct isa_device {
    const char *name, *hid;
    u16 port[2];
    u8 len[2];
    u8 irq;
    bool uid;
};

static void dsdt_isa(struct aml *a, const struct isa_device *d)
{
    size_t dev = aml_device(a, d->name);
    aml_name(a, "_HID");
    aml_eisaid(a, d->hid);
    if (d->uid) {
        aml_name(a, "_UID");
        aml_int(a, 1);
    }
    struct aml_crs crs = aml_crs(a);
    for (unsigned i = 0; i < 2 && d->len[i]; i++)
        aml_crs_io(a, d->port[i], d->len[i]);
    aml_crs_irq(a, d->irq);
    aml_crs_end(a, crs);
    aml_end(a, dev);
}

static void dsdt_hpet(struct aml *a)
{
    size_t dev = aml_device(a, "HPET");
    aml_name(a, "_HID");
    aml_eisaid(a, "PNP0103");
    struct aml_crs crs = aml_crs(a);
    aml_crs_memory(a, PC_HPET, HPET_LEN, false);
    aml_crs_end(a, crs);
    aml_end(a, dev);
}

static void dsdt_processor(struct aml *a, u32 index)
{
    char name[8];
    snprintf(name, sizeof name, "C%03X", index & 0xfff);
    size_t dev = aml_device(a, name);
    aml_name(a, "_HID");
    aml_string(a, "ACPI0007");
    aml_name(a, "_UID");
    aml_int(a, index);
    aml_end(a, dev);
}

static u64 build_dsdt(struct acpi *a, const struct platform *p, u64 memory_base)
{
    static const struct isa_device devices[] = {
        {"PS2K", "PNP0303", {PC_PORT_KBD_DATA, PC_PORT_KBD_CMD}, {1, 1}, PC_IRQ_KBD, false},
        {"RTC_", "PNP0B00", {PC_PORT_RTC, 0}, {2, 0}, PC_IRQ_RTC, false},
        {"COM1", "PNP0501", {PC_PORT_COM1, 0}, {8, 0}, PC_IRQ_COM1, true},
    };
    size_t at = table_begin(a, "DSDT", 2, 16);
    aml_name(&a->out, "\\_S5_");
    size_t s5 = aml_package(&a->out, 4);
    aml_int(&a->out, PC_SLP_TYP_S5);
    for (unsigned i = 1; i < 4; i++)
        aml_int(&a->out, 0);
    aml_end(&a->out, s5);
    size_t sb = aml_scope(&a->out, "\\_SB_");
    struct acpi_pci pci = {0};
    if (p->pci) {
        acpi_pci_links(&a->out);
        pci = acpi_pci_begin(&a->out, memory_base);
    }
    for (size_t i = 0; i < ARRAY_LEN(devices); i++)
        dsdt_isa(&a->out, &devices[i]);
    if (p->pci)
        acpi_pci_end(&a->out, pci);
    if (p->pci)
        dsdt_hpet(&a->out);
    for (unsigned i = 0; i < p->virtio_mmio; i++)
        acpi_virtio_mmio(&a->out, i);
    for (u32 i = 0; i < p->cpus; i++)
        dsdt_processor(&a->out, i);
    aml_end(&a->out, sb);
    return table_end(a, at);
}

/* No header of the common kind, and no checksum (5.2.10). */
static u64 build_facs(struct acpi *a)
{
    u8 facs[64] = {0};
    while (a->out.len % sizeof facs && !a->out.overflow)
        aml_byte(&a->out, 0);
    u64 gpa = a->base + a->out.len;
    memcpy(facs, "FACS", 4);
    st32(facs + 4, sizeof facs);
    facs[32] = 1; /* version */
    aml_bytes(&a->out, facs, sizeof facs);
    return gpa;
}

/* A block of I/O ports in both of FADT's forms: 32-bit port at OLD, length at LEN_AT, generic address at X.
 */
static void fadt_block(u8 *t, unsigned old, unsigned len_at, unsigned x, u16 port, u8 len)
{
    st32(t + old, port);
    t[len_at] = len;
    t[x] = 1; /* system I/O */
    t[x + 1] = (u8)(len * 8);
    st64(t + x + 4, port);
}

static u64 build_fadt(struct acpi *a, const struct platform *p, u64 facs, u64 dsdt)
{
    u8 t[244] = {0};
    u16 pm = p->pm_ports ? p->pm_ports : PC_PORT_PM;
    size_t at = table_begin(a, "FACP", 3, 16);
    st32(t + 36, (u32)facs);
    st32(t + 40, (u32)dsdt);
    st16(t + 46, PC_IRQ_SCI);
    st32(t + 48, PC_PORT_SMI_CMD);
    t[52] = PC_ACPI_ENABLE;
    t[53] = PC_ACPI_DISABLE;
    fadt_block(t, 56, 88, 148, pm, 4);
    fadt_block(t, 64, 89, 172, (u16)(pm + 4), 2);
    fadt_block(t, 76, 91, 208, (u16)(pm + 8), 4);
    fadt_block(t, 80, 92, 220, PC_PORT_GPE0, 4);
    st16(t + 96, 0xfff); /* no C2, no C3 */
    st16(t + 98, 0xfff);
    t[108] = PC_CMOS_CENTURY;
    st16(t + 109, (u16)(BOOT_LEGACY_DEVICES | BOOT_8042 | (p->vga ? 0 : BOOT_NO_VGA)));
    st32(t + 112, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_RESET_REG);
    t[116] = 1; /* reset register: system I/O, one byte */
    t[117] = 8;
    t[119] = 1;
    st64(t + 120, PC_PORT_RESET);
    t[128] = PC_RESET_VALUE;
    /* X_FIRMWARE_CTRL stays 0: one of the two names the FACS. */
    st64(t + 140, dsdt);
    aml_bytes(&a->out, t + HEADER, sizeof t - HEADER);
    return table_end(a, at);
}

/* The PIT's IRQ 0 comes in on pin 2, and the SCI and the PIRQs' interrupts are level-triggered, active high; NMI is LINT1 of every LAPIC
 * (5.2.12). */
static u64 build_madt(struct acpi *a, const struct platform *p)
{
    enum { PCAT_COMPAT = 1, ENABLED = 1, ALL = 0xff, LEVEL_HIGH = 0x0d };
    size_t at = table_begin(a, "APIC", 1, 16);
    u8 head[8] = {0}, io[12] = {1, sizeof io}, pit[10] = {2, sizeof pit, 0, PC_IRQ_PIT};
    static const u8 level[] = {PC_IRQ_SCI, 5, PC_IRQ_PIRQ_AB, PC_IRQ_PIRQ_CD};
    st32(head, PC_LAPIC_BASE);
    st32(head + 4, PCAT_COMPAT);
    aml_bytes(&a->out, head, sizeof head);
    for (u32 i = 0; i < p->cpus; i++)
        aml_bytes(&a->out, (u8[8]){0, 8, (u8)i, (u8)i, ENABLED}, 8);
    st32(io + 4, PC_IOAPIC_BASE);
    aml_bytes(&a->out, io, sizeof io);
    st32(pit + 4, PC_GSI_PIT);
    aml_bytes(&a->out, pit, sizeof pit);
    for (size_t i = 0; i < (p->pci ? ARRAY_LEN(level) : 1); i++)
        aml_bytes(&a->out, (u8[10]){2, 10, 0, level[i], level[i], 0, 0, 0, LEVEL_HIGH}, 10);
    aml_bytes(&a->out, (u8[6]){4, 6, ALL, 0, 0, 1}, 6);
    return table_end(a, at);
}

/* IA-PC HPET specification, 3.2.4. */
static u64 build_hpet(struct acpi *a)
{
    u8 t[20] = {0};
    size_t at = table_begin(a, "HPET", 1, 16);
    st32(t, hpet_id());
    t[5] = 64; /* registers in memory, 64 bits wide */
    st64(t + 8, PC_HPET);
    st16(t + 17, 128); /* the least ticks from one interrupt to the next that are worth asking for */
    aml_bytes(&a->out, t, sizeof t);
    return table_end(a, at);
}

/* RSDT and XSDT differ in the width of their pointers. */
static u64 build_root(struct acpi *a, const char *signature, unsigned width, const u64 *tables, size_t n)
{
    size_t at = table_begin(a, signature, 1, 16);
    for (size_t i = 0; i < n; i++) {
        u8 p[8];
        st64(p, tables[i]);
        aml_bytes(&a->out, p, width);
    }
    return table_end(a, at);
}

size_t acpi_build(u8 *buf, size_t cap, u64 base, const struct platform *p, u64 memory_base,
                  u8 rsdp[ACPI_RSDP_SIZE])
{
    struct acpi a = {.out = {.buf = buf, .cap = cap}, .base = base};
    u64 facs = build_facs(&a);
    u64 dsdt = build_dsdt(&a, p, memory_base);
    u64 tables[3] = {build_fadt(&a, p, facs, dsdt), build_madt(&a, p), p->pci ? build_hpet(&a) : 0};
    size_t n = p->pci ? 3 : 2;
    u64 rsdt = build_root(&a, "RSDT", 4, tables, n);
    u64 xsdt = build_root(&a, "XSDT", 8, tables, n);
    memset(rsdp, 0, ACPI_RSDP_SIZE);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "TRINE ", 6);
    rsdp[15] = 2;
    st32(rsdp + 16, (u32)rsdt);
    st32(rsdp + 20, ACPI_RSDP_SIZE);
    st64(rsdp + 24, xsdt);
    rsdp[8] = bytes_checksum(rsdp, 20);
    rsdp[32] = bytes_checksum(rsdp, ACPI_RSDP_SIZE);
    return a.out.overflow ? 0 : a.out.len;
}
