/* Real time and the ends of a VM, with a fake engine: threads, halting, idle cost, timers, stop from another
 * thread and from a signal handler,
 * --max-time, reset in place, host failures, several VMs and vCPUs at once. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include "check.h"
#include "fake_engine.h"
#include "host/clock.h"
#include "machine/pc_map.h"

static u64 process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (u64)t.tv_sec * NS_PER_S + (u64)t.tv_nsec;
}

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

/* --- guests */

static enum fake_step spin(struct fake_guest *g, struct cpu *c, u64 n)
{
    (void)g, (void)c, (void)n;
    return FAKE_NEXT;
}

static enum fake_step halt(struct fake_guest *g, struct cpu *c, u64 n)
{
    (void)g, (void)c, (void)n;
    return FAKE_HALT;
}

static enum fake_step power_off(struct fake_guest *g, struct cpu *c, u64 n)
{
    (void)g;
    if (n == 1000)
        fake_poweroff(c);
    return FAKE_NEXT;
}

static enum fake_step triple(struct fake_guest *g, struct cpu *c, u64 n)
{
    (void)g, (void)c;
    return n == 12 ? FAKE_TRIPLE : FAKE_NEXT;
}

static enum fake_step fail(struct fake_guest *g, struct cpu *c, u64 n)
{
    (void)g, (void)c;
    return n == 12 ? FAKE_ERROR : FAKE_NEXT;
}

static enum fake_step keyboard_reset(struct fake_guest *g, struct cpu *c, u64 n)
{
    (void)n;
    if (g->mark++ == 100)
        fake_out(c, PC_PORT_KBD_CMD, 1, 0xfe);
    if (g->mark == 201)
        fake_out(c, PC_PORT_DEBUG_EXIT, 1, 3);
    return FAKE_NEXT;
}

/* --- ends */

static void test_end(enum fake_step (*insn)(struct fake_guest *, struct cpu *, u64), enum trine_time time,
                     double max_time_s, enum trine_end want)
{
    struct fake_guest g = {.instruction = insn};
    struct trine_config cfg = fake_config(&g, time);
    struct trine_result r;
    if (max_time_s > 0)
        cfg.max_time_s = max_time_s;
    u64 start = host_ns();
    struct vm *vm = fake_run(&cfg, NULL, &r);
    u64 took = host_ns() - start;
    CHECK_EQ(r.end, want);
    if (max_time_s > 0)
        CHECK(took > (u64)(max_time_s * 1e9) && took < 2 * NS_PER_S);
    struct error e;
    CHECK_EQ(vm_run(vm, &r, &e), STATUS_USAGE); /* once only */
    vm_destroy(vm);
}

static void test_failure(enum trine_time time)
{
    struct fake_guest g = {.instruction = fail};
    struct trine_config cfg = fake_config(&g, time);
    struct trine_result r;
    struct error e = {0};
    struct vm *vm;
    CHECK_EQ(vm_create(&cfg, &fake_engine, &vm, &e), STATUS_OK);
    CHECK_EQ(vm_run(vm, &r, &e), STATUS_HOST);
    CHECK_STR(e.text, "fake engine: as asked");
    vm_destroy(vm);
}

static void test_reboot(enum trine_time time)
{
    struct fake_guest g = {.instruction = keyboard_reset};
    struct trine_config cfg = fake_config(&g, time);
    struct trine_result r;
    struct vm *vm = fake_run(&cfg, NULL, &r);
    CHECK_EQ(r.end, TRINE_END_RESET);
    CHECK_EQ(vm->vcpus[0].cpu.icount, 101);
    vm_destroy(vm);
    g.mark = 0;
    cfg.reboot = true;
    vm = fake_run(&cfg, NULL, &r);
    CHECK_EQ(r.end, TRINE_END_DEBUG_EXIT);
    CHECK_EQ(r.debug_exit_value, 3);
    CHECK_EQ(vm->resets, 2); /* the first made it */
    CHECK_EQ(vm->vcpus[0].cpu.icount, 201);
    CHECK_EQ(vm->vcpus[0].cpu.rip, 0xfff0 + 100);
    vm_destroy(vm);
}

static void test_create_errors(void)
{
    static const struct {
        u32 cpus;
        double max_time_s;
        const char *cpu, *machine, *record;
        enum status want;
    } bad[] = {
        {0, 0, NULL, NULL, NULL, STATUS_USAGE},         {5, 0, NULL, NULL, NULL, STATUS_UNSUPPORTED},
        {1, -1, NULL, NULL, NULL, STATUS_USAGE},        {1, 0, "i486", NULL, NULL, STATUS_USAGE},
        {1, 0, NULL, "q35", NULL, STATUS_USAGE},        {1, 0, NULL, NULL, "/nowhere/x", STATUS_HOST},
        {1, 0.0 / 0.0, NULL, NULL, NULL, STATUS_USAGE},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct fake_guest g = {.instruction = spin};
        struct trine_config cfg = fake_config(&g, TRINE_TIME_REAL);
        struct error e = {0};
        struct vm *vm = NULL;
        cfg.cpus = bad[i].cpus;
        cfg.max_time_s = bad[i].max_time_s;
        cfg.cpu = bad[i].cpu;
        cfg.machine = bad[i].machine;
        cfg.record_input = bad[i].record;
        CHECK_EQ(vm_create(&cfg, &fake_engine, &vm, &e), bad[i].want);
        CHECK(!vm && e.text[0]);
    }
}

