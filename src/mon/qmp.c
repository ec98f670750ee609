/* QMP (QEMU docs/interop/qmp-spec): a client is greeted, negotiates, then sends one JSON object per command and gets one per answer;
 * events come in between. A part of the commands, with QEMU's names and arguments, so that existing clients work.
 *
 * A client is trusted with the VM, but not with the monitor: what it sends is bounded (QMP_MESSAGE), garbage is answered by an error
 * and skipped up to the next line, and one that does not read its answers is not listened to any more, and loses events. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mon/json.h"
#include "mon/qmp_impl.h"

#define ANSWER_MAX 4096u /* the longest: query-commands, or an error that quotes a path; and an id */
#define ID_MAX     1024u

bool qmp_has_room(const struct qmp_client *c)
{
    return sizeof c->out - c->out_used >= ANSWER_MAX;
}

PRINTF(2, 3) static void put(struct qmp_client *c, const char *fmt, ...)
{
    va_list ap;
    size_t room = sizeof c->out - c->out_used;
    va_start(ap, fmt);
    int n = vsnprintf(c->out + c->out_used, room, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < room)
        c->out_used += (size_t)n;
}

/* TEXT as a JSON string's inside: what is no UTF-8 in it, a path that was cut in the middle of a character, as U+FFFD. */
static void put_text(struct qmp_client *c, const char *text)
{
    for (size_t n; *text; text += n ? n : 1) {
        n = json_utf8(text, strlen(text));
        if (*text == '"' || *text == '\\')
            put(c, "\\%c", *text);
        else if (!n)
            put(c, "\\ufffd");
        else if ((u8)*text >= ' ')
            put(c, "%.*s", (int)n, text);
        else
            put(c, "\\u%04x", (u8)*text);
    }
}

/* --- answers */

struct call {
    struct qmp *q;
    struct qmp_client *c;
    struct json id, arguments;
};

/* As it came, but in one line: outside of its strings an id may have line ends. */
static void put_id(const struct call *k)
{
    if (k->id.n)
        put(k->c, ", \"id\": ");
    for (size_t i = 0; i < k->id.n; i++)
        if ((u8)k->id.text[i] >= ' ')
            put(k->c, "%c", k->id.text[i]);
    put(k->c, "}\r\n");
}

