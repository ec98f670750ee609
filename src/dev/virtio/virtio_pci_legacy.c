/* The legacy registers of a transitional virtio PCI device (virtio 1.2, 4.1.4.10): 32 feature bits, queues
 * given by the page number of one contiguous area, device configuration at 20, or at 24 while MSI-X is on. */
#include "dev/virtio/virtio_pci.h"

enum {
    DEVICE_FEATURES = 0,
    DRIVER_FEATURES = 4,
    QUEUE_ADDRESS = 8,
    QUEUE_SIZE = 12,
    QUEUE_SELECT = 14,
    QUEUE_NOTIFY = 16,
    DEVICE_STATUS = 18,
    ISR_STATUS = 19,
    CONFIG_VECTOR = 20,
    QUEUE_VECTOR = 22,
    CONFIG = 20,
    CONFIG_MSIX = 24,
};

static unsigned config_start(const struct virtio_pci *p)
{
    return pci_msix_enabled(&p->function) ? CONFIG_MSIX : CONFIG;
}

/* 2.7.2: descriptors, available ring, and the used ring on the next page. */
static void set_queue(struct virtio_pci *p, u32 page)
{
    struct virtq *q = virtio_selected(p->v);
    if (!q)
        return;
    q->desc = (u64)page << PAGE_SHIFT;
    q->avail = q->desc + 16u * q->size;
    q->used = align_up(q->avail + 6 + 2u * q->size, PAGE_SIZE);
    q->ready = page;
}

static u64 legacy_read(void *opaque, u64 off, unsigned size)
{
    struct virtio_pci *p = opaque;
    struct virtio *v = p->v;
    const struct virtq *q = virtio_selected(v);
    if (off >= config_start(p))
        return virtio_config_read(v, off - config_start(p), size);
    switch (off) {
    case DEVICE_FEATURES: return (u32)v->features;
    case DRIVER_FEATURES: return (u32)v->acknowledged;
    case QUEUE_ADDRESS: return q ? (u32)(q->desc >> PAGE_SHIFT) : 0;
    case QUEUE_SIZE: return q ? q->max : 0;
    case QUEUE_SELECT: return v->queue_select;
    case DEVICE_STATUS: return v->status;
    case ISR_STATUS: return virtio_pci_take_isr(p);
    case CONFIG_VECTOR: return v->config_vector;
    case QUEUE_VECTOR: return q ? q->vector : VIRTQ_NO_VECTOR;
    default: return 0;
    }
}

static void legacy_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct virtio_pci *p = opaque;
    struct virtio *v = p->v;
    struct virtq *q = virtio_selected(v);
    if (off >= config_start(p)) {
        virtio_config_write(v, off - config_start(p), size, (u32)value);
        return;
    }
    switch (off) {
    case DRIVER_FEATURES:
        v->driver_feature_select = 0;
        virtio_features_write(v, (u32)value);
        break;
    case QUEUE_ADDRESS: set_queue(p, (u32)value); break;
    case QUEUE_SELECT: v->queue_select = (u16)value; break;
    case QUEUE_NOTIFY: virtio_notify(v, (u16)value); break;
    case DEVICE_STATUS:
        virtio_set_status(v, (u8)value);
        if (!(u8)value)
            (void)virtio_pci_take_isr(p);
        break;
    case CONFIG_VECTOR: virtio_pci_set_vector(p, &v->config_vector, (u16)value); break;
    case QUEUE_VECTOR:
        if (q)
            virtio_pci_set_vector(p, &q->vector, (u16)value);
        break;
    default: break;
    }
}

const struct bus_ops virtio_pci_legacy_bus = {
    .read = legacy_read, .write = legacy_write, .min_size = 1, .max_size = 4};
