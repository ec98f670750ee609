#include "machine/boot/boot_files.h"

#include <stdlib.h>
#include <string.h>

const struct file *boot_files_get(struct boot_files *b, const char *name, u64 limit, struct error *e)
{
    struct boot_file *f;
    for (f = b->head; f; f = f->next)
        if (!strcmp(f->name, name))
            return &f->file;
    size_t n = strlen(name) + 1;
    f = malloc(sizeof *f + n);
    if (!f) {
        error_set(e, STATUS_HOST, "%s: out of memory", name);
        return NULL;
    }
    memcpy(f->name, name, n);
    if (file_open(&f->file, f->name, limit, e) != STATUS_OK) {
        free(f);
        return NULL;
    }
    f->next = b->head;
    b->head = f;
    return &f->file;
}

void boot_files_close(struct boot_files *b)
{
    for (struct boot_file *f; (f = b->head);) {
        b->head = f->next;
        file_close(&f->file);
        free(f);
    }
}
