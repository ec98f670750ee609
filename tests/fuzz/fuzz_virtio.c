/* virtio devices under a hostile driver: a block, a network and an entropy device, a console and a balloon, each behind an MMIO slot and
 * behind PCI. The input is a program: stores into the page of rings and descriptors, register accesses of both
 * transports, notifications, steps of the clock, frames from the network, the end of held disk requests. Nothing
 * may crash, spin, or write outside RAM.
 *
 * Each command is a byte of kind, then its operands. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "dev/pci/i440fx.h"
#include "dev/virtio/virtio_balloon.h"
#include "dev/virtio/virtio_blk.h"
#include "dev/virtio/virtio_console.h"
#include "dev/virtio/virtio_mmio.h"
#include "dev/virtio/virtio_net.h"
#include "dev/virtio/virtio_pci.h"
#include "dev/virtio/virtio_rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DISK = 1 << 16, RINGS = 0x10000, KINDS = 5, BALLOON = KINDS - 1, QUEUES = 5, RING_PAGES = BALLOON * 2 + QUEUES, HELD = 128 };

struct fuzz {
    const u8 *data;
    size_t left;
    u64 now;
    struct clock clock;
    struct mem mem;
    struct virtio_wires wires;
    struct block disk;
    u8 bytes[DISK];
    struct block_request *held[HELD];
    unsigned held_n;
    bool hold, full; /* the disk keeps requests; the console's other end takes nothing */
    struct net net[2];
    struct virtio_blk blk[2];
    struct virtio_net nic[2];
    struct virtio_rng rng[2];
    struct virtio_console console[2];
    struct virtio_balloon balloon[2];
    struct virtio_mmio slots[KINDS];
    struct pci_bus bus;
    struct virtio_pci cards[KINDS];
};

static u64 take(struct fuzz *f, unsigned bytes)
{
    u64 v = 0;
    for (unsigned k = 0; k < bytes && f->left; k++, f->left--)
        v |= (u64)*f->data++ << 8 * k;
    return v;
}

static u64 on_now(void *opaque)
{
    return ((struct fuzz *)opaque)->now;
}

static u64 on_random(void *opaque)
{
    return ((struct fuzz *)opaque)->now * 0x9e3779b97f4a7c15;
}

static void finish(struct fuzz *f, struct block_request *r)
{
    if (r->len > DISK || r->off > DISK - r->len)
        abort(); /* the device let it through */
    if (r->op == BLOCK_READ)
        memcpy(r->data, f->bytes + r->off, r->len);
    if (r->op == BLOCK_WRITE)
        memcpy(f->bytes + r->off, r->data, r->len);
    r->error = f->now & 64 ? EIO : 0;
    r->done(r);
}

static struct fuzz *the_fuzz(struct block *b)
{
    return (struct fuzz *)((u8 *)b - offsetof(struct fuzz, disk));
}

static void on_submit(struct block *b, struct block_request *r)
{
    struct fuzz *f = the_fuzz(b);
    if (f->hold && f->held_n < HELD)
        f->held[f->held_n++] = r;
    else
        finish(f, r);
}

static void on_send(struct net *n, const u8 *frame, size_t len)
{
    volatile u8 sum = 0;
    (void)n;
    for (size_t i = 0; i < len; i += 61)
        sum = (u8)(sum + frame[i]);
}

static void on_room(struct net *n)
{
    (void)n;
}

static size_t on_write(void *opaque, const u8 *data, size_t n)
{
    volatile u8 last = data[n - 1];
    (void)last;
    return ((struct fuzz *)opaque)->full ? n / 2 : n;
}

static void on_drained(void *opaque)
{
    (void)opaque;
}

static void on_pirq(void *opaque, unsigned n, bool level)
{
    (void)opaque, (void)n, (void)level;
}

static void on_msi(void *opaque, u64 addr, u32 data)
{
    (void)opaque, (void)addr, (void)data;
}

static const struct block_ops disk_ops = {.submit = on_submit};
static const struct net_ops net_ops = {.send = on_send, .room = on_room};

static void release(struct fuzz *f, unsigned most)
{
    while (f->held_n && most--)
        finish(f, f->held[--f->held_n]);
}

static void step(struct fuzz *f, u64 ns)
{
    u64 end = f->now + ns;
    for (unsigned i = 0; i < 64 && clock_next(&f->clock) <= end; i++) {
        if (clock_next(&f->clock) > f->now)
            f->now = clock_next(&f->clock);
        clock_run(&f->clock);
    }
    f->now = end;
}

