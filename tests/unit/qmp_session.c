/* A QMP session without a socket: what goes in and every byte that comes out, over a machine that writes down what is asked of it. */
#include "mon/json.h"
#include "mon/qmp.h"

#include "base/bits.h"
#include "check.h"

struct machine {
    char log[4096]; /* the calls, one word each */
    const char *status;
    bool fails;
    u64 wall_us;
};

static struct machine *note(void *opaque, const char *fmt, const char *a, const char *b)
{
    struct machine *m = opaque;
    size_t n = strlen(m->log);
    snprintf(m->log + n, sizeof m->log - n, fmt, a, b);
    return m;
}

static enum status result(const struct machine *m, struct error *e, const char *why)
{
    return m->fails ? error_set(e, STATUS_HOST, "%s: \"no\" \\ \xe9 \xc3\xa9", why) : STATUS_OK;
}

static const char *status(void *opaque)
{
    return ((struct machine *)opaque)->status;
}

static enum status stop(void *opaque, struct error *e)
{
    return result(note(opaque, "stop ", "", ""), e, "stop");
}

static enum status cont(void *opaque, struct error *e)
{
    return result(note(opaque, "cont ", "", ""), e, "cont");
}

static void button(void *opaque)
{
    note(opaque, "button ", "", "");
}

static void reset(void *opaque)
{
    note(opaque, "reset ", "", "");
}

static void quit(void *opaque)
{
    note(opaque, "quit ", "", "");
}

static enum status screendump(void *opaque, const char *path, struct error *e)
{
    return result(note(opaque, "screendump=%s ", path, ""), e, path);
}

static enum status save(void *opaque, const char *path, struct error *e)
{
    return result(note(opaque, "save=%s ", path, ""), e, path);
}

static enum status medium(void *opaque, const char *device, const char *path, bool force, struct error *e)
{
    return result(note(opaque, force ? "forced=%s,%s " : "medium=%s,%s ", device, path ? path : "none"), e, device);
}

static enum status balloon(void *opaque, u64 bytes, struct error *e)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, bytes);
    return result(note(opaque, "balloon=%s ", text, ""), e, "no balloon");
}

static enum status query_balloon(void *opaque, u64 *bytes, struct error *e)
{
    *bytes = 0x123456789000;
    return result(opaque, e, "no balloon");
}

static u64 wall(void *opaque)
{
    return ((struct machine *)opaque)->wall_us;
}

struct session {
    struct machine m;
    struct qmp *q;
    char out[1 << 17];
};

#define GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"trine\"}, \"capabilities\": []}}\r\n"

/* What Q has to say, as text; every line of it is JSON. */
static const char *said(struct session *s)
{
    size_t n = qmp_output(s->q, s->out, sizeof s->out - 1);
    s->out[n] = 0;
    for (char *line = s->out, *end; *line; line = end + 2) {
        end = strstr(line, "\r\n");
        CHECK(end && json_valid(line, (size_t)(end - line)));
        if (!end)
            break;
    }
    return s->out;
}

static const char *ask(struct session *s, const char *what)
{
    qmp_input(s->q, what, strlen(what));
    return said(s);
}

static void session(struct session *s)
{
    const struct qmp_target target = {status, stop, cont, button, reset, quit, screendump, save, medium, balloon, query_balloon, wall, &s->m};
    memset(s, 0, sizeof *s);
    s->m.status = "running";
    s->q = qmp_create_detached(&target);
    CHECK_STR(said(s), GREETING);
}

static void negotiated(struct session *s)
{
    session(s);
    CHECK_STR(ask(s, "{\"execute\": \"qmp_capabilities\"}"), "{\"return\": {}}\r\n");
}

#define ERROR(class, why) "{\"error\": {\"class\": \"" class "\", \"desc\": \"" why "\"}}\r\n"
#define GENERIC(why)      ERROR("GenericError", why)
#define EMPTY             "{\"return\": {}}\r\n"

