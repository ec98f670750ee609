/* How a memory operand reaches memory: the soft TLB's hit test in line, over the same struct tlb as the
 * interpreter's. The one exchangeable part (memory rung 1). 13 instructions at most around an access; a miss
 * calls stub_fill and tries again. */
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
    return a;
}

static void add_segment(struct tr *t, const struct ea *ea, struct opnd *o, bool used)
{
    struct emit *e = &t->e;
    struct opnd seg = in_scratch(offsetof(struct bt_scratch, seg_base) + 8u * ea->seg);
    if (ea->a32 || used || (o->base != NO_REG && o->index != NO_REG) ||
        (o->base == NO_REG && o->index != NO_REG)) {
        e_op(e, !ea->a32, 0x8d, HOST_T0, *o, 0);
        e_op(e, true, 0x03, HOST_T0, seg, 0);
        *o = mem_opnd(HOST_T0, 0);
        return;
    }
    e_load(e, HOST_T0, seg);
    o->index = o->base;
    o->scale = 0;
    o->base = HOST_T0;
}

/* The address as an operand of host registers; HOST_T0 may be among them. COLLAPSED: HOST_T1 was needed too,
 * so that this cannot be repeated while it is in use. Without a segment no flags are touched. */
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

/* The soft-TLB entry for O's page into HOST_T1, the last byte's page compared with its tag; HOST_T0 goes. */
static u32 hit_test(struct tr *t, struct opnd o, unsigned size, unsigned acc)
{
    struct emit *e = &t->e;
    _Static_assert(sizeof(struct tlb_entry) == 32 && offsetof(struct tlb_table, entry) == 0,
                   "entry by shift");
    e_lea32(e, HOST_T1, o);
    e_op(e, false, 0xc1, 5, reg_opnd(HOST_T1), 1); /* SHR */
    e8(e, PAGE_SHIFT - 5);
    e_alu_imm(e, false, ALU_AND, HOST_T1, (TLB_ENTRIES - 1) << 5);
    e_op(e, true, 0x03, HOST_T1, SCRATCH(tlb), 0);
    o.disp += (i32)size - 1;
    e_lea(e, HOST_T0, o);
    e_alu_imm(e, true, ALU_AND, HOST_T0, -4096);
    e_op(e, true, 0x3b, HOST_T0,
         mem_opnd(HOST_T1,
                  acc & ACC_WRITE ? offsetof(struct tlb_entry, write) : offsetof(struct tlb_entry, read)),
         0);
    return e_jcc(e, CC_NE);
}

struct opnd mem_access(struct tr *t, const struct ea *ea, unsigned size, unsigned acc, bool want, int *spare)
{
    struct emit *e = &t->e;
    flags_clobber(t);
    u32 back = e_off(e);
    bool collapsed, again;
    struct opnd o = ea_prepare(t, ea, &collapsed);
    bool used = o.base == HOST_T0 || o.index == HOST_T0;
    if (collapsed)
        e_store(e, SCRATCH(spill[1]), HOST_T0);
    struct late *l = late_new(t, LATE_FILL, hit_test(t, o, size, acc));
    l->back = back;
    l->ea = *ea;
    l->site = site_new(t, SITE_MEM, t->index);
    t->b->sites[l->site].size = (u8)size;
    t->b->sites[l->site].acc = (u8)acc;
    struct opnd addend = mem_opnd(HOST_T1, offsetof(struct tlb_entry, addend));
    if (collapsed)
        e_load(e, HOST_T0, SCRATCH(spill[1]));
    else if (used)
        o = ea_prepare(t, ea, &again);
    if (!used && o.index == NO_REG) { /* [base + addend + disp] */
        e_load(e, HOST_T1, addend);
        if (o.base == NO_REG)
            o.base = HOST_T1;
        else
            o.index = HOST_T1, o.scale = 0;
        *spare = HOST_T0;
        return o;
    }
    if (o.index != NO_REG || o.base != HOST_T0) {
        e_lea(e, HOST_T0, o);
        o = mem_opnd(HOST_T0, 0);
    }
    (void)want;
    e_op(e, true, 0x03, HOST_T0, addend, 0);
    *spare = HOST_T1;
    return o;
}
