/* The kernel loaders on hostile files. Input: one byte of choices, then the file.
 *   bits 1..0: guest memory 1, 8, 24, 64 MiB | bit 2: the file is the initrd too, as a list of modules | bit
 * 3: a long command line */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/boot/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const u64 memory[] = {MIB(1), MIB(8), MIB(24), MIB(64)};
    char path[32], list[80], text[3000];
    struct mem m;
    struct boot_state s;
    struct error e;
    if (size < 1)
        return 0;
    int fd = memfd_create("kernel", 0);
    if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1) ||
        mem_init(&m, memory[data[0] & 3], &e) != STATUS_OK)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    snprintf(list, sizeof list, "%s a,%s", path, path);
    memset(text, 'x', sizeof text - 1);
    text[data[0] & 8 ? sizeof text - 1 : 20] = 0;
    const struct boot_config cfg = {
        .kernel = path, .initrd = data[0] & 4 ? list : NULL, .append = text, .platform = {.cpus = 1, .pci = true}};
    enum status r = boot_load(&m, &cfg, &s, &e);
    /* An error names something; a success starts in memory. */
    if (r == STATUS_OK ? !mem_is_ram(&m, s.entry, 1) || !mem_is_ram(&m, s.info, 1) : !strstr(e.text, ": "))
        abort();
    mem_destroy(&m);
    close(fd);
    return 0;
}
