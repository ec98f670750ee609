/* The VGA register by register: what each bit does to an answer, to display memory or to the picture, and what must not have an effect. */
#include "vga_rig.h"

/* --- ports */

/* Over one frame of 60 Hz: a vertical retrace at its start, display enable once a line, never a retrace while the display is on. */
static void test_status(struct rig *r)
{
    unsigned retrace = 0, blank = 0, lines = 0;
    u8 before = 1;
    for (unsigned us = 0; us < 16666; us++) {
        r->b.now = us * 1000ull;
        u8 s = in8(&r->b, 0x3da);
        CHECK(&r->b, s == 0 || s == 1 || s == 9);
        retrace += s >> 3;
        blank += s == 1;
        lines += (s & 1) && !(before & 1);
        before = s;
    }
    CHECK(&r->b, retrace > 300 && retrace < 1500);
    CHECK(&r->b, blank > 1600 && blank < 8000);
    CHECK(&r->b, lines > 400 && lines < 600);
    r->b.now = 16666667;
    CHECK_EQ(&r->b, in8(&r->b, 0x3da), 9); /* and again */
}

/* 0x3c0 takes an index and data in turn; reading the status says that an index comes next. */
static void test_attr_ports(struct rig *r)
{
    attr(r, 5, 0x2a);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c0), 5); /* an index comes next */
    out8(&r->b, 0x3c0, 0x26);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c0), 0);
    in8(&r->b, 0x3da);
    out8(&r->b, 0x3c0, 0x25);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c1), 0x2a);
    out8(&r->b, 0x3c0, 0x11); /* without a status read: data */
    CHECK_EQ(&r->b, in8(&r->b, 0x3c1), 0x11);
    out8(&r->b, 0x3c0, 0x06);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c1), 0);
    attr(r, 0x15, 0x77), attr(r, 0x1f, 0x77); /* there are 0x15 */
    in8(&r->b, 0x3da);
    out8(&r->b, 0x3c0, 0x15);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c1), 0);
    attr(r, 0x14, 0x0c);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c1), 0x0c);
    reset(r);
}

static void dac_write(struct rig *r, u8 index, const u8 *bytes, unsigned n)
{
    out8(&r->b, 0x3c8, index);
    for (unsigned i = 0; i < n; i++)
        out8(&r->b, 0x3c9, bytes[i]);
}

static void dac_expect(struct rig *r, u8 index, const u8 *bytes, unsigned n)
{
    out8(&r->b, 0x3c7, index);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(&r->b, in8(&r->b, 0x3c9), bytes[i]);
}

/* The DAC counts on after three bytes, around its end too; an entry changes with its third byte; six bits, or eight as VBE asks. */
static void test_dac(struct rig *r)
{
    static const u8 wide[] = {0xc1, 0x42, 0xff, 0x44, 0x05, 0x86}, six[] = {0x01, 0x02, 0x3f, 0x04, 0x05, 0x06};
    static const u8 after[] = {0x01, 0x02, 0x3f, 0x09, 0x08, 0x07};
    dac_write(r, 255, wide, 6);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c8), 1);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c7), 0); /* state: writing */
    dac_expect(r, 255, six, 6);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c7), 3);
    dac_write(r, 0, wide, 2); /* not all of it */
    dac_expect(r, 0, six + 3, 3);
    dac_write(r, 0, wide, 2);
    dac_write(r, 0, (const u8[]){9, 8, 7}, 3); /* the two bytes before are forgotten */
    dac_expect(r, 255, after, 6);
    out8(&r->b, 0x3c7, 255), in8(&r->b, 0x3c9);
    dac_expect(r, 0, after + 3, 3);
    vbe(r, VBE_ENABLE, VBE_DAC8);
    dac_write(r, 17, wide, 6);
    dac_expect(r, 17, wide, 6);
    reset(r);
}

/* CRTC 0x11, bit 7, protects registers 0 to 7, but for line compare's bit 8 in 7. */
static void test_crtc_lock(struct rig *r)
{
    for (u8 locked = 0; locked < 2; locked++) {
        for (u8 n = 0; n < 0x19; n++)
            crtc(r, 0x11, 0), crtc(r, n, 0);
        crtc(r, 0x11, locked ? 0x80 : 0x7f);
        for (u8 n = 0; n < 0x19; n++) {
            if (n == 0x11)
                continue;
            crtc(r, n, 0xff);
            u8 want = !locked || n > 7 ? 0xff : n == 7 ? 0x10 : 0;
            CHECK_EQ(&r->b, in8(&r->b, 0x3d5), want);
        }
    }
    crtc(r, 7, 0xef);
    CHECK_EQ(&r->b, in8(&r->b, 0x3d5), 0);
    crtc(r, 0x11, 0); /* protects not itself */
    CHECK_EQ(&r->b, in8(&r->b, 0x3d5), 0);
    reset(r);
}

