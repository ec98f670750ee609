/* As QEMU's second pflash: behind it, up to 4 GiB, comes the firmware. OVMF finds its variables there if its image was built for a store of this size.
 * Read it is as RAM is, for OVMF goes over all of it many times; only while it is to answer a command do reads go to the chip. */
#include "machine/boot/firmware_vars.h"

#include <string.h>

enum status firmware_vars_open(struct firmware_vars *v, const struct trine_disk *c, u64 code, struct error *e)
{
    const struct block_config how = {.path = c->path, .format = "raw", .readonly = c->readonly, .snapshot = c->snapshot, .synchronous = true};
    if (block_open(&v->host, &how, e) != STATUS_OK)
        return e->status;
    v->size = block_disk(v->host)->size;
    if (v->size && !(v->size % CFI_FLASH_BLOCK) && v->size <= MEM_FLASH_MAX - code)
        return STATUS_OK;
    return error_set(e, STATUS_HOST, "%s: not a store of firmware's variables: has %llu bytes, must be a multiple of 4K, with the firmware 16M at most", c->path,
                     (unsigned long long)v->size);
}

void firmware_vars_close(struct firmware_vars *v)
{
    if (v->host)
        block_close(v->host);
    *v = (struct firmware_vars){0};
}

static void chip_answer(void *opaque, bool answers)
{
    const struct firmware_vars *v = opaque;
    if (mem_flash_answer(v->pc->mem, answers))
        v->pc->lines.shadow(v->pc->lines.opaque);
}

static void chip_changed(void *opaque, u32 off, u32 len)
{
    const struct firmware_vars *v = opaque;
    mem_written(v->pc->mem, v->pc->mem->flash_base + off, len);
}

enum status firmware_vars_install(struct firmware_vars *v, struct pc *pc, struct error *e)
{
    struct mem *m = pc->mem;
    if (!v->host)
        return STATUS_OK;
    v->pc = pc;
    m->flash_chip = v->size;
    const struct cfi_flash_wires wires = {
        .data = m->base + m->flash_base, .store = block_disk(v->host), .answer = chip_answer, .changed = chip_changed, .opaque = v};
    int error = block_at_once(wires.store, BLOCK_READ, 0, v->size, wires.data);
    if (error)
        return error_set(e, STATUS_HOST, "firmware's variables: %s", strerror(error));
    cfi_flash_init(&v->chip, (u32)v->size, &wires);
    if (bus_add(&m->mmio, "flash", m->flash_base, v->size, &cfi_flash_bus, &v->chip, e) != STATUS_OK)
        return e->status;
    return pc_plug(pc, &cfi_flash_ops, &v->chip, e);
}
