/* The exit table: what goes to which bus, sizes, counting, the lock around it; the choice of an engine;
 * waking and sleeping of the loop. */
#include <errno.h>
#include <unistd.h>

#include "check.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "host/clock.h"
#include "host/loop.h"
#include "host/wake.h"
#include "mem/mem.h"

struct fixture {
    struct mem mem;
    struct cpu cpu;
    struct exit_target target;
    int locked, locks;
    u64 written, off, private_addr;
    unsigned size;
};

static void take(void *opaque, struct cpu *c)
{
    struct fixture *f = opaque;
    CHECK(c == &f->cpu);
    CHECK_EQ(f->locked++, 0);
    f->locks++;
}

static void release(void *opaque, struct cpu *c)
{
    struct fixture *f = opaque;
    (void)c;
    CHECK_EQ(--f->locked, 0);
}

static u64 reg_read(void *opaque, u64 off, unsigned size)
{
    struct fixture *f = opaque;
    CHECK_EQ(f->locked, 1);
    f->off = off;
    f->size = size;
    return 0x1122334455667788;
}

static void reg_write(void *opaque, u64 off, unsigned size, u64 value)
{
    struct fixture *f = opaque;
    CHECK_EQ(f->locked, 1);
    f->off = off;
    f->size = size;
    f->written = value;
}

static const struct bus_ops reg_bus = {.read = reg_read, .write = reg_write, .min_size = 1, .max_size = 8};

static bool own_page(void *opaque, struct cpu *c, struct exit *x)
{
    const struct fixture *f = opaque;
    (void)c;
    if (x->addr >> 12 != f->private_addr >> 12)
        return false;
    x->data = 0xffffffffcafe0000 + x->size;
    return true;
}

static u64 exit_access(struct fixture *f, enum exit_kind kind, bool write, u64 addr, unsigned size, u64 data)
{
    struct exit x = {.kind = kind, .write = write, .size = (u8)size, .addr = addr, .data = data};
    exit_dispatch(&f->target, &f->cpu, &x);
    return x.data;
}

static void test_dispatch(struct fixture *f)
{
    CHECK_EQ(exit_access(f, EXIT_PIO, false, 0x102, 2, 0), 0x7788);
    CHECK_EQ(f->off, 2);
    exit_access(f, EXIT_PIO, true, 0x100, 4, 0xdeadbeef);
    CHECK_EQ(f->written, 0xdeadbeef);
    CHECK_EQ(exit_access(f, EXIT_MMIO, false, 0xd0000008, 8, 0), 0x1122334455667788);
    CHECK_EQ(f->size, 8);
    CHECK_EQ(exit_access(f, EXIT_MMIO, false, 0xfee00020, 4, 0), 0xcafe0004);
    CHECK_EQ(exit_access(f, EXIT_PIO, false, 0x400, 1, 0), 0xff); /* holes */
    CHECK_EQ(exit_access(f, EXIT_PIO, false, 0xffff, 4, 0), 0xffffffff);
    CHECK_EQ(exit_access(f, EXIT_MMIO, false, 0xe0000000, 8, 0), ~0ull);
    exit_access(f, EXIT_MMIO, true, ~0ull, 8, 1);
    CHECK_EQ(exit_access(f, EXIT_HYPERCALL, false, 1, 0, 0), (u64)-1000);
    /* What no engine should send. */
    f->off = 99;
    CHECK_EQ(exit_access(f, EXIT_PIO, false, 0x100, 8, 0), ~0ull);
    CHECK_EQ(exit_access(f, EXIT_PIO, false, 0x100, 0, 0), ~0ull);
    CHECK_EQ(exit_access(f, EXIT_PIO, false, 0x100, 3, 0), ~0ull);
    CHECK_EQ(exit_access(f, EXIT_KINDS, false, 0x100, 1, 0), ~0ull);
    CHECK_EQ(f->off, 99);
    CHECK_EQ(f->target.stats.count[EXIT_PIO], 4);
    CHECK_EQ(f->target.stats.count[EXIT_MMIO], 4);
    CHECK_EQ(f->target.stats.count[EXIT_HYPERCALL], 1);
    CHECK_EQ(f->locks, 9);
    for (unsigned i = 0; i < 300; i++)
        exit_access(f, EXIT_PIO, true, 0x100, 1, i);
    CHECK(f->target.stats.ns[EXIT_PIO] > 0);
    CHECK_STR(exit_kind_name(EXIT_MMIO), "mmio");
    CHECK_STR(exit_kind_name(EXIT_KINDS), "unknown");
}

