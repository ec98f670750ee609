/* The ATA channel by port scripts, over a back end in memory that is done at once or later: identification, PIO and DMA both ways, 48-bit
 * addresses, the ends of the disk, readonly, errors of the back end, reset while a request is under way, descriptors that are short or point
 * nowhere, a CD-ROM's packets, its medium gone and changed, saved state, an empty channel. Ends with random ports, values and descriptors. */
#include <stdlib.h>

#include "bench.h"
#include "base/le.h"
#include "dev/ide/ide.h"

enum { BASE = 0x1f0, CONTROL = 0x3f6, SECTORS = 2000, TABLE = 0x8000, DATA = 0x10000 };

struct memory_disk {
    struct block b;
    u8 data[SECTORS * IDE_SECTOR];
    bool later;                     /* requests wait in `waiting` */
    int error;                      /* what they end with */
    struct block_request *waiting;
    unsigned requests, flushes;
};

struct rig {
    struct bench b;
    struct mem mem;
    struct ide_channel c;
    struct memory_disk disk, disc;
};

static void disk_do(struct memory_disk *d, struct block_request *r)
{
    r->error = d->error;
    if (!r->error && r->op != BLOCK_FLUSH && !(r->off + r->len <= sizeof d->data && r->off + r->len >= r->off))
        abort(); /* outside: the door let it through */
    if (!r->error && r->op == BLOCK_READ)
        memcpy(r->data, d->data + r->off, r->len);
    if (!r->error && r->op == BLOCK_WRITE)
        memcpy(d->data + r->off, r->data, r->len);
    d->flushes += r->op == BLOCK_FLUSH;
    d->requests++;
    r->done(r);
}

static void disk_submit(struct block *b, struct block_request *r)
{
    struct memory_disk *d = (struct memory_disk *)b;
    if (d->later)
        d->waiting = r;
    else
        disk_do(d, r);
}

static void disk_finish(struct memory_disk *d)
{
    struct block_request *r = d->waiting;
    d->waiting = NULL;
    if (r)
        disk_do(d, r);
}

static const struct block_ops disk_ops = {.submit = disk_submit};

static void rig_init(struct rig *r)
{
    struct error e;
    memset(r, 0, sizeof *r);
    bench_init(&r->b);
    if (mem_init(&r->mem, MIB(1), &e) != STATUS_OK)
        abort();
    for (size_t i = 0; i < sizeof r->disk.data; i++) {
        r->disk.data[i] = (u8)(i / IDE_SECTOR + i);
        r->disc.data[i] = (u8)(i / IDE_CD_SECTOR + 3 * i);
    }
    r->disk.b = r->disc.b = (struct block){.ops = &disk_ops, .size = sizeof r->disk.data};
    ide_channel_init(&r->c, "ide0", &r->mem, bench_wire(&r->b, 14));
    ide_attach(&r->c, 0, &r->disk.b, false, "disk0");
    ide_attach(&r->c, 1, &r->disc.b, true, "cd0");
    r->c.on = true;
    bench_map(&r->b, &r->b.pio, "ide", BASE, 8, &ide_command_bus, &r->c);
    bench_map(&r->b, &r->b.pio, "control", CONTROL, 1, &ide_control_bus, &r->c);
    device_reset(&(struct device){&ide_channel_ops, &r->c});
}

static u8 status(struct rig *r)
{
    return in8(&r->b, BASE + 7);
}

static void command(struct rig *r, unsigned drive, u32 lba, u8 count, u8 cmd)
{
    out8(&r->b, BASE + 6, (u8)(0xe0 | drive << 4 | lba >> 24));
    out8(&r->b, BASE + 2, count);
    out8(&r->b, BASE + 3, (u8)lba);
    out8(&r->b, BASE + 4, (u8)(lba >> 8));
    out8(&r->b, BASE + 5, (u8)(lba >> 16));
    out8(&r->b, BASE + 7, cmd);
}

