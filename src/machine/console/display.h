/* What a VM shows. Called under the big lock. */
#ifndef MACHINE_CONSOLE_DISPLAY_H
#define MACHINE_CONSOLE_DISPLAY_H

#include "base/error.h"

struct vm;

/* Can a picture be written to PATH? */
enum status display_check(const char *path, struct error *e);
/* Writes the picture to PATH, as PNG. */
enum status display_save(const struct vm *vm, const char *path, struct error *e);

#endif