PRINTF(2, 3) static void answer(const struct call *k, const char *fmt, ...)
{
    char value[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    put(k->c, "{\"return\": %s", value);
    put_id(k);
}

static void refuse(const struct call *k, const char *class, const char *why)
{
    put(k->c, "{\"error\": {\"class\": \"%s\", \"desc\": \"", class);
    put_text(k->c, why);
    put(k->c, "\"}");
    put_id(k);
}

static void done(const struct call *k, enum status s, const struct error *e)
{
    if (s == STATUS_OK)
        answer(k, "{}");
    else
        refuse(k, "GenericError", e->text);
}

/* The argument NAME, a string; false: told. */
static bool text_argument(const struct call *k, const char *name, char *out, size_t size)
{
    char why[96];
    struct json v = json_member(k->arguments, name);
    if (json_string(v, out, size) && *out)
        return true;
    snprintf(why, sizeof why, v.n ? "Parameter '%s' is no string that can be used" : "Parameter '%s' is missing", name);
    refuse(k, "GenericError", why);
    return false;
}

/* Optional, false by default. */
static bool flag_argument(const struct call *k, const char *name, bool *out)
{
    char why[96];
    struct json v = json_member(k->arguments, name);
    *out = false;
    if (!v.n || json_bool(v, out))
        return true;
    snprintf(why, sizeof why, "Parameter '%s' is neither true nor false", name);
    refuse(k, "GenericError", why);
    return false;
}

/* --- commands */

static void negotiate(const struct call *k)
{
    struct json enable = json_member(k->arguments, "enable");
    size_t at = 1;
    while (at < enable.n && strchr(" \t\r\n", enable.text[at]))
        at++;
    if (enable.n && (enable.text[0] != '[' || enable.text[at] != ']')) {
        refuse(k, "GenericError", "Parameter 'enable' names a capability that is not offered");
        return;
    }
    k->c->negotiated = true;
    answer(k, "{}");
}

static void query_status(const struct call *k)
{
    const char *s = k->q->target.status(k->q->target.opaque);
    answer(k, "{\"running\": %s, \"singlestep\": false, \"status\": \"%s\"}", strcmp(s, "running") ? "false" : "true", s);
}

#define VERSION "{\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"trine\"}"

static void query_version(const struct call *k)
{
    answer(k, "%s", VERSION);
}

static void stop(const struct call *k)
{
    struct error e;
    done(k, k->q->target.stop(k->q->target.opaque, &e), &e);
}

static void cont(const struct call *k)
{
    struct error e;
    done(k, k->q->target.cont(k->q->target.opaque, &e), &e);
}

static void powerdown(const struct call *k)
{
    answer(k, "{}");
    k->q->target.power_button(k->q->target.opaque);
}

static void reset(const struct call *k)
{
    answer(k, "{}");
    k->q->target.reset(k->q->target.opaque);
}

static void quit(const struct call *k)
{
    answer(k, "{}");
    k->q->target.quit(k->q->target.opaque);
}

static void screendump(const struct call *k)
{
    char path[QMP_PATH], format[QMP_NAME] = "png";
    struct error e;
    if (json_member(k->arguments, "format").n && !text_argument(k, "format", format, sizeof format))
        return;
    if (strcmp(format, "png"))
        refuse(k, "GenericError", "Parameter 'format' does not accept this value: pictures are PNG");
    else if (text_argument(k, "filename", path, sizeof path))
        done(k, k->q->target.screendump(k->q->target.opaque, path, &e), &e);
}

static void save(const struct call *k)
{
    char path[QMP_PATH];
    struct error e;
    if (text_argument(k, "filename", path, sizeof path))
        done(k, k->q->target.save(k->q->target.opaque, path, &e), &e);
}

/* QEMU names a device by `device` or `id`. */
static bool device_argument(const struct call *k, char *out)
{
    return text_argument(k, json_member(k->arguments, "device").n ? "device" : "id", out, QMP_NAME);
}

static void medium(const struct call *k, const char *device, const char *path)
{
    struct error e;
    bool force;
    if (flag_argument(k, "force", &force))
        done(k, k->q->target.change_medium(k->q->target.opaque, device, path, force, &e), &e);
}

static void change_medium(const struct call *k)
{
    char device[QMP_NAME], path[QMP_PATH];
    if (device_argument(k, device) && text_argument(k, "filename", path, sizeof path))
        medium(k, device, path);
}

static void eject(const struct call *k)
{
    char device[QMP_NAME];
    if (device_argument(k, device))
        medium(k, device, NULL);
}

static void balloon(const struct call *k)
{
    struct error e;
    u64 bytes;
    if (!json_u64(json_member(k->arguments, "value"), &bytes) || bytes > INT64_MAX)
        refuse(k, "GenericError", json_member(k->arguments, "value").n ? "Parameter 'value' expects a size" : "Parameter 'value' is missing");
    else if (!bytes)
        refuse(k, "GenericError", "Parameter 'target' expects a size");
    else if (k->q->target.balloon(k->q->target.opaque, bytes, &e) == STATUS_OK)
        answer(k, "{}");
    else
        refuse(k, "DeviceNotActive", e.text);
}

static void query_balloon(const struct call *k)
{
    struct error e;
    u64 bytes;
    if (k->q->target.query_balloon(k->q->target.opaque, &bytes, &e) == STATUS_OK)
        answer(k, "{\"actual\": %" PRIu64 "}", bytes);
    else
        refuse(k, "DeviceNotActive", e.text);
}

static void query_commands(const struct call *k);

/* With the arguments that each takes. Those of QEMU's that change nothing here are taken too: a medium is raw, and read-only. */
static const struct {
    const char *name;
    void (*run)(const struct call *k);
    const char *takes[6];
} commands[] = {
    {"qmp_capabilities", negotiate, {"enable"}},
    {"query-status", query_status},
    {"query-commands", query_commands},
    {"query-version", query_version},
    {"stop", stop},
    {"cont", cont},
    {"system_powerdown", powerdown},
    {"system_reset", reset},
    {"quit", quit},
    {"screendump", screendump, {"filename", "format"}},
    {"save", save, {"filename"}},
    {"blockdev-change-medium", change_medium, {"device", "id", "filename", "format", "force", "read-only-mode"}},
    {"eject", eject, {"device", "id", "force"}},
    {"balloon", balloon, {"value"}},
    {"query-balloon", query_balloon},
};

static void query_commands(const struct call *k)
{
    put(k->c, "{\"return\": [");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        put(k->c, "%s{\"name\": \"%s\"}", i ? ", " : "", commands[i].name);
    put(k->c, "]");
    put_id(k);
}

/* The message has the members that QMP knows, and ARGUMENTS are among TAKES; false: told. */
static bool is_expected(const struct call *k, struct json message, const char *const *takes, size_t n)
{
    static const char *const members[] = {"execute", "arguments", "id"};
    char other[QMP_NAME], why[48 + QMP_NAME];
    if (!json_members_among(message, members, ARRAY_LEN(members), other, sizeof other))
        snprintf(why, sizeof why, "QMP input member '%s' is unexpected", other);
    else if (k->arguments.n && !json_is_object(k->arguments))
        snprintf(why, sizeof why, "QMP input member 'arguments' must be an object");
    else if (!json_members_among(k->arguments, takes, n, other, sizeof other))
        snprintf(why, sizeof why, "Parameter '%s' is unexpected", other);
    else
        return true;
    refuse(k, "GenericError", why);
    return false;
}

static void command(struct call *k, struct json message)
{
    char name[QMP_NAME] = "";
    k->id = json_member(message, "id");
    k->arguments = json_member(message, "arguments");
    if (k->id.n > ID_MAX) {
        k->id.n = 0;
        refuse(k, "GenericError", "QMP input member 'id' has more than 1024 bytes");
        return;
    }
    if (!json_string(json_member(message, "execute"), name, sizeof name)) {
        refuse(k, "GenericError", "QMP input lacks member 'execute'");
        return;
    }
    bool first = !strcmp(name, "qmp_capabilities");
    if (first == k->c->negotiated) {
        refuse(k, "CommandNotFound", first ? "Capabilities negotiation is already complete, command ignored"
                                           : "Expecting capabilities negotiation with 'qmp_capabilities'");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (!strcmp(commands[i].name, name)) {
            if (is_expected(k, message, commands[i].takes, ARRAY_LEN(commands[i].takes)))
                commands[i].run(k);
            return;
        }
    refuse(k, "CommandNotFound", "The command has not been found");
}

/* --- the stream */

void qmp_greet(struct qmp *q, struct qmp_client *c)
{
    (void)q;
    put(c, "{\"QMP\": {\"version\": " VERSION ", \"capabilities\": []}}\r\n");
}

static void drop(struct qmp_client *c, size_t n)
{
    c->in_used -= n;
    memmove(c->in, c->in + n, c->in_used);
}

/* What may stand between objects; 0xff, QMP's way to begin anew, counts as such. */
static size_t blanks(const struct qmp_client *c)
{
    size_t n = 0;
    while (n < c->in_used && (strchr(" \t\r\n", c->in[n]) || (u8)c->in[n] == 0xff) && c->in[n])
        n++;
    return n;
}

static void bad(struct qmp *q, struct qmp_client *c, const char *why)
{
    const struct call k = {.q = q, .c = c};
    refuse(&k, "GenericError", why);
    c->skipping = true;
}

/* One object or one piece of garbage; false: nothing complete is there. */
static bool step(struct qmp *q, struct qmp_client *c)
{
    if (c->skipping) {
        const char *line = memchr(c->in, '\n', c->in_used);
        drop(c, line ? (size_t)(line - c->in) + 1 : c->in_used);
        c->skipping = !line;
        return line;
    }
    drop(c, blanks(c));
    if (!c->in_used)
        return false;
    if (c->in[0] != '{') {
        bad(q, c, "JSON parse error, expecting an object");
        return true;
    }
    size_t n = json_object_end(c->in, c->in_used);
    if (!n && c->in_used == sizeof c->in)
        bad(q, c, "JSON message is longer than 64 KiB");
    else if (n && !json_valid(c->in, n))
        bad(q, c, "JSON parse error");
    else if (n) {
        struct call k = {.q = q, .c = c};
        command(&k, (struct json){c->in, n});
        drop(c, n);
    }
    return n || c->skipping;
}

void qmp_advance(struct qmp *q, struct qmp_client *c)
{
    while (qmp_has_room(c) && step(q, c))
        ;
}

void qmp_event(struct qmp *q, const char *name, const char *data)
{
    u64 us = q->target.wall_us(q->target.opaque);
    for (unsigned i = 0; i < QMP_CLIENTS; i++) {
        struct qmp_client *c = &q->clients[i];
        if (!c->there || !c->negotiated || !qmp_has_room(c))
            continue;
        put(c, "{\"timestamp\": {\"seconds\": %" PRIu64 ", \"microseconds\": %" PRIu64 "}, \"event\": \"%s\"", us / 1000000,
            us % 1000000, name);
        if (data)
            put(c, ", \"data\": %s", data);
        put(c, "}\r\n");
    }
}

struct qmp *qmp_create_detached(const struct qmp_target *target)
{
    struct qmp *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->target = *target;
    q->listener.fd = -1;
    q->clients[0] = (struct qmp_client){.there = true, .fd = -1};
    qmp_greet(q, &q->clients[0]);
    return q;
}

void qmp_input(struct qmp *q, const char *data, size_t n)
{
    struct qmp_client *c = &q->clients[0];
    while (n && qmp_has_room(c)) {
        size_t take = sizeof c->in - c->in_used < n ? sizeof c->in - c->in_used : n;
        memcpy(c->in + c->in_used, data, take);
        c->in_used += take;
        data += take;
        n -= take;
        qmp_advance(q, c);
    }
}

size_t qmp_output(struct qmp *q, char *buf, size_t n)
{
    struct qmp_client *c = &q->clients[0];
    n = c->out_used < n ? c->out_used : n;
    memcpy(buf, c->out, n);
    c->out_used -= n;
    memmove(c->out, c->out + n, c->out_used);
    qmp_advance(q, c);
    return n;
}
