/* The engines there are. Tests link a list of their own in its place. */
#include "engine/engine.h"

const struct engine_ops *const engine_list[] = {
    &engine_kvm,
    &engine_bt,
    &engine_interp,
    NULL,
};
