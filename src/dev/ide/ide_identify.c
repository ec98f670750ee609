/* IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA/ATAPI-6, 8.15, 8.16): 256 little-endian words. */
#include <stdio.h>

#include "dev/ide/ide_impl.h"

static void word(u8 *out, unsigned n, u32 v)
{
    st16(out + 2 * n, (u16)v);
}

/* Text has its characters swapped in each word, and is padded by blanks. */
static void text(u8 *out, unsigned n, unsigned words, const char *s)
{
    for (unsigned i = 0; i < 2 * words; i++)
        out[2 * n + (i ^ 1)] = (u8)(*s ? *s++ : ' ');
}

static void disk(const struct ide_drive *d, u8 *out)
{
    u64 sectors = d->disk->size / IDE_SECTOR, cylinders = sectors / (16 * 63);
    u32 lba28 = sectors < 0x10000000 ? (u32)sectors : 0x0fffffff;
    word(out, 0, 0x0040); /* fixed */
    word(out, 1, cylinders < 16383 ? (u32)cylinders : 16383);
    word(out, 3, 16);
    word(out, 6, 63);
    word(out, 47, 0x8000 | IDE_MULTIPLE);
    word(out, 59, d->multiple ? 0x100u | d->multiple : 0);
    word(out, 54, cylinders < 16383 ? (u32)cylinders : 16383);
    word(out, 55, 16);
    word(out, 56, 63);
    st32(out + 2 * 57, cylinders < 16383 ? (u32)cylinders * 16 * 63 : 16383u * 16 * 63);
    st32(out + 2 * 60, lba28);
    /* Command sets: write cache; FLUSH CACHE, FLUSH CACHE EXT, 48-bit addresses. And that they are on. */
    word(out, 82, 0x0020);
    word(out, 83, 0x4000 | 1 << 13 | 1 << 12 | 1 << 10);
    word(out, 84, 0x4000);
    word(out, 85, 0x0020);
    word(out, 86, 1 << 13 | 1 << 12 | 1 << 10);
    word(out, 87, 0x4000);
    st64(out + 2 * 100, sectors);
}

void ide_identify(const struct ide_drive *d, u8 out[IDE_SECTOR])
{
    memset(out, 0, IDE_SECTOR);
    if (d->cdrom)
        word(out, 0, 0x85c0); /* ATAPI, CD-ROM, removable, DRQ within 50 us, packets of 12 bytes */
    else
        disk(d, out);
    text(out, 10, 10, d->serial);
    text(out, 23, 4, "1.0");
    text(out, 27, 20, d->cdrom ? "TRINE CD-ROM" : "TRINE DISK");
    word(out, 49, 0x0300); /* LBA, DMA */
    word(out, 53, 0x0006); /* words 64-70 and 88 count */
    word(out, 63, 0x0007); /* multiword DMA 0-2 */
    word(out, 64, 0x0003); /* PIO 3, 4 */
    word(out, 65, 120);
    word(out, 66, 120);
    word(out, 67, 120);
    word(out, 68, 120);
    word(out, 80, 0x0070); /* ATA/ATAPI-4, 5, 6 */
}
