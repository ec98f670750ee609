/* What the threads of a machine may do (host/confine.h). */
#ifndef MACHINE_CONFINEMENT_H
#define MACHINE_CONFINEMENT_H

#include "host/confine.h"
#include "trine.h"

/* As narrow as CFG allows. */
enum status confinement_create(struct confine **c, const struct trine_config *cfg, struct error *e);

#endif
