/* The PCI bus through the i440FX's ports: functions found and not found, masks, BARs that are sized, moved
 * and overlap, interrupt pins through the PIIX3's routes, MSI and MSI-X with their masks, the PM block's
 * ports, saved state. */
#include "bench.h"
#include "dev/pci/i440fx.h"
#include "dev/pci/piix3.h"

enum { CARD = 4, PORTS = 32, MEMORY = 0x1000 };

struct rig {
    struct bench b;
    struct mem mem;
    struct pci_bus bus;
    struct i440fx host;
    struct piix3 south;
    struct piix4_pm pm;
    struct machine_lines lines;
    struct pci_function card, other;
    u8 pams[I440FX_PAMS];
    u8 cf9;
    unsigned sent;
    u64 sent_addr;
    u32 sent_data;
};

static u64 reg_read(void *opaque, u64 off, unsigned size)
{
    (void)opaque, (void)size;
    return 0xa0 + off;
}

static void reg_write(void *opaque, u64 off, unsigned size, u64 v)
{
    (void)off, (void)size;
    *(u8 *)opaque = (u8)v;
}

static const struct bus_ops regs = {.read = reg_read, .write = reg_write, .min_size = 1, .max_size = 4};

static void on_msi(void *opaque, u64 addr, u32 data)
{
    struct rig *r = opaque;
    r->sent++;
    r->sent_addr = addr;
    r->sent_data = data;
}

static void on_pam(void *opaque, unsigned n, u8 value)
{
    ((struct rig *)opaque)->pams[n] = value;
}

static u32 in(struct rig *r, unsigned dev, unsigned fn, unsigned off, unsigned size)
{
    bus_write(&r->mem.pio, 0xcf8, 4, 0x80000000u | dev << 11 | fn << 8 | (off & 0xfc));
    return (u32)bus_read(&r->mem.pio, 0xcfc + (off & 3), size);
}

static void out(struct rig *r, unsigned dev, unsigned fn, unsigned off, unsigned size, u32 v)
{
    bus_write(&r->mem.pio, 0xcf8, 4, 0x80000000u | dev << 11 | fn << 8 | (off & 0xfc));
    bus_write(&r->mem.pio, 0xcfc + (off & 3), size, v);
}

