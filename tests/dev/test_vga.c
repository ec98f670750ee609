/* The VGA by port scripts: a text screen with a font of one's own, planes in every write mode and both read modes, 256 colours, VBE pictures with an
 * offset, the display memory moved by BAR 0 and put where it must not show, values that would lead outside, saved state. Ends with
 * random ports, windows and pictures. */
#include "vga_rig.h"

static void test_text(struct rig *r)
{
    out8(&r->b, 0x3c2, 0x67); /* colour addresses, memory on */
    colors(r);
    seq(r, 1, 1), seq(r, 4, 6), seq(r, 2, 4), gfx(r, 5, 0), gfx(r, 6, 4), gfx(r, 8, 0xff); /* plane 2: the font */
    for (u32 line = 0; line < 16; line++)
        poke(r, 'A' * 32 + line, line == 3 ? 0x80 : 0);
    seq(r, 2, 3), seq(r, 4, 2), gfx(r, 5, 0x10), gfx(r, 6, 0x0e);
    crtc(r, 0x11, 0), crtc(r, 1, 79), crtc(r, 9, 15), crtc(r, 0x12, 0x8f), crtc(r, 7, 2), crtc(r, 0x13, 40), crtc(r, 0xa, 0x20);
    CHECK(&r->b, SIZE(640, 400) && vga_text_size(&r->v).width == 80 && vga_text_size(&r->v).height == 25);
    poke(r, 0x18000 + 2 * (80 * 2 + 5), 'A');
    poke(r, 0x18001 + 2 * (80 * 2 + 5), 0x4e);
    CHECK(&r->b, peek(r, 0x18000 + 2 * 165) == 'A' && vga_text_cell(&r->v, 5, 2) == 0x4e41);
    CHECK_EQ(&r->b, shown(r, 40, 35), dac(14));
    CHECK_EQ(&r->b, shown(r, 41, 35), dac(4));
    CHECK_EQ(&r->b, shown(r, 0, 0), dac(0));
    crtc(r, 0xa, 14), crtc(r, 0xb, 15), crtc(r, 0xf, 165); /* the cursor, under it */
    CHECK_EQ(&r->b, shown(r, 47, 47), dac(14));
    crtc(r, 0xd, 80); /* one row on */
    CHECK_EQ(&r->b, shown(r, 40, 19), dac(14));
    crtc(r, 0xd, 0);
    crtc(r, 0x11, 0x80), crtc(r, 1, 39); /* locked */
    CHECK(&r->b, SIZE(640, 400));
    CHECK(&r->b, peek(r, 0) == 0xff); /* the window has 32 KiB at 0xb8000 */
}

static void test_planes(struct rig *r)
{
    crtc(r, 0x11, 0), crtc(r, 9, 0), crtc(r, 0x12, 0xdf), crtc(r, 7, 2);
    seq(r, 2, 15), seq(r, 4, 6), gfx(r, 5, 0), gfx(r, 6, 5), gfx(r, 3, 0), gfx(r, 8, 0xff);
    CHECK(&r->b, SIZE(640, 480));
    for (u32 i = 0; i < 80 * 480; i++)
        poke(r, i, 0);
    seq(r, 2, 5); /* planes 0 and 2 */
    poke(r, 80, 0x80);
    CHECK_EQ(&r->b, shown(r, 0, 1), dac(5));
    seq(r, 2, 15);
    peek(r, 80); /* mode 0 with a mask: the latch fills the rest */
    gfx(r, 8, 0x40), gfx(r, 1, 15), gfx(r, 0, 10);
    poke(r, 80, 0);
    CHECK_EQ(&r->b, shown(r, 0, 1), dac(5));
    CHECK_EQ(&r->b, shown(r, 1, 1), dac(10));
    gfx(r, 1, 0), gfx(r, 8, 0xff), gfx(r, 5, 1); /* mode 1 copies */
    peek(r, 80);
    poke(r, 160, 0x55);
    CHECK_EQ(&r->b, shown(r, 1, 2), dac(10));
    gfx(r, 5, 2), gfx(r, 8, 0x01); /* mode 2: a colour */
    peek(r, 160);
    poke(r, 160, 12);
    CHECK_EQ(&r->b, shown(r, 7, 2), dac(12));
    gfx(r, 5, 3), gfx(r, 8, 0xff), gfx(r, 0, 9); /* mode 3: the data is a mask */
    peek(r, 160);
    poke(r, 160, 0x10);
    CHECK_EQ(&r->b, shown(r, 3, 2), dac(9));
    CHECK_EQ(&r->b, shown(r, 1, 2), dac(10));
    gfx(r, 5, 8), gfx(r, 2, 10), gfx(r, 7, 15); /* read mode 1: where is colour 10? */
    CHECK_EQ(&r->b, peek(r, 160), 0x40);
    gfx(r, 5, 0), gfx(r, 3, 0x18), gfx(r, 8, 0xff), gfx(r, 0, 0); /* exclusive or */
    peek(r, 80);
    poke(r, 80, 0xc0);
    gfx(r, 4, 0);
    CHECK_EQ(&r->b, peek(r, 80), 0x80 ^ 0xc0);
    gfx(r, 3, 0);
}

static void test_256(struct rig *r)
{
    crtc(r, 9, 0x41), crtc(r, 0x12, 0x8f), crtc(r, 0x13, 40);
    seq(r, 4, 0xe), gfx(r, 5, 0x40), gfx(r, 6, 5);
    CHECK(&r->b, SIZE(320, 200));
    poke(r, 320 * 7 + 9, 200);
    CHECK_EQ(&r->b, shown(r, 9, 7), dac(200));
}