/* Misc, bit 0: the CRTC, the status and the feature register stand at 0x3bX or at 0x3dX, never at both. */
static void test_mono(struct rig *r)
{
    for (u8 color = 0; color < 2; color++) {
        u16 here = color ? 0x3d0 : 0x3b0, gone = color ? 0x3b0 : 0x3d0;
        out8(&r->b, 0x3c2, color);
        indexed(r, here + 4, 0x0e, 0x5a);
        CHECK(&r->b, in8(&r->b, here + 4) == 0x0e && in8(&r->b, here + 5) == 0x5a);
        indexed(r, gone + 4, 0x0c, 0x33);
        CHECK(&r->b, in8(&r->b, gone + 4) == 0xff && in8(&r->b, gone + 5) == 0xff && in8(&r->b, gone + 10) == 0xff);
        CHECK(&r->b, in8(&r->b, here + 4) == 0x0e && in8(&r->b, here + 5) == 0x5a && r->v.crtc[0x0c] == 0);
        in8(&r->b, here + 10);
        out8(&r->b, 0x3c0, 3);
        in8(&r->b, gone + 10); /* does not make it an index again */
        CHECK_EQ(&r->b, in8(&r->b, 0x3c0), 0);
        in8(&r->b, here + 10);
        CHECK_EQ(&r->b, in8(&r->b, 0x3c0), 3);
        out8(&r->b, here + 10, 2 + color), out8(&r->b, gone + 10, 9);
        CHECK_EQ(&r->b, in8(&r->b, 0x3ca), 2 + color);
        CHECK_EQ(&r->b, in8(&r->b, 0x3cc), color);
    }
    reset(r);
}

/* --- VBE */

static u16 vbe_get(struct rig *r, u16 index)
{
    bus_write(&r->b.pio, 0x1ce, 2, index);
    return (u16)bus_read(&r->b.pio, 0x1cf, 2);
}

/* What a register is after VALUE was written to it; in this order, from reset. */
static void test_vbe_registers(struct rig *r)
{
    static const struct {
        u16 index, value, want;
    } rows[] = {
        {VBE_ID, 0xb0c0, 0xb0c0}, {VBE_ID, 0xb0bf, 0xb0c0}, {VBE_ID, 0xb0c6, 0xb0c0}, {VBE_ID, 0xb0c5, 0xb0c5},
        {VBE_XRES, 647, 640}, {VBE_XRES, 1600, 1600}, {VBE_XRES, 1601, 1600}, {VBE_XRES, 0xffff, 1600},
        {VBE_YRES, 1200, 1200}, {VBE_YRES, 1201, 1200}, {VBE_YRES, 0xffff, 1200}, {VBE_YRES, 481, 481},
        {VBE_BPP, 4, 4}, {VBE_BPP, 15, 15}, {VBE_BPP, 16, 16}, {VBE_BPP, 24, 24}, {VBE_BPP, 32, 32}, {VBE_BPP, 8, 8},
        {VBE_BPP, 0, 8}, {VBE_BPP, 17, 8}, {VBE_BPP, 64, 8}, {VBE_BPP, 0x108, 8},
        {VBE_ENABLE, VBE_GETCAPS, VBE_GETCAPS}, {VBE_XRES, 800, 1600}, {VBE_YRES, 600, 1200}, {VBE_BPP, 16, 32}, /* the most there is */
        {VBE_ID, 0xb0c5, 0xb0c5}, {VBE_ENABLE, 0, 0}, {VBE_XRES, 801, 800}, {VBE_YRES, 600, 600}, {VBE_BPP, 16, 16},
        {VBE_ENABLE, 0xffff, VBE_ON | VBE_GETCAPS | VBE_DAC8 | VBE_LFB | VBE_KEEP}, {VBE_ENABLE, VBE_ON, VBE_ON},
        {VBE_XRES, 640, 800}, {VBE_YRES, 480, 600}, {VBE_BPP, 32, 16}, /* not while it is on */
        {VBE_VIRT_WIDTH, 0, 800}, {VBE_VIRT_WIDTH, 1024, 1024}, {VBE_VIRT_HEIGHT, 5, VGA_MEMORY / 2048},
        {VBE_X, 224, 224}, {VBE_X, 225, 0}, {VBE_Y, VGA_MEMORY / 2048 - 600, VGA_MEMORY / 2048 - 600}, {VBE_Y, VGA_MEMORY / 2048 - 599, 0},
        {VBE_BANK, VGA_MEMORY / 65536 - 1, VGA_MEMORY / 65536 - 1}, {VBE_BANK, VGA_MEMORY / 65536, 0}, {VBE_BANK, 0xffff, VGA_MEMORY / 65536 - 1},
        {VBE_ENABLE, VBE_ON, VBE_ON}, {10, 3, VGA_MEMORY / 65536}, {11, 3, 0}, {0xffff, 3, 0},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        vbe(r, rows[i].index, rows[i].value);
        CHECK_EQ(&r->b, vbe_get(r, rows[i].index), rows[i].want);
        if (vbe_get(r, rows[i].index) != rows[i].want)
            printf("row %u: register %u, value %u\n", i, rows[i].index, rows[i].value);
    }
    CHECK_EQ(&r->b, vbe_get(r, VBE_BANK), 0); /* enabling begins with bank 0 */
    reset(r);
    bus_write(&r->b.pio, 0x1ce, 2, VBE_XRES);
    out8(&r->b, 0x1cf, 0x80), out8(&r->b, 0x1d0, 0x02); /* data in two bytes */
    CHECK(&r->b, vbe_get(r, VBE_XRES) == 640 && in8(&r->b, 0x1cf) == 0x80 && in8(&r->b, 0x1d0) == 2);
    CHECK_EQ(&r->b, bus_read(&r->b.pio, 0x1ce, 2), VBE_XRES);
    reset(r);
}

