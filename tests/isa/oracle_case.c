/* oracle_case.h */
#include "oracle_case.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "engine/interp/interp.h"

enum { G_HANDLERS = 0x20000 }; /* guest.c */

static const char *const undefined_of[OP_COUNT] = {
#define OP(name, family, feature, written, undefined, bt) [OP_##name] = #undefined,
#include "isa/ops.def"
#undef OP
};

static u32 undefined_flags(unsigned op)
{
    static const char letters[] = "OSZAPC";
    static const u32 flags[] = {RFLAGS_OF, RFLAGS_SF, RFLAGS_ZF, RFLAGS_AF, RFLAGS_PF, RFLAGS_CF};
    u32 mask = 0;
    if (op == OP_INVALID || !strcmp(undefined_of[op], "NONE"))
        return 0;
    for (unsigned k = 0; k < ARRAY_LEN(flags); k++)
        mask |= strchr(undefined_of[op], letters[k]) ? flags[k] : 0;
    return mask;
}

enum { FEAT_BASE = -1 };

struct host_bits {
    u32 c1, b7, c7, c8, d13;
};

static bool host_has(const struct host_bits *h, int feature)
{
    switch (feature) {
    case FEAT_BASE: return true;
    case FEAT_SSE3: return h->c1 & bit_SSE3;
    case FEAT_PCLMUL: return h->c1 & bit_PCLMUL;
    case FEAT_SSSE3: return h->c1 & bit_SSSE3;
    case FEAT_FMA: return h->c1 & bit_FMA;
    case FEAT_CX16: return h->c1 & bit_CMPXCHG16B;
    case FEAT_SSE41: return h->c1 & bit_SSE4_1;
    case FEAT_SSE42: return h->c1 & bit_SSE4_2;
    case FEAT_MOVBE: return h->c1 & bit_MOVBE;
    case FEAT_POPCNT: return h->c1 & bit_POPCNT;
    case FEAT_AES: return h->c1 & bit_AES;
    case FEAT_XSAVE: return h->c1 & bit_OSXSAVE;
    case FEAT_AVX: return h->c1 & bit_AVX;
    case FEAT_F16C: return h->c1 & bit_F16C;
    case FEAT_FSGSBASE: return h->b7 & bit_FSGSBASE;
    case FEAT_BMI1: return h->b7 & bit_BMI;
    case FEAT_AVX2: return h->b7 & bit_AVX2;
    case FEAT_BMI2: return h->b7 & bit_BMI2;
    case FEAT_ADX: return h->b7 & bit_ADX;
    case FEAT_CLFLUSHOPT: return h->b7 & bit_CLFLUSHOPT;
    case FEAT_SHA: return h->b7 & bit_SHA;
    case FEAT_SMAP: return h->b7 & 1u << 20;
    case FEAT_INVPCID: return h->b7 & 1u << 10;
    case FEAT_LZCNT: return h->c8 & bit_ABM;
    case FEAT_XSAVEOPT: return h->d13 & bit_XSAVEOPT;
    case FEAT_XSAVEC: return h->d13 & bit_XSAVEC;
    default: return false;
    }
}

static void find_missing(struct rig *k)
{
    static const i8 feature_of[OP_COUNT] = {
#define OP(name, family, feature, ...) [OP_##name] = FEAT_##feature,
#include "isa/ops.def"
#undef OP
    };
    struct host_bits h;
    u32 a, b, c, d;
    __cpuid(1, a, b, h.c1, d);
    __cpuid_count(7, 0, a, h.b7, h.c7, d);
    __cpuid(0x80000001, a, b, h.c8, d);
    __cpuid_count(13, 1, h.d13, b, c, d);
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    k->gen.xcr0 = ((u64)d << 32 | a) & ~7ull;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        int f = feature_of[op];
        bool lacks = !host_has(&h, f) || (f == FEAT_AVX && !host_has(&h, FEAT_AVX2));
        k->missing[op] = gen_wants(op) && (lacks || (f != FEAT_BASE && !cpu_has(k->g.c, (enum cpu_feature)f)));
        k->gen.skip[op] = k->missing[op];
    }
}

