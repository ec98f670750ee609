/* The flash of firmware's variables: each command as the datasheet has it, what reaches the disk, what the disk refuses. */
#include "dev/cfi_flash.h"

#include <errno.h>

#include "bench.h"

enum { SIZE = 4 * CFI_FLASH_BLOCK, READY = 0x80, PROGRAM_ERROR = 0x10, ERASE_ERROR = 0x20, LOCKED = 0x02 };

struct test {
    struct bench b;
    struct cfi_flash f;
    u8 data[SIZE], disk[SIZE];
    struct block store;
    int error; /* of the disk's next writes */
    bool answers;
    u32 changed; /* bytes, since the last look */
};

static struct test *of_store(struct block *s)
{
    return (struct test *)((u8 *)s - offsetof(struct test, store));
}

static void on_submit(struct block *s, struct block_request *r)
{
    struct test *t = of_store(s);
    CHECK(&t->b, r->op == BLOCK_WRITE && r->len && !(r->off % 512) && !(r->len % 512) && r->off <= SIZE && r->len <= SIZE - r->off);
    r->error = t->error;
    if (!r->error)
        memcpy(t->disk + r->off, r->data, r->len);
    r->done(r);
}

static void on_answer(void *opaque, bool answers)
{
    struct test *t = opaque;
    CHECK(&t->b, t->answers != answers);
    t->answers = answers;
}

static void on_changed(void *opaque, u32 off, u32 len)
{
    struct test *t = opaque;
    CHECK(&t->b, off < SIZE && len <= SIZE - off);
    t->changed += len;
}

static void put(struct test *t, u32 off, u8 value)
{
    cfi_flash_bus.write(&t->f, off, 1, value);
}

/* As a processor reads: the memory, or the chip while it answers. */
static u8 get(struct test *t, u32 off)
{
    return t->answers ? (u8)cfi_flash_bus.read(&t->f, off, 1) : t->data[off];
}

static void test_program(struct test *t)
{
    struct bench *b = &t->b;
    CHECK_EQ(b, get(t, 5), 0xff);
    put(t, 5, 0x40);
    put(t, 5, 0x5a);
    CHECK_EQ(b, get(t, 5), READY); /* the status, until the array is asked for */
    CHECK_EQ(b, get(t, 77), READY);
    put(t, 0, 0xff);
    CHECK_EQ(b, get(t, 5), 0x5a);
    put(t, 5, 0x10); /* the older code; it clears bits and sets none */
    put(t, 5, 0xa7);
    put(t, 0, 0xff);
    CHECK_EQ(b, get(t, 5), 0x5a & 0xa7);
    CHECK_EQ(b, t->disk[5], 0x5a & 0xa7);
    CHECK_EQ(b, t->changed, 2);
    put(t, SIZE - 1, 0x40);
    put(t, SIZE - 1, 0);
    put(t, 0, 0xff);
    CHECK(b, !t->data[SIZE - 1] && !t->disk[SIZE - 1]);
}

static void test_erase(struct test *t)
{
    struct bench *b = &t->b;
    memset(t->data, 0, SIZE);
    memset(t->disk, 0, SIZE);
    put(t, CFI_FLASH_BLOCK + 100, 0x20);
    put(t, CFI_FLASH_BLOCK + 100, 0xd0);
    CHECK_EQ(b, get(t, 0), READY);
    put(t, 0, 0xff);
    for (u32 i = 0; i < SIZE; i += 511) {
        u8 want = i / CFI_FLASH_BLOCK == 1 ? 0xff : 0;
        CHECK(b, get(t, i) == want && t->disk[i] == want);
    }
    CHECK(b, t->data[CFI_FLASH_BLOCK] == 0xff && t->data[2 * CFI_FLASH_BLOCK - 1] == 0xff && !t->data[CFI_FLASH_BLOCK - 1] && !t->data[2 * CFI_FLASH_BLOCK]);
    put(t, 0, 0x20);
    put(t, 0, 0x00); /* not confirmed */
    CHECK_EQ(b, get(t, 0), READY | PROGRAM_ERROR | ERASE_ERROR);
    put(t, 0, 0x50);
    CHECK_EQ(b, get(t, 0), 0); /* the array again, untouched */
    put(t, 0, 0x70);
    CHECK_EQ(b, get(t, 0), 0); /* OVMF looks for this */
    put(t, 0, 0xff);
}

static void buffered(struct test *t, u32 off, u32 n, u8 value, u8 confirm)
{
    put(t, off, 0xe8);
    CHECK_EQ(&t->b, get(t, off) & READY, t->f.status & READY);
    put(t, off, (u8)(n - 1));
    for (u32 i = 0; i < n; i++)
        put(t, off + i, (u8)(value + i));
    put(t, off, confirm);
}