/* Nobody there: BSY is clear, for who waits for it to go (OVMF does, half a minute). */
static void test_empty(struct rig *r)
{
    r->c.drives[0].present = r->c.drives[1].present = false;
    CHECK(&r->b, status(r) == 0x7f && in8(&r->b, CONTROL) == 0x7f && in8(&r->b, BASE + 2) == 0x7f);
    r->c.drives[0].present = r->c.drives[1].present = true;
}

static void data_in(struct rig *r, u8 *to, u32 n)
{
    for (u32 i = 0; i < n; i += 2)
        st16(to + i, (u16)bus_read(&r->b.pio, BASE, 2));
}

static void data_out(struct rig *r, const u8 *from, u32 n)
{
    for (u32 i = 0; i < n; i += 4)
        bus_write(&r->b.pio, BASE, 4, ld32(from + i));
}

/* Descriptor N of the table; LAST ends it. */
static void prd(struct rig *r, unsigned n, u32 addr, u32 len, bool last)
{
    st32(r->mem.base + TABLE + 8 * n, addr);
    st32(r->mem.base + TABLE + 8 * n + 4, (len & 0xffff) | (last ? 0x80000000u : 0));
}

static void master(struct rig *r, u8 value)
{
    for (unsigned i = 0; i < 4; i++)
        ide_bm_write(&r->c, 4 + i, (u8)(TABLE >> 8 * i));
    ide_bm_write(&r->c, 2, 6);
    ide_bm_write(&r->c, 0, value);
}

