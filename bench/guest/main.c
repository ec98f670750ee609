/* Runs rows and times each with this system's own clock.
 *
 *   suite-rows [--root TREE] [--samples N] [--ms N] [--list] [ROW]...
 *
 * For each sample of each row, two lines: `row-begin NAME`, sent before the work starts, and `row NAME N NS`:
 * N units of work took NS nanoseconds by CLOCK_MONOTONIC; bench/suite compares that with the time between the
 * two lines by the host's clock. Short rows choose N so that a sample takes about --ms milliseconds. A row
 * that cannot run here says `row-skip NAME WHY`, one that fails `row-fail NAME`. Exit status: 0 no row
 * failed; 1 one did; 2 wrong usage. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "rows.h"

/* Standard input and output of the programs are /dev/null; what is reported goes out here. */
static FILE *report_open(void)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), null = open("/dev/null", O_RDWR);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return NULL;
    setvbuf(f, NULL, _IOLBF, 0);
    return f;
}

static const struct row *const families[] = {rows_os, rows_cpu, rows_program};
#define FAMILIES (sizeof families / sizeof *families)

void sink(uint64_t v)
{
    __asm__ volatile("" : : "r"(v) : "memory");
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* How many units take about TARGET_NS; 0: the row fails. */
static uint64_t units_for(const struct row *r, uint64_t target_ns)
{
    if (r->whole)
        return 1;
    for (uint64_t n = 1;;) {
        uint64_t start = now_ns();
        if (!r->run(n))
            return 0;
        uint64_t took = now_ns() - start + 1;
        if (took >= target_ns / 4 || n >= 1ull << 32) {
            uint64_t want = (uint64_t)((double)n * (double)target_ns / (double)took);
            return want ? want : 1;
        }
        n *= took < target_ns / 64 ? 8 : 2;
    }
}

static bool row_measure(FILE *out, const struct row *r, const struct setting *s, unsigned samples,
                        uint64_t target_ns)
{
    if (r->needs_root && !s->root) {
        fprintf(out, "row-skip %s no Debian tree\n", r->name);
        return true;
    }
    uint64_t n = !r->prepare || r->prepare(s) ? units_for(r, target_ns) : 0;
    for (unsigned k = 0; k < samples && n; k++) {
        fprintf(out, "row-begin %s\n", r->name);
        tcdrain(fileno(out)); /* the line has left when the clock starts */
        uint64_t start = now_ns();
        bool ok = r->run(n);
        uint64_t took = now_ns() - start;
        if (!ok)
            n = 0;
        else
            fprintf(out, "row %s %llu %llu\n", r->name, (unsigned long long)n, (unsigned long long)took);
    }
    if (!n)
        fprintf(out, "row-fail %s\n", r->name);
    return n;
}

static const struct row *row_find(const char *name)
{
    for (size_t f = 0; f < FAMILIES; f++)
        for (const struct row *r = families[f]; r->name; r++)
            if (!strcmp(r->name, name))
                return r;
    return NULL;
}

static void rows_list(void)
{
    for (size_t f = 0; f < FAMILIES; f++)
        for (const struct row *r = families[f]; r->name; r++)
            printf("%s\t%s\t%s\n", r->name, r->needs_root ? "debian" : r->asked ? "asked" : "alone", r->unit);
}

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "trine: suite-rows: %s %s\n", what, value);
    return 2;
}

int main(int argc, char **argv)
{
    struct setting s = {0};
    unsigned long samples = 3, ms = 50;
    int k = 1;
    for (; k < argc && argv[k][0] == '-'; k++) {
        if (!strcmp(argv[k], "--list")) {
            rows_list();
            return 0;
        }
        if (k + 1 == argc)
            return usage("option without value or unknown:", argv[k]);
        char *end = argv[k + 1];
        if (!strcmp(argv[k], "--root"))
            s.root = argv[k + 1];
        else if (!strcmp(argv[k], "--samples"))
            samples = strtoul(argv[k + 1], &end, 10);
        else if (!strcmp(argv[k], "--ms"))
            ms = strtoul(argv[k + 1], &end, 10);
        else
            return usage("unknown option", argv[k]);
        if (strcmp(argv[k], "--root") && (*end || end == argv[k + 1] || !samples || !ms))
            return usage("not a number above 0:", argv[k + 1]);
        k++;
    }
    for (int check = k; check < argc; check++)
        if (!row_find(argv[check]))
            return usage("no row", argv[check]);
    FILE *out = report_open();
    if (!out)
        return usage("cannot use", "/dev/null");
    if (s.root && (chroot(s.root) || chdir("/")))
        return usage("cannot enter", s.root);
    bool ok = true;
    if (k < argc) {
        for (; k < argc; k++)
            ok &= row_measure(out, row_find(argv[k]), &s, (unsigned)samples, ms * 1000000);
    } else {
        for (size_t f = 0; f < FAMILIES; f++)
            for (const struct row *r = families[f]; r->name; r++)
                ok &= r->asked || row_measure(out, r, &s, (unsigned)samples, ms * 1000000);
    }
    return ok ? 0 : 1;
}
