/* Operands that are tested in less than seven to nine instructions.
 *
 * Those of the user's stack, and of FS without a register, likely lie in the page of the last time: before the soft TLB they ask one entry of the
 * scratch page. Of RIP-relative ones the offset in the page is known, so that only the page is looked for:
 *
 *     lea r10, [r15+disp]          mov r10, [rip_page]
 *     sub r10, [range.page]        lea r10, [r10+pages]
 *     cmp r10, [range.limit]       rorx r11d, r10d, 7; and r11d, 0xffe0; cmp r10, [rsp+r11+read]
 *     jae rare                     jne rare
 *     add r10, [range.host]        add r10, [rsp+r11+addend]
 *
 * An entry says what an entry of the soft TLB's first way says that is there now: it is forgotten when the table that it comes from lost something or is
 * another, which is looked at on the way into the cache and behind a miss. So what is a hit, and what is filled, is as without them. User code
 * alone asks them: a kernel changes its stack and its tables too often, and was slower with them. */
#include "base/bits.h"
#include "engine/bt/tr.h"

#define RANGE(k, field) in_scratch(offsetof(struct bt_scratch, range) + sizeof(((struct bt_scratch *)0)->range[0]) * (k) + \
                                   offsetof(__typeof__(((struct bt_scratch *)0)->range[0]), field))
enum { NEAR_NONE, NEAR_RANGE, NEAR_PAGE };
enum { RANGE_STACK, RANGE_FS };

static const u16 span_of[BT_LIMITS] = {8, 64, 512};

static struct opnd limit_opnd(unsigned range, unsigned k)
{
    struct opnd o = RANGE(range, limit);
    o.disp += (i32)(8 * k);
    return o;
}

static unsigned kind_of(const struct tr *t, const struct ea *ea, unsigned size, unsigned *which)
{
    *which = ea->seg ? RANGE_FS : RANGE_STACK;
    if (ea->a32 || ea->lin32 || ea->index != GPR_ZERO)
        return NEAR_NONE;
    bool user = t->t->mode & BT_MODE_USER;
    if (ea->seg)
        return user && ea->seg == SEG_FS && ea->base == GPR_ZERO ? NEAR_RANGE : NEAR_NONE;
    if (ea->base == RSP)
        return user ? NEAR_RANGE : NEAR_NONE;
    return ea->base == GPR_RIP && (unsigned)(ea->disp & (i64)(PAGE_SIZE - 1)) + size <= PAGE_SIZE ? NEAR_PAGE : NEAR_NONE;
}

/* The linear address of the operand's byte BY into HOST_T0. */
static void address(struct tr *t, const struct ea *ea, unsigned range, i32 by)
{
    struct emit *e = &t->e;
    i32 disp = (i32)ea->disp + by;
    if (range == RANGE_STACK) {
        e_lea(e, HOST_T0, mem_opnd(HOST_GUEST_RSP, disp));
        return;
    }
    e_load(e, HOST_T0, SCRATCH(seg_base[SEG_FS]));
    if (disp)
        e_lea(e, HOST_T0, mem_opnd(HOST_T0, disp));
}

static void range_access(struct tr *t, const struct ea *ea, unsigned range, const struct touch *x)
{
    struct emit *e = &t->e;
    unsigned k = 0;
    while (span_of[k] < x->hi - x->lo)
        k++;
    address(t, ea, range, x->lo);
    e_op(e, true, 0x2b, HOST_T0, RANGE(range, page), 0);
    e_op(e, true, 0x3b, HOST_T0, limit_opnd(range, k), 0);
    late_new(t, LATE_RANGE, e_jcc(e, CC_AE));
    e_op(e, true, 0x03, HOST_T0, RANGE(range, host), 0);
}

static i32 page_of(const struct ea *ea)
{
    return (i32)(ea->disp & ~(i64)(PAGE_SIZE - 1));
}

static void load_page(struct tr *t, const struct ea *ea)
{
    e_load(&t->e, HOST_T0, SCRATCH(rip_page));
    if (page_of(ea))
        e_lea(&t->e, HOST_T0, mem_opnd(HOST_T0, page_of(ea)));
}

static struct opnd addend_opnd(i32 pushed)
{
    return mem_field(offsetof(struct tlb_entry, addend), pushed);
}

/* The place to go on behind a miss. */
static u32 page_access(struct tr *t, const struct ea *ea, bool write)
{
    struct emit *e = &t->e;
    load_page(t, ea);
    mem_entry(e);
    e_op(e, true, 0x3b, HOST_T0, mem_tag(write, 0), 0);
    late_new(t, LATE_PAGE, e_jcc(e, CC_NE));
    u32 back = e_off(e);
    e_op(e, true, 0x03, HOST_T0, addend_opnd(0), 0);
    return back;
}

bool near_access(struct tr *t, const struct ea *ea, unsigned size, unsigned acc, const struct touch *x, struct opnd *o)
{
    unsigned which, kind = kind_of(t, ea, size, &which);
    u32 number = t->late_n, on;
    i32 bias;
    if (kind == NEAR_NONE || (kind == NEAR_RANGE && x->hi - x->lo > span_of[BT_LIMITS - 1]))
        return false;
    if (kind == NEAR_RANGE) {
        range_access(t, ea, which, x);
        on = e_off(&t->e);
        bias = -x->lo;
    } else {
        on = page_access(t, ea, acc & ACC_WRITE);
        bias = (i32)(ea->disp - page_of(ea));
    }
    struct late *l = &t->late[number];
    l->back = on;
    l->near = (u8)which;
    mem_looked(t, l, ea, x, size, acc);
    *o = mem_opnd(HOST_T0, bias);
    if (x->leads) {
        e_store(&t->e, mem_slot(x->slot), HOST_T0);
        t->bias[x->slot - 1] = (i16)bias;
    }
    return true;
}

