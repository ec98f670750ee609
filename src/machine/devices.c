/* Which devices a VM has beside the chips of every PC, and where: virtio over PCI, networks and disks from device PC_PCI_FREE on, the
 * entropy device at PC_PCI_RNG; virtio over MMIO in the slots' order; IDE drives. */
#include "machine/devices.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/file.h"

/* --- the transports */

static enum status plug_state(struct devices *d, struct virtio *v, struct error *e)
{
    if (pc_plug(d->pc, &virtio_ops, v, e) != STATUS_OK)
        return e->status;
    for (unsigned n = 0; n < v->type->queues; n++)
        if (pc_plug(d->pc, &virtq_ops, &v->queues[n], e) != STATUS_OK)
            return e->status;
    return STATUS_OK;
}

static enum status plug_pci(struct devices *d, struct virtio *v, unsigned dev, struct error *e)
{
    if (d->cards_n == ARRAY_LEN(d->cards) || dev > 31)
        return error_set(e, STATUS_USAGE, "devices: the PCI bus has no room for so many");
    struct virtio_pci *card = calloc(1, sizeof *card);
    if (!card)
        return error_set(e, STATUS_HOST, "devices: out of memory");
    d->cards[d->cards_n++] = card;
    virtio_pci_init(card, v);
    if (pc_plug_pci(d->pc, &card->function, dev, 0, e) != STATUS_OK ||
        pc_plug(d->pc, &virtio_pci_ops, card, e) != STATUS_OK)
        return e->status;
    return plug_state(d, v, e);
}

/* V null: an empty slot. */
static enum status plug_mmio(struct devices *d, struct virtio *v, struct error *e)
{
    if (d->slots_n == PC_VIRTIO_MMIOS)
        return error_set(e, STATUS_USAGE, "devices: the microvm has room for %d of them", PC_VIRTIO_MMIOS);
    unsigned n = d->slots_n++;
    struct virtio_mmio *slot = &d->slots[n];
    virtio_mmio_init(slot, v, pc_gsi(d->pc, PC_GSI_VIRTIO_MMIO + n));
    if (bus_add(&d->pc->mem->mmio, "virtio-mmio", PC_VIRTIO_MMIO + n * PC_VIRTIO_MMIO_LEN, VIRTIO_MMIO_LEN,
                &virtio_mmio_bus, slot, e) != STATUS_OK ||
        pc_plug(d->pc, &virtio_mmio_ops, slot, e) != STATUS_OK)
        return e->status;
    return v ? plug_state(d, v, e) : STATUS_OK;
}

static enum status plug(struct devices *d, struct virtio *v, struct error *e)
{
    return d->microvm ? plug_mmio(d, v, e) : plug_pci(d, v, pc_pci_free(d->pc), e);
}

/* --- IDE, which is there when something hangs on it */

static enum status plug_ide(struct devices *d, struct error *e)
{
    struct pc *pc = d->pc;
    const struct irq_line irqs[PIIX3_IDE_CHANNELS] = {pc_gsi(pc, PC_IRQ_IDE1), pc_gsi(pc, PC_IRQ_IDE2)};
    static const u16 ports[PIIX3_IDE_CHANNELS] = {PC_PORT_IDE1, PC_PORT_IDE2};
    if (d->ide)
        return STATUS_OK;
    if (d->microvm)
        return error_set(e, STATUS_USAGE, "IDE: the microvm has none");
    d->ide = calloc(1, sizeof *d->ide);
    if (!d->ide)
        return error_set(e, STATUS_HOST, "IDE: out of memory");
    piix3_ide_init(d->ide, pc->mem, irqs);
    if (pc_plug_pci(pc, &d->ide->function, PC_PCI_SOUTH, 1, e) != STATUS_OK)
        return e->status;
    for (unsigned n = 0; n < PIIX3_IDE_CHANNELS; n++) {
        struct ide_channel *c = &d->ide->channels[n];
        if (bus_add(&pc->mem->pio, c->name, ports[n], 8, &ide_command_bus, c, e) != STATUS_OK ||
            bus_add(&pc->mem->pio, c->name, ports[n] + 0x206u, 1, &ide_control_bus, c, e) != STATUS_OK ||
            pc_plug(pc, &ide_channel_ops, c, e) != STATUS_OK)
            return e->status;
    }
    return pc_plug(pc, &piix3_ide_ops, d->ide, e);
}

