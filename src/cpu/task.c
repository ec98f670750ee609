/* The task-state segment: stacks for inner levels, and the hardware task switch.
 * SDM vol. 3, 7.2 (TSS formats), 7.3 and tables 7-1, 7-2 (task switching), 7.7 (64-bit TSS). A switch has a
 * point of no return: before it all that the switch will touch is checked and found accessible; after it
 * faults belong to the new task. */
#include <string.h>

#include "base/le.h"
#include "cpu/segment.h"
#include "cpu/tlb.h"
#include "cpu/walk.h"

/* Offsets, 32-bit TSS | 16-bit TSS:
 *   link 0 | 0, SS:ESP of levels 0 to 2 from 4 | 2, CR3 1c | -, EIP 20 | e, EFLAGS 24 | 10, EAX ... EDI 28 |
 * 12, ES CS SS DS 48 | 22, FS GS 58 | -, LDT 60 | 2a, T (bit 0) 64 | -, base of the I/O map 66 | - */
struct tss_layout {
    u8 word; /* bytes of a register slot, and of a selector slot */
    u8 ip, gpr, sreg, sregs, ldt;
    u8 min_limit;
};
static const struct tss_layout tss16 = {2, 0x0e, 0x12, 0x22, 4, 0x2a, 0x2b};
static const struct tss_layout tss32 = {4, 0x20, 0x28, 0x48, 6, 0x60, 0x67};
#define TSS_CR3     0x1c
#define TSS_TRAP    0x64
#define TSS32_BYTES 0x68

/* The order of selectors in the TSS. */
static const u8 sreg_order[] = {SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS};

static const struct tss_layout *tss_layout(u16 attr)
{
    return attr & TYPE_WIDE ? &tss32 : &tss16;
}

static u64 tss_linear(const struct cpu *c, const struct seg *tss, u32 off)
{
    return system_linear(c, tss->base + off);
}

static bool ts_raise(struct cpu *c, u16 sel, u32 ext)
{
    return cpu_raise_error(c, VEC_TS, sel_error(sel, ext));
}

/* --- stacks */

bool tss_rsp(struct cpu *c, unsigned dpl, unsigned ist, u32 ext, u64 *rsp)
{
    const struct seg *tr = &c->seg[SEG_TR];
    u32 at = ist ? ist * 8 + 28 : dpl * 8 + 4;
    u8 raw[8];
    if (UNLIKELY(at + 7 > tr->limit))
        return ts_raise(c, tr->sel, ext);
    if (!lin_read(c, tss_linear(c, tr, at), raw, 8, ACC_IMPLICIT))
        return false;
    *rsp = ld64(raw);
    return true;
}

bool tss_stack(struct cpu *c, unsigned dpl, u32 ext, struct stack *s)
{
    const struct seg *tr = &c->seg[SEG_TR];
    unsigned word = tss_layout(tr->attr)->word;
    u32 at = (dpl * 2 + 1) * word;
    struct desc d;
    u8 raw[8] = {0};
    if (at + word + 1 > tr->limit)
        return ts_raise(c, tr->sel, ext);
    if (!lin_read(c, tss_linear(c, tr, at), raw, word + 2, ACC_IMPLICIT))
        return false;
    u16 sel = ld16(raw + word);
    if (sel_null(sel))
        return ts_raise(c, 0, ext);
    if (!desc_fetch(c, sel, VEC_TS, ext, &d))
        return false;
    u16 attr = desc_attr(&d);
    if ((sel & SEL_RPL) != dpl || attr_dpl(attr) != dpl || !attr_writable(attr))
        return ts_raise(c, sel, ext);
    if (!(attr & SEG_P))
        return cpu_raise_error(c, VEC_SS, sel_error(sel, ext));
    if (!desc_set_accessed(c, sel, attr))
        return false;
    *s = (struct stack){
        .ss = desc_seg(sel, &d),
        .sp = ld_n(raw, word),
        .width = attr & SEG_DB ? 4 : 2,
        .error = sel_error(sel, ext),
    };
    s->ss.attr |= SEG_ACCESSED;
    return true;
}

/* --- the switch */

struct task {
    u16 sel; /* of the new TSS */
    enum task_switch_kind kind;
    u32 ext;
    struct seg tss; /* new */
    u8 image[TSS32_BYTES];
};

/* Probes [off, off + len) of a TSS. */
static bool tss_probe(struct cpu *c, const struct seg *tss, u32 off, unsigned len, unsigned acc)
{
    return lin_probe(c, tss_linear(c, tss, off), len, acc | ACC_IMPLICIT);
}

static bool desc_probe(struct cpu *c, u16 sel)
{
    return lin_probe(c, desc_address(c, sel), 8, ACC_WRITE | ACC_IMPLICIT);
}

