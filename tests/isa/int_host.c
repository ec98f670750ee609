/* Every integer, string and near branch operation that the decoder knows, against the host's silicon: all operand sizes, addressing forms, prefixes,
 * boundary operands and flags, in 64-bit and in 32-bit code; all GPRs, all six flags, memory, RIP, the exception, its error code and address
 * compared. Half the cases have other instructions before, so that flags come in every lazy form. Flags that the manual leaves undefined are compared
 * too, and a difference there alone is counted by itself: it fails on Intel's CPUs, whose rules isa/alu.h models.
 *
 *     int_host [count [seed [file]]]   default: as many cases as fit in 45 s, at most 5 million; first the saved cases of FILE
 *     int_host --case 'CASE'           one case, as a mismatch prints it */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/le.h"
#include "guest.h"
#include "oracle_gen.h"

#define SECONDS      45
#define COUNT        5000000ull
#define SHOWN_PER_OP 2

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
    if (!strcmp(undefined_of[op], "NONE"))
        return 0;
    for (unsigned k = 0; k < ARRAY_LEN(flags); k++)
        mask |= strchr(undefined_of[op], letters[k]) ? flags[k] : 0;
    return mask;
}

/* What this CPU or the guest's model lacks, among the features of the table. */
static bool host_has(const struct cpu *c, unsigned op)
{
    enum { FEAT_BASE = -1 };
    static const i8 feature_of[OP_COUNT] = {
#define OP(name, family, feature, ...) [OP_##name] = FEAT_##feature,
#include "isa/ops.def"
#undef OP
    };
    u32 a, b1, c1, d, b7, c7, c8, x;
    __cpuid(1, a, x, c1, d);
    __cpuid_count(7, 0, a, b7, c7, d);
    __cpuid(0x80000001, a, x, c8, d);
    (void)b1;
    switch (feature_of[op]) {
    case FEAT_BASE: return true;
    case FEAT_MOVBE: return c1 & bit_MOVBE && cpu_has(c, FEAT_MOVBE);
    case FEAT_POPCNT: return c1 & bit_POPCNT && cpu_has(c, FEAT_POPCNT);
    case FEAT_SSE42: return c1 & bit_SSE4_2 && cpu_has(c, FEAT_SSE42);
    case FEAT_CX16: return c1 & bit_CMPXCHG16B && cpu_has(c, FEAT_CX16);
    case FEAT_LZCNT: return c8 & bit_ABM && cpu_has(c, FEAT_LZCNT);
    case FEAT_BMI1: return b7 & bit_BMI && cpu_has(c, FEAT_BMI1);
    case FEAT_BMI2: return b7 & bit_BMI2 && cpu_has(c, FEAT_BMI2);
    case FEAT_ADX: return b7 & bit_ADX && cpu_has(c, FEAT_ADX);
    default: return false;
    }
}

enum { G_HANDLERS = 0x20000 }; /* guest.c */

struct rig {
    struct guest g;
    struct gen gen;
    u8 window[NATIVE_DATA_LEN];
    u64 cases, faults, differences, undefined;
    u32 per_op[OP_COUNT], shown[OP_COUNT];
    bool missing[OP_COUNT];
    bool strict; /* undefined flags count as differences */
};

static struct seg flat_segment(u16 sel, u16 attr, u64 base)
{
    return (struct seg){.sel = sel, .attr = attr, .base = base, .limit = 0xffffffff};
}

