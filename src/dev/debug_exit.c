/* isa-debug-exit: the guest ends the VM by writing to a port. */
#include "dev/debug_exit.h"

static u64 debug_exit_read(void *opaque, u64 off, unsigned size)
{
    (void)opaque, (void)off, (void)size;
    return 0;
}

static void debug_exit_write(void *opaque, u64 off, unsigned size, u64 value)
{
    const struct machine_lines *lines = opaque;
    (void)off, (void)size;
    if (lines->debug_exit)
        lines->debug_exit(lines->opaque, (u32)value);
}

const struct bus_ops debug_exit_bus = {
    .read = debug_exit_read, .write = debug_exit_write, .min_size = 1, .max_size = 4};
