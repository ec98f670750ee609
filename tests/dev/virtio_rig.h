/* A driver for virtio devices without a CPU: one device behind an MMIO slot, its queues laid out in guest memory. */
#ifndef TESTS_DEV_VIRTIO_RIG_H
#define TESTS_DEV_VIRTIO_RIG_H

#include "base/le.h"
#include "bench.h"
#include "dev/virtio/virtio_mmio.h"
#include "mem/mem.h"

enum { RIG_QUEUE = 0x10000, RIG_QUEUE_SPAN = 0x4000, RIG_AVAIL = 0x1000, RIG_USED = 0x2000, RIG_DATA = 0x100000 };
enum { RIG_NEXT = 1, RIG_WRITE = 2, RIG_INDIRECT = 4 };
enum { RIG_STATUS = 0x70, RIG_NOTIFY = 0x50, RIG_READY = 0x44, RIG_SELECT = 0x30, RIG_NUM = 0x38 };

struct virtio_rig {
    struct bench b;
    struct mem mem;
    struct virtio_mmio slot;
    struct virtio_wires wires;
    u16 size;             /* of the queues */
    u16 avail[VIRTIO_QUEUES], seen[VIRTIO_QUEUES]; /* indexes of ours */
};

static inline void rig_reg(struct virtio_rig *r, u64 off, u32 v)
{
    virtio_mmio_bus.write(&r->slot, off, 4, v);
}

static inline u32 rig_read(struct virtio_rig *r, u64 off)
{
    return (u32)virtio_mmio_bus.read(&r->slot, off, 4);
}

static inline void rig_put(struct virtio_rig *r, u64 gpa, const void *p, u64 n)
{
    if (!mem_write(&r->mem, gpa, p, n))
        r->b.failures++;
}

static inline u64 rig_ld(struct virtio_rig *r, u64 gpa, unsigned n)
{
    u8 b[8] = {0};
    if (!mem_read(&r->mem, gpa, b, n))
        r->b.failures++;
    return ld_n(b, n);
}

static inline void rig_st(struct virtio_rig *r, u64 gpa, u64 v, unsigned n)
{
    u8 b[8];
    st_n(b, v, n);
    rig_put(r, gpa, b, n);
}

static inline u64 rig_queue(unsigned q)
{
    return RIG_QUEUE + q * RIG_QUEUE_SPAN;
}

static inline void rig_init(struct virtio_rig *r)
{
    struct error e;
    bench_init(&r->b);
    if (mem_init(&r->mem, MIB(4), &e) != STATUS_OK)
        r->b.failures++;
    r->wires = (struct virtio_wires){.mem = &r->mem, .clock = &r->b.clock};
}

/* Puts V behind the slot, and starts it with FEATURES and QUEUES queues of SIZE. */
static inline void rig_restart(struct virtio_rig *r, u64 features, unsigned queues, u16 size)
{
    rig_reg(r, RIG_STATUS, 0);
    rig_reg(r, RIG_STATUS, 3);
    for (unsigned i = 0; i < 2; i++) {
        rig_reg(r, 0x24, i);
        rig_reg(r, 0x20, (u32)(features >> 32 * i));
    }
    rig_reg(r, RIG_STATUS, 11);
    r->size = size;
    for (unsigned q = 0; q < queues; q++) {
        u64 at = rig_queue(q);
        const struct {
            u32 reg;
            u64 gpa;
        } parts[] = {{0x80, at}, {0x90, at + RIG_AVAIL}, {0xa0, at + RIG_USED}};
        if (!mem_fill(&r->mem, at, 0, RIG_QUEUE_SPAN))
            r->b.failures++;
        r->avail[q] = r->seen[q] = 0;
        rig_reg(r, RIG_SELECT, q);
        rig_reg(r, RIG_NUM, size);
        for (unsigned i = 0; i < 3; i++) {
            rig_reg(r, parts[i].reg, (u32)parts[i].gpa);
            rig_reg(r, parts[i].reg + 4, (u32)(parts[i].gpa >> 32));
        }
        rig_reg(r, RIG_READY, 1);
    }
    rig_reg(r, RIG_STATUS, 15);
}

static inline void rig_start(struct virtio_rig *r, struct virtio *v, u64 features, unsigned queues, u16 size)
{
    virtio_mmio_init(&r->slot, v, bench_wire(&r->b, 0));
    rig_restart(r, features, queues, size);
}

static inline void rig_desc(struct virtio_rig *r, u64 table, unsigned n, u64 addr, u32 len, u16 flags, u16 next)
{
    u8 d[16];
    st64(d, addr);
    st32(d + 8, len);
    st16(d + 12, flags);
    st16(d + 14, next);
    rig_put(r, table + 16 * n, d, sizeof d);
}

/* Makes the chain at HEAD available, without telling. */
static inline void rig_offer(struct virtio_rig *r, unsigned q, u16 head)
{
    u64 avail = rig_queue(q) + RIG_AVAIL;
    rig_st(r, avail + 4 + 2 * (r->avail[q] % r->size), head, 2);
    rig_st(r, avail + 2, ++r->avail[q], 2);
}

static inline void rig_kick(struct virtio_rig *r, unsigned q)
{
    rig_reg(r, RIG_NOTIFY, q);
    bench_step(&r->b, 1000000);
}

static inline u16 rig_used(struct virtio_rig *r, unsigned q)
{
    return (u16)rig_ld(r, rig_queue(q) + RIG_USED + 2, 2);
}

/* Entry number I of the used ring. */
static inline u32 rig_used_id(struct virtio_rig *r, unsigned q, unsigned i)
{
    return (u32)rig_ld(r, rig_queue(q) + RIG_USED + 4 + 8 * (i % r->size), 4);
}

static inline u32 rig_used_len(struct virtio_rig *r, unsigned q, unsigned i)
{
    return (u32)rig_ld(r, rig_queue(q) + RIG_USED + 8 + 8 * (i % r->size), 4);
}

#endif
