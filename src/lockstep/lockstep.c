/* Lockstep (DESIGN sections 1 and 11): two engines run one machine under virtual time and must agree in
 * vCPUs, chips, exits and RAM. On a difference the interval is halved until one instruction is left, each
 * time from the newest snapshot of a point where both agreed. Where a difference depends on what a snapshot
 * does not hold (decoded code), and is gone behind one, it is halved from the start instead. */
#include <stdio.h>
#include <string.h>

#include "host/clock.h"
#include "lockstep/difference.h"

#define EVERY_DEFAULT  1000000u
#define RAM_EVERY      (64u << 20)  /* instructions between two looks at all of RAM */
#define SNAPSHOT_EVERY (256u << 20) /* instructions from one origin to the next */
#define TRAIL          12           /* instructions shown before the one that differs */
#define SNAPSHOT_NEAR  (4u << 20)   /* halving: running so far again is cheaper than a snapshot */

struct lockstep {
    const struct trine_config *config;
    const struct trine_check *check;
    struct trine_check_result *result;
    struct pair pair;
    struct origin origin;
    bool from_start; /* snapshots have lost the difference: the origin stays the start */
    u64 agreed;      /* the newest point where everything agreed */
    u64 deadline_ns; /* the host's clock */
};

static u64 scan_limit(const struct lockstep *l)
{
    return l->check->until ? l->check->until : UINT64_MAX;
}

/* To the next point of comparison. */
static enum status scan_move(struct lockstep *l, struct error *e)
{
    struct pair *p = &l->pair;
    u64 now = pair_time(p), limit = scan_limit(l), every = l->check->every ? l->check->every : EVERY_DEFAULT;
    u64 next = every < limit - now ? now + every : limit;
    switch (l->check->grain) {
    case TRINE_GRAIN_EXIT: return pair_run_exit(p, next, e);
    case TRINE_GRAIN_BLOCK: return pair_run_block(p, next, e);
    case TRINE_GRAIN_INSTRUCTIONS: break;
    }
    return pair_run_to(p, next, e);
}

static bool scan_over(const struct lockstep *l)
{
    return pair_ended(&l->pair) || pair_time(&l->pair) >= scan_limit(l) || host_ns() >= l->deadline_ns;
}

/* Runs on until something differs, or to the end. DIFFER: what, at the pair's time. */
static enum status scan(struct lockstep *l, u32 *differ, struct error *e)
{
    struct pair *p = &l->pair;
    *differ = 0;
    while (!scan_over(l)) {
        if (scan_move(l, e) != STATUS_OK)
            return e->status;
        bool ram = pair_time(p) - l->agreed >= RAM_EVERY || scan_over(l);
        if (pair_differs(p, ram, differ, e) != STATUS_OK)
            return e->status;
        l->result->comparisons++;
        if (*differ)
            return STATUS_OK;
        if (!ram)
            continue;
        l->agreed = pair_time(p);
        if (l->agreed - l->origin.time >= SNAPSHOT_EVERY && !pair_ended(p) &&
            origin_take(&l->origin, p, e) != STATUS_OK)
            return e->status;
    }
    return STATUS_OK;
}

/* A new pair from the origin, at TIME: does it differ there? */
static enum status differs_at(struct lockstep *l, u64 time, u32 *differ, struct error *e)
{
    if (pair_make(&l->pair, &l->origin, false, e) != STATUS_OK || pair_run_to(&l->pair, time, e) != STATUS_OK)
        return e->status;
    return pair_differs(&l->pair, true, differ, e);
}

/* HI shows a difference; *lo is a point that does not. Afterwards one instruction lies between. Every test
 * runs from the origin in one piece: where a run is cut, a translator hands single instructions to the
 * interpreter, and what only its own code does would not show. */
static enum status halve(struct lockstep *l, u64 *lo, u64 hi, struct error *e)
{
    struct pair *p = &l->pair;
    while (hi - *lo > 1) {
        u64 mid = *lo + (hi - *lo) / 2;
        u32 differ;
        if (differs_at(l, mid, &differ, e) != STATUS_OK)
            return e->status;
        if (differ) {
            hi = mid;
            continue;
        }
        *lo = pair_time(p) < hi ? pair_time(p) : hi - 1;
        if (!l->from_start && *lo - l->origin.time > SNAPSHOT_NEAR && !pair_ended(p) &&
            origin_take(&l->origin, p, e) != STATUS_OK)
            return e->status;
    }
    return STATUS_OK;
}

static u64 exceptions(const struct vm *vm)
{
    u64 sum = vm->current->cpu.stats.interrupts;
    for (unsigned i = 0; i < ARRAY_LEN(vm->current->cpu.stats.exceptions); i++)
        sum += vm->current->cpu.stats.exceptions[i];
    return sum;
}

/* The instructions up to AT, by the first machine: where an engine works in blocks, the culprit may be one of
 * them. */
static enum status say_trail(struct lockstep *l, u64 at, struct error *e)
{
    struct pair *p = &l->pair;
    u64 from = at - l->origin.time > TRAIL ? at - TRAIL : l->origin.time;
    if (pair_make(p, &l->origin, false, e) != STATUS_OK || pair_run_to(p, from, e) != STATUS_OK)
        return e->status;
    while (pair_time(p) < at && !pair_ended(p)) {
        say_code(p, "    before: ");
        if (pair_run_to(p, pair_time(p) + 1, e) != STATUS_OK)
            return e->status;
    }
    return STATUS_OK;
}

