/* Linux's bzImage by the 64-bit boot protocol, or by the 32-bit one where the kernel has no 64-bit entry (Linux,
 * Documentation/arch/x86/boot.rst and zero-page.rst); version 2.12 and later. The 16-bit setup code is not run: the
 * setup header is copied out of it into the zero page, and the kernel entered at +0x200 or +0. Not done: setup_data,
 * EFI hand-over, images that are nothing but setup code (iPXE's: they call a BIOS). */
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "machine/boot/bzimage.h"
#include "machine/boot/loader.h"

/* In struct boot_params alone. */
#define BP_ACPI_RSDP    0x070
#define BP_E820_ENTRIES 0x1e8
#define BP_E820_TABLE   0x2d0
#define BP_HDR_MAX      0x290 /* the header must end before what follows it */

#define XLF_KERNEL_64  0x01
#define LOADER_UNKNOWN 0xff
#define ENTRY_64       0x200
#define SECTOR         512u

static bool bzimage_probe(const struct loader *l, const u8 *head, size_t n)
{
    (void)l;
    return n >= HDR_MAGIC + 4 && ld16(head + HDR_BOOT_FLAG) == BOOT_FLAG &&
           !memcmp(head + HDR_MAGIC, "HdrS", 4);
}

struct bzimage {
    u8 head[0x300];
    u64 setup_len; /* bytes of 16-bit code before the kernel proper */
    u64 code_len;
    u64 load;
    bool code64;
    u64 init_size; /* bytes that the kernel needs at `load` until it reads the map of memory */
};

static enum status bzimage_parse(const struct loader *l, struct bzimage *b, struct error *e)
{
    const char *name = l->kernel.name;
    if (l->kernel.size < sizeof b->head)
        return error_set(e, STATUS_HOST, "%s: truncated bzImage", name);
    if (file_read(&l->kernel, 0, b->head, sizeof b->head, e) != STATUS_OK)
        return e->status;
    unsigned version = ld16(b->head + HDR_VERSION);
    if (version < 0x20c || 0x202u + b->head[HDR_JUMP_LEN] < HDR_END ||
        !(b->head[HDR_LOADFLAGS] & LOADED_HIGH))
        return error_set(e, STATUS_HOST, "%s: a Linux kernel that needs a BIOS (boot protocol %u.%02u)", name,
                         version >> 8, version & 0xff);
    b->code64 = ld16(b->head + HDR_XLOADFLAGS) & XLF_KERNEL_64;
    unsigned sects = b->head[HDR_SETUP_SECTS] ? b->head[HDR_SETUP_SECTS] : 4;
    b->setup_len = (sects + 1) * SECTOR;
    b->code_len = (u64)ld32(b->head + HDR_SYSSIZE) * 16;
    /* The size is in paragraphs: a part of the last one may be missing (memtest86+). */
    if (b->setup_len + b->code_len > l->kernel.size && b->setup_len + b->code_len - l->kernel.size < 16)
        b->code_len = l->kernel.size - b->setup_len;
    if (!range_ok(b->setup_len, b->code_len, l->kernel.size))
        return error_set(e, STATUS_HOST, "%s: truncated bzImage: has %llu bytes of %llu", name,
                         (unsigned long long)l->kernel.size,
                         (unsigned long long)(b->setup_len + b->code_len));
    if (b->code_len <= ENTRY_64)
        return error_set(e, STATUS_HOST, "%s: not a bzImage: its kernel has %llu bytes", name,
                         (unsigned long long)b->code_len);
    b->load = ld64(b->head + HDR_PREF_ADDRESS);
    b->init_size = ld32(b->head + HDR_INIT_SIZE);
    if (b->init_size < b->code_len)
        b->init_size = b->code_len;
    return STATUS_OK;
}

static enum status bzimage_cmdline(struct loader *l, struct bzimage *b, struct error *e)
{
    const char *text = l->cfg->append ? l->cfg->append : "";
    u64 gpa, len = strlen(text);
    u32 max = ld32(b->head + HDR_CMDLINE_SIZE);
    if (len > max)
        return error_set(e, STATUS_HOST, "--append: has %llu bytes, %s takes at most %u",
                         (unsigned long long)len, l->kernel.name, max);
    if (loader_place(l, text, len + 1, 16, 0xa0000, &gpa, e) != STATUS_OK)
        return e->status;
    st32(b->head + HDR_CMD_LINE_PTR, (u32)gpa);
    return STATUS_OK;
}

