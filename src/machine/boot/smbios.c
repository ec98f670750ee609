/* System Management BIOS (DMTF DSP0134, 2.8, chapter 7): firmware, system, enclosure, one processor per vCPU, the memory
 * as one device, and the end. What a guest reads by dmidecode. */
#include "machine/boot/smbios.h"

#include <stdio.h>
#include <string.h>

#include "base/le.h"

struct smbios {
    u8 *out;
    size_t len;
    u16 count, largest, handle;
};

/* One structure: LEN formatted bytes from offset 4 on, which BODY has, and its strings, each with its NUL; *TEXT of
 * nothing: none. */
static void structure(struct smbios *t, u8 type, u16 handle, const u8 *body, u8 len, const char *text, size_t text_len)
{
    size_t n = 4u + len + (text_len ? text_len + 1 : 2);
    if (t->len + n > SMBIOS_MAX)
        return;
    u8 *p = t->out + t->len;
    memset(p, 0, n);
    p[0] = type;
    p[1] = (u8)(4 + len);
    st16(p + 2, handle);
    if (len)
        memcpy(p + 4, body, len);
    if (text_len)
        memcpy(p + 4 + len, text, text_len);
    t->len += n;
    t->count++;
    if (n > t->largest)
        t->largest = (u16)n;
}

#define TEXT(s) (s), sizeof(s)

static void processor(struct smbios *t, u32 n)
{
    enum { CENTRAL = 3, FAMILY_UNKNOWN = 2, ENABLED = 0x41, UPGRADE_OTHER = 1 };
    char text[32];
    u8 b[38] = {1, CENTRAL, FAMILY_UNKNOWN, 2};
    int len = snprintf(text, sizeof text, "CPU %u%cTrine", n, 0);
    b[20] = ENABLED;
    b[21] = UPGRADE_OTHER;
    st16(b + 22, 0xffff); /* no cache structures */
    st16(b + 24, 0xffff);
    st16(b + 26, 0xffff);
    b[31] = b[32] = b[33] = 1; /* cores, enabled ones, threads */
    structure(t, 4, (u16)(0x400 + n), b, sizeof b, text, (size_t)len + 1);
}

static void memory(struct smbios *t, u64 bytes)
{
    enum { ON_BOARD = 3, SYSTEM_MEMORY = 3, NO_ECC = 3, DIMM = 9, RAM = 7, EXTENDED = 0x7fff };
    u64 mib = bytes >> 20, kib = bytes >> 10;
    u8 array[19] = {ON_BOARD, SYSTEM_MEMORY, NO_ECC}, device[36] = {0}, mapped[27] = {0};
    st32(array + 3, kib < 0x80000000u ? (u32)kib : 0x80000000u);
    st16(array + 7, 0xfffe); /* no error information */
    st16(array + 9, 1);
    st64(array + 11, kib < 0x80000000u ? 0 : bytes);
    structure(t, 16, 0x1000, array, sizeof array, NULL, 0);
    st16(device, 0x1000);
    st16(device + 2, 0xfffe);
    st16(device + 4, 64);
    st16(device + 6, 64);
    st16(device + 8, mib < EXTENDED ? (u16)mib : EXTENDED);
    device[10] = DIMM;
    device[12] = 1;
    device[14] = RAM;
    st32(device + 24, mib < EXTENDED ? 0 : (u32)mib);
    structure(t, 17, 0x1100, device, sizeof device, TEXT("DIMM 0"));
    st32(mapped, kib < 0xffffffffu ? 0 : 0xffffffffu);
    st32(mapped + 4, kib < 0xffffffffu ? (u32)kib - 1 : 0xffffffffu);
    st16(mapped + 8, 0x1000);
    mapped[10] = 1;
    st64(mapped + 19, kib < 0xffffffffu ? 0 : bytes - 1);
    structure(t, 19, 0x1300, mapped, sizeof mapped, NULL, 0);
}

size_t smbios_build(u8 tables[SMBIOS_MAX], u8 anchor[SMBIOS_ANCHOR], u32 cpus, u64 bytes)
{
    struct smbios t = {.out = tables};
    u8 bios[20] = {1, 2}, system[23] = {1, 2, 3}, enclosure[18] = {1, 1 /* other */};
    st16(bios + 2, 0xe800);
    bios[4] = 3;
    bios[6] = 0x08;         /* characteristics: not told */
    bios[15] = 0x10;        /* a virtual machine */
    bios[16] = bios[17] = bios[18] = bios[19] = 0xff;
    structure(&t, 0, 0, bios, sizeof bios, TEXT("Trine\0" "0.1\0" "01/01/2000"));
    system[20] = 6; /* wake-up: power switch */
    structure(&t, 1, 0x100, system, sizeof system, TEXT("Trine\0" "PC (i440FX + PIIX)\0" "1"));
    enclosure[5] = enclosure[6] = enclosure[7] = 3; /* safe */
    enclosure[8] = 2;                               /* security: unknown */
    structure(&t, 3, 0x300, enclosure, sizeof enclosure, TEXT("Trine"));
    for (u32 n = 0; n < cpus; n++)
        processor(&t, n);
    memory(&t, bytes);
    structure(&t, 32, 0x2000, (const u8[7]){0}, 7, NULL, 0);
    structure(&t, 127, 0x7f00, NULL, 0, NULL, 0);

    memset(anchor, 0, SMBIOS_ANCHOR);
    memcpy(anchor, "_SM_", 4);
    anchor[5] = SMBIOS_ANCHOR;
    anchor[6] = 2;
    anchor[7] = 8;
    st16(anchor + 8, t.largest);
    memcpy(anchor + 16, "_DMI_", 5);
    st16(anchor + 22, (u16)t.len);
    st16(anchor + 28, t.count);
    anchor[30] = 0x28;
    return t.len;
}
