/* The handlers that differ when there are other vCPUs. When they take turns (cpu->company, CPU_TURNS): PAUSE
 * alone, which ends the turn. When they run at the same time (CPU_CONCURRENT): LOCK and XCHG with memory are
 * host atomics, fences fence, PAUSE gives way. SDM vol. 3, 9.1.2 (bus locking), 9.2.5 (fences, serializing
 * instructions).
 *
 * An aligned operand in RAM is changed by a compare-and-swap of its own size. One that is not aligned ("split
 * lock", and what merely lies askew) is read and written while all other vCPUs stand still, for their plain
 * accesses must not fall in between either. A device register is read and written by two exits. */
#include <stdatomic.h>

#include "base/cas16.h"
#include "engine/interp/int.h"
#include "isa/alu.h"

struct locked {
    u8 *p; /* the operand: guest memory, for atomics, or `tmp` */
    u64 lin;
    u64 gpa; /* of `p` in guest memory, when it was not found in the soft TLB; else NO_GPA */
    bool stopped;
    _Alignas(16) u8 tmp[16];
};

#define NO_GPA UINT64_MAX

/* Every page of the span is RAM? False: fault. */
static bool span_is_ram(struct cpu *c, u64 lin, unsigned len, bool *ram)
{
    struct place a, b;
    u64 last = lin + len - 1;
    last = c->code_size == 8 ? last : (u32)last;
    if (!lin_translate(c, lin, ACC_WRITE, &a) || !lin_translate(c, last, ACC_WRITE, &b))
        return false;
    *ram = a.hva && b.hva;
    return true;
}

static bool begin_askew(struct cpu *c, const struct insn *i, unsigned len, struct locked *l)
{
    bool ram = false;
    c->wires.stop_others(c->wires.opaque, true);
    bool ok = mem_address_ok(c, i, l->lin, len) && span_is_ram(c, l->lin, len, &ram);
    l->stopped = ok && ram;
    if (!l->stopped) {
        c->wires.stop_others(c->wires.opaque, false);
        return ok && rmw_slow(c, i, l->lin, len, &l->p, l->tmp);
    }
    if (rmw_slow(c, i, l->lin, len, &l->p, l->tmp))
        return true;
    c->wires.stop_others(c->wires.opaque, false);
    return false;
}

static NOINLINE bool begin_slow(struct cpu *c, const struct insn *i, unsigned len, struct locked *l)
{
    struct mem *m = c->wires.mem;
    struct place at;
    if (l->lin & (len - 1))
        return begin_askew(c, i, len, l);
    if (!mem_address_ok(c, i, l->lin, len) || !lin_translate(c, l->lin, ACC_WRITE, &at))
        return false;
    if (!at.hva || !mem_is_writable(m, at.gpa, len))
        return rmw_slow(c, i, l->lin, len, &l->p, l->tmp);
    interp_sync(c, i);
    l->p = at.hva;
    l->gpa = at.gpa;
    return true;
}

/* Faults as a write does. What follows, up to lock_end, cannot fail. */
INLINE MUST_CHECK bool lock_begin(struct cpu *c, const struct insn *i, u64 lin, unsigned len,
                                  struct locked *l)
{
    l->lin = lin;
    l->gpa = NO_GPA;
    l->stopped = false;
    l->p = lin & (len - 1) ? NULL : hit_write(c, lin, len);
    return LIKELY(l->p) || begin_slow(c, i, len, l);
}

static NOINLINE void end_slow(struct cpu *c, const struct locked *l, unsigned len)
{
    struct mem *m = c->wires.mem;
    if (l->p == l->tmp)
        rmw_end(c, l->lin, l->tmp, len);
    if (l->stopped)
        c->wires.stop_others(c->wires.opaque, false);
    if (l->gpa == NO_GPA)
        return;
    mem_written(m, l->gpa, len);
    if (debug_data_armed(c))
        debug_check_data(c, l->lin, len, true);
}

INLINE void lock_end(struct cpu *c, const struct locked *l, unsigned len)
{
    if (UNLIKELY(l->p == l->tmp || l->gpa != NO_GPA))
        end_slow(c, l, len);
}

INLINE u64 atomic_get(const u8 *p, unsigned size)
{
    switch (size) {
    case 1: return __atomic_load_n(p, __ATOMIC_SEQ_CST);
    case 2: return __atomic_load_n((const u16 *)(const void *)p, __ATOMIC_SEQ_CST);
    case 4: return __atomic_load_n((const u32 *)(const void *)p, __ATOMIC_SEQ_CST);
    default: return __atomic_load_n((const u64 *)(const void *)p, __ATOMIC_SEQ_CST);
    }
}

