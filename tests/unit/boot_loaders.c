/* The loaders: what the guest finds in memory and in its registers, and what is refused. */
#include "boot_rig.h"
#include "cpu/system.h"
#include "cpu/tlb.h"

/* Takes C from reset to the entry that R loaded. */
static void enter(struct rig *r, struct cpu *c)
{
    c->tlb = tlb_create();
    cpu_reset(c);
    boot_enter(c, &r->state);
    tlb_destroy(c->tlb);
    c->tlb = NULL;
}

static void test_bzimage(void)
{
    struct rig r;
    char text[128];
    struct image k = image_bzimage(0x2000), initrd = image_new(5000);
    memset(initrd.bytes, 0x77, initrd.size);
    rig_init(&r, MIB(64));
    r.cfg.append = "console=ttyS0 quiet";
    r.cfg.initrd = image_file(&initrd, initrd.size);
    CHECK_EQ(rig_load(&r, image_file(&k, k.size)), STATUS_OK);
    CHECK_STR(r.e.text, "");
    CHECK_EQ(r.state.kind, BOOT_LINUX);
    CHECK_EQ(r.state.entry, MIB(16) + 0x200);
    CHECK_EQ(rig_ld(&r, MIB(16), 1), 0x90);
    CHECK_EQ(rig_ld(&r, MIB(16) + 0x1fff, 1), 0x90);
    CHECK_EQ(rig_ld(&r, MIB(16) + 0x2000, 1), 0);

    u64 zero = r.state.info;
    CHECK_EQ(rig_ld(&r, zero + 0x202, 4), 0x53726448);
    CHECK_EQ(rig_ld(&r, zero + 0x210, 1), 0xff);
    CHECK_STR(rig_text(&r, rig_ld(&r, zero + 0x228, 4), text), "console=ttyS0 quiet");
    u64 image = rig_ld(&r, zero + 0x218, 4);
    CHECK_EQ(rig_ld(&r, zero + 0x21c, 4), 5000);
    CHECK_EQ(image, align_down(MIB(64) - 5000, PAGE_SIZE));
    CHECK_EQ(rig_ld(&r, image + 4999, 1), 0x77);
    CHECK_EQ(rig_ld(&r, rig_ld(&r, zero + 0x70, 8), 8), 0x2052545020445352); /* "RSD PTR " */
    CHECK(rig_ld(&r, zero + 0x1e8, 1) >= 4);
    CHECK_EQ(rig_ld(&r, zero + 0x2d0, 8), 0);
    CHECK_EQ(rig_ld(&r, zero + 0x2d8, 8), 0x9fc00);
    CHECK_EQ(rig_ld(&r, zero + 0x2e0, 4), 1);
    mem_destroy(&r.mem);
    image_free(&k);
    image_free(&initrd);
}

/* Physical address of LIN through the loader's page tables; 2 MiB pages only. */
static u64 walk(struct rig *r, u64 lin)
{
    u64 table = r->state.cr3;
    for (int shift = 39; shift >= 21; shift -= 9) {
        u64 e = rig_ld(r, table + 8 * (lin >> shift & 511), 8);
        if (!(e & 1))
            return UINT64_MAX;
        table = e & 0xffffffffff000;
        if (e & 0x80)
            return (e & 0xfffffffe00000) + (lin & (MIB(2) - 1));
    }
    return UINT64_MAX;
}

static void test_linux_entry(void)
{
    struct rig r;
    static struct cpu c;
    struct image k = image_bzimage(0x2000);
    rig_init(&r, MIB(64));
    CHECK_EQ(rig_load(&r, image_file(&k, k.size)), STATUS_OK);
    static const u64 addresses[] = {0, 0x1000, MIB(16), GIB(1) + 5, GIB(4) - 1};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
        CHECK_EQ(walk(&r, addresses[i]), addresses[i]);
    CHECK_EQ(walk(&r, GIB(4)), UINT64_MAX);

    enter(&r, &c);
    CHECK_EQ(c.rip, r.state.entry);
    CHECK_EQ(c.gpr[RSI].q, r.state.info);
    CHECK_EQ(c.seg[SEG_CS].sel, 0x10);
    CHECK_EQ(c.seg[SEG_DS].sel, 0x18);
    CHECK_EQ(c.seg[SEG_SS].sel, 0x18);
    CHECK_EQ(c.cr3, r.state.cr3);
    CHECK_EQ(c.code_size, 8);
    CHECK(c.cr0 & CR0_PG && c.cr4 & CR4_PAE && c.efer & EFER_LMA);
    CHECK_EQ(cpu_rflags(&c) & RFLAGS_IF, 0);
    /* What the table says is what the registers hold: an OS may reload the selectors. */
    CHECK_EQ(rig_ld(&r, c.gdt.base + 0x10, 8), 0x00af9b000000ffff);
    CHECK_EQ(rig_ld(&r, c.gdt.base + 0x18, 8), 0x00cf93000000ffff);
    CHECK_EQ(c.gdt.limit, 31);
    mem_destroy(&r.mem);
    image_free(&k);
}

