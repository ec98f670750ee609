/* An ATA channel (ATA/ATAPI-6, T13 1410D: chapters 7 "registers", 8 "commands", 9 "protocols"): PIO, multiword DMA by the bus master of
 * ide_dma.c, 28- and 48-bit addresses, the PACKET command (ide_atapi.c).
 *
 * Each drive has its registers; what the host writes reaches both, what it reads comes from the selected one. One command is under way per
 * channel. Data pass through a buffer of ours: a read fetches up to IDE_BUFFER bytes and hands them out in DRQ blocks, a write goes to the back
 * end block by block. A reset during a request of the back end leaves BSY set until it is done, as a drive may (9.2), so that no request
 * outlives its command. Writes are cached by the host and IDENTIFY says so: FLUSH CACHE is what makes them last.
 * Not modelled: cylinders and heads but for IDENTIFY and their translation, power states, security, SMART, queued commands, overlapped packets. */
#include "dev/ide/ide_impl.h"

/* What IDENTIFY tells: 16 heads of 63 sectors (table 27, word 1). */
enum { HEADS = 16, SECTORS = 63 };

/* --- the interrupt */

static void follow_irq(struct ide_channel *c)
{
    irq_set(&c->irq, c->intrq && !(c->control & IDE_C_NIEN));
}

void ide_interrupt(struct ide_channel *c)
{
    if (!c->intrq)
        c->bm_status |= 4; /* the bus master notes the edge */
    c->intrq = true;
    follow_irq(c);
}

static void clear_interrupt(struct ide_channel *c)
{
    c->intrq = false;
    follow_irq(c);
}

/* --- the end of a command */

void ide_end(struct ide_channel *c, u8 status, u8 error)
{
    struct ide_drive *d = ide_now(c);
    c->phase = IDE_IDLE;
    d->status = IDE_DRDY | IDE_DSC | status | (error ? IDE_ERR : 0);
    d->error = error;
    ide_interrupt(c);
}

void ide_abort(struct ide_channel *c)
{
    ide_end(c, 0, IDE_E_ABRT);
}

void ide_signature(struct ide_drive *d)
{
    memset(d->hob, 0, sizeof d->hob);
    d->reg[IDE_COUNT] = d->reg[IDE_LOW] = 1;
    d->reg[IDE_MID] = d->cdrom ? 0x14 : 0;
    d->reg[IDE_HIGH] = d->cdrom ? 0xeb : 0;
    d->device = 0;
}

/* After a reset and EXECUTE DEVICE DIAGNOSTIC (9.10): error 1 says that all is well. */
static void start_anew(struct ide_channel *c)
{
    for (unsigned n = 0; n < 2; n++) {
        struct ide_drive *d = &c->drives[n];
        ide_signature(d);
        d->error = 1;
        d->status = d->cdrom ? 0 : IDE_DRDY | IDE_DSC;
        d->multiple = 0;
    }
    c->selected = 0;
    c->phase = IDE_IDLE;
    c->reset_waits = false;
}

static void channel_reset(struct ide_channel *c)
{
    clear_interrupt(c);
    if (!c->io_busy) {
        start_anew(c);
        return;
    }
    c->reset_waits = true;
    c->drives[0].status = c->drives[1].status = IDE_BSY;
}

/* --- the back end */

static void io_end(struct ide_channel *c);

static void io_done(struct block_request *r)
{
    struct ide_channel *c = r->opaque;
    c->io_busy = false;
    if (!c->io_pumping)
        io_end(c);
}

/* A back end may be done inside submit; then the work goes on in this loop, and nothing nests. */
static void io_submit(struct ide_channel *c, enum block_op op, u64 off, u64 len)
{
    c->phase = IDE_DISK;
    ide_now(c)->status = IDE_BSY | IDE_DRDY;
    c->io = (struct block_request){.op = op, .off = off, .len = len, .data = c->buf, .done = io_done, .opaque = c};
    c->io_busy = true;
    if (c->io_pumping)
        return; /* the loop below, further out, takes it */
    c->io_pumping = true;
    do {
        block_submit(ide_now(c)->disk, &c->io);
        if (c->io_busy)
            break;
        io_end(c);
    } while (c->io_busy);
    c->io_pumping = false;
}

/* --- moving data */

