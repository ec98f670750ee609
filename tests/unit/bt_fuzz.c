/* Random 64-bit code on the translator and on the interpreter: the same registers, flags and memory after as
 * many instructions, whatever it does: faults included, whose frames lie in memory. Operations with undefined
 * flags are left out where the manual says so. usage: test-bt_fuzz [BLOCKS [SEED]] */
#include <stdio.h>
#include <stdlib.h>

#include "base/le.h"
#include "cpu_rig.h"
#include "engine/engine.h"
#include "isa/insn.h"

#define DATA  0x100000u
#define STEPS 150u /* past the translator's last stretch, so that both its ways are taken */
#define LONG  1200u

static const char *const undefined_of[OP_COUNT] = {
#define OP(name, family, feature, written, undefined, bt) [OP_##name] = #undefined,
#include "isa/ops.def"
#undef OP
};

static u64 seed_state;
static u64 next_random(void);

/* The x87's exceptions are masked, mostly; else the interpreter's instructions are what they are compared with. */
static void random_fpu(struct fpu *f, u64 *bits)
{
    static const u16 exponents[8] = {0x3fff, 0x4005, 0xbffe, 0, 0x7fff, 0x4030, 0x3ff0, 0xffff};
    f->fcw = (u16)(0x40 | (bits[0] & 7 ? 0x3f : bits[0] >> 8 & 0x3f) | (bits[0] >> 16 & 0xf00));
    f->fsw = (u16)(bits[1] & 0x477f);
    f->fsw |= (u16)((bits[1] >> 16 & 7) << 11);
    f->fsw |= f->fsw & ~f->fcw & 0x3f ? 0x8080 : 0;
    f->ftw = (u8)(bits[2] & 3 ? bits[2] >> 8 | bits[2] >> 16 : bits[2] >> 8);
    f->fip = 0x1234, f->fdp = 0x5678, f->fop = 0x123;
    for (unsigned k = 0; k < 8; k++) {
        memset(f->st[k], 0, sizeof f->st[k]);
        st64(f->st[k], bits[8 + k] | (bits[3] >> k & 1 ? 1ull << 63 : 0));
        st16(f->st[k] + 8, exponents[bits[4] >> 3 * k & 7]);
    }
}

static bool same_fpu(const struct fpu *a, const struct fpu *b)
{
    return a->fcw == b->fcw && a->fsw == b->fsw && a->ftw == b->ftw && a->fip == b->fip && a->fdp == b->fdp &&
           a->fop == b->fop && !memcmp(a->st, b->st, sizeof a->st);
}
static u64 next_random(void)
{
    seed_state ^= seed_state << 13;
    seed_state ^= seed_state >> 7;
    seed_state ^= seed_state << 17;
    return seed_state;
}

static bool wanted(const struct insn *i)
{
    switch (i->op) {
    case OP_AND:
    case OP_OR:
    case OP_XOR:
    case OP_TEST: return true;
    case OP_RDTSC:
    case OP_RDTSCP:
    case OP_RDRAND:
    case OP_RDSEED:
    case OP_CPUID:
    case OP_IN:
    case OP_OUT:
    case OP_INS:
    case OP_OUTS:
    case OP_RCPPS:
    case OP_RCPSS:
    case OP_RSQRTPS:
    case OP_RSQRTSS:
    case OP_RDMSR:
    case OP_WRMSR:
    case OP_HLT:
    case OP_JMP:
    case OP_CALL:
    case OP_RET:
    case OP_IRETQ:
    case OP_IRET:
    case OP_IRETD:
    case OP_RET_FAR:
    case OP_JMP_FAR:
    case OP_CALL_FAR:
    case OP_SYSRET:
    case OP_SYSEXIT:
    case OP_MOV_TO_CR:
    case OP_MOV_FROM_CR:
    case OP_LMSW:
    case OP_VMCALL:
    case OP_VMMCALL: return false;
    default: return !strcmp(undefined_of[i->op], "NONE");
    }
}

/* One instruction: random bytes until they decode, with opcodes and ModRM drawn towards the common ones. */
static unsigned one_instruction(u8 *to)
{
    for (;;) {
        u8 b[16];
        struct insn i;
        unsigned n = 0, k = (unsigned)(next_random() % 16);
        for (unsigned j = 0; j < sizeof b; j++)
            b[j] = (u8)next_random();
        if (k < 2)
            b[n++] = (u8[]){0x66, 0xf0, 0xf2, 0xf3, 0x64, 0x65, 0x67, 0x2e}[next_random() & 7];
        if (k & 4)
            b[n++] = (u8)(0x40 | (next_random() & 15));
        if (k == 3 || k > 12)
            b[n++] = 0x0f;
        else if (k == 10)
            b[n++] = (u8)(0xd8 | (next_random() & 7)); /* x87 */
        if (next_random() & 1) /* a small displacement */
            b[n + 1] = (u8)((b[n + 1] & 0x3f) | 0x40);
        if (insn_decode(b, 15, 8, &i) != DECODE_OK || !wanted(&i) || i.form == FORM_REL)
            continue;
        memcpy(to, b, i.len);
        return i.len;
    }
}

