/* The POST code latch: reads give what was written last. */
#include "dev/port80.h"

static u64 port80_read(void *opaque, u64 off, unsigned size)
{
    const struct port80 *p = opaque;
    (void)off, (void)size;
    return p->value;
}

static void port80_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct port80 *p = opaque;
    (void)off, (void)size;
    p->value = (u8)value;
}

const struct bus_ops port80_bus = {.read = port80_read, .write = port80_write, .min_size = 1, .max_size = 1};

static const struct field port80_fields[] = {FIELD(port80, value, 0)};
static const struct field_table port80_table = {
    .name = "port80", .version = 1, .fields = port80_fields, .count = ARRAY_LEN(port80_fields)};
const struct device_ops port80_ops = {.fields = &port80_table};
