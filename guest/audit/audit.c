/* Runs the cases and prints what came of each. */
#include "audit.h"

#include "../lib/clock.h"

enum {
    CODE_16 = SEL_FREE + 0x80, /* the ring-0 half; ring 3 follows by 0x18 */
    DATA_16 = SEL_FREE + 0x88,
    STACK_16 = SEL_FREE + 0x90,
    RING_3 = 0x18,
    COPIES = 64,
    ROUNDS = 60,
    POINTER = 0x40,
    IPI_VECTOR = 0x41,
};
uint8_t audit_scratch[128] ALIGNED(64);
static uint8_t stack_16[4096] ALIGNED(16);
static uint8_t copies[2048] ALIGNED(64);

static bool clocked;

static const struct piece *piece_of(const struct audit *a, unsigned ring)
{
    return ring && a->outer ? a->outer : a->code;
}

/* 16-bit segments over the code, the scratch area and the stack. */
static void segments_16(word code, unsigned ring)
{
    unsigned dpl = SEG_DPL(ring), at = ring ? RING_3 : 0;
    descriptor_set(CODE_16 + at, (uint32_t)code, 0xffff, SEG_CODE | SEG_R | dpl, 0);
    descriptor_set(DATA_16 + at, (uint32_t)ADDR(audit_scratch), sizeof(audit_scratch) - 1,
                   SEG_DATA | SEG_W | dpl, 0);
    descriptor_set(STACK_16 + at, (uint32_t)ADDR(stack_16), sizeof(stack_16) - 1, SEG_DATA | SEG_W | dpl, 0);
}

/* The context for code at START, where AFTER lies behind the instruction. */
static void prepare(const struct audit *a, unsigned ring, word start, word after, struct context *c)
{
    const struct snip snip = {.start = start};
    memory_set(audit_scratch, 0, sizeof(audit_scratch));
    if (ring)
        context_set_user(c, &snip);
    else
        context_set(c, &snip);
    c->ax = a->ax, c->cx = a->cx, c->dx = a->dx;
    c->bx = ADDR(audit_scratch);
    c->bp = after;
    c->flags |= a->eflags;
    if (a->mode == 16) {
        unsigned at = ring ? RING_3 : 0;
        segments_16(start, ring);
        c->cs = CODE_16 + at + ring;
        c->ds = c->es = DATA_16 + at + ring;
        c->ss = STACK_16 + at + ring;
        c->ip = 0, c->bx = 0, c->sp = 0x800;
        c->bp = after - start;
    }
    c->si = c->cs, c->di = c->ss;
    uint8_t *pointer = audit_scratch + POINTER;
    memory_copy(pointer, &c->bp, 4);
    memory_copy(pointer + (a->mode == 16 ? 2 : 4), &c->cs, 2);
    if (a->setup)
        a->setup(a, c);
}

static word value_of(const struct audit *a, const struct context *c)
{
    word v = 0;
    switch (a->from) {
    case FROM_NOTHING: return 0;
    case FROM_AX: v = c->ax; break;
    case FROM_CS: v = c->cs; break;
    case FROM_ES: v = c->es; break;
    case FROM_FLAGS: v = c->flags; break;
    case FROM_BASE: memory_copy(&v, audit_scratch + 2, a->mode == 64 ? 8 : 4); break;
    }
    return v & (a->mask ? a->mask : (word)-1);
}

/* Ticks from before the run to behind it. */
static uint64_t trip(struct context *c)
{
    uint64_t t0 = rdtsc();
    context_run(c);
    return rdtsc() - t0;
}

static uint64_t least_trip(const struct audit *a, unsigned ring, word start, word after)
{
    uint64_t best = ~0ull;
    struct context c;
    for (unsigned round = 0; round < ROUNDS; round++) {
        prepare(a, ring, start, after, &c);
        uint64_t t = trip(&c);
        best = t < best ? t : best;
    }
    return best;
}

/* What the way there and back costs without the instruction: the code before it, and INT 0x30. COUNT
 * instructions stand between. Returns where they end. */
static word copy_code(const struct piece *p, unsigned count)
{
    uint8_t *to = copies;
    memory_copy(to, (const void *)p->start, p->at - p->start);
    to += p->at - p->start;
    for (unsigned n = 0; n < count; n++, to += p->after - p->at)
        memory_copy(to, (const void *)p->at, p->after - p->at);
    to[0] = 0xcd, to[1] = EXIT;
    return ADDR(to);
}

/* Hundredths of a tick. An instruction that goes through: what COPIES of it add to the trip. A fault or trap:
 * the whole trip, from the IRET into the code to behind the handler's entry. */
static uint64_t cost(const struct audit *a, unsigned ring, bool through)
{
    const struct piece *p = piece_of(a, ring);
    if (!through)
        return least_trip(a, ring, p->start, p->after) * 100;
    if (a->flags & ONCE) {
        uint64_t with = least_trip(a, ring, p->start, p->after);
        word after = copy_code(p, 0);
        uint64_t without = least_trip(a, ring, ADDR(copies), after);
        return with > without ? (with - without) * 100 : 0;
    }
    word end = copy_code(p, COPIES);
    uint64_t with = least_trip(a, ring, ADDR(copies), end);
    end = copy_code(p, 0);
    uint64_t without = least_trip(a, ring, ADDR(copies), end);
    return with > without ? (with - without) * 100 / COPIES : 0;
}

