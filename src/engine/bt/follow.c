/* Branches whose target is known, but not from where the code runs now: after a switch to a new address space, and that is after each exec, every
 * branch across pages and every indirect one is new there, though what it leads to was translated long ago. If the soft TLB knows the target's
 * page, they go on without the world switch: all that is called here is compiled without vector registers, as quick.c. Whatever else leaves by
 * the dispatcher's way, which does the same (run.c). */
#include "base/bits.h"
#include "engine/bt/bt.h"

/* The guest-physical address of code at RIP, by the soft TLB alone. */
static bool code_at(struct bt *b, u64 rip, u64 *gpa)
{
    struct cpu *c = b->cpu;
    struct tlb_table *table = tlb_table_for(c, ACC_FETCH);
    if (!bt_is_code(c, rip))
        return false;
    const struct tlb_entry *e = tlb_find(table, rip, 1, ACC_FETCH);
    if (!e)
        return false;
    tlb_mark_code(c, rip, table->kind[e - table->entry]);
    *gpa = rip + e->addend - (u64)(uintptr_t)c->wires.mem->base;
    bt_page_note(b, rip, *gpa);
    return true;
}

static void *arrive(struct bt *b, u64 rip, u32 code)
{
    struct bt_scratch *x = b->scratch;
    x->rip_page = rip & PAGE_MASK;
    x->page_tag = x->rip_page | x->key;
    bt_near_check(b); /* tlb_find may have moved an entry */
    return b->code + code;
}

/* A link across pages whose block is known: was it the mapping that changed, or only the address space? */
static void *link_again(struct bt *b, u32 number)
{
    const struct bt_link *l = &b->links[number];
    u64 from = b->scratch->rip_page, rip = bt_cut_rip(b, from + (u64)(i64)l->delta), gpa;
    if (!l->cross || !l->to || !code_at(b, rip, &gpa) || b->blocks[l->to].gpa != gpa)
        return NULL;
    b->tags[number] = from | b->scratch->key;
    b->followed++;
    return arrive(b, rip, b->blocks[l->to].code);
}

static void *look_up(struct bt *b, u32 pop)
{
    struct cpu *c = b->cpu;
    u64 rip = b->scratch->target, gpa;
    if (!code_at(b, rip, &gpa))
        return NULL;
    u32 code;
    if (!bt_block_find(b, gpa, b->mode, &code))
        return NULL;
    bt_jump_enter(b, rip, code);
    c->gpr[RSP].q = bt_cut_rip(b, c->gpr[RSP].q + pop);
    b->followed++;
    return arrive(b, rip, code);
}

void *bt_follow(struct bt *b, const struct bt_site *s)
{
    if (b->patched || b->pages_seen != b->cpu->tlb->dropped_n)
        return NULL;
    return s->kind == SITE_LINK ? link_again(b, s->link) : look_up(b, s->pop);
}