/* A page of code with short branches, to where instructions begin: forward over some, and back now and then.
 */
static void make_code(u8 *page)
{
    unsigned at = 0, starts[PAGE_SIZE], n = 0, patch = 0, over = 0;
    while (at < PAGE_SIZE - 32) {
        starts[n++] = at;
        if (patch && !over--) {
            page[patch] = (u8)(at - patch - 1);
            patch = 0;
        }
        if (next_random() % 9 == 0 && !patch) {
            page[at] = (u8)(0x70 | (next_random() & 15));
            unsigned back = starts[n - 1 - next_random() % (n < 8 ? n : 8)];
            page[at + 1] = (u8)(next_random() % 8 || at + 2 - back > 128 ? 0 : back - at - 2);
            patch = page[at + 1] ? 0 : at + 1;
            over = (unsigned)(next_random() % 6);
            at += 2;
        } else {
            at += one_instruction(page + at);
        }
    }
    memset(page + at, 0x90, PAGE_SIZE - at);
}

struct side {
    struct rig r;
    const struct engine_ops *ops;
    void *state;
};

/* As the machine does it, frame by frame. */
static void code_changed(void *opaque, u64 gpa, u64 len)
{
    struct side *s = opaque;
    for (u64 end = gpa + len, n; gpa < end; gpa += n) {
        n = PAGE_SIZE - (gpa & ~PAGE_MASK);
        n = n < end - gpa ? n : end - gpa;
        if (!s->ops->flush_code(s->state, gpa, n))
            mem_frame_clear(&s->r.m, gpa, FRAME_CODE);
    }
}

static bool side_open(struct side *s, const struct engine_ops *ops, const struct cpu_model *model)
{
    struct error e;
    if (!rig_create(&s->r))
        return false;
    s->ops = ops;
    static struct log quiet;
    s->r.c->wires.model = model;
    s->r.c->wires.log = &quiet;
    if (ops->attach(s->r.c, NULL, &s->state, &e) != STATUS_OK)
        return false;
    s->r.m.code_write = code_changed;
    s->r.m.code_opaque = s;
    return true;
}

/* SHIFT: where in its page the code begins. */
static void prepare(struct side *s, const u8 *page, const u64 *values, unsigned cpl, unsigned shift)
{
    struct cpu *c = s->r.c;
    code_changed(s, 0, MIB(4));
    memset(s->r.m.base, 0, MIB(4));
    rig_reset(&s->r, true, cpl);
    c->cr4 |= CR4_OSFXSR | CR4_OSXSAVE | CR4_OSXMMEXCPT;
    c->cr0 |= CR0_NE;
    c->xcr0 = 7;
    c->icount = 0;
    cpu_update_mode(c);
    for (unsigned v = 0; v < 256; v++)
        s->r.m.base[RIG_HANDLER + 16 * v] = 0xf4; /* HLT ends it */
    memcpy(s->r.m.base + RIG_CODE + shift, page, PAGE_SIZE);
    c->rip += shift;
    for (unsigned k = 0; k < 16; k++)
        if (k != RSP)
            c->gpr[k].q = values[k];
    c->gpr[RSP].q = DATA + 0x8000 + (values[RSP] & 0xff8);
    for (unsigned k = 0; k < 0x10000; k += 8)
        st64(s->r.m.base + DATA + k, values[k >> 3 & 15] * 0x9e3779b97f4a7c15ull + k);
    memcpy(c->fpu.ymm, s->r.m.base + DATA, sizeof c->fpu.ymm);
    u64 bits[16];
    for (unsigned k = 0; k < 16; k++)
        bits[k] = values[k] * 0xd1342543de82ef95ull >> 7 ^ values[k ^ 5] << 31;
    random_fpu(&c->fpu, bits);
}

