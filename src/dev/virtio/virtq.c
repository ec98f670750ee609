/* The split virtqueue (virtio 1.2, 2.7). This is the one place where descriptors are read: each is fetched
 * once into a copy, checked, and only the copy is used, as another vCPU may be writing them at the same time.
 *
 * Refused, as the driver's breach of the specification: an available index that runs more than a queue ahead,
 * an index past its table, more than VIRTQ_MAX descriptors in a chain (which ends loops), an indirect table
 * that was not negotiated, is empty, of odd length, inside another or chained on, a readable descriptor
 * behind a writable one, more than 4 GiB in all, memory that is not RAM. A descriptor of length 0 counts, and
 * carries nothing.
 *
 * Memory order: indexes are published after and read before what they cover (2.7.13); between publishing and
 * looking whether the other side wants to know, a full fence. */
#include "dev/virtio/virtq.h"

#include <stdatomic.h>
#include <string.h>

#include "base/le.h"

enum {
    DESC_SIZE = 16,
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    DESC_INDIRECT = 4,
    AVAIL_NO_INTERRUPT = 1,
    AVAIL_RING = 4, /* behind flags and index */
    USED_RING = 4,
    USED_ENTRY = 8,
};

void virtq_reset(struct virtq *q)
{
    *q = (struct virtq){.max = q->max, .size = q->max, .vector = VIRTQ_NO_VECTOR};
}

static bool load16(const struct mem *m, u64 gpa, u16 *v)
{
    u8 b[2];
    if (!mem_read(m, gpa, b, sizeof b))
        return false;
    *v = ld16(b);
    return true;
}

static bool store16(struct mem *m, u64 gpa, u16 v)
{
    u8 b[2];
    st16(b, v);
    return mem_write(m, gpa, b, sizeof b);
}

/* A table of descriptors, and where in it the walk is. */
struct walk {
    u64 table;
    u32 count;
    u16 next;
    bool indirect; /* inside an indirect table */
    bool more;
    unsigned hops;
};

struct desc {
    u64 addr;
    u32 len;
    u16 flags, next;
};

static const char *chain_add(struct virtq_chain *c, const struct mem *m, const struct desc *d)
{
    bool in = d->flags & DESC_WRITE;
    if (!in && c->in_n)
        return "a readable descriptor follows a writable one";
    if (!d->len)
        return NULL;
    if (in ? !mem_is_writable(m, d->addr, d->len) : !mem_is_ram(m, d->addr, d->len))
        return "a descriptor is outside RAM";
    c->segs[c->out_n + c->in_n] = (struct virtq_seg){d->addr, d->len};
    *(in ? &c->in_n : &c->out_n) += 1;
    *(in ? &c->in_len : &c->out_len) += d->len;
    return c->in_len + c->out_len > GIB(4) ? "a chain of more than 4 GiB" : NULL;
}

static const char *enter_indirect(struct walk *w, const struct desc *d, bool allowed)
{
    if (!allowed)
        return "an indirect table without having negotiated it";
    if (w->indirect)
        return "an indirect table in an indirect table";
    if (d->flags & DESC_NEXT)
        return "an indirect descriptor is chained on";
    if (!d->len || d->len % DESC_SIZE)
        return "an indirect table of odd length";
    /* The one that names the table is no part of the chain: a driver may fill the table with VIRTQ_MAX others. */
    *w = (struct walk){
        .table = d->addr, .count = d->len / DESC_SIZE, .indirect = true, .more = true, .hops = w->hops - 1};
    return NULL;
}

static const char *walk_step(struct walk *w, const struct mem *m, bool indirect, struct virtq_chain *c)
{
    u8 b[DESC_SIZE];
    if (w->next >= w->count)
        return "a descriptor's number is past its table";
    if (w->hops++ == VIRTQ_MAX)
        return "a chain is too long, or a loop";
    u64 at = w->table + (u64)w->next * DESC_SIZE;
    if (at < w->table || !mem_read(m, at, b, sizeof b))
        return "a descriptor table is outside RAM";
    const struct desc d = {ld64(b), ld32(b + 8), ld16(b + 12), ld16(b + 14)};
    if (d.flags & DESC_INDIRECT)
        return enter_indirect(w, &d, indirect);
    w->more = d.flags & DESC_NEXT;
    w->next = d.next;
    return chain_add(c, m, &d);
}

static const char *chain_walk(const struct virtq *q, const struct mem *m, bool indirect,
                              struct virtq_chain *c)
{
    struct walk w = {.table = q->desc, .count = q->size, .next = c->head, .more = true};
    const char *why = NULL;
    while (w.more && !why)
        why = walk_step(&w, m, indirect, c);
    return why;
}

