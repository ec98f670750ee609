/* The VGA by port scripts: a text screen with a font of one's own, planes in every write mode and both read modes, 256 colours, VBE pictures with an
 * offset, the display memory moved by BAR 0 and put where it must not show, values that would lead outside, saved state. Ends with
 * random ports, windows and pictures. */
#include <stdlib.h>

#include "bench.h"
#include "base/le.h"
#include "dev/vga/vga.h"

struct rig {
    struct bench b;
    struct mem mem;
    struct pci_bus bus;
    struct vga v;
    unsigned changes;
};

static void nowhere(void *opaque, u64 addr, u32 data)
{
    (void)opaque, (void)addr, (void)data;
}

static void pirq(void *opaque, unsigned n, bool level)
{
    (void)opaque, (void)n, (void)level;
}

static void changed(void *opaque)
{
    ((struct rig *)opaque)->changes++;
}

static void reset(struct rig *r)
{
    device_reset(&(struct device){&pci_function_ops, &r->v.function});
    device_reset(&(struct device){&vga_ops, &r->v});
}

static void rig_init(struct rig *r)
{
    struct error e;
    memset(r, 0, sizeof *r);
    bench_init(&r->b);
    if (mem_init_flash(&r->mem, MIB(1), KIB(256), VGA_MEMORY, &e) != STATUS_OK)
        abort();
    pci_bus_init(&r->bus, &r->mem, (struct msi_wire){nowhere, NULL}, pirq, NULL);
    vga_init(&r->v, &r->mem, &r->b.clock, changed, r);
    if (pci_bus_add(&r->bus, &r->v.function, 2, 0, &e) != STATUS_OK)
        abort();
    bench_map(&r->b, &r->b.pio, "vga", 0x3b0, 0x30, &vga_port_bus, &r->v);
    bench_map(&r->b, &r->b.pio, "vbe", 0x1ce, 4, &vga_vbe_bus, &r->v);
    bench_map(&r->b, &r->b.mmio, "window", VGA_WINDOW, VGA_WINDOW_LEN, &vga_memory_bus, &r->v);
    reset(r);
}

static void indexed(struct rig *r, u16 port, u8 index, u8 value)
{
    out8(&r->b, port, index);
    out8(&r->b, port + 1, value);
}

static void seq(struct rig *r, u8 index, u8 value)
{
    indexed(r, 0x3c4, index, value);
}

static void gfx(struct rig *r, u8 index, u8 value)
{
    indexed(r, 0x3ce, index, value);
}

static void crtc(struct rig *r, u8 index, u8 value)
{
    indexed(r, 0x3d4, index, value);
}

static void attr(struct rig *r, u8 index, u8 value)
{
    in8(&r->b, 0x3da);
    out8(&r->b, 0x3c0, index);
    out8(&r->b, 0x3c0, value);
}

static void vbe(struct rig *r, u16 index, u16 value)
{
    bus_write(&r->b.pio, 0x1ce, 2, index);
    bus_write(&r->b.pio, 0x1cf, 2, value);
}

static u8 peek(struct rig *r, u32 at)
{
    return (u8)bus_read(&r->b.mmio, VGA_WINDOW + at, 1);
}

static void poke(struct rig *r, u32 at, u8 v)
{
    bus_write(&r->b.mmio, VGA_WINDOW + at, 1, v);
}

static const u8 *pixel(struct rig *r, u32 x, u32 y)
{
    static u8 rgb[3 * VGA_DRAW_MAX * VGA_DRAW_MAX];
    struct vga_size s = vga_size(&r->v);
    vga_draw(&r->v, s, rgb);
    return x < s.width && y < s.height ? rgb + 3 * (y * s.width + x) : rgb;
}

#define SIZE(w, h) (vga_size(&r->v).width == (w) && vga_size(&r->v).height == (h))

/* Colours: DAC entry n is n * 4, 0, n; palette n is n. */
static void colors(struct rig *r)
{
    for (unsigned n = 0; n < 256; n++) {
        out8(&r->b, 0x3c8, (u8)n);
        out8(&r->b, 0x3c9, (u8)(n & 63)), out8(&r->b, 0x3c9, 0), out8(&r->b, 0x3c9, (u8)(63 - (n & 63)));
    }
    for (u8 n = 0; n < 16; n++)
        attr(r, n, n);
    attr(r, 0x12, 0x0f);
    in8(&r->b, 0x3da);
    out8(&r->b, 0x3c0, 0x20); /* the picture is on */
}

static u32 dac(u32 n)
{
    u32 a = n & 63, b = 63 - a;
    return (a << 2 | a >> 4) << 16 | (b << 2 | b >> 4);
}

static u32 shown(struct rig *r, u32 x, u32 y)
{
    const u8 *p = pixel(r, x, y);
    return (u32)p[0] << 16 | (u32)p[1] << 8 | p[2];
}

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