static void test_buffer(struct test *t)
{
    struct bench *b = &t->b;
    memset(t->data, 0xff, SIZE);
    buffered(t, 1000, 256, 1, 0xd0);
    put(t, 0, 0xff);
    for (u32 i = 0; i < 256; i++)
        CHECK(b, t->data[1000 + i] == (u8)(1 + i) && t->disk[1000 + i] == (u8)(1 + i));
    CHECK(b, t->data[999] == 0xff && t->data[1256] == 0xff);
    buffered(t, 3000, 1, 0, 0xd0); /* what the one before had behind it is none of this one's */
    CHECK(b, t->data[3000] == 0 && t->data[3001] == 0xff);
    buffered(t, SIZE - 3, 3, 7, 0xd0);
    put(t, 0, 0xff);
    CHECK(b, t->data[SIZE - 3] == 7 && t->data[SIZE - 1] == 9 && t->disk[SIZE - 1] == 9);
    buffered(t, 64, 4, 7, 0x00); /* not confirmed */
    CHECK_EQ(b, get(t, 0) & (PROGRAM_ERROR | ERASE_ERROR), PROGRAM_ERROR | ERASE_ERROR);
    put(t, 0, 0x50);
    CHECK_EQ(b, t->data[64], 0xff);
    static const u32 outside[] = {2000 - 1, 2000 + CFI_FLASH_BUFFER};
    for (unsigned i = 0; i < 2; i++) { /* a byte that the buffer does not reach */
        put(t, 0, 0xe8);
        put(t, 0, 1);
        put(t, 2000, 1);
        put(t, outside[i], 1);
        CHECK_EQ(b, get(t, 0) & (PROGRAM_ERROR | ERASE_ERROR), PROGRAM_ERROR | ERASE_ERROR);
        put(t, 0, 0x50);
    }
    CHECK_EQ(b, t->data[2000], 0xff);
}

static void test_query(struct test *t)
{
    struct bench *b = &t->b;
    put(t, 0x55, 0x98);
    CHECK(b, get(t, 0x10) == 'Q' && get(t, 0x11) == 'R' && get(t, 0x12) == 'Y' && get(t, 0x13) == 1);
    CHECK_EQ(b, get(t, 0x27), 14); /* 16 KiB */
    CHECK_EQ(b, get(t, 0x2a), 8);
    CHECK(b, get(t, 0x2c) == 1 && get(t, 0x2d) == 3 && get(t, 0x2e) == 0 && get(t, 0x2f) == 16 && get(t, 0x30) == 0);
    CHECK(b, get(t, 0x31) == 'P' && get(t, SIZE - 1) == 0);
    put(t, 0, 0x90);
    CHECK(b, get(t, 0) == 0x89 && get(t, 1) == 0x18 && get(t, 2) == 0);
    put(t, 0, 0x60);
    put(t, 0, 0xd0);
    CHECK(b, !(get(t, 0) & (PROGRAM_ERROR | ERASE_ERROR)));
    put(t, 0, 0x33); /* no command */
    CHECK(b, !t->answers);
}

static void test_refused(struct test *t)
{
    struct bench *b = &t->b;
    memset(t->data, 0xff, SIZE);
    t->error = ENOSPC;
    put(t, 0, 0x40);
    put(t, 0, 0);
    CHECK_EQ(b, get(t, 0) & (PROGRAM_ERROR | ERASE_ERROR), PROGRAM_ERROR);
    put(t, 0, 0x50);
    put(t, 0, 0x20);
    put(t, 0, 0xd0);
    CHECK_EQ(b, get(t, 0) & (PROGRAM_ERROR | ERASE_ERROR), ERASE_ERROR);
    t->error = 0;
    put(t, 0, 0x50);
    t->store.readonly = true;
    t->changed = 0;
    put(t, 0, 0x40);
    put(t, 0, 0);
    CHECK_EQ(b, get(t, 0), READY | PROGRAM_ERROR | LOCKED);
    put(t, 0, 0x50);
    put(t, 0, 0x20);
    put(t, 0, 0xd0);
    CHECK_EQ(b, get(t, 0), READY | ERASE_ERROR | LOCKED);
    put(t, 0, 0x50);
    buffered(t, 0, 2, 0, 0xd0);
    CHECK_EQ(b, get(t, 0), READY | PROGRAM_ERROR | LOCKED);
    put(t, 0, 0x50);
    CHECK(b, t->data[0] == 0xff && !t->changed);
    t->store.readonly = false;
}

/* In the middle of a buffered program. */
static void test_saved(struct test *t)
{
    struct bench *b = &t->b;
    static struct cfi_flash other;
    memset(t->data, 0xff, SIZE);
    put(t, 8, 0xe8);
    put(t, 8, 1);
    put(t, 8, 3);
    cfi_flash_init(&other, SIZE, &t->f.wires);
    device_reset(&(struct device){&cfi_flash_ops, &t->f});
    CHECK(b, !t->answers);
    put(t, 8, 0xe8);
    put(t, 8, 1);
    put(t, 8, 3);
    t->answers = false; /* the other's memory */
    CHECK(b, bench_copy(b, &cfi_flash_ops, &t->f, &other));
    CHECK(b, t->answers);
    cfi_flash_bus.write(&other, 9, 1, 4);
    cfi_flash_bus.write(&other, 8, 1, 0xd0);
    CHECK(b, t->data[8] == 3 && t->data[9] == 4);
    static const struct {
        u32 first, left;
        u8 step;
    } bad[] = {{SIZE, 1, 2}, {0, 257, 2}, {0, 0, 2}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        other.first = bad[i].first;
        other.left = bad[i].left;
        other.step = bad[i].step;
        CHECK(b, !cfi_flash_ops.after_restore(&other));
    }
}

int main(void)
{
    static struct test t;
    static const struct block_ops ops = {.submit = on_submit};
    bench_init(&t.b);
    t.store = (struct block){.ops = &ops, .size = SIZE};
    memset(t.data, 0xff, SIZE);
    const struct cfi_flash_wires wires = {.data = t.data, .store = &t.store, .answer = on_answer, .changed = on_changed, .opaque = &t};
    cfi_flash_init(&t.f, SIZE, &wires);
    test_program(&t);
    test_erase(&t);
    test_buffer(&t);
    test_query(&t);
    test_refused(&t);
    test_saved(&t);
    return bench_end(&t.b);
}
