/* Arbitrary bytes on the host's CPU and on the interpreter: what is #UD, and how long an instruction is. The first N bytes of a string end where the
 * code page does, N = 1, 2, ...: as long as the CPU asks for the page behind, the instruction is longer. Registers lead memory operands nowhere.
 *
 *     random_bytes [COUNT [SEED]]      default 300,000 strings
 *
 * Exit status: 0 no difference; 1 differences; 77 this host cannot. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "oracle_gen.h"

enum { SHOWN = 40, DEATHS_MAX = 20, CODE_MAX = 15 };

/* LONGER: the CPU wants to fetch what is not there. RUNS: anything else but #UD, other exceptions included. */
enum answer { LONGER, UNDEFINED, RUNS };

struct tally {
    u64 next, strings, undefined, differences, unbuilt;
};

static enum answer answer_of(const struct world *w, u64 start)
{
    if (w->vector == VEC_PF && w->addr == NATIVE_CODE + PAGE_SIZE && w->rip == start)
        return LONGER;
    return w->vector == VEC_UD && w->rip == start ? UNDEFINED : RUNS;
}

static void registers(struct world *w, unsigned bits, unsigned n)
{
    *w = (struct world){.bits = bits, .fcw = 0x37f, .mxcsr = 0x1f80, .rflags = 0x202, .rip = NATIVE_CODE + PAGE_SIZE - n};
    for (unsigned k = 0; k < 16; k++)
        w->gpr[k] = bits == 64 ? 0x8000000000000000 : 0x60000000;
}

static enum answer ask_guest(struct guest *g, const u8 *code, unsigned bits, unsigned n)
{
    struct world w;
    struct error e;
    registers(&w, bits, n);
    engine_interp.flush_code(g->engine, NATIVE_CODE, PAGE_SIZE);
    memset(g->m.base + NATIVE_CODE, 0xcc, PAGE_SIZE);
    memcpy(g->m.base + w.rip, code, n);
    u64 start = w.rip;
    guest_load(g, &w);
    engine_interp.step(g->engine, &e);
    guest_store(g, &w);
    return answer_of(&w, start);
}

static enum answer ask_host(const u8 *code, unsigned bits, unsigned n)
{
    struct world w;
    registers(&w, bits, n);
    u64 start = w.rip;
    host_run(&w, code, n);
    return answer_of(&w, start);
}

static void make_bytes(u64 seed, u8 *code, unsigned *bits)
{
    static const u8 prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0xf0, 0x48, 0x41, 0x4f};
    unsigned n = 0;
    *bits = gen_pick(&seed, 3) ? 64 : 32;
    for (unsigned k = (unsigned)gen_pick(&seed, 4); k; k--)
        code[n++] = prefixes[gen_pick(&seed, ARRAY_LEN(prefixes))];
    if (gen_pick(&seed, 2))
        code[n++] = 0x0f;
    if (gen_pick(&seed, 8) == 0)
        code[n++] = 0x01;
    while (n < CODE_MAX)
        code[n++] = (u8)gen_next(&seed);
}

/* What stands before the opcode. */
struct prefixes {
    unsigned len;
    bool lock;
};

static struct prefixes prefixes_of(const u8 *code, unsigned bits)
{
    struct prefixes p = {0};
    for (; p.len < CODE_MAX; p.len++) {
        u8 b = code[p.len];
        bool rex = bits == 64 && (b & 0xf0) == 0x40;
        if (!rex && (b & 0xe7) != 0x26 && (b < 0x64 || b > 0x67) && b != 0xf0 && (b & 0xfe) != 0xf2)
            break;
        p.lock |= b == 0xf0;
    }
    return p;
}

/* Never executed: a branch into itself would not end; system calls, and what a hypervisor beneath answers, say nothing; and nothing may open or close
 * the memory of the test itself (WRPKRU). */
