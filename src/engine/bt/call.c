/* System instructions without the world switch: IRET, INT n, SYSENTER, SYSEXIT, MOV to control registers, INVLPG, CPUID, RDMSR and WRMSR. The vector registers
 * are put away and MXCSR is the monitor's; the x87 state stays the guest's. What is kept by a page's address, by mode and by segment is looked at behind each as
 * at the cache's entrance, and where the code goes on is asked of the jump table. */
#include "base/le.h"
#include "cpu/system.h"
#include "engine/bt/bt.h"

static const u8 *reads(struct tlb_table *t, u64 lin, unsigned size)
{
    const struct tlb_entry *e = tlb_find(t, lin, size, ACC_READ);
    return e ? (const u8 *)(uintptr_t)(lin + e->addend) : NULL;
}

/* A segment of the GDT that needs no A bit. */
static bool known_segment(struct cpu *c, u16 sel, u64 want)
{
    if (sel & 4 || (sel | 7u) > c->gdt.limit)
        return false;
    const u8 *raw = reads(tlb_table_for(c, ACC_IMPLICIT), c->gdt.base + (sel & ~7u), 8);
    u64 d = raw ? ld64(raw) : 0, attr = (d >> 40 & 0xff) | (d >> 44 & 0xf00);
    return (attr & (want | SEG_ACCESSED)) == (want | SEG_ACCESSED);
}

typedef bool call_fn(struct bt *b, const struct bt_site *s, u64 next);

/* To 64-bit code: the frame and both descriptors in the soft TLB, no trap behind it. Else as the dispatcher does it. */
static bool plain_iretq(struct cpu *c)
{
    const u8 *frame = c->rflags_sys & RFLAGS_NT ? NULL : reads(c->tlb->current, c->gpr[RSP].q, 40);
    if (!frame || ld64(frame + 16) & RFLAGS_TF)
        return false;
    u16 cs = (u16)ld64(frame + 8), ss = (u16)ld64(frame + 32);
    return known_segment(c, cs, SEG_L) && (!(ss & ~3u) || known_segment(c, ss, 0));
}

static bool call_iret(struct bt *b, const struct bt_site *s, u64 next)
{
    return op_iret(b->cpu, s->size, next);
}

static bool call_int(struct bt *b, const struct bt_site *s, u64 next)
{
    return op_int(b->cpu, s->acc, next);
}

static bool call_int3(struct bt *b, const struct bt_site *s, u64 next)
{
    (void)s;
    return op_int3(b->cpu, next);
}

static bool call_sysenter(struct bt *b, const struct bt_site *s, u64 next)
{
    (void)s, (void)next;
    return op_sysenter(b->cpu);
}

static bool call_sysexit(struct bt *b, const struct bt_site *s, u64 next)
{
    (void)next;
    return op_sysexit(b->cpu, s->size);
}

static bool behind(struct bt *b, bool done, u64 next)
{
    if (done)
        b->cpu->rip = next;
    return done;
}

static bool call_invlpg(struct bt *b, const struct bt_site *s, u64 next)
{
    (void)s;
    return behind(b, op_invlpg(b->cpu, b->scratch->lin), next);
}

static bool call_mov_to_cr(struct bt *b, const struct bt_site *s, u64 next)
{
    return behind(b, op_mov_to_cr(b->cpu, s->acc >> 4, b->cpu->gpr[s->acc & 15].q), next);
}

static bool call_rdmsr(struct bt *b, const struct bt_site *s, u64 next)
{
    (void)s;
    return behind(b, op_rdmsr(b->cpu), next);
}

static bool call_wrmsr(struct bt *b, const struct bt_site *s, u64 next)
{
    (void)s;
    return behind(b, op_wrmsr(b->cpu), next);
}

static bool call_cpuid(struct bt *b, const struct bt_site *s, u64 next)
{
    (void)s;
    op_cpuid(b->cpu);
    return behind(b, true, next);
}

static call_fn *const calls[OP_COUNT] = {
    [OP_IRETQ] = call_iret,          [OP_IRETD] = call_iret,      [OP_INT] = call_int,     [OP_INT3] = call_int3,
    [OP_SYSENTER] = call_sysenter,   [OP_SYSEXIT] = call_sysexit, [OP_RDMSR] = call_rdmsr, [OP_WRMSR] = call_wrmsr,
    [OP_MOV_TO_CR] = call_mov_to_cr, [OP_INVLPG] = call_invlpg,   [OP_CPUID] = call_cpuid,
};

/* Is there anything to look at, but for an interrupt that IF keeps out? */
static bool waits(const struct cpu *c)
{
    u32 a = atomic_load_explicit(&c->attention, memory_order_acquire);
    return a & ~(u32)ATTN_INTR || (a && c->rflags_sys & RFLAGS_IF);
}

/* The boundary before the instruction, as struct cpu has it: virtual time is the instruction count, and what is pushed has the flags. */
static void settle(struct bt *b, const struct bt_site *s)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *x = b->scratch;
    bt_store_homes(b);
    bt_settle(b, s);
    c->icount = x->icount_end - (u64)x->budget;
    flags_load(&c->fl, (u32)bt_flags_of(x->flags));
}

/* The code to go on with; null: something is to be looked at first, or no code is known. */
static void *onward(struct bt *b)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *x = b->scratch;
    if (waits(c) || c->activity != ACTIVITY_RUNNING || c->rflags_sys & RFLAGS_TF || !bt_reload(b))
        return NULL;
    void *code = bt_known_code(b);
    if (code && c->rflags_sys & RFLAGS_RF && !(x->budget > BT_BLOCK_MAX && bt_resume(b, x->icount_end - (u64)x->budget)))
        return NULL;
    return code;
}

void *bt_call(struct bt *b)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *x = b->scratch;
    const struct bt_site *s = &b->sites[x->info];
    if (b->patched || b->blocks[s->block].dead || debug_data_armed(c) || (s->op == OP_IRETQ && !plain_iretq(c)))
        return NULL;
    u64 next = bt_cut_rip(b, bt_site_rip(b, s) + s->len);
    u16 op = s->op;
    settle(b, s);
    if (calls[op](b, s, next))
        x->budget--;
    else
        cpu_deliver_fault(c);
    x->flags = bt_flags_image(flags_value(&c->fl));
    if (UNLIKELY(c->company == CPU_CONCURRENT))
        atomic_thread_fence(memory_order_seq_cst); /* they serialize */
    bt_called(b, op);
    void *code = onward(b);
    b->quick_left = !code;
    return code;
}