/* Every bank is 64 KiB further on, from the first byte of display memory to its last; the window beyond 64 KiB is not banked. */
static void test_banks(struct rig *r)
{
    u8 *m = r->mem.base + r->mem.video_base;
    vbe(r, VBE_XRES, 640), vbe(r, VBE_YRES, 480), vbe(r, VBE_BPP, 8), vbe(r, VBE_ENABLE, VBE_ON);
    for (u16 bank = 0; bank < VGA_MEMORY / 65536; bank++) {
        vbe(r, VBE_BANK, bank);
        poke(r, 0, (u8)(bank + 1)), poke(r, 0xffff, (u8)(bank + 2));
        CHECK(&r->b, m[bank * 65536] == (u8)(bank + 1) && m[bank * 65536 + 65535] == (u8)(bank + 2));
        CHECK(&r->b, peek(r, 0) == (u8)(bank + 1) && peek(r, 0xffff) == (u8)(bank + 2));
    }
    CHECK(&r->b, m[0] == 1 && m[65536] == 2);
    vbe(r, VBE_BANK, 3);
    gfx(r, 6, 4); /* the VGA's own window has 64 KiB here */
    CHECK_EQ(&r->b, peek(r, 0x10000), 0xff);
    reset(r);
}

/* Pixel 1 of line 1, at each depth. */
static void test_depths(struct rig *r)
{
    static const struct {
        u16 bpp;
        u32 value, rgb;
    } rows[] = {
        {15, 0x7fff, 0xffffff}, {15, 0x8000, 0}, {15, 31 << 10, 0xff0000}, {15, 31 << 5, 0x00ff00}, {15, 31, 0x0000ff}, {15, 16 << 10, 0x830000},
        {16, 0xffff, 0xffffff}, {16, 31 << 11, 0xff0000}, {16, 63 << 5, 0x00ff00}, {16, 31, 0x0000ff}, {16, 1 << 5, 0x000400}, {16, 1 << 11, 0x080000},
        {24, 0x123456, 0x123456}, {32, 0xff654321, 0x654321}, {8, 0x2a, 0},
    };
    u8 *m = r->mem.base + r->mem.video_base;
    colors(r);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        u32 bytes = (rows[i].bpp + 7u) / 8;
        vbe(r, VBE_ENABLE, 0), vbe(r, VBE_XRES, 64), vbe(r, VBE_YRES, 8), vbe(r, VBE_BPP, rows[i].bpp), vbe(r, VBE_ENABLE, VBE_ON);
        st_n(m + 65 * bytes, rows[i].value, bytes == 3 ? 4 : bytes);
        CHECK_EQ(&r->b, shown(r, 1, 1), rows[i].bpp == 8 ? dac(0x2a) : rows[i].rgb);
        CHECK_EQ(&r->b, shown(r, 0, 1), rows[i].bpp == 8 ? dac(0) : 0);
    }
    vbe(r, VBE_ENABLE, 0), vbe(r, VBE_BPP, 4), vbe(r, VBE_ENABLE, VBE_ON);
    m[4 * 8 + 0] = m[4 * 8 + 2] = 0x40; /* planes 0 and 2, line 1 */
    CHECK_EQ(&r->b, shown(r, 1, 1), dac(5));
    CHECK_EQ(&r->b, shown(r, 2, 1), dac(0));
    reset(r);
}

