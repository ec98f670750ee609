/* The public names of what host/tty.c does for signal handlers. */
#include "host/tty.h"
#include "trine.h"

void trine_terminal_suspend(void)
{
    tty_suspend();
}

void trine_terminal_resume(void)
{
    tty_resume();
}
