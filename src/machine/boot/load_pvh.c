/* ELF kernels with a PVH entry: the note XEN_ELFNOTE_PHYS32_ENTRY names a 32-bit physical entry point, EBX
 * points at struct hvm_start_info (Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h, version
 * 1). */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "machine/boot/load_elf.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define START_INFO_MAGIC         0x336ec578u
#define START_INFO_SIZE          56u
#define MEMMAP_ENTRY_SIZE        24u
#define MODLIST_ENTRY_SIZE       32u
#define NOTES_MAX                MIB(1)
#define CMDLINE_MAX              65536u

/* Looks through LEN bytes of notes; the entry, or 0. */
static u64 pvh_entry_in(const u8 *notes, u64 len, u64 align)
{
    u64 at = 0;
    while (range_ok(at, 12, len)) {
        u64 namesz = ld32(notes + at), descsz = ld32(notes + at + 4);
        u32 type = ld32(notes + at + 8);
        u64 name = at + 12, desc = align_up(name + namesz, align), next = align_up(desc + descsz, align);
        if (!range_ok(name, namesz, len) || !range_ok(desc, descsz, len))
            return 0;
        if (type == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 && !memcmp(notes + name, "Xen", 4) &&
            (descsz == 4 || descsz == 8))
            return ld_n(notes + desc, (unsigned)descsz);
        at = next;
    }
    return 0;
}

static enum status pvh_entry(const struct loader *l, const struct elf *elf, u64 *entry, struct error *e)
{
    *entry = 0;
    for (unsigned i = 0; i < elf->phnum && !*entry; i++) {
        struct elf_segment s;
        if (elf_segment(l, elf, i, &s, e) != STATUS_OK)
            return e->status;
        if (s.type != PT_NOTE || !s.filesz || s.filesz > NOTES_MAX)
            continue;
        u8 *notes = malloc(s.filesz);
        if (!notes)
            return error_errno(e, "%s", l->kernel.name);
        enum status r = file_read(&l->kernel, s.offset, notes, s.filesz, e);
        if (r == STATUS_OK)
            *entry = pvh_entry_in(notes, s.filesz, s.align == 8 ? 8 : 4);
        free(notes);
        if (r != STATUS_OK)
            return r;
    }
    return STATUS_OK;
}

static bool pvh_probe(const struct loader *l, const u8 *head, size_t n)
{
    (void)l;
    return elf_probe(head, n);
}

static enum status pvh_modules(struct loader *l, u8 *info, struct error *e)
{
    u8 entry[MODLIST_ENTRY_SIZE] = {0};
    u64 gpa, len, list;
    if (!l->cfg->initrd)
        return STATUS_OK;
    if (loader_module(l, l->cfg->initrd, MEM_HIGH_BASE, &gpa, &len, e) != STATUS_OK)
        return e->status;
    st64(entry, gpa);
    st64(entry + 8, len);
    if (loader_place(l, entry, sizeof entry, 8, 0xa0000, &list, e) != STATUS_OK)
        return e->status;
    st32(info + 12, 1);
    st64(info + 16, list);
    return STATUS_OK;
}

static enum status pvh_info(struct loader *l, u64 *gpa, struct error *e)
{
    u8 info[START_INFO_SIZE] = {0}, map[E820_MAX * MEMMAP_ENTRY_SIZE] = {0};
    const char *text = l->cfg->append ? l->cfg->append : "";
    u64 cmdline, memmap, len = strlen(text);
    if (len >= CMDLINE_MAX)
        return error_set(e, STATUS_HOST, "--append: longer than %u bytes", CMDLINE_MAX - 1);
    for (size_t i = 0; i < l->map.count; i++) {
        st64(map + i * MEMMAP_ENTRY_SIZE, l->map.entry[i].base);
        st64(map + i * MEMMAP_ENTRY_SIZE + 8, l->map.entry[i].len);
        st32(map + i * MEMMAP_ENTRY_SIZE + 16, l->map.entry[i].type);
    }
    if (loader_place(l, text, len + 1, 16, 0xa0000, &cmdline, e) != STATUS_OK ||
        loader_place(l, map, l->map.count * MEMMAP_ENTRY_SIZE, 8, 0xa0000, &memmap, e) != STATUS_OK ||
        pvh_modules(l, info, e) != STATUS_OK)
        return e->status;
    st32(info, START_INFO_MAGIC);
    st32(info + 4, 1);
    st64(info + 24, cmdline);
    st64(info + 32, l->rsdp);
    st64(info + 40, memmap);
    st32(info + 48, (u32)l->map.count);
    return loader_place(l, info, sizeof info, 8, 0xa0000, gpa, e);
}

static enum status pvh_load(struct loader *l, struct boot_state *s, struct error *e)
{
    struct elf elf;
    u64 unused;
    if (elf_open(l, &elf, e) != STATUS_OK || pvh_entry(l, &elf, &s->entry, e) != STATUS_OK)
        return e->status;
    if (!s->entry)
        return error_set(e, STATUS_HOST, "%s: an ELF file with neither a PVH note nor a Multiboot header",
                         l->kernel.name);
    if (elf_load(l, &elf, &unused, e) != STATUS_OK)
        return e->status;
    if (!mem_is_ram(l->mem, s->entry, 1) || s->entry > UINT32_MAX)
        return error_set(e, STATUS_HOST, "%s: its entry 0x%llx is outside memory", l->kernel.name,
                         (unsigned long long)s->entry);
    if (pvh_info(l, &s->info, e) != STATUS_OK)
        return e->status;
    return loader_gdt(l, false, s, e);
}

const struct loader_ops loader_pvh = {.kind = BOOT_PVH, .probe = pvh_probe, .load = pvh_load};