/* --- stop, from another thread and from a signal handler */

static void *stop_later(void *arg)
{
    sleep_ms(100);
    vm_stop(arg);
    return NULL;
}

static struct thread stopper;

static void setup_stopper(struct vm *vm)
{
    struct error e;
    CHECK_EQ(thread_start(&stopper, "stopper", stop_later, vm, &e), STATUS_OK);
}

static void test_stop(enum fake_step (*insn)(struct fake_guest *, struct cpu *, u64), enum trine_time time,
                      u32 cpus)
{
    struct fake_guest g = {.instruction = insn};
    struct trine_config cfg = fake_config(&g, time);
    struct trine_result r;
    cfg.cpus = cpus;
    u64 start = host_ns();
    struct vm *vm = fake_run(&cfg, setup_stopper, &r);
    CHECK(host_ns() - start < NS_PER_S);
    CHECK_EQ(r.end, TRINE_END_STOPPED);
    thread_join(&stopper);
    vm_destroy(vm);
}

static struct vm *_Atomic alarmed;

static void on_alarm(int sig)
{
    (void)sig;
    vm_stop(atomic_load(&alarmed));
}

static void setup_alarm(struct vm *vm)
{
    atomic_store(&alarmed, vm);
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 100000}, NULL);
}

static void test_stop_signal(enum trine_time time)
{
    struct fake_guest g = {.instruction = spin};
    struct trine_config cfg = fake_config(&g, time);
    struct trine_result r;
    vm_destroy(fake_run(&cfg, setup_alarm, &r));
    CHECK_EQ(r.end, TRINE_END_STOPPED);
}

/* --- idle, and timers that wake */

static void test_idle(void)
{
    struct fake_guest g = {.instruction = halt};
    struct trine_config cfg = fake_config(&g, TRINE_TIME_REAL);
    struct trine_result r;
    cfg.max_time_s = 0.5;
    u64 cpu = process_cpu_ns();
    struct vm *vm = fake_run(&cfg, NULL, &r);
    cpu = process_cpu_ns() - cpu;
    struct trine_stats s;
    vm_stats(vm, &s);
    CHECK(s.busy_s < 0.05 && s.wall_s > 0.49);
    CHECK_EQ(g.runs, 1); /* to HLT; nobody looked since */
    vm_destroy(vm);
    /* Making the machine and ending it is in there, too. */
    if (cpu > 25000000)
        fprintf(stderr, "idle for 0.5 s used %" PRIu64 " us of CPU\n", cpu / 1000);
    CHECK(cpu < 25000000);
}

struct ticker {
    struct fake_guest guest;
    struct vm *vm;
    struct timer timer;
    u64 due[20], late_max, late_sum;
    unsigned ticks;
};

static void tick(void *opaque)
{
    struct ticker *t = opaque;
    vcpu_attend(&t->vm->vcpus[0], ATTN_NMI);
}

/* Arms a timer 5 ms ahead, as a guest's exit would, halts, and looks how late it was woken. */
static enum fake_step tick_and_halt(struct fake_guest *g, struct cpu *c, u64 n)
{
    struct ticker *t = (struct ticker *)g;
    u64 now = clock_now(&t->vm->clock);
    (void)n;
    if (t->ticks) {
        u64 late = now - t->due[t->ticks - 1];
        CHECK(now >= t->due[t->ticks - 1]);
        t->late_sum += late;
    }
    if (t->ticks == ARRAY_LEN(t->due)) {
        fake_poweroff(c);
        return FAKE_NEXT;
    }
    t->due[t->ticks++] = now + 5000000;
    lock_take(&t->vm->lock);
    timer_arm(&t->vm->clock, &t->timer, now + 5000000);
    lock_release(&t->vm->lock);
    return FAKE_HALT;
}

static void setup_ticker(struct vm *vm)
{
    struct ticker *t = vm->config.serial_opaque;
    t->vm = vm;
    timer_init(&t->timer, tick, t);
}