/* A kernel that has no 64-bit entry is entered as the 32-bit protocol wants: flat, paging off, EBP EDI EBX 0. */
static void test_linux_entry_32(void)
{
    struct rig r;
    static struct cpu c;
    struct image k = image_bzimage(0x2000);
    st16(k.bytes + 0x236, 0);
    rig_init(&r, MIB(64));
    CHECK_EQ(rig_load(&r, image_file(&k, k.size)), STATUS_OK);
    enter(&r, &c);
    CHECK_EQ(c.rip, MIB(16));
    CHECK_EQ(c.gpr[RSI].q, r.state.info);
    CHECK_EQ(c.gpr[RBP].q | c.gpr[RDI].q | c.gpr[RBX].q, 0);
    CHECK_EQ(c.code_size, 4);
    CHECK_EQ(c.seg[SEG_CS].sel, 0x10);
    CHECK_EQ(c.seg[SEG_SS].sel, 0x18);
    CHECK(c.cr0 & CR0_PE && !(c.cr0 & CR0_PG) && !c.efer);
    CHECK_EQ(cpu_rflags(&c) & RFLAGS_IF, 0);
    CHECK_EQ(rig_ld(&r, c.gdt.base + 0x10, 8), 0x00cf9b000000ffff);
    mem_destroy(&r.mem);
    image_free(&k);
}

static void test_pvh(bool is64)
{
    struct rig r;
    static struct cpu c;
    char text[128];
    struct image k = image_elf(is64, is64 ? 0xffffffff81000000 : 0xc1000000, MIB(16)),
                 initrd = image_new(100);
    image_add_pvh(&k, is64, MIB(16) + 0x40);
    rig_init(&r, MIB(64));
    r.cfg.append = "a b";
    r.cfg.initrd = image_file(&initrd, initrd.size);
    CHECK(mem_fill(&r.mem, MIB(16), 0xee, 0x2000)); /* what a reset left there */
    CHECK_EQ(rig_load(&r, image_file(&k, k.size)), STATUS_OK);
    CHECK_STR(r.e.text, "");
    CHECK_EQ(r.state.kind, BOOT_PVH);
    CHECK_EQ(r.state.entry, MIB(16) + 0x40);
    CHECK_EQ(rig_ld(&r, MIB(16) + 0x1ff, 1), 0xf4);
    CHECK_EQ(rig_ld(&r, MIB(16) + 0x200, 1), 0);
    CHECK_EQ(rig_ld(&r, MIB(16) + 0xfff, 1), 0);
    CHECK_EQ(rig_ld(&r, MIB(18), 1), 0xda);

    u64 info = r.state.info;
    CHECK_EQ(rig_ld(&r, info, 4), 0x336ec578);
    CHECK_EQ(rig_ld(&r, info + 4, 4), 1);
    CHECK_EQ(rig_ld(&r, info + 12, 4), 1);
    u64 module = rig_ld(&r, info + 16, 8);
    CHECK_EQ(rig_ld(&r, module + 8, 8), 100);
    CHECK_STR(rig_text(&r, rig_ld(&r, info + 24, 8), text), "a b");
    CHECK_EQ(rig_ld(&r, rig_ld(&r, info + 32, 8), 8), 0x2052545020445352);
    u64 map = rig_ld(&r, info + 40, 8);
    CHECK_EQ(rig_ld(&r, map + 8, 8), 0x9fc00);
    CHECK_EQ(rig_ld(&r, map + 16, 4), 1);
    CHECK(rig_ld(&r, info + 48, 4) >= 4);

    enter(&r, &c);
    CHECK_EQ(c.gpr[RBX].q, info);
    CHECK_EQ(c.rip, MIB(16) + 0x40);
    CHECK_EQ(c.cr0 & (CR0_PE | CR0_PG), CR0_PE);
    CHECK_EQ(c.cr4, 0);
    CHECK_EQ(c.code_size, 4);
    CHECK_EQ(c.seg[SEG_TR].limit, 0x67);
    mem_destroy(&r.mem);
    image_free(&k);
    image_free(&initrd);
}

