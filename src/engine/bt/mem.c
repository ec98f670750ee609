/* How a memory operand reaches memory: the soft TLB's hit test in line, over the same struct tlb as the
 * interpreter's. The one exchangeable part (memory rung 1). Seven to nine instructions before an access, one where
 * another of its group was tested (plan.c); a miss calls stub_miss and goes on.
 *
 * The host's stack pointer is the soft TLB's table, so that an entry is one addition in the operand away; what translated code calls, and signals,
 * use the bytes below it (tlb_table.below). */
#include "base/bits.h"
#include "engine/bt/tr.h"

struct ea ea_of(const struct dec *d, u16 page_off)
{
    struct ea a = {.base = d->i.base,
                   .index = d->i.index,
                   .scale = d->i.scale,
                   .disp = d->i.disp,
                   .a32 = d->i.asize == 4};
    if (d->i.seg == SEG_FS || d->i.seg == SEG_GS)
        a.seg = d->i.seg;
    if (a.base == GPR_RIP)
        a.disp += page_off + d->off + d->i.len;
    a.lin32 = d->code32;
    a.a32 &= !d->code32;
    return a;
}

struct ea ea_at(const struct tr *t, unsigned reg, i32 disp)
{
    return (struct ea){.base = (u8)reg, .index = GPR_ZERO, .disp = disp, .lin32 = t->code32};
}

static void add_segment(struct tr *t, const struct ea *ea, struct opnd *o, bool used)
{
    struct emit *e = &t->e;
    struct opnd seg = in_scratch(offsetof(struct bt_scratch, seg_base) + 8u * ea->seg);
    if (ea->a32 || used || (o->base != NO_REG && o->index != NO_REG) ||
        (o->base == NO_REG && o->index != NO_REG)) {
        e_address(e, !ea->a32 && !ea->lin32, HOST_T0, *o);
        e_op(e, !ea->lin32, 0x03, HOST_T0, seg, 0);
        *o = mem_opnd(HOST_T0, 0);
        return;
    }
    e_load(e, HOST_T0, seg);
    o->index = o->base;
    o->scale = 0;
    o->base = HOST_T0;
}

/* The address as an operand of host registers; HOST_T0 may be among them. COLLAPSED: HOST_T1 was needed too,
 * so that this cannot be repeated while it is in use. Without a segment no flags are touched. Of a LIN32 address the
 * operand's lower 32 bits count. */
struct opnd ea_prepare(struct tr *t, const struct ea *ea, bool *collapsed)
{
    struct emit *e = &t->e;
    struct opnd o = {.base = NO_REG, .index = NO_REG, .scale = ea->scale, .disp = (i32)ea->disp};
    bool used = false;
    *collapsed = false;
    if (ea->base == GPR_RIP) {
        e_load(e, HOST_T0, SCRATCH(rip_page));
        o.base = HOST_T0, used = true;
    } else if (ea->base == GPR_LIN) {
        e_load(e, HOST_T0, SCRATCH(lin));
        o.base = HOST_T0, used = true;
    } else if (ea->base != GPR_ZERO) {
        o.base = (i8)host_reg(ea->base);
        if (o.base == NO_REG) {
            e_load(e, HOST_T0, home(ea->base));
            o.base = HOST_T0, used = true;
        }
    }
    if (ea->index != GPR_ZERO) {
        o.index = (i8)host_reg(ea->index);
        if (o.index == NO_REG && used) {
            o.index = HOST_T1;
            t->held = 0;
            e_load(e, HOST_T1, home(ea->index));
            e_lea(e, HOST_T0, o);
            o = mem_opnd(HOST_T0, 0);
            *collapsed = true;
        } else if (o.index == NO_REG) {
            e_load(e, HOST_T0, home(ea->index));
            o.index = HOST_T0, used = true;
        }
    }
    if (ea->seg) {
        add_segment(t, ea, &o, used);
    } else if (ea->a32) {
        e_lea32(e, HOST_T0, o);
        o = mem_opnd(HOST_T0, 0);
    }
    return o;
}

