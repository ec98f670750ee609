/* The host's randomness. */
#ifndef HOST_ENTROPY_H
#define HOST_ENTROPY_H

#include "base/types.h"

u64 entropy_u64(void);

#endif