static void test_multiboot_elf(bool is64)
{
    struct rig r;
    static struct cpu c;
    char text[128], list[128];
    struct image k = image_elf(is64, is64 ? 0xffffffff80100000 : 0xc0100000, MIB(1)), a = image_new(4097),
                 b = image_new(1);
    image_add_multiboot(&k, 0x500, 3);
    a.bytes[4096] = 0x33;
    rig_init(&r, MIB(64));
    r.cfg.append = "one two";
    snprintf(list, sizeof list, "%s x=1,,2 y,%s", image_file(&a, a.size), image_file(&b, b.size));
    r.cfg.initrd = list;
    CHECK_EQ(rig_load(&r, image_file(&k, k.size)), STATUS_OK);
    CHECK_STR(r.e.text, "");
    CHECK_EQ(r.state.kind, BOOT_MULTIBOOT);
    CHECK_EQ(r.state.entry, MIB(1) + 0x10); /* the header's is a virtual address */
    CHECK_EQ(rig_ld(&r, MIB(1), 1), 0xf4);

    u64 info = r.state.info;
    CHECK_EQ(rig_ld(&r, info, 4), 0x24d); /* memory, command line, modules, memory map, loader's name */
    CHECK_EQ(rig_ld(&r, info + 4, 4), 639);
    CHECK_EQ(rig_ld(&r, info + 8, 4), 63 * 1024);
    char want[128];
    snprintf(want, sizeof want, "%s one two", k.path);
    CHECK_STR(rig_text(&r, rig_ld(&r, info + 16, 4), text), want);
    CHECK_EQ(rig_ld(&r, info + 20, 4), 2);
    u64 mods = rig_ld(&r, info + 24, 4), start = rig_ld(&r, mods, 4);
    CHECK_EQ(rig_ld(&r, mods + 4, 4) - start, 4097);
    CHECK_EQ(start & (PAGE_SIZE - 1), 0);
    CHECK_EQ(rig_ld(&r, start + 4096, 1), 0x33);
    snprintf(want, sizeof want, "%s x=1,2 y", a.path);
    CHECK_STR(rig_text(&r, rig_ld(&r, mods + 8, 4), text), want);
    CHECK_EQ(rig_ld(&r, mods + 16 + 4, 4) - rig_ld(&r, mods + 16, 4), 1);
    CHECK_STR(rig_text(&r, rig_ld(&r, mods + 16 + 8, 4), text), b.path);
    u64 map = rig_ld(&r, info + 48, 4);
    CHECK_EQ(rig_ld(&r, map, 4), 20);
    CHECK_EQ(rig_ld(&r, map + 12, 8), 0x9fc00);
    CHECK_EQ(rig_ld(&r, info + 44, 4) % 24, 0);
    CHECK_STR(rig_text(&r, rig_ld(&r, info + 64, 4), text), "trine");

    enter(&r, &c);
    CHECK_EQ(c.gpr[RAX].q, 0x2badb002);
    CHECK_EQ(c.gpr[RBX].q, info);
    CHECK_EQ(c.code_size, 4);
    mem_destroy(&r.mem);
    image_free(&k);
    image_free(&a);
    image_free(&b);
}

