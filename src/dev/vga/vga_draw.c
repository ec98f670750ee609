/* The picture out of the registers and the memory: text, 16 colours in planes, 256 colours, and the VBE's formats. Reads nothing but what
 * the guest wrote, and cuts every address to the memory's size. */
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "dev/vga/vga.h"

static u8 byte_at(const struct vga *v, u64 at)
{
    return v->mem->base[v->mem->video_base + (at & (VGA_MEMORY - 1))];
}

static bool is_vbe(const struct vga *v)
{
    return v->vbe[VBE_ENABLE] & VBE_ON && v->vbe[VBE_XRES] && v->vbe[VBE_YRES];
}

static bool is_graphics(const struct vga *v)
{
    return v->gfx[6] & 1;
}

static bool is_256(const struct vga *v)
{
    return v->gfx[5] & 0x40;
}

static u32 cell_width(const struct vga *v)
{
    return v->seq[1] & 1 ? 8 : 9;
}

static u32 cell_height(const struct vga *v)
{
    return (v->crtc[9] & 0x1fu) + 1;
}

static u32 display_lines(const struct vga *v)
{
    const u8 *c = v->crtc;
    return (c[0x12] | (c[7] & 2u) << 7 | (c[7] & 0x40u) << 3) + 1u;
}

/* Lines of the monitor per row of pixels, in graphics modes. */
static u32 repeat(const struct vga *v)
{
    return cell_height(v) << (v->crtc[9] >> 7);
}

struct vga_size vga_size(const struct vga *v)
{
    u32 columns = v->crtc[1] + 1u, lines = display_lines(v);
    struct vga_size s = {columns * cell_width(v), lines / cell_height(v) * cell_height(v)};
    if (is_vbe(v))
        s = (struct vga_size){v->vbe[VBE_XRES], v->vbe[VBE_YRES]};
    else if (is_graphics(v))
        s = (struct vga_size){columns * (is_256(v) ? 4 : 8), lines / repeat(v)};
    if (!s.width || !s.height || s.width > VGA_DRAW_MAX || s.height > VGA_DRAW_MAX)
        s = (struct vga_size){8, 8}; /* no mode that shows anything */
    return s;
}

static void put(u8 *rgb, u32 r, u32 g, u32 b)
{
    rgb[0] = (u8)r;
    rgb[1] = (u8)g;
    rgb[2] = (u8)b;
}

static void put_dac(const struct vga *v, u8 *rgb, u8 color)
{
    const u8 *d = v->dac + 3 * (color & v->dac_mask);
    bool wide = v->vbe[VBE_ENABLE] & VBE_DAC8;
    for (unsigned i = 0; i < 3; i++)
        rgb[i] = wide ? d[i] : (u8)(d[i] << 2 | d[i] >> 4);
}

/* One of 16 through the attribute controller. */
static void put_attr(const struct vga *v, u8 *rgb, u8 color)
{
    u8 c = v->attr[color & 15] & 0x3f;
    if (v->attr[0x10] & 0x80)
        c = (u8)((c & 0x0f) | (v->attr[0x14] & 3) << 4);
    put_dac(v, rgb, (u8)(c | (v->attr[0x14] & 0x0c) << 4));
}

static u32 start(const struct vga *v)
{
    return (u32)v->crtc[0xc] << 8 | v->crtc[0xd];
}

/* --- text */

struct vga_size vga_text_size(const struct vga *v)
{
    if (is_vbe(v) || is_graphics(v) || !(v->misc & 2))
        return (struct vga_size){0, 0};
    return (struct vga_size){v->crtc[1] + 1u, display_lines(v) / cell_height(v)};
}

static u64 cell_at(const struct vga *v, u32 x, u32 y)
{
    return 4ull * (start(v) * 1ull + (u64)y * (v->crtc[0x13] * 2u) + x);
}

/* Characters in plane 0, attributes in plane 1; odd-even addressing puts a cell at an even byte of each. */
u16 vga_text_cell(const struct vga *v, u32 x, u32 y)
{
    u64 at = 2 * cell_at(v, x, y);
    return (u16)(byte_at(v, at) | byte_at(v, at + 1) << 8);
}

bool vga_text_cursor(const struct vga *v, u32 *x, u32 *y)
{
    u32 at = ((u32)v->crtc[0xe] << 8 | v->crtc[0xf]) - start(v), pitch = v->crtc[0x13] * 2u;
    struct vga_size s = vga_text_size(v);
    if (v->crtc[0xa] & 0x20 || !pitch)
        return false;
    *x = at % pitch;
    *y = at / pitch;
    return *x < s.width && *y < s.height;
}

/* Eight pixels of a character's line; the font stands in plane 2, 32 bytes each. */
static u8 glyph(const struct vga *v, u8 code, u8 attribute, u32 line)
{
    static const u16 fonts[] = {0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000};
    u8 s = v->seq[3];
    unsigned a = (s >> 2 & 3) | (s >> 3 & 4), b = (s & 3) | (s >> 2 & 4);
    u32 font = fonts[attribute & 8 ? a : b];
    return byte_at(v, 4ull * (font + code * 32u + line) + 2);
}

