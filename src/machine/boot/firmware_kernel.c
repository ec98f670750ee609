/* A kernel that firmware starts: a Linux bzImage as it is in its file, in QEMU's fw_cfg items (QEMU docs/specs/fw_cfg), with initrd and command line.
 * OVMF reads them by itself and enters the EFI stub. SeaBIOS runs option ROMs that it finds in fw_cfg as "genroms/...": ours has a bootstrap
 * entry (Plug and Play BIOS specification 1.0A, 3.2), which is the first in the boot order. In real mode it fetches setup code, kernel, command line and
 * initrd by fw_cfg's DMA, fills in what a boot loader must (Linux, Documentation/arch/x86/boot.rst, "details of header fields"), and
 * enters the setup code. */
#include "machine/boot/firmware_kernel.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "host/file.h"
#include "machine/boot/bzimage.h"

/* The segment 0x1000: setup code, its heap and stack up to 0xe000, the command line there, a number at 0xf000, the DMA request at 0xf010. */
#define SETUP_MAX   0xd000u
#define CMDLINE_MAX 0x1000u
#define KERNEL_AT   MIB(1)
/* What firmware keeps at the end of low RAM: SeaBIOS its tables. */
#define FIRMWARE_TOP MIB(1)

static const u8 rom_code[] = {
    0xfa,                                                    /* 00 cli */
    0xfc,                                                    /* 01 cld */
    0xb8, 0x00, 0x10,                                        /* 02 mov $0x1000, %ax */
    0x8e, 0xd8,                                              /* 05 mov %ax, %ds */
    0x8e, 0xc0,                                              /* 07 mov %ax, %es */
    0x8e, 0xe0,                                              /* 09 mov %ax, %fs */
    0x8e, 0xe8,                                              /* 0b mov %ax, %gs */
    0x8e, 0xd0,                                              /* 0d mov %ax, %ss */
    0x66, 0xbc, 0x00, 0xe0, 0x00, 0x00,                      /* 0f mov $0xe000, %esp */
    0x66, 0xbf, 0x00, 0x00, 0x01, 0x00,                      /* 15 mov $0x10000, %edi */
    0xb9, 0x17, 0x18,                                        /* 1b mov $0x1817, %cx */
    0xe8, 0x4e, 0x00,                                        /* 1e call 6f <whole> */
    0x66, 0xbf, 0x00, 0x00, 0x10, 0x00,                      /* 21 mov $0x100000, %edi */
    0xb9, 0x08, 0x11,                                        /* 27 mov $0x1108, %cx */
    0xe8, 0x42, 0x00,                                        /* 2a call 6f <whole> */
    0x66, 0xbf, 0x00, 0xe0, 0x01, 0x00,                      /* 2d mov $0x1e000, %edi */
    0xb9, 0x14, 0x15,                                        /* 33 mov $0x1514, %cx */
    0xe8, 0x36, 0x00,                                        /* 36 call 6f <whole> */
    0xb1, 0x0a,                                              /* 39 mov $0xa, %cl */
    0xe8, 0x86, 0x00,                                        /* 3b call c4 <number> */
    0x66, 0x89, 0xc7,                                        /* 3e mov %eax, %edi */
    0xb9, 0x0b, 0x12,                                        /* 41 mov $0x120b, %cx */
    0xe8, 0x28, 0x00,                                        /* 44 call 6f <whole> */
    0x66, 0x89, 0x3e, 0x18, 0x02,                            /* 47 mov %edi, 0x218 */
    0x66, 0x89, 0x36, 0x1c, 0x02,                            /* 4c mov %esi, 0x21c */
    0xc6, 0x06, 0x10, 0x02, 0xff,                            /* 51 movb $0xff, 0x210 */
    0x80, 0x0e, 0x11, 0x02, 0x80,                            /* 56 orb $0x80, 0x211 */
    0xc7, 0x06, 0x24, 0x02, 0x00, 0xde,                      /* 5b movw $0xde00, 0x224 */
    0x66, 0xc7, 0x06, 0x28, 0x02, 0x00, 0xe0, 0x01, 0x00,    /* 61 movl $0x1e000, 0x228 */
    0xea, 0x00, 0x00, 0x20, 0x10,                            /* 6a ljmp $0x1020, $0x0 */
    /* whole: key CL has the size, key CH the bytes; EDI: where to; ESI: how many */
    0xe8, 0x52, 0x00,                                        /* 6f call c4 <number> */
    0x66, 0x89, 0xc6,                                        /* 72 mov %eax, %esi */
    0x88, 0xe9,                                              /* 75 mov %ch, %cl */
    /* fetch: ESI bytes of key CL to EDI */
    0x66, 0x0f, 0xb6, 0xc1,                                  /* 77 movzbl %cl, %eax */
    0x66, 0xc1, 0xe0, 0x10,                                  /* 7b shl $0x10, %eax */
    0xb0, 0x0a,                                              /* 7f mov $0xa, %al */
    0x66, 0x0f, 0xc8,                                        /* 81 bswap %eax */
    0x66, 0xa3, 0x10, 0xf0,                                  /* 84 mov %eax, 0xf010 */
    0x66, 0x89, 0xf0,                                        /* 88 mov %esi, %eax */
    0x66, 0x0f, 0xc8,                                        /* 8b bswap %eax */
    0x66, 0xa3, 0x14, 0xf0,                                  /* 8e mov %eax, 0xf014 */
    0x66, 0x31, 0xc0,                                        /* 92 xor %eax, %eax */
    0x66, 0xa3, 0x18, 0xf0,                                  /* 95 mov %eax, 0xf018 */
    0x66, 0x89, 0xf8,                                        /* 99 mov %edi, %eax */
    0x66, 0x0f, 0xc8,                                        /* 9c bswap %eax */
    0x66, 0xa3, 0x1c, 0xf0,                                  /* 9f mov %eax, 0xf01c */
    0x66, 0xb8, 0x10, 0xf0, 0x01, 0x00,                      /* a3 mov $0x1f010, %eax */
    0x66, 0x0f, 0xc8,                                        /* a9 bswap %eax */
    0xba, 0x18, 0x05,                                        /* ac mov $0x518, %dx */
    0x66, 0xef,                                              /* af out %eax, (%dx) */
    /* wait */
    0x66, 0xa1, 0x10, 0xf0,                                  /* b1 mov 0xf010, %eax */
    0x66, 0x0f, 0xc8,                                        /* b5 bswap %eax */
    0xa8, 0x01,                                              /* b8 test $0x1, %al */
    0x75, 0x06,                                              /* ba jne c2 <fail> */
    0x66, 0x85, 0xc0,                                        /* bc test %eax, %eax */
    0x75, 0xf0,                                              /* bf jne b1 <wait> */
    0xc3,                                                    /* c1 ret */
    /* fail: the next boot device */
    0xcd, 0x18,                                              /* c2 int $0x18 */
    /* number: EAX = key CL */
    0x66, 0x56,                                              /* c4 push %esi */
    0x66, 0x57,                                              /* c6 push %edi */
    0x66, 0xbe, 0x04, 0x00, 0x00, 0x00,                      /* c8 mov $0x4, %esi */
    0x66, 0xbf, 0x00, 0xf0, 0x01, 0x00,                      /* ce mov $0x1f000, %edi */
    0xe8, 0xa0, 0xff,                                        /* d4 call 77 <fetch> */
    0x66, 0x5f,                                              /* d7 pop %edi */
    0x66, 0x5e,                                              /* d9 pop %esi */
    0x66, 0xa1, 0x00, 0xf0,                                  /* db mov 0xf000, %eax */
    0xc3,                                                    /* df ret */
};

