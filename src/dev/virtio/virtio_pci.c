/* virtio over PCI (virtio 1.2, 4.1): a transitional device, as QEMU's are. BAR 0 has the legacy registers
 * (virtio_pci_legacy.c), BAR 1 the MSI-X table, BAR 4 the modern ones:
 *
 *   0x0000 common configuration | 0x1000 ISR | 0x2000 device configuration | 0x3000 notifications, 4 bytes
 * each
 *
 * Not modelled: queue reset, notification data, shared memory, packed rings. */
#include "dev/virtio/virtio_pci.h"

#include "base/le.h"

enum {
    BAR_LEGACY = 0,
    BAR_MSIX = 1,
    BAR_MODERN = 4,
    AREA = 0x1000,
    AREA_COMMON = 0,
    AREA_ISR = 1,
    AREA_DEVICE = 2,
    AREA_NOTIFY = 3,
    NOTIFY_SHIFT = 2,
    CFG_COMMON = 1,
    CFG_NOTIFY = 2,
    CFG_ISR = 3,
    CFG_DEVICE = 4,
    CFG_WINDOW = 5,
};

/* struct virtio_pci_common_cfg (4.1.4.3). */
enum {
    DEVICE_FEATURE_SELECT = 0x00,
    DEVICE_FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    CONFIG_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    DEVICE_STATUS = 0x14,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_DESC = 0x20,
    QUEUE_AVAIL = 0x28,
    QUEUE_USED = 0x30,
    COMMON_END = 0x38,
};

/* --- interrupts */

static void interrupt(void *opaque, u8 isr, u16 vector)
{
    struct virtio_pci *p = opaque;
    if (pci_msix_enabled(&p->function)) {
        if (vector != VIRTQ_NO_VECTOR)
            pci_msix_send(&p->function, vector);
        return;
    }
    p->isr |= isr;
    pci_function_intx(&p->function, true);
}

u8 virtio_pci_take_isr(struct virtio_pci *p)
{
    u8 isr = p->isr;
    p->isr = 0;
    pci_function_intx(&p->function, false);
    return isr;
}

/* What is no vector reads back as none (4.1.5.1.2.1). */
void virtio_pci_set_vector(struct virtio_pci *p, u16 *to, u16 vector)
{
    *to = vector < p->function.vectors ? vector : VIRTQ_NO_VECTOR;
}

static void set_status(struct virtio_pci *p, u8 status)
{
    virtio_set_status(p->v, status);
    if (!status)
        (void)virtio_pci_take_isr(p);
}

/* --- common configuration */

/* The word of registers at OFF, a multiple of 4. */
static u32 common_word(struct virtio_pci *p, u64 off)
{
    struct virtio *v = p->v;
    static const struct virtq none = {.vector = VIRTQ_NO_VECTOR};
    const struct virtq *q = virtio_selected(v) ? virtio_selected(v) : &none;
    switch (off) {
    case DEVICE_FEATURE_SELECT: return v->feature_select;
    case DEVICE_FEATURE: return virtio_features_read(v);
    case DRIVER_FEATURE_SELECT: return v->driver_feature_select;
    case DRIVER_FEATURE:
        return v->driver_feature_select < 2 ? (u32)(v->acknowledged >> 32 * v->driver_feature_select) : 0;
    case CONFIG_VECTOR: return v->config_vector | v->type->queues << 16;
    case DEVICE_STATUS: return v->status | (u32)v->generation << 8 | (u32)v->queue_select << 16;
    case QUEUE_SIZE: return (q->max ? q->size : 0) | (u32)q->vector << 16;
    case QUEUE_ENABLE: return q->ready | (u32)v->queue_select << 16; /* its notification offset */
    case QUEUE_DESC: return (u32)q->desc;
    case QUEUE_DESC + 4: return (u32)(q->desc >> 32);
    case QUEUE_AVAIL: return (u32)q->avail;
    case QUEUE_AVAIL + 4: return (u32)(q->avail >> 32);
    case QUEUE_USED: return (u32)q->used;
    case QUEUE_USED + 4: return (u32)(q->used >> 32);
    default: return 0;
    }
}

