/* Instructions that give another value each time, or another one on each machine: RDRAND, RDSEED, RDTSC, RDTSCP, RDPID, CPUID, XGETBV, RDPKRU and WRPKRU,
 * on the host's CPU and on the interpreter. Alike must be: the exception, RIP, what registers change, how wide the results are, the flags. Each
 * side's results must obey the instruction's own rule. What the host lacks is judged on the interpreter alone, by the same rules. */
#include <stdlib.h>
#include <string.h>

#include "../unit/check.h"
#include "cpu/model.h"
#include "cpu/silicon.h"
#include "guest.h"
#include "oracle_gen.h"
#include "oracle_host.h"

enum { ROUNDS = 200 };

#define A (1u << RAX)
#define C (1u << RCX)
#define D (1u << RDX)
#define B (1u << RBX)

struct run {
    struct world before, after;
};

typedef bool rule(const struct run *r);

struct probe {
    const char *name;
    u8 code[12];
    unsigned len, count; /* bytes and instructions */
    u64 rax, rcx, rdx;   /* ANY: anything */
    int vector;
    u32 changed;         /* registers */
    bool random_flags;   /* OF SF ZF AF PF cleared, CF says whether there is a number */
    rule *obeys;
};
#define ANY 0x123456789abcdef0ull

static bool upper_clear(const struct run *r, u32 registers)
{
    for (unsigned k = 0; k < 16; k++)
        if (registers >> k & 1 && r->after.gpr[k] >> 32)
            return false;
    return true;
}

static bool drawn(const struct run *r)
{
    return r->after.rflags & RFLAGS_CF;
}
static bool random16(const struct run *r)
{
    return !((r->before.gpr[RCX] ^ r->after.gpr[RCX]) >> 16) && (drawn(r) || !(u16)r->after.gpr[RCX]);
}
static bool random32(const struct run *r)
{
    return upper_clear(r, C) && (drawn(r) || !r->after.gpr[RCX]);
}
static bool random64(const struct run *r)
{
    return drawn(r) ? r->after.gpr[RCX] != r->before.gpr[RCX] : !r->after.gpr[RCX];
}
/* Twice, the first into R8 (low) and R9 (high). */
static bool tsc(const struct run *r)
{
    u64 first = r->after.gpr[9] << 32 | r->after.gpr[8], then = r->after.gpr[RDX] << 32 | r->after.gpr[RAX];
    return upper_clear(r, A | D | 1u << 8 | 1u << 9) && then > first;
}
static bool tscp(const struct run *r)
{
    return upper_clear(r, A | C | D);
}
static bool pid(const struct run *r) /* RDTSCP, then RDPID into R8 */
{
    return upper_clear(r, A | C | D) && r->after.gpr[8] == r->after.gpr[RCX];
}
static bool cpuid(const struct run *r)
{
    return upper_clear(r, A | B | C | D);
}
static bool xcr0(const struct run *r)
{
    return upper_clear(r, A | D) && (r->after.gpr[RAX] & 7) == 7;
}
/* XCR0 into R8, then XINUSE. What is initial may be in use all the same (SDM vol. 1, 13.6): Intel's silicon says so of what XRSTOR loaded, AMD's and Trine look
 * at the contents (guest/avx). */
static bool in_use(const struct run *r)
{
    bool by_contents = silicon_is_amd(silicon_host()) && r->after.gpr[RAX] & XFEATURE_AVX; /* YMM is initial */
    return upper_clear(r, A | C | D) && !(r->after.gpr[RAX] & ~r->after.gpr[8]) && !by_contents;
}
static bool ymm_in_use(const struct run *r)
{
    return upper_clear(r, A | D) && (r->after.gpr[RAX] & (XFEATURE_SSE | XFEATURE_AVX)) == (XFEATURE_SSE | XFEATURE_AVX);
}
static bool pkru(const struct run *r)
{
    return upper_clear(r, A) && !r->after.gpr[RDX];
}
static bool pkru_written(const struct run *r) /* and read back behind XOR EAX, EAX */
{
    return pkru(r) && r->after.gpr[RAX] == (u32)r->before.gpr[RAX];
}