bool rig_init(struct rig *k)
{
    if (!guest_create(&k->g))
        return false;
    struct cpu *cpu = k->g.c;
    cpu->efer |= EFER_NXE; /* as Linux: instruction fetches show in the error code */
    cpu->cr0 |= CR0_AM;
    st16(k->g.m.base + (cpu->seg[SEG_TR].base & (MIB(2) - 1)) + 102, 0xffff); /* no I/O bitmap */
    memset(k->g.m.base + G_HANDLERS, 0xf4, 16 * 32); /* HLT */
    gen_init(&k->gen);
    find_missing(k);
    return true;
}

static void guest_prepare(struct rig *k, const struct icase *t)
{
    engine_interp.flush_code(k->g.engine, NATIVE_CODE, PAGE_SIZE);
    host_page(k->g.m.base + NATIVE_CODE, t->r.rip - NATIVE_CODE, t->len, t->bits);
    memcpy(k->g.m.base + t->r.rip, t->code, t->len);
    memcpy(guest_data(&k->g), k->window, sizeof k->window);
    guest_load(&k->g, &t->r);
}

static u64 address_mask(const struct icase *t)
{
    return t->i.asize == 8 ? UINT64_MAX : t->i.asize == 4 ? 0xffffffff : 0xffff;
}

/* What is counted when its trap is taken. */
static bool is_trap(unsigned op)
{
    return op == OP_INT || op == OP_INT1 || op == OP_INT3 || op == OP_INTO;
}

/* REP runs in one go, for as many iterations as silicon did. HOST is what silicon made of it. */
static void guest_run_case(struct rig *k, const struct icase *t, const struct world *host, struct world *out)
{
    struct cpu *c = k->g.c;
    struct error e;
    guest_prepare(k, t);
    *out = t->r;
    u64 before = c->icount, want = t->count;
    for (unsigned n = 1; n < t->count; n++)
        engine_interp.step(k->g.engine, &e);
    if (t->i.flags & (INSN_REP | INSN_REPNE) && t->i.op >= OP_MOVS && t->i.op <= OP_OUTS) {
        u64 done = (t->r.gpr[RCX] - host->gpr[RCX]) & address_mask(t);
        bool fault = host->vector >= 0;
        if (done + fault)
            engine_interp.run(k->g.engine, c->icount + done + fault, &e); /* a fault ends in the handler's HLT */
        else
            engine_interp.step(k->g.engine, &e);
        c->icount -= c->activity == ACTIVITY_HALTED;
        want = t->count - 1 + (done || host->vector >= 0 ? done : 1);
    } else {
        engine_interp.step(k->g.engine, &e);
        bool trap = host->vector == VEC_BP || host->vector == VEC_OF || host->vector == VEC_DB;
        want -= host->vector >= 0 && !trap && !(host->vector == VEC_PF && host->addr == host->rip);
        want -= trap && !is_trap(t->i.op);
    }
    if (host->vector == VEC_PF && host->addr == host->rip && c->cpl == 3 && c->rip == host->rip)
        engine_interp.step(k->g.engine, &e); /* a branch to where nothing is */
    guest_store(&k->g, out);
    if (c->icount - before != want && !is_trap(t->i.op))
        out->vector = -100 - (int)(c->icount - before); /* told as a wrong vector */
}

/* Not architecture: Linux tells user programs that every page beyond theirs is present; RF in a fault's image is the kernel's to hide. */
static void normalize(struct world *r)
{
    if (r->vector == VEC_PF && r->addr >= 0x7ffffffff000)
        r->error &= ~1u;
    r->rflags &= ~(u64)RFLAGS_RF;
}

/* The code page is INT3 where nothing else is. */
static void host_normalize(const struct icase *t, struct world *h)
{
    bool branch = t->i.op >= OP_JCC && t->i.op <= OP_LOOPNE;
    if (h->vector == VEC_BP && branch) {
        h->vector = -1;
        h->error = 0;
        h->rip--;
    }
    if (h->vector == VEC_DB && t->i.op == OP_INT1 && h->rip == t->r.rip + t->len - t->i.len)
        h->rip += t->i.len; /* a hypervisor beneath that takes #DB itself may hand INT1's on as a fault */
    normalize(h);
}