/* Disks begin at the first channel, CD-ROMs at the second, as on most boards. */
static enum status add_drive(struct devices *d, struct disk *disk, const struct trine_disk *c, const char *serial,
                             struct error *e)
{
    if (plug_ide(d, e) != STATUS_OK)
        return e->status;
    for (unsigned i = 0; i < 4; i++) {
        unsigned place = c->cdrom ? i ^ 2 : i;
        struct ide_channel *channel = &d->ide->channels[place >> 1];
        if (channel->drives[place & 1].present)
            continue;
        ide_attach(channel, place & 1, block_disk(disk->host), c->cdrom, serial);
        disk->drive = &channel->drives[place & 1];
        disk->channel = place >> 1;
        disk->unit = place & 1;
        return STATUS_OK;
    }
    return error_set(e, STATUS_USAGE, "%s: IDE has room for four drives", c->path);
}

enum status devices_change_medium(struct devices *d, const char *name, const char *path, bool force, struct error *e)
{
    struct disk *disk = NULL;
    for (unsigned i = 0; i < d->disks_n; i++) {
        char own[32];
        snprintf(own, sizeof own, "ide%u-cd%u", d->disks[i].channel, d->disks[i].unit);
        if (d->disks[i].drive && d->disks[i].drive->cdrom && !strcmp(name, own))
            disk = &d->disks[i];
    }
    if (!disk)
        return error_set(e, STATUS_USAGE, "Device '%s' not found", name);
    if (disk->drive->locked && !force) {
        ide_ask_medium(disk->drive);
        return error_set(e, STATUS_USAGE, "Device '%s' is locked and force was not specified, wait for tray to open and try again", name);
    }
    const struct block_config cfg = {
        .path = path, .readonly = true, .synchronous = d->synchronous, .confine = d->confine, .late = d->confine};
    struct host_block *medium = NULL;
    if (path && block_open(&medium, &cfg, e) != STATUS_OK)
        return e->status;
    if (!ide_change_medium(&d->ide->channels[disk->channel], disk->unit, medium ? block_disk(medium) : NULL)) {
        if (medium)
            block_close(medium);
        return error_set(e, STATUS_HOST, "Device '%s' is at work", name);
    }
    if (disk->host)
        block_close(disk->host);
    disk->host = medium;
    return STATUS_OK;
}

/* --- the display */

/* Its BIOS, for the firmware to run: part of SeaBIOS' package. Without it the firmware shows nothing there. */
static const char vga_bios[] = "/usr/share/seabios/vgabios-stdvga.bin";

static enum status plug_vga(struct devices *d, struct error *e)
{
    struct pc *pc = d->pc;
    struct file f;
    static const struct {
        const char *name;
        u16 port, len;
        const struct bus_ops *ops;
    } ports[] = {{"VGA", 0x3b0, 0x30, &vga_port_bus}, {"VBE", 0x1ce, 4, &vga_vbe_bus}};
    d->vga = calloc(1, sizeof *d->vga);
    u8 *rom = calloc(1, VGA_ROM_MAX);
    if (!d->vga || !rom) {
        free(rom);
        return error_set(e, STATUS_HOST, "display: out of memory");
    }
    vga_init(d->vga, pc->mem, d->wires.clock, pc->lines.shadow, pc->lines.opaque);
    if (file_open(&f, vga_bios, VGA_ROM_MAX, e) == STATUS_OK) {
        if (f.size <= VGA_ROM_MAX && file_read(&f, 0, rom, f.size, e) == STATUS_OK)
            vga_set_rom(d->vga, rom, (u32)f.size);
        file_close(&f);
    }
    free(rom);
    for (size_t i = 0; i < ARRAY_LEN(ports); i++)
        if (bus_add(&pc->mem->pio, ports[i].name, ports[i].port, ports[i].len, ports[i].ops, d->vga, e) != STATUS_OK)
            return e->status;
    if (bus_add(&pc->mem->mmio, "VGA window", VGA_WINDOW, VGA_WINDOW_LEN, &vga_memory_bus, d->vga, e) != STATUS_OK ||
        pc_plug_pci(pc, &d->vga->function, PC_PCI_VGA, 0, e) != STATUS_OK)
        return e->status;
    return pc_plug(pc, &vga_ops, d->vga, e);
}

