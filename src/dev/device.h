/* What every chip looks like to the machine: an instance struct (embedded in the machine's), const ops, and
 * wires passed to its init function. All calls run under the VM's big lock. */
#ifndef DEV_DEVICE_H
#define DEV_DEVICE_H

#include "base/clock.h"
#include "base/error.h"
#include "base/fields.h"
#include "base/irq.h"
#include "base/log.h"
#include "base/types.h"
#include "mem/bus.h"

struct device_ops {
    const struct field_table *fields;
    void (*reset)(void *instance);       /* after fields_reset; may be null */
    void (*before_save)(void *instance); /* brings fields up to date (timers as deadlines); may be null */
    bool (*after_restore)(
        void *instance); /* re-arms timers and wires from the fields; false refuses the image; may be null */
};

struct device {
    const struct device_ops *ops;
    void *instance;
};

static inline void device_reset(const struct device *d)
{
    fields_reset(d->ops->fields, d->instance);
    if (d->ops->reset)
        d->ops->reset(d->instance);
}

/* The host's end of a serial line. Never blocks. */
struct char_backend {
    /* Takes up to N bytes of guest output; returns how many. The chip keeps the rest and is called by its
     * `writable` function later. */
    size_t (*write)(void *opaque, const u8 *data, size_t n);
    /* The chip has room again for input that was held back. */
    void (*drained)(void *opaque);
    void *opaque;
};

/* What a chip does to the machine as a whole. */
struct machine_lines {
    void (*reset)(void *opaque, const char *cause);
    void (*poweroff)(void *opaque);
    void (*debug_exit)(void *opaque, u32 value);
    void (*smi)(void *opaque);
    void (*a20)(void *opaque, bool enabled);
    void (*shadow)(void *opaque); /* what is seen below 1 MiB has changed */
    void *opaque;
};

#endif