/* What the manuals leave to the implementation, and silicon varies in. */
static void forgive(const struct icase *t, const struct world *guest, struct world *host)
{
    unsigned op = t->i.op;
    bool masked = op == OP_VMASKMOVPS || op == OP_VMASKMOVPD || op == OP_VPMASKMOVD || op == OP_VPMASKMOVQ || op == OP_MASKMOVQ ||
                  op == OP_MASKMOVDQU || op == OP_VMASKMOVDQU;
    bool area = gen_is_area(op);
    bool gather = op >= OP_VGATHERDPS && op <= OP_VPGATHERQQ;
    bool both = host->vector == VEC_PF && guest->vector == VEC_PF;
    /* Which byte of a missing page, or of two, a masked access reports, and whether its elements wrap at the end of 16 or
     * 32 bits, as on Zen 3, or go on, as on Zen 5; which piece of an area comes first. */
    u64 apart = (host->addr - guest->addr) & address_mask(t), span = t->i.size;
    bool same_page = !((guest->addr ^ host->addr) & address_mask(t) & PAGE_MASK);
    if (both && (area || (masked && (same_page || apart < span || (-apart & address_mask(t)) < span))))
        host->addr = guest->addr;
    /* How many elements a gather that faults has done (SDM vol. 2, VGATHERDPS: those below the faulting one, and perhaps others). */
    if (gather && host->vector >= 0 && host->vector == guest->vector) {
        host->addr = guest->addr;
        memcpy(host->ymm[t->i.rd & 15], guest->ymm[t->i.rd & 15], 32);
        memcpy(host->ymm[t->i.rv & 15], guest->ymm[t->i.rv & 15], 32);
    }
}

/* AMD's silicon wants the offset canonical before the base of FS or GS is added; the manuals, and Trine, look at the sum alone. */
static bool offset_judged(const struct icase *t, const struct world *guest, const struct world *host)
{
    u64 base = t->i.seg == SEG_FS ? t->r.fs : t->i.seg == SEG_GS ? t->r.gs : 0, offset = guest->addr - base;
    bool canonical = (u64)((i64)(offset << 16) >> 16) == offset;
    return t->bits == 64 && base && host->vector == VEC_GP && !host->error && guest->vector == VEC_PF && !canonical;
}

static u64 operand_address(const struct icase *t)
{
    const struct insn *i = &t->i;
    u64 base = i->base == GPR_ZERO ? 0 : i->base == GPR_RIP ? t->r.rip + t->len : t->r.gpr[i->base];
    u64 index = i->index == GPR_ZERO ? 0 : t->r.gpr[i->index] << i->scale;
    u64 segment = i->seg == SEG_FS ? t->r.fs : i->seg == SEG_GS ? t->r.gs : 0;
    return ((base + index + (u64)(i64)i->disp) & address_mask(t)) + segment;
}

static bool is_segment_fault(const struct world *w)
{
    return (w->vector == VEC_GP || w->vector == VEC_SS) && !w->error;
}

/* Accesses that span the end of a flat segment, which "may or may not" fault (SDM vol. 3, 5.3), or the canonical boundary, where either end may
 * be looked at first. */
static bool wraps(const struct icase *t, const struct world *guest, const struct world *host)
{
    const struct world *fault = host->vector == VEC_PF ? host : guest, *other = fault == host ? guest : host;
    u64 a = fault->addr + 0x200;
    if (gen_is_area(t->i.op) && is_segment_fault(guest) && is_segment_fault(host))
        return operand_address(t) - (0x800000000000 - 0x400) < 0x400; /* aligned, canonical: which is judged first, when only the start is canonical */
    if (fault->vector != VEC_PF || !is_segment_fault(other))
        return false;
    return t->bits == 32 ? (u32)a < 0x400 : a - 0x800000000000 < 0x200 || a - 0xffff800000000200 < 0x200;
}

/* MXCSR_MASK of a host with MISALIGNSSE; the guest's CPUID has none. */
static void forgive_mask(const struct icase *t, u8 *native, const u8 *guest)
{
    if (t->i.op >= OP_FXSAVE && t->i.op <= OP_XSAVEC64)
        for (unsigned k = 28; k + 4 <= NATIVE_DATA_LEN; k += 4)
            if (ld32(native + k) == 0x2ffff && ld32(guest + k) == 0xffff)
                st32(native + k, 0xffff);
}

