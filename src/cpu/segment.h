/* What the files of segmentation, control transfer and event delivery share; nobody else includes it.
 * EXT is the bit of error codes that says "while an event outside the program was delivered": 0 or 1. */
#ifndef CPU_SEGMENT_H
#define CPU_SEGMENT_H

#include "cpu/access.h"
#include "cpu/system.h"

/* Selectors. */
#define SEL_RPL 3u
#define SEL_TI  4u

/* Debug registers: what event delivery touches. */
enum { DR6_BS = 1 << 14, DR6_BT = 1 << 15, DR7_GD_BIT = 1 << 13 };

/* Bit of error codes: the index is that of an IDT gate. */
#define ERROR_IDT 2u

/* System and gate descriptors, S = 0 (SDM vol. 3, table 3-2). */
enum {
    TYPE_TSS16 = 1,
    TYPE_LDT = 2,
    TYPE_TSS16_BUSY = 3,
    TYPE_CALL16 = 4,
    TYPE_TASK_GATE = 5,
    TYPE_INT16 = 6,
    TYPE_TRAP16 = 7,
    TYPE_TSS = 9, /* 32-bit; 64-bit in IA-32e mode */
    TYPE_TSS_BUSY = 11,
    TYPE_CALL = 12,
    TYPE_INT = 14,
    TYPE_TRAP = 15,
    TYPE_WIDE = 8, /* the bit that tells 32- and 64-bit types from 16-bit ones */
};

static inline bool sel_null(u16 sel)
{
    return !(sel & ~SEL_RPL);
}

static inline u32 sel_error(u16 sel, u32 ext)
{
    return (sel & 0xfffcu) | ext;
}

static inline u16 desc_attr(const struct desc *d)
{
    return (u16)((d->low >> 40 & 0xff) | (d->low >> 44 & 0xf00));
}

static inline unsigned attr_dpl(u16 attr)
{
    return attr >> SEG_DPL_SHIFT & 3u;
}

