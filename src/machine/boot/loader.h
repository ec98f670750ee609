/* Between boot.c and the loaders, one file per kind of kernel. */
#ifndef MACHINE_BOOT_LOADER_H
#define MACHINE_BOOT_LOADER_H

#include "machine/boot/boot.h"
#include "machine/boot/boot_space.h"
#include "machine/boot/e820.h"

struct loader {
    struct mem *mem;
    const struct boot_config *cfg;
    struct boot_files *files;
    struct file kernel; /* one of them */
    struct boot_space space;
    struct e820 map;
    u64 rsdp; /* gpa */
};

struct loader_ops {
    enum boot_kind kind;
    /* Is the file of this kind? HEAD are its first bytes; not being able to tell means no. */
    bool (*probe)(const struct loader *l, const u8 *head, size_t n);
    enum status (*load)(struct loader *l, struct boot_state *s, struct error *e);
};

extern const struct loader_ops loader_bzimage, loader_pvh, loader_multiboot;

/* How much of a kernel probe gets: Multiboot's header stands within the first 8 KiB. */
#define LOADER_HEAD 8192u

/* Places DATA somewhere below MAX and returns its gpa. */
enum status loader_place(struct loader *l, const void *data, u64 len, u64 align, u64 max, u64 *gpa,
                         struct error *e);
/* Opens the module NAME and copies it into RAM below MAX, as high as possible; *LEN becomes its size. */
enum status loader_module(struct loader *l, const char *name, u64 max, u64 *gpa, u64 *len, struct error *e);
/* The flat GDT that the 32-bit protocols' selectors index, and Linux's: code 0x10, data 0x18; CODE64 makes
 * the first a 64-bit segment. */
enum status loader_gdt(struct loader *l, bool code64, struct boot_state *s, struct error *e);

#endif