/* Offsets in the ROM (Plug and Play BIOS specification, 3.2: the expansion header). */
enum { ROM_PNP_POINTER = 0x1a, ROM_PNP = 0x20, ROM_NAME = 0x40, ROM_CODE = 0x50, PNP_CHECKSUM = 9, PNP_NAME = 0x10, PNP_ENTRY = 0x1a, PNP_LEN = 0x20 };

static void build_rom(u8 rom[FIRMWARE_ROM])
{
    _Static_assert(ROM_CODE + sizeof rom_code < FIRMWARE_ROM, "the ROM's last byte is its checksum");
    memset(rom, 0, FIRMWARE_ROM);
    st16(rom, 0xaa55);
    rom[2] = FIRMWARE_ROM / 512;
    rom[3] = 0xcb; /* initialization: lret */
    st16(rom + ROM_PNP_POINTER, ROM_PNP);
    memcpy(rom + ROM_PNP, "$PnP\1\2", 6);
    st16(rom + ROM_PNP + PNP_NAME, ROM_NAME);
    st16(rom + ROM_PNP + PNP_ENTRY, ROM_CODE);
    rom[ROM_PNP + PNP_CHECKSUM] = bytes_checksum(rom + ROM_PNP, PNP_LEN);
    memcpy(rom + ROM_NAME, "Linux kernel", 13);
    memcpy(rom + ROM_CODE, rom_code, sizeof rom_code);
    rom[FIRMWARE_ROM - 1] = bytes_checksum(rom, FIRMWARE_ROM);
}

static enum status read_whole(u8 **data, u32 *len, const char *name, const struct mem *m, struct error *e)
{
    struct file f;
    if (file_open(&f, name, m->low_size, e) != STATUS_OK)
        return e->status;
    enum status s = STATUS_OK;
    if (f.size > m->low_size)
        s = error_set(e, STATUS_HOST, "%s: no room for its %llu bytes in the guest's memory", name, (unsigned long long)f.size);
    else if (!(*data = malloc(f.size)))
        s = error_set(e, STATUS_HOST, "%s: out of memory", name);
    else
        s = file_read(&f, 0, *data, f.size, e);
    *len = (u32)f.size;
    file_close(&f);
    return s;
}

