/* trine engines: which engines there are, and which can run here. */
#include <stdio.h>

#include "cli/cli.h"
#include "trine.h"

static int engines_run(int argc, char **argv)
{
    const char *name, *first = NULL; /* `trine run` asks in the same order; asked once more, a measurement would cost as much again */
    char why[512];
    bool usable;
    if (argc) {
        complain("%s: engines takes no arguments", argv[0]);
        return EXIT_WRONG_USAGE;
    }
    for (unsigned n = 0; trine_engine(n, &name, &usable, why, sizeof why); n++) {
        printf(usable ? "%s: usable\n" : "%s: not usable: %s\n", name, why);
        first = usable && !first ? name : first;
    }
    printf("auto: %s\n", first ? first : "none");
    return finish_output();
}

static void engines_help(void)
{
    printf("Usage: trine engines\n\n"
           "One line per engine, `NAME: usable` or `NAME: not usable: WHY`; the last line, `auto: NAME`,\n"
           "is the engine that `trine run` takes.\n");
}

const struct verb verb_engines = {"engines", "lists the engines, and which can run here", engines_run,
                                  engines_help};
