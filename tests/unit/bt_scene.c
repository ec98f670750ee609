#include "bt_scene.h"

#include "isa/insn.h"

#define STEPS 150u /* past the translator's last stretch, so that both its ways are taken */
#define LONG  1200u

u64 random_next(struct random *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state;
}

/* Virtual page at the end of 4 GiB, and where its tables are. */
#define TOP_PAGE   0xfffff000u
#define TOP_FRAME  (SCENE_DATA + 0x9000)
#define TOP_TABLES 0x34000u
#define LARGE      0x87u /* a large page of everybody's */

static bool code32(const struct scene *s)
{
    return s->world != WORLD_64;
}

/* In scenes without hostility: what does not end or leave them at once. */
static bool wanted(const struct insn *i, bool narrow)
{
    switch (i->op) {
    case OP_POP_SEG:
    case OP_MOV_TO_SEG: return !narrow;
    case OP_RDRAND:
    case OP_RDSEED:
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
    case OP_MOV_TO_CR: return false;
    default: return true;
    }
}

static const char *const hostile[] = {
    "\x0f\x05",         /* SYSCALL */
    "\x0f\x34",         /* SYSENTER */
    "\xcd",             /* INT n */
    "\xcc",             /* INT3 */
    "\xf1",             /* INT1 */
    "\x0f\x01\xef",     /* WRPKRU */
    "\x0f\x01\xee",     /* RDPKRU */
    "\xf3\x48\x0f\xae", /* RD, WR FS, GS BASE; others by the next byte */
    "\xf3\x0f\xae",
    "\x0f\xae", /* FXSAVE FXRSTOR LDMXCSR STMXCSR XSAVE XRSTOR XSAVEOPT CLFLUSH */
    "\x48\x0f\xae",
    "\x0f\xc7", /* CMPXCHG8B XRSTORS XSAVEC XSAVES RDRAND RDPID */
    "\x48\x0f\xc7",
    "\x0f\x01", /* SGDT ... SMSW LMSW INVLPG SWAPGS XGETBV XSETBV VMCALL STAC CLAC RDTSCP */
    "\x0f\x01\xd0",
    "\x0f\x01\xd1",
    "\x0f\x01\xf8",
    "\x8e", /* MOV to a segment register */
    "\x8c",
    "\x0f\xa1", /* POP FS, GS */
    "\x0f\xa9",
    "\xcf", /* IRET */
    "\x48\xcf",
    "\xcb", /* far RET */
    "\x48\xcb",
    "\xff", /* INC ... CALL, JMP, far ones, PUSH */
    "\x9c", /* PUSHF, POPF */
    "\x9d",
    "\x0f",     /* SLDT STR LLDT LTR VERR VERW */
    "\x0f\x02", /* LAR, LSL */
    "\x0f\x03",
    "\x0f\x22", /* MOV CR, DR */
    "\x0f\x20",
    "\x0f\x23",
    "\x0f\x21",
    "\xfa", /* CLI, STI, HLT, CLTS, INVD, UD2 */
    "\xfb",
    "\xf4",
    "\x0f\x06",
    "\x0f\x0b",
    "\x0f\x30", /* WRMSR, RDMSR, RDPMC, CPUID, RDTSC */
    "\x0f\x32",
    "\x0f\x33",
    "\x0f\xa2",
    "\x0f\x31",
    "\xe8", /* CALL, JMP, RET */
    "\xe9",
    "\xeb",
    "\xc3",
    "\xc2",
    "\xdd", /* FRSTOR FNSAVE among others; FLDENV FNSTENV */
    "\xd9",
    "\xdb\xe3",
    "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66", /* too long with most that follows */
    "\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e",
    "\xea", /* none in 64-bit code */
    "\x62",
    "\xce", /* INTO PUSHA POPA; LES LDS; far CALL; POP SS, DS */
    "\x60",
    "\x61",
    "\xc4",
    "\xc5",
    "\x9a",
    "\x17",
    "\x1f",
    "\xe4", /* IN, OUT */
    "\xee",
};

