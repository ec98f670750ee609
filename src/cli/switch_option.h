/* The value of --switch, which it may cut in place; null is success, else why not. */
#ifndef CLI_SWITCH_OPTION_H
#define CLI_SWITCH_OPTION_H

#include "cli/options.h"

const char *option_switch(struct run_options *o, const char *value);
/* What no --switch alone can tell, and which engine the guest starts on. False: wrong usage, and the reason is printed. */
bool switches_check(struct run_options *o);

#endif