/* Nothing but negotiation is carried out before it, and it is not twice. */
static void test_negotiation(void)
{
    static struct session s;
    session(&s);
    qmp_event(s.q, "STOP", NULL);
    CHECK_STR(said(&s), ""); /* no events either */
    CHECK_STR(ask(&s, "{\"execute\": \"quit\", \"id\": 1}"),
              "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Expecting capabilities negotiation with 'qmp_capabilities'\"}, \"id\": 1}\r\n");
    CHECK_STR(s.m.log, "");
    static const char *const refused[] = {"[\"oob\"]", "[ 1]", "\"oob\"", "5", "{}"};
    for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": %s}}", refused[i]);
        CHECK_STR(ask(&s, text), GENERIC("Parameter 'enable' names a capability that is not offered"));
    }
    CHECK_STR(ask(&s, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [ ]}}"), EMPTY);
    CHECK_STR(ask(&s, "{\"execute\": \"qmp_capabilities\"}"),
              ERROR("CommandNotFound", "Capabilities negotiation is already complete, command ignored"));
    qmp_destroy(s.q);
}

/* Every command, what it asks of the machine, and its answer; then what is wrong with its arguments. */
static void test_commands(void)
{
    static const struct {
        const char *command, *log, *answer;
    } rows[] = {
        {"{\"execute\": \"query-status\"}", "", "{\"return\": {\"running\": true, \"singlestep\": false, \"status\": \"running\"}}\r\n"},
        {"{\"execute\": \"query-version\"}", "", "{\"return\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"trine\"}}\r\n"},
        {"{\"execute\": \"query-commands\"}", "",
         "{\"return\": [{\"name\": \"qmp_capabilities\"}, {\"name\": \"query-status\"}, {\"name\": \"query-commands\"}, {\"name\": \"query-version\"}, "
         "{\"name\": \"stop\"}, {\"name\": \"cont\"}, {\"name\": \"system_powerdown\"}, {\"name\": \"system_reset\"}, {\"name\": \"quit\"}, "
         "{\"name\": \"screendump\"}, {\"name\": \"save\"}, {\"name\": \"blockdev-change-medium\"}, {\"name\": \"eject\"}, {\"name\": \"balloon\"}, "
         "{\"name\": \"query-balloon\"}]}\r\n"},
        {"{\"execute\": \"stop\"}", "stop ", EMPTY},
        {"{\"execute\": \"cont\"}", "cont ", EMPTY},
        {"{\"execute\": \"system_powerdown\"}", "button ", EMPTY},
        {"{\"execute\": \"system_reset\"}", "reset ", EMPTY},
        {"{\"execute\": \"quit\"}", "quit ", EMPTY},
        {"{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"/a b\"}}", "screendump=/a b ", EMPTY},
        {"{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"x\", \"format\": \"png\"}}", "screendump=x ", EMPTY},
        {"{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"x\", \"format\": \"ppm\"}}", "",
         GENERIC("Parameter 'format' does not accept this value: pictures are PNG")},
        {"{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"x\", \"format\": 1}}", "", GENERIC("Parameter 'format' is no string that can be used")},
        {"{\"execute\": \"save\", \"arguments\": {\"filename\": \"\\u00e9\\n\"}}", "save=\xc3\xa9\n ", EMPTY},
        {"{\"execute\": \"blockdev-change-medium\", \"arguments\": {\"device\": \"cd0\", \"filename\": \"f\"}}", "medium=cd0,f ", EMPTY},
        {"{\"execute\": \"blockdev-change-medium\", \"arguments\": {\"id\": \"cd0\", \"filename\": \"f\", \"format\": \"raw\", \"force\": true, "
         "\"read-only-mode\": \"retain\"}}", "forced=cd0,f ", EMPTY},
        {"{\"execute\": \"eject\", \"arguments\": {\"id\": \"cd1\"}}", "medium=cd1,none ", EMPTY},
        {"{\"execute\": \"eject\", \"arguments\": {\"id\": \"cd1\", \"force\": true}}", "forced=cd1,none ", EMPTY},
        {"{\"execute\": \"eject\", \"arguments\": {\"device\": \"cd2\", \"id\": \"cd1\", \"force\": false}}", "medium=cd2,none ", EMPTY},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": 1048576}}", "balloon=1048576 ", EMPTY},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": 9223372036854775807}}", "balloon=9223372036854775807 ", EMPTY},
        {"{\"execute\": \"query-balloon\"}", "", "{\"return\": {\"actual\": 20015998341120}}\r\n"},
        /* Wrong arguments. */
        {"{\"execute\": \"screendump\"}", "", GENERIC("Parameter 'filename' is missing")},
        {"{\"execute\": \"screendump\", \"arguments\": {\"filename\": 7}}", "", GENERIC("Parameter 'filename' is no string that can be used")},
        {"{\"execute\": \"save\", \"arguments\": {\"filename\": \"\"}}", "", GENERIC("Parameter 'filename' is no string that can be used")},
        {"{\"execute\": \"save\", \"arguments\": {\"filename\": \"a\\u0000b\"}}", "", GENERIC("Parameter 'filename' is no string that can be used")},
        {"{\"execute\": \"save\", \"arguments\": {\"filename\": [\"a\"]}}", "", GENERIC("Parameter 'filename' is no string that can be used")},
        {"{\"execute\": \"save\", \"arguments\": {\"filename\": null}}", "", GENERIC("Parameter 'filename' is no string that can be used")},
        {"{\"execute\": \"eject\", \"arguments\": {\"id\": \"cd0\", \"force\": 1}}", "", GENERIC("Parameter 'force' is neither true nor false")},
        {"{\"execute\": \"eject\"}", "", GENERIC("Parameter 'id' is missing")},
        {"{\"execute\": \"blockdev-change-medium\", \"arguments\": {\"device\": \"cd0\"}}", "", GENERIC("Parameter 'filename' is missing")},
        {"{\"execute\": \"balloon\"}", "", GENERIC("Parameter 'value' is missing")},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": \"1\"}}", "", GENERIC("Parameter 'value' expects a size")},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": 1.5}}", "", GENERIC("Parameter 'value' expects a size")},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": -1}}", "", GENERIC("Parameter 'value' expects a size")},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": 9223372036854775808}}", "", GENERIC("Parameter 'value' expects a size")},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": 18446744073709551617}}", "", GENERIC("Parameter 'value' expects a size")},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": 20000000000000000001}}", "", GENERIC("Parameter 'value' expects a size")},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": 0}}", "", GENERIC("Parameter 'target' expects a size")},
        /* What is not there. */
        {"{\"execute\": \"quit\", \"arguments\": {\"now\": true}}", "", GENERIC("Parameter 'now' is unexpected")},
        {"{\"execute\": \"save\", \"arguments\": {\"filename\": \"f\", \"\\\"\": 1}}", "", GENERIC("Parameter '\\\"' is unexpected")},
        {"{\"execute\": \"quit\", \"arguments\": []}", "", GENERIC("QMP input member 'arguments' must be an object")},
        {"{\"execute\": \"quit\", \"arguments\": 1}", "", GENERIC("QMP input member 'arguments' must be an object")},
        {"{\"execute\": \"quit\", \"argument\": {}}", "", GENERIC("QMP input member 'argument' is unexpected")},
        {"{\"execute\": \"Quit\"}", "", ERROR("CommandNotFound", "The command has not been found")},
        {"{\"execute\": \"quit \"}", "", ERROR("CommandNotFound", "The command has not been found")},
        {"{\"execute\": \"\"}", "", ERROR("CommandNotFound", "The command has not been found")},
        {"{\"execute\": [\"quit\"]}", "", GENERIC("QMP input lacks member 'execute'")},
        {"{}", "", GENERIC("QMP input lacks member 'execute'")},
        {"{\"a\": {\"execute\": \"quit\"}}", "", GENERIC("QMP input lacks member 'execute'")},
        /* Of a member that is there twice the last counts. */
        {"{\"execute\": \"quit\", \"execute\": \"stop\"}", "stop ", EMPTY},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": 1, \"value\": 2}}", "balloon=2 ", EMPTY},
    };
    static struct session s;
    negotiated(&s);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        s.m.log[0] = 0;
        CHECK_STR(ask(&s, rows[i].command), rows[i].answer);
        CHECK_STR(s.m.log, rows[i].log);
    }
    static const char *const states[] = {"paused", "shutdown"};
    for (unsigned i = 0; i < ARRAY_LEN(states); i++) {
        char want[128];
        s.m.status = states[i];
        snprintf(want, sizeof want, "{\"return\": {\"running\": false, \"singlestep\": false, \"status\": \"%s\"}}\r\n", states[i]);
        CHECK_STR(ask(&s, "{\"execute\": \"query-status\"}"), want);
    }
    qmp_destroy(s.q);
}

