/* System control port A (82371SB datasheet, "Port 92"): bit 1 is the A20 gate, a rise of bit 0 resets the
 * machine. */
#include "dev/port92.h"

enum { PORT92_RESET = 0x01, PORT92_A20 = 0x02 };

static u64 port92_read(void *opaque, u64 off, unsigned size)
{
    const struct port92 *p = opaque;
    (void)off, (void)size;
    return p->value;
}

static void port92_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct port92 *p = opaque;
    (void)off, (void)size;
    u8 old = p->value;
    p->value = value & (PORT92_RESET | PORT92_A20);
    if (p->lines->a20)
        p->lines->a20(p->lines->opaque, p->value & PORT92_A20);
    if (p->value & ~old & PORT92_RESET && p->lines->reset)
        p->lines->reset(p->lines->opaque, "port 0x92");
}

const struct bus_ops port92_bus = {.read = port92_read, .write = port92_write, .min_size = 1, .max_size = 1};

static const struct field port92_fields[] = {FIELD_MAX(port92, value, PORT92_A20, PORT92_RESET | PORT92_A20)};
static const struct field_table port92_table = {
    .name = "port92", .version = 1, .fields = port92_fields, .count = ARRAY_LEN(port92_fields)};
const struct device_ops port92_ops = {.fields = &port92_table};

bool port92_a20(const struct port92 *p)
{
    return p->value & PORT92_A20;
}

void port92_init(struct port92 *p, const struct machine_lines *lines)
{
    *p = (struct port92){.lines = lines};
    fields_reset(&port92_table, p);
}
