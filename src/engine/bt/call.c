/* IRETQ of a 64-bit kernel, MOV to CR3 and INVLPG without the world switch: the vector registers are put away, MXCSR and the x87 state stay the guest's, so
 * that nothing that is called here may compute with either. Memory that IRETQ reads is in the soft TLB, so no device is asked. Whatever is not plain goes
 * by the dispatcher's way, which does the same, or finds the fault. */
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

/* To 64-bit code, with no trap behind it. */
static bool iret(struct bt *b, const struct bt_site *s, u64 next)
{
    struct cpu *c = b->cpu;
    const u8 *frame = c->rflags_sys & RFLAGS_NT ? NULL : reads(c->tlb->current, c->gpr[RSP].q, 40);
    if (!frame || ld64(frame + 16) & RFLAGS_TF)
        return false;
    u16 cs = (u16)ld64(frame + 8), ss = (u16)ld64(frame + 32);
    if (!known_segment(c, cs, SEG_L) || (ss & ~3u && !known_segment(c, ss, 0)) || !op_iret(c, s->size, next))
        return false;
    b->scratch->flags = bt_flags_image(flags_value(&c->fl));
    b->mode = (b->mode & ~(u32)BT_MODE_USER) | (c->cpl ? BT_MODE_USER : 0);
    return true;
}

static bool execute(struct bt *b, const struct bt_site *s, u64 next)
{
    struct cpu *c = b->cpu;
    if (s->op == OP_IRETQ)
        return iret(b, s, next);
    if (s->op == OP_INVLPG ? !op_invlpg(c, b->scratch->lin) : !op_mov_to_cr(c, 3, c->gpr[s->acc].q))
        return false;
    c->rip = next;
    return true;
}

/* Is there anything to look at, but for an interrupt that IF keeps out? */
static bool waits(const struct cpu *c)
{
    u32 a = atomic_load_explicit(&c->attention, memory_order_acquire);
    return a & ~(u32)ATTN_INTR || (a && c->rflags_sys & RFLAGS_IF);
}

void *bt_call(struct bt *b)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *x = b->scratch;
    const struct bt_site *s = &b->sites[x->info];
    if (b->patched || b->blocks[s->block].dead || c->cpl != 0 || c->code_size != 8 || debug_data_armed(c))
        return NULL;
    u64 next = bt_site_rip(b, s) + s->len;
    bt_store_homes(b);
    if (!execute(b, s, next))
        return NULL;
    x->budget += bt_site_refund(b, s) - 1;
    if (UNLIKELY(c->company == CPU_CONCURRENT))
        atomic_thread_fence(memory_order_seq_cst); /* they serialize */
    bt_called(b, s->op);
    bt_load_views(b);
    bt_pages_follow(b);
    void *code = waits(c) ? NULL : bt_known_code(b);
    if (c->rflags_sys & RFLAGS_RF && !(code && x->budget > BT_BLOCK_MAX && bt_resume(b, x->icount_end - (u64)x->budget)))
        code = NULL;
    b->quick_left = !code;
    return code;
}
