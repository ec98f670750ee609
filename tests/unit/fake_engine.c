/* See fake_engine.h. */
#include "fake_engine.h"

#include <stdlib.h>

#include "check.h"

struct fake {
    struct cpu *c;
    struct fake_guest *guest;
};

static bool fake_probe(char *why, size_t size)
{
    (void)why, (void)size;
    return true;
}

static enum status fake_attach(struct cpu *c, void *shared, void **state, struct error *e)
{
    (void)shared;
    struct fake *f = calloc(1, sizeof *f);
    const struct vcpu *v = c->wires.opaque;
    if (!f)
        return error_set(e, STATUS_HOST, "fake engine: out of memory");
    f->c = c;
    f->guest = v->vm->config.serial_opaque;
    *state = f;
    return STATUS_OK;
}

static void fake_detach(void *state)
{
    free(state);
}

static void take_interrupt(struct fake *f)
{
    struct cpu *c = f->c;
    atomic_fetch_and(&c->attention, ~(u32)ATTN_INTR);
    int vector = c->wires.intr_ack(c->wires.opaque, c);
    if (vector < 0)
        return;
    c->activity = ACTIVITY_RUNNING;
    if (f->guest->interrupt)
        f->guest->interrupt(f->guest, c, vector);
}

static enum run_result fake_execute(void *state, u64 limit, struct error *e)
{
    struct fake *f = state;
    struct cpu *c = f->c;
    __atomic_fetch_add(&f->guest->runs, 1, __ATOMIC_RELAXED);
    for (;;) {
        u32 attention = atomic_load(&c->attention);
        if (attention & ATTN_NMI) {
            atomic_fetch_and(&c->attention, ~(u32)ATTN_NMI);
            c->activity = ACTIVITY_RUNNING;
        }
        if (attention & ATTN_INTR && c->rflags_sys & RFLAGS_IF)
            take_interrupt(f);
        if (attention & ATTN_KICK)
            return RUN_ATTENTION;
        if (c->activity != ACTIVITY_RUNNING)
            return RUN_HALT;
        if (c->icount >= limit)
            return RUN_LIMIT;
        switch (f->guest->instruction(f->guest, c, c->icount)) {
        case FAKE_NEXT: break;
        case FAKE_HALT: c->activity = ACTIVITY_HALTED; break;
        case FAKE_TRIPLE: return RUN_SHUTDOWN;
        case FAKE_ERROR: error_set(e, STATUS_HOST, "fake engine: as asked"); return RUN_ERROR;
        }
        c->icount++;
        c->rip++;
    }
}

static enum run_result fake_step(void *state, struct error *e)
{
    struct fake *f = state;
    return fake_execute(state, f->c->icount + 1, e);
}

static void fake_kick(void *state)
{
    struct fake *f = state;
    __atomic_fetch_add(&f->guest->kicks, 1, __ATOMIC_RELAXED);
}

static void fake_nothing(void *state)
{
    (void)state;
}

static u64 fake_flush(void *state, u64 gpa, u64 len)
{
    (void)state, (void)gpa, (void)len;
    return 0;
}

static struct engine_stats fake_stats(void *state)
{
    (void)state;
    return (struct engine_stats){.counts_instructions = true};
}

const struct engine_ops fake_engine = {
    .name = "fake",
    .probe = fake_probe,
    .virtual_time = true,
    .max_cpus = 4,
    .concurrent = true,
    .attach = fake_attach,
    .detach = fake_detach,
    .run = fake_execute,
    .step = fake_step,
    .kick = fake_kick,
    .pull = fake_nothing,
    .push = fake_nothing,
    .flush_code = fake_flush,
    .stats = fake_stats,
};

void fake_out(struct cpu *c, u16 port, unsigned size, u32 value)
{
    struct exit x = {.kind = EXIT_PIO, .write = true, .size = (u8)size, .addr = port, .data = value};
    c->wires.exit(c->wires.opaque, c, &x);
}

u32 fake_in(struct cpu *c, u16 port, unsigned size)
{
    struct exit x = {.kind = EXIT_PIO, .size = (u8)size, .addr = port};
    c->wires.exit(c->wires.opaque, c, &x);
    return (u32)x.data;
}

void fake_poweroff(struct cpu *c)
{
    fake_out(c, 0xcf8, 4, 0x80000b40);
    fake_out(c, 0xcfc, 4, 0x601);
    fake_out(c, 0xcf8, 4, 0x80000b80);
    fake_out(c, 0xcfc, 1, 1);
    fake_out(c, 0x604, 2, 0x2000);
}

static void fake_output(void *opaque, const uint8_t *data, size_t n)
{
    struct fake_guest *g = opaque;
    size_t room = sizeof g->output - 1 - g->output_len;
    memcpy(g->output + g->output_len, data, n < room ? n : room);
    g->output_len += n < room ? n : room;
}

struct trine_config fake_config(struct fake_guest *g, enum trine_time time)
{
    struct trine_config cfg;
    trine_config_init(&cfg);
    cfg.memory = MIB(2);
    cfg.serial = TRINE_SERIAL_CALLBACK;
    cfg.serial_output = fake_output;
    cfg.serial_opaque = g;
    cfg.time = time;
    cfg.debug_exit = true;
    cfg.max_time_s = 20; /* a test that hangs fails instead */
    cfg.quiet = true;
    return cfg;
}

struct vm *fake_run(const struct trine_config *cfg, void (*setup)(struct vm *vm), struct trine_result *r)
{
    struct error e = {0};
    struct vm *vm = NULL;
    if (vm_create(cfg, &fake_engine, &vm, &e) != STATUS_OK) {
        fprintf(stderr, "create: %s\n", e.text);
        exit(1);
    }
    if (setup)
        setup(vm);
    if (vm_run(vm, r, &e) != STATUS_OK) {
        fprintf(stderr, "run: %s\n", e.text);
        exit(1);
    }
    return vm;
}
