#include "machine/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/tlb.h"
#include "cpu/walk.h"
#include "engine/exit.h"
#include "isa/disasm.h"
#include "machine/vm.h"

typedef unsigned long long ull;

static const char *const channel_names[TRACE_CHANNELS] = {"exec", "int", "exception", "mmu",  "io",
                                                          "mmio", "irq", "exit",      "block"};

static enum status channel_take(struct trace *t, const char *name, size_t n, struct error *e)
{
    if (n == 4 && !memcmp(name, "json", 4)) {
        t->json = true;
        return STATUS_OK;
    }
    for (unsigned i = 0; i < TRACE_CHANNELS; i++)
        if (strlen(channel_names[i]) == n && !memcmp(channel_names[i], name, n)) {
            t->on |= 1u << i;
            return STATUS_OK;
        }
    return error_set(e, STATUS_USAGE, "trace %.*s: no such channel", (int)n, name);
}

enum status trace_open(struct trace *t, const char *channels, const char *path, struct error *e)
{
    *t = (struct trace){.path = path ? path : "standard error"};
    for (const char *p = channels; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (channel_take(t, p, strcspn(p, ","), e) != STATUS_OK)
            return e->status;
    if (!t->on || !path)
        return STATUS_OK;
    t->out = fopen(path, "we");
    return t->out ? STATUS_OK : error_errno(e, "%s", path);
}

enum status trace_close(struct trace *t, struct error *e)
{
    FILE *out = t->out;
    t->on = 0;
    t->out = NULL;
    if (out && fclose(out) != 0)
        t->failed = true;
    return t->failed ? error_set(e, STATUS_HOST, "%s: cannot write: the trace is not whole", t->path)
                     : STATUS_OK;
}

static bool on(const struct vcpu *v, enum trace_channel ch)
{
    return v->vm->trace.on >> ch & 1;
}

/* One line: its head, and FMT: for JSON the rest of an object, which begins with a comma. */
static void put(struct vcpu *v, enum trace_channel ch, const char *text, const char *json, ...)
{
    struct trace *t = &v->vm->trace;
    char line[400];
    va_list ap;
    va_start(ap, json);
    vsnprintf(line, sizeof line, t->json ? json : text, ap);
    va_end(ap);
    FILE *out = t->out ? t->out : stderr;
    int n = fprintf(out, t->json ? "{\"count\":%llu,\"cpu\":%u,\"channel\":\"%s\"%s}\n" : "%llu cpu%u %s%s\n",
                    (ull)v->cpu.icount, v->cpu.index, channel_names[ch], line);
    if (n >= 0 || t->failed)
        return;
    struct error e; /* the rest would be lost too */
    t->failed = true;
    t->on = 0;
    error_set(&e, STATUS_HOST, "%s: %s", t->path, strerror(errno));
    lock_take(&v->vm->lock);
    vm_fail(v->vm, &e);
    lock_release(&v->vm->lock);
}

#define PUT(v, ch, text, json, ...)                                                                          \
    do {                                                                                                     \
        if (on(v, ch))                                                                                       \
            put(v, ch, text, json, __VA_ARGS__);                                                             \
    } while (0)

void trace_exit(struct vcpu *v, const struct exit *x)
{
    const char *way = x->write ? "write" : "read";
    if (x->kind == EXIT_PIO || x->kind == EXIT_MMIO)
        PUT(v, x->kind == EXIT_PIO ? TRACE_IO : TRACE_MMIO, " %s %#llx size %u data %#llx",
            ",\"way\":\"%s\",\"address\":%llu,\"size\":%u,\"data\":%llu", way, (ull)x->addr, x->size,
            (ull)x->data);
    PUT(v, TRACE_EXIT, " %s", ",\"kind\":\"%s\"", exit_kind_name(x->kind));
}

void trace_irq(struct vcpu *v, int vector)
{
    if (vector >= 0)
        PUT(v, TRACE_IRQ, " vector %d", ",\"vector\":%d", vector);
}

/* What is compared before and after an instruction. */
struct before {
    u64 rip, cr3, misses, exceptions[32];
    u32 code_bytes;
    u8 code[15];
};

u32 trace_code(const struct cpu *c, u8 code[15])
{
    struct walk w;
    u64 lin = c->code_size == 8 ? c->rip : (u32)(c->rip + c->seg[SEG_CS].base);
    u32 n = 0;
    while (n < 15 && page_peek(c, lin + n, &w) && mem_read(c->wires.mem, w.gpa, code + n, 1))
        n++;
    return n;
}

static void look(const struct cpu *c, struct before *b)
{
    b->rip = c->rip;
    b->cr3 = c->cr3;
    b->misses = c->tlb->misses;
    memcpy(b->exceptions, c->stats.exceptions, sizeof b->exceptions);
    b->code_bytes = trace_code(c, b->code);
}

/* The instruction that comes. Its length. */
static unsigned say_before(struct vcpu *v, const struct before *b)
{
    char text[160], hex[32] = "";
    unsigned len = insn_text(b->code, b->code_bytes, v->cpu.code_size, b->rip, text, sizeof text);
    for (unsigned i = 0; i < len; i++)
        snprintf(hex + 2 * i, sizeof hex - 2 * i, "%02x", b->code[i]);
    PUT(v, TRACE_EXEC, " %#llx: %s %s", ",\"rip\":%llu,\"bytes\":\"%s\",\"text\":\"%s\"", (ull)b->rip, hex,
        text);
    if (b->code_bytes > 1 && (b->code[0] == 0xcc || b->code[0] == 0xcd || b->code[0] == 0xf1))
        PUT(v, TRACE_INT, " %#llx: vector %u", ",\"rip\":%llu,\"vector\":%u", (ull)b->rip,
            b->code[0] == 0xcd   ? b->code[1]
            : b->code[0] == 0xcc ? 3u
                                 : 1u);
    return len;
}

static void say_after(struct vcpu *v, const struct before *b, unsigned len)
{
    const struct cpu *c = &v->cpu;
    for (unsigned i = 0; i < ARRAY_LEN(b->exceptions); i++)
        if (c->stats.exceptions[i] != b->exceptions[i])
            PUT(v, TRACE_EXCEPTION, " vector %u at %#llx, error %#x, CR2 %#llx",
                ",\"vector\":%u,\"rip\":%llu,\"error\":%u,\"cr2\":%llu", i, (ull)b->rip,
                c->fault.vector == i && c->fault.has_error ? c->fault.error : 0u, (ull)c->cr2);
    if (c->cr3 != b->cr3)
        PUT(v, TRACE_MMU, " cr3 %#llx", ",\"cr3\":%llu", (ull)c->cr3);
    if (c->tlb->misses != b->misses)
        PUT(v, TRACE_MMU, " %llu soft-TLB misses at %#llx", ",\"misses\":%llu,\"rip\":%llu",
            (ull)(c->tlb->misses - b->misses), (ull)b->rip);
    if (c->rip != b->rip + len)
        PUT(v, TRACE_BLOCK, " %#llx", ",\"rip\":%llu", (ull)c->rip);
}

enum run_result trace_run(struct vcpu *v, u64 limit, struct error *e)
{
    const struct engine_ops *ops = v->vm->engine;
    struct cpu *c = &v->cpu;
    struct before b;
    for (;;) {
        /* No instruction: what is pending is taken first. */
        enum run_result r = ops->run(v->engine, c->icount, e);
        ops->pull(v->engine);
        if (r != RUN_LIMIT || c->icount >= limit || !trace_steps(&v->vm->trace))
            return r;
        look(c, &b);
        unsigned len = say_before(v, &b);
        r = ops->run(v->engine, c->icount + 1, e);
        ops->pull(v->engine);
        say_after(v, &b, len);
        if (r != RUN_LIMIT)
            return r;
    }
}