static unsigned hostile_instruction(struct random *r, u8 *to)
{
    const char *text = hostile[random_next(r) % (sizeof hostile / sizeof *hostile)];
    unsigned n = (unsigned)strlen(text);
    if (!strcmp(text, "\x0f")) /* no NUL fits in the list: 0F 00 */
        to[n++] = 0;
    memcpy(to, text, strlen(text));
    bool branch = n == 1 && (to[0] == 0xe8 || to[0] == 0xe9);
    to[n++] = (u8)random_next(r);
    for (unsigned k = 0; k < 3; k++) /* the branches' targets stay near, most of the time */
        to[n++] = (u8)(branch && random_next(r) & 7 ? (k ? 0 : random_next(r) & 3) : random_next(r));
    return n - (branch ? 0 : (unsigned)(random_next(r) & 3));
}

/* One instruction: random bytes until they decode, with opcodes and ModRM drawn towards the common ones. */
unsigned scene_instruction(struct random *r, bool narrow, u8 *to)
{
    for (;;) {
        u8 b[16];
        struct insn i;
        unsigned n = 0, k = (unsigned)(random_next(r) % 16);
        for (unsigned j = 0; j < sizeof b; j++)
            b[j] = (u8)random_next(r);
        if (k < 2)
            b[n++] = (u8[]){0x66, 0xf0, 0xf2, 0xf3, 0x64, 0x65, 0x67, 0x2e}[random_next(r) & 7];
        if (k & 4 && (!narrow || random_next(r) % 4 == 0)) /* REX, or INC and DEC */
            b[n++] = (u8)(0x40 | (random_next(r) & 15));
        if (k == 3 || k > 12)
            b[n++] = 0x0f;
        else if (k == 10)
            b[n++] = (u8)(0xd8 | (random_next(r) & 7)); /* x87 */
        if (random_next(r) & 1)                         /* a small displacement */
            b[n + 1] = (u8)((b[n + 1] & 0x3f) | 0x40);
        if (insn_decode(b, 15, narrow ? 4 : 8, &i) != DECODE_OK || !wanted(&i, narrow) || i.form == FORM_REL)
            continue;
        memcpy(to, b, i.len);
        return i.len;
    }
}

/* A page of code with short branches, to where instructions begin: forward over some, and back now and then.
 * In hostile scenes anywhere. */
static void make_code(struct scene *s, struct random *r)
{
    unsigned at = 0, starts[PAGE_SIZE], n = 0, patch = 0, over = 0;
    u8 *page = s->code;
    struct row row = {0};
    while (at < PAGE_SIZE - (s->rows ? ROW_BYTES : 32)) {
        starts[n++] = at;
        if (patch && !over--) {
            page[patch] = (u8)(at - patch - 1);
            patch = 0;
        }
        if (random_next(r) % 9 == 0 && !patch) {
            page[at] = (u8)(0x70 | (random_next(r) & 15));
            unsigned back = starts[n - 1 - random_next(r) % (n < 8 ? n : 8)];
            page[at + 1] = (u8)(random_next(r) % 8 || at + 2 - back > 128 ? 0 : back - at - 2);
            if (s->hostile && random_next(r) & 1)
                page[at + 1] = (u8)random_next(r);
            patch = page[at + 1] ? 0 : at + 1;
            over = (unsigned)(random_next(r) % 6);
            at += 2;
        } else if (s->rows && (row.left || random_next(r) % 12 == 0)) {
            at += row_instruction(&row, r, code32(s), page + at);
        } else if (s->hostile && random_next(r) % 6 == 0) {
            at += hostile_instruction(r, page + at);
        } else {
            at += scene_instruction(r, code32(s), page + at);
        }
    }
    memset(page + at, 0x90, PAGE_SIZE - at);
}

/* Registers of 32-bit code: some with an upper half, some within reach of 4 GiB's end. */
static u64 narrow_value(const struct scene *s, struct random *r, u64 v)
{
    u64 n = random_next(r);
    if (s->world != WORLD_PLAIN && n % 8 == 0)
        v = (u32)(n >> 8 & 31) - 16u;
    return n & 64 ? v | n << 32 : v;
}

