/* The rows of the guest suite. The same static program runs them natively, in Trine and in its peers
 * (bench/suite). */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct setting {
    const char *root; /* the Debian tree to enter for programs; null: none */
};

/* Does the work N times; false: it did not work. What is not the row's work is done before, by prepare. */
typedef bool row_run(uint64_t n);
typedef bool row_prepare(const struct setting *s);

struct row {
    const char *name, *unit; /* unit: what is counted, in words */
    row_prepare *prepare;    /* may be null */
    row_run *run;
    bool needs_root;
    bool whole; /* too long to repeat inside one sample: n is 1 */
    bool asked; /* only when named */
};

extern const struct row rows_cpu[], rows_os[], rows_program[]; /* each ends with a nameless row */

bool ended_well(pid_t pid); /* waits for it */
pid_t vfork_exec(char *const argv[], char *const env[]);
void sink(uint64_t v); /* keeps the compiler from leaving work out */

#endif
