/* Power management of the PIIX4 (82371AB datasheet, chapter 7; ACPI specification 6.4, 4.8 "ACPI Hardware
 * Features"): PM1 event and control blocks, the 24-bit PM timer, a 16-bit GPE0 block, the APM ports. S5 is
 * SLP_TYP 0, as in the DSDT of QEMU's pc. Enabling and disabling ACPI through the SMI command port, which a
 * BIOS does in system management mode, is done here too; APMC_EN adds the SMI. Not modelled: sleep states
 * but S5, device monitors, throttling, the SMBus. */
#include "dev/piix4_pm.h"

#include "base/bits.h"

enum {
    PM1_STS = 0x00,
    PM1_EN = 0x02,
    PM1_CNT = 0x04,
    PM_TMR = 0x08,

    TMR_STS = 0x0001,
    GBL_STS = 0x0020,
    PWRBTN_STS = 0x0100,
    RTC_STS = 0x0400,
    PM1_EN_ALL = TMR_STS | GBL_STS | PWRBTN_STS | RTC_STS,
    SCI_EN = 0x0001,
    PM1_CNT_KEPT = 0x1c03, /* SLP_TYP, BM_RLD, SCI_EN */
    SLP_EN = 0x2000,

    CARRY_SHIFT = 23, /* TMR_STS is set whenever bit 23 changes */
};

static u64 now_tick(const struct piix4_pm *pm)
{
    return muldiv64(clock_now(pm->clock), PM_TIMER_HZ, NS_PER_S);
}

/* Takes up carries of the timer, drives SCI, arms the timer for the next carry that would. */
static void update(struct piix4_pm *pm)
{
    u64 tick = now_tick(pm);
    if (tick >> CARRY_SHIFT > pm->seen_tick >> CARRY_SHIFT)
        pm->pm1_sts |= TMR_STS;
    pm->seen_tick = tick;
    bool enabled = pm->pm1_cnt & SCI_EN;
    irq_set(&pm->sci, enabled && (pm->pm1_sts & pm->pm1_en & PM1_EN_ALL || pm->gpe_sts & pm->gpe_en));
    u64 at = TIME_NEVER;
    if (enabled && pm->pm1_en & ~pm->pm1_sts & TMR_STS) {
        u64 next = ((tick >> CARRY_SHIFT) + 1) << CARRY_SHIFT;
        at = (u64)(((u128)next * NS_PER_S + PM_TIMER_HZ - 1) / PM_TIMER_HZ);
    }
    timer_arm(pm->clock, &pm->timer, at);
}

static void pm_fire(void *opaque)
{
    update(opaque);
}

void piix4_pm_power_button(struct piix4_pm *pm)
{
    pm->pm1_sts |= PWRBTN_STS;
    update(pm);
}

void piix4_pm_gpe(struct piix4_pm *pm, unsigned n)
{
    if (n < 16)
        pm->gpe_sts |= (u16)(1u << n);
    update(pm);
}

/* The registers as an array of 16-bit words. */
static u16 pm_word(struct piix4_pm *pm, u64 off)
{
    switch (off) {
    case PM1_STS: return pm->pm1_sts;
    case PM1_EN: return pm->pm1_en;
    case PM1_CNT: return pm->pm1_cnt;
    case PM_TMR: return (u16)pm->seen_tick;
    case PM_TMR + 2: return pm->seen_tick >> 16 & 0xff;
    default: return 0;
    }
}

static u64 pm_read(void *opaque, u64 off, unsigned size)
{
    struct piix4_pm *pm = opaque;
    update(pm);
    if (size == 4)
        return pm_word(pm, off) | (u64)pm_word(pm, off + 2) << 16;
    return pm_word(pm, off & ~1ull) >> (off & 1 ? 8 : 0);
}

static void write_control(struct piix4_pm *pm, u16 v, u16 mask)
{
    pm->pm1_cnt = (u16)((pm->pm1_cnt & ~mask) | (v & mask)) & PM1_CNT_KEPT;
    if (v & mask & SLP_EN && bits_get(v, 12, 10) == PIIX4_SLP_TYP_S5 && pm->lines->poweroff)
        pm->lines->poweroff(pm->lines->opaque);
}