static bool tss_write(struct cpu *c, const struct seg *tss, u32 off, const void *buf, unsigned len)
{
    return lin_write(c, tss_linear(c, tss, off), buf, len, ACC_IMPLICIT);
}

static bool nested(const struct task *t)
{
    return t->kind == TASK_CALL || t->kind == TASK_INT;
}

/* Everything that may fail in the old task. */
static bool task_check(struct cpu *c, struct task *t)
{
    const struct seg *old = &c->seg[SEG_TR];
    const struct tss_layout *l = tss_layout(old->attr), *n;
    struct desc d;
    if (!desc_fetch(c, t->sel, VEC_GP, t->ext, &d))
        return false;
    t->tss = desc_seg(t->sel, &d);
    n = tss_layout(t->tss.attr);
    if (t->tss.limit < n->min_limit)
        return ts_raise(c, t->sel, t->ext);
    if (old->limit < l->min_limit)
        return ts_raise(c, old->sel, t->ext);
    if (!tss_probe(c, old, l->ip, l->ldt - l->ip, ACC_WRITE) ||
        !tss_probe(c, &t->tss, 0, n->min_limit + 1u, 0))
        return false;
    if (nested(t) && !tss_probe(c, &t->tss, 0, 2, ACC_WRITE))
        return false;
    if (!nested(t) && !desc_probe(c, old->sel))
        return false;
    return t->kind == TASK_IRET || desc_probe(c, t->sel);
}

/* Writes the old task's state, from EIP to the last selector. */
static bool task_save(struct cpu *c, u64 next, u64 flags)
{
    const struct seg *tr = &c->seg[SEG_TR];
    const struct tss_layout *l = tss_layout(tr->attr);
    u8 raw[40], sel[2];
    st_n(raw, next, l->word);
    st_n(raw + l->word, flags, l->word);
    for (unsigned k = 0; k < 8; k++)
        st_n(raw + (2 + k) * l->word, c->gpr[k].q, l->word);
    if (!tss_write(c, tr, l->ip, raw, 10u * l->word))
        return false;
    for (unsigned k = 0; k < l->sregs; k++) {
        st16(sel, c->seg[sreg_order[k]].sel);
        if (!tss_write(c, tr, l->sreg + k * l->word, sel, 2))
            return false;
    }
    return true;
}

static bool task_read(struct cpu *c, struct task *t)
{
    unsigned len = tss_layout(t->tss.attr)->min_limit + 1u;
    for (unsigned at = 0; at < len; at += 52) {
        unsigned n = len - at < 52 ? len - at : 52;
        if (!lin_read(c, tss_linear(c, &t->tss, at), t->image + at, n, ACC_IMPLICIT))
            return false;
    }
    return true;
}

static bool load_ldt(struct cpu *c, const struct task *t, u16 sel)
{
    struct desc d;
    c->seg[SEG_LDTR] = seg_null(sel, 0, 0);
    if (sel_null(sel))
        return true;
    if (sel & SEL_TI)
        return ts_raise(c, sel, t->ext);
    if (!desc_fetch(c, sel, VEC_TS, t->ext, &d))
        return false;
    u16 attr = desc_attr(&d);
    if (!attr_system(attr, TYPE_LDT) || !(attr & SEG_P))
        return ts_raise(c, sel, t->ext);
    c->seg[SEG_LDTR] = desc_seg(sel, &d);
    return true;
}

static bool code_ok(u16 sel, u16 attr)
{
    unsigned dpl = attr_dpl(attr), rpl = sel & SEL_RPL;
    return attr_code(attr) && (attr_conforming(attr) ? dpl <= rpl : dpl == rpl);
}

static bool data_ok(u16 sel, u16 attr, unsigned cpl)
{
    unsigned dpl = attr_dpl(attr);
    bool any_level = attr_code(attr) && attr_conforming(attr);
    return attr_readable(attr) && (any_level || (dpl >= cpl && dpl >= (sel & SEL_RPL)));
}

/* Loads one of the new task's segment registers (table 7-1); its selector is in place, its hidden part is
 * void. */