/* What the machine cannot do comes back with its reason, as JSON: quotes escaped, and what is no UTF-8 replaced. */
static void test_failures(void)
{
#define WHY ": \\\"no\\\" \\\\ \\ufffd \xc3\xa9"
    static const struct {
        const char *command, *answer;
    } rows[] = {
        {"{\"execute\": \"stop\"}", GENERIC("stop" WHY)},
        {"{\"execute\": \"cont\"}", GENERIC("cont" WHY)},
        {"{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"/d\"}}", GENERIC("/d" WHY)},
        {"{\"execute\": \"save\", \"arguments\": {\"filename\": \"/s\"}}", GENERIC("/s" WHY)},
        {"{\"execute\": \"eject\", \"arguments\": {\"id\": \"cd0\"}}", GENERIC("cd0" WHY)},
        {"{\"execute\": \"blockdev-change-medium\", \"arguments\": {\"id\": \"cd0\", \"filename\": \"/m\"}}", GENERIC("cd0" WHY)},
        {"{\"execute\": \"balloon\", \"arguments\": {\"value\": 1}}", ERROR("DeviceNotActive", "no balloon" WHY)},
        {"{\"execute\": \"query-balloon\"}", ERROR("DeviceNotActive", "no balloon" WHY)},
    };
    static struct session s;
    negotiated(&s);
    s.m.fails = true;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_STR(ask(&s, rows[i].command), rows[i].answer);
    char text[2048], path[1024];
    memset(path, 'a', sizeof path), path[sizeof path - 2] = 0; /* the longest: its error is cut */
    for (size_t i = 1; i + 1 < sizeof path - 2; i += 2)
        memcpy(path + i, "\xc3\xa9", 2);
    snprintf(text, sizeof text, "{\"execute\": \"save\", \"arguments\": {\"filename\": \"%s\"}}", path);
    CHECK(strstr(ask(&s, text), "GenericError"));
    s.m.log[0] = s.m.fails = 0;
    CHECK_STR(ask(&s, text), EMPTY);
    snprintf(text, sizeof text, "{\"execute\": \"save\", \"arguments\": {\"filename\": \"%sbb\"}}", path);
    CHECK_STR(ask(&s, text), GENERIC("Parameter 'filename' is no string that can be used"));
    qmp_destroy(s.q);
}