/* Writes the bytes of MASK of the word at OFF. */
static void pm_write_word(struct piix4_pm *pm, u64 off, u16 v, u16 mask)
{
    switch (off) {
    case PM1_STS: pm->pm1_sts &= (u16) ~(v & mask); break;
    case PM1_EN: pm->pm1_en = (u16)((pm->pm1_en & ~mask) | (v & mask)) & PM1_EN_ALL; break;
    case PM1_CNT: write_control(pm, v, mask); break;
    default: break;
    }
}

static void pm_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct piix4_pm *pm = opaque;
    update(pm);
    if (size == 1) {
        unsigned shift = off & 1 ? 8 : 0;
        pm_write_word(pm, off & ~1ull, (u16)(value << shift), (u16)(0xff << shift));
    } else {
        pm_write_word(pm, off, (u16)value, 0xffff);
        if (size == 4)
            pm_write_word(pm, off + 2, (u16)(value >> 16), 0xffff);
    }
    update(pm);
}

static u64 gpe_read(void *opaque, u64 off, unsigned size)
{
    const struct piix4_pm *pm = opaque;
    u32 all = pm->gpe_sts | (u32)pm->gpe_en << 16;
    (void)size;
    return all >> (8 * (off & 3)) & 0xff;
}

static void gpe_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct piix4_pm *pm = opaque;
    (void)size;
    unsigned shift = off & 1 ? 8 : 0;
    u16 v = (u16)(value << shift), mask = (u16)(0xff << shift);
    if (off < 2)
        pm->gpe_sts &= (u16)~v;
    else
        pm->gpe_en = (u16)((pm->gpe_en & ~mask) | v);
    update(pm);
}

static u64 apm_read(void *opaque, u64 off, unsigned size)
{
    const struct piix4_pm *pm = opaque;
    (void)size;
    return off ? pm->apms : pm->apmc;
}

static void apm_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct piix4_pm *pm = opaque;
    (void)size;
    if (off) {
        pm->apms = (u8)value;
        return;
    }
    pm->apmc = (u8)value;
    if (pm->apmc == PIIX4_ACPI_ENABLE)
        pm->pm1_cnt |= SCI_EN;
    else if (pm->apmc == PIIX4_ACPI_DISABLE)
        pm->pm1_cnt &= (u16)~SCI_EN;
    update(pm);
    if (pm->apmc_en && pm->lines->smi)
        pm->lines->smi(pm->lines->opaque);
}

void piix4_pm_set_apmc_en(struct piix4_pm *pm, bool on)
{
    pm->apmc_en = on;
}

const struct bus_ops piix4_pm_bus = {.read = pm_read, .write = pm_write, .min_size = 1, .max_size = 4};
const struct bus_ops piix4_gpe_bus = {.read = gpe_read, .write = gpe_write, .min_size = 1, .max_size = 1};
const struct bus_ops piix4_apm_bus = {.read = apm_read, .write = apm_write, .min_size = 1, .max_size = 1};

void piix4_pm_init(struct piix4_pm *pm, struct clock *clock, struct irq_line sci,
                   const struct machine_lines *lines)
{
    *pm = (struct piix4_pm){.clock = clock, .sci = sci, .lines = lines};
    timer_init(&pm->timer, pm_fire, pm);
    fields_reset(piix4_pm_ops.fields, pm);
}

static void pm_reset(void *instance)
{
    struct piix4_pm *pm = instance;
    pm->seen_tick = now_tick(pm);
    update(pm);
}

static void pm_before_save(void *instance)
{
    update(instance);
}

static bool pm_after_restore(void *instance)
{
    struct piix4_pm *pm = instance;
    if (pm->pm1_cnt & ~PM1_CNT_KEPT || pm->pm1_en & ~PM1_EN_ALL)
        return false;
    update(pm);
    return true;
}

static const struct field piix4_pm_fields[] = {
    FIELD(piix4_pm, pm1_sts, 0), FIELD(piix4_pm, pm1_en, 0),    FIELD(piix4_pm, pm1_cnt, 0),
    FIELD(piix4_pm, gpe_sts, 0), FIELD(piix4_pm, gpe_en, 0),    FIELD(piix4_pm, apmc, 0),
    FIELD(piix4_pm, apms, 0),    FIELD(piix4_pm, seen_tick, 0),
};
static const struct field_table piix4_pm_table = {
    .name = "piix4_pm", .version = 1, .fields = piix4_pm_fields, .count = ARRAY_LEN(piix4_pm_fields)};
const struct device_ops piix4_pm_ops = {
    .fields = &piix4_pm_table, .reset = pm_reset, .before_save = pm_before_save, .after_restore = pm_after_restore};
