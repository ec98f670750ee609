/* What the handler in SMM and the tests share: an area below 192 KiB, at the same place for both. */
#ifndef SMM_H
#define SMM_H

#define SMM_AREA    0x20000
#define SMM_MAP     0x200 /* from the area: copy of the saved state */
#define SMM_PATCHES 0x400
#define SMM_STACK   0x2f000
#define SMM_EXTRA   0x8800 /* from SMBASE: the test's own code */

#ifndef __ASSEMBLER__
#include "guest.h"

struct smm_patch {
    uint32_t offset, size; /* from SMBASE + 0xfe00; 1, 4 or 8 bytes */
    uint64_t value;
};

struct smm_area {
    uint32_t count;                                 /* entries so far */
    uint32_t patches, extra;                        /* how many; run the code at SMM_EXTRA */
    uint32_t esp, flags, cr0, cr4, dr7, efer, slot; /* at the last entry; `slot` is the extra code's */
    uint32_t cs, ds, es, fs, gs, ss;
};
#define AREA  ((volatile struct smm_area *)SMM_AREA)
#define MAP   ((volatile uint8_t *)(SMM_AREA + SMM_MAP))
#define PATCH ((volatile struct smm_patch *)(SMM_AREA + SMM_PATCHES))

/* The AMD64 save map (APM vol. 2, table 10-1), from 0xfe00. */
enum {
    MAP_ES = 0x00,
    MAP_CS = 0x10,
    MAP_SS = 0x20,
    MAP_DS = 0x30,
    MAP_FS = 0x40,
    MAP_GS = 0x50,
    MAP_GDTR = 0x60,
    MAP_LDTR = 0x70,
    MAP_IDTR = 0x80,
    MAP_TR = 0x90,
    MAP_HALT = 0xc9,
    MAP_EFER = 0xd0,
    MAP_REVISION = 0xfc,
    MAP_SMBASE = 0x100,
    MAP_CR4 = 0x148,
    MAP_CR3 = 0x150,
    MAP_CR0 = 0x158,
    MAP_DR7 = 0x160,
    MAP_DR6 = 0x168,
    MAP_RFLAGS = 0x170,
    MAP_RIP = 0x178,
    MAP_R15 = 0x180,
    MAP_RAX = 0x1f8,
};

extern const uint8_t smm_handler[], smm_handler_end[];
#endif

#endif
