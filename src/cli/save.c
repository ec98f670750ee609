/* trine save: a guest up to an instruction, and there a snapshot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"

static int save_run(int argc, char **argv)
{
    static char time[] = "--time=virtual", save[] = "--save";
    struct run_options o;
    if (!argc || argv[0][0] == '-') {
        complain("save: no FILE@COUNT: see trine save --help");
        return EXIT_WRONG_USAGE;
    }
    char **all = calloc((size_t)argc + 2, sizeof *all);
    if (!all) {
        complain("save: out of memory");
        return EXIT_HOST_FAILED;
    }
    all[0] = time;
    all[1] = save;
    memcpy(all + 2, argv, (size_t)argc * sizeof *all);
    int status = EXIT_WRONG_USAGE;
    if (options_parse(&o, argc + 2, all)) {
        o.config.end_after_saves = true;
        status = run_machine(&o);
    }
    free(all);
    return status;
}

static void save_help(void)
{
    printf("Usage: trine save FILE@COUNT [OPTION]... --kernel FILE\n\n"
           "Runs a guest under --time virtual until COUNT instructions of virtual time have passed, writes the\n"
           "machine to FILE and ends. `trine run --time virtual --restore FILE` goes on from there, in the same\n"
           "steps as a run that was never saved; `trine save` too, with --restore in --kernel's place. The\n"
           "options are those of `trine run`; more --save FILE@COUNT may follow, with counts that rise.\n\n"
           "Exit status: 0 it is written; 1 the guest ended before that; the others as those of `trine run`.\n");
}

const struct verb verb_save = {"save", "runs a guest to an instruction and saves it there", save_run,
                               save_help};