static void test_disk(struct rig *r)
{
    static u8 buf[64 * IDE_SECTOR];
    CHECK(&r->b, status(r) == (IDE_DRDY | IDE_DSC) && in8(&r->b, BASE + 4) == 0);
    command(r, 0, 0, 0, 0xec);
    CHECK(&r->b, r->b.wires[14].level && status(r) & IDE_DRQ && !r->b.wires[14].level);
    data_in(r, buf, IDE_SECTOR);
    CHECK(&r->b, ld32(buf + 120) == SECTORS && ld64(buf + 200) == SECTORS && !memcmp(buf + 54, "RTNI EIDKS", 10));
    CHECK(&r->b, !(status(r) & IDE_DRQ));

    command(r, 0, 5, 3, 0x20); /* READ SECTORS: an interrupt each */
    unsigned rises = r->b.wires[14].rises;
    for (unsigned i = 0; i < 3; i++) {
        CHECK(&r->b, status(r) & IDE_DRQ);
        data_in(r, buf + i * IDE_SECTOR, IDE_SECTOR);
    }
    CHECK(&r->b, !memcmp(buf, r->disk.data + 5 * IDE_SECTOR, 3 * IDE_SECTOR) && r->b.wires[14].rises == rises + 2);
    command(r, 0, SECTORS - 1, 2, 0x20);
    CHECK(&r->b, status(r) & IDE_ERR && in8(&r->b, BASE + 1) == IDE_E_IDNF);
    command(r, 0, 0, 16, 0xc4); /* READ MULTIPLE without SET MULTIPLE */
    CHECK(&r->b, in8(&r->b, BASE + 1) == IDE_E_ABRT);
    command(r, 0, 0, 16, 0xc6);
    CHECK(&r->b, !(status(r) & IDE_ERR));
    command(r, 0, 7, 20, 0xc4);
    data_in(r, buf, 16 * IDE_SECTOR);
    CHECK(&r->b, status(r) & IDE_DRQ);
    data_in(r, buf + 16 * IDE_SECTOR, 4 * IDE_SECTOR);
    CHECK(&r->b, !memcmp(buf, r->disk.data + 7 * IDE_SECTOR, 20 * IDE_SECTOR) && !(status(r) & IDE_DRQ));

    memset(buf, 0x5a, sizeof buf);
    command(r, 0, 100, 2, 0x30); /* WRITE SECTORS */
    data_out(r, buf, IDE_SECTOR);
    CHECK(&r->b, status(r) & IDE_DRQ && r->disk.data[100 * IDE_SECTOR] == 0x5a && r->disk.data[101 * IDE_SECTOR] != 0x5a);
    data_out(r, buf, IDE_SECTOR);
    CHECK(&r->b, status(r) == (IDE_DRDY | IDE_DSC) && r->disk.data[102 * IDE_SECTOR - 1] == 0x5a);
    command(r, 0, 0, 0, 0xe7);
    CHECK(&r->b, r->disk.flushes == 1 && r->b.wires[14].level);
    r->disk.b.readonly = true;
    command(r, 0, 0, 1, 0x30);
    CHECK(&r->b, in8(&r->b, BASE + 1) == IDE_E_ABRT);
    r->disk.b.readonly = false;
    r->disk.error = 5;
    command(r, 0, 0, 1, 0x20);
    CHECK(&r->b, status(r) & IDE_ERR && in8(&r->b, BASE + 1) == 0x40);
    r->disk.error = 0;

    out8(&r->b, BASE + 6, 0xe0); /* 48 bits: sector 0x300 = 768, 256 + 44 of them, read by DMA in two regions */
    out8(&r->b, BASE + 2, 1), out8(&r->b, BASE + 2, 44);
    out8(&r->b, BASE + 3, 0), out8(&r->b, BASE + 3, 0);
    out8(&r->b, BASE + 4, 0), out8(&r->b, BASE + 4, 3);
    out8(&r->b, BASE + 5, 0), out8(&r->b, BASE + 5, 0);
    out8(&r->b, BASE + 7, 0x25);
    CHECK(&r->b, status(r) & IDE_DRQ && !r->b.wires[14].level);
    prd(r, 0, DATA, 0, false); /* 64 KiB */
    prd(r, 1, DATA + 65536, 65536 - 512, false);
    prd(r, 2, DATA + 131072 - 512, 512 + 44 * 512, true);
    master(r, 9);
    CHECK(&r->b, r->b.wires[14].level && ide_bm_read(&r->c, 2) == 4 && !(status(r) & IDE_ERR));
    CHECK(&r->b, !memcmp(r->mem.base + DATA, r->disk.data + 768 * IDE_SECTOR, 300 * IDE_SECTOR));
    ide_bm_write(&r->c, 0, 0);

    command(r, 0, 300, 4, 0xca); /* WRITE DMA */
    memset(r->mem.base + DATA, 0x77, 4 * IDE_SECTOR);
    prd(r, 0, DATA, 4 * IDE_SECTOR, true);
    master(r, 1);
    CHECK(&r->b, status(r) == (IDE_DRDY | IDE_DSC) && r->disk.data[300 * IDE_SECTOR] == 0x77 && r->disk.data[304 * IDE_SECTOR - 1] == 0x77);
    ide_bm_write(&r->c, 0, 0);
    command(r, 0, 0, 4, 0xc8); /* a table that is too short: the drive stays busy until a reset */
    prd(r, 0, DATA, 512, true);
    master(r, 9);
    CHECK(&r->b, status(r) & IDE_BSY && ide_bm_read(&r->c, 2) == 0);
    out8(&r->b, CONTROL, 4), out8(&r->b, CONTROL, 0);
    CHECK(&r->b, status(r) == (IDE_DRDY | IDE_DSC));
    ide_bm_write(&r->c, 0, 0);
    command(r, 0, 0, 4, 0xc8); /* into nothing */
    prd(r, 0, 0xfff00000, 4 * 512, true);
    master(r, 9);
    CHECK(&r->b, status(r) & IDE_ERR && ide_bm_read(&r->c, 2) == 6);
    ide_bm_write(&r->c, 0, 0);

    r->disk.later = true; /* a reset while the back end works */
    command(r, 0, 0, 1, 0x20);
    CHECK(&r->b, status(r) & IDE_BSY);
    out8(&r->b, CONTROL, 4), out8(&r->b, CONTROL, 0);
    CHECK(&r->b, status(r) & IDE_BSY);
    command(r, 0, 0, 1, 0xec);
    CHECK(&r->b, status(r) & IDE_BSY);
    disk_finish(&r->disk);
    CHECK(&r->b, status(r) == (IDE_DRDY | IDE_DSC) && !r->b.wires[14].level);
    r->disk.later = false;
}

