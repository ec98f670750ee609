/* The architectural state of one vCPU: everything that the architecture defines, and nothing of any engine
 * (DESIGN section 4). One thread owns it at a time: the one that runs its engine; others may only touch
 * `attention`. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/types.h"
#include "cpu/flags.h"
#include "mem/mem.h"

/* Indices of the GPR array. The two that no instruction names make every effective address base + index *
 * scale + disp. */
enum gpr {
    RAX,
    RCX,
    RDX,
    RBX,
    RSP,
    RBP,
    RSI,
    RDI,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    GPR_ZERO, /* always 0: no base, no index */
    GPR_RIP,  /* belongs to the software engines: RIP of the block that they are in */
    GPR_COUNT,
};

union gpr_value {
    u64 q;
    u32 d;
    u16 w;
    u8 b[8]; /* b[0] = AL, b[1] = AH: little-endian hosts only */
};

enum seg_reg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* Segment attributes: bits 40..47 and 52..55 of the descriptor, side by side (the layout of VMX's access
 * rights without the gap). 11 G | 10 D/B | 9 L | 8 AVL | 7 P | 6..5 DPL | 4 S | 3..0 type        12: unusable
 * (null selector) */
enum {
    SEG_TYPE = 0xf,
    SEG_ACCESSED = 0x1, /* S = 1 */
    SEG_RW = 0x2,       /* S = 1: data writable, code readable */
    SEG_DC = 0x4,       /* S = 1: data expand-down, code conforming */
    SEG_CODE = 0x8,     /* S = 1 */
    SEG_S = 0x10,
    SEG_DPL_SHIFT = 5,
    SEG_DPL = 0x60,
    SEG_P = 0x80,
    SEG_AVL = 0x100,
    SEG_L = 0x200,
    SEG_DB = 0x400,
    SEG_G = 0x800,
    SEG_UNUSABLE = 0x1000,
};

struct seg {
    u16 sel;
    u16 attr;
    u32 limit; /* in bytes, already scaled by G */
    u64 base;
};

struct dtable {
    u64 base;
    u16 limit;
};

/* A pending exception: filled by whoever raises it, consumed by cpu_deliver_fault. */
struct fault {
    u8 vector;
    bool has_error;
    bool is_trap;  /* RIP is already that of the next instruction (#DB traps, #BP, #OF) */
    bool external; /* EXT bit: raised while delivering an external event */
    u32 error;
    u64 addr; /* #PF: CR2. #DB: the bits for DR6 */
};

enum vector {
    VEC_DE = 0,
    VEC_DB = 1,
    VEC_NMI = 2,
    VEC_BP = 3,
    VEC_OF = 4,
    VEC_BR = 5,
    VEC_UD = 6,
    VEC_NM = 7,
    VEC_DF = 8,
    VEC_TS = 10,
    VEC_NP = 11,
    VEC_SS = 12,
    VEC_GP = 13,
    VEC_PF = 14,
    VEC_MF = 16,
    VEC_AC = 17,
    VEC_MC = 18,
    VEC_XM = 19,
    VEC_VE = 20,
    VEC_CP = 21,
};

/* The registers of XSAVE's standard format, one plain array each. Scalars of x87 are kept as the
 * architecture's 80 bits. */
struct fpu {
    u8 st[8][16]; /* ST(i)'s physical register i (TOP in fsw): 10 bytes each, rest 0. MMX registers are the
                     low 8 bytes */
    u16 fcw, fsw; /* fsw with TOP */
    u8 ftw;       /* abridged: bit set = physical register not empty */
    u16 fop;
    u64 fip, fdp;
    u16 fcs, fds;
    u32 mxcsr;
    u32 xinuse;                  /* XINUSE: bit 0 x87, 1 SSE, 2 AVX */
    _Alignas(64) u8 ymm[16][32]; /* XMM is the lower half */
};

/* An error that somebody injects: the registers of its bank, and RIPV and EIPV. */
struct mc_error {
    u32 bank, mcg_status;
    u64 status, addr, misc;
};

/* Control register, EFER bits: the manual's names. */
enum {
    CR0_PE = 1u << 0,
    CR0_MP = 1u << 1,
    CR0_EM = 1u << 2,
    CR0_TS = 1u << 3,
    CR0_ET = 1u << 4,
    CR0_NE = 1u << 5,
    CR0_WP = 1u << 16,
    CR0_AM = 1u << 18,
    CR0_NW = 1u << 29,
    CR0_CD = 1u << 30,
    CR0_PG = 1u << 31,
    CR0_ALL = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG,
    CR4_VME = 1u << 0,
    CR4_PVI = 1u << 1,
    CR4_TSD = 1u << 2,
    CR4_DE = 1u << 3,
    CR4_PSE = 1u << 4,
    CR4_PAE = 1u << 5,
    CR4_MCE = 1u << 6,
    CR4_PGE = 1u << 7,
    CR4_PCE = 1u << 8,
    CR4_OSFXSR = 1u << 9,
    CR4_OSXMMEXCPT = 1u << 10,
    CR4_UMIP = 1u << 11,
    CR4_FSGSBASE = 1u << 16,
    CR4_PCIDE = 1u << 17,
    CR4_OSXSAVE = 1u << 18,
    CR4_SMEP = 1u << 20,
    CR4_SMAP = 1u << 21,
    CR4_PKE = 1u << 22,
    EFER_SCE = 1u << 0,
    EFER_LME = 1u << 8,
    EFER_LMA = 1u << 10,
    EFER_NXE = 1u << 11,
};

