/* MOVS STOS LODS CMPS SCAS INS OUTS, with and without REP.
 *
 * Under REP every iteration counts one instruction and is a boundary (DESIGN section 9): registers are committed after each, and the loop never runs
 * past the budget. Runs inside one page go by memmove/memset where that gives what element-by-element copying gives. A fault in the
 * middle leaves the registers at the exact element. */
#include "isa/alu.h"

#include "cpu/exit.h"
#include "cpu/model.h"
#include "engine/interp/inner.h"
#include "engine/interp/int.h"

/* One step of an index register. */
INLINE void advance(struct cpu *c, const struct insn *i, unsigned reg, i64 by)
{
    reg_set(c, reg, c->gpr[reg].q + (u64)by, i->asize);
}

INLINE u64 index_of(const struct cpu *c, const struct insn *i, unsigned reg)
{
    return cut(c->gpr[reg].q, i->asize);
}

INLINE i64 stride(const struct cpu *c, const struct insn *i)
{
    return c->rflags_sys & RFLAGS_DF ? -(i64)i->size : i->size;
}

INLINE MUST_CHECK bool source_linear(struct cpu *c, const struct insn *i, u64 *lin)
{
    return seg_linear(c, i->seg, index_of(c, i, RSI), i->size, false, lin);
}

INLINE MUST_CHECK bool dest_linear(struct cpu *c, const struct insn *i, bool write, u64 *lin)
{
    return seg_linear(c, SEG_ES, index_of(c, i, RDI), i->size, write, lin);
}

static void port_access(struct cpu *c, const struct insn *i, bool write, u64 *v)
{
    struct exit x = {.kind = EXIT_PIO, .write = write, .addr = c->gpr[RDX].w, .size = i->size, .data = write ? *v : 0};
    interp_sync(c, i);
    if (debug_data_armed(c))
        debug_check_io(c, c->gpr[RDX].w, i->size);
    c->wires.exit(c->wires.opaque, c, &x);
    *v = x.data;
}

INLINE MUST_CHECK bool source_load(struct cpu *c, const struct insn *i, u64 *v)
{
    u64 from;
    return source_linear(c, i, &from) && lin_load(c, i, from, v, i->size);
}

INLINE MUST_CHECK bool dest_load(struct cpu *c, const struct insn *i, u64 *v)
{
    u64 to;
    return dest_linear(c, i, false, &to) && lin_load(c, i, to, v, i->size);
}

/* CMPS: silicon reads the destination first, Zen 5's the source, and Zen 4's REPE CMPSB. */
static bool compared(struct cpu *c, const struct insn *i, u64 *source, u64 *dest)
{
    enum silicon s = c->wires.model->silicon;
    if (s == SILICON_AMD_ZEN5 || (s == SILICON_AMD_ZEN4 && i->flags & INSN_REP && i->size == 1))
        return source_load(c, i, source) && dest_load(c, i, dest);
    return dest_load(c, i, dest) && source_load(c, i, source);
}

/* One element; commits its index registers. False: fault (or bail), nothing changed. */
static bool element(struct cpu *c, const struct insn *i)
{
    u64 from, to, v = 0, w = 0;
    i64 by = stride(c, i);
    switch (i->op) {
    case OP_MOVS:
        if (!source_linear(c, i, &from) || !lin_load(c, i, from, &v, i->size) || !dest_linear(c, i, true, &to) ||
            !lin_store(c, i, to, &v, i->size))
            return false;
        advance(c, i, RSI, by);
        advance(c, i, RDI, by);
        return true;
    case OP_STOS:
        v = c->gpr[RAX].q;
        if (!dest_linear(c, i, true, &to) || !lin_store(c, i, to, &v, i->size))
            return false;
        advance(c, i, RDI, by);
        return true;
    case OP_LODS:
        if (!source_load(c, i, &v))
            return false;
        reg_set(c, RAX, v, i->size);
        advance(c, i, RSI, by);
        return true;
    case OP_CMPS:
        if (!compared(c, i, &v, &w))
            return false;
        alu_sub(&c->fl, v, w, i->size);
        advance(c, i, RSI, by);
        advance(c, i, RDI, by);
        return true;
    case OP_SCAS:
        if (!dest_load(c, i, &w))
            return false;
        alu_sub(&c->fl, reg_get(c, RAX, i->size), w, i->size);
        advance(c, i, RDI, by);
        return true;
    case OP_INS:
        if (!io_check(c, c->gpr[RDX].w, i->size) || !dest_linear(c, i, true, &to) ||
            !lin_probe(c, to, i->size, ACC_WRITE))
            return false;
        port_access(c, i, false, &v);
        if (!lin_write(c, to, &v, i->size, ACC_WRITE))
            return false;
        advance(c, i, RDI, by);
        return true;
    default: /* OUTS */
        if (!io_check(c, c->gpr[RDX].w, i->size) || !source_load(c, i, &v))
            return false;
        port_access(c, i, true, &v);
        advance(c, i, RSI, by);
        return true;
    }
}

INLINE bool is_port(const struct insn *i)
{
    return i->op == OP_INS || i->op == OP_OUTS;
}

/* How many of N elements lie in the page of the one at LIN, which is the first of them, upwards or DOWN. */
INLINE u64 in_page(u64 lin, u64 n, unsigned size, bool down)
{
    u64 at = lin & ~PAGE_MASK, room = (PAGE_SIZE - at) / size;
    if (down && room)
        room = at / size + 1;
    return n < room ? n : room;
}

/* The host address of a source byte. Where it has no entry only because the destination's page took it (the soft TLB is
 * direct-mapped), its walk takes the entry back: the destination was translated already. */
