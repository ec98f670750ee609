/* Every x87 encoding, by its handler on a vCPU made by hand and by the host's own x87, from the same random
 * state: registers, tags, status and control word, RFLAGS, AX and memory must agree. Pointers (FIP, FDP, FOP)
 * are the interpreter's own matter and masked out.
 *
 *     x87_host [ROUNDS [SEED]]      rounds per encoding */
#include <sys/mman.h>

#include "../unit/cpu_rig.h"
#include "engine/interp/state.h"
#include "isa/x87_value.h"

#if !defined(__x86_64__)
int main(void)
{
    puts("the host has no x87");
    return 77;
}
#else

#define OPERAND      0x20000u /* guest address of the memory operand */
#define OPERAND_SIZE 128u
#define STUB_SIZE    64u

/* FNSAVE's image, 32-bit protected layout. */
struct image {
    u8 byte[108];
};

struct state {
    struct image x87;
    u64 rax, flags;
    u8 mem[OPERAND_SIZE];
};

struct test {
    struct rig rig;
    struct interp engine;
    struct insn block[3]; /* entry, instruction, tail */
    u64 seed;
    u8 *stub; /* executable */
};

static u64 draw(struct test *t)
{
    t->seed ^= t->seed << 13;
    t->seed ^= t->seed >> 7;
    t->seed ^= t->seed << 17;
    return t->seed * 0x2545f4914f6cdd1dull;
}

static unsigned below(struct test *t, unsigned n)
{
    return (unsigned)((draw(t) >> 32) % n);
}

/* A number in 80 bits, with a taste for borders. */
static void draw_f80(struct test *t, u8 *out)
{
    u64 man = draw(t) | F80_INTEGER;
    unsigned exp = F80_BIAS - 40 + below(t, 120);
    switch (below(t, 20)) {
    case 0: man = 0, exp = 0; break;
    case 1: man = F80_INTEGER, exp = F80_EXP; break;
    case 2: exp = F80_EXP; break; /* NaN of either kind */
    case 3: exp = F80_EXP, man &= ~F80_QUIET; break;
    case 4: exp = 0, man &= ~F80_INTEGER; break; /* denormal */
    case 5: exp = 0; break;                      /* pseudo-denormal */
    case 6: man &= ~F80_INTEGER; break;          /* unsupported */
    case 7: man = F80_INTEGER; break;
    case 8: exp = F80_BIAS + below(t, 64), man &= ~0ull << below(t, 64); break; /* integers */
    case 9: exp = 1 + below(t, 70); break;
    case 10: exp = F80_EXP - 1 - below(t, 70); break;
    case 11: man = ~0ull; break;
    case 12: man &= ~0ull << 40; break;                   /* exact in single precision */
    case 13: exp = F80_BIAS - 1075 + below(t, 60); break; /* denormal as a double */
    case 14: exp = F80_BIAS + 1020 + below(t, 8); break;
    case 15: exp = F80_BIAS - 150 + below(t, 30); break; /* denormal as a single */
    case 16: exp = F80_BIAS - 2 + below(t, 4); break;
    default: break;
    }
    st64(out, man);
    st16(out + 8, (u16)(exp | (draw(t) & 1 ? F80_SIGN : 0)));
}

static void draw_state(struct test *t, struct state *s)
{
    u8 *x = s->x87.byte;
    u16 fcw = FCW_INIT, tags = 0;
    memset(s, 0, sizeof *s);
    if (below(t, 3) == 0)
        fcw = (u16)((fcw & ~(FCW_RC | FCW_PC)) | (draw(t) & (FCW_RC | FCW_PC)));
    if (below(t, 4) == 0)
        fcw = (u16)((fcw & ~0x3f) | (draw(t) & 0x3f));
    u16 fsw = (u16)(draw(t) & (FSW_CC | FSW_TOP));
    if (below(t, 3) == 0)
        fsw |= (u16)(draw(t) & fcw & 0x3f); /* masked ones only: none is pending */
    bool full = below(t, 4) != 0;
    for (unsigned n = 0; n < 8; n++)
        tags |= (u16)((full ? below(t, 40) == 0 : draw(t) & 1) ? 3u << 2 * n : 0);
    if (full && draw(t) & 1)
        tags |= (u16)(3u << 2 * (((fsw >> 11) + 7) & 7)); /* room for a push */
    st32(x, 0xffff0000 | fcw);
    st32(x + 4, 0xffff0000 | fsw);
    st32(x + 8, 0xffff0000 | tags);
    for (unsigned n = 0; n < 8; n++)
        draw_f80(t, x + 28 + 10 * n);
    s->flags = RFLAGS_ONE | (draw(t) & RFLAGS_ARITH);
    s->rax = draw(t);
    for (unsigned k = 0; k < OPERAND_SIZE; k += 8)
        st64(s->mem + k, draw(t));
    switch (below(t, 6)) { /* narrow numbers at their borders */
    case 0: st32(s->mem, ld32(s->mem) | 0x7f800000); break;
    case 1: st32(s->mem, ld32(s->mem) & 0x807fffff); break;
    case 2: st64(s->mem, ld64(s->mem) | 0x7ff0000000000000); break;
    case 3: st64(s->mem, ld64(s->mem) & 0x800fffffffffffff); break;
    case 4: memset(s->mem, 0, 10); break;
    default: break;
    }
}

