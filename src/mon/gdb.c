/* The packets of GDB's remote protocol (gdb manual, appendix E): a table of names, one function each. Not
 * offered: non-stop mode, reverse execution, file and process packets; their names get the empty reply, which
 * says so. */
#include "mon/gdb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "mon/gdb_regs.h"
#include "mon/gdb_session.h"

#define ERROR_INVAL 0x16
#define SIGNAL_TRAP 5
#define XML_MAX     16384u

/* --- replies */

static void put_out(struct gdb *g, const u8 *data, size_t n)
{
    if (n > sizeof g->out - g->out_used)
        return; /* a client that asks and never reads loses replies */
    memcpy(g->out + g->out_used, data, n);
    g->out_used += n;
}

static void send_reply(struct gdb *g)
{
    g->last_len = gdb_frame(g->last, (const u8 *)g->reply, g->reply_len);
    put_out(g, g->last, g->last_len);
}

void gdb_reply_text(struct gdb *g, const char *text)
{
    size_t n = strlen(text);
    g->reply_len = n < GDB_PACKET_MAX ? n : GDB_PACKET_MAX;
    memcpy(g->reply, text, g->reply_len);
    send_reply(g);
}

void gdb_reply_ok(struct gdb *g)
{
    gdb_reply_text(g, "OK");
}

void gdb_reply_error(struct gdb *g, u8 code)
{
    char text[4];
    snprintf(text, sizeof text, "E%02x", code);
    gdb_reply_text(g, text);
}

void gdb_reply_bytes(struct gdb *g, const u8 *bytes, size_t n)
{
    n = n < GDB_PACKET_MAX / 2 ? n : GDB_PACKET_MAX / 2;
    gdb_hex_put(g->reply, bytes, n);
    g->reply_len = 2 * n;
    send_reply(g);
}

static void reply_stop(struct gdb *g)
{
    static const char *const names[] = {
        [POINT_WRITE] = "watch", [POINT_READ] = "rwatch", [POINT_ACCESS] = "awatch"};
    char text[96];
    int n = snprintf(text, sizeof text, "T%02xthread:%x;", g->stop_signal, g->stop_cpu + 1);
    if (g->stop_hit.kind)
        snprintf(text + n, sizeof text - (size_t)n, "%s:%llx;", names[g->stop_hit.kind],
                 (unsigned long long)g->stop_hit.lin);
    gdb_reply_text(g, text);
}

/* --- registers */

static struct cpu *cpu_of(struct gdb *g)
{
    return g->target.cpu(g->target.opaque, g->cpu);
}

static void packet_registers(struct gdb *g, const char *arg)
{
    u8 all[GDB_PACKET_MAX / 2];
    size_t at = 0;
    (void)arg;
    for (unsigned n = 0; n < gdb_regs_count(); at += gdb_reg_size(n++))
        gdb_reg_get(cpu_of(g), n, all + at);
    gdb_reply_bytes(g, all, at);
}

static void packet_set_registers(struct gdb *g, const char *arg)
{
    bool ok = true;
    for (unsigned n = 0; n < gdb_regs_count() && *arg; n++) {
        u8 value[GDB_REG_MAX];
        unsigned size = gdb_reg_size(n);
        if (!gdb_hex_bytes(arg, value, size)) {
            ok = false;
            break;
        }
        ok &= gdb_reg_set(cpu_of(g), n, value);
        arg += 2 * size;
    }
    g->target.changed(g->target.opaque, g->cpu);
    if (ok)
        gdb_reply_ok(g);
    else
        gdb_reply_error(g, ERROR_INVAL);
}

static void packet_register(struct gdb *g, const char *arg)
{
    u8 value[GDB_REG_MAX];
    u64 n;
    if (!gdb_hex_number(&arg, &n) || *arg || n >= gdb_regs_count()) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    gdb_reg_get(cpu_of(g), (unsigned)n, value);
    gdb_reply_bytes(g, value, gdb_reg_size((unsigned)n));
}

static void packet_set_register(struct gdb *g, const char *arg)
{
    u8 value[GDB_REG_MAX];
    u64 n;
    bool ok = gdb_hex_number(&arg, &n) && *arg++ == '=' && n < gdb_regs_count() &&
              gdb_hex_bytes(arg, value, gdb_reg_size((unsigned)n)) && !arg[2 * gdb_reg_size((unsigned)n)] &&
              gdb_reg_set(cpu_of(g), (unsigned)n, value);
    g->target.changed(g->target.opaque, g->cpu);
    if (ok)
        gdb_reply_ok(g);
    else
        gdb_reply_error(g, ERROR_INVAL);
}