/* Why the owning thread should leave translated or decoded code at the next boundary. Set by any thread,
 * cleared by the owner. */
enum {
    ATTN_INTR = 1 << 0, /* LAPIC or PIC has an interrupt */
    ATTN_NMI = 1 << 1,
    ATTN_SMI = 1 << 2,
    ATTN_INIT = 1 << 3,
    ATTN_SIPI = 1 << 4,
    ATTN_KICK = 1 << 5, /* the machine wants the thread: pause, end, timers */
    ATTN_MC = 1 << 7,   /* a machine check waits in mc_pending */
    ATTN_TRAP = 1 << 6, /* a debug trap (DR6 bits in pending_db) waits for the instruction boundary */
    ATTN_A20 = 1 << 8,  /* the A20 gate moved: what the soft TLB holds is void */
};

enum cpu_activity { ACTIVITY_RUNNING, ACTIVITY_HALTED, ACTIVITY_WAIT_SIPI, ACTIVITY_SHUTDOWN };

/* Who else runs on this memory: nobody, other vCPUs in turn, or other vCPUs at the same time. */
enum cpu_company { CPU_ALONE, CPU_TURNS, CPU_CONCURRENT };

struct cpu;
struct exit;
struct cpu_model;
struct tlb;

/* What the machine offers to a vCPU; the vCPU knows nobody else. All may be called from the owning thread
 * only. */
struct cpu_wires {
    struct mem *mem;
    struct log *log;
    const struct clock *clock;
    const struct cpu_model *model; /* CPUID */
    /* PIO, MMIO, hypercalls, shutdown: through the one exit table (engine/exit.h). */
    void (*exit)(void *opaque, struct cpu *c, struct exit *x);
    /* Acknowledges the highest pending interrupt; the vector, or -1 when it has gone away again. */
    int (*intr_ack)(void *opaque, struct cpu *c);
    /* LAPIC's part of the register file: IA32_APIC_BASE, x2APIC MSRs, IA32_TSC_DEADLINE; false raises #GP. */
    bool (*apic_msr_read)(void *opaque, struct cpu *c, u32 msr, u64 *value);
    bool (*apic_msr_write)(void *opaque, struct cpu *c, u32 msr, u64 value);
    /* An engine that keeps the local APICs: a level-triggered interrupt of VECTOR has ended. */
    void (*apic_eoi)(void *opaque, struct cpu *c, u8 vector);
    u8 (*cr8_read)(void *opaque, struct cpu *c);
    void (*cr8_write)(void *opaque, struct cpu *c, u8 tpr);
    /* KVM's MSRs (pv/kvm.c); null: they do not exist. False raises #GP. */
    bool (*pv_msr)(void *opaque, struct cpu *c, u32 msr, bool write, u64 *value);
    /* IGNNE# side: CR0.NE = 0 and an unmasked x87 exception pulls IRQ 13. */
    void (*ferr)(void *opaque, struct cpu *c);
    u64 (*random)(void *opaque); /* RDRAND and RDSEED */
    u64 (*tsc)(void *opaque,
               const struct cpu *c); /* host side of the TSC, before IA32_TSC_ADJUST and writes */
    /* These three may be null while the vCPU is alone. frame_mark_code's part for the other vCPUs. */
    void (*code_mark)(void *opaque, u64 gpa, u8 flag);
    /* From true to false all other vCPUs stand at safe points (engine/engine.h). No exit in between: the big lock
     * comes before this one. */
    void (*stop_others)(void *opaque, bool stop);
    /* PAUSE. CPU_TURNS: the turn ends at the next boundary, where the engine returns. CPU_CONCURRENT: another thread has
     * the core now and then. */
    void (*relax)(void *opaque);
    u64 (*host_ns)(void); /* for the statistics; null: nothing is timed */
    void *opaque;
};

#define CPU_COST_SAMPLE 64u

/* A debugger's data point that was hit; kind 0: none (cpu/points.h). */
struct point_hit {
    u64 lin;
    u8 kind;
};

struct cpu {
    union gpr_value gpr[GPR_COUNT];
    u64 rip;
    struct flags fl; /* CF PF AF ZF SF OF */
    u64 rflags_sys;  /* the other bits of RFLAGS, bit 1 set */
    struct seg seg[SEG_COUNT];

    /* Derived from the above by cpu_update_mode; never saved. */
    u8 cpl;
    u8 code_size;  /* 2, 4 or 8: default operand world of the code segment (8: 64-bit mode) */
    u8 stack_size; /* 2, 4 or 8 bytes of SP used by implicit stack accesses */
    bool flat;     /* 32-bit code with all of CS DS ES SS flat, 4 GiB, right types: no checks needed; true in
                      64-bit mode */
    u32 view;      /* soft-TLB view of ordinary data accesses, see cpu/tlb.h */

