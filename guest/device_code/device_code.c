/* Code in a device's registers, which change without a write that anybody could watch: the HPET's comparators keep eight bytes as they are. Whether a device answers
 * fetches, byte by byte, is its own affair: Trine's HPET does, QEMU's does not, and KVM does not execute from there. */
#include "paging.h"

#define HPET            0xfed00000u
#define COMPARATOR(n)   (0x108u + 0x20u * (n))
#define HPET_PAGE       WINDOW_PAGE(1)
#define HPET_DWORD(off) (*(volatile uint32_t *)(HPET_PAGE + (off)))

/* The HPET as the window's second page, behind frame 0. */
static void hpet_map(void)
{
    paging_on(PAGES_NATIVE, PTE_U);
    entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
    entry_set(1, 1, HPET | PTE_P | PTE_W);
    flush();
}

static void code_to_comparator(unsigned n, uint32_t low, uint32_t high)
{
    HPET_DWORD(COMPARATOR(n)) = low;
    HPET_DWORD(COMPARATOR(n) + 4) = high;
}

TEST(device_registers)
{
    struct context c;
    const struct snip *s = SNIP("nop");
    hpet_map();
    for (uint32_t n = 1; n <= 20; n++) { /* mov $N, %ecx; int $0x30; nop */
        code_to_comparator(1, 0xb9 | n * 0x010203 << 8, (n * 0x010203 >> 24) | 0x9030cd00);
        context_set(&c, s);
        c.ip = HPET_PAGE + COMPARATOR(1);
        context_run(&c);
        CHECK_EXIT("code in a comparator", &c, EXIT, NO_ERROR, HPET_PAGE + COMPARATOR(1) + 7);
        CHECK_EQUAL("its immediate", n * 0x010203, c.cx);
    }
    for (uint32_t n = 1; n <= 20; n++) { /* mov %edi, (SI); mov $0x11, %cl; int $0x30; nop: it rewrites its own last six bytes */
        code_to_comparator(1, 0x11b13e89, 0x909030cd);
        context_set(&c, s);
        c.ip = HPET_PAGE + COMPARATOR(1);
        c.si = c.ip;
        c.di = 0xb13e89 | n << 24;
        context_run(&c);
        CHECK_EXIT("code in a comparator that it writes", &c, EXIT, NO_ERROR, HPET_PAGE + COMPARATOR(1) + 6);
        CHECK_EQUAL("the new immediate", n, c.cx);
    }
    paging_off();
}

/* RAM's code calls a comparator's function in a loop and patches it before each call; a comparator's code jumps back into RAM. */
TEST(device_and_ram)
{
    struct context c;
    const struct snip *s = SNIP("1: mov %ecx, %esi; shl $8, %esi; or $0xb8, %esi; mov %esi, (" BX "); call *" BX "; add %eax, %edx; dec %ecx; jnz 1b");
    hpet_map();
    frame_code(0, s);
    for (uint32_t n = 1; n <= 2; n++) {
        code_to_comparator(2, 0xb8, 0x9090c300); /* mov $0, %eax; ret */
        context_set(&c, s);
        c.ip = WINDOW_PAGE(0);
        c.bx = HPET_PAGE + COMPARATOR(2);
        c.cx = 100 * n;
        context_run(&c);
        CHECK_EXIT("a function in a comparator", &c, EXIT, NO_ERROR, WINDOW_PAGE(0) + (s->end + 2 - s->start));
        CHECK_EQUAL("what it returned, in all", 100 * n * (100 * n + 1) / 2, c.dx);
    }
    paging_off();
}

/* An instruction that begins in RAM and ends in a device: MOV ECX, imm32 with the HPET's identification. Then the next page is RAM. */
TEST(device_crossing)
{
    struct context c;
    const struct snip *s = SNIP("nop");
    static const uint8_t tail[] = {0x11, 0x22, 0x33, 0x44, 0xcd, 0x30};
    hpet_map();
    uint32_t id = HPET_DWORD(0);
    frames[0][0xffe] = 0x90, frames[0][0xfff] = 0xb9;
    memory_copy(frames[1], tail, sizeof tail);
    for (unsigned n = 0; n < 20; n++) {
        bool ram = n / 3 & 1;
        entry_set(1, 1, (ram ? FRAME(1) : HPET) | PTE_P | PTE_W);
        flush_page(HPET_PAGE);
        context_set(&c, s);
        c.ip = WINDOW_PAGE(0) + 0xffe;
        c.flags |= FLAG_TF; /* one step at a time, or what the HPET's next registers say would be executed */
        context_run(&c);
        CHECK_EXIT("the NOP", &c, DB, NO_ERROR, WINDOW_PAGE(0) + 0xfff);
        context_run(&c);
        CHECK_EXIT("the MOV", &c, DB, NO_ERROR, HPET_PAGE + 4);
        CHECK_EQUAL("its immediate", ram ? 0x44332211u : id, c.cx);
    }
    paging_off();
}
