/* The bus master of one channel (Intel 290550 "82371SB", 2.6; "Programming Interface for Bus Master IDE Controller", 1.0):
 *
 *   +0 command: 0 start, 3 to memory
 *   +2 status:  6, 5 free for software, 2 interrupt and 1 error (written ones clear), 0 active
 *   +4 table:   physical region descriptors: address, 16-bit count (0: 64 KiB), bit 31 of the second word ends it
 *
 * The descriptors are read as they are needed, each once; each has two bytes or more, so that a transfer ends. The direction bit is kept, the
 * command decides. A transfer that needs more than the table has leaves the drive waiting, as there. */
#include "dev/ide/ide_impl.h"

enum { START = 1, TO_MEMORY = 8 };
enum { ACTIVE = 1, FAULT = 2, INTERRUPT = 4, FREE = 0x60 };

u8 ide_bm_read(struct ide_channel *c, unsigned off)
{
    switch (off) {
    case 0: return c->bm_command;
    case 2: return c->bm_status;
    case 4: case 5: case 6: case 7: return (u8)(c->bm_table >> 8 * (off - 4));
    default: return 0;
    }
}

static void command(struct ide_channel *c, u8 v)
{
    bool was = c->bm_command & START;
    c->bm_command = v & (START | TO_MEMORY);
    if (!(v & START)) {
        c->bm_status &= (u8)~ACTIVE;
        return;
    }
    if (was)
        return;
    c->bm_status |= ACTIVE;
    c->prd = c->bm_table;
    c->prd_left = 0;
    c->prd_last = false;
    ide_dma_started(c);
}

void ide_bm_write(struct ide_channel *c, unsigned off, u8 v)
{
    switch (off) {
    case 0: command(c, v); break;
    case 2: c->bm_status = (u8)((c->bm_status & (ACTIVE | FAULT | INTERRUPT) & ~(v & (FAULT | INTERRUPT))) | (v & FREE)); break;
    case 4: case 5: case 6: case 7: {
        unsigned shift = 8 * (off - 4);
        c->bm_table = ((c->bm_table & ~(0xffu << shift)) | (u32)v << shift) & ~3u;
        break;
    }
    default: break;
    }
}

static enum ide_dma next_region(struct ide_channel *c)
{
    u8 d[8];
    if (c->prd_last)
        return IDE_DMA_SHORT;
    if (!mem_read(c->mem, c->prd, d, sizeof d))
        return IDE_DMA_FAULT;
    c->prd += 8;
    c->prd_addr = ld32(d) & ~1u;
    c->prd_left = ld16(d + 4) & 0xfffe;
    c->prd_left = c->prd_left ? c->prd_left : 65536;
    c->prd_last = d[7] & 0x80;
    return IDE_DMA_OK;
}

enum ide_dma ide_dma_move(struct ide_channel *c, u32 n, bool to_memory)
{
    for (u32 at = 0, part; at < n; at += part) {
        enum ide_dma r = c->prd_left ? IDE_DMA_OK : next_region(c);
        if (r != IDE_DMA_OK)
            return r;
        part = n - at < c->prd_left ? n - at : c->prd_left;
        if (to_memory ? !mem_write(c->mem, c->prd_addr, c->buf + at, part) : !mem_read(c->mem, c->prd_addr, c->buf + at, part))
            return IDE_DMA_FAULT;
        c->prd_addr += part;
        c->prd_left -= part;
    }
    return IDE_DMA_OK;
}

/* Active stays when the table has more than the transfer took. */
void ide_dma_over(struct ide_channel *c)
{
    if (c->prd_last && !c->prd_left)
        c->bm_status &= (u8)~ACTIVE;
}
