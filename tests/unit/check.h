/* Assertions that say what differs. A program of tests ends with `return check_done();`. */
#ifndef UNIT_CHECK_H
#define UNIT_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One counter per program: each test program is a single translation unit with regard to it. */
static unsigned check_failures;

static inline void check_that(bool ok, const char *what, const char *file, int line)
{
    if (ok)
        return;
    check_failures++;
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
}

static inline void check_equal(uint64_t got, uint64_t want, const char *what, const char *file, int line)
{
    if (got == want)
        return;
    check_failures++;
    fprintf(stderr, "%s:%d: %s is %" PRIu64 " (0x%" PRIx64 "), not %" PRIu64 " (0x%" PRIx64 ")\n", file, line,
            what, got, got, want, want);
}

static inline void check_string(const char *got, const char *want, const char *what, const char *file,
                                int line)
{
    if (!strcmp(got, want))
        return;
    check_failures++;
    fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", file, line, what, got, want);
}

#define CHECK(expr)          check_that((expr), #expr, __FILE__, __LINE__)
#define CHECK_EQ(got, want)  check_equal((uint64_t)(got), (uint64_t)(want), #got, __FILE__, __LINE__)
#define CHECK_STR(got, want) check_string((got), (want), #got, __FILE__, __LINE__)

static inline int check_done(void)
{
    if (check_failures)
        fprintf(stderr, "%u checks failed\n", check_failures);
    return check_failures ? 1 : 0;
}

#endif