static void build(struct rig *r)
{
    static const struct pci_id id = {
        .vendor = 0x1234, .device = 0x5678, .class = 0xff0000, .revision = 7, .pin = 1};
    struct irq_line lines[PIIX3_IRQS];
    struct error e;
    bench_init(&r->b);
    CHECK_EQ(&r->b, mem_init(&r->mem, MIB(1), &e), STATUS_OK);
    for (unsigned n = 0; n < PIIX3_IRQS; n++)
        lines[n] = bench_wire(&r->b, n);
    pci_bus_init(&r->bus, &r->mem, (struct msi_wire){on_msi, r}, piix3_pirq, &r->south);
    i440fx_init(&r->host, &r->bus, &regs, &r->cf9);
    r->host.pam = on_pam;
    r->host.opaque = r;
    piix4_pm_init(&r->pm, &r->b.clock, bench_wire(&r->b, 20), &r->lines);
    piix3_init(&r->south, lines, &r->pm);
    pci_function_init(&r->card, "card", &id);
    pci_function_bar(&r->card, 0, PCI_BAR_IO, PORTS, &regs, &r->cf9, "card ports");
    pci_function_bar(&r->card, 2, PCI_BAR_MEM64, MEMORY, &regs, &r->cf9, "card memory");
    pci_cap_msix(&r->card, 3, 1);
    pci_cap_msi(&r->card);
    pci_function_init(&r->other, "other", &id);
    pci_function_bar(&r->other, 0, PCI_BAR_MEM32, MEMORY, &regs, &r->cf9, "other memory");
    pci_function_bar(&r->other, PCI_ROM_BAR, PCI_BAR_ROM, 0x10000, &regs, &r->cf9, "other ROM");
    struct pci_function *const all[] = {&r->host.function, &r->south.isa, &r->south.power, &r->card,
                                        &r->other};
    static const u8 place[][2] = {{0, 0}, {1, 0}, {1, 3}, {CARD, 0}, {CARD + 1, 0}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        CHECK_EQ(&r->b, pci_bus_add(&r->bus, all[i], place[i][0], place[i][1], &e), STATUS_OK);
    CHECK(&r->b, pci_bus_add(&r->bus, &r->other, CARD, 0, &e) != STATUS_OK);
    bench_map(&r->b, &r->mem.pio, "confadd", 0xcf8, 4, &i440fx_address_bus, &r->host);
    bench_map(&r->b, &r->mem.pio, "confdata", 0xcfc, 4, &i440fx_data_bus, &r->host);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        device_reset(&(struct device){&pci_function_ops, all[i]});
    device_reset(&(struct device){&i440fx_ops, &r->host});
    device_reset(&(struct device){&piix3_ops, &r->south});
}

static void test_config(struct rig *r)
{
    struct bench *b = &r->b;
    CHECK_EQ(b, in(r, 0, 0, 0, 4), 0x12378086);
    CHECK_EQ(b, in(r, 1, 0, 0, 4), 0x70008086);
    CHECK_EQ(b, in(r, 1, 0, 0x0e, 1), 0x80);
    CHECK_EQ(b, in(r, 1, 3, 0, 4), 0x71138086);
    CHECK_EQ(b, in(r, 1, 1, 0, 4), ~0u);
    CHECK_EQ(b, in(r, 9, 0, 0, 4), ~0u);
    CHECK_EQ(b, in(r, CARD, 0, 8, 4), 0xff000007);
    CHECK_EQ(b, in(r, CARD, 0, 2, 2), 0x5678);
    CHECK_EQ(b, in(r, CARD, 0, 3, 1), 0x56);
    out(r, CARD, 0, 0, 4, 0);
    CHECK_EQ(b, in(r, CARD, 0, 0, 4), 0x56781234);
    bus_write(&r->mem.pio, 0xcf8, 4, 0x80010000u | CARD << 11); /* another bus */
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xcfc, 4), ~0u);
    bus_write(&r->mem.pio, 0xcf8, 4, CARD << 11); /* not enabled */
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xcfc, 4), ~0u);
    bus_write(&r->mem.pio, 0xcf8, 4, ~0u);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xcf8, 4), 0x80fffffc);
    bus_write(&r->mem.pio, 0xcf9, 1, 0x5a); /* the reset control register inside it */
    CHECK_EQ(b, r->cf9, 0x5a);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xcf9, 1), 0xa0);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xcf8, 4), 0x80fffffc);
    out(r, 0, 0, 0x5a, 1, 0xff);
    CHECK_EQ(b, r->pams[1], 0x33);
    CHECK_EQ(b, in(r, 0, 0, 0x72, 1), 0x02);
    out(r, 0, 0, 0x72, 1, 0x4a);
    CHECK_EQ(b, in(r, 0, 0, 0x72, 1), 0x4a);
}

