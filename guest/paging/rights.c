/* The rights of one access, every combination at every level: U/S, R/W and XD of the entry; CR0.WP, CR4.SMEP,
 * SMAP and PKE, EFLAGS.AC, AD and WD of the key; read, write, fetch; rings 0 and 3. Vector, error code and
 * CR2. SDM 3A 5.6 (rights), 5.7 (error codes). Then what is implicit, and so a supervisor's access in any
 * ring. */
#include "paging.h"

#define CPU_HAS_PKU cpu_has(7, 0, 'c', 3)
#define CR4_PKE     (1u << 22)
enum { READ, WRITE, FETCH, KEY = 5 };

struct rights {
    bool user, writable, nx;         /* of the entry */
    bool wp, smep, smap, ac;         /* of the processor */
    bool pke, access_off, write_off; /* of the key */
};

struct attempt {
    unsigned kind;
    bool user;
};

static bool key_denies(struct rights r, struct attempt a)
{
    if (!r.pke || !r.user || a.kind == FETCH)
        return false;
    return r.access_off || (r.write_off && a.kind == WRITE && (a.user || r.wp));
}

static bool mode_denies(struct rights r, struct attempt a)
{
    if (a.user)
        return !r.user || (a.kind == WRITE && !r.writable) || (a.kind == FETCH && r.nx);
    if (a.kind == FETCH)
        return r.nx || (r.smep && r.user);
    return (r.user && r.smap && !r.ac) || (a.kind == WRITE && !r.writable && r.wp);
}

/* NO_ERROR: the access is allowed. */
static word expected(struct rights r, struct attempt a, bool nxe)
{
    bool key = key_denies(r, a);
    if (!key && !mode_denies(r, a))
        return NO_ERROR;
    return PF_P | (a.kind == WRITE ? PF_W : 0) | (a.user ? PF_U : 0) |
           (a.kind == FETCH && (nxe || r.smep) ? PF_I : 0) | (key ? PF_PK : 0);
}

static void pkru_set(struct rights r)
{
    uint32_t v = (r.access_off ? 1u : 0u) << 2 * KEY | (r.write_off ? 2u : 0u) << 2 * KEY;
    if (r.pke)
        __asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(v), "c"(0), "d"(0) : "memory");
}

static const struct snip *snip_both, *snip_nop;
enum { WRITE_AT = 4 }; /* the write in snip_both; before it the read, which ends with an exit of its own */

static void attempt(unsigned format, unsigned level, struct rights r, struct attempt a)
{
    bool nxe = CPU_HAS_NX && format != PAGES_32;
    word cr0 = read_cr0(), cr4 = read_cr4(), at = WINDOW_PAGE(0) + (a.kind == FETCH ? 0 : 0x80);
    u64 old = entry_get(level, 0), entry = old & ~(PTE_U | PTE_W);
    struct context c;
    entry |= (r.user ? PTE_U : 0) | (r.writable ? PTE_W : 0) | (r.nx ? PTE_NX : 0);
    entry_set(level, 0, level == 1 && r.pke ? entry | (u64)KEY << 59 : entry);
    if (level > 1 && r.pke)
        entry_set(1, 0, FRAME(0) | PTE_ALL | (u64)KEY << 59);
    write_cr0(r.wp ? cr0 | CR0_WP : cr0 & ~(word)CR0_WP);
    paging_cr4(cr4 | (r.smep ? CR4_SMEP : 0u) | (r.smap ? CR4_SMAP : 0u) | (r.pke ? CR4_PKE : 0u));
    flush();
    (a.user ? context_set_user : context_set)(&c, snip_both);
    word base = a.user ? ELSEWHERE : snip_both->start;
    c.ip = a.kind == FETCH ? at : base + (a.kind == WRITE ? WRITE_AT : 0);
    c.bx = at;
    c.flags |= r.ac ? FLAG_AC : 0;
    write_cr2(0);
    pkru_set(r);
    context_run(&c);
    pkru_set((struct rights){.pke = r.pke});
    paging_cr4(cr4);
    write_cr0(cr0);
    entry_set(level, 0, old);
    flush();
    word want = expected(r, a, nxe);
    bool ok = c.vector == (want == NO_ERROR ? (word)EXIT : (word)PF);
    if (ok && want != NO_ERROR)
        ok = c.error == want && c.cr2 == at;
    if (ok)
        return;
    print("# format %u level %u: U %u W %u XD %u WP %u SMEP %u SMAP %u AC %u PKE %u AD %u WD %u kind %u user "
          "%u\n",
          format, level, r.user, r.writable, r.nx, r.wp, r.smep, r.smap, r.ac, r.pke, r.access_off,
          r.write_off, a.kind, a.user);
    CHECK_EQUAL("vector", want == NO_ERROR ? (word)EXIT : (word)PF, c.vector);
    CHECK_EQUAL("error code", want, c.error);
    CHECK_EQUAL("CR2", at, c.cr2);
}