void scene_make(struct scene *s, struct random *r, unsigned code, const u64 *host, unsigned host_n)
{
    bool narrow = code == CODE_32 || (code & CODE_32 && random_next(r) & 1);
    s->world = narrow ? WORLD_COMPAT + random_next(r) % 4 : WORLD_64;
    s->top = narrow && s->world != WORLD_PLAIN && random_next(r) % 8 == 0;
    s->dense = narrow && s->world != WORLD_PLAIN && random_next(r) & 1;
    s->hostile = random_next(r) & 1;
    make_code(s, r);
    for (unsigned k = 0; k < 16; k++) {
        s->values[k] = random_next(r) & 3 ? SCENE_DATA + (random_next(r) & 0x7fff) : random_next(r);
        if (narrow)
            s->values[k] = narrow_value(s, r, s->values[k]);
    }
    for (unsigned k = 0; s->hostile && k < 16; k++)
        if (random_next(r) % 6 == 0)
            s->values[k] = host[random_next(r) % host_n] + (random_next(r) & 1 ? 0 : random_next(r) % 64);
        else if (random_next(r) % 4 == 0)
            s->values[k] = RIG_CODE + random_next(r) % PAGE_SIZE;
    s->cpl = random_next(r) & 1 ? 3 : 0;
    s->limit = random_next(r) & 1 ? LONG : STEPS + random_next(r) % STEPS;
    /* Some begin so near to the page's end that an instruction crosses it. */
    s->shift = random_next(r) & 3 ? 0 : (unsigned)(PAGE_SIZE - 1 - random_next(r) % 48);
    s->noise.state = random_next(r) | 1;
    struct random p = {s->noise.state * 0x9e3779b97f4a7c15ull | 1};
    s->patches = random_next(&p) % 8 == 0;
    if (s->patches)
        scene_patches(s, &p);
}

/* The x87's exceptions are masked, mostly; else the interpreter's instructions are what they are compared
 * with. */
static void set_fpu(struct fpu *f, struct random *r)
{
    static const u16 exponents[8] = {0x3fff, 0x4005, 0xbffe, 0, 0x7fff, 0x4030, 0x3ff0, 0xffff};
    f->fcw = (u16)(0x40 | (random_next(r) & 7 ? 0x3f : random_next(r) & 0x3f) | (random_next(r) & 0xf00));
    f->fsw = (u16)(random_next(r) & 0x7f7f);
    f->fsw |= f->fsw & ~f->fcw & 0x3f ? 0x8080 : 0;
    f->ftw = (u8)(random_next(r) & 3 ? random_next(r) | random_next(r) : random_next(r));
    f->fip = 0x1234, f->fdp = 0x5678, f->fop = 0x123;
    for (unsigned k = 0; k < 8; k++) {
        memset(f->st[k], 0, sizeof f->st[k]);
        st64(f->st[k], random_next(r) | (random_next(r) & 7 ? 1ull << 63 : 0));
        st16(f->st[k] + 8, exponents[random_next(r) & 7]);
    }
}

/* ADD qword [rsp], 1 and IRETQ: on at the next byte. An error code is popped before. Likewise in 32-bit code. */
static void handlers_that_return(struct control_rig *k)
{
    static const u8 plain64[] = {0x48, 0x83, 0x04, 0x24, 1, 0x48, 0xcf}, pop64[] = {0x48, 0x83, 0xc4, 8},
                    plain32[] = {0x83, 0x04, 0x24, 1, 0xcf, 0x90, 0x90}, pop32[] = {0x83, 0xc4, 4, 0x90};
    bool wide = cpu_long_mode(k->rig.c);
    const u8 *plain = wide ? plain64 : plain32, *pop = wide ? pop64 : pop32;
    static const u32 with_error =
        1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17 | 1u << 21;
    for (unsigned v = 0; v < 256; v++) {
        u8 *at = k->rig.m.base + rig_handler((u8)v);
        bool error = v < 32 && with_error >> v & 1;
        memcpy(at, pop, sizeof pop64);
        memcpy(at + (error ? sizeof pop64 : 0), plain, sizeof plain64);
        rig_gate(&k->rig, (u8)v, v & 1 ? 0xee : 0x8e, wide ? GDT_CODE0_64 : GDT_CODE0, rig_handler((u8)v), wide);
    }
}