/* The instruction's operand, when it reads one with a meaning of its own. */
static void draw_operand(struct test *t, const struct insn *i, struct state *s)
{
    struct state other;
    if (i->op == OP_FLD && i->msize == 10) {
        draw_f80(t, s->mem);
    } else if (i->op == OP_FBLD) {
        for (unsigned k = 0; k < 9; k++)
            s->mem[k] = (u8)(below(t, 10) << 4 | below(t, 10));
        s->mem[9] &= 0x80;
    } else if (i->op == OP_FLDENV || i->op == OP_FRSTOR) {
        draw_state(t, &other);
        memcpy(s->mem, other.x87.byte, 108);
        if (i->msize == 14 || i->msize == 94) {
            for (unsigned k = 0; k < 7; k++)
                st16(s->mem + 2 * k, ld16(other.x87.byte + 4 * k));
            memcpy(s->mem + 14, other.x87.byte + 28, 80);
        }
    }
}

/* --- the host */

/* rdi: image, rsi: address for RAX, rdx: RFLAGS in and out; the address of the memory operand comes in RCX:
 *     frstor [rdi]; mov rax, [rsi]; push qword [rdx]; popfq; BYTES; pushfq; pop qword [rdx]; mov [rsi], rax;
 * fnsave [rdi]; ret */
static void native_write(u8 *at, const u8 *bytes, unsigned len)
{
    static const u8 head[] = {0xdd, 0x27, 0x48, 0x8b, 0x06, 0xff, 0x32, 0x9d};
    static const u8 tail[] = {0x9c, 0x8f, 0x02, 0x48, 0x89, 0x06, 0xdd, 0x37, 0xc3};
    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, bytes, len);
    memcpy(at + sizeof head + len, tail, sizeof tail);
}

static void native_run(const u8 *stub, struct state *s)
{
    void (*fn)(u8 * image, u64 * rax, u64 * flags, u8 * mem);
    memcpy(&fn, &stub, sizeof fn);
    fn(s->x87.byte, &s->rax, &s->flags, s->mem);
    s->flags &= RFLAGS_ARITH;
}

/* --- the handler */

static const struct insn *stop(struct cpu *c, const struct insn *i)
{
    (void)c, (void)i;
    return NULL;
}

static void guest_run(struct test *t, struct state *s)
{
    struct cpu *c = t->rig.c;
    u8 *x = s->x87.byte;
    struct fpu *f = &c->fpu;
    f->fcw = ld16(x);
    f->fsw = ld16(x + 4);
    f->ftw = 0;
    for (unsigned n = 0; n < 8; n++) {
        f->ftw |= (u8)((ld16(x + 8) >> 2 * n & 3) != 3 ? 1 << n : 0);
        memcpy(f->st[((f->fsw >> 11) + n) & 7], x + 28 + 10 * n, 10);
    }
    flags_load(&c->fl, s->flags);
    c->gpr[RAX].q = s->rax;
    c->gpr[RCX].q = OPERAND;
    memcpy(t->rig.m.base + OPERAND, s->mem, OPERAND_SIZE);

    const struct insn *i = &t->block[1];
    while (i)
        i = i->fn(c, i);

    u16 tags = 0;
    for (unsigned n = 0; n < 8; n++) {
        tags |= (u16)(f->ftw >> n & 1 ? 0 : 3u << 2 * n);
        memcpy(x + 28 + 10 * n, f->st[((f->fsw >> 11) + n) & 7], 10);
    }
    st16(x, f->fcw);
    st16(x + 4, f->fsw);
    st16(x + 8, tags);
    s->flags = flags_value(&c->fl);
    s->rax = c->gpr[RAX].q;
    memcpy(s->mem, t->rig.m.base + OPERAND, OPERAND_SIZE);
}

/* --- comparison */

static u16 empty_tags(u16 tags)
{
    u16 r = 0;
    for (unsigned n = 0; n < 8; n++)
        r |= (u16)((tags >> 2 * n & 3) == 3 ? 3u << 2 * n : 0);
    return r;
}