/* BITS chooses the rights. False: this processor or format cannot have them. */
static bool rights_of(unsigned format, unsigned bits, struct rights *r)
{
    *r = (struct rights){.user = bits & 1,
                         .writable = bits & 2,
                         .nx = bits & 4,
                         .wp = bits & 8,
                         .smep = bits & 16,
                         .smap = bits & 32,
                         .ac = bits & 64,
                         .pke = bits & 128,
                         .access_off = bits & 256,
                         .write_off = bits & 512};
    if ((r->nx && (!CPU_HAS_NX || format == PAGES_32)) || (r->smep && !CPU_HAS_SMEP) ||
        (r->smap && !CPU_HAS_SMAP))
        return false;
    if (r->pke)
        return CPU_HAS_PKU && format == PAGES_4LEVEL;
    return !r->access_off && !r->write_off;
}

TEST(all_rights)
{
    static const unsigned formats[] = {WORLD == 64 ? PAGES_4LEVEL : PAGES_32,
                                       WORLD == 64 ? PAGES_4LEVEL : PAGES_PAE};
    snip_both = SNIP("mov (" BX "), %eax; int $0x30; movb $0x77, (" BX ")");
    snip_nop = SNIP("nop");
    for (unsigned i = WORLD == 64; i < 2; i++) {
        paging_on(formats[i], 0);
        user_code_elsewhere(1, snip_both);
        frame_code(0, snip_nop);
        entry_set(1, 0, FRAME(0) | PTE_ALL);
        /* PDPTEs of PAE have no rights. */
        unsigned levels = formats[i] == PAGES_PAE ? 2 : paging_levels();
        for (unsigned level = 1; level <= levels; level++) {
            for (unsigned bits = 0; bits < 1024; bits++) {
                struct rights r;
                for (unsigned n = 0; n < 6 && rights_of(formats[i], bits, &r); n++)
                    attempt(formats[i], level, r, (struct attempt){n % 3, n / 3});
            }
        }
        paging_off();
    }
}

/* Descriptor tables, TSS and the stack of an inner ring are read as the supervisor, whatever CPL: U/S does
 * not keep ring 3 from them, SMAP forbids them on user pages, and AC does not help. SDM 3A 5.6, "implicit".
 */
TEST(implicit_supervisor)
{
    struct context c;
    struct table old, moved;
    const struct snip *load = SNIP("mov %eax, %fs");
    for (unsigned user_page = 0; user_page <= 1; user_page++) {
        for (unsigned smap = 0; smap <= 1; smap++) {
            for (unsigned ac = 0; ac <= 1; ac++) {
                if (smap && !CPU_HAS_SMAP)
                    continue;
                paging_on(PAGES_NATIVE, 0);
                user_code_elsewhere(1, load);
                __asm__ volatile("sgdt %0" : "=m"(old));
                /* A copy of the GDT over two pages: SEL_FREE begins the second one. */
                word cut = PAGE_SIZE - SEL_FREE;
                entry_set(1, 1, FRAME(3) | PTE_P | PTE_W | (user_page ? PTE_U : 0));
                memory_copy(frames[2] + cut, gdt, SEL_FREE);
                memory_copy(frames[3], (uint8_t *)gdt + SEL_FREE, sizeof(gdt) - SEL_FREE);
                entry_set(1, 0, FRAME(2) | PTE_P | PTE_W);
                *(uint64_t *)(void *)frames[3] = *descriptor_at(SEL_USER_DATA) | 1ull << 40;
                flush();
                moved = (struct table){old.limit, WINDOW + cut};
                __asm__ volatile("lgdt %0" : : "m"(moved));
                paging_cr4(read_cr4() | (smap ? CR4_SMAP : 0u));
                context_set_user(&c, load);
                c.ip = ELSEWHERE;
                c.ax = SEL_FREE | 3;
                c.flags |= ac ? FLAG_AC : 0;
                context_run(&c);
                paging_cr4(read_cr4() & ~(word)CR4_SMAP);
                __asm__ volatile("lgdt %0" : : "m"(old));
                paging_off();
                bool denied = user_page && smap;
                CHECK_EQUAL("[bochs] a descriptor read in ring 3", denied ? PF : EXIT, c.vector);
                if (denied) {
                    CHECK_EQUAL("[bochs] error code: no U", PF_P, c.error);
                    CHECK_EQUAL("[bochs] CR2", WINDOW_PAGE(1), c.cr2);
                }
            }
        }
    }
}
