/* Guest-physical memory: RAM in one memfd, mapped shared and without reserve, hva = base + gpa for ever
 * (DESIGN section 5); the port and MMIO buses; the one door for devices; per-frame flags. */
#ifndef MEM_MEM_H
#define MEM_MEM_H

#include <stdatomic.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "base/types.h"
#include "mem/bus.h"

/* Per-frame flags. */
enum {
    FRAME_DECODED = 1 << 0,    /* the interpreter keeps decoded instructions of it */
    FRAME_TRANSLATED = 1 << 3, /* the translator keeps translations of it */
    FRAME_CODE = FRAME_DECODED | FRAME_TRANSLATED, /* either: a write must tell the engine */
    FRAME_WTAG = 1 << 2,  /* a soft TLB may hold a write tag for it */
    FRAME_BALLOONED = 1 << 4, /* the guest's balloon driver has given it up */
    FRAME_DIRTY = 1 << 1, /* written since the dirty log was last read (when the log is on) */
};

#define MEM_LOW_END   0xc0000000ull /* RAM below 4 GiB ends here; the rest continues at 4 GiB */
#define MEM_HIGH_BASE 0x100000000ull
#define MEM_VGA_BASE  0xa0000ull
#define MEM_VGA_END   0xc0000ull
#define MEM_SHADOW_BASE  0xc0000ull /* up to 1 MiB: RAM, or the bus, as the host bridge's PAM registers say */
#define MEM_SHADOW_BLOCK 0x4000ull
#define MEM_SHADOW_ALL   0xffffffffu
#define MEM_FLASH_MAX    MIB(16)
#define MEM_VIDEO_MAX    MIB(64)
#define MEM_VIDEO_HOME   0xe0000000ull /* where display memory is before it shows anywhere */
/* Bits of a guest-physical address, as CPUID tells them. As many as QEMU offers: OVMF makes page tables for all of them, and with 46 they fill 256 MiB. */
#define MEM_PHYS_BITS 40
#define MEM_MAX_BYTES BIT(MEM_PHYS_BITS - 1)

/* Who sees the memory under the VGA window (SMRAM); set by the host bridge's SMRAM control register. Devices
 * never do: the door below does not lead there. */
enum {
    SMRAM_OPEN = 1 << 0, /* every access of a vCPU */
    SMRAM_CODE = 1 << 1, /* instruction fetches in system management mode */
    SMRAM_DATA = 1 << 2, /* data accesses in system management mode */
};

/* Pages that show a frame of another memfd, the pool of a group, or a page of a file (mem/foreign.h). */
struct mem_foreign {
    int fd;
    int page_fd;        /* the file, laid out as RAM is; -1: none */
    const u8 *page_map; /* all of it, readable */
    _Atomic u64 paged;  /* pages that show it */
    int pagemap;        /* /proc/self/pagemap; -1: it cannot be read */
    u32 *frame;        /* by gpa >> 12: FOREIGN_ bits and the frame's number + 1; 0: RAM's own. Behind them: how many of a block's are not 0. Null: there is no pool. Changed under the big lock */
    _Atomic u64 pages; /* that show one */
    u64 seams;         /* between mappings, and so about their number */
};

struct mem {
    u8 *base;              /* RAM at gpa is at base + gpa */
    int fd;                /* memfd */
    u64 size;              /* bytes of RAM that the user asked for */
    u64 low_size;          /* RAM is [0, 0xa0000), [0xc0000, low_size) ... */
    u64 high_size;         /* ... and [4 GiB, 4 GiB + high_size) */
    u64 span;              /* bytes of address space reserved at base */
    u8 *frame_flags;       /* index gpa >> 12, over span */
    u64 *code_marks;       /* likewise: which granules of the frame hold code, a bit each */
    u64 flash_base, flash_size; /* the firmware's chip below 4 GiB, read and executed like RAM; size 0: none */
    u64 flash_chip; /* its first bytes are a chip that takes commands; 0: none */
    _Atomic bool flash_answers; /* ... and reads of it are answers to them now, by the MMIO bus */
    u64 video_base, video_size; /* display memory below 4 GiB, and where it is; size 0: none */
    _Atomic bool video_shown;   /* the processors see it there, as RAM */
    _Atomic u32 shadow; /* 16 KiB blocks from MEM_SHADOW_BASE: bits 0..15 read as RAM, 16..31 take writes too */
    _Atomic u8 smram;      /* SMRAM_* */
    struct bus pio, mmio;
    _Atomic u64 a20; /* of every address that a processor puts out, these bits reach memory: all, or all but A20 */
    /* Called after bytes of a range with FRAME_CODE frames changed: by a vCPU's thread in its own write, or by any other
     * that holds the big lock. When it returns, no vCPU executes what was there before. */
    void (*code_write)(void *opaque, u64 gpa, u64 len);
    void *code_opaque;
    struct mem_foreign foreign;
};

