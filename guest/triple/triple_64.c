/* The long mode part of `triple`. */
#include "guest.h"

TEST(long_mode)
{
    struct table none = {0, 0};
    __asm__ volatile("lidt %0; ud2" : : "m"(none));
}
