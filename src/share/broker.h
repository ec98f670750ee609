/* The broker of a group: holds the pool, and owns nothing else. See broker.c. */
#ifndef SHARE_BROKER_H
#define SHARE_BROKER_H

#include "base/types.h"

/* Serves the group until the last member has left, then takes PATH (its socket's file; null: none) away. LISTENER listens there. FRAMES: the pool's
 * room; 0: half of the host's memory. The process's exit status. */
int broker_run(int listener, const char *path, u32 frames);

#endif