/* A mode begins black, unless it is to keep what is there; while it is on it does not begin. */
static void test_keep(struct rig *r)
{
    static const struct {
        u16 enable;
        bool kept;
    } rows[] = {{VBE_ON, false}, {VBE_ON | VBE_KEEP, true}, {0, true}};
    u8 *m = r->mem.base + r->mem.video_base;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        vbe(r, VBE_ENABLE, 0);
        m[0] = m[VGA_MEMORY - 1] = 0x77;
        vbe(r, VBE_ENABLE, rows[i].enable);
        CHECK(&r->b, m[0] == (rows[i].kept ? 0x77 : 0) && m[VGA_MEMORY - 1] == m[0]);
    }
    vbe(r, VBE_ENABLE, VBE_ON);
    m[0] = 0x77;
    vbe(r, VBE_ENABLE, VBE_ON);
    CHECK_EQ(&r->b, m[0], 0x77);
    m[VGA_MEMORY - 1] = 0;
    reset(r);
}

/* A DAC of eight bits, seen through the pixel mask. */
static void test_dac_shown(struct rig *r)
{
    u8 *m = r->mem.base + r->mem.video_base;
    vbe(r, VBE_XRES, 64), vbe(r, VBE_YRES, 8), vbe(r, VBE_BPP, 8), vbe(r, VBE_ENABLE, VBE_ON | VBE_DAC8);
    dac_write(r, 0x0f, (const u8[]){0x12, 0xfe, 0x81}, 3), dac_write(r, 0xff, (const u8[]){0x3f, 0x20, 0x01}, 3);
    m[0] = 0xff;
    CHECK_EQ(&r->b, shown(r, 0, 0), 0x3f2001);
    out8(&r->b, 0x3c6, 0x0f);
    CHECK_EQ(&r->b, in8(&r->b, 0x3c6), 0x0f);
    CHECK_EQ(&r->b, shown(r, 0, 0), 0x12fe81);
    out8(&r->b, 0x3c6, 0xff);
    vbe(r, VBE_ENABLE, VBE_ON);
    CHECK_EQ(&r->b, shown(r, 0, 0), 0xff8204); /* the same numbers in six bits */
    reset(r);
}

/* --- the window */

static void planar(struct rig *r)
{
    reset(r);
    out8(&r->b, 0x3c2, 0x67);
    seq(r, 2, 15), seq(r, 4, 6), gfx(r, 5, 0), gfx(r, 6, 5), gfx(r, 8, 0xff), gfx(r, 7, 15);
    memset(r->mem.base + r->mem.video_base, 0, MIB(1));
}

/* Graphics misc, bits 2 and 3: which part of the 128 KiB answers. Misc, bit 1: none does. */
static void test_window(struct rig *r)
{
    static const u32 places[] = {0, 0xffff, 0x10000, 0x17fff, 0x18000, 0x1ffff};
    static const u8 answers[] = {0x3f, 0x03, 0x0c, 0x30}; /* bit n: places[n] */
    u8 *m = r->mem.base + r->mem.video_base;
    for (u8 map = 0; map < 4; map++)
        for (unsigned i = 0; i < ARRAY_LEN(places); i++)
            for (u8 on = 0; on < 2; on++) {
                planar(r);
                out8(&r->b, 0x3c2, on ? 0x67 : 0x65);
                gfx(r, 6, (u8)(map << 2 | 1));
                bool there = on && answers[map] >> i & 1;
                u32 at = places[i] - (map < 2 ? 0 : map == 2 ? 0x10000 : 0x18000);
                poke(r, places[i], 0x5b);
                CHECK_EQ(&r->b, peek(r, places[i]), there ? 0x5b : 0xff);
                if (there)
                    CHECK(&r->b, m[4 * at] == 0x5b && m[4 * at + 3] == 0x5b);
                else
                    CHECK(&r->b, !m[0] && !m[4 * 0x7fff] && !m[4 * 0xffff]);
            }
    planar(r);
    gfx(r, 6, 0xe), out8(&r->b, 0x3c2, 0x65); /* nor is there a text screen */
    CHECK_EQ(&r->b, vga_text_size(&r->v).width, 0);
}