void mem_entry(struct emit *e)
{
    _Static_assert(sizeof(struct tlb_entry) == 32, "entry by shift");
    e_rorx32(e, HOST_T1, HOST_T0, PAGE_SHIFT - 5);
    e_alu_imm(e, false, ALU_AND, HOST_T1, (TLB_ENTRIES - 1) << 5);
}

struct opnd mem_field(size_t field, i32 pushed)
{
    return (struct opnd){.base = RSP, .index = HOST_T1, .disp = (i32)field + pushed};
}

struct opnd mem_tag(bool write, i32 pushed)
{
    return mem_field(write ? offsetof(struct tlb_entry, write) : offsetof(struct tlb_entry, read), pushed);
}

/* The soft-TLB entry for the page of O's byte LO into HOST_T1; that byte's address, less the entry's page, into HOST_T0. */
static u32 hit_test(struct tr *t, const struct ea *ea, struct opnd o, int lo, int hi, unsigned acc)
{
    struct emit *e = &t->e;
    o.disp += lo;
    if (ea->lin32 || o.base != HOST_T0 || o.index != NO_REG || o.disp)
        e_address(e, !ea->lin32, HOST_T0, o);
    mem_entry(e);
    e_op(e, true, 0x33, HOST_T0, mem_tag(acc & ACC_WRITE, 0), 0);
    e_alu_imm(e, true, ALU_CMP, HOST_T0, (i32)PAGE_SIZE - (hi - lo));
    return e_jcc(e, CC_A);
}

struct opnd mem_slot(unsigned slot)
{
    return in_scratch(offsetof(struct bt_scratch, slot) + 8u * (slot - 1u));
}

/* The host address of O, of which byte LO was tested, with the entry in HOST_T1. USED: O was computed from HOST_T0, which holds the test's value.
 * KEEP: in HOST_T0. */
static struct opnd address(struct tr *t, struct opnd o, bool used, bool keep, int lo, unsigned acc, int *spare)
{
    struct emit *e = &t->e;
    struct opnd addend = mem_field(offsetof(struct tlb_entry, addend), 0);
    if (!used && o.index == NO_REG && !keep) { /* [base + addend + disp] */
        e_load(e, HOST_T1, addend);
        if (o.base == NO_REG)
            o.base = HOST_T1;
        else
            o.index = HOST_T1, o.scale = 0;
        *spare = HOST_T0;
        return o;
    }
    *spare = HOST_T1;
    if (used) {
        e_op(e, true, 0x33, HOST_T0, mem_tag(acc & ACC_WRITE, 0), 0);
        o = mem_opnd(HOST_T0, -lo);
    } else {
        e_lea(e, HOST_T0, o);
        o = mem_opnd(HOST_T0, 0);
    }
    e_op(e, true, 0x03, HOST_T0, addend, 0);
    return o;
}

void mem_check_segment(struct tr *t, const struct ea *ea)
{
    struct emit *e = &t->e;
    if (!ea->lin32 || !ea->seg)
        return;
    e_op(e, false, 0x83, ALU_CMP, in_scratch(offsetof(struct bt_scratch, seg_flat) + 4u * ea->seg), 1);
    e8(e, 0);
    step_if(t, CC_E);
}

void mem_looked(struct tr *t, struct late *l, const struct ea *ea, const struct touch *x, unsigned size, unsigned acc)
{
    l->ea = *ea;
    l->size = (u8)size, l->lo = x->lo, l->hi = x->hi;
    l->site = site_new(t, SITE_MEM, t->index);
    t->b->sites[l->site].size = (u8)size;
    t->b->sites[l->site].lo = x->lo, t->b->sites[l->site].hi = x->hi;
    t->b->sites[l->site].acc = (u8)acc;
}

/* Behind the test of an access, which branches at AT where it misses. Its site. */
static u32 looked(struct tr *t, const struct ea *ea, const struct touch *x, unsigned size, unsigned acc, u32 at)
{
    struct late *l = late_new(t, LATE_FILL, at);
    l->back = e_off(&t->e);
    mem_looked(t, l, ea, x, size, acc);
    return l->site;
}

