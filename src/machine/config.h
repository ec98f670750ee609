/* Looks through a configuration. See config.c. */
#ifndef MACHINE_CONFIG_H
#define MACHINE_CONFIG_H

#include "base/error.h"
#include "engine/engine.h"
#include "trine.h"

enum status config_check(const struct trine_config *cfg, const struct engine_ops *engine, struct error *e);

#endif