static void set_hostile(const struct scene *s, struct control_rig *k, struct random *r)
{
    struct cpu *c = k->rig.c;
    u8 *base = k->rig.m.base;
    c->cr4 |= CR4_FSGSBASE | (random_next(r) & 1 ? CR4_PKE : 0) | (random_next(r) & 3 ? 0 : CR4_UMIP);
    c->star = (u64)GDT_CODE0_64 << 32 | (u64)(GDT_DATA3 | 3) << 48;
    c->lstar = RIG_CODE + random_next(r) % PAGE_SIZE;
    c->sfmask = random_next(r) & 0x3f7fd7;
    c->sysenter_cs = random_next(r) & 1 ? GDT_CODE0 : 0;
    c->sysenter_eip = RIG_CODE + random_next(r) % PAGE_SIZE;
    c->sysenter_esp = SCENE_DATA + 0x4000;
    c->kernel_gs_base = s->values[random_next(r) & 15];
    for (unsigned g = SEG_FS; g <= SEG_GS; g++)
        if (random_next(r) & 1)
            c->seg[g].base = s->values[random_next(r) & 15];
    for (unsigned n = random_next(r) & 7 ? 0 : 24; n--;) { /* tables at garbage */
        static const u32 tables[] = {RIG_GDT, RIG_IDT, RIG_TSS};
        base[tables[random_next(r) % 3] + random_next(r) % 0x200] = (u8)random_next(r);
    }
    for (unsigned at = 0x1000; at < 0x8000; at += 0x400) { /* images for XRSTOR, some of them possible */
        u8 *image = base + SCENE_DATA + at;
        memset(image + 512, 0, 64);
        st64(image + 512, random_next(r) & 1 ? random_next(r) & 7 : random_next(r) & 0x2ff);
        st64(image + 520, random_next(r) & 3 ? 0 : random_next(r));
        st32(image + 24, random_next(r) & 0xffff);
    }
}

/* A second mapping at the end of 4 GiB: of data, or of the code. */
static void map_top(const struct scene *s, struct rig *r)
{
    u64 frame = (s->top ? RIG_CODE : TOP_FRAME) | 7;
    unsigned width = s->world == WORLD_PAGED ? 4 : 8;
    memset(r->m.base + TOP_TABLES, 0, 0x2000);
    rig_put(r, TOP_TABLES + PAGE_SIZE - width, s->world == WORLD_PAGED ? frame : (TOP_TABLES + 0x1000) | 7, width);
    if (s->world == WORLD_PAGED)
        rig_put(r, RIG_PT + PAGE_SIZE - 4, TOP_TABLES | 7, 4);
    else
        rig_put(r, TOP_TABLES + 0x1000 + PAGE_SIZE - 8, frame, 8);
    if (s->world == WORLD_COMPAT)
        rig_put(r, RIG_PT + 0x1000 + 3 * 8, TOP_TABLES | 7, 8);
    if (s->world == WORLD_PAE)
        r->c->pdpte[3] = TOP_TABLES | 1;
}

/* The lowest 2 MiB by PAE's tables. */
static void map_pae(struct rig *r)
{
    struct cpu *c = r->c;
    memset(r->m.base + RIG_PT, 0, 0x4000);
    c->cr4 |= CR4_PAE;
    for (unsigned n = 0; n < 4; n++)
        c->pdpte[n] = 0;
    c->pdpte[0] = (RIG_PT + 0x2000) | 1;
    rig_put(r, RIG_PT, c->pdpte[0], 8);
    rig_put(r, RIG_PT + 0x18, TOP_TABLES | 1, 8);
    rig_put(r, RIG_PT + 0x2000, (RIG_PT + 0x3000) | 7, 8);
    for (u64 p = 0; p < MIB(2); p += PAGE_SIZE)
        rig_put(r, RIG_PT + 0x3000 + (p >> PAGE_SHIFT) * 8, p | (p == RIG_ABSENT ? 0 : 7), 8);
}