/* --- memory and points */

static void packet_read(struct gdb *g, const char *arg)
{
    gdb_read_memory(g, arg);
}
static void packet_write(struct gdb *g, const char *arg)
{
    gdb_write_memory(g, arg, false);
}
static void packet_write_binary(struct gdb *g, const char *arg)
{
    gdb_write_memory(g, arg, true);
}
static void packet_insert(struct gdb *g, const char *arg)
{
    gdb_point(g, arg, true);
}
static void packet_remove(struct gdb *g, const char *arg)
{
    gdb_point(g, arg, false);
}

/* --- threads */

/* A thread number as gdb writes it: -1 and 0 mean any. */
static bool thread_id(struct gdb *g, const char **p, unsigned *cpu, bool *any)
{
    u64 id = 0;
    if (!strncmp(*p, "-1", 2))
        *p += 2;
    else if (!gdb_hex_number(p, &id))
        return false;
    *any = !id;
    *cpu = id ? (unsigned)(id - 1) : 0;
    return id <= g->target.cpus(g->target.opaque);
}

static void packet_thread(struct gdb *g, const char *arg)
{
    unsigned cpu;
    bool any, registers = *arg++ == 'g';
    if (!thread_id(g, &arg, &cpu, &any) || *arg) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    if (registers && !any)
        g->cpu = cpu;
    gdb_reply_ok(g);
}

static void packet_thread_alive(struct gdb *g, const char *arg)
{
    unsigned cpu;
    bool any;
    if (thread_id(g, &arg, &cpu, &any) && !*arg && !any)
        gdb_reply_ok(g);
    else
        gdb_reply_error(g, ERROR_INVAL);
}

