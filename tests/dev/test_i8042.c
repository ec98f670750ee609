/* The keyboard controller as BIOSes and Linux drive it; ports 0x92 and 0xcf9, which share its reset and A20
 * lines. */
#include "bench.h"
#include "dev/cf9.h"
#include "dev/i8042.h"
#include "dev/port92.h"

struct kbd_bench {
    struct bench b;
    struct i8042 kbd;
    struct port92 port92;
    struct cf9 cf9;
    struct machine_lines lines;
    unsigned resets;
    bool a20;
};

static void on_reset(void *opaque, const char *cause)
{
    (void)cause;
    ((struct kbd_bench *)opaque)->resets++;
}

static void on_a20(void *opaque, bool enabled)
{
    ((struct kbd_bench *)opaque)->a20 = enabled;
}

static void command(struct kbd_bench *t, u8 v)
{
    out8(&t->b, 0x64, v);
}

static void data(struct kbd_bench *t, u8 v)
{
    out8(&t->b, 0x60, v);
}

static u8 status(struct kbd_bench *t)
{
    return in8(&t->b, 0x64);
}

/* The next byte, or 0x100 when there is none. */
static unsigned get(struct kbd_bench *t)
{
    return status(t) & 1 ? in8(&t->b, 0x60) : 0x100;
}

static void test_controller(struct kbd_bench *t)
{
    struct bench *b = &t->b;
    CHECK_EQ(b, status(t), 0x14);
    command(t, 0xaa);
    CHECK_EQ(b, status(t), 0x1d);
    CHECK_EQ(b, get(t), 0x55);
    command(t, 0xab);
    CHECK_EQ(b, get(t), 0x00);
    command(t, 0x20);
    CHECK_EQ(b, get(t), 0x65);
    command(t, 0x60);
    data(t, 0x47);
    command(t, 0x20);
    CHECK_EQ(b, get(t), 0x47);
    command(t, 0x7f);
    data(t, 0x99);
    command(t, 0x3f);
    CHECK_EQ(b, get(t), 0x99);
    command(t, 0xd2);
    data(t, 0x12);
    CHECK(b, b->wires[1].level);
    CHECK_EQ(b, get(t), 0x12);
    CHECK(b, !b->wires[1].level);
    command(t, 0xc0);
    CHECK_EQ(b, get(t), 0x80);
    CHECK_EQ(b, get(t), 0x100);

    /* No mouse: the loop is not auxiliary data, the line test fails, a command to it times out. */
    command(t, 0xd3);
    data(t, 0x5a);
    CHECK_EQ(b, status(t) & 0x21, 0x01);
    CHECK_EQ(b, get(t), 0x5a);
    command(t, 0xa9);
    CHECK_EQ(b, get(t), 0x01);
    command(t, 0xa8);
    command(t, 0xd4);
    data(t, 0xf2);
    CHECK_EQ(b, status(t) & 0x61, 0x61);
    CHECK(b, b->wires[12].level);
    CHECK_EQ(b, get(t), 0xfe);
    CHECK_EQ(b, status(t) & 0x61, 0);
    command(t, 0xa7);
    command(t, 0x20);
    CHECK_EQ(b, get(t), 0x67);
}

static void test_keyboard(struct kbd_bench *t)
{
    struct bench *b = &t->b;
    command(t, 0x60);
    data(t, 0x01); /* no translation */
    data(t, 0xff);
    CHECK_EQ(b, get(t), 0xfa);
    CHECK_EQ(b, get(t), 0xaa);
    data(t, 0xf2);
    CHECK_EQ(b, get(t), 0xfa);
    CHECK_EQ(b, get(t), 0xab);
    CHECK_EQ(b, get(t), 0x83);
    data(t, 0xee);
    CHECK_EQ(b, get(t), 0xee);
    data(t, 0xed);
    CHECK_EQ(b, get(t), 0xfa);
    data(t, 0x02);
    CHECK_EQ(b, get(t), 0xfa);
    data(t, 0xf0);
    CHECK_EQ(b, get(t), 0xfa);
    data(t, 0x00);
    CHECK_EQ(b, get(t), 0xfa);
    CHECK_EQ(b, get(t), 2);
    data(t, 0xfe);
    CHECK_EQ(b, get(t), 2);
    data(t, 0xf1); /* unknown */
    CHECK_EQ(b, get(t), 0xfe);
    data(t, 0xf5);
    CHECK_EQ(b, get(t), 0xfa);
    CHECK(b, !i8042_send_keys(&t->kbd, (const u8 *)"\x1c", 1));
    data(t, 0xf4);
    CHECK_EQ(b, get(t), 0xfa);
    CHECK_EQ(b, get(t), 0x100);

    static const u8 keys[] = {0x1c, 0xf0, 0x1c, 0xe0, 0x75, 0xe0, 0xf0, 0x75};
    static const u8 set1[] = {0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8};
    unsigned before = b->wires[1].rises;
    CHECK(b, i8042_send_keys(&t->kbd, keys, sizeof keys));
    for (unsigned n = 0; n < sizeof keys; n++)
        CHECK_EQ(b, get(t), keys[n]);
    CHECK_EQ(b, b->wires[1].rises - before, sizeof keys); /* an edge for each */
    command(t, 0x60);
    data(t, 0x41);
    CHECK(b, i8042_send_keys(&t->kbd, keys, sizeof keys));
    for (unsigned n = 0; n < sizeof set1; n++)
        CHECK_EQ(b, get(t), set1[n]);
    data(t, 0xf2); /* the id goes through translation */
    CHECK_EQ(b, get(t), 0xfa);
    CHECK_EQ(b, get(t), 0xab);
    CHECK_EQ(b, get(t), 0x41);

    command(t, 0xad); /* disabled: keys wait */
    CHECK(b, i8042_send_keys(&t->kbd, keys, 1));
    CHECK_EQ(b, get(t), 0x100);
    command(t, 0xae);
    CHECK_EQ(b, get(t), 0x1e);
    u8 many[I8042_QUEUE] = {0};
    CHECK(b, i8042_send_keys(&t->kbd, many, 20));
    CHECK(b, !i8042_send_keys(&t->kbd, many, 20));
    for (unsigned n = 0; n < 200; n++)
        data(t, 0xf2); /* never more than the queue holds */
    unsigned n = 0;
    while (get(t) != 0x100)
        n++;
    CHECK(b, n <= I8042_QUEUE + 1);
}

