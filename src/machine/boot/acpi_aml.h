/* Writing AML, ACPI's byte code (ACPI 6.5, chapter 20): the few terms that the DSDT needs. A full buffer sets
 * `overflow` and drops the rest. */
#ifndef MACHINE_BOOT_ACPI_AML_H
#define MACHINE_BOOT_ACPI_AML_H

#include "base/types.h"

/* Opcodes that stand before operands written by the caller (table 20.4). */
enum { AML_STORE = 0x70, AML_AND = 0x7b, AML_OR = 0x7d, AML_DWORD_FIELD = 0x8a, AML_IF = 0xa0, AML_RETURN = 0xa4 };

struct aml {
    u8 *buf;
    size_t len, cap;
    bool overflow;
};

void aml_bytes(struct aml *a, const void *p, size_t n);
void aml_byte(struct aml *a, u8 v);
/* Integer constant in its shortest form. */
void aml_int(struct aml *a, u64 v);
void aml_string(struct aml *a, const char *s);
/* EISAID: "PNP0501" as the integer that _HID takes. */
void aml_eisaid(struct aml *a, const char id[7]);
/* `Name (NAME, ...)`: the object follows. NAME: a NameString as it stands in AML, of whole segments of 4
 * characters, perhaps with a leading backslash. */
void aml_name(struct aml *a, const char *name);

/* Opens Scope (NAME) { or Device (NAME) {; returns the mark that aml_end takes. */
size_t aml_scope(struct aml *a, const char *name);
size_t aml_device(struct aml *a, const char *name);
/* Package of COUNT elements, which follow. */
size_t aml_package(struct aml *a, u8 count);
/* Method (NAME, ARGS, Serialized) {. */
size_t aml_method(struct aml *a, const char *name, u8 args);
/* Any other term that has a package length: written after its opcode. */
size_t aml_begin(struct aml *a);
void aml_end(struct aml *a, size_t mark);
/* A name of two or more segments of 4 characters, written without dots; perhaps with a leading backslash. */
void aml_path(struct aml *a, const char *path);

/* `Name (_CRS, ResourceTemplate () {`: resources follow, then aml_crs_end. */
struct aml_crs {
    size_t mark, size_at, start;
};
struct aml_crs aml_crs(struct aml *a);
/* The same under another NAME. */
struct aml_crs aml_template(struct aml *a, const char *name);
void aml_crs_io(struct aml *a, u16 port, u8 len);
void aml_crs_memory(struct aml *a, u32 base, u32 len, bool writable);
void aml_crs_irq(struct aml *a, unsigned irq);
void aml_crs_end(struct aml *a, struct aml_crs crs);

#endif
