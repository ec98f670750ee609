/* The memory balloon. See virtio_balloon.c. */
#ifndef DEV_VIRTIO_VIRTIO_BALLOON_H
#define DEV_VIRTIO_VIRTIO_BALLOON_H

#include "dev/virtio/virtio.h"

#define BALLOON_STATS 10 /* tags that the driver may report (5.5.6.3), by number */

enum balloon_stat {
    BALLOON_SWAP_IN,
    BALLOON_SWAP_OUT,
    BALLOON_MAJOR_FAULTS,
    BALLOON_MINOR_FAULTS,
    BALLOON_FREE_MEMORY,
    BALLOON_TOTAL_MEMORY,
    BALLOON_AVAILABLE_MEMORY,
    BALLOON_DISK_CACHES,
};

struct virtio_balloon {
    struct virtio v;
    /* The driver says that it has another size of balloon; may be null. */
    void (*changed)(void *opaque);
    void *opaque;
    u32 target; /* pages that the driver shall give up */
    u32 actual; /* that it says it has given up */
    u32 poison; /* what the guest fills free pages with */
    u32 hint_id;  /* of the round of hints that is asked for; below HINT_FIRST: none */
    u32 hint_last; /* the number of the last round that was asked for, ended or not; 0: none */
    bool hinting; /* the driver has answered to it */
    bool at_once; /* within the driver's notification */
    bool stats_held;
    u16 stats_head; /* the driver's buffer, which is given back to ask for new figures */
    u64 stats[BALLOON_STATS]; /* ~0: not reported */
    u64 stats_ns;             /* when they came */
    u64 ballooned; /* frames that are in the balloon, as far as this process has seen */
    u64 reported_bytes, hinted_bytes; /* given back so far by either way */
    u64 refused;                      /* page numbers that were no RAM */
};

extern const struct device_ops virtio_balloon_ops;

void virtio_balloon_init(struct virtio_balloon *b, const struct virtio_wires *wires, void (*changed)(void *opaque), void *opaque);

/* The guest shall get along with BYTES of its memory: 0 to all of it. */
void virtio_balloon_set_target(struct virtio_balloon *b, u64 bytes);
/* What the guest has, as its driver says. */
u64 virtio_balloon_actual(const struct virtio_balloon *b);
/* Asks for new figures; false: the driver has no buffer here. */
bool virtio_balloon_ask_stats(struct virtio_balloon *b);
/* Asks for all free pages once (free page hinting); false: the driver does not know how. */
bool virtio_balloon_ask_hints(struct virtio_balloon *b);

#endif
