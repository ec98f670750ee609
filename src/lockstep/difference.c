#include "lockstep/difference.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "cpu/walk.h"
#include "isa/disasm.h"

#define LINES_MAX 24 /* per kind of difference */

typedef unsigned long long ull;

void check_say(const struct trine_check *k, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    k->line(k->opaque, line);
}

/* At most 15 bytes from LIN on, as a debugger reads them. */
static unsigned peek_code(const struct cpu *c, u64 lin, u8 bytes[15])
{
    struct walk w;
    unsigned n = 0;
    while (n < 15 && page_peek(c, lin + n, &w) && mem_read(c->wires.mem, w.gpa, bytes + n, 1))
        n++;
    return n;
}

static u64 code_linear(const struct cpu *c)
{
    return c->code_size == 8 ? c->rip : (u32)(c->rip + c->seg[SEG_CS].base);
}

void say_code(const struct pair *p, const char *head)
{
    const struct vm *vm = p->vm[0];
    const struct cpu *c = &vm->current->cpu;
    u64 lin = code_linear(c);
    u8 bytes[15];
    char hex[48] = "", text[160];
    vm->engine->pull(vm->current->engine);
    unsigned have = peek_code(c, lin, bytes),
             len = insn_text(bytes, have, c->code_size, c->rip, text, sizeof text);
    for (unsigned i = 0; i < (len ? len : have); i++)
        snprintf(hex + 3 * i, sizeof hex - 3 * i, "%02x ", bytes[i]);
    check_say(p->check, "%s%#llx: %s %s", head, (ull)c->rip, hex, text);
}

void say_instruction(const struct pair *p)
{
    const struct cpu *c = &p->vm[0]->current->cpu;
    say_code(p, "instruction: ");
    check_say(p->check, "    vCPU %u, %u-bit code, ring %u, CS %#x, linear address %#llx", c->index,
              c->code_size * 8u, c->cpl, c->seg[SEG_CS].sel, (ull)code_linear(c));
}

struct words {
    const struct pair *p;
    unsigned lines;
};

/* The flags that differ, by name. */
static void flag_names(u64 bits, char *out, size_t size)
{
    static const char *const names[22] = {"CF", NULL, "PF", NULL,  "AF",   NULL,   "ZF", "SF",
                                          "TF", "IF", "DF", "OF",  "IOPL", "IOPL", "NT", NULL,
                                          "RF", "VM", "AC", "VIF", "VIP",  "ID"};
    size_t n = 0;
    out[0] = 0;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (bits >> i & 1 && names[i] && n + 8 < size)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? " " : " (", names[i]);
    if (n)
        snprintf(out + n, size - n, ")");
}

static void say_field(struct fields_diff *d, u64 a, u64 b)
{
    static const char *const gprs[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const segs[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    struct words *w = d->opaque;
    char at[64] = "", note[80] = "";
    bool cpu = !strcmp(d->name, "cpu");
    if (w->lines++ >= LINES_MAX)
        return;
    if (cpu && !strcmp(d->field, "gpr"))
        snprintf(at, sizeof at, " %s", gprs[d->index & 15]);
    else if (cpu && !strncmp(d->field, "seg_", 4))
        snprintf(at, sizeof at, " %s", segs[d->index % SEG_COUNT]);
    else if (cpu && !strcmp(d->field, "ymm"))
        snprintf(at, sizeof at, " %u byte %u", d->index / 32, d->index % 32);
    else if (cpu && !strcmp(d->field, "st"))
        snprintf(at, sizeof at, " %u byte %u", d->index / 16, d->index % 16);
    else if (d->count > 1)
        snprintf(at, sizeof at, "[%u]", d->index);
    if (cpu && !strcmp(d->field, "rflags"))
        flag_names(a ^ b, note, sizeof note);
    if (cpu)
        check_say(w->p->check, "    cpu%u.%s%s: %#llx | %#llx%s", d->device, d->field, at, (ull)a, (ull)b,
                  note);
    else
        check_say(w->p->check, "    %s.%s%s: %#llx | %#llx", d->name, d->field, at, (ull)a, (ull)b);
}

static void say_state(const struct pair *p)
{
    const struct buffer *a = &p->state[0], *b = &p->state[1];
    struct words w = {.p = p};
    struct fields_diff d = {.found = say_field, .opaque = &w};
    if (a->len != b->len || !fields_compare(&d, a->data, b->data, a->len - VM_TIME_BYTES)) {
        check_say(p->check, "    the states have not the same fields");
        return;
    }
    if (w.lines > LINES_MAX)
        check_say(p->check, "    and %u more", w.lines - LINES_MAX);
    if (memcmp(a->data + a->len - VM_TIME_BYTES + 8, b->data + b->len - VM_TIME_BYTES + 8, VM_TIME_BYTES - 8))
        check_say(p->check, "    the state of the random numbers");
}

static void say_ram(const struct pair *p)
{
    const struct mem *a = &p->vm[0]->mem, *b = &p->vm[1]->mem;
    unsigned lines = 0;
    for (u64 gpa = 0; !mem_compare(a, b, &gpa); gpa += PAGE_SIZE)
        for (u64 at = gpa; at < gpa + PAGE_SIZE; at += 8) {
            u64 x = ld64(a->base + at), y = ld64(b->base + at);
            if (x == y)
                continue;
            if (lines++ == LINES_MAX) {
                check_say(p->check, "    and more");
                return;
            }
            check_say(p->check, "    ram %#llx: %#018llx | %#018llx", (ull)at, (ull)x, (ull)y);
        }
}

static void say_end(const struct pair *p, unsigned n)
{
    const struct vm *vm = p->vm[n];
    if (vm->ended)
        check_say(p->check, "    %s: %s at RIP %#llx", vm->engine->name, vm->result.detail,
                  (ull)vm->result.rip);
    else
        check_say(p->check, "    %s: still runs", vm->engine->name);
}

void say_difference(const struct pair *p, u32 differ)
{
    const struct vm *a = p->vm[0], *b = p->vm[1];
    check_say(p->check, "%s | %s", a->engine->name, b->engine->name);
    if (differ & DIFFER_END)
        for (unsigned n = 0; n < 2; n++)
            say_end(p, n);
    if (differ & DIFFER_TIME)
        check_say(p->check, "    virtual time: %llu | %llu", (ull)clock_now(&a->clock),
                  (ull)clock_now(&b->clock));
    if (differ & DIFFER_STATE)
        say_state(p);
    if (differ & DIFFER_RAM)
        say_ram(p);
    if (differ & DIFFER_EXITS)
        check_say(p->check, "    exits since the start: %llu | %llu, hash %#llx | %#llx",
                  (ull)a->exit_log.count, (ull)b->exit_log.count, (ull)a->exit_log.hash,
                  (ull)b->exit_log.hash);
    if (differ & DIFFER_TLB) {
        size_t i = 0;
        while (i < p->tlb[0].len && i < p->tlb[1].len && p->tlb[0].data[i] == p->tlb[1].data[i])
            i++;
        check_say(p->check, "    soft TLB: from byte %zu on, %#x | %#x (%zu | %zu bytes)", i,
                  i < p->tlb[0].len ? p->tlb[0].data[i] : 0u, i < p->tlb[1].len ? p->tlb[1].data[i] : 0u,
                  p->tlb[0].len, p->tlb[1].len);
    }
}