static bool refused(const u8 *code, unsigned bits, struct insn *i, enum decode_status *st)
{
    unsigned at = prefixes_of(code, bits).len;
    *st = insn_decode(code, CODE_MAX, gen_mode(bits), i);
    if (at + 3 <= CODE_MAX && code[at] == 0x0f && code[at + 1] == 0x01 && (code[at + 2] == 0xc1 || code[at + 2] == 0xd9))
        return true; /* VMCALL, VMMCALL, with whatever prefix */
    if (*st != DECODE_OK)
        return false;
    bool branch = i->form == FORM_REL && i->imm < 0 && i->imm >= -CODE_MAX;
    bool call = i->op == OP_SYSCALL || i->op == OP_SYSRET || i->op == OP_SYSENTER || i->op == OP_SYSEXIT;
    return branch || call || i->op == OP_VMCALL || i->op == OP_VMMCALL || i->op == OP_WRPKRU || i->op == OP_RDPKRU;
}

/* AVX-512's instructions on mask registers, of VEX's map 1: the decoder holds them to bits that AMD's silicon lets pass. */
static bool on_masks(const u8 *o, unsigned left)
{
    if (left < 4 || (o[0] != 0xc5 && (o[0] != 0xc4 || (o[1] & 0x1f) != 1)))
        return false;
    u8 code = o[0] == 0xc5 ? o[2] : o[3];
    return (code >= 0x41 && code <= 0x4b) || (code >= 0x90 && code <= 0x93) || code == 0x98 || code == 0x99;
}

/* AVX-512, after no prefix that would make it #UD. */
static bool is_evex(const u8 *code, unsigned bits)
{
    struct prefixes p = prefixes_of(code, bits);
    for (unsigned k = 0; k < p.len; k++)
        if (code[k] == 0x66 || (code[k] & 0xfe) == 0xf2 || code[k] == 0xf0 || (bits == 64 && k + 1 == p.len && (code[k] & 0xf0) == 0x40))
            return false;
    return p.len + 2 <= CODE_MAX && code[p.len] == 0x62 && (bits == 64 || code[p.len + 1] >> 6 == 3);
}

/* A form that the CPUID of the guest does not offer, on a host that has it. */
static bool not_offered(const u8 *code, unsigned bits, const struct insn *i, enum decode_status st)
{
    struct prefixes p = prefixes_of(code, bits);
    const u8 *o = code + p.len;
    bool wide_aes = (i->op >= OP_VAESDEC && i->op <= OP_VAESENCLAST) || i->op == OP_VPCLMULQDQ;
    /* LOCK MOV CR0 is MOV CR8 (APM vol. 3, MOV CRn; CPUID's AltMovCr8). */
    bool cr8 = p.lock && p.len + 3 <= CODE_MAX && o[0] == 0x0f && (o[1] & 0xfd) == 0x20 && !(o[2] & 0x38);
    return st == DECODE_UNBUILT || (st == DECODE_UD && is_evex(code, bits)) || (st != DECODE_OK && on_masks(o, CODE_MAX - p.len)) || (wide_aes && i->flags & INSN_VEX_L) || cr8;
}

/* LOCK before SLDT and its group, with memory: AMD's silicon reaches for the operand before it raises #UD. */
static bool operand_first(const u8 *code, unsigned bits)
{
    struct prefixes p = prefixes_of(code, bits);
    return p.lock && p.len + 3 <= CODE_MAX && code[p.len] == 0x0f && !code[p.len + 1] && code[p.len + 2] >> 6 != 3;
}

/* Of more than 15 bytes: #GP, which silicon may find before #UD (SDM vol. 3, table 6-2, faults from decoding: no order). Found by leaving out prefixes that
 * change no length: what is left must still be longer than these bytes. */
