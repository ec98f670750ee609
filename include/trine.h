/* Trine: a virtual machine monitor as a library. The one public header.
 *
 * A VM is configured by a struct, created (every file is opened and checked then), run to its end on the
 * calling thread, and destroyed. Two VMs may live in one process, each with its own thread. Functions return
 * an enum trine_status; the reason stands in struct trine_error, one line. */
#ifndef TRINE_H
#define TRINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRINE_VERSION "0.1.0"

/* Bounds of trine_config.memory, which is a multiple of 4 KiB. */
#define TRINE_MEMORY_MIN (UINT64_C(1) << 20)
#define TRINE_MEMORY_MAX (UINT64_C(1) << 39)
#define TRINE_CPUS_MAX   32

enum trine_status {
    TRINE_OK = 0,
    TRINE_USAGE = 2,       /* a value in the configuration is wrong */
    TRINE_HOST = 3,        /* file, memory, permission */
    TRINE_UNSUPPORTED = 4, /* the engine cannot run here, or cannot do what was asked */
};

struct trine_error {
    enum trine_status status;
    char text[512]; /* `what: why` */
};

enum trine_time { TRINE_TIME_REAL, TRINE_TIME_VIRTUAL };

enum trine_serial {
    TRINE_SERIAL_STDIO,
    TRINE_SERIAL_NONE,
    TRINE_SERIAL_FILE,
    TRINE_SERIAL_UNIX,
    TRINE_SERIAL_CALLBACK
};

/* A snapshot to be written when virtual time reaches COUNT instructions, as an input log counts them. */
struct trine_save {
    const char *path;
    uint64_t count;
};

/* When a guest moves to another engine: when PIO, MMIO and hypercalls are COUNT in all; when COUNT instructions are retired (virtual
 * time: as an input log counts them; real time: by the first vCPU); when the guest has written TEXT to its first serial port since it
 * started or moved last. A count that has passed already: at once. */
enum trine_switch_at { TRINE_SWITCH_EXITS, TRINE_SWITCH_INSTRUCTIONS, TRINE_SWITCH_SERIAL };

struct trine_switch {
    const char *from, *to;
    enum trine_switch_at at;
    uint64_t count;
    const char *text;
};

/* FORMAT null: told by the contents; "raw" for what a guest may have filled with another format's header. PATH may be an nbd:// address. */
struct trine_disk {
    const char *path, *format;
    bool readonly;
    bool snapshot; /* writes are thrown away */
    bool ide;      /* on IDE, else on virtio */
    bool cdrom;    /* a CD-ROM on IDE, readonly */
};

enum trine_net_kind { TRINE_NET_NONE, TRINE_NET_USER, TRINE_NET_TAP };

#define TRINE_FORWARDS 16

/* Connections to the host's port go to the guest's. Addresses are dotted; empty: any, and the guest's own. */
struct trine_forward {
    bool udp;
    char host[16], guest[16];
    uint16_t host_port, guest_port;
};

struct trine_net {
    enum trine_net_kind kind;
    const char *tap; /* the interface's name */
    uint8_t mac[6];  /* all zero: the default */
    struct trine_forward forwards[TRINE_FORWARDS];
    unsigned forwards_n;
};

/* TEXT: the text screen on the terminal, its keys on the PS/2 keyboard; then `serial` must lead elsewhere. Needs firmware and real time. */
enum trine_display { TRINE_DISPLAY_NONE, TRINE_DISPLAY_TEXT };

/* How the translator does sensitive instructions: in line; by leaving its cache; privileged ones by a trap, the others by leaving. */
enum trine_sensitive { TRINE_SENSITIVE_INLINE, TRINE_SENSITIVE_CALL, TRINE_SENSITIVE_TRAP };

/* Who has the local APICs under engine kvm: the host's kernel where it can (AUTO), the machine, or the kernel or nobody. */
enum trine_irqchip { TRINE_IRQCHIP_AUTO, TRINE_IRQCHIP_USER, TRINE_IRQCHIP_KERNEL };