/* Chain 4: the two low bits of the address are the plane, which the mask lets through or not. Odd and even: the lowest is. */
static void test_chains(struct rig *r)
{
    u8 *m = r->mem.base + r->mem.video_base;
    for (u8 mask = 0; mask < 16; mask++) {
        planar(r);
        seq(r, 4, 0xe), seq(r, 2, mask);
        for (u32 i = 0; i < 8; i++) {
            poke(r, 0x1000 + i, (u8)(0x70 + i));
            u8 want = mask >> (i & 3) & 1 ? (u8)(0x70 + i) : 0;
            CHECK(&r->b, m[0x1000 + i] == want && peek(r, 0x1000 + i) == want);
        }
        planar(r);
        seq(r, 4, 2), gfx(r, 5, 0x10), seq(r, 2, mask);
        for (u32 i = 0; i < 4; i++) {
            u32 p = i & 1, at = 4 * (0x1000 + (i & ~1u)) + p;
            gfx(r, 4, 0);
            poke(r, 0x1000 + i, (u8)(0x50 + i));
            CHECK(&r->b, m[at] == (mask >> p & 1 ? 0x50 + i : 0) && m[at + 2] == 0);
            gfx(r, 4, 2);
            poke(r, 0x1000 + i, (u8)(0x60 + i));
            CHECK(&r->b, m[at + 2] == (mask >> (p + 2) & 1 ? 0x60 + i : 0));
            CHECK_EQ(&r->b, peek(r, 0x1000 + i), m[at + 2]);
        }
    }
}

/* Each plane is read by itself, through the map of planes that were written. */
static void test_plane_select(struct rig *r)
{
    planar(r);
    for (u8 p = 0; p < 4; p++)
        seq(r, 2, (u8)(1 << p)), poke(r, 7, (u8)(0x11 * (p + 1)));
    for (u8 p = 0; p < 4; p++) {
        gfx(r, 4, p);
        CHECK_EQ(&r->b, peek(r, 7), 0x11 * (p + 1));
    }
}

/* A byte written over LATCH: the graphics controller's function, rotation, masks and set/reset, in write modes 0, 2 and 3. */
static void test_alu(struct rig *r)
{
    static const struct {
        u8 mode, rotate, mask, set, enable, value, want; /* plane 0; its latch is 0x3c */
    } rows[] = {
        {0, 0x00, 0xff, 0, 0, 0x5a, 0x5a}, {0, 0x08, 0xff, 0, 0, 0x5a, 0x18}, {0, 0x10, 0xff, 0, 0, 0x5a, 0x7e}, {0, 0x18, 0xff, 0, 0, 0x5a, 0x66},
        {0, 0x00, 0x0f, 0, 0, 0x5a, 0x3a}, {0, 0x18, 0xf0, 0, 0, 0x5a, 0x6c}, {0, 0x03, 0xff, 0, 0, 0x81, 0x30}, {0, 0x07, 0xff, 0, 0, 0x81, 0x03},
        {0, 0x00, 0xff, 1, 1, 0x00, 0xff}, {0, 0x00, 0xff, 14, 1, 0xff, 0x00}, {0, 0x00, 0xff, 1, 14, 0x42, 0x42}, {0, 0x08, 0xff, 1, 1, 0x00, 0x3c},
        {1, 0x1f, 0x00, 15, 15, 0x99, 0x3c},
        {2, 0x00, 0xff, 0, 0, 0x01, 0xff}, {2, 0x00, 0xff, 1, 1, 0x0e, 0x00}, {2, 0x18, 0xff, 0, 0, 0x01, 0xc3}, {2, 0x00, 0x81, 0, 0, 0x01, 0xbd},
        {3, 0x00, 0xff, 1, 0, 0x81, 0xbd}, {3, 0x00, 0xff, 0, 0, 0x0f, 0x30}, {3, 0x00, 0x80, 1, 0, 0x81, 0xbc}, {3, 0x01, 0xff, 1, 0, 0x81, 0xfc},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        planar(r);
        poke(r, 9, 0x3c);
        peek(r, 9);
        gfx(r, 0, rows[i].set), gfx(r, 1, rows[i].enable), gfx(r, 3, rows[i].rotate), gfx(r, 8, rows[i].mask), gfx(r, 5, rows[i].mode);
        seq(r, 2, 1);
        poke(r, 9, rows[i].value);
        gfx(r, 5, 0);
        CHECK_EQ(&r->b, peek(r, 9), rows[i].want);
        if (peek(r, 9) != rows[i].want)
            printf("row %u\n", i);
        gfx(r, 4, 1);
        CHECK_EQ(&r->b, peek(r, 9), 0x3c); /* plane 1 was masked */
    }
}

/* Read mode 1: pixels whose colour is the one compared with, in the planes that one cares for. */
static void test_compare(struct rig *r)
{
    static const struct {
        u8 compare, care, want; /* of pixels 0, 1, 2, ... 7 */
    } rows[] = {{5, 15, 0x04}, {5, 7, 0x04}, {5, 1, 0x55}, {4, 4, 0x0f}, {0, 4, 0xf0}, {0, 8, 0xff}, {15, 0, 0xff}, {8, 15, 0}};
    planar(r);
    for (u8 p = 0; p < 3; p++)
        seq(r, 2, (u8)(1 << p)), poke(r, 3, p == 0 ? 0x55 : p == 1 ? 0x33 : 0x0f);
    gfx(r, 5, 8);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        gfx(r, 2, rows[i].compare), gfx(r, 7, rows[i].care);
        CHECK_EQ(&r->b, peek(r, 3), rows[i].want);
    }
}

