/* Who has which part of low RAM while a kernel is loaded: the BIOS's areas, the kernel's segments, the
 * modules, the boot information. */
#ifndef MACHINE_BOOT_BOOT_SPACE_H
#define MACHINE_BOOT_BOOT_SPACE_H

#include "base/error.h"
#include "host/file.h"
#include "mem/mem.h"

#define BOOT_SPACE_MAX 512

struct boot_range {
    u64 base, len;
};

struct boot_space {
    struct mem *mem;
    size_t count;
    struct boot_range used[BOOT_SPACE_MAX]; /* in no order */
};

/* Everything below 4 GiB that is RAM is free, but for the interrupt vectors, the BIOS data areas and the
 * BIOS. */
void boot_space_init(struct boot_space *s, struct mem *m);
/* Claims [base, base + len) for WHAT of file F (`F: WHAT ...` in the error); refused when it is no RAM or
 * taken. LEN may be 0. */
enum status boot_space_claim(struct boot_space *s, const struct file *f, const char *what, u64 base, u64 len,
                             struct error *e);
/* Finds and claims LEN bytes below MAX, as low as possible from 4 KiB up, or as high as possible. ALIGN is a
 * power of two. */
bool boot_space_low(struct boot_space *s, u64 len, u64 align, u64 max, u64 *base) MUST_CHECK;
bool boot_space_high(struct boot_space *s, u64 len, u64 align, u64 max, u64 *base) MUST_CHECK;

/* Copies LEN bytes at OFF of F to GPA, which is claimed. */
enum status boot_copy(struct mem *m, const struct file *f, u64 off, u64 gpa, u64 len, struct error *e);

#endif