/* Takes out what may differ: pointers, and the bits of FNSTENV's image that hold them. */
static void normalize(struct state *s, const struct insn *i)
{
    u8 *x = s->x87.byte;
    st16(x + 8, empty_tags(ld16(x + 8)));
    memset(x + 12, 0, 16);
    if (i->op == OP_FNSTENV || i->op == OP_FNSAVE)
        memset(s->mem + (i->msize == 28 || i->msize == 108 ? 12 : 6), 0,
               i->msize == 28 || i->msize == 108 ? 16 : 8);
}

static void print_state(const char *what, const struct state *s)
{
    const u8 *x = s->x87.byte;
    fprintf(stderr, "  %-6s cw %04x sw %04x tag %04x flags %03x ax %04x mem %016llx %04x\n        ", what,
            ld16(x), ld16(x + 4), ld16(x + 8), (unsigned)(s->flags & RFLAGS_ARITH),
            (unsigned)(s->rax & 0xffff), (unsigned long long)ld64(s->mem), ld16(s->mem + 8));
    for (unsigned n = 0; n < 8; n++)
        fprintf(stderr, " %04x:%016llx", ld16(x + 28 + 10 * n + 8),
                (unsigned long long)ld64(x + 28 + 10 * n));
    fprintf(stderr, "\n");
}

/* RAX beyond what the instruction names is the stub's. */
static bool same(const struct state *a, const struct state *b)
{
    return !memcmp(a->x87.byte, b->x87.byte, 12) && !memcmp(a->x87.byte + 28, b->x87.byte + 28, 80) &&
           (a->flags & RFLAGS_ARITH) == (b->flags & RFLAGS_ARITH) && a->rax == b->rax &&
           !memcmp(a->mem, b->mem, OPERAND_SIZE);
}

static bool decode(struct test *t, const u8 *bytes, unsigned len)
{
    struct insn *i = &t->block[1];
    memset(t->block, 0, sizeof t->block);
    if (insn_decode(bytes, len, 8, i) != DECODE_OK)
        return false;
    i->fn = interp_bind_X87(i, 8, true);
    t->block[0].imm = 1;
    t->block[2].fn = stop;
    t->block[2].off = 1;
    if (!i->fn)
        check_that(false, op_name(i->op), __FILE__, __LINE__);
    return i->fn;
}

static void test_encoding(struct test *t, const u8 *bytes, unsigned len, unsigned rounds)
{
    unsigned shown = 0, wrong = 0;
    if (!decode(t, bytes, len))
        return;
    const struct insn *i = &t->block[1];
    mprotect(t->stub, PAGE_SIZE, PROT_READ | PROT_WRITE);
    native_write(t->stub, bytes, len);
    mprotect(t->stub, PAGE_SIZE, PROT_READ | PROT_EXEC);
    for (unsigned k = 0; k < rounds; k++) {
        struct state before, host, guest;
        draw_state(t, &before);
        draw_operand(t, i, &before);
        host = guest = before;
        native_run(t->stub, &host);
        guest_run(t, &guest);
        normalize(&host, i);
        normalize(&guest, i);
        if (same(&host, &guest))
            continue;
        wrong++;
        if (shown++ < 2) {
            fprintf(stderr, "%s, bytes", op_name(i->op));
            for (unsigned b = 0; b < len; b++)
                fprintf(stderr, " %02x", bytes[b]);
            fprintf(stderr, ":\n");
            print_state("before", &before);
            print_state("host", &host);
            print_state("ours", &guest);
        }
    }
    if (wrong) {
        check_failures++;
        fprintf(stderr, "%s (%02x %02x): %u of %u differ\n\n", op_name(i->op), bytes[len - 2], bytes[len - 1],
                wrong, rounds);
    }
}

int main(int argc, char **argv)
{
    static struct test t;
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
    t.seed = argc > 2 ? strtoull(argv[2], NULL, 0) | 1 : 0x9e3779b97f4a7c15;
    t.stub = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t.stub == MAP_FAILED || !rig_create(&t.rig)) {
        perror("x87_host");
        return 1;
    }
    rig_reset(&t.rig, true, 0);
    t.rig.c->engine = &t.engine;
    t.engine.cpu = t.rig.c;
    for (unsigned escape = 0xd8; escape <= 0xdf; escape++)
        for (unsigned modrm = 0; modrm < 256; modrm++) {
            /* Memory: [rcx] alone; with the operand-size prefix too, which the environments heed. */
            u8 bytes[3] = {0x66, (u8)escape, (u8)modrm};
            if (modrm < 0xc0 && (modrm & 0xc7) != 1)
                continue;
            test_encoding(&t, bytes + 1, 2, rounds);
            if (modrm < 0xc0)
                test_encoding(&t, bytes, 3, rounds);
        }
    return check_done();
}
#endif
