/* World 64: entered from world 32 in long mode, on the identity map of boot.S. */
#include "guest.h"

void world64_main(void);
extern const struct test tests64_begin[], tests64_end[];

void world64_main(void)
{
    tables_init();
    tests_run(tests64_begin, tests64_end);
}