static enum status bzimage_initrd(struct loader *l, struct bzimage *b, struct error *e)
{
    u64 gpa = 0, len = 0;
    u64 max = (u64)ld32(b->head + HDR_INITRD_MAX) + 1;
    if (l->cfg->initrd && loader_module(l, l->cfg->initrd, max, &gpa, &len, e) != STATUS_OK)
        return e->status;
    st32(b->head + HDR_RAMDISK_IMAGE, (u32)gpa);
    st32(b->head + HDR_RAMDISK_SIZE, (u32)len);
    return STATUS_OK;
}

/* The zero page: the setup header, the map of memory, the RSDP; everything else 0. */
static enum status bzimage_zero_page(struct loader *l, const struct bzimage *b, u64 *gpa, struct error *e)
{
    u8 zero[PAGE_SIZE] = {0};
    size_t end = 0x202u + b->head[HDR_JUMP_LEN];
    if (end > BP_HDR_MAX)
        end = BP_HDR_MAX;
    memcpy(zero + HDR_SETUP_SECTS, b->head + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
    zero[HDR_TYPE_OF_LOADER] = LOADER_UNKNOWN;
    st64(zero + BP_ACPI_RSDP, l->rsdp);
    zero[BP_E820_ENTRIES] = (u8)l->map.count;
    for (size_t i = 0; i < l->map.count; i++) {
        u8 *p = zero + BP_E820_TABLE + 20 * i;
        st64(p, l->map.entry[i].base);
        st64(p + 8, l->map.entry[i].len);
        st32(p + 16, l->map.entry[i].type);
    }
    return loader_place(l, zero, sizeof zero, PAGE_SIZE, 0xa0000, gpa, e);
}

/* Identity map of the first 4 GiB by 2 MiB pages: one PML4, one PDPT, four page directories. */
static enum status bzimage_paging(struct loader *l, u64 *cr3, struct error *e)
{
    enum { PRESENT_RW = 3, LARGE = 0x80, DIRECTORIES = 4 };
    u64 gpa;
    if (!boot_space_low(&l->space, (2 + DIRECTORIES) * PAGE_SIZE, PAGE_SIZE, 0xa0000, &gpa))
        return error_set(e, STATUS_HOST, "%s: leaves no room for page tables", l->kernel.name);
    for (unsigned t = 0; t < 2 + DIRECTORIES; t++) {
        u8 table[PAGE_SIZE] = {0};
        if (t == 0)
            st64(table, (gpa + PAGE_SIZE) | PRESENT_RW);
        for (u64 i = 0; t == 1 && i < DIRECTORIES; i++)
            st64(table + 8 * i, (gpa + (2 + i) * PAGE_SIZE) | PRESENT_RW);
        for (u64 i = 0; t >= 2 && i < 512; i++)
            st64(table + 8 * i, (GIB(t - 2) + MIB(2) * i) | LARGE | PRESENT_RW);
        if (!mem_write(l->mem, gpa + t * PAGE_SIZE, table, sizeof table))
            return error_set(e, STATUS_HOST, "%s: leaves no room for page tables", l->kernel.name);
    }
    *cr3 = gpa;
    return STATUS_OK;
}

static enum status bzimage_load(struct loader *l, struct boot_state *s, struct error *e)
{
    struct bzimage b;
    if (bzimage_parse(l, &b, e) != STATUS_OK ||
        boot_space_claim(&l->space, &l->kernel, "the kernel", b.load, b.init_size, e) != STATUS_OK ||
        bzimage_cmdline(l, &b, e) != STATUS_OK || bzimage_initrd(l, &b, e) != STATUS_OK ||
        bzimage_zero_page(l, &b, &s->info, e) != STATUS_OK ||
        (b.code64 && bzimage_paging(l, &s->cr3, e) != STATUS_OK) || loader_gdt(l, b.code64, s, e) != STATUS_OK)
        return e->status;
    s->entry = b.load + (b.code64 ? ENTRY_64 : 0);
    return boot_copy(l->mem, &l->kernel, b.setup_len, b.load, b.code_len, e);
}

const struct loader_ops loader_bzimage = {.kind = BOOT_LINUX, .probe = bzimage_probe, .load = bzimage_load};
