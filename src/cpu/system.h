/* The system part of the instruction set: what the software engines' handlers call and what `kvm` never
 * needs. Each function executes one operation completely or records a fault and returns false with nothing
 * committed (exceptions: SDM says otherwise, noted at the place). None touches RIP except the control
 * transfers, which take the RIP of the following instruction as NEXT. */
#ifndef CPU_SYSTEM_H
#define CPU_SYSTEM_H

#include "cpu/points.h"
#include "cpu/access.h"

/* --- descriptors and segment registers (SDM vol. 3, chapters 3 and 5): cpu/segment.c, cpu/descriptor.c */
struct desc {
    u64 low, high; /* high: second half of a 16-byte system descriptor in IA-32e mode, else 0 */
};
/* Loads a data segment register or SS as MOV, POP, LDS ... do, in every mode. */
bool seg_load(struct cpu *c, enum seg_reg s, u16 sel) MUST_CHECK;
/* Real and virtual-8086 mode. */
void seg_load_real(struct cpu *c, enum seg_reg s, u16 sel);
bool op_lldt(struct cpu *c, u16 sel) MUST_CHECK;
bool op_ltr(struct cpu *c, u16 sel) MUST_CHECK;
/* LAR, LSL, VERR, VERW: *ok is ZF. */
bool op_lar(struct cpu *c, u16 sel, u32 *rights, bool *ok) MUST_CHECK;
bool op_lsl(struct cpu *c, u16 sel, u32 *limit, bool *ok) MUST_CHECK;
bool op_verify(struct cpu *c, u16 sel, bool write, bool *ok) MUST_CHECK;

/* --- far control transfers: cpu/transfer.c. SIZE: operand size in bytes 2, 4, 8. */
bool op_jmp_far(struct cpu *c, u16 sel, u64 off, unsigned size, u64 next) MUST_CHECK;
bool op_call_far(struct cpu *c, u16 sel, u64 off, unsigned size, u64 next) MUST_CHECK;
bool op_ret_far(struct cpu *c, unsigned size, u16 release) MUST_CHECK;
bool op_iret(struct cpu *c, unsigned size, u64 next) MUST_CHECK;
bool op_syscall(struct cpu *c, u64 next) MUST_CHECK;
bool op_sysret(struct cpu *c, unsigned size) MUST_CHECK;
bool op_sysenter(struct cpu *c) MUST_CHECK;
bool op_sysexit(struct cpu *c, unsigned size) MUST_CHECK;
/* INT n, INT3, INTO, INT1: a software interrupt through the IDT; NEXT is pushed. */
bool op_int(struct cpu *c, u8 vector, u64 next) MUST_CHECK;
bool op_int3(struct cpu *c, u64 next) MUST_CHECK;
bool op_into(struct cpu *c, u64 next) MUST_CHECK;
bool op_int1(struct cpu *c, u64 next) MUST_CHECK;
bool op_rsm(struct cpu *c) MUST_CHECK;

/* --- events: cpu/event.c */
/* Delivers c->fault (raised at c->rip) through the IDT, with the rules of double and triple faults (SDM vol.
 * 3, 6.15). Triple: activity becomes ACTIVITY_SHUTDOWN. Clears the interrupt shadow. For faults sets RF in
 * the pushed image. */
void cpu_deliver_fault(struct cpu *c);
/* Nothing but a reset (or INIT) helps any more. */
void cpu_shutdown(struct cpu *c) COLD;
/* At an instruction boundary: takes the highest of what is pending (SDM vol. 3, table 6-2: debug traps, SMI,
 * NMI, INTR) if it can be taken now. True when something was delivered (RIP changed). c->icount and c->rip
 * are exact. */
bool cpu_take_event(struct cpu *c);
/* Would cpu_take_event do something now? (HLT ends then.) */
bool cpu_event_ready(const struct cpu *c);
/* An interrupt or NMI is inhibited at this boundary by STI or MOV SS. */
static inline bool cpu_in_shadow(const struct cpu *c)
{
    return c->shadow_at == c->icount;
}

/* --- control, debug and model-specific registers: cpu/control.c, cpu/msr.c, cpu/debug.c */
bool op_mov_from_cr(struct cpu *c, unsigned cr, u64 *v) MUST_CHECK;
bool op_mov_to_cr(struct cpu *c, unsigned cr, u64 v) MUST_CHECK;
bool op_lmsw(struct cpu *c, u16 v) MUST_CHECK;
bool op_clts(struct cpu *c) MUST_CHECK;
bool op_mov_from_dr(struct cpu *c, unsigned dr, u64 *v) MUST_CHECK;
bool op_mov_to_dr(struct cpu *c, unsigned dr, u64 v) MUST_CHECK;
bool op_rdmsr(struct cpu *c) MUST_CHECK; /* ECX, EDX:EAX; privilege checked here */
bool op_wrmsr(struct cpu *c) MUST_CHECK;
bool op_vmcall(struct cpu *c) MUST_CHECK; /* VMCALL, VMMCALL: an exit */
/* Without privilege checks, for the debugger, snapshots and KVM. False: no such MSR, or a value it refuses.
 */
