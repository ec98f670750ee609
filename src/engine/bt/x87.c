/* x87 and MMX on the host's own FPU, with the guest's register values.
 *
 * Only where all six exceptions are masked (BT_MODE_X87): then no x87 instruction of a block can fault, WAIT
 * is nothing, and neither FOP nor FDP moves (docs/deviations.md). With an exception unmasked or pending, the
 * interpreter executes them, and finds #MF at the next waiting one.
 *
 * Where the state is: in struct cpu, or (scratch.x87_in) in the host's FPU. A block that needs it asks once
 * and loads it when it is not there; it stays through soft-TLB fills, links and look-ups of the dispatcher,
 * whose C code knows no x87, and goes back before anything else looks at struct cpu. The control word is in
 * scratch.fcw always. FIP is kept as a page and an offset, written by translated code: the host's pointers
 * are never read. */
#include "engine/bt/x87.h"
#include "base/le.h"
#include "engine/bt/tr.h"

/* FNSAVE's 108 bytes (SDM vol. 1, 8.1.10): seven words of environment, ST(0) to ST(7) with 10 bytes each. */
enum { IMAGE = 108, IMAGE_FCW = 0, IMAGE_FSW = 4, IMAGE_TAGS = 8, IMAGE_ST = 28, ST_BYTES = 10 };
#define FCW_MASKS 0x3f

bool bt_x87_native(const struct cpu *c)
{
    return !(c->cr0 & (CR0_EM | CR0_TS)) && (c->fpu.fcw & FCW_MASKS) == FCW_MASKS && !(c->fpu.fsw & 0x80);
}

#if defined(__x86_64__)
void bt_x87_load(struct bt *b)
{
    const struct fpu *f = &b->cpu->fpu;
    u8 image[IMAGE] = {0};
    unsigned top = f->fsw >> 11 & 7, tags = 0;
    st16(image + IMAGE_FCW, (u16)b->scratch->fcw);
    st16(image + IMAGE_FSW, f->fsw);
    for (unsigned k = 0; k < 8; k++) {
        tags |= f->ftw >> k & 1 ? 0 : 3u << 2 * k;
        memcpy(image + IMAGE_ST + (size_t)ST_BYTES * k, f->st[(top + k) & 7], ST_BYTES);
    }
    st16(image + IMAGE_TAGS, (u16)tags);
    __asm__ volatile("frstor %0" : : "m"(image));
    b->scratch->x87_in = 1;
}

void bt_x87_save(struct bt *b)
{
    struct fpu *f = &b->cpu->fpu;
    u8 image[IMAGE];
    __asm__ volatile("fnsave %0" : "=m"(image)); /* and the monitor has the ABI's empty FPU */
    f->fsw = ld16(image + IMAGE_FSW);
    unsigned top = f->fsw >> 11 & 7, tags = ld16(image + IMAGE_TAGS);
    f->ftw = 0;
    for (unsigned k = 0; k < 8; k++) {
        f->ftw |= (u8)((tags >> 2 * k & 3) != 3 ? 1u << k : 0);
        memcpy(f->st[(top + k) & 7], image + IMAGE_ST + (size_t)ST_BYTES * k, ST_BYTES);
    }
    b->scratch->x87_in = 0;
}
#else
void bt_x87_load(struct bt *b)
{
    (void)b;
}
void bt_x87_save(struct bt *b)
{
    (void)b;
}
#endif

/* ---- translation ---- */

/* Control instructions leave FIP alone. */
static bool is_control(u16 op)
{
    return op == OP_FNSTSW || op == OP_FNCLEX || op == OP_FLDCW || op == OP_FNSTCW;
}

u8 x87_kind(struct dec *d, u32 mode, bool copied)
{
    if (!(mode & BT_MODE_X87))
        return K_STEP;
    switch (d->i.op) {
    case OP_FWAIT: return K_NOP;
    case OP_FLDCW: return K_X87_CONTROL;
    case OP_FNSTSW:
    case OP_FNCLEX:
    case OP_FNOP: break;
    default:
        if (!copied)
            return K_STEP;
    }
    d->x87 = is_control(d->i.op) ? X87_USES : X87_NOTES;
    return K_GENERIC;
}

void x87_before(struct tr *t)
{
    struct emit *e = &t->e;
    if (t->x87_there)
        return;
    flags_clobber(t);
    t->held = 0;
    e_op(e, false, 0x83, ALU_CMP, SCRATCH(x87_in), 1);
    e8(e, 0);
    struct late *l = late_new(t, LATE_X87, e_jcc(e, CC_E));
    l->back = e_off(e);
    t->x87_there = true;
}

void x87_late(struct tr *t, const struct late *l)
{
    e_call(&t->e, t->b->stub_x87);
    e_jmp(&t->e, l->back);
}

/* Does the next instruction write FIP too, with nothing in between that could leave the block? */
static bool next_notes(const struct tr *t)
{
    const struct dec *next = &t->d[t->index + 1u];
    return t->index + 1u < t->n_insns && next->kind == K_GENERIC && next->x87 == X87_NOTES &&
           !generic_memory(next);
}

void x87_after(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    if (d->x87 != X87_NOTES || next_notes(t))
        return;
    if (!t->fip_paged) {
        e_load(e, HOST_T0, SCRATCH(rip_page));
        e_store(e, SCRATCH(fip_page), HOST_T0);
        t->fip_paged = true;
    }
    e_op(e, true, 0xc7, 0, SCRATCH(fip_off), 4);
    e32(e, t->page_off + d->off);
}

/* FLDCW: a value that masks everything; others are the interpreter's, and change the mode. */
void x87_control(struct tr *t, const struct dec *d)
{
    struct emit *e = &t->e;
    struct ea ea = ea_of(d, t->page_off);
    int spare;
    x87_before(t);
    flags_clobber(t);
    struct opnd m = mem_access(t, &ea, 2, ACC_READ, &spare);
    e_op(e, false, 0x0fb7, spare, m, 0);
    e_alu_imm(e, false, ALU_AND, spare, 0x1f3f);
    e_alu_imm(e, false, ALU_OR, spare, 0x40);
    e_store(e, SCRATCH(spill[3]), spare);
    e_op(e, false, 0xf7, 2, reg_opnd(spare), 0); /* NOT */
    e_op(e, false, 0xf7, 0, reg_opnd(spare), 4); /* TEST */
    e32(e, FCW_MASKS);
    step_if(t, CC_NE);
    e_op(e, false, 0xd9, 5, SCRATCH(spill[3]), 0);
    e_load(e, spare, SCRATCH(spill[3]));
    e_store(e, SCRATCH(fcw), spare);
}
