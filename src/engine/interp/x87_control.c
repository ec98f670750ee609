/* x87 control: words, environments and whole state in their four layouts, stack pointer and tags (SDM vol.
 * 1, 8.1.10 and 8.3.8). FCS and FDS are not kept (CPUID.7.0:EBX[13]): they read as zero. */
#include "base/le.h"
#include "engine/interp/x87.h"

/* ES and B follow from the flags and the masks. */
static void summarize(struct cpu *c)
{
    bool es = c->fpu.fsw & ~c->fpu.fcw & FSW_EXCEPTIONS;
    c->fpu.fsw = (u16)((c->fpu.fsw & ~(FSW_ES | FSW_B)) | (es ? FSW_ES | FSW_B : 0));
}

static void control_set(struct cpu *c, u16 v)
{
    c->fpu.fcw = (u16)((v & 0x1f3f) | 0x40);
    summarize(c);
}

static enum x87_end initialize(struct cpu *c)
{
    X87_TRY(x87_available(c));
    fpu_init(c);
    return X87_DONE;
}

static enum x87_end clear_exceptions(struct cpu *c)
{
    X87_TRY(x87_available(c));
    c->fpu.fsw &= (u16) ~(FSW_EXCEPTIONS | FSW_SF | FSW_ES | FSW_B);
    return X87_DONE;
}

static enum x87_end load_control(struct cpu *c, const struct insn *i)
{
    u16 v;
    X87_TRY(x87_ready(c, i));
    X87_MEM(op_load(c, i, &v, 2));
    control_set(c, v);
    return X87_DONE;
}

static enum x87_end store_word(struct cpu *c, const struct insn *i, u16 v)
{
    X87_TRY(x87_available(c));
    X87_MEM(op_store(c, i, &v, 2));
    return X87_DONE;
}

static enum x87_end store_status_ax(struct cpu *c)
{
    X87_TRY(x87_available(c));
    c->gpr[RAX].w = c->fpu.fsw;
    return X87_DONE;
}

/* --- environments: 14 or 28 bytes, real or protected layout */

static bool real_layout(const struct cpu *c)
{
    return !cpu_protected(c) || cpu_v86(c);
}

static u16 tag_word(struct cpu *c)
{
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; n++) {
        const struct f80 *a = (const void *)c->fpu.st[n];
        tags |= (c->fpu.ftw >> n & 1 ? f80_tag(a) : 3) << 2 * n;
    }
    return (u16)tags;
}

static void environment_put(struct cpu *c, u8 *e, unsigned size)
{
    const struct fpu *f = &c->fpu;
    u32 ip = (u32)f->fip, dp = (u32)f->fdp;
    u32 field[7] = {f->fcw, f->fsw, tag_word(c)};
    bool wide = size == 28;
    if (real_layout(c)) {
        field[3] = ip & 0xffff;
        field[4] = (wide ? ip >> 16 << 12 : ip >> 4 & 0xf000) | f->fop;
        field[5] = dp & 0xffff;
        field[6] = wide ? dp >> 16 << 12 : dp >> 4 & 0xf000;
    } else {
        field[3] = ip;
        field[4] = wide ? (u32)f->fop << 16 : 0;
        field[5] = dp;
        field[6] = 0;
    }
    /* The unused halves of 32-bit fields are ones. */
    static const u32 ones_real[7] = {~0xffffu, ~0xffffu, ~0xffffu, ~0xffffu, 0, ~0xffffu, 0};
    static const u32 ones_protected[7] = {~0xffffu, ~0xffffu, ~0xffffu, 0, 0, 0, ~0xffffu};
    for (unsigned k = 0; k < 7; k++) {
        if (wide)
            st32(e + 4 * k, field[k] | (real_layout(c) ? ones_real[k] : ones_protected[k]));
        else
            st16(e + 2 * k, (u16)field[k]);
    }
}

