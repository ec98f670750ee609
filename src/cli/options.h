/* The options of `trine run`. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "trine.h"

#define OPTIONS_SAVES 64
#define OPTIONS_DISKS 24
#define OPTIONS_SWITCHES 16

struct run_options {
    struct trine_config config;
    const char *stats; /* null: no report */
    bool serial_named; /* --serial was given */
    struct trine_save saves[OPTIONS_SAVES];
    struct trine_disk disks[OPTIONS_DISKS];
    struct trine_switch switches[OPTIONS_SWITCHES];
    char why[160]; /* for reasons that name a part of the value */
};

/* Sets *O from the arguments; false: wrong usage, and the reason is printed. */
bool options_parse(struct run_options *o, int argc, char **argv);
/* One VM from its creation to its end; the verb's exit status. */
int run_machine(const struct run_options *o);
/* The list of options for --help, to standard output. */
void options_help(void);

#endif