static void draw_cell(const struct vga *v, u16 cell, u32 line, bool cursor, u8 *rgb)
{
    u8 code = (u8)cell, attribute = (u8)(cell >> 8), bits = glyph(v, code, attribute, line);
    bool blinks = v->attr[0x10] & 8;
    u32 width = cell_width(v);
    if (cursor)
        bits = 0xff;
    for (u32 i = 0; i < width; i++) {
        bool last = i == 8; /* the ninth column repeats the eighth of line-drawing characters */
        bool on = last ? cursor || (v->attr[0x10] & 4 && (code & 0xe0) == 0xc0 && bits & 1) : bits >> (7 - i) & 1;
        put_attr(v, rgb + 3 * i, on ? attribute & 15 : attribute >> 4 & (blinks ? 7 : 15));
    }
}

static void draw_text(const struct vga *v, struct vga_size size, u8 *rgb)
{
    u32 width = cell_width(v), height = cell_height(v), cx = 0, cy = 0;
    bool cursor = vga_text_cursor(v, &cx, &cy);
    for (u32 y = 0; y < size.height; y++) {
        u32 row = y / height, line = y % height;
        bool in_cursor = cursor && row == cy && line >= (v->crtc[0xa] & 0x1fu) && line <= (v->crtc[0xb] & 0x1fu);
        for (u32 x = 0; x < size.width / width; x++)
            draw_cell(v, vga_text_cell(v, x, row), line, in_cursor && x == cx, rgb + 3ull * (y * size.width + x * width));
    }
}

/* --- graphics */

static void draw_planes(const struct vga *v, struct vga_size size, u8 *rgb)
{
    for (u32 y = 0; y < size.height; y++)
        for (u32 x = 0; x < size.width; x++, rgb += 3) {
            u64 at = 4ull * (start(v) + (u64)y * v->crtc[0x13] * 2 + x / 8);
            u8 color = 0;
            for (unsigned p = 0; p < 4; p++)
                color |= (u8)((byte_at(v, at + p) >> (7 - x % 8) & 1) << p);
            put_attr(v, rgb, color & v->attr[0x12]);
        }
}

static void draw_256(const struct vga *v, struct vga_size size, u8 *rgb)
{
    for (u32 y = 0; y < size.height; y++)
        for (u32 x = 0; x < size.width; x++, rgb += 3)
            put_dac(v, rgb, byte_at(v, 4ull * start(v) + (u64)y * v->crtc[0x13] * 8 + x));
}

static void put_vbe(const struct vga *v, u8 *rgb, u64 at, u32 x)
{
    u32 bpp = v->vbe[VBE_BPP], pixel = 0;
    if (bpp >= 8)
        for (u32 i = 0; i < (bpp + 7) / 8; i++)
            pixel |= (u32)byte_at(v, at + x * ((bpp + 7) / 8) + i) << 8 * i;
    switch (bpp) {
    case 4: {
        u8 color = 0;
        for (unsigned p = 0; p < 4; p++)
            color |= (u8)((byte_at(v, 4 * (at / 4 + x / 8) + p) >> (7 - x % 8) & 1) << p);
        put_attr(v, rgb, color);
        break;
    }
    case 8: put_dac(v, rgb, (u8)pixel); break;
    case 15: put(rgb, (pixel >> 10 & 31) * 255 / 31, (pixel >> 5 & 31) * 255 / 31, (pixel & 31) * 255 / 31); break;
    case 16: put(rgb, (pixel >> 11 & 31) * 255 / 31, (pixel >> 5 & 63) * 255 / 63, (pixel & 31) * 255 / 31); break;
    default: put(rgb, pixel >> 16 & 0xff, pixel >> 8 & 0xff, pixel & 0xff); break;
    }
}

static void draw_vbe(const struct vga *v, struct vga_size size, u8 *rgb)
{
    const u16 *r = v->vbe;
    u64 bytes = (r[VBE_BPP] + 7u) / 8, pitch = r[VBE_BPP] == 4 ? r[VBE_VIRT_WIDTH] / 2u : r[VBE_VIRT_WIDTH] * bytes;
    for (u32 y = 0; y < size.height; y++)
        for (u32 x = 0; x < size.width; x++, rgb += 3)
            put_vbe(v, rgb, (y + r[VBE_Y]) * pitch + (r[VBE_BPP] == 4 ? 0 : r[VBE_X] * bytes), x);
}

void vga_draw(const struct vga *v, struct vga_size size, u8 *rgb)
{
    bool dark = !is_vbe(v) && (!(v->attr_index & 0x20) || v->seq[1] & 0x20);
    if (dark || (size.width == 8 && size.height == 8))
        memset(rgb, 0, 3ull * size.width * size.height);
    else if (is_vbe(v))
        draw_vbe(v, size, rgb);
    else if (!is_graphics(v))
        draw_text(v, size, rgb);
    else if (is_256(v))
        draw_256(v, size, rgb);
    else
        draw_planes(v, size, rgb);
}