enum status mem_init(struct mem *m, u64 size, struct error *e);
/* With FLASH bytes (whole pages, at most MEM_FLASH_MAX) that end at 4 GiB; its machine fills them. And VIDEO bytes of display memory (0, or a
 * power of two up to MEM_VIDEO_MAX). */
enum status mem_init_flash(struct mem *m, u64 size, u64 flash, u64 video, struct error *e);
/* What is read of the flash's chip: its contents, or ANSWERS by the bus. True: what the processors see has changed. */
bool mem_flash_answer(struct mem *m, bool answers) MUST_CHECK;
/* The display memory shows at BASE, a multiple of its size; where RAM or the flash stand, and at 0, it shows nowhere. Its contents move along.
 * True: what the processors see has changed. */
bool mem_video_show(struct mem *m, u64 base) MUST_CHECK;
void mem_video_clear(struct mem *m);
void mem_destroy(struct mem *m);

/* True when every byte of [gpa, gpa + len) reads as RAM does: the flash and write-protected shadow RAM count. */
bool mem_is_ram(const struct mem *m, u64 gpa, u64 len);
/* True when all of it is RAM that takes writes. */
bool mem_is_writable(const struct mem *m, u64 gpa, u64 len);

/* True when a chip that takes commands is at GPA: writes are the bus', also where reads are not. */
static inline bool mem_takes_commands(const struct mem *m, u64 gpa)
{
    return gpa - m->flash_base < m->flash_chip;
}

/* True when [gpa, gpa + len) lies in the memory under the VGA window. */
bool mem_is_smram(const struct mem *m, u64 gpa, u64 len);

/* The door for devices, loaders and the debugger: RAM only; false (and nothing done) when a byte of the range
 * is not RAM, or (writes) not writable. */
bool mem_read(const struct mem *m, u64 gpa, void *buf, u64 len) MUST_CHECK;
bool mem_write(struct mem *m, u64 gpa, const void *buf, u64 len) MUST_CHECK;
bool mem_fill(struct mem *m, u64 gpa, u8 byte, u64 len) MUST_CHECK;

/* For whoever writes to RAM through a host address of its own (scatter lists): to be called when the bytes of
 * [gpa, gpa + len), all RAM, are there. mem_write and mem_fill do it. */
void mem_written(struct mem *m, u64 gpa, u64 len);

/* Gives the host's frames behind [gpa, gpa + len) back: they read as zeros from now on, as if never touched. Whole pages of writable RAM
 * alone; else false, and nothing is done. What was decoded or translated of them is dropped as after any write. The big lock is held,
 * or no vCPU runs. */
bool mem_discard(struct mem *m, u64 gpa, u64 len) MUST_CHECK;
/* RAM by huge pages, where the host gives them to shared memory that asks (transparent_hugepage/shmem_enabled: advise). A page that is discarded leaves its huge page. */
void mem_huge(struct mem *m);
/* Takes the host's frames for all of RAM now. */
enum status mem_prealloc(struct mem *m, struct error *e);

