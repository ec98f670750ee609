/* Page tables for tests: an identity map of the first 64 MiB by large pages, and a window of 4 KiB
 * pages that a test maps as it likes, by tables of its own at every level. SDM 3A chapter 4. */
#ifndef GUEST_PAGING_H
#define GUEST_PAGING_H

#include "guest.h"

enum { PAGES_32, PAGES_PAE, PAGES_4LEVEL };

#define PTE_P         1ull
#define PTE_W         2ull
#define PTE_U         4ull
#define PTE_PWT       8ull
#define PTE_PCD       0x10ull
#define PTE_A         0x20ull
#define PTE_D         0x40ull
#define PTE_PS        0x80ull
#define PTE_G         0x100ull
#define PTE_NX        (1ull << 63)
#define PTE_PAT_LARGE 0x1000ull
#define PTE_ALL       (PTE_P | PTE_W | PTE_U)

#ifdef __x86_64__
#define WINDOW       0x8000000000ul /* PML4[1], PDPT[0], PD[0] */
#define PAGES_NATIVE PAGES_4LEVEL
#else
#define WINDOW       0x40000000ul /* 32-bit: PD[256]; PAE: PDPT[1], PD[0] */
#define PAGES_NATIVE PAGES_PAE
#endif
#define ELSEWHERE    (2 * WINDOW) /* shares no table with the window */
#define WINDOW_PAGE(n) (WINDOW + (word)(n)*PAGE_SIZE)

/* Physical frames that tests may map; their identity addresses. */
enum { FRAMES = 16 };
extern uint8_t frames[FRAMES][PAGE_SIZE];
#define FRAME(n) ((u64)ADDR(frames[n]))

/* Builds the tables and turns paging on (world 64: changes CR3). `identity` is PTE_U or 0, ORed into the
 * identity map's leaves. The window's levels above the leaf are present, writable, user; its leaves
 * not present. EFER.NXE is set where CPUID has NX and the format allows it. */
void paging_on(unsigned format, u64 identity);
/* World 32: paging, PAE, PSE, PGE, NXE off. World 64: back to the boot map. */
void paging_off(void);
/* MOV to CR4 while they are on. In QEMU, which puts an accessed bit into PAE's PDPTEs, KVM would refuse it: there they are cleaned first. */
void paging_cr4(word v);
/* The entry of the window's page `n` at a level: 1 = PTE, 2 = PDE, 3 = PDPTE, 4 = PML4E. Levels above 1
 * serve page 0's region. A write does not flush anything. */
u64 entry_get(unsigned level, unsigned n);
void entry_set(unsigned level, unsigned n, u64 value);
/* CR3 of the tables, without PCID. */
word paging_root(void);
/* The highest level of the format: 2, 3 or 4. */
unsigned paging_levels(void);
void flush(void);
void flush_page(word va);
/* Maps frame `n` at ELSEWHERE as a user page with the snippet in it. */
void user_code_elsewhere(unsigned n, const struct snip *s);
/* Copies a snippet into frame `n`, to be run from there. */
void frame_code(unsigned n, const struct snip *s);

#endif
