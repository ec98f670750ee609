/* The part of a virtio device that is the same for every type and transport: status, features, queues, and
 * the turns in which queues are served.
 *
 * A notification only marks its queue and arms a timer, which fires on the loop's thread at once under real
 * time, and after the modelled latency under virtual time. So a vCPU never waits for a device, and the state
 * between two turns is in the queues, this struct and the type's own requests in flight. */
#include "dev/virtio/virtio.h"

#include "base/le.h"

#define COMMON_FEATURES (VIRTIO_F_INDIRECT | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1 | VIRTIO_F_ANY_LAYOUT)

static void virtio_turn(void *opaque);

void virtio_init(struct virtio *v, const struct virtio_type *type, const struct virtio_wires *wires)
{
    *v = (struct virtio){.type = type,
                         .wires = *wires,
                         .features = type->features | COMMON_FEATURES,
                         .config_vector = VIRTQ_NO_VECTOR};
    for (unsigned n = 0; n < type->queues; n++)
        v->queues[n].max = VIRTQ_MAX;
    for (unsigned n = 0; n < VIRTIO_QUEUES; n++)
        virtq_reset(&v->queues[n]);
    timer_init(&v->turn, virtio_turn, v);
}

/* --- turns */

static void arm(struct virtio *v)
{
    if (!v->notified || v->turn.armed)
        return;
    v->due_ns = clock_now(v->wires.clock) + v->wires.latency_ns;
    timer_arm(v->wires.clock, &v->turn, v->due_ns);
}

void virtio_again(struct virtio *v, unsigned n)
{
    v->notified |= 1u << n;
    arm(v);
}

void virtio_notify(struct virtio *v, unsigned n)
{
    if (n < v->type->queues && virtio_running(v, n) && !(v->type->told && v->type->told(v, n)))
        virtio_again(v, n);
}

void virtio_notify_any(struct virtio *v)
{
    for (unsigned n = 0; n < v->type->queues; n++)
        virtio_notify(v, n);
}

static void virtio_turn(void *opaque)
{
    struct virtio *v = opaque;
    u32 todo = v->notified;
    v->notified = 0;
    for (unsigned n = 0; n < v->type->queues; n++)
        if (todo >> n & 1 && virtio_running(v, n) && v->type->serve(v, n))
            v->notified |= 1u << n;
    arm(v);
}

/* --- status and features */

static void interrupt_config(struct virtio *v)
{
    if (v->status & VIRTIO_DRIVER_OK && v->transport.interrupt)
        v->transport.interrupt(v->transport.opaque, VIRTIO_ISR_CONFIG, v->config_vector);
}

void virtio_config_changed(struct virtio *v)
{
    v->generation++;
    interrupt_config(v);
}

void virtio_break(struct virtio *v, const char *why)
{
    if (v->status & VIRTIO_NEEDS_RESET)
        return;
    if (v->wires.log)
        log_guest(v->wires.log, "%s: %s: the device needs a reset", v->type->name, why);
    v->status |= VIRTIO_NEEDS_RESET;
    interrupt_config(v);
}

static void device_stop(struct virtio *v)
{
    if (v->type->stop)
        v->type->stop(v);
    timer_disarm(v->wires.clock, &v->turn);
    v->notified = 0;
    v->acknowledged = 0;
    v->status = 0;
    v->feature_select = v->driver_feature_select = 0;
    v->queue_select = 0;
    v->config_vector = VIRTQ_NO_VECTOR;
    for (unsigned n = 0; n < VIRTIO_QUEUES; n++)
        virtq_reset(&v->queues[n]);
}

u32 virtio_features_read(const struct virtio *v)
{
    return v->feature_select < 2 ? (u32)(v->features >> 32 * v->feature_select) : 0;
}

void virtio_features_write(struct virtio *v, u32 value)
{
    unsigned shift = 32 * (v->driver_feature_select & 1);
    if (v->driver_feature_select > 1 || v->status & (VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK))
        return;
    v->acknowledged = bits_set(v->acknowledged, shift + 31, shift, value) & v->features;
}

void virtio_set_status(struct virtio *v, u8 status)
{
    u8 old = v->status;
    if (!status) {
        device_stop(v);
        return;
    }
    /* Bits are only ever added, and never the device's own. */
    v->status = old | (status & (u8)~VIRTIO_NEEDS_RESET);
    if (~old & v->status & VIRTIO_DRIVER_OK) {
        if (v->type->start)
            v->type->start(v);
        for (unsigned n = 0; n < v->type->queues; n++)
            virtio_notify(v, n);
    }
}

/* --- queues */