static void test_bars(struct rig *r)
{
    struct bench *b = &r->b;
    out(r, CARD, 0, 0x10, 4, ~0u);
    CHECK_EQ(b, in(r, CARD, 0, 0x10, 4), ~(PORTS - 1u) | 1);
    out(r, CARD, 0, 0x18, 4, ~0u);
    out(r, CARD, 0, 0x1c, 4, ~0u);
    CHECK_EQ(b, in(r, CARD, 0, 0x18, 4), ~(MEMORY - 1u) | 4);
    CHECK_EQ(b, in(r, CARD, 0, 0x1c, 4), ~0u);
    CHECK_EQ(b, in(r, CARD, 0, 0x20, 4), 0);
    out(r, CARD, 0, 4, 2, 7); /* decoding on while the BARs hold nonsense */
    out(r, CARD, 0, 0x10, 4, 0xc000);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xc005, 1), 0xa5);
    out(r, CARD, 0, 0x10, 4, 0xd000);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xc005, 1), 0xff);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xd005, 1), 0xa5);
    out(r, CARD, 0, 0x18, 4, 0xe0000000);
    out(r, CARD, 0, 0x1c, 4, 0x2);
    CHECK_EQ(b, bus_read(&r->mem.mmio, 0x2e0000010, 1), 0xb0);
    out(r, CARD, 0, 0x1c, 4, 0);
    CHECK_EQ(b, bus_read(&r->mem.mmio, 0xe0000010, 1), 0xb0);
    /* Another window on top of it waits until the place is free. */
    out(r, CARD + 1, 0, 4, 2, 2);
    out(r, CARD + 1, 0, 0x10, 4, 0xe0000000);
    CHECK(b, !r->other.bars[0].mapped);
    out(r, CARD, 0, 0x18, 4, 0xe0001000);
    CHECK(b, r->other.bars[0].mapped && r->card.bars[2].mapped);
    out(r, CARD + 1, 0, 0x30, 4, 0xe0010000);
    CHECK_EQ(b, bus_read(&r->mem.mmio, 0xe0010000, 1), 0xff);
    out(r, CARD + 1, 0, 0x30, 4, 0xe0010001);
    CHECK_EQ(b, bus_read(&r->mem.mmio, 0xe0010000, 1), 0xa0);
    out(r, CARD, 0, 4, 2, 5); /* memory decoding off, ports stay */
    CHECK_EQ(b, bus_read(&r->mem.mmio, 0xe0001000, 1), 0xff);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xd000, 1), 0xa0);
    out(r, CARD, 0, 4, 2, 7);
}

static void test_pins(struct rig *r)
{
    struct bench *b = &r->b;
    unsigned pirq = pci_pirq(CARD, 1);
    CHECK_EQ(b, pirq, 3);
    pci_function_intx(&r->card, true);
    CHECK(b, !b->wires[10].level); /* not routed yet */
    CHECK(b, in(r, CARD, 0, 6, 2) & 8);
    out(r, 1, 0, 0x60 + pirq, 1, 10);
    CHECK(b, b->wires[10].level);
    out(r, 1, 0, 0x60 + pirq, 1, 11);
    CHECK(b, !b->wires[10].level && b->wires[11].level);
    out(r, 1, 0, 0x60 + pirq, 1, 8); /* cannot be routed there */
    CHECK(b, !b->wires[11].level && !b->wires[8].level);
    out(r, 1, 0, 0x60 + pirq, 1, 11);
    out(r, CARD, 0, 4, 2, 0x407);
    CHECK(b, !b->wires[11].level);
    out(r, CARD, 0, 4, 2, 7);
    CHECK(b, b->wires[11].level);
    pci_function_intx(&r->card, false);
    CHECK(b, !b->wires[11].level);
}

static void test_msix(struct rig *r)
{
    struct bench *b = &r->b;
    unsigned cap = r->card.msix;
    CHECK_EQ(b, in(r, CARD, 0, cap, 1), 0x11);
    CHECK_EQ(b, in(r, CARD, 0, cap + 2, 2), 2); /* three vectors */
    out(r, CARD, 0, 0x14, 4, 0xe1000000);
    for (unsigned n = 0; n < 3; n++) {
        bus_write(&r->mem.mmio, 0xe1000000 + 16 * n, 4, 0xfee00003);
        bus_write(&r->mem.mmio, 0xe1000008 + 16 * n, 4, 0x40 + n);
    }
    CHECK_EQ(b, bus_read(&r->mem.mmio, 0xe1000000, 4), 0xfee00000);
    CHECK_EQ(b, bus_read(&r->mem.mmio, 0xe100000c, 4), 1);
    pci_msix_send(&r->card, 1);
    CHECK_EQ(b, r->sent, 0); /* off */
    out(r, CARD, 0, cap + 2, 2, 0x8000);
    pci_msix_send(&r->card, 1); /* its own mask */
    CHECK_EQ(b, r->sent, 0);
    CHECK_EQ(b, bus_read(&r->mem.mmio, 0xe1000800, 4), 2);
    bus_write(&r->mem.mmio, 0xe100001c, 4, 0);
    CHECK_EQ(b, r->sent, 1);
    CHECK_EQ(b, r->sent_data, 0x41);
    CHECK_EQ(b, r->sent_addr, 0xfee00000);
    CHECK_EQ(b, bus_read(&r->mem.mmio, 0xe1000800, 4), 0);
    out(r, CARD, 0, cap + 2, 2, 0xc000);
    pci_msix_send(&r->card, 1);
    CHECK_EQ(b, r->sent, 1);
    out(r, CARD, 0, cap + 2, 2, 0x8000);
    CHECK_EQ(b, r->sent, 2);
    out(r, CARD, 0, 4, 2, 3); /* no bus mastering */
    pci_msix_send(&r->card, 1);
    CHECK_EQ(b, r->sent, 2);
    out(r, CARD, 0, 4, 2, 7);
    CHECK_EQ(b, r->sent, 3);
    pci_msix_send(&r->card, 3);
    pci_msix_send(&r->card, 77);
    CHECK_EQ(b, r->sent, 3);
    out(r, CARD, 0, cap + 2, 2, 0);
}