/* --- the devices */

static enum status add_disk(struct devices *d, const struct trine_disk *c, bool synchronous, struct error *e)
{
    const struct block_config cfg = {.path = c->path,
                                     .format = c->format,
                                     .readonly = c->readonly || c->cdrom,
                                     .snapshot = c->snapshot,
                                     .synchronous = synchronous,
                                     .confine = d->confine};
    char serial[21];
    if (d->disks_n == DEVICES_MAX)
        return error_set(e, STATUS_USAGE, "%s: more disks than the machine takes (%d)", c->path, DEVICES_MAX);
    struct disk *disk = &d->disks[d->disks_n];
    if (block_open(&disk->host, &cfg, e) != STATUS_OK)
        return e->status;
    snprintf(serial, sizeof serial, "trine-disk%u", d->disks_n++);
    if (c->ide || c->cdrom)
        return add_drive(d, disk, c, serial, e);
    disk->chip = calloc(1, sizeof *disk->chip);
    if (!disk->chip)
        return error_set(e, STATUS_HOST, "%s: out of memory", c->path);
    virtio_blk_init(disk->chip, &d->wires, block_disk(disk->host), serial);
    disk->pci = pc_pci_free(d->pc);
    return plug(d, &disk->chip->v, e);
}

static enum status add_net(struct devices *d, const struct trine_net *c, struct error *e)
{
    static const u8 mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    static const u8 none[6];
    struct net_forward forwards[TRINE_FORWARDS];
    struct net_config cfg = {.tap = c->kind == TRINE_NET_TAP ? c->tap : NULL, .forwards = forwards};
    for (; cfg.forwards_n < c->forwards_n && cfg.forwards_n < TRINE_FORWARDS; cfg.forwards_n++) {
        const struct trine_forward *f = &c->forwards[cfg.forwards_n];
        struct net_forward *to = &forwards[cfg.forwards_n];
        *to = (struct net_forward){.udp = f->udp, .host_port = f->host_port, .guest_port = f->guest_port};
        snprintf(to->host, sizeof to->host, "%s", f->host);
        snprintf(to->guest, sizeof to->guest, "%s", f->guest);
    }
    if (net_open(&d->net, &cfg, d->wires.clock, e) != STATUS_OK)
        return e->status;
    d->nic = calloc(1, sizeof *d->nic);
    if (!d->nic)
        return error_set(e, STATUS_HOST, "net: out of memory");
    virtio_net_init(d->nic, &d->wires, &d->net->net, memcmp(c->mac, none, sizeof none) ? c->mac : mac);
    d->nic_pci = pc_pci_free(d->pc);
    return plug(d, &d->nic->v, e);
}

