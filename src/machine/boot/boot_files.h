/* The files that a kernel is started from: opened once, and kept, because a machine that is reset loads them again when it may open
 * nothing any more, and a stream can be read once only. */
#ifndef MACHINE_BOOT_BOOT_FILES_H
#define MACHINE_BOOT_BOOT_FILES_H

#include "host/file.h"

struct boot_file {
    struct boot_file *next;
    struct file file;
    char name[];
};

/* All zero: empty. */
struct boot_files {
    struct boot_file *head;
};

/* The file called NAME, as file_open opens it; null: E is set. */
const struct file *boot_files_get(struct boot_files *b, const char *name, u64 limit, struct error *e);
void boot_files_close(struct boot_files *b);

#endif
