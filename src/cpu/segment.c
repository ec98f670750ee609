/* Segment registers: loading ES, SS, DS, FS, GS; logical to linear addresses.
 * SDM vol. 3, 3.4 (logical and linear addresses), 5.3 to 5.6 (limit, type and privilege checks); vol. 2, MOV.
 */
#include "cpu/segment.h"

void seg_load_real(struct cpu *c, enum seg_reg s, u16 sel)
{
    struct seg *r = &c->seg[s];
    if (cpu_v86(c) || r->attr & SEG_UNUSABLE) {
        *r = seg_v86(sel);
        if (!cpu_v86(c))
            r->attr &= (u16)~SEG_DPL;
    }
    /* Real mode leaves limit and rights as they are ("unreal" mode depends on it). */
    r->sel = sel;
    r->base = (u64)sel << 4;
}

static bool load_null(struct cpu *c, enum seg_reg s, u16 sel)
{
    if (s == SEG_SS && (!cpu_code64(c) || c->cpl == 3 || (sel & SEL_RPL) != c->cpl))
        return cpu_raise_gp(c, 0);
    c->seg[s] = seg_null(sel, s == SEG_SS ? c->cpl : 0, 0);
    return true;
}

static bool check_stack(struct cpu *c, u16 sel, u16 attr)
{
    if ((sel & SEL_RPL) != c->cpl || !attr_writable(attr) || attr_dpl(attr) != c->cpl)
        return cpu_raise_gp(c, sel_error(sel, 0));
    return attr & SEG_P || cpu_raise_error(c, VEC_SS, sel_error(sel, 0));
}

static bool check_data(struct cpu *c, u16 sel, u16 attr)
{
    unsigned dpl = attr_dpl(attr);
    bool any_level = attr_code(attr) && attr_conforming(attr);
    if (!attr_readable(attr) || (!any_level && ((sel & SEL_RPL) > dpl || c->cpl > dpl)))
        return cpu_raise_gp(c, sel_error(sel, 0));
    return attr & SEG_P || cpu_raise_error(c, VEC_NP, sel_error(sel, 0));
}

bool seg_load(struct cpu *c, enum seg_reg s, u16 sel)
{
    struct desc d;
    if (!cpu_protected(c) || cpu_v86(c)) {
        seg_load_real(c, s, sel);
    } else if (sel_null(sel)) {
        if (!load_null(c, s, sel))
            return false;
    } else {
        if (!desc_fetch(c, sel, VEC_GP, 0, &d))
            return false;
        u16 attr = desc_attr(&d);
        if (!(s == SEG_SS ? check_stack(c, sel, attr) : check_data(c, sel, attr)) ||
            !desc_set_accessed(c, sel, attr))
            return false;
        c->seg[s] = desc_seg(sel, &d);
        c->seg[s].attr |= SEG_ACCESSED;
    }
    cpu_update_mode(c);
    return true;
}

bool seg_inside(const struct seg *s, u64 off, unsigned len)
{
    u64 last = off + len - 1;
    if ((s->attr & (SEG_S | SEG_CODE | SEG_DC)) == (SEG_S | SEG_DC)) /* expand-down */
        return off > s->limit && last <= (s->attr & SEG_DB ? 0xffffffffu : 0xffffu);
    /* An access that wraps inside a 4 GiB segment may or may not fault (SDM vol. 3, 5.3): it does not. */
    return last <= s->limit || s->limit == 0xffffffff;
}

/* May it be read or written? Real and virtual-8086 mode do not look at the type. */
static bool type_ok(const struct cpu *c, const struct seg *s, bool write)
{
    if (s->attr & SEG_UNUSABLE)
        return false;
    if (!cpu_protected(c) || cpu_v86(c))
        return true;
    return write ? attr_writable(s->attr) : attr_readable(s->attr);
}

bool seg_linear(struct cpu *c, enum seg_reg s, u64 off, unsigned len, bool write, u64 *lin)
{
    const struct seg *r = &c->seg[s];
    if (LIKELY(cpu_code64(c))) {
        u64 a = s == SEG_FS || s == SEG_GS ? r->base + off : off;
        *lin = a;
        if (LIKELY(cpu_canonical(a) && cpu_canonical(a + len - 1)))
            return true;
    } else {
        *lin = (u32)(r->base + off);
        if (type_ok(c, r, write) && seg_inside(r, off, len))
            return true;
    }
    return cpu_raise_error(c, s == SEG_SS ? VEC_SS : VEC_GP, 0);
}