static void environment_get(struct cpu *c, const u8 *e, unsigned size)
{
    struct fpu *f = &c->fpu;
    bool wide = size == 28;
    u32 field[7];
    for (unsigned k = 0; k < 7; k++)
        field[k] = wide ? ld32(e + 4 * k) : ld16(e + 2 * k);
    f->fsw = (u16)field[1];
    f->ftw = 0;
    for (unsigned n = 0; n < 8; n++)
        f->ftw |= (u8)((field[2] >> 2 * n & 3) != 3 ? 1u << n : 0);
    if (real_layout(c)) {
        f->fip = (field[3] & 0xffff) | (wide ? field[4] >> 12 << 16 : (field[4] & 0xf000) << 4);
        f->fop = field[4] & 0x7ff;
        f->fdp = (field[5] & 0xffff) | (wide ? field[6] >> 12 << 16 : (field[6] & 0xf000) << 4);
    } else {
        f->fip = field[3];
        f->fop = wide ? field[4] >> 16 & 0x7ff : f->fop;
        f->fdp = field[5];
    }
    control_set(c, (u16)field[0]);
}

#define STATE_MAX 108

/* Memory operands larger than an access: all pages first, so that a fault leaves no half-written image. */
static bool image_linear(struct cpu *c, const struct insn *i, unsigned len, bool write, u64 *lin)
{
    if (!mem_linear(c, i, len, write, lin))
        return false;
    if (cpu_code64(c) && !(cpu_canonical(*lin) && cpu_canonical(*lin + len - 1)))
        return cpu_raise_error(c, i->seg == SEG_SS ? VEC_SS : VEC_GP, 0);
    return lin_probe(c, *lin, len, write ? ACC_WRITE : ACC_READ);
}

static u64 piece(const struct cpu *c, u64 lin)
{
    return cpu_code64(c) ? lin : (u32)lin;
}

static bool image_store(struct cpu *c, const struct insn *i, const u8 *image, unsigned len)
{
    u64 lin;
    if (!image_linear(c, i, len, true, &lin))
        return false;
    for (unsigned done = 0; done < len; done += 64)
        if (!lin_store(c, i, piece(c, lin + done), image + done, len - done < 64 ? len - done : 64))
            return false;
    return true;
}

static bool image_load(struct cpu *c, const struct insn *i, u8 *image, unsigned len)
{
    u64 lin;
    if (!image_linear(c, i, len, false, &lin))
        return false;
    for (unsigned done = 0; done < len; done += 64)
        if (!lin_load(c, i, piece(c, lin + done), image + done, len - done < 64 ? len - done : 64))
            return false;
    return true;
}

static enum x87_end store_environment(struct cpu *c, const struct insn *i)
{
    u8 image[28];
    X87_TRY(x87_available(c));
    environment_put(c, image, i->msize);
    X87_MEM(image_store(c, i, image, i->msize));
    c->fpu.fcw |= FSW_EXCEPTIONS;
    summarize(c);
    return X87_DONE;
}

static enum x87_end load_environment(struct cpu *c, const struct insn *i)
{
    u8 image[28];
    X87_TRY(x87_ready(c, i));
    X87_MEM(image_load(c, i, image, i->msize));
    environment_get(c, image, i->msize);
    return X87_DONE;
}

static enum x87_end store_state(struct cpu *c, const struct insn *i)
{
    u8 image[STATE_MAX];
    unsigned env = i->msize - 80u;
    X87_TRY(x87_available(c));
    environment_put(c, image, env);
    for (unsigned n = 0; n < 8; n++) {
        st64(image + env + 10 * n, x87_st(c, n)->man);
        st16(image + env + 10 * n + 8, x87_st(c, n)->se);
    }
    X87_MEM(image_store(c, i, image, i->msize));
    fpu_init(c);
    return X87_DONE;
}