/* The pair goes to AT, where it agrees, and over the one instruction behind. *DIFFER: what differs then. */
static enum status over_one(struct lockstep *l, u64 at, u32 *differ, struct error *e)
{
    struct pair *p = &l->pair;
    const struct trine_check *k = l->check;
    if (say_trail(l, at, e) != STATUS_OK || differs_at(l, at, differ, e) != STATUS_OK)
        return e->status;
    if (*differ) {
        check_say(k, "they differ already before instruction %llu", (unsigned long long)at);
        return STATUS_OK;
    }
    if (pair_settle(p, e) != STATUS_OK || pair_differs(p, true, differ, e) != STATUS_OK)
        return e->status;
    if (*differ) {
        check_say(k, "the delivery of an interrupt or trap; the vCPU goes on with");
        say_instruction(p);
        return STATUS_OK;
    }
    say_instruction(p);
    u64 before = exceptions(p->vm[0]);
    if (pair_run_to(p, at + 1, e) != STATUS_OK)
        return e->status;
    if (exceptions(p->vm[0]) != before)
        check_say(k, "    it raised exception %u on %s, whose handler's first instruction has run",
                  p->vm[0]->current->cpu.fault.vector, p->vm[0]->engine->name);
    return differs_at(l, at + 1, differ, e);
}

/* HI is where the scan met a difference. */
static enum status narrow(struct lockstep *l, u64 hi, struct error *e)
{
    const struct trine_check *k = l->check;
    u64 lo = l->agreed;
    u32 differ;
    if (differs_at(l, hi, &differ, e) != STATUS_OK)
        return e->status;
    if (differ && (halve(l, &lo, hi, e) != STATUS_OK || differs_at(l, lo + 1, &differ, e) != STATUS_OK))
        return e->status;
    if (!differ && l->origin.fd >= 0) {
        check_say(k, "note: behind a snapshot the difference does not show: it depends on what none holds");
        origin_drop(&l->origin);
        l->from_start = true;
        lo = 0;
        if (differs_at(l, hi, &differ, e) != STATUS_OK || (differ && halve(l, &lo, hi, e) != STATUS_OK))
            return e->status;
    }
    if (!differ) {
        check_say(k, "the difference did not come again at instruction %llu: a run does not repeat",
                  (unsigned long long)hi);
        return STATUS_OK;
    }
    check_say(k, "difference: they agree after %llu instructions, not after the next one",
              (unsigned long long)lo);
    if (over_one(l, lo, &differ, e) != STATUS_OK)
        return e->status;
    say_difference(&l->pair, differ);
    l->result->at = lo;
    l->result->narrowed = differ != 0;
    return STATUS_OK;
}

static enum status replay(struct lockstep *l, struct error *e)
{
    u32 differ;
    if (over_one(l, l->check->at, &differ, e) != STATUS_OK)
        return e->status;
    l->result->agree = !differ;
    l->result->at = l->check->at;
    l->result->comparisons = 2;
    l->result->narrowed = differ != 0;
    if (differ)
        say_difference(&l->pair, differ);
    return STATUS_OK;
}

static enum status check_run(struct lockstep *l, struct error *e)
{
    struct pair *p = &l->pair;
    u32 differ;
    l->deadline_ns = l->config->max_time_s > 0 ? host_ns() + (u64)(l->config->max_time_s * 1e9) : UINT64_MAX;
    if (l->check->replay)
        return replay(l, e);
    if (pair_make(p, &l->origin, true, e) != STATUS_OK)
        return e->status;
    l->origin.time = l->agreed = pair_time(p);
    if (scan(l, &differ, e) != STATUS_OK)
        return e->status;
    struct trine_check_result *r = l->result;
    r->at = pair_time(p);
    r->agree = !differ;
    r->ended = pair_ended(p);
    r->time_over = !r->ended && r->at < scan_limit(l) && !differ;
    r->end = p->vm[0]->result;
    r->instructions = p->vm[0]->current->cpu.icount;
    if (!differ)
        return STATUS_OK;
    say_difference(p, differ);
    return narrow(l, r->at, e);
}

static enum status check_pair(struct lockstep *l, struct error *e)
{
    char why[512];
    for (unsigned n = 0; n < 2; n++) {
        l->pair.engine[n] = engine_get(l->check->engines[n], true, l->config->cpus, why, sizeof why, e);
        if (!l->pair.engine[n])
            return e->status;
    }
    if (l->config->time != TRINE_TIME_VIRTUAL)
        return error_set(e, STATUS_USAGE, "check: only virtual time repeats");
    if (l->config->net.kind != TRINE_NET_NONE)
        return error_set(e, STATUS_USAGE, "check: a network does not repeat");
    if (l->config->switches_n)
        return error_set(e, STATUS_USAGE, "check: a guest that moves between engines (switch) is compared by its final state, with run");
    if (l->config->firmware_vars.path && !l->config->firmware_vars.readonly)
        return error_set(e, STATUS_USAGE, "check: firmware's variables %s: both machines would write to them: add ,readonly", l->config->firmware_vars.path);
    for (unsigned n = 0; n < l->config->disks_n; n++)
        if (!l->config->disks[n].readonly && !l->config->disks[n].snapshot)
            return error_set(e, STATUS_USAGE,
                             "check: disk %s: both machines would write to it: add ,snapshot",
                             l->config->disks[n].path);
    return check_run(l, e);
}

enum trine_status trine_check(const struct trine_config *c, const struct trine_check *k,
                              struct trine_check_result *r, struct trine_error *e)
{
    struct error err;
    struct lockstep l = {
        .config = c, .check = k, .result = r, .pair = {.config = c, .check = k}, .origin = {.fd = -1}};
    *r = (struct trine_check_result){0};
    enum status s = check_pair(&l, &err);
    pair_drop(&l.pair);
    origin_drop(&l.origin);
    if (s != STATUS_OK) {
        e->status = (enum trine_status)s;
        snprintf(e->text, sizeof e->text, "%s", err.text);
    }
    return (enum trine_status)s;
}