static enum status add_balloon(struct devices *d, const struct trine_config *cfg, const struct devices_sources *sources, struct error *e)
{
    if (cfg->balloon_bytes > cfg->memory)
        return error_set(e, STATUS_USAGE, "balloon: more than the guest's memory");
    if (cfg->balloon_auto && d->synchronous)
        return error_set(e, STATUS_USAGE, "balloon: auto needs --time real: the host's memory does not repeat");
    d->balloon = calloc(1, sizeof *d->balloon);
    if (!d->balloon)
        return error_set(e, STATUS_HOST, "balloon: out of memory");
    virtio_balloon_init(d->balloon, &d->wires, sources->balloon_changed, sources->opaque);
    virtio_balloon_set_target(d->balloon, cfg->balloon_auto ? cfg->memory : cfg->balloon_bytes);
    if (plug(d, &d->balloon->v, e) != STATUS_OK)
        return e->status;
    return pc_plug(d->pc, &virtio_balloon_ops, d->balloon, e);
}

static enum status add_console(struct devices *d, const struct devices_sources *sources, struct error *e)
{
    d->console = calloc(1, sizeof *d->console);
    if (!d->console)
        return error_set(e, STATUS_HOST, "console: out of memory");
    virtio_console_init(d->console, &d->wires, sources->console, sources->console_sized);
    if (plug(d, &d->console->v, e) != STATUS_OK)
        return e->status;
    return pc_plug(d->pc, &virtio_console_ops, d->console, e);
}

static size_t console_room(void *opaque)
{
    return virtio_console_room(opaque);
}

static void console_receive(void *opaque, const u8 *data, size_t n)
{
    virtio_console_receive(opaque, data, n);
}

static void console_writable(void *opaque)
{
    virtio_console_writable(opaque);
}

struct console_chip devices_console(struct devices *d)
{
    return (struct console_chip){.room = console_room, .receive = console_receive, .writable = console_writable, .opaque = d->console};
}

enum status devices_init(struct devices *d, const struct trine_config *cfg, struct pc *pc,
                         const struct virtio_wires *wires, const struct devices_sources *sources,
                         struct error *e)
{
    *d = (struct devices){.pc = pc, .wires = *wires, .microvm = pc->config.microvm,
                          .synchronous = cfg->time == TRINE_TIME_VIRTUAL, .confine = sources->confine};
    if (pc->config.firmware && plug_vga(d, e) != STATUS_OK)
        return e->status;
    if (cfg->net.kind != TRINE_NET_NONE && cfg->time == TRINE_TIME_VIRTUAL)
        return error_set(e, STATUS_USAGE, "net: needs --time real: what comes in from outside does not repeat");
    if (cfg->net.kind != TRINE_NET_NONE && add_net(d, &cfg->net, e) != STATUS_OK)
        return e->status;
    for (unsigned i = 0; i < cfg->disks_n; i++)
        if (add_disk(d, &cfg->disks[i], d->synchronous, e) != STATUS_OK)
            return e->status;
    if (cfg->balloon && add_balloon(d, cfg, sources, e) != STATUS_OK)
        return e->status;
    if (cfg->console && add_console(d, sources, e) != STATUS_OK)
        return e->status;
    virtio_rng_init(&d->rng, wires, sources->random, sources->opaque);
    if ((d->microvm ? plug_mmio(d, &d->rng.v, e) : plug_pci(d, &d->rng.v, PC_PCI_RNG, e)) != STATUS_OK)
        return e->status;
    while (d->microvm && d->slots_n < PC_VIRTIO_MMIOS)
        if (plug_mmio(d, NULL, e) != STATUS_OK)
            return e->status;
    return STATUS_OK;
}

void devices_destroy(struct devices *d)
{
    for (unsigned i = 0; i < d->disks_n; i++) {
        if (d->disks[i].chip)
            virtio_set_status(&d->disks[i].chip->v, 0); /* what ends now touches no guest */
        if (d->disks[i].drive)
            ide_stop(&d->ide->channels[d->disks[i].channel]);
        if (d->disks[i].host)
            block_close(d->disks[i].host);
        if (d->disks[i].chip)
            virtio_blk_destroy(d->disks[i].chip);
        free(d->disks[i].chip);
    }
    if (d->net)
        d->net->ops->close(d->net);
    free(d->nic);
    free(d->balloon);
    free(d->console);
    free(d->ide);
    free(d->vga);
    for (unsigned i = 0; i < d->cards_n; i++)
        free(d->cards[i]);
    *d = (struct devices){0};
}

