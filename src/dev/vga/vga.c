/* The IBM VGA (FreeVGA project; IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem") and Bochs' VBE extensions
 * (Bochs vbe_display_api.txt; the same card as QEMU's std VGA: PCI 1234:1111, BAR 0 the memory, BAR 2 its registers, a ROM).
 *
 * Display memory holds the four planes interleaved: byte ADDRESS of plane P is at 4 * ADDRESS + P. It belongs to struct mem, so that where BAR 0
 * stands the processors reach it as they reach RAM; through the window at 0xa0000 they come here. Whatever the registers say, an
 * address in display memory is cut to its size.
 * Not modelled: CGA's interleaved modes, smooth scrolling and the split screen, blinking, interrupts of the vertical retrace, more than one page
 * of fonts at a time. Registers without effect keep what is written. */
#include "dev/vga/vga.h"

#include <string.h>

#include "base/bits.h"
#include "base/le.h"

#define FRAME_NS   16666667u /* 60 Hz */
#define RETRACE_NS 700000u
#define LINE_NS    31000u
#define VBE_ID_MAX 0xb0c5u

static u8 *memory(const struct vga *v)
{
    return v->mem->base + v->mem->video_base;
}

static u8 *byte_at(const struct vga *v, u64 at)
{
    return memory(v) + (at & (VGA_MEMORY - 1));
}

/* --- ports */

static u8 input_status(struct vga *v)
{
    u64 in_frame = clock_now(v->clock) % FRAME_NS;
    v->attr_flip = false;
    if (in_frame < RETRACE_NS)
        return 0x09;
    return in_frame % LINE_NS < LINE_NS / 5 ? 0x01 : 0;
}

static u8 attr_read(const struct vga *v)
{
    return v->attr[v->attr_index & 0x1f];
}

static void attr_write(struct vga *v, u8 value)
{
    if (!v->attr_flip)
        v->attr_index = value & 0x3f;
    else if ((v->attr_index & 0x1f) < 0x15)
        v->attr[v->attr_index & 0x1f] = value;
    v->attr_flip = !v->attr_flip;
}

static u8 dac_data_read(struct vga *v)
{
    u8 value = v->dac[3 * v->dac_read + v->dac_part];
    if (++v->dac_part == 3) {
        v->dac_part = 0;
        v->dac_read++;
    }
    return value;
}

static void dac_data_write(struct vga *v, u8 value)
{
    v->dac_latch[v->dac_part] = v->vbe[VBE_ENABLE] & VBE_DAC8 ? value : value & 0x3f;
    if (++v->dac_part < 3)
        return;
    v->dac_part = 0;
    memcpy(v->dac + 3 * v->dac_write++, v->dac_latch, 3);
}

/* CRTC's registers stand at 0x3b4 or 0x3d4 (misc, bit 0). */
static bool is_there(const struct vga *v, u64 port)
{
    bool color = v->misc & 1;
    return port >= 0x3c0 && port < 0x3d0 ? true : color == (port >= 0x3d0);
}

static u8 port_read(struct vga *v, u64 port)
{
    if (!is_there(v, port))
        return 0xff;
    switch (port) {
    case 0x3c0: return v->attr_flip ? 0 : v->attr_index;
    case 0x3c1: return attr_read(v);
    case 0x3c2: return 0x10; /* switch sense: a colour monitor */
    case 0x3c3: return 1;
    case 0x3c4: return v->seq_index;
    case 0x3c5: return v->seq[v->seq_index & 7];
    case 0x3c6: return v->dac_mask;
    case 0x3c7: return v->dac_state;
    case 0x3c8: return v->dac_write;
    case 0x3c9: return dac_data_read(v);
    case 0x3ca: return v->feature;
    case 0x3cc: return v->misc;
    case 0x3ce: return v->gfx_index;
    case 0x3cf: return v->gfx[v->gfx_index & 15];
    case 0x3b4: case 0x3d4: return v->crtc_index;
    case 0x3b5: case 0x3d5: return v->crtc[v->crtc_index & 31];
    case 0x3ba: case 0x3da: return input_status(v);
    default: return 0xff;
    }
}

static void crtc_write(struct vga *v, u8 value)
{
    u8 n = v->crtc_index & 31;
    bool locked = v->crtc[0x11] & 0x80 && n < 8;
    if (locked && n == 7) /* but for bit 8 of line compare */
        v->crtc[7] = (u8)((v->crtc[7] & ~0x10) | (value & 0x10));
    else if (!locked)
        v->crtc[n] = value;
}

