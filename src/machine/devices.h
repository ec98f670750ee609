/* The virtio devices of a VM with their back ends: disks, networks, entropy, the balloon. See devices.c. All calls run
 * under the big lock. */
#ifndef MACHINE_DEVICES_H
#define MACHINE_DEVICES_H

#include "dev/pci/piix3_ide.h"
#include "dev/vga/vga.h"
#include "dev/virtio/virtio_balloon.h"
#include "dev/virtio/virtio_blk.h"
#include "dev/virtio/virtio_console.h"
#include "dev/virtio/virtio_mmio.h"
#include "dev/virtio/virtio_net.h"
#include "dev/virtio/virtio_pci.h"
#include "dev/virtio/virtio_rng.h"
#include "engine/engine.h"
#include "host/block.h"
#include "host/loop.h"
#include "host/net.h"
#include "machine/console/console.h"
#include "machine/pc.h"
#include "machine/pc_map.h"
#include "trine.h"

#define DEVICES_MAX 24 /* disks */

/* On virtio (CHIP) or on IDE (DRIVE). */
struct disk {
    struct host_block *host; /* null: a CD-ROM without a medium */
    struct virtio_blk *chip;
    struct ide_drive *drive;
    unsigned channel, unit; /* of the drive */
    unsigned pci; /* its device number */
};

struct devices {
    struct pc *pc;
    struct virtio_wires wires;
    bool microvm;
    bool synchronous; /* virtual time: requests end where they are made */
    const struct confine *confine; /* of the threads of disks; null: none */
    struct virtio_pci *cards[DEVICES_MAX + 6];
    unsigned cards_n;
    struct virtio_mmio slots[PC_VIRTIO_MMIOS]; /* microvm */
    unsigned slots_n;
    struct disk disks[DEVICES_MAX];
    unsigned disks_n;
    struct piix3_ide *ide; /* null: none */
    struct vga *vga;       /* null: none */
    struct host_net *net; /* null: none */
    struct virtio_net *nic;
    unsigned nic_pci;
    unsigned net_fds;
    struct virtio_rng rng;
    struct virtio_balloon *balloon; /* null: none */
    struct virtio_console *console; /* null: none */
};

/* What the devices draw upon. */
struct devices_sources {
    u64 (*random)(void *opaque);
    void (*balloon_changed)(void *opaque);
    struct char_backend console; /* the other end of the virtio console */
    bool console_sized;          /* a terminal is */
    void *opaque;
    const struct confine *confine; /* null: none */
};

/* Opens and checks what CFG names, and plugs the devices into PC. */
enum status devices_init(struct devices *d, const struct trine_config *cfg, struct pc *pc,
                         const struct virtio_wires *wires, const struct devices_sources *sources,
                         struct error *e);
/* Ends what is in flight, flushes disks, closes. */
void devices_destroy(struct devices *d);

/* Where the guest notifies queues, at most MAX places; each is a plain exit too. */
unsigned devices_doorbells(const struct devices *d, struct engine_doorbell *list, unsigned max);
/* Some of these were written to. */
void devices_notified(struct devices *d);

/* The virtio console's side of its other end; there is such a device. */
struct console_chip devices_console(struct devices *d);

/* What firmware boots from, in its words (OpenFirmware device paths, a line each): disks, then the network. TEXT. */
const char *devices_boot_order(const struct devices *d, char *text, size_t size);

/* The CD-ROM called NAME (`ide1-cd0`: channel and unit) gets the medium at PATH; null: none. A guest that has locked the tray is asked
 * for it, and refused it is; FORCE does without. */
enum status devices_change_medium(struct devices *d, const char *name, const char *path, bool force, struct error *e);

/* Loop thread: descriptors to wait for, at most MAX; how many. Then what they brought. */
unsigned devices_prepare(struct devices *d, struct loop_fd *fds, unsigned max);
void devices_serve(struct devices *d, const struct loop_fd *fds, unsigned n);

/* No back end writes to guest memory by itself now; under the big lock none begins to. */
bool devices_quiet(const struct devices *d);

#endif
