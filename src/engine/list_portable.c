/* The engines of a host that is no x86-64 itself. */
#include "engine/engine.h"

const struct engine_ops *const engine_list[] = {
    &engine_interp,
    &engine_kvm,
    NULL,
};
