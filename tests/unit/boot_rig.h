/* Makes kernel files out of bytes, and loads them into a guest memory of their own. */
#ifndef UNIT_BOOT_RIG_H
#define UNIT_BOOT_RIG_H

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/le.h"
#include "check.h"
#include "machine/boot/boot.h"

struct image {
    u8 *bytes;
    size_t size;
    int fd;
    char path[32];
};

static inline struct image image_new(size_t size)
{
    struct image i = {.bytes = calloc(1, size ? size : 1), .size = size, .fd = memfd_create("image", 0)};
    snprintf(i.path, sizeof i.path, "/proc/self/fd/%d", i.fd);
    return i;
}

/* Writes the first SIZE bytes out; the image's path then names them. */
static inline const char *image_file(struct image *i, size_t size)
{
    CHECK(ftruncate(i->fd, 0) == 0);
    CHECK(pwrite(i->fd, i->bytes, size, 0) == (ssize_t)size);
    return i->path;
}

static inline void image_free(struct image *i)
{
    free(i->bytes);
    close(i->fd);
}

/* A bzImage of 4 setup sectors and CODE bytes of kernel, each of value 0x90. */
static inline struct image image_bzimage(size_t code)
{
    struct image i = image_new(5 * 512 + code);
    u8 *b = i.bytes;
    b[0x1f1] = 4;
    st32(b + 0x1f4, (u32)(code / 16));
    st16(b + 0x1fe, 0xaa55);
    b[0x201] = 0x6a; /* the header ends at 0x26c */
    memcpy(b + 0x202, "HdrS", 4);
    st16(b + 0x206, 0x20f);
    b[0x211] = 1; /* LOADED_HIGH */
    st32(b + 0x22c, 0x7fffffff);
    b[0x234] = 1;
    st16(b + 0x236, 1); /* XLF_KERNEL_64 */
    st32(b + 0x238, 2047);
    st64(b + 0x258, MIB(16)); /* preferred address */
    st32(b + 0x260, MIB(4));  /* init_size */
    memset(b + 5 * 512, 0x90, code);
    return i;
}

#define ELF_SEGMENTS 3u
#define ELF_DATA     0x1000u /* where the segments' bytes begin in the file */

/* An ELF executable with one PT_LOAD of 0x200 bytes at PADDR (0x1000 in memory), linked at VADDR, a second
 * one of 16 bytes at PADDR + 2 MiB, and room for a note at ELF_DATA + 0x400. */
static inline struct image image_elf(bool is64, u64 vaddr, u64 paddr)
{
    struct image i = image_new(0x2000);
    Elf64_Phdr ph[ELF_SEGMENTS] = {
        {.p_type = PT_LOAD,
         .p_flags = PF_R | PF_X,
         .p_offset = ELF_DATA,
         .p_vaddr = vaddr,
         .p_paddr = paddr,
         .p_filesz = 0x200,
         .p_memsz = 0x1000},
        {.p_type = PT_LOAD,
         .p_flags = PF_R,
         .p_offset = ELF_DATA + 0x300,
         .p_vaddr = vaddr + MIB(2),
         .p_paddr = paddr + MIB(2),
         .p_filesz = 16,
         .p_memsz = 16},
        {.p_type = PT_NULL},
    };
    unsigned char ident[16] = {0x7f, 'E', 'L', 'F', is64 ? ELFCLASS64 : ELFCLASS32, ELFDATA2LSB, EV_CURRENT};
    if (is64) {
        Elf64_Ehdr h = {.e_type = ET_EXEC,
                        .e_machine = EM_X86_64,
                        .e_version = 1,
                        .e_entry = vaddr + 0x10,
                        .e_phoff = sizeof h,
                        .e_phentsize = sizeof ph[0],
                        .e_phnum = ELF_SEGMENTS};
        memcpy(h.e_ident, ident, sizeof ident);
        memcpy(i.bytes, &h, sizeof h);
        memcpy(i.bytes + sizeof h, ph, sizeof ph);
    } else {
        Elf32_Ehdr h = {.e_type = ET_EXEC,
                        .e_machine = EM_386,
                        .e_version = 1,
                        .e_entry = (u32)vaddr + 0x10,
                        .e_phoff = sizeof h,
                        .e_phentsize = sizeof(Elf32_Phdr),
                        .e_phnum = ELF_SEGMENTS};
        memcpy(h.e_ident, ident, sizeof ident);
        memcpy(i.bytes, &h, sizeof h);
        for (unsigned n = 0; n < ELF_SEGMENTS; n++) {
            Elf32_Phdr p = {.p_type = ph[n].p_type,
                            .p_flags = ph[n].p_flags,
                            .p_offset = (u32)ph[n].p_offset,
                            .p_vaddr = (u32)ph[n].p_vaddr,
                            .p_paddr = (u32)ph[n].p_paddr,
                            .p_filesz = (u32)ph[n].p_filesz,
                            .p_memsz = (u32)ph[n].p_memsz};
            memcpy(i.bytes + sizeof h + n * sizeof p, &p, sizeof p);
        }
    }
    memset(i.bytes + ELF_DATA, 0xf4, 0x200);
    memset(i.bytes + ELF_DATA + 0x300, 0xda, 16);
    return i;
}

