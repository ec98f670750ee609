/* The table of `trine run`'s options: parsing, checking and --help come from it. Options of the contract that
 * are not built take their neutral value and no other. */
#include "cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/device_options.h"
#include "cli/switch_option.h"
#include "cli/values.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

struct option {
    const char *name; /* without the dashes */
    const char *arg;  /* null: a flag */
    const char *help; /* lines after the first are indented; null: not built, and not listed */
    /* Takes VALUE. Null is success; else why not, in words. */
    const char *(*set)(struct run_options *o, const char *value);
    /* The same for options that only store: a flag's bool or a text at OFFSET in struct run_options. */
    size_t offset;
    const char *neutral; /* not built: the value that is accepted; null: none is */
};

static const char NOT_BUILT[] = "not built in";

static bool one_of(const char *value, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(value, *list))
            return true;
    return false;
}

/* VALUE must be in BUILT, or is told to be not built if it is in LATER. */
static const char *choose(const char *value, const char *const *built, const char *const *later,
                          const char *why)
{
    if (one_of(value, built))
        return NULL;
    return one_of(value, later) ? NOT_BUILT : why;
}

static const char *set_engine(struct run_options *o, const char *value)
{
    static const char *const later[] = {"jit", NULL};
    const char *name;
    char why[512];
    bool usable;
    o->config.engine = value;
    if (!strcmp(value, "auto"))
        return NULL;
    for (unsigned n = 0; trine_engine(n, &name, &usable, why, sizeof why); n++)
        if (!strcmp(value, name))
            return NULL;
    return one_of(value, later) ? NOT_BUILT : "no such engine";
}

static const char *set_machine(struct run_options *o, const char *value)
{
    static const char *const built[] = {"pc", "microvm", NULL}, *const later[] = {NULL};
    o->config.machine = value;
    return choose(value, built, later, "no such machine");
}

static const char *set_cpus(struct run_options *o, const char *value)
{
    uint64_t n;
    if (!value_u64(value, &n) || !n)
        return "not a number of vCPUs";
    if (n > TRINE_CPUS_MAX)
        return "more vCPUs than 32";
    o->config.cpus = (uint32_t)n;
    return NULL;
}

static const char *set_cpu(struct run_options *o, const char *value)
{
    static const char *const built[] = {"v1", "v2", "v3", "host", NULL}, *const later[] = {NULL};
    o->config.cpu = value;
    return choose(value, built, later, "no such processor: v1, v2, v3, host");
}

static const char *set_memory(struct run_options *o, const char *value)
{
    char size[32];
    const char *comma = strchr(value, ',');
    size_t n = comma ? (size_t)(comma - value) : strlen(value);
    if (comma && strcmp(comma, ",prealloc"))
        return "behind the size there is only ,prealloc";
    o->config.prealloc = comma;
    snprintf(size, sizeof size, "%.*s", (int)(n < sizeof size ? n : sizeof size), value);
    if (n >= sizeof size || !value_size(size, &o->config.memory))
        return "not a size: a number of bytes, or with K, M or G";
    if (o->config.memory < TRINE_MEMORY_MIN)
        return "less than 1M";
    if (o->config.memory > TRINE_MEMORY_MAX)
        return "more than the processor can address (512G)";
    return o->config.memory % 4096 ? "not a multiple of 4K" : NULL;
}

static const char *set_balloon(struct run_options *o, const char *value)
{
    o->config.balloon = true;
    o->config.balloon_auto = !strcmp(value, "auto");
    if (!o->config.balloon_auto && (!value_size(value, &o->config.balloon_bytes) || !o->config.balloon_bytes))
        return "neither auto nor a size";
    return NULL;
}

/* Cuts the argument at its comma, in place: the name is borrowed. */
static const char *set_share(struct run_options *o, const char *value)
{
    char *comma = strchr(value, ',');
    if (comma && (strncmp(comma, ",limit=", 7) || !value_size(comma + 7, &o->config.share_limit) || !o->config.share_limit))
        return "behind the name there is only ,limit=SIZE";
    size_t n = comma ? (size_t)(comma - value) : strlen(value);
    if (!n || n > 32 || value[0] == '.' ||
        strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != n)
        return "a group's name has 1 to 32 letters, digits, - _ .";
    if (comma)
        *comma = 0;
    o->config.share = value;
    return NULL;
}

static const char *set_sandbox(struct run_options *o, const char *value)
{
    o->config.confine = !strcmp(value, "on");
    return o->config.confine || !strcmp(value, "off") ? NULL : "neither on nor off";
}

