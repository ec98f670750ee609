/* Local APIC of the Pentium 4 and later (SDM vol. 3, chapter 11): xAPIC and x2APIC programming interfaces,
 * six LVT entries, version 0x14. The timer is in lapic_timer.c. Not modelled: the APR and the focus
 * processor, CMCI, suppression of EOI broadcasts (the version register does not offer it), relocation of the
 * APIC page onto RAM. An interrupt that TPR masks between INTR and INTA is taken back; it does not become the
 * spurious vector. */
#include "irq/lapic.h"

#include <string.h>

#include "base/bits.h"
#include "irq/lapic_registers.h"

static const u32 lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

u32 lapic_lvt_writable(unsigned n)
{
    return lvt_writable[n];
}

static bool is_enabled(const struct lapic *l)
{
    return l->apic_base & APIC_BASE_EN;
}

static bool is_x2apic(const struct lapic *l)
{
    return l->apic_base & APIC_BASE_EXTD;
}

static void signal_cpu(struct lapic *l, enum apic_signal s, u8 vector)
{
    const struct apic_wires *w = &l->bus->wires;
    if (w->signal)
        w->signal(w->opaque, l->index, s, vector);
}

static int highest_bit(const u32 set[8])
{
    for (int i = 7; i >= 0; i--)
        if (set[i])
            return 32 * i + 31 - __builtin_clz(set[i]);
    return -1;
}

static bool bit_test(const u32 set[8], u8 n)
{
    return set[n / 32] >> n % 32 & 1;
}

static void bit_assign(u32 set[8], u8 n, bool value)
{
    u32 bit = 1u << n % 32;
    set[n / 32] = value ? set[n / 32] | bit : set[n / 32] & ~bit;
}

u8 lapic_ppr(const struct lapic *l)
{
    int isrv = highest_bit(l->isr);
    u8 in_service = isrv < 0 ? 0 : (u8)isrv;
    return (l->tpr & 0xf0) >= (in_service & 0xf0u) ? (u8)l->tpr : in_service & 0xf0;
}

/* The vector in IRR that may be delivered now, or -1. */
static int deliverable(const struct lapic *l)
{
    int irrv = highest_bit(l->irr);
    return irrv >= 0 && (irrv & 0xf0) > (lapic_ppr(l) & 0xf0) ? irrv : -1;
}

/* The 8259's INT reaches the processor: directly while the APIC is off, through LINT0 in ExtINT mode, or by a
 * message. */
static bool extint_pending(const struct lapic *l)
{
    if (!is_enabled(l))
        return l->lint[0];
    u32 lvt = l->lvt[LVT_LINT0];
    return l->extint || (l->lint[0] && !(lvt & LVT_MASKED) && bits_get(lvt, 10, 8) == APIC_DM_EXTINT);
}

bool lapic_has_interrupt(const struct lapic *l)
{
    return (is_enabled(l) && deliverable(l) >= 0) || extint_pending(l);
}

static void update(struct lapic *l)
{
    if (!l->bus->keeper && lapic_has_interrupt(l))
        signal_cpu(l, APIC_SIGNAL_INTR, 0);
}

int lapic_ack(struct lapic *l)
{
    int v = is_enabled(l) ? deliverable(l) : -1;
    if (v >= 0) {
        bit_assign(l->irr, (u8)v, false);
        bit_assign(l->isr, (u8)v, true);
    } else if (extint_pending(l) && l->bus->inta) {
        l->extint = false;
        v = l->bus->inta(l->bus->router);
    }
    update(l);
    return v;
}

static void raise_error(struct lapic *l, u32 bits)
{
    if ((l->esr_pending & bits) == bits)
        return;
    l->esr_pending |= bits;
    lapic_lvt_deliver(l, LVT_ERROR);
}

/* Takes a fixed interrupt into IRR. */
static void accept(struct lapic *l, u8 vector, bool level)
{
    if (vector < 16) {
        raise_error(l, ESR_RECEIVE_ILLEGAL);
        return;
    }
    bit_assign(l->irr, vector, true);
    bit_assign(l->tmr, vector, level);
    update(l);
}