/* MXCSR.MM: a host with MISALIGNSSE takes it, the guest's CPUID has none and the load raises #GP (the wrong count of instructions says so). */
static bool misaligned_mode(const struct world *guest, const struct world *host)
{
    return host->vector < 0 && host->mxcsr & 0x20000 && guest->vector != -1 && !(guest->mxcsr & 0x20000);
}

static unsigned registers(const struct icase *t)
{
    return t->bits == 64 ? 16 : 8;
}

static void narrow(const struct icase *t, struct world *r)
{
    for (unsigned n = 0; n < 8 && t->bits == 32; n++)
        r->gpr[n] = (u32)r->gpr[n];
}

static bool same_pointers(const struct rig *k, const struct world *g, const struct world *h)
{
    return (!k->pointers && !(h->fsw & 0x80)) || (g->fop == h->fop && g->fip == h->fip && g->fdp == h->fdp);
}

static bool same(const struct rig *k, const struct icase *t, const struct world *g, const struct world *h, u32 flags)
{
    return g->vector == h->vector && g->error == h->error && g->addr == h->addr && g->rip == h->rip &&
           !((g->rflags ^ h->rflags) & ~(u64)flags) && !memcmp(g->gpr, h->gpr, 8 * registers(t)) && g->fcw == h->fcw &&
           g->fsw == h->fsw && g->ftw == h->ftw && g->mxcsr == h->mxcsr && !memcmp(g->st, h->st, sizeof g->st) &&
           !memcmp(g->ymm, h->ymm, sizeof g->ymm) && same_pointers(k, g, h) &&
           (t->bits == 32 || (g->fs == h->fs && g->gs == h->gs));
}

static enum outcome try_once(struct rig *k, const struct icase *t, struct world *guest, struct world *host)
{
    u8 *native = (u8 *)(uintptr_t)NATIVE_DATA;
    gen_fill(t, k->window);
    memcpy(native, k->window, sizeof k->window);
    *host = t->r;
    host_run(host, t->code, t->len);
    host_normalize(t, host);
    guest_run_case(k, t, host, guest);
    normalize(guest);
    narrow(t, host);
    narrow(t, guest);
    forgive(t, guest, host);
    forgive_mask(t, native, guest_data(&k->g));
    if (wraps(t, guest, host) || offset_judged(t, guest, host) || misaligned_mode(guest, host) || world_in_shadow(guest))
        return SAME;
    if (memcmp(native, guest_data(&k->g), sizeof k->window) != 0)
        return DIFFERENT;
    return same(k, t, guest, host, 0) ? SAME : same(k, t, guest, host, undefined_flags(t->i.op)) ? UNDEFINED_FLAGS : DIFFERENT;
}

enum outcome case_try(struct rig *k, const struct icase *t, struct world *guest, struct world *host)
{
    enum outcome r = try_once(k, t, guest, host);
    if (r != SAME && (t->i.op == OP_CMPS || t->i.op == OP_SCAS))
        r = try_once(k, t, guest, host); /* an interrupt of the host between two iterations shows in the flags of a fault after it */
    return r;
}

void case_print(FILE *f, const struct icase *t)
{
    fprintf(f, "%u ", t->bits);
    for (unsigned k = 0; k < t->len; k++)
        fprintf(f, "%02x", t->code[k]);
    fprintf(f, " %u %u %llx %llx %u %llx %llx %llx %x %x %x %x", t->lead, t->count, (unsigned long long)t->r.rip,
            (unsigned long long)t->r.rflags, t->fill, (unsigned long long)t->poke_at, (unsigned long long)t->poke,
            (unsigned long long)t->vectors, t->r.fcw, t->r.fsw, t->r.ftw, t->r.mxcsr);
    for (unsigned k = 0; k < 16; k++)
        fprintf(f, " %llx", (unsigned long long)t->r.gpr[k]);
    fprintf(f, "\n");
}

static void print_number(const char *what, u64 before, u64 guest, u64 host)
{
    if (guest != host)
        printf("    %s: guest %#llx, host %#llx, before %#llx\n", what, (unsigned long long)guest, (unsigned long long)host,
               (unsigned long long)before);
}

static void print_bytes(const char *what, const u8 *b, unsigned n)
{
    printf("        %s ", what);
    while (n-- > 0)
        printf("%02x%s", b[n], n % 8 || !n ? "" : "_");
    printf("\n");
}