#define TRINE_BT_CACHE_LEAST (UINT64_C(2) << 20)
#define TRINE_BT_CACHE_MOST  (UINT64_C(128) << 20)
#define TRINE_SHOW_MAX 4096 /* bytes of guest code whose translations can be asked for */

/* Zero-initialise, then trine_config_init. Strings are borrowed until trine_destroy. */
struct trine_config {
    const char *engine;  /* "auto", "interp", ... */
    const char *machine; /* "pc", "microvm" */
    const char *cpu;     /* "v1", "v2", "v3", "host"; null: the default */
    unsigned cpus;
    uint64_t memory; /* bytes */
    bool prealloc;   /* the host's memory for it is taken before the guest starts */
    const char *share; /* real time: pages are shared with the VMs of this group, all of this user; null: with nobody. Leaks by timing: docs/memory.md */
    const char *share_exec; /* the `trine` that is started as the group's broker; null: this program */
    uint64_t share_limit;   /* bytes of the host's memory for all of the group; 0: what others said */
    bool balloon;    /* a virtio-balloon; the guest is asked to get along with balloon_bytes, or with what balloon_auto finds */
    bool balloon_auto;      /* real time: by what the host and the guest have left */
    uint64_t balloon_bytes; /* at most `memory` */
    const char *kernel, *initrd, *append, *firmware;
    struct trine_disk firmware_vars; /* a flash below the firmware's, raw, whose contents this file keeps; no path: none */
    enum trine_serial serial;
    const char *serial_path;
    void (*serial_output)(void *opaque, const uint8_t *data, size_t n); /* TRINE_SERIAL_CALLBACK */
    void *serial_opaque;
    bool console; /* a virtio console too: Linux' hvc0 */
    enum trine_serial console_to; /* its other end; not TRINE_SERIAL_CALLBACK, and not where `serial` leads */
    const char *console_path;
    bool console_logged; /* input_log and record_input are its, not the serial port's */
    const struct trine_disk *disks; /* borrowed until trine_destroy */
    unsigned disks_n;
    struct trine_net net;
    bool debug_exit, testdev;
    enum trine_irqchip irqchip; /* engine kvm: who has the local APICs */
    bool pv_kvm; /* offer KVM's paravirtual interface; on by default */
    enum trine_time time;
    uint64_t seed;
    int64_t rtc; /* seconds since 1970 under --time virtual */
    const char
        *input_log; /* virtual time: console input taken at recorded instruction counts (COUNT HEX lines) */
    const char *record_input; /* real or virtual time: where to write such a log */
    double max_time_s;        /* 0: none */
    bool perf_map;            /* names of translations for perf, in /tmp/perf-PID.map */
    enum trine_sensitive bt_sensitive;
    uint64_t bt_cache;        /* bytes of translations that are kept, TRINE_BT_CACHE_LEAST to TRINE_BT_CACHE_MOST; 0: the most */
    bool bt_scan;             /* look at every translation for instructions that must not be there */
    /* Null, or takes, line by line, the translations of guest code at [show_at, show_at + show_len), 1 to TRINE_SHOW_MAX bytes; a null when all
     * of it was seen. On a vCPU's thread. */
    void (*show_line)(void *opaque, const char *line);
    void *show_opaque;
    uint64_t show_at, show_len;
    const char *restore;            /* virtual time: start from this snapshot; then `kernel` may be null */
    const struct trine_save *saves; /* virtual time: counts never fall; borrowed until trine_destroy */
    unsigned saves_n;
    /* The guest moves between engines, in this order; the first one's `from` is `engine`. Borrowed until trine_destroy. */
    const struct trine_switch *switches;
    unsigned switches_n;
    bool end_after_saves; /* the VM ends when the last one is written */
    const char *trace;      /* channels: exec, int, exception, mmu, io, mmio, irq, exit, block; and json */
    const char *trace_file; /* null: standard error */
    const char *gdb;                /* wait for a debugger at this address: [HOST]:PORT or unix:PATH */
    const char *qmp;                /* control in QMP's protocol at this address: unix:PATH */
    enum trine_display display;
    const char *screenshot;         /* PNG of the display at the end; needs firmware */
    bool reboot;
    bool quiet;
    /* no_new_privs and a filter of system calls for every thread that runs this VM; for the caller of trine_run too, for ever: until the
     * process ends it can do little but read statistics, write to open files and call trine_destroy. What a filter refuses raises SIGSYS. */
    bool confine;
};

