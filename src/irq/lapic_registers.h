/* The local APIC's registers and their bits (SDM vol. 3, table 11-1), for the files that are one. */
#ifndef IRQ_LAPIC_REGISTERS_H
#define IRQ_LAPIC_REGISTERS_H

#include "irq/lapic.h"

/* Register numbers: offset in the page / 16 = x2APIC MSR - 0x800. */
enum {
    APIC_ID = 0x02,
    APIC_VERSION = 0x03,
    APIC_TPR = 0x08,
    APIC_APR = 0x09,
    APIC_PPR = 0x0a,
    APIC_EOI = 0x0b,
    APIC_RRD = 0x0c,
    APIC_LDR = 0x0d,
    APIC_DFR = 0x0e,
    APIC_SVR = 0x0f,
    APIC_ISR = 0x10,
    APIC_TMR = 0x18,
    APIC_IRR = 0x20,
    APIC_ESR = 0x28,
    APIC_ICR = 0x30,
    APIC_ICR2 = 0x31,
    APIC_LVT = 0x32,
    APIC_LVT_LAST = APIC_LVT + LVT_COUNT - 1,
    APIC_INIT_COUNT = 0x38,
    APIC_CURRENT_COUNT = 0x39,
    APIC_DIVIDE = 0x3e,
    APIC_SELF_IPI = 0x3f,
    X2APIC_MSR = 0x800,
    X2APIC_MSR_END = 0x900,

    APIC_VERSION_VALUE = 0x14 | (LVT_COUNT - 1) << 16,
    SVR_ENABLE = 0x100,
    SVR_WRITABLE = 0x3ff,
    LVT_STATUS = 0x1000,
    LVT_REMOTE_IRR = 0x4000,
    LVT_LEVEL = 0x8000,
    LVT_MASKED = 0x10000,
    ESR_SEND_ILLEGAL = 0x20,
    ESR_RECEIVE_ILLEGAL = 0x40,
    ESR_REGISTER = 0x80,
    ICR_LOGICAL = 0x800,
    ICR_BUSY = 0x1000,
    ICR_ASSERT = 0x4000,
    ICR_LEVEL = 0x8000,
    ICR_WRITABLE = 0xccfff & ~ICR_BUSY,
};

/* Bits of LVT entry N (enum lapic_lvt) that can be written. */
u32 lapic_lvt_writable(unsigned n);

#endif
