/* The public interface with a real guest (the path is the argument: a Multiboot kernel that prints a line and
 * leaves by the debug-exit port): two VMs at once, a guest larger than the host, what is refused and how,
 * repeatable runs. usage: library GUEST */
#include <pthread.h>
#include <trine.h>

#include "check.h"

static const char *guest;

struct run {
    struct trine_config config;
    struct trine_result result;
    struct trine_stats stats;
    char output[256];
    size_t len;
};

static void take_output(void *opaque, const uint8_t *data, size_t n)
{
    struct run *r = opaque;
    size_t room = sizeof r->output - 1 - r->len;
    memcpy(r->output + r->len, data, n < room ? n : room);
    r->len += n < room ? n : room;
}

static void run_init(struct run *r)
{
    memset(r, 0, sizeof *r);
    trine_config_init(&r->config);
    r->config.kernel = guest;
    r->config.memory = 16 << 20;
    r->config.serial = TRINE_SERIAL_CALLBACK;
    r->config.serial_output = take_output;
    r->config.serial_opaque = r;
    r->config.debug_exit = true;
    r->config.quiet = true;
    r->config.max_time_s = 30;
}

static void *run_once(void *arg)
{
    struct run *r = arg;
    struct trine_vm *vm;
    struct trine_error e = {0};
    r->len = 0;
    if (trine_create(&r->config, &vm, &e) != TRINE_OK) {
        CHECK_STR(e.text, "");
        return NULL;
    }
    CHECK_EQ(trine_run(vm, &r->result, &e), TRINE_OK);
    CHECK_EQ(trine_run(vm, &r->result, &e), TRINE_USAGE);
    trine_get_stats(vm, &r->stats);
    trine_destroy(vm);
    return NULL;
}

static void check_run(const struct run *r)
{
    CHECK_EQ(r->result.end, TRINE_END_DEBUG_EXIT);
    CHECK_EQ(r->result.debug_exit_value, 21);
    CHECK_STR(r->output, "hello from the guest\n");
    CHECK(r->stats.counted && r->stats.guest_instructions > 60 && r->stats.guest_instructions < 200);
    CHECK_EQ(r->stats.unbuilt, 0);
}

static void test_two(void)
{
    for (unsigned i = 0; i < 10; i++) {
        struct run r[2];
        pthread_t t[2];
        for (unsigned k = 0; k < 2; k++) {
            run_init(&r[k]);
            r[k].config.time = k ? TRINE_TIME_VIRTUAL : TRINE_TIME_REAL;
            CHECK_EQ(pthread_create(&t[k], NULL, run_once, &r[k]), 0);
        }
        for (unsigned k = 0; k < 2; k++) {
            pthread_join(t[k], NULL);
            check_run(&r[k]);
        }
    }
}

static void test_repeats(void)
{
    struct run a, b;
    run_init(&a);
    a.config.time = TRINE_TIME_VIRTUAL;
    b = a;
    b.config.serial_opaque = &b;
    run_once(&a);
    run_once(&b);
    CHECK_EQ(a.stats.state_hash, b.stats.state_hash);
    CHECK_EQ(a.stats.guest_instructions, b.stats.guest_instructions);
    CHECK(a.stats.state_hash != 0);
}

static void test_large(void)
{
    struct run r;
    run_init(&r);
    r.config.memory = 64ull << 30;
    run_once(&r);
    check_run(&r);
    CHECK_EQ(r.stats.guest_bytes, 64ull << 30);
    CHECK(r.stats.resident_bytes > 0 && r.stats.resident_bytes < 32 << 20);
    CHECK(r.stats.monitor_bytes > 0);
}