/* What the registers themselves do: nIEN, addresses by cylinder and head, counts of 0, writes that come too early, the second set. */
static void test_registers(struct rig *r)
{
    static u8 buf[256 * IDE_SECTOR];
    out8(&r->b, CONTROL, 2);
    command(r, 0, 0, 1, 0xec);
    CHECK(&r->b, !r->b.wires[14].level);
    out8(&r->b, CONTROL, 0);
    CHECK(&r->b, r->b.wires[14].level);
    out8(&r->b, BASE + 2, 77); /* not while data wait */
    CHECK_EQ(&r->b, in8(&r->b, BASE + 2), 1);
    data_in(r, buf, IDE_SECTOR);
    out8(&r->b, BASE + 2, 77);
    CHECK_EQ(&r->b, in8(&r->b, BASE + 2), 77);

    command(r, 0, 3, 0, 0x20); /* 0: 256 sectors */
    data_in(r, buf, sizeof buf);
    CHECK(&r->b, !memcmp(buf, r->disk.data + 3 * IDE_SECTOR, sizeof buf) && !(status(r) & (IDE_DRQ | IDE_ERR)));
    out8(&r->b, BASE + 6, 0xa1); /* cylinder 1, head 1, sectors from 1 on */
    out8(&r->b, BASE + 2, 1), out8(&r->b, BASE + 3, 1), out8(&r->b, BASE + 4, 1), out8(&r->b, BASE + 5, 0), out8(&r->b, BASE + 7, 0x20);
    data_in(r, buf, IDE_SECTOR);
    CHECK(&r->b, !memcmp(buf, r->disk.data + 17 * 63 * IDE_SECTOR, IDE_SECTOR));
    out8(&r->b, BASE + 3, 0), out8(&r->b, BASE + 7, 0x20);
    CHECK_EQ(&r->b, in8(&r->b, BASE + 1), IDE_E_IDNF);

    command(r, 0, 0, 2 * IDE_MULTIPLE, 0xc6);
    CHECK_EQ(&r->b, in8(&r->b, BASE + 1), IDE_E_ABRT);
    command(r, 0, 0, 3, 0xc6);
    CHECK_EQ(&r->b, in8(&r->b, BASE + 1), IDE_E_ABRT);
    command(r, 0, 0, IDE_MULTIPLE, 0xc6);
    out8(&r->b, CONTROL, 4), out8(&r->b, CONTROL, 0);
    command(r, 0, 0, 1, 0xc4); /* a reset took it back */
    CHECK_EQ(&r->b, in8(&r->b, BASE + 1), IDE_E_ABRT);

    command(r, 0, 0, 0, 0xf8);
    CHECK(&r->b, in8(&r->b, BASE + 3) == ((SECTORS - 1) & 0xff) && in8(&r->b, BASE + 4) == (SECTORS - 1) >> 8);
    r->disk.b.size = 0x123456789ull * IDE_SECTOR;
    command(r, 0, 0, 0, 0x27);
    CHECK(&r->b, in8(&r->b, BASE + 3) == 0x88 && in8(&r->b, BASE + 4) == 0x67 && in8(&r->b, BASE + 5) == 0x45);
    out8(&r->b, CONTROL, 0x80);
    CHECK(&r->b, in8(&r->b, BASE + 3) == 0x23 && in8(&r->b, BASE + 4) == 0x01 && in8(&r->b, BASE + 5) == 0);
    out8(&r->b, CONTROL, 0);
    r->disk.b.size = sizeof r->disk.data;
}

