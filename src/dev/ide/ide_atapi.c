/* A CD-ROM drive's packet commands (SFF-8020i; MMC-3, T10 1363-D, SPC-2): what operating systems and firmware ask a reader of data discs. The
 * disc is one track of 2048-byte sectors. Replies are built in the channel's buffer and cut to what the host has room for.
 * Not modelled: audio, raw sectors but for READ CD's user data, writing, DVD structures. */
#include "dev/ide/ide_impl.h"

enum { NOT_READY = 2, ILLEGAL_REQUEST = 5, UNIT_ATTENTION = 6 };
enum { INVALID_COMMAND = 0x20, LBA_OUT_OF_RANGE = 0x21, INVALID_FIELD = 0x24, NO_MEDIUM = 0x3a, PREVENTED = 0x53 };

void ide_packet_error(struct ide_channel *c, u8 sense, u8 asc)
{
    struct ide_drive *d = ide_now(c);
    d->sense = sense;
    d->asc = asc;
    d->reg[IDE_COUNT] = IDE_R_IN | IDE_R_COMMAND;
    ide_end(c, 0, (u8)(sense << 4 | (sense == ILLEGAL_REQUEST ? IDE_E_ABRT : 0)));
}

void ide_packet_end(struct ide_channel *c)
{
    struct ide_drive *d = ide_now(c);
    if (d->sense != UNIT_ATTENTION) /* which stays until it is asked for (SPC-2, 5.6.4) */
        d->sense = d->asc = 0;
    d->reg[IDE_COUNT] = IDE_R_IN | IDE_R_COMMAND;
    ide_end(c, 0, 0);
}

/* The reply's first LEN bytes stand in the buffer; the host takes ROOM at most. */
static void reply(struct ide_channel *c, u32 len, u32 room)
{
    u32 n = len < room ? len : room;
    c->left = 0;
    c->to_host = true;
    if (!n) {
        ide_packet_end(c);
        return;
    }
    ide_give(c, n);
}

static u32 be32(const u8 *p)
{
    return __builtin_bswap32(ld32(p));
}

static u32 be16(const u8 *p)
{
    return __builtin_bswap16(ld16(p));
}

static void put32(u8 *p, u32 v)
{
    st32(p, __builtin_bswap32(v));
}

static void put16(u8 *p, u32 v)
{
    st16(p, __builtin_bswap16((u16)v));
}

static u32 disc_sectors(const struct ide_drive *d)
{
    u64 n = d->disk ? d->disk->size / IDE_CD_SECTOR : 0;
    return n < UINT32_MAX ? (u32)n : UINT32_MAX;
}

static void request_sense(struct ide_channel *c, const u8 *p)
{
    struct ide_drive *d = ide_now(c);
    u32 room = p[4];
    memset(c->buf, 0, 18);
    c->buf[0] = 0x70;
    c->buf[2] = d->sense;
    c->buf[7] = 10;
    c->buf[12] = d->asc;
    if (d->sense == UNIT_ATTENTION)
        d->sense = d->asc = 0;
    reply(c, 18, room);
}

static void inquiry(struct ide_channel *c, const u8 *p)
{
    u32 room = be16(p + 3);
    if (p[1] & 1) { /* vital product data */
        ide_packet_error(c, ILLEGAL_REQUEST, INVALID_FIELD);
        return;
    }
    memset(c->buf, 0, 36);
    c->buf[0] = 5;
    c->buf[1] = 0x80; /* removable */
    c->buf[3] = 0x21;
    c->buf[4] = 31;
    memcpy(c->buf + 8, "TRINE   CD-ROM          1.0 ", 28);
    reply(c, 36, room);
}

static void read_capacity(struct ide_channel *c, const u8 *p)
{
    (void)p;
    put32(c->buf, disc_sectors(ide_now(c)) - 1);
    put32(c->buf + 4, IDE_CD_SECTOR);
    reply(c, 8, 8);
}

static void read_sectors(struct ide_channel *c, u32 lba, u32 n)
{
    if (!range_ok(lba, n, disc_sectors(ide_now(c))))
        ide_packet_error(c, ILLEGAL_REQUEST, LBA_OUT_OF_RANGE);
    else if (!n)
        ide_packet_end(c);
    else
        ide_read_disk(c, lba, n, IDE_CD_SECTOR);
}

static void read10(struct ide_channel *c, const u8 *p)
{
    read_sectors(c, be32(p + 2), be16(p + 7));
}

