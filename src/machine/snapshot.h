/* Saving a machine to a file and making it again from one. */
#ifndef MACHINE_SNAPSHOT_H
#define MACHINE_SNAPSHOT_H

#include "machine/vm.h"

/* Between two instructions, virtual time, big lock held. The run goes on as if nothing had happened. */
enum status vm_save(struct vm *vm, const char *path, struct error *e);
/* Into a VM that was just made and has not run. After an error it can only be destroyed. */
enum status vm_restore(struct vm *vm, const char *path, struct error *e);

#endif