static void test_reset_and_a20(struct kbd_bench *t)
{
    struct bench *b = &t->b;
    command(t, 0xd0);
    CHECK_EQ(b, get(t) & 3, 3);
    command(t, 0xd1);
    data(t, 0x01);
    CHECK(b, !t->a20);
    CHECK_EQ(b, t->resets, 0);
    command(t, 0xdf);
    CHECK(b, t->a20);
    command(t, 0xff);
    CHECK_EQ(b, t->resets, 0);
    command(t, 0xfe);
    CHECK_EQ(b, t->resets, 1);
    command(t, 0xd1);
    data(t, 0x02);
    CHECK_EQ(b, t->resets, 2);

    CHECK_EQ(b, in8(b, 0x92), 0x02);
    out8(b, 0x92, 0x00);
    CHECK(b, !t->a20);
    out8(b, 0x92, 0x02);
    CHECK(b, t->a20);
    out8(b, 0x92, 0x03);
    CHECK_EQ(b, t->resets, 3);
    out8(b, 0x92, 0x03);
    CHECK_EQ(b, t->resets, 3);

    out8(b, 0xcf9, 0x02);
    CHECK_EQ(b, t->resets, 3);
    out8(b, 0xcf9, 0x06);
    CHECK_EQ(b, t->resets, 4);
    out8(b, 0xcf9, 0x06);
    CHECK_EQ(b, t->resets, 4);
    device_reset(&(struct device){&cf9_ops, &t->cf9});
    CHECK_EQ(b, in8(b, 0xcf9), 0);
    out8(b, 0xcf9, 0x0e);
    CHECK_EQ(b, t->resets, 5);
}

static void test_restore(struct kbd_bench *t)
{
    struct bench *b = &t->b;
    struct i8042 other;
    static const u8 keys[] = {0x1c, 0xf0, 0x1c};
    device_reset(&(struct device){&i8042_ops, &t->kbd});
    CHECK(b, i8042_send_keys(&t->kbd, keys, sizeof keys));
    command(t, 0x60);
    i8042_init(&other, bench_wire(b, 2), bench_wire(b, 3), &t->lines);
    CHECK(b, bench_copy(b, &i8042_ops, &t->kbd, &other));
    CHECK(b, b->wires[2].level);
    bus_remove(&b->pio, 0x60);
    bus_remove(&b->pio, 0x64);
    bench_map(b, &b->pio, "data", 0x60, 1, &i8042_data_bus, &other);
    bench_map(b, &b->pio, "command", 0x64, 1, &i8042_command_bus, &other);
    data(t, 0x00); /* the command byte that was awaited */
    CHECK_EQ(b, get(t), 0x1e);
    CHECK(b, !b->wires[2].level);
    CHECK_EQ(b, get(t), 0xf0); /* translation is off since */
    CHECK_EQ(b, get(t), 0x1c);
}

int main(void)
{
    struct kbd_bench t = {.lines = {.reset = on_reset, .a20 = on_a20, .opaque = &t}};
    bench_init(&t.b);
    i8042_init(&t.kbd, bench_wire(&t.b, 1), bench_wire(&t.b, 12), &t.lines);
    port92_init(&t.port92, &t.lines);
    cf9_init(&t.cf9, &t.lines);
    bench_map(&t.b, &t.b.pio, "data", 0x60, 1, &i8042_data_bus, &t.kbd);
    bench_map(&t.b, &t.b.pio, "command", 0x64, 1, &i8042_command_bus, &t.kbd);
    bench_map(&t.b, &t.b.pio, "port92", 0x92, 1, &port92_bus, &t.port92);
    bench_map(&t.b, &t.b.pio, "cf9", 0xcf9, 1, &cf9_bus, &t.cf9);
    test_controller(&t);
    test_keyboard(&t);
    test_reset_and_a20(&t);
    test_restore(&t);
    return bench_end(&t.b);
}
