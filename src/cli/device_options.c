/* Options that are lists: a name, then words behind commas. A comma in the name is written twice. */
#include "cli/device_options.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/values.h"

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
        d->ide = true;
    else if (strcmp(word, "bus=virtio")) {
        snprintf(o->why, sizeof o->why, "%s: none of readonly, snapshot, format=FORMAT, bus=virtio|ide", word);
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

const char *option_firmware_vars(struct run_options *o, const char *value)
{
    char *rest = (char *)(uintptr_t)value;
    struct trine_disk *d = &o->config.firmware_vars;
    *d = (struct trine_disk){.path = next_item(&rest)};
    for (const char *word; (word = next_item(&rest));) {
        d->readonly |= !strcmp(word, "readonly");
        d->snapshot |= !strcmp(word, "snapshot");
        if (strcmp(word, "readonly") && strcmp(word, "snapshot")) {
            snprintf(o->why, sizeof o->why, "%s: neither readonly nor snapshot", word);
            return o->why;
        }
    }
    return *d->path ? NULL : "no file given";
}

/* The whole value is the name. */
const char *option_cdrom(struct run_options *o, const char *value)
{
    if (o->config.disks_n == OPTIONS_DISKS)
        return "more disks than a machine takes (24)";
    o->disks[o->config.disks_n++] = (struct trine_disk){.path = value, .readonly = true, .cdrom = true};
    o->config.disks = o->disks;
    return NULL;
}

/* `[ADDR]:PORT` up to its end. */
static bool end_point(const char *text, char addr[16], uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t n;
    if (!colon || colon - text > 15 || !value_u64(colon + 1, &n) || !n || n > 65535)
        return false;
    memcpy(addr, text, (size_t)(colon - text));
    addr[colon - text] = 0;
    *port = (uint16_t)n;
    return true;
}

/* tcp|udp:[ADDR]:PORT-[ADDR]:PORT. */
static const char *forward_word(struct trine_net *n, char *text)
{
    struct trine_forward *f = &n->forwards[n->forwards_n];
    if (n->forwards_n == TRINE_FORWARDS)
        return "more ports to forward than 16";
    char *guest = strchr(text, '-');
    bool udp = !strncmp(text, "udp:", 4);
    if ((!udp && strncmp(text, "tcp:", 4)) || !guest)
        return "hostfwd is not tcp|udp:[ADDR]:PORT-[ADDR]:PORT";
    *guest = 0;
    bool ok = end_point(text + 4, f->host, &f->host_port) && end_point(guest + 1, f->guest, &f->guest_port);
    *guest = '-';
    f->udp = udp;
    n->forwards_n += ok;
    return ok ? NULL : "hostfwd is not tcp|udp:[ADDR]:PORT-[ADDR]:PORT";
}

static const char *mac_word(struct trine_net *n, const char *text)
{
    unsigned b[6];
    int end = 0;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6 || text[end] ||
        b[0] & 1)
        return "mac is no address of one adapter (XX:XX:XX:XX:XX:XX)";
    for (unsigned i = 0; i < 6; i++)
        n->mac[i] = (uint8_t)b[i];
    return NULL;
}

const char *option_net(struct run_options *o, const char *value)
{
    struct trine_net *n = &o->config.net;
    char *rest = (char *)(uintptr_t)value, *word = next_item(&rest);
    *n = (struct trine_net){0};
    if (!strcmp(word, "user"))
        n->kind = TRINE_NET_USER;
    else if (!strncmp(word, "tap=", 4) && word[4]) {
        n->kind = TRINE_NET_TAP;
        n->tap = word + 4;
    } else if (strcmp(word, "none"))
        return "none of none, user, tap=NAME";
    while ((word = next_item(&rest))) {
        const char *why = "behind the comma is none of hostfwd=..., mac=...";
        if (n->kind == TRINE_NET_USER && !strncmp(word, "hostfwd=", 8))
            why = forward_word(n, word + 8);
        else if (n->kind != TRINE_NET_NONE && !strncmp(word, "mac=", 4))
            why = mac_word(n, word + 4);
        if (why)
            return why;
    }
    return NULL;
}
