/* The slow, exact way to guest memory; the software engines' in-line paths fall back to it.
 * Lock order: takes none; the exit hook takes the VM's big lock for MMIO. */
#include "cpu/access.h"

#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "cpu/exit.h"
#include "cpu/smm.h"
#include "cpu/system.h"
#include "cpu/tlb.h"
#include "cpu/walk.h"

static u64 host_ns(const struct cpu *c)
{
    return c->wires.host_ns ? c->wires.host_ns() : 0;
}

/* What a sample stands for. One that long was no look but a vCPU's thread that waited for a core, and stands for itself. */
static u64 scaled(u64 ns)
{
    return ns < 50000 ? ns * CPU_COST_SAMPLE : ns;
}

/* Walks for LIN and enters what was found. */
static bool look_up(struct cpu *c, u64 lin, unsigned acc, struct walk *w)
{
    bool sampled = c->stats.looks++ % CPU_COST_SAMPLE == 0;
    u64 begun = sampled ? host_ns(c) : 0;
    bool found = page_walk(c, lin, acc, w);
    u64 walked = sampled ? host_ns(c) : 0;
    if (found)
        tlb_fill(c, lin, acc, w);
    if (sampled) {
        c->stats.walk_ns += scaled(walked - begun);
        c->stats.look_ns += scaled(host_ns(c) - begun);
    }
    return found;
}

bool lin_translate(struct cpu *c, u64 lin, unsigned acc, struct place *p)
{
    struct tlb_table *table = tlb_table_for(c, acc);
    const struct tlb_entry *e = tlb_find(table, lin, 1, acc);
    struct mem *m = c->wires.mem;
    if (LIKELY(e)) {
        p->hva = (u8 *)(uintptr_t)(lin + e->addend);
        p->gpa = (u64)(p->hva - m->base);
        if (acc & ACC_FETCH)
            tlb_mark_code(c, lin, table->kind[e - table->entry]);
        return true;
    }
    struct walk w;
    if (!look_up(c, lin, acc, &w))
        return false;
    if (acc & ACC_FETCH)
        tlb_mark_code(c, lin, tlb_kind(&w));
    p->gpa = w.gpa;
    p->hva = cpu_ram(c, w.gpa, 1, acc);
    return true;
}

static void mmio_read(struct cpu *c, u64 gpa, u8 *buf, unsigned len)
{
    while (len) {
        unsigned n = len >= 8 && !(gpa & 7) ? 8 : len >= 4 && !(gpa & 3) ? 4 : len >= 2 && !(gpa & 1) ? 2 : 1;
        struct exit x = {.kind = EXIT_MMIO, .addr = gpa, .size = (u8)n};
        c->wires.exit(c->wires.opaque, c, &x);
        st_n(buf, x.data, n);
        gpa += n, buf += n, len -= n;
    }
}

static void mmio_write(struct cpu *c, u64 gpa, const u8 *buf, unsigned len)
{
    while (len) {
        unsigned n = len >= 8 && !(gpa & 7) ? 8 : len >= 4 && !(gpa & 3) ? 4 : len >= 2 && !(gpa & 1) ? 2 : 1;
        struct exit x = {.kind = EXIT_MMIO, .write = true, .addr = gpa, .size = (u8)n, .data = ld_n(buf, n)};
        c->wires.exit(c->wires.opaque, c, &x);
        gpa += n, buf += n, len -= n;
    }
}

static void place_read(struct cpu *c, const struct place *p, u8 *buf, unsigned len)
{
    if (p->hva)
        ram_get(buf, p->hva, len);
    else
        mmio_read(c, p->gpa, buf, len);
}