static void test_refused(void)
{
    static const struct {
        const char *kernel, *engine, *machine;
        uint64_t memory;
        unsigned cpus;
        enum trine_status want;
        const char *text; /* null: any */
    } bad[] = {
        {NULL, "interp", "pc", 16 << 20, 1, TRINE_USAGE, "kernel: none given, and no firmware"},
        {"/nowhere/kernel", "interp", "pc", 16 << 20, 1, TRINE_HOST,
         "/nowhere/kernel: No such file or directory"},
        {"/", "interp", "pc", 16 << 20, 1, TRINE_HOST, NULL},
        {"/dev/null", "interp", "pc", 16 << 20, 1, TRINE_HOST, NULL},
        {"", "bochs", "pc", 16 << 20, 1, TRINE_USAGE, "engine bochs: no such engine"},
        {"", "interp", "amiga", 16 << 20, 1, TRINE_USAGE, "machine amiga: not built in"},
        {"", "interp", "pc", 0, 1, TRINE_USAGE, NULL},
        {"", "interp", "pc", 12345, 1, TRINE_USAGE, NULL},
        {"", "interp", "pc", 1ull << 60, 1, TRINE_USAGE, NULL},
        {"", "interp", "pc", 16 << 20, 0, TRINE_USAGE, NULL},
        {"", "interp", "pc", 16 << 20, 9999, TRINE_USAGE, NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct run r;
        struct trine_vm *vm = NULL;
        struct trine_error e = {0};
        run_init(&r);
        r.config.kernel = bad[i].kernel && !*bad[i].kernel ? guest : bad[i].kernel;
        r.config.engine = bad[i].engine;
        r.config.machine = bad[i].machine;
        r.config.memory = bad[i].memory;
        r.config.cpus = bad[i].cpus;
        CHECK_EQ(trine_create(&r.config, &vm, &e), bad[i].want);
        CHECK_EQ(e.status, bad[i].want);
        CHECK(!vm && e.text[0] && !strchr(e.text, '\n'));
        if (bad[i].text)
            CHECK_STR(e.text, bad[i].text);
    }
}

static void show_nothing(void *opaque, const char *line)
{
    (void)opaque, (void)line;
}

/* The engine's map of what was shown has room for TRINE_SHOW_MAX bytes. */
static void test_show_range(void)
{
    static const uint64_t bad[][2] = {{0x1000, 0}, {0x1000, TRINE_SHOW_MAX + 1}, {0x1000, UINT64_MAX}, {UINT64_MAX - 15, 17}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct run r;
        struct trine_vm *vm = NULL;
        struct trine_error e = {0};
        run_init(&r);
        r.config.show_line = show_nothing;
        r.config.show_at = bad[i][0], r.config.show_len = bad[i][1];
        CHECK_EQ(trine_create(&r.config, &vm, &e), TRINE_USAGE);
        CHECK_STR(e.text, "translations: 1 to 4096 bytes of addresses can be shown");
    }
}

static void test_engines(void)
{
    const char *name;
    bool usable, found = false;
    char why[256];
    for (unsigned n = 0; trine_engine(n, &name, &usable, why, sizeof why); n++) {
        found |= !strcmp(name, trine_engine_auto()) && usable;
        CHECK(usable || why[0]);
    }
    CHECK(found);
}

static void test_not_run(void)
{
    struct run r;
    struct trine_vm *vm;
    struct trine_error e;
    run_init(&r);
    CHECK_EQ(trine_create(&r.config, &vm, &e), TRINE_OK);
    trine_get_stats(vm, &r.stats);
    CHECK_EQ(r.stats.guest_instructions, 0);
    trine_stop(vm); /* before the run: it ends at once */
    CHECK_EQ(trine_run(vm, &r.result, &e), TRINE_OK);
    CHECK_EQ(r.result.end, TRINE_END_STOPPED);
    trine_destroy(vm);
    CHECK_EQ(trine_create(&r.config, &vm, &e), TRINE_OK);
    trine_destroy(vm);
    trine_destroy(NULL);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    guest = argv[1];
    test_two();
    test_repeats();
    test_large();
    test_refused();
    test_show_range();
    test_engines();
    test_not_run();
    return check_done();
}
