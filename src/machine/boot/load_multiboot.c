/* Multiboot 1 kernels (Multiboot specification 0.6.96): ELF, or a flat image that tells its addresses in the
 * header (flag 16). Given: memory sizes, memory map, command line with the file's name first, modules, the
 * loader's name. Not given: boot device, symbols, drives, ROM configuration, APM, VBE (a kernel that asks for
 * a video mode is told of none). */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "machine/boot/load_elf.h"

#define MULTIBOOT_MAGIC  0x1badb002u
#define HEADER_ADDRESSES (1u << 16)
#define HEADER_UNKNOWN   0xfff8u /* required features beyond page alignment, memory, video */

enum {
    INFO_MEM = 1 << 0,
    INFO_CMDLINE = 1 << 2,
    INFO_MODS = 1 << 3,
    INFO_MMAP = 1 << 6,
    INFO_LOADER = 1 << 9
};
#define INFO_SIZE   120u
#define MODULE_SIZE 16u
#define MMAP_SIZE   24u
#define MAX_MODULES 256u
#define TEXT_MAX    65536u

/* Offset of the header in the file's head: within the first 8 KiB, 4-byte aligned; SIZE_MAX when there is
 * none. */
static size_t multiboot_header(const u8 *head, size_t n)
{
    for (size_t at = 0; at + 12 <= n; at += 4)
        if (ld32(head + at) == MULTIBOOT_MAGIC &&
            (u32)(ld32(head + at) + ld32(head + at + 4) + ld32(head + at + 8)) == 0)
            return at;
    return SIZE_MAX;
}

static bool multiboot_probe(const struct loader *l, const u8 *head, size_t n)
{
    (void)l;
    return multiboot_header(head, n) != SIZE_MAX;
}

/* A flat image: its place and size stand in the header (3.1.3). */
static enum status multiboot_load_flat(struct loader *l, const u8 *header, size_t at, u64 *entry,
                                       struct error *e)
{
    u64 header_addr = ld32(header + 12), load = ld32(header + 16), load_end = ld32(header + 20),
        bss_end = ld32(header + 24);
    *entry = ld32(header + 28);
    if (load > header_addr || header_addr - load > at)
        return error_set(e, STATUS_HOST, "%s: its Multiboot header has wrong addresses", l->kernel.name);
    u64 off = at - (header_addr - load);
    u64 len = load_end ? load_end - load : l->kernel.size - off;
    if ((load_end && load_end < load) || !range_ok(off, len, l->kernel.size))
        return error_set(e, STATUS_HOST,
                         "%s: truncated: its Multiboot header tells of more than the file has",
                         l->kernel.name);
    u64 bss = bss_end > load + len ? bss_end - load - len : 0;
    if (boot_space_claim(&l->space, &l->kernel, "the kernel", load, len + bss, e) != STATUS_OK ||
        boot_copy(l->mem, &l->kernel, off, load, len, e) != STATUS_OK)
        return e->status;
    if (bss && !mem_fill(l->mem, load + len, 0, bss))
        return error_set(e, STATUS_HOST, "%s: no memory at 0x%llx", l->kernel.name,
                         (unsigned long long)(load + len));
    return STATUS_OK;
}

static enum status multiboot_load_kernel(struct loader *l, u64 *entry, struct error *e)
{
    u8 head[LOADER_HEAD + 32] = {0}; /* the address fields of a header at the very end are zeros */
    u64 n = l->kernel.size < LOADER_HEAD ? l->kernel.size : LOADER_HEAD;
    if (file_read(&l->kernel, 0, head, n, e) != STATUS_OK)
        return e->status;
    size_t at = multiboot_header(head, n);
    if (at == SIZE_MAX)
        return error_set(e, STATUS_HOST, "%s: changed while it was read", l->kernel.name);
    u32 flags = ld32(head + at + 4);
    if (flags & HEADER_UNKNOWN)
        return error_set(e, STATUS_HOST, "%s: requires Multiboot features that are not built in (flags 0x%x)",
                         l->kernel.name, flags);
    if (flags & HEADER_ADDRESSES) {
        if (multiboot_load_flat(l, head + at, at, entry, e) != STATUS_OK)
            return e->status;
    } else {
        struct elf elf;
        if (!elf_probe(head, n))
            return error_set(e, STATUS_HOST,
                             "%s: has a Multiboot header, but is neither ELF nor tells its addresses",
                             l->kernel.name);
        if (elf_open(l, &elf, e) != STATUS_OK || elf_load(l, &elf, entry, e) != STATUS_OK)
            return e->status;
    }
    if (*entry > UINT32_MAX || !mem_is_ram(l->mem, *entry, 1))
        return error_set(e, STATUS_HOST, "%s: its entry 0x%llx is outside memory", l->kernel.name,
                         (unsigned long long)*entry);
    return STATUS_OK;
}

/* The next item of a comma-separated list, with `,,` for a comma, to be freed; *LIST becomes null after the
 * last. */
static char *multiboot_item(const char **list)
{
    const char *p = *list;
    char *item = malloc(strlen(p) + 1), *out = item;
    for (; item && *p; p++) {
        if (*p == ',' && p[1] != ',')
            break;
        if (*p == ',')
            p++;
        *out++ = *p;
    }
    if (item)
        *out = 0;
    *list = *p ? p + 1 : NULL;
    return item;
}

