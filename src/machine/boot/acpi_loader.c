/* The table loader's script (as QEMU's firmware interface has it; SeaBIOS romfile_loader, edk2 QemuLoader.h), which SeaBIOS and
 * OVMF execute: ALLOCATE, ADD_POINTER, ADD_CHECKSUM, 128 bytes each, little-endian. */
#include "machine/boot/acpi_loader.h"

#include <string.h>

#include "base/bits.h"
#include "base/le.h"

enum { COMMAND_ALLOCATE = 1, COMMAND_ADD_POINTER = 2, COMMAND_ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };
enum { FILE_NAME = 56, HEADER = 36, HEADER_LENGTH = 4, HEADER_CHECKSUM = 9 };

struct script {
    u8 *out;
    size_t len;
    u8 overflow[ACPI_LOADER_COMMAND]; /* takes what has no room */
    u8 *tables;
    size_t tables_len;
    bool bad;
};

static u8 *command(struct script *s, u32 kind)
{
    if (s->len + ACPI_LOADER_COMMAND > ACPI_LOADER_MAX) {
        s->bad = true;
        return s->overflow;
    }
    u8 *c = s->out + s->len;
    s->len += ACPI_LOADER_COMMAND;
    memset(c, 0, ACPI_LOADER_COMMAND);
    st32(c, kind);
    return c;
}

static void name(u8 *at, const char *file)
{
    memcpy(at, file, strlen(file));
}

static void allocate(struct script *s, const char *file, u32 align, u8 zone)
{
    u8 *c = command(s, COMMAND_ALLOCATE);
    name(c + 4, file);
    st32(c + 4 + FILE_NAME, align);
    c[4 + FILE_NAME + 4] = zone;
}

/* The SIZE bytes at AT of FILE point into the tables. */
static void pointer(struct script *s, const char *file, size_t at, u8 size)
{
    u8 *c = command(s, COMMAND_ADD_POINTER);
    name(c + 4, file);
    name(c + 4 + FILE_NAME, ACPI_FILE_TABLES);
    st32(c + 4 + 2 * FILE_NAME, (u32)at);
    c[4 + 2 * FILE_NAME + 4] = size;
}

static void checksum(struct script *s, const char *file, size_t at, size_t start, size_t len)
{
    u8 *c = command(s, COMMAND_ADD_CHECKSUM);
    name(c + 4, file);
    st32(c + 4 + FILE_NAME, (u32)at);
    st32(c + 4 + FILE_NAME + 4, (u32)start);
    st32(c + 4 + FILE_NAME + 8, (u32)len);
}

/* The length of the table at AT; 0 when it is not inside. */
static size_t table(struct script *s, u64 at)
{
    size_t len = range_ok(at, HEADER, s->tables_len) ? ld32(s->tables + at + HEADER_LENGTH) : 0;
    if (len < HEADER || !range_ok(at, len, s->tables_len)) {
        s->bad = true;
        return 0;
    }
    return len;
}

static void seal(struct script *s, u64 at)
{
    size_t len = table(s, at);
    if (!len)
        return;
    s->tables[at + HEADER_CHECKSUM] = 0;
    checksum(s, ACPI_FILE_TABLES, at + HEADER_CHECKSUM, at, len);
}

/* RSDT or XSDT at AT: its pointers, of WIDTH bytes. */
static void root(struct script *s, u64 at, u8 width)
{
    size_t len = table(s, at);
    for (size_t i = HEADER; i + width <= len; i += width)
        pointer(s, ACPI_FILE_TABLES, at + i, width);
    seal(s, at);
}

size_t acpi_loader_build(u8 script[ACPI_LOADER_MAX], u8 *tables, size_t len, u8 rsdp[ACPI_RSDP_SIZE])
{
    struct script s = {.out = script, .tables = tables, .tables_len = len};
    u64 rsdt = ld32(rsdp + 16), xsdt = ld64(rsdp + 24);
    allocate(&s, ACPI_FILE_RSDP, 16, ZONE_FSEG);
    allocate(&s, ACPI_FILE_TABLES, 64, ZONE_HIGH);
    for (size_t i = HEADER, end = table(&s, rsdt); i + 4 <= end; i += 4) {
        u64 at = ld32(tables + rsdt + i);
        if (table(&s, at) > 148 && !memcmp(tables + at, "FACP", 4)) { /* FACS, DSDT, X_DSDT */
            pointer(&s, ACPI_FILE_TABLES, at + 36, 4);
            pointer(&s, ACPI_FILE_TABLES, at + 40, 4);
            pointer(&s, ACPI_FILE_TABLES, at + 140, 8);
            seal(&s, ld32(tables + at + 40));
        }
        seal(&s, at);
    }
    root(&s, rsdt, 4);
    root(&s, xsdt, 8);
    pointer(&s, ACPI_FILE_RSDP, 16, 4);
    pointer(&s, ACPI_FILE_RSDP, 24, 8);
    rsdp[8] = rsdp[32] = 0;
    checksum(&s, ACPI_FILE_RSDP, 8, 0, 20);
    checksum(&s, ACPI_FILE_RSDP, 32, 0, ACPI_RSDP_SIZE);
    return s.bad ? 0 : s.len;
}
