/* --switch A:B@EVENT, with EVENT exits=N, instructions=N or serial=TEXT. */
#include "cli/switch_option.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/values.h"

#define TEXT_MAX 128

static const struct {
    const char *name;
    enum trine_switch_at at;
} events[] = {
    {"exits=", TRINE_SWITCH_EXITS},
    {"instructions=", TRINE_SWITCH_INSTRUCTIONS},
    {"serial=", TRINE_SWITCH_SERIAL},
};

static const char *set_event(struct trine_switch *w, const char *event)
{
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        size_t n = strlen(events[i].name);
        if (strncmp(event, events[i].name, n))
            continue;
        w->at = events[i].at;
        w->text = event + n;
        if (w->at != TRINE_SWITCH_SERIAL)
            return value_u64(event + n, &w->count) ? NULL : "behind the @: not a number of 64 bits";
        return *w->text && strlen(w->text) <= TEXT_MAX ? NULL : "behind the @: a text has 1 to 128 characters";
    }
    return "behind the @: none of exits=N, instructions=N, serial=TEXT";
}

const char *option_switch(struct run_options *o, const char *value)
{
    char *at = strchr(value, '@'), *colon = strchr(value, ':');
    if (!at || !colon || colon > at)
        return "not A:B@EVENT";
    if (o->config.switches_n == OPTIONS_SWITCHES)
        return "more of them than one run may have (16)";
    struct trine_switch *w = &o->switches[o->config.switches_n];
    const char *why = set_event(w, at + 1);
    if (why)
        return why;
    *at = *colon = 0;
    w->from = value;
    w->to = colon + 1;
    o->config.switches = o->switches;
    o->config.switches_n++;
    return NULL;
}

bool switches_check(struct run_options *o)
{
    struct trine_config *c = &o->config;
    if (!c->switches_n)
        return true;
    if (!strcmp(c->engine, "auto"))
        c->engine = c->switches[0].from;
    for (unsigned i = 0; i < c->switches_n; i++) {
        const struct trine_switch *w = &c->switches[i];
        const char *runs = i ? w[-1].to : c->engine;
        if (strcmp(w->from, runs)) {
            complain("--switch %s:%s: the guest runs on %s then", w->from, w->to, runs);
            return false;
        }
    }
    return true;
}
