/* Encodings of ACPI 6.5, section 20.2. Package lengths always take three bytes, which spares a second pass.
 */
#include "machine/boot/acpi_aml.h"

#include <string.h>

#include "base/le.h"

enum {
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_WORD = 0x0b,
    AML_DWORD = 0x0c,
    AML_STRING = 0x0d,
    AML_QWORD = 0x0e,
    AML_SCOPE = 0x10,
    AML_BUFFER = 0x11,
    AML_PACKAGE = 0x12,
    AML_METHOD = 0x14,
    AML_DUAL_NAME = 0x2e,
    AML_MULTI_NAME = 0x2f,
    AML_EXT = 0x5b,
    AML_EXT_DEVICE = 0x82,
};

#define PKG_LENGTH 3u

void aml_bytes(struct aml *a, const void *p, size_t n)
{
    if (n > a->cap - a->len) {
        a->overflow = true;
        return;
    }
    memcpy(a->buf + a->len, p, n);
    a->len += n;
}

void aml_byte(struct aml *a, u8 v)
{
    aml_bytes(a, &v, 1);
}

void aml_int(struct aml *a, u64 v)
{
    u8 b[9];
    if (v <= 1) { /* ZeroOp, OneOp */
        aml_byte(a, (u8)v);
        return;
    }
    unsigned size = v <= 0xff ? 1 : v <= 0xffff ? 2 : v <= 0xffffffff ? 4 : 8;
    b[0] = size == 1 ? AML_BYTE : size == 2 ? AML_WORD : size == 4 ? AML_DWORD : AML_QWORD;
    st_n(b + 1, v, size);
    aml_bytes(a, b, 1 + size);
}

void aml_string(struct aml *a, const char *s)
{
    aml_byte(a, AML_STRING);
    aml_bytes(a, s, strlen(s) + 1);
}

static u32 hex_digit(char c)
{
    return (u32)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* ACPI 6.5, 19.3.4: three letters of five bits, then four hexadecimal digits, as a big-endian number. */
void aml_eisaid(struct aml *a, const char id[7])
{
    u32 v = (u32)(id[0] - '@') << 26 | (u32)(id[1] - '@') << 21 | (u32)(id[2] - '@') << 16 |
            hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 | hex_digit(id[6]);
    aml_int(a, __builtin_bswap32(v));
}

void aml_name(struct aml *a, const char *name)
{
    aml_byte(a, AML_NAME);
    aml_bytes(a, name, strlen(name));
}

size_t aml_begin(struct aml *a)
{
    size_t mark = a->len;
    aml_bytes(a, (u8[PKG_LENGTH]){0}, PKG_LENGTH);
    return mark;
}

size_t aml_scope(struct aml *a, const char *name)
{
    aml_byte(a, AML_SCOPE);
    size_t mark = aml_begin(a);
    aml_bytes(a, name, strlen(name));
    return mark;
}

size_t aml_device(struct aml *a, const char *name)
{
    aml_byte(a, AML_EXT);
    aml_byte(a, AML_EXT_DEVICE);
    size_t mark = aml_begin(a);
    aml_bytes(a, name, strlen(name));
    return mark;
}

size_t aml_method(struct aml *a, const char *name, u8 args)
{
    enum { SERIALIZED = 0x08 };
    aml_byte(a, AML_METHOD);
    size_t mark = aml_begin(a);
    aml_bytes(a, name, strlen(name));
    aml_byte(a, args | SERIALIZED);
    return mark;
}

void aml_path(struct aml *a, const char *path)
{
    if (*path == '\\')
        aml_byte(a, (u8)*path++);
    size_t segments = strlen(path) / 4;
    aml_byte(a, segments == 2 ? AML_DUAL_NAME : AML_MULTI_NAME);
    if (segments != 2)
        aml_byte(a, (u8)segments);
    aml_bytes(a, path, 4 * segments);
}

size_t aml_package(struct aml *a, u8 count)
{
    aml_byte(a, AML_PACKAGE);
    size_t mark = aml_begin(a);
    aml_byte(a, count);
    return mark;
}

/* PkgLength counts itself: bits 3..0 in the lead byte, whose bits 7..6 tell how many bytes follow (20.2.4).
 */
void aml_end(struct aml *a, size_t mark)
{
    size_t n = a->len - mark;
    if (a->overflow)
        return;
    if (n >= 1u << 20) {
        a->overflow = true;
        return;
    }
    a->buf[mark] = (u8)(0x80 | (n & 0xf));
    a->buf[mark + 1] = (u8)(n >> 4);
    a->buf[mark + 2] = (u8)(n >> 12);
}

struct aml_crs aml_crs(struct aml *a)
{
    return aml_template(a, "_CRS");
}

struct aml_crs aml_template(struct aml *a, const char *name)
{
    struct aml_crs crs;
    aml_name(a, name);
    aml_byte(a, AML_BUFFER);
    crs.mark = aml_begin(a);
    aml_byte(a, AML_WORD);
    crs.size_at = a->len;
    aml_bytes(a, (u8[2]){0}, 2);
    crs.start = a->len;
    return crs;
}

/* I/O port descriptor (6.4.2.5): 16-bit decode, fixed base, no alignment. */
void aml_crs_io(struct aml *a, u16 port, u8 len)
{
    u8 d[8] = {0x47, 1, 0, 0, 0, 0, 1, len};
    st16(d + 2, port);
    st16(d + 4, port);
    aml_bytes(a, d, sizeof d);
}

void aml_crs_memory(struct aml *a, u32 base, u32 len, bool writable)
{
    u8 memory[12] = {0x86, 9, 0, writable}; /* 32-bit fixed memory (6.4.3.4) */
    st32(memory + 4, base);
    st32(memory + 8, len);
    aml_bytes(a, memory, sizeof memory);
}

/* IRQ descriptor without flags: edge, active high (6.4.2.1). */
void aml_crs_irq(struct aml *a, unsigned irq)
{
    u8 d[3] = {0x22};
    st16(d + 1, (u16)(1u << irq));
    aml_bytes(a, d, sizeof d);
}

void aml_crs_end(struct aml *a, struct aml_crs crs)
{
    aml_bytes(a, (u8[2]){0x79, 0}, 2); /* end tag; checksum 0: none */
    if (!a->overflow)
        st16(a->buf + crs.size_at, (u16)(a->len - crs.start));
    aml_end(a, crs.mark);
}