/* An id comes back as it was, whatever it is, in one line, behind an answer and behind an error. */
static void test_ids(void)
{
    static const struct {
        const char *id, *back;
    } rows[] = {{"1", "1"},       {"\"a\\\"b\"", "\"a\\\"b\""},         {"null", "null"}, {"-1.5e3", "-1.5e3"},
                {"[1,\n2]", "[1,2]"}, {"{\"a\":\r\n\t{\"b\": []}}", "{\"a\":{\"b\": []}}"}, {"true", "true"}, {"\"\xe2\x82\xac\"", "\"\xe2\x82\xac\""}};
    static struct session s;
    char text[2048], want[2048], id[1100];
    negotiated(&s);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof text, "{\"id\": %s, \"execute\": \"stop\"}", rows[i].id);
        snprintf(want, sizeof want, "{\"return\": {}, \"id\": %s}\r\n", rows[i].back);
        CHECK_STR(ask(&s, text), want);
        snprintf(text, sizeof text, "{\"execute\": \"none\", \"id\": %s}", rows[i].id);
        snprintf(want, sizeof want, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command has not been found\"}, \"id\": %s}\r\n", rows[i].back);
        CHECK_STR(ask(&s, text), want);
    }
    for (unsigned n = 1024; n <= 1025; n++) {
        memset(id, 'x', n), id[0] = id[n - 1] = '"', id[n] = 0;
        snprintf(text, sizeof text, "{\"execute\": \"stop\", \"id\": %s}", id);
        snprintf(want, sizeof want, "{\"return\": {}, \"id\": %s}\r\n", id);
        CHECK_STR(ask(&s, text), n == 1024 ? want : GENERIC("QMP input member 'id' has more than 1024 bytes"));
    }
    qmp_destroy(s.q);
}