static const char *line_end(const char *value, enum trine_serial *kind, const char **where)
{
    static const struct {
        const char *name;
        enum trine_serial kind;
    } kinds[] = {{"stdio", TRINE_SERIAL_STDIO},
                 {"none", TRINE_SERIAL_NONE},
                 {"file:", TRINE_SERIAL_FILE},
                 {"unix:", TRINE_SERIAL_UNIX}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        size_t n = strlen(kinds[i].name);
        bool path = kinds[i].name[n - 1] == ':';
        if (strncmp(value, kinds[i].name, n) || (!path && value[n]))
            continue;
        if (path && !value[n])
            return "no path given";
        *kind = kinds[i].kind;
        *where = path ? value + n : NULL;
        return NULL;
    }
    return "none of stdio, none, file:PATH, unix:PATH";
}

static const char *set_serial(struct run_options *o, const char *value)
{
    o->serial_named = true;
    return line_end(value, &o->config.serial, &o->config.serial_path);
}

static const char *set_console(struct run_options *o, const char *value)
{
    const char *why = line_end(value, &o->config.console_to, &o->config.console_path);
    o->config.console = o->config.console_to != TRINE_SERIAL_NONE;
    return why;
}

static const char *set_display(struct run_options *o, const char *value)
{
    if (strcmp(value, "none") && strcmp(value, "text"))
        return "neither none nor text";
    o->config.display = value[0] == 't' ? TRINE_DISPLAY_TEXT : TRINE_DISPLAY_NONE;
    return NULL;
}

static const char *set_time(struct run_options *o, const char *value)
{
    if (strcmp(value, "real") && strcmp(value, "virtual"))
        return "neither real nor virtual";
    o->config.time = value[0] == 'r' ? TRINE_TIME_REAL : TRINE_TIME_VIRTUAL;
    return NULL;
}

static const char *set_pv(struct run_options *o, const char *value)
{
    if (strcmp(value, "kvm") && strcmp(value, "none"))
        return "neither kvm nor none";
    o->config.pv_kvm = value[0] == 'k';
    return NULL;
}

static const char *set_irqchip(struct run_options *o, const char *value)
{
    if (strcmp(value, "user") && strcmp(value, "kernel"))
        return "neither user nor kernel";
    o->config.irqchip = value[0] == 'u' ? TRINE_IRQCHIP_USER : TRINE_IRQCHIP_KERNEL;
    return NULL;
}

static const char *set_bt_sensitive(struct run_options *o, const char *value)
{
    static const char *const names[] = {
        [TRINE_SENSITIVE_INLINE] = "inline", [TRINE_SENSITIVE_CALL] = "call", [TRINE_SENSITIVE_TRAP] = "trap"};
    for (size_t k = 0; k < COUNT_OF(names); k++)
        if (!strcmp(value, names[k])) {
            o->config.bt_sensitive = (enum trine_sensitive)k;
            return NULL;
        }
    return "neither trap, call nor inline";
}

static const char *set_bt_cache(struct run_options *o, const char *value)
{
    if (!value_size(value, &o->config.bt_cache))
        return "not a size: a number of bytes, or with K, M or G";
    return o->config.bt_cache < TRINE_BT_CACHE_LEAST || o->config.bt_cache > TRINE_BT_CACHE_MOST ? "not from 2M to 128M" : NULL;
}

static const char *set_max_time(struct run_options *o, const char *value)
{
    return value_seconds(value, &o->config.max_time_s) ? NULL : "not a number of seconds above 0";
}

static const char *set_seed(struct run_options *o, const char *value)
{
    return value_u64(value, &o->config.seed) ? NULL : "not a number of 64 bits";
}

/* Cuts the argument at its last @, in place: the path is borrowed. */
static const char *set_save(struct run_options *o, const char *value)
{
    char *at = strrchr(value, '@');
    if (o->config.saves_n == OPTIONS_SAVES)
        return "more snapshots than one run may write (64)";
    struct trine_save *s = &o->saves[o->config.saves_n];
    if (!at || at == value || !value_u64(at + 1, &s->count))
        return "not FILE@COUNT";
    if (s != o->saves && s->count < s[-1].count)
        return "its count is less than that of the --save before";
    *at = 0;
    s->path = value;
    o->config.saves = o->saves;
    o->config.saves_n++;
    return NULL;
}

static const char *set_rtc(struct run_options *o, const char *value)
{
    return value_date(value, &o->config.rtc)
               ? NULL
               : "not a date: YYYY-MM-DD, YYYY-MM-DDTHH:MM:SS or @SECONDS, 1970 to 2254";
}