static void place_write(struct cpu *c, const struct place *p, const u8 *buf, unsigned len)
{
    struct mem *m = c->wires.mem;
    if (!p->hva) {
        mmio_write(c, p->gpa, buf, len);
        return;
    }
    if (!mem_is_writable(m, p->gpa, len) && !mem_is_smram(m, p->gpa, len)) {
        if (mem_takes_commands(m, p->gpa))
            mmio_write(c, p->gpa, buf, len);
        return; /* ROM ignores writes */
    }
    ram_put(p->hva, buf, len);
    if (mem_frame_flags(m, p->gpa) & FRAME_CODE && m->code_write && (c->company == CPU_CONCURRENT || mem_code_marked(m, p->gpa, len))) {
        u64 begun = host_ns(c);
        m->code_write(m->code_opaque, p->gpa, len);
        c->stats.protected_writes++;
        c->stats.protected_ns += host_ns(c) - begun;
    }
}

/* #AC: CPL 3, CR0.AM, RFLAGS.AC (SDM vol. 3, 6.15, vector 17). Operands of other than 2, 4 and 8 bytes: 16
 * and up align to 16, 10 (x87) to 8. */
static bool alignment_ok(struct cpu *c, u64 lin, unsigned len, unsigned acc)
{
    if (LIKELY(c->view != TLB_VIEW_NONE) || acc & (ACC_FETCH | ACC_IMPLICIT | ACC_NO_AC) || c->cpl != 3 ||
        !(c->cr0 & CR0_AM) || !(c->rflags_sys & RFLAGS_AC))
        return true;
    u64 align = len >= 16 ? 16 : len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
    return !(lin & (align - 1)) || cpu_raise_error(c, VEC_AC, 0);
}

/* Addresses wrap at 4 GiB outside 64-bit mode, but for the system tables of IA-32e mode, which lie anywhere. */
static u64 wrap(const struct cpu *c, u64 lin, unsigned acc)
{
    return c->code_size == 8 || (acc & ACC_IMPLICIT && cpu_long_mode(c)) ? lin : (u32)lin;
}

/* Splits [lin, lin + len) at the page border; the second part's length is 0 when there is none. */
static bool translate_span(struct cpu *c, u64 lin, unsigned len, unsigned acc, struct place p[2],
                           unsigned *first)
{
    if (!alignment_ok(c, lin, len, acc))
        return false;
    u64 left = PAGE_SIZE - (lin & ~PAGE_MASK);
    *first = len <= left ? len : (unsigned)left;
    if (!lin_translate(c, lin, acc, &p[0]))
        return false;
    if (*first == len)
        return true;
    return lin_translate(c, wrap(c, lin + *first, acc), acc, &p[1]);
}

bool lin_read(struct cpu *c, u64 lin, void *buf, unsigned len, unsigned acc)
{
    struct place p[2];
    unsigned first;
    if (!translate_span(c, lin, len, acc, p, &first))
        return false;
    place_read(c, &p[0], buf, first);
    if (first < len)
        place_read(c, &p[1], (u8 *)buf + first, len - first);
    if (UNLIKELY(debug_data_armed(c)) && !(acc & ACC_FETCH))
        debug_check_data(c, lin, len, false);
    return true;
}

bool lin_write(struct cpu *c, u64 lin, const void *buf, unsigned len, unsigned acc)
{
    struct place p[2];
    unsigned first;
    if (!translate_span(c, lin, len, acc | ACC_WRITE, p, &first))
        return false;
    place_write(c, &p[0], buf, first);
    if (first < len)
        place_write(c, &p[1], (const u8 *)buf + first, len - first);
    if (UNLIKELY(debug_data_armed(c)))
        debug_check_data(c, lin, len, true);
    return true;
}

bool lin_probe(struct cpu *c, u64 lin, unsigned len, unsigned acc)
{
    for (;;) {
        struct place p;
        if (!lin_translate(c, lin, acc, &p))
            return false;
        u64 left = PAGE_SIZE - (lin & ~PAGE_MASK);
        if (len <= left)
            return true;
        len -= (unsigned)left;
        lin = wrap(c, lin + left, acc);
    }
}
