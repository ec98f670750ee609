/* A local APIC's registers as its page has them, for whoever keeps them while the guest runs. Read-only bits (delivery status, the version)
 * are not taken over. */
#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "irq/lapic.h"
#include "irq/lapic_registers.h"

static void put(u8 *image, unsigned reg, u32 v)
{
    st32(image + 16 * reg, v);
}

static u32 get(const u8 *image, unsigned reg)
{
    return ld32(image + 16 * reg);
}

static bool is_x2apic(const struct lapic *l)
{
    return l->apic_base & APIC_BASE_EXTD;
}

void lapic_image_get(const struct lapic *l, u8 image[LAPIC_IMAGE_BYTES])
{
    u32 remaining = lapic_timer_remaining(l);
    memset(image, 0, LAPIC_IMAGE_BYTES);
    put(image, APIC_ID, is_x2apic(l) ? l->index : l->id << 24);
    put(image, APIC_VERSION, APIC_VERSION_VALUE);
    put(image, APIC_TPR, l->tpr);
    put(image, APIC_PPR, lapic_ppr(l));
    put(image, APIC_LDR, l->ldr);
    put(image, APIC_DFR, l->dfr);
    put(image, APIC_SVR, l->svr);
    for (unsigned i = 0; i < 8; i++) {
        put(image, APIC_ISR + i, l->isr[i]);
        put(image, APIC_TMR + i, l->tmr[i]);
        put(image, APIC_IRR + i, l->irr[i]);
    }
    put(image, APIC_ESR, l->esr);
    put(image, APIC_ICR, l->icr_low);
    put(image, APIC_ICR2, l->icr_high);
    for (unsigned i = 0; i < LVT_COUNT; i++)
        put(image, APIC_LVT + i, l->lvt[i]);
    put(image, APIC_INIT_COUNT, remaining ? l->timer_init : 0);
    put(image, APIC_CURRENT_COUNT, remaining);
    put(image, APIC_DIVIDE, l->timer_dcr);
}

void lapic_image_put(struct lapic *l, const u8 image[LAPIC_IMAGE_BYTES])
{
    if (!is_x2apic(l))
        l->id = get(image, APIC_ID) >> 24;
    l->tpr = get(image, APIC_TPR) & 0xff;
    l->ldr = get(image, APIC_LDR);
    l->dfr = get(image, APIC_DFR);
    l->svr = get(image, APIC_SVR) & SVR_WRITABLE;
    for (unsigned i = 0; i < 8; i++) {
        l->isr[i] = get(image, APIC_ISR + i);
        l->tmr[i] = get(image, APIC_TMR + i);
        l->irr[i] = get(image, APIC_IRR + i);
    }
    l->esr = get(image, APIC_ESR);
    l->icr_low = get(image, APIC_ICR) & ICR_WRITABLE;
    l->icr_high = get(image, APIC_ICR2);
    for (unsigned i = 0; i < LVT_COUNT; i++) {
        bool is_lint = i == LVT_LINT0 || i == LVT_LINT1;
        l->lvt[i] = get(image, APIC_LVT + i) & (lapic_lvt_writable(i) | (is_lint ? LVT_REMOTE_IRR : 0));
    }
    l->timer_dcr = get(image, APIC_DIVIDE) & 0xb;
    lapic_timer_resume(l, get(image, APIC_INIT_COUNT), get(image, APIC_CURRENT_COUNT));
}