static void guest_load(struct rig *k, const struct icase *t)
{
    struct cpu *c = k->g.c;
    bool wide = t->bits == 64;
    u64 code = t->r.rip;
    engine_interp.flush_code(k->g.engine, NATIVE_CODE, PAGE_SIZE);
    memset(k->g.m.base + code, 0xcc, t->len + HOST_TAIL);
    memcpy(k->g.m.base + code, t->code, t->len);
    memcpy(guest_data(&k->g), k->window, sizeof k->window);
    c->seg[SEG_CS] = flat_segment(0x0b, wide ? 0xafb : 0xcfb, 0);
    for (unsigned s = 0; s < SEG_LDTR; s++)
        if (s != SEG_CS)
            c->seg[s] = flat_segment(0x13, 0xcf3, wide && s == SEG_FS ? k->gen.fs : wide && s == SEG_GS ? k->gen.gs : 0);
    c->activity = ACTIVITY_RUNNING;
    c->shadow_at = UINT64_MAX;
    c->pending_db = 0;
    atomic_store(&c->attention, 0);
    memset(&c->fault, 0, sizeof c->fault);
    c->cr2 = 0;
    for (unsigned n = 0; n < 16; n++)
        c->gpr[n].q = t->r.gpr[n];
    c->rip = t->r.rip;
    cpu_set_rflags(c, t->r.rflags);
    cpu_update_mode(c);
}

static void guest_store(struct rig *k, struct regs *r)
{
    const u64 high = 0xffff800000000000;
    struct cpu *c = k->g.c;
    for (unsigned n = 0; n < 16; n++)
        r->gpr[n] = c->gpr[n].q;
    r->rip = c->rip;
    r->rflags = cpu_rflags(c);
    r->vector = -1;
    r->error = 0;
    r->addr = 0;
    if (c->cpl == 3)
        return;
    const u8 *frame = k->g.m.base + (c->gpr[RSP].q - high);
    r->vector = (int)((c->rip - high - G_HANDLERS) / 16);
    if (r->vector == VEC_GP || r->vector == VEC_SS || r->vector == VEC_PF || r->vector == VEC_AC) {
        r->error = ld32(frame);
        frame += 8;
    }
    r->addr = r->vector == VEC_PF ? c->cr2 : 0;
    r->rip = ld64(frame);
    r->rflags = ld64(frame + 16);
    r->gpr[RSP] = ld64(frame + 24);
}

static u64 address_mask(const struct icase *t)
{
    return t->i.asize == 8 ? UINT64_MAX : t->i.asize == 4 ? 0xffffffff : 0xffff;
}

/* REP runs in one go, for as many iterations as silicon did. HOST is what silicon made of it. */
static void guest_run_case(struct rig *k, const struct icase *t, const struct regs *host, struct regs *out)
{
    struct cpu *c = k->g.c;
    struct error e;
    guest_load(k, t);
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
        want -= host->vector >= 0 && !(host->vector == VEC_PF && host->addr == host->rip);
    }
    if (host->vector == VEC_PF && host->addr == host->rip && c->cpl == 3 && c->rip == host->rip)
        engine_interp.step(k->g.engine, &e); /* a branch to where nothing is */
    guest_store(k, out);
    if (c->icount - before != want)
        out->vector = -100 - (int)(c->icount - before); /* told as a wrong vector */
}

/* Linux tells user programs that every page beyond theirs is present; RF in a fault's image is the kernel's to hide. */
static void normalize(struct regs *r)
{
    if (r->vector == VEC_PF && r->addr >= 0x7ffffffff000)
        r->error &= ~1u;
    r->rflags &= ~(u64)RFLAGS_RF;
}

/* The code page is INT3 where nothing else is. */
static void host_normalize(const struct icase *t, struct regs *h)
{
    bool branch = t->i.op >= OP_JCC && t->i.op <= OP_LOOPNE;
    if (h->vector == VEC_BP && branch) {
        h->vector = -1;
        h->error = 0;
        h->rip--;
    }
    normalize(h);
}

static unsigned registers(const struct icase *t)
{
    return t->bits == 64 ? 16 : 8;
}

static void narrow(const struct icase *t, struct regs *r)
{
    for (unsigned n = 0; n < 8 && t->bits == 32; n++)
        r->gpr[n] = (u32)r->gpr[n];
}

static bool same(const struct icase *t, const struct regs *g, const struct regs *h, u32 flags)
{
    return g->vector == h->vector && g->error == h->error && g->addr == h->addr && g->rip == h->rip &&
           !((g->rflags ^ h->rflags) & ~(u64)flags) && !memcmp(g->gpr, h->gpr, 8 * registers(t));
}

