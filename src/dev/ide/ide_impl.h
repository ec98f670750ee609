/* What the files of the ATA channel share. */
#ifndef DEV_IDE_IDE_IMPL_H
#define DEV_IDE_IDE_IMPL_H

#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "dev/ide/ide.h"

static inline struct ide_drive *ide_now(struct ide_channel *c)
{
    return &c->drives[c->selected];
}

void ide_interrupt(struct ide_channel *c);
/* The command is over: STATUS bits besides DRDY, and ERROR; raises the interrupt. */
void ide_end(struct ide_channel *c, u8 status, u8 error);
void ide_abort(struct ide_channel *c);
/* N bytes stand in the buffer for the host: PIO or DMA, as the channel says. */
void ide_give(struct ide_channel *c, u32 n);
/* Reads LEFT sectors from LBA on, and gives them. Both were checked. */
void ide_read_disk(struct ide_channel *c, u64 lba, u32 sectors, u32 sector_size);
void ide_signature(struct ide_drive *d);

/* ide_atapi.c: twelve bytes of a packet command stand in the buffer; the status phase after its data. */
void ide_packet(struct ide_channel *c);
void ide_packet_end(struct ide_channel *c);
void ide_packet_error(struct ide_channel *c, u8 sense, u8 asc);

/* ide_identify.c: 512 bytes. */
void ide_identify(const struct ide_drive *d, u8 out[IDE_SECTOR]);

/* ide_dma.c: moves N bytes between the buffer's start and the regions that the descriptors name. */
enum ide_dma { IDE_DMA_OK, IDE_DMA_SHORT, IDE_DMA_FAULT };
enum ide_dma ide_dma_move(struct ide_channel *c, u32 n, bool to_memory);
static inline bool ide_dma_on(const struct ide_channel *c)
{
    return c->bm_command & 1 && c->bm_status & 1;
}
/* The bus master was started while a command waits for it. */
void ide_dma_started(struct ide_channel *c);
/* The transfer is over. */
void ide_dma_over(struct ide_channel *c);

#endif
