/* Loading a kernel without firmware: picks the loader by the file's contents, leaves the machine as a BIOS
 * would, and holds what the loaders share. The entry states: Linux boot.rst "64-bit boot protocol"; PVH:
 * Xen's docs/misc/pvh.pandoc; Multiboot specification 0.6.96, 3.2. */
#include "machine/boot/boot.h"

#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "cpu/system.h"
#include "machine/boot/bios.h"
#include "machine/boot/loader.h"

#define BOOT_CS        0x10
#define BOOT_DS        0x18
#define STACK_SIZE     4096u

#define MULTIBOOT_LOADED 0x2badb002u /* EAX */

enum status loader_place(struct loader *l, const void *data, u64 len, u64 align, u64 max, u64 *gpa,
                         struct error *e)
{
    if (boot_space_low(&l->space, len, align, max, gpa) && mem_write(l->mem, *gpa, data, len))
        return STATUS_OK;
    return error_set(e, STATUS_HOST, "%s: leaves no room for the boot information (%llu bytes)",
                     l->kernel.name, (unsigned long long)len);
}

enum status loader_module(struct loader *l, const char *name, u64 max, u64 *gpa, u64 *len, struct error *e)
{
    const struct file *f = boot_files_get(l->files, name, l->mem->low_size, e);
    if (!f)
        return e->status;
    *len = f->size;
    if (!boot_space_high(&l->space, f->size, PAGE_SIZE, max, gpa))
        return error_set(e, STATUS_HOST, "%s: no room for its %llu bytes in the guest's memory", name,
                         (unsigned long long)f->size);
    return boot_copy(l->mem, f, 0, *gpa, f->size, e);
}

enum status loader_gdt(struct loader *l, bool code64, struct boot_state *s, struct error *e)
{
    /* Present, DPL 0, accessed, limit 4 GiB: code readable, data writable (SDM vol. 3, figure 3-8). */
    u8 gdt[32] = {0};
    st64(gdt + BOOT_CS, code64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
    st64(gdt + BOOT_DS, 0x00cf93000000ffff);
    u64 stack;
    if (loader_place(l, gdt, sizeof gdt, 16, 0xa0000, &s->gdt, e) != STATUS_OK)
        return e->status;
    if (!boot_space_low(&l->space, STACK_SIZE, 16, 0xa0000, &stack))
        return error_set(e, STATUS_HOST, "%s: leaves no room for a stack", l->kernel.name);
    s->stack = stack + STACK_SIZE;
    return STATUS_OK;
}

static const struct loader_ops *const loaders[] = {&loader_bzimage, &loader_multiboot, &loader_pvh};

static enum status boot_load_kernel(struct loader *l, struct boot_state *s, struct error *e)
{
    u8 head[LOADER_HEAD];
    size_t n = l->kernel.size < sizeof head ? (size_t)l->kernel.size : sizeof head;
    if (file_read(&l->kernel, 0, head, n, e) != STATUS_OK)
        return e->status;
    for (size_t i = 0; i < ARRAY_LEN(loaders); i++)
        if (loaders[i]->probe(l, head, n)) {
            s->kind = loaders[i]->kind;
            return loaders[i]->load(l, s, e);
        }
    return error_set(
        e, STATUS_HOST,
        "%s: not a bootable kernel: neither a Linux bzImage, nor an ELF with a PVH note, nor Multiboot",
        l->kernel.name);
}

enum status boot_load(struct mem *m, const struct boot_config *cfg, struct boot_state *s, struct error *e)
{
    struct boot_files own = {0};
    struct loader l = {.mem = m, .cfg = cfg, .files = cfg->files ? cfg->files : &own};
    *s = (struct boot_state){0};
    const struct file *kernel = boot_files_get(l.files, cfg->kernel, m->size, e);
    if (!kernel)
        return e->status;
    l.kernel = *kernel;
    boot_space_init(&l.space, m);
    e820_build(&l.map, m);
    enum status r = bios_install(m, &cfg->platform, &l.rsdp, e);
    if (r == STATUS_OK)
        r = boot_load_kernel(&l, s, e);
    boot_files_close(&own);
    return r;
}

static void boot_segments(struct cpu *c, bool code64)
{
    const u16 flat = SEG_P | SEG_S | SEG_RW | SEG_ACCESSED | SEG_G;
    const struct seg code = {
        .sel = BOOT_CS, .attr = (u16)(flat | SEG_CODE | (code64 ? SEG_L : SEG_DB)), .limit = UINT32_MAX};
    const struct seg data = {.sel = BOOT_DS, .attr = flat | SEG_DB, .limit = UINT32_MAX};
    c->seg[SEG_CS] = code;
    c->seg[SEG_DS] = c->seg[SEG_ES] = c->seg[SEG_SS] = c->seg[SEG_FS] = c->seg[SEG_GS] = data;
    /* PVH wants a busy 32-bit TSS with base 0 and limit 0x67. */
    c->seg[SEG_TR] = (struct seg){.attr = SEG_P | 0xb, .limit = 0x67};
}

/* As a BIOS leaves them on every processor (SDM vol. 3, 12.11): RAM write-back, video memory uncached, the shadowed BIOS
 * write-protected, the space between low RAM and 4 GiB uncached. */
void boot_mtrrs(struct cpu *c)
{
    enum {
        UNCACHED = 0,
        WRITE_PROTECTED = 5,
        WRITE_BACK = 6,
        FIXED_ENABLED = 1 << 10,
        ENABLED = 1 << 11,
        VALID = 1 << 11
    };
    static const u8 fixed[] = {WRITE_BACK, WRITE_BACK,
                               UNCACHED}; /* 0-512K, 512K-640K, 640K-768K; then 32K each */
    for (size_t i = 0; i < ARRAY_LEN(c->mtrr_fixed); i++)
        c->mtrr_fixed[i] = 0x0101010101010101 * (i < ARRAY_LEN(fixed) ? fixed[i] : WRITE_PROTECTED);
    c->mtrr_var[0] = MEM_LOW_END | UNCACHED;
    c->mtrr_var[1] = (ones(MEM_PHYS_BITS) & ~(MEM_HIGH_BASE - MEM_LOW_END - 1)) | VALID;
    c->mtrr_def_type = ENABLED | FIXED_ENABLED | WRITE_BACK;
}

void boot_enter(struct cpu *c, const struct boot_state *s)
{
    bool code64 = s->cr3;
    boot_segments(c, code64);
    c->gdt = (struct dtable){.base = s->gdt, .limit = 4 * 8 - 1};
    c->cr0 = CR0_PE | CR0_ET;
    if (code64) {
        c->cr3 = s->cr3;
        c->cr4 = CR4_PAE;
        c->efer = EFER_LME | EFER_LMA;
        c->cr0 |= CR0_PG;
    }
    cpu_set_rflags(c, 0);
    c->rip = s->entry;
    c->gpr[RSP].q = s->stack;
    switch (s->kind) {
    case BOOT_LINUX: c->gpr[RSI].q = s->info; break;
    case BOOT_PVH: c->gpr[RBX].q = s->info; break;
    case BOOT_MULTIBOOT:
        c->gpr[RAX].q = MULTIBOOT_LOADED;
        c->gpr[RBX].q = s->info;
        break;
    }
    cpu_update_mode(c);
}
