/* An ATA channel with up to two drives, disks or CD-ROMs. See ide.c. All calls run under the VM's big lock. */
#ifndef DEV_IDE_IDE_H
#define DEV_IDE_IDE_H

#include "dev/block.h"
#include "dev/device.h"
#include "mem/mem.h"

#define IDE_BUFFER     32768u
#define IDE_SECTOR     512u
#define IDE_CD_SECTOR  2048u
#define IDE_PACKET_LEN 12u
#define IDE_MULTIPLE   16u /* the most sectors in a block of READ MULTIPLE */

/* Status and error bits (ATA/ATAPI-6, 7.15, 7.9); device control. */
enum {
    IDE_BSY = 0x80,
    IDE_DRDY = 0x40,
    IDE_DF = 0x20,
    IDE_DSC = 0x10,
    IDE_DRQ = 0x08,
    IDE_ERR = 0x01,
    IDE_E_UNC = 0x40,
    IDE_E_IDNF = 0x10,
    IDE_E_ABRT = 0x04,
    IDE_C_HOB = 0x80,
    IDE_C_SRST = 0x04,
    IDE_C_NIEN = 0x02,
    IDE_DEV_LBA = 0x40,
    IDE_DEV_SLAVE = 0x10,
    /* The sector count register of a packet command: what the drive wants. */
    IDE_R_COMMAND = 0x01,
    IDE_R_IN = 0x02,
};

enum { IDE_FEATURE, IDE_COUNT, IDE_LOW, IDE_MID, IDE_HIGH, IDE_REGS };

struct ide_drive {
    struct block *disk; /* a CD-ROM's may be null: no medium */
    bool present, cdrom;
    char serial[21];
    bool locked; /* the guest forbids to eject */
    void (*eject)(void *opaque); /* the guest opened the tray; may be null */
    void *eject_opaque;
    u8 reg[IDE_REGS], hob[IDE_REGS]; /* as last written or answered; what was there before */
    u8 device, status, error;
    u8 multiple; /* 0: not set */
    u8 sense, asc;
    u8 media_event; /* for GET EVENT STATUS: 0 none, 1 eject asked for, 2 new, 3 gone */
};

/* What the channel is doing. */
enum ide_phase {
    IDE_IDLE,
    IDE_DISK,     /* waits for the back end */
    IDE_PIO_IN,   /* the host reads a block */
    IDE_PIO_OUT,  /* the host writes a block */
    IDE_PACKET,   /* the host writes a packet command */
    IDE_DMA_WAIT, /* for the bus master's start */
};

struct ide_channel {
    const char *name;
    struct mem *mem;
    struct irq_line irq;
    bool on; /* its ports answer */
    struct ide_drive drives[2];
    u8 selected, control;
    bool intrq;
    u8 phase;
    /* The transfer: LEFT sectors of SECTOR_SIZE from LBA on are still to move between disk and buffer. */
    bool to_host, dma, packet;
    u64 lba;
    u32 left, sector_size;
    u32 at, block_end, end; /* in buf: the host's place, the end of this DRQ block, the end of what is there */
    u32 limit;              /* bytes in a DRQ block */
    u8 buf[IDE_BUFFER];
    struct block_request io;
    bool io_busy, io_pumping, reset_waits;
    /* The bus master. */
    u8 bm_command, bm_status;
    u32 bm_table, prd, prd_addr, prd_left;
    bool prd_last;
};

extern const struct device_ops ide_channel_ops;
extern const struct bus_ops ide_command_bus; /* 8 ports */
extern const struct bus_ops ide_control_bus; /* 1 port */

void ide_channel_init(struct ide_channel *c, const char *name, struct mem *mem, struct irq_line irq);
/* DISK null: an empty CD-ROM. */
void ide_attach(struct ide_channel *c, unsigned n, struct block *disk, bool cdrom, const char *serial);
/* The user presses the button of a drive whose tray the guest has locked: GET EVENT STATUS tells it. */
void ide_ask_medium(struct ide_drive *d);
/* Another medium, or null: none; what locked the tray goes with the old one. False: the drive is at work, try again. The caller closes the old one. */
bool ide_change_medium(struct ide_channel *c, unsigned n, struct block *disk);

/* The VM goes: what is in flight ends in nothing. */
void ide_stop(struct ide_channel *c);

/* The bus master's 8 ports of this channel. */
u8 ide_bm_read(struct ide_channel *c, unsigned off);
void ide_bm_write(struct ide_channel *c, unsigned off, u8 value);

#endif
