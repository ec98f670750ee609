/* The audit: one instruction at a time, in ring 0 and ring 3, against what the manual demands. Each case
 * prints one line of fields with `|` between them:
 *
 *     audit MODE RING NAME KIND FLAGS BYTES AT AFTER AX CX DX FROM MASK DEMAND SAW VALUE RIGHT TICKS
 *
 * BYTES is the whole piece of code, in hex; the instruction is BYTES[AT, AFTER). It ends with INT 0x30. What
 * the code finds: AX, CX, DX as given; BX the scratch area's offset in DS; SI and DI the selectors in CS and
 * SS; BP the offset of AFTER; at scratch + 0x40 a far pointer there. So anybody can run it elsewhere: `trine
 * audit` does so on the bare CPU. */
#ifndef AUDIT_H
#define AUDIT_H

#include "../lib/guest.h"

struct piece {
    word start, at, after, end;
};

enum kind {
    READS = 'R', /* brings to light what the machine is: ring, tables, time, identity */
    ACTS = 'A',  /* changes what the machine is, or where control is */
};
enum {
    ONCE = 1,     /* not to be repeated without the code before it */
    VARIANT = 2,  /* the instruction has a case of its own already: a control bit makes the difference */
    VOLATILE = 4, /* its value is another each time */
};
/* Where the value comes from that the manual speaks of. */
enum from { FROM_NOTHING, FROM_AX, FROM_CS, FROM_ES, FROM_FLAGS, FROM_BASE };

#define NONE 0x100u /* no exception: the code goes through */
struct demand {
    unsigned vector;
    word error;
    bool behind; /* IP of the exit: behind the instruction */
    word value;  /* under the mask, where it goes through or where a trap shows it */
};
#define DONE(v)                                                                                              \
    {                                                                                                        \
        .vector = NONE, .value = (word)(v)                                                                   \
    }
#define FAULTS(v, e)                                                                                         \
    {                                                                                                        \
        .vector = (v), .error = (word)(e)                                                                    \
    }
#define TRAPS(v)                                                                                             \
    {                                                                                                        \
        .vector = (v), .error = NO_ERROR, .behind = true                                                     \
    }
#define REFUSED   FAULTS(GP, 0)
#define UNDEFINED FAULTS(UD, NO_ERROR)

struct audit {
    const char *name;
    enum kind kind;
    unsigned flags, mode;
    const struct piece *code;
    const struct piece *outer; /* in ring 3, where that is other code */
    word ax, cx, dx, eflags;
    uint32_t cr4;                                            /* bits set for the case */
    void (*setup)(const struct audit *a, struct context *c); /* before each run, in ring 0 */
    enum from from;
    word mask; /* 0: all bits */
    struct demand want[2];
};

void audit_run(const struct audit *a);
#define AUDIT(...) audit_run(&(struct audit){.mode = MODE, __VA_ARGS__})

#define PIECE_MODE(asm_mode, n, before, insn, then)                                                          \
    ({                                                                                                       \
        extern const struct piece piece_##n;                                                                 \
        __asm__(".pushsection .text.snip,\"ax\",@progbits\n" asm_mode ".balign 16, 0xcc\n771: " before       \
                "\n770: " insn "\n773: " then "\n772: int $0x30\n" ASM_NATIVE                                \
                ".section .rodata.snip,\"a\",@progbits\npiece_" #n ": " ASM_WORD                             \
                "771b, 770b, 773b, 772b\n.popsection");                                                      \
        &piece_##n;                                                                                          \
    })
#define PIECE_EXPAND(asm_mode, n, before, insn, then) PIECE_MODE(asm_mode, n, before, insn, then)
#define CODE(before, insn, then)                      PIECE_EXPAND(ASM_MODE, __COUNTER__, before, insn, then)
#define PLAIN(insn)                                   CODE("", insn, "")

extern uint8_t audit_scratch[128];
/* Of cases.h, once per mode. */
void audit_cases_16(void);
void audit_cases_32(void);
void audit_cases_64(void);

/* Preparations. */
void setup_self_ipi(const struct audit *a, struct context *c);
void setup_task(const struct audit *a, struct context *c);
void setup_syscall(const struct audit *a, struct context *c);
void setup_sysenter(const struct audit *a, struct context *c);
void setup_sysexit(const struct audit *a, struct context *c);

#endif
