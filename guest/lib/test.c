/* The test runner: command-line words, checks, TAP-like lines. */
#include "guest.h"

/* Of the running test. */
static struct {
    const char *name;
    const char *skipped;
    unsigned failures, knowns;
    struct {
        const char *what, *file;
        u64 expected, got;
        int line;
    } first;
} running;

/* The words of the command line after the first (the image's file name). */
static const char *word_next(const char *at, unsigned *length)
{
    while (*at == ' ')
        at++;
    for (*length = 0; at[*length] && at[*length] != ' ';)
        ++*length;
    return at;
}

static bool word_is(const char *at, unsigned length, const char *name)
{
    unsigned i = 0;
    for (; i < length; i++) {
        if (!name[i] || name[i] != at[i])
            return false;
    }
    return !name[i];
}

bool option_given(const char *name)
{
    unsigned length;
    const char *at = word_next(shared.cmdline, &length);
    while (*(at = word_next(at + length, &length))) {
        if (word_is(at, length, name))
            return true;
    }
    return false;
}

unsigned long option_number(const char *name, unsigned long otherwise)
{
    unsigned length;
    const char *at = word_next(shared.cmdline, &length);
    while (*(at = word_next(at + length, &length))) {
        unsigned i = 0;
        while (i < length && name[i] && at[i] == name[i])
            i++;
        if (name[i] || i >= length || at[i] != '=')
            continue;
        unsigned long value = 0, base = 10;
        if (length - i > 3 && at[i + 1] == '0' && at[i + 2] == 'x') {
            base = 16;
            i += 2;
        }
        while (++i < length) {
            char c = at[i];
            unsigned digit = c >= 'a' ? (unsigned)c - 'a' + 10 : (unsigned)c - '0';
            if (digit >= base)
                return otherwise;
            value = value * base + digit;
        }
        return value;
    }
    return otherwise;
}

static bool left_out(const char *name)
{
    unsigned length;
    const char *at = word_next(shared.cmdline, &length);
    while (*(at = word_next(at + length, &length)))
        if (length > 1 && *at == '-' && word_is(at + 1, length - 1, name))
            return true;
    return false;
}

/* A test is selected by NAME, by NAME.32 or NAME.64, or by the absence of any selecting word; -NAME leaves it out. */
static bool selected(const char *name)
{
    static const char *const suffix = WORLD == 64 ? ".64" : ".32";
    if (left_out(name))
        return false;
    if (!shared.selecting)
        return true;
    unsigned length;
    const char *at = word_next(shared.cmdline, &length);
    while (*(at = word_next(at + length, &length))) {
        if (word_is(at, length, name))
            return true;
        if (length > 3 && word_is(at + length - 3, 3, suffix) && word_is(at, length - 3, name))
            return true;
    }
    return false;
}

bool quirky(unsigned machines)
{
    return (machines & shared.quirks) != 0;
}

bool known(unsigned machines, const char *what)
{
    if (!quirky(machines))
        return false;
    print("# %s.%u: %s: not tried here KNOWN\n", running.name, WORLD, what);
    running.knowns++;
    return true;
}

void skip(const char *why)
{
    running.skipped = why;
}

/* The machines named in brackets at the beginning of a check's text. */
static unsigned quirks_of(const char *what)
{
    unsigned machines = 0;
    if (*what != '[')
        return 0;
    for (what++; *what && *what != ']';) {
        unsigned length = 0;
        while (what[length] && what[length] != ' ' && what[length] != ']')
            length++;
        machines |= (word_is(what, length, "qemu") ? QUIRK_QEMU : 0u) |
                    (word_is(what, length, "bochs") ? QUIRK_BOCHS : 0u);
        what += length + (what[length] == ' ');
    }
    return machines;
}

static void fail(const char *file, int line, const char *what, u64 expected, u64 got)
{
    bool known = quirky(quirks_of(what));
    print("# %s.%u: %s: expected %llx got %llx (%s:%d)%s\n", running.name, WORLD, what, expected, got, file,
          line, known ? " KNOWN" : "");
    if (known) {
        running.knowns++;
        return;
    }
    if (running.failures++ == 0) {
        running.first.what = what;
        running.first.expected = expected;
        running.first.got = got;
    }
}

bool check_equal_at(const char *file, int line, const char *what, u64 expected, u64 got)
{
    if (expected == got)
        return true;
    fail(file, line, what, expected, got);
    return false;
}

bool check_exit_at(const char *file, int line, const char *what, const struct context *c, unsigned vector,
                   word error, word ip)
{
    if (c->vector == vector && c->error == error && c->ip == ip)
        return true;
    print("# %s: vector %lu error %lx at %lx:%lx, not vector %u error %lx at %lx\n", what, c->vector,
          c->error, c->cs, c->ip, vector, error, ip);
    if (c->vector != vector)
        fail(file, line, what, vector, c->vector);
    else if (c->error != error)
        fail(file, line, what, error, c->error);
    else
        fail(file, line, what, ip, c->ip);
    return false;
}

bool run_fault_at(const char *file, int line, const char *what, const struct snip *s, struct context *c,
                  unsigned vector, word error)
{
    struct context own;
    if (!c) {
        context_set(&own, s);
        c = &own;
    }
    context_run(c);
    return check_exit_at(file, line, what, c, vector, error, s->at);
}

bool run_through_at(const char *file, int line, const char *what, const struct snip *s, struct context *c)
{
    struct context own;
    if (!c) {
        context_set(&own, s);
        c = &own;
    }
    context_run(c);
    return check_exit_at(file, line, what, c, EXIT, NO_ERROR, s->end + 2);
}

static void test_report(void)
{
    if (running.failures) {
        shared.failed++;
        print("not ok %s.%u: %s: expected %llx got %llx\n", running.name, WORLD, running.first.what,
              running.first.expected, running.first.got);
    } else if (running.skipped) {
        shared.skipped++;
        print("ok %s.%u # SKIP %s\n", running.name, WORLD, running.skipped);
    } else {
        shared.passed++;
        shared.known += running.knowns;
        print("ok %s.%u%s\n", running.name, WORLD, running.knowns ? " # KNOWN differences" : "");
    }
}

void tests_run(const struct test *first, const struct test *last)
{
    for (const struct test *t = first; t < last; t++) {
        if (shared.listing) {
            print("%s.%u\n", t->name, WORLD);
            continue;
        }
        if (!selected(t->name))
            continue;
        memory_set(&running, 0, sizeof(running));
        running.name = t->name;
        t->run();
        test_report();
    }
}

bool cpu_has(uint32_t leaf, uint32_t subleaf, char reg, unsigned bit)
{
    if (cpuid(leaf & 0x80000000u, 0).a < leaf)
        return false;
    struct cpuid r = cpuid(leaf, subleaf);
    uint32_t v = reg == 'a' ? r.a : reg == 'b' ? r.b : reg == 'c' ? r.c : r.d;
    return v >> bit & 1;
}

void *memory_set(void *to, int value, size_t n)
{
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory");
    return to;
}

void *memory_copy(void *to, const void *from, size_t n)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
    return to;
}

int memory_compare(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    for (; n; n--, x++, y++) {
        if (*x != *y)
            return *x < *y ? -1 : 1;
    }
    return 0;
}

/* What gcc may call by itself. */
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n)
{
    return memory_set(to, value, n);
}
void *memcpy(void *to, const void *from, size_t n)
{
    return memory_copy(to, from, n);
}