static void port_write(struct vga *v, u64 port, u8 value)
{
    if (!is_there(v, port))
        return;
    switch (port) {
    case 0x3c0: attr_write(v, value); break;
    case 0x3c2: v->misc = value & ~0x10; break;
    case 0x3c4: v->seq_index = value & 7; break;
    case 0x3c5: v->seq[v->seq_index & 7] = value; break;
    case 0x3c6: v->dac_mask = value; break;
    case 0x3c7: v->dac_read = value; v->dac_part = 0; v->dac_state = 3; break;
    case 0x3c8: v->dac_write = value; v->dac_part = 0; v->dac_state = 0; break;
    case 0x3c9: dac_data_write(v, value); break;
    case 0x3ce: v->gfx_index = value & 15; break;
    case 0x3cf: v->gfx[v->gfx_index & 15] = value; break;
    case 0x3b4: case 0x3d4: v->crtc_index = value & 31; break;
    case 0x3b5: case 0x3d5: crtc_write(v, value); break;
    case 0x3ba: case 0x3da: v->feature = value; break;
    default: break;
    }
}

static u64 ports_read(void *opaque, u64 off, unsigned size)
{
    (void)size;
    return port_read(opaque, 0x3b0 + off);
}

static void ports_write(void *opaque, u64 off, unsigned size, u64 value)
{
    (void)size;
    port_write(opaque, 0x3b0 + off, (u8)value);
}

const struct bus_ops vga_port_bus = {.read = ports_read, .write = ports_write, .min_size = 1, .max_size = 1};

/* --- VBE */

static u16 vbe_read(const struct vga *v)
{
    static const u16 most[] = {[VBE_XRES] = VBE_XRES_MAX, [VBE_YRES] = VBE_YRES_MAX, [VBE_BPP] = 32};
    if (v->vbe_index == 0xa)
        return VGA_MEMORY >> 16;
    if (v->vbe_index >= VBE_REGS)
        return 0;
    if (v->vbe[VBE_ENABLE] & VBE_GETCAPS && v->vbe_index >= VBE_XRES && v->vbe_index <= VBE_BPP)
        return most[v->vbe_index];
    return v->vbe[v->vbe_index];
}

static u32 vbe_pitch(const struct vga *v)
{
    u32 bpp = v->vbe[VBE_BPP];
    return bpp == 4 ? v->vbe[VBE_VIRT_WIDTH] / 2u : v->vbe[VBE_VIRT_WIDTH] * ((bpp + 7) / 8);
}

/* The picture must be in memory, wherever its corner stands. */
static void vbe_settle(struct vga *v)
{
    u16 *r = v->vbe;
    if (r[VBE_VIRT_WIDTH] < r[VBE_XRES])
        r[VBE_VIRT_WIDTH] = r[VBE_XRES];
    u32 pitch = vbe_pitch(v), lines = pitch ? (u32)(VGA_MEMORY / pitch) : 0;
    r[VBE_VIRT_HEIGHT] = (u16)(lines < 0xffff ? lines : 0xffff);
    if (r[VBE_X] + r[VBE_XRES] > r[VBE_VIRT_WIDTH])
        r[VBE_X] = 0;
    if (r[VBE_Y] + r[VBE_YRES] > r[VBE_VIRT_HEIGHT])
        r[VBE_Y] = 0;
}

static void vbe_enable(struct vga *v, u16 value)
{
    bool was = v->vbe[VBE_ENABLE] & VBE_ON;
    v->vbe[VBE_ENABLE] = value & (VBE_ON | VBE_GETCAPS | VBE_DAC8 | VBE_LFB | VBE_KEEP);
    v->vbe[VBE_BANK] = 0;
    if (!(value & VBE_ON) || was)
        return;
    v->vbe[VBE_VIRT_WIDTH] = v->vbe[VBE_X] = v->vbe[VBE_Y] = 0;
    vbe_settle(v);
    if (!(value & VBE_KEEP))
        mem_video_clear(v->mem);
}