/* False: *OLD is what stands there instead. */
INLINE bool atomic_swap_if(u8 *p, u64 *old, u64 put, unsigned size)
{
#define CASE(type)                                                                                           \
    {                                                                                                        \
        type expect = (type)*old;                                                                            \
        bool done = __atomic_compare_exchange_n((type *)(void *)p, &expect, (type)put, false,                \
                                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                         \
        *old = expect;                                                                                       \
        return done;                                                                                         \
    }
    switch (size) {
    case 1: CASE(u8)
    case 2: CASE(u16)
    case 4: CASE(u32)
    default: CASE(u64)
    }
#undef CASE
}

/* What the operation makes of the operand A and its other one, B; F are the flags before and after. */
INLINE u64 apply(const struct cpu *c, const struct insn *i, struct flags *f, u64 a, u64 b, unsigned size)
{
    switch (i->op) {
    case OP_ADD:
    case OP_XADD: return alu_add(f, a, b, size);
    case OP_ADC: return alu_adc(f, a, b, size);
    case OP_SUB: return alu_sub(f, a, b, size);
    case OP_SBB: return alu_sbb(f, a, b, size);
    case OP_AND: return alu_and(f, a, b, size);
    case OP_OR: return alu_or(f, a, b, size);
    case OP_XOR: return alu_xor(f, a, b, size);
    case OP_INC: return alu_inc(f, a, size);
    case OP_DEC: return alu_dec(f, a, size);
    case OP_NEG: return alu_neg(f, a, size);
    case OP_NOT: return cut(~a, size);
    case OP_CMPXCHG: {
        u64 acc = reg_get(c, RAX, size);
        alu_sub(f, acc, a, size);
        return a == acc ? b : a;
    }
    default: return b; /* XCHG */
    }
}

INLINE u64 other_operand(const struct cpu *c, const struct insn *i, unsigned size)
{
    if (i->form == FORM_MI)
        return (u64)(i64)i->imm;
    return i->form == FORM_M ? 0 : reg_get(c, i->form == FORM_RM ? i->rd : i->rs, size);
}

#define LOCKED(size)                                                                                         \
    static const struct insn *LOCK_##size(struct cpu *c, const struct insn *i)                               \
    {                                                                                                        \
        struct locked l;                                                                                     \
        struct flags f;                                                                                      \
        u64 lin, b = other_operand(c, i, size), put;                                                         \
        TRY(c, i, mem_address(c, i, size, true, &lin));                                                      \
        TRY(c, i, lock_begin(c, i, lin, size, &l));                                                          \
        u64 old = atomic_get(l.p, size);                                                                     \
        do {                                                                                                 \
            f = c->fl;                                                                                       \
            put = apply(c, i, &f, old, b, size);                                                             \
        } while (!atomic_swap_if(l.p, &old, put, size));                                                     \
        lock_end(c, &l, size);                                                                               \
        c->fl = f;                                                                                           \
        if (i->op == OP_XCHG || i->op == OP_XADD)                                                            \
            reg_set(c, i->form == FORM_RM ? i->rd : i->rs, old, size);                                       \
        else if (i->op == OP_CMPXCHG && old != reg_get(c, RAX, size))                                        \
            reg_set(c, RAX, old, size);                                                                      \
        NEXT(c, i);                                                                                          \
    }
LOCKED(1)
LOCKED(2)
LOCKED(4)
LOCKED(8)

#define LOCKED_BIT(size)                                                                                     \
    static const struct insn *LOCK_BIT_##size(struct cpu *c, const struct insn *i)                           \
    {                                                                                                        \
        struct locked l;                                                                                     \
        u64 lin;                                                                                             \
        unsigned bit;                                                                                        \
        TRY(c, i, bit_address(c, i, true, &lin, &bit));                                                      \
        TRY(c, i, lock_begin(c, i, lin, size, &l));                                                          \
        u64 old = atomic_get(l.p, size);                                                                     \
        while (!atomic_swap_if(l.p, &old, bit_change(i->op, old, bit), size))                                \
            ;                                                                                                \
        lock_end(c, &l, size);                                                                               \
        flags_put_cf(&c->fl, old >> bit & 1);                                                                \
        NEXT(c, i);                                                                                          \
    }
LOCKED_BIT(2)
LOCKED_BIT(4)
LOCKED_BIT(8)

static const struct insn *LOCK_CMPXCHG8B(struct cpu *c, const struct insn *i)
{
    struct locked l;
    u64 lin, expect = c->gpr[RAX].d | (u64)c->gpr[RDX].d << 32,
             put = c->gpr[RBX].d | (u64)c->gpr[RCX].d << 32;
    TRY(c, i, mem_address(c, i, 8, true, &lin));
    TRY(c, i, lock_begin(c, i, lin, 8, &l));
    u64 old = atomic_get(l.p, 8);
    while (!atomic_swap_if(l.p, &old, old == expect ? put : old, 8))
        ;
    lock_end(c, &l, 8);
    flags_put_zf(&c->fl, old == expect);
    if (old != expect) {
        c->gpr[RAX].q = (u32)old;
        c->gpr[RDX].q = old >> 32;
    }
    NEXT(c, i);
}

static const struct insn *LOCK_CMPXCHG16B(struct cpu *c, const struct insn *i)
{
    struct locked l;
    u64 lin;
    TRY(c, i, mem_address(c, i, 16, true, &lin));
    if (lin & 15)
        TRY(c, i, cpu_raise_gp(c, 0));
    TRY(c, i, lock_begin(c, i, lin, 16, &l));
    u128 expect = (u128)c->gpr[RDX].q << 64 | c->gpr[RAX].q, put = (u128)c->gpr[RCX].q << 64 | c->gpr[RBX].q;
    u128 old = cas16((u128 *)(void *)l.p, expect, put);
    lock_end(c, &l, 16);
    flags_put_zf(&c->fl, old == expect);
    if (old != expect) {
        c->gpr[RAX].q = (u64)old;
        c->gpr[RDX].q = (u64)(old >> 64);
    }
    NEXT(c, i);
}

static const struct insn *FENCE(struct cpu *c, const struct insn *i)
{
    (void)c; /* clang has NEXT without it */
    atomic_thread_fence(memory_order_seq_cst);
    NEXT(c, i);
}

static const struct insn *RELAX(struct cpu *c, const struct insn *i)
{
    c->wires.relax(c->wires.opaque);
    if (c->company == CPU_TURNS)
        return interp_leave(c, i); /* the turn is over */
    NEXT(c, i);
}

/* The other serializing instructions leave the block: run.c. */
static const struct insn *CPUID_FENCE(struct cpu *c, const struct insn *i)
{
    atomic_thread_fence(memory_order_seq_cst);
    op_cpuid(c);
    NEXT(c, i);
}

static insn_fn bind_locked(const struct insn *i)
{
    static handler *const by_size[4] = {LOCK_1, LOCK_2, LOCK_4, LOCK_8};
    static handler *const bit_by_size[4] = {NULL, LOCK_BIT_2, LOCK_BIT_4, LOCK_BIT_8};
    switch (i->op) {
    case OP_CMPXCHG8B: return LOCK_CMPXCHG8B;
    case OP_CMPXCHG16B: return LOCK_CMPXCHG16B;
    case OP_BTC:
    case OP_BTR:
    case OP_BTS: return bit_by_size[size_index(i->size)];
    case OP_ADC:
    case OP_ADD:
    case OP_AND:
    case OP_CMPXCHG:
    case OP_DEC:
    case OP_INC:
    case OP_NEG:
    case OP_NOT:
    case OP_OR:
    case OP_SBB:
    case OP_SUB:
    case OP_XADD:
    case OP_XCHG:
    case OP_XOR: return by_size[size_index(i->size)];
    default: return NULL;
    }
}

insn_fn interp_bind_company(const struct insn *i, enum cpu_company company)
{
    if (company != CPU_CONCURRENT)
        return i->op == OP_PAUSE && company == CPU_TURNS ? RELAX : NULL;
    bool mem = i->form == FORM_RM || i->form == FORM_MR;
    if (i->flags & INSN_LOCK || (i->op == OP_XCHG && mem))
        return bind_locked(i);
    switch (i->op) {
    case OP_LFENCE:
    case OP_MFENCE:
    case OP_SFENCE: return FENCE;
    case OP_PAUSE: return RELAX;
    case OP_CPUID: return CPUID_FENCE;
    default: return NULL;
    }
}