/* A driver that is mostly right, or the mutations would never pass the first checks: starts slot D. */
static void start(struct fuzz *f, unsigned d, u64 features)
{
    static const u16 status[] = {0, 1, 3};
    struct virtio_mmio *s = &f->slots[d];
    for (unsigned i = 0; i < 3; i++)
        virtio_mmio_bus.write(s, 0x70, 4, status[i]);
    for (unsigned i = 0; i < 2; i++) {
        virtio_mmio_bus.write(s, 0x24, 4, i);
        virtio_mmio_bus.write(s, 0x20, 4, (u32)(features >> 32 * i) | i);
    }
    virtio_mmio_bus.write(s, 0x70, 4, 11);
    for (unsigned q = 0; q < (d == BALLOON ? QUEUES : 2); q++) {
        u64 at = RINGS + d * 0x2000 + q * 0x1000; /* the balloon's are the last */
        virtio_mmio_bus.write(s, 0x30, 4, q);
        virtio_mmio_bus.write(s, 0x38, 4, 16);
        virtio_mmio_bus.write(s, 0x80, 4, at);
        virtio_mmio_bus.write(s, 0x90, 4, at + 0x100);
        virtio_mmio_bus.write(s, 0xa0, 4, at + 0x200);
        virtio_mmio_bus.write(s, 0x44, 4, 1);
    }
    virtio_mmio_bus.write(s, 0x70, 4, 15);
}

/* Descriptor N of queue Q of slot D, and a mostly right one. */
static void descriptor(struct fuzz *f)
{
    unsigned where = (unsigned)take(f, 1), n = (unsigned)take(f, 1) & 15;
    u8 b[16];
    st64(b, take(f, 3));
    st32(b + 8, (u32)take(f, 2));
    st16(b + 12, (u16)take(f, 1) & 7);
    st16(b + 14, (u16)take(f, 1) & 31);
    (void)!mem_write(&f->mem, RINGS + (where % RING_PAGES) * 0x1000 + 16 * n, b, sizeof b);
}

/* Offers a head on queue Q of slot D, and notifies. */
static void offer(struct fuzz *f)
{
    unsigned where = (unsigned)take(f, 1) % RING_PAGES, head = (unsigned)take(f, 1) & 31;
    u64 avail = RINGS + where * 0x1000 + 0x100;
    u8 b[2];
    if (!mem_read(&f->mem, avail + 2, b, 2))
        abort();
    u16 index = ld16(b);
    st16(b, (u16)head);
    (void)!mem_write(&f->mem, avail + 4 + 2 * (index & 15), b, 2);
    st16(b, index + 1);
    (void)!mem_write(&f->mem, avail + 2, b, 2);
    virtio_mmio_bus.write(&f->slots[where < 2 * BALLOON ? where / 2 : BALLOON], 0x50, 4, where < 2 * BALLOON ? where & 1 : where - 2 * BALLOON);
}

static void frame(struct fuzz *f)
{
    static u8 bytes[NET_FRAME_MAX];
    struct net *n = &f->net[take(f, 1) & 1];
    size_t len = (size_t)take(f, 2) + 2;
    memset(bytes, (int)take(f, 1), 64);
    (void)!n->port.receive(n->port.opaque, bytes, len);
}

/* The other end of a console: it types, it takes what is written or half of it, it has another size. */
static void other_end(struct fuzz *f, unsigned what)
{
    static u8 typed[8192];
    struct virtio_console *c = &f->console[what & 1];
    size_t room = virtio_console_room(c), n = (size_t)take(f, 2);
    virtio_console_receive(c, typed, n < room ? n : room);
    f->full = what & 2;
    if (!f->full)
        virtio_console_writable(c);
    virtio_console_resize(c, (u16)n, (u16)(n >> 3));
}

/* What the host does to a balloon while the driver is at it; and what must hold after anything. */
static void ask_balloon(struct fuzz *f, unsigned what)
{
    struct virtio_balloon *b = &f->balloon[what & 1];
    virtio_balloon_set_target(b, take(f, 3));
    if (what & 2)
        (void)!virtio_balloon_ask_stats(b);
    else
        (void)!virtio_balloon_ask_hints(b);
    if (b->ballooned > f->mem.span >> PAGE_SHIFT || virtio_balloon_actual(b) > f->mem.size)
        abort();
}

static void pci_access(struct fuzz *f, bool write)
{
    unsigned devfn = 8 * (unsigned)(1 + take(f, 1) % (KINDS + 1)), off = (unsigned)take(f, 1), size = 1u << (off & 1 ? 0 : off & 2 ? 1 : 2);
    if (write)
        pci_bus_config_write(&f->bus, devfn, off, size, (u32)take(f, size));
    else
        (void)!pci_bus_config_read(&f->bus, devfn, off, size);
}