static void write_queue_address(struct virtio_pci *p, u64 off, u32 value)
{
    struct virtq *q = virtio_selected(p->v);
    if (!q || q->ready)
        return;
    u64 *to = off < QUEUE_AVAIL ? &q->desc : off < QUEUE_USED ? &q->avail : &q->used;
    *to = off & 4 ? bits_set(*to, 63, 32, value) : bits_set(*to, 31, 0, value);
}

static void common_write32(struct virtio_pci *p, u64 off, u32 value)
{
    struct virtio *v = p->v;
    if (off == DEVICE_FEATURE_SELECT)
        v->feature_select = value;
    else if (off == DRIVER_FEATURE_SELECT)
        v->driver_feature_select = value;
    else if (off == DRIVER_FEATURE)
        virtio_features_write(v, value);
    else if (off >= QUEUE_DESC && off < COMMON_END)
        write_queue_address(p, off, value);
}

static void common_write16(struct virtio_pci *p, u64 off, u16 value)
{
    struct virtio *v = p->v;
    struct virtq *q = virtio_selected(v);
    if (off == CONFIG_VECTOR)
        virtio_pci_set_vector(p, &v->config_vector, value);
    else if (off == QUEUE_SELECT)
        v->queue_select = value;
    else if (off == QUEUE_SIZE)
        virtio_set_queue_size(v, value);
    else if (off == QUEUE_VECTOR && q)
        virtio_pci_set_vector(p, &q->vector, value);
    else if (off == QUEUE_ENABLE && value == 1) /* it cannot be disabled (4.1.4.3.2) */
        virtio_set_queue_ready(v, true);
}

/* Each register is written by accesses of its own width (4.1.3.1); others change nothing. */
static void common_write(struct virtio_pci *p, u64 off, unsigned size, u32 value)
{
    if (size == 4)
        common_write32(p, off, value);
    else if (size == 2)
        common_write16(p, off, (u16)value);
    else if (off == DEVICE_STATUS)
        set_status(p, (u8)value);
}

/* --- the areas of BAR 4 */

static u64 modern_read(void *opaque, u64 off, unsigned size)
{
    struct virtio_pci *p = opaque;
    u64 in = off % AREA;
    switch (off / AREA) {
    case AREA_COMMON: return common_word(p, in & ~3ull) >> 8 * (in & 3);
    case AREA_ISR: return in ? 0 : virtio_pci_take_isr(p);
    case AREA_DEVICE: return virtio_config_read(p->v, in, size);
    default: return 0;
    }
}

static void modern_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct virtio_pci *p = opaque;
    u64 in = off % AREA;
    if (off / AREA == AREA_COMMON)
        common_write(p, in, size, (u32)value);
    else if (off / AREA == AREA_DEVICE)
        virtio_config_write(p->v, in, size, (u32)value);
    else if (off / AREA == AREA_NOTIFY)
        virtio_notify(p->v, (unsigned)(in >> NOTIFY_SHIFT));
}

bool virtio_pci_doorbell(const struct virtio_pci *p, unsigned n, u64 *gpa)
{
    const struct pci_bar *bar = &p->function.bars[BAR_MODERN];
    *gpa = bar->base + AREA_NOTIFY * AREA + (n << NOTIFY_SHIFT);
    return bar->mapped && n < p->v->type->queues;
}

static const struct bus_ops modern_bus = {
    .read = modern_read, .write = modern_write, .min_size = 1, .max_size = 4};

/* --- the window in configuration space (4.1.4.9): cap, BAR, offset, length, data */

enum { WINDOW_BAR = 4, WINDOW_OFFSET = 8, WINDOW_LENGTH = 12, WINDOW_DATA = 16 };

