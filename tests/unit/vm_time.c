/* Virtual time, with a fake engine: deadlines at exact counts, deadlines armed during an exit, HLT's jump to
 * the next event, vCPUs' turns, halting for ever, input from a log, and that a run repeats exactly. */
#include <unistd.h>

#include "check.h"
#include "fake_engine.h"
#include "host/clock.h"
#include "machine/pc_map.h"

#define FIRES 64

/* Timers of the test's own on the VM's clock, and what they saw. */
struct bench {
    struct fake_guest guest; /* first: config.serial_opaque */
    struct vm *vm;
    struct timer timers[4];
    u64 fired_at[FIRES];
    unsigned fired_id[FIRES], fires;
    u64 period, delay; /* of timer 0; of the timer that the test's port arms */
    u64 woken_at[8];
    unsigned wakes;
};

static void note(struct bench *b, unsigned id)
{
    if (b->fires < FIRES) {
        b->fired_id[b->fires] = id;
        b->fired_at[b->fires] = clock_now(&b->vm->clock);
    }
    b->fires++;
}

static void fire0(void *opaque)
{
    struct bench *b = opaque;
    u64 due = clock_now(&b->vm->clock) + b->period;
    note(b, 0);
    if (b->period)
        timer_arm(&b->vm->clock, &b->timers[0], due);
}

static void fire1(void *opaque)
{
    note(opaque, 1);
}

static void fire2(void *opaque)
{
    note(opaque, 2);
}

static void fire_nmi(void *opaque)
{
    struct bench *b = opaque;
    note(b, 3);
    vcpu_attend(&b->vm->vcpus[0], ATTN_NMI);
}

static struct bench *bench_of(struct fake_guest *g)
{
    return (struct bench *)g;
}

static void bench_setup(struct vm *vm)
{
    struct bench *b = vm->config.serial_opaque;
    static void (*const fire[])(void *) = {fire0, fire1, fire2, fire_nmi};
    b->vm = vm;
    for (unsigned i = 0; i < ARRAY_LEN(fire); i++)
        timer_init(&b->timers[i], fire[i], b);
}

/* --- deadlines */

static enum fake_step count_to_6000(struct fake_guest *g, struct cpu *c, u64 n)
{
    (void)g;
    if (n == 6000)
        fake_out(c, PC_PORT_DEBUG_EXIT, 1, 21);
    return FAKE_NEXT;
}

static void setup_deadlines(struct vm *vm)
{
    struct bench *b = vm->config.serial_opaque;
    bench_setup(vm);
    timer_arm(&vm->clock, &b->timers[1], 5001);
    timer_arm(&vm->clock, &b->timers[2], 1000);
    timer_arm(&vm->clock, &b->timers[0], 1000);
    b->period = 2500;
}

static void test_deadlines(void)
{
    struct bench b = {.guest.instruction = count_to_6000};
    struct trine_config cfg = fake_config(&b.guest, TRINE_TIME_VIRTUAL);
    struct trine_result r;
    struct vm *vm = fake_run(&cfg, setup_deadlines, &r);
    CHECK_EQ(r.end, TRINE_END_DEBUG_EXIT);
    CHECK_EQ(r.debug_exit_value, 21);
    CHECK_EQ(r.rip, vm->vcpus[0].cpu.rip - 1);
    CHECK_EQ(vm->vcpus[0].cpu.icount, 6001); /* the OUT retires, and nothing behind it */
    const u64 at[] = {1000, 1000, 3500, 5001, 6000};
    const unsigned id[] = {2, 0, 0, 1, 0};
    CHECK_EQ(b.fires, ARRAY_LEN(at));
    for (unsigned i = 0; i < ARRAY_LEN(at); i++) {
        CHECK_EQ(b.fired_at[i], at[i]);
        CHECK_EQ(b.fired_id[i], id[i]);
    }
    vm_destroy(vm);
}

/* --- a chip arms a timer during an exit */

static void arm_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct bench *b = opaque;
    (void)off, (void)size;
    timer_arm(&b->vm->clock, &b->timers[1], clock_now(&b->vm->clock) + value);
}

static u64 arm_read(void *opaque, u64 off, unsigned size)
{
    struct bench *b = opaque;
    (void)off, (void)size;
    return clock_now(&b->vm->clock);
}

static const struct bus_ops arm_bus = {.read = arm_read, .write = arm_write, .min_size = 1, .max_size = 4};

static void setup_arm(struct vm *vm)
{
    struct error e;
    bench_setup(vm);
    CHECK_EQ(bus_add(&vm->mem.pio, "arm", 0x9000, 4, &arm_bus, vm->config.serial_opaque, &e), STATUS_OK);
}

static enum fake_step arm_in_exits(struct fake_guest *g, struct cpu *c, u64 n)
{
    if (n == 100)
        fake_out(c, 0x9000, 4, 50);
    if (n == 700)
        fake_out(c, 0x9000, 4, 0); /* due at once: the boundary behind this instruction */
    if (n == 777)
        g->mark = fake_in(c, 0x9000, 4);
    if (n == 1000)
        fake_poweroff(c); /* S5 */
    return FAKE_NEXT;
}

