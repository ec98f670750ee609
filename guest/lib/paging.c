#include "paging.h"

uint8_t frames[FRAMES][PAGE_SIZE] ALIGNED(4096);
static u64 top[512] ALIGNED(4096), pdpt[512] ALIGNED(4096), pd[512] ALIGNED(4096);
static u64 window_pdpt[512] ALIGNED(4096), window_pd[512] ALIGNED(4096), window_pt[512] ALIGNED(4096);
static u64 far_pdpt[512] ALIGNED(4096), far_pd[512] ALIGNED(4096), far_pt[512] ALIGNED(4096);
static unsigned format_on;
extern u64 map_pml4[512];

enum { IDENTITY_MIB = 64 };

static uint32_t *narrow(u64 *table)
{
    return (uint32_t *)(void *)table;
}

static void tables_build(unsigned format, u64 identity)
{
    memory_set(top, 0, sizeof(top));
    memory_set(pdpt, 0, sizeof(pdpt));
    memory_set(pd, 0, sizeof(pd));
    memory_set(window_pdpt, 0, sizeof(window_pdpt));
    memory_set(window_pd, 0, sizeof(window_pd));
    memory_set(window_pt, 0, sizeof(window_pt));
    u64 leaf = PTE_P | PTE_W | PTE_PS | identity;
    if (format == PAGES_32) {
        for (uint32_t i = 0; i < IDENTITY_MIB / 4; i++)
            narrow(top)[i] = i << 22 | (uint32_t)leaf;
        narrow(top)[256] = (uint32_t)ADDR(window_pt) | (uint32_t)PTE_ALL;
        return;
    }
    for (uint32_t i = 0; i < IDENTITY_MIB / 2; i++)
        pd[i] = i << 21 | leaf;
    u64 pointer = format == PAGES_PAE ? PTE_P : PTE_ALL;
    pdpt[0] = ADDR(pd) | pointer;
    window_pd[0] = ADDR(window_pt) | PTE_ALL;
    if (format == PAGES_PAE) {
        pdpt[1] = ADDR(window_pd) | pointer;
    } else {
        top[0] = ADDR(pdpt) | PTE_ALL;
        top[1] = ADDR(window_pdpt) | PTE_ALL;
        window_pdpt[0] = ADDR(window_pd) | PTE_ALL;
    }
}

word paging_root(void)
{
    return format_on == PAGES_PAE ? ADDR(pdpt) : ADDR(top);
}

unsigned paging_levels(void)
{
    return 2 + format_on;
}

void paging_on(unsigned format, u64 identity)
{
    format_on = format;
    tables_build(format, identity);
    if (format != PAGES_32 && CPU_HAS_NX)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
#ifdef __x86_64__
    write_cr3(paging_root());
#else
    write_cr4(format == PAGES_32 ? CR4_PSE : CR4_PAE);
    write_cr3(paging_root());
    write_cr0(read_cr0() | CR0_PG);
#endif
}

void paging_off(void)
{
#ifdef __x86_64__
    write_cr3(ADDR(map_pml4));
    write_cr4(CR4_PAE);
    write_cr0(read_cr0() & ~(word)CR0_WP);
#else
    write_cr0(read_cr0() & ~(CR0_PG | CR0_WP));
    write_cr4(0);
    write_cr3(0);
#endif
    if (CPU_HAS_NX)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_NXE);
}

void paging_cr4(word v)
{
#ifndef __x86_64__
    /* In one go, so that no walk comes between. */
    if (format_on == PAGES_PAE && quirky(QUIRK_QEMU)) {
        __asm__ volatile("andb $0xdf, (%1); andb $0xdf, 8(%1); andb $0xdf, 16(%1); andb $0xdf, 24(%1); mov %0, %%cr4"
                         :
                         : "r"(v), "r"(pdpt)
                         : "memory", "cc");
        return;
    }
#endif
    write_cr4(v);
}

/* PAE: level 3 is pdpt[1]. 32-bit: level 2 is top[256], entries of 4 bytes. */
static u64 *entry_at(unsigned level, unsigned n)
{
    switch (level) {
    case 1: return &window_pt[n];
    case 2: return &window_pd[n];
    case 3: return format_on == PAGES_PAE ? &pdpt[1] : &window_pdpt[0];
    default: return &top[1];
    }
}

u64 entry_get(unsigned level, unsigned n)
{
    if (format_on == PAGES_32)
        return level == 1 ? narrow(window_pt)[n] : narrow(top)[256 + n];
    return *(volatile u64 *)entry_at(level, n);
}

void entry_set(unsigned level, unsigned n, u64 value)
{
    if (format_on == PAGES_32)
        *(volatile uint32_t *)(level == 1 ? &narrow(window_pt)[n] : &narrow(top)[256 + n]) = (uint32_t)value;
    else
        *(volatile u64 *)entry_at(level, n) = value;
}

void flush(void)
{
    write_cr3(read_cr3());
}

void flush_page(word va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

void frame_code(unsigned n, const struct snip *s)
{
    memory_copy(frames[n], (const void *)s->start, s->end + 2 - s->start);
}

void user_code_elsewhere(unsigned n, const struct snip *s)
{
    u64 page = FRAME(n) | PTE_P | PTE_U | PTE_A, to_pt = ADDR(far_pt) | PTE_ALL;
    frame_code(n, s);
    if (format_on == PAGES_32) {
        narrow(far_pt)[0] = (uint32_t)page;
        narrow(top)[512] = (uint32_t)to_pt;
    } else {
        far_pt[0] = page;
        far_pd[0] = to_pt;
        far_pdpt[0] = ADDR(far_pd) | PTE_ALL;
        if (format_on == PAGES_PAE)
            pdpt[2] = ADDR(far_pd) | PTE_P;
        else
            top[2] = ADDR(far_pdpt) | PTE_ALL;
    }
    flush();
}