enum virtq_result virtq_pop(struct virtq *q, const struct mem *m, bool indirect, struct virtq_chain *c,
                            const char **why)
{
    u16 index, head;
    *why = "a ring is outside RAM";
    if (!load16(m, q->avail + 2, &index))
        return VIRTQ_BAD;
    if (index == q->last_avail)
        return VIRTQ_EMPTY;
    if ((u16)(index - q->last_avail) > q->size) {
        *why = "the available index runs ahead";
        return VIRTQ_BAD;
    }
    atomic_thread_fence(memory_order_acquire);
    if (!load16(m, q->avail + AVAIL_RING + 2 * (q->last_avail & (q->size - 1u)), &head))
        return VIRTQ_BAD;
    c->head = head;
    c->out_n = c->in_n = 0;
    c->out_len = c->in_len = 0;
    *why = chain_walk(q, m, indirect, c);
    if (*why)
        return VIRTQ_BAD;
    q->last_avail++;
    return VIRTQ_GOT;
}

bool virtq_has_more(const struct virtq *q, const struct mem *m)
{
    u16 index;
    return load16(m, q->avail + 2, &index) && index != q->last_avail;
}

bool virtq_push(struct virtq *q, struct mem *m, u16 head, u32 written)
{
    u8 b[USED_ENTRY];
    st32(b, head);
    st32(b + 4, written);
    if (!mem_write(m, q->used + USED_RING + USED_ENTRY * (q->next_used & (q->size - 1u)), b, sizeof b))
        return false;
    atomic_thread_fence(memory_order_release);
    q->next_used++;
    return store16(m, q->used + 2, q->next_used);
}

/* 2.7.10: the driver's flag, or whether its event index was passed since the last interrupt. */
bool virtq_wants_interrupt(struct virtq *q, const struct mem *m, bool event)
{
    u16 v, old = q->signalled;
    atomic_thread_fence(memory_order_seq_cst);
    if (!load16(m, event ? q->avail + AVAIL_RING + 2u * q->size : q->avail, &v))
        return false;
    if (!event)
        return !(v & AVAIL_NO_INTERRUPT);
    q->signalled = q->next_used;
    return (u16)(q->next_used - v - 1) < (u16)(q->next_used - old);
}

bool virtq_ask_notify(struct virtq *q, struct mem *m, bool event)
{
    if (event && !store16(m, q->used + USED_RING + (u64)USED_ENTRY * q->size, q->last_avail))
        return false;
    atomic_thread_fence(memory_order_seq_cst);
    return true;
}

/* --- copying */

u64 chain_read(const struct virtq_chain *c, const struct mem *m, u64 off, void *buf, u64 len)
{
    u8 *to = buf;
    u64 done = 0;
    for (unsigned i = 0; i < c->out_n && done < len; i++) {
        const struct virtq_seg *s = &c->segs[i];
        if (off >= s->len) {
            off -= s->len;
            continue;
        }
        u64 n = s->len - off < len - done ? s->len - off : len - done;
        if (!mem_read(m, s->gpa + off, to + done, n))
            break;
        done += n;
        off = 0;
    }
    return done;
}

u64 chain_write(const struct virtq_chain *c, struct mem *m, u64 off, const void *buf, u64 len)
{
    const u8 *from = buf;
    u64 done = 0;
    for (unsigned i = c->out_n; i < (unsigned)c->out_n + c->in_n && done < len; i++) {
        const struct virtq_seg *s = &c->segs[i];
        if (off >= s->len) {
            off -= s->len;
            continue;
        }
        u64 n = s->len - off < len - done ? s->len - off : len - done;
        if (!mem_write(m, s->gpa + off, from + done, n))
            break;
        done += n;
        off = 0;
    }
    return done;
}

/* --- saved state */

static bool virtq_after_restore(void *instance)
{
    const struct virtq *q = instance;
    return q->size && q->size <= q->max && !(q->size & (q->size - 1));
}

static void virtq_device_reset(void *instance)
{
    virtq_reset(instance);
}

static const struct field virtq_fields[] = {
    FIELD_MAX(virtq, size, VIRTQ_MAX, VIRTQ_MAX),
    FIELD(virtq, ready, false),
    FIELD(virtq, desc, 0),
    FIELD(virtq, avail, 0),
    FIELD(virtq, used, 0),
    FIELD(virtq, last_avail, 0),
    FIELD(virtq, next_used, 0),
    FIELD(virtq, signalled, 0),
    FIELD(virtq, vector, VIRTQ_NO_VECTOR),
};
static const struct field_table virtq_table = {"virtq", 1, virtq_fields, ARRAY_LEN(virtq_fields)};
const struct device_ops virtq_ops = {
    .fields = &virtq_table, .reset = virtq_device_reset, .after_restore = virtq_after_restore};