/* Garbage: one error, then nothing up to the end of its line; the next line counts again. */
static void test_garbage(void)
{
#define PARSE GENERIC("JSON parse error")
#define OBJECT GENERIC("JSON parse error, expecting an object")
    static const struct {
        const char *text, *answer;
    } rows[] = {
        {"hello", OBJECT}, {"[1, 2]", OBJECT}, {"\"quit\"", OBJECT}, {"}", OBJECT}, {"\x01", OBJECT},
        {"{\"execute\": quit}", PARSE}, {"{\"execute\": \"quit\",}", PARSE}, {"{\"execute\" \"quit\"}", PARSE}, {"{'execute': 'quit'}", PARSE},
        {"{\"execute\": \"quit\"]", PARSE}, {"{\"a\": 01, \"execute\": \"quit\"}", PARSE}, {"{\"a\": 1., \"execute\": \"quit\"}", PARSE},
        {"{\"a\": .5}", PARSE}, {"{\"a\": +1}", PARSE}, {"{\"a\": 1e}", PARSE}, {"{\"a\": tru}", PARSE}, {"{\"a\": nul}", PARSE}, {"{\"a\"}", PARSE},
        {"{\"execute\": \"qu\\it\"}", PARSE}, {"{\"a\": \"\\u12g4\"}", PARSE}, {"{\"a\": \"\\ud800\"}", PARSE}, {"{\"a\": \"\\ud800\\u0041\"}", PARSE},
        {"{\"a\": \"\\udc00\"}", PARSE}, {"{\"a\": \"\t\"}", PARSE},
        /* No UTF-8: a byte alone, cut, too long, a surrogate, beyond the last. */
        {"{\"a\": \"\x80\"}", PARSE}, {"{\"a\": \"\xc3\"}", PARSE}, {"{\"a\": \"\xc0\x80\"}", PARSE}, {"{\"a\": \"\xe0\x9f\xbf\"}", PARSE},
        {"{\"a\": \"\xed\xa0\x80\"}", PARSE}, {"{\"a\": \"\xf0\x8f\xbf\xbf\"}", PARSE}, {"{\"a\": \"\xf4\x90\x80\x80\"}", PARSE},
        {"{\"a\": \"\xf5\x80\x80\x80\"}", PARSE}, {"{\"a\": \"\xe2\x82\"}", PARSE}, {"{\"a\": \"\xff\"}", PARSE},
        {"{\"id\": \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\xed\x9f\xbf\"}",
         "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input lacks member 'execute'\"}, "
         "\"id\": \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\xed\x9f\xbf\"}\r\n"},
    };
    static struct session s;
    char text[256];
    negotiated(&s);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        s.m.log[0] = 0;
        snprintf(text, sizeof text, "%s {\"execute\": \"quit\"}", rows[i].text); /* in the same line: garbage too */
        bool whole = rows[i].answer[strlen(rows[i].answer) - 4] == '"';
        CHECK_STR(ask(&s, whole ? rows[i].text : text), rows[i].answer);
        CHECK_STR(ask(&s, "more of it"), whole ? OBJECT : "");
        CHECK_STR(s.m.log, "");
        CHECK_STR(ask(&s, "\n{\"execute\": \"stop\"}"), EMPTY);
        CHECK_STR(s.m.log, "stop ");
    }
    qmp_destroy(s.q);
}