/* The next DRQ block of what stands in the buffer. */
static void offer(struct ide_channel *c)
{
    struct ide_drive *d = ide_now(c);
    u32 n = c->end - c->at < c->limit ? c->end - c->at : c->limit;
    c->block_end = c->at + n;
    c->phase = IDE_PIO_IN;
    d->status = IDE_DRDY | IDE_DSC | IDE_DRQ;
    if (c->packet) {
        d->reg[IDE_COUNT] = IDE_R_IN;
        d->reg[IDE_MID] = (u8)n;
        d->reg[IDE_HIGH] = (u8)(n >> 8);
    }
    ide_interrupt(c);
}

static void finish(struct ide_channel *c)
{
    if (c->dma)
        ide_dma_over(c);
    if (c->packet)
        ide_packet_end(c);
    else
        ide_end(c, 0, 0);
}

static void fetch(struct ide_channel *c)
{
    u32 n = c->left < IDE_BUFFER / c->sector_size ? c->left : IDE_BUFFER / c->sector_size;
    u64 off = c->lba * c->sector_size;
    c->left -= n;
    c->lba += n;
    c->at = 0;
    c->end = n * c->sector_size;
    io_submit(c, BLOCK_READ, off, c->end);
}

/* The host has all of the buffer. */
static void given(struct ide_channel *c)
{
    struct ide_drive *d = ide_now(c);
    if (c->left)
        fetch(c);
    else if (c->dma || c->packet)
        finish(c);
    else { /* a PIO read ends without an interrupt of its own (9.5) */
        c->phase = IDE_IDLE;
        d->status = IDE_DRDY | IDE_DSC;
    }
}

static void dma_failed(struct ide_channel *c, enum ide_dma why)
{
    if (why == IDE_DMA_SHORT) { /* descriptors for less: the drive waits for ever, the host's driver resets it */
        c->phase = IDE_IDLE;
        ide_now(c)->status = IDE_BSY | IDE_DRDY;
        c->bm_status &= (u8)~1;
        return;
    }
    c->bm_status = (u8)((c->bm_status & ~1) | 2);
    if (c->packet)
        ide_packet_error(c, 0x0b, 0x11);
    else
        ide_abort(c);
}

static void dma_wait(struct ide_channel *c)
{
    c->phase = IDE_DMA_WAIT;
    ide_now(c)->status = IDE_DRDY | IDE_DSC | IDE_DRQ;
}

void ide_give(struct ide_channel *c, u32 n)
{
    c->at = 0;
    c->end = n;
    if (!c->dma) {
        offer(c);
        return;
    }
    if (!ide_dma_on(c)) {
        dma_wait(c);
        return;
    }
    enum ide_dma r = ide_dma_move(c, n, true);
    if (r == IDE_DMA_OK)
        given(c);
    else
        dma_failed(c, r);
}

/* The next part of a write: by DMA now, or from the host's next block. */
static void want(struct ide_channel *c, bool first)
{
    struct ide_drive *d = ide_now(c);
    u32 most = c->dma ? IDE_BUFFER : c->limit, n = c->left * IDE_SECTOR < most ? c->left * IDE_SECTOR : most;
    c->at = 0;
    c->block_end = c->end = n;
    if (c->dma && !ide_dma_on(c)) {
        dma_wait(c);
        return;
    }
    if (c->dma) {
        enum ide_dma r = ide_dma_move(c, n, false);
        if (r == IDE_DMA_OK)
            io_submit(c, BLOCK_WRITE, c->lba * IDE_SECTOR, n);
        else
            dma_failed(c, r);
        return;
    }
    c->phase = IDE_PIO_OUT;
    d->status = IDE_DRDY | IDE_DSC | IDE_DRQ;
    if (!first)
        ide_interrupt(c);
}

void ide_dma_started(struct ide_channel *c)
{
    if (c->phase != IDE_DMA_WAIT)
        return;
    if (c->to_host)
        ide_give(c, c->end);
    else
        want(c, true);
}

static void io_end(struct ide_channel *c)
{
    if (c->reset_waits) {
        start_anew(c);
        return;
    }
    if (c->io.error && c->packet)
        ide_packet_error(c, 0x03, 0x11); /* medium error, unrecovered read error */
    else if (c->io.error)
        ide_end(c, 0, c->io.op == BLOCK_READ ? IDE_E_UNC : IDE_E_ABRT);
    else if (c->io.op == BLOCK_READ)
        ide_give(c, c->end);
    else if (c->io.op == BLOCK_WRITE) {
        c->left -= c->end / IDE_SECTOR;
        c->lba += c->end / IDE_SECTOR;
        if (c->left)
            want(c, false);
        else
            finish(c);
    } else
        ide_end(c, 0, 0);
    if (c->io.error && c->dma)
        ide_dma_over(c);
}

