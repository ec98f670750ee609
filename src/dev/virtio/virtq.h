/* A split virtqueue seen from the device (virtio 1.2, 2.7). See virtq.c. */
#ifndef DEV_VIRTIO_VIRTQ_H
#define DEV_VIRTIO_VIRTQ_H

#include "dev/device.h"
#include "mem/mem.h"

#define VIRTQ_MAX       256 /* descriptors in a queue, and in one chain */
#define VIRTQ_NO_VECTOR 0xffff

struct virtq {
    u16 max;  /* what the device offers */
    u16 size; /* what the driver took: a power of two, 1..max */
    bool ready;
    u64 desc, avail, used; /* gpas */
    u16 last_avail;        /* next entry of the available ring to look at */
    u16 next_used;         /* next entry of the used ring to write */
    u16 signalled;         /* next_used when the driver was last interrupted */
    u16 vector; /* MSI-X; VIRTQ_NO_VECTOR: none */
};

extern const struct device_ops virtq_ops;

struct virtq_seg {
    u64 gpa;
    u32 len;
};

/* One request: first what the device reads, then what it writes. Every segment is RAM. */
struct virtq_chain {
    u16 head;
    u16 out_n, in_n;     /* segments */
    u64 out_len, in_len; /* bytes, at most 4 GiB in all */
    struct virtq_seg segs[VIRTQ_MAX];
};

enum virtq_result { VIRTQ_EMPTY, VIRTQ_GOT, VIRTQ_BAD };

void virtq_reset(struct virtq *q);
/* The next request. BAD: the driver broke a rule; WHY says which one. */
enum virtq_result virtq_pop(struct virtq *q, const struct mem *m, bool indirect, struct virtq_chain *c,
                            const char **why);
/* Gives HEAD back with WRITTEN bytes; false: the used ring is not in RAM. */
bool virtq_push(struct virtq *q, struct mem *m, u16 head, u32 written) MUST_CHECK;
/* True: the driver wants an interrupt for what was pushed since the last one. EVENT: VIRTIO_F_EVENT_IDX. */
bool virtq_wants_interrupt(struct virtq *q, const struct mem *m, bool event);
/* Says, with EVENT, at which entry the driver shall notify again, which is the next. False: not in RAM. */
bool virtq_ask_notify(struct virtq *q, struct mem *m, bool event) MUST_CHECK;
bool virtq_has_more(const struct virtq *q, const struct mem *m);

/* Copies up to LEN bytes from offset OFF of what the device reads; how many there were. */
u64 chain_read(const struct virtq_chain *c, const struct mem *m, u64 off, void *buf, u64 len);
/* The same into what the device writes. */
u64 chain_write(const struct virtq_chain *c, struct mem *m, u64 off, const void *buf, u64 len);

#endif