/* Broadcast ids and the two logical models: SDM vol. 3, 11.6.2.2 and 11.12.10.1. */
static bool matches_logical(const struct lapic *l, u32 dest)
{
    if (is_x2apic(l))
        return dest >> 16 == l->ldr >> 16 && dest & l->ldr & 0xffff;
    u32 ldr = l->ldr >> 24;
    if (dest > 0xff)
        return false;
    switch (l->dfr >> 28) {
    case 0xf: return dest & ldr;
    case 0x0: return (dest >> 4 == 0xf || dest >> 4 == ldr >> 4) && dest & ldr & 0xf;
    default: return false;
    }
}

bool lapic_matches(const struct lapic *l, const struct apic_message *m)
{
    if (!is_enabled(l))
        return false;
    bool ordinary = m->delivery == APIC_DM_FIXED || m->delivery == APIC_DM_LOWEST;
    if (ordinary && !(l->svr & SVR_ENABLE))
        return false;
    if (m->dest == (m->wide ? 0xffffffff : 0xff))
        return true;
    return m->logical ? matches_logical(l, m->dest) : m->dest == (is_x2apic(l) ? l->index : l->id);
}

/* The registers' state after INIT: as after power-up, but for the ids and IA32_APIC_BASE. */
static void init_registers(struct lapic *l)
{
    u64 base = l->apic_base;
    u32 id = l->id, ldr = l->ldr;
    timer_disarm(l->bus->clock, &l->timer);
    fields_reset(lapic_ops.fields, l);
    l->apic_base = base;
    l->id = id;
    if (is_x2apic(l))
        l->ldr = ldr;
}

void lapic_receive(struct lapic *l, const struct apic_message *m)
{
    switch (m->delivery) {
    case APIC_DM_FIXED:
    case APIC_DM_LOWEST: accept(l, m->vector, m->level); break;
    case APIC_DM_SMI: signal_cpu(l, APIC_SIGNAL_SMI, 0); break;
    case APIC_DM_NMI: signal_cpu(l, APIC_SIGNAL_NMI, 0); break;
    case APIC_DM_INIT:
        init_registers(l);
        signal_cpu(l, APIC_SIGNAL_INIT, 0);
        break;
    case APIC_DM_STARTUP: signal_cpu(l, APIC_SIGNAL_STARTUP, m->vector); break;
    case APIC_DM_EXTINT:
        l->extint = true;
        update(l);
        break;
    default: break;
    }
}

void lapic_lvt_deliver(struct lapic *l, enum lapic_lvt n)
{
    u32 lvt = l->lvt[n];
    bool is_lint = n == LVT_LINT0 || n == LVT_LINT1;
    u8 delivery = n == LVT_TIMER || n == LVT_ERROR ? APIC_DM_FIXED : (u8)bits_get(lvt, 10, 8);
    if (!is_enabled(l) || lvt & LVT_MASKED)
        return;
    struct apic_message m = {.delivery = delivery, .vector = (u8)lvt};
    switch (delivery) {
    case APIC_DM_FIXED:
        m.level = is_lint && lvt & LVT_LEVEL;
        if (m.level && lvt & LVT_REMOTE_IRR)
            return;
        if (m.level)
            l->lvt[n] |= LVT_REMOTE_IRR;
        break;
    case APIC_DM_SMI:
    case APIC_DM_NMI: break;
    case APIC_DM_INIT:
        if (!is_lint)
            return;
        break;
    default: return; /* ExtINT is a level that extint_pending looks at; the rest is reserved */
    }
    if (n == LVT_PERF)
        l->lvt[n] |= LVT_MASKED;
    lapic_receive(l, &m);
}

void lapic_local_event(struct lapic *l, enum lapic_lvt n)
{
    if (n == LVT_PERF || n == LVT_THERMAL)
        lapic_lvt_deliver(l, n);
}

