/* What a configuration must be before anything is opened for it, as far as it shows by itself. */
#include "machine/config.h"

#include <string.h>

#include "machine/vm.h"

/* The virtio console's other end is nobody else's. */
static enum status check_console(const struct trine_config *cfg, struct error *e)
{
    bool path = cfg->console_to == TRINE_SERIAL_FILE || cfg->console_to == TRINE_SERIAL_UNIX;
    if (cfg->console_to == TRINE_SERIAL_CALLBACK)
        return error_set(e, STATUS_USAGE, "console: a function is the serial port's alone");
    if (cfg->console_to == TRINE_SERIAL_STDIO && cfg->serial == TRINE_SERIAL_STDIO)
        return error_set(e, STATUS_USAGE, "console stdio: standard input and output are the serial port's");
    if (cfg->console_to == TRINE_SERIAL_STDIO && cfg->display == TRINE_DISPLAY_TEXT)
        return error_set(e, STATUS_USAGE, "console stdio: the terminal is the display's");
    if (path && cfg->serial == cfg->console_to && cfg->console_path && cfg->serial_path && !strcmp(cfg->console_path, cfg->serial_path))
        return error_set(e, STATUS_USAGE, "console %s: the serial port leads there already", cfg->console_path);
    return STATUS_OK;
}

enum status config_check(const struct trine_config *cfg, const struct engine_ops *engine, struct error *e)
{
    if (cfg->machine && strcmp(cfg->machine, "pc") && strcmp(cfg->machine, "microvm"))
        return error_set(e, STATUS_USAGE, "machine %s: not built in", cfg->machine);
    if (cfg->firmware && cfg->machine && !strcmp(cfg->machine, "microvm"))
        return error_set(e, STATUS_USAGE, "firmware %s: the microvm starts kernels alone", cfg->firmware);
    if (cfg->firmware_vars.path && !cfg->firmware)
        return error_set(e, STATUS_USAGE, "%s: variables of firmware, and no firmware", cfg->firmware_vars.path);
    if (cfg->screenshot && !cfg->firmware)
        return error_set(e, STATUS_USAGE, "screenshot %s: a machine without firmware has no display", cfg->screenshot);
    if (cfg->display == TRINE_DISPLAY_TEXT) {
        if (!cfg->firmware)
            return error_set(e, STATUS_USAGE, "display text: a machine without firmware has no display");
        if (cfg->time != TRINE_TIME_REAL)
            return error_set(e, STATUS_USAGE, "display text: needs --time real: its keys would be in no log");
        if (cfg->serial == TRINE_SERIAL_STDIO)
            return error_set(e, STATUS_USAGE, "display text: the serial port cannot have the same terminal");
    }
    if (cfg->console && check_console(cfg, e) != STATUS_OK)
        return e->status;
    if (cfg->time != TRINE_TIME_REAL && cfg->time != TRINE_TIME_VIRTUAL)
        return error_set(e, STATUS_USAGE, "time: neither real nor virtual");
    if (cfg->time == TRINE_TIME_VIRTUAL && !engine->virtual_time)
        return error_set(e, STATUS_UNSUPPORTED,
                         "engine %s: cannot count instructions exactly, as virtual time needs", engine->name);
    if (!cfg->cpus || cfg->cpus > TRINE_CPUS_MAX)
        return error_set(e, STATUS_USAGE, "cpus %u: must be 1 to %d", cfg->cpus, TRINE_CPUS_MAX);
    if (cfg->cpus > engine->max_cpus)
        return error_set(e, STATUS_UNSUPPORTED, "cpus %u: engine %s runs at most %u", cfg->cpus, engine->name,
                         engine->max_cpus);
    if (cfg->cpus > 1 && cfg->time == TRINE_TIME_REAL && !engine->concurrent)
        return error_set(e, STATUS_UNSUPPORTED,
                         "cpus %u: engine %s cannot run vCPUs at the same time on this host; --time virtual runs them in turn",
                         cfg->cpus, engine->name);
    if (!(cfg->max_time_s >= 0))
        return error_set(e, STATUS_USAGE, "max-time: not a time");
    if (cfg->bt_cache && (cfg->bt_cache < TRINE_BT_CACHE_LEAST || cfg->bt_cache > TRINE_BT_CACHE_MOST))
        return error_set(e, STATUS_USAGE, "translator's cache: not from 2M to 128M");
    if (cfg->show_line && (!cfg->show_len || cfg->show_len > TRINE_SHOW_MAX || cfg->show_at > UINT64_MAX - cfg->show_len))
        return error_set(e, STATUS_USAGE, "translations: 1 to %d bytes of addresses can be shown", TRINE_SHOW_MAX);
    if (cfg->share && cfg->time != TRINE_TIME_REAL)
        return error_set(e, STATUS_USAGE, "share %s: needs --time real", cfg->share);
    if (cfg->share && cfg->prealloc)
        return error_set(e, STATUS_USAGE, "share %s: would give back what prealloc takes", cfg->share);
    if (cfg->rtc < 0 || cfg->rtc > RTC_MAX_S)
        return error_set(e, STATUS_USAGE, "rtc: must be from 1970 to 2255");
    if (cfg->saves_n && cfg->time != TRINE_TIME_VIRTUAL)
        return error_set(e, STATUS_USAGE, "%s: a snapshot needs --time virtual", cfg->saves[0].path);
    for (unsigned i = 1; i < cfg->saves_n; i++)
        if (cfg->saves[i].count < cfg->saves[i - 1].count)
            return error_set(e, STATUS_USAGE, "%s: snapshots must be named in the order of their counts",
                             cfg->saves[i].path);
    return STATUS_OK;
}