static void read12(struct ide_channel *c, const u8 *p)
{
    read_sectors(c, be32(p + 2), be32(p + 6));
}

static void read_cd(struct ide_channel *c, const u8 *p)
{
    u8 what = p[9] & 0xf8;
    if (what && what != 0x10)
        ide_packet_error(c, ILLEGAL_REQUEST, INVALID_FIELD);
    else
        read_sectors(c, be32(p + 2), what ? be32(p + 5) & 0xffffff : 0);
}

static void put_address(u8 *p, u32 lba, bool msf)
{
    lba += msf ? 150 : 0;
    if (msf)
        put32(p, lba / 75 / 60 << 16 | lba / 75 % 60 << 8 | lba % 75);
    else
        put32(p, lba);
}

/* Formats 0 (tracks) and 1 (sessions): track 1 and the lead-out. */
static void read_toc(struct ide_channel *c, const u8 *p)
{
    enum { DATA_TRACK = 0x14, LEAD_OUT = 0xaa };
    u32 room = be16(p + 7), len = 4;
    u8 format = p[2] & 0xf ? p[2] & 0xf : p[9] >> 6, first = p[6];
    bool msf = p[1] & 2;
    if (format > 1 || (first > 1 && first != LEAD_OUT)) {
        ide_packet_error(c, ILLEGAL_REQUEST, INVALID_FIELD);
        return;
    }
    memset(c->buf, 0, 20);
    c->buf[2] = c->buf[3] = 1;
    if (format == 1 || first <= 1) {
        c->buf[len + 1] = DATA_TRACK;
        c->buf[len + 2] = 1;
        put_address(c->buf + len + 4, 0, msf);
        len += 8;
    }
    if (format == 0) {
        c->buf[len + 1] = DATA_TRACK + 2;
        c->buf[len + 2] = LEAD_OUT;
        put_address(c->buf + len + 4, disc_sectors(ide_now(c)), msf);
        len += 8;
    }
    put16(c->buf, len - 2);
    reply(c, len, room);
}

static void start_stop(struct ide_channel *c, const u8 *p)
{
    struct ide_drive *d = ide_now(c);
    bool open_tray = (p[4] & 3) == 2;
    if (open_tray && d->locked) {
        ide_packet_error(c, NOT_READY, PREVENTED);
        return;
    }
    ide_packet_end(c);
    if (open_tray && d->disk) {
        ide_change_medium(c, c->selected, NULL);
        if (d->eject)
            d->eject(d->eject_opaque);
    }
}

static void prevent(struct ide_channel *c, const u8 *p)
{
    ide_now(c)->locked = p[4] & 1;
    ide_packet_end(c);
}

static void get_configuration(struct ide_channel *c, const u8 *p)
{
    enum { PROFILE_CD = 8 };
    u32 room = be16(p + 7);
    memset(c->buf, 0, 28);
    put32(c->buf, 24);
    put16(c->buf + 6, ide_now(c)->disk ? PROFILE_CD : 0);
    c->buf[10] = 3; /* feature 0, profiles: persistent, current */
    c->buf[11] = 4;
    put16(c->buf + 12, PROFILE_CD);
    c->buf[14] = !!ide_now(c)->disk;
    put16(c->buf + 16, 1); /* feature 1, core: ATAPI */
    c->buf[18] = 3;
    c->buf[19] = 8;
    put32(c->buf + 20, 2);
    reply(c, 28, room);
}

static void get_event(struct ide_channel *c, const u8 *p)
{
    enum { POLLED = 1, MEDIA = 4, MEDIA_CLASS = 1 << 4 };
    struct ide_drive *d = ide_now(c);
    u32 room = be16(p + 7);
    if (!(p[1] & POLLED)) {
        ide_packet_error(c, ILLEGAL_REQUEST, INVALID_FIELD);
        return;
    }
    memset(c->buf, 0, 8);
    c->buf[3] = MEDIA_CLASS;
    if (!(p[4] & MEDIA_CLASS)) {
        c->buf[1] = 2;
        c->buf[2] = 0x80; /* none of those that were asked for */
        reply(c, 4, room);
        return;
    }
    c->buf[1] = 6;
    c->buf[2] = MEDIA;
    c->buf[4] = d->media_event;
    c->buf[5] = d->disk ? 2 : 0;
    d->media_event = 0;
    reply(c, 8, room);
}