static const struct probe probes[] = {
    {"RDRAND r16", {0x66, 0x0f, 0xc7, 0xf1}, 4, 1, ANY, ANY, ANY, -1, C, true, random16},
    {"RDRAND r32", {0x0f, 0xc7, 0xf1}, 3, 1, ANY, ANY, ANY, -1, C, true, random32},
    {"RDRAND r64", {0x48, 0x0f, 0xc7, 0xf1}, 4, 1, ANY, ANY, ANY, -1, C, true, random64},
    {"LOCK RDRAND", {0xf0, 0x0f, 0xc7, 0xf1}, 4, 1, ANY, ANY, ANY, VEC_UD, 0, false, NULL},
    {"RDSEED r16", {0x66, 0x0f, 0xc7, 0xf9}, 4, 1, ANY, ANY, ANY, -1, C, true, random16},
    {"RDSEED r32", {0x0f, 0xc7, 0xf9}, 3, 1, ANY, ANY, ANY, -1, C, true, random32},
    {"RDSEED r64", {0x48, 0x0f, 0xc7, 0xf9}, 4, 1, ANY, ANY, ANY, -1, C, true, random64},
    /* RDTSC; MOV R8, RAX; MOV R9, RDX; RDTSC */
    {"RDTSC", {0x0f, 0x31, 0x49, 0x89, 0xc0, 0x49, 0x89, 0xd1, 0x0f, 0x31}, 10, 4, ANY, ANY, ANY, -1, A | D | 3u << 8, false, tsc},
    {"RDTSCP", {0x0f, 0x01, 0xf9}, 3, 1, ANY, ANY, ANY, -1, A | C | D, false, tscp},
    {"LOCK RDTSC", {0xf0, 0x0f, 0x31}, 3, 1, ANY, ANY, ANY, VEC_UD, 0, false, NULL},
    {"RDPID", {0x0f, 0x01, 0xf9, 0xf3, 0x41, 0x0f, 0xc7, 0xf8}, 8, 2, ANY, ANY, ANY, -1, A | C | D | 1u << 8, false, pid},
    {"CPUID 0", {0x0f, 0xa2}, 2, 1, 0, ANY, ANY, -1, A | B | C | D, false, cpuid},
    {"CPUID 1", {0x0f, 0xa2}, 2, 1, 0xffffffff00000001, ANY, ANY, -1, A | B | C | D, false, cpuid},
    {"CPUID 7", {0x0f, 0xa2}, 2, 1, 7, 0, ANY, -1, A | B | C | D, false, cpuid},
    {"CPUID 0xd, 1", {0x0f, 0xa2}, 2, 1, 0xd, 1, ANY, -1, A | B | C | D, false, cpuid},
    {"CPUID 0x80000001", {0x0f, 0xa2}, 2, 1, 0x80000001, ANY, ANY, -1, A | B | C | D, false, cpuid},
    {"CPUID out of range", {0x0f, 0xa2}, 2, 1, 0xffffffff, ANY, ANY, -1, A | B | C | D, false, cpuid},
    {"XGETBV 0", {0x0f, 0x01, 0xd0}, 3, 1, ANY, 0x5500000000, ANY, -1, A | D, false, xcr0},
    /* XGETBV; MOV R8, RAX; MOV CL, 1; XGETBV */
    {"XGETBV 1", {0x0f, 0x01, 0xd0, 0x49, 0x89, 0xc0, 0xb1, 0x01, 0x0f, 0x01, 0xd0}, 11, 4, ANY, 0, ANY, -1, A | C | D | 1u << 8, false, in_use},
    /* VCMPPS YMM1, YMM1, YMM1, true; XGETBV */
    {"XGETBV 1, YMM not initial", {0xc5, 0xf4, 0xc2, 0xc9, 0x0f, 0x0f, 0x01, 0xd0}, 8, 2, ANY, 1, ANY, -1, A | D, false, ymm_in_use},
    {"XGETBV 2", {0x0f, 0x01, 0xd0}, 3, 1, ANY, 2, ANY, VEC_GP, 0, false, NULL},
    {"66 XGETBV", {0x66, 0x0f, 0x01, 0xd0}, 4, 1, ANY, 0, ANY, VEC_UD, 0, false, NULL},
    {"RDPKRU", {0x0f, 0x01, 0xee}, 3, 1, ANY, 0x100000000, ANY, -1, A | D, false, pkru},
    {"RDPKRU, ECX = 1", {0x0f, 0x01, 0xee}, 3, 1, ANY, 1, ANY, VEC_GP, 0, false, NULL},
    /* WRPKRU; XOR EAX, EAX; RDPKRU. Key 0, which all memory has, stays open. */
    {"WRPKRU", {0x0f, 0x01, 0xef, 0x31, 0xc0, 0x0f, 0x01, 0xee}, 8, 3, 0xfedcba9855555554, 0, 0, -1, A | D, false, pkru_written},
    {"WRPKRU again", {0x0f, 0x01, 0xef, 0x31, 0xc0, 0x0f, 0x01, 0xee}, 8, 3, 0xfffffffc, 0x100000000, 0x100000000, -1, A | D, false, pkru_written},
    {"WRPKRU, ECX = 1", {0x0f, 0x01, 0xef}, 3, 1, 0, 1, 0, VEC_GP, 0, false, NULL},
    {"WRPKRU, EDX = 1", {0x0f, 0x01, 0xef}, 3, 1, 0, 0, 1, VEC_GP, 0, false, NULL},
};

