/* ELF executables by their program headers (System V ABI, chapter 5): PT_LOAD goes to its physical address,
 * the rest of its memory is zeroed. Nothing is relocated; section headers and symbols are not read. */
#include "machine/boot/load_elf.h"

#include <elf.h>
#include <string.h>

#include "base/bits.h"
#include "base/le.h"

bool elf_probe(const u8 *head, size_t n)
{
    return n >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG);
}

enum status elf_open(const struct loader *l, struct elf *elf, struct error *e)
{
    u8 h[sizeof(Elf64_Ehdr)] = {0};
    const char *name = l->kernel.name;
    u64 n = l->kernel.size < sizeof h ? l->kernel.size : sizeof h;
    if (file_read(&l->kernel, 0, h, n, e) != STATUS_OK)
        return e->status;
    elf->is64 = h[EI_CLASS] == ELFCLASS64;
    if (n < (elf->is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return error_set(e, STATUS_HOST, "%s: truncated ELF file", name);
    unsigned machine = ld16(h + offsetof(Elf64_Ehdr, e_machine));
    if ((!elf->is64 && h[EI_CLASS] != ELFCLASS32) || h[EI_DATA] != ELFDATA2LSB ||
        machine != (elf->is64 ? EM_X86_64 : EM_386))
        return error_set(e, STATUS_HOST, "%s: an ELF file, but not for x86", name);
    if (ld16(h + offsetof(Elf64_Ehdr, e_type)) != ET_EXEC && ld16(h + offsetof(Elf64_Ehdr, e_type)) != ET_DYN)
        return error_set(e, STATUS_HOST, "%s: an ELF file, but no executable", name);
    if (elf->is64) {
        elf->entry = ld64(h + offsetof(Elf64_Ehdr, e_entry));
        elf->phoff = ld64(h + offsetof(Elf64_Ehdr, e_phoff));
        elf->phentsize = ld16(h + offsetof(Elf64_Ehdr, e_phentsize));
        elf->phnum = ld16(h + offsetof(Elf64_Ehdr, e_phnum));
    } else {
        elf->entry = ld32(h + offsetof(Elf32_Ehdr, e_entry));
        elf->phoff = ld32(h + offsetof(Elf32_Ehdr, e_phoff));
        elf->phentsize = ld16(h + offsetof(Elf32_Ehdr, e_phentsize));
        elf->phnum = ld16(h + offsetof(Elf32_Ehdr, e_phnum));
    }
    if (!elf->phnum || elf->phentsize != (elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return error_set(e, STATUS_HOST, "%s: an ELF file without program headers", name);
    if (!range_ok(elf->phoff, (u64)elf->phnum * elf->phentsize, l->kernel.size))
        return error_set(e, STATUS_HOST, "%s: truncated ELF file: its program headers are missing", name);
    return STATUS_OK;
}

enum status elf_segment(const struct loader *l, const struct elf *elf, unsigned i, struct elf_segment *s,
                        struct error *e)
{
    u8 p[sizeof(Elf64_Phdr)];
    if (file_read(&l->kernel, elf->phoff + (u64)i * elf->phentsize, p, elf->phentsize, e) != STATUS_OK)
        return e->status;
    if (elf->is64)
        *s = (struct elf_segment){
            .type = ld32(p + offsetof(Elf64_Phdr, p_type)),
            .flags = ld32(p + offsetof(Elf64_Phdr, p_flags)),
            .offset = ld64(p + offsetof(Elf64_Phdr, p_offset)),
            .vaddr = ld64(p + offsetof(Elf64_Phdr, p_vaddr)),
            .paddr = ld64(p + offsetof(Elf64_Phdr, p_paddr)),
            .filesz = ld64(p + offsetof(Elf64_Phdr, p_filesz)),
            .memsz = ld64(p + offsetof(Elf64_Phdr, p_memsz)),
            .align = ld64(p + offsetof(Elf64_Phdr, p_align)),
        };
    else
        *s = (struct elf_segment){
            .type = ld32(p + offsetof(Elf32_Phdr, p_type)),
            .flags = ld32(p + offsetof(Elf32_Phdr, p_flags)),
            .offset = ld32(p + offsetof(Elf32_Phdr, p_offset)),
            .vaddr = ld32(p + offsetof(Elf32_Phdr, p_vaddr)),
            .paddr = ld32(p + offsetof(Elf32_Phdr, p_paddr)),
            .filesz = ld32(p + offsetof(Elf32_Phdr, p_filesz)),
            .memsz = ld32(p + offsetof(Elf32_Phdr, p_memsz)),
            .align = ld32(p + offsetof(Elf32_Phdr, p_align)),
        };
    return STATUS_OK;
}

static enum status elf_claim(struct loader *l, const struct elf_segment *s, struct error *e)
{
    if (s->filesz > s->memsz)
        return error_set(e, STATUS_HOST, "%s: a segment is larger in the file than in memory",
                         l->kernel.name);
    if (!range_ok(s->offset, s->filesz, l->kernel.size))
        return error_set(e, STATUS_HOST, "%s: truncated ELF file: a segment is missing", l->kernel.name);
    return boot_space_claim(&l->space, &l->kernel, "a segment", s->paddr, s->memsz, e);
}

static enum status elf_copy(struct loader *l, const struct elf_segment *s, struct error *e)
{
    if (!s->memsz)
        return STATUS_OK;
    if (boot_copy(l->mem, &l->kernel, s->offset, s->paddr, s->filesz, e) != STATUS_OK)
        return e->status;
    if (!mem_fill(l->mem, s->paddr + s->filesz, 0, s->memsz - s->filesz))
        return error_set(e, STATUS_HOST, "%s: no memory at 0x%llx", l->kernel.name,
                         (unsigned long long)s->paddr);
    return STATUS_OK;
}

enum status elf_load(struct loader *l, const struct elf *elf, u64 *entry_phys, struct error *e)
{
    struct elf_segment s;
    unsigned loads = 0;
    *entry_phys = elf->entry;
    for (unsigned i = 0; i < elf->phnum; i++) {
        if (elf_segment(l, elf, i, &s, e) != STATUS_OK)
            return e->status;
        if (s.type != PT_LOAD)
            continue;
        loads++;
        if (elf_claim(l, &s, e) != STATUS_OK)
            return e->status;
        /* The header's entry is a virtual address when the kernel is linked high. */
        if (s.flags & PF_X && elf->entry >= s.vaddr && elf->entry - s.vaddr < s.memsz)
            *entry_phys = elf->entry - s.vaddr + s.paddr;
    }
    if (!loads)
        return error_set(e, STATUS_HOST, "%s: an ELF file with nothing to load", l->kernel.name);
    for (unsigned i = 0; i < elf->phnum; i++)
        if (elf_segment(l, elf, i, &s, e) != STATUS_OK ||
            (s.type == PT_LOAD && elf_copy(l, &s, e) != STATUS_OK))
            return e->status;
    return STATUS_OK;
}