static void list_threads(struct gdb *g)
{
    unsigned n = g->target.cpus(g->target.opaque);
    char text[512] = "l";
    size_t used = 0;
    for (; g->listed < n && used < sizeof text - 16; g->listed++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%c%x", used ? ',' : 'm', g->listed + 1);
    gdb_reply_text(g, text);
}

static void packet_first_threads(struct gdb *g, const char *arg)
{
    (void)arg;
    g->listed = 0;
    list_threads(g);
}

static void packet_more_threads(struct gdb *g, const char *arg)
{
    (void)arg;
    list_threads(g);
}

static void packet_thread_info(struct gdb *g, const char *arg)
{
    static const char *const activity[] = {[ACTIVITY_RUNNING] = "running",
                                           [ACTIVITY_HALTED] = "halted",
                                           [ACTIVITY_WAIT_SIPI] = "waits for SIPI",
                                           [ACTIVITY_SHUTDOWN] = "shut down"};
    char text[64];
    unsigned cpu;
    bool any;
    if (!thread_id(g, &arg, &cpu, &any) || *arg || any) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    const struct cpu *c = g->target.cpu(g->target.opaque, cpu);
    snprintf(text, sizeof text, "vCPU %u, CPL %u, %s", cpu, c->cpl, activity[c->activity & 3]);
    gdb_reply_bytes(g, (const u8 *)text, strlen(text));
}

static void packet_current_thread(struct gdb *g, const char *arg)
{
    char text[16];
    (void)arg;
    snprintf(text, sizeof text, "QC%x", g->cpu + 1);
    gdb_reply_text(g, text);
}

/* --- running */

static void go_on(struct gdb *g)
{
    g->running = true;
    g->target.resume(g->target.opaque, g->go, g->step_interrupts);
}

static void set_all(struct gdb *g, enum gdb_go go)
{
    for (unsigned n = 0; n < g->target.cpus(g->target.opaque); n++)
        g->go[n] = go;
}

/* `c`, `s`, with an address, and `C`, `S`, whose signal a machine has no use for. */
static void resume_all(struct gdb *g, const char *arg, bool step, bool signal)
{
    u64 v;
    if (signal && (!gdb_hex_number(&arg, &v) || (*arg && *arg++ != ';'))) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    if (*arg) {
        if (!gdb_hex_number(&arg, &v) || *arg) {
            gdb_reply_error(g, ERROR_INVAL);
            return;
        }
        cpu_of(g)->rip = v;
        g->target.changed(g->target.opaque, g->cpu);
    }
    set_all(g, step ? GDB_STAY : GDB_GO);
    if (step)
        g->go[g->cpu] = GDB_STEP;
    go_on(g);
}

static void packet_continue(struct gdb *g, const char *arg)
{
    resume_all(g, arg, false, false);
}
static void packet_step(struct gdb *g, const char *arg)
{
    resume_all(g, arg, true, false);
}
static void packet_continue_signal(struct gdb *g, const char *arg)
{
    resume_all(g, arg, false, true);
}
static void packet_step_signal(struct gdb *g, const char *arg)
{
    resume_all(g, arg, true, true);
}

/* One `;ACTION[:THREAD]` of vCont, into those vCPUs of go[] that no earlier one named. */
static bool vcont_action(struct gdb *g, const char **arg, bool *named)
{
    char action = **arg;
    unsigned cpu = 0, n = g->target.cpus(g->target.opaque);
    bool any = true;
    u64 signal;
    ++*arg;
    if ((action == 'C' || action == 'S') && !gdb_hex_number(arg, &signal))
        return false;
    if (**arg == ':') {
        ++*arg;
        if (!thread_id(g, arg, &cpu, &any))
            return false;
    }
    if (!strchr("cCsS", action) || (**arg && **arg != ';'))
        return false;
    for (unsigned i = any ? 0 : cpu; i < (any ? n : cpu + 1); i++)
        if (!named[i]) {
            named[i] = true;
            g->go[i] = action == 'c' || action == 'C' ? GDB_GO : GDB_STEP;
        }
    return true;
}

static void packet_vcont(struct gdb *g, const char *arg)
{
    bool named[GDB_CPUS_MAX] = {false}, ok = *arg == ';', some = false;
    set_all(g, GDB_STAY);
    while (ok && *arg == ';') {
        arg++;
        ok = *arg && vcont_action(g, &arg, named);
    }
    for (unsigned n = 0; n < g->target.cpus(g->target.opaque); n++)
        some |= named[n];
    if (ok && some && !*arg)
        go_on(g);
    else
        gdb_reply_error(g, ERROR_INVAL);
}

static void packet_vcont_query(struct gdb *g, const char *arg)
{
    (void)arg;
    gdb_reply_text(g, "vCont;c;C;s;S");
}

static void packet_why(struct gdb *g, const char *arg)
{
    (void)arg;
    reply_stop(g);
}

static void packet_detach(struct gdb *g, const char *arg)
{
    (void)arg;
    gdb_reply_ok(g);
    gdb_session_end(g);
}

static void packet_kill(struct gdb *g, const char *arg)
{
    if (*arg) /* vKill;PID wants an answer, k none */
        gdb_reply_ok(g);
    g->target.kill(g->target.opaque);
}

/* --- what it can do */

static void packet_supported(struct gdb *g, const char *arg)
{
    char text[160];
    (void)arg;
    snprintf(text, sizeof text,
             "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;binary-upload-",
             GDB_PACKET_MAX);
    gdb_reply_text(g, text);
}

static void packet_no_ack(struct gdb *g, const char *arg)
{
    (void)arg;
    gdb_reply_ok(g);
    g->no_ack = true;
}

static void packet_attached(struct gdb *g, const char *arg)
{
    (void)arg;
    gdb_reply_text(g, "1");
}

static void packet_features(struct gdb *g, const char *arg)
{
    u64 at, len;
    if (strncmp(arg, "target.xml:", 11)) {
        gdb_reply_error(g, 0);
        return;
    }
    arg += 11;
    if (!gdb_hex_number(&arg, &at) || *arg++ != ',' || !gdb_hex_number(&arg, &len) || *arg ||
        at > g->xml_len) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    u64 left = g->xml_len - at;
    len = len < left ? len : left;
    len = len < GDB_PACKET_MAX - 1 ? len : GDB_PACKET_MAX - 1;
    g->reply[0] = len == left ? 'l' : 'm';
    memcpy(g->reply + 1, g->xml + at, (size_t)len);
    g->reply_len = (size_t)len + 1;
    send_reply(g);
}

/* QEMU's own packets, which its users' scripts send: physical addresses for memory, and whether a step takes
 * interrupts (bit 1 of sstep: it does not; bit 2, timers, has no meaning here). */
static void packet_physical(struct gdb *g, const char *arg)
{
    if ((*arg != '0' && *arg != '1') || arg[1]) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    g->physical = *arg == '1';
    gdb_reply_ok(g);
}

static void packet_physical_query(struct gdb *g, const char *arg)
{
    (void)arg;
    gdb_reply_text(g, g->physical ? "1" : "0");
}

static void packet_sstep_bits(struct gdb *g, const char *arg)
{
    (void)arg;
    gdb_reply_text(g, "ENABLE=1,NOIRQ=2,NOTIMER=4");
}

static void packet_sstep_query(struct gdb *g, const char *arg)
{
    (void)arg;
    gdb_reply_text(g, g->step_interrupts ? "0x1" : "0x7");
}

static void packet_sstep(struct gdb *g, const char *arg)
{
    u64 v;
    if (!strncmp(arg, "0x", 2))
        arg += 2;
    if (!gdb_hex_number(&arg, &v) || *arg) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    g->step_interrupts = !(v & 2);
    gdb_reply_ok(g);
}

/* Longer names stand before those that they begin with. */
static const struct {
    const char *name;
    void (*serve)(struct gdb *g, const char *arg);
} packets[] = {
    {"qSupported", packet_supported},
    {"QStartNoAckMode", packet_no_ack},
    {"qXfer:features:read:", packet_features},
    {"qAttached", packet_attached},
    {"qfThreadInfo", packet_first_threads},
    {"qsThreadInfo", packet_more_threads},
    {"qThreadExtraInfo,", packet_thread_info},
    {"qC", packet_current_thread},
    {"qqemu.PhyMemMode", packet_physical_query},
    {"Qqemu.PhyMemMode:", packet_physical},
    {"qqemu.sstepbits", packet_sstep_bits},
    {"qqemu.sstep", packet_sstep_query},
    {"Qqemu.sstep=", packet_sstep},
    {"vCont?", packet_vcont_query},
    {"vCont", packet_vcont},
    {"vKill", packet_kill},
    {"?", packet_why},
    {"g", packet_registers},
    {"G", packet_set_registers},
    {"p", packet_register},
    {"P", packet_set_register},
    {"m", packet_read},
    {"M", packet_write},
    {"X", packet_write_binary},
    {"Z", packet_insert},
    {"z", packet_remove},
    {"H", packet_thread},
    {"T", packet_thread_alive},
    {"c", packet_continue},
    {"s", packet_step},
    {"C", packet_continue_signal},
    {"S", packet_step_signal},
    {"D", packet_detach},
    {"k", packet_kill},
};

static void serve_packet(struct gdb *g)
{
    const char *body = (const char *)g->in.body;
    for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
        size_t n = strlen(packets[i].name);
        if (!strncmp(body, packets[i].name, n)) {
            packets[i].serve(g, body + n);
            return;
        }
    }
    gdb_reply_text(g, "");
}