static void test_choice(void)
{
    char why[256], reason[256];
    CHECK(engine_choose("auto", false, 1, why, sizeof why) != NULL);
    /* Under virtual time there is no hardware engine: the translator, where it runs. */
    CHECK(engine_choose("auto", true, 1, why, sizeof why) ==
          (engine_bt.probe(reason, sizeof reason) ? &engine_bt : &engine_interp));
    CHECK(engine_choose("interp", true, 32, why, sizeof why) == &engine_interp);
    CHECK_STR(why, "");
    CHECK(!engine_choose("bochs", false, 1, why, sizeof why));
    CHECK_STR(why, "bochs: no such engine");
    CHECK(!engine_choose("", false, 1, why, 4));
    CHECK_STR(why, ": n");
}

static void test_loop(void)
{
    struct wake w;
    struct error e;
    int pipe_fds[2];
    CHECK_EQ(wake_init(&w, &e), STATUS_OK);
    CHECK_EQ(pipe(pipe_fds), 0);
    struct loop_fd fds[] = {{.fd = w.fd, .in = true},
                            {.fd = pipe_fds[0], .in = true},
                            {.fd = pipe_fds[1], .out = false},
                            {.fd = -1, .in = true}};
    u64 start = host_ns();
    loop_wait(fds, ARRAY_LEN(fds), start + 20000000);
    u64 took = host_ns() - start;
    CHECK(took >= 20000000 && took < 200000000);
    CHECK(!fds[0].ready && !fds[1].ready);
    wake_post(&w);
    wake_post(&w);
    loop_wait(fds, ARRAY_LEN(fds), UINT64_MAX);
    CHECK(fds[0].ready && !fds[1].ready && !fds[2].ready && !fds[3].ready);
    wake_drain(&w);
    loop_wait(fds, ARRAY_LEN(fds), 0);
    CHECK(!fds[0].ready);
    close(pipe_fds[1]); /* hung up: ready for whoever reads, nothing for who does not ask */
    loop_wait(fds, 2, UINT64_MAX);
    CHECK(fds[1].ready);
    fds[1].in = false;
    loop_wait(fds, 2, host_ns() + 1000000);
    CHECK(!fds[1].ready);
    errno = ENOENT;
    wake_post(&w);
    CHECK_EQ(errno, ENOENT);
    close(pipe_fds[0]);
    wake_destroy(&w);
}

int main(void)
{
    static struct fixture f;
    struct error e;
    CHECK_EQ(mem_init(&f.mem, MIB(2), &e), STATUS_OK);
    CHECK_EQ(bus_add(&f.mem.pio, "test", 0x100, 16, &reg_bus, &f, &e), STATUS_OK);
    CHECK_EQ(bus_add(&f.mem.mmio, "test", 0xd0000000, 16, &reg_bus, &f, &e), STATUS_OK);
    f.private_addr = 0xfee00000;
    f.target = (struct exit_target){.mem = &f.mem,
                                    .lock = take,
                                    .unlock = release,
                                    .private_mmio = own_page,
                                    .opaque = &f,
                                    .host_ns = host_ns};
    test_dispatch(&f);
    test_choice();
    test_loop();
    mem_destroy(&f.mem);
    return check_done();
}