/* The header stands 0x20 bytes into what is loaded; the bss behind it is zeroed. */
static void test_multiboot_flat(void)
{
    struct rig r;
    struct image k = image_new(0x1000);
    memset(k.bytes, 0x90, k.size);
    image_add_multiboot(&k, 0x120, 1u << 16);
    st32(k.bytes + 0x12c, MIB(2) + 0x20);  /* header_addr */
    st32(k.bytes + 0x130, MIB(2));         /* load_addr */
    st32(k.bytes + 0x134, MIB(2) + 0x800); /* load_end_addr */
    st32(k.bytes + 0x138, MIB(2) + 0xa00); /* bss_end_addr */
    st32(k.bytes + 0x13c, MIB(2) + 0x40);
    rig_init(&r, MIB(16));
    CHECK(mem_fill(&r.mem, MIB(2), 0xee, 0x1000));
    CHECK_EQ(rig_load(&r, image_file(&k, k.size)), STATUS_OK);
    CHECK_STR(r.e.text, "");
    CHECK_EQ(r.state.entry, MIB(2) + 0x40);
    CHECK_EQ(rig_ld(&r, MIB(2) + 0x20, 4), 0x1badb002);
    CHECK_EQ(rig_ld(&r, MIB(2) + 0x7ff, 2), 0x0090);
    CHECK_EQ(rig_ld(&r, MIB(2) + 0x9ff, 2), 0xee00);
    st32(k.bytes + 0x134, 0); /* load_end_addr 0: the whole file */
    st32(k.bytes + 0x138, 0);
    CHECK_EQ(rig_load(&r, image_file(&k, k.size)), STATUS_OK);
    CHECK_EQ(rig_ld(&r, MIB(2) + 0xeff, 2), 0xee90);
    mem_destroy(&r.mem);
    image_free(&k);
}

/* Loads the first SIZE bytes of K into MEMORY; the error must contain WHY. */
static void refused(struct image *k, size_t size, u64 memory, const char *why, int line)
{
    struct rig r;
    rig_init(&r, memory);
    enum status s = rig_load(&r, image_file(k, size));
    if (s != STATUS_HOST || !strstr(r.e.text, why) || strncmp(r.e.text, k->path, strlen(k->path))) {
        fprintf(stderr, "%s:%d: status %d, \"%s\" has no \"%s\"\n", __FILE__, line, s, r.e.text, why);
        check_failures++;
    }
    mem_destroy(&r.mem);
}
#define REFUSED(k, size, memory, why) refused(&(k), (size), (memory), (why), __LINE__)

static void test_refused_bzimage(void)
{
    static const struct {
        u16 off;
        u8 size;
        u64 value;
        const char *why;
    } damage[] = {
        {0x206, 2, 0x0209, "needs a BIOS (boot protocol 2.09)"},
        {0x211, 1, 0, "needs a BIOS"},
        {0x201, 1, 0, "needs a BIOS"},
        {0x1f4, 4, 0xffffffff, "truncated bzImage"},
        {0x1f1, 1, 255, "truncated bzImage"},
        {0x1f4, 4, 1, "not a bzImage"},
        {0x258, 8, 0, "overlaps"},
        {0x258, 8, 0x9f000, "overlaps"},
        {0x258, 8, 0xfffffffffffff000, "the guest's memory below 4G ends at"},
        {0x258, 8, MIB(32) - 0x1000, "the guest's memory below 4G ends at"},
        {0x260, 4, 0xffffffff, "the guest's memory below 4G ends at"},
        {0x1fe, 2, 0, "not a bootable kernel"},
        {0x202, 4, 0, "not a bootable kernel"},
    };
    struct image k = image_bzimage(0x2000);
    for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
        u8 saved[8];
        memcpy(saved, k.bytes + damage[i].off, 8);
        st_n(k.bytes + damage[i].off, damage[i].value, damage[i].size);
        REFUSED(k, k.size, MIB(32), damage[i].why);
        memcpy(k.bytes + damage[i].off, saved, 8);
    }
    REFUSED(k, 0, MIB(32), "is empty");
    REFUSED(k, 0x300 - 1, MIB(32), "truncated bzImage");
    REFUSED(k, k.size - 16, MIB(32), "truncated bzImage");
    REFUSED(k, k.size, MIB(16), "the guest's memory below 4G ends at");
    REFUSED(k, 100, MIB(32), "not a bootable kernel");
    image_free(&k);
}