struct opnd mem_access(struct tr *t, const struct ea *ea, unsigned size, unsigned acc, int *spare)
{
    struct emit *e = &t->e;
    const struct touch none = {.hi = (i16)size}, *x = &none;
    if (!t->cold && t->touches < ARRAY_LEN(t->plan[0].touch) && t->plan[t->index].touch[t->touches].known)
        x = &t->plan[t->index].touch[t->touches++];
    if (x->slot && !x->leads) {
        if (t->held != x->slot)
            e_load(e, HOST_T1, mem_slot(x->slot));
        t->held = x->slot;
        *spare = HOST_T0;
        return mem_opnd(HOST_T1, x->off + t->bias[x->slot - 1]);
    }
    flags_give_way(t);
    t->held = 0;
    mem_check_segment(t, ea);
    bool collapsed;
    struct opnd o;
    if (near_access(t, ea, size, acc, x, &o)) {
        *spare = HOST_T1;
        return o;
    }
    o = ea_prepare(t, ea, &collapsed);
    bool used = o.base == HOST_T0 || o.index == HOST_T0 || ea->lin32;
    looked(t, ea, x, size, acc, hit_test(t, ea, o, x->lo, x->hi, acc));
    o = address(t, o, used, x->leads, x->lo, acc, spare);
    if (x->leads) {
        e_store(e, mem_slot(x->slot), HOST_T0);
        t->bias[x->slot - 1] = (i16)o.disp;
    }
    return o;
}

u32 mem_entry_at(struct tr *t, unsigned reg, unsigned size, unsigned acc)
{
    const struct ea ea = ea_at(t, reg, 0);
    const struct touch x = {.hi = (i16)size};
    bool collapsed;
    flags_give_way(t);
    t->held = 0;
    struct opnd o = ea_prepare(t, &ea, &collapsed);
    return looked(t, &ea, &x, size, acc, hit_test(t, &ea, o, 0, (int)size, acc));
}

void mem_careful(struct tr *t, const struct late *l, u32 at)
{
    if (!at)
        return;
    e_patch(t->b, at, e_off(&t->e));
    flow_refund(t, l->index);
    u32 link = flow_near(t, 0, t->page_off + t->d[l->index].off);
    t->b->links[link].careful = true;
}

u32 mem_crosses(struct tr *t, const struct late *l, struct opnd o)
{
    struct emit *e = &t->e;
    bool wide = !l->ea.lin32;
    u32 crosses = 0;
    if (l->lo < 0 || l->hi > l->size) {
        struct opnd first = o, last = o;
        first.disp += l->lo, last.disp += l->hi - 1;
        e_op(e, wide, 0x8d, HOST_T1, last, 0);
        e_op(e, wide, 0x8d, HOST_T0, first, 0);
        e_op(e, true, 0x33, HOST_T1, reg_opnd(HOST_T0), 0);
        e_op(e, true, 0xf7, 0, reg_opnd(HOST_T1), 4); /* TEST */
        e32(e, (u32)-4096);
        crosses = e_jcc(e, CC_NE);
        o = mem_opnd(HOST_T0, -l->lo);
    }
    e_address(e, wide, HOST_T0, o);
    return crosses;
}

/* A miss: looked for in the second way or filled; on with the entry in HOST_T1. What was tested may lie in two pages where the operand does not. */
void mem_late(struct tr *t, const struct late *l)
{
    struct emit *e = &t->e;
    unsigned acc = t->b->sites[l->site].acc;
    bool collapsed;
    flags_to_mem(t);
    t->host = false;
    u32 crosses = mem_crosses(t, l, ea_prepare(t, &l->ea, &collapsed));
    e_store(e, SCRATCH(spill[1]), HOST_T0);
    e_mov_imm32(e, HOST_T1, l->site | (u32)l->size << BT_SITE_BITS);
    e_call(e, t->b->stub_miss[acc & ACC_WRITE ? 1 : 0]);
    e_load(e, HOST_T0, SCRATCH(spill[1]));
    if (l->lo)
        e_op(e, !l->ea.lin32, 0x8d, HOST_T0, mem_opnd(HOST_T0, l->lo), 0);
    e_op(e, true, 0x33, HOST_T0, mem_tag(acc & ACC_WRITE, 0), 0);
    e_jmp(e, l->back);
    mem_careful(t, l, crosses);
}
