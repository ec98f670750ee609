/* Descriptors: reading them from GDT and LDT, LLDT, LTR, and the instructions that ask about them (LAR, LSL,
 * VERR, VERW). SDM vol. 3, 3.4.5 (segment descriptors), 3.5 (system descriptors), 5.10 (pointer validation);
 * vol. 2. */
#include "base/le.h"
#include "cpu/segment.h"

u64 desc_address(const struct cpu *c, u16 sel)
{
    return system_linear(c, (sel & SEL_TI ? c->seg[SEG_LDTR].base : c->gdt.base) + (sel & ~7u));
}

/* Do the 8 bytes at OFF above the descriptor of SEL lie inside its table? */
static bool desc_inside(const struct cpu *c, u16 sel, u32 off)
{
    if (sel & SEL_TI && c->seg[SEG_LDTR].attr & SEG_UNUSABLE)
        return false;
    u32 limit = sel & SEL_TI ? c->seg[SEG_LDTR].limit : c->gdt.limit;
    return (sel | 7u) + off <= limit;
}

bool desc_fetch(struct cpu *c, u16 sel, u8 vector, u32 ext, struct desc *d)
{
    u8 raw[8];
    if (UNLIKELY(!desc_inside(c, sel, 0)))
        return cpu_raise_error(c, vector, sel_error(sel, ext));
    if (!lin_read(c, desc_address(c, sel), raw, 8, ACC_IMPLICIT))
        return false;
    *d = (struct desc){.low = ld64(raw)};
    return true;
}

bool desc_fetch_high(struct cpu *c, u16 sel, u8 vector, u32 ext, struct desc *d)
{
    u8 raw[8];
    if (!desc_inside(c, sel, 8))
        return cpu_raise_error(c, vector, sel_error(sel, ext));
    if (!lin_read(c, desc_address(c, sel) + 8, raw, 8, ACC_IMPLICIT))
        return false;
    d->high = ld64(raw);
    return true;
}

bool desc_set_type(struct cpu *c, u16 sel, u16 attr)
{
    u8 byte = (u8)attr;
    return lin_write(c, system_linear(c, desc_address(c, sel) + 5), &byte, 1, ACC_IMPLICIT);
}

bool desc_set_accessed(struct cpu *c, u16 sel, u16 attr)
{
    return LIKELY(attr & SEG_ACCESSED) || desc_set_type(c, sel, attr | SEG_ACCESSED);
}

struct seg desc_seg(u16 sel, const struct desc *d)
{
    u16 attr = desc_attr(d);
    u32 limit = (u32)((d->low & 0xffff) | (d->low >> 32 & 0xf0000));
    return (struct seg){
        .sel = sel,
        .attr = attr,
        .limit = attr & SEG_G ? limit << 12 | 0xfff : limit,
        .base = (d->low >> 16 & 0xffffff) | (d->low >> 32 & 0xff000000) | d->high << 32,
    };
}

/* The common part of LLDT and LTR: D and its attributes. */
static bool system_fetch(struct cpu *c, u16 sel, struct desc *d)
{
    if (sel & SEL_TI)
        return cpu_raise_gp(c, sel_error(sel, 0));
    if (!desc_fetch(c, sel, VEC_GP, 0, d))
        return false;
    return !cpu_code64(c) || desc_fetch_high(c, sel, VEC_GP, 0, d);
}

/* The 16-byte form: its second half has no type, and the base must be canonical. */
static bool system_high_ok(struct cpu *c, u16 sel, const struct desc *d, const struct seg *s)
{
    if (cpu_code64(c) && (d->high >> 40 & 0x1f || !cpu_canonical(s->base)))
        return cpu_raise_gp(c, sel_error(sel, 0));
    return true;
}

static bool system_allowed(struct cpu *c)
{
    if (!cpu_protected(c) || cpu_v86(c))
        return cpu_raise_ud(c);
    return cpl0_check(c);
}

