/* A test bench for chips: a clock that is stepped, two buses, wires that remember what was pulled. No CPU. */
#ifndef TESTS_DEV_BENCH_H
#define TESTS_DEV_BENCH_H

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "dev/device.h"
#include "mem/bus.h"

struct wire {
    bool level;
    unsigned rises, falls;
};

struct bench {
    u64 now, drift; /* whoever looks at the clock has taken so long */
    struct clock clock;
    struct bus pio, mmio;
    struct wire wires[32];
    unsigned checks, failures, wakes;
};

static inline u64 bench_now(void *opaque)
{
    struct bench *b = opaque;
    return b->now += b->drift;
}

static inline void bench_wire_set(void *opaque, unsigned n, bool level)
{
    struct wire *w = &((struct bench *)opaque)->wires[n];
    w->rises += level && !w->level;
    w->falls += !level && w->level;
    w->level = level;
}

static inline struct irq_line bench_wire(struct bench *b, unsigned n)
{
    return (struct irq_line){.set = bench_wire_set, .opaque = b, .n = n};
}

static inline void bench_init(struct bench *b)
{
    *b = (struct bench){.clock = {.now = bench_now, .opaque = b}};
    bus_init(&b->pio, "port", 0x10000);
    bus_init(&b->mmio, "mmio", 1ull << 46);
}

/* Moves the clock to NOW + NS, stopping at every deadline on the way. */
static inline void bench_step(struct bench *b, u64 ns)
{
    u64 end = b->now + ns;
    while (clock_next(&b->clock) <= end) {
        if (clock_next(&b->clock) > b->now)
            b->now = clock_next(&b->clock);
        b->wakes++;
        clock_run(&b->clock);
    }
    b->now = end;
}

static inline void bench_map(struct bench *b, struct bus *bus, const char *name, u64 base, u64 len,
                             const struct bus_ops *ops, void *opaque)
{
    struct error e;
    if (bus_add(bus, name, base, len, ops, opaque, &e)) {
        printf("%s\n", e.text);
        b->failures++;
    }
}

static inline u8 in8(struct bench *b, u16 port)
{
    return (u8)bus_read(&b->pio, port, 1);
}

static inline void out8(struct bench *b, u16 port, u8 v)
{
    bus_write(&b->pio, port, 1, v);
}

static inline void bench_check(struct bench *b, const char *file, int line, const char *what, u64 got,
                               u64 want)
{
    b->checks++;
    if (got == want)
        return;
    b->failures++;
    printf("%s:%d: %s: got %#llx, want %#llx\n", file, line, what, (unsigned long long)got,
           (unsigned long long)want);
}

#define CHECK_EQ(b, got, want) bench_check(b, __FILE__, __LINE__, #got, (u64)(got), (u64)(want))
#define CHECK(b, cond)         bench_check(b, __FILE__, __LINE__, #cond, (cond) ? 1 : 0, 1)

/* To be returned by main. */
static inline int bench_end(const struct bench *b)
{
    printf("%u checks, %u failures\n", b->checks, b->failures);
    return b->failures || !b->checks;
}

/* Saves FROM and restores it into TO, another instance of the same chip; true when the image was taken. */
static inline bool bench_copy(struct bench *b, const struct device_ops *ops, void *from, void *to)
{
    struct buffer image = {0};
    struct error e = {0};
    if (ops->before_save)
        ops->before_save(from);
    bool ok = !fields_save(ops->fields, from, &image, &e) && !fields_restore(ops->fields, to, &image, &e) &&
              image.pos == image.len && (!ops->after_restore || ops->after_restore(to));
    if (!ok) {
        printf("%s: %s\n", ops->fields->name, e.text);
        b->failures++;
    }
    buffer_free(&image);
    return ok;
}

#endif