/* The back end fails, is slow while the machine is reset, gets more room than it fills. */
static void test_ends(struct rig *r)
{
    static const u8 zeroes[IDE_SECTOR];
    unsigned flushes = r->disk.flushes;
    command(r, 0, 0, 0, 0xea);
    CHECK(&r->b, r->disk.flushes == flushes + 1 && !(status(r) & IDE_ERR));
    r->disk.error = 5;
    command(r, 0, 9, 1, 0x30);
    data_out(r, zeroes, IDE_SECTOR);
    CHECK(&r->b, status(r) & IDE_ERR && in8(&r->b, BASE + 1) == IDE_E_ABRT);
    command(r, 0, 0, 0, 0xe7);
    CHECK(&r->b, status(r) & IDE_ERR && in8(&r->b, BASE + 1) == IDE_E_ABRT);
    r->disk.error = 0;

    command(r, 0, 0, 1, 0xc8);
    prd(r, 0, DATA, 2 * IDE_SECTOR, true);
    master(r, 9);
    CHECK_EQ(&r->b, ide_bm_read(&r->c, 2), 5); /* interrupt, and active: the table has more */
    ide_bm_write(&r->c, 0, 0);

    r->disk.later = true;
    command(r, 0, 0, 1, 0x20);
    device_reset(&(struct device){&ide_channel_ops, &r->c});
    CHECK(&r->b, status(r) & IDE_BSY);
    disk_finish(&r->disk);
    CHECK(&r->b, status(r) == (IDE_DRDY | IDE_DSC));
    r->disk.later = false;
}

static void packet(struct rig *r, const u8 p[12], u32 limit)
{
    command(r, 1, limit << 8, 0, 0xa0);
    CHECK(&r->b, in8(&r->b, BASE + 2) == IDE_R_COMMAND && status(r) & IDE_DRQ);
    data_out(r, p, 12);
}

static void test_cd(struct rig *r)
{
    static u8 buf[8 * IDE_CD_SECTOR];
    command(r, 1, 0, 0, 0xec);
    CHECK(&r->b, status(r) & IDE_ERR && in8(&r->b, BASE + 4) == 0x14 && in8(&r->b, BASE + 5) == 0xeb);
    command(r, 1, 0, 0, 0xa1);
    data_in(r, buf, IDE_SECTOR);
    CHECK(&r->b, ld16(buf) == 0x85c0);
    packet(r, (const u8[12]){0x25}, 8);
    data_in(r, buf, 8);
    CHECK(&r->b, buf[2] == 1 && buf[3] == 0xf3 && buf[6] == 8 && in8(&r->b, BASE + 2) == 3); /* 500 sectors */
    packet(r, (const u8[12]){0x28, 0, 0, 0, 0, 9, 0, 0, 3}, 4096); /* READ 10: two blocks */
    CHECK(&r->b, in8(&r->b, BASE + 4) == 0 && in8(&r->b, BASE + 5) == 16 && in8(&r->b, BASE + 2) == IDE_R_IN);
    data_in(r, buf, 4096);
    CHECK(&r->b, in8(&r->b, BASE + 5) == 8);
    data_in(r, buf + 4096, 2048);
    CHECK(&r->b, !memcmp(buf, r->disc.data + 9 * IDE_CD_SECTOR, 3 * IDE_CD_SECTOR) && !(status(r) & (IDE_DRQ | IDE_ERR)));
    packet(r, (const u8[12]){0x28, 0, 0, 0, 1, 0xf3, 0, 0, 2}, 4096); /* behind the end */
    CHECK(&r->b, status(r) & IDE_ERR && in8(&r->b, BASE + 1) == 0x54);
    packet(r, (const u8[12]){0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 2}, 4096);
    CHECK(&r->b, in8(&r->b, BASE + 1) == 0x54);
    packet(r, (const u8[12]){0x03, 0, 0, 0, 18}, 18);
    data_in(r, buf, 18);
    CHECK(&r->b, buf[2] == 5 && buf[12] == 0x21);
    packet(r, (const u8[12]){0xff}, 18);
    CHECK(&r->b, in8(&r->b, BASE + 1) == 0x54);

    CHECK(&r->b, ide_change_medium(&r->c, 1, NULL));
    packet(r, (const u8[12]){0x00}, 0);
    CHECK(&r->b, in8(&r->b, BASE + 1) == 0x20); /* not ready */
    CHECK(&r->b, ide_change_medium(&r->c, 1, &r->disc.b));
    packet(r, (const u8[12]){0x00}, 0);
    CHECK(&r->b, in8(&r->b, BASE + 1) == 0x60); /* unit attention, until it is asked for */
    packet(r, (const u8[12]){0x03, 0, 0, 0, 18}, 18);
    data_in(r, buf, 18);
    CHECK(&r->b, buf[2] == 6 && buf[12] == 0x28);
    packet(r, (const u8[12]){0x00}, 0);
    CHECK(&r->b, !(status(r) & IDE_ERR));
}