/* --- the picture */

/* 80 columns of text in display memory as odd-even addressing puts it there; the font's characters have a line of bits each. */
static void text(struct rig *r)
{
    reset(r);
    out8(&r->b, 0x3c2, 0x67);
    colors(r);
    u8 *m = r->mem.base + r->mem.video_base;
    memset(m, 0, MIB(1));
    seq(r, 1, 1), seq(r, 4, 2), seq(r, 2, 3), gfx(r, 5, 0x10), gfx(r, 6, 0x0e);
    crtc(r, 1, 79), crtc(r, 9, 15), crtc(r, 0x12, 0x8f), crtc(r, 7, 2), crtc(r, 0x13, 40), crtc(r, 0xa, 0x20);
}

static void glyph_line(struct rig *r, u32 font, u8 code, u32 line, u8 bits)
{
    (r->mem.base + r->mem.video_base)[4 * (font + code * 32u + line) + 2] = bits;
}

static void cell(struct rig *r, u32 x, u32 y, u8 code, u8 attribute)
{
    poke(r, 0x18000 + 2 * (80 * y + x), code), poke(r, 0x18001 + 2 * (80 * y + x), attribute);
}

/* Nine columns: the last is the background, or the eighth again for codes 0xc0 to 0xdf when attribute 0x10 says so. */
static void test_nine(struct rig *r)
{
    static const struct {
        u8 code, bits, mode;
        bool on;
    } rows[] = {{0xc4, 0x01, 4, true},  {0xc4, 0x01, 0, false}, {0xc4, 0xfe, 4, false}, {0xdf, 0xff, 4, true},
                {0xe0, 0xff, 4, false}, {0xbf, 0xff, 4, false}, {0x41, 0xff, 4, false}};
    text(r);
    seq(r, 1, 0);
    CHECK(&r->b, SIZE(720, 400));
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        glyph_line(r, 0, rows[i].code, 0, rows[i].bits);
        cell(r, 1, 0, rows[i].code, 0x1e), attr(r, 0x10, rows[i].mode), out8(&r->b, 0x3c0, 0x20);
        CHECK_EQ(&r->b, shown(r, 17, 0), dac(rows[i].on ? 14 : 1));
        CHECK_EQ(&r->b, shown(r, 16, 0), dac(rows[i].bits & 1 ? 14 : 1));
        CHECK_EQ(&r->b, shown(r, 18, 0), dac(0)); /* the next cell */
    }
}

/* The cursor stands in lines CRTC 0x0a to 0x0b of its cell, unless bit 5 of 0x0a puts it off, and only on the screen. */
static void test_cursor(struct rig *r)
{
    u32 x = 0, y = 0;
    text(r);
    cell(r, 3, 2, ' ', 0x1e);
    crtc(r, 0xf, 163), crtc(r, 0xa, 13), crtc(r, 0xb, 14);
    CHECK(&r->b, vga_text_cursor(&r->v, &x, &y) && x == 3 && y == 2);
    CHECK(&r->b, shown(r, 24, 44) == dac(1) && shown(r, 24, 45) == dac(14) && shown(r, 31, 46) == dac(14) && shown(r, 24, 47) == dac(1));
    CHECK(&r->b, shown(r, 23, 45) == dac(0) && shown(r, 32, 45) == dac(0) && shown(r, 24, 29) == dac(0));
    crtc(r, 0xa, 0x20 | 13);
    CHECK(&r->b, !vga_text_cursor(&r->v, &x, &y) && shown(r, 24, 45) == dac(1));
    crtc(r, 0xa, 13);
    static const struct {
        u16 at;
        bool on;
    } rows[] = {{0, true}, {1999, true}, {2000, false}, {0xffff, false}};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        crtc(r, 0xe, (u8)(rows[i].at >> 8)), crtc(r, 0xf, (u8)rows[i].at);
        CHECK_EQ(&r->b, vga_text_cursor(&r->v, &x, &y), rows[i].on);
    }
    crtc(r, 0xc, 1), crtc(r, 0xe, 0), crtc(r, 0xf, 0); /* before the screen's start */
    CHECK(&r->b, !vga_text_cursor(&r->v, &x, &y));
    crtc(r, 0x13, 0); /* rows of no length */
    CHECK(&r->b, !vga_text_cursor(&r->v, &x, &y));
}

