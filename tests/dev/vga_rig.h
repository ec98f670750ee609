/* A VGA on a bench: its ports, its window, its PCI function, a byte of its picture. */
#ifndef TESTS_DEV_VGA_RIG_H
#define TESTS_DEV_VGA_RIG_H

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

static inline void nowhere(void *opaque, u64 addr, u32 data)
{
    (void)opaque, (void)addr, (void)data;
}

static inline void pirq(void *opaque, unsigned n, bool level)
{
    (void)opaque, (void)n, (void)level;
}

static inline void changed(void *opaque)
{
    ((struct rig *)opaque)->changes++;
}

static inline void reset(struct rig *r)
{
    device_reset(&(struct device){&pci_function_ops, &r->v.function});
    device_reset(&(struct device){&vga_ops, &r->v});
}

static inline void rig_init(struct rig *r)
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

static inline void indexed(struct rig *r, u16 port, u8 index, u8 value)
{
    out8(&r->b, port, index);
    out8(&r->b, port + 1, value);
}

static inline void seq(struct rig *r, u8 index, u8 value)
{
    indexed(r, 0x3c4, index, value);
}

static inline void gfx(struct rig *r, u8 index, u8 value)
{
    indexed(r, 0x3ce, index, value);
}

static inline void crtc(struct rig *r, u8 index, u8 value)
{
    indexed(r, 0x3d4, index, value);
}

static inline void attr(struct rig *r, u8 index, u8 value)
{
    in8(&r->b, 0x3da);
    out8(&r->b, 0x3c0, index);
    out8(&r->b, 0x3c0, value);
}

static inline void vbe(struct rig *r, u16 index, u16 value)
{
    bus_write(&r->b.pio, 0x1ce, 2, index);
    bus_write(&r->b.pio, 0x1cf, 2, value);
}

static inline u8 peek(struct rig *r, u32 at)
{
    return (u8)bus_read(&r->b.mmio, VGA_WINDOW + at, 1);
}

static inline void poke(struct rig *r, u32 at, u8 v)
{
    bus_write(&r->b.mmio, VGA_WINDOW + at, 1, v);
}

static inline const u8 *pixel(struct rig *r, u32 x, u32 y)
{
    static u8 rgb[3 * VGA_DRAW_MAX * VGA_DRAW_MAX];
    struct vga_size s = vga_size(&r->v);
    vga_draw(&r->v, s, rgb);
    return x < s.width && y < s.height ? rgb + 3 * (y * s.width + x) : rgb;
}

#define SIZE(w, h) (vga_size(&r->v).width == (w) && vga_size(&r->v).height == (h))

/* Colours: DAC entry n is n * 4, 0, n; palette n is n. */
static inline void colors(struct rig *r)
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

static inline u32 dac(u32 n)
{
    u32 a = n & 63, b = 63 - a;
    return (a << 2 | a >> 4) << 16 | (b << 2 | b >> 4);
}

static inline u32 shown(struct rig *r, u32 x, u32 y)
{
    const u8 *p = pixel(r, x, y);
    return (u32)p[0] << 16 | (u32)p[1] << 8 | p[2];
}

#endif