/* An access to a window of a card, wherever it was put. */
static void window_access(struct fuzz *f, bool write)
{
    struct virtio_pci *card = &f->cards[take(f, 1) % KINDS];
    unsigned n = (unsigned)take(f, 1) % 6, size = 1u << (take(f, 1) & 3);
    const struct pci_bar *bar = &card->function.bars[n];
    u64 off = take(f, 2) & (bar->size ? bar->size - 1 : 0);
    if (!bar->mapped)
        return;
    struct bus *bus = bar->kind == PCI_BAR_IO ? &f->mem.pio : &f->mem.mmio;
    if (write)
        bus_write(bus, bar->base + off, size, take(f, size));
    else
        (void)!bus_read(bus, bar->base + off, size);
}

static void command(struct fuzz *f)
{
    static const u64 features[] = {0, BIT(28) | BIT(29), BIT(9) | BIT(15), ~0ull};
    unsigned kind = (unsigned)take(f, 1), d = (kind >> 4) % KINDS;
    struct virtio_mmio *slot = &f->slots[d];
    u8 b[8];
    u64 off;
    switch (kind & 15) {
    case 0: start(f, d, features[kind >> 6]); break;
    case 1:
    case 2: descriptor(f); break;
    case 3:
    case 4: offer(f); break;
    case 5:
        off = take(f, 2);
        st64(b, take(f, 8));
        (void)!mem_write(&f->mem, RINGS + off, b, 1u << (kind >> 4 & 3));
        break;
    case 6:
        off = take(f, 2) & 0x1fc;
        virtio_mmio_bus.write(slot, off, 4, take(f, 4));
        break;
    case 7: (void)!virtio_mmio_bus.read(slot, take(f, 2) & 0x1fc, 4); break;
    case 8: step(f, take(f, 2) << (kind >> 4)); break;
    case 9:
        if (kind & 64)
            ask_balloon(f, kind >> 4 & 3);
        else if (kind & 128)
            other_end(f, kind >> 4 & 3);
        else
            frame(f);
        break;
    case 10: f->hold = kind & 16; break;
    case 11: release(f, (unsigned)take(f, 1) & 15); break;
    case 12: pci_access(f, true); break;
    case 13: pci_access(f, false); break;
    case 14: window_access(f, true); break;
    default: window_access(f, false); break;
    }
}

static void build(struct fuzz *f)
{
    struct error e;
    f->clock = (struct clock){.now = on_now, .opaque = f};
    if (mem_init(&f->mem, MIB(2), &e) != STATUS_OK)
        abort();
    f->wires = (struct virtio_wires){.mem = &f->mem, .clock = &f->clock};
    const struct char_backend end = {.write = on_write, .drained = on_drained, .opaque = f};
    f->disk = (struct block){.ops = &disk_ops, .size = DISK};
    pci_bus_init(&f->bus, &f->mem, (struct msi_wire){on_msi, f}, on_pirq, f);
    for (unsigned i = 0; i < 2; i++) {
        f->net[i] = (struct net){.ops = &net_ops, .offloads = NET_CHECKSUM | NET_SEGMENT};
        virtio_blk_init(&f->blk[i], &f->wires, &f->disk, "fuzz");
        virtio_net_init(&f->nic[i], &f->wires, &f->net[i], (const u8[6]){2});
        virtio_rng_init(&f->rng[i], &f->wires, on_random, f);
        virtio_console_init(&f->console[i], &f->wires, end, i);
        virtio_balloon_init(&f->balloon[i], &f->wires, NULL, NULL);
    }
    struct virtio *const mmio[] = {&f->blk[0].v, &f->nic[0].v, &f->rng[0].v, &f->console[0].v, &f->balloon[0].v};
    struct virtio *const pci[] = {&f->blk[1].v, &f->nic[1].v, &f->rng[1].v, &f->console[1].v, &f->balloon[1].v};
    for (unsigned i = 0; i < KINDS; i++) {
        virtio_mmio_init(&f->slots[i], mmio[i], (struct irq_line){0});
        virtio_pci_init(&f->cards[i], pci[i]);
        if (pci_bus_add(&f->bus, &f->cards[i].function, i + 1, 0, &e) != STATUS_OK)
            abort();
        device_reset(&(struct device){&pci_function_ops, &f->cards[i].function});
        pci_bus_config_write(&f->bus, (i + 1) << 3, 0x10, 4, 0xc000 + 0x100 * i);
        pci_bus_config_write(&f->bus, (i + 1) << 3, 0x14, 4, 0xe0000000 + 0x10000 * i);
        pci_bus_config_write(&f->bus, (i + 1) << 3, 0x20, 4, 0xe0004000 + 0x10000 * i);
        pci_bus_config_write(&f->bus, (i + 1) << 3, 0x04, 2, 7);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz *f = calloc(1, sizeof *f);
    if (!f)
        abort();
    f->data = data;
    f->left = size;
    build(f);
    while (f->left)
        command(f);
    f->hold = false;
    release(f, HELD);
    for (unsigned i = 0; i < 2; i++)
        virtio_blk_destroy(&f->blk[i]);
    mem_destroy(&f->mem);
    free(f);
    return 0;
}