static void test_refused_elf(void)
{
    struct image k = image_elf(true, MIB(16), MIB(16));
    image_add_pvh(&k, true, MIB(16) + 0x40);
    static const struct {
        unsigned ph; /* program header, or 9: the ELF header */
        size_t off;
        u8 size;
        u64 value;
        const char *why;
    } damage[] = {
        {9, offsetof(Elf64_Ehdr, e_machine), 2, 40, "not for x86"},
        {9, EI_CLASS, 1, 7, "not for x86"},
        {9, EI_DATA, 1, ELFDATA2MSB, "not for x86"},
        {9, offsetof(Elf64_Ehdr, e_type), 2, ET_REL, "no executable"},
        {9, offsetof(Elf64_Ehdr, e_phnum), 2, 0, "without program headers"},
        {9, offsetof(Elf64_Ehdr, e_phnum), 2, 0xffff, "its program headers are missing"},
        {9, offsetof(Elf64_Ehdr, e_phentsize), 2, 8, "without program headers"},
        {9, offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX - 8, "its program headers are missing"},
        {0, offsetof(Elf64_Phdr, p_offset), 8, 0x1f00, "a segment is missing"},
        {0, offsetof(Elf64_Phdr, p_offset), 8, UINT64_MAX - 0x100, "a segment is missing"},
        {0, offsetof(Elf64_Phdr, p_memsz), 8, 0x100, "larger in the file than in memory"},
        {0, offsetof(Elf64_Phdr, p_memsz), 8, UINT64_MAX, "the guest's memory below 4G ends at"},
        {0, offsetof(Elf64_Phdr, p_memsz), 8, MIB(4), "overlaps"},
        {0, offsetof(Elf64_Phdr, p_paddr), 8, UINT64_MAX - 0xfff, "the guest's memory below 4G ends at"},
        {0, offsetof(Elf64_Phdr, p_paddr), 8, 0, "overlaps"},
        {0, offsetof(Elf64_Phdr, p_paddr), 8, 0xa0000, "overlaps"},
        {0, offsetof(Elf64_Phdr, p_paddr), 8, MIB(64) - 0xfff, "the guest's memory below 4G ends at"},
        {2, offsetof(Elf64_Phdr, p_type), 4, PT_NULL, "neither a PVH note nor a Multiboot header"},
        {2, offsetof(Elf64_Phdr, p_filesz), 8, 19, "neither a PVH note nor a Multiboot header"},
        {2, offsetof(Elf64_Phdr, p_filesz), 8, UINT64_MAX, "neither a PVH note nor a Multiboot header"},
        {2, offsetof(Elf64_Phdr, p_offset), 8, 0x1ff8, "truncated"},
    };
    for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
        u8 saved[8],
            *at = damage[i].ph == 9 ? k.bytes + damage[i].off : image_phdr(&k, damage[i].ph, damage[i].off);
        memcpy(saved, at, 8);
        st_n(at, damage[i].value, damage[i].size);
        REFUSED(k, k.size, MIB(64), damage[i].why);
        memcpy(at, saved, 8);
    }
    static const struct {
        size_t off;
        u32 value;
    } notes[] = {{0, 0xffffffff}, {4, 0xffffffff}, {4, 5}, {8, 17}, {12, 0}};
    for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
        u8 *at = k.bytes + ELF_DATA + 0x400 + notes[i].off;
        u32 saved = ld32(at);
        st32(at, notes[i].value);
        REFUSED(k, k.size, MIB(64), "neither a PVH note nor a Multiboot header");
        st32(at, saved);
    }
    st32(k.bytes + ELF_DATA + 0x410, 0xfffff000);
    REFUSED(k, k.size, MIB(64), "outside memory");
    st32(k.bytes + ELF_DATA + 0x410, MIB(16));
    REFUSED(k, sizeof(Elf64_Ehdr) - 1, MIB(64), "truncated");
    REFUSED(k, k.size, MIB(16), "the guest's memory below 4G ends at");
    image_free(&k);
}