bool msr_read(struct cpu *c, u32 msr, u64 *v) MUST_CHECK;
bool msr_write(struct cpu *c, u32 msr, u64 v) MUST_CHECK;
/* The counter has moved against the machine's clock: KVM's clock page, if the guest has one, is written anew. */
void msr_tsc_moved(struct cpu *c);
bool op_xsetbv(struct cpu *c) MUST_CHECK;
bool op_xgetbv(struct cpu *c) MUST_CHECK;
bool op_invlpg(struct cpu *c, u64 lin) MUST_CHECK;
bool op_invpcid(struct cpu *c, u64 type, u64 desc_lin) MUST_CHECK;
bool op_rdpkru(struct cpu *c) MUST_CHECK;
bool op_wrpkru(struct cpu *c) MUST_CHECK;
bool op_rdtsc(struct cpu *c, bool with_aux) MUST_CHECK; /* RDTSC, RDTSCP */
bool op_rdpmc(struct cpu *c) MUST_CHECK;
/* CLI, STI, PUSHF, POPF with IOPL, VME and PVI; *V is the image. */
bool op_cli(struct cpu *c) MUST_CHECK;
bool op_sti(struct cpu *c) MUST_CHECK;
bool op_pushf_image(struct cpu *c, unsigned size, u64 *v) MUST_CHECK;
bool op_popf_image(struct cpu *c, unsigned size, u64 v) MUST_CHECK;
/* SGDT/SIDT/SLDT/STR/SMSW, LGDT/LIDT: UMIP and CPL checks; the memory operand is the handler's. */
bool umip_check(struct cpu *c) MUST_CHECK;
bool cpl0_check(struct cpu *c) MUST_CHECK;
/* May CPL/IOPL or the TSS's bitmap use these ports? */
bool io_check(struct cpu *c, u16 port, unsigned size) MUST_CHECK;

/* Implicit stack accesses with the current stack size and SS checks. SIZE bytes 2, 4, 8. The engine's hot
 * PUSH/POP have their own copies of the easy case. */
bool stack_push(struct cpu *c, u64 v, unsigned size) MUST_CHECK;

/* Data and I/O breakpoints: adds DR6 bits of what [lin, lin + len) hits to pending_db and sets ATTN_TRAP. */
void debug_check_data(struct cpu *c, u64 lin, unsigned len, bool write);
void debug_check_io(struct cpu *c, u16 port, unsigned len);
/* Is any I/O breakpoint of this DR7 on? (CR4.DE decides whether it counts.) */
bool debug_io_armed(u64 dr7);
/* Instruction breakpoint at linear address RIP (RF clear)? Raises #DB (fault). */
bool debug_check_fetch(struct cpu *c, u64 lin) MUST_CHECK;
static inline bool debug_data_armed(const struct cpu *c)
{
    return c->dr7 & 0xff || (c->points && c->points->data_n);
}

/* --- CPUID: cpu/cpuid.c. The model is a table built once per VM. */
enum cpu_level { CPU_LEVEL_V1 = 1, CPU_LEVEL_V2, CPU_LEVEL_V3, CPU_LEVEL_HOST };
struct cpu_model *cpu_model_create(enum cpu_level level, u32 cpus,
                                   unsigned phys_bits); /* null when out of memory */
/* ALLOWED: a bit per enum cpu_feature; what it lacks is not offered. */
struct cpu_model *cpu_model_create_within(enum cpu_level level, u32 cpus, unsigned phys_bits, u64 allowed);
void cpu_model_destroy(struct cpu_model *m);
/* What LEVEL promises by definition (it offers more where it can). */
u64 cpu_level_needs(enum cpu_level level);
/* What an engine can offer that executes the guest's computation on the host's own processor. */
u64 cpu_features_host(void);
void op_cpuid(struct cpu *c); /* EAX, ECX -> EAX..EDX */
/* Features that gate behaviour (CR4 bits, MSRs, #UD). */
enum cpu_feature {
    FEAT_PSE36,
    FEAT_1G,
    FEAT_PCID,
    FEAT_SMEP,
    FEAT_SMAP,
    FEAT_UMIP,
    FEAT_PKU,
    FEAT_FSGSBASE,
    FEAT_XSAVE,
    FEAT_XSAVEOPT,
    FEAT_XSAVEC,
    FEAT_AVX,
    FEAT_AVX2,
    FEAT_FMA,
    FEAT_F16C,
    FEAT_BMI1,
    FEAT_BMI2,
    FEAT_LZCNT,
    FEAT_ADX,
    FEAT_SHA,
    FEAT_AES,
    FEAT_PCLMUL,
    FEAT_MOVBE,
    FEAT_RDRAND,
    FEAT_RDSEED,
    FEAT_RDTSCP,
    FEAT_RDPID,
    FEAT_CLFLUSHOPT,
    FEAT_SSE3,
    FEAT_SSSE3,
    FEAT_SSE41,
    FEAT_SSE42,
    FEAT_POPCNT,
    FEAT_CX16,
    FEAT_X2APIC,
    FEAT_TSC_DEADLINE,
    FEAT_INVPCID,
    FEAT_VME,
    FEAT_MONITOR,
    FEAT_VMCALL,
    FEAT_COUNT,
};
bool cpu_has(const struct cpu *c, enum cpu_feature f);

/* --- FPU, SSE, AVX state movers: cpu/fpu.c */
/* #UD and #NM, which come before any fault of the operand. */
bool fxsave_enabled(struct cpu *c) MUST_CHECK;
bool xsave_enabled(struct cpu *c) MUST_CHECK;
bool op_fxsave(struct cpu *c, u64 lin, bool rex_w) MUST_CHECK;
bool op_fxrstor(struct cpu *c, u64 lin, bool rex_w) MUST_CHECK;
enum xsave_kind { XSAVE_PLAIN, XSAVE_OPT, XSAVE_COMPACT };
bool op_xsave(struct cpu *c, u64 lin, enum xsave_kind kind,
              bool rex_w) MUST_CHECK; /* RFBM = EDX:EAX & XCR0 */
bool op_xrstor(struct cpu *c, u64 lin, bool rex_w) MUST_CHECK;
void fpu_init(struct cpu *c); /* FNINIT */

#endif
