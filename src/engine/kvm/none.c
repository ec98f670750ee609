/* On hosts that are no x86: this engine's guests are x86, and KVM runs the host's own kind. */
#include <stdio.h>

#include "engine/engine.h"

static bool kvm_probe(char *why, size_t size)
{
    snprintf(why, size, "it needs an x86-64 host");
    return false;
}

const struct engine_ops engine_kvm = {.name = "kvm", .probe = kvm_probe, .max_cpus = 32, .concurrent = true};