/* The soft TLB's entry for L's operand, whose address is in HOST_T0, into HOST_T1; or the cache is left. */
static void look(struct tr *t, const struct late *l, const u32 stub[2])
{
    e_mov_imm32(&t->e, HOST_T1, l->site | (u32)l->size << BT_SITE_BITS);
    e_call(&t->e, stub[t->b->sites[l->site].acc & ACC_WRITE ? 1 : 0]);
}

static void range_late(struct tr *t, const struct late *l)
{
    struct emit *e = &t->e;
    address(t, &l->ea, l->near, 0);
    u32 crosses = mem_crosses(t, l, mem_opnd(HOST_T0, 0));
    look(t, l, t->b->stub_look);
    e_call(e, t->b->stub_note[l->near]);
    address(t, &l->ea, l->near, l->lo);
    e_op(e, true, 0x03, HOST_T0, addend_opnd(0), 0);
    e_jmp(e, l->back);
    mem_careful(t, l, crosses);
}

static void page_late(struct tr *t, const struct late *l)
{
    struct emit *e = &t->e;
    e_load(e, HOST_T0, SCRATCH(rip_page));
    e_lea(e, HOST_T0, mem_opnd(HOST_T0, (i32)l->ea.disp));
    look(t, l, t->b->stub_miss);
    load_page(t, &l->ea);
    e_jmp(e, l->back);
}

void near_late(struct tr *t, const struct late *l)
{
    flags_to_mem(t);
    t->host = false;
    if (l->kind == LATE_RANGE)
        range_late(t, l);
    else
        page_late(t, l);
}

/* ---- stubs ---- */

static void store_imm(struct emit *e, struct opnd o, u32 imm)
{
    e_op(e, true, 0xc7, 0, o, 4);
    e32(e, imm);
}

/* Called as make_miss's code is (stubs.c), and returns as that does; looks into the first way itself. */
static void make_look(struct emit *e, bool write)
{
    e->b->stub_look[write] = e_off(e);
    e_store(e, SCRATCH(look[0]), HOST_T0);
    e_store(e, SCRATCH(look[1]), HOST_T1);
    mem_entry(e);
    /* 64 bytes from here on, more than any operand has: else the second way's code looks */
    e_lea(e, HOST_T0, mem_opnd(HOST_T0, 63));
    e_alu_imm(e, true, ALU_AND, HOST_T0, -4096);
    e_op(e, true, 0x3b, HOST_T0, mem_tag(write, 8), 0);
    u32 miss = e_jcc(e, CC_NE);
    e8(e, 0xc3);
    e_patch(e->b, miss, e_off(e));
    e_load(e, HOST_T0, SCRATCH(look[0]));
    e_load(e, HOST_T1, SCRATCH(look[1]));
    e_jmp(e, e->b->stub_miss[write]);
}

/* Called with an entry in HOST_T1, which stays: what can be read and written is entered. HOST_T0 goes. */
static void make_note(struct emit *e, unsigned range)
{
    e->b->stub_note[range] = e_off(e);
    e_load(e, HOST_T0, mem_tag(true, 8));
    e_op(e, true, 0x3b, HOST_T0, mem_tag(false, 8), 0);
    u32 no = e_jcc(e, CC_NE);
    e_store(e, RANGE(range, page), HOST_T0);
    e_op(e, true, 0x03, HOST_T0, addend_opnd(8), 0);
    e_store(e, RANGE(range, host), HOST_T0);
    for (unsigned k = 0; k < BT_LIMITS; k++)
        store_imm(e, limit_opnd(range, k), (u32)PAGE_SIZE - span_of[k] + 1u);
    e_patch(e->b, no, e_off(e));
    e8(e, 0xc3);
}

void near_filled(struct emit *e)
{
    e_load(e, HOST_T0, SCRATCH(tlb));
    e_load(e, HOST_T0, mem_opnd(HOST_T0, (i32)offsetof(struct tlb_table, removed)));
    e_op(e, true, 0x3b, HOST_T0, SCRATCH(range_removed), 0);
    u32 same = e_jcc(e, CC_E);
    e_store(e, SCRATCH(range_removed), HOST_T0);
    for (unsigned r = 0; r < BT_RANGES; r++)
        for (unsigned k = 0; k < BT_LIMITS; k++)
            store_imm(e, limit_opnd(r, k), 0);
    e_patch(e->b, same, e_off(e));
}

void near_make_stubs(struct emit *e)
{
    make_look(e, false);
    make_look(e, true);
    for (unsigned k = 0; k < BT_RANGES; k++)
        make_note(e, k);
}

void bt_near_check(struct bt *b)
{
    struct bt_scratch *s = b->scratch;
    if (!(b->mode & BT_MODE_USER) || (s->range_table == s->tlb && s->range_removed == s->tlb->removed))
        return;
    s->range_table = s->tlb;
    s->range_removed = s->tlb->removed;
    for (unsigned k = 0; k < BT_RANGES; k++)
        memset(s->range[k].limit, 0, sizeof s->range[k].limit);
}