static enum x87_end load_state(struct cpu *c, const struct insn *i)
{
    u8 image[STATE_MAX];
    unsigned env = i->msize - 80u;
    X87_TRY(x87_ready(c, i));
    X87_MEM(image_load(c, i, image, i->msize));
    environment_get(c, image, env);
    for (unsigned n = 0; n < 8; n++)
        f80_set(x87_st(c, n), ld64(image + env + 10 * n), ld16(image + env + 10 * n + 8));
    return X87_DONE;
}

/* --- stack pointer, tags, waiting */

static enum x87_end turn(struct cpu *c, const struct insn *i, unsigned by)
{
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    x87_set_top(c, x87_physical(c, by));
    c->fpu.fsw &= (u16)~FSW_C1;
    return X87_DONE;
}

static enum x87_end release(struct cpu *c, const struct insn *i, bool pop)
{
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    c->fpu.ftw &= (u8) ~(1u << x87_physical(c, i->rd));
    x87_condition(c, 0, FSW_C1);
    if (pop)
        x87_pop(c);
    return X87_DONE;
}

static enum x87_end no_operation(struct cpu *c, const struct insn *i)
{
    X87_TRY(x87_ready(c, i));
    x87_note(c, i);
    return X87_DONE;
}

static enum x87_end wait(struct cpu *c, const struct insn *i)
{
    if ((c->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) {
        cpu_raise(c, VEC_NM);
        return X87_FAULT;
    }
    return x87_pending(c, i);
}

X87_WORK(fninit, ((void)i, initialize(c)))
X87_WORK(fnclex, ((void)i, clear_exceptions(c)))
X87_WORK(fldcw, load_control(c, i))
X87_WORK(fnstcw, store_word(c, i, c->fpu.fcw))
X87_WORK(fnstsw, store_word(c, i, c->fpu.fsw))
X87_WORK(fnstsw_ax, ((void)i, store_status_ax(c)))
X87_WORK(fnstenv, store_environment(c, i))
X87_WORK(fldenv, load_environment(c, i))
X87_WORK(fnsave, store_state(c, i))
X87_WORK(frstor, load_state(c, i))
X87_WORK(fincstp, turn(c, i, 1))
X87_WORK(fdecstp, turn(c, i, 7))
X87_WORK(ffree, release(c, i, false))
X87_WORK(ffreep, release(c, i, true))
X87_WORK(fnop, no_operation(c, i))
X87_WORK(fwait, wait(c, i))
X87_WORK(nothing, ((void)i, x87_available(c)))

const struct x87_row x87_row_FNINIT = {.reg = h_fninit};
const struct x87_row x87_row_FNCLEX = {.reg = h_fnclex};
const struct x87_row x87_row_FLDCW = {NULL, {[X87_M16] = h_fldcw}};
const struct x87_row x87_row_FNSTCW = {NULL, {[X87_M16] = h_fnstcw}};
const struct x87_row x87_row_FNSTSW = {h_fnstsw_ax, {[X87_M16] = h_fnstsw}};
const struct x87_row x87_row_FNSTENV = {NULL, {[X87_ENV] = h_fnstenv}};
const struct x87_row x87_row_FLDENV = {NULL, {[X87_ENV] = h_fldenv}};
const struct x87_row x87_row_FNSAVE = {NULL, {[X87_ENV] = h_fnsave}};
const struct x87_row x87_row_FRSTOR = {NULL, {[X87_ENV] = h_frstor}};
const struct x87_row x87_row_FINCSTP = {.reg = h_fincstp};
const struct x87_row x87_row_FDECSTP = {.reg = h_fdecstp};
const struct x87_row x87_row_FFREE = {.reg = h_ffree};
const struct x87_row x87_row_FFREEP = {.reg = h_ffreep};
const struct x87_row x87_row_FNOP = {.reg = h_fnop};
const struct x87_row x87_row_FWAIT = {.reg = h_fwait};
const struct x87_row x87_row_FENI8087_NOP = {.reg = h_nothing};
const struct x87_row x87_row_FDISI8087_NOP = {.reg = h_nothing};
const struct x87_row x87_row_FSETPM287_NOP = {.reg = h_nothing};