static bool load_segment(struct cpu *c, const struct task *t, enum seg_reg r, unsigned cpl)
{
    u16 sel = c->seg[r].sel;
    struct desc d;
    if (sel_null(sel))
        return (r != SEG_CS && r != SEG_SS) || ts_raise(c, sel, t->ext);
    if (!desc_fetch(c, sel, VEC_TS, t->ext, &d))
        return false;
    u16 attr = desc_attr(&d);
    bool ok = r == SEG_CS   ? code_ok(sel, attr)
              : r == SEG_SS ? attr_writable(attr) && attr_dpl(attr) == cpl && (sel & SEL_RPL) == cpl
                            : data_ok(sel, attr, cpl);
    if (!ok)
        return ts_raise(c, sel, t->ext);
    if (!(attr & SEG_P))
        return cpu_raise_error(c, r == SEG_SS ? VEC_SS : VEC_NP, sel_error(sel, t->ext));
    if (!desc_set_accessed(c, sel, attr))
        return false;
    c->seg[r] = desc_seg(sel, &d);
    c->seg[r].attr |= SEG_ACCESSED;
    return true;
}

/* General registers, EIP, EFLAGS and bare selectors. */
static void task_registers(struct cpu *c, const struct task *t)
{
    const struct tss_layout *l = tss_layout(t->tss.attr);
    u64 flags = ld_n(t->image + l->ip + l->word, l->word);
    c->rip = ld_n(t->image + l->ip, l->word);
    for (unsigned k = 0; k < 8; k++)
        c->gpr[k].q = ld_n(t->image + l->gpr + k * l->word, l->word);
    cpu_set_rflags(c, nested(t) ? flags | RFLAGS_NT : flags);
    unsigned cpl = ld16(t->image + l->sreg + l->word) & SEL_RPL; /* CS */
    for (unsigned k = 0; k < ARRAY_LEN(sreg_order); k++) {
        u16 sel = k < l->sregs ? ld16(t->image + l->sreg + k * l->word) : 0;
        c->seg[sreg_order[k]] = cpu_v86(c) ? seg_v86(sel) : seg_null(sel, cpl, 0);
    }
    c->cr0 |= CR0_TS;
    c->dr7 &= ~0x155ull; /* L0 to L3, LE */
    cpu_update_mode(c);
}

static bool task_cr3(struct cpu *c, const struct task *t)
{
    if (!(t->tss.attr & TYPE_WIDE) || !(c->cr0 & CR0_PG))
        return true;
    u32 cr3 = ld32(t->image + TSS_CR3);
    if (c->cr4 & CR4_PAE && !pdpte_load(c, cr3))
        return false;
    c->cr3 = cr3;
    tlb_load_cr3(c, 0, false);
    return true;
}

/* In the new task. */
static bool task_load(struct cpu *c, const struct task *t)
{
    static const u8 order[] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    const struct tss_layout *l = tss_layout(t->tss.attr);
    task_registers(c, t);
    if (!task_cr3(c, t) || !load_ldt(c, t, ld16(t->image + l->ldt)))
        return false;
    unsigned cpl = c->cpl;
    if (!cpu_v86(c))
        for (unsigned k = 0; k < ARRAY_LEN(order); k++)
            if (!load_segment(c, t, order[k], cpl))
                return false;
    if (t->tss.attr & TYPE_WIDE && t->image[TSS_TRAP] & 1) {
        c->pending_db |= DR6_BT;
        cpu_attend(c, ATTN_TRAP);
    }
    return target_ok(c, &c->seg[SEG_CS], &c->rip, t->ext);
}

enum transfer task_enter(struct cpu *c, u16 sel, enum task_switch_kind kind, u64 next, bool rf, u32 ext)
{
    struct task t = {.sel = sel, .kind = kind, .ext = ext};
    const struct seg old = c->seg[SEG_TR];
    u64 flags = cpu_rflags(c) | (rf ? RFLAGS_RF : 0);
    u8 link[2];
    st16(link, old.sel);
    if (kind == TASK_IRET)
        flags &= ~(u64)RFLAGS_NT;
    if (!task_check(c, &t))
        return TRANSFER_FAULT;
    if (!nested(&t) && !desc_set_type(c, old.sel, old.attr & (u16)~2u))
        return TRANSFER_FAULT;
    if (!task_save(c, next, flags) || (nested(&t) && !tss_write(c, &t.tss, 0, link, 2)) || !task_read(c, &t))
        return TRANSFER_FAULT; /* cannot be: probed */
    t.tss.attr |= 2;
    if (kind != TASK_IRET && !desc_set_type(c, sel, t.tss.attr))
        return TRANSFER_FAULT;
    c->seg[SEG_TR] = t.tss;
    bool ok = task_load(c, &t);
    cpu_update_mode(c);
    return ok ? TRANSFER_DONE : TRANSFER_FAULT_NEW_TASK;
}

bool task_enter_insn(struct cpu *c, u16 sel, enum task_switch_kind kind, u64 next)
{
    enum transfer t = task_enter(c, sel, kind, next, false, 0);
    if (t == TRANSFER_FAULT_NEW_TASK)
        cpu_deliver_fault(c);
    return t != TRANSFER_FAULT;
}