/* Sequencer 3: the font of attributes without bit 3, and of those with it. */
static void test_fonts(struct rig *r)
{
    static const u16 places[] = {0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000};
    for (u8 n = 0; n < 8; n++)
        for (u8 bright = 0; bright < 2; bright++) {
            text(r);
            glyph_line(r, places[n], 'B', 4, 0x80);
            cell(r, 0, 0, 'B', bright ? 0x0e : 0x06);
            seq(r, 3, bright ? (u8)((n & 3) << 2 | (n & 4) << 3) : (u8)((n & 3) | (n & 4) << 2));
            CHECK_EQ(&r->b, shown(r, 0, 4), dac(bright ? 14 : 6));
            seq(r, 3, bright ? (u8)((~n & 3) << 2 | (~n & 4) << 3) : (u8)((~n & 3) | (~n & 4) << 2));
            CHECK_EQ(&r->b, shown(r, 0, 4), dac(0));
        }
}

/* Attribute 0x10, bit 3: the background has three bits of colour (the fourth blinks). Sequencer 1 and the attribute index: the screen is off. */
static void test_screen(struct rig *r)
{
    text(r);
    cell(r, 0, 0, ' ', 0x97);
    CHECK_EQ(&r->b, shown(r, 0, 0), dac(9));
    attr(r, 0x10, 8), out8(&r->b, 0x3c0, 0x20);
    CHECK_EQ(&r->b, shown(r, 0, 0), dac(1));
    seq(r, 1, 0x21);
    CHECK_EQ(&r->b, shown(r, 0, 0), 0);
    seq(r, 1, 1), in8(&r->b, 0x3da), out8(&r->b, 0x3c0, 0);
    CHECK_EQ(&r->b, shown(r, 0, 0), 0);
    in8(&r->b, 0x3da), out8(&r->b, 0x3c0, 0x20);
    CHECK_EQ(&r->b, shown(r, 0, 0), dac(1));
    crtc(r, 0xd, 80); /* from the second row on */
    cell(r, 2, 1, ' ', 0x20);
    CHECK_EQ(&r->b, shown(r, 16, 0), dac(2));
    crtc(r, 0xd, 0), crtc(r, 0xc, 1);
    cell(r, 256 % 80, 256 / 80, ' ', 0x30);
    CHECK_EQ(&r->b, shown(r, 0, 0), dac(3));
}

/* Sixteen colours through the palette, 0x14 and the plane enable; a palette entry has six bits. */
static void test_palette(struct rig *r)
{
    static const struct {
        u8 mode, entry, select, planes, color, want;
    } rows[] = {
        {1, 0x2b, 0x00, 15, 9, 0x2b}, {1, 0xeb, 0x00, 15, 9, 0x2b}, {1, 0x2b, 0x0c, 15, 9, 0xeb}, {1, 0x2b, 0x04, 15, 9, 0x6b},
        {1, 0x2b, 0x03, 15, 9, 0x2b}, {0x81, 0x2b, 0x03, 15, 9, 0x3b}, {0x81, 0x2b, 0x01, 15, 9, 0x1b}, {0x81, 0x2b, 0x0d, 15, 9, 0xdb},
        {1, 0x2b, 0x00, 15, 1, 0x01}, {1, 0x2b, 0x00, 9, 15, 0x2b}, {1, 0x2b, 0x00, 6, 15, 0x06}, {1, 0x2b, 0x00, 0, 15, 0x00},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        planar(r);
        colors(r);
        for (unsigned n = 0; n < 256; n++)
            dac_write(r, (u8)n, (const u8[]){(u8)(n >> 6), (u8)(n & 63), 1}, 3);
        crtc(r, 1, 79), crtc(r, 9, 0), crtc(r, 0x12, 0xdf), crtc(r, 7, 2), crtc(r, 0x13, 40);
        attr(r, 9, rows[i].entry), attr(r, 0x10, rows[i].mode), attr(r, 0x14, rows[i].select), attr(r, 0x12, rows[i].planes);
        attr(r, 0x11, 0x3f), out8(&r->b, 0x3c0, 0x20); /* the overscan is beside the picture */
        gfx(r, 5, 2), poke(r, 0, rows[i].color);
        u32 g = rows[i].want & 63u, red = rows[i].want >> 6;
        CHECK_EQ(&r->b, shown(r, 0, 0), (red << 2) << 16 | (g << 2 | g >> 4) << 8 | 4);
    }
}