void ide_read_disk(struct ide_channel *c, u64 lba, u32 sectors, u32 sector_size)
{
    c->to_host = true;
    c->lba = lba;
    c->left = sectors;
    c->sector_size = sector_size;
    fetch(c);
}

/* --- ATA commands */

static u64 disk_sectors(const struct ide_drive *d)
{
    return d->disk ? d->disk->size / IDE_SECTOR : 0;
}

/* The address and count in the registers; false: outside the disk. */
static bool address(const struct ide_drive *d, bool ext, u64 *lba, u32 *count)
{
    const u8 *r = d->reg, *h = d->hob;
    u32 n = ext ? (u32)h[IDE_COUNT] << 8 | r[IDE_COUNT] : r[IDE_COUNT], all = ext ? 65536 : 256;
    u64 low = r[IDE_LOW] | (u32)r[IDE_MID] << 8 | (u32)r[IDE_HIGH] << 16;
    *count = n ? n : all;
    if (ext)
        *lba = low | (u64)h[IDE_LOW] << 24 | (u64)h[IDE_MID] << 32 | (u64)h[IDE_HIGH] << 40;
    else if (d->device & IDE_DEV_LBA)
        *lba = low | (u64)(d->device & 0xf) << 24;
    else if (!r[IDE_LOW] || r[IDE_LOW] > SECTORS)
        return false;
    else
        *lba = ((low >> 8) * HEADS + (d->device & 0xf)) * SECTORS + r[IDE_LOW] - 1;
    return range_ok(*lba, *count, disk_sectors(d));
}

enum { EXT = 1, DMA = 2, WRITE = 4, MULTIPLE = 8, VERIFY = 16 };

static void transfer(struct ide_channel *c, unsigned how)
{
    struct ide_drive *d = ide_now(c);
    u64 lba;
    u32 count;
    if (how & MULTIPLE && !d->multiple) {
        ide_abort(c);
        return;
    }
    if (!address(d, how & EXT, &lba, &count)) {
        ide_end(c, 0, IDE_E_IDNF);
        return;
    }
    if (how & VERIFY || (how & WRITE && d->disk->readonly)) {
        ide_end(c, 0, how & VERIFY ? 0 : IDE_E_ABRT);
        return;
    }
    c->dma = how & DMA;
    c->packet = false;
    c->limit = how & MULTIPLE ? d->multiple * IDE_SECTOR : IDE_SECTOR;
    if (!(how & WRITE)) {
        ide_read_disk(c, lba, count, IDE_SECTOR);
        return;
    }
    c->to_host = false;
    c->lba = lba;
    c->left = count;
    c->sector_size = IDE_SECTOR;
    want(c, true);
}

static void identify(struct ide_channel *c)
{
    struct ide_drive *d = ide_now(c);
    ide_identify(d, c->buf);
    c->dma = c->packet = false;
    c->to_host = true;
    c->left = 0;
    c->limit = IDE_SECTOR;
    ide_give(c, IDE_SECTOR);
}

static void set_multiple(struct ide_channel *c)
{
    struct ide_drive *d = ide_now(c);
    u8 n = d->reg[IDE_COUNT];
    if (n > IDE_MULTIPLE || n & (n - 1)) {
        ide_abort(c);
        return;
    }
    d->multiple = n;
    ide_end(c, 0, 0);
}

static void set_features(struct ide_channel *c)
{
    /* Transfer mode, write cache, read look-ahead, reverting to defaults, APM: all as it is. */
    static const u8 known[] = {0x02, 0x82, 0x03, 0x05, 0x85, 0x55, 0xaa, 0x66, 0xcc};
    if (memchr(known, ide_now(c)->reg[IDE_FEATURE], sizeof known))
        ide_end(c, 0, 0);
    else
        ide_abort(c);
}

static void native_max(struct ide_channel *c, bool ext)
{
    struct ide_drive *d = ide_now(c);
    u64 last = disk_sectors(d) - 1;
    if (!ext && last > 0xfffffff)
        last = 0xfffffff;
    for (unsigned i = 0; i < 3; i++) {
        d->reg[IDE_LOW + i] = (u8)(last >> 8 * i);
        d->hob[IDE_LOW + i] = (u8)(last >> (24 + 8 * i));
    }
    if (!ext)
        d->device = (u8)((d->device & 0xf0) | (last >> 24 & 0xf));
    ide_end(c, 0, 0);
}

