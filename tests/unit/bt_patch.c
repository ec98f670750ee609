/* Loops that patch themselves: stores into their own page write one of a few versions to the same places by turns, the first one among them, or an immediate that
 * is another each time. So blocks are void, and their bytes come back or differ by immediates alone, all the time. */
#include "bt_scene.h"

enum { SITES = 4, VERSIONS = 3, WIDTH = 8, STORE = 20 /* bytes of two MOVs with an address and an immediate */ };

struct site {
    unsigned at;
    u8 version[VERSIONS][WIDTH];
};

struct maker {
    struct random *r;
    u8 *page;
    unsigned at, sites;
    bool narrow;
    u64 base; /* where the page's first byte is, for absolute addresses */
    struct site site[SITES];
};

static unsigned below(struct maker *m, unsigned n)
{
    return (unsigned)(random_next(m->r) >> 8) % n;
}

static void put(struct maker *m, u64 v, unsigned bytes)
{
    for (unsigned k = 0; k < bytes; k++)
        m->page[m->at++] = (u8)(v >> 8 * k);
}

/* Any register but RSP; RCX counts. */
static unsigned some_register(struct maker *m)
{
    static const u8 any[] = {0, 2, 3, 5, 6, 7};
    return any[below(m, sizeof any)];
}

/* Moves and arithmetic with immediates, flags that are used, memory at the stack's top. */
static void plain(struct maker *m)
{
    unsigned g = some_register(m), h = some_register(m), wide = m->narrow ? 0 : below(m, 2), high = m->narrow ? 0 : below(m, 4) == 0;
    u64 v = random_next(m->r);
    v = below(m, 3) ? v : v & 63;
    if (!m->narrow && (wide || high))
        put(m, 0x40 | wide << 3 | high, 1);
    switch (below(m, 9)) {
    case 0: put(m, 0xb8 | g, 1), put(m, v, wide ? 8 : 4); break; /* MOV, imm32 or imm64 */
    case 1: put(m, 0xc7 | (0xc0ull | g) << 8, 2), put(m, v, 4); break;
    case 2:
    case 3: put(m, 0x81 | (0xc0ull | below(m, 8) << 3 | g) << 8, 2), put(m, v, 4); break; /* ADD ... CMP, imm32 */
    case 4: put(m, 0x83 | (0xc0ull | below(m, 8) << 3 | g) << 8, 2), put(m, v, 1); break;
    case 5: put(m, 0x69 | (0xc0ull | g << 3 | h) << 8, 2), put(m, v, 4); break; /* IMUL */
    case 6: put(m, 0xf7 | (0xc0ull | g) << 8, 2), put(m, v, 4); break;          /* TEST */
    case 7: put(m, 0x01 | (0xc0ull | g << 3 | h) << 8 | (u64)below(m, 8) << 3, 2); break;
    default: put(m, 0x2444c7 | (u64)below(m, 16) << 27, 4), put(m, v, 4); /* MOV [rsp + n], imm32 */
    }
}

static void branch(struct maker *m)
{
    unsigned at;
    put(m, 0x70 | below(m, 16), 1);
    at = m->at++;
    for (unsigned n = below(m, 3); n--;)
        plain(m);
    m->page[at] = (u8)(m->at - at - 1);
}

/* A place to patch: an instruction that begins here, or what is behind its first bytes. */
static void site_here(struct maker *m)
{
    struct site *s = &m->site[m->sites++];
    unsigned from = m->at;
    plain(m);
    s->at = from + (below(m, 2) ? 0 : below(m, 3));
    while (m->at < s->at + WIDTH)
        put(m, 0x90, 1);
}

/* What each site is, what else it may be: another instruction, or one byte that differs. */
static void versions(struct maker *m)
{
    for (unsigned k = 0; k < m->sites; k++) {
        struct site *s = &m->site[k];
        u8 bytes[2 * WIDTH + 16];
        for (unsigned v = 0; v < VERSIONS; v++)
            memcpy(s->version[v], m->page + s->at, WIDTH);
        for (unsigned v = 1; v < VERSIONS; v++)
            if (below(m, 3) == 0) {
                struct maker other = {.r = m->r, .page = bytes, .narrow = m->narrow};
                memset(bytes, 0x90, sizeof bytes);
                plain(&other);
                memcpy(s->version[v], bytes, WIDTH);
            } else {
                s->version[v][1 + below(m, 5)] = (u8)random_next(m->r);
            }
    }
}

/* ModRM and displacement: the byte AT of the page. IMM: bytes of immediate that follow. */
static void operand(struct maker *m, unsigned reg, unsigned at, unsigned imm)
{
    put(m, reg << 3 | 5, 1);
    if (m->narrow)
        put(m, m->base + at, 4);
    else
        put(m, (u64)at - (m->at + 4 + imm), 4);
}

/* Room for a store, which is filled in when the versions are known. */
struct store {
    unsigned at, site;
};

static void store_here(struct maker *m, struct store *s, unsigned site)
{
    s->site = site;
    s->at = m->at;
    memset(m->page + m->at, 0x90, STORE);
    m->at += STORE;
}

static void store_fill(struct maker *m, const struct store *s)
{
    const struct site *x = &m->site[s->site];
    const u8 *v = x->version[below(m, VERSIONS)];
    m->at = s->at;
    switch (below(m, 5)) {
    case 0: /* MOV of a register that changes, over what may be an immediate */
        put(m, 0x89, 1), operand(m, 1, x->at + 1 + below(m, 2), 0);
        break;
    case 1: /* the immediate alone */
        put(m, 0xc7, 1), operand(m, 0, x->at + 2, 4);
        for (unsigned k = 0; k < 4; k++)
            put(m, v[2 + k], 1);
        break;
    default: /* all of it, by two stores */
        for (unsigned half = 0; half < 2; half++) {
            put(m, 0xc7, 1), operand(m, 0, x->at + 4 * half, 4);
            for (unsigned k = 0; k < 4; k++)
                put(m, v[4 * half + k], 1);
        }
    }
}

void scene_patches(struct scene *s, struct random *r)
{
    struct maker m = {.r = r, .page = s->code, .narrow = s->world != WORLD_64};
    struct store stores[8];
    unsigned n = 0, want = 1 + below(&m, SITES);
    m.base = (s->top && below(&m, 2) ? 0xfffff000u : RIG_CODE) + s->shift;
    while (m.sites < want || n < 2 + want / 2) {
        unsigned k = below(&m, 8);
        if (k < 2 && m.sites < want)
            site_here(&m);
        else if (k < 4 && n < 8 && m.sites)
            store_here(&m, &stores[n++], below(&m, m.sites));
        else if (k == 4)
            branch(&m);
        else if (k == 5 && below(&m, 4) == 0)
            m.at += scene_instruction(r, m.narrow, m.page + m.at);
        else
            plain(&m);
        if (m.at > PAGE_SIZE / 2) /* enough */
            break;
    }
    put(&m, m.narrow ? 0x41 : 0xc1ff, m.narrow ? 1 : 2); /* INC ECX */
    put(&m, 0xe9, 1);
    put(&m, (u64)0 - (m.at + 4), 4);
    unsigned end = m.at;
    versions(&m);
    for (unsigned k = 0; k < n; k++)
        store_fill(&m, &stores[k]);
    memset(m.page + end, 0x90, PAGE_SIZE - end);
}
