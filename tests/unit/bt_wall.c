#include "bt_wall.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"

#define PATTERN 0xa5

static bool page_add(struct wall *w, u8 *p)
{
    if (w->n == WALL_PAGES)
        return false;
    memset(p, PATTERN, PAGE_SIZE);
    w->page[w->n++] = p;
    return true;
}

/* The arena's guard pages become canaries: a stray store is then seen, and does not end in the handler of
 * faults. */
static bool at_region(struct wall *w, const void *start, size_t bytes)
{
    u8 *p = (u8 *)(uintptr_t)start, *ends[2] = {p - PAGE_SIZE, p + align_up(bytes, PAGE_SIZE)};
    for (unsigned k = 0; k < 2; k++)
        if (mprotect(ends[k], PAGE_SIZE, PROT_READ | PROT_WRITE) < 0 || !page_add(w, ends[k]))
            return false;
    return true;
}

static void round_memory(struct wall *w, const void *start, size_t bytes)
{
    u8 *p = (u8 *)(uintptr_t)start, *ends[2] = {p - PAGE_SIZE, p + align_up(bytes, PAGE_SIZE)};
    for (unsigned k = 0; k < 2; k++)
        if (mmap(ends[k], PAGE_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == ends[k])
            page_add(w, ends[k]);
}

#define LOW_BYTES (WALL_LOW_END - WALL_LOW)

/* At AT, where nothing may be yet; or anywhere. */
static u8 *pattern_new(void *at)
{
    u8 *p = mmap(at, LOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED_NOREPLACE : 0), -1, 0);
    return p == MAP_FAILED || (at && p != at) ? NULL : memset(p, PATTERN, LOW_BYTES);
}

bool wall_low(struct wall *w, bool mapped)
{
    u8 *there = (u8 *)(uintptr_t)WALL_LOW;
    if ((w->low == there) == mapped)
        return true;
    void *to = mapped ? there : mmap(NULL, LOW_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (to == MAP_FAILED || mremap(w->low, LOW_BYTES, LOW_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
        return false;
    w->low = to;
    return true;
}

bool wall_build(struct wall *w, const struct bt *b)
{
    w->n = 0;
    w->low = pattern_new((void *)(uintptr_t)WALL_LOW), w->low_pattern = pattern_new(NULL);
    round_memory(w, b->cpu->wires.mem->base, b->cpu->wires.mem->size);
    return w->low && w->low_pattern && at_region(w, b->base, b->bytes) && at_region(w, b->write, BT_CODE_BYTES) &&
           at_region(w, b->blocks, BT_BLOCKS * sizeof *b->blocks) &&
           at_region(w, b->links, BT_LINKS * sizeof *b->links) &&
           at_region(w, b->sites, BT_SITES * sizeof *b->sites) &&
           at_region(w, b->maps, BT_MAPS * sizeof *b->maps) && at_region(w, b->origins, BT_ORIGINS);
}

unsigned wall_broken(struct wall *w)
{
    unsigned broken = 0;
    for (size_t at = 0; at < LOW_BYTES; at += PAGE_SIZE)
        if (memcmp(w->low + at, w->low_pattern, PAGE_SIZE)) {
            broken++;
            memset(w->low + at, PATTERN, PAGE_SIZE);
        }
    for (unsigned k = 0; k < w->n; k++)
        for (unsigned j = 0; j < PAGE_SIZE; j++)
            if (w->page[k][j] != PATTERN) {
                broken++;
                memset(w->page[k], PATTERN, PAGE_SIZE);
            }
    return broken;
}

#define PROGRAM_MAX 64
struct program {
    struct sock_filter op[PROGRAM_MAX];
    unsigned short n;
};

static void add(struct program *p, unsigned code, u32 k, u8 jt, u8 jf)
{
    if (p->n < PROGRAM_MAX)
        p->op[p->n++] = (struct sock_filter){(unsigned short)code, jt, jf, k};
}

static void load(struct program *p, size_t off)
{
    add(p, BPF_LD | BPF_W | BPF_ABS, (u32)off, 0, 0);
}

/* Ends the process if the instruction's address has HIGH as its upper half and LOW <= lower half <= LAST. */
static void no_calls_from(struct program *p, u32 high, u32 low, u32 last)
{
    size_t ip = offsetof(struct seccomp_data, instruction_pointer);
    load(p, ip + 4);
    add(p, BPF_JMP | BPF_JEQ | BPF_K, high, 0, 4);
    load(p, ip);
    add(p, BPF_JMP | BPF_JGE | BPF_K, low, 0, 2);
    add(p, BPF_JMP | BPF_JGT | BPF_K, last, 1, 0);
    add(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
}

bool wall_filter(const struct bt *b)
{
    static const u32 allowed[] = {SYS_rt_sigreturn, SYS_brk,   SYS_mmap,       SYS_munmap, SYS_mremap,
                                  SYS_madvise,      SYS_write, SYS_exit_group, SYS_futex,
                                  SYS_sigaltstack /* AddressSanitizer's */};
    struct program p = {.n = 0};
    u64 first = (u64)(uintptr_t)b->base,
        last = first + b->bytes + 15; /* the address is behind the instruction */
    load(&p, offsetof(struct seccomp_data, arch));
    add(&p, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    add(&p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    for (u64 high = first >> 32; high <= last >> 32; high++)
        no_calls_from(&p, (u32)high, high == first >> 32 ? (u32)first : 0,
                      high == last >> 32 ? (u32)last : UINT32_MAX);
    load(&p, offsetof(struct seccomp_data, nr));
    for (unsigned k = 0; k < sizeof allowed / sizeof *allowed; k++) {
        add(&p, BPF_JMP | BPF_JEQ | BPF_K, allowed[k], 0, 1);
        add(&p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    }
    add(&p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    struct sock_fprog f = {.len = p.n, .filter = p.op};
    return p.n < PROGRAM_MAX && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f) == 0;
}
