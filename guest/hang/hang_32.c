/* Never ends: what a monitor's time limit and its interruption are tested with. Words choose how:
 * `jmp` (default: CLI, JMP to itself), `hlt` (CLI, HLT), `fault` (an exception whose handler returns to
 * it for ever), `rep` (REP LODSB through 4 GiB, again and again). */
#include "guest.h"

void guest_begin(void)
{
    print("hanging\n");
    if (option_given("hlt")) {
        for (;;)
            __asm__ volatile("cli; hlt");
    }
    if (option_given("fault")) {
        idt_set(UD, SEL_CODE, ADDR(SNIP("iretl")->start), SEG_P | SYS_INT, 0);
        __asm__ volatile("ud2");
    }
    if (option_given("rep")) {
        for (;;)
            __asm__ volatile("rep lodsb" : : "c"(-1), "S"(0x100000) : "eax", "memory");
    }
    __asm__ volatile("cli\n1: jmp 1b");
}