/* Replies that are cut, block limits, the lock of the tray, what a change of the medium tells. */
static void test_cd_more(struct rig *r)
{
    static u8 buf[4 * IDE_CD_SECTOR];
    packet(r, (const u8[12]){0x12, 0, 0, 0, 6}, 36); /* INQUIRY, room for 6 */
    CHECK(&r->b, in8(&r->b, BASE + 4) == 6 && in8(&r->b, BASE + 5) == 0);
    data_in(r, buf, 6);
    CHECK(&r->b, buf[0] == 5 && buf[1] == 0x80 && !(status(r) & IDE_DRQ));
    packet(r, (const u8[12]){0xa8, 0, 0, 0, 0, 4, 0, 0, 0, 2}, 1001); /* READ 12, blocks of an odd limit */
    CHECK_EQ(&r->b, in8(&r->b, BASE + 4) | in8(&r->b, BASE + 5) << 8, 1000);
    CHECK(&r->b, !ide_change_medium(&r->c, 1, NULL)); /* not in the middle of a command */
    data_in(r, buf, 2 * IDE_CD_SECTOR);
    CHECK(&r->b, !memcmp(buf, r->disc.data + 4 * IDE_CD_SECTOR, 2 * IDE_CD_SECTOR) && !(status(r) & (IDE_DRQ | IDE_ERR)));
    packet(r, (const u8[12]){0x43, 2, 0, 0, 0, 0, 0, 0, 20}, 20); /* READ TOC in minutes, seconds, frames */
    data_in(r, buf, 20);
    CHECK(&r->b, buf[1] == 18 && !memcmp(buf + 8, (u8[]){0, 0, 2, 0}, 4) && !memcmp(buf + 16, (u8[]){0, 0, 8, 50}, 4)); /* 500 + 150 frames */

    packet(r, (const u8[12]){0x1e, 0, 0, 0, 1}, 0); /* PREVENT REMOVAL */
    packet(r, (const u8[12]){0x1b, 0, 0, 0, 2}, 0); /* open the tray */
    CHECK(&r->b, in8(&r->b, BASE + 1) == 0x20 && r->c.drives[1].disk);
    for (unsigned i = 0; i < 2; i++) {
        packet(r, (const u8[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, 8); /* GET EVENT: what was before; then somebody pressed the button */
        data_in(r, buf, 8);
        CHECK(&r->b, buf[4] == (i ? 1 : 2) && buf[5] == 2);
        ide_ask_medium(&r->c.drives[1]);
    }
    packet(r, (const u8[12]){0x1e}, 0);
    packet(r, (const u8[12]){0x1b, 0, 0, 0, 2}, 0);
    CHECK(&r->b, !(status(r) & IDE_ERR) && !r->c.drives[1].disk);
    CHECK(&r->b, ide_change_medium(&r->c, 1, &r->disc.b));
    for (unsigned i = 0; i < 2; i++) {
        packet(r, (const u8[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, 8); /* GET EVENT: a new medium, told once */
        data_in(r, buf, 8);
        CHECK(&r->b, buf[4] == (i ? 0 : 2) && buf[5] == 2);
    }
    packet(r, (const u8[12]){0x12, 0, 0, 0, 36}, 36); /* INQUIRY takes no unit attention away */
    data_in(r, buf, 36);
    packet(r, (const u8[12]){0x00}, 0);
    CHECK_EQ(&r->b, in8(&r->b, BASE + 1), 0x60);
    packet(r, (const u8[12]){0x03, 0, 0, 0, 18}, 18);
    data_in(r, buf, 18);
    CHECK(&r->b, buf[2] == 6);
    packet(r, (const u8[12]){0x00}, 0);
    CHECK(&r->b, !(status(r) & IDE_ERR));
}

static void test_saved(struct rig *r)
{
    struct buffer image = {0};
    struct error e;
    u8 buf[IDE_SECTOR];
    command(r, 0, 40, 2, 0x20);
    data_in(r, buf, 100);
    CHECK(&r->b, fields_save(ide_channel_ops.fields, &r->c, &image, &e) == STATUS_OK);
    device_reset(&(struct device){&ide_channel_ops, &r->c});
    CHECK(&r->b, fields_restore(ide_channel_ops.fields, &r->c, &image, &e) == STATUS_OK && ide_channel_ops.after_restore(&r->c));
    data_in(r, buf + 100, IDE_SECTOR - 100);
    CHECK(&r->b, !memcmp(buf, r->disk.data + 40 * IDE_SECTOR, IDE_SECTOR) && status(r) & IDE_DRQ);
    image.pos = 0;
    r->c.end = IDE_BUFFER + 1;
    CHECK(&r->b, !ide_channel_ops.after_restore(&r->c));
    CHECK(&r->b, fields_restore(ide_channel_ops.fields, &r->c, &image, &e) == STATUS_OK);
    r->c.lba = ~0ull;
    r->c.left = 1;
    CHECK(&r->b, !ide_channel_ops.after_restore(&r->c));
    buffer_free(&image);
    device_reset(&(struct device){&ide_channel_ops, &r->c});
}

/* Whatever a guest writes: no access of the disk, the buffer or memory goes outside. */
static void test_random(struct rig *r)
{
    u64 seed = 1;
    for (unsigned i = 0; i < 500000; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        u32 x = (u32)(seed >> 33), v = (u32)(seed >> 20);
        static const u8 commands[] = {0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0xa0, 0xa1, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe7, 0xec, 0x90};
        static const u8 packets[] = {0x00, 0x03, 0x12, 0x1a, 0x25, 0x28, 0x43, 0x46, 0x4a, 0x5a, 0xa8, 0xbe};
        switch (x % 16) {
        case 0: out8(&r->b, BASE + 7, v & 1 ? commands[(v >> 1) % sizeof commands] : (u8)v); break;
        case 1: case 2: case 3: out8(&r->b, (u16)(BASE + 1 + (v >> 8) % 6), v & 0x10000 ? (u8)v & 3 : (u8)v); break;
        case 4: case 5: (void)bus_read(&r->b.pio, BASE + (v >> 8) % 8, 1u << (v >> 12) % 3); break;
        case 6: bus_write(&r->b.pio, BASE, 4, packets[v % sizeof packets] | v << 8), bus_write(&r->b.pio, BASE, 4, v & 0x0f0f0f0f); break;
        case 7: for (unsigned k = 0; k < 600; k++) bus_write(&r->b.pio, BASE, 4, v); break;
        case 8: for (unsigned k = 0; k < 600; k++) bus_read(&r->b.pio, BASE, 4); break;
        case 9: ide_bm_write(&r->c, (v >> 8) % 8, (u8)v); break;
        case 10: master(r, (u8)v); break;
        case 11: prd(r, (v >> 4) % 4, v & 0x100 ? v * 64 : DATA, v, v & 1); break;
        case 12: disk_finish(&r->disk), disk_finish(&r->disc); break;
        case 13: r->disk.later = v & 1, r->disc.later = v & 2; r->disk.error = v & 0x3c ? 0 : 5; break;
        case 14: if (!(v & 0xff)) out8(&r->b, CONTROL, (u8)(v >> 8)); break;
        default: if (!(v & 0xff)) ide_change_medium(&r->c, 1, v & 0x100 ? &r->disc.b : NULL);
        }
        if (r->c.end > IDE_BUFFER || r->c.at > IDE_BUFFER || r->c.block_end > IDE_BUFFER)
            abort();
    }
    r->b.checks++;
}

int main(void)
{
    static struct rig r;
    rig_init(&r);
    test_empty(&r);
    test_disk(&r);
    test_registers(&r);
    test_ends(&r);
    test_cd(&r);
    test_cd_more(&r);
    test_saved(&r);
    test_random(&r);
    mem_destroy(&r.mem);
    return bench_end(&r.b);
}
