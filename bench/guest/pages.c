/* Writes random pages and looks whether each holds what was written last: tools/memory-soak's other half.
 *
 *   random-pages SEED MIB SECONDS [DISK]   one line a second of `pages ...` counts, `pages-done ...` at the end; `wrong: ...` for a page that holds something else
 *   random-pages disk FILE                 makes the disk's contents (anywhere)
 *
 * A page's contents follow from its record alone: bytes of its own, bytes that many pages and other guests have too, zeros, or a block of DISK, read
 * past the page cache; then one word of it may be altered. Nine visits in ten go to an eighth of the pages, which wanders; the rest stand still for long enough to be shared or paged out.
 * Chunks of 2 MiB are given to the system, and taken again. Exit status: 0; 1 a page was wrong, or the system failed; 2 wrong usage. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, CHUNK = 512, BLOCKS = 1024, ALIKE = 64, SHOWN = 8 };
enum kind { NONE, OWN, SAME, ZERO, BLOCK, KINDS };

struct record {
    uint64_t word; /* what stands at `at` */
    uint32_t version;
    uint16_t at; /* WORDS: nothing was altered */
    uint8_t kind;
};

struct run {
    uint64_t seed, random;
    uint32_t pages, hot;
    uint64_t *arena;
    struct record *records;
    int disk;
    uint64_t written, altered, read, verified, given, taken, wrong;
};

static uint64_t mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void contents(uint64_t *page, enum kind kind, uint64_t seed, uint64_t number, uint32_t version)
{
    uint64_t state = kind == OWN ? seed ^ number << 32 ^ version : kind == SAME ? version % ALIKE : ~(uint64_t)(version % BLOCKS);
    for (int i = 0; i < WORDS; i++)
        page[i] = kind == NONE || kind == ZERO ? 0 : mix(&state);
}

static uint64_t *page_at(const struct run *r, uint32_t n)
{
    return r->arena + (size_t)n * WORDS;
}

static void verify(struct run *r, uint32_t n)
{
    static uint64_t wanted[WORDS];
    const struct record *c = &r->records[n];
    const uint64_t *page = page_at(r, n);
    contents(wanted, c->kind, r->seed, n, c->version);
    if (c->at < WORDS)
        wanted[c->at] = c->word;
    r->verified++;
    if (!memcmp(page, wanted, PAGE))
        return;
    int at = 0;
    while (at < WORDS - 1 && page[at] == wanted[at])
        at++;
    if (r->wrong++ < SHOWN)
        printf("wrong: page %u, kind %d, version %u: word %d is %016llx, not %016llx\n", n, c->kind, c->version, at, (unsigned long long)page[at],
               (unsigned long long)wanted[at]);
}

static int renew(struct run *r, uint32_t n)
{
    struct record *c = &r->records[n];
    uint64_t chance = mix(&r->random) % 16;
    c->kind = chance < 7 ? OWN : chance < 11 ? SAME : chance < 13 ? ZERO : r->disk >= 0 ? BLOCK : OWN;
    c->version++;
    c->at = WORDS;
    r->written++;
    if (c->kind != BLOCK) {
        contents(page_at(r, n), c->kind, r->seed, n, c->version);
        return 1;
    }
    r->read++;
    return pread(r->disk, page_at(r, n), PAGE, (off_t)(c->version % BLOCKS) * PAGE) == PAGE;
}

/* A chunk goes to the system, one time in three, or, where it is there no more, is written anew. */
static int turn_over(struct run *r, uint32_t chunk)
{
    uint32_t first = chunk * CHUNK;
    int there = 0;
    for (uint32_t i = first; i < first + CHUNK; i++) {
        there += r->records[i].kind != NONE;
        verify(r, i);
    }
    if (there && mix(&r->random) % 3)
        return 1;
    if (there) {
        r->given += CHUNK;
        memset(&r->records[first], 0, CHUNK * sizeof *r->records);
        for (uint32_t i = first; i < first + CHUNK; i++)
            r->records[i].at = WORDS;
        return madvise(page_at(r, first), (size_t)CHUNK * PAGE, MADV_DONTNEED) == 0;
    }
    r->taken += CHUNK;
    for (uint32_t i = first; i < first + CHUNK; i++)
        if (!renew(r, i))
            return 0;
    return 1;
}

static int visit(struct run *r)
{
    uint64_t chance = mix(&r->random), eighth = r->pages / 8;
    uint32_t n = chance % 10 ? (uint32_t)((r->hot + (chance >> 8) % eighth) % r->pages) : (uint32_t)((chance >> 8) % r->pages);
    if (chance >> 48 == 0)
        r->hot = (uint32_t)(mix(&r->random) % r->pages);
    verify(r, n);
    struct record *c = &r->records[n];
    if (c->kind == NONE)
        return 1;
    if ((chance >> 40 & 7) < 2)
        return renew(r, n);
    if ((chance >> 40 & 7) == 2 && c->at == WORDS) {
        c->at = (uint16_t)(mix(&r->random) % WORDS);
        c->word = page_at(r, n)[c->at] = mix(&r->random);
        r->altered++;
    }
    return 1;
}

static void tell(const struct run *r, const char *what)
{
    printf("%s written %llu altered %llu read %llu verified %llu given %llu taken %llu wrong %llu\n", what, (unsigned long long)r->written, (unsigned long long)r->altered,
           (unsigned long long)r->read, (unsigned long long)r->verified, (unsigned long long)r->given, (unsigned long long)r->taken, (unsigned long long)r->wrong);
    fflush(stdout);
}

static int failed(const char *what)
{
    perror(what);
    return 1;
}

static int write_disk(const char *name)
{
    uint64_t page[WORDS];
    FILE *f = fopen(name, "wb");
    if (!f)
        return failed(name);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        contents(page, BLOCK, 0, 0, i);
        fwrite(page, PAGE, 1, f);
    }
    return fclose(f) ? failed(name) : 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "disk"))
        return write_disk(argv[2]);
    if (argc < 4 || atoi(argv[2]) < 16) {
        fprintf(stderr, "usage: random-pages SEED MIB SECONDS [DISK] | random-pages disk FILE\n");
        return 2;
    }
    struct run r = {.seed = strtoull(argv[1], NULL, 0), .pages = (uint32_t)atoi(argv[2]) * 256, .disk = -1};
    time_t end = time(NULL) + atoi(argv[3]), told = time(NULL);
    r.random = r.seed << 32;
    r.records = calloc(r.pages, sizeof *r.records);
    r.arena = mmap(NULL, (size_t)r.pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!r.records || r.arena == MAP_FAILED)
        return failed("memory");
    if (argc > 4 && (r.disk = open(argv[4], O_RDONLY | O_DIRECT)) < 0)
        return failed(argv[4]);
    for (uint32_t i = 0; i < r.pages; i++) {
        r.records[i].at = WORDS;
        if (!renew(&r, i))
            return failed("disk");
    }
    tell(&r, "pages-filled");
    while (time(NULL) < end) {
        for (int i = 0; i < 256; i++)
            if (!visit(&r))
                return failed("disk");
        if (time(NULL) != told) {
            told = time(NULL);
            if (!turn_over(&r, (uint32_t)(mix(&r.random) % (r.pages / CHUNK))))
                return failed("chunk");
            tell(&r, "pages");
        }
    }
    for (uint32_t i = 0; i < r.pages; i++)
        verify(&r, i);
    tell(&r, "pages-done");
    return r.wrong != 0;
}