/* Program header N's field at offset OFF64 (64-bit ELF only). */
static inline u8 *image_phdr(struct image *i, unsigned n, size_t off64)
{
    return i->bytes + sizeof(Elf64_Ehdr) + n * sizeof(Elf64_Phdr) + off64;
}

/* Turns the third program header into a note with a PVH entry. */
static inline void image_add_pvh(struct image *i, bool is64, u32 entry)
{
    u8 *note = i->bytes + ELF_DATA + 0x400, *ph;
    st32(note, 4);
    st32(note + 4, 4);
    st32(note + 8, 18);
    memcpy(note + 12, "Xen", 4);
    st32(note + 16, entry);
    if (is64) {
        Elf64_Phdr p = {.p_type = PT_NOTE, .p_offset = ELF_DATA + 0x400, .p_filesz = 20, .p_align = 4};
        ph = image_phdr(i, 2, 0);
        memcpy(ph, &p, sizeof p);
    } else {
        Elf32_Phdr p = {.p_type = PT_NOTE, .p_offset = ELF_DATA + 0x400, .p_filesz = 20, .p_align = 4};
        memcpy(i->bytes + sizeof(Elf32_Ehdr) + 2 * sizeof p, &p, sizeof p);
    }
}

/* A Multiboot header at byte AT of the file. */
static inline void image_add_multiboot(struct image *i, size_t at, u32 flags)
{
    st32(i->bytes + at, 0x1badb002);
    st32(i->bytes + at + 4, flags);
    st32(i->bytes + at + 8, (u32) - (0x1badb002u + flags));
}

struct rig {
    struct mem mem;
    struct boot_config cfg;
    struct boot_state state;
    struct error e;
};

static inline void rig_init(struct rig *r, u64 memory)
{
    memset(r, 0, sizeof *r);
    r->cfg.platform = (struct platform){.cpus = 1, .pci = true};
    CHECK(mem_init(&r->mem, memory, &r->e) == STATUS_OK);
}

static inline enum status rig_load(struct rig *r, const char *kernel)
{
    r->e.text[0] = 0;
    r->cfg.kernel = kernel;
    return boot_load(&r->mem, &r->cfg, &r->state, &r->e);
}

static inline u64 rig_ld(struct rig *r, u64 gpa, unsigned size)
{
    u8 b[8] = {0};
    CHECK(mem_read(&r->mem, gpa, b, size));
    return ld_n(b, size);
}

/* The text at GPA; ends at 127 characters. */
static inline const char *rig_text(struct rig *r, u64 gpa, char buf[128])
{
    memset(buf, 0, 128);
    CHECK(mem_read(&r->mem, gpa, buf, 127));
    return buf;
}

#endif