/* Loads one module; TEXT is `FILE ARGUMENTS`, which it gets as its string, whole. */
static enum status multiboot_module(struct loader *l, char *text, u8 *entry, struct error *e)
{
    u64 start, len, string, n = strlen(text) + 1;
    if (n > TEXT_MAX)
        return error_set(e, STATUS_HOST, "--initrd: arguments longer than %u bytes", TEXT_MAX);
    if (loader_place(l, text, n, 1, MEM_VGA_BASE, &string, e) != STATUS_OK)
        return e->status;
    text[strcspn(text, " ")] = 0;
    if (loader_module(l, text, MEM_HIGH_BASE, &start, &len, e) != STATUS_OK)
        return e->status;
    st32(entry, (u32)start);
    st32(entry + 4, (u32)(start + len));
    st32(entry + 8, (u32)string);
    st32(entry + 12, 0);
    return STATUS_OK;
}

static enum status multiboot_modules(struct loader *l, u8 *info, struct error *e)
{
    u8 table[MAX_MODULES * MODULE_SIZE];
    const char *list = l->cfg->initrd;
    unsigned count = 0;
    u64 gpa;
    while (list) {
        if (count == MAX_MODULES)
            return error_set(e, STATUS_HOST, "--initrd: more than %u modules", MAX_MODULES);
        char *text = multiboot_item(&list);
        if (!text)
            return error_errno(e, "--initrd");
        enum status s = multiboot_module(l, text, table + count * MODULE_SIZE, e);
        free(text);
        if (s != STATUS_OK)
            return s;
        count++;
    }
    if (!count)
        return STATUS_OK;
    if (loader_place(l, table, count * MODULE_SIZE, 4, MEM_VGA_BASE, &gpa, e) != STATUS_OK)
        return e->status;
    st32(info, ld32(info) | INFO_MODS);
    st32(info + 20, count);
    st32(info + 24, (u32)gpa);
    return STATUS_OK;
}

static enum status multiboot_cmdline(struct loader *l, u8 *info, struct error *e)
{
    const char *append = l->cfg->append;
    size_t n = strlen(l->kernel.name) + (append ? 1 + strlen(append) : 0) + 1;
    u64 gpa;
    char *text = n > TEXT_MAX ? NULL : malloc(n);
    if (!text)
        return error_set(e, STATUS_HOST, "--append: longer than %u bytes with the kernel's name",
                         TEXT_MAX - 1);
    strcpy(text, l->kernel.name);
    if (append)
        strcat(strcat(text, " "), append);
    enum status s = loader_place(l, text, n, 1, MEM_VGA_BASE, &gpa, e);
    free(text);
    st32(info, ld32(info) | INFO_CMDLINE);
    st32(info + 16, (u32)gpa);
    return s;
}

static enum status multiboot_mmap(struct loader *l, u8 *info, struct error *e)
{
    u8 map[E820_MAX * MMAP_SIZE];
    u64 gpa;
    for (size_t i = 0; i < l->map.count; i++) {
        u8 *p = map + i * MMAP_SIZE;
        st32(p, MMAP_SIZE - 4); /* the size field does not count itself */
        st64(p + 4, l->map.entry[i].base);
        st64(p + 12, l->map.entry[i].len);
        st32(p + 20, l->map.entry[i].type);
    }
    if (loader_place(l, map, l->map.count * MMAP_SIZE, 4, MEM_VGA_BASE, &gpa, e) != STATUS_OK)
        return e->status;
    st32(info, ld32(info) | INFO_MMAP);
    st32(info + 44, (u32)(l->map.count * MMAP_SIZE));
    st32(info + 48, (u32)gpa);
    return STATUS_OK;
}

static enum status multiboot_load(struct loader *l, struct boot_state *s, struct error *e)
{
    static const char loader_name[] = "trine";
    u8 info[INFO_SIZE] = {0};
    u64 name;
    if (multiboot_load_kernel(l, &s->entry, e) != STATUS_OK || multiboot_cmdline(l, info, e) != STATUS_OK ||
        multiboot_modules(l, info, e) != STATUS_OK || multiboot_mmap(l, info, e) != STATUS_OK ||
        loader_place(l, loader_name, sizeof loader_name, 1, MEM_VGA_BASE, &name, e) != STATUS_OK)
        return e->status;
    st32(info, ld32(info) | INFO_MEM | INFO_LOADER);
    st32(info + 4, (u32)(l->map.entry[0].len >> 10));         /* conventional memory in KiB */
    st32(info + 8, (u32)((l->mem->low_size - MIB(1)) >> 10)); /* from 1 MiB to the first hole */
    st32(info + 64, (u32)name);
    if (loader_place(l, info, sizeof info, 4, MEM_VGA_BASE, &s->info, e) != STATUS_OK)
        return e->status;
    return loader_gdt(l, false, s, e);
}

const struct loader_ops loader_multiboot = {
    .kind = BOOT_MULTIBOOT, .probe = multiboot_probe, .load = multiboot_load};