/* The picture's size out of the CRTC's bits; one that would be too large shows nothing. */
static void test_sizes(struct rig *r)
{
    static const struct {
        u8 misc, mode, columns, cell, end, overflow;
        u16 width, height;
    } rows[] = {
        {5, 0x00, 79, 0x00, 0xdf, 0x02, 640, 480}, {5, 0x40, 79, 0x41, 0x8f, 0x02, 320, 200}, {5, 0x00, 39, 0x80, 0x8f, 0x02, 320, 200},
        {5, 0x00, 79, 0x00, 0x57, 0x42, 640, 856}, {5, 0x00, 79, 0x00, 0x57, 0x40, 640, 600}, {4, 0x00, 79, 15, 0x8f, 0x02, 640, 400},
        {4, 0x00, 79, 13, 0x5d, 0x02, 640, 350}, {4, 0x00, 255, 15, 0xff, 0x42, 2048, 1024}, {4, 0x00, 79, 31, 0x10, 0x00, 8, 8},
        {5, 0x00, 0, 0x9f, 0x00, 0x00, 8, 8},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        reset(r);
        out8(&r->b, 0x3c2, 0x67);
        seq(r, 1, 1), gfx(r, 6, rows[i].misc), gfx(r, 5, rows[i].mode);
        crtc(r, 1, rows[i].columns), crtc(r, 9, rows[i].cell), crtc(r, 0x12, rows[i].end), crtc(r, 7, rows[i].overflow);
        if (!SIZE(rows[i].width, rows[i].height))
            printf("row %u: %u x %u\n", i, vga_size(&r->v).width, vga_size(&r->v).height);
        CHECK(&r->b, SIZE(rows[i].width, rows[i].height));
    }
    seq(r, 1, 0), gfx(r, 6, 4), crtc(r, 1, 255), crtc(r, 9, 15), crtc(r, 0x12, 0x8f), crtc(r, 7, 2); /* 256 columns of nine */
    CHECK(&r->b, SIZE(8, 8));
}

/* --- the PCI function's own */

static void test_bars(struct rig *r)
{
    enum { AT = 0xfebf0000, ROM = 0xfebe0000 };
    static const u8 rom[] = {0x55, 0xaa, 1, 0x12};
    reset(r);
    vga_set_rom(&r->v, rom, sizeof rom);
    pci_bus_config_write(&r->bus, 2 << 3, PCI_BAR0 + 8, 4, AT);
    pci_bus_config_write(&r->bus, 2 << 3, 0x30, 4, ROM | 1);
    pci_bus_config_write(&r->bus, 2 << 3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    struct bus *bus = &r->mem.mmio;
    CHECK(&r->b, bus_read(bus, ROM, 4) == 0x1201aa55 && bus_read(bus, ROM + 3, 1) == 0x12);
    CHECK_EQ(&r->b, bus_read(bus, ROM + VGA_ROM_MAX - 4, 4), 0);
    bus_write(bus, ROM, 1, 0);
    CHECK_EQ(&r->b, bus_read(bus, ROM, 1), 0x55);
    bus_write(bus, AT + 0x404, 2, 0x0a02); /* sequencer: index, then data */
    CHECK(&r->b, r->v.seq[2] == 0x0a && bus_read(bus, AT + 0x404, 2) == 0x0a02 && bus_read(bus, AT + 0x405, 1) == 0x0a);
    bus_write(&r->b.pio, 0x1ce, 2, VBE_BANK);
    bus_write(bus, AT + 0x500 + 2 * VBE_XRES, 2, 320);
    CHECK(&r->b, r->v.vbe[VBE_XRES] == 320 && bus_read(bus, AT + 0x502, 2) == 320 && bus_read(&r->b.pio, 0x1ce, 2) == VBE_BANK);
    static const u16 holes[] = {0x000, 0x3fe, 0x422, 0x4fe, 0x520, 0xffe};
    for (unsigned i = 0; i < ARRAY_LEN(holes); i++) {
        bus_write(bus, AT + holes[i], 2, 0x1234);
        CHECK_EQ(&r->b, bus_read(bus, AT + holes[i], 2), 0xffff);
    }
    CHECK_EQ(&r->b, bus_read(bus, AT + 0x500 + 2 * 0xf, 2), 0); /* no such register */
}

int main(void)
{
    static struct rig r;
    rig_init(&r);
    test_status(&r);
    test_attr_ports(&r);
    test_dac(&r);
    test_crtc_lock(&r);
    test_mono(&r);
    test_vbe_registers(&r);
    test_banks(&r);
    test_depths(&r);
    test_keep(&r);
    test_dac_shown(&r);
    test_window(&r);
    test_chains(&r);
    test_plane_select(&r);
    test_alu(&r);
    test_compare(&r);
    test_nine(&r);
    test_cursor(&r);
    test_fonts(&r);
    test_screen(&r);
    test_palette(&r);
    test_sizes(&r);
    test_bars(&r);
    mem_destroy(&r.mem);
    return bench_end(&r.b);
}