static void print_vector(const char *what, unsigned k, const u8 *before, const u8 *guest, const u8 *host, unsigned n)
{
    if (!memcmp(guest, host, n))
        return;
    printf("    %s%u:\n", what, k);
    print_bytes("guest ", guest, n);
    print_bytes("host  ", host, n);
    print_bytes("before", before, n);
}

void case_report(struct rig *k, const struct icase *t, const struct world *g, const struct world *h)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const u8 *native = (const u8 *)(uintptr_t)NATIVE_DATA;
    const struct world *b = &t->r;
    printf("%s: case ", op_name((enum op)t->i.op));
    case_print(stdout, t);
    print_number("vector", 0, (u64)(i64)g->vector, (u64)(i64)h->vector);
    print_number("error code", 0, g->error, h->error);
    print_number("address", 0, g->addr, h->addr);
    print_number("rip", b->rip, g->rip, h->rip);
    print_number("rflags", b->rflags, g->rflags, h->rflags);
    print_number("fcw", b->fcw, g->fcw, h->fcw);
    print_number("fsw", b->fsw, g->fsw, h->fsw);
    print_number("ftw", b->ftw, g->ftw, h->ftw);
    print_number("mxcsr", b->mxcsr, g->mxcsr, h->mxcsr);
    if (!same_pointers(k, g, h)) {
        print_number("fop", b->fop, g->fop, h->fop);
        print_number("fip", b->fip, g->fip, h->fip);
        print_number("fdp", b->fdp, g->fdp, h->fdp);
    }
    if (t->bits == 64) {
        print_number("fs base", b->fs, g->fs, h->fs);
        print_number("gs base", b->gs, g->gs, h->gs);
    }
    for (unsigned n = 0; n < registers(t); n++)
        print_number(names[n], b->gpr[n], g->gpr[n], h->gpr[n]);
    for (unsigned n = 0; n < 8; n++)
        print_vector("r", n, b->st[n], g->st[n], h->st[n], 10);
    for (unsigned n = 0; n < 16; n++)
        print_vector("ymm", n, b->ymm[n], g->ymm[n], h->ymm[n], 32);
    for (unsigned n = 0, shown = 0; n < NATIVE_DATA_LEN && shown < 4; n++)
        if (native[n] != guest_data(&k->g)[n]) {
            shown++;
            printf("    memory at %#x: guest %02x, host %02x, before %02x\n", (unsigned)NATIVE_DATA + n, guest_data(&k->g)[n],
                   native[n], k->window[n]);
        }
}

bool case_parse(const char *line, struct icase *t)
{
    char hex[2 * CASE_CODE_MAX + 1];
    unsigned long long v[5];
    unsigned w[4];
    int n = 0;
    memset(t, 0, sizeof *t);
    if (sscanf(line, "%u %128s %u %u %llx %llx %u %llx %llx %llx %x %x %x %x%n", &t->bits, hex, &t->lead, &t->count, &v[0], &v[1],
               &t->fill, &v[2], &v[3], &v[4], &w[0], &w[1], &w[2], &w[3], &n) != 14)
        return false;
    t->r.rip = v[0];
    t->r.rflags = v[1];
    t->poke_at = v[2];
    t->poke = v[3];
    t->vectors = v[4];
    t->r.fcw = (u16)w[0];
    t->r.fsw = (u16)w[1];
    t->r.ftw = (u8)w[2];
    t->r.mxcsr = w[3];
    for (t->len = 0; hex[2 * t->len] && t->len < 40; t->len++)
        if (sscanf(hex + 2 * t->len, "%2hhx", &t->code[t->len]) != 1)
            return false;
    for (unsigned k = 0; k < 16; k++) {
        char *end;
        t->r.gpr[k] = strtoull(line + n, &end, 16);
        if (end == line + n)
            return false;
        n = (int)(end - line);
    }
    if (t->lead >= t->len || (t->bits != 32 && t->bits != 64) || t->r.rip < NATIVE_CODE || t->r.rip > NATIVE_CODE + 0xf00)
        return false;
    if (!gen_decode(t)) /* bytes that once decoded to something: #UD on both sides */
        t->i = (struct insn){.op = OP_INVALID, .len = (u8)(t->len - t->lead)};
    gen_registers(t);
    return true;
}