static void test_msi(struct rig *r)
{
    struct bench *b = &r->b;
    unsigned cap = r->card.msi, sent = r->sent;
    CHECK_EQ(b, in(r, CARD, 0, 0x34, 1), cap); /* the list begins with the last */
    CHECK_EQ(b, in(r, CARD, 0, cap + 1, 1), r->card.msix);
    out(r, CARD, 0, cap + 4, 4, 0xfee01000);
    out(r, CARD, 0, cap + 12, 2, 0x55);
    out(r, CARD, 0, cap + 16, 4, 1);
    out(r, CARD, 0, cap + 2, 2, 1);
    pci_msi_send(&r->card);
    CHECK_EQ(b, in(r, CARD, 0, cap + 20, 4), 1);
    out(r, CARD, 0, cap + 16, 4, 0);
    CHECK_EQ(b, r->sent, sent + 1);
    CHECK_EQ(b, r->sent_data, 0x55);
    CHECK_EQ(b, r->sent_addr, 0xfee01000);
    CHECK_EQ(b, in(r, CARD, 0, cap + 20, 4), 0);
}

static void test_power(struct rig *r)
{
    struct bench *b = &r->b;
    CHECK_EQ(b, bus_read(&r->mem.pio, 0x600, 2), 0xffff);
    out(r, 1, 3, 0x40, 4, 0x600);
    out(r, 1, 3, 0x80, 1, 1);
    CHECK_EQ(b, in(r, 1, 3, 0x40, 4), 0x601);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0x600, 2), 0);
    out(r, 1, 3, 0x40, 4, 0xb000);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0x600, 2), 0xffff);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xb000, 2), 0);
}

static void test_saved(struct rig *r)
{
    struct bench *b = &r->b;
    struct buffer image = {0};
    struct error e;
    pci_function_intx(&r->card, true);
    CHECK_EQ(b, fields_save(pci_function_ops.fields, &r->card, &image, &e), STATUS_OK);
    device_reset(&(struct device){&pci_function_ops, &r->card});
    CHECK(b, !r->card.bars[0].mapped && !b->wires[11].level);
    CHECK_EQ(b, r->card.msix_table[3], 1);
    CHECK_EQ(b, fields_restore(pci_function_ops.fields, &r->card, &image, &e), STATUS_OK);
    CHECK(b, pci_function_ops.after_restore(&r->card));
    CHECK(b, r->card.bars[0].mapped && b->wires[11].level);
    CHECK_EQ(b, r->card.msix_table[3], 1);
    CHECK_EQ(b, r->card.msix_table[7], 0);
    CHECK_EQ(b, bus_read(&r->mem.pio, 0xd005, 1), 0xa5);
    r->card.config[0x34] = 0; /* an image that no write could have made */
    CHECK(b, !pci_function_ops.after_restore(&r->card));
    buffer_free(&image);
}

int main(void)
{
    static struct rig r;
    build(&r);
    test_config(&r);
    test_bars(&r);
    test_pins(&r);
    test_msix(&r);
    test_msi(&r);
    test_power(&r);
    test_saved(&r);
    mem_destroy(&r.mem);
    return bench_end(&r.b);
}
