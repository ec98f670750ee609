/* The values of --disk and the like, and of --net. Each takes VALUE, which it may cut in place; null is success, else why not.
 */
#ifndef CLI_DEVICE_OPTIONS_H
#define CLI_DEVICE_OPTIONS_H

#include "cli/options.h"

const char *option_net(struct run_options *o, const char *value);
const char *option_disk(struct run_options *o, const char *value);
const char *option_firmware_vars(struct run_options *o, const char *value);
const char *option_cdrom(struct run_options *o, const char *value);

#endif