static void run_guest(struct guest *g, const struct probe *p, struct world *w)
{
    struct error e;
    engine_interp.flush_code(g->engine, w->rip, p->len);
    memcpy(g->m.base + w->rip, p->code, p->len);
    guest_load(g, w);
    for (unsigned k = 0; k < p->count; k++)
        engine_interp.step(g->engine, &e);
    guest_store(g, w);
}

static bool flags_right(const struct probe *p, const struct run *r)
{
    u64 want = r->before.rflags, got = r->after.rflags & ~(u64)RFLAGS_RF;
    if (p->random_flags)
        want = (want & ~(u64)RFLAGS_ARITH) | (got & RFLAGS_CF);
    if (p->count == 3)
        return true; /* XOR's */
    return want == got;
}

/* Null, or what is wrong. */
static const char *judge(const struct probe *p, const struct run *r)
{
    if (r->after.vector != p->vector)
        return "exception";
    if (r->after.rip != r->before.rip + (p->vector < 0 ? p->len : 0) || r->after.error)
        return "RIP or error code";
    for (unsigned k = 0; k < 16; k++)
        if (!(p->changed >> k & 1) && r->after.gpr[k] != r->before.gpr[k])
            return "a register that it must leave alone";
    if (!flags_right(p, r))
        return "flags";
    return p->obeys && !p->obeys(r) ? "value" : NULL;
}

static bool check_side(const struct probe *p, const char *side, const struct run *r)
{
    const char *wrong = judge(p, r);
    if (wrong)
        fprintf(stderr, "%s on the %s: %s: vector %d rip %#llx rflags %#llx rax %#llx rcx %#llx rdx %#llx r8 %#llx\n", p->name, side, wrong, r->after.vector,
                (unsigned long long)r->after.rip, (unsigned long long)r->after.rflags, (unsigned long long)r->after.gpr[RAX],
                (unsigned long long)r->after.gpr[RCX], (unsigned long long)r->after.gpr[RDX], (unsigned long long)r->after.gpr[8]);
    CHECK(!wrong);
    return !wrong;
}

/* False: a side was wrong. */
static bool try_probe(struct guest *g, const struct probe *p, u64 *s, bool silent)
{
    struct run host = {.before = {.bits = 64, .rip = NATIVE_CODE, .fcw = 0x37f, .mxcsr = 0x1f80}}, guest;
    struct world *w = &host.before;
    for (unsigned k = 0; k < 16; k++)
        w->gpr[k] = gen_next(s);
    w->rflags = 0x202 | (gen_next(s) & RFLAGS_ARITH);
    w->gpr[RAX] = p->rax == ANY ? w->gpr[RAX] : p->rax;
    w->gpr[RCX] = p->rcx == ANY ? w->gpr[RCX] : p->rcx;
    w->gpr[RDX] = p->rdx == ANY ? w->gpr[RDX] : p->rdx;
    guest = host;
    host.after = host.before;
    guest.after = guest.before;
    host_run(&host.after, p->code, p->len);
    run_guest(g, p, &guest.after);
    bool lacks = host.after.vector == VEC_UD && p->vector != VEC_UD;
    if (lacks && !silent)
        printf("skipped on the host, which lacks it: %s\n", p->name);
    bool good = check_side(p, "interpreter", &guest); /* both are looked at */
    return (lacks || check_side(p, "host", &host)) && good;
}

int main(void)
{
    static struct guest g;
    const char *why;
    u64 s = 1;
    if (!host_init(&why)) {
        printf("%s\n", why);
        return 77;
    }
    if (!guest_create(&g))
        return 1;
    g.c->tsc_aux = 0x81234567;
    g.c->cr4 |= CR4_PKE;
    for (unsigned k = 0; k < ARRAY_LEN(probes); k++)
        for (unsigned n = 0; n < ROUNDS && try_probe(&g, &probes[k], &s, n > 0); n++)
            ;
    guest_destroy(&g);
    return check_done();
}