static void flush(struct ide_channel *c)
{
    c->dma = c->packet = false;
    io_submit(c, BLOCK_FLUSH, 0, 0);
}

/* A CD-ROM knows few of these; to the others it answers by an abort and its signature (9.12). */
static bool cd_command(struct ide_channel *c, u8 command)
{
    struct ide_drive *d = ide_now(c);
    switch (command) {
    case 0xa0: /* PACKET: feature bit 0 asks for DMA */
        c->dma = d->reg[IDE_FEATURE] & 1;
        c->packet = true;
        c->limit = d->reg[IDE_MID] | (u32)d->reg[IDE_HIGH] << 8;
        c->at = 0;
        c->block_end = c->end = IDE_PACKET_LEN;
        c->phase = IDE_PACKET;
        d->reg[IDE_COUNT] = IDE_R_COMMAND;
        d->status = IDE_DRDY | IDE_DRQ;
        return true;
    case 0x08: /* DEVICE RESET: no interrupt */
        ide_signature(d);
        d->error = 1;
        d->status = 0;
        c->phase = IDE_IDLE;
        return true;
    case 0xa1: identify(c); return true;
    case 0xef: set_features(c); return true;
    case 0xe0: case 0xe1: case 0xe2: case 0xe3: case 0xe6: ide_end(c, 0, 0); return true;
    case 0xe5: d->reg[IDE_COUNT] = 0xff; ide_end(c, 0, 0); return true;
    case 0xec:
    case 0x20:
        ide_signature(d);
        return false;
    default: return false;
    }
}

static bool disk_command(struct ide_channel *c, u8 command)
{
    static const struct {
        u8 command, how;
    } moves[] = {
        {0x20, 0}, {0x21, 0}, {0x24, EXT}, {0x25, EXT | DMA}, {0x29, EXT | MULTIPLE}, {0xc4, MULTIPLE}, {0xc8, DMA}, {0xc9, DMA},
        {0x30, WRITE}, {0x31, WRITE}, {0x34, WRITE | EXT}, {0x35, WRITE | EXT | DMA}, {0x39, WRITE | EXT | MULTIPLE},
        {0xc5, WRITE | MULTIPLE}, {0xca, WRITE | DMA}, {0xcb, WRITE | DMA}, {0x40, VERIFY}, {0x41, VERIFY}, {0x42, VERIFY | EXT},
    };
    for (size_t i = 0; i < ARRAY_LEN(moves); i++)
        if (moves[i].command == command) {
            transfer(c, moves[i].how);
            return true;
        }
    switch (command) {
    case 0x10: case 0x70: case 0x91: /* RECALIBRATE, SEEK, INITIALIZE DEVICE PARAMETERS */
    case 0xe0: case 0xe1: case 0xe2: case 0xe3: case 0xe6: ide_end(c, 0, 0); return true;
    case 0xe5: ide_now(c)->reg[IDE_COUNT] = 0xff; ide_end(c, 0, 0); return true;
    case 0xec: identify(c); return true;
    case 0xc6: set_multiple(c); return true;
    case 0xef: set_features(c); return true;
    case 0xe7: case 0xea: flush(c); return true;
    case 0xf8: native_max(c, false); return true;
    case 0x27: native_max(c, true); return true;
    default: return false;
    }
}

static void command(struct ide_channel *c, u8 v)
{
    struct ide_drive *d = ide_now(c);
    clear_interrupt(c);
    if (v == 0x90) { /* EXECUTE DEVICE DIAGNOSTIC: both */
        if (c->drives[0].status & IDE_BSY || c->drives[1].status & IDE_BSY)
            return;
        start_anew(c);
        ide_interrupt(c);
        return;
    }
    if (!d->present || (d->status & IDE_BSY && !(d->cdrom && v == 0x08 && !c->io_busy)))
        return;
    d->error = 0;
    if (!(d->cdrom ? cd_command(c, v) : disk_command(c, v)))
        ide_abort(c);
}

/* --- ports */

static u32 data_read(struct ide_channel *c, unsigned size)
{
    u32 v = 0;
    for (unsigned i = 0; i < size && c->phase == IDE_PIO_IN; i++) {
        v |= (u32)c->buf[c->at++] << 8 * i;
        if (c->at < c->block_end)
            continue;
        if (c->at < c->end)
            offer(c);
        else
            given(c);
        break;
    }
    return v;
}