/* Pages: 1 error recovery, 0x2a capabilities. HEADER of 4 (MODE SENSE 6) or 8 bytes. */
static void mode_sense(struct ide_channel *c, u8 page, u32 header, u32 room)
{
    u32 len = header;
    memset(c->buf, 0, 64);
    if (page == 0x01 || page == 0x3f) {
        c->buf[len] = 1;
        c->buf[len + 1] = 6;
        c->buf[len + 3] = 5;
        len += 8;
    }
    if (page == 0x2a || page == 0x3f) {
        u8 *q = c->buf + len;
        q[0] = 0x2a;
        q[1] = 18;
        q[2] = 0x03; /* reads CD-R, CD-RW */
        q[4] = 0x70;
        q[6] = 0x2d; /* tray, ejects, locks */
        put16(q + 8, 706);
        put16(q + 14, 706);
        len += 20;
    }
    if (len == header) {
        ide_packet_error(c, ILLEGAL_REQUEST, INVALID_FIELD);
        return;
    }
    if (header == 8)
        put16(c->buf, len - 2);
    else
        c->buf[0] = (u8)(len - 1);
    c->buf[header == 8 ? 2 : 1] = 0x01; /* medium: data disc */
    reply(c, len, room);
}

static void mode_sense6(struct ide_channel *c, const u8 *p)
{
    mode_sense(c, p[2] & 0x3f, 4, p[4]);
}

static void mode_sense10(struct ide_channel *c, const u8 *p)
{
    mode_sense(c, p[2] & 0x3f, 8, be16(p + 7));
}

static void mechanism(struct ide_channel *c, const u8 *p)
{
    u32 room = be16(p + 8);
    memset(c->buf, 0, 8);
    c->buf[5] = 1;
    reply(c, 8, room);
}

static void disc_information(struct ide_channel *c, const u8 *p)
{
    u32 room = be16(p + 7);
    memset(c->buf, 0, 34);
    c->buf[1] = 32;
    c->buf[2] = 0x0e; /* complete, last session complete */
    c->buf[3] = c->buf[4] = c->buf[5] = c->buf[6] = 1;
    reply(c, 34, room);
}

static void nothing(struct ide_channel *c, const u8 *p)
{
    (void)p;
    ide_packet_end(c);
}

static const struct {
    u8 code;
    bool medium;    /* needs one */
    bool attention; /* is done although a unit attention waits */
    void (*run)(struct ide_channel *c, const u8 *p);
} packets[] = {
    {0x00, true, false, nothing},           /* TEST UNIT READY */
    {0x03, false, true, request_sense},
    {0x12, false, true, inquiry},
    {0x1a, false, false, mode_sense6},
    {0x1b, false, false, start_stop},
    {0x1e, false, false, prevent},
    {0x25, true, false, read_capacity},
    {0x28, true, false, read10},
    {0x2b, true, false, nothing},           /* SEEK */
    {0x43, true, false, read_toc},
    {0x46, false, true, get_configuration},
    {0x4a, false, true, get_event},
    {0x51, true, false, disc_information},
    {0x5a, false, false, mode_sense10},
    {0xa8, true, false, read12},
    {0xbb, false, false, nothing},          /* SET CD SPEED */
    {0xbd, false, false, mechanism},
    {0xbe, true, false, read_cd},
};

/* Bytes in a DRQ block: the host's limit, even (SFF-8020i 5.2; 0 counts as 0xfffe); the whole buffer holds it. */
static void set_limit(struct ide_channel *c)
{
    u32 n = c->limit;
    if (!n || n == 0xffff)
        n = 0xfffe;
    n &= ~1u;
    c->limit = n ? n : 2;
}

void ide_packet(struct ide_channel *c)
{
    struct ide_drive *d = ide_now(c);
    u8 p[IDE_PACKET_LEN];
    memcpy(p, c->buf, sizeof p);
    set_limit(c);
    c->left = 0;
    for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
        if (packets[i].code != p[0])
            continue;
        if (d->sense == UNIT_ATTENTION && !packets[i].attention) {
            ide_packet_error(c, UNIT_ATTENTION, d->asc);
            return;
        }
        if (packets[i].medium && !d->disk) {
            ide_packet_error(c, NOT_READY, NO_MEDIUM);
            return;
        }
        packets[i].run(c, p);
        return;
    }
    ide_packet_error(c, ILLEGAL_REQUEST, INVALID_COMMAND);
}