static const char SEABIOS[] = "/usr/share/seabios/bios-256k.bin";

#define AT(m) .offset = offsetof(struct run_options, m)
#define NEVER_BUILT(n, a, v) {.name = (n), .arg = (a), .neutral = (v)}

static const struct option options[] = {
    {"engine", "auto|interp|bt|kvm", "what executes the guest; auto (default): the fastest usable here.\n"
     "kvm runs when it is named, with a warning where no hardware is behind /dev/kvm",
     .set = set_engine},
    {"machine", "pc|microvm", "default pc: PCI, ACPI and the classic chips. microvm: virtio in memory, no PCI", .set = set_machine},
    {"cpus", "N", "number of vCPUs, 1 to 32; default 1", .set = set_cpus},
    {"cpu", "v1|v2|v3|host",
     "x86-64 level that CPUID offers; host: of v3, what the host has too.\n"
     "Default v3, or the highest that all engines usable here can keep",
     .set = set_cpu},
    {"memory", "SIZE[,prealloc]", "bytes, or with K, M or G; default 512M; allocated when it is touched, or,\nwith prealloc, before the guest starts",
     .set = set_memory},
    {"balloon", "auto|SIZE",
     "a memory balloon: the guest gives back what is above SIZE, and the pages that\n"
     "it frees; auto: as much as the host needs. Changed by QMP and at the prompt",
     .set = set_balloon},
    {"share", "GROUP[,limit=SIZE]",
     "share equal pages with the VMs of GROUP, all of this user (needs --time real);\n"
     "limit: the host's memory for all of the group, which their balloons keep to",
     .set = set_share},
    {"kernel", "FILE", "a Linux bzImage, a Multiboot kernel or an ELF with a PVH note", AT(config.kernel)},
    {"initrd", "FILE",
     "initial RAM disk; Multiboot: modules, `FILE ARGUMENTS,FILE ARGUMENTS,...`\n"
     "(a comma in a name is written twice)",
     AT(config.initrd)},
    {"append", "TEXT", "the kernel's command line", AT(config.append)},
    {"firmware", "FILE", "what the machine starts with; it starts --kernel, a Linux bzImage, if there is\n"
     "one. Default without --kernel: SeaBIOS of Debian's package",
     AT(config.firmware)},
    {"firmware-vars", "FILE[,readonly][,snapshot]",
     "a flash below the firmware's that keeps its variables in FILE (OVMF_VARS*.fd)",
     .set = option_firmware_vars},
    {"disk", "FILE[,readonly][,snapshot][,format=FORMAT][,bus=virtio|ide]",
     "a disk; may be repeated; DISK without an option is the same. A raw file or block\n"
     "device, another format through qemu-nbd, or an nbd:// address; told by its\n"
     "contents if no format is named (raw, qcow2, vmdk, vdi, vhdx, ...). snapshot:\n"
     "what the guest writes is thrown away. A comma in FILE is written twice",
     .set = option_disk},
    {"cdrom", "FILE", "a disc in a CD-ROM drive on IDE; may be repeated", .set = option_cdrom},
    {"net", "none|user[,hostfwd=tcp:ADDR:PORT-:PORT]...|tap=NAME",
     "a network on virtio; default none. user: NAT, DHCP and DNS in this process;\n"
     "hostfwd=tcp|udp:[ADDR]:PORT-[ADDR]:PORT sends the host's port to the guest's.\n"
     "tap: an interface that exists. Both take mac=XX:XX:XX:XX:XX:XX",
     .set = option_net},
    {"serial", "stdio|none|file:PATH|unix:PATH",
     "the first serial port; default stdio. On a terminal Ctrl-A x ends the VM,\n"
     "Ctrl-A h lists the rest. unix: listens, one client at a time",
     .set = set_serial},
    {"console", "none|stdio|file:PATH|unix:PATH",
     "a virtio console too (Linux: console=hvc0); default none. With stdio the\n"
     "serial port is none, or what --serial says",
     .set = set_console},
    {"debug-exit", NULL, "port 0xf4: writing V ends the VM with exit status (V << 1) | 1",
     AT(config.debug_exit)},
    {"testdev", NULL, "the ports and the memory of QEMU's pc-testdev, for test kernels", AT(config.testdev)},
    {"irqchip", "user|kernel",
     "engine kvm: local APICs of the machine, or of the host's kernel (default,\n"
     "where the kernel can)",
     .set = set_irqchip},
    {"pv", "kvm|none", "paravirtual interface: KVM's (default), or none: no hypercalls, no clock", .set = set_pv},
    {"reboot", NULL, "reset instead of ending when the guest resets", AT(config.reboot)},
    {"time", "real|virtual",
     "virtual: time advances with executed instructions, a run repeats exactly,\n"
     "and console input comes from --input-log alone",
     .set = set_time},
    {"seed", "N", "--time virtual: where random numbers start from; default 0", .set = set_seed},
    {"rtc", "DATE",
     "--time virtual: the date it starts with (UTC): YYYY-MM-DD[THH:MM:SS] or\n"
     "@SECONDS; default 2000-01-01",
     .set = set_rtc},
    {"input-log", "FILE", "--time virtual: console input, lines `COUNT HEXBYTES`", AT(config.input_log)},
    {"record-input", "FILE", "write such a log of the console input", AT(config.record_input)},
    {"save", "FILE@COUNT",
     "--time virtual: write a snapshot when COUNT instructions are reached, and go\non; may be repeated, with rising counts",
     .set = set_save},
    {"restore", "FILE", "--time virtual: start from a snapshot; --kernel is not needed then",
     AT(config.restore)},
    {"gdb", "ADDR",
     "wait for a debugger (GDB remote protocol) at [HOST]:PORT or unix:PATH;\n"
     "without HOST: 127.0.0.1",
     AT(config.gdb)},
    {"display", "none|text",
     "text: the text screen on the terminal, whose keys go to the PS/2 keyboard;\n"
     "the serial port is then none, or what --serial says. Default none",
     .set = set_display},
    {"screenshot", "FILE", "write the display's picture there at the end, as PNG", AT(config.screenshot)},
    {"qmp", "unix:PATH", "listen there for control in QEMU's protocol (QMP); only this user may connect", AT(config.qmp)},
    {"trace", "CHANNEL[,CHANNEL]...",
     "what happens, a line each: exec, int, exception, mmu, io, mmio, irq, exit,\n"
     "block; json among them: as JSON objects",
     AT(config.trace)},
    {"trace-file", "FILE", "where the trace goes; default standard error", AT(config.trace_file)},
    {"max-time", "SECONDS", "end the VM after so long on the host's clock (exit status 124)",
     .set = set_max_time},
    {"stats", "FILE", "a JSON report at the end", AT(stats)},
    {"switch", "A:B@EVENT",
     "move the running guest from engine A to engine B at exits=N (PIO, MMIO and\n"
     "hypercalls in all), instructions=N, or serial=TEXT (when the guest writes it);\n"
     "may be repeated, the next one with B first",
     .set = option_switch},
    {"perf-map", NULL, "/tmp/perf-PID.map: names for perf, a line per translation", AT(config.perf_map)},
    {"bt-sensitive", "trap|call|inline",
     "how the translator does sensitive instructions: privileged ones trap, the\n"
     "others are called; all are called; in line (default)",
     .set = set_bt_sensitive},
    {"bt-cache", "SIZE",
     "host code that the translator keeps for each vCPU, 2M to 128M (default)",
     .set = set_bt_cache},
    {"bt-scan", NULL, "decode every translation and count what must not stand in one: `forbidden` in\n--stats", AT(config.bt_scan)},
    {"sandbox", "on|off",
     "on (default): no_new_privs and a filter of system calls for every thread,\nbefore the guest starts; off: for debugging",
     .set = set_sandbox},
    {"quiet", NULL, "no messages but errors", AT(config.quiet)},
};