    u64 cr0, cr2, cr3, cr4;
    u64 efer;
    u64 dr[4], dr6, dr7;
    u64 pdpte[4]; /* PAE's, loaded with CR3 */
    struct dtable gdt, idt;
    u64 star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 tsc_offset, tsc_adjust;
    u32 tsc_khz; /* where an engine runs the counter at another rate than the machine's clock; 0: the same */
    u32 tsc_aux;
    u32 pkru;
    u64 xcr0;
    u64 pat, misc_enable, spec_ctrl, mtrr_def_type;
    u64 mtrr_fixed[11], mtrr_var[16];
    u64 mcg_status, mcg_ctl, mc_bank[4][4];
    u64 debugctl; /* BTF only */
    u64 smbase;
    struct fpu fpu;

    /* Events in flight. */
    _Atomic u32 attention;
    u8 activity; /* enum cpu_activity */
    bool nmi_blocked;
    bool smm;
    bool smm_nmi_blocked; /* nmi_blocked and pending_db as RSM brings them back: not in the saved state */
    u64 smm_pending_db;
    u64 shadow_at;  /* STI and MOV SS: no interrupt at the boundary where `icount` equals this; UINT64_MAX:
                       none */
    bool shadow_ss; /* that shadow came from MOV SS or POP SS: debug traps wait too */
    u64 rep_at;     /* a REP instruction was left between two iterations at the boundary where `icount` equals
                       this */
    struct mc_error mc_pending; /* valid while ATTN_MC is set */
    u64 pending_db; /* DR6 bits of a trap that is due at the next boundary */
    struct fault fault; /* valid while a function that returned false is being unwound */
    _Atomic u8 sipi_vector; /* written, before ATTN_SIPI, by whoever sends it */

    /* Instructions retired. A REP iteration counts one, an instruction that faults counts zero. While an
     * engine runs, `icount` is exact only after the engine published it. */
    u64 icount;
    i64 budget; /* software engines: instructions that may still retire before they must look around */

    u32 index;       /* vCPU number, initial APIC id */
    u8 company;      /* enum cpu_company */
    struct tlb *tlb; /* soft TLB of the software engines; a part of the machine, because guests can see it */
    const struct debug_points *points; /* null: no debugger. An engine may then run on the interpreter alone */
    struct point_hit point_hit;
    void *engine;    /* state of the engine that runs this vCPU now; nobody else looks inside */
    struct cpu_wires wires;

    struct {
        u64 exceptions[32];
        u64 interrupts;
        u64 unbuilt; /* instructions that the guest used and Trine has not built */
        /* Where the translation of addresses costs, beside the soft TLB's own counters: looks past both its ways, and how long they and the walk
         * in them took (one in CPU_COST_SAMPLE is timed, and scaled); writes to frames that hold code, all timed. */
        u64 looks, look_ns, walk_ns;
        u64 protected_writes, protected_ns;
    } stats;
};

/* State after power-up (SDM vol. 3, table 10-1) and after INIT. */
void cpu_reset(struct cpu *c);
void cpu_init_signal(struct cpu *c);

/* RFLAGS as a whole. cpu_set_rflags takes any value: reserved bits are put right; callers mask by privilege.
 */
u64 cpu_rflags(const struct cpu *c);
void cpu_set_rflags(struct cpu *c, u64 v);

/* Recomputes cpl, code_size, stack_size, flat, view from segments, CR0, CR4, EFER, RFLAGS. To be called after
 * any change of them. */
void cpu_update_mode(struct cpu *c);

static inline bool cpu_protected(const struct cpu *c)
{
    return c->cr0 & CR0_PE;
}
static inline bool cpu_v86(const struct cpu *c)
{
    return c->rflags_sys & RFLAGS_VM;
}
static inline bool cpu_long_mode(const struct cpu *c)
{
    return c->efer & EFER_LMA;
}
static inline bool cpu_code64(const struct cpu *c)
{
    return c->code_size == 8;
}
static inline unsigned cpu_iopl(const struct cpu *c)
{
    return (unsigned)(c->rflags_sys >> 12 & 3);
}
static inline bool cpu_canonical(u64 lin)
{
    return (u64)((i64)(lin << 16) >> 16) == lin;
}

/* Raises: record the exception, return false, so that callers can `return cpu_raise_gp(c, 0)`. */
bool cpu_raise(struct cpu *c, u8 vector); /* no error code */
bool cpu_raise_error(struct cpu *c, u8 vector, u32 error);
bool cpu_raise_pf(struct cpu *c, u64 lin, u32 error);
static inline bool cpu_raise_gp(struct cpu *c, u32 error)
{
    return cpu_raise_error(c, VEC_GP, error);
}
static inline bool cpu_raise_ud(struct cpu *c)
{
    return cpu_raise(c, VEC_UD);
}

static inline void cpu_attend(struct cpu *c, u32 bits)
{
    atomic_fetch_or_explicit(&c->attention, bits, memory_order_release);
}

#endif