static void test_refused_multiboot(void)
{
    struct image k = image_new(0x1000);
    image_add_multiboot(&k, 0, 0);
    REFUSED(k, k.size, MIB(16), "neither ELF nor tells its addresses");
    image_add_multiboot(&k, 0, 1u << 16 | 8);
    REFUSED(k, k.size, MIB(16), "features that are not built in");
    image_add_multiboot(&k, 0, 1u << 16);
    static const struct {
        u32 header, load, load_end, bss_end, entry;
        const char *why;
    } bad[] = {
        {MIB(1), MIB(2), 0, 0, MIB(1), "wrong addresses"},
        {MIB(2), MIB(1), 0, 0, MIB(1), "wrong addresses"}, /* would start before the file */
        {MIB(1), MIB(1), MIB(1) - 1, 0, MIB(1), "truncated"},
        {MIB(1), MIB(1), MIB(1) + 0x1001, 0, MIB(1), "truncated"},
        {MIB(1), MIB(1), 0, MIB(17), MIB(1), "the guest's memory below 4G ends at"},
        {MIB(16), MIB(16), 0, 0, MIB(16), "the guest's memory below 4G ends at"},
        {0xa0000, 0xa0000, 0, 0, 0xa0000, "overlaps"},
        {MIB(1), MIB(1), 0, 0, 0xa0000, "outside memory"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        st32(k.bytes + 12, bad[i].header);
        st32(k.bytes + 16, bad[i].load);
        st32(k.bytes + 20, bad[i].load_end);
        st32(k.bytes + 24, bad[i].bss_end);
        st32(k.bytes + 28, bad[i].entry);
        REFUSED(k, k.size, MIB(16), bad[i].why);
    }
    image_add_multiboot(&k, 0, 2);
    image_add_multiboot(&k, 8192 - 12 < k.size ? 0 : 0xff4, 1u << 16);
    REFUSED(k, 13, MIB(16), "neither ELF");
    image_free(&k);
}

static void test_refused_modules(void)
{
    struct rig r;
    struct image k = image_bzimage(0x2000), m = image_new(MIB(20));
    char *text = malloc(4096);
    rig_init(&r, MIB(32));
    r.cfg.initrd =
        image_file(&m, m.size); /* 32 MiB, of which the kernel has 16..20: no 20 MiB in one piece */
    CHECK_EQ(rig_load(&r, image_file(&k, k.size)), STATUS_HOST);
    CHECK(strstr(r.e.text, "no room"));
    CHECK(!strncmp(r.e.text, m.path, strlen(m.path)));
    r.cfg.initrd = image_file(&m, 0);
    CHECK_EQ(rig_load(&r, k.path), STATUS_HOST);
    CHECK(strstr(r.e.text, "is empty"));
    r.cfg.initrd = "/nonexistent/initrd";
    CHECK_EQ(rig_load(&r, k.path), STATUS_HOST);
    CHECK_STR(r.e.text, "/nonexistent/initrd: No such file or directory");
    r.cfg.initrd = "/";
    CHECK_EQ(rig_load(&r, k.path), STATUS_HOST);
    CHECK_STR(r.e.text, "/: is a directory");
    r.cfg.initrd = NULL;
    memset(text, 'x', 2048);
    text[2048] = 0;
    r.cfg.append = text;
    CHECK_EQ(rig_load(&r, k.path), STATUS_HOST);
    CHECK(strstr(r.e.text, "--append: has 2048 bytes"));
    text[2047] = 0;
    CHECK_EQ(rig_load(&r, k.path), STATUS_OK);
    r.cfg.append = NULL;
    CHECK_EQ(rig_load(&r, "/dev/zero"), STATUS_HOST);
    CHECK_STR(r.e.text, "/dev/zero: larger than the guest's memory");
    CHECK_EQ(rig_load(&r, "/dev/null"), STATUS_HOST);
    CHECK_STR(r.e.text, "/dev/null: is empty");
    mem_destroy(&r.mem);
    image_free(&k);
    image_free(&m);
    free(text);
}

/* A kernel out of a pipe, and memory on both sides of the hole below 4 GiB. */
static void test_pipe_and_high_memory(void)
{
    struct rig r;
    struct image k = image_bzimage(0x2000);
    int p[2];
    char path[32];
    CHECK(pipe(p) == 0);
    CHECK(write(p[1], k.bytes, k.size) == (ssize_t)k.size);
    close(p[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
    rig_init(&r, GIB(64));
    CHECK_EQ(rig_load(&r, path), STATUS_OK);
    CHECK_STR(r.e.text, "");
    u64 zero = r.state.info, n = rig_ld(&r, zero + 0x1e8, 1), last = zero + 0x2d0 + 20 * (n - 1);
    CHECK_EQ(rig_ld(&r, last, 8), GIB(4));
    CHECK_EQ(rig_ld(&r, last + 8, 8), GIB(61));
    CHECK(mem_resident(&r.mem) < MIB(1));
    close(p[0]);
    mem_destroy(&r.mem);
    image_free(&k);
}

int main(void)
{
    test_bzimage();
    test_linux_entry();
    test_linux_entry_32();
    test_pvh(false);
    test_pvh(true);
    test_multiboot_elf(false);
    test_multiboot_elf(true);
    test_multiboot_flat();
    test_refused_bzimage();
    test_refused_elf();
    test_refused_multiboot();
    test_refused_modules();
    test_pipe_and_high_memory();
    return check_done();
}
