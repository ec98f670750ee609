/* The table of exits: kind → handler, by designated initialisers, so that a kind without a row counts and
 * does nothing. */
#include "engine/exit.h"

#include "base/bits.h"

/* What a KVM guest gets for a hypercall that its host does not know (KVM_ENOSYS). */
#define HYPERCALL_ENOSYS ((u64)-1000)

static void exit_pio(struct exit_target *t, struct cpu *c, struct exit *x)
{
    (void)c;
    if (x->write)
        bus_write(&t->mem->pio, x->addr, x->size, x->data);
    else
        x->data = bus_read(&t->mem->pio, x->addr, x->size);
}

static void exit_mmio(struct exit_target *t, struct cpu *c, struct exit *x)
{
    if (t->private_mmio && t->private_mmio(t->opaque, c, x))
        return;
    if (x->write)
        bus_write(&t->mem->mmio, x->addr, x->size, x->data);
    else
        x->data = bus_read(&t->mem->mmio, x->addr, x->size);
}

static void exit_hypercall(struct exit_target *t, struct cpu *c, struct exit *x)
{
    x->data = t->hypercall ? t->hypercall(t->opaque, c, x) : HYPERCALL_ENOSYS;
}

static const struct {
    const char *name;
    void (*serve)(struct exit_target *t, struct cpu *c, struct exit *x);
    u8 sizes; /* bit mask of access sizes it takes; 0: it is no access */
} exit_table[EXIT_KINDS] = {
    [EXIT_PIO] = {"pio", exit_pio, 1 | 2 | 4},
    [EXIT_MMIO] = {"mmio", exit_mmio, 1 | 2 | 4 | 8},
    [EXIT_HALT] = {"halt", NULL, 0},
    [EXIT_HYPERCALL] = {"hypercall", exit_hypercall, 0},
    [EXIT_INTR_WINDOW] = {"intr_window", NULL, 0},
    [EXIT_SHUTDOWN] = {"shutdown", NULL, 0},
    [EXIT_DEBUG] = {"debug", NULL, 0},
};

const char *exit_kind_name(enum exit_kind k)
{
    return (unsigned)k < EXIT_KINDS ? exit_table[k].name : "unknown";
}

void exit_count(struct exit_target *t, enum exit_kind k, u64 ns)
{
    t->stats.count[k]++;
    t->stats.ns[k] += ns;
}

static bool exit_size_ok(const struct exit *x)
{
    u8 sizes = exit_table[x->kind].sizes;
    return !sizes || (x->size && !(x->size & (x->size - 1)) && (sizes & x->size));
}

void exit_dispatch(struct exit_target *t, struct cpu *c, struct exit *x)
{
    if ((unsigned)x->kind >= EXIT_KINDS || !exit_size_ok(x)) {
        x->data = ~0ull; /* an engine's mistake: answered as a hole */
        return;
    }
    t->lock(t->opaque, c);
    bool sampled = t->stats.count[x->kind] % EXIT_SAMPLE == 0;
    u64 start = sampled ? t->host_ns() : 0;
    if (exit_table[x->kind].serve)
        exit_table[x->kind].serve(t, c, x);
    if (exit_table[x->kind].sizes)
        x->data &= ones(x->size * 8u);
    exit_count(t, x->kind, sampled ? (t->host_ns() - start) * EXIT_SAMPLE : 0);
    t->unlock(t->opaque, c);
}
