/* World 32: entered first, reads the Multiboot information, runs both worlds' tests, ends the
 * machine. Multiboot 0.6.96, section 3.3. */
#include "guest.h"

#define MULTIBOOT_MAGIC 0x2badb002u
enum { INFO_MEMORY = 1, INFO_CMDLINE = 4 };
struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
};

void world32_main(uint32_t magic, const struct multiboot_info *info);
extern const struct test tests32_begin[], tests32_end[], tests64_begin[], tests64_end[];

__attribute__((weak)) void guest_begin(void) {}

/* The first word is the image's file name, whose folders may have blanks: it ends with the first ".elf". */
static void name_join(char *cmdline)
{
    for (char *at = cmdline; at[0] && at[1] && at[2] && at[3]; at++) {
        if (memory_compare(at, ".elf", 4) == 0 && (at[4] == ' ' || !at[4])) {
            for (char *blank = cmdline; blank < at; blank++)
                *blank = *blank == ' ' ? '_' : *blank;
            return;
        }
    }
}

static void cmdline_read(const char *from)
{
    size_t n = 0;
    for (; from[n] && n < sizeof(shared.cmdline) - 1; n++)
        shared.cmdline[n] = from[n] == '\t' ? ' ' : from[n];
    shared.cmdline[n] = 0;
    name_join(shared.cmdline);
    shared.listing = option_given("list");
    shared.quirks = (option_given("qemu") ? QUIRK_QEMU : 0u) | (option_given("bochs") ? QUIRK_BOCHS : 0u);
    /* Any word but the runner's own selects a test; key=value words are options of the guest. */
    const char *at = shared.cmdline;
    while (*at && *at != ' ')
        at++;
    static const char *const own[] = {"list", "qemu", "bochs"};
    while (*at) {
        while (*at == ' ')
            at++;
        const char *start = at;
        bool option = false;
        for (; *at && *at != ' '; at++)
            option |= *at == '=';
        size_t length = (size_t)(at - start);
        for (unsigned i = 0; i < COUNT(own); i++) {
            size_t m = 0;
            while (own[i][m])
                m++;
            option |= m == length && memory_compare(own[i], start, length) == 0;
        }
        shared.selecting |= length && !option && *start != '-';
    }
}

void world32_main(uint32_t magic, const struct multiboot_info *info)
{
    console_init();
    if (magic != MULTIBOOT_MAGIC) {
        print("not ok multiboot: expected %x got %x\n", MULTIBOOT_MAGIC, magic);
        exit_with(STATUS_FAIL);
    }
    if (info->flags & INFO_MEMORY)
        shared.mem_upper_kib = info->mem_upper;
    if (info->flags & INFO_CMDLINE)
        cmdline_read((const char *)info->cmdline);
    tables_init();
    outb(0x21, 0xff); /* a BIOS leaves IRQ 0 unmasked, at vector 8 */
    outb(0xa1, 0xff);
    guest_begin();
    tests_run(tests32_begin, tests32_end);
    if (&tests64_begin[0] != &tests64_end[0]) {
        if (CPU_HAS_LM) {
            world64_enter();
            tables_load();
        } else if (!shared.listing) {
            print("# no long mode: world 64 not run\n");
        }
    }
    if (shared.listing)
        exit_with(STATUS_PASS);
    if (shared.known || shared.skipped)
        print("# %u skipped, %u known differences\n", shared.skipped, shared.known);
    if (shared.passed + shared.failed + shared.skipped == 0) {
        print("not ok selection: no test of that name\n");
        shared.failed = 1;
    }
    print("%u passed, %u failed\n", shared.passed, shared.failed);
    exit_with(shared.failed ? STATUS_FAIL : STATUS_PASS);
}
