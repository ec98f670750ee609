/* What stands at every instruction boundary of a software engine. */
#ifndef ENGINE_BOUNDARY_H
#define ENGINE_BOUNDARY_H

#include "cpu/system.h"
#include "engine/engine.h"

/* Takes the events that are due, all of them. True: the engine returns *R; false: it goes on, *ATTENTION is
 * what is set then. */
INLINE bool engine_boundary(struct cpu *c, u32 *attention, enum run_result *r)
{
    for (;;) {
        /* What serializes (IRET, MOV CR, WRMSR ...) leaves its block, and is a fence by this. */
        if (UNLIKELY(c->company == CPU_CONCURRENT))
            atomic_thread_fence(memory_order_seq_cst);
        u32 a = *attention = atomic_load_explicit(&c->attention, memory_order_acquire);
        if (LIKELY(!a))
            break;
        if (cpu_take_event(c))
            continue;
        if (a & ATTN_KICK) {
            atomic_fetch_and(&c->attention, ~(u32)ATTN_KICK);
            *r = RUN_ATTENTION;
            return true;
        }
        break;
    }
    if (LIKELY(c->activity == ACTIVITY_RUNNING))
        return false;
    *r = c->activity == ACTIVITY_SHUTDOWN ? RUN_SHUTDOWN : RUN_HALT;
    return true;
}

#endif
