/* trine: picks the verb. Each verb is one file. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "trine.h"

static const struct verb *const verbs[] = {&verb_run, &verb_engines, &verb_check, &verb_audit, &verb_save,
                                          &verb_show, &verb_memory, &verb_memory_broker};
#define VERBS (sizeof verbs / sizeof verbs[0])

void complain(const char *fmt, ...)
{
    char line[8192]; /* a file's name may have 4096 bytes */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    fprintf(stderr, "trine: %s\n", line);
}

int finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_OK;
    complain("standard output: %s", strerror(errno));
    return EXIT_HOST_FAILED;
}

static int print_help(void)
{
    printf("Usage: trine VERB [OPTION]...\n\n");
    for (size_t i = 0; i < VERBS; i++)
        printf("  %-16s  %s\n", verbs[i]->name, verbs[i]->summary);
    printf("\ntrine VERB --help tells a verb's options, trine --version the version.\n");
    return finish_output();
}

/* A standard descriptor that is closed would be given to the next file that is opened, and the guest's
 * console with it. */
static bool standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (!standard_descriptors())
        return EXIT_HOST_FAILED;
    signal(SIGXFSZ, SIG_IGN); /* a limit on files' sizes is an error of the write, with its line */
    if (argc < 2) {
        complain("no verb: see trine --help");
        return EXIT_WRONG_USAGE;
    }
    if (!strcmp(argv[1], "--help"))
        return print_help();
    if (!strcmp(argv[1], "--version")) {
        printf("trine %s\n", TRINE_VERSION);
        return finish_output();
    }
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(argv[1], verbs[i]->name))
            continue;
        for (int a = 2; a < argc && strcmp(argv[a], "--"); a++)
            if (!strcmp(argv[a], "--help")) {
                verbs[i]->help();
                return finish_output();
            }
        return verbs[i]->run(argc - 2, argv + 2);
    }
    complain("%s: unknown %s: see trine --help", argv[1], argv[1][0] == '-' ? "option" : "verb");
    return EXIT_WRONG_USAGE;
}
