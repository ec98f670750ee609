/* A VGA with Bochs' VBE registers, as a PCI function. See vga.c. All calls run under the VM's big lock. */
#ifndef DEV_VGA_VGA_H
#define DEV_VGA_VGA_H

#include "dev/pci/pci.h"

#define VGA_MEMORY     MIB(8)
#define VGA_ROM_MAX    KIB(64)
#define VGA_WINDOW     0xa0000u
#define VGA_WINDOW_LEN 0x20000u

enum { VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH, VBE_VIRT_HEIGHT, VBE_X, VBE_Y, VBE_REGS };
enum { VBE_ON = 1, VBE_GETCAPS = 2, VBE_DAC8 = 0x20, VBE_LFB = 0x40, VBE_KEEP = 0x80 };
#define VBE_XRES_MAX 1600u
#define VBE_YRES_MAX 1200u

struct vga {
    struct pci_function function;
    struct mem *mem;
    struct clock *clock;
    /* What the processors see of the display memory has moved. */
    void (*changed)(void *opaque);
    void *opaque;
    u8 misc, feature;
    u8 seq_index, seq[8], crtc_index, crtc[32], gfx_index, gfx[16];
    u8 attr_index, attr[32];
    bool attr_flip; /* the next write to 0x3c0 is data */
    u8 latch[4];
    u8 dac[768], dac_mask, dac_read, dac_write, dac_part, dac_state, dac_latch[3];
    u16 vbe_index, vbe[VBE_REGS];
    u8 vbe_low; /* of a data word in two bytes */
    u8 rom[VGA_ROM_MAX];
    u32 rom_len;
};

extern const struct device_ops vga_ops;
extern const struct bus_ops vga_port_bus;   /* 0x3b0 to 0x3df */
extern const struct bus_ops vga_vbe_bus;    /* 0x1ce to 0x1d1 */
extern const struct bus_ops vga_memory_bus; /* VGA_WINDOW */

/* MEM has VGA_MEMORY bytes of display memory. */
void vga_init(struct vga *v, struct mem *mem, struct clock *clock, void (*changed)(void *opaque), void *opaque);
/* What its expansion ROM answers: at most VGA_ROM_MAX bytes. */
void vga_set_rom(struct vga *v, const u8 *rom, u32 len);

/* vga_draw.c: the picture's size, at most VGA_DRAW_MAX each way; then its pixels, 3 bytes each, red first. */
#define VGA_DRAW_MAX 2048u
struct vga_size {
    u32 width, height;
};
struct vga_size vga_size(const struct vga *v);
void vga_draw(const struct vga *v, struct vga_size size, u8 *rgb);

/* The text screen: columns and rows, 0: it shows none. Cell X, Y: character and attribute. */
struct vga_size vga_text_size(const struct vga *v);
u16 vga_text_cell(const struct vga *v, u32 x, u32 y);
/* The cell of the cursor; false: not shown. */
bool vga_text_cursor(const struct vga *v, u32 *x, u32 *y);

#endif