static void data_write(struct ide_channel *c, unsigned size, u32 v)
{
    for (unsigned i = 0; i < size && (c->phase == IDE_PIO_OUT || c->phase == IDE_PACKET); i++) {
        c->buf[c->at++] = (u8)(v >> 8 * i);
        if (c->at < c->block_end)
            continue;
        if (c->phase == IDE_PACKET)
            ide_packet(c);
        else
            io_submit(c, BLOCK_WRITE, c->lba * IDE_SECTOR, c->end);
        break;
    }
}

/* What an empty channel's lines read: the host pulls DD7 down, so that nobody waits for BSY to go (4.3.1, "DD(15:0)"). */
enum { NOBODY = 0x7f };

static u8 register_read(struct ide_channel *c, unsigned n)
{
    struct ide_drive *d = ide_now(c);
    if (!d->present) /* the other drive answers for one that is missing, with zeros (9.16) */
        return c->drives[!c->selected].present ? 0 : NOBODY;
    const u8 *from = c->control & IDE_C_HOB ? d->hob : d->reg;
    switch (n) {
    case 1: return d->error;
    case 2: case 3: case 4: case 5: return from[n - 1];
    case 6: return d->device | 0xa0 | (c->selected ? IDE_DEV_SLAVE : 0);
    default: clear_interrupt(c); return d->status;
    }
}

static void register_write(struct ide_channel *c, unsigned n, u8 v)
{
    if (n == 7) {
        command(c, v);
        return;
    }
    if (ide_now(c)->status & (IDE_BSY | IDE_DRQ) && ide_now(c)->present)
        return; /* not to be written then (9.2) */
    c->control &= (u8)~IDE_C_HOB;
    if (n == 6)
        c->selected = !!(v & IDE_DEV_SLAVE);
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *d = &c->drives[i];
        if (n == 6) {
            d->device = v & (0x0f | IDE_DEV_LBA);
            continue;
        }
        d->hob[n - 1] = d->reg[n - 1];
        d->reg[n - 1] = v;
    }
}

static u64 command_read(void *opaque, u64 off, unsigned size)
{
    struct ide_channel *c = opaque;
    u64 v = 0;
    if (!c->on)
        return ~0ull;
    if (!off)
        return data_read(c, size);
    for (unsigned i = 0; i < size; i++)
        v |= (u64)register_read(c, (unsigned)off + i) << 8 * i;
    return v;
}