static bool window(const struct virtio_pci *p, unsigned off, u32 *at, unsigned *size)
{
    const u8 *cap = p->function.config + p->window;
    u32 length = ld32(cap + WINDOW_LENGTH);
    *at = ld32(cap + WINDOW_OFFSET);
    *size = length;
    return off == p->window + (unsigned)WINDOW_DATA && cap[WINDOW_BAR] == BAR_MODERN &&
           (length == 1 || length == 2 || length == 4) && !(*at & (length - 1)) &&
           range_ok(*at, length, 4 * AREA);
}

static void before_read(void *opaque, unsigned off, unsigned size)
{
    struct virtio_pci *p = opaque;
    u32 at;
    (void)size;
    if (window(p, off, &at, &size))
        st_n(p->function.config + p->window + WINDOW_DATA, modern_read(p, at, size), size);
}

static void written(void *opaque, unsigned off, unsigned size)
{
    struct virtio_pci *p = opaque;
    u32 at;
    (void)size;
    if (window(p, off, &at, &size))
        modern_write(p, at, size, ld_n(p->function.config + p->window + WINDOW_DATA, size));
}

/* --- description */

/* struct virtio_pci_cap behind its common head (4.1.4); MORE bytes follow it. */
static unsigned add_cap(struct virtio_pci *p, u8 type, unsigned area, u32 len, unsigned more, u32 extra)
{
    u8 body[18] = {(u8)(16 + more), type, BAR_MODERN};
    st32(body + 6, area * AREA);
    st32(body + 10, len);
    st32(body + 14, extra);
    return pci_cap_add(&p->function, PCI_CAP_VENDOR, body, 14 + more);
}

void virtio_pci_init(struct virtio_pci *p, struct virtio *v)
{
    const struct pci_id id = {.vendor = 0x1af4,
                              .device =
                                  (u16)(0xfff + v->type->id), /* transitional: 0x1000 net, 0x1001 blk ... */
                              .class = v->type->pci_class,
                              .subsystem_vendor = 0x1af4,
                              .subsystem = v->type->id,
                              .pin = 1};
    *p = (struct virtio_pci){.v = v};
    struct pci_function *f = &p->function;
    pci_function_init(f, v->type->name, &id);
    if (v->type->id == VIRTIO_RNG || v->type->id == VIRTIO_BALLOON) /* table of 4.1.2.1 */
        pci_function_register(f, PCI_DEVICE_ID, 2, v->type->id == VIRTIO_RNG ? 0x1005 : 0x1002, 0);
    pci_function_bar(f, BAR_LEGACY, PCI_BAR_IO, 128, &virtio_pci_legacy_bus, p, v->type->name);
    pci_function_bar(f, BAR_MODERN, PCI_BAR_MEM64, 4 * AREA, &modern_bus, p, v->type->name);
    pci_cap_msix(f, v->type->queues + 1, BAR_MSIX);
    p->window = (u8)add_cap(p, CFG_WINDOW, 0, 0, 4, 0);
    pci_function_register(f, p->window + WINDOW_BAR, 1, 0, 0xff);
    pci_function_register(f, p->window + WINDOW_OFFSET, 4, 0, ~0u);
    pci_function_register(f, p->window + WINDOW_LENGTH, 4, 0, ~0u);
    pci_function_register(f, p->window + WINDOW_DATA, 4, 0, ~0u);
    add_cap(p, CFG_NOTIFY, AREA_NOTIFY, AREA, 4, 1u << NOTIFY_SHIFT);
    add_cap(p, CFG_DEVICE, AREA_DEVICE, AREA, 0, 0);
    add_cap(p, CFG_ISR, AREA_ISR, AREA, 0, 0);
    add_cap(p, CFG_COMMON, AREA_COMMON, AREA, 0, 0);
    f->before_read = before_read;
    f->written = written;
    f->opaque = p;
    v->transport = (struct virtio_transport){interrupt, p};
}

static const struct field virtio_pci_fields[] = {FIELD_MAX(virtio_pci, isr, 0, 3)};
static const struct field_table virtio_pci_table = {"virtio_pci", 1, virtio_pci_fields,
                                                    ARRAY_LEN(virtio_pci_fields)};
const struct device_ops virtio_pci_ops = {.fields = &virtio_pci_table};
