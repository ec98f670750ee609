/* The state in which a BIOS leaves a PC: tables that find each other and add up, vectors that lead to
 * handlers, the chips' ports. With an argument: writes the tables to files in that folder, for a
 * disassembler. */
#include "boot_rig.h"
#include "machine/boot/bios.h"
#include "machine/boot/e820.h"

static u8 sum(struct rig *r, u64 gpa, u64 len)
{
    u8 s = 0;
    for (u64 i = 0; i < len; i++)
        s = (u8)(s + rig_ld(r, gpa + i, 1));
    return s;
}

static bool is_signature(struct rig *r, u64 gpa, const char *text)
{
    char b[9] = {0};
    CHECK(mem_read(&r->mem, gpa, b, strlen(text)));
    return !strcmp(b, text);
}

/* Looks on 16-byte boundaries where systems look. */
static u64 scan(struct rig *r, u64 from, u64 to, const char *text)
{
    for (u64 a = from; a < to; a += 16)
        if (is_signature(r, a, text))
            return a;
    return 0;
}

/* The table with this signature under the XSDT, which the RSDT must name too. */
static u64 acpi_table(struct rig *r, const char *signature)
{
    u64 rsdp = scan(r, 0xe0000, 0x100000, "RSD PTR ");
    u64 rsdt = rig_ld(r, rsdp + 16, 4), xsdt = rig_ld(r, rsdp + 24, 8);
    u64 n = (rig_ld(r, xsdt + 4, 4) - 36) / 8;
    for (u64 i = 0; i < n; i++) {
        u64 t = rig_ld(r, xsdt + 36 + 8 * i, 8);
        CHECK_EQ(rig_ld(r, rsdt + 36 + 4 * i, 4), t);
        if (is_signature(r, t, signature))
            return t;
    }
    return 0;
}

static void check_table(struct rig *r, u64 t, const char *signature)
{
    u64 len = rig_ld(r, t + 4, 4);
    CHECK(is_signature(r, t, signature));
    CHECK(len >= 36 && len < 0x10000);
    CHECK_EQ(sum(r, t, len), 0);
    CHECK(t >= 0xe0000 && t + len <= 0xf0000);
}

static void test_acpi(struct rig *r, u32 cpus)
{
    u64 rsdp = scan(r, 0xe0000, 0x100000, "RSD PTR ");
    CHECK(rsdp >= 0xf0000);
    CHECK_EQ(sum(r, rsdp, 20), 0);
    CHECK_EQ(sum(r, rsdp, 36), 0);
    check_table(r, rig_ld(r, rsdp + 16, 4), "RSDT");
    check_table(r, rig_ld(r, rsdp + 24, 8), "XSDT");
    u64 fadt = acpi_table(r, "FACP"), madt = acpi_table(r, "APIC");
    check_table(r, fadt, "FACP");
    check_table(r, madt, "APIC");
    u64 facs = rig_ld(r, fadt + 36, 4), dsdt = rig_ld(r, fadt + 40, 4);
    CHECK(is_signature(r, facs, "FACS"));
    CHECK_EQ(facs % 64, 0);
    CHECK_EQ(rig_ld(r, fadt + 132, 8), 0); /* one of two names it, or Linux finds two */
    CHECK_EQ(rig_ld(r, fadt + 140, 8), dsdt);
    check_table(r, dsdt, "DSDT");
    CHECK_EQ(rig_ld(r, fadt + 46, 2), 9);
    CHECK_EQ(rig_ld(r, fadt + 64, 4), 0x604);
    CHECK_EQ(rig_ld(r, fadt + 176, 8), 0x604);
    CHECK_EQ(rig_ld(r, fadt + 120, 8), 0xcf9);

    unsigned lapics = 0, overrides = 0;
    u64 end = madt + rig_ld(r, madt + 4, 4);
    for (u64 p = madt + 44; p < end; p += rig_ld(r, p + 1, 1)) {
        if (rig_ld(r, p, 1) == 0) {
            CHECK_EQ(rig_ld(r, p + 3, 1), lapics); /* APIC id */
            lapics++;
        }
        overrides += rig_ld(r, p, 1) == 2;
        if (!rig_ld(r, p + 1, 1))
            break;
    }
    CHECK_EQ(lapics, cpus);
    CHECK_EQ(overrides, cpus > 1 ? 5 : 2); /* with PCI from two vCPUs on */
}

static void test_mp(struct rig *r, u32 cpus)
{
    u64 floating = scan(r, 0xf0000, 0x100000, "_MP_"), table = rig_ld(r, floating + 4, 4);
    CHECK(floating);
    CHECK_EQ(sum(r, floating, 16), 0);
    CHECK(is_signature(r, table, "PCMP"));
    u64 len = rig_ld(r, table + 4, 2), entries = rig_ld(r, table + 34, 2);
    CHECK_EQ(sum(r, table, len), 0);
    u64 p = table + 44, seen[5] = {0};
    for (u64 i = 0; i < entries; i++) {
        u64 type = rig_ld(r, p, 1);
        CHECK(type < 5);
        seen[type % 5]++;
        p += type ? 8 : 20;
    }
    CHECK_EQ(p, table + len);
    CHECK_EQ(seen[0], cpus);
    CHECK_EQ(seen[2], 1);
    CHECK_EQ(seen[3], 15);
    CHECK_EQ(seen[4], 2);
}

