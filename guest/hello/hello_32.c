/* Prints a line and ends: the smallest guest. */
#include "guest.h"

void guest_begin(void)
{
    print("hello from world %u, %u KiB of upper memory, command line \"%s\"\n", WORLD, shared.mem_upper_kib,
          shared.cmdline);
    exit_with(STATUS_PASS);
}
