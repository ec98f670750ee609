/* The balloon's size. `auto` is a rule between two marks of the host's available memory: below an eighth the guest gives up half of what it
 * does not need, above a quarter it gets an eighth of its size back, and in between nothing moves. A guest that comes to need what it gave up
 * gets it back whatever the host has: its swapping costs more, and the host still can page. A step every two seconds, on figures of the last. */
#include "machine/balloon.h"

#include "host/rss.h"
#include "machine/sharing.h"
#include "machine/vm.h"

#define STEP_NS (2 * NS_PER_S)
#define TELL_NS NS_PER_S /* between two BALLOON_CHANGE, as in QEMU */
#define RESERVE_MIN MIB(64)

static u64 least(u64 a, u64 b)
{
    return a < b ? a : b;
}

u64 balloon_policy(u64 size, u64 actual, u64 available, u64 total, u64 left)
{
    u64 reserve = size / 16 > RESERVE_MIN ? size / 16 : RESERVE_MIN;
    u64 next = actual;
    if (available < reserve / 2)
        next = actual + reserve;
    else if (left > total / 4)
        next = actual + size / 8;
    else if (left < total / 8 && available > reserve)
        next = actual - least(least((available - reserve) / 2, total / 8 - left), actual);
    return least(next & PAGE_MASK, size);
}

static bool has_driver(const struct vm *vm)
{
    return vm->devices.balloon && virtio_running(&vm->devices.balloon->v, 0);
}

enum status balloon_set(struct vm *vm, u64 bytes, struct error *e)
{
    if (!vm->devices.balloon)
        return error_set(e, STATUS_USAGE, "No balloon device has been activated");
    virtio_balloon_set_target(vm->devices.balloon, bytes);
    return STATUS_OK;
}

enum status balloon_query(struct vm *vm, u64 *bytes, struct error *e)
{
    if (!vm->devices.balloon)
        return error_set(e, STATUS_USAGE, "No balloon device has been activated");
    *bytes = virtio_balloon_actual(vm->devices.balloon);
    return STATUS_OK;
}

bool balloon_available(const struct vm *vm, u64 *bytes)
{
    const struct virtio_balloon *b = vm->devices.balloon;
    bool known = has_driver(vm) && vm->config.balloon_auto && b->stats_ns && b->stats[BALLOON_AVAILABLE_MEMORY] != ~0ull;
    *bytes = known ? b->stats[BALLOON_AVAILABLE_MEMORY] : 0;
    return known;
}

/* What is wanted of the guest now: by its group's limit, or else by what the host has left. */
static u64 wanted(const struct vm *vm, u64 available, u64 total, u64 left)
{
    u64 size = vm->mem.size, actual = virtio_balloon_actual(vm->devices.balloon), target = sharing_target(vm);
    u64 own = balloon_policy(size, actual, available, total, left);
    u64 reserve = size / 16 > RESERVE_MIN ? size / 16 : RESERVE_MIN;
    if (!target || available < reserve / 2)
        return own;
    if (target >= actual)
        return least(target, own > actual ? own : target);
    u64 down = available > reserve ? (available - reserve) / 2 : 0; /* at a time */
    return actual - least(down, actual - target);
}

static void step(void *opaque)
{
    struct vm *vm = opaque;
    struct virtio_balloon *b = vm->devices.balloon;
    u64 total, left, now = clock_now(&vm->clock);
    u64 available;
    if (balloon_available(vm, &available) && host_memory(&total, &left))
        virtio_balloon_set_target(b, wanted(vm, available, total, left));
    (void)virtio_balloon_ask_stats(b);
    timer_arm(&vm->clock, &vm->balloon_timer, now + STEP_NS);
}

void balloon_changed(void *opaque)
{
    struct vm *vm = opaque;
    u64 now = clock_now(&vm->clock), actual = virtio_balloon_actual(vm->devices.balloon);
    bool there = actual == vm->mem.size - least((u64)vm->devices.balloon->target << PAGE_SHIFT, vm->mem.size);
    if (there || !vm->balloon_told_ns || now - vm->balloon_told_ns >= TELL_NS) {
        vm->balloon_told_ns = now;
        control_balloon(vm, actual);
    }
}

void balloon_start(struct vm *vm)
{
    if (!vm->devices.balloon || !vm->config.balloon_auto)
        return;
    timer_init(&vm->balloon_timer, step, vm);
    timer_arm(&vm->clock, &vm->balloon_timer, STEP_NS);
}