static void test_timers(void)
{
    struct ticker t = {.guest.instruction = tick_and_halt};
    struct trine_config cfg = fake_config(&t.guest, TRINE_TIME_REAL);
    struct trine_result r;
    struct vm *vm = fake_run(&cfg, setup_ticker, &r);
    CHECK_EQ(r.end, TRINE_END_POWEROFF);
    /* On a busy host a timer may be due before the HLT that waits for it. */
    CHECK(vm->exits.stats.count[EXIT_HALT] <= ARRAY_LEN(t.due));
    CHECK(vm->exits.stats.count[EXIT_HALT] >= ARRAY_LEN(t.due) / 2);
    CHECK(vm->vcpus[0].halted_ns > 90000000);
    u64 average = t.late_sum / ARRAY_LEN(t.due);
    if (average > 2000000)
        fprintf(stderr, "timers were %" PRIu64 " us late on average\n", average / 1000);
    CHECK(average < 2000000);
    vm_destroy(vm);
}

/* --- serial output of many bytes, from a vCPU that never waits */

static enum fake_step print(struct fake_guest *g, struct cpu *c, u64 n)
{
    (void)g;
    if (n < 3000) {
        while (!(fake_in(c, PC_PORT_COM1 + 5, 1) & 0x20))
            ;
        fake_out(c, PC_PORT_COM1, 1, 'a' + (u32)(n % 26));
    } else {
        fake_poweroff(c);
    }
    return FAKE_NEXT;
}

static void check_output(const struct fake_guest *g)
{
    CHECK_EQ(g->output_len, 3000);
    for (size_t i = 0; i < g->output_len; i++)
        if (g->output[i] != (char)('a' + i % 26)) {
            CHECK_EQ(i, g->output_len);
            return;
        }
}

static void test_output(enum trine_time time)
{
    struct fake_guest g = {.instruction = print};
    struct trine_config cfg = fake_config(&g, time);
    struct trine_result r;
    vm_destroy(fake_run(&cfg, NULL, &r));
    check_output(&g);
}

/* --- two VMs at once, each on a thread of its own, and one with several vCPUs */

static void *run_one(void *arg)
{
    struct fake_guest *g = arg;
    struct trine_config cfg = fake_config(g, g->mark & 1 ? TRINE_TIME_VIRTUAL : TRINE_TIME_REAL);
    struct trine_result r;
    for (unsigned i = 0; i < 20; i++) {
        g->output_len = 0;
        vm_destroy(fake_run(&cfg, NULL, &r));
        CHECK_EQ(r.end, TRINE_END_POWEROFF);
        check_output(g);
    }
    return NULL;
}

static void test_two_vms(void)
{
    struct fake_guest g[2] = {{.instruction = print, .mark = 0}, {.instruction = print, .mark = 1}};
    struct thread t[2];
    struct error e;
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(thread_start(&t[i], "vm", run_one, &g[i], &e), STATUS_OK);
    for (unsigned i = 0; i < 2; i++)
        thread_join(&t[i]);
}

static enum fake_step reset_by_last(struct fake_guest *g, struct cpu *c, u64 n)
{
    const struct vcpu *v = c->wires.opaque;
    (void)g;
    if (c->index == 3 && n == 100000)
        fake_out(c, PC_PORT_RESET, 1, 6);
    if (c->index == 0 && v->vm->resets == 2)
        fake_poweroff(c);
    return FAKE_NEXT;
}

static void setup_smp(struct vm *vm)
{
    for (u32 i = 0; i < vm->config.cpus; i++)
        vm->vcpus[i].cpu.activity = ACTIVITY_RUNNING;
}

/* All vCPUs stop for a reset that one of them asks for; the others then wait for their start-up IPI. */
static void test_smp_reset(void)
{
    struct fake_guest g = {.instruction = reset_by_last};
    struct trine_config cfg = fake_config(&g, TRINE_TIME_REAL);
    struct trine_result r;
    cfg.cpus = 4;
    cfg.reboot = true;
    struct vm *vm = fake_run(&cfg, setup_smp, &r);
    CHECK_EQ(r.end, TRINE_END_POWEROFF);
    CHECK_EQ(vm->resets, 2);
    CHECK_EQ(vm->vcpus[2].cpu.activity, ACTIVITY_WAIT_SIPI);
    vm_destroy(vm);
}

int main(void)
{
    for (enum trine_time t = TRINE_TIME_REAL; t <= TRINE_TIME_VIRTUAL; t++) {
        test_end(power_off, t, 0, TRINE_END_POWEROFF);
        test_end(triple, t, 0, TRINE_END_TRIPLE_FAULT);
        test_end(spin, t, 0.2, TRINE_END_MAX_TIME);
        test_failure(t);
        test_reboot(t);
        test_stop(spin, t, 1);
        test_stop_signal(t);
        test_output(t);
    }
    test_end(halt, TRINE_TIME_REAL, 0.2, TRINE_END_MAX_TIME);
    test_stop(halt, TRINE_TIME_REAL, 1);
    test_stop(spin, TRINE_TIME_REAL, 3);
    test_create_errors();
    test_idle();
    test_timers();
    test_two_vms();
    test_smp_reset();
    return check_done();
}