static void print_case(const struct icase *t)
{
    printf("%u ", t->bits);
    for (unsigned k = 0; k < t->len; k++)
        printf("%02x", t->code[k]);
    printf(" %u %u %llx %llx %u %llx %llx", t->lead, t->count, (unsigned long long)t->r.rip, (unsigned long long)t->r.rflags, t->fill,
           (unsigned long long)t->poke_at, (unsigned long long)t->poke);
    for (unsigned k = 0; k < 16; k++)
        printf(" %llx", (unsigned long long)t->r.gpr[k]);
    printf("\n");
}

static void print_difference(const char *what, u64 guest, u64 host)
{
    if (guest != host)
        printf("    %s: guest %#llx, host %#llx\n", what, (unsigned long long)guest, (unsigned long long)host);
}

static void report(struct rig *k, const struct icase *t, const struct regs *g, const struct regs *h)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const u8 *native = (const u8 *)(uintptr_t)NATIVE_DATA;
    printf("%s: case ", op_name((enum op)t->i.op));
    print_case(t);
    print_difference("vector", (u64)(i64)g->vector, (u64)(i64)h->vector);
    print_difference("error code", g->error, h->error);
    print_difference("address", g->addr, h->addr);
    print_difference("rip", g->rip, h->rip);
    print_difference("rflags", g->rflags, h->rflags);
    for (unsigned n = 0; n < registers(t); n++)
        print_difference(names[n], g->gpr[n], h->gpr[n]);
    for (unsigned n = 0; n < NATIVE_DATA_LEN; n++)
        if (native[n] != guest_data(&k->g)[n]) {
            printf("    memory at %#x: guest %02x, host %02x\n", (unsigned)NATIVE_DATA + n, guest_data(&k->g)[n], native[n]);
            break;
        }
}

enum outcome { SAME, UNDEFINED_FLAGS, DIFFERENT };

static enum outcome try_case(struct rig *k, const struct icase *t, struct regs *guest, struct regs *host)
{
    u8 *native = (u8 *)(uintptr_t)NATIVE_DATA;
    gen_fill(t, k->window);
    memcpy(native, k->window, sizeof k->window);
    *host = t->r;
    host_run(host, t->code, t->len, t->bits);
    host_normalize(t, host);
    guest_run_case(k, t, host, guest);
    normalize(guest);
    narrow(t, host);
    narrow(t, guest);
    if (memcmp(native, guest_data(&k->g), sizeof k->window) != 0)
        return DIFFERENT;
    return same(t, guest, host, 0) ? SAME : same(t, guest, host, undefined_flags(t->i.op)) ? UNDEFINED_FLAGS : DIFFERENT;
}

static void run_case(struct rig *k, const struct icase *t, bool show)
{
    struct regs host, guest;
    unsigned op = t->i.op;
    if (k->missing[op])
        return;
    enum outcome r = try_case(k, t, &guest, &host);
    if (r != SAME && (op == OP_CMPS || op == OP_SCAS))
        r = try_case(k, t, &guest, &host); /* an interrupt of the host between two iterations shows in the flags of a fault after it */
    k->cases++;
    k->per_op[op]++;
    k->faults += host.vector >= 0;
    k->undefined += r == UNDEFINED_FLAGS;
    k->differences += r == DIFFERENT;
    if (r != SAME && (show || k->shown[op]++ < SHOWN_PER_OP))
        report(k, t, &guest, &host);
}

static bool parse_case(const char *line, struct icase *t)
{
    char hex[2 * CASE_CODE_MAX + 1];
    unsigned long long v[4];
    int n = 0;
    memset(t, 0, sizeof *t);
    if (sscanf(line, "%u %128s %u %u %llx %llx %u %llx %llx%n", &t->bits, hex, &t->lead, &t->count, &v[0], &v[1], &t->fill, &v[2], &v[3],
               &n) != 9)
        return false;
    t->r.rip = v[0];
    t->r.rflags = v[1];
    t->poke_at = v[2];
    t->poke = v[3];
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
    return t->lead < t->len && gen_decode(t);
}

