/* SYSCALL and SYSRET of 64-bit code on a way of their own: the guest's vector registers, MXCSR and x87 state stay in the host's, for all that is
 * called here is compiled without them (meson.build). Whatever is not plain goes by the dispatcher's way, which does the same (direct.c). */
#include "base/bits.h"
#include "cpu/syscall.h"
#include "engine/bt/bt.h"

/* What SYSRET may bring in RFLAGS. */
#define PLAIN_FLAGS (RFLAGS_ARITH | RFLAGS_IF | RFLAGS_ONE)

static bool plain(const struct bt *b, const struct bt_site *s)
{
    const struct cpu *c = b->cpu;
    if (atomic_load_explicit(&c->attention, memory_order_acquire) || b->patched || b->blocks[s->block].dead || c->code_size != 8 ||
        !(c->efer & EFER_SCE))
        return false;
    if (s->op == OP_SYSCALL)
        return c->cpl == 3;
    return c->cpl == 0 && s->size == 8 && !(b->scratch->home[HOME_R11] & ~(u64)PLAIN_FLAGS) && cpu_canonical(c->gpr[RCX].q);
}

void *bt_known_code(struct bt *b)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *x = b->scratch;
    u64 what = tlb_code_epoch(c) << BT_MODE_BITS | b->mode;
    unsigned k = bt_key_slot(what);
    if (b->key_cache[k].what != what || b->pages_seen != c->tlb->dropped_n)
        return NULL;
    x->key = b->key_cache[k].key;
    x->tlb = c->tlb->current;
    bt_near_check(b);
    const struct bt_jump *j = bt_jump_find(b, c->rip);
    if (!j)
        return NULL;
    x->page_tag = j->page;
    x->rip_page = c->rip & PAGE_MASK;
    return j->code;
}

void *bt_quick(struct bt *b)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *x = b->scratch;
    const struct bt_site *s = &b->sites[x->info];
    if (s->kind == SITE_LINK || s->kind == SITE_LOOKUP)
        return bt_follow(b, s);
    if (!plain(b, s))
        return NULL;
    u64 next = bt_site_rip(b, s) + s->len;
    c->gpr[R11].q = x->home[HOME_R11];
    u64 flags = s->op == OP_SYSCALL ? syscall_enter(c, next, c->rflags_sys | (bt_flags_of(x->flags) & RFLAGS_ARITH)) : syscall_return(c, 8, c->gpr[RCX].q);
    x->budget += bt_site_refund(b, s) - 1;
    x->home[HOME_R11] = c->gpr[R11].q;
    x->flags = bt_flags_image(flags);
    b->mode ^= BT_MODE_USER;
    bt_called(b, s->op);
    void *code = bt_known_code(b);
    b->quick_left = !code;
    return code;
}