static void test_arm_in_exit(void)
{
    struct bench b = {.guest.instruction = arm_in_exits};
    struct trine_config cfg = fake_config(&b.guest, TRINE_TIME_VIRTUAL);
    struct trine_result r;
    struct vm *vm = fake_run(&cfg, setup_arm, &r);
    CHECK_EQ(r.end, TRINE_END_POWEROFF);
    CHECK_EQ(b.fires, 2);
    CHECK_EQ(b.fired_at[0], 150);
    CHECK_EQ(b.fired_at[1], 701);
    CHECK_EQ(b.guest.mark, 777);
    CHECK_EQ(vm->vcpus[0].cpu.icount, 1001);
    CHECK_EQ(vm->exits.stats.count[EXIT_PIO], 8);
    vm_destroy(vm);
}

/* --- HLT */

/* The fake engine takes an NMI by going on. */
static enum fake_step halt_twice(struct fake_guest *g, struct cpu *c, u64 n)
{
    struct bench *b = bench_of(g);
    if (n == 11 || n == 20) {
        b->woken_at[b->wakes++ & 7] = clock_now(&b->vm->clock);
        timer_arm(&b->vm->clock, &b->timers[3], 7000000000);
    }
    if (n == 30)
        fake_out(c, PC_PORT_DEBUG_EXIT, 1, 0);
    return n == 10 || n == 19 ? FAKE_HALT : FAKE_NEXT;
}

static void setup_halt(struct vm *vm)
{
    struct bench *b = vm->config.serial_opaque;
    bench_setup(vm);
    timer_arm(&vm->clock, &b->timers[1], 3000000000); /* wakes nobody */
    timer_arm(&vm->clock, &b->timers[3], 5000000000);
}

static void test_halt(void)
{
    struct bench b = {.guest.instruction = halt_twice};
    struct trine_config cfg = fake_config(&b.guest, TRINE_TIME_VIRTUAL);
    struct trine_result r;
    u64 start = host_ns();
    struct vm *vm = fake_run(&cfg, setup_halt, &r);
    CHECK_EQ(r.end, TRINE_END_DEBUG_EXIT);
    CHECK(host_ns() - start < NS_PER_S);
    CHECK_EQ(b.wakes, 2);
    CHECK_EQ(b.fired_at[0], 3000000000);
    CHECK_EQ(b.woken_at[0], 5000000000);
    CHECK_EQ(b.woken_at[1], 7000000000);
    CHECK_EQ(vm->vcpus[0].cpu.icount, 31);
    CHECK_EQ(clock_now(&vm->clock), 7000000000 + 11);
    vm_destroy(vm);
}

static enum fake_step halt_at_once(struct fake_guest *g, struct cpu *c, u64 n)
{
    (void)g, (void)c, (void)n;
    return FAKE_HALT;
}

static void setup_fruitless(struct vm *vm)
{
    struct bench *b = vm->config.serial_opaque;
    bench_setup(vm);
    b->period = 100;
    timer_arm(&vm->clock, &b->timers[0], 100);
}

static void test_halted_for_ever(void)
{
    struct bench b = {.guest.instruction = halt_at_once};
    struct trine_config cfg = fake_config(&b.guest, TRINE_TIME_VIRTUAL);
    struct trine_result r;
    vm_destroy(fake_run(&cfg, bench_setup, &r));
    CHECK_EQ(r.end, TRINE_END_HALTED_FOREVER);
    vm_destroy(fake_run(&cfg, setup_fruitless, &r));
    CHECK_EQ(r.end, TRINE_END_HALTED_FOREVER);
    CHECK(b.fires > 1000000);
}

/* --- several vCPUs: time is what all of them retire, and a halted one gives its turn away */

static enum fake_step take_turns(struct fake_guest *g, struct cpu *c, u64 n)
{
    struct bench *b = bench_of(g);
    if (c->index == 1 && n == 1000)
        return FAKE_HALT;
    if (c->index == 0 && n == 250000) {
        g->mark = clock_now(&b->vm->clock);
        fake_out(c, PC_PORT_DEBUG_EXIT, 1, 0);
    }
    return FAKE_NEXT;
}

static void setup_turns(struct vm *vm)
{
    bench_setup(vm);
    vm->vcpus[1].cpu.activity = ACTIVITY_RUNNING;
    vm->vcpus[2].cpu.activity = ACTIVITY_RUNNING;
}