/* The setup code's length; 0: not a kernel that is started this way. */
static u32 setup_length(const struct firmware_kernel *k)
{
    if (k->kernel_len < HDR_END || ld16(k->kernel + HDR_BOOT_FLAG) != BOOT_FLAG || memcmp(k->kernel + HDR_MAGIC, "HdrS", 4) ||
        ld16(k->kernel + HDR_VERSION) < 0x20c || !(k->kernel[HDR_LOADFLAGS] & LOADED_HIGH))
        return 0;
    u32 sects = k->kernel[HDR_SETUP_SECTS] ? k->kernel[HDR_SETUP_SECTS] : 4, len = (sects + 1) * 512;
    return len < k->kernel_len && len <= SETUP_MAX ? len : 0;
}

/* Where the initrd goes: as high as the kernel and firmware let it, behind what the kernel needs until it has read the memory map. */
static enum status place_initrd(struct firmware_kernel *k, const struct mem *m, const struct boot_config *cfg, struct error *e)
{
    u64 need = ld64(k->kernel + HDR_PREF_ADDRESS), init = ld32(k->kernel + HDR_INIT_SIZE), end = (u64)ld32(k->kernel + HDR_INITRD_MAX) + 1;
    if (need > UINT32_MAX)
        need = UINT32_MAX;
    need += init > k->kernel_len ? init : k->kernel_len;
    u64 top = m->low_size > FIRMWARE_TOP ? m->low_size - FIRMWARE_TOP : 0;
    if (end > top)
        end = top;
    if (need > end)
        return error_set(e, STATUS_HOST, "%s: does not fit into the guest's memory beside firmware", cfg->kernel);
    if (k->initrd_len > end - need)
        return error_set(e, STATUS_HOST, "%s: no room for its %u bytes in the guest's memory", cfg->initrd, k->initrd_len);
    k->initrd_at = (u32)((end - k->initrd_len) & ~(u64)(PAGE_SIZE - 1));
    return STATUS_OK;
}

static bool add_items(const struct firmware_kernel *k, struct fw_cfg *c, const char *text, u32 setup)
{
    return fw_cfg_add_number(c, FW_CFG_KERNEL_ADDR, KERNEL_AT, 4) && fw_cfg_add_number(c, FW_CFG_KERNEL_SIZE, k->kernel_len - setup, 4) &&
           fw_cfg_add(c, FW_CFG_KERNEL_DATA, k->kernel + setup, k->kernel_len - setup) && fw_cfg_add_number(c, FW_CFG_SETUP_SIZE, setup, 4) &&
           fw_cfg_add(c, FW_CFG_SETUP_DATA, k->kernel, setup) && fw_cfg_add_number(c, FW_CFG_CMDLINE_SIZE, strlen(text) + 1, 4) &&
           fw_cfg_add(c, FW_CFG_CMDLINE_DATA, text, (u32)strlen(text) + 1) && fw_cfg_add_number(c, FW_CFG_INITRD_ADDR, k->initrd_at, 4) &&
           fw_cfg_add_number(c, FW_CFG_INITRD_SIZE, k->initrd_len, 4) && fw_cfg_add(c, FW_CFG_INITRD_DATA, k->initrd, k->initrd_len) &&
           fw_cfg_add_file(c, FIRMWARE_ROM_FILE, k->rom, sizeof k->rom);
}

enum status firmware_kernel_load(struct firmware_kernel *k, const struct mem *m, struct fw_cfg *c, const struct boot_config *cfg, struct error *e)
{
    const char *text = cfg->append ? cfg->append : "";
    if (read_whole(&k->kernel, &k->kernel_len, cfg->kernel, m, e) != STATUS_OK ||
        (cfg->initrd && read_whole(&k->initrd, &k->initrd_len, cfg->initrd, m, e) != STATUS_OK))
        return e->status;
    u32 setup = setup_length(k);
    if (!setup)
        return error_set(e, STATUS_HOST, "%s: not a Linux bzImage, which is all that firmware starts", cfg->kernel);
    u32 max = ld32(k->kernel + HDR_CMDLINE_SIZE) < CMDLINE_MAX - 1 ? ld32(k->kernel + HDR_CMDLINE_SIZE) : CMDLINE_MAX - 1;
    if (strlen(text) > max)
        return error_set(e, STATUS_HOST, "--append: has %zu bytes, %s takes at most %u", strlen(text), cfg->kernel, max);
    if (place_initrd(k, m, cfg, e) != STATUS_OK)
        return e->status;
    build_rom(k->rom);
    return add_items(k, c, text, setup) ? STATUS_OK : error_set(e, STATUS_HOST, "firmware: fw_cfg has no room for %s", cfg->kernel);
}

void firmware_kernel_destroy(struct firmware_kernel *k)
{
    free(k->kernel);
    free(k->initrd);
    k->kernel = k->initrd = NULL;
}
