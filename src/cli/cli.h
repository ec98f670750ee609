/* What the verbs share. The command line uses nothing of Trine but include/trine.h. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses; the others are the guest's, 128 + signal, and --debug-exit's. */
enum { EXIT_OK = 0, EXIT_GUEST = 1, EXIT_WRONG_USAGE = 2, EXIT_HOST_FAILED = 3, EXIT_TIME_OVER = 124 };

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* One line `trine: ...` on standard error; control characters become '?'. */
void complain(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Flushes standard output; the verb's exit status. */
int finish_output(void);

struct verb {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the first argument after the verb */
    void (*help)(void);                /* to standard output */
};

extern const struct verb verb_run, verb_engines, verb_check, verb_audit, verb_save, verb_show, verb_memory, verb_memory_broker;

#endif
