/* fw_cfg by its specification: ports, directory, DMA, and requests that make no sense. */
#include "base/le.h"
#include "bench.h"
#include "dev/fw_cfg.h"

enum { SELECT = 0x510, DATA = 0x511, DMA = 0x514, CONTROL_AT = 0x1000, TO = 0x2000 };

struct fw_bench {
    struct bench b;
    struct mem mem;
    struct fw_cfg fw;
};

static void get(struct fw_bench *t, u16 key, void *buf, size_t n)
{
    bus_write(&t->b.pio, SELECT, 2, key);
    for (size_t i = 0; i < n; i++)
        ((u8 *)buf)[i] = in8(&t->b, DATA);
}

/* Runs a DMA request; what the control word holds then. */
static u32 dma(struct fw_bench *t, u32 control, u32 len, u64 address, u64 at)
{
    u8 raw[16];
    st32(raw, __builtin_bswap32(control));
    st32(raw + 4, __builtin_bswap32(len));
    st64(raw + 8, __builtin_bswap64(address));
    if (!mem_write(&t->mem, at, raw, sizeof raw))
        memset(raw, 0xff, 4);
    bus_write(&t->b.pio, DMA, 4, __builtin_bswap32((u32)(at >> 32)));
    bus_write(&t->b.pio, DMA + 4, 4, __builtin_bswap32((u32)at));
    if (!mem_read(&t->mem, at, raw, 4))
        return 0xffffffff;
    return __builtin_bswap32(ld32(raw));
}

static void count_selected(void *opaque)
{
    ++*(u8 *)opaque;
}

static void test_items(struct fw_bench *t)
{
    struct bench *b = &t->b;
    u8 buf[512];
    get(t, FW_CFG_SIGNATURE, buf, 6);
    CHECK_EQ(b, memcmp(buf, "QEMU\0\0", 6), 0);
    get(t, FW_CFG_ID, buf, 4);
    CHECK_EQ(b, ld32(buf), 3);
    CHECK(b, fw_cfg_add_number(&t->fw, FW_CFG_NB_CPUS, 4, 2));
    CHECK(b, fw_cfg_add_number(&t->fw, FW_CFG_RAM_SIZE, 0x123456789a, 8));
    get(t, FW_CFG_NB_CPUS, buf, 3);
    CHECK_EQ(b, ld16(buf), 4);
    CHECK_EQ(b, buf[2], 0);
    get(t, FW_CFG_RAM_SIZE, buf, 8);
    CHECK_EQ(b, ld64(buf), 0x123456789a);
    CHECK(b, fw_cfg_add_number(&t->fw, FW_CFG_NB_CPUS, 5, 2)); /* replaced */
    get(t, FW_CFG_NB_CPUS, buf, 2);
    CHECK_EQ(b, ld16(buf), 5);
    get(t, 0x7777, buf, 2);
    CHECK_EQ(b, ld16(buf), 0);
    CHECK_EQ(b, in8(b, SELECT), 0);

    u8 selected = 0;
    CHECK(b, fw_cfg_add_file(&t->fw, "opt/fresh", &selected, 1));
    fw_cfg_on_select(&t->fw, "opt/fresh", count_selected, &selected);
    CHECK(b, fw_cfg_add_file(&t->fw, "etc/first", "x", 1)); /* moves it */
    get(t, FW_CFG_FILE_FIRST, buf, 1);
    CHECK_EQ(b, selected, 0);
    get(t, FW_CFG_FILE_FIRST + 1, buf, 2);
    CHECK_EQ(b, buf[0], 1); /* as it was made when it was selected */
    CHECK(b, fw_cfg_ops.after_restore(&t->fw));
    CHECK_EQ(b, selected, 2);
    fw_cfg_init(&t->fw, &t->mem);
    CHECK(b, fw_cfg_add_number(&t->fw, FW_CFG_NB_CPUS, 5, 2));
    CHECK(b, fw_cfg_add_file(&t->fw, "opt/z", "zz", 2));
    CHECK(b, fw_cfg_add_file(&t->fw, "etc/a", "alpha", 5));
    CHECK(b, fw_cfg_add_file(&t->fw, "etc/b", "beta", 4));
    CHECK(b, fw_cfg_add_file(&t->fw, "etc/a", "ALPHA!", 6));
    CHECK(b, !fw_cfg_add_file(&t->fw, "", "x", 1));
    CHECK(b, !fw_cfg_add_file(&t->fw, "a name of fifty-six characters is one too many for this..", "x", 1));
    get(t, FW_CFG_FILE_DIR, buf, 4 + 3 * 64 + 1);
    CHECK_EQ(b, __builtin_bswap32(ld32(buf)), 3);
    static const char *const names[] = {"etc/a", "etc/b", "opt/z"};
    static const u32 sizes[] = {6, 4, 2};
    for (unsigned n = 0; n < 3; n++) {
        const u8 *entry = buf + 4 + 64 * n;
        CHECK_EQ(b, __builtin_bswap32(ld32(entry)), sizes[n]);
        CHECK_EQ(b, __builtin_bswap16(ld16(entry + 4)), FW_CFG_FILE_FIRST + n);
        CHECK_EQ(b, strcmp((const char *)entry + 8, names[n]), 0);
    }
    get(t, FW_CFG_FILE_FIRST, buf, 7);
    CHECK_EQ(b, memcmp(buf, "ALPHA!", 7), 0);
}

