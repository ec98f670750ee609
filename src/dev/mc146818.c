/* MC146818A real-time clock (Motorola MC146818A datasheet) in its PC form: 128 bytes, century at 0x32, 32.768
 * kHz, the NMI mask in bit 7 of the index port.
 *
 * Time is the injected source plus an offset that the guest sets by setting the clock; nothing ticks. Flags
 * are worked out when somebody looks, and the one timer is armed only for an interrupt that is enabled and
 * whose flag is not set yet: merged interrupts cost nothing. Not modelled: other time bases than 32.768 kHz,
 * daylight saving, the square wave, the phase of the periodic interrupt after a divider reset, a day of the
 * week that disagrees with the date. */
#include "dev/mc146818.h"

#include "base/bits.h"

enum {
    RTC_SECONDS = 0,
    RTC_SECONDS_ALARM = 1,
    RTC_MINUTES = 2,
    RTC_MINUTES_ALARM = 3,
    RTC_HOURS = 4,
    RTC_HOURS_ALARM = 5,
    RTC_DAY_OF_WEEK = 6,
    RTC_DAY_OF_MONTH = 7,
    RTC_MONTH = 8,
    RTC_YEAR = 9,
    RTC_REG_A = 10,
    RTC_REG_B = 11,
    RTC_REG_C = 12,
    RTC_REG_D = 13,

    REG_A_UIP = 0x80,
    REG_A_DIVIDER = 0x70,
    REG_A_DIVIDER_32K = 0x20,
    REG_A_RATE = 0x0f,
    REG_B_SET = 0x80,
    REG_B_PIE = 0x40,
    REG_B_AIE = 0x20,
    REG_B_UIE = 0x10,
    REG_B_SQWE = 0x08,
    REG_B_DM = 0x04, /* binary, not BCD */
    REG_B_24H = 0x02,
    REG_C_IRQF = 0x80,
    REG_C_PF = 0x40,
    REG_C_AF = 0x20,
    REG_C_UF = 0x10,
    REG_C_FLAGS = 0x70,
    REG_D_VRT = 0x80,
    HOUR_PM = 0x80,
    ALARM_ANY = 0xc0,

    CRYSTAL_HZ = 32768,
    UIP_NS = 244141, /* UIP rises so long before the update */
    DAY_S = 86400,
};