static const char *vector_name(unsigned vector)
{
    static const char *const names[] = {"#DE", "#DB",       "NMI",      "#BP", "#OF", "#BR", "#UD",
                                        "#NM", "#DF",       "vector 9", "#TS", "#NP", "#SS", "#GP",
                                        "#PF", "vector 15", "#MF",      "#AC", "#MC", "#XM"};
    return vector < COUNT(names) ? names[vector] : NULL;
}

static void print_outcome(const struct audit *a, unsigned vector, word error, word value)
{
    if (vector == NONE) {
        if (a->from == FROM_NOTHING || a->flags & VOLATILE)
            print("done|");
        else
            print("done: %lx|", value);
        return;
    }
    if (vector_name(vector))
        print("%s", vector_name(vector));
    else
        print("vector %x", vector);
    if (error != NO_ERROR)
        print("(%lx)", error);
    print("|");
}

static void print_code(const struct audit *a, const struct piece *p)
{
    static const char *const from[] = {"none", "ax", "cs", "es", "flags", "base"};
    for (const uint8_t *at = (const uint8_t *)p->start; at < (const uint8_t *)p->end; at++)
        print("%02x", *at);
    print("|%lu|%lu|%lx|%lx|%lx|%s|%lx|", p->at - p->start, p->after - p->start, a->ax, a->cx, a->dx,
          from[a->from], a->mask ? a->mask : (word)-1);
}

/* One case in one ring; did the machine do what is demanded? */
static bool audit_ring(const struct audit *a, unsigned ring)
{
    const struct piece *p = piece_of(a, ring);
    const struct demand *d = &a->want[ring != 0];
    struct context c;
    prepare(a, ring, p->start, p->after, &c);
    context_run(&c);
    word ip = c.ip + (a->mode == 16 && (c.cs & ~3u) == CODE_16 + (ring ? RING_3 : 0u) ? p->start : 0);
    bool through = c.vector == EXIT && ip == p->end + 2;
    unsigned vector = through ? NONE : (unsigned)c.vector;
    word value = value_of(a, &c);
    bool right = vector == d->vector && (through || c.error == d->error);
    if (vector == NONE && !(a->flags & VOLATILE))
        right &= value == d->value;
    else if (vector != NONE)
        right &= ip == (d->behind ? p->after : p->at);
    print("audit|%u|%u|%s|%c|%u|", a->mode, ring, a->name, a->kind, a->flags);
    print_code(a, p);
    print_outcome(a, d->vector, d->error, d->value);
    print_outcome(a, vector, c.error, value);
    uint64_t ticks = clocked ? cost(a, ring, through) : 0;
    print("%lx|%u|%llu.%02u\n", value, right, (u64)(ticks / 100), (unsigned)(ticks % 100));
    return right;
}

static unsigned cases, differences;

void audit_run(const struct audit *a)
{
    word cr4 = read_cr4();
    write_cr4(cr4 | a->cr4);
    for (unsigned ring = 0; ring <= 3; ring += 3) {
        cases++;
        differences += !audit_ring(a, ring);
    }
    write_cr4(cr4);
}

void setup_self_ipi(const struct audit *a, struct context *c)
{
    (void)a;
    if (!CPU_HAS_X2APIC || c->cs & 3) /* ring 3 would leave it pending */
        return;
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0xc00);
    wrmsr(0x80f, 0x1ff);
    wrmsr(0x80b, 0);
    wrmsr(0x83f, IPI_VECTOR);
}

/* LTR wants a TSS that is not busy. */
void setup_task(const struct audit *a, struct context *c)
{
    (void)a, (void)c;
    tss_set(SEL_TSS, &tss, 103, SYS_TSS);
}

/* LSTAR leads behind the instruction, and so does SYSRET. */
void setup_syscall(const struct audit *a, struct context *c)
{
    (void)a;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (u64)(SEL_USER_CODE32 | 3u) << 48 | (u64)SEL_CODE << 32);
    wrmsr(MSR_LSTAR, c->bp);
    wrmsr(MSR_SFMASK, FLAG_TF);
    c->cx = c->bp;
#if WORLD == 64
    c->r11 = FLAG_1;
#endif
}

/* The linear address behind the instruction. */
static word linear_after(const struct audit *a, const struct context *c)
{
    uint64_t d = a->mode == 16 ? *descriptor_at((unsigned)c->cs & ~7u) : 0;
    return c->bp + (word)((d >> 16 & 0xffffff) | (d >> 56 & 0xff) << 24);
}

void setup_sysenter(const struct audit *a, struct context *c)
{
    wrmsr(MSR_SYSENTER_CS, SEL_CODE);
    wrmsr(MSR_SYSENTER_ESP, SNIPPET_STACK_TOP - 1024);
    wrmsr(MSR_SYSENTER_EIP, linear_after(a, c));
}

/* SYSEXIT goes to DX, with the stack in CX. */
void setup_sysexit(const struct audit *a, struct context *c)
{
    setup_sysenter(a, c);
    c->dx = linear_after(a, c);
    c->cx = SNIPPET_STACK_TOP - 1024;
}

TEST(audit)
{
    /* `clock=0`: no costs. They are most of what it executes. */
    clocked = option_number("clock", 1) != 0;
    print("tsc %llu\n", clocked ? (u64)tsc_khz() : 1);
#if WORLD == 64
    audit_cases_64();
#else
    audit_cases_16();
    audit_cases_32();
#endif
    print("audited %u %u\n", cases, differences);
    CHECK_EQUAL("differences", 0, differences);
}