static void test_dma(struct fw_bench *t)
{
    struct bench *b = &t->b;
    u8 buf[16];
    CHECK_EQ(b, bus_read(&b->pio, DMA, 8), ld64("QEMU CFG"));
    u32 key = FW_CFG_FILE_FIRST << 16;
    CHECK_EQ(b, dma(t, key | 0x0a, 6, TO, CONTROL_AT), 0);
    CHECK(b, mem_read(&t->mem, TO, buf, 6) && !memcmp(buf, "ALPHA!", 6));
    CHECK_EQ(b, dma(t, key | 0x0c, 2, 0, CONTROL_AT), 0); /* select, skip */
    CHECK(b, mem_fill(&t->mem, TO, 0xee, 16));
    CHECK_EQ(b, dma(t, 0x02, 8, TO, CONTROL_AT), 0); /* read on, past the end */
    CHECK(b, mem_read(&t->mem, TO, buf, 9) && !memcmp(buf, "PHA!\0\0\0\0\xee", 9));
    CHECK_EQ(b, dma(t, key | 0x18, 4, TO, CONTROL_AT), 1); /* no writing */
    CHECK_EQ(b, dma(t, key | 0x0a, 6, 0xfffffffffffffffe, CONTROL_AT), 1);
    CHECK_EQ(b, dma(t, key | 0x0a, 6, t->mem.size - 3, CONTROL_AT), 1);
    CHECK_EQ(b, dma(t, key | 0x0a, 0xffffffff, 0, CONTROL_AT), 1);
    CHECK_EQ(b, dma(t, key | 0x0a, 6 + FW_CFG_SLACK + 1, MIB(1), CONTROL_AT), 1);
    CHECK_EQ(b, dma(t, key | 0x0a, 6 + FW_CFG_SLACK, MIB(1), CONTROL_AT), 0);
    CHECK_EQ(b, dma(t, key | 0x0c, 0xffffffff, 0, CONTROL_AT), 0);
    CHECK_EQ(b, dma(t, 0x02, 1, TO, CONTROL_AT), 0);
    CHECK(b, mem_read(&t->mem, TO, buf, 1) && !buf[0]);
    CHECK_EQ(b, dma(t, key | 0x0a, 6, TO, 0xfffffffffffffff8), 0xffffffff);
    CHECK(b, mem_fill(&t->mem, t->mem.size - 8, 0x55, 8));
    CHECK_EQ(b, dma(t, key | 0x0a, 6, TO, t->mem.size - 8), 0x55555555); /* half of it is no RAM: untouched */
    CHECK_EQ(b, dma(t, key | 0x08, 0, 0, CONTROL_AT), 0);
    CHECK_EQ(b, in8(b, DATA), 'A'); /* select alone */

    struct fw_cfg other;
    CHECK_EQ(b, in8(b, DATA), 'L');
    other = t->fw;
    device_reset(&(struct device){&fw_cfg_ops, &other});
    CHECK_EQ(b, other.offset, 0);
    CHECK(b, bench_copy(b, &fw_cfg_ops, &t->fw, &other));
    bus_remove(&b->pio, SELECT);
    bench_map(b, &b->pio, "fw_cfg", SELECT, 2, &fw_cfg_bus, &other);
    CHECK_EQ(b, in8(b, DATA), 'P');
    other.offset = 0xffffffff; /* as a mutated image may say */
    CHECK_EQ(b, in8(b, DATA), 0);
}

int main(void)
{
    static struct fw_bench t;
    struct error e;
    bench_init(&t.b);
    if (mem_init(&t.mem, MIB(4), &e)) {
        printf("%s\n", e.text);
        return 1;
    }
    fw_cfg_init(&t.fw, &t.mem);
    bench_map(&t.b, &t.b.pio, "fw_cfg", SELECT, 2, &fw_cfg_bus, &t.fw);
    bench_map(&t.b, &t.b.pio, "fw_cfg DMA", DMA, 8, &fw_cfg_dma_bus, &t.fw);
    test_items(&t);
    test_dma(&t);
    mem_destroy(&t.mem);
    return bench_end(&t.b);
}