static void command_write(void *opaque, u64 off, unsigned size, u64 v)
{
    struct ide_channel *c = opaque;
    if (!c->on)
        return;
    if (!off) {
        data_write(c, size, (u32)v);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        register_write(c, (unsigned)off + i, (u8)(v >> 8 * i));
}

/* The alternate status: leaves the interrupt alone. */
static u64 control_read(void *opaque, u64 off, unsigned size)
{
    struct ide_channel *c = opaque;
    (void)off, (void)size;
    if (!c->on || (!c->drives[0].present && !c->drives[1].present))
        return c->on ? NOBODY : 0xff;
    return ide_now(c)->present ? ide_now(c)->status : 0;
}

static void control_write(void *opaque, u64 off, unsigned size, u64 v)
{
    struct ide_channel *c = opaque;
    (void)off, (void)size;
    if (!c->on)
        return;
    u8 before = c->control;
    c->control = (u8)v & (IDE_C_HOB | IDE_C_SRST | IDE_C_NIEN);
    if (!(before & IDE_C_SRST) && c->control & IDE_C_SRST) {
        channel_reset(c);
        for (unsigned n = 0; n < 2; n++)
            c->drives[n].status = IDE_BSY;
    } else if (before & IDE_C_SRST && !(c->control & IDE_C_SRST)) {
        channel_reset(c);
    }
    follow_irq(c);
}

const struct bus_ops ide_command_bus = {.read = command_read, .write = command_write, .min_size = 1, .max_size = 4};
const struct bus_ops ide_control_bus = {.read = control_read, .write = control_write, .min_size = 1, .max_size = 1};

/* --- the chip */

void ide_channel_init(struct ide_channel *c, const char *name, struct mem *mem, struct irq_line irq)
{
    *c = (struct ide_channel){.name = name, .mem = mem, .irq = irq};
}

void ide_attach(struct ide_channel *c, unsigned n, struct block *disk, bool cdrom, const char *serial)
{
    struct ide_drive *d = &c->drives[n];
    *d = (struct ide_drive){.disk = disk, .present = true, .cdrom = cdrom};
    strncpy(d->serial, serial, sizeof d->serial - 1);
}

void ide_ask_medium(struct ide_drive *d)
{
    d->media_event = d->media_event ? d->media_event : 1;
}

bool ide_change_medium(struct ide_channel *c, unsigned n, struct block *disk)
{
    struct ide_drive *d = &c->drives[n];
    if (c->selected == n && (c->io_busy || c->phase != IDE_IDLE))
        return false;
    d->disk = disk;
    d->locked = false;
    d->media_event = disk ? 2 : 3;
    d->sense = disk ? 6 : 2; /* unit attention: medium may have changed; not ready: no medium */
    d->asc = disk ? 0x28 : 0x3a;
    return true;
}

void ide_stop(struct ide_channel *c)
{
    c->reset_waits = c->io_busy;
}

static void ide_reset(void *instance)
{
    struct ide_channel *c = instance;
    channel_reset(c);
}

/* Nothing of the back end is in flight: under virtual time every request is done when it was submitted. */
static bool ide_after_restore(void *instance)
{
    struct ide_channel *c = instance;
    u32 unit = c->sector_size;
    bool moving = c->phase == IDE_PIO_IN || c->phase == IDE_PIO_OUT || c->phase == IDE_PACKET || c->phase == IDE_DMA_WAIT;
    const struct ide_drive *d = &c->drives[c->selected & 1];
    if (c->selected > 1 || c->phase > IDE_DMA_WAIT || c->phase == IDE_DISK || c->end > IDE_BUFFER || c->block_end > c->end ||
        (moving && c->phase != IDE_DMA_WAIT && c->at >= c->block_end) || (unit && unit != IDE_SECTOR && unit != IDE_CD_SECTOR) ||
        (c->left && (!unit || !d->disk || !range_ok(c->lba, c->left, d->disk->size / unit))) ||
        (c->phase == IDE_PIO_OUT && (!c->left || !d->disk || c->end > c->left * (u64)unit)) || (moving && !c->limit))
        return false;
    for (unsigned n = 0; n < 2; n++)
        if (c->drives[n].multiple > IDE_MULTIPLE)
            return false;
    follow_irq(c);
    return true;
}

#define DRIVE(n, m)                                                                                                    \
    {                                                                                                                  \
        .name = "drive" #n "." #m, .offset = (u32)offsetof(struct ide_channel, drives[n].m), .size = 1, .since = 1,    \
        .count = sizeof(((struct ide_drive *)0)->m)                                                                    \
    }
#define DRIVE_FIELDS(n)                                                                                                \
    DRIVE(n, reg), DRIVE(n, hob), DRIVE(n, device), DRIVE(n, status), DRIVE(n, error), DRIVE(n, multiple),             \
        DRIVE(n, sense), DRIVE(n, asc), DRIVE(n, media_event)
static const struct field ide_fields[] = {
    DRIVE_FIELDS(0),
    DRIVE_FIELDS(1),
    FIELD(ide_channel, selected, 0),
    FIELD(ide_channel, control, 0),
    FIELD(ide_channel, intrq, false),
    FIELD(ide_channel, phase, IDE_IDLE),
    FIELD(ide_channel, to_host, false),
    FIELD(ide_channel, dma, false),
    FIELD(ide_channel, packet, false),
    FIELD(ide_channel, lba, 0),
    FIELD(ide_channel, left, 0),
    FIELD(ide_channel, sector_size, 0),
    FIELD(ide_channel, at, 0),
    FIELD(ide_channel, block_end, 0),
    FIELD(ide_channel, end, 0),
    FIELD(ide_channel, limit, 0),
    FIELD_ARRAY_KEEP(ide_channel, buf),
    FIELD(ide_channel, bm_command, 0),
    FIELD(ide_channel, bm_status, 0),
    FIELD(ide_channel, bm_table, 0),
    FIELD(ide_channel, prd, 0),
    FIELD(ide_channel, prd_addr, 0),
    FIELD_MAX(ide_channel, prd_left, 0, 65536),
    FIELD(ide_channel, prd_last, false),
};
static const struct field_table ide_table = {"ide", 1, ide_fields, ARRAY_LEN(ide_fields)};
const struct device_ops ide_channel_ops = {.fields = &ide_table, .reset = ide_reset, .after_restore = ide_after_restore};