/* The option that TEXT, without its dashes, names up to its end or a `=`. */
static const struct option *option_find(const char *text)
{
    size_t n = strcspn(text, "=");
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (strlen(options[i].name) == n && !memcmp(options[i].name, text, n))
            return &options[i];
    return NULL;
}

static const char *option_set(struct run_options *o, const struct option *opt, const char *value)
{
    char *at = (char *)o + opt->offset;
    if (opt->set)
        return opt->set(o, value);
    if (!opt->help)
        return opt->neutral && !strcmp(value, opt->neutral) ? NULL : NOT_BUILT;
    if (!opt->arg)
        *(bool *)at = true;
    else
        *(const char **)at = value;
    return NULL;
}

/* Takes the option at argv[*i], and its value there or in the next argument. */
static bool option_take(struct run_options *o, int argc, char **argv, int *i)
{
    const char *text = argv[*i] + 2, *equals = strchr(text, '='), *value = equals ? equals + 1 : NULL;
    const struct option *opt = option_find(text);
    if (!opt) {
        complain("%s: unknown option: see trine run --help", argv[*i]);
        return false;
    }
    if (!opt->arg && value) {
        complain("--%s: takes no value", opt->name);
        return false;
    }
    if (opt->arg && !value) {
        if (*i + 1 >= argc) {
            complain("--%s: needs a value: %s", opt->name, opt->arg);
            return false;
        }
        value = argv[++*i];
    }
    const char *why = opt->arg && !*value && opt->offset != offsetof(struct run_options, config.append)
                          ? "empty"
                          : option_set(o, opt, value);
    if (why)
        complain("--%s%s%s: %s", opt->name, value ? " " : "", value ? value : "", why);
    return !why;
}