void lapic_set_lint(struct lapic *l, unsigned pin, bool level)
{
    if (pin > 1 || l->lint[pin] == level)
        return;
    l->lint[pin] = level;
    if (l->bus->keeper) { /* it looks at LVT_LINT0 itself; nothing drives LINT1 */
        if (level && !pin)
            signal_cpu(l, APIC_SIGNAL_INTR, 0);
        return;
    }
    if (level && !is_enabled(l) && pin == 1)
        signal_cpu(l, APIC_SIGNAL_NMI, 0);
    else if (level)
        lapic_lvt_deliver(l, pin ? LVT_LINT1 : LVT_LINT0);
    update(l);
}

static void end_of_interrupt(struct lapic *l)
{
    int v = highest_bit(l->isr);
    if (v < 0)
        return;
    bit_assign(l->isr, (u8)v, false);
    if (bit_test(l->tmr, (u8)v)) {
        for (unsigned n = LVT_LINT0; n <= LVT_LINT1; n++) {
            if (!(l->lvt[n] & LVT_REMOTE_IRR) || (u8)l->lvt[n] != v)
                continue;
            l->lvt[n] &= ~(u32)LVT_REMOTE_IRR;
            if (l->lint[n - LVT_LINT0])
                lapic_lvt_deliver(l, (enum lapic_lvt)n);
        }
        if (l->bus->eoi)
            l->bus->eoi(l->bus->router, (u8)v);
    }
    update(l);
}

/* With a keeper, who sends has L's registers in hand, but not those of TO. */
static void receive_from(const struct lapic *l, struct lapic *to, const struct apic_message *m)
{
    if (l == to || !l->bus->keeper) {
        lapic_receive(to, m);
        return;
    }
    struct apic_message one = *m;
    one.wide = is_x2apic(to);
    one.dest = one.wide ? to->index : to->id;
    apic_bus_deliver(l->bus, &one);
}

static void send(struct lapic *l, u32 low, u32 dest)
{
    struct apic_message m = {
        .dest = dest,
        .wide = is_x2apic(l),
        .logical = low & ICR_LOGICAL,
        .delivery = (u8)bits_get(low, 10, 8),
        .vector = (u8)low,
    };
    /* INIT level de-assert only ever set arbitration ids; reserved modes send nothing. */
    if (m.delivery == 3 || m.delivery == APIC_DM_EXTINT ||
        (m.delivery == APIC_DM_INIT && low & ICR_LEVEL && !(low & ICR_ASSERT)))
        return;
    if (m.vector < 16 && (m.delivery == APIC_DM_FIXED || m.delivery == APIC_DM_LOWEST)) {
        raise_error(l, ESR_SEND_ILLEGAL);
        return;
    }
    struct apic_bus *b = l->bus;
    unsigned shorthand = (unsigned)bits_get(low, 19, 18);
    struct apic_message all = {.dest = 0xff, .delivery = m.delivery, .vector = m.vector};
    switch (shorthand) {
    case 0: apic_bus_deliver(b, &m); break;
    case 1:
        if (lapic_matches(l, &all))
            lapic_receive(l, &all);
        break;
    default:
        for (unsigned i = 0; i < b->count; i++)
            if ((shorthand == 2 || b->lapics[i] != l) && lapic_matches(b->lapics[i], &all))
                receive_from(l, b->lapics[i], &all);
    }
}

static void write_svr(struct lapic *l, u32 v)
{
    l->svr = v & SVR_WRITABLE;
    if (!(v & SVR_ENABLE))
        for (unsigned n = 0; n < LVT_COUNT; n++)
            l->lvt[n] |= LVT_MASKED;
    update(l);
}

