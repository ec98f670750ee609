/* A snapshot file from a stranger, without its END record, which is added here with the right checksum:
 * restored into a small machine, which then runs for a moment. Anything but an error or a run is a finding.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/le.h"
#include "snap/snap.h"
#include "trine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void restore_and_run(const char *path)
{
    struct trine_config c;
    struct trine_error e;
    struct trine_result r;
    struct trine_vm *vm;
    trine_config_init(&c);
    c.memory = 4 << 20;
    c.serial = TRINE_SERIAL_NONE;
    c.time = TRINE_TIME_VIRTUAL;
    c.restore = path;
    c.quiet = true;
    c.max_time_s = 0.01;
    if (trine_create(&c, &vm, &e) != TRINE_OK)
        return;
    (void)!trine_run(vm, &r, &e);
    trine_destroy(vm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u8 tail[SNAP_TAIL] = {0};
    char path[64];
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    st32(tail, SNAP_END);
    st32(tail + 4, 8);
    st32(tail + 8, 8);
    st64(tail + SNAP_RECORD, snap_hash(snap_hash(SNAP_HASH_SEED, data, size), tail, SNAP_RECORD));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd >= 0 && write(fd, data, size) == (ssize_t)size &&
        write(fd, tail, sizeof tail) == (ssize_t)sizeof tail)
        restore_and_run(path);
    if (fd >= 0)
        close(fd);
    return 0;
}
