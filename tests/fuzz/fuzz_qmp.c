/* QMP on an arbitrary stream of bytes: byte 0 begins a command, whose name's number in a list follows, so that the fuzzer gets behind the names;
 * everything else goes in raw. Checked: answers are lines, and each is well-formed JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mon/json.h"
#include "mon/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *status(void *opaque)
{
    (void)opaque;
    return "running";
}

static enum status plain(void *opaque, struct error *e)
{
    (void)opaque, (void)e;
    return STATUS_OK;
}

static void nothing(void *opaque)
{
    (void)opaque;
}

static enum status file(void *opaque, const char *path, struct error *e)
{
    (void)opaque;
    return error_set(e, STATUS_HOST, "%s: no", path);
}

static enum status medium(void *opaque, const char *device, const char *path, bool force, struct error *e)
{
    (void)opaque;
    return error_set(e, STATUS_HOST, "%s %s: %s", device, path ? path : "-", force ? "not even so" : "no");
}

static enum status resize(void *opaque, u64 bytes, struct error *e)
{
    (void)opaque;
    if (!bytes)
        abort();
    return bytes & 1 ? error_set(e, STATUS_USAGE, "no balloon") : STATUS_OK;
}

static enum status size_of(void *opaque, u64 *bytes, struct error *e)
{
    (void)opaque, (void)e;
    *bytes = 1 << 20;
    return STATUS_OK;
}

static u64 wall(void *opaque)
{
    (void)opaque;
    return 1000001;
}

static void check_output(struct qmp *q)
{
    static char out[1 << 17];
    size_t n = qmp_output(q, out, sizeof out);
    for (char *line = out, *end; line < out + n; line = end + 1) {
        end = memchr(line, '\n', (size_t)(out + n - line));
        /* What a client said in its strings comes back as it was: bytes that are no UTF-8 too. */
        if (!end || !json_valid(line, (size_t)(end - line)))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"qmp_capabilities", "query-status", "query-commands", "query-version", "stop", "cont",
                                        "system_powerdown", "system_reset", "quit", "screendump", "save", "eject",
                                        "blockdev-change-medium", "balloon", "query-balloon"};
    const struct qmp_target target = {status, plain, plain, nothing, nothing, nothing, file, file, medium, resize, size_of, wall, NULL};
    struct qmp *q = qmp_create_detached(&target);
    if (!q)
        abort();
    for (size_t i = 0; i < size; i++) {
        char text[96];
        if (data[i] || i + 1 == size) {
            qmp_input(q, (const char *)data + i, 1);
            continue;
        }
        int n = snprintf(text, sizeof text, "{\"execute\": \"%s\", \"arguments\": ", names[data[++i] % ARRAY_LEN(names)]);
        qmp_input(q, text, (size_t)n);
        check_output(q);
        qmp_event(q, "STOP", NULL);
    }
    check_output(q);
    qmp_destroy(q);
    return 0;
}