static void write_lvt(struct lapic *l, enum lapic_lvt n, u32 v)
{
    v &= lvt_writable[n];
    if (!(l->svr & SVR_ENABLE))
        v |= LVT_MASKED;
    if (n == LVT_TIMER) {
        lapic_timer_write_lvt(l, v);
        return;
    }
    l->lvt[n] = v | (v & LVT_LEVEL ? l->lvt[n] & LVT_REMOTE_IRR : 0);
    bool is_lint = n == LVT_LINT0 || n == LVT_LINT1;
    if (is_lint && v & LVT_LEVEL && l->lint[n - LVT_LINT0])
        lapic_lvt_deliver(l, n);
    update(l);
}

/* Reads register REG; false: there is none. */
static bool reg_read(struct lapic *l, unsigned reg, u32 *v)
{
    switch (reg) {
    case APIC_ID: *v = is_x2apic(l) ? l->index : l->id << 24; break;
    case APIC_VERSION: *v = APIC_VERSION_VALUE; break;
    case APIC_TPR: *v = l->tpr; break;
    case APIC_APR:
    case APIC_RRD: *v = 0; break;
    case APIC_PPR: *v = lapic_ppr(l); break;
    case APIC_LDR: *v = l->ldr; break;
    case APIC_DFR: *v = l->dfr; break;
    case APIC_SVR: *v = l->svr; break;
    case APIC_ISR ... APIC_ISR + 7: *v = l->isr[reg - APIC_ISR]; break;
    case APIC_TMR ... APIC_TMR + 7: *v = l->tmr[reg - APIC_TMR]; break;
    case APIC_IRR ... APIC_IRR + 7: *v = l->irr[reg - APIC_IRR]; break;
    case APIC_ESR: *v = l->esr; break;
    case APIC_ICR: *v = l->icr_low; break;
    case APIC_ICR2: *v = l->icr_high; break;
    case APIC_LVT ... APIC_LVT_LAST: *v = l->lvt[reg - APIC_LVT]; break;
    case APIC_INIT_COUNT: *v = l->timer_init; break;
    case APIC_CURRENT_COUNT: *v = lapic_timer_count(l); break;
    case APIC_DIVIDE: *v = l->timer_dcr; break;
    default: return false;
    }
    return true;
}

/* Writes register REG; false: there is none. */
static bool reg_write(struct lapic *l, unsigned reg, u32 v)
{
    switch (reg) {
    case APIC_ID: l->id = v >> 24; break;
    case APIC_VERSION:
    case APIC_APR:
    case APIC_PPR:
    case APIC_RRD:
    case APIC_ISR ... APIC_ISR + 7:
    case APIC_TMR ... APIC_TMR + 7:
    case APIC_IRR ... APIC_IRR + 7:
    case APIC_CURRENT_COUNT: break; /* read-only */
    case APIC_TPR:
        l->tpr = v & 0xff;
        update(l);
        break;
    case APIC_EOI: end_of_interrupt(l); break;
    case APIC_LDR: l->ldr = v & 0xff000000; break;
    case APIC_DFR: l->dfr = v | 0x0fffffff; break;
    case APIC_SVR: write_svr(l, v); break;
    case APIC_ESR:
        l->esr = l->esr_pending;
        l->esr_pending = 0;
        break;
    case APIC_ICR:
        l->icr_low = v & ICR_WRITABLE;
        send(l, l->icr_low, is_x2apic(l) ? l->icr_high : l->icr_high >> 24);
        break;
    case APIC_ICR2: l->icr_high = is_x2apic(l) ? v : v & 0xff000000; break;
    case APIC_LVT ... APIC_LVT_LAST: write_lvt(l, (enum lapic_lvt)(reg - APIC_LVT), v); break;
    case APIC_INIT_COUNT: lapic_timer_write_init(l, v); break;
    case APIC_DIVIDE: lapic_timer_write_dcr(l, v & 0xb); break;
    default: return false;
    }
    return true;
}

u64 lapic_mmio_read(struct lapic *l, u32 off, unsigned size)
{
    u32 v = 0;
    if (off & 3 || size != 4)
        return 0;
    if (!(off & 0xc) && !reg_read(l, off >> 4 & 0xff, &v))
        raise_error(l, ESR_REGISTER);
    return v;
}