/* --- for firmware */

struct boot_order {
    char *text;
    size_t size, at;
};

PRINTF(2, 3) static void add_line(struct boot_order *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (o->at && o->at + 1 < o->size)
        o->text[o->at++] = '\n';
    int n = vsnprintf(o->text + o->at, o->size - o->at, fmt, ap);
    va_end(ap);
    o->at = n > 0 && (size_t)n < o->size - o->at ? o->at + (size_t)n : o->size - 1;
}

const char *devices_boot_order(const struct devices *d, char *text, size_t size)
{
    struct boot_order o = {text, size, 0};
    *text = 0;
    for (unsigned cd = 0; cd < 2; cd++) /* disks, then CD-ROMs */
        for (unsigned i = 0; i < d->disks_n; i++) {
            const struct disk *k = &d->disks[i];
            if ((k->drive && k->drive->cdrom) != cd)
                continue;
            if (k->drive)
                add_line(&o, "/pci@i0cf8/ide@%x,1/drive@%x/disk@%x", PC_PCI_SOUTH, k->channel, k->unit);
            else
                add_line(&o, "/pci@i0cf8/scsi@%x/disk@0,0", k->pci);
        }
    if (d->net)
        add_line(&o, "/pci@i0cf8/ethernet@%x/ethernet-phy@0", d->nic_pci);
    return text;
}

/* --- notifications that need no exit */

/* Those of the transitional cards' ports are left to exits. */
unsigned devices_doorbells(const struct devices *d, struct engine_doorbell *list, unsigned max)
{
    unsigned n = 0;
    u64 gpa;
    for (unsigned i = 0; i < d->cards_n; i++)
        for (unsigned q = 0; q < VIRTIO_QUEUES && n < max; q++)
            if (virtio_pci_doorbell(d->cards[i], q, &gpa))
                list[n++] = (struct engine_doorbell){.gpa = gpa};
    for (unsigned i = 0; i < d->slots_n; i++)
        for (unsigned q = 0; d->slots[i].v && q < d->slots[i].v->type->queues && n < max; q++)
            list[n++] = (struct engine_doorbell){
                .gpa = PC_VIRTIO_MMIO + i * PC_VIRTIO_MMIO_LEN + VIRTIO_MMIO_NOTIFY, .len = 4, .value = q};
    return n;
}

void devices_notified(struct devices *d)
{
    for (unsigned i = 0; i < d->cards_n; i++)
        virtio_notify_any(d->cards[i]->v);
    for (unsigned i = 0; i < d->slots_n; i++)
        if (d->slots[i].v)
            virtio_notify_any(d->slots[i].v);
}

/* --- the loop */

unsigned devices_prepare(struct devices *d, struct loop_fd *fds, unsigned max)
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->disks_n && n < max; i++)
        fds[n++] = (struct loop_fd){.fd = d->disks[i].host ? block_fd(d->disks[i].host) : -1, .in = true};
    d->net_fds = d->net ? d->net->ops->prepare(d->net, fds + n, max - n) : 0;
    return n + d->net_fds;
}

void devices_serve(struct devices *d, const struct loop_fd *fds, unsigned n)
{
    for (unsigned i = 0; i < d->disks_n && i < n; i++)
        if (fds[i].ready && d->disks[i].host)
            block_serve(d->disks[i].host);
    if (d->net && d->net_fds <= n)
        d->net->ops->serve(d->net, fds + n - d->net_fds, d->net_fds);
}

/* Networks and entropy bring what they have in devices_serve; disks' requests end on other threads, and in the kernel. */
bool devices_quiet(const struct devices *d)
{
    for (unsigned i = 0; i < d->disks_n; i++)
        if (d->disks[i].host && !block_quiet(d->disks[i].host))
            return false;
    return true;
}