static bool same(struct side *a, struct side *b, const u8 *page, u64 block)
{
    struct cpu *x = a->r.c, *y = b->r.c;
    bool ok = x->rip == y->rip && x->icount == y->icount && cpu_rflags(x) == cpu_rflags(y) &&
              x->activity == y->activity && x->cr2 == y->cr2 && x->fpu.mxcsr == y->fpu.mxcsr &&
              !memcmp(x->gpr, y->gpr, 16 * sizeof x->gpr[0]) &&
              !memcmp(x->fpu.ymm, y->fpu.ymm, sizeof x->fpu.ymm) && same_fpu(&x->fpu, &y->fpu) && !memcmp(a->r.m.base, b->r.m.base, MIB(2));
    if (ok)
        return true;
    fprintf(stderr, "block %llu: they differ\n", (unsigned long long)block);
    fprintf(stderr, "rip %llx %llx count %llu %llu flags %llx %llx cr2 %llx %llx mxcsr %x %x\n",
            (unsigned long long)x->rip, (unsigned long long)y->rip, (unsigned long long)x->icount,
            (unsigned long long)y->icount, (unsigned long long)cpu_rflags(x),
            (unsigned long long)cpu_rflags(y), (unsigned long long)x->cr2, (unsigned long long)y->cr2,
            x->fpu.mxcsr, y->fpu.mxcsr);
    for (unsigned k = 0; k < 16; k++)
        if (x->gpr[k].q != y->gpr[k].q)
            fprintf(stderr, "gpr %u: %llx %llx\n", k, (unsigned long long)x->gpr[k].q,
                    (unsigned long long)y->gpr[k].q);
    for (unsigned k = 0; k < 16; k++)
        if (memcmp(x->fpu.ymm[k], y->fpu.ymm[k], 32))
            fprintf(stderr, "ymm %u\n", k);
    if (!same_fpu(&x->fpu, &y->fpu))
        fprintf(stderr, "x87: fcw %x %x fsw %x %x ftw %x %x fip %llx %llx fdp %llx %llx fop %x %x\n", x->fpu.fcw,
                y->fpu.fcw, x->fpu.fsw, y->fpu.fsw, x->fpu.ftw, y->fpu.ftw, (unsigned long long)x->fpu.fip,
                (unsigned long long)y->fpu.fip, (unsigned long long)x->fpu.fdp, (unsigned long long)y->fpu.fdp,
                x->fpu.fop, y->fpu.fop);
    for (unsigned k = 0; k < 8; k++)
        if (memcmp(x->fpu.st[k], y->fpu.st[k], 16))
            fprintf(stderr, "r%u: %llx %llx, %x %x\n", k, (unsigned long long)ld64(x->fpu.st[k]),
                    (unsigned long long)ld64(y->fpu.st[k]), ld16(x->fpu.st[k] + 8), ld16(y->fpu.st[k] + 8));
    for (u64 k = 0; k < MIB(2); k++)
        if (a->r.m.base[k] != b->r.m.base[k]) {
            fprintf(stderr, "memory %llx: %x %x\n", (unsigned long long)k, a->r.m.base[k], b->r.m.base[k]);
            break;
        }
    struct insn i;
    for (unsigned k = 0, at = 0; k < 14 && insn_decode(page + at, 15, 8, &i) == DECODE_OK; k++, at += i.len)
        fprintf(stderr, "%s%s", op_name((enum op)i.op), k == 13 ? "\n" : " ");
    return false;
}

int main(int argc, char **argv)
{
    u64 blocks = argc > 1 ? strtoull(argv[1], NULL, 0) : 400, bad = 0, ran = 0;
    seed_state = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x1234567;
    static struct side interp, bt;
    static u8 page[PAGE_SIZE];
    char why[256];
    struct error e;
    if (!engine_bt.probe(why, sizeof why)) {
        printf("bt: %s\n", why);
        return 77;
    }
    struct cpu_model *model = cpu_model_create(CPU_LEVEL_V3, 1, 46);
    if (!model || !side_open(&interp, &engine_interp, model) || !side_open(&bt, &engine_bt, model))
        return 3;
    for (u64 n = 0; n < blocks; n++) {
        u64 values[16];
        u64 start = seed_state;
        make_code(page);
        for (unsigned k = 0; k < 16; k++)
            values[k] = next_random() & 3 ? DATA + (next_random() & 0x7fff) : next_random();
        unsigned cpl = next_random() & 1 ? 3 : 0;
        u64 limit = next_random() & 1 ? LONG : STEPS + next_random() % STEPS;
        /* Some begin so near to the page's end that an instruction crosses it. */
        unsigned shift = next_random() & 3 ? 0 : (unsigned)(PAGE_SIZE - 1 - next_random() % 48);
        prepare(&interp, page, values, cpl, shift);
        prepare(&bt, page, values, cpl, shift);
        interp.ops->run(interp.state, limit, &e);
        bt.ops->run(bt.state, limit, &e);
        ran += bt.r.c->icount;
        if (!same(&interp, &bt, page, n)) {
            fprintf(stderr, "seed %#llx, CPL %u, limit %llu\n", (unsigned long long)start, cpl,
                    (unsigned long long)limit);
            if (++bad == 5)
                break;
        }
    }
    printf("%llu blocks, %llu instructions, %llu differences\n", (unsigned long long)blocks,
           (unsigned long long)ran, (unsigned long long)bad);
    interp.ops->detach(interp.state);
    bt.ops->detach(bt.state);
    rig_destroy(&interp.r);
    rig_destroy(&bt.r);
    cpu_model_destroy(model);
    return bad ? 1 : 0;
}
