/* Reads and writes every I/O port in every width, then the holes of physical memory, and must still be
 * there at the end. Left out, because they end, reset or stop the machine or take the console away:
 *   0x3f8-0x3ff  COM1, the console              0x64, 0x92, 0xcf9  reset
 *   0xf4-0xf7    debug exit                     0x600-0x63f, 0xb000-0xb03f  ACPI: S5, sleep
 *   0xcf8-0xcff  PCI configuration: devices could be moved onto other ports
 *   0x8900       Bochs: shutdown                0x8a00-0x8a01, 0xe9  Bochs: debugger, console
 *   0x510-0x51b  fw_cfg: its DMA could be led over the guest itself
 * The word `reads` runs the reads alone. Values vary with `seed=N`. */
#include "guest.h"

static bool port_left_out(uint32_t port, uint32_t width)
{
    static const struct {
        uint16_t first, last;
    } out[] = {{0x510, 0x51b},   {0x64, 0x64},     {0x92, 0x92},    {0xe9, 0xe9},
               {0xf4, 0xf7},     {0x3f8, 0x3ff},   {0x600, 0x63f},  {0xcf8, 0xcff},
               {0x8900, 0x8900}, {0x8a00, 0x8a01}, {0xb000, 0xb03f}};
    for (unsigned i = 0; i < COUNT(out); i++) {
        if (port + width > out[i].first && port <= out[i].last)
            return true;
    }
    return false;
}

static uint32_t random_next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void port_write(uint16_t port, uint32_t width, uint32_t value)
{
    if (width == 1)
        outb(port, (uint8_t)value);
    else if (width == 2)
        outw(port, (uint16_t)value);
    else
        outl(port, value);
}

static uint32_t port_read(uint16_t port, uint32_t width)
{
    return width == 1 ? inb(port) : width == 2 ? inw(port) : inl(port);
}

TEST(reads)
{
    uint32_t holes = 0;
    for (uint32_t width = 1; width <= 4; width *= 2) {
        for (uint32_t port = 0; port < 0x10000; port++) {
            if (port_left_out(port, width) || port + width > 0x10000)
                continue;
            holes += port_read((uint16_t)port, width) == 0xffffffffu >> (32 - 8 * width);
        }
    }
    print("# %u reads gave all ones\n", holes);
    CHECK("most ports are holes and read all ones", holes > 3 * 0x10000 / 2);
}

TEST(writes)
{
    uint32_t seed = (uint32_t)option_number("seed", 1) * 2654435761u | 1;
    for (uint32_t width = 1; width <= 4; width *= 2) {
        for (uint32_t port = 0; port < 0x10000; port++) {
            if (!port_left_out(port, width) && port + width <= 0x10000)
                port_write((uint16_t)port, width, random_next(&seed));
        }
    }
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    CHECK("still here", true);
}

/* The last port in a width that reaches past 0xffff: the access wraps or is cut, the machine stays. */
TEST(last_port)
{
    outw(0xffff, 0x1234);
    outl(0xfffd, 0x12345678);
    (void)inw(0xffff);
    (void)inl(0xffff);
    CHECK("still here", true);
}

TEST(memory_holes)
{
    static const uint32_t holes[] = {0xc0000000u, 0xd0000000u, 0xdffff000u,
                                     0xf0000000u, 0xfeb00000u, 0xfedf0000u};
    uint32_t top = shared.mem_upper_kib * 1024u + MiB;
    for (unsigned i = 0; i < COUNT(holes); i++) {
        if (holes[i] < top)
            continue;
        for (uint32_t at = holes[i]; at < holes[i] + 256; at++) {
            *(volatile uint8_t *)at = 0x5a;
            *(volatile uint16_t *)at = 0x5aa5;
            *(volatile uint32_t *)at = 0x12345678;
        }
        CHECK_EQUAL("[qemu] a hole reads all ones", 0xffffffffu, *(volatile uint32_t *)holes[i]);
        CHECK_EQUAL("[qemu] a hole reads all ones, byte", 0xffu, *(volatile uint8_t *)(holes[i] + 3));
        __asm__ volatile("lock incl (%0); xchg %1, 8(%0); rep movsb"
                         :
                         : "r"(holes[i]), "a"(0), "S"(holes[i] + 64), "D"(holes[i] + 128), "c"(64)
                         : "memory");
    }
}
