/* Efficiency: of the instructions that a guest executes, how many run how; and the way of single
 * instructions. */
#ifndef AUDIT_SHARE_H
#define AUDIT_SHARE_H

#include "audit/rows.h"
#include "base/error.h"
#include "engine/engine.h"
#include "trine.h"

struct audit_share {
    u64 samples, way[ENGINE_WAYS];
    u64 instructions;
};

/* Runs CFG's guest to its end on ENGINE under virtual time, and looks at an instruction every STEP. WAYS[i],
 * if not null, becomes the way of ROWS' instruction i. */
enum status share_take(const struct trine_config *cfg, const struct engine_ops *engine, u64 step,
                       const struct audit_rows *rows, enum engine_way *ways, struct audit_share *share,
                       struct error *e);

/* STATE may be null for an engine without virtual time. */
enum engine_way share_way(const struct engine_ops *ops, void *state, const u8 *bytes, unsigned n,
                          unsigned code_size, unsigned cpl);

#endif