/* What no option alone can tell. */
static bool options_check(struct run_options *o)
{
    struct trine_config *c = &o->config;
    bool microvm = c->machine && !strcmp(c->machine, "microvm");
    if (!c->kernel && !c->restore && microvm) {
        complain("--kernel: none given: the microvm starts nothing else");
        return false;
    }
    if (!c->kernel && !c->restore && !c->firmware)
        c->firmware = SEABIOS;
    if (c->firmware == (const char *)SEABIOS && access(SEABIOS, R_OK)) {
        complain("%s: %s (type: apt-get install seabios), and no --kernel", SEABIOS, strerror(errno));
        return false;
    }
    if ((c->restore || c->saves_n) && c->time != TRINE_TIME_VIRTUAL) {
        complain("--%s %s: needs --time virtual", c->restore ? "restore" : "save",
                 c->restore ? c->restore : c->saves[0].path);
        return false;
    }
    bool terminal_taken = c->display == TRINE_DISPLAY_TEXT || (c->console && c->console_to == TRINE_SERIAL_STDIO);
    if (terminal_taken && !o->serial_named)
        c->serial = TRINE_SERIAL_NONE;
    c->console_logged = c->console && c->serial == TRINE_SERIAL_NONE;
    if (c->display == TRINE_DISPLAY_TEXT && c->kernel && !c->firmware) {
        complain("--display text: a machine without firmware (--kernel) has no display");
        return false;
    }
    if (c->share && (c->time != TRINE_TIME_REAL || c->prealloc)) {
        complain("--share %s: %s", c->share, c->prealloc ? "would give back what prealloc takes" : "needs --time real");
        return false;
    }
    if (c->balloon_bytes > c->memory) {
        complain("--balloon %llu: more than --memory", (unsigned long long)c->balloon_bytes);
        return false;
    }
    if (c->balloon_auto && c->time != TRINE_TIME_REAL) {
        complain("--balloon auto: needs --time real");
        return false;
    }
    for (unsigned i = 0; i < c->disks_n; i++)
        if ((c->restore || c->saves_n) && !c->disks[i].readonly) {
            complain("--disk %s: a snapshot keeps no disk's contents: needs readonly", c->disks[i].path);
            return false;
        }
    if ((c->restore || c->saves_n) && c->firmware_vars.path && !c->firmware_vars.readonly) {
        complain("--firmware-vars %s: a snapshot keeps no file's contents: needs readonly", c->firmware_vars.path);
        return false;
    }
    if (c->input_log && c->time != TRINE_TIME_VIRTUAL) {
        complain("--input-log %s: needs --time virtual", c->input_log);
        return false;
    }
    return switches_check(o);
}

bool options_parse(struct run_options *o, int argc, char **argv)
{
    *o = (struct run_options){0};
    trine_config_init(&o->config);
    o->config.confine = SANDBOX_DEFAULT;
    for (int i = 0; i < argc; i++) {
        bool names_option = !strncmp(argv[i], "--", 2) && argv[i][2];
        if (names_option && !option_take(o, argc, argv, &i))
            return false;
        if (names_option || (!strcmp(argv[i], "--") && i + 1 == argc))
            continue;
        if (!strcmp(argv[i], "--"))
            i++;
        else if (argv[i][0] == '-') {
            complain("%s: unknown option: see trine run --help", argv[i]);
            return false;
        }
        const char *why = *argv[i] ? option_disk(o, argv[i]) : "no file given";
        if (why) {
            complain("%s: %s", argv[i], why);
            return false;
        }
    }
    return options_check(o);
}

void options_help(void)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *opt = &options[i];
        if (!opt->help)
            continue;
        printf("  --%s%s%s\n", opt->name, opt->arg ? " " : "", opt->arg ? opt->arg : "");
        for (const char *line = opt->help; line;) {
            const char *next = strchr(line, '\n');
            printf("        %.*s\n", (int)(next ? next - line : (ptrdiff_t)strlen(line)), line);
            line = next ? next + 1 : NULL;
        }
    }
}