/* Flags of the frame with GPA. FRAME_CODE changes only while no vCPU runs, or in the one that is alone. */
static inline u8 mem_frame_flags(const struct mem *m, u64 gpa)
{
    return __atomic_load_n(&m->frame_flags[gpa >> PAGE_SHIFT], __ATOMIC_RELAXED);
}
static inline void mem_frame_set(struct mem *m, u64 gpa, u8 flags)
{
    __atomic_fetch_or(&m->frame_flags[gpa >> PAGE_SHIFT], flags, __ATOMIC_SEQ_CST);
}
static inline void mem_frame_clear(struct mem *m, u64 gpa, u8 flags)
{
    __atomic_fetch_and(&m->frame_flags[gpa >> PAGE_SHIFT], (u8)~flags, __ATOMIC_SEQ_CST);
}

/* Beside FRAME_CODE, which says that a frame holds code: where. Every decoded or translated block has its granules marked when it is entered, and whoever
 * drops blocks says what is left (mem_code_keep), so that a write elsewhere in the frame concerns nobody. Marks are changed where FRAME_CODE is; other threads' may
 * be added at any time, but not while the vCPU is one of several that run at once. A mark too many costs time alone. */
#define CODE_GRANULE_SHIFT 6
/* The marks of [gpa, gpa + len), all in one frame. */
static inline u64 mem_granules(u64 gpa, u64 len)
{
    unsigned first = (unsigned)((gpa & ~PAGE_MASK) >> CODE_GRANULE_SHIFT), last = (unsigned)(((gpa & ~PAGE_MASK) + len - 1) >> CODE_GRANULE_SHIFT);
    return ~0ull >> (63 - (last - first)) << first;
}
static inline u64 mem_code_marks(const struct mem *m, u64 gpa)
{
    return __atomic_load_n(&m->code_marks[gpa >> PAGE_SHIFT], __ATOMIC_RELAXED);
}
static inline bool mem_code_marked(const struct mem *m, u64 gpa, u64 len)
{
    return mem_code_marks(m, gpa) & mem_granules(gpa, len);
}
static inline void mem_code_mark(struct mem *m, u64 gpa, u64 len)
{
    __atomic_fetch_or(&m->code_marks[gpa >> PAGE_SHIFT], mem_granules(gpa, len), __ATOMIC_SEQ_CST);
}
/* KEPT is all that is left of the frame with GPA; nothing: it is no code any more. */
static inline void mem_code_keep(struct mem *m, u64 gpa, u64 kept)
{
    __atomic_store_n(&m->code_marks[gpa >> PAGE_SHIFT], kept, __ATOMIC_SEQ_CST);
    if (!kept)
        mem_frame_clear(m, gpa, FRAME_CODE);
}

/* One access of a guest: aligned ones of 1, 2, 4 and 8 bytes are single accesses of the host too, which another vCPU
 * sees whole (SDM vol. 3, 9.1.1); memcpy promises no such thing and stores some lengths twice. */
INLINE void ram_get(void *buf, const u8 *p, unsigned len)
{
    switch (len) {
    case 1: memcpy(buf, p, 1); break;
    case 2: memcpy(buf, p, 2); break;
    case 4: memcpy(buf, p, 4); break;
    case 8: memcpy(buf, p, 8); break;
    default: memcpy(buf, p, len);
    }
}
INLINE void ram_put(u8 *p, const void *buf, unsigned len)
{
    switch (len) {
    case 1: memcpy(p, buf, 1); break;
    case 2: memcpy(p, buf, 2); break;
    case 4: memcpy(p, buf, 4); break;
    case 8: memcpy(p, buf, 8); break;
    default: memcpy(p, buf, len);
    }
}

/* The next bytes at or behind *at that may hold data, [*at, *end), in the memfd or (*foreign) in the pool: those are to be read at m->base. False: none.
 * Does not allocate. */
bool mem_data(const struct mem *m, u64 *at, u64 *end, bool *foreign) MUST_CHECK;
/* Host frames behind guest RAM, in bytes, without those of the pool. Does not allocate. */
u64 mem_resident(const struct mem *m);
/* xxh64-like digest of RAM contents in which holes and zero pages are alike (so that laziness does not show).
 */
u64 mem_digest(const struct mem *m, u64 seed);
/* Do A and B, of one size, hold the same? False: *gpa is the first page at or behind *gpa that differs. */
bool mem_compare(const struct mem *a, const struct mem *b, u64 *gpa);

#endif