static bool too_long(const u8 *code, unsigned bits)
{
    struct prefixes p = prefixes_of(code, bits);
    u8 rest[CODE_MAX];
    unsigned n = 0;
    for (unsigned k = 0; k < CODE_MAX; k++) {
        bool segment = (code[k] & 0xe7) == 0x26 || (code[k] & 0xfe) == 0x64;
        bool rex = bits == 64 && (code[k] & 0xf0) == 0x40 && k + 1 != p.len; /* it counts in front of the opcode alone */
        if (k >= p.len || (!segment && !rex))
            rest[n++] = code[k];
    }
    return n < CODE_MAX && ask_host(rest, bits, n) == LONGER;
}

/* The answer of the first N bytes that the side does not want to be longer. */
static enum answer ask(struct guest *g, const u8 *code, unsigned bits, unsigned *n)
{
    enum answer a = LONGER;
    for (*n = 0; a == LONGER && *n < CODE_MAX;) {
        ++*n;
        a = g ? ask_guest(g, code, bits, *n) : ask_host(code, bits, *n);
    }
    return a;
}

/* How much silicon reads of what turns out to be undefined is its own affair; the length of what runs is not. */
static void try_bytes(struct guest *g, u64 seed, struct tally *t)
{
    static const char *const names[] = {"longer", "#UD", "runs"};
    u8 code[CODE_MAX];
    unsigned bits, guest_len, host_len;
    struct insn i = {0};
    enum decode_status st;
    make_bytes(seed, code, &bits);
    if (refused(code, bits, &i, &st))
        return;
    t->strings++;
    enum answer guest = ask(g, code, bits, &guest_len), host = ask(NULL, code, bits, &host_len);
    t->undefined += host == UNDEFINED;
    if (guest == host && (guest_len == host_len || host == UNDEFINED))
        return;
    if (guest == UNDEFINED && host == RUNS && (operand_first(code, bits) || (host_len == CODE_MAX && too_long(code, bits))))
        return;
    if (not_offered(code, bits, &i, st)) {
        t->unbuilt++;
        return;
    }
    if (t->differences++ < SHOWN) {
        printf("%u-bit, %s,", bits, st == DECODE_OK ? op_name((enum op)i.op) : "no instruction");
        for (unsigned k = 0; k < CODE_MAX; k++)
            printf(" %02x", code[k]);
        printf(": guest %s at %u, host %s at %u\n", names[guest], guest_len, names[host], host_len);
        fflush(stdout);
    }
}

static void run_child(struct guest *g, struct tally *t, u64 count, u64 seed)
{
    if (!host_seal())
        _exit(77);
    for (; t->next < count; t->next++) {
        u64 s = seed * 0xd1342543de82ef95 + t->next;
        try_bytes(g, gen_next(&s), t);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    static struct guest g;
    const char *why;
    u64 count = argc > 1 ? strtoull(argv[1], NULL, 0) : 300000, seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    struct tally *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!host_init(&why)) {
        printf("%s\n", why);
        return 77;
    }
    if (t == MAP_FAILED || !guest_create(&g)) {
        fprintf(stderr, "no memory for the guest\n");
        return 1;
    }
    g.c->efer |= EFER_NXE;
    unsigned deaths = 0;
    while (t->next < count && deaths < DEATHS_MAX) {
        int status = 0;
        fflush(stdout);
        pid_t pid = fork();
        if (!pid)
            run_child(&g, t, count, seed);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (pid < 0 || (WIFEXITED(status) && WEXITSTATUS(status)))
            return 77;
        if (WIFSIGNALED(status)) {
            printf("string %llu killed the child by signal %d\n", (unsigned long long)t->next, WTERMSIG(status));
            t->next++;
            deaths++;
        }
    }
    printf("%llu strings, %llu #UD on the host, %llu of instructions that the guest is not offered, %llu differences, %u deaths\n",
           (unsigned long long)t->strings, (unsigned long long)t->undefined, (unsigned long long)t->unbuilt,
           (unsigned long long)t->differences, deaths);
    return t->differences || deaths;
}
