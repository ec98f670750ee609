/* What a VM did and cost, for --stats. */
#include <stdlib.h>
#include <string.h>

#include "cpu/tlb.h"
#include "host/clock.h"
#include "host/rss.h"
#include "isa/insn.h"
#include "machine/sharing.h"
#include "machine/vm.h"
#include "mem/foreign.h"

static double seconds(u64 ns)
{
    return (double)ns / 1e9;
}

/* Time in which a vCPU was not halted, all vCPUs together. */
static double vm_busy_s(const struct vm *vm, u64 wall_ns)
{
    u64 halted = 0, threads = vm->is_virtual ? 1 : vm->config.cpus;
    for (u32 i = 0; i < vm->config.cpus; i++)
        halted += vm->vcpus[i].halted_ns;
    return halted < wall_ns * threads ? seconds(wall_ns * threads - halted) : 0;
}

static void count_add(struct trine_count *list, unsigned *n, unsigned room, const char *name, u64 count)
{
    for (unsigned k = 0; k < *n; k++)
        if (list[k].name == name) {
            list[k].count += count;
            return;
        }
    if (*n < room)
        list[(*n)++] = (struct trine_count){name, count};
}

static int by_count(const void *a, const void *b)
{
    const struct trine_count *x = a, *y = b;
    return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

/* By operation. */
struct op_counts {
    u64 steps[OP_COUNT], calls[OP_COUNT];
};

/* The engine's own counters, and how often it left operations to the interpreter or did them by a call. */
static void engine_counters(struct trine_stats *s, const struct engine_stats *es, struct op_counts *ops)
{
    for (unsigned k = 0; k < ENGINE_COUNTERS && es->counter[k].name; k++)
        count_add(s->counters, &s->counters_n, ARRAY_LEN(s->counters), es->counter[k].name, es->counter[k].count);
    for (unsigned k = 0; k < OP_COUNT; k++) {
        ops->steps[k] += es->steps_of ? es->steps_of[k] : 0;
        ops->calls[k] += es->calls_of ? es->calls_of[k] : 0;
    }
}

/* The most frequent operations, at most ROOM; how many. */
static unsigned ops_sorted(const u64 counts[OP_COUNT], struct trine_count *list, unsigned room)
{
    struct trine_count all[OP_COUNT];
    unsigned n = 0;
    for (unsigned k = 0; k < OP_COUNT; k++)
        if (counts[k])
            all[n++] = (struct trine_count){k ? op_name(k) : "others", counts[k]};
    qsort(all, n, sizeof *all, by_count);
    n = n < room ? n : room;
    memcpy(list, all, n * sizeof *all);
    return n;
}

static void paging_add(struct trine_paging *p, const struct cpu *c)
{
    p->looks += c->stats.looks;
    p->look_ns += c->stats.look_ns;
    p->second_hits += tlb_second_hits(c->tlb);
    p->walks += c->tlb->walks;
    p->walk_ns += c->stats.walk_ns;
    p->flushes += c->tlb->flushes;
    p->protected_n += c->stats.protected_writes;
    p->protected_ns += c->stats.protected_ns;
}

static void sharing_costs(const struct vm *vm, struct trine_stats *s)
{
    struct sharing_stats h;
    sharing_stats(vm, &h);
    const struct trine_count all[] = {
        {"passes", h.passes},   {"looked_at", h.looked}, {"shared", h.shared},           {"zeros", h.zeros},           {"homes", h.homes}, {"paged_out", h.paged},
        {"stops", h.stops},     {"stop_ns", h.stop_ns},  {"stop_max_ns", h.stop_max_ns}, {"stop_p99_ns", h.stop_p99_ns}, {"stops_over_1ms", h.stops_slow},
        {"stop_work_max_ns", h.work_max_ns}, {"stop_work_p99_ns", h.work_p99_ns}, {"stop_work_over_1ms", h.work_slow}, {"scanner_ns", h.cpu_ns},     {"left", h.left},
        {"waited_ns", h.waited_ns},
        {"metadata_bytes", h.metadata_bytes}, {"broker", h.broker},
    };
    _Static_assert(ARRAY_LEN(all) <= ARRAY_LEN(s->sharing), "the report has room");
    s->sharing_n = vm->sharing ? ARRAY_LEN(all) : 0;
    memcpy(s->sharing, all, s->sharing_n * sizeof *all);
}

void vm_stats(struct vm *vm, struct trine_stats *s)
{
    _Static_assert(EXIT_KINDS <= ARRAY_LEN(s->exits), "the report has room for every kind");
    u64 end = vm->stopped_ns ? vm->stopped_ns : host_ns(), wall_ns = vm->ran ? end - vm->started_ns : 0;
    *s = (struct trine_stats){
        .engine = vm->engine->name, .wall_s = seconds(wall_ns), .busy_s = vm_busy_s(vm, wall_ns)};
    struct op_counts ops = {0};
    lock_take(&vm->lock);
    for (u32 i = 0; i < vm->config.cpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        s->unbuilt += v->cpu.stats.unbuilt;
        s->guest_instructions += v->cpu.icount;
        paging_add(&s->paging, &v->cpu);
        if (!atomic_load(&v->attached))
            continue;
        struct engine_stats es = vm->engine->stats(v->engine);
        s->counted |= es.counts_instructions;
        s->blocks_translated += es.blocks_translated;
        s->blocks_flushed += es.blocks_flushed;
        s->monitor_bytes += es.shared_bytes;
        engine_counters(s, &es, &ops);
    }
    s->counted &= !vm->switches.uncounted;
    s->switches = vm->switches.done;
    s->steps_n = ops_sorted(ops.steps, s->steps, ARRAY_LEN(s->steps));
    s->calls_n = ops_sorted(ops.calls, s->calls, ARRAY_LEN(s->calls));
    s->has_paging = vm->engine->virtual_time; /* the software engines */
    s->has_blocks = s->blocks_translated > 0;
    for (unsigned k = 0; k < EXIT_KINDS; k++)
        s->exits[k] =
            (struct trine_exit_count){exit_kind_name(k), vm->exits.stats.count[k], vm->exits.stats.ns[k]};
    s->exit_kinds = EXIT_KINDS;
    s->guest_bytes = vm->mem.size;
    s->ballooned_bytes = vm->devices.balloon ? vm->devices.balloon->ballooned << PAGE_SHIFT : 0;
    struct mem_use use = mem_use(&vm->mem);
    s->resident_bytes = use.resident;
    s->paged_bytes = use.paged;
    s->shared_bytes = use.shared;
    s->monitor_bytes += rss_private(vm->own_status) - use.copies;
    sharing_costs(vm, s);
    s->state_hash = vm_state_hash(vm);
    lock_release(&vm->lock);
}