/* An object of DEPTH arrays. */
static void nested(char *text, unsigned depth)
{
    char *p = text + sprintf(text, "{\"execute\": \"stop\", \"id\": ");
    for (unsigned i = 0; i < depth; i++)
        *p++ = '[';
    for (unsigned i = 0; i < depth; i++)
        *p++ = ']';
    strcpy(p, "}");
}

/* How deep and how long a message may be; pieces of one; several in one piece. */
static void test_limits(void)
{
    static struct session s;
    static char text[70000];
    negotiated(&s);
    nested(text, JSON_DEPTH - 1);
    CHECK(!strncmp(ask(&s, text), "{\"return\": {}, \"id\": [[", 23));
    nested(text, JSON_DEPTH);
    CHECK_STR(ask(&s, text), PARSE);
    CHECK_STR(ask(&s, "\n"), "");
    static const char begin[] = "{\"execute\": \"stop\", \"id\": 1", end[] = "}";
    for (unsigned over = 0; over < 2; over++) { /* 64 KiB, and one byte more */
        size_t n = 65536 + over;
        memset(text, ' ', n);
        memcpy(text, begin, sizeof begin - 1), memcpy(text + n - 1, end, 1), text[n] = 0;
        s.m.log[0] = 0;
        CHECK_STR(ask(&s, text), over ? GENERIC("JSON message is longer than 64 KiB") : "{\"return\": {}, \"id\": 1}\r\n");
        CHECK_STR(ask(&s, "\n"), "");
        CHECK_STR(s.m.log, over ? "" : "stop ");
    }
    static const char whole[] = " \t\r\n\xff{\"execute\": \"stop\", \"id\": \"}{\\\"\"}";
    for (size_t i = 0; i + 2 < sizeof whole; i++) {
        char one[2] = {whole[i]};
        CHECK_STR(ask(&s, one), "");
    }
    CHECK_STR(ask(&s, "}"), "{\"return\": {}, \"id\": \"}{\\\"\"}\r\n");
    CHECK_STR(ask(&s, "{\"execute\": \"stop\", \"id\": 1}{\"execute\": \"none\"}\n{\"execute\": \"cont\", \"id\": 2} {"),
              "{\"return\": {}, \"id\": 1}\r\n" ERROR("CommandNotFound", "The command has not been found") "{\"return\": {}, \"id\": 2}\r\n");
    qmp_destroy(s.q);
}

static void test_events(void)
{
    static struct session s;
    negotiated(&s);
    s.m.wall_us = 1700000000000007;
    qmp_event(s.q, "STOP", NULL);
    CHECK_STR(said(&s), "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 7}, \"event\": \"STOP\"}\r\n");
    qmp_event(s.q, "RESET", "{\"guest\": true}");
    CHECK_STR(said(&s), "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 7}, \"event\": \"RESET\", \"data\": {\"guest\": true}}\r\n");

    /* A client that does not read: commands wait until it does, none is lost or carried out twice; of the events, whole ones are lost. */
    static char flood[4000 * 40];
    unsigned sent = 0, got = 0, events = 0;
    size_t n = 0;
    for (; n + 40 < sizeof flood && sent < 3000; sent++)
        n += (size_t)sprintf(flood + n, "{\"execute\": \"stop\", \"id\": %u}", sent);
    CHECK(n > 65536);
    size_t take = 60000;
    qmp_input(s.q, flood, take);
    for (unsigned i = 0; i < 3000; i++)
        qmp_event(s.q, "FLOOD", NULL);
    for (bool all = false;;) {
        const char *text = said(&s);
        if (!*text && all)
            break;
        for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
            unsigned id;
            if (strstr(line, "FLOOD") && strstr(line, "FLOOD") < strchr(line, '\n'))
                events++;
            else
                CHECK(sscanf(line, "{\"return\": {}, \"id\": %u}", &id) == 1 && id == got++);
        }
        if (!all)
            qmp_input(s.q, flood + take, n - take);
        all = true;
    }
    CHECK_EQ(got, sent);
    CHECK(events > 0 && events < 3000);
    qmp_destroy(s.q);
}

int main(void)
{
    test_negotiation();
    test_commands();
    test_failures();
    test_ids();
    test_garbage();
    test_limits();
    test_events();
    return check_done();
}