static void serve_event(struct gdb *g, enum gdb_event event)
{
    switch (event) {
    case GDB_NOTHING: break;
    case GDB_PACKET:
        if (g->running)
            break; /* all-stop: a client says nothing while the guest runs */
        if (!g->no_ack)
            put_out(g, (const u8 *)"+", 1);
        serve_packet(g);
        break;
    case GDB_BAD:
        if (!g->no_ack)
            put_out(g, (const u8 *)"-", 1);
        break;
    case GDB_AGAIN:
        if (!g->no_ack)
            put_out(g, g->last, g->last_len);
        break;
    case GDB_INTERRUPT:
        if (g->running)
            g->target.interrupt(g->target.opaque);
        break;
    }
}

void gdb_input(struct gdb *g, const u8 *data, size_t n)
{
    for (; n; n--)
        serve_event(g, gdb_input_byte(&g->in, *data++));
}

size_t gdb_output(struct gdb *g, u8 *buf, size_t n)
{
    n = n < g->out_used ? n : g->out_used;
    memcpy(buf, g->out, n);
    g->out_used -= n;
    memmove(g->out, g->out + n, g->out_used);
    return n;
}

/* --- its life */

void gdb_session_start(struct gdb *g)
{
    memset(&g->in, 0, sizeof g->in);
    g->out_used = g->last_len = 0;
    g->no_ack = g->physical = g->step_interrupts = false;
    g->cpu = g->stop_cpu;
}

void gdb_session_end(struct gdb *g)
{
    g->running = true;
    g->target.release(g->target.opaque);
}

bool gdb_running(const struct gdb *g)
{
    return g->running;
}

void gdb_stopped(struct gdb *g, unsigned n, u8 signal, struct point_hit hit)
{
    bool told = g->running && g->client >= 0 && !g->arriving;
    g->running = g->arriving = false;
    g->stop_cpu = g->cpu = n;
    g->stop_signal = signal;
    g->stop_hit = hit;
    if (told)
        reply_stop(g);
}

struct gdb *gdb_create_detached(const struct gdb_target *target)
{
    struct gdb *g = calloc(1, sizeof *g);
    char *xml = malloc(XML_MAX);
    if (!g || !xml) {
        free(g);
        free(xml);
        return NULL;
    }
    g->target = *target;
    g->listener.fd = g->client = -1;
    g->xml = xml;
    g->xml_len = gdb_regs_xml(xml, XML_MAX);
    g->stop_signal = SIGNAL_TRAP;
    g->running = true; /* until the machine has said that it stands */
    gdb_session_start(g);
    return g;
}
