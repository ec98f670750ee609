/* A virtio device without its transport (virtio 1.2, chapter 2). See virtio.c. A device type embeds struct
 * virtio and gives it struct virtio_type; a transport (virtio_pci.h, virtio_mmio.h) embeds a pointer to it
 * and gives it struct virtio_transport. All calls run under the VM's big lock. */
#ifndef DEV_VIRTIO_VIRTIO_H
#define DEV_VIRTIO_VIRTIO_H

#include "base/bits.h"
#include "dev/virtio/virtq.h"

#define VIRTIO_QUEUES     5
#define VIRTIO_CONFIG_MAX 128

/* Device types (chapter 5). */
enum { VIRTIO_NET = 1, VIRTIO_BLK = 2, VIRTIO_CONSOLE = 3, VIRTIO_RNG = 4, VIRTIO_BALLOON = 5 };

/* Device status (2.1). */
enum {
    VIRTIO_ACKNOWLEDGE = 0x01,
    VIRTIO_DRIVER = 0x02,
    VIRTIO_DRIVER_OK = 0x04,
    VIRTIO_FEATURES_OK = 0x08,
    VIRTIO_NEEDS_RESET = 0x40,
    VIRTIO_FAILED = 0x80,
};

/* Features of every device (6). */
#define VIRTIO_F_ANY_LAYOUT BIT(27)
#define VIRTIO_F_INDIRECT   BIT(28)
#define VIRTIO_F_EVENT_IDX  BIT(29)
#define VIRTIO_F_VERSION_1  BIT(32)

/* ISR bits. */
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

struct virtio;

struct virtio_type {
    const char *name;
    u16 id;
    u32 pci_class;
    unsigned queues;
    u64 features; /* besides those of every device */
    /* Queue N may hold requests; takes what it can and returns true when it left some for the next turn. */
    bool (*serve)(struct virtio *v, unsigned n);
    /* The driver tells of queue N; true: that needs no turn. It runs within the driver's write to the notification register. May be null. */
    bool (*told)(struct virtio *v, unsigned n);
    /* The configuration space as it is now; its length. */
    unsigned (*config)(const struct virtio *v, u8 config[VIRTIO_CONFIG_MAX]);
    /* The driver wrote SIZE (1, 2, 4) bytes at OFF of it; null: it is all read-only. */
    void (*config_write)(struct virtio *v, u64 off, unsigned size, u32 value);
    /* Features are settled and the driver is there; may be null. */
    void (*start)(struct virtio *v);
    /* The driver reset the device: requests in flight must not touch the guest any more; may be null. */
    void (*stop)(struct virtio *v);
};

/* How a transport interrupts: `vector` is VIRTQ_NO_VECTOR where the driver set none. */
struct virtio_transport {
    void (*interrupt)(void *opaque, u8 isr, u16 vector);
    void *opaque;
};

/* What a device needs of the machine. */
struct virtio_wires {
    struct mem *mem;
    struct clock *clock;
    struct log *log;
    /* Virtual time: from a notification, or a completion, to the next step; 0 under real time. */
    u64 latency_ns;
};

struct virtio {
    const struct virtio_type *type;
    struct virtio_wires wires;
    struct virtio_transport transport;
    u64 features;     /* offered */
    u64 acknowledged; /* by the driver */
    u8 status, generation;
    u16 config_vector;
    u16 queue_select;
    u32 feature_select, driver_feature_select;
    u32 notified; /* queues to serve */
    u64 due_ns;   /* when; for the saved state */
    struct timer turn;
    struct virtq queues[VIRTIO_QUEUES];
};

extern const struct device_ops virtio_ops;

void virtio_init(struct virtio *v, const struct virtio_type *type, const struct virtio_wires *wires);

/* For transports. */
u32 virtio_features_read(const struct virtio *v);
void virtio_features_write(struct virtio *v, u32 value);
void virtio_set_status(struct virtio *v, u8 status);
/* The selected queue; null: there is none of this number. */
struct virtq *virtio_selected(struct virtio *v);
/* Size as the driver wants it; what is no size changes nothing. */
void virtio_set_queue_size(struct virtio *v, u16 size);
void virtio_set_queue_ready(struct virtio *v, bool ready);
void virtio_notify(struct virtio *v, unsigned n);
/* One of its queues, or several, or none after all. */
void virtio_notify_any(struct virtio *v);
u32 virtio_config_read(const struct virtio *v, u64 off, unsigned size);
void virtio_config_write(struct virtio *v, u64 off, unsigned size, u32 value);

/* For device types. */
static inline bool virtio_has(const struct virtio *v, u64 feature)
{
    return (v->acknowledged & feature) == feature;
}
/* The driver is there, nothing is broken, and queue N is in use. */
bool virtio_running(const struct virtio *v, unsigned n);
/* The next request of queue N. False: none, or the driver broke a rule and the device needs a reset. */
bool virtio_pop(struct virtio *v, unsigned n, struct virtq_chain *c);
/* Puts a request back in front of the queue: virtio_pop gives it again. */
void virtio_unpop(struct virtio *v, unsigned n);
/* Gives a request back; virtio_flush then interrupts the driver if it wants to know. */
void virtio_push(struct virtio *v, unsigned n, u16 head, u32 written);
void virtio_flush(struct virtio *v, unsigned n);
/* Serves queue N in the next turn. */
void virtio_again(struct virtio *v, unsigned n);
void virtio_config_changed(struct virtio *v);
/* The driver broke a rule: the device stops until it is reset (2.1.2). */
void virtio_break(struct virtio *v, const char *why);

#endif