static void test_vbe(struct rig *r)
{
    vbe(r, VBE_XRES, 5000), vbe(r, VBE_XRES, 320), vbe(r, VBE_YRES, 200), vbe(r, VBE_BPP, 7), vbe(r, VBE_BPP, 32);
    vbe(r, VBE_ENABLE, VBE_ON | VBE_LFB);
    CHECK(&r->b, SIZE(320, 200) && shown(r, 0, 0) == 0);
    u8 *m = r->mem.base + r->mem.video_base;
    st32(m + 4 * (320 * 3 + 2), 0x123456);
    CHECK_EQ(&r->b, shown(r, 2, 3), 0x123456);
    vbe(r, VBE_VIRT_WIDTH, 640), vbe(r, VBE_X, 8), vbe(r, VBE_Y, 1);
    st32(m + 4 * (640 * 1 + 8), 0xabcdef);
    CHECK_EQ(&r->b, shown(r, 0, 0), 0xabcdef);
    vbe(r, VBE_X, 0xffff), vbe(r, VBE_Y, 0xffff); /* the picture would not be in memory */
    CHECK(&r->b, r->v.vbe[VBE_X] == 0 && r->v.vbe[VBE_Y] == 0);
    vbe(r, VBE_BANK, 1);
    poke(r, 4, 0x99);
    CHECK(&r->b, m[65536 + 4] == 0x99);
    bus_write(&r->b.pio, 0x1ce, 2, 0xa);
    CHECK_EQ(&r->b, bus_read(&r->b.pio, 0x1cf, 2), VGA_MEMORY >> 16);
    CHECK_EQ(&r->b, bus_read(&r->b.pio, 0x1d0, 2), VGA_MEMORY >> 16);
}

static void bar(struct rig *r, u32 base)
{
    pci_bus_config_write(&r->bus, 2 << 3, PCI_BAR0, 4, base);
}

static void test_memory(struct rig *r)
{
    struct buffer image = {0};
    struct error e;
    u32 mark = 0xdeadbeef;
    CHECK(&r->b, !mem_is_ram(&r->mem, MEM_VIDEO_HOME, 1));
    st32(r->mem.base + r->mem.video_base + 0x1000, mark);
    pci_bus_config_write(&r->bus, 2 << 3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    unsigned before = r->changes;
    bar(r, 0xfd000000);
    CHECK(&r->b, r->changes == before + 1 && mem_is_writable(&r->mem, 0xfd000000, VGA_MEMORY) && ld32(r->mem.base + 0xfd001000) == mark);
    CHECK(&r->b, !mem_is_ram(&r->mem, 0xfd000000 + VGA_MEMORY - 1, 2) && !mem_is_ram(&r->mem, 0xfcffffff, 2));
    bar(r, 0xc0000000);
    CHECK(&r->b, ld32(r->mem.base + 0xc0001000) == mark && ld32(r->mem.base + 0xfd001000) == 0 && !mem_is_ram(&r->mem, 0xfd000000, 4));
    bar(r, 0xffffffff); /* asking for its size: over the flash */
    CHECK(&r->b, !mem_is_ram(&r->mem, 0xc0000000, 4) && !mem_is_ram(&r->mem, 0xff800000, 4));
    bar(r, 0); /* over RAM */
    CHECK(&r->b, !r->mem.video_shown && !mem_is_ram(&r->mem, MIB(1), 4));
    bar(r, 0xfd000000);
    CHECK(&r->b, ld32(r->mem.base + 0xfd001000) == mark);
    vbe(r, VBE_ENABLE, 0), vbe(r, VBE_ENABLE, VBE_ON);
    CHECK(&r->b, ld32(r->mem.base + 0xfd001000) == 0); /* a new mode begins black */

    CHECK(&r->b, fields_save(vga_ops.fields, &r->v, &image, &e) == STATUS_OK);
    reset(r);
    CHECK(&r->b, fields_restore(vga_ops.fields, &r->v, &image, &e) == STATUS_OK && vga_ops.after_restore(&r->v) && SIZE(320, 200));
    r->v.vbe[VBE_XRES] = 0xffff;
    CHECK(&r->b, !vga_ops.after_restore(&r->v));
    buffer_free(&image);
    reset(r);
}

static void test_random(struct rig *r)
{
    u64 seed = 7;
    for (unsigned i = 0; i < 300000; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        u32 x = (u32)(seed >> 33), v = (u32)(seed >> 20);
        switch (x % 8) {
        case 0: case 1: out8(&r->b, (u16)(0x3b0 + (v >> 8) % 0x30), (u8)v); break;
        case 2: in8(&r->b, (u16)(0x3b0 + (v >> 8) % 0x30)); break;
        case 3: poke(r, v % VGA_WINDOW_LEN, (u8)(v >> 20)); break;
        case 4: peek(r, v % VGA_WINDOW_LEN); break;
        case 5: vbe(r, (u16)(v % 12), v & 0x1000 ? (u16)(v >> 16) : (u16)(v >> 16 & 0x7f)); break;
        case 6: seq(r, (u8)(v % 8), (u8)(v >> 8)), gfx(r, (u8)(v >> 3) % 9, (u8)(v >> 16)); break;
        default:
            if (!(v % 2000))
                pixel(r, 0, 0);
            else if (!(v % 601))
                bar(r, v * 4096);
        }
    }
    CHECK(&r->b, r->mem.video_base + VGA_MEMORY <= r->mem.flash_base);
}

int main(void)
{
    static struct rig r;
    rig_init(&r);
    test_text(&r);
    test_planes(&r);
    test_256(&r);
    test_vbe(&r);
    test_memory(&r);
    test_random(&r);
    mem_destroy(&r.mem);
    return bench_end(&r.b);
}
