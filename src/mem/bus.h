/* An address space of device registers: port I/O or MMIO. Refuses overlap, splits accesses to the widths that
 * a chip declares, reads holes as all ones. Accesses run under the VM's big lock. */
#ifndef MEM_BUS_H
#define MEM_BUS_H

#include "base/error.h"
#include "base/types.h"

struct bus_ops {
    /* OFF is relative to the region; SIZE is a power of two between min_size and max_size, OFF + SIZE inside
     * the region. */
    u64 (*read)(void *opaque, u64 off, unsigned size);
    void (*write)(void *opaque, u64 off, unsigned size, u64 value);
    u8 min_size; /* smaller accesses: read widened and cut out; writes are dropped and counted */
    u8 max_size; /* larger accesses are split, lowest address first */
};

struct bus_region {
    u64 base, len;
    const struct bus_ops *ops;
    void *opaque;
    const char *name;
};

#define BUS_MAX_REGIONS 128

struct bus {
    const char *name;
    u64 size;                                   /* of the address space */
    struct bus_region regions[BUS_MAX_REGIONS]; /* sorted by base */
    size_t count;
    u64 holes; /* accesses that met no region: reads gave ones, writes were dropped */
};

void bus_init(struct bus *b, const char *name, u64 size);
enum status bus_add(struct bus *b, const char *name, u64 base, u64 len, const struct bus_ops *ops,
                    void *opaque, struct error *e);
/* Takes out the region that starts at BASE; nothing happens when there is none. */
void bus_remove(struct bus *b, u64 base);
/* SIZE 1, 2, 4 or 8. Wraps nowhere: bytes past the end of the space are holes. */
u64 bus_read(struct bus *b, u64 addr, unsigned size);
void bus_write(struct bus *b, u64 addr, unsigned size, u64 value);

#endif
