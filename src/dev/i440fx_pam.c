/* Programmable attribute map of the 82441FX host bridge (datasheet 290549, 3.2.18 "PAM0-PAM6"): for each block between
 * 768 KiB and 1 MiB, whether reads and writes go to RAM or to the PCI bus.
 *
 *   PAM0  high nibble: 0xf0000-0xfffff; low nibble reserved
 *   PAMn  low nibble: 16 KiB at 0xc0000 + (n - 1) * 32 KiB; high nibble: the 16 KiB behind it
 *   nibble: 1 WE, 0 RE
 *
 * Where a block reads as RAM, mem_is_ram says so, and the engines do not ask the bus. Elsewhere they do, and find the
 * firmware's last 128 KiB at 0xe0000, as the PIIX3 decodes them, and nothing below. A write goes to RAM if WE is set,
 * whatever is read there. Its state is the host bridge's registers'. */
#include "dev/i440fx_pam.h"

#include "base/bits.h"
#include "base/le.h"

#define LAST_BLOCK   12u /* 0xf0000: four blocks that PAM0 switches together */
#define BIOS_DECODED KIB(128)

static u64 pam_read(void *opaque, u64 off, unsigned size)
{
    const struct i440fx_pam *p = opaque;
    const struct mem *m = p->mem;
    u64 from_end = MIB(1) - MEM_SHADOW_BASE - off;
    if (from_end > BIOS_DECODED || from_end > m->flash_size)
        return ~0ull;
    return ld_n(m->base + MEM_HIGH_BASE - from_end, size);
}

static void pam_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct i440fx_pam *p = opaque;
    u32 shadow = atomic_load_explicit(&p->mem->shadow, memory_order_relaxed);
    u64 gpa = MEM_SHADOW_BASE + off;
    if (!(shadow >> (16 + off / MEM_SHADOW_BLOCK) & 1) || !range_ok(gpa, size, p->mem->low_size))
        return;
    st_n(p->mem->base + gpa, value, size);
    mem_written(p->mem, gpa, size);
}

const struct bus_ops i440fx_pam_bus = {.read = pam_read, .write = pam_write, .min_size = 1, .max_size = 8};

static u32 with_block(u32 shadow, unsigned block, unsigned nibble)
{
    u32 bits = (nibble & 1) << block | (nibble >> 1 & 1) << (16 + block);
    return (shadow & ~(0x10001u << block)) | bits;
}

void i440fx_pam_write(struct i440fx_pam *p, unsigned n, u8 value)
{
    u32 before = atomic_load_explicit(&p->mem->shadow, memory_order_relaxed), now = before;
    if (n)
        now = with_block(with_block(now, 2 * (n - 1), value), 2 * (n - 1) + 1, value >> 4);
    for (unsigned block = LAST_BLOCK; !n && block < 16; block++)
        now = with_block(now, block, value >> 4);
    if (now == before)
        return;
    atomic_store_explicit(&p->mem->shadow, now, memory_order_relaxed);
    if (p->changed)
        p->changed(p->opaque);
}

void i440fx_pam_init(struct i440fx_pam *p, struct mem *mem, void (*changed)(void *opaque), void *opaque)
{
    *p = (struct i440fx_pam){.mem = mem, .changed = changed, .opaque = opaque};
}
