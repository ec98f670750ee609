/* The PIIX3's reset control register (82371SB datasheet, "RC"): a rise of bit 2 resets the processor, and
 * with bit 1 the whole machine. Both are one reset here. */
#include "dev/cf9.h"

enum { RC_SRST = 0x02, RC_RCPU = 0x04 };

static u64 cf9_read(void *opaque, u64 off, unsigned size)
{
    const struct cf9 *r = opaque;
    (void)off, (void)size;
    return r->value;
}

static void cf9_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct cf9 *r = opaque;
    (void)off, (void)size;
    u8 old = r->value;
    r->value = value & (RC_SRST | RC_RCPU);
    if (r->value & ~old & RC_RCPU && r->lines->reset)
        r->lines->reset(r->lines->opaque, "port 0xcf9");
}

const struct bus_ops cf9_bus = {.read = cf9_read, .write = cf9_write, .min_size = 1, .max_size = 1};

static const struct field cf9_fields[] = {FIELD_MAX(cf9, value, 0, RC_SRST | RC_RCPU)};
static const struct field_table cf9_table = {
    .name = "cf9", .version = 1, .fields = cf9_fields, .count = ARRAY_LEN(cf9_fields)};
const struct device_ops cf9_ops = {.fields = &cf9_table};

void cf9_init(struct cf9 *r, const struct machine_lines *lines)
{
    *r = (struct cf9){.lines = lines};
}
