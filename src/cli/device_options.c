/* Options that are lists: a name, then words behind commas. A comma in the name is written twice. */
#include "cli/device_options.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* Cuts *REST behind its first item, whose doubled commas become single ones; null: no more. */
static char *next_item(char **rest)
{
    char *item = *rest, *from, *to;
    if (!item)
        return NULL;
    for (from = to = item; *from && (*from != ',' || from[1] == ','); from++) {
        from += *from == ',';
        *to++ = *from;
    }
    *rest = *from ? from + 1 : NULL;
    *to = 0;
    return item;
}

static const char *disk_word(struct run_options *o, struct trine_disk *d, const char *word)
{
    if (!strcmp(word, "readonly"))
        d->readonly = true;
    else if (!strcmp(word, "snapshot"))
        d->snapshot = true;
    else if (!strncmp(word, "format=", 7) && word[7])
        d->format = word + 7;
    else if (!strcmp(word, "bus=ide"))
        return "bus=ide: not built in";
    else if (strcmp(word, "bus=virtio")) {
        snprintf(o->why, sizeof o->why, "%s: none of readonly, snapshot, format=FORMAT, bus=virtio", word);
        return o->why;
    }
    return NULL;
}

const char *option_disk(struct run_options *o, const char *value)
{
    char *rest = (char *)(uintptr_t)value;
    struct trine_disk *d = &o->disks[o->config.disks_n];
    if (o->config.disks_n == OPTIONS_DISKS)
        return "more disks than a machine takes (24)";
    *d = (struct trine_disk){.path = next_item(&rest)};
    if (!*d->path)
        return "no file given";
    for (const char *word; (word = next_item(&rest));) {
        const char *why = disk_word(o, d, word);
        if (why)
            return why;
    }
    o->config.disks = o->disks;
    o->config.disks_n++;
    return NULL;
}
