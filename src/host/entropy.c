/* The host's randomness (getrandom(2)). */
#include "host/entropy.h"

#include <errno.h>
#include <sys/random.h>

u64 entropy_u64(void)
{
    /* Requests of up to 256 bytes are never cut short, and fail only by a signal before the kernel's pool was
     * first filled. */
    u64 v = 0;
    while (getrandom(&v, sizeof v, 0) < 0 && errno == EINTR)
        ;
    return v;
}