static void vbe_write(struct vga *v, u16 value)
{
    bool on = v->vbe[VBE_ENABLE] & VBE_ON;
    switch (v->vbe_index) {
    case VBE_ID:
        if (value >= 0xb0c0 && value <= VBE_ID_MAX)
            v->vbe[VBE_ID] = value;
        break;
    case VBE_XRES:
        if (!on && value <= VBE_XRES_MAX)
            v->vbe[VBE_XRES] = value & 0xfff8;
        break;
    case VBE_YRES:
        if (!on && value <= VBE_YRES_MAX)
            v->vbe[VBE_YRES] = value;
        break;
    case VBE_BPP:
        if (!on && (value == 4 || value == 8 || value == 15 || value == 16 || value == 24 || value == 32))
            v->vbe[VBE_BPP] = value;
        break;
    case VBE_ENABLE: vbe_enable(v, value); break;
    case VBE_BANK: v->vbe[VBE_BANK] = value & (u16)(VGA_MEMORY / 65536 - 1); break;
    case VBE_VIRT_WIDTH:
    case VBE_X:
    case VBE_Y:
        v->vbe[v->vbe_index] = value;
        vbe_settle(v);
        break;
    default: break;
    }
}

static u64 vbe_port_read(void *opaque, u64 off, unsigned size)
{
    const struct vga *v = opaque;
    u16 word = off ? vbe_read(v) : v->vbe_index;
    return size == 2 || off == 1 ? word : word >> 8;
}

/* Index at 0x1ce; data at 0x1cf, which comes as two bytes, and for who wants it aligned at 0x1d0. */
static void vbe_port_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct vga *v = opaque;
    if (off == 1)
        v->vbe_low = (u8)value;
    else if (off == 0)
        v->vbe_index = (u16)value;
    else
        vbe_write(v, size == 2 ? (u16)value : (u16)(value << 8 | v->vbe_low));
}

const struct bus_ops vga_vbe_bus = {.read = vbe_port_read, .write = vbe_port_write, .min_size = 1, .max_size = 2};

/* BAR 2: the VGA's ports from 0x3c0 on at 0x400, the VBE registers at 0x500. */
static u64 bar_read(void *opaque, u64 off, unsigned size)
{
    struct vga *v = opaque;
    if (off >= 0x400 && off < 0x420)
        return port_read(v, 0x3c0 + (off - 0x400)) | (size == 2 ? (u64)port_read(v, 0x3c1 + (off - 0x400)) << 8 : 0);
    if (off < 0x500 || off >= 0x500 + 2 * 0x10 || size != 2)
        return ~0ull;
    u16 index = v->vbe_index;
    v->vbe_index = (u16)((off - 0x500) / 2);
    u16 value = vbe_read(v);
    v->vbe_index = index;
    return value;
}

static void bar_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct vga *v = opaque;
    if (off >= 0x400 && off < 0x420) {
        port_write(v, 0x3c0 + (off - 0x400), (u8)value);
        if (size == 2)
            port_write(v, 0x3c1 + (off - 0x400), (u8)(value >> 8));
        return;
    }
    if (off < 0x500 || off >= 0x500 + 2 * 0x10 || size != 2)
        return;
    u16 index = v->vbe_index;
    v->vbe_index = (u16)((off - 0x500) / 2);
    vbe_write(v, (u16)value);
    v->vbe_index = index;
}

static const struct bus_ops bar_bus = {.read = bar_read, .write = bar_write, .min_size = 1, .max_size = 2};

/* --- the window at 0xa0000 */

enum { GFX_SET, GFX_SET_ENABLE, GFX_COMPARE, GFX_ROTATE, GFX_READ_PLANE, GFX_MODE, GFX_MISC, GFX_CARE, GFX_MASK };
enum { SEQ_PLANES = 2, SEQ_MODE = 4, SEQ_CHAIN4 = 8 };

/* Where OFF of the window is in display memory; false: the window does not reach it. */
static bool window(const struct vga *v, u64 off, u32 *at)
{
    static const struct {
        u32 from, len;
    } maps[] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
    unsigned n = v->gfx[GFX_MISC] >> 2 & 3;
    if (!(v->misc & 2) || off < maps[n].from || off - maps[n].from >= maps[n].len)
        return false;
    *at = (u32)(off - maps[n].from);
    return true;
}

static bool linear(const struct vga *v, u64 off)
{
    return v->vbe[VBE_ENABLE] & VBE_ON && v->vbe[VBE_BPP] >= 8 && off < 0x10000;
}