void lapic_mmio_write(struct lapic *l, u32 off, unsigned size, u64 value)
{
    if (off & 0xf || size != 4)
        return;
    if (!reg_write(l, off >> 4 & 0xff, (u32)value))
        raise_error(l, ESR_REGISTER);
}

/* Bits of an x2APIC register that a WRMSR may set; 0 and false: it cannot be written. */
static bool x2apic_writable(unsigned reg, u64 *mask)
{
    switch (reg) {
    case APIC_TPR: *mask = 0xff; return true;
    case APIC_EOI:
    case APIC_ESR: *mask = 0; return true;
    case APIC_SVR: *mask = SVR_WRITABLE; return true;
    case APIC_ICR: *mask = 0xffffffff00000000 | ICR_WRITABLE | ICR_BUSY; return true;
    case APIC_LVT ... APIC_LVT_LAST:
        *mask = lvt_writable[reg - APIC_LVT] | LVT_STATUS;
        if (reg - APIC_LVT == LVT_LINT0 || reg - APIC_LVT == LVT_LINT1)
            *mask |= LVT_REMOTE_IRR;
        return true;
    case APIC_INIT_COUNT: *mask = 0xffffffff; return true;
    case APIC_DIVIDE: *mask = 0xb; return true;
    case APIC_SELF_IPI: *mask = 0xff; return true;
    default: return false;
    }
}

static bool x2apic_write(struct lapic *l, unsigned reg, u64 v)
{
    u64 mask;
    if (!is_x2apic(l) || !x2apic_writable(reg, &mask) || v & ~mask)
        return false;
    if (reg == APIC_SELF_IPI) {
        send(l, (u32)v | 1 << 18, 0);
        return true;
    }
    if (reg == APIC_ICR)
        l->icr_high = (u32)(v >> 32);
    return reg_write(l, reg, (u32)v);
}

static bool x2apic_read(struct lapic *l, unsigned reg, u64 *v)
{
    u32 low;
    if (!is_x2apic(l) || reg == APIC_APR || reg == APIC_RRD || reg == APIC_DFR || reg == APIC_ICR2 ||
        !reg_read(l, reg, &low))
        return false;
    *v = reg == APIC_ICR ? (u64)l->icr_high << 32 | low : low;
    return true;
}

/* IA32_APIC_BASE: the legal ways between disabled, xAPIC and x2APIC mode (SDM vol. 3, figure 11-27). */
static bool write_base(struct lapic *l, u64 v)
{
    u64 modes = APIC_BASE_EN | APIC_BASE_EXTD;
    u64 old = l->apic_base & modes, new = v &modes;
    if (v & ~(bits_set(0, 45, 12, ~0ull) | modes | APIC_BASE_BSP) || new == APIC_BASE_EXTD ||
        (new &APIC_BASE_EXTD && !l->bus->x2apic) || (old == modes && new == APIC_BASE_EN) ||
        (!old && new == modes))
        return false;
    l->apic_base = (v & ~(u64)APIC_BASE_BSP) | (l->apic_base & APIC_BASE_BSP);
    if (old == new)
        return true;
    if (!new) {
        /* All state is lost; the initial id returns. */
        init_registers(l);
        l->id = l->index & 0xff;
        l->ldr = 0;
    } else if (new == modes) {
        l->ldr = (l->index >> 4) << 16 | 1u << (l->index & 15);
        l->icr_high = 0;
    }
    update(l);
    return true;
}

bool lapic_msr_read(struct lapic *l, u32 msr, u64 *value)
{
    if (msr == IA32_APIC_BASE)
        *value = l->apic_base;
    else if (msr == IA32_TSC_DEADLINE)
        *value = lapic_timer_deadline(l);
    else
        return msr >= X2APIC_MSR && msr < X2APIC_MSR_END && x2apic_read(l, msr - X2APIC_MSR, value);
    return true;
}