enum trine_end {
    TRINE_END_POWEROFF,
    TRINE_END_RESET,
    TRINE_END_TRIPLE_FAULT,
    TRINE_END_DEBUG_EXIT,
    TRINE_END_MAX_TIME,
    TRINE_END_STOPPED,        /* trine_stop */
    TRINE_END_HALTED_FOREVER, /* virtual time: nothing can ever happen again */
    TRINE_END_SAVED,          /* end_after_saves */
};

struct trine_exit_count {
    const char *kind;
    uint64_t count, ns;
};

struct trine_count {
    const char *name;
    uint64_t count;
};

struct trine_result {
    enum trine_end end;
    unsigned debug_exit_value; /* the V that was written */
    uint64_t rip;              /* where a reset or triple fault happened */
    char detail[160];          /* in words */
};

/* Where the translation of guest addresses costs, all vCPUs together; ns of looks and walks are sampled. */
struct trine_paging {
    uint64_t looks, look_ns;         /* past both ways of the soft TLB */
    uint64_t second_hits;            /* found in its second way */
    uint64_t walks, walk_ns;         /* of the guest's page tables, within the looks */
    uint64_t flushes;                /* of a context of the soft TLB, or of a page of it */
    uint64_t protected_n, protected_ns; /* writes to frames that hold code */
};

struct trine_stats {
    const char *engine;
    double wall_s, busy_s; /* busy: not halted */
    bool counted;          /* guest_instructions is meaningful */
    uint64_t guest_instructions;
    struct trine_exit_count exits[16];
    unsigned exit_kinds;
    bool has_blocks;
    uint64_t blocks_translated, blocks_flushed;
    struct trine_count counters[24]; /* the engine's own */
    unsigned counters_n;
    struct trine_count steps[16]; /* instructions that a translator handed to the interpreter, the most frequent operations */
    unsigned steps_n;
    struct trine_count calls[16]; /* those that it did itself, by a call */
    unsigned calls_n;
    bool has_paging; /* the engine translates addresses by a soft TLB */
    struct trine_paging paging;
    uint64_t guest_bytes, resident_bytes, shared_bytes, ballooned_bytes, paged_bytes, monitor_bytes;
    unsigned switches;   /* of trine_config.switches that came about */
    struct trine_count sharing[20]; /* the scanner's work, where pages are shared */
    unsigned sharing_n;
    uint64_t unbuilt;    /* instructions used by the guest that Trine has not built */
    uint64_t state_hash; /* of the whole architectural state and RAM, at the end */
};

/* Lockstep: two engines run the same machine under virtual time, and are compared. */
enum trine_grain { TRINE_GRAIN_INSTRUCTIONS, TRINE_GRAIN_EXIT, TRINE_GRAIN_BLOCK };

struct trine_check {
    const char *engines[2];
    enum trine_grain grain; /* where vCPUs and chips are compared; RAM at least every 64 million instructions */
    uint64_t every;         /* TRINE_GRAIN_INSTRUCTIONS: instructions between two comparisons; 0: a million */
    uint64_t until;         /* virtual time at which to stop; 0: at the guest's end */
    bool replay;            /* compare nothing before `at`: only the one instruction there */
    uint64_t at;
    bool tlb;        /* compare the soft TLBs too */
    uint64_t resume; /* not 0: there the second machine goes on from a snapshot of itself */
    void (*line)(void *opaque, const char *text); /* takes the report */
    void *opaque;
};

struct trine_check_result {
    bool agree;
    bool ended;              /* both guests came to their end */
    bool time_over;          /* the configuration's max_time_s */
    struct trine_result end; /* of the first machine */
    uint64_t at;             /* virtual time at the end, or at the last boundary where they agreed */
    bool narrowed;           /* a difference was narrowed down to the instruction that follows `at` */
    uint64_t instructions, comparisons;
};

struct trine_vm;

/* C's `engine` is not looked at, its `time` must be virtual. An error is no difference. */
enum trine_status trine_check(const struct trine_config *c, const struct trine_check *k,
                              struct trine_check_result *r, struct trine_error *e);

