/* Where the VMs of a group meet: one Unix socket in a directory that only this user may enter, and a broker behind it, which the first one starts. */
#ifndef SHARE_GROUP_H
#define SHARE_GROUP_H

#include "base/error.h"
#include "base/types.h"

/* 1 to 32 of letters, digits, `-`, `_` and `.`, no dot first. */
bool group_name_ok(const char *name);
/* The file of the group's socket; makes its directory: $XDG_RUNTIME_DIR/trine, or /tmp/trine-UID. */
enum status group_path(const char *group, char *path, size_t size, struct error *e);
/* A connection to the group's broker. EXEC null: there must be one; else it is started by `EXEC memory-broker` when there is none. */
enum status group_connect(const char *group, const char *exec, int *fd, struct error *e);
/* Is the process at the other end this user's? And which it is. */
bool group_peer_ok(int fd, u32 *pid);
/* The broker behind LISTENER ends: nobody finds PATH any more. */
void group_retire(const char *path, int listener);

#endif
