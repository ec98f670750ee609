/* GDT, IDT, TSS and LDT of a world, in its own format. SDM 3A 3.4.5, 5.8.3, 6.11, 6.14, 7.2. */
#include "guest.h"

#ifdef __x86_64__
#define SLOTS        2u /* of a system descriptor or gate */
#define NATIVE_FLAGS (SEG_G | SEG_L)
static uint8_t df_stack[4 * KiB] ALIGNED(16); /* so that a lost stack is reported, not a triple fault */
#else
#define SLOTS        1u
#define NATIVE_FLAGS (SEG_G | SEG_B)
#endif

enum { DF_IST = WORLD == 64 ? 7 : 0 };
uint64_t gdt[SEL_LIMIT / 8] ALIGNED(16);
uint64_t ldt[64] ALIGNED(16);
struct tss tss ALIGNED(16);
static uint64_t idt[256 * SLOTS] ALIGNED(16);
extern const uint8_t stubs[256][16];

uint64_t *descriptor_at(unsigned selector)
{
    return (selector & TI ? ldt : gdt) + (selector >> 3);
}

void descriptor_raw(unsigned selector, uint64_t value)
{
    *descriptor_at(selector) = value;
}

void descriptor_set(unsigned selector, uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    descriptor_raw(selector, (uint64_t)(limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
                                 (uint64_t)(access & 0xff) << 40 | (uint64_t)(limit >> 16 & 0xf) << 48 |
                                 (uint64_t)(flags & 0xf) << 52 | (uint64_t)(base >> 24) << 56);
}

static void gate_write(uint64_t *slot, unsigned selector, word target, unsigned access, unsigned low)
{
    slot[0] = (uint64_t)(target & 0xffff) | (uint64_t)(selector & 0xffff) << 16 |
              (uint64_t)(low & 0xff) << 32 | (uint64_t)(access & 0xff) << 40 |
              (uint64_t)(target >> 16 & 0xffff) << 48;
#ifdef __x86_64__
    slot[1] = target >> 32;
#endif
}

void gate_set(unsigned selector, unsigned target_selector, word target, unsigned access, unsigned params)
{
    gate_write(descriptor_at(selector), target_selector, target, access, params);
}

void idt_set(unsigned vector, unsigned selector, word target, unsigned access, unsigned ist)
{
    gate_write(idt + vector * SLOTS, selector, target, access, ist);
}

void *idt_at(unsigned vector)
{
    return idt + vector * SLOTS;
}

void idt_reset(unsigned vector)
{
    unsigned dpl = vector == BP_ || vector == OF || vector == EXIT ? 3 : 0;
    idt_set(vector, SEL_CODE, ADDR(stubs[vector]), SEG_P | SEG_DPL(dpl) | SYS_INT, vector == DF ? DF_IST : 0);
}

void tss_set(unsigned selector, void *base, uint32_t limit, unsigned type)
{
    descriptor_set(selector, (uint32_t)ADDR(base), limit, SEG_P | type, 0);
#ifdef __x86_64__
    descriptor_raw(selector + 8, ADDR(base) >> 32);
#endif
}

void tables_load(void)
{
    struct table t = {sizeof(gdt) - 1, ADDR(gdt)};
    __asm__ volatile("lgdt %0" : : "m"(t) : "memory");
    t = (struct table){sizeof(idt) - 1, ADDR(idt)};
    __asm__ volatile("lidt %0" : : "m"(t) : "memory");
#ifdef __x86_64__
    __asm__ volatile("pushq %0\n pushq $1f\n lretq\n1:" : : "i"(SEL_CODE) : "memory");
#else
    __asm__ volatile("ljmp %0, $1f\n1:" : : "i"(SEL_CODE) : "memory");
#endif
    __asm__ volatile("mov %0, %%ss\n mov %0, %%ds\n mov %0, %%es\n mov %0, %%fs\n mov %0, %%gs"
                     :
                     : "r"((uint32_t)SEL_DATA)
                     : "memory");
    tss_set(SEL_TSS, &tss, 103, SYS_TSS);
    descriptor_set(SEL_LDT, (uint32_t)ADDR(ldt), sizeof(ldt) - 1, SEG_P | SYS_LDT, 0);
    __asm__ volatile("ltr %w0\n lldt %w1" : : "r"((uint32_t)SEL_TSS), "r"((uint32_t)SEL_LDT) : "memory");
}

void tables_init(void)
{
    const uint32_t all = 0xfffff;
    descriptor_set(SEL_CODE, 0, all, SEG_CODE | SEG_R, NATIVE_FLAGS);
    descriptor_set(SEL_DATA, 0, all, SEG_DATA | SEG_W, SEG_G | SEG_B);
    descriptor_set(SEL_USER_CODE32, 0, all, SEG_CODE | SEG_R | SEG_DPL(3), SEG_G | SEG_B);
    descriptor_set(SEL_USER_DATA, 0, all, SEG_DATA | SEG_W | SEG_DPL(3), SEG_G | SEG_B);
    descriptor_set(SEL_USER_CODE64, 0, all, SEG_CODE | SEG_R | SEG_DPL(3), SEG_G | SEG_L);
    descriptor_set(SEL_USER_DATA2, 0, all, SEG_DATA | SEG_W | SEG_DPL(3), SEG_G | SEG_B);
    descriptor_set(SEL_CODE32, 0, all, SEG_CODE | SEG_R, SEG_G | SEG_B);
    descriptor_set(SEL_CODE16, 0, 0xffff, SEG_CODE | SEG_R, 0);
    descriptor_set(SEL_DATA16, 0, 0xffff, SEG_DATA | SEG_W, 0);
    memory_set(&tss, 0, sizeof(tss));
    tss.iomap = sizeof(tss);
#ifndef __x86_64__
    tss.ss0 = SEL_DATA;
#else
    tss.ist[DF_IST - 1] = ADDR(df_stack) + sizeof(df_stack);
#endif
    for (unsigned v = 0; v < 256; v++)
        idt_reset(v);
    tables_load();
}