struct virtq *virtio_selected(struct virtio *v)
{
    return v->queue_select < v->type->queues ? &v->queues[v->queue_select] : NULL;
}

void virtio_set_queue_size(struct virtio *v, u16 size)
{
    struct virtq *q = virtio_selected(v);
    if (q && !q->ready && size && size <= q->max && !(size & (size - 1)))
        q->size = size;
}

void virtio_set_queue_ready(struct virtio *v, bool ready)
{
    struct virtq *q = virtio_selected(v);
    if (q)
        q->ready = ready;
}

bool virtio_running(const struct virtio *v, unsigned n)
{
    return v->status & VIRTIO_DRIVER_OK && !(v->status & (VIRTIO_NEEDS_RESET | VIRTIO_FAILED)) &&
           v->queues[n].ready;
}

bool virtio_pop(struct virtio *v, unsigned n, struct virtq_chain *c)
{
    struct virtq *q = &v->queues[n];
    const char *why;
    enum virtq_result r = virtio_running(v, n)
                              ? virtq_pop(q, v->wires.mem, virtio_has(v, VIRTIO_F_INDIRECT), c, &why)
                              : VIRTQ_EMPTY;
    if (r == VIRTQ_EMPTY && virtio_running(v, n)) {
        /* The driver may have added one between the look and the wish to be told. */
        if (!virtq_ask_notify(q, v->wires.mem, virtio_has(v, VIRTIO_F_EVENT_IDX)))
            virtio_break(v, "a ring is outside RAM");
        else if (virtq_has_more(q, v->wires.mem))
            virtio_again(v, n);
    }
    if (r == VIRTQ_BAD)
        virtio_break(v, why);
    return r == VIRTQ_GOT;
}

void virtio_unpop(struct virtio *v, unsigned n)
{
    v->queues[n].last_avail--;
}

void virtio_push(struct virtio *v, unsigned n, u16 head, u32 written)
{
    if (virtio_running(v, n) && !virtq_push(&v->queues[n], v->wires.mem, head, written))
        virtio_break(v, "a ring is outside RAM");
}

void virtio_flush(struct virtio *v, unsigned n)
{
    struct virtq *q = &v->queues[n];
    if (virtio_running(v, n) && v->transport.interrupt &&
        virtq_wants_interrupt(q, v->wires.mem, virtio_has(v, VIRTIO_F_EVENT_IDX)))
        v->transport.interrupt(v->transport.opaque, VIRTIO_ISR_QUEUE, q->vector);
}

/* --- configuration space */

u32 virtio_config_read(const struct virtio *v, u64 off, unsigned size)
{
    u8 config[VIRTIO_CONFIG_MAX] = {0};
    unsigned len = v->type->config ? v->type->config(v, config) : 0;
    return range_ok(off, size, len) ? (u32)ld_n(config + off, size) : 0;
}

void virtio_config_write(struct virtio *v, u64 off, unsigned size, u32 value)
{
    if (v->type->config_write && range_ok(off, size, VIRTIO_CONFIG_MAX))
        v->type->config_write(v, off, size, value);
}

/* --- reset and saved state */

static void virtio_reset(void *instance)
{
    device_stop(instance);
}

static void virtio_before_save(void *instance)
{
    struct virtio *v = instance;
    v->due_ns = v->turn.armed ? v->turn.deadline_ns : 0;
}

static bool virtio_after_restore(void *instance)
{
    struct virtio *v = instance;
    if (v->acknowledged & ~v->features || v->notified >> v->type->queues)
        return false;
    if (v->notified)
        timer_arm(v->wires.clock, &v->turn, v->due_ns);
    else
        timer_disarm(v->wires.clock, &v->turn);
    return true;
}

static const struct field virtio_fields[] = {
    FIELD(virtio, acknowledged, 0),
    FIELD(virtio, status, 0),
    FIELD(virtio, generation, 0),
    FIELD(virtio, config_vector, VIRTQ_NO_VECTOR),
    FIELD(virtio, queue_select, 0),
    FIELD(virtio, feature_select, 0),
    FIELD(virtio, driver_feature_select, 0),
    FIELD(virtio, notified, 0),
    FIELD(virtio, due_ns, 0),
};
static const struct field_table virtio_table = {"virtio", 1, virtio_fields, ARRAY_LEN(virtio_fields)};
/* Its queues are devices of their own: virtq_ops. */
const struct device_ops virtio_ops = {.fields = &virtio_table,
                                      .reset = virtio_reset,
                                      .before_save = virtio_before_save,
                                      .after_restore = virtio_after_restore};