static void test_memory_below_1m(struct rig *r)
{
    for (unsigned v = 0; v < 256; v++) {
        CHECK_EQ(rig_ld(r, 4 * v + 2, 2), 0xf000);
        CHECK(rig_ld(r, 4 * v, 2) >= 0xf000);
    }
    CHECK(rig_ld(r, 4 * 0x08, 2) != rig_ld(r, 4 * 0x20, 2));
    CHECK(rig_ld(r, 4 * 0x70, 2) != rig_ld(r, 4 * 0x20, 2));
    CHECK_EQ(rig_ld(r, 0xf0000 + rig_ld(r, 4 * 0x20, 2), 1), 0xcf); /* iret */
    CHECK_EQ(rig_ld(r, 0x400, 2), 0x3f8);
    CHECK_EQ(rig_ld(r, 0x40e, 2), 0x9fc0);
    CHECK_EQ(rig_ld(r, 0x413, 2), 639);
    CHECK_EQ(rig_ld(r, 0x46c, 4), 0);
    CHECK_EQ(rig_ld(r, 0xffff0, 1), 0xea);
    CHECK_EQ(rig_ld(r, 0xffffe, 1), 0xfc);
}

static void test_e820(void)
{
    static const struct {
        u64 memory;
        size_t ram;
        u64 high;
    } cases[] = {{MIB(1), 1, 0},
                 {MIB(512), 2, 0},
                 {GIB(3), 2, 0},
                 {GIB(3) + PAGE_SIZE, 3, PAGE_SIZE},
                 {GIB(64), 3, GIB(61)}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct mem m;
        struct error e;
        struct e820 map;
        CHECK(mem_init(&m, cases[i].memory, &e) == STATUS_OK);
        e820_build(&map, &m);
        size_t ram = 0;
        u64 end = 0, total = 0;
        for (size_t n = 0; n < map.count; n++) {
            const struct e820_entry *x = &map.entry[n];
            CHECK(x->base >= end && x->len);
            end = x->base + x->len;
            if (x->type != E820_RAM)
                continue;
            ram++;
            total += x->len;
            CHECK(mem_is_ram(&m, x->base, x->len));
        }
        CHECK_EQ(ram, cases[i].ram);
        CHECK_EQ(total, cases[i].memory - MIB(1) + 0x9fc00);
        mem_destroy(&m);
    }
}

struct ports {
    char text[512];
};

static void port_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct ports *p = opaque;
    size_t n = strlen(p->text);
    CHECK_EQ(size, 1);
    snprintf(p->text + n, sizeof p->text - n, "%x=%x ", (unsigned)off, (unsigned)value);
}

static u64 port_read(void *opaque, u64 off, unsigned size)
{
    (void)opaque, (void)off, (void)size;
    return 0;
}

static void test_chips(struct rig *r, u32 cpus)
{
    static const struct bus_ops ops = {.read = port_read, .write = port_write, .min_size = 1, .max_size = 1};
    struct ports p = {0};
    u64 rsdp;
    CHECK(bus_add(&r->mem.pio, "all", 0, 0x100, &ops, &p, &r->e) == STATUS_OK);
    CHECK(bios_install(&r->mem, &(struct platform){.cpus = cpus}, &rsdp, &r->e) == STATUS_OK);
    CHECK(strstr(p.text, "20=11 21=8 21=4 21=1 a0=11 a1=70 a1=2 a1=1 "));
    const char *mask = strstr(p.text, "21=f8 ");
    CHECK(mask && mask > strstr(p.text, "a1=1 "));
    CHECK(strstr(p.text, "43=34 40=0 40=0 "));
    bus_remove(&r->mem.pio, 0);
}

static void dump(struct rig *r, u64 t, const char *dir, const char *name)
{
    char path[4096], bytes[0x4000];
    u64 len = rig_ld(r, t + 4, 4);
    snprintf(path, sizeof path, "%s/%s.aml", dir, name);
    FILE *f = fopen(path, "w");
    CHECK(f && len <= sizeof bytes && mem_read(&r->mem, t, bytes, len) && fwrite(bytes, len, 1, f) == 1);
    if (f)
        fclose(f);
}

int main(int argc, char **argv)
{
    static const u32 cpus[] = {1, 2, 255};
    for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
        struct rig r;
        u64 rsdp = 0;
        rig_init(&r, MIB(1));
        CHECK(bios_install(&r.mem, &(struct platform){.cpus = cpus[i], .pci = i > 0, .virtio_mmio = i < 2 ? 2 : 0}, &rsdp, &r.e) == STATUS_OK);
        CHECK_EQ(rsdp, scan(&r, 0xe0000, 0x100000, "RSD PTR "));
        test_acpi(&r, cpus[i]);
        test_mp(&r, cpus[i]);
        test_memory_below_1m(&r);
        if (argc > 1 && cpus[i] == 2) {
            u64 fadt = acpi_table(&r, "FACP");
            dump(&r, fadt, argv[1], "facp");
            dump(&r, acpi_table(&r, "APIC"), argv[1], "apic");
            dump(&r, rig_ld(&r, fadt + 40, 4), argv[1], "dsdt");
        }
        test_chips(&r, cpus[i]);
        CHECK(bios_install(&r.mem, &(struct platform){.cpus = 0}, &rsdp, &r.e) != STATUS_OK);
        CHECK(bios_install(&r.mem, &(struct platform){.cpus = 256}, &rsdp, &r.e) != STATUS_OK);
        mem_destroy(&r.mem);
    }
    test_e820();
    return check_done();
}