/* A plane's mask, spread over the four bytes of a latch. */
static u8 plane_bit(u8 bits, unsigned p)
{
    return bits >> p & 1 ? 0xff : 0;
}

static u8 window_read(struct vga *v, u64 off)
{
    u32 at;
    if (linear(v, off))
        return *byte_at(v, (u64)v->vbe[VBE_BANK] << 16 | off);
    if (!window(v, off, &at))
        return 0xff;
    if (v->seq[SEQ_MODE] & SEQ_CHAIN4)
        return *byte_at(v, at);
    if (v->gfx[GFX_MODE] & 0x10) /* odd and even */
        return *byte_at(v, 4ull * (at & ~1u) + ((v->gfx[GFX_READ_PLANE] & 2) | (at & 1)));
    memcpy(v->latch, byte_at(v, 4ull * at), 4);
    if (!(v->gfx[GFX_MODE] & 8))
        return v->latch[v->gfx[GFX_READ_PLANE] & 3];
    u8 differs = 0;
    for (unsigned p = 0; p < 4; p++)
        differs |= (v->latch[p] ^ plane_bit(v->gfx[GFX_COMPARE], p)) & plane_bit(v->gfx[GFX_CARE], p);
    return (u8)~differs;
}

static u8 alu(u8 function, u8 value, u8 latch)
{
    switch (function & 3) {
    case 1: return value & latch;
    case 2: return value | latch;
    case 3: return value ^ latch;
    default: return value;
    }
}

/* One byte through the graphics controller, in write mode 0 to 3, into plane P. */
static u8 plane_value(const struct vga *v, unsigned p, u8 value)
{
    const u8 *g = v->gfx;
    unsigned turn = g[GFX_ROTATE] & 7, mode = g[GFX_MODE] & 3;
    u8 turned = (u8)(value >> turn | value << (8 - turn)), mask = g[GFX_MASK];
    if (mode == 1)
        return v->latch[p];
    if (mode == 0)
        value = g[GFX_SET_ENABLE] >> p & 1 ? plane_bit(g[GFX_SET], p) : turned;
    else if (mode == 2)
        value = plane_bit(value, p);
    else {
        mask &= turned;
        value = plane_bit(g[GFX_SET], p);
    }
    value = alu(g[GFX_ROTATE] >> 3, value, v->latch[p]);
    return (u8)((value & mask) | (v->latch[p] & ~mask));
}

static void window_write(struct vga *v, u64 off, u8 value)
{
    u8 planes = v->seq[SEQ_PLANES];
    u32 at;
    if (linear(v, off)) {
        *byte_at(v, (u64)v->vbe[VBE_BANK] << 16 | off) = value;
        return;
    }
    if (!window(v, off, &at))
        return;
    if (v->seq[SEQ_MODE] & SEQ_CHAIN4) {
        if (planes >> (at & 3) & 1)
            *byte_at(v, at) = value;
        return;
    }
    if (v->gfx[GFX_MODE] & 0x10) {
        unsigned p = (v->gfx[GFX_READ_PLANE] & 2) | (at & 1);
        if (planes >> p & 1)
            *byte_at(v, 4ull * (at & ~1u) + p) = value;
        return;
    }
    for (unsigned p = 0; p < 4; p++)
        if (planes >> p & 1)
            *byte_at(v, 4ull * at + p) = plane_value(v, p, value);
}

static u64 memory_read(void *opaque, u64 off, unsigned size)
{
    u64 value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (u64)window_read(opaque, off + i) << 8 * i;
    return value;
}

static void memory_write(void *opaque, u64 off, unsigned size, u64 value)
{
    for (unsigned i = 0; i < size; i++)
        window_write(opaque, off + i, (u8)(value >> 8 * i));
}

const struct bus_ops vga_memory_bus = {.read = memory_read, .write = memory_write, .min_size = 1, .max_size = 8};

/* --- the PCI function */

static u64 rom_read(void *opaque, u64 off, unsigned size)
{
    const struct vga *v = opaque;
    return ld_n(v->rom + off, size);
}

static void nowhere_write(void *opaque, u64 off, unsigned size, u64 value)
{
    (void)opaque, (void)off, (void)size, (void)value;
}

static const struct bus_ops rom_bus = {.read = rom_read, .write = nowhere_write, .min_size = 1, .max_size = 8};

