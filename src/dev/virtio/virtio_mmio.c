/* virtio over MMIO, version 2 (virtio 1.2, 4.2). A slot without a device has device id 0. Not modelled: the
 * legacy version 1, queue reset, shared memory. */
#include "dev/virtio/virtio_mmio.h"

/* Registers (4.2.2). */
enum {
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SEL = 0x024,
    QUEUE_SEL = 0x030,
    QUEUE_NUM_MAX = 0x034,
    QUEUE_NUM = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = VIRTIO_MMIO_NOTIFY,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC = 0x080,
    QUEUE_DRIVER = 0x090,
    QUEUE_DEVICE = 0x0a0,
    SHM_LEN = 0x0b0,
    SHM_BASE = 0x0b8,
    GENERATION = 0x0fc,
    CONFIG = 0x100,
    MAGIC_VALUE = 0x74726976,
    VENDOR = 0x4e495254, /* "TRIN" */
};

static void drive(struct virtio_mmio *t)
{
    irq_set(&t->irq, t->isr);
}

static void interrupt(void *opaque, u8 isr, u16 vector)
{
    struct virtio_mmio *t = opaque;
    (void)vector;
    t->isr |= isr;
    drive(t);
}

static u32 read_register(struct virtio_mmio *t, u64 off)
{
    struct virtio *v = t->v;
    const struct virtq *q = virtio_selected(v);
    switch (off) {
    case DEVICE_FEATURES: return virtio_features_read(v);
    case QUEUE_NUM_MAX: return q ? q->max : 0;
    case QUEUE_READY: return q && q->ready;
    case INTERRUPT_STATUS: return t->isr;
    case STATUS: return v->status;
    case GENERATION: return v->generation;
    case SHM_LEN:
    case SHM_LEN + 4:
    case SHM_BASE:
    case SHM_BASE + 4: return ~0u; /* no such region */
    default: return 0;
    }
}

static u64 mmio_read(void *opaque, u64 off, unsigned size)
{
    struct virtio_mmio *t = opaque;
    if (off >= CONFIG)
        return t->v ? virtio_config_read(t->v, off - CONFIG, size) : 0;
    if (size != 4)
        return 0;
    switch (off) {
    case MAGIC: return MAGIC_VALUE;
    case VERSION: return 2;
    case DEVICE_ID: return t->v ? t->v->type->id : 0;
    case VENDOR_ID: return VENDOR;
    default: return t->v ? read_register(t, off) : 0;
    }
}

static void write_address(struct virtio_mmio *t, u64 off, u32 value)
{
    struct virtq *q = virtio_selected(t->v);
    if (!q || q->ready)
        return;
    u64 *to = off < QUEUE_DRIVER ? &q->desc : off < QUEUE_DEVICE ? &q->avail : &q->used;
    *to = off & 4 ? bits_set(*to, 63, 32, value) : bits_set(*to, 31, 0, value);
}

static void write_queue(struct virtio_mmio *t, u64 off, u32 value)
{
    struct virtio *v = t->v;
    switch (off) {
    case QUEUE_SEL: v->queue_select = (u16)(value > 0xffff ? 0xffff : value); break;
    case QUEUE_NUM: virtio_set_queue_size(v, (u16)(value > 0xffff ? 0 : value)); break;
    case QUEUE_READY: virtio_set_queue_ready(v, value & 1); break;
    case QUEUE_NOTIFY: virtio_notify(v, value); break;
    case QUEUE_DESC:
    case QUEUE_DESC + 4:
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4:
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4: write_address(t, off, value); break;
    default: break;
    }
}

static void mmio_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct virtio_mmio *t = opaque;
    struct virtio *v = t->v;
    u32 word = (u32)value;
    if (v && off >= CONFIG)
        virtio_config_write(v, off - CONFIG, size, word);
    if (!v || off >= CONFIG || size != 4)
        return;
    switch (off) {
    case DEVICE_FEATURES_SEL: v->feature_select = word; break;
    case DRIVER_FEATURES: virtio_features_write(v, word); break;
    case DRIVER_FEATURES_SEL: v->driver_feature_select = word; break;
    case INTERRUPT_ACK:
        t->isr &= (u8)~word;
        drive(t);
        break;
    case STATUS:
        virtio_set_status(v, (u8)word);
        if (!(u8)word) {
            t->isr = 0;
            drive(t);
        }
        break;
    default: write_queue(t, off, word); break;
    }
}

const struct bus_ops virtio_mmio_bus = {.read = mmio_read, .write = mmio_write, .min_size = 1, .max_size = 4};

void virtio_mmio_init(struct virtio_mmio *t, struct virtio *v, struct irq_line irq)
{
    *t = (struct virtio_mmio){.v = v, .irq = irq};
    if (v)
        v->transport = (struct virtio_transport){interrupt, t};
}

static void mmio_reset(void *instance)
{
    drive(instance);
}

static bool mmio_after_restore(void *instance)
{
    drive(instance);
    return true;
}

static const struct field mmio_fields[] = {FIELD_MAX(virtio_mmio, isr, 0, 3)};
static const struct field_table mmio_table = {"virtio_mmio", 1, mmio_fields, ARRAY_LEN(mmio_fields)};
const struct device_ops virtio_mmio_ops = {
    .fields = &mmio_table, .reset = mmio_reset, .after_restore = mmio_after_restore};