/* The cases of past failures, one a line; `#` starts a comment. */
static bool replay(struct rig *k, const char *path)
{
    char line[1024];
    struct icase t;
    bool ok = true;
    FILE *f = fopen(path, "re");
    if (!f) {
        perror(path);
        return false;
    }
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (parse_case(line, &t)) {
            run_case(k, &t, true);
        } else {
            printf("%s: not a case: %s", path, line);
            ok = false;
        }
    }
    fclose(f);
    return ok;
}

static u64 now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* Operations that no bytes mean, the way the decoder is set. */
static bool has_no_encoding(unsigned op)
{
    return op == OP_ENDBR32 || op == OP_ENDBR64; /* NOPs without CET */
}

static unsigned summarize(const struct rig *k, u64 ns, bool all)
{
    unsigned unmet = 0;
    for (unsigned op = 1; op < OP_COUNT; op++) {
        if (!gen_wants(op))
            continue;
        if (k->missing[op])
            printf("skipped: %s: the host, or the guest's model, does not have it\n", op_name((enum op)op));
        else if (all && !k->per_op[op] && !has_no_encoding(op))
            printf("%s: no case\n", op_name((enum op)op)), unmet++;
        if (k->shown[op] > SHOWN_PER_OP)
            printf("%s: %u differences in %u cases\n", op_name((enum op)op), k->shown[op], k->per_op[op]);
    }
    printf("%llu cases, %llu of them faults, %llu differences, %llu in undefined flags alone, %u operations without a case; %llu cases/s\n",
           (unsigned long long)k->cases, (unsigned long long)k->faults, (unsigned long long)k->differences,
           (unsigned long long)k->undefined, unmet, (unsigned long long)(k->cases * 1000000000ull / (ns | 1)));
    return unmet;
}

static bool rig_init(struct rig *k)
{
    u32 a, b, c, d;
    if (!guest_create(&k->g))
        return false;
    struct cpu *cpu = k->g.c;
    cpu->efer |= EFER_NXE; /* as Linux: instruction fetches show in the error code */
    st16(k->g.m.base + (cpu->seg[SEG_TR].base & (MIB(2) - 1)) + 102, 0xffff); /* no I/O bitmap */
    memset(k->g.m.base + G_HANDLERS, 0xf4, 16 * 32); /* HLT */
    gen_init(&k->gen);
    for (unsigned op = 0; op < OP_COUNT; op++)
        k->missing[op] = gen_wants(op) && !host_has(cpu, op);
    __cpuid(0, a, b, c, d);
    k->strict = b == signature_INTEL_ebx;
    return true;
}

int main(int argc, char **argv)
{
    static struct rig k;
    const char *why;
    struct icase t;
    bool one = argc > 2 && !strcmp(argv[1], "--case");
    u64 count = argc > 1 && !one ? strtoull(argv[1], NULL, 0) : COUNT, seed = argc > 2 && !one ? strtoull(argv[2], NULL, 0) : 1;
    bool timed = argc < 2 || !count;
    count = count ? count : COUNT;
    if (!host_init(&why)) {
        printf("%s\n", why);
        return 77;
    }
    if (!rig_init(&k)) {
        fprintf(stderr, "no memory for the guest\n");
        return 1;
    }
    if (one) {
        if (!parse_case(argv[2], &t)) {
            fprintf(stderr, "not a case\n");
            return 2;
        }
        run_case(&k, &t, true);
        return summarize(&k, 1, false) || k.differences || k.undefined;
    }
    bool ok = argc < 4 || replay(&k, argv[3]);
    if (!host_seal()) {
        printf("no seccomp\n");
        return 77;
    }
    u64 start = now_ns();
    for (u64 n = 0; n < count; n++) {
        u64 s = seed * 0xd1342543de82ef95 + n;
        gen_case(&k.gen, gen_next(&s), &t);
        run_case(&k, &t, false);
        if (timed && !(n % 4096) && now_ns() - start > SECONDS * 1000000000ull)
            break;
    }
    unsigned unmet = summarize(&k, now_ns() - start, count >= 1000000);
    return !ok || unmet || k.differences || (k.strict && k.undefined);
}