/* Only where BAR 0 is not in memory the bus is asked: it has moved over RAM or the flash. */
static u64 lfb_read(void *opaque, u64 off, unsigned size)
{
    return ld_n(byte_at(opaque, off), size);
}

static void lfb_write(void *opaque, u64 off, unsigned size, u64 value)
{
    st_n(byte_at(opaque, off), value, size);
}

static const struct bus_ops lfb_bus = {.read = lfb_read, .write = lfb_write, .min_size = 1, .max_size = 8};

static void follow(void *instance)
{
    struct vga *v = instance;
    const u8 *config = v->function.config;
    bool on = ld16(config + PCI_COMMAND) & PCI_COMMAND_MEMORY;
    if (mem_video_show(v->mem, on ? ld32(config + PCI_BAR0) & ~(u32)(VGA_MEMORY - 1) : 0) && v->changed)
        v->changed(v->opaque);
}

static void written(void *opaque, unsigned off, unsigned size)
{
    (void)off, (void)size;
    follow(opaque);
}

void vga_set_rom(struct vga *v, const u8 *rom, u32 len)
{
    v->rom_len = len < VGA_ROM_MAX ? len : VGA_ROM_MAX;
    memcpy(v->rom, rom, v->rom_len);
    pci_function_bar(&v->function, PCI_ROM_BAR, PCI_BAR_ROM, VGA_ROM_MAX, &rom_bus, v, "VGA ROM");
}

void vga_init(struct vga *v, struct mem *mem, struct clock *clock, void (*changed)(void *opaque), void *opaque)
{
    static const struct pci_id id = {.vendor = 0x1234,
                                     .device = 0x1111,
                                     .class = 0x030000,
                                     .revision = 2,
                                     .subsystem_vendor = 0x1af4,
                                     .subsystem = 0x1100};
    *v = (struct vga){.mem = mem, .clock = clock, .changed = changed, .opaque = opaque};
    pci_function_init(&v->function, "VGA", &id);
    pci_function_bar(&v->function, 0, PCI_BAR_MEM32, VGA_MEMORY, &lfb_bus, v, "VGA memory");
    pci_function_bar(&v->function, 2, PCI_BAR_MEM32, PAGE_SIZE, &bar_bus, v, "VGA registers");
    v->function.written = written;
    v->function.opaque = v;
}

static bool vga_after_restore(void *instance)
{
    struct vga *v = instance;
    const u16 *r = v->vbe;
    if (r[VBE_XRES] > VBE_XRES_MAX || r[VBE_YRES] > VBE_YRES_MAX || r[VBE_BPP] > 32 || v->dac_part > 2)
        return false;
    vbe_settle(v);
    follow(v);
    return true;
}

static void vga_reset(void *instance)
{
    struct vga *v = instance;
    v->vbe[VBE_ID] = VBE_ID_MAX;
    v->vbe[VBE_BPP] = 8;
    follow(v);
}

static const struct field vga_fields[] = {
    FIELD(vga, misc, 1),
    FIELD(vga, feature, 0),
    FIELD_MAX(vga, seq_index, 0, 7),
    FIELD_ARRAY(vga, seq, 0),
    FIELD_MAX(vga, crtc_index, 0, 31),
    FIELD_ARRAY(vga, crtc, 0),
    FIELD_MAX(vga, gfx_index, 0, 15),
    FIELD_ARRAY(vga, gfx, 0),
    FIELD(vga, attr_index, 0),
    FIELD_ARRAY(vga, attr, 0),
    FIELD(vga, attr_flip, false),
    FIELD_ARRAY(vga, latch, 0),
    FIELD_ARRAY(vga, dac, 0),
    FIELD(vga, dac_mask, 0xff),
    FIELD(vga, dac_read, 0),
    FIELD(vga, dac_write, 0),
    FIELD(vga, dac_part, 0),
    FIELD(vga, dac_state, 0),
    FIELD_ARRAY(vga, dac_latch, 0),
    FIELD(vga, vbe_index, 0),
    FIELD(vga, vbe_low, 0),
    FIELD_ARRAY(vga, vbe, 0),
};
static const struct field_table vga_table = {"vga", 1, vga_fields, ARRAY_LEN(vga_fields)};
/* After its function in the machine's order. */
const struct device_ops vga_ops = {.fields = &vga_table, .reset = vga_reset, .after_restore = vga_after_restore};