/* Every 4 MiB are the same RAM: wherever random code reaches, something is there. */
static void map_dense(const struct scene *s, struct rig *r)
{
    struct cpu *c = r->c;
    memcpy(r->m.base + (TOP_PAGE & (MIB(4) - 1)), s->code, PAGE_SIZE);
    if (s->world == WORLD_PAGED) {
        c->cr4 |= CR4_PSE;
        for (u64 n = 0; n < 1024; n++)
            rig_put(r, RIG_PT + 4 * n, LARGE, 4);
        return;
    }
    for (u64 n = 0; n < 512; n++)
        rig_put(r, TOP_TABLES + 8 * n, (n & 1 ? MIB(2) : 0) | LARGE, 8);
    for (u64 n = 0; n < 4; n++)
        if (s->world == WORLD_COMPAT)
            rig_put(r, RIG_PT + 0x1000 + 8 * n, TOP_TABLES | 7, 8);
        else
            rig_put(r, RIG_PT + 8 * n, c->pdpte[n] = TOP_TABLES | 1, 8);
}

/* From the rig's mode, which is 64-bit or protected with paging, to the scene's. */
static void set_narrow(const struct scene *s, struct control_rig *k, struct random *r)
{
    struct cpu *c = k->rig.c;
    if (s->world == WORLD_COMPAT)
        c->seg[SEG_CS] = rig_seg(&k->rig, s->cpl ? GDT_CODE3 : GDT_CODE0);
    c->seg[SEG_CS].sel |= (u16)s->cpl;
    if (s->world == WORLD_PLAIN)
        c->cr0 &= ~(u64)CR0_PG;
    if (s->world == WORLD_PAE)
        map_pae(&k->rig);
    if (s->dense)
        map_dense(s, &k->rig);
    else if (s->world != WORLD_PLAIN)
        map_top(s, &k->rig);
    for (unsigned g = SEG_FS; g <= SEG_GS; g++) {
        u64 n = random_next(r);
        c->seg[g].base = n & 3 ? (u32)s->values[n >> 8 & 15] : 0;
        if (n % 16 == 5)
            c->seg[g].limit = 0x1fffff;
        if (n % 16 == 6)
            c->seg[g].attr &= (u16)~SEG_RW;
    }
    if (s->top)
        c->rip = TOP_PAGE;
    tlb_flush_all(c);
}

void scene_set(const struct scene *s, struct control_rig *k)
{
    struct cpu *c = k->rig.c;
    struct random r = s->noise;
    u8 *base = k->rig.m.base;
    memset(base, 0, MIB(4));
    rig_reset(&k->rig, s->world == WORLD_64 || s->world == WORLD_COMPAT, s->cpl);
    c->cr4 |= CR4_OSFXSR | CR4_OSXSAVE | CR4_OSXMMEXCPT;
    c->cr0 |= CR0_NE;
    c->xcr0 = 7;
    c->pkru = 0;
    c->icount = 0;
    c->rep_at = UINT64_MAX;
    c->kernel_gs_base = c->star = c->lstar = c->cstar = c->sfmask = 0;
    k->apic_base = 0xfee00900, k->deadline = k->tpr = 0;
    for (unsigned v = 0; v < 256; v++)
        base[RIG_HANDLER + 16 * v] = 0xf4; /* HLT ends it */
    memcpy(base + RIG_CODE + s->shift, s->code, PAGE_SIZE);
    if (code32(s))
        set_narrow(s, k, &r);
    c->rip += s->shift;
    for (unsigned g = 0; g < 16; g++)
        if (g != RSP)
            c->gpr[g].q = s->values[g];
    c->gpr[RSP].q = SCENE_DATA + 0x8000 + (s->values[RSP] & 0xff8);
    for (unsigned n = 0; n < 0x10000; n += 8)
        st64(base + SCENE_DATA + n, s->values[n >> 3 & 15] * 0x9e3779b97f4a7c15ull + n);
    memcpy(c->fpu.ymm, base + SCENE_DATA, sizeof c->fpu.ymm);
    set_fpu(&c->fpu, &r);
    if (s->hostile || s->dense)
        handlers_that_return(k);
    if (s->hostile)
        set_hostile(s, k, &r);
    cpu_update_mode(c);
}