bool op_lldt(struct cpu *c, u16 sel)
{
    struct desc d;
    if (!system_allowed(c))
        return false;
    if (sel_null(sel)) {
        c->seg[SEG_LDTR] = seg_null(sel, 0, 0);
        return true;
    }
    if (!system_fetch(c, sel, &d))
        return false;
    u16 attr = desc_attr(&d);
    struct seg s = desc_seg(sel, &d);
    if (!attr_system(attr, TYPE_LDT))
        return cpu_raise_gp(c, sel_error(sel, 0));
    if (!system_high_ok(c, sel, &d, &s))
        return false;
    if (!(attr & SEG_P))
        return cpu_raise_error(c, VEC_NP, sel_error(sel, 0));
    c->seg[SEG_LDTR] = s;
    return true;
}

bool op_ltr(struct cpu *c, u16 sel)
{
    struct desc d;
    if (!system_allowed(c))
        return false;
    if (sel_null(sel))
        return cpu_raise_gp(c, 0);
    if (!system_fetch(c, sel, &d))
        return false;
    u16 attr = desc_attr(&d);
    struct seg s = desc_seg(sel, &d);
    if (!attr_system(attr, TYPE_TSS) && (cpu_long_mode(c) || !attr_system(attr, TYPE_TSS16)))
        return cpu_raise_gp(c, sel_error(sel, 0));
    if (!system_high_ok(c, sel, &d, &s))
        return false;
    if (!(attr & SEG_P))
        return cpu_raise_error(c, VEC_NP, sel_error(sel, 0));
    s.attr |= 2; /* busy */
    if (!desc_set_type(c, sel, s.attr))
        return false;
    c->seg[SEG_TR] = s;
    return true;
}

/* Reads the descriptor that LAR, LSL, VERR, VERW ask about. *OK false: null, outside the table, or not
 * visible from here. False: a fault. */
static bool query(struct cpu *c, u16 sel, struct desc *d, bool *ok)
{
    *ok = false;
    if (!cpu_protected(c) || cpu_v86(c))
        return cpu_raise_ud(c);
    if (sel_null(sel) || !desc_inside(c, sel, 0))
        return true;
    if (!desc_fetch(c, sel, VEC_GP, 0, d))
        return false;
    u16 attr = desc_attr(d);
    unsigned dpl = attr_dpl(attr);
    *ok = (attr_code(attr) && attr_conforming(attr)) || (c->cpl <= dpl && (sel & SEL_RPL) <= dpl);
    return true;
}

bool op_lar(struct cpu *c, u16 sel, u32 *rights, bool *ok)
{
    const u32 legacy = 1u << TYPE_TSS16 | 1u << TYPE_LDT | 1u << TYPE_TSS16_BUSY | 1u << TYPE_CALL16 |
                       1u << TYPE_TASK_GATE | 1u << TYPE_TSS | 1u << TYPE_TSS_BUSY | 1u << TYPE_CALL;
    const u32 long_mode = 1u << TYPE_LDT | 1u << TYPE_TSS | 1u << TYPE_TSS_BUSY | 1u << TYPE_CALL;
    struct desc d;
    if (!query(c, sel, &d, ok))
        return false;
    if (!*ok)
        return true;
    u16 attr = desc_attr(&d);
    *ok = attr & SEG_S || (cpu_long_mode(c) ? long_mode : legacy) >> (attr & SEG_TYPE) & 1;
    *rights = (u32)(d.low >> 32) & 0x00ffff00;
    return true;
}

bool op_lsl(struct cpu *c, u16 sel, u32 *limit, bool *ok)
{
    const u32 legacy =
        1u << TYPE_TSS16 | 1u << TYPE_LDT | 1u << TYPE_TSS16_BUSY | 1u << TYPE_TSS | 1u << TYPE_TSS_BUSY;
    const u32 long_mode = 1u << TYPE_LDT | 1u << TYPE_TSS | 1u << TYPE_TSS_BUSY;
    struct desc d;
    if (!query(c, sel, &d, ok))
        return false;
    if (!*ok)
        return true;
    u16 attr = desc_attr(&d);
    *ok = attr & SEG_S || (cpu_long_mode(c) ? long_mode : legacy) >> (attr & SEG_TYPE) & 1;
    *limit = desc_seg(sel, &d).limit;
    return true;
}

bool op_verify(struct cpu *c, u16 sel, bool write, bool *ok)
{
    struct desc d;
    if (!query(c, sel, &d, ok))
        return false;
    if (*ok)
        *ok = write ? attr_writable(desc_attr(&d)) : attr_readable(desc_attr(&d));
    return true;
}
