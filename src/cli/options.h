/* The options of `trine run`. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "trine.h"

#define OPTIONS_SAVES 64

struct run_options {
    struct trine_config config;
    const char *stats; /* null: no report */
    struct trine_save saves[OPTIONS_SAVES];
};

/* Sets *O from the arguments; false: wrong usage, and the reason is printed. */
bool options_parse(struct run_options *o, int argc, char **argv);
/* The list of options for --help, to standard output. */
void options_help(void);

#endif