bool lapic_msr_write(struct lapic *l, u32 msr, u64 value)
{
    if (msr == IA32_APIC_BASE)
        return write_base(l, value);
    if (msr != IA32_TSC_DEADLINE)
        return msr >= X2APIC_MSR && msr < X2APIC_MSR_END && x2apic_write(l, msr - X2APIC_MSR, value);
    lapic_timer_write_deadline(l, value);
    return true;
}

int lapic_ack_extint(struct lapic *l)
{
    return l->lint[0] && l->bus->inta ? l->bus->inta(l->bus->router) : -1;
}

void lapic_resume(struct lapic *l)
{
    lapic_timer_arm(l);
    update(l);
}

u8 lapic_cr8_read(const struct lapic *l)
{
    return (u8)(l->tpr >> 4);
}

void lapic_cr8_write(struct lapic *l, u8 tpr)
{
    l->tpr = (tpr & 0xfu) << 4;
    update(l);
}

void lapic_enter_virtual_wire(struct lapic *l)
{
    write_svr(l, SVR_ENABLE | 0xff);
    write_lvt(l, LVT_LINT0, APIC_DM_EXTINT << 8);
    write_lvt(l, LVT_LINT1, APIC_DM_NMI << 8);
}

void lapic_init(struct lapic *l, struct apic_bus *bus)
{
    *l = (struct lapic){.bus = bus, .index = bus->count};
    bus->lapics[bus->count++] = l;
    timer_init(&l->timer, lapic_timer_fire, l);
    device_reset(&(struct device){&lapic_ops, l});
}

static void lapic_reset(void *instance)
{
    struct lapic *l = instance;
    timer_disarm(l->bus->clock, &l->timer);
    l->apic_base = 0xfee00000 | APIC_BASE_EN | (l->index ? 0 : APIC_BASE_BSP);
    l->id = l->index & 0xff;
}

static bool lapic_after_restore(void *instance)
{
    struct lapic *l = instance;
    u64 modes = APIC_BASE_EN | APIC_BASE_EXTD;
    if ((l->apic_base & modes) == APIC_BASE_EXTD || (l->apic_base & APIC_BASE_EXTD && !l->bus->x2apic) ||
        (l->apic_base & ~(bits_set(0, 45, 12, ~0ull) | modes | APIC_BASE_BSP)))
        return false;
    if (l->irr[0] & 0xffff || l->isr[0] & 0xffff || (l->timer_dcr & ~0xbu))
        return false;
    lapic_timer_arm(l);
    update(l);
    return true;
}

static const struct field lapic_fields[] = {
    FIELD(lapic, apic_base, 0),
    FIELD_MAX(lapic, id, 0, 0xff),
    FIELD_MAX(lapic, tpr, 0, 0xff),
    FIELD(lapic, ldr, 0),
    FIELD(lapic, dfr, 0xffffffff),
    FIELD_MAX(lapic, svr, 0xff, SVR_WRITABLE),
    FIELD(lapic, esr, 0),
    FIELD(lapic, esr_pending, 0),
    FIELD(lapic, icr_low, 0),
    FIELD(lapic, icr_high, 0),
    FIELD_ARRAY(lapic, lvt, LVT_MASKED),
    FIELD_ARRAY(lapic, irr, 0),
    FIELD_ARRAY(lapic, isr, 0),
    FIELD_ARRAY(lapic, tmr, 0),
    FIELD_ARRAY_KEEP(lapic, lint),
    FIELD(lapic, extint, 0),
    FIELD(lapic, timer_init, 0),
    FIELD(lapic, timer_dcr, 0),
    FIELD(lapic, timer_ns, TIME_NEVER),
    FIELD(lapic, tsc_deadline, 0),
};
static const struct field_table lapic_table = {
    .name = "lapic", .version = 1, .fields = lapic_fields, .count = ARRAY_LEN(lapic_fields)};

const struct device_ops lapic_ops = {
    .fields = &lapic_table, .reset = lapic_reset, .after_restore = lapic_after_restore};