static const u8 *bulk_source(struct cpu *c, u64 from, u64 to)
{
    const u8 *s = hit_read(c, from, 1);
    struct place p;
    if (s || tlb_slot(c->tlb->current, from) != tlb_slot(c->tlb->current, to) || c->view == TLB_VIEW_NONE)
        return s;
    return lin_translate(c, from, ACC_READ, &p) ? p.hva : NULL; /* what faults, faults again element by element */
}

static void bulk_copy(u8 *d, const u8 *s, u64 n, unsigned size, bool down)
{
    u64 bytes = n * size;
    i64 step = down ? -(i64)size : size;
    const u8 *s_low = down ? s - (bytes - size) : s;
    u8 *d_low = down ? d - (bytes - size) : d;
    bool reads_own = down ? d_low < s_low && s_low < d_low + bytes : s_low < d_low && d_low < s_low + bytes;
    if (!reads_own) {
        memmove(d_low, s_low, bytes);
        return;
    }
    for (; n; n--, d += step, s += step) /* a pattern fill */
        host_put(d, host_get(s, size), size);
}

static void bulk_fill(u8 *d, u64 v, u64 n, unsigned size, bool down)
{
    u8 *low = down ? d - (n - 1) * size : d;
    if (size == 1 || v == 0)
        memset(low, (u8)v, n * size);
    else
        for (u64 k = 0; k < n; k++)
            host_put(low + k * size, v, size);
}

/* A run of MOVS or STOS inside plain pages; the number of elements done, 0 when the slow way must go first. */
u64 interp_string_bulk(struct cpu *c, const struct insn *i, u64 n)
{
    bool down = c->rflags_sys & RFLAGS_DF;
    if ((i->op != OP_MOVS && i->op != OP_STOS) || !c->flat || i->asize != c->code_size || !(i->flags & INSN_SEG_PLAIN))
        return 0;
    u64 to = index_of(c, i, RDI), from = index_of(c, i, RSI);
    n = in_page(to, n, i->size, down);
    u8 *d = hit_write(c, to, 1);
    if (!d || !n)
        return 0;
    if (i->op == OP_STOS) {
        bulk_fill(d, c->gpr[RAX].q, n, i->size, down);
    } else {
        n = in_page(from, n, i->size, down);
        const u8 *s = n ? bulk_source(c, from, to) : NULL;
        if (!s)
            return 0;
        bulk_copy(d, s, n, i->size, down);
        advance(c, i, RSI, (i64)n * stride(c, i));
    }
    advance(c, i, RDI, (i64)n * stride(c, i));
    return n;
}

/* REP ended by its condition? */
INLINE bool rep_stops(const struct cpu *c, const struct insn *i)
{
    if (i->op != OP_CMPS && i->op != OP_SCAS)
        return false;
    return i->flags & INSN_REP ? !flag_zf(&c->fl) : flag_zf(&c->fl);
}

static const struct insn *ONE(struct cpu *c, const struct insn *i)
{
    TRY(c, i, element(c, i));
    if (is_port(i))
        return interp_leave(c, i);
    NEXT(c, i);
}

/* Between two iterations: RIP stays. */
static const struct insn *leave_inside(struct cpu *c, const struct insn *i)
{
    c->rip = interp_rip(c, i);
    c->rep_at = interp_of(c)->icount_end - (u64)c->budget;
    return interp_leave_rip(c, i);
}

/* A fault in the middle: the flags are those from before the instruction, or from before it was resumed (SDM vol. 2, REP).
 * AMD: those of the last iteration. */
static const struct insn *stop(struct cpu *c, const struct insn *i, const struct flags *before)
{
    if (!interp_amd(c))
        c->fl = *before;
    FAULT(c, i);
}

/* A 32-bit address size clears the upper halves even when no iteration is done; AMD's silicon does so with the first one that is. */
static void clear_upper_halves(struct cpu *c, const struct insn *i)
{
    advance(c, i, RCX, 0);
    if (i->op == OP_MOVS)
        advance(c, i, RSI, 0);
    if (i->op == OP_MOVS || i->op == OP_STOS)
        advance(c, i, RDI, 0);
}

/* The block was charged one instruction: for the first iteration, or for the whole when the count is 0. At the loop's head the iteration
 * that comes is always paid for. */
static const struct insn *REP(struct cpu *c, const struct insn *i)
{
    u64 count = index_of(c, i, RCX), writes = interp_of(c)->cache.writes;
    const struct flags before = c->fl;
    if (is_port(i))
        TRY(c, i, io_check(c, c->gpr[RDX].w, i->size)); /* even for a count of 0 */
    if (!interp_amd(c))
        clear_upper_halves(c, i);
    while (count) {
        u64 allowed = 1 + (u64)c->budget, done = interp_string_bulk(c, i, count < allowed ? count : allowed);
        if (!done) {
            if (!element(c, i))
                return stop(c, i, &before);
            done = 1;
        }
        count -= done;
        reg_set(c, RCX, count, i->asize);
        c->budget -= (i64)done - 1;
        if (!count || rep_stops(c, i))
            break;
        /* A port access may have raised an interrupt; a write to code may have changed this very instruction, which is read again
         * at every boundary that something else makes too. */
        if (c->budget == 0 || is_port(i) || writes != interp_of(c)->cache.writes)
            return leave_inside(c, i);
        c->budget -= 1;
    }
    if (is_port(i))
        return interp_leave(c, i);
    NEXT(c, i);
}

insn_fn interp_bind_STRING(const struct insn *i, unsigned code_size, bool flat)
{
    (void)code_size;
    (void)flat;
    return i->flags & (INSN_REP | INSN_REPNE) ? REP : ONE;
}