static inline bool attr_code(u16 attr)
{
    return (attr & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}

static inline bool attr_conforming(u16 attr)
{
    return attr & SEG_DC; /* of code */
}

static inline bool attr_writable(u16 attr)
{
    return (attr & (SEG_S | SEG_CODE | SEG_RW)) == (SEG_S | SEG_RW);
}

static inline bool attr_readable(u16 attr)
{
    return attr & SEG_S && (!(attr & SEG_CODE) || attr & SEG_RW);
}

static inline bool attr_system(u16 attr, unsigned type)
{
    return (attr & (SEG_S | SEG_TYPE)) == type;
}

/* Of a code segment: is it 64-bit code? */
static inline bool attr_code64(const struct cpu *c, u16 attr)
{
    return cpu_long_mode(c) && attr & SEG_L;
}

/* A null selector in a segment register; SS keeps the CPL in its DPL. */
static inline struct seg seg_null(u16 sel, unsigned dpl, u64 base)
{
    return (struct seg){.sel = sel, .attr = (u16)(SEG_UNUSABLE | dpl << SEG_DPL_SHIFT), .base = base};
}

static inline struct seg seg_v86(u16 sel)
{
    return (struct seg){
        .sel = sel,
        .attr = SEG_P | SEG_DPL | SEG_S | SEG_RW | SEG_ACCESSED,
        .limit = 0xffff,
        .base = (u64)sel << 4,
    };
}

/* Linear address of a table: 32 bits outside IA-32e mode. */
static inline u64 system_linear(const struct cpu *c, u64 lin)
{
    return LIKELY(cpu_long_mode(c)) ? lin : (u32)lin;
}

/* Is [off, off + len) inside the segment? Type and presence are not looked at. */
bool seg_inside(const struct seg *s, u64 off, unsigned len);

/* --- cpu/descriptor.c */
/* Reads the 8 bytes that SEL (not null) selects; outside its table: VECTOR(SEL + EXT). */
bool desc_fetch(struct cpu *c, u16 sel, u8 vector, u32 ext, struct desc *d) MUST_CHECK;
/* Adds the second half of a 16-byte descriptor of IA-32e mode. */
bool desc_fetch_high(struct cpu *c, u16 sel, u8 vector, u32 ext, struct desc *d) MUST_CHECK;
/* Writes the descriptor's byte of type, S, DPL and P. */
bool desc_set_type(struct cpu *c, u16 sel, u16 attr) MUST_CHECK;
bool desc_set_accessed(struct cpu *c, u16 sel, u16 attr) MUST_CHECK;
struct seg desc_seg(u16 sel, const struct desc *d);
/* The bytes of SEL's descriptor. */
u64 desc_address(const struct cpu *c, u16 sel);

/* --- cpu/stack.c: frames that are pushed and popped as a whole. */
struct stack {
    struct seg ss;
    u64 sp;
    u8 width;  /* of SP: 2, 4 or 8 bytes. 8 is 64-bit mode: no base, no limit */
    u32 error; /* of #SS */
};
struct stack stack_current(const struct cpu *c);
/* Is there room to push N items of SIZE bytes? Else #SS(error). */
bool stack_room(struct cpu *c, const struct stack *s, unsigned size, unsigned n) MUST_CHECK;
/* Pushes V[0] to V[N - 1], all or nothing, as code of CPL and CODE_SIZE would; the caller has asked for room.
 * Moves s->sp. */
bool stack_put(struct cpu *c, struct stack *s, unsigned cpl, unsigned code_size, unsigned size, const u64 *v,
               unsigned n) MUST_CHECK;
/* Reads N items, the first AT bytes above the top; #SS(error) beyond the limit. */
bool stack_get(struct cpu *c, const struct stack *s, u64 at, unsigned size, u64 *v, unsigned n) MUST_CHECK;
/* Sets the part of RSP that a stack of WIDTH uses. */
void stack_commit(struct cpu *c, u64 sp, unsigned width);

/* --- cpu/transfer.c */
/* The target in CS: canonical in 64-bit code; elsewhere cut to 32 bits and inside the limit; else #GP(EXT).
 */
bool target_ok(struct cpu *c, const struct seg *cs, u64 *rip, u32 ext) MUST_CHECK;
/* The code segment that RETF and IRET return to. */
bool return_code_segment(struct cpu *c, u16 sel, struct seg *cs) MUST_CHECK;
/* The stack segment that belongs to it. */
bool return_stack_segment(struct cpu *c, u16 sel, const struct seg *cs, struct seg *ss) MUST_CHECK;
/* RSP after a return to another stack. */
void return_stack_pointer(struct cpu *c, u64 sp);
/* The CPL has gone outwards: data segments that it may not see become null. */
void return_drop_data(struct cpu *c);
/* The code segment of a call, interrupt or trap gate; INWARDS: it may be of an inner level. */
bool gate_code_segment(struct cpu *c, u16 sel, bool inwards, u32 ext, struct seg *cs) MUST_CHECK;
/* Default size in CS: 2, 4, or 8 for 64-bit mode. */
unsigned seg_code_size(const struct cpu *c, const struct seg *cs);
/* Compatibility mode begins with the upper half of RSP clear: silicon does it, software cannot rely on it. */
void compat_cut(struct cpu *c);
/* Commits CS with RPL = CPL, and RIP; SS is in place already. */
void code_enter(struct cpu *c, const struct seg *cs, unsigned cpl, u64 rip);

/* --- cpu/task.c */
/* The stack for privilege level DPL out of a 16- or 32-bit TSS. */
bool tss_stack(struct cpu *c, unsigned dpl, u32 ext, struct stack *s) MUST_CHECK;
/* RSPn (IST 0) or ISTn out of a 64-bit TSS. */
bool tss_rsp(struct cpu *c, unsigned dpl, unsigned ist, u32 ext, u64 *rsp) MUST_CHECK;
enum task_switch_kind { TASK_JMP, TASK_CALL, TASK_IRET, TASK_INT };
/* A task switch faults in the old task (nothing has happened) or in the new one (c->rip is the new task's).
 */
enum transfer { TRANSFER_DONE, TRANSFER_FAULT, TRANSFER_FAULT_NEW_TASK };
/* SEL is checked by the caller only as far as it depends on how it was reached; EXT goes into the error
 * codes. */
enum transfer task_enter(struct cpu *c, u16 sel, enum task_switch_kind kind, u64 next, bool rf,
                         u32 ext) MUST_CHECK;
/* As an instruction's end: a fault of the new task is delivered there. */
bool task_enter_insn(struct cpu *c, u16 sel, enum task_switch_kind kind, u64 next) MUST_CHECK;

/* --- cpu/interrupt.c */
struct interrupt {
    u8 vector;
    bool soft; /* INT n, INT3, INTO: the gate's DPL counts */
    bool has_error;
    bool rf; /* set RF in the pushed image */
    u32 error;
    u32 ext;
    u64 rip; /* to push */
};
enum transfer interrupt_enter(struct cpu *c, const struct interrupt *n) MUST_CHECK;

/* --- cpu/v86.c */
/* Through the interrupt vector table of real mode. */
bool interrupt_real(struct cpu *c, const struct interrupt *n) MUST_CHECK;
/* INT n in virtual-8086 mode: *DONE when the redirection bitmap sent it to the task's own vector table; else
 * the IDT has it. */
bool interrupt_redirect(struct cpu *c, const struct interrupt *n, bool *done) MUST_CHECK;

/* --- cpu/cpu.c */
/* From here on memory is accessed as code of CPL and CODE_SIZE would; cpu_update_mode ends it. */
void cpu_assume(struct cpu *c, unsigned cpl, unsigned code_size);

#endif