static i64 floor_div(i64 a, i64 b)
{
    return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of a date in the Gregorian calendar; month 1..12, any day. */
static i64 days_of(i64 year, i64 month, i64 day)
{
    year -= month <= 2;
    i64 era = floor_div(year, 400), yoe = year - era * 400;
    i64 doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_of(i64 days, i64 *year, unsigned *month, unsigned *day)
{
    days += 719468;
    i64 era = floor_div(days, 146097), doe = days - era * 146097;
    i64 yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    i64 doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    *month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

static bool is_running(const struct mc146818 *r)
{
    return !(r->cmos[RTC_REG_B] & REG_B_SET) && (r->cmos[RTC_REG_A] & REG_A_DIVIDER) <= REG_A_DIVIDER_32K;
}

/* The guest's time. */
static void get_time(const struct mc146818 *r, i64 *s, u32 *ns)
{
    i64 wall = r->source.wall_ns(r->source.opaque);
    i64 wall_s = floor_div(wall, (i64)NS_PER_S);
    u32 sum = (u32)(wall - wall_s * (i64)NS_PER_S) + r->offset_ns;
    *s = wall_s + r->offset_s + (sum >= NS_PER_S);
    *ns = sum % (u32)NS_PER_S;
}

static void set_time(struct mc146818 *r, i64 s, u32 ns)
{
    i64 wall = r->source.wall_ns(r->source.opaque);
    i64 wall_s = floor_div(wall, (i64)NS_PER_S);
    u32 wall_ns = (u32)(wall - wall_s * (i64)NS_PER_S);
    r->offset_s = s - wall_s - (ns < wall_ns);
    r->offset_ns = ns >= wall_ns ? ns - wall_ns : (u32)NS_PER_S - (wall_ns - ns);
    r->seen_s = s;
}

static u8 encode(const struct mc146818 *r, unsigned v)
{
    return r->cmos[RTC_REG_B] & REG_B_DM ? (u8)v : (u8)(v / 10 << 4 | v % 10);
}

static unsigned decode(const struct mc146818 *r, u8 v)
{
    return r->cmos[RTC_REG_B] & REG_B_DM ? v : (v >> 4) * 10u + (v & 15u);
}

static u8 encode_hour(const struct mc146818 *r, unsigned hour)
{
    if (r->cmos[RTC_REG_B] & REG_B_24H)
        return encode(r, hour);
    return encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct mc146818 *r, u8 v)
{
    if (r->cmos[RTC_REG_B] & REG_B_24H)
        return decode(r, v);
    return decode(r, v & (u8)~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* Time to registers. */
static void time_to_cmos(struct mc146818 *r)
{
    i64 s, year;
    u32 ns;
    unsigned month, day;
    get_time(r, &s, &ns);
    i64 days = floor_div(s, DAY_S);
    unsigned tod = (unsigned)(s - days * DAY_S);
    date_of(days, &year, &month, &day);
    u8 *c = r->cmos;
    c[RTC_SECONDS] = encode(r, tod % 60);
    c[RTC_MINUTES] = encode(r, tod / 60 % 60);
    c[RTC_HOURS] = encode_hour(r, tod / 3600);
    c[RTC_DAY_OF_WEEK] = (u8)((days % 7 + 11) % 7 + 1); /* 1970-01-01 was a Thursday; Sunday is 1 */
    c[RTC_DAY_OF_MONTH] = encode(r, day);
    c[RTC_MONTH] = encode(r, month);
    c[RTC_YEAR] = encode(r, (unsigned)(year - floor_div(year, 100) * 100));
    c[RTC_CENTURY] = encode(r, (unsigned)(floor_div(year, 100) & 0x7f));
}

/* Registers, whatever is in them, to time. NS is the part of the second. */
static void cmos_to_time(struct mc146818 *r, u32 ns)
{
    const u8 *c = r->cmos;
    i64 month = decode(r, c[RTC_MONTH]);
    i64 year = 100 * (i64)decode(r, c[RTC_CENTURY]) + decode(r, c[RTC_YEAR]) + floor_div(month - 1, 12);
    month = month - 1 - floor_div(month - 1, 12) * 12 + 1;
    i64 days = days_of(year, month, decode(r, c[RTC_DAY_OF_MONTH]));
    set_time(r,
             days * DAY_S + decode_hour(r, c[RTC_HOURS]) * 3600 + decode(r, c[RTC_MINUTES]) * 60 +
                 decode(r, c[RTC_SECONDS]),
             ns);
}

static bool alarm_matches(const struct mc146818 *r, unsigned reg, unsigned v)
{
    u8 alarm = r->cmos[reg];
    return (alarm & ALARM_ANY) == ALARM_ANY ||
           alarm == (reg == RTC_HOURS_ALARM ? encode_hour(r, v) : encode(r, v));
}

static bool alarm_possible(const struct mc146818 *r, unsigned reg, unsigned values)
{
    while (values--)
        if (alarm_matches(r, reg, values))
            return true;
    return false;
}

/* The first second at or after FROM at which the alarm goes off; INT64_MAX: never. */
static i64 next_alarm(const struct mc146818 *r, i64 from)
{
    if (!alarm_possible(r, RTC_HOURS_ALARM, 24) || !alarm_possible(r, RTC_MINUTES_ALARM, 60) ||
        !alarm_possible(r, RTC_SECONDS_ALARM, 60))
        return INT64_MAX;
    i64 day = floor_div(from, DAY_S) * DAY_S;
    unsigned tod = (unsigned)(from - day);
    for (unsigned pass = 0; pass < 2; pass++, day += DAY_S, tod = 0) {
        for (unsigned h = tod / 3600; h < 24; h++) {
            if (!alarm_matches(r, RTC_HOURS_ALARM, h))
                continue;
            for (unsigned m = h == tod / 3600 ? tod / 60 % 60 : 0; m < 60; m++) {
                if (!alarm_matches(r, RTC_MINUTES_ALARM, m))
                    continue;
                for (unsigned s = h * 60 + m == tod / 60 ? tod % 60 : 0; s < 60; s++)
                    if (alarm_matches(r, RTC_SECONDS_ALARM, s))
                        return day + h * 3600 + m * 60 + s;
            }
        }
    }
    return INT64_MAX;
}

/* Ticks of the crystal between periodic interrupts; 0: none. */
static u64 periodic_ticks(const struct mc146818 *r)
{
    unsigned rate = r->cmos[RTC_REG_A] & REG_A_RATE;
    return !rate ? 0 : 1ull << ((rate <= 2 ? rate + 7 : rate) - 1);
}

static u64 now_tick(const struct mc146818 *r)
{
    return muldiv64(clock_now(r->clock), CRYSTAL_HZ, NS_PER_S);
}

/* Sets the flags of what has happened since the last look. */
static void sync_flags(struct mc146818 *r)
{
    u8 *flags = &r->cmos[RTC_REG_C];
    u64 tick = now_tick(r), period = periodic_ticks(r);
    if (period && tick / period > r->seen_tick / period)
        *flags |= REG_C_PF;
    r->seen_tick = tick;
    if (!is_running(r))
        return;
    i64 s;
    u32 ns;
    get_time(r, &s, &ns);
    if (s > r->seen_s) {
        *flags |= REG_C_UF;
        if (!(*flags & REG_C_AF) && next_alarm(r, r->seen_s + 1) <= s)
            *flags |= REG_C_AF;
    }
    r->seen_s = s;
}

/* Drives the line, and arms the timer for the next interrupt. */
static void update(struct mc146818 *r)
{
    sync_flags(r);
    u8 enabled = r->cmos[RTC_REG_B] & REG_C_FLAGS, flags = r->cmos[RTC_REG_C];
    irq_set(&r->irq, enabled & flags);
    u8 wanted = enabled & (u8)~flags;
    u64 at = TIME_NEVER, now = clock_now(r->clock), period = periodic_ticks(r);
    if (wanted & REG_B_PIE && period) {
        u64 tick = (r->seen_tick / period + 1) * period;
        at = (u64)(((u128)tick * NS_PER_S + CRYSTAL_HZ - 1) / CRYSTAL_HZ);
    }
    if (is_running(r) && wanted & (REG_B_UIE | REG_B_AIE)) {
        i64 s;
        u32 ns;
        get_time(r, &s, &ns);
        i64 next = wanted & REG_B_UIE ? s + 1 : next_alarm(r, s + 1);
        if (next != INT64_MAX) {
            u64 then = now + (u64)(next - s) * NS_PER_S - ns;
            at = then < at ? then : at;
        }
    }
    timer_arm(r->clock, &r->timer, at);
}

static void rtc_fire(void *opaque)
{
    update(opaque);
}

static u64 read_data(struct mc146818 *r)
{
    unsigned reg = r->index & 0x7f;
    i64 s;
    u32 ns;
    u8 v;
    switch (reg) {
    case RTC_SECONDS:
    case RTC_MINUTES:
    case RTC_HOURS:
    case RTC_DAY_OF_WEEK ... RTC_YEAR:
    case RTC_CENTURY:
        if (is_running(r))
            time_to_cmos(r);
        return r->cmos[reg];
    case RTC_REG_A:
        get_time(r, &s, &ns);
        return r->cmos[reg] | (is_running(r) && ns >= NS_PER_S - UIP_NS ? REG_A_UIP : 0);
    case RTC_REG_C:
        sync_flags(r);
        v = r->cmos[reg];
        if (v & r->cmos[RTC_REG_B])
            v |= REG_C_IRQF;
        r->cmos[reg] = 0;
        irq_set(&r->irq, false); /* what happens from here on is a new edge, however soon */
        update(r);
        return v;
    case RTC_REG_D: return REG_D_VRT;
    default: return r->cmos[reg];
    }
}

/* Registers A and B: both can stop the clock, and start it with the time that stands in the registers. */
static void write_control(struct mc146818 *r, unsigned reg, u8 v)
{
    bool ran = is_running(r);
    bool divider_held = (r->cmos[RTC_REG_A] & REG_A_DIVIDER) > REG_A_DIVIDER_32K;
    if (ran)
        time_to_cmos(r);
    if (reg == RTC_REG_A)
        v &= (u8)~REG_A_UIP;
    else if (v & REG_B_SET)
        v &= (u8)~REG_B_UIE;
    r->cmos[reg] = v;
    if (ran || !is_running(r))
        return;
    i64 s;
    u32 ns;
    get_time(r, &s, &ns);
    /* SET leaves the divider running; the first update after a divider reset comes half a second later. */
    cmos_to_time(r, divider_held ? (u32)NS_PER_S / 2 : ns);
}

static void write_data(struct mc146818 *r, u8 v)
{
    unsigned reg = r->index & 0x7f;
    i64 s;
    u32 ns;
    sync_flags(r);
    switch (reg) {
    case RTC_SECONDS:
    case RTC_MINUTES:
    case RTC_HOURS:
    case RTC_DAY_OF_WEEK ... RTC_YEAR:
    case RTC_CENTURY:
        if (!is_running(r)) {
            r->cmos[reg] = v;
            break;
        }
        get_time(r, &s, &ns);
        time_to_cmos(r);
        r->cmos[reg] = v;
        cmos_to_time(r, ns);
        break;
    case RTC_REG_A:
    case RTC_REG_B: write_control(r, reg, v); break;
    case RTC_REG_C:
    case RTC_REG_D: break; /* read-only */
    default: r->cmos[reg] = v;
    }
    update(r);
}

static u64 mc146818_read(void *opaque, u64 off, unsigned size)
{
    (void)size;
    return off ? read_data(opaque) : 0xff;
}

static void mc146818_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct mc146818 *r = opaque;
    (void)size;
    if (off)
        write_data(r, (u8)value);
    else
        r->index = (u8)value;
}

const struct bus_ops mc146818_bus = {
    .read = mc146818_read, .write = mc146818_write, .min_size = 1, .max_size = 1};

void mc146818_set(struct mc146818 *r, u8 index, u8 value)
{
    if (index > RTC_REG_D && index < sizeof r->cmos)
        r->cmos[index] = value;
}

void mc146818_init(struct mc146818 *r, struct clock *clock, struct rtc_source source, struct irq_line irq)
{
    *r = (struct mc146818){.clock = clock, .source = source, .irq = irq};
    timer_init(&r->timer, rtc_fire, r);
    fields_reset(mc146818_ops.fields, r);
    r->cmos[RTC_REG_A] = REG_A_DIVIDER_32K | 6;
    r->cmos[RTC_REG_B] = REG_B_24H;
    u32 ns;
    get_time(r, &r->seen_s, &ns);
    r->seen_tick = now_tick(r);
}

/* RESET# clears the enables and flags; the battery keeps the rest. */
static void mc146818_reset(void *instance)
{
    struct mc146818 *r = instance;
    r->cmos[RTC_REG_B] &= (u8) ~(REG_B_PIE | REG_B_AIE | REG_B_UIE | REG_B_SQWE);
    r->cmos[RTC_REG_C] = 0;
    update(r);
}

static void mc146818_before_save(void *instance)
{
    update(instance);
}

static bool mc146818_after_restore(void *instance)
{
    struct mc146818 *r = instance;
    i64 limit = (i64)1 << 40; /* 34,000 years */
    if (r->offset_s > limit || r->offset_s < -limit || r->seen_s > limit || r->seen_s < -limit ||
        r->cmos[RTC_REG_C] & ~REG_C_FLAGS || r->cmos[RTC_REG_A] & REG_A_UIP)
        return false;
    update(r);
    return true;
}

static const struct field mc146818_fields[] = {
    FIELD_ARRAY_KEEP(mc146818, cmos), FIELD(mc146818, index, 0),
    FIELD_KEEP(mc146818, offset_s),   FIELD_(mc146818, offset_ns, 0, true, NS_PER_S - 1, 1),
    FIELD_KEEP(mc146818, seen_tick),  FIELD_KEEP(mc146818, seen_s),
};
static const struct field_table mc146818_table = {
    .name = "mc146818", .version = 1, .fields = mc146818_fields, .count = ARRAY_LEN(mc146818_fields)};

const struct device_ops mc146818_ops = {
    .fields = &mc146818_table, .reset = mc146818_reset, .before_save = mc146818_before_save, .after_restore = mc146818_after_restore};