static void test_turns(void)
{
    struct bench b = {.guest.instruction = take_turns};
    struct trine_config cfg = fake_config(&b.guest, TRINE_TIME_VIRTUAL);
    struct trine_result r;
    cfg.cpus = 3;
    struct vm *vm = fake_run(&cfg, setup_turns, &r);
    CHECK_EQ(r.end, TRINE_END_DEBUG_EXIT);
    CHECK_EQ(vm->vcpus[0].cpu.icount, 250001);
    CHECK_EQ(vm->vcpus[1].cpu.icount, 1001);
    CHECK_EQ(vm->vcpus[2].cpu.icount, 200000);
    CHECK_EQ(clock_now(&vm->clock), 250001 + 1001 + 200000);
    CHECK_EQ(b.guest.mark, 250000 + 1001 + 200000);
    vm_destroy(vm);
}

/* --- a whole run: PIT interrupts through the 8259, serial output, input from a log, randomness, TSC; twice
 */

struct story {
    struct fake_guest guest;
    u64 digest;
    unsigned ticks;
    char input[16];
    size_t input_len;
};

static void mix(struct story *s, u64 v)
{
    s->digest = (s->digest ^ v) * 0x100000001b3ull;
}

static void story_interrupt(struct fake_guest *g, struct cpu *c, int vector)
{
    struct story *s = (struct story *)g;
    mix(s, (u64)vector);
    mix(s, c->icount);
    mix(s, c->wires.tsc(c->wires.opaque, c));
    if (vector == 0x20)
        s->ticks++;
    fake_out(c, 0x20, 1, 0x20); /* EOI */
}

static void story_begin(struct cpu *c)
{
    static const u16 script[][2] = {
        {0x20, 0x11},
        {0x21, 0x20},
        {0x21, 4},
        {0x21, 1}, /* 8259: vectors at 0x20 */
        {0x21, 0xfe},
        {0x43, 0x34},
        {0x40, 0xa9},
        {0x40, 0x04}, /* IRQ 0 alone; PIT at 1 kHz */
        {PC_PORT_COM1 + 2, 1},
        {PC_PORT_COM1, 'h'},
        {PC_PORT_COM1, 'i'},
    };
    c->rflags_sys |= RFLAGS_IF;
    for (size_t i = 0; i < ARRAY_LEN(script); i++)
        fake_out(c, script[i][0], 1, script[i][1]);
}

static enum fake_step story_step(struct fake_guest *g, struct cpu *c, u64 n)
{
    struct story *s = (struct story *)g;
    if (n == 0)
        story_begin(c);
    if (n % 97 == 5)
        mix(s, c->wires.random(c->wires.opaque));
    if (fake_in(c, PC_PORT_COM1 + 5, 1) & 1 && s->input_len < sizeof s->input - 1) {
        s->input[s->input_len++] = (char)fake_in(c, PC_PORT_COM1, 1);
        mix(s, n);
    }
    if (s->ticks == 50)
        fake_poweroff(c);
    return n % 1000 == 999 ? FAKE_HALT : FAKE_NEXT;
}

static void story_setup(struct vm *vm)
{
    pc_enter_virtual_wire(&vm->pc); /* the 8259 reaches the vCPU */
}

static char log_path[] = "/tmp/trine-vm-time-XXXXXX";

static u64 story_run(u64 seed, u64 *digest)
{
    struct story s = {.guest = {.instruction = story_step, .interrupt = story_interrupt}};
    struct trine_config cfg = fake_config(&s.guest, TRINE_TIME_VIRTUAL);
    struct trine_result r;
    struct trine_stats stats;
    cfg.seed = seed;
    cfg.input_log = log_path;
    struct vm *vm = fake_run(&cfg, story_setup, &r);
    CHECK_EQ(r.end, TRINE_END_POWEROFF);
    CHECK_EQ(s.ticks, 50);
    CHECK_STR(s.guest.output, "hi");
    CHECK_STR(s.input, "ls\nabcdefghijkl");
    u64 now = clock_now(&vm->clock);
    CHECK(now > 48900000 && now < 50100000); /* the mode's own edge may be the first tick */
    vm_stats(vm, &stats);
    CHECK(stats.counted && stats.guest_instructions == vm->vcpus[0].cpu.icount);
    vm_destroy(vm);
    *digest = s.digest;
    return stats.state_hash;
}

static void test_repeats(void)
{
    u64 digest[3], hash[3];
    FILE *f = fopen(log_path, "w");
    fputs("0 6c73\n20000000 0a\n30000000 6162636465666768696a6b6c6d6e6f70717273\n", f);
    fclose(f);
    hash[0] = story_run(1, &digest[0]);
    hash[1] = story_run(1, &digest[1]);
    hash[2] = story_run(2, &digest[2]);
    CHECK_EQ(hash[0], hash[1]);
    CHECK_EQ(digest[0], digest[1]);
    CHECK(hash[0] && hash[0] != hash[2]);
    CHECK(digest[0] != digest[2]);
    unlink(log_path);
}

int main(void)
{
    int fd = mkstemp(log_path);
    if (fd < 0)
        return 1;
    close(fd);
    test_deadlines();
    test_arm_in_exit();
    test_halt();
    test_halted_for_ever();
    test_turns();
    test_repeats();
    return check_done();
}