/* The audit: every sensitive and privileged instruction, in three modes and two rings, on every engine and on the bare CPU. */
#define TRINE_AUDIT_ENGINES 8

struct trine_audit_row {
    unsigned mode, ring; /* 16, 32, 64; 0, 3 */
    const char *name, *demand;
    struct {
        const char *saw, *way; /* way: native, relocated, in line, trapped, emulated */
        double ns;             /* a fault: the whole way there and back */
        bool right;
    } engine[TRINE_AUDIT_ENGINES];
    const char *bare; /* at CPL 3 of this host, without a monitor */
    bool agree;       /* all engines do what is demanded */
};

struct trine_audit {
    const char *engines; /* A,B,...; null: all that are usable here */
    void (*begin)(void *opaque, unsigned engines, const char *const *names); /* before the first row */
    void (*row)(void *opaque, const struct trine_audit_row *row);
    void *opaque;
};

struct trine_audit_engine {
    const char *name;
    unsigned right, refusals, refused; /* cases as demanded; where a fault is demanded; where it came */
    bool counted;                      /* the shares below */
    uint64_t samples, instructions;
    double native, relocated, in_line, trapped, emulated; /* of the instructions executed; 1 is all */
};

struct trine_audit_result {
    bool agree;
    unsigned cases, engines;
    struct trine_audit_engine engine[TRINE_AUDIT_ENGINES];
    char unprivileged[2048]; /* sensitive instructions that do not trap at CPL 3 here: names, comma between them */
    unsigned unprivileged_n;
};

/* C: whose guest the shares are counted over; null, or without kernel: the audit's own. */
enum trine_status trine_audit(const struct trine_config *c, const struct trine_audit *k, struct trine_audit_result *r,
                              struct trine_error *e);

/* A VM of a group, as it told the group's broker at most some seconds ago; or (pid 0) the pool: the host's frames in it, and the pages that show them. Bytes. */
struct trine_member {
    unsigned pid;
    uint64_t guest, resident, shared, ballooned, paged, working;
    uint64_t target; /* what the group wants the guest to get along with; 0: no wish */
};

/* All of them, at most ROOM; the pool comes last. */
enum trine_status trine_group(const char *group, struct trine_member *list, unsigned room, unsigned *n, struct trine_error *e);
/* The broker of a group, which a VM starts as another process: serves it at LISTENER until all members have left, and takes the socket's file PATH away. */
enum trine_status trine_memory_broker(int listener, const char *path);

void trine_config_init(struct trine_config *c);
enum trine_status trine_create(const struct trine_config *c, struct trine_vm **vm, struct trine_error *e);
/* Runs to the end of the VM. May be called once. */
enum trine_status trine_run(struct trine_vm *vm, struct trine_result *r, struct trine_error *e);
/* Any thread, any signal handler: ends trine_run soon with TRINE_END_STOPPED. */
void trine_stop(struct trine_vm *vm);
/* Likewise: the terminal has another size. */
void trine_terminal_resized(struct trine_vm *vm);
/* Before or after trine_run, not during it. Reads all of the guest's memory, for state_hash. */
void trine_get_stats(struct trine_vm *vm, struct trine_stats *s);
void trine_destroy(struct trine_vm *vm);

/* The process's terminal, which a VM with TRINE_SERIAL_STDIO makes raw while it runs. For signal handlers: before the process stops or dies, and
 * after it was continued. Async-signal-safe; they do nothing when no VM has the terminal. */
void trine_terminal_suspend(void);
void trine_terminal_resume(void);

/* Confines the calling thread, for ever, to waiting for signals, trine_stop, the three functions about the terminal, writing to open files, and stopping or ending
 * this process. */
enum trine_status trine_confine_signals(struct trine_error *e);

/* Engine number N: its name, whether it is usable here, and if not why; false when there are no more. */
bool trine_engine(unsigned n, const char **name, bool *usable, char *why, size_t size);
/* The name that "auto" takes. */
const char *trine_engine_auto(void);

#ifdef __cplusplus
}
#endif
#endif
